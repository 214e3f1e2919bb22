/* SPDX-License-Identifier: Apache-2.0 */

#include "assign_case.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct group_case *case_new(void)
{
    struct group_case *c = calloc(1, sizeof *c);
    memory_init(&c->memory, 64 << 20);
    arena_init(&c->arena, &c->memory, SIZE_MAX);
    c->a.topics = c->topics;
    c->a.members = c->members;
    c->a.owner = c->owner;
    return c;
}

void case_free(struct group_case *c)
{
    arena_deinit(&c->arena);
    memory_drop(&c->memory);
    free(c);
}

void case_topic(struct group_case *c, const char *name, int32_t partitions)
{
    size_t t = c->a.topic_count++;
    snprintf(c->names[t], sizeof c->names[t], "%s", name);
    c->topics[t] = (struct assign_topic){c->names[t], partitions, c->a.partition_count};
    c->a.partition_count += partitions;
    cr_assert_leq(c->a.partition_count, PARTITIONS);
}

struct assign_member *case_member(struct group_case *c, const char *id, const char *instance)
{
    size_t m = c->a.member_count++;
    snprintf(c->ids[m], sizeof c->ids[m], "%s", id);
    snprintf(c->instances[m], sizeof c->instances[m], "%s", instance ? instance : "");
    c->members[m] = (struct assign_member){.id = c->ids[m],
                                           .instance_id = instance ? c->instances[m] : NULL,
                                           .topics = c->subscribed[m],
                                           .owned = c->owned[m],
                                           .generation = -1};
    return &c->members[m];
}

static int member_order(const void *left, const void *right)
{
    return assign_member_compare(left, right);
}

void case_own(struct group_case *c, struct assign_member *m, int32_t p)
{
    size_t made = (size_t)(m->owned - c->owned[0]) / PARTITIONS; /* before they were sorted */
    c->owned[made][m->owned_count++] = p;
}

void case_sort(struct group_case *c)
{
    qsort(c->members, c->a.member_count, sizeof *c->members, member_order);
}

void case_random(struct group_case *c, struct prng *prng, bool uniform)
{
    char name[32];
    for (uint64_t t = 1 + prng_below(prng, TOPICS - 1); t > 0; t--) {
        snprintf(name, sizeof name, "t%02d", (int)c->a.topic_count);
        case_topic(c, name, (int32_t)prng_below(prng, 30));
    }
    for (uint64_t m = 1 + prng_below(prng, MEMBERS - 1); m > 0; m--) {
        snprintf(name, sizeof name, "m%03d", (int)c->a.member_count);
        struct assign_member *member = case_member(c, name, NULL);
        int32_t *topics = c->subscribed[c->a.member_count - 1];
        for (int32_t t = 0; t < (int32_t)c->a.topic_count; t++) {
            if (uniform || prng_chance(prng, 1, 2)) {
                topics[member->topic_count++] = t;
            }
        }
    }
}

int32_t topic_of(const struct group_case *c, int32_t p)
{
    size_t t = c->a.topic_count;
    while (c->topics[t - 1].first > p ||
           p >= c->topics[t - 1].first + c->topics[t - 1].partitions) {
        t--;
    }
    return (int32_t)t - 1;
}

void case_claims(struct group_case *c, struct prng *prng)
{
    for (size_t m = 0; m < c->a.member_count; m++) {
        c->members[m].owned_count = 0;
        c->members[m].generation = (int32_t)prng_below(prng, 3);
    }
    for (int32_t p = 0; p < c->a.partition_count; p++) {
        for (uint64_t n = prng_below(prng, 3); n > 0; n--) {
            size_t m = prng_below(prng, c->a.member_count);
            struct assign_member *member = &c->members[m];
            bool twice = member->owned_count && c->owned[m][member->owned_count - 1] == p;
            if (assign_subscribes(member, topic_of(c, p)) && !twice) {
                c->owned[m][member->owned_count++] = p;
            }
        }
    }
}

void case_complete(const struct group_case *c)
{
    for (int32_t p = 0; p < c->a.partition_count; p++) {
        int32_t t = topic_of(c, p);
        bool wanted = false;
        for (size_t m = 0; m < c->a.member_count; m++) {
            wanted |= assign_subscribes(&c->members[m], t);
        }
        cr_assert_eq(c->owner[p] >= 0, wanted, "partition %d", p);
        cr_assert(!wanted || assign_subscribes(&c->members[c->owner[p]], t));
    }
}

void case_balanced(const struct group_case *c)
{
    int32_t load[MEMBERS] = {0};
    static bool passes[MEMBERS][MEMBERS];
    memset(passes, 0, sizeof passes);
    for (int32_t p = 0; p < c->a.partition_count; p++) {
        if (c->owner[p] >= 0) {
            load[c->owner[p]]++;
            for (size_t m = 0; m < c->a.member_count; m++) {
                passes[c->owner[p]][m] |= assign_subscribes(&c->members[m], topic_of(c, p));
            }
        }
    }
    for (size_t k = 0; k < c->a.member_count; k++) {
        for (size_t i = 0; i < c->a.member_count; i++) {
            for (size_t j = 0; passes[i][k] && j < c->a.member_count; j++) {
                passes[i][j] |= passes[k][j];
            }
        }
    }
    for (size_t i = 0; i < c->a.member_count; i++) {
        for (size_t j = 0; j < c->a.member_count; j++) {
            cr_assert(!passes[i][j] || load[i] <= load[j] + 1, "%d against %d", load[i], load[j]);
        }
    }
}

void case_claim_all(struct group_case *c, int32_t generation)
{
    for (size_t m = 0; m < c->a.member_count; m++) {
        c->members[m].owned_count = 0;
        c->members[m].generation = generation;
    }
    for (int32_t p = 0; p < c->a.partition_count; p++) {
        int32_t m = c->owner[p];
        if (m >= 0) {
            c->owned[m][c->members[m].owned_count++] = p;
        }
    }
}
