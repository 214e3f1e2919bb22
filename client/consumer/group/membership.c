/* SPDX-License-Identifier: Apache-2.0 */

/* Joining, staying and leaving. What each answer of the coordinator means is one table here:
 * membership_refused() for JoinGroup and SyncGroup, beat_answered() for heartbeats. */
#include "consumer/group/group_private.h"

#include <stdio.h>
#include <string.h>

enum {
    JOIN_GRACE_MS = 5000, /* beyond what the coordinator waits for the members */
    HASTY_MAX = 5,        /* attempts without a pause */
};

static const char protocol_type[] = "consumer";

static void membership_pause(struct group *g, int32_t base_ms)
{
    g->not_before_ns = io_now(g->core->io) + core_backoff(g->core, g->failures++, base_ms,
                                                          g->core->options.retry_backoff_max_ms);
}

void membership_rejoin(struct group *g, const char *reason)
{
    g->rejoin = true;
    g->rejoin_reason = reason;
    group_soon(g);
}

void membership_lost(struct group *g, bool forget)
{
    if (forget) {
        g->member_id[0] = 0;
    }
    g->generation = -1;
    leader_end(g);
    gate_enter(g->gate);
    assignment_lose(g, LEAT_LOST);
    gate_leave(g->gate);
}

/* --- JoinGroup --- */

/* Fills the protocols: one blob for each strategy, in `blobs`. */
static int join_protocols(struct group *g, struct join_group_request *body,
                          struct wire_writer *blobs, struct arena *arena)
{
    struct named_partition *owned =
        arena_array(arena, g->fetcher->assigned_count + 1, sizeof *owned);
    body->protocols = arena_array(arena, g->strategy_count, sizeof *body->protocols);
    if (!owned || !body->protocols) {
        return ERR_NO_MEMORY;
    }
    struct subscription s = {.topics = (const char *const *)g->topics,
                             .topic_count = g->topic_count,
                             .owned = owned,
                             .previous = g->previous,
                             .previous_count = g->previous_count,
                             .rack = g->core->options.rack};
    list_each (node, &g->fetcher->assigned) {
        const struct consumer_partition *p = container_of(node, struct consumer_partition, link);
        owned[s.owned_count++] = (struct named_partition){p->topic, p->partition};
    }
    for (unsigned i = 0; i < g->strategy_count; i++) {
        struct join_group_request_protocols *to = &body->protocols[i];
        s.generation = g->strategies[i] == STRATEGY_STICKY ? g->previous_generation : g->generation;
        int error = subscription_write(&s, g->strategies[i], &blobs[i], arena);
        if (error) {
            return error;
        }
        to->name = wire_string_of(strategy_name(g->strategies[i]));
        to->metadata = (struct wire_bytes){blobs[i].data, (int32_t)blobs[i].size};
        body->protocols_count++;
    }
    return 0;
}

static int join_encode(struct request *r, struct wire_writer *w, int version)
{
    struct group *g = container_of(r, struct group, request);
    struct join_group_request body;
    struct wire_writer blobs[STRATEGY_COUNT];
    struct arena arena;
    join_group_request_init(&body);
    arena_init(&arena, g->core->memory, PROTOCOL_ARENA_MAX);
    for (unsigned i = 0; i < g->strategy_count; i++) {
        wire_writer_init(&blobs[i], g->core->memory, PROTOCOL_ARENA_MAX);
    }
    body.group_id = wire_string_of(g->id);
    body.session_timeout_ms = g->options->session_timeout_ms;
    body.rebalance_timeout_ms = g->options->max_poll_interval_ms;
    body.member_id = wire_string_of(g->member_id);
    body.group_instance_id = wire_string_of(g->instance_id);
    body.protocol_type = wire_string_of(protocol_type);
    body.reason = wire_string_of(g->rejoin_reason);
    gate_enter(g->gate);
    int error = join_protocols(g, &body, blobs, &arena);
    gate_leave(g->gate);
    if (!error) {
        error = join_group_request_encode(&body, w, version);
    }
    for (unsigned i = 0; i < g->strategy_count; i++) {
        wire_writer_deinit(&blobs[i]);
    }
    arena_deinit(&arena);
    return error;
}

/* Why joining does not work, for people; what is tried again meanwhile. */
static void membership_tell(struct group *g, int error, const leat_error *reason)
{
    leat_error e;
    switch (error) {
    case ERR_INCONSISTENT_GROUP_PROTOCOL:
        error_set(&e, error,
                  "group %.60s has members of other kinds or strategies than %.60s: set "
                  "partition.assignment.strategy to what they have, or use another group",
                  g->id, g->options->strategies);
        break;
    case ERR_INVALID_SESSION_TIMEOUT:
        error_set(&e, error,
                  "the broker does not allow session.timeout.ms=%d: see its "
                  "group.min.session.timeout.ms and group.max.session.timeout.ms",
                  (int)g->options->session_timeout_ms);
        break;
    case ERR_GROUP_MAX_SIZE_REACHED:
        error_set(&e, error, "group %.80s is full: see the broker's group.max.size", g->id);
        break;
    case ERR_MESSAGE_TOO_LARGE:
        error_set(&e, error,
                  "group %.60s is too large for the record of a generation: have fewer members or "
                  "topics in it, or a larger max.message.bytes of __consumer_offsets",
                  g->id);
        break;
    case ERR_FENCED_INSTANCE_ID:
        error_set(&e, error,
                  "another member of group %.60s has group.instance.id=%.60s: give each its own",
                  g->id, g->instance_id ? g->instance_id : "");
        break;
    default:
        if (reason) {
            error_copy(&e, reason);
        } else {
            error_set(&e, error, "cannot join group %.80s: %s", g->id, error_text(error));
        }
        break;
    }
    if (error == ERR_FENCED_INSTANCE_ID) {
        group_fail(g, &e);
    } else if (g->told_code != error) {
        g->told_code = error;
        group_tell(g, &e);
    }
}

/* JoinGroup or SyncGroup did not succeed. */
static void membership_refused(struct group *g, int error, const leat_error *reason)
{
    int32_t base_ms = g->core->options.retry_backoff_ms;
    g->state = GROUP_JOIN_DUE;
    leader_end(g);
    switch (error) {
    case ERR_MEMBER_ID_REQUIRED:
    case ERR_REBALANCE_IN_PROGRESS:
        if (g->hasty < HASTY_MAX) {
            g->hasty++;
            return;
        }
        break;
    case ERR_UNKNOWN_MEMBER_ID:
        membership_lost(g, true);
        break;
    case ERR_ILLEGAL_GENERATION:
        membership_lost(g, false);
        break;
    case ERR_NOT_COORDINATOR:
    case ERR_COORDINATOR_NOT_AVAILABLE:
        group_coordinator_lost(g);
        break;
    case ERR_COORDINATOR_LOAD_IN_PROGRESS:
    case ERR_NO_MEMORY:
        break;
    default:
        if (reason && error_is_retriable(error)) {
            group_coordinator_lost(g); /* the connection failed */
        } else {
            base_ms = g->core->options.retry_backoff_max_ms;
            membership_tell(g, error, reason);
        }
        break;
    }
    membership_pause(g, base_ms);
}

static int join_member_id(struct group *g, struct wire_string id)
{
    if (id.size < 0 || id.size >= GROUP_MEMBER_ID_MAX ||
        (id.size && memchr(id.data, 0, (size_t)id.size))) {
        return ERR_MALFORMED;
    }
    if (id.size) {
        memcpy(g->member_id, id.data, (size_t)id.size);
    }
    g->member_id[id.size] = 0;
    return 0;
}

/* A member of the new generation: leads it, or waits for its leader. */
static int join_accepted(struct group *g, const struct join_group_response *in)
{
    unsigned chosen = 0;
    while (chosen < g->strategy_count &&
           !wire_string_equal(in->protocol_name,
                              wire_string_of(strategy_name(g->strategies[chosen])))) {
        chosen++;
    }
    if (chosen == g->strategy_count || in->generation_id < 0 || in->member_id.size < 1) {
        return ERR_MALFORMED;
    }
    int error = join_member_id(g, in->member_id);
    if (error) {
        return error;
    }
    /* A static member is not dropped by a generation that it missed: what it held may have been given
     * to others there. A dynamic one would not be known any more. It joins once more after this one,
     * whose leader may still hold back for it what it said it had. */
    if (g->instance_id && g->generation >= 0 && in->generation_id - 1 > g->generation) {
        gate_enter(g->gate);
        assignment_lose(g, LEAT_LOST);
        gate_leave(g->gate);
        membership_rejoin(g, "generations went by without this member");
    }
    g->generation = in->generation_id;
    g->strategy = g->strategies[chosen];
    g->beat_due_ns = core_after_ms(g->core, g->options->heartbeat_interval_ms);
    if (!wire_string_equal(in->leader, in->member_id)) {
        leader_end(g);
        membership_sync(g);
        return 0;
    }
    error = leader_begin(g, in, in->skip_assignment);
    if (!error) {
        g->state = GROUP_LEADING;
        group_soon(g);
    }
    return error;
}

static int join_read(struct group *g, struct answer *a)
{
    struct join_group_response in;
    struct arena arena;
    arena_init(&arena, g->core->memory, PROTOCOL_ARENA_MAX);
    int error = join_group_response_decode(&in, &a->body, a->version, &arena);
    if (!error) {
        error = error_from_wire(in.error_code);
        if (error == ERR_MEMBER_ID_REQUIRED) {
            error = join_member_id(g, in.member_id);
            error = error ? error : ERR_MEMBER_ID_REQUIRED;
        } else if (!error) {
            error = join_accepted(g, &in);
        }
    }
    arena_deinit(&arena);
    return error;
}

static void join_done(struct request *r, struct answer *a)
{
    struct group *g = container_of(r, struct group, request);
    g->requesting = false;
    if (g->state == GROUP_JOINING) {
        int error = a->error ? a->error : join_read(g, a);
        if (error) {
            membership_refused(g, error, a->error ? a->reason : NULL);
        }
    }
    group_soon(g);
}

static void membership_submit(struct group *g, struct connection *c)
{
    struct request *r = &g->request;
    r->deadline_ns =
        core_after_ms(g->core, (int64_t)g->options->max_poll_interval_ms + JOIN_GRACE_MS);
    r->wait_ms = g->options->max_poll_interval_ms;
    r->answer_max = 0;
    g->requesting = true;
    connection_submit(c, r);
}

static void membership_join(struct group *g)
{
    static const struct request_kind kind = {WIRE_JOIN_GROUP, 0, 9};
    struct connection *c = g->requesting ? NULL : group_connection(g, g->lane);
    if (!c) {
        return; /* comes back with the coordinator, or when the request has ended */
    }
    leader_end(g);
    g->rejoin = false;
    g->state = GROUP_JOINING;
    g->request = (struct request){.kind = &kind, .encode = join_encode, .done = join_done};
    membership_submit(g, c);
}

/* --- SyncGroup --- */

static int sync_assignments(struct group *g, struct sync_group_request *body,
                            struct wire_writer *blobs, struct arena *arena)
{
    size_t count = leader_count(g);
    size_t *ends = arena_array(arena, count + 1, sizeof *ends);
    body->assignments = arena_array(arena, count + 1, sizeof *body->assignments);
    if (!ends || !body->assignments) {
        return ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        struct sync_group_request_assignments *to = &body->assignments[i];
        int error = leader_write(g, i, &to->member_id, blobs, arena);
        error = error ? error : blobs->error;
        if (error) {
            return error;
        }
        ends[i] = blobs->size;
    }
    for (size_t i = 0, start = 0; i < count; start = ends[i++]) {
        body->assignments[i].assignment =
            (struct wire_bytes){blobs->data + start, (int32_t)(ends[i] - start)};
    }
    body->assignments_count = (int32_t)count;
    return 0;
}

static int sync_encode(struct request *r, struct wire_writer *w, int version)
{
    struct group *g = container_of(r, struct group, request);
    struct sync_group_request body;
    struct wire_writer blobs;
    struct arena arena;
    sync_group_request_init(&body);
    arena_init(&arena, g->core->memory, PROTOCOL_ARENA_MAX);
    wire_writer_init(&blobs, g->core->memory, PROTOCOL_ARENA_MAX);
    body.group_id = wire_string_of(g->id);
    body.generation_id = g->generation;
    body.member_id = wire_string_of(g->member_id);
    body.group_instance_id = wire_string_of(g->instance_id);
    body.protocol_type = wire_string_of(protocol_type);
    body.protocol_name = wire_string_of(strategy_name(g->strategy));
    int error = sync_assignments(g, &body, &blobs, &arena);
    if (!error) {
        error = sync_group_request_encode(&body, w, version);
    }
    wire_writer_deinit(&blobs);
    arena_deinit(&arena);
    return error;
}

static int sync_read(struct group *g, struct answer *a)
{
    struct sync_group_response in;
    struct arena arena;
    arena_init(&arena, g->core->memory, PROTOCOL_ARENA_MAX);
    int error = sync_group_response_decode(&in, &a->body, a->version, &arena);
    error = error ? error : error_from_wire(in.error_code);
    if (!error) {
        error = assignment_take(g, in.assignment);
    }
    arena_deinit(&arena);
    return error;
}

static void sync_done(struct request *r, struct answer *a)
{
    struct group *g = container_of(r, struct group, request);
    g->requesting = false;
    if (g->state == GROUP_SYNCING) {
        int error = a->error ? a->error : sync_read(g, a);
        if (error) {
            membership_refused(g, error, a->error ? a->reason : NULL);
        } else {
            g->state = GROUP_STABLE;
            g->failures = 0;
            g->hasty = 0;
            g->not_before_ns = 0;
            g->told_code = 0;
            fetcher_wake(g->fetcher);
        }
    }
    group_soon(g);
}

void membership_sync(struct group *g)
{
    static const struct request_kind kind = {WIRE_SYNC_GROUP, 0, 5};
    struct connection *c = group_connection(g, g->lane);
    g->state = GROUP_SYNCING;
    if (!c) {
        membership_refused(g, ERR_NOT_COORDINATOR, NULL);
        return;
    }
    g->request = (struct request){.kind = &kind, .encode = sync_encode, .done = sync_done};
    membership_submit(g, c);
}

/* --- Heartbeat --- */

static int beat_encode(struct request *r, struct wire_writer *w, int version)
{
    struct group *g = container_of(r, struct group, heartbeat);
    struct heartbeat_request body;
    heartbeat_request_init(&body);
    body.group_id = wire_string_of(g->id);
    body.generation_id = g->beat_generation = g->generation;
    body.member_id = wire_string_of(g->member_id);
    body.group_instance_id = wire_string_of(g->instance_id);
    return heartbeat_request_encode(&body, w, version);
}

/* What the coordinator says of this member. While it joins, only that it says something counts: the
 * answer to JoinGroup is on its way. */
static void beat_answered(struct group *g, int error)
{
    bool settled = g->state == GROUP_STABLE || g->state == GROUP_JOIN_DUE;
    if (group_coordinator_error(g, error) || !settled || g->beat_generation != g->generation) {
        return;
    }
    switch (error) {
    case 0:
    case ERR_COORDINATOR_LOAD_IN_PROGRESS:
        break;
    case ERR_REBALANCE_IN_PROGRESS:
        membership_rejoin(g, "the group rebalances");
        break;
    case ERR_UNKNOWN_MEMBER_ID:
    case ERR_ILLEGAL_GENERATION:
        membership_lost(g, error == ERR_UNKNOWN_MEMBER_ID);
        g->state = GROUP_JOIN_DUE;
        membership_rejoin(g, "the group gave this member up");
        break;
    case ERR_FENCED_INSTANCE_ID:
        membership_tell(g, error, NULL);
        break;
    default:
        if (!error_is_retriable(error)) {
            membership_tell(g, error, NULL);
        }
        break;
    }
}

static void beat_done(struct request *r, struct answer *a)
{
    struct group *g = container_of(r, struct group, heartbeat);
    int32_t again = g->options->heartbeat_interval_ms;
    g->beating = false;
    if (a->error) {
        /* Without an answer here none comes on the other connection either. */
        if (g->requesting && a->error == ERR_TIMEOUT) {
            core_lane_drop(g->core, g->lane);
        }
        group_coordinator_lost(g);
        uint64_t wait =
            core_backoff(g->core, g->beat_failures++, g->core->options.retry_backoff_ms, again);
        g->beat_due_ns = io_now(g->core->io) + wait;
        group_soon(g);
        return;
    }
    struct heartbeat_response in;
    struct arena arena;
    arena_init(&arena, g->core->memory, PROTOCOL_ARENA_MAX);
    int error = heartbeat_response_decode(&in, &a->body, a->version, &arena);
    arena_deinit(&arena);
    g->beat_failures = 0;
    g->beat_due_ns = core_after_ms(g->core, again);
    if (g->state != GROUP_FAILED && g->state != GROUP_IDLE) {
        beat_answered(g, error ? error : error_from_wire(in.error_code));
    }
    group_soon(g);
}

static void membership_beat(struct group *g, uint64_t *due_ns)
{
    static const struct request_kind kind = {WIRE_HEARTBEAT, 0, 4};
    if (g->beating || g->generation < 0 || !g->member_id[0] || g->state == GROUP_IDLE ||
        g->state == GROUP_FAILED) {
        return;
    }
    if (io_now(g->core->io) < g->beat_due_ns) {
        *due_ns = g->beat_due_ns < *due_ns ? g->beat_due_ns : *due_ns;
        return;
    }
    struct connection *c = group_connection(g, 0);
    if (!c) {
        return;
    }
    g->beating = true;
    g->heartbeat = (struct request){.kind = &kind, .encode = beat_encode, .done = beat_done};
    g->heartbeat.deadline_ns = core_after_ms(g->core, (int64_t)g->options->session_timeout_ms / 2);
    connection_submit(c, &g->heartbeat);
}

/* --- LeaveGroup --- */

struct leave_call {
    struct call call;
    struct group *group;
    const char *reason;
    char member_id[GROUP_MEMBER_ID_MAX];
};

static int leave_route(struct call *c, int32_t *broker)
{
    return group_call_route(c, container_of(c, struct leave_call, call)->group, broker);
}

static int leave_encode(struct call *c, struct wire_writer *w, int version)
{
    struct leave_call *l = container_of(c, struct leave_call, call);
    struct leave_group_request body;
    struct leave_group_request_members member;
    leave_group_request_init(&body);
    leave_group_request_members_init(&member);
    body.group_id = wire_string_of(l->group->id);
    if (version >= 3) {
        member.member_id = wire_string_of(l->member_id);
        member.reason = wire_string_of(l->reason);
        body.members = &member;
        body.members_count = 1;
    } else {
        body.member_id = wire_string_of(l->member_id);
    }
    return leave_group_request_encode(&body, w, version);
}

/* That the coordinator does not know the member any more is as good. */
static int leave_decode(struct call *c, struct reader *body, int version)
{
    struct leave_call *l = container_of(c, struct leave_call, call);
    struct leave_group_response in;
    struct arena arena;
    arena_init(&arena, c->core->memory, PROTOCOL_ARENA_MAX);
    int error = leave_group_response_decode(&in, body, version, &arena);
    error = error ? error : error_from_wire(in.error_code);
    (void)group_coordinator_error(l->group, error);
    arena_deinit(&arena);
    return error_is_retriable(error) ? error : 0;
}

static void leave_done(struct call *c)
{
    struct leave_call *l = container_of(c, struct leave_call, call);
    struct group *g = l->group;
    assert(g->leaving > 0);
    g->leaving--;
    memory_free(g->core->memory, l);
    group_soon(g);
}

void membership_leave(struct group *g, const char *reason)
{
    static const struct call_kind kind = {
        .request = {WIRE_LEAVE_GROUP, 0, 5},
        .name = "leave the group",
        .route = leave_route,
        .encode = leave_encode,
        .decode = leave_decode,
    };
    bool tell = g->member_id[0] && !g->instance_id && g->coordinator >= 0;
    struct leave_call *l = tell ? memory_alloc(g->core->memory, sizeof *l) : NULL;
    if (g->requesting) {
        core_lane_drop(g->core, g->lane);
    }
    g->state = GROUP_IDLE;
    g->rejoin = false;
    g->failures = 0;
    g->hasty = 0;
    g->not_before_ns = 0;
    if (l) {
        uint64_t deadline = core_after_ms(g->core, g->options->session_timeout_ms);
        l->group = g;
        l->reason = reason;
        memcpy(l->member_id, g->member_id, sizeof l->member_id);
        g->leaving++;
        call_start(&l->call, g->core, &kind,
                   g->closing && g->close_deadline_ns < deadline ? g->close_deadline_ns : deadline,
                   leave_done);
    }
    membership_lost(g, true);
}

/* --- what the state asks for --- */

/* The caller does not want to be a member any more and has let go of everything. */
static void membership_quit(struct group *g)
{
    if (g->state == GROUP_JOINING || g->state == GROUP_LEADING || g->state == GROUP_SYNCING) {
        if (g->requesting) {
            core_lane_drop(g->core, g->lane);
        }
        leader_end(g);
        g->state = GROUP_JOIN_DUE;
    }
    gate_enter(g->gate);
    bool released = g->release == RELEASE_NONE;
    gate_leave(g->gate);
    if (released || assignment_release(g)) {
        membership_leave(g, "the consumer unsubscribed");
        gate_enter(g->gate);
        g->changed(g);
        gate_leave(g->gate);
    }
}

static void membership_lead(struct group *g)
{
    int error = leader_assign(g);
    if (error && error != ERR_BUSY) {
        membership_refused(g, error, NULL);
    } else if (!error && !g->requesting) {
        membership_sync(g);
    }
}

void membership_run(struct group *g, uint64_t *due_ns)
{
    if (g->state == GROUP_LEADING) {
        membership_lead(g);
    }
    membership_beat(g, due_ns);
    if (g->closing) {
        return; /* nothing new begins: what is under way lets the last commit through */
    }
    gate_enter(g->gate);
    bool wanted = g->wish != NULL, releasing = g->release != RELEASE_NONE;
    gate_leave(g->gate);
    if (!wanted && g->state != GROUP_IDLE && g->state != GROUP_FAILED) {
        membership_quit(g);
        return;
    }
    if (g->state == GROUP_STABLE && releasing && assignment_release(g)) {
        membership_rejoin(g, "revoked partitions were let go of");
        releasing = false;
    }
    if (g->state == GROUP_STABLE && !g->rejoin && leader_outdated(g)) {
        membership_rejoin(g, "the topics or their racks have changed");
    }
    if (g->state == GROUP_STABLE && g->rejoin && !releasing) {
        g->state = GROUP_JOIN_DUE;
    }
    if (g->state == GROUP_JOIN_DUE && g->topics_known) {
        if (io_now(g->core->io) < g->not_before_ns) {
            *due_ns = g->not_before_ns < *due_ns ? g->not_before_ns : *due_ns;
        } else if (assignment_prepare(g)) {
            membership_join(g);
        }
    }
}
