/* SPDX-License-Identifier: Apache-2.0 */

/* Operations about brokers: what cluster.h decides, for the operations of meta.h. */
#include "meta/cluster.h"
#include "meta/controller_private.h"

#include <stdio.h>

int controller_with_cluster(const struct controller *c, struct meta_op *op,
                            int (*decide)(struct cluster *k, struct meta_op *op))
{
    struct cluster *k = memory_alloc(c->memory, sizeof *k);
    if (!k) {
        return controller_refuse(op, ERR_NO_MEMORY, "%s", error_text(ERR_NO_MEMORY));
    }
    cluster_init(k, c, c->sessions, c->now_ns);
    int error = decide(k, op);
    op->more = !error && k->more;
    op->changed_count += k->changed;
    op->unclean_count = k->unclean;
    if (error && k->why[0]) {
        snprintf(op->why, sizeof op->why, "%s", k->why);
    }
    memory_free(c->memory, k);
    return error;
}

static int decide_registration(struct cluster *k, struct meta_op *op)
{
    const struct meta_registration *in = op->registration;
    struct memory *memory = k->c->memory;
    struct meta_lost *lost = memory_alloc(memory, in->lost_count * sizeof *lost + 1);
    if (!lost) {
        return ERR_NO_MEMORY;
    }
    if (in->lost_count) {
        memcpy(lost, in->lost, in->lost_count * sizeof *lost);
    }
    cluster_lost_sort(lost, in->lost_count);
    const struct cluster_registration q = {
        .broker = op->broker,
        .cluster_id = in->cluster_id,
        .incarnation = in->incarnation,
        .directory = in->directory,
        .rack = in->rack,
        .endpoints = in->endpoints,
        .endpoint_count = in->endpoint_count,
        .metadata_version_min = in->metadata_version_min,
        .metadata_version_max = in->metadata_version_max,
        .here = in->here,
        .lost = lost,
        .lost_count = in->lost_count,
        .next_offset = k->c->next_offset,
    };
    int error = cluster_register(k, &q, &op->broker_epoch);
    op->displaced = k->displaced;
    memory_free(memory, lost);
    return error;
}

int controller_register_broker(const struct controller *c, struct meta_op *op)
{
    return controller_with_cluster(c, op, decide_registration);
}

static int decide_heartbeat(struct cluster *k, struct meta_op *op)
{
    struct meta_heartbeat *h = op->heartbeat;
    const struct cluster_heartbeat q = {
        .broker = op->broker,
        .epoch = op->broker_epoch,
        .arrived_ns = op->priv.arrived_ns,
        .offset = h->offset,
        .want_fence = h->wants_fence,
        .want_shut_down = h->wants_shut_down,
    };
    struct cluster_heartbeat_answer a;
    int error = cluster_heartbeat(k, &q, &a);
    if (!error) {
        h->is_caught_up = a.caught_up;
        h->is_fenced = a.fenced;
        h->should_shut_down = a.should_shut_down;
    }
    return error;
}

int controller_heartbeat(const struct controller *c, struct meta_op *op)
{
    return controller_with_cluster(c, op, decide_heartbeat);
}

static int decide_expiry(struct cluster *k, struct meta_op *op)
{
    return cluster_expire(k);
}

int controller_expire_brokers(const struct controller *c, struct meta_op *op)
{
    return controller_with_cluster(c, op, decide_expiry);
}

static int decide_unregistration(struct cluster *k, struct meta_op *op)
{
    return cluster_unregister(k, op->broker);
}

int controller_unregister_broker(const struct controller *c, struct meta_op *op)
{
    return controller_with_cluster(c, op, decide_unregistration);
}

static int decide_giving_up(struct cluster *k, struct meta_op *op)
{
    uint64_t arrived = op->priv.arrived_ns;
    const struct cluster_giving_up q = {
        .broker = op->broker,
        .directory = op->directory_id,
        .since_ns = arrived > op->asked_ns ? arrived - op->asked_ns : 0,
    };
    return cluster_give_up(k, &q);
}

int controller_give_up_replicas(const struct controller *c, struct meta_op *op)
{
    return controller_with_cluster(c, op, decide_giving_up);
}
