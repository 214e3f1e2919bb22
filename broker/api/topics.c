/* SPDX-License-Identifier: Apache-2.0 */

/* Entries live in an arena and borrow names and ids from the image. */
#include "api/topics.h"

#include "api/api.h"
#include "log/log.h"

enum { TOPICS_CACHED_MAX = 16384, TOPICS_ARENA_MAX = 16 << 20 };

int64_t api_broker_number(const struct config *config, const struct image *image, int32_t node_id,
                          enum config_key key)
{
    const char *name = config_key_info(key)->name;
    const int32_t nodes[] = {node_id, -1};
    int64_t number;
    for (size_t i = 0; image && i < array_size(nodes); i++) {
        const char *value = image_broker_config(image, nodes[i], name);
        /* A value that another version wrote and this one refuses is passed over. */
        if (value && config_value_number(key, bytes_of_string(value), &number)) {
            return number;
        }
    }
    bool is_bool = config_key_info(key)->type == CONFIG_TYPE_BOOL;
    return is_bool ? config_bool(config, key) : config_integer(config, key);
}

void api_topic_config(const struct config *config, const struct image *image, int32_t node_id,
                      const struct image_topic *topic, struct topic_config *out)
{
    char why[CONFIG_WHY_SIZE];
    topic_config_init(out, config);
    for (int i = 0; i < TOPIC_KEY_COUNT; i++) {
        enum config_key key = topic_key_info((enum topic_key)i)->broker_key;
        out->numbers[i] = api_broker_number(config, image, node_id, key);
    }
    if (topic) {
        /* Fixed at creation: the topic names it unless it is the table's first choice. */
        out->numbers[TOPIC_DURABILITY] = TOPIC_DURABILITY_FSYNC;
    }
    for (uint32_t i = 0; topic && i < topic->config_count; i++) {
        int key = topic_key_find(bytes_of_string(topic->configs[i].key));
        if (key >= 0 &&
            topic_config_set(out, (enum topic_key)key, bytes_of_string(topic->configs[i].value),
                             why, sizeof why) != 0) {
            continue;
        }
    }
}

void topics_init(struct topics *t, struct memory *memory, uint64_t seed,
                 const struct api_options *options)
{
    *t = (struct topics){.memory = memory, .options = options};
    map_init(&t->by_name, memory, seed, TOPICS_CACHED_MAX);
    map_init(&t->by_id, memory, seed, TOPICS_CACHED_MAX);
    arena_init(&t->arena, memory, TOPICS_ARENA_MAX);
}

static void topics_clear(struct topics *t)
{
    size_t limit = t->by_name.limit;
    uint64_t seed = t->by_name.seed;
    map_deinit(&t->by_name);
    map_deinit(&t->by_id);
    map_init(&t->by_name, t->memory, seed, limit);
    map_init(&t->by_id, t->memory, seed, limit);
    arena_reset(&t->arena);
}

void topics_deinit(struct topics *t)
{
    map_deinit(&t->by_name);
    map_deinit(&t->by_id);
    arena_deinit(&t->arena);
}

void topics_publish(struct topics *t, const struct image *image)
{
    topics_clear(t);
    t->image = image;
}

static const struct topic_view *topics_add(struct topics *t, const struct image_topic *topic)
{
    if (!topic) {
        return NULL;
    }
    if (map_count(&t->by_name) >= t->by_name.limit) {
        topics_clear(t);
    }
    struct topic_view *view = arena_alloc(&t->arena, sizeof *view);
    bool kept = view != NULL;
    view = kept ? view : &t->spare;
    view->topic = topic;
    api_topic_config(t->options->config, t->image, t->options->node_id, topic, &view->config);
    if (kept && map_add(&t->by_name, bytes_of_string(topic->name), view) == 0 &&
        map_add(&t->by_id, bytes_of(topic->id.bytes, sizeof topic->id.bytes), view) != 0) {
        map_remove(&t->by_name, bytes_of_string(topic->name));
    }
    return view;
}

const struct topic_view *topics_by_name(struct topics *t, struct wire_string name)
{
    if (!t->image || name.size <= 0) {
        return NULL;
    }
    struct bytes key = wire_string_bytes(name);
    const struct topic_view *view = map_get(&t->by_name, key);
    return view ? view : topics_add(t, image_topic_by_name(t->image, key));
}

const struct topic_view *topics_by_id(struct topics *t, struct uuid id)
{
    if (!t->image || uuid_is_zero(id)) {
        return NULL;
    }
    const struct topic_view *view = map_get(&t->by_id, bytes_of(id.bytes, sizeof id.bytes));
    return view ? view : topics_add(t, image_topic_by_id(t->image, id));
}

bool topic_name_valid(struct wire_string name)
{
    if (name.size < 1 || name.size > LOG_TOPIC_NAME_MAX) {
        return false;
    }
    bool dots = true;
    for (int32_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '_' || c == '-')) {
            return false;
        }
        dots = dots && c == '.';
    }
    return !dots || name.size > 2;
}
