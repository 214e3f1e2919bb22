/* SPDX-License-Identifier: Apache-2.0 */

/* Operations about partitions that are there: what cluster.h decides, for the operations of meta.h. */
#include "meta/cluster.h"
#include "meta/controller_private.h"

/* --- AlterPartition --------------------------------------------------------------------------- */

static void tell_state(struct meta_alteration *a, const struct isr_state *s)
{
    a->leader_now = s->leader;
    a->epoch_now = s->leader_epoch;
    a->partition_epoch_now = s->partition_epoch;
    a->recovering_now = s->recovering;
    a->isr_now_count = s->isr.count;
    memcpy(a->isr_now, s->isr.ids, (size_t)s->isr.count * sizeof a->isr_now[0]);
}

/* 0, or what ends the whole operation; the error of the partition alone is told in `a`. */
static int alter_one(struct cluster *k, const struct meta_op *op, struct meta_alteration *a)
{
    const struct isr_request q = {
        .sender = op->broker,
        .leader_epoch = a->leader_epoch,
        .partition_epoch = a->partition_epoch,
        .recovering = a->recovering,
        .members = a->members,
        .member_count = a->member_count,
    };
    struct isr_state after = {.leader = -1, .leader_epoch = -1, .partition_epoch = -1};
    int error = cluster_alter(k, a->topic_id, a->partition, &q, &after);
    tell_state(a, &after);
    if (!error && after.leader_epoch != a->leader_epoch) {
        error = ERR_NEW_LEADER_ELECTED;
    }
    a->error = error;
    return error == ERR_TOO_LARGE || error == ERR_NO_MEMORY ? error : 0;
}

static int decide_alterations(struct cluster *k, struct meta_op *op)
{
    int error = cluster_check_broker(k, op->broker, op->broker_epoch);
    for (uint32_t i = 0; i < op->alteration_count && !error; i++) {
        error = alter_one(k, op, &op->alterations[i]);
    }
    return error;
}

int controller_alter_partitions(const struct controller *c, struct meta_op *op)
{
    return controller_with_cluster(c, op, decide_alterations);
}
