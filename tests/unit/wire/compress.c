/* SPDX-License-Identifier: Apache-2.0 */

/* Codecs: what goes in comes out, in any pieces; bombs stop at their bound; broken input is an
 * error and never more. */
#include "base/prng.h"
#include "wire/wire.h"

#include <stdlib.h>

#include <criterion/criterion.h>

enum { ROOM = 8 << 20 };

struct fixture {
    struct memory memory;
    struct wire_writer packed, plain;
};

static void fixture_init(struct fixture *f)
{
    memory_init(&f->memory, 128 << 20);
    wire_writer_init(&f->packed, &f->memory, ROOM);
    wire_writer_init(&f->plain, &f->memory, ROOM);
}

static void fixture_deinit(struct fixture *f)
{
    wire_writer_deinit(&f->packed);
    wire_writer_deinit(&f->plain);
    cr_assert_eq(f->memory.used_bytes, 0u);
}

static struct bytes pack(struct fixture *f, int codec, int level, struct bytes in)
{
    wire_writer_reset(&f->packed);
    cr_assert_eq(compress_append((enum codec)codec, level, in, &f->memory, &f->packed), 0);
    return (struct bytes){f->packed.data, f->packed.size};
}

static int unpack(struct fixture *f, int codec, struct bytes in, size_t max)
{
    struct decompress_limits limits = decompress_limits_of(max);
    limits.ratio_max = 0;
    wire_writer_reset(&f->plain);
    return decompress_append((enum codec)codec, in, &limits, &f->memory, &f->plain);
}

/* Half noise, half repetition. */
static uint8_t *sample(size_t size, uint64_t seed)
{
    struct prng prng = prng_of(seed);
    uint8_t *data = malloc(size ? size : 1);
    for (size_t i = 0; i < size; i++) {
        data[i] = i / 64 % 2 ? (uint8_t)prng_next(&prng) : (uint8_t)(i / 128);
    }
    return data;
}

Test(compress, sizes_and_levels_there_and_back)
{
    static const size_t sizes[] = {0, 1, 100, 65535, 65536, 65537, 300000, 1 << 20};
    static const int levels[] = {CODEC_LEVEL_DEFAULT, -1000000, 1, 9, 1000000};
    struct fixture f;
    fixture_init(&f);
    for (size_t s = 0; s < array_size(sizes); s++) {
        uint8_t *data = sample(sizes[s], s);
        struct bytes in = {data, sizes[s]};
        for (int codec = CODEC_NONE; codec < CODEC_COUNT; codec++) {
            for (size_t l = 0; l < (sizes[s] > 300000 ? 1 : array_size(levels)); l++) {
                struct bytes packed = pack(&f, codec, levels[l], in);
                cr_assert_eq(unpack(&f, codec, packed, sizes[s]), 0, "%s of %zu at its limit",
                             codec_name((enum codec)codec), sizes[s]);
                cr_assert_eq(f.plain.size, sizes[s]);
                cr_assert(sizes[s] == 0 || memcmp(f.plain.data, data, sizes[s]) == 0);
            }
        }
        free(data);
    }
    fixture_deinit(&f);
}

Test(compress, reading_in_any_pieces_gives_the_same_bytes)
{
    struct fixture f;
    fixture_init(&f);
    size_t size = 200000;
    uint8_t *data = sample(size, 3);
    uint8_t *out = malloc(size);
    static const size_t pieces[] = {1, 7, 4096, 65536, 200000, 250000};
    for (int codec = CODEC_NONE; codec < CODEC_COUNT; codec++) {
        struct bytes packed = pack(&f, codec, CODEC_LEVEL_DEFAULT, (struct bytes){data, size});
        for (size_t p = 0; p < array_size(pieces); p++) {
            struct decompress_limits limits = decompress_limits_of(size);
            struct decompressor d;
            cr_assert_eq(decompress_open(&d, (enum codec)codec, packed, &limits, &f.memory), 0);
            uint8_t *piece = malloc(pieces[p]);
            size_t at = 0;
            int64_t made;
            while ((made = decompress_read(&d, piece, pieces[p])) > 0) {
                cr_assert_leq(at + (size_t)made, size);
                memcpy(out + at, piece, (size_t)made);
                at += (size_t)made;
                cr_assert((size_t)made == pieces[p] || at == size, "short only at the end");
            }
            cr_assert_eq(made, 0);
            cr_assert_eq(at, size);
            cr_assert_arr_eq(out, data, size);
            decompress_close(&d);
            decompress_close(&d);
            free(piece);
        }
    }
    free(out);
    free(data);
    fixture_deinit(&f);
}

Test(compress, a_bomb_stops_at_the_bound)
{
    struct fixture f;
    fixture_init(&f);
    size_t size = 4 << 20;
    uint8_t *zeros = calloc(1, size);
    for (int codec = CODEC_GZIP; codec < CODEC_COUNT; codec++) {
        struct bytes packed = pack(&f, codec, CODEC_LEVEL_DEFAULT, (struct bytes){zeros, size});
        cr_assert_lt(packed.size, size / 15);
        cr_assert_eq(unpack(&f, codec, packed, size - 1), ERR_TOO_LARGE);
        cr_assert_eq(f.plain.size, 0u, "nothing is left behind");
        cr_assert_eq(unpack(&f, codec, packed, 0), ERR_TOO_LARGE);
        size_t before = f.memory.used_bytes;
        struct decompress_limits limits = decompress_limits_of(size);
        limits.ratio_max = packed.size > 1 << 17 ? 3 : 100;
        limits.ratio_free = 1000;
        struct decompressor d;
        cr_assert_eq(decompress_open(&d, (enum codec)codec, packed, &limits, &f.memory), 0);
        uint8_t piece[1000];
        int64_t made;
        size_t total = 0;
        while ((made = decompress_read(&d, piece, sizeof piece)) > 0) {
            total += (size_t)made;
            cr_assert_lt(f.memory.used_bytes - before, 10u << 20, "workspace is bounded");
        }
        cr_assert_eq(made, ERR_TOO_LARGE, "%s", codec_name((enum codec)codec));
        cr_assert_leq(total, limits.ratio_max * packed.size);
        cr_assert_eq(decompress_read(&d, piece, 1), ERR_TOO_LARGE, "an error stays");
        decompress_close(&d);
        cr_assert_eq(f.memory.used_bytes, before);
        limits = decompress_limits_of(size);
        wire_writer_reset(&f.plain);
        int error = decompress_append((enum codec)codec, packed, &limits, &f.memory, &f.plain);
        cr_assert_eq(error == 0, packed.size * 200 >= size, "the default ratio is 200");
    }
    free(zeros);
    fixture_deinit(&f);
}

Test(compress, the_writer_s_limit_and_the_budget_hold)
{
    struct fixture f;
    fixture_init(&f);
    size_t size = 100000;
    uint8_t *data = sample(size, 9);
    for (int codec = CODEC_NONE; codec < CODEC_COUNT; codec++) {
        struct bytes packed = pack(&f, codec, CODEC_LEVEL_DEFAULT, (struct bytes){data, size});
        struct decompress_limits limits = decompress_limits_of(size);
        struct wire_writer w;
        wire_writer_init(&w, &f.memory, size - 1);
        int error = decompress_append((enum codec)codec, packed, &limits, &f.memory, &w);
        cr_assert_eq(error, ERR_TOO_LARGE, "%s", codec_name((enum codec)codec));
        wire_writer_deinit(&w);
        wire_writer_init(&w, &f.memory, 100);
        error = compress_append((enum codec)codec, CODEC_LEVEL_DEFAULT, (struct bytes){data, size},
                                &f.memory, &w);
        cr_assert_eq(error, ERR_TOO_LARGE, "%s", codec_name((enum codec)codec));
        cr_assert_eq(w.size, 0u);
        wire_writer_deinit(&w);
        for (size_t budget = 0; budget < 400000; budget += 7000) {
            struct memory tight;
            memory_init(&tight, budget);
            wire_writer_init(&w, &tight, ROOM);
            error = decompress_append((enum codec)codec, packed, &limits, &tight, &w);
            cr_assert(error == 0 || error == ERR_NO_MEMORY, "%s with %zu bytes: %s",
                      codec_name((enum codec)codec), budget, error_name(error));
            wire_writer_reset(&w);
            error = compress_append((enum codec)codec, CODEC_LEVEL_DEFAULT,
                                    (struct bytes){data, size}, &tight, &w);
            cr_assert(error == 0 || error == ERR_NO_MEMORY);
            wire_writer_deinit(&w);
            cr_assert_eq(tight.used_bytes, 0u, "%s leaks", codec_name((enum codec)codec));
        }
    }
    free(data);
    fixture_deinit(&f);
}

Test(compress, broken_input_is_an_error_and_no_more)
{
    struct fixture f;
    fixture_init(&f);
    struct prng prng = prng_of(11);
    size_t size = 3000;
    uint8_t *data = sample(size, 4);
    int failed = 0, all = 0;
    for (int codec = CODEC_GZIP; codec < CODEC_COUNT; codec++) {
        struct bytes packed = pack(&f, codec, CODEC_LEVEL_DEFAULT, (struct bytes){data, size});
        uint8_t *copy = malloc(packed.size + 1);
        memcpy(copy, packed.data, packed.size);
        for (size_t cut = 0; cut < packed.size; cut++) {
            uint8_t *part = malloc(cut ? cut : 1);
            memcpy(part, copy, cut);
            int error = unpack(&f, codec, (struct bytes){part, cut}, size);
            /* Snappy has no end mark: nothing, and a header alone, are empty; less is no header. */
            bool empty = codec == CODEC_SNAPPY && (cut == 0 || cut == 16);
            bool headless = codec == CODEC_SNAPPY && cut < 16;
            cr_assert(empty ? error == 0 : error == ERR_CORRUPT_MESSAGE || (headless && error),
                      "%s cut to %zu: %s", codec_name((enum codec)codec), cut, error_name(error));
            free(part);
        }
        copy[packed.size] = 0x55;
        cr_assert_neq(unpack(&f, codec, (struct bytes){copy, packed.size + 1}, size), 0,
                      "%s with a byte left over", codec_name((enum codec)codec));
        for (int n = 0; n < 3000; n++, all++) {
            memcpy(copy, packed.data, packed.size);
            for (uint64_t times = prng_between(&prng, 1, 3); times > 0; times--) {
                copy[prng_below(&prng, packed.size)] = (uint8_t)prng_next(&prng);
            }
            int error = unpack(&f, codec, (struct bytes){copy, packed.size}, size);
            cr_assert(error == 0 || error == ERR_CORRUPT_MESSAGE || error == ERR_TOO_LARGE ||
                      error == ERR_NO_MEMORY);
            failed += error != 0;
        }
        free(copy);
    }
    /* Changed literals of snappy and lz4 are none of the codec's business: the batch has a CRC. */
    cr_assert_gt(failed, all / 4);
    free(data);
    fixture_deinit(&f);
}

Test(compress, foreign_forms_are_read)
{
    struct fixture f;
    fixture_init(&f);
    /* A raw block of snappy: length 5, a literal of five bytes. */
    static const uint8_t raw[] = {5, 4 << 2, 'w', 'a', 't', 'e', 'r'};
    cr_assert_eq(unpack(&f, CODEC_SNAPPY, bytes_of(raw, sizeof raw), 100), 0);
    cr_assert(f.plain.size == 5 && memcmp(f.plain.data, "water", 5) == 0);
    /* The framing of snappy-java, two blocks. */
    static const uint8_t framed[] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0,   0,   0,
                                     1,    0,   0,   0,   1,   0,   0,   0, 4,   2,   4,
                                     'w',  'a', 0,   0,   0,   5,   3,   8, 't', 'e', 'r'};
    cr_assert_eq(unpack(&f, CODEC_SNAPPY, bytes_of(framed, sizeof framed), 100), 0);
    cr_assert(f.plain.size == 5 && memcmp(f.plain.data, "water", 5) == 0);
    /* A raw block that says 4 GiB: refused before there is memory for it. */
    static const uint8_t bomb[] = {0xff, 0xff, 0xff, 0xff, 0x0f, 0, 'x'};
    cr_assert_eq(unpack(&f, CODEC_SNAPPY, bytes_of(bomb, sizeof bomb), 1000), ERR_TOO_LARGE);
    /* Two members of gzip, two frames of lz4 and of zstd, behind each other. */
    static const int codecs[] = {CODEC_GZIP, CODEC_LZ4, CODEC_ZSTD};
    for (size_t i = 0; i < array_size(codecs); i++) {
        wire_writer_reset(&f.packed);
        for (int twice = 0; twice < 2; twice++) {
            cr_assert_eq(compress_append((enum codec)codecs[i], CODEC_LEVEL_DEFAULT,
                                         bytes_of_string("mill"), &f.memory, &f.packed),
                         0);
        }
        struct bytes both = {f.packed.data, f.packed.size};
        cr_assert_eq(unpack(&f, codecs[i], both, 100), 0);
        cr_assert(f.plain.size == 8 && memcmp(f.plain.data, "millmill", 8) == 0, "codec %d",
                  codecs[i]);
    }
    cr_assert_eq(unpack(&f, CODEC_COUNT, bytes_of(raw, 1), 10), ERR_INVALID_ARGUMENT);
    fixture_deinit(&f);
}

Test(compress, a_window_beyond_the_bound_is_refused)
{
    struct fixture f;
    fixture_init(&f);
    /* A zstd frame of no known size with a window of 16 MiB (exponent 14), one empty last block. */
    static const uint8_t frame[] = {0x28, 0xb5, 0x2f, 0xfd, 0x00, 14 << 3, 0x01, 0x00, 0x00};
    struct decompress_limits limits = decompress_limits_of(100);
    int error =
        decompress_append(CODEC_ZSTD, bytes_of(frame, sizeof frame), &limits, &f.memory, &f.plain);
    cr_assert_eq(error, ERR_CORRUPT_MESSAGE, "%s", error_name(error));
    limits.window_log_max = 24;
    cr_assert_eq(
        decompress_append(CODEC_ZSTD, bytes_of(frame, sizeof frame), &limits, &f.memory, &f.plain),
        0);
    fixture_deinit(&f);
}

Test(compress, names)
{
    for (int codec = CODEC_NONE; codec < CODEC_COUNT; codec++) {
        cr_assert_eq(codec_find(codec_name((enum codec)codec)), (enum codec)codec);
    }
    cr_assert_eq(codec_find("brotli"), CODEC_COUNT);
}

Test(compress, a_zstd_frame_gives_the_size_that_it_says)
{
    struct fixture f;
    fixture_init(&f);
    /* One segment of 81 bytes, ended by an empty last block. */
    static const uint8_t frame[] = {0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x51, 0x01, 0x00, 0x00};
    for (size_t piece = 1; piece <= 4096; piece *= 64) {
        struct decompress_limits limits = decompress_limits_of(4096);
        struct decompressor d;
        uint8_t out[4096];
        cr_assert_eq(
            decompress_open(&d, CODEC_ZSTD, bytes_of(frame, sizeof frame), &limits, &f.memory), 0);
        cr_assert_eq(decompress_read(&d, out, piece), ERR_CORRUPT_MESSAGE, "pieces of %zu", piece);
        decompress_close(&d);
    }
    fixture_deinit(&f);
}

static int unpack_kept(struct fixture *f, struct codec_kept *kept, struct bytes in, uint8_t window)
{
    struct decompress_limits limits = decompress_limits_of(ROOM);
    limits.ratio_max = 0;
    limits.window_log_max = window;
    wire_writer_reset(&f->plain);
    return decompress_append_kept(kept, CODEC_ZSTD, in, &limits, &f->memory, &f->plain);
}

/* Sizes, levels and broken input in turn: a context that is used again knows nothing of what was before, keeps to the
 * window of this call, and is not kept when it has become large. */
Test(compress, contexts_are_used_again)
{
    static const uint8_t wide[] = {0x28, 0xb5, 0x2f, 0xfd, 0x00, 14 << 3, 0x01, 0x00, 0x00};
    static const size_t sizes[] = {100, 70000, 0, 3 << 20, 16384};
    struct fixture f;
    struct codec_kept kept = {0};
    fixture_init(&f);
    for (size_t round = 0; round < 3 * array_size(sizes); round++) {
        size_t size = sizes[round % array_size(sizes)];
        uint8_t *data = sample(size, round);
        struct bytes in = {data, size};
        int level = round % 2 ? 19 : CODEC_LEVEL_DEFAULT;
        wire_writer_reset(&f.packed);
        cr_assert_eq(compress_append_kept(&kept, CODEC_ZSTD, level, in, &f.memory, &f.packed), 0);
        struct bytes packed = {f.packed.data, f.packed.size};
        cr_assert_eq(unpack_kept(&f, &kept, packed, 23), 0, "round %zu", round);
        cr_assert(f.plain.size == size && (!size || !memcmp(f.plain.data, data, size)), "round %zu",
                  round);
        if (packed.size > 1) {
            packed.size--;
            cr_assert_eq(unpack_kept(&f, &kept, packed, 23), ERR_CORRUPT_MESSAGE);
        }
        cr_assert_eq(unpack_kept(&f, &kept, bytes_of(wide, sizeof wide), 23), ERR_CORRUPT_MESSAGE);
        cr_assert_eq(unpack_kept(&f, &kept, bytes_of(wide, sizeof wide), 24), 0);
        wire_writer_deinit(&f.plain);
        wire_writer_deinit(&f.packed);
        wire_writer_init(&f.packed, &f.memory, ROOM);
        wire_writer_init(&f.plain, &f.memory, ROOM);
        cr_assert_leq(f.memory.used_bytes, 2u * CODEC_KEPT_BYTES + 4096, "round %zu", round);
        free(data);
    }
    cr_assert(kept.zstd_compress || kept.zstd_decompress);
    codec_kept_free(&kept);
    fixture_deinit(&f);
}
