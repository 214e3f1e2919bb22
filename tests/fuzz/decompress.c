/* SPDX-License-Identifier: Apache-2.0 */

/* The four codecs on any bytes. First byte: codec; second: the size of the pieces that are read;
 * third: the bound of the output. Pieces and the whole must agree, and the bounds hold. */
#include "wire/wire.h"

#include <stdlib.h>
#include <string.h>

enum {
    BUDGET = 64 << 20,
    WORKSPACE_MAX = 10 << 20,
    WHOLE_MAX = 1 << 17,
};

static int64_t read_pieces(enum codec codec, struct bytes in,
                           const struct decompress_limits *limits, size_t piece,
                           struct wire_writer *whole)
{
    struct memory memory;
    struct decompressor d;
    memory_init(&memory, BUDGET);
    int error = decompress_open(&d, codec, in, limits, &memory);
    if (error) {
        return error;
    }
    uint8_t *out = malloc(piece);
    assert(out);
    size_t total = 0;
    int64_t made;
    while ((made = decompress_read(&d, out, piece)) > 0) {
        assert((size_t)made <= piece);
        assert(memory.used_bytes <= WORKSPACE_MAX + limits->output_max);
        if (whole) {
            assert(total + (size_t)made <= whole->size);
            assert(memcmp(whole->data + total, out, (size_t)made) == 0);
        }
        total += (size_t)made;
        assert(total <= limits->output_max);
    }
    free(out);
    decompress_close(&d);
    assert(memory.used_bytes == 0);
    return made < 0 ? made : (int64_t)total;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3) {
        return 0;
    }
    enum codec codec = (enum codec)(data[0] % CODEC_COUNT);
    size_t piece = (size_t)1 << data[1] % 17;
    struct decompress_limits limits = decompress_limits_of((size_t)1 << data[2] % 18);
    struct bytes in = {data + 3, size - 3};
    struct memory memory;
    struct wire_writer whole;
    memory_init(&memory, BUDGET);
    wire_writer_init(&whole, &memory, WHOLE_MAX);
    int error = decompress_append(codec, in, &limits, &memory, &whole);
    int64_t total = read_pieces(codec, in, &limits, piece, error ? NULL : &whole);
    assert(error ? total < 0 : total == (int64_t)whole.size);
    wire_writer_deinit(&whole);
    assert(memory.used_bytes == 0);
    return 0;
}
