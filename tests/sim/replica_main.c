/* SPDX-License-Identifier: Apache-2.0 */

/* leat-sim-replica: the replicas of a partition among faults, from seeds.
 *
 *     leat-sim replica [--seed N] [--runs N] [--story] [--mutant NAME | --every]
 *
 * A run is 40 s of faults and then calm until all is well, in virtual time. Exit status: 0 all is well (with
 * --mutant and --every: it was caught), 1 not, 2 a wrong argument. */
#include "replica_world.h"
#include "room.h"

#include <inttypes.h>

static struct world_stats stats;

static int run(const struct room_choice *choice, char why[static ROOM_WHY_SIZE])
{
    const struct world_options options = {choice->seed, choice->mutant, choice->story};
    return replica_world_run(&options, &stats, why);
}

static void print_stats(void)
{
    const struct world_stats *s = &stats;
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

static unsigned mutant_of(const struct rule *rule)
{
    return rule->replication;
}

int main(int count, char **words)
{
    const struct room room = {
        .world = RULE_OF_REPLICA, .mutant_of = mutant_of, .run = run, .print_stats = print_stats};
    return room_main(&room, count, words);
}
