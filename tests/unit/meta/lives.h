/* SPDX-License-Identifier: Apache-2.0 */

/* lives: a metadata log in a simulated machine that lives many times over one disk. Workers on its
 * shards submit operations; the tally knows what was told and checks every life against it: what
 * was acknowledged is there, what was acknowledged as deleted is not, epochs and producer ids have
 * grown. A check that fails ends the node (SIM_ASSERTED). */
#pragma once

#include "meta/files.h"
#include "meta/meta.h"
#include "sim/sim.h"

enum { LIVES_NAMES = 24, LIVES_WORKERS = 5, LIVES_EPOCHS = 16, LIVES_BLOCKS = 8192 };

enum known { KNOWN_ABSENT, KNOWN_PRESENT, KNOWN_MAYBE };

struct told {
    enum known known;
    struct uuid id;                     /* when present */
    int32_t partitions;                 /* at least */
    int32_t leader_epoch[LIVES_EPOCHS]; /* last seen */
    bool busy;                          /* an operation is under way */
};

struct lives;

struct worker {
    struct lives *lives;
    struct io *io; /* of its shard */
    struct meta_op op;
    struct io_message start;
    struct told *topic;
    int32_t partitions;
    char name[16];
};

struct lives {
    struct sim *sim;
    struct sim_node *node;
    struct meta_options options;
    unsigned shards;
    unsigned ops_per_life; /* then the node stops by itself */
    int32_t min_isr;       /* 0, or what every answer must find in the image as the cluster's */
    struct prng choices;

    /* what was told, over all lives */
    struct told topics[LIVES_NAMES];
    bool blocks[LIVES_BLOCKS]; /* of producer ids that were given out */
    int64_t broker_epoch;
    struct uuid cluster_id, directory_id;
    bool founded;
    unsigned acknowledged, refused;

    /* this life */
    struct file_sync sync;
    struct meta_open open;
    struct meta_close close;
    struct meta *meta;
    const struct image *image; /* as published */
    struct io *ios[SIM_SHARDS_MAX];
    struct worker workers[LIVES_WORKERS];
    struct io_message last, stops[SIM_SHARDS_MAX];
    unsigned working, submitted;
    bool opened, closed;
    int open_error;
    int expect_error; /* of meta_open(): the node then stops */

    /* what stood in the directory when the last life stopped by itself */
    unsigned snapshots; /* seen, over all lives */
    char newest_snapshot[IO_PATH_MAX];
};

void lives_init(struct lives *l, uint64_t seed, unsigned shards);
void lives_deinit(struct lives *l);

/* Starts the node and lets it run to its end: by itself, or in place of its `crash_after`-th
 * operation (0: none). */
enum sim_state lives_run(struct lives *l, uint64_t crash_after, enum sim_crash_kind kind);

/* A name of the tally. */
void lives_name(unsigned index, char out[static 16]);
