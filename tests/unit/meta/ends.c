/* SPDX-License-Identifier: Apache-2.0 */

/* Who leads when all that might have lost something, or came with other directories. */
#include "cluster_world.h"

#include <criterion/criterion.h>

static const int32_t nodes[] = {1, 2, 3};

static void w_ends(struct world *w, struct uuid id, int32_t broker, int32_t epoch, int64_t offset)
{
    const struct isr_broker *b = isr_find_broker(&w->k.rules, broker);
    const struct isr_end end = {broker, b ? b->epoch : -1, epoch, offset};
    w_begin(w);
    cr_assert_eq(w_end(w, cluster_report_end(&w->k, id, 0, end)), 0);
}

/* A topic of two replicas, both of which have come back and told that they have lost something: its id. */
static struct uuid lost_by_both(struct world *w, bool memory)
{
    int64_t epoch;
    struct cluster_heartbeat_answer answer;
    world_open(w, 3);
    if (memory) {
        w_memory_topic(w, "t", nodes, 2, "2");
    } else {
        w_topic(w, "t", 1, nodes, 2, "2");
    }
    struct uuid id = image_topic_by_name(w->b.image, bytes_of_string("t"))->id;
    for (int32_t broker = 1; broker <= 2; broker++) {
        struct meta_lost lost = {id, 0, false};
        w->now += WORLD_TIMEOUT;
        struct cluster_registration q = registration_of(w, broker, 2);
        q.lost = &lost;
        q.lost_count = 1;
        cr_assert_eq(w_register(w, &q, &epoch), 0);
        cr_assert_eq(w_heartbeat(w, broker, false, &answer), 0);
    }
    return id;
}

/* H11: all that were eligible have lost something. Of two the one with the longer log leads, and that is said. */
Test(ends, the_longest_log_of_those_that_have_lost)
{
    for (int patient = 0; patient < 2; patient++) {
        struct world w;
        struct cluster_heartbeat_answer answer;
        struct uuid id = lost_by_both(&w, patient);
        EXPECT(&w, "t", 0, "- 12///12");
        w_ends(&w, id, 1, 3, 150);
        w_ends(&w, id, 3, 9, 900); /* no replica */
        EXPECT(&w, "t", 0, "- 12///12");
        w.now += patient ? UINT64_C(30000000000) : 1;
        cr_assert_eq(w_heartbeat(&w, 1, false, &answer), 0);
        cr_assert_eq(w_heartbeat(&w, 2, false, &answer), 0);
        if (patient) {
            w_ends(&w, id, 1, 3, 150);
            EXPECT(&w, "t", 0, "1 12/1//2");
        } else {
            w_ends(&w, id, 2, 4, 100); /* of a newer epoch */
            EXPECT(&w, "t", 0, "2 12/2//1");
        }
        const struct image_partition *p = w_partition(&w, "t", 0);
        cr_assert(p->recovering && p->unclean_epoch == p->leader_epoch);
        cr_assert_eq(w.b.ends.count, 0, "what was told is of that time");
        world_close(&w);
    }
}

/* What a replica has told in an earlier life may be gone: it is waited for anew. */
Test(ends, an_end_that_was_told_in_another_life)
{
    struct world w;
    int64_t epoch;
    struct cluster_heartbeat_answer answer;
    struct uuid id = lost_by_both(&w, false);
    cr_assert_eq(w_heartbeat(&w, 1, false, &answer), 0);
    w_ends(&w, id, 1, 4, 500);
    w.now += WORLD_TIMEOUT;
    struct cluster_registration again = registration_of(&w, 1, 3);
    cr_assert_eq(w_register(&w, &again, &epoch), 0);
    cr_assert_eq(w_heartbeat(&w, 1, false, &answer), 0);
    cr_assert_eq(w_heartbeat(&w, 2, false, &answer), 0);
    w_ends(&w, id, 2, 3, 100);
    EXPECT(&w, "t", 0, "- 12///12");
    w_ends(&w, id, 1, 4, 500);
    EXPECT(&w, "t", 0, "1 12/1//2");
    world_close(&w);
}

/* Of a durable topic those that were eligible are waited for, however long; the operator need not wait, and has the
 * longest of those that are there. */
Test(ends, a_durable_topic_waits_for_who_was_eligible)
{
    struct world w;
    struct cluster_heartbeat_answer answer;
    struct uuid id = lost_by_both(&w, false);
    w_ends(&w, id, 1, 3, 150);
    w.now += UINT64_C(30000000000);
    cr_assert_eq(w_heartbeat(&w, 1, false, &answer), 0);
    w_ends(&w, id, 1, 3, 150);
    EXPECT(&w, "t", 0, "- 12///12");
    cr_assert_eq(w_elect(&w, "t", 0, true), 0);
    EXPECT(&w, "t", 0, "1 12/1//2");
    world_close(&w);
}

/* Its disk was not mounted: an empty log has nothing to say of what was acknowledged, and the other replica, which
 * has a part of it, is not elected either, but by the operator, who has the longer one. */
Test(ends, an_empty_directory_elects_nobody)
{
    for (int memory = 0; memory < 2; memory++) {
        struct world w;
        int64_t epoch;
        struct cluster_heartbeat_answer answer;
        world_open(&w, 3);
        if (memory) {
            w_memory_topic(&w, "t", nodes, 2, "1");
        } else {
            w_topic(&w, "t", 1, nodes, 2, "1");
        }
        struct uuid id = image_topic_by_name(w.b.image, bytes_of_string("t"))->id;
        cr_assert_eq(w_fence(&w, 2), 0);
        cr_assert_eq(w_fence(&w, 1), 0);
        EXPECT(&w, "t", 0, "- 12//1/");
        struct cluster_registration q = registration_of(&w, 1, 2);
        q.directory = id_of(5);
        w.now += WORLD_TIMEOUT;
        cr_assert_eq(w_register(&w, &q, &epoch), 0);
        cr_assert_eq(w_heartbeat(&w, 1, false, &answer), 0);
        EXPECT(&w, "t", 0, "- 12///");
        w_ends(&w, id, 1, -1, 0);
        EXPECT(&w, "t", 0, "- 12///");
        cr_assert_eq(w_heartbeat(&w, 2, false, &answer), 0);
        w_ends(&w, id, 1, -1, 0);
        w_ends(&w, id, 2, 0, 3);
        EXPECT(&w, "t", 0, "- 12///");
        if (memory) {
            w.now += UINT64_C(30000000000);
            cr_assert_eq(w_heartbeat(&w, 1, false, &answer), 0);
            cr_assert_eq(w_heartbeat(&w, 2, false, &answer), 0);
            w_ends(&w, id, 1, -1, 0);
        } else {
            cr_assert_eq(w_elect(&w, "t", 0, true), 0);
        }
        EXPECT(&w, "t", 0, "2 12/2//");
        world_close(&w);
    }
}

/* H14: what came back is not the disk that left. */
Test(ends, another_directory)
{
    struct world w;
    int64_t epoch;
    struct cluster_heartbeat_answer answer;
    world_open(&w, 2);
    w_topic(&w, "t", 1, nodes, 2, "2");
    cr_assert(uuid_equal(w_partition(&w, "t", 0)->directories[0], id_of(9001)));
    w.now += WORLD_TIMEOUT;
    cr_assert_eq(w_heartbeat(&w, 2, false, &answer), 0);
    struct cluster_registration q = registration_of(&w, 1, 2);
    q.directory = id_of(5);
    cr_assert_eq(w_register(&w, &q, &epoch), 0);
    EXPECT(&w, "t", 0, "2 12/2//");
    cr_assert(uuid_equal(w_partition(&w, "t", 0)->directories[0], id_of(5)));
    cr_assert(uuid_equal(image_broker_by_id(w.b.image, 1)->directory, id_of(5)));
    world_close(&w);
}
