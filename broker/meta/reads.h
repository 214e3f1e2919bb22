/* SPDX-License-Identifier: Apache-2.0 */

/* reads: linearizable reads of the metadata (ReadIndex: Ongaro's dissertation 6.4). META_READ is done when the image of
 * this node shows all that was committed anywhere when it was submitted.
 *
 *     next --one at a time: quorum_read()--> asking --a majority has confirmed it--> seen --the image is there--> done
 *       ^-------- this node does not lead any more: back to those that wait, and from there to who does ------'
 *
 * Those that come while one is being confirmed share the next one. On another node than the leader it is
 * DescribeQuorum, whose answer says how far the log is committed (forward.h), one at a time as well. Private to
 * meta. */
#pragma once

#include "base/list.h"
#include "meta/meta.h"

struct reads {
    struct list next, asking, seen; /* of struct meta_op */
    uint64_t sequence;              /* of those that ask */
    uint64_t confirmed;             /* the newest sequence that a majority has confirmed, */
    int64_t offset;                 /* and what was committed then, its end */

    /* On another node: one is on its way to the leader, those that came before it was sent share its answer, and those
     * that came later wait for the next one. */
    bool forwarded, sent;
    struct list sharing, later;
};

void reads_init(struct reads *r);
/* It leads. The operation is in no list. */
void reads_take(struct meta *m, struct meta_op *op);
void reads_confirmed(struct meta *m, uint64_t sequence, int64_t offset);
/* It does not lead any more. */
void reads_lost(struct meta *m);
/* Those that are not to be sent on fail at once where nobody leads. */
void reads_refuse(struct meta *m);
/* Asks, and answers what the image shows. */
void reads_look(struct meta *m);
/* For forward.c: one is on its way, and this one need not be. */
void reads_share(struct meta *m, struct meta_op *op);
/* What waits has been looked through: who comes now comes later than the one on its way. */
void reads_sent(struct meta *m);
/* The one on its way has ended. Its own answer is forward.c's. */
void reads_forwarded(struct meta *m, int error);
/* It is to be sent again, with all that share it. */
void reads_back(struct meta *m);
/* Fails all. */
void reads_close(struct meta *m);
