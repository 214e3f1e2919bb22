/* SPDX-License-Identifier: Apache-2.0 */

/* Looking for a time: the first record that is not older.
 *
 *     segment, oldest first --its index says: all older--> the next one
 *        -> index entry -> log_read, batch by batch -> header's max_timestamp >= time
 *        -> the batch is decoded away from the loop (io_work) -> the record
 *
 * The largest timestamp of all is looked for as the time that it should be. What is known of a segment is a bound:
 * where a new start or a truncation has taken the record that had it, the search comes to the segment's end, lowers
 * the bound to what it has passed, and begins anew. So that is done once for each that was taken.
 *
 * A batch whose records cannot be decoded (its producer's fault: the CRC holds) is answered with
 * its first offset and its largest timestamp. One batch is unpacked for each request, within
 * bounds. */
#include "base/errors.h"
#include "log/log_private.h"
#include "wire/batch.h"

enum {
    TIME_UNPACKED_MAX = 32 << 20,
    TIME_MEMORY_MAX = 96 << 20, /* a growing buffer exists twice for a moment; codecs need theirs */
    TIME_STEPS = 64,            /* batches looked at in one turn */
};

struct time_search {
    struct log_find_time *find;
    struct log *log;
    struct segment *segment; /* readers is held */
    uint32_t cuts;           /* of it, when the search has come to it */
    struct log_waiter index;
    struct log_read read;
    struct io_op op;
    int64_t offset; /* of the next batch to look at */
    uint8_t *batch;
    size_t batch_size;
    struct memory memory; /* the worker's */
    int64_t found_offset, found_time;
    int64_t passed_time;  /* nothing that this search has left behind in the segment is later */
    int64_t decoded_time; /* likewise, of the batch that was decoded last */
    int decode_error;
};

static void search_begin(struct io_op *op, int64_t result);
static void search_segment(struct time_search *t);
static void search_batches(struct time_search *t);

static void search_end(struct time_search *t, int error, int64_t offset, int64_t time,
                       int32_t epoch)
{
    struct log_find_time *f = t->find;
    struct log_set *set = t->log->set;
    if (t->segment) {
        t->segment->readers--;
    }
    set->readers--;
    t->log->searches--;
    memory_free(set->memory, t->batch);
    memory_free(set->memory, t);
    f->offset_found = offset;
    f->timestamp_found = time;
    f->epoch_found = epoch;
    log_set_progress(set);
    f->done(f, error);
}

static void search_passes(struct time_search *t, int64_t time)
{
    t->passed_time = time > t->passed_time ? time : t->passed_time;
}

/* --- one batch -------------------------------------------------------------------------------- */

/* The first record of `records` that is late enough. 0, or a negative error. */
static int search_records(struct time_search *t, const struct batch_header *h, struct bytes records)
{
    struct record_reader reader;
    struct record record;
    record_reader_init(&reader, h, records);
    int verdict;
    while ((verdict = record_next(&reader, &record)) == 1) {
        if (record.offset < t->log->start_offset) {
            continue;
        }
        if (record.timestamp >= t->find->timestamp) {
            t->found_offset = record.offset;
            t->found_time = record.timestamp;
            return 0;
        }
        t->decoded_time = record.timestamp > t->decoded_time ? record.timestamp : t->decoded_time;
    }
    return verdict;
}

/* Pure: runs on a worker's thread. */
static void decode(void *argument)
{
    struct time_search *t = argument;
    struct batch_header h;
    t->found_offset = t->decoded_time = -1;
    t->decode_error = batch_header_read(&h, t->batch, t->batch_size);
    if (t->decode_error < 0) {
        return;
    }
    struct bytes packed = bytes_of(t->batch + BATCH_HEADER_SIZE, t->batch_size - BATCH_HEADER_SIZE);
    if (batch_codec(&h) == CODEC_NONE) {
        t->decode_error = search_records(t, &h, packed);
        return;
    }
    struct decompress_limits limits = decompress_limits_of(TIME_UNPACKED_MAX);
    struct wire_writer unpacked;
    memory_init(&t->memory, TIME_MEMORY_MAX);
    wire_writer_init(&unpacked, &t->memory, TIME_UNPACKED_MAX);
    t->decode_error = decompress_append(batch_codec(&h), packed, &limits, &t->memory, &unpacked);
    if (t->decode_error == 0) {
        t->decode_error = search_records(t, &h, bytes_of(unpacked.data, unpacked.size));
    }
    wire_writer_deinit(&unpacked);
    memory_drop(&t->memory);
}

static void decoded(struct io_op *op, int64_t result)
{
    struct time_search *t = container_of(op, struct time_search, op);
    struct batch_fields f;
    batch_fields_read(&f, t->batch);
    if (t->decode_error < 0 || result < 0) {
        int64_t start = t->log->start_offset;
        int64_t first = f.base_offset > start ? f.base_offset : start;
        search_end(t, 0, first, f.max_timestamp, f.leader_epoch);
    } else if (t->found_offset >= 0) {
        search_end(t, 0, t->found_offset, t->found_time, f.leader_epoch);
    } else {
        search_passes(t, t->decoded_time);
        search_batches(t);
    }
}

/* The batch that was read, in one piece. False: no memory. */
static bool take_batch(struct time_search *t)
{
    struct log_read *r = &t->read;
    struct memory *m = t->log->set->memory;
    memory_free(m, t->batch);
    t->batch = memory_alloc_aligned(m, r->size, MEMORY_ALIGN);
    t->batch_size = 0;
    for (uint32_t i = 0; i < r->slice_count; i++) {
        if (t->batch) {
            memcpy(t->batch + t->batch_size, r->slices[i].data, r->slices[i].size);
            t->batch_size += r->slices[i].size;
        }
        slice_release(&r->slices[i]);
    }
    return t->batch != NULL;
}

/* --- batches of a segment --------------------------------------------------------------------- */

static int64_t header_max_timestamp(const struct log_read *r)
{
    uint8_t field[8];
    size_t at = BATCH_AT_MAX_TIMESTAMP, have = 0;
    for (uint32_t i = 0; i < r->slice_count && have < sizeof field; i++) {
        const struct slice *s = &r->slices[i];
        for (; at < s->size && have < sizeof field; at++) {
            field[have++] = s->data[at];
        }
        at -= at < s->size ? 0 : s->size;
    }
    assert(have == sizeof field);
    return (int64_t)get_be64(field);
}

/* Looks at the batch that was read: true when the search waits or has ended. */
static bool batch_seen(struct time_search *t)
{
    struct log_read *r = &t->read;
    if (r->size == 0) {
        t->offset = r->limit_offset;
        return false;
    }
    t->offset = r->next_offset;
    int64_t latest = header_max_timestamp(r);
    if (latest < t->find->timestamp) {
        search_passes(t, latest);
        for (uint32_t i = 0; i < r->slice_count; i++) {
            slice_release(&r->slices[i]);
        }
        return false;
    }
    if (!take_batch(t)) {
        search_end(t, ERR_BUSY, -1, -1, -1);
        return true;
    }
    io_work(t->log->set->io, &t->op, decode, t);
    return true;
}

static void batch_read(struct log_read *r, int error)
{
    struct time_search *t = container_of(r, struct time_search, read);
    if (error) {
        search_end(t, error, -1, -1, -1);
    } else if (!batch_seen(t)) {
        search_batches(t);
    }
}

/* The search has come to the end of its segment: the next one. */
static void search_on(struct time_search *t)
{
    struct segment *s = t->segment;
    if (t->find->latest && t->passed_time < s->max_timestamp) {
        s->max_timestamp = t->passed_time;
        log_look_for_latest(t->log);
    }
    struct list *next = s->link.next;
    s->readers--;
    t->segment = next == &t->log->segments ? NULL : container_of(next, struct segment, link);
    if (t->segment) {
        t->segment->readers++;
    }
    search_segment(t);
}

static void search_batches(struct time_search *t)
{
    for (;;) {
        /* By a truncation or compaction: the client asks again. Of a segment that was cut, what follows is not
         * what was there, nor all that is. */
        if (t->segment->removed || t->segment->cuts != t->cuts) {
            search_end(t, ERR_BUSY, -1, -1, -1);
            return;
        }
        int64_t end = segment_end_offset(t->segment);
        if (t->offset < t->log->start_offset) {
            t->offset = t->log->start_offset;
        }
        if (t->offset >= end) {
            break;
        }
        t->read = (struct log_read){.offset = t->offset,
                                    .limit_offset = end,
                                    .bytes_max = 1,
                                    .first_whole = true,
                                    .done = batch_read};
        int verdict = log_read(t->log, &t->read);
        if (verdict < 0) {
            search_end(t, verdict, -1, -1, -1);
            return;
        }
        if (verdict == 0 || batch_seen(t)) {
            return;
        }
    }
    search_on(t);
}

/* --- segments --------------------------------------------------------------------------------- */

static void search_indexed(struct time_search *t)
{
    struct segment *s = t->segment;
    t->offset = s->base_offset;
    t->passed_time = -1;
    if (s->removed) { /* it is in no list that says where it ends */
        search_end(t, ERR_BUSY, -1, -1, -1);
        return;
    }
    if (s->index_whole) {
        uint32_t position = index_position_for_time(&s->index, t->find->timestamp);
        for (uint32_t i = 0; i < s->index.count && s->index.entries[i].position <= position; i++) {
            t->offset = s->index.entries[i].offset;
            t->passed_time = s->index.entries[i].max_timestamp;
        }
        if (position == UINT32_MAX) {
            t->offset = segment_end_offset(s);
            t->passed_time = s->index.max_timestamp;
        }
        if (t->offset <= t->log->start_offset) { /* what lies in front of it does not count */
            t->passed_time = -1;
        }
    }
    search_batches(t);
}

static void index_ready(struct log_waiter *w)
{
    search_indexed(container_of(w, struct time_search, index));
}

/* Nothing was found. If the largest timestamp was a bound, it is lower now. */
static void search_over(struct time_search *t)
{
    if (t->find->latest && t->log->max_timestamp != t->find->timestamp) {
        t->op.done = search_begin;
        io_timer(t->log->set->io, &t->op, io_now(t->log->set->io));
    } else {
        search_end(t, 0, -1, -1, -1);
    }
}

static void search_segment(struct time_search *t)
{
    if (!t->segment) {
        search_over(t);
        return;
    }
    t->cuts = t->segment->cuts;
    if (t->segment->max_timestamp < t->find->timestamp) {
        t->offset = segment_end_offset(t->segment);
        t->passed_time = t->segment->max_timestamp;
        search_batches(t); /* none of it: the next one */
        return;
    }
    int verdict = segment_index_need(t->segment, &t->index);
    if (verdict < 0) {
        search_end(t, verdict, -1, -1, -1);
    } else if (verdict == 1) {
        search_indexed(t);
    }
}

static void search_begin(struct io_op *op, int64_t result)
{
    struct time_search *t = container_of(op, struct time_search, op);
    struct log *log = t->log;
    if (log->removing || log->set->closing) {
        search_end(t, ERR_CLOSED, -1, -1, -1);
        return;
    }
    t->op.done = decoded;
    if (t->find->latest) {
        t->find->timestamp = log->max_timestamp;
    }
    if (t->find->latest && t->find->timestamp < 0) {
        search_end(t, 0, -1, -1, -1);
        return;
    }
    struct segment *s = segment_for_offset(log, log->start_offset);
    if (!s && !list_empty(&log->segments)) {
        s = container_of(log->segments.next, struct segment, link);
    }
    t->segment = s;
    if (s) {
        s->readers++;
    }
    search_segment(t);
}

static void search_refused(struct log_waiter *w)
{
    struct log_find_time *f = container_of(w, struct log_find_time, priv.waiter);
    f->done(f, ERR_BUSY);
}

void log_find_time(struct log *log, struct log_find_time *f)
{
    assert(log->magic == LOG_MAGIC && f->done);
    struct time_search *t = memory_alloc(log->set->memory, sizeof *t);
    if (!t) {
        f->offset_found = f->timestamp_found = f->epoch_found = -1;
        f->priv.waiter.settled = search_refused;
        log_finish_later(log->set, &f->priv.waiter);
        return;
    }
    t->find = f;
    t->log = log;
    t->index.settled = index_ready;
    t->op.done = search_begin;
    log->set->readers++;
    log->searches++;
    io_timer(log->set->io, &t->op, io_now(log->set->io)); /* done() never comes from inside */
}
