/* SPDX-License-Identifier: Apache-2.0 */

/* quorum: what leat_quorum_get() has learned beside what it shows. */
#pragma once

#include "admin/admin.h"

struct quorum_replica {
    leat_quorum_replica shown;
    struct uuid directory;
    char text[UUID_TEXT_SIZE];
};

static inline const struct quorum_replica *quorum_replica_of(const leat_quorum_replica *shown)
{
    return container_of(shown, struct quorum_replica, shown);
}
