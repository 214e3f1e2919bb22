/* SPDX-License-Identifier: Apache-2.0 */

/* Fetching the leader's snapshot (KIP-630), when its log begins behind this one.
 *
 *     a piece asked for --> written to snapshot-load.tmp --> read into a draft --> the next piece
 *         the whole: checked to its footer --> sync --> nothing of the log in flight --> meta_install.c
 *         --> the image is the draft --> quorum_loaded()
 *
 * One piece is on its way at a time. Another leader, an answer that says no, bytes that are no snapshot and a full
 * disk end the attempt: the core asks the leader anew, and a new attempt begins. */
#include "meta/meta_private.h"

#include <errno.h>

enum { TRIES_MAX = 5, LOAD_BUFFER_SIZE = SNAPSHOT_BATCH_MAX + SNAPSHOT_FETCH_BYTES };

#define LOAD_OFFSET_MAX (INT64_MAX / 4) /* a log may begin there */

static const uint64_t piece_ns = UINT64_C(5000000000);

static void end(struct meta *m)
{
    struct meta_load *l = &m->load;
    assert(l->active && !l->request.peer && io_op_idle(&l->op));
    image_release(l->draft);
    memory_free(m->memory, l->buffer);
    io_file_close(m->io, l->file);
    l->draft = NULL;
    l->buffer = NULL;
    l->file = NULL;
    l->active = l->whole = false;
}

static void give_up(struct meta *m, const char *why)
{
    if (m->state != META_CLOSING) {
        log_warn(io_logger(m->io), "meta",
                 "the snapshot of node=%d offset=%lld epoch=%d was not loaded: %s",
                 (int)m->load.leader.node, (long long)m->load.id.end_offset, (int)m->load.id.epoch,
                 why);
    }
    end(m);
    quorum_load_failed(m);
    meta_log_idle(m);
}

/* Whether the attempt ends here. What is not a full disk ends the node (L11). */
static bool refused(struct meta *m, int64_t result, const char *what)
{
    if (result < 0 && result != -ENOSPC && result != -EDQUOT) {
        io_fatal(m->io, "%s of %s failed: %s; check the disk", what, m->load.temporary,
                 error_text(error_from_errno(result)));
    }
    if (result < 0 || m->state == META_CLOSING) {
        give_up(m, "the disk is full");
        return true;
    }
    return false;
}

static struct meta *of_op(struct io_op *op)
{
    struct meta *m = container_of(op, struct meta, load.op);
    assert(m->magic == META_MAGIC && m->load.active);
    return m;
}

/* --- the whole -------------------------------------------------------------------------------- */

static void shown(struct meta *m)
{
    struct meta_load *l = &m->load;
    struct image *next = l->draft;
    struct raft_end at = {l->id.epoch, l->id.end_offset};
    l->draft = NULL;
    end(m);
    image_release(m->ahead);
    m->ahead = NULL;
    m->log_generation++;
    log_info(io_logger(m->io), "meta", "loaded snapshot offset=%lld epoch=%d bytes=%lld node=%d",
             (long long)at.offset, (int)at.epoch, (long long)l->size, (int)l->leader.node);
    m->changes.told_from = -1; /* the log that told of them has gone */
    meta_show(m, next);
    quorum_loaded(m, at, &l->voters);
    meta_log_idle(m);
}

static void installed(struct meta *m)
{
    if (m->state == META_CLOSING) { /* the next start finds it */
        end(m);
        meta_close_next(m);
    } else if (m->vote.founded) {
        shown(m);
    } else { /* an empty log will be damage (M3) */
        m->vote.founded = true;
        quorum_store(m, shown);
    }
}

/* A batch that is told of as durable, a truncation, a read of what is committed, a snapshot of it: all of the log
 * that goes. */
static bool in_flight(const struct meta *m)
{
    return m->appending || m->following > 0 || m->applying || m->first_storing ||
           m->quorum.stored || m->snapshot.active;
}

void meta_load_next(struct meta *m)
{
    struct meta_load *l = &m->load;
    if (!l->active || !l->whole || in_flight(m)) {
        return;
    }
    assert(!m->busy && m->state != META_CLOSING);
    l->whole = false;
    meta_install(m, l->id, l->temporary, installed);
}

static void synced(struct io_op *op, int64_t result)
{
    struct meta *m = of_op(op);
    if (refused(m, result, "sync")) {
        return;
    }
    io_file_close(m->io, m->load.file);
    m->load.file = NULL;
    m->load.whole = true;
    meta_load_next(m);
}

static void finish(struct meta *m)
{
    struct meta_load *l = &m->load;
    struct voters voters;
    if (l->filled > 0 || snapshot_reader_end(&l->reader) != 0) {
        give_up(m, "it is cut off");
    } else if (image_voters(l->draft).size == 0 ||
               voters_decode(&voters, image_voters(l->draft), m->memory) != 0) {
        give_up(m, "it does not say who votes");
    } else {
        l->voters = voters_ids(&voters);
        l->op.done = synced;
        io_sync(m->io, &l->op, l->file);
    }
}

/* --- pieces ----------------------------------------------------------------------------------- */

static void ask_next(struct meta *m);

static void written(struct io_op *op, int64_t result)
{
    struct meta *m = of_op(op);
    struct meta_load *l = &m->load;
    size_t used = 0;
    if (refused(m, result, "write")) {
        return;
    }
    l->filled += l->piece;
    l->ask.position += (int64_t)l->piece;
    int error = snapshot_reader_feed(&l->reader, l->buffer, l->filled, &used);
    if (error) {
        give_up(m, l->reader.why[0] ? l->reader.why : error_text(error));
        return;
    }
    memmove(l->buffer, l->buffer + used, l->filled - used);
    l->filled -= used;
    if (l->ask.position < l->size) {
        ask_next(m);
    } else {
        finish(m);
    }
}

static void take(struct meta *m, const struct snapshot_answer *a)
{
    struct meta_load *l = &m->load;
    if (l->size == 0) {
        l->size = a->size;
    }
    if (a->piece.size == 0 || a->size != l->size) {
        give_up(m, "its pieces do not fit each other");
        return;
    }
    assert(l->filled < SNAPSHOT_BATCH_MAX && a->piece.size <= SNAPSHOT_FETCH_BYTES);
    memcpy(l->buffer + l->filled, a->piece.data, a->piece.size);
    l->piece = a->piece.size;
    l->tries = 0;
    l->iovec = (struct iovec){l->buffer + l->filled, l->piece};
    l->op.done = written;
    io_write(m->io, &l->op, l->file, &l->iovec, 1, (uint64_t)l->ask.position, 0);
}

/* Whether the leader that was asked is the leader still. */
static bool led_as_before(const struct meta *m)
{
    struct raft_status status = raft_status(m->quorum.raft);
    return status.epoch == m->load.epoch && status.leader == m->load.leader.node;
}

static bool worth_another_try(int error)
{
    return error == ERR_TIMEOUT || error == ERR_REFUSED || error == ERR_UNREACHABLE ||
           error == ERR_NETWORK_EXCEPTION;
}

static void answered(struct peer_request *r, const struct peer_answer *a)
{
    struct meta *m = container_of(r, struct meta, load.request);
    struct meta_load *l = &m->load;
    struct snapshot_answer answer;
    assert(m->magic == META_MAGIC && l->active);
    if (m->state == META_CLOSING || !led_as_before(m)) {
        give_up(m, "another leads");
        return;
    }
    if (worth_another_try(a->error) && ++l->tries < TRIES_MAX) {
        ask_next(m);
        return;
    }
    int error =
        a->error ? a->error
                 : snapshot_answer_decode(&l->ask, a->version, bytes_of(a->body.data, a->body.size),
                                          m->memory, &answer);
    error = error ? error : answer.error;
    if (error) {
        give_up(m, error_text(error));
        return;
    }
    quorum_heard(m, l->leader, l->epoch);
    take(m, &answer);
}

static int encode(struct peer_request *r, struct wire_writer *w, int version)
{
    struct meta *m = container_of(r, struct meta, load.request);
    return snapshot_request_encode(&m->load.ask, m->cluster_text, version, w);
}

static void ask_next(struct meta *m)
{
    struct meta_load *l = &m->load;
    l->request = (struct peer_request){
        .key = WIRE_FETCH_SNAPSHOT,
        .version_min = SNAPSHOT_FETCH_VERSION,
        .version_max = SNAPSHOT_FETCH_VERSION,
        .timeout_ns = piece_ns,
        .encode = encode,
        .done = answered,
    };
    if (!led_as_before(m)) {
        give_up(m, "another leads");
    } else if (!links_load(m, l->leader.node, &l->request)) {
        give_up(m, "there is no way to the leader");
    }
}

static void emptied(struct io_op *op, int64_t result)
{
    struct meta *m = of_op(op);
    if (!refused(m, result, "truncation")) {
        ask_next(m);
    }
}

/* --- from the quorum -------------------------------------------------------------------------- */

static int prepare(struct meta *m)
{
    struct meta_load *l = &m->load;
    char name[SNAPSHOT_NAME_SIZE];
    if (l->id.end_offset > LOAD_OFFSET_MAX) {
        return ERR_OFFSET_OUT_OF_RANGE;
    }
    l->draft = image_empty(m->home);
    l->buffer = memory_alloc(m->memory, LOAD_BUFFER_SIZE);
    if (!l->draft || !l->buffer) {
        return ERR_NO_MEMORY;
    }
    snapshot_name(l->id, name);
    int error = file_path(l->temporary, m->snapshots, name); /* longer than what stands there */
    if (error) {
        return error;
    }
    error = file_path(l->temporary, m->snapshots, "snapshot-load.tmp");
    assert(!error);
    error = io_file_open(m->io, &l->file, l->temporary, IO_OPEN_WRITE | IO_OPEN_CREATE);
    if (error) {
        l->file = NULL;
        return error_from_errno(error);
    }
    snapshot_reader_init(&l->reader, m->memory, l->draft, l->id, m->identity.cluster_id);
    return 0;
}

void meta_load_begin(struct meta *m, struct raft_end at)
{
    struct meta_load *l = &m->load;
    struct raft_status status = raft_status(m->quorum.raft);
    if (m->state == META_CLOSING) {
        return;
    }
    assert(!l->active);
    *l = (struct meta_load){
        .active = true,
        .id = {at.offset, at.epoch},
        .leader.node = status.leader,
        .epoch = status.epoch,
        .ask = {.from = meta_self(m),
                .epoch = status.epoch,
                .id = at,
                .bytes_max = (int32_t)m->options.piece_bytes},
    };
    int error = prepare(m);
    if (error) {
        give_up(m, error_text(error));
        return;
    }
    l->op.done = emptied;
    io_truncate(m->io, &l->op, l->file, 0);
}

void meta_load_changed(struct meta *m)
{
    if (m->load.active && m->load.request.peer && !led_as_before(m)) {
        peer_cancel(&m->load.request);
    }
}

void meta_load_stop(struct meta *m)
{
    struct meta_load *l = &m->load;
    if (l->active && l->request.peer) {
        peer_cancel(&l->request);
    } else if (l->active && l->whole) {
        end(m);
    }
}
