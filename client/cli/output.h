/* SPDX-License-Identifier: Apache-2.0 */

/* output: an answer as a table, as JSON or as YAML. The answer is one JSON value; a table shows a
 * list of flat objects. */
#pragma once

#include "cli/cli.h"

#include <jansson.h>

struct column {
    const char *field, *title;
    bool right; /* numbers */
};

/* JSON or YAML, when that is wanted: true. Takes `value` in any case but false. */
bool output_value(const struct cli *cli, json_t *value);

/* The same for an answer that a table says in a sentence: takes `value` always. */
bool output_done(const struct cli *cli, json_t *value);

/* One of several names is refused: that is said and, unless a table is wanted, stands in `rows` as `row` with its
 * "error". Takes `row`. *status is EXIT_DONE, or what fits the first that was refused. False: nobody has answered, and
 * nothing is done. */
bool output_refused(const struct cli *cli, int *status, json_t *rows, json_t *row,
                    const leat_error *e);

/* A list of objects, as wanted; columns end with a NULL field. Takes `rows`. */
void output_rows(const struct cli *cli, json_t *rows, const struct column *columns);

/* A table of a list within an answer. */
void output_table(const json_t *rows, const struct column *columns);

/* The configuration of a topic or broker, as rows of cli_config_columns; or the end of the process.
 */
json_t *cli_configs(struct cli *cli, int32_t resource, const char *name);
extern const struct column cli_config_columns[];
