/* SPDX-License-Identifier: Apache-2.0 */

/* meta_start: what is needed only until the controller is active. Between meta_open.c (what stands
 * on disk) and meta_begin.c (the first records of this life). */
#pragma once

#include "meta/meta_private.h"

enum { START_BUFFER_SIZE = 2 * SNAPSHOT_BATCH_MAX };

struct meta_start {
    struct meta *meta;
    int error; /* why the start failed, once everything is closed */
    bool used; /* whether the root holds anything of ours */
    char path[IO_PATH_MAX];
    char text[IDENTITY_SIZE_MAX];
    char why[RECORDS_WHY_SIZE];
    struct file_load load;
    struct file_store store;
    struct file_sync sync;
    struct log_recover recover;

    struct image *draft;       /* the image in the making */
    struct snapshot_id loaded; /* the newest that a crash has left before the log began behind it */
    struct snapshot_reader reader;
    struct io_op op;
    struct io_file *file;
    uint8_t *buffer;
    size_t filled;
    uint64_t position;
    struct log_read read;
    int64_t next_offset;

    struct quorum_history history; /* of the log behind the snapshot */
    struct voters voters;          /* that the log begins with */

    uint32_t topic; /* the next partition whose epoch is to grow */
    int32_t partition;
    bool registered;
};

/* Ends the start with an error, when everything that was opened is closed. */
void start_fail(struct meta *m, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Everything is closed: tells of the error. */
void start_failed(struct meta *m);

/* What the log holds is known: begins the quorum. */
void start_begin(struct meta *m);

/* The image knows no other broker: what leads here is nobody else's, and this start writes it down by itself. */
bool start_is_alone(const struct meta *m);

/* With all that the log holds, committed or not. */
const struct image *meta_newest_image(const struct meta *m);
