/* SPDX-License-Identifier: Apache-2.0 */

/* logger: one line for one event, for people and for tools.
 *
 * A line is made of a level, the module, a sentence and key=value pairs in the sentence's format.
 * Where it goes is the sink's business: the I/O seam writes it to stderr as logfmt or JSON, the
 * simulator adds it to the story of a seed. There is no global logger: each node has its own. A
 * logger may be used from any shard; the sink serialises. */
#pragma once

#include "base/assert.h"

#include <stdarg.h>

enum logger_level { LOGGER_DEBUG, LOGGER_INFO, LOGGER_WARN, LOGGER_ERROR };

struct logger {
    enum logger_level level; /* lines below it are dropped; logger_set_level() changes it */
    /* `line` is NUL-terminated, without a line end, lent for the call. */
    void (*sink)(void *context, enum logger_level level, const char *module, const char *line);
    void *context;
};

/* Lines longer than 1023 bytes are cut. `lg` may be NULL: then nothing is written. */
void logger_write(const struct logger *lg, enum logger_level level, const char *module,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));

/* While other threads write: those see the new level soon. */
void logger_set_level(struct logger *lg, enum logger_level level);

const char *logger_level_name(enum logger_level level);

#define log_debug(lg, module, ...) logger_write(lg, LOGGER_DEBUG, module, __VA_ARGS__)
#define log_info(lg, module, ...) logger_write(lg, LOGGER_INFO, module, __VA_ARGS__)
#define log_warn(lg, module, ...) logger_write(lg, LOGGER_WARN, module, __VA_ARGS__)
#define log_error(lg, module, ...) logger_write(lg, LOGGER_ERROR, module, __VA_ARGS__)
