/* SPDX-License-Identifier: Apache-2.0 */

/* index: where in a segment an offset or a time is. Sparse, and a cache: always rebuildable from
 * the segment, checked when it is loaded, and a look-up is only a place to start scanning from.
 *
 * In memory: entries in order. On disk: written once, when its segment is sealed, as <base>.index;
 * a missing or invalid one is rebuilt by scanning the segment. The layout stands in index.c and in
 * docs/formats/index.md. */
#pragma once

#include "base/bytes.h"
#include "base/memory.h"
#include "base/uuid.h"

struct index_entry {
    int64_t offset;        /* base offset of a batch */
    uint32_t position;     /* of that batch in the segment */
    int64_t max_timestamp; /* largest timestamp of all batches of the segment before this entry's
                              batch */
};

struct index {
    struct index_entry *entries;
    uint32_t count, capacity;
    int64_t max_timestamp;     /* of the whole segment so far, -1: none */
    uint32_t indexed_position; /* bytes of the segment that the index has seen */
};

/* Tells of the next batch in the segment; makes an entry when `interval` bytes have passed since
 * the last (and for the first batch). ERR_NO_MEMORY: the index stays valid, only sparser. */
int index_add(struct index *x, struct memory *m, int64_t offset, uint32_t position, uint32_t size,
              int64_t max_timestamp, uint32_t interval) MUST_CHECK;

/* The last entry at or below `offset`; when there is none, offset -1 and position 0. */
struct index_entry index_find(const struct index *x, int64_t offset);

/* The position of an entry from which on the first batch with max_timestamp >= `timestamp` lies, or
 * UINT32_MAX when the whole segment is older. */
uint32_t index_position_for_time(const struct index *x, int64_t timestamp);

/* Forgets what lies at or above `position`; max_timestamp of what is left must be given by the
 * caller's scan or stays an upper bound. */
void index_truncate(struct index *x, uint32_t position);

void index_free(struct index *x, struct memory *m);

/* The file: bound to topic id, partition, base offset, so that a misplaced one is refused. */
size_t index_file_size(const struct index *x);
void index_encode(const struct index *x, struct uuid topic_id, int32_t partition,
                  int64_t base_offset, struct writer *w);
int index_decode(struct index *out, struct memory *m, struct uuid topic_id, int32_t partition,
                 int64_t base_offset, uint32_t segment_size, struct reader *r) MUST_CHECK;

/* Block sums: CRC-32C of each SUMS_PIECE of a sealed segment, bound to topic id, partition, base
 * offset and position, for scrub and repair; <base>.sums. */
enum { SUMS_PIECE = 65536 };
/* The sum of a piece before its first byte, and of one that is there whole. */
uint32_t sums_begin(struct uuid topic_id, int32_t partition, int64_t base_offset,
                    uint32_t position);
uint32_t sums_piece(struct uuid topic_id, int32_t partition, int64_t base_offset, uint32_t position,
                    const void *data, size_t size);
size_t sums_file_size(uint32_t segment_size);
/* `sums` has one entry for each started piece of `segment_size`. */
void sums_encode(const uint32_t *sums, uint32_t segment_size, struct uuid topic_id,
                 int32_t partition, int64_t base_offset, struct writer *w);
int sums_decode(uint32_t *sums, uint32_t segment_size, struct uuid topic_id, int32_t partition,
                int64_t base_offset, struct reader *r) MUST_CHECK;
