/* SPDX-License-Identifier: Apache-2.0 */

/* producers: what a log knows of its idempotent producers (KIP-98): pure, a fold of the log's
 * batches.
 *
 * For each producer id: its newest epoch, its last five batches, and what a truncation may bring back
 * to be the last five: all batches above the high watermark and five below it. A batch whose first and last
 * sequence equal one of the last five is a duplicate; another one must continue the newest sequence (which
 * wraps from 2^31-1 to 0), or begin at 0 in a newer epoch; of an unknown producer any sequence is
 * accepted (its state has expired or was trimmed).
 *
 * The state of a log is encoded into every checkpoint; truncation, which never goes below the high
 * watermark, drops batches above the cut, and what is left is the fold of what is left (L10). */
#pragma once

#include "base/bytes.h"
#include "base/memory.h"

enum {
    PRODUCER_BATCHES = 5,
    PRODUCER_BATCHES_MAX = 255, /* kept of one producer; of more above the high watermark the oldest
                                   go, and a truncation may then forget the producer */
};

struct producers; /* of one log; NULL is an empty one */

struct producer_batch {
    int64_t producer_id;
    int16_t epoch;
    int32_t first_sequence;
    int32_t last_sequence;
    int64_t base_offset;
    int64_t last_offset;
    int64_t timestamp_ms; /* the batch's largest: decides expiration */
};

/* 0: append it; 1: a duplicate, and *original is what stands in the log; or
 * ERR_OUT_OF_ORDER_SEQUENCE, ERR_INVALID_PRODUCER_EPOCH. Changes nothing. base_offset and
 * last_offset of `b` are not read. */
int producers_check(const struct producers *p, const struct producer_batch *b,
                    struct producer_batch *original) MUST_CHECK;

/* Folds a batch that is in the log into the state; what lies below `settled` is never truncated. *p is
 * made when needed. ERR_NO_MEMORY or
 * ERR_BUSY (`limit` producers are known: the caller may expire and try once more): nothing changed.
 * Must be called before the batch is appended to anything, so that the append can still be refused.
 * Batches come in the order of the log; one that ends at or below the newest known is ignored, for
 * a replay meets again what its checkpoint had folded in. */
int producers_update(struct producers **p, struct memory *m, const struct producer_batch *b,
                     uint32_t limit, int64_t settled) MUST_CHECK;

/* Drops batches that end at or above `offset`. A producer left with none is forgotten. If `offset` is
 * not below what was settled, what is left answers as the fold of the log up to there would. */
void producers_truncate(struct producers *p, int64_t offset);

/* Forgets producers whose newest batch is older than `timestamp_ms`. */
void producers_expire(struct producers *p, int64_t timestamp_ms);

uint32_t producers_count(const struct producers *p);

/* The last offset of each producer's newest batch that ends below `offset`, in no order, at most
 * producers_count() of them. Returns how many. */
uint32_t producers_newest_below(const struct producers *p, int64_t offset, int64_t *out);

/* Bytes of the encoding, and the encoding itself: OFFSET SIZE MEANING table in producers.c. */
size_t producers_size(const struct producers *p);
void producers_encode(const struct producers *p, struct writer *w);
/* Total: any bytes give a state or ERR_MALFORMED / ERR_NO_MEMORY. */
int producers_decode(struct producers **out, struct memory *m, struct reader *r,
                     uint32_t limit) MUST_CHECK;
void producers_free(struct producers *p, struct memory *m);
