/* SPDX-License-Identifier: Apache-2.0 */

/* A segment in memory, made of random batches, with what a test needs to know of each. */
#pragma once

#include "base/prng.h"
#include "base/uuid.h"
#include "log/log.h"

struct model_batch {
    uint32_t position, size;
    int64_t base_offset, last_offset;
    int64_t max_timestamp;
};

enum { MODEL_BATCHES_MAX = 4096 };

struct segment_model {
    uint8_t *data;
    uint32_t size, capacity;
    struct model_batch batches[MODEL_BATCHES_MAX];
    uint32_t count;
    int64_t base_offset, next_offset;
};

void segment_model_init(struct segment_model *s, uint32_t capacity, int64_t base_offset);
void segment_model_deinit(struct segment_model *s);

/* A batch of `records` offsets and `size` bytes whose content is random; false: it does not fit. */
bool segment_model_add(struct segment_model *s, struct prng *random, uint32_t size,
                       int32_t records);

/* A finished batch, stamped with the next offset. */
bool segment_model_add_batch(struct segment_model *s, struct bytes batch);

/* Random batches: mostly of 61 .. small_max bytes, now and then up to large_max. */
void segment_model_fill(struct segment_model *s, struct prng *random, uint32_t small_max,
                        uint32_t large_max);

/* The batch that contains the offset. */
const struct model_batch *segment_model_find(const struct segment_model *s, int64_t offset);
