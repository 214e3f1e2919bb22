/* SPDX-License-Identifier: Apache-2.0 */

/* Frames live in memory of their own, from the first byte to the answer. Sizes are rounded up to
 * classes, so that what one request gave back fits the next; the cached and the reserved together
 * stay within the limit, and what was not needed for a second goes back to the heap.
 *
 *     0                           1/2                              7/8      1
 *     |--------------------------------------------------------------|------|  the limit
 *      large frames: up to here ---------------------------------> 7/8
 *      small frames while a large one waits -> 1/2,   otherwise -----------> 1
 *
 * So small ones always have an eighth that large ones cannot take; and a large one whose turn has come gets in when
 * those are over that were there before it: half of the limit is more than a quarter, which is what a frame may take,
 * rounded up to its class. */
#include "net/connection.h"

enum {
    BODY_CLASS_SHIFT = 9, /* the smallest class: 512 bytes */
    BODY_ALIGN = 64,
    BODY_SMALL_MAX = 64 << 10, /* heartbeats, votes, fetches, metadata, ordinary produce requests */
    BODY_SMALL_PART = 64,      /* of the limit, for one small frame: the reserve has room for 8 */
    BODY_RESERVE_PART = 8,     /* of the limit, which large frames leave to small ones */
    BODY_CONTEST_PART = 2,     /* of the limit, for all small frames while a large one waits */
};

struct body_free {
    struct body_free *next;
};

/* The class of a size and the bytes of the class; sizes above the last class stand for themselves.
 */
static unsigned body_class(uint32_t size, uint32_t *bytes)
{
    if (size <= 1u << BODY_CLASS_SHIFT) {
        *bytes = 1u << BODY_CLASS_SHIFT;
        return 0;
    }
    unsigned shift = 31 - (unsigned)__builtin_clz(size - 1);
    uint32_t base = 1u << shift, step = base / 4;
    uint32_t steps = (size - base + step - 1) / step;
    assert(steps >= 1 && steps <= 4);
    unsigned class = (shift - BODY_CLASS_SHIFT) * 4 + steps;
    *bytes = class < NET_BODY_CLASSES ? base + steps * step : size;
    return class;
}

void bodies_init(struct bodies *b, struct memory *memory, uint64_t limit)
{
    assert(limit > 0);
    *b = (struct bodies){.memory = memory, .limit = limit, .small_max = BODY_SMALL_MAX};
    while (b->small_max > limit / BODY_SMALL_PART && b->small_max > 1u << BODY_CLASS_SHIFT) {
        b->small_max /= 2;
    }
}

static bool bodies_have_room(const struct bodies *b, uint32_t bytes, bool large_waits)
{
    assert(b->large <= b->reserved && b->reserved <= b->limit);
    if (bytes > b->limit - b->reserved) {
        return false;
    }
    if (!bodies_small(b, bytes)) {
        return b->large + bytes <= b->limit - b->limit / BODY_RESERVE_PART;
    }
    return !large_waits || b->reserved - b->large + bytes <= b->limit / BODY_CONTEST_PART;
}

/* Frees cached frames, the largest first, until at most `keep` bytes are cached. */
static void bodies_shrink(struct bodies *b, uint64_t keep)
{
    for (unsigned class = NET_BODY_CLASSES; class -- > 0 && b->cached > keep;) {
        uint32_t bytes = 1u << BODY_CLASS_SHIFT;
        if (class > 0) {
            uint32_t base = 1u << (BODY_CLASS_SHIFT + (class - 1) / 4);
            bytes = base + ((class - 1) % 4 + 1) * (base / 4);
        }
        while (b->free[class] && b->cached > keep) {
            struct body_free *body = b->free[class];
            b->free[class] = body->next;
            memory_free(b->memory, body);
            assert(b->cached >= bytes);
            b->cached -= bytes;
        }
    }
    b->idle = b->idle > b->cached ? b->cached : b->idle;
}

void bodies_deinit(struct bodies *b)
{
    if (!b->memory) {
        return;
    }
    assert(b->reserved == 0);
    bodies_shrink(b, 0);
    assert(b->cached == 0);
}

uint8_t *bodies_take(struct bodies *b, uint32_t size, bool large_waits, uint32_t *reserved)
{
    uint32_t bytes;
    unsigned class = body_class(size, &bytes);
    assert(bodies_small(b, bytes) == bodies_small(b, size));
    if (!bodies_have_room(b, bytes, large_waits)) {
        return NULL;
    }
    uint8_t *body;
    if (class < NET_BODY_CLASSES && b->free[class]) {
        body = (uint8_t *)b->free[class];
        b->free[class] = b->free[class]->next;
        b->cached -= bytes;
        b->idle = b->idle > b->cached ? b->cached : b->idle;
    } else {
        uint64_t room = b->limit - b->reserved - bytes;
        if (b->cached > room) {
            bodies_shrink(b, room);
        }
        body = memory_alloc_aligned(b->memory, bytes, BODY_ALIGN);
        if (!body) {
            bodies_shrink(b, 0);
            body = memory_alloc_aligned(b->memory, bytes, BODY_ALIGN);
        }
        if (!body) {
            return NULL;
        }
    }
    b->reserved += bytes;
    b->large += bodies_small(b, bytes) ? 0 : bytes;
    *reserved = bytes;
    assert(b->reserved + b->cached <= b->limit);
    return body;
}

void bodies_give(struct bodies *b, uint8_t *body, uint32_t reserved)
{
    if (!body) {
        return;
    }
    uint32_t bytes;
    unsigned class = body_class(reserved, &bytes);
    assert(bytes == reserved);
    assert(b->reserved >= reserved);
    b->reserved -= reserved;
    if (!bodies_small(b, reserved)) {
        assert(b->large >= reserved);
        b->large -= reserved;
    }
    if (class >= NET_BODY_CLASSES) {
        memory_free(b->memory, body);
        return;
    }
    struct body_free *entry = (struct body_free *)body;
    entry->next = b->free[class];
    b->free[class] = entry;
    b->cached += reserved;
}

void bodies_trim(struct bodies *b)
{
    uint64_t unused = b->idle;
    if (unused > 0) {
        bodies_shrink(b, b->cached - unused);
    }
    b->idle = b->cached;
}
