/* SPDX-License-Identifier: Apache-2.0 */

/* replica: what the partitions of one shard say to other nodes.
 *
 * Followers' fetches go to each node that leads something followed here over one connection. What asks in one turn
 * travels in one request; several requests are in flight, and the node answers them in any order (net_overtake()),
 * so a partition with traffic does not wait for quiet ones. Three kinds:
 *
 *     hot      partitions to which records came lately
 *     quiet    the others: requests of many partitions, which wait longer at the leader
 *     report   what has become durable; asks for nothing and is answered at once (RELIABILITY 3.1)
 *
 * In-sync sets that leaders here ask for go to the controller: all that changed in one turn in one operation, one
 * at a time.
 *
 * A struct replica belongs to its shard. Nothing here is durable; what is lost on the way is asked again. */
#pragma once

#include "meta/meta.h"
#include "partition/partition.h"

struct replica;

struct replica_options {
    int32_t node_id;
    struct meta *meta;
    struct partition_table *partitions;
    uint64_t
        compare_interval_ms; /* what is followed is held against its leader's so often; 0: never */
    int64_t added_rate;      /* follower.replication.throttled.rate, unless the image has another */
    uint32_t answer_bytes_max; /* of one answer; a larger batch is refused: 102 MiB */
};

/* NULL: out of memory. Before the first image of `partitions`. */
struct replica *replica_new(struct io *io, const struct replica_options *options) MUST_CHECK;

/* Where nodes are; after partition_table_apply() of the same image. A reference is taken. */
void replica_apply(struct replica *r, const struct image *image);

/* Stretches of logs that were held against their leaders' since the process began, and those that were not the same. */
struct replica_status {
    uint64_t compared, different;
};
struct replica_status replica_status(const struct replica *r);

/* Asks for nothing more; done() when no connection and no operation is left. */
struct replica_stop {
    void (*done)(struct replica_stop *s);
};
void replica_stop(struct replica *r, struct replica_stop *s);

/* After that; NULL is accepted. */
void replica_free(struct replica *r);
