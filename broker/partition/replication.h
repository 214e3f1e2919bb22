/* SPDX-License-Identifier: Apache-2.0 */

/* What both sides of a partition's replication share. Private to the room.
 *
 * Counted end (CE): what of a replica's log counts for acknowledgement. For `fsync` topics the durable
 * end, for `memory` topics the end of what outlives the process. The cores are told it and never ask which. */
#pragma once

#include "base/errors.h"
#include "base/uuid.h"

#include <stddef.h>

/* Where the largest epoch <= the one asked for ends. epoch -1: there is none, `offset` is the log's start. */
struct replication_end {
    int32_t epoch;
    int64_t offset;
};

/* log_epoch_end() of the replica's log: *found and the offset behind its last record, -1 and -1 if there is
 * none. It is asked during an event, of the log as that event has told it. */
typedef int64_t replication_epoch_end_fn(const void *context, int32_t epoch, int32_t *found);

/* The tickets of a leader epoch follow this one: a late answer to what was asked in another epoch, by a core that
 * has gone meanwhile, is not taken for one of this. */
static inline uint64_t replication_tickets(int32_t epoch)
{
    return (uint64_t)(uint32_t)epoch << 32;
}

/* A rule that is left out, for the simulator to notice. */
enum replication_mutant {
    REPLICATION_MUTANT_NONE,
    REPLICATION_MUTANT_COUNT_FETCHED,    /* P5: what was asked for counts, flushed or not (H1) */
    REPLICATION_MUTANT_LEADER_UNFLUSHED, /* P7: the leader counts its end */
    REPLICATION_MUTANT_OLD_EPOCH,        /* P6: a fetch of an older leader epoch counts (H5) */
    REPLICATION_MUTANT_OLD_BROKER,       /* P6: so does one of an older broker epoch (H7) */
    REPLICATION_MUTANT_KEEP_COUNTED, /* P6: a new leader epoch keeps what the old one counted (H8) */
    REPLICATION_MUTANT_COMMITTED_ISR,     /* P7: who is only proposed is not waited for (H6) */
    REPLICATION_MUTANT_ROLL_BACK,         /* P19: silence is taken for a rejection (H6) */
    REPLICATION_MUTANT_BELIEVE_REJECTION, /* P19: of one copy, while another may be accepted */
    REPLICATION_MUTANT_TWO_IN_FLIGHT,     /* P19: the next change forgets the one before */
    REPLICATION_MUTANT_ANSWER_FIRST,      /* P27: a set counts before the image that has it */
    REPLICATION_MUTANT_BELOW_MIN,         /* P7: the watermark rises for whoever is there (H2) */
    REPLICATION_MUTANT_ACK_COUNTED,       /* P8: the leader's own disk is enough */
    REPLICATION_MUTANT_ADMIT_SHORT,       /* P8: appended although too few are in sync */
    REPLICATION_MUTANT_JOIN_EARLY,        /* P18: who lacks something committed joins (H10) */
    REPLICATION_MUTANT_JOIN_UNREADY,      /* P18: without what the epoch began with (H9, H10) */
    REPLICATION_MUTANT_LATEST_UNREADY,    /* P29: the end is told before it is known (H9) */
    REPLICATION_MUTANT_NO_DIVERGENCE,     /* P16: the leader does not compare epochs */
    REPLICATION_MUTANT_CUT_AT_WATERMARK,  /* P16: truncated to the own watermark (H3) */
    REPLICATION_MUTANT_CUT_AT_LEADERS,    /* P16: to the leader's end of the epoch alone (H4) */
    REPLICATION_MUTANT_UNCLIPPED,         /* P30: the leader's watermark is the follower's */
    REPLICATION_MUTANT_NEVER_EJECT,       /* a stalled follower is waited for for ever */
    REPLICATION_MUTANT_FLAP,              /* who was ejected joins at its first fetch */
    REPLICATION_MUTANT_FORGIVE_NOTHING,   /* the leader's own pause is its followers' */
    REPLICATION_MUTANT_TELL_LATE,    /* the watermark is told with the next record (KIP-1166) */
    REPLICATION_MUTANT_REPORT_LATE,  /* a follower tells what is durable when it asks for more */
    REPLICATION_MUTANT_LATE_AT_ONCE, /* P8: what is in the log when another leads is acknowledged */
    REPLICATION_MUTANT_HELD_BY_ISR,  /* a tombstone goes though a replica that is away lacks it */
    REPLICATION_MUTANT_START_EARLY,  /* P30: a follower tells of a start that is not durable */
    REPLICATION_MUTANT_TOTAL,
};

#ifdef LEAT_SIM
#define replication_mutated(x, rule) ((x)->options.mutant == (rule))
#else
#define replication_mutated(x, rule) ((void)(x), (void)(rule), false)
#endif
