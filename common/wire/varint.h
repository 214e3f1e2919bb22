/* SPDX-License-Identifier: Apache-2.0 */

/* varint: integers of 7 bits a byte, low group first, the top bit saying that more follow.
 *
 * Unsigned ones carry lengths and tags of flexible versions; signed ones (zig-zag: 0 -1 1 -2 ...
 * become 0 1 2 3 ...) carry the fields of a record. What does not fit its width is refused; a
 * padded form (0x80 0x00 for 0) is read, because other implementations read it too. */
#pragma once

#include "base/bytes.h"

enum {
    VARINT_SIZE_MAX = 5,
    VARLONG_SIZE_MAX = 10,
};

/* Reads up to `bits` bits; on overflow or at the end the reader fails and 0 is returned. */
static inline uint64_t reader_uvarint_bits(struct reader *r, int bits)
{
    uint64_t value = 0;
    for (int shift = 0; shift < bits; shift += 7) {
        uint8_t byte = reader_u8(r);
        uint64_t low = byte & 0x7f;
        if (bits - shift < 7 && low >> (bits - shift)) {
            break;
        }
        value |= low << shift;
        if (!(byte & 0x80)) {
            return r->failed ? 0 : value;
        }
    }
    r->failed = true;
    return 0;
}

static inline uint32_t reader_uvarint(struct reader *r)
{
    if (!r->failed && r->position < r->size && r->data[r->position] < 0x80) {
        return r->data[r->position++];
    }
    return (uint32_t)reader_uvarint_bits(r, 32);
}

static inline int32_t reader_varint(struct reader *r)
{
    uint32_t value = reader_uvarint(r);
    return (int32_t)(value >> 1 ^ (0 - (value & 1)));
}

static inline int64_t reader_varlong(struct reader *r)
{
    uint64_t value = reader_uvarint_bits(r, 64);
    return (int64_t)(value >> 1 ^ (0 - (value & 1)));
}

/* Writes at `p`, which has room for VARLONG_SIZE_MAX (VARINT_SIZE_MAX for 32-bit values) bytes;
 * returns how many were used. */
static inline size_t uvarint_put(uint8_t *p, uint64_t value)
{
    size_t size = 0;
    while (value >= 0x80) {
        p[size++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    p[size++] = (uint8_t)value;
    return size;
}

static inline uint64_t zigzag(int64_t value)
{
    return (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
}

static inline size_t varint_put(uint8_t *p, int64_t value)
{
    return uvarint_put(p, zigzag(value));
}

static inline size_t uvarint_size(uint64_t value)
{
    return (size_t)(70 - __builtin_clzll(value | 1)) / 7;
}

static inline size_t varint_size(int64_t value)
{
    return uvarint_size(zigzag(value));
}
