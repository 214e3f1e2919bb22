/* SPDX-License-Identifier: Apache-2.0 */

/* A metadata log on simulated disks: it opens, stops and opens again; it is killed and loses power
 * at any operation, and nothing that was acknowledged is ever missing. */
#include "lives.h"

#include "base/errors.h"

#include <inttypes.h>
#include <stdio.h>

#include <criterion/criterion.h>

static void expect(struct lives *l, enum sim_state want, const char *when, uint64_t number)
{
    enum sim_state state = sim_node_state(l->node);
    cr_assert_eq(state, want, "%s %" PRIu64 ": %s: %s %s", when, number, sim_state_name(state),
                 sim_node_last_line(l->node), l->open.why);
}

Test(meta, it_opens_works_stops_and_opens_again)
{
    for (unsigned shards = 1; shards <= 3; shards++) {
        struct lives l;
        lives_init(&l, shards, shards);
        for (uint64_t life = 0; life < 12; life++) {
            lives_run(&l, 0, SIM_CRASH_KILL);
            expect(&l, SIM_STOPPED, "life", life);
            cr_assert(l.opened && l.closed);
            cr_assert_eq(l.open.founded, life == 0);
        }
        cr_assert_eq(l.acknowledged, 12 * 60);
        cr_assert_gt(l.snapshots, 5, "%u snapshots", l.snapshots);
        lives_deinit(&l);
    }
}

/* Founding, and the first operations, crashed in place of each operation on the disk. */
static void crash_the_first_life(enum sim_crash_kind kind, enum sim_state state)
{
    uint64_t crashes = 0;
    for (uint64_t at = 1; at < 1000; at++) {
        struct lives l;
        lives_init(&l, at, 1);
        l.ops_per_life = 12;
        lives_run(&l, at, kind);
        if (sim_node_state(l.node) == SIM_STOPPED) {
            lives_deinit(&l);
            break;
        }
        expect(&l, state, "crash at", at);
        crashes++;
        for (int again = 0; again < 2; again++) {
            lives_run(&l, 0, kind);
            expect(&l, SIM_STOPPED, "after a crash at", at);
        }
        lives_deinit(&l);
    }
    cr_assert_gt(crashes, 40);
    cr_assert_lt(crashes, 990, "the first life must end by itself at last");
}

Test(meta, the_first_life_killed_at_every_operation)
{
    crash_the_first_life(SIM_CRASH_KILL, SIM_KILLED);
}

Test(meta, the_first_life_without_power_at_every_operation)
{
    crash_the_first_life(SIM_CRASH_POWER, SIM_POWER_CUT);
}

/* One disk, many lives, each ended somewhere. */
static unsigned crash_many_lives(uint64_t seed, unsigned lives, unsigned shards)
{
    struct lives l;
    unsigned crashes = 0;
    lives_init(&l, seed, shards);
    struct prng r = sim_random(l.sim, 77);
    for (uint64_t life = 0; life < lives; life++) {
        bool power = prng_chance(&r, 1, 2);
        uint64_t at = prng_chance(&r, 1, 10) ? 0 : 1 + prng_below(&r, 120);
        l.ops_per_life = 1 + (unsigned)prng_below(&r, 100);
        enum sim_state state = lives_run(&l, at, power ? SIM_CRASH_POWER : SIM_CRASH_KILL);
        if (state == SIM_KILLED || state == SIM_POWER_CUT) {
            crashes++;
        } else {
            expect(&l, SIM_STOPPED, "life", life);
        }
    }
    lives_run(&l, 0, SIM_CRASH_KILL);
    expect(&l, SIM_STOPPED, "the last life of seed", seed);
    cr_assert_gt(l.acknowledged, lives);
    lives_deinit(&l);
    return crashes;
}

Test(meta, many_lives_lose_nothing_that_was_acknowledged)
{
    unsigned crashes = 0;
    for (uint64_t seed = 1; seed <= 150; seed++) {
        crashes += crash_many_lives(seed, 30, 1 + (unsigned)seed % 3);
    }
    cr_assert_gt(crashes, 2000, "%u crashes", crashes);
}

/* Nothing is decided before what the configuration states is in the image; what a later life states changes nothing,
 * however the lives between ended. */
Test(meta, a_stated_minimum_counts_from_the_first_operation_on)
{
    for (uint64_t crash = 0; crash < 400; crash++) {
        struct lives l;
        lives_init(&l, 7 + crash, 1);
        l.ops_per_life = 4;
        lives_run(&l, 0, SIM_CRASH_KILL); /* of a release that knows nothing of it */
        expect(&l, SIM_STOPPED, "the life before", crash);
        l.min_isr = l.options.min_isr = 2;
        lives_run(&l, crash, SIM_CRASH_POWER);
        bool ended = crash == 0 || sim_node_state(l.node) == SIM_STOPPED;
        lives_run(&l, 0, SIM_CRASH_KILL);
        expect(&l, SIM_STOPPED, "the same again", crash);
        l.options.min_isr = 3;
        lives_run(&l, 0, SIM_CRASH_KILL);
        expect(&l, SIM_STOPPED, "a file that says 3", crash);
        lives_deinit(&l);
        crash = ended && crash > 0 ? 400 : crash;
    }
}

/* Starts that write next to nothing still make snapshots: the core remembers the epochs behind the last one. */
Test(meta, starts_alone_fill_the_log_with_epochs)
{
    struct lives l;
    lives_init(&l, 5, 1);
    l.ops_per_life = 1;
    l.options.snapshot_bytes = 1 << 20;
    for (uint64_t life = 0; life < 300; life++) {
        lives_run(&l, 0, SIM_CRASH_KILL);
        expect(&l, SIM_STOPPED, "life", life);
    }
    cr_assert_eq(l.snapshots, 300 / (RAFT_EPOCHS_MAX / 2 + 1));
    l.options.snapshot_bytes = 3000;
    for (uint64_t life = 300; life < 310; life++) {
        l.ops_per_life = 30;
        lives_run(&l, 0, SIM_CRASH_KILL);
        expect(&l, SIM_STOPPED, "life", life);
    }
    cr_assert_gt(l.snapshots, 1);
    lives_deinit(&l);
}

/* --- damage ----------------------------------------------------------------------------------- */

/* What a person or a disk does to files between two lives. */
struct tamper {
    const char *path;
    int64_t flip_at; /* a byte of the file; -1: remove the file */
    struct io *io;
    struct io_op op;
    struct io_file *file;
    struct iovec iovec;
    uint8_t byte;
    bool done;
};

static void tampered(struct io_op *op, int64_t result)
{
    struct tamper *t = container_of(op, struct tamper, op);
    assert(result >= 0);
    t->done = true;
    io_stop(t->io);
}

static void byte_read(struct io_op *op, int64_t result)
{
    struct tamper *t = container_of(op, struct tamper, op);
    assert(result == 1);
    t->byte ^= 0x10;
    t->iovec = (struct iovec){&t->byte, 1};
    op->done = tampered;
    io_write(t->io, op, t->file, &t->iovec, 1, (uint64_t)t->flip_at, IO_WRITE_DURABLE);
}

static void tamper_start(struct io *io, void *argument)
{
    struct tamper *t = argument;
    t->io = io;
    if (t->flip_at < 0) {
        t->op.done = tampered;
        io_unlink(io, &t->op, t->path);
        return;
    }
    int error = io_file_open(io, &t->file, t->path, IO_OPEN_READ | IO_OPEN_WRITE);
    assert(!error);
    t->op.done = byte_read;
    io_read(io, &t->op, t->file, &t->byte, 1, (uint64_t)t->flip_at);
}

static void tamper(struct lives *l, const char *path, int64_t flip_at)
{
    struct tamper t = {.path = path, .flip_at = flip_at};
    sim_node_start(l->node, 1, tamper_start, &t);
    sim_run(l->sim, sim_now(l->sim) + 1000000000);
    cr_assert(t.done, "%s: %s", path, sim_node_last_line(l->node));
}

/* A directory with some past. */
static void live_once(struct lives *l, uint64_t seed)
{
    lives_init(l, seed, 1);
    lives_run(l, 0, SIM_CRASH_KILL);
    expect(l, SIM_STOPPED, "seed", seed);
}

static void expect_refusal(struct lives *l, int error, const char *words)
{
    l->expect_error = error;
    lives_run(l, 0, SIM_CRASH_KILL);
    expect(l, SIM_STOPPED, "refusal", 0);
    cr_assert_not(l->opened, "it must not open");
    cr_assert_eq(l->open_error, error, "%s: %s", error_name(l->open_error), l->open.why);
    cr_assert(strstr(l->open.why, words), "says \"%s\"", l->open.why);
    l->expect_error = 0;
}

/* Lives in which nothing is asked of the metadata write to its log too: their own records. */
Test(meta, a_life_without_operations_takes_the_snapshot_that_is_due)
{
    struct lives l;
    lives_init(&l, 5, 1);
    l.options.snapshot_bytes = 1 << 20;
    lives_run(&l, 0, SIM_CRASH_KILL);
    expect(&l, SIM_STOPPED, "life", 0);
    cr_assert_eq(l.snapshots, 0);
    l.options.snapshot_bytes = 1000;
    l.ops_per_life = 0;
    lives_run(&l, 0, SIM_CRASH_KILL);
    expect(&l, SIM_STOPPED, "life", 1);
    cr_assert_gt(l.snapshots, 0);
    lives_deinit(&l);
}

Test(meta, a_damaged_snapshot_is_never_an_empty_state)
{
    for (int64_t at = 0; at < 400; at += 57) {
        struct lives l;
        live_once(&l, 3);
        cr_assert_gt(l.snapshots, 0);
        tamper(&l, l.newest_snapshot, at);
        expect_refusal(&l, ERR_DAMAGED, l.newest_snapshot);
        l.options.accept_loss = true;
        expect_refusal(&l, ERR_DAMAGED, l.newest_snapshot);
        l.options.accept_loss = false;
        tamper(&l, l.newest_snapshot, at);
        lives_run(&l, 0, SIM_CRASH_KILL);
        expect(&l, SIM_STOPPED, "repaired at", (uint64_t)at);
        lives_deinit(&l);
    }
}

Test(meta, a_missing_snapshot_is_damage)
{
    struct lives l;
    live_once(&l, 4);
    tamper(&l, l.newest_snapshot, -1);
    expect_refusal(&l, ERR_DAMAGED, "newest snapshot");
    lives_deinit(&l);
}

Test(meta, one_copy_of_the_vote_is_enough)
{
    for (int64_t copy = 0; copy < 2; copy++) {
        struct lives l;
        live_once(&l, 5);
        tamper(&l, "/data/meta/vote", copy * 4096 + 50);
        lives_run(&l, 0, SIM_CRASH_KILL);
        expect(&l, SIM_STOPPED, "copy", (uint64_t)copy);
        lives_deinit(&l);
    }
}

Test(meta, a_lost_vote_stops_the_node_until_a_person_decides)
{
    struct lives l;
    live_once(&l, 6);
    tamper(&l, "/data/meta/vote", 50);
    tamper(&l, "/data/meta/vote", 4096 + 50);
    expect_refusal(&l, ERR_DAMAGED, "/data/meta/vote");
    cr_assert(strstr(l.open.why, "--accept-loss"), "says \"%s\"", l.open.why);
    tamper(&l, "/data/meta/vote", -1);
    expect_refusal(&l, ERR_DAMAGED, "/data/meta/vote");
    l.options.accept_loss = true;
    lives_run(&l, 0, SIM_CRASH_KILL);
    expect(&l, SIM_STOPPED, "accepted", 0);
    l.options.accept_loss = false;
    lives_run(&l, 0, SIM_CRASH_KILL);
    expect(&l, SIM_STOPPED, "afterwards", 0);
    lives_deinit(&l);
}

Test(meta, properties_damaged_missing_or_of_another_node)
{
    struct lives l;
    live_once(&l, 7);
    tamper(&l, "/data/meta/meta.properties", 20);
    expect_refusal(&l, ERR_DAMAGED, "meta.properties");
    tamper(&l, "/data/meta/meta.properties", 20);
    l.options.node_id = 2;
    expect_refusal(&l, ERR_INVALID_ARGUMENT, "belongs to node.id 1");
    l.options.node_id = 1;
    lives_run(&l, 0, SIM_CRASH_KILL);
    expect(&l, SIM_STOPPED, "repaired", 0);
    tamper(&l, "/data/meta/meta.properties", -1);
    expect_refusal(&l, ERR_DAMAGED, "meta.properties");
    lives_deinit(&l);
}

/* The journal and its checkpoints gone: the log looks new, but the vote knows better. */
Test(meta, a_lost_log_is_not_a_new_cluster)
{
    static const char *const files[] = {
        "/data/meta/journal-0/checkpoint-0", "/data/meta/journal-0/checkpoint-1",
        "/data/meta/journal-0/durable-0000", "/data/meta/journal-0/durable-0001"};
    struct lives l;
    lives_init(&l, 8, 1);
    l.options.snapshot_bytes = 1 << 20;
    lives_run(&l, 0, SIM_CRASH_KILL);
    expect(&l, SIM_STOPPED, "before", 0);
    for (size_t i = 0; i < array_size(files); i++) {
        tamper(&l, files[i], -1);
    }
    l.expect_error = ERR_DAMAGED;
    lives_run(&l, 0, SIM_CRASH_KILL);
    cr_assert_not(l.opened, "a lost log must not found anything");
    cr_assert_neq(l.open_error, 0);
    lives_deinit(&l);
}
