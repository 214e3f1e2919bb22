/* SPDX-License-Identifier: Apache-2.0 */

/* leat_metadata(), leat_connect(): what the cluster consists of, asked anew and copied into a heap of its own. */
#include "admin/admin.h"

#include <stdlib.h>

struct view_result {
    struct memory heap;
    leat_meta meta;
};

struct view_op {
    struct admin_op admin;
    const char *topic;
    struct view_result *result;
};

static struct view_op *view_op(struct call *c)
{
    return container_of(admin_of(c), struct view_op, admin);
}

static int view_encode(struct call *c, struct wire_writer *w, int version)
{
    const struct view_op *op = view_op(c);
    struct metadata_request body;
    struct metadata_request_topics topic;
    metadata_request_init(&body);
    metadata_request_topics_init(&topic);
    body.allow_auto_topic_creation = false;
    body.topics_count = op->topic ? 0 : -1;
    if (op->topic && *op->topic) {
        topic.name = wire_string_of(op->topic);
        body.topics = &topic;
        body.topics_count = 1;
    }
    return metadata_request_encode(&body, w, version);
}

static const char *view_text(struct memory *heap, struct wire_string s)
{
    return s.size < 0 ? NULL : memory_string(heap, s.data, (size_t)s.size);
}

static int view_numbers(struct memory *heap, const int32_t *in, int32_t count, const int32_t **out,
                        size_t *out_count)
{
    size_t size = count > 0 ? (size_t)count : 0;
    int32_t *copy = memory_alloc(heap, size * sizeof *copy);
    if (!copy) {
        return ERR_NO_MEMORY;
    }
    if (size) {
        memcpy(copy, in, size * sizeof *copy);
    }
    *out = copy;
    *out_count = size;
    return 0;
}

static leat_meta_broker *view_broker(struct memory *heap,
                                     const struct metadata_response_brokers *in)
{
    leat_meta_broker *b = memory_alloc(heap, sizeof *b);
    if (b) {
        *b = (leat_meta_broker){in->node_id, in->port, view_text(heap, in->host),
                                view_text(heap, in->rack)};
    }
    return b && b->host ? b : NULL;
}

static leat_meta_partition *view_partition(struct memory *heap,
                                           const struct metadata_response_partitions *in)
{
    leat_meta_partition *p = memory_alloc(heap, sizeof *p);
    if (!p) {
        return NULL;
    }
    p->id = in->partition_index;
    p->leader = in->leader_id;
    p->leader_epoch = in->leader_epoch;
    p->code = error_from_wire(in->error_code);
    int error = view_numbers(heap, in->replica_nodes, in->replica_nodes_count, &p->replicas,
                             &p->replica_count);
    if (!error) {
        error =
            view_numbers(heap, in->isr_nodes, in->isr_nodes_count, &p->in_sync, &p->in_sync_count);
    }
    if (!error) {
        error = view_numbers(heap, in->offline_replicas, in->offline_replicas_count, &p->offline,
                             &p->offline_count);
    }
    return error ? NULL : p;
}

static int partition_compare(const void *left, const void *right)
{
    const leat_meta_partition *a = *(leat_meta_partition *const *)left;
    const leat_meta_partition *b = *(leat_meta_partition *const *)right;
    return (a->id > b->id) - (a->id < b->id);
}

static leat_meta_topic *view_topic(struct memory *heap, const struct metadata_response_topics *in)
{
    leat_meta_topic *t = memory_alloc(heap, sizeof *t);
    char *id = memory_alloc(heap, UUID_TEXT_SIZE);
    size_t count = in->partitions_count > 0 ? (size_t)in->partitions_count : 0;
    leat_meta_partition **parts = memory_alloc(heap, (count + 1) * sizeof *parts);
    if (!t || !id || !parts) {
        return NULL;
    }
    if (!uuid_is_zero(in->topic_id)) {
        uuid_text(in->topic_id, id);
    }
    for (size_t i = 0; i < count; i++) {
        parts[i] = view_partition(heap, &in->partitions[i]);
        if (!parts[i]) {
            return NULL;
        }
    }
    qsort(parts, count, sizeof *parts, partition_compare);
    *t = (leat_meta_topic){
        .name = in->name.size < 0 ? "" : view_text(heap, in->name),
        .id = id,
        .code = error_from_wire(in->error_code),
        .internal = in->is_internal,
        .partitions = (const leat_meta_partition *const *)parts,
        .partition_count = count,
    };
    return t->name ? t : NULL;
}

static int broker_compare(const void *left, const void *right)
{
    const leat_meta_broker *a = *(leat_meta_broker *const *)left;
    const leat_meta_broker *b = *(leat_meta_broker *const *)right;
    return (a->id > b->id) - (a->id < b->id);
}

static int topic_compare(const void *left, const void *right)
{
    const leat_meta_topic *a = *(leat_meta_topic *const *)left;
    const leat_meta_topic *b = *(leat_meta_topic *const *)right;
    return strcmp(a->name, b->name);
}

static int view_build(struct view_result *out, const struct metadata_response *in,
                      const char *origin)
{
    struct memory *heap = &out->heap;
    size_t brokers = in->brokers_count > 0 ? (size_t)in->brokers_count : 0;
    size_t topics = in->topics_count > 0 ? (size_t)in->topics_count : 0;
    leat_meta_broker **b = memory_alloc(heap, (brokers + 1) * sizeof *b);
    leat_meta_topic **t = memory_alloc(heap, (topics + 1) * sizeof *t);
    for (size_t i = 0; b && i < brokers; i++) {
        b[i] = view_broker(heap, &in->brokers[i]);
        if (!b[i]) {
            return ERR_NO_MEMORY;
        }
    }
    for (size_t i = 0; t && i < topics; i++) {
        t[i] = view_topic(heap, &in->topics[i]);
        if (!t[i]) {
            return ERR_NO_MEMORY;
        }
    }
    const char *cluster = in->cluster_id.size < 0 ? "" : view_text(heap, in->cluster_id);
    origin = memory_string(heap, origin, strlen(origin));
    if (!b || !t || !cluster || !origin) {
        return ERR_NO_MEMORY;
    }
    qsort(b, brokers, sizeof *b, broker_compare);
    qsort(t, topics, sizeof *t, topic_compare);
    out->meta = (leat_meta){
        .cluster_id = cluster,
        .controller = in->controller_id,
        .origin = origin,
        .brokers = (const leat_meta_broker *const *)b,
        .broker_count = brokers,
        .topics = (const leat_meta_topic *const *)t,
        .topic_count = topics,
    };
    return 0;
}

static int view_decode(struct call *c, struct reader *reader, int version)
{
    struct view_op *op = view_op(c);
    struct metadata_response body;
    struct arena arena;
    arena_init(&arena, c->core->memory, ADMIN_ARENA_MAX);
    int error = metadata_response_decode(&body, reader, version, &arena);
    if (!error) {
        error = admin_error(c, body.error_code, wire_string_null(), "");
    }
    if (!error) {
        op->result = heap_open(sizeof *op->result, ADMIN_HEAP_MAX);
        error = op->result ? view_build(op->result, &body, c->origin) : ERR_NO_MEMORY;
        if (error) {
            heap_close(op->result);
            op->result = NULL;
        }
    }
    arena_deinit(&arena);
    return error;
}

static const struct call_kind view_kind = {
    .request = {WIRE_METADATA, 4, 13},
    .name = "ask about the cluster",
    .encode = view_encode,
    .decode = view_decode,
    .repeatable = true,
};

int leat_connect(leat_client *c, int timeout_ms, leat_error *e)
{
    struct view_op op = {.admin = {.client = c, .kind = &view_kind, .timeout_ms = timeout_ms},
                         .topic = ""};
    if (timeout_ms <= 0) {
        return error_set(e, ERR_INVALID_ARGUMENT, "leat_connect() needs milliseconds to wait");
    }
    int error = admin_run(&op.admin, e);
    if (!error) {
        leat_meta_free(&op.result->meta);
    }
    return error;
}

int leat_metadata(leat_client *c, const char *topic, leat_meta **out, leat_error *e)
{
    struct view_op op = {.admin = {.client = c, .kind = &view_kind}, .topic = topic};
    if (!out || (topic && strlen(topic) > WIRE_STRING_MAX)) {
        return error_set(e, ERR_INVALID_ARGUMENT, "leat_metadata() needs a place for the answer");
    }
    int error = admin_run(&op.admin, e);
    if (!error) {
        *out = &op.result->meta;
    }
    return error;
}

void leat_meta_free(leat_meta *meta)
{
    if (meta) {
        heap_close(container_of(meta, struct view_result, meta));
    }
}
