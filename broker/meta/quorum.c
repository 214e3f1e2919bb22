/* SPDX-License-Identifier: Apache-2.0 */

/* The driver of the core: effects in their order, then what rests on them.
 *
 *   Q1  A vote is reported to the core when both copies hold it or a newer one (M2).
 *   Q2  Nothing is told as committed that the core has not said to be (M5).
 *   Q3  An event that comes while effects are carried out adds to them and is not nested. */
#include "meta/quorum.h"

#include "meta/meta_private.h"

#include <errno.h>

enum { RUNS_FIRST = 16 };

/* --- what the log holds ----------------------------------------------------------------------- */

static int runs_grow(struct meta *m, struct quorum_history *h)
{
    uint32_t room = h->room ? 2 * h->room : RUNS_FIRST;
    struct raft_batch *runs = memory_alloc(m->memory, room * sizeof *runs);
    if (!runs) {
        return ERR_NO_MEMORY;
    }
    if (h->count > 0) {
        memcpy(runs, h->runs, h->count * sizeof *runs);
    }
    memory_free(m->memory, h->runs);
    h->runs = runs;
    h->room = room;
    return 0;
}

int quorum_history_add(struct meta *m, struct quorum_history *h, const void *batch, size_t size)
{
    struct batch_header header;
    struct raft_batch *last = h->count > 0 ? &h->runs[h->count - 1] : NULL;
    struct voters voters;
    if (batch_header_read(&header, batch, size) != 0) {
        return ERR_MALFORMED;
    }
    bool control = (header.attributes & BATCH_CONTROL) != 0;
    int puts = control ? voters_of_batch(&voters, batch, size, m->memory) : 0;
    if (puts < 0) {
        return ERR_MALFORMED;
    }
    int64_t end = batch_last_offset(&header) + 1;
    if (last && (header.base_offset != last->end || header.leader_epoch < last->epoch)) {
        return ERR_MALFORMED;
    }
    if (last && header.leader_epoch == last->epoch && !puts) {
        last->end = end;
        return 0;
    }
    if (h->count == h->room && runs_grow(m, h) != 0) {
        return ERR_NO_MEMORY;
    }
    struct raft_voters *ids = puts ? memory_alloc(m->memory, sizeof *ids) : NULL;
    if (puts && !ids) {
        return ERR_NO_MEMORY;
    }
    if (puts) {
        *ids = voters_ids(&voters);
        voters_take(m, &voters, header.base_offset);
    }
    h->runs[h->count++] = (struct raft_batch){
        .base = header.base_offset, .end = end, .epoch = header.leader_epoch, .voters = ids};
    return 0;
}

void quorum_history_free(struct meta *m, struct quorum_history *h)
{
    for (uint32_t i = 0; i < h->count; i++) {
        memory_free(m->memory, (void *)h->runs[i].voters);
    }
    memory_free(m->memory, h->runs);
    *h = (struct quorum_history){0};
}

/* --- the vote file ---------------------------------------------------------------------------- */

static void quorum_run(struct meta *m);

/* Not begun, or its log is being closed: nothing happens any more. */
static bool quorum_live(const struct meta *m)
{
    return m->quorum.raft && !m->logs_closing;
}

static void copy_write(struct meta *m)
{
    struct quorum *q = &m->quorum;
    io_write(m->io, &q->op, q->file, &q->iovec, 1, (uint64_t)q->slot * VOTE_SLOT_SIZE,
             IO_WRITE_DURABLE);
}

static void store_begin(struct meta *m);

static void stored(struct meta *m)
{
    struct quorum *q = &m->quorum;
    q->storing = false;
    if (q->store_again) {
        store_begin(m);
        return;
    }
    void (*told)(struct meta *) = q->stored;
    q->stored = NULL;
    if (q->writing > q->voted && quorum_live(m)) {
        q->voted = q->writing;
        raft_voted(q->raft, io_now(m->io), q->voted);
    }
    if (told) {
        told(m);
    }
    quorum_run(m);
    meta_log_idle(m);
}

static void copy_written(struct io_op *op, int64_t result)
{
    struct meta *m = container_of(op, struct meta, quorum.op);
    struct quorum *q = &m->quorum;
    if (result < 0) {
        io_fatal(m->io, "write of %s/vote failed: %s; check the disk", m->options.root,
                 error_text(error_from_errno(result)));
    }
    if (++q->copies < VOTE_SLOTS) {
        q->slot = 1 - q->slot;
        copy_write(m);
        return;
    }
    stored(m);
}

static void store_begin(struct meta *m)
{
    struct quorum *q = &m->quorum;
    q->storing = true;
    q->store_again = false;
    q->writing = q->asked;
    q->copies = 0;
    m->vote.sequence++;
    m->vote.cluster_id = m->identity.cluster_id;
    m->vote.directory_id = m->identity.directory_id;
    vote_encode(&m->vote, q->bytes);
    q->iovec = (struct iovec){q->bytes, VOTE_SLOT_SIZE};
    q->op.done = copy_written;
    copy_write(m);
}

static void store(struct meta *m)
{
    if (m->quorum.storing) {
        m->quorum.store_again = true;
    } else {
        store_begin(m);
    }
}

void quorum_store(struct meta *m, void (*done)(struct meta *m))
{
    assert(!m->quorum.stored && done);
    m->quorum.stored = done;
    store(m);
}

/* --- effects ---------------------------------------------------------------------------------- */

static void save_vote(struct meta *m, const struct raft_vote *vote)
{
    assert(vote->epoch >= m->vote.epoch && vote->sequence > m->quorum.asked);
    m->vote.epoch = vote->epoch;
    m->vote.voted_id = vote->voted.node;
    m->vote.voted_directory_id = vote->voted.directory;
    m->quorum.asked = vote->sequence;
    store(m);
}

struct outcome {
    bool lead, deposed;
    int64_t committed;    /* -1: nothing new */
    struct raft_end load; /* epoch -1: nothing */
};

static void send_message(struct meta *m, const struct raft_message *message)
{
    if (message->kind == RAFT_VOTE_ANSWER || message->kind == RAFT_FETCH_ANSWER) {
        serve_answer(m, message);
    } else {
        links_send(m, message);
    }
}

static void warn_contradicted(struct meta *m, const struct raft_effect *e)
{
    log_warn(io_logger(m->io), "meta",
             "node=%d, as the leader of epoch=%d, contradicts what is committed here and is not "
             "followed in that epoch: its log ends what it has in common with this one at "
             "offset=%lld in epoch=%d, and everything below offset=%lld is committed",
             (int)e->leader, (int)raft_status(m->quorum.raft).epoch, (long long)e->end.offset,
             (int)e->end.epoch, (long long)e->offset);
}

static void carry_out(struct meta *m, const struct raft_effect *e, struct outcome *out)
{
    switch (e->kind) {
    case RAFT_SAVE_VOTE:
        save_vote(m, &e->vote);
        break;
    case RAFT_LEAD:
        out->lead = true;
        break;
    case RAFT_FOLLOW:
        out->lead = false;
        out->deposed = true;
        break;
    case RAFT_COMMITTED:
        out->committed = e->offset;
        m->quorum.committed = out->deposed ? m->quorum.committed : e->offset;
        break;
    case RAFT_CONTRADICTED:
        warn_contradicted(m, e);
        links_forget(m, e->leader);
        break;
    case RAFT_DAMAGED:
        io_fatal(m->io,
                 "the metadata log in %s cannot go on: %s; restore the directory from a copy",
                 m->options.root, e->why);
    case RAFT_APPEND:
        assert(m->quorum.fetched && e->count <= m->quorum.fetched->count);
        meta_follow(m, m->quorum.fetched->bytes, m->quorum.fetched->batches,
                    m->quorum.fetched->sizes, e->count);
        break;
    case RAFT_TRUNCATE:
        meta_truncate(m, e->offset);
        break;
    case RAFT_SEND:
        send_message(m, &e->message);
        break;
    case RAFT_LOAD:
        out->load = e->end;
        break;
    case RAFT_READABLE:
        lease_confirmed(m, e->sequence);
        reads_confirmed(m, e->sequence, e->offset);
        break;
    case RAFT_UNREADABLE:
        lease_lost(m);
        reads_lost(m);
        break;
    }
}

static void timer_done(struct io_op *op, int64_t result);

struct quorum_timer {
    struct io_op op;
    struct io *io;
    struct meta *meta; /* NULL: it has gone, and the timer goes when it is done */
};

static void timer_set(struct meta *m)
{
    struct quorum_timer *t = m->quorum.timer;
    uint64_t deadline = raft_deadline(m->quorum.raft);
    if (!io_op_idle(&t->op)) {
        io_cancel(m->io, &t->op); /* and is set anew when that is done */
    } else if (deadline != UINT64_MAX) {
        t->op.done = timer_done;
        io_timer(m->io, &t->op, deadline);
    }
}

static void timer_done(struct io_op *op, int64_t result)
{
    struct quorum_timer *t = container_of(op, struct quorum_timer, op);
    struct meta *m = t->meta;
    if (!m) {
        memory_free(io_memory(t->io), t);
        return;
    }
    if (!quorum_live(m)) {
        return;
    }
    if (io_now(m->io) >= raft_deadline(m->quorum.raft)) {
        raft_tick(m->quorum.raft, io_now(m->io));
    }
    quorum_run(m);
}

/* One that has left was elected by what was on its way: nobody could fetch from it. */
static void lead(struct meta *m)
{
    if (m->resigned && raft_status(m->quorum.raft).voters->count > 1) {
        raft_resign(m->quorum.raft, io_now(m->io));
    } else {
        start_lead(m, raft_status(m->quorum.raft).epoch);
    }
}

static void quorum_run(struct meta *m)
{
    struct quorum *q = &m->quorum;
    uint32_t count;
    bool deposed = false;
    if (q->running || !quorum_live(m)) {
        return;
    }
    q->running = true;
    while (quorum_live(m)) {
        struct outcome out = {.committed = -1, .load.epoch = -1};
        const struct raft_effect *effects = raft_effects(q->raft, &count);
        if (count == 0) {
            break;
        }
        for (uint32_t i = 0; i < count; i++) {
            carry_out(m, &effects[i], &out);
        }
        raft_effects_done(q->raft);
        deposed = deposed || out.deposed;
        if (out.deposed) {
            meta_deposed(m);
            meta_load_changed(m);
            membership_wake(m);
        }
        if (out.committed >= 0) {
            meta_committed(m, out.committed);
        }
        if (out.load.epoch >= 0) {
            meta_load_begin(m, out.load);
        }
        if (out.lead) {
            lead(m);
        }
    }
    q->running = false;
    if (quorum_live(m)) {
        said_leader(m);
        timer_set(m);
    }
    if (deposed && m->state == META_CLOSING) {
        meta_close_next(m); /* it may have waited for what was to be committed */
    }
}

/* --- events ----------------------------------------------------------------------------------- */

int quorum_begin(struct meta *m, const struct quorum_history *h, const struct voters *voters)
{
    struct quorum *q = &m->quorum;
    struct snapshot_id last = m->last_snapshot;
    struct raft_id self = {m->identity.node_id, m->identity.directory_id};
    struct raft_options options = {.self = self, .mutant = m->options.raft_mutant};
    struct raft_start start = {
        .vote = {.epoch = m->vote.epoch, .voted = {m->vote.voted_id, m->vote.voted_directory_id}},
        .snapshot = {last.end_offset > 0 ? last.epoch : -1, last.end_offset},
        .voters = voters_ids(voters),
        .batches = h->runs,
        .batch_count = h->count,
    };
    struct quorum_timer *t = memory_alloc(m->memory, sizeof *t);
    struct raft *raft = memory_alloc(m->memory, raft_size());
    if (!t || !raft) {
        memory_free(m->memory, t);
        memory_free(m->memory, raft);
        return ERR_NO_MEMORY;
    }
    io_random(m->io, &options.seed, sizeof options.seed);
    int error = raft_init(raft, &options, &start, io_now(m->io));
    if (error) {
        memory_free(m->memory, t);
        memory_free(m->memory, raft);
        return error;
    }
    *t = (struct quorum_timer){.io = m->io, .meta = m};
    q->timer = t;
    q->raft = raft;
    raft_tick(raft, io_now(m->io));
    quorum_run(m);
    return 0;
}

void quorum_receive(struct meta *m, const struct raft_message *message,
                    const struct quorum_fetched *fetched)
{
    struct quorum *q = &m->quorum;
    assert(!q->running);
    if (!quorum_live(m)) {
        return;
    }
    links_heard(m, message->from.node);
    q->fetched = fetched;
    raft_receive(q->raft, io_now(m->io), message);
    quorum_run(m);
    q->fetched = NULL;
    voter_changes_look(m);
}

void quorum_appended(struct meta *m, int64_t end, const struct raft_voters *voters)
{
    if (quorum_live(m)) {
        raft_appended(m->quorum.raft, io_now(m->io), end, voters);
        quorum_run(m);
    }
}

void quorum_flushed(struct meta *m, int64_t end)
{
    if (quorum_live(m)) {
        raft_flushed(m->quorum.raft, io_now(m->io), end);
        quorum_run(m);
    }
}

void quorum_snapshot_taken(struct meta *m, struct raft_end end)
{
    if (quorum_live(m)) {
        raft_snapshot_taken(m->quorum.raft, end);
        quorum_run(m);
    }
}

void quorum_loaded(struct meta *m, struct raft_end end, const struct raft_voters *voters)
{
    if (quorum_live(m)) {
        raft_loaded(m->quorum.raft, io_now(m->io), end, voters);
        quorum_run(m);
    }
}

void quorum_load_failed(struct meta *m)
{
    if (quorum_live(m)) {
        raft_load_failed(m->quorum.raft, io_now(m->io));
        quorum_run(m);
    }
}

void quorum_heard(struct meta *m, struct raft_id from, int32_t epoch)
{
    if (quorum_live(m)) {
        raft_heard(m->quorum.raft, io_now(m->io), from, epoch);
        quorum_run(m);
    }
}

void quorum_lost(struct meta *m, int32_t node, bool refused)
{
    if (quorum_live(m)) {
        raft_lost(m->quorum.raft, io_now(m->io), node, refused);
        quorum_run(m);
    }
}

int quorum_read(struct meta *m, uint64_t *sequence)
{
    int error =
        quorum_live(m) ? raft_read(m->quorum.raft, io_now(m->io), sequence) : ERR_NOT_CONTROLLER;
    quorum_run(m);
    return error;
}

bool quorum_remaining(struct meta *m, struct raft_id id, uint64_t since_ns)
{
    bool heard = raft_remaining(m->quorum.raft, io_now(m->io), id, since_ns);
    quorum_run(m);
    return heard;
}

void quorum_yield(struct meta *m, int32_t heir)
{
    if (quorum_live(m) && raft_status(m->quorum.raft).voters->count > 1) {
        raft_yield(m->quorum.raft, io_now(m->io), heir);
        quorum_run(m);
    }
}

void quorum_resign(struct meta *m)
{
    quorum_yield(m, RAFT_NOBODY);
}

bool quorum_busy(const struct meta *m)
{
    return m->quorum.storing;
}

void quorum_end(struct meta *m)
{
    struct quorum *q = &m->quorum;
    assert(!quorum_busy(m));
    io_file_close(m->io, q->file);
    q->file = NULL;
    if (q->raft) {
        struct quorum_timer *t = q->timer;
        memory_free(m->memory, q->raft);
        q->raft = NULL;
        q->timer = NULL;
        t->meta = NULL;
        if (io_op_idle(&t->op)) {
            memory_free(m->memory, t);
        } else {
            io_cancel(m->io, &t->op);
        }
    }
}
