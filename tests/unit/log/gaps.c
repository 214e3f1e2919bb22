/* SPDX-License-Identifier: Apache-2.0 */

/* A follower of a compacted log: offsets are left out in front of batches, and it stays so that a gap which is
 * none of those is damage. */
#include "world.h"

#include "log/log_private.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static const struct batch_spec SPEC = {.records = 2, .value_bytes = 2500}; /* 12 to a segment */

enum end { END_STOP, END_KILL, END_POWER, ENDS };

static void end_and_start(struct world *w, enum end how)
{
    if (how == END_STOP) {
        world_stop(w);
    } else if (how == END_KILL) {
        world_kill(w);
    } else {
        world_power_cut(w);
    }
    world_started(w, 1);
}

static int follow(struct world *w, unsigned count, int64_t base, int64_t gap, bool gaps)
{
    struct log_follow f = {
        .batches = world_batches(w, &SPEC, count, base, gap, 1), .leader_epoch = 1, .gaps = gaps};
    int error = world_follow(w, 0, &f);
    free((void *)f.batches.data);
    return error;
}

/* The base of the first batch that a read at `offset` shows, -1: none. */
static int64_t first_at(struct world *w, int64_t offset)
{
    struct wire_writer out;
    wire_writer_init(&out, &w->memory, 1 << 20);
    struct log_read r = {.offset = offset,
                         .limit_offset = world_status(w, 0).end_offset,
                         .bytes_max = 1,
                         .first_whole = true};
    int error = world_read(w, 0, &r, &out);
    cr_assert_eq(error, 0, "at %lld: %s", (long long)offset, error_name(error));
    int64_t base = out.size ? (int64_t)get_be64(out.data) : -1;
    cr_assert(r.next_offset >= offset);
    wire_writer_deinit(&out);
    return base;
}

/* Within segments and between them, from the tail and from disk. */
Test(gaps, they_are_kept)
{
    for (unsigned i = 0; i < 2 * ENDS; i++) {
        enum end how = i % ENDS;
        struct world w;
        world_open(&w, 300 + i);
        w.slots[0].config.durability = i < ENDS ? LOG_FSYNC : LOG_MEMORY;
        w.options.tail_bytes_max = 256 << 10;
        world_started(&w, 1);
        cr_assert_eq(follow(&w, 1, 7, 0, true), 0, "a log may begin with one");
        for (unsigned n = 1; n < 100; n++) {
            int64_t end = world_status(&w, 0).end_offset;
            cr_assert_eq(follow(&w, 1, end + 5, 0, false), ERR_OFFSET_OUT_OF_RANGE);
            cr_assert_eq(follow(&w, 1, n % 3 ? end : end + 10, 0, true), 0);
        }
        cr_assert_eq(follow(&w, 20, world_status(&w, 0).end_offset, 3, true), 0);
        cr_assert_eq(follow(&w, 1, world_status(&w, 0).end_offset - 1, 0, true),
                     ERR_OFFSET_OUT_OF_RANGE);
        for (unsigned life = 0; life < 3; life++) {
            cr_assert_eq(world_check(&w, 0), 120);
            for (unsigned n = 0; n < w.slots[0].count; n++) {
                const struct given *g = &w.slots[0].given[n];
                int64_t before = n ? g[-1].last + 1 : 0;
                cr_assert_eq(first_at(&w, before), g->base, "in front of batch %u", n);
                cr_assert_eq(first_at(&w, g->base - (g->base > before)), g->base);
            }
            if (i >= ENDS && how == END_POWER) {
                break;
            }
            end_and_start(&w, how);
        }
        world_close(&w);
    }
}

/* The batch that begins the gap's end is the first of its segment, or in the middle of one. */
static void truncate_into_gap(enum end how, unsigned batches, bool leader, uint64_t seed)
{
    struct world w;
    world_open(&w, seed);
    world_started(&w, 1);
    cr_assert_eq(follow(&w, batches, 0, 0, true), 0);
    int64_t end = world_status(&w, 0).end_offset;
    cr_assert_eq(follow(&w, 3, end + 20, 0, true), 0);
    if (seed % 2) {
        end_and_start(&w, how);
    }
    for (int64_t cut = end + 15; cut > end; cut -= 7) {
        cr_assert_eq(world_control(&w, 0, LOG_TRUNCATE, cut), 0);
        cr_assert_eq(world_status(&w, 0).end_offset, cut, "%u batches", batches);
        cr_assert_eq(world_status(&w, 0).durable_offset, cut);
        w.slots[0].in_gap = true;
        cr_assert_eq(world_check(&w, 0), batches);
        cr_assert_eq(first_at(&w, cut - 1), -1);
        end_and_start(&w, how);
        cr_assert_eq(world_status(&w, 0).end_offset, cut);
        cr_assert_eq(world_check(&w, 0), batches);
        cr_assert_eq(first_at(&w, end), -1);
        int64_t offset, found;
        cr_assert_eq(world_find_time(&w, 0, 5000, &offset, &found), 0);
        cr_assert_eq(offset, -1);
    }
    w.slots[0].in_gap = false;
    int64_t cut = world_status(&w, 0).end_offset;
    if (leader) {
        w.slots[0].epoch = 2;
        world_fill(&w, 0, &SPEC, 30);
        cr_assert_eq(w.slots[0].given[batches].base, cut);
    } else {
        cr_assert_eq(follow(&w, 1, end, 0, true), ERR_OFFSET_OUT_OF_RANGE);
        cr_assert_eq(follow(&w, 30, cut, 0, false), 0);
    }
    cr_assert_eq(world_check(&w, 0), batches + 30);
    end_and_start(&w, how);
    cr_assert_eq(world_check(&w, 0), batches + 30);
    for (int64_t at = end; at <= cut; at++) {
        cr_assert_eq(first_at(&w, at), cut);
    }
    cr_assert_eq(world_control(&w, 0, LOG_TRUNCATE, cut + 1), 0);
    cr_assert_eq(world_status(&w, 0).end_offset, cut, "a whole batch goes");
    cr_assert_eq(world_control(&w, 0, LOG_TRUNCATE, end), 0);
    cr_assert_eq(world_check(&w, 0), batches);
    world_close(&w);
}

Test(gaps, a_truncation_into_one_ends_in_it)
{
    for (unsigned batches = 1; batches < 30; batches++) {
        truncate_into_gap(batches % ENDS, batches, batches % 2, 400 + batches);
    }
}

/* No segment ends in a gap: the next one is named by the end of the last batch. */
Test(gaps, nothing_is_sealed_in_one)
{
    struct world w;
    world_open(&w, 19);
    w.slots[0].config.retention_ms = 1000;
    world_started(&w, 1);
    cr_assert_eq(follow(&w, 11, 0, 0, true), 0);
    cr_assert_eq(follow(&w, 1, 40, 0, true), 0);
    cr_assert_eq(world_control(&w, 0, LOG_TRUNCATE, 30), 0);
    struct log *log = world_log(&w, 0);
    log_retain(log, 1ll << 50, 10);
    world_wait_ms(&w, 100);
    cr_assert_eq(log->segments.next, log->segments.prev);
    cr_assert_eq(world_status(&w, 0).start_offset, 0);
    cr_assert_eq(follow(&w, 3, 30, 0, true), 0);
    list_each (node, &log->segments) {
        const struct segment *s = container_of(node, struct segment, link);
        cr_assert(s->base_offset == 0 || s->base_offset == 32, "%lld", (long long)s->base_offset);
    }
    cr_assert_eq(world_check(&w, 0), 14);
    world_close(&w);
}

/* Two batches of which nobody said that a gap is between them. */
Test(gaps, another_one_is_damage)
{
    struct world w;
    world_open(&w, 20);
    world_started(&w, 1);
    cr_assert_eq(follow(&w, 40, 0, 0, true), 0);
    cr_assert_eq(world_check(&w, 0), 40);
    struct batch_header h;
    struct bytes first = world_batches(&w, &SPEC, 1, 0, 0, 1);
    cr_assert_eq(batch_header_read(&h, first.data, first.size), 0);
    free((void *)first.data);
    world_stop(&w);
    world_flip(&w, "topics/t0-0/00000000000000000000.log", h.size + 6, 0);
    world_started(&w, 1);
    struct log_read r = {.offset = 2, .limit_offset = 80, .bytes_max = 1, .first_whole = true};
    cr_assert_eq(world_read(&w, 0, &r, NULL), ERR_DAMAGED);
    world_close(&w);
}

/* What compaction makes of such segments, and that it goes over them. */
Test(gaps, compaction_goes_over_them)
{
    struct world w;
    world_open(&w, 21);
    w.slots[0].config.compact = true;
    w.slots[0].config.min_compaction_lag_ms = 0;
    w.options.cleaner_off = true;
    world_started(&w, 1);
    static const char *const keys[] = {"a", "b", "c"};
    int64_t base = 3;
    for (unsigned i = 0; i < 150; i++) {
        struct batch_spec spec = {.value_bytes = 1, .key = keys[i % 3], .text = "some value"};
        char text[2000];
        memset(text, 'a' + i % 26, sizeof text - 1);
        text[sizeof text - 1] = 0;
        spec.text = text;
        struct log_follow f = {
            .batches = world_batches(&w, &spec, 1, base, 0, 1), .leader_epoch = 1, .gaps = true};
        cr_assert_eq(world_follow(&w, 0, &f), 0);
        free((void *)f.batches.data);
        base += 1 + i % 4;
    }
    int64_t end = world_status(&w, 0).end_offset;
    log_raise_watermark(world_log(&w, 0), end);
    for (unsigned life = 0; life < 2; life++) {
        log_set_checkpoint(world_set(&w, 0));
        world_wait_ms(&w, 100);
        log_clean(world_log(&w, 0));
        world_wait_ms(&w, 2000);
        cr_assert_lt(log_set_status(world_set(&w, 0)).cleaned_bytes_after,
                     log_set_status(world_set(&w, 0)).cleaned_bytes_before + life);
        int64_t at = 0;
        for (int64_t before = -1; at < end; before = at) {
            struct log_read r = {
                .offset = at, .limit_offset = end, .bytes_max = 1, .first_whole = true};
            cr_assert_eq(world_read(&w, 0, &r, NULL), 0);
            at = r.next_offset;
            cr_assert_gt(at, before);
        }
        cr_assert_eq(at, end);
        world_power_cut(&w);
        world_started(&w, 1);
        cr_assert_eq(world_status(&w, 0).end_offset, end);
    }
    world_close(&w);
}
