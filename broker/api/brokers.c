/* SPDX-License-Identifier: Apache-2.0 */

/* BrokerRegistration and BrokerHeartbeat (KIP-631): from other brokers to the controller. Elsewhere:
 * NOT_CONTROLLER. */
#include "api/admin.h"

struct broker_request {
    struct api_request *request;
    struct meta_op op;
    struct meta_registration registration;
    struct meta_heartbeat heartbeat;
};

static struct broker_request *broker_request_new(struct api_request *r, enum meta_kind kind,
                                                 void (*done)(struct meta_op *op))
{
    struct broker_request *b = api_alloc(r, 1, sizeof *b);
    if (!b) {
        api_close(r, error_text(ERR_NO_MEMORY));
        return NULL;
    }
    b->request = r;
    b->op.kind = kind;
    b->op.done = done;
    b->op.registration = &b->registration;
    b->op.heartbeat = &b->heartbeat;
    return b;
}

static void submit(struct broker_request *b)
{
    net_hold(&b->request->net);
    meta_submit(b->request->api->options.rooms.meta, b->request->api->io, &b->op);
}

/* --- BrokerRegistration ----------------------------------------------------------------------- */

static void registration_respond(struct api_request *r, int error, int64_t broker_epoch,
                                 bool displaced)
{
    struct broker_registration_response response;
    broker_registration_response_init(&response);
    response.error_code = error_to_wire(error);
    response.broker_epoch = error ? -1 : broker_epoch;
    response.lives_elsewhere = displaced;
    api_respond(r, &response);
}

static void registered(struct meta_op *op)
{
    struct broker_request *b = container_of(op, struct broker_request, op);
    struct api_request *r = b->request;
    registration_respond(r, op->error, op->broker_epoch, op->error && op->displaced);
    net_unhold(&r->net);
}

/* NULL also for an empty one. */
static char *text(struct api_request *r, struct wire_string s)
{
    return s.size > 0 ? admin_string(r, s) : NULL;
}

/* Of a reason that is not known it is damaged. */
static bool take_lost(struct broker_request *b, const struct broker_registration_request *in)
{
    enum { REASON_SHORT = 2 };
    size_t count = 0;
    for (int32_t i = 0; i < in->lost_partitions_count; i++) {
        count += (size_t)in->lost_partitions[i].partition_indexes_count;
    }
    struct meta_lost *lost = api_alloc(b->request, count, sizeof *lost);
    if (!lost) {
        return false;
    }
    b->registration.lost = lost;
    for (int32_t i = 0; i < in->lost_partitions_count; i++) {
        const struct broker_registration_request_lost_partitions *t = &in->lost_partitions[i];
        for (int32_t k = 0; k < t->partition_indexes_count; k++) {
            lost[b->registration.lost_count++] =
                (struct meta_lost){t->topic_id, t->partition_indexes[k], t->reason != REASON_SHORT};
        }
    }
    return true;
}

static bool take_registration(struct broker_request *b,
                              const struct broker_registration_request *in)
{
    struct api_request *r = b->request;
    size_t count = in->listeners_count > 0 ? (size_t)in->listeners_count : 0;
    struct image_endpoint *endpoints = api_alloc(r, count, sizeof *endpoints);
    if (!endpoints || count > IMAGE_ENDPOINTS_MAX) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        endpoints[i].name = text(r, in->listeners[i].name);
        endpoints[i].host = text(r, in->listeners[i].host);
        endpoints[i].port = in->listeners[i].port;
        if (!endpoints[i].name || !endpoints[i].host || endpoints[i].port == 0) {
            return false;
        }
    }
    b->registration = (struct meta_registration){
        .cluster_id = meta_cluster_id(r->api->options.rooms.meta),
        .incarnation = in->incarnation_id,
        .rack = in->rack.size > 0 ? text(r, in->rack) : NULL,
        .endpoints = endpoints,
        .endpoint_count = (uint32_t)count,
    };
    for (int32_t i = 0; i < in->features_count; i++) {
        const struct broker_registration_request_features *f = &in->features[i];
        if (wire_string_equal(f->name, wire_string_of("metadata.version"))) {
            b->registration.metadata_version_min = f->min_supported_version;
            b->registration.metadata_version_max = f->max_supported_version;
        }
    }
    if (in->log_dirs_count == 1) {
        b->registration.directory = in->log_dirs[0];
    }
    return take_lost(b, in) && (in->rack.size <= 0 || b->registration.rack);
}

void handle_broker_registration(struct api_request *r)
{
    const struct broker_registration_request *in = api_decode(r);
    struct broker_request *b = in ? broker_request_new(r, META_REGISTER_BROKER, registered) : NULL;
    if (!b) {
        return;
    }
    b->op.broker = in->broker_id;
    if (!wire_string_equal(in->cluster_id,
                           wire_string_of(meta_cluster_id(r->api->options.rooms.meta)))) {
        registration_respond(r, ERR_INCONSISTENT_CLUSTER_ID, -1, false);
    } else if (in->broker_id == r->api->options.node_id) {
        registration_respond(r, ERR_DUPLICATE_BROKER_REGISTRATION, -1, true);
    } else if (!take_registration(b, in)) {
        registration_respond(r, ERR_INVALID_REGISTRATION, -1, false);
    } else {
        submit(b);
    }
}

/* --- BrokerHeartbeat -------------------------------------------------------------------------- */

static void heard(struct meta_op *op)
{
    struct broker_request *b = container_of(op, struct broker_request, op);
    struct api_request *r = b->request;
    struct broker_heartbeat_response response;
    broker_heartbeat_response_init(&response);
    response.error_code = error_to_wire(op->error);
    if (!op->error) {
        response.is_caught_up = b->heartbeat.is_caught_up;
        response.is_fenced = b->heartbeat.is_fenced;
        response.should_shut_down = b->heartbeat.should_shut_down;
        response.lease_ms = b->heartbeat.lease_ms;
    }
    api_respond(r, &response);
    net_unhold(&r->net);
}

void handle_broker_heartbeat(struct api_request *r)
{
    const struct broker_heartbeat_request *in = api_decode(r);
    struct broker_request *b = in ? broker_request_new(r, META_HEARTBEAT, heard) : NULL;
    if (!b) {
        return;
    }
    b->op.broker = in->broker_id;
    b->op.broker_epoch = in->broker_epoch;
    b->heartbeat.offset = in->current_metadata_offset;
    b->heartbeat.wants_fence = in->want_fence;
    b->heartbeat.wants_shut_down = in->want_shut_down;
    submit(b);
}
