/* SPDX-License-Identifier: Apache-2.0 */

/* controller_world: random histories of what the controller decides, from one seed; each decision is looked at in words
 * of its own (RELIABILITY 3.1).
 *
 *   a partition (broker/meta/isr.h): the world knows what every replica holds and what was acknowledged, so it sees
 *     whether a leader lacks something. Requests of leaders arrive late, twice, or from another life. P2 epochs, P10
 *     candidates and P11 leaders hold all that is acknowledged, P15 unclean epochs are told, P18, P20 recovering
 *     leaders are alone, P21 sets, P22 ISR and ELR do not shrink below the minimum, P23 who lost data is in neither,
 *     P26 elections, P27, P28 reassignments, H6, H14
 *   brokers (broker/meta/cluster.h): they come in new lives, with and without their data, are heard or not, leave, are
 *     forgotten; leaders, operators and configurations change partitions. P2, P21 to P24, P26 to P28, C2, C3, C5 */
#pragma once

#include <stdint.h>
#include <stdio.h>

struct controller_options {
    uint64_t seed;
    unsigned mutant; /* enum isr_mutant, enum cluster_mutant */
    FILE *story;     /* NULL: untold */
};

struct controller_stats {
    uint64_t runs, events;
    uint64_t clean_elections, unclean_elections,
        completed; /* of partitions; completed: reassignments */
    uint64_t registrations, fencings, elections, given_up; /* of brokers */
};

/* One history. 0, or -1 with what was violated in `why`. Adds to *stats. */
int controller_partition_run(const struct controller_options *options,
                             struct controller_stats *stats, char why[static 400]);
int controller_brokers_run(const struct controller_options *options, struct controller_stats *stats,
                           char why[static 400]);
