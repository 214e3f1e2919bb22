/* SPDX-License-Identifier: Apache-2.0 */

/* leat-sim-cluster: whole nodes and clients with libleat among faults, from seeds.
 *
 * A run is a cluster that is founded, some minutes of faults with clients that write and read all the while, and
 * then calm until all is well, in virtual time; then everything is read once more and judged (cluster_world.h and
 * cluster_history.h say by which rules). One seed is one run, byte for byte.
 *
 * Exit status: 0 all is well (with --mutant and --every: it was caught), 1 not, 2 a wrong argument. */
#include "cluster_load.h"
#include "cluster_mutants.h"

#include <inttypes.h>
#include <limits.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
    "leat-sim-cluster: whole nodes and clients among faults, in virtual time\n"
    "  --seed N                the first seed (1)\n"
    "  --runs N                how many, each in a process of its own (1)\n"
    "  --seconds N             until so much time has passed, in place of --runs\n"
    "  --nodes N               1 to 7; by default the seed chooses\n"
    "  --clients N             1 to 64; by default the seed chooses\n"
    "  --minutes M             of faults, in virtual time (1)\n"
    "  --replication-factor N  of all topics (1)\n"
    "  --replay                tells the run\n"
    "  --detail                tells it with every operation of files\n"
    "  --twice                 each seed twice: C35, both runs are the same\n"
    "  --json                  the summary for machines\n"
    "  --mutant NAME           leaves a rule out: exit status 0 when that is noticed\n"
    "  --every                 each rule in turn\n"
    "  --mutants               names what can be left out\n";

struct arguments {
    uint64_t seed, runs, seconds;
    uint32_t nodes, clients, replication_factor;
    double minutes;
    bool replay, detail, twice, json, every;
    const struct node_mutant *mutant;
};

/* Of one run, or of many together. */
struct summary {
    uint64_t runs, virtual_ns, events, hash;
    uint64_t faults[CLUSTER_FAULT_TOTAL];
    uint64_t client_kills, client_pauses, creations, deletions, configured, elections;
    struct history_counts history;
    bool failed;
    char why[1100];
};

static const char *const fault_names[CLUSTER_FAULT_TOTAL] = {
    [CLUSTER_KILL] = "kills",
    [CLUSTER_POWER_CUT] = "power_cuts",
    [CLUSTER_STOP] = "stops",
    [CLUSTER_CRASH_IN_OPERATION] = "crashes_in_operations",
    [CLUSTER_ALL_LOSE_POWER] = "power_cuts_of_all",
    [CLUSTER_PAUSE] = "pauses",
    [CLUSTER_CUT_LINK] = "links_cut",
    [CLUSTER_ISOLATE] = "nodes_isolated",
    [CLUSTER_ISOLATE_ONE_WAY] = "nodes_isolated_one_way",
    [CLUSTER_CLOG] = "links_clogged",
    [CLUSTER_RESET] = "links_reset",
    [CLUSTER_LOSE_DISK] = "disks_lost",
    [CLUSTER_ROT] = "blocks_rotten",
    [CLUSTER_ROLL] = "rolling_restarts",
    [CLUSTER_SLOW_DISK] = "disks_slow",
    [CLUSTER_FULL_DISK] = "disks_full",
    [CLUSTER_FAILED_SYNC] = "times_of_failing_disks",
    [CLUSTER_CLOCK] = "clocks_changed",
};

/* --- one run ----------------------------------------------------------------------------------- */

struct run {
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

static uint32_t nodes_of(const struct arguments *a, uint64_t seed)
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

static void disturb(struct run *r, double minutes)
{
    static const uint64_t gaps_ms[] = {50, 200, 800, 2000};
    struct cluster_world *w = &r->world;
    if (w->seed % 4 != 0) {
        world_choose_faults(w);
    }
    uint64_t gap_ms = gaps_ms[prng_below(&w->random, array_size(gaps_ms))];
    uint64_t until = sim_now(w->sim) + (uint64_t)(minutes * 60e9);
    while (sim_now(w->sim) < until) {
        world_disturb_more(w);
        load_disturb(&r->load);
        world_run(w, (1 + prng_below(&w->random, gap_ms)) * CLUSTER_MS);
        load_go_on(&r->load);
    }
}

static void calm_down(struct run *r)
{
    struct cluster_world *w = &r->world;
    world_heal(w);
    world_settle(w, 30000 * CLUSTER_MS);
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
    s->history = history_counts(r->load.history);
    for (size_t i = 0; i < CLUSTER_EPOCHS_MAX; i++) {
        s->elections += w->leaders[i] != 0;
    }
}

static void run_once(const struct arguments *a, uint64_t seed, struct run *r)
{
    const struct node_mutant *m = a->mutant;
    const struct cluster_options options = {
        .seed = seed,
        .nodes = nodes_of(a, seed),
        .replication_factor = (int16_t)a->replication_factor,
        .swarm = true,
        .log_mutant = m ? m->log : 0,
        .raft_mutant = m ? m->raft : 0,
        .controller_mutant = m ? m->controller : 0,
        .replication_mutant = m ? m->replication : 0,
        .story = a->replay || a->detail ? stdout : NULL,
        .brief = !a->detail,
        .violated = violated,
        .context = r,
    };
    world_open(&r->world, &options);
    found(r);
    load_open(&r->load, &r->world, a->clients);
    disturb(r, a->minutes);
    calm_down(r);
    summarize(r);
    world_close(&r->world);
    load_close(&r->load);
}

/* --- many runs --------------------------------------------------------------------------------- */

static void child(const struct arguments *a, uint64_t seed, int out)
{
    struct run *r = calloc(1, sizeof *r);
    if (!r) {
        _exit(2);
    }
    r->out = out;
    run_once(a, seed, r);
    run_tell(r);
    fflush(stdout);
    _exit(0);
}

/* In a process of its own: it may end in any way. */
static void run_apart(const struct arguments *a, uint64_t seed, struct summary *out)
{
    int ends[2];
    if (pipe(ends)) {
        abort();
    }
    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0) {
        abort();
    }
    if (pid == 0) {
        close(ends[0]);
        child(a, seed, ends[1]);
    }
    close(ends[1]);
    char *at = (char *)out;
    size_t done = 0;
    ssize_t n;
    while (done < sizeof *out && (n = read(ends[0], at + done, sizeof *out - done)) > 0) {
        done += (size_t)n;
    }
    close(ends[0]);
    int status = 0;
    waitpid(pid, &status, 0);
    if (done < sizeof *out) {
        *out = (struct summary){.failed = true};
        snprintf(out->why, sizeof out->why, "seed %" PRIu64 ": the run itself ended with %s %d",
                 seed, WIFSIGNALED(status) ? "signal" : "status",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    }
}

static void add(struct summary *total, const struct summary *s)
{
    total->runs += s->runs;
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
    total->elections += s->elections;
    total->history.sent += s->history.sent;
    total->history.acked += s->history.acked;
    total->history.unknown += s->history.unknown;
    total->history.read += s->history.read;
    total->history.starts += s->history.starts;
    total->history.doubled += s->history.doubled;
}

/* C35: one seed is one run. */
static void run_again(const struct arguments *a, uint64_t seed, struct summary *first)
{
    struct summary second = {0};
    run_apart(a, seed, &second);
    if (!second.failed && second.hash == first->hash && second.events == first->events) {
        return;
    }
    first->failed = true;
    snprintf(first->why, sizeof first->why,
             "seed %" PRIu64 ": C35 determinism: %" PRIu64 " events, then %" PRIu64
             ", and another hash",
             seed, first->events, second.events);
}

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Of the processor, by this process and the runs that have ended. */
static double seconds_used(void)
{
    static const int whose[] = {RUSAGE_SELF, RUSAGE_CHILDREN};
    double seconds = 0;
    for (size_t i = 0; i < array_size(whose); i++) {
        struct rusage u;
        getrusage(whose[i], &u);
        seconds += (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
                   (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
    }
    return seconds;
}

/* false: total->why says what was found, a->seed where. */
static bool explore(struct arguments *a, struct summary *total)
{
    double until = seconds_now() + (double)a->seconds;
    for (uint64_t i = 0; a->seconds ? seconds_now() < until : i < a->runs; i++, a->seed++) {
        struct summary s = {0};
        run_apart(a, a->seed, &s);
        if (!s.failed && (a->twice || a->seed % 100 == 0)) {
            run_again(a, a->seed, &s);
        }
        if (s.failed) {
            total->failed = true;
            memcpy(total->why, s.why, sizeof total->why);
            return false;
        }
        add(total, &s);
    }
    return true;
}

/* --- what is told ------------------------------------------------------------------------------ */

static void print_people(const struct summary *s, double seconds)
{
    double simulated = (double)s->virtual_ns / 1e9, used = seconds_used();
    printf("%" PRIu64 " runs, %.0f virtual s in %.1f s, %.1f s of a core (%.0f times), %" PRIu64
           " events\n",
           s->runs, simulated, seconds, used, simulated / used, s->events);
    printf("records: %" PRIu64 " sent, %" PRIu64 " acknowledged, %" PRIu64 " unknown, %" PRIu64
           " read, %" PRIu64 " allowed duplicates; %" PRIu64 " starts of readers\n",
           s->history.sent, s->history.acked, s->history.unknown, s->history.read,
           s->history.doubled, s->history.starts);
    printf("operations: %" PRIu64 " deletions, %" PRIu64 " creations anew, %" PRIu64
           " configurations; %" PRIu64 " elections of the quorum, %" PRIu64
           " clients killed, %" PRIu64 " paused\nfaults:",
           s->deletions, s->creations, s->configured, s->elections, s->client_kills,
           s->client_pauses);
    for (unsigned i = 0; i < CLUSTER_FAULT_TOTAL; i++) {
        printf(" %s %" PRIu64, fault_names[i], s->faults[i]);
    }
    printf("\n");
}

static void print_json(const struct summary *s, double seconds)
{
    printf("{\"runs\":%" PRIu64 ",\"virtual_seconds\":%.3f,\"seconds\":%.3f,\"events\":%" PRIu64
           ",\"core_seconds\":%.3f,\"hash\":\"%016" PRIx64 "\"",
           s->runs, (double)s->virtual_ns / 1e9, seconds, s->events, seconds_used(), s->hash);
    printf(",\"sent\":%" PRIu64 ",\"acknowledged\":%" PRIu64 ",\"unknown\":%" PRIu64
           ",\"read\":%" PRIu64 ",\"duplicates\":%" PRIu64 ",\"starts\":%" PRIu64,
           s->history.sent, s->history.acked, s->history.unknown, s->history.read,
           s->history.doubled, s->history.starts);
    printf(",\"deletions\":%" PRIu64 ",\"creations\":%" PRIu64 ",\"configurations\":%" PRIu64
           ",\"elections\":%" PRIu64 ",\"clients_killed\":%" PRIu64 ",\"clients_paused\":%" PRIu64
           ",\"faults\":{",
           s->deletions, s->creations, s->configured, s->elections, s->client_kills,
           s->client_pauses);
    for (unsigned i = 0; i < CLUSTER_FAULT_TOTAL; i++) {
        printf("%s\"%s\":%" PRIu64, i ? "," : "", fault_names[i], s->faults[i]);
    }
    printf("}}\n");
}

static int caught(struct arguments a, const struct node_mutant *m)
{
    struct summary total = {0};
    a.mutant = m;
    bool found_it = !explore(&a, &total);
    printf("%-18s %6" PRIu64 " runs  %s%.200s\n", m->name, total.runs + found_it,
           found_it ? "" : "NOT CAUGHT", total.why);
    fflush(stdout);
    return found_it ? 0 : 1;
}

static void print_mutants(void)
{
    for (const struct node_mutant *m = cluster_mutants(); m->name; m++) {
        printf("%-18s %s\n", m->name, m->what);
    }
}

static int every(const struct arguments *a)
{
    int missed = 0;
    for (const struct node_mutant *m = cluster_mutants(); m->name; m++) {
        missed += caught(*a, m);
    }
    return missed > 0;
}

/* --- arguments --------------------------------------------------------------------------------- */

static bool flag(struct arguments *a, const char *word)
{
    bool *const values[] = {&a->replay, &a->detail, &a->twice, &a->json, &a->every};
    static const char *const names[] = {"--replay", "--detail", "--twice", "--json", "--every"};
    for (size_t i = 0; i < array_size(names); i++) {
        if (strcmp(word, names[i]) == 0) {
            *values[i] = true;
            return true;
        }
    }
    return false;
}

/* One of a number, between these. */
static bool number(const char *word, const char *name, const char *value, uint64_t least,
                   uint64_t most, uint64_t *out)
{
    char *end;
    uint64_t parsed = strtoull(value, &end, 10);
    if (strcmp(word, name) != 0 || *end || end == value || parsed < least || parsed > most) {
        return false;
    }
    *out = parsed;
    return true;
}

static bool valued(struct arguments *a, const char *word, const char *value)
{
    uint64_t n;
    if (number(word, "--seed", value, 0, UINT64_MAX, &a->seed) ||
        number(word, "--runs", value, 1, UINT64_MAX, &a->runs) ||
        number(word, "--seconds", value, 1, 1000000, &a->seconds)) {
        return true;
    }
    if (number(word, "--nodes", value, 1, CLUSTER_NODES_MAX, &n)) {
        a->nodes = (uint32_t)n;
        return true;
    }
    if (number(word, "--clients", value, 1, LOAD_CLIENTS_MAX, &n)) {
        a->clients = (uint32_t)n;
        return true;
    }
    if (number(word, "--replication-factor", value, 1, CLUSTER_REPLICAS_MAX, &n)) {
        a->replication_factor = (uint32_t)n;
        return true;
    }
    if (strcmp(word, "--minutes") == 0) {
        char *end;
        a->minutes = strtod(value, &end);
        return end != value && !*end && a->minutes >= 0 && a->minutes < 1e6;
    }
    if (strcmp(word, "--mutant") == 0) {
        for (const struct node_mutant *m = cluster_mutants(); m->name; m++) {
            a->mutant = strcmp(m->name, value) == 0 ? m : a->mutant;
        }
        return a->mutant != NULL;
    }
    return false;
}

/* 0: go on; else the exit status + 1. */
static int parse(struct arguments *a, int count, char **words)
{
    for (int i = 1; i < count; i++) {
        if (strcmp(words[i], "--help") == 0) {
            fputs(usage, stdout);
            return 1;
        }
        if (strcmp(words[i], "--mutants") == 0) {
            print_mutants();
            return 1;
        }
        if (flag(a, words[i])) {
            continue;
        }
        if (i + 1 == count || !valued(a, words[i], words[i + 1])) {
            fprintf(stderr, "leat-sim-cluster: I do not understand %s %s; --help names what I do\n",
                    words[i], i + 1 < count ? words[i + 1] : "");
            return 3;
        }
        i++;
    }
    if (a->nodes && a->nodes < a->replication_factor) {
        fprintf(stderr, "leat-sim-cluster: --nodes is below --replication-factor\n");
        return 3;
    }
    return 0;
}

/* In this process, for debuggers and profilers. */
static int run_here(const struct arguments *a, struct summary *total)
{
    struct run *r = calloc(1, sizeof *r);
    if (!r) {
        return 2;
    }
    r->out = -1;
    run_once(a, a->seed, r);
    add(total, &r->summary);
    free(r);
    return 0;
}

int main(int count, char **words)
{
    struct arguments a = {.seed = 1, .runs = 1, .minutes = 1, .replication_factor = 1};
    struct summary total = {0};
    int ends = parse(&a, count, words);
    if (ends) {
        return ends - 1;
    }
    /* What a run lets go of stays for what comes: the kernel need not clear pages again and again. */
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, INT_MAX);
    mallopt(M_TOP_PAD, 16 << 20);
    if (a.every) {
        return every(&a);
    }
    if (a.mutant && !a.replay && !a.detail) {
        return caught(a, a.mutant);
    }
    double began = seconds_now();
    if (a.runs == 1 && !a.twice && !a.seconds) {
        int error = run_here(&a, &total);
        if (error) {
            return error;
        }
    } else if (!explore(&a, &total)) {
        printf("%s\n  again: leat-sim-cluster --seed %" PRIu64
               " --minutes %g --replication-factor %u%s --replay\n",
               total.why, a.seed, a.minutes, (unsigned)a.replication_factor,
               a.nodes || a.clients ? " (and --nodes, --clients as before)" : "");
        return 1;
    }
    (a.json ? print_json : print_people)(&total, seconds_now() - began);
    return 0;
}
