/* SPDX-License-Identifier: Apache-2.0 */

/* Every function that changes a tree takes one reference on it and gives one on the result. own()
 * is where sharing ends: it returns the node itself when nobody else refers to it, or a copy. */
#include "meta/tree.h"

enum {
    TREE_STACK_MAX = 128, /* two entries for each of 48 levels, and some */
    TREE_DELTA = 3,       /* a side may weigh so many times the other */
    TREE_RATIO = 2, /* single rotation while the inner grandchild is lighter than so many outer */
};

static uint32_t size_of(const struct tree_node *n)
{
    return n ? n->size : 0;
}

static uint64_t holders_of(const struct tree_node *n)
{
    return n ? n->holders : 0;
}

static uint32_t weight(const struct tree_node *n)
{
    return size_of(n) + 1;
}

static uint8_t folded(uint8_t c)
{
    return c == '.' ? '_' : c;
}

struct bytes tree_key(enum tree_order order, const struct topic *topic)
{
    return order == TREE_BY_ID ? bytes_of(topic->view.id.bytes, sizeof topic->view.id.bytes)
                               : bytes_of(topic->name, topic->name_size);
}

/* As memcmp() would, without a call: the replay of a metadata log compares ids for most of its time. */
static int id_compare(const uint8_t *a, const uint8_t *b)
{
    uint64_t x = get_be64(a), y = get_be64(b);
    if (x == y) {
        x = get_be64(a + 8);
        y = get_be64(b + 8);
    }
    return (x > y) - (x < y);
}

int tree_compare(enum tree_order order, struct bytes key, const struct topic *topic)
{
    if (order == TREE_BY_ID && key.size == sizeof topic->view.id.bytes) {
        return id_compare(key.data, topic->view.id.bytes);
    }
    struct bytes other = tree_key(order, topic);
    size_t common = key.size < other.size ? key.size : other.size;
    int difference = 0;
    if (order == TREE_BY_COLLISION) {
        for (size_t i = 0; i < common && difference == 0; i++) {
            difference = (int)folded(key.data[i]) - (int)folded(other.data[i]);
        }
    } else if (common) {
        difference = memcmp(key.data, other.data, common);
    }
    if (difference == 0) {
        difference = (key.size > other.size) - (key.size < other.size);
    }
    return (difference > 0) - (difference < 0);
}

struct tree_node *tree_find(const struct tree_node *root, enum tree_order order, struct bytes key)
{
    const struct tree_node *n = root;
    while (n) {
        int side = tree_compare(order, key, n->topic);
        if (side == 0) {
            break;
        }
        n = side < 0 ? n->left : n->right;
    }
    return (struct tree_node *)n;
}

bool tree_each(const struct tree_node *root, uint64_t holders,
               bool (*each)(void *context, const struct topic *topic), void *context)
{
    if (!root || !(root->holders & holders)) {
        return true;
    }
    /* T2 bounds the depth. */
    return tree_each(root->left, holders, each, context) &&
           (!(root->topic->holders & holders) || each(context, root->topic)) &&
           tree_each(root->right, holders, each, context);
}

void tree_add_holders(struct tree_node *root, enum tree_order order, struct bytes key,
                      uint64_t holders)
{
    struct tree_node *n = root;
    int side = 1;
    while (side != 0) {
        assert(n && n->references == 1);
        n->holders |= holders;
        side = tree_compare(order, key, n->topic);
        n = side < 0 ? n->left : n->right;
    }
}

uint32_t tree_rank(const struct tree_node *root, enum tree_order order, struct bytes key)
{
    uint32_t rank = 0;
    for (const struct tree_node *n = root; n;) {
        if (tree_compare(order, key, n->topic) <= 0) {
            n = n->left;
        } else {
            rank += size_of(n->left) + 1;
            n = n->right;
        }
    }
    assert(rank <= size_of(root));
    return rank;
}

struct topic *tree_at(const struct tree_node *root, uint32_t index)
{
    assert(index < size_of(root));
    const struct tree_node *n = root;
    while (index != size_of(n->left)) {
        if (index < size_of(n->left)) {
            n = n->left;
        } else {
            index -= size_of(n->left) + 1;
            n = n->right;
        }
    }
    return n->topic;
}

/* One side of a comparison: what is left of a tree, the next on top. An entry is a whole subtree,
 * or a node alone whose children are dealt with apart. */
struct side {
    struct tree_node *nodes[TREE_STACK_MAX];
    bool whole[TREE_STACK_MAX];
    uint32_t depth;
};

static void side_push(struct side *s, struct tree_node *n, bool whole)
{
    if (n) {
        assert(s->depth < TREE_STACK_MAX);
        s->nodes[s->depth] = n;
        s->whole[s->depth++] = whole;
    }
}

static void side_open(struct side *s)
{
    struct tree_node *n = s->nodes[--s->depth];
    side_push(s, n->right, true);
    side_push(s, n, false);
    side_push(s, n->left, true);
}

static struct tree_node *side_top(const struct side *s)
{
    return s->depth ? s->nodes[s->depth - 1] : NULL;
}

static uint32_t side_whole_size(const struct side *s)
{
    return s->depth && s->whole[s->depth - 1] ? s->nodes[s->depth - 1]->size : 0;
}

void tree_diff(struct tree_node *before, struct tree_node *after, enum tree_order order,
               void (*each)(void *context, const struct topic *old, const struct topic *new),
               void *context)
{
    struct side a = {.depth = 0}, b = {.depth = 0};
    side_push(&a, before, true);
    side_push(&b, after, true);
    while (a.depth || b.depth) {
        struct tree_node *old = side_top(&a), *new = side_top(&b);
        uint32_t old_size = side_whole_size(&a), new_size = side_whole_size(&b);
        if (old == new &&old_size == new_size) {
            a.depth--;
            b.depth--;
        } else if (old_size && old_size >= new_size) {
            side_open(&a);
        } else if (new_size) {
            side_open(&b);
        } else {
            int side = !old   ? 1
                       : !new ? -1
                              : tree_compare(order, tree_key(order, old->topic), new->topic);
            if (side != 0 || old->topic != new->topic) {
                each(context, side <= 0 ? old->topic : NULL, side >= 0 ? new->topic : NULL);
            }
            a.depth -= side <= 0;
            b.depth -= side >= 0;
        }
    }
}

int tree_reserve(struct pool *nodes, unsigned changes)
{
    return pool_reserve(nodes, nodes->in_use + (size_t)changes * TREE_NODES_PER_CHANGE);
}

void tree_release(struct pool *nodes, struct tree_node *root)
{
    if (!root) {
        return;
    }
    assert(root->references > 0);
    if (--root->references > 0) {
        return;
    }
    tree_release(nodes, root->left);
    tree_release(nodes, root->right);
    topic_release(root->topic);
    pool_give(nodes, root);
}

static struct tree_node *node_new(struct pool *nodes)
{
    struct tree_node *n = pool_take(nodes);
    assert(n); /* reserved before the change began */
    n->references = 1;
    return n;
}

static struct tree_node *own(struct pool *nodes, struct tree_node *n)
{
    assert(n->references > 0);
    if (n->references == 1) {
        return n;
    }
    struct tree_node *copy = node_new(nodes);
    copy->left = tree_take(n->left);
    copy->right = tree_take(n->right);
    copy->topic = topic_take(n->topic);
    copy->size = n->size;
    copy->holders = n->holders;
    n->references--;
    return copy;
}

static struct tree_node *resized(struct tree_node *n)
{
    n->size = size_of(n->left) + size_of(n->right) + 1;
    n->holders = n->topic->holders | holders_of(n->left) | holders_of(n->right);
    return n;
}

/* n and its right child are owned: the child comes up. */
static struct tree_node *rotate_left(struct pool *nodes, struct tree_node *n)
{
    struct tree_node *up = own(nodes, n->right);
    n->right = up->left;
    up->left = resized(n);
    return resized(up);
}

static struct tree_node *rotate_right(struct pool *nodes, struct tree_node *n)
{
    struct tree_node *up = own(nodes, n->left);
    n->left = up->right;
    up->right = resized(n);
    return resized(up);
}

/* `n` is owned, its children are balanced, and one of them has changed by one. */
static struct tree_node *balance(struct pool *nodes, struct tree_node *n)
{
    if (weight(n->right) > TREE_DELTA * weight(n->left)) {
        n->right = own(nodes, n->right);
        if (weight(n->right->left) >= TREE_RATIO * weight(n->right->right)) {
            n->right = rotate_right(nodes, n->right);
        }
        return rotate_left(nodes, n);
    }
    if (weight(n->left) > TREE_DELTA * weight(n->right)) {
        n->left = own(nodes, n->left);
        if (weight(n->left->right) >= TREE_RATIO * weight(n->left->left)) {
            n->left = rotate_left(nodes, n->left);
        }
        return rotate_right(nodes, n);
    }
    return resized(n);
}

struct tree_node *tree_put(struct pool *nodes, struct tree_node *root, enum tree_order order,
                           struct topic *topic)
{
    if (!root) {
        struct tree_node *n = node_new(nodes);
        n->topic = topic_take(topic);
        return resized(n);
    }
    struct tree_node *n = own(nodes, root);
    int side = tree_compare(order, tree_key(order, topic), n->topic);
    if (side == 0) {
        struct topic *old = n->topic;
        n->topic = topic_take(topic);
        topic_release(old);
        return resized(n);
    }
    if (side < 0) {
        n->left = tree_put(nodes, n->left, order, topic);
    } else {
        n->right = tree_put(nodes, n->right, order, topic);
    }
    return balance(nodes, n);
}

/* Takes the smallest node out: *first keeps its topic's reference. */
static struct tree_node *take_first(struct pool *nodes, struct tree_node *root,
                                    struct topic **first)
{
    struct tree_node *n = own(nodes, root);
    if (n->left) {
        n->left = take_first(nodes, n->left, first);
        return balance(nodes, n);
    }
    struct tree_node *rest = n->right;
    *first = n->topic;
    pool_give(nodes, n);
    return rest;
}

struct tree_node *tree_remove(struct pool *nodes, struct tree_node *root, enum tree_order order,
                              struct bytes key)
{
    assert(root);
    struct tree_node *n = own(nodes, root);
    int side = tree_compare(order, key, n->topic);
    if (side < 0) {
        n->left = tree_remove(nodes, n->left, order, key);
        return balance(nodes, n);
    }
    if (side > 0) {
        n->right = tree_remove(nodes, n->right, order, key);
        return balance(nodes, n);
    }
    topic_release(n->topic);
    if (!n->right) {
        struct tree_node *rest = n->left;
        pool_give(nodes, n);
        return rest;
    }
    n->right = take_first(nodes, n->right, &n->topic);
    return balance(nodes, n);
}

void tree_check(const struct tree_node *root, enum tree_order order)
{
    if (!root) {
        return;
    }
    assert(root->references > 0);
    assert(root->size == size_of(root->left) + size_of(root->right) + 1);
    assert(weight(root->left) <= TREE_DELTA * weight(root->right));
    assert(weight(root->right) <= TREE_DELTA * weight(root->left));
    if (order == TREE_BY_NAME) {
        assert(root->holders ==
               (root->topic->holders | holders_of(root->left) | holders_of(root->right)));
    }
    struct bytes key = tree_key(order, root->topic);
    const struct tree_node *n = root->left;
    for (; n; n = n->right) {
        assert(tree_compare(order, key, n->topic) > 0);
    }
    for (n = root->right; n; n = n->left) {
        assert(tree_compare(order, key, n->topic) < 0);
    }
    tree_check(root->left, order);
    tree_check(root->right, order);
}
