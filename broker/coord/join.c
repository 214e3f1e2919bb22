/* SPDX-License-Identifier: Apache-2.0 */

/* Who comes, who comes back, who takes an instance over, and who goes. See group.h. */
#include "coord/join.h"

#include "coord/expected.h"
#include "coord/member.h"
#include "coord/protocols.h"
#include "coord/rebalance.h"
#include "coord/session.h"
#include "coord/subscriptions.h"
#include "coord/write.h"

/* --- joining ---------------------------------------------------------------------------------- */

/* The call waits for the next generation. */
static void join_wait(struct member *m, struct coord_call *c)
{
    struct group *g = m->group;
    struct coord_call *older = m->join; /* the same, sent again */
    m->join = c;
    g->joined_count += older ? 0 : 1;
    if (older) {
        call_answer(older, ERR_REBALANCE_IN_PROGRESS);
    }
    if (g->state == GROUP_PREPARING) {
        rebalance_try(g);
    } else {
        rebalance_begin(g);
    }
}

static int set_type(struct group *g, struct wire_string type)
{
    if (g->protocol_type && wire_string_equal(type, wire_string_of(g->protocol_type))) {
        return 0;
    }
    char *copy = memory_string(g->host->memory, type.data, (size_t)type.size);
    if (!copy) {
        return ERR_NO_MEMORY;
    }
    memory_free(g->host->memory, g->protocol_type);
    g->protocol_type = copy;
    return 0;
}

static void join_as(struct group *g, struct wire_string id, struct coord_call *c)
{
    const struct join_group_request *q = c->request;
    struct member *m = NULL;
    if (g->member_count > 0 || set_type(g, q->protocol_type) == 0) {
        m = member_new(g, id, c);
    }
    if (!m) {
        call_answer(c, ERR_COORDINATOR_NOT_AVAILABLE);
        return;
    }
    session_begin(m);
    g->window_news = true;
    join_wait(m, c);
}

/* A member that there is says its protocols again and waits. */
static void join_again(struct member *m, struct coord_call *c)
{
    const struct join_group_request *q = c->request;
    if ((m->group->member_count == 1 && set_type(m->group, q->protocol_type) != 0) ||
        member_update(m, c) != 0) {
        call_answer(c, ERR_COORDINATOR_NOT_AVAILABLE);
        return;
    }
    session_begin(m);
    join_wait(m, c);
}

/* --- instances -------------------------------------------------------------------------------- */

static void taken_over(struct write *w, int error)
{
    struct group *g = w->group;
    struct coord_call *c = w->call;
    const struct join_group_request *q = c->request;
    struct member *m = member_by_instance(g, q->group_instance_id);
    bool current = m && g->state == GROUP_STABLE && g->generation == w->generation &&
                   wire_string_equal(c->response.join.member_id, wire_string_of(m->id));
    struct wire_string former = c->response.join.leader;
    write_drop(w);
    if (error || !current) {
        call_answer(c, error ? ERR_COORDINATOR_NOT_AVAILABLE : ERR_REBALANCE_IN_PROGRESS);
        return;
    }
    /* A leader of before version 9 would assign again: it is told that another one leads. */
    bool leads = m == g->leader, knows_to_skip = c->version >= 9;
    if (leads && !knows_to_skip) {
        struct join_group_response *out = &c->response.join;
        struct wire_string id = out->member_id;
        join_group_response_init(out);
        out->generation_id = g->generation;
        out->protocol_type = call_string(c, g->protocol_type);
        out->protocol_name = call_string(c, g->protocol);
        out->leader = former;
        out->member_id = id;
        call_answer(c, 0);
        return;
    }
    rebalance_tell(m, c, leads);
}

/* In a stable generation the instance goes on with what it has, once its new id is recorded. */
static void take_over_quietly(struct member *m, struct wire_string former, struct coord_call *c)
{
    struct write *w = write_new(m->group);
    int error = w ? write_group(w) : ERR_NO_MEMORY;
    if (error) {
        write_drop(w);
        if (error == ERR_TOO_LARGE) {
            join_wait(m, c); /* a new generation finds out, and everybody hears of it */
        } else {
            call_answer(c, ERR_COORDINATOR_NOT_AVAILABLE);
        }
        return;
    }
    c->response.join.member_id = call_string(c, m->id);
    c->response.join.leader = former;
    w->call = c;
    w->done = taken_over;
    write_go(w);
}

/* Another process comes with the name of an instance: who had it is fenced (G4). */
static void take_over(struct member *m, struct coord_call *c)
{
    struct group *g = m->group;
    const struct join_group_request *q = c->request;
    struct wire_string former = call_string(c, m->id);
    bool same = g->state == GROUP_STABLE && member_reads_same(m, q) && !member_lets_go(m);
    char *id = member_id_make(g, c);
    int error = id && !call_failed(c) ? member_rename(m, wire_string_of(id)) : ERR_NO_MEMORY;
    memory_free(g->host->memory, id);
    if (error) {
        call_answer(c, ERR_COORDINATOR_NOT_AVAILABLE);
        return;
    }
    log_info(io_logger(g->host->io), "coord",
             "instance taken over: group=%.100s instance=%.100s member=%.100s", g->name,
             m->instance, m->id);
    struct coord_call *join = m->join, *sync = m->sync;
    m->join = m->sync = NULL;
    m->synced = false;
    g->joined_count -= join ? 1 : 0;
    if (join) {
        call_answer(join, ERR_FENCED_INSTANCE_ID);
    }
    if (sync) {
        call_answer(sync, ERR_FENCED_INSTANCE_ID);
    }
    if (member_update(m, c) != 0) {
        call_answer(c, ERR_COORDINATOR_NOT_AVAILABLE);
        return;
    }
    session_begin(m);
    const struct member_protocol *vote = same ? protocols_vote(g) : NULL;
    if (vote && wire_string_equal(vote->name, wire_string_of(g->protocol))) {
        take_over_quietly(m, former, c);
    } else {
        join_wait(m, c);
    }
}

/* --- JoinGroup -------------------------------------------------------------------------------- */

/* Names are texts here: what holds a zero byte would be another one when it is read again. */
static bool is_text(struct wire_string s)
{
    return s.size <= 0 || !memchr(s.data, 0, (size_t)s.size);
}

static bool names_are_texts(const struct join_group_request *q)
{
    bool texts = is_text(q->protocol_type) && is_text(q->group_instance_id);
    for (int32_t i = 0; i < q->protocols_count && texts; i++) {
        texts = is_text(q->protocols[i].name);
    }
    return texts;
}

static int check(const struct group *g, const struct join_group_request *q, const struct member *m)
{
    const struct config *config = g->host->config;
    int64_t session = q->session_timeout_ms;
    if (session < config_integer(config, CONFIG_GROUP_MIN_SESSION_TIMEOUT_MS) ||
        session > config_integer(config, CONFIG_GROUP_MAX_SESSION_TIMEOUT_MS)) {
        return ERR_INVALID_SESSION_TIMEOUT;
    }
    if (q->group_instance_id.size == 0 || q->group_instance_id.size > GROUP_INSTANCE_MAX) {
        return ERR_INVALID_REQUEST;
    }
    if (q->protocols_count > GROUP_PROTOCOLS_MAX) {
        return ERR_INCONSISTENT_GROUP_PROTOCOL;
    }
    if (!names_are_texts(q)) {
        return ERR_INVALID_REQUEST;
    }
    if (!rebalance_fits(g, q, m)) {
        return ERR_INCONSISTENT_GROUP_PROTOCOL;
    }
    if (!m && !group_has_room(g->host)) {
        return ERR_COORDINATOR_NOT_AVAILABLE;
    }
    bool full = g->member_count >= config_integer(config, CONFIG_GROUP_MAX_SIZE);
    return full && !m ? ERR_GROUP_MAX_SIZE_REACHED : 0;
}

/* Without an id: a new member, or an instance that comes back. */
static void join_new(struct group *g, struct coord_call *c)
{
    const struct join_group_request *q = c->request;
    struct member *instance = member_by_instance(g, q->group_instance_id);
    int error = check(g, q, instance);
    if (error) {
        call_answer(c, error);
        return;
    }
    if (instance) {
        take_over(instance, c);
        return;
    }
    char *id = member_id_make(g, c);
    if (!id) {
        call_answer(c, ERR_COORDINATOR_NOT_AVAILABLE);
    } else if (c->version >= 4 && q->group_instance_id.size < 0) {
        c->response.join.member_id = call_string(c, id);
        error = expected_add(g, id, q->session_timeout_ms);
        call_answer(c, error ? ERR_COORDINATOR_NOT_AVAILABLE : ERR_MEMBER_ID_REQUIRED);
    } else {
        join_as(g, wire_string_of(id), c);
        memory_free(g->host->memory, id);
    }
}

static void join_known(struct member *m, struct coord_call *c)
{
    struct group *g = m->group;
    const struct join_group_request *q = c->request;
    int error = check(g, q, m);
    if (error) {
        call_answer(c, error);
        return;
    }
    bool same = member_same(m, q);
    bool repeat = g->state == GROUP_COMPLETING && same; /* the answer was lost */
    bool follower = g->state == GROUP_STABLE && same && m != g->leader;
    if (repeat || follower) {
        member_alive(m);
        rebalance_tell(m, c, false);
    } else {
        join_again(m, c);
    }
}

void group_join(struct group *g, struct coord_call *c)
{
    const struct join_group_request *q = c->request;
    join_group_response_init(&c->response.join);
    if (q->member_id.size <= 0) {
        join_new(g, c);
        return;
    }
    struct expected *e = expected_find(g, q->member_id);
    if (e) {
        int error = check(g, q, NULL);
        if (error) {
            call_answer(c, error);
            return;
        }
        expected_remove(e);
        join_as(g, q->member_id, c);
        return;
    }
    struct member *m = q->group_instance_id.size >= 0 ? member_by_instance(g, q->group_instance_id)
                                                      : member_find(g, q->member_id);
    int error = m ? member_check_id(m, q->member_id) : ERR_UNKNOWN_MEMBER_ID;
    if (error) {
        call_answer(c, error);
    } else {
        join_known(m, c);
    }
}

/* --- LeaveGroup ------------------------------------------------------------------------------- */

static int leave_one(struct group *g, struct wire_string id, struct wire_string instance)
{
    struct expected *e = instance.size < 0 ? expected_find(g, id) : NULL;
    if (e) {
        expected_remove(e);
        return 0;
    }
    struct member *m = instance.size >= 0 ? member_by_instance(g, instance) : member_find(g, id);
    if (!m) {
        return ERR_UNKNOWN_MEMBER_ID;
    }
    /* An administrator names an instance without knowing its member id. */
    int error = instance.size >= 0 && id.size > 0 ? member_check_id(m, id) : 0;
    if (error) {
        return error;
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
        assert(!error);
        rebalance_after_leave(g, c);
        return;
    }
    if (g->state == GROUP_PREPARING) {
        rebalance_try(g); /* it may have waited for an id that was given out */
    }
    call_answer(c, error);
}
