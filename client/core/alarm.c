/* SPDX-License-Identifier: Apache-2.0 */

/* The timer of the seam cannot be moved, only cancelled: when an earlier alarm is set, the one in
 * flight is cancelled at the end of the turn and started anew when it comes back. A timer that is
 * too early is left alone: it rings nothing and is set again. */
#include "core/alarm.h"

static void alarms_arm(struct alarms *all)
{
    struct heap_node *first = heap_first(&all->heap);
    if (!first || all->stopped) {
        return;
    }
    if (io_op_idle(&all->timer)) {
        all->armed_ns = first->key;
        io_timer(all->io, &all->timer, first->key);
    } else if (first->key < all->armed_ns) {
        io_cancel(all->io, &all->timer);
    }
}

static void alarms_rang(struct io_op *op, int64_t result)
{
    struct alarms *all = container_of(op, struct alarms, timer);
    if (all->stopped) {
        if (all->idle) {
            all->idle(all->idle_context);
        }
        return;
    }
    uint64_t now = io_now(all->io);
    struct heap_node *node;
    while (!all->stopped && (node = heap_pop(&all->heap, now))) {
        struct alarm *a = container_of(node, struct alarm, node);
        a->ring(a);
    }
    alarms_arm(all);
}

static void alarms_turn_end(struct io_turn *turn)
{
    alarms_arm(container_of(turn, struct alarms, turn));
}

void alarms_init(struct alarms *all, struct io *io)
{
    *all = (struct alarms){.io = io};
    heap_init(&all->heap);
    all->timer.done = alarms_rang;
    all->turn.turn_end = alarms_turn_end;
}

void alarms_stop(struct alarms *all, void (*idle)(void *context), void *context)
{
    assert(!all->stopped);
    all->stopped = true;
    all->idle = idle;
    all->idle_context = context;
    if (io_op_idle(&all->timer)) {
        io_timer(all->io, &all->timer, 0);
    } else {
        io_cancel(all->io, &all->timer);
    }
}

void alarm_set(struct alarms *all, struct alarm *a, uint64_t deadline_ns)
{
    assert(a->ring);
    if (heap_contains(&a->node)) {
        if (a->node.key == deadline_ns) {
            return;
        }
        heap_remove(&all->heap, &a->node);
    }
    heap_add(&all->heap, &a->node, deadline_ns);
    if (!all->stopped && (io_op_idle(&all->timer) || deadline_ns < all->armed_ns)) {
        io_turn_end(all->io, &all->turn);
    }
}

void alarm_clear(struct alarms *all, struct alarm *a)
{
    if (heap_contains(&a->node)) {
        heap_remove(&all->heap, &a->node);
    }
}
