/* SPDX-License-Identifier: Apache-2.0 */

/* sync: what members of a generation ask: SyncGroup and Heartbeat. Private to broker/coord. */
#pragma once

#include "coord/group.h"

void group_sync(struct group *g, struct coord_call *c);
void group_heartbeat(struct group *g, struct coord_call *c);
