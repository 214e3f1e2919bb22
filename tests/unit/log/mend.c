/* SPDX-License-Identifier: Apache-2.0 */

/* Mending, from the log's outside: a damaged segment gets another replica's bytes, and nothing else. */
#include "world.h"

#include "base/crc32c.h"
#include "log/log_private.h"

#include <criterion/criterion.h>
#include <stdio.h>

static const struct batch_spec LARGE = {.records = 4, .value_bytes = 2000};

enum { BATCHES = 20, RECORDS = 4, DAMAGED_BASE = 24 };
static const char damaged_file[] = "topics/t0-0/00000000000000000024.log";

/* What another replica has. */
struct copy {
    struct wire_writer bytes;
};

static void copy_take(struct world *w, struct copy *c)
{
    int64_t end = world_status(w, 0).end_offset;
    wire_writer_init(&c->bytes, &w->memory, 4 << 20);
    for (int64_t at = 0; at < end;) {
        struct log_read r = {
            .offset = at, .limit_offset = end, .bytes_max = 100000, .first_whole = true};
        cr_assert_eq(world_read(w, 0, &r, &c->bytes), 0);
        at = r.next_offset;
    }
}

/* From the batch that holds `offset` on, at most `most` bytes: perhaps with the last one cut. */
static struct bytes copy_from(const struct copy *c, int64_t offset, size_t most)
{
    struct batch_header h;
    size_t at = 0;
    while (at < c->bytes.size) {
        cr_assert_eq(batch_header_read(&h, c->bytes.data + at, c->bytes.size - at), 0);
        if (batch_last_offset(&h) >= offset) {
            break;
        }
        at += h.size;
    }
    size_t left = c->bytes.size - at;
    return bytes_of(c->bytes.data + at, left < most ? left : most);
}

struct mender {
    struct world *world;
    struct log_mend mend;
    struct bytes given;
    int begun, error;
    bool done;
    bool gaps; /* of whom it comes from */
};

static void mend_done(struct log_mend *m, int error)
{
    struct mender *x = container_of(m, struct mender, mend);
    x->error = error;
    x->done = true;
}

static void begin_run(void *argument)
{
    struct mender *x = argument;
    x->mend = (struct log_mend){.done = mend_done};
    x->begun = log_mend_begin(x->world->slots[0].log, &x->mend);
}

static void put_run(void *argument)
{
    struct mender *x = argument;
    x->done = false;
    log_mend_put(&x->mend, x->given, x->gaps);
}

static void drop_run(void *argument)
{
    log_mend_drop(&((struct mender *)argument)->mend);
}

static int begin(struct world *w, struct mender *x)
{
    *x = (struct mender){.world = w};
    world_log(w, 0);
    for (unsigned i = 0; i < 50; i++) {
        cr_assert(world_do(w, 0, begin_run, x));
        if (x->begun != ERR_BUSY) {
            break;
        }
        world_wait_ms(w, 100);
    }
    return x->begun;
}

static int put(struct mender *x, struct bytes batches)
{
    x->given = batches;
    cr_assert(world_do(x->world, 0, put_run, x));
    cr_assert(world_until(x->world, &x->done));
    return x->error;
}

/* Until the segment is whole again, in answers of `most` bytes. */
static int mend(struct world *w, const struct copy *c, size_t most)
{
    struct mender x;
    int error = begin(w, &x);
    while (!error && x.mend.next_offset < x.mend.end_offset) {
        error = put(&x, copy_from(c, x.mend.next_offset, most));
    }
    return error;
}

static void raise_run(void *argument)
{
    struct log *log = ((struct world *)argument)->slots[0].log;
    log_raise_watermark(log, log_status(log).durable_offset);
}

static void raise(struct world *w)
{
    world_log(w, 0);
    cr_assert(world_do(w, 0, raise_run, w));
}

static int read_at(struct world *w, int64_t offset)
{
    struct log_read r = {
        .offset = offset, .limit_offset = offset + 4, .bytes_max = 50000, .first_whole = true};
    return world_read(w, 0, &r, NULL);
}

/* Segments of three batches, all of them committed. */
static void open_filled(struct world *w, struct copy *c)
{
    w->slots[0].config.segment_bytes = 25000;
    world_started(w, 1);
    world_fill(w, 0, &LARGE, BATCHES);
    copy_take(w, c);
    raise(w);
}

/* Segments of three batches, the one from offset 24 on with a flipped bit in its second batch. */
static void open_damaged(struct world *w, uint64_t seed, struct copy *c)
{
    world_open(w, seed);
    open_filled(w, c);
    world_stop(w);
    world_flip(w, damaged_file, 11000, 2);
    world_started(w, 1);
    cr_assert_not(world_status(w, 0).damaged, "nobody has looked yet");
    cr_assert_eq(read_at(w, 28), ERR_DAMAGED);
    cr_assert(world_status(w, 0).damaged);
    cr_assert_eq(read_at(w, 48), 0, "what is not damaged is served");
}

static void close_damaged(struct world *w, struct copy *c)
{
    wire_writer_deinit(&c->bytes);
    world_close(w);
}

Test(mend, the_segment_is_whole_again_and_stays_so)
{
    for (unsigned kind = 0; kind < 3; kind++) {
        struct world w;
        struct copy c;
        open_damaged(&w, 1 + kind, &c);
        cr_assert_eq(mend(&w, &c, kind == 0 ? 100000 : 9000), 0);
        cr_assert_not(world_status(&w, 0).damaged);
        cr_assert_eq(world_check(&w, 0), BATCHES);
        if (kind == 0) {
            world_stop(&w);
        } else if (kind == 1) {
            world_kill(&w);
        } else {
            world_power_cut(&w);
        }
        world_started(&w, 1);
        cr_assert_eq(world_check(&w, 0), BATCHES);
        world_wait_ms(&w, 3000);
        cr_assert_eq(world_file_size(&w, damaged_file), 0, "the damaged file is kept");
        world_fill(&w, 0, &LARGE, 2);
        cr_assert_eq(world_check(&w, 0), BATCHES + 2);
        struct mender x;
        cr_assert_eq(begin(&w, &x), ERR_NOT_FOUND);
        close_damaged(&w, &c);
    }
}

/* The newest segment gets a successor first. */
Test(mend, the_newest_segment)
{
    struct world w;
    struct copy c;
    world_open(&w, 5);
    world_started(&w, 1);
    world_fill(&w, 0, &LARGE, 6);
    copy_take(&w, &c);
    raise(&w);
    world_stop(&w);
    world_flip(&w, "topics/t0-0/00000000000000000000.log", 30000, 2);
    world_started(&w, 1);
    cr_assert_eq(read_at(&w, 12), ERR_DAMAGED);
    cr_assert_eq(mend(&w, &c, 100000), 0);
    cr_assert_eq(world_check(&w, 0), 6);
    world_fill(&w, 0, &LARGE, 1);
    world_kill(&w);
    world_started(&w, 1);
    cr_assert_eq(world_check(&w, 0), 7);
    close_damaged(&w, &c);
}

/* After a restart the last batch begins on the disk and ends in memory, where its beginning is read back. */
Test(mend, what_was_read_back_is_never_served_damaged)
{
    struct world w;
    struct copy c;
    world_open(&w, 10);
    world_started(&w, 1);
    world_fill(&w, 0, &LARGE, 6);
    copy_take(&w, &c);
    raise(&w);
    world_stop(&w);
    world_flip(&w, "topics/t0-0/00000000000000000000.log", 42000, 2);
    world_started(&w, 1);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(read_at(&w, 20), ERR_DAMAGED, "%u", i);
    }
    cr_assert_eq(read_at(&w, 16), 0);
    cr_assert_eq(mend(&w, &c, 100000), 0);
    cr_assert_eq(read_at(&w, 20), 0);
    cr_assert_eq(world_check(&w, 0), 6);
    close_damaged(&w, &c);
}

struct cutting {
    struct log_control control;
    struct mender mender;
    bool done;
};

static void cut_done(struct log_control *c, int error)
{
    struct cutting *x = container_of(c, struct cutting, control);
    cr_assert_eq(error, 0);
    begin_run(&x->mender); /* the cut segment is sealed for it */
    x->done = true;
}

static void tidy_run(void *argument)
{
    cr_assert_eq(log_tidy(((struct world *)argument)->slots[0].log), 0);
}

static void cut_run(void *argument)
{
    struct cutting *x = argument;
    log_control(x->mender.world->slots[0].log, &x->control);
}

/* What is sealed before the truncation has let go of the files is written afterwards. */
Test(mend, the_newest_segment_right_after_a_truncation)
{
    struct world w;
    struct copy c;
    world_open(&w, 9);
    world_started(&w, 1);
    world_fill(&w, 0, &LARGE, 6);
    copy_take(&w, &c);
    world_stop(&w);
    world_flip(&w, "topics/t0-0/00000000000000000000.log", 30000, 2);
    world_started(&w, 1);
    cr_assert_eq(read_at(&w, 12), ERR_DAMAGED);
    struct cutting x = {.control = {.kind = LOG_TRUNCATE, .offset = 20, .done = cut_done},
                        .mender.world = &w};
    world_forget_from(&w, 0, 20);
    cr_assert(world_do(&w, 0, tidy_run, &w));
    world_wait_ms(&w, 500);
    cr_assert(world_do(&w, 0, cut_run, &x));
    cr_assert(world_until(&w, &x.done));
    cr_assert_eq(x.mender.begun, ERR_BUSY);
    raise(&w);
    cr_assert_eq(mend(&w, &c, 100000), 0);
    cr_assert_eq(world_check(&w, 0), 5);
    close_damaged(&w, &c);
}

/* --- what is compared with another replica ---------------------------------------------------- */

struct hashed {
    struct world *world;
    struct log_range_hash hash;
    int now, error;
    bool done;
};

static void hash_done(struct log_range_hash *h, int error)
{
    struct hashed *x = container_of(h, struct hashed, hash);
    x->error = error;
    x->done = true;
}

static void hash_run(void *argument)
{
    struct hashed *x = argument;
    x->now = log_range_hash(x->world->slots[0].log, &x->hash);
    x->error = x->now < 0 ? x->now : 0;
    x->done = x->now != 0;
}

static struct hashed hash(struct world *w, int64_t from, int64_t to, uint64_t most)
{
    struct hashed x = {
        .world = w,
        .hash = {.from_offset = from, .to_offset = to, .bytes_max = most, .done = hash_done}};
    world_log(w, 0);
    cr_assert(world_do(w, 0, hash_run, &x));
    cr_assert(world_until(w, &x.done));
    return x;
}

Test(mend, the_hash_of_a_stretch)
{
    struct world w;
    struct copy c;
    world_open(&w, 11);
    open_filled(&w, &c);
    int64_t end = BATCHES * RECORDS;
    struct hashed all = hash(&w, 0, end, UINT64_MAX), first = hash(&w, 0, 40, UINT64_MAX);
    cr_assert(!all.error && all.hash.next_offset == end && all.hash.bytes == c.bytes.size);
    cr_assert_eq(all.hash.hash, crc32c(0, c.bytes.data, c.bytes.size));
    cr_assert(!first.error && first.hash.next_offset == 40 &&
              first.hash.bytes == all.hash.bytes / 2);
    struct hashed across = hash(&w, 0, 42, UINT64_MAX);
    cr_assert(!across.error && across.hash.next_offset == 40, "a batch lies across the end");
    cr_assert_eq(across.hash.hash, first.hash.hash);
    struct hashed little = hash(&w, 4, end, 1);
    cr_assert(!little.error && little.hash.next_offset > 4 && little.hash.bytes > 0);
    cr_assert_eq(hash(&w, 0, end + 4, UINT64_MAX).hash.next_offset, end);
    world_stop(&w);
    world_started(&w, 1);
    cr_assert_eq(hash(&w, 0, end, UINT64_MAX).hash.hash, all.hash.hash, "from the disk the same");
    world_stop(&w);
    world_flip(&w, damaged_file, 11000, 2);
    world_started(&w, 1);
    cr_assert_eq(hash(&w, 0, end, UINT64_MAX).error, ERR_DAMAGED);
    close_damaged(&w, &c);
}

/* Each replica compacts by itself. */
Test(mend, what_is_compacted_has_no_hash)
{
    struct world w;
    world_open(&w, 13);
    w.slots[0].config.compact = true;
    world_started(&w, 1);
    world_fill(&w, 0, &LARGE, 3);
    cr_assert_eq(hash(&w, 0, 12, UINT64_MAX).error, ERR_UNSUPPORTED);
    world_close(&w);
}

static void distrust_run(void *argument)
{
    log_distrust(((struct world *)argument)->slots[0].log, 30, 50);
}

/* What is not what others have is written anew, and nothing else. */
Test(mend, what_is_not_trusted)
{
    struct world w;
    struct copy c;
    world_open(&w, 12);
    open_filled(&w, &c);
    cr_assert(world_do(&w, 0, distrust_run, &w));
    cr_assert(world_status(&w, 0).damaged);
    struct mender x;
    for (int64_t base = 24; base <= 48; base += 12) {
        cr_assert_eq(begin(&w, &x), 0);
        cr_assert_eq(x.mend.next_offset, base);
        cr_assert_eq(put(&x, copy_from(&c, base, 100000)), 0);
    }
    cr_assert_eq(begin(&w, &x), ERR_NOT_FOUND);
    cr_assert_not(world_status(&w, 0).damaged);
    cr_assert_eq(world_check(&w, 0), BATCHES);
    close_damaged(&w, &c);
}

/* What is not committed may be another's tomorrow. */
Test(mend, what_is_above_the_watermark_waits)
{
    struct world w;
    struct copy c;
    world_open(&w, 6);
    w.slots[0].config.segment_bytes = 25000;
    world_started(&w, 1);
    world_fill(&w, 0, &LARGE, BATCHES);
    copy_take(&w, &c);
    world_stop(&w);
    world_flip(&w, damaged_file, 11000, 2);
    world_started(&w, 1);
    cr_assert_eq(read_at(&w, 28), ERR_DAMAGED);
    struct mender x;
    cr_assert_eq(begin(&w, &x), ERR_BUSY);
    raise(&w);
    cr_assert_eq(mend(&w, &c, 100000), 0);
    cr_assert_eq(world_check(&w, 0), BATCHES);
    close_damaged(&w, &c);
}

/* Bytes that do not belong there change nothing, and the right ones are taken afterwards. */
Test(mend, foreign_bytes_are_refused)
{
    struct world w;
    struct copy c;
    open_damaged(&w, 7, &c);
    for (unsigned kind = 0; kind < 5; kind++) {
        struct mender x;
        cr_assert_eq(begin(&w, &x), 0);
        struct bytes good = copy_from(&c, x.mend.next_offset, 100000);
        uint8_t *bad = malloc(good.size);
        memcpy(bad, good.data, good.size);
        switch (kind) {
        case 0: /* one bit of a record */
            bad[9000] ^= 4;
            break;
        case 1: /* another epoch: outside of the checksum */
            batch_set_leader_epoch(bad, 9);
            break;
        case 2: /* begins in front of the segment, and reaches into it */
            batch_set_base_offset(bad, DAMAGED_BASE - 2);
            break;
        case 3: /* reaches behind it */
            batch_set_base_offset(bad, DAMAGED_BASE + 3 * RECORDS - 2);
            break;
        case 4: /* the second stands where the first does */
            batch_set_base_offset(bad + batch_size_peek(bad), DAMAGED_BASE + 1);
            break;
        }
        cr_assert_eq(put(&x, bytes_of(bad, good.size)), ERR_CORRUPT_MESSAGE, "case %u", kind);
        free(bad);
        cr_assert_eq(read_at(&w, 28), ERR_DAMAGED);
        cr_assert(world_status(&w, 0).damaged);
    }
    cr_assert_eq(mend(&w, &c, 100000), 0);
    cr_assert_eq(world_check(&w, 0), BATCHES);
    close_damaged(&w, &c);
}

/* Another replica's log was compacted further: nothing of the segment is left there, or a part. */
static int put_some(struct mender *x, const struct copy *c, unsigned left)
{
    struct bytes all = copy_from(c, DAMAGED_BASE, 100000);
    size_t batch = batch_size_peek(all.data);
    uint8_t *some = malloc(all.size);
    memcpy(some, all.data, left * batch);
    struct bytes behind = copy_from(c, x->mend.end_offset, 50000);
    memcpy(some + left * batch, behind.data, behind.size);
    int error = put(x, bytes_of(some, left * batch + behind.size));
    free(some);
    return error;
}

Test(mend, a_leader_that_has_less)
{
    for (unsigned left = 0; left < 3; left++) {
        struct world w;
        struct copy c;
        open_damaged(&w, 8 + left, &c);
        struct mender x;
        cr_assert_eq(begin(&w, &x), 0);
        x.gaps = true;
        cr_assert_eq(put_some(&x, &c, left), 0);
        cr_assert_eq(x.mend.next_offset, x.mend.end_offset);
        world_kill(&w);
        world_started(&w, 1);
        struct log_read r = {.offset = DAMAGED_BASE + (int64_t)left * RECORDS,
                             .limit_offset = 80,
                             .bytes_max = 1,
                             .first_whole = true};
        cr_assert_eq(world_read(&w, 0, &r, NULL), 0);
        cr_assert_eq(r.next_offset, x.mend.end_offset, "an empty batch says where it ends");
        cr_assert_eq(read_at(&w, x.mend.end_offset), 0);
        close_damaged(&w, &c);
    }
}

/* Where nothing was compacted it is the leader's log in which something is missing. */
Test(mend, a_leader_that_lacks_batches_is_not_believed)
{
    for (unsigned left = 0; left < 3; left++) {
        struct world w;
        struct copy c;
        open_damaged(&w, 40 + left, &c);
        struct mender x;
        cr_assert_eq(begin(&w, &x), 0);
        cr_assert_eq(put_some(&x, &c, left), ERR_CORRUPT_MESSAGE);
        cr_assert(world_status(&w, 0).damaged);
        cr_assert_eq(begin(&w, &x), 0);
        struct bytes all = copy_from(&c, DAMAGED_BASE, 100000);
        size_t batch = batch_size_peek(all.data);
        cr_assert_eq(put(&x, bytes_of(all.data, batch)), 0);
        cr_assert_eq(put(&x, bytes_of(all.data + 2 * batch, batch)), ERR_CORRUPT_MESSAGE);
        cr_assert_eq(mend(&w, &c, 9000), 0);
        cr_assert_eq(world_check(&w, 0), BATCHES);
        close_damaged(&w, &c);
    }
}

/* A base offset is outside of its batch's checksum: that batches follow each other tells it, also after a mend. */
Test(mend, a_wrong_place_is_noticed_afterwards)
{
    for (unsigned kind = 0; kind < 2; kind++) {
        struct world w;
        struct copy c;
        open_damaged(&w, 50 + kind, &c);
        cr_assert_eq(mend(&w, &c, 9000), 0);
        if (kind == 0) {
            world_stop(&w);
        } else {
            world_kill(&w); /* its REPLACE is replayed */
            world_started(&w, 1);
            world_stop(&w);
        }
        size_t batch = batch_size_peek(copy_from(&c, DAMAGED_BASE, 100000).data);
        world_flip(&w, "topics/t0-0/00000000000000000024-1.log", batch + 7, 6);
        world_started(&w, 1);
        cr_assert_eq(read_at(&w, 28), ERR_DAMAGED);
        close_damaged(&w, &c);
    }
}

/* Given up in the middle, it leaves nothing behind, and can begin again. */
Test(mend, dropped_removed_stopped)
{
    for (unsigned kind = 0; kind < 3; kind++) {
        struct world w;
        struct copy c;
        struct mender x;
        open_damaged(&w, 12 + kind, &c);
        cr_assert_eq(begin(&w, &x), 0);
        cr_assert_eq(put(&x, copy_from(&c, x.mend.next_offset, 9000)), 0);
        cr_assert_lt(x.mend.next_offset, x.mend.end_offset);
        if (kind == 0) {
            cr_assert(world_do(&w, 0, drop_run, &x));
            cr_assert_eq(mend(&w, &c, 100000), 0);
            cr_assert_eq(world_check(&w, 0), BATCHES);
        } else if (kind == 1) {
            cr_assert_eq(world_control(&w, 0, LOG_ANEW, 100), 0);
            cr_assert_eq(put(&x, copy_from(&c, x.mend.next_offset, 100000)), ERR_CLOSED);
            cr_assert_not(world_status(&w, 0).damaged);
        } else {
            cr_assert(world_do(&w, 0, drop_run, &x));
            world_stop(&w);
            world_started(&w, 1);
            cr_assert_eq(read_at(&w, 28), ERR_DAMAGED);
            cr_assert_eq(mend(&w, &c, 100000), 0);
            cr_assert_eq(world_check(&w, 0), BATCHES);
        }
        close_damaged(&w, &c);
    }
}

/* Where a whole segment goes nothing of it need be read. */
Test(mend, a_truncation_at_a_segment_that_is_missing)
{
    for (unsigned kind = 0; kind < 2; kind++) {
        struct world w;
        struct copy c;
        world_open(&w, 70 + kind);
        open_filled(&w, &c);
        world_stop(&w);
        world_unlink(&w, damaged_file);
        world_started(&w, 1);
        int error = world_control(&w, 0, LOG_TRUNCATE, DAMAGED_BASE + (int64_t)kind * RECORDS);
        if (kind == 0) {
            cr_assert_eq(error, 0, "%s", error_text(error));
            cr_assert_eq(world_status(&w, 0).end_offset, DAMAGED_BASE);
            world_kill(&w);
            world_started(&w, 1);
            cr_assert_eq(world_status(&w, 0).end_offset, DAMAGED_BASE);
            cr_assert_eq(read_at(&w, DAMAGED_BASE - RECORDS), 0);
        } else {
            cr_assert_eq(error, ERR_DAMAGED, "%s", error_text(error));
            cr_assert(world_status(&w, 0).damaged);
        }
        close_damaged(&w, &c);
    }
}

/* Where a truncation looks for its place a header rots: it must not say where the log ends. */
Test(mend, a_truncation_does_not_believe_a_damaged_header)
{
    static const unsigned fields[] = {0, 7, 8, 11, 23, 24, 26}; /* offset, size, last offset */
    for (unsigned i = 0; i < array_size(fields); i++) {
        struct world w;
        world_open(&w, 30 + i);
        w.slots[0].config.segment_bytes = 1 << 20;
        world_started(&w, 1);
        world_fill(&w, 0, &LARGE, BATCHES);
        raise(&w);
        world_fill(&w, 0, &LARGE, 3);
        world_stop(&w);
        uint64_t size = world_file_size(&w, "topics/t0-0/00000000000000000000.log");
        cr_assert_gt(size, 10 * 8000);
        struct batch_header h;
        struct bytes batch = world_batch(&w, &LARGE);
        cr_assert_eq(batch_header_read(&h, batch.data, batch.size), 0);
        free((void *)batch.data);
        world_flip(&w, "topics/t0-0/00000000000000000000.log", 10 * h.size + fields[i], 3);
        world_started(&w, 1);
        struct log_status before = world_status(&w, 0);
        cr_assert_eq(before.high_watermark, BATCHES * RECORDS);
        int error = world_control(&w, 0, LOG_TRUNCATE, (BATCHES + 1) * RECORDS);
        struct log_status after = world_status(&w, 0);
        if (error) {
            cr_assert_eq(error, ERR_DAMAGED);
            cr_assert(after.damaged);
            cr_assert_eq(after.end_offset, before.end_offset);
        } else { /* an index led past it */
            cr_assert_geq(after.end_offset, BATCHES * RECORDS);
        }
        world_close(&w);
    }
}

static void put_and_drop_run(void *argument)
{
    struct mender *x = argument;
    log_mend_put(&x->mend, x->given, x->gaps);
    log_mend_drop(&x->mend);
    memset((void *)x->given.data, 0xee, x->given.size);
}

/* Dropped while a block of it is being written: the bytes are the owner's again at once. */
Test(mend, dropped_while_it_writes)
{
    struct world w;
    struct copy c;
    struct mender x;
    world_open(&w, 40);
    w.slots[0].config.segment_bytes = 2 << 20;
    world_started(&w, 1);
    world_fill(&w, 0, &LARGE, 100);
    copy_take(&w, &c);
    raise(&w);
    world_stop(&w);
    world_flip(&w, "topics/t0-0/00000000000000000000.log", 11000, 2);
    world_started(&w, 1);
    cr_assert_eq(read_at(&w, 4), ERR_DAMAGED);
    cr_assert_eq(begin(&w, &x), 0);
    struct bytes all = copy_from(&c, 0, 4 << 20);
    cr_assert_gt(all.size, 600000);
    uint8_t *lent = malloc(all.size);
    memcpy(lent, all.data, all.size);
    x.given = bytes_of(lent, all.size);
    cr_assert(world_do(&w, 0, put_and_drop_run, &x));
    free(lent);
    world_wait_ms(&w, 1000);
    cr_assert(world_status(&w, 0).damaged);
    cr_assert_eq(mend(&w, &c, 4 << 20), 0);
    cr_assert_eq(world_check(&w, 0), 100);
    close_damaged(&w, &c);
}

/* Compacted: what is older than the damage comes from the others as well. */
Test(mend, of_a_compacted_log_all_that_is_older)
{
    struct world w;
    struct copy c;
    world_open(&w, 41);
    w.options.cleaner_off = true;
    w.slots[0].config.compact = true;
    open_filled(&w, &c);
    world_stop(&w);
    world_flip(&w, damaged_file, 11000, 2);
    world_started(&w, 1);
    cr_assert_eq(read_at(&w, 28), ERR_DAMAGED);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert(world_status(&w, 0).damaged);
        cr_assert_eq(mend(&w, &c, 100000), 0);
    }
    cr_assert_not(world_status(&w, 0).damaged);
    cr_assert_eq(world_check(&w, 0), BATCHES);
    close_damaged(&w, &c);
}

/* --- the scrub --------------------------------------------------------------------------------- */

static void verify_run(void *argument)
{
    log_verify(((struct world *)argument)->slots[0].log);
}

static void verify(struct world *w)
{
    world_log(w, 0);
    cr_assert(world_do(w, 0, verify_run, w));
    world_wait_ms(w, 2000);
}

Test(mend, a_verification_finds_what_nobody_has_read)
{
    struct world w;
    struct copy c;
    world_open(&w, 20);
    open_filled(&w, &c);
    verify(&w);
    cr_assert(world_status(&w, 0).verified);
    world_stop(&w);
    world_flip(&w, damaged_file, 11000, 2);
    world_flip(&w, "topics/t0-0/00000000000000000048.log", 40, 0);
    world_started(&w, 1);
    cr_assert_not(world_status(&w, 0).damaged);
    verify(&w);
    cr_assert(world_status(&w, 0).damaged);
    cr_assert_not(world_status(&w, 0).verified);
    cr_assert_eq(mend(&w, &c, 100000), 0);
    cr_assert(world_status(&w, 0).damaged, "there are two of them");
    cr_assert_eq(mend(&w, &c, 100000), 0);
    cr_assert_not(world_status(&w, 0).damaged);
    verify(&w);
    cr_assert(world_status(&w, 0).verified);
    cr_assert_eq(world_check(&w, 0), BATCHES);
    close_damaged(&w, &c);
}

/* A block of another place, sound by itself: the sums know it. */
Test(mend, the_scrub_knows_a_misdirected_write)
{
    struct world w;
    struct copy c;
    world_open(&w, 21);
    w.options.scrub_interval_ms = 10000;
    open_filled(&w, &c);
    world_wait_ms(&w, 3000);
    world_stop(&w);
    /* Another batch of the same size and offsets, with a checksum that holds. */
    struct bytes all = copy_from(&c, 28, 100000);
    size_t size = batch_size_peek(all.data);
    uint8_t *other = malloc(size);
    memcpy(other, all.data, size);
    batch_set_append_time(other, size, 77);
    for (size_t i = 0; i < size; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            if ((other[i] ^ all.data[i]) & (1u << bit)) {
                world_flip(&w, damaged_file, size + i, bit);
            }
        }
    }
    free(other);
    world_started(&w, 1);
    cr_assert_eq(read_at(&w, 28), 0, "no reader can know it");
    world_wait_ms(&w, 3000);
    cr_assert(world_status(&w, 0).damaged);
    cr_assert_eq(mend(&w, &c, 100000), 0);
    cr_assert_eq(world_check(&w, 0), BATCHES);
    close_damaged(&w, &c);
}

/* A round by itself, again and again. */
Test(mend, the_scrub_finds_damage_within_its_interval)
{
    struct world w;
    struct copy c;
    world_open(&w, 22);
    w.options.scrub_interval_ms = 20000;
    open_filled(&w, &c);
    world_wait_ms(&w, 3000); /* its first round is over */
    cr_assert_not(world_status(&w, 0).damaged);
    world_flip(&w, damaged_file, 11000, 2); /* while it runs */
    world_wait_ms(&w, 21000);
    cr_assert(world_status(&w, 0).damaged);
    cr_assert_eq(mend(&w, &c, 100000), 0);
    cr_assert_eq(world_check(&w, 0), BATCHES);
    close_damaged(&w, &c);
}
