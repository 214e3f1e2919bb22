/* SPDX-License-Identifier: Apache-2.0 */

/* Setting and forgetting what a group has committed, from outside of it. */
#include "admin/group.h"

#include <stdlib.h>

struct commit_op {
    struct group_op group;
    leat_group_position *positions;
    size_t count;
    bool non_empty; /* a member is there: nothing may be changed */
};

static struct commit_op *commit_op(struct call *c)
{
    return container_of(group_of(c), struct commit_op, group);
}

/* How many of the positions from `from` on are of one topic. */
static size_t topic_run(const struct commit_op *op, size_t from)
{
    size_t count = 1;
    while (from + count < op->count &&
           strcmp(op->positions[from + count].topic, op->positions[from].topic) == 0) {
        count++;
    }
    return count;
}

static int commit_encode(struct call *c, struct wire_writer *w, int version)
{
    const struct commit_op *op = commit_op(c);
    struct offset_commit_request body;
    struct arena arena;
    offset_commit_request_init(&body);
    arena_init(&arena, c->core->memory, ADMIN_ARENA_MAX);
    body.group_id = wire_string_of(op->group.group);
    body.member_id = wire_string_of("");
    body.topics = arena_array(&arena, op->count, sizeof *body.topics);
    struct offset_commit_request_partitions *parts = arena_array(&arena, op->count, sizeof *parts);
    for (size_t i = 0, run; body.topics && parts && i < op->count; i += run) {
        struct offset_commit_request_topics *t = &body.topics[body.topics_count++];
        run = topic_run(op, i);
        offset_commit_request_topics_init(t);
        t->name = wire_string_of(op->positions[i].topic);
        t->partitions = &parts[i];
        t->partitions_count = (int32_t)run;
        for (size_t j = i; j < i + run; j++) {
            offset_commit_request_partitions_init(&parts[j]);
            parts[j].partition_index = op->positions[j].partition;
            parts[j].committed_offset = op->positions[j].offset;
            parts[j].committed_metadata = wire_string_of("");
        }
    }
    int error =
        body.topics && parts ? offset_commit_request_encode(&body, w, version) : ERR_NO_MEMORY;
    arena_deinit(&arena);
    return error;
}

/* Notes one partition's code. Those of the group as a whole come with every partition. */
static int commit_result(struct call *c, struct wire_string topic, int32_t partition,
                         int16_t wire_code)
{
    struct commit_op *op = commit_op(c);
    int error = error_from_wire(wire_code);
    if (error == ERR_NOT_COORDINATOR || error == ERR_COORDINATOR_NOT_AVAILABLE ||
        error == ERR_COORDINATOR_LOAD_IN_PROGRESS) {
        return group_error(c, wire_code, wire_string_null());
    }
    op->non_empty = op->non_empty || error == ERR_UNKNOWN_MEMBER_ID ||
                    error == ERR_ILLEGAL_GENERATION || error == ERR_REBALANCE_IN_PROGRESS ||
                    error == ERR_NON_EMPTY_GROUP;
    for (size_t i = 0; i < op->count; i++) {
        leat_group_position *p = &op->positions[i];
        if (p->partition == partition && wire_string_equal(topic, wire_string_of(p->topic))) {
            p->code = error;
            return 0;
        }
    }
    return ERR_MALFORMED;
}

static int commit_decode(struct call *c, struct reader *reader, int version)
{
    struct offset_commit_response body;
    struct arena arena;
    arena_init(&arena, c->core->memory, ADMIN_ARENA_MAX);
    int error = offset_commit_response_decode(&body, reader, version, &arena);
    for (int32_t i = 0; !error && i < body.topics_count; i++) {
        const struct offset_commit_response_topics *t = &body.topics[i];
        for (int32_t j = 0; !error && j < t->partitions_count; j++) {
            error = commit_result(c, t->name, t->partitions[j].partition_index,
                                  t->partitions[j].error_code);
        }
    }
    arena_deinit(&arena);
    return error;
}

static int forget_encode(struct call *c, struct wire_writer *w, int version)
{
    const struct commit_op *op = commit_op(c);
    struct offset_delete_request body;
    struct arena arena;
    offset_delete_request_init(&body);
    arena_init(&arena, c->core->memory, ADMIN_ARENA_MAX);
    body.group_id = wire_string_of(op->group.group);
    body.topics = arena_array(&arena, op->count, sizeof *body.topics);
    struct offset_delete_request_partitions *parts = arena_array(&arena, op->count, sizeof *parts);
    for (size_t i = 0, run; body.topics && parts && i < op->count; i += run) {
        struct offset_delete_request_topics *t = &body.topics[body.topics_count++];
        run = topic_run(op, i);
        offset_delete_request_topics_init(t);
        t->name = wire_string_of(op->positions[i].topic);
        t->partitions = &parts[i];
        t->partitions_count = (int32_t)run;
        for (size_t j = i; j < i + run; j++) {
            offset_delete_request_partitions_init(&parts[j]);
            parts[j].partition_index = op->positions[j].partition;
        }
    }
    int error =
        body.topics && parts ? offset_delete_request_encode(&body, w, version) : ERR_NO_MEMORY;
    arena_deinit(&arena);
    return error;
}

static int forget_decode(struct call *c, struct reader *reader, int version)
{
    struct offset_delete_response body;
    struct arena arena;
    arena_init(&arena, c->core->memory, ADMIN_ARENA_MAX);
    int error = offset_delete_response_decode(&body, reader, version, &arena);
    if (!error) {
        error = group_error(c, body.error_code, wire_string_null());
    }
    for (int32_t i = 0; !error && i < body.topics_count; i++) {
        const struct offset_delete_response_topics *t = &body.topics[i];
        for (int32_t j = 0; !error && j < t->partitions_count; j++) {
            error = commit_result(c, t->name, t->partitions[j].partition_index,
                                  t->partitions[j].error_code);
        }
    }
    arena_deinit(&arena);
    return error;
}

/* --- the calls -------------------------------------------------------------------------------------- */

static int position_compare(const void *left, const void *right)
{
    const leat_group_position *a = left, *b = right;
    int topics = strcmp(a->topic, b->topic);
    return topics ? topics : (a->partition > b->partition) - (a->partition < b->partition);
}

static int commit_check(const leat_group_position *positions, size_t count, bool offsets,
                        leat_error *e)
{
    enum { POSITIONS_MAX = 1000000 };
    bool fits = positions && count > 0 && count <= POSITIONS_MAX;
    for (size_t i = 0; fits && i < count; i++) {
        fits = positions[i].topic && strlen(positions[i].topic) <= TOPIC_NAME_MAX &&
               positions[i].partition >= 0 && (!offsets || positions[i].offset >= 0);
    }
    return fits ? 0
                : error_set(e, ERR_INVALID_ARGUMENT,
                            "a position has a topic, a partition and an offset, none of them "
                            "negative");
}

/* What came of it: of the group, or the first of its partitions that failed. */
static int commit_verdict(const struct commit_op *op, leat_error *e)
{
    if (op->non_empty) {
        return error_set(e, ERR_NON_EMPTY_GROUP,
                         "group %.80s has members, which would overwrite it: stop them first (leat "
                         "group describe names them)",
                         op->group.group);
    }
    for (size_t i = 0; i < op->count; i++) {
        const leat_group_position *p = &op->positions[i];
        if (p->code) {
            return error_set(e, p->code, "group %.80s, %.80s-%d: %s", op->group.group, p->topic,
                             (int)p->partition, error_text(p->code));
        }
    }
    return error_clear(e);
}

static int commit_run(leat_client *c, const char *group, leat_group_position *positions,
                      size_t count, const struct call_kind *kind, leat_error *e)
{
    struct commit_op op = {
        .group = {.admin = {.client = c}, .group = group},
        .positions = positions,
        .count = count,
    };
    qsort(positions, count, sizeof *positions, position_compare);
    for (size_t i = 0; i < count; i++) {
        positions[i].code = ERR_MALFORMED; /* until the answer names it */
    }
    int error = group_run(&op.group, kind, e);
    return error ? error : commit_verdict(&op, e);
}

int leat_group_offsets_set(leat_client *c, const char *group, leat_group_position *positions,
                           size_t count, leat_error *e)
{
    static const struct call_kind kind = {
        .request = {WIRE_OFFSET_COMMIT, 2, 9},
        .name = "set offsets of group",
        .route = group_route,
        .encode = commit_encode,
        .decode = commit_decode,
    };
    int error = group_check_name(group, e);
    error = error ? error : commit_check(positions, count, true, e);
    return error ? error : commit_run(c, group, positions, count, &kind, e);
}

int leat_group_offsets_delete(leat_client *c, const char *group, leat_group_position *positions,
                              size_t count, leat_error *e)
{
    static const struct call_kind kind = {
        .request = {WIRE_OFFSET_DELETE, 0, 0},
        .name = "forget offsets of group",
        .route = group_route,
        .encode = forget_encode,
        .decode = forget_decode,
    };
    int error = group_check_name(group, e);
    error = error ? error : commit_check(positions, count, false, e);
    return error ? error : commit_run(c, group, positions, count, &kind, e);
}
