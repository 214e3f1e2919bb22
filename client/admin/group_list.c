/* SPDX-License-Identifier: Apache-2.0 */

/* leat_group_list(): every broker lists the groups that it coordinates. */
#include "admin/admin.h"

#include <stdlib.h>

struct list_result {
    struct memory heap;
    leat_groups groups;
    struct admin_list list;
};

struct list_op {
    struct admin_op admin;
    int32_t broker;
    struct list_result *result;
};

static struct list_op *list_op(struct call *c)
{
    return container_of(admin_of(c), struct list_op, admin);
}

static int list_route(struct call *c, int32_t *broker)
{
    return admin_route_broker(c, list_op(c)->broker, broker);
}

static int list_encode(struct call *c, struct wire_writer *w, int version)
{
    struct list_groups_request body;
    list_groups_request_init(&body);
    return list_groups_request_encode(&body, w, version);
}

static int list_add(struct list_result *r, const struct list_groups_response_groups *in,
                    int32_t broker)
{
    leat_group_listing *one = memory_alloc(&r->heap, sizeof *one);
    struct wire_string state = in->group_state.size < 0 ? wire_string_of("") : in->group_state;
    if (!one) {
        return ERR_NO_MEMORY;
    }
    *one = (leat_group_listing){
        .name = memory_string(&r->heap, in->group_id.data, (size_t)in->group_id.size),
        .state = memory_string(&r->heap, state.data, (size_t)state.size),
        .protocol_type =
            memory_string(&r->heap, in->protocol_type.data, (size_t)in->protocol_type.size),
        .coordinator = broker,
    };
    return one->name && one->state && one->protocol_type
               ? admin_append(&r->heap, &r->list, SIZE_MAX, one) /* the heap bounds it */
               : ERR_NO_MEMORY;
}

static int list_decode(struct call *c, struct reader *reader, int version)
{
    struct list_op *op = list_op(c);
    struct list_groups_response body;
    struct arena arena;
    arena_init(&arena, c->core->memory, ADMIN_ARENA_MAX);
    int error = list_groups_response_decode(&body, reader, version, &arena);
    if (!error) {
        error = admin_error(c, body.error_code, wire_string_null(), "");
    }
    for (int32_t i = 0; !error && i < body.groups_count; i++) {
        error = list_add(op->result, &body.groups[i], op->broker);
    }
    arena_deinit(&arena);
    return error;
}

static int listing_compare(const void *left, const void *right)
{
    const leat_group_listing *a = *(leat_group_listing *const *)left;
    const leat_group_listing *b = *(leat_group_listing *const *)right;
    return strcmp(a->name, b->name);
}

/* Asks the brokers that there are now, one after the other. ERR_BROKER_NOT_AVAILABLE: one of them
 * has left meanwhile. */
static int list_ask(leat_client *c, struct list_result **out, leat_error *e)
{
    static const struct call_kind kind = {
        .request = {WIRE_LIST_GROUPS, 0, 5},
        .name = "list the groups",
        .route = list_route,
        .encode = list_encode,
        .decode = list_decode,
    };
    leat_meta *meta;
    int error = leat_metadata(c, "", &meta, e);
    if (error) {
        return error;
    }
    struct list_result *result = heap_open(sizeof *result, ADMIN_HEAP_MAX);
    error = result ? 0 : error_set(e, ERR_NO_MEMORY, "no memory for the groups");
    for (size_t i = 0; !error && i < meta->broker_count; i++) {
        struct list_op op = {.admin = {.client = c, .kind = &kind},
                             .broker = meta->brokers[i]->id,
                             .result = result};
        error = admin_run(&op.admin, e);
    }
    leat_meta_free(meta);
    if (error) {
        heap_close(result);
        return error;
    }
    *out = result;
    return 0;
}

int leat_group_list(leat_client *c, leat_groups **out, leat_error *e)
{
    struct list_result *result;
    if (!out) {
        return error_set(e, ERR_INVALID_ARGUMENT, "leat_group_list() needs a place for the answer");
    }
    uint64_t deadline = shell_deadline(client_check(c)->options.timeout_ms);
    int error;
    do {
        error = list_ask(c, &result, e); /* what a broker that left coordinated is others' now */
    } while (error == ERR_BROKER_NOT_AVAILABLE && shell_now() < deadline);
    if (error) {
        return error;
    }
    struct admin_list *l = &result->list;
    if (l->count) {
        qsort(l->items, l->count, sizeof *l->items, listing_compare);
    }
    result->groups = (leat_groups){(const leat_group_listing *const *)l->items, l->count};
    *out = &result->groups;
    return error_clear(e);
}

void leat_groups_free(leat_groups *groups)
{
    if (groups) {
        heap_close(container_of(groups, struct list_result, groups));
    }
}
