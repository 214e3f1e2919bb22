/* SPDX-License-Identifier: Apache-2.0 */

/* The interpreter: one walk over a table for each of init, decode and encode. Recursion is as deep
 * as the schema nests, never as the input. */
#include "wire/codec.h"

#include "wire/decode.h"
#include "wire/encode.h"

static void decode_struct(struct decoder *d, const struct wire_struct *type, void *out);
static void encode_struct(struct encoder *e, const struct wire_struct *type, const void *in);
static bool struct_is_default(const struct wire_struct *type, const void *in);

static bool versions_empty(struct wire_versions range)
{
    return range.min > range.max;
}

void wire_struct_init(const struct wire_struct *type, void *out)
{
    assert(type->size > 0);
    if (type->defaults) {
        memcpy(out, type->defaults, type->size);
    } else {
        memset(out, 0, type->size);
    }
}

size_t wire_value_size(const struct wire_field *f)
{
    switch ((enum wire_type)f->type) {
    case WIRE_BOOL:
        return sizeof(bool);
    case WIRE_INT8:
        return 1;
    case WIRE_INT16:
    case WIRE_UINT16:
        return 2;
    case WIRE_INT32:
    case WIRE_UINT32:
        return 4;
    case WIRE_INT64:
    case WIRE_FLOAT64:
        return 8;
    case WIRE_UUID:
        return sizeof(struct uuid);
    case WIRE_STRING:
        return sizeof(struct wire_string);
    case WIRE_BYTES:
        return sizeof(struct wire_bytes);
    case WIRE_RECORDS:
        return sizeof(struct wire_records);
    case WIRE_STRUCT:
        return f->type_struct->size;
    }
    assert(false);
    return 0;
}

/* The fewest bytes that one value takes on the wire: what a count is held against (C2). */
static size_t value_wire_min(const struct wire_field *f, int version, bool flexible)
{
    switch ((enum wire_type)f->type) {
    case WIRE_BOOL:
    case WIRE_INT8:
        return 1;
    case WIRE_INT16:
    case WIRE_UINT16:
        return 2;
    case WIRE_INT32:
    case WIRE_UINT32:
        return 4;
    case WIRE_INT64:
    case WIRE_FLOAT64:
        return 8;
    case WIRE_UUID:
        return sizeof(struct uuid);
    case WIRE_STRING:
        return flexible ? 1 : 2;
    case WIRE_BYTES:
    case WIRE_RECORDS:
        return flexible ? 1 : 4;
    case WIRE_STRUCT:
        return wire_struct_min(f->type_struct, version, flexible);
    }
    assert(false);
    return 1;
}

size_t wire_struct_min(const struct wire_struct *type, int version, bool flexible)
{
    size_t size = flexible ? 1 : 0;
    for (int i = 0; i < type->field_count - type->tagged_count; i++) {
        const struct wire_field *f = &type->fields[i];
        if (!wire_has_version(f->versions, version)) {
            continue;
        }
        if (f->flags & WIRE_ARRAY) {
            size += flexible ? 1 : 4;
        } else if (f->type == WIRE_STRUCT && wire_has_version(f->nullable, version)) {
            size += 1;
        } else {
            size += value_wire_min(f, version, flexible);
        }
    }
    return size > 0 ? size : 1;
}

static void decode_value(struct decoder *d, const struct wire_field *f, bool nullable, void *at)
{
    switch ((enum wire_type)f->type) {
    case WIRE_BOOL:
        *(bool *)at = get_bool(d);
        break;
    case WIRE_INT8:
        *(int8_t *)at = get_int8(d);
        break;
    case WIRE_INT16:
    case WIRE_UINT16:
        *(uint16_t *)at = get_uint16(d);
        break;
    case WIRE_INT32:
    case WIRE_UINT32:
        *(uint32_t *)at = get_uint32(d);
        break;
    case WIRE_INT64:
        *(int64_t *)at = get_int64(d);
        break;
    case WIRE_FLOAT64:
        *(double *)at = get_float64(d);
        break;
    case WIRE_UUID:
        *(struct uuid *)at = get_uuid(d);
        break;
    case WIRE_STRING:
        *(struct wire_string *)at = get_string(d, nullable);
        break;
    case WIRE_BYTES:
        *(struct wire_bytes *)at = get_bytes(d, nullable);
        break;
    case WIRE_RECORDS:
        *(struct wire_records *)at = get_records(d, nullable);
        break;
    case WIRE_STRUCT:
        decode_struct(d, f->type_struct, at);
        break;
    }
}

static void decode_array(struct decoder *d, const struct wire_field *f, bool nullable, char *base)
{
    size_t size = wire_value_size(f);
    int32_t count = get_length(d, nullable, value_wire_min(f, d->version, d->flexible));
    char *items = count > 0 ? get_room(d, count, size) : NULL;
    *(void **)(base + f->offset) = items;
    *(int32_t *)(base + f->count_offset) = items || count <= 0 ? count : 0;
    for (int32_t i = 0; items && i < count && !decode_failed(d); i++) {
        decode_value(d, f, false, items + (size_t)i * size);
    }
}

/* Held by pointer; where the version allows null, one byte says which it is: -1 or 1. */
static void decode_nullable_struct(struct decoder *d, const struct wire_field *f, char *base)
{
    void **at = (void **)(base + f->offset);
    *at = NULL;
    if (wire_has_version(f->nullable, d->version)) {
        int8_t mark = get_int8(d);
        if (decode_failed(d) || mark < 0) {
            return;
        }
    }
    *at = get_room(d, 1, f->type_struct->size);
    if (*at) {
        decode_struct(d, f->type_struct, *at);
    }
}

static void decode_field(struct decoder *d, const struct wire_field *f, char *base)
{
    bool nullable = wire_has_version(f->nullable, d->version);
    if (f->flags & WIRE_ARRAY) {
        decode_array(d, f, nullable, base);
    } else if (f->type == WIRE_STRUCT && !versions_empty(f->nullable)) {
        decode_nullable_struct(d, f, base);
    } else {
        decode_value(d, f, nullable, base + f->offset);
    }
}

static void decode_tags(struct decoder *d, const struct wire_struct *type, char *base)
{
    int at = type->field_count - type->tagged_count;
    int64_t previous = -1;
    for (uint32_t count = get_tag_count(d); count > 0 && !decode_failed(d); count--) {
        struct reader body;
        uint32_t tag = get_tag(d, &previous, &body);
        if (decode_failed(d)) {
            return;
        }
        while (at < type->field_count && (uint32_t)type->fields[at].tag < tag) {
            at++;
        }
        const struct wire_field *f = at < type->field_count ? &type->fields[at] : NULL;
        if (!f || (uint32_t)f->tag != tag || !wire_has_version(f->versions, d->version)) {
            continue;
        }
        struct decoder inner = *d;
        inner.r = &body;
        decode_field(&inner, f, base);
        get_tag_end(d, &inner);
    }
}

static void decode_struct(struct decoder *d, const struct wire_struct *type, void *out)
{
    if (type->defaults) {
        memcpy(out, type->defaults, type->size);
    }
    for (int i = 0; i < type->field_count - type->tagged_count && !decode_failed(d); i++) {
        const struct wire_field *f = &type->fields[i];
        if (wire_has_version(f->versions, d->version)) {
            decode_field(d, f, out);
        }
    }
    if (d->flexible) {
        decode_tags(d, type, out);
    }
}

int wire_decode(const struct wire_message *message, void *out, struct reader *r, int version,
                struct arena *arena)
{
    return message->decode ? message->decode(out, r, version, arena)
                           : wire_decode_by_table(message, out, r, version, arena);
}

int wire_decode_by_table(const struct wire_message *message, void *out, struct reader *r,
                         int version, struct arena *arena)
{
    assert(message->body->size > 0);
    wire_struct_init(message->body, out);
    if (!wire_has_version(message->versions, version)) {
        return ERR_UNSUPPORTED_VERSION;
    }
    struct decoder d = {r, arena, version, version >= message->flexible, 0};
    decode_struct(&d, message->body, out);
    return decode_end(&d, message->body, out);
}

static int64_t number_at(const struct wire_field *f, const void *at)
{
    switch ((enum wire_type)f->type) {
    case WIRE_BOOL:
        return *(const bool *)at;
    case WIRE_INT8:
        return *(const int8_t *)at;
    case WIRE_INT16:
        return *(const int16_t *)at;
    case WIRE_UINT16:
        return *(const uint16_t *)at;
    case WIRE_INT32:
        return *(const int32_t *)at;
    case WIRE_UINT32:
        return *(const uint32_t *)at;
    default:
        assert(f->type == WIRE_INT64);
        return *(const int64_t *)at;
    }
}

static bool field_is_default(const struct wire_field *f, const char *base)
{
    const void *at = base + f->offset;
    int32_t size_default = f->flags & WIRE_DEFAULT_NULL ? -1 : 0;
    if (f->flags & WIRE_ARRAY) {
        return *(const int32_t *)(base + f->count_offset) == size_default;
    }
    switch ((enum wire_type)f->type) {
    case WIRE_STRING:
        return ((const struct wire_string *)at)->size == size_default;
    case WIRE_BYTES:
        return ((const struct wire_bytes *)at)->size == size_default;
    case WIRE_RECORDS: {
        const struct wire_records *records = at;
        return records->null ? size_default < 0 : size_default == 0 && records->size == 0;
    }
    case WIRE_UUID:
        return uuid_is_zero(*(const struct uuid *)at);
    case WIRE_FLOAT64:
        return *(const double *)at == (double)f->default_value;
    case WIRE_STRUCT:
        if (!versions_empty(f->nullable)) {
            return !*(const void *const *)at;
        }
        return struct_is_default(f->type_struct, at);
    default:
        return number_at(f, at) == f->default_value;
    }
}

static bool struct_is_default(const struct wire_struct *type, const void *in)
{
    for (int i = 0; i < type->field_count; i++) {
        if (!field_is_default(&type->fields[i], in)) {
            return false;
        }
    }
    return true;
}

static void encode_value(struct encoder *e, const struct wire_field *f, bool nullable,
                         const void *at)
{
    switch ((enum wire_type)f->type) {
    case WIRE_BOOL:
        put_bool(e, *(const bool *)at);
        break;
    case WIRE_INT8:
        put_int8(e, *(const int8_t *)at);
        break;
    case WIRE_INT16:
    case WIRE_UINT16:
        put_uint16(e, *(const uint16_t *)at);
        break;
    case WIRE_INT32:
    case WIRE_UINT32:
        put_uint32(e, *(const uint32_t *)at);
        break;
    case WIRE_INT64:
        put_int64(e, *(const int64_t *)at);
        break;
    case WIRE_FLOAT64:
        put_float64(e, *(const double *)at);
        break;
    case WIRE_UUID:
        put_uuid(e, *(const struct uuid *)at);
        break;
    case WIRE_STRING:
        put_string(e, *(const struct wire_string *)at, nullable);
        break;
    case WIRE_BYTES:
        put_bytes(e, *(const struct wire_bytes *)at, nullable);
        break;
    case WIRE_RECORDS:
        put_records(e, *(const struct wire_records *)at, nullable);
        break;
    case WIRE_STRUCT:
        encode_struct(e, f->type_struct, at);
        break;
    }
}

static void encode_nullable_struct(struct encoder *e, const struct wire_field *f, bool nullable,
                                   const void *in)
{
    if (!in && !nullable) {
        encode_fail(e, ERR_INVALID_ARGUMENT);
        return;
    }
    if (nullable) {
        put_int8(e, in ? 1 : -1);
    }
    if (in) {
        encode_struct(e, f->type_struct, in);
    }
}

static void encode_field(struct encoder *e, const struct wire_field *f, const char *base)
{
    const void *at = base + f->offset;
    bool nullable = wire_has_version(f->nullable, e->version);
    if (f->flags & WIRE_ARRAY) {
        int32_t count = *(const int32_t *)(base + f->count_offset);
        const char *items = *(const char *const *)at;
        size_t size = wire_value_size(f);
        assert(items || count <= 0);
        put_length(e, count, nullable);
        for (int32_t i = 0; i < count && !encode_failed(e); i++) {
            encode_value(e, f, false, items + (size_t)i * size);
        }
    } else if (f->type == WIRE_STRUCT && !versions_empty(f->nullable)) {
        encode_nullable_struct(e, f, nullable, *(const void *const *)at);
    } else {
        encode_value(e, f, nullable, at);
    }
}

static void encode_tags(struct encoder *e, const struct wire_struct *type, const char *base)
{
    int first = type->field_count - type->tagged_count;
    uint32_t count = 0;
    for (int i = first; i < type->field_count; i++) {
        const struct wire_field *f = &type->fields[i];
        count += wire_has_version(f->versions, e->version) && !field_is_default(f, base);
    }
    wire_put_uvarint(e->w, count);
    for (int i = first; i < type->field_count && count > 0; i++) {
        const struct wire_field *f = &type->fields[i];
        if (wire_has_version(f->versions, e->version) && !field_is_default(f, base)) {
            size_t start = put_tag_begin(e, (uint32_t)f->tag);
            encode_field(e, f, base);
            put_tag_end(e, start);
            count--;
        }
    }
}

static void encode_struct(struct encoder *e, const struct wire_struct *type, const void *in)
{
    for (int i = 0; i < type->field_count && !encode_failed(e); i++) {
        const struct wire_field *f = &type->fields[i];
        if (!wire_has_version(f->versions, e->version)) {
            if (!(f->flags & WIRE_IGNORABLE) && !field_is_default(f, in)) {
                encode_fail(e, ERR_UNSUPPORTED_VERSION);
            }
        } else if (f->tag == WIRE_TAG_NONE) {
            encode_field(e, f, in);
        }
    }
    if (e->flexible) {
        encode_tags(e, type, in);
    }
}

int wire_encode(const struct wire_message *message, const void *in, struct wire_writer *w,
                int version)
{
    return message->encode ? message->encode(in, w, version)
                           : wire_encode_by_table(message, in, w, version);
}

int wire_encode_by_table(const struct wire_message *message, const void *in, struct wire_writer *w,
                         int version)
{
    if (w->error) {
        return w->error;
    }
    if (!wire_has_version(message->versions, version)) {
        return ERR_UNSUPPORTED_VERSION;
    }
    struct wire_mark mark = wire_writer_mark(w);
    struct encoder e = {w, version, version >= message->flexible, 0};
    encode_struct(&e, message->body, in);
    return encode_end(&e, mark);
}
