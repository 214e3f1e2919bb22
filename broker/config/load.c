/* SPDX-License-Identifier: Apache-2.0 */

/* Loading: defaults, then the file, then the environment, then the command line; then what concerns
 * several keys at once. A value that is refused leaves the weaker one in place, so that the checks
 * at the end always see a complete configuration. */
#include "config/load.h"

#include <stdio.h>

enum { ARENA_BYTES = 4 << 20 };

const char *loader_string(struct loader *l, struct bytes text)
{
    char *copy = arena_alloc(&l->config->arena, text.size + 1);
    if (!copy) {
        l->out_of_memory = true;
        return NULL;
    }
    if (text.size > 0) {
        memcpy(copy, text.data, text.size);
    }
    return copy;
}

static void set_scalar(struct loader *l, enum config_key key, struct bytes text,
                       struct config_place place)
{
    const struct config_key_info *info = config_key_info(key);
    struct config_entry entry = {.place = place};
    char why[CONFIG_WHY_SIZE], hint[CONFIG_WHY_SIZE];
    if (config_scalar_parse(info, text, &entry.scalar, why, hint) != 0) {
        loader_report(l, LEVEL_ERROR, place, hint, "%s: %s", info->name, why);
        return;
    }
    if (info->type == CONFIG_TYPE_TEXT || info->type == CONFIG_TYPE_CHOICE) {
        entry.text = loader_string(l, text);
    }
    l->config->entries[key] = entry;
}

void loader_set_items(struct loader *l, enum config_key key, const struct bytes *items,
                      size_t count, struct config_place place)
{
    const struct config_key_info *info = config_key_info(key);
    assert(info->type == CONFIG_TYPE_ITEMS);
    assert(count <= CONFIG_ITEMS_MAX);
    char why[CONFIG_WHY_SIZE];
    for (size_t i = 0; i < count; i++) {
        if (config_item_check(info, items[i], why) != 0) {
            loader_report(l, LEVEL_ERROR, place, NULL, "%s: %s", info->name, why);
            return;
        }
    }
    const char **copies = arena_array(&l->config->arena, count + 1, sizeof *copies);
    if (!copies) {
        l->out_of_memory = true;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        copies[i] = loader_string(l, items[i]);
    }
    l->config->entries[key] =
        (struct config_entry){.items = copies, .item_count = count, .place = place};
}

/* The next part of a list separated by commas, without the spaces around it. */
static bool next_part(struct bytes *list, struct bytes *part)
{
    if (list->size == 0) {
        return false;
    }
    const uint8_t *comma = memchr(list->data, ',', list->size);
    size_t size = comma ? (size_t)(comma - list->data) : list->size;
    size_t passed = comma ? size + 1 : size;
    *part = bytes_of(list->data, size);
    while (part->size > 0 && part->data[0] == ' ') {
        *part = bytes_of(part->data + 1, part->size - 1);
    }
    while (part->size > 0 && part->data[part->size - 1] == ' ') {
        part->size--;
    }
    *list = bytes_of(list->data + passed, list->size - passed);
    return true;
}

static void set_list(struct loader *l, enum config_key key, struct bytes text,
                     struct config_place place)
{
    const struct config_key_info *info = config_key_info(key);
    struct bytes parts[CONFIG_ITEMS_MAX], rest = text;
    size_t count = 0;
    while (count < CONFIG_ITEMS_MAX && next_part(&rest, &parts[count])) {
        count++;
    }
    if (rest.size > 0) {
        loader_report(l, LEVEL_ERROR, place, NULL, "%s: more than %d items", info->name,
                      CONFIG_ITEMS_MAX);
    } else if (info->type == CONFIG_TYPE_ITEMS) {
        loader_set_items(l, key, parts, count, place);
    } else {
        loader_listeners_begin(l, place);
        for (size_t i = 0; i < count; i++) {
            loader_listeners_add(l, &(struct listener_draft){.address = parts[i], .place = place});
        }
    }
}

/* A list as YAML writes it, not an IPv6 address, whose bracket is followed by a port. */
static bool is_yaml_list(enum config_type type, struct bytes text)
{
    if (text.size == 0 || text.data[0] != '[') {
        return false;
    }
    uint8_t last = text.data[text.size - 1];
    return type != CONFIG_TYPE_LISTENERS || last < '0' || last > '9';
}

void loader_set_text(struct loader *l, enum config_key key, struct bytes text,
                     struct config_place place)
{
    enum config_type type = config_key_info(key)->type;
    if (type != CONFIG_TYPE_ITEMS && type != CONFIG_TYPE_LISTENERS) {
        set_scalar(l, key, text, place);
    } else if (is_yaml_list(type, text) && place.source != SOURCE_FILE) {
        loader_read_yaml_value(l, key, text, place);
    } else {
        set_list(l, key, text, place);
    }
}

void loader_report_unknown(struct loader *l, struct bytes name, struct config_place place)
{
    char quoted[CONFIG_QUOTE_SIZE], hint[CONFIG_WHY_SIZE] = "";
    const struct config_foreign *foreign = config_foreign_find(name);
    if (foreign) {
        loader_report(l, foreign->harmless ? LEVEL_NOTE : LEVEL_ERROR, place, NULL,
                      foreign->harmless ? "ignored: %s: %s" : "%s: %s", config_quote(name, quoted),
                      foreign->text);
        return;
    }
    int topic = topic_key_find(name);
    const char *nearest = config_key_nearest(name);
    if (topic >= 0) {
        enum config_key key = topic_key_info((enum topic_key)topic)->broker_key;
        snprintf(hint, sizeof hint, "that is a key of topics; their default is the broker's %s",
                 config_key_info(key)->name);
    } else if (nearest) {
        snprintf(hint, sizeof hint, "did you mean %s?", nearest);
    } else {
        snprintf(hint, sizeof hint, "leatd --print-config lists all keys");
    }
    loader_report(l, LEVEL_ERROR, place, hint, "unknown key '%s'", config_quote(name, quoted));
}

static void read_environment(struct loader *l, const char *const *environment)
{
    /* Variables of the console and of tests that leatd does not look at. */
    static const char *const others[] = {"BROKERS", "CONTEXT", "CONFIG"};
    static const char prefix[] = "LEAT_";
    enum { PREFIX = sizeof prefix - 1 };
    for (; environment && *environment && !loader_stopped(l); environment++) {
        const char *equals = strchr(*environment, '=');
        if (!equals || strncmp(*environment, prefix, PREFIX) != 0 ||
            equals < *environment + PREFIX) {
            continue;
        }
        struct bytes name =
            bytes_of(*environment + PREFIX, (size_t)(equals - *environment - PREFIX));
        struct bytes variable = bytes_of(*environment, (size_t)(equals - *environment));
        char shown[CONFIG_QUOTE_SIZE];
        const char *copy = loader_string(l, bytes_of_string(config_quote(variable, shown)));
        struct config_place place = {.source = SOURCE_ENVIRONMENT, .name = copy};
        bool known = !copy;
        for (int key = 0; key < CONFIG_KEY_COUNT && !known; key++) {
            if (config_key_matches_variable(key, name)) {
                loader_set_text(l, key, bytes_of_string(equals + 1), place);
                known = true;
            }
        }
        for (size_t i = 0; i < array_size(others); i++) {
            known = known || bytes_equal(name, bytes_of_string(others[i]));
        }
        if (!known) {
            loader_report(l, LEVEL_WARNING, place, NULL, "no key has this name: it is ignored");
        }
    }
}

static void read_settings(struct loader *l, const struct config_setting *settings, size_t count)
{
    for (size_t i = 0; i < count && !loader_stopped(l); i++) {
        const struct config_setting *s = &settings[i];
        const char *option = loader_string(l, bytes_of_string(s->option));
        if (!option) {
            return;
        }
        struct config_place place = {.source = SOURCE_OPTION, .name = option};
        struct bytes name = bytes_of_string(s->key);
        int key = config_key_find(name);
        if (key >= 0) {
            loader_set_text(l, (enum config_key)key, bytes_of_string(s->value), place);
        } else {
            loader_report_unknown(l, name, place);
        }
    }
}

static void read_file(struct loader *l, const struct config_input *input)
{
    struct config_place place = {.source = SOURCE_FILE, .name = l->file_name};
    if (input->file.size > CONFIG_FILE_MAX) {
        loader_report(l, LEVEL_ERROR, place, NULL, "the file is larger than %d bytes",
                      CONFIG_FILE_MAX);
    } else {
        loader_read_yaml(l, input->file);
    }
}

static void read_defaults(struct loader *l)
{
    for (int key = 0; key < CONFIG_KEY_COUNT; key++) {
        struct config_place place = {.source = SOURCE_DEFAULT, .name = "default"};
        loader_set_text(l, key, bytes_of_string(config_key_info(key)->standard), place);
    }
    assert(l->errors == 0);
}

int config_load(struct config **out, struct memory *m, const struct config_input *input,
                config_line_fn *line, void *context)
{
    assert(line);
    assert(input->file.data || input->file.size == 0);
    struct config *c = memory_alloc(m, sizeof *c);
    if (!c) {
        return ERR_NO_MEMORY;
    }
    c->memory = m;
    arena_init(&c->arena, m, ARENA_BYTES);
    struct loader l = {.config = c, .input = input, .line = line, .context = context};
    read_defaults(&l);
    if (input->file_name && !loader_stopped(&l)) {
        l.file_name = loader_string(&l, bytes_of_string(input->file_name));
        if (l.file_name) {
            read_file(&l, input);
        }
    }
    read_environment(&l, input->environment);
    read_settings(&l, input->settings, input->setting_count);
    if (!l.out_of_memory) {
        loader_check(&l);
    }
    int error = l.out_of_memory ? ERR_NO_MEMORY : l.errors ? ERR_BAD_CONFIG : 0;
    if (error) {
        config_free(c);
        return error;
    }
    *out = c;
    return 0;
}

void config_free(struct config *c)
{
    if (c) {
        arena_deinit(&c->arena);
        memory_free(c->memory, c);
    }
}
