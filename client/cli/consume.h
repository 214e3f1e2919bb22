/* SPDX-License-Identifier: Apache-2.0 */

/* consume: what to read, how far, and how to show it; filled from either style of flags. */
#pragma once

#include "cli/cli.h"
#include "cli/format.h"
#include "cli/offsets.h"

struct consume_job {
    const char **topics;
    size_t topic_count;
    bool regex;
    int32_t *partitions; /* NULL: all */
    size_t partition_count;
    struct offset_range range;
    bool exit_at_end;
    long long limit;   /* records; 0: none */
    long long wait_ms; /* ends after so much silence; 0: never */
    const char *group; /* joined as a member; NULL: not */
    bool stored;       /* begins where a group has committed */

    struct format *format;
    bool json, pretty, meta_only, offsets, unbuffered;
    const char *null; /* text of nulls, or NULL */
    char *key_delimiter, *delimiter;
    size_t key_delimiter_size, delimiter_size;
};

void consume_topic(struct consume_job *job, const char *topic);

/* "0,1,2" */
void consume_partitions(struct consume_job *job, const char *text);
void consume_offset(struct consume_job *job, const char *text);
void consume_format(struct consume_job *job, const char *text);

/* Reads until the job is done: the exit status. */
int consume_run(struct cli *cli, struct consume_job *job);

/* Prints one record as the job says. */
void consume_print(const struct cli *cli, const struct consume_job *job, const leat_record *r,
                   int32_t broker, bool terminal);
