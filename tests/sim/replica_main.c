/* SPDX-License-Identifier: Apache-2.0 */

/* leat-sim-replica: the replicas of a partition among faults, from seeds.
 *
 *     leat-sim replica [--seed N] [--runs N] [--story] [--mutant NAME | --every]
 *
 * A run is 40 s of faults and then calm until all is well, in virtual time. Exit status: 0 all is well (with
 * --mutant and --every: it was caught), 1 not, 2 a wrong argument. */
#include "replica_world.h"
#include "rules.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

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

static int caught(struct world_options options, const struct rule *left_out, uint64_t runs)
{
    struct world_stats stats = {0};
    char why[400] = "";
    options.mutant = left_out->replication;
    bool found = explore(&options, runs, &stats, why) < 0;
    printf("%-18s %6" PRIu64 " runs  %s%.200s\n", left_out->name, stats.runs,
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

static const struct rule *rule_of(const char *word)
{
    const struct rule *r = rule_find(word);
    return r && r->replication ? r : NULL;
}

int main(int count, char **words)
{
    struct world_options options = {.seed = 1};
    uint64_t runs = 100;
    const struct rule *mutant = NULL;
    bool every = false;
    for (int i = 1; i < count; i++) {
        const char *value = i + 1 < count ? words[i + 1] : "";
        if (strcmp(words[i], "--seed") == 0) {
            options.seed = strtoull(value, NULL, 10);
            i++;
        } else if (strcmp(words[i], "--runs") == 0) {
            runs = strtoull(value, NULL, 10);
            i++;
        } else if (strcmp(words[i], "--mutant") == 0 && (mutant = rule_of(value))) {
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
    for (const struct rule *r = rules(); every && r->name; r++) {
        missed += r->world == RULE_OF_REPLICA ? caught(options, r, runs) : 0;
    }
    if (every || mutant) {
        return every ? missed > 0 : caught(options, mutant, runs);
    }
    struct world_stats stats = {0};
    char why[400];
    if (explore(&options, runs, &stats, why) < 0) {
        printf("%s\n  again: leat-sim replica --seed %" PRIu64 " --runs 1 --story\n", why,
               options.seed);
        return 1;
    }
    print_stats(&stats);
    return 0;
}
