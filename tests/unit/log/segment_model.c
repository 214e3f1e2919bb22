/* SPDX-License-Identifier: Apache-2.0 */

#include "segment_model.h"

#include "base/crc32c.h"

#include <criterion/criterion.h>
#include <stdlib.h>

void segment_model_init(struct segment_model *s, uint32_t capacity, int64_t base_offset)
{
    *s = (struct segment_model){.capacity = capacity,
                                .base_offset = base_offset,
                                .next_offset = base_offset,
                                .data = malloc(capacity)};
    cr_assert_not_null(s->data);
}

void segment_model_deinit(struct segment_model *s)
{
    free(s->data);
}

bool segment_model_add(struct segment_model *s, struct prng *random, uint32_t size, int32_t records)
{
    if (size > s->capacity - s->size || s->count == MODEL_BATCHES_MAX) {
        return false;
    }
    uint8_t *b = s->data + s->size;
    int64_t max_timestamp = (int64_t)prng_below(random, 1000) + s->count;
    prng_fill(random, b, size);
    put_be64(b, (uint64_t)s->next_offset);
    put_be32(b + 8, size - 12);
    put_be32(b + 12, 3);
    b[16] = 2;
    put_be16(b + 21, 0);
    put_be32(b + 23, (uint32_t)records - 1);
    put_be64(b + 35, (uint64_t)max_timestamp);
    put_be32(b + 57, (uint32_t)records);
    put_be32(b + 17, crc32c(0, b + 21, size - 21));
    s->batches[s->count++] = (struct model_batch){s->size, size, s->next_offset,
                                                  s->next_offset + records - 1, max_timestamp};
    s->next_offset += records;
    s->size += size;
    return true;
}

bool segment_model_add_batch(struct segment_model *s, struct bytes batch)
{
    if (batch.size > s->capacity - s->size || s->count == MODEL_BATCHES_MAX) {
        return false;
    }
    uint8_t *b = s->data + s->size;
    memcpy(b, batch.data, batch.size);
    put_be64(b, (uint64_t)s->next_offset);
    put_be32(b + 12, 3);
    int64_t last = s->next_offset + (int32_t)get_be32(b + 23);
    s->batches[s->count++] = (struct model_batch){s->size, (uint32_t)batch.size, s->next_offset,
                                                  last, (int64_t)get_be64(b + 35)};
    s->next_offset = last + 1;
    s->size += (uint32_t)batch.size;
    return true;
}

void segment_model_fill(struct segment_model *s, struct prng *random, uint32_t small_max,
                        uint32_t large_max)
{
    uint32_t size;
    do {
        bool large = large_max > small_max && prng_chance(random, 1, 12);
        size = (uint32_t)prng_between(random, LOG_BATCH_HEADER, large ? large_max : small_max);
    } while (segment_model_add(s, random, size, (int32_t)prng_between(random, 1, 9)));
}

const struct model_batch *segment_model_find(const struct segment_model *s, int64_t offset)
{
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->batches[i].last_offset >= offset && s->batches[i].base_offset <= offset) {
            return &s->batches[i];
        }
    }
    return NULL;
}
