/* SPDX-License-Identifier: Apache-2.0 */

/* The leader: what others hold, the high watermark, fetches that wait for news, reads. */
#include "raft/raft_private.h"

#include <string.h>

static struct raft_peer *peer_of(struct raft *r, struct raft_id id)
{
    for (uint32_t i = 0; i < r->peer_count; i++) {
        if (raft_id_equal(r->peers[i].id, id)) {
            return &r->peers[i];
        }
    }
    return NULL;
}

const struct raft_peer *peer_find(const struct raft *r, struct raft_id id)
{
    return peer_of((struct raft *)(uintptr_t)r, id);
}

/* The observer that has not fetched for the longest time makes room for another. */
static struct raft_peer *peer_add(struct raft *r, struct raft_id id)
{
    struct raft_peer *p = NULL;
    if (r->peer_count < RAFT_PEERS_MAX) {
        p = &r->peers[r->peer_count++];
    }
    for (uint32_t i = 0; i < r->peer_count && r->peer_count == RAFT_PEERS_MAX; i++) {
        struct raft_peer *old = &r->peers[i];
        if (!raft_voters_have(history_voters(&r->log), old->id) &&
            (!p || old->fetched_ns < p->fetched_ns)) {
            p = old;
        }
    }
    assert(p); /* there are fewer voters than peers */
    *p = (struct raft_peer){.id = id, .durable = -1, .fetched_ns = r->now_ns};
    return p;
}

static void peers_meet(struct raft *r)
{
    const struct raft_voters *voters = history_voters(&r->log);
    for (uint32_t i = 0; i < voters->count; i++) {
        if (!raft_id_equal(voters->ids[i], r->options.self) && !peer_of(r, voters->ids[i])) {
            (void)peer_add(r, voters->ids[i]);
        }
    }
}

uint32_t raft_replicas(const struct raft *r, uint64_t now_ns,
                       struct raft_replica out[static RAFT_REPLICAS_MAX])
{
    assert(r->magic == RAFT_MAGIC && now_ns >= r->now_ns);
    if (r->role != RAFT_LEADER) {
        return 0;
    }
    uint32_t count = 0;
    out[count++] = (struct raft_replica){
        .id = r->options.self,
        .voter = raft_is_voter(r),
        .end = r->durable,
        .fetched_ns = now_ns,
        .caught_up_ns = now_ns,
    };
    for (uint32_t i = 0; i < r->peer_count; i++) {
        const struct raft_peer *p = &r->peers[i];
        out[count++] = (struct raft_replica){
            .id = p->id,
            .voter = raft_voters_have(history_voters(&r->log), p->id),
            .end = p->durable,
            .fetched_ns = p->durable < 0 ? 0 : p->fetched_ns,
            .caught_up_ns = p->caught_up_ns,
        };
    }
    assert(count <= RAFT_REPLICAS_MAX);
    return count;
}

/* --- reads ------------------------------------------------------------------------------------ */

/* Whether a majority has fetched since it was told of the read. */
static bool read_confirmed(const struct raft *r, uint64_t sequence)
{
    const struct raft_voters *voters = history_voters(&r->log);
    uint32_t count = 0;
    for (uint32_t i = 0; i < voters->count; i++) {
        const struct raft_peer *p = peer_find(r, voters->ids[i]);
        count += raft_id_equal(voters->ids[i], r->options.self) || (p && p->reads >= sequence);
    }
    return count > voters->count / 2 || raft_mutated(r, RAFT_MUTANT_READ_AT_ONCE);
}

static void reads_confirm(struct raft *r)
{
    uint32_t done = 0;
    while (done < r->reading_count && read_confirmed(r, r->reading[done].sequence)) {
        done++;
    }
    if (done == 0) {
        return;
    }
    struct raft_effect *e = effect_add(r, RAFT_READABLE);
    e->sequence = r->reading[done - 1].sequence;
    e->offset = r->reading[done - 1].offset;
    r->reading_count -= done;
    memmove(r->reading, r->reading + done, r->reading_count * sizeof *r->reading);
}

bool leader_settled(const struct raft *r)
{
    return r->role == RAFT_LEADER && r->high_watermark > r->epoch_start;
}

/* --- answers to fetches ----------------------------------------------------------------------- */

static void peer_answer(struct raft *r, struct raft_peer *p)
{
    assert(p->waiting);
    struct raft_message m = message_to(r, RAFT_FETCH_ANSWER, p->id);
    m.ticket = p->ticket;
    m.end = p->asked;
    m.reads = r->reads;
    m.high_watermark = r->high_watermark;
    p->waiting = false;
    message_send(r, &m);
}

static bool has_news(const struct raft *r, const struct raft_peer *p)
{
    return p->asked.offset < r->log.end || p->known_high_watermark < r->high_watermark;
}

static void peers_answer(struct raft *r, bool all)
{
    for (uint32_t i = 0; i < r->peer_count; i++) {
        struct raft_peer *p = &r->peers[i];
        if (p->waiting && (all || has_news(r, p) || r->now_ns >= p->until_ns)) {
            peer_answer(r, p);
        }
    }
}

void leader_asks(struct raft *r, uint64_t since_ns)
{
    assert(r->role == RAFT_LEADER);
    for (uint32_t i = 0; i < r->peer_count; i++) {
        if (r->peers[i].waiting && r->peers[i].fetched_ns < since_ns) {
            peer_answer(r, &r->peers[i]);
        }
    }
}

int raft_read(struct raft *r, uint64_t now_ns, uint64_t *sequence)
{
    assert(r->magic == RAFT_MAGIC && now_ns >= r->now_ns);
    r->now_ns = now_ns;
    if (r->role != RAFT_LEADER) {
        return ERR_NOT_CONTROLLER;
    }
    if (!leader_settled(r) || r->reading_count == RAFT_READS_MAX) {
        return ERR_BUSY;
    }
    *sequence = ++r->reads;
    r->reading[r->reading_count++] =
        (struct raft_waiting_read){.sequence = r->reads, .offset = r->high_watermark};
    reads_confirm(r);
    if (r->reading_count > 0) {
        peers_answer(r, true); /* so that they fetch again */
    }
    return 0;
}

/* --- the high watermark ----------------------------------------------------------------------- */

static int64_t held_by(const struct raft *r, struct raft_id id)
{
    if (raft_id_equal(id, r->options.self)) {
        return raft_mutated(r, RAFT_MUTANT_LEADER_UNFLUSHED) ? r->log.end : r->durable;
    }
    const struct raft_peer *p = peer_find(r, id);
    return p ? p->durable : -1;
}

/* What a majority of the voters holds. */
static int64_t held_by_most(const struct raft *r, const struct raft_voters *voters)
{
    int64_t ends[RAFT_VOTERS_MAX];
    for (uint32_t i = 0; i < voters->count; i++) { /* the largest first */
        int64_t end = held_by(r, voters->ids[i]);
        uint32_t at = i;
        for (; at > 0 && ends[at - 1] < end; at--) {
            ends[at] = ends[at - 1];
        }
        ends[at] = end;
    }
    return ends[voters->count / 2];
}

static void watermark_raise(struct raft *r)
{
    int64_t end = held_by_most(r, history_voters(&r->log));
    if (!raft_mutated(r, RAFT_MUTANT_LEADER_UNFLUSHED)) {
        end = end < r->durable ? end : r->durable;
    }
    if (end <= r->high_watermark ||
        (end <= r->epoch_start && !raft_mutated(r, RAFT_MUTANT_OLD_EPOCH))) {
        return;
    }
    r->high_watermark = end;
    effect_add(r, RAFT_COMMITTED)->offset = end;
    peers_answer(r, false);
    if (history_voters_from(&r->log) < end && !raft_is_voter(r)) {
        raft_resign(r, r->now_ns); /* its own removal is committed (R8) */
    }
}

void leader_appended(struct raft *r)
{
    peers_meet(r);
    peers_answer(r, false);
    watermark_raise(r); /* another set of voters may hold more */
}

void leader_flushed(struct raft *r)
{
    watermark_raise(r);
}

/* --- leading ---------------------------------------------------------------------------------- */

void leader_begin(struct raft *r)
{
    r->role = RAFT_LEADER;
    r->leader = r->options.self.node;
    r->deadline_ns = UINT64_MAX;
    r->epoch_start = r->log.end;
    r->peer_count = r->reading_count = 0;
    peers_meet(r);
    effect_add(r, RAFT_LEAD);
    leader_tick(r);
}

void leader_end(struct raft *r)
{
    assert(r->role == RAFT_LEADER);
    r->role = RAFT_UNATTACHED;
    r->leader = RAFT_NOBODY;
    effect_add(r, RAFT_UNREADABLE);
    r->reading_count = 0;
    for (uint32_t i = 0; i < r->peer_count; i++) {
        struct raft_peer *p = &r->peers[i];
        if (p->waiting) {
            struct raft_message m = message_to(r, RAFT_FETCH_ANSWER, p->id);
            m.ticket = p->ticket;
            m.error = ERR_NOT_LEADER_OR_FOLLOWER;
            message_send(r, &m);
        }
    }
    r->peer_count = 0;
}

/* The voter that has most of the log, but for this one; their number: there is none. */
static uint32_t best_heir(const struct raft *r, const struct raft_voters *voters)
{
    uint32_t best = voters->count;
    for (uint32_t i = 0; i < voters->count; i++) {
        if (!raft_id_equal(voters->ids[i], r->options.self) &&
            (best == voters->count || held_by(r, voters->ids[i]) > held_by(r, voters->ids[best]))) {
            best = i;
        }
    }
    return best;
}

void raft_resign(struct raft *r, uint64_t now_ns)
{
    raft_yield(r, now_ns, RAFT_NOBODY);
}

void raft_yield(struct raft *r, uint64_t now_ns, int32_t node)
{
    assert(r->magic == RAFT_MAGIC && now_ns >= r->now_ns);
    r->now_ns = now_ns;
    if (r->role != RAFT_LEADER) {
        return;
    }
    struct raft_voters voters = *history_voters(&r->log);
    uint32_t best = best_heir(r, &voters);
    for (uint32_t i = 0; i < voters.count; i++) {
        if (voters.ids[i].node == node && !raft_id_equal(voters.ids[i], r->options.self)) {
            best = i;
        }
    }
    for (uint32_t i = 0; i < voters.count; i++) {
        if (!raft_id_equal(voters.ids[i], r->options.self)) {
            struct raft_message m = message_to(r, RAFT_END, voters.ids[i]);
            m.preferred = i == best;
            message_send(r, &m);
        }
    }
    become_unattached(r);
    if (r->deadline_ns != UINT64_MAX) {
        r->deadline_ns += r->options.election_ns; /* others go first */
    }
}

static uint64_t check_ns(const struct raft *r)
{
    return r->options.fetch_ns / 2 * 3;
}

/* Until when a majority of the voters counts as having fetched. */
static uint64_t heard_until(const struct raft *r)
{
    const struct raft_voters *voters = history_voters(&r->log);
    uint64_t times[RAFT_VOTERS_MAX];
    for (uint32_t i = 0; i < voters->count; i++) { /* the latest first */
        const struct raft_peer *p = peer_find(r, voters->ids[i]);
        uint64_t time = p ? p->fetched_ns : UINT64_MAX - check_ns(r);
        uint32_t at = i;
        for (; at > 0 && times[at - 1] < time; at--) {
            times[at] = times[at - 1];
        }
        times[at] = time;
    }
    return times[voters->count / 2] + check_ns(r);
}

/* A voter that does not fetch may not know who leads. */
static uint64_t begin_due(const struct raft *r, const struct raft_peer *p)
{
    if (p->waiting || !raft_voters_have(history_voters(&r->log), p->id)) {
        return UINT64_MAX;
    }
    uint64_t silent = p->durable < 0 ? p->fetched_ns : p->fetched_ns + r->options.retry_ns;
    uint64_t again = p->begun_ns ? p->begun_ns + r->options.retry_ns : 0;
    return silent > again ? silent : again;
}

void leader_tick(struct raft *r)
{
    if (r->now_ns >= heard_until(r) && !raft_mutated(r, RAFT_MUTANT_NO_CHECK)) {
        raft_resign(r, r->now_ns);
        return;
    }
    for (uint32_t i = 0; i < r->peer_count; i++) {
        struct raft_peer *p = &r->peers[i];
        if (r->now_ns >= begin_due(r, p)) {
            struct raft_message m = message_to(r, RAFT_BEGIN, p->id);
            p->begun_ns = r->now_ns;
            message_send(r, &m);
        }
    }
    peers_answer(r, false);
}

uint64_t leader_deadline(const struct raft *r)
{
    uint64_t first = raft_mutated(r, RAFT_MUTANT_NO_CHECK) ? UINT64_MAX : heard_until(r);
    for (uint32_t i = 0; i < r->peer_count; i++) {
        const struct raft_peer *p = &r->peers[i];
        uint64_t due = p->waiting ? p->until_ns : begin_due(r, p);
        first = due < first ? due : first;
    }
    return first;
}

/* --- fetches ---------------------------------------------------------------------------------- */

/* What the replica asks from is in this log, up to where its epoch ends. A snapshot takes the place of what it has
 * only when that ends below it, or is of an older epoch and so not committed behind it; a forgotten epoch says
 * neither, and the replica asks again until a newer snapshot does. */
static bool continues(const struct raft *r, struct raft_end asked, struct raft_message *answer)
{
    struct raft_end known, snapshot = r->log.snapshot;
    if (asked.offset == snapshot.offset && asked.epoch == snapshot.epoch) {
        return true;
    }
    if (asked.offset < snapshot.offset) {
        answer->snapshot = snapshot;
        return false;
    }
    if (!history_epoch_end(&r->log, asked.epoch, &known)) {
        if (snapshot.epoch > asked.epoch) {
            answer->snapshot = snapshot;
        } else {
            answer->error = ERR_SNAPSHOT_NOT_FOUND;
        }
        return false;
    }
    if (known.epoch < asked.epoch || known.offset < asked.offset) {
        answer->diverging = known;
        answer->diverging.epoch = known.epoch < 0 ? 0 : known.epoch; /* 0, 0: all of it goes */
        return false;
    }
    return true;
}

/* A process fetches under its node alone until the driver knows that it is the registered one. */
static void forget_unnamed(struct raft *r, struct raft_id known)
{
    struct raft_peer *p = peer_of(r, (struct raft_id){.node = known.node});
    if (p && !uuid_is_zero(known.directory)) {
        if (p->waiting) {
            peer_answer(r, p);
        }
        *p = r->peers[--r->peer_count];
    }
}

static void serve(struct raft *r, const struct raft_message *m)
{
    forget_unnamed(r, m->from);
    struct raft_peer *p = peer_of(r, m->from);
    p = p ? p : peer_add(r, m->from);
    p->fetched_ns = r->now_ns;
    p->reads =
        m->reads < r->reads && !raft_mutated(r, RAFT_MUTANT_READ_ON_ARRIVAL) ? m->reads : r->reads;
    struct raft_message answer = answer_to(r, m);
    answer.end = m->end;
    answer.reads = r->reads;
    answer.high_watermark = r->high_watermark;
    if (!continues(r, m->end, &answer)) {
        p->waiting = false;
        message_send(r, &answer);
        reads_confirm(r);
        return;
    }
    p->waiting = true;
    p->ticket = m->ticket;
    p->asked = m->end;
    p->known_high_watermark = m->high_watermark;
    p->until_ns = r->now_ns + r->options.wait_ns;
    p->durable = m->end.offset;
    if (m->end.offset == r->log.end) {
        p->caught_up_ns = r->now_ns;
    }
    reads_confirm(r);
    watermark_raise(r);
    if (r->role == RAFT_LEADER) {
        peers_answer(r, false);
    }
}

void leader_hears(struct raft *r, struct raft_id from)
{
    struct raft_peer *p = peer_of(r, from);
    if (p) {
        p->fetched_ns = r->now_ns;
    }
}

void receive_fetch(struct raft *r, const struct raft_message *m)
{
    if (m->epoch > r->vote.epoch && raft_voters_have(history_voters(&r->log), m->from)) {
        epoch_enter(r, m->epoch); /* who does not vote has only heard of it */
    }
    if (m->epoch == r->vote.epoch && r->role == RAFT_LEADER && m->end.offset >= 0 &&
        m->end.epoch >= -1) {
        serve(r, m);
        return;
    }
    struct raft_message answer = answer_to(r, m);
    answer.error = r->role == RAFT_LEADER ? ERR_FENCED_LEADER_EPOCH : ERR_NOT_LEADER_OR_FOLLOWER;
    message_send(r, &answer);
}
