/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/controller_world.h"

#include "meta/isr.h"

#include <inttypes.h>

#include <criterion/criterion.h>

enum { SEEDS = 6000, MUTANT_SEEDS = 3000 };

Test(isr_model, random_histories)
{
    struct controller_stats stats = {0};
    char why[400];
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        const struct controller_options options = {.seed = seed};
        cr_assert(controller_partition_run(&options, &stats, why) == 0, "%s", why);
    }
    cr_assert_gt(stats.clean_elections, 3 * SEEDS, "%" PRIu64 " clean elections",
                 stats.clean_elections);
    cr_assert_gt(stats.unclean_elections, SEEDS, "%" PRIu64 " unclean elections",
                 stats.unclean_elections);
    cr_assert_gt(stats.completed, SEEDS / 10, "%" PRIu64 " reassignments", stats.completed);
}

Test(isr_model, every_rule_that_is_left_out_is_noticed)
{
    for (unsigned mutant = 1; mutant < ISR_MUTANTS; mutant++) {
        struct controller_options options = {.seed = 1, .mutant = mutant};
        struct controller_stats stats = {0};
        char why[400];
        while (options.seed <= MUTANT_SEEDS &&
               controller_partition_run(&options, &stats, why) == 0) {
            options.seed++;
        }
        cr_expect_leq(options.seed, MUTANT_SEEDS, "mutant %u lives", mutant);
    }
}
