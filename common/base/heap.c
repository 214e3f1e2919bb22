/* SPDX-License-Identifier: Apache-2.0 */

/* A pairing heap (Fredman, Sedgewick, Sleator, Tarjan 1986): a tree in which no node precedes its parent; a node's
 * children are a list, the newest first.
 *
 *     node --child--> first child --next--> second child --next--> ...
 *          <--prev--               <--prev--                            */
#include "base/heap.h"

static bool node_precedes(const struct heap_node *a, const struct heap_node *b)
{
    return a->key < b->key || (a->key == b->key && a->order < b->order);
}

/* Of two trees one; neither has siblings. */
static struct heap_node *trees_join(struct heap_node *a, struct heap_node *b)
{
    if (node_precedes(b, a)) {
        struct heap_node *other = a;
        a = b;
        b = other;
    }
    b->prev = a;
    b->next = a->child;
    if (a->child) {
        a->child->prev = b;
    }
    a->child = b;
    return a;
}

/* Of a list of trees one, NULL of none: in pairs from the front, then the pairs from the back. */
static struct heap_node *list_join(struct heap_node *first)
{
    struct heap_node *pairs = NULL, *joined = NULL;
    while (first) {
        struct heap_node *a = first, *b = a->next;
        first = b ? b->next : NULL;
        a->next = a->prev = NULL;
        if (b) {
            b->next = b->prev = NULL;
            a = trees_join(a, b);
        }
        a->next = pairs;
        pairs = a;
    }
    while (pairs) {
        struct heap_node *next = pairs->next;
        pairs->next = NULL;
        joined = joined ? trees_join(joined, pairs) : pairs;
        pairs = next;
    }
    return joined;
}

void heap_add(struct heap *h, struct heap_node *node, uint64_t key)
{
    assert(!heap_contains(node));
    *node = (struct heap_node){.key = key, .order = ++h->order};
    h->root = h->root ? trees_join(h->root, node) : node;
    h->count++;
}

void heap_remove(struct heap *h, struct heap_node *node)
{
    assert(heap_contains(node) && h->count > 0);
    struct heap_node *below = list_join(node->child);
    if (node == h->root) {
        h->root = below;
    } else {
        assert(node->prev);
        if (node->prev->child == node) {
            node->prev->child = node->next;
        } else {
            node->prev->next = node->next;
        }
        if (node->next) {
            node->next->prev = node->prev;
        }
        h->root = below ? trees_join(h->root, below) : h->root;
    }
    h->count--;
    *node = (struct heap_node){0};
}
