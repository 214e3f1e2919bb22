/* SPDX-License-Identifier: Apache-2.0 */

/* leat-sim-replica: the replicas of a partition among faults, from seeds.
 *
 *     leat-sim-replica [--seed N] [--runs N] [--story] [--mutant NAME | --every]
 *
 * A run is 40 s of faults and then calm until all is well, in virtual time. Exit status: 0 all is well (with
 * --mutant and --every: it was caught), 1 not, 2 a wrong argument. */
#include "replica_world.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *const mutants[REPLICATION_MUTANT_TOTAL] = {
    [REPLICATION_MUTANT_NONE] = "none",
    [REPLICATION_MUTANT_COUNT_FETCHED] = "count-fetched",
    [REPLICATION_MUTANT_LEADER_UNFLUSHED] = "leader-unflushed",
    [REPLICATION_MUTANT_OLD_EPOCH] = "old-epoch",
    [REPLICATION_MUTANT_OLD_BROKER] = "old-broker",
    [REPLICATION_MUTANT_KEEP_COUNTED] = "keep-counted",
    [REPLICATION_MUTANT_COMMITTED_ISR] = "committed-isr",
    [REPLICATION_MUTANT_ROLL_BACK] = "roll-back",
    [REPLICATION_MUTANT_BELIEVE_REJECTION] = "believe-rejection",
    [REPLICATION_MUTANT_TWO_IN_FLIGHT] = "two-in-flight",
    [REPLICATION_MUTANT_OLDER_IMAGE] = "older-image",
    [REPLICATION_MUTANT_BELOW_MIN] = "below-min",
    [REPLICATION_MUTANT_ACK_COUNTED] = "ack-counted",
    [REPLICATION_MUTANT_ADMIT_SHORT] = "admit-short",
    [REPLICATION_MUTANT_JOIN_EARLY] = "join-early",
    [REPLICATION_MUTANT_JOIN_UNREADY] = "join-unready",
    [REPLICATION_MUTANT_LATEST_UNREADY] = "latest-unready",
    [REPLICATION_MUTANT_NO_DIVERGENCE] = "no-divergence",
    [REPLICATION_MUTANT_CUT_AT_WATERMARK] = "cut-at-watermark",
    [REPLICATION_MUTANT_CUT_AT_LEADERS] = "cut-at-leaders",
    [REPLICATION_MUTANT_UNCLIPPED] = "unclipped",
    [REPLICATION_MUTANT_NEVER_EJECT] = "never-eject",
    [REPLICATION_MUTANT_FLAP] = "flap",
    [REPLICATION_MUTANT_FORGIVE_NOTHING] = "forgive-nothing",
    [REPLICATION_MUTANT_TELL_LATE] = "tell-late",
    [REPLICATION_MUTANT_REPORT_LATE] = "report-late",
};

/* 0: nothing was found in `runs` runs; -1: *seed and why. */
static int explore(struct world_options *options, uint64_t runs, struct world_stats *stats,
                   char why[static 400])
{
    for (uint64_t i = 0; i < runs; i++, options->seed++) {
        if (replica_world_run(options, stats, why) < 0) {
            return -1;
        }
    }
    return 0;
}

static int caught(struct world_options options, unsigned mutant, uint64_t runs)
{
    struct world_stats stats = {0};
    char why[400] = "";
    options.mutant = mutant;
    bool found = explore(&options, runs, &stats, why) < 0;
    printf("%-18s %6" PRIu64 " runs  %s%.200s\n", mutants[mutant], stats.runs,
           found ? "" : "NOT CAUGHT", why);
    fflush(stdout);
    return found ? 0 : 1;
}

static void print_stats(const struct world_stats *s)
{
    printf("%" PRIu64 " runs, %" PRIu64 " steps, %.0f virtual s: %" PRIu64 " kills, %" PRIu64
           " power cuts, %" PRIu64 " disks changed, %" PRIu64 " damaged, %" PRIu64
           " freezes, %" PRIu64 " partitions, %" PRIu64 " messages lost, %" PRIu64 " doubled\n",
           s->runs, s->steps, (double)s->virtual_ns / 1e9, s->kills, s->cuts, s->disks, s->failures,
           s->freezes, s->partitions, s->lost, s->doubled);
    printf("%" PRIu64 " elections, %" PRIu64 " unclean, %" PRIu64 " shrinks, %" PRIu64
           " expansions, %" PRIu64 " rejections, %" PRIu64 " reassignments, %" PRIu64
           " changes of min.insync.replicas\n",
           s->elections, s->unclean, s->shrinks, s->expansions, s->rejections, s->reassignments,
           s->min_changes);
    printf("%" PRIu64 " appends, %" PRIu64 " acknowledged, %" PRIu64
           " with too few in sync afterwards, %" PRIu64 " reads, %" PRIu64 " truncations, %" PRIu64
           " logs begun anew\n",
           s->appends, s->acked, s->short_acks, s->reads, s->truncations, s->anew);
}

static unsigned mutant_of(const char *name)
{
    for (unsigned i = 1; i < REPLICATION_MUTANT_TOTAL; i++) {
        if (strcmp(mutants[i], name) == 0) {
            return i;
        }
    }
    return 0;
}

int main(int count, char **words)
{
    struct world_options options = {.seed = 1};
    uint64_t runs = 100;
    unsigned mutant = 0;
    bool every = false;
    for (int i = 1; i < count; i++) {
        const char *value = i + 1 < count ? words[i + 1] : "";
        if (strcmp(words[i], "--seed") == 0) {
            options.seed = strtoull(value, NULL, 10);
            i++;
        } else if (strcmp(words[i], "--runs") == 0) {
            runs = strtoull(value, NULL, 10);
            i++;
        } else if (strcmp(words[i], "--mutant") == 0 && (mutant = mutant_of(value))) {
            i++;
        } else if (strcmp(words[i], "--story") == 0) {
            options.story = stdout;
        } else if (strcmp(words[i], "--every") == 0) {
            every = true;
        } else {
            fprintf(stderr,
                    "leat-sim-replica: I do not understand %s; it takes --seed N, --runs N, "
                    "--story, --mutant NAME, --every\n",
                    words[i]);
            return 2;
        }
    }
    int missed = 0;
    for (unsigned i = 1; every && i < REPLICATION_MUTANT_TOTAL; i++) {
        missed += caught(options, i, runs);
    }
    if (every || mutant) {
        return every ? missed > 0 : caught(options, mutant, runs);
    }
    struct world_stats stats = {0};
    char why[400];
    if (explore(&options, runs, &stats, why) < 0) {
        printf("%s\n  again: leat-sim-replica --seed %" PRIu64 " --runs 1 --story\n", why,
               options.seed);
        return 1;
    }
    print_stats(&stats);
    return 0;
}
