/* SPDX-License-Identifier: Apache-2.0 */

/* The fields of a record batch's header that the log itself needs, read from bytes that were
 * checked before (PROTOCOL: RecordBatch v2). Private. */
#pragma once

#include "base/bytes.h"
#include "log/producers.h"

enum {
    BATCH_STAMP_SIZE = 16, /* base offset, length, leader epoch: what the broker writes */
    BATCH_AT_LENGTH = 8,
    BATCH_AT_EPOCH = 12,
    BATCH_AT_LAST_DELTA = 23,
    BATCH_AT_MAX_TIMESTAMP = 35,
    BATCH_AT_PRODUCER_ID = 43,
    BATCH_AT_PRODUCER_EPOCH = 51,
    BATCH_AT_SEQUENCE = 53,
};

struct batch_fields {
    int64_t base_offset;
    int32_t length; /* of the batch behind this field: its size is 12 more */
    int32_t leader_epoch;
    int32_t last_offset_delta;
    int64_t max_timestamp;
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t base_sequence;
};

/* `data` has at least 61 bytes. */
static inline void batch_fields_read(struct batch_fields *f, const uint8_t *data)
{
    f->base_offset = (int64_t)get_be64(data);
    f->length = (int32_t)get_be32(data + BATCH_AT_LENGTH);
    f->leader_epoch = (int32_t)get_be32(data + BATCH_AT_EPOCH);
    f->last_offset_delta = (int32_t)get_be32(data + BATCH_AT_LAST_DELTA);
    f->max_timestamp = (int64_t)get_be64(data + BATCH_AT_MAX_TIMESTAMP);
    f->producer_id = (int64_t)get_be64(data + BATCH_AT_PRODUCER_ID);
    f->producer_epoch = (int16_t)get_be16(data + BATCH_AT_PRODUCER_EPOCH);
    f->base_sequence = (int32_t)get_be32(data + BATCH_AT_SEQUENCE);
}

/* Both fields lie outside the batch's checksum. `data` has at least BATCH_STAMP_SIZE bytes. */
static inline void batch_fields_stamp(uint8_t *data, int64_t base_offset, int32_t leader_epoch)
{
    put_be64(data, (uint64_t)base_offset);
    put_be32(data + BATCH_AT_EPOCH, (uint32_t)leader_epoch);
}

static inline struct producer_batch batch_fields_producer(const struct batch_fields *f)
{
    int32_t last = (int32_t)(((int64_t)f->base_sequence + f->last_offset_delta) & INT32_MAX);
    return (struct producer_batch){
        .producer_id = f->producer_id,
        .epoch = f->producer_epoch,
        .first_sequence = f->base_sequence,
        .last_sequence = last,
        .base_offset = f->base_offset,
        .last_offset = f->base_offset + f->last_offset_delta,
        .timestamp_ms = f->max_timestamp,
    };
}
