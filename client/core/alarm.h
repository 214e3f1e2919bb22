/* SPDX-License-Identifier: Apache-2.0 */

/* alarm: many deadlines on one timer of the seam.
 *
 * An alarm is embedded in its owner. It rings once, on the I/O thread, in the first turn at or
 * after its deadline; setting it again moves it. Nothing allocates, so setting never fails. */
#pragma once

#include "base/heap.h"
#include "io/io.h"

struct alarm {
    struct heap_node node; /* zero: not set */
    void (*ring)(struct alarm *a);
};

struct alarms {
    struct io *io;
    struct heap heap;
    struct io_op timer;
    uint64_t armed_ns;           /* the deadline of the timer in flight */
    struct io_turn turn;         /* the timer is moved once per turn */
    void (*idle)(void *context); /* after alarms_stop(): the timer has come home */
    void *idle_context;
    bool stopped;
};

void alarms_init(struct alarms *all, struct io *io);

/* No alarm rings any more; idle(context) is called, in a later turn, when `all` may be freed. */
void alarms_stop(struct alarms *all, void (*idle)(void *context), void *context);

/* Sets or moves `a`, whose ring() is set, to `deadline_ns` of io_now(). */
void alarm_set(struct alarms *all, struct alarm *a, uint64_t deadline_ns);

/* Harmless when it is not set. */
void alarm_clear(struct alarms *all, struct alarm *a);

static inline bool alarm_is_set(const struct alarm *a)
{
    return heap_contains(&a->node);
}
