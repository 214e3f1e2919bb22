/* SPDX-License-Identifier: Apache-2.0 */

/* Requests that are about partitions and brokers that are there. */
#include "broker.h"

#include <stdio.h>

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
