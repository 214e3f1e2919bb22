/* SPDX-License-Identifier: Apache-2.0 */

/* types: the values that messages are made of, beside integers and struct uuid.
 *
 * Decoded values borrow from the frame that they were read from: they live as long as its bytes.
 * A null value has size -1; an empty one has size 0 and its data may be NULL. */
#pragma once

#include "base/buffer.h"
#include "base/bytes.h"

#include <stdint.h>

enum {
    WIRE_STRING_MAX = INT16_MAX, /* bytes, in every version */
};

/* Text, UTF-8 by convention and unchecked, not NUL-terminated. */
struct wire_string {
    const char *data;
    int32_t size;
};

struct wire_bytes {
    const uint8_t *data;
    int32_t size;
};

/* Record batches, one behind the other, in pieces. Decoding gives at most one slice, which points
 * into the frame and holds no reference; encoding takes the references of all of them. */
struct wire_records {
    const struct slice *slices;
    uint32_t slice_count;
    uint32_t size; /* the sum of the slices */
    bool null;
};

static inline struct wire_string wire_string_null(void)
{
    return (struct wire_string){NULL, -1};
}

/* Borrows a NUL-terminated text; NULL gives null. */
static inline struct wire_string wire_string_of(const char *text)
{
    if (!text) {
        return wire_string_null();
    }
    size_t size = strlen(text);
    assert(size <= INT32_MAX);
    return (struct wire_string){text, (int32_t)size};
}

/* Text of others that people will read: what is not plain ASCII becomes '?', what does not fit is cut off. */
static inline void wire_string_plain(char *out, size_t size, struct wire_string in)
{
    size_t used = 0;
    for (int32_t i = 0; i < in.size && used + 1 < size; i++) {
        out[used++] = (char)(in.data[i] < ' ' || in.data[i] > '~' ? '?' : in.data[i]);
    }
    out[used] = 0;
}

static inline bool wire_string_equal(struct wire_string a, struct wire_string b)
{
    return a.size == b.size && (a.size <= 0 || memcmp(a.data, b.data, (size_t)a.size) == 0);
}

static inline bool wire_bytes_equal(struct wire_bytes a, struct wire_bytes b)
{
    return a.size == b.size && (a.size <= 0 || memcmp(a.data, b.data, (size_t)a.size) == 0);
}

/* The same bytes as a range; null gives an empty one. */
static inline struct bytes wire_string_bytes(struct wire_string s)
{
    return (struct bytes){(const uint8_t *)s.data, s.size > 0 ? (size_t)s.size : 0};
}
