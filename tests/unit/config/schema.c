/* SPDX-License-Identifier: Apache-2.0 */

/* The schema is JSON, has every key, and its limits and defaults are those of the table. */
#include "config/value.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>

struct text {
    char bytes[1 << 17];
    size_t size;
};

static void keep(void *context, const char *line)
{
    struct text *t = context;
    size_t size = strlen(line);
    cr_assert_lt(t->size + size + 2, sizeof t->bytes);
    memcpy(t->bytes + t->size, line, size);
    t->size += size;
    t->bytes[t->size++] = '\n';
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    cr_assert_not_null(text, "%s", key);
    return text;
}

static void check_number(const json_t *schema, const struct config_key_info *info)
{
    struct config_scalar value;
    char why[CONFIG_WHY_SIZE], hint[CONFIG_WHY_SIZE];
    cr_assert_eq(config_scalar_parse(info, bytes_of_string(info->standard), &value, why, hint), 0);
    cr_assert_eq(json_integer_value(json_object_get(schema, "minimum")), info->least);
    cr_assert_eq(json_integer_value(json_object_get(schema, "maximum")), info->most);
    cr_assert_eq(json_integer_value(json_object_get(schema, "default")), value.number);
    if (info->type == CONFIG_TYPE_DURATION) {
        cr_assert_str_eq(text_of(schema, "x-unit"), "milliseconds");
    } else if (info->type == CONFIG_TYPE_BYTES) {
        cr_assert_str_eq(text_of(schema, "x-unit"), "bytes");
    }
}

Test(schema, says_what_the_table_says)
{
    struct text *t = calloc(1, sizeof *t);
    json_error_t error;
    cr_assert_eq(config_schema(keep, t), 0);
    json_t *root = json_loadb(t->bytes, t->size, JSON_REJECT_DUPLICATES, &error);
    cr_assert_not_null(root, "%d: %s", error.line, error.text);
    const json_t *keys = json_object_get(root, "properties");
    const json_t *topics = json_object_get(root, "x-topic-properties");
    cr_assert_eq(json_object_size(keys), (size_t)CONFIG_KEY_COUNT);
    cr_assert_eq(json_object_size(topics), (size_t)TOPIC_KEY_COUNT);
    for (int i = 0; i < CONFIG_KEY_COUNT; i++) {
        const struct config_key_info *info = config_key_info(i);
        const json_t *schema = json_object_get(keys, info->name);
        cr_assert_not_null(schema, "%s", info->name);
        cr_assert_str_eq(text_of(schema, "description"), info->text);
        cr_assert_not_null(json_object_get(schema, "default"), "%s", info->name);
        cr_assert(json_object_get(schema, "type") || json_object_get(schema, "enum"));
        cr_assert_eq(json_is_true(json_object_get(schema, "x-dynamic")), config_key_dynamic(i));
        if (info->type == CONFIG_TYPE_INTEGER || info->type == CONFIG_TYPE_BYTES ||
            info->type == CONFIG_TYPE_DURATION) {
            check_number(schema, info);
        }
    }
    for (int i = 0; i < TOPIC_KEY_COUNT; i++) {
        const json_t *schema = json_object_get(topics, topic_key_info(i)->name);
        cr_assert_str_eq(text_of(schema, "x-default-from"),
                         config_key_info(topic_key_info(i)->broker_key)->name);
    }
    cr_assert_str_eq(text_of(json_object_get(root, "x-topic-ignored"), "flush.ms"),
                     topic_key_ignored(bytes_of_string("flush.ms")));
    cr_assert_gt(json_object_size(json_object_get(root, "x-refused")), 5u);
    cr_assert_gt(json_object_size(json_object_get(root, "x-ignored")), 20u);
    json_decref(root);
    free(t);
}
