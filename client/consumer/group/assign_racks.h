/* SPDX-License-Identifier: Apache-2.0 */

/* assign_racks: hands partitions on until they are in the racks of their owners, without changing
 * how even an assignment is. For the sticky assignors. */
#pragma once

#include "consumer/group/assignor.h"

/* What may be shared out anew: consecutive partitions, all of them owned by some of the members,
 * who all subscribe to all of them. */
struct racks_pool {
    int32_t first, count;
    const int32_t *members; /* rising */
    int32_t member_count;
    /* >= 0: every member has `least` partitions or one more, and these are all partitions there
     * are. -1: they may have others too, and how many differs. */
    int32_t least;
};

struct racks_fit;

/* NULL: no memory. `load` (partitions per member) is kept up to date; `previous` says who held a
 * partition before, or -1. Both are lent. */
struct racks_fit *racks_fit_new(struct assign *a, int32_t *load, const int32_t *previous,
                                struct arena *scratch) MUST_CHECK;

/* Afterwards, with `least` >= 0, as many partitions suit their owners as in any assignment that is
 * as even; else no chain of hand-overs within the pool would make one more suit. What need not
 * move for that stays. The work of all pools together is bounded: beyond, less may suit. False:
 * nothing moved. */
bool racks_fit_pool(struct racks_fit *f, const struct racks_pool *pool);
