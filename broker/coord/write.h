/* SPDX-License-Identifier: Apache-2.0 */

/* write: records of one group on their way into its partition, as one batch. Private to
 * broker/coord. */
#pragma once

#include "coord/group.h"
#include "partition/partition.h"

/* The header of an offset's record that says which topic it is of, by its 16 bytes of id. The value has
 * a place for it only in a version that not every tool reads; headers are passed over by all. */
#define WRITE_HEADER_TOPIC_ID "topic.id"

struct write {
    struct group *group;
    struct batch_builder batch;
    struct coord_call *call; /* that is answered by it, or NULL */
    int32_t generation;      /* that it is about */
    bool more;               /* it was full: deletions that belong to it follow */
    /* From the loop: the records are durable, or nothing was appended. Ends with write_drop(). */
    void (*done)(struct write *w, int error);
    struct bytes bytes;             /* of the finished batch, lent until done() */
    struct partition_append append; /* the host's */
    struct deadline refused;        /* the host's */
};

/* NULL: out of memory. done() does nothing but drop it. */
struct write *write_new(struct group *g) MUST_CHECK;

/* Add a record: ERR_TOO_LARGE, ERR_NO_MEMORY, and the batch is as before. */
int write_group(struct write *w) MUST_CHECK; /* members with their next assignments */
int write_group_deletion(struct write *w) MUST_CHECK;
int write_offset(struct write *w, const struct coord_offset *o, int64_t now_ms) MUST_CHECK;
int write_offset_deletion(struct write *w, struct wire_string topic, int32_t partition) MUST_CHECK;

/* Appends; what holds no record is done at once. */
void write_go(struct write *w);

/* NULL is accepted. */
void write_drop(struct write *w);

/* For group_written(): ends w. */
void write_done(struct write *w, int error);
