/* SPDX-License-Identifier: Apache-2.0 */

/* batch: record batches of magic 2, as they are on the wire and in segments.
 *
 *     OFFSET   SIZE  MEANING
 *          0      8  base offset                     (outside the checksum: set by the leader)
 *          8      4  batch length: bytes after this field, at least 49
 *         12      4  partition leader epoch          (outside the checksum: set by the leader)
 *         16      1  magic, 2
 *         17      4  CRC-32C of bytes 21 to the end
 *         21      2  attributes: bits 0-2 codec, 3 append time, 4 transactional, 5 control,
 *                    6 base timestamp is a delete horizon
 *         23      4  last offset delta
 *         27      8  base timestamp, ms
 *         35      8  max timestamp, ms
 *         43      8  producer id, -1 none
 *         51      2  producer epoch, -1 none
 *         53      4  base sequence, -1 none
 *         57      4  number of records
 *         61     ..  records, compressed as one piece by the codec
 *
 * A record: length varint (of what follows), attributes int8, timestamp delta varlong, offset delta
 * varint, key (varint length, -1 null), value (the same), varint count of headers, and of each
 * header key (never null) and value (may be null).
 *
 * A batch is checked once, where it enters; record readers are total for bytes that were not. */
#pragma once

#include "wire/compress.h"
#include "wire/types.h"
#include "wire/writer.h"

enum {
    BATCH_HEADER_SIZE = 61,
    BATCH_LENGTH_FROM = 12, /* batch length counts from here */
    BATCH_CRC_FROM = 21,    /* the checksum covers from here to the end */
    BATCH_MAGIC = 2,
    RECORD_SIZE_MIN = 7,
    RECORD_HEADER_SIZE_MIN = 2,
};

enum batch_attributes {
    BATCH_CODEC_MASK = 7,
    BATCH_APPEND_TIME = 1 << 3,
    BATCH_TRANSACTIONAL = 1 << 4,
    BATCH_CONTROL = 1 << 5,
    BATCH_DELETE_HORIZON = 1 << 6,
    BATCH_ATTRIBUTES_KNOWN = (1 << 7) - 1,
};

struct batch_header {
    int64_t base_offset;
    uint32_t size; /* of the whole batch in bytes */
    int32_t leader_epoch;
    uint32_t crc;
    uint16_t attributes;
    int32_t last_offset_delta;
    int64_t base_timestamp, max_timestamp;
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t base_sequence;
    int32_t record_count;
};

static inline enum codec batch_codec(const struct batch_header *h)
{
    return (enum codec)(h->attributes & BATCH_CODEC_MASK);
}

/* The offset of the last record; wraps where a client wrote nonsense into the base. */
static inline int64_t batch_last_offset(const struct batch_header *h)
{
    return (int64_t)((uint64_t)h->base_offset + (uint64_t)h->last_offset_delta);
}

/* Reads the header at the start of `size` bytes and checks that the whole batch is there. In order:
 * ERR_CORRUPT_MESSAGE (too short, or a length below 49), ERR_INVALID_RECORD (another magic),
 * ERR_CORRUPT_MESSAGE (longer than `size`). */
int batch_header_read(struct batch_header *out, const void *data, size_t size) MUST_CHECK;

/* The size of the batch that starts here as its length field says, for at least BATCH_LENGTH_FROM
 * bytes at `data`; 0 when the length is below the least. */
uint32_t batch_size_peek(const void *data);

/* ERR_CORRUPT_MESSAGE unless the checksum of h->size bytes at `data` holds. */
int batch_check_crc(const struct batch_header *h, const void *data) MUST_CHECK;

enum batch_origin {
    BATCH_FROM_PRODUCER, /* a client of any kind: no control batches, no gaps */
    BATCH_FROM_LOG,      /* a segment, a leader: also compacted and control batches */
};

/* Counts and attributes. ERR_INVALID_RECORD; ERR_UNSUPPORTED_COMPRESSION_TYPE for an unknown codec;
 * ERR_CORRUPT_MESSAGE when the records cannot fit into the bytes. */
int batch_check_rules(const struct batch_header *h, enum batch_origin origin) MUST_CHECK;

/* All of the above for `size` bytes that hold exactly one batch. */
int batch_check(struct batch_header *out, const void *data, size_t size,
                enum batch_origin origin) MUST_CHECK;

/* The header of the h->size bytes at `data`, whose records stand there already; h->crc is not looked at. */
void batch_header_write(const struct batch_header *h, uint8_t *data);

/* Changes in place. The first two lie outside the checksum; the others compute it anew. */
void batch_set_base_offset(void *data, int64_t base_offset);
void batch_set_leader_epoch(void *data, int32_t leader_epoch);
void batch_set_append_time(void *data, size_t size, int64_t time_ms);
void batch_set_producer(void *data, size_t size, int64_t producer_id, int16_t producer_epoch,
                        int32_t base_sequence);

/* One record as read: everything borrows from the records' bytes. */
struct record {
    int64_t offset;
    int64_t timestamp;            /* ms: its own, or the batch's append time */
    struct wire_bytes key, value; /* size -1: null */
    struct bytes headers;         /* for record_header_next(), already checked */
    int32_t header_count;
};

struct record_reader {
    struct reader reader;
    int64_t base_offset, base_timestamp, append_time;
    bool has_append_time;
    int32_t left;       /* records */
    int64_t last_delta; /* of the offset; -1 before the first */
    int32_t max_delta;
};

/* Over the uncompressed records of the batch with this header; `records` is lent. */
void record_reader_init(struct record_reader *r, const struct batch_header *h,
                        struct bytes records);

/* 1 and a record, 0 behind the last, or ERR_MALFORMED: a record that does not use up its length, a
 * length or count that does not fit, offsets that do not rise or pass the batch's last, bytes left
 * over. */
int record_next(struct record_reader *r, struct record *out) MUST_CHECK;

struct record_header {
    struct bytes key;
    struct wire_bytes value; /* size -1: null */
};

/* The next header of record->headers; false behind the last. The record is consumed by it. */
bool record_header_next(struct record *record, struct record_header *out);

/* Builds a batch. Records are appended uncompressed behind room for the header; finishing
 * compresses and writes the header. */
struct batch_builder {
    struct memory *memory;
    struct wire_writer records; /* begins with BATCH_HEADER_SIZE bytes of room */
    struct wire_writer compressed;
    size_t limit;
    int32_t record_count;
    int64_t base_timestamp, max_timestamp;
};

struct record_input {
    int64_t timestamp; /* ms */
    struct wire_bytes key, value;
    const struct record_header *headers;
    int32_t header_count;
};

struct batch_options {
    enum codec codec;
    int level;           /* or CODEC_LEVEL_DEFAULT */
    uint16_t attributes; /* BATCH_TRANSACTIONAL, BATCH_CONTROL */
    int64_t base_offset;
    int32_t leader_epoch;
    int64_t producer_id; /* -1 none, as the next two */
    int16_t producer_epoch;
    int32_t base_sequence;
};

/* No producer, no codec, offset 0, no epoch. */
static inline struct batch_options batch_options_default(void)
{
    return (struct batch_options){.level = CODEC_LEVEL_DEFAULT,
                                  .leader_epoch = -1,
                                  .producer_id = -1,
                                  .producer_epoch = -1,
                                  .base_sequence = -1};
}

/* `limit`: bytes of the uncompressed batch with its header. Nothing is allocated yet. */
void batch_builder_init(struct batch_builder *b, struct memory *memory, size_t limit);
void batch_builder_deinit(struct batch_builder *b);

/* Empty again; keeps its memory. */
void batch_builder_reset(struct batch_builder *b);

/* Bytes of the batch so far, uncompressed, with its header. */
size_t batch_builder_size(const struct batch_builder *b);

/* Copies a record to the end. ERR_TOO_LARGE above the limit or ERR_NO_MEMORY: the batch is then as
 * it was and goes on working. */
int batch_append(struct batch_builder *b, const struct record_input *record) MUST_CHECK;

/* Writes the batch of at least one record. `*out` is lent until the next append, reset or deinit;
 * the batch stays and may be finished again with other options. A codec that does not make it
 * smaller is left out. ERR_NO_MEMORY, ERR_TOO_LARGE. */
int batch_finish(struct batch_builder *b, const struct batch_options *options,
                 struct bytes *out) MUST_CHECK;
