/* SPDX-License-Identifier: Apache-2.0 */

/* What the logs of a shard know of producers together: one limit, who is refused at it and who is not, and that a
 * node which had more starts all the same. */
#include "world.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static int64_t wall_ms(struct world *w)
{
    return io_wall_ms(sim_node_shard(w->node, 0));
}

/* One record of `id`, with a timestamp of now. */
static int append(struct world *w, unsigned slot, int64_t id, int32_t sequence)
{
    struct batch_spec spec = {
        .producer = true, .producer_id = id, .sequence = sequence, .timestamp = wall_ms(w)};
    return world_append(w, slot, &spec, NULL);
}

static void append_some(struct world *w, unsigned slot, int64_t first, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        cr_assert_eq(append(w, slot, first + i, 0), 0);
    }
}

/* Whether the log knows of a record of `id` with sequence 0: then a gap is refused, else it is taken. */
static bool known(struct world *w, unsigned slot, int64_t id)
{
    int error = append(w, slot, id, 5);
    cr_assert(error == 0 || error == ERR_OUT_OF_ORDER_SEQUENCE ||
                  error == ERR_THROTTLING_QUOTA_EXCEEDED,
              "%s", error_name(error));
    return error == ERR_OUT_OF_ORDER_SEQUENCE;
}

Test(producers_shard, the_limit_is_of_all_logs_and_refuses_new_producers)
{
    struct world w;
    world_open(&w, 1);
    w.options.producers_max = 20;
    w.options.producer_expiration_ms = 10000;
    world_started(&w, 1);
    append_some(&w, 0, 100, 10);
    world_wait_ms(&w, 5000);
    append_some(&w, 1, 200, 10);
    cr_assert_eq(append(&w, 0, 300, 0), ERR_THROTTLING_QUOTA_EXCEEDED);
    cr_assert_eq(append(&w, 1, 300, 0), ERR_THROTTLING_QUOTA_EXCEEDED);
    cr_assert_eq(append(&w, 0, 100, 1), 0, "it is known");
    cr_assert_eq(append(&w, 0, 101, 5), ERR_OUT_OF_ORDER_SEQUENCE);
    world_wait_ms(&w, 6000); /* nine of the first ten have expired: room for whichever log */
    append_some(&w, 1, 300, 9);
    cr_assert_eq(append(&w, 1, 400, 0), ERR_THROTTLING_QUOTA_EXCEEDED);
    world_close(&w);
}

static void wait_until_ms(struct world *w, int64_t ms)
{
    cr_assert_gt(ms, wall_ms(w));
    world_wait_ms(w, (uint64_t)(ms - wall_ms(w)));
}

/* What has expired is looked for once a second, however many are refused meanwhile. */
Test(producers_shard, a_full_shard_does_not_walk_for_each_that_it_refuses)
{
    struct world w;
    world_open(&w, 2);
    w.options.producers_max = 10;
    w.options.producer_expiration_ms = 10000;
    world_started(&w, 1);
    int64_t begun = wall_ms(&w);
    append_some(&w, 0, 100, 10);
    cr_assert_lt(wall_ms(&w), begun + 500);
    wait_until_ms(&w, begun + 9900);
    cr_assert_eq(append(&w, 0, 300, 0), ERR_THROTTLING_QUOTA_EXCEEDED);
    wait_until_ms(&w, begun + 10600); /* all ten have expired */
    cr_assert_eq(append(&w, 0, 300, 0), ERR_THROTTLING_QUOTA_EXCEEDED, "a walk within a second");
    wait_until_ms(&w, begun + 11000);
    cr_assert_eq(append(&w, 0, 300, 0), 0);
    world_close(&w);
}

/* What its leader has taken a follower takes, too. */
Test(producers_shard, a_follower_forgets_the_oldest)
{
    struct world w;
    world_open(&w, 3);
    w.options.producers_max = 10;
    world_started(&w, 1);
    append_some(&w, 1, 500, 5);
    for (int i = 0; i < 30; i++) {
        struct batch_spec spec = {
            .producer = true, .producer_id = 100 + i, .timestamp = wall_ms(&w)};
        struct log_follow f = {.batches = world_batches(&w, &spec, 1, i, 0, 1), .leader_epoch = 1};
        cr_assert_eq(world_follow(&w, 0, &f), 0, "batch %d", i);
        free((void *)f.batches.data);
    }
    w.slots[0].epoch = 2;
    for (int i = 20; i < 30; i++) {
        cr_assert(known(&w, 0, 100 + i), "producer %d", i);
    }
    cr_assert_not(known(&w, 0, 119));
    cr_assert_not(known(&w, 1, 500));
    world_close(&w);
}

/* From the checkpoint, and by replay: the newest are known, whatever finds no room is not. */
Test(producers_shard, a_start_forgets_the_oldest)
{
    for (unsigned round = 0; round < 2; round++) {
        struct world w;
        world_open(&w, 4 + round);
        world_started(&w, 1);
        append_some(&w, 0, 100, 60);
        world_wait_ms(&w, 10);
        append_some(&w, 1, 200, 60);
        if (round == 0) {
            world_stop(&w);
        } else {
            world_kill(&w);
        }
        w.options.producers_max = 40;
        world_started(&w, 1);
        for (int i = 30; i < 60; i++) {
            cr_assert(known(&w, 1, 200 + i), "producer %d", i);
        }
        cr_assert_not(known(&w, 0, 100));
        cr_assert_not(known(&w, 1, 200));
        cr_assert_eq(world_check(&w, 0) >= 60, true);
        world_close(&w);
    }
}
