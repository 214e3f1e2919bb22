/* SPDX-License-Identifier: Apache-2.0 */

/* introduce: how nodes tell each other who they are (Introduce, leat's own API 10001): the answer's
 * bytes, and the one who answers.
 *
 * What a node says of itself changes on shard 0 alone: founding_run.c says it first, then whoever knows
 * the cluster's voters and its leader. Requests come on any shard and travel there, as operations of
 * meta do. Until something has been said, the answer is BROKER_NOT_AVAILABLE. */
#pragma once

#include "io/io.h"
#include "meta/founding.h"

struct introducer;

/* On shard 0. NULL: out of memory. */
struct introducer *introducer_new(struct io *io) MUST_CHECK;

/* When no request is under way; NULL is accepted. */
void introducer_free(struct introducer *it);

/* What is said from now on; copied. Shard 0. */
void introducer_say(struct introducer *it, const struct introduction *self);

/* The same with other voters or another leader of its cluster. After introducer_say(). Shard 0. */
void introducer_say_quorum(struct introducer *it, const struct voters *voters, int32_t leader_id,
                           int32_t leader_epoch);

/* One question, embedded in its owner and left in place until done(). */
struct introduce_op {
    void (*done)(struct introduce_op *op); /* on the shard that asked */
    struct uuid cluster_id, directory_id;  /* of who asks */
    int32_t node_id;
    struct introduction *answer; /* where it goes; lent until done() */
    int error;                   /* out; with BROKER_NOT_AVAILABLE there is no answer */
    const char *why;             /* out: a sentence, NULL without error */

    struct { /* the introducer's */
        struct io_message message;
        struct introducer *introducer;
        unsigned shard;
    } priv;
};
void introducer_ask(struct introducer *it, struct io *io, struct introduce_op *op);

/* What an answer of the wire says, whatever its bytes: 0; the error that it carries, when it says
 * nothing else; ERR_MALFORMED. `why` is for people, "" without error. */
int introduction_read(struct introduction *out, const struct introduce_response *in,
                      char why[static FOUNDING_TROUBLE_SIZE]) MUST_CHECK;

/* The answer in the wire's form: borrows from `in`, takes memory from `arena`. `in` is NULL when
 * there is only an error. ERR_NO_MEMORY. */
int introduction_write(struct introduce_response *out, const struct introduction *in, int error,
                       const char *why, struct arena *arena) MUST_CHECK;
