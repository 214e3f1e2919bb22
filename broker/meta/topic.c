/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/topic.h"

/* --- lists of nodes --------------------------------------------------------------------------- */

enum { NODE_LISTS_MAX = 1 << 20 };

static struct node_list *list_of(const int32_t *ids)
{
    return container_of(ids, struct node_list, ids);
}

static struct bytes list_key(const int32_t *ids, int32_t count)
{
    return bytes_of(count ? (const void *)ids : "", (size_t)count * sizeof *ids);
}

void node_table_init(struct node_table *t, struct memory *memory)
{
    t->memory = memory;
    map_init(&t->lists, memory, 0, NODE_LISTS_MAX);
}

void node_table_deinit(struct node_table *t)
{
    assert(map_count(&t->lists) == 0);
    map_deinit(&t->lists);
}

const int32_t *node_list_get(struct node_table *t, const int32_t *ids, int32_t count)
{
    assert(count >= 0 && count <= NODE_LIST_MAX);
    struct node_list *list = map_get(&t->lists, list_key(ids, count));
    if (list) {
        list->references++;
        return list->ids;
    }
    list = memory_alloc(t->memory, sizeof *list + (size_t)count * sizeof *ids);
    if (!list) {
        return NULL;
    }
    list->references = 1;
    list->count = count;
    list->home = t;
    if (count) {
        memcpy(list->ids, ids, (size_t)count * sizeof *ids);
    }
    if (map_add(&t->lists, list_key(list->ids, count), list) != 0) {
        memory_free(t->memory, list);
        return NULL;
    }
    return list->ids;
}

void node_list_take(const int32_t *ids)
{
    struct node_list *list = list_of(ids);
    assert(list->references > 0);
    list->references++;
}

void node_list_release(const int32_t *ids)
{
    struct node_list *list = list_of(ids);
    assert(list->references > 0);
    if (--list->references == 0) {
        void *removed = map_remove(&list->home->lists, list_key(list->ids, list->count));
        assert(removed == list);
        memory_free(list->home->memory, list);
    }
}

/* --- sets of configurations ------------------------------------------------------------------- */

static int compare_key(struct bytes key, const char *other)
{
    size_t other_size = strlen(other);
    size_t common = key.size < other_size ? key.size : other_size;
    int difference = common ? memcmp(key.data, other, common) : 0;
    return difference ? difference : (key.size > other_size) - (key.size < other_size);
}

struct config_set *config_set_take(struct config_set *s)
{
    if (s) {
        s->references++;
    }
    return s;
}

void config_set_release(struct config_set *s)
{
    if (s) {
        assert(s->references > 0);
        if (--s->references == 0) {
            memory_free(s->memory, s);
        }
    }
}

const char *config_set_get(const struct config_set *s, const char *key)
{
    for (uint32_t i = 0; s && i < s->count; i++) {
        if (strcmp(s->entries[i].key, key) == 0) {
            return s->entries[i].value;
        }
    }
    return NULL;
}

static const char *put_text(char **at, const void *text, size_t size)
{
    char *start = *at;
    if (size) {
        memcpy(start, text, size);
    }
    start[size] = 0;
    *at = start + size + 1;
    return start;
}

static void put_entry(struct config_set *s, char **at, struct bytes key, struct bytes value)
{
    s->entries[s->count].key = put_text(at, key.data, key.size);
    s->entries[s->count].value = put_text(at, value.data, value.size);
    s->count++;
}

int config_set_with(struct config_set **out, struct memory *m, const struct config_set *base,
                    struct bytes key, struct bytes value)
{
    uint32_t old = base ? base->count : 0;
    bool has_nul = memchr(key.data ? key.data : (const uint8_t *)"", 0, key.size) ||
                   (value.data && memchr(value.data, 0, value.size));
    if (key.size == 0 || key.size > CONFIG_KEY_MAX || value.size > CONFIG_VALUE_MAX || has_nul) {
        return ERR_MALFORMED;
    }
    size_t text = key.size + value.size + 2;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < old; i++) {
        if (compare_key(key, base->entries[i].key) != 0) {
            text += strlen(base->entries[i].key) + strlen(base->entries[i].value) + 2;
            kept++;
        }
    }
    uint32_t count = kept + (value.data ? 1 : 0);
    if (count > IMAGE_CONFIGS_MAX) {
        return ERR_MALFORMED;
    }
    if (count == 0) {
        *out = NULL;
        return 0;
    }
    struct config_set *s = memory_alloc(m, sizeof *s + count * sizeof *s->entries + text);
    if (!s) {
        return ERR_NO_MEMORY;
    }
    s->references = 1;
    s->memory = m;
    char *at = (char *)&s->entries[count];
    bool placed = !value.data;
    for (uint32_t i = 0; i < old; i++) {
        int side = compare_key(key, base->entries[i].key);
        if (side <= 0 && !placed) {
            put_entry(s, &at, key, value);
            placed = true;
        }
        if (side != 0) {
            put_entry(s, &at, bytes_of_string(base->entries[i].key),
                      bytes_of_string(base->entries[i].value));
        }
    }
    if (!placed) {
        put_entry(s, &at, key, value);
    }
    assert(s->count == count);
    *out = s;
    return 0;
}

/* --- topics ----------------------------------------------------------------------------------- */

struct topic *topic_new(struct memory *m, struct bytes name, struct uuid id)
{
    assert(topic_name_is_valid(name));
    struct topic *t = memory_alloc(m, sizeof *t + name.size + 1);
    if (!t) {
        return NULL;
    }
    t->references = 1;
    t->memory = m;
    memcpy(t->name, name.data, name.size);
    t->view.id = id;
    t->view.name = t->name;
    t->view.internal = topic_name_is_internal(name);
    return t;
}

struct topic *topic_copy(const struct topic *t)
{
    struct topic *copy = topic_new(t->memory, bytes_of_string(t->name), t->view.id);
    int32_t count = t->view.partition_count;
    if (!copy) {
        return NULL;
    }
    if (count > 0) {
        copy->partitions = memory_alloc(t->memory, (size_t)count * sizeof *t->partitions);
        if (!copy->partitions) {
            topic_release(copy);
            return NULL;
        }
        memcpy(copy->partitions, t->partitions, (size_t)count * sizeof *t->partitions);
        copy->capacity = count;
    }
    for (int32_t i = 0; i < count; i++) {
        node_list_take(copy->partitions[i].replicas);
        node_list_take(copy->partitions[i].isr);
    }
    copy->configs = config_set_take(t->configs);
    copy->view = t->view;
    copy->view.name = copy->name;
    copy->view.partitions = copy->partitions;
    return copy;
}

struct topic *topic_take(struct topic *t)
{
    assert(t->references > 0);
    t->references++;
    return t;
}

void topic_release(struct topic *t)
{
    assert(t->references > 0);
    if (--t->references > 0) {
        return;
    }
    for (int32_t i = 0; i < t->view.partition_count; i++) {
        node_list_release(t->partitions[i].replicas);
        node_list_release(t->partitions[i].isr);
    }
    config_set_release(t->configs);
    memory_free(t->memory, t->partitions);
    memory_free(t->memory, t);
}

int topic_grow(struct topic *t)
{
    assert(t->view.partition_count <= t->capacity);
    if (t->view.partition_count < t->capacity) {
        return 0;
    }
    int32_t capacity = t->capacity ? t->capacity * 2 : 1;
    struct image_partition *grown =
        memory_resize(t->memory, t->partitions, (size_t)capacity * sizeof *grown);
    if (!grown) {
        return ERR_NO_MEMORY;
    }
    t->partitions = grown;
    t->capacity = capacity;
    t->view.partitions = grown;
    return 0;
}

bool topic_name_is_valid(struct bytes name)
{
    if (name.size == 0 || name.size > TOPIC_NAME_MAX) {
        return false;
    }
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && c != '.' && c != '_' && c != '-') {
            return false;
        }
    }
    return !(name.data[0] == '.' && (name.size == 1 || (name.size == 2 && name.data[1] == '.')));
}

bool topic_name_is_internal(struct bytes name)
{
    static const char *const names[] = {"__consumer_offsets", "__transaction_state",
                                        "__share_group_state", "__cluster_metadata"};
    for (size_t i = 0; i < array_size(names); i++) {
        if (bytes_equal(name, bytes_of_string(names[i]))) {
            return true;
        }
    }
    return false;
}
