/* SPDX-License-Identifier: Apache-2.0 */

/* founding: whether a node without a cluster founds one or joins one. The decision alone: pure, no
 * I/O, no clock, no memory. founding_run.c asks the peers and carries the decision out.
 *
 * A node that starts in an empty directory with `peers` asks each of them who it is:
 *
 *     some peer is in a cluster ......................... JOIN it
 *     all answer, none has a cluster, all list each other  FOUND, if this node has the lowest id;
 *                                                         else WAIT for the one that has
 *     otherwise .......................................... WAIT, and say for whom
 *     what waiting cannot mend ........................... REFUSE, and say what contradicts what
 *
 * Invariants (asserted here; tests/unit/meta/founding.c has the histories, founding_run.c whole clusters)
 *   F1  Only the node with the lowest id among all that are listed founds, and it votes itself.
 *   F2  What a peer says counts when it has held: the same life of the peer (its incarnation) has said the
 *       same twice, the second time when it was asked after the first answer was here. So there is a moment
 *       at which it was true, and for FOUND one moment at which all of it was true together: every
 *       peer was asked once more after the first of what it says now had come from every other.
 *   F3  Who joins takes the cluster and its voters from what has held. It votes if the voters
 *       name it with its directory, else it observes: a node with a new disk is another voter.
 *   F4  A directory of one cluster is never brought into another.
 *
 * Lists are compared by the nodes that they name, not by their text: an address is the node that
 * answered there, or the one that advertises it. A list names its own node whether it says so or not. */
#pragma once

#include "meta/image.h"
#include "meta/voters.h"

enum {
    FOUNDING_PEERS_MAX = 16,
    FOUNDING_VOTERS_MAX = 5,
    FOUNDING_ADDRESS_SIZE = 264, /* HOST:PORT with its NUL */
    FOUNDING_WHY_SIZE = 800,
    FOUNDING_VERSION_SIZE = 64,
    FOUNDING_TROUBLE_SIZE = 100,
};

struct founding_endpoint {
    char name[VOTER_NAME_MAX]; /* of the listener */
    char host[VOTER_HOST_MAX];
    uint16_t port;
};

/* What a node says of itself. */
struct introduction {
    int32_t node_id;
    struct uuid directory_id;
    struct uuid incarnation_id; /* of this life of its process */
    struct uuid cluster_id;     /* zero: none yet */
    char version[FOUNDING_VERSION_SIZE];
    uint32_t peer_count, endpoint_count;
    char peers[FOUNDING_PEERS_MAX][FOUNDING_ADDRESS_SIZE];   /* by founding_address(), none twice */
    struct founding_endpoint endpoints[IMAGE_ENDPOINTS_MAX]; /* advertised; at least one */
    /* With a cluster, as far as it knows: */
    struct voters voters; /* count 0: it does not yet */
    int32_t leader_id;    /* -1: unknown */
    int32_t leader_epoch;
};

/* HOST:PORT in the one form that addresses are compared in: lower case, IPv6 in brackets. Cut to
 * FOUNDING_ADDRESS_SIZE, which holds every host of VOTER_HOST_MAX. */
void founding_address(char out[static FOUNDING_ADDRESS_SIZE], const char *host, uint16_t port);

/* One of the peers, as far as it has answered. */
struct founding_peer {
    char address[FOUNDING_ADDRESS_SIZE];
    char trouble[FOUNDING_TROUBLE_SIZE]; /* why there is no answer; empty: none was awaited yet */
    uint32_t answers;       /* in a row that say the same; 0: the last request failed */
    uint64_t same_since_ns; /* when the first of them was here */
    uint64_t asked_ns;      /* when the last of them was asked for */
    struct introduction said;
};

/* Takes an answer to what was asked at `asked_ns`. */
void founding_heard(struct founding_peer *peer, const struct introduction *said, uint64_t asked_ns,
                    uint64_t now_ns);

/* No answer came: what the peer said before does not count any more. `trouble` is for people. */
void founding_unheard(struct founding_peer *peer, const char *trouble);

enum founding_verdict { FOUNDING_WAIT, FOUNDING_FOUND, FOUNDING_JOIN, FOUNDING_REFUSE };

struct founding_decision {
    enum founding_verdict verdict;
    bool ask_again; /* WAIT: nothing is missing but that the answers hold */
    bool early;     /* WAIT: this, or some peer was not heard at all yet: may change at once */
    bool elsewhere; /* of founding_doubt(): some peer is in another cluster */
    int error;      /* REFUSE */
    struct uuid cluster_id; /* JOIN; FOUND is for the caller to make one */
    struct voters voters;   /* FOUND, JOIN; by rising id for FOUND */
    bool votes;             /* this node, in this directory, is one of them */
    char why
        [FOUNDING_WHY_SIZE]; /* a sentence: whom it waits for, what contradicts what, who votes */
};

/* `self` may belong to a cluster already: then the decision is JOIN of that one, WAIT, or REFUSE. */
void founding_decide(struct founding_decision *out, const struct introduction *self,
                     const struct founding_peer *peers, uint32_t count);

/* The same for a node whose directory, at `root`, is of a cluster that it does not reach: WAIT, and say what the peers
 * are, or REFUSE, for they are of another one, or most of them follow another process that has this directory.
 *
 *   F7  Peers may be wrong, or lie. A directory is taken for that of another cluster when more than half of all
 *       that are listed beside this node are in one other cluster, and hold to it (F2), and nobody is in this one. */
void founding_doubt(struct founding_decision *out, const struct introduction *self,
                    const char *root, const struct founding_peer *peers, uint32_t count);

/* The same for a node that may be a copy of one that lives: `peers` are where its directory says that it is reached, or
 * was. REFUSE: who answers there has this directory; JOIN: nobody has; WAIT: not all have answered, or failed to. */
void founding_meet(struct founding_decision *out, const struct introduction *self, const char *root,
                   const struct founding_peer *peers, uint32_t count);

/* When the sentence of a decision is to be told: at each change, and every ten seconds; what is early only
 * when it is so for three seconds. */
struct founding_told {
    uint64_t at_ns;
    bool early;
    uint64_t early_since_ns;
    char why[FOUNDING_WHY_SIZE];
};
bool founding_tell(struct founding_told *told, const struct founding_decision *d, uint64_t now_ns);
