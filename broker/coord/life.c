/* SPDX-License-Identifier: Apache-2.0 */

/* A group from its making to its end, and what the world tells it. */
#include "coord/life.h"

#include "coord/expected.h"
#include "coord/member.h"
#include "coord/offsets.h"
#include "coord/session.h"
#include "coord/sweep.h"

enum { ENTRIES_MAX = 1 << 24 };

struct group *group_new(struct group_host *host, struct wire_string name)
{
    struct group *g = memory_alloc(host->memory, sizeof *g);
    if (!g) {
        return NULL;
    }
    g->name = memory_string(host->memory, name.data, (size_t)name.size);
    if (!g->name) {
        memory_free(host->memory, g);
        return NULL;
    }
    uint64_t seed;
    io_random(host->io, &seed, sizeof seed);
    g->host = host;
    g->changed_ms = -1;
    list_init(&g->link);
    list_init(&g->idle);
    list_init(&g->members);
    list_init(&g->expected);
    list_init(&g->offsets);
    map_init(&g->by_id, host->memory, seed, ENTRIES_MAX);
    map_init(&g->by_instance, host->memory, seed, ENTRIES_MAX);
    map_init(&g->expected_ids, host->memory, seed, ENTRIES_MAX);
    map_init(&g->protocols, host->memory, seed, ENTRIES_MAX);
    map_init(&g->offset_index, host->memory, seed, ENTRIES_MAX);
    return g;
}

void group_free(struct group *g)
{
    struct memory *memory = g->host->memory;
    assert(g->writes == 0 && !g->deletion);
    deadline_cancel(g->host->deadlines, &g->deadline);
    expected_clear(g);
    struct list *node;
    while ((node = list_first(&g->members))) {
        struct member *m = container_of(node, struct member, link);
        assert(!m->join && !m->sync);
        member_remove(m, 0);
    }
    offsets_clear(g);
    list_remove(&g->link);
    list_remove(&g->idle);
    map_deinit(&g->by_id);
    map_deinit(&g->by_instance);
    map_deinit(&g->expected_ids);
    assert(map_count(&g->protocols) == 0);
    map_deinit(&g->protocols);
    map_deinit(&g->offset_index);
    memory_free(memory, g->protocol_type);
    memory_free(memory, g->protocol);
    memory_free(memory, g->name);
    memory_free(memory, g);
}

void group_loaded(struct group *g)
{
    g->state = g->member_count > 0 ? GROUP_STABLE : GROUP_EMPTY;
    list_each (node, &g->members) {
        session_begin(container_of(node, struct member, link));
    }
}

void group_quiesce(struct group *g, int error)
{
    struct coord_call *deletion = g->deletion;
    deadline_cancel(g->host->deadlines, &g->deadline);
    g->deletion = NULL;
    if (deletion) {
        call_answer(deletion, error);
    }
    list_each (node, &g->members) {
        struct member *m = container_of(node, struct member, link);
        struct coord_call *join = m->join, *sync = m->sync;
        deadline_cancel(g->host->deadlines, &m->session);
        g->joined_count -= join ? 1 : 0;
        m->join = m->sync = NULL;
        if (join) {
            call_answer(join, error);
        }
        if (sync) {
            call_answer(sync, error);
        }
    }
    expected_clear(g);
}

void group_written(struct write *w, int error)
{
    struct group *g = w->group;
    write_done(w, error);
    if (g->writes == 0) {
        group_settled(g);
    }
    g->host->idle(g->host, g);
}
