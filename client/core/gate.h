/* SPDX-License-Identifier: Apache-2.0 */

/* gate: what the caller's threads and the I/O thread share is touched between gate_enter() and
 * gate_leave(). The shell makes it a mutex; where everything runs on one thread, as in the
 * simulator, it is gate_none() and does nothing. */
#pragma once

#include "base/bytes.h"

struct gate {
    void (*enter)(struct gate *g);
    void (*leave)(struct gate *g);
    void (*announce)(struct gate *g); /* inside: something changed that a caller may wait for */
};

static inline void gate_enter(struct gate *g)
{
    g->enter(g);
}

static inline void gate_leave(struct gate *g)
{
    g->leave(g);
}

static inline void gate_announce(struct gate *g)
{
    g->announce(g);
}

static inline void gate_nothing(struct gate *g)
{
    assert(g->enter == gate_nothing);
}

/* For one thread. */
static inline struct gate gate_none(void)
{
    return (struct gate){gate_nothing, gate_nothing, gate_nothing};
}
