/* SPDX-License-Identifier: Apache-2.0 */

/* group: a group's members and generations as a state machine. Private to broker/coord.
 *
 *              a member joins                  all have joined, or time is up
 *     EMPTY ------------------> PREPARING ------------------------------------> COMPLETING
 *       ^  ^                      ^   ^                                          |     |
 *       |  '--nobody has joined---'   '--a member joins, leaves, is too late-----'     |
 *       |                             '--a member joins, leaves, dies------- STABLE <--'
 *       '--replay, deletion: DEAD                       the leader's assignments are durable
 *
 * In EMPTY and STABLE the generation is what the newest record says. A call waits in its member
 * (join in PREPARING, sync in COMPLETING), and a member has one call at most.
 *
 * Invariants
 *   G1  A generation grows by one with each completed join, and one that was assigned is never given
 *       again, also after a restart.
 *   G2  Assignments are told after their record is durable, and never those of another generation.
 *   G3  A member that waits is not expired; one that does not say anything for its session is
 *       removed, and the group rebalances.
 *   G4  An instance id names one member: who held it before is fenced.
 *   G5  An offset is seen after its record is durable; commits and deletions of one group take
 *       effect in the order of the log. */
#pragma once

#include "coord/coord.h"
#include "io/deadline.h"

#include "base/map.h"

struct group;
struct write;

enum {
    GROUP_PROTOCOLS_MAX = 100, /* of a member */
    GROUP_INSTANCE_MAX = 249,  /* bytes of an instance id, as Kafka's clients have it */
};

enum group_state { GROUP_EMPTY, GROUP_PREPARING, GROUP_COMPLETING, GROUP_STABLE, GROUP_DEAD };

/* What a group needs of the world: coord.c gives it the log, a test something that it can see. */
struct group_host {
    struct io *io;
    struct memory *memory;
    struct deadlines *deadlines;
    const struct config *config;
    const struct image *image; /* newest */
    /* Appends what w->batch holds to the group's partition; w->done() comes from the loop. */
    void (*write)(struct group_host *h, struct group *g, struct write *w);
    /* The group may be of no more use: it is dead or has nothing left, and nothing in progress. */
    void (*idle)(struct group_host *h, struct group *g);
    bool stopping; /* no deadline is set any more */
};

/* Whether there may be more groups, members and offsets, or larger ones. The last quarter of the
 * memory is for what there is already: its commits, its assignments, answers about it, and its
 * replay. */
static inline bool group_has_room(const struct group_host *h)
{
    return h->memory->used_bytes <= h->memory->budget_bytes / 4 * 3;
}

struct member_protocol {
    struct wire_string name;
    struct wire_bytes metadata;
};

struct member {
    struct group *group;
    struct list link;    /* in group->members, by time of joining */
    char *id, *instance; /* instance NULL: dynamic */
    char *client_id, *client_host;
    int32_t session_ms, rebalance_ms;
    struct member_protocol *protocols; /* one piece of memory with what they point to */
    int32_t protocol_count;
    size_t protocols_size;
    uint8_t *assignment, *next; /* next: on its way into the log */
    int32_t assignment_size, next_size;
    struct coord_call *join, *sync; /* waiting */
    bool synced;                    /* has asked for this generation's assignment */
    struct deadline session;
    uint64_t expires_ns;
};

/* A member id that was given out and has not come back yet (KIP-394). */
struct expected {
    struct group *group;
    struct list link;
    char *id;
    struct deadline deadline;
};

struct group {
    struct group_host *host;
    void *partition;        /* the host's */
    struct list link, idle; /* the host's */
    char *name;
    enum group_state state;
    char *protocol_type, *protocol; /* NULL: none */
    int32_t generation;
    struct member *leader;
    struct list members, expected;
    int32_t member_count, joined_count, expected_count;
    struct map by_id, by_instance, expected_ids;
    struct map protocols; /* of struct tally, by name: protocols.c */
    uint64_t protocols_stamp;
    struct deadline deadline; /* of PREPARING and COMPLETING */
    bool window_open;         /* others may come to a group that was empty, */
    bool window_news;         /* somebody has, */
    uint64_t window_ns;       /* and so long it may become longer */
    int64_t changed_ms;       /* wall clock: the state's last change, -1 unknown */
    struct list offsets;      /* of struct offset */
    struct map offset_index;
    uint32_t writes;             /* in progress */
    bool sweep_late;             /* it waits for them */
    struct coord_call *deletion; /* waits for them: the group is dead already */
};

/* NULL: out of memory. */
struct group *group_new(struct group_host *host, struct wire_string name) MUST_CHECK;
/* No call waits and nothing is being written. */
void group_free(struct group *g);

const char *group_state_name(enum group_state state);
struct wire_string group_name(const struct group *g);

/* Nothing would be lost without it. */
bool group_is_idle(const struct group *g);

/* The calls, each with coord_call.kind's fields. Answered by call_answer(), at once or later. */
void group_join(struct group *g, struct coord_call *c);
void group_sync(struct group *g, struct coord_call *c);
void group_heartbeat(struct group *g, struct coord_call *c);
void group_leave(struct group *g, struct coord_call *c);
void group_commit(struct group *g, struct coord_call *c);
void group_offsets(struct group *g, struct coord_call *c);
void group_forget(struct group *g, struct coord_call *c);
void group_delete(struct group *g, struct coord_call *c);
void group_describe(struct group *g, struct coord_call *c);

/* Nothing is on its way into the log any more: a deletion may have waited for that. */
void group_settled(struct group *g);

/* Answers all that wait: the coordinator goes. */
void group_quiesce(struct group *g, int error);

/* After a replay: sessions begin. */
void group_loaded(struct group *g);

/* Deletes what retention no longer wants and what was committed for topics that are gone; then the
 * group itself when it is empty and nothing is left (KIP-211). */
void group_sweep(struct group *g, int64_t now_ms);

/* What the members of a group subscribe to, found when it is asked for the first time. All zero at
 * first; while it is in use no member comes or goes. */
/* What a member says of itself under a protocol of consumers; a newer version is read as the newest
 * known. ERR_MALFORMED, ERR_NO_MEMORY. */
int subscription_read(struct wire_bytes in, struct consumer_protocol_subscription *out,
                      struct arena *arena) MUST_CHECK;

struct subscriptions {
    struct map topics;
    struct arena arena;
    bool found, unclear;
};

/* Whether a member subscribes to the topic; true when that cannot be told. */
bool subscriptions_have(struct subscriptions *s, const struct group *g, struct wire_string topic);
void subscriptions_deinit(struct subscriptions *s);

/* --- call.c ----------------------------------------------------------------------------------- */

/* Ends a call. The response of an error is made here. */
void call_answer(struct coord_call *c, int error);
struct wire_string call_string(struct coord_call *c, const char *text); /* a copy in its arena */
struct wire_bytes call_bytes(struct coord_call *c, const void *data, int32_t size);
/* Whether a copy had no room. */
bool call_failed(const struct coord_call *c);

/* join.c. The id is known no more. */
void expected_remove(struct expected *e);

/* --- member.c --------------------------------------------------------------------------------- */

/* A new member of the group with what a JoinGroup says; NULL: out of memory. */
struct member *member_new(struct group *g, struct wire_string id,
                          const struct coord_call *c) MUST_CHECK;
/* As a record says. */
struct member *member_replay(struct group *g, const struct group_metadata_value_member_metadata *in,
                             struct wire_string protocol) MUST_CHECK;
/* What waits in it is answered with `error`. */
void member_remove(struct member *m, int error);
struct member *member_find(struct group *g, struct wire_string id);
struct member *member_by_instance(struct group *g, struct wire_string instance);
/* Protocols and timeouts of a new JoinGroup; ERR_NO_MEMORY: as before. */
int member_update(struct member *m, const struct coord_call *c) MUST_CHECK;
/* Another process goes on under the instance's name. */
int member_rename(struct member *m, struct wire_string id) MUST_CHECK;
/* The next assignment; member_adopt() puts it in force. */
int member_assign(struct member *m, struct wire_bytes assignment) MUST_CHECK;
void member_adopt(struct member *m);
void member_unassign(struct member *m); /* there is none */
/* Its first session begins; after member_replay() when the replay is over. */
void member_begin(struct member *m);
/* Its session begins anew. */
void member_alive(struct member *m);
const struct member_protocol *member_protocol(const struct member *m, struct wire_string name);
/* Whether it says the same under every protocol as this JoinGroup does. */
bool member_same(const struct member *m, const struct join_group_request *q);
/* Whether `q` reads the same topics under the group's protocol; what a member owns at the moment is
 * no difference. */
bool member_reads_same(const struct member *m, const struct join_group_request *q);
/* A new id: client id or instance, and 128 random bits. Out of memory: NULL. */
char *member_id_make(struct group *g, const struct coord_call *c) MUST_CHECK;

/* --- rebalance.c ------------------------------------------------------------------------------ */

void rebalance_begin(struct group *g);
/* In PREPARING: completes the join when nobody is missing. */
void rebalance_try(struct group *g);
/* Answers a member's join with the generation as it is. */
void rebalance_tell(struct member *m, struct coord_call *c, bool skip_assignment);
/* A member has gone: whatever follows from that. */
void rebalance_after_leave(struct group *g);
/* Whether a member with these protocols can be in the group. */
bool rebalance_fits(const struct group *g, const struct join_group_request *q,
                    const struct member *except);
void group_set_state(struct group *g, enum group_state state);

/* --- protocols.c ------------------------------------------------------------------------------ */

/* A member's protocols come and go; ERR_NO_MEMORY: as before. */
int protocols_count(struct group *g, const struct member_protocol *protocols,
                    int32_t count) MUST_CHECK;
void protocols_uncount(struct group *g, const struct member_protocol *protocols, int32_t count);
/* Whether every member but `except` has this protocol. */
bool protocols_have(const struct group *g, struct wire_string name, const struct member *except);
/* The protocol that most members prefer among those that all have; NULL: none, or no members. */
const struct member_protocol *rebalance_vote(const struct group *g);
