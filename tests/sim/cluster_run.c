/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster_run.h"

#include "cluster_load.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- one run ----------------------------------------------------------------------------------- */

struct run {
    const struct run_choice *choice;
    struct cluster_world world;
    struct load load;
    struct summary summary;
    int out; /* where the summary goes at the end of this process; -1: nowhere */
};

static void run_tell(const struct run *r)
{
    const char *at = (const char *)&r->summary;
    for (size_t done = 0; r->out >= 0 && done < sizeof r->summary;) {
        ssize_t n = write(r->out, at + done, sizeof r->summary - done);
        if (n <= 0) {
            _exit(2);
        }
        done += (size_t)n;
    }
}

static void violated(void *context, const char *line)
{
    struct run *r = context;
    r->summary.failed = true;
    snprintf(r->summary.why, sizeof r->summary.why, "%s", line);
    sim_story(r->world.sim, "VIOLATION: %s", line);
    if (r->out < 0) {
        fflush(stdout);
        fprintf(stderr, "%s\n", line);
    }
    run_tell(r);
    fflush(stdout);
    _exit(1);
}

uint32_t run_nodes(const struct run_choice *a, uint64_t seed)
{
    static const uint32_t counts[] = {1, 2, 3, 3, 3, 3, 3, 4, 5, 7};
    struct prng random = prng_of(seed ^ 0x6e6f646573);
    uint32_t chosen = counts[prng_below(&random, array_size(counts))];
    uint32_t least = a->replication_factor > chosen ? a->replication_factor : chosen;
    return a->nodes ? a->nodes : least;
}

static void found(struct run *r)
{
    struct cluster_world *w = &r->world;
    for (uint32_t i = 0; i < w->count; i++) {
        if (i == CLUSTER_PEERS_MAX) {
            world_run(w, 3000 * CLUSTER_MS); /* who is not listed joins what has been founded */
        }
        member_start(&w->members[i]);
    }
    world_await(w, 20000 * CLUSTER_MS);
}

/* Each step has dice of its own: one that is left out does not change what the others do. */
static void disturb(struct run *r)
{
    static const uint64_t gaps_ms[] = {50, 200, 800, 2000};
    struct cluster_world *w = &r->world;
    const struct steps *only = r->choice->only;
    if (w->seed % 4 != 0) {
        world_choose_faults(w);
    }
    uint64_t gap_ms = gaps_ms[prng_below(&w->random, array_size(gaps_ms))];
    uint64_t until = sim_now(w->sim) + (uint64_t)(r->choice->minutes * 60e9);
    const struct prng dice = w->random, load_dice = r->load.random;
    uint32_t step = 0;
    while (sim_now(w->sim) < until && (!only || step < only->count)) {
        w->random = prng_split(&dice, step);
        r->load.random = prng_split(&load_dice, step);
        uint64_t gap = (1 + prng_below(&w->random, gap_ms)) * CLUSTER_MS;
        if (!only || steps_have(only, step)) {
            sim_story(w->sim, "step %u", (unsigned)step);
            world_disturb_more(w);
            load_disturb(&r->load);
        }
        r->summary.steps = ++step;
        world_run(w, gap);
        r->load.random = prng_split(&load_dice, UINT64_C(1) << 32 | step);
        load_go_on(&r->load);
    }
}

static void calm_down(struct run *r)
{
    struct cluster_world *w = &r->world;
    world_heal(w);
    world_settle(w, 120000 * CLUSTER_MS); /* topics grow a few at a time */
    load_heal(&r->load);
    world_await(w, 10000 * CLUSTER_MS);
    load_finish(&r->load, 60000 * CLUSTER_MS);
    load_compare(&r->load);
    if (prng_below(&w->random, 2)) {
        sim_story(w->sim, "all lose their power once more");
        world_all_lose_power(w);
        world_await(w, 30000 * CLUSTER_MS);
        load_compare(&r->load);
    }
    load_judge(&r->load, 60000 * CLUSTER_MS);
}

static void summarize(struct run *r)
{
    const struct cluster_world *w = &r->world;
    struct summary *s = &r->summary;
    s->runs = 1;
    s->virtual_ns = sim_now(w->sim);
    s->events = sim_events(w->sim);
    s->hash = sim_hash(w->sim);
    memcpy(s->faults, w->faults, sizeof s->faults);
    s->client_kills = r->load.client_kills;
    s->client_pauses = r->load.client_pauses;
    s->creations = r->load.creations;
    s->deletions = r->load.deletions;
    s->configured = w->configured;
    s->reassigned = w->reassigned;
    s->compared = w->compared;
    s->mended = w->mended;
    s->gave_up = w->gave_up;
    s->given = r->load.group.given;
    s->commits = r->load.group.commits;
    s->history = history_counts(r->load.history);
    for (size_t i = 0; i < CLUSTER_EPOCHS_MAX; i++) {
        s->elections += w->leaders[i] != 0;
    }
}

static void run_once(const struct run_choice *a, uint64_t seed, struct run *r)
{
    const struct rule *m = a->rule;
    const struct cluster_options options = {
        .seed = seed,
        .nodes = run_nodes(a, seed),
        .replication_factor = (int16_t)a->replication_factor,
        .memory = a->memory,
        .keeps_power = a->memory,
        .swarm = true,
        .log_mutant = m ? m->log : 0,
        .raft_mutant = m ? m->raft : 0,
        .controller_mutant = m ? m->controller : 0,
        .replication_mutant = m ? m->replication : 0,
        .coord_mutant = m ? m->coord : 0,
        .story = a->replay || a->detail ? stdout : NULL,
        .brief = !a->detail,
        .violated = violated,
        .context = r,
    };
    r->choice = a;
    world_open(&r->world, &options);
    found(r);
    load_open(&r->load, &r->world, a->clients);
    r->summary.clients = r->load.count;
    disturb(r);
    calm_down(r);
    summarize(r);
    world_close(&r->world);
    load_close(&r->load);
}

/* --- many runs --------------------------------------------------------------------------------- */

static _Noreturn void worker_serve(const struct run_choice *a, int in, int out)
{
    uint64_t seed;
    while (read(in, &seed, sizeof seed) == sizeof seed) {
        struct run *r = calloc(1, sizeof *r);
        if (!r) {
            _exit(2);
        }
        r->out = out;
        run_once(a, seed, r);
        run_tell(r);
        free(r);
        fflush(stdout);
    }
    _exit(0);
}

static void worker_start(struct run_worker *w)
{
    int asks[2], answers[2];
    if (pipe(asks) || pipe(answers)) {
        abort();
    }
    fflush(stdout);
    w->pid = fork();
    if (w->pid < 0) {
        abort();
    }
    if (w->pid == 0) {
        close(asks[1]);
        close(answers[0]);
        worker_serve(w->choice, asks[0], answers[1]);
    }
    close(asks[0]);
    close(answers[1]);
    w->ask = asks[1];
    w->answer = answers[0];
    w->runs = 0;
}

int run_worker_end(struct run_worker *w)
{
    int status = 0;
    if (w->pid > 0) {
        close(w->ask);
        close(w->answer);
        waitpid(w->pid, &status, 0);
        w->pid = 0;
    }
    return status;
}

void run_worker_run(struct run_worker *w, uint64_t seed, struct summary *out)
{
    enum { RUNS_MAX = 16 };
    if (w->pid == 0) {
        worker_start(w);
    }
    if (write(w->ask, &seed, sizeof seed) != sizeof seed) {
        abort();
    }
    char *at = (char *)out;
    size_t done = 0;
    ssize_t n;
    while (done < sizeof *out && (n = read(w->answer, at + done, sizeof *out - done)) > 0) {
        done += (size_t)n;
    }
    if (done < sizeof *out) {
        int status = run_worker_end(w);
        *out = (struct summary){.failed = true};
        snprintf(out->why, sizeof out->why, "seed %" PRIu64 ": the run itself ended with %s %d",
                 seed, WIFSIGNALED(status) ? "signal" : "status",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    } else if (out->failed || ++w->runs == RUNS_MAX) {
        (void)run_worker_end(w);
    }
}

void run_apart(const struct run_choice *a, uint64_t seed, struct summary *out)
{
    struct run_worker w = {.choice = a};
    run_worker_run(&w, seed, out);
    (void)run_worker_end(&w);
}

int run_here(const struct run_choice *a, uint64_t seed, struct summary *total)
{
    struct run *r = calloc(1, sizeof *r);
    if (!r) {
        return 2;
    }
    r->out = -1;
    run_once(a, seed, r);
    run_add(total, &r->summary);
    free(r);
    return 0;
}

void run_add(struct summary *total, const struct summary *s)
{
    total->runs += s->runs;
    total->steps = s->steps;
    total->clients = s->clients;
    total->virtual_ns += s->virtual_ns;
    total->events += s->events;
    total->hash ^= prng_mix(s->hash);
    for (unsigned i = 0; i < CLUSTER_FAULT_TOTAL; i++) {
        total->faults[i] += s->faults[i];
    }
    total->client_kills += s->client_kills;
    total->client_pauses += s->client_pauses;
    total->creations += s->creations;
    total->deletions += s->deletions;
    total->configured += s->configured;
    total->reassigned += s->reassigned;
    total->compared += s->compared;
    total->mended += s->mended;
    total->gave_up += s->gave_up;
    total->given += s->given;
    total->commits += s->commits;
    total->elections += s->elections;
    total->history.sent += s->history.sent;
    total->history.acked += s->history.acked;
    total->history.unknown += s->history.unknown;
    total->history.read += s->history.read;
    total->history.starts += s->history.starts;
    total->history.doubled += s->history.doubled;
    total->history.compacted += s->history.compacted;
}
