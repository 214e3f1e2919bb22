/* SPDX-License-Identifier: Apache-2.0 */

/* producer_batch: records of one partition on their way, from the first append to the report.
 *
 *     open --full, lingered, flushed--> ready --drained, sealed--> in flight --answer--> settled
 *                                                    ^                 |
 *                                                    +---- retry <-----+
 *
 * A record is written once, in the form of the wire, behind room for the batch's header; sealing
 * adds the header and the checksum, and compresses if that is asked for. The bytes stay where they
 * are until the batch is settled, so a retry sends the very same ones.
 *
 * The appending side works inside the producer's gate; from ready on the bytes belong to the I/O
 * side. */
#pragma once

#include "base/list.h"
#include "base/memory.h"
#include "core/error.h"
#include "wire/batch.h"
#include "wire/compress.h"
#include "wire/varint.h"

struct producer_queue;

enum {
    RECORD_OVERHEAD_MAX = 40, /* bytes of a record beside key, value and headers */
};

/* A caller that waits for one record. */
struct producer_waiter {
    struct producer_waiter *next;
    int32_t index; /* of the record in its batch */
    bool settled;
    int64_t offset;
    leat_error error;
};

struct producer_batch {
    struct list link;     /* of its queue: ready, in flight, retry; then of the reports */
    struct list age_link; /* of the accumulator: by creation */
    struct producer_batch *told_next;
    struct producer_queue *queue;
    uint64_t ordinal; /* rises over all batches of the producer */
    uint64_t send_by_ns, deliver_by_ns;
    bool urgent; /* does not linger */

    uint8_t *data; /* BATCH_HEADER_SIZE bytes of room, then records */
    size_t size, capacity;
    int32_t record_count;
    int64_t base_timestamp, max_timestamp;
    void **tags; /* one per record, or NULL */
    uint32_t tags_capacity;
    struct producer_waiter *waiters;

    /* The I/O side's: */
    uint8_t *packed; /* compressed, from the I/O heap; or NULL */
    size_t packed_size;
    bool sealed;
    bool sequenced; /* has been sent with the id and sequence below */
    bool rejected;  /* the broker has said that it is not written */
    bool in_flight;
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t sequence;
    unsigned attempts;
    leat_error error; /* the latest; of the outcome once settled */
    int64_t base_offset, timestamp;
};

/* Bytes that a record may take at most in any batch. */
static inline size_t record_bound(const leat_record *r)
{
    size_t size = RECORD_OVERHEAD_MAX + r->key.len + r->value.len;
    for (size_t i = 0; i < r->header_count; i++) {
        size += 2 * VARINT_SIZE_MAX + strlen(r->headers[i].name) + r->headers[i].value.len;
    }
    return size;
}

/* Writes a record at the end; there is room for record_bound(). */
void producer_batch_append(struct producer_batch *b, const leat_record *r, int64_t timestamp_ms);

/* How batches are compressed, and what that needs again; its `kept` is freed by the owner. */
struct batch_packer {
    enum codec codec;
    int level;
    struct memory *memory; /* of what is compressed */
    struct codec_kept kept;
};

/* Completes the bytes with this id and sequence (-1: none), compressed if that makes them smaller: 0 or ERR_NO_MEMORY.
 * Sealing again changes id and sequence alone. */
int producer_batch_seal(struct producer_batch *b, struct batch_packer *packer, int64_t producer_id,
                        int16_t producer_epoch, int32_t sequence) MUST_CHECK;

/* The offset of a record of a settled batch, -1: not known. The base is what the broker says. */
static inline int64_t producer_batch_offset(const struct producer_batch *b, int32_t index)
{
    return b->base_offset < 0 || b->base_offset > INT64_MAX - index ? -1 : b->base_offset + index;
}

/* The sealed bytes. */
static inline struct bytes producer_batch_bytes(const struct producer_batch *b)
{
    assert(b->sealed);
    return b->packed ? bytes_of(b->packed, b->packed_size) : bytes_of(b->data, b->size);
}
