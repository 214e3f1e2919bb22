/* SPDX-License-Identifier: Apache-2.0 */

/* load: the replay of partitions, one at a time. Private to broker/coord. */
#pragma once

#include "coord/partitions.h"
#include "log/log.h"
#include "partition/partition.h"

struct load {
    struct group_host *host;
    struct partition_table *logs; /* of this shard */
    /* From the loop: a read has ended, and perhaps no other begun. */
    void (*read_home)(struct load *l);
    struct list queue;                 /* of struct coord_partition */
    struct coord_partition *partition; /* in progress; NULL: it has gone meanwhile, or none is */
    struct log_read read;
    struct deadline retry;
    int64_t next, end;
    uint64_t records, begun_ns;
    uint8_t *buffer;
    size_t capacity;
    bool reading;
};

void load_init(struct load *l, struct group_host *host, struct partition_table *logs,
               void (*read_home)(struct load *l));
/* Nothing is being read. */
void load_deinit(struct load *l);
/* The partition is loaded when load_next() comes to it. */
void load_add(struct load *l, struct coord_partition *p);
/* Begins the next replay of the queue when none is in progress. */
void load_next(struct load *l);
/* The partition goes, perhaps while it is being loaded. */
void load_forget(struct load *l, struct coord_partition *p);
