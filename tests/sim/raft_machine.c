/* SPDX-License-Identifier: Apache-2.0 */

/* A machine of the raft world: the driver of a core, as broker/meta will be one, over a disk that is an
 * array with a durable prefix. */
#include "raft_world.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t ms_ns = 1000000;

/* Another order of the same state is another hash. */
static uint64_t hash_of(uint64_t before, const struct world_entry *e)
{
    return prng_mix(before * 31 + e->id + ((uint64_t)(uint32_t)e->epoch << 32));
}

uint64_t machine_clock(const struct world *w, const struct machine *m)
{
    return (uint64_t)((unsigned __int128)w->now_ns * (unsigned)(1000000 + m->skew) / 1000000);
}

struct raft_voters machine_voters(const struct machine *m, int64_t before)
{
    for (int64_t i = before; i > m->start; i--) {
        if (m->log[i - 1].changes) {
            return m->log[i - 1].voters;
        }
    }
    return m->snapshot_voters;
}

/* --- the disk --------------------------------------------------------------------------------- */

static void flush_begin(struct world *w, struct machine *m)
{
    if (m->flush_ns == 0 && m->durable < m->end) {
        m->flushing = m->end;
        m->flush_ns = w->now_ns + prng_between(&w->disk, ms_ns / 10, w->flush_ns);
    }
}

static void flush_end(struct world *w, struct machine *m)
{
    m->flush_ns = 0;
    m->durable = m->flushing < m->end ? m->flushing : m->end;
    raft_flushed(m->raft, machine_clock(w, m), m->durable);
    machine_effects(w, m, NULL);
    if (m->raft) {
        flush_begin(w, m);
    }
}

static void vote_end(struct world *w, struct machine *m)
{
    m->vote = m->votes[0].vote;
    m->vote_count--;
    memmove(m->votes, m->votes + 1, m->vote_count * sizeof *m->votes);
    raft_voted(m->raft, machine_clock(w, m), m->vote.sequence);
    machine_effects(w, m, NULL);
}

static void log_put(struct machine *m, const struct world_entry *e)
{
    assert(m->end < WORLD_ENTRIES_MAX);
    m->log[m->end++] = *e;
}

/* --- effects ---------------------------------------------------------------------------------- */

static void save_vote(struct world *w, struct machine *m, const struct raft_vote *vote)
{
    assert(m->vote_count < array_size(m->votes));
    uint64_t after = m->vote_count ? m->votes[m->vote_count - 1].due_ns : w->now_ns;
    m->votes[m->vote_count++] =
        (struct pending_vote){*vote, after + prng_between(&w->disk, ms_ns / 10, 10 * ms_ns)};
}

static void apply(struct world *w, struct machine *m, int64_t offset)
{
    for (; m->applied < offset; m->applied++) {
        m->hash = hash_of(m->hash, &m->log[m->applied]);
    }
    oracle_applied(w, m);
}

static void lead(struct world *w, struct machine *m)
{
    w->stats->elections++;
    oracle_lead(w, m);
    m->leads_ns = w->now_ns;
    if (w->restless && prng_below(&w->fault, 2)) {
        m->doom_ns = w->now_ns + prng_below(&w->fault, 400 * ms_ns);
    }
}

/* After the effects of one event: the new leader's first record. */
static void begin_leading(struct world *w, struct machine *m)
{
    struct raft_status s = raft_status(m->raft);
    if (s.role != RAFT_LEADER || s.end.offset != s.epoch_start || m->end == WORLD_ENTRIES_MAX) {
        return;
    }
    struct world_entry e = {.epoch = s.epoch};
    log_put(m, &e);
    raft_appended(m->raft, machine_clock(w, m), m->end, NULL);
    machine_effects(w, m, NULL);
}

static void effect(struct world *w, struct machine *m, const struct raft_effect *e,
                   const struct packet *in_hand)
{
    switch (e->kind) {
    case RAFT_SAVE_VOTE:
        save_vote(w, m, &e->vote);
        break;
    case RAFT_SEND:
        oracle_sent(w, m, &e->message);
        world_send(w, m, &e->message);
        break;
    case RAFT_APPEND:
        assert(in_hand && e->count <= in_hand->entry_count);
        for (uint32_t i = 0; i < e->count; i++) {
            log_put(m, &in_hand->entries[i]);
        }
        break;
    case RAFT_TRUNCATE:
        w->stats->truncations++;
        m->end = e->offset;
        m->durable = m->durable < m->end ? m->durable : m->end;
        break;
    case RAFT_LEAD:
        lead(w, m);
        break;
    case RAFT_FOLLOW:
        m->leads_ns = 0;
        break;
    case RAFT_COMMITTED:
        if (e->offset > m->applied) {
            oracle_committed(w, m, e->offset);
            apply(w, m, e->offset);
        }
        break;
    case RAFT_LOAD:
        m->loading = e->end;
        m->load_from = (struct raft_id){.node = raft_status(m->raft).leader};
        m->load_ns = w->now_ns + prng_between(&w->net, 10 * ms_ns, 500 * ms_ns);
        break;
    case RAFT_READABLE:
        oracle_readable(w, m, e->sequence, e->offset);
        break;
    case RAFT_UNREADABLE:
        m->read_count = 0;
        break;
    case RAFT_CONTRADICTED: /* no leader that was elected does */
        oracle_violation(w, m, "damage: the log of node %d contradicts what is committed",
                         (int)e->leader);
        break;
    case RAFT_DAMAGED:
        oracle_violation(w, m, "damage: %s", e->why);
        break;
    }
}

void machine_effects(struct world *w, struct machine *m, const struct packet *in_hand)
{
    uint32_t count;
    const struct raft_effect *effects = raft_effects(m->raft, &count);
    for (uint32_t i = 0; i < count; i++) {
        effect(w, m, &effects[i], in_hand);
    }
    raft_effects_done(m->raft);
    flush_begin(w, m);
    if (!w->why[0]) {
        begin_leading(w, m);
    }
}

/* --- life ------------------------------------------------------------------------------------- */

void machine_start(struct world *w, struct machine *m)
{
    struct raft_batch *batches = calloc((size_t)(m->end - m->start) + 1, sizeof *batches);
    assert(batches);
    uint32_t count = 0;
    for (int64_t i = m->start; i < m->end; i++) {
        batches[count++] =
            (struct raft_batch){.base = i,
                                .end = i + 1,
                                .epoch = m->log[i].epoch,
                                .voters = m->log[i].changes ? &m->log[i].voters : NULL};
    }
    m->durable = m->end; /* it is synced before anything is said of it */
    m->raft = malloc(raft_size());
    assert(m->raft);
    struct raft_options options = {
        .self = m->id, .seed = prng_next(&w->fault), .mutant = w->options.mutant};
    struct raft_start start = {.vote = m->vote,
                               .snapshot = m->snapshot,
                               .voters = m->snapshot_voters,
                               .batches = batches,
                               .batch_count = count};
    int error = raft_init(m->raft, &options, &start, machine_clock(w, m));
    free(batches);
    m->applied = m->start;
    m->hash = m->snapshot_hash;
    oracle_started(w, m);
    if (error) {
        oracle_violation(w, m, "damage: its log is refused at the start");
        return;
    }
    raft_tick(m->raft, machine_clock(w, m));
    machine_effects(w, m, NULL);
}

void machine_stop(struct world *w, struct machine *m, bool power_cut)
{
    uint32_t landed = (uint32_t)prng_below(&w->disk, m->vote_count + 1);
    if (landed > 0) { /* in their order */
        m->vote = m->votes[landed - 1].vote;
    }
    if (power_cut) {
        m->end = (int64_t)prng_between(&w->disk, (uint64_t)m->durable, (uint64_t)m->end);
    }
    m->vote_count = m->read_count = 0;
    m->flush_ns = m->load_ns = m->leads_ns = m->frozen_ns = m->doom_ns = 0;
    free(m->raft);
    m->raft = NULL;
}

static void load_end(struct world *w, struct machine *m)
{
    struct machine *from = world_machine(w, m->load_from);
    m->load_ns = 0;
    bool there = from && from->raft && from->snapshot.offset >= m->loading.offset &&
                 from->snapshot.offset > raft_status(m->raft).high_watermark &&
                 !w->cut[from - w->machines][m - w->machines];
    if (!there) {
        raft_load_failed(m->raft, machine_clock(w, m));
        machine_effects(w, m, NULL);
        return;
    }
    w->stats->loads++;
    m->snapshot = from->snapshot;
    m->snapshot_voters = from->snapshot_voters;
    m->snapshot_hash = m->hash = from->snapshot_hash;
    m->start = m->end = m->durable = m->applied = m->snapshot.offset;
    oracle_applied(w, m);
    raft_loaded(m->raft, machine_clock(w, m), m->snapshot, &m->snapshot_voters);
    machine_effects(w, m, NULL);
}

static uint64_t alarm_ns(const struct world *w, const struct machine *m)
{
    uint64_t due = raft_deadline(m->raft), clock = machine_clock(w, m);
    if (due == UINT64_MAX) {
        return due;
    }
    return due <= clock ? w->now_ns : w->now_ns + (due - clock) * 106 / 100 + 1;
}

uint64_t machine_due(const struct world *w, const struct machine *m)
{
    if (!m->raft) {
        return m->up_ns;
    }
    uint64_t due = alarm_ns(w, m);
    const uint64_t others[] = {m->flush_ns, m->load_ns, m->doom_ns,
                               m->vote_count ? m->votes[0].due_ns : 0};
    for (unsigned i = 0; i < array_size(others); i++) {
        due = others[i] && others[i] < due ? others[i] : due;
    }
    return due > m->frozen_ns ? due : m->frozen_ns;
}

void machine_step(struct world *w, struct machine *m)
{
    if (!m->raft) {
        world_tell(w, m, "starts");
        machine_start(w, m);
    } else if (m->doom_ns && m->doom_ns <= w->now_ns) {
        w->stats->kills++;
        world_tell(w, m, "is killed, for it led");
        machine_stop(w, m, false);
        m->up_ns = w->now_ns + prng_below(&w->fault, 3000 * ms_ns);
    } else if (m->vote_count && m->votes[0].due_ns <= w->now_ns) {
        vote_end(w, m);
    } else if (m->flush_ns && m->flush_ns <= w->now_ns) {
        flush_end(w, m);
    } else if (m->load_ns && m->load_ns <= w->now_ns) {
        load_end(w, m);
    } else {
        raft_tick(m->raft, machine_clock(w, m));
        machine_effects(w, m, NULL);
    }
}

/* --- what others want ------------------------------------------------------------------------- */

void machine_receive(struct world *w, struct machine *m, const struct packet *p)
{
    struct raft_batch batches[WORLD_PACKET_ENTRIES];
    struct raft_message message = p->message;
    for (uint32_t i = 0; i < p->entry_count; i++) {
        int64_t base = message.end.offset + i;
        batches[i] =
            (struct raft_batch){.base = base,
                                .end = base + 1,
                                .epoch = p->entries[i].epoch,
                                .voters = p->entries[i].changes ? &p->entries[i].voters : NULL};
    }
    message.batches = batches;
    message.batch_count = p->entry_count;
    struct machine *from = world_machine(w, message.from);
    if (message.kind == RAFT_FETCH && from && message.epoch == raft_status(m->raft).epoch) {
        m->fetched_ns[from - w->machines] = w->now_ns;
    }
    if (m->leads_ns && w->now_ns < m->frozen_ns + 50 * ms_ns && prng_below(&w->client, 2)) {
        machine_read(w, m); /* clients have waited as well, among what others sent meanwhile */
    }
    raft_receive(m->raft, machine_clock(w, m), &message);
    machine_effects(w, m, p);
}

void machine_propose(struct world *w, struct machine *m, const struct raft_voters *voters)
{
    struct raft_status s = raft_status(m->raft);
    if (s.role != RAFT_LEADER || s.end.offset == s.epoch_start || m->end == WORLD_ENTRIES_MAX) {
        return;
    }
    struct world_entry e = {.epoch = s.epoch, .id = ++w->proposals, .changes = voters != NULL};
    if (voters) {
        struct raft_voters before = machine_voters(m, m->end);
        e.voters = *voters;
        oracle_changed(w, m, &before, voters);
    }
    log_put(m, &e);
    raft_appended(m->raft, machine_clock(w, m), m->end, voters ? &e.voters : NULL);
    machine_effects(w, m, NULL);
}

void machine_read(struct world *w, struct machine *m)
{
    uint64_t sequence;
    int64_t least = w->committed_end;
    if (m->read_count == WORLD_READS_MAX ||
        raft_read(m->raft, machine_clock(w, m), &sequence) != 0) {
        return;
    }
    m->reads[m->read_count].sequence = sequence;
    m->reads[m->read_count++].least = least;
    machine_effects(w, m, NULL);
}

void machine_snapshot(struct world *w, struct machine *m)
{
    if (m->applied <= m->snapshot.offset) {
        return;
    }
    w->stats->snapshots++;
    m->snapshot_voters = machine_voters(m, m->applied);
    m->snapshot = (struct raft_end){m->log[m->applied - 1].epoch, m->applied};
    m->snapshot_hash = m->hash;
    m->start = m->applied;
    raft_snapshot_taken(m->raft, m->snapshot);
}
