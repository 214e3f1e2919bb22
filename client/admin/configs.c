/* SPDX-License-Identifier: Apache-2.0 */

/* Configurations of topics and brokers. A broker's are asked of itself. */
#include "admin/admin.h"

#include <stdlib.h>

struct config_result {
    struct memory heap;
    leat_configs configs;
};

struct config_op {
    struct admin_op admin;
    int32_t resource;
    const char *name;
    const leat_config *changes;
    size_t change_count;
    struct config_result *result;
};

static struct config_op *config_op(struct call *c)
{
    return container_of(admin_of(c), struct config_op, admin);
}

static int config_route(struct call *c, int32_t *broker)
{
    const struct config_op *op = config_op(c);
    *broker = op->resource == LEAT_RESOURCE_BROKER && *op->name
                  ? (int32_t)strtol(op->name, NULL, 10)
                  : CALL_ANY;
    if (*broker >= 0 && !metadata_broker(c->core, *broker)) {
        metadata_refresh(c->core, NULL);
        error_set(&c->error, ERR_BROKER_NOT_AVAILABLE, "broker %s is not known", op->name);
        c->error.retriable = c->attempts < 3;
        return c->error.code;
    }
    return 0;
}

static int get_encode(struct call *c, struct wire_writer *w, int version)
{
    const struct config_op *op = config_op(c);
    struct describe_configs_request body;
    struct describe_configs_request_resources resource;
    describe_configs_request_init(&body);
    describe_configs_request_resources_init(&resource);
    resource.resource_type = (int8_t)op->resource;
    resource.resource_name = wire_string_of(op->name);
    resource.configuration_keys = NULL;
    resource.configuration_keys_count = -1;
    body.resources = &resource;
    body.resources_count = 1;
    return describe_configs_request_encode(&body, w, version);
}

static const char *value_text(struct memory *heap, struct wire_string s)
{
    return s.size < 0 ? NULL : memory_string(heap, s.data, (size_t)s.size);
}

static int config_compare(const void *left, const void *right)
{
    const leat_config_entry *a = *(leat_config_entry *const *)left;
    const leat_config_entry *b = *(leat_config_entry *const *)right;
    return strcmp(a->name, b->name);
}

static int config_build(struct config_result *out,
                        const struct describe_configs_response_results *in)
{
    size_t count = in->configs_count > 0 ? (size_t)in->configs_count : 0;
    leat_config_entry **entries = memory_alloc(&out->heap, (count + 1) * sizeof *entries);
    for (size_t i = 0; entries && i < count; i++) {
        const struct describe_configs_response_configs *from = &in->configs[i];
        leat_config_entry *entry = memory_alloc(&out->heap, sizeof *entry);
        const char *name = entry ? value_text(&out->heap, from->name) : NULL;
        if (!name) {
            return ERR_NO_MEMORY;
        }
        *entry = (leat_config_entry){.name = name,
                                     .value = value_text(&out->heap, from->value),
                                     .source = from->config_source < 0 ? 0 : from->config_source,
                                     .read_only = from->read_only,
                                     .sensitive = from->is_sensitive};
        entries[i] = entry;
    }
    if (!entries) {
        return ERR_NO_MEMORY;
    }
    qsort(entries, count, sizeof *entries, config_compare);
    out->configs.entries = (const leat_config_entry *const *)entries;
    out->configs.count = count;
    return 0;
}

static int get_decode(struct call *c, struct reader *reader, int version)
{
    struct config_op *op = config_op(c);
    struct describe_configs_response body;
    struct arena arena;
    arena_init(&arena, c->core->memory, ADMIN_ARENA_MAX);
    int error = describe_configs_response_decode(&body, reader, version, &arena);
    if (!error && body.results_count != 1) {
        error = ERR_MALFORMED;
    }
    if (!error) {
        error = admin_error(c, body.results[0].error_code, body.results[0].error_message, op->name);
        c->error.retriable &= error != ERR_UNKNOWN_TOPIC_OR_PARTITION;
    }
    if (!error) {
        op->result = heap_open(sizeof *op->result, ADMIN_HEAP_MAX);
        error = op->result ? config_build(op->result, &body.results[0]) : ERR_NO_MEMORY;
        if (error) {
            heap_close(op->result);
            op->result = NULL;
        }
    }
    arena_deinit(&arena);
    return error;
}

static int config_check(int32_t resource, const char *name, leat_error *e)
{
    if ((resource != LEAT_RESOURCE_TOPIC && resource != LEAT_RESOURCE_BROKER) || !name ||
        strlen(name) > WIRE_STRING_MAX) {
        return error_set(e, ERR_INVALID_ARGUMENT, "the configuration of which topic or broker?");
    }
    return 0;
}

int leat_configs_get(leat_client *c, int32_t resource, const char *name, leat_configs **out,
                     leat_error *e)
{
    static const struct call_kind kind = {
        .request = {WIRE_DESCRIBE_CONFIGS, 1, 4},
        .name = "read the configuration of",
        .route = config_route,
        .encode = get_encode,
        .decode = get_decode,
        .repeatable = true,
    };
    struct config_op op = {
        .admin = {.client = c, .kind = &kind}, .resource = resource, .name = name};
    int error = config_check(resource, name, e);
    if (!error) {
        error = admin_run(&op.admin, e);
    }
    if (!error) {
        *out = &op.result->configs;
    }
    return error;
}

void leat_configs_free(leat_configs *configs)
{
    if (configs) {
        heap_close(container_of(configs, struct config_result, configs));
    }
}

static int set_encode(struct call *c, struct wire_writer *w, int version)
{
    const struct config_op *op = config_op(c);
    struct incremental_alter_configs_request body;
    struct incremental_alter_configs_request_resources resource;
    struct arena arena;
    incremental_alter_configs_request_init(&body);
    incremental_alter_configs_request_resources_init(&resource);
    arena_init(&arena, c->core->memory, ADMIN_ARENA_MAX);
    resource.resource_type = (int8_t)op->resource;
    resource.resource_name = wire_string_of(op->name);
    resource.configs = arena_array(&arena, op->change_count + 1, sizeof *resource.configs);
    resource.configs_count = (int32_t)op->change_count;
    for (size_t i = 0; resource.configs && i < op->change_count; i++) {
        resource.configs[i].name = wire_string_of(op->changes[i].name);
        resource.configs[i].config_operation = op->changes[i].value ? 0 : 1; /* set, delete */
        resource.configs[i].value = wire_string_of(op->changes[i].value);
    }
    body.resources = &resource;
    body.resources_count = 1;
    int error = resource.configs ? incremental_alter_configs_request_encode(&body, w, version)
                                 : ERR_NO_MEMORY;
    arena_deinit(&arena);
    return error;
}

static int set_decode(struct call *c, struct reader *reader, int version)
{
    struct incremental_alter_configs_response body;
    struct arena arena;
    arena_init(&arena, c->core->memory, ADMIN_ARENA_MAX);
    int error = incremental_alter_configs_response_decode(&body, reader, version, &arena);
    if (!error && body.responses_count != 1) {
        error = ERR_MALFORMED;
    }
    if (!error) {
        error = admin_error(c, body.responses[0].error_code, body.responses[0].error_message,
                            config_op(c)->name);
        c->error.retriable &= error != ERR_UNKNOWN_TOPIC_OR_PARTITION;
    }
    arena_deinit(&arena);
    return error;
}

int leat_configs_set(leat_client *c, int32_t resource, const char *name, const leat_config *changes,
                     size_t count, leat_error *e)
{
    static const struct call_kind kind = {
        .request = {WIRE_INCREMENTAL_ALTER_CONFIGS, 0, 1},
        .name = "change the configuration of",
        .route = config_route,
        .encode = set_encode,
        .decode = set_decode,
    };
    struct config_op op = {.admin = {.client = c, .kind = &kind},
                           .resource = resource,
                           .name = name,
                           .changes = changes,
                           .change_count = count};
    int error = config_check(resource, name, e);
    if (error) {
        return error;
    }
    bool fits = count > 0 && count <= 10000;
    for (size_t i = 0; fits && i < count; i++) {
        fits = changes[i].name && strlen(changes[i].name) <= WIRE_STRING_MAX &&
               (!changes[i].value || strlen(changes[i].value) <= WIRE_STRING_MAX);
    }
    if (!fits) {
        return error_set(e, ERR_INVALID_ARGUMENT,
                         "changing what? names and values are at most "
                         "32767 bytes");
    }
    return admin_run(&op.admin, e);
}
