/* SPDX-License-Identifier: Apache-2.0 */

/* voters_file: <data>/meta/voters: that this directory has founded or joined a cluster, and who votes
 * in it. It is the decision itself: founding_run.c makes it durable before anything that follows from
 * it, so that a crash repeats the same decision. Its voters count as long as the metadata log names none.
 *
 *     OFFSET   SIZE  MEANING
 *          0      4  magic "LVS1"
 *          4      4  CRC-32C of all bytes from 8 on
 *          8     16  cluster id
 *         24     16  directory id of the directory that the file stands in
 *         40      1  1: this node founded the cluster; 0: it joined
 *         41      3  zero
 *         44      4  size of what follows
 *         48     ..  the value of a VotersRecord, version 0
 *
 * Pure, but for memory. */
#pragma once

#include "base/uuid.h"
#include "meta/voters.h"

enum {
    VOTERS_FILE_FROM = 48, /* where the value begins */
    VOTERS_FILE_MAX = VOTERS_FILE_FROM + VOTERS_BYTES_MAX,
};

struct voters_file {
    struct uuid cluster_id, directory_id;
    bool founded;
    struct voters voters;
};

/* Into an empty writer: 0, or its error. */
int voters_file_encode(const struct voters_file *in, struct wire_writer *w) MUST_CHECK;

/* Any bytes: ERR_MALFORMED, ERR_UNSUPPORTED_VERSION, ERR_NO_MEMORY. */
int voters_file_decode(struct voters_file *out, struct bytes file, struct memory *m) MUST_CHECK;
