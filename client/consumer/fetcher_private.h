/* SPDX-License-Identifier: Apache-2.0 */

/* What fetcher.c (what is asked when), fetch_request.c and offsets_request.c share. */
#pragma once

#include "consumer/fetcher.h"

#include <stdlib.h>

enum {
    FETCH_PARTITIONS_MAX = 10000, /* per request */
    FETCH_ARENA_MAX = 64 << 20,
    FETCH_GRACE_MS = 10000,   /* beyond fetch_max_wait_ms */
    FETCH_SHORT_WAIT_MS = 20, /* when some partitions had to be left out */
    UNKNOWN_TOPIC_ANSWERS_MAX = 5,
};

enum fetch_kind { FETCH_RECORDS, FETCH_OFFSETS, FETCH_EPOCHS, FETCH_KINDS };

struct fetcher_node {
    struct list link;
    int32_t broker_id;
    bool busy[FETCH_KINDS];
    struct list due[FETCH_KINDS]; /* partitions by node_link, of the round being put together */
    uint32_t due_count[FETCH_KINDS];
    bool left_out; /* a partition waits for room */
};

/* A partition in a request, as it was when it was asked. */
struct fetch_part {
    struct consumer_partition *partition; /* referenced */
    uint32_t generation;
    int32_t leader_epoch; /* of the partition, by metadata */
    int64_t offset;
    int64_t timestamp; /* FETCH_OFFSETS: what to ask */
    int32_t epoch;     /* FETCH_EPOCHS: the fetched one */
    bool answered;
};

struct fetch_op {
    struct list link; /* of fetcher->ops */
    struct request request;
    struct fetcher *fetcher;
    struct fetcher_node *node;
    enum fetch_kind kind;
    int32_t wait_ms;
    uint32_t count;
    struct fetch_part parts[]; /* by topic */
};

void fetch_records_start(struct fetch_op *op);
void fetch_offsets_start(struct fetch_op *op);
void fetch_epochs_start(struct fetch_op *op);

/* All in the gate. The part that a topic and partition of an answer belong to, found at or after
 * *next, or NULL; each is found once. */
struct fetch_part *fetch_find(struct fetch_op *op, uint32_t *next, struct wire_string name,
                              const struct uuid *id, int32_t partition);

/* Whether the part's answer is still wanted. */
bool fetch_wanted(const struct fetch_part *part);

/* Tries the partition again after a pause; `error` decides whether metadata are refreshed. */
void fetch_again(struct fetcher *f, struct consumer_partition *p, int error);

/* Queues an error and pauses the partition. */
void fetch_refuse(struct fetcher *f, struct consumer_partition *p, const leat_error *error);

/* Queues a chunk. ERR_NO_MEMORY. */
int fetch_queue(struct fetcher *f, struct consumer_partition *p,
                const struct chunk *from) MUST_CHECK;

/* The request is over: gives its references back and goes on. */
void fetch_end(struct fetch_op *op);
