/* SPDX-License-Identifier: Apache-2.0 */

/* commit: OffsetCommit, OffsetFetch and OffsetDelete. Private to broker/coord. */
#pragma once

#include "coord/group.h"

void group_commit(struct group *g, struct coord_call *c);
void group_offsets(struct group *g, struct coord_call *c);
void group_forget(struct group *g, struct coord_call *c);
