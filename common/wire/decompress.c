/* SPDX-License-Identifier: Apache-2.0 */

/* The reading half: one step function per codec, each of which produces something, ends, or fails.
 *
 *     decompress_read --> step --> bytes --> again until the caller's room is full
 *                              --> ended (input used up at the end of a stream)
 *                              --> error, latched
 *
 * A step that neither consumes nor produces is a truncated input: that is what ends the loop. */
#include "wire/compress.h"

#include "base/errors.h"
#include "wire/compress_private.h"

#define LZ4F_STATIC_LINKING_ONLY
#define ZSTD_STATIC_LINKING_ONLY
#include <lz4frame.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

enum {
    WINDOW_LOG_MIN = 10,
    WINDOW_LOG_MAX = 27,
    STEP_INPUT_MAX = 1 << 30, /* bytes handed to a codec at once: zlib counts in 32 bits */
};

/* At the end of one stream: all is done, unless another one follows. */
static void stream_ended(struct decompressor *d)
{
    assert(d->position <= d->in.size);
    d->ended = d->position == d->in.size;
}

static size_t step_fail(struct decompressor *d, int error)
{
    assert(error < 0);
    d->error = error;
    return 0;
}

static size_t step_none(struct decompressor *d, uint8_t *out, size_t size)
{
    size_t left = d->in.size - d->position;
    size_t take = left < size ? left : size;
    if (take) {
        memcpy(out, d->in.data + d->position, take);
    }
    d->position += take;
    stream_ended(d);
    return take;
}

static size_t step_gzip(struct decompressor *d, uint8_t *out, size_t size)
{
    z_stream *stream = d->state;
    size_t left = d->in.size - d->position;
    stream->next_in = (uint8_t *)(uintptr_t)d->in.data + d->position;
    stream->avail_in = (uInt)(left < STEP_INPUT_MAX ? left : STEP_INPUT_MAX);
    stream->next_out = out;
    stream->avail_out = (uInt)(size < STEP_INPUT_MAX ? size : STEP_INPUT_MAX);
    uInt in_before = stream->avail_in, out_before = stream->avail_out;
    int result = inflate(stream, Z_NO_FLUSH);
    d->position += in_before - stream->avail_in;
    size_t made = out_before - stream->avail_out;
    if (result == Z_STREAM_END) {
        stream_ended(d);
        if (!d->ended && inflateReset(stream) != Z_OK) {
            return step_fail(d, ERR_CORRUPT_MESSAGE);
        }
        return made;
    }
    if (result == Z_MEM_ERROR) {
        return step_fail(d, ERR_NO_MEMORY);
    }
    if (result != Z_OK || (made == 0 && in_before == stream->avail_in)) {
        return step_fail(d, ERR_CORRUPT_MESSAGE);
    }
    return made;
}

static size_t step_lz4(struct decompressor *d, uint8_t *out, size_t size)
{
    size_t used = d->in.size - d->position, made = size;
    size_t result = LZ4F_decompress(d->state, out, &made, d->in.data + d->position, &used, NULL);
    if (LZ4F_isError(result)) {
        bool memory = LZ4F_getErrorCode(result) == LZ4F_ERROR_allocation_failed;
        return step_fail(d, memory ? ERR_NO_MEMORY : ERR_CORRUPT_MESSAGE);
    }
    d->position += used;
    if (result == 0) {
        stream_ended(d);
    } else if (made == 0 && used == 0) {
        return step_fail(d, ERR_CORRUPT_MESSAGE);
    }
    return made;
}

/* A frame that says its size must give as much. The library holds frames to that on most of its
 * paths, but not when an empty last block ends one in pieces. */
static size_t step_zstd(struct decompressor *d, uint8_t *out, size_t size)
{
    ZSTD_inBuffer in = {d->in.data, d->in.size, d->position};
    ZSTD_outBuffer to = {out, size, 0};
    if (!d->zstd.in_frame) {
        d->zstd.in_frame = true;
        d->zstd.frame_produced = 0;
        d->zstd.frame_size =
            ZSTD_getFrameContentSize(d->in.data + d->position, d->in.size - d->position);
    }
    size_t result = ZSTD_decompressStream(d->zstd.state, &to, &in);
    if (ZSTD_isError(result)) {
        bool memory = ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation;
        return step_fail(d, memory ? ERR_NO_MEMORY : ERR_CORRUPT_MESSAGE);
    }
    bool stuck = to.pos == 0 && in.pos == d->position;
    d->position = in.pos;
    d->zstd.frame_produced += to.pos;
    if (result == 0) {
        uint64_t expected = d->zstd.frame_size;
        if (expected != ZSTD_CONTENTSIZE_UNKNOWN && expected != d->zstd.frame_produced) {
            return step_fail(d, ERR_CORRUPT_MESSAGE);
        }
        d->zstd.in_frame = false;
        stream_ended(d);
    } else if (stuck) {
        return step_fail(d, ERR_CORRUPT_MESSAGE);
    }
    return to.pos;
}

/* Makes the next block of snappy, whole: its length stands in front and is held against what may
 * still be produced (D1) before there is memory for it. */
static void snappy_fill(struct decompressor *d)
{
    size_t size = d->in.size - d->position;
    const uint8_t *at = d->in.data + d->position;
    if (d->snappy.framed) {
        if (size < sizeof(uint32_t) || get_be32(at) > size - sizeof(uint32_t)) {
            d->error = ERR_CORRUPT_MESSAGE;
            return;
        }
        size = get_be32(at);
        at += sizeof(uint32_t);
        d->position += sizeof(uint32_t);
    }
    size_t length;
    if (snappy_uncompressed_length((const char *)at, size, &length) != SNAPPY_OK) {
        d->error = ERR_CORRUPT_MESSAGE;
        return;
    }
    if (length > d->max - d->produced) {
        d->error = ERR_TOO_LARGE;
        return;
    }
    memory_free(d->memory, d->snappy.block);
    d->snappy.block = memory_alloc_aligned(d->memory, length, MEMORY_ALIGN);
    d->snappy.block_size = d->snappy.block_position = 0;
    if (!d->snappy.block) {
        d->error = ERR_NO_MEMORY;
        return;
    }
    if (snappy_uncompress((const char *)at, size, (char *)d->snappy.block, &length) != SNAPPY_OK) {
        d->error = ERR_CORRUPT_MESSAGE;
        return;
    }
    d->snappy.block_size = length;
    d->position += size;
}

static size_t step_snappy(struct decompressor *d, uint8_t *out, size_t size)
{
    size_t left = d->snappy.block_size - d->snappy.block_position;
    if (left == 0) {
        if (d->position == d->in.size) {
            d->ended = true;
            return 0;
        }
        snappy_fill(d);
        left = d->snappy.block_size;
        if (d->error) {
            return 0;
        }
    }
    size_t take = left < size ? left : size;
    if (take) {
        memcpy(out, d->snappy.block + d->snappy.block_position, take);
    }
    d->snappy.block_position += take;
    return take;
}

static size_t step(struct decompressor *d, uint8_t *out, size_t size)
{
    assert(size > 0);
    assert(!d->ended && !d->error);
    switch (d->codec) {
    case CODEC_NONE:
        return step_none(d, out, size);
    case CODEC_GZIP:
        return step_gzip(d, out, size);
    case CODEC_SNAPPY:
        return step_snappy(d, out, size);
    case CODEC_LZ4:
        return step_lz4(d, out, size);
    default:
        assert(d->codec == CODEC_ZSTD);
        return step_zstd(d, out, size);
    }
}

int64_t decompress_read(struct decompressor *d, uint8_t *out, size_t size)
{
    assert(d->memory);
    assert(size > 0);
    size_t filled = 0;
    while (filled < size && !d->ended && !d->error) {
        size_t room = size - filled;
        bool at_limit = d->produced == d->max;
        uint8_t beyond;
        if (at_limit) {
            /* Only the end may follow now: a byte of room tells whether it does. */
            if (step(d, &beyond, 1) > 0) {
                d->error = ERR_TOO_LARGE;
            }
            continue;
        }
        room = room < d->max - d->produced ? room : d->max - d->produced;
        size_t made = step(d, out + filled, room);
        assert(made <= room);
        filled += made;
        d->produced += made;
    }
    return d->error ? d->error : (int64_t)filled;
}

static int open_gzip(struct decompressor *d)
{
    z_stream *stream = memory_alloc(d->memory, sizeof *stream);
    if (!stream) {
        return ERR_NO_MEMORY;
    }
    *stream = (z_stream){.zalloc = codec_zalloc, .zfree = codec_free, .opaque = d->memory};
    if (inflateInit2(stream, GZIP_HEADER + MAX_WBITS) != Z_OK) {
        memory_free(d->memory, stream);
        return ERR_NO_MEMORY;
    }
    d->state = stream;
    return 0;
}

static int open_zstd(struct decompressor *d, int window_log_max)
{
    assert(window_log_max >= WINDOW_LOG_MIN && window_log_max <= WINDOW_LOG_MAX);
    if (d->kept && d->kept->zstd_decompress) {
        assert(d->kept->memory == d->memory);
        d->zstd.state = take_kept(&d->kept->zstd_decompress);
    } else {
        ZSTD_customMem custom = {codec_alloc, codec_free, d->memory};
        d->zstd.state = ZSTD_createDCtx_advanced(custom);
    }
    if (!d->zstd.state) {
        return ERR_NO_MEMORY;
    }
    size_t result = ZSTD_DCtx_setParameter(d->zstd.state, ZSTD_d_windowLogMax, window_log_max);
    assert(!ZSTD_isError(result));
    return 0;
}

static void close_zstd(struct decompressor *d)
{
    if (d->kept && ZSTD_sizeof_DCtx(d->zstd.state) <= CODEC_KEPT_BYTES) {
        size_t result = ZSTD_DCtx_reset(d->zstd.state, ZSTD_reset_session_only);
        assert(!ZSTD_isError(result));
        d->kept->memory = d->memory;
        d->kept->zstd_decompress = d->zstd.state;
    } else {
        ZSTD_freeDCtx(d->zstd.state);
    }
}

static void open_snappy(struct decompressor *d)
{
    d->snappy.framed = d->in.size >= SNAPPY_FRAME_HEADER &&
                       memcmp(d->in.data, SNAPPY_FRAME_MAGIC, sizeof SNAPPY_FRAME_MAGIC) == 0;
    d->position = d->snappy.framed ? SNAPPY_FRAME_HEADER : 0;
}

static int open_codec(struct decompressor *d, int window_log_max)
{
    switch (d->codec) {
    case CODEC_NONE:
        return 0;
    case CODEC_GZIP:
        return open_gzip(d);
    case CODEC_SNAPPY:
        open_snappy(d);
        return 0;
    case CODEC_LZ4: {
        LZ4F_CustomMem custom = {codec_alloc, codec_calloc, codec_free, d->memory};
        d->state = LZ4F_createDecompressionContext_advanced(custom, LZ4F_VERSION);
        return d->state ? 0 : ERR_NO_MEMORY;
    }
    case CODEC_ZSTD:
        return open_zstd(d, window_log_max);
    default:
        return ERR_INVALID_ARGUMENT;
    }
}

static int open_kept(struct decompressor *d, struct codec_kept *kept, enum codec codec,
                     struct bytes in, const struct decompress_limits *limits, struct memory *memory)
{
    assert(memory);
    assert(in.data || in.size == 0);
    *d = (struct decompressor){.codec = codec, .memory = memory, .kept = kept, .in = in};
    d->max = limits->output_max;
    if (limits->ratio_max > 0 && in.size < SIZE_MAX / limits->ratio_max) {
        size_t by_ratio = in.size * limits->ratio_max;
        by_ratio = by_ratio > limits->ratio_free ? by_ratio : limits->ratio_free;
        d->max = d->max < by_ratio ? d->max : by_ratio;
    }
    int error = open_codec(d, limits->window_log_max);
    if (error) {
        *d = (struct decompressor){0};
    }
    return error;
}

int decompress_open(struct decompressor *d, enum codec codec, struct bytes in,
                    const struct decompress_limits *limits, struct memory *memory)
{
    return open_kept(d, NULL, codec, in, limits, memory);
}

void decompress_close(struct decompressor *d)
{
    if (!d || !d->memory) {
        return;
    }
    switch (d->codec) {
    case CODEC_GZIP:
        inflateEnd(d->state);
        memory_free(d->memory, d->state);
        break;
    case CODEC_SNAPPY:
        memory_free(d->memory, d->snappy.block);
        break;
    case CODEC_LZ4:
        LZ4F_freeDecompressionContext(d->state);
        break;
    case CODEC_ZSTD:
        close_zstd(d);
        break;
    default:
        break;
    }
    *d = (struct decompressor){0};
}

/* Appends at most `piece` bytes; returns how many, or an error. */
static int64_t append_piece(struct decompressor *d, size_t piece, struct wire_writer *out)
{
    size_t before = out->size, room = out->limit - before;
    room = room < piece ? room : piece;
    if (room == 0) {
        uint8_t beyond;
        int64_t made = decompress_read(d, &beyond, 1);
        return made > 0 ? ERR_TOO_LARGE : made;
    }
    uint8_t *at = wire_writer_room(out, room);
    if (!at) {
        return out->error;
    }
    int64_t made = decompress_read(d, at, room);
    out->size = before + (made > 0 ? (size_t)made : 0);
    return made;
}

int decompress_append(enum codec codec, struct bytes in, const struct decompress_limits *limits,
                      struct memory *memory, struct wire_writer *out)
{
    return decompress_append_kept(NULL, codec, in, limits, memory, out);
}

int decompress_append_kept(struct codec_kept *kept, enum codec codec, struct bytes in,
                           const struct decompress_limits *limits, struct memory *memory,
                           struct wire_writer *out)
{
    enum { PIECE_MIN = 4096, PIECE_MAX = 1 << 20 };
    if (out->error) {
        return out->error;
    }
    struct decompressor d;
    int error = open_kept(&d, kept, codec, in, limits, memory);
    if (error) {
        return error;
    }
    struct wire_mark mark = wire_writer_mark(out);
    size_t piece = in.size * 2 < PIECE_MIN ? PIECE_MIN : in.size * 2;
    piece = piece > PIECE_MAX ? PIECE_MAX : piece;
    int64_t made;
    do {
        made = append_piece(&d, piece, out);
    } while (made > 0);
    decompress_close(&d);
    if (made < 0) {
        wire_writer_rewind(out, mark);
    }
    return made < 0 ? (int)made : 0;
}
