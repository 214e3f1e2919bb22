/* SPDX-License-Identifier: Apache-2.0 */

/* Where a partition starts (ListOffsets), and whether what was read is still in the log of a new
 * leader (OffsetForLeaderEpoch, KIP-320). */
#include "consumer/fetcher_private.h"

/* How many parts from `first` on are of its topic: they stand together. */
static uint32_t parts_of_topic(const struct fetch_op *op, uint32_t first)
{
    uint32_t count = 1;
    while (first + count < op->count &&
           op->parts[first + count].partition->meta == op->parts[first].partition->meta) {
        count++;
    }
    return count;
}

static int offsets_fill(struct fetch_op *op, struct list_offsets_request *body, struct arena *arena)
{
    struct list_offsets_request_topics *topics = arena_array(arena, op->count, sizeof *topics);
    struct list_offsets_request_partitions *parts = arena_array(arena, op->count, sizeof *parts);
    if (!topics || !parts) {
        return ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < op->count; i += topics[body->topics_count - 1].partitions_count) {
        struct list_offsets_request_topics *t = &topics[body->topics_count++];
        list_offsets_request_topics_init(t);
        t->name = wire_string_of(op->parts[i].partition->meta->name);
        t->partitions = &parts[i];
        t->partitions_count = (int32_t)parts_of_topic(op, i);
    }
    for (uint32_t i = 0; i < op->count; i++) {
        list_offsets_request_partitions_init(&parts[i]);
        parts[i].partition_index = op->parts[i].partition->partition;
        parts[i].current_leader_epoch = op->parts[i].leader_epoch;
        parts[i].timestamp = op->parts[i].timestamp;
    }
    body->topics = topics;
    return 0;
}

static int offsets_encode(struct request *r, struct wire_writer *w, int version)
{
    struct fetch_op *op = container_of(r, struct fetch_op, request);
    struct list_offsets_request body;
    struct arena arena;
    list_offsets_request_init(&body);
    arena_init(&arena, op->fetcher->core->memory, FETCH_ARENA_MAX);
    body.replica_id = -1;
    body.isolation_level = version >= 2 && !op->fetcher->options->read_uncommitted;
    int error = offsets_fill(op, &body, &arena);
    if (!error) {
        error = list_offsets_request_encode(&body, w, version);
    }
    arena_deinit(&arena);
    return error;
}

/* What a broker's error means for one partition. */
static void part_failed(struct fetcher *f, struct fetch_part *part, int error, const char *doing)
{
    struct consumer_partition *p = part->partition;
    if (error_is_retriable(error)) {
        fetch_again(f, p, error);
        return;
    }
    leat_error e;
    error_set(&e, error, "%s-%d: cannot %s: %s", p->topic, (int)p->partition, doing,
              error_text(error));
    fetch_refuse(f, p, &e);
}

static void offsets_partition(struct fetcher *f, struct fetch_part *part,
                              const struct list_offsets_response_partitions *in)
{
    struct consumer_partition *p = part->partition;
    int error = error_from_wire(in->error_code);
    if (!fetch_wanted(part)) {
        return;
    }
    if (error) {
        part_failed(f, part, error, "find the offset to start at");
    } else if (in->offset >= 0) {
        p->state = PARTITION_FETCHING;
        p->fetch_offset = in->offset;
        if (p->queued_bytes == 0) {
            /* What is queued still comes first, and moves the position itself. */
            p->position = p->done = in->offset;
            p->position_epoch = p->done_epoch = -1;
        }
        p->failures = 0;
    } else if (p->want == LEAT_AT_TIME) {
        p->want = LEAT_LATEST; /* nothing is as young as that */
    } else {
        part_failed(f, part, ERR_MALFORMED, "find the offset to start at");
    }
}

/* What was not answered is asked again. */
static void parts_unanswered(struct fetch_op *op, int error, const leat_error *reason)
{
    struct fetcher *f = op->fetcher;
    gate_enter(f->gate);
    for (uint32_t i = 0; i < op->count; i++) {
        struct fetch_part *part = &op->parts[i];
        if (part->answered || !fetch_wanted(part)) {
            continue;
        }
        if (error == ERR_UNSUPPORTED_VERSION && op->kind == FETCH_EPOCHS) {
            /* An old broker: reading goes on unvalidated. */
            part->partition->state = PARTITION_FETCHING;
            part->partition->validated_epoch = INT32_MAX;
        } else if (error == ERR_UNSUPPORTED_VERSION) {
            fetch_refuse(f, part->partition, reason);
        } else {
            fetch_again(f, part->partition, ERR_NETWORK_EXCEPTION);
        }
    }
    gate_leave(f->gate);
}

static int offsets_read(struct fetch_op *op, struct answer *a)
{
    struct fetcher *f = op->fetcher;
    struct list_offsets_response body;
    struct arena arena;
    uint32_t next = 0;
    arena_init(&arena, f->core->memory, FETCH_ARENA_MAX);
    int error = list_offsets_response_decode(&body, &a->body, a->version, &arena);
    gate_enter(f->gate);
    for (int32_t i = 0; !error && i < body.topics_count; i++) {
        for (int32_t j = 0; j < body.topics[i].partitions_count; j++) {
            const struct list_offsets_response_partitions *in = &body.topics[i].partitions[j];
            struct fetch_part *part =
                fetch_find(op, &next, body.topics[i].name, NULL, in->partition_index);
            if (part) {
                offsets_partition(f, part, in);
            }
        }
    }
    gate_leave(f->gate);
    arena_deinit(&arena);
    return error;
}

static void offsets_done(struct request *r, struct answer *a)
{
    struct fetch_op *op = container_of(r, struct fetch_op, request);
    int error = a->error ? a->error : offsets_read(op, a);
    parts_unanswered(op, error, a->reason);
    fetch_end(op);
}

void fetch_offsets_start(struct fetch_op *op)
{
    static const struct request_kind kind = {WIRE_LIST_OFFSETS, 1, 8};
    op->request.kind = &kind;
    op->request.encode = offsets_encode;
    op->request.done = offsets_done;
}

/* --- leader epochs --- */

static int epochs_fill(struct fetch_op *op, struct offset_for_leader_epoch_request *body,
                       struct arena *arena)
{
    struct offset_for_leader_epoch_request_topics *topics =
        arena_array(arena, op->count, sizeof *topics);
    struct offset_for_leader_epoch_request_partitions *parts =
        arena_array(arena, op->count, sizeof *parts);
    if (!topics || !parts) {
        return ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < op->count; i += topics[body->topics_count - 1].partitions_count) {
        struct offset_for_leader_epoch_request_topics *t = &topics[body->topics_count++];
        offset_for_leader_epoch_request_topics_init(t);
        t->topic = wire_string_of(op->parts[i].partition->meta->name);
        t->partitions = &parts[i];
        t->partitions_count = (int32_t)parts_of_topic(op, i);
    }
    for (uint32_t i = 0; i < op->count; i++) {
        offset_for_leader_epoch_request_partitions_init(&parts[i]);
        parts[i].partition = op->parts[i].partition->partition;
        parts[i].current_leader_epoch = op->parts[i].leader_epoch;
        parts[i].leader_epoch = op->parts[i].epoch;
    }
    body->topics = topics;
    return 0;
}

static int epochs_ask_encode(struct request *r, struct wire_writer *w, int version)
{
    struct fetch_op *op = container_of(r, struct fetch_op, request);
    struct offset_for_leader_epoch_request body;
    struct arena arena;
    offset_for_leader_epoch_request_init(&body);
    arena_init(&arena, op->fetcher->core->memory, FETCH_ARENA_MAX);
    body.replica_id = -1;
    int error = epochs_fill(op, &body, &arena);
    if (!error) {
        error = offset_for_leader_epoch_request_encode(&body, w, version);
    }
    arena_deinit(&arena);
    return error;
}

/* The log of the new leader ends the epoch of our last batch before what we have read: those
 * records are gone from it. With a reset policy reading goes on where the logs part. */
static void epochs_truncated(struct fetcher *f, struct fetch_part *part, int64_t end_offset)
{
    struct consumer_partition *p = part->partition;
    if (f->options->reset != LEAT_RESET_NONE && end_offset >= 0) {
        p->fetch_offset = end_offset;
        return;
    }
    if (partition_reset(p, f->options->reset)) {
        return;
    }
    leat_error e;
    error_set(&e, ERR_OFFSET_OUT_OF_RANGE,
              "%s-%d: the log was cut to offset %lld below %lld, which was read already: seek",
              p->topic, (int)p->partition, (long long)end_offset, (long long)part->offset);
    fetch_refuse(f, p, &e);
}

static void epochs_partition(struct fetcher *f, struct fetch_part *part,
                             const struct offset_for_leader_epoch_response_partitions *in)
{
    struct consumer_partition *p = part->partition;
    int error = error_from_wire(in->error_code);
    if (!fetch_wanted(part)) {
        return;
    }
    if (error) {
        part_failed(f, part, error, "check the position under the new leader");
        return;
    }
    p->state = PARTITION_FETCHING;
    p->validated_epoch = part->leader_epoch;
    p->failures = 0;
    if (in->end_offset < part->offset) {
        epochs_truncated(f, part, in->end_offset);
    }
}

static int epochs_read(struct fetch_op *op, struct answer *a)
{
    struct fetcher *f = op->fetcher;
    struct offset_for_leader_epoch_response body;
    struct arena arena;
    uint32_t next = 0;
    arena_init(&arena, f->core->memory, FETCH_ARENA_MAX);
    int error = offset_for_leader_epoch_response_decode(&body, &a->body, a->version, &arena);
    gate_enter(f->gate);
    for (int32_t i = 0; !error && i < body.topics_count; i++) {
        for (int32_t j = 0; j < body.topics[i].partitions_count; j++) {
            const struct offset_for_leader_epoch_response_partitions *in =
                &body.topics[i].partitions[j];
            struct fetch_part *part =
                fetch_find(op, &next, body.topics[i].topic, NULL, in->partition);
            if (part) {
                epochs_partition(f, part, in);
            }
        }
    }
    gate_leave(f->gate);
    arena_deinit(&arena);
    return error;
}

static void epochs_done(struct request *r, struct answer *a)
{
    struct fetch_op *op = container_of(r, struct fetch_op, request);
    int error = a->error ? a->error : epochs_read(op, a);
    parts_unanswered(op, error, a->reason);
    fetch_end(op);
}

void fetch_epochs_start(struct fetch_op *op)
{
    static const struct request_kind kind = {WIRE_OFFSET_FOR_LEADER_EPOCH, 2, 4};
    op->request.kind = &kind;
    op->request.encode = epochs_ask_encode;
    op->request.done = epochs_done;
}
