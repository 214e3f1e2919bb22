/* SPDX-License-Identifier: Apache-2.0 */

/* sweep: what a group no longer needs, and its end. Private to broker/coord. */
#pragma once

#include "coord/group.h"

/* Deletes what retention no longer wants and what was committed for topics that are gone; then the
 * group itself when it is empty and nothing is left (KIP-211). */
void group_sweep(struct group *g, int64_t now_ms);

/* DeleteGroups. */
void group_delete(struct group *g, struct coord_call *c);

/* Nothing is on its way into the log any more: a deletion may have waited for that. */
void group_settled(struct group *g);
