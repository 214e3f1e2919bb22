/* SPDX-License-Identifier: Apache-2.0 */

/* GiveUpReplicas (leat's own): of a broker that has found damage when it started, to the controller. Elsewhere:
 * NOT_CONTROLLER. */
#include "api/request.h"

struct giving_up {
    struct api_request *request;
    struct meta_op op;
};

static void respond(struct api_request *r, int error, const char *why)
{
    const struct give_up_replicas_response response = {error_to_wire(error), wire_string_of(why)};
    api_respond(r, &response);
}

static void given_up(struct meta_op *op)
{
    struct giving_up *g = container_of(op, struct giving_up, op);
    struct api_request *r = g->request;
    respond(r, op->error, op->error ? op->why : NULL);
    net_unhold(&r->net);
}

void handle_give_up_replicas(struct api_request *r)
{
    const struct give_up_replicas_request *in = api_decode(r);
    struct giving_up *g = in ? api_alloc(r, 1, sizeof *g) : NULL;
    char cluster[UUID_TEXT_SIZE];
    if (!in) {
        return;
    }
    if (!g) {
        api_close(r, error_text(ERR_NO_MEMORY));
        return;
    }
    uuid_text(in->cluster_id, cluster);
    if (strcmp(cluster, meta_cluster_id(r->api->options.rooms.meta)) != 0) {
        respond(r, ERR_INCONSISTENT_CLUSTER_ID, "this node is in another cluster");
        return;
    }
    if (in->broker_id == r->api->options.node_id) {
        respond(r, ERR_INVALID_REQUEST, "this node has the node.id that asks");
        return;
    }
    *g = (struct giving_up){
        .request = r,
        .op = {.kind = META_GIVE_UP_REPLICAS,
               .done = given_up,
               .here = true,
               .broker = in->broker_id,
               .directory_id = in->directory_id,
               .asked_ns = in->asked_ms > 0 ? (uint64_t)in->asked_ms * 1000000 : 0},
    };
    net_hold(&r->net);
    meta_submit(r->api->options.rooms.meta, r->api->io, &g->op);
}
