/* SPDX-License-Identifier: Apache-2.0 */

#include "net/connection.h"

#include <criterion/criterion.h>

Test(bodies, keep_within_their_limit_and_use_memory_again)
{
    struct memory m;
    struct bodies b;
    memory_init(&m, SIZE_MAX);
    bodies_init(&b, &m, 1 << 20);
    uint8_t *body[64];
    uint32_t reserved[64];
    unsigned count = 0;
    while ((body[count] = bodies_take(&b, 20000, false, &reserved[count]))) {
        cr_assert_geq(reserved[count], 20000);
        cr_assert_leq(reserved[count], 25000, "a quarter at most is lost to rounding");
        memset(body[count], 1, 20000);
        count++;
    }
    cr_assert_eq(count, (1 << 20) / 8 * 7 / reserved[0], "an eighth is for small ones");
    cr_assert_leq(b.reserved, b.limit);
    for (unsigned i = 0; i < count; i++) {
        bodies_give(&b, body[i], reserved[i]);
    }
    cr_assert_eq(b.reserved, 0);
    cr_assert_gt(b.cached, 0);
    uint32_t again;
    uint8_t *first = bodies_take(&b, 20001, false, &again);
    cr_assert_eq(first, body[count - 1], "the last one given back is the next one taken");
    bodies_give(&b, first, again);
    bodies_deinit(&b);
    cr_assert_eq(m.used_bytes, 0);
}

Test(bodies, give_unused_memory_back_after_a_quiet_second)
{
    struct memory m;
    struct bodies b;
    memory_init(&m, SIZE_MAX);
    bodies_init(&b, &m, 64 << 20);
    for (uint32_t size = 1; size < 16 << 20; size = size * 3 + 1) {
        uint32_t reserved;
        uint8_t *body = bodies_take(&b, size, false, &reserved);
        cr_assert_not_null(body);
        bodies_give(&b, body, reserved);
    }
    cr_assert_gt(b.cached, 0);
    bodies_trim(&b);
    bodies_trim(&b);
    cr_assert_eq(b.cached, 0);
    cr_assert_eq(m.used_bytes, 0);
    bodies_deinit(&b);
}

Test(bodies, classes_grow_in_quarters)
{
    struct memory m;
    struct bodies b;
    memory_init(&m, SIZE_MAX);
    bodies_init(&b, &m, 1 << 30);
    uint32_t last = 0;
    for (uint32_t size = 1; size < 20 << 20; size += 1 + size / 37) {
        uint32_t reserved;
        uint8_t *body = bodies_take(&b, size, false, &reserved);
        cr_assert_not_null(body);
        cr_assert_geq(reserved, size);
        cr_assert_geq(reserved, last);
        cr_assert(size <= 512 || reserved - size <= size / 4 + 1, "%u for %u", reserved, size);
        last = reserved;
        bodies_give(&b, body, reserved);
    }
    bodies_deinit(&b);
}

/* N6: what is promised to each kind is there, whatever the other has. */
Test(bodies, small_and_large_frames_leave_each_other_a_part)
{
    enum { LIMIT = 8 << 20, SMALL = 64 << 10, LARGE = 1 << 20, MOST = LIMIT / SMALL };
    struct memory m;
    struct bodies b;
    uint8_t *small[MOST], *large[8];
    unsigned smalls = 0, larges = 0;
    uint32_t reserved;
    memory_init(&m, SIZE_MAX);
    bodies_init(&b, &m, LIMIT);
    cr_assert(bodies_small(&b, SMALL) && !bodies_small(&b, SMALL + 1));
    while ((large[larges] = bodies_take(&b, LARGE, false, &reserved))) {
        larges++;
    }
    cr_assert_eq(larges, 7);
    while ((small[smalls] = bodies_take(&b, SMALL, true, &reserved))) {
        smalls++;
    }
    cr_assert_eq(smalls, MOST / 8, "large ones that wait do not take it");
    while (larges > 0) {
        bodies_give(&b, large[--larges], LARGE);
    }
    while ((small[smalls] = bodies_take(&b, SMALL, true, &reserved))) {
        smalls++;
    }
    cr_assert_eq(smalls, MOST / 2, "what a large one that waits is promised");
    while (smalls < MOST) {
        small[smalls] = bodies_take(&b, SMALL, false, &reserved);
        cr_assert_not_null(small[smalls++], "all of it when none waits");
    }
    cr_assert_null(bodies_take(&b, 1, false, &reserved));
    while (smalls > 0) {
        bodies_give(&b, small[--smalls], SMALL);
    }
    cr_assert_eq(b.large, 0);
    bodies_deinit(&b);
    cr_assert_eq(m.used_bytes, 0);
}

/* In a small pool a small frame is smaller, and a class, so that size and reserve agree on what it is. */
Test(bodies, what_is_small_follows_the_pool)
{
    static const struct {
        uint64_t limit;
        uint32_t small_max;
    } cases[] = {{1, 512},
                 {64 << 10, 1024},
                 {100 << 10, 1024},
                 {4 << 20, 64 << 10},
                 {UINT64_C(1) << 40, 64 << 10}};
    for (unsigned i = 0; i < array_size(cases); i++) {
        struct memory m;
        struct bodies b;
        memory_init(&m, SIZE_MAX);
        bodies_init(&b, &m, cases[i].limit);
        cr_assert_eq(b.small_max, cases[i].small_max, "a pool of %llu",
                     (unsigned long long)cases[i].limit);
        bodies_deinit(&b);
    }
}
