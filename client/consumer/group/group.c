/* SPDX-License-Identifier: Apache-2.0 */

/* The group as a whole: its life, its coordinator, and what the caller's side does in the gate. */
#include "consumer/group/group_private.h"

#include <stdio.h>
#include <string.h>

enum { FIND_TIMEOUT_MS = 15000 };

static void group_run(struct group *g);

void group_soon(struct group *g)
{
    io_turn_end(g->core->io, &g->turn);
}

/* --- news for the caller --- */

void group_tell(struct group *g, const leat_error *e)
{
    gate_enter(g->gate);
    if (!g->failure.code) {
        g->failure = *e;
        g->changed(g);
    }
    gate_leave(g->gate);
}

void group_fail(struct group *g, const leat_error *e)
{
    g->state = GROUP_FAILED;
    g->rejoin = false;
    g->generation = -1;
    gate_enter(g->gate);
    assignment_lose(g, LEAT_LOST);
    g->failure = *e;
    g->failure.fatal = true;
    g->changed(g);
    gate_leave(g->gate);
}

/* --- the coordinator --- */

static struct group *find_group(struct call *c)
{
    return container_of(c, struct group, find);
}

static int find_encode(struct call *c, struct wire_writer *w, int version)
{
    struct find_coordinator_request body;
    struct wire_string key = wire_string_of(find_group(c)->id);
    find_coordinator_request_init(&body);
    if (version >= 4) {
        body.coordinator_keys = &key;
        body.coordinator_keys_count = 1;
    } else {
        body.key = key;
    }
    return find_coordinator_request_encode(&body, w, version);
}

static int find_decode(struct call *c, struct reader *body, int version)
{
    struct group *g = find_group(c);
    struct find_coordinator_response in;
    struct arena arena;
    arena_init(&arena, c->core->memory, PROTOCOL_ARENA_MAX);
    int error = find_coordinator_response_decode(&in, body, version, &arena);
    if (!error && version >= 4 && in.coordinators_count != 1) {
        error = ERR_MALFORMED;
    }
    int16_t code = error ? 0 : version >= 4 ? in.coordinators[0].error_code : in.error_code;
    if (!error && code) {
        error = error_set(&c->error, error_from_wire(code),
                          "cannot find the coordinator of group %.80s: %s", g->id,
                          error_text(error_from_wire(code)));
    } else if (!error) {
        g->coordinator = version >= 4 ? in.coordinators[0].node_id : in.node_id;
        error = g->coordinator < 0 ? ERR_MALFORMED : 0;
    }
    arena_deinit(&arena);
    return error;
}

/* There is none at the moment: looks again after a pause. */
static void find_again(struct group *g)
{
    struct core *core = g->core;
    g->coordinator = -1;
    g->find_not_before_ns =
        io_now(core->io) + core_backoff(core, g->find_failures++, core->options.retry_backoff_ms,
                                        core->options.retry_backoff_max_ms);
}

static void find_done(struct call *c)
{
    struct group *g = find_group(c);
    g->finding = false;
    if (c->error.code) {
        find_again(g);
        if (!c->error.retriable && !g->closing && g->told_code != c->error.code) {
            g->told_code = c->error.code;
            group_tell(g, &c->error);
        }
    } else {
        if (metadata_broker(g->core, g->coordinator)) {
            g->find_failures = 0;
        }
        if (g->asking) {
            call_hasten(&g->asking->call);
        }
    }
    group_soon(g);
}

static void group_find(struct group *g, uint64_t *due_ns)
{
    static const struct call_kind kind = {
        .request = {WIRE_FIND_COORDINATOR, 0, 6},
        .name = "find the group's coordinator",
        .encode = find_encode,
        .decode = find_decode,
        .repeatable = true,
    };
    if (g->finding || g->coordinator >= 0) {
        return;
    }
    if (io_now(g->core->io) < g->find_not_before_ns) {
        *due_ns = g->find_not_before_ns < *due_ns ? g->find_not_before_ns : *due_ns;
        return;
    }
    g->finding = true;
    memset(&g->find, 0, sizeof g->find);
    call_start(&g->find, g->core, &kind, core_after_ms(g->core, FIND_TIMEOUT_MS), find_done);
}

void group_coordinator_lost(struct group *g)
{
    g->coordinator = -1;
    group_soon(g);
}

bool group_coordinator_error(struct group *g, int error)
{
    if (error != ERR_NOT_COORDINATOR && error != ERR_COORDINATOR_NOT_AVAILABLE) {
        return false;
    }
    group_coordinator_lost(g);
    return true;
}

struct connection *group_connection(struct group *g, uint32_t lane)
{
    return g->coordinator < 0 ? NULL : core_connection(g->core, g->coordinator, lane);
}

int group_call_route(struct call *c, struct group *g, int32_t *broker)
{
    if (g->coordinator < 0) {
        group_soon(g);
        return error_set(&c->error, ERR_COORDINATOR_NOT_AVAILABLE,
                         "the coordinator of group %.80s is not known yet", g->id);
    }
    *broker = g->coordinator;
    return 0;
}

/* --- running --- */

/* Whether somebody needs the coordinator. */
static bool group_needs_coordinator(const struct group *g)
{
    if (g->state == GROUP_FAILED || g->closing) {
        return g->commit_count || g->leaving || g->calls;
    }
    return g->state != GROUP_IDLE || g->commit_count || g->leaving || g->calls || g->manual;
}

static void group_check_late(struct group *g, uint64_t *due_ns)
{
    bool member = g->state != GROUP_IDLE && g->state != GROUP_FAILED;
    if (!member || g->polling || g->late || g->closing) {
        return;
    }
    uint64_t at = g->polled_ns + (uint64_t)g->options->max_poll_interval_ms * 1000000;
    if (io_now(g->core->io) < at) {
        *due_ns = at < *due_ns ? at : *due_ns;
        return;
    }
    g->late = true;
    leat_error e;
    error_set(&e, ERR_UNKNOWN_MEMBER_ID,
              "no leat_poll() for %d ms: left group %.60s, which goes on without this member; poll "
              "more often, or raise max.poll.interval.ms",
              (int)g->options->max_poll_interval_ms, g->id);
    g->failure = g->failure.code ? g->failure : e;
}

static void group_closing(struct group *g, uint64_t due_ns);

/* Tells who waits for it that the membership is over. */
static void group_settle(struct group *g)
{
    gate_enter(g->gate);
    bool settled = (g->state == GROUP_IDLE || g->state == GROUP_FAILED) &&
                   g->release == RELEASE_NONE && g->seen_wish == g->wish_number;
    if (settled != g->settled) {
        g->settled = settled;
        gate_announce(g->gate);
    }
    gate_leave(g->gate);
}

static void group_run(struct group *g)
{
    uint64_t due = UINT64_MAX;
    if (g->ended) {
        return; /* the end of the turn in which it was closed */
    }
    gate_enter(g->gate);
    bool late = g->late, changed = g->wish_number != g->seen_wish;
    group_check_late(g, &due);
    bool leaves = g->late && !late;
    int error = changed && !g->closing ? topics_take_wish(g) : 0;
    bool wanted = g->wish && !g->late;
    bool needed = group_needs_coordinator(g);
    gate_leave(g->gate);
    if (error) {
        due = core_after_ms(g->core, g->core->options.retry_backoff_ms);
    }
    if (leaves) {
        membership_leave(g, "the consumer did not poll for max.poll.interval.ms");
    }
    if (!g->closing && wanted && g->state == GROUP_IDLE) {
        g->state = GROUP_JOIN_DUE;
        needed = true;
    }
    if (needed) {
        group_find(g, &due);
    }
    if (!g->closing) {
        topics_run(g, &due);
    }
    membership_run(g, &due);
    offsets_run(g, &due);
    if (g->closing) {
        group_closing(g, due);
        return;
    }
    if (due != UINT64_MAX) {
        alarm_set(&g->core->alarms, &g->alarm, due);
    }
    group_settle(g);
}

void group_wake(struct group *g)
{
    group_run(g);
}

static void group_turn_end(struct io_turn *turn)
{
    struct group *g = container_of(turn, struct group, turn);
    g->turn_ends = true;
    group_run(g);
    g->turn_ends = false;
}

static void group_alarm(struct alarm *a)
{
    group_run(container_of(a, struct group, alarm));
}

static void group_metadata_changed(struct core_member *m)
{
    struct group *g = container_of(m, struct group, core_member);
    /* Who is no broker any more coordinates nothing: another look-up says who does. */
    if (g->coordinator >= 0 && !list_empty(&g->core->metadata.brokers) &&
        !metadata_broker(g->core, g->coordinator)) {
        find_again(g);
    }
    group_soon(g);
}

void group_start(struct group *g, struct core *core, struct gate *gate, struct memory *heap,
                 struct fetcher *fetcher, const leat_consumer_options *options, const char *id,
                 void (*changed)(struct group *g))
{
    leat_error e;
    *g = (struct group){.core = core,
                        .gate = gate,
                        .heap = heap,
                        .fetcher = fetcher,
                        .options = options,
                        .changed = changed,
                        .id = id,
                        .coordinator = -1,
                        .generation = -1,
                        .previous_generation = -1,
                        .state = GROUP_IDLE};
    g->instance_id = options->group_instance_id[0] ? options->group_instance_id : NULL;
    int error = group_strategies(options->strategies, g->strategies, &g->strategy_count, &e);
    assert(!error && g->strategy_count > 0);
    g->cooperative = g->strategy_count == 1 && g->strategies[0] == STRATEGY_COOPERATIVE;
    g->strategy = g->strategies[0];
    g->lane = core_lane(core);
    g->polled_ns = io_now(core->io);
    g->auto_commit_due_ns = core_after_ms(core, options->auto_commit_interval_ms);
    g->core_member.metadata_changed = group_metadata_changed;
    g->turn.turn_end = group_turn_end;
    g->alarm.ring = group_alarm;
    list_init(&g->changes);
    list_init(&g->commits);
    arena_init(&g->catalogue_names, core->memory, PROTOCOL_ARENA_MAX);
    arena_init(&g->previous_names, core->memory, PROTOCOL_ARENA_MAX);
    core_join(core, &g->core_member);
}

/* --- closing --- */

static void group_free(struct group *g)
{
    struct list *node;
    g->ended = true;
    topics_close(g);
    leader_end(g);
    arena_deinit(&g->previous_names);
    core_leave(g->core, &g->core_member);
    alarm_clear(&g->core->alarms, &g->alarm);
    core_lane_drop(g->core, g->lane);
    gate_enter(g->gate);
    while ((node = list_pop(&g->changes))) {
        memory_free(g->heap, container_of(node, struct group_change, link));
    }
    wish_free(g, g->wish);
    g->wish = NULL;
    gate_leave(g->gate);
    g->closed(g);
}

static void group_give_up(struct request *r, bool *busy)
{
    if (*busy && connection_take_back(r)) {
        *busy = false;
    }
}

/* Commits first, then leaves, then waits for what is under way. */
static void group_closing(struct group *g, uint64_t due_ns)
{
    bool over = io_now(g->core->io) >= g->close_deadline_ns;
    if (over) {
        offsets_abandon(g);
    }
    gate_enter(g->gate);
    bool committed = g->commit_count == 0;
    gate_leave(g->gate);
    if (committed && g->state != GROUP_IDLE && g->state != GROUP_FAILED) {
        membership_leave(g, "the consumer is being closed");
    }
    if (committed) {
        group_give_up(&g->request, &g->requesting);
        group_give_up(&g->heartbeat, &g->beating);
        if (g->finding && (over || !g->leaving)) {
            call_cancel(&g->find);
        }
    }
    if (committed && !g->leaving && !g->requesting && !g->beating && !g->asking && !g->finding &&
        !g->cataloguing) {
        /* From the end of a turn alone: then the turn is not scheduled any more, and the memory may
         * go. */
        if (g->turn_ends) {
            group_free(g);
        } else {
            group_soon(g);
        }
        return;
    }
    uint64_t at =
        over ? core_after_ms(g->core, g->core->options.retry_backoff_ms) : g->close_deadline_ns;
    alarm_set(&g->core->alarms, &g->alarm, at < due_ns ? at : due_ns);
}

void group_close(struct group *g, uint64_t deadline_ns, void (*closed)(struct group *g))
{
    assert(!g->closing);
    g->closing = true;
    g->closed = closed;
    g->close_deadline_ns = deadline_ns;
    g->rejoin = false;
    if (g->asking) {
        call_cancel(&g->asking->call);
    }
    if (g->cataloguing) {
        call_cancel(&g->catalogue);
    }
    gate_enter(g->gate);
    struct commit *c = NULL;
    if (g->options->auto_commit && g->state != GROUP_FAILED) {
        int error = group_commit(g, true, deadline_ns, &c, &g->close_error);
        (void)error; /* it stands in close_error */
    }
    gate_leave(g->gate);
    group_soon(g);
}

/* --- the caller's side: in the gate --- */

int group_strategies(const char *text, enum strategy out[STRATEGY_COUNT], unsigned *count,
                     leat_error *e)
{
    *count = 0;
    while (*text) {
        size_t size = strcspn(text, ", ");
        enum strategy s;
        bool again = false;
        if (size && !strategy_find(text, size, &s)) {
            return error_set(e, ERR_BAD_CONFIG,
                             "partition.assignment.strategy: '%.*s' is not one of range, "
                             "roundrobin, sticky, cooperative-sticky",
                             (int)(size > 40 ? 40 : size), text);
        }
        for (unsigned i = 0; size && i < *count; i++) {
            again |= out[i] == s;
        }
        if (size && !again) {
            out[(*count)++] = s;
        }
        text += size;
        text += strspn(text, ", ");
    }
    if (*count == 0) {
        return error_set(e, ERR_BAD_CONFIG, "partition.assignment.strategy: none is named");
    }
    return 0;
}

void group_wish(struct group *g, struct subscription_wish *wish, bool manual)
{
    wish_free(g, g->wish);
    g->wish = wish;
    g->manual = manual;
    g->wish_number++;
}

bool group_signals(const struct group *g)
{
    return g->failure.code || g->release == RELEASE_ASKED || g->release == RELEASE_TOLD;
}

int group_poll(struct group *g, bool *wake, leat_error *e)
{
    if (g->failure.code) {
        int code = error_copy(e, &g->failure);
        if (!g->failure.fatal) {
            error_clear(&g->failure);
        }
        return code;
    }
    if (g->release == RELEASE_ASKED && g->options->revocation_returns) {
        g->release = RELEASE_TOLD;
        list_each (node, &g->fetcher->assigned) {
            struct consumer_partition *p = container_of(node, struct consumer_partition, link);
            if (p->revoking) {
                group_note(g, LEAT_REVOKING, p);
            }
        }
        return error_set(e, ERR_REBALANCE_IN_PROGRESS,
                         "group %.80s takes partitions back: commit what is done; the next poll "
                         "lets go of them",
                         g->id);
    }
    if (g->release == RELEASE_ASKED || g->release == RELEASE_TOLD) {
        g->release = RELEASE_GIVEN;
        *wake = true;
    }
    return 0;
}

bool group_poll_begin(struct group *g)
{
    bool wake = g->late;
    g->polling = true;
    g->late = false;
    return wake;
}

void group_poll_end(struct group *g, uint64_t now_ns)
{
    g->polling = false;
    g->polled_ns = now_ns;
}
