/* SPDX-License-Identifier: Apache-2.0 */

/* Introduce (leat's own): who this node is, which cluster it belongs to and who votes there. Asked by
 * nodes that have no cluster yet, and answered from the first moment on. */
#include "api/request.h"
#include "meta/introduce.h"

struct asked {
    struct api_request *request;
    struct introduce_op op;
    struct introduction answer;
};

static void answered(struct introduce_op *op)
{
    struct asked *a = container_of(op, struct asked, op);
    struct api_request *r = a->request;
    struct introduce_response response;
    const struct introduction *said = op->error == ERR_BROKER_NOT_AVAILABLE ? NULL : op->answer;
    int error = introduction_write(&response, said, op->error, op->why, &r->arena);
    if (error) {
        api_close(r, error_text(error));
    } else {
        api_respond(r, &response);
    }
    net_unhold(&r->net);
}

void handle_introduce(struct api_request *r)
{
    struct introduce_request *in = api_decode(r);
    struct asked *a = in ? api_alloc(r, 1, sizeof *a) : NULL;
    if (in && !a) {
        api_close(r, error_text(ERR_NO_MEMORY));
    }
    if (!a) {
        return;
    }
    a->request = r;
    a->op = (struct introduce_op){
        .done = answered,
        .cluster_id = in->cluster_id,
        .directory_id = in->directory_id,
        .node_id = in->node_id,
        .answer = &a->answer,
    };
    net_hold(&r->net);
    introducer_ask(r->api->options.introducer, r->api->io, &a->op);
}
