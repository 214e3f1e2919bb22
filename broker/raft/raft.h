/* SPDX-License-Identifier: Apache-2.0 */

/* raft: who leads the metadata quorum, and how much of its log is committed.
 *
 * The consensus core, and nothing else: (state, event, now) -> effects. It sees no bytes, no clock, no
 * disk and no network; its driver (broker/meta) carries out the effects in their order and reports what
 * has become of them. Replication is by pull, as in KRaft (KIP-595), with PreVote (KIP-996), a quorum
 * check of the leader, and one change of the voters at a time (KIP-853).
 *
 *     UNATTACHED --time is up--> PROSPECTIVE --most would vote--> CANDIDATE --most have voted--> LEADER
 *       ^    ^                    |      ^                         |                              |
 *       |    '--most would not----'      '-------time is up--------'     most have not fetched,   |
 *       |                                                               or a newer epoch is seen  |
 *       |-----------------------------------------------------------------------------------------'
 *       '<--------a newer epoch------- FOLLOWER <---a leader of this epoch or a newer one is heard of
 *
 * Who is not among the voters never leaves UNATTACHED and FOLLOWER, and asks others for the leader; but who was one
 * before a change that is not committed stands for election still, for others may lack that change.
 *
 * Invariants (RELIABILITY 3.2; asserted here, checked over whole clusters by tests/sim/raft*.c)
 *   R1  One leader in an epoch. Epoch and vote are durable before a message that rests on them leaves:
 *       messages wait for RAFT_SAVE_VOTE (M1, M2).
 *   R2  A replica asks for what follows its durable end, so what it asks for tells what it has; the leader
 *       counts its own end when that is durable (M4).
 *   R3  The high watermark never falls, and passes only what a majority of the voters holds, once that
 *       includes something of the leader's own epoch (M5).
 *   R4  Nothing below the high watermark is truncated: whose log asks for that is not followed any more in his epoch
 *       (M7). A forged message may take a replica from its leader, and does not end it.
 *   R5  A vote, and the promise of one, is for a log that is not behind (M8). A promise changes nothing
 *       durable, and is not made while a leader is heard.
 *   R6  A leader that a majority has not fetched from for 1.5 fetch timeouts is none (M9).
 *   R7  A read is confirmed when a majority has fetched after it was asked for, and something of the
 *       leader's own epoch is committed (M10). A fetch that arrives later may have been sent before: it
 *       counts when it repeats what an answer has told of the read.
 *   R8  A change of voters is in force from its append on, undone by truncation, and not followed by
 *       another before it is committed (M15). Votes are given to who asks, also when one's own set does
 *       not know him.
 *
 * A struct raft belongs to one thread. Nothing allocates: all is of fixed size. */
#pragma once

#include "base/errors.h"
#include "base/prng.h"
#include "base/uuid.h"

enum {
    RAFT_VOTERS_MAX = 7,
    RAFT_PEERS_MAX = 64,                    /* replicas that a leader knows, voters among them */
    RAFT_REPLICAS_MAX = RAFT_PEERS_MAX + 1, /* and itself */
    RAFT_EFFECTS_MAX = 160,                 /* between two raft_effects_done() */
    RAFT_HELD_MAX = 64, /* messages that wait for a vote to be durable; further ones are lost */
    RAFT_READS_MAX = 64,
    RAFT_EPOCHS_MAX = 128,   /* of the log; older ones are answered by the snapshot */
    RAFT_VOTER_SETS_MAX = 4, /* that are remembered */
    RAFT_NOBODY = -1,
};

/* A replica: a node and the directory it has its log in (KIP-853). A fetch goes to a node whatever its
 * directory: zero. */
struct raft_id {
    int32_t node; /* RAFT_NOBODY: none */
    struct uuid directory;
};

struct raft_voters {
    uint32_t count;
    struct raft_id ids[RAFT_VOTERS_MAX];
};

/* Where a log ends: the epoch of its last record, -1 when it is empty, and the offset behind it. */
struct raft_end {
    int32_t epoch;
    int64_t offset;
};

/* --- messages --------------------------------------------------------------------------------- */

enum raft_kind {
    RAFT_VOTE, /* and RAFT_VOTE_ANSWER: Vote, with `pre` as PreVote */
    RAFT_VOTE_ANSWER,
    RAFT_BEGIN, /* BeginQuorumEpoch: the sender leads */
    RAFT_END,   /* EndQuorumEpoch: the sender does no longer; its answer says nothing */
    RAFT_FETCH,
    RAFT_FETCH_ANSWER,
};

/* Records of one epoch that follow each other, as the batches of a fetch's answer. */
struct raft_batch {
    int64_t base, end; /* offsets: first, and behind the last */
    int32_t epoch;
    const struct raft_voters *voters; /* that the batch puts in force; NULL: none */
};

struct raft_message {
    enum raft_kind kind;
    struct raft_id from, to;
    uint64_t ticket;     /* of a request, repeated by its answer */
    int32_t epoch;       /* the sender's; a PreVote's as well */
    int32_t leader;      /* of that epoch, as far as the sender knows; else RAFT_NOBODY */
    bool pre;            /* VOTE, VOTE_ANSWER */
    bool granted;        /* VOTE_ANSWER */
    bool preferred;      /* END: who gets it should stand for election at once */
    int error;           /* FETCH_ANSWER: 0 or ERR_... */
    struct raft_end end; /* VOTE: the candidate's log. FETCH: what the replica has, durable */
    uint64_t reads; /* FETCH_ANSWER: asked for so far; FETCH: as the leader's last answer said */
    int64_t
        high_watermark; /* FETCH: that the sender knows, FETCH_ANSWER: the leader's; -1: unknown */
    struct raft_end
        diverging; /* FETCH_ANSWER: largest epoch <= the one asked with; epoch -1: none */
    struct raft_end snapshot; /* FETCH_ANSWER: is to be loaded instead; epoch -1: none */
    /* FETCH_ANSWER with none of the three: records from end.offset on. The leader's driver adds what it
     * has (up to the end of its log, whole batches); the follower's tells here what came. */
    const struct raft_batch *batches;
    uint32_t batch_count;
};

/* --- effects ---------------------------------------------------------------------------------- */

enum raft_effect_kind {
    RAFT_SAVE_VOTE,  /* vote: durable, then raft_voted() with its sequence */
    RAFT_SEND,       /* message; may be lost */
    RAFT_APPEND,     /* the first `count` batches of the answer in hand: then raft_flushed() */
    RAFT_TRUNCATE,   /* offset: the log ends there now */
    RAFT_LEAD,       /* this replica leads: its first record, LeaderChange, by raft_appended() */
    RAFT_FOLLOW,     /* it does not, or no more; `leader` is who does, as far as it is known */
    RAFT_COMMITTED,  /* offset: everything below it is, and is here, durable */
    RAFT_LOAD,       /* the leader's snapshot `end`: then raft_loaded() or raft_load_failed() */
    RAFT_READABLE,   /* reads up to `sequence` may be answered from state of `offset` or later */
    RAFT_UNREADABLE, /* all reads are refused: it does not lead any more */
    RAFT_CONTRADICTED, /* `leader`, whose log has only `end` of what is here, and here everything below `offset` is
                        * committed (-1: it is not known how much). He is followed no more in this epoch */
    RAFT_DAMAGED, /* it cannot go on: `why`; this replica does nothing more */
};

struct raft_vote {
    uint64_t sequence;
    int32_t epoch;
    struct raft_id voted; /* node RAFT_NOBODY: nobody yet */
};

struct raft_effect {
    enum raft_effect_kind kind;
    struct raft_message message;
    struct raft_vote vote;
    struct raft_end end;
    int64_t offset;
    uint64_t sequence;
    uint32_t count;
    int32_t leader;
    const char *why;
};

/* --- the core --------------------------------------------------------------------------------- */

struct raft_options {
    struct raft_id self;
    uint64_t election_ns; /* 1 s: an election is stood for after one to two of these */
    uint64_t
        fetch_ns; /* 2 s: a leader of whom nothing is heard for so long, and a little more, is gone */
    uint64_t wait_ns;  /* 500 ms: a fetch without news is answered after so long */
    uint64_t retry_ns; /* 1 s: a request without an answer is sent anew */
    uint64_t seed;
    bool may_not_vote; /* the vote file was lost: an observer until it is a voter anew (M3) */
    unsigned mutant;   /* simulator builds: which rule is left out, 0: none */
};

/* What is there when a node starts. */
struct raft_start {
    struct raft_vote vote;
    struct raft_end snapshot;         /* what the log begins behind; epoch -1, offset 0: nothing */
    struct raft_voters voters;        /* of the snapshot, or those that the node was founded with */
    const struct raft_batch *batches; /* of the log, all durable */
    uint32_t batch_count;
};

enum raft_role {
    RAFT_UNATTACHED,
    RAFT_FOLLOWER,
    RAFT_PROSPECTIVE,
    RAFT_CANDIDATE,
    RAFT_LEADER,
};

struct raft;

size_t raft_size(void);

/* `memory` has raft_size() bytes and is the caller's. Call raft_tick() next. ERR_DAMAGED: the batches do not
 * follow each other. */
int raft_init(struct raft *memory, const struct raft_options *options,
              const struct raft_start *start, uint64_t now_ns) MUST_CHECK;

/* Effects since the last raft_effects_done(), in order, to be carried out before the next event. */
const struct raft_effect *raft_effects(const struct raft *r, uint32_t *count);
void raft_effects_done(struct raft *r);

/* When raft_tick() should be called next, UINT64_MAX: not before another event. */
uint64_t raft_deadline(const struct raft *r);

/* Whether a message of epoch `other` is not believed by a replica in `own`: elections do not lead so far ahead, and the
 * last epoch has no successor. Whoever entered one that a stranger has made up would take all others along. */
enum { RAFT_EPOCH_LEAP_MAX = 1 << 20 };
static inline bool raft_leaps(int32_t own, int32_t other)
{
    return (int64_t)other - own > RAFT_EPOCH_LEAP_MAX;
}

/* Events. `now_ns` never falls. A message that leaps (raft_leaps()) is as if it had been lost. */
void raft_tick(struct raft *r, uint64_t now_ns);
void raft_receive(struct raft *r, uint64_t now_ns, const struct raft_message *m);
void raft_voted(struct raft *r, uint64_t now_ns, uint64_t sequence);
/* The log is durable up to `offset`. */
void raft_flushed(struct raft *r, uint64_t now_ns, int64_t offset);
/* The leader has put records behind its log, which ends at `end` now. `voters` are put in force by them,
 * NULL: none. Only while it leads, and only what raft_change() allowed. */
void raft_appended(struct raft *r, uint64_t now_ns, int64_t end, const struct raft_voters *voters);
/* A snapshot up to `end` is durable here, taken of committed state: the log may begin there. */
void raft_snapshot_taken(struct raft *r, struct raft_end end);
/* The snapshot of RAFT_LOAD stands for the log, which is empty and begins at its end. */
void raft_loaded(struct raft *r, uint64_t now_ns, struct raft_end end,
                 const struct raft_voters *voters);
void raft_load_failed(struct raft *r, uint64_t now_ns);
/* A piece of a snapshot was asked for in `epoch`, or has come: the leader and who loads do not fetch and answer
 * meanwhile, and hear of each other by that. `from` is the other one; of a leader the node alone counts. */
void raft_heard(struct raft *r, uint64_t now_ns, struct raft_id from, int32_t epoch);

/* The connection to `node` has broken; or, `refused`, it had, and nobody listens there any more: the process has died,
 * or does not tell. Who follows it asks at once, or stands for election soon, as after a long silence. Once for each
 * connection that was there, else two that do not reach each other would try for ever. */
void raft_lost(struct raft *r, uint64_t now_ns, int32_t node, bool refused);

/* The voters after adding or removing one, for the record that raft_appended() puts in force.
 * ERR_NOT_CONTROLLER: it does not lead; ERR_BUSY: an earlier change, or the leader's first record, is not
 * committed; ERR_EXISTS, ERR_NOT_FOUND; ERR_TOO_LARGE: RAFT_VOTERS_MAX; ERR_REPLICA_NOT_AVAILABLE: the new
 * one has not caught up; ERR_INVALID_ARGUMENT: the last one cannot go; ERR_NOT_ENOUGH_REPLICAS: most of those that
 * would remain do not fetch, so that the change could not be committed. */
int raft_change(const struct raft *r, uint64_t now_ns, bool add, struct raft_id id,
                struct raft_voters *out) MUST_CHECK;

/* Whether most of the voters but `id` have fetched since then; if not, they are made to fetch. To be
 * asked before `id` is removed: a removal that needs one who was lost a moment ago is never
 * committed, and never undone. True where raft_change() finds another reason. */
bool raft_remaining(struct raft *r, uint64_t now_ns, struct raft_id id,
                    uint64_t since_ns) MUST_CHECK;

/* Whether the voters may be changed now: 0, ERR_NOT_CONTROLLER or ERR_BUSY. */
int raft_may_change(const struct raft *r) MUST_CHECK;

/* Asks for a linearizable read: RAFT_READABLE with at least *sequence follows, or RAFT_UNREADABLE.
 * ERR_NOT_CONTROLLER: it does not lead; ERR_BUSY: nothing of its epoch is committed yet, or too many. */
int raft_read(struct raft *r, uint64_t now_ns, uint64_t *sequence) MUST_CHECK;

/* Gives up leading, in favour of the voter that has most of the log. Nothing when it does not lead. */
void raft_resign(struct raft *r, uint64_t now_ns);
/* The same in favour of a voter, if `node` is another one; if its log is behind, others are elected. */
void raft_yield(struct raft *r, uint64_t now_ns, int32_t node);

struct raft_status {
    enum raft_role role;
    int32_t epoch;
    int32_t leader; /* RAFT_NOBODY: not known */
    struct raft_end end;
    int64_t durable, high_watermark;  /* high watermark -1: not known since the start */
    int64_t epoch_start;              /* of a leader */
    const struct raft_voters *voters; /* of the core, until its next step */
    bool voter, damaged;
};
struct raft_status raft_status(const struct raft *r);

/* What is asked for most of it: who leads in which epoch. RAFT_NOBODY: not known. */
struct raft_leadership {
    int32_t epoch, leader;
};
struct raft_leadership raft_leadership(const struct raft *r);

/* What a leader knows of a replica. A time is 0 when the replica has not fetched in this epoch. */
struct raft_replica {
    struct raft_id id;
    bool voter;
    int64_t end; /* its log's, as its last fetch told, durable; -1: not told in this epoch */
    uint64_t fetched_ns;   /* its last fetch */
    uint64_t caught_up_ns; /* the last one that lacked nothing */
};

/* The leader itself first, as of now, then the others: the count, 0 when it does not lead. */
uint32_t raft_replicas(const struct raft *r, uint64_t now_ns,
                       struct raft_replica out[static RAFT_REPLICAS_MAX]);

bool raft_id_equal(struct raft_id a, struct raft_id b);
bool raft_voters_have(const struct raft_voters *v, struct raft_id id);
