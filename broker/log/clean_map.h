/* SPDX-License-Identifier: Apache-2.0 */

/* clean_map: for each key the offset of its last record, in bounded memory. Pure.
 *
 * A key is known by 128 bits of SipHash under a secret of the pass alone: a producer cannot choose two keys
 * that pass for one, and that two do so by chance is less likely than a disk that lies about it. When
 * the map is full it takes no further key: the pass then ends at the offset that it has reached. */
#pragma once

#include "base/bytes.h"
#include "base/memory.h"

enum { CLEAN_SLOT_SIZE = 24 };

struct clean_slot;

struct clean_map {
    uint8_t secret[16];
    struct clean_slot *slots; /* open addressing, at most three quarters full */
    uint64_t slot_count, count;
    int64_t end_offset; /* behind what was told: what lies at or above it is not judged */
};

/* At most `bytes` of `memory`, and no more than `keys` need. ERR_NO_MEMORY. `secret`: nobody can guess it. */
int clean_map_init(struct clean_map *m, struct memory *memory, uint64_t bytes, uint64_t keys,
                   const uint8_t secret[static 16]) MUST_CHECK;
void clean_map_deinit(struct clean_map *m, struct memory *memory); /* all zero is accepted */

/* The record at `offset` has this key; offsets rise. False: it is full, and nothing has changed. */
bool clean_map_put(struct clean_map *m, struct bytes key, int64_t offset);

/* The offset of the last record with the key, -1: none. */
int64_t clean_map_get(const struct clean_map *m, struct bytes key);
