/* SPDX-License-Identifier: Apache-2.0 */

/* controller_world: one partition, its brokers and their data in random histories of what the controller decides
 * (broker/meta/isr.h), from one seed. The world knows what every replica holds and what was acknowledged, so it sees
 * whether a leader lacks something. Requests of leaders arrive late, twice, or from another life.
 *
 * It checks after each decision (RELIABILITY 3.1): P2 epochs, P10 candidates and P11 leaders hold all that is
 * acknowledged, P15 unclean epochs are told, P18, P20 recovering leaders are alone, P21 sets, P22 ISR and ELR do not
 * shrink below the minimum, P23 who lost data is in neither, P26 elections, P27, P28 reassignments, H6, H14. */
#pragma once

#include <stdint.h>
#include <stdio.h>

struct controller_options {
    uint64_t seed;
    unsigned mutant; /* enum isr_mutant */
    FILE *story;     /* NULL: untold */
};

struct controller_stats {
    uint64_t runs, events, clean_elections, unclean_elections,
        completed; /* completed: reassignments */
};

/* One run. 0, or -1 with what was violated in `why`. Adds to *stats. */
int controller_world_run(const struct controller_options *options, struct controller_stats *stats,
                         char why[static 400]);
