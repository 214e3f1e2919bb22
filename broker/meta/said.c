/* SPDX-License-Identifier: Apache-2.0 */

/* See said.h. */
#include "meta/said.h"

#include "meta/meta_private.h"

#define MISSED_NS UINT64_C(5000000000) /* an election takes one to two seconds */

void said_init(struct said *s)
{
    *s = (struct said){.leader = RAFT_NOBODY};
}

static void say_nobody(struct meta *m)
{
    struct said *s = &m->said;
    uint64_t now = io_now(m->io);
    if (s->leader == m->identity.node_id) {
        log_warn(io_logger(m->io), "meta", "this node leads the metadata quorum no more: epoch=%d",
                 (int)s->epoch);
    }
    s->leader = RAFT_NOBODY;
    s->nobody_ns = s->nobody_ns ? s->nobody_ns : now;
    if (!s->missed && now - s->nobody_ns >= MISSED_NS) {
        char why[META_WHY_SIZE];
        quorum_why_nobody(m, why);
        log_warn(io_logger(m->io), "meta", "%s", why);
        s->missed = true;
    }
}

void said_leader(struct meta *m)
{
    struct said *s = &m->said;
    struct raft_leadership now = meta_leadership(m);
    if (m->resigned) {
        return;
    }
    if (now.leader == RAFT_NOBODY) {
        say_nobody(m);
        return;
    }
    s->nobody_ns = 0;
    s->missed = false;
    if (now.leader == s->leader && now.epoch == s->epoch) {
        return;
    }
    s->leader = now.leader;
    s->epoch = now.epoch;
    if (now.leader == m->identity.node_id) {
        log_info(io_logger(m->io), "meta", "this node leads the metadata quorum: epoch=%d",
                 (int)now.epoch);
    } else {
        log_info(io_logger(m->io), "meta", "node %d leads the metadata quorum: epoch=%d",
                 (int)now.leader, (int)now.epoch);
    }
}

void said_brokers(struct meta *m, const struct image *before, const struct image *next)
{
    for (uint32_t i = 0; before && i < image_broker_count(next); i++) {
        const struct image_broker *b = image_broker_at(next, i);
        const struct image_broker *old = image_broker_by_id(before, b->id);
        bool was_fenced = !old || old->fenced;
        if (was_fenced == b->fenced) {
            continue;
        }
        if (!b->fenced) {
            log_info(io_logger(m->io), "meta", "broker %d takes part: it may lead", (int)b->id);
        } else if (old->shutting_down) {
            log_info(io_logger(m->io), "meta", "broker %d has taken leave", (int)b->id);
        } else {
            log_warn(io_logger(m->io), "meta",
                     "broker %d is fenced, it is not heard of: it leads nothing until it is back",
                     (int)b->id);
        }
    }
}
