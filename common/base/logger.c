/* SPDX-License-Identifier: Apache-2.0 */

/* Formatting happens here, on the caller's stack, so that a sink only moves bytes. */
#include "base/logger.h"

#include <stdio.h>

enum { LOGGER_LINE_SIZE = 1024 };

void logger_write(const struct logger *lg, enum logger_level level, const char *module,
                  const char *format, ...)
{
    if (!lg || level < __atomic_load_n(&lg->level, __ATOMIC_RELAXED)) {
        return;
    }
    char line[LOGGER_LINE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    lg->sink(lg->context, level, module, line);
}

void logger_set_level(struct logger *lg, enum logger_level level)
{
    assert(level <= LOGGER_ERROR);
    __atomic_store_n(&lg->level, level, __ATOMIC_RELAXED);
}

const char *logger_level_name(enum logger_level level)
{
    switch (level) {
    case LOGGER_DEBUG:
        return "debug";
    case LOGGER_INFO:
        return "info";
    case LOGGER_WARN:
        return "warn";
    case LOGGER_ERROR:
        return "error";
    }
    return "unknown";
}
