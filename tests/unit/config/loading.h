/* SPDX-License-Identifier: Apache-2.0 */

/* Loads a configuration and keeps every line that was reported. */
#pragma once

#include "config/config.h"

struct loading {
    struct memory memory;
    struct config *config; /* NULL after an error */
    int error;
    size_t lines;
    char text[64 << 10]; /* all lines, each with its end */
};

/* `file` is YAML text or NULL; `settings` are KEY=VALUE pairs ended by NULL, or NULL. */
void loading_run(struct loading *l, const char *file, const char *const *environment,
                 const char *const *settings);
void loading_run_bytes(struct loading *l, struct bytes file);
void loading_end(struct loading *l);

/* For callbacks that gather lines. */
void loading_line(void *context, const char *line);
