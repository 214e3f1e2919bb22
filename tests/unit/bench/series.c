/* SPDX-License-Identifier: Apache-2.0 */

#include "load/series.h"

#include <criterion/criterion.h>

static const uint64_t SECOND = 1000000000, BEGIN = 77 * 1000000000ull + 5;

Test(series, rows)
{
    struct series s;
    struct series_figures f;
    cr_assert(series_init(&s, BEGIN, BEGIN + 5 * SECOND / 2, 2));
    cr_assert_eq(s.rows, 3, "the last row is half a second");
    for (unsigned i = 1; i <= 100; i++) { /* 1 ms to 100 ms, from two threads' parts */
        series_record(&s, i, BEGIN + SECOND, i * 1000000);
    }
    series_record(&s, 7, BEGIN, 1);
    cr_assert(series_figures(&s, 0, &f));
    cr_assert_eq(f.count, 1);
    cr_assert_eq(f.max_ns, 1);
    cr_assert_eq(f.p99_ns, 1, "never above the largest");
    cr_assert(series_figures(&s, 1, &f));
    cr_assert_eq(f.count, 100);
    cr_assert_eq(f.max_ns, 100000000);
    cr_assert_geq(f.p50_ns, 50000000);
    cr_assert_lt(f.p50_ns, 50000000 / 64 * 65);
    cr_assert_geq(f.p99_ns, 99000000);
    cr_assert_leq(f.p99_ns, 100000000);
    cr_assert_not(series_figures(&s, 2, &f), "nothing was meant for it");
    cr_assert_eq(s.rates[2], -1, "nobody has counted");
    cr_assert_eq(series_second(&s, 2), 2);
    series_deinit(&s);
    series_deinit(&s);
}

/* Each value is told as its slot's end: at most a sixty-fourth more, or half a microsecond. */
Test(series, exactness)
{
    for (uint64_t ns = 1; ns < 3600 * SECOND; ns += ns / 5 + 1) {
        struct series s;
        struct series_figures f;
        cr_assert(series_init(&s, BEGIN, BEGIN + SECOND, 1));
        series_record(&s, 0, BEGIN, ns);
        series_record(&s, 0, BEGIN,
                      4000 * SECOND); /* counts as an hour, but as the largest it is exact */
        cr_assert(series_figures(&s, 0, &f));
        cr_assert_geq(f.p50_ns, ns);
        cr_assert_leq(f.p50_ns, ns + ns / 64 + 512);
        cr_assert_eq(f.max_ns, 4000 * SECOND);
        series_deinit(&s);
    }
}

Test(series, long_window)
{
    struct series s;
    cr_assert(series_init(&s, BEGIN, BEGIN + 86400 * SECOND, 400));
    cr_assert(s.shared && s.parts == SERIES_PARTS_MAX);
    cr_assert_eq(s.rows, 3600);
    cr_assert_eq(series_second(&s, 1), 24);
    series_record(&s, 399, BEGIN + 86400 * SECOND - 1, 9);
    series_record(&s, 7, BEGIN + 86400 * SECOND - 1, 3);
    struct series_figures f;
    cr_assert(series_figures(&s, 3599, &f));
    cr_assert(f.count == 2 && f.max_ns == 9);
    series_deinit(&s);
    cr_assert(series_init(&s, BEGIN, BEGIN, 1));
    cr_assert_eq(s.rows, 1, "a window without length");
    series_deinit(&s);
}
