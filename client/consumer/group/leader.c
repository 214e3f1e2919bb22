/* SPDX-License-Identifier: Apache-2.0 */

/* The leader of a generation: it learns how many partitions the topics of all members have and, if
 * members say racks, in which racks their replicas are; it runs the strategy, and then watches
 * those topics, for as long as it leads.
 *
 * The racks of replicas are those of their brokers. A broker that is down is in no answer, and so
 * in no rack for a new assignment; but that it goes is no reason for one. */
#include "consumer/group/group_private.h"

#include <stdlib.h>

struct leading {
    struct arena arena;
    struct roster roster;
    struct assign assign;
    struct topic **topics; /* of the roster; NULL: cannot be one */
    size_t topic_count;    /* how many of them are held */
    uint64_t answers;      /* metadata of which the racks were last compared */
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

/* --- racks --- */

struct broker_rack {
    int32_t id, rack;
};

struct broker_racks {
    struct broker_rack *list; /* by id */
    size_t count;
};

static int broker_rack_compare(const void *left, const void *right)
{
    const struct broker_rack *a = left, *b = right;
    return (a->id > b->id) - (a->id < b->id);
}

static int number_compare(const void *left, const void *right)
{
    int32_t a = *(const int32_t *)left, b = *(const int32_t *)right;
    return (a > b) - (a < b);
}

/* Gives the racks of all brokers numbers. */
static int racks_name(struct group *g, struct leading *l)
{
    const char **names =
        arena_array(&l->arena, map_count(&g->core->metadata.brokers_by_id) + 1, sizeof *names);
    size_t count = 0;
    if (!names) {
        return ERR_NO_MEMORY;
    }
    list_each (node, &g->core->metadata.brokers) {
        const char *rack = container_of(node, struct broker, link)->rack;
        if (rack) {
            size_t size = strlen(rack) + 1;
            char *copy = arena_alloc(&l->arena, size);
            if (!copy) {
                return ERR_NO_MEMORY;
            }
            memcpy(copy, rack, size);
            names[count++] = copy;
        }
    }
    roster_name_racks(&l->roster, names, count);
    return 0;
}

static int brokers_racks(struct group *g, const struct leading *l, struct broker_racks *out,
                         struct arena *arena)
{
    *out = (struct broker_racks){0};
    out->list =
        arena_array(arena, map_count(&g->core->metadata.brokers_by_id) + 1, sizeof *out->list);
    if (!out->list) {
        return ERR_NO_MEMORY;
    }
    list_each (node, &g->core->metadata.brokers) {
        const struct broker *b = container_of(node, struct broker, link);
        out->list[out->count++] = (struct broker_rack){b->id, roster_rack(&l->roster, b->rack)};
    }
    qsort(out->list, out->count, sizeof *out->list, broker_rack_compare);
    return 0;
}

/* Writes the racks of a partition, rising and each once: how many. *down: a replica's broker is not
 * known. `out` has room for all replicas. */
static int32_t partition_racks(const struct broker_racks *brokers, const struct topic *t,
                               int32_t partition, int32_t *out, bool *down)
{
    const struct topic_partition *p = &t->partitions[partition];
    int32_t count = 0, kept = 0;
    *down = false;
    for (int32_t i = 0; i < p->replica_count; i++) {
        struct broker_rack key = {.id = t->replicas[p->replica_first + i]};
        const struct broker_rack *found =
            brokers->count
                ? bsearch(&key, brokers->list, brokers->count, sizeof key, broker_rack_compare)
                : NULL;
        *down = *down || !found;
        if (found && found->rack > 0) {
            out[count++] = found->rack;
        }
    }
    if (count > 1) {
        qsort(out, (size_t)count, sizeof *out, number_compare);
    }
    for (int32_t i = 0; i < count; i++) {
        if (kept == 0 || out[kept - 1] != out[i]) {
            out[kept++] = out[i];
        }
    }
    return kept;
}

static size_t topic_replicas(const struct topic *t, int32_t partitions)
{
    size_t count = 0;
    for (int32_t p = 0; p < partitions; p++) {
        count += (size_t)t->partitions[p].replica_count;
    }
    return count;
}

/* Fills the racks of the roster. */
static int racks_take(struct group *g, struct leading *l)
{
    size_t partitions = 0, replicas = 0;
    struct broker_racks brokers;
    for (size_t i = 0; i < l->topic_count; i++) {
        partitions += (size_t)l->roster.partitions[i];
        replicas += topic_replicas(l->topics[i], l->roster.partitions[i]);
    }
    int32_t *first = arena_array(&l->arena, partitions + 1, sizeof *first);
    int32_t *numbers =
        replicas < INT32_MAX ? arena_array(&l->arena, replicas + 1, sizeof *numbers) : NULL;
    int error = first && numbers ? racks_name(g, l) : ERR_NO_MEMORY;
    error = error ? error : brokers_racks(g, l, &brokers, &l->arena);
    if (error) {
        return error;
    }
    int32_t at = 0, used = 0;
    for (size_t i = 0; i < l->topic_count; i++) {
        for (int32_t p = 0; p < l->roster.partitions[i]; p++) {
            bool down;
            first[at++] = used;
            used += partition_racks(&brokers, l->topics[i], p, numbers + used, &down);
        }
    }
    first[at] = used;
    l->roster.racks.first = first;
    l->roster.racks.numbers = numbers;
    l->answers = g->core->metadata.answers;
    return 0;
}

/* Whether partitions are in other racks than when they were assigned. `now` has room for the
 * replicas of any of them. */
static bool racks_differ(const struct leading *l, const struct broker_racks *brokers, int32_t *now)
{
    const struct assign_racks *racks = &l->roster.racks;
    int32_t at = 0;
    for (size_t i = 0; i < l->topic_count; i++) {
        for (int32_t p = 0; p < l->roster.partitions[i]; p++, at++) {
            bool down;
            int32_t size = partition_racks(brokers, l->topics[i], p, now, &down);
            bool same =
                size == racks->first[at + 1] - racks->first[at] &&
                memcmp(now, racks->numbers + racks->first[at], (size_t)size * sizeof *now) == 0;
            if (!same && !down) {
                return true;
            }
        }
    }
    return false;
}

static bool racks_outdated(struct group *g, struct leading *l)
{
    struct arena scratch;
    struct broker_racks brokers;
    size_t most = 0;
    bool differ = false;
    if (!l->roster.racks.first || l->answers == g->core->metadata.answers) {
        return false;
    }
    for (size_t i = 0; i < l->topic_count; i++) {
        size_t replicas = topic_replicas(l->topics[i], l->roster.partitions[i]);
        most = most > replicas ? most : replicas;
    }
    arena_init(&scratch, g->core->memory, PROTOCOL_ARENA_MAX);
    int32_t *now = arena_array(&scratch, most + 1, sizeof *now);
    if (now && brokers_racks(g, l, &brokers, &scratch) == 0) {
        differ = racks_differ(l, &brokers, now);
        l->answers = g->core->metadata.answers;
    }
    arena_deinit(&scratch);
    return differ;
}

/* --- the assignment --- */

int leader_assign(struct group *g)
{
    struct leading *l = g->leading;
    int error = 0;
    assert(l && !l->assigned);
    for (size_t i = 0; i < l->topic_count; i++) {
        if (!topic_answered(l->topics[i])) {
            return ERR_BUSY;
        }
    }
    for (size_t i = 0; i < l->topic_count; i++) {
        l->roster.partitions[i] = topic_partitions(l->topics[i]);
    }
    if (l->roster.says_racks) {
        error = racks_take(g, l);
    }
    if (!error && !l->skip) {
        error = roster_assign(&l->roster, g->strategy, &l->assign);
    }
    l->assigned = !error;
    return error;
}

bool leader_outdated(struct group *g)
{
    struct leading *l = g->leading;
    if (!l || !l->assigned) {
        return false;
    }
    for (size_t i = 0; i < l->topic_count; i++) {
        if (topic_partitions(l->topics[i]) != l->roster.partitions[i]) {
            return true;
        }
    }
    return racks_outdated(g, l);
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
