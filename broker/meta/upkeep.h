/* SPDX-License-Identifier: Apache-2.0 */

/* upkeep: what the leader of the quorum looks after by time. Pure: when to look is decided here; membership.c has
 * the clock and the operations. Private to meta.
 *
 *     BALANCE  leadership goes back to preferred replicas that are in sync: every leader.imbalance.check.interval
 *     GROW     topics of which nobody chose how many replicas get some on brokers that have come: when there are more
 *              active brokers than before, and a while after something began to move or had to wait, for a partition
 *              has one move at a time. Users' topics only when brokers have neither come nor gone for a while, so that
 *              those who come together are all considered, and who is only restarted moves nothing
 *
 * One of them is under way at a time. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum upkeep_work { UPKEEP_NOTHING, UPKEEP_BALANCE, UPKEEP_GROW };

struct upkeep {
    uint64_t balance_every_ns; /* 0: never */
    uint64_t balance_at_ns, grow_at_ns;
    uint32_t active;   /* brokers, when it was looked last, */
    uint64_t since_ns; /* and since when there are so many */
    enum upkeep_work under_way;
};

/* This node leads now. */
void upkeep_begin(struct upkeep *u, uint64_t balance_every_ns, uint64_t now_ns);

/* What is due, with so many brokers active; upkeep_done() follows. */
enum upkeep_work upkeep_next(struct upkeep *u, uint32_t active, uint64_t now_ns);

/* Brokers have come or gone a moment ago. */
bool upkeep_unsettled(const struct upkeep *u, uint64_t now_ns);

/* `soon`: something moves or waits, and is to be looked at again. */
void upkeep_done(struct upkeep *u, bool soon, uint64_t now_ns);
