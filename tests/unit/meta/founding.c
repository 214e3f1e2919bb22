/* SPDX-License-Identifier: Apache-2.0 */

/* The decision of founding and joining as a table of histories: who has answered what, and what this
 * node does then. A node is written as one letter for its directory; a history is told by says(). */
#include "founding_support.h"

#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

enum { SECOND = 1000000000 };

static struct introduction node;
static struct founding_peer peers[FOUNDING_PEERS_MAX];
static uint32_t peer_count;
static uint64_t now;
static struct founding_decision decided;

/* Node `id` on hosts n1, n2, ... with the peers n1 .. n<total>. */
static void begin(int32_t id, uint32_t total)
{
    memset(peers, 0, sizeof peers);
    now = SECOND;
    node = introduction_of(id, 0x10 + (uint8_t)id);
    peer_count = total;
    for (uint32_t i = 0; i < total; i++) {
        founding_address(peers[i].address, host_of((int32_t)i + 1), 9092);
    }
    lists_nodes(&node, total);
}

static void says_at(uint32_t at, const struct introduction *said)
{
    founding_heard(&peers[at], said, now, now + 1000);
}

/* Every node but those in `silent` (a bit for each id) answers as its host says. */
static void round_of(uint32_t silent)
{
    for (uint32_t i = 0; i < peer_count; i++) {
        struct introduction said = introduction_of((int32_t)i + 1, 0x11 + (uint8_t)i);
        lists_nodes(&said, peer_count);
        if (silent >> (i + 1) & 1) {
            founding_unheard(&peers[i], "connection refused");
        } else {
            says_at(i, (int32_t)i + 1 == node.node_id ? &node : &said);
        }
    }
    now += SECOND;
}

static enum founding_verdict decide(void)
{
    founding_decide(&decided, &node, peers, peer_count);
    cr_assert(decided.why[0] != 0);
    return decided.verdict;
}

static void expect_text(const char *text)
{
    cr_assert(strstr(decided.why, text) != NULL, "'%s' is not in: %s", text, decided.why);
}

/* --- founding --------------------------------------------------------------------------------- */

Test(founding, the_lowest_founds_when_all_have_answered_twice)
{
    begin(1, 3);
    cr_assert_eq(decide(), FOUNDING_WAIT);
    expect_text("n1:9092 (not heard yet), n2:9092 (not heard yet), n3:9092 (not heard yet)");
    cr_assert(!decided.ask_again);
    round_of(0);
    cr_assert_eq(decide(), FOUNDING_WAIT);
    cr_assert(decided.ask_again);
    round_of(0);
    cr_assert_eq(decide(), FOUNDING_FOUND);
    cr_assert(decided.votes);
    cr_assert_eq(decided.voters.count, 3u);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(decided.voters.list[i].id.node, i + 1);
        cr_assert(uuid_equal(decided.voters.list[i].id.directory, id_from(0x11 + (uint8_t)i)));
        cr_assert_str_eq(decided.voters.list[i].host, host_of(i + 1));
        cr_assert_eq(decided.voters.list[i].port, 9092);
    }
}

Test(founding, the_others_wait_for_the_lowest)
{
    for (int32_t id = 2; id <= 3; id++) {
        begin(id, 3);
        round_of(0);
        round_of(0);
        cr_assert_eq(decide(), FOUNDING_WAIT);
        expect_text("waiting for n1:9092 (node 1) to found the cluster");
        cr_assert(!decided.ask_again);
    }
}

Test(founding, nobody_founds_while_one_is_silent)
{
    for (int32_t id = 1; id <= 3; id++) {
        for (int32_t silent = 1; silent <= 3; silent++) {
            begin(id, 3);
            round_of(0);
            round_of(1u << silent);
            round_of(1u << silent);
            cr_assert_eq(decide(), FOUNDING_WAIT, "node %d, silent %d", (int)id, (int)silent);
            char text[64];
            snprintf(text, sizeof text, "for n%d:9092 (connection refused)", (int)silent);
            expect_text(text);
        }
    }
}

Test(founding, one_alone_in_its_list_founds)
{
    begin(7, 1);
    says_at(0, &node);
    now += SECOND;
    cr_assert_eq(decide(), FOUNDING_WAIT);
    says_at(0, &node);
    cr_assert_eq(decide(), FOUNDING_FOUND);
    cr_assert_eq(decided.voters.count, 1u);
}

Test(founding, a_list_names_its_own_node_or_not)
{
    /* Node 1 lists the others only, node 2 all, node 3 the others by another order. */
    begin(1, 3);
    peer_count = 2;
    founding_address(peers[0].address, host_of(2), 9092);
    founding_address(peers[1].address, host_of(3), 9092);
    struct introduction two = introduction_of(2, 0x12), three = introduction_of(3, 0x13);
    lists_nodes(&two, 3);
    three.peer_count = 0;
    lists(&three, "n2:9092");
    lists(&three, "n1:9092");
    for (int i = 0; i < 2; i++) {
        says_at(0, &two);
        says_at(1, &three);
        now += SECOND;
    }
    cr_assert_eq(decide(), FOUNDING_FOUND, "%s", decided.why);
    cr_assert_eq(decided.voters.count, 3u);
}

Test(founding, another_listener_of_a_node_is_the_same_node)
{
    begin(1, 2);
    struct introduction two = introduction_of(2, 0x12);
    snprintf(node.endpoints[1].name, sizeof node.endpoints[1].name, "inside");
    snprintf(node.endpoints[1].host, sizeof node.endpoints[1].host, "10.0.0.1");
    node.endpoints[1].port = 9093;
    node.endpoint_count = 2;
    lists(&two, "10.0.0.1:9093");
    for (int i = 0; i < 2; i++) {
        says_at(0, &node);
        says_at(1, &two);
        now += SECOND;
    }
    cr_assert_eq(decide(), FOUNDING_FOUND, "%s", decided.why);
}

Test(founding, two_addresses_of_one_node_are_one_voter)
{
    begin(1, 2);
    peer_count = 3;
    founding_address(peers[2].address, "n2-too", 9092);
    struct introduction two = introduction_of(2, 0x12);
    lists_nodes(&two, 2);
    for (int i = 0; i < 2; i++) {
        says_at(0, &node);
        says_at(1, &two);
        says_at(2, &two);
        now += SECOND;
    }
    cr_assert_eq(decide(), FOUNDING_FOUND, "%s", decided.why);
    cr_assert_eq(decided.voters.count, 2u);
}

Test(founding, five_found_and_six_are_refused)
{
    begin(1, 5);
    round_of(0);
    round_of(0);
    cr_assert_eq(decide(), FOUNDING_FOUND);
    cr_assert_eq(decided.voters.count, 5u);
    for (int32_t id = 1; id <= 6; id++) {
        begin(id, 6);
        round_of(0);
        cr_assert_eq(decide(), FOUNDING_WAIT);
        round_of(0);
        cr_assert_eq(decide(), FOUNDING_REFUSE, "every node says so, not the lowest alone");
        cr_assert_eq(decided.error, ERR_BAD_CONFIG);
        expect_text("names 6 nodes, but at most 5 found a cluster");
    }
}

/* --- what an answer is worth (F2) ------------------------------------------------------------- */

Test(founding, an_answer_counts_in_the_same_life_only)
{
    begin(1, 2);
    round_of(0);
    round_of(0);
    cr_assert_eq(decide(), FOUNDING_FOUND);
    struct introduction two = introduction_of(2, 0x12);
    lists_nodes(&two, 2);
    two.incarnation_id = id_from(0x99); /* it was started anew */
    says_at(0, &node);
    says_at(1, &two);
    now += SECOND;
    cr_assert_eq(decide(), FOUNDING_WAIT);
    cr_assert(decided.ask_again);
    says_at(0, &node);
    says_at(1, &two);
    cr_assert_eq(decide(), FOUNDING_FOUND);
}

Test(founding, all_answers_hold_at_one_moment)
{
    /* Node 2 has answered twice, but both before node 3 answered for the first time: it may have another
     * list, another disk or a cluster since. */
    begin(1, 3);
    struct introduction two = introduction_of(2, 0x12), three = introduction_of(3, 0x13);
    lists_nodes(&two, 3);
    lists_nodes(&three, 3);
    for (int i = 0; i < 2; i++, now += SECOND) {
        says_at(0, &node);
        says_at(1, &two);
    }
    uint64_t asked = now;
    now += SECOND;
    founding_heard(&peers[2], &three, asked, now);
    founding_heard(&peers[2], &three, now, now + 1000);
    cr_assert_eq(decide(), FOUNDING_WAIT);
    cr_assert(decided.ask_again);
    now += SECOND;
    says_at(0, &node);
    cr_assert_eq(decide(), FOUNDING_WAIT);
    says_at(1, &two);
    cr_assert_eq(decide(), FOUNDING_FOUND);
}

Test(founding, an_answer_to_an_old_question_does_not_confirm)
{
    /* Two questions under way together: both answers are of one moment. */
    begin(1, 2);
    struct introduction two = introduction_of(2, 0x12);
    lists_nodes(&two, 2);
    says_at(0, &node);
    founding_heard(&peers[1], &two, now, now + 5000);
    founding_heard(&peers[1], &two, now + 1, now + 6000);
    now += SECOND;
    says_at(0, &node);
    cr_assert_eq(decide(), FOUNDING_WAIT);
    says_at(1, &two);
    cr_assert_eq(decide(), FOUNDING_FOUND);
}

Test(founding, silence_takes_back_what_was_said)
{
    begin(1, 2);
    round_of(0);
    round_of(0);
    cr_assert_eq(decide(), FOUNDING_FOUND);
    founding_unheard(&peers[1], "no answer in time");
    cr_assert_eq(decide(), FOUNDING_WAIT);
    expect_text("n2:9092 (no answer in time)");
    struct introduction two = introduction_of(2, 0x12);
    lists_nodes(&two, 2);
    says_at(1, &two);
    cr_assert_eq(decide(), FOUNDING_WAIT);
}

/* --- joining ---------------------------------------------------------------------------------- */

/* Peer `id` is in a cluster of which 1 .. voters are the voters, with the directories of introduction_of(). */
static struct introduction member(int32_t id, uint8_t cluster, uint32_t voters)
{
    struct introduction said = introduction_of(id, 0x10 + (uint8_t)id);
    lists_nodes(&said, 3);
    said.cluster_id = id_from(cluster);
    for (uint32_t i = 0; i < voters; i++) {
        add_voter(&said.voters, (int32_t)i + 1, 0x11 + (uint8_t)i);
    }
    return said;
}

Test(founding, one_peer_in_a_cluster_is_enough_to_join)
{
    begin(3, 3);
    struct introduction one = member(1, 0xc1, 3);
    founding_unheard(&peers[1], "connection refused");
    says_at(0, &one);
    cr_assert_eq(decide(), FOUNDING_WAIT);
    cr_assert(decided.ask_again);
    now += SECOND;
    says_at(0, &one);
    cr_assert_eq(decide(), FOUNDING_JOIN);
    cr_assert(uuid_equal(decided.cluster_id, id_from(0xc1)));
    cr_assert_eq(decided.voters.count, 3u);
    cr_assert(decided.votes);
}

Test(founding, who_is_not_among_the_voters_observes)
{
    begin(4, 3);
    struct introduction one = member(1, 0xc1, 3);
    says_at(0, &one);
    now += SECOND;
    says_at(0, &one);
    cr_assert_eq(decide(), FOUNDING_JOIN);
    cr_assert(!decided.votes);
    expect_text("as an observer");
}

Test(founding, a_member_that_knows_no_voters_yet_is_waited_for)
{
    begin(3, 3);
    struct introduction one = member(1, 0xc1, 0), two = member(2, 0xc1, 3);
    for (int i = 0; i < 2; i++, now += SECOND) {
        says_at(0, &one);
    }
    cr_assert_eq(decide(), FOUNDING_WAIT);
    expect_text("n1:9092, which is in cluster");
    expect_text("does not know its voters yet");
    for (int i = 0; i < 2; i++, now += SECOND) {
        says_at(0, &one);
        says_at(1, &two);
    }
    cr_assert_eq(decide(), FOUNDING_JOIN, "the other one does");
}

Test(founding, the_newest_leader_names_the_voters)
{
    for (int newer = 0; newer < 2; newer++) {
        begin(3, 3);
        struct introduction one = member(1, 0xc1, 3), two = member(2, 0xc1, 2);
        one.leader_epoch = 5;
        two.leader_epoch = newer ? 6 : 4;
        for (int i = 0; i < 2; i++, now += SECOND) {
            says_at(0, &one);
            says_at(1, &two);
        }
        cr_assert_eq(decide(), FOUNDING_JOIN);
        cr_assert_eq(decided.voters.count, newer ? 2u : 3u);
    }
}

/* --- histories -------------------------------------------------------------------------------- */

Test(founding, the_founder_comes_back_with_an_empty_disk_before_anybody_joined)
{
    begin(1, 3);
    node.directory_id = id_from(0x21);
    round_of(0);
    round_of(0);
    cr_assert_eq(decide(), FOUNDING_FOUND, "its first cluster never had a majority");
    cr_assert(uuid_equal(decided.voters.list[0].id.directory, id_from(0x21)));
}

Test(founding, the_founder_comes_back_with_an_empty_disk_after_one_joined)
{
    begin(1, 3);
    node.directory_id = id_from(0x21);
    struct introduction two = member(2, 0xc1, 3), three = introduction_of(3, 0x13);
    lists_nodes(&three, 3);
    for (int i = 0; i < 2; i++, now += SECOND) {
        says_at(0, &node);
        says_at(1, &two);
        says_at(2, &three);
    }
    cr_assert_eq(decide(), FOUNDING_JOIN);
    cr_assert(!decided.votes, "its vote went with its disk");
    expect_text("voter 1 of this cluster has directory");
    expect_text("remove that voter and add this node");
    /* And the third, which has its disk, votes: with node 2 that is the majority. */
    begin(3, 3);
    struct introduction one = introduction_of(1, 0x21);
    lists_nodes(&one, 3);
    for (int i = 0; i < 2; i++, now += SECOND) {
        says_at(0, &one);
        says_at(1, &two);
        says_at(2, &node);
    }
    cr_assert_eq(decide(), FOUNDING_JOIN);
    cr_assert(decided.votes);
}

Test(founding, the_founder_comes_back_empty_and_who_joined_is_down)
{
    begin(1, 3);
    node.directory_id = id_from(0x21);
    round_of(1u << 2);
    round_of(1u << 2);
    cr_assert_eq(decide(), FOUNDING_WAIT,
                 "node 2 may be in the cluster that this disk has forgotten");
}

Test(founding, the_founder_has_founded_and_one_has_joined)
{
    begin(3, 3);
    struct introduction one = member(1, 0xc1, 3), two = member(2, 0xc1, 3);
    for (int i = 0; i < 2; i++, now += SECOND) {
        says_at(0, &one);
        says_at(1, &two);
        says_at(2, &node);
    }
    cr_assert_eq(decide(), FOUNDING_JOIN);
    cr_assert(decided.votes);
}

Test(founding, a_node_that_was_counted_comes_back_with_another_disk)
{
    /* Node 1 founded with node 2's first directory. */
    begin(2, 3);
    node.directory_id = id_from(0x22);
    struct introduction one = member(1, 0xc1, 3);
    for (int i = 0; i < 2; i++, now += SECOND) {
        says_at(0, &one);
    }
    cr_assert_eq(decide(), FOUNDING_JOIN);
    cr_assert(!decided.votes);
}

/* --- contradictions --------------------------------------------------------------------------- */

Test(founding, two_clusters_among_the_peers_are_refused)
{
    begin(3, 3);
    struct introduction one = member(1, 0xc1, 3), two = member(2, 0xc2, 3);
    says_at(0, &one);
    says_at(1, &two);
    now += SECOND;
    cr_assert_eq(decide(), FOUNDING_WAIT, "until it has held");
    says_at(0, &one);
    says_at(1, &two);
    cr_assert_eq(decide(), FOUNDING_REFUSE);
    cr_assert_eq(decided.error, ERR_INCONSISTENT_CLUSTER_ID);
    expect_text("of two clusters: n1:9092 is in ");
    expect_text("n2:9092 is in ");
}

Test(founding, a_directory_stays_in_its_cluster)
{
    begin(3, 3);
    node.cluster_id = id_from(0xc1);
    struct introduction one = member(1, 0xc2, 3);
    cr_assert_eq(decide(), FOUNDING_WAIT);
    for (int i = 0; i < 2; i++, now += SECOND) {
        says_at(0, &one);
    }
    cr_assert_eq(decide(), FOUNDING_REFUSE);
    cr_assert_eq(decided.error, ERR_INCONSISTENT_CLUSTER_ID);
    expect_text("this directory belongs to cluster");
    one = member(1, 0xc1, 3);
    for (int i = 0; i < 2; i++, now += SECOND) {
        says_at(0, &one);
    }
    cr_assert_eq(decide(), FOUNDING_JOIN);
}

Test(founding, a_second_directory_under_this_node_id_is_refused)
{
    begin(1, 3);
    struct introduction other = introduction_of(1, 0x55);
    lists_nodes(&other, 3);
    says_at(1, &other);
    now += SECOND;
    cr_assert_eq(decide(), FOUNDING_WAIT);
    says_at(1, &other);
    cr_assert_eq(decide(), FOUNDING_REFUSE);
    cr_assert_eq(decided.error, ERR_DUPLICATE_BROKER_REGISTRATION);
    expect_text("node.id 1 is in use: n2:9092 answers as node 1");
    other.cluster_id = id_from(0xc1);
    says_at(1, &other);
    now += SECOND;
    says_at(1, &other);
    cr_assert_eq(decide(), FOUNDING_REFUSE, "in a cluster as well");
}

Test(founding, a_copy_of_this_directory_is_refused)
{
    begin(1, 2);
    struct introduction copy = node;
    copy.incarnation_id = id_from(0x77);
    for (int i = 0; i < 2; i++, now += SECOND) {
        says_at(0, &node);
        says_at(1, &copy);
    }
    cr_assert_eq(decide(), FOUNDING_REFUSE);
    cr_assert_eq(decided.error, ERR_DUPLICATE_BROKER_REGISTRATION);
    expect_text("n2:9092 runs on a copy of this node's directory");
}

Test(founding, two_peers_with_one_node_id_are_refused)
{
    begin(1, 3);
    struct introduction a = introduction_of(2, 0x12), b = introduction_of(2, 0x13);
    lists_nodes(&a, 3);
    lists_nodes(&b, 3);
    for (int i = 0; i < 2; i++, now += SECOND) {
        says_at(0, &node);
        says_at(1, &a);
        says_at(2, &b);
    }
    cr_assert_eq(decide(), FOUNDING_REFUSE);
    expect_text("two nodes have node.id 2: n2:9092 and n3:9092");
}

Test(founding, lists_that_disagree_are_refused)
{
    begin(1, 3);
    struct introduction two = introduction_of(2, 0x12), three = introduction_of(3, 0x13);
    lists_nodes(&two, 3);
    lists(&three, "n1:9092");
    lists(&three, "n3:9092");
    for (int i = 0; i < 2; i++, now += SECOND) {
        says_at(0, &node);
        says_at(1, &two);
        says_at(2, &three);
    }
    cr_assert_eq(decide(), FOUNDING_REFUSE);
    cr_assert_eq(decided.error, ERR_BAD_CONFIG);
    expect_text("n3:9092 (node 3) does not list n2:9092 (node 2), which this node (1) does");
    lists(&three, "n2:9092");
    lists(&three, "n4:9092");
    for (int i = 0; i < 2; i++, now += SECOND) {
        says_at(0, &node);
        says_at(1, &two);
        says_at(2, &three);
    }
    cr_assert_eq(decide(), FOUNDING_REFUSE);
    expect_text("n3:9092 (node 3) lists n4:9092, which is none of this node's (node 1)");
}

Test(founding, a_node_that_does_not_list_this_one_is_refused)
{
    begin(1, 2);
    struct introduction two = introduction_of(2, 0x12);
    lists(&two, "n2:9092");
    for (int i = 0; i < 2; i++, now += SECOND) {
        says_at(0, &node);
        says_at(1, &two);
    }
    cr_assert_eq(decide(), FOUNDING_REFUSE);
    expect_text("does not list this node (node 1)");
}

Test(founding, what_another_is_reached_at_is_not_advertised)
{
    begin(1, 2);
    snprintf(node.endpoints[0].host, sizeof node.endpoints[0].host, "%s", host_of(2));
    struct introduction two = introduction_of(2, 0x12);
    lists_nodes(&two, 2);
    for (int i = 0; i < 2; i++, now += SECOND) {
        says_at(0, &node);
        says_at(1, &two);
    }
    cr_assert_eq(decide(), FOUNDING_REFUSE);
    expect_text("node 1 advertises n2:9092, which is the address of node 2");
}

/* --- addresses, sentences --------------------------------------------------------------------- */

/* --- a member that reaches nobody ------------------------------------------------------------- */

static enum founding_verdict doubt(void)
{
    founding_doubt(&decided, &node, "data/meta", peers, peer_count);
    cr_assert(decided.why[0] != 0);
    return decided.verdict;
}

/* Node 1 of cluster c1 with `total` peers; node `id` says that it is in `cluster`, 0: none, twice. */
static void begin_member(uint32_t total)
{
    begin(1, total);
    node.cluster_id = id_from(0xc1);
    says_at(0, &node);
}

static void says_cluster(int32_t id, uint8_t cluster)
{
    struct introduction said = introduction_of(id, 0x10 + (uint8_t)id);
    lists_nodes(&said, peer_count);
    said.cluster_id = id_from(cluster);
    for (int i = 0; i < 2; i++, now += SECOND) {
        says_at((uint32_t)id - 1, &said);
    }
}

Test(founding, a_directory_of_another_cluster_is_refused_by_most_peers)
{
    char own[UUID_TEXT_SIZE], other[UUID_TEXT_SIZE];
    begin_member(3);
    cr_assert_eq(doubt(), FOUNDING_WAIT);
    expect_text("n2:9092 does not answer (not heard yet), n3:9092 does not answer");
    cr_assert(!decided.elsewhere, "who does not answer is in no other cluster");
    says_cluster(2, 0xc2);
    cr_assert_eq(doubt(), FOUNDING_WAIT, "one of two is no majority");
    expect_text("n2:9092 is in cluster");
    expect_text("correct `peers`");
    cr_assert(decided.elsewhere);
    says_cluster(3, 0xc2);
    cr_assert_eq(doubt(), FOUNDING_REFUSE);
    cr_assert_eq(decided.error, ERR_INCONSISTENT_CLUSTER_ID);
    uuid_text(id_from(0xc1), own);
    uuid_text(id_from(0xc2), other);
    expect_text("data/meta belongs to cluster");
    expect_text(own);
    expect_text(other);
    expect_text("n2:9092");
}

/* F7 */
Test(founding, one_peer_of_this_cluster_outweighs_the_others)
{
    begin_member(5);
    for (int32_t id = 2; id <= 4; id++) {
        says_cluster(id, 0xc2);
    }
    cr_assert_eq(doubt(), FOUNDING_REFUSE, "three of four");
    says_cluster(5, 0xc1);
    cr_assert_eq(doubt(), FOUNDING_WAIT);
    expect_text("n5:9092 is in it too");
    cr_assert(decided.elsewhere);
}

Test(founding, peers_of_several_other_clusters_are_no_majority)
{
    begin_member(5);
    says_cluster(2, 0xc2);
    says_cluster(3, 0xc2);
    says_cluster(4, 0xc3);
    says_cluster(5, 0xc3);
    cr_assert_eq(doubt(), FOUNDING_WAIT);
    says_cluster(4, 0xc2);
    cr_assert_eq(doubt(), FOUNDING_REFUSE);
}

/* F2: who has answered once may be another by now; who is silent may be of this cluster. */
Test(founding, what_peers_say_of_their_cluster_must_hold)
{
    begin_member(3);
    says_cluster(2, 0xc2);
    struct introduction said = introduction_of(3, 0x13);
    said.cluster_id = id_from(0xc2);
    says_at(2, &said);
    cr_assert_eq(doubt(), FOUNDING_WAIT);
    cr_assert(decided.ask_again);
    now += SECOND;
    says_at(2, &said);
    cr_assert_eq(doubt(), FOUNDING_REFUSE);
    founding_unheard(&peers[1], "connection refused");
    cr_assert_eq(doubt(), FOUNDING_WAIT);
    expect_text("n2:9092 does not answer (connection refused)");
}

static enum founding_verdict meet(void)
{
    founding_meet(&decided, &node, "data/meta", peers, peer_count);
    cr_assert(decided.why[0] != 0);
    return decided.verdict;
}

/* Where this node was reached. */
Test(founding, a_copy_beside_its_original_is_refused)
{
    begin_member(1);
    cr_assert_eq(meet(), FOUNDING_JOIN, "it is this node");
    begin_member(2);
    cr_assert_eq(meet(), FOUNDING_WAIT, "not heard yet");
    struct introduction original = node;
    original.incarnation_id = id_from(0x77);
    says_at(1, &original);
    cr_assert_eq(meet(), FOUNDING_WAIT);
    cr_assert(decided.ask_again);
    now += SECOND;
    says_at(1, &original);
    cr_assert_eq(meet(), FOUNDING_REFUSE);
    cr_assert_eq(decided.error, ERR_DUPLICATE_BROKER_REGISTRATION);
    expect_text("node 1 runs at n2:9092: data/meta is a copy of its directory");
    founding_unheard(&peers[1], "connection refused");
    cr_assert_eq(meet(), FOUNDING_JOIN, "it has moved");
    struct introduction other = introduction_of(2, 0x12);
    says_at(1, &other);
    cr_assert_eq(meet(), FOUNDING_JOIN, "another node is there now");
}

/* A copy of the leader finds no controller: its peers follow its own id. One of them alone may lie. */
Test(founding, a_copy_of_the_leader_is_refused)
{
    begin_member(3);
    struct introduction original = node;
    original.incarnation_id = id_from(0x77);
    original.leader_id = 1;
    for (int i = 0; i < 2; i++, now += SECOND) {
        says_at(0, &original);
    }
    cr_assert_eq(doubt(), FOUNDING_WAIT, "one of three");
    struct introduction follower = introduction_of(2, 0x12);
    follower.cluster_id = node.cluster_id;
    follower.leader_id = 1;
    for (int i = 0; i < 2; i++, now += SECOND) {
        says_at(1, &follower);
    }
    cr_assert_eq(doubt(), FOUNDING_REFUSE);
    cr_assert_eq(decided.error, ERR_DUPLICATE_BROKER_REGISTRATION);
    expect_text("node 1 runs at n1:9092");
    follower.leader_id = 2;
    says_at(1, &follower);
    now += SECOND;
    says_at(1, &follower);
    cr_assert_eq(doubt(), FOUNDING_WAIT, "that one is led by another");
}

Test(founding, peers_without_a_cluster_say_nothing_of_it)
{
    begin_member(3);
    round_of(0);
    round_of(0);
    cr_assert_eq(doubt(), FOUNDING_WAIT);
    expect_text("n2:9092 is in no cluster yet, n3:9092 is in no cluster yet");
}

Test(founding, addresses_have_one_form)
{
    char text[FOUNDING_ADDRESS_SIZE];
    founding_address(text, "Broker-1.Example", 9092);
    cr_assert_str_eq(text, "broker-1.example:9092");
    founding_address(text, "::1", 1);
    cr_assert_str_eq(text, "[::1]:1");
}

Test(founding, a_sentence_is_told_when_it_changes_and_every_ten_seconds)
{
    struct founding_told told = {0};
    struct founding_decision d = {.why = "a"};
    cr_assert(founding_tell(&told, &d, 1));
    cr_assert(!founding_tell(&told, &d, 2));
    cr_assert(!founding_tell(&told, &d, 10000000000));
    cr_assert(founding_tell(&told, &d, 10000000001));
    cr_assert(!founding_tell(&told, &d, 10000000002));
    snprintf(d.why, sizeof d.why, "b");
    cr_assert(founding_tell(&told, &d, 10000000003));
}

Test(founding, what_may_change_at_once_is_not_told_at_once)
{
    begin(1, 3);
    cr_assert_eq(decide(), FOUNDING_WAIT);
    cr_assert(decided.early, "nobody was heard yet");
    for (uint32_t i = 0; i < 3; i++) {
        founding_unheard(&peers[i], "connection refused");
        cr_assert_eq(decide(), FOUNDING_WAIT);
        cr_assert_eq(decided.early, i < 2);
    }
    round_of(0);
    cr_assert_eq(decide(), FOUNDING_WAIT);
    cr_assert(decided.early, "it only has to hold");

    struct founding_told told = {0};
    struct founding_decision d = {.why = "a", .early = true};
    cr_assert(!founding_tell(&told, &d, 1000));
    cr_assert(!founding_tell(&told, &d, 3000000999));
    cr_assert(founding_tell(&told, &d, 3000001000), "it has lasted");
    cr_assert(!founding_tell(&told, &d, 3000001001));
    d.early = false;
    snprintf(d.why, sizeof d.why, "b");
    cr_assert(founding_tell(&told, &d, 3000001002));
    d.early = true;
    snprintf(d.why, sizeof d.why, "c");
    cr_assert(!founding_tell(&told, &d, 3000001003), "it begins anew");
}
