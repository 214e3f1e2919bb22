/* SPDX-License-Identifier: Apache-2.0 */

/* codec: reads and writes messages by the tables that the generator makes of the schemas.
 *
 * A struct of the generated header holds the fields of all versions; its table says which of them a
 * version has, how each looks on the wire and what it is when it is absent. One interpreter walks
 * the table, so that each rule of the encoding is written once; the messages of the hot path also
 * have straight code of their own (wire/messages.h), which the tests hold against the interpreter.
 *
 * Decoding is total. Any bytes give 0, ERR_MALFORMED, ERR_UNSUPPORTED_VERSION or ERR_NO_MEMORY:
 *   C1  Nothing is read past the end of the reader.
 *   C2  A count is believed only if its elements, at their smallest, fit into the bytes that are
 * left; so memory is at most proportional to the input, and the arena's limit holds beside it. C3
 * Null where the version does not allow it, a negative or absurd length, a varint that is too long,
 * tags that do not rise, and a known tag that is not used up are malformed. C4  Unknown tags are
 * skipped. Bytes behind the message are the caller's check.
 *
 * On failure the struct holds its defaults. Decoded values borrow from the reader's bytes and from
 * the arena. Encoding on failure leaves the writer as it was, with all slices still the caller's;
 * on success the writer has taken the references of all `records`. */
#pragma once

#include "base/errors.h"
#include "base/memory.h"
#include "base/uuid.h"
#include "wire/types.h"
#include "wire/writer.h"

enum wire_type {
    WIRE_BOOL,
    WIRE_INT8,
    WIRE_INT16,
    WIRE_UINT16,
    WIRE_INT32,
    WIRE_UINT32,
    WIRE_INT64,
    WIRE_FLOAT64,
    WIRE_UUID,
    WIRE_STRING,
    WIRE_BYTES,
    WIRE_RECORDS,
    WIRE_STRUCT,
};

enum wire_field_flags {
    WIRE_ARRAY = 1 << 0,        /* pointer to elements, and a count */
    WIRE_IGNORABLE = 1 << 1,    /* may be lost in versions without the field */
    WIRE_DEFAULT_NULL = 1 << 2, /* strings, bytes, records, arrays, nullable structs */
};

enum {
    WIRE_VERSION_NONE = -1,
    WIRE_VERSION_LAST = INT16_MAX,
    WIRE_TAG_NONE = -1,
};

struct wire_versions {
    int16_t min, max; /* both inclusive; min > max means none */
};

struct wire_struct;

struct wire_field {
    uint8_t type;
    uint8_t flags;
    uint16_t offset;       /* of the value in the struct */
    uint16_t count_offset; /* of an array's count */
    struct wire_versions versions;
    struct wire_versions nullable; /* none: never; a nullable struct is held by pointer */
    int32_t tag;                   /* in the tag section, or WIRE_TAG_NONE */
    int64_t default_value;         /* of numbers */
    const struct wire_struct *type_struct;
};

/* Fields in the order of the wire, the tagged ones at the end, by rising tag. */
struct wire_struct {
    const char *name;
    uint32_t size;
    uint16_t field_count, tagged_count; /* the tagged ones are among field_count */
    const struct wire_field *fields;
    const void *defaults; /* an instance; NULL when all is zero */
};

struct wire_message {
    const char *name; /* as in the protocol: "ProduceRequest" */
    struct wire_versions versions;
    int16_t flexible; /* the first version with compact lengths and tags */
    int32_t key;      /* of the API or record, -1 without */
    const struct wire_struct *body;
    /* Straight code of a hot message, or NULL. */
    int (*decode)(void *out, struct reader *r, int version, struct arena *arena);
    int (*encode)(const void *in, struct wire_writer *w, int version);
};

static inline bool wire_has_version(struct wire_versions range, int version)
{
    return version >= range.min && version <= range.max;
}

void wire_struct_init(const struct wire_struct *type, void *out);

/* The bytes of one value in memory, which an array of it strides by. */
size_t wire_value_size(const struct wire_field *f);

/* The fewest bytes that a struct takes on the wire, at least 1: what counts are held against (C2).
 */
size_t wire_struct_min(const struct wire_struct *type, int version, bool flexible);

/* By straight code where there is some, else by the table. */
int wire_decode(const struct wire_message *message, void *out, struct reader *r, int version,
                struct arena *arena) MUST_CHECK;
int wire_encode(const struct wire_message *message, const void *in, struct wire_writer *w,
                int version) MUST_CHECK;

/* Always by the table: what straight code is held against. */
int wire_decode_by_table(const struct wire_message *message, void *out, struct reader *r,
                         int version, struct arena *arena) MUST_CHECK;
int wire_encode_by_table(const struct wire_message *message, const void *in, struct wire_writer *w,
                         int version) MUST_CHECK;
