/* SPDX-License-Identifier: Apache-2.0 */

/* The world: same seed, same run; nodes that end at any operation and start again. */
#include "sim/sim.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>

enum { SHARDS = 2, ROUNDS = 12 };

/* A node that writes, syncs, renames, posts between its shards, works and waits, in the order that
 * the world's latencies make of it. Its state is its own memory, the tally is the test's. */
struct tally {
    unsigned starts, writes, posts, timers, works, stops;
    uint64_t order; /* of everything, hashed */
};

struct worker {
    struct io *io;
    struct tally *tally;
    struct io_file *file, *directory;
    struct io_op write, sync, timer, work;
    struct io_message message;
    struct iovec iov;
    uint8_t *block;
    unsigned round, posted;
    bool posting;
};

static void note(struct worker *w, uint64_t what)
{
    w->tally->order = prng_mix(w->tally->order ^ what ^ io_now(w->io));
}

static void step(struct worker *w);

static void synced(struct io_op *op, int64_t result)
{
    struct worker *w = container_of(op, struct worker, sync);
    assert(result == 0);
    note(w, 1);
    step(w);
}

static void written(struct io_op *op, int64_t result)
{
    struct worker *w = container_of(op, struct worker, write);
    assert(result == IO_BLOCK_SIZE);
    w->tally->writes++;
    note(w, 2);
    io_sync(w->io, &w->sync, w->round % 2 ? w->file : w->directory);
}

static void worked(struct io_op *op, int64_t result)
{
    struct worker *w = container_of(op, struct worker, work);
    w->tally->works++;
    note(w, 3);
    io_write(w->io, &w->write, w->file, &w->iov, 1, w->round * IO_BLOCK_SIZE,
             w->round % 3 ? 0 : IO_WRITE_DURABLE);
}

static void fill(void *argument)
{
    struct worker *w = argument;
    memset(w->block, (int)w->round, IO_BLOCK_SIZE);
}

static void delivered(struct io_message *m, struct io *io)
{
    struct worker *w = container_of(m, struct worker, message);
    w->tally->posts++;
    w->posting = false;
}

static void waited(struct io_op *op, int64_t result)
{
    struct worker *w = container_of(op, struct worker, timer);
    w->tally->timers++;
    note(w, 4);
    if (!w->posting) {
        w->posting = true;
        io_post(w->io, (io_shard(w->io) + 1) % io_shard_count(w->io), &w->message);
    }
    io_work(w->io, &w->work, fill, w);
}

static void step(struct worker *w)
{
    if (++w->round == ROUNDS) {
        w->tally->stops++;
        io_stop(w->io);
        return;
    }
    char from[32], to[32];
    snprintf(from, sizeof from, "/dir/%u-%u", io_shard(w->io), w->round);
    snprintf(to, sizeof to, "/dir/moved-%u-%u", io_shard(w->io), w->round);
    struct io_file *file;
    int error = io_file_open(w->io, &file, from, IO_OPEN_CREATE | IO_OPEN_WRITE);
    assert(!error);
    io_file_close(w->io, file);
    error = io_rename(w->io, from, to);
    assert(!error);
    uint64_t noise;
    io_random(w->io, &noise, sizeof noise);
    io_timer(w->io, &w->timer, io_now(w->io) + noise % 100000);
}

static void start(struct io *io, void *argument)
{
    struct worker *w = memory_alloc(io_memory(io), sizeof *w);
    *w = (struct worker){.io = io, .tally = argument};
    w->tally->starts++;
    w->write.done = written;
    w->sync.done = synced;
    w->timer.done = waited;
    w->work.done = worked;
    w->message.deliver = delivered;
    w->block = memory_alloc_aligned(io_memory(io), IO_BLOCK_SIZE, IO_BLOCK_SIZE);
    w->iov = (struct iovec){w->block, IO_BLOCK_SIZE};
    int error = io_mkdir(io, "/dir");
    assert(error == 0 || error == -EEXIST);
    char path[32];
    snprintf(path, sizeof path, "/dir/file-%u", io_shard(io));
    error = io_file_open(io, &w->file, path,
                         IO_OPEN_CREATE | IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_DIRECT);
    assert(!error);
    error = io_file_open(io, &w->directory, "/dir", IO_OPEN_DIRECTORY);
    assert(!error);
    step(w);
}

static struct sim *world(uint64_t seed)
{
    return sim_new(&(struct sim_options){.seed = seed});
}

static uint64_t whole_run(uint64_t seed, struct tally *tally)
{
    struct sim *sim = world(seed);
    struct sim_node *n = sim_node_new(sim, "one");
    sim_node_start(n, SHARDS, start, tally);
    sim_run(sim, 1000000000);
    cr_assert_eq(sim_node_state(n), SIM_STOPPED);
    uint64_t hash = prng_mix(sim_hash(sim)) ^ disk_hash(sim_node_disk(n)) ^ tally->order;
    sim_free(sim);
    return hash;
}

Test(node, a_seed_gives_one_run)
{
    for (uint64_t seed = 1; seed < 20; seed++) {
        struct tally a = {0}, b = {0}, c = {0};
        uint64_t first = whole_run(seed, &a);
        cr_assert_eq(first, whole_run(seed, &b), "seed %llu", (unsigned long long)seed);
        cr_assert_neq(first, whole_run(seed + 1000, &c));
        cr_assert_eq(a.stops, SHARDS);
        cr_assert_eq(a.writes, SHARDS * (ROUNDS - 1));
        cr_assert_eq(a.works, a.timers);
        cr_assert_gt(a.posts, 0);
    }
}

/* A crash at every operation of a run: nothing of the node's runs afterwards, and it starts again.
 */
Test(node, it_can_be_dropped_at_every_operation)
{
    struct tally whole = {0};
    struct sim *sim = world(5);
    struct sim_node *n = sim_node_new(sim, "one");
    sim_node_start(n, SHARDS, start, &whole);
    sim_run(sim, 1000000000);
    uint64_t last = sim_node_operations(n);
    sim_free(sim);
    cr_assert_gt(last, 100);
    static const enum sim_crash_kind kinds[] = {SIM_CRASH_KILL, SIM_CRASH_POWER, SIM_CRASH_FREEZE};
    static const enum sim_state states[] = {SIM_KILLED, SIM_POWER_CUT, SIM_FROZEN};
    for (unsigned k = 0; k < 3; k++) {
        for (uint64_t at = 1; at <= last; at++) {
            struct tally tally = {0};
            sim = world(5);
            n = sim_node_new(sim, "one");
            sim_node_start(n, SHARDS, start, &tally);
            sim_crash_after(n, at, kinds[k]);
            sim_run(sim, 1000000000);
            cr_assert_eq(sim_node_state(n), states[k]);
            cr_assert_eq(sim_node_operations(n), at);
            if (kinds[k] == SIM_CRASH_FREEZE) {
                struct prng random = prng_of(at);
                disk_power_cut(sim_node_disk(n), &sim_faults(sim)->crash, &random);
            }
            sim_node_start(n, SHARDS + 1, start, &tally);
            sim_run(sim, 2000000000);
            cr_assert_eq(sim_node_state(n), SIM_STOPPED);
            sim_free(sim);
        }
    }
}

struct probe {
    uint64_t now;
    int64_t wall;
    struct uuid boot;
    int (*act)(struct io *io, struct probe *p);
    int result;
};

static void probe_start(struct io *io, void *argument)
{
    struct probe *p = argument;
    p->now = io_now(io);
    p->wall = io_wall_ms(io);
    p->boot = io_boot_id(io);
    cr_assert_str_eq(io_backend_name(io), "simulator");
    cr_assert_leq(io_clock(io), io_clock(io));
    if (p->act) {
        p->result = p->act(io, p);
    }
    io_stop(io);
}

static int act_fatal(struct io *io, struct probe *p)
{
    io_fatal(io, "the disk of %s failed: %d", "one", 7);
}

static int act_assert(struct io *io, struct probe *p)
{
    assert(p->result == 12345);
    return 0;
}

static void run_probe(struct sim *sim, struct sim_node *n, struct probe *p)
{
    sim_node_start(n, 1, probe_start, p);
    sim_run(sim, sim_now(sim) + 1000000000);
}

Test(node, boot_id_changes_with_the_power_only)
{
    struct sim *sim = world(1);
    struct sim_node *n = sim_node_new(sim, "one");
    struct probe a = {0}, b = {0}, c = {0};
    run_probe(sim, n, &a);
    sim_node_start(n, 1, probe_start, &b);
    sim_node_kill(n);
    run_probe(sim, n, &b);
    cr_assert(uuid_equal(a.boot, b.boot));
    sim_node_power_cut(n);
    run_probe(sim, n, &c);
    cr_assert(!uuid_equal(a.boot, c.boot));
    cr_assert(!uuid_is_zero(c.boot));
    sim_free(sim);
}

Test(node, clocks_are_skewed_and_drift)
{
    struct sim *sim = world(1);
    struct sim_node *n = sim_node_new(sim, "one"), *m = sim_node_new(sim, "two");
    sim_node_clock(m, -5000, 1000);
    sim_run(sim, 100 * 1000000000ull);
    struct probe a = {0}, b = {0};
    sim_node_start(n, 1, probe_start, &a);
    sim_node_start(m, 1, probe_start, &b);
    sim_run(sim, 101 * 1000000000ull);
    cr_assert_geq(a.now, 100 * 1000000000ull);
    int64_t off = b.wall - a.wall;
    cr_assert(off >= -4901 && off <= -4899, "%lld", (long long)off);
    sim_free(sim);
}

Test(node, fatal_ends_the_node_and_not_the_process)
{
    struct sim *sim = world(1);
    struct sim_node *n = sim_node_new(sim, "one");
    struct probe p = {.act = act_fatal, .result = 99};
    run_probe(sim, n, &p);
    cr_assert_eq(sim_node_state(n), SIM_FATAL);
    cr_assert_str_eq(sim_node_last_line(n), "the disk of one failed: 7");
    cr_assert_eq(p.result, 99, "nothing runs after it");
    sim_free(sim);
}

Test(node, a_failed_assertion_ends_the_node_when_asked)
{
    for (int i = 0; i < 3; i++) {
        struct sim *sim = sim_new(&(struct sim_options){.seed = 1, .catch_asserts = true});
        struct sim_node *n = sim_node_new(sim, "one");
        struct probe p = {.act = act_assert};
        run_probe(sim, n, &p);
        cr_assert_eq(sim_node_state(n), SIM_ASSERTED);
        sim_free(sim);
    }
}
