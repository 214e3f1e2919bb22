/* SPDX-License-Identifier: Apache-2.0 */

/* Files, timers and messages through the seam: faults, and the rules that callers must keep. */
#include "sim/sim.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <signal.h>

enum { OPS = 8, BLOCK = IO_BLOCK_SIZE };

/* One shard that submits something when it starts; its results go to the test's memory. */
struct probe_op {
    struct io_op op;
    struct probe *probe;
};

struct probe {
    struct io *io;
    struct sim *sim;
    struct sim_node *node;
    struct probe_op ops[OPS];
    int64_t results[OPS];
    unsigned order[OPS], done, wanted;
    struct io_file *file;
    uint8_t *block;
    struct iovec iov;
    unsigned flags;
    void (*act)(struct probe *p);
};

static void probe_done(struct io_op *op, int64_t result)
{
    struct probe_op *o = container_of(op, struct probe_op, op);
    struct probe *p = o->probe;
    p->results[o - p->ops] = result;
    p->order[p->done] = (unsigned)(o - p->ops);
    if (++p->done == p->wanted) {
        io_stop(p->io);
    }
}

static struct io_op *next(struct probe *p)
{
    struct probe_op *o = &p->ops[p->wanted++];
    o->op.done = probe_done;
    o->probe = p;
    return &o->op;
}

static void probe_start(struct io *io, void *argument)
{
    struct probe *p = argument;
    p->io = io;
    p->block = memory_alloc_aligned(io_memory(io), BLOCK, BLOCK);
    memset(p->block, 'x', BLOCK);
    p->iov = (struct iovec){p->block, BLOCK};
    int error =
        io_file_open(io, &p->file, "/f", IO_OPEN_CREATE | IO_OPEN_READ | IO_OPEN_WRITE | p->flags);
    cr_assert_eq(error, 0);
    p->act(p);
    if (p->wanted == 0) {
        io_stop(io);
    }
}

static struct probe begin(uint64_t seed, void (*act)(struct probe *p))
{
    struct probe p = {.act = act};
    p.sim = sim_new(&(struct sim_options){.seed = seed, .disk_bytes = 16 * BLOCK});
    p.node = sim_node_new(p.sim, "one");
    return p;
}

static void run(struct probe *p)
{
    sim_node_start(p->node, 1, probe_start, p);
    sim_run(p->sim, sim_now(p->sim) + 10 * 1000000000ull);
}

static void write_block(struct probe *p, uint32_t block, unsigned flags)
{
    io_write(p->io, next(p), p->file, &p->iov, 1, (uint64_t)block * BLOCK, flags);
}

static void act_write(struct probe *p)
{
    write_block(p, 0, 0);
    cr_assert_eq(p->done, 0, "never from inside the call");
}

static void act_read(struct probe *p)
{
    memset(p->block, 0, BLOCK);
    io_read(p->io, next(p), p->file, p->block, BLOCK, 0);
}

Test(file, a_write_and_a_read)
{
    struct probe p = begin(1, act_write);
    run(&p);
    cr_assert_eq(p.results[0], BLOCK);
    p.done = p.wanted = 0;
    p.act = act_read;
    run(&p);
    cr_assert_eq(p.results[0], BLOCK);
    cr_assert_eq(sim_node_state(p.node), SIM_STOPPED);
    sim_free(p.sim);
}

Test(file, faults_are_reported)
{
    struct probe p = begin(1, act_read);
    sim_faults(p.sim)->read_error = 1000000;
    run(&p);
    cr_assert_eq(p.results[0], -EIO);
    p.done = p.wanted = 0;
    p.act = act_write;
    sim_faults(p.sim)->write_error = 1000000;
    run(&p);
    cr_assert_eq(p.results[0], -EIO);
    sim_free(p.sim);
}

static void act_sync(struct probe *p)
{
    io_sync(p->io, next(p), p->file);
    io_sync_all(p->io, next(p), p->file);
}

Test(file, a_sync_fails_when_told_to)
{
    struct probe p = begin(1, act_sync);
    run(&p);
    cr_assert_eq(p.results[0], 0);
    cr_assert_eq(p.results[1], 0);
    p.done = p.wanted = 0;
    sim_faults(p.sim)->sync_error = 1000000;
    run(&p);
    cr_assert_eq(p.results[0], -EIO);
    cr_assert_eq(p.results[1], -EIO);
    sim_free(p.sim);
}

static void act_fill(struct probe *p)
{
    io_allocate(p->io, next(p), p->file, 0, 17 * BLOCK);
    write_block(p, 20, 0);
    io_truncate(p->io, next(p), p->file, 21 * BLOCK);
    io_unlink(p->io, next(p), "/missing");
    struct io_disk space;
    cr_assert_eq(io_disk(p->io, "/", &space), 0);
    cr_assert_eq(space.total_bytes, 16 * BLOCK);
    cr_assert_eq(space.free_bytes, 15 * BLOCK, "a submitted write has taken its block");
}

Test(file, a_full_disk)
{
    struct probe p = begin(1, act_fill);
    p.act = act_fill;
    run(&p);
    cr_assert_eq(p.results[0], -ENOSPC);
    cr_assert_eq(p.results[1], BLOCK);
    cr_assert_eq(p.results[2], 0);
    cr_assert_eq(p.results[3], -ENOENT);
    sim_free(p.sim);
}

static void act_direct(struct probe *p)
{
    cr_assert_eq(io_file_direct(p->file), p->results[OPS - 1]);
}

Test(file, direct_may_be_refused)
{
    struct probe p = begin(1, act_direct);
    p.flags = IO_OPEN_DIRECT;
    p.results[OPS - 1] = 1;
    run(&p);
    sim_faults(p.sim)->direct_refused = true;
    p.results[OPS - 1] = 0;
    run(&p);
    sim_free(p.sim);
}

static void act_lock(struct probe *p)
{
    struct io_file *again;
    cr_assert_eq(io_file_open(p->io, &again, "/f", IO_OPEN_READ), 0);
    cr_assert_eq(io_file_lock(p->io, p->file), 0);
    cr_assert_eq(io_file_lock(p->io, again), -EWOULDBLOCK);
    io_file_close(p->io, p->file);
    cr_assert_eq(io_file_lock(p->io, again), 0);
}

Test(file, a_lock_has_one_owner_and_ends_with_the_node)
{
    struct probe p = begin(1, act_lock);
    run(&p);
    run(&p);
    cr_assert_eq(sim_node_state(p.node), SIM_STOPPED);
    sim_free(p.sim);
}

static void act_many(struct probe *p)
{
    for (uint32_t i = 0; i < OPS; i++) {
        write_block(p, i, 0);
    }
}

Test(file, operations_end_in_any_order)
{
    unsigned swapped = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct probe p = begin(seed, act_many);
        run(&p);
        cr_assert_eq(p.done, OPS);
        for (unsigned i = 1; i < OPS; i++) {
            swapped += p.order[i] < p.order[i - 1];
        }
        sim_free(p.sim);
    }
    cr_assert_gt(swapped, 40);
}

static void act_cancel(struct probe *p)
{
    struct io_op *timer = next(p), *read = next(p), *write = next(p);
    io_timer(p->io, timer, UINT64_MAX);
    io_read(p->io, read, p->file, p->block, BLOCK, 0);
    io_write(p->io, write, p->file, &p->iov, 1, BLOCK, 0);
    io_cancel(p->io, timer);
    io_cancel(p->io, timer);
    io_cancel(p->io, read);
    io_cancel(p->io, write);
    io_cancel(p->io, &(struct io_op){0});
    cr_assert_eq(p->done, 0);
}

Test(file, cancelled_operations_end_once)
{
    struct probe p = begin(1, act_cancel);
    run(&p);
    cr_assert_eq(p.done, 3);
    cr_assert_eq(p.results[0], -ECANCELED);
    cr_assert_eq(p.results[1], -ECANCELED);
    cr_assert_eq(p.results[2], BLOCK, "a write runs to its end");
    sim_free(p.sim);
}

static void act_change(struct probe *p)
{
    write_block(p, 0, 0);
    p->block[100] ^= 1;
}

Test(file, lent_memory_must_not_change, .signal = SIGABRT)
{
    struct probe p = begin(1, act_change);
    run(&p);
}

static void act_misaligned(struct probe *p)
{
    p->iov = (struct iovec){p->block + 512, 512};
    write_block(p, 0, 0);
}

Test(file, direct_files_want_whole_blocks, .signal = SIGABRT)
{
    struct probe p = begin(1, act_misaligned);
    p.flags = IO_OPEN_DIRECT;
    run(&p);
}

static void act_overlap(struct probe *p)
{
    write_block(p, 0, 0);
    write_block(p, 0, 0);
}

Test(file, overlapping_writes_are_refused, .signal = SIGABRT)
{
    struct probe p = begin(1, act_overlap);
    run(&p);
}

static void act_twice(struct probe *p)
{
    struct io_op *op = next(p);
    io_timer(p->io, op, 1000);
    io_timer(p->io, op, 2000);
}

Test(file, an_operation_in_flight_is_not_submitted_again, .signal = SIGABRT)
{
    struct probe p = begin(1, act_twice);
    run(&p);
}

/* --- messages ------------------------------------------------------------------------ */

enum { MESSAGES = 50, SENDERS = 3 };

struct letter {
    struct io_message message;
    struct post *post;
    unsigned from, number;
};

struct post {
    struct letter letters[SENDERS][MESSAGES];
    unsigned next[SENDERS], order[SENDERS * MESSAGES], count;
};

static void letter_read(struct io_message *m, struct io *io)
{
    struct letter *l = container_of(m, struct letter, message);
    cr_assert_eq(io_shard(io), 0);
    cr_assert_eq(l->number, l->post->next[l->from]++, "of one sender in order");
    l->post->order[l->post->count++] = l->from;
    if (l->post->count == SENDERS * MESSAGES) {
        io_stop(io);
    }
}

static void post_start(struct io *io, void *argument)
{
    struct post *post = argument;
    unsigned me = io_shard(io);
    for (unsigned i = 0; i < MESSAGES; i++) {
        struct letter *l = &post->letters[me][i];
        *l = (struct letter){.post = post, .from = me, .number = i};
        l->message.deliver = letter_read;
        io_post(io, 0, &l->message);
    }
    if (me != 0) {
        io_stop(io);
    }
}

Test(file, messages_of_one_sender_keep_their_order)
{
    static struct post post;
    struct sim *sim = sim_new(&(struct sim_options){.seed = 3});
    struct sim_node *n = sim_node_new(sim, "one");
    sim_node_start(n, SENDERS, post_start, &post);
    sim_run(sim, 1000000000);
    cr_assert_eq(sim_node_state(n), SIM_STOPPED);
    unsigned mixed = 0;
    for (unsigned i = 1; i < SENDERS * MESSAGES; i++) {
        mixed += post.order[i] != post.order[i - 1];
    }
    cr_assert_gt(mixed, 3, "those of different senders mix");
    sim_free(sim);
}
