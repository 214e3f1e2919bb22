/* SPDX-License-Identifier: Apache-2.0 */

/* The table itself: what a program can check of it. */
#include "config/value.h"
#include "loading.h"

#include <criterion/criterion.h>
#include <ctype.h>

Test(keys, names_are_unique_also_as_variables)
{
    for (int i = 0; i < CONFIG_KEY_COUNT; i++) {
        char variable[CONFIG_NAME_SIZE];
        const char *name = config_key_info(i)->name;
        cr_assert_lt(strlen(name), (size_t)CONFIG_NAME_SIZE);
        size_t size = 0;
        for (; name[size]; size++) {
            variable[size] = name[size] == '.' ? '_' : (char)toupper(name[size]);
        }
        for (int k = 0; k < CONFIG_KEY_COUNT; k++) {
            cr_assert_eq(config_key_matches_variable(k, bytes_of(variable, size)), i == k,
                         "%s against %s", name, config_key_info(k)->name);
        }
        cr_assert_eq(config_key_find(bytes_of_string(name)), i);
        cr_assert_not(config_key_is_prefix(bytes_of_string(name)),
                      "%s is both a key and a map of keys", name);
    }
    cr_assert_eq(config_key_find(bytes_of_string("nonsense")), -1);
}

Test(keys, entries_are_complete)
{
    for (int i = 0; i < CONFIG_KEY_COUNT; i++) {
        const struct config_key_info *info = config_key_info(i);
        size_t size = strlen(info->text);
        cr_assert(size > 10 && info->text[size - 1] == '.', "%s has no sentence", info->name);
        cr_assert(info->type != CONFIG_TYPE_CHOICE || info->choices, "%s", info->name);
        cr_assert_leq(info->least, info->most, "%s", info->name);
        cr_assert_neq(config_key_kafka_type(i), 0);
    }
}

Test(keys, every_default_is_a_value_of_its_key)
{
    for (int i = 0; i < CONFIG_KEY_COUNT; i++) {
        const struct config_key_info *info = config_key_info(i);
        struct config_scalar value;
        char why[CONFIG_WHY_SIZE], hint[CONFIG_WHY_SIZE];
        int error = config_scalar_parse(info, bytes_of_string(info->standard), &value, why, hint);
        cr_assert_eq(error, 0, "%s: %s", info->name, why);
    }
}

Test(keys, topic_keys_follow_scalar_broker_keys)
{
    for (int i = 0; i < TOPIC_KEY_COUNT; i++) {
        const struct topic_key_info *info = topic_key_info(i);
        enum config_type type = config_key_info(info->broker_key)->type;
        cr_assert(type != CONFIG_TYPE_TEXT && type < CONFIG_TYPE_ITEMS, "%s", info->name);
        cr_assert_eq(topic_key_find(bytes_of_string(info->name)), i);
    }
}

Test(keys, kafka_types_are_kafkas)
{
    static const struct {
        enum config_key key;
        int type;
    } expected[] = {
        {CONFIG_LOG_RETENTION_MS, 5},         {CONFIG_LOG_RETENTION_BYTES, 5},
        {CONFIG_LOG_SEGMENT_BYTES, 3},        {CONFIG_MESSAGE_MAX_BYTES, 3},
        {CONFIG_MIN_INSYNC_REPLICAS, 3},      {CONFIG_AUTO_CREATE_TOPICS_ENABLE, 1},
        {CONFIG_LOG_CLEANUP_POLICY, 7},       {CONFIG_LOG_MESSAGE_TIMESTAMP_TYPE, 2},
        {CONFIG_LOG_INDEX_INTERVAL_BYTES, 3}, {CONFIG_COMPRESSION_TYPE, 2},
    };
    for (size_t i = 0; i < array_size(expected); i++) {
        cr_assert_eq(config_key_kafka_type(expected[i].key), expected[i].type, "%s",
                     config_key_info(expected[i].key)->name);
    }
}

/* What Kafka has and leat does not is never a key of ours as well: one of the two would lie. */
Test(keys, foreign_and_ignored_names_are_no_keys)
{
    size_t refused = 0, harmless = 0;
    for (size_t i = 0; config_foreign_at(i); i++) {
        const struct config_foreign *f = config_foreign_at(i);
        struct bytes name = bytes_of_string(f->name);
        bool family = name.data[name.size - 1] == '.';
        cr_assert_eq(config_key_find(name), -1, "%s", f->name);
        cr_assert_gt(strlen(f->text), 10u, "%s", f->name);
        cr_assert_eq(family, config_foreign_find(name) != f, "%s", f->name);
        refused += !f->harmless;
        harmless += f->harmless;
    }
    cr_assert_gt(refused, 10u);
    cr_assert_gt(harmless, 10u);
    for (size_t i = 0; topic_ignored_at(i); i++) {
        struct bytes name = bytes_of_string(topic_ignored_at(i)->name);
        cr_assert_eq(topic_key_find(name), -1);
        cr_assert_str_eq(topic_key_ignored(name), topic_ignored_at(i)->text);
    }
    cr_assert_null(topic_key_ignored(bytes_of_string("retention.ms")));
    cr_assert_null(config_key_foreign(bytes_of_string("log.retention.ms")));
    cr_assert_str_eq(config_key_foreign(bytes_of_string("log.cleaner.threads")),
                     "every shard has one cleaner");
}

/* Every topic's key can change at run time, or is fixed; and so its default at the broker. */
Test(keys, values_are_normalised)
{
    char out[64], why[CONFIG_WHY_SIZE];
    int64_t number = 7;
    cr_assert_eq(
        config_value_normal(CONFIG_LOG_RETENTION_MS, bytes_of_string("7d"), out, sizeof out, why),
        0);
    cr_assert_str_eq(out, "604800000");
    cr_assert_eq(
        config_value_normal(CONFIG_LOGGING_LEVEL, bytes_of_string("loud"), out, sizeof out, why),
        ERR_INVALID_CONFIG);
    cr_assert_str_eq(why, "'loud' is not one of: debug, info, warn, error");
    cr_assert(config_value_number(CONFIG_LOGGING_LEVEL, bytes_of_string("warn"), &number));
    cr_assert_eq(number, 2);
    cr_assert_not(config_value_number(CONFIG_FETCH_MAX_BYTES, bytes_of_string("1GiB"), &number));
    cr_assert_eq(number, 2, "a refused value is not written");
}

Test(keys, nearest_name)
{
    static const char *const pairs[][2] = {
        {"log.segement.bytes", "log.segment.bytes"},
        {"log.retnetion.ms", "log.retention.ms"},
        {"nodeid", "node.id"},
        {"num.partition", "num.partitions"},
        {"data_dir", "data.dir"},
    };
    for (size_t i = 0; i < array_size(pairs); i++) {
        const char *nearest = config_key_nearest(bytes_of_string(pairs[i][0]));
        cr_assert_not_null(nearest, "%s", pairs[i][0]);
        cr_assert_str_eq(nearest, pairs[i][1]);
    }
    cr_assert_null(config_key_nearest(bytes_of_string("completely.different.thing")));
    cr_assert_null(config_key_nearest(bytes_of_string("")));
}
