/* SPDX-License-Identifier: Apache-2.0 */

/* Straight code: what the interpreter would do with a table, written out, for the messages of every
 * produce and fetch. It must give the same bytes and the same refusals; tests/unit/wire compares.
 */
#include "emit.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* "d->version >= 3 && d->version <= 5"; "true" and "false" where the message leaves no choice. */
static void print_condition(const struct schema_message *m, struct schema_versions v, char coder,
                            FILE *out)
{
    struct schema_versions both = schema_intersect(v, m->versions);
    bool lower = both.min > m->versions.min, upper = both.max < m->versions.max;
    if (schema_versions_empty(both)) {
        fprintf(out, "false");
    } else if (!lower && !upper) {
        fprintf(out, "true");
    } else {
        if (lower) {
            fprintf(out, "%c->version >= %d", coder, both.min);
        }
        if (upper) {
            fprintf(out, "%s%c->version <= %d", lower ? " && " : "", coder, both.max);
        }
    }
}

static bool is_partial(const struct schema_message *m, const struct schema_field *f)
{
    struct schema_versions both = schema_intersect(f->versions, m->versions);
    return both.min > m->versions.min || both.max < m->versions.max;
}

/* Ends the program for what straight code does not cover: the schema then leaves out `hot`. */
static void check_supported(const struct schema_message *m, const struct schema_field *f)
{
    bool array_ok = f->type == WIRE_INT8 || f->type == WIRE_INT16 || f->type == WIRE_INT32 ||
                    f->type == WIRE_INT64 || f->type == WIRE_UUID || f->type == WIRE_STRUCT;
    if ((f->is_array && !array_ok) || schema_by_pointer(f) ||
        (f->type == WIRE_RECORDS && is_partial(m, f))) {
        schema_fail(m->file, 0, "%s.%s cannot be in a hot message", m->name, f->name);
    }
}

static void emit_get(const struct schema_message *m, const struct schema_field *f,
                     const char *coder, FILE *out)
{
    const char *type = schema_type_name(f->type);
    if (f->is_array && f->type == WIRE_STRUCT) {
        const char *inner = f->type_struct->c_name;
        fprintf(out, "out->%s_count = get_structs(%s, &%s_type, ", f->name, coder, inner);
        print_condition(m, f->nullable, 'd', out);
        fprintf(out,
                ", (void **)&out->%s);\n"
                "for (int32_t i = 0; i < out->%s_count && !decode_failed(%s); i++) {\n"
                "    %s_get(%s, &out->%s[i]);\n}\n",
                f->name, f->name, coder, inner, coder, f->name);
    } else if (f->is_array) {
        fprintf(out, "out->%s = get_%s_array(%s, &out->%s_count, ", f->name, type, coder, f->name);
        print_condition(m, f->nullable, 'd', out);
        fprintf(out, ");\n");
    } else if (f->type == WIRE_STRUCT) {
        fprintf(out, "%s_get(%s, &out->%s);\n", f->type_struct->c_name, coder, f->name);
    } else if (f->type >= WIRE_STRING) {
        fprintf(out, "out->%s = get_%s(%s, ", f->name, type, coder);
        print_condition(m, f->nullable, 'd', out);
        fprintf(out, ");\n");
    } else {
        fprintf(out, "out->%s = get_%s(%s);\n", f->name, type, coder);
    }
}

static void emit_get_tags(const struct schema_message *m, const struct schema_struct *s, FILE *out)
{
    fprintf(out, "if (!d->flexible) {\nreturn;\n}\n");
    if (s->tagged_count == 0) {
        fprintf(out, "get_unknown_tags(d);\n");
        return;
    }
    fprintf(out,
            "int64_t previous = -1;\n"
            "for (uint32_t count = get_tag_count(d); count > 0 && !decode_failed(d); count--) {\n"
            "struct reader body;\n"
            "uint32_t tag = get_tag(d, &previous, &body);\n"
            "if (decode_failed(d)) {\nreturn;\n}\n"
            "struct decoder inner = *d;\n"
            "inner.r = &body;\n");
    for (const struct schema_field *f = s->fields; f; f = f->next) {
        if (f->tag == WIRE_TAG_NONE) {
            continue;
        }
        fprintf(out, "if (tag == %d && ", f->tag);
        print_condition(m, f->versions, 'd', out);
        fprintf(out, ") {\n");
        emit_get(m, f, "(&inner)", out);
        fprintf(out, "get_tag_end(d, &inner);\n}\n");
    }
    fprintf(out, "}\n");
}

static void emit_get_struct(const struct schema_message *m, const struct schema_struct *s,
                            FILE *out)
{
    fprintf(out, "static void %s_get(struct decoder *d, struct %s *out)\n{\n", s->c_name,
            s->c_name);
    fprintf(out, "    if (%s_type.defaults) {\n        wire_struct_init(&%s_type, out);\n    }\n",
            s->c_name, s->c_name);
    for (const struct schema_field *f = s->fields; f; f = f->next) {
        check_supported(m, f);
        if (f->tag != WIRE_TAG_NONE) {
            continue;
        }
        if (is_partial(m, f)) {
            fprintf(out, "if (");
            print_condition(m, f->versions, 'd', out);
            fprintf(out, ") {\n");
            emit_get(m, f, "d", out);
            fprintf(out, "}\n");
        } else {
            emit_get(m, f, "d", out);
        }
    }
    emit_get_tags(m, s, out);
    fprintf(out, "}\n\n");
}

/* An expression that is true when the field has its default; inner structs are written out. */
static void print_is_default(const struct schema_field *f, const char *path, FILE *out)
{
    int size = f->default_null ? -1 : 0;
    if (f->is_array) {
        fprintf(out, "%s%s_count == %d", path, f->name, size);
    } else if (f->type == WIRE_STRUCT) {
        char inner[512];
        snprintf(inner, sizeof inner, "%s%s.", path, f->name);
        fprintf(out, "(");
        for (const struct schema_field *g = f->type_struct->fields; g; g = g->next) {
            print_is_default(g, inner, out);
            fprintf(out, g->next ? " && " : "");
        }
        fprintf(out, ")");
    } else if (f->type == WIRE_UUID) {
        fprintf(out, "uuid_is_zero(%s%s)", path, f->name);
    } else if (f->type >= WIRE_STRING) {
        fprintf(out, "%s%s.size == %d", path, f->name, size);
    } else if (f->type == WIRE_BOOL) {
        fprintf(out, "%s%s == %s", path, f->name, f->default_value ? "true" : "false");
    } else {
        fprintf(out, "%s%s == %" PRId64, path, f->name, f->default_value);
    }
}

static void emit_put(const struct schema_message *m, const struct schema_field *f, FILE *out)
{
    const char *type = schema_type_name(f->type);
    if (f->is_array && f->type == WIRE_STRUCT) {
        fprintf(out, "put_length(e, in->%s_count, ", f->name);
        print_condition(m, f->nullable, 'e', out);
        fprintf(out,
                ");\nfor (int32_t i = 0; i < in->%s_count && !encode_failed(e); i++) {\n"
                "    %s_put(e, &in->%s[i]);\n}\n",
                f->name, f->type_struct->c_name, f->name);
    } else if (f->is_array) {
        fprintf(out, "put_%s_array(e, in->%s, in->%s_count, ", type, f->name, f->name);
        print_condition(m, f->nullable, 'e', out);
        fprintf(out, ");\n");
    } else if (f->type == WIRE_STRUCT) {
        fprintf(out, "%s_put(e, &in->%s);\n", f->type_struct->c_name, f->name);
    } else if (f->type >= WIRE_STRING) {
        fprintf(out, "put_%s(e, in->%s, ", type, f->name);
        print_condition(m, f->nullable, 'e', out);
        fprintf(out, ");\n");
    } else {
        fprintf(out, "put_%s(e, in->%s);\n", type, f->name);
    }
}

/* `has_NAME`: the version has the tagged field and its value is not the default. */
static void emit_put_tags(const struct schema_message *m, const struct schema_struct *s, FILE *out)
{
    fprintf(out, "if (!e->flexible) {\nreturn;\n}\n");
    for (const struct schema_field *f = s->fields; f; f = f->next) {
        if (f->tag != WIRE_TAG_NONE) {
            fprintf(out, "bool has_%s = ", f->name);
            print_condition(m, f->versions, 'e', out);
            fprintf(out, " && !(");
            print_is_default(f, "in->", out);
            fprintf(out, ");\n");
        }
    }
    fprintf(out, "wire_put_uvarint(e->w, 0");
    for (const struct schema_field *f = s->fields; f; f = f->next) {
        if (f->tag != WIRE_TAG_NONE) {
            fprintf(out, " + has_%s", f->name);
        }
    }
    fprintf(out, ");\n");
    for (const struct schema_field *f = s->fields; f; f = f->next) {
        if (f->tag != WIRE_TAG_NONE) {
            fprintf(out, "if (has_%s) {\nsize_t start = put_tag_begin(e, %d);\n", f->name, f->tag);
            emit_put(m, f, out);
            fprintf(out, "put_tag_end(e, start);\n}\n");
        }
    }
}

static void emit_put_struct(const struct schema_message *m, const struct schema_struct *s,
                            FILE *out)
{
    fprintf(out, "static void %s_put(struct encoder *e, const struct %s *in)\n{\n", s->c_name,
            s->c_name);
    for (const struct schema_field *f = s->fields; f; f = f->next) {
        if (f->tag == WIRE_TAG_NONE && !is_partial(m, f)) {
            emit_put(m, f, out);
            continue;
        }
        if (f->tag == WIRE_TAG_NONE) {
            fprintf(out, "if (");
            print_condition(m, f->versions, 'e', out);
            fprintf(out, ") {\n");
            emit_put(m, f, out);
            fprintf(out, "}\n");
        }
        if (is_partial(m, f) && !f->is_ignorable) {
            fprintf(out, "if (!(");
            print_condition(m, f->versions, 'e', out);
            fprintf(out, ") && !(");
            print_is_default(f, "in->", out);
            fprintf(out, ")) {\nencode_fail(e, ERR_UNSUPPORTED_VERSION);\n}\n");
        }
    }
    emit_put_tags(m, s, out);
    fprintf(out, "}\n\n");
}

static void emit_message(const struct schema_message *m, FILE *out)
{
    const char *n = m->c_name;
    for (const struct schema_struct *s = m->structs; s; s = s->next) {
        emit_get_struct(m, s, out);
        emit_put_struct(m, s, out);
    }
    fprintf(out,
            "int %s_decode(struct %s *out, struct reader *r, int version, struct arena *arena)\n{\n"
            "    wire_struct_init(&%s_type, out);\n"
            "    if (!wire_has_version(%s_message.versions, version)) {\n"
            "        return ERR_UNSUPPORTED_VERSION;\n    }\n"
            "    struct decoder d = {r, arena, version, version >= %d, 0};\n"
            "    %s_get(&d, out);\n"
            "    return decode_end(&d, &%s_type, out);\n}\n\n",
            n, n, n, n, m->flexible, n, n);
    fprintf(out,
            "int %s_encode(const struct %s *in, struct wire_writer *w, int version)\n{\n"
            "    if (w->error) {\n        return w->error;\n    }\n"
            "    if (!wire_has_version(%s_message.versions, version)) {\n"
            "        return ERR_UNSUPPORTED_VERSION;\n    }\n"
            "    struct wire_mark mark = wire_writer_mark(w);\n"
            "    struct encoder e = {w, version, version >= %d, 0};\n"
            "    %s_put(&e, in);\n"
            "    return encode_end(&e, mark);\n}\n\n",
            n, n, n, m->flexible, n);
    fprintf(out,
            "static int %s_decode_any(void *out, struct reader *r, int version, struct arena *a)\n"
            "{\n    return %s_decode(out, r, version, a);\n}\n\n"
            "static int %s_encode_any(const void *in, struct wire_writer *w, int version)\n"
            "{\n    return %s_encode(in, w, version);\n}\n\n",
            n, n, n, n);
}

/* Copies `text`, each line indented by the braces that are open before it. */
static void print_indented(const char *text, FILE *out)
{
    int depth = 0;
    while (*text) {
        size_t size = strcspn(text, "\n");
        size_t blanks = strspn(text, " ");
        const char *line = text + blanks;
        int length = (int)(size - blanks);
        depth -= *line == '}';
        fprintf(out, "%*s%.*s\n", length ? depth * 4 : 0, "", length, line);
        for (int i = *line == '}'; i < length; i++) {
            depth += (line[i] == '{') - (line[i] == '}');
        }
        text += size + (text[size] == '\n');
    }
}

void emit_straight(const struct schema_message *m, FILE *out)
{
    char *text = NULL;
    size_t size = 0;
    FILE *buffer = open_memstream(&text, &size);
    if (!buffer) {
        schema_fail(m->file, 0, "out of memory");
    }
    emit_message(m, buffer);
    fclose(buffer);
    print_indented(text, out);
    free(text);
}
