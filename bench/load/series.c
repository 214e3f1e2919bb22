/* SPDX-License-Identifier: Apache-2.0 */

#include "load/series.h"

#include "base/assert.h"
#include "report/clock.h"

#include <stdlib.h>
#include <string.h>

static const uint64_t HOUR_NS = 3600 * (uint64_t)NS_PER_S; /* more counts as an hour */

bool series_init(struct series *s, uint64_t begin_ns, uint64_t end_ns, uint64_t threads)
{
    assert(end_ns >= begin_ns);
    assert(threads > 0);
    uint64_t seconds = (end_ns - begin_ns + NS_PER_S - 1) / NS_PER_S;
    uint64_t of_row = (seconds + SERIES_ROWS_MAX - 1) / SERIES_ROWS_MAX;
    of_row = of_row ? of_row : 1;
    memset(s, 0, sizeof *s);
    s->begin_ns = begin_ns;
    s->row_ns = of_row * NS_PER_S;
    s->rows = seconds ? (unsigned)((seconds + of_row - 1) / of_row) : 1;
    s->parts = threads < SERIES_PARTS_MAX ? (unsigned)threads : SERIES_PARTS_MAX;
    s->shared = threads > s->parts;
    s->cells = calloc((size_t)s->rows * s->parts, sizeof *s->cells);
    s->rates = calloc(s->rows, sizeof *s->rates);
    if (!s->cells || !s->rates) {
        series_deinit(s);
        return false;
    }
    for (unsigned row = 0; row < s->rows; row++) {
        s->rates[row] = -1;
    }
    return true;
}

void series_deinit(struct series *s)
{
    free(s->cells);
    free(s->rates);
    memset(s, 0, sizeof *s);
}

/* Slots 0 .. 2 * HALF - 1 are one unit wide, those of each further doubling twice as wide. */
static unsigned slot_of(uint64_t ns)
{
    uint64_t u = (ns < HOUR_NS ? ns : HOUR_NS) >> SERIES_UNIT_BITS;
    if (u < (uint64_t)2 * SERIES_HALF) {
        return (unsigned)u;
    }
    unsigned shift = 63 - (unsigned)__builtin_clzll(u) - 6;
    unsigned slot = shift * SERIES_HALF + (unsigned)(u >> shift);
    assert(slot < SERIES_SLOTS);
    return slot;
}

/* The largest value of a slot. */
static uint64_t slot_last(unsigned slot)
{
    if (slot < 2 * SERIES_HALF) {
        return ((uint64_t)(slot + 1) << SERIES_UNIT_BITS) - 1;
    }
    unsigned shift = slot / SERIES_HALF - 1;
    return (((uint64_t)(slot - shift * SERIES_HALF) + 1) << (shift + SERIES_UNIT_BITS)) - 1;
}

void series_record(struct series *s, unsigned thread, uint64_t at_ns, uint64_t ns)
{
    assert(at_ns >= s->begin_ns);
    uint64_t row = (at_ns - s->begin_ns) / s->row_ns;
    assert(row < s->rows);
    struct series_cell *cell = &s->cells[(uint64_t)(thread % s->parts) * s->rows + row];
    _Atomic uint32_t *slot = &cell->slots[slot_of(ns)];
    uint64_t max = atomic_load_explicit(&cell->max_ns, memory_order_relaxed);
    if (!s->shared) { /* nobody else writes: no instruction needs to lock the cache line */
        uint32_t count = atomic_load_explicit(slot, memory_order_relaxed);
        atomic_store_explicit(slot, count + 1, memory_order_relaxed);
        atomic_store_explicit(&cell->max_ns, ns > max ? ns : max, memory_order_relaxed);
        return;
    }
    atomic_fetch_add_explicit(slot, 1, memory_order_relaxed);
    while (ns > max && !atomic_compare_exchange_weak_explicit(
                           &cell->max_ns, &max, ns, memory_order_relaxed, memory_order_relaxed)) {
    }
}

double series_second(const struct series *s, unsigned row)
{
    assert(row < s->rows);
    return (double)(row * s->row_ns) / NS_PER_S;
}

static uint64_t percentile(const uint64_t *slots, double percent, const struct series_figures *f)
{
    uint64_t rank = (uint64_t)(percent / 100 * (double)f->count + 0.5), seen = 0;
    rank = rank ? rank : 1;
    for (unsigned slot = 0; slot < SERIES_SLOTS; slot++) {
        seen += slots[slot];
        if (seen >= rank) {
            return slot_last(slot) < f->max_ns ? slot_last(slot) : f->max_ns;
        }
    }
    return f->max_ns;
}

bool series_figures(const struct series *s, unsigned row, struct series_figures *out)
{
    uint64_t slots[SERIES_SLOTS] = {0};
    struct series_figures f = {0};
    assert(row < s->rows);
    for (unsigned part = 0; part < s->parts; part++) {
        struct series_cell *cell = &s->cells[(uint64_t)part * s->rows + row];
        uint64_t max = atomic_load_explicit(&cell->max_ns, memory_order_relaxed);
        f.max_ns = max > f.max_ns ? max : f.max_ns;
        for (unsigned slot = 0; slot < SERIES_SLOTS; slot++) {
            uint32_t n = atomic_load_explicit(&cell->slots[slot], memory_order_relaxed);
            slots[slot] += n;
            f.count += n;
        }
    }
    if (f.count == 0) {
        return false;
    }
    f.p50_ns = percentile(slots, 50, &f);
    f.p99_ns = percentile(slots, 99, &f);
    *out = f;
    return true;
}
