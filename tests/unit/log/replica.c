/* SPDX-License-Identifier: Apache-2.0 */

/* What two replicas of a partition ask of their logs: where an epoch ends, to truncate there, to append what the
 * other one has. By these alone a follower that has gone another way becomes its leader's copy (KIP-595, P16),
 * whoever led before and however little of it was replicated. */
#include "world.h"

#include <criterion/criterion.h>
#include <stdlib.h>

enum { PIECE = 2000 }; /* of a fetch: a few batches */

struct pair {
    struct world world;
    struct prng random;
    int32_t epoch;
};

static struct bytes read_piece(struct pair *p, unsigned slot, int64_t offset)
{
    struct wire_writer out;
    wire_writer_init(&out, &p->world.memory, 1 << 20);
    struct log_read r = {.offset = offset,
                         .limit_offset = world_status(&p->world, slot).end_offset,
                         .bytes_max = PIECE,
                         .first_whole = true};
    cr_assert_eq(world_read(&p->world, slot, &r, &out), 0);
    uint8_t *copy = malloc(out.size + 1);
    memcpy(copy, out.data, out.size);
    struct bytes piece = bytes_of(copy, out.size);
    wire_writer_deinit(&out);
    return piece;
}

/* One answer of the leader to a fetch of the follower. True: the follower has all of it. */
static bool fetch(struct pair *p, unsigned leader, bool gaps)
{
    struct world *w = &p->world;
    unsigned follower = 1 - leader;
    struct log_status s = world_status(w, follower);
    int32_t found = -1, known;
    int64_t end = log_epoch_end(world_log(w, leader), s.leader_epoch, &found);
    if (s.end_offset > 0 && (found != s.leader_epoch || end < s.end_offset)) {
        int64_t local = log_epoch_end(world_log(w, follower), found, &known);
        int64_t to = found < 0 || known < 0 ? 0 : local < end ? local : end;
        cr_assert_lt(to, s.end_offset, "it would go on for ever");
        cr_assert_eq(world_control(w, follower, LOG_TRUNCATE, to), 0);
        s = world_status(w, follower);
        cr_assert(s.end_offset <= to && s.durable_offset == s.end_offset);
        return false;
    }
    if (s.end_offset == world_status(w, leader).end_offset) {
        return true;
    }
    struct bytes piece = read_piece(p, leader, s.end_offset);
    if (piece.size == 0) { /* the leader's log ends in a gap */
        free((void *)piece.data);
        return true;
    }
    struct log_follow f = {.batches = piece, .leader_epoch = p->epoch, .gaps = gaps};
    int error = world_follow(w, follower, &f);
    cr_assert_eq(error, 0, "%s: %s", error_name(error), f.refusal ? f.refusal : "");
    cr_assert_eq(world_status(w, follower).durable_offset, f.end_offset);
    free((void *)piece.data);
    return false;
}

/* No gap is in front of an epoch's first batch: then nobody could say where the one before it ends. */
static void lead(struct pair *p, unsigned leader, bool gaps)
{
    static const struct batch_spec spec = {.records = 3, .value_bytes = 150};
    p->epoch += (int32_t)prng_between(&p->random, 1, 3);
    for (uint64_t n = prng_below(&p->random, 8); n > 0; n--) {
        int64_t base = world_status(&p->world, leader).end_offset;
        bool within = world_status(&p->world, leader).leader_epoch == p->epoch;
        base += gaps && within && prng_chance(&p->random, 1, 3)
                    ? (int64_t)prng_between(&p->random, 1, 9)
                    : 0;
        struct log_follow f = {.batches = world_batches(&p->world, &spec, 1, base, 0, p->epoch),
                               .leader_epoch = p->epoch,
                               .gaps = gaps};
        cr_assert_eq(world_follow(&p->world, leader, &f), 0);
        free((void *)f.batches.data);
    }
}

static void expect_copies(struct pair *p)
{
    int64_t end[2], at = 0;
    for (unsigned slot = 0; slot < 2; slot++) {
        end[slot] = world_status(&p->world, slot).end_offset;
    }
    while (at < end[0] && at < end[1]) {
        struct bytes a = read_piece(p, 0, at), b = read_piece(p, 1, at);
        size_t size = a.size < b.size ? a.size : b.size; /* segments may end elsewhere */
        cr_assert_eq(memcmp(a.data, b.data, size), 0, "they differ at %lld", (long long)at);
        for (size_t k = 0; k < size;) {
            struct batch_header h;
            cr_assert_eq(batch_header_read(&h, a.data + k, size - k), 0);
            k += h.size;
            at = batch_last_offset(&h) + 1;
        }
        bool over = size == 0;
        free((void *)a.data);
        free((void *)b.data);
        if (over) {
            break;
        }
    }
}

static void replicate(uint64_t seed, bool gaps)
{
    struct pair p = {.random = prng_of(seed)};
    struct world *w = &p.world;
    world_open(w, seed);
    w->slots[0].config.segment_bytes = w->slots[1].config.segment_bytes = 8192;
    w->slots[0].in_gap = w->slots[1].in_gap = gaps;
    world_started(w, 1);
    for (unsigned round = 0; round < 12; round++) {
        unsigned leader = (unsigned)prng_below(&p.random, 2);
        bool whole = round % 4 == 3;
        lead(&p, leader, gaps);
        for (uint64_t n = prng_below(&p.random, 6); (n > 0 || whole) && !fetch(&p, leader, gaps);) {
            n -= n > 0;
        }
        if (whole) {
            expect_copies(&p);
        }
        if (prng_chance(&p.random, 1, 4)) {
            world_power_cut(w);
            world_started(w, 1);
        }
    }
    world_close(w);
}

Test(replica, a_follower_that_went_another_way_becomes_a_copy)
{
    for (uint64_t seed = 0; seed < 60; seed++) {
        replicate(1000 + seed, false);
    }
}

Test(replica, with_the_gaps_of_its_leader)
{
    for (uint64_t seed = 0; seed < 60; seed++) {
        replicate(2000 + seed, true);
    }
}

/* Wherever in a batch the offset lies, the whole batch goes, and that is durable when it is told. */
Test(replica, a_truncation_cuts_whole_batches)
{
    for (int64_t offset = 29; offset > 0; offset -= 4) {
        struct pair p = {.random = prng_of((uint64_t)offset)};
        struct world *w = &p.world;
        static const struct batch_spec spec = {.records = 3, .value_bytes = 700};
        world_open(w, (uint64_t)offset);
        w->slots[0].config.segment_bytes = 8192;
        world_started(w, 1);
        struct log_follow f = {.batches = world_batches(w, &spec, 10, 0, 0, 1), .leader_epoch = 1};
        cr_assert_eq(world_follow(w, 0, &f), 0);
        free((void *)f.batches.data);
        cr_assert_eq(world_control(w, 0, LOG_TRUNCATE, offset), 0);
        for (unsigned life = 0; life < 2; life++) {
            struct log_status s = world_status(w, 0);
            cr_assert(s.end_offset == offset / 3 * 3 && s.durable_offset == s.end_offset);
            cr_assert_eq(s.leader_epoch, offset < 3 ? -1 : 1);
            cr_assert_eq(world_check(w, 0), (unsigned)offset / 3);
            world_power_cut(w);
            world_started(w, 1);
        }
        world_close(w);
    }
}
