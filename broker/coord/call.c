/* SPDX-License-Identifier: Apache-2.0 */

/* The end of a call: what is answered when nothing else was made, and copies of what a group knows,
 * for the answer is read when the group may have gone on. */
#include "coord/call.h"

bool call_failed(const struct coord_call *c)
{
    return c->error == ERR_NO_MEMORY;
}

static void *call_copy(struct coord_call *c, const void *data, size_t size)
{
    void *out = arena_alloc(&c->arena, size);
    if (!out) {
        c->error = ERR_NO_MEMORY;
    } else if (size) {
        memcpy(out, data, size);
    }
    return out;
}

struct wire_string call_string(struct coord_call *c, const char *text)
{
    if (!text) {
        return wire_string_null();
    }
    size_t size = strlen(text);
    char *copy = call_copy(c, text, size);
    return (struct wire_string){copy, copy ? (int32_t)size : 0};
}

struct wire_bytes call_bytes(struct coord_call *c, const void *data, int32_t size)
{
    assert(size >= 0);
    uint8_t *copy = call_copy(c, data, (size_t)size);
    return (struct wire_bytes){copy, copy ? size : 0};
}

/* Strings that may not be null before the version that allows it are empty. */
static void join_error(struct coord_call *c, int error)
{
    const struct join_group_request *q = c->request;
    struct join_group_response *out = &c->response.join;
    struct wire_string id = out->member_id.size > 0 ? out->member_id : q->member_id;
    join_group_response_init(out);
    out->error_code = error_to_wire(error);
    out->protocol_name = c->version >= 7 ? wire_string_null() : wire_string_of("");
    out->leader = wire_string_of("");
    out->member_id = id;
}

void coord_refuse(struct coord_call *c, int error)
{
    c->error = error;
    if (c->kind == COORD_JOIN && error) {
        join_error(c, error);
    } else if (c->kind == COORD_SYNC && error) {
        sync_group_response_init(&c->response.sync);
        c->response.sync.error_code = error_to_wire(error);
    } else if (c->kind == COORD_DESCRIBE && error) {
        describe_groups_response_groups_init(&c->response.describe);
        c->response.describe.error_code = error_to_wire(error);
        c->response.describe.group_id = c->group;
    }
}

void call_answer(struct coord_call *c, int error)
{
    coord_refuse(c, call_failed(c) ? ERR_COORDINATOR_NOT_AVAILABLE : error);
    c->done(c);
}
