/* SPDX-License-Identifier: Apache-2.0 */

/* YieldLeadership (leat's own): what an operator asks this broker to let go, and what brokers lead. */
#include "api/request.h"
#include "meta/yield.h"

struct yielding {
    struct api_request *request;
    struct yield_op op;
};

typedef struct yield_leadership_response_brokers row;

static row *row_of(struct yield_leadership_response *out, int32_t broker)
{
    for (int32_t i = 0; i < out->brokers_count; i++) {
        if (out->brokers[i].broker_id == broker) {
            return &out->brokers[i];
        }
    }
    return NULL;
}

struct counting {
    const struct image *image;
    struct yield_leadership_response *out;
    row *last; /* partitions of a topic are often led by few */
};

static bool may_lead(const struct image *image, int32_t broker)
{
    const struct image_broker *b = image_broker_by_id(image, broker);
    return b && !b->fenced && !b->shutting_down;
}

/* Nobody else that is in sync may lead. */
static bool leads_alone(const struct image *image, const struct image_partition *p)
{
    for (int32_t i = 0; i < p->isr_count; i++) {
        if (p->isr[i] != p->leader && may_lead(image, p->isr[i])) {
            return false;
        }
    }
    return true;
}

static bool count(void *context, const struct image_topic *topic)
{
    struct counting *c = context;
    for (int32_t i = 0; i < topic->partition_count; i++) {
        const struct image_partition *p = &topic->partitions[i];
        if (!c->last || c->last->broker_id != p->leader) {
            c->last = row_of(c->out, p->leader);
        }
        if (c->last) {
            c->last->leads++;
            c->last->alone += leads_alone(c->image, p);
        }
    }
    return true;
}

static void respond(struct api_request *r, int error, const char *why)
{
    const struct image *image = r->api->image;
    struct yield_leadership_response response;
    yield_leadership_response_init(&response);
    response.error_code = error_to_wire(error);
    response.error_message = wire_string_of(why);
    response.brokers = api_alloc(r, image_broker_count(image), sizeof *response.brokers);
    if (!response.brokers) {
        api_close(r, error_text(ERR_NO_MEMORY));
        return;
    }
    for (uint32_t i = 0; i < image_broker_count(image); i++) {
        const struct image_broker *b = image_broker_at(image, i);
        response.brokers[response.brokers_count++] =
            (row){.broker_id = b->id, .yields = b->shutting_down};
    }
    struct counting c = {.image = image, .out = &response};
    image_each_topic(image, -1, count, &c);
    api_respond(r, &response);
}

static void yielded(struct yield_op *op)
{
    struct yielding *y = container_of(op, struct yielding, op);
    struct api_request *r = y->request;
    respond(r, op->error, op->why);
    net_unhold(&r->net);
}

void handle_yield_leadership(struct api_request *r)
{
    const struct yield_leadership_request *in = api_decode(r);
    if (!in) {
        return;
    }
    if (in->action == YIELD_TELL) {
        respond(r, 0, NULL);
        return;
    }
    if (in->action < YIELD_TELL || in->action > YIELD_QUORUM ||
        in->broker_id != r->api->options.node_id) {
        respond(r, ERR_INVALID_REQUEST, "this is another broker, or there is no such action");
        return;
    }
    struct yielding *y = api_alloc(r, 1, sizeof *y);
    if (!y) {
        api_close(r, error_text(ERR_NO_MEMORY));
        return;
    }
    y->request = r;
    y->op = (struct yield_op){
        .done = yielded, .action = (enum yield_action)in->action, .heir = in->heir};
    net_hold(&r->net);
    meta_yield(r->api->options.rooms.meta, r->api->io, &y->op);
}
