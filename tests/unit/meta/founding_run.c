/* SPDX-License-Identifier: Apache-2.0 */

/* Nodes found and join over a network that is cut and machines that are killed and lose their power, at
 * every operation and by chance: there is never a second cluster, and when all stay up there is one. */
#include "founding_world.h"

#include "meta/identity.h"
#include "meta/voters_file.h"

#include <stdio.h>

#include <criterion/criterion.h>

static struct founding_world w;

/* Whether the voters are the directories of the first `count` nodes. */
static void expect_voters(uint32_t count)
{
    cr_assert_eq(w.voters.count, count);
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_eq(w.voters.list[i].id.node, (int32_t)i + 1);
        cr_assert(uuid_equal(w.voters.list[i].id.directory, w.nodes[i].directory_id), "node %u",
                  i + 1);
    }
}

Test(founding_run, all_start_together)
{
    static const uint32_t counts[] = {1, 2, 3, 5};
    for (size_t i = 0; i < array_size(counts); i++) {
        grounds_open(&w, 1, counts[i]);
        cr_assert(world_settle(&w, 2000), "%u nodes in two seconds", counts[i]);
        expect_voters(counts[i]);
        cr_assert_eq(w.nodes[0].foundings, 1u);
        cr_assert(w.nodes[0].open.decided && w.nodes[0].open.founded);
        grounds_close(&w);
    }
}

Test(founding_run, a_restart_asks_nobody)
{
    grounds_open(&w, 2, 3);
    cr_assert(world_settle(&w, 2000));
    for (uint32_t i = 0; i < 3; i++) {
        sim_node_kill(w.nodes[i].sim);
    }
    world_start(&w.nodes[1]);
    world_run(&w, 100);
    cr_assert(w.nodes[1].done && w.nodes[1].error == 0);
    cr_assert(!w.nodes[1].open.decided && !w.nodes[1].open.founded);
    expect_voters(3);
    grounds_close(&w);
}

Test(founding_run, nothing_is_founded_while_one_is_away)
{
    grounds_open(&w, 3, 3);
    world_start(&w.nodes[0]);
    world_start(&w.nodes[1]);
    world_run(&w, 30000);
    cr_assert(!w.nodes[0].done && !w.nodes[1].done);
    cr_assert(world_settle(&w, 3000));
    expect_voters(3);
    grounds_close(&w);
}

Test(founding_run, alone_without_peers)
{
    grounds_open(&w, 4, 1);
    w.nodes[0].peer_count = 0;
    world_start(&w.nodes[0]);
    world_run(&w, 100);
    cr_assert(w.nodes[0].done && w.nodes[0].error == 0);
    cr_assert(w.nodes[0].open.alone);
    cr_assert_null(disk_find(sim_node_disk(w.nodes[0].sim), "/data/meta/meta.properties"),
                   "nothing was touched");
    grounds_close(&w);
}

/* --- crashes ---------------------------------------------------------------------------------- */

/* One node crashes in place of its n-th operation, starts again and crashes nowhere; for every n until
 * it gets through. How many there were. */
static uint64_t crash_everywhere(uint32_t victim, enum sim_crash_kind kind)
{
    uint64_t n = 1;
    for (bool crashed = true; crashed; n++) {
        grounds_open(&w, n, 3);
        for (uint32_t i = 0; i < 3; i++) {
            world_start(&w.nodes[i]);
        }
        sim_crash_after(w.nodes[victim].sim, n, kind);
        world_run(&w, 3000);
        crashed = sim_node_state(w.nodes[victim].sim) != SIM_RUNNING;
        sim_crash_after(w.nodes[victim].sim, 0, kind);
        cr_assert(world_settle(&w, 10000), "operation %u of node %u", (unsigned)n, victim + 1);
        expect_voters(3);
        grounds_close(&w);
        cr_assert_lt(n, 2000u);
    }
    return n - 1;
}

Test(founding_run, killed_at_every_operation)
{
    for (uint32_t victim = 0; victim < 3; victim++) {
        cr_assert_gt(crash_everywhere(victim, SIM_CRASH_KILL), 50u);
    }
}

Test(founding_run, power_cut_at_every_operation)
{
    for (uint32_t victim = 0; victim < 3; victim++) {
        cr_assert_gt(crash_everywhere(victim, SIM_CRASH_POWER), 50u);
    }
}

/* What a killed life has left is visible and not durable yet: the next one must not tell it before it is. */
static bool killed_and_cut(uint32_t victim, uint64_t kill, uint64_t cut)
{
    struct world_node *n = &w.nodes[victim];
    grounds_open(&w, 1000 * kill + cut, 2);
    for (uint32_t i = 0; i < 2; i++) {
        world_start(&w.nodes[i]);
    }
    sim_crash_after(n->sim, kill, SIM_CRASH_KILL);
    world_run(&w, 1000);
    bool killed = sim_node_state(n->sim) != SIM_RUNNING;
    if (killed) {
        world_start(n);
        sim_crash_after(n->sim, cut, SIM_CRASH_POWER);
        world_run(&w, 1000);
    }
    sim_crash_after(n->sim, 0, SIM_CRASH_POWER);
    cr_assert(world_settle(&w, 10000), "operations %u and %u of node %u", (unsigned)kill,
              (unsigned)cut, victim + 1);
    expect_voters(2);
    grounds_close(&w);
    return killed;
}

Test(founding_run, killed_and_then_a_power_cut)
{
    for (uint32_t victim = 0; victim < 2; victim++) {
        for (uint64_t kill = 1; killed_and_cut(victim, kill, 1); kill++) {
            for (uint64_t cut = 2; cut < 24; cut++) {
                killed_and_cut(victim, kill, cut);
            }
        }
    }
}

static void one_blow(struct prng *choices)
{
    struct world_node *n = &w.nodes[prng_below(choices, w.count)];
    if (sim_node_state(n->sim) != SIM_RUNNING) {
        world_start(n);
        return;
    }
    switch (prng_below(choices, 4)) {
    case 0:
        sim_node_kill(n->sim);
        break;
    case 1:
        sim_node_power_cut(n->sim);
        break;
    case 2:
        sim_crash_after(n->sim, 1 + prng_below(choices, 60),
                        prng_chance(choices, 1, 2) ? SIM_CRASH_KILL : SIM_CRASH_POWER);
        break;
    default:
        world_link(&w, 1 + (int32_t)prng_below(choices, w.count), n->id,
                   prng_chance(choices, 1, 2));
    }
}

static void heal(void)
{
    for (uint32_t i = 0; i < w.count; i++) {
        sim_crash_after(w.nodes[i].sim, 0, SIM_CRASH_KILL);
        for (uint32_t j = 0; j <= i; j++) {
            world_link(&w, (int32_t)i + 1, (int32_t)j + 1, true);
        }
    }
}

static void by_chance(uint64_t seed, uint32_t count)
{
    grounds_open(&w, seed, count);
    struct prng choices = sim_random(w.sim, 77);
    struct sim_faults *faults = sim_faults(w.sim);
    faults->crash.names_in_order = 500;
    faults->crash.torn = faults->crash.garbage = faults->crash.power_lost = 200;
    faults->connect_refused = faults->connection_reset = 20000;
    faults->piece_max = prng_chance(&choices, 1, 3) ? 7 : 0;
    for (uint64_t blows = prng_below(&choices, 40); blows > 0; blows--) {
        one_blow(&choices);
        world_run(&w, prng_below(&choices, 400));
        world_check(&w);
    }
    heal();
    faults->connect_refused = faults->connection_reset = 0;
    cr_assert(world_settle(&w, 30000), "seed %u", (unsigned)seed);
    expect_voters(count);
    grounds_close(&w);
}

/* One disk is lost, at any time: whoever has joined holds the cluster, and all end in one. */
static void by_chance_with_a_lost_disk(uint64_t seed, uint32_t count)
{
    grounds_open(&w, seed, count);
    struct prng choices = sim_random(w.sim, 78);
    struct world_node *victim =
        &w.nodes[prng_chance(&choices, 1, 2) ? 0 : prng_below(&choices, count)];
    w.disks_are_lost = true;
    for (uint64_t blows = prng_below(&choices, 40); blows > 0; blows--) {
        if (prng_chance(&choices, 1, 6)) {
            sim_node_kill(victim->sim);
            world_lose_disk(victim);
            world_start(victim);
        } else {
            one_blow(&choices);
        }
        world_run(&w, prng_below(&choices, prng_chance(&choices, 1, 2) ? 10 : 400));
        world_check(&w);
    }
    heal();
    cr_assert(world_settle(&w, 30000), "seed %u", (unsigned)seed);
    grounds_close(&w);
}

Test(founding_run, a_disk_is_lost_by_chance, .timeout = 300)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        by_chance_with_a_lost_disk(seed, seed % 3 ? 3 : 5);
    }
}

Test(founding_run, three_by_chance, .timeout = 300)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        by_chance(seed, 3);
    }
}

Test(founding_run, five_by_chance, .timeout = 300)
{
    for (uint64_t seed = 1; seed <= 150; seed++) {
        by_chance(seed, 5);
    }
}

Test(founding_run, one_seed_is_one_history)
{
    uint64_t hashes[2];
    for (int i = 0; i < 2; i++) {
        grounds_open(&w, 5, 3);
        cr_assert(world_settle(&w, 2000));
        hashes[i] = sim_hash(w.sim);
        grounds_close(&w);
    }
    cr_assert_eq(hashes[0], hashes[1]);
}

/* --- histories -------------------------------------------------------------------------------- */

/* Node 1 has founded, node 2 has joined or not, node 3 has not; then node 1 loses its disk. */
static void founder_loses_its_disk(bool joined)
{
    grounds_open(&w, 6, 3);
    world_start(&w.nodes[0]);
    world_start(&w.nodes[1]);
    world_start(&w.nodes[2]);
    while (sim_node_state(w.nodes[0].sim) == SIM_RUNNING && !w.nodes[0].done) {
        world_run(&w, 1);
    }
    cr_assert_eq(w.nodes[0].error, 0);
    world_link(&w, 1, 3, false);
    world_link(&w, 2, 3, false);
    if (joined) {
        while (!w.nodes[1].done) {
            world_run(&w, 1);
        }
    }
    cr_assert(!w.nodes[2].done && w.nodes[1].done == joined);
    sim_node_kill(w.nodes[0].sim);
    world_lose_disk(&w.nodes[0]);
    if (!joined) {
        w.voters.count = 0;
        w.cluster_id = (struct uuid){0};
    }
    world_run(&w, 100);
    heal();
    cr_assert(world_settle(&w, 20000));
}

Test(founding_run, the_founder_loses_its_disk_before_anybody_joined)
{
    founder_loses_its_disk(false);
    expect_voters(3);
    grounds_close(&w);
}

Test(founding_run, the_founder_loses_its_disk_after_one_joined)
{
    founder_loses_its_disk(true);
    cr_assert(uuid_equal(w.nodes[0].cluster_id, w.nodes[1].cluster_id), "it joins");
    cr_assert(uuid_equal(w.nodes[2].cluster_id, w.nodes[1].cluster_id));
    cr_assert(!w.nodes[0].open.founded);
    cr_assert(!uuid_equal(w.voters.list[0].id.directory, w.nodes[0].directory_id),
              "it is no voter any more");
    cr_assert(uuid_equal(w.voters.list[2].id.directory, w.nodes[2].directory_id));
    grounds_close(&w);
}

/* Node 2 has decided to join and not yet written it, and is all that is left of the cluster (F5). */
Test(founding_run, who_joins_is_not_taken_for_empty)
{
    grounds_open(&w, 16, 3);
    for (uint32_t i = 0; i < 3; i++) {
        world_start(&w.nodes[i]);
    }
    while (!w.nodes[0].done) {
        world_run(&w, 1);
    }
    cr_assert(!w.nodes[1].done && !w.nodes[2].done);
    sim_node_kill(w.nodes[2].sim);
    sim_faults(w.sim)->slow_name = "voters";
    sim_faults(w.sim)->slow = (struct sim_latency){UINT64_C(5000000000), 0, 0, 0};
    world_run(&w, 800);
    cr_assert(!w.nodes[1].done);
    sim_node_kill(w.nodes[0].sim);
    world_lose_disk(&w.nodes[0]);
    world_start(&w.nodes[0]);
    world_start(&w.nodes[2]);
    cr_assert(world_settle(&w, 120000));
    cr_assert(!w.nodes[0].open.founded);
    cr_assert(uuid_equal(w.nodes[0].cluster_id, w.nodes[1].cluster_id));
    grounds_close(&w);
}

Test(founding_run, a_sixth_node_joins_as_an_observer)
{
    grounds_open(&w, 7, 6);
    w.count = 5;
    for (uint32_t i = 0; i < 5; i++) {
        w.nodes[i].peer_count = 5;
    }
    cr_assert(world_settle(&w, 3000));
    w.count = 6;
    cr_assert(world_settle(&w, 3000));
    expect_voters(5);
    cr_assert(w.nodes[5].open.decided && !w.nodes[5].open.founded);
    grounds_close(&w);
}

/* --- refusals --------------------------------------------------------------------------------- */

static void expect_refusal(uint32_t node, int error, const char *text)
{
    world_run(&w, 5000);
    struct world_node *n = &w.nodes[node];
    cr_assert_eq(sim_node_state(n->sim), SIM_RUNNING, "%s", sim_node_last_line(n->sim));
    cr_assert(n->done);
    cr_assert_eq(n->error, error, "%d: %s", n->error, n->open.why);
    cr_assert(strstr(n->open.why, text) != NULL, "%s", n->open.why);
}

Test(founding_run, a_second_directory_under_a_node_id_is_refused)
{
    grounds_open(&w, 8, 3);
    w.nodes[2].id = 2;
    for (uint32_t i = 0; i < 3; i++) {
        world_start(&w.nodes[i]);
    }
    expect_refusal(2, ERR_DUPLICATE_BROKER_REGISTRATION, "node.id 2 is in use: n2:9092");
    grounds_close(&w);
}

Test(founding_run, lists_that_differ_are_refused)
{
    grounds_open(&w, 9, 3);
    w.nodes[1].peers[2] = "n4:9092";
    for (uint32_t i = 0; i < 3; i++) {
        world_start(&w.nodes[i]);
    }
    expect_refusal(0, ERR_BAD_CONFIG, "n2:9092 (node 2) lists n4:9092");
    grounds_close(&w);
}

Test(founding_run, a_directory_that_waits_does_not_found_alone)
{
    grounds_open(&w, 10, 2);
    world_start(&w.nodes[0]);
    world_run(&w, 1000);
    cr_assert(!w.nodes[0].done);
    sim_node_kill(w.nodes[0].sim);
    w.nodes[0].peer_count = 0;
    world_start(&w.nodes[0]);
    expect_refusal(0, ERR_INVALID_ARGUMENT, "waits to found or to join a cluster");
    grounds_close(&w);
}

Test(founding_run, another_node_id_is_refused)
{
    grounds_open(&w, 11, 2);
    world_start(&w.nodes[0]);
    world_run(&w, 1000);
    sim_node_kill(w.nodes[0].sim);
    w.nodes[0].id = 5;
    world_start(&w.nodes[0]);
    expect_refusal(0, ERR_INVALID_ARGUMENT, "belongs to node.id 1");
    grounds_close(&w);
}

static void rot(uint32_t node, const char *path)
{
    struct prng random = sim_random(w.sim, 5);
    struct disk *disk = sim_node_disk(w.nodes[node].sim);
    disk_rot(disk, disk_find(disk, path), 0, &random);
}

Test(founding_run, what_cannot_be_believed_is_refused)
{
    grounds_open(&w, 12, 2);
    world_start(&w.nodes[0]);
    world_run(&w, 1000);
    sim_node_kill(w.nodes[0].sim);
    rot(0, "/data/meta/meta.properties");
    world_start(&w.nodes[0]);
    expect_refusal(0, ERR_DAMAGED, "meta.properties cannot be believed");
    grounds_close(&w);
}

Test(founding_run, a_member_does_without_its_voters_file)
{
    grounds_open(&w, 13, 2);
    cr_assert(world_settle(&w, 2000));
    sim_node_kill(w.nodes[0].sim);
    rot(0, "/data/meta/voters");
    w.voters_are_lost = true;
    world_start(&w.nodes[0]);
    world_run(&w, 100);
    world_check(&w);
    cr_assert(w.nodes[0].done);
    cr_assert_eq(w.nodes[0].open.voters.count, 0u);
    grounds_close(&w);
}

Test(founding_run, metadata_without_an_identity_is_refused)
{
    grounds_open(&w, 14, 2);
    struct disk *disk = sim_node_disk(w.nodes[0].sim);
    cr_assert_eq(disk_mkdir(disk, "/data"), 0);
    cr_assert_eq(disk_mkdir(disk, "/data/meta"), 0);
    cr_assert_eq(disk_mkdir(disk, "/data/meta/topics"), 0);
    world_start(&w.nodes[0]);
    expect_refusal(0, ERR_DAMAGED, "holds metadata, but its meta.properties is missing");
    grounds_close(&w);
}

/* --- giving up -------------------------------------------------------------------------------- */

Test(founding_run, a_stop_ends_it_at_any_time)
{
    unsigned interrupted = 0, finished = 0;
    for (uint64_t after = 0; after < 120; after++) {
        grounds_open(&w, 15, 2);
        world_start(&w.nodes[0]);
        world_start(&w.nodes[1]);
        sim_run(w.sim, sim_now(w.sim) + after * 1000000 + 100000);
        world_stop(&w.nodes[0]);
        world_run(&w, 3000);
        struct world_node *n = &w.nodes[0];
        cr_assert_eq(sim_node_state(n->sim), SIM_RUNNING, "%s", sim_node_last_line(n->sim));
        cr_assert(n->done, "stopped after %u ms", (unsigned)after);
        cr_assert(n->error == 0 || n->error == ERR_INTERRUPTED);
        interrupted += n->error != 0;
        finished += n->error == 0;
        sim_node_kill(n->sim);
        cr_assert(world_settle(&w, 10000));
        expect_voters(2);
        grounds_close(&w);
    }
    cr_assert(interrupted > 10 && finished > 10, "%u, %u", interrupted, finished);
}
