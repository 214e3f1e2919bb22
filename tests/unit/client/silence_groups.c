/* SPDX-License-Identifier: Apache-2.0 */

/* Members of a group whose coordinator, or the leader of what they read, is frozen. */
#include "group_world.h"

#include <criterion/criterion.h>

enum { SEEDS = 5 };

/* Timeouts are long: nothing is noticed by them. */
static struct world *patient_world(uint64_t seed)
{
    struct world *w = world_new(seed, 1, 6);
    fake_broker_coordinate(w->broker);
    w->consumer.session_timeout_ms = 60000;
    w->consumer.max_poll_interval_ms = 60000;
    return w;
}

static struct world_member *patient_member(struct world *w)
{
    struct world_member *m = world_join(w, NULL, NULL, 0);
    m->options.request_timeout_ms = 60000;
    m->options.timeout_ms = 60000;
    return m;
}

/* The coordinator freezes; after a second the cluster goes on without it. */
static void coordinator_freezes(struct world *w)
{
    int32_t old = w->broker->coordinator;
    w->broker->frozen = 1u << old;
    world_run(w, 1000 * MS);
    w->broker->down = old;
    coord_move(w->broker, 1 + old % NODES);
}

Test(silence_groups, members_go_on_at_another_coordinator)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct world *w = patient_world(seed);
        for (int i = 0; i < 3; i++) {
            (void)patient_member(w);
        }
        cr_assert(world_settle(w, 10000 * MS));
        world_run(w, 3000 * MS);
        w->late_ns = 0;
        coordinator_freezes(w);
        uint64_t beats = w->broker->group_counts.beats, commits = w->broker->group_counts.commits;
        world_run(w, 3000 * MS);
        cr_assert_gt(w->broker->group_counts.beats, beats + 3, "seed %llu: who are they with?",
                     (unsigned long long)seed);
        cr_assert_gt(w->broker->group_counts.commits, commits, "seed %llu: nothing is committed",
                     (unsigned long long)seed);
        cr_assert_lt(w->late_ns, 3000 * MS, "seed %llu: a record waited for %llu ms",
                     (unsigned long long)seed, (unsigned long long)(w->late_ns / MS));
        world_check(w, true);
        world_free(w);
    }
}

/* Whoever has just begun to join has no heartbeat that could find out. */
Test(silence_groups, who_joins_is_not_left_waiting)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct world *w = patient_world(seed);
        struct world_member *m = patient_member(w);
        w->broker->initial_delay_ms = 3000;
        for (int i = 0; i < 300 && m->group.state != GROUP_JOINING; i++) {
            world_run(w, 10 * MS);
        }
        world_run(w, 200 * MS);
        cr_assert_eq(m->group.state, GROUP_JOINING);
        coordinator_freezes(w);
        w->broker->initial_delay_ms = 20;
        cr_assert(world_settle(w, 4000 * MS), "seed %llu", (unsigned long long)seed);
        world_check(w, true);
        world_free(w);
    }
}

/* The leader of a partition freezes, which nobody commits or joins at. */
Test(silence_groups, a_reader_goes_on_at_the_new_leader)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct world *w = patient_world(seed);
        (void)patient_member(w);
        cr_assert(world_settle(w, 10000 * MS));
        world_run(w, 3000 * MS);
        w->late_ns = 0;
        w->broker->frozen = 1 << 3;
        world_run(w, 1000 * MS);
        w->broker->deposed = 1 << 3;
        world_run(w, 5000 * MS);
        cr_assert_gt(w->late_ns, 1000 * MS);
        cr_assert_lt(w->late_ns, 3500 * MS, "seed %llu: a record waited for %llu ms",
                     (unsigned long long)seed, (unsigned long long)(w->late_ns / MS));
        world_check(w, true);
        world_free(w);
    }
}

/* Whoever is asked for the coordinator has not heard that another one will be it: the one that is
 * named is no broker any more. */
Test(silence_groups, a_coordinator_that_is_no_broker_is_looked_up_again)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct world *w = patient_world(seed);
        for (int i = 0; i < 3; i++) {
            (void)patient_member(w);
        }
        cr_assert(world_settle(w, 10000 * MS));
        world_run(w, 3000 * MS);
        int32_t old = w->broker->coordinator;
        w->broker->frozen = 1u << old;
        w->broker->down = old;
        world_run(w, 6000 * MS);
        uint64_t finds = w->broker->group_counts.finds;
        world_run(w, 1000 * MS);
        cr_assert_lt(w->broker->group_counts.finds - finds, 3 * 20, "without a pause: %llu",
                     (unsigned long long)(w->broker->group_counts.finds - finds));
        coord_move(w->broker, 1 + old % NODES);
        uint64_t beats = w->broker->group_counts.beats;
        world_run(w, 3000 * MS);
        cr_assert_gt(w->broker->group_counts.beats, beats + 3, "seed %llu: who are they with?",
                     (unsigned long long)seed);
        world_check(w, true);
        world_free(w);
    }
}
