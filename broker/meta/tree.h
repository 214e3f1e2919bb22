/* SPDX-License-Identifier: Apache-2.0 */

/* tree: topics in order, shared between images.
 *
 * A persistent weight-balanced tree (Adams, Functional Pearls: Efficient sets, 1993; the balance
 * constants 3 and 2 are those that Hirai and Yamamoto proved right, JFP 2011). A node that only one
 * tree refers to is changed in place; a node that an older image shares is copied first. So replay
 * into one image copies nothing, and one change to a published image copies one path.
 *
 * Invariants (checked by tree_check(), which the unit tests call after every step)
 *   T1  Keys rise strictly from left to right.
 *   T2  size = 1 + size of both children; one side weighs at most three times the other.
 *   T3  A node's references are the parents and roots that point to it.
 *   T4  By name: holders = those of its topic and of both children.
 *
 * Counts are plain: trees are built, changed and released on their home shard alone. Other shards
 * only read them, under the reference of an image. */
#pragma once

#include "base/pool.h"
#include "meta/topic.h"

enum tree_order {
    TREE_BY_NAME,
    TREE_BY_ID,
    TREE_BY_COLLISION, /* names with '.' and '_' taken for one: what metrics would confuse */
};

struct tree_node {
    struct tree_node *left, *right;
    struct topic *topic; /* one reference */
    uint32_t references;
    uint32_t size;
    uint64_t holders;
};

enum {
    TREE_NODES_PER_CHANGE = 192, /* a change owns at most three nodes of each level, 48 levels */
};

/* -1, 0, 1: where `key` stands against the key of `topic`. */
int tree_compare(enum tree_order order, struct bytes key, const struct topic *topic);

/* The key of a topic in `order`. */
struct bytes tree_key(enum tree_order order, const struct topic *topic);

struct tree_node *tree_find(const struct tree_node *root, enum tree_order order, struct bytes key);

/* How many keys are smaller than `key`. */
uint32_t tree_rank(const struct tree_node *root, enum tree_order order, struct bytes key);

/* index < root->size. */
struct topic *tree_at(const struct tree_node *root, uint32_t index);

/* Calls `each` for every topic in order that has one of `holders` (topic.h; UINT64_MAX: for every
 * one that has partitions) until it returns false; whether it never did. What it costs is what it
 * finds. */
bool tree_each(const struct tree_node *root, uint64_t holders,
               bool (*each)(void *context, const struct topic *topic), void *context);

/* The topic with this key, to which nobody else's nodes lead, has more holders now. */
void tree_add_holders(struct tree_node *root, enum tree_order order, struct bytes key,
                      uint64_t holders);

/* Calls `each` for every key whose topics differ, in order; subtrees that both share are passed
 * over.
 */
void tree_diff(struct tree_node *before, struct tree_node *after, enum tree_order order,
               void (*each)(void *context, const struct topic *old, const struct topic *new),
               void *context);

/* Makes sure that `changes` calls of tree_put() and tree_remove() find their nodes: 0 or
 * ERR_NO_MEMORY. Both take the caller's reference on `root` and give one on the result. */
int tree_reserve(struct pool *nodes, unsigned changes) MUST_CHECK;

/* Adds `topic`, or puts it in the place of the one with the same key; takes its own reference. */
struct tree_node *tree_put(struct pool *nodes, struct tree_node *root, enum tree_order order,
                           struct topic *topic) MUST_CHECK;

/* `key` is in the tree. */
struct tree_node *tree_remove(struct pool *nodes, struct tree_node *root, enum tree_order order,
                              struct bytes key) MUST_CHECK;

static inline struct tree_node *tree_take(struct tree_node *root)
{
    if (root) {
        root->references++;
    }
    return root;
}

void tree_release(struct pool *nodes, struct tree_node *root);

/* Asserts T1 and T2. */
void tree_check(const struct tree_node *root, enum tree_order order);
