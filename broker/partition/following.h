/* SPDX-License-Identifier: Apache-2.0 */

/* following: the follower's side of one partition's replication.
 *
 * What to ask the leader for, what of an answer enters the log, what of the log goes, and how far the high
 * watermark is known. A pure core: (state, event, now) -> effects, as `leading.h`.
 *
 *     ALONE --following_apply: a leader--> PROVING --answer continues the log--> FOLLOWING
 *       ^  ^                                 |  ^ \--following_apply: a newer epoch--' |
 *       |  '--following_apply: no leader     |  |                                      |
 *       |                diverging, or begin |  | following_cut: durable               |
 *       |                              anew  v  |                                      |
 *       |                                 CUTTING <------------------------------------'
 *     any --what is committed would go, the disk fails--> DAMAGED
 *
 * Two requests may be in flight: one for records, which may wait at the leader, and one that only tells what
 * is durable and is answered at once. So what was flushed is never behind a fetch that waits.
 *
 * Invariants (RELIABILITY 3.1; asserted here, checked over whole partitions by tests/sim/replica_*.c)
 *   P2   The leader epoch never falls.
 *   P3   Records enter the log behind its end, of epochs that do not fall and are not newer than the leader's.
 *   P5   The counted end is told with leader epoch and broker epoch, and never before
 *   P16  the log is proved to be the beginning of the leader's in this epoch, and each cut is durable.
 *   P15  Nothing below the known high watermark goes, unless an epoch began uncleanly since the log was last
 *        proved: DAMAGED instead.
 *   P30  The high watermark never passes the own counted end.
 *   P34  The log begins anew at the leader's start only outside of the in-sync set, when it ends before it; or
 *        when nothing goes that the leader has: its log starts where this one ends, or in newer epochs alone; or
 *        this one is empty, and the leader's starts inside of a batch, with which it has to begin; or when it has to
 *        be cut, and cannot for damage: then nothing of it counts outside of the in-sync and eligible sets.
 *
 * A struct following belongs to one thread and is the caller's memory. Nothing allocates. */
#pragma once

#include "partition/replication.h"

enum { FOLLOWING_BATCHES_MAX = 512 }; /* of one answer; further ones are fetched again */

enum following_effects {
    FOLLOWING_ASK = 1 << 0,    /* following_next() has something */
    FOLLOWING_APPEND = 1 << 1, /* the answer's batches from `first` on, `count` of them; then
                                   * following_appended() */
    FOLLOWING_TRUNCATE =
        1 << 2,              /* the log ends at `offset`, or before; when durable following_cut() */
    FOLLOWING_ANEW = 1 << 3, /* the log is empty and begins at `offset`; as above */
    FOLLOWING_WATERMARK = 1 << 4, /* it has moved; downwards only with a cut */
    FOLLOWING_START = 1 << 5,     /* nothing below `start` is readable any more */
    FOLLOWING_UNFIT = 1 << 7,   /* nothing that was sent follows `offset`: said once in an epoch */
    FOLLOWING_DAMAGED = 1 << 6, /* `why`; this replica does nothing more and is to be reported */
};

struct following_effect {
    unsigned what;
    uint32_t first, count;
    int64_t offset, start;
    const char *why;
};

struct following_options {
    int32_t node;
    uint64_t
        answer_ns; /* a request without an answer is given up; 0: 2 s, more than the leader waits */
    uint64_t retry_ns; /* after an error; 0: 100 ms */
    replication_epoch_end_fn *epoch_end;
    const void *log;
    unsigned mutant; /* simulator builds */
};

/* The log as it stands. */
struct following_log {
    int64_t start, end, counted;
    int32_t last_epoch; /* of its last record, -1: it is empty */
    int64_t kept_start; /* durably: what lies below it does not come back */
};

/* What the metadata says of the partition. */
struct following_image {
    int32_t leader, epoch; /* leader -1: none */
    int32_t unclean_epoch; /* the newest epoch that began uncleanly, -1: none ever */
    bool in_sync;          /* this replica is in the in-sync set, or may lead if that is empty */
};

enum following_state {
    FOLLOWING_STATE_ALONE,
    FOLLOWING_STATE_PROVING,
    FOLLOWING_STATE_FOLLOWING,
    FOLLOWING_STATE_CUTTING,
    FOLLOWING_STATE_DAMAGED,
};

struct following_ask {
    uint64_t ticket; /* 0: none is in flight */
    uint64_t sent_ns;
    int64_t offset;
};

/* All fields are the core's own. */
struct following {
    uint32_t magic;
    struct following_options options;
    enum following_state state;
    uint64_t now_ns;
    int32_t leader, epoch, unclean_epoch;
    bool in_sync;
    int32_t
        proved_epoch; /* the newest in which the log was proved; after a start that of its records */
    int32_t unfit_epoch; /* in which FOLLOWING_UNFIT was said last; 0: never */
    struct following_log log;
    bool unreadable; /* it could not be cut */
    bool appending;  /* batches are on their way into the log */
    uint32_t
        untaken; /* answers in a row of which the log has taken nothing: each doubles the pause */
    int64_t high_watermark, leader_watermark;
    int64_t told_start; /* of the leader's log, by the answer before; -1: none in this epoch */
    struct following_ask records, report;
    int64_t told;            /* counted end as last told in this epoch, -1: not yet; */
    int64_t told_kept;       /* with it, kept_start */
    uint64_t ticket, ask_ns; /* not before */
    int64_t
        ask_from; /* of an empty log that ends before it: the leader's log starts inside of a batch */
};

/* The log as recovered or as it was led, with what it knew of the high watermark; alone until
 * following_apply(). What was known must be of the recovered state of the log or of an older one: a
 * watermark of a newer state may lie above records that a lost truncation has brought back.
 * `proved_epoch`: the newest epoch that it has led or was proved in, -1: not known. */
void following_init(struct following *f, const struct following_options *options,
                    const struct following_log *log, int64_t high_watermark, int32_t proved_epoch,
                    uint64_t now_ns);

/* A new image. The leader is another node. */
void following_apply(struct following *f, uint64_t now_ns, const struct following_image *image,
                     struct following_effect *out);

/* What following_next() would give. */
enum following_want { FOLLOWING_WANTS_NOTHING, FOLLOWING_WANTS_RECORDS, FOLLOWING_WANTS_REPORT };
/* It counts no more: its log contradicts the leader's, or the disk has failed. */
static inline bool following_stopped(const struct following *f)
{
    return f->state == FOLLOWING_STATE_DAMAGED;
}

enum following_want following_wants(struct following *f, uint64_t now_ns);

/* A request for the leader. */
struct following_request {
    uint64_t ticket;
    int32_t leader, epoch;
    int64_t offset;
    int32_t last_epoch;
    int64_t counted; /* DurableEndOffset, -1: not told */
    int64_t high_watermark;
    int64_t log_start; /* kept_start */
    bool records;
};
/* Whether there is one to be sent now; called until there is none, after FOLLOWING_ASK and at the deadline. */
bool following_next(struct following *f, uint64_t now_ns, struct following_request *out);
uint64_t following_deadline(const struct following *f);

struct following_batch {
    int64_t base, end; /* offsets: first, and behind the last */
    int32_t epoch;
};

/* The leader's answer, or ERR_... of the way there. */
struct following_answer {
    uint64_t ticket;
    int error;
    bool diverges;
    struct replication_end diverging;
    int64_t high_watermark, log_start;
    const struct following_batch *batches;
    uint32_t batch_count;
};
void following_answer(struct following *f, uint64_t now_ns, const struct following_answer *a,
                      struct following_effect *out);

/* The batches of FOLLOWING_APPEND are in the log, or those before `log->end`; none: asked for later, and later each
 * time: it may be one that this node has no room for. */
void following_appended(struct following *f, uint64_t now_ns, const struct following_log *log,
                        struct following_effect *out);

/* More of the log counts. */
void following_flushed(struct following *f, uint64_t now_ns, int64_t counted,
                       struct following_effect *out);

/* The start is durable, which FOLLOWING_START asked for. */
void following_kept(struct following *f, uint64_t now_ns, int64_t start,
                    struct following_effect *out);

/* The cut cannot be made: what it has to read is damaged, or may not be cut. */
void following_unreadable(struct following *f, uint64_t now_ns, int64_t counted,
                          struct following_effect *out);

/* The cut is durable, and the log as it says: not behind what was asked for. */
void following_cut(struct following *f, uint64_t now_ns, const struct following_log *log,
                   struct following_effect *out);

/* There was no room for the cut now, and nothing has gone: it is asked again a little later. counted: as in
 * following_flushed(), which does not tell during a cut. */
void following_uncut(struct following *f, uint64_t now_ns, int64_t counted,
                     struct following_effect *out);

/* A storage error (P35). */
void following_fail(struct following *f, struct following_effect *out);
