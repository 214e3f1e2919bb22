/* SPDX-License-Identifier: Apache-2.0 */

#include "explore.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    RECOVERY_BITS = 7, /* a recovery is crashed within 2^7 operations, rather at an early one */
    CRASHES_IN_A_ROW = 3,
};

void sim_storage_recovered(struct sim_storage *st)
{
    assert(!st->recovered);
    st->recovered = true;
}

void sim_storage_violation(struct sim_storage *st, const char *format, ...)
{
    if (st->violation[0]) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(st->violation, sizeof st->violation, format, arguments);
    va_end(arguments);
    sim_story(st->sim, "VIOLATION: %s", st->violation);
}

/* Runs the node until it ends, or (in a probe) until it has been judged. */
static void live(struct sim_storage *st, uint64_t crash_after)
{
    uint64_t until = sim_now(st->sim) + st->options->life_ns_max;
    st->recovered = false;
    unsigned shards = st->scenario->life(st, st->scenario->context);
    sim_node_start(st->node, shards, st->scenario->start, st);
    sim_crash_after(st->node, crash_after, SIM_CRASH_FREEZE);
    while (sim_node_state(st->node) == SIM_RUNNING && !st->violation[0] &&
           !(st->probing && st->recovered)) {
        if (!sim_step(st->sim)) {
            sim_storage_violation(st, "nothing happens any more, %s",
                                  st->recovered ? "while it works" : "while it recovers");
        } else if (sim_now(st->sim) > until) {
            sim_storage_violation(st, "no end, %s",
                                  st->recovered ? "of its work" : "of its recovery");
        }
    }
    st->stats->operations += sim_node_operations(st->node);
    switch (sim_node_state(st->node)) {
    case SIM_RUNNING:
        sim_node_freeze(st->node);
        break;
    case SIM_ASSERTED:
        sim_storage_violation(st, "%s", sim_node_last_line(st->node));
        break;
    case SIM_FATAL:
        st->stats->fatal++;
        if (!st->options->fatal_allowed) {
            sim_storage_violation(st, "io_fatal: %s", sim_node_last_line(st->node));
        }
        break;
    default:
        break;
    }
}

/* A crash of a disk that was left in the middle of everything. True: nothing on it is unsynced. */
static bool crash(struct sim_storage *st, struct disk *d)
{
    bool power = prng_chance(&st->crash, st->options->power, 1000);
    struct prng random = prng_of(prng_next(&st->crash));
    sim_story(st->sim, "%s", power ? "the power is cut" : "the process is killed");
    st->stats->crashes++;
    if (power) {
        st->powered = true;
        disk_power_cut(d, &sim_faults(st->sim)->crash, &random);
        sim_node_set_boot(st->node, sim_boot_new(st->sim));
    } else {
        disk_kill(d, &sim_faults(st->sim)->crash, &random);
    }
    return power;
}

/* The operation at which a recovery is crashed; 0: it is not. */
static uint64_t recovery_point(struct sim_storage *st)
{
    if (!prng_chance(&st->crash, st->options->recovery_crash, 1000)) {
        return 0;
    }
    return prng_between(&st->crash, 1, 1u << prng_between(&st->crash, 1, RECOVERY_BITS));
}

/* A crash, and rot with it; not twice. Damage is judged by what is visible, so nothing visible may be
 * lost afterwards: only a power cut settles what is. */
static void crash_and_damage(struct sim_storage *st, struct disk *d)
{
    if (crash(st, d) && !st->damaged && st->scenario->damage &&
        prng_chance(&st->crash, st->options->damaged, 1000)) {
        st->damaged = st->scenario->damage(st, st->scenario->context, d);
        st->stats->damaged += st->damaged;
    }
}

/* Recovers and judges one crash image of `from`. */
static void probe(struct sim_storage *st, struct disk *from)
{
    bool powered = st->powered, stopped = st->stopped;
    struct prng random = st->random;
    struct uuid boot = sim_node_boot(st->node);
    st->probing = true;
    st->stats->images++;
    struct disk *image = disk_copy(from);
    crash_and_damage(st, image);
    struct disk *kept = sim_node_swap_disk(st->node, image);
    for (int i = 0; i < CRASHES_IN_A_ROW && !st->violation[0]; i++) {
        live(st, i + 1 < CRASHES_IN_A_ROW ? recovery_point(st) : 0);
        if (st->recovered || st->violation[0]) {
            break;
        }
        if (sim_node_state(st->node) != SIM_FROZEN) {
            sim_storage_violation(st, "recovery ended without an answer: %s",
                                  sim_state_name(sim_node_state(st->node)));
            break;
        }
        st->stats->recovery_crashes++;
        crash_and_damage(st, sim_node_disk(st->node));
    }
    disk_free(sim_node_swap_disk(st->node, kept));
    sim_node_set_boot(st->node, boot);
    st->probing = st->damaged = false;
    st->powered = powered;
    st->stopped = stopped;
    st->random = random;
}

/* One life of the walk, its images, and the crash after which the next one begins. */
static void one_life(struct sim_storage *st)
{
    uint64_t early = recovery_point(st);
    live(st, early ? early : prng_between(&st->crash, 1, st->options->operations_max));
    st->stats->lives++;
    if (st->violation[0]) {
        return;
    }
    enum sim_state state = sim_node_state(st->node);
    if (st->recovered) {
        st->powered = false; /* what follows is counted from what was judged now */
        st->stopped = state == SIM_STOPPED;
    } else {
        st->stats->recovery_crashes++;
    }
    st->powered = disk_cache_lost(sim_node_disk(st->node)) || st->powered;
    st->stats->stops += state == SIM_STOPPED;
    for (unsigned i = 0; i < st->options->images && !st->violation[0]; i++) {
        probe(st, sim_node_disk(st->node));
    }
    if (!st->violation[0]) {
        (void)crash(st, sim_node_disk(st->node));
    }
}

int sim_storage_walk(struct sim_storage *st, const struct sim_storage_scenario *scenario,
                     const struct sim_storage_options *options, struct sim_storage_stats *stats)
{
    struct sim_options world = {
        .seed = options->seed,
        .memory_bytes = options->memory_bytes,
        .disk_bytes = options->disk_bytes,
        .story = options->story,
        .catch_asserts = true,
    };
    *st = (struct sim_storage){.scenario = scenario, .options = options, .stats = stats};
    st->sim = sim_new(&world);
    st->node = sim_node_new(st->sim, "node");
    st->random = sim_random(st->sim, 1);
    st->crash = sim_random(st->sim, 2);
    stats->walks++;
    if (scenario->prepare) {
        scenario->prepare(st, scenario->context);
    }
    for (unsigned i = 0; i < options->lives && !st->violation[0]; i++) {
        one_life(st);
    }
    stats->events += sim_events(st->sim);
    stats->virtual_ns += sim_now(st->sim);
    sim_free(st->sim);
    st->sim = NULL;
    st->node = NULL;
    return st->violation[0] ? -1 : 0;
}
