/* SPDX-License-Identifier: Apache-2.0 */

/* series: latencies over time, a row for each second of the measured window.
 *
 * A latency belongs to the row of the time that its record was meant for, so that a stall is seen
 * where it began. A row is a small histogram: each doubling is cut into 64 slots, so a figure is
 * exact to a sixty-fourth, and `max` is exact. There is no lock: threads have parts of their own, so
 * that a record costs an increment; more threads than SERIES_PARTS_MAX share parts, and add
 * atomically. A window of more than SERIES_ROWS_MAX seconds has rows of several whole seconds. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    SERIES_ROWS_MAX = 3600,
    SERIES_PARTS_MAX = 8,
    SERIES_UNIT_BITS = 9, /* the finest slot is 512 ns wide */
    SERIES_HALF = 64,     /* slots of each doubling */
    SERIES_DOUBLINGS = 27,
    SERIES_SLOTS = (SERIES_DOUBLINGS + 1) * SERIES_HALF,
};

struct series_cell {
    _Atomic uint64_t max_ns;
    _Atomic uint32_t slots[SERIES_SLOTS];
};

struct series {
    uint64_t begin_ns, row_ns;
    unsigned rows, parts;
    bool shared;               /* several threads write to a part */
    struct series_cell *cells; /* owned: rows of the first part, then of the second ... */
    double *rates;             /* owned: what somebody counted by other means, by row; -1: nobody */
};

struct series_figures {
    uint64_t count, p50_ns, p99_ns, max_ns;
};

/* False: out of memory. `threads`: so many record, at least 1. Memory is taken when a row is used. */
bool series_init(struct series *s, uint64_t begin_ns, uint64_t end_ns, uint64_t threads);
void series_deinit(struct series *s);

/* `at_ns` lies within the window. `thread`: the caller's number, from 0. */
void series_record(struct series *s, unsigned thread, uint64_t at_ns, uint64_t ns);

/* When row `row` begins, in seconds of the window. */
double series_second(const struct series *s, unsigned row);

/* All parts together; false: the row is empty. When nobody records any more. */
bool series_figures(const struct series *s, unsigned row, struct series_figures *out);
