/* SPDX-License-Identifier: Apache-2.0 */

/* rebalance: from one generation to the next. Private to broker/coord. */
#pragma once

#include "coord/group.h"

void rebalance_begin(struct group *g);
/* In PREPARING: completes the join when nobody is missing. */
void rebalance_try(struct group *g);
/* Answers a member's join with the generation as it is. */
void rebalance_tell(struct member *m, struct coord_call *c, bool skip_assignment);
/* A member has gone: whatever follows from that. The call that asked for it, or NULL, is answered: at
 * once, but when nobody is left after the record that says so is durable (G6). */
void rebalance_after_leave(struct group *g, struct coord_call *c);
/* Whether a member with these protocols can be in the group. */
bool rebalance_fits(const struct group *g, const struct join_group_request *q,
                    const struct member *except);
