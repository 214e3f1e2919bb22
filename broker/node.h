/* SPDX-License-Identifier: Apache-2.0 */

/* node: one broker. Builds, starts and stops every room in order, and knows nothing else.
 *
 *     <data>/lock             held as long as the node lives
 *     <data>/format           which version of this layout it is
 *     <data>/clean-shutdown   there between a clean stop and the next start (RELIABILITY 3.1, P25)
 *     <data>/meta/            the metadata log, broker/meta
 *     <data>/topics/ ...      the partitions, broker/log
 *
 * start:  lock, format -> what of the metadata stands here -> logs recovered -> on each shard its logs,
 *         partitions and api -> (with peers: listening, for them alone) -> metadata joined, the image
 *         applied -> listening -> ready
 * stop:   (in a cluster: others lead what this node led, and it is fenced, at most 5 s) ->
 *         apis -> partitions -> logs of each shard -> metadata -> clean-shutdown -> stopped
 *
 * A struct node has no state outside itself and the memory that it is given, so several live in one
 * process, and one can be dropped at any operation. node_start() is called on every shard of an io
 * group; all other calls are made on shard 0. */
#pragma once

#include "base/logger.h"
#include "io/io.h"

struct config;
struct node;

enum {
    NODE_EXIT_OK = 0,
    NODE_EXIT_FAILURE = 1,
    NODE_EXIT_DAMAGE = 74, /* EX_IOERR: data is damaged, the operator decides */
    NODE_EXIT_BUSY = 75,   /* EX_TEMPFAIL: another process holds the data directory or a port */
    NODE_EXIT_CONFIG = 78, /* EX_CONFIG: a directory or an address that cannot be this node's */
    NODE_LINE_SIZE = 1024,
};

/* Everything pointed to is lent until the io group is closed. */
struct node_options {
    const struct config *config;
    unsigned shards;
    bool accept_loss;                 /* go on when damage is found */
    uint64_t metadata_snapshot_bytes; /* of the metadata log between two snapshots; 0: 16 MiB */
    uint32_t metadata_piece_bytes;    /* of a snapshot that comes from the leader; 0: 1 MiB */
    struct {
        unsigned log, raft, controller, replication, coord;
    } mutants;          /* simulator builds: rules left out, 0: none */
    uint64_t files_max; /* that the process may open, sockets too; 0: as many as it likes */
    /* Whose level follows logging.level when that changes while the node runs; NULL: none. */
    struct logger *logger;
    uint64_t
        started_ns; /* io_clock() when the process began, for the ready line; 0: node_start() */
    /* The node serves: one line for people. Shard 0. */
    void (*ready)(void *context, const char *line, uint16_t port);
    /* The node ends with this status, and `line` says why when it is not 0; io_stop() has been
     * asked of every shard, nothing more is called. Shard 0. */
    void (*ended)(void *context, int status, const char *line);
    void *context;
};

/* `memory` belongs to the caller and outlives the io group. NULL: out of memory. */
struct node *node_new(struct memory *memory, const struct node_options *options) MUST_CHECK;

/* Begins on this shard; `node` is a struct node (for io_group_run). */
void node_start(struct io *io, void *node);

/* Stops gracefully, after others lead what they can; the second call stops at once, as a kill would, but
 * with status 1. While the node starts, the first one waits until it has started. */
void node_stop(struct node *node);
