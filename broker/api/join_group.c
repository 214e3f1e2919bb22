/* SPDX-License-Identifier: Apache-2.0 */

/* JoinGroup: answered when the generation is complete. */
#include "api/groups.h"

static void answer(struct groups *g)
{
    api_respond(g->request, &groups_only(g)->response.join);
}

void handle_join_group(struct api_request *r)
{
    struct join_group_request *q = api_decode(r);
    struct groups *g = q ? groups_new(r, 1, answer) : NULL;
    if (g) {
        groups_add(g, COORD_JOIN, q->group_id, q);
        groups_go(g);
    }
}
