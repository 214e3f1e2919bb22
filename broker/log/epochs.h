/* SPDX-License-Identifier: Apache-2.0 */

/* epochs: the leader epochs of a log with the offset that each begins at (KIP-101, KIP-279,
 * KIP-320).
 *
 * Both columns grow strictly, but for epochs in which nothing was written: a newer epoch that
 * begins at the same offset replaces the older one. Pure. Bounded: beyond EPOCHS_MAX the oldest go.
 */
#pragma once

#include "base/bytes.h"
#include "base/memory.h"

enum { EPOCHS_MAX = 4096 };

struct epoch_entry {
    int32_t epoch;
    int64_t start_offset;
};

struct epochs {
    struct epoch_entry *entries; /* oldest first */
    uint32_t count, capacity;
};

/* Begins `epoch` at `offset`; harmless when it is not newer than the last. ERR_NO_MEMORY. */
int epochs_begin(struct epochs *e, struct memory *m, int32_t epoch, int64_t offset) MUST_CHECK;

int32_t epochs_latest(const struct epochs *e); /* -1: none */

/* The largest epoch <= `epoch` and where it ends (the next one's start, or `log_end`): *found, and
 * the offset; -1 and -1 if there is none. */
int64_t epochs_end(const struct epochs *e, int32_t epoch, int64_t log_end, int32_t *found);

/* The epoch that the record at `offset` was written in, -1 when it is not known. */
int32_t epochs_at(const struct epochs *e, int64_t offset);

void epochs_truncate_end(struct epochs *e, int64_t offset); /* drops what begins at or above it */
void epochs_truncate_start(struct epochs *e,
                           int64_t offset); /* the entry that holds it moves up to it */

size_t epochs_size(const struct epochs *e);
void epochs_encode(const struct epochs *e, struct writer *w);
int epochs_decode(struct epochs *out, struct memory *m, struct reader *r) MUST_CHECK;
void epochs_free(struct epochs *e, struct memory *m);
