/* SPDX-License-Identifier: Apache-2.0 */

/* Headers and their checks, and reading records. Building is in batch_build.c. */
#include "wire/batch.h"

#include "base/crc32c.h"
#include "base/errors.h"
#include "wire/varint.h"

enum {
    AT_BASE_OFFSET = 0,
    AT_LENGTH = 8,
    AT_LEADER_EPOCH = 12,
    AT_MAGIC = 16,
    AT_CRC = 17,
    AT_ATTRIBUTES = 21,
    AT_MAX_TIMESTAMP = 35,
    AT_PRODUCER_ID = 43,
    AT_PRODUCER_EPOCH = 51,
    AT_BASE_SEQUENCE = 53,
};

static_assert((int)AT_ATTRIBUTES == (int)BATCH_CRC_FROM, "the checksum begins at the attributes");
static_assert((int)AT_LENGTH + 4 == (int)BATCH_LENGTH_FROM, "the length counts what follows it");

uint32_t batch_size_peek(const void *data)
{
    uint32_t length = get_be32((const uint8_t *)data + AT_LENGTH);
    if (length < BATCH_HEADER_SIZE - BATCH_LENGTH_FROM || length > INT32_MAX - BATCH_LENGTH_FROM) {
        return 0;
    }
    return length + BATCH_LENGTH_FROM;
}

int batch_header_read(struct batch_header *out, const void *data, size_t size)
{
    if (size < BATCH_HEADER_SIZE) {
        return ERR_CORRUPT_MESSAGE;
    }
    struct reader r = reader_of(data, BATCH_HEADER_SIZE);
    struct batch_header h = {.base_offset = (int64_t)reader_be64(&r)};
    uint32_t length = reader_be32(&r);
    h.leader_epoch = (int32_t)reader_be32(&r);
    uint8_t magic = reader_u8(&r);
    h.crc = reader_be32(&r);
    h.attributes = reader_be16(&r);
    h.last_offset_delta = (int32_t)reader_be32(&r);
    h.base_timestamp = (int64_t)reader_be64(&r);
    h.max_timestamp = (int64_t)reader_be64(&r);
    h.producer_id = (int64_t)reader_be64(&r);
    h.producer_epoch = (int16_t)reader_be16(&r);
    h.base_sequence = (int32_t)reader_be32(&r);
    h.record_count = (int32_t)reader_be32(&r);
    assert(!r.failed && reader_left(&r) == 0);
    if (magic != BATCH_MAGIC) {
        return ERR_INVALID_RECORD;
    }
    h.size = batch_size_peek(data);
    if (h.size == 0 || h.size > size) {
        return ERR_CORRUPT_MESSAGE;
    }
    assert(length == h.size - BATCH_LENGTH_FROM);
    *out = h;
    return 0;
}

static uint32_t batch_crc(const void *data, size_t size)
{
    assert(size >= BATCH_HEADER_SIZE);
    return crc32c(0, (const uint8_t *)data + BATCH_CRC_FROM, size - BATCH_CRC_FROM);
}

int batch_check_crc(const struct batch_header *h, const void *data)
{
    return batch_crc(data, h->size) == h->crc ? 0 : ERR_CORRUPT_MESSAGE;
}

static bool producer_fields_agree(const struct batch_header *h)
{
    if (h->producer_id < 0) {
        return !(h->attributes & BATCH_TRANSACTIONAL);
    }
    return h->producer_epoch >= 0 && h->base_sequence >= 0;
}

int batch_check_rules(const struct batch_header *h, enum batch_origin origin)
{
    assert(h->size >= BATCH_HEADER_SIZE);
    if (batch_codec(h) >= CODEC_COUNT) {
        return ERR_UNSUPPORTED_COMPRESSION_TYPE;
    }
    if (h->record_count < 0 || h->last_offset_delta < 0 ||
        h->record_count - 1 > h->last_offset_delta) {
        return ERR_INVALID_RECORD;
    }
    uint32_t room = (h->size - BATCH_HEADER_SIZE) / RECORD_SIZE_MIN;
    if (batch_codec(h) == CODEC_NONE && (uint32_t)h->record_count > room) {
        return ERR_CORRUPT_MESSAGE;
    }
    if (origin == BATCH_FROM_LOG) {
        return 0;
    }
    bool counts = h->record_count > 0 && h->record_count - 1 == h->last_offset_delta;
    bool attributes = !(h->attributes & ~(BATCH_ATTRIBUTES_KNOWN)) &&
                      !(h->attributes & (BATCH_CONTROL | BATCH_DELETE_HORIZON));
    return counts && attributes && producer_fields_agree(h) ? 0 : ERR_INVALID_RECORD;
}

int batch_check(struct batch_header *out, const void *data, size_t size, enum batch_origin origin)
{
    struct batch_header h;
    int error = batch_header_read(&h, data, size);
    if (!error && h.size != size) {
        error = ERR_INVALID_RECORD;
    }
    if (!error) {
        error = batch_check_crc(&h, data);
    }
    if (!error) {
        error = batch_check_rules(&h, origin);
    }
    if (!error) {
        *out = h;
    }
    return error;
}

void batch_set_base_offset(void *data, int64_t base_offset)
{
    assert(base_offset >= 0);
    put_be64((uint8_t *)data + AT_BASE_OFFSET, (uint64_t)base_offset);
}

void batch_set_leader_epoch(void *data, int32_t leader_epoch)
{
    put_be32((uint8_t *)data + AT_LEADER_EPOCH, (uint32_t)leader_epoch);
}

void batch_set_append_time(void *data, size_t size, int64_t time_ms)
{
    uint8_t *batch = data;
    assert(size == batch_size_peek(batch));
    assert(batch[AT_MAGIC] == BATCH_MAGIC);
    put_be16(batch + AT_ATTRIBUTES, get_be16(batch + AT_ATTRIBUTES) | BATCH_APPEND_TIME);
    put_be64(batch + AT_MAX_TIMESTAMP, (uint64_t)time_ms);
    put_be32(batch + AT_CRC, batch_crc(batch, size));
}

void batch_set_producer(void *data, size_t size, int64_t producer_id, int16_t producer_epoch,
                        int32_t base_sequence)
{
    uint8_t *batch = data;
    assert(size == batch_size_peek(batch));
    assert(batch[AT_MAGIC] == BATCH_MAGIC);
    put_be64(batch + AT_PRODUCER_ID, (uint64_t)producer_id);
    put_be16(batch + AT_PRODUCER_EPOCH, (uint16_t)producer_epoch);
    put_be32(batch + AT_BASE_SEQUENCE, (uint32_t)base_sequence);
    put_be32(batch + AT_CRC, batch_crc(batch, size));
}

void record_reader_init(struct record_reader *r, const struct batch_header *h, struct bytes records)
{
    *r = (struct record_reader){
        .reader = reader_of(records.data, records.size),
        .base_offset = h->base_offset,
        .base_timestamp = h->base_timestamp,
        .append_time = h->max_timestamp,
        .has_append_time = h->attributes & BATCH_APPEND_TIME,
        .left = h->record_count,
        .last_delta = -1,
        .max_delta = h->last_offset_delta,
    };
}

/* A varint length and that many bytes; -1 is null where that may be. */
static struct wire_bytes record_bytes(struct reader *r, bool nullable)
{
    int32_t size = reader_varint(r);
    if (size < (nullable ? -1 : 0)) {
        r->failed = true;
    }
    if (r->failed || size < 0) {
        return (struct wire_bytes){NULL, -1};
    }
    const uint8_t *data = reader_take(r, (size_t)size);
    return (struct wire_bytes){data, data ? size : -1};
}

static void record_headers(struct reader *r, struct record *out)
{
    out->header_count = reader_varint(r);
    if (r->failed || out->header_count < 0 ||
        (size_t)out->header_count > reader_left(r) / RECORD_HEADER_SIZE_MIN) {
        r->failed = true;
        return;
    }
    size_t start = r->position;
    for (int32_t i = 0; i < out->header_count && !r->failed; i++) {
        record_bytes(r, false);
        record_bytes(r, true);
    }
    out->headers = (struct bytes){r->data + start, r->position - start};
}

static int64_t add_wrapping(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a + (uint64_t)b);
}

int record_next(struct record_reader *r, struct record *out)
{
    if (r->reader.failed || r->left < 0) {
        return ERR_MALFORMED;
    }
    if (r->left == 0) {
        return reader_left(&r->reader) == 0 ? 0 : ERR_MALFORMED;
    }
    int32_t length = reader_varint(&r->reader);
    const uint8_t *data = length < 0 ? NULL : reader_take(&r->reader, (size_t)length);
    if (!data) {
        r->reader.failed = true;
        return ERR_MALFORMED;
    }
    struct reader body = reader_of(data, (size_t)length);
    struct record record = {0};
    (void)reader_u8(&body);
    int64_t timestamp_delta = reader_varlong(&body);
    int32_t offset_delta = reader_varint(&body);
    record.key = record_bytes(&body, true);
    record.value = record_bytes(&body, true);
    record_headers(&body, &record);
    if (body.failed || reader_left(&body) > 0 || offset_delta <= r->last_delta ||
        offset_delta > r->max_delta) {
        r->reader.failed = true;
        return ERR_MALFORMED;
    }
    r->last_delta = offset_delta;
    r->left--;
    record.offset = add_wrapping(r->base_offset, offset_delta);
    record.timestamp =
        r->has_append_time ? r->append_time : add_wrapping(r->base_timestamp, timestamp_delta);
    *out = record;
    return 1;
}

bool record_header_next(struct record *record, struct record_header *out)
{
    assert(record->header_count >= 0);
    if (record->header_count == 0) {
        return false;
    }
    struct reader r = reader_of(record->headers.data, record->headers.size);
    struct wire_bytes key = record_bytes(&r, false);
    out->value = record_bytes(&r, true);
    assert(!r.failed);
    out->key = (struct bytes){key.data, (size_t)key.size};
    record->headers = (struct bytes){r.data + r.position, reader_left(&r)};
    record->header_count--;
    return true;
}
