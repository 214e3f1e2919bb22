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
 *                RangeAssignor of the Java clients.
 *   round robin  partitions of all topics dealt out in turn. As RoundRobinAssignor.
 *   sticky       as even as the subscriptions allow, and of those one that moves little. The Java
 *                StickyAssignor has the same aims; ties may fall differently.
 *   cooperative  sticky, but a partition that another member still holds goes to nobody until that
 *                member has let go of it and joined again (KIP-429).
 *
 * Racks (KIP-881): a member reads from the replica in its own rack, if there is one. So range and
 * sticky prefer to give it partitions that have one there, but never at the price of evenness, and
 * range keeps topics together that have the same partitions and subscribers. A member that says no
 * rack suits every partition. When no partition's racks are known, when no member is in any of
 * them, or when all partitions are in all of them, racks change nothing. */
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
    int32_t rack;       /* 1 ..; one that no partition has is above those; 0: it says none */
};

/* In which racks the replicas of each partition are. */
struct assign_racks {
    int32_t count;        /* of racks: their numbers are 1 .. count */
    const int32_t *first; /* per partition, and one more: its place in `numbers`; NULL: not known */
    const int32_t *numbers; /* of each partition rising, each once */
};

struct assign {
    const struct assign_topic *topics; /* by name */
    size_t topic_count;
    const struct assign_member *members; /* by assign_member_compare() */
    size_t member_count;
    int32_t partition_count; /* of all topics */
    struct assign_racks racks;
    int32_t *owner; /* out: for each partition the index of a member, or -1 */
};

/* The order of the Java clients: static members by instance id, then the others by member id. */
int assign_member_compare(const struct assign_member *a, const struct assign_member *b);

bool assign_subscribes(const struct assign_member *m, int32_t topic);

/* Nobody owns anything. */
void assign_clear(struct assign *a);

/* Whether a replica of partition `p` is in `rack`; never in 0. */
bool assign_in_rack(const struct assign *a, int32_t p, int32_t rack);

/* Who subscribes to each topic. */
struct assign_subscribers {
    int32_t *first; /* per topic, and one more: its place in `members` */
    int32_t *members;
};

/* ERR_NO_MEMORY. */
int assign_subscribers(const struct assign *a, struct assign_subscribers *out,
                       struct arena *scratch) MUST_CHECK;

/* Whether racks matter for `count` partitions from `first` on and for these members. `seen` has a
 * place for each rack and one more, all below *stamp, which is raised. */
bool assign_racks_matter(const struct assign *a, int32_t first, int32_t count,
                         const int32_t *members, int32_t member_count, int32_t *seen,
                         int32_t *stamp);

typedef int (*assign_fn)(struct assign *a, struct arena *scratch);

/* Each returns 0 or ERR_NO_MEMORY. */
int assign_range(struct assign *a, struct arena *scratch) MUST_CHECK;
int assign_round_robin(struct assign *a, struct arena *scratch) MUST_CHECK;
int assign_sticky(struct assign *a, struct arena *scratch) MUST_CHECK;
int assign_cooperative(struct assign *a, struct arena *scratch) MUST_CHECK;
