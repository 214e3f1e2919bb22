/* SPDX-License-Identifier: Apache-2.0 */

#include "consumer/fetcher_private.h"

#include <string.h>

static void fetcher_soon(struct fetcher *f)
{
    if (!f->closing) {
        io_turn_end(f->core->io, &f->turn);
    }
}

static struct fetcher_node *fetcher_node(struct fetcher *f, int32_t broker_id)
{
    list_each (node, &f->nodes) {
        struct fetcher_node *n = container_of(node, struct fetcher_node, link);
        if (n->broker_id == broker_id) {
            return n;
        }
    }
    struct fetcher_node *n = memory_alloc(f->core->memory, sizeof *n);
    if (n) {
        n->broker_id = broker_id;
        list_init(&n->link);
        for (int kind = 0; kind < FETCH_KINDS; kind++) {
            list_init(&n->due[kind]);
        }
        list_append(&f->nodes, &n->link);
    }
    return n;
}

/* --- partitions and chunks: in the gate --- */

void partition_start(struct consumer_partition *p, int64_t offset, int64_t timestamp_ms)
{
    p->generation++;
    p->position = offset;
    p->done = offset >= 0 ? offset : -1;
    p->position_epoch = p->done_epoch = -1;
    p->fetched_epoch = p->validated_epoch = -1;
    p->failures = 0;
    p->not_before_ns = 0;
    if (offset >= 0) {
        p->state = PARTITION_FETCHING;
        p->fetch_offset = offset;
    } else if (offset == LEAT_COMMITTED) {
        p->state = PARTITION_COMMITTED;
        p->asked = false;
    } else {
        p->state = PARTITION_RESOLVING;
        p->want = offset;
        p->timestamp_ms = timestamp_ms;
    }
}

bool partition_reset(struct consumer_partition *p, int32_t reset)
{
    if (reset == LEAT_RESET_NONE) {
        return false;
    }
    p->state = PARTITION_RESOLVING;
    p->want = reset == LEAT_RESET_EARLIEST ? LEAT_EARLIEST : LEAT_LATEST;
    return true;
}

struct consumer_partition *partition_new(struct memory *heap, const char *topic, int32_t partition,
                                         int64_t offset, int64_t timestamp_ms)
{
    size_t size = strlen(topic) + 1;
    struct consumer_partition *p = memory_alloc(heap, sizeof *p + size);
    if (p) {
        memcpy(p->topic, topic, size);
        p->partition = partition;
        p->committed = p->nearest = -1;
        list_init(&p->link);
        list_init(&p->node_link);
        partition_start(p, offset, timestamp_ms);
    }
    return p;
}

int partition_compare(const struct consumer_partition *a, const struct consumer_partition *b)
{
    int order = strcmp(a->topic, b->topic);
    return order ? order : (a->partition > b->partition) - (a->partition < b->partition);
}

void fetcher_add(struct fetcher *f, struct consumer_partition *const *parts, size_t count)
{
    struct list *at = f->assigned.next;
    for (size_t i = 0; i < count; i++) {
        while (at != &f->assigned &&
               partition_compare(container_of(at, struct consumer_partition, link), parts[i]) < 0) {
            at = at->next;
        }
        list_append(at, &parts[i]->link); /* in front of it */
        f->assigned_count++;
    }
}

void fetcher_drop(struct fetcher *f, struct consumer_partition *p)
{
    list_each (node, &f->chunks) {
        struct chunk *c = container_of(node, struct chunk, link);
        if (c->partition == p) {
            list_remove(&c->link);
            (void)chunk_return(f, c);
        }
    }
}

void fetcher_remove(struct fetcher *f, struct consumer_partition *p)
{
    assert(!p->removed && f->assigned_count > 0);
    fetcher_drop(f, p);
    p->removed = true;
    f->assigned_count--;
    list_remove(&p->link);
    list_append(&f->retired, &p->link);
}

struct consumer_partition *fetcher_find(const struct fetcher *f, const char *topic,
                                        int32_t partition)
{
    list_each (node, &f->assigned) {
        struct consumer_partition *p = container_of(node, struct consumer_partition, link);
        if (p->partition == partition && strcmp(p->topic, topic) == 0) {
            return p;
        }
    }
    return NULL;
}

int fetch_queue(struct fetcher *f, struct consumer_partition *p, const struct chunk *from)
{
    struct chunk *c = memory_alloc(f->heap, sizeof *c + from->aborted_count * sizeof *c->aborted);
    if (!c) {
        return ERR_NO_MEMORY;
    }
    *c = *from;
    c->partition = p;
    c->aborted = (struct aborted *)(c + 1);
    if (c->aborted_count) {
        memcpy(c->aborted, from->aborted, c->aborted_count * sizeof *c->aborted);
    }
    if (c->fetched) {
        c->fetched->references++;
    }
    p->references++;
    p->queued_bytes += c->data.size;
    f->queued_bytes += c->data.size;
    list_init(&c->link);
    list_append(&f->chunks, &c->link);
    f->arrived(f);
    return 0;
}

bool chunk_return(struct fetcher *f, struct chunk *c)
{
    struct consumer_partition *p = c->partition;
    assert(p->references > 0);
    assert(p->queued_bytes >= c->data.size && f->queued_bytes >= c->data.size);
    p->references--;
    p->queued_bytes -= c->data.size;
    f->queued_bytes -= c->data.size;
    bool wake = p->queued_bytes == 0;
    if (c->fetched && --c->fetched->references == 0) {
        list_append(&f->returned, &c->fetched->link);
        wake = true;
    }
    memory_free(f->heap, c);
    return wake;
}

void fetch_refuse(struct fetcher *f, struct consumer_partition *p, const leat_error *error)
{
    struct chunk refusal = {.error = *error};
    p->paused = true;
    if (fetch_queue(f, p, &refusal)) {
        p->paused = false;
        fetch_again(f, p, ERR_NO_MEMORY);
    }
}

void fetch_again(struct fetcher *f, struct consumer_partition *p, int error)
{
    struct core *core = f->core;
    p->not_before_ns =
        io_now(core->io) + core_backoff(core, p->failures++, core->options.retry_backoff_ms,
                                        core->options.retry_backoff_max_ms);
    if (core_error_is_stale(error)) {
        metadata_refresh(core, p->meta);
    }
}

/* Frees what nobody refers to any more. */
static void fetcher_sweep(struct fetcher *f)
{
    struct list *node;
    while ((node = list_pop(&f->returned))) {
        struct fetched *fetched = container_of(node, struct fetched, link);
        core_frame_free(f->core, fetched->frame);
        memory_free(f->core->memory, fetched);
    }
    list_each (at, &f->retired) {
        struct consumer_partition *p = container_of(at, struct consumer_partition, link);
        if (p->references == 0) {
            assert(!p->in_flight);
            if (p->meta) {
                topic_put(f->core, p->meta);
            }
            list_remove(&p->link);
            memory_free(f->heap, p);
        }
    }
}

/* --- what is to be asked --- */

/* How much of one partition may be queued before it is no longer fetched. */
static uint64_t fetcher_partition_bytes(const struct fetcher *f)
{
    uint64_t share = f->options->buffer_bytes / (f->assigned_count ? f->assigned_count : 1);
    uint64_t most = (uint64_t)f->options->partition_fetch_bytes * 4;
    return share < most ? share : most;
}

/* The partition's leader and epoch; false while that is not known, with an error queued if it will
 * not be. */
static bool leader_of(struct fetcher *f, struct consumer_partition *p, int32_t *leader,
                      int32_t *epoch)
{
    leat_error e;
    p->meta = p->meta ? p->meta : topic_get(f->core, p->topic, false);
    const struct topic *t = p->meta;
    if (!t) {
        error_set(&e, ERR_INVALID_TOPIC, "'%.60s' cannot be a topic: %s", p->topic,
                  error_text(ERR_INVALID_TOPIC));
        fetch_refuse(f, p, &e);
        return false;
    }
    if (t->error) {
        bool unknown = t->error == ERR_UNKNOWN_TOPIC_OR_PARTITION;
        if (unknown ? t->failures >= UNKNOWN_TOPIC_ANSWERS_MAX : !error_is_retriable(t->error)) {
            error_set(&e, t->error, unknown ? "topic %s does not exist" : "topic %s: %s", p->topic,
                      error_text(t->error));
            fetch_refuse(f, p, &e);
        }
        return false;
    }
    if (p->partition >= t->partition_count) {
        error_set(&e, ERR_UNKNOWN_TOPIC_OR_PARTITION,
                  "topic %s has no partition %d: its last partition is %d", p->topic,
                  (int)p->partition, (int)t->partition_count - 1);
        fetch_refuse(f, p, &e);
        return false;
    }
    *leader = t->partitions[p->partition].leader;
    *epoch = t->partitions[p->partition].leader_epoch;
    if (*leader < 0) {
        metadata_refresh(f->core, p->meta);
    }
    return *leader >= 0;
}

/* Where records are fetched from: the replica that the leader named, for as long as that holds. */
static int32_t partition_source(struct fetcher *f, struct consumer_partition *p, int32_t leader)
{
    if (p->nearest >= 0 &&
        (io_now(f->core->io) >= p->nearest_end_ns || !metadata_broker(f->core, p->nearest))) {
        p->nearest = -1;
    }
    return p->nearest >= 0 ? p->nearest : leader;
}

/* Puts a partition where its next request is put together, if it needs one now. */
static void partition_plan(struct fetcher *f, struct consumer_partition *p, uint64_t *due_ns)
{
    int32_t leader, epoch;
    if (p->in_flight || p->paused || p->revoking || p->state == PARTITION_COMMITTED) {
        return;
    }
    if (io_now(f->core->io) < p->not_before_ns) {
        *due_ns = p->not_before_ns < *due_ns ? p->not_before_ns : *due_ns;
        return;
    }
    if (!leader_of(f, p, &leader, &epoch)) {
        return;
    }
    /* KIP-320: under a new leader, what was read last must be in the new leader's log too. */
    if (p->state == PARTITION_FETCHING && p->fetched_epoch >= 0 && epoch > p->validated_epoch) {
        p->state = PARTITION_VALIDATING;
    }
    enum fetch_kind kind = p->state == PARTITION_RESOLVING    ? FETCH_OFFSETS
                           : p->state == PARTITION_VALIDATING ? FETCH_EPOCHS
                                                              : FETCH_RECORDS;
    struct fetcher_node *n =
        fetcher_node(f, kind == FETCH_RECORDS ? partition_source(f, p, leader) : leader);
    if (!n) {
        fetch_again(f, p, ERR_NO_MEMORY);
        return;
    }
    if (kind == FETCH_RECORDS && p->queued_bytes >= fetcher_partition_bytes(f)) {
        n->left_out = true;
        return;
    }
    if (!n->busy[kind] && n->due_count[kind] < FETCH_PARTITIONS_MAX) {
        list_append(&n->due[kind], &p->node_link);
        n->due_count[kind]++;
    }
}

static struct fetch_op *fetch_op_new(struct fetcher *f, struct fetcher_node *n,
                                     enum fetch_kind kind)
{
    uint32_t count = n->due_count[kind];
    struct fetch_op *op = memory_alloc(f->core->memory, sizeof *op + count * sizeof *op->parts);
    struct list *node;
    n->due_count[kind] = 0;
    while ((node = list_pop(&n->due[kind]))) {
        struct consumer_partition *p = container_of(node, struct consumer_partition, node_link);
        if (!op) {
            fetch_again(f, p, ERR_NO_MEMORY);
            continue;
        }
        p->in_flight = true;
        p->references++;
        op->parts[op->count++] = (struct fetch_part){
            .partition = p,
            .generation = p->generation,
            .leader_epoch = p->meta->partitions[p->partition].leader_epoch,
            .offset = p->fetch_offset,
            .timestamp = p->want == LEAT_AT_TIME ? p->timestamp_ms : p->want,
            .epoch = p->fetched_epoch,
        };
    }
    if (op) {
        op->fetcher = f;
        op->node = n;
        op->kind = kind;
        op->wait_ms = f->options->fetch_max_wait_ms;
        if (n->left_out && op->wait_ms > FETCH_SHORT_WAIT_MS) {
            op->wait_ms = FETCH_SHORT_WAIT_MS;
        }
    }
    return op;
}

static void fetch_op_submit(struct fetch_op *op)
{
    struct fetcher *f = op->fetcher;
    bool records = op->kind == FETCH_RECORDS;
    struct connection *c = core_connection(f->core, op->node->broker_id, records ? f->lane : 0);
    f->requests++;
    list_init(&op->link);
    list_append(&f->ops, &op->link);
    op->node->busy[op->kind] = true;
    if (!c) {
        gate_enter(f->gate);
        for (uint32_t i = 0; i < op->count; i++) {
            fetch_again(f, op->parts[i].partition, ERR_LEADER_NOT_AVAILABLE);
        }
        gate_leave(f->gate);
        fetch_end(op);
        return;
    }
    op->request.deadline_ns = records
                                  ? core_after_ms(f->core, (int64_t)op->wait_ms + FETCH_GRACE_MS)
                                  : core_after_ms(f->core, f->core->options.request_timeout_ms);
    op->request.wait_ms = records ? op->wait_ms : 0;
    if (records) {
        fetch_records_start(op);
    } else if (op->kind == FETCH_OFFSETS) {
        fetch_offsets_start(op);
    } else {
        fetch_epochs_start(op);
    }
    connection_submit(c, &op->request);
}

static void fetcher_run(struct fetcher *f)
{
    uint64_t due = UINT64_MAX;
    if (f->closing) {
        return;
    }
    gate_enter(f->gate);
    if (f->interrupt) {
        f->interrupt = false;
        core_lane_drop(f->core, f->lane);
    }
    fetcher_sweep(f);
    list_each (node, &f->nodes) {
        container_of(node, struct fetcher_node, link)->left_out = false;
    }
    list_each (node, &f->assigned) {
        partition_plan(f, container_of(node, struct consumer_partition, link), &due);
    }
    bool full = f->queued_bytes >= f->options->buffer_bytes;
    gate_leave(f->gate);
    list_each (node, &f->nodes) {
        struct fetcher_node *n = container_of(node, struct fetcher_node, link);
        for (enum fetch_kind kind = 0; kind < FETCH_KINDS; kind++) {
            if (list_empty(&n->due[kind])) {
                continue;
            }
            if (kind == FETCH_RECORDS && full) {
                while (list_pop(&n->due[kind])) {
                }
                n->due_count[kind] = 0;
                continue;
            }
            gate_enter(f->gate);
            struct fetch_op *op = fetch_op_new(f, n, kind);
            gate_leave(f->gate);
            if (op) {
                fetch_op_submit(op);
            }
        }
    }
    if (due != UINT64_MAX) {
        alarm_set(&f->core->alarms, &f->alarm, due);
    }
}

/* --- for the requests --- */

struct fetch_part *fetch_find(struct fetch_op *op, uint32_t *next, struct wire_string name,
                              const struct uuid *id, int32_t partition)
{
    for (uint32_t i = 0; i < op->count; i++) {
        uint32_t at = (*next + i) % op->count;
        struct fetch_part *part = &op->parts[at];
        const struct topic *t = part->partition->meta;
        if (part->answered || part->partition->partition != partition) {
            continue;
        }
        if (id ? uuid_equal(*id, t->id) : wire_string_equal(name, wire_string_of(t->name))) {
            part->answered = true;
            *next = at + 1;
            return part;
        }
    }
    return NULL;
}

bool fetch_wanted(const struct fetch_part *part)
{
    const struct consumer_partition *p = part->partition;
    return !p->removed && !p->revoking && p->generation == part->generation;
}

static void fetcher_closing(struct fetcher *f)
{
    if (f->closing && f->requests == 0) {
        alarm_set(&f->core->alarms, &f->alarm, io_now(f->core->io));
    }
}

void fetch_end(struct fetch_op *op)
{
    struct fetcher *f = op->fetcher;
    gate_enter(f->gate);
    for (uint32_t i = 0; i < op->count; i++) {
        struct consumer_partition *p = op->parts[i].partition;
        assert(p->in_flight && p->references > 0);
        p->in_flight = false;
        p->references--;
    }
    gate_leave(f->gate);
    assert(f->requests > 0);
    f->requests--;
    op->node->busy[op->kind] = false;
    list_remove(&op->link);
    memory_free(f->core->memory, op);
    fetcher_closing(f);
    fetcher_soon(f);
}

/* --- life --- */

static void fetcher_metadata_changed(struct core_member *m)
{
    fetcher_soon(container_of(m, struct fetcher, member));
}

static void fetcher_closed(struct fetcher *f)
{
    struct list *node;
    gate_enter(f->gate);
    while ((node = list_pop(&f->chunks))) {
        (void)chunk_return(f, container_of(node, struct chunk, link));
    }
    while ((node = list_first(&f->assigned))) {
        fetcher_remove(f, container_of(node, struct consumer_partition, link));
    }
    fetcher_sweep(f);
    assert(list_empty(&f->retired));
    gate_leave(f->gate);
    while ((node = list_pop(&f->nodes))) {
        memory_free(f->core->memory, container_of(node, struct fetcher_node, link));
    }
    core_leave(f->core, &f->member);
    f->closed(f);
}

static void fetcher_turn_end(struct io_turn *turn)
{
    struct fetcher *f = container_of(turn, struct fetcher, turn);
    if (f->ending) {
        fetcher_closed(f);
    } else {
        fetcher_run(f);
    }
}

static void fetcher_alarm(struct alarm *a)
{
    struct fetcher *f = container_of(a, struct fetcher, alarm);
    if (f->closing) {
        /* At the end of the turn, when it is not scheduled any more: then the memory may go. */
        f->ending = true;
        io_turn_end(f->core->io, &f->turn);
    } else {
        fetcher_run(f);
    }
}

void fetcher_open(struct fetcher *f, struct core *core, struct gate *gate, struct memory *heap,
                  const leat_consumer_options *options, void (*arrived)(struct fetcher *f))
{
    *f = (struct fetcher){
        .core = core, .gate = gate, .heap = heap, .options = options, .arrived = arrived};
    f->lane = core_lane(core);
    f->member.metadata_changed = fetcher_metadata_changed;
    f->alarm.ring = fetcher_alarm;
    f->turn.turn_end = fetcher_turn_end;
    list_init(&f->nodes);
    list_init(&f->ops);
    list_init(&f->assigned);
    list_init(&f->retired);
    list_init(&f->chunks);
    list_init(&f->returned);
    core_join(core, &f->member);
}

void fetcher_wake(struct fetcher *f)
{
    fetcher_run(f);
}

void fetcher_close(struct fetcher *f, void (*closed)(struct fetcher *f))
{
    assert(!f->closing);
    f->closing = true;
    f->closed = closed;
    alarm_clear(&f->core->alarms, &f->alarm);
    core_lane_drop(f->core, f->lane);
    /* What waits in everybody's lane is not waited for. */
    list_each (node, &f->ops) {
        struct fetch_op *op = container_of(node, struct fetch_op, link);
        if (connection_take_back(&op->request)) {
            leat_error reason;
            struct answer a = {.error = error_set(&reason, ERR_CLOSED, "the consumer was closed"),
                               .reason = &reason};
            op->request.done(&op->request, &a);
        }
    }
    fetcher_closing(f);
}
