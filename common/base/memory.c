/* SPDX-License-Identifier: Apache-2.0 */

/* A doubly linked list of everything that is out stands in front of the system's allocator: 48
 * bytes a block buy the budget, the count of what leaks and the end of a node in one call. */
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

enum {
    MEMORY_MAGIC = 0x6d656d31,
    ARENA_CHUNK_MIN = 1024,
    ARENA_CHUNK_MAX = 65536,
    ARENA_CHUNK_KEPT = 8192, /* the largest that arena_reset() keeps */
    CLEARED_HERE_MAX = 1024, /* glibc's calloc() passes its cache of small blocks by */
};

struct memory_block {
    struct memory_block *next, *prev;
    void *origin;    /* what malloc gave */
    size_t size;     /* payload bytes */
    size_t overhead; /* what it costs beside the payload */
    uint32_t magic;
};

struct arena_chunk {
    struct arena_chunk *next;
    size_t size, used;
};

enum {
    MEMORY_HEADER = (sizeof(struct memory_block) + MEMORY_ALIGN - 1) / MEMORY_ALIGN * MEMORY_ALIGN
};

enum {
    ARENA_HEADER = (sizeof(struct arena_chunk) + MEMORY_ALIGN - 1) / MEMORY_ALIGN * MEMORY_ALIGN
};

void memory_init(struct memory *m, size_t budget_bytes)
{
    *m = (struct memory){.budget_bytes = budget_bytes};
}

void memory_init_share(struct memory *m, struct memory *parent, size_t budget_bytes)
{
    assert(!parent->parent);
    *m = (struct memory){.parent = parent, .budget_bytes = budget_bytes};
}

void memory_drop(struct memory *m)
{
    assert(!m->parent);
    while (m->blocks) {
        memory_free(m, (char *)m->blocks + MEMORY_HEADER);
    }
    assert(m->used_bytes == 0);
}

static bool memory_fits(const struct memory *m, size_t size, size_t overhead)
{
    return size <= m->budget_bytes && m->budget_bytes - size >= overhead &&
           m->used_bytes <= m->budget_bytes - size - overhead;
}

static void *memory_take(struct memory *m, size_t size, size_t align, bool clear)
{
    assert(align >= MEMORY_ALIGN && (align & (align - 1)) == 0);
    size_t overhead = MEMORY_HEADER + align - MEMORY_ALIGN;
    struct memory *home = m->parent ? m->parent : m;
    if (!memory_fits(m, size, overhead) || !memory_fits(home, size, overhead)) {
        return NULL;
    }
    bool clear_here = clear && size <= CLEARED_HERE_MAX;
    char *origin = clear && !clear_here ? calloc(1, size + overhead) : malloc(size + overhead);
    if (!origin) {
        return NULL;
    }
    uintptr_t at = ((uintptr_t)origin + MEMORY_HEADER + align - 1) & ~(uintptr_t)(align - 1);
    struct memory_block *block = (struct memory_block *)(at - MEMORY_HEADER);
    *block = (struct memory_block){home->blocks, NULL, origin, size, overhead, MEMORY_MAGIC};
    if (home->blocks) {
        home->blocks->prev = block;
    }
    home->blocks = block;
    home->used_bytes += size + overhead;
    m->used_bytes += m == home ? 0 : size + overhead;
    if (clear_here) {
        memset((void *)at, 0, size);
    }
    return (void *)at;
}

static struct memory_block *memory_header(void *p)
{
    struct memory_block *block = (struct memory_block *)((char *)p - MEMORY_HEADER);
    assert(block->magic == MEMORY_MAGIC);
    return block;
}

void *memory_alloc(struct memory *m, size_t size)
{
    return memory_take(m, size, MEMORY_ALIGN, true);
}

void *memory_alloc_aligned(struct memory *m, size_t size, size_t align)
{
    return memory_take(m, size, align < MEMORY_ALIGN ? MEMORY_ALIGN : align, false);
}

void *memory_resize(struct memory *m, void *p, size_t size)
{
    void *grown = memory_take(m, size, MEMORY_ALIGN, true);
    if (grown && p) {
        size_t old = memory_header(p)->size;
        memcpy(grown, p, old < size ? old : size);
        memory_free(m, p);
    }
    return grown;
}

char *memory_string(struct memory *m, const char *text, size_t size)
{
    char *copy = size < SIZE_MAX ? memory_take(m, size + 1, MEMORY_ALIGN, false) : NULL;
    if (copy) {
        if (size) {
            memcpy(copy, text, size);
        }
        copy[size] = 0;
    }
    return copy;
}

void memory_free(struct memory *m, void *p)
{
    if (!p) {
        return;
    }
    struct memory *home = m->parent ? m->parent : m;
    struct memory_block *block = memory_header(p);
    size_t total = block->size + block->overhead;
    block->magic = 0;
    if (block->next) {
        block->next->prev = block->prev;
    }
    if (block->prev) {
        block->prev->next = block->next;
    } else {
        assert(home->blocks == block);
        home->blocks = block->next;
    }
    assert(m->used_bytes >= total && home->used_bytes >= total);
    home->used_bytes -= total;
    m->used_bytes -= m == home ? 0 : total;
    free(block->origin);
}

void arena_init(struct arena *a, struct memory *m, size_t limit_bytes)
{
    *a = (struct arena){.memory = m, .limit_bytes = limit_bytes};
}

void arena_deinit(struct arena *a)
{
    while (a->chunks) {
        struct arena_chunk *next = a->chunks->next;
        memory_free(a->memory, a->chunks);
        a->chunks = next;
    }
    a->used_bytes = 0;
}

void arena_reset(struct arena *a)
{
    struct arena_chunk *kept = NULL;
    while (a->chunks) {
        struct arena_chunk *chunk = a->chunks;
        a->chunks = chunk->next;
        if (!kept && chunk->size <= ARENA_CHUNK_KEPT) {
            kept = chunk;
        } else {
            memory_free(a->memory, chunk);
        }
    }
    if (kept) {
        memset((char *)kept + ARENA_HEADER, 0, kept->used);
        *kept = (struct arena_chunk){NULL, kept->size, 0};
        a->chunks = kept;
    }
    a->used_bytes = 0;
}

void *arena_alloc(struct arena *a, size_t size)
{
    if (size > a->limit_bytes || a->used_bytes > a->limit_bytes - size || size > SIZE_MAX / 2) {
        return NULL;
    }
    size_t need = (size + MEMORY_ALIGN - 1) / MEMORY_ALIGN * MEMORY_ALIGN;
    struct arena_chunk *chunk = a->chunks;
    if (!chunk || chunk->size - chunk->used < need) {
        size_t room = chunk ? chunk->size * 2 : ARENA_CHUNK_MIN;
        room = room > ARENA_CHUNK_MAX ? ARENA_CHUNK_MAX : room;
        room = room < need ? need : room;
        chunk = memory_alloc(a->memory, ARENA_HEADER + room);
        if (!chunk) {
            return NULL;
        }
        *chunk = (struct arena_chunk){a->chunks, room, 0};
        a->chunks = chunk;
    }
    void *at = (char *)chunk + ARENA_HEADER + chunk->used;
    chunk->used += need;
    a->used_bytes += need;
    return at;
}

void *arena_array(struct arena *a, size_t count, size_t element_size)
{
    if (element_size && count > SIZE_MAX / element_size) {
        return NULL;
    }
    return arena_alloc(a, count * element_size);
}
