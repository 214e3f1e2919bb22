/* SPDX-License-Identifier: Apache-2.0 */

/* call: one question to a coordinator, and its answer. Part of the room's face, for who asks fills it
 * in; who answers is at the end. */
#pragma once

#include "base/errors.h"
#include "wire/wire.h"

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
};

/* Fills in what a call that was not made would say; no done(). On any shard. */
void coord_refuse(struct coord_call *call, int error);

static inline void coord_call_end(struct coord_call *call)
{
    arena_deinit(&call->arena);
}

/* --- for the room ----------------------------------------------------------------------------- */

/* Ends a call. The response of an error is made here. */
void call_answer(struct coord_call *c, int error);
struct wire_string call_string(struct coord_call *c, const char *text); /* a copy in its arena */
struct wire_bytes call_bytes(struct coord_call *c, const void *data, int32_t size);
/* Whether a copy had no room. */
bool call_failed(const struct coord_call *c);
