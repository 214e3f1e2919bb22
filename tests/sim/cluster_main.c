/* SPDX-License-Identifier: Apache-2.0 */

/* leat-sim: whole nodes and clients with libleat among faults, from seeds (cluster_run.h); and the front of the worlds
 * of single rooms, which are programs beside this one.
 *
 * Exit status: 0 all is well (with --mutant and --every: it was caught), 1 not, 2 a wrong argument. */
#include "cluster_run.h"
#include "cluster_shrink.h"

#include "cluster_load.h"

#include <inttypes.h>
#include <limits.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
    "leat-sim: whole nodes and clients among faults, in virtual time\n"
    "  --seed N                the first seed (1)\n"
    "  --runs N                how many, in processes of their own (1)\n"
    "  --seconds N             until so much time has passed, in place of --runs\n"
    "  --nodes N               1 to 7; by default the seed chooses\n"
    "  --clients N             1 to 64; by default the seed chooses\n"
    "  --minutes M             of faults, in virtual time (1)\n"
    "  --replication-factor N  of all topics (1)\n"
    "  --memory                topics have durability=memory; one machine at a time loses its "
    "power\n"
    "  --replay                tells the run\n"
    "  --detail                tells it with every operation of files\n"
    "  --only LIST             these of its disturbances, the faults end with the last: 3,17-20\n"
    "  --shrink                of a seed that fails, the fewest disturbances with which it does\n"
    "  --twice                 each seed twice: C35, both runs are the same\n"
    "  --json                  the summary for machines\n"
    "  --mutant NAME           leaves a rule out, by name or number: exit status 0 when that is "
    "noticed\n"
    "  --every                 each rule in turn\n"
    "  --mutants               names them\n"
    "leat-sim storage | raft | replica | controller ...: the worlds of single rooms, which meet "
    "rarer orders; "
    "most rules are theirs\n"
    "leat-sim cluster ...: as without a word, and a rule of theirs is left out of whole nodes\n";

struct arguments {
    struct run_choice choice;
    uint64_t seed, runs, seconds;
    bool twice, json, every, shrink, whole;
    struct steps only;
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
    [CLUSTER_ROT_BESIDE] = "other_blocks_rotten",
    [CLUSTER_ROLL] = "rolling_restarts",
    [CLUSTER_SLOW_DISK] = "disks_slow",
    [CLUSTER_FULL_DISK] = "disks_full",
    [CLUSTER_FAILED_SYNC] = "times_of_failing_disks",
    [CLUSTER_CLOCK] = "clocks_changed",
};

/* C35: one seed is one run. */
static void run_again(const struct arguments *a, uint64_t seed, struct summary *first)
{
    struct summary second = {0};
    run_apart(&a->choice, seed, &second);
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
    struct run_worker worker = {.choice = &a->choice};
    for (uint64_t i = 0; a->seconds ? seconds_now() < until : i < a->runs; i++, a->seed++) {
        struct summary s = {0};
        run_worker_run(&worker, a->seed, &s);
        if (!s.failed && (a->twice || a->seed % 100 == 0)) {
            run_again(a, a->seed, &s);
        }
        if (s.failed) {
            total->failed = true;
            memcpy(total->why, s.why, sizeof total->why);
            break;
        }
        run_add(total, &s);
    }
    (void)run_worker_end(&worker);
    return !total->failed;
}

/* --- what is told ------------------------------------------------------------------------------ */

static void print_people(const struct summary *s, double seconds)
{
    double simulated = (double)s->virtual_ns / 1e9, used = seconds_used();
    printf("%" PRIu64 " runs, %.0f virtual s in %.1f s, %.1f s of a core (%.0f times), %" PRIu64
           " events\n",
           s->runs, simulated, seconds, used, simulated / used, s->events);
    printf("records: %" PRIu64 " sent, %" PRIu64 " acknowledged, %" PRIu64 " unknown, %" PRIu64
           " read, %" PRIu64 " allowed duplicates, %" PRIu64 " compacted away; %" PRIu64
           " starts of readers\n",
           s->history.sent, s->history.acked, s->history.unknown, s->history.read,
           s->history.doubled, s->history.compacted, s->history.starts);
    printf("operations: %" PRIu64 " deletions, %" PRIu64 " creations anew, %" PRIu64
           " configurations, %" PRIu64 " reassignments, %" PRIu64 " stretches compared, %" PRIu64
           " starts without what was damaged, %" PRIu64 " of them because others have it; %" PRIu64
           " elections of the quorum, %" PRIu64 " clients killed, %" PRIu64 " paused; %" PRIu64
           " partitions given to members of a group, %" PRIu64 " offsets committed\nfaults:",
           s->deletions, s->creations, s->configured, s->reassigned, s->compared, s->mended,
           s->gave_up, s->elections, s->client_kills, s->client_pauses, s->given, s->commits);
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
           ",\"read\":%" PRIu64 ",\"duplicates\":%" PRIu64 ",\"compacted\":%" PRIu64
           ",\"starts\":%" PRIu64,
           s->history.sent, s->history.acked, s->history.unknown, s->history.read,
           s->history.doubled, s->history.compacted, s->history.starts);
    printf(",\"deletions\":%" PRIu64 ",\"creations\":%" PRIu64 ",\"configurations\":%" PRIu64
           ",\"reassignments\":%" PRIu64 ",\"compared\":%" PRIu64 ",\"mended\":%" PRIu64
           ",\"gave_up\":%" PRIu64 ",\"elections\":%" PRIu64 ",\"clients_killed\":%" PRIu64
           ",\"clients_paused\":%" PRIu64 ",\"given\":%" PRIu64 ",\"commits\":%" PRIu64
           ",\"faults\":{",
           s->deletions, s->creations, s->configured, s->reassigned, s->compared, s->mended,
           s->gave_up, s->elections, s->client_kills, s->client_pauses, s->given, s->commits);
    for (unsigned i = 0; i < CLUSTER_FAULT_TOTAL; i++) {
        printf("%s\"%s\":%" PRIu64, i ? "," : "", fault_names[i], s->faults[i]);
    }
    printf("}}\n");
}

static int caught(struct arguments a, const struct rule *left_out)
{
    struct summary total = {0};
    a.choice.rule = left_out;
    bool found_it = !explore(&a, &total);
    printf("%-18s %6" PRIu64 " runs  %s%.200s\n", left_out->name, total.runs + found_it,
           found_it ? "" : "NOT CAUGHT", total.why);
    fflush(stdout);
    return found_it ? 0 : 1;
}

static int every(const struct arguments *a)
{
    int missed = 0;
    for (const struct rule *r = rules(); r->name; r++) {
        missed += r->world == RULE_OF_CLUSTER || a->whole ? caught(*a, r) : 0;
    }
    return missed > 0;
}

/* --- the worlds of single rooms ---------------------------------------------------------------- */

/* Becomes the program of that world, which stands beside this one. Returns with 2: it is not there. */
static int become(enum rule_world world, char **words)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 16);
    if (n > 0) {
        snprintf(path + n, 16, "-%s", rule_world_name(world));
        words[0] = path;
        execv(path, words);
    }
    fprintf(stderr, "leat-sim: %s cannot be run: build all targets\n", n > 0 ? path : "itself");
    return 2;
}

/* --mutant of a rule of theirs: with ten thousand seeds, if it is not said how many. */
static int become_for(const struct rule *r, int count, char **words)
{
    char *own[20];
    int used = 0;
    bool said = false;
    for (int i = 0; i < count && used < 16; i++) {
        said = said || strcmp(words[i], "--runs") == 0 || strcmp(words[i], "--crashes") == 0 ||
               strcmp(words[i], "--seconds") == 0;
        own[used++] = words[i];
    }
    if (!said) {
        bool storage = r->world == RULE_OF_STORAGE;
        own[used++] = storage ? "--crashes" : "--runs";
        own[used++] = storage ? "1000000" : "10000";
    }
    own[used] = NULL;
    return become(r->world, own);
}

/* --- arguments --------------------------------------------------------------------------------- */

static bool flag(struct arguments *a, const char *word)
{
    const struct {
        const char *name;
        bool *value;
    } flags[] = {{"--replay", &a->choice.replay},
                 {"--detail", &a->choice.detail},
                 {"--memory", &a->choice.memory},
                 {"--twice", &a->twice},
                 {"--json", &a->json},
                 {"--every", &a->every},
                 {"--shrink", &a->shrink}};
    for (size_t i = 0; i < array_size(flags); i++) {
        if (strcmp(word, flags[i].name) == 0) {
            *flags[i].value = true;
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
    struct run_choice *c = &a->choice;
    uint64_t n;
    if (number(word, "--seed", value, 0, UINT64_MAX, &a->seed) ||
        number(word, "--runs", value, 1, UINT64_MAX, &a->runs) ||
        number(word, "--seconds", value, 1, 1000000, &a->seconds)) {
        return true;
    }
    if (number(word, "--nodes", value, 1, CLUSTER_NODES_MAX, &n)) {
        c->nodes = (uint32_t)n;
        return true;
    }
    if (number(word, "--clients", value, 1, LOAD_CLIENTS_MAX, &n)) {
        c->clients = (uint32_t)n;
        return true;
    }
    if (number(word, "--replication-factor", value, 1, CLUSTER_REPLICAS_MAX, &n)) {
        c->replication_factor = (uint32_t)n;
        return true;
    }
    if (strcmp(word, "--minutes") == 0) {
        char *end;
        c->minutes = strtod(value, &end);
        return end != value && !*end && c->minutes >= 0 && c->minutes < 1e6;
    }
    if (strcmp(word, "--only") == 0) {
        c->only = &a->only;
        return steps_parse(&a->only, value);
    }
    if (strcmp(word, "--mutant") == 0) {
        c->rule = rule_find(value);
        return c->rule != NULL;
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
            rules_print();
            return 1;
        }
        if (flag(a, words[i])) {
            continue;
        }
        if (i + 1 == count || !valued(a, words[i], words[i + 1])) {
            fprintf(stderr, "leat-sim: I do not understand %s %s; --help names what I do\n",
                    words[i], i + 1 < count ? words[i + 1] : "");
            return 3;
        }
        i++;
    }
    if (a->choice.nodes && a->choice.nodes < a->choice.replication_factor) {
        fprintf(stderr, "leat-sim: --nodes is below --replication-factor\n");
        return 3;
    }
    return 0;
}

/* What a run lets go of stays for what comes: the kernel need not clear pages again and again. And they are huge ones
 * where there are some: a run goes all over a few hundred MiB, and a fifth of its time were misses of the TLB. */
static void prepare_heap(void)
{
    enum { HEAP_MOST = 1 << 30 }; /* addresses, not memory */
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, INT_MAX);
    mallopt(M_TOP_PAD, HEAP_MOST);
#ifndef __SANITIZE_ADDRESS__ /* which has a heap of its own */
    enum { PAGE = 4096 };
    char *start = malloc(16 << 20); /* more than there is: the heap grows now, and by the pad */
    uintptr_t from = ((uintptr_t)start + PAGE - 1) / PAGE * PAGE, end = (uintptr_t)sbrk(0);
    if (start && from < end) {
        (void)madvise((void *)from, end - from, MADV_HUGEPAGE); /* where not, it is as it was */
    }
    free(start);
#endif
}

int main(int count, char **words)
{
    struct arguments a = {.seed = 1, .runs = 1, .choice = {.minutes = 1, .replication_factor = 1}};
    struct summary total = {0};
    for (int i = 0; count > 1 && i <= (int)RULE_OF_CLUSTER; i++) {
        if (strcmp(words[1], rule_world_name((enum rule_world)i)) == 0) {
            a.whole = i == RULE_OF_CLUSTER;
            words++;
            count--;
            if (!a.whole) {
                return become((enum rule_world)i, words);
            }
        }
    }
    int ends = parse(&a, count, words);
    if (ends) {
        return ends - 1;
    }
    const struct rule *rule = a.choice.rule;
    if (rule && rule->world != RULE_OF_CLUSTER && !a.whole) {
        return become_for(rule, count, words);
    }
    prepare_heap();
    if (a.every) {
        return every(&a);
    }
    if (a.shrink) {
        return shrink(&a.choice, a.seed);
    }
    if (rule && !a.choice.replay && !a.choice.detail) {
        a.runs = a.runs == 1 && !a.seconds ? 10000 : a.runs;
        return caught(a, rule);
    }
    double began = seconds_now();
    if (a.runs == 1 && !a.twice && !a.seconds) {
        int error = run_here(&a.choice, a.seed, &total);
        if (error) {
            return error;
        }
    } else if (!explore(&a, &total)) {
        static char command[SHRINK_COMMAND_SIZE];
        shrink_command(&a.choice, a.seed, command);
        printf("%s\n  again: %s --replay\n  what of it is needed: %s --shrink\n", total.why,
               command, command);
        return 1;
    }
    (a.json ? print_json : print_people)(&total, seconds_now() - began);
    return 0;
}
