/* SPDX-License-Identifier: Apache-2.0 */

/* clean_batch: the work of compaction on bytes, away from the loop. Pure.
 *
 * Two walks over the batches of segments. The first tells the map each key's last offset. The second
 * copies what is to be kept:
 *
 *     control batch, or at or above the map's end             as it is
 *     a record whose key has a later one in the map           goes
 *     a record without key                                    goes (a compacted topic takes none)
 *     a tombstone (null value) whose batch's horizon has passed  goes, if all replicas have it
 *     every other record                                      stays, with its offset
 *     nothing goes, no horizon to set                         the batch as it is, byte by byte
 *     something goes                                          the batch with what stays: base offset, last
 *                                                             offset, producer, sequence and codec are kept
 *     nothing stays                                           nothing; but where the batch is the last of its
 *                                                             producer, or of the range, or the first of a
 *                                                             leader epoch, an empty batch
 *
 * The horizon of a batch is set when a walk first keeps a tombstone in it: now and the retention of
 * deletions. It stands in the base timestamp, which attribute bit 6 says (KIP-534), and the records'
 * timestamps count from there. By then every older record of that key is gone or goes with the same pass,
 * in front of it; so a tombstone that goes later uncovers nothing.
 *
 * A follower knows by an epoch's first batch alone where the one before it ends; were that batch left out, one
 * that has gone another way in the earlier epoch would not be told (KIP-320).
 *
 * What is read is checked as for a consumer (length, order, CRC): damage is never copied. */
#pragma once

#include "log/clean_map.h"
#include "wire/batch.h"

enum clean_walk { CLEAN_TELL, CLEAN_COPY };

struct clean_work {
    enum clean_walk walk;
    struct clean_map *map;

    /* From a batch's beginning on; the last of them may be cut off. */
    const uint8_t *data;
    size_t size;
    int64_t expected_offset; /* of the first batch, as far as is known; moved along */
    bool gaps;               /* it may be higher */
    int64_t end_offset;      /* of the segment: no batch ends behind it */
    uint32_t batch_bytes_max;

    /* CLEAN_TELL: batches that end below are passed. CLEAN_COPY: of the range; the last batch is kept. */
    int64_t from_offset, range_end;

    /* CLEAN_COPY */
    int64_t now_ms, delete_retention_ms;
    int64_t tombstones_from;  /* on they stay */
    const int64_t *kept_last; /* last offsets of the producers' last batches, rising */
    size_t kept_count;
    const int64_t *epoch_starts; /* of all epochs but the oldest, rising */
    size_t epoch_count;
    uint8_t *out; /* whole batches, one behind the other */
    size_t out_capacity, out_size;
    bool keep_no_empty, keep_no_tombstone; /* rules left out, for the simulator */

    size_t consumed;               /* of data: whole batches */
    size_t data_needed;            /* the first batch is larger than what was given: so much */
    size_t out_needed;             /* the output has no room for the next batch: so much in all */
    bool full;                     /* the map: the walk has ended */
    int error;                     /* ERR_DAMAGED, ERR_INVALID_RECORD, ERR_NO_MEMORY ... */
    const char *what;              /* of the batch at `consumed` */
    uint64_t records, without_key; /* sums: seen; gone because they had none */
};

/* For io_work(): `argument` is the struct clean_work. */
void clean_work_run(void *argument);
