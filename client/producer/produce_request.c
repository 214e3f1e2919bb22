/* SPDX-License-Identifier: Apache-2.0 */

/* One Produce request: its batches sorted by topic, so that each topic appears once, and its answer
 * matched back. The answer usually has the same order, so the next expected batch is tried first.
 */
#include "producer/sender_private.h"

#include <stdlib.h>

enum { PRODUCE_ARENA_MAX = 4 << 20 };

static int batch_compare(const void *left, const void *right)
{
    const struct producer_queue *a = (*(struct producer_batch *const *)left)->queue;
    const struct producer_queue *b = (*(struct producer_batch *const *)right)->queue;
    if (a->topic->number != b->topic->number) {
        return a->topic->number < b->topic->number ? -1 : 1;
    }
    return (a->partition > b->partition) - (a->partition < b->partition);
}

static int produce_fill(struct produce_request_op *op, struct produce_request *body,
                        struct arena *arena)
{
    struct produce_request_topic_data *topics = arena_array(arena, op->count, sizeof *topics);
    struct produce_request_partition_data *partitions =
        arena_array(arena, op->count, sizeof *partitions);
    struct slice *slices = arena_array(arena, op->count, sizeof *slices);
    if (!topics || !partitions || !slices) {
        return ERR_NO_MEMORY;
    }
    const struct producer_topic *latest = NULL;
    for (uint32_t i = 0; i < op->count; i++) {
        struct producer_batch *b = op->batches[i];
        struct bytes bytes = producer_batch_bytes(b);
        if (b->queue->topic != latest) {
            latest = b->queue->topic;
            struct produce_request_topic_data *t = &topics[body->topic_data_count++];
            t->name = wire_string_of(latest->name);
            t->topic_id = latest->meta->id;
            t->partition_data = &partitions[i];
            t->partition_data_count = 0;
        }
        topics[body->topic_data_count - 1].partition_data_count++;
        slices[i] = (struct slice){bytes.data, bytes.size, NULL};
        partitions[i].index = b->queue->partition;
        partitions[i].records = (struct wire_records){&slices[i], 1, (uint32_t)bytes.size, false};
    }
    body->topic_data = topics;
    return 0;
}

static int produce_encode(struct request *r, struct wire_writer *w, int version)
{
    struct produce_request_op *op = container_of(r, struct produce_request_op, request);
    struct produce_request body;
    struct arena arena;
    produce_request_init(&body);
    arena_init(&arena, op->sender->core->memory, PRODUCE_ARENA_MAX);
    body.transactional_id = wire_string_null();
    body.acks = (int16_t)op->sender->options->acks;
    body.timeout_ms = op->sender->options->request_timeout_ms;
    int error = produce_fill(op, &body, &arena);
    if (!error) {
        error = produce_request_encode(&body, w, version);
    }
    arena_deinit(&arena);
    return error;
}

/* The batch that an answer's partition is about; each is found once. */
static struct producer_batch *produce_find(struct produce_request_op *op, uint32_t *next,
                                           const struct produce_response_responses *t,
                                           int32_t partition, int version)
{
    for (uint32_t i = 0; i < op->count; i++) {
        uint32_t at = (*next + i) % op->count;
        struct producer_batch *b = op->batches[at];
        if (!b || b->queue->partition != partition) {
            continue;
        }
        bool same = version >= 13
                        ? uuid_equal(t->topic_id, b->queue->topic->meta->id)
                        : wire_string_equal(t->name, wire_string_of(b->queue->topic->name));
        if (same) {
            op->batches[at] = NULL;
            *next = at + 1;
            return b;
        }
    }
    return NULL;
}

static void produce_outcome(struct produce_request_op *op, struct producer_batch *b,
                            const struct produce_response_partition_responses *p)
{
    leat_error reason;
    int error = error_from_wire(p->error_code);
    if (error) {
        const char *detail = p->error_message.size > 0 ? p->error_message.data : error_text(error);
        int size = p->error_message.size > 0 ? p->error_message.size : (int)strlen(detail);
        error_set(&reason, error, "%s-%d: %.*s (%s)", b->queue->topic->name,
                  (int)b->queue->partition, size > 120 ? 120 : size, detail, error_name(error));
    }
    sender_outcome(op->sender, b, error, p->base_offset, p->log_append_time_ms, &reason);
}

static int produce_read(struct produce_request_op *op, struct answer *a)
{
    struct produce_response body;
    struct arena arena;
    uint32_t next = 0;
    arena_init(&arena, op->sender->core->memory, (size_t)PRODUCE_ANSWER_MAX * 4);
    int error = produce_response_decode(&body, &a->body, a->version, &arena);
    for (int32_t i = 0; !error && i < body.responses_count; i++) {
        const struct produce_response_responses *t = &body.responses[i];
        for (int32_t j = 0; j < t->partition_responses_count; j++) {
            struct producer_batch *b =
                produce_find(op, &next, t, t->partition_responses[j].index, a->version);
            if (b) {
                produce_outcome(op, b, &t->partition_responses[j]);
            }
        }
    }
    arena_deinit(&arena);
    return error;
}

static void produce_done(struct request *r, struct answer *a)
{
    struct produce_request_op *op = container_of(r, struct produce_request_op, request);
    struct sender *s = op->sender;
    leat_error reason = {0};
    int error = a->error;
    if (error) {
        reason = *a->reason;
        error = error == ERR_UNSUPPORTED_VERSION ? error : ERR_NETWORK_EXCEPTION;
    } else if (!r->unanswered) {
        error = produce_read(op, a);
        error_set(&reason, ERR_MALFORMED, "the broker's answer to Produce is malformed");
        error = error ? ERR_NETWORK_EXCEPTION : 0;
    }
    /* What the answer does not name is as uncertain as if the connection had been lost. */
    for (uint32_t i = 0; i < op->count; i++) {
        struct producer_batch *b = op->batches[i];
        if (b && r->unanswered && !error) {
            sender_outcome(s, b, 0, -1, -1, NULL);
        } else if (b) {
            sender_outcome(s, b, error ? error : ERR_NETWORK_EXCEPTION, -1, -1, &reason);
        }
    }
    sender_request_done(s, op->node);
    memory_free(s->core->memory, op);
}

int produce_start(struct sender *s, struct sender_node *node, struct connection *connection,
                  struct producer_batch **batches, uint32_t count)
{
    static const struct request_kind kind = {WIRE_PRODUCE, 3, 13};
    static const struct request_kind kind_zstd = {WIRE_PRODUCE, 7, 13};
    assert(count > 0 && count <= PRODUCE_BATCHES_MAX);
    struct produce_request_op *op =
        memory_alloc(s->core->memory, sizeof *op + count * sizeof *op->batches);
    if (!op) {
        return ERR_NO_MEMORY;
    }
    memcpy(op->batches, batches, count * sizeof *batches);
    qsort(op->batches, count, sizeof *op->batches, batch_compare);
    op->sender = s;
    op->node = node;
    op->count = count;
    op->request.kind = s->options->compression == LEAT_COMPRESSION_ZSTD ? &kind_zstd : &kind;
    op->request.encode = produce_encode;
    op->request.done = produce_done;
    op->request.deadline_ns =
        core_after_ms(s->core, (int64_t)s->options->request_timeout_ms + PRODUCE_GRACE_MS);
    op->request.answer_max = PRODUCE_ANSWER_MAX;
    op->request.unanswered = s->options->acks == LEAT_ACKS_NONE;
    node->in_flight++;
    s->requests++;
    connection_submit(connection, &op->request);
    return 0;
}
