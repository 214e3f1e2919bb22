/* SPDX-License-Identifier: Apache-2.0 */

/* Any bytes as vote file, as voters file and as meta.properties: refused, or a value that is written as
 * the same bytes. The first byte says whether the sums of vote and voters are made right first. */
#include "meta/identity.h"
#include "meta/voters_file.h"

#include "base/crc32c.h"

enum { CRC_FROM = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A value of another release may name more endpoints, so only what is ours comes back byte by byte. */
static void one_voters_file(const uint8_t *data, size_t size, bool mend)
{
    struct voters_file file, again;
    struct memory memory;
    struct wire_writer w;
    memory_init(&memory, 1 << 20);
    uint8_t *copy = memory_alloc(&memory, size + 1);
    if (size > 0) {
        memcpy(copy, data, size);
    }
    if (mend && size >= VOTERS_FILE_FROM) {
        put_be32(copy, 0x4c565331); /* "LVS1" */
        put_be32(copy + 44, (uint32_t)(size - VOTERS_FILE_FROM));
        put_be32(copy + 4, crc32c(0, copy + CRC_FROM, size - CRC_FROM));
    }
    int error = voters_file_decode(&file, bytes_of(copy, size), &memory);
    assert(error <= 0);
    if (!error) {
        wire_writer_init(&w, &memory, VOTERS_FILE_MAX);
        error = voters_file_encode(&file, &w);
        assert(!error);
        assert(memcmp(w.data + 8, copy + 8, 36) == 0);
        error = voters_file_decode(&again, bytes_of(w.data, w.size), &memory);
        assert(!error && again.voters.count == file.voters.count);
        wire_writer_deinit(&w);
    }
    memory_drop(&memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct identity id;
    struct vote vote;
    uint8_t file[VOTE_FILE_SIZE] = {0}, slot[VOTE_SLOT_SIZE];
    char text[IDENTITY_SIZE_MAX];
    int write_first = -1;
    if (size < 1) {
        return 0;
    }
    one_voters_file(data + 1, size - 1, data[0] & 1);
    if (identity_decode_any(&id, bytes_of(data + 1, size - 1)) == 0) {
        size_t written = identity_encode(&id, text);
        assert(written == size - 1 && memcmp(text, data + 1, written) == 0);
    }
    int error = vote_choose(&vote, &write_first, bytes_of(data + 1, size - 1));
    assert(!error || error == ERR_MALFORMED);
    /* Two slots of what fits, the second with a bit changed. */
    size_t used = size - 1 < 128 ? size - 1 : 128;
    memcpy(file, data + 1, used);
    memcpy(file + VOTE_SLOT_SIZE, file, VOTE_SLOT_SIZE);
    file[VOTE_SLOT_SIZE + 15] ^= 1;
    for (int i = 0; i < VOTE_SLOTS && (data[0] & 1); i++) {
        uint8_t *at = file + i * VOTE_SLOT_SIZE;
        put_be32(at, 0x4c565431); /* "LVT1" */
        put_be32(at + 4, crc32c(0, at + CRC_FROM, VOTE_SLOT_SIZE - CRC_FROM));
    }
    if (vote_choose(&vote, &write_first, bytes_of(file, sizeof file)) == 0) {
        assert(write_first == 0 || write_first == 1);
        assert(vote.epoch >= 0 && vote.voted_id >= -1);
        vote_encode(&vote, slot);
        assert(memcmp(slot + 8, file + (1 - write_first) * VOTE_SLOT_SIZE + 8, 65) == 0);
    }
    return 0;
}
