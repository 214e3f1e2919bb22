/* SPDX-License-Identifier: Apache-2.0 */

/* chunk_reader: records out of what a Fetch brought for one partition, total for any bytes.
 *
 * Batches follow each other; the last may be cut off, and is then left out. Records below the
 * offset that was asked for are skipped (a batch may begin before it), control batches always, and
 * batches of aborted transactions unless everything is wanted. A batch that is not compressed is
 * read where it lies; others are decompressed into memory of the reader's, within limits.
 *
 * Errors: ERR_CORRUPT_MESSAGE (checksum, format, a codec's complaint), ERR_TOO_LARGE (a batch
 * beyond batch_max_bytes), ERR_NO_MEMORY. After one, the reader stands behind the batch that caused
 * it. */
#pragma once

#include "base/list.h"
#include "base/memory.h"
#include "wire/batch.h"
#include "wire/compress.h"

struct aborted {
    int64_t producer_id, first_offset;
};

/* Decompressed batches, of one reader after the other, for as long as their records are lent. The
 * memory of a few is kept for the next ones, up to PLAIN_SPARES_MAX of PLAIN_SPARE_BYTES. */
struct plain_batch;

enum { PLAIN_SPARES_MAX = 4, PLAIN_SPARE_BYTES = 1 << 20 };

struct plain_store {
    struct memory *memory;
    struct plain_batch *current; /* being read, or NULL */
    struct list batches;         /* all that are lent, the current one among them */
    size_t bytes;
    struct list spares; /* empty */
    unsigned spare_count;
    struct codec_kept kept;
};

void plain_store_init(struct plain_store *s, struct memory *memory);

/* Takes back the batches that were read to their end. */
void plain_store_release(struct plain_store *s);

/* Frees everything; no reader uses the store any more. */
void plain_store_deinit(struct plain_store *s);

struct chunk_reader {
    struct bytes data;
    size_t position;
    int64_t next_offset; /* records below it are skipped */
    bool check_crcs, read_uncommitted;
    size_t batch_max_bytes;
    struct plain_store *store;
    struct aborted *aborted; /* by first_offset, lent; entries are consumed */
    size_t aborted_count;

    bool in_batch;
    struct batch_header batch;
    struct record_reader records;
};

/* Nothing is allocated yet; `data`, `aborted` and `store` are lent until the end. A store has one
 * reader at a time. */
void chunk_reader_open(struct chunk_reader *r, struct bytes data, int64_t offset,
                       struct plain_store *store);

/* 1 and a record, 0 at the end, or an error. What the record points to lives as long as `data` and,
 * when it was compressed, until plain_store_release() after the reader has left its batch. */
int chunk_reader_next(struct chunk_reader *r, struct record *out) MUST_CHECK;

/* Leaves the batch that is being read. */
void chunk_reader_close(struct chunk_reader *r);

/* What stands in `data`, by batch headers alone: the offset behind the last whole batch (`from`
 * without one) and its leader epoch. ERR_CORRUPT_MESSAGE when offsets do not rise from `from` on or
 * a header is none; ERR_TOO_LARGE when not even one batch is whole. */
int chunk_scan(struct bytes data, int64_t from, int64_t *next, int32_t *leader_epoch,
               size_t *whole) MUST_CHECK;
