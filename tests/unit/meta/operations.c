/* SPDX-License-Identifier: Apache-2.0 */

/* Operations about partitions and brokers that are there, as they are submitted: what is answered, and what the
 * image says afterwards. What is decided is in isr.c and cluster.c. */
#include "cluster_world.h"

#include <criterion/criterion.h>

static const int32_t nodes[] = {1, 2, 3, 4};

static struct uuid topic_id(const struct world *w, const char *name)
{
    return image_topic_by_name(w->b.image, bytes_of_string(name))->id;
}

static int64_t epoch_of(const struct world *w, int32_t broker)
{
    return image_broker_by_id(w->b.image, broker)->epoch;
}

static struct meta_op op_alter(const struct world *w, int32_t sender, struct meta_alteration *list,
                               uint32_t count)
{
    return (struct meta_op){.kind = META_ALTER_PARTITIONS,
                            .broker = sender,
                            .broker_epoch = epoch_of(w, sender),
                            .alterations = list,
                            .alteration_count = count};
}

Test(operations, alterations_of_one_request)
{
    struct world w;
    char text[96];
    world_open(&w, 3);
    w_topic(&w, "t", 3, nodes, 3, "1");
    const struct isr_member two[] = {{1, epoch_of(&w, 1)}, {2, epoch_of(&w, 2)}},
                            older[] = {{1, epoch_of(&w, 1)}, {3, -1}};
    struct meta_alteration list[] = {
        {.topic_id = topic_id(&w, "t"), .partition = 0, .members = two, .member_count = 2},
        {.topic_id = topic_id(&w, "t"), .partition = 1, .members = older, .member_count = 2},
        {.topic_id = topic_id(&w, "t"), .partition = 7, .members = two, .member_count = 2},
        {.topic_id = id_of(5), .partition = 0, .members = two, .member_count = 2},
        {.topic_id = topic_id(&w, "t"), .partition = 2, .leader_epoch = 1},
    };
    static const int errors[] = {0, ERR_INELIGIBLE_REPLICA, ERR_UNKNOWN_TOPIC_OR_PARTITION,
                                 ERR_UNKNOWN_TOPIC_ID, ERR_NOT_CONTROLLER};
    static const int32_t leaders[] = {1, 1, -1, -1, 1}, epochs[] = {1, 0, -1, -1, 0},
                         counts[] = {2, 3, 0, 0, 3};
    struct meta_op op = op_alter(&w, 1, list, array_size(list));
    uint32_t batches = w.b.batches;
    cr_assert_eq(w_run(&w, &op), 0);
    cr_assert_eq(w.b.batches, batches + 1, "one batch for all");
    for (size_t i = 0; i < array_size(list); i++) {
        cr_expect_eq(list[i].error, errors[i], "%zu: %s", i, error_name(list[i].error));
        cr_expect_eq(list[i].leader_now, leaders[i], "%zu: leader %d", i, list[i].leader_now);
        cr_expect_eq(list[i].partition_epoch_now, epochs[i], "%zu: partition epoch %d", i,
                     list[i].partition_epoch_now);
        cr_expect_eq(list[i].isr_now_count, counts[i], "%zu", i);
        cr_expect_eq(list[i].epoch_now, leaders[i] < 0 ? -1 : 0, "%zu", i);
    }
    cr_assert_str_eq(w_text(&w, "t", 0, text), "1 123/12//");
    cr_assert_str_eq(w_text(&w, "t", 1, text), "1 123/123//");
    world_close(&w);
}

/* What changes nothing moves the partition epoch too, so that a copy on its way is void. */
Test(operations, an_alteration_that_changes_nothing)
{
    struct world w;
    world_open(&w, 2);
    w_topic(&w, "t", 1, nodes, 2, "1");
    const struct isr_member both[] = {{1, epoch_of(&w, 1)}, {2, epoch_of(&w, 2)}};
    struct meta_alteration a = {.topic_id = topic_id(&w, "t"), .members = both, .member_count = 2};
    struct meta_op op = op_alter(&w, 1, &a, 1);
    cr_assert_eq(w_run(&w, &op), 0);
    cr_assert(a.error == 0 && a.partition_epoch_now == 1 && a.epoch_now == 0);
    cr_assert_eq(w_partition(&w, "t", 0)->partition_epoch, 1, "it stands in the image");
    uint32_t batches = w.b.batches;
    cr_assert_eq(w_run(&w, &op), 0);
    cr_assert_eq(a.error, ERR_INVALID_UPDATE_VERSION);
    cr_assert(a.partition_epoch_now == 1 && a.leader_now == 1 && a.isr_now_count == 2);
    cr_assert_eq(w.b.batches, batches, "a refusal is no record");
    world_close(&w);
}

/* The leader was to go, and who it takes in leads from then on. */
Test(operations, an_alteration_that_elects_another)
{
    struct world w;
    struct cluster_heartbeat_answer answer;
    world_open(&w, 3);
    w_topic(&w, "t", 1, nodes, 2, "1");
    cr_assert_eq(w_alter(&w, "t", 0, nodes, 1), 0);
    cr_assert_eq(w_heartbeat(&w, 1, true, &answer), 0);
    cr_assert_eq(w_partition(&w, "t", 0)->leader, 1, "nobody else is in sync");
    const struct isr_member both[] = {{1, epoch_of(&w, 1)}, {2, epoch_of(&w, 2)}};
    struct meta_alteration a = {.topic_id = topic_id(&w, "t"),
                                .partition_epoch = w_partition(&w, "t", 0)->partition_epoch,
                                .members = both,
                                .member_count = 2};
    struct meta_op op = op_alter(&w, 1, &a, 1);
    cr_assert_eq(w_run(&w, &op), 0);
    cr_assert_eq(a.error, ERR_NEW_LEADER_ELECTED);
    cr_assert(a.leader_now == 2 && a.epoch_now == 1 && a.isr_now_count == 1);
    cr_assert_eq(w_partition(&w, "t", 0)->leader, 2);
    world_close(&w);
}

Test(operations, alterations_of_a_broker_that_is_another_now)
{
    struct world w;
    world_open(&w, 2);
    w_topic(&w, "t", 1, nodes, 2, "1");
    struct meta_alteration a = {.topic_id = topic_id(&w, "t"), .error = 77};
    struct meta_op op = op_alter(&w, 1, &a, 1);
    op.broker_epoch--;
    cr_assert_eq(w_run(&w, &op), ERR_STALE_BROKER_EPOCH);
    cr_assert(strstr(op.why, "registered anew"), "%s", op.why);
    op.broker = 9;
    cr_assert_eq(w_run(&w, &op), ERR_BROKER_ID_NOT_REGISTERED);
    cr_assert_eq(a.error, 77, "none was looked at");
    world_close(&w);
}
