/* SPDX-License-Identifier: Apache-2.0 */

/* Rows are kept as JSON from the start; printing measures each column and aligns it. */
#include "report/table.h"

#include "base/assert.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { CELL_SIZE = 128 };

struct table {
    const char *title;
    const struct table_column *columns;
    unsigned column_count, next; /* the column of the next cell */
    json_t *rows;                /* array of arrays */
};

static void must(int failed)
{
    if (failed) {
        fputs("out of memory\n", stderr);
        exit(1);
    }
}

struct table *table_new(const char *title, const struct table_column *columns)
{
    struct table *t = calloc(1, sizeof *t);
    must(!t);
    t->title = title;
    t->columns = columns;
    while (columns[t->column_count].name) {
        t->column_count++;
    }
    assert(t->column_count > 0 && t->column_count <= TABLE_COLUMNS_MAX);
    t->rows = json_array();
    must(!t->rows);
    return t;
}

void table_free(struct table *t)
{
    if (t) {
        json_decref(t->rows);
        free(t);
    }
}

static void table_cell(struct table *t, json_t *cell)
{
    must(!cell);
    if (t->next == t->column_count) {
        t->next = 0;
    }
    if (t->next == 0) {
        must(json_array_append_new(t->rows, json_array()));
    }
    json_t *row = json_array_get(t->rows, json_array_size(t->rows) - 1);
    must(json_array_append_new(row, cell));
    t->next++;
    assert(json_array_size(row) == t->next);
}

void table_text(struct table *t, const char *text)
{
    table_cell(t, json_string(text));
}

void table_number(struct table *t, double value)
{
    table_cell(t, json_real(value));
}

void table_none(struct table *t)
{
    table_cell(t, json_null());
}

static void table_format(const struct table *t, const json_t *row, unsigned column,
                         char out[static CELL_SIZE])
{
    const json_t *cell = json_array_get(row, column);
    if (json_is_string(cell)) {
        snprintf(out, CELL_SIZE, "%s", json_string_value(cell));
    } else if (json_is_real(cell)) {
        int decimals = t->columns[column].decimals;
        snprintf(out, CELL_SIZE, "%.*f", decimals < 0 ? 0 : decimals, json_real_value(cell));
    } else {
        snprintf(out, CELL_SIZE, "-");
    }
}

void table_print(const struct table *t, FILE *out)
{
    int widths[TABLE_COLUMNS_MAX];
    char text[CELL_SIZE];
    size_t index;
    json_t *row;
    for (unsigned c = 0; c < t->column_count; c++) {
        widths[c] = (int)strlen(t->columns[c].name);
        json_array_foreach(t->rows, index, row)
        {
            table_format(t, row, c, text);
            widths[c] = (int)strlen(text) > widths[c] ? (int)strlen(text) : widths[c];
        }
    }
    fprintf(out, "%s\n", t->title);
    for (unsigned c = 0; c < t->column_count; c++) {
        bool left = c == 0 || t->columns[c].decimals == TABLE_TEXT;
        fprintf(out, "  %*s", left ? -widths[c] : widths[c], t->columns[c].name);
    }
    fputc('\n', out);
    json_array_foreach(t->rows, index, row)
    {
        for (unsigned c = 0; c < t->column_count; c++) {
            bool left = c == 0 || t->columns[c].decimals == TABLE_TEXT;
            table_format(t, row, c, text);
            fprintf(out, "  %*s", left ? -widths[c] : widths[c], text);
        }
        fputc('\n', out);
    }
}

json_t *table_json(const struct table *t)
{
    json_t *out = json_array(), *row;
    size_t index;
    must(!out);
    json_array_foreach(t->rows, index, row)
    {
        json_t *object = json_object();
        must(!object);
        for (unsigned c = 0; c < t->column_count; c++) {
            json_t *cell = json_array_get(row, c);
            must(json_object_set_new(object, t->columns[c].name,
                                     cell ? json_incref(cell) : json_null()));
        }
        must(json_array_append_new(out, object));
    }
    return out;
}

/* --- reports ---------------------------------------------------------------------------------- */

void report_init(struct report *r, const char *program)
{
    memset(r, 0, sizeof *r);
    r->program = program;
}

void report_deinit(struct report *r)
{
    for (unsigned i = 0; i < r->table_count; i++) {
        table_free(r->tables[i]);
    }
    memset(r, 0, sizeof *r);
}

void report_condition(struct report *r, const char *name, const char *format, ...)
{
    assert(r->condition_count < REPORT_CONDITIONS_MAX);
    struct report_condition *c = &r->conditions[r->condition_count++];
    va_list arguments;
    c->name = name;
    va_start(arguments, format);
    vsnprintf(c->value, sizeof c->value, format, arguments);
    va_end(arguments);
}

struct table *report_table(struct report *r, const char *name, const char *title,
                           const struct table_column *columns)
{
    assert(r->table_count < REPORT_TABLES_MAX);
    r->names[r->table_count] = name;
    return r->tables[r->table_count++] = table_new(title, columns);
}

static void report_print_json(const struct report *r)
{
    json_t *root = json_object(), *conditions = json_object();
    must(!root || !conditions);
    must(json_object_set_new(root, "program", json_string(r->program)));
    for (unsigned i = 0; i < r->condition_count; i++) {
        must(json_object_set_new(conditions, r->conditions[i].name,
                                 json_string(r->conditions[i].value)));
    }
    must(json_object_set_new(root, "conditions", conditions));
    for (unsigned i = 0; i < r->table_count; i++) {
        must(json_object_set_new(root, r->names[i], table_json(r->tables[i])));
    }
    json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(root);
}

void report_print(const struct report *r, int json)
{
    if (json) {
        report_print_json(r);
        return;
    }
    for (unsigned i = 0; i < r->condition_count; i++) {
        printf("%s%s %s", i ? ", " : "", r->conditions[i].name, r->conditions[i].value);
    }
    if (r->condition_count) {
        putchar('\n');
    }
    for (unsigned i = 0; i < r->table_count; i++) {
        if (i || r->condition_count) {
            putchar('\n');
        }
        table_print(r->tables[i], stdout);
    }
}
