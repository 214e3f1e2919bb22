/* SPDX-License-Identifier: Apache-2.0 */

/* The log as its users see it: append, read, roll, stop, crash, start again. */
#include "world.h"

#include "log/log_private.h"

#include <criterion/criterion.h>

#include <stdlib.h>

static const struct batch_spec SMALL = {.records = 3, .value_bytes = 200};
static const struct batch_spec LARGE = {.records = 4, .value_bytes = 2500};

Test(log, what_is_told_survives_every_end)
{
    struct world w;
    world_open(&w, 1);
    for (unsigned life = 0; life < 9; life++) {
        world_started(&w, 1);
        cr_assert_eq(w.recover.summary.fresh, life == 0);
        cr_assert_eq(w.recover.summary.clean, life > 0 && life % 3 == 0, "life %u", life);
        if (w.recover.summary.clean) {
            cr_assert_eq(w.recover.summary.replayed_entries, 0, "a clean stop leaves no replay");
        }
        for (unsigned slot = 0; slot < 2; slot++) {
            cr_assert_geq(world_check(&w, slot), life * 60u);
            world_fill(&w, slot, &(struct batch_spec){.records = 3, .value_bytes = 700}, 60);
            world_check(&w, slot);
        }
        switch (life % 3) {
        case 0:
            world_power_cut(&w);
            break;
        case 1:
            world_kill(&w);
            break;
        default:
            world_stop(&w);
        }
    }
    world_close(&w);
}

/* Crashed in the middle of a load, at any operation, by a kill or a power cut. */
static void crash_under_load(enum sim_crash_kind kind, unsigned shards)
{
    struct world w;
    world_open(&w, 2 + kind);
    unsigned lost = 0;
    for (unsigned life = 0; life < 40; life++) {
        world_started(&w, 1 + (life + shards) % shards);
        for (unsigned slot = 0; slot < 4; slot++) {
            world_check(&w, slot);
        }
        struct world_load l;
        sim_crash_after(w.node, 30 + life * 7, kind);
        for (unsigned round = 0; world_runs(&w) && round < 100; round++) {
            world_load_begin(&l, &w, 4, round % 2 ? &SMALL : &LARGE, 40);
            world_load_end(&l);
        }
        cr_assert(!world_runs(&w), "the crash did not come");
        lost += l.failed;
    }
    cr_assert_gt(lost, 0, "no append was in the air");
    world_close(&w);
}

Test(log, kills_under_load)
{
    crash_under_load(SIM_CRASH_KILL, 1);
}

Test(log, power_cuts_under_load)
{
    crash_under_load(SIM_CRASH_POWER, 1);
}

Test(log, kills_and_other_numbers_of_shards)
{
    crash_under_load(SIM_CRASH_KILL, 3);
}

Test(log, power_cuts_and_other_numbers_of_shards)
{
    crash_under_load(SIM_CRASH_POWER, 3);
}

/* Also while it recovers, and again. */
Test(log, crashes_of_recoveries)
{
    struct world w;
    world_open(&w, 9);
    for (unsigned life = 0; life < 12; life++) {
        world_started(&w, 1 + life % 3);
        for (unsigned slot = 0; slot < 3; slot++) {
            world_check(&w, slot);
            world_fill(&w, slot, &LARGE, 12);
        }
        life % 2 ? world_kill(&w) : world_power_cut(&w);
        for (unsigned at = 1; at < 90; at += 4) {
            sim_crash_after(w.node, at, at % 3 ? SIM_CRASH_KILL : SIM_CRASH_POWER);
            if (world_start(&w, 1 + (life + at) % 3) == 0) {
                world_kill(&w);
            }
        }
        sim_crash_after(w.node, 0, SIM_CRASH_KILL);
    }
    world_close(&w);
}

static void checkpoint_run(void *argument)
{
    log_set_checkpoint(argument);
}

/* Two segments that are sealed at once may be done in any order: a checkpoint that frees the
 * journal has to wait for both. */
Test(log, a_checkpoint_waits_for_every_segment_that_is_being_sealed)
{
    for (uint64_t seed = 0; seed < 150; seed++) {
        struct world w;
        world_open(&w, 100 + seed);
        w.slots[0].config.segment_bytes = 16 << 10; /* one batch */
        sim_faults(w.sim)->write.tail = 300;
        sim_faults(w.sim)->write.tail_ns = 30000000;
        world_started(&w, 1);
        world_fill(&w, 0, &SMALL, 1);
        sim_crash_after(w.node, 30 + seed * 2, SIM_CRASH_POWER);
        for (unsigned round = 0; world_runs(&w) && round < 200; round++) {
            struct world_load l;
            world_load_begin(&l, &w, 1, &LARGE, 5);
            if (world_runs(&w)) {
                (void)world_do(&w, 0, checkpoint_run, w.sets[0]);
            }
            world_load_end(&l);
        }
        cr_assert(!world_runs(&w));
        world_started(&w, 1);
        world_check(&w, 0);
        world_close(&w);
    }
}

/* --- memory durability ----------------------------------------------------------------------- */

Test(log, a_memory_log_outlives_the_process_and_not_the_machine)
{
    struct world w;
    world_open(&w, 20);
    w.slots[0].config.durability = LOG_MEMORY;
    world_started(&w, 1);
    world_fill(&w, 0, &LARGE, 50);
    world_kill(&w);
    world_started(&w, 1);
    cr_assert_eq(world_check(&w, 0), 50);
    world_fill(&w, 0, &SMALL, 20);
    world_stop(&w);
    world_started(&w, 1);
    cr_assert_eq(world_check(&w, 0), 70);
    world_fill(&w, 0, &SMALL, 30);
    world_power_cut(&w);
    world_started(&w, 1);
    int64_t end = world_status(&w, 0).end_offset;
    cr_assert_lt(end, 50 * 4 + 50 * 3, "nothing was lost with the machine");
    cr_assert_geq(end, 50 * 4 + 20 * 3, "the checkpoint of the stop is lost");
    world_forget_from(&w, 0, end);
    cr_assert_eq(world_check(&w, 0), w.slots[0].count); /* readable up to its end */
    world_fill(&w, 0, &SMALL, 5);
    world_check(&w, 0);
    world_close(&w);
}

/* --- epochs, producers, times ------------------------------------------------------------------ */

static void begin_epoch(void *argument)
{
    struct world *w = argument;
    log_begin_epoch(w->slots[0].log, w->slots[0].epoch);
}

static void expect_epoch(struct world *w, int32_t epoch, int32_t found, int64_t end)
{
    int32_t said_epoch;
    int64_t said = log_epoch_end(world_log(w, 0), epoch, &said_epoch);
    cr_assert(said_epoch == found && said == end, "epoch %d: %d up to %lld", epoch, said_epoch,
              (long long)said);
}

Test(log, epochs_survive)
{
    struct world w;
    world_open(&w, 30);
    for (int32_t epoch = 1; epoch <= 6; epoch++) {
        world_started(&w, 1);
        w.slots[0].epoch = epoch * 2;
        world_log(&w, 0);
        cr_assert(world_do(&w, 0, begin_epoch, &w));
        cr_assert_eq(world_status(&w, 0).leader_epoch, epoch * 2);
        world_fill(&w, 0, &SMALL, 10);
        for (int32_t past = 1; past <= epoch; past++) {
            expect_epoch(&w, past * 2, past * 2, past * 30);
            expect_epoch(&w, past * 2 + 1, past * 2, past * 30);
        }
        expect_epoch(&w, 1, -1, -1);
        struct world_append old;
        w.slots[0].epoch = epoch * 2 - 1;
        world_append_begin(&w, 0, &SMALL, &old); /* of an epoch that has ended */
        cr_assert_lt(world_append_end(&old), 0);
        epoch % 2 ? world_power_cut(&w) : world_stop(&w);
    }
    world_close(&w);
}

Test(log, a_duplicate_is_answered_with_the_original_offset)
{
    struct world w;
    world_open(&w, 31);
    struct batch_spec s = {.records = 2, .producer = true, .producer_id = 7, .producer_epoch = 1};
    int64_t base, originals[30];
    for (int32_t n = 0; n < 30; n++) {
        if (n % 5 == 0) {
            if (n > 0) {
                n % 2 ? world_power_cut(&w) : n % 3 ? world_kill(&w) : world_stop(&w);
            }
            world_started(&w, 1);
        }
        s.sequence = n * 2;
        cr_assert_eq(world_append(&w, 0, &s, &originals[n]), 0);
        world_fill(&w, 0, &SMALL, 1);
        for (int32_t again = n < 4 ? 0 : n - 4; again <= n; again++) {
            s.sequence = again * 2;
            cr_assert_eq(world_append(&w, 0, &s, &base), 0);
            cr_assert_eq(base, originals[again], "sequence %d", again * 2);
        }
        s.sequence = n * 2 + 4;
        cr_assert_eq(world_append(&w, 0, &s, &base), ERR_OUT_OF_ORDER_SEQUENCE);
        s.sequence = 0;
        s.producer_epoch = 0;
        cr_assert_eq(world_append(&w, 0, &s, &base), ERR_INVALID_PRODUCER_EPOCH);
        s.producer_epoch = 1;
    }
    cr_assert_eq(world_check(&w, 0), 60);
    world_close(&w);
}

/* A duplicate of what is still on its way is told when the original is durable, not before. */
Test(log, a_duplicate_waits_for_its_original)
{
    struct world w;
    world_open(&w, 32);
    world_started(&w, 1);
    world_fill(&w, 0, &SMALL, 1);
    struct batch_spec s = {.records = 2, .producer = true, .producer_id = 7};
    struct world_append first, second;
    world_append_begin(&w, 0, &s, &first);
    world_append_begin(&w, 0, &s, &second);
    cr_assert_not(first.done);
    cr_assert_not(second.done);
    cr_assert(world_until(&w, &second.done));
    cr_assert(first.done, "the duplicate was told before the original");
    cr_assert(second.append.duplicate);
    cr_assert_eq(second.append.base_offset, first.append.base_offset);
    world_append_end(&first);
    world_append_end(&second);
    world_close(&w);
}

/* The last block, unfinished, is not in the file that an index is made of. */
Test(log, the_newest_times_are_found_after_a_start)
{
    struct world w;
    world_open(&w, 35);
    int32_t count = 0;
    for (unsigned life = 0; life < 6; life++) {
        world_started(&w, 1);
        for (int32_t n = 0; n < count; n++) {
            int64_t offset, time;
            cr_assert_eq(world_find_time(&w, 0, 1000 + n, &offset, &time), 0);
            cr_assert(offset == n && time == 1000 + n, "life %u: %d is at %lld", life, (int)n,
                      (long long)offset);
        }
        for (int32_t end = life == 0 ? 200 : count + (int32_t)life; count < end; count++) {
            struct batch_spec s = {.records = 1, .value_bytes = 20, .timestamp = 1000 + count};
            world_fill(&w, 0, &s, 1);
        }
        life % 2 ? world_stop(&w) : world_power_cut(&w);
    }
    world_close(&w);
}

Test(log, the_first_record_that_is_not_older)
{
    struct world w;
    world_open(&w, 33);
    for (unsigned life = 0; life < 3; life++) {
        world_started(&w, 1);
        if (life == 0) {
            /* Batches of ten records, 1 ms apart, each batch 100 ms later; every codec. */
            for (int32_t n = 0; n < 60; n++) {
                struct batch_spec s = {.records = 10,
                                       .value_bytes = 300,
                                       .timestamp = 10000 + n * 100,
                                       .codec = (enum codec)(n % CODEC_COUNT)};
                world_fill(&w, 0, &s, 1);
            }
        }
        for (int32_t n = 0; n < 60; n += 7) {
            for (int32_t r = 0; r < 10; r += 4) {
                int64_t offset, time;
                int64_t wanted = 10000 + n * 100 + r;
                cr_assert_eq(world_find_time(&w, 0, wanted, &offset, &time), 0);
                cr_assert(offset == n * 10 + r && time == wanted, "life %u: %lld is at %lld", life,
                          (long long)wanted, (long long)offset);
            }
        }
        int64_t offset, time;
        cr_assert_eq(world_find_time(&w, 0, 0, &offset, &time), 0);
        cr_assert(offset == 0 && time == 10000);
        cr_assert_eq(world_find_time(&w, 0, 10050, &offset, &time), 0); /* between two batches */
        cr_assert(offset == 10 && time == 10100);
        cr_assert_eq(world_find_time(&w, 0, 1000000, &offset, &time), 0);
        cr_assert(offset == -1 && time == -1);
        if (life == 2) {
            cr_assert_eq(world_control(&w, 0, LOG_START, 105), 0);
            cr_assert_eq(world_find_time(&w, 0, 0, &offset, &time), 0);
            cr_assert(offset == 105 && time == 11005, "below the start nothing is found");
        }
        life ? world_stop(&w) : world_power_cut(&w);
    }
    world_close(&w);
}

/* --- limits ------------------------------------------------------------------------------------ */

/* Small and large at once: larger than chunks, than what is read ahead, than what one write takes. */
Test(log, batches_of_every_size)
{
    struct world w;
    world_open(&w, 40);
    w.options.journal_file_bytes = 1 << 20;
    w.options.journal_bytes_max = 4 << 20;
    w.options.chunk_bytes_max = 32 << 10;
    w.options.read_ahead_bytes = 16 << 10;
    w.options.tail_bytes_max = 2 << 20;
    w.slots[0].config.segment_bytes = 1 << 20;
    static const uint32_t sizes[] = {1,     100,    4000,   4035,   4036,   8000,  16000,
                                     40000, 100000, 300000, 600000, 700000, 735000};
    for (unsigned life = 0; life < 3; life++) {
        world_started(&w, 1);
        for (unsigned i = 0; i < array_size(sizes); i++) {
            struct batch_spec s = {.value_bytes = sizes[i]};
            cr_assert_eq(world_append(&w, 0, &s, NULL), 0, "%u bytes", sizes[i]);
            world_fill(&w, 0, &SMALL, 1);
        }
        cr_assert_eq(world_check(&w, 0), (life + 1) * 2 * array_size(sizes));
        life ? world_kill(&w) : world_power_cut(&w);
    }
    world_started(&w, 1);
    struct batch_spec huge = {.value_bytes = 1000000};
    cr_assert_eq(world_append(&w, 0, &huge, NULL), ERR_MESSAGE_TOO_LARGE);
    w.slots[1].config.durability = LOG_MEMORY; /* a ring of 1 MiB */
    huge.value_bytes = 600000;
    cr_assert_eq(world_append(&w, 1, &huge, NULL), ERR_MESSAGE_TOO_LARGE);
    huge.value_bytes = 500000;
    for (unsigned i = 0; i < 10; i++) {
        cr_assert_eq(world_append(&w, 1, &huge, NULL), 0);
    }
    cr_assert_eq(world_check(&w, 1), 10);
    world_close(&w);
}

/* Far more than the tail and the journal hold is given at once: it waits, nothing fails. */
static void pressure(enum log_durability durability)
{
    struct world w;
    world_open(&w, 41);
    w.options.tail_bytes_max = 256 << 10;
    w.options.journal_bytes_max = 512 << 10;
    w.options.memory_journal_bytes = 128 << 10;
    for (unsigned i = 0; i < 4; i++) {
        w.slots[i].config.durability = durability;
        w.slots[i].config.segment_bytes = 1 << 20;
    }
    world_started(&w, 2);
    struct world_load l;
    uint64_t waiting = 0;
    world_load_begin(&l, &w, 4, &LARGE, 600); /* 6 MiB */
    for (unsigned shard = 0; shard < 2; shard++) {
        struct log_set_status s = log_set_status(w.sets[shard]);
        waiting += s.appends_waiting;
        cr_assert_leq(s.tail_bytes, w.options.tail_bytes_max + 4 * IO_BLOCK_SIZE);
        cr_assert_leq(s.journal_bytes, w.options.journal_bytes_max);
    }
    cr_assert_gt(waiting, 0, "nothing had to wait");
    world_load_end(&l);
    cr_assert_eq(l.failed, 0, "%s", error_name(l.first_error));
    for (unsigned slot = 0; slot < 4; slot++) {
        cr_assert_eq(world_check(&w, slot), 150);
    }
    world_kill(&w);
    world_started(&w, 1);
    for (unsigned slot = 0; slot < 4; slot++) {
        cr_assert_eq(world_check(&w, slot), 150);
    }
    world_close(&w);
}

Test(log, durable_appends_wait_for_room)
{
    pressure(LOG_FSYNC);
}

Test(log, memory_appends_wait_for_room)
{
    pressure(LOG_MEMORY);
}

/* The journal grows while it is needed, and is used over and over. */
Test(log, the_journal_grows_and_is_reused)
{
    struct world w;
    world_open(&w, 42);
    world_started(&w, 1);
    world_log(&w, 0);
    cr_assert_eq(log_set_status(w.sets[0]).journal_bytes, 512 << 10);
    uint64_t grown = 0;
    for (unsigned i = 0; i < 20; i++) {
        struct world_load l;
        world_load_begin(&l, &w, 2, &LARGE, 60);
        world_load_end(&l);
        cr_assert_eq(l.failed, 0);
        uint64_t bytes = log_set_status(w.sets[0]).journal_bytes;
        grown = bytes > grown ? bytes : grown;
    }
    cr_assert_gt(grown, 512 << 10, "the journal has not grown");
    cr_assert_leq(grown, 1 << 20);
    cr_assert_gt(log_set_status(w.sets[0]).committed_bytes, 8 << 20);
    cr_assert_gt(log_set_status(w.sets[0]).checkpoints, 4);
    world_power_cut(&w);
    world_started(&w, 1);
    cr_assert_eq(world_check(&w, 0), 600);
    cr_assert_eq(world_check(&w, 1), 600);
    world_close(&w);
}

/* Other sizes of journal files than the last life had, and crashes while they are made anew. */
Test(log, the_size_of_journal_files_may_change)
{
    struct world w;
    world_open(&w, 43);
    static const uint64_t sizes[] = {256 << 10, 512 << 10, 128 << 10, 256 << 10};
    for (unsigned life = 0; life < 4; life++) {
        w.options.journal_file_bytes = sizes[life];
        w.options.journal_bytes_max = 4 * sizes[life];
        for (unsigned at = 20; at < 100 && life > 0; at += 3) {
            sim_crash_after(w.node, at, at % 2 ? SIM_CRASH_KILL : SIM_CRASH_POWER);
            if (world_start(&w, 1) == 0) {
                break;
            }
            cr_assert_neq(w.error, ERR_DAMAGED, "%s", w.recover.summary.damage);
        }
        sim_crash_after(w.node, 0, SIM_CRASH_KILL);
        if (world_runs(&w)) {
            world_kill(&w);
        }
        world_started(&w, 1);
        world_check(&w, 0);
        world_fill(&w, 0, &LARGE, 20);
        world_kill(&w);
    }
    world_started(&w, 1);
    cr_assert_eq(world_check(&w, 0), 80);
    world_close(&w);
}

Test(log, closing_with_appends_in_progress)
{
    struct world w;
    world_open(&w, 44);
    w.options.tail_bytes_max = 256 << 10;
    for (unsigned life = 0; life < 10; life++) {
        world_started(&w, 2);
        for (unsigned slot = 0; slot < 4; slot++) {
            world_check(&w, slot);
        }
        struct world_load l;
        world_load_begin(&l, &w, 4, life % 2 ? &SMALL : &LARGE, 100 + life);
        world_stop(&w);
        for (unsigned i = 0; i < l.count; i++) {
            cr_assert(l.appends[i].done, "append %u was not answered", i);
            cr_assert(l.appends[i].error == 0 || l.appends[i].error == ERR_CLOSED);
            free(l.appends[i].batch);
        }
        free(l.appends);
        world_started(&w, 2);
        cr_assert(w.recover.summary.clean);
        for (unsigned slot = 0; slot < 4; slot++) {
            world_check(&w, slot);
        }
        world_stop(&w);
    }
    world_close(&w);
}

/* --- failures of the disk ------------------------------------------------------------------------ */

Test(log, a_failed_write_ends_the_node_and_tells_nothing)
{
    unsigned ended = 0;
    for (uint64_t seed = 0; seed < 30; seed++) {
        struct world w;
        world_open(&w, 200 + seed);
        world_started(&w, 1);
        world_fill(&w, 0, &LARGE, 10);
        uint32_t *chance =
            seed % 2 ? &sim_faults(w.sim)->write_error : &sim_faults(w.sim)->sync_error;
        *chance = seed % 2 ? 100000 : 300000;
        for (unsigned round = 0; world_runs(&w) && round < 40; round++) {
            struct world_load l;
            world_load_begin(&l, &w, 2, &LARGE, 40);
            world_load_end(&l);
        }
        *chance = 0;
        if (!world_runs(&w)) {
            ended++;
            cr_assert_eq(sim_node_state(w.node), SIM_FATAL);
            cr_assert_not_null(strstr(sim_node_last_line(w.node), "data/"), "it names no file: %s",
                               sim_node_last_line(w.node));
        } else {
            world_kill(&w);
        }
        world_started(&w, 1);
        world_check(&w, 0);
        world_check(&w, 1);
        world_close(&w);
    }
    cr_assert_geq(ended, 25, "only %u of 30 ended", ended);
}

/* Refused before the reserve is touched; what frees space works; then it goes on by itself. */
Test(log, a_full_disk_refuses_appends_and_recovers)
{
    struct world w;
    world_open(&w, 50);
    world_started(&w, 1);
    world_fill(&w, 0, &LARGE, 30);
    world_fill(&w, 1, &LARGE, 30);
    struct disk *d = sim_node_disk(w.node);
    struct disk_space s = disk_space(d);
    disk_set_capacity(d, s.total_bytes - s.free_bytes + w.options.disk_reserve_bytes + (512 << 10));
    world_wait_ms(&w, 1100);
    int error = 0;
    unsigned taken = 0;
    while (error == 0 && taken < 200) {
        error = world_append(&w, 0, &LARGE, NULL);
        taken += error == 0;
    }
    cr_assert_eq(error, ERR_DISK_FULL, "%s after %u", error_name(error), taken);
    cr_assert(log_set_status(w.sets[0]).disk_full);
    cr_assert_gt(disk_space(d).free_bytes, w.options.disk_reserve_bytes - (300 << 10),
                 "the reserve was used: %llu left", (unsigned long long)disk_space(d).free_bytes);
    cr_assert(world_runs(&w));
    unsigned there = world_check(&w, 0);
    cr_assert_eq(there, 30 + taken);
    /* a new partition cannot begin, a `memory` one neither */
    w.slots[3].config.durability = LOG_MEMORY;
    cr_assert_eq(world_append(&w, 2, &SMALL, NULL), ERR_DISK_FULL);
    cr_assert_eq(world_append(&w, 3, &SMALL, NULL), ERR_DISK_FULL);
    /* a start on a full disk works */
    world_kill(&w);
    world_started(&w, 1);
    cr_assert_eq(world_check(&w, 0), there);
    cr_assert_eq(world_append(&w, 2, &SMALL, NULL), ERR_DISK_FULL);
    /* and what frees space too */
    cr_assert_eq(world_control(&w, 1, LOG_REMOVE, 0), 0);
    cr_assert_eq(world_control(&w, 0, LOG_START, w.slots[0].given[20].base), 0);
    world_wait_ms(&w, 5000);
    cr_assert_eq(log_set_status(w.sets[0]).disk_full, false);
    cr_assert_eq(world_append(&w, 2, &SMALL, NULL), 0);
    disk_set_capacity(d, s.total_bytes);
    world_wait_ms(&w, 1100);
    cr_assert_eq(world_append(&w, 3, &SMALL, NULL), 0);
    world_fill(&w, 0, &LARGE, 10);
    world_power_cut(&w);
    world_started(&w, 1);
    cr_assert_eq(world_check(&w, 0), there - 20 + 10);
    cr_assert_eq(world_check(&w, 2), 1);
    world_close(&w);
}

/* The disk says that it is full where nobody had asked: also in the middle of making a partition. */
Test(log, a_disk_that_is_full_without_warning)
{
    for (unsigned left = 0; left < 24; left++) {
        struct world w;
        world_open(&w, 60 + left);
        w.options.disk_reserve_bytes = 4096;
        world_started(&w, 1);
        world_fill(&w, 0, &LARGE, 5);
        struct disk *d = sim_node_disk(w.node);
        struct disk_space s = disk_space(d);
        disk_set_capacity(d, s.total_bytes - s.free_bytes + left * 4096ull);
        for (unsigned i = 0; i < 5 && world_runs(&w); i++) {
            (void)world_append(&w, 0, &LARGE, NULL);
            (void)world_append(&w, 1, &SMALL, NULL);
        }
        disk_set_capacity(d, s.total_bytes);
        if (!world_runs(&w)) { /* a write into space that was not allocated: allowed, and told */
            cr_assert_eq(sim_node_state(w.node), SIM_FATAL);
            world_started(&w, 1);
        }
        world_wait_ms(&w, 2500);
        cr_assert_eq(world_append(&w, 1, &SMALL, NULL), 0, "%u blocks left", left);
        world_fill(&w, 0, &LARGE, 5);
        world_kill(&w);
        world_started(&w, 1);
        world_check(&w, 0);
        world_check(&w, 1);
        world_close(&w);
    }
}

static uint32_t removed_unopened;

static void remove_unopened(void *argument)
{
    removed_unopened = log_set_remove_unopened(world_set(argument, 0));
}

/* Until its removal is in the journal it cannot come back. */
static void open_removed(void *argument)
{
    struct world *w = argument;
    struct world_slot *s = &w->slots[0];
    struct log *dying = log_find(world_set(w, 0), s->id, 0);
    cr_assert(!dying || !log_open(world_set(w, 0), s->id, 0, s->topic, &s->config));
}

/* What was recovered, and nobody claims when the metadata are known, goes like any log that is removed; its name is
 * free for another. */
Test(log, recovered_logs_that_nobody_opens_go)
{
    struct world w;
    world_open(&w, 77);
    world_started(&w, 1);
    world_fill(&w, 0, &SMALL, 20);
    world_fill(&w, 1, &SMALL, 20);
    world_power_cut(&w);
    world_started(&w, 1);
    cr_assert_eq(w.recover.summary.logs, 2);
    world_log(&w, 1);
    cr_assert(world_do(&w, 0, remove_unopened, &w));
    cr_assert_eq(removed_unopened, 1);
    cr_assert(world_do(&w, 0, remove_unopened, &w));
    cr_assert_eq(removed_unopened, 0, "each once");
    cr_assert(world_do(&w, 0, open_removed, &w));
    world_wait_ms(&w, 2000);
    world_power_cut(&w);
    world_started(&w, 1);
    cr_assert_eq(w.recover.summary.logs, 1);
    cr_assert_eq(w.recover.summary.set_aside, 0);
    cr_assert_eq(world_check(&w, 1), 20);
    cr_assert_eq(world_status(&w, 0).end_offset, 0);
    world_close(&w);
}
