/* SPDX-License-Identifier: Apache-2.0 */

/* disk: a file system in memory that forgets, tears and keeps as real ones do.
 *
 * It outlives the nodes that use it. Every block of 4 KiB holds its durable content and, in order,
 * the versions that were written since and not synced; every submitted write is known until it
 * ends.
 *   1. A write is visible when it ends; one that ends with the durable flag is durable as well.
 *   2. disk_sync_begin() looks at what has ended; what it saw is durable at disk_end().
 *   3. A kill: submitted writes end, all that is visible stays visible, and stays unsynced.
 *   4. A power cut: each unsynced or submitted block is the durable content, any newer version, a
 *      mixture of two by sectors of 512 bytes, or garbage. File sizes: the durable or any newer
 * one.
 *   5. Names are changes of directories, durable after a sync of the directory; a power cut keeps a
 *      prefix of the others (as a journaling file system) or any subset. A rename is one change:
 *      the file is found under its old name or its new one.
 *   6. After a failed sync each block it covered is durable, back to its old content, or still read
 *      as new though nothing will ever write it (a page that was marked clean).
 *   7. Stores into a mapping are versions too: those that a sync, a kill or chance has noticed.
 * A copy costs a table of counted blocks, so that many crash images are drawn from one moment. */
#pragma once

#include "base/prng.h"

#include <sys/uio.h>

struct disk;
struct disk_inode;
struct disk_op;

enum { DISK_BLOCK_SIZE = 4096, DISK_SECTOR_SIZE = 512 };

/* Chances, of a thousand. */
struct disk_crash {
    uint32_t garbage;        /* power cut: an unsynced block is noise */
    uint32_t torn;           /* power cut: an unsynced block mixes two versions */
    uint32_t names_in_order; /* power cut: names are lost only from the newest backwards */
    uint32_t power_lost;     /* power cut: a submitted write did not reach the device */
    uint32_t kill_lost;      /* kill: a submitted write did not reach the kernel */
    uint32_t kill_torn;      /* kill: a submitted write is done by some sectors only */
};

struct disk *disk_new(uint64_t capacity_bytes);
void disk_free(struct disk *d);

/* The same disk at this moment, with its submitted operations, without handles. */
struct disk *disk_copy(struct disk *d);

/* --- names: visible at once. Each: 0 or a negative errno ----------------------------- */

enum disk_open_flags {
    DISK_OPEN_CREATE = 1 << 0,
    DISK_OPEN_EXCLUSIVE = 1 << 1,
    DISK_OPEN_DIRECTORY = 1 << 2,
};
int disk_open(struct disk *d, struct disk_inode **out, const char *path, unsigned flags) MUST_CHECK;
void disk_close(struct disk *d, struct disk_inode *inode);
int disk_rename(struct disk *d, const char *from, const char *to) MUST_CHECK;
int disk_mkdir(struct disk *d, const char *path) MUST_CHECK;
int disk_list(struct disk *d, const char *path,
              void (*each)(void *context, const char *name, bool directory),
              void *context) MUST_CHECK;

/* The file or directory at `path` (no reference is taken), or NULL. */
struct disk_inode *disk_find(struct disk *d, const char *path);

/* --- files --------------------------------------------------------------------------- */

uint64_t disk_size(const struct disk_inode *inode);
bool disk_lock(struct disk_inode *inode, const void *owner);
void disk_unlock(struct disk_inode *inode, const void *owner);

/* One mapping for a file, shared by all that ask; NULL when more is asked than the first asked for.
 * The memory is the disk's and ends with the last handle. */
void *disk_map(struct disk *d, struct disk_inode *inode, size_t size);

/* Stores into mappings are noticed by SIGSEGV, which is theirs from the first mapping on: what is none of them goes to
 * `handler`, or NULL: to whoever had the signal before. */
void disk_on_wild_pointer(void (*handler)(int signal_number));

/* What a read that ends now sees: of a write in flight each block is old or new, and stays so. */
int64_t disk_read(struct disk *d, struct disk_inode *inode, void *buffer, size_t size,
                  uint64_t position, struct prng *random);

/* Operations: begun when submitted, ended once, with disk_end() or disk_fail(). Writes in flight
 * never overlap, and a truncation never cuts one (asserted). */
struct disk_op *disk_write_begin(struct disk *d, struct disk_inode *inode,
                                 const struct iovec *iovecs, unsigned count, uint64_t position,
                                 bool durable);
struct disk_op *disk_sync_begin(struct disk *d, struct disk_inode *inode); /* NULL: everything */
struct disk_op *disk_allocate_begin(struct disk *d, struct disk_inode *inode, uint64_t position,
                                    uint64_t size);
struct disk_op *disk_truncate_begin(struct disk *d, struct disk_inode *inode, uint64_t size);
struct disk_op *disk_unlink_begin(struct disk *d, const char *path);

/* Takes effect. The result is that of the operation: bytes written, 0, or a negative errno. */
int64_t disk_end(struct disk *d, struct disk_op *op);

/* Ends it as failed: some of its effect may have happened (rule 6 for a sync). */
void disk_fail(struct disk *d, struct disk_op *op, struct prng *random);

/* Whether a sync of everything has failed since it was asked last: then what was only in the page
 * cache may be gone, in any file. */
bool disk_cache_lost(struct disk *d);

/* Faults that lie: the write reports success and lands elsewhere in its file, or nowhere. */
void disk_misdirect(struct disk *d, struct disk_op *op, struct prng *random);
void disk_lose(struct disk_op *op);

/* --- crashes: handles, locks, mappings and operations in flight end ------------------ */

void disk_kill(struct disk *d, const struct disk_crash *how, struct prng *random);
void disk_power_cut(struct disk *d, const struct disk_crash *how, struct prng *random);

/* --- for tests and oracles ----------------------------------------------------------- */

struct disk_space {
    uint64_t free_bytes, total_bytes;
};
struct disk_space disk_space(const struct disk *d);
void disk_set_capacity(struct disk *d, uint64_t bytes);

/* Copies one whole block as a reader sees it, or as a power cut without luck would leave it. */
void disk_peek(struct disk *d, const struct disk_inode *inode, uint32_t block, void *out);
void disk_peek_durable(const struct disk_inode *inode, uint32_t block, void *out);

/* Blocks and names that a power cut could still lose. */
uint32_t disk_unsynced(struct disk *d);

/* Bit rot: a block, durable and visible, becomes noise (or some flipped bits of itself). */
void disk_rot(struct disk *d, struct disk_inode *inode, uint32_t block, struct prng *random);

/* Reads of this block fail with -EIO until it is written again. */
void disk_break(struct disk *d, struct disk_inode *inode, uint32_t block);

/* Calls `each` for every file that has a name, with its path, in a fixed order. */
void disk_each(struct disk *d,
               void (*each)(void *context, const char *path, struct disk_inode *inode),
               void *context);

/* Of names and contents, visible and durable: equal disks give equal numbers. */
uint64_t disk_hash(struct disk *d);
