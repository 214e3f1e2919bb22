/* SPDX-License-Identifier: Apache-2.0 */

/* prng: repeatable randomness for simulations, load and back-off; not for secrets (io_random() is).
 *
 * xoshiro256** 1.0 (Blackman and Vigna, Scrambled Linear Pseudorandom Number Generators, 2018),
 * seeded through SplitMix64. One seed gives one sequence on every machine. prng_split() opens a
 * stream of its own for each purpose, so that one more draw in one place does not shift what all
 * others draw. */
#pragma once

#include "base/bytes.h"

struct prng {
    uint64_t state[4]; /* never all zero */
};

static inline uint64_t prng_mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

static inline struct prng prng_of(uint64_t seed)
{
    struct prng p;
    for (int i = 0; i < 4; i++) {
        seed += 0x9e3779b97f4a7c15;
        p.state[i] = prng_mix(seed);
    }
    return p;
}

static inline uint64_t prng_rotate(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

/* 64 random bits. */
static inline uint64_t prng_next(struct prng *p)
{
    uint64_t *s = p->state;
    assert((s[0] | s[1] | s[2] | s[3]) != 0);
    uint64_t result = prng_rotate(s[1] * 5, 7) * 9;
    uint64_t shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = prng_rotate(s[3], 45);
    return result;
}

/* The stream named `label`: it depends on the state of `p`, which does not move. */
static inline struct prng prng_split(const struct prng *p, uint64_t label)
{
    struct prng copy = *p;
    return prng_of(prng_next(&copy) ^ prng_mix(label + 0x9e3779b97f4a7c15));
}

/* Evenly from 0 .. bound - 1; bound > 0. Draws again where the remainder would favour small
 * numbers. */
static inline uint64_t prng_below(struct prng *p, uint64_t bound)
{
    assert(bound > 0);
    uint64_t unfair = -bound % bound; /* 2^64 modulo bound */
    uint64_t x;
    do {
        x = prng_next(p);
    } while (x < unfair);
    return x % bound;
}

/* Evenly from low .. high, both included. */
static inline uint64_t prng_between(struct prng *p, uint64_t low, uint64_t high)
{
    assert(low <= high);
    return high - low == UINT64_MAX ? prng_next(p) : low + prng_below(p, high - low + 1);
}

/* True in `times` of `of` cases. */
static inline bool prng_chance(struct prng *p, uint64_t times, uint64_t of)
{
    return prng_below(p, of) < times;
}

/* Evenly from [0, 1). */
static inline double prng_unit(struct prng *p)
{
    return (double)(prng_next(p) >> 11) * 0x1p-53;
}

static inline void prng_fill(struct prng *p, void *out, size_t size)
{
    uint8_t *at = out;
    for (; size >= 8; at += 8, size -= 8) {
        put_be64(at, prng_next(p));
    }
    for (uint64_t x = size ? prng_next(p) : 0; size > 0; x >>= 8, size--) {
        *at++ = (uint8_t)x;
    }
}
