/* SPDX-License-Identifier: Apache-2.0 */

/* Partitions come and go.
 *
 *     assignment_take       the difference between what is held and what a new generation gives:
 *                           what is new is held at once, what is missing is asked back
 *     assignment_prepare    before joining: an eager member gives back all, a cooperative one what
 *                           it does not subscribe to any more
 *     assignment_release    the caller has let go: one last commit, then it is gone (G1) */
#include "consumer/group/group_private.h"

#include <string.h>

void group_note(struct group *g, int32_t kind, const struct consumer_partition *p)
{
    size_t size = strlen(p->topic) + 1;
    struct group_change *c = memory_alloc(g->heap, sizeof *c + size);
    if (g->change_count == GROUP_CHANGES_MAX) {
        memory_free(g->heap, container_of(list_pop(&g->changes), struct group_change, link));
        g->change_count--;
    }
    if (c) {
        c->kind = kind;
        c->partition = p->partition;
        memcpy(c->topic, p->topic, size);
        list_init(&c->link);
        list_append(&g->changes, &c->link);
        g->change_count++;
    }
}

static void partition_gone(struct group *g, struct consumer_partition *p, int32_t kind)
{
    group_note(g, kind, p);
    fetcher_remove(g->fetcher, p);
}

void assignment_lose(struct group *g, int32_t kind)
{
    if (g->manual) {
        return;
    }
    list_each (node, &g->fetcher->assigned) {
        partition_gone(g, container_of(node, struct consumer_partition, link), kind);
    }
    g->release = RELEASE_NONE;
    g->release_committed = false;
    g->changed(g);
}

/* In the gate: the caller is to let go of it; nothing more of it is handed out. */
static void partition_revoke(struct group *g, struct consumer_partition *p)
{
    p->revoking = true;
    fetcher_drop(g->fetcher, p);
    if (g->release == RELEASE_NONE) {
        g->release = RELEASE_ASKED;
        g->changed(g);
    }
}

void group_let_go(struct group *g)
{
    g->release_committed = false; /* the commit under way may be older than what was read since */
    list_each (node, &g->fetcher->assigned) {
        container_of(node, struct consumer_partition, link)->revoking = true;
        g->release = RELEASE_GIVEN;
    }
}

bool assignment_prepare(struct group *g)
{
    gate_enter(g->gate);
    if (g->release == RELEASE_NONE && !g->manual) {
        list_each (node, &g->fetcher->assigned) {
            struct consumer_partition *p = container_of(node, struct consumer_partition, link);
            if (!g->cooperative || !topics_subscribed(g, p->topic)) {
                partition_revoke(g, p);
            }
        }
    }
    bool ready = g->release == RELEASE_NONE;
    gate_leave(g->gate);
    return ready || assignment_release(g);
}

bool assignment_release(struct group *g)
{
    bool gone = false;
    gate_enter(g->gate);
    if (g->release == RELEASE_GIVEN && g->commit_count == 0) {
        struct commit *c = NULL;
        leat_error e;
        int error = 0;
        if (g->options->auto_commit && !g->release_committed) {
            g->release_committed = true;
            error =
                group_commit(g, true, core_after_ms(g->core, g->core->options.timeout_ms), &c, &e);
        }
        gone = error || !c;
    }
    if (gone) {
        list_each (node, &g->fetcher->assigned) {
            struct consumer_partition *p = container_of(node, struct consumer_partition, link);
            if (p->revoking) {
                partition_gone(g, p, LEAT_REVOKED);
            }
        }
        g->release = RELEASE_NONE;
        g->release_committed = false;
        g->changed(g);
    }
    gate_leave(g->gate);
    return gone;
}

/* --- a new assignment --- */

/* Remembers an assignment for the sticky strategies, and of which generation it is: whether it is
 * taken or not, no other member was given these partitions there. */
static int assignment_remember(struct group *g, const struct named_partition *parts, size_t count)
{
    arena_deinit(&g->previous_names);
    g->previous_generation = g->generation;
    g->previous_count = 0;
    g->previous = arena_array(&g->previous_names, count + 1, sizeof *g->previous);
    if (!g->previous) {
        return ERR_NO_MEMORY;
    }
    const char *before = NULL, *copy = NULL;
    for (size_t i = 0; i < count; i++) {
        if (!before || strcmp(before, parts[i].topic) != 0) {
            size_t size = strlen(parts[i].topic) + 1;
            char *name = arena_alloc(&g->previous_names, size);
            if (!name) {
                g->previous_count = 0;
                return ERR_NO_MEMORY;
            }
            memcpy(name, parts[i].topic, size);
            copy = name;
        }
        before = parts[i].topic;
        g->previous[g->previous_count++] = (struct named_partition){copy, parts[i].partition};
    }
    return 0;
}

/* In the gate: makes the partitions that are not held yet; all or none. */
static int assignment_make(struct group *g, const struct named_partition *parts, size_t count,
                           struct consumer_partition **made, size_t *made_count)
{
    *made_count = 0;
    struct list *at = g->fetcher->assigned.next;
    for (size_t i = 0; i < count; i++) {
        int order = -1;
        while (at != &g->fetcher->assigned) {
            const struct consumer_partition *p = container_of(at, struct consumer_partition, link);
            struct named_partition held = {p->topic, p->partition};
            order = named_partition_compare(&held, &parts[i]);
            if (order >= 0) {
                break;
            }
            at = at->next;
        }
        if (at != &g->fetcher->assigned && order == 0) {
            continue;
        }
        struct consumer_partition *p =
            partition_new(g->heap, parts[i].topic, parts[i].partition, LEAT_COMMITTED, 0);
        if (!p) {
            while (*made_count) {
                memory_free(g->heap, made[--*made_count]);
            }
            return ERR_NO_MEMORY;
        }
        made[(*made_count)++] = p;
    }
    return 0;
}

/* In the gate: asks back what is held and not given any more. */
static void assignment_revoke_missing(struct group *g, const struct named_partition *parts,
                                      size_t count)
{
    size_t next = 0;
    list_each (node, &g->fetcher->assigned) {
        struct consumer_partition *p = container_of(node, struct consumer_partition, link);
        struct named_partition held = {p->topic, p->partition};
        while (next < count && named_partition_compare(&parts[next], &held) < 0) {
            next++;
        }
        if (next == count || named_partition_compare(&parts[next], &held) != 0) {
            partition_revoke(g, p);
        }
    }
}

/* Leaves out what is not subscribed to (any more): the caller does not want its records. */
static size_t assignment_subscribed(const struct group *g, struct named_partition *parts,
                                    size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (topics_subscribed(g, parts[i].topic)) {
            parts[kept++] = parts[i];
        }
    }
    return kept;
}

int assignment_take(struct group *g, struct wire_bytes blob)
{
    struct named_partition *parts;
    size_t count, made_count;
    struct arena arena;
    arena_init(&arena, g->core->memory, PROTOCOL_ARENA_MAX);
    int error = assignment_read(blob, &parts, &count, &arena);
    struct consumer_partition **made = error ? NULL : arena_array(&arena, count + 1, sizeof *made);
    if (!error && !made) {
        error = ERR_NO_MEMORY;
    }
    if (!error) {
        count = assignment_subscribed(g, parts, count);
        error = assignment_remember(g, parts, count);
    }
    gate_enter(g->gate);
    if (!error && (!g->wish || g->wish_number != g->seen_wish || g->release != RELEASE_NONE)) {
        error = ERR_REBALANCE_IN_PROGRESS; /* the caller wants something else meanwhile */
    }
    if (!error) {
        error = assignment_make(g, parts, count, made, &made_count);
    }
    if (!error) {
        assignment_revoke_missing(g, parts, count);
        fetcher_add(g->fetcher, made, made_count);
        for (size_t i = 0; i < made_count; i++) {
            group_note(g, LEAT_ASSIGNED, made[i]);
        }
        if (made_count) {
            g->changed(g);
        }
    }
    gate_leave(g->gate);
    arena_deinit(&arena);
    return error;
}
