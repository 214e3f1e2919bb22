/* SPDX-License-Identifier: Apache-2.0 */

/* bytes: borrowed ranges, big-endian access, and the cursors that read and write outside bytes.
 *
 * No struct is ever laid over wire or disk bytes: they are read with a reader, which never passes
 * its end, and written with a writer, which never passes its capacity. Both latch: after the first
 * failure every further call is harmless and `failed` stays true, so that a parser checks once at
 * its end. Not thread-safe. */
#pragma once

#include "base/assert.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A borrowed range. data may be NULL only when size is 0. */
struct bytes {
    const uint8_t *data;
    size_t size;
};

static inline struct bytes bytes_of(const void *data, size_t size)
{
    assert(data || size == 0);
    return (struct bytes){data, size};
}

static inline struct bytes bytes_of_string(const char *text)
{
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline uint16_t get_be16(const uint8_t *p)
{
    return (uint16_t)((uint16_t)p[0] << 8 | p[1]);
}

static inline uint32_t get_be32(const uint8_t *p)
{
    return (uint32_t)get_be16(p) << 16 | get_be16(p + 2);
}

static inline uint64_t get_be64(const uint8_t *p)
{
    return (uint64_t)get_be32(p) << 32 | get_be32(p + 4);
}

static inline void put_be16(uint8_t *p, uint16_t value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static inline void put_be32(uint8_t *p, uint32_t value)
{
    put_be16(p, (uint16_t)(value >> 16));
    put_be16(p + 2, (uint16_t)value);
}

static inline void put_be64(uint8_t *p, uint64_t value)
{
    put_be32(p, (uint32_t)(value >> 32));
    put_be32(p + 4, (uint32_t)value);
}

/* Reads forward through a borrowed range. */
struct reader {
    const uint8_t *data;
    size_t size;
    size_t position; /* <= size */
    bool failed;
};

static inline struct reader reader_of(const void *data, size_t size)
{
    return (struct reader){.data = data, .size = size};
}

static inline size_t reader_left(const struct reader *r)
{
    assert(r->position <= r->size);
    return r->size - r->position;
}

/* The next `size` bytes, or NULL (and the reader fails) if fewer are left. */
static inline const uint8_t *reader_take(struct reader *r, size_t size)
{
    if (r->failed || size > reader_left(r)) {
        r->failed = true;
        return NULL;
    }
    const uint8_t *at = r->data + r->position;
    r->position += size;
    return at;
}

static inline uint8_t reader_u8(struct reader *r)
{
    const uint8_t *p = reader_take(r, 1);
    return p ? *p : 0;
}

static inline uint16_t reader_be16(struct reader *r)
{
    const uint8_t *p = reader_take(r, 2);
    return p ? get_be16(p) : 0;
}

static inline uint32_t reader_be32(struct reader *r)
{
    const uint8_t *p = reader_take(r, 4);
    return p ? get_be32(p) : 0;
}

static inline uint64_t reader_be64(struct reader *r)
{
    const uint8_t *p = reader_take(r, 8);
    return p ? get_be64(p) : 0;
}

/* Writes forward into memory of the caller; `failed` is set instead of writing past `capacity`. */
struct writer {
    uint8_t *data;
    size_t capacity;
    size_t size; /* bytes written, <= capacity */
    bool failed;
};

static inline struct writer writer_of(void *data, size_t capacity)
{
    return (struct writer){.data = data, .capacity = capacity};
}

/* Room for `size` bytes, or NULL (and the writer fails). */
static inline uint8_t *writer_room(struct writer *w, size_t size)
{
    assert(w->size <= w->capacity);
    if (w->failed || size > w->capacity - w->size) {
        w->failed = true;
        return NULL;
    }
    uint8_t *at = w->data + w->size;
    w->size += size;
    return at;
}

static inline void writer_put(struct writer *w, const void *data, size_t size)
{
    uint8_t *p = writer_room(w, size);
    if (p && size) {
        memcpy(p, data, size);
    }
}

static inline void writer_u8(struct writer *w, uint8_t value)
{
    uint8_t *p = writer_room(w, 1);
    if (p) {
        *p = value;
    }
}

static inline void writer_be16(struct writer *w, uint16_t value)
{
    uint8_t *p = writer_room(w, 2);
    if (p) {
        put_be16(p, value);
    }
}

static inline void writer_be32(struct writer *w, uint32_t value)
{
    uint8_t *p = writer_room(w, 4);
    if (p) {
        put_be32(p, value);
    }
}

static inline void writer_be64(struct writer *w, uint64_t value)
{
    uint8_t *p = writer_room(w, 8);
    if (p) {
        put_be64(p, value);
    }
}

#define container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))
#define array_size(array) (sizeof(array) / sizeof *(array))
