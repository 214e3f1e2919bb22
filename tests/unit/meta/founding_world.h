/* SPDX-License-Identifier: Apache-2.0 */

/* founding_world: nodes that find each other in a simulated network, each with a disk, a listener that
 * answers ApiVersions and Introduce, and founding_open(). The tally outlives them and holds each
 * life against what was told before: one cluster, one directory for each disk, one founder, one set of
 * voters. A check that fails ends the node (SIM_ASSERTED), and world_check() sees that. */
#pragma once

#include "meta/files.h"
#include "meta/founding_run.h"
#include "net/net.h"
#include "sim/sim.h"

enum { WORLD_NODES_MAX = 6 };

struct founding_world;

struct world_node {
    struct founding_world *world;
    struct sim_node *sim;
    int32_t id;
    char host[16];
    struct image_endpoint endpoint;
    const char *peers[FOUNDING_PEERS_MAX];
    uint32_t peer_count;

    /* over all lives of one disk */
    struct uuid directory_id; /* once it was told */
    struct uuid cluster_id;   /* once founding_open() was done with it */
    unsigned lives, foundings;

    /* this life */
    struct io *io;
    struct introducer *introducer;
    struct net *net;
    struct file_sync sync;
    struct founding_open open;
    struct io_message stop;
    bool done;
    int error;
};

struct founding_world {
    struct sim *sim;
    uint32_t count;
    struct world_node nodes[WORLD_NODES_MAX];
    struct uuid cluster_id; /* the one that there is; zero: none yet */
    struct voters voters;
    bool
        disks_are_lost; /* then a node may have another directory and another cluster may be founded */
    bool voters_are_lost; /* the file of that name may be unreadable */
};

/* Nodes 1 .. count on the hosts n1, n2, ..., each with all of them as peers. None is started. */
void grounds_open(struct founding_world *w, uint64_t seed, uint32_t count);
void grounds_close(struct founding_world *w);

void world_start(struct world_node *n);
void world_run(struct founding_world *w, uint64_t ms);

/* Another, empty disk; the node is not running. */
void world_lose_disk(struct world_node *n);

/* Calls founding_stop() in the node. */
void world_stop(struct world_node *n);

/* Cuts the links between two nodes, or makes them whole. */
void world_link(struct founding_world *w, int32_t a, int32_t b, bool up);

/* Starts whoever does not run and lets time pass until all are done, `ms` at most; false: they are not. No
 * node has ended by itself. */
bool world_settle(struct founding_world *w, uint64_t ms);

/* A node whose founding_open() is done is of this cluster, votes as the tally says, and no node has
 * failed an assertion. */
void world_check(struct founding_world *w);
