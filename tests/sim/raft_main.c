/* SPDX-License-Identifier: Apache-2.0 */

/* leat-sim-raft: the metadata quorum's consensus core among faults, from seeds.
 *
 *     leat-sim raft [--seed N] [--runs N] [--wire] [--story] [--mutant NAME | --every]
 *
 * A run is a minute of faults and 40 s of calm, in virtual time. With --wire its messages travel as Kafka's bytes,
 * and it is the same run to the last step as without. Exit status: 0 all is well (with --mutant and
 * --every: it was caught), 1 not, 2 a wrong argument. */
#include "raft/raft_private.h"
#include "raft_world.h"
#include "rules.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A run over bytes, and the same without them. */
static int run_twice(const struct world_options *options, struct world_stats *stats,
                     char why[static 400])
{
    struct world_options plain = *options;
    struct world_stats other = *stats;
    plain.wire = false;
    plain.story = NULL;
    if (raft_world_run(options, stats, why) < 0 || raft_world_run(&plain, &other, why) < 0) {
        return -1;
    }
    if (memcmp(stats, &other, sizeof other) != 0) {
        snprintf(why, 400, "wire: over bytes the run is another");
        return -1;
    }
    return 0;
}

/* 0: nothing was found in `runs` runs; -1: *seed and why. */
static int explore(struct world_options *options, uint64_t runs, struct world_stats *stats,
                   char why[static 400])
{
    for (uint64_t i = 0; i < runs; i++, options->seed++) {
        int found =
            options->wire ? run_twice(options, stats, why) : raft_world_run(options, stats, why);
        if (found < 0) {
            return -1;
        }
    }
    return 0;
}

static int caught(struct world_options options, const struct rule *left_out, uint64_t runs)
{
    struct world_stats stats = {0};
    char why[400] = "";
    options.mutant = left_out->raft;
    bool found = explore(&options, runs, &stats, why) < 0;
    printf("%-18s %6" PRIu64 " runs  %s%.200s\n", left_out->name, stats.runs,
           found ? "" : "NOT CAUGHT", why);
    fflush(stdout);
    return found ? 0 : 1;
}

static void print_stats(const struct world_stats *s)
{
    printf("%" PRIu64 " runs, %" PRIu64 " steps, %.0f virtual s: %" PRIu64 " kills, %" PRIu64
           " power cuts, %" PRIu64 " freezes, %" PRIu64 " partitions, %" PRIu64
           " messages lost, %" PRIu64 " doubled\n",
           s->runs, s->steps, (double)s->virtual_ns / 1e9, s->kills, s->cuts, s->freezes,
           s->partitions, s->lost, s->doubled);
    printf("%" PRIu64 " elections, %" PRIu64 " entries committed, %" PRIu64 " reads, %" PRIu64
           " changes of voters, %" PRIu64 " snapshots, %" PRIu64 " loaded, %" PRIu64
           " truncations, %" PRIu64 " resignations, %" PRIu64 " leaders taken for lost\n",
           s->elections, s->commits, s->reads, s->changes, s->snapshots, s->loads, s->truncations,
           s->resignations, s->losses);
}

static const struct rule *rule_of(const char *word)
{
    const struct rule *r = rule_find(word);
    return r && r->raft ? r : NULL;
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
        } else if (strcmp(words[i], "--wire") == 0) {
            options.wire = true;
        } else if (strcmp(words[i], "--every") == 0) {
            every = true;
        } else {
            fprintf(stderr,
                    "leat-sim-raft: I do not understand %s; it takes --seed N, --runs N, --wire, "
                    "--story, "
                    "--mutant NAME, --every\n",
                    words[i]);
            return 2;
        }
    }
    int missed = 0;
    for (const struct rule *r = rules(); every && r->name; r++) {
        missed += r->world == RULE_OF_RAFT ? caught(options, r, runs) : 0;
    }
    if (every || mutant) {
        return every ? missed > 0 : caught(options, mutant, runs);
    }
    struct world_stats stats = {0};
    char why[400];
    if (explore(&options, runs, &stats, why) < 0) {
        printf("%s\n  again: leat-sim raft --seed %" PRIu64 " --runs 1%s --story\n", why,
               options.seed, options.wire ? " --wire" : "");
        return 1;
    }
    print_stats(&stats);
    return 0;
}
