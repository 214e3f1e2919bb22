/* SPDX-License-Identifier: Apache-2.0 */

/* Damage below the durable mark: it is told with the file and what decides, and nothing is changed;
 * the operator may go on without what is missing. A torn tail above the mark is cut in silence. */
#include "world.h"

#include "log/log_private.h"

#include <criterion/criterion.h>

#include <stdio.h>

static const struct batch_spec SMALL = {.records = 2, .value_bytes = 300};
static const struct batch_spec LARGE = {.records = 4, .value_bytes = 2500};

static unsigned count_files(struct world *w)
{
    return world_count_files(w, "topics/") * 1000 + world_count_files(w, "aside/") * 100 +
           world_count_files(w, "trash/");
}

/* `first`: it is found before anything is written. */
static void expect_damage(struct world *w, const char *file, bool first)
{
    unsigned files = count_files(w);
    struct disk *d = sim_node_disk(w->node);
    uint64_t before = disk_hash(d);
    for (unsigned again = 0; again < 2; again++) {
        cr_assert_eq(world_start(w, 1), ERR_DAMAGED, "damage of %s is not found", file);
        const char *said = w->recover.summary.damage;
        cr_assert_not_null(strstr(said, file), "%s is not named: %s", file, said);
        cr_assert_not_null(strstr(w->recover.summary.remedy, "--accept-loss"));
        cr_assert(!first || disk_hash(d) == before, "something was changed: %s", said);
        cr_assert_eq(count_files(w), files, "files have come or gone: %s", said);
    }
}

/* Lives of two logs: checkpointed, then more in the journal alone. */
static void two_logs_telling(struct world *w, uint64_t seed, FILE *story)
{
    world_open_telling(w, seed, story);
    world_started(w, 1);
    world_fill(w, 0, &LARGE, 20);
    world_fill(w, 1, &SMALL, 20);
    world_stop(w);
    world_started(w, 1);
    world_fill(w, 0, &LARGE, 10);
    world_fill(w, 1, &SMALL, 10);
    world_wait_ms(w, 150); /* the last entry has a mark then (log/apart.h) */
    world_kill(w);
}

static void two_logs(struct world *w, uint64_t seed)
{
    two_logs_telling(w, seed, NULL);
}

Test(recovery, a_flipped_bit_in_the_journal_below_the_mark)
{
    static const uint64_t positions[] = {4096, 4096 + 20, 4096 + 50, 9000, 8192 + 30};
    for (unsigned i = 0; i < array_size(positions); i++) {
        struct world w;
        two_logs(&w, 10 + i);
        world_flip(&w, "journal-0/durable-0000", positions[i], i);
        expect_damage(&w, "data/journal-0/durable-0000 at position", true);
        w.options.accept_loss = true;
        world_started(&w, 1);
        cr_assert_neq(w.recover.summary.damage[0], 0, "the loss is not told");
        w.options.accept_loss = false;
        for (unsigned slot = 0; slot < 2; slot++) {
            world_forget_from(&w, slot, world_status(&w, slot).end_offset);
            cr_assert_geq(world_check(&w, slot), 20, "what the checkpoint holds is lost");
            world_fill(&w, slot, &SMALL, 3);
        }
        world_kill(&w);
        world_started(&w, 1);
        world_check(&w, 0);
        world_check(&w, 1);
        world_close(&w);
    }
}

/* The last group, which no mark covers, may be torn: it is dropped in silence. */
Test(recovery, a_torn_tail_is_no_damage)
{
    struct world w;
    world_open(&w, 20);
    world_started(&w, 1);
    struct world_append a;
    world_append_begin(&w, 0, &LARGE, &a);
    cr_assert_eq(world_append_end(&a), 0);
    world_kill(&w); /* at once: nothing has marked it yet */
    world_flip(&w, "journal-0/durable-0000", 4096 + 3000, 0);
    world_started(&w, 1);
    cr_assert_gt(w.recover.summary.torn_bytes + 1, 0);
    cr_assert_eq(w.recover.summary.damage[0], 0);
    cr_assert_eq(world_status(&w, 0).end_offset, 0);
    world_close(&w);
}

/* The end of the journal rots with the marks in it: the one in another file says what was settled. */
Test(recovery, a_rotten_end_is_no_torn_tail)
{
    struct world w;
    world_open(&w, 21);
    world_started(&w, 1);
    for (unsigned i = 0; i < 6; i++) {
        world_fill(&w, 0, &LARGE, 1);
    }
    world_wait_ms(&w, 150);
    world_kill(&w);
    for (uint64_t at = 4096 + 3 * 12288; at < 262144; at += 4096) {
        world_flip(&w, "journal-0/durable-0000", at + 20, 3);
    }
    expect_damage(&w, "data/journal-0/durable-0000 at position", true);
    w.options.accept_loss = true;
    world_started(&w, 1);
    cr_assert_neq(w.recover.summary.damage[0], 0, "the loss is not told");
    int64_t left = world_status(&w, 0).end_offset;
    cr_assert(left > 0 && left < 6 * LARGE.records, "%lld", (long long)left);
    world_close(&w);
}

Test(recovery, one_checkpoint_copy_is_enough)
{
    for (unsigned copy = 0; copy < 2; copy++) {
        struct world w;
        two_logs(&w, 30 + copy);
        world_flip(&w, copy ? "journal-0/checkpoint-1" : "journal-0/checkpoint-0", 200, 5);
        world_started(&w, 1);
        cr_assert_eq(world_check(&w, 0), 30);
        cr_assert_eq(world_check(&w, 1), 30);
        world_close(&w);
    }
}

Test(recovery, one_checkpoint_copy_cannot_be_read)
{
    for (unsigned copy = 0; copy < 2; copy++) {
        struct world w;
        two_logs(&w, 60 + copy);
        world_break(&w, copy ? "journal-0/checkpoint-1" : "journal-0/checkpoint-0", 0);
        world_started(&w, 1);
        cr_assert_eq(world_check(&w, 0), 30);
        cr_assert_eq(world_check(&w, 1), 30);
        world_close(&w);
    }
}

Test(recovery, a_journal_that_cannot_be_read)
{
    struct world w;
    two_logs(&w, 62);
    world_break(&w, "journal-0/durable-0000", 1);
    expect_damage(&w, "journal-0/durable-0000: it cannot be read", true);
    w.options.accept_loss = true;
    world_started(&w, 1);
    for (unsigned slot = 0; slot < 2; slot++) {
        world_forget_from(&w, slot, world_status(&w, slot).end_offset);
        cr_assert_eq(world_check(&w, slot), 20, "what the checkpoint holds is left");
    }
    w.options.accept_loss = false;
    world_kill(&w);
    world_started(&w, 1);
    world_close(&w);
}

Test(recovery, both_checkpoint_copies_damaged)
{
    struct world w;
    two_logs(&w, 32);
    world_flip(&w, "journal-0/checkpoint-0", 17, 1);
    world_flip(&w, "journal-0/checkpoint-1", 300, 7);
    expect_damage(&w, "data/journal-0/checkpoint-0 and -1", true);
    w.options.accept_loss = true;
    world_started(&w, 1);
    cr_assert_eq(world_status(&w, 0).end_offset, 0);
    cr_assert_gt(world_count_files(&w, "aside/t0-0.0/"), 6, "the files are not set aside");
    w.slots[0].count = w.slots[1].count = 0;
    world_fill(&w, 0, &LARGE, 5);
    w.options.accept_loss = false;
    world_kill(&w);
    world_started(&w, 1);
    cr_assert_eq(world_check(&w, 0), 5);
    world_close(&w);
}

/* Of several shards: the checkpoint of another one must not speak for the one that is lost. */
Test(recovery, both_checkpoint_copies_of_one_shard_damaged)
{
    struct world w;
    world_open(&w, 33);
    world_started(&w, 2);
    unsigned slot = 0;
    while (world_home(&w, slot) != 1) {
        slot++;
    }
    for (unsigned i = 0; i < 20; i++) {
        world_fill(&w, slot, &LARGE, 30); /* shard 1 makes checkpoints */
    }
    cr_assert_gt(log_set_status(w.sets[1]).checkpoints, 0);
    world_kill(&w);
    world_flip(&w, "journal-1/checkpoint-0", 100, 1);
    world_flip(&w, "journal-1/checkpoint-1", 100, 1);
    expect_damage(&w, "data/journal-1/checkpoint-0 and -1", true);
    w.options.accept_loss = true;
    world_started(&w, 1);
    world_close(&w);
}

Test(recovery, a_damaged_partition_file)
{
    struct world w;
    two_logs(&w, 34);
    world_flip(&w, "topics/t0-0/partition", 20, 1);
    expect_damage(&w, "data/topics/t0-0", false);
    world_flip(&w, "topics/t0-0/partition", 20, 1); /* restored: all is there */
    world_started(&w, 1);
    cr_assert_eq(world_check(&w, 0), 30);
    cr_assert_eq(world_check(&w, 1), 30);
    world_kill(&w);
    world_flip(&w, "topics/t0-0/partition", 41, 1);
    w.options.accept_loss = true;
    world_started(&w, 1);
    cr_assert_eq(world_check(&w, 1), 30, "another partition suffers");
    cr_assert_eq(world_status(&w, 0).end_offset, 0);
    cr_assert_gt(world_count_files(&w, "aside/t0-0.0/"), 3);
    w.slots[0].count = 0;
    world_fill(&w, 0, &SMALL, 2);
    world_kill(&w);
    w.options.accept_loss = false;
    world_started(&w, 1);
    cr_assert_eq(world_check(&w, 0), 2);
    world_close(&w);
}

static void remove_file(struct world *w, const char *path)
{
    struct disk *d = sim_node_disk(w->node);
    char full[200];
    snprintf(full, sizeof full, "data/%s", path);
    cr_assert_eq(disk_end(d, disk_unlink_begin(d, full)), 0, "%s", path);
}

Test(recovery, a_missing_segment)
{
    struct world w;
    two_logs(&w, 35);
    remove_file(&w, "topics/t0-0/00000000000000000072.log"); /* the active one of the checkpoint */
    cr_assert_eq(world_start(&w, 1), ERR_DAMAGED);
    cr_assert_not_null(strstr(w.recover.summary.damage, "00000000000000000072.log"), "%s",
                       w.recover.summary.damage);
    w.options.accept_loss = true;
    world_started(&w, 1);
    cr_assert_eq(world_status(&w, 0).end_offset, 0);
    cr_assert_eq(world_check(&w, 1), 30);
    cr_assert_gt(world_count_files(&w, "aside/t0-0.0/"), 3);
    world_close(&w);
}

/* An older segment that is gone: the partition goes on, the hole is told to whoever reads it. */
Test(recovery, a_missing_older_segment)
{
    struct world w;
    two_logs(&w, 36);
    remove_file(&w, "topics/t0-0/00000000000000000024.log");
    world_started(&w, 1);
    struct log_read r = {
        .offset = 30, .limit_offset = 100, .bytes_max = 50000, .first_whole = true};
    cr_assert_eq(world_read(&w, 0, &r, NULL), ERR_DAMAGED);
    r.offset = 60;
    cr_assert_eq(world_read(&w, 0, &r, NULL), 0);
    world_fill(&w, 0, &SMALL, 3);
    world_close(&w);
}

static bool tells(FILE *story, const char *level, const char *text)
{
    char said[512];
    bool found = false;
    rewind(story);
    while (fgets(said, sizeof said, story)) {
        found = found || (strstr(said, level) && strstr(said, text));
    }
    return found;
}

/* A bit flips in a segment: the read tells it with file and position; all else is served. */
Test(recovery, a_flipped_bit_in_a_segment)
{
    struct world w;
    FILE *story = tmpfile();
    world_open_telling(&w, 37, story);
    world_started(&w, 1);
    world_fill(&w, 0, &LARGE, 20);
    world_stop(&w);
    world_flip(&w, "topics/t0-0/00000000000000000024.log", 11000, 2); /* in the second batch */
    world_started(&w, 1);
    struct log_read r = {.offset = 24, .limit_offset = 80, .bytes_max = 50000, .first_whole = true};
    cr_assert_eq(world_read(&w, 0, &r, NULL), 0);
    cr_assert_eq(r.next_offset, 28, "what stands before the damage is served");
    r.offset = 28;
    cr_assert_eq(world_read(&w, 0, &r, NULL), ERR_DAMAGED);
    r.offset = 48;
    cr_assert_eq(world_read(&w, 0, &r, NULL), 0);
    bool named = tells(story, "error", "00000000000000000024.log at position");
    cr_assert(named, "file and position are not told");
    world_close(&w);
    fclose(story);
}

/* A directory of a partition that the metadata does not know is set aside, never deleted (L8). That is ordinary after a
 * topic was deleted, and no warning. */
Test(recovery, what_is_not_known_is_set_aside)
{
    struct world w;
    FILE *story = tmpfile();
    two_logs_telling(&w, 38, story);
    w.slots[0].unknown = true;
    world_started(&w, 1);
    cr_assert_eq(w.recover.summary.set_aside, 1);
    cr_assert_eq(world_count_files(&w, "topics/t0-0/"), 0);
    cr_assert_gt(world_count_files(&w, "aside/t0-0.0/"), 3);
    cr_assert_eq(world_check(&w, 1), 30);
    world_kill(&w);
    world_started(&w, 1);
    cr_assert_eq(w.recover.summary.set_aside, 0);
    cr_assert_eq(world_check(&w, 1), 30);
    cr_assert(tells(story, "info", "topics/t0-0 is of a topic that was deleted"));
    cr_assert(tells(story, "info", "nothing in use is affected, it may be removed"));
    cr_assert(!tells(story, "warn", "t0-0"));
    world_close(&w);
    fclose(story);
}

/* Three topics of one name in one journal: a `memory` one whose removal the mapped journal tells, behind all that the
 * durable one tells of its successor, and a third that nobody knows. What stands in the place of the first belongs to
 * the successor once that has made its directory there. */
Test(recovery, a_removed_topic_does_not_take_the_place_of_its_successor)
{
    struct world w;
    world_open(&w, 44);
    w.slots[0].config.durability = LOG_MEMORY;
    for (unsigned slot = 1; slot < 3; slot++) {
        snprintf(w.slots[slot].topic, sizeof w.slots[slot].topic, "t0");
    }
    world_started(&w, 1);
    world_fill(&w, 0, &SMALL, 10);
    world_fill(&w, 3, &SMALL, 10);
    world_stop(&w);
    world_started(&w, 1);
    world_fill(&w, 0, &SMALL, 10);
    for (unsigned slot = 0; slot < 2; slot++) {
        cr_assert_eq(world_control(&w, slot, LOG_REMOVE, 0), 0);
        world_fill(&w, slot + 1, &SMALL, 10);
        w.slots[slot].count = 0;
    }
    world_kill(&w);
    w.slots[2].unknown = true;
    w.slots[2].count = 0;
    world_started(&w, 1);
    cr_assert_eq(w.recover.summary.logs, 1);
    cr_assert_eq(world_count_files(&w, "topics/t0-0/"), 0);
    cr_assert_eq(world_check(&w, 3), 10);
    world_close(&w);
}

/* A copy of a directory beside the original: the one with the right name is the partition. */
Test(recovery, a_copy_of_a_directory_is_not_the_partition)
{
    struct world w;
    two_logs(&w, 39);
    struct disk *d = sim_node_disk(w.node);
    uint8_t block[DISK_BLOCK_SIZE];
    disk_peek(d, disk_find(d, "data/topics/t0-0/partition"), 0, block);
    for (unsigned i = 0; i < 2; i++) {
        char path[100];
        snprintf(path, sizeof path, "data/topics/%s", i ? "t0-0.bak" : "a-copy");
        cr_assert_eq(disk_mkdir(d, path), 0);
        snprintf(path + strlen(path), 20, "/partition");
        struct disk_inode *inode;
        cr_assert_eq(disk_open(d, &inode, path, DISK_OPEN_CREATE), 0);
        struct iovec iov = {block, sizeof block};
        cr_assert_eq(disk_end(d, disk_write_begin(d, inode, &iov, 1, 0, true)), sizeof block);
        disk_close(d, inode);
    }
    world_started(&w, 1);
    cr_assert_eq(w.recover.summary.set_aside, 2);
    cr_assert_eq(world_check(&w, 0), 30);
    world_close(&w);
}

/* Many logs, each with less than is written behind of its own accord, and together more than the tail
 * takes: nothing is in flight when replay finds no room. */
Test(recovery, many_logs_with_little_each_and_a_smaller_tail)
{
    struct world w;
    world_open(&w, 60);
    w.options.journal_file_bytes = 4 << 20;
    w.options.journal_bytes_max = 8 << 20;
    w.options.tail_bytes_max = 8 << 20;
    w.options.write_behind_bytes = 1 << 20;
    for (unsigned i = 0; i < WORLD_SLOTS; i++) {
        w.slots[i].config.segment_bytes = 1 << 20;
    }
    world_started(&w, 1);
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < WORLD_SLOTS; i++) {
            world_fill(&w, i, &LARGE, 1);
        }
    }
    world_kill(&w);
    w.options.tail_bytes_max = 512 << 10;
    world_started(&w, 1);
    cr_assert_geq(w.recover.summary.replayed_entries, 20 * WORLD_SLOTS);
    for (unsigned i = 0; i < WORLD_SLOTS; i++) {
        cr_assert_eq(world_check(&w, i), 20);
    }
    world_close(&w);
}

/* What an earlier life has deleted and had not removed yet must not keep the next one from starting. */
Test(recovery, a_full_disk_whose_trash_holds_the_room)
{
    struct world w;
    world_open(&w, 61);
    world_started(&w, 1);
    world_fill(&w, 0, &LARGE, 200);
    world_fill(&w, 1, &SMALL, 20);
    cr_assert_eq(world_control(&w, 0, LOG_REMOVE, 0), 0);
    w.slots[0].unknown = true;
    while (world_count_files(&w, "trash/") == 0) {
        cr_assert(sim_step(w.sim) && world_runs(&w));
    }
    world_kill(&w);
    struct disk *d = sim_node_disk(w.node);
    struct disk_space s = disk_space(d);
    disk_set_capacity(d, s.total_bytes - s.free_bytes + (128 << 10));
    world_started(&w, 3); /* two more shards: their journals are 1 MiB */
    cr_assert_eq(world_check(&w, 1), 20);
    world_close(&w);
}

/* Each log has an unfinished block in the tail, whatever the tail's size. */
Test(recovery, more_logs_than_the_tail_has_blocks)
{
    struct world w;
    world_open(&w, 62);
    w.options.tail_bytes_max = 5 * 4096;
    world_started(&w, 1);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < WORLD_SLOTS; i++) {
            world_fill(&w, i, &SMALL, 4);
        }
    }
    world_kill(&w);
    for (unsigned shards = 1; shards <= 3; shards++) {
        world_started(&w, shards);
        for (unsigned i = 0; i < WORLD_SLOTS; i++) {
            world_fill(&w, i, &SMALL, 1);
            /* What lies across the tail's border waits for room, which is being made. */
            int64_t end = world_status(&w, i).end_offset;
            for (int64_t offset = 0; offset < end; offset++) {
                struct log_read r = {
                    .offset = offset, .limit_offset = end, .bytes_max = 1, .first_whole = true};
                for (unsigned n = 0; world_read(&w, i, &r, NULL) == ERR_BUSY; n++) {
                    cr_assert_lt(n, 20, "no room is made for a read");
                    world_wait_ms(&w, 10);
                }
            }
        }
        if (shards == 2) {
            world_stop(&w);
        } else {
            world_kill(&w);
        }
    }
    w.options.tail_bytes_max = 2 << 20;
    world_started(&w, 1);
    for (unsigned i = 0; i < WORLD_SLOTS; i++) {
        cr_assert_eq(world_check(&w, i), 15);
    }
    world_close(&w);
}

/* A segment that was sealed, cut and filled again to the same size: the index of its first content must not
 * come back as that of its second. */
Test(recovery, an_index_of_what_was_cut_is_not_believed)
{
    static const struct batch_spec one = {.records = 1, .value_bytes = 2009};
    static const struct batch_spec two = {.records = 2, .value_bytes = 1000}; /* as large */
    for (uint64_t seed = 0; seed < 30; seed++) {
        struct world w;
        world_open(&w, 700 + seed);
        world_started(&w, 1);
        world_fill(&w, 0, &one, 40);
        world_wait_ms(&w, 100);
        world_kill(&w);
        world_started(&w, 1); /* what was visible is durable now */
        cr_assert_eq(world_check(&w, 0), 40);
        cr_assert_eq(world_control(&w, 0, LOG_TRUNCATE, 10), 0);
        world_forget_from(&w, 0, 10);
        world_fill(&w, 0, &two, 40);
        world_wait_ms(&w, 3000);
        uint64_t size = world_file_size(&w, "topics/t0-0/00000000000000000000.log");
        cr_assert_eq(size, 31 * (61 + 2009 + 9));
        world_stop(&w);
        struct prng random = prng_of(seed);
        disk_power_cut(sim_node_disk(w.node), &sim_faults(w.sim)->crash, &random);
        world_started(&w, 1);
        int64_t end = world_status(&w, 0).end_offset;
        for (int64_t offset = 0; offset < end; offset++) {
            struct log_read r = {
                .offset = offset, .limit_offset = end, .bytes_max = 1, .first_whole = true};
            cr_assert_eq(world_read(&w, 0, &r, NULL), 0);
            cr_assert_gt(r.next_offset, offset);
        }
        cr_assert_eq(world_check(&w, 0), 50);
        world_close(&w);
    }
}

/* The files of a checkpoint are made larger ahead of need: what memory holds of them is the checkpoint. */
Test(recovery, a_checkpoint_in_a_much_larger_file)
{
    struct world w;
    two_logs(&w, 64);
    struct disk *d = sim_node_disk(w.node);
    struct disk_inode *file;
    cr_assert_eq(disk_open(d, &file, "/data/journal-0/checkpoint-0", 0), 0);
    struct disk_op *op = disk_allocate_begin(d, file, disk_size(file), 150 << 20);
    cr_assert_eq(disk_end(d, op), 0);
    world_started(&w, 1); /* a shard has 256 MiB */
    cr_assert_eq(world_check(&w, 0), 30);
    cr_assert_eq(world_check(&w, 1), 30);
    world_close(&w);
}

static void take_all_memory(void *argument)
{
    struct world *w = argument;
    struct memory *m = io_memory(sim_node_shard(w->node, 0));
    for (size_t size = 1 << 20; size >= 512; size /= 2) {
        while (memory_alloc(m, size)) {
        }
    }
}

/* The first batch lies across the end of what is written: the file's walk sees none, and it is found all the same. */
Test(recovery, a_time_in_a_file_without_a_whole_batch)
{
    struct world w;
    world_open(&w, 67);
    world_started(&w, 1);
    struct batch_spec spec = {.value_bytes = 6000, .timestamp = 1001};
    cr_assert_eq(world_append(&w, 0, &spec, NULL), 0);
    world_kill(&w);
    world_started(&w, 1);
    int64_t offset, time;
    cr_assert_eq(world_find_time(&w, 0, 1001, &offset, &time), 0);
    cr_assert_eq(offset, 0);
    cr_assert_eq(time, 1001);
    world_close(&w);
}

/* What the tail keeps for readers is given back when memory runs out, before its budget is reached. */
Test(recovery, the_tail_gives_back_what_is_on_disk)
{
    struct world w;
    world_open(&w, 65);
    world_started(&w, 1);
    world_fill(&w, 1, &SMALL, 1);
    world_fill(&w, 0, &LARGE, 120);
    world_wait_ms(&w, 2000);
    cr_assert(world_do(&w, 0, take_all_memory, &w));
    for (unsigned i = 0; i < 10; i++) {
        world_fill(&w, 1, &LARGE, 1);
    }
    world_kill(&w);
    world_started(&w, 1);
    cr_assert_eq(world_check(&w, 0), 120);
    cr_assert_eq(world_check(&w, 1), 11);
    world_close(&w);
}

/* Without memory for the last checkpoint a set closes all the same: the next start replays. */
Test(recovery, a_set_closes_without_memory_for_its_checkpoint)
{
    struct world w;
    world_open(&w, 66);
    world_started(&w, 1);
    world_fill(&w, 0, &LARGE, 30);
    world_fill(&w, 1, &SMALL, 3);
    world_wait_ms(&w, 100);
    cr_assert(world_do(&w, 0, take_all_memory, &w));
    struct world_append a;
    world_append_begin(&w, 1, &SMALL, &a); /* in flight: the checkpoint comes turns later */
    world_stop(&w);
    cr_assert_eq(world_append_end(&a), 0);
    world_started(&w, 1);
    cr_assert_eq(world_check(&w, 0), 30);
    cr_assert_eq(world_check(&w, 1), 4);
    world_close(&w);
}
