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

#include "coord/call.h"
#include "coord/place.h"

#include "config/config.h"
#include "io/io.h"
#include "partition/partition.h"

struct coord;

/* Everything pointed to is lent until coord_free(). */
struct coord_options {
    int32_t node_id;
    struct partition_table *partitions; /* of this shard */
    const struct config *config;        /* group.*, offsets.* */
    uint64_t memory_bytes;              /* of all groups of this shard */
    unsigned mutant;                    /* enum coord_mutant (mutants.h) */
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

void coord_call(struct coord *c, struct coord_call *call);

struct coord_status {
    uint32_t groups, partitions, loading;
};
struct coord_status coord_status(const struct coord *c);
