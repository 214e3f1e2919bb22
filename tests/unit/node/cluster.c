/* SPDX-License-Identifier: Apache-2.0 */

/* Several whole nodes, by chance: they found a cluster, are killed, cut off, slowed down and stopped, while
 * topics are made and deleted, and agree in the end (cluster_world.h says on what). One seed is one run;
 * CLUSTER_SEED is the first one and CLUSTER_RUNS how many, CLUSTER_NODES how many nodes there are,
 * CLUSTER_STORY tells it. */
#include "cluster_world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <criterion/criterion.h>

static struct cluster_world w;

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

static void start_all(void)
{
    for (uint32_t i = 0; i < w.count; i++) {
        member_start(&w.members[i]);
    }
}

Test(cluster, founds_and_serves)
{
    static const uint32_t counts[] = {1, 2, 3, 5};
    for (size_t i = 0; i < array_size(counts); i++) {
        world_open(&w, 1, counts[i]);
        start_all();
        world_settle(&w, 10000 * CLUSTER_MS);
        world_close(&w);
    }
}

static void one_run(uint64_t seed, uint32_t count, uint64_t disturbances)
{
    world_open(&w, seed, count);
    start_all();
    if (prng_below(&w.random, 4) != 0) {
        world_run(&w, 2000 * CLUSTER_MS);
    }
    for (uint64_t i = 0; i < disturbances; i++) {
        world_disturb(&w);
        world_run(&w, (1 + prng_below(&w.random, 200)) * CLUSTER_MS);
    }
    world_heal(&w);
    world_settle(&w, 30000 * CLUSTER_MS);
    if (getenv("CLUSTER_SEED")) {
        printf("seed %" PRIu64 " nodes %u: %.1f s, %" PRIu64 " events, offset %" PRId64 ", %" PRIu64
               " of %u topics answered\n",
               seed, count, (double)sim_now(w.sim) / 1e9, sim_events(w.sim), w.newest, w.answered,
               w.topic_count);
        fflush(stdout);
    }
    world_close(&w);
}

static void runs(uint32_t count)
{
    uint64_t first = number_of("CLUSTER_SEED", 1), many = number_of("CLUSTER_RUNS", 4);
    for (uint64_t seed = first; seed < first + many; seed++) {
        one_run(seed, count, 100);
    }
}

Test(cluster, three_by_chance)
{
    runs((uint32_t)number_of("CLUSTER_NODES", 3));
}
