/* SPDX-License-Identifier: Apache-2.0 */

/* The journal of `memory` logs: what a kill leaves in it, what a power cut and a new life do not
 * believe. */
#include "world.h"

#include "log/log_private.h"

#include <criterion/criterion.h>

static const struct batch_spec SMALL = {.records = 2, .value_bytes = 300};
static const struct batch_spec LARGE = {.records = 4, .value_bytes = 5000};

static void memory_world(struct world *w, uint64_t seed)
{
    world_open(w, seed);
    w->options.memory_journal_bytes = 256 << 10;
    for (unsigned i = 0; i < WORLD_SLOTS; i++) {
        w->slots[i].config.durability = i % 2 ? LOG_FSYNC : LOG_MEMORY;
    }
}

Test(mapped, the_ring_goes_round)
{
    struct world w;
    memory_world(&w, 1);
    for (unsigned life = 0; life < 4; life++) {
        world_started(&w, 1);
        cr_assert_eq(world_check(&w, 0), life * 130);
        for (unsigned i = 0; i < 13; i++) {
            world_fill(&w, 0, &SMALL, 5);
            world_fill(&w, 0, &LARGE, 5); /* 1.3 MiB of 256 KiB */
        }
        world_kill(&w);
    }
    world_close(&w);
}

Test(mapped, there_is_no_file_before_the_first_memory_log)
{
    struct world w;
    memory_world(&w, 2);
    world_started(&w, 1);
    world_fill(&w, 1, &SMALL, 5);
    cr_assert_eq(world_file_size(&w, "journal-0/memory-0000"), 0);
    world_fill(&w, 0, &SMALL, 5);
    cr_assert_eq(world_file_size(&w, "journal-0/memory-0000"), 256 << 10);
    world_close(&w);
}

/* Without room for the ring appends are refused; when there is room, they go on. */
Test(mapped, no_room_for_the_ring)
{
    struct world w;
    memory_world(&w, 7);
    w.options.memory_journal_bytes = 16 << 20;
    world_started(&w, 1);
    struct disk *d = sim_node_disk(w.node);
    struct disk_space s = disk_space(d);
    disk_set_capacity(d, s.total_bytes - s.free_bytes + (8 << 20));
    world_wait_ms(&w, 1100);
    world_fill(&w, 1, &SMALL, 3);
    cr_assert_eq(world_append(&w, 0, &SMALL, NULL), ERR_DISK_FULL);
    cr_assert_eq(world_append(&w, 0, &SMALL, NULL), ERR_DISK_FULL);
    disk_set_capacity(d, s.total_bytes);
    world_wait_ms(&w, 1100);
    world_fill(&w, 0, &SMALL, 3);
    world_kill(&w);
    world_started(&w, 1);
    cr_assert_eq(world_check(&w, 0), 3);
    world_close(&w);
}

/* Both kinds of logs side by side, killed in the middle of a load at any operation. */
Test(mapped, kills_under_a_mixed_load)
{
    struct world w;
    memory_world(&w, 3);
    for (unsigned life = 0; life < 30; life++) {
        world_started(&w, 1 + life % 2);
        for (unsigned slot = 0; slot < 4; slot++) {
            world_check(&w, slot);
        }
        sim_crash_after(w.node, 20 + life * 11, SIM_CRASH_KILL);
        for (unsigned round = 0; world_runs(&w) && round < 100; round++) {
            struct world_load l;
            world_load_begin(&l, &w, 4, &LARGE, 30);
            world_load_end(&l);
        }
        cr_assert(!world_runs(&w));
    }
    world_close(&w);
}

/* After a power cut every memory log is readable from its start to its end, and goes on. */
Test(mapped, power_cuts_under_a_mixed_load)
{
    struct world w;
    memory_world(&w, 4);
    for (unsigned life = 0; life < 30; life++) {
        world_started(&w, 1 + life % 3);
        for (unsigned slot = 0; slot < 4; slot++) {
            if (slot % 2 == 0) {
                world_forget_from(&w, slot, world_status(&w, slot).end_offset);
            }
            world_check(&w, slot);
        }
        if (life % 4 == 3) {
            int64_t end = world_status(&w, 0).end_offset;
            cr_assert_eq(world_control(&w, 0, LOG_START, end / 2), 0);
            unsigned count = w.slots[2].count;
            if (count > 3) {
                int64_t cut = w.slots[2].given[count - 3].base;
                cr_assert_eq(world_control(&w, 2, LOG_TRUNCATE, cut), 0);
            }
        }
        sim_crash_after(w.node, 40 + life * 13, SIM_CRASH_POWER);
        for (unsigned round = 0; world_runs(&w) && round < 100; round++) {
            struct world_load l;
            world_load_begin(&l, &w, 4, &LARGE, 30);
            world_load_end(&l);
        }
        cr_assert(!world_runs(&w));
    }
    world_close(&w);
}

/* A new start or a truncation that was told holds over a power cut, too: files follow it. */
Test(mapped, controls_survive_the_machine)
{
    struct world w;
    memory_world(&w, 5);
    world_started(&w, 1);
    world_fill(&w, 0, &LARGE, 40);
    world_stop(&w); /* all of it is in a checkpoint */
    world_started(&w, 1);
    world_fill(&w, 0, &SMALL, 5);
    cr_assert_eq(world_control(&w, 0, LOG_START, 80), 0);
    cr_assert_eq(world_control(&w, 0, LOG_TRUNCATE, 120), 0);
    world_fill(&w, 0, &SMALL, 5);
    world_wait_ms(&w, 1500);
    world_power_cut(&w);
    world_started(&w, 1);
    struct log_status s = world_status(&w, 0);
    cr_assert_eq(s.start_offset, 80);
    cr_assert_eq(s.end_offset, 120);
    world_forget_from(&w, 0, 120);
    cr_assert_eq(world_check(&w, 0), 10);
    cr_assert_eq(world_control(&w, 0, LOG_REMOVE, 0), 0);
    world_power_cut(&w);
    world_started(&w, 1);
    cr_assert_eq(world_status(&w, 0).end_offset, 0);
    world_close(&w);
}

/* A bit that flips in the ring: what stands before it is kept, it and what follows is not. */
Test(mapped, a_flipped_bit_ends_the_replay)
{
    struct world w;
    memory_world(&w, 6);
    world_started(&w, 1);
    world_fill(&w, 0, &SMALL, 10);
    world_kill(&w);
    uint32_t group = 40 + 56 + w.slots[0].given[0].size;
    group = (group + 63) / 64 * 64;
    world_flip(&w, "journal-0/memory-0000", group * 6 + 200, 3);
    world_started(&w, 1);
    cr_assert_eq(world_status(&w, 0).end_offset, 12);
    world_forget_from(&w, 0, 12);
    cr_assert_eq(world_check(&w, 0), 6);
    world_close(&w);
}
