/* SPDX-License-Identifier: Apache-2.0 */

/* What members ask of a generation: whether it goes on, and what is theirs. See group.h. */
#include "coord/sync.h"

#include "coord/member.h"
#include "coord/place.h"
#include "coord/protocols.h"
#include "coord/rebalance.h"
#include "coord/write.h"

/* --- heartbeat -------------------------------------------------------------------------------- */

/* The member that asks, if it is one of this generation. */
static struct member *member_asking(struct group *g, struct wire_string id,
                                    struct wire_string instance, int32_t generation, int *error)
{
    struct member *m = instance.size >= 0 ? member_by_instance(g, instance) : member_find(g, id);
    *error = 0;
    if (!m || g->state == GROUP_EMPTY || g->state == GROUP_DEAD) {
        *error = ERR_UNKNOWN_MEMBER_ID;
    } else {
        *error = member_check_id(m, id);
    }
    if (!*error && generation != g->generation) {
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

/* Who waits is told, and may leave; who stays tries it again. */
static void too_large(struct group *g)
{
    size_t size = 0;
    list_each (node, &g->members) {
        const struct member *m = container_of(node, struct member, link);
        const struct member_protocol *p = member_protocol(m, wire_string_of(g->protocol));
        size += (size_t)p->metadata.size + (size_t)m->next_size;
    }
    log_warn(io_logger(g->host->io), "coord",
             "assignments refused: what members subscribe to and are assigned is one record of "
             "%s, and too large for it: have fewer members in the group, or fewer topics for each, "
             "or give the topic a larger max.message.bytes "
             "group=%.100s members=%d bytes=%zu max.message.bytes=%zu",
             COORD_TOPIC, g->name, g->member_count, size, g->host->batch_bytes_max);
    list_each (node, &g->members) {
        struct member *m = container_of(node, struct member, link);
        struct coord_call *sync = m->sync;
        m->sync = NULL;
        member_unassign(m);
        if (sync) {
            call_answer(sync, ERR_MESSAGE_TOO_LARGE);
        }
    }
    rebalance_begin(g);
}

static void assigned(struct write *w, int error)
{
    struct group *g = w->group;
    bool current = g->state == GROUP_COMPLETING && g->generation == w->generation;
    write_drop(w);
    if (!current || g->host->stopping) {
        return; /* who waited for it has been told to join again */
    }
    if (error == ERR_MESSAGE_TOO_LARGE) {
        too_large(g);
        return;
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
    leader->sync = c;
    if (!error) {
        w->done = assigned;
        write_go(w);
        return;
    }
    write_drop(w);
    if (error == ERR_TOO_LARGE) {
        too_large(g);
        return;
    }
    leader->sync = NULL;
    assignments_drop(g);
    log_warn(io_logger(g->host->io), "coord",
             "assignments refused: group=%.100s members=%d error=\"%s\"", g->name, g->member_count,
             error_text(error));
    call_answer(c, ERR_COORDINATOR_NOT_AVAILABLE);
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
