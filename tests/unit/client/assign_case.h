/* SPDX-License-Identifier: Apache-2.0 */

/* Groups for the tests of assignors, made by hand or at random, and what must hold for all. */
#pragma once

#include "base/prng.h"
#include "consumer/group/assignor.h"

#include <criterion/criterion.h>

enum { MEMBERS = 40, TOPICS = 12, PARTITIONS = 600, REPLICAS = 4 };

struct group_case {
    struct memory memory;
    struct arena arena;
    struct assign a;
    struct assign_topic topics[TOPICS];
    struct assign_member members[MEMBERS];
    int32_t subscribed[MEMBERS][TOPICS];
    int32_t owned[MEMBERS][PARTITIONS];
    int32_t owner[PARTITIONS];
    int32_t rack_first[PARTITIONS + 1], rack_numbers[PARTITIONS * REPLICAS];
    char names[TOPICS][16], ids[MEMBERS][32], instances[MEMBERS][32];
};

struct group_case *case_new(void);
void case_free(struct group_case *c);
void case_topic(struct group_case *c, const char *name, int32_t partitions);
struct assign_member *case_member(struct group_case *c, const char *id, const char *instance);
void case_sort(struct group_case *c);
void case_own(struct group_case *c, struct assign_member *m, int32_t p);

/* Topics and members at random; `uniform`: all subscribe to all. */
void case_random(struct group_case *c, struct prng *prng, bool uniform);

/* Random claims, some of them stale, contradictory or of topics that are not subscribed. */
void case_claims(struct group_case *c, struct prng *prng);

/* Everybody claims what he was given, and nothing else. */
void case_claim_all(struct group_case *c, int32_t generation);

int32_t topic_of(const struct group_case *c, int32_t p);

/* Every partition that somebody subscribes to has an owner who does. */
void case_complete(const struct group_case *c);

/* No chain of hand-overs leads from a member to one with at least two partitions less. */
void case_balanced(const struct group_case *c);
