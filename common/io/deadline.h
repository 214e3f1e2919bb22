/* SPDX-License-Identifier: Apache-2.0 */

/* deadline: many deadlines over one timer. A deadline is embedded in what waits; due() is called
 * from the loop, once, unless it was cancelled. */
#pragma once

#include "base/heap.h"
#include "io/io.h"

struct deadline {
    struct heap_node node;
    void (*due)(struct deadline *d);
};

struct deadlines {
    struct io *io;
    struct heap heap;
    struct io_op timer;
    uint64_t armed_ns;                 /* what the timer in flight was set to */
    void (*idle)(struct deadlines *d); /* after deadlines_stop(): the timer is home */
};

void deadlines_init(struct deadlines *d, struct io *io);

/* At or after `at_ns` of io_now(). `d` is not waiting. */
void deadline_set(struct deadlines *all, struct deadline *d, uint64_t at_ns);

/* Harmless when it is not waiting. */
void deadline_cancel(struct deadlines *all, struct deadline *d);

/* No deadline is waiting. idle() is called, perhaps at once. */
void deadlines_stop(struct deadlines *d, void (*idle)(struct deadlines *d));
