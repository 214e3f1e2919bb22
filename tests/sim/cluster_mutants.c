/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster_mutants.h"

#include "log/log.h"
#include "raft/raft_private.h"

#include <stddef.h>

const struct cluster_mutant *cluster_mutants(void)
{
    static const struct cluster_mutant mutants[] = {
        {"unwaited-skip", "appends that nobody waits for are not journaled (L1)",
         .log = LOG_MUTANT_UNWAITED_SKIP},
        {"no-unfinished", "a checkpoint leaves the unfinished block out (L2)",
         .log = LOG_MUTANT_NO_UNFINISHED},
        {"ignore-failed", "a failed write or sync is taken for a good one (L11)",
         .log = LOG_MUTANT_IGNORE_FAILED},
        {"share-block", "a group writes its predecessor's last block again (L2)",
         .log = LOG_MUTANT_SHARE_BLOCK},
        {"ack-unordered", "a group acknowledges before its predecessors (J1)",
         .log = LOG_MUTANT_ACK_UNORDERED},
        {"leader-unflushed", "the quorum's leader counts what is not durable",
         .raft = RAFT_MUTANT_LEADER_UNFLUSHED},
        {"log-behind", "a voter votes for any log", .raft = RAFT_MUTANT_LOG_BEHIND},
        {"vote-twice", "a voter votes for everybody who asks", .raft = RAFT_MUTANT_VOTE_TWICE},
        {"fetch-unflushed", "a voter tells of what is not durable",
         .raft = RAFT_MUTANT_FETCH_UNFLUSHED},
        {NULL},
    };
    return mutants;
}
