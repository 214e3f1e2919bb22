/* SPDX-License-Identifier: Apache-2.0 */

/* The leader of a generation: it learns how many partitions the topics of all members have, runs
 * the strategy, and then watches those topics, for as long as it leads. */
#include "consumer/group/group_private.h"

struct leading {
    struct arena arena;
    struct roster roster;
    struct assign assign;
    struct topic **topics; /* of the roster; NULL: cannot be one */
    size_t topic_count;    /* how many of them are held */
    bool assigned;
    bool skip; /* the coordinator has the assignment of a leader that came back */
};

void leader_end(struct group *g)
{
    struct leading *l = g->leading;
    if (!l) {
        return;
    }
    for (size_t i = 0; i < l->topic_count; i++) {
        if (l->topics[i]) {
            topic_put(g->core, l->topics[i]);
        }
    }
    arena_deinit(&l->arena);
    memory_free(g->core->memory, l);
    g->leading = NULL;
}

int leader_begin(struct group *g, const struct join_group_response *in, bool skip)
{
    leader_end(g);
    struct leading *l = memory_alloc(g->core->memory, sizeof *l);
    if (!l) {
        return ERR_NO_MEMORY;
    }
    g->leading = l;
    l->skip = skip;
    arena_init(&l->arena, g->core->memory, PROTOCOL_ARENA_MAX);
    int error = roster_read(&l->roster, in, g->strategy, &l->arena);
    if (!error) {
        l->topics = arena_array(&l->arena, l->roster.topic_count + 1, sizeof *l->topics);
        error = l->topics ? 0 : ERR_NO_MEMORY;
    }
    for (size_t i = 0; !error && i < l->roster.topic_count; i++) {
        l->topics[i] = topic_get(g->core, l->roster.topics[i], false);
        l->topic_count++;
    }
    if (error) {
        leader_end(g);
    }
    return error;
}

static bool topic_answered(const struct topic *t)
{
    return !t || !t->error || t->failures > 0;
}

static int32_t topic_partitions(const struct topic *t)
{
    return !t || t->error == ERR_UNKNOWN_TOPIC_OR_PARTITION ? 0 : t->partition_count;
}

int leader_assign(struct group *g)
{
    struct leading *l = g->leading;
    assert(l && !l->assigned);
    for (size_t i = 0; i < l->topic_count; i++) {
        if (!topic_answered(l->topics[i])) {
            return ERR_BUSY;
        }
    }
    for (size_t i = 0; i < l->topic_count; i++) {
        l->roster.partitions[i] = topic_partitions(l->topics[i]);
    }
    int error = l->skip ? 0 : roster_assign(&l->roster, g->strategy, &l->assign);
    l->assigned = !error;
    return error;
}

bool leader_outdated(const struct group *g)
{
    const struct leading *l = g->leading;
    if (!l || !l->assigned) {
        return false;
    }
    for (size_t i = 0; i < l->topic_count; i++) {
        if (topic_partitions(l->topics[i]) != l->roster.partitions[i]) {
            return true;
        }
    }
    return false;
}

size_t leader_count(const struct group *g)
{
    const struct leading *l = g->leading;
    return l && !l->skip ? l->assign.member_count : 0;
}

int leader_write(const struct group *g, size_t index, struct wire_string *member_id,
                 struct wire_writer *w, struct arena *scratch)
{
    const struct leading *l = g->leading;
    assert(l && l->assigned && index < l->assign.member_count);
    *member_id = wire_string_of(l->assign.members[index].id);
    return assignment_write(&l->assign, index, w, scratch);
}
