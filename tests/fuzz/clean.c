/* SPDX-License-Identifier: Apache-2.0 */

/* Compaction over batches of any bytes. Offsets, leader epochs and checksums are made good first, so that
 * what lies behind them is reached: a topic that was not compacted when they came holds whatever producers
 * sent. What is copied must be whole, in order, and readable; damage is told, never copied. */
#include "log/clean_batch.h"

#include "base/crc32c.h"
#include "base/errors.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH_MAX = 1 << 20, ROOM = 4 << 20, UNPACKED_MAX = 32 << 20, BUDGET = 256 << 20 };

/* Returns the offset behind the last batch; `size` of `data` is what they take. */
static int64_t make_good(uint8_t *data, size_t *size)
{
    int64_t offset = 0;
    size_t at = 0;
    while (*size - at >= BATCH_HEADER_SIZE) {
        uint32_t whole = batch_size_peek(data + at);
        int32_t delta = (int32_t)get_be32(data + at + 23);
        if (whole == 0 || whole > *size - at || delta < 0) {
            break;
        }
        put_be64(data + at, (uint64_t)offset);
        data[at + 16] = BATCH_MAGIC;
        put_be32(data + at + 17, crc32c(0, data + at + BATCH_CRC_FROM, whole - BATCH_CRC_FROM));
        offset += (int64_t)delta + 1;
        at += whole;
    }
    *size = at;
    return offset;
}

static void read_records(const struct batch_header *h, struct bytes records)
{
    struct record_reader reader;
    struct record record;
    int verdict;
    int32_t count = 0;
    record_reader_init(&reader, h, records);
    while ((verdict = record_next(&reader, &record)) == 1) {
        count++;
    }
    assert(verdict == 0 && count == h->record_count);
}

static void check_output(const struct clean_work *w, struct memory *memory, int64_t map_end)
{
    int64_t next = 0;
    for (size_t at = 0; at < w->out_size;) {
        struct batch_header h;
        int error = batch_header_read(&h, w->out + at, w->out_size - at);
        assert(!error && !batch_check_crc(&h, w->out + at));
        assert(h.base_offset >= next && batch_last_offset(&h) < w->end_offset);
        next = batch_last_offset(&h) + 1;
        struct bytes records =
            bytes_of(w->out + at + BATCH_HEADER_SIZE, h.size - BATCH_HEADER_SIZE);
        at += h.size;
        if ((h.attributes & BATCH_CONTROL) || h.base_offset >= map_end || h.record_count == 0) {
            continue; /* as it came */
        }
        assert(batch_check_rules(&h, BATCH_FROM_LOG) == 0);
        struct wire_writer unpacked;
        struct decompress_limits limits = decompress_limits_of(UNPACKED_MAX);
        wire_writer_init(&unpacked, memory, UNPACKED_MAX);
        if (batch_codec(&h) != CODEC_NONE) {
            error = decompress_append(batch_codec(&h), records, &limits, memory, &unpacked);
            assert(!error);
            records = bytes_of(unpacked.data, unpacked.size);
        }
        read_records(&h, records);
        wire_writer_deinit(&unpacked);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > BATCH_MAX) {
        return 0;
    }
    static const uint8_t secret[16] = {1};
    struct memory memory;
    struct clean_map map;
    memory_init(&memory, BUDGET);
    size_t bytes = size - 2;
    uint8_t *copy = malloc(bytes + 1), *out = malloc(ROOM);
    memcpy(copy, data + 2, bytes);
    int64_t end = make_good(copy, &bytes), kept[] = {data[1] & 7};
    int error = clean_map_init(&map, &memory, (uint64_t)data[0] * CLEAN_SLOT_SIZE, 1000, secret);
    assert(!error);
    struct clean_work w = {.map = &map,
                           .end_offset = end,
                           .batch_bytes_max = BATCH_MAX,
                           .range_end = end,
                           .now_ms = (int64_t)data[1] << 32,
                           .delete_retention_ms = data[1] & 8 ? INT64_MAX : data[1],
                           .kept_last = kept,
                           .kept_count = 1,
                           .out = out,
                           .out_capacity = ROOM};
    for (unsigned walk = CLEAN_TELL; walk <= CLEAN_COPY && !w.error; walk++) {
        w.walk = (enum clean_walk)walk;
        w.data = copy;
        w.size = bytes;
        w.expected_offset = 0;
        clean_work_run(&w);
    }
    assert(!w.error || w.what);
    assert(w.consumed <= bytes);
    if (w.walk == CLEAN_COPY) {
        check_output(&w, &memory, map.end_offset);
    }
    clean_map_deinit(&map, &memory);
    free(copy);
    free(out);
    memory_drop(&memory);
    return 0;
}
