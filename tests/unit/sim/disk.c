/* SPDX-License-Identifier: Apache-2.0 */

/* What the simulated disk may leave after a crash: every allowed outcome occurs, no other does. */
#include "sim/disk.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

enum { BLOCK = DISK_BLOCK_SIZE, DRAWS = 3000 };

static const struct disk_crash plain = {0};

static struct disk_inode *make(struct disk *d, const char *path)
{
    struct disk_inode *inode;
    cr_assert_eq(disk_open(d, &inode, path, DISK_OPEN_CREATE), 0);
    return inode;
}

static struct disk_op *begin(struct disk *d, struct disk_inode *inode, uint32_t block, int fill,
                             bool durable)
{
    static uint8_t bytes[BLOCK];
    memset(bytes, fill, sizeof bytes);
    struct iovec iov = {bytes, BLOCK};
    return disk_write_begin(d, inode, &iov, 1, (uint64_t)block * BLOCK, durable);
}

static void put(struct disk *d, struct disk_inode *inode, uint32_t block, int fill, bool durable)
{
    cr_assert_eq(disk_end(d, begin(d, inode, block, fill, durable)), BLOCK);
}

static void sync_now(struct disk *d, struct disk_inode *inode)
{
    cr_assert_eq(disk_end(d, disk_sync_begin(d, inode)), 0);
}

static void sync_path(struct disk *d, const char *path)
{
    struct disk_inode *inode = disk_find(d, path);
    cr_assert(inode);
    sync_now(d, inode);
}

/* The letter that fills a block as a reader sees it, or -1. */
static int look(struct disk *d, const char *path, uint32_t block)
{
    uint8_t bytes[BLOCK];
    const struct disk_inode *inode = disk_find(d, path);
    if (!inode) {
        return -2;
    }
    disk_peek(d, inode, block, bytes);
    for (int i = 1; i < BLOCK; i++) {
        if (bytes[i] != bytes[0]) {
            return -1;
        }
    }
    return bytes[0];
}

/* Draws many power cuts from one disk and counts the letters of a block. */
static void draw(struct disk *from, const struct disk_crash *how, const char *path, uint32_t block,
                 int counts[258])
{
    struct prng random = prng_of(7);
    memset(counts, 0, 258 * sizeof *counts);
    for (int i = 0; i < DRAWS; i++) {
        struct disk *d = disk_copy(from);
        disk_power_cut(d, how, &random);
        counts[look(d, path, block) + 2]++;
        cr_assert_eq(disk_unsynced(d), 0, "nothing is pending after a power cut");
        disk_free(d);
    }
}

#define LETTER(c) ((c) + 2)
enum { MIXED = 1, MISSING = 0 };

/* A disk with one durable file f of two blocks: 'A' and 'a'. */
static struct disk *start(struct disk_inode **f)
{
    struct disk *d = disk_new(64 * BLOCK);
    *f = make(d, "/f");
    put(d, *f, 0, 'A', true);
    put(d, *f, 1, 'a', true);
    sync_path(d, "/");
    return d;
}

Test(disk, a_power_cut_leaves_the_old_or_any_newer_version)
{
    struct disk_inode *f;
    struct disk *d = start(&f);
    put(d, f, 0, 'B', false);
    put(d, f, 0, 'C', false);
    int counts[258];
    draw(d, &plain, "/f", 0, counts);
    cr_assert_eq(counts[LETTER('A')] + counts[LETTER('B')] + counts[LETTER('C')], DRAWS);
    cr_assert_gt(counts[LETTER('A')], DRAWS / 5);
    cr_assert_gt(counts[LETTER('B')], DRAWS / 5);
    cr_assert_gt(counts[LETTER('C')], DRAWS / 5);
    draw(d, &plain, "/f", 1, counts);
    cr_assert_eq(counts[LETTER('a')], DRAWS, "a durable block never changes");
    disk_free(d);
}

Test(disk, a_power_cut_mixes_by_sectors_and_makes_garbage)
{
    struct disk_inode *f;
    struct disk *d = start(&f);
    put(d, f, 0, 'B', false);
    const struct disk_crash torn = {.torn = 1000}, garbage = {.garbage = 1000};
    struct prng random = prng_of(1);
    int mixed = 0;
    for (int i = 0; i < DRAWS; i++) {
        struct disk *copy = disk_copy(d);
        disk_power_cut(copy, &torn, &random);
        uint8_t bytes[BLOCK];
        disk_peek(copy, disk_find(copy, "/f"), 0, bytes);
        bool old = false, new = false;
        for (int at = 0; at < BLOCK; at++) {
            cr_assert(bytes[at] == 'A' || bytes[at] == 'B');
            cr_assert_eq(bytes[at], bytes[at / DISK_SECTOR_SIZE * DISK_SECTOR_SIZE],
                         "a sector is never torn");
            old |= bytes[at] == 'A';
            new |= bytes[at] == 'B';
        }
        mixed += old && new;
        disk_free(copy);
    }
    cr_assert_gt(mixed, DRAWS / 4);
    int counts[258];
    draw(d, &garbage, "/f", 0, counts);
    cr_assert_eq(counts[MIXED], DRAWS);
    disk_free(d);
}

Test(disk, a_submitted_write_is_lost_or_not_at_a_power_cut_even_a_durable_one)
{
    struct disk_inode *f;
    struct disk *d = start(&f);
    (void)begin(d, f, 0, 'B', true);
    int counts[258];
    draw(d, &plain, "/f", 0, counts);
    cr_assert_eq(counts[LETTER('A')] + counts[LETTER('B')], DRAWS);
    cr_assert_gt(counts[LETTER('A')], DRAWS / 3);
    cr_assert_gt(counts[LETTER('B')], DRAWS / 3);
    disk_free(d);
}

Test(disk, a_kill_keeps_what_is_visible_and_leaves_it_unsynced)
{
    struct disk_inode *f;
    struct disk *d = start(&f);
    struct prng random = prng_of(3);
    put(d, f, 0, 'B', false);
    (void)begin(d, f, 1, 'b', true);
    disk_kill(d, &plain, &random);
    cr_assert_eq(look(d, "/f", 0), 'B');
    cr_assert_eq(look(d, "/f", 1), 'b', "a submitted write survives a kill");
    int counts[258];
    draw(d, &plain, "/f", 0, counts);
    cr_assert_gt(counts[LETTER('A')], 0, "visible after a kill is not durable");
    draw(d, &plain, "/f", 1, counts);
    cr_assert_gt(counts[LETTER('a')], 0, "nor is a durable write that never ended");
    sync_path(d, "/f");
    draw(d, &plain, "/f", 0, counts);
    cr_assert_eq(counts[LETTER('B')], DRAWS);
    disk_free(d);
}

Test(disk, a_kill_tears_and_loses_submitted_writes_only_when_asked)
{
    struct disk_inode *f;
    struct disk *d = start(&f);
    put(d, f, 1, 'b', false);
    (void)begin(d, f, 0, 'B', false);
    const struct disk_crash torn = {.kill_torn = 1000}, lost = {.kill_lost = 1000};
    struct prng random = prng_of(4);
    int mixed = 0;
    for (int i = 0; i < 200; i++) {
        struct disk *copy = disk_copy(d);
        disk_kill(copy, &torn, &random);
        mixed += look(copy, "/f", 0) == -1;
        cr_assert_eq(look(copy, "/f", 1), 'b', "what had ended is whole");
        disk_free(copy);
        copy = disk_copy(d);
        disk_kill(copy, &lost, &random);
        cr_assert_eq(look(copy, "/f", 0), 'A');
        disk_free(copy);
    }
    cr_assert_gt(mixed, 150);
    disk_free(d);
}

Test(disk, a_sync_covers_what_had_ended_when_it_began)
{
    struct disk_inode *f;
    struct disk *d = start(&f);
    put(d, f, 0, 'B', false);
    struct disk_op *late = begin(d, f, 1, 'b', false);
    struct disk_op *sync = disk_sync_begin(d, f);
    cr_assert_eq(disk_end(d, late), BLOCK);
    put(d, f, 0, 'C', false);
    int counts[258];
    draw(d, &plain, "/f", 0, counts);
    cr_assert_gt(counts[LETTER('A')], 0, "nothing is durable before the sync has ended");
    cr_assert_eq(disk_end(d, sync), 0);
    draw(d, &plain, "/f", 0, counts);
    cr_assert_eq(counts[LETTER('A')], 0);
    cr_assert_gt(counts[LETTER('B')], 0);
    cr_assert_gt(counts[LETTER('C')], 0);
    draw(d, &plain, "/f", 1, counts);
    cr_assert_gt(counts[LETTER('a')], 0, "a write in flight is not covered");
    disk_free(d);
}

Test(disk, sizes_are_durable_with_a_sync_and_lost_bytes_read_as_zeros)
{
    struct disk_inode *f;
    struct disk *d = start(&f);
    put(d, f, 2, 'c', false);
    struct prng random = prng_of(5);
    int grown = 0;
    for (int i = 0; i < 400; i++) {
        struct disk *copy = disk_copy(d);
        disk_power_cut(copy, &plain, &random);
        uint64_t size = disk_size(disk_find(copy, "/f"));
        cr_assert(size == 2 * BLOCK || size == 3 * BLOCK);
        grown += size == 3 * BLOCK;
        cr_assert(size == 3 * BLOCK || look(copy, "/f", 2) == 0);
        disk_free(copy);
    }
    cr_assert(grown > 50 && grown < 350);
    sync_now(d, f);
    cr_assert_eq(disk_end(d, disk_truncate_begin(d, f, BLOCK + 10)), 0);
    cr_assert_eq(disk_size(f), BLOCK + 10);
    sync_now(d, f);
    cr_assert_eq(disk_end(d, disk_truncate_begin(d, f, 3 * BLOCK)), 0);
    uint8_t bytes[BLOCK];
    disk_peek(d, f, 1, bytes);
    cr_assert(bytes[9] == 'a' && bytes[10] == 0, "cut bytes are zeros when the file grows again");
    disk_free(d);
}

Test(disk, a_file_without_a_synced_directory_may_vanish)
{
    struct disk *d = disk_new(64 * BLOCK);
    cr_assert_eq(disk_mkdir(d, "/a"), 0);
    put(d, make(d, "/a/f"), 0, 'A', true);
    int counts[258];
    draw(d, &plain, "/a/f", 0, counts);
    cr_assert_gt(counts[MISSING], 0);
    cr_assert_gt(counts[LETTER('A')], 0);
    sync_path(d, "/a");
    draw(d, &plain, "/a/f", 0, counts);
    cr_assert_gt(counts[MISSING], 0, "the directory's own name is not durable yet");
    sync_path(d, "/");
    draw(d, &plain, "/a/f", 0, counts);
    cr_assert_eq(counts[LETTER('A')], DRAWS);
    disk_free(d);
}

Test(disk, a_rename_is_whole_at_every_cut)
{
    struct disk_inode *f;
    struct disk *d = start(&f);
    cr_assert_eq(disk_mkdir(d, "/t"), 0);
    sync_path(d, "/");
    cr_assert_eq(disk_rename(d, "/f", "/t/g"), 0);
    cr_assert_eq(disk_rename(d, "/none", "/x"), -ENOENT);
    const struct disk_crash ways[] = {{.names_in_order = 0}, {.names_in_order = 1000}};
    struct prng random = prng_of(6);
    int moved = 0;
    for (int i = 0; i < 1000; i++) {
        struct disk *copy = disk_copy(d);
        disk_power_cut(copy, &ways[i & 1], &random);
        bool here = look(copy, "/f", 0) == 'A', there = look(copy, "/t/g", 0) == 'A';
        cr_assert_neq(here, there, "it has one name, the old or the new");
        moved += there;
        disk_free(copy);
    }
    cr_assert(moved > 300 && moved < 700);
    disk_free(d);
}

Test(disk, a_rename_over_a_file_leaves_one_of_the_two)
{
    struct disk_inode *f;
    struct disk *d = start(&f);
    put(d, make(d, "/tmp"), 0, 'N', true);
    sync_path(d, "/");
    cr_assert_eq(disk_rename(d, "/tmp", "/f"), 0);
    int counts[258];
    draw(d, &plain, "/f", 0, counts);
    cr_assert_eq(counts[LETTER('A')] + counts[LETTER('N')], DRAWS);
    cr_assert_gt(counts[LETTER('A')], 0);
    sync_path(d, "/");
    draw(d, &plain, "/f", 0, counts);
    cr_assert_eq(counts[LETTER('N')], DRAWS);
    disk_free(d);
}

Test(disk, an_unlinked_file_may_come_back_with_its_content)
{
    struct disk_inode *f;
    struct disk *d = start(&f);
    disk_close(d, f);
    uint64_t before = disk_space(d).free_bytes;
    cr_assert_eq(disk_end(d, disk_unlink_begin(d, "/f")), 0);
    cr_assert_eq(disk_space(d).free_bytes, before + 2 * BLOCK);
    cr_assert_eq(disk_end(d, disk_unlink_begin(d, "/f")), -ENOENT);
    int counts[258];
    draw(d, &plain, "/f", 0, counts);
    cr_assert_gt(counts[LETTER('A')], 0);
    cr_assert_gt(counts[MISSING], 0);
    sync_path(d, "/");
    draw(d, &plain, "/f", 0, counts);
    cr_assert_eq(counts[MISSING], DRAWS);
    disk_free(d);
}

Test(disk, a_synced_name_takes_its_own_history_with_it)
{
    struct disk *d = disk_new(64 * BLOCK);
    cr_assert_eq(disk_mkdir(d, "/a"), 0);
    cr_assert_eq(disk_mkdir(d, "/b"), 0);
    sync_path(d, "/");
    put(d, make(d, "/b/x"), 0, 'X', true);
    cr_assert_eq(disk_rename(d, "/b/x", "/a/x"), 0);
    sync_path(d, "/a");
    int counts[258];
    draw(d, &plain, "/a/x", 0, counts);
    cr_assert_eq(counts[LETTER('X')], DRAWS);
    draw(d, &plain, "/b/x", 0, counts);
    cr_assert_eq(counts[MISSING], DRAWS, "the creation does not come back after the move");
    disk_free(d);
}

Test(disk, names_in_order_are_a_prefix)
{
    struct disk *d = disk_new(64 * BLOCK);
    make(d, "/1");
    make(d, "/2");
    make(d, "/3");
    const struct disk_crash ordered = {.names_in_order = 1000};
    struct prng random = prng_of(8);
    int kept[4] = {0};
    for (int i = 0; i < 1000; i++) {
        struct disk *copy = disk_copy(d);
        disk_power_cut(copy, &ordered, &random);
        bool one = disk_find(copy, "/1"), two = disk_find(copy, "/2"),
             three = disk_find(copy, "/3");
        cr_assert(one >= two && two >= three);
        kept[one + two + three]++;
        disk_free(copy);
    }
    for (int i = 0; i < 4; i++) {
        cr_assert_gt(kept[i], 150);
    }
    disk_free(d);
}

Test(disk, stores_into_a_mapping_survive_a_kill_and_not_a_power_cut)
{
    struct disk_inode *f;
    struct disk *d = start(&f);
    struct prng random = prng_of(9);
    uint8_t *map = disk_map(d, f, 2 * BLOCK);
    cr_assert(map && map[0] == 'A' && map[BLOCK] == 'a');
    cr_assert_null(disk_map(d, f, 3 * BLOCK));
    memset(map, 'M', BLOCK);
    uint8_t bytes[BLOCK];
    cr_assert_eq(disk_read(d, f, bytes, BLOCK, 0, &random), BLOCK);
    cr_assert_eq(bytes[77], 'M', "reads see stores");
    put(d, f, 1, 'w', false);
    cr_assert_eq(map[BLOCK + 5], 'w', "the mapping sees writes");
    int counts[258];
    draw(d, &plain, "/f", 0, counts);
    cr_assert_gt(counts[LETTER('A')], 0);
    cr_assert_gt(counts[LETTER('M')], 0);
    struct disk *killed = disk_copy(d);
    disk_kill(killed, &plain, &random);
    cr_assert_eq(look(killed, "/f", 0), 'M');
    disk_free(killed);
    sync_now(d, f);
    memset(map, 'O', BLOCK);
    draw(d, &plain, "/f", 0, counts);
    cr_assert_eq(counts[LETTER('A')], 0);
    cr_assert_gt(counts[LETTER('M')], 0);
    cr_assert_gt(counts[LETTER('O')], 0);
    disk_free(d);
}

Test(disk, a_full_disk_refuses_and_recovers)
{
    struct disk *d = disk_new(4 * BLOCK);
    struct disk_inode *f = make(d, "/f");
    cr_assert_eq(disk_end(d, disk_allocate_begin(d, f, 0, 3 * BLOCK)), 0);
    cr_assert_eq(look(d, "/f", 2), 0, "allocated space reads as zeros");
    cr_assert_eq(disk_size(f), 3 * BLOCK);
    put(d, f, 3, 'x', false);
    cr_assert_eq(disk_space(d).free_bytes, 0);
    cr_assert_eq(disk_end(d, begin(d, f, 4, 'y', false)), -ENOSPC);
    cr_assert_eq(disk_end(d, disk_allocate_begin(d, f, 0, 5 * BLOCK)), -ENOSPC);
    put(d, f, 0, 'z', false);
    cr_assert_eq(disk_end(d, disk_truncate_begin(d, f, BLOCK)), 0);
    cr_assert_eq(disk_space(d).free_bytes, 3 * BLOCK);
    put(d, f, 1, 'q', false);
    cr_assert_eq(look(d, "/f", 1), 'q');
    disk_free(d);
}

Test(disk, a_failed_sync_cannot_be_repaired_by_another)
{
    struct disk_inode *f;
    struct disk *d = start(&f);
    put(d, f, 0, 'B', false);
    struct prng random = prng_of(10);
    int lasting = 0, dropped = 0, ghosts = 0;
    for (int i = 0; i < 300; i++) {
        struct disk *copy = disk_copy(d);
        struct disk_inode *g;
        cr_assert_eq(disk_open(copy, &g, "/f", 0), 0);
        disk_fail(copy, disk_sync_begin(copy, g), &random);
        int seen = look(copy, "/f", 0);
        sync_now(copy, g);
        cr_assert_eq(look(copy, "/f", 0), seen);
        disk_kill(copy, &plain, &random);
        cr_assert_eq(look(copy, "/f", 0), seen, "a kill does not empty the page cache");
        disk_power_cut(copy, &plain, &random);
        int left = look(copy, "/f", 0);
        lasting += seen == 'B' && left == 'B';
        dropped += seen == 'A' && left == 'A';
        ghosts += seen == 'B' && left == 'A';
        disk_free(copy);
    }
    cr_assert_eq(lasting + dropped + ghosts, 300);
    cr_assert(lasting > 50 && dropped > 50 && ghosts > 50);
    disk_free(d);
}

/* It covers mapped files as well, which nobody has asked to be durable. */
Test(disk, a_failed_sync_of_everything_is_remembered_once)
{
    struct disk_inode *f;
    struct disk *d = start(&f);
    struct prng random = prng_of(12);
    disk_fail(d, disk_sync_begin(d, f), &random);
    cr_assert(!disk_cache_lost(d), "a sync of one file says nothing of others");
    disk_fail(d, disk_sync_begin(d, NULL), &random);
    struct disk *copy = disk_copy(d);
    cr_assert(disk_cache_lost(copy));
    cr_assert(disk_cache_lost(d));
    cr_assert(!disk_cache_lost(d));
    disk_free(copy);
    disk_free(d);
}

Test(disk, a_lost_or_misdirected_write_reports_success)
{
    struct disk_inode *f;
    struct disk *d = start(&f);
    struct prng random = prng_of(11);
    struct disk_op *op = begin(d, f, 0, 'L', true);
    disk_lose(op);
    cr_assert_eq(disk_end(d, op), BLOCK);
    cr_assert_eq(look(d, "/f", 0), 'A');
    op = begin(d, f, 2, 'D', true);
    disk_misdirect(d, op, &random);
    cr_assert_eq(disk_end(d, op), BLOCK);
    cr_assert_eq(look(d, "/f", 2), 0);
    cr_assert((look(d, "/f", 0) == 'D') != (look(d, "/f", 1) == 'D'));
    disk_free(d);
}

Test(disk, rot_and_broken_sectors)
{
    struct disk_inode *f;
    struct disk *d = start(&f);
    struct prng random = prng_of(12);
    uint8_t bytes[BLOCK];
    disk_break(d, f, 1);
    cr_assert_eq(disk_read(d, f, bytes, BLOCK, BLOCK, &random), -EIO);
    cr_assert_eq(disk_read(d, f, bytes, BLOCK, 0, &random), BLOCK);
    put(d, f, 1, 'n', false);
    cr_assert_eq(disk_read(d, f, bytes, BLOCK, BLOCK, &random), BLOCK);
    disk_rot(d, f, 0, &random);
    cr_assert_neq(look(d, "/f", 0), 'A');
    disk_peek_durable(f, 0, bytes);
    uint8_t seen[BLOCK];
    disk_peek(d, f, 0, seen);
    cr_assert_eq(memcmp(bytes, seen, BLOCK), 0, "rot is durable");
    disk_free(d);
}

Test(disk, reads_race_with_writes_by_whole_blocks_and_never_go_back)
{
    struct disk_inode *f;
    struct disk *d = start(&f);
    struct prng random = prng_of(13);
    (void)begin(d, f, 0, 'B', false);
    bool seen = false;
    uint8_t bytes[BLOCK];
    for (int i = 0; i < 40; i++) {
        cr_assert_eq(disk_read(d, f, bytes, BLOCK, 0, &random), BLOCK);
        cr_assert_eq(bytes[0], bytes[BLOCK - 1]);
        cr_assert(bytes[0] == 'B' || (!seen && bytes[0] == 'A'));
        seen |= bytes[0] == 'B';
    }
    cr_assert(seen);
    disk_free(d);
}

Test(disk, a_copy_is_the_same_and_apart)
{
    struct disk_inode *f;
    struct disk *d = start(&f);
    put(d, f, 0, 'B', false);
    (void)begin(d, f, 1, 'b', false);
    cr_assert_eq(disk_rename(d, "/f", "/g"), 0);
    struct disk *copy = disk_copy(d);
    uint64_t before = disk_hash(d);
    cr_assert_eq(disk_hash(copy), before);
    struct prng one = prng_of(1), two = prng_of(1);
    disk_power_cut(copy, &plain, &one);
    cr_assert_eq(disk_hash(d), before, "the crash of a copy leaves the original alone");
    disk_power_cut(d, &plain, &two);
    cr_assert_eq(disk_hash(d), disk_hash(copy), "the same seed gives the same crash");
    disk_free(copy);
    disk_free(d);
}

Test(disk, overlapping_writes_are_refused, .signal = SIGABRT)
{
    struct disk_inode *f;
    struct disk *d = start(&f);
    (void)begin(d, f, 0, 'B', false);
    (void)begin(d, f, 0, 'C', false);
}

Test(disk, a_truncation_never_passes_a_write_in_flight, .signal = SIGABRT)
{
    struct disk_inode *f;
    struct disk *d = start(&f);
    (void)begin(d, f, 1, 'B', false);
    (void)disk_truncate_begin(d, f, BLOCK);
}

/* The visible content of a file under random operations is that of plain memory, and a power cut
 * right after a sync changes nothing. */
Test(disk, visible_content_follows_a_plain_model)
{
    enum { SIZE = 6 * BLOCK };
    static uint8_t model[SIZE], bytes[SIZE], pattern[SIZE];
    struct prng random = prng_of(14);
    struct disk *d = disk_new(64 * BLOCK);
    struct disk_inode *f = make(d, "/f");
    sync_path(d, "/");
    uint64_t size = 0;
    for (int step = 0; step < 20000; step++) {
        uint64_t at = prng_below(&random, SIZE - 1), n = prng_between(&random, 1, SIZE - at);
        switch (prng_below(&random, 8)) {
        case 0:
        case 1:
        case 2:
            prng_fill(&random, pattern, (size_t)n);
            struct iovec iov[2] = {{pattern, (size_t)n / 2},
                                   {pattern + n / 2, (size_t)(n - n / 2)}};
            bool durable = prng_chance(&random, 1, 2);
            cr_assert_eq(disk_end(d, disk_write_begin(d, f, iov, 2, at, durable)), (int64_t)n);
            memcpy(model + at, pattern, (size_t)n);
            size = at + n > size ? at + n : size;
            break;
        case 3:
            cr_assert_eq(disk_end(d, disk_truncate_begin(d, f, at)), 0);
            memset(model + at, 0, SIZE - (size_t)at);
            size = at;
            break;
        case 4:
            cr_assert_eq(disk_end(d, disk_allocate_begin(d, f, at, n)), 0);
            size = at + n > size ? at + n : size;
            break;
        case 5:
            sync_now(d, f);
            disk_power_cut(d, &plain, &random);
            cr_assert_eq(disk_open(d, &f, "/f", 0), 0);
            break;
        case 6:
            disk_kill(d, &plain, &random);
            cr_assert_eq(disk_open(d, &f, "/f", 0), 0);
            break;
        default: {
            int64_t want = at < size ? (int64_t)(n < size - at ? n : size - at) : 0;
            cr_assert_eq(disk_read(d, f, bytes, (size_t)n, at, &random), want);
            cr_assert_eq(memcmp(bytes, model + at, (size_t)want), 0, "step %d", step);
        }
        }
        cr_assert_eq(disk_size(f), size);
    }
    disk_free(d);
}
