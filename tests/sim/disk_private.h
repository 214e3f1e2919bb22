/* SPDX-License-Identifier: Apache-2.0 */

/* What disk.c, disk_names.c and disk_crash.c share. */
#pragma once

#include "disk.h"

#include "base/list.h"

#include <stdlib.h>

enum {
    DISK_VERSIONS_MAX = 8, /* of one block, or of one size, that are told apart */
    DISK_NAME_MAX = 255,
    DISK_PATH_MAX = 1024,
};

struct disk_block {
    _Alignas(64) uint8_t data[DISK_BLOCK_SIZE];
    uint32_t references;
    struct disk_block *spare; /* the next one, while nobody has it */
};

/* A content that is visible or was, and is not durable; NULL block: zeros. */
struct disk_version {
    struct disk_version *older;
    uint64_t sequence;
    struct disk_block *block;
};

struct disk_cell {
    struct disk_block *durable; /* NULL: zeros */
    struct disk_version *newest;
    struct disk_block *ghost; /* if ghosted: what readers see though no sync will ever write it */
    bool ghosted;
    bool allocated;
    bool broken; /* reads fail */
    bool dirty;  /* listed in the inode's dirty cells */
};

struct disk_resize {
    uint64_t sequence, size;
};

/* A name and what it names now, and after a power cut that loses everything unsynced. */
struct disk_entry {
    char *name;
    uint32_t size; /* of the name, with its end */
    uint32_t hash; /* of the name: a directory of thousands is searched by every open */
    struct disk_inode *visible, *durable;
};

struct disk_inode {
    struct list link; /* of disk.inodes */
    bool directory;
    bool marked;             /* reached, while collecting */
    bool counted;            /* its blocks are in disk.used_blocks */
    uint32_t opens;          /* handles */
    uint32_t links;          /* visible names */
    const void *lock;        /* its owner */
    struct disk_inode *copy; /* while the disk is copied */

    struct disk_cell *cells;
    uint32_t cell_count, cell_room;
    uint32_t *dirty; /* indexes of cells with versions or a ghost */
    uint32_t dirty_count, dirty_room;
    uint32_t allocated_blocks;
    uint64_t size, size_durable;
    struct disk_resize resizes[DISK_VERSIONS_MAX];
    uint32_t resize_count;
    struct disk_map *map; /* NULL: none */

    struct disk_entry *entries;
    uint32_t entry_count, entry_room;
};

/* One change of names, kept or lost as a whole. */
struct disk_change {
    struct disk_inode *directory;
    char name[DISK_NAME_MAX + 1];
    struct disk_inode *target; /* NULL: the name goes */
};

struct disk_rename {
    struct list link; /* of disk.renames, oldest first */
    uint64_t sequence;
    bool marked;
    unsigned count;
    struct disk_change changes[2];
};

enum disk_op_kind { DISK_WRITE, DISK_SYNC, DISK_ALLOCATE, DISK_TRUNCATE, DISK_UNLINK };

struct disk_op {
    struct list link; /* of disk.flight */
    enum disk_op_kind kind;
    bool durable;
    bool lost;
    int error;                /* known at submission: -ENOSPC */
    struct disk_inode *inode; /* NULL: a sync of everything, an unlink */
    uint64_t position, size;
    uint64_t limit; /* of a sync: the newest version that it covers */
    char *path;     /* of an unlink */
    uint32_t block_count;
    struct disk_block **blocks; /* what is to be written, at its place in each block */
    bool *landed;
};

struct disk {
    struct list inodes;
    struct list renames;
    struct list flight;
    struct disk_inode *root;
    struct disk_block *zeros; /* that every block of zeros shares which somebody wrote */
    uint64_t sequence;
    uint64_t capacity_blocks, used_blocks;
    bool cache_lost; /* a sync of everything has failed */
    bool litter; /* since the last collection something has lost what led to it, perhaps its last */
};

/* Memory that cannot run out without ending the test. */
static inline void *disk_memory(void *old, size_t size)
{
    void *p = realloc(old, size ? size : 1);
    if (!p) {
        abort();
    }
    return p;
}

/* disk_block.c: uncleared, with one reference */
struct disk_block *disk_block_new(void);
void disk_block_free(struct disk_block *b);

static inline struct disk_block *disk_block_take(struct disk_block *b)
{
    if (b) {
        b->references++;
    }
    return b;
}

static inline void disk_block_drop(struct disk_block *b)
{
    if (b && --b->references == 0) {
        disk_block_free(b);
    }
}

static inline struct disk_block *disk_cell_visible(const struct disk_cell *c)
{
    return c->newest ? c->newest->block : c->ghosted ? c->ghost : c->durable;
}

/* disk.c */
struct disk_inode *disk_inode_new(struct disk *d, bool directory);
void disk_inode_free(struct disk *d, struct disk_inode *inode);
void disk_inode_count(struct disk *d, struct disk_inode *inode);
struct disk_cell *disk_cell(struct disk_inode *inode, uint32_t index);
void disk_cell_push(struct disk *d, struct disk_inode *inode, uint32_t index,
                    struct disk_block *block);
void disk_cell_settle(struct disk_cell *c, uint64_t limit);
void disk_cell_reset(struct disk_cell *c, struct disk_block *block);
void disk_dirty_sweep(struct disk_inode *inode);
void disk_land(struct disk *d, struct disk_op *op, uint32_t i, uint8_t sectors);
void disk_size_set(struct disk *d, struct disk_inode *inode, uint64_t size);
void disk_op_free(struct disk *d, struct disk_op *op);
struct disk_op *disk_op_begin(struct disk *d, enum disk_op_kind kind, struct disk_inode *inode);

int disk_space_take(struct disk *d, struct disk_inode *inode, uint64_t position, uint64_t size);

/* disk_map.c */
void disk_capture(struct disk *d, struct disk_inode *inode);
void disk_map_refresh(struct disk_inode *inode, uint32_t index);
void disk_map_touch(struct disk_inode *inode, uint32_t index);
void disk_map_end(struct disk_inode *inode);

/* disk_names.c */
int disk_unlink(struct disk *d, const char *path);
void disk_names_settle(struct disk *d, const struct disk_inode *directory, uint64_t limit);
void disk_names_cut(struct disk *d, bool in_order, struct prng *random);
bool disk_collect(struct disk *d); /* whether there was anything */
struct disk_entry *disk_entry(struct disk_inode *directory, const char *name, bool make);
