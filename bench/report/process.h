/* SPDX-License-Identifier: Apache-2.0 */

/* process: what a process costs, from /proc. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct process_cost {
    double cpu_seconds; /* user and system of all its threads, also of those that have ended */
    uint64_t rss_bytes;
};

/* False when there is no such process. */
bool process_cost(pid_t pid, struct process_cost *out);

/* What this machine's host took from all processors together since its start, in seconds. */
double process_steal(void);
