/* SPDX-License-Identifier: Apache-2.0 */

/* pool: objects of one size, up to a limit.
 *
 * Objects are cut from slabs of a struct memory and kept for reuse: once a slab is there, taking
 * and giving back cost a few instructions and never fail for want of memory. A full pool is an
 * ordinary answer. Not thread-safe. */
#pragma once

#include "base/errors.h"
#include "base/memory.h"

struct pool_slab;
struct pool_free;

struct pool {
    struct memory *memory;
    struct pool_slab *slabs;
    struct pool_free *free;
    size_t object_size; /* rounded up to MEMORY_ALIGN */
    size_t slab_objects;
    size_t limit;  /* objects at most */
    size_t made;   /* objects cut from slabs */
    size_t in_use; /* objects out */
};

/* Allocates nothing. `memory` is lent until pool_deinit(); slabs hold `slab_objects` objects each.
 */
void pool_init(struct pool *p, struct memory *memory, size_t object_size, size_t slab_objects,
               size_t limit);

/* Frees the slabs; no object may be out. All zero is accepted. */
void pool_deinit(struct pool *p);

/* Makes sure that `objects` (at most the limit) can be out together: 0 or ERR_NO_MEMORY. */
int pool_reserve(struct pool *p, size_t objects) MUST_CHECK;

/* A zeroed object aligned to MEMORY_ALIGN, or NULL at the limit or above the memory's budget. */
void *pool_take(struct pool *p) MUST_CHECK;

/* Takes an object of this pool back. NULL is accepted. */
void pool_give(struct pool *p, void *object);
