/* SPDX-License-Identifier: Apache-2.0 */

/* What the files of this room share: the structs behind log.h. Private.
 *
 *     log ── segments, oldest first ── chunks of the tail, by position
 *      └─ set ── journal (durable), mapped journal (`memory` logs), checkpoint
 *
 * States of a segment
 *
 *     ACTIVE --segment_seal--> SEALING --last block written, cut to size--> SEALED
 *        ^                                                        │
 *        └────────────── control_truncate (back into it) ────────┘
 *
 * Positions in a segment:  0 <= written <= submitted <= size, allocated >= size. What lies below
 * `written` is in the file (durable after the next sync), what lies at or above it is in the
 * chunks. */
#pragma once

#include "base/buffer.h"
#include "base/map.h"
#include "log/cold.h"
#include "log/epochs.h"
#include "log/index.h"
#include "log/journal.h"
#include "log/log.h"
#include "log/mapped.h"
#include "log/producers.h"

enum {
    LOG_MAGIC = 0x6c6f6731,
    LOG_SEGMENT_IOVECS = 64, /* chunks of one write behind */
    LOG_ALLOCATE_FIRST = 65536,
    LOG_ALLOCATE_MAX = 33554432,
    LOG_CHUNK_CLASSES = 20, /* 4 KiB << class */
};

/* An aligned piece of the tail: bytes [position, position + filled) of its segment. */
struct chunk {
    struct buffer buffer; /* referenced by the segment and by slices that were lent */
    struct list link;     /* in segment.chunks, by position */
    struct list lru;      /* in set.chunks, oldest first */
    struct log_set *set;
    struct segment *segment; /* NULL: dropped, only slices keep it */
    uint32_t position;
    uint32_t filled;
};

enum segment_state { SEGMENT_ACTIVE, SEGMENT_SEALING, SEGMENT_SEALED };

struct segment {
    struct list link; /* in log.segments */
    struct log *log;
    enum segment_state state;
    int64_t base_offset;
    int64_t last_append_ms; /* wall clock of its first append in this process, 0: none */
    uint32_t generation;    /* 0: as appended; else written anew, by compaction or to mend it */
    bool gaps; /* offsets are left out in it: a batch may begin behind the end of the one before */
    uint64_t sealed_capture; /* checkpoints captured before it was sealed */
    int64_t first_timestamp; /* of its first batch in this process, -1: not known */
    uint32_t size;           /* bytes of content */
    uint32_t submitted, written;
    int64_t max_timestamp; /* of its batches, or more: what is cut or trimmed is not looked at */
    uint64_t allocated;
    struct io_file *file; /* NULL: not open */
    uint64_t key;         /* identity for the cold reader; never reused */
    uint64_t key_before;  /* what reads begun before the last cut go by, 0: none in flight */
    uint32_t cuts;        /* truncations that have cut or taken it: what was begun before is void */
    struct list chunks;
    uint32_t
        unchecked_to;     /* batches of the tail that begin in front of it hold bytes of the disk */
    struct io_op write;   /* write-behind, then the cut of a sealed file */
    struct iovec *iovecs; /* of the write in flight */
    struct list dirty;    /* in set.dirty: written since the last sync */
    struct list pending;  /* in checkpoint.pending: captured, not yet written */
    uint32_t captured;    /* its size then */
    struct list lru;      /* in set.files: open files, the longest unused first */
    bool index_whole;     /* the index knows the segment from its beginning */
    uint32_t index_from;  /* first position that the index knows, if it is not whole; */
    int64_t index_from_time; /* in front of it nothing is newer: a part is not in the file yet */
    struct index index;
    bool index_stale;          /* files of an index may lie beside it that are of other content */
    bool index_tried;          /* it was looked for, and could not be had */
    bool index_job;            /* one is queued or runs */
    struct list index_waiters; /* of struct log_waiter */
    struct list index_lru;     /* in set.indexes: of a sealed segment, in memory */
    uint32_t *sums;            /* of the pieces below sums_position, while it is filled */
    uint32_t sums_capacity, sums_position;
    bool sums_broken;         /* not all pieces were seen: a walk makes them */
    uint32_t readers;         /* reads that use the file */
    bool removed;             /* its name is gone */
    uint32_t missing_from;    /* recovery: what should lie from here on is not in the file; an entry
                            * yet to be replayed has deleted it, or it is damage. Nothing is
                            * written. UINT32_MAX: it is whole */
    bool damaged;             /* something of it fails its checks, */
    uint32_t damage_position; /* the first that was found; UINT32_MAX: it goes with a younger one */
    uint32_t said_position;   /* of which the last log line spoke; UINT32_MAX: none has */
    uint32_t scrub_round;     /* the last that has seen it */
    bool unwritten;           /* recovery: the journal had bytes for it, but it is missing */
};

/* There is one: the log's last is never asked. */
static inline struct segment *segment_after(const struct segment *s)
{
    return container_of(s->link.next, struct segment, link);
}

static inline bool segment_missing(const struct segment *s)
{
    return s->missing_from != UINT32_MAX;
}

enum log_space_stage { SPACE_IDLE, SPACE_PARTITION_FILE, SPACE_ALLOCATE };

struct log {
    uint32_t magic;
    struct log_set *set;
    struct list link; /* in set.logs */
    uint8_t key[20];  /* topic id and partition: the key of set.by_id */
    struct uuid topic_id;
    int32_t partition;
    char topic[LOG_TOPIC_NAME_MAX + 1];
    struct log_config config;
    bool opened;   /* by its owner: log_open() */
    bool removing; /* a REMOVE entry was gathered */

    int64_t start_offset, end_offset, durable_offset, high_watermark;
    uint64_t size_bytes; /* of the segments that are known */
    int64_t max_timestamp;
    int64_t clean_offset;    /* below it each key occurs once */
    int64_t tombstones_from; /* those stay: log_keep_tombstones() */
    struct epochs epochs;
    struct producers *producers;

    struct list segments; /* oldest first; the last is the active one */
    bool ends_in_gap;     /* perhaps: its last batch may end in front of end_offset */
    unsigned sealing;     /* how many of them are: they may be done in any order */
    bool tidy;            /* nothing is in the directory that is not the log's */
    bool directory_known;
    bool missing; /* recovery: its directory is gone; only a REMOVE in the journal explains that */
    unsigned
        holds; /* unsettled or unmarked TRUNCATE, ANEW and REMOVE: files are not touched (L7) */
    unsigned controls;         /* truncations that look for their place, an ANEW: appends wait */
    unsigned replacing;        /* a REPLACE is gathered and not settled: other controls wait */
    unsigned releases;         /* in set.releases */
    unsigned searches;         /* for a time: they need the log */
    struct cleaning *cleaning; /* a pass of the cleaner over it */
    bool uncleanable;          /* the last one met what it must not touch */
    bool clean_asked;          /* log_clean() */
    struct mending *mending;   /* a segment of it is written anew */
    bool damaged;              /* a segment is, perhaps below the start by now */
    bool verifying, verified;
    uint32_t scrub_round;      /* the last in which nothing of it is left to see */
    int64_t verify_offset;     /* up to here that is done */
    unsigned cuts;             /* truncations that are not settled; */
    int64_t cut_offset;        /* nothing above it becomes durable before they are */
    struct log_control retain; /* the log's own, of retention */
    bool retaining;

    struct { /* making room on disk: directory, partition file, segment file, allocation */
        enum log_space_stage stage;
        struct io_op op;
        struct io_file *file;
        uint8_t *block;
        struct iovec iovec;
        struct segment *segment; /* that the space is for */
        uint64_t target, taken;
        int failed; /* ERR_DISK_FULL and the like, until the next try */
        uint64_t retry_ns;
    } space;

    struct list waiting;  /* of struct log_append, in order */
    struct list runnable; /* in set.runnable when waiting is not empty */
    struct list removal;  /* in set.removals */
    struct list names;    /* in set.names: a name in its directory is not durable yet */
    struct log_watch *watch;
    struct list moved; /* in set.moved: watch to be called at the end of the turn */
};

/* An entry whose files may be touched once a durable mark covers it (L7). */
struct release {
    struct list link; /* in set.releases, by sequence */
    uint64_t sequence;
    enum log_control_kind kind;
    int64_t offset; /* a new start: the log's own may be further, and not yet durable */
    struct log *log;
    struct list doomed; /* segments that a truncation, a replacement, an ANEW took from the log */
};

/* A directory on its way out: renamed to trash, then emptied in the background. */
struct trash;

enum checkpoint_stage {
    CHECKPOINT_IDLE,
    CHECKPOINT_CAPTURED, /* waits for write-behind and for its entries to settle */
    CHECKPOINT_SYNC,     /* segments and names */
    CHECKPOINT_FIRST,    /* the copy that is older */
    CHECKPOINT_SECOND,
};

enum { SYNCS_MAX = 32 };

struct sync_op {
    struct io_op op;
    struct log_set *set;
    struct segment *segment;   /* NULL: names, or everything */
    struct io_file *directory; /* opened for it */
};

struct set_sync {
    bool everything; /* after a kill: what is visible may not be durable, names included */
    struct sync_op ops[SYNCS_MAX + 1];
    unsigned count, left;
    void (*done)(struct log_set *set);
};

struct checkpoint {
    enum checkpoint_stage stage;
    bool wanted;
    struct io_op op;
    struct io_file *files[2];
    unsigned older; /* which copy is written first */
    uint8_t *data;
    size_t size, capacity;
    uint64_t allocated; /* of each copy's file */
    uint64_t bound;     /* no checkpoint of the logs as they are is larger */
    bool deferred;      /* one did not fit */
    struct {            /* both copies are being made larger */
        struct io_op op;
        unsigned copy;
        uint64_t target, retry_ns;
        bool busy;
    } space;
    uint32_t logs;
    uint64_t sequence, memory_sequence; /* captured: everything below is in it */
    uint64_t memory_position;           /* of the mapped journal at the capture */
    struct list pending;                /* segments whose captured blocks are not written */
    struct iovec iovec;
    uint64_t mark;
    uint64_t count;
    /* Captures begun, and the number of the last that is durable: a segment that was sealed before it
     * is listed in it. */
    uint64_t captures, captures_durable;
};

struct log_set {
    struct io *io;
    struct memory *memory;
    struct log_options options;
    struct uuid storage_id;
    uint64_t life;
    unsigned shard, shards;
    bool recovering; /* replay: nothing is journaled */
    bool closing;
    bool close_checkpoint; /* the last checkpoint is still to be made */
    struct log_set_close *close;

    struct journal journal;
    struct mapped mapped;
    struct checkpoint checkpoint;
    struct cold_reader *cold;

    struct map by_id; /* 20 bytes -> struct log */
    struct producer_table producers;
    uint64_t producers_next_ns; /* the next walk over all of them for room */
    bool producers_told;        /* that there is no room */
    struct list logs;
    struct list runnable; /* logs with waiting appends, first come first served */
    struct list moved;
    struct list finished; /* of struct log_waiter: settled at the end of the turn */
    struct list controls; /* of struct log_control: wait for room */
    struct list releases;
    struct list removals; /* logs whose directory must go before the name may be used again */
    struct list names;    /* logs with a name in their directory that is not durable */
    struct set_sync sync;
    struct list dirty;  /* segments written since the last sync began */
    struct list chunks; /* LRU of all chunks */
    struct list files;  /* LRU of segments with an open file */
    struct list trash;
    struct list index_jobs;
    bool index_running;  /* the first of them */
    struct list indexes; /* of sealed segments in memory, the longest unused first */
    uint64_t index_bytes;
    unsigned files_open;
    unsigned in_flight; /* operations that must end before the set is closed */
    unsigned readers;
    uint64_t tail_bytes, tail_logs;
    void *chunks_free[LOG_CHUNK_CLASSES];
    uint64_t chunks_free_bytes;
    uint64_t segment_keys;
    uint64_t trash_counter;
    uint64_t waiting_appends, write_behind_bytes;
    struct cleaning *cleaning; /* the pass that runs */
    uint64_t cleaner_next_ns;  /* the next look */
    uint64_t cleaned_bytes_before, cleaned_bytes_after;
    struct scrubbing *scrubbing; /* the segment that is walked over */
    uint32_t scrub_round;        /* from 1 on */
    bool verifying;              /* a log may be */
    uint64_t scrub_next_ns, scrub_rate;
    bool disk_full;
    bool disk_told;       /* that it is full, and not yet that it has room again */
    uint64_t disk_wanted; /* by what found no room beside the reserve, since that was told */
    bool topics_dirty;    /* a name in topics/ has changed since the last sync */
    struct io_file *topics_directory;
    struct io_turn pump_turn;
    struct io_op tick; /* once a second: disk space, idle work */
    uint64_t disk_free;
    uint64_t disk_taken;                   /* by allocations in flight */
    void (*progress)(struct log_set *set); /* recovery's pump; NULL when serving */
    void *progress_context;
};

static inline bool log_mutant(const struct log_set *set, enum log_mutant mutant)
{
#ifdef LEAT_SIM
    return set->options.mutants & (uint32_t)mutant;
#else
    (void)set, (void)mutant;
    return false;
#endif
}

/* What a recovery leaves to the sets: the founding checkpoint of the new life. */
struct log_recovery {
    struct uuid storage_id;
    uint64_t life;
    uint64_t next_sequence, next_memory_sequence;
    unsigned shards;
    uint8_t *data;
    size_t size;
    uint32_t logs;
};

/* --- set.c ------------------------------------------------------------------------------------ */
void log_set_progress(
    struct log_set *set); /* something made room: waiting appends are tried again */
void log_set_settled(struct log_set *set); /* a group has settled: marks, checkpoint */
void log_moved(struct log *log);
/* w->settled(w) is called at the end of the turn. */
void log_finish_later(struct log_set *set, struct log_waiter *w);
/* Takes `bytes` of the disk's free space for an allocation, if that leaves `reserve`; the second says
 * that the allocation has ended, well or not. */
bool log_disk_take(struct log_set *set, uint64_t bytes, uint64_t reserve) MUST_CHECK;
void log_disk_taken(struct log_set *set, uint64_t bytes);
/* So many found no room. */
void log_disk_full(struct log_set *set, uint64_t bytes);
struct log *log_find(const struct log_set *set, struct uuid topic_id, int32_t partition);
struct log *log_new(struct log_set *set, struct uuid topic_id, int32_t partition, const char *topic,
                    size_t topic_size) MUST_CHECK;
void log_free(struct log *log);
void log_directory(const struct log *log, char out[static IO_PATH_MAX]);
void log_options_defaults(struct log_options *o);
struct log_set *log_set_new(struct io *io, const struct log_options *options,
                            unsigned shards) MUST_CHECK;
void log_set_close_step(struct log_set *set);
void log_set_free(struct log_set *set);
struct log *log_set_load(struct log_set *set, const struct checkpoint_log *l) MUST_CHECK;

/* --- tail.c ----------------------------------------------------------------------------------- */
/* Whether `size` more bytes find room in the tail now (chunks are taken). */
bool tail_reserve(struct segment *s, uint32_t size);
/* Copies to the end of the segment; tail_reserve() was true. */
void tail_put(struct segment *s, const struct iovec *pieces, unsigned count);
/* Bytes [position, position + size) that are in the tail, copied out; false if a part is not there.
 */
bool tail_copy(const struct segment *s, uint32_t position, void *out, uint32_t size);
/* The position from which on everything is in the tail. */
uint32_t tail_from(const struct segment *s);
/* Up to `count` slices of [position, position + size). Returns how many, 0 if they do not suffice.
 */
unsigned tail_slices(const struct segment *s, uint32_t position, uint32_t size, struct slice *out,
                     unsigned count);
/* A chunk for bytes [from, from + size), not yet in the segment's list. NULL: no room. */
struct chunk *tail_chunk_before(struct segment *s, uint32_t from, uint32_t size);
/* Cuts the tail at `position`; `kept`: bytes of the cut block, put back when they are not in a
 * chunk. */
void tail_truncate(struct segment *s, uint32_t position);
/* Drops chunks that are on disk; all of them when the segment goes. */
void tail_drop(struct segment *s, bool all);
void tail_free_lists(struct log_set *set);
/* iovecs of whole blocks [from, to), for a write; returns the count and how far it reaches. */
unsigned tail_iovecs(const struct segment *s, uint32_t from, uint32_t to, struct iovec *out,
                     unsigned count, uint32_t *reached);

/* --- segment.c -------------------------------------------------------------------------------- */
struct segment *segment_new(struct log *log, int64_t base_offset) MUST_CHECK;
void segment_free(struct segment *s);              /* closes; nothing in flight */
struct segment *log_active(const struct log *log); /* NULL: none yet */
/* One that is not in the log's list. NULL: no memory. */
struct segment *segment_alloc(struct log *log, int64_t base_offset) MUST_CHECK;
/* "<base offset, 20 digits>[-<generation>]<suffix>" */
enum { SEGMENT_NAME_MAX = 48 };
void segment_name(char out[static SEGMENT_NAME_MAX], int64_t base_offset, uint32_t generation,
                  const char *suffix);
bool segment_name_parse(const char *name, int64_t *base_offset, uint32_t *generation,
                        const char **suffix);
void segment_path(const struct segment *s, char out[static IO_PATH_MAX], const char *suffix);
int segment_open(struct segment *s) MUST_CHECK;
void segment_become(struct segment *s, enum segment_state state);
void segment_seal(struct segment *s);
/* Starts what can be written behind: everything when `all`, else only large pieces. */
void segment_write_behind(struct segment *s, bool all);
bool segment_settled_on_disk(const struct segment *s, uint32_t size);
/* It was cut: what is read of it, or cached, no longer counts. */
void segment_cut_reads(struct segment *s);
/* No read from disk is in flight; `before`: none that began before the last cut. */
bool segment_reads_idle(struct segment *s, bool before);
/* A durable checkpoint lists it as it is. */
bool segment_listed(const struct segment *s);
/* 1: `end` bytes of the active segment have their place on disk; 0: being made, log_set_progress()
 * follows; or an error (ERR_DISK_FULL). */
int log_space(struct log *log, struct segment *s, uint64_t end) MUST_CHECK;
/* Removes files of segments that are not the log's: what a crash left of those that no journal
 * names. Once for each life. 0 or an error. */
int log_tidy(struct log *log) MUST_CHECK;
/* Recovery: the file may lack what the checkpoint counts of it. */
void segment_look(struct segment *s);
struct segment *segment_for_offset(const struct log *log, int64_t offset);

/* That with files of this name, or NULL. It looks around `near` (NULL: the oldest) first: whoever goes through a
 * directory mostly meets neighbours. */
struct segment *segment_named(const struct log *log, const struct segment *near, int64_t base,
                              uint32_t generation);
int64_t segment_end_offset(const struct segment *s);

/* The active segment is sealed, and an empty one follows it. False: not now. */
bool log_roll(struct log *log) MUST_CHECK;
/* One of log->holds is over: what was sealed meanwhile is written. */
void log_unhold(struct log *log);

/* --- segment_index.c -------------------------------------------------------------------------- */
/* Copies what goes to the end of the segment, and continues its sums in the same pass. */
void segment_sums_copy(struct segment *s, uint8_t *to, const uint8_t *from, size_t size);
void segment_index_cut(struct segment *s, uint32_t position); /* the segment was truncated */
void segment_index_free(struct segment *s);
/* Its index or sums are being written. */
bool segment_index_writing(const struct segment *s);
void segment_index_finish(
    struct segment *s); /* it is sealed: its index and sums are to be written */
/* 1: s->index is as good as it gets; 0: w->settled(w) will be called; or an error. */
int segment_index_need(struct segment *s, struct log_waiter *w) MUST_CHECK;

/* --- append.c --------------------------------------------------------------------------------- */
/* Producers with no batch of that time or later have expired. */
int64_t log_producers_expired_ms(const struct log_set *set);
/* Replay: the entry's batch is put where the entry says. 1 done, 0 wait for progress, or an error.
 */
int log_replay_append(struct log *log, const struct entry *e) MUST_CHECK;
/* As log_append(): a->priv.rest bytes of further batches follow a->batch, all of whose bounds hold. done() is
 * for all of them; a->end_offset then lies behind the last that was taken. */
void log_append_batches(struct log *log, struct log_append *a);
/* done(error), from the loop. */
void log_append_refused(struct log *log, struct log_append *a, int error);
/* A larger batch would wait for ever. */
uint64_t log_batch_limit(const struct log *log);
void log_pump(struct log_set *set);
void log_fail_waiting(struct log *log, int error);

/* --- control.c -------------------------------------------------------------------------------- */
/* The largest timestamp, after what had it may have gone. */
void log_look_for_latest(struct log *log);
int log_replay_truncate(struct log *log, const struct entry *e) MUST_CHECK;
void log_replay_start(struct log *log, int64_t offset);
int log_replay_remove(struct log *log) MUST_CHECK;
void log_control_pump(struct log_set *set);

/* --- release.c -------------------------------------------------------------------------------- */
/* Removes segments of which nothing lies at or above `offset`, never the last. False: some of them
 * are in use; they are left for the next call. */
bool log_drop_below(struct log *log, int64_t offset);
void log_release_marked(struct log_set *set);
/* Files of replaced segments will go as soon as their mark is durable. */
bool log_release_frees(struct log_set *set);
/* On a full disk a stop may find no mark for them: the next start does what they would have done. */
void log_releases_abandon(struct log_set *set);

/* --- anew.c ----------------------------------------------------------------------------------- */
/* Its segments go to `doomed`. 0, or ERR_NO_MEMORY when its epoch finds no room. */
int log_anew(struct log *log, int64_t offset, int32_t epoch, struct list *doomed) MUST_CHECK;
/* A write is in flight, or the file of a segment is being made. */
bool log_files_busy(const struct log *log);
/* 1 done, 0 wait for progress, or an error. */
int log_replay_anew(struct log *log, const struct entry *e) MUST_CHECK;

/* --- replace.c -------------------------------------------------------------------------------- */
/* A durable segment that is to stand for a run of sealed ones. */
struct replacement {
    struct log *log;
    struct segment *fresh;        /* not in the log's list yet */
    struct segment *first, *last; /* of the run */
    int64_t end_offset;           /* of the run */
    int64_t clean_offset;         /* of the log, when it has taken place */
    int64_t key_offset;           /* the end of the pass's map */
    int64_t now_ms;               /* wall clock by which tombstones were judged */
};
/* The run is still what it was. */
bool replacement_holds(const struct replacement *p);
struct entry replacement_entry(const struct replacement *p, uint8_t body[static REPLACE_BODY_SIZE]);
void replacement_tell(const struct replacement *p); /* whom log_options names */
/* Puts the new segment in place of the run, which goes to `doomed`. */
void replacement_effect(struct replacement *p, struct list *doomed);
/* 1 done, 0 wait for progress, or an error. */
int log_replay_replace(struct log *log, const struct entry *e) MUST_CHECK;

/* --- cleaner.c -------------------------------------------------------------------------------- */
/* Now and then: begins a pass over the log that needs it most, if none runs. */
void cleaner_look(struct log_set *set);

/* --- clean_pass.c ----------------------------------------------------------------------------- */
/* Begins a pass over what lies below `limit_offset`; cleaner_look() is called when it has ended. 0, or an
 * error: there is none. */
int clean_pass_begin(struct log *log, int64_t limit_offset, int64_t now_ms) MUST_CHECK;
/* It does not pause any more for its pace: something waits for its end. */
void clean_pass_hurry(struct log_set *set);
/* What a pass over the log has seen of it is gone. */
void clean_pass_abandon(struct log *log);
/* An append lacks space: a pass gives back what it has taken. True: it has some. */
bool clean_pass_yield(struct log_set *set);

/* --- mend.c ----------------------------------------------------------------------------------- */
/* A read or a walk has found it. */
void segment_is_damaged(struct segment *s, uint32_t position);
/* Likewise, and it is said, once for each position: every reader meets it again until it is mended. */
void segment_damage_found(struct segment *s, uint32_t position, const char *what);
bool log_damaged(const struct log *log);

/* --- scrub.c ---------------------------------------------------------------------------------- */
/* Now and then: walks over the next segment, if none is being walked over. */
void scrub_look(struct log_set *set);
void scrub_close(struct log_set *set);

/* --- trash.c ---------------------------------------------------------------------------------- */
/* Renames `path` into <root>/trash and removes it in the background. 0 or an error. */
int trash_put(struct log_set *set, const char *path, struct uuid topic_id,
              int32_t partition) MUST_CHECK;
void segment_remove_files(struct segment *s); /* frees it */
void trash_begin(struct log_set *set);        /* what an earlier life left is removed */
void trash_abandon(struct log_set *set);      /* what has not begun is left to the next start */

/* --- sync.c ----------------------------------------------------------------------------------- */
void log_names_dirty(struct log *log);
/* Makes what was written to segments, and their names, durable; then done(), from the loop or at
 * once. */
void log_sync_begin(struct log_set *set, void (*done)(struct log_set *set));

/* --- checkpoint.c ----------------------------------------------------------------------------- */
void log_set_want_checkpoint(struct log_set *set);
void log_set_journal_turned(struct log_set *set);
void checkpoint_step(struct log_set *set);
void checkpoint_recapture(struct log_set *set); /* a truncation changed what was captured */
bool checkpoint_idle(const struct log_set *set);
void checkpoint_path(char out[static IO_PATH_MAX], const char *root, unsigned shard, unsigned copy);
/* Encodes all logs (with room for the header) into *data; ERR_NO_MEMORY. */
int checkpoint_capture(struct log_set *set, uint8_t **data, size_t *size, size_t *capacity,
                       uint32_t *logs) MUST_CHECK;

/* --- checkpoint_space.c ----------------------------------------------------------------------- */
/* Whether one more append will find its place in the next checkpoint: 1; 0: room is being made,
 * log_set_progress() follows; or ERR_DISK_FULL. */
int checkpoint_room(struct log_set *set) MUST_CHECK;
void checkpoint_promise(struct log_set *set); /* the append is in */
void checkpoint_defer(struct log_set *set);   /* until there is room */
void checkpoint_try_again(struct log_set *set);
