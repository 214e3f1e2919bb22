/* SPDX-License-Identifier: Apache-2.0 */

/* Brokers that register, are heard, fall silent and come back, and what becomes of what they lead. */
#include "support.h"

#include <criterion/criterion.h>

static const struct image_endpoint endpoint = {"plain", "host", 9092};

static int64_t register_broker(struct bench *b, int32_t broker, uint64_t life, uint64_t home,
                               bool in_session, int expected)
{
    struct meta_registration in = {.incarnation = id_of(life),
                                   .directory = id_of(home),
                                   .endpoints = &endpoint,
                                   .endpoint_count = 1};
    struct meta_op op = {.kind = META_REGISTER_BROKER,
                         .broker = broker,
                         .registration = &in,
                         .in_session = in_session};
    int error = bench_run(b, &op);
    cr_assert_eq(error, expected, "%s: %s", error_text(error), op.why);
    return op.broker_epoch;
}

static struct meta_heartbeat heartbeat(struct bench *b, int32_t broker, int64_t epoch,
                                       struct meta_heartbeat in, int expected)
{
    struct meta_op op = {
        .kind = META_HEARTBEAT, .broker = broker, .broker_epoch = epoch, .heartbeat = &in};
    int error = bench_run(b, &op);
    cr_assert_eq(error, expected, "%s: %s", error_text(error), op.why);
    return in;
}

static int64_t join(struct bench *b, int32_t broker, uint64_t life, uint64_t home)
{
    int64_t epoch = register_broker(b, broker, life, home, false, 0);
    cr_assert(image_broker_by_id(b->image, broker)->fenced);
    heartbeat(b, broker, epoch, (struct meta_heartbeat){.offset = epoch}, 0);
    cr_assert(!image_broker_by_id(b->image, broker)->fenced);
    return epoch;
}

static void fence(struct bench *b, int32_t broker, int64_t epoch)
{
    struct meta_op op = {.kind = META_FENCE_BROKER, .broker = broker, .broker_epoch = epoch};
    cr_assert_eq(bench_run(b, &op), 0, "%s", op.why);
}

static struct image_partition part(struct bench *b, const char *topic, int32_t number)
{
    const struct image_topic *t = image_topic_by_name(b->image, bytes_of_string(topic));
    return t->partitions[number];
}

static void create(struct bench *b, const char *topic, int32_t partitions, int16_t factor)
{
    struct meta_op op = op_create(topic, partitions);
    op.replication_factor = factor;
    cr_assert_eq(bench_run(b, &op), 0, "%s", op.why);
}

Test(brokers, a_new_one_is_fenced_until_it_has_caught_up)
{
    struct bench b;
    bench_open(&b, 0);
    b.next_offset = 7;
    int64_t epoch = register_broker(&b, 1, 1, 1, false, 0);
    cr_assert_eq(epoch, 7);
    struct meta_heartbeat h =
        heartbeat(&b, 1, epoch, (struct meta_heartbeat){.offset = epoch - 1}, 0);
    cr_assert(!h.is_caught_up && h.is_fenced);
    h = heartbeat(&b, 1, epoch, (struct meta_heartbeat){.offset = epoch}, 0);
    cr_assert(h.is_caught_up && !h.is_fenced);
    cr_assert(!image_broker_by_id(b.image, 1)->fenced);
    uint32_t batches = b.batches;
    heartbeat(&b, 1, epoch, (struct meta_heartbeat){.offset = epoch}, 0);
    cr_assert_eq(b.batches, batches, "nothing to write");
    heartbeat(&b, 1, epoch - 1, (struct meta_heartbeat){0}, ERR_STALE_BROKER_EPOCH);
    heartbeat(&b, 2, epoch, (struct meta_heartbeat){0}, ERR_BROKER_ID_NOT_REGISTERED);
    bench_close(&b);
}

Test(brokers, a_fenced_one_leads_nothing_and_leads_again_when_it_is_back)
{
    struct bench b;
    bench_open(&b, 0);
    int64_t one = join(&b, 1, 1, 1), two = join(&b, 2, 2, 2);
    create(&b, "t", 2, 1);
    create(&b, "twice", 1, 2);
    for (int32_t i = 0; i < 2; i++) {
        cr_assert_eq(part(&b, "t", i).leader, part(&b, "t", i).replicas[0]);
    }
    int32_t mine = part(&b, "t", 0).leader == 1 ? 0 : 1;
    int32_t epoch = part(&b, "t", mine).leader_epoch;
    fence(&b, 1, one);
    cr_assert_eq(part(&b, "t", mine).leader, -1);
    cr_assert_eq(part(&b, "t", mine).isr_count, 0);
    cr_assert_eq(part(&b, "t", mine).more->elr.ids[0], 1);
    cr_assert_gt(part(&b, "t", mine).leader_epoch, epoch);
    cr_assert_eq(part(&b, "t", 1 - mine).leader, 2);
    cr_assert_eq(part(&b, "twice", 0).leader, 2);
    fence(&b, 1, one); /* again: nothing */
    heartbeat(&b, 1, one, (struct meta_heartbeat){.offset = one}, 0);
    cr_assert_eq(part(&b, "t", mine).leader, 1);
    cr_assert_gt(part(&b, "t", mine).leader_epoch, epoch + 1);
    cr_assert_eq(part(&b, "twice", 0).leader, 2, "it is not in sync by that");
    (void)two;
    bench_close(&b);
}

Test(brokers, a_leader_epoch_dies_with_its_process)
{
    struct bench b;
    bench_open(&b, 0);
    join(&b, 1, 1, 1);
    create(&b, "t", 1, 1);
    int32_t epoch = part(&b, "t", 0).leader_epoch;
    int64_t again = register_broker(&b, 1, 10, 1, true, 0);
    cr_assert_eq(part(&b, "t", 0).leader, -1);
    heartbeat(&b, 1, again, (struct meta_heartbeat){.offset = again}, 0);
    cr_assert_eq(part(&b, "t", 0).leader, 1);
    cr_assert_gt(part(&b, "t", 0).leader_epoch, epoch);
    bench_close(&b);
}

Test(brokers, an_id_belongs_to_one_process_at_a_time)
{
    struct bench b;
    bench_open(&b, 0);
    int64_t one = join(&b, 1, 1, 1);
    register_broker(&b, 1, 2, 9, true, ERR_DUPLICATE_BROKER_REGISTRATION);
    register_broker(&b, 1, 1, 1, true, 0);                 /* the answer was lost: asked again */
    int64_t later = register_broker(&b, 1, 2, 1, true, 0); /* the same locked directory */
    cr_assert_gt(later, one);
    later = join(&b, 1, 2, 1);
    fence(&b, 1, later);
    register_broker(&b, 1, 3, 9, true, 0); /* the one before is fenced */
    register_broker(&b, -1, 3, 9, false, ERR_INVALID_REGISTRATION);
    bench_close(&b);
}

Test(brokers, another_disk_is_not_what_was_in_sync)
{
    struct bench b;
    bench_open(&b, 0);
    int64_t one = join(&b, 1, 1, 1);
    create(&b, "t", 1, 1);
    fence(&b, 1, one);
    int64_t later = join(&b, 1, 2, 99);
    cr_assert_eq(part(&b, "t", 0).leader, -1, "what it held is lost (H14)");
    cr_assert_eq(part(&b, "t", 0).more->elr.count, 0);
    (void)later;
    bench_close(&b);
}

Test(brokers, who_wants_to_stop_hands_over_first)
{
    struct bench b;
    bench_open(&b, 0);
    int64_t one = join(&b, 1, 1, 1);
    join(&b, 2, 2, 2);
    create(&b, "twice", 4, 2);
    struct meta_heartbeat stop = {.offset = one, .wants_shut_down = true};
    struct meta_heartbeat h = heartbeat(&b, 1, one, stop, 0);
    cr_assert(!h.should_shut_down);
    for (int32_t i = 0; i < 4; i++) {
        cr_assert_eq(part(&b, "twice", i).leader, 2);
    }
    h = heartbeat(&b, 1, one, stop, 0);
    cr_assert(h.should_shut_down);
    bench_close(&b);
}
