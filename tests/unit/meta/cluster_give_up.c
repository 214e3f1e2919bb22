/* SPDX-License-Identifier: Apache-2.0 */

/* Brokers that have found damage when they started (C5). */
#include "cluster_world.h"

#include <criterion/criterion.h>

static const int32_t nodes[] = {1, 2, 3};

#define EXPECT(w, topic, partition, text)                                                          \
    do {                                                                                           \
        char said[96];                                                                             \
        cr_expect_str_eq(w_text(w, topic, partition, said), text, "%s", said);                     \
    } while (0)

static int give_up(struct world *w, int32_t id, uint64_t asked)
{
    const struct image_broker *b = image_broker_by_id(w->b.image, id);
    const struct cluster_giving_up q = {.broker = id,
                                        .directory = b ? b->directory : id_of(1),
                                        .since_ns = w->now > asked ? w->now - asked : 0};
    w_begin(w);
    return w_end(w, cluster_give_up(&w->k, &q));
}

/* Broker 1 has found damage; 2 and 3 are asked for it, and may have gone down with it. */
Test(cluster_give_up, what_others_have_is_given_up)
{
    struct world w;
    struct cluster_heartbeat_answer answer;
    world_open(&w, 3);
    w_topic(&w, "t", 2, nodes, 3, "2");
    w_topic(&w, "u", 1, nodes + 1, 2, "1");
    w.now += 100;
    cr_assert_eq(give_up(&w, 1, 0), ERR_DUPLICATE_BROKER_REGISTRATION, "its session goes on");
    cr_assert_eq(give_up(&w, 9, 0), ERR_BROKER_ID_NOT_REGISTERED);
    cr_assert_eq(w_fence(&w, 1), 0);
    EXPECT(&w, "t", 0, "2 123/23//");
    cr_assert_eq(give_up(&w, 1, 50), ERR_ELIGIBLE_LEADERS_NOT_AVAILABLE, "nobody was heard");
    cr_assert_str_eq(w.k.why, "of 2 partitions no other replica is in sync and heard, t-0 is one");
    cr_assert_eq(w_heartbeat(&w, 3, false, &answer), 0);
    cr_assert_eq(give_up(&w, 1, 50), ERR_ELIGIBLE_LEADERS_NOT_AVAILABLE,
                 "what was heard may have been under way");
    w.now += 10;
    cr_assert_eq(w_heartbeat(&w, 3, false, &answer), 0);
    cr_assert_eq(give_up(&w, 1, 5), ERR_ELIGIBLE_LEADERS_NOT_AVAILABLE, "before it asked");
    uint32_t batches = w.b.batches;
    cr_assert_eq(give_up(&w, 1, 60), 0);
    cr_assert_eq(w.b.batches, batches + 1,
                 "what is answered is committed, also where nothing changes");
    world_close(&w);
}

/* An eligible replica goes as well, and where it is the last one, nothing is given up, of any partition. */
Test(cluster_give_up, what_nobody_else_has_stays)
{
    struct world w;
    struct cluster_heartbeat_answer answer;
    world_open(&w, 3);
    w_topic(&w, "t", 1, nodes, 3, "3");
    w_topic(&w, "u", 1, nodes, 1, NULL);
    cr_assert_eq(w_fence(&w, 1), 0);
    EXPECT(&w, "t", 0, "2 123/23/1/");
    EXPECT(&w, "u", 0, "- 1//1/");
    w.now += 100;
    for (int beats = 0; beats < 2; beats++) {
        w.now++;
        cr_assert_eq(w_heartbeat(&w, 2, false, &answer), 0);
        cr_assert_eq(w_heartbeat(&w, 3, false, &answer), 0);
    }
    cr_assert_eq(give_up(&w, 1, 90), ERR_ELIGIBLE_LEADERS_NOT_AVAILABLE);
    cr_assert_not_null(strstr(w.k.why, "u-0"), "%s", w.k.why);
    EXPECT(&w, "t", 0, "2 123/23/1/");
    struct meta_op gone = {.kind = META_DELETE_TOPIC, .topic = "u"};
    cr_assert_eq(bench_run(&w.b, &gone), 0);
    cr_assert_eq(give_up(&w, 1, 90), 0);
    EXPECT(&w, "t", 0, "2 123/23//1");
    world_close(&w);
}

/* A heartbeat that is decided in several batches, or again because it did not fit, is one. */
Test(cluster_give_up, a_heartbeat_is_heard_once)
{
    struct world w;
    world_open(&w, 2);
    w_topic(&w, "t", 1, nodes, 2, "1");
    cr_assert_eq(w_fence(&w, 1), 0);
    w.now += 100;
    const struct image_broker *b = image_broker_by_id(w.b.image, 2);
    const struct cluster_heartbeat beat = {
        .broker = 2, .epoch = b->epoch, .arrived_ns = w.now, .offset = image_offset(w.b.image)};
    struct cluster_heartbeat_answer answer;
    for (int again = 0; again < 3; again++) {
        w.now += 10;
        w_begin(&w);
        cr_assert_eq(w_end(&w, cluster_heartbeat(&w.k, &beat, &answer)), 0);
    }
    cr_assert_eq(give_up(&w, 1, 100), ERR_ELIGIBLE_LEADERS_NOT_AVAILABLE);
    cr_assert_eq(w_heartbeat(&w, 2, false, &answer), 0);
    cr_assert_eq(give_up(&w, 1, 100), 0);
    world_close(&w);
}

/* Time goes by between the batches, and with it no heartbeat becomes older than the question. */
Test(cluster_give_up, of_very_many_partitions)
{
    struct world w;
    struct cluster_heartbeat_answer answer;
    char name[16];
    world_open(&w, 2);
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "t%d", i);
        w_topic(&w, name, 7000, nodes, 2, "2");
    }
    do {
        cr_assert_eq(w_fence(&w, 1), 0);
    } while (w.k.more);
    EXPECT(&w, "t2", 6999, "2 12/2/1/");
    w.now += 100;
    struct meta_op op = {.kind = META_GIVE_UP_REPLICAS,
                         .broker = 1,
                         .directory_id = image_broker_by_id(w.b.image, 1)->directory,
                         .asked_ns = 50};
    for (int beats = 0; beats < 2; beats++) {
        w.now++;
        cr_assert_eq(w_heartbeat(&w, 2, false, &answer), 0);
    }
    op.priv.arrived_ns = w.now + 40;
    uint32_t rounds = 0;
    do {
        w.now += 40;
        cr_assert_eq(w_decide(&w, &op), 0, "batch %u: %s", rounds, op.why);
        rounds++;
    } while (op.more);
    cr_assert_gt(rounds, 1);
    EXPECT(&w, "t2", 6999, "2 12/2//1");
    world_close(&w);
}
