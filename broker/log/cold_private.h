/* SPDX-License-Identifier: Apache-2.0 */

/* What the files of cold share. Private.
 *
 * A file is seen as a grid of blocks of block_bytes. A block is found by (key, place in the grid).
 *
 *                      read                 done, good                 room is needed
 *     (none) --source_need/ahead--> READING ----------> CACHED --evict/forget--> (lent, then freed)
 *                                      |  done, failed                               ^
 *                                      '---------------------------------------------'
 *
 * The cache holds one reference of each block that is in the map, every source one for each pin,
 * every slice one. A block that is not in the map is freed with its last reference.
 *
 * Invariants
 *   C1  At most one read is in flight for a block of the grid; whoever needs it waits for that one.
 *   C2  reader.bytes is what all blocks have allocated, and at most bytes_max; one batch that is
 *       larger than a block may pass that, and then it is the only such one.
 *   C3  A source waits for one block at a time, and decides anew when it is woken.
 *   C4  No byte at or beyond a source's limit is looked at. What is read behind it (up to the end
 * of the 4 KiB) is not counted as filled. */
#pragma once

#include "base/buffer.h"
#include "base/map.h"
#include "log/cold.h"

enum {
    COLD_BLOCK_MAGIC = 0x636f6c64,
    COLD_FREE_MAX = 4,  /* blocks kept for reuse, so that their pages stay mapped */
    COLD_AHEAD_MAX = 4, /* with so many reads in flight nothing is read ahead */
    COLD_KEY_BITS = 44,
};

struct cold_block {
    uint32_t magic;
    struct buffer buffer;
    struct cold_reader *reader;
    struct list lru;     /* in reader.blocks while cached, the longest unused first */
    struct list waiters; /* of struct cold_source */
    struct io_op op;
    uint64_t key;
    uint32_t position; /* in the file */
    uint32_t wanted;   /* bytes that were there when the read began */
    uint32_t filled;   /* bytes that came */
    int error;
    bool cached;    /* in the map */
    bool transient; /* only a passing walk has used it */
    bool single;    /* holds one batch larger than a block */
};

struct cold_reader {
    struct io *io;
    struct memory *memory;
    struct cold_options options;
    struct map by_place;
    struct list blocks;  /* cached */
    struct list users;   /* of struct cold_source */
    struct list closers; /* of struct cold_close */
    void *free[COLD_FREE_MAX];
    unsigned free_count;
    uint64_t single_bytes;
    struct cold_status status;
};

/* A request begins and ends with these; wake() is called when what it waited for has come. */
void source_open(struct cold_source *s, struct cold_reader *r, void (*wake)(struct cold_source *s));
void source_close(struct cold_source *s);

/* What source_header() is to expect at s->from. */
static inline int64_t source_expected(const struct cold_source *s)
{
    assert(!s->from_known || s->from_offset >= 0);
    return s->from_known ? s->from_offset : -1;
}

/* 1: bytes [at, at + size) are in memory and held (what lies before them no longer is);
 * 0: they are being read, wake() follows; or an error. With `contiguous` they lie in one piece. */
int source_need(struct cold_source *s, uint32_t at, uint32_t size, bool contiguous) MUST_CHECK;

/* Whether source_need() would answer 1 without reading. */
bool source_resident(const struct cold_source *s, uint32_t at, uint32_t size);

/* The piece of the held bytes at `at`, of at most `size` bytes. */
struct bytes source_piece(const struct cold_source *s, uint32_t at, uint32_t size,
                          struct buffer **buffer);

/* Starts to read the block that holds `at`, if it is below the limit, not there, and there is room.
 */
void source_ahead(struct cold_source *s, uint64_t at);

/* Where the block behind the one that holds `at` begins. */
uint64_t source_next_block(const struct cold_source *s, uint32_t at);

/* The header of the batch at `at` < limit, whose offset should be `expected` (-1: any). As
 * source_need(), and 2: it is cut by an open limit; ERR_DAMAGED with source.damage when no header
 * looks so. */
int source_header(struct cold_source *s, uint32_t at, int64_t expected,
                  struct cold_batch *out) MUST_CHECK;

/* Whether the sum of a batch that is held whole is right. */
bool source_crc(const struct cold_source *s, const struct cold_batch *b);

int source_damaged(struct cold_source *s, uint32_t position, const char *reason);

/* At the end of whatever the loop called: closers and the owner look again. */
void reader_progress(struct cold_reader *r);

static inline int64_t cold_last_offset(const struct cold_batch *b)
{
    return b->fields.base_offset + b->fields.last_offset_delta;
}
