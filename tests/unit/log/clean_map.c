/* SPDX-License-Identifier: Apache-2.0 */

#include "log/clean_map.h"

#include "base/errors.h"

#include <criterion/criterion.h>
#include <stdio.h>

static const uint8_t SECRET[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

static struct bytes key(char text[static 24], unsigned n)
{
    int size = snprintf(text, 24, "key-%u", n);
    return bytes_of(text, (size_t)size);
}

Test(clean_map, the_last_offset_of_each_key)
{
    struct memory memory;
    struct clean_map m;
    char text[24];
    memory_init(&memory, 1 << 20);
    cr_assert_eq(clean_map_init(&m, &memory, 1 << 20, 1000, SECRET), 0);
    for (int64_t offset = 0; offset < 5000; offset++) {
        cr_assert(clean_map_put(&m, key(text, (unsigned)(offset * 7 % 1000)), offset));
    }
    cr_assert_eq(m.count, 1000);
    for (unsigned n = 0; n < 1000; n++) {
        int64_t last = clean_map_get(&m, key(text, n));
        cr_assert(last >= 4000 && last < 5000 && last * 7 % 1000 == n, "key %u at %lld", n,
                  (long long)last);
    }
    cr_assert_eq(clean_map_get(&m, key(text, 1000)), -1);
    clean_map_deinit(&m, &memory);
    cr_assert_eq(memory.used_bytes, 0);
}

/* At three quarters it takes no new key, but goes on with those it has. */
Test(clean_map, a_full_one_says_so)
{
    struct memory memory;
    struct clean_map m;
    char text[24];
    memory_init(&memory, 1 << 20);
    cr_assert_eq(clean_map_init(&m, &memory, 100 * CLEAN_SLOT_SIZE, 1000000, SECRET), 0);
    unsigned n = 0;
    while (clean_map_put(&m, key(text, n), n)) {
        n++;
    }
    cr_assert_eq(n, 75);
    cr_assert(clean_map_put(&m, key(text, 5), 1000));
    cr_assert_eq(clean_map_get(&m, key(text, 5)), 1000);
    cr_assert_eq(clean_map_get(&m, key(text, 75)), -1);
    clean_map_deinit(&m, &memory);
}

Test(clean_map, keys_of_every_length_and_the_empty_one)
{
    struct memory memory;
    struct clean_map m;
    uint8_t data[64] = {0}; /* all of them are zeros: the length alone tells them apart */
    memory_init(&memory, 1 << 20);
    cr_assert_eq(clean_map_init(&m, &memory, 1 << 20, 100, SECRET), 0);
    for (size_t size = 0; size <= sizeof data; size++) {
        cr_assert(clean_map_put(&m, bytes_of(data, size), (int64_t)size));
    }
    for (size_t size = 0; size <= sizeof data; size++) {
        cr_assert_eq(clean_map_get(&m, bytes_of(data, size)), (int64_t)size);
    }
    clean_map_deinit(&m, &memory);
    memory_init(&memory, 100);
    cr_assert_eq(clean_map_init(&m, &memory, 1 << 20, 100000, SECRET), ERR_NO_MEMORY);
}

/* Where keys stand depends on the secret: nobody outside can choose them to collide. */
Test(clean_map, another_secret_is_another_order)
{
    struct memory memory;
    memory_init(&memory, 1 << 20);
    uint8_t other[16] = {0};
    struct clean_map a, b;
    char text[24];
    cr_assert_eq(clean_map_init(&a, &memory, 1 << 14, 400, SECRET), 0);
    cr_assert_eq(clean_map_init(&b, &memory, 1 << 14, 400, other), 0);
    for (unsigned n = 0; n < 100; n++) {
        cr_assert(clean_map_put(&a, key(text, n), n) && clean_map_put(&b, key(text, n), n));
    }
    cr_assert_eq(a.slot_count, b.slot_count);
    cr_assert_neq(memcmp(a.slots, b.slots, a.slot_count * CLEAN_SLOT_SIZE), 0);
    clean_map_deinit(&a, &memory);
    clean_map_deinit(&b, &memory);
}
