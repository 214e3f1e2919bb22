/* SPDX-License-Identifier: Apache-2.0 */

#include "base/pool.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

Test(pool, objects_are_zeroed_aligned_and_reused)
{
    struct memory memory;
    struct pool pool;
    memory_init(&memory, 1 << 20);
    pool_init(&pool, &memory, 40, 4, 10);
    cr_assert_eq(memory.used_bytes, 0u);
    char *objects[10];
    for (int i = 0; i < 10; i++) {
        objects[i] = pool_take(&pool);
        cr_assert_not_null(objects[i]);
        cr_assert_eq((uintptr_t)objects[i] % MEMORY_ALIGN, 0u);
        for (int b = 0; b < 40; b++) {
            cr_assert_eq(objects[i][b], 0);
        }
        memset(objects[i], i + 1, 40);
    }
    cr_assert_null(pool_take(&pool), "the limit is 10");
    for (int i = 0; i < 10; i++) {
        for (int b = 0; b < 40; b++) {
            cr_assert_eq(objects[i][b], i + 1, "object %d overlaps another", i);
        }
    }
    size_t used = memory.used_bytes;
    for (int round = 0; round < 100; round++) {
        pool_give(&pool, objects[round % 10]);
        objects[round % 10] = pool_take(&pool);
        cr_assert_not_null(objects[round % 10]);
        cr_assert_eq(objects[round % 10][39], 0, "an object is cleared when it is taken");
    }
    cr_assert_eq(memory.used_bytes, used, "reuse allocates nothing");
    for (int i = 0; i < 10; i++) {
        pool_give(&pool, objects[i]);
    }
    pool_give(&pool, NULL);
    pool_deinit(&pool);
    cr_assert_eq(memory.used_bytes, 0u);
}

Test(pool, reserved_objects_do_not_fail)
{
    struct memory memory;
    struct pool pool;
    memory_init(&memory, 4096);
    pool_init(&pool, &memory, 64, 8, 32);
    cr_assert_eq(pool_reserve(&pool, 20), 0);
    memory.budget_bytes = memory.used_bytes;
    void *taken[24];
    for (int i = 0; i < 24; i++) {
        taken[i] = pool_take(&pool);
        cr_assert_not_null(taken[i], "object %d of three slabs of eight", i);
    }
    cr_assert_null(pool_take(&pool), "above the budget");
    cr_assert_eq(pool_reserve(&pool, 32), ERR_NO_MEMORY);
    for (int i = 0; i < 24; i++) {
        pool_give(&pool, taken[i]);
    }
    pool_deinit(&pool);
}
