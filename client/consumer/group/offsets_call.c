/* SPDX-License-Identifier: Apache-2.0 */

/* OffsetFetch: what the group has committed of some partitions. Up to version 7 a request asks for
 * one group, from 8 on for several, of which we are one. */
#include "consumer/group/group_private.h"

#include <stdlib.h>
#include <string.h>

static struct offsets_call *offsets_of(struct call *c)
{
    return container_of(c, struct offsets_call, call);
}

static int offsets_route(struct call *c, int32_t *broker)
{
    return group_call_route(c, offsets_of(c)->group, broker);
}

/* The partitions of one topic, from `from` on. */
static size_t offsets_run_of(const struct offsets_call *c, size_t from)
{
    size_t end = from;
    while (end < c->count && strcmp(c->parts[end].topic, c->parts[from].topic) == 0) {
        end++;
    }
    return end - from;
}

/* Two shapes of one request. */
static int offsets_fill(const struct offsets_call *c, struct offset_fetch_request *body,
                        struct offset_fetch_request_groups *group, struct arena *arena)
{
    struct offset_fetch_request_topics *old = arena_array(arena, c->count + 1, sizeof *old);
    struct offset_fetch_request_group_topics *topics =
        arena_array(arena, c->count + 1, sizeof *topics);
    int32_t *numbers = arena_array(arena, c->count + 1, sizeof *numbers);
    if (!old || !topics || !numbers) {
        return ERR_NO_MEMORY;
    }
    int32_t count = 0;
    for (size_t i = 0; i < c->count; count++) {
        size_t run = offsets_run_of(c, i);
        old[count].name = topics[count].name = wire_string_of(c->parts[i].topic);
        old[count].partition_indexes = topics[count].partition_indexes = &numbers[i];
        old[count].partition_indexes_count = topics[count].partition_indexes_count = (int32_t)run;
        for (; run > 0; run--, i++) {
            numbers[i] = c->parts[i].partition;
        }
    }
    body->topics = old;
    body->topics_count = count;
    group->topics = topics;
    group->topics_count = count;
    return 0;
}

static int offsets_encode(struct call *call, struct wire_writer *w, int version)
{
    struct offsets_call *c = offsets_of(call);
    struct offset_fetch_request body;
    struct offset_fetch_request_groups group;
    struct arena arena;
    offset_fetch_request_init(&body);
    offset_fetch_request_groups_init(&group);
    arena_init(&arena, c->group->core->memory, PROTOCOL_ARENA_MAX);
    int error = offsets_fill(c, &body, &group, &arena);
    if (version >= 8) {
        group.group_id = wire_string_of(c->group->id);
        body.groups = &group;
        body.groups_count = 1;
        body.topics = NULL;
        body.topics_count = 0;
    } else {
        body.group_id = wire_string_of(c->group->id);
    }
    body.require_stable = version >= 7;
    if (!error) {
        error = offset_fetch_request_encode(&body, w, version);
    }
    arena_deinit(&arena);
    return error;
}

static char *offsets_metadata(struct wire_string from, struct arena *arena)
{
    size_t size = from.size > 0 ? (size_t)from.size : 0;
    char *copy = arena_alloc(arena, size + 1);
    if (copy && size) {
        memcpy(copy, from.data, size);
    }
    return copy;
}

/* Takes what is said of one partition; what was not asked for is passed over. */
static int offsets_take(struct offsets_call *c, struct wire_string topic, int32_t number,
                        struct committed found, struct wire_string metadata)
{
    size_t low = 0, high = c->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct named_partition *at = &c->parts[middle];
        size_t size = strlen(at->topic), given = topic.size > 0 ? (size_t)topic.size : 0;
        int order = memcmp(at->topic, given ? topic.data : "", size < given ? size : given);
        order = order ? order : (size > given) - (size < given);
        order = order ? order : (at->partition > number) - (at->partition < number);
        if (order == 0) {
            found.metadata = offsets_metadata(metadata, c->arena);
            found.answered = true;
            c->out[middle] = found;
            return found.metadata ? 0 : ERR_NO_MEMORY;
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return 0;
}

static int offsets_read_old(struct offsets_call *c, const struct offset_fetch_response *in)
{
    int error = error_from_wire(in->error_code);
    for (int32_t i = 0; !error && i < in->topics_count; i++) {
        const struct offset_fetch_response_topics *t = &in->topics[i];
        for (int32_t j = 0; !error && j < t->partitions_count; j++) {
            const struct offset_fetch_response_partitions *p = &t->partitions[j];
            struct committed found = {.offset = p->committed_offset,
                                      .leader_epoch = p->committed_leader_epoch,
                                      .error = error_from_wire(p->error_code)};
            error = offsets_take(c, t->name, p->partition_index, found, p->metadata);
        }
    }
    return error;
}

static int offsets_read_groups(struct offsets_call *c, const struct offset_fetch_response *in)
{
    if (in->groups_count != 1) {
        return ERR_MALFORMED;
    }
    const struct offset_fetch_response_groups *g = &in->groups[0];
    int error = error_from_wire(g->error_code);
    for (int32_t i = 0; !error && i < g->topics_count; i++) {
        const struct offset_fetch_response_group_topics *t = &g->topics[i];
        for (int32_t j = 0; !error && j < t->partitions_count; j++) {
            const struct offset_fetch_response_group_partitions *p = &t->partitions[j];
            struct committed found = {.offset = p->committed_offset,
                                      .leader_epoch = p->committed_leader_epoch,
                                      .error = error_from_wire(p->error_code)};
            error = offsets_take(c, t->name, p->partition_index, found, p->metadata);
        }
    }
    return error;
}

static int offsets_decode(struct call *call, struct reader *reader, int version)
{
    struct offsets_call *c = offsets_of(call);
    struct offset_fetch_response in;
    struct arena arena;
    arena_init(&arena, c->group->core->memory, PROTOCOL_ARENA_MAX);
    int error = offset_fetch_response_decode(&in, reader, version, &arena);
    if (!error) {
        error = version >= 8 ? offsets_read_groups(c, &in) : offsets_read_old(c, &in);
    }
    arena_deinit(&arena);
    for (size_t i = 0; !error && i < c->count; i++) {
        if (!c->out[i].answered) {
            error = ERR_MALFORMED;
        } else if (c->out[i].error == ERR_NOT_COORDINATOR ||
                   c->out[i].error == ERR_UNSTABLE_OFFSET_COMMIT) {
            error = c->out[i].error; /* asked again as a whole */
        }
    }
    (void)group_coordinator_error(c->group, error);
    return error;
}

static void offsets_done(struct call *call)
{
    struct offsets_call *c = offsets_of(call);
    assert(c->group->calls > 0);
    c->group->calls--;
    c->done(c);
}

void offsets_call_start(struct offsets_call *c, uint64_t deadline_ns)
{
    static const struct call_kind kind = {
        .request = {WIRE_OFFSET_FETCH, 1, 9},
        .name = "learn what the group has committed",
        .route = offsets_route,
        .encode = offsets_encode,
        .decode = offsets_decode,
    };
    memset(c->out, 0, c->count * sizeof *c->out);
    c->group->calls++;
    group_soon(c->group);
    call_start(&c->call, c->group->core, &kind, deadline_ns, offsets_done);
}
