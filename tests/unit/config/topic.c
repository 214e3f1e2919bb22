/* SPDX-License-Identifier: Apache-2.0 */

#include "loading.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static struct loading *broker(const char *file)
{
    struct loading *l = malloc(sizeof *l);
    loading_run(l, file, NULL, NULL);
    cr_assert_eq(l->error, 0, "%s", l->text);
    return l;
}

Test(topic, values_come_from_the_broker_until_the_topic_sets_them)
{
    struct loading *l = broker("log.retention.ms: 1h\ndefault.durability: memory\n"
                               "unclean.leader.election.enable: true\n");
    struct topic_config t;
    char why[CONFIG_WHY_SIZE], shown[64];
    topic_config_init(&t, l->config);
    cr_assert_eq(t.own, 0u);
    cr_assert_eq(topic_config_number(&t, TOPIC_RETENTION_MS), 3600000);
    cr_assert_eq(topic_config_number(&t, TOPIC_DURABILITY), TOPIC_DURABILITY_MEMORY);
    cr_assert_eq(topic_config_number(&t, TOPIC_SEGMENT_BYTES), 1 << 30);
    cr_assert_eq(
        topic_config_set(&t, TOPIC_RETENTION_MS, bytes_of_string("60000"), why, sizeof why), 0);
    cr_assert(topic_config_is_own(&t, TOPIC_RETENTION_MS));
    cr_assert_not(topic_config_is_own(&t, TOPIC_RETENTION_BYTES));
    topic_config_format(&t, TOPIC_RETENTION_MS, shown, sizeof shown);
    cr_assert_str_eq(shown, "60000");
    topic_config_format(&t, TOPIC_DURABILITY, shown, sizeof shown);
    cr_assert_str_eq(shown, "memory");
    topic_config_format(&t, TOPIC_MESSAGE_TIMESTAMP_BEFORE, shown, sizeof shown);
    cr_assert_str_eq(shown, "9223372036854775807");
    topic_config_format(&t, TOPIC_CLEANUP_POLICY, shown, sizeof shown);
    cr_assert_str_eq(shown, "delete");
    cr_assert_eq(topic_config_number(&t, TOPIC_UNCLEAN_LEADER_ELECTION_ENABLE), 1);
    topic_config_format(&t, TOPIC_UNCLEAN_LEADER_ELECTION_ENABLE, shown, sizeof shown);
    cr_assert_str_eq(shown, "true");
    topic_config_unset(&t, TOPIC_RETENTION_MS, l->config);
    cr_assert_not(topic_config_is_own(&t, TOPIC_RETENTION_MS));
    cr_assert_eq(topic_config_number(&t, TOPIC_RETENTION_MS), 3600000);
    loading_end(l);
    free(l);
}

Test(topic, refused_values_say_why_and_change_nothing)
{
    static const struct {
        enum topic_key key;
        const char *value, *why;
    } cases[] = {
        {TOPIC_CLEANUP_POLICY, "compact,purge",
         "cleanup.policy: 'compact,purge' is not one of: delete, compact, compact,delete"},
        {TOPIC_MIN_CLEANABLE_DIRTY_RATIO, "1.5",
         "min.cleanable.dirty.ratio: 1.5 is not between 0.0 and 1.0"},
        {TOPIC_SEGMENT_BYTES, "14", "segment.bytes: 14 is below the minimum 1MiB"},
        {TOPIC_DURABILITY, "disk", "durability: 'disk' is not one of: fsync, memory"},
        {TOPIC_RETENTION_MS, "-2", "retention.ms: -2 is below the minimum -1"},
        {TOPIC_COMPRESSION_TYPE, "gzip",
         "compression.type: gzip: batches are kept as they were sent, only producer is accepted"},
        {TOPIC_UNCLEAN_LEADER_ELECTION_ENABLE, "maybe",
         "unclean.leader.election.enable: 'maybe' is neither true nor false"},
        {TOPIC_MIN_INSYNC_REPLICAS, "0", "min.insync.replicas: 0 is below the minimum 1"},
    };
    struct loading *l = broker("");
    struct topic_config t;
    topic_config_init(&t, l->config);
    struct topic_config before = t;
    for (size_t i = 0; i < array_size(cases); i++) {
        char why[CONFIG_WHY_SIZE];
        struct bytes value = bytes_of_string(cases[i].value);
        cr_assert_eq(topic_config_check(cases[i].key, value, why, sizeof why), ERR_INVALID_CONFIG);
        cr_assert_str_eq(why, cases[i].why);
        cr_assert_eq(topic_config_set(&t, cases[i].key, value, why, sizeof why),
                     ERR_INVALID_CONFIG);
        cr_assert_eq(t.own, 0u);
        cr_assert_eq(topic_config_number(&t, cases[i].key),
                     topic_config_number(&before, cases[i].key));
    }
    char why[CONFIG_WHY_SIZE];
    for (int key = 0; key < TOPIC_KEY_COUNT; key++) {
        cr_assert_neq(topic_config_check(key, (struct bytes){0}, why, sizeof why), 0,
                      "%s takes nothing", topic_key_info(key)->name);
        char shown[64];
        topic_config_format(&t, key, shown, sizeof shown);
        cr_assert_eq(topic_config_check(key, bytes_of_string(shown), why, sizeof why), 0, "%s",
                     why);
    }
    loading_end(l);
    free(l);
}
