/* SPDX-License-Identifier: Apache-2.0 */

/* Look-ups against a linear model of a random segment; the files byte by byte, and damaged. */
#include "base/crc32c.h"
#include "base/errors.h"
#include "base/memory.h"
#include "base/prng.h"
#include "log/index.h"

#include <criterion/criterion.h>
#include <stdlib.h>

enum { BATCHES_MAX = 400, INTERVAL = 4096 };

static const struct uuid topic = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};

struct model_batch {
    int64_t offset;
    uint32_t position, size;
    int64_t max_timestamp;
};

struct model {
    struct model_batch batches[BATCHES_MAX];
    int count;
    uint32_t size;
};

static void model_fill(struct model *o, struct prng *random, struct index *x, struct memory *m,
                       uint32_t interval)
{
    *o = (struct model){0};
    int64_t offset = 1000;
    o->count = (int)prng_between(random, 1, BATCHES_MAX);
    for (int i = 0; i < o->count; i++) {
        struct model_batch *b = &o->batches[i];
        *b = (struct model_batch){offset, o->size, (uint32_t)prng_between(random, 61, 3000),
                                  (int64_t)prng_below(random, 500) + i - 20};
        offset += (int64_t)prng_between(random, 1, 9);
        o->size += b->size;
        cr_assert_eq(index_add(x, m, b->offset, b->position, b->size, b->max_timestamp, interval),
                     0);
    }
}

/* From the position that the index gives, a scan must find what a scan of everything finds, and
 * pass at most one interval and the batch in front of it. */
static void expect_offset(const struct model *o, const struct index *x, int64_t offset,
                          uint32_t interval)
{
    int wanted = -1;
    for (int i = 0; i < o->count; i++) {
        if (o->batches[i].offset <= offset) {
            wanted = i;
        }
    }
    uint32_t from = index_find(x, offset).position;
    struct index_entry entry = index_find(x, offset);
    cr_assert_eq(entry.position, from);
    if (wanted < 0) {
        cr_assert_eq(from, 0);
        cr_assert_eq(entry.offset, -1);
        return;
    }
    cr_assert_leq(from, o->batches[wanted].position);
    cr_assert_lt(o->batches[wanted].position - from, interval + 3000);
    bool boundary = false;
    for (int i = 0; i < o->count; i++) {
        boundary |= o->batches[i].position == from && o->batches[i].offset == entry.offset;
    }
    cr_assert(boundary, "offset %ld: position %u is inside a batch", (long)offset, from);
}

static void expect_time(const struct model *o, const struct index *x, int64_t time)
{
    int wanted = -1;
    for (int i = o->count; i-- > 0;) {
        if (o->batches[i].max_timestamp >= time) {
            wanted = i;
        }
    }
    uint32_t from = index_position_for_time(x, time);
    if (wanted < 0) {
        cr_assert(from == UINT32_MAX, "time %ld is after everything", (long)time);
    } else {
        cr_assert_leq(from, o->batches[wanted].position, "time %ld", (long)time);
    }
}

Test(index, lookups_agree_with_a_scan_of_everything)
{
    struct model *o = malloc(sizeof *o);
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct prng random = prng_of(seed);
        struct memory m;
        memory_init(&m, 1 << 20);
        struct index x = {0};
        uint32_t interval = prng_chance(&random, 1, 4) ? 1 : INTERVAL;
        model_fill(o, &random, &x, &m, interval);
        cr_assert_eq(x.indexed_position, o->size);
        for (int64_t offset = 990; offset < 1010 + 9 * o->count; offset++) {
            expect_offset(o, &x, offset, interval);
        }
        for (int64_t time = 0; time < 1000; time++) {
            expect_time(o, &x, time);
        }
        index_free(&x, &m);
        cr_assert_eq(m.used_bytes, 0);
    }
    free(o);
}

Test(index, an_empty_one_starts_at_the_beginning)
{
    struct index x = {0};
    cr_assert_eq(index_find(&x, 77).position, 0);
    cr_assert_eq(index_position_for_time(&x, 0), UINT32_MAX);
}

Test(index, truncation_forgets_and_goes_on)
{
    struct model *o = malloc(sizeof *o);
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct prng random = prng_of(seed);
        struct memory m;
        memory_init(&m, 1 << 20);
        struct index x = {0};
        model_fill(o, &random, &x, &m, INTERVAL);
        int kept = (int)prng_below(&random, (uint64_t)o->count);
        uint32_t cut = o->batches[kept].position;
        int64_t next = o->batches[kept].offset;
        index_truncate(&x, cut);
        o->count = kept;
        cr_assert_eq(x.indexed_position, cut);
        for (int64_t time = 0; time < 1000; time += 7) {
            int64_t newest = -1;
            for (int i = 0; i < o->count; i++) {
                newest =
                    o->batches[i].max_timestamp > newest ? o->batches[i].max_timestamp : newest;
            }
            if (time <= newest) {
                expect_time(o, &x, time);
            }
        }
        cr_assert_eq(index_add(&x, &m, next, cut, 100, 5000, INTERVAL), 0);
        cr_assert_eq(x.max_timestamp, 5000);
        cr_assert_leq(index_position_for_time(&x, 5000), cut);
        index_free(&x, &m);
    }
    free(o);
}

Test(index, without_memory_it_is_only_sparser)
{
    struct memory m;
    memory_init(&m, 0);
    struct index x = {0};
    cr_assert_eq(index_add(&x, &m, 0, 0, 5000, 10, INTERVAL), ERR_NO_MEMORY);
    cr_assert_eq(index_add(&x, &m, 1, 5000, 5000, 30, INTERVAL), ERR_NO_MEMORY);
    m.budget_bytes = 1 << 20;
    cr_assert_eq(index_add(&x, &m, 2, 10000, 5000, 20, INTERVAL), 0);
    cr_assert_eq(index_find(&x, 1).position, 0);
    cr_assert_eq(index_find(&x, 2).position, 10000);
    cr_assert_eq(index_position_for_time(&x, 25), 0, "the second batch is the first of that time");
    cr_assert_eq(index_position_for_time(&x, 31), UINT32_MAX);
    index_free(&x, &m);
}

/* --- files ------------------------------------------------------------------------------------ */

static struct index small_index(struct memory *m)
{
    struct index x = {0};
    for (int i = 0; i < 6; i++) {
        cr_assert_eq(index_add(&x, m, 1000 + i * 3, (uint32_t)i * 2500, 2500, 100 - i, INTERVAL),
                     0);
    }
    return x;
}

Test(index, file_layout_is_the_table)
{
    struct memory m;
    memory_init(&m, 1 << 20);
    struct index x = small_index(&m);
    uint8_t bytes[512];
    struct writer w = writer_of(bytes, sizeof bytes);
    index_encode(&x, topic, 7, 1000, &w);
    cr_assert_eq(w.size, index_file_size(&x));
    cr_assert_eq(x.count, 3);
    cr_assert_eq(w.size, 56 + 3 * 20);
    cr_assert_arr_eq(bytes, "LIX1", 4);
    cr_assert_eq(get_be32(bytes + 4), crc32c(0, bytes + 8, w.size - 8));
    cr_assert_arr_eq(bytes + 8, topic.bytes, 16);
    cr_assert_eq(get_be32(bytes + 24), 7);
    cr_assert_eq(get_be64(bytes + 28), 1000);
    cr_assert_eq(get_be32(bytes + 36), 15000);
    cr_assert_eq(get_be64(bytes + 40), 100);
    cr_assert_eq(get_be32(bytes + 48), 3);
    cr_assert_eq(get_be32(bytes + 52), 0);
    cr_assert_eq(get_be64(bytes + 56), 1000);
    cr_assert_eq(get_be32(bytes + 64), 0);
    cr_assert_eq((int64_t)get_be64(bytes + 68), -1);
    cr_assert_eq(get_be64(bytes + 76), 1006);
    cr_assert_eq(get_be32(bytes + 84), 5000);
    cr_assert_eq(get_be64(bytes + 88), 100);
    index_free(&x, &m);
}

static int decode(struct index *out, struct memory *m, const uint8_t *bytes, size_t size,
                  struct uuid id, int32_t partition, int64_t base, uint32_t segment_size)
{
    uint8_t *exact = malloc(size ? size : 1);
    memcpy(exact, bytes, size);
    struct reader r = reader_of(exact, size);
    int error = index_decode(out, m, id, partition, base, segment_size, &r);
    cr_assert_eq(r.position, error ? 0 : index_file_size(out));
    free(exact);
    return error;
}

Test(index, file_is_bound_to_its_segment_and_a_fixpoint)
{
    struct memory m;
    memory_init(&m, 1 << 20);
    struct index x = small_index(&m), y = {0};
    uint8_t bytes[512], again[512];
    struct writer w = writer_of(bytes, sizeof bytes), w2 = writer_of(again, sizeof again);
    index_encode(&x, topic, 7, 1000, &w);
    struct uuid other = topic;
    other.bytes[15]++;
    cr_assert_eq(decode(&y, &m, bytes, w.size, other, 7, 1000, 15000), ERR_MALFORMED);
    cr_assert_eq(decode(&y, &m, bytes, w.size, topic, 8, 1000, 15000), ERR_MALFORMED);
    cr_assert_eq(decode(&y, &m, bytes, w.size, topic, 7, 999, 15000), ERR_MALFORMED);
    cr_assert_eq(decode(&y, &m, bytes, w.size, topic, 7, 1000, 15001), ERR_MALFORMED);
    cr_assert_eq(decode(&y, &m, bytes, w.size, topic, 7, 1000, 15000), 0);
    index_encode(&y, topic, 7, 1000, &w2);
    cr_assert_eq(w2.size, w.size);
    cr_assert_arr_eq(again, bytes, w.size);
    index_free(&y, &m);
    cr_assert_eq(decode(&y, &m, bytes, sizeof bytes, topic, 7, 1000, 15000), 0,
                 "the padding of a block behind it is not its business");
    index_free(&y, &m);
    index_free(&x, &m);
    cr_assert_eq(m.used_bytes, 0);
}

Test(index, every_flipped_bit_and_every_cut_is_refused)
{
    struct memory m;
    memory_init(&m, 1 << 20);
    struct index x = small_index(&m), y = {0};
    uint8_t bytes[512];
    struct writer w = writer_of(bytes, sizeof bytes);
    index_encode(&x, topic, 7, 1000, &w);
    index_free(&x, &m);
    for (size_t size = 0; size < w.size; size++) {
        cr_assert_eq(decode(&y, &m, bytes, size, topic, 7, 1000, 15000), ERR_MALFORMED);
    }
    for (size_t bit = 0; bit < w.size * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        cr_assert_eq(decode(&y, &m, bytes, w.size, topic, 7, 1000, 15000), ERR_MALFORMED, "bit %zu",
                     bit);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    cr_assert_eq(m.used_bytes, 0);
}

/* Mutations whose sum was made right again: only the invariants stand between them and look-ups. */
Test(index, resealed_mutations_decode_to_an_error_or_a_valid_index)
{
    struct memory m;
    memory_init(&m, 1 << 20);
    struct index x = small_index(&m), y = {0};
    uint8_t bytes[512], mutated[512];
    struct writer w = writer_of(bytes, sizeof bytes);
    index_encode(&x, topic, 7, 1000, &w);
    index_free(&x, &m);
    struct prng random = prng_of(11);
    int accepted = 0, refused = 0;
    for (int i = 0; i < 20000; i++) {
        memcpy(mutated, bytes, w.size);
        size_t at = prng_between(&random, 36, w.size - 1);
        mutated[at] ^= (uint8_t)prng_between(&random, 1, 255);
        put_be32(mutated + 4, crc32c(0, mutated + 8, w.size - 8));
        if (decode(&y, &m, mutated, w.size, topic, 7, 1000, 15000) < 0) {
            refused++;
            continue;
        }
        accepted++;
        for (uint32_t e = 0; e < y.count; e++) {
            cr_assert_lt(y.entries[e].position, 15000);
            cr_assert(e == 0 || (y.entries[e].offset > y.entries[e - 1].offset &&
                                 y.entries[e].position > y.entries[e - 1].position &&
                                 y.entries[e].max_timestamp >= y.entries[e - 1].max_timestamp));
        }
        index_free(&y, &m);
    }
    cr_assert_gt(accepted, 100);
    cr_assert_gt(refused, 100);
    cr_assert_eq(m.used_bytes, 0);
}

Test(sums, a_piece_knows_where_it_belongs)
{
    uint8_t data[3] = {1, 2, 3}, all[32 + 3] = {0};
    memcpy(all, topic.bytes, 16);
    put_be32(all + 16, 7);
    put_be64(all + 20, 1000);
    put_be32(all + 28, 2 * SUMS_PIECE);
    memcpy(all + 32, data, 3);
    uint32_t sum = sums_piece(topic, 7, 1000, 2 * SUMS_PIECE, data, 3);
    cr_assert_eq(sum, crc32c(0, all, sizeof all));
    struct uuid other = topic;
    other.bytes[0]++;
    cr_assert_neq(sum, sums_piece(other, 7, 1000, 2 * SUMS_PIECE, data, 3));
    cr_assert_neq(sum, sums_piece(topic, 8, 1000, 2 * SUMS_PIECE, data, 3));
    cr_assert_neq(sum, sums_piece(topic, 7, 1001, 2 * SUMS_PIECE, data, 3));
    cr_assert_neq(sum, sums_piece(topic, 7, 1000, 3 * SUMS_PIECE, data, 3));
}

Test(sums, file_layout_and_damage)
{
    uint32_t sums[3] = {0x11111111, 0x22222222, 0x33333333}, back[3] = {0};
    uint32_t size = 2 * SUMS_PIECE + 1;
    cr_assert_eq(sums_file_size(0), 40);
    cr_assert_eq(sums_file_size(2 * SUMS_PIECE), 48);
    cr_assert_eq(sums_file_size(UINT32_MAX), 40 + 4 * 65536);
    uint8_t bytes[64];
    struct writer w = writer_of(bytes, sizeof bytes);
    sums_encode(sums, size, topic, 7, 1000, &w);
    cr_assert_eq(w.size, 52);
    cr_assert_eq(w.size, sums_file_size(size));
    cr_assert_arr_eq(bytes, "LSM1", 4);
    cr_assert_eq(get_be32(bytes + 4), crc32c(0, bytes + 8, w.size - 8));
    cr_assert_arr_eq(bytes + 8, topic.bytes, 16);
    cr_assert_eq(get_be32(bytes + 24), 7);
    cr_assert_eq(get_be64(bytes + 28), 1000);
    cr_assert_eq(get_be32(bytes + 36), size);
    cr_assert_eq(get_be32(bytes + 40), 0x11111111);
    cr_assert_eq(get_be32(bytes + 48), 0x33333333);
    struct reader r = reader_of(bytes, w.size);
    cr_assert_eq(sums_decode(back, size, topic, 7, 1000, &r), 0);
    cr_assert_arr_eq(back, sums, sizeof sums);
    cr_assert_eq(reader_left(&r), 0);
    r = reader_of(bytes, w.size);
    cr_assert_eq(sums_decode(back, size - 1, topic, 7, 1000, &r), ERR_MALFORMED);
    cr_assert_eq(sums_decode(back, size, topic, 6, 1000, &r), ERR_MALFORMED);
    for (size_t bit = 0; bit < w.size * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        r = reader_of(bytes, w.size);
        cr_assert_eq(sums_decode(back, size, topic, 7, 1000, &r), ERR_MALFORMED, "bit %zu", bit);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t cut = 0; cut < w.size; cut++) {
        r = reader_of(bytes, cut);
        cr_assert_eq(sums_decode(back, size, topic, 7, 1000, &r), ERR_MALFORMED);
    }
}
