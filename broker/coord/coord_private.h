/* SPDX-License-Identifier: Apache-2.0 */

/* Between coord.c (partitions, calls, writes) and load.c (replay). */
#pragma once

#include "coord/group.h"

enum coord_partition_state { PARTITION_LOADING, PARTITION_ACTIVE, PARTITION_FAILED };

/* A partition of __consumer_offsets that this node leads and whose home is this shard. */
struct coord_partition {
    struct coord *coord;
    struct list link, queue; /* in coord->partitions; in coord->load_queue */
    struct uuid topic_id;
    int32_t index, epoch;
    enum coord_partition_state state;
    struct list groups;
};

/* The replay in progress: one at a time for each shard. */
struct load {
    struct coord *coord;
    struct coord_partition *partition; /* NULL: it has gone meanwhile, or there is none */
    struct log_read read;
    struct deadline retry;
    int64_t next, end;
    uint64_t records, begun_ns;
    uint8_t *buffer;
    size_t capacity;
    bool reading;
};

struct coord {
    struct io *io;
    struct coord_options options;
    struct memory memory; /* a share of the shard's */
    struct deadlines deadlines;
    struct group_host host;
    struct map by_name;  /* of struct group */
    struct map by_index; /* of struct coord_partition */
    struct list partitions, load_queue, leaving, idle;
    struct load load;
    struct io_turn turn;
    struct deadline sweep;
    uint32_t writes; /* in progress */
    struct coord_stop *stop;
    bool stopped;
};

/* The group of this name in this partition; NULL: there is none and none is made, or out of memory. */
struct group *coord_group(struct coord *c, struct coord_partition *p, struct wire_string name,
                          bool make);

void load_init(struct coord *c);
/* Begins the next replay of the queue when none is in progress. */
void load_next(struct coord *c);
/* The partition goes while it is being loaded. */
void load_forget(struct coord *c, struct coord_partition *p);
