/* SPDX-License-Identifier: Apache-2.0 */

/* raft_hop: messages of the consensus core over Kafka's bytes, one at a time: what a connection does between two
 * nodes, without one. For tests of broker/meta/quorum_wire.h. */
#pragma once

#include "meta/quorum_wire.h"

enum { RAFT_HOP_BYTES = 1 << 16 };

extern const char raft_hop_cluster[]; /* that all requests name */

struct raft_hop {
    struct memory memory;
    struct wire_writer writer;
    uint8_t bytes[RAFT_HOP_BYTES];
};

void raft_hop_init(struct raft_hop *h);
void raft_hop_deinit(struct raft_hop *h); /* asserts that nothing has leaked */

/* The newest version of the request's API. */
int raft_hop_version(enum raft_kind request);

/* The body of a request, lent until the next call. */
struct bytes raft_hop_request(struct raft_hop *h, const struct raft_message *m, int version);

/* What `self` makes of a request's body; out->ticket is 0. ERR_UNKNOWN_TOPIC_ID: a Fetch of something else. */
int raft_hop_take(struct raft_hop *h, enum raft_kind request, int version, struct bytes body,
                  struct raft_id self, struct raft_message *out) MUST_CHECK;

/* The body of an answer, lent until the next call; `error`: instead of `m`. */
struct bytes raft_hop_answer(struct raft_hop *h, enum raft_kind request,
                             const struct raft_message *m, int error, struct bytes records,
                             int version);

/* Whether what came is what was sent, but for the ticket, the batches, and what nobody reads. */
bool raft_hop_same(const struct raft_message *sent, const struct raft_message *came);
