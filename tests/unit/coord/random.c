/* SPDX-License-Identifier: Apache-2.0 */

/* Many members that come, go, freeze, repeat themselves and are fenced, over many seeds; records that
 * come late or not at all. Checked all the time: G1 to G4 of group.h. In the end all is quiet, and
 * the group settles. */
#include "world.h"

#include "base/prng.h"

#include <stdio.h>
#include <stdlib.h>

enum { CLIENTS = 7, STEPS = 400, SEEDS = 600, GENERATIONS = 4096 };

static const char *const range[] = {"range:x", "sticky:y", NULL};
static const char *const sticky[] = {"sticky:y", NULL};

struct story {
    struct world world;
    struct prng prng;
    struct client clients[CLIENTS];
    bool frozen[CLIENTS];
    int count;                               /* of the clients that take part */
    char owners[GENERATIONS][64][MEMBER_ID]; /* by generation and assignment */
    char leaders[GENERATIONS][MEMBER_ID];
};

/* Whoever is told an assignment of a generation is the only one who is (or who took his place). */
static void check_assignment(struct story *s, struct client *c)
{
    if (c->assignment[0] == 0) {
        return;
    }
    static const char numbers[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-";
    size_t number = (size_t)(strchr(numbers, c->assignment[0]) - numbers);
    cr_assert_lt(c->generation, GENERATIONS);
    char *owner = s->owners[c->generation][number];
    if (owner[0] && !c->instance) {
        cr_assert_str_eq(owner, c->id, "generation %d", c->generation);
    }
    snprintf(owner, MEMBER_ID, "%s", c->id);
}

static void check_leader(struct story *s, const struct client *c)
{
    if (client_leads(c)) {
        char *leader = s->leaders[c->generation];
        cr_assert(!leader[0] || c->instance || strcmp(leader, c->id) == 0, "two lead generation %d",
                  c->generation);
        snprintf(leader, MEMBER_ID, "%s", c->id);
    }
}

/* What a client does after an answer, if it does anything. */
static void go_on(struct story *s, struct client *c)
{
    struct world *w = &s->world;
    enum coord_kind asked = c->call.kind;
    bool lost = c->error == ERR_UNKNOWN_MEMBER_ID || c->error == ERR_FENCED_INSTANCE_ID ||
                asked == COORD_LEAVE;
    if (lost) {
        c->id[0] = 0;
    }
    if (asked == COORD_JOIN && c->answered && c->error == 0) {
        check_leader(s, c);
        client_sync(w, c);
    } else if (asked == COORD_SYNC && c->answered && c->error == 0) {
        check_assignment(s, c);
        client_heartbeat(w, c);
    } else if (asked == COORD_HEARTBEAT && c->answered && c->error == 0 && !lost) {
        client_heartbeat(w, c);
    } else {
        client_join(w, c, 5, c->instance || prng_below(&s->prng, 2) ? range : sticky);
    }
}

static void step(struct story *s)
{
    struct world *w = &s->world;
    unsigned which = (unsigned)prng_below(&s->prng, (uint64_t)s->count);
    struct client *c = &s->clients[which];
    unsigned chance = (unsigned)prng_below(&s->prng, 100);
    w->hold = prng_below(&s->prng, w->hold ? 12 : 4) == 0 ? !w->hold : w->hold;
    if (chance < 3) {
        s->frozen[which] = !s->frozen[which];
    } else if (s->frozen[which] || c->asking) {
        world_run(w, prng_below(&s->prng, 4) * SECOND_NS / 2);
    } else if (chance < 6 && c->id[0]) {
        client_leave(w, c);
    } else if (chance < 9) {
        c->id[0] = 0; /* it starts again, without what it knew */
        client_join(w, c, 5, range);
    } else {
        go_on(s, c);
    }
    if (w->hold && prng_below(&s->prng, 12) == 0) {
        world_settle(w, prng_below(&s->prng, 4) == 0 ? ERR_DISK_FULL : 0);
    }
    world_run(w, prng_below(&s->prng, 10) * SECOND_NS / 100);
}

/* Everybody answers at once from now on, and every record is written. */
static void quiet(struct story *s)
{
    struct world *w = &s->world;
    w->hold = false;
    for (int round = 0; round < 2000; round++) {
        int beating = 0;
        for (int i = 0; i < s->count; i++) {
            struct client *c = &s->clients[i];
            beating += c->call.kind == COORD_HEARTBEAT && c->answered && c->error == 0;
            if (!c->asking) {
                go_on(s, c);
            }
        }
        world_run(w, SECOND_NS / 10);
        if (beating == s->count && w->group->state == GROUP_STABLE &&
            w->group->member_count == s->count) {
            return;
        }
    }
    cr_assert(false, "the group does not settle: %s, %d members, %d joined",
              group_state_name(w->group->state), w->group->member_count, w->group->joined_count);
}

Test(random, members_come_and_go, .timeout = 120)
{
    struct story *s = malloc(sizeof *s);
    static const char *const names[] = {"i", "j"};
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        memset(s, 0, sizeof *s);
        cr_log_info("seed %lu", (unsigned long)seed);
        s->prng = prng_of(seed);
        s->count = (int)prng_between(&s->prng, 1, CLIENTS);
        for (size_t i = 0; i < array_size(names); i++) {
            s->clients[i].instance = names[i];
        }
        world_open(&s->world, seed, NULL);
        for (int i = 0; i < STEPS; i++) {
            step(s);
        }
        quiet(s);
        world_close(&s->world);
    }
    free(s);
}
