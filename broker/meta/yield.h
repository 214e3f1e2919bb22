/* SPDX-License-Identifier: Apache-2.0 */

/* yield: what an operator asks this node to let go. */
#pragma once

#include "io/io.h"

struct meta;

/* On the wire. */
enum yield_action {
    YIELD_TELL,
    YIELD_ALL,     /* what others can lead, the quorum too, until YIELD_NOTHING or the next start */
    YIELD_NOTHING, /* it leads again as others do */
    YIELD_QUORUM,  /* the lead of the quorum alone, once */
};

/* One wish, embedded in its owner until done(). */
struct yield_op {
    void (*done)(struct yield_op *op); /* on the shard that asked */
    enum yield_action action;          /* not YIELD_TELL */
    int32_t heir;                      /* of the quorum; -1: any voter */
    int error; /* out: 0, it is begun; ERR_NOT_CONTROLLER, ERR_INVALID_REQUEST, ERR_BROKER_NOT_AVAILABLE */
    const char *why; /* out: a sentence, NULL without error */

    struct { /* meta's */
        struct io_message message;
        struct meta *meta;
        unsigned shard;
    } priv;
};
void meta_yield(struct meta *meta, struct io *io, struct yield_op *op);
