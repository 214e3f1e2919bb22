/* SPDX-License-Identifier: Apache-2.0 */

/* LeaveGroup: one member, or from 3 on several with an error for each. */
#include "api/groups.h"

static void answer(struct groups *g)
{
    struct api_request *r = g->request;
    const struct coord_call *call = groups_only(g);
    const struct leave_group_request *q = call->request;
    struct leave_group_response response;
    leave_group_response_init(&response);
    response.error_code = error_to_wire(call->error);
    size_t count = call->error || !call->leavers ? 0 : (size_t)q->members_count;
    response.members = api_alloc(r, count, sizeof *response.members);
    if (!response.members) {
        api_close(r, error_text(ERR_NO_MEMORY));
        return;
    }
    for (size_t i = 0; i < count; i++) {
        response.members[response.members_count++] = (struct leave_group_response_members){
            .member_id = q->members[i].member_id,
            .group_instance_id = q->members[i].group_instance_id,
            .error_code = error_to_wire(call->leavers[i]),
        };
    }
    api_respond(r, &response);
}

void handle_leave_group(struct api_request *r)
{
    struct leave_group_request *q = api_decode(r);
    struct groups *g = q ? groups_new(r, 1, answer) : NULL;
    if (g) {
        groups_add(g, COORD_LEAVE, q->group_id, q);
        groups_go(g);
    }
}
