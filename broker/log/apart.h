/* SPDX-License-Identifier: Apache-2.0 */

/* apart: the settled mark once more, away from the groups.
 *
 * A group's mark lies right behind what it covers. Where the end of the journal rots both go, and
 * what was acknowledged looks like a torn tail. So the mark is also written, durably, into the first
 * block of the journal file that comes next in the ring: APART_PACE_NS after something was settled
 * that it does not cover, beside the commits, which never wait for it. What was acknowledged since
 * has no mark elsewhere yet (after Protocol-Aware Recovery, Alagappan et al., FAST 2018). */
#pragma once

#include "io/io.h"

struct journal;

#define APART_PACE_NS UINT64_C(100000000)

struct apart {
    struct io_op op; /* the timer, and the write that follows it */
    uint8_t *block;
    struct iovec piece; /* all of it */
    bool writing;
    uint64_t told, telling; /* sequences */
};

/* ERR_NO_MEMORY. */
int apart_open(struct journal *j) MUST_CHECK;
/* Nothing is under way. */
void apart_close(struct journal *j);
/* More may have been settled. */
void apart_settled(struct journal *j);
/* The journal closes: what waits is called off, a write goes on. */
void apart_cancel(struct journal *j);
