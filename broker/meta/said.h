/* SPDX-License-Identifier: Apache-2.0 */

/* said: what becomes of the quorum and of the brokers, in the log of each node. Private to broker/meta. */
#pragma once

#include "meta/image.h"

struct meta;

struct said {
    int32_t leader, epoch; /* that was told last, RAFT_NOBODY: none */
    uint64_t nobody_ns;    /* since then nobody leads, 0: somebody does */
    bool missed;           /* which has been said */
};

void said_init(struct said *s);
/* After each step of the quorum. */
void said_leader(struct meta *m);
/* Before `next` takes the place of `before`, which may be NULL. */
void said_brokers(struct meta *m, const struct image *before, const struct image *next);
