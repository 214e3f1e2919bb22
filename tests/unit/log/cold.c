/* SPDX-License-Identifier: Apache-2.0 */

/* Reading cold, over files in memory whose reads end when the test says: every offset against the
 * model, many requests at once in random order, failures, budgets, damage, files that grow. */
#include "fake_io.h"
#include "log/cold.h"
#include "log/epochs.h"
#include "segment_model.h"

#include "base/crc32c.h"
#include "base/errors.h"

#include <criterion/criterion.h>
#include <stdlib.h>

struct bench {
    struct fake_io fake;
    struct cold_reader *reader;
    struct segment_model segment;
    struct io_file file;
    struct prng random;
};

static void bench_open(struct bench *t, uint64_t seed, struct cold_options options,
                       uint32_t segment_bytes, uint32_t small_max, uint32_t large_max)
{
    *t = (struct bench){.random = prng_of(seed)};
    fake_io_init(&t->fake, seed, 256 << 20);
    segment_model_init(&t->segment, segment_bytes, 1000);
    segment_model_fill(&t->segment, &t->random, small_max, large_max);
    t->file = fake_file(t->segment.data, t->segment.size);
    t->reader = cold_reader_new(&t->fake.io, &options);
    cr_assert_not_null(t->reader);
}

static void bench_close(struct bench *t)
{
    fake_io_run(&t->fake);
    cold_reader_free(t->reader);
    segment_model_deinit(&t->segment);
    fake_io_deinit(&t->fake);
}

struct reading {
    struct cold_request q;
    bool busy, ended;
    int error;
};

static void reading_done(struct cold_request *q, int error)
{
    struct reading *x = container_of(q, struct reading, q);
    cr_assert(x->busy && !x->ended, "done() twice");
    x->ended = true;
    x->error = error;
}

/* Of the model's batches. */
static struct epoch_entry epoch_entries[] = {{3, 0}};
static const struct epochs epochs = {.entries = epoch_entries, .count = 1};

static void reading_prepare(const struct bench *t, struct reading *x, int64_t offset,
                            uint32_t bytes_max)
{
    *x = (struct reading){.q = {.source = {.file = (struct io_file *)&t->file,
                                           .key = 7,
                                           .from_known = true,
                                           .from_offset = t->segment.base_offset,
                                           .epochs = &epochs,
                                           .limit = t->segment.size},
                                .offset = offset,
                                .limit_offset = INT64_MAX,
                                .bytes_max = bytes_max,
                                .first_whole = true,
                                .done = reading_done}};
}

static void reading_from(struct reading *x, const struct model_batch *b)
{
    x->q.source.from = b->position;
    x->q.source.from_offset = b->base_offset;
}

/* 1: answered at once; 0: reads are in flight; the error otherwise. */
static int reading_start(struct bench *t, struct reading *x)
{
    x->busy = true;
    int rc = cold_read(t->reader, &x->q);
    if (rc != 0) {
        x->ended = true;
        x->error = rc < 0 ? rc : 0;
    }
    return rc;
}

static int reading_run(struct bench *t, struct reading *x)
{
    reading_start(t, x);
    while (!x->ended && fake_io_step(&t->fake)) {
    }
    cr_assert(x->ended, "nothing is pending, and the request has no answer");
    return x->error;
}

static void reading_release(struct reading *x)
{
    for (uint32_t i = 0; i < x->q.slice_count; i++) {
        slice_release(&x->q.slices[i]);
    }
    x->q.slice_count = 0;
}

/* What was read is what the model says: from the batch with the offset, whole ones, no more than
 * was asked for. */
static void reading_check(const struct bench *t, const struct reading *x)
{
    const struct cold_request *q = &x->q;
    const struct model_batch *first = segment_model_find(&t->segment, q->offset);
    cr_assert_not_null(first);
    uint32_t at = first->position;
    for (uint32_t i = 0; i < q->slice_count; i++) {
        cr_assert_leq(at + q->slices[i].size, t->segment.size);
        cr_assert_eq(memcmp(q->slices[i].data, t->segment.data + at, q->slices[i].size), 0,
                     "offset %ld: other bytes at %u", (long)q->offset, at);
        at += (uint32_t)q->slices[i].size;
    }
    cr_assert_eq(at - first->position, q->size);
    cr_assert(q->size <= q->bytes_max || (q->first_whole && q->size == first->size));
    if (q->size == 0) {
        cr_assert_eq(q->next_offset, q->offset);
        cr_assert_eq(q->next_position, first->position);
        return;
    }
    const struct model_batch *last = segment_model_find(&t->segment, q->next_offset - 1);
    cr_assert_not_null(last);
    cr_assert_eq(last->position + last->size, at, "the end is not that of a batch");
    cr_assert_eq(q->next_position, at);
    cr_assert_eq(q->next_offset, last->last_offset + 1);
    cr_assert_leq(q->next_offset, q->limit_offset);
}

Test(cold, every_offset_reads_what_was_written)
{
    static const uint32_t blocks[] = {4096, 16384, 65536, 524288};
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct bench *t = malloc(sizeof *t);
        uint32_t block = blocks[seed % array_size(blocks)];
        bench_open(t, seed, (struct cold_options){.block_bytes = block, .bytes_max = 4 << 20},
                   600000, 900, 70000);
        for (int64_t offset = 1000; offset < t->segment.next_offset; offset++) {
            struct reading x;
            reading_prepare(t, &x, offset, (uint32_t)prng_between(&t->random, 1, 200000));
            x.q.first_whole = prng_chance(&t->random, 3, 4);
            if (prng_chance(&t->random, 1, 3)) {
                x.q.limit_offset = offset + (int64_t)prng_between(&t->random, 1, 60);
            }
            const struct model_batch *first = segment_model_find(&t->segment, offset);
            uint32_t start = (uint32_t)(first - t->segment.batches);
            uint32_t back = (uint32_t)prng_below(&t->random, start + 1);
            const struct model_batch *from = &t->segment.batches[start - (back < 20 ? back : 20)];
            x.q.source.from = from->position;
            x.q.source.from_offset = from->base_offset;
            x.q.source.from_known = prng_chance(&t->random, 3, 4);
            cr_assert_eq(reading_run(t, &x), 0, "offset %ld: %s", (long)offset, x.q.source.damage);
            reading_check(t, &x);
            bool fits = first->size <= x.q.bytes_max || x.q.first_whole;
            cr_assert_eq(x.q.size > 0, fits && first->last_offset < x.q.limit_offset);
            reading_release(&x);
        }
        bench_close(t);
        free(t);
    }
}

Test(cold, a_consumer_finds_what_was_read_ahead)
{
    struct bench *t = malloc(sizeof *t);
    bench_open(t, 3, (struct cold_options){.block_bytes = 65536}, 2000000, 2000, 0);
    uint32_t from = 0;
    int at_once = 0, waited = 0;
    for (int64_t offset = 1000; offset < t->segment.next_offset;) {
        struct reading x;
        reading_prepare(t, &x, offset, 20000);
        x.q.source.from = from;
        x.q.source.from_offset = offset;
        if (reading_start(t, &x) == 1) {
            at_once++;
        } else {
            waited++;
        }
        while (fake_io_step(&t->fake)) { /* the disk is as fast as the consumer */
        }
        cr_assert(x.ended && x.error == 0);
        reading_check(t, &x);
        offset = x.q.next_offset;
        from = x.q.next_position;
        reading_release(&x);
    }
    struct cold_status status = cold_status(t->reader);
    cr_assert_leq(waited, 3, "%d requests waited, %d did not", waited, at_once);
    cr_assert_gt(at_once, 90);
    cr_assert_eq(status.reads, t->segment.size / 65536 + 1, "each block is read once");
    cr_assert_eq(status.served_bytes, t->segment.size);
    bench_close(t);
    free(t);
}

Test(cold, scattered_reads_read_nothing_ahead)
{
    struct bench *t = malloc(sizeof *t);
    bench_open(t, 3, (struct cold_options){.block_bytes = 4096, .bytes_max = 1 << 20}, 400000, 500,
               0);
    for (uint32_t i = 0; i < 40; i++) {
        const struct model_batch *b = &t->segment.batches[i * 30];
        struct reading x;
        reading_prepare(t, &x, b->base_offset, 1);
        reading_from(&x, b);
        cr_assert_eq(reading_run(t, &x), 0);
        reading_release(&x);
    }
    cr_assert_eq(cold_status(t->reader).reads_ahead, 0);
    bench_close(t);
    free(t);
}

Test(cold, one_read_serves_all_who_wait_for_it)
{
    struct bench *t = malloc(sizeof *t);
    bench_open(t, 5, (struct cold_options){0}, 300000, 1000, 0);
    struct reading x[8];
    for (int i = 0; i < 8; i++) {
        reading_prepare(t, &x[i], 1000 + i * 5, 10000);
        cr_assert_eq(reading_start(t, &x[i]), 0);
    }
    cr_assert_eq(t->fake.reads, 1);
    fake_io_run(&t->fake);
    for (int i = 0; i < 8; i++) {
        cr_assert(x[i].ended && x[i].error == 0);
        reading_check(t, &x[i]);
        reading_release(&x[i]);
    }
    bench_close(t);
    free(t);
}

Test(cold, side_by_side_batches_share_a_slice)
{
    struct bench *t = malloc(sizeof *t);
    bench_open(t, 5, (struct cold_options){.block_bytes = 65536}, 300000, 1000, 0);
    struct reading x;
    reading_prepare(t, &x, 1000, 100000);
    cr_assert_eq(reading_run(t, &x), 0);
    cr_assert_gt(x.q.size, 65536 / 2);
    cr_assert_leq(x.q.slice_count, 2);
    reading_check(t, &x);
    reading_release(&x);
    bench_close(t);
    free(t);
}

/* --- damage ----------------------------------------------------------------------------------- */

/* Of three batches every byte of the second is changed in turn. What is served is never it, not even
 * with another leader epoch, which the batch's own sum does not cover. */
Test(cold, no_damaged_batch_is_served)
{
    struct bench *t = malloc(sizeof *t);
    bench_open(t, 9, (struct cold_options){.block_bytes = 4096, .bytes_max = 1 << 20}, 9000, 3000,
               3000);
    const struct model_batch *bad = &t->segment.batches[1];
    for (uint32_t i = 0; i < bad->size; i++) {
        uint8_t *byte = t->segment.data + bad->position + i;
        uint8_t flip = (uint8_t)prng_between(&t->random, 1, 255);
        *byte ^= flip;
        cold_forget(t->reader, 7);
        struct reading x;
        reading_prepare(t, &x, 1000, 100000);
        cr_assert_eq(reading_run(t, &x), 0, "what is good in front of it is served");
        cr_assert_eq(x.q.size, bad->position, "byte %u was not noticed", i);
        struct reading y;
        reading_prepare(t, &y, x.q.next_offset, 100000);
        y.q.source.from = x.q.next_position;
        y.q.source.from_offset = x.q.next_offset;
        y.q.limit_offset = t->segment.batches[2].last_offset + 1;
        cr_assert_eq(reading_run(t, &y), ERR_DAMAGED, "byte %u", i);
        cr_assert_not_null(y.q.source.damage);
        cr_assert_eq(y.q.source.damage_position, bad->position, "byte %u: %u (%s), not %u", i,
                     y.q.source.damage_position, y.q.source.damage, bad->position);
        cr_assert_eq(y.q.slice_count, 0);
        reading_release(&x);
        *byte ^= flip;
        fake_io_run(&t->fake);
    }
    bench_close(t);
    free(t);
}

Test(cold, a_batch_in_another_ones_place_is_damage)
{
    struct bench *t = malloc(sizeof *t);
    *t = (struct bench){.random = prng_of(1)};
    fake_io_init(&t->fake, 1, 64 << 20);
    t->reader = cold_reader_new(&t->fake.io, &(struct cold_options){0});
    segment_model_init(&t->segment, 100000, 1000);
    for (int i = 0; i < 20; i++) {
        cr_assert(segment_model_add(&t->segment, &t->random, 500, 2));
    }
    t->file = fake_file(t->segment.data, t->segment.size);
    memcpy(t->segment.data + 500 * 4, t->segment.data + 500 * 9, 500); /* a misdirected write */
    struct reading x;
    reading_prepare(t, &x, 1000, 100000);
    cr_assert_eq(reading_run(t, &x), 0);
    cr_assert_eq(x.q.next_offset, 1008);
    reading_release(&x);
    reading_prepare(t, &x, 1008, 100000);
    x.q.source.from = 500 * 4;
    x.q.source.from_offset = 1008;
    cr_assert_eq(reading_run(t, &x), ERR_DAMAGED);
    reading_prepare(t, &x, 1018, 100000);
    cr_assert_eq(reading_run(t, &x), ERR_DAMAGED, "nor is it found by searching");
    cr_assert_eq(x.q.source.damage_position, 500 * 4);
    bench_close(t);
    free(t);
}

Test(cold, a_file_that_ends_early_is_damage)
{
    struct bench *t = malloc(sizeof *t);
    bench_open(t, 5, (struct cold_options){.block_bytes = 4096}, 30000, 1000, 0);
    t->file.size = 10000;
    struct reading x;
    int64_t offset = 1000;
    int error;
    do {
        reading_prepare(t, &x, offset, 3000);
        error = reading_run(t, &x);
        if (error == 0) {
            reading_check(t, &x);
        }
        offset = x.q.next_offset;
        reading_release(&x);
    } while (error == 0);
    cr_assert_eq(error, ERR_DAMAGED);
    cr_assert_eq(x.q.source.damage_position, 10000);
    bench_close(t);
    free(t);
}

Test(cold, an_offset_that_is_not_there_is_damage)
{
    struct bench *t = malloc(sizeof *t);
    bench_open(t, 5, (struct cold_options){0}, 30000, 1000, 0);
    struct reading x;
    reading_prepare(t, &x, 999, 1000);
    cr_assert_eq(reading_run(t, &x), ERR_DAMAGED);
    reading_prepare(t, &x, t->segment.next_offset, 1000);
    cr_assert_eq(reading_run(t, &x), ERR_DAMAGED);
    cr_assert_eq(x.q.source.damage_position, t->segment.size);
    reading_prepare(t, &x, 999, 1000);
    x.q.source.gaps = true;
    cr_assert_eq(reading_run(t, &x), 0, "after compaction the next batch answers");
    cr_assert_eq(x.q.slices[0].data[7], 1000 % 256);
    reading_release(&x);
    bench_close(t);
    free(t);
}

/* --- limits ----------------------------------------------------------------------------------- */

Test(cold, a_file_that_grows_is_read_again)
{
    struct bench *t = malloc(sizeof *t);
    bench_open(t, 5, (struct cold_options){.block_bytes = 65536}, 200000, 1000, 0);
    int64_t offset = 1000;
    uint32_t from = 0;
    for (uint32_t limit = 4096; limit < t->segment.size; limit += 4096) {
        for (;;) { /* up to the batch that the limit cuts */
            struct reading x;
            reading_prepare(t, &x, offset, 30000);
            x.q.source.from = from;
            x.q.source.from_offset = offset;
            x.q.source.limit = limit;
            x.q.source.open = true;
            cr_assert_eq(reading_run(t, &x), 0);
            reading_check(t, &x);
            cr_assert_leq(x.q.next_position, limit);
            offset = x.q.next_offset;
            from = x.q.next_position;
            uint32_t size = x.q.size;
            reading_release(&x);
            if (size == 0) {
                break;
            }
        }
        const struct model_batch *next = segment_model_find(&t->segment, offset);
        cr_assert_gt(next->position + next->size, limit, "it stopped before the limit");
    }
    bench_close(t);
    free(t);
}

Test(cold, without_an_open_end_a_cut_batch_is_damage)
{
    struct bench *t = malloc(sizeof *t);
    bench_open(t, 5, (struct cold_options){0}, 30000, 1000, 0);
    const struct model_batch *b = &t->segment.batches[4];
    for (uint32_t cut = b->position + 1; cut < b->position + b->size; cut++) {
        struct reading x;
        reading_prepare(t, &x, b->base_offset, 1000);
        reading_from(&x, b);
        x.q.source.limit = cut;
        cr_assert_eq(reading_run(t, &x), ERR_DAMAGED);
        x.q.source.open = true;
        cr_assert_eq(reading_run(t, &(struct reading){.q = x.q}), 0);
    }
    bench_close(t);
    free(t);
}

Test(cold, the_budget_is_kept_and_slices_count)
{
    struct bench *t = malloc(sizeof *t);
    bench_open(t, 5, (struct cold_options){.block_bytes = 16384, .bytes_max = 65536}, 400000, 500,
               0);
    struct reading held[16];
    int count = 0, error = 0;
    for (uint32_t i = 0; i < 16 && error == 0; i++) {
        const struct model_batch *b = &t->segment.batches[i * 80];
        reading_prepare(t, &held[i], b->base_offset, 1);
        reading_from(&held[i], b);
        error = reading_run(t, &held[i]);
        cr_assert_leq(cold_status(t->reader).bytes, 65536);
        count += error == 0;
    }
    cr_assert_eq(error, ERR_BUSY);
    cr_assert_geq(count, 3);
    struct reading same;
    reading_prepare(t, &same, held[0].q.offset, 1);
    reading_from(&same, segment_model_find(&t->segment, held[0].q.offset));
    cr_assert_eq(reading_start(t, &same), 1, "what is lent stays in the cache");
    reading_release(&same);
    for (int i = 0; i < count; i++) {
        reading_check(t, &held[i]);
        reading_release(&held[i]);
    }
    struct reading again;
    reading_prepare(t, &again, t->segment.batches[900].base_offset, 1);
    reading_from(&again, &t->segment.batches[900]);
    cr_assert_eq(reading_run(t, &again), 0, "what is released makes room");
    reading_release(&again);
    bench_close(t);
    free(t);
}

Test(cold, a_batch_above_the_budget_is_read_alone)
{
    struct bench *t = malloc(sizeof *t);
    *t = (struct bench){.random = prng_of(1)};
    fake_io_init(&t->fake, 1, 64 << 20);
    t->reader = cold_reader_new(&t->fake.io,
                                &(struct cold_options){.block_bytes = 4096, .bytes_max = 32768});
    segment_model_init(&t->segment, 1 << 20, 1000);
    cr_assert(segment_model_add(&t->segment, &t->random, 100, 1));
    cr_assert(segment_model_add(&t->segment, &t->random, 300000, 1));
    cr_assert(segment_model_add(&t->segment, &t->random, 300000, 1));
    t->file = fake_file(t->segment.data, t->segment.size);
    struct reading x, y;
    reading_prepare(t, &x, 1001, 1);
    reading_prepare(t, &y, 1001, 1);
    cr_assert_eq(reading_start(t, &x), 0);
    cr_assert_eq(reading_start(t, &y), 0);
    fake_io_run(&t->fake);
    cr_assert(x.ended && x.error == 0);
    cr_assert(y.ended && y.error == ERR_BUSY, "one at a time");
    cr_assert_eq(x.q.size, 300000);
    cr_assert_eq(x.q.slice_count, 1);
    reading_check(t, &x);
    reading_prepare(t, &y, 1002, 1);
    cr_assert_eq(reading_run(t, &y), ERR_BUSY);
    reading_release(&x);
    reading_prepare(t, &y, 1002, 1);
    cr_assert_eq(reading_run(t, &y), 0);
    reading_check(t, &y);
    reading_release(&y);
    bench_close(t);
    free(t);
}

Test(cold, a_batch_above_its_limit_is_damage)
{
    struct bench *t = malloc(sizeof *t);
    bench_open(t, 5, (struct cold_options){.batch_bytes_max = 1000}, 30000, 1000, 0);
    const struct model_batch *bad = &t->segment.batches[2];
    put_be32(t->segment.data + bad->position + 8, 1000 - 12 + 1);
    struct reading x;
    reading_prepare(t, &x, bad->base_offset, 100);
    cr_assert_eq(reading_run(t, &x), ERR_DAMAGED);
    cr_assert_str_eq(x.q.source.damage, "the length of the batch is impossible");
    bench_close(t);
    free(t);
}

Test(cold, the_slices_are_an_end)
{
    struct bench *t = malloc(sizeof *t);
    bench_open(t, 5, (struct cold_options){.block_bytes = 4096, .bytes_max = 1 << 20}, 400000, 500,
               0);
    for (int64_t offset = 1000; offset < t->segment.next_offset;) { /* now everything is there */
        struct reading x;
        reading_prepare(t, &x, offset, 4000);
        cr_assert_eq(reading_run(t, &x), 0);
        offset = x.q.next_offset;
        reading_release(&x);
    }
    fake_io_run(&t->fake);
    struct reading x;
    reading_prepare(t, &x, 1000, 400000);
    cr_assert_eq(reading_run(t, &x), 0);
    cr_assert_geq(x.q.slice_count, LOG_READ_SLICES_MAX - 1);
    cr_assert_gt(x.q.size, 20 * 4096);
    reading_check(t, &x);
    reading_release(&x);
    bench_close(t);
    free(t);
}

/* --- failures and closing --------------------------------------------------------------------- */

Test(cold, any_failed_read_is_an_error_and_the_next_try_works)
{
    for (unsigned fail = 1;; fail++) {
        struct bench *t = malloc(sizeof *t);
        bench_open(t, 5, (struct cold_options){.block_bytes = 4096, .bytes_max = 1 << 20}, 60000,
                   900, 20000);
        t->fake.fail_read = fail;
        int failures = 0;
        for (int64_t offset = 1000; offset < t->segment.next_offset;) {
            struct reading x;
            reading_prepare(t, &x, offset, 10000);
            int error = reading_run(t, &x);
            if (error == 0) {
                cr_assert_gt(x.q.size, 0);
                reading_check(t, &x);
                offset = x.q.next_offset;
            } else {
                cr_assert_eq(error, ERR_DISK_FAILED);
                cr_assert_eq(++failures, 1, "it failed again");
            }
            reading_release(&x);
        }
        bool reached = t->fake.reads >= fail;
        bench_close(t);
        free(t);
        if (!reached) {
            cr_assert_gt(fail, 10);
            break;
        }
    }
}

Test(cold, any_refused_memory_is_an_error_and_the_next_try_works)
{
    for (size_t budget = 0; budget < 200000; budget += 1777) {
        struct bench *t = malloc(sizeof *t);
        bench_open(t, 5, (struct cold_options){.block_bytes = 4096, .bytes_max = 1 << 20}, 60000,
                   900, 20000);
        struct memory *m = &t->fake.io.memory;
        m->budget_bytes = m->used_bytes + budget;
        for (int64_t offset = 1000; offset < t->segment.next_offset; offset += 3) {
            struct reading x;
            reading_prepare(t, &x, offset, 10000);
            int error = reading_run(t, &x);
            cr_assert(error == 0 || error == ERR_BUSY, "%s", error_name(error));
            if (error == 0) {
                reading_check(t, &x);
            }
            reading_release(&x);
        }
        m->budget_bytes = 256 << 20;
        struct reading x;
        reading_prepare(t, &x, 1000, 10000);
        cr_assert_eq(reading_run(t, &x), 0);
        reading_release(&x);
        bench_close(t);
        free(t);
    }
}

struct closing {
    struct cold_close c;
    bool done;
};

static void closing_done(struct cold_close *c)
{
    container_of(c, struct closing, c)->done = true;
}

static void count_progress(void *context)
{
    ++*(int *)context;
}

Test(cold, closing_waits_for_what_is_in_flight)
{
    struct bench *t = malloc(sizeof *t);
    int progress = 0;
    bench_open(t, 5, (struct cold_options){.progress = count_progress, .context = &progress},
               300000, 1000, 0);
    struct reading x;
    reading_prepare(t, &x, 1000, 1000);
    cr_assert_eq(reading_start(t, &x), 0);
    struct closing other = {.c = {.key = 8, .done = closing_done}};
    cold_close_file(t->reader, &other.c);
    cr_assert(other.done, "another file is idle");
    struct closing c = {.c = {.key = 7, .done = closing_done}};
    cr_assert_not(cold_idle(t->reader, 7));
    cold_close_file(t->reader, &c.c);
    cr_assert_not(c.done);
    cr_assert_eq(progress, 0);
    fake_io_run(&t->fake);
    cr_assert(x.ended && x.error == 0);
    cr_assert(c.done && cold_idle(t->reader, 7));
    cr_assert_gt(progress, 0);
    reading_check(t, &x);
    cr_assert_gt(cold_status(t->reader).bytes, 0, "the slice still holds its block");
    reading_release(&x);
    cr_assert_eq(cold_status(t->reader).bytes, 0, "and nothing else does");
    bench_close(t);
    free(t);
}

Test(cold, closing_waits_for_a_batch_that_is_read_alone)
{
    struct bench *t = malloc(sizeof *t);
    *t = (struct bench){.random = prng_of(1)};
    fake_io_init(&t->fake, 1, 64 << 20);
    t->reader = cold_reader_new(&t->fake.io, &(struct cold_options){.block_bytes = 4096});
    segment_model_init(&t->segment, 100000, 1000);
    cr_assert(segment_model_add(&t->segment, &t->random, 90000, 1));
    t->file = fake_file(t->segment.data, t->segment.size);
    struct reading x;
    reading_prepare(t, &x, 1000, 1);
    cr_assert_eq(reading_start(t, &x), 0);
    struct closing c = {.c = {.key = 7, .done = closing_done}};
    cold_close_file(t->reader, &c.c);
    fake_io_step(&t->fake); /* the header's block */
    cr_assert_not(c.done);
    cr_assert_not(x.ended);
    fake_io_run(&t->fake);
    cr_assert(c.done && x.ended && x.error == 0);
    reading_check(t, &x);
    reading_release(&x);
    bench_close(t);
    free(t);
}

/* --- everything at once ----------------------------------------------------------------------- */

enum { FLOCK = 24 };

/* Requests start, are answered in any order, are kept and released, blocks are evicted, single
 * reads fail, the file is closed in between: what is answered is right, what is refused is refused
 * for a reason that there was. */
Test(cold, many_requests_in_any_order)
{
    int answered = 0, busy = 0, failed = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct bench *t = malloc(sizeof *t);
        bench_open(t, seed,
                   (struct cold_options){.block_bytes = seed % 2 ? 4096 : 16384,
                                         .bytes_max = 16384 * (4 + seed % 16)},
                   300000, 900, seed % 3 ? 12000 : 40000);
        t->fake.shuffle = true;
        struct reading *flock = calloc(FLOCK, sizeof *flock);
        struct closing closing = {.done = true};
        for (int step = 0; step < 4000; step++) {
            struct reading *x = &flock[prng_below(&t->random, FLOCK)];
            uint64_t what = prng_below(&t->random, 10);
            if (what < 5 && !x->busy) {
                uint32_t i = (uint32_t)prng_below(&t->random, t->segment.count);
                const struct model_batch *b = &t->segment.batches[i];
                reading_prepare(t, x, b->base_offset, (uint32_t)prng_between(&t->random, 1, 60000));
                uint32_t back = (uint32_t)prng_below(&t->random, i < 8 ? i + 1 : 8);
                reading_from(x, &t->segment.batches[i - back]);
                if (prng_chance(&t->random, 1, 20)) {
                    t->fake.fail_read = t->fake.reads + 1;
                }
                reading_start(t, x);
            } else if (what < 8) {
                fake_io_step(&t->fake);
            } else if (x->ended) {
                answered += x->error == 0;
                busy += x->error == ERR_BUSY;
                failed += x->error == ERR_DISK_FAILED;
                cr_assert(x->error == 0 || x->error == ERR_BUSY || x->error == ERR_DISK_FAILED,
                          "%s: %s", error_name(x->error), x->q.source.damage);
                if (x->error == 0) {
                    reading_check(t, x);
                }
                reading_release(x);
                *x = (struct reading){0};
            } else if (closing.done && prng_chance(&t->random, 1, 20)) {
                closing = (struct closing){.c = {.key = 7, .done = closing_done}};
                cold_close_file(t->reader, &closing.c);
            }
        }
        fake_io_run(&t->fake);
        cr_assert(closing.done);
        for (int i = 0; i < FLOCK; i++) {
            cr_assert_eq(flock[i].busy, flock[i].ended);
            reading_release(&flock[i]);
        }
        free(flock);
        bench_close(t);
        free(t);
    }
    cr_assert_gt(answered, 10000);
    cr_assert_gt(busy, 100);
    cr_assert_gt(failed, 100);
}
