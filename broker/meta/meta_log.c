/* SPDX-License-Identifier: Apache-2.0 */

/* The metadata log of this node: what a leader puts into it, what a follower takes, and how what is committed
 * becomes the image.
 *
 *     meta_append -----------> log --> durable --> the quorum --> committed --> image, in order
 *     meta_follow (a fetch) -^
 *
 *   G1  The image is of committed records alone. A leader has the image after its own batch in hand; everything
 *       else is read from the log.
 *   G2  One batch of a leader is on its way at a time. One that is deposed answers for it at once: nobody
 *       knows what becomes of it.
 *   G3  What was in flight before a truncation tells the quorum nothing: its offsets may be others' by now.
 *   G4  The log has what the quorum knows of, in its order. A leader's batch that waits for room when it is deposed
 *       is in the log later than the quorum could know: it is cut off again, and what a follower takes waits for
 *       that.
 *   G5  A log that ends at its beginning again is not lost: that it may be empty is durable before it is. */
#include "meta/meta_start.h"

#include <inttypes.h>
#include <stdio.h>

/* --- from committed to the image -------------------------------------------------------------- */

static int64_t applied(const struct meta *m)
{
    return image_offset(m->image) + 1;
}

static void append_end(struct meta *m, int error)
{
    void (*committed)(struct meta *, int) = m->append_committed;
    assert(m->busy);
    m->busy = false;
    m->append_end = -1;
    image_release(m->append_image);
    m->append_image = NULL;
    committed(m, error);
}

static void apply_failed(struct meta *m, int error, const char *why)
{
    char text[2 * RECORDS_WHY_SIZE];
    snprintf(text, sizeof text,
             "the committed metadata in %s/topics/__cluster_metadata-0 cannot be applied: %s",
             m->options.root, why[0] ? why : error_text(error));
    if (m->state == META_CLOSING) {
        return;
    }
    if (m->state == META_OPENING) {
        start_fail(m, error == ERR_MALFORMED ? ERR_DAMAGED : error, "%s", text);
        return;
    }
    io_fatal(m->io, "%s", text);
}

static void apply_next(struct meta *m);

static int apply_batch(struct meta *m, struct image *draft, struct quorum_history *history,
                       const uint8_t *batch, size_t size, char why[static RECORDS_WHY_SIZE])
{
    int64_t before = image_offset(draft);
    int error = records_apply_batch(draft, batch, size, m->memory, why);
    if (!error && history && (error = quorum_history_add(m, history, batch, size)) != 0) {
        snprintf(why, RECORDS_WHY_SIZE, "the batch behind offset %" PRId64 " does not follow",
                 before);
    }
    return error;
}

int meta_log_apply(struct meta *m, struct log_read *r, struct image *draft,
                   struct quorum_history *history, char why[static RECORDS_WHY_SIZE])
{
    size_t filled = 0, size = r->size;
    uint8_t *bytes = memory_alloc(m->memory, size + 1);
    for (uint32_t i = 0; i < r->slice_count; i++) {
        struct slice *slice = &r->slices[i];
        assert(slice->size <= size - filled);
        if (bytes) {
            memcpy(bytes + filled, slice->data, slice->size);
        }
        filled += slice->size;
        slice_release(slice);
    }
    assert(filled == size);
    if (!bytes) {
        snprintf(why, RECORDS_WHY_SIZE, "out of memory");
        return ERR_NO_MEMORY;
    }
    int error = 0;
    for (size_t at = 0; at < size && !error;) {
        uint32_t next = size - at < BATCH_LENGTH_FROM ? 0 : batch_size_peek(bytes + at);
        if (next == 0 || next > size - at) {
            snprintf(why, RECORDS_WHY_SIZE, "a batch behind offset %" PRId64 " is malformed",
                     image_offset(draft));
            error = ERR_MALFORMED;
            break;
        }
        error = apply_batch(m, draft, history, bytes + at, next, why);
        at += next;
        m->bytes_since_snapshot += next;
    }
    memory_free(m->memory, bytes);
    return error;
}

static void apply_read(struct log_read *r, int error)
{
    struct meta *m = container_of(r, struct meta, apply);
    char why[RECORDS_WHY_SIZE] = "";
    assert(m->magic == META_MAGIC && m->applying);
    m->applying = false;
    struct image *next = error ? NULL : image_fork(m->image);
    if (!error) {
        error = next ? meta_log_apply(m, r, next, NULL, why) : ERR_NO_MEMORY;
    }
    if (error) {
        image_release(next);
        apply_failed(m, error, why);
        meta_log_idle(m);
        return;
    }
    meta_show(m, next);
    apply_next(m);
    meta_log_idle(m);
}

/* One step towards what is committed; false: nothing can be done now. */
static bool apply_step(struct meta *m)
{
    struct image *ahead = m->ahead;
    if (m->append_image && m->append_end >= 0 && m->committed >= m->append_end) {
        struct image *next = m->append_image;
        assert(m->append.base_offset == applied(m));
        m->append_image = NULL;
        meta_show(m, next);
        return true;
    }
    if (ahead && image_offset(ahead) < m->committed) {
        m->ahead = NULL;
        if (image_offset(ahead) > image_offset(m->image)) {
            meta_show(m, ahead);
        } else {
            image_release(ahead);
        }
        return true;
    }
    if (applied(m) >= m->committed) {
        return false;
    }
    m->apply = (struct log_read){
        .offset = applied(m),
        .limit_offset = m->committed,
        .bytes_max = META_READ_BYTES,
        .first_whole = true,
        .done = apply_read,
    };
    m->applying = true;
    int answered = log_read(m->log, &m->apply);
    if (answered != 0) {
        apply_read(&m->apply, answered < 0 ? answered : 0);
    }
    return false;
}

static void apply_next(struct meta *m)
{
    if (m->applying || m->logs_closing) {
        return;
    }
    while (apply_step(m)) {
    }
    if (m->applying) {
        return;
    }
    if (m->busy && m->append_end >= 0 && applied(m) >= m->append_end) {
        append_end(m, 0);
    }
    if (m->state == META_ACTIVE) {
        meta_snapshot_maybe(m);
    }
}

void meta_committed(struct meta *m, int64_t offset)
{
    assert(m->magic == META_MAGIC && offset >= m->committed);
    m->committed = offset;
    log_raise_watermark(m->log, offset);
    apply_next(m);
}

/* --- a leader's appends ----------------------------------------------------------------------- */

static void follow_waiting(struct meta *m);
static void cut_at(struct meta *m, int64_t offset);

static void append_taken(struct log_append *a)
{
    struct meta *m = container_of(a, struct meta, append);
    m->append_in_log = true;
    if (!m->busy) {
        m->log_generation++;
        cut_at(m, a->base_offset);
        follow_waiting(m);
        return;
    }
    const struct raft_voters *voters = m->append_voters;
    m->append_voters = NULL;
    m->append_end = a->base_offset + m->append_count;
    if (voters) {
        voter_changes_appended(m, a->base_offset);
    }
    quorum_appended(m, m->append_end, voters);
}

static void append_done(struct log_append *a, int error)
{
    struct meta *m = container_of(a, struct meta, append);
    int64_t end = a->base_offset + m->append_count;
    assert(m->magic == META_MAGIC && m->appending);
    m->appending = false;
    if (error && m->busy) {
        append_end(m, error);
    } else if (!error && m->append_generation == m->log_generation) {
        quorum_flushed(m, end);
    }
    follow_waiting(m);
    meta_log_idle(m);
}

static void append_batch(struct meta *m, struct bytes batch, struct image *after,
                         const struct raft_voters *voters,
                         void (*committed)(struct meta *m, int error))
{
    struct batch_header header;
    assert(!m->busy && !m->appending);
    int error = batch_header_read(&header, batch.data, batch.size);
    assert(!error);
    m->busy = m->appending = true;
    m->append_in_log = false;
    m->append_count = (uint32_t)header.last_offset_delta + 1;
    m->append_end = -1;
    m->append_image = after;
    m->append_generation = m->log_generation;
    m->append_committed = committed;
    m->append_voters = voters;
    m->bytes_since_snapshot += batch.size;
    m->append = (struct log_append){
        .batch = batch,
        .leader_epoch = m->epoch,
        .as_leader = true,
        .waited = true,
        .appended = append_taken,
        .done = append_done,
    };
    log_append(m->log, &m->append);
}

void meta_append(struct meta *m, struct bytes batch, struct image *after,
                 void (*committed)(struct meta *m, int error))
{
    append_batch(m, batch, after, NULL, committed);
}

void meta_append_voters(struct meta *m, struct bytes batch, const struct raft_voters *voters,
                        void (*committed)(struct meta *m, int error))
{
    append_batch(m, batch, NULL, voters, committed);
}

void meta_deposed(struct meta *m)
{
    m->leading = m->lead_waits = false;
    watches_end(m);
    voter_changes_back(m);
    if (m->busy) {
        append_end(m, ERR_NOT_CONTROLLER);
    }
}

/* --- a follower's ----------------------------------------------------------------------------- */

struct follow_batch {
    struct log_append append;
    struct follow *follow;
    int64_t end;
};

/* What one fetch has brought, or a truncation, on its way into the log. */
struct follow {
    struct meta *meta;
    struct list link; /* while it waits (G4) */
    uint64_t generation;
    struct log_control control; /* of a truncation */
    uint32_t count, left;       /* batches */
    uint8_t *bytes;
    struct follow_batch batches[];
};

static void follow_end(struct follow *f)
{
    struct meta *m = f->meta;
    m->following--;
    memory_free(m->memory, f->bytes);
    memory_free(m->memory, f);
}

static void emptying_store(struct meta *m);

static void first_stored(struct meta *m)
{
    m->first_storing = false;
    if (m->emptying) {
        emptying_store(m);
        return;
    }
    quorum_flushed(m, m->first_end);
    if (m->activating) {
        meta_activate(m);
    }
}

/* The log is not empty any more, and an empty one will be damage (M3): that is durable before anybody counts on
 * what stands in it. */
static void first_stored_then(struct meta *m, int64_t end)
{
    if (m->vote.founded && !m->first_storing) {
        quorum_flushed(m, end);
        return;
    }
    m->first_end = end;
    if (!m->first_storing) {
        m->first_storing = m->vote.founded = true;
        quorum_store(m, first_stored);
    }
}

static void follow_done(struct log_append *a, int error)
{
    struct follow_batch *b = container_of(a, struct follow_batch, append);
    struct follow *f = b->follow;
    struct meta *m = f->meta;
    int64_t end = b->end;
    if (error && m->state != META_CLOSING) {
        io_fatal(m->io, "the metadata log in %s cannot take what its leader has: %s%s",
                 m->options.root, error_text(error),
                 error == ERR_DISK_FULL ? "; make room on the disk" : "");
    }
    bool told = !error && f->generation == m->log_generation;
    if (--f->left == 0) {
        follow_end(f);
    }
    if (told) {
        first_stored_then(m, end);
    }
    meta_log_idle(m);
}

static void cut_done(struct log_control *c, int error)
{
    struct follow *f = container_of(c, struct follow, control);
    struct meta *m = f->meta;
    if (error && m->state != META_CLOSING) {
        io_fatal(m->io, "the metadata log in %s cannot be truncated: %s", m->options.root,
                 error_text(error));
    }
    follow_end(f);
    meta_log_idle(m);
}

static struct follow *follow_new(struct meta *m, uint32_t count, size_t size)
{
    struct follow *f = memory_alloc(m->memory, sizeof *f + count * sizeof f->batches[0]);
    uint8_t *bytes = f ? memory_alloc(m->memory, size) : NULL;
    if (!bytes) {
        io_fatal(m->io, "no memory for the metadata that the leader has sent (%zu bytes)", size);
    }
    f->meta = m;
    list_init(&f->link);
    f->generation = m->log_generation;
    f->count = f->left = count;
    f->bytes = bytes;
    m->following++;
    return f;
}

static void follow_submit(struct follow *f)
{
    struct meta *m = f->meta;
    if (f->count == 0) {
        log_control(m->log, &f->control);
    }
    for (uint32_t i = 0, count = f->count; i < count; i++) {
        log_append(m->log, &f->batches[i].append);
    }
}

/* A leader's batch that waits for room is in front of everything. */
static void follow_start(struct follow *f)
{
    struct meta *m = f->meta;
    if (m->emptying || (m->appending && !m->append_in_log)) {
        list_append(&m->follow_waiting, &f->link);
    } else {
        follow_submit(f);
    }
}

static void follow_waiting(struct meta *m)
{
    struct list *node;
    while (!m->emptying && (node = list_pop(&m->follow_waiting))) {
        follow_submit(container_of(node, struct follow, link));
    }
}

void meta_follow(struct meta *m, const uint8_t *bytes, const struct raft_batch *batches,
                 const uint32_t *sizes, uint32_t count)
{
    size_t size = 0, at = 0;
    assert(count > 0);
    if (m->state == META_CLOSING) {
        return; /* and is never told of as durable */
    }
    for (uint32_t i = 0; i < count; i++) {
        size += sizes[i];
    }
    struct follow *f = follow_new(m, count, size);
    memcpy(f->bytes, bytes, size);
    for (uint32_t i = 0; i < count; i++) {
        struct follow_batch *b = &f->batches[i];
        if (batches[i].voters) {
            voters_follow(m, f->bytes + at, sizes[i], batches[i].base);
        }
        b->follow = f;
        b->end = batches[i].end;
        b->append = (struct log_append){
            .batch = bytes_of(f->bytes + at, sizes[i]),
            .leader_epoch = batches[i].epoch,
            .done = follow_done,
        };
        at += sizes[i];
    }
    follow_start(f);
}

static struct follow *cut_new(struct meta *m, int64_t offset)
{
    struct follow *f = follow_new(m, 0, 1);
    assert(offset >= m->committed);
    f->control = (struct log_control){.kind = LOG_TRUNCATE, .offset = offset, .done = cut_done};
    return f;
}

static void cut_at(struct meta *m, int64_t offset)
{
    follow_submit(cut_new(m, offset));
}

static void emptying_stored(struct meta *m)
{
    m->emptying = false;
    if (!m->appending || m->append_in_log) {
        follow_waiting(m);
    }
}

static void emptying_store(struct meta *m)
{
    assert(m->emptying && !m->first_storing);
    m->vote.founded = false;
    quorum_store(m, emptying_stored);
}

/* The vote file says that the log is not empty, or is about to: what comes waits until it says so no more. */
static void emptying_begin(struct meta *m)
{
    if (m->vote.founded && !m->emptying) {
        m->emptying = true;
        if (!m->first_storing) {
            emptying_store(m);
        }
    }
}

void meta_truncate(struct meta *m, int64_t offset)
{
    if (m->state == META_CLOSING) {
        return;
    }
    log_info(io_logger(m->io), "meta",
             "the metadata log ends at offset=%" PRId64 " again, as its leader's does", offset);
    if (m->ahead && image_offset(m->ahead) >= offset) {
        image_release(m->ahead);
        m->ahead = NULL;
    }
    voters_truncated(m, offset);
    m->log_generation++;
    m->first_end = offset < m->first_end ? offset : m->first_end;
    if (offset == 0) {
        emptying_begin(m);
    }
    follow_start(cut_new(m, offset));
}

/* --- the end of what was in flight ------------------------------------------------------------ */

bool meta_log_busy(const struct meta *m)
{
    return m->busy || m->appending || m->applying || m->following > 0 || m->serve_reads > 0;
}

void meta_log_idle(struct meta *m)
{
    if (m->state != META_CLOSING) {
        meta_load_next(m);
    }
    if (m->state == META_CLOSING) {
        meta_close_next(m);
    } else if (m->lead_waits && !m->appending && !m->emptying) {
        m->lead_waits = false;
        start_lead(m, m->epoch);
    } else if (m->state == META_ACTIVE) {
        meta_decide(m);
    }
}
