/* SPDX-License-Identifier: Apache-2.0 */

/* voter_changes: who votes in the metadata quorum, changed while it runs (KIP-853). Private to meta.
 *
 *     META_ADD_VOTER, META_REMOVE_VOTER --to the leader (forward.h)--> waiting --now--> VotersRecord
 *     META_UPDATE_VOTER (a voter, to its leader) ----------------------^              --committed--> done
 *
 *   V1  One change at a time, against the voters that are committed (RELIABILITY M15): the core says when.
 *   V2  A voter that is added follows the log already, so that it can commit its own record.
 *   V3  What cannot be done now waits for its time to be over. Where it came from another node, that
 *       one waits, and asks again: its connection carries heartbeats and votes behind this answer, and
 *       is held up for a moment only.
 *   V4  A change whose leader was deposed before it was committed is answered with REQUEST_TIMED_OUT: nobody knows
 *       what becomes of it.
 *   V5  Where voters are reached is taken from the newest record in the log, committed or not, as the voters
 *       themselves are: an election may need one that nobody knew before. A truncation takes both back. */
#pragma once

#include "meta/meta.h"
#include "meta/voters.h"
#include "net/peer.h"

struct voter_changes {
    struct list waiting; /* of struct meta_op: a leader's */
    bool deciding;       /* they are being looked at */
    struct meta_op *op;  /* whose record is on its way; NULL: none, or it is answered already */
    int64_t end;         /* offset behind that record */
    struct voters next;  /* that it puts in force, */
    struct raft_voters ids;

    int64_t told_from; /* offset of the record that m->voters are of; -1: what is committed */
    struct voters
        before; /* those before m->voters: one that leads may not be among those any more */

    /* A voter's, who tells the leader where it is. */
    struct peer_request request;
    bool telling;
    uint64_t told_ns;
};

void voter_changes_init(struct voter_changes *c);

/* Whether this file carries it out, and not the controller. */
bool voter_change_is(const struct meta_op *op);

/* Until when the operation waits. */
uint64_t voter_change_until(const struct meta_op *op);

/* This node leads, and nothing is on its way: takes over what waits, and does the first that can be done. True:
 * its record is on its way now. */
bool voter_changes_next(struct meta *m);

/* A replica was heard: what waits is looked at when the turn ends. */
void voter_changes_look(struct meta *m);

/* What waits goes back to m->waiting: this node leads no more, or ends. */
void voter_changes_back(struct meta *m);

/* The leader's VotersRecord stands in its log, from `base` on. */
void voter_changes_appended(struct meta *m, int64_t base);

/* `voters` are the newest that this log tells of, from its offset `from` on. */
void voters_take(struct meta *m, const struct voters *voters, int64_t from);

/* NULL: neither those in force nor those before them have it. */
const struct voter *voters_known(const struct meta *m, int32_t node);

/* A follower's log has got a batch with a VotersRecord; it ends at `offset` again. */
void voters_follow(struct meta *m, const void *batch, size_t size, int64_t base);
void voters_truncated(struct meta *m, int64_t offset);

/* The image has another VotersRecord. */
void voters_show(struct meta *m);

/* This node votes, and its address in the record is not where it is: it tells `leader`. */
void voter_tell(struct meta *m, int32_t leader);

/* As requests to the leader: forward.c. */
int voter_change_encode(const struct meta *m, const struct meta_op *op, struct wire_writer *w,
                        int version) MUST_CHECK;
int voter_change_decode(struct meta_op *op, struct reader *in, int version,
                        struct arena *arena) MUST_CHECK;
