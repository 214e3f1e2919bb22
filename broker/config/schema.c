/* SPDX-License-Identifier: Apache-2.0 */

/* The tables as JSON Schema (draft 2020-12), for editors, checks and forms. What a schema has no
 * word for stands in keys of its own that begin with "x-", as the standard allows. */
#include "config/value.h"

#include <jansson.h>

/* jansson holds every object that it was given a reference to; `json_object_set_new` takes it, also
 * when it fails, so that memory that ran out shows as the wrong number of keys at the end. */
static void put(json_t *object, const char *key, json_t *value)
{
    (void)json_object_set_new(object, key, value);
}

static json_t *choices(const struct config_key_info *info)
{
    json_t *list = json_array();
    for (size_t i = 0; config_choice(info->choices, i).size > 0; i++) {
        struct bytes choice = config_choice(info->choices, i);
        (void)json_array_append_new(list, json_stringn((const char *)choice.data, choice.size));
    }
    return list;
}

/* A number, or a text with a unit. */
static void put_number(json_t *out, const struct config_key_info *info, const char *unit,
                       const char *pattern)
{
    struct config_scalar value = {0};
    char why[CONFIG_WHY_SIZE], hint[CONFIG_WHY_SIZE];
    if (pattern) {
        put(out, "type", json_pack("[ss]", "integer", "string"));
        put(out, "pattern", json_string(pattern));
        put(out, "x-unit", json_string(unit));
    } else {
        put(out, "type", json_string("integer"));
    }
    put(out, "minimum", json_integer(info->least));
    put(out, "maximum", json_integer(info->most));
    int error = config_scalar_parse(info, bytes_of_string(info->standard), &value, why, hint);
    assert(error == 0);
    put(out, "default", json_integer(value.number));
}

static void put_ratio(json_t *out, const struct config_key_info *info)
{
    struct config_scalar value = {0};
    char why[CONFIG_WHY_SIZE], hint[CONFIG_WHY_SIZE];
    int error = config_scalar_parse(info, bytes_of_string(info->standard), &value, why, hint);
    assert(error == 0);
    put(out, "type", json_string("number"));
    put(out, "minimum", json_real((double)info->least / 1e6));
    put(out, "maximum", json_real((double)info->most / 1e6));
    put(out, "default", json_real((double)value.number / 1e6));
}

static json_t *listener_schema(void)
{
    return json_pack("{s:s, s:{s:s, s:{s:{s:s}, s:{s:s}, s:{s:s}}, s:[s], s:b}}", "type", "array",
                     "items", "type", "object", "properties", "name", "type", "string", "address",
                     "type", "string", "advertised", "type", "string", "required", "address",
                     "additionalProperties", 0);
}

/* Type, limits and default of a key. */
static json_t *type_schema(const struct config_key_info *info)
{
    if (info->type == CONFIG_TYPE_LISTENERS) {
        json_t *list = listener_schema();
        put(list, "default",
            json_pack("[{s:s, s:s}]", "name", "plain", "address", "127.0.0.1:9092"));
        return list;
    }
    json_t *out = json_object();
    switch (info->type) {
    case CONFIG_TYPE_BOOL:
        put(out, "type", json_string("boolean"));
        put(out, "default", json_boolean(strcmp(info->standard, "true") == 0));
        break;
    case CONFIG_TYPE_INTEGER:
        put_number(out, info, NULL, NULL);
        break;
    case CONFIG_TYPE_BYTES:
        put_number(out, info, "bytes", "^-?[0-9]+ *([KMGT]i?B|B)?$");
        break;
    case CONFIG_TYPE_DURATION:
        put_number(out, info, "milliseconds", "^-?[0-9]+ *(ms|s|m|h|d|w)?$");
        break;
    case CONFIG_TYPE_RATIO:
        put_ratio(out, info);
        break;
    case CONFIG_TYPE_CHOICE:
        put(out, "enum", choices(info));
        put(out, "default", json_string(info->standard));
        break;
    case CONFIG_TYPE_TEXT:
        put(out, "type", json_string("string"));
        put(out, "default", json_string(info->standard));
        break;
    case CONFIG_TYPE_ITEMS:
        put(out, "type", json_string("array"));
        put(out, "items",
            info->choices ? json_pack("{s:o}", "enum", choices(info))
                          : json_pack("{s:s}", "type", "string"));
        put(out, "default", json_array());
        break;
    case CONFIG_TYPE_LISTENERS:
        break;
    }
    return out;
}

static json_t *key_schema(enum config_key key)
{
    const struct config_key_info *info = config_key_info(key);
    json_t *out = type_schema(info);
    put(out, "description", json_string(info->text));
    put(out, "x-dynamic", json_boolean(config_key_dynamic(key)));
    put(out, "x-kafka", json_boolean(info->flags & KEY_KAFKA));
    if (info->flags & KEY_TEST) {
        put(out, "x-for-tests", json_true());
    }
    return out;
}

static json_t *topic_schema(enum topic_key key)
{
    const struct topic_key_info *info = topic_key_info(key);
    json_t *out = type_schema(config_key_info(info->broker_key));
    put(out, "description", json_string(info->text));
    put(out, "x-default-from", json_string(config_key_info(info->broker_key)->name));
    put(out, "x-dynamic", json_boolean(!(info->flags & TOPIC_FIXED)));
    return out;
}

static json_t *ignored_topic_keys(void)
{
    json_t *out = json_object();
    for (size_t i = 0; topic_ignored_at(i); i++) {
        put(out, topic_ignored_at(i)->name, json_string(topic_ignored_at(i)->text));
    }
    return out;
}

static json_t *foreign_keys(bool harmless)
{
    json_t *out = json_object();
    for (size_t i = 0; config_foreign_at(i); i++) {
        if (config_foreign_at(i)->harmless == harmless) {
            put(out, config_foreign_at(i)->name, json_string(config_foreign_at(i)->text));
        }
    }
    return out;
}

struct printing {
    config_line_fn *line;
    void *context;
    char text[1024];
    size_t size;
};

/* jansson gives pieces; lines go on. */
static int print_piece(const char *piece, size_t size, void *context)
{
    struct printing *p = context;
    for (size_t i = 0; i < size; i++) {
        if (piece[i] != '\n') {
            if (p->size == sizeof p->text - 1) {
                return -1;
            }
            p->text[p->size++] = piece[i];
            continue;
        }
        p->text[p->size] = 0;
        p->line(p->context, p->text);
        p->size = 0;
    }
    return 0;
}

int config_schema(config_line_fn *line, void *context)
{
    json_t *keys = json_object(), *topics = json_object();
    for (int key = 0; key < CONFIG_KEY_COUNT; key++) {
        put(keys, config_key_info(key)->name, key_schema(key));
    }
    for (int key = 0; key < TOPIC_KEY_COUNT; key++) {
        put(topics, topic_key_info(key)->name, topic_schema(key));
    }
    bool whole =
        json_object_size(keys) == CONFIG_KEY_COUNT && json_object_size(topics) == TOPIC_KEY_COUNT;
    json_t *schema = json_pack(
        "{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "$schema",
        "https://json-schema.org/draft/2020-12/schema", "title", "configuration of leatd",
        "description",
        "A dotted key and the nested maps with the same path are the same key; this schema has "
        "the dotted form.",
        "type", "object", "properties", keys, "x-topic-properties", topics, "x-ignored",
        foreign_keys(true), "x-refused", foreign_keys(false), "x-topic-ignored",
        ignored_topic_keys());
    struct printing p = {.line = line, .context = context};
    int error =
        !schema || !whole || json_dump_callback(schema, print_piece, &p, JSON_INDENT(2)) != 0;
    json_decref(schema);
    if (!error && p.size > 0) {
        p.text[p.size] = 0;
        line(context, p.text);
    }
    return error ? ERR_NO_MEMORY : 0;
}
