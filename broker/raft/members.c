/* SPDX-License-Identifier: Apache-2.0 */

/* Changes of the voters, one at a time (KIP-853). Two sets that differ by one voter share a member in any
 * two majorities; with two changes under way that would not be so. */
#include "raft/raft_private.h"

#include <string.h>

/* It has lacked nothing within the time in which a leader must be heard of. */
static bool caught_up(const struct raft *r, struct raft_id id)
{
    const struct raft_peer *p = peer_find(r, id);
    return p && p->caught_up_ns > 0 && r->now_ns <= p->caught_up_ns + r->options.fetch_ns;
}

static int add(const struct raft *r, struct raft_id id, struct raft_voters *out)
{
    for (uint32_t i = 0; i < out->count; i++) {
        if (out->ids[i].node == id.node) {
            return ERR_EXISTS; /* also in another directory: that voter is to be removed first */
        }
    }
    if (out->count == RAFT_VOTERS_MAX) {
        return ERR_TOO_LARGE;
    }
    if (!caught_up(r, id)) {
        return ERR_REPLICA_NOT_AVAILABLE;
    }
    out->ids[out->count++] = id;
    return 0;
}

/* Most of them have fetched since then, or are this leader: they can commit what is appended. */
static bool most_are_heard(const struct raft *r, const struct raft_voters *voters,
                           uint64_t since_ns)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < voters->count; i++) {
        const struct raft_peer *p = peer_find(r, voters->ids[i]);
        bool fetches = p && p->durable >= 0 && p->fetched_ns >= since_ns;
        count += fetches || raft_id_equal(voters->ids[i], r->options.self);
    }
    return count > voters->count / 2;
}

static int drop(const struct raft *r, struct raft_id id, struct raft_voters *out)
{
    uint32_t at = 0;
    while (at < out->count && !raft_id_equal(out->ids[at], id)) {
        at++;
    }
    if (at == out->count) {
        return ERR_NOT_FOUND;
    }
    if (out->count == 1) {
        return ERR_INVALID_ARGUMENT;
    }
    out->count--;
    memmove(out->ids + at, out->ids + at + 1, (out->count - at) * sizeof *out->ids);
    /* One that is there comes again when its fetch has waited. */
    uint64_t patience_ns = 2 * r->options.wait_ns;
    uint64_t since_ns = r->now_ns > patience_ns ? r->now_ns - patience_ns : 0;
    return most_are_heard(r, out, since_ns) ? 0 : ERR_NOT_ENOUGH_REPLICAS;
}

bool raft_remaining(struct raft *r, uint64_t now_ns, struct raft_id id, uint64_t since_ns)
{
    assert(r->magic == RAFT_MAGIC && now_ns >= r->now_ns && since_ns <= now_ns);
    r->now_ns = now_ns;
    struct raft_voters others = {.count = 0};
    const struct raft_voters *all = history_voters(&r->log);
    for (uint32_t i = 0; r->role == RAFT_LEADER && i < all->count; i++) {
        if (!raft_id_equal(all->ids[i], id)) {
            others.ids[others.count++] = all->ids[i];
        }
    }
    if (others.count == 0 || most_are_heard(r, &others, since_ns)) {
        return true;
    }
    leader_asks(r, since_ns);
    return false;
}

int raft_may_change(const struct raft *r)
{
    assert(r->magic == RAFT_MAGIC);
    if (r->role != RAFT_LEADER) {
        return ERR_NOT_CONTROLLER;
    }
    bool pending = history_voters_from(&r->log) >= r->high_watermark &&
                   !raft_mutated(r, RAFT_MUTANT_CHANGE_TWICE);
    return !leader_settled(r) || pending ? ERR_BUSY : 0;
}

int raft_change(const struct raft *r, uint64_t now_ns, bool adding, struct raft_id id,
                struct raft_voters *out)
{
    struct raft_voters next;
    assert(r->magic == RAFT_MAGIC && now_ns >= r->now_ns);
    int error = raft_may_change(r);
    if (error) {
        return error;
    }
    next = *history_voters(&r->log);
    error = adding ? add(r, id, &next) : drop(r, id, &next);
    if (!error) {
        *out = next;
    }
    return error;
}
