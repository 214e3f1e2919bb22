/* SPDX-License-Identifier: Apache-2.0 */

/* What is due by time, and what becomes of partitions then. */
#include "cluster_world.h"

#include "meta/upkeep.h"

#include <criterion/criterion.h>

static const uint64_t second_ns = UINT64_C(1000000000);
static const int32_t nodes[] = {1, 2, 3};

/* What is done within `until_s`, one letter for each second in which something is. */
static void story(struct upkeep *u, uint32_t active, uint64_t from_s, uint64_t until_s,
                  uint32_t changed, char *out)
{
    for (uint64_t s = from_s; s < until_s; s++) {
        enum upkeep_work work = upkeep_next(u, active, s * second_ns);
        if (work != UPKEEP_NOTHING) {
            out += sprintf(out, "%c%u ", work == UPKEEP_GROW ? 'g' : 'b', (unsigned)s);
            upkeep_done(u, work == UPKEEP_GROW && changed > 0, s * second_ns);
        }
    }
    *out = 0;
}

Test(upkeep, what_is_due)
{
    struct upkeep u = {0};
    char text[200];
    upkeep_begin(&u, 20 * second_ns, 0);
    story(&u, 2, 0, 50, 0, text);
    cr_assert_str_eq(text, "g0 b20 b40 ");
    story(&u, 3, 50, 55, 0, text);
    cr_assert_str_eq(text, "g50 ", "a broker has come");
    story(&u, 2, 55, 61, 0, text);
    cr_assert_str_eq(text, "b60 ", "one has gone");
    story(&u, 3, 61, 90, 4, text);
    cr_assert_str_eq(text, "g61 g71 b80 g81 ", "something moves: it is looked again");
    story(&u, 3, 90, 400, 0, text);
    cr_assert_eq(strstr(text, "g91 "), text);
    cr_assert(strstr(text, " g151 "), "%s", text);
    upkeep_begin(&u, 0, 400 * second_ns);
    story(&u, 3, 400, 500, 0, text);
    cr_assert_str_eq(text, "g400 g460 ", "without balance");
}

Test(upkeep, one_at_a_time)
{
    struct upkeep u = {0};
    upkeep_begin(&u, 20 * second_ns, 0);
    cr_assert_eq(upkeep_next(&u, 1, 0), UPKEEP_GROW);
    cr_assert_eq(upkeep_next(&u, 1, 30 * second_ns), UPKEEP_NOTHING);
    cr_assert_eq(upkeep_next(&u, 2, 31 * second_ns), UPKEEP_NOTHING, "a broker comes meanwhile");
    upkeep_begin(&u, 20 * second_ns, 32 * second_ns);
    cr_assert_eq(upkeep_next(&u, 2, 33 * second_ns), UPKEEP_NOTHING,
                 "of an older epoch, but on its way");
    upkeep_done(&u, true, 34 * second_ns);
    cr_assert_eq(upkeep_next(&u, 2, 34 * second_ns), UPKEEP_GROW, "what has come is not forgotten");
    upkeep_done(&u, true, 35 * second_ns);
    cr_assert_eq(upkeep_next(&u, 2, 44 * second_ns), UPKEEP_NOTHING);
    cr_assert_eq(upkeep_next(&u, 2, 45 * second_ns), UPKEEP_GROW, "it has failed");
}

Test(upkeep, leadership_goes_back)
{
    struct world w;
    struct cluster_heartbeat_answer answer;
    char text[96];
    world_open(&w, 2);
    w_topic(&w, "t", 2, nodes, 2, "1");
    cr_assert_eq(w_fence(&w, 1), 0);
    cr_assert_eq(w_heartbeat(&w, 1, false, &answer), 0);
    struct meta_op op = {.kind = META_BALANCE};
    cr_assert_eq(w_run(&w, &op), 0);
    cr_assert_eq(op.changed_count, 0, "it is not in sync");
    const int32_t both[] = {2, 1};
    cr_assert_eq(w_alter(&w, "t", 1, both, 2), 0);
    cr_assert_eq(w_run(&w, &op), 0);
    cr_assert_eq(op.changed_count, 1);
    cr_assert_str_eq(w_text(&w, "t", 0, text), "2 12/2//");
    cr_assert_str_eq(w_text(&w, "t", 1, text), "1 12/21//");
    world_close(&w);
}

/* In several batches, and all that they have changed is told. */
Test(upkeep, leadership_of_many_goes_back)
{
    enum { MANY = 2 * CLUSTER_BALANCE_MAX + 1 };
    static const int32_t both[] = {2, 1};
    struct world w;
    struct cluster_heartbeat_answer answer;
    world_open(&w, 2);
    w_topic(&w, "t", MANY, nodes, 2, "1");
    cr_assert_eq(w_fence(&w, 1), 0);
    cr_assert_eq(w_heartbeat(&w, 1, false, &answer), 0);
    for (int32_t i = 0; i < MANY; i++) {
        cr_assert_eq(w_alter(&w, "t", i, both, 2), 0);
    }
    struct meta_op op = {.kind = META_BALANCE};
    uint32_t batches = w.b.batches;
    cr_assert_eq(w_run(&w, &op), 0);
    cr_assert_eq(w.b.batches, batches + 3);
    cr_assert_eq(op.changed_count, MANY);
    cr_assert_eq(w_partition(&w, "t", MANY - 1)->leader, 1);
    world_close(&w);
}

Test(upkeep, own_topics_grow_as_far_as_copies_are_made)
{
    for (int16_t most = 0; most <= 4; most++) {
        struct world w;
        char text[96];
        static const char *const after[] = {"1 123/1// +23", "1 1/1//", "1 12/1// +2",
                                            "1 123/1// +23", "1 123/1// +23"};
        world_open(&w, 3);
        w_topic(&w, "__consumer_offsets", 1, nodes, 1, "1");
        w_topic(&w, "other", 1, nodes, 1, "1");
        w.b.limits.replication_factor_max = most;
        struct meta_op op = {.kind = META_GROW};
        cr_assert_eq(w_run(&w, &op), 0);
        cr_expect_eq(op.changed_count, most != 1);
        cr_expect_str_eq(w_text(&w, "__consumer_offsets", 0, text), after[most], "most %d: %s",
                         most, text);
        cr_expect_str_eq(w_text(&w, "other", 0, text), "1 1/1//");
        world_close(&w);
    }
}
