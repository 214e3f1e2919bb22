/* SPDX-License-Identifier: Apache-2.0 */

/* The rules one by one, then random histories against a model: for every offset of the log the
 * epoch that it was written in. */
#include "base/errors.h"
#include "base/memory.h"
#include "base/prng.h"
#include "log/epochs.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static void begin(struct epochs *e, struct memory *m, int32_t epoch, int64_t offset)
{
    cr_assert_eq(epochs_begin(e, m, epoch, offset), 0);
}

static void expect_end(const struct epochs *e, int32_t epoch, int64_t log_end, int32_t found,
                       int64_t end)
{
    int32_t got_found = -7;
    int64_t got_end = epochs_end(e, epoch, log_end, &got_found);
    cr_assert_eq(got_found, found, "epoch %d: found %d, not %d", epoch, got_found, found);
    cr_assert_eq(got_end, end, "epoch %d: end %ld, not %ld", epoch, (long)got_end, (long)end);
}

Test(epochs, an_empty_one_knows_nothing)
{
    struct epochs e = {0};
    cr_assert_eq(epochs_latest(&e), -1);
    cr_assert_eq(epochs_at(&e, 0), -1);
    expect_end(&e, 5, 10, -1, -1);
    epochs_truncate_end(&e, 0);
    epochs_truncate_start(&e, 10);
}

Test(epochs, ends_are_the_next_start_or_the_log_end)
{
    struct memory m;
    memory_init(&m, 1 << 20);
    struct epochs e = {0};
    begin(&e, &m, 2, 0);
    begin(&e, &m, 5, 10);
    begin(&e, &m, 6, 30);
    expect_end(&e, 1, 50, -1, -1);
    expect_end(&e, 2, 50, 2, 10);
    expect_end(&e, 4, 50, 2, 10); /* H4: the largest epoch at or below the one asked for */
    expect_end(&e, 5, 50, 5, 30);
    expect_end(&e, 6, 50, 6, 50);
    expect_end(&e, 9, 50, 6, 50);
    cr_assert_eq(epochs_at(&e, 9), 2);
    cr_assert_eq(epochs_at(&e, 10), 5);
    cr_assert_eq(epochs_at(&e, 1000), 6);
    begin(&e, &m, 6, 40);
    begin(&e, &m, 3, 40);
    cr_assert_eq(e.count, 3, "what is not newer is harmless");
    epochs_free(&e, &m);
    cr_assert_eq(m.used_bytes, 0);
}

Test(epochs, an_epoch_in_which_nothing_was_written_is_replaced)
{
    struct memory m;
    memory_init(&m, 1 << 20);
    struct epochs e = {0};
    begin(&e, &m, 1, 0);
    begin(&e, &m, 2, 10);
    begin(&e, &m, 3, 10);
    cr_assert_eq(e.count, 2);
    expect_end(&e, 2, 20, 1, 10);
    expect_end(&e, 3, 20, 3, 20);
    epochs_free(&e, &m);
}

Test(epochs, truncation_at_both_ends)
{
    struct memory m;
    memory_init(&m, 1 << 20);
    struct epochs e = {0};
    begin(&e, &m, 1, 0);
    begin(&e, &m, 2, 10);
    begin(&e, &m, 3, 20);
    epochs_truncate_end(&e, 20);
    cr_assert_eq(epochs_latest(&e), 2);
    epochs_truncate_start(&e, 4);
    cr_assert_eq(epochs_at(&e, 3), -1);
    cr_assert_eq(epochs_at(&e, 4), 1);
    epochs_truncate_start(&e, 10);
    cr_assert_eq(e.count, 1, "nothing is left of epoch 1");
    epochs_truncate_start(&e, 15);
    cr_assert_eq(e.entries[0].start_offset, 15);
    epochs_truncate_end(&e, 15);
    cr_assert_eq(e.count, 0);
    epochs_free(&e, &m);
}

Test(epochs, beyond_the_limit_the_oldest_go)
{
    struct memory m;
    memory_init(&m, 1 << 20);
    struct epochs e = {0};
    for (int i = 0; i < EPOCHS_MAX + 10; i++) {
        begin(&e, &m, i, i * 2);
    }
    cr_assert_eq(e.count, EPOCHS_MAX);
    cr_assert_eq(epochs_at(&e, 19), -1);
    cr_assert_eq(epochs_at(&e, 20), 10);
    cr_assert_eq(epochs_latest(&e), EPOCHS_MAX + 9);
    epochs_free(&e, &m);
}

Test(epochs, no_memory_changes_nothing)
{
    struct memory m;
    memory_init(&m, 0);
    struct epochs e = {0};
    cr_assert_eq(epochs_begin(&e, &m, 1, 0), ERR_NO_MEMORY);
    m.budget_bytes = 4096;
    for (int i = 0; i < 4; i++) {
        begin(&e, &m, i, i);
    }
    m.budget_bytes = m.used_bytes;
    cr_assert_eq(epochs_begin(&e, &m, 9, 9), ERR_NO_MEMORY);
    cr_assert_eq(e.count, 4);
    cr_assert_eq(epochs_latest(&e), 3);
    epochs_free(&e, &m);
}

/* --- the model ------------------------------------------------------------------------------- */

enum { MODEL_OFFSETS = 2000 };

struct model {
    int32_t epochs[MODEL_OFFSETS]; /* of each record */
    int64_t start, end;
    int32_t pending; /* begun, nothing written yet: -1 none */
};

/* The largest epoch <= `epoch` that is known, and the first offset behind its last record. */
static int64_t model_end(const struct model *o, int32_t epoch, int32_t *found)
{
    *found = -1;
    int64_t end = -1;
    for (int64_t at = o->start; at < o->end; at++) {
        if (o->epochs[at] <= epoch) {
            *found = o->epochs[at];
            end = at + 1;
        }
    }
    if (o->pending >= 0 && o->pending <= epoch) {
        *found = o->pending;
        end = o->end;
    }
    return end;
}

static void model_compare(const struct model *o, const struct epochs *e, struct memory *m)
{
    for (int64_t at = o->start; at < o->end; at++) {
        cr_assert_eq(epochs_at(e, at), o->epochs[at], "offset %ld", (long)at);
    }
    for (int32_t epoch = 0; epoch < epochs_latest(e) + 2; epoch++) {
        int32_t found;
        int64_t end = model_end(o, epoch, &found);
        expect_end(e, epoch, o->end, found, end);
    }
    uint8_t bytes[8192], again[8192];
    struct writer w = writer_of(bytes, sizeof bytes), w2 = writer_of(again, sizeof again);
    epochs_encode(e, &w);
    cr_assert_eq(w.size, epochs_size(e));
    struct reader r = reader_of(bytes, w.size);
    struct epochs decoded = {0};
    cr_assert_eq(epochs_decode(&decoded, m, &r), 0);
    cr_assert_eq(r.position, w.size);
    epochs_encode(&decoded, &w2);
    cr_assert_eq(w2.size, w.size);
    cr_assert_arr_eq(again, bytes, w.size);
    epochs_free(&decoded, m);
}

Test(epochs, random_histories_agree_with_the_model)
{
    struct model *o = malloc(sizeof *o);
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct prng random = prng_of(seed);
        struct memory m;
        memory_init(&m, 1 << 20);
        *o = (struct model){.pending = -1};
        struct epochs e = {0};
        int32_t epoch = -1;
        for (int step = 0; step < 120; step++) {
            uint64_t what = prng_below(&random, 10);
            if (what < 3 || epoch < 0) {
                epoch += (int32_t)prng_between(&random, 1, 3);
                begin(&e, &m, epoch, o->end);
                o->pending = epoch;
            } else if (what < 8) {
                for (uint64_t n = prng_between(&random, 1, 8); n > 0; n--) {
                    o->epochs[o->end++] = epoch;
                }
                o->pending = -1;
            } else if (what == 8) { /* a follower cuts: the end and what was begun there go */
                int64_t cut = (int64_t)prng_between(&random, (uint64_t)o->start, (uint64_t)o->end);
                epochs_truncate_end(&e, cut);
                o->end = cut;
                o->pending = -1;
                begin(&e, &m, ++epoch, cut);
                o->pending = epoch;
            } else if (o->pending < 0) {
                o->start =
                    (int64_t)prng_between(&random, (uint64_t)o->start,
                                          (uint64_t)(o->end > o->start ? o->end - 1 : o->end));
                epochs_truncate_start(&e, o->start);
            }
            model_compare(o, &e, &m);
        }
        epochs_free(&e, &m);
        cr_assert_eq(m.used_bytes, 0);
    }
    free(o);
}

static int decode_any(struct memory *m, const uint8_t *bytes, size_t size)
{
    uint8_t *exact = malloc(size ? size : 1);
    memcpy(exact, bytes, size);
    struct reader r = reader_of(exact, size);
    struct epochs e = {0};
    int error = epochs_decode(&e, m, &r);
    if (error == 0) {
        for (uint32_t i = 0; i < e.count; i++) {
            cr_assert_geq(e.entries[i].epoch, 0);
            cr_assert_geq(e.entries[i].start_offset, 0);
            cr_assert(i == 0 || (e.entries[i].epoch > e.entries[i - 1].epoch &&
                                 e.entries[i].start_offset > e.entries[i - 1].start_offset));
        }
        epochs_free(&e, m);
    }
    cr_assert_eq(m->used_bytes, 0);
    free(exact);
    return error;
}

Test(epochs, mutated_encodings_decode_to_an_error_or_a_valid_state)
{
    struct memory m;
    memory_init(&m, 1 << 20);
    struct epochs e = {0};
    for (int i = 0; i < 20; i++) {
        begin(&e, &m, i * 2, i * 7);
    }
    uint8_t bytes[512], mutated[512];
    struct writer w = writer_of(bytes, sizeof bytes);
    epochs_encode(&e, &w);
    epochs_free(&e, &m);
    for (size_t size = 0; size < w.size; size++) {
        cr_assert_eq(decode_any(&m, bytes, size), ERR_MALFORMED, "cut to %zu bytes", size);
    }
    struct prng random = prng_of(5);
    for (int i = 0; i < 20000; i++) {
        memcpy(mutated, bytes, w.size);
        for (uint64_t n = prng_between(&random, 1, 6); n > 0; n--) {
            mutated[prng_below(&random, w.size)] = (uint8_t)prng_next(&random);
        }
        decode_any(&m, mutated, prng_between(&random, 0, w.size));
    }
    mutated[0] = 1; /* a count that would need gigabytes is refused before it is allocated */
    put_be32(mutated + 1, UINT32_MAX);
    cr_assert_eq(decode_any(&m, mutated, w.size), ERR_MALFORMED);
}
