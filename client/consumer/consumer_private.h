/* SPDX-License-Identifier: Apache-2.0 */

/* What consumer.c (opening, positions, polling) and consumer_group.c (the group) share. */
#pragma once

#include "consumer/poller.h"
#include "core/client.h"

enum { CONSUMER_MAGIC = 0x636f6e73 };

struct leat_consumer {
    struct memory heap; /* holds this struct; inside the gate */
    uint32_t magic;
    leat_client *client;
    leat_consumer_options options;
    struct shell_gate gate;
    struct fetcher fetcher; /* see there what is whose */
    struct group group;     /* and there; only with group_id */
    bool grouped;
    struct shell_task wake, task;
    bool finished;
    uint64_t close_deadline_ns;
    bool readable; /* the descriptor's state; in the gate */
    bool woken;    /* by leat_wakeup(); in the gate */

    /* The caller's thread alone: */
    struct poller poller;
    struct arena changes, assignment, committed; /* what the functions of these names lend out */
};

/* Wakes the I/O side. */
void consumer_post(leat_consumer *k);

/* For functions that need a group: 0 or LEAT_ERR_ARGUMENT. */
int consumer_needs_group(const leat_consumer *k, const char *what, leat_error *e);

/* In the gate: puts partitions that the caller assigns in place of the old ones. */
void consumer_replace(leat_consumer *k, struct consumer_partition **parts, size_t count);
