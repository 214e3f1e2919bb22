/* SPDX-License-Identifier: Apache-2.0 */

/* What the producer writes is what the codec of the wire reads: records one by one, and whole
 * batches under every codec, sealed and sealed again. */
#include "producer/batch.h"

#include "base/prng.h"

#include <stdio.h>
#include <stdlib.h>

#include <criterion/criterion.h>

enum { ROOM = 1 << 20, RECORDS = 500 };

struct sample {
    char key[64], value[600], name[3][16], header[3][32];
    leat_header headers[3];
    leat_record record;
};

/* A record with every shape of key, value and headers. */
static void sample_make(struct sample *s, struct prng *p, int number)
{
    s->record = (leat_record)LEAT_RECORD_INIT;
    prng_fill(p, s->key, sizeof s->key);
    for (size_t i = 0; i < sizeof s->value; i++) {
        s->value[i] = (char)('a' + prng_below(p, 4));
    }
    s->record.key = prng_chance(p, 1, 4) ? (leat_bytes){NULL, 0}
                                         : (leat_bytes){s->key, prng_below(p, sizeof s->key)};
    s->record.value = prng_chance(p, 1, 8) ? (leat_bytes){NULL, 0}
                                           : (leat_bytes){s->value, prng_below(p, sizeof s->value)};
    s->record.timestamp_ms = 1700000000000 + (int64_t)prng_below(p, 100000) - 50000;
    s->record.header_count = prng_below(p, 4);
    s->record.headers = s->headers;
    for (size_t i = 0; i < s->record.header_count; i++) {
        sprintf(s->name[i], "h%d", number % 7);
        prng_fill(p, s->header[i], sizeof s->header[i]);
        s->headers[i].name = s->name[i];
        s->headers[i].value = prng_chance(p, 1, 4) ? (leat_bytes){NULL, 0}
                                                   : (leat_bytes){s->header[i], prng_below(p, 32)};
    }
}

static void expect_bytes(struct wire_bytes got, leat_bytes wanted, const char *what, int record)
{
    cr_assert_eq(got.size < 0, wanted.data == NULL, "%s of record %d: null", what, record);
    if (wanted.data) {
        cr_assert_eq((size_t)got.size, wanted.len, "%s of record %d", what, record);
        cr_assert_eq(wanted.len ? memcmp(got.data, wanted.data, wanted.len) : 0, 0,
                     "%s of record %d", what, record);
    }
}

static void expect_records(const struct sample *samples, struct bytes batch)
{
    struct memory memory;
    struct wire_writer plain;
    struct batch_header h;
    memory_init(&memory, SIZE_MAX);
    wire_writer_init(&plain, &memory, ROOM);
    cr_assert_eq(batch_check(&h, batch.data, batch.size, BATCH_FROM_PRODUCER), 0);
    struct bytes records = bytes_of(batch.data + BATCH_HEADER_SIZE, batch.size - BATCH_HEADER_SIZE);
    if (batch_codec(&h) != CODEC_NONE) {
        struct decompress_limits limits = decompress_limits_of(ROOM);
        cr_assert_eq(decompress_append(batch_codec(&h), records, &limits, &memory, &plain), 0);
        records = bytes_of(plain.data, plain.size);
    }
    struct record_reader reader;
    struct record r;
    int count = 0;
    record_reader_init(&reader, &h, records);
    while (record_next(&reader, &r) == 1) {
        const leat_record *wanted = &samples[count].record;
        struct record_header header;
        cr_assert_eq(r.offset, count);
        cr_assert_eq(r.timestamp, wanted->timestamp_ms);
        expect_bytes(r.key, wanted->key, "key", count);
        expect_bytes(r.value, wanted->value, "value", count);
        cr_assert_eq((size_t)r.header_count, wanted->header_count);
        for (size_t i = 0; record_header_next(&r, &header); i++) {
            cr_assert(bytes_equal(header.key, bytes_of_string(wanted->headers[i].name)));
            expect_bytes(header.value, wanted->headers[i].value, "header", count);
        }
        count++;
    }
    cr_assert_eq(count, RECORDS);
    wire_writer_deinit(&plain);
    memory_drop(&memory);
}

Test(batch, records_are_read_back_under_every_codec)
{
    struct prng prng = prng_of(7);
    struct memory memory;
    struct sample *samples = calloc(RECORDS, sizeof *samples);
    memory_init(&memory, SIZE_MAX);
    for (enum codec codec = CODEC_NONE; codec < CODEC_COUNT; codec++) {
        struct batch_packer packer = {codec, CODEC_LEVEL_DEFAULT, &memory, {0}};
        struct producer_batch b = {
            .data = malloc(ROOM), .size = BATCH_HEADER_SIZE, .capacity = ROOM};
        for (int i = 0; i < RECORDS; i++) {
            size_t before = b.size;
            sample_make(&samples[i], &prng, i);
            producer_batch_append(&b, &samples[i].record, samples[i].record.timestamp_ms);
            cr_assert_leq(b.size - before, record_bound(&samples[i].record), "the bound is one");
        }
        cr_assert_eq(producer_batch_seal(&b, &packer, 77, 3, 12), 0);
        cr_assert_eq(b.packed != NULL, codec != CODEC_NONE, "%s", codec_name(codec));
        expect_records(samples, producer_batch_bytes(&b));
        /* Under another id the records stay and the checksum follows. */
        cr_assert_eq(producer_batch_seal(&b, &packer, 78, 0, 0), 0);
        struct batch_header h;
        struct bytes bytes = producer_batch_bytes(&b);
        cr_assert_eq(batch_check(&h, bytes.data, bytes.size, BATCH_FROM_PRODUCER), 0);
        cr_assert_eq(h.producer_id, 78);
        cr_assert_eq(h.base_sequence, 0);
        expect_records(samples, bytes);
        memory_free(&memory, b.packed);
        free(b.data);
        codec_kept_free(&packer.kept);
    }
    free(samples);
    memory_drop(&memory);
}

Test(batch, what_does_not_shrink_is_left_plain)
{
    struct memory memory;
    struct batch_header h;
    struct producer_batch b = {.data = malloc(ROOM), .size = BATCH_HEADER_SIZE, .capacity = ROOM};
    leat_record r = LEAT_RECORD_INIT;
    r.value = (leat_bytes){"x", 1};
    memory_init(&memory, SIZE_MAX);
    struct batch_packer packer = {CODEC_ZSTD, CODEC_LEVEL_DEFAULT, &memory, {0}};
    producer_batch_append(&b, &r, 5);
    cr_assert_eq(producer_batch_seal(&b, &packer, -1, -1, -1), 0);
    codec_kept_free(&packer.kept);
    struct bytes bytes = producer_batch_bytes(&b);
    cr_assert_eq(batch_check(&h, bytes.data, bytes.size, BATCH_FROM_PRODUCER), 0);
    cr_assert_eq(batch_codec(&h), CODEC_NONE);
    free(b.data);
    memory_drop(&memory);
}
