/* SPDX-License-Identifier: Apache-2.0 */

/* DeleteGroups: groups without members, and what they have committed. */
#include "api/groups.h"

static void answer(struct groups *g)
{
    struct api_request *r = g->request;
    struct delete_groups_response response;
    delete_groups_response_init(&response);
    response.results = api_alloc(r, g->count, sizeof *response.results);
    if (!response.results) {
        api_close(r, error_text(ERR_NO_MEMORY));
        return;
    }
    for (uint32_t i = 0; i < g->count; i++) {
        const struct coord_call *call = &g->asks[i].call;
        response.results[response.results_count++] = (struct delete_groups_response_results){
            .group_id = call->group,
            .error_code = error_to_wire(call->error),
            .error_message =
                call->error ? wire_string_of(error_text(call->error)) : wire_string_null(),
        };
    }
    api_respond(r, &response);
}

void handle_delete_groups(struct api_request *r)
{
    struct delete_groups_request *q = api_decode(r);
    struct groups *g = q ? groups_new(r, (size_t)q->groups_names_count, answer) : NULL;
    if (!g) {
        return;
    }
    for (int32_t i = 0; i < q->groups_names_count; i++) {
        groups_add(g, COORD_DELETE, q->groups_names[i], NULL);
    }
    groups_go(g);
}
