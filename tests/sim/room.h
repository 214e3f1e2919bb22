/* SPDX-License-Identifier: Apache-2.0 */

/* room: the program around the world of a single room: seeds, stories, rules that are left out.
 *
 *     leat-sim ROOM [--seed N] [--runs N] [--story] [--mutant NAME | --every] [the room's own words]
 *
 * Exit status: 0 all is well (with --mutant and --every: it was caught), 1 not, 2 a wrong argument. */
#pragma once

#include "rules.h"

#include <stdint.h>
#include <stdio.h>

enum { ROOM_WHY_SIZE = 400 };

struct room_choice {
    uint64_t seed;
    unsigned mutant; /* the room's number of a rule, 0: none */
    FILE *story;     /* NULL: untold */
};

struct room {
    enum rule_world world;
    const char *flag; /* a word of its own, NULL: it has none */
    bool *flagged;
    unsigned (*mutant_of)(const struct rule *rule);
    /* One run. 0, or -1 with what was violated in `why`. Adds to what print_stats() tells. */
    int (*run)(const struct room_choice *choice, char why[static ROOM_WHY_SIZE]);
    void (*print_stats)(void);
};

/* The exit status. */
int room_main(const struct room *room, int count, char **words);
