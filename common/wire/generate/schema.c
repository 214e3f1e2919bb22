/* SPDX-License-Identifier: Apache-2.0 */

/* YAML to model. A document is walked with its keys known: an unknown key is an error, so that a
 * misspelt one is never silently without effect. */
#include "schema.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

static const char *const type_names[] = {
    [WIRE_BOOL] = "bool",     [WIRE_INT8] = "int8",       [WIRE_INT16] = "int16",
    [WIRE_UINT16] = "uint16", [WIRE_INT32] = "int32",     [WIRE_UINT32] = "uint32",
    [WIRE_INT64] = "int64",   [WIRE_FLOAT64] = "float64", [WIRE_UUID] = "uuid",
    [WIRE_STRING] = "string", [WIRE_BYTES] = "bytes",     [WIRE_RECORDS] = "records",
    [WIRE_STRUCT] = "struct",
};

/* One file while it is read. */
struct source {
    struct schema *schema;
    const char *path;
    yaml_document_t document;
    struct schema_message *message; /* the one that fields belong to */
    struct schema_versions outer;   /* the versions of what holds the next field */
};

void schema_fail(const char *file, size_t line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s:%zu: ", file, line);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

const char *schema_type_name(enum wire_type type)
{
    return type_names[type];
}

static void *take(struct source *s, size_t size)
{
    void *p = memory_alloc(s->schema->memory, size);
    if (!p) {
        schema_fail(s->path, 0, "out of memory");
    }
    return p;
}

static size_t line_of(const yaml_node_t *node)
{
    return node->start_mark.line + 1;
}

static yaml_node_t *node_at(struct source *s, int index)
{
    yaml_node_t *node = yaml_document_get_node(&s->document, index);
    assert(node);
    return node;
}

static const char *text_of(struct source *s, yaml_node_t *node)
{
    if (node->type != YAML_SCALAR_NODE) {
        schema_fail(s->path, line_of(node), "a plain value is expected here");
    }
    return (const char *)node->data.scalar.value;
}

/* The value of `key` in a mapping, or NULL. */
static yaml_node_t *get(struct source *s, yaml_node_t *map, const char *key)
{
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top;
         p++) {
        if (strcmp(text_of(s, node_at(s, p->key)), key) == 0) {
            return node_at(s, p->value);
        }
    }
    return NULL;
}

/* Ends the program unless `map` is a mapping of no other keys than these (space-separated). */
static void only_keys(struct source *s, yaml_node_t *map, const char *keys)
{
    if (map->type != YAML_MAPPING_NODE) {
        schema_fail(s->path, line_of(map), "a mapping is expected here, of: %s", keys);
    }
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top;
         p++) {
        yaml_node_t *key = node_at(s, p->key);
        const char *text = text_of(s, key), *at = keys;
        size_t size = strlen(text);
        while ((at = strstr(at, text)) &&
               ((at > keys && at[-1] != ' ') || (at[size] != ' ' && at[size] != 0))) {
            at += size;
        }
        if (!at || size == 0) {
            schema_fail(s->path, line_of(key), "'%s' is unknown here; known: %s", text, keys);
        }
    }
}

static const char *need_text(struct source *s, yaml_node_t *map, const char *key)
{
    yaml_node_t *node = get(s, map, key);
    if (!node) {
        schema_fail(s->path, line_of(map), "'%s' is missing", key);
    }
    return text_of(s, node);
}

static int64_t number(struct source *s, yaml_node_t *node)
{
    const char *text = text_of(s, node);
    char *end;
    long long value = strtoll(text, &end, 0);
    if (*text == 0 || *end) {
        schema_fail(s->path, line_of(node), "'%s' is not a number", text);
    }
    return value;
}

static bool flag(struct source *s, yaml_node_t *map, const char *key)
{
    yaml_node_t *node = get(s, map, key);
    if (node && strcmp(text_of(s, node), "true") != 0) {
        schema_fail(s->path, line_of(node), "'%s' is true or left out", key);
    }
    return node;
}

/* "3", "3+" or "3-5"; "all" is every version; `otherwise` when there is no such key. */
static struct schema_versions versions(struct source *s, yaml_node_t *map, const char *key,
                                       struct schema_versions otherwise)
{
    yaml_node_t *node = get(s, map, key);
    if (!node) {
        return otherwise;
    }
    const char *text = text_of(s, node);
    if (strcmp(text, "all") == 0) {
        return (struct schema_versions){0, WIRE_VERSION_LAST};
    }
    char *end;
    long min = strtol(text, &end, 10);
    long max = min;
    if (end != text && *end == '+') {
        max = WIRE_VERSION_LAST;
        end++;
    } else if (end != text && *end == '-') {
        max = strtol(end + 1, &end, 10);
    }
    if (end == text || *end || min < 0 || max < min || max > WIRE_VERSION_LAST) {
        schema_fail(s->path, line_of(node), "'%s' is no range of versions (3, 3+, 3-5, all)", text);
    }
    return (struct schema_versions){(int)min, (int)max};
}

struct schema_versions schema_intersect(struct schema_versions a, struct schema_versions b)
{
    return (struct schema_versions){a.min > b.min ? a.min : b.min, a.max < b.max ? a.max : b.max};
}

char *schema_snake(struct memory *m, const char *name)
{
    char text[256];
    size_t size = 0;
    for (size_t i = 0; name[i] && size + 2 < sizeof text; i++) {
        bool upper = isupper((unsigned char)name[i]);
        bool starts = i > 0 && upper &&
                      (!isupper((unsigned char)name[i - 1]) || islower((unsigned char)name[i + 1]));
        /* KRaft is one word. */
        bool kraft = i >= 1 && name[i - 1] == 'K' && strncmp(name + i, "Raft", 4) == 0;
        if (starts && !kraft) {
            text[size++] = '_';
        }
        text[size++] = (char)tolower((unsigned char)name[i]);
    }
    return memory_string(m, text, size);
}

static char *join(struct source *s, const char *a, const char *b)
{
    size_t size = strlen(a) + strlen(b) + 2;
    char *text = take(s, size);
    snprintf(text, size, "%s_%s", a, b);
    return text;
}

static void read_fields(struct source *s, struct schema_struct *to, yaml_node_t *list);

/* Inner structs are completed, and so listed, before the ones that hold them. */
static struct schema_struct *read_struct(struct source *s, yaml_node_t *list, char *c_name,
                                         char *own_name)
{
    struct schema_struct *made = take(s, sizeof *made);
    made->c_name = c_name;
    made->own_name = own_name;
    read_fields(s, made, list);
    struct schema_struct **end = &s->message->structs;
    while (*end) {
        if (strcmp((*end)->c_name, c_name) == 0) {
            schema_fail(s->path, line_of(list), "a second 'struct %s': give it a name by 'struct:'",
                        c_name);
        }
        end = &(*end)->next;
    }
    *end = made;
    return made;
}

static void read_type(struct source *s, struct schema_field *f, yaml_node_t *map)
{
    yaml_node_t *node = get(s, map, "type");
    const char *type = need_text(s, map, "type");
    yaml_node_t *fields = get(s, map, "fields");
    if (strncmp(type, "[]", 2) == 0) {
        f->is_array = true;
        type += 2;
    }
    f->type = WIRE_STRUCT;
    if (fields) {
        if (*type && strcmp(type, "struct") != 0) {
            schema_fail(s->path, line_of(node), "fields belong to the types [] and struct");
        }
        yaml_node_t *own = get(s, map, "struct");
        char *c_name = join(s, s->message->c_name, own ? text_of(s, own) : f->name);
        struct schema_versions outer = s->outer;
        s->outer = schema_intersect(outer, f->versions);
        f->type_struct = read_struct(s, fields, c_name, NULL);
        s->outer = outer;
        return;
    }
    for (size_t i = 0; i < WIRE_STRUCT; i++) {
        if (strcmp(type, type_names[i]) == 0) {
            f->type = (enum wire_type)i;
            return;
        }
    }
    for (struct schema_struct *known = s->message->structs; known; known = known->next) {
        if (known->own_name && strcmp(known->own_name, type) == 0) {
            f->type_struct = known;
            return;
        }
    }
    schema_fail(s->path, line_of(node), "'%s' is no type and no struct named before", type);
}

static void read_default(struct source *s, struct schema_field *f, yaml_node_t *node)
{
    const char *text = text_of(s, node);
    bool by_size = f->is_array || f->type >= WIRE_STRING;
    if (by_size) {
        if (strcmp(text, "null") != 0) {
            schema_fail(s->path, line_of(node), "the default of '%s' is null or left out", f->name);
        }
        if (schema_versions_empty(f->nullable)) {
            schema_fail(s->path, line_of(node), "'%s' is never null", f->name);
        }
        f->default_null = true;
    } else if (f->type == WIRE_UUID || f->type == WIRE_FLOAT64) {
        schema_fail(s->path, line_of(node), "a %s has no default but zero", type_names[f->type]);
    } else if (f->type == WIRE_BOOL) {
        f->default_value = strcmp(text, "true") == 0;
    } else {
        f->default_value = number(s, node);
    }
    f->has_default = true;
}

static struct schema_field *read_field(struct source *s, yaml_node_t *map)
{
    static const struct schema_versions all = {0, WIRE_VERSION_LAST};
    static const struct schema_versions none = {0, WIRE_VERSION_NONE};
    only_keys(s, map, "name type versions nullable tag default ignorable own fields struct");
    struct schema_field *f = take(s, sizeof *f);
    const char *name = need_text(s, map, "name");
    f->name = memory_string(s->schema->memory, name, strlen(name));
    f->versions = versions(s, map, "versions", all);
    f->nullable = versions(s, map, "nullable", none);
    f->is_ignorable = flag(s, map, "ignorable");
    f->is_own = flag(s, map, "own");
    read_type(s, f, map);
    yaml_node_t *node = get(s, map, "tag");
    f->tag = node ? (int)number(s, node) : WIRE_TAG_NONE;
    if (node && schema_intersect(f->versions, s->outer).min < s->message->flexible) {
        schema_fail(s->path, line_of(node), "'%s' is tagged before version %d, the first with tags",
                    f->name, s->message->flexible);
    }
    if (node && f->type == WIRE_RECORDS) {
        schema_fail(s->path, line_of(node), "records are never tagged");
    }
    bool can_be_null = f->is_array || f->type >= WIRE_STRING;
    if (!schema_versions_empty(f->nullable) && !can_be_null) {
        schema_fail(s->path, line_of(map), "a %s is never null", type_names[f->type]);
    }
    node = get(s, map, "default");
    if (node) {
        read_default(s, f, node);
    }
    return f;
}

/* Tagged fields go to the end, by rising tag: that is the order in which they are written. */
static void add_field(struct source *s, struct schema_struct *to, struct schema_field *f,
                      size_t line)
{
    struct schema_field **at = &to->fields;
    while (*at && (*at)->tag < (f->tag == WIRE_TAG_NONE ? 0 : f->tag)) {
        if (strcmp((*at)->name, f->name) == 0) {
            schema_fail(s->path, line, "a second '%s'", f->name);
        }
        at = &(*at)->next;
    }
    if (*at && f->tag != WIRE_TAG_NONE && (*at)->tag == f->tag) {
        schema_fail(s->path, line, "tag %d is taken", f->tag);
    }
    f->next = *at;
    *at = f;
    to->field_count++;
    to->tagged_count += f->tag != WIRE_TAG_NONE;
}

static void read_fields(struct source *s, struct schema_struct *to, yaml_node_t *list)
{
    if (list->type != YAML_SEQUENCE_NODE) {
        schema_fail(s->path, line_of(list), "a list of fields is expected here");
    }
    for (yaml_node_item_t *i = list->data.sequence.items.start; i < list->data.sequence.items.top;
         i++) {
        yaml_node_t *map = node_at(s, *i);
        add_field(s, to, read_field(s, map), line_of(map));
    }
}

static struct schema_message *message_new(struct source *s, const char *name, const char *suffix)
{
    struct schema_message *m = take(s, sizeof *m);
    size_t size = strlen(name) + strlen(suffix) + 1;
    m->name = take(s, size);
    snprintf(m->name, size, "%s%s", name, suffix);
    m->c_name = schema_snake(s->schema->memory, m->name);
    m->file = s->path;
    m->key = -1;
    *s->schema->messages_end = m;
    s->schema->messages_end = &m->next;
    s->message = m;
    return m;
}

/* Structs that several fields share are named before the fields: structs: [{name, fields}]. */
static void read_shared(struct source *s, yaml_node_t *list)
{
    if (list->type != YAML_SEQUENCE_NODE) {
        schema_fail(s->path, line_of(list), "a list of structs is expected here");
    }
    for (yaml_node_item_t *i = list->data.sequence.items.start; i < list->data.sequence.items.top;
         i++) {
        yaml_node_t *map = node_at(s, *i);
        only_keys(s, map, "name fields");
        const char *name = need_text(s, map, "name");
        yaml_node_t *fields = get(s, map, "fields");
        if (!fields) {
            schema_fail(s->path, line_of(map), "'fields' is missing");
        }
        read_struct(s, fields, join(s, s->message->c_name, name),
                    memory_string(s->schema->memory, name, strlen(name)));
    }
}

static int read_flexible(struct source *s, yaml_node_t *map)
{
    return strcmp(need_text(s, map, "flexible"), "none") == 0
               ? WIRE_VERSION_LAST
               : (int)number(s, get(s, map, "flexible"));
}

static struct schema_versions read_range(struct source *s, yaml_node_t *map)
{
    need_text(s, map, "versions");
    struct schema_versions range = versions(s, map, "versions", (struct schema_versions){0, -1});
    if (range.max == WIRE_VERSION_LAST) {
        schema_fail(s->path, line_of(map), "the versions of a whole message have an end");
    }
    return range;
}

static void read_api_table(struct source *s, yaml_node_t *list)
{
    for (yaml_node_item_t *i = list->data.sequence.items.start;
         list->type == YAML_SEQUENCE_NODE && i < list->data.sequence.items.top; i++) {
        yaml_node_t *map = node_at(s, *i);
        only_keys(s, map, "key name versions flexible advertised_min");
        struct schema_api *api = take(s, sizeof *api);
        const char *name = need_text(s, map, "name");
        need_text(s, map, "key");
        api->key = (int)number(s, get(s, map, "key"));
        api->name = memory_string(s->schema->memory, name, strlen(name));
        api->versions = read_range(s, map);
        api->flexible = read_flexible(s, map);
        yaml_node_t *advertised = get(s, map, "advertised_min");
        api->advertised_min = advertised ? (int)number(s, advertised) : api->versions.min;
        *s->schema->apis_end = api;
        s->schema->apis_end = &api->next;
    }
}

static struct schema_message *read_half(struct source *s, yaml_node_t *root,
                                        const struct schema_api *api, const char *half,
                                        const char *suffix)
{
    yaml_node_t *fields = get(s, root, half);
    if (!fields) {
        schema_fail(s->path, line_of(root), "'%s' is missing", half);
    }
    struct schema_message *m = message_new(s, api->name, suffix);
    m->versions = api->versions;
    m->flexible = api->flexible;
    m->key = api->key;
    m->is_hot = flag(s, root, "hot");
    s->outer = m->versions;
    yaml_node_t *structs = get(s, root, "structs");
    if (structs) {
        read_shared(s, structs);
    }
    m->body = read_struct(s, fields, m->c_name, NULL);
    return m;
}

static void read_api(struct source *s, yaml_node_t *root)
{
    only_keys(s, root, "api hot structs request response");
    const char *name = need_text(s, root, "api");
    struct schema_api *api = s->schema->apis;
    while (api && strcmp(api->name, name) != 0) {
        api = api->next;
    }
    if (!api) {
        schema_fail(s->path, line_of(root), "'%s' is not in the API table", name);
    }
    api->request = read_half(s, root, api, "request", "Request");
    api->response = read_half(s, root, api, "response", "Response");
}

static void read_messages(struct source *s, yaml_node_t *list)
{
    for (yaml_node_item_t *i = list->data.sequence.items.start;
         list->type == YAML_SEQUENCE_NODE && i < list->data.sequence.items.top; i++) {
        yaml_node_t *map = node_at(s, *i);
        only_keys(s, map, "name record_key versions flexible structs fields");
        struct schema_message *m = message_new(s, need_text(s, map, "name"), "");
        m->versions = read_range(s, map);
        m->flexible = read_flexible(s, map);
        yaml_node_t *key = get(s, map, "record_key");
        m->is_record = key;
        m->key = key ? (int)number(s, key) : -1;
        s->outer = m->versions;
        yaml_node_t *structs = get(s, map, "structs"), *fields = get(s, map, "fields");
        if (!fields) {
            schema_fail(s->path, line_of(map), "'fields' is missing");
        }
        if (structs) {
            read_shared(s, structs);
        }
        m->body = read_struct(s, fields, m->c_name, NULL);
    }
}

void schema_read(struct schema *schema, const char *path)
{
    struct source s = {.schema = schema, .path = path};
    FILE *file = fopen(path, "rb");
    yaml_parser_t parser;
    if (!file || !yaml_parser_initialize(&parser)) {
        schema_fail(path, 0, "cannot be opened");
    }
    yaml_parser_set_input_file(&parser, file);
    if (!yaml_parser_load(&parser, &s.document)) {
        schema_fail(path, parser.problem_mark.line + 1, "%s", parser.problem);
    }
    yaml_node_t *root = yaml_document_get_root_node(&s.document);
    if (!root || root->type != YAML_MAPPING_NODE) {
        schema_fail(path, 1, "a mapping is expected: apis, api or messages");
    }
    if (get(&s, root, "apis")) {
        only_keys(&s, root, "apis");
        read_api_table(&s, get(&s, root, "apis"));
    } else if (get(&s, root, "messages")) {
        only_keys(&s, root, "messages");
        read_messages(&s, get(&s, root, "messages"));
    } else {
        read_api(&s, root);
    }
    yaml_document_delete(&s.document);
    yaml_parser_delete(&parser);
    fclose(file);
}

void schema_finish(const struct schema *schema)
{
    for (const struct schema_api *api = schema->apis; api; api = api->next) {
        if (!api->request || !api->response) {
            schema_fail(api->name, 0, "is in the API table, but no file describes it");
        }
    }
    for (const struct schema_message *a = schema->messages; a; a = a->next) {
        for (const struct schema_message *b = a->next; b; b = b->next) {
            if (strcmp(a->c_name, b->c_name) == 0) {
                schema_fail(b->file, 0, "%s is described twice", b->name);
            }
        }
    }
}
