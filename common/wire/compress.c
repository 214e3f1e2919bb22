/* SPDX-License-Identifier: Apache-2.0 */

/* The writing half. Room for the worst case is taken from the writer first and what was not needed
 * is given back, so that the compressed bytes are made where they stay. */
#include "wire/compress.h"

#include "base/errors.h"
#include "wire/compress_private.h"

#define LZ4F_STATIC_LINKING_ONLY
#define ZSTD_STATIC_LINKING_ONLY
#include <lz4frame.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

static_assert(SNAPPY_FRAME_HEADER == sizeof SNAPPY_FRAME_MAGIC + 2 * sizeof(int32_t), "header");

enum {
    SNAPPY_BLOCK_SIZE = 65536,
    SNAPPY_FRAME_VERSION = 1,
    GZIP_MEMORY_LEVEL_MAX = 8,
    GZIP_MEMORY_LEVEL_SYMBOLS =
        6, /* a level of n makes room for 2^(n + 6) symbols, and twice as many hashes */
    GZIP_WINDOW_BITS_MIN = 9,
    GZIP_WINDOW_BITS_MAX = 15,
    GZIP_LOOKAHEAD = 262, /* bytes at the end of a window that matches do not reach */
};

static const char *const codec_names[CODEC_COUNT] = {"none", "gzip", "snappy", "lz4", "zstd"};

const char *codec_name(enum codec codec)
{
    assert(codec < CODEC_COUNT);
    return codec_names[codec];
}

enum codec codec_find(const char *name)
{
    int codec = 0;
    while (codec < CODEC_COUNT && strcmp(codec_names[codec], name) != 0) {
        codec++;
    }
    return (enum codec)codec;
}

static int level_within(int level, int otherwise, int min, int max)
{
    assert(min <= max);
    if (level == CODEC_LEVEL_DEFAULT) {
        return otherwise;
    }
    return level < min ? min : level > max ? max : level;
}

/* Gives back what of the last `room` bytes was not used. */
static void writer_give_back(struct wire_writer *w, size_t room, size_t used)
{
    assert(used <= room);
    assert(room <= w->size);
    w->size -= room - used;
}

/* zlib takes and clears 256 KiB for the largest window and table of hashes, which costs more than to
 * compress a batch of a few records. Smaller ones that hold the whole input find what those do. */
static int gzip_open(z_stream *stream, int level, size_t size)
{
    int memory_level = 1, window_bits = GZIP_WINDOW_BITS_MIN;
    while (memory_level < GZIP_MEMORY_LEVEL_MAX &&
           size >> (memory_level + GZIP_MEMORY_LEVEL_SYMBOLS) > 0) {
        memory_level++;
    }
    while (window_bits < GZIP_WINDOW_BITS_MAX && (size + GZIP_LOOKAHEAD) >> window_bits > 0) {
        window_bits++;
    }
    return deflateInit2(stream, level, Z_DEFLATED, window_bits + GZIP_HEADER, memory_level,
                        Z_DEFAULT_STRATEGY);
}

static int compress_gzip(int level, struct bytes in, struct memory *memory, struct wire_writer *out)
{
    if (in.size > INT32_MAX) {
        return ERR_TOO_LARGE;
    }
    z_stream stream = {.zalloc = codec_zalloc, .zfree = codec_free, .opaque = memory};
    level = level_within(level, Z_DEFAULT_COMPRESSION, 1, Z_BEST_COMPRESSION);
    if (gzip_open(&stream, level, in.size) != Z_OK) {
        return ERR_NO_MEMORY;
    }
    int error = 0;
    size_t room = deflateBound(&stream, in.size);
    uint8_t *at = wire_writer_room(out, room);
    if (at) {
        stream.next_in = (uint8_t *)(uintptr_t)in.data;
        stream.avail_in = (uInt)in.size;
        stream.next_out = at;
        stream.avail_out = (uInt)room;
        int result = deflate(&stream, Z_FINISH);
        assert(result == Z_STREAM_END);
        writer_give_back(out, room, stream.total_out);
    } else {
        error = out->error;
    }
    deflateEnd(&stream);
    return error;
}

static int compress_snappy(struct bytes in, struct wire_writer *out)
{
    wire_put(out, SNAPPY_FRAME_MAGIC, sizeof SNAPPY_FRAME_MAGIC);
    wire_put_be32(out, SNAPPY_FRAME_VERSION);
    wire_put_be32(out, SNAPPY_FRAME_VERSION);
    for (size_t at = 0; at < in.size && !out->error; at += SNAPPY_BLOCK_SIZE) {
        size_t left = in.size - at;
        size_t take = left < SNAPPY_BLOCK_SIZE ? left : SNAPPY_BLOCK_SIZE;
        size_t room = snappy_max_compressed_length(take), used = room;
        uint8_t *block = wire_writer_room(out, sizeof(uint32_t) + room);
        if (block) {
            snappy_status status = snappy_compress((const char *)in.data + at, take,
                                                   (char *)block + sizeof(uint32_t), &used);
            assert(status == SNAPPY_OK);
            put_be32(block, (uint32_t)used);
            writer_give_back(out, room, used);
        }
    }
    return out->error;
}

static int compress_lz4(int level, struct bytes in, struct memory *memory, struct wire_writer *out)
{
    LZ4F_CustomMem custom = {codec_alloc, codec_calloc, codec_free, memory};
    LZ4F_preferences_t preferences = {
        .frameInfo = {.blockSizeID = LZ4F_max64KB, .blockMode = LZ4F_blockIndependent},
        .compressionLevel = level_within(level, 0, 0, LZ4F_compressionLevel_max()),
    };
    LZ4F_cctx *context = LZ4F_createCompressionContext_advanced(custom, LZ4F_VERSION);
    if (!context) {
        return ERR_NO_MEMORY;
    }
    int error = 0;
    size_t room = LZ4F_compressFrameBound(in.size, &preferences);
    uint8_t *at = wire_writer_room(out, room);
    if (!at) {
        error = out->error;
        goto free_context;
    }
    size_t used =
        LZ4F_compressFrame_usingCDict(context, at, room, in.data, in.size, NULL, &preferences);
    if (LZ4F_isError(used)) {
        error = ERR_NO_MEMORY;
        goto free_context;
    }
    writer_give_back(out, room, used);
free_context:
    LZ4F_freeCompressionContext(context);
    return error;
}

static ZSTD_CCtx *zstd_context(struct codec_kept *kept, struct memory *memory)
{
    if (kept && kept->zstd_compress) {
        assert(kept->memory == memory);
        return take_kept(&kept->zstd_compress);
    }
    return ZSTD_createCCtx_advanced((ZSTD_customMem){codec_alloc, codec_free, memory});
}

static void zstd_context_done(struct codec_kept *kept, struct memory *memory, ZSTD_CCtx *context)
{
    if (kept && ZSTD_sizeof_CCtx(context) <= CODEC_KEPT_BYTES) {
        kept->memory = memory;
        kept->zstd_compress = context;
    } else {
        ZSTD_freeCCtx(context);
    }
}

static int compress_zstd(struct codec_kept *kept, int level, struct bytes in, struct memory *memory,
                         struct wire_writer *out)
{
    ZSTD_CCtx *context = zstd_context(kept, memory);
    if (!context) {
        return ERR_NO_MEMORY;
    }
    level = level_within(level, ZSTD_CLEVEL_DEFAULT, ZSTD_minCLevel(), ZSTD_maxCLevel());
    int error = 0;
    size_t room = ZSTD_compressBound(in.size);
    uint8_t *at = wire_writer_room(out, room);
    if (!at) {
        error = out->error;
        goto free_context;
    }
    size_t used = ZSTD_compressCCtx(context, at, room, in.data, in.size, level);
    if (ZSTD_isError(used)) {
        error = ERR_NO_MEMORY;
        goto free_context;
    }
    writer_give_back(out, room, used);
free_context:
    zstd_context_done(kept, memory, context);
    return error;
}

void codec_kept_free(struct codec_kept *kept)
{
    ZSTD_freeCCtx(kept->zstd_compress);
    ZSTD_freeDCtx(kept->zstd_decompress);
    *kept = (struct codec_kept){0};
}

int compress_append(enum codec codec, int level, struct bytes in, struct memory *memory,
                    struct wire_writer *out)
{
    return compress_append_kept(NULL, codec, level, in, memory, out);
}

int compress_append_kept(struct codec_kept *kept, enum codec codec, int level, struct bytes in,
                         struct memory *memory, struct wire_writer *out)
{
    assert(in.data || in.size == 0);
    if (out->error) {
        return out->error;
    }
    struct wire_mark mark = wire_writer_mark(out);
    int error = ERR_INVALID_ARGUMENT;
    switch (codec) {
    case CODEC_NONE:
        wire_put(out, in.data, in.size);
        error = out->error;
        break;
    case CODEC_GZIP:
        error = compress_gzip(level, in, memory, out);
        break;
    case CODEC_SNAPPY:
        error = compress_snappy(in, out);
        break;
    case CODEC_LZ4:
        error = compress_lz4(level, in, memory, out);
        break;
    case CODEC_ZSTD:
        error = compress_zstd(kept, level, in, memory, out);
        break;
    case CODEC_COUNT:
        break;
    }
    if (error) {
        wire_writer_rewind(out, mark);
    }
    return error;
}
