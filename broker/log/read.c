/* SPDX-License-Identifier: Apache-2.0 */

/* Reading: from the tail at once, from disk through the cold reader.
 *
 *     log_read -> segment -> index -> position --in the tail--> scan headers -> slices (1)
 *                                              --on disk-----> cold_read -> slices (0)
 *
 * A batch may begin on disk and end in the tail: after a recovery, or when its first chunk was
 * dropped. Then the blocks from its beginning up to the tail are read back into a chunk and it is served from there.
 * Batches of the tail that hold bytes of the disk are checked each time (segment.unchecked_to). */
#include "base/crc32c.h"
#include "base/errors.h"
#include "log/log_private.h"

enum { BATCH_CRC_FROM = 21, BATCH_AT_CRC_FIELD = 17 };

struct read_state {
    struct log_waiter index; /* waits for the segment's index */
    struct cold_request request;
    struct log_read *read;
    struct segment *segment;
    struct io_op op; /* reading blocks back */
    struct chunk *chunk;
    uint32_t batch_position;
    uint32_t cuts; /* of the segment when it began: after a truncation nothing found counts */
    bool starting, indexed; /* inside log_read(), and the index was there at once */
};

static bool was_cut(const struct read_state *st)
{
    return st->cuts != st->segment->cuts;
}

static bool batch_header_in_tail(const struct segment *s, uint32_t position, struct batch_fields *f)
{
    uint8_t header[LOG_BATCH_HEADER];
    if (!tail_copy(s, position, header, sizeof header)) {
        return false;
    }
    batch_fields_read(f, header);
    return true;
}

static bool batch_sum_holds(const struct segment *s, uint32_t position, uint32_t size)
{
    uint8_t stored[4], piece[4096];
    uint32_t crc = 0, left = size - BATCH_CRC_FROM;
    for (uint32_t at = position + BATCH_CRC_FROM; left > 0;) {
        uint32_t part = left < sizeof piece ? left : (uint32_t)sizeof piece;
        if (!tail_copy(s, at, piece, part)) {
            return false;
        }
        crc = crc32c(crc, piece, part);
        at += part;
        left -= part;
    }
    return tail_copy(s, position + BATCH_AT_CRC_FIELD, stored, sizeof stored) &&
           crc == get_be32(stored);
}

/* Offset and epoch are outside of a batch's checksum: `expected` is what follows the one before it. */
static bool batch_follows(const struct segment *s, const struct batch_fields *f, int64_t expected)
{
    int32_t epoch = epochs_at(&s->log->epochs, f->base_offset);
    bool follows = s->gaps ? f->base_offset >= expected : f->base_offset == expected;
    return follows && (epoch < 0 || epoch == f->leader_epoch);
}

/* Collects whole batches from `position`, which is a batch boundary in the tail, where the batch of offset `expected`
 * follows, or a later one in a segment with gaps. 1, or ERR_DAMAGED:
 * what a checkpoint carried over into the tail, or was read back, is no batch. */
static int read_tail(struct log_read *r, struct segment *s, uint32_t position, int64_t expected)
{
    uint32_t from = position, end = position, first_end = 0;
    int64_t next = r->offset, first_next = 0;
    while (end < s->size) {
        struct batch_fields f;
        if (!batch_header_in_tail(s, end, &f)) {
            break;
        }
        uint32_t size = (uint32_t)f.length + 12;
        if (f.length < LOG_BATCH_HEADER - 12 || size > s->size - end || f.last_offset_delta < 0 ||
            f.base_offset < s->base_offset || f.base_offset >= s->log->end_offset) {
            if (end == from) {
                segment_damage_found(s, end, "no batch is there");
                return ERR_DAMAGED;
            }
            break; /* the next read meets it */
        }
        int64_t last = f.base_offset + f.last_offset_delta;
        bool checked = end >= s->unchecked_to;
        if (!checked && (!batch_follows(s, &f, expected) ||
                         (last >= r->offset && !batch_sum_holds(s, end, size)))) {
            if (end == from) {
                segment_damage_found(s, end, "the batch fails its checks");
                return ERR_DAMAGED;
            }
            break;
        }
        expected = last + 1;
        if (last < r->offset) {
            end += size;
            from = end;
            continue;
        }
        bool fits = (uint64_t)end - from + size <= r->bytes_max;
        if (last >= r->limit_offset || (!fits && !(end == from && r->first_whole))) {
            break;
        }
        end += size;
        next = last + 1;
        if (!first_end) {
            first_end = end;
            first_next = next;
        }
        if (!fits) {
            break;
        }
    }
    r->slice_count = 0;
    if (end > from) {
        r->slice_count = tail_slices(s, from, end - from, r->slices, LOG_READ_SLICES_MAX);
        if (r->slice_count == 0) { /* too many small chunks: the first batch alone */
            end = first_end;
            next = first_next;
            r->slice_count = tail_slices(s, from, end - from, r->slices, LOG_READ_SLICES_MAX);
        }
    }
    r->size = r->slice_count ? end - from : 0;
    r->next_offset = r->slice_count ? next : r->offset;
    return 1;
}

/* --- from disk -------------------------------------------------------------------------------- */

static void state_free(struct read_state *st)
{
    struct log_set *set = st->segment->log->set;
    st->segment->readers--;
    set->readers--;
    if (st->chunk) {
        st->chunk->segment = NULL;
        list_remove(&st->chunk->lru);
        buffer_release(&st->chunk->buffer);
    }
    memory_free(set->memory, st);
    log_set_progress(set);
}

static void read_end(struct read_state *st, int error)
{
    struct log_read *r = st->read;
    state_free(st);
    r->done(r, error);
}

static void blocks_read(struct io_op *op, int64_t result)
{
    struct read_state *st = container_of(op, struct read_state, op);
    struct segment *s = st->segment;
    struct chunk *c = st->chunk;
    if (was_cut(st) || result < (int64_t)c->buffer.size) {
        if (!was_cut(st)) {
            segment_damage_found(s, st->batch_position,
                                 result < 0 ? "it cannot be read" : "the file ends");
        }
        read_end(st, was_cut(st) ? ERR_BUSY : result < 0 ? ERR_DISK_FAILED : ERR_DAMAGED);
        return;
    }
    if (tail_from(s) == c->position + c->buffer.size && !s->removed) {
        s->unchecked_to = tail_from(s) > s->unchecked_to ? tail_from(s) : s->unchecked_to;
        c->filled = (uint32_t)c->buffer.size;
        c->segment = s;
        list_append(s->chunks.next, &c->link); /* in front of all others */
        st->chunk = NULL;
    }
    if (st->batch_position < tail_from(s)) {
        read_end(st, ERR_BUSY); /* the tail has moved meanwhile: the client asks again */
        return;
    }
    int verdict = read_tail(st->read, s, st->batch_position, st->request.priv.expected);
    read_end(st, verdict < 0 ? verdict : 0);
}

/* Reads [block of position, tail) back. 0: started; or an error. */
static int read_blocks_back(struct read_state *st, uint32_t position)
{
    struct segment *s = st->segment;
    uint32_t from = position / IO_BLOCK_SIZE * IO_BLOCK_SIZE;
    uint32_t to = tail_from(s);
    if (to <= from) {
        return ERR_BUSY; /* the tail has moved meanwhile: the client asks again */
    }
    if (to - from > s->log->set->options.journal_file_bytes) {
        segment_damage_found(s, position, "no batch is so large");
        return ERR_DAMAGED;
    }
    st->chunk = tail_chunk_before(s, from, to - from);
    if (!st->chunk) {
        log_set_want_checkpoint(
            s->log->set); /* writes what fills the tail; the client asks again */
        return ERR_BUSY;
    }
    st->batch_position = position;
    st->op.done = blocks_read;
    io_read(s->log->set->io, &st->op, s->file, st->chunk->buffer.data, to - from, from);
    return 0;
}

/* What the cold reader gave: slices, an error, or nothing because the batch ends in the tail. */
static int cold_result(struct read_state *st, int error)
{
    struct cold_request *q = &st->request;
    struct log_read *r = st->read;
    if (was_cut(st)) {
        for (uint32_t i = 0; i < q->slice_count; i++) {
            slice_release(&q->slices[i]);
        }
        return ERR_BUSY; /* the client asks again */
    }
    if (error == ERR_DAMAGED || error == ERR_DISK_FAILED) {
        const char *damage = q->source.damage ? q->source.damage : "the batch fails its checks";
        segment_damage_found(st->segment, q->source.damage_position,
                             error == ERR_DISK_FAILED ? "it cannot be read" : damage);
    }
    if (error) {
        return error;
    }
    if (q->slice_count == 0 && q->next_position >= tail_from(st->segment) &&
        q->next_position < st->segment->size) {
        return read_tail(r, st->segment, q->next_position, q->priv.expected);
    }
    if (q->slice_count == 0 && q->first_whole && q->source.open &&
        q->next_position < st->segment->size) {
        return read_blocks_back(st, q->next_position);
    }
    memcpy(r->slices, q->slices, q->slice_count * sizeof *r->slices);
    r->slice_count = q->slice_count;
    r->size = q->size;
    r->next_offset = q->next_offset;
    return 1;
}

static void cold_done(struct cold_request *q, int error)
{
    struct read_state *st = container_of(q, struct read_state, request);
    int verdict = cold_result(st, error);
    if (verdict != 0) {
        read_end(st, verdict < 0 ? verdict : 0);
    }
}

/* Whether this process's index reaches down to `offset`. */
static bool index_covers(const struct segment *s, int64_t offset)
{
    return s->index_whole || (s->index.count && s->index.entries[0].offset <= offset);
}

/* A batch to start scanning at: the index entry's, or the segment's first. */
static struct index_entry start_entry(const struct segment *s, int64_t offset)
{
    struct index_entry first = {.offset = s->base_offset};
    struct index_entry e = index_covers(s, offset) ? index_find(&s->index, offset) : first;
    return e.offset < 0 ? first : e;
}

/* 1: answered; 0: pending; or an error. The index is there. */
static int read_disk(struct read_state *st)
{
    struct segment *s = st->segment;
    struct log_read *r = st->read;
    struct index_entry start = start_entry(s, r->offset);
    if (start.position >= tail_from(s)) {
        return read_tail(r, s, start.position, start.offset);
    }
    int error = segment_open(s);
    if (error == ERR_NOT_FOUND) {
        segment_damage_found(s, start.position, "the file is missing");
        return ERR_DAMAGED;
    }
    if (error) {
        return error;
    }
    bool sealed = s->state == SEGMENT_SEALED;
    st->request = (struct cold_request){
        .source = {.file = s->file,
                   .key = s->key,
                   .from = start.position,
                   .from_known = true,
                   .from_offset = start.offset,
                   .limit = sealed ? s->size : s->written,
                   .epochs = &s->log->epochs,
                   .open = !sealed,
                   .gaps = s->gaps},
        .offset = r->offset,
        .limit_offset = r->limit_offset,
        .bytes_max = r->bytes_max,
        .first_whole = r->first_whole,
        .done = cold_done,
    };
    int verdict = cold_read(s->log->set->cold, &st->request);
    return verdict == 0 ? 0 : cold_result(st, verdict == 1 ? 0 : verdict);
}

static void index_ready(struct log_waiter *w)
{
    struct read_state *st = container_of(w, struct read_state, index);
    if (st->starting) {
        st->indexed = true; /* log_read() goes on: done() comes from the loop alone */
        return;
    }
    int verdict = was_cut(st) ? ERR_BUSY : read_disk(st);
    if (verdict != 0) {
        read_end(st, verdict < 0 ? verdict : 0);
    }
}

static int read_from(struct log *log, struct log_read *r, struct segment *s)
{
    bool known = index_covers(s, r->offset);
    struct index_entry start = start_entry(s, r->offset);
    if (known && start.position >= tail_from(s)) {
        return read_tail(r, s, start.position, start.offset);
    }
    struct log_set *set = log->set;
    struct read_state *st = memory_alloc(set->memory, sizeof *st);
    if (!st) {
        return ERR_BUSY;
    }
    st->read = r;
    st->segment = s;
    st->cuts = s->cuts;
    st->index.settled = index_ready;
    s->readers++;
    set->readers++;
    st->starting = true;
    int verdict = known ? 1 : segment_index_need(s, &st->index);
    st->starting = false;
    verdict = verdict == 1 || st->indexed ? read_disk(st) : verdict;
    if (verdict != 0) {
        state_free(st);
    }
    return verdict;
}

int log_read(struct log *log, struct log_read *r)
{
    assert(log->magic == LOG_MAGIC && r->done);
    r->slice_count = 0;
    r->size = 0;
    r->next_offset = r->offset;
    if (log->removing || log->set->closing) {
        return ERR_CLOSED;
    }
    if (r->offset < log->start_offset || r->offset >= log->end_offset) {
        return ERR_OFFSET_OUT_OF_RANGE;
    }
    if (r->limit_offset <= r->offset) {
        return 1;
    }
    struct segment *s = segment_for_offset(log, r->offset);
    if (!s) {
        log_error(io_logger(log->set->io), "log",
                  "%s-%d: no segment holds offset %lld (log start %lld)", log->topic,
                  (int)log->partition, (long long)r->offset, (long long)log->start_offset);
        return ERR_DAMAGED;
    }
    return read_from(log, r, s);
}
