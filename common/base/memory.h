/* SPDX-License-Identifier: Apache-2.0 */

/* memory: a heap of one shard, with a budget that is kept and an end in one call.
 *
 * Every allocation belongs to one struct memory. It counts what is out, refuses with NULL what
 * would pass its budget, and frees everything at memory_drop(): so a simulated node can be dropped
 * at any operation without running its code. Nothing outside this file calls malloc. A struct
 * memory is used by one thread; what it gave is freed through it.
 *
 * struct arena is for what lives as long as a request: many small pieces, freed together, bounded.
 */
#pragma once

#include "base/assert.h"

#include <stddef.h>
#include <stdint.h>

enum { MEMORY_ALIGN = 16 };

struct memory_block;

struct memory {
    struct memory_block *blocks; /* everything out, newest first; of a share: in the parent */
    struct memory *parent;       /* NULL: no share */
    size_t used_bytes;           /* payload and headers */
    size_t budget_bytes;
};

void memory_init(struct memory *m, size_t budget_bytes);

/* A share of `parent`, which is no share itself: what is out through it counts in both, and it
 * refuses at its own budget, so that one purpose cannot use up what others must have. What it gave
 * is freed through it; its end is the parent's. */
void memory_init_share(struct memory *m, struct memory *parent, size_t budget_bytes);

/* Frees everything that is still out, also through shares. Not for a share. */
void memory_drop(struct memory *m);

/* `size` bytes of zeros, aligned to MEMORY_ALIGN; NULL above the budget or when the system has
 * none. `size` may be 0. */
void *memory_alloc(struct memory *m, size_t size) MUST_CHECK;

/* Uncleared, aligned to `align` (a power of two <= 64 KiB): for I/O buffers. */
void *memory_alloc_aligned(struct memory *m, size_t size, size_t align) MUST_CHECK;

/* As realloc; growth is cleared. NULL leaves the old block as it was. */
void *memory_resize(struct memory *m, void *p, size_t size) MUST_CHECK;

/* Copy of a string or range, NUL-terminated; NULL above the budget. */
char *memory_string(struct memory *m, const char *text, size_t size) MUST_CHECK;

/* NULL is accepted. */
void memory_free(struct memory *m, void *p);

struct arena_chunk;

struct arena {
    struct memory *memory;
    struct arena_chunk *chunks;
    size_t used_bytes;
    size_t limit_bytes;
};

/* No allocation happens before the first arena_alloc(). */
void arena_init(struct arena *a, struct memory *m, size_t limit_bytes);
void arena_deinit(struct arena *a);

/* As arena_deinit(), but keeps one small chunk for the next user. */
void arena_reset(struct arena *a);

/* Zeros, aligned to MEMORY_ALIGN, valid until arena_deinit(); NULL above the limit or the budget.
 */
void *arena_alloc(struct arena *a, size_t size) MUST_CHECK;

/* `count` elements; NULL also when the product overflows. */
void *arena_array(struct arena *a, size_t count, size_t element_size) MUST_CHECK;
