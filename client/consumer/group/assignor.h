/* SPDX-License-Identifier: Apache-2.0 */

/* assignor: which member of a group gets which partition, as pure functions.
 *
 * The leader of a generation fills a struct assign from the subscriptions of all members and has one
 * of the functions below fill `owner`. The result depends on the input alone: not on the order in
 * which members arrived, nor on addresses. A member gets partitions only of topics that it
 * subscribes to, and each partition of a topic that somebody subscribes to gets one owner (but for
 * what assign_cooperative() holds back).
 *
 *   range        per topic, consecutive partitions; the first members get one more. As
 *                RangeAssignor of the Java clients without racks.
 *   round robin  partitions of all topics dealt out in turn. As RoundRobinAssignor.
 *   sticky       as even as the subscriptions allow, and of those one that moves little. The Java
 *                StickyAssignor has the same aims; ties may fall differently.
 *   cooperative  sticky, but a partition that another member still holds goes to nobody until that
 *                member has let go of it and joined again (KIP-429). */
#pragma once

#include "base/memory.h"

enum { ASSIGN_PARTITIONS_MAX = 1 << 20 };

struct assign_topic {
    const char *name;
    int32_t partitions;
    int32_t first; /* the number of its partition 0 in `owner` */
};

struct assign_member {
    const char *id;
    const char *instance_id; /* or NULL */
    const int32_t *topics;   /* subscribed ones, as indexes, rising */
    size_t topic_count;
    const int32_t *owned; /* partitions that it holds, as numbers of `owner`; each once */
    size_t owned_count;
    int32_t generation; /* in which it got them; -1: unknown */
};

struct assign {
    const struct assign_topic *topics; /* by name */
    size_t topic_count;
    const struct assign_member *members; /* by assign_member_compare() */
    size_t member_count;
    int32_t partition_count; /* of all topics */
    int32_t *owner;          /* out: for each partition the index of a member, or -1 */
};

/* The order of the Java clients: static members by instance id, then the others by member id. */
int assign_member_compare(const struct assign_member *a, const struct assign_member *b);

bool assign_subscribes(const struct assign_member *m, int32_t topic);

typedef int (*assign_fn)(struct assign *a, struct arena *scratch);

/* Each returns 0 or ERR_NO_MEMORY. */
int assign_range(struct assign *a, struct arena *scratch) MUST_CHECK;
int assign_round_robin(struct assign *a, struct arena *scratch) MUST_CHECK;
int assign_sticky(struct assign *a, struct arena *scratch) MUST_CHECK;
int assign_cooperative(struct assign *a, struct arena *scratch) MUST_CHECK;
