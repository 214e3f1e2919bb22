/* SPDX-License-Identifier: Apache-2.0 */

/* uring: what the two files of the io_uring backend share. Private to common/io. */
#pragma once

#include "io/posix.h"

#include <liburing.h>

struct uring_io {
    struct posix_io posix;
    struct io_uring ring;
    unsigned disabled_features; /* enum io_features */
    unsigned workers;           /* threads of the kernel for what may block */
    bool enabled;               /* by the shard's thread, which from then on alone submits */
    bool registered;            /* the ring's descriptor, with that thread */
    bool message_ring;          /* MSG_RING may be tried */
    bool wake_armed;            /* a read of the eventfd is in flight */
    unsigned in_flight;         /* completions that the kernel owes us */
    struct list waiting;        /* operations that found no room in the submission queue */
    struct list cancelling;     /* operations with the kernel whose cancellation found none */
    uint64_t wake_value;
};

static inline struct uring_io *uring_of(struct posix_io *p)
{
    return (struct uring_io *)p;
}

extern const struct posix_backend uring_backend;

/* Sets up the ring, disabled until uring_enable() on the shard's thread. */
int uring_open(struct posix_io *p, const struct io_options *options, char *reason) MUST_CHECK;
void uring_enable(struct uring_io *u);
