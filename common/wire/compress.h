/* SPDX-License-Identifier: Apache-2.0 */

/* compress: the four codecs of record batches, from and to memory with a budget.
 *
 *     gzip     one or more gzip members
 *     snappy   a raw block, or the framing of snappy-java: magic 82 'SNAPPY' 00, two int32, then
 *              int32 length and raw block, repeated. Both are read; the framing is written.
 *     lz4      LZ4 frames. Written with independent blocks, as the Java clients demand.
 *     zstd     Zstandard frames
 *
 * Decompression pulls: nothing is produced that nobody asked for. Any input gives bytes or an
 * error: D1  At most `output_max` bytes are ever produced, and at most `ratio_max` times the input
 * once that is more than `ratio_free` (0: no bound by ratio). One more byte is ERR_TOO_LARGE. D2
 * The workspace is bounded by the codec: 64 KiB for gzip, 9 MiB for lz4, the window for zstd (2 ^
 * window_log_max and 256 KiB), one block for snappy, itself bounded by D1. D3  Output ends only
 * where the input ends: bytes that are missing or left over are ERR_CORRUPT_MESSAGE. All memory is
 * taken from the struct memory; only snappy's compressor has some of its own for the length of a
 * call. Not thread-safe; each object is used by one thread at a time. */
#pragma once

#include "base/bytes.h"
#include "base/memory.h"
#include "wire/writer.h"

enum codec {
    CODEC_NONE,
    CODEC_GZIP,
    CODEC_SNAPPY,
    CODEC_LZ4,
    CODEC_ZSTD,
    CODEC_COUNT,
};

/* "none", "gzip", "snappy", "lz4", "zstd". */
const char *codec_name(enum codec codec);

/* The codec of a name, or CODEC_COUNT. */
enum codec codec_find(const char *name);

enum { CODEC_LEVEL_DEFAULT = -1000 };

/* What of a codec is used again by later calls with the same memory: contexts of zstd up to
 * CODEC_KEPT_BYTES each. Making one asks the processor what it can (CPUID); a virtual machine leaves
 * for that, which takes longer than a few records take to be compressed. All zero is empty;
 * codec_kept_free() before the memory goes. */
struct codec_kept {
    struct memory *memory; /* of the contexts */
    void *zstd_compress, *zstd_decompress;
};

enum { CODEC_KEPT_BYTES = 1 << 20 };

void codec_kept_free(struct codec_kept *kept);

/* Appends the compressed form of `in` to `out`. `level` is the codec's own or CODEC_LEVEL_DEFAULT;
 * what is outside its range is brought into it. CODEC_NONE copies. ERR_NO_MEMORY, ERR_TOO_LARGE;
 * then `out` is as it was, but for its latched error. */
int compress_append(enum codec codec, int level, struct bytes in, struct memory *memory,
                    struct wire_writer *out) MUST_CHECK;
/* The same; `kept` may be NULL. */
int compress_append_kept(struct codec_kept *kept, enum codec codec, int level, struct bytes in,
                         struct memory *memory, struct wire_writer *out) MUST_CHECK;

struct decompress_limits {
    size_t output_max;
    uint32_t ratio_max; /* 0: any */
    size_t ratio_free;
    uint8_t window_log_max; /* zstd; 10 to 27 */
};

/* For batches of up to `output_max` uncompressed bytes: ratio 200 above 1 MiB, window 8 MiB, which
 * every level but zstd's "ultra" ones stays within. */
static inline struct decompress_limits decompress_limits_of(size_t output_max)
{
    return (struct decompress_limits){output_max, 200, 1 << 20, 23};
}

struct decompressor {
    enum codec codec;
    struct memory *memory;
    struct codec_kept *kept; /* or NULL */
    struct bytes in;         /* lent by the caller until close */
    size_t position;         /* in `in`: consumed so far */
    size_t produced, max;    /* bytes out so far, and D1's bound */
    int error;               /* latched */
    bool ended;
    union {
        void *state; /* gzip, lz4 */
        struct {
            void *state;
            bool in_frame;
            uint64_t frame_size, frame_produced; /* what the frame says, what it gave */
        } zstd;
        struct {
            uint8_t *block;
            size_t block_size, block_position;
            bool framed;
        } snappy;
    };
};

/* ERR_NO_MEMORY, ERR_INVALID_ARGUMENT for an unknown codec. A failed open needs no close. */
int decompress_open(struct decompressor *d, enum codec codec, struct bytes in,
                    const struct decompress_limits *limits, struct memory *memory) MUST_CHECK;

/* Fills up to `size` > 0 bytes and returns how many: fewer only at the end, where it is 0. Or
 * ERR_CORRUPT_MESSAGE, ERR_TOO_LARGE, ERR_NO_MEMORY: then what was filled has no meaning. */
int64_t decompress_read(struct decompressor *d, uint8_t *out, size_t size) MUST_CHECK;

/* All-zero and closed ones are accepted. */
void decompress_close(struct decompressor *d);

/* Everything at once, appended to `out`; its limit applies as well. On failure `out` is as it was,
 * but for its latched error. */
int decompress_append(enum codec codec, struct bytes in, const struct decompress_limits *limits,
                      struct memory *memory, struct wire_writer *out) MUST_CHECK;
/* The same; `kept` may be NULL. */
int decompress_append_kept(struct codec_kept *kept, enum codec codec, struct bytes in,
                           const struct decompress_limits *limits, struct memory *memory,
                           struct wire_writer *out) MUST_CHECK;
