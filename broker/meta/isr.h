/* SPDX-License-Identifier: Apache-2.0 */

/* isr: what becomes of one partition when something happens: its leader, its in-sync replicas, its
 * eligible leaders (KIP-966), its replicas in motion. Pure: (partition, brokers, configuration,
 * event) -> the partition that follows, or a refusal with Kafka's error. No clock, no memory.
 *
 * Who may lead, and why nothing acknowledged is lost by it (RELIABILITY 3.1):
 *
 *     ISR      hold every acknowledged record; what they all hold durably is acknowledged
 *     ELR      left the ISR when it was, or became, smaller than min.insync.replicas: from then on
 *              nothing more is acknowledged, so they hold everything too (P22)
 *     last     were eligible and then told that they have lost something: never elected by
 *     known    themselves, only by the operator, by unclean.leader.election.enable, or by
 *              isr_recover() after their ends were compared (H11); who has come with an empty
 *              directory is none of them: where its log ends says nothing of what was acknowledged
 *
 *     a member is fenced ------> out of the ISR, into the ELR if the ISR is now below the minimum
 *     the leader is gone ------> first in-sync replica; ISR empty: first eligible one, alone in
 *                                sync; else nobody leads (P26)
 *     a member lost data ------> out of ISR and ELR before it may speak again (P23)
 *     the ISR is large enough -> ELR and last known are emptied: leaders go on without them
 *
 * Invariants, asserted by isr_check() after every change
 *   K1  A fenced, unknown or damaged broker is in no ISR; ISR, ELR and last known do not meet and
 *       are among the replicas; with a full ISR the other two are empty (P21).
 *   K2  There is a leader if and only if the ISR is not empty, and it is in it.
 *   K3  |ISR u ELR| does not fall below the minimum, or below what it was when a raised minimum had
 *       put it there, but for lost data and unclean elections (P22).
 *   K4  Any change begins the next partition epoch; another leader, another set of replicas or
 *       directories, and any unclean election, also of the same leader, begin the next leader epoch (P2, H8).
 *   K5  A leader that was elected uncleanly is alone in the ISR until it says it is done (P20).
 *   K6  A replica that is being added is put into the ISR by its leader alone; those that go stay
 *       until all that come are in sync and enough (P28). */
#pragma once

#include "base/errors.h"
#include "meta/isr_member.h"
#include "meta/topic.h"

static_assert((int)ISR_REPLICAS_MAX == (int)NODE_LIST_MAX, "an image holds what is decided");

/* Builds of the simulator leave a rule out; 0: none. */
enum isr_mutant {
    ISR_MUTANT_FENCED_STAYS = 1, /* a fenced broker stays in the ISR */
    ISR_MUTANT_NO_ELR,           /* who leaves a small ISR is forgotten (H2) */
    ISR_MUTANT_ANY_BROKER_EPOCH, /* a member of another life joins (H7) */
    ISR_MUTANT_ANY_CHANGE,       /* the partition epoch is not compared (H6) */
    ISR_MUTANT_LAST_LEADER,      /* who was last eligible is elected by itself (H11) */
    ISR_MUTANT_OLD_ELR,          /* a full ISR keeps its ELR (H12) */
    ISR_MUTANT_LOST_STAYS,       /* who lost data stays eligible (P23) */
    ISR_MUTANT_SAME_EPOCH,       /* other replicas, but the same leader epoch (H8) */
    ISR_MUTANT_EARLY_SHRINK,     /* replicas go before enough are in sync (P28) */
    ISR_MUTANT_ADDED_AT_ONCE,    /* the controller puts new replicas into the ISR (P28) */
    ISR_MUTANT_ELR_FIRST,        /* an eligible replica is elected beside in-sync ones (P26) */
    ISR_MUTANT_DAMAGED_LEADS,    /* an unclean election takes a damaged replica */
    ISR_MUTANT_RECOVERING_GROWS, /* others join a leader that is not done (P20) */
    ISR_MUTANT_FENCED_LEADS,     /* a fenced replica is elected */
    ISR_MUTANTS
};

struct isr_broker {
    int32_t id;
    int64_t epoch;
    bool fenced, shutting_down;
};

struct isr_rules {
    const struct isr_broker *brokers; /* rising by id; who is not there counts as fenced */
    uint32_t broker_count;
    int32_t min_isr; /* min.insync.replicas of the topic */
    bool unclean;    /* unclean.leader.election.enable of the topic */
    bool memory; /* durability=memory: what machines take with them is no reason to wait for ever */
    unsigned mutant;
};

struct isr_set {
    int32_t ids[ISR_REPLICAS_MAX];
    int32_t count;
};

struct isr_state {
    int32_t leader, leader_epoch, partition_epoch;
    int32_t unclean_epoch; /* the newest leader epoch that began uncleanly, -1: none */
    bool recovering;
    bool placed;  /* directories are known */
    bool unclean; /* out: this event elected a leader that may lack what was acknowledged */
    bool chosen;  /* of a reassignment: somebody says by it how many replicas the topic has */
    struct isr_set replicas, isr, elr, last_known, adding, removing, damaged;
    struct uuid directories[ISR_REPLICAS_MAX];
};

/* What a leader asks for: AlterPartition. */
struct isr_request {
    int32_t sender;
    int32_t leader_epoch, partition_epoch;
    bool recovering;
    const struct isr_member *members;
    int32_t member_count;
};

/* Where the log of a replica ends, as it was inspected. */
struct isr_end {
    int32_t broker;
    int64_t broker_epoch; /* when it told it */
    int32_t epoch;        /* of its last batch, -1: none */
    int64_t offset;
};

const struct isr_broker *isr_find_broker(const struct isr_rules *r, int32_t id);
bool isr_has(const struct isr_set *s, int32_t id);
/* As image_partition_min_isr(). */
int32_t isr_minimum(const struct isr_rules *r, const struct isr_state *s);

/* `p` is what the image holds, which is sound (edit.h). */
void isr_read(struct isr_state *s, const struct image_partition *p);

/* The partition that begins with these replicas, which are known brokers, at least one of them
 * active. */
void isr_new(const struct isr_rules *r, struct isr_state *s, const int32_t *replicas,
             int32_t count);

/* --- events -----------------------------------------------------------------------------------
 *
 * Each makes of *s the partition that follows, which may be the same. 0 or a refusal, and then *s
 * is what it was. ERR_UNKNOWN_SERVER_ERROR: an epoch has no successor. */

/* Brokers or configuration have changed. */
int isr_settle(const struct isr_rules *r, struct isr_state *s) MUST_CHECK;

/* In the order in which they are looked for, as Kafka: ERR_NOT_CONTROLLER (the leader knows more
 * than this controller), ERR_FENCED_LEADER_EPOCH, ERR_INVALID_REQUEST, ERR_INVALID_UPDATE_VERSION,
 * ERR_INELIGIBLE_REPLICA. That the sender's broker epoch is current has been checked. What is
 * accepted begins the next partition epoch, also when nothing else changes: a copy of an older
 * request that is still on its way is void then. */
int isr_alter(const struct isr_rules *r, struct isr_state *s,
              const struct isr_request *request) MUST_CHECK;

/* ElectLeaders: ERR_ELECTION_NOT_NEEDED, ERR_PREFERRED_LEADER_NOT_AVAILABLE. */
int isr_elect_preferred(const struct isr_rules *r, struct isr_state *s) MUST_CHECK;
/* ERR_ELECTION_NOT_NEEDED, ERR_ELIGIBLE_LEADERS_NOT_AVAILABLE. Clean if that is possible. `ends`: of all that are
 * there, or none (`count` 0): the longest leads, else one that was eligible last, or any other, a damaged one last. */
int isr_elect_unclean(const struct isr_rules *r, struct isr_state *s, const struct isr_end *ends,
                      int32_t count) MUST_CHECK;

/* Nobody is eligible, and ends of those that were, and of other replicas, are known: the longest leads, a sound one
 * before a damaged one of the same length. A damaged one does not count as such any more: what of it can be read is all
 * there is. As many of those that were eligible last as the minimum says must be there, or all; of a `memory` topic any
 * when the time to wait for them is over (`patient`). ERR_ELECTION_NOT_NEEDED, ERR_ELIGIBLE_LEADERS_NOT_AVAILABLE. */
int isr_recover(const struct isr_rules *r, struct isr_state *s, const struct isr_end *ends,
                int32_t count, bool patient) MUST_CHECK;

/* Of a replica that may lead, and of the present life of its broker: in another one it may have been longer than what
 * is there now. */
bool isr_end_counts(const struct isr_rules *r, const struct isr_state *s, const struct isr_end *e);

/* A replica has told that its data does not check (`damaged`), or ends before what it has
 * acknowledged. */
int isr_lost(const struct isr_rules *r, struct isr_state *s, int32_t broker,
             bool damaged) MUST_CHECK;
/* ... that its data checks again. It is not in sync by that. */
int isr_repaired(const struct isr_rules *r, struct isr_state *s, int32_t broker) MUST_CHECK;
/* The broker's data is in this directory. If it was in another, what that held is lost (H14). */
int isr_moved(const struct isr_rules *r, struct isr_state *s, int32_t broker,
              struct uuid directory) MUST_CHECK;

/* Other replicas, `directories` (NULL: unknown) in their order: ERR_INVALID_REPLICA_ASSIGNMENT. A
 * replica that was being added and is not wanted any more is dropped at once, or, when it is in
 * sync already, goes with the others that go. */
int isr_reassign(const struct isr_rules *r, struct isr_state *s, const int32_t *target,
                 int32_t count, const struct uuid *directories) MUST_CHECK;
/* ERR_NO_REASSIGNMENT_IN_PROGRESS; ERR_INVALID_REPLICA_ASSIGNMENT when what would stay holds too
 * few complete replicas. */
int isr_cancel(const struct isr_rules *r, struct isr_state *s) MUST_CHECK;

/* --- afterwards ------------------------------------------------------------------------------- */

struct partition_change_record;

/* False: nothing has changed. Else the record that makes `after` of `before`; lends `after`. */
bool isr_change(const struct isr_state *before, const struct isr_state *after,
                struct partition_change_record *out);

/* Asserts K1 to K5 of the step from `before` to `after`. `lost`: data was lost, by report or by an
 * unclean election. */
void isr_check(const struct isr_rules *r, const struct isr_state *before,
               const struct isr_state *after, bool lost);
