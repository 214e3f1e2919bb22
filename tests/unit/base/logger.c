/* SPDX-License-Identifier: Apache-2.0 */

#include "base/logger.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

struct caught {
    int lines;
    char text[2048], module[16];
    enum logger_level level;
};

static void catch_line(void *context, enum logger_level level, const char *module, const char *line)
{
    struct caught *c = context;
    c->lines++;
    c->level = level;
    snprintf(c->text, sizeof c->text, "%s", line);
    snprintf(c->module, sizeof c->module, "%s", module);
}

Test(logger, level_decides_what_passes)
{
    struct caught c = {0};
    struct logger lg = {LOGGER_WARN, catch_line, &c};
    log_debug(&lg, "test", "no");
    log_info(&lg, "test", "no");
    cr_assert_eq(c.lines, 0);
    log_warn(&lg, "test", "n=%d", 5);
    cr_assert_eq(c.lines, 1);
    cr_assert_str_eq(c.text, "n=5");
    cr_assert_str_eq(c.module, "test");
    cr_assert_eq(c.level, LOGGER_WARN);
    log_error(&lg, "test", "e");
    cr_assert_eq(c.level, LOGGER_ERROR);
    log_error((struct logger *)NULL, "test", "nobody listens");
    cr_assert_eq(c.lines, 2);
}

Test(logger, long_lines_are_cut)
{
    struct caught c = {0};
    struct logger lg = {LOGGER_DEBUG, catch_line, &c};
    log_info(&lg, "test", "%*d", 5000, 1);
    cr_assert_eq(strlen(c.text), 1023u);
}

Test(logger, level_names)
{
    cr_assert_str_eq(logger_level_name(LOGGER_DEBUG), "debug");
    cr_assert_str_eq(logger_level_name(LOGGER_INFO), "info");
    cr_assert_str_eq(logger_level_name(LOGGER_WARN), "warn");
    cr_assert_str_eq(logger_level_name(LOGGER_ERROR), "error");
}
