/* SPDX-License-Identifier: Apache-2.0 */

/* quorum_links: what the core says to other replicas goes out, what they answer comes in. Private to meta. */
#pragma once

#include "net/peer.h"
#include "raft/raft.h"

struct meta;
struct quorum_link;

enum { QUORUM_LINKS_MAX = 16 };

struct quorum_links {
    struct quorum_link *list[QUORUM_LINKS_MAX];
    uint32_t count;
    uint32_t ends;    /* EndQuorumEpoch requests that are not answered */
    uint32_t closing; /* connections that are being closed */
    bool closed;
};

/* Sends a request of the core to the node that it is for; what cannot be sent is lost. */
void links_send(struct meta *m, const struct raft_message *message);

/* Another request for a node. False: there is no way to it now, and nothing was taken. */
bool links_call(struct meta *m, int32_t node, struct peer_request *request) MUST_CHECK;

/* The same for a piece of a snapshot, on the connection of fetches, of which there are none meanwhile. On the other
 * one it could stand behind what is answered when something is committed, and that may wait for this node. */
bool links_load(struct meta *m, int32_t node, struct peer_request *request) MUST_CHECK;

/* Who leads says where it is reached (BeginQuorumEpoch), or `peers` has led to it. That is used when the node has said
 * there that it is that node, of this cluster and with the directory that is known of it here: one forged request leads
 * nobody to a stranger. It is no proof against one who knows all that, and lies. When it is there no more, what the log
 * says is tried too. */
void links_learn(struct meta *m, int32_t node, struct bytes host, uint16_t port);

/* What was learned of it led to one that it cannot be. */
void links_forget(struct meta *m, int32_t node);

/* The node has said something of the quorum's, asked or not; and when it did last, by io_now(). 0: never, or it is not
 * reached since. */
void links_heard(struct meta *m, int32_t node);
uint64_t links_heard_ns(const struct meta *m, int32_t node);

/* Voters may be elsewhere than before. */
void links_moved(struct meta *m);

/* Closes all; meta_log_idle() when that is done. Once. */
void links_close(struct meta *m);
