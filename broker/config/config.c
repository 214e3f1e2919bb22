/* SPDX-License-Identifier: Apache-2.0 */

/* Reading a loaded configuration, and showing it. */
#include "config/load.h"

#include <stdarg.h>
#include <stdio.h>

enum { LINE_SIZE = 8192 };

static const struct config_entry *entry_of(const struct config *c, enum config_key key)
{
    assert((unsigned)key < CONFIG_KEY_COUNT);
    return &c->entries[key];
}

bool config_bool(const struct config *c, enum config_key key)
{
    assert(config_key_info(key)->type == CONFIG_TYPE_BOOL);
    return entry_of(c, key)->scalar.number != 0;
}

int64_t config_integer(const struct config *c, enum config_key key)
{
    enum config_type type = config_key_info(key)->type;
    assert(type == CONFIG_TYPE_INTEGER || type == CONFIG_TYPE_BYTES ||
           type == CONFIG_TYPE_DURATION || type == CONFIG_TYPE_RATIO || type == CONFIG_TYPE_CHOICE);
    return entry_of(c, key)->scalar.number;
}

unsigned config_shards(const struct config *c)
{
    enum { BY_DEFAULT = 1 }; /* what measures best on the machines that it was measured on */
    int64_t shards = config_integer(c, CONFIG_SHARDS);
    return shards > 0 ? (unsigned)shards : BY_DEFAULT;
}

const char *config_text(const struct config *c, enum config_key key)
{
    const char *text = entry_of(c, key)->text;
    assert(text);
    return text;
}

size_t config_item_count(const struct config *c, enum config_key key)
{
    assert(config_key_info(key)->type == CONFIG_TYPE_ITEMS);
    return entry_of(c, key)->item_count;
}

const char *config_item(const struct config *c, enum config_key key, size_t index)
{
    assert(index < config_item_count(c, key));
    return entry_of(c, key)->items[index];
}

size_t config_listener_count(const struct config *c)
{
    return c->listener_count;
}

const struct config_listener *config_listener(const struct config *c, size_t index)
{
    assert(index < c->listener_count);
    return &c->listeners[index];
}

bool config_is_default(const struct config *c, enum config_key key)
{
    return entry_of(c, key)->place.source == SOURCE_DEFAULT;
}

void config_origin(const struct config *c, enum config_key key, char *out, size_t size)
{
    const struct config_place *place = &entry_of(c, key)->place;
    switch (place->source) {
    case SOURCE_DEFAULT:
        snprintf(out, size, "default");
        break;
    case SOURCE_FILE:
        snprintf(out, size, "%s:%u", place->name, place->line);
        break;
    case SOURCE_ENVIRONMENT:
        snprintf(out, size, "env %s", place->name);
        break;
    case SOURCE_OPTION:
        snprintf(out, size, "%s", place->name);
        break;
    }
}

/* Appends to a text of LINE_SIZE bytes, cutting what does not fit. */
static void append(char *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void append(char *line, const char *format, ...)
{
    size_t used = strlen(line);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line + used, LINE_SIZE - used, format, arguments);
    va_end(arguments);
}

/* A double-quoted YAML text; control characters were refused when it was read. */
static void append_quoted(char *line, const char *text)
{
    append(line, "\"");
    for (; *text; text++) {
        append(line, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
    }
    append(line, "\"");
}

/* An address as it is written: IPv6 in brackets. */
static void append_address(char *line, const char *host, uint16_t port)
{
    append(line, strchr(host, ':') ? "\"[%s]:%u\"" : "\"%s:%u\"", host, port);
}

static void append_listeners(char *line, const struct config *c)
{
    append(line, "[");
    for (size_t i = 0; i < c->listener_count; i++) {
        const struct config_listener *l = &c->listeners[i];
        append(line, "%s{ name: %s, address: ", i ? ", " : "", l->name);
        append_address(line, l->host, l->port);
        append(line, ", advertised: ");
        append_address(line, l->advertised_host, l->advertised_port);
        append(line, " }");
    }
    append(line, "]");
}

static void append_value(char *line, const struct config *c, enum config_key key)
{
    const struct config_key_info *info = config_key_info(key);
    const struct config_entry *entry = entry_of(c, key);
    char shown[CONFIG_QUOTE_SIZE];
    switch (info->type) {
    case CONFIG_TYPE_TEXT:
        append_quoted(line, entry->text);
        break;
    case CONFIG_TYPE_ITEMS:
        append(line, "[");
        for (size_t i = 0; i < entry->item_count; i++) {
            append(line, "%s", i ? ", " : "");
            append_quoted(line, entry->items[i]);
        }
        append(line, "]");
        break;
    case CONFIG_TYPE_LISTENERS:
        append_listeners(line, c);
        break;
    default:
        config_scalar_pretty(info, &entry->scalar, shown, sizeof shown);
        append(line, "%s", shown);
    }
}

void config_print(const struct config *c, config_line_fn *line_fn, void *context)
{
    for (int key = 0; key < CONFIG_KEY_COUNT; key++) {
        char line[LINE_SIZE] = "", origin[512];
        append(line, "%s: ", config_key_info(key)->name);
        append_value(line, c, key);
        config_origin(c, key, origin, sizeof origin);
        append(line, "  # %s", origin);
        line_fn(context, line);
    }
}

void config_format(const struct config *c, enum config_key key, char *out, size_t size)
{
    const struct config_key_info *info = config_key_info(key);
    const struct config_entry *entry = entry_of(c, key);
    char line[LINE_SIZE] = "";
    if (info->type == CONFIG_TYPE_TEXT) {
        append(line, "%s", entry->text);
    } else if (info->type == CONFIG_TYPE_ITEMS) {
        for (size_t i = 0; i < entry->item_count; i++) {
            append(line, "%s%s", i ? "," : "", entry->items[i]);
        }
    } else if (info->type == CONFIG_TYPE_LISTENERS) {
        for (size_t i = 0; i < c->listener_count; i++) {
            const struct config_listener *l = &c->listeners[i];
            append(line, strchr(l->host, ':') ? "%s%s://[%s]:%u" : "%s%s://%s:%u", i ? "," : "",
                   l->name, l->host, l->port);
        }
    } else {
        config_scalar_format(info, &entry->scalar, line, sizeof line);
    }
    snprintf(out, size, "%s", line);
}
