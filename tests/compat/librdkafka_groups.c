/* SPDX-License-Identifier: Apache-2.0 */
/* librdkafka's groups: members, all polled by this one thread, commit each record before they take the next. */
#include "librdkafka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PARTITIONS = 4, RECORDS_MAX = 400 };

struct group {
    const char *topic;
    int published, consumed;
    int times[RECORDS_MAX]; /* how often each value came */
};

struct member {
    struct group *group;
    rd_kafka_t *consumer;
    bool owned[PARTITIONS];
    int revocations;
};

static void rebalanced(rd_kafka_t *consumer, rd_kafka_resp_err_t what,
                       rd_kafka_topic_partition_list_t *partitions, void *opaque)
{
    struct member *member = opaque;
    bool given = what == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
    for (int i = 0; i < partitions->cnt; i++)
        member->owned[partitions->elems[i].partition] = given;
    if (!given)
        member->revocations++;
    rd_kafka_assign(consumer, given ? partitions : NULL);
}

/* instance may be NULL. */
static struct member *join(struct group *group, const char *address, const char *instance)
{
    static const char *const settings[][2] = {
        {"enable.auto.commit", "false"}, {"auto.offset.reset", "earliest"},
        {"session.timeout.ms", "10000"}, {"heartbeat.interval.ms", "100"},
        {"fetch.wait.max.ms", "50"},     {"log_level", "0"}};
    struct member *member = calloc(1, sizeof(*member));
    require(member != NULL, "no memory");
    member->group = group;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
        require(!rd_kafka_conf_set(conf, settings[i][0], settings[i][1], NULL, 0), "%s",
                settings[i][0]);
    rd_kafka_conf_set(conf, "bootstrap.servers", address, NULL, 0);
    rd_kafka_conf_set(conf, "group.id", group->topic, NULL, 0);
    if (instance)
        require(!rd_kafka_conf_set(conf, "group.instance.id", instance, NULL, 0),
                "group.instance.id");
    rd_kafka_conf_set_rebalance_cb(conf, rebalanced);
    rd_kafka_conf_set_opaque(conf, member);
    member->consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, NULL, 0);
    require(member->consumer != NULL, "no consumer");
    rd_kafka_poll_set_consumer(member->consumer);
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, group->topic, RD_KAFKA_PARTITION_UA);
    require(!rd_kafka_subscribe(member->consumer, topics), "subscribe");
    rd_kafka_topic_partition_list_destroy(topics);
    return member;
}

static void step(struct member *member)
{
    rd_kafka_message_t *m = rd_kafka_consumer_poll(member->consumer, 10);
    if (m && !m->err) {
        char value[16] = "";
        require(m->len < sizeof(value), "a value of %zu bytes", m->len);
        memcpy(value, m->payload, m->len);
        long n = strtol(value, NULL, 10);
        require(n >= 0 && n < member->group->published, "%s was not published", value);
        if (member->group->times[n]++ == 0)
            member->group->consumed++;
        rd_kafka_resp_err_t error = rd_kafka_commit_message(member->consumer, m, 0);
        require(!error, "commit: %s", rd_kafka_err2str(error));
    }
    if (m)
        rd_kafka_message_destroy(m);
}

static void leave(struct member *member)
{
    reader_free(member->consumer);
    free(member);
}

static int owned(const struct member *member)
{
    int count = 0;
    for (int p = 0; p < PARTITIONS; p++)
        count += member->owned[p];
    return count;
}

/* Until everybody has something, all is owned, and all that was published has come. */
static void settle(struct member **members, int count)
{
    time_t deadline = time(NULL) + LIMIT_MS / 1000;
    for (;;) {
        int sum = 0;
        bool everybody = true;
        for (int i = 0; i < count; i++) {
            step(members[i]);
            sum += owned(members[i]);
            everybody = everybody && owned(members[i]) > 0;
        }
        if (everybody && sum == PARTITIONS &&
            members[0]->group->consumed == members[0]->group->published)
            return;
        require(time(NULL) < deadline,
                "%d members own %d partitions and %d of %d records have come", count, sum,
                members[0]->group->consumed, members[0]->group->published);
    }
}

static void publish_more(rd_kafka_t *producer, struct group *group)
{
    for (int i = 0; i < 40; i++) {
        char value[16];
        require(group->published < RECORDS_MAX, "too many records");
        snprintf(value, sizeof(value), "%d", group->published++);
        publish(producer, group->topic,
                &(struct giving){.partition = i % PARTITIONS, .value = value});
    }
    flush(producer);
}

static void require_once(const struct group *group)
{
    for (int i = 0; i < group->published; i++)
        require(group->times[i] == 1, "record %d came %d times", i, group->times[i]);
}

void sharing(rd_kafka_t *admin, const char *address)
{
    struct group group = {.topic = "groups"};
    struct member *members[3];
    require(!topic_create(admin, group.topic, PARTITIONS, NULL, NULL), "create %s", group.topic);
    publish_more(admin, &group);
    for (int count = 1; count <= 3; count++) {
        members[count - 1] = join(&group, address, NULL);
        settle(members, count);
        publish_more(admin, &group);
        settle(members, count);
    }
    for (int gone = 0; gone < 2; gone++) {
        leave(members[gone]);
        settle(members + gone + 1, 2 - gone);
        publish_more(admin, &group);
        settle(members + gone + 1, 2 - gone);
    }
    leave(members[2]);
    require_once(&group);
}

void instances(rd_kafka_t *admin, const char *address)
{
    struct group group = {.topic = "static"};
    require(!topic_create(admin, group.topic, PARTITIONS, NULL, NULL), "create %s", group.topic);
    publish_more(admin, &group);
    struct member *members[2] = {join(&group, address, "one"), join(&group, address, "two")};
    settle(members, 2);
    bool had[PARTITIONS];
    memcpy(had, members[1]->owned, sizeof(had));
    int revocations = members[0]->revocations;
    leave(members[1]);
    publish_more(admin, &group);
    members[1] = join(&group, address, "two");
    settle(members, 2);
    require(memcmp(had, members[1]->owned, sizeof(had)) == 0,
            "an instance comes back to other partitions");
    require(members[0]->revocations == revocations, "the other one was disturbed");
    leave(members[0]);
    leave(members[1]);
    require_once(&group);
}
