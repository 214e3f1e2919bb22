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
        {"ack-unordered", "a group acknowledges before its predecessors (J1)",
         .log = LOG_MUTANT_ACK_UNORDERED},
        {"free-early", "the journal is reused after one copy of the checkpoint (L6)",
         .log = LOG_MUTANT_FREE_EARLY},
        {"no-unfinished", "a checkpoint leaves the unfinished block out (L2)",
         .log = LOG_MUTANT_NO_UNFINISHED},
        {"no-empty", "recovery goes on with the old life", .log = LOG_MUTANT_NO_EMPTY},
        {"no-sync-first", "recovery acts on what a kill left visible",
         .log = LOG_MUTANT_NO_SYNC_FIRST},
        {"no-settled", "groups and checkpoints carry no mark (L5)", .log = LOG_MUTANT_NO_SETTLED},
        {"no-life", "a group's checksum does not know its life", .log = LOG_MUTANT_NO_LIFE},
        {"share-block", "a group writes its predecessor's last block again (L2)",
         .log = LOG_MUTANT_SHARE_BLOCK},
        {"delete-unknown", "a directory that the metadata does not know goes (L8)",
         .log = LOG_MUTANT_DELETE_UNKNOWN},
        {"no-admission", "appends do not wait for space (L9)", .log = LOG_MUTANT_NO_ADMISSION},
        {"five-only", "five batches of a producer, whatever is settled (L10)",
         .log = LOG_MUTANT_FIVE_ONLY},
        {"ignore-failed", "a failed write or sync is taken for a good one (L11)",
         .log = LOG_MUTANT_IGNORE_FAILED},
        {"newer-first", "the newer copy of a checkpoint is written first (L6)",
         .log = LOG_MUTANT_NEWER_FIRST},
        {"no-mark-run", "files are touched before a mark covers the entry (L7)",
         .log = LOG_MUTANT_NO_MARK_RUN},
        {"vote-unsaved", "votes are told before they are durable",
         .raft = RAFT_MUTANT_VOTE_UNSAVED},
        {"fetch-unflushed", "a voter tells of what is not durable",
         .raft = RAFT_MUTANT_FETCH_UNFLUSHED},
        {"leader-unflushed", "the leader counts what is not durable",
         .raft = RAFT_MUTANT_LEADER_UNFLUSHED},
        {"old-epoch", "a majority is enough, whatever its epoch", .raft = RAFT_MUTANT_OLD_EPOCH},
        {"log-behind", "votes for any log", .raft = RAFT_MUTANT_LOG_BEHIND},
        {"vote-twice", "votes for everybody who asks", .raft = RAFT_MUTANT_VOTE_TWICE},
        {"no-check", "leads for ever", .raft = RAFT_MUTANT_NO_CHECK},
        {NULL},
    };
    return mutants;
}
