/* SPDX-License-Identifier: Apache-2.0 */

/* cluster_world: several whole nodes in one simulated network, each with a disk and the others as peers, and a
 * client on a machine of its own that makes and deletes topics at any of them. What is held against all of
 * them at every step of the world:
 *
 *   M1   an epoch of the quorum has one leader, whoever is asked
 *   M6   images of one offset are equal, on every node and in every life
 *   M12  the image of a life never goes back
 *   B1   epochs of brokers and of leaders of partitions never go back
 *   B2   no node ends by itself
 *   B3   one that is asked to stop ends
 *
 * and when the faults are over:
 *
 *   C1   all nodes serve, with the same leader, at the same offset, every broker registered and unfenced, every
 *        partition led unless the disk of its replica was lost
 *   C2   every topic whose creation was answered is there, none whose deletion was answered is
 *   C3   a topic that the controller makes then is seen at every node */
#pragma once

#include "node_private.h"

#include "base/prng.h"
#include "sim/sim.h"

enum {
    CLUSTER_NODES_MAX = 5,
    CLUSTER_TOPICS_MAX = 200,
    CLUSTER_PARTITIONS = 3,
    CLUSTER_EPOCHS_MAX = 20000,
    CLUSTER_OFFSETS_MAX = 100000,
    CLUSTER_ASKS_MAX = 8,
    CLUSTER_ANSWER_SIZE = 256 << 10,
};

#define CLUSTER_MS UINT64_C(1000000)

struct cluster_world;

struct member {
    struct cluster_world *world;
    struct sim_node *machine;
    int32_t id;
    unsigned shards;
    struct memory config_memory, memory;
    struct config *config;
    struct node *node; /* of this life */
    struct io_message stop;
    bool stopping;    /* it was asked to, */
    uint64_t stop_ns; /* at that time */
    bool ready, ended;
    int status;
    char why[NODE_LINE_SIZE];
    uint64_t restart_ns;       /* 0: it runs, or stays down */
    const struct image *image; /* the newest that was looked at, to see when there is another */
    int64_t offset;            /* of it; -1: none yet in this life */
    unsigned lives;
    struct uuid directory;   /* of its newest registration */
    int64_t topics_lost;     /* topics that had been asked for when its disk was lost, */
    int64_t topics_doubtful; /* and when it was registered with another */
};

enum topic_state {
    TOPIC_ASKED,   /* nobody knows */
    TOPIC_THERE,   /* its creation was answered */
    TOPIC_PARTING, /* nobody knows any more */
    TOPIC_GONE,    /* its deletion was answered */
};

struct told_topic {
    char name[16];
    enum topic_state state;
    struct uuid id; /* of the newest image */
    int32_t leader_epochs[CLUSTER_PARTITIONS];
};

/* A request of the client on a connection of its own. */
struct ask {
    struct cluster_world *world;
    struct member *member;
    int16_t key, version;
    struct told_topic *topic; /* of CreateTopics and DeleteTopics */
    struct io_socket *socket;
    struct io_op connect, send, receive;
    struct iovec iovec;
    uint8_t out[1024], in[CLUSTER_ANSWER_SIZE];
    size_t in_size;
    uint64_t deadline_ns;
    bool active, over, answered;
};

struct cluster_world {
    uint64_t seed;
    struct sim *sim;
    struct prng random;
    struct sim_node *client;
    uint32_t count;
    char peers[64];
    struct member members[CLUSTER_NODES_MAX];
    struct told_topic topics[CLUSTER_TOPICS_MAX];
    uint32_t topic_count;
    struct ask asks[CLUSTER_ASKS_MAX];
    struct memory memory; /* of requests and answers */
    struct arena arena;

    int32_t leaders[CLUSTER_EPOCHS_MAX];  /* of each epoch; 0: not told */
    uint64_t images[CLUSTER_OFFSETS_MAX]; /* sums; 0: not seen */
    int64_t newest;                       /* offset of an image */
    int64_t broker_epochs[CLUSTER_NODES_MAX];
    uint64_t answered; /* creations and deletions */
};

/* Nodes 1 .. count, none of them started. */
void world_open(struct cluster_world *w, uint64_t seed, uint32_t count);
void world_close(struct cluster_world *w);

void member_start(struct member *m);
void member_stop(struct member *m);
/* Nothing reaches it from other nodes, or them from it, or both. */
void member_cut(struct member *m, bool in, bool out);

/* Another, empty disk; the node is not running. */
void member_lose_disk(struct member *m);
bool member_runs(const struct member *m);

/* Lets time pass; starts who is due. */
void world_run(struct cluster_world *w, uint64_t ns);

/* How long things take, how often connections break and what a crash loses, until world_heal(). */
void world_choose_faults(struct cluster_world *w);

/* One fault, or a topic, or nothing. */
void world_disturb(struct cluster_world *w);

/* Nothing is cut, slow or paused any more, and all that do not run are started. */
void world_heal(struct cluster_world *w);

/* C1 within `ns`, then C2 and C3. */
void world_settle(struct cluster_world *w, uint64_t ns);

/* C1 now; else what is missing. */
bool world_converged(struct cluster_world *w, char why[static 200]);

/* The node that leads, as all know; NULL: they do not. */
struct member *world_leader(struct cluster_world *w);

struct told_topic *world_create(struct cluster_world *w, struct member *m);
void world_delete(struct cluster_world *w, struct member *m, struct told_topic *t);
