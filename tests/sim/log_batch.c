/* SPDX-License-Identifier: Apache-2.0 */

/* Record batches (v2) for the explorer: random, valid, each with a checksum of its own. */
#include "log_crash_private.h"

#include "base/crc32c.h"
#include "wire/batch.h"
#include "wire/varint.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { UNPACKED_MAX = BATCH_BYTES_MAX, MEMORY_MAX = 32 << 20 };

static void put_varint(struct writer *w, int64_t value)
{
    uint8_t *at = writer_room(w, varint_size(value));
    assert(at);
    varint_put(at, value);
}

static void put_record(struct writer *w, struct prng *random, int32_t index, int32_t key,
                       bool tombstone, size_t value_size)
{
    size_t key_size = key >= 0 ? 1 : 0;
    int64_t said = tombstone ? -1 : (int64_t)value_size;
    value_size = tombstone ? 0 : value_size;
    int64_t time = key >= 0 ? (int64_t)prng_below(random, 3000) - 1000 : 0;
    int64_t size =
        (int64_t)(1 + varint_size(time) + varint_size(index) + varint_size(key >= 0 ? 1 : -1) +
                  key_size + varint_size(said) + value_size + 1);
    put_varint(w, size);
    writer_u8(w, 0);
    put_varint(w, time);
    put_varint(w, index);
    put_varint(w, key >= 0 ? 1 : -1);
    if (key >= 0) {
        writer_u8(w, (uint8_t)key);
    }
    put_varint(w, said);
    uint8_t *value = writer_room(w, value_size);
    assert(value);
    memset(value, 'v', value_size);
    prng_fill(random, value, value_size < 16 ? value_size : 16); /* makes it unlike all others */
    put_varint(w, 0);
}

/* Replaces the records behind the header by their packed form, if that is smaller. */
static void pack(struct writer *w, enum codec codec)
{
    struct memory memory;
    struct wire_writer packed;
    memory_init(&memory, MEMORY_MAX);
    wire_writer_init(&packed, &memory, MEMORY_MAX);
    struct bytes records = bytes_of(w->data + LOG_BATCH_HEADER, w->size - LOG_BATCH_HEADER);
    int error = compress_append(codec, CODEC_LEVEL_DEFAULT, records, &memory, &packed);
    assert(!error);
    if (packed.size < records.size) {
        memcpy(w->data + LOG_BATCH_HEADER, packed.data, packed.size);
        w->size = LOG_BATCH_HEADER + packed.size;
        put_be16(w->data + BATCH_CRC_FROM, (uint16_t)codec);
    }
    wire_writer_deinit(&packed);
    memory_drop(&memory);
}

size_t batch_build(struct prng *random, const struct batch_wish *wish,
                   uint8_t out[static BATCH_BYTES_MAX])
{
    struct writer w = writer_of(out, BATCH_BYTES_MAX);
    int32_t records = wish->records ? wish->records : (int32_t)prng_between(random, 1, 4);
    bool idempotent = wish->producer >= 0;
    uint64_t timestamp = prng_below(random, 1u << 30);
    writer_be64(&w, 0);
    writer_be32(&w, 0);
    writer_be32(&w, 0);
    writer_u8(&w, 2);
    writer_be32(&w, 0);
    writer_be16(&w, 0);
    writer_be32(&w, (uint32_t)(records - 1));
    writer_be64(&w, timestamp);
    writer_be64(&w, timestamp);
    writer_be64(&w, (uint64_t)wish->producer);
    writer_be16(&w, idempotent ? 0 : UINT16_MAX);
    writer_be32(&w, idempotent ? (uint32_t)wish->sequence : UINT32_MAX);
    writer_be32(&w, (uint32_t)records);
    assert(w.size == LOG_BATCH_HEADER);
    for (int32_t i = 0; i < records; i++) {
        int32_t key = wish->keys ? (int32_t)prng_below(random, wish->keys) : -1;
        bool tombstone = wish->keys && prng_chance(random, 1, 6);
        put_record(&w, random, i, key, tombstone,
                   wish->large ? prng_between(random, 1000, 9000) : prng_between(random, 16, 700));
    }
    assert(!w.failed);
    if (wish->keys && prng_chance(random, 1, 3)) {
        pack(&w, (enum codec)prng_between(random, CODEC_GZIP, CODEC_ZSTD));
    }
    put_be32(out + 8, (uint32_t)(w.size - 12));
    put_be32(out + 17, crc32c(0, out + 21, w.size - 21));
    return w.size;
}

uint32_t batch_crc(const uint8_t *batch)
{
    return get_be32(batch + 17);
}

int32_t batch_records(const uint8_t *batch)
{
    return (int32_t)get_be32(batch + 57);
}

void batch_place(uint8_t *batch, int64_t base_offset, int32_t epoch)
{
    put_be64(batch, (uint64_t)base_offset);
    put_be32(batch + 12, (uint32_t)epoch);
}

static bool read_records(struct oracle_item *item, const struct batch_header *h,
                         struct bytes records)
{
    struct record_reader reader;
    struct record record;
    int verdict;
    record_reader_init(&reader, h, records);
    while ((verdict = record_next(&reader, &record)) == 1) {
        if (record.key.size != 1) {
            continue;
        }
        uint8_t time[8];
        put_be64(time, (uint64_t)record.timestamp);
        struct oracle_record r = {.offset = record.offset,
                                  .key = record.key.data[0],
                                  .tombstone = record.value.size < 0,
                                  .sum = crc32c(0, time, sizeof time)};
        if (record.value.size > 0) {
            r.sum = crc32c(r.sum, record.value.data, (size_t)record.value.size);
        }
        assert(item->record_count < ORACLE_RECORDS_MAX);
        item->records[item->record_count++] = r;
    }
    return verdict == 0;
}

bool batch_records_of(struct oracle_item *item, const uint8_t *batch, size_t size)
{
    struct batch_header h;
    item->record_count = 0;
    item->size = (uint32_t)size;
    item->horizon = -1;
    if (batch_header_read(&h, batch, size) || batch_check_rules(&h, BATCH_FROM_LOG)) {
        return false;
    }
    item->horizon = h.attributes & BATCH_DELETE_HORIZON ? h.base_timestamp : -1;
    struct bytes records = bytes_of(batch + BATCH_HEADER_SIZE, size - BATCH_HEADER_SIZE);
    if (batch_codec(&h) == CODEC_NONE) {
        return read_records(item, &h, records);
    }
    struct memory memory;
    struct wire_writer unpacked;
    struct decompress_limits limits = decompress_limits_of(UNPACKED_MAX);
    memory_init(&memory, MEMORY_MAX);
    wire_writer_init(&unpacked, &memory, UNPACKED_MAX);
    bool good = decompress_append(batch_codec(&h), records, &limits, &memory, &unpacked) == 0 &&
                read_records(item, &h, bytes_of(unpacked.data, unpacked.size));
    wire_writer_deinit(&unpacked);
    memory_drop(&memory);
    return good;
}

bool batch_parse(const struct slice *slices, uint32_t count, bool gaps, struct oracle_state *out,
                 int64_t *next, char *why, size_t why_size)
{
    size_t size = 0, at = 0;
    for (uint32_t i = 0; i < count; i++) {
        size += slices[i].size;
    }
    uint8_t *data = malloc(size + 1);
    for (uint32_t i = 0; i < count; i++) {
        memcpy(data + at, slices[i].data, slices[i].size);
        at += slices[i].size;
    }
    bool good = true;
    for (at = 0; at < size && good;) {
        const uint8_t *b = data + at;
        size_t left = size - at;
        size_t whole = left >= LOG_BATCH_HEADER ? 12 + (size_t)get_be32(b + 8) : 0;
        good = whole >= LOG_BATCH_HEADER && whole <= left &&
               crc32c(0, b + 21, whole - 21) == batch_crc(b);
        if (!good) {
            snprintf(why, why_size, "a read returned bytes that are no batch, %zu of %zu", at,
                     size);
            break;
        }
        struct oracle_item item = {.base = (int64_t)get_be64(b),
                                   .last = (int64_t)get_be64(b) + (int32_t)get_be32(b + 23),
                                   .epoch = (int32_t)get_be32(b + 12),
                                   .crc = batch_crc(b),
                                   .producer = (int64_t)get_be64(b + 43),
                                   .sequence = (int32_t)get_be32(b + 53)};
        if (!batch_records_of(&item, b, whole)) {
            snprintf(why, why_size, "the records at %" PRId64 " cannot be read", item.base);
            good = false;
        }
        int64_t before = out->count > 0 ? out->items[out->count - 1].last : item.base - 1;
        if (gaps ? item.base <= before : item.base != before + 1) {
            snprintf(why, why_size, "a read jumps from %" PRId64 " to %" PRId64, before + 1,
                     item.base);
            good = false;
        }
        oracle_state_add(out, item);
        *next = item.last + 1;
        at += whole;
    }
    free(data);
    return good;
}
