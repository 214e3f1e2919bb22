/* SPDX-License-Identifier: Apache-2.0 */

/* cold: reading segments from disk, for the logs of one shard.
 *
 * What the tail no longer holds is read in aligned blocks, past the page cache, into counted
 * buffers of which responses carry slices: no byte is copied. The blocks are a cache with a budget
 * of its own, so that a consumer far behind reads from memory what was read ahead for it, and the
 * tail is never evicted for it. Every batch that is served was checked first: its CRC, its bounds,
 * and that its offset follows the batch in front of it.
 *
 * Life: requests are embedded in their owners and stay in place until done(), or until the call has
 * answered at once. A file stays open while cold_idle() is false for its key. Slices are released
 * by whoever got them, before cold_reader_free().
 *
 * Threads: one reader belongs to one shard. */
#pragma once

#include "log/batch_fields.h"
#include "log/log.h"

struct epochs;
struct cold_block;
struct cold_reader;

/* Zero means the default beside it. */
struct cold_options {
    uint32_t block_bytes;     /* 512 KiB: read at once; a multiple of IO_BLOCK_SIZE */
    uint64_t bytes_max;       /* 32 MiB: of all blocks, also of those that slices keep */
    uint32_t batch_bytes_max; /* 16 MiB: a longer batch on disk is damage */
    /* A read has ended, which cold_idle() may have waited for; from the loop. NULL: not wanted. */
    void (*progress)(void *context);
    void *context;
};

/* NULL: out of memory. */
struct cold_reader *cold_reader_new(struct io *io, const struct cold_options *options) MUST_CHECK;

/* Nothing is in flight, no slice is out. NULL is accepted. */
void cold_reader_free(struct cold_reader *r);

struct cold_status {
    uint64_t bytes;     /* of all blocks: cached, in flight, lent */
    uint32_t in_flight; /* reads */
    uint64_t reads, reads_ahead, hits, served_bytes;
};
struct cold_status cold_status(const struct cold_reader *r);

/* Whether no request and no read uses the file of `key`. */
bool cold_idle(const struct cold_reader *r, uint64_t key);

/* Drops what is cached of the file: before it is closed, and after it was cut. cold_idle(). */
void cold_forget(struct cold_reader *r, uint64_t key);

/* Waits until the file of `key` is idle, forgets it, then calls done() once, from the loop or, if
 * nothing is in flight, at once. */
struct cold_close {
    uint64_t key;
    void (*done)(struct cold_close *c);
    struct list link;
};
void cold_close_file(struct cold_reader *r, struct cold_close *c);

/* What requests have in common: a file, and a window of it that is held in memory. The first part
 * is the caller's, the rest is the reader's; a zeroed one is ready. */
struct cold_source {
    struct io_file *file;
    uint64_t key;  /* of the file, never used for another one; below 2^44 */
    uint32_t from; /* position of a batch to start at: of an index entry, or 0 */
    /* The offset of that batch, if it is known. A base offset is outside its batch's CRC: only this
     * shows that the first batch is the one that belongs here. */
    bool from_known;
    int64_t from_offset;
    uint32_t limit; /* bytes that are in the file, exclusive */
    bool open;      /* the limit may cut a batch (its end is in the tail); else that is damage */
    bool gaps;      /* offsets are left out; else a gap is damage */
    /* What the log knows of its epochs, lent; NULL: not compared. A leader epoch is outside its
     * batch's CRC as well. */
    const struct epochs *epochs;

    /* Out, with ERR_DAMAGED: where, and what is wrong with it (a sentence without full stop). */
    uint32_t damage_position;
    const char *damage;

    struct {
        struct cold_reader *reader;
        struct list link; /* in the reader's users */
        struct list wait; /* in a block's waiters */
        void (*wake)(struct cold_source *s);
        struct cold_block *pins[2]; /* blocks of the grid, in order */
        struct cold_block *whole;   /* one batch in a buffer of its own */
        int error;                  /* of a block that it has waited for */
        bool transient;             /* passes by: leaves nothing in the cache */
        bool pinned;                /* a block was pinned: hit is decided */
        bool hit;                   /* the first block was in memory already */
    } priv;
};

/* --- reading ---------------------------------------------------------------------------------- */

struct cold_request {
    struct cold_source source;
    int64_t offset;       /* the first batch contains it */
    int64_t limit_offset; /* exclusive: no batch that reaches it or beyond */
    uint32_t bytes_max;
    bool first_whole; /* the first batch is returned even when it alone is larger */
    void (*done)(struct cold_request *q, int error);

    /* Out: whole batches, in order; the caller releases the slices. */
    struct slice slices[LOG_READ_SLICES_MAX];
    uint32_t slice_count;
    uint32_t size;
    int64_t next_offset;    /* after the last batch */
    uint32_t next_position; /* behind it: a good `from` for the next request */

    struct { /* the reader's */
        uint32_t at;
        int64_t expected; /* offset of the batch at `at`, -1: not known */
    } priv;
};

/* 1: answered at once (done() is not called); 0: done() will be called from the loop; or an error
 * at once. Errors: ERR_DAMAGED (the batch at damage_position fails its checks, or `offset` is not
 * there), ERR_BUSY (the budget is used up), ERR_DISK_FAILED. What was found good before is returned
 * first, and the error with the next request. Nothing (size 0) is answered when the first batch is
 * larger than bytes_max, reaches limit_offset, or is cut by an open limit: then next_position is
 * where it begins. */
int cold_read(struct cold_reader *r, struct cold_request *q) MUST_CHECK;

/* --- walking over everything ------------------------------------------------------------------ */

struct cold_batch {
    struct batch_fields fields;
    uint32_t position, size;
    uint32_t crc;
    uint16_t attributes;
    bool crc_ok;
};

/* Every batch from source.from up to source.limit, in order: to rebuild an index, to verify, to
 * scrub. It goes on behind a batch whose CRC fails and ends at a header that cannot be one. */
struct cold_scan {
    struct cold_source source;
    uint64_t bytes_per_second; /* 0: as fast as the disk; gives way to others between blocks */
    /* Called for each batch, from the loop; not 0: the walk ends with it as its result. */
    int (*batch)(struct cold_scan *s, const struct cold_batch *b);
    void (*done)(struct cold_scan *s, int error); /* always from the loop */

    /* NULL, or room for one sum of each started SUMS_PIECE of source.limit, of which those from
     * source.from (on a piece's border) on are made; then identity says of what. */
    uint32_t *sums;
    struct uuid topic_id;
    int32_t partition;
    int64_t base_offset;

    uint64_t batches, bytes; /* out: how many, how much was seen */

    struct { /* the reader's */
        uint32_t at;
        int64_t expected;
        struct io_op timer;
        uint64_t started_ns;
        uint64_t turn_bytes;
        bool stopped;
    } priv;
};

void cold_scan(struct cold_reader *r, struct cold_scan *s);

/* Asks for its end: done(ERR_INTERRUPTED) follows from the loop. Not from inside batch(). */
void cold_scan_stop(struct cold_scan *s);
