/* SPDX-License-Identifier: Apache-2.0 */

/* Every path against a bit-by-bit computation, over sizes and alignments that cross every loop's
 * edge. */
#include "base/crc32c.h"
#include "base/prng.h"

#include <criterion/criterion.h>

static uint32_t bit_by_bit(uint32_t crc, const uint8_t *data, size_t size)
{
    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
        }
    }
    return ~crc;
}

Test(crc32c, published_vectors)
{
    uint8_t block[32];
    cr_assert_eq(crc32c(0, "123456789", 9), 0xe3069283);
    cr_assert_eq(crc32c(0, NULL, 0), 0);
    /* RFC 3720, B.4 */
    memset(block, 0, sizeof block);
    cr_assert_eq(crc32c(0, block, 32), 0x8a9136aa);
    memset(block, 0xff, sizeof block);
    cr_assert_eq(crc32c(0, block, 32), 0x62a8ab43);
    for (int i = 0; i < 32; i++) {
        block[i] = (uint8_t)i;
    }
    cr_assert_eq(crc32c(0, block, 32), 0x46dd794e);
}

enum { SIZE_MAX_TESTED = 20000, GUARD = 64 };

struct fixture {
    uint8_t from[SIZE_MAX_TESTED + 2 * GUARD];
    uint8_t to[SIZE_MAX_TESTED + 2 * GUARD];
};

static size_t next_size(size_t size)
{
    return size < 1100 ? size + 1 : size + 61 + size / 16;
}

Test(crc32c, every_path_agrees_with_bits)
{
    static struct fixture f;
    struct prng random = prng_of(1);
    prng_fill(&random, f.from, sizeof f.from);
    for (int path = 0; path <= (int)crc32c_path_best(); path++) {
        for (size_t size = 0; size <= SIZE_MAX_TESTED; size = next_size(size)) {
            size_t shift = prng_below(&random, GUARD);
            uint32_t start = (uint32_t)prng_next(&random);
            cr_assert_eq(crc32c_by(path, start, f.from + shift, size),
                         bit_by_bit(start, f.from + shift, size), "path %d, %zu bytes at %zu", path,
                         size, shift);
        }
    }
}

Test(crc32c, copy_is_memcpy_and_sum)
{
    static struct fixture f;
    struct prng random = prng_of(2);
    prng_fill(&random, f.from, sizeof f.from);
    for (int path = 0; path <= (int)crc32c_path_best(); path++) {
        for (size_t size = 0; size <= SIZE_MAX_TESTED; size = next_size(size)) {
            size_t from = prng_below(&random, GUARD), to = prng_below(&random, GUARD);
            memset(f.to, 0xa5, sizeof f.to);
            uint32_t sum = crc32c_copy_by(path, 5, f.to + to, f.from + from, size);
            cr_assert_eq(sum, crc32c_by(CRC32C_PORTABLE, 5, f.from + from, size),
                         "path %d, sum of %zu bytes", path, size);
            cr_assert(memcmp(f.to + to, f.from + from, size) == 0, "path %d, %zu bytes copied",
                      path, size);
            for (size_t i = 0; i < sizeof f.to; i++) {
                cr_assert(f.to[i] == 0xa5 || (i >= to && i < to + size),
                          "path %d wrote outside its %zu bytes", path, size);
            }
        }
    }
}

Test(crc32c, values_chain_at_any_cut)
{
    uint8_t data[3000];
    struct prng random = prng_of(3);
    prng_fill(&random, data, sizeof data);
    uint32_t whole = crc32c(0, data, sizeof data);
    for (size_t cut = 0; cut <= sizeof data; cut += 7) {
        uint32_t first = crc32c(0, data, cut);
        cr_assert_eq(crc32c(first, data + cut, sizeof data - cut), whole, "cut at %zu", cut);
    }
}

Test(crc32c, combine_joins_two_sums)
{
    uint8_t data[3000];
    struct prng random = prng_of(4);
    prng_fill(&random, data, sizeof data);
    uint32_t whole = crc32c(0, data, sizeof data);
    for (size_t cut = 0; cut <= sizeof data; cut += 13) {
        uint32_t joined = crc32c_combine(
            crc32c(0, data, cut), crc32c(0, data + cut, sizeof data - cut), sizeof data - cut);
        cr_assert_eq(joined, whole, "cut at %zu", cut);
    }
    cr_assert_eq(crc32c_combine(0x12345678, 0, 0), 0x12345678);
}
