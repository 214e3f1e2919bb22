/* SPDX-License-Identifier: Apache-2.0 */

/* Creating, deleting and growing topics: one topic per call, sent to the controller. */
#include "admin/admin.h"

struct topic_op {
    struct admin_op admin;
    leat_topic_spec spec;
    int32_t total;
};

static struct topic_op *topic_op(struct call *c)
{
    return container_of(admin_of(c), struct topic_op, admin);
}

static int create_encode(struct call *c, struct wire_writer *w, int version)
{
    const leat_topic_spec *spec = &topic_op(c)->spec;
    struct create_topics_request body;
    struct create_topics_request_topics topic;
    struct arena arena;
    create_topics_request_init(&body);
    create_topics_request_topics_init(&topic);
    arena_init(&arena, c->core->memory, ADMIN_ARENA_MAX);
    topic.name = wire_string_of(spec->name);
    topic.num_partitions = spec->partitions;
    topic.replication_factor = spec->replication;
    topic.configs = arena_array(&arena, spec->config_count + 1, sizeof *topic.configs);
    for (size_t i = 0; topic.configs && i < spec->config_count; i++) {
        topic.configs[i].name = wire_string_of(spec->configs[i].name);
        topic.configs[i].value = wire_string_of(spec->configs[i].value);
    }
    topic.configs_count = (int32_t)spec->config_count;
    body.topics = &topic;
    body.topics_count = 1;
    body.timeout_ms = admin_timeout_ms(c);
    body.validate_only = spec->validate_only;
    int error = topic.configs ? create_topics_request_encode(&body, w, version) : ERR_NO_MEMORY;
    arena_deinit(&arena);
    return error;
}

static int create_decode(struct call *c, struct reader *reader, int version)
{
    struct create_topics_response body;
    struct arena arena;
    arena_init(&arena, c->core->memory, ADMIN_ARENA_MAX);
    int error = create_topics_response_decode(&body, reader, version, &arena);
    if (!error && body.topics_count != 1) {
        error = ERR_MALFORMED;
    }
    if (!error) {
        error = admin_error(c, body.topics[0].error_code, body.topics[0].error_message,
                            topic_op(c)->spec.name);
    }
    arena_deinit(&arena);
    return error;
}

static bool text_fits(const char *text)
{
    return text && strlen(text) <= WIRE_STRING_MAX;
}

int leat_topic_create(leat_client *c, const leat_topic_spec *spec, leat_error *e)
{
    static const struct call_kind kind = {
        .request = {WIRE_CREATE_TOPICS, 4, 7},
        .name = "create topic",
        .route = admin_route_controller,
        .encode = create_encode,
        .decode = create_decode,
    };
    struct topic_op op = {.admin = {.client = c, .kind = &kind}, .spec = LEAT_TOPIC_SPEC_INIT};
    if (!spec || spec->size < sizeof spec->size || spec->size > 65536) {
        return error_set(e, ERR_INVALID_ARGUMENT, "start from LEAT_TOPIC_SPEC_INIT");
    }
    memcpy(&op.spec, spec, spec->size < sizeof op.spec ? spec->size : sizeof op.spec);
    bool fits = text_fits(op.spec.name) && op.spec.config_count <= 10000;
    for (size_t i = 0; fits && i < op.spec.config_count; i++) {
        fits = text_fits(op.spec.configs[i].name) &&
               (!op.spec.configs[i].value || text_fits(op.spec.configs[i].value));
    }
    if (!fits) {
        return error_set(e, ERR_INVALID_ARGUMENT,
                         "a topic needs a name; names and values of "
                         "configs are at most 32767 bytes");
    }
    return admin_run(&op.admin, e);
}

static int delete_encode(struct call *c, struct wire_writer *w, int version)
{
    struct wire_string name = wire_string_of(topic_op(c)->spec.name);
    struct delete_topics_request body;
    struct delete_topics_request_topics topic;
    delete_topics_request_init(&body);
    delete_topics_request_topics_init(&topic);
    topic.name = name;
    if (version >= 6) {
        body.topics = &topic;
        body.topics_count = 1;
    } else {
        body.topic_names = &name;
        body.topic_names_count = 1;
    }
    body.timeout_ms = admin_timeout_ms(c);
    return delete_topics_request_encode(&body, w, version);
}

static int delete_decode(struct call *c, struct reader *reader, int version)
{
    struct delete_topics_response body;
    struct arena arena;
    arena_init(&arena, c->core->memory, ADMIN_ARENA_MAX);
    int error = delete_topics_response_decode(&body, reader, version, &arena);
    if (!error && body.responses_count != 1) {
        error = ERR_MALFORMED;
    }
    if (!error) {
        error = admin_error(c, body.responses[0].error_code, body.responses[0].error_message,
                            topic_op(c)->spec.name);
        /* A deletion that is not there the first time will not be there later. */
        c->error.retriable &= error != ERR_UNKNOWN_TOPIC_OR_PARTITION;
    }
    arena_deinit(&arena);
    return error;
}

int leat_topic_delete(leat_client *c, const char *topic, leat_error *e)
{
    static const struct call_kind kind = {
        .request = {WIRE_DELETE_TOPICS, 1, 6},
        .name = "delete topic",
        .route = admin_route_controller,
        .encode = delete_encode,
        .decode = delete_decode,
    };
    struct topic_op op = {.admin = {.client = c, .kind = &kind}, .spec = {.name = topic}};
    if (!text_fits(topic)) {
        return error_set(e, ERR_INVALID_ARGUMENT, "which topic?");
    }
    return admin_run(&op.admin, e);
}

static int grow_encode(struct call *c, struct wire_writer *w, int version)
{
    struct create_partitions_request body;
    struct create_partitions_request_topics topic;
    create_partitions_request_init(&body);
    create_partitions_request_topics_init(&topic);
    topic.name = wire_string_of(topic_op(c)->spec.name);
    topic.count = topic_op(c)->total;
    topic.assignments = NULL;
    topic.assignments_count = -1;
    body.topics = &topic;
    body.topics_count = 1;
    body.timeout_ms = admin_timeout_ms(c);
    return create_partitions_request_encode(&body, w, version);
}

static int grow_decode(struct call *c, struct reader *reader, int version)
{
    struct create_partitions_response body;
    struct arena arena;
    arena_init(&arena, c->core->memory, ADMIN_ARENA_MAX);
    int error = create_partitions_response_decode(&body, reader, version, &arena);
    if (!error && body.results_count != 1) {
        error = ERR_MALFORMED;
    }
    if (!error) {
        error = admin_error(c, body.results[0].error_code, body.results[0].error_message,
                            topic_op(c)->spec.name);
        c->error.retriable &= error != ERR_UNKNOWN_TOPIC_OR_PARTITION;
    }
    arena_deinit(&arena);
    return error;
}

int leat_topic_grow(leat_client *c, const char *topic, int32_t total, leat_error *e)
{
    static const struct call_kind kind = {
        .request = {WIRE_CREATE_PARTITIONS, 0, 3},
        .name = "add partitions to topic",
        .route = admin_route_controller,
        .encode = grow_encode,
        .decode = grow_decode,
    };
    struct topic_op op = {
        .admin = {.client = c, .kind = &kind}, .spec = {.name = topic}, .total = total};
    if (!text_fits(topic) || total < 1) {
        return error_set(e, ERR_INVALID_ARGUMENT, "which topic, and how many partitions?");
    }
    return admin_run(&op.admin, e);
}
