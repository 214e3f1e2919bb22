/* SPDX-License-Identifier: Apache-2.0 */

/* Delta debugging (Zeller, Hildebrandt 2002), without its complements: halves of what is left are dropped, then
 * quarters, and so on to single steps, as long as the run still fails by the same rule. */
#include "cluster_shrink.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct shrinking {
    struct run_choice choice;
    struct steps steps; /* choice.only */
    uint64_t seed;
    char rule[80];
    uint32_t runs;
    struct summary last; /* that failed by it */
};

/* "C2 duplicate" of "seed 7, 3 nodes, at 4.2 s: C2 duplicate: number ...": what a run failed by. */
static void rule_of(const char *why, char out[static 80])
{
    const char *after = strstr(why, ": "), *from = after ? after + 2 : why;
    snprintf(out, 80, "%.*s", (int)strcspn(from, ":"), from);
}

static bool fails(struct shrinking *x)
{
    struct summary s = {0};
    char rule[80];
    x->runs++;
    run_apart(&x->choice, x->seed, &s);
    rule_of(s.why, rule);
    if (!s.failed || strcmp(rule, x->rule) != 0) {
        return false;
    }
    x->last = s;
    return true;
}

void shrink_command(const struct run_choice *a, uint64_t seed, char out[static SHRINK_COMMAND_SIZE])
{
    static char only[SHRINK_COMMAND_SIZE - 400];
    char nodes[24] = "", clients[24] = "", mutant[60] = "";
    only[0] = 0;
    if (a->nodes) {
        snprintf(nodes, sizeof nodes, " --nodes %u", (unsigned)a->nodes);
    }
    if (a->clients) {
        snprintf(clients, sizeof clients, " --clients %u", (unsigned)a->clients);
    }
    if (a->rule) {
        snprintf(mutant, sizeof mutant, " --mutant %s", a->rule->name);
    }
    if (a->only) {
        steps_text(a->only, only, sizeof only);
    }
    snprintf(out, SHRINK_COMMAND_SIZE,
             "leat-sim%s --seed %" PRIu64 "%s%s --minutes %g --replication-factor %u%s%s%s%s",
             a->rule && a->rule->world != RULE_OF_CLUSTER ? " cluster" : "", seed, nodes, clients,
             a->minutes, (unsigned)a->replication_factor, a->memory ? " --memory" : "", mutant,
             a->only ? " --only " : "", only);
}

static void drop_clients(struct shrinking *x)
{
    uint32_t most = x->last.clients;
    for (uint32_t clients = 1; clients < most && clients <= 16; clients *= 2) {
        const struct run_choice before = x->choice;
        x->choice.clients = clients;
        if (fails(x)) {
            return;
        }
        x->choice = before;
    }
}

/* Tries each stretch of `size` steps once, from behind: the faults end earlier then. */
static void drop_stretches(struct shrinking *x, uint32_t size)
{
    uint32_t from = (x->steps.count + size - 1) / size * size;
    while (from > 0) {
        from -= size;
        const struct steps before = x->steps;
        steps_drop(&x->steps, from, from + size);
        if (steps_kept(&x->steps) == steps_kept(&before)) {
            continue;
        }
        if (!fails(x)) {
            x->steps = before;
        }
    }
    fprintf(stderr, "%u disturbances are left after %u runs, by stretches of %u\n",
            (unsigned)steps_kept(&x->steps), (unsigned)x->runs, (unsigned)size);
}

int shrink(const struct run_choice *a, uint64_t seed)
{
    static struct shrinking x;
    static char command[SHRINK_COMMAND_SIZE];
    struct summary first = {0};
    x = (struct shrinking){.choice = *a, .seed = seed};
    x.choice.replay = x.choice.detail = false;
    run_apart(&x.choice, seed, &first);
    if (!first.failed) {
        printf("seed %" PRIu64 " does not fail\n", seed);
        return 1;
    }
    rule_of(first.why, x.rule);
    x.last = first;
    printf("%s\n", first.why);
    drop_clients(&x);
    uint32_t count = x.last.steps < STEPS_MAX ? x.last.steps : STEPS_MAX;
    if (a->only) {
        x.steps = *a->only;
    } else {
        steps_all(&x.steps, count);
    }
    x.choice.only = &x.steps;
    if (!fails(&x)) { /* it needs what comes after the last disturbance before it failed */
        x.choice.only = a->only;
    }
    for (uint32_t size = STEPS_MAX; x.choice.only && size > 0; size /= 2) {
        if (size <= x.steps.count) {
            drop_stretches(&x, size);
        }
    }
    shrink_command(&x.choice, seed, command);
    printf("%s\n%u of %u disturbances, %u runs\n  again: %s --replay\n", x.last.why,
           x.choice.only ? (unsigned)steps_kept(&x.steps) : (unsigned)count, (unsigned)first.steps,
           (unsigned)x.runs, command);
    return 0;
}
