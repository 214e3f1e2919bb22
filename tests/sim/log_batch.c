/* SPDX-License-Identifier: Apache-2.0 */

/* Record batches (v2) for the explorer: random, valid, each with a checksum of its own. */
#include "log_crash_private.h"

#include "base/crc32c.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void put_varint(struct writer *w, int64_t value)
{
    uint64_t zigzag = (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
    while (zigzag >= 0x80) {
        writer_u8(w, (uint8_t)(zigzag | 0x80));
        zigzag >>= 7;
    }
    writer_u8(w, (uint8_t)zigzag);
}

static size_t varint_size(int64_t value)
{
    uint8_t room[10];
    struct writer w = writer_of(room, sizeof room);
    put_varint(&w, value);
    return w.size;
}

static void put_record(struct writer *w, struct prng *random, int32_t index, size_t value_size)
{
    int64_t size = (int64_t)(1 + varint_size(0) + varint_size(index) + varint_size(-1) +
                             varint_size((int64_t)value_size) + value_size + 1);
    put_varint(w, size);
    writer_u8(w, 0);
    put_varint(w, 0);
    put_varint(w, index);
    put_varint(w, -1);
    put_varint(w, (int64_t)value_size);
    uint8_t *value = writer_room(w, value_size);
    assert(value);
    memset(value, 'v', value_size);
    prng_fill(random, value, value_size < 16 ? value_size : 16); /* makes it unlike all others */
    put_varint(w, 0);
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
        put_record(&w, random, i,
                   wish->large ? prng_between(random, 1000, 9000) : prng_between(random, 16, 700));
    }
    assert(!w.failed);
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

bool batch_parse(const struct slice *slices, uint32_t count, struct oracle_state *out,
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
        if (out->count > 0 && item.base != out->items[out->count - 1].last + 1) {
            snprintf(why, why_size, "a read jumps from %" PRId64 " to %" PRId64,
                     out->items[out->count - 1].last + 1, item.base);
            good = false;
        }
        oracle_state_add(out, item);
        *next = item.last + 1;
        at += whole;
    }
    free(data);
    return good;
}
