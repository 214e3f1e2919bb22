/* SPDX-License-Identifier: Apache-2.0 */

/* listed: a node of which `peers` says HOST:PORT and no more, asked one thing at a time, before this node has a
 * cluster or while it is not sure of its own. Shard 0. */
#pragma once

#include "net/peer.h"

/* A question has so long, and so has a connection. */
#define LISTED_TIMEOUT_NS UINT64_C(2000000000)

/* `address`: HOST:PORT in its one form (founding_address()), copied; `answer_bytes_max`: of a frame.
 * ERR_NO_MEMORY; then *out is untouched. Closed with peer_close(). */
int listed_open(struct peer **out, struct io *io, const char *address, int32_t node_id,
                uint32_t answer_bytes_max) MUST_CHECK;

/* Asks at once, or ends with an error: `key` in version 0. `r` is idle, and lent until done(). */
void listed_ask(struct peer *peer, struct peer_request *r, int16_t key,
                int (*encode)(struct peer_request *r, struct wire_writer *w, int version),
                void (*done)(struct peer_request *r, const struct peer_answer *answer));
