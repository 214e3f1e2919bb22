/* SPDX-License-Identifier: Apache-2.0 */

/* Offsets of one partition, and deleting what lies below one: asked of the partition's leader. */
#include "admin/admin.h"

struct offset_op {
    struct admin_op admin;
    int64_t in, out;
};

static struct offset_op *offset_op(struct call *c)
{
    return container_of(admin_of(c), struct offset_op, admin);
}

static int offset_encode(struct call *c, struct wire_writer *w, int version)
{
    const struct offset_op *op = offset_op(c);
    struct list_offsets_request body;
    struct list_offsets_request_topics topic;
    struct list_offsets_request_partitions partition;
    list_offsets_request_init(&body);
    list_offsets_request_topics_init(&topic);
    list_offsets_request_partitions_init(&partition);
    body.replica_id = -1;
    body.topics = &topic;
    body.topics_count = 1;
    topic.name = wire_string_of(op->admin.topic);
    topic.partitions = &partition;
    topic.partitions_count = 1;
    partition.partition_index = op->admin.partition;
    partition.timestamp = op->in;
    return list_offsets_request_encode(&body, w, version);
}

static int offset_decode(struct call *c, struct reader *reader, int version)
{
    struct offset_op *op = offset_op(c);
    struct list_offsets_response body;
    struct arena arena;
    arena_init(&arena, c->core->memory, ADMIN_ARENA_MAX);
    int error = list_offsets_response_decode(&body, reader, version, &arena);
    if (!error && (body.topics_count != 1 || body.topics[0].partitions_count != 1)) {
        error = ERR_MALFORMED;
    }
    if (!error) {
        const struct list_offsets_response_partitions *p = &body.topics[0].partitions[0];
        error = admin_error(c, p->error_code, wire_string_null(), op->admin.topic);
        op->out = p->offset;
    }
    if (core_error_is_stale(error)) {
        metadata_refresh(c->core, op->admin.meta);
    }
    arena_deinit(&arena);
    return error;
}

int leat_offset_at(leat_client *c, const char *topic, int32_t partition, int64_t when,
                   int64_t *offset, leat_error *e)
{
    static const struct call_kind kind = {
        .request = {WIRE_LIST_OFFSETS, 1, 8},
        .name = "look up an offset of topic",
        .route = admin_route_leader,
        .encode = offset_encode,
        .decode = offset_decode,
    };
    struct offset_op op = {
        .admin = {.client = c, .kind = &kind, .topic = topic, .partition = partition},
        .in = when,
        .out = -1,
    };
    if (!topic || !offset || (when < 0 && when != LEAT_EARLIEST && when != LEAT_LATEST)) {
        return error_set(e, ERR_INVALID_ARGUMENT,
                         "an offset needs a topic, a partition, and LEAT_EARLIEST, LEAT_LATEST or "
                         "a time");
    }
    int error = admin_run(&op.admin, e);
    if (!error) {
        *offset = op.out;
    }
    return error;
}

static int trim_encode(struct call *c, struct wire_writer *w, int version)
{
    const struct offset_op *op = offset_op(c);
    struct delete_records_request body;
    struct delete_records_request_topics topic;
    struct delete_records_request_partitions partition;
    delete_records_request_init(&body);
    delete_records_request_topics_init(&topic);
    delete_records_request_partitions_init(&partition);
    body.topics = &topic;
    body.topics_count = 1;
    body.timeout_ms = admin_timeout_ms(c);
    topic.name = wire_string_of(op->admin.topic);
    topic.partitions = &partition;
    topic.partitions_count = 1;
    partition.partition_index = op->admin.partition;
    partition.offset = op->in;
    return delete_records_request_encode(&body, w, version);
}

static int trim_decode(struct call *c, struct reader *reader, int version)
{
    struct offset_op *op = offset_op(c);
    struct delete_records_response body;
    struct arena arena;
    arena_init(&arena, c->core->memory, ADMIN_ARENA_MAX);
    int error = delete_records_response_decode(&body, reader, version, &arena);
    if (!error && (body.topics_count != 1 || body.topics[0].partitions_count != 1)) {
        error = ERR_MALFORMED;
    }
    if (!error) {
        const struct delete_records_response_partitions *p = &body.topics[0].partitions[0];
        error = admin_error(c, p->error_code, wire_string_null(), op->admin.topic);
        op->out = p->low_watermark;
    }
    if (core_error_is_stale(error)) {
        metadata_refresh(c->core, op->admin.meta);
    }
    arena_deinit(&arena);
    return error;
}

int leat_topic_trim(leat_client *c, const char *topic, int32_t partition, int64_t offset,
                    int64_t *low, leat_error *e)
{
    static const struct call_kind kind = {
        .request = {WIRE_DELETE_RECORDS, 0, 2},
        .name = "trim topic",
        .route = admin_route_leader,
        .encode = trim_encode,
        .decode = trim_decode,
    };
    struct offset_op op = {
        .admin = {.client = c, .kind = &kind, .topic = topic, .partition = partition},
        .in = offset,
        .out = -1,
    };
    if (!topic || (offset < 0 && offset != LEAT_LATEST)) {
        return error_set(e, ERR_INVALID_ARGUMENT,
                         "trimming needs a topic, a partition and an offset or LEAT_LATEST");
    }
    int error = admin_run(&op.admin, e);
    if (!error && low) {
        *low = op.out;
    }
    return error;
}
