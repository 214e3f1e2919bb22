/* SPDX-License-Identifier: Apache-2.0 */

#include "base/memory.h"
#include "base/prng.h"

#include <criterion/criterion.h>

Test(memory, the_budget_is_kept_and_comes_back)
{
    struct memory m;
    memory_init(&m, 10000);
    void *blocks[100];
    int count = 0;
    while (count < 100 && (blocks[count] = memory_alloc(&m, 500))) {
        count++;
    }
    cr_assert(count >= 15 && count <= 20, "%d blocks of 500 in 10000 bytes", count);
    cr_assert_leq(m.used_bytes, m.budget_bytes);
    memory_free(&m, blocks[3]);
    blocks[3] = memory_alloc(&m, 500);
    cr_assert_not_null(blocks[3]);
    memory_drop(&m);
    cr_assert_eq(m.used_bytes, 0u);
    cr_assert_null(m.blocks);
}

Test(memory, absurd_sizes_are_refused)
{
    struct memory m;
    memory_init(&m, SIZE_MAX);
    cr_assert_null(memory_alloc(&m, SIZE_MAX));
    cr_assert_null(memory_alloc(&m, SIZE_MAX - 8));
    cr_assert_null(memory_alloc_aligned(&m, SIZE_MAX - 4096, 4096));
    cr_assert_null(memory_string(&m, "x", SIZE_MAX));
    cr_assert_eq(m.used_bytes, 0u);
    memory_init(&m, 0);
    cr_assert_null(memory_alloc(&m, 0));
}

Test(memory, blocks_are_zeroed_and_aligned)
{
    struct memory m;
    memory_init(&m, 1 << 24);
    for (size_t size = 0; size < 300; size++) {
        unsigned char *p = memory_alloc(&m, size);
        cr_assert_eq((uintptr_t)p % MEMORY_ALIGN, 0u);
        for (size_t i = 0; i < size; i++) {
            cr_assert_eq(p[i], 0);
        }
        memset(p, 0xff, size);
        if (size % 2) {
            memory_free(&m, p);
        }
    }
    for (size_t align = 1; align <= 65536; align *= 2) {
        void *p = memory_alloc_aligned(&m, 100, align);
        cr_assert_eq((uintptr_t)p % align, 0u, "aligned to %zu", align);
        memset(p, 1, 100);
        memory_free(&m, p);
    }
    memory_free(&m, NULL);
    memory_drop(&m);
}

Test(memory, resize_keeps_contents_and_clears_growth)
{
    struct memory m;
    memory_init(&m, 4096);
    unsigned char *p = memory_resize(&m, NULL, 10);
    memset(p, 7, 10);
    p = memory_resize(&m, p, 100);
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(p[i], i < 10 ? 7 : 0);
    }
    cr_assert_null(memory_resize(&m, p, 5000), "above the budget");
    cr_assert_eq(p[9], 7, "a refused resize leaves the old block");
    p = memory_resize(&m, p, 4);
    cr_assert_eq(p[3], 7);
    memory_drop(&m);
}

Test(memory, strings_are_ended)
{
    struct memory m;
    memory_init(&m, 4096);
    cr_assert_str_eq(memory_string(&m, "abcdef", 3), "abc");
    cr_assert_str_eq(memory_string(&m, NULL, 0), "");
    memory_drop(&m);
}

Test(memory, random_history_keeps_count)
{
    struct memory m;
    void *blocks[64] = {0};
    struct prng random = prng_of(1);
    memory_init(&m, 1 << 20);
    for (int step = 0; step < 5000; step++) {
        size_t i = prng_below(&random, 64);
        if (blocks[i]) {
            memory_free(&m, blocks[i]);
            blocks[i] = NULL;
        } else {
            blocks[i] = memory_alloc(&m, prng_below(&random, 4000));
        }
    }
    for (int i = 0; i < 64; i++) {
        memory_free(&m, blocks[i]);
    }
    cr_assert_eq(m.used_bytes, 0u);
}

Test(arena, many_pieces_one_end)
{
    struct memory m;
    struct arena a;
    memory_init(&m, 1 << 20);
    arena_init(&a, &m, 100000);
    cr_assert_eq(m.used_bytes, 0u, "nothing is allocated before it is needed");
    unsigned char *last = NULL;
    for (size_t size = 1; size < 300; size++) {
        unsigned char *p = arena_alloc(&a, size);
        cr_assert_not_null(p);
        cr_assert_eq((uintptr_t)p % MEMORY_ALIGN, 0u);
        for (size_t i = 0; i < size; i++) {
            cr_assert_eq(p[i], 0);
        }
        memset(p, 0xee, size);
        cr_assert(!last || last[0] == 0xee);
        last = p;
    }
    arena_deinit(&a);
    cr_assert_eq(m.used_bytes, 0u);
    cr_assert_not_null(arena_alloc(&a, 10), "an emptied arena can be used again");
    arena_deinit(&a);
}

Test(arena, limit_overflow_and_budget)
{
    struct memory m;
    struct arena a;
    memory_init(&m, 20000);
    arena_init(&a, &m, 8000);
    cr_assert_null(arena_alloc(&a, 8001));
    cr_assert_null(arena_array(&a, SIZE_MAX / 2, 3), "the product overflows");
    cr_assert_not_null(arena_array(&a, 10, 100));
    size_t taken = 0;
    while (arena_alloc(&a, 100)) {
        taken++;
        cr_assert_lt(taken, 100u);
    }
    cr_assert_leq(a.used_bytes, 8000u + MEMORY_ALIGN);
    arena_deinit(&a);
    arena_init(&a, &m, SIZE_MAX);
    cr_assert_null(arena_alloc(&a, 30000), "above the memory's budget");
    cr_assert_null(arena_alloc(&a, SIZE_MAX - 4), "rounding up must not wrap");
    arena_deinit(&a);
    cr_assert_eq(m.used_bytes, 0u);
}

Test(memory, a_share_keeps_its_own_budget_and_counts_in_its_parent)
{
    struct memory parent, share;
    memory_init(&parent, 10000);
    memory_init_share(&share, &parent, 3000);
    void *first = memory_alloc(&share, 2000);
    cr_assert_not_null(first);
    cr_assert_eq(parent.used_bytes, share.used_bytes);
    cr_assert_null(memory_alloc(&share, 2000), "above its own budget");
    void *rest = memory_alloc(&parent, 7000);
    cr_assert_not_null(rest, "what is left is the others'");
    cr_assert_null(memory_alloc(&share, 900), "above the parent's");
    memory_free(&share, first);
    cr_assert_eq(share.used_bytes, 0u);
    first = memory_resize(&share, NULL, 900);
    first = memory_resize(&share, first, 1000);
    cr_assert_not_null(first);
    memory_free(&parent, rest);
    cr_assert_eq(parent.used_bytes, share.used_bytes);
    memory_drop(&parent);
    cr_assert_eq(parent.used_bytes, 0u);
}
