/* SPDX-License-Identifier: Apache-2.0 */

/* topic: what the files of `leat topic` share. */
#pragma once

#include "cli/cli.h"

#include <jansson.h>

struct topic_job {
    const char **names;
    size_t name_count;
    int32_t partitions, replicas, total, add;
    leat_config *configs;
    size_t config_count;
    bool if_not_exists, if_exists, internal, validate, cancel, unclean, shrink;
    int status; /* EXIT_DONE, or what fits the first that was refused: the others went on */
    const char *offset, *time, *brokers;
    json_t *done; /* what was changed, for JSON and YAML */
};

/* One thing that was done: a sentence for people, at once, or a row of the answer. */
void topic_done(struct cli *cli, struct topic_job *job, json_t *row, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Tells what was done before something failed, then that. */
_Noreturn void topic_fail(struct cli *cli, struct topic_job *job, const leat_error *e);

/* One of the topics is refused: the others go on. Takes `row`, which stands for it in the answer. When nobody answers
 * all ends, and it is said which are left. */
void topic_refused(struct cli *cli, struct topic_job *job, size_t index, json_t *row,
                   const leat_error *e);

/* The one topic that is named. */
const char *topic_one(const struct topic_job *job);

/* topic_replicas.c */
int topic_reassign(struct cli *cli, struct topic_job *job);
int topic_elect(struct cli *cli, struct topic_job *job);
