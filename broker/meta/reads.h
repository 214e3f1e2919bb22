/* SPDX-License-Identifier: Apache-2.0 */

/* reads: linearizable reads of the metadata (ReadIndex: Ongaro's dissertation 6.4). META_READ is done when the image of
 * this node shows all that was committed anywhere when it was submitted.
 *
 *     next --one at a time: quorum_read()--> asking --a majority has confirmed it--> seen --the image is there--> done
 *       ^-------- this node does not lead any more: back to those that wait, and from there to who does ------'
 *
 * Those that come while one is being confirmed share the next one. On another node than the leader it is
 * DescribeQuorum, whose answer says how far the log is committed (forward.h). Private to meta. */
#pragma once

#include "base/list.h"
#include "meta/meta.h"

struct reads {
    struct list next, asking, seen; /* of struct meta_op */
    uint64_t sequence;              /* of those that ask */
    uint64_t confirmed;             /* the newest sequence that a majority has confirmed, */
    int64_t offset;                 /* and what was committed then, its end */
};

void reads_init(struct reads *r);
/* It leads. The operation is in no list. */
void reads_take(struct meta *m, struct meta_op *op);
void reads_confirmed(struct meta *m, uint64_t sequence, int64_t offset);
/* It does not lead any more. */
void reads_lost(struct meta *m);
/* Asks, and answers what the image shows. */
void reads_look(struct meta *m);
/* Fails all. */
void reads_close(struct meta *m);
