/* SPDX-License-Identifier: Apache-2.0 */

/* FindCoordinator: there are no coordinators yet, which is a retriable answer. It is listed all the
 * same, because librdkafka takes its presence for that of lz4 (PROTOCOL 9, trap 5). */
#include "api/request.h"

void handle_find_coordinator(struct api_request *r)
{
    struct find_coordinator_request *q = api_decode(r);
    if (!q) {
        return;
    }
    const int error = ERR_COORDINATOR_NOT_AVAILABLE;
    struct find_coordinator_response response;
    find_coordinator_response_init(&response);
    if (api_version(r) < 4) {
        response.error_code = error_to_wire(error);
        response.error_message = wire_string_of(error_text(error));
        response.node_id = -1;
        response.port = -1;
        api_respond(r, &response);
        return;
    }
    size_t count = (size_t)q->coordinator_keys_count;
    response.coordinators = api_alloc(r, count, sizeof *response.coordinators);
    if (!response.coordinators) {
        api_close(r, error_text(ERR_NO_MEMORY));
        return;
    }
    response.coordinators_count = q->coordinator_keys_count;
    for (size_t i = 0; i < count; i++) {
        struct find_coordinator_response_coordinators *c = &response.coordinators[i];
        find_coordinator_response_coordinators_init(c);
        c->key = q->coordinator_keys[i];
        c->node_id = -1;
        c->port = -1;
        c->error_code = error_to_wire(error);
        c->error_message = wire_string_of(error_text(error));
    }
    api_respond(r, &response);
}
