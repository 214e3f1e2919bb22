/* SPDX-License-Identifier: Apache-2.0 */

/* Requests that are about partitions and brokers that are there. */
#include "broker.h"

#include "base/prng.h"
#include "wire/random.h"

#include <stdio.h>
#include <stdlib.h>

static struct uuid id_of_topic(int client, const char *name)
{
    struct metadata_request_topics t = {.name = wire_string_of(name)};
    struct metadata_request q;
    metadata_request_init(&q);
    q.topics = &t;
    q.topics_count = 1;
    return ((struct metadata_response *)client_ask(client, 3, 12, &q))->topics[0].topic_id;
}

/* --- AlterPartition --------------------------------------------------------------------------- */

struct proposal {
    struct alter_partition_request q;
    struct alter_partition_request_topics topic;
    struct alter_partition_request_partitions partition;
    struct alter_partition_request_new_isr_with_epochs member;
    int32_t node;
};

static struct alter_partition_response *propose(int client, int16_t version, struct uuid topic,
                                                int64_t broker_epoch, int32_t partition_epoch,
                                                int8_t recovery)
{
    struct proposal p = {.node = 1};
    alter_partition_request_init(&p.q);
    alter_partition_request_topics_init(&p.topic);
    alter_partition_request_partitions_init(&p.partition);
    p.member = (struct alter_partition_request_new_isr_with_epochs){1, broker_epoch};
    p.q.broker_id = 1;
    p.q.broker_epoch = broker_epoch;
    p.q.topics = &p.topic;
    p.q.topics_count = 1;
    p.topic.topic_id = topic;
    p.topic.partitions = &p.partition;
    p.topic.partitions_count = 1;
    p.partition.partition_epoch = partition_epoch;
    p.partition.leader_recovery_state = recovery;
    if (version < 3) {
        p.partition.new_isr = &p.node;
        p.partition.new_isr_count = 1;
    } else {
        p.partition.new_isr_with_epochs = &p.member;
        p.partition.new_isr_with_epochs_count = 1;
    }
    return client_ask(client, 56, version, &p.q);
}

/* That of the broker's own registration, which is one of the first records. */
static int64_t broker_epoch(int client)
{
    for (int64_t epoch = 0; epoch < 100; epoch++) {
        if (propose(client, 3, (struct uuid){{0}}, epoch, 0, 0)->error_code == 0) {
            return epoch;
        }
    }
    cr_assert_fail("no epoch is the broker's");
    return -1;
}

Test(alter_partition, of_a_leader_that_stands_alone)
{
    struct broker *b = broker_start(2, NULL);
    int client = client_open(b);
    topic_create(client, "t", 1, NULL);
    struct uuid t = id_of_topic(client, "t");
    int64_t epoch = broker_epoch(client);
    struct alter_partition_response *a = propose(client, 3, t, epoch, 0, 0);
    cr_assert_eq(a->error_code, 0);
    cr_assert(a->topics_count == 1 && uuid_equal(a->topics[0].topic_id, t));
    const struct alter_partition_response_partitions *p = &a->topics[0].partitions[0];
    cr_assert(p->error_code == 0 && p->leader_id == 1 && p->isr_count == 1 && p->isr[0] == 1);
    cr_assert_eq(p->partition_epoch, 1, "also what changes nothing moves it");
    p = &propose(client, 3, t, epoch, 0, 0)->topics[0].partitions[0];
    cr_assert(p->error_code == 95 && p->partition_epoch == 1 && p->leader_id == 1, "%d",
              p->error_code);
    p = &propose(client, 2, t, epoch, 1, 0)->topics[0].partitions[0];
    cr_assert_eq(p->error_code, 107, "a member without its broker epoch does not count");
    p = &propose(client, 3, (struct uuid){{9}}, epoch, 1, 0)->topics[0].partitions[0];
    cr_assert(p->error_code == 100 && p->leader_id == -1 && p->isr_count == 0);
    cr_assert_eq(propose(client, 3, t, epoch, 1, 2)->error_code, 42, "no state of a leader");
    cr_assert_eq(propose(client, 3, t, epoch + 1, 1, 0)->error_code, 77);
    client_close(client);
    broker_stop(b);
}

/* --- ElectLeaders ----------------------------------------------------------------------------- */

static struct elect_leaders_response *elect(int client, int16_t version, int8_t type,
                                            const char *topic, int32_t partition)
{
    struct elect_leaders_request_topic_partitions t = {
        .topic = wire_string_of(topic), .partitions = &partition, .partitions_count = 1};
    struct elect_leaders_request q;
    elect_leaders_request_init(&q);
    q.election_type = type;
    q.topic_partitions = topic ? &t : NULL;
    q.topic_partitions_count = topic ? 1 : -1;
    return client_ask(client, 43, version, &q);
}

static int16_t elect_error(int client, int16_t version, int8_t type, const char *topic,
                           int32_t partition)
{
    struct elect_leaders_response *a = elect(client, version, type, topic, partition);
    cr_assert_eq(a->error_code, 0);
    cr_assert(a->replica_election_results_count == 1);
    cr_assert(wire_string_equal(a->replica_election_results[0].topic, wire_string_of(topic)));
    cr_assert_eq(a->replica_election_results[0].partition_result_count, 1);
    const struct elect_leaders_response_partition_result *p =
        a->replica_election_results[0].partition_result;
    cr_assert_eq(p->partition_id, partition);
    cr_assert_eq(p->error_message.size > 0, p->error_code != 0);
    return p->error_code;
}

Test(elect_leaders, of_partitions_that_have_one)
{
    struct broker *b = broker_start(2, NULL);
    int client = client_open(b);
    topic_create(client, "t", 3, NULL);
    for (int16_t version = 0; version <= 2; version++) {
        cr_assert_eq(elect_error(client, version, 0, "t", 2), 84, "no election is needed");
        cr_assert_eq(elect_error(client, version, 0, "t", 3), 3);
        cr_assert_eq(elect_error(client, version, 0, "none", 0), 3);
        struct elect_leaders_response *all = elect(client, version, 0, NULL, 0);
        cr_assert(all->error_code == 0 && all->replica_election_results_count == 0);
    }
    cr_assert_eq(elect_error(client, 2, 1, "t", 2), 84);
    cr_assert_eq(elect(client, 2, 2, "t", 2)->error_code, 42, "no such kind of election");
    client_close(client);
    broker_stop(b);
}

/* --- ReplicaReport, and an unclean election of what it leaves --------------------------------- */

static struct replica_report_response *report(int client, struct uuid topic, int64_t epoch,
                                              int8_t what)
{
    struct replica_report_request_partitions p = {0, what};
    struct replica_report_request_topics t = {topic, &p, 1};
    const struct replica_report_request q = {1, epoch, &t, 1};
    return client_ask(client, 10000, 0, &q);
}

static int32_t leader_of(int client, const char *name)
{
    struct metadata_request_topics t = {.name = wire_string_of(name)};
    struct metadata_request q;
    metadata_request_init(&q);
    q.topics = &t;
    q.topics_count = 1;
    struct metadata_response *a = client_ask(client, 3, 12, &q);
    return a->topics[0].partitions[0].leader_id;
}

Test(replica_report, of_the_only_replica)
{
    struct broker *b = broker_start(1, NULL);
    int client = client_open(b);
    topic_create(client, "t", 1, NULL);
    struct uuid t = id_of_topic(client, "t");
    int64_t epoch = broker_epoch(client);
    cr_assert_eq(report(client, t, epoch + 1, 1)->error_code, 77);
    cr_assert_eq(report(client, t, epoch, 5)->error_code, 42);
    cr_assert_eq(report(client, t, epoch, 0)->error_code, 42);
    struct replica_report_response *a = report(client, (struct uuid){{5}}, epoch, 2);
    cr_assert(a->error_code == 0 && a->topics[0].partitions[0].error_code == 100);
    cr_assert_eq(produce(client, "t", 0, batch_make(1, 0, 10, NULL), -1)->error_code, 0);
    a = report(client, t, epoch, 2);
    cr_assert(a->error_code == 0 && a->topics[0].partitions[0].error_code == 0);
    cr_assert_eq(leader_of(client, "t"), -1, "it lacks something, and nobody else has it");
    cr_assert_eq(produce(client, "t", 0, batch_make(1, 1, 10, NULL), 1)->error_code, 6);
    cr_assert_eq(elect_error(client, 2, 0, "t", 0), 80, "not by itself");
    struct elect_leaders_response *all = elect(client, 2, 1, NULL, 0);
    cr_assert(all->error_code == 0 && all->replica_election_results_count == 1);
    cr_assert_eq(all->replica_election_results[0].partition_result[0].error_code, 0);
    cr_assert_eq(leader_of(client, "t"), 1, "the operator has decided");
    cr_assert(broker_warned(b, "unclean election"), "it is told");
    cr_assert_eq(produce(client, "t", 0, batch_make(1, 1, 10, NULL), -1)->error_code, 0);
    client_close(client);
    broker_stop(b);
}

/* --- reassignments ---------------------------------------------------------------------------- */

static struct alter_partition_reassignments_response *reassign(int client, int16_t version,
                                                               const char *topic, int32_t partition,
                                                               int32_t *replicas, int32_t count)
{
    struct alter_partition_reassignments_request_partitions p = {partition, replicas, count};
    struct alter_partition_reassignments_request_topics t = {wire_string_of(topic), &p, 1};
    struct alter_partition_reassignments_request q;
    alter_partition_reassignments_request_init(&q);
    q.topics = &t;
    q.topics_count = 1;
    return client_ask(client, 45, version, &q);
}

Test(reassignments, of_a_broker_that_is_alone)
{
    int32_t here[] = {1}, elsewhere[] = {9}, twice[] = {1, 1};
    const struct {
        const char *topic;
        int32_t partition, *replicas, count;
        int16_t error;
        const char *why;
    } cases[] = {
        {"t", 0, here, 1, 0, NULL},
        {"t", 0, elsewhere, 1, 39, "broker 9"},
        {"t", 0, twice, 2, 39, "more than once"},
        {"t", 0, here, 0, 39, "names 0 replicas"},
        {"t", 0, NULL, -1, 85, "in progress"},
        {"t", 4, here, 1, 3, "no such partition"},
        {"none", 0, here, 1, 3, "no such topic"},
    };
    struct broker *b = broker_start(2, NULL);
    int client = client_open(b);
    topic_create(client, "t", 1, NULL);
    for (size_t i = 0; i < 2 * array_size(cases); i++) {
        const int n = (int)(i / 2);
        struct alter_partition_reassignments_response *a =
            reassign(client, (int16_t)(i % 2), cases[n].topic, cases[n].partition,
                     cases[n].replicas, cases[n].count);
        cr_assert_eq(a->error_code, 0);
        const struct alter_partition_reassignments_response_partitions *p =
            a->responses[0].partitions;
        cr_expect_eq(p->error_code, cases[n].error, "%d: %d", n, p->error_code);
        if (cases[n].why) {
            char why[200];
            snprintf(why, sizeof why, "%.*s", p->error_message.size, p->error_message.data);
            cr_expect(strstr(why, cases[n].why), "%d: says \"%s\"", n, why);
        } else {
            cr_expect_eq(p->error_message.size, -1);
        }
    }
    struct list_partition_reassignments_request q;
    list_partition_reassignments_request_init(&q);
    q.topics_count = -1;
    struct list_partition_reassignments_response *l = client_ask(client, 46, 0, &q);
    cr_assert(l->error_code == 0 && l->topics_count == 0);
    int32_t number[] = {0, 7};
    struct list_partition_reassignments_request_topics t[] = {{wire_string_of("t"), number, 2},
                                                              {wire_string_of("none"), number, 1}};
    q.topics = t;
    q.topics_count = 2;
    l = client_ask(client, 46, 0, &q);
    cr_assert(l->error_code == 0 && l->topics_count == 0);
    client_close(client);
    broker_stop(b);
}

/* --- brokers and features --------------------------------------------------------------------- */

static struct unregister_broker_response *unregister(int client, int32_t broker)
{
    const struct unregister_broker_request q = {broker};
    return client_ask(client, 64, 0, &q);
}

/* One that lives is registered anew, and leads again what it has led. */
Test(unregister_broker, unknown_and_alive)
{
    struct broker *b = broker_start(2, NULL);
    int client = client_open(b);
    topic_create(client, "t", 1, NULL);
    struct unregister_broker_response *a = unregister(client, 5);
    cr_assert_eq(a->error_code, 102);
    cr_assert_gt(a->error_message.size, 0);
    a = unregister(client, 1);
    cr_assert(a->error_code == 0 && a->error_message.size == -1);
    while (leader_of(client, "t") != 1) { /* the test's time is the limit */
    }
    int16_t error = 6;
    while (error == 6) {
        error = produce(client, "t", 0, batch_make(1, 0, 10, NULL), -1)->error_code;
    }
    cr_assert_eq(error, 0);
    client_close(client);
    broker_stop(b);
}

static struct update_features_response *update(int client, int16_t version, const char *feature,
                                               int16_t level, bool down)
{
    struct update_features_request_feature_updates u;
    struct update_features_request q;
    update_features_request_init(&q);
    update_features_request_feature_updates_init(&u);
    u.feature = wire_string_of(feature);
    u.max_version_level = level;
    u.allow_downgrade = version == 0 && down;
    u.upgrade_type = version > 0 && down ? 2 : 1;
    q.feature_updates = &u;
    q.feature_updates_count = 1;
    return client_ask(client, 57, version, &q);
}

static int16_t update_error(int client, int16_t version, const char *feature, int16_t level,
                            bool down)
{
    struct update_features_response *a = update(client, version, feature, level, down);
    if (version == 2) {
        cr_assert_eq(a->error_message.size > 0, a->error_code != 0);
        return a->error_code;
    }
    cr_assert(a->error_code == 0 && a->results_count == 1);
    cr_assert(wire_string_equal(a->results[0].feature, wire_string_of(feature)));
    cr_assert_eq(a->results[0].error_message.size > 0, a->results[0].error_code != 0);
    return a->results[0].error_code;
}

Test(update_features, every_version)
{
    struct broker *b = broker_start(2, NULL);
    int client = client_open(b);
    for (int16_t version = 0; version <= 2; version++) {
        cr_assert_eq(update_error(client, version, "metadata.version", 14, false), 0);
        cr_assert_eq(update_error(client, version, "metadata.version", 14, true), 0);
        cr_assert_eq(update_error(client, version, "metadata.version", 15, false), 95);
        cr_assert_eq(update_error(client, version, "metadata.version", 1, true), 95);
        cr_assert_eq(update_error(client, version, "group.version", 1, false), 95);
    }
    client_close(client);
    broker_stop(b);
}

/* --- whatever is asked ------------------------------------------------------------------------ */

/* Well-formed requests of any content, about a topic that is there and others: each is answered or ends its
 * connection, and the broker lives. */
Test(partitions, requests_of_any_content, .timeout = 120)
{
    static const int16_t keys[] = {43, 45, 46, 56, 57, 62, 64, 10000};
    struct broker *b = broker_start(2, NULL);
    int good = client_open(b);
    struct prng random = prng_of(64);
    unsigned answered = 0;
    topic_create(good, "t", 3, NULL);
    int64_t epoch = broker_epoch(good);
    struct uuid t = id_of_topic(good, "t");
    for (int round = 0; round < 600; round++) {
        const struct wire_api *api = wire_api_find(keys[prng_below(&random, array_size(keys))]);
        int16_t version = (int16_t)prng_between(&random, (uint64_t)api->versions.min,
                                                (uint64_t)api->versions.max);
        void *request = arena_alloc(client_arena(), api->request->body->size);
        random_message(api->request, version, request, &random, client_arena());
        if (api->key == 56 && prng_chance(&random, 1, 2)) {
            struct alter_partition_request *q = request; /* as far as the partitions */
            q->broker_id = 1;
            q->broker_epoch = epoch;
            if (q->topics_count > 0) {
                q->topics[0].topic_id = t;
            }
        } else if (api->key == 10000 && prng_chance(&random, 1, 2)) {
            struct replica_report_request *q = request;
            q->broker_id = 1;
            q->broker_epoch = epoch;
        }
        int client = client_open(b);
        client_send(client, api->key, version, round, request);
        size_t size;
        uint8_t *answer = client_receive_bytes(client, &size);
        answered += answer != NULL;
        free(answer);
        client_close(client);
    }
    cr_assert_gt(answered, 300, "%u were answered", answered);
    while (leader_of(good, "t") != 1) { /* brokers are forgotten now and then */
    }
    client_close(good);
    broker_stop(b);
}
