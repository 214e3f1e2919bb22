/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/controller_world.h"

#include "meta/cluster.h"

#include <inttypes.h>

#include <criterion/criterion.h>

enum { SEEDS = 400 };

Test(cluster_model, random_histories)
{
    struct controller_stats stats = {0};
    char why[400];
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        const struct controller_options options = {.seed = seed};
        cr_assert(controller_brokers_run(&options, &stats, why) == 0, "%s", why);
    }
    cr_assert_gt(stats.registrations, SEEDS, "%" PRIu64 " registrations", stats.registrations);
    cr_assert_gt(stats.fencings, SEEDS, "%" PRIu64 " fencings", stats.fencings);
    cr_assert_gt(stats.elections, SEEDS, "%" PRIu64 " elections", stats.elections);
}

Test(cluster_model, every_rule_that_is_left_out_is_noticed)
{
    for (unsigned mutant = CLUSTER_MUTANT_EPOCH_FIRST; mutant < CLUSTER_MUTANTS_END; mutant++) {
        struct controller_options options = {.seed = 1, .mutant = mutant};
        struct controller_stats stats = {0};
        char why[400];
        while (options.seed <= SEEDS && controller_brokers_run(&options, &stats, why) == 0) {
            options.seed++;
        }
        cr_expect_leq(options.seed, SEEDS, "mutant %u lives", mutant);
    }
}
