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
#include "room.h"

#include <inttypes.h>
#include <string.h>

static struct world_stats stats;
static bool wire;

/* A run over bytes, and the same without them. */
static int run_twice(const struct world_options *options, char why[static 400])
{
    struct world_options plain = *options;
    struct world_stats other = stats;
    plain.wire = false;
    plain.story = NULL;
    if (raft_world_run(options, &stats, why) < 0 || raft_world_run(&plain, &other, why) < 0) {
        return -1;
    }
    if (memcmp(&stats, &other, sizeof other) != 0) {
        snprintf(why, 400, "wire: over bytes the run is another");
        return -1;
    }
    return 0;
}

static int run(const struct room_choice *choice, char why[static ROOM_WHY_SIZE])
{
    const struct world_options options = {choice->seed, choice->mutant, choice->story, wire};
    return wire ? run_twice(&options, why) : raft_world_run(&options, &stats, why);
}

static void print_stats(void)
{
    const struct world_stats *s = &stats;
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

static unsigned mutant_of(const struct rule *rule)
{
    return rule->raft;
}

int main(int count, char **words)
{
    const struct room room = {RULE_OF_RAFT, "--wire", &wire, mutant_of, run, print_stats};
    return room_main(&room, count, words);
}
