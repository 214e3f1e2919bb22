/* SPDX-License-Identifier: Apache-2.0 */

/* Voters of a running cluster: added, removed, replaced, and reached elsewhere (RELIABILITY M15). */
#include "open.h"

#include "meta/voters.h"
#include "wire/wire.h"

#include <criterion/criterion.h>

static struct cluster_world w;
static char why[200];

enum {
    REQUEST_TIMED_OUT = 7,
    INVALID_REQUEST = 42,
    INCONSISTENT_CLUSTER_ID = 104,
    DUPLICATE_VOTER = 126,
    VOTER_NOT_FOUND = 127
};

static void open_cluster(uint64_t seed, uint32_t count)
{
    open_world_in(&w, seed, count);
    for (uint32_t i = 0; i < count; i++) {
        member_start(&w.members[i]);
    }
    world_settle(&w, 10000 * CLUSTER_MS);
}

static struct member *follower(uint32_t nth)
{
    struct member *leader = world_leader(&w);
    for (uint32_t i = 0; i < w.count; i++) {
        if (&w.members[i] != leader && nth-- == 0) {
            return &w.members[i];
        }
    }
    return NULL;
}

static int add(struct member *at, struct member *who, struct raft_id id)
{
    return world_voter_answer(&w, world_voter_add(&w, at, who, id), 5000 * CLUSTER_MS, why);
}

static int drop(struct member *at, struct raft_id id)
{
    return world_voter_answer(&w, world_voter_remove(&w, at, id), 6000 * CLUSTER_MS, why);
}

static void expect_voters(uint32_t count)
{
    world_settle(&w, 10000 * CLUSTER_MS);
    for (uint32_t i = 0; i < w.count; i++) {
        cr_assert_eq(member_voters(&w.members[i]).count, count, "node %u", i + 1);
    }
}

/* Where the leader's record says that the node is reached. */
static const struct voter *told_of(const struct member *m)
{
    return voters_find(meta_quorum(world_leader(&w)->node->meta).voters, m->id);
}

/* A node whose disk was lost votes again, with its new directory in the place of the old one; then another may go. */
Test(voters, a_lost_disk_is_replaced)
{
    open_cluster(1, 3);
    struct member *m = follower(0);
    struct raft_id old = member_self(m);
    sim_node_kill(m->machine);
    member_lose_disk(m);
    member_start(m);
    world_settle(&w, 20000 * CLUSTER_MS);
    struct raft_id now = member_self(m);
    cr_assert_not(meta_quorum(m->node->meta).status.voter);
    cr_assert_eq(add(m, m, now), DUPLICATE_VOTER, "%s", why);
    cr_assert(strstr(why, "remove that voter first"), "%s", why);
    cr_assert_eq(drop(m, now), VOTER_NOT_FOUND, "%s", why);
    cr_assert_eq(drop(m, old), 0, "%s", why);
    expect_voters(2);
    cr_assert_eq(add(m, m, now), 0, "%s", why);
    expect_voters(3);
    cr_assert(meta_quorum(m->node->meta).status.voter);
    world_run(&w, 2000 * CLUSTER_MS);
    cr_assert_str_neq(told_of(m)->name, "elsewhere", "it says itself where it is");
    cr_assert_str_eq(told_of(m)->name, told_of(world_leader(&w))->name);

    struct member *leader = world_leader(&w);
    sim_node_kill(leader->machine);
    world_run(&w, 6000 * CLUSTER_MS);
    cr_assert(world_leader(&w) && world_leader(&w) != leader, "its vote counts");
    world_heal(&w);
    world_settle(&w, 20000 * CLUSTER_MS);
    world_close(&w);
}

/* Whom it has voted for nobody knows, and so it may not vote again, whatever a person accepts (M3). */
Test(voters, a_lost_vote_is_not_accepted_beside_other_voters)
{
    open_cluster(2, 3);
    struct member *m = follower(0);
    struct disk *disk = sim_node_disk(m->machine);
    sim_node_kill(m->machine);
    cr_assert_eq(disk_end(disk, disk_unlink_begin(disk, "data/meta/vote")), 0);
    for (int accepts = 0; accepts < 2; accepts++) {
        m->accepts = accepts;
        member_start(m);
        m->excused = true;
        world_run(&w, 2000 * CLUSTER_MS);
        cr_assert(m->ended);
        cr_assert_eq(m->status, NODE_EXIT_DAMAGE, "%s", m->why);
        cr_assert_not_null(strstr(m->why, "/vote"), "%s", m->why);
        cr_assert_not_null(strstr(m->why, "leat cluster remove"), "the way out: %s", m->why);
        sim_node_kill(m->machine);
    }
    world_close(&w);
}

Test(voters, a_leader_that_is_removed_hands_over)
{
    for (uint32_t at = 0; at < 3; at++) { /* asked itself, or another */
        open_cluster(20 + at, 3);
        struct member *old = world_leader(&w);
        struct raft_id id = member_self(old);
        cr_assert_eq(drop(at ? follower(at - 1) : old, id), 0, "%s", why);
        world_run(&w, 1000 * CLUSTER_MS);
        cr_assert(world_leader(&w) && world_leader(&w) != old, "node %d leads on", (int)old->id);
        expect_voters(2);
        cr_assert_eq(add(old, old, id), 0, "%s", why);
        expect_voters(3);
        world_close(&w);
    }
}

/* Down to one, in all orders of leader and followers, and up again; the last one stays. */
Test(voters, down_to_one_and_up_again)
{
    for (uint64_t seed = 30; seed < 36; seed++) {
        open_cluster(seed, 5);
        for (uint32_t left = 4; left > 0; left--) {
            struct raft_voters voters = member_voters(world_leader(&w));
            struct raft_id id = voters.ids[prng_below(&w.random, voters.count)];
            cr_assert_eq(drop(&w.members[prng_below(&w.random, 5)], id), 0, "%s", why);
            expect_voters(left);
        }
        struct member *last = world_leader(&w);
        cr_assert_eq(drop(follower(0), member_self(last)), INVALID_REQUEST, "%s", why);
        for (uint32_t i = 0; i < 5; i++) {
            struct member *m = &w.members[i];
            if (m != last) {
                cr_assert_eq(add(&w.members[prng_below(&w.random, 5)], m, member_self(m)), 0, "%s",
                             why);
            }
        }
        expect_voters(5);
        sim_node_kill(last->machine);
        member_start(last);
        expect_voters(5);
        world_close(&w);
    }
}

Test(voters, what_cannot_be_is_refused_with_a_reason)
{
    open_cluster(40, 3);
    struct member *leader = world_leader(&w), *m = follower(0), *gone = follower(1);
    struct raft_id strange = {m->id, {{1, 2, 3}}}, nobody = {9, {{4, 5, 6}}};
    cr_assert_eq(add(m, m, member_self(leader)), DUPLICATE_VOTER, "%s", why);
    cr_assert(strstr(why, "votes already"), "%s", why);
    cr_assert_eq(drop(m, strange), VOTER_NOT_FOUND, "%s", why);
    cr_assert_eq(drop(leader, nobody), VOTER_NOT_FOUND, "%s", why);
    cr_assert_eq(add(m, m, (struct raft_id){-1, {{1}}}), INVALID_REQUEST, "%s", why);
    cr_assert_eq(drop(m, (struct raft_id){m->id, {{0}}}), INVALID_REQUEST, "%s", why);
    cr_assert_eq(add(leader, m, nobody), REQUEST_TIMED_OUT, "%s", why);
    cr_assert(strstr(why, "does not follow the metadata log"), "%s", why);
    cr_assert_eq(add(m, m, nobody), REQUEST_TIMED_OUT, "asked at a follower: %s", why);
    cr_assert(strstr(why, "does not follow the metadata log"), "%s", why);

    struct raft_id id = member_self(gone);
    sim_node_kill(gone->machine);
    /* At once: nobody has missed it yet, and it may never come back. */
    cr_assert_eq(drop(m, member_self(m)), REQUEST_TIMED_OUT, "%s", why);
    cr_assert(strstr(why, "would not be heard of"), "%s", why);
    cr_assert_eq(drop(leader, member_self(leader)), REQUEST_TIMED_OUT, "%s", why);
    cr_assert_eq(world_leader(&w), leader);
    cr_assert_eq(drop(m, id), 0, "%s", why);
    member_start(gone);
    expect_voters(2);
    world_close(&w);
}

static int send_bad(struct member *at, const char *cluster, uint16_t port, int32_t listeners)
{
    struct add_raft_voter_request_listeners listener = {wire_string_of("x"), wire_string_of("n1"),
                                                        port};
    struct add_raft_voter_request q;
    add_raft_voter_request_init(&q);
    q.cluster_id = wire_string_of(cluster);
    q.timeout_ms = 1000;
    q.voter_id = 7;
    q.voter_directory_id = (struct uuid){{7}};
    q.listeners = &listener;
    q.listeners_count = listeners;
    return world_voter_answer(&w, ask_begin(&w, at, WIRE_ADD_RAFT_VOTER, 1, &q), 3000 * CLUSTER_MS,
                              why);
}

Test(voters, requests_that_say_too_little)
{
    open_cluster(50, 2);
    const char *cluster = image_cluster_id(w.members[0].node->image);
    for (uint32_t i = 0; i < 2; i++) {
        cr_assert_eq(send_bad(&w.members[i], "another", 1, 1), INCONSISTENT_CLUSTER_ID, "%s", why);
        cr_assert_eq(send_bad(&w.members[i], cluster, 1, 0), INVALID_REQUEST, "%s", why);
        cr_assert_eq(send_bad(&w.members[i], cluster, 0, 1), INVALID_REQUEST, "%s", why);
        cr_assert_eq(send_bad(&w.members[i], cluster, 1, 1), REQUEST_TIMED_OUT, "%s", why);
    }
    world_close(&w);
}

/* A voter that was started under another address is found by all as soon as it has said so, without an election. */
Test(voters, one_that_moves_tells_the_leader)
{
    open_cluster(60, 3);
    struct member *m = follower(0);
    int32_t epoch = meta_quorum(m->node->meta).status.epoch;
    sim_node_kill(m->machine);
    member_listen(m, 9099);
    member_start(m);
    world_run(&w, 4000 * CLUSTER_MS);
    cr_assert_eq(told_of(m)->port, 9099);
    for (uint32_t i = 0; i < w.count; i++) {
        struct meta_quorum q = meta_quorum(w.members[i].node->meta);
        cr_assert_eq(voters_find(q.voters, m->id)->port, 9099);
        cr_assert_eq(q.status.epoch, epoch);
        cr_assert_eq(q.status.voters->count, 3);
    }
    /* And is reached there: with the two that remain it leads, or follows. */
    sim_node_kill(follower(0) == m ? follower(1)->machine : follower(0)->machine);
    world_run(&w, 4000 * CLUSTER_MS);
    cr_assert_not_null(world_leader(&w));
    cr_assert_eq(meta_quorum(m->node->meta).status.leader, world_leader(&w)->id);
    world_close(&w);
}

/* All have moved while none ran: where they were is nobody, or another of them, and `peers` says where they are. */
Test(voters, all_that_moved_find_each_other)
{
    for (int swapped = 0; swapped < 2; swapped++) {
        open_cluster(62, 3);
        for (uint32_t i = 0; i < w.count; i++) {
            sim_node_kill(w.members[i].machine);
        }
        snprintf(w.peers, sizeof w.peers, "n1:9101,n2:9102,n3:%d", swapped ? 9092 : 9103);
        for (uint32_t i = 0; i < (swapped ? 2u : 3u); i++) {
            member_listen(&w.members[i], (uint16_t)(9101 + i));
        }
        if (swapped) {
            member_listen(&w.members[2], 9092);
        }
        for (uint32_t i = 0; i < w.count; i++) {
            member_start(&w.members[i]);
        }
        world_run(&w, 20000 * CLUSTER_MS);
        cr_assert_not_null(world_leader(&w));
        for (uint32_t i = 0; i < w.count; i++) {
            cr_assert(w.members[i].ready, "%d: node %u", swapped, i + 1);
            cr_assert_eq(told_of(&w.members[i])->port, swapped && i == 2 ? 9092 : 9101 + i);
        }
        world_close(&w);
    }
}

/* Who was away meanwhile, and knows the old address alone, is told the new one by the leader himself. */
Test(voters, one_that_moved_leads_who_was_away)
{
    open_cluster(61, 3);
    struct member *away = follower(0), *m = follower(1);
    sim_node_kill(away->machine);
    world_run(&w, 2000 * CLUSTER_MS);
    sim_node_kill(m->machine);
    member_listen(m, 9099);
    member_start(m);
    world_run(&w, 4000 * CLUSTER_MS);
    struct member *other = world_leader(&w);
    cr_assert(other != m && told_of(m)->port == 9099);
    /* The one that moved is to lead: the other one stands still until it does. */
    member_start(away);
    sim_node_kill(other->machine);
    world_run(&w, 10000 * CLUSTER_MS);
    cr_assert_eq(world_leader(&w), m, "its log is longer");
    cr_assert_eq(meta_quorum(away->node->meta).status.leader, m->id);
    member_start(other);
    world_run(&w, 4000 * CLUSTER_MS);
    cr_assert_eq(meta_quorum(other->node->meta).status.leader, m->id);
    world_close(&w);
}
