/* SPDX-License-Identifier: Apache-2.0 */

/* What an image is made of: between image.c and image_partition.c. */
#pragma once

#include "meta/edit.h"

#include "meta/nodes.h"
#include "meta/tree.h"

#include <stdatomic.h>

enum {
    IMAGE_MAGIC = 0x696d6167,
    CLUSTER_ID_SIZE = 23,
};

struct blob {
    uint32_t references;
    size_t size;
    uint8_t data[];
};

struct image_home {
    struct memory *memory;
    struct pool nodes;
    struct node_table lists;
    uint32_t images;
    _Atomic(struct image *) dead;
    char cluster_id[CLUSTER_ID_SIZE];
};

struct image {
    uint32_t magic;
    bool sealed;
    _Atomic uint32_t references;
    struct image_home *home;
    struct image *next_dead;
    struct tree_node *by_name, *by_id, *by_collision;
    struct broker_set *brokers;
    struct node_configs *configs;
    struct blob *voters;    /* NULL: none */
    struct topic **removed; /* with a reference each: image_remember_removed() */
    uint32_t removed_count, removed_capacity;
    bool remembers;
    struct image_feature features[IMAGE_FEATURES_MAX];
    uint32_t feature_count;
    uint64_t partitions;
    int64_t next_producer_id;
    int64_t offset, timestamp;
    int32_t epoch, controller;
    int16_t kraft_version;
};

static inline void image_assert_draft(const struct image *i)
{
    assert(i->magic == IMAGE_MAGIC);
    assert(!i->sealed);
}

/* NULL: none. */
struct topic *image_topic_with_id(const struct image *i, struct uuid id);

/* A topic that may be changed in place: itself, or a copy that now stands in the draft. 0 or
 * ERR_NO_MEMORY. */
int image_own_topic(struct image *i, struct topic *t, struct topic **out) MUST_CHECK;
