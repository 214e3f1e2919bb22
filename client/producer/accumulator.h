/* SPDX-License-Identifier: Apache-2.0 */

/* accumulator: where the caller's records wait for the I/O side.
 *
 *     leat_produce --accumulator_append--> queue of the partition: [ready ... ready] [open]
 *     sender       --accumulator_take----> oldest ready, or the open one when it is due
 *                  --accumulator_settle--> reports, waiters, flush
 *
 * Everything here is touched inside the producer's gate alone. Nothing waits: what cannot be done
 * now is ERR_BUSY, and the caller waits at the gate for an announcement.
 *
 * Invariants
 *   A1  Batches of a queue leave it in the order of their ordinals, and records keep the order of
 *       the calls.
 *   A2  used_bytes, the memory of unsettled batches, never passes options.buffer_bytes, but for one
 *       record that is larger than that alone.
 *   A3  Every batch that was created is settled exactly once.
 *   A4  A full buffer makes every open batch due: what waits for room never waits for lingering. */
#pragma once

#include "base/map.h"
#include "base/prng.h"
#include "core/gate.h"
#include "producer/batch.h"

enum topic_state {
    TOPIC_ASKING, /* the I/O side looks it up */
    TOPIC_KNOWN,
    TOPIC_REFUSED, /* `error` says why; asking again is possible */
};

struct producer_topic {
    struct list link; /* of accumulator->asking, while state is TOPIC_ASKING and not taken */
    struct list all_link;
    enum topic_state state;
    leat_error error;
    int32_t queue_count;
    struct producer_queue **queues; /* by partition */
    int32_t sticky;                 /* the partition of records without key, -1: none yet */
    uint32_t sticky_left;           /* bytes until another is chosen */
    int32_t next;                   /* round robin */
    uint32_t number;                /* of the topic, by age: for sorting */
    struct topic *meta;             /* the I/O side's */
    char name[];
};

/* The batches of one partition. */
struct producer_queue {
    struct producer_topic *topic;
    int32_t partition;
    struct producer_batch *open;
    struct list ready;
    struct list active_link; /* of accumulator->active, when the sender has to look at it */
    bool small;              /* its batches stay small */

    /* The I/O side's, outside the gate: */
    struct list node_link;        /* of a sender's node, or alone */
    int32_t leader;               /* written inside the gate */
    struct list in_flight, retry; /* by sequence */
    unsigned in_flight_count;
    unsigned again_count; /* of them not for the first time */
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t next_sequence;
    bool established; /* a batch under producer_id has been acknowledged */
    bool recovering;  /* waits for its answers in flight before it sends again */
    bool broken;      /* a sequence number was given up: a new id is needed */
    unsigned failures;
    uint64_t not_before_ns;
};

struct spare_block;

struct accumulator {
    struct gate *gate;
    struct memory *memory;
    const leat_producer_options *options;
    uint64_t (*clock)(void); /* of io_now() */
    struct prng prng;
    struct map topics;
    struct list all_topics;
    struct producer_topic *latest; /* of the previous append */
    uint32_t topic_count;

    struct list asking; /* topics for the sender to look up */
    struct list active; /* queues for the sender to look at */
    bool wake;          /* the sender has to be woken: read and cleared by whoever wakes it */
    bool starved;       /* somebody waits for room */
    bool closing;
    unsigned flushing; /* callers in leat_flush() */

    uint64_t ordinal;
    struct list unsettled; /* batches by ordinal */
    size_t unsettled_records;
    size_t used_bytes;
    struct spare_block *spares; /* blocks of options.batch_bytes */
    unsigned spare_count;

    struct list reports; /* settled batches with something to report */
    uint64_t report_records;
    uint64_t reports_dropped;
    uint32_t report_position;    /* in the first of them */
    struct producer_batch *told; /* reported: their messages are lent until the next call */
    leat_error failure;          /* the first since the last flush */
    leat_error fatal;            /* code 0: none */
};

/* `clock` gives the time of io_now() on the appending side. */
void accumulator_init(struct accumulator *a, struct gate *gate, struct memory *memory,
                      const leat_producer_options *options, uint64_t (*clock)(void), uint64_t seed);

/* Frees everything; nothing is unsettled. */
void accumulator_deinit(struct accumulator *a);

/* Appends a record, whose fields were checked. 0 and *batch, for tags and waiters; ERR_BUSY: no
 * room, or the topic is still being looked up; its refusal; ERR_UNKNOWN_TOPIC_OR_PARTITION;
 * ERR_NO_MEMORY. `tag` NULL: no report. */
int accumulator_append(struct accumulator *a, const leat_record *r, int64_t now_ms, void *tag,
                       struct producer_batch **batch, leat_error *e) MUST_CHECK;

/* Makes a batch go without lingering. */
void accumulator_hurry(struct accumulator *a, struct producer_batch *b);

/* Makes all open batches go. */
void accumulator_hurry_all(struct accumulator *a);

/* For the sender: the next batch of a queue that is due at `now_ns`, or NULL; then *due_ns is when
 * the open one will be, UINT64_MAX without one. */
struct producer_batch *accumulator_take(struct accumulator *a, struct producer_queue *q,
                                        uint64_t now_ns, uint64_t *due_ns);

/* The partitions of a topic are `count` from now on; it never shrinks. ERR_NO_MEMORY. */
int accumulator_topic_known(struct accumulator *a, struct producer_topic *t,
                            int32_t count) MUST_CHECK;
void accumulator_topic_refused(struct accumulator *a, struct producer_topic *t,
                               const leat_error *error);

/* The batch is delivered or given up, as b->error says; it belongs to the accumulator again. Its
 * packed bytes are freed before. */
void accumulator_settle(struct accumulator *a, struct producer_batch *b);

/* Moves up to `max` reports out. The batches that they came from live until the next call. */
size_t accumulator_reports(struct accumulator *a, leat_report *out, size_t max);

/* A caller no longer waits for its record. */
void accumulator_forget(struct producer_batch *b, struct producer_waiter *w);
