/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Builds of the simulator leave a rule out; 0: none. */
enum coord_mutant {
    COORD_MUTANT_ALONE = 1,  /* what is written counts when one replica has it */
    COORD_MUTANT_ANY_MEMBER, /* a commit of who was given up is taken */
    COORD_MUTANT_UNREADY,    /* a partition is replayed before its end is known (P29) */
};
