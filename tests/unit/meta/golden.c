/* SPDX-License-Identifier: Apache-2.0 */

/* Golden bytes of what a cluster says of its brokers and of replicas in motion; written down from
 * the message definitions. */
#include "support.h"

#include <criterion/criterion.h>

static const int32_t ids[] = {0, 1, 2, 3, 4};
static const struct uuid topic = {{0x70}};
static const struct uuid directory = {{0xd1}};
#define ID "70000000000000000000000000000000"
#define DIRECTORY "d1000000000000000000000000000000"

/* A partition that has everything. */
static int emit_whole(struct proposal *p)
{
    const struct uuid directories[] = {directory, directory, directory, directory};
    const struct image_more more = {
        {&ids[2], 1}, {&ids[3], 1}, {&ids[3], 1}, {&ids[4], 1}, {&ids[4], 1}};
    const struct image_partition seen = {
        .leader = 1,
        .leader_epoch = 5,
        .partition_epoch = 6,
        .unclean_epoch = 4,
        .recovering = true,
        .replicas = &ids[1],
        .replica_count = 4,
        .isr = &ids[1],
        .isr_count = 1,
        .directories = directories,
        .more = &more,
    };
    struct partition_record r;
    partition_record_of(&r, topic, 0, &seen);
    cr_assert_eq(partition_record_version(&r), 2);
    return proposal_emit(p, &partition_record_message, 2, &r);
}

/* The eligible leader takes over, the other two lists are emptied. */
static int emit_change(struct proposal *p)
{
    struct partition_change_record r;
    partition_change_record_init(&r);
    r.partition_id = 0;
    r.topic_id = topic;
    cr_assert_eq(partition_change_record_version(&r), 0);
    r.isr = (int32_t *)&ids[2];
    r.isr_count = 1;
    r.leader = 2;
    r.eligible_leader_replicas = (int32_t *)&ids[1];
    r.eligible_leader_replicas_count = 1;
    r.last_known_elr_count = 0;
    r.damaged_replicas_count = 0;
    r.unclean_election = true;
    r.leader_recovery_state = 0;
    cr_assert_eq(partition_change_record_version(&r), 2);
    return proposal_emit(p, &partition_change_record_message, 2, &r);
}

Test(golden, a_partition_in_motion)
{
    struct bench b;
    char hex[4096];
    struct bytes batch;
    bench_open(&b, 1);
    struct proposal *p = &b.proposal;
    const struct topic_record made = {.name = wire_string_of("abc"), .topic_id = topic};
    cr_assert_eq(proposal_begin(p, b.image, 0, 1), 0);
    cr_assert_eq(proposal_open(p), 0);
    cr_assert_eq(proposal_emit(p, &topic_record_message, 0, &made), 0);
    cr_assert_eq(emit_whole(p), 0);
    cr_assert_eq(emit_change(p), 0);
    proposal_keep(p);
    cr_assert_eq(proposal_finish(p, 7, &batch), 0);
    values_of(batch, hex);
    cr_assert_str_eq(strchr(hex, '\n') + 1,
                     "01030200000000" ID "0500000001000000020000000300000004" /* replicas */
                     "0200000001"                                             /* ISR */
                     "0200000004"                                             /* removing */
                     "0200000003"                                             /* adding */
                     "00000001"                                               /* leader */
                     "0000000500000006"                                       /* epochs */
                     "05" DIRECTORY DIRECTORY DIRECTORY DIRECTORY
                     "05" /* tags: recovering, ELR, last known, damaged, unclean epoch */
                     "000101"
                     "01050200000002"
                     "02050200000003"
                     "904e050200000004"
                     "914e0400000004\n"
                     "01050200000000" ID
                     "07" /* tags: ISR, leader, recovered, ELR, last known, damaged, unclean */
                     "00050200000002"
                     "010400000002"
                     "050100"
                     "06050200000001"
                     "070101"
                     "904e0101"
                     "914e0101\n");
    const struct image_partition *after = &image_topic_by_id(p->image, topic)->partitions[0];
    cr_assert_eq(after->leader, 2);
    cr_assert_eq(after->leader_epoch, 6);
    cr_assert_eq(after->partition_epoch, 7);
    cr_assert_eq(after->unclean_epoch, 6);
    cr_assert_eq(after->more->elr.ids[0], 1);
    cr_assert_eq(after->more->last_known_elr.count, 0);
    cr_assert_eq(after->more->damaged.count, 0);
    cr_assert_eq(after->more->adding.ids[0], 3, "what is not named stays");
    cr_assert_not(after->recovering);
    cr_assert(uuid_equal(after->directories[3], directory));
    proposal_drop(p);
    bench_close(&b);
}

static int emit_registration(struct proposal *p)
{
    struct register_broker_record_end_points end_point;
    struct register_broker_record r;
    register_broker_record_end_points_init(&end_point);
    end_point.name = wire_string_of("PLAIN");
    end_point.host = wire_string_of("h");
    end_point.port = 9092;
    register_broker_record_init(&r);
    r.broker_id = 3;
    r.incarnation_id = (struct uuid){{0xaa}};
    r.broker_epoch = 9;
    r.end_points = &end_point;
    r.end_points_count = 1;
    r.rack = wire_string_of("r");
    cr_assert_eq(register_broker_record_version(&r), 2);
    r.log_dirs = (struct uuid *)&directory;
    r.log_dirs_count = 1;
    cr_assert_eq(register_broker_record_version(&r), 3);
    return proposal_emit(p, &register_broker_record_message, 3, &r);
}

/* Registers, is let in, leaves, is fenced, is forgotten. */
static void emit_life(struct proposal *p)
{
    struct broker_registration_change_record open, leaves;
    broker_registration_change_record_init(&open);
    open.broker_id = 3;
    open.broker_epoch = 9;
    open.fenced = -1;
    leaves = open;
    leaves.fenced = 0;
    leaves.in_controlled_shutdown = 1;
    const struct fence_broker_record fence = {3, 9};
    const struct unregister_broker_record gone = {3, 9};
    cr_assert_eq(emit_registration(p), 0);
    const struct image_broker *broker = image_broker_by_id(p->candidate, 3);
    cr_assert(broker->fenced && !broker->shutting_down);
    cr_assert(uuid_equal(broker->directory, directory));
    cr_assert_eq(proposal_emit(p, &broker_registration_change_record_message, 1, &open), 0);
    cr_assert_not(image_broker_by_id(p->candidate, 3)->fenced);
    cr_assert_eq(proposal_emit(p, &broker_registration_change_record_message, 1, &leaves), 0);
    cr_assert(image_broker_by_id(p->candidate, 3)->shutting_down);
    cr_assert_not(image_broker_by_id(p->candidate, 3)->fenced);
    cr_assert_eq(proposal_emit(p, &fence_broker_record_message, 0, &fence), 0);
    cr_assert(image_broker_by_id(p->candidate, 3)->fenced);
    cr_assert_eq(proposal_emit(p, &unregister_broker_record_message, 0, &gone), 0);
    cr_assert_null(image_broker_by_id(p->candidate, 3));
}

Test(golden, a_broker_that_comes_and_goes)
{
    struct bench b;
    char hex[4096];
    struct bytes batch;
    bench_open(&b, 1);
    cr_assert_eq(proposal_begin(&b.proposal, b.image, 0, 1), 0);
    cr_assert_eq(proposal_open(&b.proposal), 0);
    emit_life(&b.proposal);
    proposal_keep(&b.proposal);
    cr_assert_eq(proposal_finish(&b.proposal, 7, &batch), 0);
    values_of(batch, hex);
    cr_assert_str_eq(hex, "01000300000003"
                          "00"
                          "aa000000000000000000000000000000"
                          "0000000000000009"
                          "02"
                          "06504c41494e02682384000000"
                          "01"
                          "0272"
                          "0100"
                          "01001102" DIRECTORY "\n"
                          "011101"
                          "000000030000000000000009"
                          "010001ff\n"
                          "011101"
                          "000000030000000000000009"
                          "01010101\n"
                          "010700"
                          "000000030000000000000009"
                          "00\n"
                          "010100"
                          "000000030000000000000009"
                          "00\n");
    proposal_drop(&b.proposal);
    bench_close(&b);
}

/* As an older leatd has written it, and with what this one adds. */
Test(golden, who_has_chosen_how_many_replicas)
{
    struct bench b;
    char hex[4096];
    struct bytes batch;
    bench_open(&b, 1);
    struct proposal *p = &b.proposal;
    struct image_topic t = {.name = "abc", .id = topic};
    struct topic_record made;
    struct partition_change_record change;
    cr_assert_eq(proposal_begin(p, b.image, 0, 1), 0);
    cr_assert_eq(proposal_open(p), 0);
    topic_record_of(&made, &t);
    cr_assert_eq(proposal_emit(p, &topic_record_message, 0, &made), 0);
    cr_assert_not(image_topic_by_id(p->candidate, topic)->factor_open);
    t = (struct image_topic){.name = "xyz", .id = {{0x71}}, .factor_open = true};
    topic_record_of(&made, &t);
    cr_assert_eq(proposal_emit(p, &topic_record_message, 0, &made), 0);
    cr_assert(image_topic_by_id(p->candidate, t.id)->factor_open);
    partition_change_record_init(&change);
    change.factor_chosen = true;
    cr_assert_eq(partition_change_record_version(&change), 2);
    change.topic_id = t.id;
    change.partition_id = 0;
    const struct image_partition_spec spec = {.leader = 1,
                                              .unclean_epoch = -1,
                                              .replicas = &ids[1],
                                              .replica_count = 1,
                                              .isr = &ids[1],
                                              .isr_count = 1};
    cr_assert_eq(image_add_partition(p->candidate, t.id, 0, &spec), 0);
    cr_assert_eq(proposal_emit(p, &partition_change_record_message, 2, &change), 0);
    cr_assert_not(image_topic_by_id(p->candidate, t.id)->factor_open);
    proposal_keep(p);
    cr_assert_eq(proposal_finish(p, 7, &batch), 0);
    values_of(batch, hex);
    cr_assert_str_eq(hex, "0102000461626370000000000000000000000000000000"
                          "00\n"
                          "0102000478797a71000000000000000000000000000000"
                          "01904e0101\n"
                          "0105020000000071000000000000000000000000000000"
                          "01924e0101\n");
    bench_close(&b);
}
