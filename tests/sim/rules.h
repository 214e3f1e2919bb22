/* SPDX-License-Identifier: Apache-2.0 */

/* The rules that builds of the simulator leave out, one at a time, and which world must notice. */
#pragma once

#include <stdbool.h>

/* Where a rule's absence is noticed soonest; whole clusters can be run without any of them. */
enum rule_world {
    RULE_OF_STORAGE,
    RULE_OF_RAFT,
    RULE_OF_REPLICA,
    RULE_OF_CONTROLLER,
    RULE_OF_CLUSTER,
};

struct rule {
    const char *name, *what;
    enum rule_world world;
    unsigned log;         /* enum log_mutant */
    unsigned raft;        /* enum raft_mutant */
    unsigned controller;  /* enum isr_mutant, cluster_mutant, or LEASE_MUTANT_FOR_EVER */
    unsigned replication; /* enum replication_mutant: with three replicas */
    unsigned coord;       /* enum coord_mutant */
};

/* Ends with one without a name. */
const struct rule *rules(void);
/* By its name, or its number from 1 on; NULL: there is none. */
const struct rule *rule_find(const char *word);
/* "storage", "raft", "replica", "controller", "cluster" */
const char *rule_world_name(enum rule_world world);
/* A line for each: number, world, name, what is left out. */
void rules_print(void);
