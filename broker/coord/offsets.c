/* SPDX-License-Identifier: Apache-2.0 */

/* The table of what a group has committed, by topic and partition. */
#include "coord/offsets.h"

#include "log/log.h"

static struct bytes key_bytes(const struct offset *o)
{
    return bytes_of(o->key, sizeof(uint32_t) + o->topic_size);
}

struct wire_string offset_topic(const struct offset *o)
{
    return (struct wire_string){(const char *)o->key + sizeof(uint32_t), (int32_t)o->topic_size};
}

static bool key_make(uint8_t *key, size_t capacity, size_t *size, struct wire_string topic,
                     int32_t partition)
{
    struct bytes name = wire_string_bytes(topic);
    *size = sizeof(uint32_t) + name.size;
    if (*size > capacity) {
        return false;
    }
    put_be32(key, (uint32_t)partition);
    if (name.size) {
        memcpy(key + sizeof(uint32_t), name.data, name.size);
    }
    return true;
}

struct offset *offset_find(struct group *g, struct wire_string topic, int32_t partition)
{
    uint8_t key[sizeof(uint32_t) + LOG_TOPIC_NAME_MAX];
    size_t size;
    return key_make(key, sizeof key, &size, topic, partition)
               ? map_get(&g->offset_index, bytes_of(key, size))
               : NULL;
}

static struct offset *offset_new(struct group *g, struct wire_string topic, int32_t partition)
{
    size_t size = sizeof(uint32_t) + wire_string_bytes(topic).size;
    struct offset *o = memory_alloc(g->host->memory, sizeof *o + size);
    if (!o) {
        return NULL;
    }
    key_make(o->key, size, &size, topic, partition);
    o->topic_size = size - sizeof(uint32_t);
    o->partition = partition;
    if (map_add(&g->offset_index, key_bytes(o), o) != 0) {
        memory_free(g->host->memory, o);
        return NULL;
    }
    list_init(&o->link);
    list_append(&g->offsets, &o->link);
    return o;
}

int offset_set(struct group *g, const struct coord_offset *in, int64_t committed_ms,
               int64_t expires_ms)
{
    struct offset *o = offset_find(g, in->topic, in->partition);
    struct bytes note = wire_string_bytes(in->metadata);
    uint8_t *metadata = note.size ? memory_alloc(g->host->memory, note.size) : NULL;
    o = o || (note.size && !metadata) ? o : offset_new(g, in->topic, in->partition);
    if (!o || (note.size && !metadata)) {
        memory_free(g->host->memory, metadata);
        return ERR_NO_MEMORY;
    }
    if (note.size) {
        memcpy(metadata, note.data, note.size);
    }
    memory_free(g->host->memory, o->metadata);
    o->metadata = metadata;
    o->metadata_size = (int32_t)note.size;
    o->topic_id = in->topic_id;
    o->offset = in->offset;
    o->leader_epoch = in->leader_epoch;
    o->committed_ms = committed_ms;
    o->expires_ms = expires_ms;
    return 0;
}

bool offset_is_of_former(const struct group *g, const struct offset *o)
{
    const struct image_topic *topic =
        uuid_is_zero(o->topic_id)
            ? NULL
            : image_topic_by_name(g->host->image, wire_string_bytes(offset_topic(o)));
    return topic && !uuid_equal(o->topic_id, topic->id);
}

void offset_remove(struct group *g, struct offset *o)
{
    map_remove(&g->offset_index, key_bytes(o));
    list_remove(&o->link);
    memory_free(g->host->memory, o->metadata);
    memory_free(g->host->memory, o);
}

void offsets_clear(struct group *g)
{
    struct list *node;
    while ((node = list_first(&g->offsets))) {
        offset_remove(g, container_of(node, struct offset, link));
    }
}
