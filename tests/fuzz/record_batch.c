/* SPDX-License-Identifier: Apache-2.0 */

/* A batch as produced or found in a segment. The first byte says whether the checksum is made good
 * first, so that what lies behind it is reached. Records that read are built into a batch again,
 * which must pass the checks and give the same records. */
#include "base/crc32c.h"
#include "wire/wire.h"

#include <stdlib.h>
#include <string.h>

enum {
    UNPACKED_MAX = 1 << 20,
    BUDGET = 64 << 20,
    CRC_AT = 17,
    HEADERS_MAX = 64,
};

static int append(struct batch_builder *b, struct record *record)
{
    struct record_header headers[HEADERS_MAX];
    struct record_input input = {record->timestamp, record->key, record->value, headers, 0};
    while (input.header_count < HEADERS_MAX &&
           record_header_next(record, &headers[input.header_count])) {
        input.header_count++;
    }
    return batch_append(b, &input);
}

static int32_t count_records(const struct batch_header *h, struct bytes records,
                             struct batch_builder *b)
{
    struct record_reader reader;
    struct record record;
    record_reader_init(&reader, h, records);
    int32_t count = 0;
    int more;
    while ((more = record_next(&reader, &record)) > 0) {
        count++;
        assert(count <= h->record_count);
        if (b && append(b, &record) != 0) {
            return -1;
        }
    }
    assert(more == 0 || more == ERR_MALFORMED);
    return more ? -1 : count;
}

static void rebuild(struct batch_builder *b, int32_t count, int codec)
{
    struct batch_options options = batch_options_default();
    options.codec = (enum codec)codec;
    struct bytes out;
    if (batch_finish(b, &options, &out) != 0) {
        return;
    }
    struct batch_header h;
    int error = batch_check(&h, out.data, out.size, BATCH_FROM_PRODUCER);
    assert(error == 0);
    assert(h.record_count == count);
    if (batch_codec(&h) == CODEC_NONE) {
        struct bytes records = {out.data + BATCH_HEADER_SIZE, out.size - BATCH_HEADER_SIZE};
        int32_t again = count_records(&h, records, NULL);
        assert(again == count);
    }
}

static void check_batch(const uint8_t *batch, size_t size, int codec)
{
    struct batch_header h;
    if (batch_header_read(&h, batch, size) != 0 || batch_check_crc(&h, batch) != 0) {
        return;
    }
    (void)!batch_check_rules(&h, BATCH_FROM_PRODUCER);
    if (batch_check_rules(&h, BATCH_FROM_LOG) != 0) {
        return;
    }
    struct memory memory;
    struct wire_writer w;
    struct batch_builder b;
    memory_init(&memory, BUDGET);
    wire_writer_init(&w, &memory, UNPACKED_MAX);
    batch_builder_init(&b, &memory, 2 * UNPACKED_MAX);
    struct bytes packed = {batch + BATCH_HEADER_SIZE, h.size - BATCH_HEADER_SIZE};
    struct decompress_limits limits = decompress_limits_of(UNPACKED_MAX);
    if (decompress_append(batch_codec(&h), packed, &limits, &memory, &w) == 0) {
        int32_t count = count_records(&h, (struct bytes){w.data, w.size}, &b);
        if (count > 0) {
            rebuild(&b, count, codec);
        }
    }
    batch_builder_deinit(&b);
    wire_writer_deinit(&w);
    assert(memory.used_bytes == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    uint8_t *batch = malloc(size);
    assert(batch);
    memcpy(batch, data + 1, size - 1);
    size_t batch_size = size - 1;
    struct batch_header h;
    if (data[0] & 1 && batch_header_read(&h, batch, batch_size) == 0) {
        put_be32(batch + CRC_AT, crc32c(0, batch + BATCH_CRC_FROM, h.size - BATCH_CRC_FROM));
    }
    check_batch(batch, batch_size, (data[0] >> 1) % CODEC_COUNT);
    free(batch);
    return 0;
}
