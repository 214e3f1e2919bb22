/* SPDX-License-Identifier: Apache-2.0 */

/* leat_group_describe(): what the coordinator says of a group, then how far its partitions are.
 *
 *     DescribeGroups, OffsetFetch   -> rows: assigned or committed partitions, joined
 *     leat_offsets_at()             -> start and end of each, so the lag in records
 *     a consumer                    -> the first unread record of each, so the lag in time
 *
 * The protocol has no look-up from offset to time: only the record itself says when it was written. */
#include "admin/group.h"
#include "admin/group_view.h"

#include <stdlib.h>

enum { FETCH_VERSION_BATCHED = 8, ASSIGNMENT_VERSION_MAX = 3 };

static struct view_op *view_op(struct call *c)
{
    return container_of(group_of(c), struct view_op, group);
}

static const char *view_text(struct memory *heap, struct wire_string s)
{
    return memory_string(heap, s.size > 0 ? s.data : "", s.size > 0 ? (size_t)s.size : 0);
}

static leat_group_partition *row_add(struct group_view *v, struct wire_string topic,
                                     int32_t partition)
{
    if (v->row_count == v->row_capacity) {
        size_t capacity = v->row_capacity ? v->row_capacity * 2 : 64;
        void *grown = memory_resize(&v->heap, v->rows, capacity * sizeof *v->rows);
        if (!grown) {
            return NULL;
        }
        v->rows = grown;
        v->row_capacity = capacity;
    }
    /* Rows of a topic come one behind the other: they share its name. */
    const leat_group_partition *last = v->row_count ? &v->rows[v->row_count - 1] : NULL;
    bool same = last && wire_string_equal(topic, wire_string_of(last->topic));
    const char *name = same ? last->topic : view_text(&v->heap, topic);
    if (!name) {
        return NULL;
    }
    v->rows[v->row_count] = (leat_group_partition){.topic = name,
                                                   .partition = partition,
                                                   .member = -1,
                                                   .committed = -1,
                                                   .committed_epoch = -1,
                                                   .metadata = "",
                                                   .start = -1,
                                                   .end = -1,
                                                   .lag = -1,
                                                   .lag_ms = -1};
    return &v->rows[v->row_count++];
}

/* --- state and members ------------------------------------------------------------------------------ */

static int describe_encode(struct call *c, struct wire_writer *w, int version)
{
    struct wire_string group = wire_string_of(group_of(c)->group);
    struct describe_groups_request body;
    describe_groups_request_init(&body);
    body.groups = &group;
    body.groups_count = 1;
    return describe_groups_request_encode(&body, w, version);
}

/* What an assignor wrote: bytes of the members', which nobody has checked. */
static int member_partitions(struct group_view *v, leat_group_member *m, int32_t member,
                             struct wire_bytes bytes, struct arena *arena)
{
    struct consumer_protocol_assignment in;
    struct reader r = reader_of(bytes.data, bytes.size < 0 ? 0 : (size_t)bytes.size);
    int16_t version = (int16_t)reader_be16(&r);
    if (r.failed || version < 0) {
        return 0;
    }
    version = version > ASSIGNMENT_VERSION_MAX ? ASSIGNMENT_VERSION_MAX : version;
    int error = consumer_protocol_assignment_decode(&in, &r, version, arena);
    if (error) {
        return error == ERR_NO_MEMORY ? error : 0; /* another protocol's: no partitions are known */
    }
    for (int32_t i = 0; i < in.assigned_partitions_count; i++) {
        const struct consumer_protocol_assignment_assigned_partitions *t =
            &in.assigned_partitions[i];
        for (int32_t j = 0; j < t->partitions_count; j++) {
            leat_group_partition *row = row_add(v, t->topic, t->partitions[j]);
            if (!row) {
                return ERR_NO_MEMORY;
            }
            row->member = member;
            m->partition_count++;
        }
    }
    return 0;
}

static int describe_members(struct group_view *v, const struct describe_groups_response_groups *in,
                            struct arena *arena)
{
    size_t count = in->members_count > 0 ? (size_t)in->members_count : 0;
    bool consumers = wire_string_equal(in->protocol_type, wire_string_of("consumer"));
    v->members = memory_alloc(&v->heap, (count + 1) * sizeof *v->members);
    for (size_t i = 0; v->members && i < count; i++) {
        const struct describe_groups_response_members *from = &in->members[i];
        leat_group_member *m = memory_alloc(&v->heap, sizeof *m);
        if (!m) {
            return ERR_NO_MEMORY;
        }
        *m = (leat_group_member){
            .id = view_text(&v->heap, from->member_id),
            .instance_id = from->group_instance_id.size < 0
                               ? NULL
                               : view_text(&v->heap, from->group_instance_id),
            .client_id = view_text(&v->heap, from->client_id),
            .host = view_text(&v->heap, from->client_host),
        };
        bool whole = m->id && m->client_id && m->host &&
                     (m->instance_id || from->group_instance_id.size < 0);
        v->members[i] = m;
        int error = !whole ? ERR_NO_MEMORY
                    : consumers
                        ? member_partitions(v, m, (int32_t)i, from->member_assignment, arena)
                        : 0;
        if (error) {
            return error;
        }
    }
    v->group.members = (const leat_group_member *const *)v->members;
    v->group.member_count = count;
    return v->members ? 0 : ERR_NO_MEMORY;
}

static int describe_group(struct call *c, const struct describe_groups_response_groups *in,
                          struct arena *arena)
{
    struct group_view *v = view_op(c)->view;
    int error = group_error(c, in->error_code, in->error_message);
    if (!error && wire_string_equal(in->group_state, wire_string_of("Dead"))) {
        error = ERR_GROUP_ID_NOT_FOUND; /* as versions below 6 say it */
    }
    if (error == ERR_GROUP_ID_NOT_FOUND) {
        return error_set(&c->error, error, "there is no group %.80s: see leat group list",
                         group_of(c)->group);
    }
    if (error) {
        return error;
    }
    v->row_count = 0; /* of an earlier attempt */
    v->group.name = memory_string(&v->heap, group_of(c)->group, strlen(group_of(c)->group));
    v->group.state = view_text(&v->heap, in->group_state);
    v->group.protocol_type = view_text(&v->heap, in->protocol_type);
    v->group.protocol = view_text(&v->heap, in->protocol_data);
    v->group.coordinator = group_of(c)->coordinator;
    bool whole = v->group.name && v->group.state && v->group.protocol_type && v->group.protocol;
    return whole ? describe_members(v, in, arena) : ERR_NO_MEMORY;
}

static int describe_decode(struct call *c, struct reader *reader, int version)
{
    struct describe_groups_response body;
    struct arena arena;
    arena_init(&arena, c->core->memory, ADMIN_ARENA_MAX);
    int error = describe_groups_response_decode(&body, reader, version, &arena);
    if (!error && body.groups_count != 1) {
        error = ERR_MALFORMED;
    }
    error = error ? error : describe_group(c, &body.groups[0], &arena);
    arena_deinit(&arena);
    return error;
}

/* --- commits ---------------------------------------------------------------------------------------- */

static int commits_encode(struct call *c, struct wire_writer *w, int version)
{
    struct offset_fetch_request body;
    struct offset_fetch_request_groups group;
    offset_fetch_request_init(&body);
    offset_fetch_request_groups_init(&group);
    if (version >= FETCH_VERSION_BATCHED) {
        group.group_id = wire_string_of(group_of(c)->group);
        group.topics_count = -1;
        body.groups = &group;
        body.groups_count = 1;
    } else {
        body.group_id = wire_string_of(group_of(c)->group);
        body.topics_count = -1;
    }
    return offset_fetch_request_encode(&body, w, version);
}

static int commit_add(struct group_view *v, struct wire_string topic, int32_t partition,
                      int64_t offset, int32_t epoch, struct wire_string metadata)
{
    if (offset < 0) {
        return 0;
    }
    leat_group_partition *row = row_add(v, topic, partition);
    if (!row) {
        return ERR_NO_MEMORY;
    }
    row->committed = offset;
    row->committed_epoch = epoch;
    row->metadata = metadata.size > 0 ? view_text(&v->heap, metadata) : "";
    return row->metadata ? 0 : ERR_NO_MEMORY;
}

static int commits_of_group(struct call *c, const struct offset_fetch_response_groups *in)
{
    struct group_view *v = view_op(c)->view;
    int error = group_error(c, in->error_code, wire_string_null());
    for (int32_t i = 0; !error && i < in->topics_count; i++) {
        for (int32_t j = 0; !error && j < in->topics[i].partitions_count; j++) {
            int16_t code = in->topics[i].partitions[j].error_code;
            error = commit_add(v, in->topics[i].name, in->topics[i].partitions[j].partition_index,
                               code ? -1 : in->topics[i].partitions[j].committed_offset,
                               in->topics[i].partitions[j].committed_leader_epoch,
                               in->topics[i].partitions[j].metadata);
        }
    }
    return error;
}

static int commits_of_topics(struct call *c, const struct offset_fetch_response *in)
{
    struct group_view *v = view_op(c)->view;
    int error = group_error(c, in->error_code, wire_string_null());
    for (int32_t i = 0; !error && i < in->topics_count; i++) {
        const struct offset_fetch_response_topics *t = &in->topics[i];
        for (int32_t j = 0; !error && j < t->partitions_count; j++) {
            const struct offset_fetch_response_partitions *p = &t->partitions[j];
            error =
                commit_add(v, t->name, p->partition_index, p->error_code ? -1 : p->committed_offset,
                           p->committed_leader_epoch, p->metadata);
        }
    }
    return error;
}

static int commits_decode(struct call *c, struct reader *reader, int version)
{
    struct view_op *op = view_op(c);
    struct offset_fetch_response body;
    struct arena arena;
    arena_init(&arena, c->core->memory, ADMIN_ARENA_MAX);
    op->view->row_count = op->view->assigned;
    int error = offset_fetch_response_decode(&body, reader, version, &arena);
    if (!error && version >= FETCH_VERSION_BATCHED) {
        error = body.groups_count == 1 ? commits_of_group(c, &body.groups[0]) : ERR_MALFORMED;
    } else if (!error) {
        error = commits_of_topics(c, &body);
    }
    arena_deinit(&arena);
    return error;
}

/* --- from beginning to end -------------------------------------------------------------------------- */

static int view_ask(struct view_op *op, leat_error *e)
{
    static const struct call_kind describe = {
        .request = {WIRE_DESCRIBE_GROUPS, 0, 6},
        .name = "describe group",
        .route = group_route,
        .encode = describe_encode,
        .decode = describe_decode,
    };
    static const struct call_kind commits = {
        .request = {WIRE_OFFSET_FETCH, 2, 9},
        .name = "ask for the offsets of group",
        .route = group_route,
        .encode = commits_encode,
        .decode = commits_decode,
    };
    int error = group_run(&op->group, &describe, e);
    if (!error) {
        op->view->assigned = op->view->row_count;
        error = group_run(&op->group, &commits, e);
    }
    if (!error && !group_view_lag(op->view, op->group.admin.client, e)) {
        error = ERR_NO_MEMORY;
    }
    return error;
}

int leat_group_describe(leat_client *c, const char *group, leat_group **out, leat_error *e)
{
    int error = group_check_name(group, e);
    if (error || !out) {
        return error ? error
                     : error_set(e, ERR_INVALID_ARGUMENT,
                                 "leat_group_describe() needs a place for the answer");
    }
    struct view_op op = {.group = {.admin = {.client = c}, .group = group}};
    op.view = heap_open(sizeof *op.view, ADMIN_HEAP_MAX);
    if (!op.view) {
        return error_set(e, ERR_NO_MEMORY, "no memory to describe a group");
    }
    error = view_ask(&op, e);
    if (error) {
        heap_close(op.view);
        return error;
    }
    *out = &op.view->group;
    return error_clear(e);
}

void leat_group_free(leat_group *group)
{
    if (group) {
        heap_close(container_of(group, struct group_view, group));
    }
}
