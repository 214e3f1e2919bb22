/* SPDX-License-Identifier: Apache-2.0 */

/* quorum_describe: the quorum of the metadata log as its leader sees it (KIP-595, 836), for whoever asks. */
#pragma once

#include "meta/meta.h"

struct meta_replica {
    struct raft_id id;
    bool voter;
    int64_t end;                      /* -1: not told yet */
    int64_t fetched_ms, caught_up_ms; /* by the wall's clock; -1: not in this epoch */
};

struct meta_endpoint {
    int32_t node;
    uint16_t port;
    char name[64], host[256]; /* as voters have them (voters.h) */
};

/* Embedded in its owner until done(). From any shard. */
struct meta_describe {
    void (*done)(struct meta_describe *d); /* on the shard that submitted */
    bool
        confirmed; /* by META_READ: who leads without that may have been deposed, and is told of as one who does not */

    int error; /* out: ERR_CLOSED; ERR_NOT_LEADER_OR_FOLLOWER: `status` says who leads */
    struct raft_status status; /* out, when it is known */
    char why[META_WHY_SIZE];   /* out: nobody leads: which voters are heard; else "" */
    struct meta_replica replicas[RAFT_REPLICAS_MAX]; /* out: the leader first */
    uint32_t replica_count;
    struct meta_endpoint
        endpoints[RAFT_VOTERS_MAX]; /* out: where voters are reached by each other */
    uint32_t endpoint_count;

    struct { /* meta's */
        struct io_message post;
        struct meta *meta;
        struct io *io;
    } priv;
};
void meta_describe(struct meta *meta, struct io *io, struct meta_describe *d);
