/* SPDX-License-Identifier: Apache-2.0 */

/* cost: what a run costs this process and the broker; and the end of a run that cannot go on. */
#pragma once

#include <stdint.h>

/* "leat-bench: ...", and exit status 1. */
_Noreturn void load_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What a broker (by its pid, 0: unknown) and this process spent between begin and end. */
struct load_cost {
    int pid;
    uint64_t begun_ns, ended_ns;
    double broker_begun, broker_ended; /* CPU seconds */
    double own_begun, own_ended;
    double steal_begun, steal_ended;
    uint64_t rss_bytes; /* of the broker, at the end */
};

void load_cost_begin(struct load_cost *c, uint64_t pid);
void load_cost_end(struct load_cost *c);

/* CPU seconds between begin and end. */
static inline double load_cost_broker(const struct load_cost *c)
{
    return c->broker_ended - c->broker_begun;
}

static inline double load_cost_own(const struct load_cost *c)
{
    return c->own_ended - c->own_begun;
}

static inline double load_cost_seconds(const struct load_cost *c)
{
    return (double)(c->ended_ns - c->begun_ns) / 1e9;
}
