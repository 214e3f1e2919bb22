/* SPDX-License-Identifier: Apache-2.0 */

/* give_up: a node that has found damage in its logs asks the controller whether others have what it holds
 * (GiveUpReplicas, leat's own API 10004), before it joins anything.
 *
 *     begin --> asks every peer, again and again --the controller takes it out of all sets--> done(0)
 *                      |--'
 *                      '--the time is up, or it is stopped--> done(error), `why` says what the controller said last
 *
 * Who asks may vote meanwhile (meta_vote()), for its vote may be the one without which nobody can answer. Shard 0. */
#pragma once

#include "base/uuid.h"
#include "io/io.h"

struct give_up_run;

/* Lent until done(). */
struct give_up_options {
    int32_t node_id;
    struct uuid cluster_id, directory_id;
    const char *const *peers; /* HOST:PORT, in their one form (founding_address()); 1 or more */
    uint32_t peer_count;
    uint64_t patience_ns; /* 0: 30 s */
};

struct give_up {
    /* 0: this broker is in no in-sync and no eligible set, and nobody puts it there before it registers.
     * ERR_INTERRUPTED: give_up_stop(). ERR_TIMEOUT: others do not have it, or no controller was found.
     * ERR_NO_MEMORY. */
    void (*done)(struct give_up *g, int error);
    char why[300];           /* out: a part of a sentence, with an error */
    struct give_up_run *run; /* NULL: nothing is under way */
    struct io_message message;
};

void give_up_begin(struct io *io, struct give_up *g, const struct give_up_options *options);

/* done() follows, unless it has come; harmless when nothing is under way. */
void give_up_stop(struct give_up *g);
