/* SPDX-License-Identifier: Apache-2.0 */

/* The explorer on a store small enough to be seen through: numbered blocks appended to one file,
 * each told when it is durable. Done right it survives every walk; each of four classic mistakes is
 * caught, which shows that the kinds of crashes that reveal them do occur. */
#include "sim/explore.h"

#include <criterion/criterion.h>

#include <errno.h>

enum mistake {
    RIGHT,
    TOLD_EARLY,      /* before its write has ended */
    NOT_DURABLE,     /* the write ends, nothing is synced */
    NAME_NOT_SYNCED, /* the directory of the new file is never synced */
    VISIBLE_IS_TOLD, /* recovery takes what a kill left visible for durable, and says so */
    MISTAKES,
};

enum { BLOCKS_MAX = 40, BLOCK = IO_BLOCK_SIZE };

/* The test's: survives crashes. */
struct toy {
    enum mistake mistake;
    uint64_t told;  /* blocks 0 .. told - 1 must be there */
    uint64_t given; /* blocks that may be there */
};

/* The node's. */
struct toy_node {
    struct sim_storage *st;
    struct toy *toy;
    struct io *io;
    struct io_file *file, *root;
    struct io_op op;
    struct iovec iov;
    uint8_t *block;
    uint64_t count;
};

static void append(struct toy_node *n);

static void block_make(uint8_t *block, uint64_t number)
{
    struct prng random = prng_of(number + 77);
    prng_fill(&random, block, BLOCK);
}

static void tell(struct toy_node *n)
{
    struct toy *toy = n->toy;
    toy->told = n->count > toy->told ? n->count : toy->told;
}

static void appended(struct io_op *op, int64_t result)
{
    struct toy_node *n = container_of(op, struct toy_node, op);
    assert(result == BLOCK);
    n->count++;
    tell(n);
    append(n);
}

static void append(struct toy_node *n)
{
    struct toy *toy = n->toy;
    if (n->count == BLOCKS_MAX) {
        io_stop(n->io);
        return;
    }
    block_make(n->block, n->count);
    toy->given = n->count + 1 > toy->given ? n->count + 1 : toy->given;
    n->iov = (struct iovec){n->block, BLOCK};
    n->op.done = appended;
    io_write(n->io, &n->op, n->file, &n->iov, 1, n->count * BLOCK,
             toy->mistake == NOT_DURABLE ? 0 : IO_WRITE_DURABLE);
    if (toy->mistake == TOLD_EARLY) {
        toy->told = toy->given;
    }
}

static void judge(struct toy_node *n)
{
    struct toy *toy = n->toy;
    if (n->count < toy->told || n->count > toy->given) {
        sim_storage_violation(n->st, "%llu blocks, told %llu, given %llu",
                              (unsigned long long)n->count, (unsigned long long)toy->told,
                              (unsigned long long)toy->given);
    }
    if (!n->st->probing) { /* what was shown is told; what came after it may be gone for good */
        toy->told = toy->given = n->count;
    }
    sim_storage_recovered(n->st);
    if (!n->st->probing) {
        append(n);
    }
}

static void name_synced(struct io_op *op, int64_t result)
{
    struct toy_node *n = container_of(op, struct toy_node, op);
    assert(result == 0);
    judge(n);
}

static void recover_next(struct toy_node *n);

static void block_read(struct io_op *op, int64_t result)
{
    struct toy_node *n = container_of(op, struct toy_node, op);
    uint8_t want[BLOCK];
    block_make(want, n->count);
    if (result == BLOCK && memcmp(want, n->block, BLOCK) == 0) {
        n->count++;
        recover_next(n);
    } else if (n->toy->mistake == NAME_NOT_SYNCED) {
        judge(n);
    } else {
        n->op.done = name_synced;
        io_sync(n->io, &n->op, n->root);
    }
}

static void recover_next(struct toy_node *n)
{
    n->op.done = block_read;
    io_read(n->io, &n->op, n->file, n->block, BLOCK, n->count * BLOCK);
}

static void file_synced(struct io_op *op, int64_t result)
{
    assert(result == 0);
    recover_next(container_of(op, struct toy_node, op));
}

static void start(struct io *io, void *argument)
{
    struct sim_storage *st = argument;
    struct toy_node *n = memory_alloc(io_memory(io), sizeof *n);
    *n = (struct toy_node){.st = st, .toy = st->scenario->context, .io = io};
    n->block = memory_alloc_aligned(io_memory(io), BLOCK, BLOCK);
    int error = io_file_open(io, &n->file, "/store",
                             IO_OPEN_CREATE | IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_DIRECT);
    assert(!error);
    error = io_file_open(io, &n->root, "/", IO_OPEN_DIRECTORY);
    assert(!error);
    if (n->toy->mistake == VISIBLE_IS_TOLD) {
        recover_next(n);
    } else { /* a kill leaves visible what is not durable */
        n->op.done = file_synced;
        io_sync(io, &n->op, n->file);
    }
}

static unsigned life(struct sim_storage *st, void *context)
{
    return 1;
}

static struct sim_storage_options options_of(uint64_t seed)
{
    return (struct sim_storage_options){
        .seed = seed,
        .lives = 6,
        .images = 4,
        .operations_max = 60,
        .recovery_crash = 200,
        .power = 500,
        .life_ns_max = 60 * 1000000000ull,
        .memory_bytes = 1 << 20,
        .disk_bytes = 1 << 20,
    };
}

/* The first of `walks` seeds that shows a violation, or 0. */
static uint64_t explore(enum mistake mistake, uint64_t walks, struct sim_storage_stats *stats,
                        uint64_t *hash)
{
    for (uint64_t seed = 1; seed <= walks; seed++) {
        struct toy toy = {.mistake = mistake};
        struct sim_storage st;
        const struct sim_storage_scenario scenario = {
            .life = life, .start = start, .context = &toy};
        struct sim_storage_options options = options_of(seed);
        if (sim_storage_walk(&st, &scenario, &options, stats) < 0) {
            return seed;
        }
        *hash = prng_mix(*hash ^ toy.told ^ stats->events);
    }
    return 0;
}

Test(explore, a_right_store_survives)
{
    struct sim_storage_stats stats = {0}, again = {0};
    uint64_t hash = 0, hash_again = 0;
    cr_assert_eq(explore(RIGHT, 400, &stats, &hash), 0);
    cr_assert_gt(stats.crashes, 400 * 6 * 4);
    cr_assert_gt(stats.recovery_crashes, 300);
    cr_assert_gt(stats.stops, 50);
    cr_assert_eq(explore(RIGHT, 400, &again, &hash_again), 0);
    cr_assert_eq(hash, hash_again, "walks depend on their seeds alone");
}

Test(explore, classic_mistakes_are_caught)
{
    for (enum mistake m = TOLD_EARLY; m < MISTAKES; m++) {
        struct sim_storage_stats stats = {0};
        uint64_t hash = 0, seed = explore(m, 400, &stats, &hash);
        cr_assert_gt(seed, 0, "mistake %d is not caught", m);
    }
}

/* --- a store that does not come to an end, and one that gives up -------------------------- */

static void start_idle(struct io *io, void *argument)
{
}

static void start_fatal(struct io *io, void *argument)
{
    io_fatal(io, "no disk");
}

static void start_stop(struct io *io, void *argument)
{
    io_stop(io);
}

Test(explore, a_store_without_an_answer_is_a_violation)
{
    static void (*const starts[])(struct io * io, void *argument) = {start_idle, start_fatal,
                                                                     start_stop};
    static const char *const says[] = {"nothing happens any more", "io_fatal: no disk",
                                       "recovery ended without an answer"};
    for (unsigned i = 0; i < 3; i++) {
        struct toy toy = {0};
        struct sim_storage st;
        struct sim_storage_stats stats = {0};
        const struct sim_storage_scenario scenario = {
            .life = life, .start = starts[i], .context = &toy};
        struct sim_storage_options options = options_of(1);
        cr_assert_eq(sim_storage_walk(&st, &scenario, &options, &stats), -1);
        cr_assert(strstr(st.violation, says[i]), "%s", st.violation);
    }
}
