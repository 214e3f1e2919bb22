/* SPDX-License-Identifier: Apache-2.0 */

/* Of a run that fails, the fewest clients and disturbances with which it fails by the same rule. */
#pragma once

#include "cluster_run.h"

enum { SHRINK_COMMAND_SIZE = 1 << 17 };

/* The command that repeats a run. */
void shrink_command(const struct run_choice *a, uint64_t seed,
                    char out[static SHRINK_COMMAND_SIZE]);

/* Tells what it tries, and in the end the command. The exit status: 0, or 1 when the seed does not fail. */
int shrink(const struct run_choice *a, uint64_t seed);
