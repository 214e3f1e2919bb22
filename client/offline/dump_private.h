/* SPDX-License-Identifier: Apache-2.0 */

/* What the parts of dump share. Private. */
#pragma once

#include "offline/offline_private.h"

enum { DUMP_FIELDS_MAX = 24, DUMP_WHOLE_MAX = 1 << 30 };

struct dump_checkpoint_copy {
    struct checkpoint_header header;
    struct bytes data; /* owned */
    unsigned shard, copy;
};

struct dumping {
    struct offline o;
    const struct offline_dump *request;
    const char *name; /* of the file, below the directory */
    struct offline_field fields[DUMP_FIELDS_MAX];
    size_t count;
    char texts[DUMP_FIELDS_MAX][UUID_TEXT_SIZE + 1]; /* of ids */
    /* dump_unfinished.c: the newest ones of the root that the latest segment belongs to. */
    struct dump_checkpoint_copy checkpoints[OFFLINE_SHARDS_MAX];
    unsigned checkpoint_count;
    char checkpoint_root[OFFLINE_NAME_MAX]; /* "": of none yet */
};

/* dump.c: the fields of the next item, then the item. */
void dump_number(struct dumping *d, const char *name, int64_t number);
void dump_time(struct dumping *d, const char *name, int64_t ms);
void dump_bool(struct dumping *d, const char *name, bool truth);
void dump_text(struct dumping *d, const char *name, const char *text); /* lent until dump_item() */
void dump_bytes(struct dumping *d, const char *name, const void *data, int64_t size);
void dump_id(struct dumping *d, const char *name, struct uuid id);
void dump_item(struct dumping *d, const char *what);

/* dump_unfinished.c: what a checkpoint holds of the end of a segment. */
struct unfinished {
    struct bytes bytes; /* empty: nothing; lent until the next segment */
    uint64_t position;  /* in the segment; UINT64_MAX: no checkpoint speaks of the segment as of one
                         * that grows */
    bool clean;         /* nothing newer is in a journal */
    bool alone;         /* the segment is not sealed, and there is no checkpoint to ask */
    char from[48];      /* the checkpoint's name in the root */
};

/* Looks for that of the segment d->name. */
void dump_unfinished(struct dumping *d, struct unfinished *out);
void dump_checkpoints_free(struct dumping *d);

/* Lays it over `read` bytes from `position` on, in a buffer of `capacity`: how many bytes there are
 * then. */
int64_t unfinished_cover(const struct unfinished *u, uint64_t position, uint8_t *buffer,
                         size_t capacity, size_t read);

/* dump_batches.c: a segment or a snapshot, to where no batch begins. */
int dump_batches(struct dumping *d, struct io_file *file) MUST_CHECK;

/* dump_files.c: `data` is a whole file. */
int dump_journal(struct dumping *d, struct bytes data, bool mapped) MUST_CHECK;
void dump_checkpoint(struct dumping *d, struct bytes data);
int dump_index(struct dumping *d, struct bytes data) MUST_CHECK;
int dump_sums(struct dumping *d, struct bytes data) MUST_CHECK;
void dump_partition(struct dumping *d, struct bytes data);
void dump_vote(struct dumping *d, struct bytes data);
void dump_voters(struct dumping *d, struct bytes data);
void dump_lines(struct dumping *d, struct bytes data);
