/* SPDX-License-Identifier: Apache-2.0 */

/* leat-sim-storage: walks the storage of a node through crashes, from seeds.
 *
 *     leat-sim storage --help
 *
 * Exit status: 0 all is well (with --mutant: it was caught), 1 not, 2 a wrong argument. One seed
 * gives one walk: what fails is run again with --seed and --story. */
#include "log_crash.h"
#include "rules.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

struct arguments {
    uint64_t seed, walks, crashes;
    double seconds;
    const char *mutant;
    bool story, every;
    struct log_crash_options options;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static const char *const action_names[LOG_ACTIONS] = {
    [LOG_ACT_APPEND] = "append",   [LOG_ACT_TRUNCATE] = "truncate",     [LOG_ACT_START] = "start",
    [LOG_ACT_REMOVE] = "remove",   [LOG_ACT_RECREATE] = "recreate",     [LOG_ACT_EPOCH] = "epoch",
    [LOG_ACT_READ] = "read",       [LOG_ACT_CHECKPOINT] = "checkpoint", [LOG_ACT_RETAIN] = "retain",
    [LOG_ACT_RETRY] = "retry",     [LOG_ACT_WATERMARK] = "watermark",   [LOG_ACT_PAUSE] = "pause",
    [LOG_ACT_COMPACT] = "compact", [LOG_ACT_CLOSE] = "close",           [LOG_ACT_FOLLOW] = "follow",
    [LOG_ACT_ANEW] = "anew",
};

static void print_stats(const struct log_crash_stats *s, double seconds)
{
    const struct sim_storage_stats *t = &s->storage;
    printf("%" PRIu64 " walks, %" PRIu64 " lives, %" PRIu64 " crashes (%" PRIu64
           " during recovery), %" PRIu64 " images probed, %" PRIu64 " damaged, %" PRIu64
           " clean stops, %" PRIu64 " operations, %.1f virtual s, %.1f s\n",
           t->walks, t->lives, t->crashes, t->recovery_crashes, t->images, t->damaged, t->stops,
           t->operations, (double)t->virtual_ns / 1e9, seconds);
    printf("judged %" PRIu64 ": %" PRIu64 " clean, %" PRIu64 " with a torn tail, %" PRIu64
           " entries replayed; damage found %" PRIu64 ", survived %" PRIu64 "\n",
           s->judged, s->clean, s->torn, s->replayed, s->damage_found, s->damage_silent);
    printf("refused for a full disk %" PRIu64 ", ended by failed writes %" PRIu64
           ", duplicates known %" PRIu64 ", directories set aside %" PRIu64
           ", runs of segments replaced %" PRIu64 "\n",
           s->disk_full, t->fatal, s->duplicates, s->set_aside, s->replaced);
    for (unsigned i = 0; i < LOG_ACTIONS; i++) {
        printf("%s %" PRIu64 "%s", action_names[i], s->actions[i],
               i + 1 < LOG_ACTIONS ? ", " : "\n");
    }
}

/* Walks until a budget is spent. 0: nothing was found; -1: the seed and why. */
static int explore(const struct arguments *a, struct log_crash_stats *stats, uint64_t *seed,
                   char why[static 600])
{
    double end = now() + a->seconds;
    for (uint64_t i = 0; i < a->walks && stats->storage.crashes < a->crashes && now() < end; i++) {
        struct log_crash_options options = a->options;
        options.seed = *seed = a->seed + i;
        if (log_crash_walk(&options, stats, why) < 0) {
            return -1;
        }
    }
    return 0;
}

static int every_rule(struct arguments *a)
{
    int missed = 0;
    for (const struct rule *r = rules(); r->name; r++) {
        struct log_crash_stats stats = {0};
        uint64_t seed = 0;
        char why[600] = "";
        double begin = now();
        if (r->world != RULE_OF_STORAGE) {
            continue;
        }
        a->options.mutants = r->log;
        bool caught = explore(a, &stats, &seed, why) < 0;
        missed += !caught;
        printf("%-18s %8" PRIu64 " crashes %6.1f s  %s%.140s\n", r->name, stats.storage.crashes,
               now() - begin, caught ? "" : "NOT CAUGHT", why);
        if (caught) {
            printf("%-18s --seed %" PRIu64 "\n", "", seed);
        }
        fflush(stdout);
    }
    return missed ? 1 : 0;
}

static const char usage[] =
    "leat-sim-storage: walks the storage of a node through crashes, from seeds\n"
    "\n"
    "  --seed N       the first seed; alone: one walk of it\n"
    "  --walks N, --crashes N, --seconds N   how much of it (10000 crashes)\n"
    "  --story        tells each step\n"
    "  --mutant NAME  leaves a rule out: exit status 0 when that is noticed\n"
    "  --every        each rule in turn\n"
    "  --plain        appends, truncations, starts and epochs only\n"
    "  --compact      every log is compacted, in every walk\n"
    "  --disk-full    little room in every walk, not only in some\n"
    "  --no-damage    nothing rots\n"
    "  --no-memory    durable logs only\n"
    "\n"
    "Exit status: 0 all is well, 1 a violation (or a rule that was not missed), 2 a wrong "
    "argument.\n";

static bool parse_number(const char *text, uint64_t *out)
{
    char *end;
    *out = strtoull(text, &end, 10);
    return *text && !*end;
}

static bool parse_switch(const char *word, struct arguments *a)
{
    const struct {
        const char *word;
        bool *value, to;
    } switches[] = {
        {"--story", &a->story, true},
        {"--every", &a->every, true},
        {"--plain", &a->options.plain, true},
        {"--disk-full", &a->options.disk_full, true},
        {"--compact", &a->options.compact, true},
        {"--no-damage", &a->options.damage, false},
        {"--no-memory", &a->options.memory_logs, false},
    };
    for (unsigned i = 0; i < array_size(switches); i++) {
        if (strcmp(word, switches[i].word) == 0) {
            *switches[i].value = switches[i].to;
            return true;
        }
    }
    return false;
}

static bool parse(int count, char **words, struct arguments *a)
{
    for (int i = 1; i < count; i++) {
        const char *word = words[i], *value = i + 1 < count ? words[i + 1] : "";
        uint64_t number = 0;
        bool taken = true;
        if (strcmp(word, "--seed") == 0) {
            taken = parse_number(value, &a->seed);
            a->walks = a->walks == UINT64_MAX ? 1 : a->walks;
        } else if (strcmp(word, "--walks") == 0) {
            taken = parse_number(value, &a->walks);
        } else if (strcmp(word, "--crashes") == 0) {
            taken = parse_number(value, &a->crashes);
            a->walks = UINT64_MAX;
        } else if (strcmp(word, "--seconds") == 0) {
            taken = parse_number(value, &number);
            a->seconds = (double)number;
            a->walks = UINT64_MAX;
        } else if (strcmp(word, "--mutant") == 0) {
            const struct rule *r = rule_find(value);
            a->mutant = value;
            a->options.mutants = r ? r->log : 0;
            taken = a->options.mutants != 0;
        } else {
            i--;
            taken = parse_switch(word, a);
        }
        i++;
        if (!taken) {
            fprintf(stderr, "leat-sim-storage: I do not understand %s %s\n", word, value);
            return false;
        }
    }
    return true;
}

int main(int count, char **words)
{
    struct arguments a = {.seed = 1,
                          .walks = UINT64_MAX,
                          .crashes = 10000,
                          .seconds = 86400,
                          .options = {.damage = true, .memory_logs = true}};
    if (count == 2 && strcmp(words[1], "--help") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    if (!parse(count, words, &a)) {
        return 2;
    }
    a.options.story = a.story ? stdout : NULL;
    if (a.every) {
        return every_rule(&a);
    }
    struct log_crash_stats stats = {0};
    uint64_t seed = a.seed;
    char why[600] = "";
    double begin = now();
    bool found = explore(&a, &stats, &seed, why) < 0;
    print_stats(&stats, now() - begin);
    if (found) {
        printf("VIOLATION: %s\nrun again, with the same switches: leat-sim storage --seed %" PRIu64
               " --story\n",
               why, seed);
    } else if (a.mutant) {
        printf("NOT CAUGHT: %s\n", a.mutant);
    }
    return found == (a.mutant != NULL) ? 0 : 1;
}
