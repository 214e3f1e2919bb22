/* SPDX-License-Identifier: Apache-2.0 */

/* What leat-sim-cluster leaves out of whole nodes, and catches. */
#pragma once

struct cluster_mutant {
    const char *name, *what;
    unsigned log;  /* enum log_mutant */
    unsigned raft; /* enum raft_mutant */
};

/* Ends with one without a name. */
const struct cluster_mutant *cluster_mutants(void);
