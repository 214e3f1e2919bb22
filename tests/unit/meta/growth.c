/* SPDX-License-Identifier: Apache-2.0 */

/* Topics of which nobody has chosen how many replicas they have: which these are, and how they grow. */
#include "cluster_world.h"

#include <criterion/criterion.h>

static const int32_t nodes[] = {1, 2, 3, 4};

static void come(struct world *w, int32_t id, const char *rack)
{
    struct cluster_heartbeat_answer answer;
    struct cluster_registration q = registration_of(w, id, 1);
    int64_t epoch;
    q.rack = rack;
    cr_assert_eq(w_register(w, &q, &epoch), 0);
    cr_assert_eq(w_heartbeat(w, id, false, &answer), 0);
}

/* One broker, of which nobody has said how many replicas topics have. */
static void open_alone(struct world *w)
{
    world_open(w, 1);
    w->b.limits.default_replication_factor = -1;
}

static void create(struct world *w, const char *name, int32_t partitions, int16_t factor)
{
    struct meta_op op = op_create(name, partitions);
    op.replication_factor = factor;
    cr_assert_eq(w_run(w, &op), 0, "%s", op.why);
}

static bool is_open(const struct world *w, const char *name)
{
    return image_topic_by_name(w->b.image, bytes_of_string(name))->factor_open;
}

static struct meta_op grow(struct world *w, bool own_only)
{
    struct meta_op op = {.kind = META_GROW, .own_only = own_only};
    cr_assert_eq(w_run(w, &op), 0, "%s", op.why);
    return op;
}

/* All that is being added is in sync. Each step has an image of its own. */
static void arrive(struct world *w, const char *name)
{
    int32_t count = image_topic_by_name(w->b.image, bytes_of_string(name))->partition_count;
    for (int32_t i = 0; i < count; i++) {
        const struct image_partition *p = w_partition(w, name, i);
        int32_t members[4], member_count = p->replica_count;
        memcpy(members, p->replicas, (size_t)member_count * sizeof members[0]);
        if (p->more->adding.count > 0) {
            cr_assert_eq(w_alter(w, name, i, members, member_count), 0);
        }
    }
}

Test(growth, from_one_to_three)
{
    struct world w;
    char text[96];
    open_alone(&w);
    create(&w, "mine", 1, -1);
    cr_assert_eq(grow(&w, false).changed_count, 0, "there is nobody to grow to");
    come(&w, 2, NULL);
    cr_assert_eq(grow(&w, true).changed_count, 0, "the broker's own alone");
    cr_assert_eq(grow(&w, false).changed_count, 1);
    cr_expect_str_eq(w_text(&w, "mine", 0, text), "1 12/1// +2");
    come(&w, 3, NULL);
    cr_assert_eq(grow(&w, false).changed_count, 0, "one move at a time");
    arrive(&w, "mine");
    cr_assert_eq(grow(&w, false).changed_count, 1);
    arrive(&w, "mine");
    cr_expect_str_eq(w_text(&w, "mine", 0, text), "1 123/123//");
    come(&w, 4, NULL);
    struct meta_op last = grow(&w, false);
    cr_assert_eq(last.changed_count, 0, "three are enough");
    cr_assert_not(last.later);
    cr_assert(is_open(&w, "mine"));
    world_close(&w);
}

/* Who says a number, or where replicas are, has chosen. */
Test(growth, what_is_chosen_stays)
{
    struct world w;
    open_alone(&w);
    create(&w, "asked", 1, 1);
    w_topic(&w, "placed", 1, nodes, 1, NULL);
    w.b.limits.default_replication_factor = 1;
    create(&w, "configured", 1, -1);
    w.b.limits.default_replication_factor = -1;
    create(&w, "open", 1, -1);
    come(&w, 2, NULL);
    w.b.limits.default_replication_factor = 1;
    cr_expect_eq(grow(&w, false).changed_count, 0, "who decides has been told a number");
    w.b.limits.default_replication_factor = -1;
    cr_expect_eq(grow(&w, false).changed_count, 1);
    static const char *const chosen[] = {"asked", "placed", "configured"};
    for (size_t i = 0; i < array_size(chosen); i++) {
        cr_expect_not(is_open(&w, chosen[i]));
        cr_expect_eq(w_partition(&w, chosen[i], 0)->replica_count, 1, "%s", chosen[i]);
    }
    cr_expect(is_open(&w, "open"));
    world_close(&w);
}

/* A reassignment that keeps the number says nothing of it; one of one partition to another number speaks for the
 * topic. The broker's own topics too. */
Test(growth, a_reassignment_chooses)
{
    struct world w;
    open_alone(&w);
    create(&w, "mine", 2, -1);
    w_topic(&w, "__consumer_offsets", 2, nodes, 1, NULL);
    come(&w, 2, NULL);
    come(&w, 3, NULL);
    cr_assert_eq(w_reassign(&w, "mine", 0, &nodes[1], 1), 0);
    cr_expect(is_open(&w, "mine"), "to another broker");
    cr_assert_eq(w_reassign(&w, "mine", 0, NULL, 0), 0);
    cr_expect(is_open(&w, "mine"), "and not");
    cr_assert_eq(grow(&w, false).changed_count, 4);
    struct meta_reassignment keeps = {
        .topic = "mine", .partition = 0, .replicas = &nodes[2], .replica_count = 1};
    struct meta_op op = {.kind = META_REASSIGN_PARTITIONS,
                         .reassignments = &keeps,
                         .reassignment_count = 1,
                         .keep_factor = true};
    cr_assert_eq(w_run(&w, &op), 0);
    cr_assert_eq(keeps.error, 0, "%s", keeps.why);
    cr_expect(is_open(&w, "mine"), "it says that the number stays");
    cr_assert_eq(w_reassign(&w, "mine", 1, nodes, 2), 0);
    cr_expect_not(is_open(&w, "mine"));
    cr_expect(is_open(&w, "__consumer_offsets"));
    cr_assert_eq(w_reassign(&w, "__consumer_offsets", 0, nodes, 2), 0);
    cr_expect_not(is_open(&w, "__consumer_offsets"));
    cr_expect_eq(grow(&w, false).changed_count, 0);
    world_close(&w);
}

Test(growth, who_calls_it_off_has_chosen)
{
    struct world w;
    char text[96];
    open_alone(&w);
    create(&w, "mine", 1, -1);
    create(&w, "other", 1, -1);
    come(&w, 2, NULL);
    come(&w, 3, NULL);
    cr_assert_eq(grow(&w, false).changed_count, 2);
    cr_assert_eq(w_reassign(&w, "mine", 0, NULL, 0), 0);
    cr_expect_str_eq(w_text(&w, "mine", 0, text), "1 1/1//");
    cr_expect_not(is_open(&w, "mine"));
    const int32_t elsewhere[] = {2, 3, 1};
    cr_assert_eq(w_reassign(&w, "other", 0, elsewhere, 3), 0);
    cr_expect(is_open(&w, "other"), "as many as it was to have");
    cr_expect_eq(grow(&w, false).changed_count, 0);
    world_close(&w);
}

Test(growth, partitions_by_hand_choose)
{
    static const int32_t *const places[] = {nodes};
    static const int32_t counts[] = {1};
    struct world w;
    open_alone(&w);
    create(&w, "mine", 1, -1);
    struct meta_op op = {.kind = META_CREATE_PARTITIONS, .topic = "mine", .partitions = 2};
    cr_assert_eq(w_run(&w, &op), 0, "%s", op.why);
    cr_expect(is_open(&w, "mine"));
    op.partitions = 3;
    op.assignments = places;
    op.assignment_counts = counts;
    op.assignment_count = 1;
    cr_assert_eq(w_run(&w, &op), 0, "%s", op.why);
    cr_expect_not(is_open(&w, "mine"));
    world_close(&w);
}

/* A few at a time, the broker's own first, and a broker that is away does not stop the others. */
Test(growth, is_paced)
{
    struct world w;
    open_alone(&w);
    create(&w, "Before", 70, -1);
    w_topic(&w, "__consumer_offsets", 20, nodes, 1, NULL);
    come(&w, 2, NULL);
    struct meta_op op = grow(&w, false);
    cr_expect_eq(op.changed_count, 50);
    cr_expect(op.later);
    cr_expect_eq(w_partition(&w, "__consumer_offsets", 19)->replica_count, 2);
    cr_expect_eq(w_partition(&w, "Before", 29)->replica_count, 2);
    cr_expect_eq(w_partition(&w, "Before", 30)->replica_count, 1);
    op = grow(&w, false);
    cr_expect_eq(op.changed_count, 0);
    cr_expect(op.later, "it waits");
    arrive(&w, "__consumer_offsets");
    cr_expect_eq(grow(&w, false).changed_count, 20);
    come(&w, 3, NULL);
    cr_assert_eq(w_fence(&w, 2), 0);
    op = grow(&w, false);
    cr_expect_eq(op.changed_count, 20, "what moves to 2 stands");
    cr_expect_eq(w_partition(&w, "Before", 69)->replicas[1], 3);
    cr_expect_not(op.later);
    world_close(&w);
}

/* Many small topics too are spread over those that have come, over racks first. */
Test(growth, is_spread)
{
    struct world w;
    uint32_t holds[6] = {0};
    open_alone(&w);
    for (int i = 0; i < 12; i++) {
        char name[8];
        snprintf(name, sizeof name, "t%d", i);
        create(&w, name, 1, -1);
    }
    for (int32_t id = 2; id <= 5; id++) {
        come(&w, id, id == 2 ? "a" : "b"); /* 1 has none */
    }
    cr_assert_eq(grow(&w, false).changed_count, 12);
    for (int i = 0; i < 12; i++) {
        char name[8];
        snprintf(name, sizeof name, "t%d", i);
        const struct image_partition *p = w_partition(&w, name, 0);
        cr_assert_eq(p->replica_count, 3);
        for (int32_t k = 0; k < 3; k++) {
            holds[p->replicas[k]]++;
        }
    }
    cr_expect_eq(holds[2], 12, "the only one of its rack");
    for (int id = 3; id <= 5; id++) {
        cr_expect_eq(holds[id], 4, "%d: %u", id, holds[id]);
    }
    world_close(&w);
}

/* Nothing can be copied of what nobody leads, and it takes no place. */
Test(growth, not_without_a_leader)
{
    struct world w;
    open_alone(&w);
    create(&w, "mine", 1, -1);
    come(&w, 2, NULL);
    come(&w, 3, NULL);
    cr_assert_eq(w_fence(&w, 1), 0);
    struct meta_op op = grow(&w, false);
    cr_expect_eq(op.changed_count, 0);
    cr_expect_not(op.later);
    world_close(&w);
}
