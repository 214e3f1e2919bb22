/* SPDX-License-Identifier: Apache-2.0 */

/* A node of a cluster whose logs are damaged when it starts: it asks the others, goes on when they have all of it, and
 * can be stopped at any moment. */
#include "open.h"

static struct cluster_world w;

static void damage(const struct member *m)
{
    struct disk *disk = sim_node_disk(m->machine);
    disk_break(disk, disk_find(disk, "data/journal-0/checkpoint-0"), 0);
    disk_break(disk, disk_find(disk, "data/journal-0/checkpoint-1"), 0);
}

/* All but one run; the journal of that one cannot be recovered. */
static struct member *open_damaged(uint64_t seed, uint32_t nodes)
{
    world_open(&w, &(struct cluster_options){.seed = seed,
                                             .nodes = nodes,
                                             .replication_factor = (int16_t)nodes,
                                             .story = getenv("CLUSTER_STORY") ? stdout : NULL,
                                             .violated = open_violated});
    for (uint32_t i = 0; i < w.count; i++) {
        member_start(&w.members[i]);
    }
    world_settle(&w, 10000 * CLUSTER_MS);
    struct member *leader = world_leader(&w);
    struct member *m = leader == &w.members[0] ? &w.members[1] : &w.members[0];
    sim_node_kill(m->machine);
    damage(m);
    return m;
}

static bool mends_itself(const struct member *m)
{
    return m->node->log_options.accept_loss && !m->node->options.accept_loss;
}

Test(give_up, what_others_have)
{
    struct member *m = open_damaged(1, 3);
    member_start(m);
    world_settle(&w, 10000 * CLUSTER_MS);
    cr_assert(m->ready && mends_itself(m));
    sim_node_kill(m->machine);
    member_start(m);
    world_settle(&w, 10000 * CLUSTER_MS);
    cr_assert(m->ready && !mends_itself(m), "once is enough");
    world_close(&w);
}

/* It votes while it asks: without its vote nobody could answer. */
Test(give_up, what_the_only_other_voter_has)
{
    struct member *m = open_damaged(4, 2), *other = m == &w.members[0] ? &w.members[1] : m - 1;
    world_run(&w, 3000 * CLUSTER_MS);
    sim_node_kill(other->machine);
    member_start(m);
    world_run(&w, 1000 * CLUSTER_MS);
    cr_assert_not(m->ready);
    member_start(other);
    world_settle(&w, 15000 * CLUSTER_MS);
    cr_assert(m->ready && mends_itself(m));
    world_close(&w);
}

Test(give_up, nobody_answers)
{
    struct member *m = open_damaged(2, 3);
    for (uint32_t i = 0; i < w.count; i++) {
        if (&w.members[i] != m) {
            sim_node_kill(w.members[i].machine);
        }
    }
    member_start(m);
    m->excused = true;
    world_run(&w, 20000 * CLUSTER_MS);
    cr_assert_not(m->ended, "it asks: %s", m->why);
    world_run(&w, 15000 * CLUSTER_MS);
    cr_assert(m->ended);
    cr_assert_eq(m->status, NODE_EXIT_DAMAGE);
    cr_assert_not_null(strstr(m->why, "neither copy is valid"), "%s", m->why);
    cr_assert_not_null(strstr(m->why, "no controller has answered"), "%s", m->why);
    world_close(&w);
}

Test(give_up, it_is_stopped_at_any_moment)
{
    for (uint64_t after = 0; after < 1200; after += 1 + after / 8) {
        struct member *m = open_damaged(3, 3);
        for (uint32_t i = 0; i < w.count && after % 2; i++) { /* nobody answers */
            if (&w.members[i] != m) {
                sim_node_kill(w.members[i].machine);
            }
        }
        member_start(m);
        world_run(&w, after * CLUSTER_MS);
        member_stop(m);
        world_run(&w, 5000 * CLUSTER_MS);
        cr_assert(m->ended || !member_runs(m), "stopped after %d ms, it goes on", (int)after);
        cr_assert_eq(m->status, NODE_EXIT_OK, "after %d ms: %s", (int)after, m->why);
        world_close(&w);
    }
}

static void cut_off(const struct member *m, enum sim_link how)
{
    unsigned at = (unsigned)(m - w.members);
    for (unsigned i = 0; i < w.count; i++) {
        if (i != at) {
            sim_link_set(w.sim, at, i, how);
            sim_link_set(w.sim, i, at, how);
        }
    }
}

static int32_t newest_epoch(void)
{
    int32_t newest = -1;
    for (uint32_t i = 0; i < w.count; i++) {
        const struct member *m = &w.members[i];
        int32_t epoch = member_runs(m) && !m->ended && m->node->meta
                            ? meta_leadership(m->node->meta).epoch
                            : -1;
        newest = epoch > newest ? epoch : newest;
    }
    return newest;
}

/* Two of three are damaged, and the third, which has everything, is cut off while they elect each other: they do not
 * hand the lead to and fro, and it leads when it is back. */
Test(give_up, two_that_wait_do_not_keep_the_lead_from_the_third)
{
    for (uint64_t seed = 1; seed < 4; seed++) {
        struct member *m = open_damaged(seed, 3), *third = &w.members[2], *other;
        other = m == &w.members[0] ? &w.members[1] : &w.members[0];
        world_run(&w, 3000 * CLUSTER_MS);
        sim_node_kill(other->machine);
        damage(other);
        world_run(&w, 3000 * CLUSTER_MS);
        cut_off(third, SIM_LINK_CUT);
        member_start(m);
        member_start(other);
        world_run(&w, 4000 * CLUSTER_MS);
        int32_t before = newest_epoch();
        cut_off(third, SIM_LINK_UP);
        world_settle(&w, 20000 * CLUSTER_MS);
        cr_assert(m->ready && other->ready, "seed %d", (int)seed);
        cr_assert_lt(newest_epoch(), before + 40, "seed %d: from %d to %d", (int)seed, (int)before,
                     (int)newest_epoch());
        world_close(&w);
    }
}
