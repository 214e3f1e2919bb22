/* SPDX-License-Identifier: Apache-2.0 */

/* cluster_history: what clients sent, were told and read, and what of it may not be (RELIABILITY 1.4). It is
 * judged while it happens, and once more when everything has been read from the start to the end.
 *
 * A writer is one life of a producer at one partition; its records are numbered, and every byte of a value follows
 * from partition, writer and number (much as in tests/history/README.md). A log is one partition of a
 * topic that stays; a topic that is deleted and made again under its name is only judged at the end.
 *
 *   C1  an offset has one value, whoever was told of it or read it
 *   C2  a value of an idempotent producer has one offset
 *   C3  what was acknowledged is there when everything is read at the end (C4: by a reader that reaches the end)
 *   C7, C8   a reader gets every offset, once, in order
 *   C11 acknowledged records of a writer stand in the order in which they were sent
 *   C18 the acknowledged offset is where the record stands; it is said whenever acks are waited for
 *   C22 the latest offset is never below what was acknowledged, read or told before it was asked for
 *   C25 what was refused definitely is not read
 *   C26 what was acknowledged before a deletion is not in the topic that is made afterwards
 *   C28 a value is the one that was sent there
 *   C30 of two equal batches of an idempotent producer one is written, and its offset is told
 *   C31 nothing below the start is gone: the first offset is 0; of a compacted log the newest record of each key is
 *       there, unless it is a tombstone, and then nothing older of its key is
 *
 * acks=1 is held to C1 and C3 only where `lossless` says that it cannot be lost (one replica). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct history;

enum { HISTORY_VALUE_MAX = 40 << 10, HISTORY_WHY_MAX = 400, HISTORY_KEYS = 50 };

/* `violated` is called with a sentence, and does not return. */
struct history *history_new(void (*violated)(void *context, const char *why), void *context);
void history_free(struct history *h);

/* A partition; the same number for the same one. `again`: of a topic that is made again under its name. `compacted`:
 * its records have keys, and those that a newer one has made superfluous may be gone. */
unsigned history_log(struct history *h, const char *topic, int32_t partition, bool again,
                     bool compacted);
unsigned history_log_count(const struct history *h);

struct history_writer_options {
    unsigned log;
    int16_t acks;
    bool idempotent;
    bool lossless;
    bool large; /* every eighth value is of several blocks, not every 64th */
};
unsigned history_writer(struct history *h, const struct history_writer_options *options);

/* The next value of a writer, in a buffer that is lent until the next call. It counts as sent unless it is taken
 * back at once. */
const void *history_send(struct history *h, unsigned writer, uint64_t now_ns, uint32_t *number,
                         size_t *size);
/* The key of a value, below HISTORY_KEYS; -1: it is sent to a log without keys. */
int32_t history_key(const struct history *h, unsigned writer, uint32_t number);
/* It is sent as a tombstone: what history_send() says is not its value, but beside it. */
bool history_tombstone(const struct history *h, unsigned writer, uint32_t number);
void history_take_back(struct history *h, unsigned writer, uint32_t number);

enum history_outcome { HISTORY_ACKED, HISTORY_REFUSED, HISTORY_UNKNOWN };
void history_settled(struct history *h, unsigned writer, uint32_t number,
                     enum history_outcome outcome, int64_t offset, uint64_t now_ns);

/* One reader's way through one partition; zeroed when the reader's life begins. */
struct history_reading {
    unsigned log;
    int64_t next;  /* offset; -1: where it starts is not known yet */
    bool earliest; /* it was to start at the first offset, not behind the last */
    int64_t least; /* and this had been acknowledged, read or told by then */
    uint64_t records;
    bool last; /* what it does not read is gone */
};

/* It is about to ask where to start. */
void history_start(struct history *h, struct history_reading *r, unsigned log, bool earliest);
void history_starts(struct history *h, struct history_reading *r, int64_t offset);
void history_read(struct history *h, struct history_reading *r, int64_t offset, const void *value,
                  size_t size, bool tombstone, uint64_t now_ns);

/* Behind what was acknowledged, read or told. */
int64_t history_known_end(const struct history *h, unsigned log);

/* Everything of `log` has been read from its start to `end`, the latest offset that was told after all was well, and
 * `least` had been reached before it was asked for: what a request that was long on its way appends comes after it.
 * Of one that is made again: what was acknowledged before `deleted_ns` is not there, what was sent after `calm_ns`
 * and acknowledged is. */
void history_judge(struct history *h, unsigned log, int64_t end, int64_t least, uint64_t deleted_ns,
                   uint64_t calm_ns);

/* It is read once more from its start: what stands where is still held against what is known. */
struct history_counts {
    uint64_t sent, acked, refused, unknown, read, starts, doubled, compacted;
};
struct history_counts history_counts(const struct history *h);
