/* SPDX-License-Identifier: Apache-2.0 */

/* What brokers lead, and what an operator wants them to let go: YieldLeadership, leat's own. */
#include "admin/admin.h"

#include <stdio.h>
#include <stdlib.h>

/* What the broker is to do, as it stands on the wire. */
enum action { ACTION_TELL, ACTION_YIELD, ACTION_LEAD, ACTION_YIELD_QUORUM };

enum {
    UNKNOWN_ANSWERS_MAX = 3
}; /* of metadata that do not know the broker, until it is believed */

struct leads_result {
    struct memory heap;
    leat_leads leads;
};

struct leads_op {
    struct admin_op admin;
    enum action action;
    int32_t broker, heir;
    bool looked;      /* it was not among the brokers once, */
    uint64_t answers; /* and so many metadata had been taken then */
    char what[48];    /* for messages, behind the kind's name */
    struct leads_result *result;
};

static struct leads_op *leads_op(struct call *c)
{
    return container_of(admin_of(c), struct leads_op, admin);
}

static int broker_route(struct call *c, int32_t *broker)
{
    struct leads_op *op = leads_op(c);
    if (op->action == ACTION_YIELD_QUORUM) {
        op->broker = c->core->metadata.controller;
    }
    if (op->broker >= 0 && metadata_broker(c->core, op->broker)) {
        *broker = op->broker;
        return 0;
    }
    metadata_refresh(c->core, NULL);
    if (op->action == ACTION_YIELD_QUORUM) {
        return error_set(&c->error, ERR_LEADER_NOT_AVAILABLE,
                         "cannot %s %s: no broker has it at the moment", c->kind->name, op->what);
    }
    uint64_t answers = c->core->metadata.answers;
    op->answers = op->looked ? op->answers : answers;
    op->looked = true;
    error_set(&c->error, ERR_BROKER_NOT_AVAILABLE,
              answers > 0 ? "there is no broker %d that is heard of: leat cluster brokers shows "
                            "those that are"
                          : "cannot reach broker %d: no broker has said yet which there are",
              (int)op->broker);
    c->error.retriable = answers - op->answers < UNKNOWN_ANSWERS_MAX;
    return c->error.code;
}

static int leads_encode(struct call *c, struct wire_writer *w, int version)
{
    const struct leads_op *op = leads_op(c);
    struct yield_leadership_request body;
    yield_leadership_request_init(&body);
    body.action = (int8_t)op->action;
    body.broker_id = op->broker;
    body.heir = op->heir;
    return yield_leadership_request_encode(&body, w, version);
}

static int lead_compare(const void *left, const void *right)
{
    const leat_lead *a = *(leat_lead *const *)left, *b = *(leat_lead *const *)right;
    return (a->broker > b->broker) - (a->broker < b->broker);
}

static int leads_build(struct leads_result *out, const struct yield_leadership_response *in)
{
    size_t count = in->brokers_count > 0 ? (size_t)in->brokers_count : 0;
    leat_lead **list = memory_alloc(&out->heap, (count + 1) * sizeof *list);
    for (size_t i = 0; list && i < count; i++) {
        const struct yield_leadership_response_brokers *from = &in->brokers[i];
        list[i] = memory_alloc(&out->heap, sizeof *list[i]);
        if (!list[i]) {
            return ERR_NO_MEMORY;
        }
        *list[i] = (leat_lead){from->broker_id, from->yields, from->leads, from->alone};
    }
    if (!list) {
        return ERR_NO_MEMORY;
    }
    qsort(list, count, sizeof *list, lead_compare);
    out->leads = (leat_leads){(const leat_lead *const *)list, count};
    return 0;
}

static int leads_decode(struct call *c, struct reader *reader, int version)
{
    struct leads_op *op = leads_op(c);
    struct yield_leadership_response body;
    struct arena arena;
    arena_init(&arena, c->core->memory, ADMIN_ARENA_MAX);
    int error = yield_leadership_response_decode(&body, reader, version, &arena);
    if (!error) {
        error = admin_error(c, body.error_code, body.error_message, op->what);
    }
    if (!error && op->action == ACTION_TELL) {
        op->result = heap_open(sizeof *op->result, ADMIN_HEAP_MAX);
        error = op->result ? leads_build(op->result, &body) : ERR_NO_MEMORY;
        if (error) {
            heap_close(op->result);
            op->result = NULL;
        }
    }
    arena_deinit(&arena);
    return error;
}

int leat_leads_get(leat_client *c, leat_leads **out, leat_error *e)
{
    static const struct call_kind kind = {
        .request = {WIRE_YIELD_LEADERSHIP, 0, 0},
        .name = "ask",
        .encode = leads_encode,
        .decode = leads_decode,
        .repeatable = true,
    };
    struct leads_op op = {.admin = {.client = c, .kind = &kind},
                          .broker = -1,
                          .heir = -1,
                          .what = "what brokers lead"};
    if (!out) {
        return error_set(e, ERR_INVALID_ARGUMENT, "leat_leads_get() needs a place for the answer");
    }
    int error = admin_run(&op.admin, e);
    if (!error) {
        *out = &op.result->leads;
    }
    return error;
}

void leat_leads_free(leat_leads *leads)
{
    if (leads) {
        heap_close(container_of(leads, struct leads_result, leads));
    }
}

int leat_broker_drain(leat_client *c, int32_t broker, bool drain, leat_error *e)
{
    static const struct call_kind kind = {
        .request = {WIRE_YIELD_LEADERSHIP, 0, 0},
        .name = "drain",
        .route = broker_route,
        .encode = leads_encode,
        .decode = leads_decode,
    };
    struct leads_op op = {.admin = {.client = c, .kind = &kind},
                          .action = drain ? ACTION_YIELD : ACTION_LEAD,
                          .broker = broker,
                          .heir = -1};
    if (broker < 0) {
        return error_set(e, ERR_INVALID_ARGUMENT, "a broker's number is not negative");
    }
    snprintf(op.what, sizeof op.what, "broker %d", (int)broker);
    return admin_run(&op.admin, e);
}

int leat_quorum_transfer(leat_client *c, int32_t heir, leat_error *e)
{
    static const struct call_kind kind = {
        .request = {WIRE_YIELD_LEADERSHIP, 0, 0},
        .name = "transfer",
        .route = broker_route,
        .encode = leads_encode,
        .decode = leads_decode,
    };
    struct leads_op op = {.admin = {.client = c, .kind = &kind},
                          .action = ACTION_YIELD_QUORUM,
                          .broker = -1,
                          .heir = heir < 0 ? -1 : heir,
                          .what = "the lead of the metadata quorum"};
    return admin_run(&op.admin, e);
}
