/* SPDX-License-Identifier: Apache-2.0 */

/* map: a bounded hash map from bytes or from a 64-bit number to a pointer.
 *
 * Open addressing with linear probing over a power of two, at most three quarters full, without
 * tombstones. Keys of bytes are hashed with SipHash-1-3 under the caller's seed, so that a client
 * cannot choose names that collide. Where things stand depends on the seed, the keys and the order
 * of the calls, never on addresses: a simulated run walks the same way every time.
 *
 * The map borrows the bytes of its keys: they stay valid and unchanged until the entry is removed
 * (usually they stand in the value). Values are not NULL. One map uses one kind of key. Not
 * thread-safe. */
#pragma once

#include "base/bytes.h"
#include "base/errors.h"
#include "base/memory.h"

struct map_slot;

struct map {
    struct map_slot *slots; /* NULL until the first entry */
    struct memory *memory;
    uint64_t seed;
    size_t mask;  /* slots - 1 */
    size_t count; /* entries */
    size_t limit; /* entries at most */
};

/* Allocates nothing. `memory` is lent until map_deinit(). */
void map_init(struct map *m, struct memory *memory, uint64_t seed, size_t limit);

/* Forgets all entries. All zero is accepted. */
void map_deinit(struct map *m);

static inline size_t map_count(const struct map *m)
{
    return m->count;
}

/* The value of `key`, or NULL. */
void *map_get(const struct map *m, struct bytes key);
void *map_get_number(const struct map *m, uint64_t key);

/* Adds an entry: 0, ERR_EXISTS, ERR_TOO_LARGE at the limit, ERR_NO_MEMORY. */
int map_add(struct map *m, struct bytes key, void *value) MUST_CHECK;
int map_add_number(struct map *m, uint64_t key, void *value) MUST_CHECK;

/* Removes an entry and returns its value, or NULL if there was none. */
void *map_remove(struct map *m, struct bytes key);
void *map_remove_number(struct map *m, uint64_t key);

/* A walk over all entries. Between two steps the entry just returned may be removed; nothing else
 * may change. */
struct map_walk {
    size_t position, left;
};

struct map_walk map_walk_start(const struct map *m);

/* The next value, or NULL at the end. */
void *map_walk_next(const struct map *m, struct map_walk *walk);
