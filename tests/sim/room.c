/* SPDX-License-Identifier: Apache-2.0 */
#include "room.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* 0: nothing was found in `runs` runs; -1: choice->seed and why. */
static int explore(const struct room *room, struct room_choice *choice, uint64_t runs,
                   char why[static ROOM_WHY_SIZE])
{
    for (uint64_t i = 0; i < runs; i++, choice->seed++) {
        if (room->run(choice, why) < 0) {
            return -1;
        }
    }
    return 0;
}

static int caught(const struct room *room, struct room_choice choice, const struct rule *left_out,
                  uint64_t runs)
{
    char why[ROOM_WHY_SIZE] = "";
    uint64_t first = choice.seed;
    choice.mutant = room->mutant_of(left_out);
    bool found = explore(room, &choice, runs, why) < 0;
    printf("%-18s %6" PRIu64 " runs  %s%.200s\n", left_out->name, choice.seed - first + found,
           found ? "" : "NOT CAUGHT", why);
    fflush(stdout);
    return found ? 0 : 1;
}

static int every(const struct room *room, struct room_choice choice, uint64_t runs)
{
    int missed = 0;
    for (const struct rule *r = rules(); r->name; r++) {
        missed += r->world == room->world ? caught(room, choice, r, runs) : 0;
    }
    return missed > 0;
}

static int wrong(const struct room *room, const char *word)
{
    const char *name = rule_world_name(room->world);
    fprintf(stderr, "leat-sim-%s: I do not understand %s; it takes --seed N, --runs N, --story, ",
            name, word);
    if (room->flag) {
        fprintf(stderr, "%s, ", room->flag);
    }
    fprintf(stderr, "--mutant NAME, --every\n");
    return 2;
}

static int go(const struct room *room, struct room_choice choice, uint64_t runs)
{
    char why[ROOM_WHY_SIZE];
    if (explore(room, &choice, runs, why) < 0) {
        bool flagged = room->flag && *room->flagged;
        printf("%s\n  again: leat-sim %s --seed %" PRIu64 " --runs 1%s%s --story\n", why,
               rule_world_name(room->world), choice.seed, flagged ? " " : "",
               flagged ? room->flag : "");
        return 1;
    }
    room->print_stats();
    return 0;
}

int room_main(const struct room *room, int count, char **words)
{
    struct room_choice choice = {.seed = 1};
    uint64_t runs = 100;
    const struct rule *mutant = NULL;
    bool all = false;
    for (int i = 1; i < count; i++) {
        const char *value = i + 1 < count ? words[i + 1] : "";
        if (strcmp(words[i], "--seed") == 0) {
            choice.seed = strtoull(value, NULL, 10);
            i++;
        } else if (strcmp(words[i], "--runs") == 0) {
            runs = strtoull(value, NULL, 10);
            i++;
        } else if (strcmp(words[i], "--mutant") == 0 && (mutant = rule_find(value)) &&
                   room->mutant_of(mutant)) {
            i++;
        } else if (strcmp(words[i], "--story") == 0) {
            choice.story = stdout;
        } else if (strcmp(words[i], "--every") == 0) {
            all = true;
        } else if (room->flag && strcmp(words[i], room->flag) == 0) {
            *room->flagged = true;
        } else {
            return wrong(room, words[i]);
        }
    }
    return all      ? every(room, choice, runs)
           : mutant ? caught(room, choice, mutant, runs)
                    : go(room, choice, runs);
}
