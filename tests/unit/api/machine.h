/* SPDX-License-Identifier: Apache-2.0 */

/* machine: a node on the simulated backend, in virtual time, and clients on another machine. What
 * they ask lies in client_arena() of broker.h. */
#pragma once

#include "broker.h"
#include "node.h"
#include "sim/sim.h"

#define SECOND_NS UINT64_C(1000000000)

struct world {
    struct sim *sim;
    struct sim_node *machine, *client;
    struct memory memory;
    struct config *config;
    struct node_options options;
    struct node *node;
    bool ready, ended;
};

/* Every answer that a caller awaits is one of few: it receives into one piece of memory. */
struct caller {
    struct world *w;
    struct io_socket *socket;
    struct io_op connect, receive, send;
    struct iovec iovec;
    uint8_t in[1 << 20];
    size_t in_size;
    bool connected, closed;
    bool deaf; /* reads nothing */
};

/* With a disk of so many bytes, 0: the simulator's own; one shard and seed 3 unless it is said. */
void world_open(struct world *w, uint64_t disk_bytes);
void world_open_as(struct world *w, uint64_t disk_bytes, unsigned shards, uint64_t seed);
void world_close(struct world *w);
/* Fails when the machine is neither up nor has ended. */
void world_run(struct world *w, uint64_t ns);
bool world_is_up(const struct world *w);
/* Another life on the same disk. */
void world_again(struct world *w);

/* `deaf`: reads nothing. */
struct caller *caller_open(struct world *w);
struct caller *caller_open_as(struct world *w, bool deaf);
void caller_send(struct caller *p, int16_t key, int16_t version, const void *request);
/* The answer that has come, decoded; NULL: none yet. */
void *caller_answer(struct caller *p, int16_t key, int16_t version);

/* The answer, on a connection of its own. */
void *world_ask(struct world *w, int16_t key, int16_t version, const void *request);
/* NULL: the machine has gone before it answered. */
void *world_ask_unless_cut(struct world *w, int16_t key, int16_t version, const void *request);

struct metadata_response_topics *world_metadata(struct world *w, const char *name, bool create);
void world_create_topic(struct world *w, const char *topic, int32_t partitions);
void world_delete_topic(struct world *w, const char *topic);
struct produce_request *produce_request(const char *topic, struct bytes batch, int32_t timeout_ms);
/* The error. */
int16_t world_produce(struct world *w, const char *topic, struct bytes batch, int32_t timeout_ms);
