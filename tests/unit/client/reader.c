/* SPDX-License-Identifier: Apache-2.0 */

/* Any bytes that a broker may send as records end in records or an error, never in a fault; what is
 * whole is read exactly. */
#include "consumer/reader.h"

#include "base/errors.h"
#include "base/prng.h"
#include "wire/batch.h"

#include <stdio.h>
#include <stdlib.h>

#include <criterion/criterion.h>

struct log {
    struct memory memory;
    struct wire_writer bytes;
    int64_t end;
};

static void log_open(struct log *l)
{
    *l = (struct log){0};
    memory_init(&l->memory, SIZE_MAX);
    wire_writer_init(&l->bytes, &l->memory, 64 << 20);
}

static void log_close(struct log *l)
{
    wire_writer_deinit(&l->bytes);
    memory_drop(&l->memory);
}

/* Adds a batch of `count` records with their offsets as values. */
static void log_add(struct log *l, int count, enum codec codec, int64_t producer_id,
                    uint16_t attributes)
{
    struct batch_builder b;
    struct batch_options o = batch_options_default();
    struct bytes out;
    char value[32];
    batch_builder_init(&b, &l->memory, 16 << 20);
    for (int i = 0; i < count; i++) {
        int size = sprintf(value, "%lld", (long long)l->end + i);
        struct record_input r = {
            .timestamp = 1000 + i, .key = {NULL, -1}, .value = {(const uint8_t *)value, size}};
        cr_assert_eq(batch_append(&b, &r), 0);
    }
    o.codec = codec;
    o.base_offset = l->end;
    o.attributes = attributes;
    o.producer_id = producer_id;
    o.producer_epoch = producer_id < 0 ? -1 : 0;
    o.leader_epoch = 4;
    cr_assert_eq(batch_finish(&b, &o, &out), 0);
    wire_put(&l->bytes, out.data, out.size);
    l->end += count;
    batch_builder_deinit(&b);
}

static struct chunk_reader reader_of_log(struct log *l, struct plain_store *store, int64_t from)
{
    struct chunk_reader r;
    plain_store_init(store, &l->memory);
    chunk_reader_open(&r, bytes_of(l->bytes.data, l->bytes.size), from, store);
    r.check_crcs = true;
    r.batch_max_bytes = 1 << 20;
    return r;
}

Test(reader, records_of_all_codecs_from_any_offset)
{
    struct log l;
    log_open(&l);
    for (int i = 0; i < 20; i++) {
        log_add(&l, 1 + i * 7 % 30, (enum codec)(i % CODEC_COUNT), -1, 0);
    }
    for (int64_t from = 0; from <= l.end; from++) {
        struct plain_store store;
        struct chunk_reader r = reader_of_log(&l, &store, from);
        struct record record;
        int64_t expected = from;
        while (chunk_reader_next(&r, &record) == 1) {
            char value[32];
            cr_assert_eq(record.offset, expected);
            int size = sprintf(value, "%lld", (long long)expected);
            cr_assert_eq(record.value.size, size);
            cr_assert_eq(memcmp(record.value.data, value, (size_t)size), 0);
            expected++;
        }
        cr_assert_eq(expected, l.end);
        cr_assert_eq(r.next_offset, l.end);
        plain_store_deinit(&store);
        cr_assert_eq(store.bytes, 0);
    }
    log_close(&l);
}

/* Reads one batch to its end and says where its first record lay. */
static const uint8_t *read_batch(struct chunk_reader *r, int count)
{
    const uint8_t *first = NULL;
    struct record record;
    for (int i = 0; i < count; i++) {
        cr_assert_eq(chunk_reader_next(r, &record), 1);
        first = first ? first : record.value.data;
    }
    return first;
}

Test(reader, memory_of_a_batch_serves_the_next_but_not_while_it_is_lent)
{
    enum { COUNT = 100 };
    struct log l;
    struct plain_store store;
    log_open(&l);
    for (int i = 0; i < 12; i++) {
        log_add(&l, COUNT, CODEC_LZ4, -1, 0);
    }
    size_t before = l.memory.used_bytes;
    struct chunk_reader r = reader_of_log(&l, &store, 0);
    const uint8_t *one = read_batch(&r, COUNT), *two = read_batch(&r, COUNT);
    cr_assert_neq(one, two);
    struct record record;
    cr_assert_eq(chunk_reader_next(&r, &record), 1); /* of the third */
    cr_assert(record.value.data != one && record.value.data != two);
    plain_store_release(&store);
    cr_assert_eq(store.spare_count, 2);
    cr_assert_eq(record.value.data[0], '2'); /* of offset 200: it is being read */
    read_batch(&r, COUNT - 1);
    const uint8_t *again = read_batch(&r, COUNT);
    cr_assert(again == one || again == two);
    for (int i = 4; i < 12; i++) {
        read_batch(&r, COUNT);
    }
    cr_assert_eq(chunk_reader_next(&r, &record), 0);
    plain_store_release(&store);
    cr_assert_eq(store.spare_count, PLAIN_SPARES_MAX);
    plain_store_deinit(&store);
    cr_assert_eq(l.memory.used_bytes, before);
    log_close(&l);
}

Test(reader, memory_of_a_large_batch_is_not_kept)
{
    struct log l;
    struct plain_store store;
    log_open(&l);
    log_add(&l, 200000, CODEC_LZ4, -1, 0);
    struct chunk_reader r = reader_of_log(&l, &store, 0);
    r.batch_max_bytes = 16 << 20;
    read_batch(&r, 200000);
    struct record record;
    cr_assert_eq(chunk_reader_next(&r, &record), 0);
    cr_assert_gt(store.bytes, PLAIN_SPARE_BYTES);
    plain_store_release(&store);
    cr_assert_eq(store.spare_count, 0);
    log_close(&l);
}

Test(reader, aborted_transactions_and_markers_are_left_out)
{
    struct log l;
    struct plain_store store;
    struct record record;
    log_open(&l);
    log_add(&l, 2, CODEC_NONE, 7, BATCH_TRANSACTIONAL);                 /* 0, 1: aborted */
    log_add(&l, 2, CODEC_NONE, 8, BATCH_TRANSACTIONAL);                 /* 2, 3: committed */
    log_add(&l, 1, CODEC_NONE, 7, BATCH_TRANSACTIONAL | BATCH_CONTROL); /* 4 */
    log_add(&l, 2, CODEC_NONE, 7, BATCH_TRANSACTIONAL); /* 5, 6: the next one, committed */
    log_add(&l, 1, CODEC_NONE, 8, BATCH_TRANSACTIONAL | BATCH_CONTROL); /* 7 */
    log_add(&l, 1, CODEC_NONE, -1, 0);                                  /* 8 */
    for (int uncommitted = 0; uncommitted < 2; uncommitted++) {
        struct aborted aborted[] = {{7, 0}};
        struct chunk_reader r = reader_of_log(&l, &store, 0);
        int64_t committed[] = {2, 3, 5, 6, 8}, all[] = {0, 1, 2, 3, 5, 6, 8};
        r.aborted = aborted;
        r.aborted_count = 1;
        r.read_uncommitted = uncommitted;
        for (int i = 0; i < (uncommitted ? 7 : 5); i++) {
            cr_assert_eq(chunk_reader_next(&r, &record), 1);
            cr_assert_eq(record.offset, uncommitted ? all[i] : committed[i]);
        }
        cr_assert_eq(chunk_reader_next(&r, &record), 0);
        cr_assert_eq(r.next_offset, 9);
    }
    log_close(&l);
}

Test(reader, scans_tell_the_next_offset_and_refuse_nonsense)
{
    struct log l;
    int64_t next;
    int32_t epoch;
    size_t whole;
    log_open(&l);
    log_add(&l, 3, CODEC_NONE, -1, 0);
    size_t first = l.bytes.size;
    log_add(&l, 4, CODEC_LZ4, -1, 0);
    struct bytes all = bytes_of(l.bytes.data, l.bytes.size);
    cr_assert_eq(chunk_scan(all, 0, &next, &epoch, &whole), 0);
    cr_assert_eq(next, 7);
    cr_assert_eq(epoch, 4);
    cr_assert_eq(whole, all.size);
    cr_assert_eq(chunk_scan(bytes_of(all.data, all.size - 1), 0, &next, &epoch, &whole), 0);
    cr_assert_eq(next, 3, "a cut batch does not count");
    cr_assert_eq(whole, first);
    cr_assert_eq(chunk_scan(bytes_of(all.data, first - 1), 0, &next, &epoch, &whole),
                 ERR_TOO_LARGE);
    cr_assert_eq(chunk_scan(all, 7, &next, &epoch, &whole), ERR_CORRUPT_MESSAGE,
                 "no progress is no answer");
    memcpy(l.bytes.data + first, l.bytes.data, 8); /* the second batch begins at 0 again */
    cr_assert_eq(chunk_scan(all, 0, &next, &epoch, &whole), ERR_CORRUPT_MESSAGE);
    log_close(&l);
}

Test(reader, changed_bytes_never_fault)
{
    struct log l;
    struct prng prng = prng_of(99);
    log_open(&l);
    for (int i = 0; i < 10; i++) {
        log_add(&l, 20, (enum codec)(i % CODEC_COUNT), -1, 0);
    }
    uint8_t *copy = malloc(l.bytes.size);
    for (int round = 0; round < 20000; round++) {
        struct plain_store store;
        struct chunk_reader r = reader_of_log(&l, &store, 0);
        struct record record;
        struct record_header header;
        int64_t next, records = 0;
        int32_t epoch;
        size_t whole,
            size = prng_chance(&prng, 1, 4) ? prng_below(&prng, l.bytes.size + 1) : l.bytes.size;
        memcpy(copy, l.bytes.data, l.bytes.size);
        for (uint64_t i = prng_below(&prng, 6) + 1; i > 0 && size; i--) {
            copy[prng_below(&prng, size)] = (uint8_t)prng_next(&prng);
        }
        r.data = bytes_of(copy, size);
        r.check_crcs = prng_chance(&prng, 1, 4);
        int found = chunk_scan(r.data, 0, &next, &epoch, &whole);
        cr_assert(found <= 0);
        while (records < 100000 && (found = chunk_reader_next(&r, &record)) != 0) {
            while (found == 1 && record_header_next(&record, &header)) {
            }
            records += 1;
        }
        chunk_reader_close(&r);
        plain_store_deinit(&store);
    }
    free(copy);
    log_close(&l);
}
