/* SPDX-License-Identifier: Apache-2.0 */

/* expected: member ids that were given out and have not come back yet (KIP-394). Private to
 * broker/coord. */
#pragma once

#include "coord/group.h"

struct expected {
    struct group *group;
    struct list link;
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
