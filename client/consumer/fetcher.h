/* SPDX-License-Identifier: Apache-2.0 */

/* fetcher: the I/O side of a consumer. It finds out where each partition starts, fetches ahead of
 * leat_poll() and leaves the answers, as they came, in a queue of chunks.
 *
 *              assign, seek by meaning                    leader epoch changed
 *     RESOLVING <------------------ FETCHING ------------------------> VALIDATING
 *      ^  |        out of range      ^ ^  ^                                |
 *      |  +------- ListOffsets ------|-+  +---- OffsetForLeaderEpoch ------+
 *      |                             |
 *      +-- nothing committed -- COMMITTED: its group is asked (consumer/group/offsets.c)
 *     any --refusal--> an error in the queue, and the partition is paused
 *
 * Per broker one Fetch, one ListOffsets and one OffsetForLeaderEpoch may be under way. A partition
 * is fetched while what is queued of it is small; what is queued altogether stays below
 * buffer_bytes, but for the answers that are under way.
 *
 * Invariants
 *   F1  Chunks of a partition are queued in the order of their offsets, without a gap.
 *   F2  A seek changes the partition's generation: what was asked under an older one is dropped.
 *   F3  Everything in a struct consumer_partition is touched inside the consumer's gate. */
#pragma once

#include "consumer/reader.h"
#include "core/core.h"

enum consumer_state {
    PARTITION_COMMITTED,
    PARTITION_RESOLVING,
    PARTITION_VALIDATING,
    PARTITION_FETCHING,
};

struct consumer_partition {
    struct list link;      /* of fetcher->assigned or ->retired */
    struct list node_link; /* while a round is put together */
    struct topic *meta;    /* the I/O side's; NULL: not looked up yet */
    int32_t partition;
    enum consumer_state state;
    bool paused;
    bool in_flight;
    bool removed;        /* from the assignment */
    bool revoking;       /* the group takes it: neither fetched nor handed out any more */
    bool asked;          /* the group's offset of it: COMMITTED */
    uint32_t generation; /* F2 */
    unsigned references; /* by requests, chunks and the reader */
    int64_t position;    /* what leat_poll() hands out next; < 0: not known yet */
    int64_t done;        /* what the caller is done with: the position before the latest view, which
                            is what may be committed for him; -1: not known yet */
    int64_t committed;   /* the latest commit that was acknowledged, or -1 */
    int32_t position_epoch, done_epoch; /* leader epochs of the records before, or -1 */
    int64_t want;                       /* LEAT_EARLIEST, _LATEST, _AT_TIME: while RESOLVING */
    int64_t timestamp_ms;
    int64_t fetch_offset;
    int32_t fetched_epoch; /* leader epoch of the last batch fetched, -1 */
    int32_t
        validated_epoch; /* the partition's leader epoch under which fetched_epoch was found good */
    int32_t nearest;     /* the replica that its leader sends us to (KIP-392), or -1 */
    uint64_t nearest_end_ns; /* then the leader is asked again */
    uint64_t queued_bytes;
    unsigned failures;
    uint64_t not_before_ns;
    char topic[];
};

/* What one Fetch brought: the frame and the pieces of it. */
struct fetched {
    struct list link; /* of fetcher->returned */
    struct frame *frame;
    unsigned references; /* chunks not read yet */
};

/* What came for one partition; without data an error. */
struct chunk {
    struct list link;
    struct consumer_partition *partition;
    struct fetched *fetched; /* NULL for errors */
    struct bytes data;
    int64_t offset; /* where reading begins */
    int64_t next;   /* behind its last batch */
    struct aborted *aborted;
    size_t aborted_count;
    leat_error error;
};

struct fetcher {
    struct core *core;
    struct gate *gate;
    struct memory *heap; /* partitions and chunks; in the gate */
    const leat_consumer_options *options;
    struct core_member member;
    uint32_t lane;
    struct list nodes;
    struct alarm alarm;
    struct io_turn turn;
    struct list ops;   /* struct fetch_op under way */
    unsigned requests; /* how many */
    bool closing, ending;
    void (*closed)(struct fetcher *f);

    /* In the gate: */
    struct list assigned, retired;
    unsigned assigned_count;
    struct list chunks;
    struct list returned; /* struct fetched that nobody reads any more */
    uint64_t queued_bytes;
    bool interrupt; /* a seek: what is waited for at the brokers is out of date */
    void (*arrived)(struct fetcher *f); /* chunks is not empty any more */
};

/* On the I/O thread, as fetcher_wake() and fetcher_close(). */
void fetcher_open(struct fetcher *f, struct core *core, struct gate *gate, struct memory *heap,
                  const leat_consumer_options *options, void (*arrived)(struct fetcher *f));

/* Something in the gate has changed: assignment, position, room. */
void fetcher_wake(struct fetcher *f);

/* Lets go of everything; closed() is called in a later turn. The partitions stay the heap's. */
void fetcher_close(struct fetcher *f, void (*closed)(struct fetcher *f));

/* In the gate, either side: a partition at an offset or a meaning, not assigned yet; NULL without
 * memory. */
struct consumer_partition *partition_new(struct memory *heap, const char *topic, int32_t partition,
                                         int64_t offset, int64_t timestamp_ms);

/* In the gate, either side: by topic, then by number. */
int partition_compare(const struct consumer_partition *a, const struct consumer_partition *b);

/* In the gate, either side: adds partitions, which are in order and not assigned, to the
 * assignment, which is kept in order. */
void fetcher_add(struct fetcher *f, struct consumer_partition *const *parts, size_t count);

/* In the gate, either side: takes a partition out of the assignment. What is queued of it goes; what
 * the caller reads stays until he gives it back. */
void fetcher_remove(struct fetcher *f, struct consumer_partition *p);

/* In the gate, either side: gives the queued chunks of a partition back. */
void fetcher_drop(struct fetcher *f, struct consumer_partition *p);

/* In the gate, either side: the assigned partition, or NULL. */
struct consumer_partition *fetcher_find(const struct fetcher *f, const char *topic,
                                        int32_t partition);

/* In the gate, either side: starts a partition as `reset` says; false for LEAT_RESET_NONE. */
bool partition_reset(struct consumer_partition *p, int32_t reset);

/* In the gate, either side: starts a partition at an offset or a meaning. */
void partition_start(struct consumer_partition *p, int64_t offset, int64_t timestamp_ms);

/* In the gate, either side: gives a chunk back; true when the I/O side should be woken for room. */
bool chunk_return(struct fetcher *f, struct chunk *c);
