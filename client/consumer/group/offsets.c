/* SPDX-License-Identifier: Apache-2.0 */

/* Offsets of assigned partitions: committed one request at a time, in the order in which commits
 * were asked for, and fetched for what was assigned without a position.
 *
 * A commit keeps the partitions that it names; when one of them is lost before the coordinator has
 * its offset, that offset is not sent any more, because it may be somebody else's by now (G1). What
 * the coordinator says of a generation that is not ours any more is not taken for an answer: the
 * commit is sent again under the new one. */
#include "consumer/fetcher_private.h"
#include "consumer/group/group_private.h"

#include <stdlib.h>
#include <string.h>

/* --- making commits: in the gate --- */

static struct commit *commit_new(struct group *g, size_t count, size_t text_size,
                                 uint64_t deadline_ns)
{
    struct commit *c = memory_alloc(g->heap, sizeof *c + count * sizeof c->parts[0] + text_size);
    if (c) {
        list_init(&c->link);
        c->deadline_ns = deadline_ns;
    }
    return c;
}

static void commit_queue(struct group *g, struct commit *c)
{
    for (size_t i = 0; i < c->count; i++) {
        if (c->parts[i].partition) {
            c->parts[i].partition->references++;
        }
    }
    list_append(&g->commits, &c->link);
    g->commit_count++;
}

static int commit_room(const struct group *g, leat_error *e)
{
    return g->commit_count < GROUP_COMMITS_MAX
               ? 0
               : error_set(e, ERR_BUSY, "%d commits wait already for group %.80s",
                           (int)GROUP_COMMITS_MAX, g->id);
}

int group_commit(struct group *g, bool automatic, uint64_t deadline_ns, struct commit **out,
                 leat_error *e)
{
    *out = NULL;
    int error = commit_room(g, e);
    if (error) {
        return error;
    }
    struct commit *c = commit_new(g, g->fetcher->assigned_count, 0, deadline_ns);
    if (!c) {
        return error_set(e, ERR_NO_MEMORY, "no memory for a commit");
    }
    c->automatic = automatic;
    list_each (node, &g->fetcher->assigned) {
        struct consumer_partition *p = container_of(node, struct consumer_partition, link);
        int64_t offset = automatic ? p->done : p->position;
        /* Without members a group's offsets grow old from each commit on, also those of a reader to
         * whom nothing comes: his are repeated. */
        bool known = p->committed == offset && !g->manual;
        if (offset >= 0 && !known) {
            c->parts[c->count++] =
                (struct commit_part){.partition = p,
                                     .topic = p->topic,
                                     .number = p->partition,
                                     .offset = offset,
                                     .leader_epoch = automatic ? p->done_epoch : p->position_epoch};
        }
    }
    if (c->count == 0) {
        memory_free(g->heap, c);
        return 0;
    }
    commit_queue(g, c);
    *out = c;
    return 0;
}

static int part_compare(const void *left, const void *right)
{
    const struct commit_part *a = left, *b = right;
    int order = strcmp(a->topic, b->topic);
    return order ? order : (a->number > b->number) - (a->number < b->number);
}

static int offset_check(const leat_offset *o, leat_error *e)
{
    if (!o->topic || o->partition < 0 || o->offset < 0 ||
        (o->metadata && strlen(o->metadata) > GROUP_METADATA_MAX)) {
        return error_set(e, ERR_INVALID_ARGUMENT,
                         "an offset to commit needs a topic, a partition, an offset >= 0 and at "
                         "most %d bytes of metadata",
                         (int)GROUP_METADATA_MAX);
    }
    return 0;
}

static char *text_put(char **at, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = *at;
    memcpy(copy, text, size);
    *at += size;
    return copy;
}

/* Finds the assigned partition of each part; both are in order. */
static int commit_find(struct group *g, struct commit *c, leat_error *e)
{
    struct list *at = g->fetcher->assigned.next;
    for (size_t i = 0; i < c->count; i++) {
        struct commit_part *part = &c->parts[i];
        if (i > 0 && part_compare(&c->parts[i - 1], part) == 0) {
            return error_set(e, ERR_INVALID_ARGUMENT, "%s-%d is named twice", part->topic,
                             (int)part->number);
        }
        for (; at != &g->fetcher->assigned && !part->partition; at = at->next) {
            struct consumer_partition *p = container_of(at, struct consumer_partition, link);
            struct commit_part held = {.topic = p->topic, .number = p->partition};
            int order = part_compare(&held, part);
            part->partition = order == 0 ? p : NULL;
            if (order >= 0) {
                break;
            }
        }
        if (!part->partition && !g->manual) {
            return error_set(e, ERR_NOT_FOUND,
                             "%s-%d is not assigned (any more): its offset is not committed",
                             part->topic, (int)part->number);
        }
    }
    return 0;
}

int group_commit_offsets(struct group *g, const leat_offset *offsets, size_t count,
                         uint64_t deadline_ns, struct commit **out, leat_error *e)
{
    size_t text_size = 0;
    *out = NULL;
    int error = commit_room(g, e);
    for (size_t i = 0; !error && i < count; i++) {
        error = offset_check(&offsets[i], e);
        if (!error) {
            text_size += strlen(offsets[i].topic) + 1;
            text_size += offsets[i].metadata ? strlen(offsets[i].metadata) + 1 : 0;
        }
    }
    if (error || count == 0) {
        return error;
    }
    struct commit *c = commit_new(g, count, text_size, deadline_ns);
    if (!c) {
        return error_set(e, ERR_NO_MEMORY, "no memory for a commit");
    }
    char *text = (char *)&c->parts[count];
    for (size_t i = 0; i < count; i++) {
        c->parts[c->count++] = (struct commit_part){
            .topic = text_put(&text, offsets[i].topic),
            .number = offsets[i].partition,
            .offset = offsets[i].offset,
            .leader_epoch = offsets[i].leader_epoch,
            .metadata = offsets[i].metadata ? text_put(&text, offsets[i].metadata) : NULL,
        };
    }
    qsort(c->parts, count, sizeof c->parts[0], part_compare);
    error = commit_find(g, c, e);
    if (error) {
        memory_free(g->heap, c);
        return error;
    }
    commit_queue(g, c);
    *out = c;
    return 0;
}

void group_commit_free(struct group *g, struct commit *c)
{
    if (c->ended) {
        memory_free(g->heap, c);
    } else {
        c->waited = false;
    }
}

/* --- the request: in the gate where it says so --- */

/* In the gate: the partition is not ours any more. */
static bool part_lost(const struct group *g, const struct commit_part *part)
{
    return part->partition && part->partition->removed && !g->manual;
}

static int commit_fill(struct group *g, struct offset_commit_request *body, struct arena *arena)
{
    const struct commit *c = g->committing;
    struct offset_commit_request_topics *topics = arena_array(arena, c->count, sizeof *topics);
    struct offset_commit_request_partitions *parts = arena_array(arena, c->count, sizeof *parts);
    const char *latest = NULL;
    if (!topics || !parts) {
        return ERR_NO_MEMORY;
    }
    body->topics = topics;
    for (size_t i = 0; i < c->count; i++) {
        const struct commit_part *from = &c->parts[i];
        if (from->answered) {
            continue;
        }
        if (!latest || strcmp(latest, from->topic) != 0) {
            struct offset_commit_request_topics *to = &topics[body->topics_count++];
            offset_commit_request_topics_init(to);
            to->name = wire_string_of(from->topic);
            to->partitions = &parts[i];
            latest = from->topic;
        }
        struct offset_commit_request_topics *t = &topics[body->topics_count - 1];
        struct offset_commit_request_partitions *to = &t->partitions[t->partitions_count++];
        offset_commit_request_partitions_init(to);
        to->partition_index = from->number;
        to->committed_offset = from->offset;
        to->committed_leader_epoch = from->leader_epoch;
        to->committed_metadata = wire_string_of(from->metadata ? from->metadata : "");
    }
    return 0;
}

static int commit_encode(struct request *r, struct wire_writer *w, int version)
{
    struct group *g = container_of(r, struct group, commit_request);
    struct offset_commit_request body;
    struct arena arena;
    offset_commit_request_init(&body);
    arena_init(&arena, g->core->memory, PROTOCOL_ARENA_MAX);
    gate_enter(g->gate);
    bool member = !g->manual;
    int error = commit_fill(g, &body, &arena);
    gate_leave(g->gate);
    body.group_id = wire_string_of(g->id);
    g->commit_generation = member ? g->generation : -1;
    body.generation_id_or_member_epoch = g->commit_generation;
    body.member_id = wire_string_of(member ? g->member_id : "");
    body.group_instance_id = wire_string_of(member ? g->instance_id : NULL);
    if (!error) {
        error = offset_commit_request_encode(&body, w, version);
    }
    arena_deinit(&arena);
    return error;
}

/* In the gate: a commit is over. */
static void commit_end(struct group *g, struct commit *c)
{
    for (size_t i = 0; i < c->count; i++) {
        if (c->parts[i].partition) {
            assert(c->parts[i].partition->references > 0);
            c->parts[i].partition->references--;
        }
    }
    assert(g->commit_count > 0);
    g->commit_count--;
    list_remove(&c->link);
    c->ended = true;
    if (g->closing && c->automatic) {
        g->close_error = c->error;
    }
    bool lost = c->error.code == ERR_ILLEGAL_GENERATION || c->error.code == ERR_UNKNOWN_MEMBER_ID;
    bool missed = c->error.code && !(c->automatic && (lost || c->error.retriable));
    if (!c->waited) {
        if (missed && !g->failure.code && !g->closing) {
            g->failure = c->error;
            g->changed(g);
        }
        memory_free(g->heap, c);
    }
    gate_announce(g->gate);
}

/* In the gate: leaves out what was lost; true when nothing is left to send. */
static bool commit_settled(struct group *g, struct commit *c)
{
    bool settled = true;
    for (size_t i = 0; i < c->count; i++) {
        struct commit_part *part = &c->parts[i];
        if (!part->answered && part_lost(g, part)) {
            part->answered = true;
            if (!c->automatic && !c->error.code) {
                error_set(&c->error, ERR_ILLEGAL_GENERATION,
                          "%s-%d was lost before its offset could be committed: another member "
                          "reads it from the last commit on",
                          part->topic, (int)part->number);
            }
        }
        settled &= part->answered;
    }
    return settled;
}

static struct commit_part *commit_part_find(struct commit *c, struct wire_string topic,
                                            int32_t number)
{
    size_t low = 0, high = c->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        struct commit_part *part = &c->parts[middle];
        struct bytes its = bytes_of_string(part->topic), given = wire_string_bytes(topic);
        int order = memcmp(its.data, given.data, its.size < given.size ? its.size : given.size);
        order = order ? order : (its.size > given.size) - (its.size < given.size);
        order = order ? order : (part->number > number) - (part->number < number);
        if (order == 0) {
            return part;
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return NULL;
}

/* Whether an answer about the generation is about the one that holds. */
static bool commit_generation_holds(const struct group *g)
{
    bool settled = g->state == GROUP_STABLE || g->state == GROUP_JOIN_DUE;
    return settled && g->commit_generation == g->generation;
}

/* In the gate: what the coordinator says of one part: 0 settled, or an error that is tried again or
 * ends the membership. */
static int commit_part_answered(struct group *g, struct commit *c, struct commit_part *part,
                                int error)
{
    if (error == ERR_NOT_COORDINATOR || error == ERR_COORDINATOR_NOT_AVAILABLE ||
        error == ERR_COORDINATOR_LOAD_IN_PROGRESS || error == ERR_REBALANCE_IN_PROGRESS ||
        error == ERR_REQUEST_TIMED_OUT || error == ERR_ILLEGAL_GENERATION ||
        error == ERR_UNKNOWN_MEMBER_ID || error == ERR_FENCED_INSTANCE_ID) {
        return error;
    }
    part->answered = true;
    if (!error && part->partition) {
        part->partition->committed = part->offset;
    } else if (error && !c->error.code) {
        error_set(&c->error, error, "%s-%d: cannot commit offset %lld: %s", part->topic,
                  (int)part->number, (long long)part->offset, error_text(error));
    }
    return 0;
}

/* 0, the latest error that is tried again or ends the membership, or that the answer is none: one
 * that passes a part over must not be asked for again at once. */
static int commit_read(struct group *g, struct commit *c, struct answer *a)
{
    struct offset_commit_response in;
    struct arena arena;
    arena_init(&arena, g->core->memory, PROTOCOL_ARENA_MAX);
    int error = offset_commit_response_decode(&in, &a->body, a->version, &arena);
    gate_enter(g->gate);
    int worst = error;
    for (int32_t i = 0; !error && i < in.topics_count; i++) {
        for (int32_t j = 0; j < in.topics[i].partitions_count; j++) {
            const struct offset_commit_response_partitions *p = &in.topics[i].partitions[j];
            struct commit_part *part = commit_part_find(c, in.topics[i].name, p->partition_index);
            if (part && !part->answered) {
                int its = commit_part_answered(g, c, part, error_from_wire(p->error_code));
                worst = its ? its : worst;
            }
        }
    }
    for (size_t i = 0; !worst && i < c->count; i++) {
        worst = c->parts[i].answered ? 0 : ERR_MALFORMED;
    }
    gate_leave(g->gate);
    arena_deinit(&arena);
    return worst;
}

static void commit_pause(struct group *g)
{
    g->commit_not_before_ns =
        io_now(g->core->io) + core_backoff(g->core, g->commit_failures++,
                                           g->core->options.retry_backoff_ms,
                                           g->core->options.retry_backoff_max_ms);
}

/* The membership is over, so is the commit. */
static void commit_expelled(struct group *g, struct commit *c, int error)
{
    bool member = g->commit_generation >= 0;
    gate_enter(g->gate);
    error_set(&c->error, error,
              member ? "group %.60s went on without this member (%s): another one reads its "
                       "partitions from the last commit on"
                     : "group %.60s has members (%s): offsets of partitions that are assigned by "
                       "hand can be committed while it has none",
              g->id, error_text(error));
    gate_leave(g->gate);
    if (!member) {
        g->commit_failures = 0;
    } else if (g->state == GROUP_STABLE || g->state == GROUP_JOIN_DUE) {
        membership_lost(g, error == ERR_UNKNOWN_MEMBER_ID);
        g->state = GROUP_JOIN_DUE;
    }
    gate_enter(g->gate);
    if (!list_empty(&c->link)) {
        commit_end(g, c);
    }
    gate_leave(g->gate);
}

static void commit_done(struct request *r, struct answer *a)
{
    struct group *g = container_of(r, struct group, commit_request);
    struct commit *c = g->committing;
    g->committing = NULL;
    int error = a->error ? a->error : commit_read(g, c, a);
    bool manual = g->commit_generation < 0;
    if (a->error) {
        group_coordinator_lost(g);
        commit_pause(g);
    } else if (group_coordinator_error(g, error)) {
        commit_pause(g);
    } else if (error == ERR_FENCED_INSTANCE_ID ||
               ((error == ERR_ILLEGAL_GENERATION || error == ERR_UNKNOWN_MEMBER_ID) &&
                (manual || commit_generation_holds(g)))) {
        commit_expelled(g, c, error);
    } else if (error == ERR_MALFORMED || error == ERR_NO_MEMORY) {
        group_coordinator_lost(g);
        commit_pause(g);
    } else if (error) {
        commit_pause(g);
    } else {
        g->commit_failures = 0;
    }
    group_soon(g);
}

/* --- in turn --- */

/* In the gate: the next commit to send; ends what is settled or too late. */
static struct commit *commit_next(struct group *g)
{
    uint64_t now = io_now(g->core->io);
    list_each (node, &g->commits) {
        struct commit *c = container_of(node, struct commit, link);
        if (commit_settled(g, c)) {
            commit_end(g, c);
        } else if (now >= c->deadline_ns) {
            error_set(&c->error, ERR_TIMEOUT,
                      "group %.80s: the coordinator did not take the commit in time", g->id);
            commit_end(g, c);
        } else {
            return c;
        }
    }
    return NULL;
}

static void commit_send(struct group *g, uint64_t *due_ns)
{
    static const struct request_kind kind = {WIRE_OFFSET_COMMIT, 2, 9};
    if (g->committing) {
        return;
    }
    gate_enter(g->gate);
    struct commit *c = commit_next(g);
    uint64_t deadline = c ? c->deadline_ns : 0;
    /* What is held is of the last generation that has assigned something: a newer one, which has not come so far, may
     * come again with another assignment when its coordinator moves. */
    bool joined = g->generation >= 0 && g->member_id[0] != 0 && g->state != GROUP_LEADING &&
                  g->state != GROUP_SYNCING && g->generation == g->previous_generation;
    bool may = g->manual || joined;
    gate_leave(g->gate);
    if (!c) {
        return;
    }
    *due_ns = deadline < *due_ns ? deadline : *due_ns;
    if (io_now(g->core->io) < g->commit_not_before_ns) {
        *due_ns = g->commit_not_before_ns < *due_ns ? g->commit_not_before_ns : *due_ns;
        return;
    }
    struct connection *connection = may ? group_connection(g, 0) : NULL;
    if (!connection) {
        return; /* comes back with the coordinator, or the new generation */
    }
    g->committing = c;
    g->commit_request =
        (struct request){.kind = &kind, .encode = commit_encode, .done = commit_done};
    uint64_t latest = core_after_ms(g->core, g->core->options.request_timeout_ms);
    g->commit_request.deadline_ns = deadline < latest ? deadline : latest;
    connection_submit(connection, &g->commit_request);
}

static void commit_automatically(struct group *g, uint64_t *due_ns)
{
    if (!g->options->auto_commit || g->closing || g->state == GROUP_FAILED) {
        return;
    }
    gate_enter(g->gate);
    bool any = g->fetcher->assigned_count > 0;
    if (any && io_now(g->core->io) >= g->auto_commit_due_ns) {
        struct commit *c;
        leat_error e;
        g->auto_commit_due_ns = core_after_ms(g->core, g->options->auto_commit_interval_ms);
        if (g->commit_count == 0) {
            int error =
                group_commit(g, true, core_after_ms(g->core, g->core->options.timeout_ms), &c, &e);
            (void)error; /* the next one has it too */
        }
    }
    gate_leave(g->gate);
    if (any) {
        *due_ns = g->auto_commit_due_ns < *due_ns ? g->auto_commit_due_ns : *due_ns;
    }
}

/* --- what was committed of assigned partitions --- */

struct ask {
    struct offsets_call call;
    struct arena arena;
    struct consumer_partition **partitions; /* referenced */
    uint32_t *generations;
};

/* In the gate: starts a partition where its group stopped. */
static void ask_apply(struct group *g, struct consumer_partition *p, const struct committed *in)
{
    leat_error e;
    if (in->error) {
        error_set(&e, in->error, "%s-%d: cannot learn what group %.60s has committed: %s", p->topic,
                  (int)p->partition, g->id, error_text(in->error));
        fetch_refuse(g->fetcher, p, &e);
    } else if (in->offset >= 0) {
        partition_start(p, in->offset, 0);
        p->committed = in->offset;
        p->fetched_epoch = p->position_epoch = p->done_epoch = in->leader_epoch;
    } else if (partition_reset(p, g->options->reset)) {
        p->position = p->want;
    } else {
        error_set(&e, ERR_NOT_FOUND,
                  "%s-%d: group %.60s has committed nothing: seek, then resume it; or set "
                  "auto.offset.reset",
                  p->topic, (int)p->partition, g->id);
        fetch_refuse(g->fetcher, p, &e);
    }
}

static void ask_free(struct group *g, struct ask *ask)
{
    arena_deinit(&ask->arena);
    memory_free(g->core->memory, ask);
}

static void ask_done(struct offsets_call *c)
{
    struct ask *ask = container_of(c, struct ask, call);
    struct group *g = c->group;
    bool failed = c->call.error.code != 0;
    gate_enter(g->gate);
    for (size_t i = 0; i < c->count; i++) {
        struct consumer_partition *p = ask->partitions[i];
        bool wanted = !p->removed && !p->revoking && p->state == PARTITION_COMMITTED &&
                      p->generation == ask->generations[i];
        if (wanted && !failed) {
            ask_apply(g, p, &c->out[i]);
        } else if (wanted && !c->call.error.retriable) {
            fetch_refuse(g->fetcher, p, &c->call.error);
        }
        p->references--;
    }
    gate_leave(g->gate);
    g->asking = NULL;
    g->ask_failures = failed ? g->ask_failures + 1 : 0;
    g->ask_not_before_ns =
        failed ? io_now(g->core->io) + core_backoff(g->core, g->ask_failures,
                                                    g->core->options.retry_backoff_ms,
                                                    g->core->options.retry_backoff_max_ms)
               : 0;
    ask_free(g, ask);
    fetcher_wake(g->fetcher);
    group_soon(g);
}

static bool ask_wanted(const struct consumer_partition *p)
{
    return p->state == PARTITION_COMMITTED && !p->revoking && !p->paused;
}

/* In the gate: fills the call with what waits for its offset. ERR_NO_MEMORY. */
static int ask_fill(struct group *g, struct ask *ask)
{
    size_t most = g->fetcher->assigned_count;
    struct named_partition *parts = arena_array(&ask->arena, most + 1, sizeof *parts);
    ask->partitions = arena_array(&ask->arena, most + 1, sizeof(struct consumer_partition *));
    ask->generations = arena_array(&ask->arena, most + 1, sizeof *ask->generations);
    ask->call.out = arena_array(&ask->arena, most + 1, sizeof *ask->call.out);
    if (!parts || !ask->partitions || !ask->generations || !ask->call.out) {
        return ERR_NO_MEMORY;
    }
    ask->call.parts = parts;
    list_each (node, &g->fetcher->assigned) {
        struct consumer_partition *p = container_of(node, struct consumer_partition, link);
        if (ask_wanted(p)) {
            parts[ask->call.count] = (struct named_partition){p->topic, p->partition};
            ask->partitions[ask->call.count] = p;
            ask->generations[ask->call.count++] = p->generation;
            p->references++;
        }
    }
    return 0;
}

/* Makes the call, of at least one partition, or gives NULL and an error. */
static int ask_new(struct group *g, struct ask **out)
{
    struct ask *ask = memory_alloc(g->core->memory, sizeof *ask);
    *out = NULL;
    if (!ask) {
        return ERR_NO_MEMORY;
    }
    arena_init(&ask->arena, g->core->memory, PROTOCOL_ARENA_MAX);
    ask->call = (struct offsets_call){.group = g, .arena = &ask->arena, .done = ask_done};
    gate_enter(g->gate);
    int error = ask_fill(g, ask);
    gate_leave(g->gate);
    if (error || ask->call.count == 0) {
        ask_free(g, ask);
        return error;
    }
    *out = ask;
    return 0;
}

static void offsets_ask(struct group *g, uint64_t *due_ns)
{
    bool any = false;
    struct ask *ask;
    if (g->asking || g->closing || g->state == GROUP_FAILED) {
        return;
    }
    gate_enter(g->gate);
    list_each (node, &g->fetcher->assigned) {
        any |= ask_wanted(container_of(node, struct consumer_partition, link));
    }
    gate_leave(g->gate);
    if (!any) {
        return;
    }
    if (io_now(g->core->io) < g->ask_not_before_ns) {
        *due_ns = g->ask_not_before_ns < *due_ns ? g->ask_not_before_ns : *due_ns;
        return;
    }
    if (ask_new(g, &ask)) {
        uint64_t at = core_after_ms(g->core, g->core->options.retry_backoff_ms);
        *due_ns = at < *due_ns ? at : *due_ns;
    }
    if (ask) {
        g->asking = &ask->call;
        offsets_call_start(&ask->call, core_after_ms(g->core, g->core->options.timeout_ms));
    }
}

void offsets_run(struct group *g, uint64_t *due_ns)
{
    commit_automatically(g, due_ns);
    commit_send(g, due_ns);
    offsets_ask(g, due_ns);
}

void offsets_abandon(struct group *g)
{
    if (g->committing) {
        if (!connection_take_back(&g->commit_request)) {
            return; /* its end comes soon */
        }
        g->committing = NULL;
    }
    gate_enter(g->gate);
    list_each (node, &g->commits) {
        struct commit *c = container_of(node, struct commit, link);
        error_set(&c->error, ERR_TIMEOUT,
                  "group %.80s: the coordinator did not take the last commit in time", g->id);
        commit_end(g, c);
    }
    gate_leave(g->gate);
}
