/* SPDX-License-Identifier: Apache-2.0 */

/* ListGroups: every group that is coordinated here, filtered by state (4+) and type (5+). */
#include "api/groups.h"

#include <strings.h>

static bool wanted(const struct wire_string *filter, int32_t count, const char *text)
{
    for (int32_t i = 0; i < count; i++) {
        size_t size = strlen(text);
        if (filter[i].size == (int32_t)size && strncasecmp(filter[i].data, text, size) == 0) {
            return true;
        }
    }
    return count <= 0;
}

static int fill(struct groups *g, struct list_groups_response *out)
{
    const struct list_groups_request *q = g->context;
    size_t count = 0;
    for (uint32_t i = 0; i < g->count; i++) {
        const struct coord_call *call = &g->asks[i].call;
        if (call->error) {
            out->error_code = error_to_wire(call->error);
            return 0;
        }
        count += (size_t)call->listed_count;
    }
    out->groups = api_alloc(g->request, count, sizeof *out->groups);
    if (!out->groups) {
        return ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < g->count; i++) {
        const struct coord_call *call = &g->asks[i].call;
        for (int32_t j = 0; j < call->listed_count; j++) {
            const struct coord_listed *in = &call->listed[j];
            if (wanted(q->states_filter, q->states_filter_count, in->state) &&
                wanted(q->types_filter, q->types_filter_count, "classic")) {
                out->groups[out->groups_count++] = (struct list_groups_response_groups){
                    .group_id = in->group,
                    .protocol_type = in->protocol_type,
                    .group_state = wire_string_of(in->state),
                    .group_type = wire_string_of("classic"),
                };
            }
        }
    }
    return 0;
}

static void answer(struct groups *g)
{
    struct list_groups_response response;
    list_groups_response_init(&response);
    g->request->arena.limit_bytes = API_ARENA_MAX; /* it is the groups that make it large */
    int error = fill(g, &response);
    if (error) {
        api_close(g->request, error_text(error));
        return;
    }
    api_respond(g->request, &response);
}

void handle_list_groups(struct api_request *r)
{
    struct list_groups_request *q = api_decode(r);
    struct groups *g = q ? groups_new(r, io_shard_count(r->api->io), answer) : NULL;
    if (g) {
        g->context = q;
        groups_add_all(g);
        groups_go(g);
    }
}
