/* SPDX-License-Identifier: Apache-2.0 */

/* From one generation to the next: who is waited for, and for how long; which protocol; who leads.
 * See group.h. */
#include "coord/rebalance.h"

#include "coord/member.h"
#include "coord/protocols.h"
#include "coord/write.h"

static const uint64_t ms_ns = 1000000;

static void rebalance_complete(struct group *g);

/* --- protocols -------------------------------------------------------------------------------- */

bool rebalance_fits(const struct group *g, const struct join_group_request *q,
                    const struct member *except)
{
    bool alone = g->member_count == (except ? 1 : 0);
    if (q->protocols_count < 1 || q->protocol_type.size < 1) {
        return false;
    }
    if (alone) {
        return true;
    }
    if (!wire_string_equal(q->protocol_type, wire_string_of(g->protocol_type))) {
        return false;
    }
    for (int32_t i = 0; i < q->protocols_count; i++) {
        if (protocols_have(g, q->protocols[i].name, except)) {
            return true;
        }
    }
    return false;
}

/* --- waiting for members ---------------------------------------------------------------------- */

static uint64_t rebalance_timeout_ns(const struct group *g)
{
    int32_t most = 0;
    list_each (node, &g->members) {
        const struct member *m = container_of(node, struct member, link);
        most = m->rebalance_ms > most ? m->rebalance_ms : most;
    }
    return (uint64_t)most * ms_ns;
}

static void wait_until(struct group *g, uint64_t from_now_ns)
{
    struct group_host *h = g->host;
    deadline_cancel(h->deadlines, &g->deadline);
    deadline_set(h->deadlines, &g->deadline, io_now(h->io) + from_now_ns);
}

static uint64_t initial_delay_ns(const struct group *g)
{
    return (uint64_t)config_integer(g->host->config, CONFIG_GROUP_INITIAL_REBALANCE_DELAY_MS) *
           ms_ns;
}

/* The first member of an empty group: others that start with it get the time to come, so that a
 * group which starts up does not go through a generation for each. */
static void window_open(struct group *g)
{
    uint64_t delay = initial_delay_ns(g), timeout = rebalance_timeout_ns(g);
    delay = delay < timeout ? delay : timeout;
    g->window_open = delay > 0;
    g->window_ns = timeout - delay;
    g->window_news = false;
    wait_until(g, delay);
}

static void late(struct deadline *d)
{
    struct group *g = container_of(d, struct group, deadline);
    if (g->state == GROUP_COMPLETING) {
        list_each (node, &g->members) {
            struct member *m = container_of(node, struct member, link);
            if (!m->synced) {
                log_info(io_logger(g->host->io), "coord",
                         "member removed: it joined and did not sync group=%.100s member=%.100s",
                         g->name, m->id);
                member_remove(m, ERR_UNKNOWN_MEMBER_ID);
            }
        }
        rebalance_begin(g);
        return;
    }
    assert(g->state == GROUP_PREPARING);
    uint64_t more = initial_delay_ns(g);
    more = more < g->window_ns ? more : g->window_ns;
    if (g->window_open && g->window_news && more > 0) {
        g->window_ns -= more;
        g->window_news = false;
        wait_until(g, more);
        return;
    }
    g->window_open = false;
    rebalance_complete(g);
}

void rebalance_begin(struct group *g)
{
    bool empty = g->state == GROUP_EMPTY;
    assert(g->state != GROUP_PREPARING && g->state != GROUP_DEAD);
    g->deadline.due = late;
    group_set_state(g, GROUP_PREPARING);
    list_each (node, &g->members) {
        struct member *m = container_of(node, struct member, link);
        struct coord_call *sync = m->sync;
        m->sync = NULL;
        m->synced = false;
        if (sync) {
            member_alive(m);
            call_answer(sync, ERR_REBALANCE_IN_PROGRESS);
        }
    }
    g->window_open = false;
    if (empty) {
        window_open(g);
    } else {
        wait_until(g, rebalance_timeout_ns(g));
    }
    rebalance_try(g);
}

void rebalance_try(struct group *g)
{
    assert(g->state == GROUP_PREPARING);
    if (!g->window_open && g->joined_count == g->member_count && g->expected_count == 0) {
        rebalance_complete(g);
    }
}

void rebalance_after_leave(struct group *g, struct coord_call *c)
{
    if (g->state == GROUP_STABLE || g->state == GROUP_COMPLETING) {
        rebalance_begin(g);
    } else if (g->state == GROUP_PREPARING) {
        rebalance_try(g);
    }
    if (c && g->state != GROUP_EMPTY) {
        call_answer(c, 0);
    } else if (c && g->emptied) {
        g->emptied->call = c;
    } else if (c) {
        call_answer(c, ERR_COORDINATOR_NOT_AVAILABLE);
    }
}

/* --- the next generation ---------------------------------------------------------------------- */

void rebalance_tell(struct member *m, struct coord_call *c, bool skip_assignment)
{
    struct group *g = m->group;
    struct join_group_response *out = &c->response.join;
    join_group_response_init(out);
    out->generation_id = g->generation;
    out->protocol_type = call_string(c, g->protocol_type);
    out->protocol_name = call_string(c, g->protocol);
    out->leader = call_string(c, g->leader ? g->leader->id : "");
    out->member_id = call_string(c, m->id);
    out->skip_assignment = skip_assignment;
    if (m == g->leader) {
        out->members = arena_array(&c->arena, (size_t)g->member_count, sizeof *out->members);
        c->error = out->members ? c->error : ERR_NO_MEMORY;
    }
    for (struct list *node = g->members.next; out->members && node != &g->members;
         node = node->next) {
        const struct member *other = container_of(node, struct member, link);
        const struct member_protocol *p = member_protocol(other, wire_string_of(g->protocol));
        assert(p);
        out->members[out->members_count++] = (struct join_group_response_members){
            .member_id = call_string(c, other->id),
            .group_instance_id = call_string(c, other->instance),
            .metadata = call_bytes(c, p->metadata.data, p->metadata.size),
        };
    }
    call_answer(c, 0);
}

/* Who has not come back goes, but for instances: those have until the end of their session. */
static void drop_missing(struct group *g)
{
    list_each (node, &g->members) {
        struct member *m = container_of(node, struct member, link);
        if (!m->join && !m->instance) {
            log_info(io_logger(g->host->io), "coord",
                     "member removed: it did not rejoin in time group=%.100s member=%.100s",
                     g->name, m->id);
            member_remove(m, ERR_UNKNOWN_MEMBER_ID);
        }
    }
}

/* The leader stays if it is there; else the first that has joined. */
static bool choose_leader(struct group *g)
{
    for (struct list *node = g->members.next;
         !(g->leader && g->leader->join) && node != &g->members; node = node->next) {
        struct member *m = container_of(node, struct member, link);
        g->leader = m->join ? m : g->leader;
    }
    return g->leader && g->leader->join;
}

static void end_not_recorded(struct group *g, int error)
{
    log_warn(io_logger(g->host->io), "coord",
             "the end of a generation is not recorded: group=%.100s error=\"%s\"", g->name,
             error_text(error));
}

static void emptied(struct write *w, int error)
{
    struct group *g = w->group;
    struct coord_call *c = w->call;
    g->emptied = g->emptied == w ? NULL : g->emptied;
    write_drop(w);
    if (error) {
        end_not_recorded(g, error);
    }
    if (c) {
        call_answer(c, error ? ERR_COORDINATOR_NOT_AVAILABLE : 0);
    }
}

static void nobody_left(struct group *g)
{
    memory_free(g->host->memory, g->protocol);
    g->protocol = NULL;
    g->generation = g->generation == INT32_MAX ? 1 : g->generation + 1;
    group_set_state(g, GROUP_EMPTY);
    struct write *w = write_new(g);
    int error = w ? write_group(w) : ERR_NO_MEMORY;
    if (error) {
        write_drop(w);
        end_not_recorded(g, error);
        return;
    }
    w->done = emptied;
    g->emptied = w;
    write_go(w);
}

static void rebalance_complete(struct group *g)
{
    struct group_host *h = g->host;
    deadline_cancel(h->deadlines, &g->deadline);
    drop_missing(g);
    if (g->member_count == 0) {
        nobody_left(g);
        h->idle(h, g);
        return;
    }
    const struct member_protocol *vote = protocols_vote(g);
    char *protocol =
        vote ? memory_string(h->memory, vote->name.data, (size_t)vote->name.size) : NULL;
    if (!protocol || !choose_leader(g)) { /* instances only, and none of them is there yet */
        memory_free(h->memory, protocol);
        wait_until(g, rebalance_timeout_ns(g));
        return;
    }
    memory_free(h->memory, g->protocol);
    g->protocol = protocol;
    g->generation = g->generation == INT32_MAX ? 1 : g->generation + 1;
    group_set_state(g, GROUP_COMPLETING);
    wait_until(g, rebalance_timeout_ns(g));
    log_info(io_logger(h->io), "coord",
             "generation: group=%.100s generation=%d members=%d protocol=%.100s", g->name,
             g->generation, g->member_count, g->protocol);
    list_each (node, &g->members) {
        struct member *m = container_of(node, struct member, link);
        struct coord_call *join = m->join;
        m->synced = false;
        if (join) {
            m->join = NULL;
            g->joined_count--;
            member_alive(m);
            rebalance_tell(m, join, false);
        }
    }
    assert(g->joined_count == 0);
}
