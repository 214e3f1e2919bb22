/* SPDX-License-Identifier: Apache-2.0 */

/* controller: what an operation changes, decided purely: (image, operation) -> records, or an error
 * with a sentence. No clock, no randomness, no I/O: a fresh topic id comes in with the operation's
 * context. Private to meta; the answers follow Kafka's controller where clients can see them. */
#pragma once

#include "meta/edit.h"
#include "meta/meta.h"

struct cluster_sessions;
struct wire_message;

enum {
    CONTROLLER_PARTITIONS_PER_OP = 10000, /* as Kafka: what one atomic batch may hold */
    CONTROLLER_PRODUCER_IDS = 1000,       /* of a block */
};

struct controller_limits {
    int32_t node_id;
    int32_t num_partitions;             /* for topics that name no number */
    int16_t default_replication_factor; /* not above 0: image_default_factor() */
    int16_t replication_factor_max;     /* 0: as many as there are brokers */
    int32_t min_insync_replicas;        /* as its configuration states it; 0: it does not */
    bool unclean_elections;             /* of topics and clusters that do not choose */
    int32_t topics_max, partitions_max;
    bool memory_by_default; /* default.durability: written into topics that do not choose */
};

struct ends;

struct controller {
    const struct image *image;
    /* With what this operation has emitted so far; NULL: an operation looks at nothing twice. */
    const struct image *candidate;
    const struct controller_limits *limits;
    struct uuid fresh_id; /* for a topic to be created */
    int64_t next_offset;  /* of the first record emitted */
    struct memory *memory;
    struct cluster_sessions *sessions; /* of brokers; */
    struct ends *ends;                 /* of logs that nobody leads; */
    uint64_t now_ns;
    unsigned mutant; /* simulator builds: enum isr_mutant, cluster_mutant; 0: none */
    /* Takes a record: 0, or an error that ends the operation. `body` is lent for the call. */
    int (*emit)(void *context, const struct wire_message *message, int version, const void *body);
    void *context;
};

/* Decides `op` against c->image. On 0 its records have been emitted in order (none for
 * validate_only) and its outputs are set; otherwise `op->why` says why in a sentence. Returns what
 * it puts into op->error. */
int controller_decide(const struct controller *c, struct meta_op *op);
