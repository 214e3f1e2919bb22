/* SPDX-License-Identifier: Apache-2.0 */

/* leading: the leader's side of one partition's replication.
 *
 * What followers hold, how far all in sync have come, who is in sync, and what a follower's fetch gets. A
 * pure core: (state, event, now) -> effects. It sees no bytes, no clock, no disk and no network; its driver
 * carries the effects out and reports what has become of them.
 *
 *     SERVING --leading_apply: another leads, leading_resign--> ENDED
 *           \--leading_apply: the same leader, a newer epoch--> SERVING, nothing counted
 *
 *     in sync: committed ISR --decide--> proposed, one AlterPartition in flight
 *        ^                                  | an image: the partition epoch has moved
 *        '----------------------------------'  silence: the same again; rejection: see P19
 *
 * Invariants (RELIABILITY 3.1; asserted here, checked over whole partitions by tests/sim/replica_*.c)
 *   P2   Leader epoch and partition epoch never fall.
 *   P6   What a follower tells counts in this leader epoch and for its current broker epoch, and only if its
 *        log continues this one.
 *   P7   The high watermark is the smallest counted end of the maximal in-sync set, the leader's included;
 *        it rises only if the committed set has min(min.insync.replicas, replicas), and never falls.
 *   P8   leading_admit() before an append, leading_acked() behind it.
 *   P17  The leader's log is not truncated; where it ended at the start of its epoch (LESO) stays known.
 *   P18  Who joins has everything below the high watermark and LESO, told in this epoch by the broker that
 *        the image knows and calls eligible.
 *   P19  One AlterPartition is in flight. Whatever was proposed under a partition epoch is waited for until
 *        that epoch has passed, or the only copy of the proposal was rejected.
 *   P29  Before the high watermark has reached LESO no latest offset is told.
 *
 * Asked of the controller: a replica that leaves the set comes with a new leader epoch (H8); an AlterPartition
 * that changes nothing moves the partition epoch as well, so that copies of older ones are void.
 *
 * A struct leading belongs to one thread. Nothing allocates. */
#pragma once

#include "partition/replication.h"

struct leading;

enum {
    LEADING_REPLICAS_MAX = 32,
    LEADING_PATIENCE =
        4, /* lag times that a follower has which makes progress without catching up */
};

/* What an event makes necessary: bits, to be carried out before the next event. */
enum leading_effects {
    LEADING_WATERMARK = 1 << 0, /* it has risen: see who waits for an acknowledgement, or to read */
    LEADING_WAKE = 1 << 1,      /* fetches that wait are to be reviewed */
    LEADING_READY = 1 << 2,     /* the own epoch is committed: latest offsets, coordinators (P29) */
    LEADING_SHORT = 1 << 3,   /* too few in sync: NOT_ENOUGH_REPLICAS_AFTER_APPEND for who waits */
    LEADING_ALTER = 1 << 4,   /* leading_proposal() is to be sent */
    LEADING_EPOCH = 1 << 5,   /* a newer epoch of this leader begins at the log's end */
    LEADING_ENDED = 1 << 6,   /* it leads no more: NOT_LEADER_OR_FOLLOWER for who waits */
    LEADING_TRIMMED = 1 << 7, /* leading_trimmed() may say more */
};

struct leading_options {
    int32_t node;
    int64_t broker_epoch;
    uint64_t lag_ns;   /* replica.lag.time.max.ms, more than twice what a fetch waits; 0: 30 s */
    uint64_t alter_ns; /* an AlterPartition without an answer is sent again; 0: 1 s */
    replication_epoch_end_fn *epoch_end;
    const void *log;
    unsigned mutant; /* simulator builds: which rule is left out, 0: none */
};

/* The log as it stands. The counted end and the end never fall while it is led. */
struct leading_log {
    int64_t start, end, counted;
};

struct leading_replica {
    int32_t node;
    int64_t broker_epoch; /* of its registration, -1: none */
    bool
        eligible; /* may join: unfenced, not shutting down, its replica neither damaged nor short */
};

/* What the metadata says of the partition. Borrowed during the call. */
struct leading_image {
    int32_t leader, epoch, partition_epoch;
    const struct leading_replica *replicas; /* at most LEADING_REPLICAS_MAX */
    uint32_t replica_count;
    const int32_t *isr;
    uint32_t isr_count;
    uint32_t
        min_isr; /* what leader and controller agree on: no more than there are replicas to stay */
    bool recovering; /* it was elected uncleanly, and has not said that it is done (P20) */
};

size_t leading_size(uint32_t replicas);

/* `memory` has leading_size(capacity) bytes and is the caller's; capacity >= image->replica_count. The epoch
 * begins at log->end, which the log knows durably before its first record (P17). `high_watermark` is what the
 * replica knew, at most log->counted. Gives effects. */
unsigned leading_init(struct leading *memory, uint32_t capacity,
                      const struct leading_options *options, const struct leading_image *image,
                      const struct leading_log *log, int64_t high_watermark, uint64_t now_ns);

/* The same in larger memory, for an image with more replicas. */
void leading_move(struct leading *memory, uint32_t capacity, const struct leading *old);
uint32_t leading_capacity(const struct leading *l);

/* --- events: each gives effects. `now_ns` never falls ----------------------------------------- */

unsigned leading_tick(struct leading *l, uint64_t now_ns);
/* When leading_tick() should be called next, UINT64_MAX: not before another event. */
uint64_t leading_deadline(const struct leading *l);

/* A new image; image->replica_count <= leading_capacity(). Images come in the order of the metadata. */
unsigned leading_apply(struct leading *l, uint64_t now_ns, const struct leading_image *image);

/* The log has moved: records were appended, became durable, or its start has moved. */
unsigned leading_moved(struct leading *l, uint64_t now_ns, const struct leading_log *log);

/* A follower's fetch. */
struct leading_fetch {
    int32_t node;
    int64_t broker_epoch;
    int32_t epoch;          /* the leader's, as the follower knows it */
    int64_t offset;         /* where its log ends */
    int32_t last_epoch;     /* of its last record, -1: its log is empty */
    int64_t counted;        /* DurableEndOffset, -1: not told */
    int64_t high_watermark; /* that it knows (Fetch v18): -1 none, INT64_MAX does not say */
    int64_t log_start;      /* that is durable there */
    bool records;           /* false: it only tells, and is answered at once */
    /* Set by leading_fetch(): */
    uint64_t arrival;
    int64_t start_seen; /* if it waits, it is answered when the log begins elsewhere */
};

struct leading_answer {
    bool
        waits; /* there is nothing to say yet: leading_review() with each LEADING_WAKE, or time's end */
    int error; /* ERR_NOT_LEADER_OR_FOLLOWER, ERR_FENCED_LEADER_EPOCH, ERR_UNKNOWN_LEADER_EPOCH,
                 * ERR_STALE_BROKER_EPOCH, ERR_OFFSET_OUT_OF_RANGE, ERR_KAFKA_STORAGE_ERROR,
                 * ERR_INVALID_REQUEST */
    bool diverges;
    struct replication_end
        diverging; /* the largest epoch <= the follower's, and where it ends here */
    int64_t high_watermark, log_start;
    int64_t held; /* leading_held() */
    /* Without error and divergence: records from fetch->offset on. */
};

/* What it tells is applied on arrival, also when its answer waits and an older fetch of the same follower
 * does. An older one that waits has its answer then. */
unsigned leading_fetch(struct leading *l, uint64_t now_ns, struct leading_fetch *fetch,
                       struct leading_answer *answer);

/* What a fetch that waits gets now. */
void leading_review(const struct leading *l, const struct leading_fetch *fetch,
                    struct leading_answer *answer);

/* The AlterPartition in flight: whom it names; its LeaderRecoveryState is RECOVERED, for a leader's log needs
 * nothing done to it. `nodes` and `broker_epochs` have room for
 * LEADING_REPLICAS_MAX. */
struct leading_proposal {
    uint64_t ticket;
    int32_t epoch, partition_epoch;
    uint32_t isr_count;
    int32_t nodes[LEADING_REPLICAS_MAX];
    int64_t broker_epochs[LEADING_REPLICAS_MAX];
};
void leading_proposal(const struct leading *l, struct leading_proposal *out);

/* Its answer: 0 when it is in force, or the controller's error, or that of a request that did not reach it. What is
 * in force an image tells. */
unsigned leading_altered(struct leading *l, uint64_t now_ns, uint64_t ticket, int error);

unsigned leading_resign(struct leading *l); /* hands over: the controller elects another */

/* --- questions -------------------------------------------------------------------------------- */

/* Below it every replica, in sync or not, has told in this epoch that it has everything; INT64_MAX: there is no
 * other. */
int64_t leading_held(const struct leading *l);

/* Where the log begins at the earliest, durably, on any replica that lives (P30); -1: one has not told. */
int64_t leading_trimmed(const struct leading *l);

/* Whether records may be appended under `acks`: 0, ERR_NOT_ENOUGH_REPLICAS, ERR_NOT_LEADER_OR_FOLLOWER,
 * ERR_KAFKA_STORAGE_ERROR. */
int leading_admit(const struct leading *l, int16_t acks) MUST_CHECK;

/* Whether records that end at `end` (exclusive) have their acknowledgement: 1 yes, 0 not yet, else
 * ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND, ERR_NOT_LEADER_OR_FOLLOWER or ERR_KAFKA_STORAGE_ERROR, after which
 * the client knows nothing of them. */
int leading_acked(const struct leading *l, int16_t acks, int64_t end) MUST_CHECK;

/* What a producer is told whose sequence has a gap here. He takes ERR_OUT_OF_ORDER_SEQUENCE for "it is not written",
 * and may send it under another id. Before the epoch is committed another in-sync replica may still hold it, and lead
 * with it. */
int leading_gap(const struct leading *l) MUST_CHECK;

/* The latest offset, as ListOffsets tells it: ERR_OFFSET_NOT_AVAILABLE before the epoch is committed. */
int leading_latest(const struct leading *l, int64_t *out) MUST_CHECK;

struct leading_status {
    int32_t epoch, partition_epoch;
    int64_t high_watermark, epoch_start;
    uint32_t isr_count, maximal_count; /* committed; with who is proposed */
    bool serving, ready, enough, altering;
};
struct leading_status leading_status(const struct leading *l);

/* Whether `node` is in the set that the high watermark waits for. */
bool leading_waits_for(const struct leading *l, int32_t node);
/* What counts of a follower, -1: nothing. */
int64_t leading_counted(const struct leading *l, int32_t node);
