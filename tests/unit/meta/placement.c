/* SPDX-License-Identifier: Apache-2.0 */

/* Placement: R1 to R4 over random clusters, and what is refused. */
#include "meta/placement.h"

#include "base/prng.h"

#include <inttypes.h>
#include <stdlib.h>

#include <criterion/criterion.h>

enum { BROKERS = 12, PARTITIONS = 40 };

struct spread {
    uint32_t leads[BROKERS], holds[BROKERS];
};

static int place(const struct placement_request *q, int32_t *replicas, char *why)
{
    struct memory memory;
    memory_init(&memory, 16 << 20);
    int error = placement_choose(q, &memory, replicas, why);
    cr_assert_eq(memory.used_bytes, 0);
    memory_drop(&memory);
    return error;
}

static struct spread count(const struct placement_request *q, const int32_t *replicas)
{
    struct spread s = {{0}, {0}};
    for (uint32_t b = 0; b < q->broker_count; b++) {
        s.leads[b] = q->brokers[b].topic_leads;
        s.holds[b] = q->brokers[b].topic_holds;
    }
    for (int32_t p = 0; p < q->partitions; p++) {
        for (int32_t i = 0; i < q->factor; i++) {
            uint32_t b = (uint32_t)replicas[p * q->factor + i];
            cr_assert_lt(b, q->broker_count);
            s.leads[b] += i == 0;
            s.holds[b]++;
            for (int32_t k = 0; k < i; k++) {
                cr_assert_neq(replicas[p * q->factor + k], (int32_t)b, "R1: different brokers");
            }
        }
    }
    return s;
}

static uint32_t difference(const struct placement_request *q, const uint32_t *of)
{
    uint32_t least = UINT32_MAX, most = 0;
    for (uint32_t b = 0; b < q->broker_count; b++) {
        if (!q->brokers[b].fenced) {
            least = of[b] < least ? of[b] : least;
            most = of[b] > most ? of[b] : most;
        }
    }
    return most - least;
}

static struct placement_request random_request(struct prng *r, struct placement_broker *brokers)
{
    struct placement_request q = {.brokers = brokers,
                                  .broker_count = 1 + (uint32_t)prng_below(r, BROKERS),
                                  .partitions = 1 + (int32_t)prng_below(r, PARTITIONS),
                                  .seed = prng_next(r)};
    q.factor = 1 + (int32_t)prng_below(r, q.broker_count < 5 ? q.broker_count : 5);
    for (uint32_t i = 0; i < q.broker_count; i++) {
        brokers[i] = (struct placement_broker){.id = (int32_t)i,
                                               .leads = (uint32_t)prng_below(r, 9),
                                               .holds = (uint32_t)prng_below(r, 9),
                                               .bytes = prng_below(r, 1000)};
    }
    return q;
}

Test(placement, counts_differ_by_one_at_most)
{
    struct prng r = prng_of(1);
    for (int round = 0; round < 5000; round++) {
        struct placement_broker brokers[BROKERS];
        int32_t replicas[PARTITIONS * 5], again[PARTITIONS * 5];
        char why[PLACEMENT_WHY_SIZE];
        struct placement_request q = random_request(&r, brokers);
        cr_assert_eq(place(&q, replicas, why), 0);
        struct spread s = count(&q, replicas);
        cr_assert_leq(difference(&q, s.leads), 1, "round %d: leaders", round);
        cr_assert_leq(difference(&q, s.holds), 1, "round %d: replicas", round);
        cr_assert_eq(place(&q, again, why), 0);
        cr_assert_arr_eq(replicas, again, (size_t)(q.partitions * q.factor) * 4);
    }
}

/* A topic that has grown unevenly becomes even by what is added. */
Test(placement, what_the_topic_has_counts)
{
    struct prng r = prng_of(2);
    for (int round = 0; round < 1000; round++) {
        struct placement_broker brokers[BROKERS];
        int32_t replicas[PARTITIONS * 5];
        char why[PLACEMENT_WHY_SIZE];
        struct placement_request q = random_request(&r, brokers);
        for (uint32_t i = 0; i < q.broker_count; i++) {
            brokers[i].topic_leads = (uint32_t)prng_below(&r, 3);
            brokers[i].topic_holds = brokers[i].topic_leads;
        }
        q.partitions = 3 * (int32_t)q.broker_count;
        if (q.factor == (int32_t)q.broker_count) {
            continue; /* all are on all, nothing can be evened out */
        }
        cr_assert_eq(place(&q, replicas, why), 0);
        struct spread s = count(&q, replicas);
        cr_assert_leq(difference(&q, s.leads), 1, "round %d", round);
        cr_assert_leq(difference(&q, s.holds), 1, "round %d", round);
    }
}

Test(placement, racks)
{
    static const char *const racks[] = {"a", "b", "c"};
    struct prng r = prng_of(3);
    for (int round = 0; round < 2000; round++) {
        struct placement_broker brokers[BROKERS];
        int32_t replicas[PARTITIONS * 5];
        char why[PLACEMENT_WHY_SIZE];
        struct placement_request q = random_request(&r, brokers);
        uint32_t per_rack = 1 + (uint32_t)prng_below(&r, 3);
        q.broker_count = 3 * per_rack;
        q.factor = 1 + (int32_t)prng_below(&r, q.broker_count < 5 ? q.broker_count : 5);
        for (uint32_t i = 0; i < q.broker_count; i++) {
            brokers[i] = (struct placement_broker){.id = (int32_t)i, .rack = racks[i % 3]};
        }
        cr_assert_eq(place(&q, replicas, why), 0);
        struct spread s = count(&q, replicas);
        cr_assert_leq(difference(&q, s.leads), 1, "round %d", round);
        cr_assert_leq(difference(&q, s.holds), 1, "round %d", round);
        for (int32_t p = 0; p < q.partitions; p++) {
            int on[3] = {0};
            for (int32_t i = 0; i < q.factor; i++) {
                on[replicas[p * q.factor + i] % 3]++;
            }
            for (int a = 0; a < 3; a++) {
                cr_assert_leq(on[a], (q.factor + 2) / 3, "R2, round %d", round);
            }
        }
    }
}

Test(placement, a_rack_of_one_broker_has_one_of_each)
{
    const struct placement_broker brokers[] = {
        {.id = 0, .rack = "a"}, {.id = 1, .rack = "a"}, {.id = 2, .rack = "a"}, {.id = 3}};
    struct placement_request q = {
        .brokers = brokers, .broker_count = 4, .partitions = 12, .factor = 2, .seed = 7};
    int32_t replicas[24];
    char why[PLACEMENT_WHY_SIZE];
    cr_assert_eq(place(&q, replicas, why), 0);
    struct spread s = count(&q, replicas);
    cr_assert_eq(s.holds[3], 12, "racks before counts");
    cr_assert_leq(difference(&q, s.leads), 1);
}

Test(placement, fenced_brokers_only_where_they_are_needed)
{
    struct placement_broker brokers[] = {
        {.id = 0}, {.id = 1, .fenced = true}, {.id = 2}, {.id = 3}};
    struct placement_request q = {
        .brokers = brokers, .broker_count = 4, .partitions = 9, .factor = 3, .seed = 7};
    int32_t replicas[36];
    char why[PLACEMENT_WHY_SIZE];
    cr_assert_eq(place(&q, replicas, why), 0);
    struct spread s = count(&q, replicas);
    cr_assert_eq(s.holds[1], 0);
    q.factor = 4;
    cr_assert_eq(place(&q, replicas, why), 0);
    s = count(&q, replicas);
    cr_assert_eq(s.holds[1], 9);
    cr_assert_eq(s.leads[1], 0, "never first");
    brokers[0].rack = brokers[2].rack = brokers[3].rack = "same";
    q.factor = 3;
    cr_assert_eq(place(&q, replicas, why), 0);
    s = count(&q, replicas);
    cr_assert_eq(s.holds[1], 0, "not for its rack either");
}

Test(placement, between_equals_the_less_loaded)
{
    const struct placement_broker brokers[] = {{.id = 0, .leads = 9, .holds = 30},
                                               {.id = 1, .leads = 2, .holds = 3, .bytes = 10},
                                               {.id = 2, .leads = 2, .holds = 3, .bytes = 5},
                                               {.id = 3, .leads = 9, .holds = 20}};
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct placement_request q = {
            .brokers = brokers, .broker_count = 4, .partitions = 1, .factor = 3, .seed = seed};
        int32_t replicas[3];
        char why[PLACEMENT_WHY_SIZE];
        cr_assert_eq(place(&q, replicas, why), 0);
        cr_assert_eq(replicas[0], 2, "fewer bytes");
        cr_assert_eq(replicas[1], 1);
        cr_assert_eq(replicas[2], 3, "fewer partitions");
    }
}

/* Many small topics: the seed alone spreads them when no load is given. */
Test(placement, seeds_differ)
{
    struct placement_broker brokers[5];
    uint32_t leads[5] = {0};
    for (int32_t i = 0; i < 5; i++) {
        brokers[i] = (struct placement_broker){.id = i};
    }
    for (uint64_t seed = 0; seed < 5000; seed++) {
        struct placement_request q = {
            .brokers = brokers, .broker_count = 5, .partitions = 1, .factor = 1, .seed = seed};
        int32_t replica;
        char why[PLACEMENT_WHY_SIZE];
        cr_assert_eq(place(&q, &replica, why), 0);
        leads[replica]++;
    }
    for (int i = 0; i < 5; i++) {
        cr_expect(leads[i] > 850 && leads[i] < 1150, "broker %d leads %u", i, leads[i]);
    }
}

Test(placement, refusals)
{
    static const struct placement_broker brokers[] = {{.id = 0}, {.id = 1, .fenced = true}};
    static const struct placement_broker fenced[] = {{.id = 1, .fenced = true}};
    static const struct {
        const struct placement_broker *brokers;
        uint32_t count;
        int32_t factor;
        const char *why;
    } cases[] = {
        {brokers, 2, 0, "Invalid replication factor 0: the replication factor must be positive."},
        {brokers, 2, 3,
         "Unable to replicate the partition 3 time(s): the target replication factor of 3 cannot "
         "be "
         "reached because only 2 broker(s) are registered."},
        {fenced, 1, 1, "All brokers are currently fenced."},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        struct placement_request q = {.brokers = cases[i].brokers,
                                      .broker_count = cases[i].count,
                                      .partitions = 1,
                                      .factor = cases[i].factor};
        int32_t replicas[3];
        char why[PLACEMENT_WHY_SIZE] = "";
        cr_expect_eq(place(&q, replicas, why), ERR_INVALID_REPLICATION_FACTOR);
        cr_expect_str_eq(why, cases[i].why);
    }
}
