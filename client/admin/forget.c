/* SPDX-License-Identifier: Apache-2.0 */

/* leat_broker_forget(): UnregisterBroker, which any broker takes. */
#include "admin/admin.h"

#include <stdio.h>

struct forget_op {
    struct admin_op admin;
    int32_t broker;
};

static struct forget_op *forget_op(struct call *c)
{
    return container_of(admin_of(c), struct forget_op, admin);
}

static int forget_encode(struct call *c, struct wire_writer *w, int version)
{
    const struct unregister_broker_request body = {.broker_id = forget_op(c)->broker};
    return unregister_broker_request_encode(&body, w, version);
}

static int forget_decode(struct call *c, struct reader *reader, int version)
{
    struct unregister_broker_response body;
    struct arena arena;
    char what[32] = "";
    arena_init(&arena, c->core->memory, ADMIN_ARENA_MAX);
    int error = unregister_broker_response_decode(&body, reader, version, &arena);
    if (!error) {
        snprintf(what, sizeof what, "broker %d", (int)forget_op(c)->broker);
        error = admin_error(c, body.error_code, body.error_message, what);
    }
    if (error ==
        ERR_BROKER_ID_NOT_REGISTERED) { /* or an earlier attempt, whose answer was lost, has done it */
        error = c->attempts > 1 ? error_clear(&c->error)
                                : error_set(&c->error, ERR_NOT_FOUND, "there is no %s", what);
    }
    arena_deinit(&arena);
    return error;
}

int leat_broker_forget(leat_client *c, int32_t broker, leat_error *e)
{
    static const struct call_kind kind = {
        .request = {WIRE_UNREGISTER_BROKER, 0, 0},
        .name = "forget",
        .encode = forget_encode,
        .decode = forget_decode,
        .repeatable = true,
    };
    struct forget_op op = {.admin = {.client = c, .kind = &kind}, .broker = broker};
    if (broker < 0) {
        return error_set(e, ERR_INVALID_ARGUMENT, "a broker's number is not negative");
    }
    return admin_run(&op.admin, e);
}
