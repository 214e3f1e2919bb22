/* SPDX-License-Identifier: Apache-2.0 */

/* AllocateProducerIds (KIP-730): a block of producer ids for a broker, from the controller. */
#include "api/request.h"

struct allocation {
    struct api_request *request;
    struct meta_op op;
};

static void respond(struct api_request *r, const struct meta_op *op)
{
    struct allocate_producer_ids_response response;
    allocate_producer_ids_response_init(&response);
    response.error_code = error_to_wire(op->error);
    if (!op->error) {
        response.producer_id_start = op->producer_id_first;
        response.producer_id_len = op->producer_id_count;
    }
    api_respond(r, &response);
}

static void allocated(struct meta_op *op)
{
    struct api_request *r = container_of(op, struct allocation, op)->request;
    respond(r, op);
    net_unhold(&r->net);
}

void handle_allocate_producer_ids(struct api_request *r)
{
    const struct allocate_producer_ids_request *in = api_decode(r);
    struct allocation *a = in ? api_alloc(r, 1, sizeof *a) : NULL;
    if (in && !a) {
        api_close(r, error_text(ERR_NO_MEMORY));
    }
    if (!a) {
        return;
    }
    a->request = r;
    a->op = (struct meta_op){.done = allocated, .kind = META_PRODUCER_IDS, .here = true};
    net_hold(&r->net);
    meta_submit(r->api->options.rooms.meta, r->api->io, &a->op);
}
