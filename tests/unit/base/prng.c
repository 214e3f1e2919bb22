/* SPDX-License-Identifier: Apache-2.0 */

#include "base/prng.h"

#include <criterion/criterion.h>

Test(prng, reference_sequence)
{
    /* State 1, 2, 3, 4, worked out by hand from the definition: rotl(2 * 5, 7) * 9 = 11520, then 0.
     */
    struct prng p = {{1, 2, 3, 4}};
    cr_assert_eq(prng_next(&p), 11520u);
    cr_assert_eq(prng_next(&p), 0u);
    cr_assert_eq(prng_next(&p), 1509978240u);
}

Test(prng, one_seed_one_sequence)
{
    struct prng a = prng_of(5), b = prng_of(5), c = prng_of(6);
    int same = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t x = prng_next(&a);
        cr_assert_eq(x, prng_next(&b));
        same += x == prng_next(&c);
    }
    cr_assert_eq(same, 0);
}

Test(prng, split_streams_stand_alone)
{
    struct prng parent = prng_of(5);
    struct prng before = parent;
    struct prng disk = prng_split(&parent, 1), net = prng_split(&parent, 2);
    cr_assert(memcmp(&parent, &before, sizeof parent) == 0, "splitting does not move the parent");
    struct prng again = prng_split(&parent, 1);
    int same = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t x = prng_next(&disk);
        cr_assert_eq(x, prng_next(&again));
        same += x == prng_next(&net);
    }
    cr_assert_eq(same, 0);
}

Test(prng, below_is_even_and_in_range)
{
    struct prng p = prng_of(9);
    int counts[6] = {0};
    for (int i = 0; i < 60000; i++) {
        uint64_t x = prng_below(&p, 6);
        cr_assert_lt(x, 6u);
        counts[x]++;
    }
    for (int i = 0; i < 6; i++) {
        cr_assert(counts[i] > 9500 && counts[i] < 10500, "%d came %d times of 60000", i, counts[i]);
    }
    cr_assert_eq(prng_below(&p, 1), 0u);
    uint64_t x = prng_between(&p, 10, 12);
    cr_assert(x >= 10 && x <= 12);
    cr_assert_not(prng_chance(&p, 0, 5));
    cr_assert(prng_chance(&p, 5, 5));
    double unit = prng_unit(&p);
    cr_assert(unit >= 0 && unit < 1);
}

Test(prng, fill_writes_what_it_is_asked_for)
{
    for (size_t size = 0; size < 40; size++) {
        uint8_t out[48];
        memset(out, 0, sizeof out);
        struct prng p = prng_of(size);
        prng_fill(&p, out, size);
        for (size_t i = size; i < sizeof out; i++) {
            cr_assert_eq(out[i], 0, "byte %zu of %zu", i, size);
        }
        if (size > 8) {
            cr_assert(out[size - 1] | out[size - 2] | out[size - 3]);
        }
    }
}
