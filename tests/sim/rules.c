/* SPDX-License-Identifier: Apache-2.0 */
#include "rules.h"

#include "base/assert.h"
#include "coord/mutants.h"
#include "log/log.h"
#include "meta/cluster.h"
#include "meta/isr.h"
#include "meta/lease.h"
#include "partition/replication.h"
#include "raft/raft_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct rule all[] = {
    {"no-settled", "groups and checkpoints carry no mark (L5)", RULE_OF_STORAGE,
     .log = LOG_MUTANT_NO_SETTLED},
    {"no-life", "a group's CRC does not know its life", RULE_OF_STORAGE, .log = LOG_MUTANT_NO_LIFE},
    {"free-early", "journal reused after the first checkpoint copy (L6)", RULE_OF_STORAGE,
     .log = LOG_MUTANT_FREE_EARLY},
    {"truncate-quiet", "TRUNCATE not journaled (L7)", RULE_OF_STORAGE,
     .log = LOG_MUTANT_TRUNCATE_QUIET},
    {"truncate-race", "truncation does not wait for writes in flight (L3)", RULE_OF_STORAGE,
     .log = LOG_MUTANT_TRUNCATE_RACE},
    {"unwaited-skip", "appends that nobody waits for are not journaled (L1)", RULE_OF_STORAGE,
     .log = LOG_MUTANT_UNWAITED_SKIP},
    {"no-unfinished", "a checkpoint leaves the unfinished block out (L2)", RULE_OF_STORAGE,
     .log = LOG_MUTANT_NO_UNFINISHED},
    {"ack-unordered", "a group acknowledges before its predecessors (J1)", RULE_OF_STORAGE,
     .log = LOG_MUTANT_ACK_UNORDERED},
    {"no-empty", "recovery goes on with the old life", RULE_OF_STORAGE, .log = LOG_MUTANT_NO_EMPTY},
    {"believe-tail", "recovery scans beyond the checkpointed end (L4)", RULE_OF_STORAGE,
     .log = LOG_MUTANT_BELIEVE_TAIL},
    {"no-sync-first", "recovery acts on what a kill left visible", RULE_OF_STORAGE,
     .log = LOG_MUTANT_NO_SYNC_FIRST},
    {"no-kept", "a TRUNCATE does not carry the bytes it keeps (L2)", RULE_OF_STORAGE,
     .log = LOG_MUTANT_NO_KEPT},
    {"no-mark-run", "files touched before a mark covers the entry (L7)", RULE_OF_STORAGE,
     .log = LOG_MUTANT_NO_MARK_RUN},
    {"no-mark-boot", "recovery acts before its mark is durable (L7)", RULE_OF_STORAGE,
     .log = LOG_MUTANT_NO_MARK_BOOT},
    {"newer-first", "the newer checkpoint copy is written first (L6)", RULE_OF_STORAGE,
     .log = LOG_MUTANT_NEWER_FIRST},
    {"some-damaged", "a hole damages only whom it is seen to (L5)", RULE_OF_STORAGE,
     .log = LOG_MUTANT_SOME_DAMAGED},
    {"share-block", "a group writes its predecessor's last block again (L2)", RULE_OF_STORAGE,
     .log = LOG_MUTANT_SHARE_BLOCK},
    {"delete-unknown", "a directory that the metadata does not know goes (L8)", RULE_OF_STORAGE,
     .log = LOG_MUTANT_DELETE_UNKNOWN},
    {"no-admission", "appends do not wait for space on disk (L9)", RULE_OF_STORAGE,
     .log = LOG_MUTANT_NO_ADMISSION},
    {"five-only", "five batches of a producer, whatever is settled (L10)", RULE_OF_STORAGE,
     .log = LOG_MUTANT_FIVE_ONLY},
    {"ignore-failed", "a failed write or sync is taken for a good one (L11)", RULE_OF_STORAGE,
     .log = LOG_MUTANT_IGNORE_FAILED},
    {"replace-unsynced", "REPLACE before its file is durable (L7)", RULE_OF_STORAGE,
     .log = LOG_MUTANT_REPLACE_UNSYNCED},
    {"replace-early", "the old files go before a mark covers the REPLACE (L7)", RULE_OF_STORAGE,
     .log = LOG_MUTANT_REPLACE_EARLY},
    {"replace-unlisted", "what no checkpoint lists is replaced too", RULE_OF_STORAGE,
     .log = LOG_MUTANT_REPLACE_UNLISTED},
    {"tombstone-early", "tombstones go with the first pass that meets them", RULE_OF_STORAGE,
     .log = LOG_MUTANT_TOMBSTONE_EARLY},
    {"no-empty-batch", "a producer's last batch goes with its records", RULE_OF_STORAGE,
     .log = LOG_MUTANT_NO_EMPTY_BATCH},
    {"anew-quiet", "the entry of an ANEW does not say so (L7)", RULE_OF_STORAGE,
     .log = LOG_MUTANT_ANEW_QUIET},
    {"anew-early", "the old files go before a mark covers the ANEW (L7)", RULE_OF_STORAGE,
     .log = LOG_MUTANT_ANEW_EARLY},
    {"gaps-quiet", "a checkpoint does not say that a segment has gaps", RULE_OF_STORAGE,
     .log = LOG_MUTANT_GAPS_QUIET},
    {"any-order", "a follower takes a batch wherever it says to belong (P3)", RULE_OF_STORAGE,
     .log = LOG_MUTANT_ANY_ORDER},
    {"vote-unsaved", "R1: messages do not wait for the vote", RULE_OF_RAFT,
     .raft = RAFT_MUTANT_VOTE_UNSAVED},
    {"fetch-unflushed", "R2: a voter tells of what is not durable", RULE_OF_RAFT,
     .raft = RAFT_MUTANT_FETCH_UNFLUSHED},
    {"quorum-unflushed", "R2: the quorum's leader counts what is not durable", RULE_OF_RAFT,
     .raft = RAFT_MUTANT_LEADER_UNFLUSHED},
    {"quorum-old-epoch", "R3: a majority is enough, of whatever epoch the entry is", RULE_OF_RAFT,
     .raft = RAFT_MUTANT_OLD_EPOCH},
    {"log-behind", "R5: a voter votes for any log", RULE_OF_RAFT, .raft = RAFT_MUTANT_LOG_BEHIND},
    {"vote-twice", "R1: a voter votes for everybody who asks", RULE_OF_RAFT,
     .raft = RAFT_MUTANT_VOTE_TWICE},
    {"no-check", "R6: who is not heard leads for ever", RULE_OF_RAFT, .raft = RAFT_MUTANT_NO_CHECK},
    {"read-at-once", "R7: a read needs no fetches", RULE_OF_RAFT, .raft = RAFT_MUTANT_READ_AT_ONCE},
    {"read-on-arrival", "R7: any fetch that comes later counts", RULE_OF_RAFT,
     .raft = RAFT_MUTANT_READ_ON_ARRIVAL},
    {"change-twice", "R8: a change of voters does not wait for the one before", RULE_OF_RAFT,
     .raft = RAFT_MUTANT_CHANGE_TWICE},
    {"leaver-waits", "who is being removed does not stand for election", RULE_OF_RAFT,
     .raft = RAFT_MUTANT_LEAVER_WAITS},
    {"count-fetched", "P5: what was asked for counts, flushed or not (H1)", RULE_OF_REPLICA,
     .replication = REPLICATION_MUTANT_COUNT_FETCHED},
    {"leader-unflushed", "P7: the leader counts its end", RULE_OF_REPLICA,
     .replication = REPLICATION_MUTANT_LEADER_UNFLUSHED},
    {"old-epoch", "P6: a fetch of an older leader epoch counts (H5)", RULE_OF_REPLICA,
     .replication = REPLICATION_MUTANT_OLD_EPOCH},
    {"old-broker", "P6: so does one of an older broker epoch (H7)", RULE_OF_REPLICA,
     .replication = REPLICATION_MUTANT_OLD_BROKER},
    {"keep-counted", "P6: a new leader epoch keeps what the old one counted (H8)", RULE_OF_REPLICA,
     .replication = REPLICATION_MUTANT_KEEP_COUNTED},
    {"committed-isr", "P7: who is only proposed is not waited for (H6)", RULE_OF_REPLICA,
     .replication = REPLICATION_MUTANT_COMMITTED_ISR},
    {"roll-back", "P19: silence is taken for a rejection (H6)", RULE_OF_REPLICA,
     .replication = REPLICATION_MUTANT_ROLL_BACK},
    {"believe-rejection", "P19: of one copy, while another may be accepted", RULE_OF_REPLICA,
     .replication = REPLICATION_MUTANT_BELIEVE_REJECTION},
    {"two-in-flight", "P19: the next change forgets the one before", RULE_OF_REPLICA,
     .replication = REPLICATION_MUTANT_TWO_IN_FLIGHT},
    {"answer-first", "P27: a set counts before the image that has it", RULE_OF_REPLICA,
     .replication = REPLICATION_MUTANT_ANSWER_FIRST},
    {"below-min", "P7: the watermark rises for whoever is there (H2)", RULE_OF_REPLICA,
     .replication = REPLICATION_MUTANT_BELOW_MIN},
    {"ack-counted", "P8: the leader's own disk is enough", RULE_OF_REPLICA,
     .replication = REPLICATION_MUTANT_ACK_COUNTED},
    {"admit-short", "P8: appended although too few are in sync", RULE_OF_REPLICA,
     .replication = REPLICATION_MUTANT_ADMIT_SHORT},
    {"join-early", "P18: who lacks something committed joins (H10)", RULE_OF_REPLICA,
     .replication = REPLICATION_MUTANT_JOIN_EARLY},
    {"join-unready", "P18: without what the epoch began with (H9, H10)", RULE_OF_REPLICA,
     .replication = REPLICATION_MUTANT_JOIN_UNREADY},
    {"latest-unready", "P29: the end is told before it is known (H9)", RULE_OF_REPLICA,
     .replication = REPLICATION_MUTANT_LATEST_UNREADY},
    {"no-divergence", "P16: the leader does not compare epochs", RULE_OF_REPLICA,
     .replication = REPLICATION_MUTANT_NO_DIVERGENCE},
    {"cut-at-watermark", "P16: truncated to the own watermark (H3)", RULE_OF_REPLICA,
     .replication = REPLICATION_MUTANT_CUT_AT_WATERMARK},
    {"cut-at-leaders", "P16: to the leader's end of the epoch alone (H4)", RULE_OF_REPLICA,
     .replication = REPLICATION_MUTANT_CUT_AT_LEADERS},
    {"unclipped", "P30: the leader's watermark is the follower's", RULE_OF_REPLICA,
     .replication = REPLICATION_MUTANT_UNCLIPPED},
    {"never-eject", "a stalled follower is waited for for ever", RULE_OF_REPLICA,
     .replication = REPLICATION_MUTANT_NEVER_EJECT},
    {"flap", "who was ejected joins at its first fetch", RULE_OF_REPLICA,
     .replication = REPLICATION_MUTANT_FLAP},
    {"forgive-nothing", "the leader's own pause is its followers'", RULE_OF_REPLICA,
     .replication = REPLICATION_MUTANT_FORGIVE_NOTHING},
    {"tell-late", "the watermark is told with the next record (KIP-1166)", RULE_OF_REPLICA,
     .replication = REPLICATION_MUTANT_TELL_LATE},
    {"report-late", "a follower tells what is durable when it asks for more", RULE_OF_REPLICA,
     .replication = REPLICATION_MUTANT_REPORT_LATE},
    {"start-early", "P30: a follower tells of a start that is not durable", RULE_OF_REPLICA,
     .replication = REPLICATION_MUTANT_START_EARLY},
    {"fenced-stays", "a fenced broker stays in the ISR", RULE_OF_CONTROLLER,
     .controller = ISR_MUTANT_FENCED_STAYS},
    {"no-elr", "who leaves a small ISR is forgotten (H2)", RULE_OF_CONTROLLER,
     .controller = ISR_MUTANT_NO_ELR},
    {"any-broker-epoch", "a member of another life joins (H7)", RULE_OF_CONTROLLER,
     .controller = ISR_MUTANT_ANY_BROKER_EPOCH},
    {"any-change", "the partition epoch is not compared (H6)", RULE_OF_CONTROLLER,
     .controller = ISR_MUTANT_ANY_CHANGE},
    {"last-leader", "who was last eligible is elected by itself (H11)", RULE_OF_CONTROLLER,
     .controller = ISR_MUTANT_LAST_LEADER},
    {"old-elr", "a full ISR keeps its ELR (H12)", RULE_OF_CONTROLLER,
     .controller = ISR_MUTANT_OLD_ELR},
    {"lost-stays", "who lost data stays eligible (P23)", RULE_OF_CONTROLLER,
     .controller = ISR_MUTANT_LOST_STAYS},
    {"same-epoch", "other replicas, but the same leader epoch (H8)", RULE_OF_CONTROLLER,
     .controller = ISR_MUTANT_SAME_EPOCH},
    {"early-shrink", "replicas go before enough are in sync (P28)", RULE_OF_CONTROLLER,
     .controller = ISR_MUTANT_EARLY_SHRINK},
    {"added-at-once", "the controller puts new replicas into the ISR (P28)", RULE_OF_CONTROLLER,
     .controller = ISR_MUTANT_ADDED_AT_ONCE},
    {"elr-first", "an eligible replica is elected beside in-sync ones (P26)", RULE_OF_CONTROLLER,
     .controller = ISR_MUTANT_ELR_FIRST},
    {"damaged-leads", "an unclean election takes a damaged replica", RULE_OF_CONTROLLER,
     .controller = ISR_MUTANT_DAMAGED_LEADS},
    {"recovering-grows", "others join a leader that is not done (P20)", RULE_OF_CONTROLLER,
     .controller = ISR_MUTANT_RECOVERING_GROWS},
    {"fenced-leads", "a fenced replica is elected", RULE_OF_CONTROLLER,
     .controller = ISR_MUTANT_FENCED_LEADS},
    {"epoch-first", "a new epoch while the older life is not fenced (P24)", RULE_OF_CONTROLLER,
     .controller = CLUSTER_MUTANT_EPOCH_FIRST},
    {"lost-later", "what was lost is forgotten (P23)", RULE_OF_CONTROLLER,
     .controller = CLUSTER_MUTANT_LOST_LATER},
    {"behind", "let in before it has read its registration (C2)", RULE_OF_CONTROLLER,
     .controller = CLUSTER_MUTANT_BEHIND},
    {"any-epoch", "an older life is heard (C3)", RULE_OF_CONTROLLER,
     .controller = CLUSTER_MUTANT_ANY_EPOCH},
    {"config-alone", "min.insync.replicas without the ELR (P27)", RULE_OF_CONTROLLER,
     .controller = CLUSTER_MUTANT_CONFIG_ALONE},
    {"give-up-alone", "given up, though nobody else is in sync (C5)", RULE_OF_CONTROLLER,
     .controller = CLUSTER_MUTANT_GIVE_UP_ALONE},
    {"give-up-unheard", "given up, though who is in sync was not heard since (C5)",
     RULE_OF_CONTROLLER, .controller = CLUSTER_MUTANT_GIVE_UP_UNHEARD},
    {"no-lease", "who is not heard goes on as if it were (H17)", RULE_OF_CLUSTER,
     .controller = LEASE_MUTANT_FOR_EVER},
    {"late-at-once", "what is in the log when another leads is acknowledged (P8)", RULE_OF_CLUSTER,
     .replication = REPLICATION_MUTANT_LATE_AT_ONCE},
    {"held-by-isr", "a tombstone goes though a replica that is away lacks it", RULE_OF_CLUSTER,
     .replication = REPLICATION_MUTANT_HELD_BY_ISR},
    {"alone", "what a coordinator writes counts when one replica has it (C23)", RULE_OF_CLUSTER,
     .coord = COORD_MUTANT_ALONE},
    {"any-member", "a commit of who was given up is taken (C24)", RULE_OF_CLUSTER,
     .coord = COORD_MUTANT_ANY_MEMBER},
    {"unready", "a coordinator replays before the end is known (P29)", RULE_OF_CLUSTER,
     .coord = COORD_MUTANT_UNREADY},
    {NULL},
};

const struct rule *rules(void)
{
    return all;
}

const struct rule *rule_find(const char *word)
{
    char *end;
    unsigned long number = strtoul(word, &end, 10);
    for (const struct rule *r = all; r->name; r++) {
        bool numbered = *word && !*end && number == (unsigned long)(r - all) + 1;
        if (numbered || strcmp(r->name, word) == 0) {
            return r;
        }
    }
    return NULL;
}

const char *rule_world_name(enum rule_world world)
{
    static const char *const names[] = {[RULE_OF_STORAGE] = "storage",
                                        [RULE_OF_RAFT] = "raft",
                                        [RULE_OF_REPLICA] = "replica",
                                        [RULE_OF_CONTROLLER] = "controller",
                                        [RULE_OF_CLUSTER] = "cluster"};
    return names[world];
}

void rules_print(void)
{
    for (const struct rule *r = all; r->name; r++) {
        printf("%2d  %-10s %-18s %s\n", (int)(r - all) + 1, rule_world_name(r->world), r->name,
               r->what);
    }
}
