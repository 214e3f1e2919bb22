/* SPDX-License-Identifier: Apache-2.0 */

/* A log that begins anew: nothing of the old one is left or comes back, whatever its offsets were. */
#include "world.h"

#include "log/log_private.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static const struct batch_spec SPEC = {.records = 2, .value_bytes = 2500}; /* 12 to a segment */

enum end { END_NONE, END_STOP, END_KILL, END_POWER, ENDS };

static void end_and_start(struct world *w, enum end how)
{
    if (how == END_NONE) {
        return;
    }
    if (how == END_STOP) {
        world_stop(w);
    } else if (how == END_KILL) {
        world_kill(w);
    } else {
        world_power_cut(w);
    }
    world_started(w, 1);
}

static void expect_empty_at(struct world *w, int64_t offset)
{
    struct log_status s = world_status(w, 0);
    cr_assert(s.start_offset == offset && s.end_offset == offset && s.durable_offset == offset &&
                  s.high_watermark == offset && s.size_bytes == 0,
              "[%lld, %lld), durable up to %lld, hw %lld", (long long)s.start_offset,
              (long long)s.end_offset, (long long)s.durable_offset, (long long)s.high_watermark);
}

/* Above the end, at it, below it, at a segment's base, at nothing; empty or appended to; every end. */
Test(anew, nothing_of_the_old_log_is_left)
{
    static const int64_t offsets[] = {500, 80, 79, 72, 24, 13, 0};
    for (unsigned i = 0; i < 2 * array_size(offsets) * ENDS; i++) {
        int64_t offset = offsets[i / 2 % array_size(offsets)];
        enum end how = i / 2 / array_size(offsets);
        bool memory = i % 2;
        struct world w;
        world_open(&w, 500 + i);
        w.slots[0].config.durability = memory ? LOG_MEMORY : LOG_FSYNC;
        w.slots[0].epoch = 3;
        world_started(&w, 1);
        world_fill(&w, 0, &SPEC, 40);
        log_raise_watermark(world_log(&w, 0), 60);
        cr_assert_eq(world_anew(&w, 0, offset, -1), 0);
        expect_empty_at(&w, offset);
        cr_assert_eq(world_status(&w, 0).leader_epoch, -1);
        cr_assert_eq(world_status(&w, 0).max_timestamp, -1);
        int32_t found;
        cr_assert_eq(log_epoch_end(world_log(&w, 0), 100, &found), -1);
        end_and_start(&w, how);
        expect_empty_at(&w, offset);
        cr_assert_eq(world_status(&w, 0).leader_epoch, -1);
        w.slots[0].epoch = 2;
        world_fill(&w, 0, &SPEC, 30);
        cr_assert_eq(w.slots[0].given[0].base, offset);
        cr_assert_eq(world_check(&w, 0), 30);
        if (memory && how == END_POWER) {
            world_close(&w);
            continue;
        }
        end_and_start(&w, how);
        cr_assert_eq(world_check(&w, 0), 30);
        cr_assert_eq(log_epoch_end(world_log(&w, 0), 100, &found), offset + 60);
        cr_assert_eq(found, 2);
        world_wait_ms(&w, 3000);
        unsigned segments = 0;
        list_each (node, &world_log(&w, 0)->segments) {
            segments++;
        }
        cr_assert_leq(world_count_files(&w, "topics/t0-0/"), 1 + 3 * segments,
                      "old files are left");
        world_close(&w);
    }
}

/* What lies below may have an epoch: that of a snapshot. */
Test(anew, the_epoch_of_what_lies_below)
{
    struct world w;
    world_open(&w, 31);
    w.slots[0].epoch = 9;
    world_started(&w, 1);
    world_fill(&w, 0, &SPEC, 3);
    cr_assert_eq(world_anew(&w, 0, 100, 4), 0);
    for (unsigned life = 0; life < 3; life++) {
        expect_empty_at(&w, 100);
        int32_t found;
        cr_assert_eq(world_status(&w, 0).leader_epoch, 4);
        cr_assert_eq(log_epoch_end(world_log(&w, 0), 7, &found), 100);
        cr_assert_eq(found, 4);
        end_and_start(&w, life ? END_STOP : END_POWER);
    }
    struct log_follow f = {.batches = world_batches(&w, &SPEC, 1, 100, 0, 3), .leader_epoch = 5};
    cr_assert_eq(world_follow(&w, 0, &f), ERR_FENCED_LEADER_EPOCH);
    put_be32((uint8_t *)f.batches.data + 12, 5);
    cr_assert_eq(world_follow(&w, 0, &f), 0);
    free((void *)f.batches.data);
    cr_assert_eq(world_check(&w, 0), 1);
    cr_assert_eq(world_anew(&w, 0, -1, -1), ERR_OFFSET_OUT_OF_RANGE);
    cr_assert_eq(world_anew(&w, 0, INT64_MAX, -1), ERR_OFFSET_OUT_OF_RANGE);
    cr_assert_eq(world_check(&w, 0), 1);
    world_close(&w);
}

/* An empty log has no files: it begins anew all the same, and keeps its place over a start that trashes its
 * directory. */
Test(anew, a_log_without_files)
{
    struct world w;
    world_open(&w, 32);
    world_started(&w, 1);
    cr_assert_eq(world_anew(&w, 0, 7, -1), 0);
    end_and_start(&w, END_POWER);
    expect_empty_at(&w, 7);
    world_fill(&w, 0, &SPEC, 20);
    cr_assert_eq(world_anew(&w, 0, 9, -1), 0);
    for (unsigned life = 0; life < 4; life++) {
        end_and_start(&w, life % 2 ? END_KILL : END_POWER);
        expect_empty_at(&w, 9);
        /* The first start has made the directory itself, for what it replayed in front of the entry. */
        cr_assert_leq(world_count_files(&w, "topics/t0-0/"), life == 0);
    }
    world_fill(&w, 0, &SPEC, 20);
    end_and_start(&w, END_POWER);
    cr_assert_eq(world_check(&w, 0), 20);
    world_close(&w);
}

/* Nothing of it was ever in a checkpoint or a file: the entry alone tells of it. */
Test(anew, a_log_that_nothing_else_knows)
{
    for (unsigned i = 0; i < 2 * ENDS; i++) {
        struct world w;
        world_open(&w, 340 + i);
        w.slots[0].config.durability = i % 2 ? LOG_MEMORY : LOG_FSYNC;
        world_started(&w, 1);
        if (i % 4 > 1) { /* a mapped journal is there */
            w.slots[1].config.durability = LOG_MEMORY;
            world_fill(&w, 1, &SPEC, 1);
        }
        cr_assert_eq(world_anew(&w, 0, 46, -1), 0);
        end_and_start(&w, i / 2);
        expect_empty_at(&w, 46);
        world_fill(&w, 0, &SPEC, 3);
        end_and_start(&w, i / 2 == END_POWER ? END_KILL : (enum end)(i / 2));
        cr_assert_eq(world_check(&w, 0), 3);
        world_close(&w);
    }
}

struct given_at_once {
    struct log *log;
    struct log_control start, anew;
    struct log_read read;
    unsigned done;
    int errors[3];
};

static void start_done(struct log_control *c, int error)
{
    struct given_at_once *g = container_of(c, struct given_at_once, start);
    g->errors[0] = error;
    g->done++;
}

static void anew_done(struct log_control *c, int error)
{
    struct given_at_once *g = container_of(c, struct given_at_once, anew);
    g->errors[1] = error;
    g->done++;
}

static void read_done(struct log_read *r, int error)
{
    struct given_at_once *g = container_of(r, struct given_at_once, read);
    g->errors[2] = error;
    g->done++;
    for (uint32_t i = 0; !error && i < r->slice_count; i++) {
        slice_release(&r->slices[i]);
    }
}

static void give(void *argument)
{
    struct given_at_once *g = argument;
    if (g->read.done) {
        int answer = log_read(g->log, &g->read);
        cr_assert_eq(answer, 0, "it is to come from disk");
    }
    log_control(g->log, &g->start);
    log_control(g->log, &g->anew);
}

/* A new start whose files wait for their mark must not take segments that are newer than it. */
Test(anew, a_new_start_before_it_takes_nothing_after_it)
{
    for (uint64_t seed = 0; seed < 10; seed++) {
        struct world w;
        world_open(&w, 600 + seed);
        world_started(&w, 1);
        world_fill(&w, 0, &SPEC, 60);
        struct given_at_once g = {
            .log = world_log(&w, 0),
            .start = {.kind = LOG_START, .offset = 100, .done = start_done},
            .anew = {.kind = LOG_ANEW, .offset = 4, .leader_epoch = -1, .done = anew_done}};
        cr_assert(world_do(&w, 0, give, &g));
        while (g.done < 2) {
            world_wait_ms(&w, 1);
        }
        cr_assert(g.errors[0] == 0 && g.errors[1] == 0);
        w.slots[0].count = 0;
        w.slots[0].start = 4;
        world_fill(&w, 0, &SPEC, 40);
        world_wait_ms(&w, 3000);
        cr_assert_eq(world_check(&w, 0), 40);
        end_and_start(&w, END_POWER);
        cr_assert_eq(world_check(&w, 0), 40);
        world_close(&w);
    }
}

/* Who reads from the old log meanwhile is told, or has read what it was; never the new one's bytes. */
Test(anew, reads_in_flight)
{
    for (uint64_t seed = 0; seed < 10; seed++) {
        struct world w;
        world_open(&w, 700 + seed);
        w.options.tail_bytes_max = 128 << 10;
        world_started(&w, 1);
        world_fill(&w, 0, &SPEC, 60);
        sim_faults(w.sim)->read.mean_ns = 200000 << seed;
        struct given_at_once g = {
            .log = world_log(&w, 0),
            .start = {.kind = LOG_START, .offset = 0, .done = start_done},
            .anew = {.kind = LOG_ANEW, .offset = 0, .leader_epoch = -1, .done = anew_done},
            .read = {.offset = 2, .limit_offset = 100, .bytes_max = 20000, .done = read_done}};
        cr_assert(world_do(&w, 0, give, &g));
        while (g.done < 3) {
            world_wait_ms(&w, 1);
        }
        cr_assert(g.errors[1] == 0 && (g.errors[2] == 0 || g.errors[2] == ERR_BUSY), "%s",
                  error_name(g.errors[2]));
        w.slots[0].count = 0;
        w.slots[0].start = 0;
        world_fill(&w, 0, &SPEC, 30);
        cr_assert_eq(world_check(&w, 0), 30);
        world_close(&w);
    }
}

/* A pass of the cleaner knows keys of the old log: it ends, and takes nothing from the new one. */
Test(anew, a_pass_of_the_cleaner_ends)
{
    for (uint64_t seed = 0; seed < 12; seed++) {
        struct world w;
        world_open(&w, 800 + seed);
        w.slots[0].config.compact = true;
        w.options.cleaner_off = true;
        w.options.cleaner_bytes_per_second = 300000;
        w.options.cleaner_piece_bytes = 4096;
        world_started(&w, 1);
        char text[3000];
        memset(text, 'x', sizeof text - 1);
        text[sizeof text - 1] = 0;
        struct batch_spec spec = {.value_bytes = 1, .key = "k", .text = text};
        world_fill(&w, 0, &spec, 120);
        log_raise_watermark(world_log(&w, 0), 120);
        log_set_checkpoint(world_set(&w, 0));
        world_wait_ms(&w, 50);
        log_clean(world_log(&w, 0));
        world_wait_ms(&w, 100 * seed);
        cr_assert_eq(world_anew(&w, 0, 10, -1), 0);
        static const char *const keys[] = {"a", "k"};
        for (unsigned i = 0; i < 60; i++) {
            spec.key = keys[i == 0];
            cr_assert_eq(world_append(&w, 0, &spec, NULL), 0);
        }
        log_raise_watermark(world_log(&w, 0), 70);
        world_wait_ms(&w, 5000);
        cr_assert_eq(world_check(&w, 0), 60);
        end_and_start(&w, END_POWER);
        cr_assert_eq(world_check(&w, 0), 60);
        world_close(&w);
    }
}

/* What waits for its turn goes on in the new log: a leader's at its beginning, a follower's if it fits. */
struct queued {
    struct log *log;
    struct log_control anew;
    struct log_follow wrong, right;
    unsigned done;
    int errors[3];
};

static void queued_anew(struct log_control *c, int error)
{
    struct queued *q = container_of(c, struct queued, anew);
    q->errors[0] = error;
    q->done++;
}

static void queued_wrong(struct log_follow *f, int error)
{
    struct queued *q = container_of(f, struct queued, wrong);
    q->errors[1] = error;
    q->done++;
}

static void queued_right(struct log_follow *f, int error)
{
    struct queued *q = container_of(f, struct queued, right);
    q->errors[2] = error;
    q->done++;
}

static void queue(void *argument)
{
    struct queued *q = argument;
    log_control(q->log, &q->anew);
    log_append_follower(q->log, &q->wrong);
    log_append_follower(q->log, &q->right);
}

Test(anew, appends_wait_for_it)
{
    struct world w;
    world_open(&w, 33);
    world_started(&w, 1);
    world_fill(&w, 0, &SPEC, 10);
    struct queued q = {
        .log = world_log(&w, 0),
        .anew = {.kind = LOG_ANEW, .offset = 50, .leader_epoch = -1, .done = queued_anew},
        .wrong = {.batches = world_batches(&w, &SPEC, 1, 20, 0, 1),
                  .leader_epoch = 1,
                  .done = queued_wrong},
        .right = {.batches = world_batches(&w, &SPEC, 2, 50, 0, 1),
                  .leader_epoch = 1,
                  .done = queued_right}};
    cr_assert(world_do(&w, 0, queue, &q));
    while (q.done < 3) {
        world_wait_ms(&w, 1);
    }
    cr_assert(q.errors[0] == 0 && q.errors[1] == ERR_OFFSET_OUT_OF_RANGE && q.errors[2] == 0);
    struct log_status s = world_status(&w, 0);
    cr_assert(s.start_offset == 50 && s.end_offset == 54 && s.durable_offset == 54);
    free((void *)q.wrong.batches.data);
    free((void *)q.right.batches.data);
    world_close(&w);
}
