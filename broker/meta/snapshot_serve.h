/* SPDX-License-Identifier: Apache-2.0 */

/* snapshot_serve: pieces of this node's newest snapshot, for replicas whose log ends before it (FetchSnapshot). */
#pragma once

#include "meta/meta.h"
#include "meta/snapshot_wire.h"

/* One piece, asked for on any shard; embedded in its owner until done(). */
struct meta_piece {
    struct snapshot_request request;
    uint8_t *bytes; /* where it goes, `room` of them, lent until done() */
    uint32_t room;
    void (*done)(struct meta_piece *p); /* on the shard that asked */

    int error;                     /* out: ERR_CLOSED: the node stops; 0: */
    struct snapshot_answer answer; /* its piece lies in `bytes` */

    struct { /* meta's */
        struct io_message post;
        struct meta *meta;
        struct io *io; /* of the shard that asked */
        struct io_op op;
        struct io_file *file;
    } priv;
};
void meta_piece(struct meta *meta, struct io *io, struct meta_piece *p);
