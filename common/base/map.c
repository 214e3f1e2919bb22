/* SPDX-License-Identifier: Apache-2.0 */

/* A slot holds one 64-bit word: the key itself for numbers, the hash for bytes. The word, mixed
 * with the seed, says where the probing starts; an entry stands there or in one of the slots after
 * it, with no free slot between (M1). Removal closes the gap by moving later entries of the same
 * run back, so that M1 holds without tombstones.
 *
 * A walk starts below a free slot and goes down. A run never crosses that slot, so what a removal
 * moves into the gap comes from slots that the walk has passed: nothing is met twice or left out.
 */
#include "base/map.h"

enum { MAP_SLOTS_MIN = 16 };

struct map_slot {
    uint64_t word;
    const uint8_t *data; /* NULL: the word is the key */
    size_t size;
    void *value; /* NULL: the slot is free */
};

/* The finalizer of SplitMix64 (Steele, Lea, Flood 2014): every bit of x decides over every bit. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

static uint64_t rotate(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

/* Without the call its four words stay in registers: every look-up by name or id comes through here. */
__attribute__((always_inline)) static inline void sip_round(uint64_t v[static 4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

/* SipHash-1-3 (Aumasson and Bernstein, 2012) with both halves of its key drawn from the seed. */
static uint64_t sip_hash(uint64_t seed, struct bytes key)
{
    uint64_t k0 = mix(seed), k1 = mix(seed + 0x9e3779b97f4a7c15);
    uint64_t v[4] = {k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261,
                     k1 ^ 0x7465646279746573};
    size_t at = 0;
    for (; key.size - at >= 8; at += 8) {
        uint64_t word = __builtin_bswap64(get_be64(key.data + at)); /* little-endian */
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    uint64_t last = (uint64_t)key.size << 56;
    for (size_t i = at; i < key.size; i++) {
        last |= (uint64_t)key.data[i] << 8 * (i - at);
    }
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static struct map_slot slot_of_bytes(const struct map *m, struct bytes key)
{
    assert(key.data || key.size == 0);
    static const uint8_t nothing[1] = {0};
    return (struct map_slot){
        .word = sip_hash(m->seed, key), .data = key.data ? key.data : nothing, .size = key.size};
}

static bool slot_matches(const struct map_slot *a, const struct map_slot *b)
{
    return a->word == b->word && a->size == b->size && !a->data == !b->data &&
           (a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
}

static size_t slot_home(const struct map *m, const struct map_slot *slot)
{
    return mix(slot->word ^ m->seed) & m->mask;
}

/* The slot that holds the key of `wanted`, or the free one where it belongs. */
static struct map_slot *map_find(const struct map *m, const struct map_slot *wanted)
{
    assert(m->slots && m->count <= m->mask);
    size_t at = slot_home(m, wanted);
    while (m->slots[at].value && !slot_matches(&m->slots[at], wanted)) {
        at = (at + 1) & m->mask;
    }
    return &m->slots[at];
}

static int map_grow(struct map *m)
{
    size_t slots = m->slots ? (m->mask + 1) * 2 : MAP_SLOTS_MIN;
    if (slots > SIZE_MAX / sizeof(struct map_slot) / 2) {
        return ERR_TOO_LARGE;
    }
    struct map_slot *grown = memory_alloc(m->memory, slots * sizeof *grown);
    if (!grown) {
        return ERR_NO_MEMORY;
    }
    struct map_slot *old = m->slots;
    size_t old_slots = old ? m->mask + 1 : 0;
    m->slots = grown;
    m->mask = slots - 1;
    for (size_t i = 0; i < old_slots; i++) {
        if (old[i].value) {
            *map_find(m, &old[i]) = old[i];
        }
    }
    memory_free(m->memory, old);
    return 0;
}

static void *map_get_slot(const struct map *m, struct map_slot wanted)
{
    return m->count ? map_find(m, &wanted)->value : NULL;
}

static int map_add_slot(struct map *m, struct map_slot entry)
{
    assert(entry.value);
    assert(m->memory);
    if (map_get_slot(m, entry)) {
        return ERR_EXISTS;
    }
    if (m->count >= m->limit) {
        return ERR_TOO_LARGE;
    }
    if (!m->slots || (m->count + 1) * 4 > (m->mask + 1) * 3) {
        int error = map_grow(m);
        if (error) {
            return error;
        }
    }
    struct map_slot *slot = map_find(m, &entry);
    assert(!slot->value);
    *slot = entry;
    m->count++;
    return 0;
}

static void *map_remove_slot(struct map *m, struct map_slot wanted)
{
    struct map_slot *slot = m->count ? map_find(m, &wanted) : NULL;
    if (!slot || !slot->value) {
        return NULL;
    }
    void *value = slot->value;
    size_t gap = (size_t)(slot - m->slots);
    for (size_t at = (gap + 1) & m->mask; m->slots[at].value; at = (at + 1) & m->mask) {
        /* An entry may fill the gap unless its home lies behind the gap, on the way to where it is.
         */
        size_t from_home = (at - slot_home(m, &m->slots[at])) & m->mask;
        if (from_home >= ((at - gap) & m->mask)) {
            m->slots[gap] = m->slots[at];
            gap = at;
        }
    }
    m->slots[gap] = (struct map_slot){0};
    m->count--;
    return value;
}

void map_init(struct map *m, struct memory *memory, uint64_t seed, size_t limit)
{
    assert(memory);
    *m = (struct map){.memory = memory, .seed = seed, .limit = limit};
}

void map_deinit(struct map *m)
{
    if (m->slots) {
        memory_free(m->memory, m->slots);
    }
    *m = (struct map){0};
}

void *map_get(const struct map *m, struct bytes key)
{
    return map_get_slot(m, slot_of_bytes(m, key));
}

void *map_get_number(const struct map *m, uint64_t key)
{
    return map_get_slot(m, (struct map_slot){.word = key});
}

int map_add(struct map *m, struct bytes key, void *value)
{
    struct map_slot entry = slot_of_bytes(m, key);
    entry.value = value;
    return map_add_slot(m, entry);
}

int map_add_number(struct map *m, uint64_t key, void *value)
{
    return map_add_slot(m, (struct map_slot){.word = key, .value = value});
}

void *map_remove(struct map *m, struct bytes key)
{
    return map_remove_slot(m, slot_of_bytes(m, key));
}

void *map_remove_number(struct map *m, uint64_t key)
{
    return map_remove_slot(m, (struct map_slot){.word = key});
}

struct map_walk map_walk_start(const struct map *m)
{
    struct map_walk walk = {0};
    if (m->count) {
        while (m->slots[walk.position].value) {
            walk.position++;
            assert(walk.position <= m->mask);
        }
        walk.left = m->mask;
    }
    return walk;
}

void *map_walk_next(const struct map *m, struct map_walk *walk)
{
    while (walk->left > 0) {
        walk->left--;
        walk->position = (walk->position - 1) & m->mask;
        if (m->slots[walk->position].value) {
            return m->slots[walk->position].value;
        }
    }
    return NULL;
}
