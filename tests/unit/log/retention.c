/* SPDX-License-Identifier: Apache-2.0 */

/* Retention by size and by time: whole segments from the beginning, never more. */
#include "world.h"

#include "log/log_private.h"

#include <criterion/criterion.h>

static const struct batch_spec LARGE = {.records = 4, .value_bytes = 2500};

struct retaining {
    struct world *world;
    int64_t now_ms;
    unsigned limit;
};

static void retain_run(void *argument)
{
    struct retaining *r = argument;
    struct log *log = r->world->slots[0].log;
    log_raise_watermark(log, log_status(log).durable_offset);
    log_retain(log, r->now_ms, r->limit);
}

/* Asks for it as the owner does, now and then, until nothing moves any more. */
static void retain(struct world *w, int64_t now_ms, unsigned limit)
{
    world_log(w, 0);
    for (unsigned i = 0; i < 20; i++) {
        struct retaining r = {w, now_ms, limit};
        cr_assert(world_do(w, 0, retain_run, &r));
        world_wait_ms(w, 100);
    }
    w->slots[0].start = world_status(w, 0).start_offset;
}

static void configure_run(void *argument)
{
    struct world *w = argument;
    log_configure(w->slots[0].log, &w->slots[0].config);
}

static void configure(struct world *w)
{
    world_log(w, 0);
    cr_assert(world_do(w, 0, configure_run, w));
}

Test(retention, by_size)
{
    struct world w;
    world_open(&w, 1);
    w.slots[0].config.retention_bytes = 150 << 10;
    for (unsigned life = 0; life < 3; life++) {
        world_started(&w, 1);
        world_fill(&w, 0, &LARGE, 60);
        world_wait_ms(&w, 500);
        retain(&w, 0, 100);
        uint64_t size = world_status(&w, 0).size_bytes;
        cr_assert(size >= 150 << 10 && size < 214 << 10, "%llu bytes are left",
                  (unsigned long long)size);
        cr_assert_lt(world_check(&w, 0), 60);
        unsigned files = world_count_files(&w, "topics/t0-0/");
        cr_assert_leq(files, 4 * 3 + 2, "%u files", files);
        life ? world_kill(&w) : world_power_cut(&w);
        world_started(&w, 1);
        world_check(&w, 0);
        world_stop(&w);
    }
    world_close(&w);
}

/* Segments go when their newest record is too old; the active one is rolled first when all of it
 * is. */
Test(retention, by_time)
{
    struct world w;
    world_open(&w, 2);
    w.slots[0].config.retention_ms = 1000;
    world_started(&w, 1);
    for (int64_t n = 0; n < 40; n++) {
        struct batch_spec s = LARGE;
        s.timestamp = 10000 + n * 100;
        world_fill(&w, 0, &s, 1);
    }
    world_wait_ms(&w, 500);
    retain(&w, 10500, 100); /* nothing is a second old */
    cr_assert_eq(world_check(&w, 0), 40);
    retain(&w, 12500, 1); /* the first two segments: up to 10503 and 11103 */
    cr_assert_eq(w.slots[0].start, 2 * 24);
    cr_assert_eq(world_check(&w, 0), 28);
    world_power_cut(&w);
    world_started(&w, 1);
    world_check(&w, 0);
    retain(&w, 12500, 100); /* after a restart the indexes tell */
    cr_assert_eq(w.slots[0].start, 2 * 24);
    retain(&w, 100000, 100);
    cr_assert_eq(w.slots[0].start, 160, "the active segment is not rolled");
    cr_assert_eq(world_check(&w, 0), 0);
    world_kill(&w);
    world_started(&w, 1);
    cr_assert_eq(world_status(&w, 0).end_offset, 160);
    world_fill(&w, 0, &LARGE, 3);
    cr_assert_eq(world_check(&w, 0), 3);
    world_wait_ms(&w, 2000);
    cr_assert_eq(world_count_files(&w, "topics/t0-0/00000000000000000000"), 0);
    world_close(&w);
}

/* A record from the future keeps its segment, and those behind it. */
Test(retention, one_record_from_the_future)
{
    struct world w;
    world_open(&w, 3);
    w.slots[0].config.retention_ms = 1000;
    world_started(&w, 1);
    for (int64_t n = 0; n < 30; n++) {
        struct batch_spec s = LARGE;
        s.timestamp = n == 8 ? 999999 : 10000;
        world_fill(&w, 0, &s, 1);
    }
    retain(&w, 100000, 100);
    cr_assert_eq(w.slots[0].start, 24);
    cr_assert_eq(world_check(&w, 0), 24);
    world_close(&w);
}

Test(retention, a_limit_of_segments_for_each_call_and_a_later_configuration)
{
    struct world w;
    world_open(&w, 4);
    world_started(&w, 1);
    world_fill(&w, 0, &LARGE, 60);
    world_wait_ms(&w, 500);
    retain(&w, 1 << 30, 100); /* without limits nothing goes */
    cr_assert_eq(world_check(&w, 0), 60);
    w.slots[0].config.retention_bytes = 0;
    configure(&w);
    struct retaining r = {&w, 0, 1};
    cr_assert(world_do(&w, 0, retain_run, &r));
    world_wait_ms(&w, 100);
    cr_assert_eq(world_status(&w, 0).start_offset, 24);
    retain(&w, 0, 100);
    cr_assert_geq(w.slots[0].start, 9 * 24); /* all but the active one */
    world_check(&w, 0);
    world_close(&w);
}

/* A segment rolls by age when something is appended to it: also one of an earlier life. */
Test(retention, segments_roll_by_age)
{
    struct world w;
    world_open(&w, 5);
    w.slots[0].config.segment_ms = 5000;
    world_started(&w, 1);
    world_fill(&w, 0, &LARGE, 2);
    world_wait_ms(&w, 6000);
    world_fill(&w, 0, &LARGE, 1);
    world_wait_ms(&w, 1000);
    cr_assert_gt(world_file_size(&w, "topics/t0-0/00000000000000000008.log"), 0);
    world_stop(&w);
    world_started(&w, 1);
    world_fill(&w, 0, &LARGE, 1);
    world_wait_ms(&w, 6000);
    world_fill(&w, 0, &LARGE, 1);
    world_wait_ms(&w, 1000);
    cr_assert_gt(world_file_size(&w, "topics/t0-0/00000000000000000016.log"), 0,
                 "a segment of an earlier life does not roll");
    cr_assert_eq(world_check(&w, 0), 5);
    world_close(&w);
}

/* While it is being read, a segment stays; then it goes. */
Test(retention, a_segment_in_use_goes_later)
{
    struct world w;
    world_open(&w, 6);
    world_started(&w, 1);
    world_fill(&w, 0, &LARGE, 40);
    world_wait_ms(&w, 500);
    struct segment *s = container_of(world_log(&w, 0)->segments.next, struct segment, link);
    s->readers++;
    cr_assert_eq(world_control(&w, 0, LOG_START, 60), 0);
    world_wait_ms(&w, 2000);
    cr_assert_gt(world_file_size(&w, "topics/t0-0/00000000000000000000.log"), 0);
    s->readers--;
    world_fill(&w, 0, &LARGE, 1);
    world_wait_ms(&w, 2000);
    cr_assert_eq(world_file_size(&w, "topics/t0-0/00000000000000000000.log"), 0);
    cr_assert_eq(world_file_size(&w, "topics/t0-0/00000000000000000024.log"), 0);
    world_check(&w, 0);
    world_close(&w);
}
