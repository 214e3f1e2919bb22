/* SPDX-License-Identifier: Apache-2.0 */

/* cluster: what the controller decides of brokers and of many partitions at once. Pure as
 * controller.h: (image, what is known of sessions, now, request) -> records, or an error with a
 * sentence.
 *
 *     not registered --cluster_register--> fenced --cluster_heartbeat, caught up--> active
 *       ^                                   ^  |                                       |
 *       |                                   |  +------- cluster_heartbeat <------------+
 *       +-- cluster_unregister -------------+    wants to be fenced, or cluster_expire, cluster_fence
 *
 *     active --cluster_heartbeat, wants to shut down--> hands over --nothing left--> may go
 *       ^--------cluster_heartbeat, wants it no more-------'
 *
 * Rules
 *   C1  A broker gets a new epoch after its older life is fenced, and what it has lost is out of
 *       leadership, ISR and ELR: by the same batch, or by batches before it (P23, P24).
 *   C2  A broker is let in when it has read the metadata up to its own registration.
 *   C3  Requests of another life of the broker are refused (P24).
 *   C4  What does not fit into one batch is divided: `more` asks to decide the same again after
 *       this batch is committed. In between every partition is sound, and the broker's record
 *       stands in the last batch when partitions must be seen to first, and else in the first.
 *   C5  What a broker has, it gives up by itself only where another one is in sync, and heard since it
 *       found that it must: all of it, or nothing. (What takes several batches is judged before each, and the
 *       rest refused if the other one has gone in between.)
 *
 * Sessions are no records: a new controller gives every broker a whole session (as Kafka). */
#pragma once

#include "meta/controller.h"
#include "meta/isr.h"

enum {
    CLUSTER_WHY_SIZE = 200,
    CLUSTER_BATCH_BYTES = 512 << 10, /* of partition changes */
    CLUSTER_BALANCE_MAX = 1000,      /* elections at once, as Kafka */
};

/* Builds of the simulator leave a rule out; beside enum isr_mutant. */
enum cluster_mutant {
    CLUSTER_MUTANT_EPOCH_FIRST = 100, /* a new epoch while the older life is not fenced (P24) */
    CLUSTER_MUTANT_LOST_LATER,        /* what was lost is forgotten (P23) */
    CLUSTER_MUTANT_BEHIND,            /* let in before it has read its registration (C2) */
    CLUSTER_MUTANT_ANY_EPOCH,         /* an older life is heard (C3) */
    CLUSTER_MUTANT_CONFIG_ALONE,      /* min.insync.replicas without the ELR (P27) */
    CLUSTER_MUTANT_GIVE_UP_ALONE,     /* given up, though nobody else is in sync (C5) */
    CLUSTER_MUTANT_GIVE_UP_UNHEARD,   /* given up, though who is in sync was not heard since (C5) */
    CLUSTER_MUTANTS_END
};

/* --- sessions --------------------------------------------------------------------------------- */

struct cluster_session {
    int32_t id;
    int64_t epoch; /* of the broker's life */
    uint64_t heard_ns;
    int64_t offset;       /* of the metadata, that it has read */
    int64_t handed_off;   /* metadata offset behind its hand-over; -1: not done */
    bool over;            /* its process is known to be gone; what is heard of it says otherwise */
    bool settling;        /* it was let in, and partitions are left to be looked at */
    uint64_t beat_ns;     /* when this controller has heard it itself, 0: never; */
    uint64_t before_ns;   /* and the time before that */
    struct uuid newcomer; /* the process that was refused last, because this one has the id, */
    uint32_t beats;       /* and how often it was heard since then */
};

struct cluster_sessions {
    uint64_t timeout_ns;
    uint32_t count;
    struct cluster_session brokers[IMAGE_BROKERS_MAX];
};

/* For a controller that begins: every broker that is not fenced was heard now. */
void cluster_sessions_begin(struct cluster_sessions *s, const struct image *image,
                            uint64_t timeout_ns, uint64_t now_ns);
bool cluster_session_lives(const struct cluster_sessions *s, int32_t id, int64_t epoch,
                           uint64_t now_ns);
/* Its process is gone: the session of this life ends now. False: it has ended, or there is none. */
bool cluster_session_over(struct cluster_sessions *s, int32_t id, int64_t epoch);
/* When this life was heard of the last time; 0: never. */
uint64_t cluster_session_heard(const struct cluster_sessions *s, int32_t id, int64_t epoch);
/* This life was heard within about two heartbeats: it goes on. */
bool cluster_session_beats(const struct cluster_sessions *s, int32_t id, int64_t epoch,
                           uint64_t now_ns);
/* This life was heard, and once more, since then. */
bool cluster_session_beaten_twice(const struct cluster_sessions *s, int32_t id, int64_t epoch,
                                  uint64_t since_ns);
/* All brokers that are not fenced, but for `id`, have read the metadata up to `offset`, or their sessions are over. */
bool cluster_sessions_have_read(const struct cluster_sessions *s, const struct image *image,
                                int32_t id, int64_t offset);
/* When the first session of a broker that is not fenced ends; UINT64_MAX: never. */
uint64_t cluster_sessions_next(const struct cluster_sessions *s, const struct image *image);

/* --- one decision ----------------------------------------------------------------------------- */

/* About 30 KiB; made anew for each decision. */
struct cluster {
    const struct controller *c;
    struct cluster_sessions *sessions;
    uint64_t now_ns;

    bool more;                  /* out: decide the same again when this is committed */
    uint32_t changed;           /* out: partitions */
    uint32_t unclean;           /* out: of them, elected uncleanly; each is to be logged */
    bool displaced;             /* out: of a registration: another process is that broker */
    char why[CLUSTER_WHY_SIZE]; /* out: with an error, a sentence */

    size_t bytes; /* of partition changes so far */
    struct isr_rules rules;
    struct isr_broker brokers[IMAGE_BROKERS_MAX];
};
void cluster_init(struct cluster *k, const struct controller *c, struct cluster_sessions *sessions,
                  uint64_t now_ns);

struct cluster_registration {
    int32_t broker;
    const char *cluster_id;
    struct uuid incarnation, directory; /* directory zero: not told */
    const char *rack;                   /* NULL: none */
    const struct image_endpoint *endpoints;
    uint32_t endpoint_count;
    int16_t metadata_version_min, metadata_version_max;
    bool here;                    /* of the process that decides */
    const struct meta_lost *lost; /* sorted */
    uint32_t lost_count;
    int64_t next_offset; /* where the next record of the metadata log will stand */
};

void cluster_lost_sort(struct meta_lost *lost, uint32_t count);

/* *epoch is set when nothing more is to be done. ERR_INCONSISTENT_CLUSTER_ID,
 * ERR_INVALID_REGISTRATION, ERR_UNSUPPORTED_VERSION, ERR_DUPLICATE_BROKER_REGISTRATION. */
int cluster_register(struct cluster *k, const struct cluster_registration *q,
                     int64_t *epoch) MUST_CHECK;

struct cluster_heartbeat {
    int32_t broker;
    int64_t epoch;
    uint64_t arrived_ns; /* it may be decided later, and more than once; 0: now */
    int64_t offset;      /* of the metadata, that it has read */
    bool want_fence, want_shut_down;
};

struct cluster_heartbeat_answer {
    bool caught_up, fenced, should_shut_down;
};

/* ERR_BROKER_ID_NOT_REGISTERED, ERR_STALE_BROKER_EPOCH. */
int cluster_heartbeat(struct cluster *k, const struct cluster_heartbeat *q,
                      struct cluster_heartbeat_answer *out) MUST_CHECK;

/* Fences every broker whose session has ended. */
int cluster_expire(struct cluster *k) MUST_CHECK;
/* Fences a broker that is known to be gone. */
int cluster_fence(struct cluster *k, int32_t broker, int64_t epoch) MUST_CHECK;

/* Of a broker that has found damage in its logs, and does not serve. */
struct cluster_giving_up {
    int32_t broker;
    struct uuid directory;
    uint64_t since_ns; /* it was asking by then; the same when this is decided again */
};

/* Out of the in-sync and eligible replicas of all its partitions (C5). ERR_BROKER_ID_NOT_REGISTERED;
 * ERR_DUPLICATE_BROKER_REGISTRATION: it lives, or is another one; ERR_ELIGIBLE_LEADERS_NOT_AVAILABLE: others do
 * not have it, or were not heard yet. */
int cluster_give_up(struct cluster *k, const struct cluster_giving_up *q) MUST_CHECK;

/* ERR_BROKER_ID_NOT_REGISTERED. */
int cluster_unregister(struct cluster *k, int32_t broker) MUST_CHECK;
/* Of a whole request: ERR_BROKER_ID_NOT_REGISTERED, ERR_STALE_BROKER_EPOCH. */
int cluster_check_broker(struct cluster *k, int32_t broker, int64_t epoch) MUST_CHECK;

/* --- partitions -------------------------------------------------------------------------------
 *
 * Several of one request may be decided one after the other, if c->candidate is given. Errors are of
 * the partition, and then there is no record of it; ERR_UNKNOWN_TOPIC_ID or
 * ERR_UNKNOWN_TOPIC_OR_PARTITION for what is not there. ERR_TOO_LARGE and ERR_NO_MEMORY end the
 * whole operation. */

/* *after: as it is when the records are committed, also with an error of isr_alter(). If its leader
 * epoch is not the request's, the sender is to be told ERR_NEW_LEADER_ELECTED. */
int cluster_alter(struct cluster *k, struct uuid topic, int32_t partition,
                  const struct isr_request *q, struct isr_state *after) MUST_CHECK;
int cluster_elect(struct cluster *k, const char *topic, int32_t partition, bool unclean) MUST_CHECK;
/* `replicas` NULL calls off what is under way. ERR_INVALID_REPLICATION_FACTOR when their number may
 * not change. */
int cluster_reassign(struct cluster *k, const char *topic, int32_t partition,
                     const int32_t *replicas, int32_t count, bool may_change_factor) MUST_CHECK;

enum cluster_report { CLUSTER_SHORT, CLUSTER_DAMAGED, CLUSTER_REPAIRED };
int cluster_report(struct cluster *k, int32_t broker, struct uuid topic, int32_t partition,
                   enum cluster_report report) MUST_CHECK;
/* A replica of a partition that nobody may lead tells where its log ends; perhaps one of them leads now (ends.h). */
int cluster_report_end(struct cluster *k, struct uuid topic, int32_t partition,
                       struct isr_end end) MUST_CHECK;

/* Every partition of which replicas are in motion, by name and number. */
void cluster_reassignments(const struct image *image,
                           void (*each)(void *context, const struct image_topic *topic,
                                        int32_t partition),
                           void *context);

/* --- all of them ------------------------------------------------------------------------------ */

/* Gives leadership back to preferred replicas that are in sync, at most CLUSTER_BALANCE_MAX. */
int cluster_balance(struct cluster *k) MUST_CHECK;

/* Topics of which nobody has chosen how many replicas they have grow to min(3, active brokers), a few partitions at a
 * time, the broker's own ones first, or alone. `later`: something is left that is to wait. */
int cluster_grow(struct cluster *k, bool own_only, bool *later) MUST_CHECK;

/* min.insync.replicas or unclean.leader.election.enable of a topic (NULL: of all) has changed: to be
 * decided in the operation that emits the configuration, behind it, with c->candidate; it fails if
 * there is `more` (P27). */
int cluster_configured(struct cluster *k, const struct image_topic *topic) MUST_CHECK;
