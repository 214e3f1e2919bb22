/* SPDX-License-Identifier: Apache-2.0 */

/* What the files of the room share. Private.
 *
 * raft.c: life, effects, messages that wait for a vote. election.c: epochs, votes, roles. leader.c: what
 * voters hold, the high watermark, fetches, reads. follower.c: fetching. history.c: epochs and voters of the
 * log, by offset. members.c: changes of the voters. */
#pragma once

#include "raft/raft.h"

enum { RAFT_MAGIC = 0x72616674 };

/* A rule that is left out, for the simulator to notice. */
enum raft_mutant {
    RAFT_MUTANT_NONE,
    RAFT_MUTANT_VOTE_UNSAVED,     /* R1: messages do not wait */
    RAFT_MUTANT_FETCH_UNFLUSHED,  /* R2: a follower asks for what follows its end, durable or not */
    RAFT_MUTANT_LEADER_UNFLUSHED, /* R2: the leader counts its end */
    RAFT_MUTANT_OLD_EPOCH,        /* R3: a majority is enough */
    RAFT_MUTANT_LOG_BEHIND,       /* R5: votes for any log */
    RAFT_MUTANT_VOTE_TWICE,       /* R1: votes for everybody who asks */
    RAFT_MUTANT_NO_CHECK,         /* R6: leads for ever */
    RAFT_MUTANT_READ_AT_ONCE,     /* R7: a read needs no fetches */
    RAFT_MUTANT_READ_ON_ARRIVAL,  /* R7: any fetch that comes later counts */
    RAFT_MUTANT_CHANGE_TWICE,     /* R8: a change does not wait for the one before */
    RAFT_MUTANT_LEAVER_WAITS,     /* who is being removed does not stand for election */
    RAFT_MUTANT_COUNT,
};

struct raft_epoch {
    int32_t epoch;
    int64_t start;
};

struct raft_voter_set {
    int64_t from; /* offset of the record that put it in force */
    struct raft_voters voters;
};

/* What the log says of itself: always of the whole log, durable or not. */
struct raft_history {
    struct raft_end snapshot; /* the log begins at its offset */
    struct raft_epoch epochs[RAFT_EPOCHS_MAX];
    uint32_t epoch_count;
    bool forgotten; /* epochs between the snapshot's and the first of `epochs` */
    struct raft_voter_set sets[RAFT_VOTER_SETS_MAX];
    uint32_t set_count; /* at least one */
    int64_t end;
};

/* What a leader knows of another replica. */
struct raft_peer {
    struct raft_id id;
    int64_t durable;       /* its end in this epoch, -1: not told yet */
    uint64_t fetched_ns;   /* the last fetch */
    uint64_t caught_up_ns; /* the last one that lacked nothing, 0: none */
    uint64_t begun_ns;     /* BEGIN was sent */
    uint64_t reads;        /* reads that it had been told of when it fetched */
    bool waiting;          /* its fetch is not answered yet: */
    uint64_t ticket, until_ns;
    struct raft_end asked;
    int64_t known_high_watermark;
};

struct raft_held {
    uint64_t vote; /* to be durable before */
    struct raft_message message;
};

struct raft_waiting_read {
    uint64_t sequence;
    int64_t offset;
};

struct raft {
    uint32_t magic;
    struct raft_options options;
    struct prng random;
    uint64_t now_ns;
    bool damaged;

    enum raft_role role;
    struct raft_vote vote;    /* in force; */
    uint64_t vote_durable;    /* the newest sequence that is */
    int32_t leader;           /* of vote.epoch, or RAFT_NOBODY */
    uint64_t deadline_ns;     /* an election, an end of one, a leader that is silent */
    uint64_t patience_ns;     /* with this leader: another of his followers has another */
    int32_t ended;            /* an epoch whose leader has said that it leads no more; -1: none */
    uint64_t heard_ns;        /* the last that a leader of this epoch was heard of, 0: never */
    struct raft_voters asked; /* whom it has asked for a vote, */
    uint32_t granted;         /* and a bit for each that has given it */
    uint64_t ticket;

    struct raft_history log;
    int64_t durable;
    int64_t high_watermark;   /* -1: not known */
    int64_t leader_watermark; /* what the leader has told; some of it may not be here */

    /* A follower's and an observer's. */
    bool fetching; /* asked, not answered */
    bool loading;  /* a snapshot is on its way */
    uint64_t fetch_ticket;
    uint64_t told_reads; /* by this leader */
    uint64_t fetch_ns;   /* when to ask (again) */

    /* A leader's. */
    int64_t epoch_start;
    struct raft_peer peers[RAFT_PEERS_MAX];
    uint32_t peer_count;
    uint64_t reads; /* asked for in this life */
    struct raft_waiting_read reading[RAFT_READS_MAX];
    uint32_t reading_count;

    struct raft_held held[RAFT_HELD_MAX];
    uint32_t held_count;
    struct raft_effect effects[RAFT_EFFECTS_MAX];
    uint32_t effect_count;
};

static inline bool raft_mutated(const struct raft *r, enum raft_mutant mutant)
{
#ifdef LEAT_SIM
    return r->options.mutant == mutant;
#else
    (void)r;
    (void)mutant;
    return false;
#endif
}

static inline bool end_before(struct raft_end a, struct raft_end b)
{
    return a.epoch != b.epoch ? a.epoch < b.epoch : a.offset < b.offset;
}

/* --- raft.c ----------------------------------------------------------------------------------- */

/* NULL is never returned: room is kept for what is not a message. Zeroed but for `kind`. */
struct raft_effect *effect_add(struct raft *r, enum raft_effect_kind kind);
/* A message with sender, epoch and leader filled in. */
struct raft_message message_to(const struct raft *r, enum raft_kind kind, struct raft_id to);
struct raft_message answer_to(const struct raft *r, const struct raft_message *request);
void message_send(struct raft *r, const struct raft_message *m);
void raft_damage(struct raft *r, const char *why);
/* A snapshot may have come from a leader of an epoch in which this replica has never spoken. */
void epoch_of_log(struct raft *r);
/* From the leader of this epoch or a newer one, who says so himself. */
void hear_leader(struct raft *r, const struct raft_message *m);
/* The leader of this epoch has given it up, and never leads it again. */
void leader_gone(struct raft *r);
uint64_t raft_soon(struct raft *r, uint64_t about_ns); /* now, and one to two of it */

/* --- history.c -------------------------------------------------------------------------------- */

struct raft_end history_end(const struct raft_history *h);
const struct raft_voters *history_voters(const struct raft_history *h); /* in force */
int64_t history_voters_from(const struct raft_history *h); /* where those in force stand */
const struct raft_voters *history_voters_before(const struct raft_history *h); /* NULL: not known */
/* How many of the batches continue the log and have room here; they are in it then. */
uint32_t history_append(struct raft_history *h, const struct raft_batch *batches, uint32_t count);
void history_truncate(struct raft_history *h, int64_t offset);
/* Where the largest epoch <= `epoch` ends, epoch -1 at the beginning of all; false: that is not known, for
 * it is older than what the log holds. */
bool history_epoch_end(const struct raft_history *h, int32_t epoch, struct raft_end *out);
void history_begin_at(struct raft_history *h, struct raft_end snapshot); /* the log's front goes */
void history_reset(struct raft_history *h, struct raft_end snapshot,
                   const struct raft_voters *voters);

/* --- election.c ------------------------------------------------------------------------------- */

bool raft_is_voter(const struct raft *r);
/* An epoch that is newer than the own: nobody has this replica's vote in it. */
void epoch_enter(struct raft *r, int32_t epoch);
void become_unattached(struct raft *r);
void become_follower(struct raft *r, int32_t leader);
void election_tick(struct raft *r);
void election_saved(struct raft *r);
void receive_vote(struct raft *r, const struct raft_message *m);
void receive_vote_answer(struct raft *r, const struct raft_message *m);
/* A third one tells who leads the epoch, in which no leader is known here. */
void hear_say(struct raft *r, const struct raft_message *m);
void receive_end(struct raft *r, const struct raft_message *m);

/* --- leader.c --------------------------------------------------------------------------------- */

void leader_begin(struct raft *r);
void leader_end(struct raft *r);
void leader_tick(struct raft *r);
uint64_t leader_deadline(const struct raft *r);
void leader_appended(struct raft *r);
void leader_flushed(struct raft *r);
void receive_fetch(struct raft *r, const struct raft_message *m);
/* Fetches that wait since before then are answered, so that they come again. */
void leader_asks(struct raft *r, uint64_t since_ns);
void leader_hears(struct raft *r, struct raft_id from); /* it is there, as if it had fetched (R6) */
const struct raft_peer *peer_find(const struct raft *r, struct raft_id id);
/* Something of its own epoch is committed. */
bool leader_settled(const struct raft *r);

/* --- follower.c ------------------------------------------------------------------------------- */

void fetch_tick(struct raft *r);
uint64_t fetch_deadline(const struct raft *r);
void fetch_now(struct raft *r);
/* A fetch whose answer is not waited for: whether that node leads. If this log is not durable, none. */
void fetch_probe(struct raft *r, int32_t node);
void receive_fetch_answer(struct raft *r, const struct raft_message *m);
void follower_flushed(struct raft *r);
