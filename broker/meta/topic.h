/* SPDX-License-Identifier: Apache-2.0 */

/* topic: one topic as images share it: counted, and copied before it is changed once a second
 * holder is there. Also the lists of nodes that partitions point to, of which equal ones are one,
 * and sets of configurations. All of it belongs to one shard's heap. */
#pragma once

#include "base/map.h"
#include "meta/image.h"

enum {
    TOPIC_NAME_MAX = 249,
    TOPIC_PARTITIONS_MAX = 1000000,
    NODE_LIST_MAX = 64,
    CONFIG_KEY_MAX = 249,
    CONFIG_VALUE_MAX = 16384,
};

/* A list of node ids, or of other things of whole words. Equal lists of one table are one. */
struct node_list {
    uint32_t references;
    int32_t count;
    struct node_table *home;
    int32_t ids[];
};

struct node_table {
    struct memory *memory;
    struct map lists;
};

void node_table_init(struct node_table *t, struct memory *memory);
void node_table_deinit(struct node_table *t); /* every list is released */

/* The ids of the one list with this content, with a reference; NULL: out of memory. */
const int32_t *node_list_get(struct node_table *t, const int32_t *ids, int32_t count) MUST_CHECK;
void node_list_take(const int32_t *ids);
void node_list_release(const int32_t *ids);

/* Directories of replicas, shared as the lists of nodes are. */
const struct uuid *directory_list_get(struct node_table *t, const struct uuid *ids,
                                      int32_t count) MUST_CHECK;

/* A copy of what `base` says, with one reference; when all of it is empty, a constant that is not
 * counted. NULL: out of memory. */
const struct image_more *partition_more_new(struct memory *m,
                                            const struct image_more *base) MUST_CHECK;

/* The references of what a partition points to; NULL pointers have none. */
void partition_take(const struct image_partition *p);
void partition_release(const struct image_partition *p);

/* What edit.h promises of every partition. */
bool partition_is_sound(const struct image_partition *p);

/* Configurations, sorted by key; never changed once made. */
struct config_set {
    uint32_t references;
    uint32_t count;
    struct memory *memory;
    struct image_config entries[]; /* their text follows in the same block */
};

/* The successor of `base` (NULL: empty) with `key` set, or deleted when value.data is NULL. An
 * empty result is NULL. 0, ERR_NO_MEMORY, ERR_MALFORMED above a limit. `base` keeps its reference.
 */
int config_set_with(struct config_set **out, struct memory *m, const struct config_set *base,
                    struct bytes key, struct bytes value) MUST_CHECK;
struct config_set *config_set_take(struct config_set *s); /* NULL is accepted */
void config_set_release(struct config_set *s);
const char *config_set_get(const struct config_set *s, const char *key);

struct topic {
    struct image_topic view; /* what the image shows; its pointers are those below */
    uint32_t references;
    int32_t capacity; /* of partitions */
    struct memory *memory;
    uint64_t holders; /* a bit for each broker that has, or once had, a partition: holder_bit() */
    struct image_partition *partitions; /* their lists of nodes are counted */
    struct config_set *configs;
    size_t name_size; /* without the NUL */
    char name[];
};

/* Brokers whose ids differ by 64 share a bit: it tells where to look, not what is there. */
static inline uint64_t holder_bit(int32_t id)
{
    return (uint64_t)1 << ((uint32_t)id & 63);
}

/* Without partitions, one reference. NULL: out of memory. */
struct topic *topic_new(struct memory *m, struct bytes name, struct uuid id) MUST_CHECK;
struct topic *topic_copy(const struct topic *t) MUST_CHECK;
struct topic *topic_take(struct topic *t);
void topic_release(struct topic *t);

/* Room for one more partition: 0 or ERR_NO_MEMORY. */
int topic_grow(struct topic *t) MUST_CHECK;

bool topic_name_is_valid(struct bytes name);
bool topic_name_is_internal(struct bytes name);
