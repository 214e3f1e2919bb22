/* SPDX-License-Identifier: Apache-2.0 */

/* cluster_client: a program with libleat on a machine of its own in the simulated network: a producer, a consumer,
 * a member of a group, or several of them. What the library's threads do elsewhere happens on one loop here;
 * everything else is the product.
 *
 * The machine ends as all machines do; a client that is started again is another life, with nothing of the one
 * before. What is called back runs in turns of the machine, as do client_produce() and client_assign(). */
#pragma once

#include "sim/sim.h"

struct cluster_client;

enum { CLIENT_LATEST = -1, CLIENT_EARLIEST = -2, CLIENT_ACKS_ALL = -1 };

struct client_record {
    const char *topic;
    int32_t partition;
    int64_t offset;
    const void *value; /* of a tombstone what its header says */
    size_t size;
    bool tombstone;
};

/* What became of a record that was produced with `tag`. code 0: it stands at `offset`, -1 if nobody said. */
struct client_report {
    uint64_t tag;
    int code;
    const char *message;
    int64_t offset;
};

struct client_program {
    void (*tick)(void *context); /* its own work, after everything that has arrived */
    void (*settled)(void *context, const struct client_report *r);
    /* Where a partition begins that was assigned by meaning: the answer to ListOffsets. */
    void (*starts)(void *context, const char *topic, int32_t partition, int64_t offset);
    void (*reads)(void *context, const struct client_record *r);
    void (*fails)(void *context, int code, const char *message); /* as leat_poll() would */
    /* Of a member: a partition comes, in this generation, or goes. */
    void (*changes)(void *context, const char *topic, int32_t partition, bool comes,
                    int32_t generation);
    /* Of a member: an offset is sent to be committed, and later perhaps acknowledged. */
    void (*commits)(void *context, const char *topic, int32_t partition, int64_t offset,
                    bool acknowledged);
    void *context;
};

struct client_options {
    const char *name;
    unsigned nodes; /* "n1" to "n<nodes>", port 9092 */
    uint64_t tick_ns;
    bool produces, consumes;
    int32_t acks;
    bool idempotent;
    int32_t codec; /* enum leat_compression */
    int32_t linger_ms, delivery_timeout_ms;
    const char
        *group; /* that it is a member of, as a consumer; NULL: none. Lent, with the topics */
    const char *const *topics;
    size_t topic_count;
    bool is_static; /* a member by its name: it may come back without a rebalance */
    struct client_program program;
};

/* The machine, not started. */
struct cluster_client *client_new(struct sim *sim, const struct client_options *options);

/* The world has gone before. */
void client_free(struct cluster_client *c);

void client_start(struct cluster_client *c);
void client_kill(struct cluster_client *c);
struct sim_node *client_machine(const struct cluster_client *c);

/* 0, or the negative enum leat_code with which leat_produce() would refuse, not waiting. `tag` is not 0; a key
 * without bytes is none. A tombstone has the value as a header. */
int client_produce(struct cluster_client *c, const char *topic, int32_t partition, uint64_t tag,
                   struct bytes key, struct bytes value, bool tombstone) MUST_CHECK;

/* Records of this life that nothing is known of yet. */
size_t client_unsettled(const struct cluster_client *c);

/* Reads a partition from an offset, or from CLIENT_LATEST or CLIENT_EARLIEST, in place of wherever it read it. */
void client_assign(struct cluster_client *c, const char *topic, int32_t partition, int64_t offset);

/* Of a member: of what it was given last. */
int32_t client_generation(const struct cluster_client *c);
/* What fails() is told of a member that was taken for gone, and joins again by itself. */
bool client_joins_again(int code);

/* A member commits what it has read; one commit is under way at a time. */
void client_commit(struct cluster_client *c);
