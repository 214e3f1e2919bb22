/* SPDX-License-Identifier: Apache-2.0 */

#include "admin/group.h"

enum { FIND_VERSION_BATCHED = 4 };

/* --- the coordinator -------------------------------------------------------------------------------- */

static int find_encode(struct call *c, struct wire_writer *w, int version)
{
    struct wire_string group = wire_string_of(group_of(c)->group);
    struct find_coordinator_request body;
    find_coordinator_request_init(&body);
    if (version >= FIND_VERSION_BATCHED) {
        body.coordinator_keys = &group;
        body.coordinator_keys_count = 1;
    } else {
        body.key = group;
    }
    return find_coordinator_request_encode(&body, w, version);
}

static int find_decode(struct call *c, struct reader *reader, int version)
{
    struct group_op *op = group_of(c);
    struct find_coordinator_response body;
    struct arena arena;
    arena_init(&arena, c->core->memory, ADMIN_ARENA_MAX);
    int error = find_coordinator_response_decode(&body, reader, version, &arena);
    bool batched = version >= FIND_VERSION_BATCHED;
    if (!error && batched && body.coordinators_count != 1) {
        error = ERR_MALFORMED;
    }
    if (!error) {
        error = batched ? admin_error(c, body.coordinators[0].error_code,
                                      body.coordinators[0].error_message, op->group)
                        : admin_error(c, body.error_code, body.error_message, op->group);
        op->coordinator = batched ? body.coordinators[0].node_id : body.node_id;
    }
    arena_deinit(&arena);
    return error;
}

static const struct call_kind find_kind = {
    .request = {WIRE_FIND_COORDINATOR, 1, 6},
    .name = "find the coordinator of group",
    .encode = find_encode,
    .decode = find_decode,
    .repeatable = true,
};

int group_route(struct call *c, int32_t *broker)
{
    const struct group_op *op = group_of(c);
    int error = admin_route_broker(c, op->coordinator, broker);
    if (error) {
        bool again = c->error.retriable;
        error =
            error_set(&c->error, again ? ERR_COORDINATOR_NOT_AVAILABLE : ERR_NOT_COORDINATOR,
                      "broker %d coordinates group %.80s and is not among the cluster's brokers",
                      (int)op->coordinator, op->group);
        c->error.retriable = again; /* else it is looked up anew */
    }
    return error;
}

int group_error(struct call *c, int16_t wire_code, struct wire_string message)
{
    int error = admin_error(c, wire_code, message, group_of(c)->group);
    if (error == ERR_NOT_COORDINATOR) {
        c->error.retriable = false; /* by this broker */
    }
    return error;
}

static void group_pause(leat_client *c)
{
    gate_enter(&c->gate.gate);
    (void)shell_gate_wait(&c->gate, shell_deadline(c->options.retry_backoff_ms));
    gate_leave(&c->gate.gate);
}

int group_run(struct group_op *op, const struct call_kind *kind, leat_error *e)
{
    leat_client *c = client_check(op->admin.client);
    uint64_t deadline = shell_deadline(c->options.timeout_ms);
    leat_error own;
    for (;;) {
        op->admin = (struct admin_op){.client = c, .kind = &find_kind};
        int error = admin_run(&op->admin, &own);
        if (!error) {
            op->admin = (struct admin_op){.client = c, .kind = kind};
            error = admin_run(&op->admin, &own);
        }
        if (error != ERR_NOT_COORDINATOR || shell_now() >= deadline) {
            own.retriable = own.retriable || error == ERR_NOT_COORDINATOR;
            return error ? error_copy(e, &own) : error_clear(e);
        }
        group_pause(c);
    }
}

int group_check_name(const char *group, leat_error *e)
{
    return group && *group && strlen(group) <= WIRE_STRING_MAX
               ? 0
               : error_set(e, ERR_INVALID_ARGUMENT,
                           "a group's name has 1 to 32767 bytes: name the group");
}

/* --- deleting --------------------------------------------------------------------------------------- */

static int delete_encode(struct call *c, struct wire_writer *w, int version)
{
    struct wire_string group = wire_string_of(group_of(c)->group);
    struct delete_groups_request body;
    delete_groups_request_init(&body);
    body.groups_names = &group;
    body.groups_names_count = 1;
    return delete_groups_request_encode(&body, w, version);
}

static int delete_decode(struct call *c, struct reader *reader, int version)
{
    struct delete_groups_response body;
    struct arena arena;
    arena_init(&arena, c->core->memory, ADMIN_ARENA_MAX);
    int error = delete_groups_response_decode(&body, reader, version, &arena);
    if (!error && body.results_count != 1) {
        error = ERR_MALFORMED;
    }
    if (!error) {
        error = group_error(c, body.results[0].error_code, body.results[0].error_message);
    }
    if (error == ERR_NON_EMPTY_GROUP) {
        error_set(&c->error, error,
                  "group %.80s has members: stop them, then delete it (leat group describe names "
                  "them)",
                  group_of(c)->group);
    }
    arena_deinit(&arena);
    return error;
}

int leat_group_delete(leat_client *c, const char *group, leat_error *e)
{
    static const struct call_kind kind = {
        .request = {WIRE_DELETE_GROUPS, 0, 3},
        .name = "delete group",
        .route = group_route,
        .encode = delete_encode,
        .decode = delete_decode,
    };
    struct group_op op = {.admin = {.client = c}, .group = group};
    int error = group_check_name(group, e);
    return error ? error : group_run(&op, &kind, e);
}
