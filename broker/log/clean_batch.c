/* SPDX-License-Identifier: Apache-2.0 */

#include "log/clean_batch.h"

#include "base/crc32c.h"
#include "base/errors.h"
#include "wire/varint.h"

enum {
    CLEAN_UNPACKED_MAX = 32 << 20, /* a larger batch is a bomb, whatever it says of itself */
    CLEAN_MEMORY_MAX = 192 << 20,  /* unpacked, what is kept of it, packed: each may exist twice */
};

/* One batch, opened. */
struct opened {
    struct memory memory; /* the worker's */
    struct batch_header h;
    const uint8_t *batch;
    struct bytes records;
    struct wire_writer unpacked, kept, packed;
};

static int refuse(struct clean_work *w, int error, const char *what)
{
    w->error = error;
    w->what = what;
    return error;
}

/* --- opening ---------------------------------------------------------------------------------- */

/* 1: the batch at w->consumed is whole and in its place; 0: it is cut off; or an error. */
static int next_header(struct clean_work *w, struct batch_header *h)
{
    const uint8_t *at = w->data + w->consumed;
    size_t left = w->size - w->consumed;
    if (left < BATCH_HEADER_SIZE) {
        w->data_needed = BATCH_HEADER_SIZE;
        return 0;
    }
    uint32_t size = batch_size_peek(at);
    if (size == 0 || size > w->batch_bytes_max || at[16] != BATCH_MAGIC) {
        return refuse(w, ERR_DAMAGED, "no batch begins here");
    }
    if (size > left) {
        w->data_needed = size;
        return 0;
    }
    int error = batch_header_read(h, at, left);
    if (error || h->base_offset < 0 || h->last_offset_delta < 0 ||
        h->base_offset > w->end_offset - 1 - h->last_offset_delta) {
        return refuse(w, ERR_DAMAGED, "the header of the batch is impossible");
    }
    if (w->gaps ? h->base_offset < w->expected_offset : h->base_offset != w->expected_offset) {
        return refuse(w, ERR_DAMAGED, "the batch does not follow the one before it");
    }
    if (batch_check_crc(h, at)) {
        return refuse(w, ERR_DAMAGED, "the checksum of the batch does not hold");
    }
    return 1;
}

static void opened_init(struct opened *o, const struct batch_header *h, const uint8_t *batch)
{
    *o = (struct opened){.h = *h, .batch = batch};
    memory_init(&o->memory, CLEAN_MEMORY_MAX);
    wire_writer_init(&o->unpacked, &o->memory, CLEAN_UNPACKED_MAX);
    wire_writer_init(&o->kept, &o->memory, 2 * CLEAN_UNPACKED_MAX);
    wire_writer_init(&o->packed, &o->memory, 2 * CLEAN_UNPACKED_MAX);
}

static void opened_deinit(struct opened *o)
{
    wire_writer_deinit(&o->unpacked);
    wire_writer_deinit(&o->kept);
    wire_writer_deinit(&o->packed);
    memory_drop(&o->memory);
}

static int open_records(struct clean_work *w, struct opened *o)
{
    if (batch_check_rules(&o->h, BATCH_FROM_LOG)) {
        return refuse(w, ERR_INVALID_RECORD, "its counts or its codec are impossible");
    }
    if (o->h.attributes & BATCH_TRANSACTIONAL) {
        return refuse(w, ERR_INVALID_RECORD,
                      "it is of a transaction, which compaction does not know");
    }
    o->records = bytes_of(o->batch + BATCH_HEADER_SIZE, o->h.size - BATCH_HEADER_SIZE);
    if (batch_codec(&o->h) == CODEC_NONE) {
        return 0;
    }
    struct decompress_limits limits = decompress_limits_of(CLEAN_UNPACKED_MAX);
    int error =
        decompress_append(batch_codec(&o->h), o->records, &limits, &o->memory, &o->unpacked);
    if (error == ERR_NO_MEMORY) {
        return refuse(w, error, "no memory to unpack it");
    }
    if (error) {
        return refuse(w, ERR_INVALID_RECORD, "its records cannot be unpacked");
    }
    o->records = bytes_of(o->unpacked.data, o->unpacked.size);
    return 0;
}

static struct bytes key_of(const struct record *record)
{
    return bytes_of(record->key.data, (size_t)record->key.size);
}

/* --- the first walk --------------------------------------------------------------------------- */

static int tell_records(struct clean_work *w, struct opened *o)
{
    if (open_records(w, o)) {
        return w->error;
    }
    struct record_reader reader;
    struct record record;
    int verdict;
    record_reader_init(&reader, &o->h, o->records);
    while ((verdict = record_next(&reader, &record)) == 1) {
        if (record.key.size >= 0 && !clean_map_put(w->map, key_of(&record), record.offset)) {
            w->full = true;
            return 0;
        }
        w->map->end_offset = record.offset + 1;
    }
    return verdict < 0 ? refuse(w, ERR_INVALID_RECORD, "its records cannot be read") : 0;
}

static int tell_batch(struct clean_work *w, const struct batch_header *h)
{
    if (batch_last_offset(h) < w->from_offset) {
        return 0;
    }
    if (!(h->attributes & BATCH_CONTROL) && h->record_count > 0) {
        struct opened o;
        opened_init(&o, h, w->data + w->consumed);
        int error = tell_records(w, &o);
        opened_deinit(&o);
        if (error || w->full) {
            return error;
        }
    }
    w->map->end_offset = batch_last_offset(h) + 1;
    return 0;
}

/* --- the second walk -------------------------------------------------------------------------- */

static bool out_room(struct clean_work *w, size_t size)
{
    if (size > w->out_capacity - w->out_size) {
        w->out_needed = size;
        return false;
    }
    return true;
}

/* 1: it is in the output; 0: there is no room. */
static int put_as_it_is(struct clean_work *w, const struct batch_header *h)
{
    if (!out_room(w, h->size)) {
        return 0;
    }
    memcpy(w->out + w->out_size, w->data + w->consumed, h->size);
    w->out_size += h->size;
    return 1;
}

/* One of the rising offsets is in [from, to]. */
static bool any_between(const int64_t *offsets, size_t count, int64_t from, int64_t to)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (offsets[middle] < from) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < count && offsets[low] <= to;
}

static bool wanted_empty(const struct clean_work *w, const struct batch_header *h)
{
    int64_t last = batch_last_offset(h);
    return last + 1 == w->range_end ||
           any_between(w->epoch_starts, w->epoch_count, w->expected_offset, h->base_offset) ||
           (any_between(w->kept_last, w->kept_count, last, last) && !w->keep_no_empty);
}

/* The batch with the records of `o->kept`, packed or not as is smaller. */
static int put_batch(struct clean_work *w, struct opened *o, int32_t count, uint16_t attributes,
                     int64_t base_timestamp, int64_t max_timestamp)
{
    struct bytes body = bytes_of(o->kept.data, o->kept.size);
    enum codec codec = batch_codec(&o->h);
    if (codec != CODEC_NONE && count > 0) {
        int error = compress_append(codec, CODEC_LEVEL_DEFAULT, body, &o->memory, &o->packed);
        if (error) {
            return refuse(w, ERR_NO_MEMORY, "no memory to pack it again");
        }
    }
    if (o->packed.size > 0 && o->packed.size < body.size) {
        body = bytes_of(o->packed.data, o->packed.size);
    } else {
        attributes &= (uint16_t)~BATCH_CODEC_MASK;
    }
    size_t size = BATCH_HEADER_SIZE + body.size;
    if (size > w->batch_bytes_max) {
        return put_as_it_is(w, &o->h); /* longer timestamps have made it too large: as it was */
    }
    if (!out_room(w, size)) {
        return 0;
    }
    uint8_t *out = w->out + w->out_size;
    memcpy(out, o->batch, BATCH_HEADER_SIZE);
    put_be32(out + 8, (uint32_t)(size - BATCH_LENGTH_FROM));
    put_be16(out + 21, attributes);
    put_be64(out + 27, (uint64_t)base_timestamp);
    put_be64(out + 35, (uint64_t)max_timestamp);
    put_be32(out + 57, (uint32_t)count);
    if (body.size > 0) {
        memcpy(out + BATCH_HEADER_SIZE, body.data, body.size);
    }
    put_be32(out + 17, crc32c(0, out + BATCH_CRC_FROM, size - BATCH_CRC_FROM));
    w->out_size += size;
    return 1;
}

/* What is kept of one batch. */
struct sieve {
    int64_t horizon; /* of the batch, -1: none yet */
    int32_t kept;
    bool tombstones; /* among them */
    int64_t max_timestamp;
};

static bool record_stays(const struct clean_work *w, const struct sieve *s,
                         const struct record *record)
{
    if (record->offset >= w->map->end_offset) {
        return true;
    }
    if (record->key.size < 0 || clean_map_get(w->map, key_of(record)) > record->offset) {
        return false;
    }
    return record->value.size >= 0 || record->offset >= w->tombstones_from ||
           !(w->keep_no_tombstone || (s->horizon >= 0 && s->horizon <= w->now_ms));
}

/* Copies the records that stay. 0, or an error. */
static int sift(struct clean_work *w, struct opened *o, struct sieve *s)
{
    struct record_reader reader;
    struct record record;
    int verdict;
    record_reader_init(&reader, &o->h, o->records);
    size_t from = 0;
    while ((verdict = record_next(&reader, &record)) == 1) {
        size_t to = reader.reader.position;
        if (record_stays(w, s, &record)) {
            wire_put(&o->kept, o->records.data + from, to - from);
            s->kept++;
            s->tombstones = s->tombstones || record.value.size < 0;
            s->max_timestamp =
                record.timestamp > s->max_timestamp ? record.timestamp : s->max_timestamp;
        } else {
            w->without_key += record.key.size < 0;
        }
        from = to;
    }
    if (verdict < 0) {
        return refuse(w, ERR_INVALID_RECORD, "its records cannot be read");
    }
    return o->kept.error ? refuse(w, ERR_NO_MEMORY, "no memory for what is kept of it") : 0;
}

/* The records of `o->kept` again, their timestamps `shift` later than they say from their base. */
static int shift_timestamps(struct clean_work *w, struct opened *o, int64_t shift)
{
    struct wire_writer moved;
    wire_writer_init(&moved, &o->memory, 2 * CLEAN_UNPACKED_MAX);
    struct reader r = reader_of(o->kept.data, o->kept.size);
    while (reader_left(&r) > 0 && !r.failed) {
        int32_t length = reader_varint(&r);
        size_t body = r.position;
        uint8_t attributes = reader_u8(&r);
        int64_t delta = (int64_t)((uint64_t)reader_varlong(&r) + (uint64_t)shift);
        size_t rest = (size_t)length - (r.position - body);
        const uint8_t *tail = reader_take(&r, rest);
        assert(tail);
        uint8_t head[VARINT_SIZE_MAX], time[VARLONG_SIZE_MAX];
        size_t time_size = varint_put(time, delta);
        size_t head_size = varint_put(head, (int64_t)(1 + time_size + rest));
        wire_put(&moved, head, head_size);
        wire_put_u8(&moved, attributes);
        wire_put(&moved, time, time_size);
        wire_put(&moved, tail, rest);
    }
    assert(!r.failed);
    wire_writer_deinit(&o->kept);
    o->kept = moved;
    return moved.error ? refuse(w, ERR_NO_MEMORY, "no memory for what is kept of it") : 0;
}

static int copy_opened(struct clean_work *w, struct opened *o)
{
    const struct batch_header *h = &o->h;
    struct sieve s = {.horizon = h->attributes & BATCH_DELETE_HORIZON ? h->base_timestamp : -1,
                      .max_timestamp = INT64_MIN};
    if (open_records(w, o) || sift(w, o, &s)) {
        return w->error;
    }
    if (s.kept == 0) {
        return wanted_empty(w, h)
                   ? put_batch(w, o, 0, h->attributes, h->base_timestamp, h->max_timestamp)
                   : 1;
    }
    bool sets_horizon = s.tombstones && s.horizon < 0;
    if (s.kept == h->record_count && !sets_horizon) {
        return put_as_it_is(w, h);
    }
    uint16_t attributes = h->attributes;
    int64_t base = h->base_timestamp;
    if (sets_horizon) {
        attributes |= BATCH_DELETE_HORIZON;
        base = w->delete_retention_ms < INT64_MAX - w->now_ms ? w->now_ms + w->delete_retention_ms
                                                              : INT64_MAX;
        if (shift_timestamps(w, o, (int64_t)((uint64_t)h->base_timestamp - (uint64_t)base))) {
            return w->error;
        }
    }
    int64_t max = h->attributes & BATCH_APPEND_TIME ? h->max_timestamp : s.max_timestamp;
    return put_batch(w, o, s.kept, attributes, base, max);
}

/* 1: on to the next batch; 0: the output is full; or an error. */
static int copy_batch(struct clean_work *w, const struct batch_header *h)
{
    if ((h->attributes & BATCH_CONTROL) || h->base_offset >= w->map->end_offset) {
        return put_as_it_is(w, h);
    }
    if (h->record_count == 0) {
        return wanted_empty(w, h) ? put_as_it_is(w, h) : 1;
    }
    struct opened o;
    uint64_t without_key = w->without_key;
    opened_init(&o, h, w->data + w->consumed);
    int verdict = copy_opened(w, &o);
    opened_deinit(&o);
    if (verdict == 0) { /* it comes again */
        w->without_key = without_key;
    }
    return verdict;
}

/* --- both ------------------------------------------------------------------------------------- */

void clean_work_run(void *argument)
{
    struct clean_work *w = argument;
    w->consumed = w->data_needed = w->out_size = w->out_needed = 0;
    w->full = false;
    w->error = 0;
    struct batch_header h;
    while (w->consumed < w->size && next_header(w, &h) == 1) {
        if (w->walk == CLEAN_TELL) {
            if (tell_batch(w, &h) || w->full) {
                return;
            }
        } else {
            if (copy_batch(w, &h) != 1) {
                return;
            }
        }
        w->expected_offset = batch_last_offset(&h) + 1;
        w->records += (uint64_t)h.record_count;
        w->consumed += h.size;
    }
}
