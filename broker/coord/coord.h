/* SPDX-License-Identifier: Apache-2.0 */

/* coord: the coordinators of consumer groups.
 *
 * A group belongs to one partition of __consumer_offsets, by the hash of its name; whoever leads
 * that partition coordinates the group. What a group has committed, and the members of its last
 * generation, are records of that partition in Kafka's own formats; a coordinator replays them
 * before it answers, and a record is durable before its effect is seen. Everything else (who waits
 * for whom, sessions) lives in memory.
 *
 * Each shard has a struct coord for the partitions whose home it is. All calls are made there, and
 * done() comes there. Protocol: the classic one (JoinGroup, SyncGroup, Heartbeat, LeaveGroup),
 * PROTOCOL 6. */
#pragma once

#include "base/errors.h"
#include "config/config.h"
#include "io/io.h"
#include "partition/partition.h"
#include "wire/wire.h"

#define COORD_TOPIC "__consumer_offsets"

struct coord;

/* Everything pointed to is lent until coord_free(). */
struct coord_options {
    int32_t node_id;
    struct partition_table *partitions; /* of this shard */
    const struct config *config;        /* group.*, offsets.* */
    uint64_t memory_bytes;              /* of all groups of this shard */
};

/* NULL: out of memory. */
struct coord *coord_new(struct io *io, const struct coord_options *options) MUST_CHECK;

/* After partition_table_apply() of the same image, which the caller keeps until the next call:
 * begins to load the partitions that are led here now, and lets go of those that are not. */
void coord_apply(struct coord *c, const struct image *image);

/* Answers every call that waits, and from now on refuses what comes. */
void coord_quiesce(struct coord *c);

/* After coord_quiesce(): waits for what is being written and read. */
struct coord_stop {
    void (*done)(struct coord_stop *s);
};
void coord_stop(struct coord *c, struct coord_stop *s);

/* After coord_stop() is done. NULL is accepted. */
void coord_free(struct coord *c);

/* The partition of a group among `partitions`: Java's String.hashCode(), so that tools agree. */
int32_t coord_partition_of(struct wire_string group, int32_t partitions);

/* --- calls ------------------------------------------------------------------------------------ */

/* A partition of a topic that a group has committed, commits, or asks about. */
struct coord_offset {
    struct wire_string topic;
    int32_t partition;
    struct uuid topic_id;        /* in, COORD_COMMIT; zero: not known */
    int64_t offset;              /* in: COORD_COMMIT; out: COORD_OFFSETS, -1: none */
    int32_t leader_epoch;        /* the same */
    struct wire_string metadata; /* the same */
    int error;                   /* out; one that is set before the call is left alone */
};

struct coord_listed {
    struct wire_string group, protocol_type;
    const char *state;
};

enum coord_kind {
    COORD_JOIN,      /* request: join_group_request; response: join_group_response */
    COORD_SYNC,      /* sync_group_request; sync_group_response */
    COORD_HEARTBEAT, /* heartbeat_request */
    COORD_LEAVE,     /* leave_group_request; its members get `leavers` */
    COORD_COMMIT,    /* offset_commit_request for the member; `offsets` are committed */
    COORD_OFFSETS,   /* no request; `offsets` are filled, all that there are with count -1 */
    COORD_DESCRIBE,  /* no request; describe_groups_response_groups */
    COORD_LIST,      /* no request, no group; `listed`: of all partitions of this shard */
    COORD_DELETE,    /* no request: an empty group and what it has committed */
    COORD_FORGET,    /* no request; `offsets`: what the group has committed is deleted */
};

/* One question. Everything that goes in is lent until done(), which comes once, at once or later,
 * from the loop or from inside coord_call(). What comes out lies in `arena`: it is the caller's, on
 * this shard, and is let go by coord_call_end(). A call that fails as a whole has `error`; the
 * response of JOIN, SYNC and DESCRIBE is filled then, too. */
struct coord_call {
    enum coord_kind kind;
    int32_t partition; /* coord_partition_of() the group */
    int16_t version;   /* of the request's API */
    const void *request;
    struct wire_string group;
    struct wire_string client_id;
    const char *client_host;
    struct coord_offset *offsets;
    int32_t offset_count;
    void (*done)(struct coord_call *c);

    int error;
    union {
        struct join_group_response join;
        struct sync_group_response sync;
        struct describe_groups_response_groups describe;
    } response;
    int *leavers; /* an error for each member of the request */
    struct coord_listed *listed;
    int32_t listed_count;
    struct arena arena;

    struct { /* the room's */
        struct group *group;
        int32_t generation;
    } priv;
};
void coord_call(struct coord *c, struct coord_call *call);

/* Fills in what a call that was not made would say; no done(). On any shard. */
void coord_refuse(struct coord_call *call, int error);

static inline void coord_call_end(struct coord_call *call)
{
    arena_deinit(&call->arena);
}

struct coord_status {
    uint32_t groups, partitions, loading;
};
struct coord_status coord_status(const struct coord *c);
