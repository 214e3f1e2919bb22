/* SPDX-License-Identifier: Apache-2.0 */

/* emit: the model as C, and as facts. */
#pragma once

#include "schema.h"

void emit_header(const struct schema *schema, FILE *out);
void emit_source(const struct schema *schema, FILE *out);
void emit_facts(const struct schema *schema, FILE *out);

/* Straight code for one hot message: name_decode() and name_encode(). */
void emit_straight(const struct schema_message *m, FILE *out);

static inline bool schema_by_pointer(const struct schema_field *f)
{
    return f->type == WIRE_STRUCT && !f->is_array && !schema_versions_empty(f->nullable);
}
