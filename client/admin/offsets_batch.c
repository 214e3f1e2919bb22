/* SPDX-License-Identifier: Apache-2.0 */

/* leat_offsets_at(): one request for each leader. A partition whose leader has moved meanwhile is asked
 * for again by itself. */
#include "admin/admin.h"

#include <stdlib.h>

struct asked {
    leat_offset_query *query;
    int32_t leader;
    bool answered;
};

struct batch_op {
    struct admin_op admin;
    struct asked *asked; /* of one leader, by topic */
    size_t count;
};

static struct batch_op *batch_op(struct call *c)
{
    return container_of(admin_of(c), struct batch_op, admin);
}

static int batch_route(struct call *c, int32_t *broker)
{
    return admin_route_broker(c, batch_op(c)->asked[0].leader, broker);
}

static int batch_encode(struct call *c, struct wire_writer *w, int version)
{
    const struct batch_op *op = batch_op(c);
    struct list_offsets_request body;
    struct arena arena;
    list_offsets_request_init(&body);
    arena_init(&arena, c->core->memory, ADMIN_ARENA_MAX);
    body.replica_id = -1;
    body.topics = arena_array(&arena, op->count, sizeof *body.topics);
    struct list_offsets_request_partitions *parts = arena_array(&arena, op->count, sizeof *parts);
    for (size_t i = 0; body.topics && parts && i < op->count; i++) {
        const leat_offset_query *q = op->asked[i].query;
        struct list_offsets_request_topics *t = &body.topics[body.topics_count - 1];
        if (i == 0 || strcmp(q->topic, op->asked[i - 1].query->topic) != 0) {
            t = &body.topics[body.topics_count++];
            list_offsets_request_topics_init(t);
            t->name = wire_string_of(q->topic);
            t->partitions = &parts[i];
        }
        list_offsets_request_partitions_init(&parts[i]);
        parts[i].partition_index = q->partition;
        parts[i].timestamp = q->when;
        t->partitions_count++;
    }
    int error =
        body.topics && parts ? list_offsets_request_encode(&body, w, version) : ERR_NO_MEMORY;
    arena_deinit(&arena);
    return error;
}

static struct asked *asked_find(const struct batch_op *op, struct wire_string topic,
                                int32_t partition)
{
    size_t low = 0, high = op->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        leat_offset_query *q = op->asked[middle].query;
        size_t size = strlen(q->topic), given = topic.size < 0 ? 0 : (size_t)topic.size;
        int order = memcmp(topic.data, q->topic, given < size ? given : size);
        order = order ? order : (given > size) - (given < size);
        order = order ? order : (partition > q->partition) - (partition < q->partition);
        if (order == 0) {
            return &op->asked[middle];
        }
        low = order > 0 ? middle + 1 : low;
        high = order > 0 ? high : middle;
    }
    return NULL;
}

static int batch_decode(struct call *c, struct reader *reader, int version)
{
    struct batch_op *op = batch_op(c);
    struct list_offsets_response body;
    struct arena arena;
    arena_init(&arena, c->core->memory, ADMIN_ARENA_MAX);
    int error = list_offsets_response_decode(&body, reader, version, &arena);
    for (int32_t i = 0; !error && i < body.topics_count; i++) {
        const struct list_offsets_response_topics *t = &body.topics[i];
        for (int32_t j = 0; j < t->partitions_count; j++) {
            struct asked *a = asked_find(op, t->name, t->partitions[j].partition_index);
            if (a) {
                a->answered = true;
                a->query->code = error_from_wire(t->partitions[j].error_code);
                a->query->offset = a->query->code ? -1 : t->partitions[j].offset;
            }
        }
    }
    arena_deinit(&arena);
    return error;
}

/* --- the call --------------------------------------------------------------------------------------- */

static int asked_compare(const void *left, const void *right)
{
    const struct asked *a = left, *b = right;
    if (a->leader != b->leader) {
        return a->leader < b->leader ? -1 : 1;
    }
    int topics = strcmp(a->query->topic, b->query->topic);
    return topics ? topics
                  : (a->query->partition > b->query->partition) -
                        (a->query->partition < b->query->partition);
}

static const leat_meta_topic *topic_of(const leat_meta *meta, const char *name)
{
    size_t low = 0, high = meta->topic_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, meta->topics[middle]->name);
        if (order == 0) {
            return meta->topics[middle];
        }
        low = order > 0 ? middle + 1 : low;
        high = order > 0 ? high : middle;
    }
    return NULL;
}

/* The leader of a query's partition, -1 with its code: nobody can be asked. */
static int32_t leader_of(const leat_meta *meta, leat_offset_query *q)
{
    const leat_meta_topic *t = topic_of(meta, q->topic);
    q->offset = -1;
    q->code = !t ? ERR_UNKNOWN_TOPIC_OR_PARTITION : t->code;
    for (size_t i = 0; t && !t->code && i < t->partition_count; i++) {
        if (t->partitions[i]->id == q->partition) {
            q->code = t->partitions[i]->leader < 0 ? ERR_LEADER_NOT_AVAILABLE : 0;
            return t->partitions[i]->leader;
        }
    }
    q->code = q->code ? q->code : ERR_UNKNOWN_TOPIC_OR_PARTITION;
    return -1;
}

static int ask_leader(leat_client *c, struct asked *asked, size_t count, leat_error *e)
{
    static const struct call_kind kind = {
        .request = {WIRE_LIST_OFFSETS, 1, 8},
        .name = "look up offsets",
        .route = batch_route,
        .encode = batch_encode,
        .decode = batch_decode,
    };
    struct batch_op op = {.admin = {.client = c, .kind = &kind}, .asked = asked, .count = count};
    int error = admin_run(&op.admin, e);
    bool gone = error == ERR_BROKER_NOT_AVAILABLE || error == ERR_UNREACHABLE;
    error = gone ? 0 : error; /* others lead by now what it led, or soon */
    for (size_t i = 0; !error && i < count; i++) {
        leat_offset_query *q = asked[i].query;
        if (!asked[i].answered || error_is_retriable(q->code)) {
            leat_error one;
            q->code = leat_offset_at(c, q->topic, q->partition, q->when, &q->offset, &one);
        }
    }
    return error;
}

static int ask_leaders(leat_client *c, const leat_meta *meta, leat_offset_query *queries,
                       size_t count, struct asked *asked, leat_error *e)
{
    size_t known = 0;
    for (size_t i = 0; i < count; i++) {
        int32_t leader = leader_of(meta, &queries[i]);
        if (leader >= 0) {
            asked[known++] = (struct asked){&queries[i], leader, false};
        }
    }
    if (known) {
        qsort(asked, known, sizeof *asked, asked_compare);
    }
    for (size_t i = 0, run; i < known; i += run) {
        for (run = 1; i + run < known && asked[i + run].leader == asked[i].leader; run++) {
        }
        int error = ask_leader(c, &asked[i], run, e);
        if (error) {
            return error;
        }
    }
    return error_clear(e);
}

int leat_offsets_at(leat_client *c, leat_offset_query *queries, size_t count, leat_error *e)
{
    enum { QUERIES_MAX = 1000000 };
    leat_meta *meta;
    bool one_topic = true;
    bool fits = queries && count <= QUERIES_MAX;
    for (size_t i = 0; fits && i < count; i++) {
        const leat_offset_query *q = &queries[i];
        fits = q->topic && strlen(q->topic) <= TOPIC_NAME_MAX &&
               (q->when >= 0 || q->when == LEAT_EARLIEST || q->when == LEAT_LATEST);
        one_topic = one_topic && fits && strcmp(q->topic, queries[0].topic) == 0;
    }
    if (!fits) {
        return error_set(e, ERR_INVALID_ARGUMENT,
                         "an offset needs a topic, a partition, and LEAT_EARLIEST, LEAT_LATEST or "
                         "a time");
    }
    int error = count ? leat_metadata(c, one_topic ? queries[0].topic : NULL, &meta, e) : 0;
    if (error || count == 0) {
        return error ? error : error_clear(e);
    }
    struct {
        struct memory heap;
    } *room = heap_open(sizeof *room, ADMIN_HEAP_MAX);
    struct asked *asked = room ? memory_alloc(&room->heap, count * sizeof *asked) : NULL;
    error = asked ? ask_leaders(c, meta, queries, count, asked, e)
                  : error_set(e, ERR_NO_MEMORY, "no memory to look up offsets");
    heap_close(room);
    leat_meta_free(meta);
    return error;
}
