/* SPDX-License-Identifier: Apache-2.0 */

/* schema: the model that the generator reads from the YAML tables, checked.
 *
 * The form is described in schema/README.md. Everything wrong in a table ends the program with
 * file:line and a sentence, so the model that is returned is whole. Memory is freed by the end of
 * the struct memory that schema_read() is given. */
#pragma once

#include "base/memory.h"
#include "wire/codec.h"

#include <stdio.h>

struct schema_versions {
    int min, max; /* min > max: none; max WIRE_VERSION_LAST: open */
};

struct schema_struct;

struct schema_field {
    char *name;
    enum wire_type type;
    bool is_array, is_ignorable, is_own;
    bool has_default, default_null;
    int64_t default_value;
    struct schema_versions versions, nullable;
    int tag;
    struct schema_struct *type_struct;
    struct schema_field *next;
};

struct schema_struct {
    char *c_name;   /* produce_request_topic_data */
    char *own_name; /* what a type names it by, or NULL: inline */
    struct schema_field *fields;
    int field_count, tagged_count;
    bool emitted;
    struct schema_struct *next; /* all structs of the message, inner ones before outer ones */
};

struct schema_message {
    char *name;       /* ProduceRequest */
    char *c_name;     /* produce_request */
    const char *file; /* that it stands in */
    struct schema_versions versions;
    int flexible; /* WIRE_VERSION_LAST: never */
    int key;      /* -1: none */
    bool is_hot, is_record;
    struct schema_struct *body, *structs;
    struct schema_message *next;
};

struct schema_api {
    int key;
    char *name;
    struct schema_versions versions;
    int flexible, advertised_min;
    struct schema_message *request, *response;
    struct schema_api *next;
};

struct schema {
    struct memory *memory;
    struct schema_api *apis;
    struct schema_message *messages;
    struct schema_message **messages_end;
    struct schema_api **apis_end;
};

/* Reads one file into `schema`; the API table comes before the APIs it lists. */
void schema_read(struct schema *schema, const char *path);

/* Ends the program unless every listed API has its messages and C names are unique. */
void schema_finish(const struct schema *schema);

/* The versions of an inner thing that can occur inside an outer one. */
struct schema_versions schema_intersect(struct schema_versions a, struct schema_versions b);

static inline bool schema_versions_empty(struct schema_versions v)
{
    return v.min > v.max;
}

const char *schema_type_name(enum wire_type type);

/* "TopicName" gives "topic_name". */
char *schema_snake(struct memory *m, const char *name);

_Noreturn void schema_fail(const char *file, size_t line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
