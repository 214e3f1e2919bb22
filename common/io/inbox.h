/* SPDX-License-Identifier: Apache-2.0 */

/* inbox: the messages on their way to one shard.
 *
 * Any thread pushes, the shard alone takes: a stack of messages, newest first, that is taken whole
 * and turned round, so that what one sender pushed is delivered in its order. A shard gathers what
 * it sends during a turn and pushes it as one chain: one atomic exchange and at most one wake for
 * each receiver and turn, however many messages there are.
 *
 * Sleep. The receiver declares itself asleep and then looks once more for messages; the sender
 * pushes and then looks whether the receiver sleeps. Both steps are sequentially consistent on both
 * sides, so at least one of the two sees the other: either the receiver stays awake or one sender,
 * and only one, is told to wake it. */
#pragma once

#include "io/io.h"

#include <stdatomic.h>

struct inbox {
    _Atomic(struct io_message *) newest;
    atomic_bool asleep;
};

/* Pushes the chain newest .. oldest (linked by `next`). True: the caller must wake the receiver.
 * Async-signal-safe. */
static inline bool inbox_push(struct inbox *in, struct io_message *newest,
                              struct io_message *oldest)
{
    struct io_message *head = atomic_load_explicit(&in->newest, memory_order_relaxed);
    do {
        oldest->next = head;
    } while (!atomic_compare_exchange_weak(&in->newest, &head, newest));
    return atomic_load(&in->asleep) && atomic_exchange(&in->asleep, false);
}

static inline bool inbox_empty(const struct inbox *in)
{
    return !atomic_load_explicit(&in->newest, memory_order_relaxed);
}

/* Declares the receiver asleep. False: there are messages, and it is not. */
static inline bool inbox_sleep(struct inbox *in)
{
    atomic_store(&in->asleep, true);
    if (atomic_load(&in->newest)) {
        atomic_store(&in->asleep, false);
        return false;
    }
    return true;
}

static inline void inbox_awake(struct inbox *in)
{
    if (atomic_load_explicit(&in->asleep, memory_order_relaxed)) {
        atomic_store_explicit(&in->asleep, false, memory_order_relaxed);
    }
}

/* All messages, oldest first, linked by `next`; NULL when there are none. */
static inline struct io_message *inbox_take(struct inbox *in)
{
    if (inbox_empty(in)) {
        return NULL;
    }
    struct io_message *from = atomic_exchange(&in->newest, NULL);
    struct io_message *oldest = NULL;
    while (from) {
        struct io_message *next = from->next;
        from->next = oldest;
        oldest = from;
        from = next;
    }
    return oldest;
}
