/* SPDX-License-Identifier: Apache-2.0 */

/* DescribeGroups: state and members. A group that does not exist is Dead; from 6 on also an error. */
#include "api/groups.h"
#include "api/describe.h"

enum { GROUP_NOT_FOUND_FROM = 6 };

static void answer(struct groups *g)
{
    struct api_request *r = g->request;
    const struct describe_groups_request *q = g->context;
    struct describe_groups_response response;
    describe_groups_response_init(&response);
    response.groups = api_alloc(r, g->count, sizeof *response.groups);
    if (!response.groups) {
        api_close(r, error_text(ERR_NO_MEMORY));
        return;
    }
    for (uint32_t i = 0; i < g->count; i++) {
        const struct coord_call *call = &g->asks[i].call;
        struct describe_groups_response_groups *out = &response.groups[response.groups_count++];
        *out = call->response.describe;
        if (call->error == ERR_GROUP_ID_NOT_FOUND) {
            out->group_state = wire_string_of("Dead");
            out->error_code = api_version(r) >= GROUP_NOT_FOUND_FROM ? out->error_code : 0;
            out->error_message = api_version(r) >= GROUP_NOT_FOUND_FROM
                                     ? wire_string_of("There is no such group.")
                                     : wire_string_null();
        }
        if (q->include_authorized_operations && !call->error) {
            out->authorized_operations = DESCRIBE_GROUP_OPERATIONS;
        }
    }
    api_respond(r, &response);
}

void handle_describe_groups(struct api_request *r)
{
    struct describe_groups_request *q = api_decode(r);
    struct groups *g = q ? groups_new(r, (size_t)q->groups_count, answer) : NULL;
    if (!g) {
        return;
    }
    g->context = q;
    for (int32_t i = 0; i < q->groups_count; i++) {
        groups_add(g, COORD_DESCRIBE, q->groups[i], NULL);
    }
    groups_go(g);
}
