/* SPDX-License-Identifier: Apache-2.0 */

/* histogram: latencies from 1 us to 1 h, in nanoseconds, with three significant digits.
 *
 * Log-linear slots in the manner of HdrHistogram (Gil Tene): each doubling of the value is cut into
 * 1024 equal slots, so that a slot is at most a thousandth of its values wide, and recording costs
 * a shift and an increment. Below 1 ms slots are 512 ns wide. Larger values than an hour count as
 * an hour, but `max` is exact. About 190 KiB; all zero is an empty histogram. Not thread-safe: one
 * for each thread, then merged. */
#pragma once

#include "base/assert.h"

#include <stddef.h>
#include <stdint.h>

enum {
    HISTOGRAM_UNIT_BITS = 9, /* the finest slot is 512 ns wide */
    HISTOGRAM_HALF = 1024,   /* slots of each doubling */
    HISTOGRAM_DOUBLINGS = 23,
    HISTOGRAM_SLOTS = (HISTOGRAM_DOUBLINGS + 1) * HISTOGRAM_HALF,
};

struct histogram {
    uint64_t count;
    uint64_t min_ns, max_ns;  /* exact; 0 while count is 0 */
    unsigned __int128 sum_ns; /* exact */
    uint64_t slots[HISTOGRAM_SLOTS];
};

void histogram_init(struct histogram *h);

void histogram_record(struct histogram *h, uint64_t ns);

/* The same value `times` times. */
void histogram_record_many(struct histogram *h, uint64_t ns, uint64_t times);

/* Adds everything of `from`. */
void histogram_merge(struct histogram *to, const struct histogram *from);

/* The value that `percent` (0 .. 100) of all values do not exceed: the upper end of its slot, but
 * never above max_ns. 0 for an empty histogram. */
uint64_t histogram_percentile(const struct histogram *h, double percent);

/* 0 for an empty histogram. */
double histogram_mean(const struct histogram *h);

/* How many values lie in slots that end at or below `ns`: for cumulative buckets. */
uint64_t histogram_count_below(const struct histogram *h, uint64_t ns);
