/* SPDX-License-Identifier: Apache-2.0 */

#include "api/produce_keys.h"

#include "base/errors.h"

enum {
    KEYS_UNPACKED_MAX = 32 << 20, /* as compaction's */
    KEYS_MEMORY_MAX = 96 << 20, /* a growing buffer exists twice for a moment; codecs need theirs */
};

static int check_records(const struct batch_header *h, struct bytes records, int32_t *index,
                         const char **why)
{
    struct record_reader reader;
    struct record record;
    int verdict;
    int32_t at = 0;
    record_reader_init(&reader, h, records);
    while ((verdict = record_next(&reader, &record)) == 1) {
        if (record.key.size < 0) {
            *index = at;
            *why = "a compacted topic takes no record without key";
            return ERR_INVALID_RECORD;
        }
        at++;
    }
    if (verdict < 0) {
        *why = "the records of the batch cannot be read, and the topic is compacted";
        return ERR_INVALID_RECORD;
    }
    return 0;
}

int produce_check_keys(const struct batch_header *h, const void *batch, size_t size, int32_t *index,
                       const char **why)
{
    assert(h->size == size && size >= BATCH_HEADER_SIZE);
    struct bytes packed =
        bytes_of((const uint8_t *)batch + BATCH_HEADER_SIZE, size - BATCH_HEADER_SIZE);
    *index = -1;
    if (batch_codec(h) == CODEC_NONE) {
        return check_records(h, packed, index, why);
    }
    struct decompress_limits limits = decompress_limits_of(KEYS_UNPACKED_MAX);
    struct memory memory; /* of its own: for the length of this call, and one call at a time */
    struct wire_writer unpacked;
    memory_init(&memory, KEYS_MEMORY_MAX);
    wire_writer_init(&unpacked, &memory, KEYS_UNPACKED_MAX);
    int error = decompress_append(batch_codec(h), packed, &limits, &memory, &unpacked);
    if (error == 0) {
        error = check_records(h, bytes_of(unpacked.data, unpacked.size), index, why);
    } else if (error != ERR_NO_MEMORY) {
        *why = "the batch cannot be unpacked within the limits, and the topic is compacted";
        error = ERR_INVALID_RECORD;
    }
    wire_writer_deinit(&unpacked);
    memory_drop(&memory);
    return error;
}
