/* SPDX-License-Identifier: Apache-2.0 */

/* leat_eligible_get(): which replicas outside of the in-sync set may lead (KIP-966), page by page. */
#include "admin/admin.h"

#include <string.h>

enum { PARTITIONS_MAX = 1000000 };

struct eligible_result {
    struct memory heap;
    leat_eligibles eligibles;
    struct admin_list list;
};

struct eligible_op {
    struct admin_op admin;
    const char *topic;
    int32_t from, next; /* partitions; next < 0: there is no further page */
    struct eligible_result *result;
    size_t before; /* partitions of earlier pages */
};

static struct eligible_op *eligible_op(struct call *c)
{
    return container_of(admin_of(c), struct eligible_op, admin);
}

static int eligible_encode(struct call *c, struct wire_writer *w, int version)
{
    const struct eligible_op *op = eligible_op(c);
    struct describe_topic_partitions_request_topics topic = {wire_string_of(op->topic)};
    struct describe_topic_partitions_request_cursor cursor = {topic.name, op->from};
    struct describe_topic_partitions_request body;
    describe_topic_partitions_request_init(&body);
    body.topics = &topic;
    body.topics_count = 1;
    body.cursor = op->from > 0 ? &cursor : NULL;
    return describe_topic_partitions_request_encode(&body, w, version);
}

static int partition_add(struct eligible_result *r,
                         const struct describe_topic_partitions_response_partitions *in)
{
    leat_eligible *one = memory_alloc(&r->heap, sizeof *one);
    if (!one) {
        return ERR_NO_MEMORY;
    }
    one->partition = in->partition_index;
    one->eligible = admin_ids(&r->heap, in->eligible_leader_replicas,
                              in->eligible_leader_replicas_count, &one->eligible_count);
    one->last_known =
        admin_ids(&r->heap, in->last_known_elr, in->last_known_elr_count, &one->last_known_count);
    return one->eligible && one->last_known ? admin_append(&r->heap, &r->list, PARTITIONS_MAX, one)
                                            : ERR_NO_MEMORY;
}

static int eligible_decode(struct call *c, struct reader *reader, int version)
{
    struct eligible_op *op = eligible_op(c);
    struct describe_topic_partitions_response body;
    struct arena arena;
    arena_init(&arena, c->core->memory, ADMIN_ARENA_MAX);
    op->result->list.count = op->before; /* it may be the second answer to this page */
    int error = describe_topic_partitions_response_decode(&body, reader, version, &arena);
    if (!error && body.topics_count != 1) {
        error = ERR_MALFORMED;
    }
    if (!error) {
        error = admin_error(c, body.topics[0].error_code, wire_string_null(), op->topic);
    }
    for (int32_t i = 0; !error && i < body.topics[0].partitions_count; i++) {
        error = partition_add(op->result, &body.topics[0].partitions[i]);
    }
    /* A page that does not go on would be asked for again and again. */
    op->next = !error && body.next_cursor && body.next_cursor->partition_index > op->from
                   ? body.next_cursor->partition_index
                   : -1;
    arena_deinit(&arena);
    return error;
}

int leat_eligible_get(leat_client *c, const char *topic, leat_eligibles **out, leat_error *e)
{
    static const struct call_kind kind = {
        .request = {WIRE_DESCRIBE_TOPIC_PARTITIONS, 0, 0},
        .name = "describe the partitions of",
        .encode = eligible_encode,
        .decode = eligible_decode,
    };
    if (!out || !topic || strlen(topic) > WIRE_STRING_MAX) {
        return error_set(e, ERR_INVALID_ARGUMENT,
                         "leat_eligible_get() needs a topic, and a place for the answer");
    }
    struct eligible_result *result = heap_open(sizeof *result, ADMIN_HEAP_MAX);
    int error = result ? 0 : error_set(e, ERR_NO_MEMORY, "no memory for the partitions");
    for (int32_t from = 0; !error && from >= 0;) {
        struct eligible_op op = {.admin = {.client = c, .kind = &kind},
                                 .topic = topic,
                                 .from = from,
                                 .result = result,
                                 .before = result->list.count};
        error = admin_run(&op.admin, e);
        from = op.next;
    }
    if (error) {
        heap_close(result);
        return error;
    }
    result->eligibles =
        (leat_eligibles){(const leat_eligible *const *)result->list.items, result->list.count};
    *out = &result->eligibles;
    return error_clear(e);
}

void leat_eligible_free(leat_eligibles *eligibles)
{
    if (eligibles) {
        heap_close(container_of(eligibles, struct eligible_result, eligibles));
    }
}
