/* SPDX-License-Identifier: Apache-2.0 */

/* Private to config: a configuration while it is being loaded. */
#pragma once

#include "config/value.h"

enum config_level { LEVEL_NOTE, LEVEL_WARNING, LEVEL_ERROR };

enum config_source { SOURCE_DEFAULT, SOURCE_FILE, SOURCE_ENVIRONMENT, SOURCE_OPTION };

/* Where a value stands. Texts live as long as the configuration. */
struct config_place {
    enum config_source source;
    const char *name;      /* file, variable or option */
    unsigned line, column; /* of files, from 1 */
};

struct config_entry {
    struct config_scalar scalar;
    const char *text; /* TEXT and CHOICE */
    const char *const *items;
    size_t item_count;
    struct config_place place;
};

struct config {
    struct memory *memory;
    struct arena arena;
    struct config_entry entries[CONFIG_KEY_COUNT];
    struct config_listener listeners[CONFIG_LISTENERS_MAX];
    struct config_place listener_places[CONFIG_LISTENERS_MAX];
    size_t listener_count;
};

enum { PROBLEMS_MAX = 100 }; /* then reading stops */

struct loader {
    struct config *config;
    const struct config_input *input;
    const char *file_name; /* a copy in the configuration */
    config_line_fn *line;
    void *context;
    unsigned problems, errors;
    bool out_of_memory;
};

/* Prints one problem, with its source line and the hint if there is one (NULL or empty: none). */
void loader_report(struct loader *l, enum config_level level, struct config_place place,
                   const char *hint, const char *format, ...) __attribute__((format(printf, 5, 6)));

static inline bool loader_stopped(const struct loader *l)
{
    return l->out_of_memory || l->problems >= PROBLEMS_MAX;
}

/* A copy that lives as long as the configuration; NULL (and out_of_memory) at the limit. */
const char *loader_string(struct loader *l, struct bytes text);

/* Sets a key from a text (ITEMS and LISTENERS: separated by commas, or YAML in brackets). */
void loader_set_text(struct loader *l, enum config_key key, struct bytes text,
                     struct config_place place);

/* Sets ITEMS. */
void loader_set_items(struct loader *l, enum config_key key, const struct bytes *items,
                      size_t count, struct config_place place);

/* Says what is wrong with a name that is no key. */
void loader_report_unknown(struct loader *l, struct bytes name, struct config_place place);

/* Replaces the listeners: begin, then fill and add one after another. */
struct listener_draft {
    struct bytes name, address, advertised; /* empty: not given */
    struct config_place place;
};

void loader_listeners_begin(struct loader *l, struct config_place place);
void loader_listeners_add(struct loader *l, const struct listener_draft *draft);

/* Reads the whole file. */
void loader_read_yaml(struct loader *l, struct bytes text);

/* Reads `text` as the YAML value of one key. */
void loader_read_yaml_value(struct loader *l, enum config_key key, struct bytes text,
                            struct config_place place);

/* Fills in what listeners leave open and checks what concerns several keys. */
void loader_check(struct loader *l);
