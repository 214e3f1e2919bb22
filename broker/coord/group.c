/* SPDX-License-Identifier: Apache-2.0 */

/* Groups: life, and what members ask of a generation. See group.h; joining is join.c. */
#include "coord/group.h"

#include "coord/offsets.h"
#include "coord/write.h"

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

static void expected_clear(struct group *g)
{
    struct list *node;
    while ((node = list_first(&g->expected))) {
        expected_remove(container_of(node, struct expected, link));
    }
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

struct wire_string group_name(const struct group *g)
{
    return wire_string_of(g->name);
}

const char *group_state_name(enum group_state state)
{
    static const char *const names[] = {"Empty", "PreparingRebalance", "CompletingRebalance",
                                        "Stable", "Dead"};
    assert((size_t)state < array_size(names));
    return names[state];
}

bool group_is_idle(const struct group *g)
{
    bool nothing = list_empty(&g->offsets) && g->member_count == 0 && g->expected_count == 0 &&
                   g->state == GROUP_EMPTY && g->generation == 0;
    return g->writes == 0 && (g->state == GROUP_DEAD || nothing);
}

void group_loaded(struct group *g)
{
    g->state = g->member_count > 0 ? GROUP_STABLE : GROUP_EMPTY;
    list_each (node, &g->members) {
        member_begin(container_of(node, struct member, link));
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

/* --- heartbeat -------------------------------------------------------------------------------- */

/* The member that asks, if it is one of this generation. */
static struct member *member_asking(struct group *g, struct wire_string id,
                                    struct wire_string instance, int32_t generation, int *error)
{
    struct member *m = instance.size >= 0 ? member_by_instance(g, instance) : member_find(g, id);
    *error = 0;
    if (!m || g->state == GROUP_EMPTY || g->state == GROUP_DEAD) {
        *error = ERR_UNKNOWN_MEMBER_ID;
    } else if (!wire_string_equal(id, wire_string_of(m->id))) {
        *error = ERR_FENCED_INSTANCE_ID;
    } else if (generation != g->generation) {
        *error = ERR_ILLEGAL_GENERATION;
    }
    return *error ? NULL : m;
}

void group_heartbeat(struct group *g, struct coord_call *c)
{
    const struct heartbeat_request *q = c->request;
    int error;
    struct member *m =
        member_asking(g, q->member_id, q->group_instance_id, q->generation_id, &error);
    if (m) {
        member_alive(m);
        error = g->state == GROUP_PREPARING ? ERR_REBALANCE_IN_PROGRESS : 0;
    }
    call_answer(c, error);
}

/* --- sync ------------------------------------------------------------------------------------- */

static void sync_tell(struct member *m, struct coord_call *c)
{
    struct sync_group_response *out = &c->response.sync;
    sync_group_response_init(out);
    out->protocol_type = call_string(c, m->group->protocol_type);
    out->protocol_name = call_string(c, m->group->protocol);
    out->assignment = call_bytes(c, m->assignment, m->assignment_size);
    member_alive(m);
    call_answer(c, 0);
}

static void assigned(struct write *w, int error)
{
    struct group *g = w->group;
    bool current = g->state == GROUP_COMPLETING && g->generation == w->generation;
    write_drop(w);
    if (!current || g->host->stopping) {
        return; /* who waited for it has been told to join again */
    }
    if (error) {
        log_warn(io_logger(g->host->io), "coord",
                 "assignments not recorded, the group rebalances: group=%.100s error=\"%s\"",
                 g->name, error_text(error));
        rebalance_begin(g);
        return;
    }
    deadline_cancel(g->host->deadlines, &g->deadline);
    group_set_state(g, GROUP_STABLE);
    list_each (node, &g->members) {
        struct member *m = container_of(node, struct member, link);
        struct coord_call *sync = m->sync;
        m->synced = false;
        m->sync = NULL;
        member_adopt(m);
        if (sync) {
            sync_tell(m, sync);
        }
    }
}

/* Who is not named gets nothing. */
static int assignments_take(struct group *g, const struct sync_group_request *q)
{
    int error = 0;
    list_each (node, &g->members) {
        struct member *m = container_of(node, struct member, link);
        error = error ? error : member_assign(m, (struct wire_bytes){0});
    }
    for (int32_t i = 0; i < q->assignments_count && !error; i++) {
        struct member *m = member_find(g, q->assignments[i].member_id);
        error = m ? member_assign(m, q->assignments[i].assignment) : 0;
    }
    return error;
}

static void assignments_drop(struct group *g)
{
    list_each (node, &g->members) {
        member_unassign(container_of(node, struct member, link));
    }
}

static void assign(struct group *g, struct member *leader, struct coord_call *c)
{
    struct write *w = write_new(g);
    int error = w ? assignments_take(g, c->request) : ERR_NO_MEMORY;
    error = error ? error : write_group(w);
    if (error) {
        write_drop(w);
        assignments_drop(g);
        log_warn(io_logger(g->host->io), "coord",
                 "assignments refused: group=%.100s members=%d error=\"%s\"", g->name,
                 g->member_count, error_text(error));
        call_answer(c, error == ERR_TOO_LARGE ? ERR_UNKNOWN_SERVER_ERROR
                                              : ERR_COORDINATOR_NOT_AVAILABLE);
        return;
    }
    w->done = assigned;
    leader->sync = c;
    write_go(w);
}

static bool protocol_differs(const struct group *g, const struct sync_group_request *q)
{
    return (q->protocol_type.size >= 0 &&
            !wire_string_equal(q->protocol_type, wire_string_of(g->protocol_type))) ||
           (q->protocol_name.size >= 0 &&
            !wire_string_equal(q->protocol_name, wire_string_of(g->protocol)));
}

void group_sync(struct group *g, struct coord_call *c)
{
    const struct sync_group_request *q = c->request;
    int error;
    struct member *m =
        member_asking(g, q->member_id, q->group_instance_id, q->generation_id, &error);
    if (m && protocol_differs(g, q)) {
        error = ERR_INCONSISTENT_GROUP_PROTOCOL;
    } else if (m && g->state == GROUP_PREPARING) {
        error = ERR_REBALANCE_IN_PROGRESS;
    }
    if (error) {
        call_answer(c, error);
        return;
    }
    member_alive(m);
    if (g->state == GROUP_STABLE) {
        sync_tell(m, c);
        return;
    }
    assert(g->state == GROUP_COMPLETING);
    struct coord_call *older = m->sync; /* the same, sent again */
    m->sync = NULL;
    m->synced = true;
    if (older) {
        call_answer(older, ERR_REBALANCE_IN_PROGRESS);
    }
    if (m == g->leader && !older) {
        assign(g, m, c);
    } else {
        m->sync = c;
    }
}

/* --- leaving ---------------------------------------------------------------------------------- */

static int leave_one(struct group *g, struct wire_string id, struct wire_string instance)
{
    struct expected *e =
        instance.size < 0 && id.size > 0 ? map_get(&g->expected_ids, wire_string_bytes(id)) : NULL;
    if (e) {
        expected_remove(e);
        return 0;
    }
    struct member *m = instance.size >= 0 ? member_by_instance(g, instance) : member_find(g, id);
    if (!m) {
        return ERR_UNKNOWN_MEMBER_ID;
    }
    /* An administrator names an instance without knowing its member id. */
    if (instance.size >= 0 && id.size > 0 && !wire_string_equal(id, wire_string_of(m->id))) {
        return ERR_FENCED_INSTANCE_ID;
    }
    log_info(io_logger(g->host->io), "coord", "member leaves: group=%.100s member=%.100s", g->name,
             m->id);
    member_remove(m, ERR_UNKNOWN_MEMBER_ID);
    return 0;
}

void group_leave(struct group *g, struct coord_call *c)
{
    const struct leave_group_request *q = c->request;
    int32_t members = g->member_count;
    int error = 0;
    if (c->version < 3) {
        error = leave_one(g, q->member_id, wire_string_null());
    } else {
        c->leavers = arena_array(&c->arena, (size_t)q->members_count, sizeof *c->leavers);
        error = c->leavers ? 0 : ERR_COORDINATOR_NOT_AVAILABLE;
        for (int32_t i = 0; i < q->members_count && !error; i++) {
            c->leavers[i] = leave_one(g, q->members[i].member_id, q->members[i].group_instance_id);
        }
    }
    if (g->member_count < members) {
        rebalance_after_leave(g);
    } else if (g->state == GROUP_PREPARING) {
        rebalance_try(g); /* it may have waited for an id that was given out */
    }
    call_answer(c, error);
}
