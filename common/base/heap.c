/* SPDX-License-Identifier: Apache-2.0 */

/* The tree is complete: counted from 1 row by row, node n has the children 2n and 2n + 1, so the
 * bits of n below its highest one say the way from the root (0 left, 1 right).
 *
 *   H1  No node precedes its parent.
 *   H2  Nodes 1 .. count exist and no other. */
#include "base/heap.h"

static bool node_precedes(const struct heap_node *a, const struct heap_node *b)
{
    return a->key < b->key || (a->key == b->key && a->order < b->order);
}

/* The link that holds node number `n`, and its parent. */
static struct heap_node **heap_link(struct heap *h, size_t n, struct heap_node **parent)
{
    assert(n > 0);
    struct heap_node **link = &h->root;
    *parent = NULL;
    int highest = 63 - __builtin_clzll((unsigned long long)n);
    for (int bit = highest - 1; bit >= 0; bit--) {
        *parent = *link;
        assert(*parent);
        link = (n >> bit & 1) ? &(*link)->right : &(*link)->left;
    }
    return link;
}

static struct heap_node **node_link(struct heap *h, struct heap_node *node)
{
    if (!node->parent) {
        assert(h->root == node);
        return &h->root;
    }
    return node->parent->left == node ? &node->parent->left : &node->parent->right;
}

static void node_adopt(struct heap_node *node)
{
    if (node->left) {
        node->left->parent = node;
    }
    if (node->right) {
        node->right->parent = node;
    }
}

/* Exchanges a node with its parent. */
static void node_lift(struct heap *h, struct heap_node *node)
{
    struct heap_node *parent = node->parent;
    struct heap_node **link = node_link(h, parent);
    struct heap_node *left = node->left, *right = node->right;
    if (parent->left == node) {
        node->left = parent;
        node->right = parent->right;
    } else {
        node->left = parent->left;
        node->right = parent;
    }
    node->parent = parent->parent;
    parent->left = left;
    parent->right = right;
    *link = node;
    node_adopt(node);
    node_adopt(parent);
}

static void node_rise(struct heap *h, struct heap_node *node)
{
    while (node->parent && node_precedes(node, node->parent)) {
        node_lift(h, node);
    }
}

static void node_sink(struct heap *h, struct heap_node *node)
{
    for (;;) {
        struct heap_node *first = node->left;
        if (first && node->right && node_precedes(node->right, first)) {
            first = node->right;
        }
        if (!first || !node_precedes(first, node)) {
            return;
        }
        node_lift(h, first);
    }
}

void heap_add(struct heap *h, struct heap_node *node, uint64_t key)
{
    assert(!heap_contains(node));
    struct heap_node *parent;
    struct heap_node **link = heap_link(h, h->count + 1, &parent);
    assert(!*link);
    *node = (struct heap_node){.parent = parent, .key = key, .order = ++h->order};
    *link = node;
    h->count++;
    node_rise(h, node);
}

void heap_remove(struct heap *h, struct heap_node *node)
{
    assert(heap_contains(node));
    assert(h->count > 0);
    struct heap_node *parent;
    struct heap_node **link = heap_link(h, h->count, &parent);
    struct heap_node *last = *link;
    assert(last && !last->left && !last->right);
    *link = NULL;
    h->count--;
    if (last != node) {
        last->left = node->left;
        last->right = node->right;
        last->parent = node->parent;
        *node_link(h, node) = last;
        node_adopt(last);
        node_rise(h, last);
        node_sink(h, last);
    }
    *node = (struct heap_node){0};
}
