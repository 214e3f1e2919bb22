/* SPDX-License-Identifier: Apache-2.0 */

/* A backend of the seam for unit tests of what reads: files are memory, nothing happens before the
 * test lets it, and the order, the failures and the clock are the test's. It does reads, timers and
 * work; any other call ends the test. */
#pragma once

#include "base/prng.h"
#include "io/backend.h"

struct io_file { /* begins with its backend, as the seam wants it */
    const struct io_ops *ops;
    uint8_t *data;
    uint64_t size;
};

struct fake_io {
    struct io io;
    struct list pending;
    struct prng random;
    bool shuffle;       /* complete in random order */
    unsigned reads;     /* submitted */
    unsigned fail_read; /* this one (from 1) fails with -EIO */
    uint64_t broken;    /* so do all that reach this position; 0: none */
    unsigned timers, works;
    size_t pending_count, pending_max;
};

void fake_io_init(struct fake_io *f, uint64_t seed, size_t memory_bytes);

/* Everything is given back, or the test fails. */
void fake_io_deinit(struct fake_io *f);

struct io_file fake_file(uint8_t *data, uint64_t size);

/* Completes one operation; false: none is pending. A timer is due when nothing else is left. */
bool fake_io_step(struct fake_io *f);

/* Until nothing is pending. */
void fake_io_run(struct fake_io *f);
