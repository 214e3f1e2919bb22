/* SPDX-License-Identifier: Apache-2.0 */

/* options: command lines of the measuring programs, as one table per program.
 *
 * `--name value`, `--name=value`; `--help` prints the table. A wrong command line is told and ends
 * the program with status 2. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum option_kind {
    OPTION_FLAG,    /* bool: no value */
    OPTION_TEXT,    /* const char *, lent by argv */
    OPTION_COUNT,   /* uint64_t: 1000, 5k, 2M */
    OPTION_BYTES,   /* uint64_t: 4096, 64KiB, 2GiB */
    OPTION_SECONDS, /* double: 2, 1.5s, 200ms */
};

struct option_spec {
    const char *name; /* without the dashes; NULL ends the table */
    enum option_kind kind;
    void *to; /* holds the default and gets the value */
    const char *help;
};

/* Reads argv[1 ..]; returns the index of the first word that is no option, or of what follows "--".
 */
int options_parse(const struct option_spec *specs, int argc, char **argv, const char *usage);

/* The same names and values from a YAML file of one mapping: what comes after it on the command line counts. A wrong
 * file is told and ends the program with status 2. Texts are kept for the life of the process. */
void options_load(const struct option_spec *specs, const char *path);

/* "--name: why", and exit status 2. */
_Noreturn void options_refuse(const char *name, const char *why);
