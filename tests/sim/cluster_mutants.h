/* SPDX-License-Identifier: Apache-2.0 */

/* What leat-sim-cluster leaves out of whole nodes, and catches. */
#pragma once

struct node_mutant {
    const char *name, *what;
    unsigned log;         /* enum log_mutant */
    unsigned raft;        /* enum raft_mutant */
    unsigned controller;  /* enum isr_mutant, cluster_mutant, or LEASE_MUTANT_FOR_EVER */
    unsigned replication; /* enum replication_mutant: with three replicas */
};

/* Ends with one without a name. */
const struct node_mutant *cluster_mutants(void);
