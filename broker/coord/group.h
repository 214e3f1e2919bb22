/* SPDX-License-Identifier: Apache-2.0 */

/* group: a group's members and generations, a state machine. Here is what it knows; each file that
 * stands on this one is a part of what it does. Private to broker/coord.
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
 *   G4  An instance id names one member: who held it before is fenced. Who has an id that was given later, by a
 *       coordinator that could not record it, is unknown, and joins again.
 *   G5  An offset is seen after its record is durable; commits and deletions of one group take
 *       effect in the order of the log.
 *   G6  Who was the last member is told that it has left after the record of the empty group is
 *       durable. While others stay or are expected, nothing is recorded before their next generation:
 *       a coordinator that comes earlier knows the one who left and waits for the end of its session,
 *       and by that learns that what was his needs another reader. */
#pragma once

#include "coord/call.h"
#include "coord/mutants.h"

#include "base/map.h"
#include "config/config.h"
#include "io/deadline.h"
#include "meta/image.h"

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
    size_t batch_bytes_max;    /* of records: a generation is one record */
    struct list expected;      /* of struct expected, of all groups, the oldest first */
    int32_t expected_count;
    uint32_t ids_made; /* of members */
    /* Appends what w->batch holds to the group's partition; w->done() comes from the loop. */
    void (*write)(struct group_host *h, struct group *g, struct write *w);
    /* The group may be of no more use: it is dead or has nothing left, and nothing in progress. */
    void (*idle)(struct group_host *h, struct group *g);
    bool stopping;   /* no deadline is set any more */
    unsigned mutant; /* enum coord_mutant */
};

static inline bool group_mutated(const struct group_host *h, unsigned mutant)
{
#ifdef LEAT_SIM
    return h->mutant == mutant;
#else
    (void)h;
    (void)mutant;
    return false;
#endif
}

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

struct group {
    struct group_host *host;
    void *partition;        /* the host's */
    struct list link, idle; /* the host's */
    int32_t epoch;          /* leader epoch of its partition: of the coordinator that this is */
    char *name;
    enum group_state state;
    char *protocol_type, *protocol; /* NULL: none */
    int32_t generation;
    struct member *leader;
    struct list members, expected; /* expected: of struct expected */
    int32_t member_count, joined_count, expected_count;
    struct map by_id, by_instance, expected_ids;
    struct map protocols; /* of struct tally, by name */
    uint64_t protocols_stamp;
    struct deadline deadline; /* of PREPARING and COMPLETING */
    bool window_open;         /* others may come to a group that was empty, */
    bool window_news;         /* somebody has, */
    uint64_t window_ns;       /* and so long it may become longer */
    int64_t changed_ms;       /* wall clock: the state's last change, -1 unknown */
    struct list offsets;      /* of struct offset */
    struct map offset_index;
    uint32_t writes;             /* in progress */
    struct write *emptied;       /* of them, the newest that says that nobody is left */
    bool sweep_late;             /* it waits for them */
    struct coord_call *deletion; /* waits for them: the group is dead already */
};

struct wire_string group_name(const struct group *g);
const char *group_state_name(enum group_state state);
void group_set_state(struct group *g, enum group_state state);

/* Nothing would be lost without it. */
bool group_is_idle(const struct group *g);
