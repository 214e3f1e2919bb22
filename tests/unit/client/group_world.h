/* SPDX-License-Identifier: Apache-2.0 */

/* group_world: members of a group and the fake broker, in virtual time from one seed, with what may
 * never happen counted while it runs.
 *
 * A member is a machine with a core, a fetcher, a group and a poller on one loop, and a program that
 * polls at its own pace. Records are appended all the while. */
#pragma once

#include "fake_private.h"

#include "consumer/poller.h"
#include "history/recorder.h"
#include "sim/sim.h"

#define MS UINT64_C(1000000)

enum {
    WORLD_MEMBERS = 60,
    WORLD_TOPICS = 14,
    WORLD_PARTITIONS = 16, /* of a topic, at most */
    WORLD_RECORDS = 4000,  /* of a partition, at most */
    WORLD_GENERATIONS = 2000,
    WORLD_VIEW = 100,
};

struct world_member {
    struct world *world;
    struct sim_node *node;
    int index;
    struct memory heap;
    struct gate gate;
    leat_options options;
    leat_consumer_options consumer;
    struct core core;
    struct fetcher fetcher;
    struct group group;
    struct poller poller;
    struct io *io;
    struct io_op tick;
    uint64_t tick_ns;         /* how often its program polls */
    const char *const *names; /* what it subscribes to */
    size_t name_count;
    bool running, leaving, gone;
    bool zombie; /* was frozen: it may do what a member may not, until it has heard of it */
    leat_error failure;
    struct {
        int topic, partition;
        int64_t offset;
    } view[WORLD_VIEW]; /* what it was handed out; done with at its next poll */
    int view_count;
    uint64_t lost, revoked, assigned;
    uint64_t since_ns[WORLD_TOPICS][WORLD_PARTITIONS]; /* it holds them; 0: it does not */
};

struct world {
    struct sim *sim;
    struct sim_node *machine;
    struct fake_broker *broker;
    struct recorder *recorder; /* NULL: nobody wants the history */
    const char *topics[WORLD_TOPICS];
    int topic_count, partitions;
    struct world_member *members[WORLD_MEMBERS];
    int member_count;
    leat_consumer_options consumer; /* of members to come */
    struct sim_alarm appending;
    uint64_t append_ns; /* between two records of a partition; 0: no more */

    uint16_t handed[WORLD_TOPICS][WORLD_PARTITIONS][WORLD_RECORDS];
    bool done[WORLD_TOPICS][WORLD_PARTITIONS][WORLD_RECORDS]; /* by a program that lived on */
    int16_t owners[WORLD_GENERATIONS][WORLD_TOPICS][WORLD_PARTITIONS]; /* + 1 */
    uint64_t records, again;
    uint64_t shared;    /* a partition handed out by two members in one generation */
    uint64_t regressed; /* handed out though committed already */
    uint64_t late_ns;   /* the longest wait of a record of a partition that stayed */
};

struct world *world_new(uint64_t seed, int topics, int partitions);
void world_free(struct world *w);
void world_run(struct world *w, uint64_t ns);

/* A member begins, subscribed to all topics (or to what `names` says). */
struct world_member *world_join(struct world *w, const char *instance, const char *const *names,
                                size_t count);
void world_leave(struct world *w, struct world_member *m);
void world_kill(struct world *w, struct world_member *m);
void world_freeze(struct world *w, struct world_member *m, uint64_t ns);

/* Whether the members that run hold all partitions, each once, and agree on the generation. */
bool world_settled(const struct world *w);
bool world_settle(struct world *w, uint64_t most_ns);
size_t world_held(const struct world_member *m);

/* Stops appending, lets everything be read, and checks what must hold for every run. `once`: each
 * record was to be handed out exactly once. */
void world_check(struct world *w, bool once);
