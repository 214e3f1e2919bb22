/* SPDX-License-Identifier: Apache-2.0 */

/* The core's life: events come in, effects gather, messages wait for the vote that they rest on. */
#include "raft/raft_private.h"

#include <string.h>

enum {
    EFFECTS_KEPT = 24, /* room for what is not a message: an event makes fewer */
    REFUSED_PART =
        50, /* of the time of an election: two that lose their leader at once stand one after the other */
};

bool raft_id_equal(struct raft_id a, struct raft_id b)
{
    return a.node == b.node && uuid_equal(a.directory, b.directory);
}

bool raft_voters_have(const struct raft_voters *v, struct raft_id id)
{
    for (uint32_t i = 0; i < v->count; i++) {
        if (raft_id_equal(v->ids[i], id)) {
            return true;
        }
    }
    return false;
}

size_t raft_size(void)
{
    return sizeof(struct raft);
}

/* --- effects ---------------------------------------------------------------------------------- */

struct raft_effect *effect_add(struct raft *r, enum raft_effect_kind kind)
{
    assert(r->effect_count < RAFT_EFFECTS_MAX);
    struct raft_effect *e = &r->effects[r->effect_count++];
    *e = (struct raft_effect){.kind = kind};
    return e;
}

const struct raft_effect *raft_effects(const struct raft *r, uint32_t *count)
{
    *count = r->effect_count;
    return r->effects;
}

void raft_effects_done(struct raft *r)
{
    r->effect_count = 0;
}

/* --- messages --------------------------------------------------------------------------------- */

struct raft_message message_to(const struct raft *r, enum raft_kind kind, struct raft_id to)
{
    return (struct raft_message){
        .kind = kind,
        .from = r->options.self,
        .to = to,
        .epoch = r->vote.epoch,
        .leader = r->leader,
        .high_watermark = -1,
        .diverging.epoch = -1,
        .snapshot.epoch = -1,
    };
}

struct raft_message answer_to(const struct raft *r, const struct raft_message *request)
{
    assert(request->kind == RAFT_VOTE || request->kind == RAFT_FETCH);
    enum raft_kind kind = request->kind == RAFT_VOTE ? RAFT_VOTE_ANSWER : RAFT_FETCH_ANSWER;
    struct raft_message m = message_to(r, kind, request->from);
    m.ticket = request->ticket;
    m.pre = request->pre;
    return m;
}

/* What has no room is lost, as on any network. */
static void message_out(struct raft *r, const struct raft_message *m)
{
    if (r->effect_count < RAFT_EFFECTS_MAX - EFFECTS_KEPT) {
        effect_add(r, RAFT_SEND)->message = *m;
    }
}

void message_send(struct raft *r, const struct raft_message *m)
{
    assert(m->to.node != r->options.self.node);
    if (r->vote.sequence == r->vote_durable || raft_mutated(r, RAFT_MUTANT_VOTE_UNSAVED)) {
        message_out(r, m);
    } else if (r->held_count < RAFT_HELD_MAX) {
        r->held[r->held_count++] = (struct raft_held){.vote = r->vote.sequence, .message = *m};
    }
}

static void held_release(struct raft *r)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < r->held_count; i++) {
        if (r->held[i].vote <= r->vote_durable) {
            message_out(r, &r->held[i].message);
        } else {
            r->held[kept++] = r->held[i];
        }
    }
    r->held_count = kept;
}

void raft_damage(struct raft *r, const char *why)
{
    if (r->role == RAFT_LEADER) {
        leader_end(r);
    }
    r->damaged = true;
    effect_add(r, RAFT_DAMAGED)->why = why;
}

uint64_t raft_soon(struct raft *r, uint64_t about_ns)
{
    return r->now_ns + about_ns + prng_below(&r->random, about_ns);
}

/* --- life ------------------------------------------------------------------------------------- */

void epoch_of_log(struct raft *r)
{
    if (history_end(&r->log).epoch > r->vote.epoch) {
        epoch_enter(r, history_end(&r->log).epoch);
    }
}

int raft_init(struct raft *memory, const struct raft_options *options,
              const struct raft_start *start, uint64_t now_ns)
{
    struct raft *r = memory;
    memset(r, 0, sizeof *r);
    r->magic = RAFT_MAGIC;
    r->options = *options;
    r->options.election_ns = options->election_ns ? options->election_ns : 1000000000;
    r->options.fetch_ns = options->fetch_ns ? options->fetch_ns : 2000000000;
    r->options.wait_ns = options->wait_ns ? options->wait_ns : 500000000;
    r->options.retry_ns = options->retry_ns ? options->retry_ns : 1000000000;
    r->random = prng_of(options->seed);
    r->now_ns = now_ns;
    r->vote = start->vote;
    r->ended = -1;
    r->vote_durable = start->vote.sequence;
    r->leader = RAFT_NOBODY;
    r->high_watermark = r->leader_watermark =
        start->snapshot.epoch >= 0 ? start->snapshot.offset : -1;
    history_reset(&r->log, start->snapshot, &start->voters);
    if (history_append(&r->log, start->batches, start->batch_count) < start->batch_count) {
        return ERR_DAMAGED;
    }
    r->durable = r->log.end;
    become_unattached(r);
    epoch_of_log(r);
    /* Who has just started has heard of nobody, and a promise that is asked for disturbs nobody: those who hear a
     * leader refuse, and name him. */
    if (r->deadline_ns != UINT64_MAX && r->deadline_ns > now_ns) {
        r->deadline_ns = raft_soon(r, r->options.election_ns / REFUSED_PART);
    }
    return 0;
}

void raft_tick(struct raft *r, uint64_t now_ns)
{
    assert(r->magic == RAFT_MAGIC && now_ns >= r->now_ns);
    r->now_ns = now_ns;
    if (r->damaged) {
        return;
    }
    election_tick(r);
    if (r->role == RAFT_LEADER) {
        leader_tick(r);
    } else {
        fetch_tick(r);
    }
}

uint64_t raft_deadline(const struct raft *r)
{
    if (r->damaged) {
        return UINT64_MAX;
    }
    uint64_t other = r->role == RAFT_LEADER ? leader_deadline(r) : fetch_deadline(r);
    return r->deadline_ns < other ? r->deadline_ns : other;
}

void hear_leader(struct raft *r, const struct raft_message *m)
{
    if (m->epoch > r->vote.epoch) {
        epoch_enter(r, m->epoch);
    }
    if (m->epoch < r->vote.epoch || m->leader != m->from.node || m->epoch == r->ended) {
        return;
    }
    if (r->leader == RAFT_NOBODY) {
        become_follower(r, m->from.node);
    }
    if (r->leader == m->from.node) {
        r->heard_ns = r->now_ns;
        r->deadline_ns = r->now_ns + r->patience_ns;
    }
}

void leader_gone(struct raft *r)
{
    assert(r->role != RAFT_LEADER);
    r->ended = r->vote.epoch; /* what he sent before may come now: answers, on another connection */
    become_unattached(r);
}

void raft_heard(struct raft *r, uint64_t now_ns, struct raft_id from, int32_t epoch)
{
    assert(r->magic == RAFT_MAGIC && now_ns >= r->now_ns);
    r->now_ns = now_ns;
    if (epoch != r->vote.epoch) {
        return;
    }
    if (r->role == RAFT_LEADER) {
        leader_hears(r, from);
    } else if (r->role == RAFT_FOLLOWER && r->leader == from.node) {
        r->heard_ns = now_ns;
        r->deadline_ns = now_ns + r->patience_ns;
    }
}

void raft_lost(struct raft *r, uint64_t now_ns, int32_t node, bool refused)
{
    assert(r->magic == RAFT_MAGIC && now_ns >= r->now_ns);
    r->now_ns = now_ns;
    if (r->damaged || r->role != RAFT_FOLLOWER || r->leader != node) {
        return;
    }
    if (refused) {
        uint64_t soon = raft_soon(r, r->options.election_ns / REFUSED_PART);
        r->heard_ns = 0; /* nobody is refused for its sake */
        r->deadline_ns = soon < r->deadline_ns ? soon : r->deadline_ns;
    } else {
        fetch_now(r);
    }
}

void raft_receive(struct raft *r, uint64_t now_ns, const struct raft_message *m)
{
    assert(r->magic == RAFT_MAGIC && now_ns >= r->now_ns);
    r->now_ns = now_ns;
    bool to_me = raft_id_equal(m->to, r->options.self) ||
                 (m->to.node == r->options.self.node && uuid_is_zero(m->to.directory) &&
                  m->kind == RAFT_FETCH);
    if (r->damaged || m->epoch < 0 || !to_me || m->from.node < 0 ||
        m->from.node == r->options.self.node || raft_leaps(r->vote.epoch, m->epoch)) {
        return;
    }
    switch (m->kind) {
    case RAFT_VOTE:
        receive_vote(r, m);
        break;
    case RAFT_VOTE_ANSWER:
        receive_vote_answer(r, m);
        break;
    case RAFT_BEGIN:
        hear_leader(r, m);
        break;
    case RAFT_END:
        receive_end(r, m);
        break;
    case RAFT_FETCH:
        receive_fetch(r, m);
        break;
    case RAFT_FETCH_ANSWER:
        hear_leader(r, m);
        receive_fetch_answer(r, m);
        break;
    }
}

void raft_voted(struct raft *r, uint64_t now_ns, uint64_t sequence)
{
    assert(r->magic == RAFT_MAGIC && now_ns >= r->now_ns);
    assert(sequence > r->vote_durable && sequence <= r->vote.sequence);
    r->now_ns = now_ns;
    r->vote_durable = sequence;
    held_release(r);
    if (sequence == r->vote.sequence && !r->damaged) {
        election_saved(r);
    }
}

void raft_flushed(struct raft *r, uint64_t now_ns, int64_t offset)
{
    assert(r->magic == RAFT_MAGIC && now_ns >= r->now_ns);
    r->now_ns = now_ns;
    offset = offset < r->log.end ? offset : r->log.end; /* it was truncated meanwhile */
    if (r->damaged || offset <= r->durable) {
        return;
    }
    r->durable = offset;
    if (r->role == RAFT_LEADER) {
        leader_flushed(r);
    } else {
        follower_flushed(r);
    }
}

void raft_appended(struct raft *r, uint64_t now_ns, int64_t end, const struct raft_voters *voters)
{
    assert(r->magic == RAFT_MAGIC && now_ns >= r->now_ns);
    assert(r->role == RAFT_LEADER && end > r->log.end);
    r->now_ns = now_ns;
    struct raft_batch batch = {
        .base = r->log.end, .end = end, .epoch = r->vote.epoch, .voters = voters};
    uint32_t taken = history_append(&r->log, &batch, 1);
    assert(taken == 1);
    leader_appended(r);
}

void raft_snapshot_taken(struct raft *r, struct raft_end end)
{
    assert(r->magic == RAFT_MAGIC && end.offset <= r->high_watermark);
    if (end.offset > r->log.snapshot.offset) {
        history_begin_at(&r->log, end);
    }
}

struct raft_leadership raft_leadership(const struct raft *r)
{
    return (struct raft_leadership){.epoch = r->vote.epoch, .leader = r->leader};
}

struct raft_status raft_status(const struct raft *r)
{
    return (struct raft_status){
        .role = r->role,
        .epoch = r->vote.epoch,
        .leader = r->leader,
        .end = history_end(&r->log),
        .durable = r->durable,
        .high_watermark = r->high_watermark,
        .epoch_start = r->epoch_start,
        .voters = history_voters(&r->log),
        .voter = raft_is_voter(r),
        .damaged = r->damaged,
    };
}
