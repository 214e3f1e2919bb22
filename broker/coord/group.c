/* SPDX-License-Identifier: Apache-2.0 */

/* What a group tells of itself. See group.h. */
#include "coord/group.h"

struct wire_string group_name(const struct group *g)
{
    return wire_string_of(g->name);
}

const char *group_state_name(enum group_state state)
{
    static const char *const names[] = {"Empty", "PreparingRebalance", "CompletingRebalance",
                                        "Stable", "Dead"};
    assert((size_t)state < array_size(names));
    return names[state];
}

void group_set_state(struct group *g, enum group_state state)
{
    g->state = state;
    g->changed_ms = io_wall_ms(g->host->io);
}

bool group_is_idle(const struct group *g)
{
    bool nothing = list_empty(&g->offsets) && g->member_count == 0 && g->expected_count == 0 &&
                   g->state == GROUP_EMPTY && g->generation == 0;
    return g->writes == 0 && (g->state == GROUP_DEAD || nothing);
}
