/* SPDX-License-Identifier: Apache-2.0 */

/* cluster_group: members of one group among the clients of a world (cluster_load.h), and what of that which they are
 * given, read and commit may not be.
 *
 *   C23 group_offset_lost  who is given a partition begins at no less than what was acknowledged as committed before
 *   C24 dual_owner         two members do not hold a partition in one generation, and who was given up does not commit
 *                          beside who holds it since
 *   C7  poll_skip          who is given a partition begins behind nothing that nobody has asked to commit
 *   C19 stuck_client       when all is well the group reads everything, and commits it
 *
 * What is read in between is judged as any reader's (cluster_history.h). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { GROUP_LOGS_MAX = 24, GROUP_MEMBERS_MAX = 4 };

/* A member's, of one partition. */
struct holding {
    bool held, begun; /* begun: a record of it was read */
    int64_t least;    /* it begins there, or later */
    int32_t generation;
    uint64_t since_ns;
};

struct group_history {
    struct {
        int64_t committed, asked; /* acknowledged, and sent to be committed, at most */
    } logs[GROUP_LOGS_MAX];
    const char *topics[GROUP_LOGS_MAX];
    unsigned topic_count, members;
    uint64_t given, commits;
};

struct load;

/* Some members, or none, of topics that stay. They are started as other clients are. */
void members_open(struct load *l);

/* The group has read and committed all that was acknowledged before, within `ns`. */
void members_finish(struct load *l, uint64_t ns);
