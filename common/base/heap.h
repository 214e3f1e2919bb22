/* SPDX-License-Identifier: Apache-2.0 */

/* heap: an intrusive heap of deadlines.
 *
 * A node is embedded in its owner; the heap links nodes and allocates nothing, so adding never
 * fails. The smallest key comes first, and among equal keys the one that was added first: what
 * fires together fires in the order in which it was asked for. Adding and looking take O(1), removing
 * O(log n) on average over many. Not thread-safe. */
#pragma once

#include "base/assert.h"

#include <stddef.h>
#include <stdint.h>

struct heap_node {
    struct heap_node *child, *next,
        *prev; /* the first child; siblings, or in front of the first the parent */
    uint64_t key;
    uint64_t order; /* set by heap_add(): 0 means that the node is in no heap */
};

struct heap {
    struct heap_node *root;
    size_t count;
    uint64_t order; /* of the latest node added */
};

/* A zeroed heap and zeroed nodes are ready for use. */
static inline void heap_init(struct heap *h)
{
    *h = (struct heap){0};
}

static inline bool heap_contains(const struct heap_node *node)
{
    return node->order != 0;
}

/* The node with the smallest key, or NULL. */
static inline struct heap_node *heap_first(const struct heap *h)
{
    return h->root;
}

/* `node` is in no heap; it stays in place until it is removed. */
void heap_add(struct heap *h, struct heap_node *node, uint64_t key);

/* `node` is in this heap. */
void heap_remove(struct heap *h, struct heap_node *node);

/* Removes and returns the first node if its key is at most `key`, or NULL. */
static inline struct heap_node *heap_pop(struct heap *h, uint64_t key)
{
    struct heap_node *first = h->root;
    if (!first || first->key > key) {
        return NULL;
    }
    heap_remove(h, first);
    return first;
}
