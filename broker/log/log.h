/* SPDX-License-Identifier: Apache-2.0 */

/* log: partitions' records on disk, durable through one journal for each shard.
 *
 * A struct log is one partition: segments that hold Kafka v2 batches as on the wire, and a tail of
 * aligned chunks in memory that the newest batches live in. A struct log_set is the logs of one
 * shard with what they share: the journal, the checkpoint, the budgets. Every append is copied
 * twice: into its log's tail and into the journal's group; it is done when its group is durable
 * (`memory` logs: when it is in the mapped journal, which outlives the process, not the machine).
 * Segments are written behind, in whole blocks, each once. What a recovered log shows is a prefix
 * of what was appended that contains everything that was told as done (RELIABILITY 4.1, L1 to L11).
 *
 *     <root>/journal-<shard>/{checkpoint-0,checkpoint-1,durable-0000..,memory-0000..}
 *     <root>/topics/<topic>-<partition>/{partition,<base offset>.log,.index,.sums}
 *     <root>/trash/
 *
 * Life: log_recover() once for a root, on one shard; then log_set_open() on every shard with its
 * result; log_set_close() writes all behind and leaves a checkpoint that needs no replay.
 *
 * Threads: a log_set, its logs and their operations belong to one shard. Nothing here blocks.
 * Errors: a failed write or sync ends the node (io_fatal); nothing is acknowledged after it. */
#pragma once

#include "base/buffer.h"
#include "base/uuid.h"
#include "io/io.h"

struct log;
struct log_set;
struct log_recovery;
struct log_replaced;
struct release;
struct replacement;
struct truncation;

enum {
    LOG_TOPIC_NAME_MAX = 249,
    LOG_READ_SLICES_MAX = 24,
    LOG_BATCH_HEADER = 61, /* bytes of a v2 batch before its records */
};

enum log_durability { LOG_FSYNC, LOG_MEMORY };

/* Fixed for the life of a root's logs in this process. Zero means the default beside it. */
struct log_options {
    const char *root;              /* an existing directory, lent for the life of the sets */
    uint64_t journal_file_bytes;   /* 8 MiB; a batch may take at most this minus 64 KiB */
    uint64_t journal_bytes_max;    /* 128 MiB for each shard; starts with two files */
    uint64_t memory_journal_bytes; /* 64 MiB for each shard, made with the first `memory` log */
    uint32_t group_bytes_max;      /* 2 MiB: what gathers for one commit */
    uint32_t groups_in_flight;     /* 2; small groups only (<= 128 KiB) go side by side */
    uint32_t chunk_bytes_max;      /* 1 MiB: a tail chunk; the smallest is one block */
    uint64_t tail_bytes_max;       /* 96 MiB for each shard, and a block for each log */
    uint64_t read_bytes_max;       /* 32 MiB for each shard: blocks read from disk */
    uint32_t read_ahead_bytes;     /* 512 KiB */
    uint32_t trash_step_bytes;     /* 2 MiB: a larger file is cut back by so much at a time */
    uint32_t write_behind_bytes;   /* 1 MiB: a log with so many full blocks is written */
    uint64_t disk_reserve_bytes;   /* 64 MiB that appends leave free */
    uint32_t files_max;            /* 512 open segment files for each shard */
    uint64_t checkpoint_bytes;     /* journal bytes between checkpoints; 1/4 of journal_bytes_max */
    uint64_t producer_expiration_ms;   /* 86400000 */
    uint32_t producers_max;            /* 100000 producer ids of all logs of a shard together */
    uint64_t cleaner_map_bytes;        /* 128 MiB, or what the heap has: keys of one pass */
    uint32_t cleaner_piece_bytes;      /* 128 KiB: read at once by the cleaner */
    uint64_t cleaner_bytes_per_second; /* read and written by it; 0: as it can */
    uint64_t cleaner_backoff_ms;       /* 15000: between two looks that find nothing to do */
    uint64_t scrub_interval_ms; /* all that is sealed is checked once in it; 0: never by itself */
    bool cleaner_off;           /* compacts only what log_clean() asks for */
    bool accept_loss;           /* go on when damage is found: the operator has decided */
    bool checkpoint_needed;     /* without a valid one all would be lost: nobody may accept it */
    uint32_t mutants;           /* enum log_mutant: rules left out; simulator builds only */
    /* The topic's name if the metadata knows this partition, else NULL (L8): what it does not know
     * is set aside. Lent until log_recover() is done. */
    const char *(*known)(void *context, struct uuid topic_id, int32_t partition);
    /* NULL, or likewise of a partition that the metadata says is gone, where that may be taken back: it
     * is kept for log_set_remove_unopened(). */
    const char *(*doubtful)(void *context, struct uuid topic_id, int32_t partition);
    void *known_context;
    /* NULL, or told of each REPLACE before it can take effect (tests). */
    void (*replaced)(void *context, struct uuid topic_id, int32_t partition,
                     const struct log_replaced *r);
    void *replaced_context;
};

/* What the cleaner does to the offsets [from, to) of a log. */
struct log_replaced {
    int64_t from_offset, to_offset;
    uint32_t size_bytes; /* of the new segment */
    int64_t key_offset;  /* no record at or above it has made an older one superfluous */
    int64_t now_ms;      /* wall clock by which tombstones were judged */
};

/* What can change while a log lives. */
struct log_config {
    uint64_t segment_bytes;         /* 1 GiB; at least one batch */
    int64_t segment_ms;             /* 7 days */
    int64_t retention_ms;           /* -1: without limit */
    int64_t retention_bytes;        /* -1: without limit */
    uint32_t index_interval_bytes;  /* 4096 */
    enum log_durability durability; /* fixed at creation */
    bool compact;           /* records whose key has a later one go, below the high watermark */
    double min_dirty_ratio; /* of the bytes, before a pass is worth it; 0: at once */
    int64_t min_compaction_lag_ms; /* what is younger stays */
    int64_t
        max_compaction_lag_ms; /* what is older is compacted whatever the ratio; 0: never for that */
    int64_t delete_retention_ms; /* tombstones stay so long after a pass has met them */
};

/* Rules of RELIABILITY 4.1 that the simulator leaves out one at a time, to show that each is
 * needed. */
enum log_mutant {
    LOG_MUTANT_NO_SETTLED = 1 << 0,     /* groups and checkpoints carry no mark (L5) */
    LOG_MUTANT_NO_LIFE = 1 << 1,        /* a group's CRC does not know its life */
    LOG_MUTANT_FREE_EARLY = 1 << 2,     /* journal reused after the first checkpoint copy (L6) */
    LOG_MUTANT_TRUNCATE_QUIET = 1 << 3, /* TRUNCATE not journaled (L7) */
    LOG_MUTANT_TRUNCATE_RACE = 1 << 4,  /* truncation does not wait for writes in flight (L3) */
    LOG_MUTANT_UNWAITED_SKIP = 1 << 5,  /* appends that nobody waits for are not journaled (L1) */
    LOG_MUTANT_NO_UNFINISHED = 1 << 6,  /* a checkpoint leaves the unfinished block out (L2) */
    LOG_MUTANT_ACK_UNORDERED = 1 << 7,  /* a group acknowledges before its predecessors (J1) */
    LOG_MUTANT_NO_EMPTY = 1 << 8,       /* recovery goes on with the old life */
    LOG_MUTANT_BELIEVE_TAIL = 1 << 9,   /* recovery scans beyond the checkpointed end (L4) */
    LOG_MUTANT_NO_SYNC_FIRST = 1 << 10, /* recovery acts on what a kill left visible */
    LOG_MUTANT_NO_KEPT = 1 << 11,       /* a TRUNCATE does not carry the bytes it keeps (L2) */
    LOG_MUTANT_NO_MARK_RUN = 1 << 12,   /* files touched before a mark covers the entry (L7) */
    LOG_MUTANT_NO_MARK_BOOT = 1 << 13,  /* recovery acts before its mark is durable (L7) */
    LOG_MUTANT_NEWER_FIRST = 1 << 14,   /* the newer checkpoint copy is written first (L6) */
    LOG_MUTANT_SOME_DAMAGED = 1 << 15,  /* a hole damages only whom it is seen to (L5) */
    LOG_MUTANT_SHARE_BLOCK = 1 << 16,   /* a group writes its predecessor's last block again (L2) */
    LOG_MUTANT_DELETE_UNKNOWN = 1 << 17, /* a directory that the metadata does not know goes (L8) */
    LOG_MUTANT_NO_ADMISSION = 1 << 18,   /* appends do not wait for space on disk (L9) */
    LOG_MUTANT_FIVE_ONLY = 1 << 19,      /* five batches of a producer, whatever is settled (L10) */
    LOG_MUTANT_IGNORE_FAILED = 1 << 20,  /* a failed write or sync is taken for a good one (L11) */
    LOG_MUTANT_REPLACE_UNSYNCED = 1 << 21, /* REPLACE before its file is durable (L7) */
    LOG_MUTANT_REPLACE_EARLY = 1 << 22, /* the old files go before a mark covers the REPLACE (L7) */
    LOG_MUTANT_REPLACE_UNLISTED = 1 << 23, /* what no checkpoint lists is replaced too */
    LOG_MUTANT_TOMBSTONE_EARLY = 1 << 24,  /* tombstones go with the first pass that meets them */
    LOG_MUTANT_NO_EMPTY_BATCH = 1 << 25,   /* a producer's last batch goes with its records */
    LOG_MUTANT_GAPS_QUIET = 1 << 26,       /* a checkpoint does not say that a segment has gaps */
    LOG_MUTANT_ANEW_QUIET = 1 << 28,       /* the entry of an ANEW does not say so (L7) */
    LOG_MUTANT_ANEW_EARLY = 1 << 29,       /* the old files go before a mark covers the ANEW (L7) */
    LOG_MUTANT_ANY_ORDER = 1 << 27, /* a follower takes a batch wherever it says to belong (P3) */
};

/* --- recovery --------------------------------------------------------------------------------- */

struct log_recovery_summary {
    uint32_t logs;       /* partitions with data */
    uint32_t set_aside;  /* directories that the metadata does not know, or that are damaged: */
    uint32_t aside_lost; /* of them those of topics that are in use, or beside damage */
    uint64_t replayed_entries;
    uint64_t replayed_bytes;
    uint64_t torn_bytes; /* of groups above every mark, dropped */
    bool clean;          /* the last stop left nothing to replay */
    bool fresh;          /* an empty root was founded */
    char damage[300];    /* empty, or file, position, and what is wrong there */
    const char *remedy;  /* of damage: what a person can do about it */
};

/* Reads checkpoints and journals of `options->root` (all shards that it was ever served with),
 * brings segments up to date, begins a new life for `shards` shards. An empty root is founded.
 * Owned by the caller until done(error): 0, ERR_DAMAGED (see summary.damage; nothing was changed),
 * or another. */
struct log_recover {
    void (*done)(struct log_recover *r, int error);
    struct log_recovery *result; /* on success; freed with log_recovery_free() */
    struct log_recovery_summary summary;
};
void log_recover(struct io *io, struct log_recover *r, const struct log_options *options,
                 unsigned shards);
void log_recovery_free(struct io *io, struct log_recovery *recovery);

/* --- the logs of a shard ---------------------------------------------------------------------- */

/* Opens shard io_shard(io) of `recovery` (which must live until this returns; shard 0 frees it
 * after all shards have opened). NULL: out of memory or files, said in the log. */
struct log_set *log_set_open(struct io *io, const struct log_recovery *recovery,
                             const struct log_options *options) MUST_CHECK;

/* Which shard is home to a partition. By name: what follows a removed log under its name meets it
 * on one shard. */
unsigned log_home(struct bytes topic, int32_t partition, unsigned shards);

/* Commits, writes behind, checkpoints, closes. No append may follow; those in progress are done
 * first. */
struct log_set_close {
    void (*done)(struct log_set_close *c);
};
void log_set_close(struct log_set *set, struct log_set_close *c);

/* Gives a partition its log: the recovered one, or an empty one (no file before its first append).
 * The handle lives until log_remove() is done or the set is closed. NULL: out of memory, or the
 * removal of the same partition still waits. */
struct log *log_open(struct log_set *set, struct uuid topic_id, int32_t partition,
                     const char *topic, const struct log_config *config) MUST_CHECK;

/* Removes the recovered logs that nobody has opened; before this, what the metadata knew when they were recovered
 * may have been given up, or be other nodes' now. How many. */
uint32_t log_set_remove_unopened(struct log_set *set);

void log_configure(struct log *log, const struct log_config *config);

/* Whether records without key are refused: set by log_configure(). */
bool log_compacts(const struct log *log);

/* Compacts the log now, whatever its dirty ratio, if it is compacted at all (tests, operators). */
void log_clean(struct log *log);

struct log_status {
    int64_t start_offset;
    int64_t end_offset; /* of the next batch */
    int64_t
        durable_offset; /* the counted end (RELIABILITY 3.1): acknowledged up to here, exclusive */
    int64_t high_watermark; /* as raised by the owner, at most durable_offset */
    uint64_t size_bytes;    /* of the segments between */
    int32_t leader_epoch;   /* of the newest batch or started epoch, -1: none */
    /* Largest in the log, or more: what a cut segment has lost is looked at by log_find_time() alone; -1: none. */
    int64_t max_timestamp;
    bool damaged; /* something of it fails its checks: log_mend_begin() */
    bool
        verified; /* log_verify() has ended, and no damage was found since it began but what is mended */
};
struct log_status log_status(const struct log *log);

/* Tombstones from here on stay, whatever their age: of a replica that lacks one, what it deletes would come back.
 * INT64_MAX when the log is opened; a pass of the cleaner that runs goes by what held when it began. */
void log_keep_tombstones(struct log *log, int64_t from_offset);

/* Nothing below `offset` will be truncated any more: every replica that counts has it. Until then the
 * log keeps what a truncation may need. What is lower than before changes nothing. */
void log_raise_watermark(struct log *log, int64_t offset);

/* Called (from the loop) when durable_offset has grown, start_offset has moved, damage was found or mended, or a
 * verification has ended; one listener. */
struct log_watch {
    void (*moved)(struct log_watch *w, struct log *log);
};
void log_watch(struct log *log, struct log_watch *w);

/* Waits for an entry of the journal; the log's part of an operation, nobody else looks inside. */
struct log_waiter {
    struct list link;
    uint64_t sequence;
    void (*settled)(struct log_waiter *w);
};

/* --- appending -------------------------------------------------------------------------------- */

/* One append of one batch, embedded in its owner until done(). */
struct log_append {
    struct bytes batch;   /* one whole v2 batch whose bounds, CRC and counts are checked; lent until
                           * appended() */
    int32_t leader_epoch; /* stamped into it */
    bool as_leader; /* assign the offset and check the producer's sequence; false only inside of
                           * log_append_follower() */
    bool waited;    /* somebody waits for done() (acks): no effect on durability */

    /* Called exactly once if it was taken, from inside log_append() or later, in the order of the
     * log: base_offset is set and the batch's bytes are no longer needed. NULL: not wanted. */
    void (*appended)(struct log_append *a);
    /* Called exactly once, from the loop, never from inside log_append(): 0 when the batch is
     * durable (for a duplicate: when the original is); ERR_OUT_OF_ORDER_SEQUENCE,
     * ERR_INVALID_PRODUCER_EPOCH, ERR_DUPLICATE_SEQUENCE, ERR_THROTTLING_QUOTA_EXCEEDED (a new producer id, and
     * producers_max are known that have not expired), ERR_DISK_FULL, ERR_MESSAGE_TOO_LARGE,
     * ERR_CLOSED: nothing was appended. */
    void (*done)(struct log_append *a, int error);

    int64_t base_offset; /* out; of the original for a duplicate */
    int64_t
        end_offset; /* out: behind what of it is in the log, or behind the original; 0: nothing */
    bool duplicate; /* out */

    struct { /* the log's */
        struct log_waiter waiter;
        struct log *log;
        size_t rest; /* of a follower: bytes of the batches that follow this one */
        bool gaps;   /* of a follower: the batch may begin behind the end */
        int error;
    } priv;
};
void log_append(struct log *log, struct log_append *a);

/* What a follower has fetched: batches exactly as in its leader's log, with the offsets and epochs that
 * they have there. Nothing of the bytes is believed. Embedded in its owner until done(). */
struct log_follow {
    struct bytes
        batches; /* whole v2 batches, one behind the other; lent until appended() or done() */
    int32_t leader_epoch; /* of their leader: none of them is of a newer one (P3) */
    /* Offsets may be left out in front of a batch: the leader's log is, or was, compacted. */
    bool gaps;
    /* NULL, or called once when all of them are in the log, from inside log_append_follower() or later, before
     * done(): the bytes are needed no longer. Not called if one of them is refused. */
    void (*appended)(struct log_follow *f);
    /* Called exactly once, from the loop, never from inside log_append_follower(): 0 when all of them
     * are durable. Else `refusal` says what is wrong with a batch, or is NULL:
     * ERR_CORRUPT_MESSAGE, ERR_INVALID_RECORD, ERR_UNSUPPORTED_COMPRESSION_TYPE (bounds, checksum,
     * counts), ERR_UNKNOWN_LEADER_EPOCH (newer than leader_epoch), ERR_FENCED_LEADER_EPOCH (older than
     * the batch before it), ERR_OFFSET_OUT_OF_RANGE (it does not begin where the log ends; with `gaps`: in
     * front of that), ERR_MESSAGE_TOO_LARGE; ERR_DISK_FULL, ERR_NO_MEMORY, ERR_CLOSED. If the bytes alone show the
     * fault, nothing was appended; else the batches in front of end_offset were, and are durable. */
    void (*done)(struct log_follow *f, int error);

    int64_t end_offset;  /* out: behind the last batch that was appended, -1: none was */
    const char *refusal; /* out: static, a clause without full stop */
    size_t refused_at;   /* out, with it: where in `batches` the batch begins */

    struct log_append priv; /* the log's */
};
void log_append_follower(struct log *log, struct log_follow *f);

/* Begins leader epoch `epoch` at the end of the log, if it is newer; persisted with or before the
 * first batch of the epoch. */
void log_begin_epoch(struct log *log, int32_t epoch);

/* The epoch of the last record, -1: the log is empty, or has forgotten it. */
int32_t log_last_epoch(const struct log *log);

/* The end of the largest epoch <= `epoch` (KIP-320): *found and the offset after its last record;
 * -1 and -1 if there is none. */
int64_t log_epoch_end(const struct log *log, int32_t epoch, int32_t *found);

/* As a consumer is told (KIP-320), which would take "no such epoch" for data that was lost: an epoch before all that
 * are known, `epoch` itself, ends where the first of them begins. It was read to its end, and deleted. */
int64_t log_epoch_end_told(const struct log *log, int32_t epoch, int32_t *found);

/* --- reading ---------------------------------------------------------------------------------- */

struct log_read {
    int64_t offset;       /* start_offset <= offset < limit */
    int64_t limit_offset; /* exclusive: no batch that reaches it or beyond */
    uint32_t bytes_max;   /* of all batches together */
    bool first_whole;     /* the first batch is returned even when it alone is larger (KIP-74) */
    void (*done)(struct log_read *r, int error);

    /* Out: whole batches, the first contains `offset`; the caller releases the slices. */
    struct slice slices[LOG_READ_SLICES_MAX];
    uint32_t slice_count;
    uint32_t size;
    int64_t next_offset; /* after the last batch returned */

    struct { /* the log's */
        struct list link;
        struct log *log;
        void *state;
    } priv;
};

/* 1: answered at once (done() is not called); 0: done() will be called from the loop, with 0 or
 * ERR_OFFSET_OUT_OF_RANGE, ERR_DAMAGED (a batch on disk fails its checks; said in the log with file
 * and position), ERR_BUSY (the read budget is used up), ERR_CLOSED; or a negative error at once. */
int log_read(struct log *log, struct log_read *r) MUST_CHECK;

/* Whether offsets may be left out between two of them: compacted here, or by whoever it came from. */
bool log_has_gaps(const struct log *log, int64_t from_offset, int64_t to_offset);

/* CRC-32C of the bytes of all whole batches from `from_offset` on, up to `to_offset` or to the batch with which there
 * are `bytes_max` of them. Replicas that hold the same batches have the same. */
struct log_range_hash {
    int64_t from_offset, to_offset;
    uint64_t bytes_max;
    void (*done)(struct log_range_hash *h, int error);

    uint32_t hash;       /* out */
    uint64_t bytes;      /* out: that were hashed */
    int64_t next_offset; /* out: behind the last batch of them */

    struct log *log; /* the log's, as what follows */
    struct {
        struct log_read read;
    } priv;
};
/* As log_read(): 1, 0 or an error; ERR_UNSUPPORTED: some of it may have been compacted, and is other on each
 * replica. */
int log_range_hash(struct log *log, struct log_range_hash *h) MUST_CHECK;

/* The first record with a timestamp >= `timestamp`: *offset and *timestamp of it, or -1 and -1. With `latest` the first
 * of those with the largest timestamp, whatever `timestamp` says. */
struct log_find_time {
    int64_t timestamp;
    bool latest;
    void (*done)(struct log_find_time *f, int error);
    int64_t offset_found, timestamp_found;
    int32_t epoch_found;
    struct {
        struct log_waiter waiter;
    } priv;
};
/* done() from the loop; ERR_BUSY: no memory now, or a truncation came between. */
void log_find_time(struct log *log, struct log_find_time *f);

/* --- control: each is an entry of the journal, done when that is durable ---------------------- */

enum log_control_kind {
    LOG_TRUNCATE, /* the log ends at `offset` (a batch boundary, or between batches where offsets are
                   * left out; else at the batch that contains it) */
    LOG_START,    /* nothing below `offset` is readable: DeleteRecords, retention */
    LOG_REMOVE,   /* everything goes, also the files; the struct log is freed with done() */
    LOG_REPLACE,  /* of compaction alone: a new segment stands for older ones */
    /* Everything goes, and the log begins anew: empty, start and end are `offset`, wherever they were, and
     * so is the high watermark; producers are forgotten. For a follower whose leader's log begins behind
     * its own end (P34), and for a snapshot. Takes effect with done(); appends wait until then. */
    LOG_ANEW,
};
struct log_control {
    enum log_control_kind kind;
    int64_t offset;
    int32_t
        leader_epoch; /* of LOG_ANEW: of what lies below `offset`, as if it began there; -1: none */
    void (*done)(struct log_control *c, int error);
    struct {
        struct log_waiter waiter;
        struct log *log;
        struct log_set *set; /* of log_set_remove_unopened(): the log goes before */
        int error;
        bool cut;   /* a truncation that cuts, not yet settled */
        bool due;   /* of a `memory` log: takes effect when it is settled */
        bool alone; /* and stands in the durable journal only */
        struct truncation *truncation;
        struct release *release;
        struct replacement *replacement;
    } priv;
};
void log_control(struct log *log, struct log_control *c);

/* Deletes segments that retention no longer wants, at most `limit` of them; the active one is
 * rolled first when all of it is too old. Called now and then by the owner of the log. `now_ms` is
 * wall clock. Nothing at or above the high watermark goes. */
void log_retain(struct log *log, int64_t now_ms, unsigned limit);

/* Forgets idempotent producers of which nothing was appended for producer_expiration_ms. Called now and then by the
 * owner of the log, of whichever role, whatever the log's limits are. */
void log_expire_producers(struct log *log);

/* --- mending ---------------------------------------------------------------------------------- */

/* All of the log that lies on the disk is read and checked, at once and as fast as the disk allows; again from the
 * beginning when that has ended. */
void log_verify(struct log *log);

/* What lies between these offsets is not what it should be, by whatever proof: the segments that hold some of it are
 * damaged from now on. */
void log_distrust(struct log *log, int64_t from_offset, int64_t to_offset);

/* A segment that fails its checks is written anew from another replica's batches. What is damaged stays until the
 * new one is durable. Embedded in its owner, who may drop it at any time; without that the log is not freed. */
struct log_mend {
    /* Out: what is wanted next, of all up to end_offset. */
    int64_t next_offset, end_offset;
    /* What was put is taken; with next_offset == end_offset the segment is mended, and this is over. Or an error,
     * after which it is over: ERR_CORRUPT_MESSAGE (the batches do not belong there; said in the log), ERR_TOO_LARGE,
     * ERR_DISK_FULL, ERR_CLOSED (the segment is another by now). Perhaps from inside log_mend_put(). */
    void (*done)(struct log_mend *m, int error);
    struct {
        struct mending *mending;
    } priv;
};
/* Begins with the first damaged segment. ERR_NOT_FOUND: nothing is damaged; ERR_BUSY: not yet (a checkpoint, the high
 * watermark, the cleaner come first; what is lacking is under way): try again later; ERR_NO_MEMORY, ERR_CLOSED. */
int log_mend_begin(struct log *log, struct log_mend *m) MUST_CHECK;
/* Batches as another replica serves them from next_offset on, of which the last may be cut; nothing of the bytes is
 * believed. `gaps`: offsets are left out where they come from; else a hole is refused. Lent until done(). */
void log_mend_put(struct log_mend *m, struct bytes batches, bool gaps);
/* done() is not called any more, and what was put is not needed. Harmless when it is over. */
void log_mend_drop(struct log_mend *m);

/* --- what a shard tells about itself ---------------------------------------------------------- */

struct log_set_status {
    uint64_t journal_bytes, journal_bytes_live;
    uint64_t tail_bytes;
    uint64_t commits, committed_bytes, checkpoints, write_behind_bytes;
    uint64_t cleaned_bytes_before, cleaned_bytes_after; /* of what the cleaner has replaced */
    uint64_t appends_waiting; /* for room in the tail, the journal or on the disk */
    uint32_t logs, files_open;
    bool disk_full;
};
struct log_set_status log_set_status(const struct log_set *set);

/* Asks for a checkpoint soon (tests, stop). */
void log_set_checkpoint(struct log_set *set);
