/* SPDX-License-Identifier: Apache-2.0 */

/* DescribeCluster: brokers and controller, after the quorum has been asked; where nobody answers for it, as this node
 * knows them, for it is then that an operator needs their addresses. Controllers as endpoints (type 2) are asked for
 * at their own listener, which there is none of yet. */
#include "api/describe.h"
#include "api/fresh.h"

enum { ENDPOINT_BROKERS = 1, ENDPOINT_CONTROLLERS = 2 };

static void answer(struct fresh *f)
{
    struct api_request *r = f->request;
    const struct describe_cluster_request *q = f->in;
    const struct image *image = r->api->image;
    struct describe_cluster_response response;
    describe_cluster_response_init(&response);
    response.cluster_id = wire_string_of(image_cluster_id(image));
    response.controller_id = image_controller(image);
    response.endpoint_type = q->endpoint_type;
    response.error_message = wire_string_null();
    if (q->endpoint_type != ENDPOINT_BROKERS) {
        bool known = q->endpoint_type == ENDPOINT_CONTROLLERS;
        response.error_code = known ? 114 : 115; /* MISMATCHED_, UNSUPPORTED_ENDPOINT_TYPE */
        response.error_message = wire_string_of("this listener is for brokers");
        api_respond(r, &response);
        return;
    }
    if (q->include_cluster_authorized_operations) {
        response.cluster_authorized_operations = DESCRIBE_CLUSTER_OPERATIONS;
    }
    response.brokers = api_alloc(r, image_broker_count(image), sizeof *response.brokers);
    if (!response.brokers) {
        api_close(r, error_text(ERR_NO_MEMORY));
        return;
    }
    for (uint32_t i = 0; i < image_broker_count(image); i++) {
        const struct image_broker *b = image_broker_at(image, i);
        const struct image_endpoint *e = describe_endpoint(r, b);
        if (e && (!b->fenced || q->include_fenced_brokers)) {
            response.brokers[response.brokers_count++] = (struct describe_cluster_response_brokers){
                b->id, wire_string_of(e->host), e->port, wire_string_of(b->rack), b->fenced};
        }
    }
    api_respond(r, &response);
}

void handle_describe_cluster(struct api_request *r)
{
    fresh_handle(r, answer);
}
