/* SPDX-License-Identifier: Apache-2.0 */

/* What log_crash.c (walks, recovery, judging), log_driver.c (what a shard does) and log_damage.c
 * share. struct walk is the test's memory; struct driver and what hangs on it is the node's. */
#pragma once

#include "log_crash.h"

#include "base/errors.h"

enum { BATCH_BYTES_MAX = 40000, WALK_SLOTS = 4, WALK_UNKNOWN_MAX = 16 };

enum damage_kind { DAMAGE_NONE, DAMAGE_JOURNAL, DAMAGE_SEGMENT, DAMAGE_CHECKPOINT };

/* What a damaged image allows. */
struct damage {
    enum damage_kind kind;
    bool needed; /* of the journal: the block belongs to a live group */
    bool marked; /* and a mark elsewhere covers it: silence would be loss */
    bool only;   /* of a checkpoint: the other copy is of no use */
    char path[128];
};

struct walk {
    struct sim_storage st;
    const struct log_crash_options *options;
    struct log_crash_stats *stats;
    struct log_options log_options;
    struct oracle_log logs[WALK_SLOTS];
    uint32_t incarnation[WALK_SLOTS]; /* grows with each new id */
    uint64_t ids;
    uint32_t weights[LOG_ACTIONS];
    uint64_t pace_ns;
    uint64_t segment_bytes;
    uint32_t keys;  /* of compacted logs */
    uint32_t large; /* of 1000 batches: of several blocks */
    uint64_t disk_bytes;
    bool narrow;
    bool disk_full, faults;                /* the disk is small; writes and syncs fail */
    struct uuid unknown[WALK_UNKNOWN_MAX]; /* directories that the metadata does not know */
    unsigned unknown_count;
    int32_t epoch[WALK_SLOTS];

    /* one life */
    unsigned shards, opened, judged_shards;
    struct log_recovery *recovery; /* the node's memory */
    struct log_recovery_summary summary;
    bool serving, closing;
    uint64_t steps_left;
    struct driver *drivers[SIM_SHARDS_MAX]; /* the node's memory */
    struct oracle_state shown[WALK_SLOTS];
    bool unreadable[WALK_SLOTS]; /* a read answered ERR_DAMAGED */
    struct damage damage;
};

struct driver;
struct driven;

struct given_control {
    struct log_control control;
    struct driven *l;
    uint32_t incarnation, op;
};

struct given_follow;

/* A log on its home shard. */
struct driven {
    struct driver *driver;
    unsigned slot;
    uint32_t openings;
    struct log *log;     /* NULL: removed, or not opened yet */
    unsigned unappended; /* given and not yet in the log */
    unsigned in_flight;  /* given and not yet answered */
    bool blocked;        /* a control has not taken effect yet */
    bool removing;
    enum log_control_kind blocked_kind;
    uint32_t blocked_op;
    int64_t blocked_offset;
    struct given_control *pending; /* the last control, until it is done */
    struct log_read read;
    bool reading;
    struct given_follow *following; /* not done yet: nothing else is appended */
};

struct driver {
    struct walk *w;
    struct io *io;
    struct log_set *set;
    struct io_op timer;
    struct io_message open, free_recovery;
    struct log_set_close close;
    bool closing;
    unsigned showing; /* the slot that is being read for the judge */
    struct driven logs[WALK_SLOTS];
};

/* log_crash.c */
struct oracle_log *walk_log(struct walk *w, const struct driven *l); /* NULL: of a former life */
void walk_judge_shard(struct walk *w);
struct log_config walk_config(const struct walk *w, unsigned slot);

/* log_follow.c */
void act_follow(struct driver *d, struct driven *l);
/* Something takes effect in the log: how many of the batches that were given last come after it. */
unsigned follow_waiting(struct driven *l);

/* log_compact.c */
void act_compact(struct driver *d, struct driven *l);
void driver_replaced(struct walk *w, struct uuid topic_id, const struct log_replaced *r);

/* log_driver.c */
struct batch_wish driver_wish(struct driver *d, const struct driven *l);
void driver_violation(struct driven *l, const char *what, int error);
bool driver_may_fail(const struct walk *w, int error); /* an append, with this */
void driver_look(struct driven *l);  /* whether its last control has taken effect */
void driver_begin(struct driver *d); /* the set is open: shows its logs, then acts */

/* log_aside.c */
void aside_note(struct walk *w);  /* before a recovery: whom the metadata does not know */
void aside_judge(struct walk *w); /* after it: all of them are set aside */

/* log_batch.c */
struct batch_wish {
    bool large;
    int32_t records;  /* 0: any number */
    int64_t producer; /* -1: none */
    int32_t sequence;
    uint32_t keys; /* so many different ones, and tombstones; 0: records have none */
};
size_t batch_build(struct prng *random, const struct batch_wish *wish,
                   uint8_t out[static BATCH_BYTES_MAX]);
/* Reads whole batches from slices into a state; false: malformed or its sum is wrong. */
/* With `gaps` offsets may be left out. */
bool batch_parse(const struct slice *slices, uint32_t count, bool gaps, struct oracle_state *out,
                 int64_t *next, char *why, size_t why_size);
/* Size, horizon and records that have a key; false: they cannot be read. */
bool batch_records_of(struct oracle_item *item, const uint8_t *batch, size_t size);
uint32_t batch_crc(const uint8_t *batch);
int32_t batch_records(const uint8_t *batch);
void batch_place(uint8_t *batch, int64_t base_offset, int32_t epoch);

/* log_damage.c */
bool damage_apply(struct walk *w, struct disk *d);
