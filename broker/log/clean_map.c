/* SPDX-License-Identifier: Apache-2.0 */

#include "log/clean_map.h"

#include "base/errors.h"

struct clean_slot {
    uint64_t low, high;
    uint64_t behind; /* the offset and one more; 0: free */
};

static_assert(sizeof(struct clean_slot) == CLEAN_SLOT_SIZE, "what callers reckon with");

/* --- SipHash-1-3 with 128 bits out (Aumasson, Bernstein) -------------------------------------- */

static uint64_t rotate(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static void sip_round(uint64_t v[static 4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

static uint64_t get_le64(const uint8_t *p)
{
    uint64_t x = 0;
    for (int i = 7; i >= 0; i--) {
        x = x << 8 | p[i];
    }
    return x;
}

static void sip_word(uint64_t v[static 4], uint64_t word)
{
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
}

static uint64_t sip_finish(uint64_t v[static 4])
{
    for (int i = 0; i < 3; i++) {
        sip_round(v);
    }
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static struct clean_slot hash(const struct clean_map *m, struct bytes key)
{
    uint64_t k0 = get_le64(m->secret), k1 = get_le64(m->secret + 8);
    uint64_t v[4] = {k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d ^ 0xee,
                     k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573};
    size_t whole = key.size / 8 * 8;
    for (size_t i = 0; i < whole; i += 8) {
        sip_word(v, get_le64(key.data + i));
    }
    uint64_t last = (uint64_t)key.size << 56;
    for (size_t i = whole; i < key.size; i++) {
        last |= (uint64_t)key.data[i] << 8 * (i - whole);
    }
    sip_word(v, last);
    v[2] ^= 0xee;
    struct clean_slot s = {.low = sip_finish(v)};
    v[1] ^= 0xdd;
    s.high = sip_finish(v);
    return s;
}

/* --- the map ---------------------------------------------------------------------------------- */

int clean_map_init(struct clean_map *m, struct memory *memory, uint64_t bytes, uint64_t keys,
                   const uint8_t secret[static 16])
{
    uint64_t slots = bytes / CLEAN_SLOT_SIZE, wanted = keys + keys / 3 + 4;
    slots = slots < wanted ? slots : wanted;
    slots = slots < 4 ? 4 : slots;
    *m = (struct clean_map){.slot_count = slots};
    memcpy(m->secret, secret, sizeof m->secret);
    m->slots = memory_alloc(memory, slots * sizeof *m->slots);
    return m->slots ? 0 : ERR_NO_MEMORY;
}

void clean_map_deinit(struct clean_map *m, struct memory *memory)
{
    memory_free(memory, m->slots);
    m->slots = NULL;
}

/* The slot of the key, or the free one where it would stand. */
static struct clean_slot *find(const struct clean_map *m, const struct clean_slot *key)
{
    uint64_t at = (uint64_t)((unsigned __int128)key->low * m->slot_count >> 64);
    assert(m->count < m->slot_count);
    for (;;) {
        struct clean_slot *s = &m->slots[at];
        if (s->behind == 0 || (s->low == key->low && s->high == key->high)) {
            return s;
        }
        at = at + 1 == m->slot_count ? 0 : at + 1;
    }
}

bool clean_map_put(struct clean_map *m, struct bytes key, int64_t offset)
{
    assert(offset >= 0);
    struct clean_slot wanted = hash(m, key);
    struct clean_slot *s = find(m, &wanted);
    if (s->behind == 0) {
        if (m->count >= m->slot_count / 4 * 3) {
            return false;
        }
        s->low = wanted.low;
        s->high = wanted.high;
        m->count++;
    }
    assert((uint64_t)offset >= s->behind || s->behind == 0);
    s->behind = (uint64_t)offset + 1;
    return true;
}

int64_t clean_map_get(const struct clean_map *m, struct bytes key)
{
    struct clean_slot wanted = hash(m, key);
    return (int64_t)find(m, &wanted)->behind - 1;
}
