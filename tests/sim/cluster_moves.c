/* SPDX-License-Identifier: Apache-2.0 */

/* Replicas that are given other brokers while clients write and read, as people do: AlterPartitionReassignments at
 * any node, and now and then what is under way called off. */
#include "cluster_world.h"

#include "wire/wire.h"

static void some_nodes(struct cluster_world *w, int32_t *out, int32_t count)
{
    int32_t all[CLUSTER_NODES_MAX];
    for (uint32_t i = 0; i < w->count; i++) {
        all[i] = (int32_t)i + 1;
    }
    for (int32_t i = 0; i < count; i++) {
        uint64_t at = (uint64_t)i + prng_below(&w->random, w->count - (uint64_t)i);
        int32_t chosen = all[at];
        all[at] = all[i];
        out[i] = all[i] = chosen;
    }
}

void world_reassign(struct cluster_world *w, struct member *m, const struct told_topic *t)
{
    int32_t replicas[CLUSTER_REPLICAS_MAX], factor = w->options.replication_factor;
    struct alter_partition_reassignments_request_partitions partition;
    struct alter_partition_reassignments_request_topics topic;
    struct alter_partition_reassignments_request q;
    assert((uint32_t)factor <= w->count);
    alter_partition_reassignments_request_init(&q);
    alter_partition_reassignments_request_topics_init(&topic);
    alter_partition_reassignments_request_partitions_init(&partition);
    some_nodes(w, replicas, factor);
    partition.partition_index = (int32_t)prng_below(&w->random, CLUSTER_PARTITIONS);
    if (prng_below(&w->random, 5)) {
        partition.replicas = replicas;
        partition.replicas_count = factor;
    } else {
        partition.replicas_count = -1; /* called off */
    }
    topic.name = wire_string_of(t->name);
    topic.partitions = &partition;
    topic.partitions_count = 1;
    q.topics = &topic;
    q.topics_count = 1;
    q.timeout_ms = 2000;
    if (ask_begin(w, m, WIRE_ALTER_PARTITION_REASSIGNMENTS, 0, &q)) {
        sim_story(w->sim, "operator: asks node %d for other replicas of %s-%d", (int)m->id, t->name,
                  (int)partition.partition_index);
    }
}

bool world_reassigned(struct ask *a)
{
    const struct alter_partition_reassignments_response *r = ask_answer(a);
    return !r->error_code && r->responses_count == 1 && r->responses[0].partitions_count == 1 &&
           !r->responses[0].partitions[0].error_code;
}
