/* SPDX-License-Identifier: Apache-2.0 */

/* cluster_load: the clients of a world, and what they do: producers with every kind of acks, readers that begin at
 * either end again and again, members of a group (cluster_group.h), an operator who makes, deletes and configures
 * topics; a history of all of it. */
#pragma once

#include "cluster_client.h"
#include "cluster_group.h"
#include "cluster_history.h"
#include "cluster_world.h"

enum {
    LOAD_CLIENTS_MAX = 64,
    LOAD_STAYING = 3, /* topics that stay, at most */
    LOAD_AGAIN = 2,   /* topics that are deleted and made again, at most */
    LOAD_TOPICS_MAX = LOAD_STAYING + LOAD_AGAIN + 1, /* one is compacted */
    LOAD_LOGS_MAX = LOAD_TOPICS_MAX * CLUSTER_PARTITIONS,
};

struct load;

struct load_topic {
    struct told_topic *told;
    bool again;
    unsigned first; /* of its partitions in load.logs */
};

/* A client. */
struct program {
    struct load *load;
    struct cluster_client *client;
    bool reads, member;
    int32_t acks;
    bool idempotent;
    bool large;                   /* it writes values of several blocks */
    unsigned burst;               /* records at a time, at most */
    unsigned logs[LOAD_LOGS_MAX]; /* what it writes or reads: indexes of load.logs */
    unsigned log_count;
    uint64_t restart_ns; /* it was killed; 0: it was not */
    struct prng random;

    /* Of one life: */
    bool assigned;
    unsigned writers[LOAD_LOGS_MAX];
    bool writes[LOAD_LOGS_MAX]; /* the writer is there */
    struct history_reading readings[LOAD_LOGS_MAX];
    struct holding holdings[LOAD_LOGS_MAX]; /* a member's, */
    int32_t generation;                     /* as of its last poll */
    uint64_t commit_ns;                     /* it has sent its last commit */
};

struct load {
    struct cluster_world *world;
    struct history *history;
    struct prng random;
    struct load_topic topics[LOAD_TOPICS_MAX];
    unsigned topic_count;
    struct {
        struct load_topic *topic;
        int32_t partition;
        unsigned log;           /* of the history */
        struct replica_sum sum; /* of load_compare(); end 0: none yet */
    } logs[LOAD_LOGS_MAX];
    unsigned log_count;
    struct program programs[LOAD_CLIENTS_MAX + GROUP_MEMBERS_MAX + 2];
    struct group_history group;
    unsigned count;
    bool sending;
    uint64_t calm_ns; /* since then all is well */
    uint64_t client_kills, client_pauses, deletions, creations;
};

/* Makes topics and clients, `clients` of them or as many as the seed says (0), and lets them begin. The cluster
 * has converged. */
void load_open(struct load *l, struct cluster_world *w, unsigned clients);
void load_close(struct load *l); /* the world has gone before */

/* Between two events: clients that are due are started. */
void load_go_on(struct load *l);

/* Something happens to a client or a topic. */
void load_disturb(struct load *l);

/* Every client runs, and every topic is there. */
void load_heal(struct load *l);

/* The cluster is well: what is sent from now on must be answered, and what was sent before be settled, within
 * `ns` (C19). */
void load_finish(struct load *l, uint64_t ns);

/* What all replicas hold of the topics that stay is the same (C29), and what they held when this was called
 * before. */
void load_compare(struct load *l);

/* Everything is read from its start to its end within `ns`, and judged. */
void load_judge(struct load *l, uint64_t ns);

/* --- for cluster_group.c ----------------------------------------------------------------------- */

/* A client that is not started; what it does is in the options. */
struct program *load_program(struct load *l, const struct client_options *options);
bool program_runs(const struct program *p);
/* What is read: an index of load.logs. */
unsigned load_log(const struct load *l, const char *topic, int32_t partition);
