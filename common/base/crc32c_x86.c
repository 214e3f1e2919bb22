/* SPDX-License-Identifier: Apache-2.0 */

/* The processor's own paths on x86-64, compiled for their instruction sets function by function and
 * entered only after crc32c_path_best() has found these.
 *
 * SSE 4.2: the crc32 instruction takes 8 bytes a cycle but answers after three, so three chains run
 * side by side over three neighbouring ranges, and the first two sums are then moved over what
 * follows them: a multiplication by x^(8 size), done by one carry-less multiplication and one crc32
 * step, which itself multiplies by x^33 (32 for the step, one because a product of reflected
 * polynomials is one bit short). So the constants are x^(8 size - 33).
 *
 * AVX-512: 256 bytes stand in four registers as polynomials and are moved over the next 256 by
 * multiplying each 64-bit half ("folding": Gopal et al., Fast CRC Computation for Generic
 * Polynomials Using PCLMULQDQ, Intel 2009). Moving by D bits takes x^(D + 63) for the low half,
 * which holds the earlier bytes, and x^(D - 1) for the high one. What is left at the end is 16
 * bytes, which the crc32 instruction sums.
 *
 * The fused copies stream: a store past the caches costs no read of the target's old lines, and the
 * target is a buffer that a device reads next. */
#include "base/crc32c_paths.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#define TARGET_SSE42 __attribute__((target("sse4.2,pclmul")))
#define TARGET_AVX512 __attribute__((target("sse4.2,pclmul,avx512f,avx512vl,avx512dq,vpclmulqdq")))

enum {
    LONG_CHAIN = 1024,
    SHORT_CHAIN = 128,
    LINE = 64,       /* bytes of a register and of a cache line */
    FOLD = 4 * LINE, /* bytes in flight */
    PIECE = 3 * LONG_CHAIN,
};

static uint64_t load64(const uint8_t *p)
{
    uint64_t value;
    memcpy(&value, p, sizeof value);
    return value;
}

TARGET_SSE42 static uint32_t crc32c_chain(uint32_t state, const uint8_t *data, size_t size)
{
    uint64_t sum = state;
    for (; size >= 8; data += 8, size -= 8) {
        sum = _mm_crc32_u64(sum, load64(data));
    }
    state = (uint32_t)sum;
    for (; size > 0; data++, size--) {
        state = _mm_crc32_u8(state, *data);
    }
    return state;
}

/* Three chains of `size` bytes each; `over_two` and `over_one` move a sum over two and over one of
 * them. */
TARGET_SSE42 static inline uint32_t crc32c_three(uint32_t state, const uint8_t *data, size_t size,
                                                 uint32_t over_two, uint32_t over_one)
{
    uint64_t a = state, b = 0, c = 0;
    for (size_t i = 0; i < size; i += 8) {
        a = _mm_crc32_u64(a, load64(data + i));
        b = _mm_crc32_u64(b, load64(data + size + i));
        c = _mm_crc32_u64(c, load64(data + 2 * size + i));
    }
    __m128i moved_a =
        _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)a), _mm_cvtsi32_si128((int)over_two), 0);
    __m128i moved_b =
        _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)b), _mm_cvtsi32_si128((int)over_one), 0);
    uint64_t moved = (uint64_t)_mm_cvtsi128_si64(_mm_xor_si128(moved_a, moved_b));
    return (uint32_t)(_mm_crc32_u64(0, moved) ^ c);
}

TARGET_SSE42 uint32_t crc32c_sse42(uint32_t state, const uint8_t *data, size_t size)
{
    for (; size >= 3 * LONG_CHAIN; data += 3 * LONG_CHAIN, size -= 3 * LONG_CHAIN) {
        state = crc32c_three(state, data, LONG_CHAIN, 0xa51b6135, 0x170076fa);
    }
    for (; size >= 3 * SHORT_CHAIN; data += 3 * SHORT_CHAIN, size -= 3 * SHORT_CHAIN) {
        state = crc32c_three(state, data, SHORT_CHAIN, 0xb9e02b86, 0x0d3b6092);
    }
    return crc32c_chain(state, data, size);
}

/* `size` is a multiple of 16 and `to` is aligned to 16. */
TARGET_SSE42 static void stream_sse42(uint8_t *to, const uint8_t *from, size_t size)
{
    for (size_t i = 0; i < size; i += 16) {
        _mm_stream_si128((__m128i *)(to + i), _mm_loadu_si128((const __m128i *)(from + i)));
    }
}

TARGET_SSE42 uint32_t crc32c_copy_sse42(uint32_t state, uint8_t *to, const uint8_t *from,
                                        size_t size)
{
    if (size >= CRC32C_STREAM_SIZE) {
        size_t head = -(uintptr_t)to & (LINE - 1);
        state = crc32c_chain(state, from, head);
        memcpy(to, from, head);
        to += head, from += head, size -= head;
        for (; size >= PIECE; to += PIECE, from += PIECE, size -= PIECE) {
            state = crc32c_sse42(state, from, PIECE);
            stream_sse42(to, from, PIECE);
        }
        _mm_sfence();
    }
    state = crc32c_sse42(state, from, size);
    if (size > 0) {
        memcpy(to, from, size);
    }
    return state;
}

/* Moves `x` over the bits that `by` stands for and adds what is there. */
TARGET_AVX512 static inline __m512i fold(__m512i x, __m512i by, __m512i there)
{
    return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(x, by, 0x00),
                                     _mm512_clmulepi64_epi128(x, by, 0x11), there, 0x96);
}

TARGET_AVX512 static inline __m128i fold128(__m128i x, uint64_t low, uint64_t high, __m128i there)
{
    __m128i by = _mm_set_epi64x((long long)high, (long long)low);
    return _mm_xor_si128(
        there, _mm_xor_si128(_mm_clmulepi64_si128(x, by, 0x00), _mm_clmulepi64_si128(x, by, 0x11)));
}

TARGET_AVX512 static inline __m512i constants(uint64_t low, uint64_t high)
{
    return _mm512_broadcast_i32x4(_mm_set_epi64x((long long)high, (long long)low));
}

enum copy_kind { COPY_NONE, COPY_CACHED, COPY_STREAM };

TARGET_AVX512 static inline __m512i take(const uint8_t *from, uint8_t *to, size_t at,
                                         enum copy_kind copy)
{
    __m512i x = _mm512_loadu_si512(from + at);
    if (copy == COPY_STREAM) {
        _mm512_stream_si512((__m512i *)(to + at), x);
    } else if (copy == COPY_CACHED) {
        _mm512_storeu_si512(to + at, x);
    }
    return x;
}

/* The sum of the first `size` / 64 * 64 bytes, at least 256; copies them too if asked to. With
 * COPY_STREAM `to` is aligned to 64. */
TARGET_AVX512 static inline uint32_t fold_lines(uint32_t state, const uint8_t *from, uint8_t *to,
                                                size_t size, enum copy_kind copy)
{
    assert(size >= FOLD);
    __m512i x0 = take(from, to, 0, copy), x1 = take(from, to, LINE, copy);
    __m512i x2 = take(from, to, 2 * LINE, copy), x3 = take(from, to, 3 * LINE, copy);
    x0 = _mm512_xor_si512(x0, _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)state)));
    __m512i by = constants(0xe9a5d8be00000000, 0x1426a81500000000); /* 2048 bits */
    size_t at = FOLD;
    for (; size - at >= FOLD; at += FOLD) {
        x0 = fold(x0, by, take(from, to, at, copy));
        x1 = fold(x1, by, take(from, to, at + LINE, copy));
        x2 = fold(x2, by, take(from, to, at + 2 * LINE, copy));
        x3 = fold(x3, by, take(from, to, at + 3 * LINE, copy));
    }
    by = constants(0x7ccbbbf200000000, 0x31c9460800000000); /* 1536 */
    x3 = fold(x0, by, x3);
    by = constants(0x6577b24500000000, 0x7417153f00000000); /* 1024 */
    x3 = fold(x1, by, x3);
    by = constants(0x1c19243b00000000, 0x75bba45b00000000); /* 512 */
    x3 = fold(x2, by, x3);
    for (; size - at >= LINE; at += LINE) {
        x3 = fold(x3, by, take(from, to, at, copy));
    }
    __m128i x = _mm512_extracti32x4_epi32(x3, 3);
    x = fold128(_mm512_extracti32x4_epi32(x3, 0), 0xa46ef4aa00000000, 0x6051243f00000000, x);
    x = fold128(_mm512_extracti32x4_epi32(x3, 1), 0x33ccbbbc00000000, 0xa2158b3400000000, x);
    x = fold128(_mm512_extracti32x4_epi32(x3, 2), 0x3743f7bd00000000, 0x3171d43000000000, x);
    uint64_t sum = _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(x));
    return (uint32_t)_mm_crc32_u64(sum, (uint64_t)_mm_extract_epi64(x, 1));
}

TARGET_AVX512 uint32_t crc32c_avx512(uint32_t state, const uint8_t *data, size_t size)
{
    if (size >= FOLD) {
        state = fold_lines(state, data, NULL, size, COPY_NONE);
        data += size / LINE * LINE;
        size %= LINE;
    }
    return crc32c_chain(state, data, size);
}

TARGET_AVX512 uint32_t crc32c_copy_avx512(uint32_t state, uint8_t *to, const uint8_t *from,
                                          size_t size)
{
    if (size >= CRC32C_STREAM_SIZE) {
        size_t head = -(uintptr_t)to & (LINE - 1);
        state = crc32c_chain(state, from, head);
        memcpy(to, from, head);
        to += head, from += head, size -= head;
        state = fold_lines(state, from, to, size, COPY_STREAM);
        _mm_sfence();
    } else if (size >= FOLD) {
        state = fold_lines(state, from, to, size, COPY_CACHED);
    }
    size_t done = size >= FOLD ? size / LINE * LINE : 0;
    state = crc32c_chain(state, from + done, size - done);
    if (size > done) {
        memcpy(to + done, from + done, size - done);
    }
    return state;
}

#endif
