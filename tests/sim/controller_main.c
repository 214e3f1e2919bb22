/* SPDX-License-Identifier: Apache-2.0 */

/* leat-sim-controller: what the controller decides, from seeds.
 *
 *     leat-sim controller [--seed N] [--runs N] [--story] [--mutant NAME | --every]
 *
 * A run is the history of a partition, 400 events, and one of brokers, 120. */
#include "controller_world.h"
#include "room.h"

#include <inttypes.h>

static struct controller_stats stats;

static int run(const struct room_choice *choice, char why[static ROOM_WHY_SIZE])
{
    const struct controller_options options = {choice->seed, choice->mutant, choice->story};
    int error = controller_partition_run(&options, &stats, why);
    return error ? error : controller_brokers_run(&options, &stats, why);
}

static void print_stats(void)
{
    printf("%" PRIu64 " histories, %" PRIu64 " events: %" PRIu64 " clean elections, %" PRIu64
           " unclean, %" PRIu64 " reassignments completed; %" PRIu64 " registrations, %" PRIu64
           " fencings, %" PRIu64 " elections, %" PRIu64 " gave up what others have\n",
           stats.runs, stats.events, stats.clean_elections, stats.unclean_elections,
           stats.completed, stats.registrations, stats.fencings, stats.elections, stats.given_up);
}

static unsigned mutant_of(const struct rule *rule)
{
    return rule->world == RULE_OF_CONTROLLER ? rule->controller : 0;
}

int main(int count, char **words)
{
    const struct room room = {.world = RULE_OF_CONTROLLER,
                              .mutant_of = mutant_of,
                              .run = run,
                              .print_stats = print_stats};
    return room_main(&room, count, words);
}
