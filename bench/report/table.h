/* SPDX-License-Identifier: Apache-2.0 */

/* table: figures as people and programs read them, from one description.
 *
 * Cells are filled in from left to right, row by row; a row that is cut short is padded. Printed,
 * the first column is flush left and numbers are flush right; as JSON, a table is an array of
 * objects whose names are those of the columns. Failing allocations end the program: nothing that
 * measures goes on without its memory. Not thread-safe. */
#pragma once

#include <jansson.h>
#include <stdio.h>

enum { TABLE_TEXT = -1, TABLE_COLUMNS_MAX = 24 };

struct table_column {
    const char *name;
    int decimals; /* of numbers, or TABLE_TEXT */
};

struct table;

/* `title` and `columns` are lent until table_free(). The list ends with a NULL name. */
struct table *table_new(const char *title, const struct table_column *columns);
void table_free(struct table *t);

/* The next cell; the first one behind the last column begins a new row. */
void table_text(struct table *t, const char *text);
void table_number(struct table *t, double value);
void table_none(struct table *t); /* "-", and null */

void table_print(const struct table *t, FILE *out);
json_t *table_json(const struct table *t); /* gives a reference */

/* What a program has found out: tables in order, printed all together. */
enum { REPORT_TABLES_MAX = 8, REPORT_CONDITIONS_MAX = 32 };

struct report_condition {
    const char *name; /* lent */
    char value[96];
};

struct report {
    const char *program;
    struct table *tables[REPORT_TABLES_MAX]; /* owned */
    const char *names[REPORT_TABLES_MAX];    /* in JSON; lent */
    unsigned table_count;
    struct report_condition conditions[REPORT_CONDITIONS_MAX];
    unsigned condition_count;
};

void report_init(struct report *r, const char *program);
void report_deinit(struct report *r);

/* Under what conditions the figures were taken; `name` is lent. */
void report_condition(struct report *r, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Makes a table of this report. */
struct table *report_table(struct report *r, const char *name, const char *title,
                           const struct table_column *columns);

/* To stdout: aligned text, or one JSON object. */
void report_print(const struct report *r, int json);
