/* SPDX-License-Identifier: Apache-2.0 */

/* life: a group from its making to its end. Private to broker/coord. */
#pragma once

#include "coord/group.h"
#include "coord/write.h"

/* NULL: out of memory. */
struct group *group_new(struct group_host *host, struct wire_string name) MUST_CHECK;
/* No call waits and nothing is being written. */
void group_free(struct group *g);

/* After a replay: sessions begin. */
void group_loaded(struct group *g);

/* What the group has given to its host to write is durable, or nothing of it was appended: ends w. */
void group_written(struct write *w, int error);

/* Answers all that wait: the coordinator goes. */
void group_quiesce(struct group *g, int error);
