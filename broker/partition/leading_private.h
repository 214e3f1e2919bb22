/* SPDX-License-Identifier: Apache-2.0 */

/* What the files of the leader's side share. Private.
 *
 * leading.c: life, images, fetches, the high watermark, acknowledgements. leading_isr.c: who joins and who is
 * ejected, and the AlterPartition that is in flight for it. */
#pragma once

#include "partition/leading.h"

enum { LEADING_MAGIC = 0x6c656164 };

/* Another replica, in its place of the image's list; the leader has its place too, unused. */
struct leading_follower {
    int32_t node;
    bool eligible;
    bool told;  /* it has fetched in this leader epoch, under its broker epoch */
    bool waits; /* its newest fetch for records does, unless its time was up */
    int64_t broker_epoch;
    int64_t proposed_epoch; /* of the broker, when the proposal in flight was made */
    int64_t counted;        /* -1: nothing is */
    int64_t log_start;      /* that it has told, -1: nothing */
    uint32_t start_answers; /* told to it since the log's start has moved */
    uint64_t arrival;       /* of its newest fetch for records */
    int64_t target;         /* the leader's counted end at its last fetch, */
    uint64_t fetched_ns;    /* and when that was */
    uint64_t caught_up_ns;  /* the latest time at which the leader had no more than it has now */
    uint64_t progressed_ns; /* its counted end has risen */
    uint64_t steady_ns;     /* since then it has been close behind the leader, 0: it is not */
    uint64_t ejected_ns;    /* 0: never by this leader */
    uint64_t probation_ns;  /* how long it has to be steady before it joins */
    uint64_t barred_ns;     /* the controller has refused it: not before */
};

struct leading {
    uint32_t magic;
    uint32_t capacity;
    struct leading_options options;
    bool serving; /* until another leads */
    uint64_t now_ns, ticked_ns;

    int32_t epoch, partition_epoch;
    int64_t epoch_start; /* LESO */
    struct leading_log log;
    int64_t high_watermark;
    uint32_t min_isr;
    bool recovering; /* a proposal is due for that alone */
    bool was_enough, was_ready;

    uint32_t isr, maximal; /* bits by place: committed; with all that may become so */
    uint32_t self;         /* the leader's bit */
    bool altering;         /* a proposal is in flight: */
    uint32_t proposed;
    uint32_t before; /* what was waited for before it was made */
    uint32_t copies; /* sent of it */
    uint64_t ticket, altered_ns;
    uint64_t alter_after_ns; /* no proposal before */

    uint64_t arrivals;
    uint32_t count;
    struct leading_follower followers[];
};

static inline uint32_t bits(uint32_t set)
{
    return (uint32_t)__builtin_popcount(set);
}

/* --- leading.c -------------------------------------------------------------------------------- */

/* Every event begins with it. */
void leading_enter(struct leading *l, uint64_t now_ns);
struct leading_follower *leading_follower_of(struct leading *l, int32_t node);
bool leading_is_ready(const struct leading *l);
/* The sets have changed: the watermark, whether enough are in sync. */
unsigned leading_settle(struct leading *l);

/* --- leading_isr.c ---------------------------------------------------------------------------- */

/* A new committed set under a newer partition epoch: nothing that was proposed before can come any more. */
void isr_commit(struct leading *l, uint32_t isr, int32_t partition_epoch);
/* Who has stalled is proposed out, who has caught up in. */
unsigned isr_decide(struct leading *l);
void isr_fetched(struct leading *l, struct leading_follower *f, int64_t counted);
uint64_t isr_deadline(const struct leading *l);
