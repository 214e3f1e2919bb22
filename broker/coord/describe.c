/* SPDX-License-Identifier: Apache-2.0 */

/* What a group looks like from outside. */
#include "coord/describe.h"

#include "coord/protocols.h"

void group_describe(struct group *g, struct coord_call *c)
{
    struct describe_groups_response_groups *out = &c->response.describe;
    bool stable = g->state == GROUP_STABLE;
    describe_groups_response_groups_init(out);
    out->group_id = c->group;
    out->group_state = wire_string_of(group_state_name(g->state));
    out->protocol_type = call_string(c, g->protocol_type ? g->protocol_type : "");
    out->protocol_data = call_string(c, stable ? g->protocol : "");
    out->members = arena_array(&c->arena, (size_t)g->member_count, sizeof *out->members);
    c->error = out->members ? c->error : ERR_NO_MEMORY;
    for (struct list *node = g->members.next; out->members && node != &g->members;
         node = node->next) {
        const struct member *m = container_of(node, struct member, link);
        const struct member_protocol *p =
            stable ? member_protocol(m, wire_string_of(g->protocol)) : NULL;
        out->members[out->members_count++] = (struct describe_groups_response_members){
            .member_id = call_string(c, m->id),
            .group_instance_id = call_string(c, m->instance),
            .client_id = call_string(c, m->client_id),
            .client_host = call_string(c, m->client_host),
            .member_metadata = call_bytes(c, p ? p->metadata.data : NULL, p ? p->metadata.size : 0),
            .member_assignment =
                call_bytes(c, stable ? m->assignment : NULL, stable ? m->assignment_size : 0),
        };
    }
    call_answer(c, 0);
}
