/* SPDX-License-Identifier: Apache-2.0 */

/* Brokers that say nothing, in virtual time: three of them, of which some are frozen, and a client
 * with a producer. What they are asked and how long nothing moves is counted. */
#include "fake_private.h"

#include "core/silence.h"
#include "producer/sender_private.h"
#include "sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#define MS UINT64_C(1000000)

enum {
    SEEDS = 8,
    PARTITION_COUNT = 6,
    RECORDS_MAX = 100000,
};

static const char topic_name[] = "silent";

struct bench {
    struct sim *sim;
    struct sim_node *machine, *client;
    struct fake_broker *broker;
    struct memory heap;
    struct gate gate;
    leat_options options;
    leat_producer_options producer;
    struct core core;
    struct accumulator accumulator;
    struct sender sender;
    struct io *io;
    struct io_op tick;
    void (*act)(struct bench *b); /* at the next tick */
    bool producing;               /* there is a producer; else calls are tried */
    bool produces;                /* a record for each partition at each tick, */
    bool one;                     /* or for the first one alone */
    uint64_t records;
    int64_t ends[PARTITION_COUNT];
    uint64_t moved_ns[PARTITION_COUNT], gap_ns[PARTITION_COUNT];

    struct call call;
    bool repeatable, answered;
    uint64_t answered_ns;
};

static struct bench *bench; /* what callbacks without context belong to */

static uint64_t bench_clock(void)
{
    return sim_now(bench->sim);
}

static void broker_run(struct io *io, void *argument)
{
    fake_broker_listen(argument, io);
}

static void bench_append(struct bench *b)
{
    for (int i = 0; i < (b->one ? 1 : PARTITION_COUNT); i++) {
        struct producer_batch *batch;
        leat_error e;
        leat_record r = LEAT_RECORD_INIT;
        r.topic = topic_name;
        r.partition = i;
        r.value = (leat_bytes){"value", 5};
        int error = accumulator_append(&b->accumulator, &r, 1, NULL, &batch, &e);
        cr_assert(!error || error == ERR_BUSY, "%s", e.message);
        b->records += !error;
    }
    accumulator_hurry_all(&b->accumulator);
}

static void bench_ticked(struct io_op *op, int64_t result)
{
    struct bench *b = container_of(op, struct bench, tick);
    if (b->act) {
        b->act(b);
        b->act = NULL;
    }
    if (b->produces) {
        bench_append(b);
    }
    if (b->producing) {
        b->accumulator.wake = false;
        sender_wake(&b->sender);
    }
    io_timer(b->io, &b->tick, io_now(b->io) + 20 * MS);
}

/* --- one call --- */

static int ask_encode(struct call *c, struct wire_writer *w, int version)
{
    struct metadata_request body;
    metadata_request_init(&body);
    return metadata_request_encode(&body, w, version);
}

static int ask_decode(struct call *c, struct reader *body, int version)
{
    return 0;
}

static void ask_done(struct call *c)
{
    struct bench *b = container_of(c, struct bench, call);
    cr_assert_eq(c->error.code, 0, "%s", c->error.message);
    b->answered = true;
    b->answered_ns = io_now(b->io);
}

static void ask_begins(struct bench *b)
{
    static const struct call_kind once = {
        .request = {WIRE_METADATA, 4, 13},
        .name = "ask",
        .encode = ask_encode,
        .decode = ask_decode,
    };
    static struct call_kind often;
    often = once;
    often.repeatable = true;
    call_start(&b->call, &b->core, b->repeatable ? &often : &once, io_now(b->io) + 60000 * MS,
               ask_done);
}

/* --- the world --- */

static void client_run(struct io *io, void *argument)
{
    struct bench *b = argument;
    struct address addresses[NODES] = {0};
    for (int i = 0; i < NODES; i++) {
        snprintf(addresses[i].host, sizeof addresses[i].host, "broker");
        addresses[i].port = (uint16_t)(9092 + i);
    }
    b->io = io;
    cr_assert_eq(core_open(&b->core, io, &b->gate, &b->options, addresses, NODES), 0);
    if (b->producing) {
        accumulator_init(&b->accumulator, &b->gate, &b->heap, &b->producer, bench_clock, 1);
        sender_open(&b->sender, &b->core, &b->accumulator, &b->gate, &b->producer);
    }
    b->tick.done = bench_ticked;
    io_timer(io, &b->tick, io_now(io));
}

/* `b` holds what is out of the ordinary. */
static void bench_open(struct bench *b, uint64_t seed)
{
    struct sim_options options = {.seed = seed, .story = getenv("STORY") ? stderr : NULL};
    bench = b;
    b->gate = gate_none();
    b->options = (leat_options)LEAT_OPTIONS_INIT;
    if (!b->producer.size) {
        b->producer = (leat_producer_options)LEAT_PRODUCER_OPTIONS_INIT;
        b->producer.idempotence = LEAT_IDEMPOTENCE_ON;
    }
    memory_init(&b->heap, (size_t)256 << 20);
    b->sim = sim_new(&options);
    b->broker = fake_broker_new(PARTITION_COUNT, seed, "broker", NODES);
    fake_broker_topic(b->broker, topic_name);
    b->machine = sim_node_new(b->sim, "broker");
    sim_name(b->sim, "broker", b->machine);
    sim_node_start(b->machine, 1, broker_run, b->broker);
    b->client = sim_node_new(b->sim, "client");
    sim_node_start(b->client, 1, client_run, b);
}

static void bench_close(struct bench *b)
{
    sim_node_kill(b->client);
    sim_node_kill(b->machine);
    list_each (node, &b->broker->peers) {
        struct peer *p = container_of(node, struct peer, link);
        free(p->in);
        free(p);
    }
    list_init(&b->broker->peers);
    sim_free(b->sim);
    fake_broker_free(b->broker);
    memory_drop(&b->heap);
}

/* Runs for a while and notes how long each partition did not move. */
static void bench_run(struct bench *b, uint64_t ns)
{
    uint64_t until = sim_now(b->sim) + ns;
    while (sim_now(b->sim) < until) {
        sim_run(b->sim, sim_now(b->sim) + 10 * MS);
        for (int i = 0; i < PARTITION_COUNT; i++) {
            uint64_t now = sim_now(b->sim), gap = now - b->moved_ns[i];
            int64_t end = fake_broker_end(b->broker, topic_name, i);
            b->gap_ns[i] = gap > b->gap_ns[i] ? gap : b->gap_ns[i];
            if (end != b->ends[i]) {
                b->ends[i] = end;
                b->moved_ns[i] = now;
            }
        }
    }
}

/* The producer is at work, and what was measured is forgotten. */
static void bench_produce(struct bench *b, uint64_t seed)
{
    b->producing = b->produces = true;
    bench_open(b, seed);
    bench_run(b, 1000 * MS);
    for (int i = 0; i < PARTITION_COUNT; i++) {
        cr_assert_gt(b->ends[i], 10, "partition %d does not move", i);
        b->gap_ns[i] = 0;
    }
}

/* Everything is delivered, in order. `once`: and nothing twice. */
static void bench_delivered(struct bench *b, bool once)
{
    b->produces = false;
    bench_run(b, 5000 * MS);
    cr_assert_eq(b->accumulator.fatal.code, 0, "%s", b->accumulator.fatal.message);
    cr_assert_eq(b->accumulator.failure.code, 0, "%s", b->accumulator.failure.message);
    cr_assert_eq(b->accumulator.unsettled_records, 0);
    uint64_t stored = 0;
    for (int i = 0; i < PARTITION_COUNT; i++) {
        stored += (uint64_t)b->ends[i];
    }
    cr_assert(once ? stored == b->records : stored >= b->records, "%llu of %llu",
              (unsigned long long)stored, (unsigned long long)b->records);
    cr_assert_eq(b->broker->counts.out_of_order, 0);
    cr_assert_eq(b->broker->counts.bad_batches, 0);
}

static uint64_t bench_gap(const struct bench *b)
{
    uint64_t most = 0;
    for (int i = 0; i < PARTITION_COUNT; i++) {
        most = b->gap_ns[i] > most ? b->gap_ns[i] : most;
    }
    return most;
}

/* --- a producer --- */

/* The leader of some partitions freezes; after a second the cluster names others. */
Test(silence, a_producer_goes_on_at_the_new_leader)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct bench *b = calloc(1, sizeof *b);
        bench_produce(b, seed);
        b->broker->frozen = 1 << 2;
        bench_run(b, 1000 * MS);
        b->broker->deposed = 1 << 2;
        bench_run(b, 4000 * MS);
        cr_assert_lt(bench_gap(b), 3000 * MS, "seed %llu: %llu ms", (unsigned long long)seed,
                     (unsigned long long)(bench_gap(b) / MS));
        bench_delivered(b, true);
        bench_close(b);
        free(b);
    }
}

/* The same where the frozen one is not named at all any more. */
Test(silence, a_producer_leaves_who_is_not_in_the_cluster_any_more)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct bench *b = calloc(1, sizeof *b);
        bench_produce(b, seed);
        b->broker->frozen = 1 << 1;
        bench_run(b, 1000 * MS);
        b->broker->down = 1;
        bench_run(b, 4000 * MS);
        cr_assert_lt(bench_gap(b), 3000 * MS, "seed %llu: %llu ms", (unsigned long long)seed,
                     (unsigned long long)(bench_gap(b) / MS));
        /* It thaws: what it had been given is not written a second time. */
        b->broker->frozen = 0;
        bench_run(b, 1000 * MS);
        bench_delivered(b, true);
        bench_close(b);
        free(b);
    }
}

static void learn_topics(struct bench *b)
{
    list_each (node, &b->core.metadata.topics) {
        metadata_refresh(&b->core, container_of(node, struct topic, link));
    }
}

/* The metadata have named the new leader before anybody wonders at the old one's silence. */
Test(silence, what_was_learned_before_the_silence_counts)
{
    struct bench *b = calloc(1, sizeof *b);
    bench_produce(b, 1);
    b->broker->frozen = 1 << 2;
    bench_run(b, 500 * MS);
    b->broker->deposed = 1 << 2;
    b->act = learn_topics;
    bench_run(b, 4000 * MS);
    cr_assert_lt(bench_gap(b), 2000 * MS, "%llu ms", (unsigned long long)(bench_gap(b) / MS));
    bench_delivered(b, true);
    bench_close(b);
    free(b);
}

/* Without idempotence nothing is lost; a batch that the old leader had written comes twice. */
Test(silence, a_producer_without_idempotence_goes_on_too)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct bench *b = calloc(1, sizeof *b);
        b->producer = (leat_producer_options)LEAT_PRODUCER_OPTIONS_INIT;
        b->producer.acks = LEAT_ACKS_LEADER;
        b->producer.idempotence = LEAT_IDEMPOTENCE_OFF;
        bench_produce(b, seed);
        b->broker->frozen = 1 << 2;
        bench_run(b, 1000 * MS);
        b->broker->deposed = 1 << 2;
        bench_run(b, 4000 * MS);
        cr_assert_lt(bench_gap(b), 3000 * MS, "seed %llu: %llu ms", (unsigned long long)seed,
                     (unsigned long long)(bench_gap(b) / MS));
        bench_delivered(b, false);
        bench_close(b);
        free(b);
    }
}

/* A leader that is slow and stays the leader is waited for: nothing is sent twice. */
Test(silence, a_slow_leader_is_waited_for)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct bench *b = calloc(1, sizeof *b);
        bench_produce(b, seed);
        b->broker->frozen = 1 << 2;
        uint64_t asked = b->broker->asked[1][WIRE_METADATA] + b->broker->asked[3][WIRE_METADATA];
        bench_run(b, 8000 * MS);
        uint64_t questions =
            b->broker->asked[1][WIRE_METADATA] + b->broker->asked[3][WIRE_METADATA] - asked;
        cr_assert_gt(questions, 3, "others are asked");
        cr_assert_lt(questions, 30, "but not over and over: %llu", (unsigned long long)questions);
        b->broker->frozen = 0;
        bench_delivered(b, true);
        cr_assert_eq(b->broker->counts.duplicates, 0, "seed %llu", (unsigned long long)seed);
        list_each (node, &b->core.connections) {
            cr_assert_eq(container_of(node, struct connection, link)->silent_ns, 0);
        }
        bench_close(b);
        free(b);
    }
}

/* One that lost a partition to another but answers is waited for as well. */
Test(silence, a_leader_that_speaks_is_not_given_up)
{
    struct bench *b = calloc(1, sizeof *b);
    bench_produce(b, 1);
    b->broker->deposed = 1 << 2;
    bench_run(b, 2000 * MS);
    bench_delivered(b, true);
    cr_assert_eq(b->broker->counts.duplicates, 0);
    cr_assert_eq(b->core.problem.code, 0, "%s", b->core.problem.message);
    bench_close(b);
    free(b);
}

/* One after the other is silent and comes back, but the client has nothing to ask of those that lead
 * nothing any more: when the last one freezes they are asked all the same. */
Test(silence, who_was_silent_once_is_asked_again)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct bench *b = calloc(1, sizeof *b);
        b->one = b->producing = b->produces = true;
        bench_open(b, seed);
        bench_run(b, 1000 * MS);
        b->gap_ns[0] = 0;
        static const struct {
            int victim;
            unsigned deposed, deposed_then;
            int epochs;
        } turns[] = {{1, 0, 1 << 1, 0}, {2, 1 << 1, 1 << 1 | 1 << 2, 0}, {3, 1 << 1, 1 << 1, 2}};
        for (size_t i = 0; i < array_size(turns); i++) {
            b->broker->frozen = 1u << turns[i].victim;
            bench_run(b, 1000 * MS);
            b->broker->down = turns[i].victim;
            b->broker->deposed = turns[i].deposed;
            b->broker->leader_epoch += turns[i].epochs;
            bench_run(b, 3000 * MS);
            cr_assert_lt(b->gap_ns[0], 3000 * MS, "seed %llu, node %d: %llu ms",
                         (unsigned long long)seed, turns[i].victim,
                         (unsigned long long)(b->gap_ns[0] / MS));
            b->broker->frozen = 0;
            b->broker->down = 0;
            b->broker->deposed = turns[i].deposed_then;
            bench_run(b, 1000 * MS);
        }
        bench_delivered(b, true);
        bench_close(b);
        free(b);
    }
}

/* --- metadata --- */

/* A broker that has not heard of the new leader does not bring the old one back (KIP-320). */
Test(silence, an_older_answer_does_not_bring_the_old_leader_back)
{
    struct bench *b = calloc(1, sizeof *b);
    bench_produce(b, 1);
    b->broker->deposed = 1 << 2;
    bench_run(b, 2000 * MS);
    struct topic *t = container_of(list_first(&b->core.metadata.topics), struct topic, link);
    cr_assert_eq(t->partitions[1].leader, 3);
    cr_assert_eq(t->partitions[1].leader_epoch, 1);
    b->broker->behind = 1;
    b->broker->behind_by = 2; /* nor of the last two partitions */
    uint64_t answers = b->core.metadata.answers;
    uint64_t stale = b->broker->asked[1][WIRE_METADATA];
    b->broker->frozen = 1 << 2 | 1 << 3; /* so that the one behind is who is asked */
    for (int i = 0; i < 100 && b->broker->asked[1][WIRE_METADATA] < stale + 2; i++) {
        bench_run(b, 100 * MS);
    }
    cr_assert_gt(b->core.metadata.answers, answers);
    cr_assert_geq(b->broker->asked[1][WIRE_METADATA], stale + 2, "it was asked");
    bench_run(b, 100 * MS);
    t = container_of(list_first(&b->core.metadata.topics), struct topic, link);
    cr_assert_eq(t->partition_count, PARTITION_COUNT);
    cr_assert_eq(t->partitions[1].leader, 3);
    cr_assert_eq(t->partitions[1].leader_epoch, 1);
    b->broker->behind_by = 0;
    bench_run(b, 2000 * MS);
    cr_assert_eq(t->partitions[1].leader, 3);
    cr_assert_eq(t->partitions[1].leader_epoch, 1);
    b->broker->frozen = 0;
    bench_delivered(b, true);
    bench_close(b);
    free(b);
}

/* --- calls --- */

/* How long a call took, UINT64_MAX if it is not answered in time. */
static uint64_t bench_ask(struct bench *b, uint64_t most_ns)
{
    uint64_t begun = sim_now(b->sim), until = begun + most_ns;
    b->answered = false;
    b->act = ask_begins;
    while (!b->answered && sim_now(b->sim) < until) {
        sim_run(b->sim, sim_now(b->sim) + 10 * MS);
    }
    return b->answered ? b->answered_ns - begun : UINT64_MAX;
}

/* Of the addresses that a client is given one is frozen: who asks is answered soon, whether it
 * matters that he asks twice or not, for the frozen one was not given his question. */
Test(silence, a_frozen_address_costs_little)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        for (unsigned frozen = 2; frozen < 16; frozen += 2) {
            struct bench *b = calloc(1, sizeof *b);
            bool all = frozen == 14;
            b->repeatable = seed % 2;
            bench_open(b, seed);
            b->broker->frozen = frozen;
            uint64_t took = bench_ask(b, 2000 * MS);
            cr_assert(all ? took == UINT64_MAX : took <= 2000 * MS, "frozen %x: %llu ms", frozen,
                      (unsigned long long)(took / MS));
            bench_close(b);
            free(b);
        }
    }
}

/* Who was silent is remembered: he is not asked first again. */
Test(silence, who_was_silent_is_remembered)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct bench *b = calloc(1, sizeof *b);
        b->repeatable = true;
        bench_open(b, seed);
        b->broker->frozen = 1 << 1 | 1 << 2;
        cr_assert_leq(bench_ask(b, 5000 * MS), 5000 * MS);
        uint64_t took = bench_ask(b, 5000 * MS);
        cr_assert_lt(took, 100 * MS, "seed %llu: %llu ms", (unsigned long long)seed,
                     (unsigned long long)(took / MS));
        bench_close(b);
        free(b);
    }
}

static void learn_brokers(struct bench *b)
{
    metadata_refresh(&b->core, NULL);
}

/* A question that changes something is not asked of another while the first may be at it. */
Test(silence, what_may_be_done_is_not_asked_of_another)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct bench *b = calloc(1, sizeof *b);
        bench_open(b, seed);
        b->act = learn_brokers;
        bench_run(b, 500 * MS);
        cr_assert_lt(bench_ask(b, 2000 * MS), 2000 * MS);
        b->broker->frozen = 1 << 1 | 1 << 2 | 1 << 3;
        cr_assert_eq(bench_ask(b, 100 * MS), UINT64_MAX);
        struct connection *c = b->call.request.connection;
        cr_assert_not_null(c);
        b->broker->frozen = 1u << (c->port - 9091);
        bench_run(b, 5000 * MS);
        cr_assert_not(b->answered, "seed %llu", (unsigned long long)seed);
        cr_assert_eq(b->call.request.connection, c);
        /* The cluster goes on without it: then somebody else is asked. */
        b->broker->down = c->port - 9091;
        bench_run(b, 5000 * MS);
        cr_assert(b->answered, "seed %llu", (unsigned long long)seed);
        bench_close(b);
        free(b);
    }
}

/* Where every broker takes long, one is waited for in the end. */
Test(silence, brokers_that_are_all_slow_are_answered_by_in_the_end)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct bench *b = calloc(1, sizeof *b);
        b->repeatable = true;
        bench_open(b, seed);
        cr_assert_lt(bench_ask(b, 2000 * MS), 2000 * MS);
        sim_link_clog(b->sim, 0, 1, 3000 * MS);
        uint64_t took = bench_ask(b, 25000 * MS);
        cr_assert(b->answered, "seed %llu", (unsigned long long)seed);
        cr_assert_leq(took, 25000 * MS);
        bench_close(b);
        free(b);
    }
}
