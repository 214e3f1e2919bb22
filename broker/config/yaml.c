/* SPDX-License-Identifier: Apache-2.0 */

/* From YAML to keys.
 *
 * libyaml gives events with marks; a walk over nested maps joins their names with dots, so that
 *
 *     log: { segment: { bytes: 1GiB } }      and      log.segment.bytes: 1GiB
 *
 * are the same. Anchors, aliases, several documents and deep nesting have no use here and are
 * refused. The input may be hostile: depth and size are limited, reading stops after PROBLEMS_MAX
 * problems, and libyaml looks ahead by a bounded number of tokens. */
#include "config/load.h"

#include <yaml.h>

enum { DEPTH_MAX = 8, PATH_SIZE = 128 };

struct walk {
    struct loader *loader;
    yaml_parser_t parser;
    yaml_event_t event;
    bool has_event;
    bool stopped;             /* after a syntax error nothing more can be read */
    struct config_place base; /* of the text; its line counts if it is a file */
};

/* A dotted name while a walk goes down. */
struct path {
    char text[PATH_SIZE];
    size_t size;
};

static struct config_place place_at(const struct walk *w, yaml_mark_t mark)
{
    struct config_place place = w->base;
    if (place.source == SOURCE_FILE) {
        place.line = (unsigned)mark.line + 1;
        place.column = (unsigned)mark.column + 1;
    }
    return place;
}

/* Bytes that are not UTF-8 are told by their offset alone. */
static struct config_place place_of_offset(const struct walk *w, struct bytes text, size_t offset)
{
    yaml_mark_t mark = {0};
    for (size_t i = 0; i < offset && i < text.size; i++) {
        mark.column++;
        if (text.data[i] == '\n') {
            mark.line++;
            mark.column = 0;
        }
    }
    return place_at(w, mark);
}

static void report_syntax(struct walk *w)
{
    const yaml_parser_t *p = &w->parser;
    const char *problem = p->problem ? p->problem : "it cannot be read";
    if (p->error == YAML_MEMORY_ERROR) {
        w->loader->out_of_memory = true;
    } else if (p->error == YAML_READER_ERROR) {
        struct bytes text = w->loader->input->file;
        loader_report(w->loader, LEVEL_ERROR, place_of_offset(w, text, p->problem_offset),
                      "the file must be UTF-8 text", "not YAML: %s", problem);
    } else {
        loader_report(w->loader, LEVEL_ERROR, place_at(w, p->problem_mark),
                      strstr(problem, "tab character") ? "indent with spaces, not with tabs" : NULL,
                      "not YAML: %s%s%s", problem, p->context ? " " : "",
                      p->context ? p->context : "");
    }
}

/* The next event, kept in w->event until the one after it; false when reading is over. */
static bool next(struct walk *w)
{
    if (w->has_event) {
        yaml_event_delete(&w->event);
        w->has_event = false;
    }
    if (w->stopped || loader_stopped(w->loader)) {
        return false;
    }
    if (!yaml_parser_parse(&w->parser, &w->event)) {
        report_syntax(w);
        w->stopped = true;
        return false;
    }
    w->has_event = true;
    return true;
}

static bool is_start(yaml_event_type_t type)
{
    return type == YAML_MAPPING_START_EVENT || type == YAML_SEQUENCE_START_EVENT;
}

static bool is_end(yaml_event_type_t type)
{
    return type == YAML_MAPPING_END_EVENT || type == YAML_SEQUENCE_END_EVENT;
}

/* Passes over the rest of the node whose first event is the current one; false when reading is
 * over. */
static bool skip(struct walk *w)
{
    size_t depth = is_start(w->event.type);
    while (depth > 0) {
        if (!next(w)) {
            return false;
        }
        depth += is_start(w->event.type);
        if (depth > DEPTH_MAX) {
            loader_report(w->loader, LEVEL_ERROR, place_at(w, w->event.start_mark), NULL,
                          "nested more than %d deep: the rest is not read", DEPTH_MAX);
            w->stopped = true; /* the work of libyaml grows with the square of the depth */
            return false;
        }
        depth -= is_end(w->event.type);
    }
    return true;
}

static struct bytes scalar_bytes(const struct walk *w)
{
    assert(w->event.type == YAML_SCALAR_EVENT);
    return bytes_of(w->event.data.scalar.value, w->event.data.scalar.length);
}

static bool scalar_is_null(const struct walk *w)
{
    struct bytes text = scalar_bytes(w);
    return w->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (text.size == 0 || bytes_equal(text, bytes_of_string("~")) ||
            bytes_equal(text, bytes_of_string("null")));
}

static bool has_anchor(const struct walk *w)
{
    switch (w->event.type) {
    case YAML_ALIAS_EVENT:
        return true;
    case YAML_SCALAR_EVENT:
        return w->event.data.scalar.anchor != NULL;
    case YAML_MAPPING_START_EVENT:
        return w->event.data.mapping_start.anchor != NULL;
    case YAML_SEQUENCE_START_EVENT:
        return w->event.data.sequence_start.anchor != NULL;
    default:
        return false;
    }
}

static bool refuse_anchor(struct walk *w)
{
    if (!has_anchor(w)) {
        return false;
    }
    loader_report(w->loader, LEVEL_ERROR, place_at(w, w->event.start_mark), NULL,
                  "anchors and aliases are not supported: write the value out");
    return true;
}

/* One field of a listener; `draft` borrows copies that live as long as the configuration. */
static void listener_field(struct walk *w, struct bytes name, struct config_place name_place,
                           struct listener_draft *draft)
{
    struct config_place place = place_at(w, w->event.start_mark);
    struct bytes value = scalar_bytes(w), *field = NULL;
    char quoted[CONFIG_QUOTE_SIZE];
    if (bytes_equal(name, bytes_of_string("name"))) {
        field = &draft->name;
    } else if (bytes_equal(name, bytes_of_string("address"))) {
        field = &draft->address;
    } else if (bytes_equal(name, bytes_of_string("advertised"))) {
        field = &draft->advertised;
    } else if (bytes_equal(name, bytes_of_string("tls"))) {
        if (!bytes_equal(value, bytes_of_string("false"))) {
            loader_report(w->loader, LEVEL_ERROR, place, NULL,
                          "listeners: TLS is not in this version, only tls: false is accepted");
        }
        return;
    } else if (bytes_equal(name, bytes_of_string("sasl"))) {
        if (!bytes_equal(value, bytes_of_string("none"))) {
            loader_report(w->loader, LEVEL_ERROR, place, NULL,
                          "listeners: authentication is not in this version, only sasl: none is "
                          "accepted");
        }
        return;
    } else {
        loader_report(w->loader, LEVEL_ERROR, name_place,
                      "a listener has name, address, advertised, tls, sasl",
                      "listeners: unknown field '%s'", config_quote(name, quoted));
        return;
    }
    if (field->size > 0) {
        loader_report(w->loader, LEVEL_ERROR, name_place, NULL, "listeners: %s is given twice",
                      config_quote(name, quoted));
    } else if (scalar_is_null(w) || value.size == 0) {
        loader_report(w->loader, LEVEL_ERROR, place, NULL, "listeners: %s has no value",
                      config_quote(name, quoted));
    } else {
        const char *copy = loader_string(w->loader, value);
        *field = copy ? bytes_of_string(copy) : (struct bytes){0};
    }
}

/* From behind the start of a listener's map to its end. */
static bool walk_listener(struct walk *w, struct config_place place)
{
    struct listener_draft draft = {.place = place};
    unsigned errors = w->loader->errors;
    for (;;) {
        if (!next(w)) {
            return false;
        }
        if (w->event.type == YAML_MAPPING_END_EVENT) {
            break;
        }
        if (w->event.type != YAML_SCALAR_EVENT) {
            loader_report(w->loader, LEVEL_ERROR, place_at(w, w->event.start_mark), NULL,
                          "listeners: the name of a field must be plain text");
            if (!skip(w) || !next(w) || !skip(w)) {
                return false;
            }
            continue;
        }
        struct config_place name_place = place_at(w, w->event.start_mark);
        struct bytes name = scalar_bytes(w);
        char copy[CONFIG_QUOTE_SIZE];
        size_t size = name.size < sizeof copy ? name.size : sizeof copy;
        memcpy(copy, name.data, size);
        if (!next(w)) {
            return false;
        }
        if (w->event.type == YAML_SCALAR_EVENT && !has_anchor(w)) {
            listener_field(w, bytes_of(copy, size), name_place, &draft);
            continue;
        }
        if (!refuse_anchor(w)) {
            loader_report(w->loader, LEVEL_ERROR, name_place, NULL,
                          "listeners: a field of a listener takes one value");
        }
        if (!skip(w)) {
            return false;
        }
    }
    if (w->loader->errors == errors) {
        loader_listeners_add(w->loader, &draft);
    }
    return true;
}

/* From behind the start of the list to its end. */
static bool walk_listeners(struct walk *w, struct config_place place)
{
    loader_listeners_begin(w->loader, place);
    while (next(w)) {
        if (w->event.type == YAML_SEQUENCE_END_EVENT) {
            return true;
        }
        struct config_place item = place_at(w, w->event.start_mark);
        if (w->event.type == YAML_MAPPING_START_EVENT && !has_anchor(w)) {
            if (!walk_listener(w, item)) {
                return false;
            }
            continue;
        }
        if (!refuse_anchor(w)) {
            loader_report(w->loader, LEVEL_ERROR, item,
                          "write - { name: plain, address: 127.0.0.1:9092 }",
                          "listeners: an entry must be a map with at least an address");
        }
        if (!skip(w)) {
            return false;
        }
    }
    return false;
}

static bool walk_items(struct walk *w, enum config_key key, struct config_place place)
{
    struct bytes items[CONFIG_ITEMS_MAX];
    size_t count = 0;
    bool good = true;
    while (next(w)) {
        if (w->event.type == YAML_SEQUENCE_END_EVENT) {
            if (good) {
                loader_set_items(w->loader, key, items, count, place);
            }
            return true;
        }
        const char *name = config_key_info(key)->name;
        struct config_place item = place_at(w, w->event.start_mark);
        if (refuse_anchor(w)) {
            good = false;
        } else if (w->event.type != YAML_SCALAR_EVENT || scalar_is_null(w)) {
            loader_report(w->loader, LEVEL_ERROR, item, NULL, "%s: an item must be one text", name);
            good = false;
        } else if (count == CONFIG_ITEMS_MAX) {
            loader_report(w->loader, LEVEL_ERROR, item, NULL, "%s: more than %d items", name,
                          CONFIG_ITEMS_MAX);
            good = false;
            count = 0;
        } else {
            const char *copy = loader_string(w->loader, scalar_bytes(w));
            if (!copy) {
                return false;
            }
            items[count++] = bytes_of_string(copy);
        }
        if (!skip(w)) {
            return false;
        }
    }
    return false;
}

/* The value of a known key, of which the current event is the first; false when reading is over. */
static bool walk_value(struct walk *w, enum config_key key, struct config_place key_place)
{
    const struct config_key_info *info = config_key_info(key);
    struct config_place place = place_at(w, w->event.start_mark);
    bool list = info->type == CONFIG_TYPE_ITEMS || info->type == CONFIG_TYPE_LISTENERS;
    const struct config_place *before = &w->loader->config->entries[key].place;
    if (w->base.source == SOURCE_FILE && before->source == SOURCE_FILE) {
        loader_report(w->loader, LEVEL_ERROR, key_place, NULL,
                      "%s is given twice, first in line %u", info->name, before->line);
    } else if (refuse_anchor(w)) {
        /* said */
    } else if (w->event.type == YAML_SEQUENCE_START_EVENT && list) {
        return info->type == CONFIG_TYPE_LISTENERS ? walk_listeners(w, place)
                                                   : walk_items(w, key, place);
    } else if (w->event.type != YAML_SCALAR_EVENT) {
        loader_report(w->loader, LEVEL_ERROR, place, list ? "write [one, two]" : NULL,
                      "%s takes %s", info->name, list ? "a list" : "one value");
    } else if (scalar_is_null(w)) {
        loader_report(w->loader, LEVEL_ERROR, key_place, "leave the line out to have the default",
                      "%s has no value", info->name);
    } else {
        loader_set_text(w->loader, key, scalar_bytes(w), place);
    }
    return skip(w);
}

static bool walk_map(struct walk *w, struct path *path, unsigned depth);

/* What stands under the name in `path`; the current event is its first. */
static bool walk_named(struct walk *w, struct path *path, struct config_place place, unsigned depth)
{
    struct bytes name = bytes_of(path->text, path->size);
    int key = config_key_find(name);
    if (key >= 0) {
        return walk_value(w, (enum config_key)key, place);
    }
    if (w->event.type == YAML_MAPPING_START_EVENT && config_key_is_prefix(name) && !has_anchor(w)) {
        if (depth < DEPTH_MAX) {
            return walk_map(w, path, depth + 1);
        }
    }
    loader_report_unknown(w->loader, name, place);
    return skip(w);
}

/* From behind the start of a map to its end; false when reading is over. */
static bool walk_map(struct walk *w, struct path *path, unsigned depth)
{
    size_t outer = path->size;
    while (next(w)) {
        if (w->event.type == YAML_MAPPING_END_EVENT) {
            return true;
        }
        struct config_place place = place_at(w, w->event.start_mark);
        bool usable = w->event.type == YAML_SCALAR_EVENT && !has_anchor(w);
        struct bytes name = usable ? scalar_bytes(w) : (struct bytes){0};
        usable = usable && name.size > 0 && name.size < PATH_SIZE - outer - 1 &&
                 !memchr(name.data, 0, name.size);
        if (usable) {
            path->text[outer] = '.';
            path->size = outer + (outer > 0);
            memcpy(path->text + path->size, name.data, name.size);
            path->size += name.size;
        } else {
            loader_report(w->loader, LEVEL_ERROR, place, NULL, "a key must be a short plain text");
        }
        if (!skip(w) || !next(w)) {
            return false;
        }
        if (!(usable ? walk_named(w, path, place, depth) : skip(w))) {
            return false;
        }
        path->size = outer;
    }
    return false;
}

static void walk_file(struct walk *w)
{
    struct path path = {.size = 0};
    if (!next(w) || !next(w) || w->event.type == YAML_STREAM_END_EVENT) {
        return; /* nothing but comments */
    }
    assert(w->event.type == YAML_DOCUMENT_START_EVENT);
    if (!next(w)) {
        return;
    }
    if (w->event.type == YAML_MAPPING_START_EVENT) {
        if (refuse_anchor(w) ? !skip(w) : !walk_map(w, &path, 1)) {
            return;
        }
    } else {
        if (w->event.type != YAML_SCALAR_EVENT || !scalar_is_null(w)) {
            loader_report(w->loader, LEVEL_ERROR, place_at(w, w->event.start_mark),
                          "write key: value", "a configuration is a map of keys");
        }
        if (!skip(w)) {
            return;
        }
    }
    if (next(w) && next(w) && w->event.type != YAML_STREAM_END_EVENT) {
        loader_report(w->loader, LEVEL_ERROR, place_at(w, w->event.start_mark), NULL,
                      "a second document is not read");
    }
}

static bool walk_begin(struct walk *w, struct loader *l, struct bytes text,
                       struct config_place base)
{
    *w = (struct walk){.loader = l, .base = base};
    if (!yaml_parser_initialize(&w->parser)) {
        l->out_of_memory = true;
        return false;
    }
    yaml_parser_set_encoding(&w->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&w->parser, text.data ? text.data : (const uint8_t *)"",
                                 text.size);
    return true;
}

static void walk_finish(struct walk *w)
{
    if (w->has_event) {
        yaml_event_delete(&w->event);
    }
    yaml_parser_delete(&w->parser);
}

void loader_read_yaml(struct loader *l, struct bytes text)
{
    struct walk w;
    struct config_place base = {.source = SOURCE_FILE, .name = l->file_name};
    if (walk_begin(&w, l, text, base)) {
        walk_file(&w);
        walk_finish(&w);
    }
}

void loader_read_yaml_value(struct loader *l, enum config_key key, struct bytes text,
                            struct config_place place)
{
    struct walk w;
    assert(place.source != SOURCE_FILE);
    if (walk_begin(&w, l, text, place)) {
        if (next(&w) && next(&w) && w.event.type == YAML_DOCUMENT_START_EVENT && next(&w)) {
            walk_value(&w, key, place);
        }
        walk_finish(&w);
    }
}
