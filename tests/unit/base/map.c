/* SPDX-License-Identifier: Apache-2.0 */

/* The map against plain arrays: random histories of adding, finding and removing. */
#include "base/map.h"
#include "base/prng.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { KEYS = 2000, BUDGET = 1 << 20 };

Test(map, holds_what_was_added)
{
    struct memory memory;
    struct map map;
    memory_init(&memory, BUDGET);
    map_init(&map, &memory, 42, 10);
    int a, b;
    cr_assert_eq(map_add(&map, bytes_of_string("alpha"), &a), 0);
    cr_assert_eq(map_add(&map, bytes_of_string("beta"), &b), 0);
    cr_assert_eq(map_add(&map, bytes_of_string("alpha"), &b), ERR_EXISTS);
    cr_assert_eq(map_get(&map, bytes_of_string("alpha")), &a);
    cr_assert_eq(map_get(&map, bytes_of_string("beta")), &b);
    cr_assert_null(map_get(&map, bytes_of_string("alph")));
    cr_assert_null(map_get(&map, bytes_of_string("")));
    cr_assert_eq(map_remove(&map, bytes_of_string("alpha")), &a);
    cr_assert_null(map_remove(&map, bytes_of_string("alpha")));
    cr_assert_eq(map_count(&map), 1u);
    map_deinit(&map);
    cr_assert_eq(memory.used_bytes, 0u);
}

Test(map, an_empty_key_is_a_key)
{
    struct memory memory;
    struct map map;
    memory_init(&memory, BUDGET);
    map_init(&map, &memory, 42, 10);
    int a;
    cr_assert_eq(map_add(&map, (struct bytes){0}, &a), 0);
    cr_assert_eq(map_get(&map, bytes_of("", 0)), &a);
    cr_assert_eq(map_remove(&map, (struct bytes){0}), &a);
    map_deinit(&map);
}

Test(map, limit_and_budget_are_ordinary_errors)
{
    struct memory memory;
    struct map map;
    memory_init(&memory, 4096);
    map_init(&map, &memory, 1, 3);
    for (uint64_t i = 0; i < 3; i++) {
        cr_assert_eq(map_add_number(&map, i, &map), 0);
    }
    cr_assert_eq(map_add_number(&map, 3, &map), ERR_TOO_LARGE);
    map.limit = 1000;
    uint64_t i = 3;
    int error = 0;
    for (; !error && i < 1000; i++) {
        error = map_add_number(&map, i, &map);
    }
    cr_assert_eq(error, ERR_NO_MEMORY);
    for (uint64_t k = 0; k < i - 1; k++) {
        cr_assert_not_null(map_get_number(&map, k), "lost %d when memory ran out", (int)k);
    }
    map_deinit(&map);
    cr_assert_eq(memory.used_bytes, 0u);
}

/* Numbers that differ in few bits collide often in a weak mix. */
static uint64_t key_of(size_t i)
{
    return (uint64_t)i << (i % 3 * 20);
}

Test(map, random_history_of_numbers)
{
    struct memory memory;
    struct map map;
    bool present[KEYS] = {false};
    uint64_t keys[KEYS];
    size_t count = 0;
    struct prng random = prng_of(7);
    memory_init(&memory, BUDGET);
    map_init(&map, &memory, 7, KEYS);
    for (size_t i = 0; i < KEYS; i++) {
        keys[i] = i < KEYS / 2 ? prng_next(&random) : key_of(i) * 3 + 1;
    }
    for (int step = 0; step < 50000; step++) {
        size_t i = prng_below(&random, KEYS);
        if (prng_chance(&random, 1, 2)) {
            int expected = present[i] ? ERR_EXISTS : 0;
            cr_assert_eq(map_add_number(&map, keys[i], &present[i]), expected, "step %d", step);
            count += !present[i];
            present[i] = true;
        } else {
            void *expected = present[i] ? &present[i] : NULL;
            cr_assert_eq(map_remove_number(&map, keys[i]), expected, "step %d", step);
            count -= present[i];
            present[i] = false;
        }
        cr_assert_eq(map_count(&map), count);
    }
    for (size_t i = 0; i < KEYS; i++) {
        cr_assert_eq(map_get_number(&map, keys[i]), present[i] ? &present[i] : NULL);
    }
    map_deinit(&map);
}

Test(map, random_history_of_names)
{
    static char names[KEYS][24];
    bool present[KEYS] = {false};
    struct memory memory;
    struct map map;
    struct prng random = prng_of(8);
    memory_init(&memory, BUDGET);
    map_init(&map, &memory, 8, KEYS);
    for (size_t i = 0; i < KEYS; i++) {
        snprintf(names[i], sizeof names[i], "%.*stopic-%zu", (int)(i % 9), "aaaaaaaa", i);
    }
    for (int step = 0; step < 20000; step++) {
        size_t i = prng_below(&random, KEYS);
        struct bytes key = bytes_of_string(names[i]);
        cr_assert_eq(map_get(&map, key), present[i] ? names[i] : NULL, "step %d", step);
        if (present[i]) {
            cr_assert_eq(map_remove(&map, key), names[i]);
        } else {
            cr_assert_eq(map_add(&map, key, names[i]), 0);
        }
        present[i] = !present[i];
    }
    map_deinit(&map);
}

/* Removing what the walk has just returned neither hides another entry nor shows one twice,
 * wherever the runs of the table wrap around. */
Test(map, walk_with_removal_meets_each_once)
{
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct memory memory;
        struct map map;
        unsigned char met[40] = {0};
        struct prng random = prng_of(seed);
        memory_init(&memory, BUDGET);
        map_init(&map, &memory, seed, array_size(met));
        size_t count = 1 + seed % (array_size(met) - 1);
        for (size_t i = 0; i < count; i++) {
            cr_assert_eq(map_add_number(&map, i, &met[i]), 0);
        }
        struct map_walk walk = map_walk_start(&map);
        unsigned char *value;
        while ((value = map_walk_next(&map, &walk))) {
            ++*value;
            if (prng_chance(&random, 1, 2)) {
                cr_assert_eq(map_remove_number(&map, (uint64_t)(value - met)), value);
            }
        }
        for (size_t i = 0; i < count; i++) {
            cr_assert_eq(met[i], 1, "seed %d: entry %zu was met %d times", (int)seed, i, met[i]);
        }
        map_deinit(&map);
    }
}

Test(map, walk_order_depends_on_the_seed_alone)
{
    struct memory memory;
    struct map maps[2];
    memory_init(&memory, BUDGET);
    int values[2][100];
    for (int m = 0; m < 2; m++) {
        map_init(&maps[m], &memory, 99, 100);
        for (uint64_t i = 0; i < 100; i++) {
            cr_assert_eq(map_add_number(&maps[m], i * i, &values[m][i]), 0);
        }
    }
    struct map_walk a = map_walk_start(&maps[0]), b = map_walk_start(&maps[1]);
    int *value;
    while ((value = map_walk_next(&maps[0], &a))) {
        int *other = map_walk_next(&maps[1], &b);
        cr_assert_eq(value - values[0], other - values[1]);
    }
    cr_assert_null(map_walk_next(&maps[1], &b));
    map_deinit(&maps[0]);
    map_deinit(&maps[1]);
}
