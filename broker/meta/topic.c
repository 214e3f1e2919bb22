/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/topic.h"

/* --- lists of nodes --------------------------------------------------------------------------- */

enum {
    NODE_LISTS_MAX = 1 << 20,
    WORDS_OF_UUID = sizeof(struct uuid) / sizeof(int32_t),
};

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
    assert(count >= 0 && count <= NODE_LIST_MAX * WORDS_OF_UUID);
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

const struct uuid *directory_list_get(struct node_table *t, const struct uuid *ids, int32_t count)
{
    int32_t words[NODE_LIST_MAX * WORDS_OF_UUID];
    assert(count > 0 && count <= NODE_LIST_MAX);
    memcpy(words, ids, (size_t)count * sizeof *ids);
    return (const struct uuid *)node_list_get(t, words, count * WORDS_OF_UUID);
}

/* --- partitions ------------------------------------------------------------------------------- */

struct partition_more {
    struct image_more view;
    struct memory *memory;
    uint32_t references;
    int32_t ids[];
};

static const struct image_more nothing_more;

static struct partition_more *more_of(const struct image_more *view)
{
    return view == &nothing_more ? NULL : container_of(view, struct partition_more, view);
}

const struct image_more *partition_more_new(struct memory *m, const struct image_more *base)
{
    const struct image_nodes from[] = {base->elr, base->last_known_elr, base->adding,
                                       base->removing, base->damaged};
    size_t count = 0;
    for (size_t i = 0; i < array_size(from); i++) {
        count += (size_t)from[i].count;
    }
    if (count == 0) {
        return &nothing_more;
    }
    struct partition_more *more = memory_alloc(m, sizeof *more + count * sizeof more->ids[0]);
    if (!more) {
        return NULL;
    }
    struct image_nodes *to[] = {&more->view.elr, &more->view.last_known_elr, &more->view.adding,
                                &more->view.removing, &more->view.damaged};
    static_assert(array_size(to) == array_size(from), "every list is copied");
    int32_t *at = more->ids;
    for (size_t i = 0; i < array_size(from); i++) {
        *to[i] = (struct image_nodes){from[i].count ? at : NULL, from[i].count};
        if (from[i].count) {
            memcpy(at, from[i].ids, (size_t)from[i].count * sizeof *at);
        }
        at += from[i].count;
    }
    more->memory = m;
    more->references = 1;
    return &more->view;
}

void partition_take(const struct image_partition *p)
{
    const int32_t *const lists[] = {p->replicas, p->isr, (const int32_t *)p->directories};
    for (size_t i = 0; i < array_size(lists); i++) {
        if (lists[i]) {
            node_list_take(lists[i]);
        }
    }
    struct partition_more *more = p->more ? more_of(p->more) : NULL;
    if (more) {
        assert(more->references > 0);
        more->references++;
    }
}

void partition_release(const struct image_partition *p)
{
    const int32_t *const lists[] = {p->replicas, p->isr, (const int32_t *)p->directories};
    for (size_t i = 0; i < array_size(lists); i++) {
        if (lists[i]) {
            node_list_release(lists[i]);
        }
    }
    struct partition_more *more = p->more ? more_of(p->more) : NULL;
    if (more) {
        assert(more->references > 0);
        if (--more->references == 0) {
            memory_free(more->memory, more);
        }
    }
}

bool image_nodes_have(struct image_nodes nodes, int32_t id)
{
    for (int32_t i = 0; i < nodes.count; i++) {
        if (nodes.ids[i] == id) {
            return true;
        }
    }
    return false;
}

static bool apart(struct image_nodes a, struct image_nodes b)
{
    for (int32_t i = 0; i < a.count; i++) {
        if (image_nodes_have(b, a.ids[i])) {
            return false;
        }
    }
    return true;
}

static bool among(struct image_nodes part, struct image_nodes whole)
{
    for (int32_t i = 0; i < part.count; i++) {
        struct image_nodes before = {part.ids, i};
        if (!image_nodes_have(whole, part.ids[i]) || image_nodes_have(before, part.ids[i])) {
            return false;
        }
    }
    return true;
}

bool partition_is_sound(const struct image_partition *p)
{
    const struct image_nodes replicas = {p->replicas, p->replica_count};
    const struct image_nodes isr = {p->isr, p->isr_count};
    const struct image_more *m = p->more;
    const struct image_nodes parts[] = {replicas,  isr,         m->elr,    m->last_known_elr,
                                        m->adding, m->removing, m->damaged};
    for (size_t i = 0; i < array_size(parts); i++) {
        if (!among(parts[i], replicas)) {
            return false;
        }
    }
    return apart(isr, m->elr) && apart(isr, m->last_known_elr) &&
           apart(m->elr, m->last_known_elr) && apart(m->adding, m->removing) &&
           apart(m->damaged, isr) && apart(m->damaged, m->elr) &&
           (p->leader == -1 || image_nodes_have(isr, p->leader)) &&
           (!p->recovering || p->isr_count <= 1) && p->unclean_epoch >= -1 &&
           p->unclean_epoch <= p->leader_epoch;
}

const struct image_partition *image_topic_partition(const struct image_topic *topic, int32_t index)
{
    bool known = topic && index >= 0 && index < topic->partition_count;
    return known ? &topic->partitions[index] : NULL;
}

bool image_partition_holds(const struct image_partition *p, int32_t broker)
{
    return image_nodes_have((struct image_nodes){p->replicas, p->replica_count}, broker);
}

int32_t image_partition_min_isr(const struct image_partition *p, int32_t configured)
{
    int32_t settled = p->replica_count - p->more->adding.count;
    int32_t least = configured < settled ? configured : settled;
    return least < 1 ? 1 : least;
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
    t->name_size = name.size;
    t->view.id = id;
    t->view.name = t->name;
    t->view.internal = topic_name_is_internal(name);
    t->view.factor_open = t->view.internal;
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
        partition_take(&copy->partitions[i]);
    }
    copy->holders = t->holders;
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
        partition_release(&t->partitions[i]);
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
