/* SPDX-License-Identifier: Apache-2.0 */

/* Free objects are chained through their first bytes. An object is cleared when it is taken, so
 * that what a holder sees never depends on the holder before it. */
#include "base/pool.h"

#include <string.h>

enum { POOL_MAGIC = 0x706f6f6c };

struct pool_slab {
    struct pool_slab *next;
};

struct pool_free {
    struct pool_free *next;
    uint64_t magic; /* POOL_MAGIC: catches an object that is given back twice */
};

enum { POOL_HEADER = (sizeof(struct pool_slab) + MEMORY_ALIGN - 1) / MEMORY_ALIGN * MEMORY_ALIGN };

void pool_init(struct pool *p, struct memory *memory, size_t object_size, size_t slab_objects,
               size_t limit)
{
    assert(memory && slab_objects > 0 && limit > 0);
    assert(object_size > 0 && object_size < SIZE_MAX / 2 / slab_objects);
    size_t size = object_size < sizeof(struct pool_free) ? sizeof(struct pool_free) : object_size;
    *p = (struct pool){
        .memory = memory,
        .object_size = (size + MEMORY_ALIGN - 1) / MEMORY_ALIGN * MEMORY_ALIGN,
        .slab_objects = slab_objects,
        .limit = limit,
    };
}

void pool_deinit(struct pool *p)
{
    assert(p->in_use == 0);
    while (p->slabs) {
        struct pool_slab *next = p->slabs->next;
        memory_free(p->memory, p->slabs);
        p->slabs = next;
    }
    *p = (struct pool){0};
}

static int pool_grow(struct pool *p)
{
    assert(p->made < p->limit);
    size_t count = p->limit - p->made < p->slab_objects ? p->limit - p->made : p->slab_objects;
    struct pool_slab *slab = memory_alloc(p->memory, POOL_HEADER + count * p->object_size);
    if (!slab) {
        return ERR_NO_MEMORY;
    }
    slab->next = p->slabs;
    p->slabs = slab;
    for (size_t i = count; i > 0; i--) {
        char *at = (char *)slab + POOL_HEADER + (i - 1) * p->object_size;
        struct pool_free *object = (struct pool_free *)at;
        *object = (struct pool_free){p->free, POOL_MAGIC};
        p->free = object;
    }
    p->made += count;
    return 0;
}

int pool_reserve(struct pool *p, size_t objects)
{
    assert(objects <= p->limit);
    while (p->made < objects) {
        int error = pool_grow(p);
        if (error) {
            return error;
        }
    }
    return 0;
}

void *pool_take(struct pool *p)
{
    if (!p->free && (p->made == p->limit || pool_grow(p) != 0)) {
        return NULL;
    }
    struct pool_free *object = p->free;
    assert(object->magic == POOL_MAGIC);
    p->free = object->next;
    p->in_use++;
    memset(object, 0, p->object_size);
    return object;
}

void pool_give(struct pool *p, void *object)
{
    if (!object) {
        return;
    }
    struct pool_free *given = object;
    assert(p->in_use > 0);
    assert_slow(given->magic != POOL_MAGIC);
    *given = (struct pool_free){p->free, POOL_MAGIC};
    p->free = given;
    p->in_use--;
}
