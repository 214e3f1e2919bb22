/* SPDX-License-Identifier: Apache-2.0 */

/* Fetch: every partition of one broker that has room, without a fetch session. The answer's frame
 * is kept and cut into chunks; only batch headers are looked at here. */
#include "consumer/fetcher_private.h"

static int fetch_fill(struct fetch_op *op, struct fetch_request *body, struct arena *arena)
{
    const leat_consumer_options *o = op->fetcher->options;
    struct fetch_request_topics *topics = arena_array(arena, op->count, sizeof *topics);
    struct fetch_request_partitions *parts = arena_array(arena, op->count, sizeof *parts);
    if (!topics || !parts) {
        return ERR_NO_MEMORY;
    }
    const struct topic *latest = NULL;
    for (uint32_t i = 0; i < op->count; i++) {
        const struct fetch_part *part = &op->parts[i];
        const struct topic *t = part->partition->meta;
        if (t != latest) {
            latest = t;
            struct fetch_request_topics *to = &topics[body->topics_count++];
            fetch_request_topics_init(to);
            to->topic = wire_string_of(t->name);
            to->topic_id = t->id;
            to->partitions = &parts[i];
        }
        topics[body->topics_count - 1].partitions_count++;
        fetch_request_partitions_init(&parts[i]);
        parts[i].partition = part->partition->partition;
        parts[i].current_leader_epoch = part->leader_epoch;
        parts[i].fetch_offset = part->offset;
        parts[i].partition_max_bytes = (int32_t)o->partition_fetch_bytes;
    }
    body->topics = topics;
    return 0;
}

static int fetch_encode(struct request *r, struct wire_writer *w, int version)
{
    struct fetch_op *op = container_of(r, struct fetch_op, request);
    const leat_consumer_options *o = op->fetcher->options;
    struct fetch_request body;
    struct arena arena;
    fetch_request_init(&body);
    arena_init(&arena, op->fetcher->core->memory, FETCH_ARENA_MAX);
    body.max_wait_ms = op->wait_ms;
    body.min_bytes = o->fetch_min_bytes;
    body.max_bytes = (int32_t)o->fetch_max_bytes;
    body.isolation_level = o->read_uncommitted ? 0 : 1;
    body.rack_id = wire_string_of(version >= 11 ? op->fetcher->core->options.rack : "");
    int error = fetch_fill(op, &body, &arena);
    if (!error) {
        error = fetch_request_encode(&body, w, version);
    }
    arena_deinit(&arena);
    return error;
}

static int aborted_compare(const void *left, const void *right)
{
    const struct aborted *a = left, *b = right;
    return (a->first_offset > b->first_offset) - (a->first_offset < b->first_offset);
}

/* Queues what came for a partition and moves its fetch offset behind it. */
static int fetch_take(struct fetch_op *op, struct fetch_part *part,
                      const struct fetch_response_partitions *in, struct fetched *fetched,
                      struct arena *arena)
{
    struct fetcher *f = op->fetcher;
    struct consumer_partition *p = part->partition;
    struct bytes data = {in->records.slices[0].data, in->records.slices[0].size};
    struct chunk c = {.fetched = fetched, .offset = part->offset};
    size_t whole;
    int32_t epoch;
    int error = chunk_scan(data, part->offset, &c.next, &epoch, &whole);
    if (error) {
        return error;
    }
    c.data = bytes_of(data.data, whole);
    if (!f->options->read_uncommitted && in->aborted_transactions_count > 0) {
        size_t count = (size_t)in->aborted_transactions_count;
        c.aborted = arena_array(arena, count, sizeof *c.aborted);
        if (!c.aborted) {
            return ERR_NO_MEMORY;
        }
        for (size_t i = 0; i < count; i++) {
            c.aborted[i] = (struct aborted){in->aborted_transactions[i].producer_id,
                                            in->aborted_transactions[i].first_offset};
        }
        qsort(c.aborted, count, sizeof *c.aborted, aborted_compare);
        c.aborted_count = count;
    }
    error = fetch_queue(f, p, &c);
    if (!error) {
        p->fetch_offset = c.next;
        p->fetched_epoch = epoch;
        p->validated_epoch = part->leader_epoch > epoch ? part->leader_epoch : epoch;
        p->failures = 0;
    }
    return error;
}

static void fetch_out_of_range(struct fetcher *f, struct fetch_part *part)
{
    struct consumer_partition *p = part->partition;
    leat_error e;
    if (!partition_reset(p, f->options->reset)) {
        error_set(
            &e, ERR_OFFSET_OUT_OF_RANGE,
            "%s-%d: offset %lld is outside what the log holds: seek, or set auto.offset.reset",
            p->topic, (int)p->partition, (long long)part->offset);
        fetch_refuse(f, p, &e);
    }
}

/* What a replica that is not the leader refuses is not believed, as it may lag behind: the leader is
 * asked. */
static bool fetch_left_nearest(const struct fetch_op *op, struct consumer_partition *p)
{
    if (p->nearest < 0 || p->nearest != op->node->broker_id) {
        return false;
    }
    p->nearest = -1;
    return true;
}

static void fetch_partition(struct fetch_op *op, struct fetch_part *part,
                            const struct fetch_response_partitions *in, struct fetched *fetched,
                            struct arena *arena)
{
    struct fetcher *f = op->fetcher;
    struct consumer_partition *p = part->partition;
    int error = error_from_wire(in->error_code);
    if (!fetch_wanted(part)) {
        return;
    }
    if (error && fetch_left_nearest(op, p)) {
        return;
    }
    if (!error && in->preferred_read_replica >= 0 &&
        in->preferred_read_replica != op->node->broker_id) {
        p->nearest = in->preferred_read_replica;
        p->nearest_end_ns = core_after_ms(f->core, f->core->options.metadata_max_age_ms);
        return;
    }
    if (error == ERR_OFFSET_OUT_OF_RANGE) {
        fetch_out_of_range(f, part);
        return;
    }
    if (!error && in->records.size > 0) {
        error = fetch_take(op, part, in, fetched, arena);
        if (error == ERR_CORRUPT_MESSAGE || error == ERR_TOO_LARGE) {
            leat_error e;
            error_set(&e, error,
                      error == ERR_TOO_LARGE
                          ? "%s-%d: the batch at offset %lld is larger than "
                            "max.partition.fetch.bytes allows"
                          : "%s-%d: what the broker sent for offset %lld is not record batches",
                      p->topic, (int)p->partition, (long long)part->offset);
            fetch_refuse(f, p, &e);
            return;
        }
    }
    if (!error) {
        return;
    }
    if (error_is_retriable(error) && error != ERR_CORRUPT_MESSAGE) {
        fetch_again(f, p, error);
        return;
    }
    leat_error e;
    error_set(
        &e, error,
        error == ERR_CORRUPT_MESSAGE
            ? "%s-%d at offset %lld: the broker's batch is damaged (its log says where): restore "
              "it, or seek behind it to go on"
            : "%s-%d at offset %lld: %s",
        p->topic, (int)p->partition, (long long)part->offset, error_text(error));
    fetch_refuse(f, p, &e);
}

static int fetch_read(struct fetch_op *op, struct answer *a)
{
    struct fetcher *f = op->fetcher;
    struct fetch_response body;
    struct arena arena;
    uint32_t next = 0;
    arena_init(&arena, f->core->memory, FETCH_ARENA_MAX);
    struct fetched *fetched = memory_alloc(f->core->memory, sizeof *fetched);
    int error =
        fetched ? fetch_response_decode(&body, &a->body, a->version, &arena) : ERR_NO_MEMORY;
    error = error ? error : error_from_wire(body.error_code);
    gate_enter(f->gate);
    if (!error) {
        *fetched = (struct fetched){.frame = a->frame, .references = 1};
        list_init(&fetched->link);
    }
    for (int32_t i = 0; !error && i < body.responses_count; i++) {
        const struct fetch_response_responses *t = &body.responses[i];
        for (int32_t j = 0; j < t->partitions_count; j++) {
            struct fetch_part *part =
                fetch_find(op, &next, t->topic, a->version >= 13 ? &t->topic_id : NULL,
                           t->partitions[j].partition_index);
            if (part) {
                fetch_partition(op, part, &t->partitions[j], fetched, &arena);
            }
        }
    }
    bool kept = !error && --fetched->references > 0;
    gate_leave(f->gate);
    if (kept) {
        a->frame = NULL;
    } else {
        memory_free(f->core->memory, fetched);
    }
    arena_deinit(&arena);
    return error;
}

static void fetch_done(struct request *r, struct answer *a)
{
    struct fetch_op *op = container_of(r, struct fetch_op, request);
    struct fetcher *f = op->fetcher;
    int error = a->error ? a->error : fetch_read(op, a);
    gate_enter(f->gate);
    for (uint32_t i = 0; i < op->count; i++) {
        struct fetch_part *part = &op->parts[i];
        /* A connection that a seek has closed is no failure. */
        if (!part->answered && error != ERR_CLOSED && fetch_wanted(part)) {
            (void)fetch_left_nearest(op, part->partition);
            if (error == ERR_UNSUPPORTED_VERSION) {
                fetch_refuse(f, part->partition, a->reason);
            } else {
                fetch_again(f, part->partition, ERR_NETWORK_EXCEPTION);
            }
        }
    }
    gate_leave(f->gate);
    fetch_end(op);
}

void fetch_records_start(struct fetch_op *op)
{
    static const struct request_kind by_id = {WIRE_FETCH, 4, 17};
    static const struct request_kind by_name = {WIRE_FETCH, 4, 12};
    bool ids = true;
    for (uint32_t i = 0; i < op->count; i++) {
        ids = ids && !uuid_is_zero(op->parts[i].partition->meta->id);
    }
    op->request.kind = ids ? &by_id : &by_name;
    op->request.encode = fetch_encode;
    op->request.done = fetch_done;
}
