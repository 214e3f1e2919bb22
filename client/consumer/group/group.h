/* SPDX-License-Identifier: Apache-2.0 */

/* group: a consumer's membership in a group, by the classic protocol, and the offsets that it
 * commits and finds there.
 *
 *            subscribe                 JoinGroup             leader: topics known, assigned
 *     IDLE -------------> JOIN_DUE -----------------> JOINING --------------> LEADING
 *      ^                   ^ ^  ^                        |                       |
 *      |                   | |  +--- any refusal --------+-------+    SyncGroup  v
 *      |                   | |                           +------------------> SYNCING
 *      |                   | +----------- any refusal ---------------------------|
 *      |                   +-- rebalance, topics changed, lost -- STABLE <-------+
 *      +--- unsubscribe, no poll for max.poll.interval            any --> FAILED, for good
 *
 * Beside the states partitions are let go of (assignment.c): the I/O side marks them revoking and
 * asks; the caller lets go at a poll, when he is done with what he got of them; what he is done
 * with is committed; then they are gone, and joining goes on. A member of the eager strategies lets
 * go of everything before it joins, a cooperative one of what the new assignment moves, after it.
 *
 * Two connections to the coordinator: JoinGroup and SyncGroup wait there for other members, so they
 * have a lane of their own; heartbeats and offsets take everybody's. So a heartbeat also finds out
 * that the coordinator on which a JoinGroup waits is gone.
 *
 * Invariants
 *   G1  A partition is committed by its member alone between being assigned and being gone: commits
 *       of it come one after the other, carry the generation, and what is revoked is committed
 *       before it is gone, never after.
 *   G2  What is committed unasked was handed out before the latest poll.
 *   G3  A partition that a cooperative rebalance leaves where it is is never touched: it is fetched
 *       and handed out all the while.
 *   G4  A member that lost its membership has no partitions when it joins again.
 *   G5  What is shared with the caller (below the mark) is touched in the gate. */
#pragma once

#include "consumer/fetcher.h"
#include "consumer/group/protocol.h"
#include "core/call.h"

enum group_state {
    GROUP_IDLE,
    GROUP_JOIN_DUE,
    GROUP_JOINING,
    GROUP_LEADING,
    GROUP_SYNCING,
    GROUP_STABLE,
    GROUP_FAILED,
};

enum {
    GROUP_MEMBER_ID_MAX = 512,
    GROUP_CHANGES_MAX = 10000,
    GROUP_COMMITS_MAX = 1000,  /* waiting */
    GROUP_METADATA_MAX = 4096, /* bytes of a committed offset's metadata */
};

/* Who holds the partitions that are revoking. */
enum group_release {
    RELEASE_NONE,  /* there are none */
    RELEASE_ASKED, /* the caller, who does not know */
    RELEASE_TOLD,  /* the caller, who knows and lets go with his next poll */
    RELEASE_GIVEN, /* the I/O side, which commits them */
};

/* What the caller wants to read. Replaced as a whole. */
struct topic_pattern;
struct subscription_wish {
    const char **names;
    size_t name_count;
    struct topic_pattern *patterns;
    size_t pattern_count;
};

struct group_change {
    struct list link;
    int32_t kind; /* enum leat_change_kind */
    int32_t partition;
    char topic[];
};

/* Offsets on their way to the coordinator. */
struct commit_part {
    struct consumer_partition *partition; /* referenced; NULL: not an assigned one */
    const char *topic;
    int32_t number;
    int64_t offset;
    int32_t leader_epoch;
    const char *metadata;
    bool answered;
};

struct commit {
    struct list link;
    bool automatic; /* nobody waits; what was lost meanwhile is not missed */
    bool waited;    /* by a caller, who frees it; else it frees itself */
    bool ended;
    uint64_t deadline_ns;
    leat_error error;
    size_t count;
    struct commit_part parts[]; /* by topic, then by number */
};

struct leading;
struct offsets_call;

struct group {
    struct core *core;
    struct gate *gate;
    struct memory *heap; /* in the gate */
    struct fetcher *fetcher;
    const leat_consumer_options *options;
    void (*changed)(struct group *g); /* in the gate: the caller should poll */
    const char *id;
    const char *instance_id; /* or NULL */
    enum strategy strategies[STRATEGY_COUNT];
    unsigned strategy_count;
    bool cooperative;
    uint32_t lane;

    /* The I/O thread's: */
    struct core_member core_member;
    struct io_turn turn;
    struct alarm alarm;
    struct call find; /* the coordinator */
    bool finding;
    int32_t coordinator; /* broker id, -1: not known */
    uint64_t find_not_before_ns;
    unsigned find_failures;

    enum group_state state;
    char member_id[GROUP_MEMBER_ID_MAX]; /* "": none yet */
    int32_t generation;                  /* -1: none */
    enum strategy strategy;              /* of this generation */
    bool rejoin;                         /* as soon as nothing is revoking */
    const char *rejoin_reason;           /* for the coordinator's log; NULL at first */
    unsigned failures;                   /* of joining, in a row */
    unsigned hasty;                      /* refusals in a row that nothing was waited after */
    uint64_t not_before_ns;
    struct request request; /* JoinGroup or SyncGroup */
    bool requesting;
    struct request heartbeat;
    bool beating;
    int32_t beat_generation;
    uint64_t beat_due_ns;
    unsigned beat_failures;
    struct leading *leading; /* this member leads the generation */
    int told_code;           /* what joining last told the caller */

    uint32_t seen_wish; /* number of the wish that is in force */
    char **topics;      /* subscribed ones, by name */
    size_t topic_count;
    bool topics_known;       /* false while expressions wait for the list of all topics */
    struct topic **literals; /* topics that were named, used to hear of their absence */
    size_t literal_count;
    bool *literal_told;
    struct call catalogue; /* all topics, for expressions */
    bool cataloguing;
    uint64_t catalogue_due_ns;
    struct arena catalogue_names;
    const char **catalogue_list;
    size_t catalogue_count;

    struct named_partition *previous; /* the latest assignment, for sticky */
    size_t previous_count;
    int32_t previous_generation;
    struct arena previous_names;

    struct request commit_request;
    struct commit *committing; /* the one under way */
    int32_t commit_generation;
    uint64_t commit_not_before_ns;
    unsigned commit_failures;
    uint64_t auto_commit_due_ns;
    struct offsets_call *asking; /* for committed offsets of assigned partitions */
    uint64_t ask_not_before_ns;
    unsigned ask_failures;
    unsigned leaving; /* LeaveGroup calls under way */
    unsigned calls;   /* OffsetFetch calls under way */

    bool turn_ends; /* the end of a turn is what runs */
    bool closing, ended;
    uint64_t close_deadline_ns;
    void (*closed)(struct group *g);

    /* --- in the gate --- */
    struct subscription_wish *wish; /* NULL: none */
    uint32_t wish_number;
    bool manual; /* partitions are assigned by the caller */
    enum group_release release;
    bool release_committed; /* what is let go of has had its commit */
    struct list changes;
    size_t change_count;
    struct list commits;
    size_t commit_count;
    leat_error failure; /* to be told by a poll; code 0: none */
    leat_error close_error;
    bool settled; /* no membership, nothing to let go of, and the latest wish is in force */
    bool polling; /* a poll is under way */
    bool late;    /* none came for max.poll.interval: out of the group until the next */
    uint64_t polled_ns;
};

/* On the I/O thread: `id` and what the options hold is lent until closed(). The strategies are
 * those of group_strategies(). */
void group_start(struct group *g, struct core *core, struct gate *gate, struct memory *heap,
                 struct fetcher *fetcher, const leat_consumer_options *options, const char *id,
                 void (*changed)(struct group *g));

/* Parses options->strategies. LEAT_ERR_CONFIG. */
int group_strategies(const char *text, enum strategy out[STRATEGY_COUNT], unsigned *count,
                     leat_error *e) MUST_CHECK;

/* On the I/O thread: something in the gate has changed. */
void group_wake(struct group *g);

/* On the I/O thread: commits, leaves, lets go of everything until `deadline_ns`; closed() is called
 * in a later turn, and g->close_error says what became of the commit. The caller is done with what
 * he got. */
void group_close(struct group *g, uint64_t deadline_ns, void (*closed)(struct group *g));

/* --- the caller's side, in the gate --- */

/* Makes a wish of what leat_subscribe() was given. ERR_NO_MEMORY, ERR_INVALID_ARGUMENT. */
int wish_new(struct group *g, const char *const *topics, size_t count,
             struct subscription_wish **out, leat_error *e) MUST_CHECK;

/* Puts a wish (NULL: none) in place of the earlier one. `manual`: the caller assigns. The caller
 * wakes the I/O side. */
void group_wish(struct group *g, struct subscription_wish *wish, bool manual);

/* The caller is done with everything that the group has given, and lets go of it. */
void group_let_go(struct group *g);

/* Whether a poll would do something. */
bool group_signals(const struct group *g);

/* A poll: 0, or what it returns instead of records. *wake: the I/O side has to be woken. */
int group_poll(struct group *g, bool *wake, leat_error *e);

/* A poll begins and ends, at `now_ns`. True: the I/O side has to be woken. */
bool group_poll_begin(struct group *g);
void group_poll_end(struct group *g, uint64_t now_ns);

/* A commit of the positions handed out (`automatic`: of what the caller is done with), or of
 * offsets that he names; queued. *out is NULL when there is nothing to commit. ERR_NO_MEMORY,
 * ERR_BUSY, ERR_NOT_FOUND, ERR_INVALID_ARGUMENT. */
int group_commit(struct group *g, bool automatic, uint64_t deadline_ns, struct commit **out,
                 leat_error *e) MUST_CHECK;
int group_commit_offsets(struct group *g, const leat_offset *offsets, size_t count,
                         uint64_t deadline_ns, struct commit **out, leat_error *e) MUST_CHECK;

/* Frees an ended commit, or leaves one that is not to itself. */
void group_commit_free(struct group *g, struct commit *c);

/* --- calls for others, on the I/O thread --- */

/* What is committed of some partitions. */
struct committed {
    int64_t offset; /* -1: nothing */
    int32_t leader_epoch;
    const char *metadata; /* the arena's */
    int error;
    bool answered;
};

struct offsets_call {
    struct call call;
    struct group *group;
    const struct named_partition *parts; /* in order */
    size_t count;
    struct committed *out;
    struct arena *arena;
    void (*done)(struct offsets_call *c); /* call.error says what became of it */
};

void offsets_call_start(struct offsets_call *c, uint64_t deadline_ns);
