/* SPDX-License-Identifier: Apache-2.0 */

/* What the steps of recovery share. Private. */
#pragma once

#include "log/log_private.h"
#include "log/scan.h"

enum { RECOVERY_SHARDS_MAX = 64 };

/* A journal directory of an earlier life. */
struct recovery_source {
    unsigned shard;
    struct io_file *checkpoint_files[2];
    bool checkpoint_seen[2]; /* the file exists */
    bool checkpoint_valid[2];
    struct checkpoint_header headers[2];
    uint8_t *checkpoint; /* bytes of the newest valid copy */
    struct checkpoint_header header;
    unsigned newest; /* which copy that is */
    bool valid;
    bool used; /* of the life that counts */
    struct io_file *files[JOURNAL_FILES_MAX];
    uint64_t file_sizes[JOURNAL_FILES_MAX];
    bool unreadable[JOURNAL_FILES_MAX];
    unsigned file_count;
    uint64_t mark_apart; /* the highest that a file's first block carries */
    struct scan scan;
    struct io_file *mapped_file;
    uint64_t mapped_size;
    const uint8_t *ring; /* its mapping, NULL: there is none */
    struct scan mapped_scan;
};

struct recovery_directory { /* under topics/ */
    struct list link;
    char name[LOG_TOPIC_NAME_MAX + 16];
    struct uuid topic_id, storage_id;
    int32_t partition;
    bool readable;   /* its partition file says whose it is, and its name fits */
    bool wanted;     /* it is not readable, and a log of the checkpoint lacks it: left in place */
    uint8_t key[20]; /* topic id and partition */
};

struct recovery {
    struct io *io;
    struct log_recover *request;
    struct log_options options;
    unsigned shards; /* of the life to come */
    struct memory *memory;
    struct log_set *set; /* replays */

    struct recovery_source *sources; /* RECOVERY_SHARDS_MAX */
    unsigned source_count;
    struct list directories;
    struct map directories_by_id;
    bool finishing, looked, ended;
    bool emptied;       /* the trash, for its room */
    bool journals_made; /* the founding checkpoints are durable: journal files come next */
    int error;
    void (*resume)(struct recovery *r); /* replay, after the entry that waits */
    struct uuid storage_id;
    uint64_t life, next_sequence, next_memory_sequence;

    struct io_op op; /* one operation at a time; then() goes on */
    int64_t result;
    void (*then)(struct recovery *r);
    struct iovec iovec;
    struct io_file *file, *directory; /* of the step */
    uint8_t *buffer;
    uint64_t buffer_size;
    unsigned at_source, at_file, at_copy, at_shard;
    bool copy_is_new; /* loops over many operations */
    size_t at_chain;
    uint64_t at_position;
    struct list *at_directory, *at_log;
    bool waiting; /* replay waits for progress */
    uint32_t file_in_buffer;
    struct reader entries; /* of the group that is replayed */
    uint32_t entries_left;

    uint8_t *checkpoint; /* the founding one */
    size_t checkpoint_size, checkpoint_capacity;
    uint32_t checkpoint_logs;
};

/* recovery.c */
void recovery_end(struct recovery *r, int error);
void recovery_damage(struct recovery *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* No checkpoint is valid. True: the recovery has ended with it. */
bool recovery_lost(struct recovery *r, const char *what);
/* Starts an operation's continuation: r->op is given to an io_ call next. */
void recovery_then(struct recovery *r, void (*then)(struct recovery *r));
bool recovery_buffer(struct recovery *r, uint64_t size); /* aligned, at least `size` */
void recovery_loaded(struct recovery *r);                /* checkpoints and journals are known */
void recovery_replayed(struct recovery *r);              /* everything is in the set */

void recovery_founded(struct recovery *r); /* the new life is durable */

/* recovery_load.c: directories, checkpoints, scanning */
void recovery_load(struct recovery *r);

/* recovery_replay.c */
/* Moves a directory of topics/ to aside/, where nobody touches it. */
int recovery_set_aside(struct recovery *r, const struct recovery_directory *d) MUST_CHECK;
void recovery_replay(struct recovery *r);
void recovery_progress(struct recovery *r);

/* recovery_believe.c: LOG_MUTANT_BELIEVE_TAIL, in the simulator's build only */
void recovery_believe_tails(struct recovery *r);

/* recovery_found.c: the new life */
/* On a full disk: begins to remove what an earlier life has deleted. False: there is nothing, or it has been
 * tried; else the set's progress follows. */
bool recovery_make_room(struct recovery *r);
void recovery_found(struct recovery *r);
/* Writes behind what is not: 1 when everything is; 0: some of it is in flight; or an error: nothing
 * is, and it cannot be begun. */
int recovery_write_all(struct recovery *r) MUST_CHECK;
void recovery_finish_progress(struct recovery *r);
