/* SPDX-License-Identifier: Apache-2.0 */

/* fetch: what fetch.c (the request, its rounds and its answer) and fetch_read.c (what happens at a
 * partition's home) share.
 *
 *     handle_fetch --> round: every share reads what it has --> enough, error, or time up? answer
 *                          |        ^                              | no
 *                          |        |                              v
 *                          |        '--moved, or cancelled-- round: every share watches its partitions
 *                          '--> a share that finds nothing watches at once, where the fetch may wait
 *
 * A fetch of a follower (broker/replica) reads up to the end of the log and tells what it has; what it gets, and
 * whether it waits, the leader's core says (partition_fetch(), partition_review()). Its answer may overtake others of
 * its connection.
 *
 * A share that watches comes back with what it has read when one of its partitions has moved; the
 * others are then cancelled. Slices that are not sent are let go at the start of the next round.
 *
 * Slices belong to the home shard. They are lent to the request's shard in a struct loan of the
 * home's heap: on the own shard the references are handed over as they are; another shard counts
 * its use of them in loan->buffer, and the last one posts the loan home, where the slices are
 * released. */
#pragma once

#include "api/fetch_session.h"
#include "api/request.h"

struct loan {
    struct io_message message; /* on its way home */
    struct buffer buffer;      /* the other shard's references */
    struct api *home, *user;
    uint32_t count, capacity;
    struct slice slices[];
};

struct fetch_part {
    struct part part;
    const struct fetch_request_partitions *asked;
    struct session_partition *session; /* or NULL */
    struct wire_string name;           /* as asked, for the answer */
    struct uuid id;
    uint32_t group; /* parts of one topic of the answer follow each other and have one number */
    bool refused;   /* `error` was found before anything was asked of a shard */

    /* Of the home shard while the share is away. */
    struct partition_waiter waiter;
    bool moved; /* has to be read */
    bool retry; /* a budget was used up: the same again a little later */
    int error;
    int64_t high_watermark, log_start; /* -1: not known */
    int64_t held; /* of a follower's, what all replicas have; -1: it need not know */
    bool diverges;
    int32_t diverging_epoch;
    int64_t diverging_end;
    int32_t nearest;             /* the replica that the consumer should read instead; -1: none */
    bool told;                   /* of a follower's: the leader has been told what it says */
    bool answers;                /* likewise: it is answered, also without bytes */
    struct leading_fetch follow; /* likewise */
    uint32_t size, slice_first, slice_count; /* in the share's loan */
    bool gaps;                               /* offsets are left out where that comes from */
};

struct fetch_share {
    struct share share;
    /* Of the request's shard while the share is there: what this round is to do. */
    uint32_t budget;
    bool watch;
    bool reads_first; /* and watches only if it finds nothing: without a way back between the two */
    /* Of the request's shard. */
    bool cancelling;   /* the message is away */
    bool cancel_again; /* and may come too early for the watch that is on now */
    struct io_message cancel;
    /* Of the home shard while the share is away. */
    struct log_read read;
    struct fetch_part *reading;
    struct loan *loan;
    bool has_data, watching;
    bool stays;          /* it watches when it has read and found nothing */
    struct io_turn turn; /* partitions have moved in this turn */
};

enum fetch_state { FETCH_READING, FETCH_WATCHING, FETCH_RETRYING, FETCH_OVER };

struct fetch {
    struct api_request *request;
    struct fetch_request q;
    struct fetch_part *parts;
    uint32_t part_count;
    struct spread spread;
    struct fetch_session *session;
    bool incremental;
    int32_t follower; /* the broker that copies; -1: a consumer reads */
    int64_t follower_epoch;
    enum fetch_state state;
    bool hurry;      /* time is up, or the broker stops: answer with what there is */
    bool gone;       /* nobody waits for the answer */
    uint32_t budget; /* bytes of this round */
    uint64_t expires_ns;
    struct deadline deadline;
    struct list link; /* in api->fetches */
};

static inline struct fetch_share *fetch_share_of(struct share *s)
{
    return container_of(s, struct fetch_share, share);
}

/* fetch_nearest.c: the replica in the consumer's rack that it should read in place of this leader (KIP-392); -1: it is
 * in the right place. */
int32_t fetch_nearest(const struct fetch *f, const struct fetch_part *part, const struct api *home);

/* fetch_follow.c: what a follower's fetch gets of a partition now: partition_fetch() or partition_review(). */
void fetch_follow(struct fetch *f, struct fetch_part *part, struct partition *p);

/* spread.start: the share's part of a round, on the home shard. */
void fetch_share_start(struct share *s);

/* From the request's shard: ends a watch early, if there is one. */
void fetch_share_cancel(struct fetch *f, struct fetch_share *fs);

/* The slices of a part as they can be sent from the request's shard: each holds a reference that
 * the caller (then the encoder) owns. NULL: no memory, and nothing was taken. */
const struct slice *fetch_part_slices(struct fetch *f, struct fetch_part *part) MUST_CHECK;

/* Lets go of what was not sent, on the request's shard, when no share is away. */
void fetch_share_release(struct fetch *f, struct fetch_share *fs);
