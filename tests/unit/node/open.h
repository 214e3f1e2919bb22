/* SPDX-License-Identifier: Apache-2.0 */

/* Opens the simulator's world of whole nodes for a unit test: what it finds wrong fails the test. */
#pragma once

#include "sim/cluster_world.h"

#include <stdlib.h>

#include <criterion/criterion.h>

static void open_violated(void *context, const char *line)
{
    cr_assert_fail("%s", line);
}

/* Nodes 1 .. count, none of them started. CLUSTER_STORY tells what happens. */
static inline void open_world_in(struct cluster_world *w, uint64_t seed, uint32_t count)
{
    world_open(w, &(struct cluster_options){.seed = seed,
                                            .nodes = count,
                                            .replication_factor = 1,
                                            .story = getenv("CLUSTER_STORY") ? stdout : NULL,
                                            .violated = open_violated});
}
