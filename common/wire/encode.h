/* SPDX-License-Identifier: Apache-2.0 */

/* encode: one value at a time, for the interpreter and for the generated straight code. The first
 * failure latches in `error`, or in the writer for memory. Private to common/wire and to the
 * generated code. */
#pragma once

#include "wire/codec.h"
#include "wire/varint.h"

struct encoder {
    struct wire_writer *w;
    int version;
    bool flexible;
    int error; /* 0, ERR_UNSUPPORTED_VERSION, ERR_INVALID_ARGUMENT, ERR_TOO_LARGE */
};

static inline void encode_fail(struct encoder *e, int error)
{
    assert(error < 0);
    if (!e->error) {
        e->error = error;
    }
}

static inline bool encode_failed(const struct encoder *e)
{
    return e->error || e->w->error;
}

static inline void put_bool(struct encoder *e, bool value)
{
    wire_put_u8(e->w, value);
}

static inline void put_int8(struct encoder *e, int8_t value)
{
    wire_put_u8(e->w, (uint8_t)value);
}

static inline void put_int16(struct encoder *e, int16_t value)
{
    wire_put_be16(e->w, (uint16_t)value);
}

static inline void put_uint16(struct encoder *e, uint16_t value)
{
    wire_put_be16(e->w, value);
}

static inline void put_int32(struct encoder *e, int32_t value)
{
    wire_put_be32(e->w, (uint32_t)value);
}

static inline void put_uint32(struct encoder *e, uint32_t value)
{
    wire_put_be32(e->w, value);
}

static inline void put_int64(struct encoder *e, int64_t value)
{
    wire_put_be64(e->w, (uint64_t)value);
}

static inline void put_float64(struct encoder *e, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    wire_put_be64(e->w, bits);
}

static inline void put_uuid(struct encoder *e, struct uuid id)
{
    wire_put(e->w, id.bytes, sizeof id.bytes);
}

static inline void put_length(struct encoder *e, int32_t length, bool nullable)
{
    assert(length >= -1);
    if (length < 0 && !nullable) {
        encode_fail(e, ERR_INVALID_ARGUMENT);
    } else if (e->flexible) {
        wire_put_uvarint(e->w, (uint32_t)(length + 1));
    } else {
        put_int32(e, length);
    }
}

static inline void put_string(struct encoder *e, struct wire_string s, bool nullable)
{
    assert(s.size >= -1);
    if (s.size > WIRE_STRING_MAX) {
        encode_fail(e, ERR_TOO_LARGE);
    } else if (s.size < 0 && !nullable) {
        encode_fail(e, ERR_INVALID_ARGUMENT);
    } else {
        if (e->flexible) {
            wire_put_uvarint(e->w, (uint32_t)(s.size + 1));
        } else {
            put_int16(e, (int16_t)s.size);
        }
        if (s.size > 0) {
            wire_put(e->w, s.data, (size_t)s.size);
        }
    }
}

static inline void put_bytes(struct encoder *e, struct wire_bytes b, bool nullable)
{
    put_length(e, b.size, nullable);
    if (b.size > 0 && !encode_failed(e)) {
        wire_put(e->w, b.data, (size_t)b.size);
    }
}

static inline void put_records(struct encoder *e, struct wire_records records, bool nullable)
{
    assert(records.size <= INT32_MAX);
    assert(!records.null || records.slice_count == 0);
    put_length(e, records.null ? -1 : (int32_t)records.size, nullable);
    size_t size = 0;
    for (uint32_t i = 0; i < records.slice_count && !encode_failed(e); i++) {
        size += records.slices[i].size;
        if (!wire_writer_splice(e->w, records.slices[i])) {
            return;
        }
    }
    assert(encode_failed(e) || size == records.size);
}

#define WIRE_PUT_ARRAY(type, name)                                                                 \
    static inline void put_##name##_array(struct encoder *e, const type *items, int32_t count,     \
                                          bool nullable)                                           \
    {                                                                                              \
        put_length(e, count, nullable);                                                            \
        for (int32_t i = 0; i < count; i++) {                                                      \
            put_##name(e, items[i]);                                                               \
        }                                                                                          \
    }

WIRE_PUT_ARRAY(int8_t, int8)
WIRE_PUT_ARRAY(int16_t, int16)
WIRE_PUT_ARRAY(int32_t, int32)
WIRE_PUT_ARRAY(int64_t, int64)
WIRE_PUT_ARRAY(struct uuid, uuid)
#undef WIRE_PUT_ARRAY

/* The result of an encode: a failed one is cut off again. */
static inline int encode_end(const struct encoder *e, struct wire_mark mark)
{
    if (encode_failed(e)) {
        wire_writer_rewind(e->w, mark);
        return e->error ? e->error : e->w->error;
    }
    return 0;
}

/* A tag's size stands before its body and is known after it: put_tag_begin() leaves one byte, and
 * put_tag_end() makes room when the size needs more. Tagged fields hold no records. */
static inline size_t put_tag_begin(struct encoder *e, uint32_t tag)
{
    wire_put_uvarint(e->w, tag);
    wire_put_u8(e->w, 0);
    return e->w->size;
}

static inline void put_tag_end(struct encoder *e, size_t start)
{
    if (encode_failed(e)) {
        return;
    }
    assert(start >= 1 && start <= e->w->size);
    size_t size = e->w->size - start;
    if (size > INT32_MAX) {
        encode_fail(e, ERR_TOO_LARGE);
        return;
    }
    size_t extra = uvarint_size(size) - 1;
    if (extra > 0 && !wire_writer_room(e->w, extra)) {
        return;
    }
    uint8_t *body = e->w->data + start;
    memmove(body + extra, body, size);
    uvarint_put(body - 1, size);
}
