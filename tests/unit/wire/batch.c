/* SPDX-License-Identifier: Apache-2.0 */

/* Batches of another implementation are read record by record; what is built reads back; each
 * broken byte is noticed, by the checksum or by the reader. */
#include "golden_batches.h"
#include "hex.h"

#include "base/crc32c.h"
#include "base/prng.h"
#include "wire/wire.h"

#include <stdlib.h>

#include <criterion/criterion.h>

enum {
    GOLDEN_RECORDS = 4,
    BATCH_MAX = 1 << 16,
};

static struct wire_bytes bytes_null(void)
{
    return (struct wire_bytes){NULL, -1};
}

static struct wire_bytes text(const char *t)
{
    return (struct wire_bytes){(const uint8_t *)t, (int32_t)strlen(t)};
}

static bool is_text(struct wire_bytes b, const char *t)
{
    return t ? b.size == (int32_t)strlen(t) && memcmp(b.data, t, strlen(t)) == 0 : b.size == -1;
}

/* The records of a checked batch, uncompressed into `w`. */
static struct bytes unpack(const struct batch_header *h, const uint8_t *batch,
                           struct memory *memory, struct wire_writer *w)
{
    struct bytes packed = {batch + BATCH_HEADER_SIZE, h->size - BATCH_HEADER_SIZE};
    struct decompress_limits limits = decompress_limits_of(BATCH_MAX);
    cr_assert_eq(decompress_append(batch_codec(h), packed, &limits, memory, w), 0);
    return (struct bytes){w->data, w->size};
}

static void check_golden_records(const struct batch_header *h, struct bytes records)
{
    static const char *const keys[] = {"key-0", "key-1", NULL, "key-3"};
    struct record_reader reader;
    struct record record;
    struct record_header header;
    record_reader_init(&reader, h, records);
    for (int i = 0; i < GOLDEN_RECORDS; i++) {
        cr_assert_eq(record_next(&reader, &record), 1);
        cr_assert_eq(record.offset, h->base_offset + i);
        cr_assert_eq(record.timestamp, 1700000000000 + i * 10);
        cr_assert(is_text(record.key, keys[i]));
        cr_assert_eq(record.value.size, i == 3 ? -1 : 8 * 28);
        cr_assert(i == 3 ||
                  memcmp(record.value.data + 28, "the water runs to the mill, ", 28) == 0);
        cr_assert_eq(record.header_count, i == 1 ? 2 : 0);
        if (i == 1) {
            cr_assert(record_header_next(&record, &header));
            cr_assert(bytes_equal(header.key, bytes_of_string("h")) && is_text(header.value, "v"));
            cr_assert(record_header_next(&record, &header));
            cr_assert(bytes_equal(header.key, bytes_of_string("n")) && header.value.size == -1);
        }
        cr_assert_not(record_header_next(&record, &header));
    }
    cr_assert_eq(record_next(&reader, &record), 0);
    cr_assert_eq(record_next(&reader, &record), 0, "the end stays the end");
}

Test(batch, librdkafka_s_batches_are_read_for_every_codec)
{
    static const uint32_t crcs[] = {0x74d3d86a, 0x125ea28e, 0xaa36a0e8, 0xaaca5a8a, 0xc3060f20};
    struct memory memory;
    memory_init(&memory, 32 << 20);
    for (int codec = CODEC_NONE; codec < CODEC_COUNT; codec++) {
        uint8_t batch[1024];
        size_t size = hex_read(golden_batches[codec], batch, sizeof batch);
        struct batch_header h;
        cr_assert_eq(batch_check(&h, batch, size, BATCH_FROM_PRODUCER), 0, "%s",
                     codec_name((enum codec)codec));
        cr_assert_eq(h.size, size);
        cr_assert_eq(h.crc, crcs[codec]);
        cr_assert_eq(batch_codec(&h), (enum codec)codec);
        cr_assert_eq(h.attributes, codec);
        cr_assert_eq(h.record_count, GOLDEN_RECORDS);
        cr_assert_eq(h.last_offset_delta, 3);
        cr_assert_eq(batch_last_offset(&h), 3);
        cr_assert_eq(h.base_timestamp, 1700000000000);
        cr_assert_eq(h.max_timestamp, 1700000000030);
        cr_assert_eq(h.producer_id, -1);
        cr_assert_eq(h.producer_epoch, -1);
        cr_assert_eq(h.base_sequence, -1);
        struct wire_writer w;
        wire_writer_init(&w, &memory, BATCH_MAX);
        check_golden_records(&h, unpack(&h, batch, &memory, &w));
        wire_writer_deinit(&w);
    }
    cr_assert_eq(memory.used_bytes, 0u);
}

Test(batch, building_the_same_records_gives_the_same_bytes)
{
    struct memory memory;
    memory_init(&memory, 1 << 20);
    uint8_t expected[1024];
    size_t size = hex_read(golden_batches[CODEC_NONE], expected, sizeof expected);
    char value[8 * 28 + 1] = "";
    for (int i = 0; i < 8; i++) {
        memcpy(value + i * 28, "the water runs to the mill, ", 29);
    }
    struct record_header headers[] = {{bytes_of_string("h"), text("v")},
                                      {bytes_of_string("n"), bytes_null()}};
    struct record_input records[] = {
        {1700000000000, text("key-0"), text(value), NULL, 0},
        {1700000000010, text("key-1"), text(value), headers, 2},
        {1700000000020, bytes_null(), text(value), NULL, 0},
        {1700000000030, text("key-3"), bytes_null(), NULL, 0},
    };
    struct batch_builder b;
    batch_builder_init(&b, &memory, size);
    for (size_t i = 0; i < array_size(records); i++) {
        cr_assert_eq(batch_append(&b, &records[i]), 0);
    }
    cr_assert_eq(batch_builder_size(&b), size);
    struct batch_options options = batch_options_default();
    options.leader_epoch = 0;
    struct bytes out;
    cr_assert_eq(batch_finish(&b, &options, &out), 0);
    cr_assert_eq(out.size, size);
    cr_assert_arr_eq(out.data, expected, size);
    batch_builder_deinit(&b);
    cr_assert_eq(memory.used_bytes, 0u);
}

Test(batch, every_changed_byte_is_noticed)
{
    uint8_t batch[1024];
    size_t size = hex_read(golden_batches[CODEC_LZ4], batch, sizeof batch);
    for (size_t i = 0; i < size; i++) {
        for (int bit = 0; bit < 8; bit++) {
            struct batch_header h;
            batch[i] ^= (uint8_t)(1 << bit);
            int error = batch_check(&h, batch, size, BATCH_FROM_PRODUCER);
            bool outside = i < 8 || (i >= 12 && i < 16);
            cr_assert_eq(error == 0, outside, "byte %zu bit %d: %s", i, bit, error_name(error));
            batch[i] ^= (uint8_t)(1 << bit);
        }
    }
    for (size_t cut = 0; cut < size; cut++) {
        struct batch_header h;
        uint8_t *part = malloc(cut ? cut : 1);
        memcpy(part, batch, cut);
        cr_assert_eq(batch_check(&h, part, cut, BATCH_FROM_PRODUCER), ERR_CORRUPT_MESSAGE);
        free(part);
    }
}

/* A golden batch with `size` bytes at `at` replaced, and the checksum made good again. */
static int check_changed(size_t at, uint64_t value, size_t size, enum batch_origin origin)
{
    uint8_t batch[1024];
    size_t batch_size = hex_read(golden_batches[CODEC_NONE], batch, sizeof batch);
    for (size_t i = 0; i < size; i++) {
        batch[at + i] = (uint8_t)(value >> 8 * (size - 1 - i));
    }
    put_be32(batch + 17, crc32c(0, batch + 21, batch_size - 21));
    struct batch_header h;
    return batch_check(&h, batch, batch_size, origin);
}

Test(batch, the_rules_hold_under_a_good_checksum)
{
    static const struct {
        const char *what;
        size_t at;
        uint64_t value;
        size_t size;
        int from_producer, from_log;
    } cases[] = {
        {"magic 1", 16, 1, 1, ERR_INVALID_RECORD, ERR_INVALID_RECORD},
        {"length 48", 8, 48, 4, ERR_CORRUPT_MESSAGE, ERR_CORRUPT_MESSAGE},
        {"length -1", 8, 0xffffffff, 4, ERR_CORRUPT_MESSAGE, ERR_CORRUPT_MESSAGE},
        {"a length beyond the end", 8, 778, 4, ERR_CORRUPT_MESSAGE, ERR_CORRUPT_MESSAGE},
        {"a length before the end", 8, 776, 4, ERR_INVALID_RECORD, ERR_INVALID_RECORD},
        {"codec 5", 21, 5, 2, ERR_UNSUPPORTED_COMPRESSION_TYPE, ERR_UNSUPPORTED_COMPRESSION_TYPE},
        {"append time", 21, 8, 2, 0, 0},
        {"transactional without a producer", 21, 16, 2, ERR_INVALID_RECORD, 0},
        {"control", 21, 32, 2, ERR_INVALID_RECORD, 0},
        {"delete horizon", 21, 64, 2, ERR_INVALID_RECORD, 0},
        {"an unknown attribute", 21, 128, 2, ERR_INVALID_RECORD, 0},
        {"a gap at the end", 23, 4, 4, ERR_INVALID_RECORD, 0},
        {"last delta below the count", 23, 2, 4, ERR_INVALID_RECORD, ERR_INVALID_RECORD},
        {"last delta -1", 23, 0xffffffff, 4, ERR_INVALID_RECORD, ERR_INVALID_RECORD},
        {"no records", 57, 0, 4, ERR_INVALID_RECORD, 0},
        {"count -1", 57, 0xffffffff, 4, ERR_INVALID_RECORD, ERR_INVALID_RECORD},
        {"a count above the last delta", 57, 0x7fffffff, 4, ERR_INVALID_RECORD, ERR_INVALID_RECORD},
        {"a producer without a sequence", 43, 9, 8, ERR_INVALID_RECORD, 0},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        int error = check_changed(cases[i].at, cases[i].value, cases[i].size, BATCH_FROM_PRODUCER);
        cr_assert_eq(error, cases[i].from_producer, "%s: %s", cases[i].what, error_name(error));
        error = check_changed(cases[i].at, cases[i].value, cases[i].size, BATCH_FROM_LOG);
        cr_assert_eq(error, cases[i].from_log, "log, %s: %s", cases[i].what, error_name(error));
    }
    struct batch_header many = {.size = 61 + 70, .record_count = 11, .last_offset_delta = 10};
    cr_assert_eq(batch_check_rules(&many, BATCH_FROM_PRODUCER), ERR_CORRUPT_MESSAGE,
                 "11 records do not fit into 70 bytes");
}

Test(batch, setting_fields_in_place)
{
    uint8_t batch[1024];
    size_t size = hex_read(golden_batches[CODEC_ZSTD], batch, sizeof batch);
    struct batch_header h, before;
    cr_assert_eq(batch_check(&before, batch, size, BATCH_FROM_PRODUCER), 0);
    batch_set_base_offset(batch, 1234567890123);
    batch_set_leader_epoch(batch, 77);
    cr_assert_eq(batch_check(&h, batch, size, BATCH_FROM_PRODUCER), 0, "outside the checksum");
    cr_assert(h.base_offset == 1234567890123 && h.leader_epoch == 77 && h.crc == before.crc);
    cr_assert_eq(batch_last_offset(&h), 1234567890126);
    batch_set_append_time(batch, size, 42);
    cr_assert_eq(batch_check(&h, batch, size, BATCH_FROM_PRODUCER), 0);
    cr_assert(h.max_timestamp == 42 && h.attributes == (CODEC_ZSTD | BATCH_APPEND_TIME));
    cr_assert_neq(h.crc, before.crc);
    batch_set_producer(batch, size, 5, 6, 7);
    cr_assert_eq(batch_check(&h, batch, size, BATCH_FROM_PRODUCER), 0);
    cr_assert(h.producer_id == 5 && h.producer_epoch == 6 && h.base_sequence == 7);

    struct memory memory;
    memory_init(&memory, 32 << 20);
    struct wire_writer w;
    wire_writer_init(&w, &memory, BATCH_MAX);
    struct record_reader reader;
    struct record record;
    record_reader_init(&reader, &h, unpack(&h, batch, &memory, &w));
    cr_assert_eq(record_next(&reader, &record), 1);
    cr_assert_eq(record.timestamp, 42, "append time is every record's time");
    cr_assert_eq(record.offset, 1234567890123);
    wire_writer_deinit(&w);
}

static int count_records(struct batch_header *h, const char *hex)
{
    uint8_t stack[256];
    size_t size = hex_read(hex, stack, sizeof stack);
    uint8_t *data = malloc(size ? size : 1);
    memcpy(data, stack, size);
    struct record_reader reader;
    struct record record;
    record_reader_init(&reader, h, (struct bytes){data, size});
    int count = 0, more;
    while ((more = record_next(&reader, &record)) > 0) {
        count++;
    }
    free(data);
    return more < 0 ? more : count;
}

Test(batch, a_record_uses_up_its_length_and_no_more)
{
    struct batch_header h = {.record_count = 1, .last_offset_delta = 5};
    /* length 6 (0c): attributes, time, offset delta, key null, value null, no headers */
    cr_assert_eq(count_records(&h, "0c 00 00 00 01 01 00"), 1);
    cr_assert_eq(count_records(&h, "0e 00 00 00 01 02 61 00"), 1);
    static const char *const broken[] = {
        "",                                                /* a record is missing */
        "0c 00 00 00 01 01",                               /* cut */
        "0e 00 00 00 01 01 00 00",                         /* a byte left over inside */
        "0a 00 00 00 01 01 00",                            /* ends before its headers */
        "0c 00 00 00 01 01 00 00",                         /* bytes behind the last record */
        "0d 00 00 00 01 01 00",                            /* negative length */
        "ff ff ff ff 0f 00 00 00 01 01",                   /* the least of lengths */
        "fe ff ff ff 0f 00 00 00 01 01",                   /* 2 GiB */
        "0c 00 00 00 03 01 00",                            /* key of size -2 */
        "0c 00 00 00 01 7e 00",                            /* value longer than the record */
        "0c 00 00 00 01 01 02",                            /* a header that is not there */
        "0c 00 00 00 01 01 01",                            /* -1 headers */
        "10 00 00 00 01 01 02 01 01",                      /* header with a null key */
        "0c 00 00 0c 01 01 00",                            /* offset delta 6 of 5 */
        "0c 00 00 01 01 01 00",                            /* offset delta -1 */
        "0e 00 ff ff ff ff 00 00",                         /* a time that runs into what follows */
        "16 00 ff ff ff ff ff ff ff ff ff 02 00 01 01 00", /* a varlong of more than 64 bits */
    };
    for (size_t i = 0; i < array_size(broken); i++) {
        cr_assert_eq(count_records(&h, broken[i]), ERR_MALFORMED, "%s", broken[i]);
    }
    h.record_count = 2;
    cr_assert_eq(count_records(&h, "0c 00 00 00 01 01 00  0c 00 00 08 01 01 00"), 2,
                 "a gap is good");
    cr_assert_eq(count_records(&h, "0c 00 00 04 01 01 00  0c 00 00 04 01 01 00"), ERR_MALFORMED);
    cr_assert_eq(count_records(&h, "0c 00 00 04 01 01 00  0c 00 00 02 01 01 00"), ERR_MALFORMED);
}

struct random_record {
    uint8_t key[16], value[200], header[8];
    struct record_header headers[3];
    struct record_input input;
};

static void random_record(struct random_record *r, struct prng *prng)
{
    prng_fill(prng, r->key, sizeof r->key);
    memset(r->value, (int)prng_below(prng, 5), sizeof r->value);
    prng_fill(prng, r->header, sizeof r->header);
    r->input = (struct record_input){.timestamp = (int64_t)prng_below(prng, 1 << 30) - 1000};
    r->input.key = (struct wire_bytes){r->key, (int32_t)prng_below(prng, 18) - 1};
    r->input.key.size = r->input.key.size > 16 ? 16 : r->input.key.size;
    r->input.value = (struct wire_bytes){r->value, (int32_t)prng_below(prng, 201) - 1};
    r->input.headers = r->headers;
    r->input.header_count = (int32_t)prng_below(prng, 4);
    for (int i = 0; i < 3; i++) {
        r->headers[i].key = (struct bytes){r->header, prng_below(prng, 9)};
        r->headers[i].value = (struct wire_bytes){r->header, (int32_t)prng_below(prng, 10) - 1};
        r->headers[i].value.size -= r->headers[i].value.size > 8;
    }
}

static bool same(struct wire_bytes a, struct wire_bytes b)
{
    return a.size == b.size && (a.size <= 0 || memcmp(a.data, b.data, (size_t)a.size) == 0);
}

static void check_records(const struct random_record *in, int count, const struct batch_header *h,
                          struct bytes records)
{
    struct record_reader reader;
    struct record record;
    record_reader_init(&reader, h, records);
    for (int i = 0; i < count; i++) {
        struct record_header header;
        cr_assert_eq(record_next(&reader, &record), 1);
        cr_assert_eq(record.offset, h->base_offset + i);
        cr_assert_eq(record.timestamp, in[i].input.timestamp);
        cr_assert(same(record.key, in[i].input.key) && same(record.value, in[i].input.value));
        cr_assert_eq(record.header_count, in[i].input.header_count);
        for (int j = 0; j < in[i].input.header_count; j++) {
            cr_assert(record_header_next(&record, &header));
            cr_assert(bytes_equal(header.key, in[i].headers[j].key));
            cr_assert(same(header.value, in[i].headers[j].value));
        }
    }
    cr_assert_eq(record_next(&reader, &record), 0);
}

Test(batch, what_is_built_reads_back_with_every_codec)
{
    enum { RECORDS = 50, ROUNDS = 40 };
    static struct random_record in[RECORDS];
    struct memory memory;
    memory_init(&memory, 64 << 20);
    struct prng prng = prng_of(5);
    struct batch_builder b;
    batch_builder_init(&b, &memory, BATCH_MAX);
    for (int round = 0; round < ROUNDS; round++) {
        int count = (int)prng_between(&prng, 1, RECORDS);
        for (int i = 0; i < count; i++) {
            random_record(&in[i], &prng);
            cr_assert_eq(batch_append(&b, &in[i].input), 0);
        }
        for (int codec = CODEC_NONE; codec < CODEC_COUNT; codec++) {
            struct batch_options options = batch_options_default();
            struct batch_header h;
            struct bytes out;
            struct wire_writer w;
            options.codec = (enum codec)codec;
            options.base_offset = 900;
            options.producer_id = 3;
            options.producer_epoch = 4;
            options.base_sequence = 5;
            options.attributes = BATCH_TRANSACTIONAL;
            cr_assert_eq(batch_finish(&b, &options, &out), 0);
            cr_assert_eq(batch_check(&h, out.data, out.size, BATCH_FROM_PRODUCER), 0);
            cr_assert(batch_codec(&h) == (enum codec)codec || count < 5, "%d records", count);
            cr_assert_leq(out.size, batch_builder_size(&b));
            wire_writer_init(&w, &memory, BATCH_MAX);
            check_records(in, count, &h, unpack(&h, out.data, &memory, &w));
            wire_writer_deinit(&w);
        }
        batch_builder_reset(&b);
    }
    batch_builder_deinit(&b);
    cr_assert_eq(memory.used_bytes, 0u);
}

Test(batch, a_full_builder_refuses_and_goes_on)
{
    struct memory memory;
    memory_init(&memory, 1 << 20);
    struct batch_builder b;
    batch_builder_init(&b, &memory, BATCH_HEADER_SIZE + 20);
    struct record_input big = {0, text("0123456789abc"), bytes_null(), NULL, 0};
    struct record_input small = {0, bytes_null(), bytes_null(), NULL, 0};
    cr_assert_eq(batch_builder_size(&b), (size_t)BATCH_HEADER_SIZE);
    cr_assert_eq(batch_append(&b, &big), 0);
    cr_assert_eq(batch_builder_size(&b), BATCH_HEADER_SIZE + 20u);
    cr_assert_eq(batch_append(&b, &small), ERR_TOO_LARGE);
    cr_assert_eq(b.record_count, 1);
    struct batch_options options = batch_options_default();
    struct bytes out;
    cr_assert_eq(batch_finish(&b, &options, &out), 0);
    cr_assert_eq(out.size, BATCH_HEADER_SIZE + 20u);
    batch_builder_deinit(&b);
    batch_builder_deinit(NULL);

    struct memory tight;
    memory_init(&tight, 300);
    batch_builder_init(&b, &tight, 4096);
    cr_assert_eq(batch_append(&b, &small), ERR_NO_MEMORY);
    tight.budget_bytes = 1 << 20;
    cr_assert_eq(batch_append(&b, &small), 0, "memory that comes back is used");
    batch_builder_deinit(&b);
}
