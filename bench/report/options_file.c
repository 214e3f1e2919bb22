/* SPDX-License-Identifier: Apache-2.0 */

/* Options from a YAML file, one mapping of names and plain values: libyaml reads it, options.c takes each as if it
 * stood on the command line. */
#include "report/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { WORD_MAX = 256 };

_Noreturn static void refuse(const char *path, size_t line, const char *why)
{
    fprintf(stderr, "%s:%zu: %s\n", path, line + 1, why);
    exit(2);
}

static void take(const struct option_spec *specs, const char *path, size_t line, const char *name,
                 const char *value)
{
    char word[WORD_MAX + 8];
    const struct option_spec *spec = specs;
    while (spec->name && strcmp(spec->name, name) != 0) {
        spec++;
    }
    if (!spec->name) {
        refuse(path, line, "there is no such option: see --help");
    }
    bool yes = strcmp(value, "true") == 0;
    if (spec->kind == OPTION_FLAG && !yes && strcmp(value, "false") != 0) {
        refuse(path, line, "true or false is expected");
    }
    if (spec->kind == OPTION_FLAG) {
        *(bool *)spec->to = yes;
        return;
    }
    char *kept = strdup(value);
    snprintf(word, sizeof word, "--%s", name);
    char *words[] = {"", word, kept};
    if (!kept) {
        refuse(path, line, "out of memory");
    }
    (void)options_parse(specs, 3, words, "");
}

static void scalar(const struct option_spec *specs, const char *path, const yaml_event_t *e,
                   char name[static WORD_MAX])
{
    const char *text = (const char *)e->data.scalar.value;
    if (strlen(text) >= WORD_MAX || strlen(text) != e->data.scalar.length) {
        refuse(path, e->start_mark.line, "a name or a value is too long");
    }
    if (*name) {
        take(specs, path, e->start_mark.line, name, text);
        *name = 0;
    } else {
        snprintf(name, WORD_MAX, "%s", text);
    }
}

void options_load(const struct option_spec *specs, const char *path)
{
    FILE *file = fopen(path, "rb");
    yaml_parser_t parser;
    yaml_event_t e;
    char name[WORD_MAX] = "";
    unsigned depth = 0;
    bool over = false;
    if (!file || !yaml_parser_initialize(&parser)) {
        fprintf(stderr, "%s: it cannot be read\n", path);
        exit(2);
    }
    yaml_parser_set_input_file(&parser, file);
    while (!over) {
        if (!yaml_parser_parse(&parser, &e)) {
            refuse(path, parser.problem_mark.line, parser.problem);
        }
        depth += e.type == YAML_MAPPING_START_EVENT;
        if (depth > 1 || e.type == YAML_SEQUENCE_START_EVENT || e.type == YAML_ALIAS_EVENT) {
            refuse(path, e.start_mark.line, "one mapping of options is expected");
        }
        if (e.type == YAML_SCALAR_EVENT && depth == 1) {
            scalar(specs, path, &e, name);
        } else if (e.type == YAML_SCALAR_EVENT && e.data.scalar.length > 0) {
            refuse(path, e.start_mark.line, "one mapping of options is expected");
        }
        over = e.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&e);
    }
    yaml_parser_delete(&parser);
    fclose(file);
}
