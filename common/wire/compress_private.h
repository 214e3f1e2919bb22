/* SPDX-License-Identifier: Apache-2.0 */

/* The memory functions of zlib, zstd and lz4, in terms of struct memory. */
#pragma once

#include "base/memory.h"

static inline void *codec_alloc(void *memory, size_t size)
{
    return memory_alloc_aligned(memory, size, MEMORY_ALIGN);
}

static inline void *codec_calloc(void *memory, size_t size)
{
    return memory_alloc(memory, size);
}

static inline void codec_free(void *memory, void *p)
{
    memory_free(memory, p);
}

static inline void *codec_zalloc(void *memory, unsigned count, unsigned size)
{
    return memory_alloc(memory, (size_t)count * size);
}

enum {
    SNAPPY_FRAME_HEADER = 16,
    GZIP_WINDOW_BITS = 31, /* 15, and a gzip header is expected */
};

#define SNAPPY_FRAME_MAGIC "\x82SNAPPY"

static_assert(sizeof SNAPPY_FRAME_MAGIC == 8, "seven characters and their NUL");
