/* SPDX-License-Identifier: Apache-2.0 */

/* founding_run: the first thing that happens to <data>/meta at a start: is it of a cluster, and if
 * not, which cluster does it found or join (founding.h decides, this asks and writes).
 *
 *     meta.properties --names a cluster--------------------------------------------------> MEMBER
 *       |        '------waits, and `voters` stands: the decision was made -> write the rest ---^
 *       |        '------waits -> ASK every peer, again and again, until it is decided ---------^
 *       '--missing: with `peers` make a directory id first, durably, then ASK
 *                   without: ALONE, and meta_open() founds a cluster of one
 *
 * Afterwards meta_open() finds a directory as it always does: meta.properties and vote; and as long as
 * the metadata log names no voters, those of `voters` count.
 *
 *   F5  Nothing is told to anybody that is not durable: first the directory id, then the cluster that was
 *       founded. That this node joins a cluster is said as soon as it is decided, for the cluster is there
 *       already, and a node that has lost its disk must not take this one for empty.
 *   F6  Files are replaced as a whole, each durable before the next: voters, vote, meta.properties. The
 *       first of them is the decision; a start that finds it asks nobody (docs/formats/voters.md).
 *
 * The node answers Introduce meanwhile: the peers wait for it as it does for them.
 *
 * A member asks as well, and writes nothing (founding_inquire()): those that are where it was reached, before it takes
 * part in anything; its peers, when it has not reached its cluster. */
#pragma once

#include "meta/introduce.h"

struct founding_run;

/* All that is pointed to is lent until done(). */
struct founding_options {
    const char *root; /* <data>/meta, exists, durably */
    int32_t node_id;
    const struct image_endpoint *endpoints; /* advertised, 1 to IMAGE_ENDPOINTS_MAX */
    uint32_t endpoint_count;
    const char *const *peers; /* HOST:PORT, as the configuration has checked them */
    uint32_t peer_count;      /* 0 to FOUNDING_PEERS_MAX */
    const char *version;      /* of this program */
    struct introducer *introducer;
    uint64_t ask_every_ns; /* 0: 500 ms */
    /* NULL, or told what each peer says of itself, and where it was asked; `said` is lent for the call. */
    void (*heard)(void *context, const char *address, const struct introduction *said);
    void *heard_context;
};

struct founding_open {
    /* 0; ERR_INVALID_ARGUMENT, ERR_BAD_CONFIG, ERR_INCONSISTENT_CLUSTER_ID,
     * ERR_DUPLICATE_BROKER_REGISTRATION: the configuration or the directory must change;
     * ERR_DAMAGED; ERR_INTERRUPTED: founding_stop(); and the errors of memory and disk. */
    void (*done)(struct founding_open *f, int error);
    bool alone;                 /* nothing stands there, and there are no peers to ask */
    bool elsewhere;             /* an inquiry: some peer is in another cluster */
    bool decided, founded;      /* this start has joined or founded; it has founded */
    struct uuid cluster_id;     /* unless alone */
    struct uuid directory_id;   /* unless alone */
    struct uuid incarnation_id; /* of this life, for introductions */
    struct voters voters;       /* of the file; count 0: there is none that can be believed */
    char why[FOUNDING_WHY_SIZE];
    struct founding_run *run; /* while it runs */
    struct io_message message;
};

/* Whom a directory belongs to, and what this life of its node says of itself. */
struct founding_member {
    struct uuid cluster_id, directory_id, incarnation_id;
};

/* On shard 0; `f` stays in place until done(). */
void founding_open(struct io *io, struct founding_open *f, const struct founding_options *options);

/* Asks those in options->peers about a directory that is of a cluster. done() comes with 0: nobody has it; with
 * ERR_DUPLICATE_BROKER_REGISTRATION or ERR_INCONSISTENT_CLUSTER_ID and the sentence; or with ERR_INTERRUPTED. False: no
 * memory. */
enum founding_question {
    FOUNDING_WHICH, /* founding_open()'s: which cluster it founds or joins */
    FOUNDING_DOUBT, /* are most of them in another cluster? Until it is stopped */
    FOUNDING_MEET,  /* does one of them live on this directory? */
};
bool founding_inquire(struct io *io, struct founding_open *f,
                      const struct founding_options *options, const struct founding_member *member,
                      enum founding_question question) MUST_CHECK;

/* Gives up: done() comes soon, with ERR_INTERRUPTED or with what overtook it. Harmless after it. */
void founding_stop(struct founding_open *f);

/* What a node of these options says of itself: for who founds alone, or knows more later. */
void introduction_of_node(struct introduction *out, const struct founding_options *options,
                          struct uuid cluster_id, struct uuid directory_id,
                          struct uuid incarnation_id);
