/* SPDX-License-Identifier: Apache-2.0 */

/* Fetching: a follower asks its leader for what comes next; a replica that knows no leader and may not stand for
 * election asks one voter after the other who leads. Whom a fetch reaches, and leads, counts what it has as durable:
 * none is sent before it is (R2). */
#include "raft/raft_private.h"

static bool may_ask(const struct raft *r)
{
    return !r->loading &&
           (r->durable == r->log.end || raft_mutated(r, RAFT_MUTANT_FETCH_UNFLUSHED));
}

static struct raft_message fetch_to(const struct raft *r, struct raft_id whom)
{
    struct raft_message m = message_to(r, RAFT_FETCH, whom);
    m.end = history_end(&r->log);
    return m;
}

void fetch_probe(struct raft *r, int32_t node)
{
    if (may_ask(r)) {
        struct raft_message m = fetch_to(r, (struct raft_id){.node = node});
        message_send(r, &m);
    }
}

static void ask(struct raft *r, struct raft_id whom)
{
    struct raft_message m = fetch_to(r, whom);
    m.ticket = r->fetch_ticket = ++r->ticket;
    m.reads = r->told_reads;
    m.high_watermark = r->high_watermark;
    r->fetching = true;
    r->fetch_ns = r->now_ns + r->options.retry_ns;
    message_send(r, &m);
}

static bool asks_around(const struct raft *r)
{
    return r->role == RAFT_UNATTACHED && r->deadline_ns == UINT64_MAX;
}

void fetch_tick(struct raft *r)
{
    if (r->now_ns < r->fetch_ns || !may_ask(r)) {
        return;
    }
    if (r->role == RAFT_FOLLOWER) {
        ask(r, (struct raft_id){.node = r->leader});
    } else if (asks_around(r)) {
        const struct raft_voters *voters = history_voters(&r->log);
        struct raft_id whom = voters->ids[prng_below(&r->random, voters->count)];
        /* Under this node's id a directory may vote that was lost: this node would ask itself. */
        if (whom.node != r->options.self.node) {
            ask(r, whom);
        }
        r->fetch_ns = r->now_ns + r->options.retry_ns;
    }
}

uint64_t fetch_deadline(const struct raft *r)
{
    bool asking = r->role == RAFT_FOLLOWER || asks_around(r);
    return asking && may_ask(r) ? r->fetch_ns : UINT64_MAX;
}

void fetch_now(struct raft *r)
{
    r->fetching = false;
    r->fetch_ns = r->now_ns;
    fetch_tick(r);
}

/* --- answers ---------------------------------------------------------------------------------- */

static void watermark_follow(struct raft *r)
{
    int64_t known = r->leader_watermark < r->durable ? r->leader_watermark : r->durable;
    if (known > r->high_watermark) {
        r->high_watermark = known;
        effect_add(r, RAFT_COMMITTED)->offset = known;
    }
}

void follower_flushed(struct raft *r)
{
    watermark_follow(r);
    if (r->role == RAFT_FOLLOWER && r->durable == r->log.end && !r->fetching) {
        fetch_now(r);
    }
}

/* R4. A majority that has what is committed elects no such leader: somebody has made him up, or one of the two logs is
 * damaged. He is as good as gone, and what is here stays. */
static void contradicted(struct raft *r, struct raft_end diverging)
{
    struct raft_effect *e = effect_add(r, RAFT_CONTRADICTED);
    e->leader = r->leader;
    e->end = diverging;
    e->offset = r->high_watermark;
    leader_gone(r);
}

/* The leader's log has less of that epoch, or not that epoch at all: what it does not have goes. */
static void cut_back(struct raft *r, struct raft_end diverging)
{
    struct raft_end own;
    bool known = history_epoch_end(&r->log, diverging.epoch, &own);
    int64_t offset = known && own.offset < diverging.offset ? own.offset : diverging.offset;
    known = known && !(r->log.forgotten && offset < r->log.epochs[0].start);
    if (!known || offset < r->high_watermark || offset < r->log.snapshot.offset ||
        offset >= r->log.end) {
        contradicted(r, diverging);
        return;
    }
    history_truncate(&r->log, offset);
    r->durable = r->durable < offset ? r->durable : offset;
    effect_add(r, RAFT_TRUNCATE)->offset = offset;
    fetch_now(r);
}

static void take(struct raft *r, const struct raft_message *m)
{
    uint32_t count = 0;
    while (count < m->batch_count && m->batches[count].epoch <= m->epoch) {
        count++;
    }
    count = history_append(&r->log, m->batches, count);
    if (count > 0) {
        effect_add(r, RAFT_APPEND)->count = count;
    }
    r->leader_watermark =
        m->high_watermark > r->leader_watermark ? m->high_watermark : r->leader_watermark;
    watermark_follow(r);
    if (may_ask(r) && count == m->batch_count) {
        fetch_now(r);
    }
}

void receive_fetch_answer(struct raft *r, const struct raft_message *m)
{
    if (asks_around(r) && m->epoch >= r->vote.epoch && m->error && m->leader != m->from.node) {
        if (m->epoch > r->vote.epoch) {
            epoch_enter(r, m->epoch);
        }
        hear_say(r, m);
        return;
    }
    if (r->role != RAFT_FOLLOWER || !r->fetching || m->ticket != r->fetch_ticket ||
        m->from.node != r->leader || m->epoch != r->vote.epoch) {
        return;
    }
    if (m->error == ERR_NOT_LEADER_OR_FOLLOWER && m->leader != m->from.node) {
        leader_gone(r);
        return;
    }
    r->fetching = false;
    r->told_reads = m->reads;
    if (m->error || m->end.offset != r->log.end) {
        return; /* asked again when the time of this one is up */
    }
    if (m->snapshot.epoch >= 0) {
        if (m->snapshot.offset > r->high_watermark) {
            r->loading = true;
            effect_add(r, RAFT_LOAD)->end = m->snapshot;
        }
    } else if (m->diverging.epoch >= 0) {
        cut_back(r, m->diverging);
    } else {
        take(r, m);
    }
}

void raft_loaded(struct raft *r, uint64_t now_ns, struct raft_end end,
                 const struct raft_voters *voters)
{
    assert(r->magic == RAFT_MAGIC && now_ns >= r->now_ns);
    assert(r->loading && r->role != RAFT_LEADER && end.offset > r->high_watermark);
    r->now_ns = now_ns;
    r->loading = false;
    history_reset(&r->log, end, voters);
    r->durable = end.offset;
    r->high_watermark = end.offset;
    r->leader_watermark = r->leader_watermark > end.offset ? r->leader_watermark : end.offset;
    effect_add(r, RAFT_COMMITTED)->offset = end.offset;
    epoch_of_log(r);
    if (r->role == RAFT_FOLLOWER) {
        fetch_now(r);
    } else if (r->deadline_ns == UINT64_MAX) {
        become_unattached(r); /* the snapshot may make it a voter */
    }
}

void raft_load_failed(struct raft *r, uint64_t now_ns)
{
    assert(r->magic == RAFT_MAGIC && now_ns >= r->now_ns && r->loading);
    r->now_ns = now_ns;
    r->loading = false;
    r->fetch_ns = now_ns + r->options.retry_ns;
}
