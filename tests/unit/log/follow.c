/* SPDX-License-Identifier: Apache-2.0 */

/* A follower's append: what fits is the leader's log byte for byte, what does not is refused with the reason
 * and leaves nothing behind. */
#include "world.h"

#include "base/crc32c.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static const struct batch_spec SPEC = {.records = 2, .value_bytes = 300};

/* The answer to `batches`, which are freed. */
static int follow(struct world *w, struct bytes batches, int32_t leader_epoch, struct log_follow *f)
{
    *f = (struct log_follow){.batches = batches, .leader_epoch = leader_epoch};
    int error = world_follow(w, 0, f);
    free((void *)batches.data);
    return error;
}

/* As above, of what a leader would serve. */
static int follow_batches(struct world *w, unsigned count, int64_t base, int32_t epoch,
                          int32_t leader_epoch)
{
    struct log_follow f;
    return follow(w, world_batches(w, &SPEC, count, base, 0, epoch), leader_epoch, &f);
}

Test(follow, batches_are_taken_as_they_are_and_outlive_a_crash)
{
    for (unsigned durability = 0; durability < 2; durability++) {
        struct world w;
        world_open(&w, 100 + durability);
        w.slots[0].config.durability = durability ? LOG_MEMORY : LOG_FSYNC;
        world_started(&w, 1);
        struct log_follow f;
        cr_assert_eq(follow(&w, world_batches(&w, &SPEC, 1, 0, 0, 3), 3, &f), 0);
        cr_assert_eq(f.end_offset, 2);
        cr_assert_eq(follow(&w, world_batches(&w, &SPEC, 60, 2, 0, 3), 5, &f), 0);
        cr_assert_eq(f.end_offset, 122);
        cr_assert_eq(follow_batches(&w, 3, 122, 5, 5), 0);
        struct log_status s = world_status(&w, 0);
        cr_assert(s.end_offset == 128 && s.durable_offset == 128 && s.leader_epoch == 5);
        int32_t found;
        cr_assert_eq(log_epoch_end(world_log(&w, 0), 4, &found), 122);
        cr_assert_eq(found, 3);
        cr_assert_eq(world_check(&w, 0), 64);
        if (durability) {
            world_kill(&w);
        } else {
            world_power_cut(&w);
        }
        world_started(&w, 1);
        cr_assert_eq(world_check(&w, 0), 64);
        cr_assert_eq(log_epoch_end(world_log(&w, 0), 4, &found), 122);
        cr_assert_eq(world_status(&w, 0).leader_epoch, 5);
        world_close(&w);
    }
}

/* Who has read all of an epoch that was deleted since has lost nothing. */
Test(follow, an_epoch_that_is_gone_ends_where_the_first_known_one_begins)
{
    struct world w;
    world_open(&w, 150);
    world_started(&w, 1);
    struct log_follow f;
    int32_t found;
    cr_assert_eq(follow(&w, world_batches(&w, &SPEC, 3, 0, 0, 3), 3, &f), 0);
    cr_assert_eq(log_epoch_end_told(world_log(&w, 0), 2, &found), 0);
    cr_assert_eq(found, 2);
    log_raise_watermark(world_log(&w, 0), 6);
    cr_assert_eq(world_control(&w, 0, LOG_START, 6), 0);
    cr_assert_eq(log_epoch_end_told(world_log(&w, 0), 3, &found), 6);
    cr_assert_eq(found, 3);
    log_begin_epoch(world_log(&w, 0), 5);
    cr_assert_eq(follow(&w, world_batches(&w, &SPEC, 3, 6, 0, 5), 5, &f), 0);
    cr_assert_eq(log_epoch_end(world_log(&w, 0), 3, &found), -1);
    cr_assert_eq(log_epoch_end_told(world_log(&w, 0), 3, &found), 6, "not taken for a truncation");
    cr_assert_eq(found, 3);
    cr_assert_eq(log_epoch_end_told(world_log(&w, 0), 5, &found), 12);
    cr_assert_eq(found, 5);
    cr_assert_eq(log_epoch_end_told(world_log(&w, 0), -1, &found), -1);
    world_close(&w);
}

/* The bytes themselves, epoch and offset included. */
Test(follow, what_is_read_is_what_was_fetched)
{
    struct world w;
    world_open(&w, 7);
    world_started(&w, 1);
    struct bytes batches = world_batches(&w, &SPEC, 4, 0, 0, 9);
    struct log_follow f = {.batches = batches, .leader_epoch = 9};
    cr_assert_eq(world_follow(&w, 0, &f), 0);
    struct wire_writer out;
    wire_writer_init(&out, &w.memory, 1 << 20);
    struct log_read r = {.limit_offset = f.end_offset, .bytes_max = 1 << 20};
    cr_assert_eq(world_read(&w, 0, &r, &out), 0);
    cr_assert_eq(out.size, batches.size);
    cr_assert_eq(memcmp(out.data, batches.data, out.size), 0);
    wire_writer_deinit(&out);
    free((void *)batches.data);
    world_close(&w);
}

Test(follow, offsets_and_epochs_follow_the_log)
{
    struct world w;
    world_open(&w, 8);
    world_started(&w, 1);
    cr_assert_eq(follow_batches(&w, 2, 0, 4, 6), 0);
    static const struct {
        int64_t base;
        int32_t epoch, leader_epoch;
        int error;
    } bad[] = {
        {3, 4, 6, ERR_OFFSET_OUT_OF_RANGE}, {0, 4, 6, ERR_OFFSET_OUT_OF_RANGE},
        {5, 4, 6, ERR_OFFSET_OUT_OF_RANGE}, {INT64_MAX - 1, 4, 6, ERR_CORRUPT_MESSAGE},
        {-5, 4, 6, ERR_CORRUPT_MESSAGE},    {4, 3, 6, ERR_FENCED_LEADER_EPOCH},
        {4, -1, 6, ERR_CORRUPT_MESSAGE},    {4, 7, 6, ERR_UNKNOWN_LEADER_EPOCH},
    };
    for (unsigned i = 0; i < array_size(bad); i++) {
        struct log_follow f;
        struct bytes batches = world_batches(&w, &SPEC, 1, bad[i].base, 0, bad[i].epoch);
        int error = follow(&w, batches, bad[i].leader_epoch, &f);
        cr_assert_eq(error, bad[i].error, "case %u: %s", i, error_name(error));
        cr_assert(f.refusal && f.refused_at == 0 && f.end_offset == -1, "case %u", i);
    }
    cr_assert_eq(world_status(&w, 0).end_offset, 4);
    cr_assert_eq(follow_batches(&w, 1, 4, 6, 6), 0);
    cr_assert_eq(world_check(&w, 0), 3);
    world_close(&w);
}

/* Two fetched pieces behind each other; the second is changed by `change`, then all of it is refused. */
static void refused_whole(struct world *w, void (*change)(uint8_t *second, size_t size), int error,
                          size_t cut)
{
    struct bytes first = world_batches(w, &SPEC, 1, 0, 0, 2);
    struct bytes both = world_batches(w, &SPEC, 2, 0, 0, 2);
    struct log_follow f;
    uint8_t *second = (uint8_t *)both.data + first.size;
    if (change) {
        change(second, both.size - first.size);
    }
    both.size -= cut;
    int got = follow(w, both, 2, &f);
    cr_assert_eq(got, error, "%s instead of %s", error_name(got), error_name(error));
    cr_assert_eq(f.refused_at, first.size);
    cr_assert_eq(f.end_offset, -1);
    cr_assert_not_null(f.refusal);
    cr_assert_eq(world_status(w, 0).end_offset, 0);
    free((void *)first.data);
}

static void change_record(uint8_t *b, size_t size)
{
    b[size - 1] ^= 1;
}

static void change_magic(uint8_t *b, size_t size)
{
    (void)size;
    b[16] = 1;
}

static void change_length(uint8_t *b, size_t size)
{
    put_be32(b + 8, (uint32_t)size);
}

static void change_epoch(uint8_t *b, size_t size)
{
    (void)size;
    batch_set_leader_epoch(b, 1);
}

static void change_offset(uint8_t *b, size_t size)
{
    (void)size;
    batch_set_base_offset(b, 3);
}

static void change_count(uint8_t *b, size_t size)
{
    put_be32(b + 57, 1u << 30);
    put_be32(b + 17, crc32c(0, b + 21, size - 21));
}

Test(follow, one_bad_batch_refuses_all_that_was_fetched)
{
    struct world w;
    world_open(&w, 9);
    world_started(&w, 1);
    refused_whole(&w, change_record, ERR_CORRUPT_MESSAGE, 0);
    refused_whole(&w, change_magic, ERR_INVALID_RECORD, 0);
    refused_whole(&w, change_length, ERR_CORRUPT_MESSAGE, 0);
    refused_whole(&w, change_epoch, ERR_FENCED_LEADER_EPOCH, 0);
    refused_whole(&w, change_offset, ERR_OFFSET_OUT_OF_RANGE, 0);
    refused_whole(&w, change_count, ERR_INVALID_RECORD, 0);
    refused_whole(&w, NULL, ERR_CORRUPT_MESSAGE, 1);
    refused_whole(&w, NULL, ERR_CORRUPT_MESSAGE, 600);
    struct log_follow f;
    cr_assert_eq(follow(&w, (struct bytes){0}, 2, &f), ERR_CORRUPT_MESSAGE);
    cr_assert_eq(follow_batches(&w, 2, 0, 2, 2), 0);
    cr_assert_eq(world_check(&w, 0), 2);
    world_close(&w);
}

/* No byte of what was fetched can end the process, whatever it is changed to. */
Test(follow, hostile_bytes_are_answered)
{
    struct world w;
    world_open(&w, 10);
    world_started(&w, 1);
    struct prng random = sim_random(w.sim, 77);
    struct batch_spec spec = {.records = 2, .value_bytes = 20, .producer = true, .producer_id = 5};
    unsigned refused = 0;
    for (unsigned i = 0; i < 3000; i++) {
        int64_t end = world_status(&w, 0).end_offset;
        struct bytes b = world_batches(&w, &spec, 2, end, 0, 2);
        uint8_t *data = (uint8_t *)b.data;
        for (unsigned n = 0; n < 3; n++) {
            data[prng_below(&random, prng_chance(&random, 3, 4) ? 61 : b.size)] =
                (uint8_t)prng_next(&random);
        }
        if (prng_chance(&random, 1, 2) && batch_size_peek(data) == b.size / 2) {
            put_be32(data + 17, crc32c(0, data + 21, b.size / 2 - 21));
        }
        b.size -= prng_chance(&random, 1, 8) ? prng_below(&random, b.size + 1) : 0;
        struct log_follow f;
        int error = follow(&w, b, 2, &f);
        refused += error != 0;
        cr_assert(error == 0 || f.refusal, "%s", error_name(error));
    }
    cr_assert_gt(refused, 1000);
    world_power_cut(&w);
    world_started(&w, 1);
    world_check(&w, 0);
    world_close(&w);
}

/* A follower that becomes leader knows the producers of what it has fetched. */
Test(follow, producers_are_known)
{
    struct world w;
    world_open(&w, 11);
    world_started(&w, 1);
    struct batch_spec spec = SPEC;
    spec.producer = true;
    spec.producer_id = 42;
    struct log_follow f;
    cr_assert_eq(follow(&w, world_batches(&w, &spec, 3, 0, 0, 1), 1, &f), 0);
    for (unsigned life = 0; life < 2; life++) {
        w.slots[0].epoch = 2;
        int64_t base;
        spec.sequence = 4;
        cr_assert_eq(world_append(&w, 0, &spec, &base), 0);
        cr_assert_eq(base, 4, "the third batch is known");
        spec.sequence = 9;
        cr_assert_eq(world_append(&w, 0, &spec, &base), ERR_OUT_OF_ORDER_SEQUENCE);
        world_power_cut(&w);
        world_started(&w, 1);
    }
    world_close(&w);
}

struct interleaved {
    struct log *log;
    struct log_follow follow;
    struct log_control control;
    int error, control_error;
    bool done, control_done;
};

static void interleaved_done(struct log_follow *f, int error)
{
    struct interleaved *x = container_of(f, struct interleaved, follow);
    x->error = error;
    x->done = true;
}

static void interleaved_control(struct log_control *c, int error)
{
    struct interleaved *x = container_of(c, struct interleaved, control);
    x->control_error = error;
    x->control_done = true;
}

static void interleaved_begin(void *argument)
{
    struct interleaved *x = argument;
    log_append_follower(x->log, &x->follow);
}

static void interleaved_truncate(void *argument)
{
    struct interleaved *x = argument;
    log_control(x->log, &x->control);
}

/* More than there is room for at once, and a truncation before all of it is in: what was taken before is
 * settled, the rest is refused, and the log counts as durable what it has. */
Test(follow, a_truncation_between_its_batches)
{
    struct world w;
    world_open(&w, 12);
    w.slots[0].config.segment_bytes = 16 << 20;
    w.options.journal_bytes_max = 512 << 10;
    world_started(&w, 1);
    sim_faults(w.sim)->slow_name = "/checkpoint-";
    sim_faults(w.sim)->slow = (struct sim_latency){.min_ns = 300000000, .mean_ns = 300000000};
    struct batch_spec large = {.records = 1, .value_bytes = 60000};
    struct bytes batches = world_batches(&w, &large, 40, 0, 0, 1);
    struct interleaved x = {
        .log = world_log(&w, 0),
        .follow = {.batches = batches, .leader_epoch = 1, .done = interleaved_done},
        .control = {.kind = LOG_TRUNCATE, .offset = 1, .done = interleaved_control}};
    cr_assert(world_do(&w, 0, interleaved_begin, &x));
    world_wait_ms(&w, 100); /* the journal is full */
    struct log_status before = world_status(&w, 0);
    cr_assert(before.end_offset > 2 && before.end_offset < 20 && !x.done);
    cr_assert(world_do(&w, 0, interleaved_truncate, &x));
    cr_assert(world_until(&w, &x.done) && world_until(&w, &x.control_done));
    cr_assert_eq(x.control_error, 0);
    struct log_status s = world_status(&w, 0);
    cr_assert_eq(s.durable_offset, s.end_offset);
    cr_assert_eq(x.error, ERR_OFFSET_OUT_OF_RANGE, "%s", error_name(x.error));
    cr_assert_not_null(x.follow.refusal);
    cr_assert_eq(s.end_offset, 1);
    free((void *)batches.data);
    cr_assert_eq(follow_batches(&w, 1, s.end_offset, 1, 1), 0);
    s = world_status(&w, 0);
    cr_assert_eq(s.durable_offset, s.end_offset);
    world_close(&w);
}

/* Its end durable, one after the other, told to whoever watches. */
struct watched {
    struct log_watch watch;
    struct log *log;
    unsigned moved;
    int64_t durable;
};

static void watch_moved(struct log_watch *watch, struct log *log)
{
    struct watched *x = container_of(watch, struct watched, watch);
    struct log_status s = log_status(log);
    assert(s.durable_offset <= s.end_offset);
    x->moved++;
    x->durable = s.durable_offset;
}

static void watch_run(void *argument)
{
    struct watched *x = argument;
    x->watch.moved = watch_moved;
    log_watch(x->log, &x->watch);
}

Test(follow, the_durable_end_is_told)
{
    struct world w;
    world_open(&w, 13);
    world_started(&w, 1);
    struct watched x = {.log = world_log(&w, 0)};
    cr_assert(world_do(&w, 0, watch_run, &x));
    cr_assert_eq(follow_batches(&w, 3, 0, 1, 1), 0);
    world_wait_ms(&w, 1);
    cr_assert(x.moved >= 1 && x.durable == 6);
    unsigned before = x.moved;
    cr_assert_eq(world_control(&w, 0, LOG_TRUNCATE, 3), 0);
    world_wait_ms(&w, 1);
    cr_assert(x.moved > before && x.durable == 2, "the whole batch goes: %lld",
              (long long)x.durable);
    cr_assert_eq(follow_batches(&w, 2, 2, 2, 2), 0);
    world_wait_ms(&w, 1);
    cr_assert_eq(x.durable, 6);
    world_stop(&w);
    world_started(&w, 1);
    cr_assert_eq(world_check(&w, 0), 3);
    world_close(&w);
}

/* The disk has no room for all: what was taken is durable, the rest is told. */
Test(follow, a_full_disk_in_the_middle)
{
    struct world w;
    world_open(&w, 14);
    w.slots[0].config.segment_bytes = 16 << 20;
    world_started(&w, 1);
    struct batch_spec large = {.records = 1, .value_bytes = 60000};
    cr_assert_eq(world_append(&w, 0, &large, NULL), 0);
    struct disk *d = sim_node_disk(w.node);
    struct disk_space space = disk_space(d);
    disk_set_capacity(d, space.total_bytes - space.free_bytes + w.options.disk_reserve_bytes +
                             (200 << 10));
    struct bytes batches = world_batches(&w, &large, 40, 1, 0, 1);
    struct interleaved x = {
        .log = world_log(&w, 0),
        .follow = {.batches = batches, .leader_epoch = 1, .done = interleaved_done}};
    cr_assert(world_do(&w, 0, interleaved_begin, &x));
    cr_assert(world_until(&w, &x.done));
    cr_assert_eq(x.error, ERR_DISK_FULL, "%s", error_name(x.error));
    struct log_status s = world_status(&w, 0);
    cr_assert(s.end_offset > 1 && s.end_offset < 41);
    cr_assert(x.follow.end_offset == s.end_offset && s.durable_offset == s.end_offset);
    cr_assert_null(x.follow.refusal);
    free((void *)batches.data);
    world_close(&w);
}

static void begin_epoch_9(void *argument)
{
    log_begin_epoch(((struct world *)argument)->slots[0].log, 9);
}

/* A replica was to lead, wrote nothing, and follows another, whose log goes on in an older epoch. */
Test(follow, an_epoch_without_records_is_forgotten)
{
    for (unsigned life = 0; life < 2; life++) {
        struct world w;
        world_open(&w, 130 + life);
        world_started(&w, 1);
        cr_assert_eq(follow_batches(&w, 2, 0, 3, 3), 0);
        cr_assert(world_do(&w, 0, begin_epoch_9, &w));
        cr_assert_eq(world_status(&w, 0).leader_epoch, 9);
        cr_assert_eq(log_last_epoch(world_log(&w, 0)), 3);
        if (life) { /* the checkpoint of a clean stop knows it */
            world_stop(&w);
            world_started(&w, 1);
        }
        cr_assert_eq(follow_batches(&w, 1, 4, 2, 11), ERR_FENCED_LEADER_EPOCH);
        cr_assert_eq(follow_batches(&w, 1, 4, 5, 11), 0);
        cr_assert_eq(follow_batches(&w, 1, 6, 11, 11), 0);
        for (unsigned again = 0; again < 2; again++) {
            int32_t found;
            cr_assert_eq(log_epoch_end(world_log(&w, 0), 10, &found), 6);
            cr_assert_eq(found, 5);
            cr_assert_eq(world_check(&w, 0), 4);
            world_power_cut(&w);
            world_started(&w, 1);
        }
        world_close(&w);
    }
}

struct taking {
    struct world *world;
    struct log_follow follow;
    int64_t taken_at, durable_at; /* ends of the log when it was told */
    int error;
};

static void taken(struct log_follow *f)
{
    struct taking *t = container_of(f, struct taking, follow);
    struct log_status s = log_status(t->world->slots[0].log);
    t->taken_at = s.end_offset;
    t->durable_at = s.durable_offset;
}

static void taken_done(struct log_follow *f, int error)
{
    struct taking *t = container_of(f, struct taking, follow);
    t->error = error;
}

static void take_run(void *argument)
{
    struct taking *t = argument;
    log_append_follower(t->world->slots[0].log, &t->follow);
}

/* The bytes are given back when the log has them, before they are durable; of what is refused they are never. */
Test(follow, it_is_told_when_the_bytes_are_taken)
{
    struct world w;
    world_open(&w, 140);
    world_started(&w, 1);
    world_log(&w, 0);
    struct bytes batches = world_batches(&w, &SPEC, 3, 0, 0, 3);
    struct taking t = {
        .world = &w,
        .follow = {.batches = batches, .leader_epoch = 3, .appended = taken, .done = taken_done},
        .taken_at = -1,
        .error = 1};
    cr_assert(world_do(&w, 0, take_run, &t));
    world_wait_ms(&w, 100);
    cr_assert_eq(t.error, 0);
    cr_assert(t.taken_at == 6 && t.durable_at == 0, "%lld %lld", (long long)t.taken_at,
              (long long)t.durable_at);
    t.taken_at = -1;
    cr_assert(world_do(&w, 0, take_run, &t));
    world_wait_ms(&w, 100);
    cr_assert(t.taken_at == -1 && t.error == ERR_OFFSET_OUT_OF_RANGE);
    free((void *)batches.data);
    world_close(&w);
}
