/* SPDX-License-Identifier: Apache-2.0 */

#include "producer/sender_private.h"

#include <stdio.h>

enum {
    UNKNOWN_TOPIC_ANSWERS_MAX = 5, /* before a topic is believed not to exist */
    PREPARED_MAX = 4, /* batches that are compressed ahead at once: an answer waits so long */
};

static void sender_run(struct sender *s);

static bool sender_idempotent(const struct sender *s)
{
    return s->options->idempotence == LEAT_IDEMPOTENCE_ON;
}

/* Runs the sender once at the end of this turn. */
static void sender_soon(struct sender *s)
{
    if (!s->closing) {
        io_turn_end(s->core->io, &s->turn);
    }
}

/* --- who leads what --- */

static struct sender_node *sender_node(struct sender *s, int32_t broker_id)
{
    list_each (node, &s->nodes) {
        struct sender_node *n = container_of(node, struct sender_node, link);
        if (n->broker_id == broker_id) {
            return n;
        }
    }
    struct sender_node *n = memory_alloc(s->core->memory, sizeof *n);
    if (n) {
        *n = (struct sender_node){.sender = s, .broker_id = broker_id};
        list_init(&n->link);
        list_init(&n->queues);
        list_append(&s->nodes, &n->link);
    }
    return n;
}

/* Puts a queue that may have something to send where its leader is served. */
static void sender_home(struct sender *s, struct producer_queue *q)
{
    struct sender_node *n = q->leader >= 0 ? sender_node(s, q->leader) : NULL;
    list_remove(&q->node_link);
    list_append(n ? &n->queues : &s->homeless, &q->node_link);
    if (!n) {
        metadata_refresh(s->core, q->topic->meta);
    }
}

/* Takes over what metadata say of a topic. In the gate. */
static void sender_learn(struct sender *s, struct producer_topic *t)
{
    struct topic *meta = t->meta;
    if (!meta) {
        return;
    }
    if (t->state == TOPIC_ASKING && meta->error) {
        bool unknown = meta->error == ERR_UNKNOWN_TOPIC_OR_PARTITION;
        if (unknown ? meta->failures >= UNKNOWN_TOPIC_ANSWERS_MAX
                    : !error_is_retriable(meta->error)) {
            leat_error e;
            error_set(&e, meta->error,
                      unknown ? "topic %s does not exist: create it (leat topic create %s)"
                              : "topic %s: %s",
                      t->name, unknown ? t->name : error_text(meta->error));
            accumulator_topic_refused(s->accumulator, t, &e);
            meta->failures = 0;
            meta->stale = false;
        }
        return;
    }
    if (meta->error) {
        return;
    }
    if (t->state != TOPIC_KNOWN || meta->partition_count > t->queue_count) {
        if (t->state == TOPIC_REFUSED ||
            accumulator_topic_known(s->accumulator, t, meta->partition_count)) {
            return;
        }
    }
    for (int32_t i = 0; i < t->queue_count; i++) {
        struct producer_queue *q = t->queues[i];
        int32_t leader = i < meta->partition_count ? meta->partitions[i].leader : -1;
        bool moved = q->leader != leader;
        q->leader = leader;
        if (moved && !list_empty(&q->node_link)) {
            sender_home(s, q);
        }
    }
}

static void sender_metadata_changed(struct core_member *m)
{
    struct sender *s = container_of(m, struct sender, member);
    gate_enter(s->gate);
    list_each (node, &s->accumulator->all_topics) {
        sender_learn(s, container_of(node, struct producer_topic, all_link));
    }
    gate_leave(s->gate);
    sender_soon(s);
}

/* Takes what the appending side has left here. */
static void sender_gather(struct sender *s)
{
    struct accumulator *a = s->accumulator;
    struct list *node;
    gate_enter(s->gate);
    while ((node = list_pop(&a->asking))) {
        struct producer_topic *t = container_of(node, struct producer_topic, link);
        if (!t->meta) {
            t->meta = topic_get(s->core, t->name, s->core->options.allow_auto_create);
        } else {
            metadata_refresh(s->core, t->meta);
        }
        if (!t->meta) {
            leat_error e;
            error_set(&e, ERR_INVALID_TOPIC, "'%.60s' cannot be a topic: %s", t->name,
                      error_text(ERR_INVALID_TOPIC));
            accumulator_topic_refused(a, t, &e);
        } else if (!t->meta->error) {
            sender_learn(s, t);
        }
    }
    while ((node = list_pop(&a->active))) {
        struct producer_queue *q = container_of(node, struct producer_queue, active_link);
        if (list_empty(&q->node_link)) {
            sender_home(s, q);
        }
    }
    gate_leave(s->gate);
}

/* --- the producer's id --- */

static int id_encode(struct call *c, struct wire_writer *w, int version)
{
    struct init_producer_id_request body;
    init_producer_id_request_init(&body);
    body.transactional_id = wire_string_null();
    body.transaction_timeout_ms = INT32_MAX;
    return init_producer_id_request_encode(&body, w, version);
}

static int id_decode(struct call *c, struct reader *reader, int version)
{
    struct sender *s = container_of(c, struct sender, id_call);
    struct init_producer_id_response body;
    struct arena arena;
    arena_init(&arena, s->core->memory, 4096);
    int error = init_producer_id_response_decode(&body, reader, version, &arena);
    arena_deinit(&arena);
    error = error ? error : error_from_wire(body.error_code);
    if (!error && (body.producer_id < 0 || body.producer_epoch < 0)) {
        error = ERR_MALFORMED;
    }
    if (!error) {
        s->producer_id = body.producer_id;
        s->producer_epoch = body.producer_epoch;
    }
    return error;
}

static void sender_fatal(struct sender *s, const leat_error *reason);
static void sender_closing(struct sender *s);

static void id_done(struct call *c)
{
    struct sender *s = container_of(c, struct sender, id_call);
    if (s->closing) {
        sender_closing(s);
        return;
    }
    if (!c->error.code) {
        s->id_known = true;
    } else if (!c->error.retriable) {
        sender_fatal(s, &c->error);
    }
    sender_soon(s);
}

static void sender_ask_id(struct sender *s)
{
    static const struct call_kind kind = {
        .request = {WIRE_INIT_PRODUCER_ID, 0, 5},
        .name = "get a producer id",
        .encode = id_encode,
        .decode = id_decode,
        .repeatable = true,
    };
    if (!call_active(&s->id_call) && !s->closing) {
        call_start(&s->id_call, s->core, &kind,
                   core_after_ms(s->core, s->options->delivery_timeout_ms), id_done);
    }
}

/* --- which batch goes next --- */

static int32_t sequence_after(int32_t sequence, int32_t records)
{
    assert(sequence >= 0 && records > 0);
    return sequence > INT32_MAX - records ? records - (INT32_MAX - sequence) - 1
                                          : sequence + records;
}

/* P2: whether it may stand in the log under its number. */
static bool batch_is_uncertain(const struct producer_batch *b)
{
    return b->sequenced && !b->rejected;
}

/* P2: once nothing is uncertain, what is left of a broken queue starts anew under a new id. */
static bool queue_mend(struct sender *s, struct producer_queue *q)
{
    if (q->in_flight_count) {
        return false;
    }
    list_each (node, &q->retry) {
        if (batch_is_uncertain(container_of(node, struct producer_batch, link))) {
            return false;
        }
    }
    if (!s->id_known || s->producer_id == q->producer_id) {
        s->id_known = false;
        sender_ask_id(s);
        return false;
    }
    q->producer_id = s->producer_id;
    q->producer_epoch = s->producer_epoch;
    q->next_sequence = 0;
    q->broken = q->established = false;
    list_each (node, &q->retry) {
        struct producer_batch *b = container_of(node, struct producer_batch, link);
        b->sequenced = b->rejected = false;
    }
    return true;
}

static struct producer_batch *queue_retry(struct producer_queue *q)
{
    list_each (node, &q->retry) {
        struct producer_batch *b = container_of(node, struct producer_batch, link);
        if (!q->broken || batch_is_uncertain(b)) {
            list_remove(&b->link);
            return b;
        }
    }
    return NULL;
}

static void batch_number(struct producer_queue *q, struct producer_batch *b)
{
    if (b->sequenced) {
        return;
    }
    b->sequenced = true;
    b->producer_id = q->producer_id;
    b->producer_epoch = q->producer_epoch;
    b->sequence = q->next_sequence;
    q->next_sequence = sequence_after(q->next_sequence, b->record_count);
}

/* How many batches of a partition may be in flight. */
static unsigned queue_limit(const struct sender *s)
{
    bool several = sender_idempotent(s) || s->options->acks == LEAT_ACKS_NONE;
    return several ? (unsigned)s->options->max_in_flight : 1;
}

struct producer_batch *sender_next(struct sender *s, struct producer_queue *q, uint64_t now,
                                   uint64_t *due_ns)
{
    *due_ns = UINT64_MAX;
    bool idempotent = sender_idempotent(s);
    if (q->in_flight_count >= queue_limit(s) || q->recovering) {
        return NULL;
    }
    if (now < q->not_before_ns) {
        *due_ns = q->not_before_ns;
        return NULL;
    }
    if (idempotent && q->producer_id < 0) {
        if (!s->id_known) {
            sender_ask_id(s);
            return NULL;
        }
        q->producer_id = s->producer_id;
        q->producer_epoch = s->producer_epoch;
    }
    if (q->broken && !queue_mend(s, q)) {
        return queue_retry(q);
    }
    /* P4: the first batch under an id is answered before the second goes. */
    if (idempotent && !q->established && q->in_flight_count) {
        return NULL;
    }
    struct producer_batch *b = queue_retry(q);
    /* P5: nothing new goes while an old one is on its way again. */
    if (!b && !(idempotent && q->again_count)) {
        b = accumulator_take(s->accumulator, q, now, due_ns);
    }
    if (b && idempotent) {
        batch_number(q, b);
    }
    return b;
}

static bool queue_done(const struct producer_queue *q)
{
    return list_empty(&q->retry) && list_empty(&q->ready) && !q->open;
}

/* Fills `out` with at most one batch of each queue of a node. */
static uint32_t node_collect(struct sender *s, struct sender_node *n, uint64_t *due_ns,
                             struct producer_batch *out[static PRODUCE_BATCHES_MAX])
{
    uint32_t count = 0;
    size_t bytes = 0;
    struct list served;
    list_init(&served);
    uint64_t now = io_now(s->core->io);
    gate_enter(s->gate);
    list_each (node, &n->queues) {
        struct producer_queue *q = container_of(node, struct producer_queue, node_link);
        uint64_t due;
        if (count == PRODUCE_BATCHES_MAX || bytes >= PRODUCE_BYTES_MAX) {
            break;
        }
        struct producer_batch *b = sender_next(s, q, now, &due);
        *due_ns = due < *due_ns ? due : *due_ns;
        if (b) {
            assert(list_empty(&b->link));
            list_append(&q->in_flight, &b->link);
            q->in_flight_count++;
            q->again_count += b->attempts > 0;
            b->in_flight = true;
            b->attempts++;
            bytes += b->size;
            out[count++] = b;
        }
        if (queue_done(q)) {
            list_remove(&q->node_link);
        } else if (b) {
            list_remove(&q->node_link);
            list_append(&served, &q->node_link);
        }
    }
    list_splice(&n->queues, &served);
    gate_leave(s->gate);
    return count;
}

/* Compresses what goes next. What fails here is tried again when the batch goes. */
static void node_prepare(struct sender *s, struct sender_node *n)
{
    struct producer_batch *batches[PREPARED_MAX];
    uint32_t count = 0;
    gate_enter(s->gate);
    list_each (node, &n->queues) {
        struct producer_queue *q = container_of(node, struct producer_queue, node_link);
        struct list *first = list_first(&q->ready);
        struct producer_batch *b =
            first && q->in_flight_count ? container_of(first, struct producer_batch, link) : NULL;
        if (count < PREPARED_MAX && b && !b->sealed) {
            batches[count++] = b;
        }
    }
    gate_leave(s->gate);
    for (uint32_t i = 0; i < count; i++) {
        int error = producer_batch_seal(batches[i], &s->packer, -1, -1, -1);
        assert(error || batches[i]->sealed);
    }
}

/* Behind the connections' turn ends, which send: where a partition has one batch in flight, the next
 * one is compressed while the broker works. Else broker and compression would take turns. */
static void sender_prepare(struct io_turn *turn)
{
    struct sender *s = container_of(turn, struct sender, prepare);
    list_each (node, &s->nodes) {
        node_prepare(s, container_of(node, struct sender_node, link));
    }
}

/* Sends what is due to a broker while it has room in flight. */
static void node_serve(struct sender *s, struct sender_node *n, uint64_t *due_ns)
{
    struct producer_batch *batches[PRODUCE_BATCHES_MAX];
    while (n->in_flight < (unsigned)s->options->max_in_flight && !list_empty(&n->queues)) {
        struct connection *c = core_connection(s->core, n->broker_id, s->lane);
        uint32_t count = c ? node_collect(s, n, due_ns, batches) : 0, sealed = 0;
        if (count == 0) {
            return;
        }
        for (uint32_t i = 0; i < count; i++) {
            struct producer_batch *b = batches[i];
            bool numbered = b->sequenced;
            int error =
                producer_batch_seal(b, &s->packer, numbered ? b->producer_id : -1,
                                    numbered ? b->producer_epoch : -1, numbered ? b->sequence : -1);
            if (error) {
                leat_error reason;
                error_set(&reason, error, "a batch cannot be compressed: %s", error_text(error));
                sender_outcome(s, b, error, -1, -1, &reason);
            } else {
                batches[sealed++] = b;
            }
        }
        if (sealed && produce_start(s, n, c, batches, sealed)) {
            leat_error reason;
            error_set(&reason, ERR_NO_MEMORY, "no memory for a request");
            for (uint32_t i = 0; i < sealed; i++) {
                sender_outcome(s, batches[i], ERR_NO_MEMORY, -1, -1, &reason);
            }
        }
    }
}

/* --- what became of a batch --- */

/* `reason` NULL: it is delivered. */
static void sender_settle(struct sender *s, struct producer_batch *b, const leat_error *reason)
{
    memory_free(s->core->memory, b->packed);
    b->packed = NULL;
    gate_enter(s->gate);
    b->error = reason ? *reason : (leat_error){0};
    accumulator_settle(s->accumulator, b);
    gate_leave(s->gate);
}

/* Whether no batch of the queue carries a later sequence number than `b`. */
static bool batch_is_last(const struct producer_batch *b)
{
    const struct producer_queue *q = b->queue;
    if (q->in_flight_count || q->broken) {
        return false;
    }
    list_each (node, &q->retry) {
        if (container_of(node, struct producer_batch, link)->sequenced) {
            return false;
        }
    }
    return true;
}

/* Gives a batch up: it is in no list but the accumulator's. `refused`: the broker has not written
 * it, and says so. */
static void sender_give_up(struct sender *s, struct producer_batch *b, bool refused,
                           const leat_error *reason)
{
    if (b->sequenced && refused && b->attempts == 1 && batch_is_last(b)) {
        b->queue->next_sequence = b->sequence;
    } else if (b->sequenced) {
        b->queue->broken = true;
    }
    sender_settle(s, b, reason);
}

static void queue_insert_retry(struct producer_queue *q, struct producer_batch *b)
{
    struct list *before = &q->retry;
    list_each (node, &q->retry) {
        if (container_of(node, struct producer_batch, link)->ordinal > b->ordinal) {
            before = node;
            break;
        }
    }
    list_append(before, &b->link); /* in front of `before` */
}

/* How long it has really been tried, and whose acknowledgement was waited for. */
static void sender_late(const struct sender *s, const struct producer_batch *b, const char *reason,
                        leat_error *e)
{
    const struct producer_queue *q = b->queue;
    uint64_t limit_ns = (uint64_t)s->options->delivery_timeout_ms * 1000000;
    uint64_t passed_ms = (io_now(s->core->io) - (b->deliver_by_ns - limit_ns)) / 1000000;
    char leader[32] = "has no leader";
    if (q->leader >= 0) {
        snprintf(leader, sizeof leader, "is led by broker %d", (int)q->leader);
    }
    error_set(e, ERR_TIMEOUT, "not delivered within %llu ms: %.50s-%d %s: %.100s",
              (unsigned long long)passed_ms, q->topic->meta->name, (int)q->partition, leader,
              reason);
}

/* What keeps records from being taken, though the broker answers, is told by leat_problem() until one is taken. */
static void sender_problem(struct sender *s, const leat_error *reason)
{
    gate_enter(s->core->gate);
    s->core->problem = *reason;
    gate_leave(s->core->gate);
    s->problem = reason->code;
}

static void sender_problem_over(struct sender *s)
{
    if (s->problem && s->problem == s->core->problem.code) {
        gate_enter(s->core->gate);
        error_clear(&s->core->problem);
        gate_leave(s->core->gate);
    }
    s->problem = 0;
}

static void sender_retry(struct sender *s, struct producer_batch *b, const leat_error *reason)
{
    struct producer_queue *q = b->queue;
    struct core *core = s->core;
    gate_enter(s->gate); /* who waits for the batch may be reading it */
    b->error = *reason;
    gate_leave(s->gate);
    if (!core_error_is_stale(reason->code) || reason->code == ERR_KAFKA_STORAGE_ERROR) {
        sender_problem(s, reason);
    }
    if (io_now(core->io) >= b->deliver_by_ns) {
        leat_error e;
        sender_late(s, b, reason->message, &e);
        sender_give_up(s, b, false, &e);
        return;
    }
    queue_insert_retry(q, b);
    q->recovering = q->in_flight_count > 0;
    uint64_t wait = core_backoff(core, q->failures++, core->options.retry_backoff_ms,
                                 core->options.retry_backoff_max_ms);
    q->not_before_ns = io_now(core->io) + wait;
    if (core_error_is_stale(reason->code)) {
        metadata_refresh(core, q->topic->meta);
    }
    if (list_empty(&q->node_link)) {
        sender_home(s, q);
    }
}

/* Whether a list that is in the order of the batches begins with one that stands in front of `b`. */
static bool batch_is_behind(const struct producer_batch *b, const struct list *list)
{
    const struct list *first = list_first(list);
    return first && container_of(first, struct producer_batch, link)->ordinal < b->ordinal;
}

/* P3 and its kin: what the broker says about ids and sequence numbers. True when it was that. */
static bool sender_sequence_error(struct sender *s, struct producer_batch *b, int error,
                                  const leat_error *reason)
{
    struct producer_queue *q = b->queue;
    if (!sender_idempotent(s)) {
        return false;
    }
    bool behind = batch_is_behind(b, &q->retry) || batch_is_behind(b, &q->in_flight);
    switch (error) {
    case ERR_OUT_OF_ORDER_SEQUENCE:
        if (behind || q->broken) {
            b->rejected = true;
            sender_retry(s, b, reason);
            return true;
        }
        break;
    case ERR_UNKNOWN_PRODUCER_ID:
        q->broken = b->rejected = true;
        sender_retry(s, b, reason);
        return true;
    case ERR_INVALID_PRODUCER_EPOCH:
    case ERR_PRODUCER_FENCED:
        break;
    default:
        return false;
    }
    leat_error e;
    error_set(&e, error,
              "%.150s: the broker lost acknowledged records or another producer took over",
              reason->message);
    sender_give_up(s, b, false, &e);
    sender_fatal(s, &e);
    return true;
}

void sender_outcome(struct sender *s, struct producer_batch *b, int error, int64_t base_offset,
                    int64_t timestamp, const leat_error *reason)
{
    struct producer_queue *q = b->queue;
    assert(b->in_flight && q->in_flight_count > 0);
    list_remove(&b->link);
    b->in_flight = b->rejected = false; /* what was refused once may have been written since */
    q->in_flight_count--;
    q->again_count -= b->attempts > 1;
    if (q->in_flight_count == 0) {
        q->recovering = false;
    }
    if (!error || error == ERR_DUPLICATE_SEQUENCE) {
        sender_problem_over(s);
        b->base_offset = error ? -1 : base_offset;
        b->timestamp = timestamp;
        q->established = true;
        q->failures = 0;
        q->not_before_ns = 0;
        sender_settle(s, b, NULL);
        return;
    }
    if (s->closing || s->accumulator->fatal.code) {
        sender_give_up(s, b, false, s->closing ? reason : &s->accumulator->fatal);
    } else if (sender_sequence_error(s, b, error, reason)) {
        return;
    } else if (error_is_retriable(error)) {
        sender_retry(s, b, reason);
    } else {
        sender_give_up(s, b, true, reason);
    }
}

void sender_request_done(struct sender *s, struct sender_node *n)
{
    assert(n->in_flight > 0 && s->requests > 0);
    n->in_flight--;
    s->requests--;
    if (s->closing) {
        sender_closing(s);
    } else {
        sender_soon(s);
    }
}

/* Gives up every batch that is not in flight and whose time is over (all: every one). Returns when
 * the next one's time comes. */
static uint64_t sender_expire(struct sender *s, bool all, const leat_error *why)
{
    uint64_t now = io_now(s->core->io);
    for (;;) {
        struct producer_batch *b = NULL;
        gate_enter(s->gate);
        list_each (node, &s->accumulator->unsettled) {
            struct producer_batch *at = container_of(node, struct producer_batch, age_link);
            if (!at->in_flight && at->record_count > 0) {
                b = at;
                break;
            }
        }
        if (b && !all && b->deliver_by_ns > now) {
            gate_leave(s->gate);
            return b->deliver_by_ns;
        }
        if (b && b->queue->open == b) {
            b->queue->open = NULL;
        } else if (b) {
            list_remove(&b->link);
        }
        gate_leave(s->gate);
        if (!b) {
            return UINT64_MAX;
        }
        leat_error e;
        if (all) {
            e = *why;
        } else {
            sender_late(s, b,
                        b->error.code           ? b->error.message
                        : s->core->problem.code ? s->core->problem.message
                                                : "nobody has been asked to take it",
                        &e);
        }
        sender_give_up(s, b, false, &e);
    }
}

static void sender_fatal(struct sender *s, const leat_error *reason)
{
    gate_enter(s->gate);
    s->accumulator->fatal = *reason;
    s->accumulator->fatal.fatal = true;
    gate_announce(s->gate);
    gate_leave(s->gate);
    sender_soon(s);
}

/* --- in turn --- */

static void sender_run(struct sender *s)
{
    if (s->closing) {
        return;
    }
    sender_gather(s);
    uint64_t due = sender_expire(s, s->accumulator->fatal.code != 0, &s->accumulator->fatal);
    list_each (node, &s->nodes) {
        node_serve(s, container_of(node, struct sender_node, link), &due);
    }
    if (due != UINT64_MAX) {
        alarm_set(&s->core->alarms, &s->alarm, due);
    }
    if (s->options->compression != LEAT_COMPRESSION_NONE && queue_limit(s) == 1) {
        io_turn_end(s->core->io, &s->prepare);
    }
}

static void sender_turn_end(struct io_turn *turn)
{
    sender_run(container_of(turn, struct sender, turn));
}

/* After closing began: lets go of everything once no request is in flight. */
static void sender_closed(struct sender *s)
{
    leat_error e;
    struct list *node;
    error_set(&e, ERR_CLOSED, "the producer was closed before it was delivered");
    (void)sender_expire(s, true, &e);
    core_leave(s->core, &s->member);
    gate_enter(s->gate);
    list_each (at, &s->accumulator->all_topics) {
        struct producer_topic *t = container_of(at, struct producer_topic, all_link);
        if (t->meta) {
            topic_put(s->core, t->meta);
            t->meta = NULL;
        }
    }
    gate_leave(s->gate);
    codec_kept_free(&s->packer.kept);
    while ((node = list_pop(&s->nodes))) {
        memory_free(s->core->memory, container_of(node, struct sender_node, link));
    }
    s->closed(s);
}

static void sender_alarm(struct alarm *a)
{
    struct sender *s = container_of(a, struct sender, alarm);
    if (s->closing) {
        sender_closed(s);
    } else {
        sender_run(s);
    }
}

static void sender_closing(struct sender *s)
{
    assert(s->closing);
    if (s->requests == 0 && !call_active(&s->id_call)) {
        /* In a later turn, at whose beginning nothing of the sender is scheduled any more: then the
         * memory may go. */
        alarm_set(&s->core->alarms, &s->alarm, io_now(s->core->io) + 1);
    }
}

void sender_open(struct sender *s, struct core *core, struct accumulator *a, struct gate *gate,
                 const leat_producer_options *options)
{
    *s = (struct sender){.core = core, .accumulator = a, .gate = gate, .options = options};
    s->lane = core_lane(core);
    s->packer = (struct batch_packer){.codec = (enum codec)options->compression,
                                      .level = options->compression_level,
                                      .memory = core->memory};
    list_init(&s->nodes);
    list_init(&s->homeless);
    s->member.metadata_changed = sender_metadata_changed;
    s->alarm.ring = sender_alarm;
    s->turn.turn_end = sender_turn_end;
    s->prepare.turn_end = sender_prepare;
    core_join(core, &s->member);
    if (sender_idempotent(s)) {
        sender_ask_id(s);
    }
}

void sender_wake(struct sender *s)
{
    if (!s->closing) {
        sender_run(s);
    }
}

void sender_close(struct sender *s, void (*closed)(struct sender *s))
{
    assert(!s->closing);
    s->closing = true;
    s->closed = closed;
    core_lane_drop(s->core, s->lane);
    call_cancel(&s->id_call);
    alarm_clear(&s->core->alarms, &s->alarm);
    sender_closing(s);
}
