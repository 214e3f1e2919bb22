/* SPDX-License-Identifier: Apache-2.0 */

/* The rules one by one, then random histories against a model that keeps everything it was told:
 * plain arrays, no hashing, no five-batch window in place. */
#include "base/errors.h"
#include "base/memory.h"
#include "base/prng.h"
#include "log/producers.h"

#include <criterion/criterion.h>
#include <stdlib.h>

enum { MODEL_BATCHES = 4096, LIMIT = 1000 };

static struct producer_batch batch(int64_t id, int epoch, int32_t first, int32_t count,
                                   int64_t offset)
{
    return (struct producer_batch){
        .producer_id = id,
        .epoch = (int16_t)epoch,
        .first_sequence = first,
        .last_sequence = (int32_t)(((int64_t)first + count - 1) % ((int64_t)INT32_MAX + 1)),
        .base_offset = offset,
        .last_offset = offset + count - 1,
        .timestamp_ms = 1000 + offset,
    };
}

static void begin(struct producer_table *t, struct memory *m)
{
    memory_init(m, 1 << 20);
    producer_table_init(t, m, 1, LIMIT);
}

static void add(struct producers **p, struct producer_table *t, struct producer_batch b)
{
    cr_assert_eq(producers_update(p, t, &b, INT64_MAX), 0);
}

static int check(const struct producers *p, struct producer_batch b)
{
    struct producer_batch original;
    return producers_check(p, &b, &original);
}

static void finish(struct producers *p, struct producer_table *t)
{
    const struct memory *m = t->memory;
    producers_free(p);
    producer_table_deinit(t);
    cr_assert_eq(m->used_bytes, 0, "memory is left behind");
}

Test(producers, an_unknown_producer_may_begin_anywhere)
{
    struct producer_batch original;
    struct producer_batch b = batch(7, 3, 4711, 2, 0);
    cr_assert_eq(producers_check(NULL, &b, &original), 0);
}

Test(producers, next_gap_and_repeat)
{
    struct memory m;
    struct producer_table t;
    begin(&t, &m);
    struct producers *p = NULL;
    add(&p, &t, batch(7, 0, 0, 10, 100));
    cr_assert_eq(check(p, batch(7, 0, 10, 1, 0)), 0);
    cr_assert_eq(check(p, batch(7, 0, 11, 1, 0)), ERR_OUT_OF_ORDER_SEQUENCE);
    cr_assert_eq(check(p, batch(7, 0, 9, 1, 0)), ERR_OUT_OF_ORDER_SEQUENCE);
    cr_assert_eq(check(p, batch(8, 0, 11, 1, 0)), 0, "another producer");
    struct producer_batch again = batch(7, 0, 0, 10, 0), original;
    cr_assert_eq(producers_check(p, &again, &original), 1);
    cr_assert_eq(original.base_offset, 100);
    cr_assert_eq(original.last_offset, 109);
    cr_assert_eq(original.timestamp_ms, 1100);
    cr_assert_eq(check(p, batch(7, 0, 0, 9, 0)), ERR_OUT_OF_ORDER_SEQUENCE,
                 "the same beginning with another end is no duplicate");
    finish(p, &t);
}

Test(producers, what_is_older_than_the_last_five_is_out_of_order)
{
    struct memory m;
    struct producer_table t;
    begin(&t, &m);
    struct producers *p = NULL;
    for (int i = 0; i < 6; i++) {
        add(&p, &t, batch(7, 0, i * 2, 2, i * 2));
    }
    cr_assert_eq(check(p, batch(7, 0, 0, 2, 0)), ERR_OUT_OF_ORDER_SEQUENCE);
    for (int i = 1; i < 6; i++) {
        struct producer_batch b = batch(7, 0, i * 2, 2, 0), original;
        cr_assert_eq(producers_check(p, &b, &original), 1, "batch %d", i);
        cr_assert_eq(original.base_offset, i * 2);
    }
    finish(p, &t);
}

/* Above what is settled everything is kept, so that a truncation brings the fold up to there back; the
 * last five alone count as duplicates all the same. */
Test(producers, a_truncation_brings_older_batches_back)
{
    struct memory m;
    struct producer_table t;
    begin(&t, &m);
    struct producers *p = NULL;
    for (int i = 0; i < 40; i++) {
        struct producer_batch b = batch(7, 0, i, 1, i);
        cr_assert_eq(producers_update(&p, &t, &b, 10), 0);
    }
    cr_assert_eq(producers_size(p), 5 + 9 + 35 * 30, "five of the ten below, thirty above");
    cr_assert_eq(check(p, batch(7, 0, 34, 1, 0)), ERR_OUT_OF_ORDER_SEQUENCE);
    producers_truncate(p, 10);
    cr_assert_eq(check(p, batch(7, 0, 10, 1, 0)), 0);
    for (int i = 5; i < 10; i++) {
        cr_assert_eq(check(p, batch(7, 0, i, 1, 0)), 1, "batch %d", i);
    }
    cr_assert_eq(check(p, batch(7, 0, 4, 1, 0)), ERR_OUT_OF_ORDER_SEQUENCE);
    for (int i = 10; i < 600; i++) {
        struct producer_batch b = batch(7, 0, i, 1, i);
        cr_assert_eq(producers_update(&p, &t, &b, 10), 0);
    }
    cr_assert_eq(producers_size(p), 5 + 9 + 255 * 30, "there is a limit");
    struct producer_batch last = batch(7, 0, 600, 1, 600);
    cr_assert_eq(producers_update(&p, &t, &last, INT64_MAX), 0);
    cr_assert_eq(producers_size(p), 5 + 9 + 5 * 30);
    finish(p, &t);
}

Test(producers, the_sequence_wraps_to_zero)
{
    struct memory m;
    struct producer_table t;
    begin(&t, &m);
    struct producers *p = NULL;
    add(&p, &t, batch(7, 0, INT32_MAX - 1, 2, 0));
    cr_assert_eq(check(p, batch(7, 0, 0, 5, 0)), 0);
    cr_assert_eq(check(p, batch(7, 0, 1, 5, 0)), ERR_OUT_OF_ORDER_SEQUENCE);
    /* A batch across the end: 2147483646, 2147483647, 0, 1. */
    struct memory m2;
    struct producer_table t2;
    begin(&t2, &m2);
    struct producers *q = NULL;
    struct producer_batch across = batch(7, 0, INT32_MAX - 1, 4, 0);
    cr_assert_eq(across.last_sequence, 1);
    add(&q, &t2, across);
    cr_assert_eq(check(q, batch(7, 0, 2, 1, 0)), 0);
    cr_assert_eq(check(q, across), 1);
    finish(q, &t2);
    finish(p, &t);
}

Test(producers, epochs_fence_and_restart_the_sequence)
{
    struct memory m;
    struct producer_table t;
    begin(&t, &m);
    struct producers *p = NULL;
    add(&p, &t, batch(7, 2, 0, 3, 0));
    cr_assert_eq(check(p, batch(7, 1, 3, 1, 0)), ERR_INVALID_PRODUCER_EPOCH);
    cr_assert_eq(check(p, batch(7, 1, 0, 3, 0)), ERR_INVALID_PRODUCER_EPOCH,
                 "the sequences of another epoch's batch are no duplicate");
    cr_assert_eq(check(p, batch(7, 3, 3, 1, 0)), ERR_OUT_OF_ORDER_SEQUENCE);
    cr_assert_eq(check(p, batch(7, 3, 0, 1, 0)), 0);
    add(&p, &t, batch(7, 3, 0, 3, 3));
    cr_assert_eq(check(p, batch(7, 2, 0, 3, 0)), ERR_INVALID_PRODUCER_EPOCH);
    struct producer_batch again = batch(7, 3, 0, 3, 0), original;
    cr_assert_eq(producers_check(p, &again, &original), 1);
    cr_assert_eq(original.base_offset, 3, "the older epoch's batch at 0 is not it");
    producers_truncate(p, 3);
    cr_assert_eq(check(p, batch(7, 2, 3, 1, 0)), 0, "truncation brings the older epoch back");
    finish(p, &t);
}

Test(producers, batches_without_sequence_are_not_its_business)
{
    struct memory m;
    struct producer_table t;
    begin(&t, &m);
    struct producers *p = NULL;
    struct producer_batch b = batch(-1, -1, 0, 1, 0);
    b.first_sequence = b.last_sequence = -1;
    cr_assert_eq(check(p, b), 0);
    cr_assert_eq(producers_update(&p, &t, &b, INT64_MAX), 0);
    b.producer_id = 5; /* a control batch has an id but no sequence */
    cr_assert_eq(producers_update(&p, &t, &b, INT64_MAX), 0);
    cr_assert_null(p);
}

Test(producers, a_replayed_batch_is_folded_once)
{
    struct memory m;
    struct producer_table t;
    begin(&t, &m);
    struct producers *p = NULL;
    add(&p, &t, batch(7, 0, 0, 2, 0));
    add(&p, &t, batch(8, 0, 0, 2, 2));
    add(&p, &t, batch(7, 0, 0, 2, 0));
    add(&p, &t, batch(8, 0, 0, 2, 2));
    uint8_t bytes[200];
    struct writer w = writer_of(bytes, sizeof bytes);
    producers_encode(p, &w);
    cr_assert_eq(w.size, 5 + 2 * (9 + 30));
    finish(p, &t);
}

Test(producers, the_limit_refuses_new_producers_only)
{
    struct memory m;
    struct producer_table t;
    begin(&t, &m);
    struct producers *p = NULL;
    struct producer_batch b = batch(1, 0, 0, 1, 0);
    t.limit = 0;
    cr_assert_eq(producers_update(&p, &t, &b, INT64_MAX), ERR_BUSY);
    cr_assert_null(p);
    cr_assert_eq(m.used_bytes, 0);
    t.limit = 1;
    cr_assert_eq(producers_update(&p, &t, &b, INT64_MAX), 0);
    b = batch(2, 0, 0, 1, 1);
    cr_assert_eq(producers_update(&p, &t, &b, INT64_MAX), ERR_BUSY);
    b = batch(1, 0, 1, 1, 2);
    cr_assert_eq(producers_update(&p, &t, &b, INT64_MAX), 0);
    producers_expire(p, 1002);
    cr_assert_eq(producers_count(p), 1, "its newest batch is not older");
    producers_expire(p, 1003);
    cr_assert_eq(producers_count(p), 0);
    b = batch(2, 0, 0, 1, 3);
    cr_assert_eq(producers_update(&p, &t, &b, INT64_MAX), 0);
    finish(p, &t);
}

/* Of two logs with the same ids: one limit for both, and what one forgets is room for the other. */
Test(producers, the_logs_of_a_shard_have_one_limit_together)
{
    struct memory m;
    struct producer_table t;
    begin(&t, &m);
    t.limit = 300;
    struct producers *p = NULL, *q = NULL;
    for (int i = 0; i < 200; i++) {
        add(&p, &t, batch(i, 0, 0, 1, i));
    }
    size_t used = m.used_bytes;
    for (int i = 0; i < 100; i++) {
        add(&q, &t, batch(i, 0, 5, 1, i));
    }
    cr_assert_eq(check(p, batch(7, 0, 1, 1, 0)), 0);
    cr_assert_eq(check(q, batch(7, 0, 6, 1, 0)), 0);
    struct producer_batch b = batch(1000, 0, 0, 1, 1000);
    cr_assert_eq(producers_update(&q, &t, &b, INT64_MAX), ERR_BUSY);
    producers_expire(p, INT64_MAX);
    cr_assert_eq(producer_table_count(&t), 100);
    for (int i = 100; i < 300; i++) {
        add(&q, &t, batch(i, 0, 5, 1, i));
    }
    cr_assert_lt(m.used_bytes, used * 2, "the memory of one log is not given to the other");
    add(&q, &t, batch(0, 0, 6, 1, 300));
    cr_assert(producer_table_forget_oldest(&t));
    cr_assert_eq(check(q, batch(0, 0, 7, 1, 0)), 0);
    cr_assert_eq(check(q, batch(0, 0, 8, 1, 0)), ERR_OUT_OF_ORDER_SEQUENCE, "it is in use");
    cr_assert_eq(check(q, batch(1, 0, 9, 1, 0)), 0,
                 "the one that was heard of longest ago is unknown");
    producers_free(p);
    finish(q, &t);
}

/* Old timestamps do not make a producer that is there expire, unless there is no room otherwise. */
Test(producers, what_is_heard_of_does_not_expire)
{
    struct memory m;
    struct producer_table t;
    begin(&t, &m);
    struct producers *p = NULL;
    struct producer_batch b = batch(7, 0, 0, 1, 0);
    b.heard_ms = 500000;
    add(&p, &t, b);
    producers_expire(p, 400000);
    cr_assert_eq(producers_count(p), 1);
    producers_expire(p, 500001);
    cr_assert_eq(producers_count(p), 0);
    b = batch(7, 0, 0, 1, 1);
    b.heard_ms = 500000;
    add(&p, &t, b);
    producer_table_expire(&t, 400000);
    cr_assert_eq(producers_count(p), 0);
    finish(p, &t);
}

/* A state that does not fit any more comes up all the same, with its newest producers. */
Test(producers, decoding_forgets_the_oldest_where_there_is_no_room)
{
    static uint8_t bytes[20000];
    struct memory m;
    struct producer_table t;
    begin(&t, &m);
    struct producers *p = NULL, *q = NULL;
    for (int i = 0; i < 400; i++) {
        add(&p, &t, batch(i, 0, 0, 1, i));
    }
    struct writer w = writer_of(bytes, sizeof bytes);
    producers_encode(p, &w);
    finish(p, &t);
    for (int round = 0; round < 3; round++) {
        begin(&t, &m);
        t.limit = round == 0 ? 200 : LIMIT;
        m.budget_bytes = round == 1 ? 50000 : 1 << 20;
        int64_t expired = round == 2 ? 1300 : INT64_MIN;
        t.limit = round == 2 ? 399 : t.limit;
        struct reader r = reader_of(bytes, w.size);
        cr_assert_eq(producers_decode(&q, &t, &r, expired), 0);
        uint32_t left = producers_count(q);
        cr_assert(round == 2 ? left == 100 : left > 100 && left <= 200, "%u are left", left);
        for (int i = 0; i < 400; i++) {
            bool known = i >= 400 - (int)left;
            cr_assert_eq(check(q, batch(i, 0, 5, 1, 0)), known ? ERR_OUT_OF_ORDER_SEQUENCE : 0,
                         "producer %d of round %d", i, round);
        }
        finish(q, &t);
        q = NULL;
    }
}

Test(producers, no_memory_changes_nothing)
{
    uint8_t before[4096], after[4096];
    struct memory m;
    struct producer_table t;
    begin(&t, &m);
    struct producers *p = NULL;
    for (int i = 0; i < 40; i++) {
        struct producer_batch b = batch(i, 0, 0, 1, i);
        struct writer w = writer_of(before, sizeof before);
        producers_encode(p, &w);
        m.budget_bytes = m.used_bytes;
        int error = producers_update(&p, &t, &b, INT64_MAX);
        cr_assert(error == 0 || error == ERR_NO_MEMORY);
        if (error < 0) {
            struct writer w2 = writer_of(after, sizeof after);
            producers_encode(p, &w2);
            cr_assert_eq(w.size, w2.size);
            cr_assert_arr_eq(before, after, w.size);
            m.budget_bytes = 1 << 20;
            add(&p, &t, b);
        }
    }
    cr_assert_eq(producers_count(p), 40);
    finish(p, &t);
}

/* --- the model ------------------------------------------------------------------------------- */

struct model {
    struct producer_batch batches[MODEL_BATCHES];
    int count;
    int64_t end; /* next offset */
};

/* Newest first: the n-th batch of a producer, or NULL. */
static const struct producer_batch *model_nth(const struct model *m, int64_t id, int n)
{
    for (int i = m->count; i-- > 0;) {
        if (m->batches[i].producer_id == id && n-- == 0) {
            return &m->batches[i];
        }
    }
    return NULL;
}

static int model_check(const struct model *m, const struct producer_batch *b, int window,
                       int64_t *original)
{
    const struct producer_batch *newest = window ? model_nth(m, b->producer_id, 0) : NULL;
    if (!newest) {
        return 0;
    }
    for (int n = 0; n < window && n < PRODUCER_BATCHES; n++) {
        const struct producer_batch *seen = model_nth(m, b->producer_id, n);
        if (!seen || seen->epoch != b->epoch) {
            break;
        }
        if (seen->first_sequence == b->first_sequence && seen->last_sequence == b->last_sequence) {
            *original = seen->base_offset;
            return 1;
        }
    }
    if (b->epoch < newest->epoch) {
        return ERR_INVALID_PRODUCER_EPOCH;
    }
    int64_t next = b->epoch > newest->epoch
                       ? 0
                       : ((int64_t)newest->last_sequence + 1) % ((int64_t)INT32_MAX + 1);
    return b->first_sequence == next ? 0 : ERR_OUT_OF_ORDER_SEQUENCE;
}

enum { IDS = 12 };

struct history {
    struct prng random;
    struct memory memory;
    struct producer_table table;
    struct model model;
    struct producers *state;
    int window[IDS];  /* how many of a producer's batches the state still knows */
    int64_t settled;  /* nothing below it is truncated */
    int brought_back; /* truncations that showed a batch which five others had hidden */
    int duplicates, refusals, appends;
};

static struct producer_batch history_draw(struct history *h)
{
    int64_t id = (int64_t)prng_below(&h->random, IDS);
    const struct producer_batch *newest = model_nth(&h->model, id, 0);
    int32_t count = (int32_t)prng_between(&h->random, 1, 4);
    if (!newest) {
        int32_t first = prng_chance(&h->random, 1, 3) ? INT32_MAX - 6 : 0;
        return batch(id, (int)prng_below(&h->random, 3), first, count, 0);
    }
    struct producer_batch b;
    switch (prng_below(&h->random, 8)) {
    case 0: /* a retry */
    case 1: {
        const struct producer_batch *old = model_nth(&h->model, id, (int)prng_below(&h->random, 7));
        b = old ? *old : *newest;
        break;
    }
    case 2:
        b = batch(id, newest->epoch + (int)prng_below(&h->random, 2),
                  (int32_t)prng_below(&h->random, 3), count, 0);
        break;
    case 3:
        b = batch(id, newest->epoch ? newest->epoch - 1 : 0, 0, count, 0);
        break;
    default:
        b = batch(id, newest->epoch,
                  newest->last_sequence == INT32_MAX ? 0 : newest->last_sequence + 1, count, 0);
    }
    b.timestamp_ms = (int64_t)prng_below(&h->random, 1000);
    return b;
}

static void history_append(struct history *h)
{
    struct producer_batch b = history_draw(h), original = {0};
    int64_t expected_original = -1;
    int expected = model_check(&h->model, &b, h->window[b.producer_id], &expected_original);
    int got = producers_check(h->state, &b, &original);
    cr_assert_eq(got, expected, "producer %ld epoch %d sequence %d: %d, the model says %d",
                 (long)b.producer_id, b.epoch, b.first_sequence, got, expected);
    if (got == 1) {
        cr_assert_eq(original.base_offset, expected_original);
        h->duplicates++;
    }
    h->refusals += got < 0;
    if (got == 0) {
        int64_t span = b.last_sequence - (int64_t)b.first_sequence;
        b.base_offset = h->model.end + (int64_t)prng_below(&h->random, 3);
        b.last_offset = b.base_offset + (span < 0 ? span + INT32_MAX + 1LL : span);
        h->model.end = b.last_offset + 1;
        h->model.batches[h->model.count++] = b;
        cr_assert_eq(producers_update(&h->state, &h->table, &b, h->settled), 0);
        h->window[b.producer_id]++;
        h->appends++;
    }
}

static void history_truncate(struct history *h)
{
    int64_t offset =
        h->model.end - (int64_t)prng_below(&h->random, prng_chance(&h->random, 1, 3) ? 400 : 30);
    offset = offset < h->settled ? h->settled : offset;
    int gone[IDS] = {0};
    producers_truncate(h->state, offset);
    while (h->model.count && h->model.batches[h->model.count - 1].last_offset >= offset) {
        int64_t id = h->model.batches[--h->model.count].producer_id;
        h->window[id] -= h->window[id] > 0;
        h->brought_back += ++gone[id] == PRODUCER_BATCHES && h->window[id] > 0;
    }
    h->model.end = offset < h->model.end ? offset : h->model.end;
}

static void history_settle(struct history *h)
{
    int64_t left = h->model.end - h->settled;
    h->settled += left > 0 ? (int64_t)prng_below(&h->random, (uint64_t)left / 2 + 1) : 0;
}

static void history_expire(struct history *h)
{
    int64_t time = (int64_t)prng_below(&h->random, 300);
    producers_expire(h->state, time);
    for (int64_t id = 0; id < IDS; id++) {
        const struct producer_batch *newest = model_nth(&h->model, id, 0);
        if (newest && newest->timestamp_ms < time) {
            h->window[id] = 0;
        }
    }
}

/* What the state says of every producer is what the model's newest batches say: through its
 * encoding, which is also the fixpoint test. */
static void history_compare(struct history *h)
{
    uint8_t bytes[65536], again[65536];
    struct writer w = writer_of(bytes, sizeof bytes);
    producers_encode(h->state, &w);
    cr_assert_not(w.failed);
    cr_assert_eq(w.size, producers_size(h->state));
    uint32_t known = 0;
    for (int id = 0; id < IDS; id++) {
        known += h->window[id] > 0;
    }
    cr_assert_eq(producers_count(h->state), known);

    struct reader r = reader_of(bytes, w.size);
    cr_assert_eq(reader_u8(&r), 1);
    cr_assert_eq(reader_be32(&r), known);
    int64_t newest = -1;
    for (uint32_t i = 0; i < known; i++) {
        int64_t id = (int64_t)reader_be64(&r);
        int count = reader_u8(&r);
        int five = h->window[id] < PRODUCER_BATCHES ? h->window[id] : PRODUCER_BATCHES;
        cr_assert(count >= five && count <= h->window[id], "producer %ld: %d of %d", (long)id,
                  count, h->window[id]);
        for (int n = count; n-- > 0;) {
            const struct producer_batch *b = model_nth(&h->model, id, n);
            cr_assert_eq((int16_t)reader_be16(&r), b->epoch);
            cr_assert_eq((int32_t)reader_be32(&r), b->first_sequence);
            cr_assert_eq((int32_t)reader_be32(&r), b->last_sequence);
            cr_assert_eq((int64_t)reader_be64(&r), b->base_offset);
            cr_assert_eq((int32_t)reader_be32(&r), b->last_offset - b->base_offset);
            cr_assert_eq((int64_t)reader_be64(&r), b->timestamp_ms);
        }
        int64_t last = model_nth(&h->model, id, 0)->last_offset;
        cr_assert_gt(last, newest, "the order is that of the newest batches");
        newest = last;
    }
    cr_assert_eq(reader_left(&r), 0);

    struct producers *decoded = NULL;
    r = reader_of(bytes, w.size);
    cr_assert_eq(producers_decode(&decoded, &h->table, &r, INT64_MIN), 0);
    struct writer w2 = writer_of(again, sizeof again);
    producers_encode(decoded, &w2);
    cr_assert_eq(w2.size, w.size);
    cr_assert_arr_eq(again, bytes, w.size);
    if (prng_chance(&h->random, 1, 2)) { /* go on with the decoded one */
        struct producers *old = h->state;
        h->state = decoded;
        decoded = old;
    }
    producers_free(decoded);
}

Test(producers, random_histories_agree_with_the_model)
{
    struct history *h = malloc(sizeof *h);
    int duplicates = 0, refusals = 0, appends = 0, brought_back = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        *h = (struct history){.random = prng_of(seed)};
        begin(&h->table, &h->memory);
        for (int step = 0; step < 400; step++) {
            uint64_t what = prng_below(&h->random, 100);
            if (what < 90) {
                history_append(h);
            } else if (what < 95) {
                history_truncate(h);
            } else if (what < 96) {
                history_expire(h);
            } else if (what < 98) {
                history_settle(h);
            } else {
                history_compare(h);
            }
        }
        history_compare(h);
        finish(h->state, &h->table);
        duplicates += h->duplicates;
        refusals += h->refusals;
        appends += h->appends;
        brought_back += h->brought_back;
    }
    free(h);
    cr_assert_gt(duplicates, 1000, "the histories did not reach the rules");
    cr_assert_gt(refusals, 1000);
    cr_assert_gt(appends, 10000);
    cr_assert_gt(brought_back, 50);
}

/* Any bytes give an error, or a state whose encoding is those very bytes. */
static int decode_any(struct memory *m, const uint8_t *bytes, size_t size)
{
    uint8_t *exact = malloc(size ? size : 1); /* so that the sanitizer sees an over-read */
    memcpy(exact, bytes, size);
    struct reader r = reader_of(exact, size);
    struct producers *p = NULL;
    struct producer_table t;
    producer_table_init(&t, m, 1, 100);
    int error = producers_decode(&p, &t, &r, INT64_MIN);
    if (error == 0) {
        uint8_t again[2048];
        struct writer w = writer_of(again, sizeof again);
        producers_encode(p, &w);
        cr_assert_eq(w.size, r.position);
        cr_assert_arr_eq(again, exact, w.size);
        struct producer_batch next = batch(99, 0, 0, 1, 1 << 20);
        cr_assert_geq(check(p, next), ERR_INVALID_PRODUCER_EPOCH);
        producers_truncate(p, 50);
        producers_free(p);
    } else {
        cr_assert(error == ERR_MALFORMED || error == ERR_NO_MEMORY);
        cr_assert_null(p);
    }
    producer_table_deinit(&t);
    cr_assert_eq(m->used_bytes, 0);
    free(exact);
    return error;
}

/* Two producers with two batches each, as bytes: producer 1 at 5, producer 2 at 5 + 69. */
static size_t encode_small(struct producer_table *t, uint8_t *bytes, size_t capacity)
{
    struct producers *p = NULL;
    for (int i = 0; i < 4; i++) {
        add(&p, t, batch(1 + i % 2, 0, i / 2, 1, i * 10));
    }
    struct writer w = writer_of(bytes, capacity);
    producers_encode(p, &w);
    cr_assert_eq(w.size, 5 + 2 * 69);
    producers_free(p);
    producer_table_deinit(t);
    return w.size;
}

Test(producers, decoding_refuses_what_no_fold_makes)
{
    enum { ONE = 5, TWO = 5 + 69, FIRST = 9, SECOND = 9 + 30 };
    static const struct {
        size_t at;
        uint64_t value;
        int size;
        const char *what;
    } cases[] = {
        {0, 2, 1, "an unknown version"},
        {1, 3, 4, "more producers than bytes"},
        {1, UINT32_MAX, 4, "a count above the limit"},
        {ONE, UINT64_MAX, 8, "a negative id"},
        {TWO, 1, 8, "an id twice"},
        {ONE + 8, 0, 1, "a producer without batches"},
        {ONE + 8, 255, 1, "more batches than bytes"},
        {ONE + FIRST, 0xffff, 2, "a negative epoch"},
        {ONE + FIRST + 2, UINT32_MAX, 4, "a negative first sequence"},
        {ONE + FIRST + 6, UINT32_MAX, 4, "a negative last sequence"},
        {ONE + FIRST + 10, UINT64_MAX, 8, "a negative offset"},
        {ONE + FIRST + 18, UINT32_MAX, 4, "a negative delta"},
        {ONE + SECOND + 10, INT64_MAX - 1, 8, "a producer behind the next one"},
        {ONE + FIRST + 10, 20, 8, "batches that do not rise"},
        {TWO + SECOND + 10, 20, 8, "producers that do not rise"},
        {TWO + FIRST + 18, 50, 4, "a batch that begins inside the one before it"},
    };
    struct memory m;
    struct producer_table t;
    begin(&t, &m);
    uint8_t bytes[256], changed[256], value[8];
    size_t size = encode_small(&t, bytes, sizeof bytes);
    cr_assert_eq(decode_any(&m, bytes, size), 0);
    for (size_t i = 0; i < array_size(cases); i++) {
        memcpy(changed, bytes, size);
        put_be64(value, cases[i].value);
        memcpy(changed + cases[i].at, value + 8 - cases[i].size, (size_t)cases[i].size);
        cr_assert_eq(decode_any(&m, changed, size), ERR_MALFORMED, "%s", cases[i].what);
    }
}

Test(producers, mutated_encodings_decode_to_an_error_or_a_valid_state)
{
    struct memory m;
    struct producer_table t;
    begin(&t, &m);
    struct producers *p = NULL;
    for (int i = 0; i < 24; i++) {
        add(&p, &t, batch(i % 4, i / 8, i / 4, 1, i * 3));
    }
    uint8_t bytes[2048], mutated[2048];
    struct writer w = writer_of(bytes, sizeof bytes);
    producers_encode(p, &w);
    finish(p, &t);
    for (size_t size = 0; size < w.size; size++) {
        cr_assert_lt(decode_any(&m, bytes, size), 0, "cut to %zu bytes", size);
    }
    int accepted = 0;
    for (size_t at = 0; at < w.size; at++) {
        for (int bit = 0; bit < 8; bit++) {
            memcpy(mutated, bytes, w.size);
            mutated[at] ^= (uint8_t)(1 << bit);
            accepted += decode_any(&m, mutated, w.size) == 0;
        }
    }
    cr_assert_gt(accepted, 0, "the checksum is the checkpoint's: other values are other states");
    struct prng random = prng_of(5);
    for (int i = 0; i < 20000; i++) {
        memcpy(mutated, bytes, w.size);
        for (uint64_t n = prng_between(&random, 1, 6); n > 0; n--) {
            mutated[prng_below(&random, w.size)] = (uint8_t)prng_next(&random);
        }
        decode_any(&m, mutated, prng_between(&random, 0, w.size));
    }
}
