/* SPDX-License-Identifier: Apache-2.0 */

/* decode: one value at a time, for the interpreter and for the generated straight code. After the
 * first failure the reader stays failed, every further get gives zero or null, and loops end by
 * looking at decode_failed(). Private to common/wire and to the generated code. */
#pragma once

#include "wire/codec.h"
#include "wire/varint.h"

struct decoder {
    struct reader *r;
    struct arena *arena;
    int version;
    bool flexible;
    int error; /* 0, ERR_NO_MEMORY; other failures show in the reader */
};

static inline bool decode_failed(const struct decoder *d)
{
    return d->r->failed;
}

static inline void decode_fail(struct decoder *d)
{
    d->r->failed = true;
}

#define WIRE_GET_NUMBER(type, name, value)                                                         \
    static inline type get_##name(struct decoder *d)                                               \
    {                                                                                              \
        return (type)(value);                                                                      \
    }

WIRE_GET_NUMBER(bool, bool, reader_u8(d->r) != 0)
WIRE_GET_NUMBER(int8_t, int8, reader_u8(d->r))
WIRE_GET_NUMBER(int16_t, int16, reader_be16(d->r))
WIRE_GET_NUMBER(uint16_t, uint16, reader_be16(d->r))
WIRE_GET_NUMBER(int32_t, int32, reader_be32(d->r))
WIRE_GET_NUMBER(uint32_t, uint32, reader_be32(d->r))
WIRE_GET_NUMBER(int64_t, int64, reader_be64(d->r))
#undef WIRE_GET_NUMBER

static inline double get_float64(struct decoder *d)
{
    uint64_t bits = reader_be64(d->r);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline struct uuid get_uuid(struct decoder *d)
{
    struct uuid id = {{0}};
    const uint8_t *p = reader_take(d->r, sizeof id.bytes);
    if (p) {
        memcpy(id.bytes, p, sizeof id.bytes);
    }
    return id;
}

/* A length or count with null as -1; what it counts takes at least `unit` bytes each (C2). */
static inline int32_t get_length(struct decoder *d, bool nullable, size_t unit)
{
    int64_t length = d->flexible ? (int64_t)reader_uvarint(d->r) - 1 : get_int32(d);
    if (d->r->failed || length < (nullable ? -1 : 0) || length > INT32_MAX ||
        (length > 0 && (uint64_t)length > reader_left(d->r) / unit)) {
        decode_fail(d);
        return nullable ? -1 : 0;
    }
    return (int32_t)length;
}

static inline struct wire_string get_string(struct decoder *d, bool nullable)
{
    int64_t length = d->flexible ? (int64_t)reader_uvarint(d->r) - 1 : get_int16(d);
    if (length < (nullable ? -1 : 0) || length > WIRE_STRING_MAX) {
        decode_fail(d);
    }
    if (d->r->failed || length < 0) {
        return (struct wire_string){NULL, nullable ? -1 : 0};
    }
    const uint8_t *p = reader_take(d->r, (size_t)length);
    return (struct wire_string){(const char *)p, p ? (int32_t)length : 0};
}

static inline struct wire_bytes get_bytes(struct decoder *d, bool nullable)
{
    int32_t length = get_length(d, nullable, 1);
    const uint8_t *p = length >= 0 ? reader_take(d->r, (size_t)length) : NULL;
    return (struct wire_bytes){p, length};
}

/* `count` elements of `size` bytes from the arena, all zero; NULL latches the failure. */
static inline void *get_room(struct decoder *d, int32_t count, size_t size)
{
    void *items = arena_array(d->arena, (size_t)count, size);
    if (!items) {
        d->error = ERR_NO_MEMORY;
        decode_fail(d);
    }
    return items;
}

static inline struct wire_records get_records(struct decoder *d, bool nullable)
{
    struct wire_bytes bytes = get_bytes(d, nullable);
    struct wire_records records = {.null = bytes.size < 0};
    if (bytes.size > 0) {
        struct slice *slice = get_room(d, 1, sizeof *slice);
        if (slice) {
            *slice = (struct slice){bytes.data, (size_t)bytes.size, NULL};
            records = (struct wire_records){slice, 1, (uint32_t)bytes.size, false};
        }
    }
    return records;
}

/* The arrays of numbers, whose elements have one size in all versions. */
#define WIRE_GET_ARRAY(type, name, size)                                                           \
    static inline type *get_##name##_array(struct decoder *d, int32_t *count, bool nullable)       \
    {                                                                                              \
        *count = get_length(d, nullable, size);                                                    \
        type *items = *count > 0 ? get_room(d, *count, sizeof *items) : NULL;                      \
        for (int32_t i = 0; items && i < *count; i++) {                                            \
            items[i] = get_##name(d);                                                              \
        }                                                                                          \
        return items;                                                                              \
    }

WIRE_GET_ARRAY(int8_t, int8, 1)
WIRE_GET_ARRAY(int16_t, int16, 2)
WIRE_GET_ARRAY(int32_t, int32, 4)
WIRE_GET_ARRAY(int64_t, int64, 8)
WIRE_GET_ARRAY(struct uuid, uuid, 16)
#undef WIRE_GET_ARRAY

/* The next tag of a section: its body becomes `body`. `*previous` starts at -1. */
static inline uint32_t get_tag(struct decoder *d, int64_t *previous, struct reader *body)
{
    uint32_t tag = reader_uvarint(d->r);
    uint32_t size = reader_uvarint(d->r);
    const uint8_t *p = reader_take(d->r, size);
    if (!p || (int64_t)tag <= *previous) {
        decode_fail(d);
        return 0;
    }
    *previous = tag;
    *body = reader_of(p, size);
    return tag;
}

/* The number of tags that follow: each takes two bytes at least. */
static inline uint32_t get_tag_count(struct decoder *d)
{
    uint32_t count = reader_uvarint(d->r);
    if (d->r->failed || count > reader_left(d->r) / 2) {
        decode_fail(d);
        return 0;
    }
    return count;
}

/* A known tag's body, read by `inner`, must be used up. */
static inline void get_tag_end(struct decoder *d, const struct decoder *inner)
{
    d->error = inner->error;
    if (decode_failed(inner) || reader_left(inner->r) > 0) {
        decode_fail(d);
    }
}

/* The count of an array of structs, and room for them. */
static inline int32_t get_structs(struct decoder *d, const struct wire_struct *type, bool nullable,
                                  void **items)
{
    int32_t count = get_length(d, nullable, wire_struct_min(type, d->version, d->flexible));
    *items = count > 0 ? get_room(d, count, type->size) : NULL;
    return *items || count <= 0 ? count : 0;
}

/* The result of a decode: a failed one leaves the defaults. */
static inline int decode_end(const struct decoder *d, const struct wire_struct *type, void *out)
{
    if (decode_failed(d)) {
        wire_struct_init(type, out);
        return d->error ? d->error : ERR_MALFORMED;
    }
    return 0;
}

static inline void get_unknown_tags(struct decoder *d)
{
    int64_t previous = -1;
    struct reader body;
    for (uint32_t count = get_tag_count(d); count > 0 && !decode_failed(d); count--) {
        (void)get_tag(d, &previous, &body);
    }
}
