/* SPDX-License-Identifier: Apache-2.0 */

/* produce: what to publish, and from where; filled from either style of flags. */
#pragma once

#include "cli/cli.h"
#include "cli/format.h"

enum produce_input {
    INPUT_LINES, /* of stdin or of one file */
    INPUT_FILES, /* each file is one record (kcat) */
};

struct produce_job {
    const char *topic;
    int32_t partition;
    const char *key;
    leat_header *headers;
    size_t header_count;
    char *key_delimiter, *delimiter;
    size_t key_delimiter_size, delimiter_size;
    const char *key_field;
    struct format *format; /* of the input, or NULL */
    bool json, keep_partition, null, tee;
    bool key_base64, value_base64;
    long long limit; /* records; 0: none */
    enum produce_input input;
    const char **files; /* none: stdin */
    size_t file_count;
};

/* "name=value", or "name:value" outside kcat's mode. */
void produce_header(struct cli *cli, struct produce_job *job, const char *text);
void produce_file(struct produce_job *job, const char *path);

/* Publishes until the input or the limit ends: the exit status. */
int produce_run(struct cli *cli, struct produce_job *job);
