/* SPDX-License-Identifier: Apache-2.0 */

/* The portable path, the choice between paths, and the arithmetic of combining two sums.
 *
 * The portable path takes eight bytes a step through eight tables ("slicing by eight": Kounavis and
 * Berry, A Systematic Approach to Building High Performance Software-Based CRC Generators, 2005).
 * Table k holds what a byte does that stands k bytes before the end of the step. Each table is
 * linear in the bits of its index, so eight constants say all of it and the compiler works out the
 * rest.
 *
 * Polynomials are reflected: bit 31 of a sum is the coefficient of x^0. */
#include "base/crc32c_paths.h"

#include <string.h>

enum { CRC32C_SLICES = 8, CRC32C_POWERS = 31 };

static const uint32_t polynomial = 0x82f63b78;

#define ENTRY(i, a, b, c, d, e, f, g, h)                                                           \
    (((i)&1 ? a : 0) ^ ((i)&2 ? b : 0) ^ ((i)&4 ? c : 0) ^ ((i)&8 ? d : 0) ^ ((i)&16 ? e : 0) ^    \
     ((i)&32 ? f : 0) ^ ((i)&64 ? g : 0) ^ ((i)&128 ? h : 0))
#define FOUR(i, ...)                                                                               \
    ENTRY(i, __VA_ARGS__), ENTRY(i + 1, __VA_ARGS__), ENTRY(i + 2, __VA_ARGS__),                   \
        ENTRY(i + 3, __VA_ARGS__)
#define SIXTEEN(i, ...)                                                                            \
    FOUR(i, __VA_ARGS__), FOUR(i + 4, __VA_ARGS__), FOUR(i + 8, __VA_ARGS__),                      \
        FOUR(i + 12, __VA_ARGS__)
#define SIXTY_FOUR(i, ...)                                                                         \
    SIXTEEN(i, __VA_ARGS__), SIXTEEN(i + 16, __VA_ARGS__), SIXTEEN(i + 32, __VA_ARGS__),           \
        SIXTEEN(i + 48, __VA_ARGS__)
#define TABLE(...)                                                                                 \
    {                                                                                              \
        SIXTY_FOUR(0, __VA_ARGS__), SIXTY_FOUR(64, __VA_ARGS__), SIXTY_FOUR(128, __VA_ARGS__),     \
            SIXTY_FOUR(192, __VA_ARGS__)                                                           \
    }

static const uint32_t tables[CRC32C_SLICES][256] = {
    TABLE(0xf26b8303, 0xe13b70f7, 0xc79a971f, 0x8ad958cf, 0x105ec76f, 0x20bd8ede, 0x417b1dbc,
          0x82f63b78),
    TABLE(0x13a29877, 0x274530ee, 0x4e8a61dc, 0x9d14c3b8, 0x3fc5f181, 0x7f8be302, 0xff17c604,
          0xfbc3faf9),
    TABLE(0xa541927e, 0x4f6f520d, 0x9edea41a, 0x38513ec5, 0x70a27d8a, 0xe144fb14, 0xc76580d9,
          0x8b277743),
    TABLE(0xdd45aab8, 0xbf672381, 0x7b2231f3, 0xf64463e6, 0xe964b13d, 0xd725148b, 0xaba65fe7,
          0x52a0c93f),
    TABLE(0x38116fac, 0x7022df58, 0xe045beb0, 0xc5670b91, 0x8f2261d3, 0x1ba8b557, 0x37516aae,
          0x6ea2d55c),
    TABLE(0xef306b19, 0xdb8ca0c3, 0xb2f53777, 0x6006181f, 0xc00c303e, 0x85f4168d, 0x0e045beb,
          0x1c08b7d6),
    TABLE(0x68032cc8, 0xd0065990, 0xa5e0c5d1, 0x4e2dfd53, 0x9c5bfaa6, 0x3d5b83bd, 0x7ab7077a,
          0xf56e0ef4),
    TABLE(0x493c7d27, 0x9278fa4e, 0x211d826d, 0x423b04da, 0x847609b4, 0x0d006599, 0x1a00cb32,
          0x34019664)};

static uint32_t get_le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t crc32c_portable(uint32_t state, const uint8_t *data, size_t size)
{
    for (; size >= CRC32C_SLICES; data += CRC32C_SLICES, size -= CRC32C_SLICES) {
        uint32_t low = state ^ get_le32(data);
        uint32_t high = get_le32(data + 4);
        state = tables[7][low & 255] ^ tables[6][low >> 8 & 255] ^ tables[5][low >> 16 & 255] ^
                tables[4][low >> 24] ^ tables[3][high & 255] ^ tables[2][high >> 8 & 255] ^
                tables[1][high >> 16 & 255] ^ tables[0][high >> 24];
    }
    for (; size > 0; data++, size--) {
        state = state >> 8 ^ tables[0][(state ^ *data) & 255];
    }
    return state;
}

/* Pieces small enough that the copy finds in the first cache what the sum has just read. */
static uint32_t crc32c_copy_portable(uint32_t state, uint8_t *to, const uint8_t *from, size_t size)
{
    enum { PIECE = 4096 };
    while (size > 0) {
        size_t piece = size < PIECE ? size : PIECE;
        state = crc32c_portable(state, from, piece);
        memcpy(to, from, piece);
        to += piece;
        from += piece;
        size -= piece;
    }
    return state;
}

enum crc32c_path crc32c_path_best(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("vpclmulqdq") && __builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) {
        return CRC32C_AVX512;
    }
    if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul")) {
        return CRC32C_SSE42;
    }
#endif
    return CRC32C_PORTABLE;
}

uint32_t crc32c_by(enum crc32c_path path, uint32_t crc, const void *data, size_t size)
{
    assert(data || size == 0);
    assert(path <= crc32c_path_best());
    switch (path) {
#if defined(__x86_64__)
    case CRC32C_AVX512:
        return ~crc32c_avx512(~crc, data, size);
    case CRC32C_SSE42:
        return ~crc32c_sse42(~crc, data, size);
#endif
    default:
        return ~crc32c_portable(~crc, data, size);
    }
}

uint32_t crc32c_copy_by(enum crc32c_path path, uint32_t crc, void *to, const void *from,
                        size_t size)
{
    assert((to && from) || size == 0);
    assert((uintptr_t)to + size <= (uintptr_t)from || (uintptr_t)from + size <= (uintptr_t)to);
    assert(path <= crc32c_path_best());
    switch (path) {
#if defined(__x86_64__)
    case CRC32C_AVX512:
        return ~crc32c_copy_avx512(~crc, to, from, size);
    case CRC32C_SSE42:
        return ~crc32c_copy_sse42(~crc, to, from, size);
#endif
    default:
        return ~crc32c_copy_portable(~crc, to, from, size);
    }
}

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
    return crc32c_by(crc32c_path_best(), crc, data, size);
}

uint32_t crc32c_copy(uint32_t crc, void *to, const void *from, size_t size)
{
    return crc32c_copy_by(crc32c_path_best(), crc, to, from, size);
}

/* The product of two polynomials modulo the Castagnoli polynomial. */
static uint32_t multiply(uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (int i = 0; i < 32; i++) {
        product ^= (b >> 31) ? a : 0;
        b <<= 1;
        a = a >> 1 ^ ((a & 1) ? polynomial : 0);
    }
    return product;
}

/* x^(8 * 2^k), each the square of the one in front of it, the first that of the last. */
static const uint32_t powers[CRC32C_POWERS] = {
    0x00800000, 0x00008000, 0x82f63b78, 0x6ea2d55c, 0x18b8ea18, 0x510ac59a, 0xb82be955, 0xb8fdb1e7,
    0x88e56f72, 0x74c360a4, 0xe4172b16, 0x0d65762a, 0x35d73a62, 0x28461564, 0xbf455269, 0xe2ea32dc,
    0xfe7740e6, 0xf946610b, 0x3c204f8f, 0x538586e3, 0x59726915, 0x734d5309, 0xbc1ac763, 0x7d0722cc,
    0xd289cabe, 0xe94ca9bc, 0x05b74f3f, 0xa51e1f42, 0x40000000, 0x20000000, 0x08000000,
};

/* Appending size_b bytes multiplies the first sum by x^(8 size_b). The inversions of the two sums
 * cancel each other. */
uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t size_b)
{
    for (unsigned k = 0; size_b > 0; k++, size_b >>= 1) {
        if (size_b & 1) {
            crc_a = multiply(crc_a, powers[k % CRC32C_POWERS]);
        }
    }
    return crc_a ^ crc_b;
}
