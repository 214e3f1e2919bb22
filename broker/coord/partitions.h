/* SPDX-License-Identifier: Apache-2.0 */

/* partitions: the partitions of __consumer_offsets that this node leads and whose home is this shard,
 * and the groups that belong to each. Private to broker/coord. */
#pragma once

#include "coord/group.h"
#include "partition/partition.h"

enum coord_partition_state { PARTITION_LOADING, PARTITION_ACTIVE, PARTITION_FAILED };

struct coord_partitions {
    struct group_host *host;
    struct list all;     /* of struct coord_partition */
    struct map by_index; /* the same */
    struct map by_name;  /* of struct group */
};

struct coord_partition {
    struct coord_partitions *among;
    struct list link, queue; /* in among->all; of those that are to be loaded */
    struct uuid topic_id;
    int32_t index, epoch;
    enum coord_partition_state state;
    struct load *load;             /* once it is to be loaded */
    uint64_t again_ns;             /* not before: its log was damaged; 0: it was not */
    struct partition_waiter ready; /* load.c: until all that was committed is known to be there */
    struct list groups;
};

void coord_partitions_init(struct coord_partitions *all, struct group_host *host, uint64_t seed);
/* With the groups in them, in which nothing waits and nothing is being written. */
void coord_partitions_deinit(struct coord_partitions *all);
struct coord_partition *coord_partitions_find(const struct coord_partitions *all, int32_t index);
/* LOADING. NULL: out of memory. */
struct coord_partition *coord_partitions_add(struct coord_partitions *all,
                                             const struct image_topic *topic,
                                             int32_t index) MUST_CHECK;
/* It has no groups any more. */
void coord_partitions_remove(struct coord_partition *p);

/* The group of this name in this partition; NULL: there is none and none is made, or out of memory. */
struct group *coord_partition_group(struct coord_partition *p, struct wire_string name, bool make);
/* The group is in no partition any more, and its name may be given again. */
void coord_partition_let_go(struct coord_partition *p, struct group *g);
