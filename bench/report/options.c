/* SPDX-License-Identifier: Apache-2.0 */

#include "report/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct unit {
    const char *name;
    double factor;
};

static const struct unit count_units[] = {{"", 1}, {"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {NULL, 0}};
static const struct unit second_units[] = {{"", 1},      {"s", 1},  {"ms", 1e-3},
                                           {"us", 1e-6}, {"m", 60}, {NULL, 0}};
static const struct unit byte_units[] = {
    {"", 1},        {"KiB", 1024}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"K", 1024}, {"M", 1 << 20},
    {"G", 1 << 30}, {"KB", 1e3},   {"MB", 1e6},      {"GB", 1e9},      {NULL, 0}};

void options_refuse(const char *name, const char *why)
{
    fprintf(stderr, "--%s: %s\n", name, why);
    exit(2);
}

static double number_with_unit(const char *name, const char *text, const struct unit *units)
{
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    if (end == text || errno || !(value >= 0) || value > 1e18) {
        options_refuse(name, "a number is expected");
    }
    for (; units->name; units++) {
        if (strcmp(end, units->name) == 0) {
            return value * units->factor;
        }
    }
    options_refuse(name, "unknown unit");
}

static void option_set(const struct option_spec *spec, const char *value)
{
    switch (spec->kind) {
    case OPTION_FLAG:
        *(bool *)spec->to = true;
        break;
    case OPTION_TEXT:
        *(const char **)spec->to = value;
        break;
    case OPTION_COUNT:
        *(uint64_t *)spec->to = (uint64_t)number_with_unit(spec->name, value, count_units);
        break;
    case OPTION_BYTES:
        *(uint64_t *)spec->to = (uint64_t)number_with_unit(spec->name, value, byte_units);
        break;
    case OPTION_SECONDS:
        *(double *)spec->to = number_with_unit(spec->name, value, second_units);
        break;
    }
}

static void option_print(const struct option_spec *spec)
{
    char room[64] = "";
    switch (spec->kind) {
    case OPTION_FLAG:
        break;
    case OPTION_TEXT:
        snprintf(room, sizeof room, "%s", *(const char **)spec->to ? *(const char **)spec->to : "");
        break;
    case OPTION_COUNT:
    case OPTION_BYTES:
        snprintf(room, sizeof room, "%llu", (unsigned long long)*(uint64_t *)spec->to);
        break;
    case OPTION_SECONDS:
        snprintf(room, sizeof room, "%gs", *(double *)spec->to);
        break;
    }
    printf("  --%-16s %s%s%s%s\n", spec->name, spec->help, *room ? " (" : "", room,
           *room ? ")" : "");
}

static const struct option_spec *option_named(const struct option_spec *specs, const char *name,
                                              size_t size)
{
    while (specs->name && (strlen(specs->name) != size || memcmp(specs->name, name, size) != 0)) {
        specs++;
    }
    return specs->name ? specs : NULL;
}

int options_parse(const struct option_spec *specs, int argc, char **argv, const char *usage)
{
    int at = 1;
    while (at < argc && strncmp(argv[at], "--", 2) == 0) {
        const char *text = argv[at++] + 2;
        size_t size = strcspn(text, "=");
        if (*text == 0) {
            return at;
        }
        const struct option_spec *spec = option_named(specs, text, size);
        if (!spec && strcmp(text, "help") == 0) {
            printf("usage: %s\n", usage);
            for (spec = specs; spec->name; spec++) {
                option_print(spec);
            }
            exit(0);
        }
        if (!spec) {
            options_refuse(text, "there is no such option: see --help");
        }
        const char *value = text[size] == '=' ? text + size + 1 : NULL;
        if (spec->kind == OPTION_FLAG ? value != NULL : !value && at == argc) {
            options_refuse(spec->name, value ? "takes no value" : "needs a value");
        }
        option_set(spec, spec->kind == OPTION_FLAG || value ? value : argv[at++]);
    }
    return at;
}
