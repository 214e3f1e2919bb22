/* SPDX-License-Identifier: Apache-2.0 */

#include "config/value.h"

#include <criterion/criterion.h>
#include <stdio.h>

static int parse(enum config_key key, const char *text, struct config_scalar *value, char *why)
{
    char hint[CONFIG_WHY_SIZE];
    return config_scalar_parse(config_key_info(key), bytes_of_string(text), value, why, hint);
}

static void expect(enum config_key key, const char *text, int64_t number)
{
    struct config_scalar value = {0};
    char why[CONFIG_WHY_SIZE];
    cr_assert_eq(parse(key, text, &value, why), 0, "'%s': %s", text, why);
    cr_assert_eq(value.number, number, "'%s' became %lld", text, (long long)value.number);
}

static void expect_refused(enum config_key key, const char *text, const char *reason)
{
    struct config_scalar value = {.number = 77};
    char why[CONFIG_WHY_SIZE];
    cr_assert_eq(parse(key, text, &value, why), ERR_INVALID_CONFIG, "'%s' was taken", text);
    cr_assert_str_eq(why, reason);
    cr_assert_eq(value.number, 77, "a refused value is not written");
}

Test(value, sizes)
{
    expect(CONFIG_LOG_SEGMENT_BYTES, "1GiB", 1 << 30);
    expect(CONFIG_LOG_SEGMENT_BYTES, "64 MiB", 64 << 20);
    expect(CONFIG_LOG_SEGMENT_BYTES, "2000000", 2000000);
    expect(CONFIG_LOG_SEGMENT_BYTES, "2MB", 2000000);
    expect(CONFIG_LOG_RETENTION_BYTES, "-1", -1);
    expect(CONFIG_LOG_RETENTION_BYTES, "9223372036854775807", INT64_MAX);
    expect_refused(CONFIG_LOG_SEGMENT_BYTES, "64KiB", "64KiB is below the minimum 1MiB");
    expect_refused(CONFIG_LOG_SEGMENT_BYTES, "2GiB", "2GiB is above the maximum 2147483647");
    expect_refused(CONFIG_LOG_SEGMENT_BYTES, "1G", "'1G' has an unknown unit");
    expect_refused(CONFIG_LOG_SEGMENT_BYTES, "", "'' is not a number");
    expect_refused(CONFIG_LOG_SEGMENT_BYTES, "GiB", "'GiB' is not a number");
    expect_refused(CONFIG_LOG_SEGMENT_BYTES, "1.5GiB", "'1.5GiB' has an unknown unit");
    expect_refused(CONFIG_LOG_RETENTION_BYTES, "-2", "-2 is below the minimum -1");
    expect_refused(CONFIG_LOG_RETENTION_BYTES, "9223372036854775808",
                   "9223372036854775808 is too large");
    expect_refused(CONFIG_LOG_RETENTION_BYTES, "9000000TiB", "9000000TiB is too large");
}

Test(value, durations)
{
    expect(CONFIG_LOG_RETENTION_MS, "7d", 604800000);
    expect(CONFIG_LOG_RETENTION_MS, "1w", 604800000);
    expect(CONFIG_LOG_RETENTION_MS, "90 s", 90000);
    expect(CONFIG_LOG_RETENTION_MS, "15m", 900000);
    expect(CONFIG_LOG_RETENTION_MS, "1500", 1500);
    expect(CONFIG_LOG_RETENTION_MS, "20ms", 20);
    expect_refused(CONFIG_LOG_RETENTION_MS, "7 days", "'7 days' has an unknown unit");
    expect_refused(CONFIG_CONNECTIONS_MAX_IDLE_MS, "10ms", "10ms is below the minimum 1s");
}

Test(value, numbers_booleans_choices)
{
    expect(CONFIG_NUM_PARTITIONS, "12", 12);
    expect(CONFIG_SECURITY_OPEN, "true", 1);
    expect(CONFIG_SECURITY_OPEN, "false", 0);
    expect(CONFIG_DEFAULT_DURABILITY, "memory", TOPIC_DURABILITY_MEMORY);
    expect(CONFIG_LOG_MESSAGE_TIMESTAMP_TYPE, "LogAppendTime", TOPIC_TIMESTAMP_LOG_APPEND_TIME);
    expect_refused(CONFIG_NUM_PARTITIONS, "0", "0 is below the minimum 1");
    expect_refused(CONFIG_NUM_PARTITIONS, "1KiB", "'1KiB' is not a whole number");
    expect_refused(CONFIG_NUM_PARTITIONS, "0x10", "'0x10' is not a whole number");
    expect_refused(CONFIG_SECURITY_OPEN, "yes", "'yes' is neither true nor false");
    expect_refused(CONFIG_DEFAULT_DURABILITY, "disk", "'disk' is not one of: fsync, memory");
    expect_refused(CONFIG_COMPRESSION_TYPE, "zstd",
                   "zstd: batches are kept as they were sent, only producer is accepted");
}

/* A list in Kafka, a choice here: any order, and spaces. */
Test(value, cleanup_policies)
{
    expect(CONFIG_LOG_CLEANUP_POLICY, "delete", TOPIC_CLEANUP_DELETE);
    expect(CONFIG_LOG_CLEANUP_POLICY, "compact", TOPIC_CLEANUP_COMPACT);
    expect(CONFIG_LOG_CLEANUP_POLICY, "compact,delete", TOPIC_CLEANUP_BOTH);
    expect(CONFIG_LOG_CLEANUP_POLICY, "delete, compact", TOPIC_CLEANUP_BOTH);
    expect(CONFIG_LOG_CLEANUP_POLICY, "compact,compact", TOPIC_CLEANUP_COMPACT);
    static const char *const wrong[] = {"",        ",",        "compact,",
                                        ",delete", "compacts", "compact;delete"};
    for (size_t i = 0; i < array_size(wrong); i++) {
        char why[CONFIG_WHY_SIZE];
        snprintf(why, sizeof why, "'%s' is not one of: delete, compact, compact,delete", wrong[i]);
        expect_refused(CONFIG_LOG_CLEANUP_POLICY, wrong[i], why);
    }
    char out[32], why[CONFIG_WHY_SIZE];
    cr_assert_eq(config_value_normal(CONFIG_LOG_CLEANUP_POLICY, bytes_of_string("delete,compact"),
                                     out, sizeof out, why),
                 0);
    cr_assert_str_eq(out, "compact,delete");
}

Test(value, ratios)
{
    static const struct {
        const char *text;
        int64_t millionths;
        const char *shown;
    } good[] = {
        {"0.5", 500000, "0.5"},   {"0", 0, "0.0"},          {"1", 1000000, "1.0"},
        {"1.0", 1000000, "1.0"},  {"0.25", 250000, "0.25"}, {"0.000001", 1, "0.000001"},
        {"00.10", 100000, "0.1"},
    };
    for (size_t i = 0; i < array_size(good); i++) {
        char out[32], why[CONFIG_WHY_SIZE];
        struct bytes text = bytes_of_string(good[i].text);
        expect(CONFIG_LOG_CLEANER_MIN_CLEANABLE_RATIO, good[i].text, good[i].millionths);
        cr_assert_eq(
            config_value_normal(CONFIG_LOG_CLEANER_MIN_CLEANABLE_RATIO, text, out, sizeof out, why),
            0);
        cr_assert_str_eq(out, good[i].shown);
    }
    static const char *const wrong[] = {"",      ".",         ".5",  "5.",
                                        "0.5.1", "-0.5",      "1e1", "half",
                                        "0,5",   "0.0000001", "0x1", "9999999999999"};
    for (size_t i = 0; i < array_size(wrong); i++) {
        char why[CONFIG_WHY_SIZE];
        snprintf(why, sizeof why, "'%s' is not a fraction like 0.5", wrong[i]);
        expect_refused(CONFIG_LOG_CLEANER_MIN_CLEANABLE_RATIO, wrong[i], why);
    }
    expect_refused(CONFIG_LOG_CLEANER_MIN_CLEANABLE_RATIO, "1.000001",
                   "1.000001 is not between 0.0 and 1.0");
}

Test(value, formats_come_back_as_the_same_value)
{
    static const int64_t numbers[] = {-1,    0,     1,       999,       1000,
                                      1024,  60000, 1048576, 1048588,   604800000,
                                      90000, 1500,  1 << 30, INT32_MAX, INT64_MAX};
    static const enum config_key keys[] = {CONFIG_LOG_RETENTION_BYTES, CONFIG_LOG_RETENTION_MS};
    for (size_t k = 0; k < array_size(keys); k++) {
        for (size_t i = 0; i < array_size(numbers); i++) {
            struct config_scalar value = {.number = numbers[i]};
            char shown[64];
            config_scalar_pretty(config_key_info(keys[k]), &value, shown, sizeof shown);
            expect(keys[k], shown, numbers[i]);
            config_scalar_format(config_key_info(keys[k]), &value, shown, sizeof shown);
            expect(keys[k], shown, numbers[i]);
        }
    }
}

Test(value, outside_text_is_quoted_short_and_clean)
{
    char out[CONFIG_QUOTE_SIZE];
    cr_assert_str_eq(config_quote(bytes_of("a\x1b[31m\n", 7), out), "a?[31m?");
    char big[1000];
    memset(big, 'x', sizeof big);
    cr_assert_eq(strlen(config_quote(bytes_of(big, sizeof big), out)), 63u);
}

Test(value, addresses)
{
    char host[CONFIG_HOST_SIZE];
    uint16_t port = 0;
    cr_assert(config_split_address(bytes_of_string("127.0.0.1:9092"), host, &port));
    cr_assert_str_eq(host, "127.0.0.1");
    cr_assert_eq(port, 9092);
    cr_assert(config_split_address(bytes_of_string("[::1]:0"), host, &port));
    cr_assert_str_eq(host, "::1");
    cr_assert_eq(port, 0);
    static const char *const wrong[] = {"",         "host",        ":1",    "host:", "host:65536",
                                        "::1:9092", "h:1:2",       "[]:1",  "h:0x1", "h:-1",
                                        "a b:1",    "h:000000001", "\x01:1"};
    for (size_t i = 0; i < array_size(wrong); i++) {
        cr_assert_not(config_split_address(bytes_of_string(wrong[i]), host, &port), "'%s'",
                      wrong[i]);
    }
    cr_assert_str_eq(host, "::1", "a refused address changes nothing");
}
