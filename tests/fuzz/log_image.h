/* SPDX-License-Identifier: Apache-2.0 */

/* What journal.c, checkpoint.c and segment.c share: the data directory that a killed node has left
 * (checkpoint, journal, segments of two durable logs and a `memory` one), changed as an input says, and
 * a node of the simulator that recovers from it, reads all that it shows, writes and stops.
 *
 * An input: one byte of flags, then changes of four bytes: what, position (2), value. The node may
 * refuse (ERR_DAMAGED), skip, or serve; a failed assertion, a loop or a read beyond the end is a
 * finding: bytes from a disk are never asserted on. */
#pragma once

#include "base/uuid.h"

enum image_files {
    IMAGE_JOURNAL = 1 << 0,
    IMAGE_CHECKPOINTS = 1 << 1,
    IMAGE_PARTITIONS = 1 << 2,
    IMAGE_SEGMENTS = 1 << 3,
};

enum image_flags {
    IMAGE_FIX_SUMS = 1 << 0, /* make sums right after the changes, so that they get through */
    IMAGE_ACCEPT_LOSS = 1 << 1,
    IMAGE_OTHER_BOOT = 1 << 2,
    IMAGE_SHARDS = 3 << 3, /* plus one */
    IMAGE_RAW = 1 << 7,    /* the target's own */
};

/* Changes files of the given kinds, recovers, reads. */
void image_run(unsigned files, const uint8_t *input, size_t size);
