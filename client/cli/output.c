/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/output.h"

#include <stdlib.h>
#include <string.h>

enum { COLUMNS_MAX = 16 };

/* --- YAML: block style, strings quoted as in JSON, which YAML reads too --- */

static void yaml_value(const json_t *value, int depth, bool in_list);

static void yaml_scalar(const json_t *value)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY);
    fputs(text, stdout);
    free(text);
}

static bool yaml_is_block(const json_t *value)
{
    return (json_is_object(value) && json_object_size(value)) ||
           (json_is_array(value) && json_array_size(value));
}

static void yaml_object(const json_t *value, int depth, bool in_list)
{
    const char *name;
    json_t *member;
    bool first = in_list;
    json_object_foreach((json_t *)(uintptr_t)value, name, member)
    {
        printf("%*s%s:", first ? 0 : depth * 2, "", name);
        first = false;
        if (yaml_is_block(member)) {
            putchar('\n');
            yaml_value(member, depth + 1, false);
        } else {
            putchar(' ');
            yaml_scalar(member);
            putchar('\n');
        }
    }
}

static void yaml_value(const json_t *value, int depth, bool in_list)
{
    size_t index;
    json_t *item;
    if (json_is_object(value) && json_object_size(value)) {
        yaml_object(value, depth, in_list);
        return;
    }
    if (!json_is_array(value) || !json_array_size(value)) {
        yaml_scalar(value);
        putchar('\n');
        return;
    }
    json_array_foreach(value, index, item)
    {
        printf("%*s- ", depth * 2, "");
        yaml_value(item, depth + 1, true);
    }
}

bool output_value(const struct cli *cli, json_t *value)
{
    switch (cli->output) {
    case OUTPUT_JSON:
        json_dumpf(value, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(value);
        return true;
    case OUTPUT_YAML:
        yaml_value(value, 0, false);
        json_decref(value);
        return true;
    default:
        return false;
    }
}

bool output_done(const struct cli *cli, json_t *value)
{
    bool done = output_value(cli, value);
    if (!done) {
        json_decref(value);
    }
    return done;
}

bool output_refused(const struct cli *cli, int *status, json_t *rows, json_t *row,
                    const leat_error *e)
{
    bool refused = cli_is_refusal(e->code);
    if (refused) {
        fflush(stdout);
        cli_say("%s", e->message);
        *status = *status ? *status : cli_exit_of(e->code);
    }
    if (refused && cli->output != OUTPUT_TABLE) {
        json_object_set_new(row, "error", json_string(e->message));
        json_array_append(rows, row);
    }
    json_decref(row);
    return refused;
}

/* --- tables --- */

/* The text of a cell, to be freed: lists are joined with commas. */
static char *cell_text(const json_t *value)
{
    if (json_is_string(value)) {
        return cli_copy(json_string_value(value), json_string_length(value));
    }
    if (!value || json_is_null(value)) {
        return cli_copy("-", 1);
    }
    if (json_is_array(value)) {
        char *text = cli_copy("", 0);
        size_t index;
        json_t *item;
        json_array_foreach(value, index, item)
        {
            char *one = cell_text(item);
            size_t used = strlen(text);
            size_t room = strlen(one) + 2;
            text = cli_resize(text, used + room);
            snprintf(text + used, room, "%s%s", index ? "," : "", one);
            free(one);
        }
        return text;
    }
    char *dumped = json_dumps(value, JSON_ENCODE_ANY);
    char *text = cli_copy(dumped, strlen(dumped));
    free(dumped);
    return text;
}

void output_table(const json_t *rows, const struct column *columns)
{
    size_t widths[COLUMNS_MAX] = {0}, index, count = 0;
    json_t *row;
    for (; columns[count].field && count < COLUMNS_MAX; count++) {
        widths[count] = strlen(columns[count].title);
    }
    json_array_foreach(rows, index, row)
    {
        for (size_t i = 0; i < count; i++) {
            char *text = cell_text(json_object_get(row, columns[i].field));
            widths[i] = strlen(text) > widths[i] ? strlen(text) : widths[i];
            free(text);
        }
    }
    for (size_t i = 0; i < count; i++) {
        int width = i + 1 < count || columns[i].right ? (int)widths[i] : 0;
        printf(columns[i].right ? "%s%*s" : "%s%-*s", i ? "  " : "", width, columns[i].title);
    }
    putchar('\n');
    json_array_foreach(rows, index, row)
    {
        for (size_t i = 0; i < count; i++) {
            char *text = cell_text(json_object_get(row, columns[i].field));
            int width = i + 1 < count || columns[i].right ? (int)widths[i] : 0;
            printf(columns[i].right ? "%s%*s" : "%s%-*s", i ? "  " : "", width, text);
            free(text);
        }
        putchar('\n');
    }
}

void output_rows(const struct cli *cli, json_t *rows, const struct column *columns)
{
    if (!output_value(cli, rows)) {
        output_table(rows, columns);
        json_decref(rows);
    }
}
