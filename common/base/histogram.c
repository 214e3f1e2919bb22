/* SPDX-License-Identifier: Apache-2.0 */

/* Slots, with u = value >> HISTOGRAM_UNIT_BITS:
 *
 *     u < 2048              slot u, one unit wide
 *     2048 <= u             shifted right until it is below 2048: 1024 .. 2047, one unit << shift
 * wide; slot = shift * 1024 + the shifted u
 *
 * so the slots of shift s > 0 are (s + 1) * 1024 .. (s + 2) * 1024 - 1. */
#include "base/histogram.h"

#include <string.h>

static const uint64_t hour_ns = 3600000000000;

static_assert((uint64_t)HISTOGRAM_HALF << (HISTOGRAM_UNIT_BITS + HISTOGRAM_DOUBLINGS) >=
                  3600000000000,
              "the last slot reaches beyond an hour");

static size_t slot_of(uint64_t ns)
{
    uint64_t u = (ns < hour_ns ? ns : hour_ns) >> HISTOGRAM_UNIT_BITS;
    if (u < 2 * HISTOGRAM_HALF) {
        return (size_t)u;
    }
    int shift = 63 - __builtin_clzll(u) - 10;
    size_t slot = (size_t)shift * HISTOGRAM_HALF + (size_t)(u >> shift);
    assert(slot < HISTOGRAM_SLOTS);
    return slot;
}

/* The largest value of a slot. */
static uint64_t slot_last(size_t slot)
{
    assert(slot < HISTOGRAM_SLOTS);
    if (slot < 2 * HISTOGRAM_HALF) {
        return ((uint64_t)(slot + 1) << HISTOGRAM_UNIT_BITS) - 1;
    }
    size_t shift = slot / HISTOGRAM_HALF - 1;
    uint64_t u = slot - shift * HISTOGRAM_HALF;
    return ((u + 1) << (shift + HISTOGRAM_UNIT_BITS)) - 1;
}

void histogram_init(struct histogram *h)
{
    memset(h, 0, sizeof *h);
}

void histogram_record_many(struct histogram *h, uint64_t ns, uint64_t times)
{
    if (times == 0) {
        return;
    }
    h->min_ns = h->count == 0 || ns < h->min_ns ? ns : h->min_ns;
    h->max_ns = ns > h->max_ns ? ns : h->max_ns;
    h->sum_ns += (unsigned __int128)ns * times;
    h->count += times;
    h->slots[slot_of(ns)] += times;
}

void histogram_record(struct histogram *h, uint64_t ns)
{
    histogram_record_many(h, ns, 1);
}

void histogram_merge(struct histogram *to, const struct histogram *from)
{
    if (from->count == 0) {
        return;
    }
    to->min_ns = to->count == 0 || from->min_ns < to->min_ns ? from->min_ns : to->min_ns;
    to->max_ns = from->max_ns > to->max_ns ? from->max_ns : to->max_ns;
    to->sum_ns += from->sum_ns;
    to->count += from->count;
    for (size_t i = 0; i < HISTOGRAM_SLOTS; i++) {
        to->slots[i] += from->slots[i];
    }
}

uint64_t histogram_percentile(const struct histogram *h, double percent)
{
    assert(percent >= 0 && percent <= 100);
    if (h->count == 0) {
        return 0;
    }
    /* Rounded up, but not for what only the fraction's binary form adds (99.9 % of 1000). */
    double exact = percent / 100 * (double)h->count * (1 - 1e-12);
    uint64_t wanted = (uint64_t)exact;
    wanted += (double)wanted < exact;
    wanted = wanted == 0 ? 1 : wanted;
    uint64_t seen = 0;
    for (size_t i = 0; i < HISTOGRAM_SLOTS; i++) {
        seen += h->slots[i];
        if (seen == h->count) {
            return h->max_ns;
        }
        if (seen >= wanted) {
            return slot_last(i);
        }
    }
    return h->max_ns;
}

double histogram_mean(const struct histogram *h)
{
    return h->count ? (double)h->sum_ns / (double)h->count : 0;
}

uint64_t histogram_count_below(const struct histogram *h, uint64_t ns)
{
    uint64_t seen = 0;
    for (size_t i = 0; i < HISTOGRAM_SLOTS && slot_last(i) <= ns; i++) {
        seen += h->slots[i];
    }
    return seen;
}
