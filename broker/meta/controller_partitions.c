/* SPDX-License-Identifier: Apache-2.0 */

/* Operations about partitions that are there: what cluster.h decides, for the operations of meta.h. */
#include "meta/cluster.h"
#include "meta/controller_private.h"

#include <stdio.h>

/* An error of one partition that is one of the whole operation. */
static int ends_all(int error)
{
    return error == ERR_TOO_LARGE || error == ERR_NO_MEMORY ? error : 0;
}

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
    return ends_all(error);
}

static int decide_alterations(struct cluster *k, struct meta_op *op)
{
    int error = cluster_check_broker(k, op->broker, op->broker_epoch);
    assert(!op->validate_only);
    for (uint32_t i = 0; i < op->alteration_count && !error; i++) {
        error = alter_one(k, op, &op->alterations[i]);
    }
    return error;
}

int controller_alter_partitions(const struct controller *c, struct meta_op *op)
{
    return controller_with_cluster(c, op, decide_alterations);
}

/* --- ElectLeaders ----------------------------------------------------------------------------- */

static int decide_elections(struct cluster *k, struct meta_op *op)
{
    int error = 0;
    for (uint32_t i = 0; i < op->election_count && !error; i++) {
        struct meta_election *e = &op->elections[i];
        e->error = cluster_elect(k, e->topic, e->partition, op->unclean);
        error = ends_all(e->error);
    }
    return error;
}

int controller_elect_leaders(const struct controller *c, struct meta_op *op)
{
    assert(!op->validate_only);
    if (op->election_count > META_ELECTIONS_MAX) {
        return controller_refuse(op, ERR_INVALID_REQUEST, "At most %d elections are made at once.",
                                 (int)META_ELECTIONS_MAX);
    }
    return controller_with_cluster(c, op, decide_elections);
}

/* --- AlterPartitionReassignments -------------------------------------------------------------- */

/* The most replicas that there are at once when these follow those that there are. */
static int32_t replicas_at_once(const struct controller *c, const struct meta_reassignment *r)
{
    const struct image_topic *t =
        image_topic_by_name(c->candidate ? c->candidate : c->image, bytes_of_string(r->topic));
    const struct image_partition *p = image_topic_partition(t, r->partition);
    int32_t count = p ? p->replica_count : 0; /* refused for another reason */
    for (int32_t i = 0; p && i < r->replica_count; i++) {
        count += !image_partition_holds(p, r->replicas[i]);
    }
    return count;
}

static int reassign_one(struct cluster *k, const struct meta_op *op, struct meta_reassignment *r)
{
    r->why[0] = 0;
    if (r->replicas && !controller_keeps(k->c, replicas_at_once(k->c, r))) {
        r->error = ERR_INVALID_REPLICATION_FACTOR;
        snprintf(
            r->why, sizeof r->why,
            "A partition has at most %d replicas, counting those that go when others have come.",
            (int)k->c->limits->replication_factor_max);
        return 0;
    }
    r->error = cluster_reassign(k, r->topic, r->partition, r->replicas, r->replica_count,
                                !op->keep_factor);
    if (r->error) {
        snprintf(r->why, sizeof r->why, "%.119s", k->why[0] ? k->why : error_text(r->error));
    }
    k->why[0] = 0;
    return ends_all(r->error);
}

static int decide_reassignments(struct cluster *k, struct meta_op *op)
{
    int error = 0;
    for (uint32_t i = 0; i < op->reassignment_count && !error; i++) {
        error = reassign_one(k, op, &op->reassignments[i]);
    }
    return error;
}

int controller_reassign(const struct controller *c, struct meta_op *op)
{
    assert(!op->validate_only);
    if (op->reassignment_count > META_REASSIGNMENTS_MAX) {
        return controller_refuse(op, ERR_INVALID_REQUEST,
                                 "At most %d partitions are given other replicas at once.",
                                 (int)META_REASSIGNMENTS_MAX);
    }
    return controller_with_cluster(c, op, decide_reassignments);
}

/* --- reports of replicas ---------------------------------------------------------------------- */

static enum cluster_report kind_of(const struct meta_replica_report *r)
{
    return r->report == META_REPLICA_DAMAGED ? CLUSTER_DAMAGED
           : r->report == META_REPLICA_SHORT ? CLUSTER_SHORT
                                             : CLUSTER_REPAIRED;
}

static int decide_reports(struct cluster *k, struct meta_op *op)
{
    int error = cluster_check_broker(k, op->broker, op->broker_epoch);
    for (uint32_t i = 0; i < op->report_count && !error; i++) {
        struct meta_replica_report *r = &op->reports[i];
        const struct isr_end end = {op->broker, op->broker_epoch, r->epoch, r->offset};
        r->error = r->report == META_REPLICA_END
                       ? cluster_report_end(k, r->topic_id, r->partition, end)
                       : cluster_report(k, op->broker, r->topic_id, r->partition, kind_of(r));
        error = ends_all(r->error);
    }
    return error;
}

int controller_report_replicas(const struct controller *c, struct meta_op *op)
{
    assert(!op->validate_only);
    if (op->report_count > META_ELECTIONS_MAX) {
        return controller_refuse(op, ERR_INVALID_REQUEST,
                                 "At most %d replicas are reported at once.",
                                 (int)META_ELECTIONS_MAX);
    }
    return controller_with_cluster(c, op, decide_reports);
}

/* --- by time ---------------------------------------------------------------------------------- */

static int decide_balance(struct cluster *k, struct meta_op *op)
{
    return cluster_balance(k);
}

int controller_balance(const struct controller *c, struct meta_op *op)
{
    return controller_with_cluster(c, op, decide_balance);
}

static int decide_growth(struct cluster *k, struct meta_op *op)
{
    return cluster_grow(k, op->own_only, &op->later);
}

int controller_grow(const struct controller *c, struct meta_op *op)
{
    return controller_with_cluster(c, op, decide_growth);
}
