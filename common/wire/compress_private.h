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

/* Uncleared, like zlib's own: what must be zero, it clears itself. */
static inline void *codec_zalloc(void *memory, unsigned count, unsigned size)
{
    return memory_alloc_aligned(memory, (size_t)count * size, MEMORY_ALIGN);
}

/* A context while it is used is nobody else's. */
static inline void *take_kept(void **context)
{
    void *taken = *context;
    *context = NULL;
    return taken;
}

enum {
    SNAPPY_FRAME_HEADER = 16,
    GZIP_HEADER = 16, /* is added to the bits of a window: gzip's header, not zlib's */
};

#define SNAPPY_FRAME_MAGIC "\x82SNAPPY"

static_assert(sizeof SNAPPY_FRAME_MAGIC == 8, "seven characters and their NUL");
