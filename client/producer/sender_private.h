/* SPDX-License-Identifier: Apache-2.0 */

/* What sender.c (what goes when) and produce_request.c (one request and its answer) share. */
#pragma once

#include "producer/sender.h"

enum {
    PRODUCE_BATCHES_MAX = 1024,  /* per request */
    PRODUCE_BYTES_MAX = 4 << 20, /* per request, but at least one batch */
    PRODUCE_ANSWER_MAX = 16 << 20,
    PRODUCE_GRACE_MS = 5000, /* beyond request_timeout_ms, for the way */
};

/* A broker that leads partitions of ours. */
struct sender_node {
    struct list link;
    struct sender *sender;
    int32_t broker_id;
    unsigned in_flight; /* requests */
    struct list queues; /* that may have something to send; the next to be served first */
};

struct produce_request_op {
    struct request request;
    struct sender_node *node;
    struct sender *sender;
    uint32_t count;
    struct producer_batch *batches[]; /* by topic and partition */
};

/* The batch of a queue that may go now, detached, with its number; or NULL, and *due_ns when to look again. In the
 * gate. */
struct producer_batch *sender_next(struct sender *s, struct producer_queue *q, uint64_t now,
                                   uint64_t *due_ns);

/* Sends these batches, which are sealed. ERR_NO_MEMORY. */
int produce_start(struct sender *s, struct sender_node *node, struct connection *connection,
                  struct producer_batch **batches, uint32_t count) MUST_CHECK;

/* What became of a batch in flight: `error` 0 or an error of the broker or the connection. */
void sender_outcome(struct sender *s, struct producer_batch *b, int error, int64_t base_offset,
                    int64_t timestamp, const leat_error *reason);

/* A request is over. */
void sender_request_done(struct sender *s, struct sender_node *node);
