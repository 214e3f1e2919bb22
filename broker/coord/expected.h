/* SPDX-License-Identifier: Apache-2.0 */

/* expected: member ids that were given out and have not come back yet (KIP-394). Whoever asks for ids
 * and does nothing with them costs little: there are so many of a group and of a shard, and the oldest
 * are forgotten first. That costs who has one another round trip, for it is told that it is unknown and
 * asks anew. Private to broker/coord. */
#pragma once

#include "coord/group.h"

enum {
    EXPECTED_OF_GROUP_MAX = 1000, /* or group.max.size: more cannot come in */
    EXPECTED_OF_SHARD_MAX = 10000,
};

struct expected {
    struct group *group;
    struct list link, among_all; /* in group->expected, in host->expected */
    char *id;
    struct deadline deadline;
};

/* Gives out the id, which is the caller's no more. ERR_NO_MEMORY. */
int expected_add(struct group *g, char *id, int32_t session_ms) MUST_CHECK;
/* NULL: it was not given out, or is known no more. */
struct expected *expected_find(const struct group *g, struct wire_string id);
/* The id is known no more. */
void expected_remove(struct expected *e);
void expected_clear(struct group *g);
