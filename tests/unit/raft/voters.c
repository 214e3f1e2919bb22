/* SPDX-License-Identifier: Apache-2.0 */

/* Voters that come and go. */
#include "replica.h"

Test(raft, voters_change_one_by_one)
{
    struct replica r = leader_open();
    struct raft_voters next;
    cr_assert_eq(raft_change(r.raft, r.now, false, id_of(2), &next), ERR_BUSY);
    settle(&r);
    cr_assert_eq(raft_change(r.raft, r.now, true, id_of(2), &next), ERR_EXISTS);
    cr_assert_eq(raft_change(r.raft, r.now, false, id_of(8), &next), ERR_NOT_FOUND);
    cr_assert_eq(raft_change(r.raft, r.now, true, id_of(3), &next), ERR_REPLICA_NOT_AVAILABLE);
    receive(&r, fetch_from(3, 1, (struct raft_end){1, 1}));
    cr_assert_eq(raft_change(r.raft, r.now, true, id_of(3), &next), 0);
    cr_assert_eq(next.count, 4);
    raft_appended(r.raft, r.now, 2, &next);
    raft_flushed(r.raft, r.now, 2);
    keep_effects(&r);
    cr_assert_eq(raft_status(r.raft).voters->count, 4, "in force from the append on");
    cr_assert_eq(raft_change(r.raft, r.now, false, id_of(2), &next), ERR_BUSY);
    receive(&r, fetch_from(1, 1, (struct raft_end){1, 2}));
    cr_assert_null(effect(&r, RAFT_COMMITTED), "two of four are no majority");
    receive(&r, fetch_from(3, 1, (struct raft_end){1, 2}));
    cr_assert_eq(effect(&r, RAFT_COMMITTED)->offset, 2);
    cr_assert_eq(raft_change(r.raft, r.now, false, id_of(0), &next), 0);
    raft_appended(r.raft, r.now, 3, &next);
    raft_flushed(r.raft, r.now, 3);
    keep_effects(&r);
    receive(&r, fetch_from(1, 1, (struct raft_end){1, 3}));
    receive(&r, fetch_from(3, 1, (struct raft_end){1, 3}));
    cr_assert_neq(raft_status(r.raft).role, RAFT_LEADER, "its own removal is committed");
    replica_close(&r);
}

/* Of 0, 1 and 2 the last has not been heard of: without 1 nothing could be committed, without it all goes on. */
Test(raft, no_voter_goes_when_those_that_remain_could_commit_nothing)
{
    struct replica r = leader_open();
    struct raft_voters next = {.count = 77};
    settle(&r);
    cr_assert_eq(raft_change(r.raft, r.now, false, id_of(1), &next), ERR_NOT_ENOUGH_REPLICAS);
    cr_assert_eq(next.count, 77, "nothing is told with an error");
    cr_assert_eq(raft_change(r.raft, r.now, false, id_of(0), &next), ERR_NOT_ENOUGH_REPLICAS);
    cr_assert_eq(raft_change(r.raft, r.now, false, id_of(2), &next), 0);
    struct raft_message fetch = fetch_from(2, 1, (struct raft_end){1, 1});
    fetch.high_watermark = 1; /* it lacks nothing, and waits */
    receive(&r, fetch);
    cr_assert_eq(raft_change(r.raft, r.now, false, id_of(1), &next), 0);
    uint64_t asked = r.now += MS;
    cr_assert_not(raft_remaining(r.raft, r.now, id_of(1), asked), "2 may have gone meanwhile");
    keep_effects(&r);
    cr_assert_not_null(message(&r, RAFT_FETCH_ANSWER, 2), "it is made to fetch");
    r.now += MS;
    receive(&r, fetch);
    cr_assert(raft_remaining(r.raft, r.now, id_of(1), asked));
    cr_assert_not(raft_remaining(r.raft, r.now, id_of(2), asked), "1 has not come again");
    keep_effects(&r);
    cr_assert_null(message(&r, RAFT_FETCH_ANSWER, 2), "once");
    replica_close(&r);
}

/* A record with the voters in force, for their addresses, is no change: it holds up none, and what a truncation brings
 * back is not pushed out by it. */
Test(raft, the_same_voters_again_are_no_change)
{
    struct replica r = leader_open();
    settle(&r);
    struct raft_voters same = *raft_status(r.raft).voters, next;
    raft_appended(r.raft, r.now, 2, &same);
    keep_effects(&r);
    cr_assert_eq(raft_may_change(r.raft), 0);
    cr_assert_eq(raft_change(r.raft, r.now, false, id_of(2), &next), 0);
    raft_appended(r.raft, r.now, 3, &next);
    keep_effects(&r);
    cr_assert_eq(raft_may_change(r.raft), ERR_BUSY);
    replica_close(&r);
}

Test(raft, the_same_voters_again_push_out_none_that_a_truncation_brings_back)
{
    struct replica r = follower_open(5);
    struct raft_voters fewer = voters_of(2);
    struct raft_batch batches[2 * RAFT_VOTER_SETS_MAX];
    for (int64_t i = 0; i < (int64_t)array_size(batches); i++) {
        batches[i] = (struct raft_batch){10 + i, 11 + i, 1, &fewer};
    }
    struct raft_message answer = from(1, RAFT_FETCH_ANSWER, 1, 1);
    answer.ticket = message(&r, RAFT_FETCH, 1)->ticket;
    answer.end = (struct raft_end){1, 10};
    answer.batches = batches;
    answer.batch_count = array_size(batches);
    receive(&r, answer);
    cr_assert_eq(effect(&r, RAFT_APPEND)->count, array_size(batches));
    cr_assert_eq(raft_status(r.raft).voters->count, 2);
    raft_flushed(r.raft, r.now, 10 + (int64_t)array_size(batches));
    keep_effects(&r);
    answer = from(1, RAFT_FETCH_ANSWER, 1, 1);
    answer.ticket = message(&r, RAFT_FETCH, 1)->ticket;
    answer.end = (struct raft_end){1, 10 + (int64_t)array_size(batches)};
    answer.diverging = (struct raft_end){1, 10};
    receive(&r, answer);
    cr_assert_eq(effect(&r, RAFT_TRUNCATE)->offset, 10);
    cr_assert_eq(raft_status(r.raft).voters->count, 3);
    replica_close(&r);
}
