/* SPDX-License-Identifier: Apache-2.0 */

/* Racks in assignments: evenness stays, as many partitions as can be are in the racks of their owners,
 * and nothing moves that brings none there. */
#include "assign_case.h"

#include <string.h>
#include <time.h>

enum { RACKS = 5 };

/* Racks at random, of which some have no member and some no partition. */
static void case_racks(struct group_case *c, struct prng *prng)
{
    int32_t racks = 1 + (int32_t)prng_below(prng, RACKS), count = 0;
    int32_t most = 1 + (int32_t)prng_below(prng, 3);
    for (int32_t p = 0; p < c->a.partition_count; p++) {
        c->rack_first[p] = count;
        int32_t here = (int32_t)prng_below(prng, (uint64_t)most + 1);
        for (int32_t r = 1; r <= racks && here > 0; r++) {
            if (prng_below(prng, (uint64_t)(racks - r + 1)) < (uint64_t)here) {
                c->rack_numbers[count++] = r;
                here--;
            }
        }
    }
    c->rack_first[c->a.partition_count] = count;
    c->a.racks = (struct assign_racks){racks, c->rack_first, c->rack_numbers};
    int32_t kinds = 1 + (int32_t)prng_below(prng, (uint64_t)racks + 2);
    for (size_t m = 0; m < c->a.member_count; m++) {
        c->members[m].rack = (int32_t)prng_below(prng, (uint64_t)kinds + 1);
    }
}

static bool suits(const struct group_case *c, int32_t p, int32_t rack)
{
    bool found = rack == 0;
    for (int32_t i = c->rack_first[p]; i < c->rack_first[p + 1]; i++) {
        found |= c->rack_numbers[i] == rack;
    }
    return found;
}

static int32_t strays(const struct group_case *c)
{
    int32_t count = 0;
    for (int32_t p = 0; p < c->a.partition_count; p++) {
        count += c->owner[p] >= 0 && !suits(c, p, c->members[c->owner[p]].rack);
    }
    return count;
}

/* Whether racks can matter at all, as KIP-881 says it. */
static bool racks_count(const struct group_case *c)
{
    int32_t everywhere = 0, members = 0, common = 0;
    bool in[RACKS + 3] = {false};
    for (int32_t i = 0; i < c->rack_first[c->a.partition_count]; i++) {
        everywhere += !in[c->rack_numbers[i]];
        in[c->rack_numbers[i]] = true;
    }
    for (size_t m = 0; m < c->a.member_count; m++) {
        members += c->members[m].rack > 0 && in[c->members[m].rack];
    }
    for (int32_t p = 0; p < c->a.partition_count; p++) {
        common += c->rack_first[p + 1] - c->rack_first[p] == everywhere;
    }
    return members && common < c->a.partition_count;
}

/* The fewest strays of any even assignment when everybody subscribes to everything: what a minimum
 * cut between partitions and the places that members have leaves over. A cut is a set of racks. */
static int32_t strays_least(const struct group_case *c)
{
    int32_t members = (int32_t)c->a.member_count, count = c->a.partition_count;
    int32_t least = count / members, extra = count % members, flow = count;
    for (unsigned cut = 0; cut < 1U << (RACKS + 3); cut++) {
        int32_t inside = 0, through = 0;
        unsigned there = 0;
        for (int32_t m = 0; m < members; m++) {
            there |= 1U << c->members[m].rack;
            inside += (cut >> c->members[m].rack) & 1;
        }
        for (int32_t p = 0; p < count; p++) {
            bool out = false;
            for (int32_t rack = 0; rack < RACKS + 3; rack++) {
                out |= (there >> rack & 1) && !(cut >> rack & 1) && suits(c, p, rack);
            }
            through += out;
        }
        through += inside * least + (inside < extra ? inside : extra);
        flow = through < flow ? through : flow;
    }
    return count - flow;
}

static void loads(const struct group_case *c, int32_t load[MEMBERS])
{
    memset(load, 0, MEMBERS * sizeof *load);
    for (int32_t p = 0; p < c->a.partition_count; p++) {
        if (c->owner[p] >= 0) {
            load[c->owner[p]]++;
        }
    }
}

static int32_t moved(const struct group_case *c)
{
    int32_t count = 0;
    for (size_t m = 0; m < c->a.member_count; m++) {
        for (size_t i = 0; i < c->members[m].owned_count; i++) {
            count += c->owner[c->members[m].owned[i]] != (int32_t)m;
        }
    }
    return count;
}

Test(assign_racks, sticky_is_even_first_then_in_its_racks, .timeout = 120)
{
    struct prng prng = prng_of(21);
    int32_t brought = 0, matter = 0;
    for (int round = 0; round < 1500; round++) {
        struct group_case *c = case_new();
        case_random(c, &prng, true);
        case_racks(c, &prng);
        if (round % 3) {
            case_claims(c, &prng);
        }
        struct assign_racks racks = c->a.racks;
        c->a.racks = (struct assign_racks){0};
        cr_assert_eq(assign_sticky(&c->a, &c->arena), 0);
        int32_t before = strays(c);
        c->a.racks = racks;
        cr_assert_eq(assign_sticky(&c->a, &c->arena), 0);
        case_complete(c);
        case_balanced(c);
        if (racks_count(c)) {
            matter++;
            brought += before - strays(c);
            int32_t least = strays_least(c);
            cr_assert_eq(strays(c), least, "round %d: %d strays, %d without racks, %d at least",
                         round, strays(c), before, least);
        }
        case_free(c);
    }
    cr_assert_gt(matter, 500);
    cr_assert_gt(brought, 10000);
}

Test(assign_racks, nothing_moves_that_brings_nothing_to_its_rack)
{
    struct prng prng = prng_of(22);
    int same = 0;
    for (int round = 0; round < 1500; round++) {
        struct group_case *c = case_new();
        int32_t before[PARTITIONS], load[MEMBERS], then[MEMBERS];
        case_random(c, &prng, round % 2);
        case_racks(c, &prng);
        case_claims(c, &prng);
        struct assign_racks racks = c->a.racks;
        c->a.racks = (struct assign_racks){0};
        cr_assert_eq(assign_sticky(&c->a, &c->arena), 0);
        memcpy(before, c->owner, sizeof before);
        int32_t strayed = strays(c), moves = moved(c);
        loads(c, load);
        c->a.racks = racks;
        cr_assert_eq(assign_sticky(&c->a, &c->arena), 0);
        loads(c, then);
        cr_assert_leq(strays(c), strayed);
        case_complete(c);
        case_balanced(c);
        if (strays(c) == strayed || !racks_count(c)) {
            cr_assert_arr_eq(before, c->owner, (size_t)c->a.partition_count * sizeof *before);
            same++;
        } else {
            /* A hand-over takes each rack at most twice, and the stray that it ends at. */
            int32_t chain = 2 * (c->a.racks.count + 2) + 1;
            cr_assert_leq(moved(c), moves + chain * (strayed - strays(c)));
        }
        /* What it gave it gives again. */
        memcpy(before, c->owner, sizeof before);
        case_claim_all(c, 7);
        cr_assert_eq(assign_sticky(&c->a, &c->arena), 0);
        cr_assert_arr_eq(before, c->owner, (size_t)c->a.partition_count * sizeof *before,
                         "round %d", round);
        case_free(c);
    }
    cr_assert_gt(same, 100);
    cr_assert_lt(same, 1400);
}

Test(assign_racks, a_member_that_joins_takes_its_share_and_no_more)
{
    struct prng prng = prng_of(23);
    for (int round = 0; round < 300; round++) {
        struct group_case *c = case_new();
        /* Each partition in one of three racks, as many in each, and a member in each. */
        case_topic(c, "t", 36);
        for (int32_t p = 0; p <= 36; p++) {
            c->rack_first[p] = p;
            c->rack_numbers[p] = p % 3 + 1;
        }
        c->a.racks = (struct assign_racks){3, c->rack_first, c->rack_numbers};
        for (int32_t m = 0; m < 6; m++) {
            char id[8] = {'m', (char)('0' + prng_below(&prng, 5)), (char)('a' + m)};
            struct assign_member *member = case_member(c, id, NULL);
            member->topic_count = 1;
            member->rack = m % 3 + 1;
        }
        case_sort(c);
        /* The last to come holds nothing; the others hold what is in their racks. */
        size_t late = prng_below(&prng, 6);
        for (int32_t p = 0; p < 36; p++) {
            size_t m = 0;
            while (
                c->members[m].rack != p % 3 + 1 || m == late ||
                (c->members[m].owned_count == 6 && c->members[m].rack != c->members[late].rack)) {
                m++;
            }
            case_own(c, &c->members[m], p);
        }
        cr_assert_eq(assign_sticky(&c->a, &c->arena), 0);
        case_balanced(c);
        cr_assert_eq(strays(c), 0);
        cr_assert_eq(moved(c), 6, "%d moved", moved(c));
        case_free(c);
    }
}

Test(assign_racks, cooperative_settles)
{
    struct prng prng = prng_of(24);
    int worst[2] = {0};
    for (int round = 0; round < 600; round++) {
        struct group_case *c = case_new();
        case_random(c, &prng, round % 2);
        case_racks(c, &prng);
        case_claims(c, &prng);
        int rounds = 0;
        bool wanting = true;
        for (; wanting && rounds < 10; rounds++) {
            int32_t owner[PARTITIONS];
            cr_assert_eq(assign_cooperative(&c->a, &c->arena), 0);
            case_claim_all(c, rounds + 5);
            memcpy(owner, c->owner, sizeof owner);
            cr_assert_eq(assign_sticky(&c->a, &c->arena), 0);
            wanting = memcmp(owner, c->owner, sizeof owner) != 0;
        }
        worst[round % 2] = rounds > worst[round % 2] ? rounds : worst[round % 2];
        cr_assert(!wanting, "not after %d rounds", rounds);
        case_complete(c);
        case_balanced(c);
        case_free(c);
    }
    /* Where subscriptions differ, what becomes free may be worth another hand-over. */
    cr_assert(worst[1] <= 3 && worst[0] <= 6, "%d and %d rounds", worst[1], worst[0]);
}

/* Topics with the same subscribers and as many partitions have the same owners by number. */
static void case_together(const struct group_case *c)
{
    for (size_t t = 0; t < c->a.topic_count; t++) {
        for (size_t u = 0; u < t; u++) {
            bool alike = c->topics[t].partitions == c->topics[u].partitions;
            for (size_t m = 0; alike && m < c->a.member_count; m++) {
                alike = assign_subscribes(&c->members[m], (int32_t)t) ==
                        assign_subscribes(&c->members[m], (int32_t)u);
            }
            for (int32_t p = 0; alike && p < c->topics[t].partitions; p++) {
                cr_assert_eq(c->owner[c->topics[t].first + p], c->owner[c->topics[u].first + p]);
            }
        }
    }
}

Test(assign_racks, range_stays_even_in_each_topic_and_keeps_topics_together)
{
    struct prng prng = prng_of(25);
    int32_t brought = 0;
    for (int round = 0; round < 1500; round++) {
        struct group_case *c = case_new();
        case_random(c, &prng, round % 2);
        case_racks(c, &prng);
        struct assign_racks racks = c->a.racks;
        c->a.racks = (struct assign_racks){0};
        cr_assert_eq(assign_range(&c->a, &c->arena), 0);
        int32_t before = strays(c);
        c->a.racks = racks;
        cr_assert_eq(assign_range(&c->a, &c->arena), 0);
        brought += before - strays(c);
        case_complete(c);
        case_together(c);
        for (size_t t = 0; t < c->a.topic_count; t++) {
            int32_t load[MEMBERS] = {0}, subscribers = 0;
            for (int32_t p = 0; p < c->topics[t].partitions; p++) {
                int32_t m = c->owner[c->topics[t].first + p];
                load[m < 0 ? 0 : m] += m >= 0;
            }
            for (size_t m = 0; m < c->a.member_count; m++) {
                subscribers += assign_subscribes(&c->members[m], (int32_t)t);
            }
            for (size_t m = 0; m < c->a.member_count; m++) {
                if (assign_subscribes(&c->members[m], (int32_t)t)) {
                    int32_t least = c->topics[t].partitions / subscribers;
                    cr_assert(load[m] == least || load[m] == least + 1);
                }
            }
        }
        case_free(c);
    }
    cr_assert_gt(brought, 10000);
}

/* --- cost --- */

enum { BIG_MEMBERS = 50, BIG_TOPICS = 500, BIG_PARTITIONS = 200 };

struct big {
    struct assign a;
    struct assign_topic topics[BIG_TOPICS];
    struct assign_member members[BIG_MEMBERS];
    int32_t subscribed[BIG_MEMBERS][BIG_TOPICS];
    char ids[BIG_MEMBERS][8];
    int32_t owner[BIG_TOPICS * BIG_PARTITIONS], owned[BIG_MEMBERS][BIG_TOPICS * BIG_PARTITIONS];
    int32_t first[BIG_TOPICS * BIG_PARTITIONS + 1], numbers[BIG_TOPICS * BIG_PARTITIONS * 3];
};

/* `replicas` of each partition at random in `racks`. */
static void big_fill(struct big *b, struct prng *prng, int32_t racks, int32_t replicas,
                     bool uniform)
{
    int32_t count = 0, p = 0;
    *b = (struct big){.a = {.topics = b->topics,
                            .topic_count = BIG_TOPICS,
                            .members = b->members,
                            .member_count = BIG_MEMBERS,
                            .partition_count = BIG_TOPICS * BIG_PARTITIONS,
                            .owner = b->owner,
                            .racks = {racks, b->first, b->numbers}}};
    for (int32_t t = 0; t < BIG_TOPICS; t++) {
        b->topics[t] = (struct assign_topic){"t", BIG_PARTITIONS, t * BIG_PARTITIONS};
    }
    for (; p < b->a.partition_count; p++) {
        b->first[p] = count;
        for (int32_t r = 1, left = replicas; r <= racks && left > 0; r++) {
            if (prng_below(prng, (uint64_t)(racks - r + 1)) < (uint64_t)left) {
                b->numbers[count++] = r;
                left--;
            }
        }
    }
    b->first[p] = count;
    for (int32_t m = 0; m < BIG_MEMBERS; m++) {
        struct assign_member *to = &b->members[m];
        b->ids[m][0] = (char)('A' + m);
        *to = (struct assign_member){.id = b->ids[m],
                                     .topics = b->subscribed[m],
                                     .owned = b->owned[m],
                                     .rack = 1 + (int32_t)prng_below(prng, (uint64_t)racks)};
        for (int32_t t = 0; t < BIG_TOPICS; t++) {
            if (uniform || prng_chance(prng, 1, 2)) {
                b->subscribed[m][to->topic_count++] = t;
            }
        }
    }
}

static double big_run(struct big *b, assign_fn assign)
{
    struct memory memory;
    struct arena arena;
    struct timespec from, to;
    memory_init(&memory, SIZE_MAX);
    arena_init(&arena, &memory, 64 << 20);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    cr_assert_eq(assign(&b->a, &arena), 0);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    arena_deinit(&arena);
    memory_drop(&memory);
    return (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec);
}

static void big_claim(struct big *b)
{
    for (int32_t m = 0; m < BIG_MEMBERS; m++) {
        b->members[m].owned_count = 0;
    }
    for (int32_t p = 0; p < b->a.partition_count; p++) {
        struct assign_member *m = &b->members[b->owner[p]];
        b->owned[b->owner[p]][m->owned_count++] = p;
    }
}

/* 50 members, 500 topics of 200 partitions, racks few and many. It takes milliseconds; what grew with
 * the square of anything would take minutes. */
Test(assign_racks, a_hundred_thousand_partitions_are_shared_out_in_time, .timeout = 240)
{
    struct prng prng = prng_of(26);
    struct memory memory;
    memory_init(&memory, SIZE_MAX);
    struct big *b = memory_alloc(&memory, sizeof *b);
    for (int round = 0; round < 12; round++) {
        int32_t racks = round % 3 == 0 ? 3 : round % 3 == 1 ? 7 : 40;
        bool uniform = round < 6;
        big_fill(b, &prng, racks, 1 + round % 2, uniform);
        double range = big_run(b, assign_range), sticky = big_run(b, assign_sticky);
        big_claim(b);
        double again = big_run(b, assign_sticky);
        cr_log_info("%d racks, %s: range %.3f s, sticky %.3f s, again %.3f s", racks,
                    uniform ? "all subscribe to all" : "subscriptions differ", range, sticky,
                    again);
        cr_assert(range < 2 && sticky < 10 && again < 10, "%.3f %.3f %.3f s", range, sticky, again);
    }
    memory_drop(&memory);
}
