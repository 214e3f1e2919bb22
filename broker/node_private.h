/* SPDX-License-Identifier: Apache-2.0 */

/* Between node.c (shards, images, the end), node_directory.c (what stands in the data directory)
 * and node_start.c. */
#pragma once

#include "node.h"

#include "api/api.h"
#include "config/config.h"
#include "coord/coord.h"
#include "log/log.h"
#include "meta/files.h"
#include "meta/founding_run.h"
#include "meta/give_up.h"
#include "meta/meta.h"
#include "partition/partition.h"
#include "replica/replica.h"

#include <stdatomic.h>

enum { NODE_MAGIC = 0x6e6f6465, NODE_SHARDS_MAX = 64, NODE_TEXT_SIZE = 256 };

enum node_state {
    NODE_STARTING,
    NODE_SERVING,
    NODE_LEAVING, /* serves until others lead what it leads */
    NODE_STOPPING,
    NODE_ENDED
};

struct node;

struct node_shard {
    struct node *node;
    struct io *io;
    struct log_set *logs;
    struct partition_table *partitions;
    struct replica *replica;
    struct coord *coord;
    struct api *api;
    const struct image *image; /* applied */
    bool failed;               /* the step of node_on_shards() did not succeed */
    size_t listener;           /* which one could not listen, */
    int listen_error;          /* and the negative errno */

    struct io_message message; /* of node_on_shards() */
    void (*step)(struct node_shard *s);

    struct io_message image_message;
    _Atomic(const struct image *) image_next; /* published, not yet applied; with a reference */

    struct partition_settle settle;
    struct io_message stop_message;
    struct api_stop api_stop;
    struct replica_stop replica_stop;
    struct coord_stop coord_stop;
    struct log_set_close log_close;
};

struct node {
    uint32_t magic;
    enum node_state state;
    struct memory *memory;
    struct node_options options;
    const struct config *config;
    char data[IO_PATH_MAX], meta_root[IO_PATH_MAX];
    uint64_t started_ns;
    unsigned stops_asked;
    uint64_t stop_asked_ns; /* the last time */
    struct io_message begin;
    unsigned shards_begun; /* shards that have called node_start(), counted on shard 0 */

    /* directory */
    struct io_file *lock;
    struct io_op lock_retry;
    uint64_t lock_until_ns;
    /* Hold ports that the system chose until the apis listen. */
    struct io_listener *reserved[CONFIG_LISTENERS_MAX];
    uint16_t ports[CONFIG_LISTENERS_MAX];
    struct image_endpoint endpoints[CONFIG_LISTENERS_MAX]; /* advertised */
    char path[IO_PATH_MAX];
    char text[NODE_TEXT_SIZE];
    struct file_load load;
    struct file_store store;
    struct file_remove remove;
    struct file_sync sync;
    size_t level;               /* of n->data: names up to here are durable */
    bool clean;                 /* the last stop left its mark */
    bool all_lost, memory_lost; /* of what was acknowledged here (P23) */
    bool foreign;               /* the directory holds what is not ours */
    void (*directory_done)(struct node *n);

    /* rooms */
    struct introducer *introducer;
    struct founding_options founding_options;
    struct founding_open founding;
    const char *peers[FOUNDING_PEERS_MAX]; /* of all that ask */
    struct founding_open inquiry;          /* about its own directory: node_doubt.c */
    void (*when_met)(struct node *n);
    struct io_op doubt_timer;
    bool doubt_asked; /* its time is that of an inquiry that is under way, or was answered soon */
    char voter_peers[RAFT_VOTERS_MAX][FOUNDING_ADDRESS_SIZE];
    struct meta_options meta_options;
    struct meta_open meta_open;
    struct meta *meta;
    bool listening;
    void (*when_listening)(struct node *n);
    bool finding; /* whom it belongs to; can be stopped */
    bool joining; /* nothing but the cluster is waited for: it can be stopped */
    bool joined;
    struct meta_retire retire;
    struct meta_close meta_close;
    struct log_options log_options;
    struct log_recover recover;
    struct log_recovery *recovery;
    struct give_up give_up; /* after damage, before the logs are recovered once more */
    struct api *apis[NODE_SHARDS_MAX];
    const struct image *image; /* newest published */

    /* one step on every shard */
    unsigned pending;
    bool step_failed;
    void (*then)(struct node *n);

    struct node_shard shards[NODE_SHARDS_MAX];
};

struct io *node_io(struct node *n); /* of shard 0 */

/* Runs `step` on every shard, then `then` on shard 0; node_step_done() ends a shard's step. */
void node_on_shards(struct node *n, void (*step)(struct node_shard *s),
                    void (*then)(struct node *n));
void node_step_done(struct node_shard *s);

/* Ends the node with a line for the operator: every shard is stopped. */
void node_fail(struct node *n, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Tells others what this node knows of the quorum. */
void node_introduce(struct node *n);

/* Takes the reference: the newest image on this shard. */
void node_apply_image(struct node_shard *s, const struct image *image);

/* The newest image goes to every shard, and is applied on this one. */
void node_show_image(struct node *n);

/* node_directory.c: makes, locks and checks the directory, takes the clean mark away. */
void node_open_directory(struct node *n, void (*done)(struct node *n));
/* Writes the clean mark, after everything is flushed. */
void node_mark_clean(struct node *n, void (*done)(struct node *n));

/* node_doubt.c: before it takes part in the quorum, whether another process has this directory; */
void node_meet(struct node *n, void (*then)(struct node *n));
/* the controller says that another one has its id (meta_options.displaced). */
void node_displaced(void *context, const char *why);
/* It joins, or leads alone; it has joined, or stops. */
void node_doubt(struct node *n);
void node_doubt_end(struct node *n);

/* node_give_up.c: damage has been found, n->recover says which. */
void node_damaged(struct node *n);

/* node_boot.c: what may be lost here and is not told yet: before recovery; before what is damaged is given up; when the
 * broker is registered; after a clean stop. */
void node_boot_load(struct node *n, void (*done)(struct node *n));
void node_boot_lost(struct node *n, void (*done)(struct node *n));
void node_boot_told(struct node *n, void (*done)(struct node *n));
void node_boot_forget(struct node *n, void (*done)(struct node *n));

/* node_start.c: from the directory to serving. */
void node_start_rooms(struct node *n);
void node_recover_logs(struct node *n);
/* meta_options.lost. */
bool node_lost(void *context, const struct image_topic *topic);
