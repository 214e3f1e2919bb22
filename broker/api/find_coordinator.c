/* SPDX-License-Identifier: Apache-2.0 */

/* FindCoordinator: who leads the partition of __consumer_offsets that a group hashes to. The first
 * question makes that topic, and is answered when it is there; after a second it says
 * COORDINATOR_NOT_AVAILABLE, and the client asks again. Transactions and share groups have no
 * coordinators in this version. */
#include "api/describe.h"
#include "api/request.h"
#include "coord/coord.h"

#include <inttypes.h>
#include <stdio.h>

enum { KEY_TYPE_GROUP = 0, BATCHED_FROM = 4 };

static const uint64_t creation_wait_ns = UINT64_C(1000000000);

struct finding {
    struct api_request *request;
    struct find_coordinator_request *q;
    struct meta_op op;
    struct meta_config_change changes[3];
    char segment_bytes[24];
    struct deadline deadline;
    struct barrier barrier;
    bool answered;
};

struct found {
    int error;
    int32_t node_id, port;
    struct wire_string host;
};

static struct found find(const struct finding *f, struct wire_string key)
{
    struct api_request *r = f->request;
    const struct image *image = r->api->image;
    const struct image_topic *topic = image_topic_by_name(image, bytes_of_string(COORD_TOPIC));
    const struct found none = {.error = ERR_COORDINATOR_NOT_AVAILABLE,
                               .node_id = -1,
                               .port = -1,
                               .host = wire_string_of("")};
    if (f->q->key_type != KEY_TYPE_GROUP || !topic) {
        return none;
    }
    int32_t leader = topic->partitions[coord_partition_of(key, topic->partition_count)].leader;
    for (uint32_t i = 0; i < image_broker_count(image); i++) {
        const struct image_broker *b = image_broker_at(image, i);
        const struct image_endpoint *e = b->id == leader ? describe_endpoint(r, b) : NULL;
        if (e && !b->fenced) {
            return (struct found){0, b->id, e->port, wire_string_of(e->host)};
        }
    }
    return none;
}

static int fill(const struct finding *f, struct find_coordinator_response *out)
{
    struct api_request *r = f->request;
    find_coordinator_response_init(out);
    if (api_version(r) < BATCHED_FROM) {
        struct found found = find(f, f->q->key);
        out->error_code = error_to_wire(found.error);
        out->error_message =
            found.error ? wire_string_of(error_text(found.error)) : wire_string_null();
        out->node_id = found.node_id;
        out->host = found.host;
        out->port = found.port;
        return 0;
    }
    size_t count = (size_t)f->q->coordinator_keys_count;
    out->coordinators = api_alloc(r, count, sizeof *out->coordinators);
    if (!out->coordinators) {
        return ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        struct found found = find(f, f->q->coordinator_keys[i]);
        out->coordinators[out->coordinators_count++] =
            (struct find_coordinator_response_coordinators){
                .key = f->q->coordinator_keys[i],
                .node_id = found.node_id,
                .host = found.host,
                .port = found.port,
                .error_code = error_to_wire(found.error),
                .error_message =
                    found.error ? wire_string_of(error_text(found.error)) : wire_string_null(),
            };
    }
    return 0;
}

static void answer(struct finding *f)
{
    struct api_request *r = f->request;
    struct find_coordinator_response response;
    f->answered = true;
    deadline_cancel(&r->api->deadlines, &f->deadline);
    int error = fill(f, &response);
    if (error) {
        api_close(r, error_text(error));
        return;
    }
    api_respond(r, &response);
}

/* --- the topic -------------------------------------------------------------------------------- */

static void creation_seen(struct barrier *b)
{
    struct finding *f = container_of(b, struct finding, barrier);
    struct api_request *r = f->request;
    if (!f->answered) {
        answer(f);
    }
    net_unhold(&r->net);
}

static void creation_done(struct meta_op *op)
{
    struct finding *f = container_of(op, struct finding, op);
    struct api *api = f->request->api;
    if (op->error && op->error != ERR_TOPIC_ALREADY_EXISTS && api_may_log(api)) {
        log_warn(io_logger(api->io), "api", "%s not created: error=\"%s\"", COORD_TOPIC,
                 op->why[0] ? op->why : error_text(op->error));
    }
    f->barrier.passed = creation_seen;
    barrier_pass(&f->barrier, api);
}

static void creation_late(struct deadline *d)
{
    answer(container_of(d, struct finding, deadline));
}

/* What the broker's defaults say of topics does not hold for this one. */
static void create(struct finding *f)
{
    struct api *api = f->request->api;
    const struct config *config = api->options.config;
    snprintf(f->segment_bytes, sizeof f->segment_bytes, "%" PRIi64,
             config_integer(config, CONFIG_OFFSETS_TOPIC_SEGMENT_BYTES));
    f->changes[0] = (struct meta_config_change){.key = "cleanup.policy", .value = "compact"};
    f->changes[1] = (struct meta_config_change){.key = "segment.bytes", .value = f->segment_bytes};
    f->changes[2] = (struct meta_config_change){.key = "durability", .value = "fsync"};
    f->op = (struct meta_op){
        .done = creation_done,
        .kind = META_CREATE_TOPIC,
        .topic = COORD_TOPIC,
        .internal = true,
        .partitions = (int32_t)config_integer(config, CONFIG_OFFSETS_TOPIC_NUM_PARTITIONS),
        .replication_factor = -1,
        .changes = f->changes,
        .change_count = array_size(f->changes),
    };
    f->deadline.due = creation_late;
    net_hold(&f->request->net);
    deadline_set(&api->deadlines, &f->deadline, io_now(api->io) + creation_wait_ns);
    meta_submit(api->options.rooms.meta, api->io, &f->op);
}

void handle_find_coordinator(struct api_request *r)
{
    struct finding *f = api_alloc(r, 1, sizeof *f);
    if (!f) {
        api_close(r, error_text(ERR_NO_MEMORY));
        return;
    }
    f->q = api_decode(r);
    if (!f->q) {
        return;
    }
    f->request = r;
    bool there = image_topic_by_name(r->api->image, bytes_of_string(COORD_TOPIC)) != NULL;
    if (there || f->q->key_type != KEY_TYPE_GROUP) {
        answer(f);
    } else {
        create(f);
    }
}
