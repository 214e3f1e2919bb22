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
    while ((body[count] = bodies_take(&b, 20000, &reserved[count]))) {
        cr_assert_geq(reserved[count], 20000);
        cr_assert_leq(reserved[count], 25000, "a quarter at most is lost to rounding");
        memset(body[count], 1, 20000);
        count++;
    }
    cr_assert_eq(count, (1 << 20) / reserved[0]);
    cr_assert_leq(b.reserved, b.limit);
    for (unsigned i = 0; i < count; i++) {
        bodies_give(&b, body[i], reserved[i]);
    }
    cr_assert_eq(b.reserved, 0);
    cr_assert_gt(b.cached, 0);
    uint32_t again;
    uint8_t *first = bodies_take(&b, 20001, &again);
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
        uint8_t *body = bodies_take(&b, size, &reserved);
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
        uint8_t *body = bodies_take(&b, size, &reserved);
        cr_assert_not_null(body);
        cr_assert_geq(reserved, size);
        cr_assert_geq(reserved, last);
        cr_assert(size <= 512 || reserved - size <= size / 4 + 1, "%u for %u", reserved, size);
        last = reserved;
        bodies_give(&b, body, reserved);
    }
    bodies_deinit(&b);
}
