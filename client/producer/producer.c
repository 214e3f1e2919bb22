/* SPDX-License-Identifier: Apache-2.0 */

/* The producer's public functions: the caller's side of the accumulator, and waiting. */
#include "core/client.h"
#include "core/options.h"
#include "producer/sender.h"

enum {
    PRODUCER_MAGIC = 0x70726f64,
    HEADERS_MAX = 10000,
};

struct leat_producer {
    struct memory heap; /* holds this struct; inside the gate */
    uint32_t magic;
    leat_client *client;
    leat_producer_options options;
    struct shell_gate gate;
    struct accumulator accumulator;
    struct sender sender; /* the I/O thread's */
    struct shell_task wake, task;
    bool finished;
};

static void producer_wake(struct shell_task *task)
{
    sender_wake(&container_of(task, struct leat_producer, wake)->sender);
}

static void producer_start(struct shell_task *task)
{
    struct leat_producer *p = container_of(task, struct leat_producer, task);
    sender_open(&p->sender, &p->client->core, &p->accumulator, &p->gate.gate, &p->options);
    shell_finish(p->client->shell, &p->finished);
}

static void producer_closed(struct sender *s)
{
    struct leat_producer *p = container_of(s, struct leat_producer, sender);
    shell_finish(p->client->shell, &p->finished);
}

static void producer_stop(struct shell_task *task)
{
    sender_close(&container_of(task, struct leat_producer, task)->sender, producer_closed);
}

int leat_producer_open(leat_producer **out, leat_client *c, const leat_producer_options *options,
                       leat_error *e)
{
    client_check(c);
    leat_producer_options taken;
    int error = producer_options_take(&taken, options, e);
    if (error) {
        return error;
    }
    /* Beside the records: topics, queues, batches and their tags. */
    size_t budget =
        (size_t)taken.buffer_bytes * 2 + ((size_t)taken.reports_max * 16) + (256u << 20);
    struct leat_producer *p = heap_open(sizeof *p, budget);
    if (!p || shell_gate_open(&p->gate, true)) {
        heap_close(p);
        return error_set(e, ERR_NO_MEMORY, "no memory for a producer");
    }
    p->magic = PRODUCER_MAGIC;
    p->client = c;
    p->options = taken;
    accumulator_init(&p->accumulator, &p->gate.gate, &p->heap, &p->options, shell_now,
                     shell_now() ^ (uintptr_t)p);
    p->wake.run = producer_wake;
    p->task.run = producer_start;
    client_add_handle(c, 1);
    shell_call(c->shell, &p->task, &p->finished);
    *out = p;
    return error_clear(e);
}

/* Leaves the gate and wakes the sender if something was put there for it. */
static void producer_leave(struct leat_producer *p)
{
    bool wake = p->accumulator.wake;
    p->accumulator.wake = false;
    gate_leave(&p->gate.gate);
    if (wake) {
        shell_post(p->client->shell, &p->wake);
    }
}

/* Inside the gate: wakes the sender if need be and waits for an announcement. False at the
 * deadline. */
static bool producer_wait(struct leat_producer *p, uint64_t deadline_ns)
{
    if (p->accumulator.wake) {
        p->accumulator.wake = false;
        shell_post(p->client->shell, &p->wake);
    }
    return shell_gate_wait(&p->gate, deadline_ns);
}

static int record_check(const struct leat_producer *p, const leat_record *r, leat_error *e)
{
    if (!r->topic || r->partition < LEAT_PARTITION_ANY || r->timestamp_ms < -1) {
        return error_set(e, ERR_INVALID_ARGUMENT,
                         "a record needs a topic, a partition (or LEAT_PARTITION_ANY: start from "
                         "LEAT_RECORD_INIT) and a time");
    }
    size_t limit = p->options.message_max_bytes;
    bool fits = r->key.len <= limit && r->value.len <= limit && r->header_count <= HEADERS_MAX;
    for (size_t i = 0; fits && i < r->header_count; i++) {
        if (!r->headers[i].name) {
            return error_set(e, ERR_INVALID_ARGUMENT, "a header needs a name");
        }
        fits = r->headers[i].value.len <= limit;
    }
    if (!fits || record_bound(r) + BATCH_HEADER_SIZE > limit) {
        return error_set(e, ERR_MESSAGE_TOO_LARGE,
                         "a record of %zu bytes does not fit into message.max.bytes (%u), which "
                         "counts what is around it as well: raise it, and the topic's "
                         "max.message.bytes if that is smaller",
                         r->key.len + r->value.len, p->options.message_max_bytes);
    }
    return 0;
}

static int producer_full(struct leat_producer *p, const leat_record *r, int code, leat_error *e)
{
    char problem[CLIENT_PROBLEM_SIZE];
    client_problem(p->client, problem);
    if (p->accumulator.starved) {
        return error_set(e, code, "the buffer of %llu bytes is full (buffer.memory)%s",
                         (unsigned long long)p->options.buffer_bytes, problem);
    }
    return error_set(e, code, "topic %.80s is not known yet%s", r->topic, problem);
}

/* Appends inside the gate, waiting for room as long as max_block_ms allows. */
static int producer_append(struct leat_producer *p, const leat_record *r, void *tag,
                           struct producer_batch **batch, leat_error *e)
{
    int64_t now_ms = r->timestamp_ms == LEAT_NOW ? shell_wall_ms() : 0;
    gate_enter(&p->gate.gate);
    int error = accumulator_append(&p->accumulator, r, now_ms, tag, batch, e);
    if (__builtin_expect(error != ERR_BUSY, 1)) {
        return error;
    }
    if (p->options.max_block_ms == 0) {
        return producer_full(p, r, ERR_BUSY, e);
    }
    uint64_t deadline = shell_deadline(p->options.max_block_ms);
    bool in_time = true;
    while (error == ERR_BUSY && in_time) {
        in_time = producer_wait(p, deadline);
        error = accumulator_append(&p->accumulator, r, now_ms, tag, batch, e);
    }
    return error == ERR_BUSY ? producer_full(p, r, ERR_TIMEOUT, e) : error;
}

int leat_produce(leat_producer *p, const leat_record *r, void *tag, leat_error *e)
{
    assert(p->magic == PRODUCER_MAGIC);
    struct producer_batch *batch;
    int error = record_check(p, r, e);
    if (error) {
        return error;
    }
    error = producer_append(p, r, tag, &batch, e);
    producer_leave(p);
    if (error == ERR_NO_MEMORY) {
        return error_set(e, error, "no memory for a record");
    }
    return error ? error : error_clear(e);
}

int leat_produce_wait(leat_producer *p, const leat_record *r, leat_position *position,
                      int timeout_ms, leat_error *e)
{
    assert(p->magic == PRODUCER_MAGIC);
    struct producer_waiter waiter = {0};
    struct producer_batch *batch;
    uint64_t deadline = shell_deadline(timeout_ms);
    int error = record_check(p, r, e);
    if (error) {
        return error;
    }
    error = producer_append(p, r, NULL, &batch, e);
    if (error) {
        producer_leave(p);
        return error;
    }
    int32_t partition = batch->queue->partition;
    waiter.index = batch->record_count - 1;
    waiter.next = batch->waiters;
    batch->waiters = &waiter;
    accumulator_hurry(&p->accumulator, batch);
    bool in_time = true;
    while (!waiter.settled && in_time) {
        in_time = producer_wait(p, deadline);
    }
    if (!waiter.settled) {
        accumulator_forget(batch, &waiter);
        leat_error cause = batch->error;
        producer_leave(p);
        char problem[CLIENT_PROBLEM_SIZE];
        client_problem(p->client, problem);
        return error_set(e, ERR_TIMEOUT, "not acknowledged within %d ms, it may still be%s%s",
                         timeout_ms, cause.code ? ": " : "", cause.code ? cause.message : problem);
    }
    producer_leave(p);
    if (waiter.error.code) {
        return error_copy(e, &waiter.error);
    }
    if (position) {
        *position = (leat_position){partition, waiter.offset};
    }
    return error_clear(e);
}

int leat_reports(leat_producer *p, leat_report *out, size_t max, int timeout_ms)
{
    assert(p->magic == PRODUCER_MAGIC);
    max = max > INT32_MAX ? INT32_MAX : max;
    uint64_t deadline = shell_deadline(timeout_ms);
    gate_enter(&p->gate.gate);
    size_t count = accumulator_reports(&p->accumulator, out, max);
    bool in_time = timeout_ms != 0;
    while (count == 0 && max > 0 && in_time) {
        in_time = producer_wait(p, deadline);
        count = accumulator_reports(&p->accumulator, out, max);
    }
    producer_leave(p);
    return (int)count;
}

/* Whether everything up to `ordinal` is settled. */
static bool producer_flushed(const struct accumulator *a, uint64_t ordinal)
{
    struct list *first = list_first(&a->unsettled);
    return !first || container_of(first, struct producer_batch, age_link)->ordinal > ordinal;
}

int leat_flush(leat_producer *p, int timeout_ms, leat_error *e)
{
    assert(p->magic == PRODUCER_MAGIC);
    struct accumulator *a = &p->accumulator;
    uint64_t deadline = shell_deadline(timeout_ms);
    gate_enter(&p->gate.gate);
    uint64_t ordinal = a->ordinal;
    a->flushing++;
    accumulator_hurry_all(a);
    bool in_time = true;
    while (!producer_flushed(a, ordinal) && in_time) {
        in_time = producer_wait(p, deadline);
    }
    a->flushing--;
    size_t left = producer_flushed(a, ordinal) ? 0 : a->unsettled_records;
    leat_error failure = a->failure;
    if (!left) {
        a->failure.code = 0;
    }
    producer_leave(p);
    if (left) {
        char problem[CLIENT_PROBLEM_SIZE];
        client_problem(p->client, problem);
        error_set(e, ERR_TIMEOUT, "%zu records are not acknowledged after %d ms%s", left,
                  timeout_ms, problem);
        return left > INT32_MAX ? INT32_MAX : (int)left;
    }
    return failure.code ? error_copy(e, &failure) : error_clear(e);
}

int leat_producer_close(leat_producer *p, int timeout_ms, leat_error *e)
{
    if (!p) {
        return error_clear(e);
    }
    int result = leat_flush(p, timeout_ms, e);
    leat_client *c = p->client;
    p->task.run = producer_stop;
    shell_call(c->shell, &p->task, &p->finished);
    accumulator_deinit(&p->accumulator);
    shell_gate_close(&p->gate);
    client_add_handle(c, -1);
    p->magic = 0;
    heap_close(p);
    return result;
}
