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
    cr_assert(a.leader_now == 2 && a.epoch_now == 1 && a.isr_now_count == 2);
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

/* --- elections -------------------------------------------------------------------------------- */

Test(operations, elections_of_one_request)
{
    struct world w;
    struct cluster_heartbeat_answer answer;
    char text[96];
    world_open(&w, 3);
    w_topic(&w, "t", 3, nodes, 2, "1");
    w_topic(&w, "u", 1, &nodes[2], 1, "1");
    cr_assert_eq(w_fence(&w, 1), 0);
    cr_assert_eq(w_heartbeat(&w, 1, false, &answer), 0);
    const int32_t both[] = {2, 1};
    cr_assert_eq(w_alter(&w, "t", 1, both, 2), 0);
    struct meta_election list[] = {
        {"t", 0, 1}, {"t", 1, 1}, {"u", 0, 1}, {"t", 3, 1}, {"none", 0, 1}};
    static const int errors[] = {ERR_PREFERRED_LEADER_NOT_AVAILABLE, 0, ERR_ELECTION_NOT_NEEDED,
                                 ERR_UNKNOWN_TOPIC_OR_PARTITION, ERR_UNKNOWN_TOPIC_OR_PARTITION};
    struct meta_op op = {
        .kind = META_ELECT_LEADERS, .elections = list, .election_count = array_size(list)};
    uint32_t batches = w.b.batches;
    cr_assert_eq(w_run(&w, &op), 0);
    cr_assert_eq(w.b.batches, batches + 1);
    for (size_t i = 0; i < array_size(list); i++) {
        cr_expect_eq(list[i].error, errors[i], "%zu: %s", i, error_name(list[i].error));
    }
    cr_assert_str_eq(w_text(&w, "t", 0, text), "2 12/2//");
    cr_assert_str_eq(w_text(&w, "t", 1, text), "1 12/21//");
    op.election_count = META_ELECTIONS_MAX + 1;
    cr_assert_eq(w_run(&w, &op), ERR_INVALID_REQUEST);
    world_close(&w);
}

Test(operations, an_unclean_election_is_counted)
{
    struct world w;
    struct cluster_heartbeat_answer answer;
    world_open(&w, 2);
    w_topic(&w, "t", 1, nodes, 2, "1");
    cr_assert_eq(w_fence(&w, 1), 0);
    cr_assert_eq(w_fence(&w, 2), 0);
    cr_assert_eq(w_heartbeat(&w, 1, false, &answer), 0);
    struct meta_election one = {"t", 0, 1};
    struct meta_op op = {.kind = META_ELECT_LEADERS, .elections = &one, .election_count = 1};
    cr_assert_eq(w_run(&w, &op), 0);
    cr_assert_eq(one.error, ERR_PREFERRED_LEADER_NOT_AVAILABLE);
    cr_assert_eq(op.unclean_count, 0);
    op.unclean = true;
    cr_assert_eq(w_run(&w, &op), 0);
    cr_assert_eq(one.error, 0);
    cr_assert_eq(op.unclean_count, 1);
    const struct image_partition *p = w_partition(&w, "t", 0);
    cr_assert(p->leader == 1 && p->unclean_epoch == p->leader_epoch);
    world_close(&w);
}

/* --- reassignments ---------------------------------------------------------------------------- */

static const int32_t to_34[] = {3, 4}, to_3[] = {3}, to_9[] = {9}, to_44[] = {4, 4};

Test(operations, reassignments_of_one_request)
{
    struct world w;
    char text[96];
    world_open(&w, 4);
    w_topic(&w, "t", 6, nodes, 2, "1");
    struct meta_reassignment list[] = {{"t", 0, to_34, 2, 1, ""}, {"t", 1, to_9, 1, 1, ""},
                                       {"t", 2, NULL, 0, 1, ""},  {"t", 3, to_44, 2, 1, ""},
                                       {"t", 9, to_34, 2, 1, ""}, {"t", 4, to_3, 1, 1, ""},
                                       {"t", 5, to_34, 0, 1, ""}, {"t", 0, NULL, 0, 1, ""}};
    static const int errors[] = {0,
                                 ERR_INVALID_REPLICA_ASSIGNMENT,
                                 ERR_NO_REASSIGNMENT_IN_PROGRESS,
                                 ERR_INVALID_REPLICA_ASSIGNMENT,
                                 ERR_UNKNOWN_TOPIC_OR_PARTITION,
                                 0,
                                 ERR_INVALID_REPLICA_ASSIGNMENT,
                                 0};
    static const char *const whys[] = {"",        "broker 9", "in progress", "more than once",
                                       "no such", "",         "0 replicas",  ""};
    struct meta_op op = {.kind = META_REASSIGN_PARTITIONS,
                         .reassignments = list,
                         .reassignment_count = array_size(list)};
    cr_assert_eq(w_run(&w, &op), 0);
    for (size_t i = 0; i < array_size(list); i++) {
        cr_expect_eq(list[i].error, errors[i], "%zu: %s", i, error_name(list[i].error));
        cr_expect(strstr(list[i].why, whys[i]), "%zu: says \"%s\"", i, list[i].why);
        cr_expect(whys[i][0] || !list[i].why[0], "%zu: says \"%s\"", i, list[i].why);
    }
    cr_assert_str_eq(w_text(&w, "t", 0, text), "1 12/12//", "called off by the last");
    cr_assert_str_eq(w_text(&w, "t", 4, text), "1 312/12// +3 -12");
    op.keep_factor = true;
    op.reassignments = &list[5];
    op.reassignment_count = 1;
    cr_assert_eq(w_run(&w, &op), 0);
    cr_assert_eq(list[5].error, ERR_INVALID_REPLICATION_FACTOR);
    op.reassignment_count = META_REASSIGNMENTS_MAX + 1;
    cr_assert_eq(w_run(&w, &op), ERR_INVALID_REQUEST);
    world_close(&w);
}

/* While copies are not made, nothing can move. */
Test(operations, a_release_that_keeps_one_replica_moves_none)
{
    struct world w;
    world_open(&w, 3);
    w_topic(&w, "t", 1, nodes, 1, "1");
    w.b.limits.replication_factor_max = 1;
    static const int32_t same[] = {1}, more[] = {1, 2};
    struct meta_reassignment list[] = {
        {"t", 0, same, 1, 1, ""}, {"t", 0, to_3, 1, 1, ""}, {"t", 0, more, 2, 1, ""}};
    struct meta_op op = {.kind = META_REASSIGN_PARTITIONS,
                         .reassignments = list,
                         .reassignment_count = array_size(list)};
    uint32_t batches = w.b.batches;
    cr_assert_eq(w_run(&w, &op), 0);
    cr_assert_eq(list[0].error, 0);
    cr_assert_eq(list[1].error, ERR_INVALID_REPLICATION_FACTOR);
    cr_assert(strstr(list[1].why, "at most 1 replica"), "%s", list[1].why);
    cr_assert_eq(list[2].error, ERR_INVALID_REPLICATION_FACTOR);
    cr_assert_eq(w.b.batches, batches, "nothing has changed");
    world_close(&w);
}

/* --- reports ---------------------------------------------------------------------------------- */

Test(operations, reports_of_a_broker)
{
    struct world w;
    char text[96];
    world_open(&w, 3);
    w_topic(&w, "t", 3, nodes, 2, "1");
    struct meta_replica_report list[] = {
        {topic_id(&w, "t"), 0, META_REPLICA_DAMAGED, 1},
        {topic_id(&w, "t"), 1, META_REPLICA_SHORT, 1},
        {topic_id(&w, "t"), 7, META_REPLICA_SHORT, 1},
        {id_of(3), 0, META_REPLICA_SHORT, 1},
        {topic_id(&w, "t"), 2, META_REPLICA_REPAIRED, 1},
    };
    static const int errors[] = {0, 0, ERR_UNKNOWN_TOPIC_OR_PARTITION, ERR_UNKNOWN_TOPIC_ID, 0};
    struct meta_op op = {.kind = META_REPORT_REPLICAS,
                         .broker = 1,
                         .broker_epoch = epoch_of(&w, 1),
                         .reports = list,
                         .report_count = array_size(list)};
    cr_assert_eq(w_run(&w, &op), 0);
    for (size_t i = 0; i < array_size(list); i++) {
        cr_expect_eq(list[i].error, errors[i], "%zu: %s", i, error_name(list[i].error));
    }
    cr_assert_str_eq(w_text(&w, "t", 0, text), "2 12/2// !1");
    cr_assert_str_eq(w_text(&w, "t", 1, text), "2 12/2//");
    cr_assert_str_eq(w_text(&w, "t", 2, text), "1 12/12//");
    list[0].report = META_REPLICA_REPAIRED;
    op.broker_epoch--;
    cr_assert_eq(w_run(&w, &op), ERR_STALE_BROKER_EPOCH);
    op.broker_epoch++;
    op.report_count = 1;
    cr_assert_eq(w_run(&w, &op), 0);
    cr_assert_str_eq(w_text(&w, "t", 0, text), "2 12/2//", "not in sync by that");
    world_close(&w);
}

/* --- brokers and features --------------------------------------------------------------------- */

Test(operations, a_registration_that_tells_what_is_lost)
{
    struct world w;
    char text[96];
    struct cluster_heartbeat_answer answer;
    world_open(&w, 2);
    w_topic(&w, "t", 3, nodes, 2, "2");
    w.now += WORLD_TIMEOUT;
    cr_assert_eq(w_heartbeat(&w, 2, false, &answer), 0);
    const struct meta_lost lost[] = {
        {topic_id(&w, "t"), 2, false}, {id_of(1), 0, true}, {topic_id(&w, "t"), 0, true}};
    const struct cluster_registration q = registration_of(&w, 1, 2);
    const struct meta_registration registration = {.cluster_id = q.cluster_id,
                                                   .incarnation = q.incarnation,
                                                   .directory = q.directory,
                                                   .endpoints = q.endpoints,
                                                   .endpoint_count = q.endpoint_count,
                                                   .metadata_version_min = q.metadata_version_min,
                                                   .metadata_version_max = q.metadata_version_max,
                                                   .lost = lost,
                                                   .lost_count = 3};
    struct meta_op op = {.kind = META_REGISTER_BROKER, .broker = 1, .registration = &registration};
    cr_assert_eq(w_run(&w, &op), 0, "%s", op.why);
    cr_assert_str_eq(w_text(&w, "t", 0, text), "2 12/2//1 !1");
    cr_assert_str_eq(w_text(&w, "t", 1, text), "2 12/2/1/");
    cr_assert_str_eq(w_text(&w, "t", 2, text), "2 12/2//1");
    world_close(&w);
}

Test(operations, a_broker_is_forgotten)
{
    struct world w;
    char text[96];
    world_open(&w, 2);
    w_topic(&w, "t", 1, nodes, 2, "1");
    struct meta_op op = {.kind = META_UNREGISTER_BROKER, .broker = 1};
    cr_assert_eq(w_run(&w, &op), 0);
    cr_assert_null(image_broker_by_id(w.b.image, 1));
    cr_assert_str_eq(w_text(&w, "t", 0, text), "2 12/2//");
    cr_assert_eq(w_run(&w, &op), ERR_BROKER_ID_NOT_REGISTERED);
    cr_assert(strstr(op.why, "Broker 1 is not registered"), "%s", op.why);
    world_close(&w);
}

Test(operations, features)
{
    static const struct {
        const char *name, *feature;
        int16_t level;
        int change;
        int error;
        const char *why;
    } cases[] = {
        {"what there is", "metadata.version", METADATA_VERSION, META_FEATURE_UPGRADE, 0, ""},
        {"it as a downgrade", "metadata.version", METADATA_VERSION, META_FEATURE_SAFE_DOWNGRADE, 0,
         ""},
        {"newer", "metadata.version", METADATA_VERSION + 1, META_FEATURE_UPGRADE,
         ERR_INVALID_UPDATE_VERSION, "supports version 14 alone"},
        {"older", "metadata.version", METADATA_VERSION - 1, META_FEATURE_UNSAFE_DOWNGRADE,
         ERR_INVALID_UPDATE_VERSION, "supports version 14 alone"},
        {"deleted", "metadata.version", 0, META_FEATURE_UNSAFE_DOWNGRADE,
         ERR_INVALID_UPDATE_VERSION, "version 0"},
        {"another", "kraft.version", 1, META_FEATURE_UPGRADE, ERR_INVALID_UPDATE_VERSION,
         "no broker supports"},
        {"no such change", "metadata.version", METADATA_VERSION, 0, ERR_INVALID_REQUEST,
         "upgrade type"},
        {"nor that", "metadata.version", METADATA_VERSION, 4, ERR_INVALID_REQUEST, "upgrade type"},
    };
    struct world w;
    world_open(&w, 1);
    for (size_t i = 0; i < array_size(cases); i++) {
        struct meta_op op = {.kind = META_UPDATE_FEATURE,
                             .feature = cases[i].feature,
                             .feature_level = cases[i].level,
                             .feature_change = (enum meta_feature_change)cases[i].change};
        int error = w_run(&w, &op);
        cr_expect_eq(error, cases[i].error, "%s: %s", cases[i].name, error_name(error));
        cr_expect(strstr(op.why, cases[i].why), "%s: says \"%s\"", cases[i].name, op.why);
    }
    world_close(&w);
}
