/* SPDX-License-Identifier: Apache-2.0 */

#include "base/bytes.h"
#include "base/histogram.h"
#include "base/prng.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static struct histogram *histogram_new(void)
{
    return calloc(1, sizeof(struct histogram));
}

Test(histogram, empty)
{
    struct histogram *h = histogram_new();
    cr_assert_eq(histogram_percentile(h, 50), 0u);
    cr_assert_eq(histogram_percentile(h, 100), 0u);
    cr_assert_eq(histogram_mean(h), 0);
    free(h);
}

/* From 1 us to 1 h, one value's percentile is the value within a thousandth (or 512 ns below 1 ms).
 */
Test(histogram, three_significant_digits_over_the_whole_range)
{
    struct histogram *h = histogram_new();
    for (uint64_t ns = 1000; ns < 3600000000000; ns += ns / 7 + 1) {
        histogram_init(h);
        histogram_record(h, ns);
        histogram_record(h, 3600000000000);
        uint64_t got = histogram_percentile(h, 50);
        uint64_t allowed = ns < 1048576 ? 512 : ns / 1000;
        cr_assert(got >= ns && got - ns <= allowed, "%llu came back as %llu",
                  (unsigned long long)ns, (unsigned long long)got);
    }
    free(h);
}

Test(histogram, percentiles_of_known_values)
{
    struct histogram *h = histogram_new();
    for (uint64_t i = 1; i <= 1000; i++) {
        histogram_record(h, i * 1000000);
    }
    struct {
        double percent;
        uint64_t ms;
    } expected[] = {{50, 500}, {90, 900}, {99, 990}, {99.9, 999}, {0, 1}};
    for (size_t i = 0; i < array_size(expected); i++) {
        uint64_t got = histogram_percentile(h, expected[i].percent);
        uint64_t exact = expected[i].ms * 1000000;
        cr_assert(got >= exact && got <= exact + exact / 1000, "p%g is %llu ns",
                  expected[i].percent, (unsigned long long)got);
    }
    cr_assert_eq(histogram_percentile(h, 100), 1000000000u);
    cr_assert_eq(h->min_ns, 1000000u);
    cr_assert_eq(h->max_ns, 1000000000u);
    cr_assert_eq(histogram_mean(h), 500500000.0);
    cr_assert_eq(histogram_count_below(h, UINT64_MAX), 1000u);
    cr_assert_eq(histogram_count_below(h, 250500000), 250u);
    cr_assert_eq(histogram_count_below(h, 0), 0u);
    free(h);
}

Test(histogram, above_an_hour_counts_as_an_hour_and_max_is_exact)
{
    struct histogram *h = histogram_new();
    histogram_record(h, UINT64_MAX);
    histogram_record(h, 1);
    cr_assert_eq(h->max_ns, UINT64_MAX);
    cr_assert_eq(h->min_ns, 1u);
    cr_assert_eq(histogram_percentile(h, 100), UINT64_MAX);
    cr_assert_eq(h->count, 2u);
    free(h);
}

Test(histogram, merge_is_recording_all_in_one)
{
    struct histogram *all = histogram_new(), *a = histogram_new(), *b = histogram_new();
    struct prng random = prng_of(3);
    for (int i = 0; i < 10000; i++) {
        uint64_t ns = prng_next(&random) >> prng_between(&random, 20, 60);
        uint64_t times = prng_below(&random, 4);
        histogram_record_many(all, ns, times);
        histogram_record_many(i % 3 ? a : b, ns, times);
    }
    struct histogram *empty = histogram_new();
    histogram_merge(a, b);
    histogram_merge(a, empty);
    histogram_merge(empty, a);
    cr_assert(memcmp(a, all, sizeof *a) == 0);
    cr_assert(memcmp(empty, all, sizeof *a) == 0, "an empty histogram takes the other's minimum");
    free(all);
    free(a);
    free(b);
    free(empty);
}
