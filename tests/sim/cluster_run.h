/* SPDX-License-Identifier: Apache-2.0 */

/* One run of whole nodes and clients: a cluster is founded, minutes of faults with clients that write and read all the
 * while, then calm until all is well, in virtual time; then everything is read once more and judged
 * (cluster_world.h and cluster_history.h say by which rules). One seed is one run, byte for byte. */
#pragma once

#include "cluster_history.h"
#include "cluster_steps.h"
#include "cluster_world.h"
#include "rules.h"

#include <sys/types.h>

struct run_choice {
    uint32_t nodes, clients; /* 0: the seed chooses */
    uint32_t replication_factor;
    double minutes;           /* of faults */
    bool memory;              /* topics have durability=memory, and no machine loses its power */
    bool replay, detail;      /* the story, and with each operation of files */
    const struct rule *rule;  /* that is left out; NULL: none */
    const struct steps *only; /* of the disturbances; NULL: all */
};

/* Of one run, or of many together. */
struct summary {
    uint64_t runs, virtual_ns, events, hash;
    uint64_t faults[CLUSTER_FAULT_TOTAL];
    uint64_t client_kills, client_pauses, creations, deletions, configured, reassigned, compared,
        mended, gave_up, elections, given, commits; /* given: partitions, to members of a group */
    struct history_counts history;
    uint32_t steps, clients; /* of the last run */
    bool failed;
    char why[1100];
};

uint32_t run_nodes(const struct run_choice *a, uint64_t seed);

/* A process for runs, some of them one after another, for new memory costs more than that of the run before. A run may
 * end in any way, and takes its process along. Zeroed but for the choice; lent until its end. */
struct run_worker {
    const struct run_choice *choice;
    pid_t pid;
    int ask, answer;
    uint32_t runs;
};
void run_worker_run(struct run_worker *w, uint64_t seed, struct summary *out);
int run_worker_end(struct run_worker *w); /* its status, as waitpid() gives it */

/* In a process of its own. */
void run_apart(const struct run_choice *a, uint64_t seed, struct summary *out);

/* In this process, for debuggers and profilers: a violation ends it. 0, or 2 without memory. */
int run_here(const struct run_choice *a, uint64_t seed, struct summary *total);

void run_add(struct summary *total, const struct summary *s);
