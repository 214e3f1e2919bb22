/* SPDX-License-Identifier: Apache-2.0 */

/* clock: the measuring programs' time. Nanoseconds of CLOCK_MONOTONIC, one origin for all processes
 * of a machine, so that a stamp in a record can be compared by whoever reads it. */
#pragma once

#include <stdint.h>
#include <time.h>

enum { NS_PER_US = 1000, NS_PER_MS = 1000000, NS_PER_S = 1000000000 };

static inline uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static inline uint64_t clock_seconds(double seconds)
{
    return (uint64_t)(seconds * NS_PER_S);
}

/* Returns at or after `ns` of clock_ns(); an interrupting signal ends the wait early. */
static inline void clock_wait_until(uint64_t ns)
{
    struct timespec at = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}
