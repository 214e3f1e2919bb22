/* SPDX-License-Identifier: Apache-2.0 */

/* describe: DescribeGroups. Private to broker/coord. */
#pragma once

#include "coord/group.h"

void group_describe(struct group *g, struct coord_call *c);
