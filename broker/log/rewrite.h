/* SPDX-License-Identifier: Apache-2.0 */

/* rewrite: a new segment that is to stand for a run of sealed ones, while it is written; compaction and mending
 * decide what it holds. Private.
 *
 *     rewrite_begin -> rewrite_put, ... -> rewrite_finish: last block -> cut to size -> sync -> sync of its name
 *         -> LOG_REPLACE (replace.c) -> put(0): it stands there
 *
 * Until the REPLACE is gathered nobody else knows the new file, and rewrite_drop() takes it away again. Space
 * is taken in steps before it is written, and never near the disk's reserve: appends come first. Index and sums are
 * made on the way. A failed write or sync ends the node (L11). */
#pragma once

#include "log/log_private.h"

struct rewrite {
    struct replacement run; /* fresh is NULL: none is being written */
    uint64_t bytes_max;     /* what the new segment may need at most, for the space */
    bool gaps; /* offsets are left out in what is put; may be set until rewrite_finish() */
    /* Whether it is to end before its time: asked between steps. */
    bool (*given_up)(struct rewrite *w);
    /* What was put is in the block or the file (perhaps from inside rewrite_put()), or the new segment has taken its
     * place (rewrite_finish()); or an error, and rewrite_drop() is to follow. */
    void (*put)(struct rewrite *w, int error);

    uint64_t moved_bytes; /* out: written to the file */
    uint32_t size;        /* out: of what was put */

    struct io_op op;
    uint8_t *block;
    size_t block_filled;
    const uint8_t *bytes; /* what is put, and not in the block yet */
    size_t left;
    bool finishing;
    struct iovec iovec;
    uint64_t taken; /* of the disk, by the allocation in flight */
    struct io_file *directory;
    struct log_control control;
};

/* The run w->run.first to w->run.last is chosen, the new segment's generation above all of theirs, and log_tidy() has
 * been. ERR_NO_MEMORY, or the file cannot be made: then rewrite_drop(). */
int rewrite_begin(struct rewrite *w) MUST_CHECK;

/* Whole batches, behind those put before; lent until put(). */
void rewrite_put(struct rewrite *w, const uint8_t *batches, size_t size);

/* Something was put. */
void rewrite_finish(struct rewrite *w);

/* Frees what is left; nothing is in flight. */
void rewrite_drop(struct rewrite *w);
