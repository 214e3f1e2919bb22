/* SPDX-License-Identifier: Apache-2.0 */

#include "base/heap.h"
#include "base/prng.h"

#include <criterion/criterion.h>

enum { NODES = 500 };

Test(heap, equal_keys_come_first_in_first_out)
{
    struct heap heap;
    struct heap_node nodes[50] = {0};
    heap_init(&heap);
    for (int i = 0; i < 50; i++) {
        heap_add(&heap, &nodes[i], 7);
    }
    cr_assert_null(heap_pop(&heap, 6));
    for (int i = 0; i < 50; i++) {
        cr_assert_eq(heap_pop(&heap, 7), &nodes[i], "node %d out of turn", i);
        cr_assert_not(heap_contains(&nodes[i]));
    }
    cr_assert_null(heap_first(&heap));
    cr_assert_null(heap_pop(&heap, UINT64_MAX));
}

static struct heap_node *smallest(struct heap_node *nodes)
{
    struct heap_node *found = NULL;
    for (int i = 0; i < NODES; i++) {
        struct heap_node *n = &nodes[i];
        if (heap_contains(n) &&
            (!found || n->key < found->key || (n->key == found->key && n->order < found->order))) {
            found = n;
        }
    }
    return found;
}

Test(heap, random_history_agrees_with_a_search)
{
    struct heap heap;
    static struct heap_node nodes[NODES];
    size_t count = 0;
    struct prng random = prng_of(11);
    heap_init(&heap);
    for (int step = 0; step < 20000; step++) {
        struct heap_node *node = &nodes[prng_below(&random, NODES)];
        if (!heap_contains(node)) {
            heap_add(&heap, node, prng_below(&random, 100));
            count++;
        } else if (prng_chance(&random, 1, 3)) {
            struct heap_node *first = smallest(nodes);
            cr_assert_eq(heap_pop(&heap, UINT64_MAX), first, "step %d", step);
            count--;
        } else {
            heap_remove(&heap, node);
            count--;
        }
        cr_assert_eq(heap.count, count);
        cr_assert_eq(heap_first(&heap), smallest(nodes), "step %d", step);
    }
}
