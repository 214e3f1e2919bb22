/* SPDX-License-Identifier: Apache-2.0 */

/* CreateTopics. What may be created decides the meta room; here the wire's form becomes its
 * operation, and the answer tells what the new topic is like (KIP-525). */
#include "api/admin.h"
#include "api/configs.h"

#include <stdlib.h>

enum { TOPICS_MAX = 1000 };

struct named {
    struct wire_string name;
    uint32_t index;
};

static int named_order(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    int32_t common = x->name.size < y->name.size ? x->name.size : y->name.size;
    int order = common > 0 ? memcmp(x->name.data, y->name.data, (size_t)common) : 0;
    return order ? order : (x->name.size > y->name.size) - (x->name.size < y->name.size);
}

/* --- the answer ------------------------------------------------------------------------------- */

static int topic_tell(struct api_request *r, const struct create_topics_request_topics *in,
                      struct create_topics_response_topics *out)
{
    const struct image *image = r->api->image;
    const struct image_topic *topic = image_topic_by_name(image, wire_string_bytes(in->name));
    const struct config *config = r->api->options.config;
    out->num_partitions = topic                       ? topic->partition_count
                          : in->assignments_count > 0 ? in->assignments_count
                          : in->num_partitions > 0
                              ? in->num_partitions
                              : (int32_t)api_broker_number(config, image, r->api->options.node_id,
                                                           CONFIG_NUM_PARTITIONS);
    out->replication_factor =
        topic && topic->partition_count > 0 ? (int16_t)topic->partitions[0].replica_count
        : in->assignments_count > 0         ? (int16_t)in->assignments[0].broker_ids_count
        : in->replication_factor > 0
            ? in->replication_factor
            : image_default_factor(
                  image, (int16_t)config_integer(config, CONFIG_DEFAULT_REPLICATION_FACTOR));
    struct describe_configs_response_results described;
    int error = configs_of_topic(r, topic, NULL, 0, (struct configs_wanted){0}, &described);
    out->configs =
        error ? NULL : api_alloc(r, (size_t)described.configs_count, sizeof *out->configs);
    if (!out->configs) {
        return ERR_NO_MEMORY;
    }
    out->configs_count = described.configs_count;
    for (int32_t i = 0; i < described.configs_count; i++) {
        const struct describe_configs_response_configs *c = &described.configs[i];
        out->configs[i] = (struct create_topics_response_configs){
            c->name, c->value, c->read_only, c->config_source, c->is_sensitive};
    }
    return 0;
}

static void answer(struct admin *a)
{
    struct api_request *r = a->request;
    const struct create_topics_request *q = a->response;
    struct create_topics_response response;
    create_topics_response_init(&response);
    r->arena.limit_bytes = API_ARENA_MAX; /* every topic tells all its configurations */
    response.topics = api_alloc(r, a->count, sizeof *response.topics);
    int error = response.topics ? 0 : ERR_NO_MEMORY;
    for (uint32_t i = 0; i < a->count && !error; i++) {
        const struct admin_op *op = &a->ops[i];
        struct create_topics_response_topics *out = &response.topics[i];
        create_topics_response_topics_init(out);
        out->name = q->topics[i].name;
        out->topic_id = op->error ? (struct uuid){{0}} : op->op.topic_id;
        out->error_code = admin_error(op);
        out->error_message = admin_message(op);
        if (op->error) {
            out->configs_count = -1;
        } else if (api_version(r) >= 5) {
            error = topic_tell(r, &q->topics[i], out);
        }
    }
    if (error) {
        api_close(r, error_text(error));
        return;
    }
    response.topics_count = (int32_t)a->count;
    api_respond(r, &response);
}

/* --- the operations --------------------------------------------------------------------------- */

static int assign(struct api_request *r, struct admin_op *op,
                  const struct create_topics_request_topics *in)
{
    int32_t count = in->assignments_count;
    const int32_t **lists = api_alloc(r, (size_t)count, sizeof *lists);
    int32_t *counts = api_alloc(r, (size_t)count, sizeof *counts);
    if (!lists || !counts) {
        return ERR_NO_MEMORY;
    }
    for (int32_t i = 0; i < count; i++) {
        int32_t at = in->assignments[i].partition_index;
        if (at < 0 || at >= count || lists[at]) {
            admin_refuse(op, ERR_INVALID_REPLICA_ASSIGNMENT,
                         "assigned partitions must be 0, 1, 2 .. without gaps");
            return 0;
        }
        static const int32_t none[1];
        lists[at] = in->assignments[i].broker_ids ? in->assignments[i].broker_ids : none;
        counts[at] = in->assignments[i].broker_ids_count;
    }
    op->op.assignments = lists;
    op->op.assignment_counts = counts;
    op->op.assignment_count = count;
    return 0;
}

static int topic_prepare(struct api_request *r, struct admin_op *op,
                         const struct create_topics_request_topics *in)
{
    op->op.topic = admin_string(r, in->name);
    if (!op->op.topic) {
        admin_refuse(op, ERR_INVALID_TOPIC, NULL);
        return 0;
    }
    op->op.partitions = in->num_partitions;
    op->op.replication_factor = in->replication_factor;
    if (in->assignments_count > 0) {
        int error = assign(r, op, in);
        if (error || op->done) {
            return error;
        }
    }
    struct meta_config_change *changes = api_alloc(r, (size_t)in->configs_count, sizeof *changes);
    if (!changes) {
        return ERR_NO_MEMORY;
    }
    for (int32_t i = 0; i < in->configs_count; i++) {
        changes[i].key = admin_string(r, in->configs[i].name);
        changes[i].value = admin_string(r, in->configs[i].value);
        if (!changes[i].key || !changes[i].value) {
            admin_refuse(op, ERR_INVALID_CONFIG, "names and values of configurations are texts");
            return 0;
        }
        admin_note_ignored(op, changes[i].key);
    }
    op->op.changes = changes;
    op->op.change_count = (uint32_t)in->configs_count;
    return 0;
}

static int refuse_repeated(struct admin *a, const struct create_topics_request *q)
{
    struct named *names = api_alloc(a->request, a->count, sizeof *names);
    if (!names) {
        return ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < a->count; i++) {
        names[i] = (struct named){q->topics[i].name, i};
    }
    qsort(names, a->count, sizeof *names, named_order);
    for (uint32_t i = 1; i < a->count; i++) {
        if (named_order(&names[i - 1], &names[i]) == 0) {
            const char *why = "the topic is named twice";
            admin_refuse(&a->ops[names[i].index], ERR_INVALID_REQUEST, why);
            admin_refuse(&a->ops[names[i - 1].index], ERR_INVALID_REQUEST, why);
        }
    }
    return 0;
}

void handle_create_topics(struct api_request *r)
{
    struct create_topics_request *q = api_decode(r);
    if (!q) {
        return;
    }
    if (q->topics_count > TOPICS_MAX) {
        api_close(r, "too many topics in one request");
        return;
    }
    struct admin *a =
        admin_new(r, (size_t)q->topics_count, META_CREATE_TOPIC, q->validate_only, answer);
    if (!a) {
        return;
    }
    a->response = q;
    int error = refuse_repeated(a, q);
    for (int32_t i = 0; i < q->topics_count && !error; i++) {
        if (!a->ops[i].done) {
            a->ops[i].op.internal = q->internal && api_from_broker(r);
            error = topic_prepare(r, &a->ops[i], &q->topics[i]);
        }
    }
    if (error) {
        api_close(r, error_text(error));
        return;
    }
    admin_go(a, q->timeout_ms);
}
