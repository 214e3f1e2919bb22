/* SPDX-License-Identifier: Apache-2.0 */

/* What needs a slow or a full disk, or a long time: a node on the simulated backend, in virtual
 * time. */
#include "machine.h"

Test(simulated, a_node_serves_and_stops)
{
    struct world w;
    world_open(&w, 0);
    cr_assert_eq(world_metadata(&w, "t", true)->error_code, 0);
    cr_assert_eq(world_produce(&w, "t", batch_make(3, 0, 100, NULL), 1000), 0);
    node_stop(w.node);
    world_run(&w, 30 * SECOND_NS);
    cr_assert(w.ended);
    world_close(&w);
}

/* What is not durable when the client's timeout is over is answered with 7, and the frame stays in
 * place until the log is through with it. */
Test(simulated, a_produce_that_takes_too_long_is_told_so)
{
    struct world w;
    world_open(&w, 0);
    world_metadata(&w, "t", true);
    sim_faults(w.sim)->write.min_ns = 20 * SECOND_NS;
    uint64_t began = sim_now(w.sim);
    cr_assert_eq(world_produce(&w, "t", batch_make(1, 0, 100, NULL), 2000), 7);
    cr_assert_lt(sim_now(w.sim) - began, 4 * SECOND_NS);
    sim_faults(w.sim)->write.min_ns = 1000;
    world_run(&w, 60 * SECOND_NS);
    cr_assert_eq(world_produce(&w, "t", batch_make(1, 1, 100, NULL), 2000), 0);
    world_close(&w);
}

/* Trap 12: the wait for a creation is bounded. */
Test(simulated, a_creation_that_takes_too_long_is_told_so)
{
    struct world w;
    world_open(&w, 0);
    sim_faults(w.sim)->write.min_ns = 10 * SECOND_NS;
    uint64_t began = sim_now(w.sim);
    cr_assert_eq(world_metadata(&w, "t", true)->error_code, 5);
    cr_assert_leq(sim_now(w.sim) - began, 2 * SECOND_NS);
    sim_faults(w.sim)->write.min_ns = 1000;
    world_run(&w, 60 * SECOND_NS);
    cr_assert_eq(world_metadata(&w, "t", false)->error_code, 0, "it was created all the same");
    world_close(&w);
}

/* The disk fills up: retriable, and deletion still works, after which records are taken again. */
Test(simulated, a_full_disk_is_a_retriable_error, .timeout = 120)
{
    struct world w;
    world_open(&w, 96 << 20);
    world_metadata(&w, "t", true);
    world_metadata(&w, "u", true);
    int16_t error = 0;
    int taken = 0;
    for (; taken < 300 && error == 0; taken++) {
        error = world_produce(&w, "t", batch_make(1, 0, 500000, NULL), 30000);
    }
    cr_assert_eq(error, 56, "KAFKA_STORAGE_ERROR, after %d: %d", taken, error);
    cr_assert_gt(taken, 10);
    world_delete_topic(&w, "t");
    world_run(&w, 300 * SECOND_NS);
    cr_assert_eq(world_produce(&w, "u", batch_make(1, 0, 500000, NULL), 30000), 0, "by itself");
    world_close(&w);
}

/* A long poll costs nothing while it waits, and ends when it said. */
Test(simulated, long_polls_end_in_time)
{
    struct world w;
    world_open(&w, 0);
    world_metadata(&w, "t", true);
    struct fetch_request_partitions p;
    struct fetch_request_topics t = {
        .topic = wire_string_of("t"), .partitions = &p, .partitions_count = 1};
    struct fetch_request q;
    fetch_request_init(&q);
    fetch_request_partitions_init(&p);
    p.partition_max_bytes = 1000;
    q.topics = &t;
    q.topics_count = 1;
    q.min_bytes = 1;
    q.max_wait_ms = 3600000;
    struct caller *caller = caller_open(&w);
    caller_send(caller, 1, 11, &q);
    world_run(&w, 3590 * SECOND_NS);
    cr_assert(!caller->closed, "a request in progress is not an idle connection");
    cr_assert_null(caller_answer(caller, 1, 11));
    world_run(&w, 20 * SECOND_NS);
    struct fetch_response *a = caller_answer(caller, 1, 11);
    cr_assert_not_null(a);
    cr_assert_eq(a->responses[0].partitions[0].error_code, 0);
    cr_assert_eq(a->responses[0].partitions[0].records.size, 0);
    world_close(&w);
}

/* Readers that take nothing hold as much of the log's memory as sockets may. Who asks meanwhile gets
 * what there is, and does not wait for room. */
Test(simulated, a_fetch_does_not_wait_for_those_who_do_not_read)
{
    enum { SLOW = 12 };
    struct world w;
    world_open(&w, 0);
    world_create_topic(&w, "t", 1);
    struct produce_request *in = produce_request("t", batch_make(2, 0, 250000, NULL), 10000);
    struct produce_response *a = world_ask(&w, 0, 9, in);
    cr_assert_eq(a->responses[0].partition_responses[0].error_code, 0);
    struct fetch_request_partitions p;
    struct fetch_request_topics t = {
        .topic = wire_string_of("t"), .partitions = &p, .partitions_count = 1};
    struct fetch_request q;
    fetch_request_init(&q);
    fetch_request_partitions_init(&p);
    p.partition_max_bytes = q.max_bytes = 1 << 20;
    q.topics = &t;
    q.topics_count = 1;
    q.min_bytes = 1;
    q.max_wait_ms = 60000;
    struct caller *good = caller_open(&w), *slow[SLOW];
    for (int i = 0; i < SLOW; i++) {
        slow[i] = caller_open_as(&w, true);
    }
    for (int i = 0; i < SLOW; i++) {
        caller_send(slow[i], 1, 11, &q);
    }
    world_run(&w, SECOND_NS / 10);
    caller_send(good, 1, 11, &q);
    world_run(&w, SECOND_NS / 5);
    struct fetch_response *f = caller_answer(good, 1, 11);
    cr_assert_not_null(f);
    cr_assert_eq(f->responses[0].partitions[0].error_code, 0);
    cr_assert_eq(records_check(&f->responses[0].partitions[0].records, 0), 2);
    world_close(&w);
}

enum { STOP_SHARDS = 3, STOP_PARTITIONS = 8, STOP_CALLERS = 6 };

/* Peers fetch every partition and read nothing of the answer; then the node stops, and has to close
 * their connections with what is lent to them. */
static void fetch_and_stop(struct world *w)
{
    struct fetch_request_partitions p[STOP_PARTITIONS];
    struct fetch_request_topics t = {
        .topic = wire_string_of("t"), .partitions = p, .partitions_count = STOP_PARTITIONS};
    struct fetch_request q;
    struct caller *callers[STOP_CALLERS];
    fetch_request_init(&q);
    q.topics = &t;
    q.topics_count = 1;
    q.max_bytes = 1 << 20;
    q.min_bytes = 1;
    for (int i = 0; i < STOP_PARTITIONS; i++) {
        fetch_request_partitions_init(&p[i]);
        p[i].partition = i;
        p[i].partition_max_bytes = 1 << 20;
    }
    for (int i = 0; i < STOP_CALLERS; i++) {
        callers[i] = caller_open_as(w, true);
    }
    for (int i = 0; i < STOP_CALLERS; i++) {
        caller_send(callers[i], 1, 11, &q);
    }
    world_run(w, SECOND_NS);
    node_stop(w->node);
    world_run(w, 30 * SECOND_NS);
    cr_assert(w->ended);
}

/* What a shard has lent to another is on its way home while the shards stop, and arrives before the
 * logs close. */
Test(simulated, what_is_lent_is_home_before_the_logs_close, .timeout = 300)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct world w;
        world_open_as(&w, 0, STOP_SHARDS, seed);
        world_create_topic(&w, "t", STOP_PARTITIONS);
        for (int i = 0; i < STOP_PARTITIONS; i++) {
            struct produce_request *in = produce_request("t", batch_make(2, 0, 60000, NULL), 10000);
            in->topic_data[0].partition_data[0].index = i;
            struct produce_response *a = world_ask(&w, 0, 9, in);
            cr_assert_eq(a->responses[0].partition_responses[0].error_code, 0);
        }
        fetch_and_stop(&w);
        world_close(&w);
    }
}
