/* SPDX-License-Identifier: Apache-2.0 */

/* The core needs no shell: producer and core on one loop and one thread, as in the simulator. */
#include "fake_broker.h"

#include "producer/sender.h"

#include <stdio.h>

#include <criterion/criterion.h>

static struct io *single_io;
static bool single_closed;

static uint64_t single_clock(void)
{
    return io_now(single_io);
}

static void sender_closed(struct sender *s)
{
    single_closed = true;
}

static void core_closed(struct core *core)
{
    single_closed = true;
}

static void run_until_closed(void)
{
    while (!single_closed) {
        io_run_once(single_io, 100000000);
    }
    single_closed = false;
}

Test(single, a_producer_runs_without_threads)
{
    uint16_t port;
    struct fake_broker *broker = fake_broker_start(&port, 2, 5);
    struct io_options io_options = {
        .backend = IO_BACKEND_EPOLL, .shards = 1, .workers = 1, .memory_bytes = 256 << 20};
    struct io_group *group;
    char reason[IO_REASON_SIZE];
    leat_options options = LEAT_OPTIONS_INIT;
    leat_producer_options producer = LEAT_PRODUCER_OPTIONS_INIT;
    struct address address = {"127.0.0.1", port};
    struct gate gate = gate_none();
    struct memory heap;
    static struct core core;
    static struct sender sender;
    static struct accumulator accumulator;
    producer.idempotence = LEAT_IDEMPOTENCE_ON;
    producer.batch_bytes = 2048;
    producer.buffer_bytes = 65536;
    memory_init(&heap, 64 << 20);
    cr_assert_eq(io_group_open_epoll(&group, &io_options, reason), 0, "%s", reason);
    single_io = io_group_shard(group, 0);
    const struct fake_faults faults = {.drop_before = 30, .drop_after = 30, .retriable = 50};
    fake_broker_faults(broker, &faults);
    cr_assert_eq(core_open(&core, single_io, &gate, &options, &address, 1), 0);
    accumulator_init(&accumulator, &gate, &heap, &producer, single_clock, 1);
    sender_open(&sender, &core, &accumulator, &gate, &producer);

    for (int i = 0; i < 5000;) {
        struct producer_batch *batch;
        leat_error e;
        leat_record r = LEAT_RECORD_INIT;
        char value[32];
        r.topic = "single";
        r.partition = i % 2;
        r.value = (leat_bytes){value, (size_t)sprintf(value, "%d", i)};
        int error = accumulator_append(&accumulator, &r, 1000 + i, NULL, &batch, &e);
        if (error == ERR_BUSY) {
            sender_wake(&sender);
            io_run_once(single_io, 10000000);
            continue;
        }
        cr_assert_eq(error, 0, "%s", e.message);
        i++;
    }
    accumulator_hurry_all(&accumulator);
    sender_wake(&sender);
    while (accumulator.unsettled_records) {
        io_run_once(single_io, 100000000);
    }
    cr_assert_eq(accumulator.failure.code, 0, "%s", accumulator.failure.message);
    cr_assert_eq(fake_broker_end(broker, "single", 0), 2500);
    cr_assert_eq(fake_broker_end(broker, "single", 1), 2500);
    sender_close(&sender, sender_closed);
    run_until_closed();
    core_close(&core, core_closed);
    run_until_closed();
    cr_assert_eq(accumulator.used_bytes, 0);
    cr_assert_eq(io_memory(single_io)->used_bytes, 0, "the core left memory behind");
    accumulator_deinit(&accumulator);
    memory_drop(&heap);
    io_group_close(group);
    fake_broker_stop(broker);
}
