/* SPDX-License-Identifier: Apache-2.0 */

/* Partitions and racks, brought together by augmenting paths.
 *
 * A partition suits a member in whose rack it has a replica, and every member that says no rack.
 * Members of one rack are alike and are a class; those that say none are class 0. A partition that
 * does not suit its owner is a stray. For each stray a search goes breadth first over classes:
 *
 *     stray p of member m --p suits--> class --it passes on z, which suits--> class --> ...
 *
 * until it comes to a class where
 *   1. a member has a stray u: he gets what comes and u goes to m, where it suits or not: one stray
 *      less at least;
 *   2. a member has less than m: he keeps what comes, and m has one partition less instead of him.
 * Every class in between takes one in and passes one on. If everybody has `least` or one more, a
 * member with `least` may also keep what comes if another, anywhere, who has one more passes one on
 * and gets nothing back: for that each class has a second node, "of those that have more".
 *
 * That is the search of a maximum flow from partitions over classes to the places that members
 * have, and strays are what did not get through. So where it ends without a path no assignment as
 * even has fewer strays, and what it went through need not be looked at again (for starts that have
 * no more than this one): no later path leads out of there.
 *
 * All of it is done twice: first nobody passes on what he had before. So what is free finds its rack
 * without moving what is not, and a cooperative group that got what was held back is at its end. */
#include "consumer/group/assign_racks.h"

#include <string.h>

enum {
    FIT_STEPS_MAX = 50000000,
    FIT_STRAYS_LOOKED_AT = 64, /* to choose one of a class */
};

enum { LIST_SUITING, LIST_STRAY, LIST_COUNT };

struct racks_fit {
    struct assign *a;
    int32_t *load;
    const int32_t *previous;
    const struct racks_pool *pool;
    uint64_t steps;

    int32_t *member_first, *member_next; /* of a class: its members in the pool */
    int32_t *classes;                    /* that have any */
    int32_t class_count;
    int32_t *held[LIST_COUNT]; /* of a class: the first partition that its members have */
    int32_t *next, *before;    /* of a partition, in that list */

    /* The search. Node 2c is class c, node 2c + 1 those of it that have more. */
    int32_t *from, *via;              /* the node before (-1: the stray), and what it passes on */
    int32_t *seen, *queue, *hopeless; /* hopeless: for starts that have less than that */
    int32_t stamp, queued;
    bool all;       /* may be passed on; else what its owner did not have before */
    bool handed_on; /* the nodes of those that have more were reached */
};

static int32_t class_of(const struct racks_fit *f, int32_t m)
{
    int32_t rack = f->a->members[m].rack, most = f->a->racks.count + 1;
    assert(rack >= 0);
    return rack < most ? rack : most;
}

static bool class_suits(const struct racks_fit *f, int32_t c, int32_t p)
{
    return c == 0 || assign_in_rack(f->a, p, c);
}

/* --- who has what --- */

static int32_t *partition_list(struct racks_fit *f, int32_t p)
{
    int32_t c = class_of(f, f->a->owner[p]);
    return &f->held[class_suits(f, c, p) ? LIST_SUITING : LIST_STRAY][c];
}

static void partition_link(struct racks_fit *f, int32_t p)
{
    int32_t *list = partition_list(f, p);
    f->before[p] = -1;
    f->next[p] = *list;
    if (*list >= 0) {
        f->before[*list] = p;
    }
    *list = p;
}

static void partition_move(struct racks_fit *f, int32_t p, int32_t to)
{
    if (f->next[p] >= 0) {
        f->before[f->next[p]] = f->before[p];
    }
    if (f->before[p] >= 0) {
        f->next[f->before[p]] = f->next[p];
    } else {
        assert(*partition_list(f, p) == p);
        *partition_list(f, p) = f->next[p];
    }
    f->a->owner[p] = to;
    partition_link(f, p);
}

/* A member of class `c` with at most `most` partitions, the one that had `p` before if he is one;
 * or -1. */
static int32_t class_taker(struct racks_fit *f, int32_t c, int32_t p, int32_t most)
{
    int32_t found = -1, before = f->previous[p];
    for (int32_t m = f->member_first[c]; m >= 0; m = f->member_next[m]) {
        f->steps++;
        if (f->load[m] <= most && (found < 0 || m == before)) {
            found = m;
        }
    }
    return found;
}

/* --- the search --- */

static void search_visit(struct racks_fit *f, int32_t node, int32_t from, int32_t via, int32_t load)
{
    if (f->member_first[node / 2] >= 0 && f->seen[node] != f->stamp && f->hopeless[node] <= load) {
        f->seen[node] = f->stamp;
        f->from[node] = from;
        f->via[node] = via;
        f->queue[f->queued++] = node;
    }
}

/* Visits the classes that `p` suits; first that of who had it. */
static void search_pass(struct racks_fit *f, int32_t p, int32_t from, int32_t load)
{
    const struct assign_racks *r = &f->a->racks;
    int32_t before = f->previous[p] < 0 ? 0 : class_of(f, f->previous[p]);
    if (class_suits(f, before, p)) {
        search_visit(f, 2 * before, from, p, load);
    }
    for (int32_t i = r->first[p]; i < r->first[p + 1]; i++) {
        search_visit(f, 2 * r->numbers[i], from, p, load);
    }
    search_visit(f, 0, from, p, load);
    f->steps += (uint64_t)(r->first[p + 1] - r->first[p]) + 2;
}

static bool may_pass(const struct racks_fit *f, int32_t p)
{
    return f->all || f->previous[p] != f->a->owner[p];
}

static bool has_more(const struct racks_fit *f, int32_t p)
{
    return f->load[f->a->owner[p]] > f->pool->least;
}

/* The stray at a node whose owner best takes `coming` in its place, when it goes to `m`; or -1. */
static int32_t search_stray(struct racks_fit *f, int32_t node, int32_t m)
{
    int32_t best = -1, best_rank = -1, looked_at = 0, coming = f->via[node];
    for (int32_t u = f->held[LIST_STRAY][node / 2]; u >= 0; u = f->next[u]) {
        f->steps++;
        if (!may_pass(f, u) || (node % 2 && !has_more(f, u))) {
            continue;
        }
        int32_t rank = class_suits(f, class_of(f, m), u) ? 8 : 0;
        rank += f->previous[u] == m ? 4 : 0;
        rank += coming >= 0 && f->previous[coming] == f->a->owner[u] ? 2 : 0;
        rank += f->previous[u] != f->a->owner[u];
        best = rank > best_rank ? u : best;
        best_rank = rank > best_rank ? rank : best_rank;
        if (++looked_at == FIT_STRAYS_LOOKED_AT) {
            break;
        }
    }
    return best;
}

/* Everybody on the way takes what comes and passes on what the search went by. `taker` has room at
 * `node`. */
static void search_follow(struct racks_fit *f, int32_t node, int32_t taker)
{
    while (node >= 0) {
        if (node % 2) {
            f->load[taker]--; /* he gets nothing for what he passed on */
            node = f->from[node];
            taker = class_taker(f, node / 2, f->via[node], f->pool->least);
            assert(taker >= 0);
            f->load[taker]++;
        }
        int32_t p = f->via[node], giver = f->a->owner[p];
        partition_move(f, p, taker);
        taker = giver;
        node = f->from[node];
    }
}

/* Whether the search is at its end with `node`; then the hand-overs are done. */
static bool search_ends(struct racks_fit *f, int32_t node, int32_t m)
{
    int32_t u = search_stray(f, node, m), taker = -1;
    if (u >= 0) {
        taker = f->a->owner[u];
        partition_move(f, u, m);
    } else if (node % 2 == 0) {
        taker = class_taker(f, node / 2, f->via[node], f->load[m] - 1);
        if (taker >= 0) {
            f->load[taker]++;
            f->load[m]--;
        }
    }
    if (taker >= 0) {
        search_follow(f, node, taker);
    }
    return taker >= 0;
}

static void search_expand(struct racks_fit *f, int32_t node, int32_t load)
{
    for (int32_t z = f->held[LIST_SUITING][node / 2]; z >= 0; z = f->next[z]) {
        f->steps++;
        if (may_pass(f, z) && (node % 2 == 0 || has_more(f, z))) {
            search_pass(f, z, node, load);
        }
    }
    bool keeps = node % 2 == 0 && load == f->pool->least && !f->handed_on &&
                 class_taker(f, node / 2, f->via[node], load) >= 0;
    for (int32_t i = 0; keeps && i < f->class_count; i++) {
        search_visit(f, 2 * f->classes[i] + 1, node, -1, load);
    }
    f->handed_on = f->handed_on || keeps;
}

/* True: what `p` began is handed on. */
static bool search_from(struct racks_fit *f, int32_t p)
{
    int32_t m = f->a->owner[p], load = f->load[m];
    f->stamp++;
    f->queued = 0;
    f->handed_on = false;
    search_pass(f, p, -1, load);
    for (int32_t i = 0; i < f->queued; i++) {
        if (f->steps > FIT_STEPS_MAX) {
            return false;
        }
        if (search_ends(f, f->queue[i], m)) {
            return true;
        }
        search_expand(f, f->queue[i], load);
    }
    for (int32_t i = 0; i < f->queued; i++) {
        f->hopeless[f->queue[i]] = load + 1;
    }
    return false;
}

/* --- pools --- */

struct racks_fit *racks_fit_new(struct assign *a, int32_t *load, const int32_t *previous,
                                struct arena *scratch)
{
    assert(a->racks.first);
    size_t classes = (size_t)a->racks.count + 2;
    size_t partitions = (size_t)a->partition_count + 1;
    struct racks_fit *f = arena_alloc(scratch, sizeof *f);
    if (!f) {
        return NULL;
    }
    *f = (struct racks_fit){.a = a, .load = load, .previous = previous};
    struct {
        int32_t **array;
        size_t count;
    } arrays[] = {
        {&f->member_first, classes},     {&f->member_next, a->member_count + 1},
        {&f->classes, classes},          {&f->held[LIST_SUITING], classes},
        {&f->held[LIST_STRAY], classes}, {&f->next, partitions},
        {&f->before, partitions},        {&f->from, 2 * classes},
        {&f->via, 2 * classes},          {&f->seen, 2 * classes},
        {&f->queue, 2 * classes},        {&f->hopeless, 2 * classes},
    };
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        *arrays[i].array = arena_array(scratch, arrays[i].count, sizeof(int32_t));
        if (!*arrays[i].array) {
            return NULL;
        }
    }
    for (size_t c = 0; c < classes; c++) {
        f->member_first[c] = f->held[LIST_SUITING][c] = f->held[LIST_STRAY][c] = -1;
    }
    return f;
}

static void pool_begin(struct racks_fit *f, const struct racks_pool *pool)
{
    f->pool = pool;
    f->class_count = 0;
    f->steps += (uint64_t)pool->count + (uint64_t)pool->member_count;
    for (int32_t i = pool->member_count - 1; i >= 0; i--) {
        int32_t m = pool->members[i], c = class_of(f, m);
        if (f->member_first[c] < 0) {
            f->classes[f->class_count++] = c;
        }
        f->member_next[m] = f->member_first[c];
        f->member_first[c] = m;
    }
    for (int32_t p = pool->first + pool->count - 1; p >= pool->first; p--) {
        assert(f->member_first[class_of(f, f->a->owner[p])] >= 0);
        partition_link(f, p);
    }
}

static void pool_end(struct racks_fit *f)
{
    for (int32_t i = 0; i < f->class_count; i++) {
        int32_t c = f->classes[i];
        f->member_first[c] = f->held[LIST_SUITING][c] = f->held[LIST_STRAY][c] = -1;
    }
}

static bool pool_search(struct racks_fit *f, bool all)
{
    bool moved = false;
    f->all = all;
    for (int32_t i = 0; i < f->class_count; i++) {
        f->hopeless[2 * f->classes[i]] = f->hopeless[2 * f->classes[i] + 1] = 0;
    }
    for (int32_t p = f->pool->first; p < f->pool->first + f->pool->count; p++) {
        if (may_pass(f, p) && !class_suits(f, class_of(f, f->a->owner[p]), p)) {
            moved = search_from(f, p) || moved;
        }
    }
    return moved;
}

bool racks_fit_pool(struct racks_fit *f, const struct racks_pool *pool)
{
    if (f->steps > FIT_STEPS_MAX) {
        return false;
    }
    pool_begin(f, pool);
    bool moved = pool_search(f, false);
    moved = pool_search(f, true) || moved;
    pool_end(f);
    return moved;
}
