/* SPDX-License-Identifier: Apache-2.0 */

/* protocol: what members of a group tell each other through the coordinator, which does not look
 * into it: subscriptions on the way to the leader, assignments on the way back.
 *
 *     subscription   int16 version, ConsumerProtocolSubscription; its user_data is the strategy's:
 *                    sticky       the assignment before (topic, partitions), its generation int32
 *                    cooperative  the generation int32, for members older than version 2
 *     assignment     int16 version, ConsumerProtocolAssignment
 *
 * Subscriptions are written in version 3. A newer version is read as far as it is known. What other
 * members say is checked like anything from outside: a subscription that cannot be read counts as
 * empty, a partition that does not exist or is named twice is not held. */
#pragma once

#include "consumer/group/assignor.h"
#include "wire/wire.h"

enum strategy {
    STRATEGY_RANGE,
    STRATEGY_ROUND_ROBIN,
    STRATEGY_STICKY,
    STRATEGY_COOPERATIVE,
    STRATEGY_COUNT,
};

enum {
    PROTOCOL_TOPICS_MAX = 100000, /* of all members together */
    PROTOCOL_MEMBERS_MAX = 10000,
    PROTOCOL_ARENA_MAX = 64 << 20, /* to read and write the blobs of one generation */
};

/* As in JoinGroup: "range", "roundrobin", "sticky", "cooperative-sticky". */
const char *strategy_name(enum strategy s);
bool strategy_find(const char *name, size_t size, enum strategy *out);
assign_fn strategy_function(enum strategy s);

struct named_partition {
    const char *topic;
    int32_t partition;
};

/* By topic, then by number. */
int named_partition_compare(const void *left, const void *right);

struct subscription {
    const char *const *topics;
    size_t topic_count;
    const struct named_partition *owned; /* in order */
    size_t owned_count;
    const struct named_partition *previous; /* for sticky, in order */
    size_t previous_count;
    int32_t generation; /* of owned and previous */
    const char *rack;   /* or NULL */
};

/* Appends the blob of one strategy. ERR_NO_MEMORY, ERR_TOO_LARGE. */
int subscription_write(const struct subscription *in, enum strategy strategy, struct wire_writer *w,
                       struct arena *scratch) MUST_CHECK;

/* --- the leader --- */

/* What one member says, and what becomes of it. */
struct group_member {
    const char *id;
    const char *instance_id; /* or NULL */
    const char **topics;
    size_t topic_count;
    struct named_partition *owned;
    size_t owned_count;
    int32_t generation;
    const char *rack; /* or NULL */
};

/* A generation as its leader sees it; everything lives in the arena. */
struct roster {
    struct arena *arena;
    struct group_member *members; /* in the order of assign_member_compare() */
    size_t member_count;
    const char **topics; /* of all members, by name, each once */
    size_t topic_count;
    int32_t *partitions; /* how many each topic has: the caller's to fill, 0 when it is not there */
    const char **rack_names;   /* in order, each once: that of rack n is the n - 1st */
    struct assign_racks racks; /* of all these partitions: the caller's to fill, or left as it is */
    bool says_racks;           /* some member does */
};

/* Reads the members of a JoinGroup answer. ERR_NO_MEMORY, ERR_TOO_LARGE, ERR_MALFORMED. */
int roster_read(struct roster *out, const struct join_group_response *in, enum strategy strategy,
                struct arena *arena) MUST_CHECK;

/* The racks that brokers are in: the names are the arena's, and are sorted. */
void roster_name_racks(struct roster *r, const char **names, size_t count);

/* The number of a rack: 0 for NULL, one above all for a name that no broker gave. */
int32_t roster_rack(const struct roster *r, const char *name);

/* Fills `a`, whose owner is then the arena's, and runs the strategy. ERR_NO_MEMORY, ERR_TOO_LARGE. */
int roster_assign(const struct roster *r, enum strategy strategy, struct assign *a) MUST_CHECK;

/* Appends the blob of member `index`. */
int assignment_write(const struct assign *a, size_t index, struct wire_writer *w,
                     struct arena *scratch) MUST_CHECK;

/* --- everybody --- */

/* Reads an own assignment into the arena, in order; an empty blob is an empty assignment.
 * ERR_MALFORMED, ERR_NO_MEMORY. */
int assignment_read(struct wire_bytes blob, struct named_partition **out, size_t *count,
                    struct arena *arena) MUST_CHECK;
