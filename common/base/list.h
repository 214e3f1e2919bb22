/* SPDX-License-Identifier: Apache-2.0 */

/* list: an intrusive doubly linked ring. The head is a node of its own; a node that is in no list
 * points to itself, so that removing twice is harmless. */
#pragma once

#include "base/bytes.h"

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

static inline void list_append(struct list *head, struct list *node)
{
    assert(node->next == node || !node->next);
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* The first node, or NULL. */
static inline struct list *list_first(const struct list *head)
{
    return list_empty(head) ? NULL : head->next;
}

/* Removes and returns the first node, or NULL. */
static inline struct list *list_pop(struct list *head)
{
    struct list *first = list_first(head);
    if (first) {
        list_remove(first);
    }
    return first;
}

/* Moves all nodes of `from` behind those of `to`. */
static inline void list_splice(struct list *to, struct list *from)
{
    while (!list_empty(from)) {
        struct list *node = list_pop(from);
        list_append(to, node);
    }
}

#define list_each(node, head)                                                                      \
    for (struct list *node = (head)->next, *node##_next = node->next; node != (head);              \
         node = node##_next, node##_next = node->next)
