/* SPDX-License-Identifier: Apache-2.0 */

/* Assignors and what members tell each other: the Java clients' results and bytes, and what must
 * hold for every group. */
#include "assignors_golden.h"

#include "assign_case.h"
#include "consumer/group/protocol.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- Java --- */

/* The letters of racks: A is 1. */
static void golden_member(struct group_case *c, char *word)
{
    char *colon = strchr(word, ':'), *slash = strchr(word, '/'), *at = strchr(word, '@');
    *colon = 0;
    if (slash) {
        *slash = 0;
    }
    if (at) {
        *at = 0;
    }
    struct assign_member *m = case_member(c, word, slash ? slash + 1 : NULL);
    for (const char *digit = colon + 1; *digit; digit++) {
        c->subscribed[m - c->members][m->topic_count++] = *digit - '0';
    }
    m->rack = at ? at[1] - 'A' + 1 : 0;
    m->generation = (int32_t)(m - c->members); /* its place in the list, over the sorting */
}

static void golden_load(struct group_case *c, const char *topics, const char *members)
{
    char text[1024], *at = NULL;
    snprintf(text, sizeof text, "%s", topics);
    for (char *word = strtok_r(text, " ", &at); word; word = strtok_r(NULL, " ", &at)) {
        char *colon = strchr(word, ':');
        *colon = 0;
        case_topic(c, word, atoi(colon + 1));
    }
    snprintf(text, sizeof text, "%s", members);
    for (char *word = strtok_r(text, " ", &at); word; word = strtok_r(NULL, " ", &at)) {
        golden_member(c, word);
    }
    case_sort(c);
}

static void golden_load_racks(struct group_case *c, const char *racks)
{
    int32_t p = 0, count = 0;
    for (; *racks; p++) {
        c->rack_first[p] = count;
        for (; *racks && *racks != ' '; racks++) {
            if (*racks != '-') {
                c->rack_numbers[count++] = *racks - 'A' + 1;
            }
        }
        racks += *racks == ' ';
    }
    cr_assert_eq(p, c->a.partition_count);
    c->rack_first[p] = count;
    c->a.racks = (struct assign_racks){5, c->rack_first, c->rack_numbers};
}

static void golden_check(struct group_case *c, const char *expected, const char *what, size_t i)
{
    char got[PARTITIONS + 1] = "";
    for (int32_t p = 0; p < c->a.partition_count; p++) {
        got[p] = c->owner[p] < 0 ? '-' : (char)('a' + c->members[c->owner[p]].generation);
    }
    cr_assert_str_eq(got, expected, "%s %zu: %s instead of %s", what, i, got, expected);
}

Test(assignors, range_and_round_robin_are_those_of_java)
{
    for (size_t i = 0; i < sizeof golden / sizeof *golden; i++) {
        struct group_case *c = case_new();
        golden_load(c, golden[i].topics, golden[i].members);
        cr_assert_eq(assign_range(&c->a, &c->arena), 0);
        golden_check(c, golden[i].range, "range", i);
        cr_assert_eq(assign_round_robin(&c->a, &c->arena), 0);
        golden_check(c, golden[i].round_robin, "round robin", i);
        case_free(c);
    }
}

Test(assignors, range_with_racks_is_that_of_java)
{
    for (size_t i = 0; i < sizeof golden_racks / sizeof *golden_racks; i++) {
        struct group_case *c = case_new();
        golden_load(c, golden_racks[i].topics, golden_racks[i].members);
        golden_load_racks(c, golden_racks[i].racks);
        cr_assert_eq(assign_range(&c->a, &c->arena), 0);
        golden_check(c, golden_racks[i].range, "range with racks", i);
        case_free(c);
    }
}

static size_t unhex(const char *text, uint8_t *out)
{
    size_t size = strlen(text) / 2;
    for (size_t i = 0; i < size; i++) {
        char pair[3] = {text[2 * i], text[2 * i + 1], 0};
        out[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return size;
}

static const struct named_partition java_parts[] = {{"orders", 0}, {"orders", 3}, {"payments", 1}};

Test(assignors, blobs_are_those_of_java)
{
    static const char *const topics[] = {"orders", "payments"};
    struct group_case *c = case_new();
    struct wire_writer w;
    uint8_t expected[512];
    struct subscription s = {.topics = topics,
                             .topic_count = 2,
                             .owned = java_parts,
                             .owned_count = 3,
                             .generation = 42,
                             .rack = "r1"};
    wire_writer_init(&w, &c->memory, 65536);
    cr_assert_eq(subscription_write(&s, STRATEGY_COOPERATIVE, &w, &c->arena), 0);
    size_t size = unhex(golden_subscription, expected);
    cr_assert_eq(w.size, size);
    cr_assert_arr_eq(w.data, expected, size);

    struct named_partition *parts;
    size_t count;
    size = unhex(golden_assignment, expected);
    cr_assert_eq(
        assignment_read((struct wire_bytes){expected, (int32_t)size}, &parts, &count, &c->arena),
        0);
    cr_assert_eq(count, 3);
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(named_partition_compare(&parts[i], &java_parts[i]), 0);
    }
    wire_writer_deinit(&w);
    case_free(c);
}

Test(assignors, sticky_members_read_each_other)
{
    static const char *const topics[] = {"orders", "payments"};
    struct group_case *c = case_new();
    struct wire_writer w;
    wire_writer_init(&w, &c->memory, 65536);
    struct subscription s = {.topics = topics,
                             .topic_count = 2,
                             .previous = java_parts,
                             .previous_count = 3,
                             .generation = 42};
    cr_assert_eq(subscription_write(&s, STRATEGY_STICKY, &w, &c->arena), 0);
    struct consumer_protocol_subscription read;
    struct reader r = reader_of(w.data + 2, w.size - 2);
    cr_assert_eq(consumer_protocol_subscription_decode(&read, &r, 3, &c->arena), 0);
    struct join_group_response join;
    struct join_group_response_members members[2];
    join_group_response_init(&join);
    join_group_response_members_init(&members[0]);
    join_group_response_members_init(&members[1]);
    members[0].member_id = wire_string_of("ours");
    members[0].metadata = (struct wire_bytes){w.data, (int32_t)w.size};
    /* Java orders the topics of its data as its hash map does. */
    struct wire_writer theirs;
    uint8_t data[512];
    wire_writer_init(&theirs, &c->memory, 65536);
    struct consumer_protocol_subscription java;
    consumer_protocol_subscription_init(&java);
    struct wire_string names[] = {wire_string_of("orders"), wire_string_of("payments")};
    java.topics = names;
    java.topics_count = 2;
    java.user_data = (struct wire_bytes){data, (int32_t)unhex(golden_sticky, data)};
    cr_assert_eq(read.user_data.size, java.user_data.size);
    wire_put_be16(&theirs, 1);
    cr_assert_eq(consumer_protocol_subscription_encode(&java, &theirs, 1), 0);
    members[1].member_id = wire_string_of("theirs");
    members[1].metadata = (struct wire_bytes){theirs.data, (int32_t)theirs.size};
    join.members = members;
    join.members_count = 2;
    struct roster roster;
    cr_assert_eq(roster_read(&roster, &join, STRATEGY_STICKY, &c->arena), 0);
    for (size_t m = 0; m < 2; m++) {
        struct group_member *member = &roster.members[m];
        cr_assert_eq(member->generation, 42, "%s", member->id);
        cr_assert_eq(member->owned_count, 3);
        qsort(member->owned, 3, sizeof *member->owned, named_partition_compare);
        for (size_t i = 0; i < 3; i++) {
            cr_assert_eq(named_partition_compare(&member->owned[i], &java_parts[i]), 0);
        }
    }
    wire_writer_deinit(&w);
    wire_writer_deinit(&theirs);
    case_free(c);
}

/* --- properties --- */

Test(assignors, sticky_is_complete_balanced_and_stays)
{
    struct prng prng = prng_of(11);
    for (int round = 0; round < 400; round++) {
        struct group_case *c = case_new();
        case_random(c, &prng, round % 2);
        case_claims(c, &prng);
        cr_assert_eq(assign_sticky(&c->a, &c->arena), 0);
        case_complete(c);
        case_balanced(c);
        /* What it gave it gives again. */
        int32_t before[PARTITIONS];
        memcpy(before, c->owner, sizeof before);
        case_claim_all(c, 7);
        cr_assert_eq(assign_sticky(&c->a, &c->arena), 0);
        cr_assert_arr_eq(before, c->owner, (size_t)c->a.partition_count * sizeof *before);
        case_free(c);
    }
}

static int descending(const void *left, const void *right)
{
    return *(const int32_t *)right - *(const int32_t *)left;
}

Test(assignors, sticky_moves_no_more_than_it_must)
{
    struct prng prng = prng_of(12);
    for (int round = 0; round < 300; round++) {
        struct group_case *c = case_new();
        int32_t held[MEMBERS] = {0}, members, least, extra, kept = 0, most = 0;
        case_random(c, &prng, true);
        members = (int32_t)c->a.member_count;
        for (int32_t p = 0; p < c->a.partition_count; p++) {
            if (prng_chance(&prng, 4, 5)) {
                int32_t m = (int32_t)prng_below(&prng, (uint64_t)members);
                c->owned[m][c->members[m].owned_count++] = p;
                held[m]++;
            }
        }
        cr_assert_eq(assign_sticky(&c->a, &c->arena), 0);
        case_complete(c);
        for (int32_t m = 0; m < members; m++) {
            for (size_t i = 0; i < c->members[m].owned_count; i++) {
                kept += c->owner[c->owned[m][i]] == m;
            }
        }
        qsort(held, (size_t)members, sizeof *held, descending);
        least = c->a.partition_count / members;
        extra = c->a.partition_count % members;
        for (int32_t m = 0; m < members; m++) {
            int32_t share = least + (m < extra);
            most += held[m] < share ? held[m] : share;
        }
        cr_assert_eq(kept, most, "%d partitions stay, %d could", kept, most);
        case_free(c);
    }
}

/* The generation in which a member says that it got a partition; INT32_MIN: it does not. */
static int32_t claimed_in(const struct assign_member *m, int32_t p)
{
    for (size_t i = 0; i < m->owned_count; i++) {
        if (m->owned[i] == p) {
            return m->generation;
        }
    }
    return INT32_MIN;
}

/* One round: nobody gets what another may hold, and nobody keeps what he must give. Who got it in
 * an earlier generation than its owner has lost it; who got it in the same may hold it too. */
static void cooperative_round(struct group_case *c, int32_t generation)
{
    cr_assert_eq(assign_cooperative(&c->a, &c->arena), 0);
    for (int32_t p = 0; p < c->a.partition_count; p++) {
        for (size_t m = 0; c->owner[p] >= 0 && m < c->a.member_count; m++) {
            int32_t its = claimed_in(&c->members[m], p);
            cr_assert((int32_t)m == c->owner[p] || its == INT32_MIN ||
                          its < claimed_in(&c->members[c->owner[p]], p),
                      "given while it is held");
        }
    }
    case_claim_all(c, generation);
}

/* Where subscriptions differ, what becomes free may be worth another hand-over. */
Test(assignors, cooperative_settles_in_two_rounds)
{
    struct prng prng = prng_of(13);
    for (int round = 0; round < 300; round++) {
        struct group_case *c = case_new();
        case_random(c, &prng, round % 2);
        case_claims(c, &prng);
        int rounds = 1;
        bool wanting = true;
        for (; wanting && rounds < 6; rounds++) {
            int32_t owner[PARTITIONS];
            cooperative_round(c, rounds + 5);
            memcpy(owner, c->owner, sizeof owner);
            cr_assert_eq(assign_sticky(&c->a, &c->arena), 0);
            wanting = memcmp(owner, c->owner, sizeof owner) != 0;
        }
        cr_assert(!wanting && rounds <= (round % 2 ? 3 : 6), "%d rounds", rounds);
        case_complete(c);
        case_balanced(c);
        case_free(c);
    }
}

/* A member that was away says that it holds what was given to another one meanwhile. */
Test(assignors, a_stale_claim_gives_no_right_to_what_another_member_holds)
{
    struct group_case *c = case_new();
    case_topic(c, "t", 4);
    struct assign_member *stale = case_member(c, "a", NULL), *holder = case_member(c, "b", NULL);
    stale->topic_count = holder->topic_count = 1;
    stale->generation = 3;
    holder->generation = 5;
    for (int32_t p = 0; p < 4; p++) {
        case_own(c, stale, p);
        case_own(c, holder, p);
    }
    cr_assert_eq(assign_cooperative(&c->a, &c->arena), 0);
    int32_t kept = 0, held_back = 0;
    for (int32_t p = 0; p < 4; p++) {
        kept += c->owner[p] == 1;
        held_back += c->owner[p] == -1;
    }
    cr_assert(kept == 2 && held_back == 2, "%d kept, %d held back", kept, held_back);
    /* In one generation nobody knows who is right: both let go. */
    stale->generation = 5;
    cr_assert_eq(assign_cooperative(&c->a, &c->arena), 0);
    for (int32_t p = 0; p < 4; p++) {
        cr_assert_eq(c->owner[p], -1);
    }
    case_free(c);
}

/* --- hostile members --- */

/* The user_data of a sticky member, as hexadecimal digits, and what may be made of it. */
static const struct {
    const char *data;
    int32_t generation;
    size_t owned;
} sticky_datas[] = {
    {"", -1, 0},
    {"0000", -1, 0},
    {"00000000", -1, 0},         /* nothing, in the first version's form */
    {"0000000000000007", 7, 0},  /* nothing of generation 7 */
    {"ffffffff00000007", -1, 0}, /* more topics than there are bytes */
    {"7fffffff0001740000000000000007", -1, 0},
    {"00000001ffff740000000000000007", -1, 0},       /* a name that is longer than the rest */
    {"000000010000000000010000000000000007", -1, 0}, /* no name */
    {"000000010001740000000100000002ffff", -1, 1},   /* half a generation */
    {"000000010001740000000100000002fffffffe", -2, 1},
    {"0000000100017400000001000000027fffffff", INT32_MAX, 1},
    {"000000010001747fffffff0000000200000007", -1, 0}, /* more partitions than there are bytes */
    {"00000001000174ffffffff0000000200000007", -1, 0},
    {"0000000100017440000000000000020000000700000007", -1, 0}, /* times four: 0 in 32 bits */
    {"0000000100017400000002ffffffff8000000000000007", 7, 2},  /* numbers below 0 */
};

Test(assignors, user_data_of_sticky_members_is_not_believed)
{
    for (size_t i = 0; i < sizeof sticky_datas / sizeof *sticky_datas; i++) {
        struct group_case *c = case_new();
        struct wire_writer w;
        struct wire_string names[] = {wire_string_of("t")};
        uint8_t data[64];
        struct consumer_protocol_subscription in;
        struct join_group_response join;
        struct join_group_response_members member;
        consumer_protocol_subscription_init(&in);
        in.topics = names;
        in.topics_count = 1;
        in.user_data = (struct wire_bytes){data, (int32_t)unhex(sticky_datas[i].data, data)};
        wire_writer_init(&w, &c->memory, 65536);
        wire_put_be16(&w, 1);
        cr_assert_eq(consumer_protocol_subscription_encode(&in, &w, 1), 0);
        join_group_response_init(&join);
        join_group_response_members_init(&member);
        member.member_id = wire_string_of("m");
        member.metadata = (struct wire_bytes){w.data, (int32_t)w.size};
        join.members = &member;
        join.members_count = 1;
        struct roster roster;
        struct assign a;
        cr_assert_eq(roster_read(&roster, &join, STRATEGY_STICKY, &c->arena), 0);
        cr_assert_eq(roster.members->generation, sticky_datas[i].generation, "%zu: %d", i,
                     roster.members->generation);
        cr_assert_eq(roster.members->owned_count, sticky_datas[i].owned, "%zu", i);
        roster.partitions[0] = 3;
        cr_assert_eq(roster_assign(&roster, STRATEGY_STICKY, &a), 0);
        for (int32_t p = 0; p < 3; p++) {
            cr_assert_eq(a.owner[p], 0);
        }
        cr_assert_lt(c->memory.used_bytes, 65536);
        wire_writer_deinit(&w);
        case_free(c);
    }
}

/* Each partition in one of three racks, or in none. */
static void hostile_racks(struct roster *r, struct prng *prng)
{
    int32_t partitions = 0, used = 0;
    for (size_t t = 0; t < r->topic_count; t++) {
        partitions += r->partitions[t];
    }
    int32_t *first = arena_array(r->arena, (size_t)partitions + 1, sizeof *first);
    int32_t *numbers = arena_array(r->arena, (size_t)partitions + 1, sizeof *numbers);
    const char **names = arena_array(r->arena, 4, sizeof *names);
    names[0] = "r3";
    names[1] = names[3] = "r2";
    names[2] = "r1";
    roster_name_racks(r, names, 4);
    cr_assert_eq(r->racks.count, 3);
    cr_assert_eq(roster_rack(r, "r2"), 2);
    cr_assert_eq(roster_rack(r, "r"), 4);
    cr_assert_eq(roster_rack(r, NULL), 0);
    for (int32_t p = 0; p < partitions; p++) {
        first[p] = used;
        numbers[used] = 1 + (int32_t)prng_below(prng, 3);
        used += prng_chance(prng, 3, 4);
    }
    first[partitions] = used;
    r->racks.first = first;
    r->racks.numbers = numbers;
}

Test(assignors, what_members_say_is_not_believed)
{
    struct prng prng = prng_of(14);
    static const char *const topics[] = {"orders", "payments"};
    for (int round = 0; round < 3000; round++) {
        struct group_case *c = case_new();
        struct wire_writer w[3];
        struct join_group_response join;
        struct join_group_response_members members[3];
        enum strategy strategy = (enum strategy)prng_below(&prng, STRATEGY_COUNT);
        struct subscription s = {.topics = topics,
                                 .topic_count = 2,
                                 .owned = java_parts,
                                 .owned_count = 3,
                                 .previous = java_parts,
                                 .previous_count = 3,
                                 .generation = 3,
                                 .rack = "r2"};
        join_group_response_init(&join);
        for (int m = 0; m < 3; m++) {
            wire_writer_init(&w[m], &c->memory, 65536);
            cr_assert_eq(subscription_write(&s, strategy, &w[m], &c->arena), 0);
            for (uint64_t n = m == 0 ? 0 : prng_below(&prng, 6); n > 0; n--) {
                w[m].data[prng_below(&prng, w[m].size)] = (uint8_t)prng_below(&prng, 256);
            }
            join_group_response_members_init(&members[m]);
            members[m].member_id = wire_string_of(m == 0 ? "a" : m == 1 ? "b" : "c");
            members[m].metadata = (struct wire_bytes){
                w[m].data, (int32_t)(m == 2 ? prng_below(&prng, w[m].size + 1) : w[m].size)};
        }
        join.members = members;
        join.members_count = 3;
        struct roster roster;
        struct assign a;
        struct wire_writer blob;
        int error = roster_read(&roster, &join, strategy, &c->arena);
        cr_assert(error == 0 || error == ERR_TOO_LARGE, "%d", error);
        for (size_t t = 0; !error && t < roster.topic_count; t++) {
            roster.partitions[t] = (int32_t)prng_below(&prng, 5);
        }
        if (!error) {
            hostile_racks(&roster, &prng);
        }
        if (!error) {
            wire_writer_init(&blob, &c->memory, 65536);
            cr_assert_eq(roster_assign(&roster, strategy, &a), 0);
            cr_assert_eq(assignment_write(&a, 0, &blob, &c->arena), 0);
            for (uint64_t n = prng_below(&prng, 4); n > 0; n--) {
                blob.data[prng_below(&prng, blob.size)] = (uint8_t)prng_below(&prng, 256);
            }
            struct named_partition *parts;
            size_t count = 0;
            error = assignment_read((struct wire_bytes){blob.data, (int32_t)blob.size}, &parts,
                                    &count, &c->arena);
            cr_assert(error == 0 || error == ERR_MALFORMED, "%d", error);
            for (size_t i = 1; !error && i < count; i++) {
                cr_assert_lt(named_partition_compare(&parts[i - 1], &parts[i]), 0);
            }
            wire_writer_deinit(&blob);
        }
        for (int m = 0; m < 3; m++) {
            wire_writer_deinit(&w[m]);
        }
        case_free(c);
    }
}
