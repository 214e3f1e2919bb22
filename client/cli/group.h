/* SPDX-License-Identifier: Apache-2.0 */

/* group: what to do with which groups, as the flags say. */
#pragma once

#include "cli/cli.h"

enum reset_to { RESET_NONE, RESET_EARLIEST, RESET_LATEST, RESET_OFFSET, RESET_TIME, RESET_SHIFT };

struct group_job {
    const char **names;
    size_t name_count;
    const char **topics; /* "topic" or "topic:0,1" */
    size_t topic_count;
    enum reset_to to;
    long long number; /* of RESET_OFFSET and RESET_SHIFT */
    const char *time; /* of RESET_TIME */
    bool execute;
    int status; /* EXIT_DONE, or what fits the first that was refused: the others went on */
};

/* The partitions that the job's topics name, to be freed. */
leat_group_position *group_positions(struct cli *cli, const struct group_job *job, size_t *count);

int group_reset(struct cli *cli, const struct group_job *job);
