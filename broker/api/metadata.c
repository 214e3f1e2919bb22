/* SPDX-License-Identifier: Apache-2.0 */

/* Metadata: brokers, topics, partitions and their leaders, all from the image.
 *
 * A topic that does not exist is created on demand when both the client and the configuration allow
 * it. The answer waits for the commit of the creation, so that a first produce needs no second
 * attempt (PROTOCOL 9, trap 12); after a second it says LEADER_NOT_AVAILABLE, and the client asks
 * again. What is not created is asked of the quorum first (fresh.h), beside what is: a topic whose creation has been
 * answered by another node is not called unknown here, neither its name nor its id. When the quorum does not answer
 * within a second, it is LEADER_NOT_AVAILABLE as well. A list of all topics waits for the quorum too, for one that it
 * lacks is as good as called unknown; it has no place for an error and is then what this node knows. Known topics are
 * told at once. */
#include "api/describe.h"
#include "api/fresh.h"

#include <stdio.h>

static const uint64_t creation_wait_ns = UINT64_C(1000000000);

struct creation {
    struct meta_op op;
    struct metadata *metadata;
};

struct metadata {
    struct api_request *request;
    struct metadata_request *q;
    struct creation *creations;
    int32_t creations_count;
    struct fresh fresh; /* before a topic is called unknown */
    bool unread;        /* it has not succeeded */
    uint32_t pending; /* creations and a read that are not done, and one while they are submitted */
    bool answered;
    struct deadline deadline;
    struct barrier barrier;
};

/* --- the answer ------------------------------------------------------------------------------- */

void describe_partition(const struct image *image, const struct image_partition *in,
                        struct metadata_response_partitions *out, int32_t *offline)
{
    metadata_response_partitions_init(out);
    out->error_code = in->leader < 0 ? error_to_wire(ERR_LEADER_NOT_AVAILABLE) : 0;
    out->leader_id = in->leader;
    out->leader_epoch = in->leader_epoch;
    out->replica_nodes = (int32_t *)(uintptr_t)in->replicas;
    out->replica_nodes_count = in->replica_count;
    out->isr_nodes = (int32_t *)(uintptr_t)in->isr;
    out->isr_nodes_count = in->isr_count;
    out->offline_replicas = offline;
    for (int32_t i = 0; i < in->replica_count; i++) {
        bool alive = false;
        for (uint32_t j = 0; j < image_broker_count(image) && !alive; j++) {
            const struct image_broker *b = image_broker_at(image, j);
            alive = b->id == in->replicas[i] && !b->fenced;
        }
        if (!alive) {
            offline[out->offline_replicas_count++] = in->replicas[i];
        }
    }
}

static int fill_topic(struct api_request *r, const struct image_topic *in, bool operations,
                      struct metadata_response_topics *out)
{
    out->name = wire_string_of(in->name);
    out->topic_id = in->id;
    out->is_internal = in->internal;
    if (operations) {
        out->topic_authorized_operations = DESCRIBE_TOPIC_OPERATIONS;
    }
    size_t count = (size_t)in->partition_count, replicas = 0;
    for (size_t i = 0; i < count; i++) {
        replicas += (size_t)in->partitions[i].replica_count;
    }
    out->partitions = api_alloc(r, count, sizeof *out->partitions);
    int32_t *offline = api_alloc(r, replicas, sizeof *offline);
    if (!out->partitions || !offline) {
        return ERR_NO_MEMORY;
    }
    out->partitions_count = in->partition_count;
    for (size_t i = 0; i < count; i++) {
        describe_partition(r->api->image, &in->partitions[i], &out->partitions[i], offline);
        out->partitions[i].partition_index = (int32_t)i;
        offline += in->partitions[i].replica_count;
    }
    return 0;
}

/* An id counts before a name: Java's clients send the empty name beside it. */
static bool asked_by_id(const struct metadata *m, const struct metadata_request_topics *asked)
{
    return api_version(m->request) >= 12 && !uuid_is_zero(asked->topic_id);
}

/* By this request; NULL: it does not create that topic. */
static const struct meta_op *creation_of(const struct metadata *m, struct wire_string name)
{
    for (int32_t i = 0; i < m->creations_count; i++) {
        if (wire_string_equal(name, wire_string_of(m->creations[i].op.topic))) {
            return &m->creations[i].op;
        }
    }
    return NULL;
}

/* Perhaps it is only unknown here. */
static int unknown_error(const struct metadata *m, int error)
{
    return m->unread ? ERR_LEADER_NOT_AVAILABLE : error;
}

/* Why nothing is said of a topic with a name that can be. */
static int missing_error(const struct metadata *m, struct wire_string name)
{
    const struct meta_op *op = creation_of(m, name);
    if (op) { /* not done, refused, or done and not yet in this shard's image */
        return op->error && op->error != ERR_TOPIC_ALREADY_EXISTS ? op->error
                                                                  : ERR_LEADER_NOT_AVAILABLE;
    }
    return unknown_error(m, ERR_UNKNOWN_TOPIC_OR_PARTITION);
}

/* What is said of a topic that a client named. */
static int fill_asked(struct metadata *m, const struct metadata_request_topics *asked,
                      struct metadata_response_topics *out)
{
    struct api_request *r = m->request;
    metadata_response_topics_init(out);
    out->name = asked->name;
    out->topic_id = asked->topic_id;
    int error = 0;
    const struct image_topic *topic = NULL;
    if (asked_by_id(m, asked)) {
        topic = image_topic_by_id(r->api->image, asked->topic_id);
        out->name = wire_string_null();
        error = topic ? 0 : unknown_error(m, ERR_UNKNOWN_TOPIC_ID);
    } else if (asked->name.size >= 0) {
        topic = image_topic_by_name(r->api->image, wire_string_bytes(asked->name));
        if (!topic) {
            error =
                topic_name_valid(asked->name) ? missing_error(m, asked->name) : ERR_INVALID_TOPIC;
        }
    } else {
        out->name = api_version(r) < 12 ? wire_string_of("") : asked->name;
        error = ERR_INVALID_REQUEST;
    }
    out->error_code = error_to_wire(error);
    return topic ? fill_topic(r, topic, m->q->include_topic_authorized_operations, out) : 0;
}

const struct image_endpoint *describe_endpoint(const struct api_request *r,
                                               const struct image_broker *b)
{
    const char *name = config_listener(r->api->options.config, r->net.listener)->name;
    for (uint32_t i = 0; i < b->endpoint_count; i++) {
        if (strcmp(b->endpoints[i].name, name) == 0) {
            return &b->endpoints[i];
        }
    }
    return NULL;
}

int describe_brokers(struct api_request *r, struct metadata_response_brokers **out, int32_t *count)
{
    const struct image *image = r->api->image;
    struct metadata_response_brokers *brokers =
        api_alloc(r, image_broker_count(image), sizeof *brokers);
    if (!brokers) {
        return ERR_NO_MEMORY;
    }
    *out = brokers;
    *count = 0;
    for (uint32_t i = 0; i < image_broker_count(image); i++) {
        const struct image_broker *b = image_broker_at(image, i);
        const struct image_endpoint *e = describe_endpoint(r, b);
        if (!b->fenced && e) {
            brokers[(*count)++] = (struct metadata_response_brokers){
                b->id, wire_string_of(e->host), e->port, wire_string_of(b->rack)};
        }
    }
    return 0;
}

static bool asks_for_all(const struct metadata *m)
{
    return m->q->topics_count < 0 || (api_version(m->request) == 0 && m->q->topics_count == 0);
}

static int fill(struct metadata *m, struct metadata_response *out)
{
    struct api_request *r = m->request;
    const struct image *image = r->api->image;
    const struct metadata_request *q = m->q;
    metadata_response_init(out);
    out->cluster_id = wire_string_of(image_cluster_id(image));
    out->controller_id = image_controller(image);
    if (q->include_cluster_authorized_operations) {
        out->cluster_authorized_operations = DESCRIBE_CLUSTER_OPERATIONS;
    }
    int error = describe_brokers(r, &out->brokers, &out->brokers_count);
    bool all = asks_for_all(m);
    size_t count = all ? image_topic_count(image) : (size_t)q->topics_count;
    out->topics = error ? NULL : api_alloc(r, count, sizeof *out->topics);
    if (!out->topics) {
        return ERR_NO_MEMORY;
    }
    out->topics_count = (int32_t)count;
    for (size_t i = 0; i < count && !error; i++) {
        if (all) {
            metadata_response_topics_init(&out->topics[i]);
            error = fill_topic(r, image_topic_at(image, (uint32_t)i),
                               q->include_topic_authorized_operations, &out->topics[i]);
        } else {
            error = fill_asked(m, &q->topics[i], &out->topics[i]);
        }
    }
    return error;
}

static void answer(struct metadata *m)
{
    assert(!m->answered);
    m->answered = true;
    deadline_cancel(&m->request->api->deadlines, &m->deadline);
    struct metadata_response response;
    m->request->arena.limit_bytes = API_ARENA_MAX; /* it is the image that makes it large */
    int error = fill(m, &response);
    if (error) {
        api_close(m->request, error_text(error));
        return;
    }
    api_respond(m->request, &response);
}

/* --- creation on demand ----------------------------------------------------------------------- */

static void creation_seen(struct barrier *b)
{
    struct metadata *m = container_of(b, struct metadata, barrier);
    struct api_request *r = m->request;
    if (!m->answered) {
        answer(m);
    }
    net_unhold(&r->net);
}

static void creation_finish(struct metadata *m)
{
    assert(m->pending > 0);
    if (--m->pending == 0) {
        m->barrier.passed = creation_seen;
        barrier_pass(&m->barrier, m->request->api);
    }
}

static void creation_done(struct meta_op *op)
{
    struct metadata *m = container_of(op, struct creation, op)->metadata;
    struct api *api = m->request->api;
    assert(api->creations > 0);
    api->creations--;
    if (op->error && op->error != ERR_TOPIC_ALREADY_EXISTS && api_may_log(api)) {
        log_warn(io_logger(api->io), "api", "topic not created on demand: topic=%s error=\"%s\"",
                 op->topic, op->why[0] ? op->why : error_text(op->error));
    }
    creation_finish(m);
}

static void creation_late(struct deadline *d)
{
    answer(container_of(d, struct metadata, deadline));
}

/* Whether the topic has to be created, and this request does not do so already. */
static bool creation_wanted(const struct metadata *m, const struct metadata_request_topics *asked)
{
    struct wire_string name = asked->name;
    const struct image *image = m->request->api->image;
    return !asked_by_id(m, asked) && name.size >= 0 && topic_name_valid(name) &&
           !image_topic_by_name(image, wire_string_bytes(name)) && !creation_of(m, name);
}

static int creations_collect(struct metadata *m)
{
    struct api_request *r = m->request;
    struct api *api = r->api;
    int32_t asked = m->q->topics_count > 0 ? m->q->topics_count : 0;
    uint32_t room = API_CREATIONS_MAX - api->creations;
    for (int32_t i = 0; i < asked && (uint32_t)m->creations_count < room; i++) {
        struct wire_string name = m->q->topics[i].name;
        if (!creation_wanted(m, &m->q->topics[i])) {
            continue;
        }
        if (!m->creations) {
            uint32_t most = (uint32_t)(asked - i) < room ? (uint32_t)(asked - i) : room;
            m->creations = api_alloc(r, most, sizeof *m->creations);
        }
        char *topic = api_alloc(r, (size_t)name.size + 1, 1);
        if (!m->creations || !topic) {
            return ERR_NO_MEMORY;
        }
        memcpy(topic, name.data, (size_t)name.size);
        m->creations[m->creations_count++] = (struct creation){
            .op = {.done = creation_done,
                   .kind = META_CREATE_TOPIC,
                   .topic = topic,
                   .partitions = -1,
                   .replication_factor = -1},
            .metadata = m,
        };
    }
    return 0;
}

/* --- what is not known here ------------------------------------------------------------------- */

static void read_done(struct fresh *f)
{
    struct metadata *m = container_of(f, struct metadata, fresh);
    m->unread = !f->shown;
    if (m->creations_count > 0) {
        creation_finish(m);
    } else {
        answer(m);
    }
}

/* It may have been created at another node a moment ago. */
static bool read_wanted(const struct metadata *m)
{
    const struct image *image = m->request->api->image;
    for (int32_t i = 0; i < m->q->topics_count; i++) {
        const struct metadata_request_topics *asked = &m->q->topics[i];
        if (asked_by_id(m, asked) ? !image_topic_by_id(image, asked->topic_id)
                                  : creation_wanted(m, asked)) {
            return true;
        }
    }
    return asks_for_all(m);
}

static void creations_begin(struct metadata *m, bool read)
{
    struct api_request *r = m->request;
    struct api *api = r->api;
    net_hold(&r->net);
    deadline_set(&api->deadlines, &m->deadline, io_now(api->io) + creation_wait_ns);
    api->creations += (uint32_t)m->creations_count;
    m->pending = 1 + (uint32_t)m->creations_count + read;
    for (int32_t i = 0; i < m->creations_count; i++) {
        meta_submit(api->options.rooms.meta, api->io, &m->creations[i].op);
    }
    if (read) {
        m->unread = true; /* until it has come */
        fresh_ask(&m->fresh, r, m->q, read_done);
    }
    creation_finish(m);
}

void handle_metadata(struct api_request *r)
{
    struct api *api = r->api;
    struct metadata *m = api_alloc(r, 1, sizeof *m);
    struct metadata_request *q = m ? api_decode(r) : NULL;
    if (!q) {
        if (!m) {
            api_close(r, error_text(ERR_NO_MEMORY));
        }
        return;
    }
    m->request = r;
    m->q = q;
    m->deadline.due = creation_late;
    bool create = q->allow_auto_topic_creation &&
                  config_bool(api->options.config, CONFIG_AUTO_CREATE_TOPICS_ENABLE);
    if (create && creations_collect(m) != 0) {
        api_close(r, error_text(ERR_NO_MEMORY));
        return;
    }
    bool read = read_wanted(m);
    if (m->creations_count > 0) {
        creations_begin(m, read);
    } else if (read) {
        fresh_ask(&m->fresh, r, m->q, read_done);
    } else {
        answer(m);
    }
}
