/* SPDX-License-Identifier: Apache-2.0 */

/* Walking over everything: against plain loops over what was written. */
#include "fake_io.h"
#include "log/cold.h"
#include "log/index.h"
#include "segment_model.h"

#include "base/crc32c.h"
#include "base/errors.h"

#include <criterion/criterion.h>
#include <stdlib.h>

struct walk {
    struct fake_io fake;
    struct cold_reader *reader;
    struct segment_model segment;
    struct io_file file;
    struct prng random;
};

static struct walk *walk_new(uint64_t seed, struct cold_options options, uint32_t segment_bytes)
{
    struct walk *w = calloc(1, sizeof *w);
    w->random = prng_of(seed);
    fake_io_init(&w->fake, seed, 256 << 20);
    segment_model_init(&w->segment, segment_bytes, 1000);
    w->reader = cold_reader_new(&w->fake.io, &options);
    cr_assert_not_null(w->reader);
    return w;
}

static void walk_free(struct walk *w)
{
    cold_reader_free(w->reader);
    segment_model_deinit(&w->segment);
    fake_io_deinit(&w->fake);
    free(w);
}

/* --- walking ---------------------------------------------------------------------------------- */

struct walking {
    struct cold_scan s;
    struct walk *w;
    uint32_t next, wrong; /* batches */
    uint32_t stop_at;
    bool stop, ended;
    int error;
};

static int walking_batch(struct cold_scan *s, const struct cold_batch *b)
{
    struct walking *x = container_of(s, struct walking, s);
    const struct model_batch *m = &x->w->segment.batches[x->next++];
    cr_assert_eq(b->position, m->position);
    cr_assert_eq(b->size, m->size);
    x->wrong += !b->crc_ok;
    if (b->crc_ok) {
        cr_assert_eq(b->fields.base_offset, m->base_offset);
        cr_assert_eq(b->fields.max_timestamp, m->max_timestamp);
    }
    return x->stop_at && x->next == x->stop_at ? 77 : 0;
}

static void walking_done(struct cold_scan *s, int error)
{
    struct walking *x = container_of(s, struct walking, s);
    cr_assert_not(x->ended);
    x->ended = true;
    x->error = error;
}

static void walking_start(struct walk *w, struct walking *x)
{
    x->w = w;
    x->s.source = (struct cold_source){.file = &w->file,
                                       .key = 3,
                                       .from_known = true,
                                       .from_offset = w->segment.base_offset,
                                       .limit = w->segment.size};
    x->s.batch = walking_batch;
    x->s.done = walking_done;
    cold_scan(w->reader, &x->s);
    cr_assert_not(x->ended, "done() comes from the loop");
}

static struct walk *segment_new(uint64_t seed, struct cold_options options)
{
    struct walk *w = walk_new(seed, options, 400000);
    segment_model_fill(&w->segment, &w->random, 900, 50000);
    w->file = fake_file(w->segment.data, w->segment.size);
    return w;
}

Test(cold_scan, meets_every_batch_and_makes_the_sums)
{
    static const struct uuid topic = {{1, 2, 3}};
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct walk *w = segment_new(
            seed, (struct cold_options){.block_bytes = 4096u << seed % 6, .bytes_max = 1 << 20});
        uint32_t sums[8] = {0};
        struct walking x = {
            .s = {.sums = sums, .topic_id = topic, .partition = 4, .base_offset = 1000}};
        walking_start(w, &x);
        fake_io_run(&w->fake);
        cr_assert(x.ended && x.error == 0);
        cr_assert_eq(x.next, w->segment.count);
        cr_assert_eq(x.wrong, 0);
        cr_assert_eq(x.s.batches, w->segment.count);
        cr_assert_eq(x.s.bytes, w->segment.size);
        for (uint32_t at = 0; at < w->segment.size; at += SUMS_PIECE) {
            uint32_t left = w->segment.size - at;
            cr_assert_eq(sums[at / SUMS_PIECE],
                         sums_piece(topic, 4, 1000, at, w->segment.data + at,
                                    left < SUMS_PIECE ? left : SUMS_PIECE),
                         "piece at %u", at);
        }
        if (4096u << seed % 6 > 50000) {
            cr_assert_geq(w->fake.timers, w->segment.size / (4096u << seed % 6) / 2,
                          "it gives way to others");
            cr_assert_leq(cold_status(w->reader).bytes, 2 * (4096u << seed % 6),
                          "what it has passed is not kept");
        }
        walk_free(w);
    }
}

Test(cold_scan, tells_of_damage_and_goes_on_where_it_can)
{
    struct walk *w = segment_new(3, (struct cold_options){0});
    const struct model_batch *bad = &w->segment.batches[9], *worse = &w->segment.batches[40];
    w->segment.data[bad->position + 26] ^= 1; /* the last offset: the next one's is not known */
    struct walking x = {0};
    walking_start(w, &x);
    fake_io_run(&w->fake);
    cr_assert_eq(x.error, 0);
    cr_assert_eq(x.next, w->segment.count);
    cr_assert_eq(x.wrong, 1);
    w->segment.data[worse->position + 16] = 1; /* magic */
    cold_forget(w->reader, 3);
    struct walking y = {0};
    walking_start(w, &y);
    fake_io_run(&w->fake);
    cr_assert_eq(y.error, ERR_DAMAGED);
    cr_assert_eq(y.next, 40);
    cr_assert_eq(y.s.source.damage_position, worse->position);
    walk_free(w);
}

Test(cold_scan, keeps_its_pace_and_stops_when_asked)
{
    struct walk *w = segment_new(3, (struct cold_options){.block_bytes = 16384});
    struct walking x = {.s = {.bytes_per_second = 100000}};
    uint64_t started = w->fake.io.now_ns;
    walking_start(w, &x);
    fake_io_run(&w->fake);
    cr_assert_eq(x.error, 0);
    double seconds = (double)(w->fake.io.now_ns - started) / 1e9;
    cr_assert_gt(seconds, w->segment.size / 100000.0 - 0.8);
    cr_assert_lt(seconds, w->segment.size / 100000.0 + 0.1);

    struct walking y = {.stop_at = 5};
    walking_start(w, &y);
    fake_io_run(&w->fake);
    cr_assert_eq(y.error, 77);
    cr_assert_eq(y.next, 5);

    struct walking z = {.s = {.bytes_per_second = 1000}};
    walking_start(w, &z);
    for (int i = 0; i < 6; i++) {
        fake_io_step(&w->fake);
    }
    cr_assert_not(z.ended);
    cr_assert_not(cold_idle(w->reader, 3), "a pause is no end");
    started = w->fake.io.now_ns;
    cold_scan_stop(&z.s);
    fake_io_run(&w->fake);
    cr_assert_eq(z.error, ERR_INTERRUPTED);
    cr_assert_eq(w->fake.io.now_ns, started, "it does not wait for its pace to end");
    cr_assert(cold_idle(w->reader, 3));
    walk_free(w);
}

static void ignore_done(struct cold_request *q, int error)
{
    (void)q, (void)error;
}

/* Reads the first batch; 1 when it was in memory. */
static int read_first(struct walk *w)
{
    static struct cold_request q;
    q = (struct cold_request){.source = {.file = &w->file,
                                         .key = 3,
                                         .from_known = true,
                                         .from_offset = w->segment.base_offset,
                                         .limit = w->segment.size},
                              .offset = 1000,
                              .limit_offset = INT64_MAX,
                              .bytes_max = 1,
                              .first_whole = true,
                              .done = ignore_done};
    int rc = cold_read(w->reader, &q);
    fake_io_run(&w->fake);
    for (uint32_t i = 0; i < q.slice_count; i++) {
        slice_release(&q.slices[i]);
    }
    return rc;
}

Test(cold_scan, does_not_push_out_what_others_read)
{
    struct walk *w =
        segment_new(3, (struct cold_options){.block_bytes = 16384, .bytes_max = 16384 * 10});
    read_first(w);
    cr_assert_eq(read_first(w), 1, "block 0 is in use");
    struct walking y = {0};
    walking_start(w, &y);
    fake_io_run(&w->fake);
    cr_assert_eq(y.error, 0);
    unsigned reads = w->fake.reads;
    cr_assert_eq(read_first(w), 1, "the block was pushed out");
    cr_assert_eq(w->fake.reads, reads);
    walk_free(w);
}

Test(cold_scan, any_failed_read_ends_it_or_is_made_again)
{
    int failed = 0;
    for (unsigned fail = 1;; fail++) {
        struct walk *w =
            segment_new(3, (struct cold_options){.block_bytes = 16384, .bytes_max = 1 << 20});
        w->fake.fail_read = fail;
        struct walking x = {0};
        walking_start(w, &x);
        fake_io_run(&w->fake);
        bool reached = w->fake.reads >= fail;
        cr_assert(x.ended);
        if (x.error == 0) { /* what was read ahead is read again when it is needed */
            cr_assert_eq(x.next, w->segment.count);
            cr_assert_neq(fail, 1);
        } else {
            cr_assert_eq(x.error, ERR_DISK_FAILED);
            failed++;
        }
        walk_free(w);
        if (!reached) {
            cr_assert_gt(failed, 3);
            break;
        }
    }
}

/* A batch begins in a block that is there and ends in one that cannot be read: no read of it is repeated for ever. */
Test(cold_scan, a_block_that_cannot_be_read)
{
    for (uint64_t broken = 4096; broken < 16384 * 4; broken += 4096) {
        struct walk *w =
            segment_new(3, (struct cold_options){.block_bytes = 16384, .bytes_max = 1 << 20});
        w->fake.broken = broken;
        struct walking x = {0};
        walking_start(w, &x);
        fake_io_run(&w->fake);
        cr_assert(x.ended);
        cr_assert_eq(x.error, ERR_DISK_FAILED);
        walk_free(w);
    }
}
