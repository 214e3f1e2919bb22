/* SPDX-License-Identifier: Apache-2.0 */

/* The timer is set to the earliest deadline. When an earlier one comes, the timer is cancelled and
 * set again from its own done(); when the earliest is cancelled, the timer fires for nothing, which
 * costs less than moving it each time a long poll is answered. */
#include "io/deadline.h"

static void deadlines_arm(struct deadlines *d)
{
    struct heap_node *first = heap_first(&d->heap);
    if (!first) {
        return;
    }
    if (io_op_idle(&d->timer)) {
        d->armed_ns = first->key;
        io_timer(d->io, &d->timer, first->key);
    } else if (first->key < d->armed_ns) {
        d->armed_ns = first->key;
        io_cancel(d->io, &d->timer);
    }
}

static void timer_done(struct io_op *op, int64_t result)
{
    struct deadlines *d = container_of(op, struct deadlines, timer);
    struct heap_node *node;
    while ((node = heap_pop(&d->heap, io_now(d->io)))) {
        struct deadline *due = container_of(node, struct deadline, node);
        due->due(due);
    }
    if (d->idle) {
        d->idle(d);
    } else {
        deadlines_arm(d);
    }
}

void deadlines_init(struct deadlines *d, struct io *io)
{
    *d = (struct deadlines){.io = io};
    d->timer.done = timer_done;
}

void deadline_set(struct deadlines *all, struct deadline *d, uint64_t at_ns)
{
    assert(d->due && !heap_contains(&d->node));
    heap_add(&all->heap, &d->node, at_ns);
    deadlines_arm(all);
}

void deadline_cancel(struct deadlines *all, struct deadline *d)
{
    if (heap_contains(&d->node)) {
        heap_remove(&all->heap, &d->node);
    }
}

void deadlines_stop(struct deadlines *d, void (*idle)(struct deadlines *d))
{
    assert(!d->idle && !heap_first(&d->heap));
    if (io_op_idle(&d->timer)) {
        idle(d);
        return;
    }
    d->idle = idle;
    io_cancel(d->io, &d->timer);
}
