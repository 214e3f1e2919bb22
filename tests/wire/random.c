/* SPDX-License-Identifier: Apache-2.0 */

/* Values lean to the edges of their types: limits, zero, minus one, null, empty. */
#include "wire/random.h"

#include <stdio.h>

enum {
    STRING_MAX = 40,
    STRING_LONG = 300, /* now and then: lengths that need two bytes as a varint */
    ARRAY_MAX = 3,
    SLICES_MAX = 3,
};

struct source {
    struct prng *prng;
    struct arena *arena;
    int version;
};

static void random_struct(struct source *s, const struct wire_struct *type, void *out);

static void *take(struct source *s, size_t count, size_t size)
{
    void *p = arena_array(s->arena, count, size);
    assert(p);
    return p;
}

static uint64_t random_number(struct source *s)
{
    static const uint64_t edges[] = {
        0,   1,   UINT64_MAX, INT64_MAX, (uint64_t)INT64_MIN, 127,
        128, 255, 0x7fff,     0x8000,    0x7fffffff,          0x80000000};
    return prng_chance(s->prng, 1, 3) ? edges[prng_below(s->prng, array_size(edges))]
                                      : prng_next(s->prng);
}

static const uint8_t *random_bytes(struct source *s, int32_t *size)
{
    size_t max = prng_chance(s->prng, 1, 20) ? STRING_LONG : STRING_MAX;
    *size = (int32_t)prng_below(s->prng, max + 1);
    uint8_t *data = take(s, (size_t)*size, 1);
    prng_fill(s->prng, data, (size_t)*size);
    return data;
}

static struct wire_records random_records(struct source *s)
{
    struct wire_records records = {.slice_count = (uint32_t)prng_below(s->prng, SLICES_MAX + 1)};
    struct slice *slices = take(s, records.slice_count, sizeof *slices);
    for (uint32_t i = 0; i < records.slice_count; i++) {
        int32_t size;
        slices[i].data = random_bytes(s, &size);
        slices[i].size = (size_t)size;
        records.size += (uint32_t)size;
    }
    records.slices = slices;
    return records;
}

static void random_value(struct source *s, const struct wire_field *f, bool null, void *at)
{
    switch ((enum wire_type)f->type) {
    case WIRE_BOOL:
        *(bool *)at = prng_chance(s->prng, 1, 2);
        break;
    case WIRE_INT8:
        *(int8_t *)at = (int8_t)random_number(s);
        break;
    case WIRE_INT16:
    case WIRE_UINT16:
        *(uint16_t *)at = (uint16_t)random_number(s);
        break;
    case WIRE_INT32:
    case WIRE_UINT32:
        *(uint32_t *)at = (uint32_t)random_number(s);
        break;
    case WIRE_INT64:
        *(int64_t *)at = (int64_t)random_number(s);
        break;
    case WIRE_FLOAT64:
        *(double *)at = (double)(int64_t)random_number(s);
        break;
    case WIRE_UUID:
        prng_fill(s->prng, at, sizeof(struct uuid));
        break;
    case WIRE_STRING: {
        struct wire_string *string = at;
        string->data = null ? NULL : (const char *)random_bytes(s, &string->size);
        string->size = null ? -1 : string->size;
        break;
    }
    case WIRE_BYTES: {
        struct wire_bytes *bytes = at;
        bytes->data = null ? NULL : random_bytes(s, &bytes->size);
        bytes->size = null ? -1 : bytes->size;
        break;
    }
    case WIRE_RECORDS:
        *(struct wire_records *)at = null ? (struct wire_records){.null = true} : random_records(s);
        break;
    case WIRE_STRUCT:
        random_struct(s, f->type_struct, at);
        break;
    }
}

static void random_field(struct source *s, const struct wire_field *f, char *base)
{
    void *at = base + f->offset;
    bool null = wire_has_version(f->nullable, s->version) && prng_chance(s->prng, 1, 4);
    if (f->flags & WIRE_ARRAY) {
        int32_t count = null ? -1 : (int32_t)prng_below(s->prng, ARRAY_MAX + 1);
        size_t size = wire_value_size(f);
        char *items = count > 0 ? take(s, (size_t)count, size) : NULL;
        for (int32_t i = 0; i < count; i++) {
            random_value(s, f, false, items + (size_t)i * size);
        }
        *(void **)at = items;
        *(int32_t *)(base + f->count_offset) = count;
    } else if (f->type == WIRE_STRUCT && f->nullable.min <= f->nullable.max) {
        *(void **)at = null ? NULL : take(s, 1, f->type_struct->size);
        if (!null) {
            random_struct(s, f->type_struct, *(void **)at);
        }
    } else {
        random_value(s, f, null, at);
    }
}

static void random_struct(struct source *s, const struct wire_struct *type, void *out)
{
    wire_struct_init(type, out);
    for (int i = 0; i < type->field_count; i++) {
        const struct wire_field *f = &type->fields[i];
        bool skip = f->tag != WIRE_TAG_NONE && prng_chance(s->prng, 1, 3);
        if (wire_has_version(f->versions, s->version) && !skip) {
            random_field(s, f, out);
        }
    }
}

void random_message(const struct wire_message *message, int version, void *out, struct prng *prng,
                    struct arena *arena)
{
    assert(wire_has_version(message->versions, version));
    struct source s = {prng, arena, version};
    random_struct(&s, message->body, out);
}

static bool struct_equal(const struct wire_struct *type, const char *a, const char *b);

static bool records_equal(const struct wire_records *a, const struct wire_records *b)
{
    if (a->null != b->null || a->size != b->size) {
        return false;
    }
    uint32_t i = 0, j = 0;
    size_t i_at = 0, j_at = 0;
    for (uint32_t left = a->size; left > 0; left--) {
        while (i_at == a->slices[i].size) {
            i++;
            i_at = 0;
        }
        while (j_at == b->slices[j].size) {
            j++;
            j_at = 0;
        }
        if (a->slices[i].data[i_at++] != b->slices[j].data[j_at++]) {
            return false;
        }
    }
    return true;
}

static bool value_equal(const struct wire_field *f, const void *a, const void *b)
{
    switch ((enum wire_type)f->type) {
    case WIRE_STRING:
        return wire_string_equal(*(const struct wire_string *)a, *(const struct wire_string *)b);
    case WIRE_BYTES: {
        const struct wire_bytes *x = a, *y = b;
        return x->size == y->size && (x->size <= 0 || !memcmp(x->data, y->data, (size_t)x->size));
    }
    case WIRE_RECORDS:
        return records_equal(a, b);
    case WIRE_STRUCT:
        return struct_equal(f->type_struct, a, b);
    default:
        return memcmp(a, b, wire_value_size(f)) == 0;
    }
}

static bool field_equal(const struct wire_field *f, const char *a, const char *b)
{
    if (f->flags & WIRE_ARRAY) {
        int32_t count = *(const int32_t *)(a + f->count_offset);
        if (count != *(const int32_t *)(b + f->count_offset)) {
            return false;
        }
        const char *x = *(const char *const *)(a + f->offset);
        const char *y = *(const char *const *)(b + f->offset);
        size_t size = wire_value_size(f);
        for (int32_t i = 0; i < count; i++) {
            if (!value_equal(f, x + (size_t)i * size, y + (size_t)i * size)) {
                return false;
            }
        }
        return true;
    }
    if (f->type == WIRE_STRUCT && f->nullable.min <= f->nullable.max) {
        const void *x = *(const void *const *)(a + f->offset);
        const void *y = *(const void *const *)(b + f->offset);
        return x && y ? struct_equal(f->type_struct, x, y) : x == y;
    }
    return value_equal(f, a + f->offset, b + f->offset);
}

static bool struct_equal(const struct wire_struct *type, const char *a, const char *b)
{
    for (int i = 0; i < type->field_count; i++) {
        if (!field_equal(&type->fields[i], a, b)) {
            fprintf(stderr, "field %d of %s differs\n", i, type->name);
            return false;
        }
    }
    return true;
}

bool message_equal(const struct wire_message *message, const void *a, const void *b)
{
    return struct_equal(message->body, a, b);
}
