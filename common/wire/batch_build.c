/* SPDX-License-Identifier: Apache-2.0 */

/* Building a batch: lengths stand in front of what they count, so a record is measured first and
 * then written once, into room that is known to be enough. */
#include "wire/batch.h"

#include "base/crc32c.h"
#include "base/errors.h"
#include "wire/varint.h"

void batch_builder_init(struct batch_builder *b, struct memory *memory, size_t limit)
{
    assert(memory);
    assert(limit > BATCH_HEADER_SIZE && limit <= INT32_MAX);
    *b = (struct batch_builder){.memory = memory, .limit = limit};
    wire_writer_init(&b->records, memory, limit);
    /* Compressed bytes that are not fewer than the plain ones are not used, but codecs ask for room
     * for their worst case: an eighth and a little more covers all four. */
    wire_writer_init(&b->compressed, memory, limit + limit / 8 + 65536);
}

void batch_builder_deinit(struct batch_builder *b)
{
    if (!b || !b->memory) {
        return;
    }
    wire_writer_deinit(&b->records);
    wire_writer_deinit(&b->compressed);
    *b = (struct batch_builder){0};
}

void batch_builder_reset(struct batch_builder *b)
{
    wire_writer_reset(&b->records);
    wire_writer_reset(&b->compressed);
    b->record_count = 0;
}

size_t batch_builder_size(const struct batch_builder *b)
{
    return b->records.size ? b->records.size : BATCH_HEADER_SIZE;
}

static size_t bytes_measure(struct wire_bytes bytes)
{
    assert(bytes.size >= -1);
    return varint_size(bytes.size) + (bytes.size > 0 ? (size_t)bytes.size : 0);
}

static uint8_t *bytes_write(uint8_t *p, struct wire_bytes bytes)
{
    p += varint_put(p, bytes.size);
    if (bytes.size > 0) {
        memcpy(p, bytes.data, (size_t)bytes.size);
        p += bytes.size;
    }
    return p;
}

static struct wire_bytes header_key(const struct record_header *header)
{
    assert(header->key.size <= INT32_MAX);
    return (struct wire_bytes){header->key.data, (int32_t)header->key.size};
}

/* The bytes of a record behind its length. */
static size_t record_measure(const struct record_input *record, int64_t time_delta, int32_t delta)
{
    assert(record->header_count >= 0);
    size_t size = 1 + varint_size(time_delta) + varint_size(delta);
    size += bytes_measure(record->key) + bytes_measure(record->value);
    size += varint_size(record->header_count);
    for (int32_t i = 0; i < record->header_count; i++) {
        size += bytes_measure(header_key(&record->headers[i]));
        size += bytes_measure(record->headers[i].value);
    }
    return size;
}

static uint8_t *record_write(uint8_t *p, size_t body, const struct record_input *record,
                             int64_t time_delta, int32_t delta)
{
    p += varint_put(p, (int64_t)body);
    *p++ = 0;
    p += varint_put(p, time_delta);
    p += varint_put(p, delta);
    p = bytes_write(p, record->key);
    p = bytes_write(p, record->value);
    p += varint_put(p, record->header_count);
    for (int32_t i = 0; i < record->header_count; i++) {
        p = bytes_write(p, header_key(&record->headers[i]));
        p = bytes_write(p, record->headers[i].value);
    }
    return p;
}

int batch_append(struct batch_builder *b, const struct record_input *record)
{
    assert(b->memory);
    assert(b->record_count < INT32_MAX);
    int64_t base = b->record_count ? b->base_timestamp : record->timestamp;
    int64_t time_delta = (int64_t)((uint64_t)record->timestamp - (uint64_t)base);
    size_t body = record_measure(record, time_delta, b->record_count);
    size_t room = varint_size((int64_t)body) + body;
    if (body > INT32_MAX || room > b->limit - batch_builder_size(b)) {
        return ERR_TOO_LARGE;
    }
    if (b->records.size == 0 && !wire_writer_room(&b->records, BATCH_HEADER_SIZE)) {
        goto no_memory;
    }
    uint8_t *start = wire_writer_room(&b->records, room);
    if (!start) {
        goto no_memory;
    }
    uint8_t *end = record_write(start, body, record, time_delta, b->record_count);
    assert(end == start + room);
    b->base_timestamp = base;
    b->max_timestamp = b->record_count && b->max_timestamp > record->timestamp ? b->max_timestamp
                                                                               : record->timestamp;
    b->record_count++;
    return 0;
no_memory:
    b->records.error = 0;
    return ERR_NO_MEMORY;
}

void batch_header_write(const struct batch_header *h, uint8_t *data)
{
    struct writer w = writer_of(data, BATCH_HEADER_SIZE);
    assert(h->size >= BATCH_HEADER_SIZE);
    writer_be64(&w, (uint64_t)h->base_offset);
    writer_be32(&w, h->size - BATCH_LENGTH_FROM);
    writer_be32(&w, (uint32_t)h->leader_epoch);
    writer_u8(&w, BATCH_MAGIC);
    uint8_t *crc = writer_room(&w, 4);
    writer_be16(&w, h->attributes);
    writer_be32(&w, (uint32_t)h->last_offset_delta);
    writer_be64(&w, (uint64_t)h->base_timestamp);
    writer_be64(&w, (uint64_t)h->max_timestamp);
    writer_be64(&w, (uint64_t)h->producer_id);
    writer_be16(&w, (uint16_t)h->producer_epoch);
    writer_be32(&w, (uint32_t)h->base_sequence);
    writer_be32(&w, (uint32_t)h->record_count);
    assert(!w.failed && w.size == BATCH_HEADER_SIZE);
    put_be32(crc, crc32c(0, data + BATCH_CRC_FROM, h->size - BATCH_CRC_FROM));
}

static void header_write(const struct batch_builder *b, const struct batch_options *o,
                         enum codec codec, uint8_t *data, size_t size)
{
    assert((o->attributes & ~(BATCH_TRANSACTIONAL | BATCH_CONTROL)) == 0);
    const struct batch_header h = {.base_offset = o->base_offset,
                                   .size = (uint32_t)size,
                                   .leader_epoch = o->leader_epoch,
                                   .attributes = (uint16_t)(o->attributes | codec),
                                   .last_offset_delta = b->record_count - 1,
                                   .base_timestamp = b->base_timestamp,
                                   .max_timestamp = b->max_timestamp,
                                   .producer_id = o->producer_id,
                                   .producer_epoch = o->producer_epoch,
                                   .base_sequence = o->base_sequence,
                                   .record_count = b->record_count};
    batch_header_write(&h, data);
}

int batch_finish(struct batch_builder *b, const struct batch_options *options, struct bytes *out)
{
    assert(b->record_count > 0);
    assert(options->codec < CODEC_COUNT);
    struct wire_writer *from = &b->records;
    enum codec codec = options->codec;
    if (codec != CODEC_NONE) {
        wire_writer_reset(&b->compressed);
        if (!wire_writer_room(&b->compressed, BATCH_HEADER_SIZE)) {
            return b->compressed.error;
        }
        struct bytes plain = {b->records.data + BATCH_HEADER_SIZE,
                              b->records.size - BATCH_HEADER_SIZE};
        int error = compress_append(codec, options->level, plain, b->memory, &b->compressed);
        if (error) {
            return error;
        }
        from = b->compressed.size < b->records.size ? &b->compressed : &b->records;
        codec = from == &b->compressed ? codec : CODEC_NONE;
    }
    assert(from->size <= INT32_MAX);
    header_write(b, options, codec, from->data, from->size);
    *out = (struct bytes){from->data, from->size};
    return 0;
}
