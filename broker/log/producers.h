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
 * All logs of a shard keep what they know in one table, whose limit bounds the memory of all of them together.
 * What is forgotten, because it has expired or to make room, is forgotten as a whole: its producer is unknown.
 *
 * The state of a log is encoded into every checkpoint; truncation, which never goes below the high
 * watermark, drops batches above the cut, and what is left is the fold of what is left (L10). */
#pragma once

#include "base/bytes.h"
#include "base/list.h"
#include "base/map.h"
#include "base/pool.h"

enum {
    PRODUCER_BATCHES = 5,
    PRODUCER_BATCHES_MAX = 255, /* kept of one producer; of more above the high watermark the oldest
                                   go, and a truncation may then forget the producer */
};

struct producers; /* of one log; NULL is an empty one */

/* The producers of all logs of a shard. */
struct producer_table {
    struct memory *memory;
    struct map by_key; /* number of the log and producer id */
    struct pool pool;
    struct list by_use; /* what was heard of longest ago first */
    uint64_t logs;      /* numbers given to them */
    uint32_t limit;     /* of them; an id counts once for each log */
};

/* Allocates nothing; `memory` is lent until producer_table_deinit(), before which all states are freed. */
void producer_table_init(struct producer_table *t, struct memory *memory, uint64_t seed,
                         uint32_t limit);
void producer_table_deinit(struct producer_table *t);
uint32_t producer_table_count(const struct producer_table *t);

/* Forgets producers of all logs whose newest batch is older than `timestamp_ms`, whenever it was heard of. */
void producer_table_expire(struct producer_table *t, int64_t timestamp_ms);

/* Forgets the producer that was heard of longest ago. False: there is none. */
bool producer_table_forget_oldest(struct producer_table *t);

/* Of decoded states, whose logs came one after the other, the newest batches say what was heard of when. */
void producer_table_sort(struct producer_table *t);

struct producer_batch {
    int64_t producer_id;
    int16_t epoch;
    int32_t first_sequence;
    int32_t last_sequence;
    int64_t base_offset;
    int64_t last_offset;
    int64_t timestamp_ms; /* the batch's largest: decides expiration, */
    int64_t
        heard_ms; /* and so does the wall clock of its append, 0: not known; it is not encoded */
};

/* 0: append it; 1: a duplicate, and *original is what stands in the log; or
 * ERR_OUT_OF_ORDER_SEQUENCE, ERR_INVALID_PRODUCER_EPOCH. Changes nothing. base_offset and
 * last_offset of `b` are not read. */
int producers_check(const struct producers *p, const struct producer_batch *b,
                    struct producer_batch *original) MUST_CHECK;

/* Folds a batch that is in the log into the state; what lies below `settled` is never truncated. *p is
 * made when needed, and lends the table. ERR_NO_MEMORY or
 * ERR_BUSY (the table is full: the caller may make room and try once more): nothing changed.
 * Must be called before the batch is appended to anything, so that the append can still be refused.
 * Batches come in the order of the log; one that ends at or below the newest known is ignored, for
 * a replay meets again what its checkpoint had folded in. */
int producers_update(struct producers **p, struct producer_table *t, const struct producer_batch *b,
                     int64_t settled) MUST_CHECK;

/* Drops batches that end at or above `offset`. A producer left with none is forgotten. If `offset` is
 * not below what was settled, what is left answers as the fold of the log up to there would. */
void producers_truncate(struct producers *p, int64_t offset);

/* Forgets producers whose newest batch is older than `timestamp_ms` and was not heard of since. */
void producers_expire(struct producers *p, int64_t timestamp_ms);

uint32_t producers_count(const struct producers *p);

/* The last offset of each producer's newest batch that ends below `offset`, in no order, at most
 * producers_count() of them. Returns how many. */
uint32_t producers_newest_below(const struct producers *p, int64_t offset, int64_t *out);

/* Bytes of the encoding, and the encoding itself: OFFSET SIZE MEANING table in producers.c. */
size_t producers_size(const struct producers *p);
void producers_encode(const struct producers *p, struct writer *w);
/* Total: any bytes give a state or ERR_MALFORMED / ERR_NO_MEMORY (there is none at all). What finds no room in the
 * table, or no memory, takes that of producers older than `expired_ms`, then of the oldest, or is forgotten itself. */
int producers_decode(struct producers **out, struct producer_table *t, struct reader *r,
                     int64_t expired_ms) MUST_CHECK;
void producers_free(struct producers *p);
