/* SPDX-License-Identifier: Apache-2.0 */

/* The sender alone, on one loop, without a broker: outcomes in any order, and its end. */
#include "producer/sender_private.h"

#include <criterion/criterion.h>

struct bench {
    struct gate gate;
    struct memory heap;
    struct io_group *group;
    struct io *io;
    leat_producer_options options;
    struct core core;
    struct accumulator accumulator;
    struct sender sender;
    struct alarm alarm;
    struct io_message message;
    bool sender_closed, core_closed, scheduled;
};

static struct bench *bench; /* what callbacks without context belong to */

static uint64_t bench_clock(void)
{
    return io_now(bench->io);
}

static void sender_closed(struct sender *s)
{
    bench->sender_closed = true;
    bench->scheduled = (s->turn.link.next && !list_empty(&s->turn.link)) ||
                       (s->prepare.link.next && !list_empty(&s->prepare.link));
}

static void core_closed(struct core *core)
{
    bench->core_closed = true;
}

static void bench_open(struct bench *b)
{
    static const struct io_options io_options = {
        .backend = IO_BACKEND_EPOLL, .shards = 1, .workers = 1, .memory_bytes = 64 << 20};
    static const struct address nobody = {"127.0.0.1", 1};
    static const leat_options options = LEAT_OPTIONS_INIT;
    char reason[IO_REASON_SIZE];
    *b = (struct bench){.gate = gate_none(), .options = LEAT_PRODUCER_OPTIONS_INIT};
    bench = b;
    b->options.idempotence = LEAT_IDEMPOTENCE_ON;
    b->options.batch_bytes = 4096;
    b->options.buffer_bytes = 1 << 20;
    memory_init(&b->heap, 64 << 20);
    cr_assert_eq(io_group_open_epoll(&b->group, &io_options, reason), 0, "%s", reason);
    b->io = io_group_shard(b->group, 0);
    cr_assert_eq(core_open(&b->core, b->io, &b->gate, &options, &nobody, 1), 0);
    accumulator_init(&b->accumulator, &b->gate, &b->heap, &b->options, bench_clock, 1);
    sender_open(&b->sender, &b->core, &b->accumulator, &b->gate, &b->options);
}

static void bench_close(struct bench *b)
{
    while (!b->sender_closed) {
        io_run_once(b->io, 100000000);
    }
    core_close(&b->core, core_closed);
    while (!b->core_closed) {
        io_run_once(b->io, 100000000);
    }
    accumulator_deinit(&b->accumulator);
    memory_drop(&b->heap);
    io_group_close(b->group);
}

static int bench_append(struct bench *b)
{
    struct producer_batch *batch;
    leat_error e;
    leat_record r = LEAT_RECORD_INIT;
    r.topic = "bench";
    r.partition = 0;
    r.value = (leat_bytes){"value", 5};
    return accumulator_append(&b->accumulator, &r, 1, NULL, &batch, &e);
}

/* The queue of a topic of one partition, under an id that the broker knows. */
static struct producer_queue *bench_queue(struct bench *b)
{
    bench_open(b);
    cr_assert_eq(bench_append(b), ERR_BUSY);
    struct producer_topic *t =
        container_of(list_pop(&b->accumulator.asking), struct producer_topic, link);
    t->meta = topic_get(&b->core, t->name, false);
    cr_assert_eq(accumulator_topic_known(&b->accumulator, t, 1), 0);
    struct producer_queue *q = t->queues[0];
    q->producer_id = 77;
    q->established = true;
    return q;
}

/* A batch of one record that is in flight, as node_collect() leaves it. */
static struct producer_batch *bench_send(struct bench *b, struct producer_queue *q,
                                         int32_t sequence)
{
    uint64_t due;
    cr_assert_eq(bench_append(b), 0);
    accumulator_hurry_all(&b->accumulator);
    struct producer_batch *batch = accumulator_take(&b->accumulator, q, 0, &due);
    cr_assert_not_null(batch);
    batch->sequenced = batch->in_flight = true;
    batch->producer_id = 77;
    batch->sequence = sequence;
    batch->attempts = 1;
    list_append(&q->in_flight, &batch->link);
    q->in_flight_count++;
    return batch;
}

/* A partition has moved while a batch was at its old leader. The new leader refuses the next batch
 * before the old one has said what became of the first: nothing is lost, both go again in order. */
Test(sender, a_new_leader_answers_before_the_old_one)
{
    static struct bench b;
    leat_error reason;
    struct producer_queue *q = bench_queue(&b);
    struct producer_batch *first = bench_send(&b, q, 0), *second = bench_send(&b, q, 1);
    error_set(&reason, ERR_OUT_OF_ORDER_SEQUENCE, "bench-0: out of order");
    sender_outcome(&b.sender, second, ERR_OUT_OF_ORDER_SEQUENCE, -1, -1, &reason);
    cr_assert_eq(b.accumulator.fatal.code, 0, "%s", b.accumulator.fatal.message);
    error_set(&reason, ERR_NOT_LEADER_OR_FOLLOWER, "bench-0: moved");
    sender_outcome(&b.sender, first, ERR_NOT_LEADER_OR_FOLLOWER, -1, -1, &reason);
    cr_assert_eq(b.accumulator.unsettled_records, 2, "neither is given up");
    cr_assert_eq(q->retry.next, &first->link);
    cr_assert_eq(q->retry.prev, &second->link);
    sender_close(&b.sender, sender_closed);
    bench_close(&b);
}

/* A batch that was refused as out of order is sent again and written, but to too few replicas. When the one in front of
 * it is given up it must not go under a new id: it would be there twice. */
Test(sender, what_was_refused_once_may_be_written_later)
{
    static struct bench b;
    leat_error reason;
    struct producer_queue *q = bench_queue(&b);
    struct producer_batch *first = bench_send(&b, q, 0), *second = bench_send(&b, q, 1);
    error_set(&reason, ERR_OUT_OF_ORDER_SEQUENCE, "bench-0: out of order");
    sender_outcome(&b.sender, second, ERR_OUT_OF_ORDER_SEQUENCE, -1, -1, &reason);
    cr_assert(second->rejected);
    list_remove(&second->link);
    second->in_flight = true;
    second->attempts++;
    q->again_count++;
    list_append(&q->in_flight, &second->link);
    q->in_flight_count++;
    error_set(&reason, ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND, "bench-0: too few");
    sender_outcome(&b.sender, second, ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND, -1, -1, &reason);
    cr_assert_not(second->rejected, "it is uncertain now");
    first->deliver_by_ns = 0;
    sender_outcome(&b.sender, first, ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND, -1, -1, &reason);
    cr_assert(q->broken, "the first has been given up");
    cr_assert(second->sequenced && second->sequence == 1 && second->producer_id == 77);
    sender_close(&b.sender, sender_closed);
    bench_close(&b);
}

static struct producer_batch *bench_next(struct bench *b, struct producer_queue *q)
{
    uint64_t due;
    q->not_before_ns = 0;
    return sender_next(&b->sender, q, 0, &due);
}

/* As when its delivery timeout is over. */
static void bench_give_up(struct bench *b, struct producer_batch *batch)
{
    leat_error reason;
    error_set(&reason, ERR_NETWORK_EXCEPTION, "the connection was closed");
    batch->deliver_by_ns = 0;
    sender_outcome(&b->sender, batch, ERR_NETWORK_EXCEPTION, -1, -1, &reason);
}

/* What is left of a broken queue waits for new numbers, one batch after the other. When the queue breaks once more
 * meanwhile none goes without a number: a broker writes such a batch as often as it comes. */
Test(sender, nothing_goes_without_a_number)
{
    static struct bench b;
    leat_error reason;
    struct producer_queue *q = bench_queue(&b);
    struct producer_batch *batches[3];
    for (int i = 0; i < 3; i++) {
        batches[i] = bench_send(&b, q, i);
    }
    error_set(&reason, ERR_OUT_OF_ORDER_SEQUENCE, "bench-0: out of order");
    sender_outcome(&b.sender, batches[1], ERR_OUT_OF_ORDER_SEQUENCE, -1, -1, &reason);
    sender_outcome(&b.sender, batches[2], ERR_OUT_OF_ORDER_SEQUENCE, -1, -1, &reason);
    bench_give_up(&b, batches[0]);
    cr_assert(q->broken && batches[1]->rejected && batches[2]->rejected);
    b.sender.id_known = true;
    b.sender.producer_id = 78;
    cr_assert_eq(bench_next(&b, q), batches[1]);
    cr_assert(batches[1]->producer_id == 78 && batches[1]->sequence == 0);
    list_append(&q->in_flight, &batches[1]->link);
    batches[1]->in_flight = true;
    batches[1]->attempts++;
    q->in_flight_count++;
    q->again_count++;
    bench_give_up(&b, batches[1]);
    cr_assert(q->broken);
    cr_assert_null(bench_next(&b, q), "it waits for another id");
    cr_assert_eq(batches[2]->link.prev, &q->retry);
    sender_close(&b.sender, sender_closed);
    bench_close(&b);
}

static void bench_alarm(struct alarm *a)
{
}

/* News come, and the sender is closed, in a turn in which an alarm is due. */
static void close_in_turn(struct io_message *m, struct io *io)
{
    struct bench *b = container_of(m, struct bench, message);
    b->sender.member.metadata_changed(&b->sender.member);
    sender_close(&b->sender, sender_closed);
}

/* When closed() is called the producer's memory goes: the loop must not come back to it. */
Test(sender, it_is_in_no_list_when_it_is_closed)
{
    static struct bench b;
    bench_open(&b);
    b.options.idempotence = LEAT_IDEMPOTENCE_OFF;
    call_cancel(&b.sender.id_call);
    while (call_active(&b.sender.id_call)) {
        io_run_once(b.io, 10000000);
    }
    b.alarm.ring = bench_alarm;
    alarm_set(&b.core.alarms, &b.alarm, io_now(b.io) + 1000000);
    io_run_once(b.io, 0);
    while (io_clock(b.io) < b.alarm.node.key) {
    }
    b.message.deliver = close_in_turn;
    io_post(b.io, 0, &b.message);
    bench_close(&b);
    cr_assert(!b.scheduled, "it was about to run once more");
}
