/* SPDX-License-Identifier: Apache-2.0 */

/* join: who comes and who goes: JoinGroup and LeaveGroup. Private to broker/coord. */
#pragma once

#include "coord/group.h"

void group_join(struct group *g, struct coord_call *c);
void group_leave(struct group *g, struct coord_call *c);
