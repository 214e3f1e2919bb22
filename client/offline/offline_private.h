/* SPDX-License-Identifier: Apache-2.0 */

/* What verify and dump share: blocking reads on the I/O seam, findings, roots. Private. */
#pragma once

#include "base/errors.h"
#include "base/map.h"
#include "io/io.h"
#include "log/epochs.h"
#include "log/format.h"
#include "log/scan.h"
#include "offline/offline.h"

enum {
    OFFLINE_SHARDS_MAX = 64,
    OFFLINE_FILES_MAX = 256, /* of a journal */
    OFFLINE_NAME_MAX = 300,
};

/* --- reading.c -------------------------------------------------------------------------------- */

struct cold_reader;

struct offline {
    struct io_group *group;
    struct io *io;
    struct memory *memory;
    struct cold_reader *cold;
    const char *directory;
    const struct offline_verify *verify; /* NULL: a dump */
    const struct offline_watch *watch;
    struct offline_counts counts;
    uint64_t bytes, total; /* progress */
    uint64_t files;        /* opened for cold reads: each has a key of its own */
    bool founded;          /* so says the vote */
    int64_t snapshot_end;  /* of the newest snapshot, 0: there is none */
    char *why;
};

int offline_open(struct offline *o, const char *directory, char *why) MUST_CHECK;
void offline_close(struct offline *o);

/* A sentence for the caller; returns `error`. */
int offline_fail(struct offline *o, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Tells a finding about `file`, a path below the directory. */
void offline_tell(struct offline *o, enum offline_severity severity, const char *file,
                  int64_t position, const char *advice, const char *format, ...)
    __attribute__((format(printf, 6, 7)));

/* `bytes` more were looked at: 0 or ERR_INTERRUPTED. */
int offline_advance(struct offline *o, uint64_t bytes) MUST_CHECK;

/* "<directory>/<name>": 0 or ERR_INVALID_ARGUMENT. */
int offline_path(const struct offline *o, char out[static IO_PATH_MAX],
                 const char *name) MUST_CHECK;

/* Opens for reading: 0, ERR_NOT_FOUND, or another, said. */
int offline_file(struct offline *o, struct io_file **out, const char *name) MUST_CHECK;

/* Reads up to `size` bytes at `position`: how many, fewer at the end; or an error, said. */
int64_t offline_read(struct offline *o, struct io_file *file, const char *name, void *buffer,
                     size_t size, uint64_t position) MUST_CHECK;

/* All of a file of at most `limit` bytes; to be freed with memory_free(). ERR_TOO_LARGE,
 * ERR_NOT_FOUND. */
int offline_load(struct offline *o, struct bytes *out, const char *name, size_t limit) MUST_CHECK;

void offline_pause(struct offline *o, unsigned ms);

/* Turns of the loop until *over. */
void offline_wait(struct offline *o, const bool *over);

struct offline_names {
    struct offline_name {
        char text[OFFLINE_NAME_MAX];
        bool directory;
    } * names; /* sorted */
    size_t count, capacity;
    struct memory *memory;
    bool failed;
};
/* What a directory holds; names that are too long are left out. ERR_NOT_FOUND, or another, said. */
int offline_list(struct offline *o, struct offline_names *out, const char *name) MUST_CHECK;
void offline_names_free(struct offline_names *n);

/* --- root.c: checkpoints and journals of one root --------------------------------------------- */

struct root_source {
    unsigned shard;
    bool seen[2], whole[2]; /* checkpoint copies: the file is there, and valid */
    unsigned newest;
    bool valid, used;
    struct checkpoint_header header;
    struct bytes checkpoint; /* owned */
    uint64_t file_sizes[OFFLINE_FILES_MAX];
    unsigned file_count;
    uint64_t mapped_size;
    struct scan scan, mapped_scan;
};

struct root {
    struct offline *o;
    const char *prefix; /* "" or "meta/" */
    const char *remedy; /* of what a start refuses */
    struct root_source sources[OFFLINE_SHARDS_MAX];
    unsigned source_count;
    uint64_t life;
    struct uuid storage_id;
    bool found; /* a checkpoint is valid */
    struct list logs;
    struct map by_id; /* of them, by topic id and partition */
};

/* Which journals, which life; then their groups. 0, whatever is found wrong; or an error, said. */
int root_load(struct root *r) MUST_CHECK;
void root_free(struct root *r);

/* The newest of two copies is the larger by first live sequence, life, mark (L6). */
bool root_newer(const struct checkpoint_header *a, const struct checkpoint_header *b);

/* --- logs.c: what the checkpoints and the journals say of each log ----------------------------- */

struct folded_segment {
    int64_t base_offset;
    uint32_t generation; /* above 0: written by compaction, offsets are left out in it */
    bool gaps;           /* as appended by a follower, and offsets are left out in it */
    uint64_t size;       /* after the journal */
    uint32_t
        counted; /* bytes that its file holds for certain: of the checkpoint, or of a REPLACE */
    int64_t end_offset; /* behind these */
    bool sealed;        /* its file is whole, with index and sums */
    bool cut;           /* by a truncation: what is counted may end within a batch */
};

struct folded_log {
    struct list link;
    uint8_t key[20]; /* topic id and partition */
    struct uuid topic_id;
    int32_t partition;
    char topic[CHECKPOINT_NAME_MAX + 1]; /* "": only the journal knows it */
    struct epochs epochs;
    struct folded_segment *segments; /* oldest first */
    uint32_t segment_count, segment_capacity;
    struct bytes unfinished; /* of the checkpoint's newest segment; lent by it */
    int64_t start, end;      /* after the journal */
    bool removed;
};

int root_fold(struct root *r) MUST_CHECK;

/* --- segments.c ------------------------------------------------------------------------------- */

/* Bytes that root_walk() will look at. */
uint64_t root_bytes(const struct root *r);

/* Every batch of every segment that the checkpoint counts. */
int root_walk(struct root *r) MUST_CHECK;

/* --- metadata.c ------------------------------------------------------------------------------- */

/* meta.properties, vote, snapshots. */
int offline_metadata(struct offline *o) MUST_CHECK;

/* Whether the metadata log, folded and without damage of its own, is what vote and snapshot ask for. */
void offline_metadata_log(const struct root *metadata);
