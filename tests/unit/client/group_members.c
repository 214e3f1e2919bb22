/* SPDX-License-Identifier: Apache-2.0 */

/* Members of groups in virtual time: they come, go, freeze and die, connections break, coordinators
 * move; what must never happen is counted in group_world.c. */
#include "consumer/group/group_private.h"
#include "group_world.h"

#include <stdio.h>
#include <stdlib.h>

#include <criterion/criterion.h>

/* SEEDS=n explores more of them. */
static uint64_t seeds(uint64_t usual)
{
    const char *wanted = getenv("SEEDS");
    return wanted ? strtoull(wanted, NULL, 10) : usual;
}

static struct world_member *any_member(struct world *w, struct prng *prng)
{
    struct world_member *found = NULL;
    uint64_t seen = 0;
    for (int i = 0; i < w->member_count; i++) {
        struct world_member *m = w->members[i];
        if (!m->gone && m->running && !m->leaving && prng_below(prng, ++seen) == 0) {
            found = m;
        }
    }
    return found;
}

static void strategy(struct world *w, const char *name)
{
    snprintf(w->consumer.strategies, sizeof w->consumer.strategies, "%s", name);
}

Test(group_members, one_member_reads_everything_and_commits_it)
{
    struct world *w = world_new(1, 2, 4);
    struct world_member *m = world_join(w, NULL, NULL, 0);
    cr_assert(world_settle(w, 5000 * MS));
    cr_assert_eq(world_held(m), 8);
    world_run(w, 5000 * MS);
    world_check(w, true);
    world_leave(w, m);
    world_run(w, 1000 * MS);
    cr_assert(m->gone);
    cr_assert_eq(coord_members(coord_find(w->broker, "group")), 0);
    for (int t = 0; t < 2; t++) {
        for (int p = 0; p < 4; p++) {
            cr_assert_eq(coord_offset(coord_find(w->broker, "group"), w->topics[t], p)->offset,
                         fake_broker_end(w->broker, w->topics[t], p));
        }
    }
    world_free(w);
}

/* Clean hand-overs: each record is handed out once, whatever the strategy. */
static void come_and_go(uint64_t seed, const char *strategies)
{
    struct world *w = world_new(seed, 2, 7);
    struct prng prng = sim_random(w->sim, 1);
    strategy(w, strategies);
    for (int round = 0; round < 12; round++) {
        struct world_member *leaving = round > 3 ? any_member(w, &prng) : NULL;
        if (leaving && prng_chance(&prng, 1, 2)) {
            world_leave(w, leaving);
        } else {
            world_join(w, NULL, NULL, 0)->tick_ns = (20 + prng_below(&prng, 300)) * MS;
        }
        world_run(w, prng_below(&prng, 4000) * MS);
    }
    if (!any_member(w, &prng)) {
        world_join(w, NULL, NULL, 0);
    }
    world_check(w, true);
    world_free(w);
}

Test(group_members, clean_hand_overs_hand_out_each_record_once, .timeout = 120)
{
    static const char *const strategies[] = {"range", "roundrobin", "sticky", "cooperative-sticky",
                                             "cooperative-sticky,range"};
    for (uint64_t seed = 1; seed <= seeds(20); seed++) {
        come_and_go(seed, strategies[seed % 5]);
    }
}

/* Everything at once. */
static const char *const racks[NODES] = {"east", "west", "north"};

static void racks_turn(struct world *w, int by)
{
    for (int i = 0; i < NODES; i++) {
        w->broker->racks[i] = racks[(i + by) % NODES];
    }
}

static void member_rack(struct world_member *m, int number)
{
    const char *rack = number < NODES ? racks[number] : "";
    snprintf(m->options.rack, sizeof m->options.rack, "%s", rack);
    m->options.metadata_max_age_ms = 2000;
}

/* Every other one with racks, which brokers change. */
static void storm(uint64_t seed)
{
    struct world *w = world_new(seed, 3, 5);
    struct prng prng = sim_random(w->sim, 2);
    strategy(w, prng_chance(&prng, 2, 3) ? "cooperative-sticky" : "sticky,range");
    sim_faults(w->sim)->link = (struct sim_latency){MS / 5, MS, 50 * MS, 20};
    w->broker->faults.drop_group = 20;
    w->broker->faults.drop_fetch = 10;
    for (int round = 0; round < 30; round++) {
        if (seed % 2 && round % 6 == 0) {
            racks_turn(w, round / 6);
        }
        struct world_member *m = any_member(w, &prng);
        uint64_t what = prng_below(&prng, 10);
        if (!m || (what < 3 && w->member_count < 20)) {
            char name[16];
            snprintf(name, sizeof name, "static-%d", w->member_count);
            m = world_join(w, prng_chance(&prng, 1, 4) ? name : NULL, NULL, 0);
            m->tick_ns = (10 + prng_below(&prng, 500)) * MS;
            if (seed % 2) {
                member_rack(m, m->index % (NODES + 1));
            }
        } else if (what < 4) {
            world_leave(w, m);
        } else if (what < 5) {
            world_kill(w, m);
        } else if (what < 7) {
            world_freeze(w, m, prng_below(&prng, 15000) * MS);
        } else if (what < 8) {
            coord_move(w->broker, 1 + (int32_t)prng_below(&prng, NODES));
            w->broker->loading_until_ns = sim_now(w->sim) + prng_below(&prng, 2000) * MS;
        } else {
            sim_link_reset(w->sim, 0, 1 + (unsigned)m->index);
        }
        world_run(w, prng_below(&prng, 3000) * MS);
    }
    w->broker->faults.drop_group = w->broker->faults.drop_fetch = 0;
    if (!any_member(w, &prng)) {
        world_join(w, NULL, NULL, 0);
    }
    world_run(w, 20000 * MS);
    world_check(w, false);
    world_free(w);
}

Test(group_members, a_storm_loses_nothing_and_shares_nothing, .timeout = 300)
{
    for (uint64_t seed = 1; seed <= seeds(40); seed++) {
        storm(seed);
    }
}

/* Partitions that stay where they are are read all the while, though the others take seconds to let
 * go of what moves. */
Test(group_members, a_rolling_restart_never_stops_what_stays, .timeout = 120)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct world *w = world_new(seed, 2, 10);
        for (int i = 0; i < 5; i++) {
            world_join(w, NULL, NULL, 0);
        }
        cr_assert(world_settle(w, 10000 * MS));
        world_run(w, 2000 * MS);
        w->late_ns = 0;
        for (int i = 0; i < 5; i++) {
            world_leave(w, w->members[i]);
            world_run(w, 1000 * MS);
            world_join(w, NULL, NULL, 0);
            cr_assert(world_settle(w, 10000 * MS), "seed %d, restart %d", (int)seed, i);
            world_run(w, 1000 * MS);
        }
        cr_assert_lt(w->late_ns, 400 * MS, "a record waited %llu ms",
                     (unsigned long long)(w->late_ns / MS));
        world_check(w, true);
        world_free(w);
    }
}

Test(group_members, static_members_restart_without_a_rebalance)
{
    for (int eager = 0; eager < 2; eager++) {
        struct world *w = world_new(3, 2, 6);
        char name[16];
        strategy(w, eager ? "range" : "cooperative-sticky");
        for (int i = 0; i < 3; i++) {
            snprintf(name, sizeof name, "instance-%d", i);
            world_join(w, name, NULL, 0);
        }
        cr_assert(world_settle(w, 10000 * MS));
        world_run(w, 1500 * MS);
        int32_t generation = coord_find(w->broker, "group")->generation;
        w->late_ns = 0;
        for (int i = 0; i < 3; i++) {
            world_leave(w, w->members[i]);
            world_run(w, 1000 * MS);
            snprintf(name, sizeof name, "instance-%d", i);
            world_join(w, name, NULL, 0);
            cr_assert(world_settle(w, 5000 * MS), "restart %d", i);
        }
        cr_assert_eq(coord_find(w->broker, "group")->generation, generation);
        cr_assert_lt(w->late_ns, 400 * MS);
        world_check(w, true);
        world_free(w);
    }
}

Test(group_members, a_second_holder_fences_the_first)
{
    struct world *w = world_new(4, 1, 2);
    struct world_member *first = world_join(w, "same", NULL, 0);
    cr_assert(world_settle(w, 5000 * MS));
    struct world_member *second = world_join(w, "same", NULL, 0);
    world_run(w, 5000 * MS);
    cr_assert_eq(first->failure.code, LEAT_ERR_FENCED_INSTANCE);
    cr_assert(first->failure.fatal);
    cr_assert_eq(world_held(first), 0);
    cr_assert_eq(world_held(second), 2);
    world_free(w);
}

Test(group_members, who_does_not_poll_leaves_and_comes_back)
{
    struct world *w = world_new(5, 1, 4);
    struct world_member *slow = world_join(w, NULL, NULL, 0);
    struct world_member *other = world_join(w, NULL, NULL, 0);
    cr_assert(world_settle(w, 5000 * MS));
    cr_assert_eq(world_held(slow), 2);
    slow->tick_ns = 30000 * MS;
    world_run(w, 15000 * MS);
    cr_assert_eq(world_held(slow), 0);
    cr_assert_eq(world_held(other), 4);
    slow->tick_ns = 50 * MS;
    world_run(w, 20000 * MS);
    cr_assert_eq(slow->failure.code, LEAT_ERR_UNKNOWN_MEMBER);
    cr_assert(strstr(slow->failure.message, "max.poll.interval.ms"), "%s", slow->failure.message);
    cr_assert_gt(slow->lost, 0);
    cr_assert_eq(world_held(slow), 2);
    world_check(w, false);
    world_free(w);
}

Test(group_members, new_partitions_and_new_topics_are_found)
{
    static const char *const pattern[] = {"^(orders|pay.*)$"};
    struct world *w = world_new(6, 1, 3);
    struct world_member *m = world_join(w, NULL, pattern, 1);
    m->options.metadata_max_age_ms = 2000;
    cr_assert(world_settle(w, 5000 * MS));
    w->partitions = 5;
    fake_broker_grow(w->broker, 5);
    world_run(w, 6000 * MS);
    cr_assert_eq(world_held(m), 5);
    w->topics[1] = "payments";
    w->topic_count = 2;
    fake_broker_topic(w->broker, "payments");
    world_run(w, 6000 * MS);
    cr_assert_eq(world_held(m), 10);
    world_check(w, true);
    world_leave(w, m);
    world_run(w, 2000 * MS);
    cr_assert(m->gone);
    world_free(w);
}

Test(group_members, records_are_read_from_the_nearest_replica)
{
    struct world *w = world_new(9, 1, 6);
    w->broker->nearest = 2;
    struct world_member *m = world_join(w, NULL, NULL, 0);
    snprintf(m->options.rack, sizeof m->options.rack, "there");
    m->options.metadata_max_age_ms = 3000;
    cr_assert(world_settle(w, 5000 * MS));
    world_run(w, 2000 * MS);
    /* Four of six partitions have their leader elsewhere, and it is asked again now and then. */
    uint64_t sent_away = w->broker->sent_away, fetched = w->broker->fetched_near;
    cr_assert_eq(sent_away, 4);
    cr_assert_gt(fetched, 10);
    world_run(w, 10000 * MS);
    cr_assert_geq(w->broker->sent_away, sent_away + 8);
    cr_assert_gt(w->broker->fetched_near, fetched + 20);
    /* That it lags is no reason to start over at the earliest record: the leader is asked. */
    w->broker->nearest_lags = true;
    world_run(w, 5000 * MS);
    cr_assert_eq(w->broker->nearest, 0, "it was not asked any more");
    world_check(w, true);
    world_free(w);
}

/* Whether each member holds all that is in its rack: partition p is at node p % NODES. */
static bool held_by_rack(const struct world *w)
{
    bool right = true;
    for (int i = 0; i < w->member_count; i++) {
        const struct world_member *m = w->members[i];
        for (int t = 0; t < w->topic_count; t++) {
            for (int p = 0; p < w->partitions; p++) {
                right &= (m->since_ns[t][p] != 0) ==
                         (strcmp(m->options.rack, w->broker->racks[p % NODES]) == 0);
            }
        }
    }
    return right;
}

Test(group_members, members_get_what_is_in_their_racks, .timeout = 60)
{
    static const char *const strategies[] = {"range", "sticky", "cooperative-sticky"};
    for (unsigned s = 0; s < 3; s++) {
        struct world *w = world_new(31 + s, 2, 2 * NODES);
        strategy(w, strategies[s]);
        racks_turn(w, 0);
        for (int i = 0; i < NODES; i++) {
            struct world_member *m = world_join(w, NULL, NULL, 0);
            member_rack(m, (i + (int)s) % NODES);
            world_run(w, 100 * MS);
        }
        cr_assert(world_settle(w, 10000 * MS));
        world_run(w, 200 * MS); /* until everybody has polled */
        cr_assert(held_by_rack(w), "%s", strategies[s]);
        /* A broker that goes and comes again is no reason to move anything. */
        int32_t generation = coord_find(w->broker, "group")->generation;
        w->broker->down = w->broker->coordinator == 1 ? 2 : 1;
        world_run(w, 5000 * MS);
        w->broker->down = 0;
        w->broker->leader_epoch += 2; /* what it led it leads anew */
        world_run(w, 5000 * MS);
        cr_assert_eq(coord_find(w->broker, "group")->generation, generation);
        /* Brokers that have changed places are. */
        racks_turn(w, 1);
        world_run(w, 8000 * MS);
        cr_assert(world_settle(w, 10000 * MS));
        cr_assert(held_by_rack(w), "%s, after the racks had changed", strategies[s]);
        cr_assert_gt(coord_find(w->broker, "group")->generation, generation);
        world_check(w, strcmp(strategies[s], "cooperative-sticky") == 0);
        world_free(w);
    }
}

/* What a coordinator says over and over is not asked for over and over. */
Test(group_members, a_coordinator_that_repeats_itself_is_given_pauses)
{
    static const int16_t codes[] = {79, 27}; /* MEMBER_ID_REQUIRED, REBALANCE_IN_PROGRESS */
    for (unsigned i = 0; i < 2; i++) {
        struct world *w = world_new(41 + i, 1, 4);
        w->broker->join_refusal = codes[i];
        struct world_member *m = world_join(w, NULL, NULL, 0);
        world_run(w, 5000 * MS);
        uint64_t joins = w->broker->group_counts.join_requests;
        cr_assert(joins > 3 && joins < 60, "%llu in 5 s", (unsigned long long)joins);
        w->broker->join_refusal = 0;
        cr_assert(world_settle(w, 5000 * MS));
        world_run(w, 1000 * MS);
        w->broker->commits_unheeded = true;
        world_run(w, 5000 * MS);
        uint64_t before = w->broker->group_counts.commit_requests;
        world_run(w, 5000 * MS);
        uint64_t commits = w->broker->group_counts.commit_requests - before;
        cr_assert(commits > 3 && commits < 60, "%llu in 5 s", (unsigned long long)commits);
        w->broker->commits_unheeded = false;
        world_run(w, 3000 * MS);
        cr_assert_eq(world_held(m), 4);
        world_check(w, true);
        world_free(w);
    }
}

static void wish_replace(struct world *w, struct world_member *m, const char *topic)
{
    struct subscription_wish *wish = NULL;
    leat_error e;
    if (topic) {
        cr_assert_eq(wish_new(&m->group, &topic, 1, &wish, &e), 0, "%s", e.message);
    }
    group_wish(&m->group, wish, false);
    group_soon(&m->group);
}

static bool holds_topic(const struct world_member *m, const char *topic)
{
    bool found = false;
    list_each (node, &m->fetcher.assigned) {
        found |= strcmp(container_of(node, struct consumer_partition, link)->topic, topic) == 0;
    }
    return found;
}

/* Runs until `m` waits for an assignment. */
static void await_sync(struct world *w, const struct world_member *m)
{
    for (int i = 0; i < 100000 && m->group.state != GROUP_SYNCING; i++) {
        world_run(w, MS / 100);
    }
    cr_assert_eq(m->group.state, GROUP_SYNCING);
}

Test(group_members, nothing_is_read_of_a_topic_that_was_unsubscribed_meanwhile)
{
    for (int round = 0; round < 2; round++) {
        struct world *w = world_new(43, 2, 4);
        strategy(w, round ? "sticky" : "cooperative-sticky");
        struct world_member *m = world_join(w, NULL, NULL, 0);
        await_sync(w, m);
        wish_replace(w, m, "payments");
        while (!world_held(m)) {
            world_run(w, MS / 100);
            cr_assert(!holds_topic(m, "orders"));
        }
        for (int i = 0; i < 2000; i++) {
            world_run(w, MS);
            cr_assert(!holds_topic(m, "orders"));
        }
        cr_assert_eq(world_held(m), 4);
        world_free(w);
    }
}

Test(group_members, what_sticky_members_held_is_told_with_its_generation)
{
    struct world *w = world_new(44, 2, 4);
    strategy(w, "sticky");
    struct world_member *m = world_join(w, NULL, NULL, 0);
    cr_assert(world_settle(w, 5000 * MS));
    int32_t first = m->group.generation;
    cr_assert_eq(m->group.previous_generation, first);
    cr_assert_eq(m->group.previous_count, 8);
    /* Unsubscribed between JoinGroup and its assignment: what comes is of that generation. */
    world_join(w, NULL, NULL, 0);
    await_sync(w, m);
    wish_replace(w, m, NULL);
    int32_t second = m->group.generation;
    cr_assert_gt(second, first);
    world_run(w, 100 * MS);
    cr_assert(m->group.previous_count == 8 ? m->group.previous_generation == first
                                           : m->group.previous_generation == second,
              "%zu partitions of generation %d, not %d or %d", m->group.previous_count,
              m->group.previous_generation, first, second);
    cr_assert_eq(m->group.previous_count, 4);
    world_free(w);
}

/* A member gives some partitions back, the coordinator takes their last commit late, and meanwhile
 * the program, which has read on in the others, unsubscribes: these are committed too. */
Test(group_members, unsubscribing_during_a_last_commit_commits_the_rest)
{
    struct world *w = world_new(45, 2, 4);
    w->consumer.auto_commit_interval_ms = 60000;
    struct world_member *m = world_join(w, NULL, NULL, 0);
    cr_assert(world_settle(w, 5000 * MS));
    w->broker->commits_unheeded = true;
    struct world_member *other = world_join(w, NULL, NULL, 0);
    for (int i = 0; i < 10000 && !m->group.release_committed; i++) {
        world_run(w, MS);
    }
    cr_assert(m->group.release_committed);
    world_run(w, 2000 * MS);
    cr_assert(m->group.release_committed);
    poller_drop_all(&m->poller);
    group_let_go(&m->group);
    wish_replace(w, m, NULL);
    w->broker->commits_unheeded = false;
    world_run(w, 2000 * MS);
    cr_assert_eq(world_held(m), 0);
    world_leave(w, m);
    world_run(w, 2000 * MS);
    cr_assert(m->gone);
    cr_assert_eq(world_held(other), 8);
    world_check(w, true);
    world_free(w);
}

Test(group_members, refusals_are_told_and_tried_again)
{
    struct world *w = world_new(7, 1, 4);
    world_join(w, NULL, NULL, 0);
    cr_assert(world_settle(w, 5000 * MS));
    strategy(w, "range");
    struct world_member *other = world_join(w, NULL, NULL, 0);
    world_run(w, 3000 * MS);
    cr_assert_eq(other->failure.code, -23, "%d", other->failure.code);
    cr_assert(strstr(other->failure.message, "partition.assignment.strategy"));
    world_leave(w, w->members[0]);
    world_run(w, 5000 * MS);
    cr_assert_eq(world_held(other), 4);
    w->broker->session_ms_min = 60000;
    struct world_member *third = world_join(w, NULL, NULL, 0);
    world_run(w, 3000 * MS);
    cr_assert_eq(third->failure.code, -26);
    cr_assert(strstr(third->failure.message, "group.min.session.timeout.ms"));
    world_free(w);
}

Test(group_members, a_generation_that_is_too_large_is_told_and_tried_again)
{
    struct world *w = world_new(7, 1, 4);
    w->broker->generations_too_large = true;
    struct world_member *m = world_join(w, NULL, NULL, 0);
    world_run(w, 3000 * MS);
    cr_assert_eq(m->failure.code, -10, "%d", m->failure.code);
    cr_assert(strstr(m->failure.message, "max.message.bytes of __consumer_offsets"), "%s",
              m->failure.message);
    w->broker->generations_too_large = false;
    cr_assert(world_settle(w, 10000 * MS));
    cr_assert_eq(world_held(m), 4);
    world_free(w);
}

Test(group_members, fifty_members_settle_within_five_seconds, .timeout = 120)
{
    struct world *w = world_new(8, 14, 14);
    w->append_ns = 1000 * MS;
    for (int i = 0; i < 50; i++) {
        world_join(w, NULL, NULL, 0)->tick_ns = 100 * MS;
        world_run(w, 50 * MS);
    }
    uint64_t from = sim_now(w->sim);
    cr_assert(world_settle(w, 5000 * MS), "not settled after 5 s");
    cr_log_info("settled after %llu ms", (unsigned long long)((sim_now(w->sim) - from) / MS));
    for (int i = 0; i < 50; i++) {
        size_t held = world_held(w->members[i]);
        cr_assert(held == 3 || held == 4, "member %d holds %zu of 196", i, held);
    }
    world_check(w, true);
    world_free(w);
}
