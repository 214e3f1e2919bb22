/* SPDX-License-Identifier: Apache-2.0 */

/* buffer: counted memory, and the slices of it that travel from the log to a socket.
 *
 * Record bytes are never copied on the read path: a response carries slices, each holding one
 * reference on the buffer that it points into (a tail chunk, a block read ahead from disk). The
 * count is not atomic: a buffer belongs to one shard, and a slice that was lent to another shard is
 * released by a message home. */
#pragma once

#include "base/assert.h"

#include <stddef.h>
#include <stdint.h>

enum { BUFFER_MAGIC = 0x62756631 };

struct buffer {
    uint8_t *data;
    size_t size; /* capacity of data */
    uint32_t references;
    uint32_t magic;
    void (*free)(struct buffer *b); /* called when the last reference goes */
};

static inline void buffer_init(struct buffer *b, void *data, size_t size,
                               void (*free)(struct buffer *b))
{
    *b = (struct buffer){data, size, 1, BUFFER_MAGIC, free};
}

static inline struct buffer *buffer_take(struct buffer *b)
{
    assert(b->magic == BUFFER_MAGIC);
    assert(b->references > 0);
    b->references++;
    return b;
}

static inline void buffer_release(struct buffer *b)
{
    assert(b->magic == BUFFER_MAGIC);
    assert(b->references > 0);
    if (--b->references == 0) {
        b->free(b);
    }
}

/* A range with the reference that keeps it; buffer NULL means that somebody else keeps the bytes.
 */
struct slice {
    const uint8_t *data;
    size_t size;
    struct buffer *buffer;
};

static inline void slice_release(struct slice *s)
{
    if (s->buffer) {
        buffer_release(s->buffer);
    }
    *s = (struct slice){0};
}
