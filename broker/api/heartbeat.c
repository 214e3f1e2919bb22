/* SPDX-License-Identifier: Apache-2.0 */

/* Heartbeat: a member lives, and hears whether the group rebalances. */
#include "api/groups.h"

static void answer(struct groups *g)
{
    struct heartbeat_response response;
    heartbeat_response_init(&response);
    response.error_code = error_to_wire(groups_only(g)->error);
    api_respond(g->request, &response);
}

void handle_heartbeat(struct api_request *r)
{
    struct heartbeat_request *q = api_decode(r);
    struct groups *g = q ? groups_new(r, 1, answer) : NULL;
    if (g) {
        groups_add(g, COORD_HEARTBEAT, q->group_id, q);
        groups_go(g);
    }
}
