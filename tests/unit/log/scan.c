/* SPDX-License-Identifier: Apache-2.0 */

/* Which groups of a journal replay follows, and what is damage, torn, or of another life. */
#include "log/scan.h"

#include "base/crc32c.h"
#include "base/errors.h"

#include <criterion/criterion.h>

enum { BLOCK = 4096, BLOCKS = 32, FILES = 3, SEED = 0x1234 };

struct journal_bytes {
    uint8_t data[FILES][BLOCKS * BLOCK];
    struct memory memory;
    struct scan scan;
};

static struct journal_bytes *journal_new(void)
{
    static struct journal_bytes j;
    memset(&j, 0, sizeof j);
    memory_init(&j.memory, 16 << 20);
    return &j;
}

/* A group of `count` entries with bodies of `body` bytes. */
static void put(struct journal_bytes *j, unsigned file, unsigned block, uint32_t seed,
                uint64_t sequence, uint32_t count, uint64_t settled, uint32_t body)
{
    uint8_t *at = j->data[file] + (size_t)block * BLOCK;
    uint32_t size = GROUP_HEADER_SIZE;
    for (uint32_t i = 0; i < count; i++) {
        struct entry e = {.kind = ENTRY_APPEND, .body_size = body, .offset = (int64_t)sequence + i};
        entry_header_encode(&e, at + size);
        size += ENTRY_HEADER_SIZE;
        memset(at + size, (int)(sequence + i), body);
        size += body;
    }
    struct group_header g = {
        .size = size, .count = count, .sequence = sequence, .settled = settled};
    group_header_encode(&g, seed, crc32c(0, at + GROUP_HEADER_SIZE, size - GROUP_HEADER_SIZE), at);
}

static void run(struct journal_bytes *j, uint64_t live, uint64_t mark)
{
    scan_init(&j->scan, &j->memory, SEED, BLOCK, live);
    for (unsigned f = 0; f < FILES; f++) {
        cr_assert_eq(scan_bytes(&j->scan, f, j->data[f], 0, sizeof j->data[f]), 0);
    }
    cr_assert_eq(scan_chain(&j->scan, live, mark), 0);
}

static void expect_chain(const struct journal_bytes *j, uint64_t next, bool damaged)
{
    const struct scan *s = &j->scan;
    cr_assert_eq(s->next_sequence, next, "the chain ends before %llu, expected %llu",
                 (unsigned long long)s->next_sequence, (unsigned long long)next);
    cr_assert_eq(s->damaged, damaged, "%s",
                 damaged ? "damage is not seen" : "damage without damage");
    uint64_t want = s->live;
    for (size_t i = 0; i < s->chain_count; i++) {
        const struct scan_group *g = &s->groups[s->chain[i]];
        cr_assert(g->sequence <= want && g->sequence + g->count > want, "group %zu", i);
        want = g->sequence + g->count;
    }
    cr_assert_eq(want, next);
}

static void done(struct journal_bytes *j)
{
    scan_deinit(&j->scan);
    cr_assert_eq(j->memory.used_bytes, 0);
}

Test(scan, nothing)
{
    struct journal_bytes *j = journal_new();
    run(j, 5, 4);
    expect_chain(j, 5, false);
    done(j);
    j = journal_new();
    run(j, 5, 5); /* the checkpoint says that entry 5 is durable: it is gone */
    expect_chain(j, 5, true);
    done(j);
}

/* Over files in any order, with groups of several blocks. */
Test(scan, a_chain_over_files)
{
    struct journal_bytes *j = journal_new();
    put(j, 1, 1, SEED, 10, 3, 9, 100);
    put(j, 1, 2, SEED, 13, 1, 9, 9000);
    put(j, 2, 1, SEED, 14, 2, 13, 10);
    put(j, 0, 1, SEED, 16, 0, 15, 0); /* only a mark */
    put(j, 0, 2, SEED, 16, 4, 15, 3000);
    run(j, 10, 0);
    expect_chain(j, 20, false);
    cr_assert_eq(j->scan.chain_count, 4);
    cr_assert_eq(j->scan.torn_bytes, 0);
    done(j);
}

Test(scan, what_is_below_the_live_sequence_is_skipped)
{
    struct journal_bytes *j = journal_new();
    put(j, 0, 1, SEED, 1, 3, 0, 10);
    put(j, 0, 2, SEED, 4, 4, 3, 10); /* 4 .. 7: the checkpoint was captured in the middle */
    put(j, 0, 3, SEED, 8, 1, 7, 10);
    run(j, 6, 5);
    expect_chain(j, 9, false);
    cr_assert_eq(j->scan.chain_count, 2);
    done(j);
}

Test(scan, other_lives_do_not_count)
{
    struct journal_bytes *j = journal_new();
    put(j, 0, 1, SEED, 1, 3, 0, 10);
    put(j, 0, 2, SEED + 1, 4, 4, 3, 10);
    put(j, 1, 1, SEED + 1, 8, 4, 7, 10);
    run(j, 1, 0);
    expect_chain(j, 4, false);
    done(j);
}

/* A hole: damage if a mark of any later group, or of the checkpoint, covers it. */
Test(scan, a_hole_is_damage_or_a_torn_tail)
{
    static const struct {
        uint64_t settled_after, mark;
        bool damaged;
    } cases[] = {
        {3, 0, false}, {4, 0, true}, {5, 0, true}, {3, 3, false}, {3, 4, true}, {0, 9, true},
    };
    for (unsigned i = 0; i < array_size(cases); i++) {
        struct journal_bytes *j = journal_new();
        put(j, 0, 1, SEED, 1, 3, 0, 10);
        /* 4 is missing */
        put(j, 0, 3, SEED, 5, 2, cases[i].settled_after, 10);
        run(j, 1, cases[i].mark);
        expect_chain(j, 4, cases[i].damaged);
        cr_assert_gt(j->scan.torn_bytes, 0);
        cr_assert_eq(j->scan.damage_file, 0);
        cr_assert_eq(j->scan.damage_position, 2 * BLOCK, "the position of the hole is %llu",
                     (unsigned long long)j->scan.damage_position);
        done(j);
    }
}

/* The first live group is gone: it stood behind the last one that is not needed any more. */
Test(scan, a_hole_at_the_beginning)
{
    struct journal_bytes *j = journal_new();
    put(j, 1, 1, SEED, 1, 3, 0, 10);
    put(j, 1, 5, SEED, 5, 2, 4, 10);
    run(j, 4, 3);
    expect_chain(j, 4, true);
    cr_assert_eq(j->scan.damage_file, 1);
    cr_assert_eq(j->scan.damage_position, 2 * BLOCK);
    done(j);
}

Test(scan, a_mark_alone_shows_the_hole)
{
    struct journal_bytes *j = journal_new();
    put(j, 0, 1, SEED, 1, 3, 0, 10);
    put(j, 0, 3, SEED, 6, 0, 5, 0);
    run(j, 1, 0);
    expect_chain(j, 4, true);
    done(j);
}

/* Each bit of each group: the chain ends before it, and damage is said exactly when a mark of what
 * is still there covers it. */
Test(scan, every_bit_of_a_chain)
{
    struct journal_bytes *j = journal_new();
    for (uint64_t n = 0; n < 6; n++) {
        put(j, 0, (unsigned)n + 1, SEED, 1 + n, 1, n, 5);
    }
    enum { SIZE = GROUP_HEADER_SIZE + ENTRY_HEADER_SIZE + 5 };
    for (unsigned n = 0; n < 6; n++) {
        for (unsigned bit = 0; bit < SIZE * 8; bit += 3) {
            uint8_t *byte = &j->data[0][(n + 1) * BLOCK + bit / 8];
            *byte ^= (uint8_t)(1u << bit % 8);
            run(j, 1, 0);
            /* the mark of group n + 2 covers entry n + 1 */
            expect_chain(j, n + 1, n < 5);
            cr_assert_eq(j->scan.damage_position, (n + 1) * BLOCK);
            *byte ^= (uint8_t)(1u << bit % 8);
            done(j);
        }
    }
}

/* What a batch carries is never taken for a group: it lies inside a valid one. */
Test(scan, a_group_inside_a_body)
{
    struct journal_bytes *j = journal_new();
    put(j, 0, 3, SEED, 2, 1, 1, 10); /* stands where the body of the next one will be */
    uint8_t inner[BLOCK];
    memcpy(inner, j->data[0] + 3 * BLOCK, sizeof inner);
    put(j, 0, 1, SEED, 1, 1, 0, 3 * BLOCK);
    uint8_t *at = j->data[0] + BLOCK;
    memcpy(at + 2 * BLOCK, inner, sizeof inner);
    uint32_t size = GROUP_HEADER_SIZE + ENTRY_HEADER_SIZE + 3 * BLOCK;
    struct group_header g = {.size = size, .count = 1, .sequence = 1};
    group_header_encode(&g, SEED, crc32c(0, at + GROUP_HEADER_SIZE, size - GROUP_HEADER_SIZE), at);
    run(j, 1, 0);
    expect_chain(j, 2, false);
    cr_assert_eq(j->scan.count, 1);
    done(j);
}

/* Extremes of sequences and sizes from a journal that somebody wrote with the right sum. */
Test(scan, numbers_at_their_limits)
{
    struct journal_bytes *j = journal_new();
    put(j, 0, 1, SEED, UINT64_MAX, 1, UINT64_MAX, 10);
    put(j, 0, 2, SEED, UINT64_MAX - 1, 3, 0, 10);
    put(j, 0, 3, SEED, 0, 1, 0, 10);
    run(j, 1, 0);
    cr_assert_eq(j->scan.chain_count, 0);
    done(j);
}
