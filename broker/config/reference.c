/* SPDX-License-Identifier: Apache-2.0 */

/* The reference page: everything that the tables know, in Markdown; and the keys again for a man page, in
 * scdoc. */
#include "config/arguments.h"

#include <stdio.h>

enum { LINE_SIZE = 1024 };

static const struct {
    enum config_key first;
    const char *title;
} sections[] = {
    {CONFIG_NODE_ID, "Node"},
    {CONFIG_LISTENERS, "Network"},
    {CONFIG_NUM_PARTITIONS, "Topics"},
    {CONFIG_LOG_SEGMENT_BYTES, "Log and journal"},
    {CONFIG_GROUP_INITIAL_REBALANCE_DELAY_MS, "Consumer groups"},
    {CONFIG_SECURITY_OPEN, "Security"},
};

static const char *type_name(enum config_type type)
{
    switch (type) {
    case CONFIG_TYPE_BOOL:
        return "true or false";
    case CONFIG_TYPE_INTEGER:
        return "number";
    case CONFIG_TYPE_BYTES:
        return "size";
    case CONFIG_TYPE_DURATION:
        return "duration";
    case CONFIG_TYPE_RATIO:
        return "ratio";
    case CONFIG_TYPE_TEXT:
        return "text";
    case CONFIG_TYPE_CHOICE:
        return "choice";
    case CONFIG_TYPE_ITEMS:
        return "list";
    case CONFIG_TYPE_LISTENERS:
        return "list of maps";
    }
    return "";
}

static void limits_text(const struct config_key_info *info, char *out, size_t size)
{
    char least[CONFIG_QUOTE_SIZE], most[CONFIG_QUOTE_SIZE];
    *out = 0;
    if (info->choices) {
        size_t used = 0;
        for (size_t i = 0; config_choice(info->choices, i).size > 0; i++) {
            struct bytes choice = config_choice(info->choices, i);
            used += (size_t)snprintf(out + used, size - used, "%s`%.*s`", i ? ", " : "",
                                     (int)choice.size, (const char *)choice.data);
            assert(used < size);
        }
    } else if (info->type == CONFIG_TYPE_INTEGER || info->type == CONFIG_TYPE_BYTES ||
               info->type == CONFIG_TYPE_DURATION || info->type == CONFIG_TYPE_RATIO) {
        config_scalar_pretty(info, &(struct config_scalar){.number = info->least}, least,
                             sizeof least);
        config_scalar_pretty(info, &(struct config_scalar){.number = info->most}, most,
                             sizeof most);
        if (info->most == NO_MOST) {
            snprintf(out, size, "from %s", least);
        } else {
            snprintf(out, size, "%s to %s", least, most);
        }
    }
}

static const char *standard_text(const struct config_key_info *info)
{
    if (*info->standard == 0) {
        return "(empty)";
    }
    return strcmp(info->standard, "9223372036854775807") == 0 ? "no limit" : info->standard;
}

static void reference_key(const struct config_key_info *info, config_line_fn *line_fn,
                          void *context)
{
    char line[LINE_SIZE], limits[LINE_SIZE / 2];
    limits_text(info, limits, sizeof limits);
    snprintf(line, sizeof line, "| `%s` | %s | %s | %s | %s%s%s%s |", info->name,
             type_name(info->type), standard_text(info), limits, info->text,
             info->flags & KEY_DYNAMIC ? " *Can change while the broker runs.*" : "",
             info->flags & KEY_TEST ? " *For tests and measurements.*" : "",
             info->flags & KEY_KAFKA ? " (Kafka)" : "");
    line_fn(context, line);
}

static void reference_topics(config_line_fn *line_fn, void *context)
{
    static const char *const head[] = {
        "## Keys of topics",
        "",
        "Given when a topic is created, or altered later; type and limits are those of the "
        "broker's "
        "key, which",
        "is also the default.",
        "",
        "| key | default | meaning |",
        "|---|---|---|",
    };
    for (size_t i = 0; i < array_size(head); i++) {
        line_fn(context, head[i]);
    }
    for (int key = 0; key < TOPIC_KEY_COUNT; key++) {
        const struct topic_key_info *info = topic_key_info(key);
        char line[LINE_SIZE];
        snprintf(line, sizeof line, "| `%s` | `%s` | %s%s |", info->name,
                 config_key_info(info->broker_key)->name, info->text,
                 info->flags & TOPIC_FIXED ? " Fixed when the topic is created." : "");
        line_fn(context, line);
    }
}

static void reference_foreign(config_line_fn *line_fn, void *context)
{
    static const char *const head[] = {
        "",
        "## Keys of Kafka that are ignored",
        "",
        "Ignored with a note when they stand in a configuration, since nothing depends on them; a "
        "name that ends",
        "with a dot is all keys that begin so. Topics accept the second list from tools that copy "
        "every",
        "configuration, do not keep it, and do not show it.",
        "",
        "| key of a broker | why |",
        "|---|---|",
    };
    char line[LINE_SIZE];
    for (size_t i = 0; i < array_size(head); i++) {
        line_fn(context, head[i]);
    }
    for (size_t i = 0; config_foreign_at(i); i++) {
        if (config_foreign_at(i)->harmless) {
            snprintf(line, sizeof line, "| `%s` | %s |", config_foreign_at(i)->name,
                     config_foreign_at(i)->text);
            line_fn(context, line);
        }
    }
    line_fn(context, "");
    line_fn(context, "| key of a topic | why |");
    line_fn(context, "|---|---|");
    for (size_t i = 0; topic_ignored_at(i); i++) {
        snprintf(line, sizeof line, "| `%s` | %s |", topic_ignored_at(i)->name,
                 topic_ignored_at(i)->text);
        line_fn(context, line);
    }
}

static void reference_usage(config_line_fn *line_fn, void *context)
{
    char line[LINE_SIZE];
    line_fn(context, "```");
    for (const char *at = config_usage; *at;) {
        size_t size = strcspn(at, "\n");
        snprintf(line, sizeof line, "%.*s", (int)size, at);
        line_fn(context, line);
        at += size + (at[size] == '\n');
    }
    line_fn(context, "```");
    line_fn(context, "");
}

void config_reference(config_line_fn *line_fn, void *context)
{
    static const char *const head[] = {
        "# Configuration of leatd",
        "",
        "This page is generated from `broker/config/keys.h` by `build/bin/leat-config-reference`.",
        "",
        "A configuration is YAML. A dotted key and the nested maps with the same path are the same "
        "key. Sizes take",
        "`KiB`, `MiB`, `GiB`, `TiB` (powers of 1024) and `KB`, `MB`, `GB`, `TB` (powers of 1000); "
        "durations take",
        "`ms`, `s`, `m`, `h`, `d`, `w`. A bare number is in bytes, or in milliseconds. Values",
        "come from the defaults, the file, the environment and the command line, each stronger "
        "than "
        "the one before.",
        "Keys marked (Kafka) are spelled as in `server.properties` and mean the same.",
        "",
    };
    for (size_t i = 0; i < array_size(head); i++) {
        line_fn(context, head[i]);
    }
    reference_usage(line_fn, context);
    size_t section = 0;
    for (int key = 0; key < CONFIG_KEY_COUNT; key++) {
        if (section < array_size(sections) && (int)sections[section].first == key) {
            char line[LINE_SIZE];
            snprintf(line, sizeof line, "## %s", sections[section++].title);
            line_fn(context, line);
            line_fn(context, "");
            line_fn(context, "| key | type | default | accepted | meaning |");
            line_fn(context, "|---|---|---|---|---|");
        }
        reference_key(config_key_info(key), line_fn, context);
        if (section == array_size(sections) ? key == CONFIG_KEY_COUNT - 1
                                            : key + 1 == (int)sections[section].first) {
            line_fn(context, "");
        }
    }
    reference_topics(line_fn, context);
    reference_foreign(line_fn, context);
}

/* --- the same for a man page -------------------------------------------------------------------- */

/* Text without a meaning for scdoc, and without Markdown's code marks. */
static void manual_escape(const char *text, char *out, size_t size)
{
    size_t used = 0;
    for (; *text; text++) {
        if (*text == '`') {
            continue;
        }
        assert(used + 3 < size);
        if (strchr("\\*_<[~", *text)) {
            out[used++] = '\\';
        }
        out[used++] = *text;
    }
    out[used] = 0;
}

/* "*name* (about)" and, indented, what it means. */
static void manual_entry(const char *name, const char *about, const char *text,
                         config_line_fn *line_fn, void *context)
{
    char line[LINE_SIZE * 2], safe[LINE_SIZE];
    manual_escape(about, safe, sizeof safe);
    snprintf(line, sizeof line, "*%s* (%s)", name, safe);
    line_fn(context, line);
    manual_escape(text, safe, sizeof safe);
    snprintf(line, sizeof line, "\t%s", safe);
    line_fn(context, line);
    line_fn(context, "");
}

static void manual_key(const struct config_key_info *info, config_line_fn *line_fn, void *context)
{
    char about[LINE_SIZE], text[LINE_SIZE], limits[LINE_SIZE / 2];
    limits_text(info, limits, sizeof limits);
    snprintf(about, sizeof about, "%s%s%s; %s", type_name(info->type), *limits ? ": " : "", limits,
             standard_text(info));
    snprintf(text, sizeof text, "%s%s%s%s", info->text,
             info->flags & KEY_DYNAMIC ? " Can change while the broker runs." : "",
             info->flags & KEY_TEST ? " For tests and measurements." : "",
             info->flags & KEY_KAFKA ? " (Kafka)" : "");
    manual_entry(info->name, about, text, line_fn, context);
}

void config_manual(config_line_fn *line_fn, void *context)
{
    char line[LINE_SIZE];
    size_t section = 0;
    line_fn(context, "Type, what is accepted, and the default stand behind each name.");
    line_fn(context, "");
    for (int key = 0; key < CONFIG_KEY_COUNT; key++) {
        if (section < array_size(sections) && (int)sections[section].first == key) {
            snprintf(line, sizeof line, "## %s", sections[section++].title);
            line_fn(context, line);
            line_fn(context, "");
        }
        manual_key(config_key_info(key), line_fn, context);
    }
    line_fn(context, "## Keys of topics");
    line_fn(context, "");
    line_fn(context,
            "Given when a topic is created, or altered later; type, limits and default are "
            "those of the broker's key.");
    line_fn(context, "");
    for (int key = 0; key < TOPIC_KEY_COUNT; key++) {
        const struct topic_key_info *info = topic_key_info(key);
        snprintf(line, sizeof line, "%s%s", info->text,
                 info->flags & TOPIC_FIXED ? " Fixed when the topic is created." : "");
        manual_entry(info->name, config_key_info(info->broker_key)->name, line, line_fn, context);
    }
}
