/* SPDX-License-Identifier: Apache-2.0 */

#include "config/config.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static struct config_arguments *read_line(int argc, const char *const argv[])
{
    struct config_arguments *a = malloc(sizeof *a);
    config_arguments(a, argc, argv);
    return a;
}

#define LINE(...)                                                                                  \
    read_line(array_size(((const char *const[]){"leatd", __VA_ARGS__})),                           \
              (const char *const[]){"leatd", __VA_ARGS__})

Test(arguments, nothing_means_run)
{
    const char *const argv[] = {"leatd"};
    struct config_arguments *a = read_line(1, argv);
    cr_assert_eq(a->action, CONFIG_RUN);
    cr_assert_null(a->file);
    cr_assert_eq(a->setting_count, 0u);
    config_arguments(a, 0, NULL);
    cr_assert_eq(a->action, CONFIG_RUN);
    free(a);
}

Test(arguments, options_are_settings)
{
    struct config_arguments *a =
        LINE("--data", "/d", "--listen=127.0.0.1:1", "--set", "log.retention.ms=7d", "--shards",
             "2", "--io", "epoll", "--config", "f.yaml", "--set=a=b=c");
    cr_assert_eq(a->action, CONFIG_RUN);
    cr_assert_str_eq(a->file, "f.yaml");
    static const char *const expected[][3] = {
        {"--data", "data.dir", "/d"},        {"--listen", "listeners", "127.0.0.1:1"},
        {"--set", "log.retention.ms", "7d"}, {"--shards", "shards", "2"},
        {"--io", "io.backend", "epoll"},     {"--set", "a", "b=c"},
    };
    cr_assert_eq(a->setting_count, array_size(expected));
    for (size_t i = 0; i < array_size(expected); i++) {
        cr_assert_str_eq(a->settings[i].option, expected[i][0]);
        cr_assert_str_eq(a->settings[i].key, expected[i][1]);
        cr_assert_str_eq(a->settings[i].value, expected[i][2]);
    }
    free(a);
}

Test(arguments, actions)
{
    struct config_arguments *a = LINE("--version");
    cr_assert_eq(a->action, CONFIG_SAY);
    cr_assert_str_eq(a->message, "leatd " LEAT_VERSION);
    free(a);
    a = LINE("--data", "/d", "--help", "--nonsense");
    cr_assert_eq(a->action, CONFIG_SAY);
    cr_assert_not_null(strstr(a->message, "usage: leatd"));
    free(a);
    a = LINE("--check-config", "f.yaml");
    cr_assert_eq(a->action, CONFIG_CHECK);
    cr_assert_str_eq(a->file, "f.yaml");
    free(a);
    a = LINE("--config", "g.yaml", "--check-config", "--set", "shards=1");
    cr_assert_eq(a->action, CONFIG_CHECK);
    cr_assert_str_eq(a->file, "g.yaml");
    cr_assert_eq(a->setting_count, 1u);
    free(a);
    a = LINE("--print-config");
    cr_assert_eq(a->action, CONFIG_PRINT);
    free(a);
    a = LINE("--config-schema");
    cr_assert_eq(a->action, CONFIG_SCHEMA);
    free(a);
}

static void expect_usage(struct config_arguments *a, const char *message)
{
    cr_assert_eq(a->action, CONFIG_USAGE);
    cr_assert_str_eq(a->message, message);
    free(a);
}

Test(arguments, wrong_lines)
{
    static const char advice[] = "\nleatd --help lists the options";
    char expected[200];
    snprintf(expected, sizeof expected, "leatd: unknown option '--prot'%s", advice);
    expect_usage(LINE("--prot", "1"), expected);
    snprintf(expected, sizeof expected, "leatd: unknown option 'data'%s", advice);
    expect_usage(LINE("data"), expected);
    snprintf(expected, sizeof expected, "leatd: --data needs a value%s", advice);
    expect_usage(LINE("--data"), expected);
    snprintf(expected, sizeof expected, "leatd: --set takes KEY=VALUE, not 'shards'%s", advice);
    expect_usage(LINE("--set", "shards"), expected);
    snprintf(expected, sizeof expected, "leatd: --set takes KEY=VALUE, not '=5'%s", advice);
    expect_usage(LINE("--set", "=5"), expected);
}

Test(arguments, too_many_settings)
{
    const char *argv[2 * CONFIG_SETTINGS_MAX + 3] = {"leatd"};
    for (int i = 0; i <= CONFIG_SETTINGS_MAX; i++) {
        argv[2 * i + 1] = "--set";
        argv[2 * i + 2] = "shards=1";
    }
    struct config_arguments *a = read_line(2 * CONFIG_SETTINGS_MAX + 3, argv);
    cr_assert_eq(a->action, CONFIG_USAGE);
    cr_assert_eq(a->setting_count, (size_t)CONFIG_SETTINGS_MAX);
    free(a);
    a = read_line(2 * CONFIG_SETTINGS_MAX + 1, argv);
    cr_assert_eq(a->action, CONFIG_RUN);
    free(a);
}
