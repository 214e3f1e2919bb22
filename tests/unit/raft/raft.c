/* SPDX-License-Identifier: Apache-2.0 */

/* One core among replicas that the test speaks for: what it says, and after what. Whole quorums among faults
 * are tests/sim/raft_world.h's. */
#include "replica.h"

Test(raft, a_quorum_of_one_leads_when_its_vote_is_durable)
{
    struct replica r = replica_open(1, NULL);
    raft_tick(r.raft, r.now);
    keep_effects(&r);
    cr_assert_null(effect(&r, RAFT_LEAD));
    cr_assert_eq(effect(&r, RAFT_SAVE_VOTE)->vote.epoch, 1);
    vote_durable(&r);
    cr_assert_not_null(effect(&r, RAFT_LEAD));
    raft_appended(r.raft, r.now, 1, NULL);
    keep_effects(&r);
    cr_assert_null(effect(&r, RAFT_COMMITTED), "not durable yet");
    raft_flushed(r.raft, r.now, 1);
    keep_effects(&r);
    cr_assert_eq(effect(&r, RAFT_COMMITTED)->offset, 1);
    replica_close(&r);
}

Test(raft, a_candidate_asks_first_and_votes_durably)
{
    struct replica r = replica_open(3, NULL);
    tick_until(&r);
    cr_assert(message(&r, RAFT_VOTE, 1)->pre && message(&r, RAFT_VOTE, 2)->pre);
    cr_assert_null(effect(&r, RAFT_SAVE_VOTE), "a promise asked for is nothing durable");
    struct raft_message promise = from(2, RAFT_VOTE_ANSWER, 0, RAFT_NOBODY);
    promise.pre = promise.granted = true;
    promise.ticket = message(&r, RAFT_VOTE, 2)->ticket;
    receive(&r, promise);
    cr_assert_null(message(&r, RAFT_VOTE, 1), "its own vote is not durable");
    vote_durable(&r);
    cr_assert_eq(message(&r, RAFT_VOTE, 1)->epoch, 1);
    cr_assert(!message(&r, RAFT_VOTE, 1)->pre);
    replica_close(&r);
}

/* Each life of an only voter is one election, however long its disk takes: a further one before the vote of the
 * last is durable would begin the same wait anew. */
Test(raft, no_further_election_before_the_vote_of_the_last_is_durable)
{
    for (uint32_t voters = 1; voters <= 3; voters += 2) {
        struct replica r = replica_open(voters, NULL);
        tick_until(&r);
        if (voters > 1) {
            struct raft_message promise = from(2, RAFT_VOTE_ANSWER, 0, RAFT_NOBODY);
            promise.pre = promise.granted = true;
            promise.ticket = message(&r, RAFT_VOTE, 2)->ticket;
            receive(&r, promise);
        }
        const struct raft_vote asked = effect(&r, RAFT_SAVE_VOTE)->vote;
        for (int i = 0; i < 10; i++) {
            tick_until(&r);
            cr_assert_null(effect(&r, RAFT_SAVE_VOTE));
        }
        raft_voted(r.raft, r.now, asked.sequence);
        keep_effects(&r);
        cr_assert_eq(raft_status(r.raft).epoch, 1);
        cr_assert(effect(&r, RAFT_LEAD) || message(&r, RAFT_VOTE, 1)->epoch == 1);
        replica_close(&r);
    }
}

Test(raft, one_vote_in_an_epoch_also_after_a_restart)
{
    struct replica r = replica_open(3, NULL);
    receive(&r, from(1, RAFT_VOTE, 5, RAFT_NOBODY));
    cr_assert_null(message(&r, RAFT_VOTE_ANSWER, 1), "not before it is durable");
    struct raft_vote saved = {0};
    for (uint32_t i = 0; i < r.count; i++) {
        saved = r.effects[i].kind == RAFT_SAVE_VOTE ? r.effects[i].vote : saved;
    }
    raft_voted(r.raft, r.now, saved.sequence);
    keep_effects(&r);
    cr_assert(message(&r, RAFT_VOTE_ANSWER, 1)->granted);
    receive(&r, from(2, RAFT_VOTE, 5, RAFT_NOBODY));
    cr_assert(!message(&r, RAFT_VOTE_ANSWER, 2)->granted);
    replica_close(&r);
    struct raft_start start = {.vote = saved, .snapshot.epoch = -1};
    r = replica_open(3, &start);
    receive(&r, from(2, RAFT_VOTE, 5, RAFT_NOBODY));
    cr_assert(!message(&r, RAFT_VOTE_ANSWER, 2)->granted);
    receive(&r, from(1, RAFT_VOTE, 5, RAFT_NOBODY));
    cr_assert(message(&r, RAFT_VOTE_ANSWER, 1)->granted);
    replica_close(&r);
}

Test(raft, a_promise_is_refused_while_a_leader_is_heard)
{
    struct replica r = replica_open(3, NULL);
    receive(&r, from(1, RAFT_BEGIN, 1, 1));
    vote_durable(&r);
    cr_assert_not_null(message(&r, RAFT_FETCH, 1), "it fetches when its epoch is durable");
    struct raft_message ask = from(2, RAFT_VOTE, 1, RAFT_NOBODY);
    ask.pre = true;
    receive(&r, ask);
    cr_assert(!message(&r, RAFT_VOTE_ANSWER, 2)->granted);
    cr_assert_eq(message(&r, RAFT_VOTE_ANSWER, 2)->leader, 1);
    r.now += 1001 * MS;
    receive(&r, ask);
    cr_assert(message(&r, RAFT_VOTE_ANSWER, 2)->granted,
              "he has been silent for an election's time");
    cr_assert_eq(raft_status(r.raft).epoch, 1, "and nothing has changed");
    replica_close(&r);
}

/* Where a leader is heard, who has just started follows it long before that has to begin its epoch anew. */
Test(raft, who_has_just_started_asks_at_once_who_leads)
{
    struct replica r = replica_open(3, NULL);
    uint64_t began = r.now;
    tick_until(&r);
    cr_assert_leq(r.now, began + 80 * MS);
    cr_assert(message(&r, RAFT_VOTE, 1)->pre && message(&r, RAFT_VOTE, 2)->pre);
    cr_assert_null(effect(&r, RAFT_SAVE_VOTE), "it disturbs nobody");
    struct raft_message refusal = from(2, RAFT_VOTE_ANSWER, 3, 1);
    refusal.pre = true;
    refusal.ticket = message(&r, RAFT_VOTE, 2)->ticket;
    receive(&r, refusal);
    vote_durable(&r);
    cr_assert_eq(raft_status(r.raft).role, RAFT_FOLLOWER);
    cr_assert_not_null(message(&r, RAFT_FETCH, 1));
    replica_close(&r);
}

/* Whether somebody leads is asked with a fetch, and who does lead counts what it tells. */
Test(raft, no_fetch_tells_of_more_than_is_durable)
{
    struct replica r = replica_open(3, NULL);
    follow_unflushed(&r, 0);
    while (raft_status(r.raft).role != RAFT_PROSPECTIVE) {
        tick_until(&r);
    }
    struct raft_message refusal = from(2, RAFT_VOTE_ANSWER, 1, 1);
    refusal.pre = true;
    refusal.ticket = message(&r, RAFT_VOTE, 2)->ticket;
    receive(&r, refusal);
    cr_assert_null(message(&r, RAFT_FETCH, 1), "nothing of it is on the disk");
    raft_flushed(r.raft, r.now, 10);
    keep_effects(&r);
    receive(&r, refusal);
    cr_assert_eq(message(&r, RAFT_FETCH, 1)->end.offset, 10);
    replica_close(&r);
}

/* It may be a voter for the leader already, and not know. */
Test(raft, nor_does_an_observer_s_that_asks_around)
{
    struct raft_start start = {.vote.voted.node = RAFT_NOBODY, .snapshot.epoch = -1};
    start.voters = (struct raft_voters){2, {id_of(1), id_of(2)}};
    struct replica r = replica_open(0, &start);
    follow_unflushed(&r, 0);
    receive(&r, from(2, RAFT_VOTE, 2, RAFT_NOBODY));
    vote_durable(&r);
    for (int i = 0; i < 20 && raft_deadline(r.raft) != UINT64_MAX; i++) {
        tick_until(&r);
        cr_assert_null(message(&r, RAFT_FETCH, 1));
        cr_assert_null(message(&r, RAFT_FETCH, 2));
    }
    cr_assert_eq(raft_status(r.raft).role, RAFT_UNATTACHED);
    raft_flushed(r.raft, r.now, 10);
    tick_until(&r);
    cr_assert(message(&r, RAFT_FETCH, 1) || message(&r, RAFT_FETCH, 2), "it asks around again");
    replica_close(&r);
}

/* Its process has died: nobody waits for its silence to be long. */
Test(raft, a_leader_whose_machine_refuses_is_lost)
{
    struct replica r = replica_open(3, NULL);
    receive(&r, from(1, RAFT_BEGIN, 1, 1));
    vote_durable(&r);
    r.now += 10 * MS;
    raft_lost(r.raft, r.now, 2, true);
    raft_lost(r.raft, r.now, 2, false);
    keep_effects(&r);
    cr_assert_eq(r.count, 0, "another than its leader");
    raft_lost(r.raft, r.now, 1, false);
    keep_effects(&r);
    cr_assert_not_null(message(&r, RAFT_FETCH, 1), "the connection alone: it asks again at once");
    cr_assert_gt(raft_deadline(r.raft), r.now + 500 * MS);
    uint64_t began = r.now;
    raft_lost(r.raft, r.now, 1, true);
    keep_effects(&r);
    cr_assert_eq(raft_status(r.raft).role, RAFT_FOLLOWER, "others may have lost it as well");
    struct raft_message ask = from(2, RAFT_VOTE, 1, RAFT_NOBODY);
    ask.pre = true;
    receive(&r, ask);
    cr_assert(message(&r, RAFT_VOTE_ANSWER, 2)->granted, "it refuses nobody for its sake");
    tick_until(&r);
    cr_assert_eq(raft_status(r.raft).role, RAFT_PROSPECTIVE);
    cr_assert_leq(r.now, began + 40 * MS);
    cr_assert(message(&r, RAFT_VOTE, 2)->pre);
    replica_close(&r);
}

/* Two that have heard their leader at the same time do not stand for election at the same time. */
Test(raft, followers_lose_their_leader_one_after_the_other)
{
    uint64_t losses[8];
    struct replica r = replica_open(3, NULL);
    for (int32_t i = 0; i < 8; i++) {
        receive(&r, from(1, RAFT_BEGIN, i + 1, 1));
        vote_durable(&r);
        r.now += 100 * MS;
        receive(&r, from(1, RAFT_BEGIN, i + 1, 1));
        uint64_t heard = r.now;
        while (raft_status(r.raft).role == RAFT_FOLLOWER) {
            tick_until(&r);
        }
        losses[i] = r.now - heard;
        cr_assert(losses[i] >= 2000 * MS && losses[i] < 2250 * MS);
        for (int32_t k = 0; k < i; k++) {
            cr_assert(losses[i] > losses[k] + MS / 10 || losses[k] > losses[i] + MS / 10);
        }
    }
    replica_close(&r);
}

Test(raft, commits_by_a_majority_of_durable_ends)
{
    struct replica r = leader_open();
    cr_assert_eq(raft_status(r.raft).high_watermark, -1);
    settle(&r);
    raft_appended(r.raft, r.now, 5, NULL);
    keep_effects(&r);
    struct raft_message fetch = fetch_from(1, 1, (struct raft_end){1, 5});
    fetch.high_watermark = 1;
    receive(&r, fetch);
    cr_assert_null(effect(&r, RAFT_COMMITTED), "one of three has it durable");
    raft_flushed(r.raft, r.now, 4);
    keep_effects(&r);
    cr_assert_eq(effect(&r, RAFT_COMMITTED)->offset, 4);
    cr_assert_eq(message(&r, RAFT_FETCH_ANSWER, 1)->high_watermark, 4, "who waits is told");
    replica_close(&r);
}

Test(raft, who_diverges_or_is_behind_the_log_is_told)
{
    struct raft_voters voters = voters_of(3);
    struct raft_batch batches[] = {{100, 110, 2, NULL}, {110, 120, 4, NULL}};
    struct raft_start start = {.vote = {3, 4, {RAFT_NOBODY, {{0}}}},
                               .snapshot = {2, 100},
                               .voters = voters,
                               .batches = batches,
                               .batch_count = 2};
    struct replica r = replica_open(3, &start);
    tick_until(&r);
    struct raft_message yes = from(1, RAFT_VOTE_ANSWER, 4, RAFT_NOBODY);
    yes.pre = yes.granted = true;
    yes.ticket = message(&r, RAFT_VOTE, 1)->ticket;
    receive(&r, yes);
    vote_durable(&r);
    yes = from(1, RAFT_VOTE_ANSWER, 5, RAFT_NOBODY);
    yes.granted = true;
    yes.ticket = message(&r, RAFT_VOTE, 1)->ticket;
    receive(&r, yes);
    cr_assert_not_null(effect(&r, RAFT_LEAD));
    receive(&r, fetch_from(1, 5, (struct raft_end){3, 115}));
    cr_assert_eq(message(&r, RAFT_FETCH_ANSWER, 1)->diverging.epoch, 2);
    cr_assert_eq(message(&r, RAFT_FETCH_ANSWER, 1)->diverging.offset, 110);
    receive(&r, fetch_from(1, 5, (struct raft_end){4, 130}));
    cr_assert_eq(message(&r, RAFT_FETCH_ANSWER, 1)->diverging.epoch, 4);
    cr_assert_eq(message(&r, RAFT_FETCH_ANSWER, 1)->diverging.offset, 120);
    receive(&r, fetch_from(1, 5, (struct raft_end){1, 40}));
    cr_assert_eq(message(&r, RAFT_FETCH_ANSWER, 1)->snapshot.offset, 100);
    receive(&r, fetch_from(1, 5, (struct raft_end){2, 105}));
    cr_assert_eq(message(&r, RAFT_FETCH_ANSWER, 1)->end.offset, 105, "and who follows is served");
    replica_close(&r);
}

/* Votes 1 and 2 are of the epochs that `start` leads to. */
static struct replica elected(const struct raft_start *start)
{
    struct replica r = replica_open(3, start);
    tick_until(&r);
    struct raft_message yes = from(1, RAFT_VOTE_ANSWER, start->vote.epoch, RAFT_NOBODY);
    yes.pre = yes.granted = true;
    yes.ticket = message(&r, RAFT_VOTE, 1)->ticket;
    receive(&r, yes);
    vote_durable(&r);
    yes = from(1, RAFT_VOTE_ANSWER, start->vote.epoch + 1, RAFT_NOBODY);
    yes.granted = true;
    yes.ticket = message(&r, RAFT_VOTE, 1)->ticket;
    receive(&r, yes);
    cr_assert_not_null(effect(&r, RAFT_LEAD));
    return r;
}

/* What a leader with more epochs in its log than it remembers says to who asks with one of them. */
static struct raft_message told(struct raft_end snapshot, struct raft_end asked)
{
    enum { EPOCHS = RAFT_EPOCHS_MAX + 40 };
    struct raft_batch batches[EPOCHS];
    for (int32_t i = 0; i < EPOCHS; i++) {
        int64_t base = snapshot.offset + 10 * i;
        batches[i] = (struct raft_batch){base, base + 10, snapshot.epoch + 1 + i, NULL};
    }
    int32_t last = batches[EPOCHS - 1].epoch;
    struct raft_start start = {.vote = {3, last, {RAFT_NOBODY, {{0}}}},
                               .snapshot = snapshot,
                               .batches = batches,
                               .batch_count = EPOCHS};
    struct replica r = elected(&start);
    receive(&r, fetch_from(1, last + 1, asked));
    const struct raft_message *answer = message(&r, RAFT_FETCH_ANSWER, 1);
    cr_assert_not_null(answer);
    struct raft_message out = *answer;
    replica_close(&r);
    return out;
}

Test(raft, a_forgotten_epoch_is_not_taken_for_one_that_follows)
{
    struct raft_message m = told((struct raft_end){-1, 0}, (struct raft_end){3, 35});
    cr_assert_eq(m.error, ERR_SNAPSHOT_NOT_FOUND, "nobody knows whether records follow that");
    cr_assert_eq(m.snapshot.epoch, -1);
    m = told((struct raft_end){-1, 0}, (struct raft_end){-1, 0});
    cr_assert_eq(m.error, 0, "nothing is followed by everything");
    m = told((struct raft_end){5, 100}, (struct raft_end){5, 100});
    cr_assert_eq(m.error, 0);
    cr_assert_eq(m.snapshot.epoch, -1, "who has loaded the snapshot goes on behind it");
    m = told((struct raft_end){5, 100}, (struct raft_end){7, 125});
    cr_assert_eq(m.error, ERR_SNAPSHOT_NOT_FOUND,
                 "what it has behind the snapshot may be committed");
    cr_assert_eq(m.snapshot.epoch, -1);
    m = told((struct raft_end){5, 100}, (struct raft_end){4, 125});
    cr_assert_eq(m.snapshot.offset, 100, "what is older than the snapshot is not");
    m = told((struct raft_end){5, 100}, (struct raft_end){7, 80});
    cr_assert_eq(m.snapshot.offset, 100);
    m = told((struct raft_end){5, 100}, (struct raft_end){100, 1100});
    cr_assert(m.diverging.epoch == 100 && m.diverging.offset == 1050,
              "a known epoch is not forgotten");
}

Test(raft, who_loads_a_snapshot_and_its_leader_hear_of_each_other)
{
    struct raft_start start = {.vote.voted.node = RAFT_NOBODY, .snapshot.epoch = -1};
    struct replica r = elected(&start);
    receive(&r, fetch_from(1, 1, (struct raft_end){-1, 0}));
    for (int i = 0; i < 10; i++) {
        r.now += 1000 * MS;
        raft_heard(r.raft, r.now, id_of(1), 1);
        raft_tick(r.raft, r.now);
        keep_effects(&r);
        cr_assert_eq(raft_status(r.raft).role, RAFT_LEADER, "of three, it hears one (R6)");
    }
    for (int i = 0; i < 10; i++) {
        r.now += 1000 * MS;
        raft_heard(r.raft, r.now, id_of(1), 0);
        raft_tick(r.raft, r.now);
        keep_effects(&r);
    }
    cr_assert_neq(raft_status(r.raft).role, RAFT_LEADER,
                  "who asks in another epoch counts for none");
    replica_close(&r);
    r = replica_open(3, NULL);
    receive(&r, from(1, RAFT_BEGIN, 1, 1));
    vote_durable(&r);
    for (int i = 0; i < 10; i++) {
        r.now += 1000 * MS;
        raft_heard(r.raft, r.now, (struct raft_id){.node = 1}, 1);
        raft_tick(r.raft, r.now);
        keep_effects(&r);
        cr_assert_eq(raft_status(r.raft).leader, 1);
    }
    replica_close(&r);
}

Test(raft, a_follower_truncates_what_is_not_committed_and_nothing_else)
{
    for (int64_t known = 5; known <= 10; known += 5) {
        struct replica r = follower_open(known);
        cr_assert_eq(raft_status(r.raft).high_watermark, known);
        struct raft_message answer = from(1, RAFT_FETCH_ANSWER, 1, 1);
        answer.ticket = message(&r, RAFT_FETCH, 1)->ticket;
        answer.end = (struct raft_end){1, 10};
        answer.diverging = (struct raft_end){1, 7};
        receive(&r, answer);
        if (known == 5) {
            cr_assert_eq(effect(&r, RAFT_TRUNCATE)->offset, 7);
            cr_assert_eq(message(&r, RAFT_FETCH, 1)->end.offset, 7);
        } else {
            cr_assert_eq(effect(&r, RAFT_CONTRADICTED)->leader, 1);
            cr_assert_eq(effect(&r, RAFT_CONTRADICTED)->end.offset, 7);
            cr_assert_eq(effect(&r, RAFT_CONTRADICTED)->offset, 10);
            cr_assert_null(effect(&r, RAFT_TRUNCATE));
            cr_assert_eq(raft_status(r.raft).end.offset, 10);
        }
        replica_close(&r);
    }
}

/* A leader of epoch 2 that says that it has nothing. */
static void contradict(struct replica *r)
{
    receive(r, from(2, RAFT_BEGIN, 2, 2));
    vote_durable(r);
    struct raft_message answer = from(2, RAFT_FETCH_ANSWER, 2, 2);
    answer.ticket = message(r, RAFT_FETCH, 2)->ticket;
    answer.end = (struct raft_end){1, 10};
    answer.diverging = (struct raft_end){0, 0};
    receive(r, answer);
    cr_assert_not_null(effect(r, RAFT_CONTRADICTED));
    cr_assert_eq(effect(r, RAFT_FOLLOW)->leader, RAFT_NOBODY);
}

Test(raft, a_leader_that_contradicts_what_is_committed_is_as_good_as_gone)
{
    struct replica r = follower_open(10);
    contradict(&r);
    struct raft_status s = raft_status(r.raft);
    cr_assert_not(s.damaged);
    cr_assert_eq(s.role, RAFT_UNATTACHED);
    cr_assert_eq(s.end.offset, 10);
    cr_assert_eq(s.high_watermark, 10);

    /* Whatever he says in that epoch, and others of him. */
    receive(&r, from(2, RAFT_BEGIN, 2, 2));
    cr_assert_eq(raft_status(r.raft).leader, RAFT_NOBODY);
    tick_until(&r);
    cr_assert_eq(raft_status(r.raft).role, RAFT_PROSPECTIVE);
    struct raft_message refusal = from(1, RAFT_VOTE_ANSWER, 2, 2);
    refusal.pre = true;
    refusal.ticket = message(&r, RAFT_VOTE, 1)->ticket;
    receive(&r, refusal);
    refusal.from = id_of(2);
    receive(&r, refusal);
    struct raft_message answer = from(2, RAFT_FETCH_ANSWER, 2, 2);
    answer.end = (struct raft_end){1, 10};
    answer.diverging = (struct raft_end){0, 0};
    receive(&r, answer);
    cr_assert_eq(r.count, 0);
    cr_assert_eq(raft_status(r.raft).leader, RAFT_NOBODY);
    cr_assert_eq(raft_status(r.raft).end.offset, 10);

    /* He may be elected, and have all that is needed. */
    receive(&r, from(2, RAFT_BEGIN, 3, 2));
    vote_durable(&r);
    cr_assert_eq(raft_status(r.raft).leader, 2);
    cr_assert_eq(message(&r, RAFT_FETCH, 2)->end.offset, 10);
    replica_close(&r);
}

/* Who does not vote asks around for another leader. */
Test(raft, an_observer_leaves_a_leader_that_contradicts_what_is_committed)
{
    struct raft_voters others = {.count = 2, .ids = {id_of(1), id_of(2)}};
    struct raft_start start = {
        .vote = {.epoch = 1, .voted.node = RAFT_NOBODY}, .snapshot = {1, 10}, .voters = others};
    struct replica r = replica_open(3, &start);
    contradict(&r);
    cr_assert_eq(raft_status(r.raft).end.offset, 10);
    for (int i = 0; i < 10; i++) {
        tick_until(&r);
        const struct raft_message *m = message(&r, RAFT_FETCH, 1);
        m = m ? m : message(&r, RAFT_FETCH, 2);
        cr_assert_not_null(m);
        struct raft_message told = from(m->to.node, RAFT_FETCH_ANSWER, 2, 2);
        told.error = ERR_NOT_LEADER_OR_FOLLOWER;
        told.ticket = m->ticket;
        receive(&r, told);
        cr_assert_eq(raft_status(r.raft).leader, RAFT_NOBODY);
    }
    struct raft_message told = from(1, RAFT_FETCH_ANSWER, 3, 2);
    told.error = ERR_NOT_LEADER_OR_FOLLOWER;
    receive(&r, told);
    cr_assert_eq(raft_status(r.raft).leader, 2);
    replica_close(&r);
}

Test(raft, a_read_waits_for_a_majority_that_fetches_after_it)
{
    struct replica r = leader_open();
    uint64_t first, second;
    cr_assert_eq(raft_read(r.raft, r.now, &first), ERR_BUSY, "nothing of its epoch is committed");
    settle(&r);
    cr_assert_eq(raft_read(r.raft, r.now, &first), 0);
    cr_assert_eq(raft_read(r.raft, r.now, &second), 0);
    keep_effects(&r);
    cr_assert_null(effect(&r, RAFT_READABLE));
    struct raft_message fetch = fetch_from(2, 1, (struct raft_end){-1, 0});
    receive(&r, fetch);
    cr_assert_null(effect(&r, RAFT_READABLE), "it may have been sent long ago");
    fetch.reads = message(&r, RAFT_FETCH_ANSWER, 2)->reads;
    receive(&r, fetch);
    cr_assert_eq(effect(&r, RAFT_READABLE)->sequence, second);
    cr_assert_eq(effect(&r, RAFT_READABLE)->offset, 1);
    cr_assert_eq(raft_read(r.raft, r.now, &first), 0);
    receive(&r, from(1, RAFT_BEGIN, 2, 1));
    cr_assert_not_null(effect(&r, RAFT_UNREADABLE));
    cr_assert_eq(raft_read(r.raft, r.now, &first), ERR_NOT_CONTROLLER);
    replica_close(&r);
}

Test(raft, a_leader_that_nobody_fetches_from_resigns)
{
    struct replica r = leader_open();
    settle(&r);
    uint64_t begun = r.now;
    while (raft_status(r.raft).role == RAFT_LEADER) {
        tick_until(&r);
        cr_assert_leq(r.now, begun + 3000 * MS);
    }
    cr_assert_geq(r.now, begun + 3000 * MS);
    cr_assert_not_null(message(&r, RAFT_END, 1));
    cr_assert(message(&r, RAFT_END, 1)->preferred, "it has most of the log");
    cr_assert(!message(&r, RAFT_END, 2)->preferred);
    replica_close(&r);
}

static int32_t preferred_of(const struct replica *r)
{
    for (int32_t node = 1; node <= 2; node++) {
        const struct raft_message *m = message(r, RAFT_END, node);
        if (m && m->preferred) {
            return node;
        }
    }
    return RAFT_NOBODY;
}

Test(raft, a_leader_yields_to_whom_it_is_told)
{
    static const struct {
        int32_t heir, preferred;
    } cases[] = {{1, 1}, {2, 2}, {RAFT_NOBODY, 2}, {0, 2}, {7, 2}};
    for (size_t i = 0; i < array_size(cases); i++) {
        struct replica r = leader_open();
        receive(&r, fetch_from(2, 1, (struct raft_end){1, 1}));
        raft_yield(r.raft, r.now, cases[i].heir);
        keep_effects(&r);
        cr_assert_neq(raft_status(r.raft).role, RAFT_LEADER);
        cr_assert(message(&r, RAFT_END, 1) && message(&r, RAFT_END, 2));
        cr_assert_eq(preferred_of(&r), cases[i].preferred, "%d: %d", (int)cases[i].heir,
                     (int)preferred_of(&r));
        raft_yield(r.raft, r.now, 1);
        keep_effects(&r);
        cr_assert_eq(r.count, 0, "it does not lead");
        replica_close(&r);
    }
}

/* EndQuorumEpoch travels on a connection of its own, and may be in front of what was said before; when it is lost, the
 * answer to a fetch says the same. */
Test(raft, a_leader_that_gave_up_is_not_followed_again)
{
    for (int how = 0; how < 2; how++) {
        struct replica r = follower_open(5);
        struct raft_message answer = from(1, RAFT_FETCH_ANSWER, 1, 1);
        answer.ticket = message(&r, RAFT_FETCH, 1)->ticket;
        answer.end = (struct raft_end){1, 10};
        if (how == 0) {
            receive(&r, from(1, RAFT_END, 1, RAFT_NOBODY));
        } else {
            answer.error = ERR_NOT_LEADER_OR_FOLLOWER;
            answer.leader = RAFT_NOBODY;
        }
        receive(&r, answer);
        cr_assert_eq(raft_status(r.raft).role, RAFT_UNATTACHED);
        receive(&r, from(1, RAFT_BEGIN, 1, 1));
        struct raft_message refusal = from(2, RAFT_VOTE_ANSWER, 1, 1);
        receive(&r, refusal);
        cr_assert_eq(raft_status(r.raft).leader, RAFT_NOBODY, "of that epoch");
        receive(&r, from(1, RAFT_BEGIN, 2, 1));
        cr_assert_eq(raft_status(r.raft).leader, 1, "of the next");
        replica_close(&r);
    }
}

Test(raft, an_observer_asks_around_for_the_leader)
{
    struct raft_start start = {.vote.voted.node = RAFT_NOBODY, .snapshot.epoch = -1};
    start.voters = (struct raft_voters){2, {id_of(1), id_of(2)}};
    struct replica r = replica_open(0, &start);
    tick_until(&r);
    const struct raft_message *asked = message(&r, RAFT_FETCH, 1);
    asked = asked ? asked : message(&r, RAFT_FETCH, 2);
    cr_assert_not_null(asked);
    struct raft_message answer = from(asked->to.node, RAFT_FETCH_ANSWER, 3, 9);
    answer.error = ERR_NOT_LEADER_OR_FOLLOWER;
    receive(&r, answer);
    vote_durable(&r);
    cr_assert_not_null(message(&r, RAFT_FETCH, 9), "also when it does not know him as a voter");
    for (int i = 0; i < 20; i++) {
        tick_until(&r);
        cr_assert_null(message(&r, RAFT_VOTE, 1));
    }
    replica_close(&r);
}

/* A node whose disk was lost comes back in another directory, and the one that votes under its id is gone. */
Test(raft, who_lost_its_directory_does_not_ask_itself)
{
    struct raft_start start = {.vote.voted.node = RAFT_NOBODY, .snapshot.epoch = -1};
    start.voters = voters_of(2);
    start.voters.ids[0].directory.bytes[1] = 1;
    struct replica r = replica_open(0, &start);
    bool asked = false;
    for (int i = 0; i < 20; i++) {
        tick_until(&r);
        cr_assert_null(message(&r, RAFT_FETCH, 0));
        cr_assert_null(message(&r, RAFT_VOTE, 1));
        asked = asked || message(&r, RAFT_FETCH, 1);
    }
    cr_assert(asked);
    replica_close(&r);
}

/* Nothing that comes ends the process; and no effect follows damage. */
/* One message of a stranger must not take the quorum to where no epoch follows. */
Test(raft, an_epoch_far_ahead_is_not_believed)
{
    static const enum raft_kind kinds[] = {RAFT_VOTE,  RAFT_VOTE_ANSWER,  RAFT_BEGIN,
                                           RAFT_FETCH, RAFT_FETCH_ANSWER, RAFT_END};
    struct replica r = replica_open(3, NULL);
    int32_t epoch = raft_status(r.raft).epoch;
    for (size_t i = 0; i < array_size(kinds); i++) {
        struct raft_message m = from(2, kinds[i], INT32_MAX - 1, 2);
        receive(&r, m);
        cr_assert_eq(raft_status(r.raft).epoch, epoch, "kind %d", (int)kinds[i]);
    }
    /* Nor does who does not vote depose anybody. */
    struct raft_message fetch = from(7, RAFT_FETCH, epoch + 3, -1);
    fetch.end = (struct raft_end){-1, 0};
    receive(&r, fetch);
    cr_assert_eq(raft_status(r.raft).epoch, epoch);
    fetch = from(2, RAFT_FETCH, epoch + 3, -1);
    fetch.end = (struct raft_end){-1, 0};
    receive(&r, fetch);
    cr_assert_eq(raft_status(r.raft).epoch, epoch + 3, "a voter does");
    replica_close(&r);
}

Test(raft, any_message_is_survived)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct prng random = prng_of(seed);
        struct replica r = replica_open(3, NULL);
        uint64_t sequence = 0;
        for (int step = 0; step < 400; step++) {
            struct raft_voters voters = voters_of((uint32_t)prng_below(&random, 9) % 8);
            struct raft_batch batches[3];
            int64_t at = raft_status(r.raft).end.offset - (int64_t)prng_below(&random, 3);
            for (unsigned i = 0; i < 3; i++) {
                int64_t end = at + (int64_t)prng_below(&random, 4);
                batches[i] = (struct raft_batch){
                    at, end, raft_status(r.raft).epoch - (int32_t)prng_below(&random, 3),
                    prng_below(&random, 3) ? NULL : &voters};
                at = end;
            }
            int32_t epoch = raft_status(r.raft).epoch + (int32_t)prng_below(&random, 4) - 1;
            struct raft_message m =
                from((int32_t)prng_below(&random, 5) - 1, (enum raft_kind)prng_below(&random, 6),
                     epoch, (int32_t)prng_below(&random, 5) - 1);
            m.pre = prng_below(&random, 2);
            m.granted = m.preferred = prng_below(&random, 2);
            m.ticket = prng_below(&random, 12);
            m.error = prng_below(&random, 4) ? 0 : ERR_FENCED_LEADER_EPOCH;
            m.end = (struct raft_end){epoch - (int32_t)prng_below(&random, 3),
                                      raft_status(r.raft).end.offset +
                                          (int64_t)prng_below(&random, 5) - 2};
            m.high_watermark = (int64_t)prng_below(&random, 40) - 1;
            m.diverging = (struct raft_end){(int32_t)prng_below(&random, 20) - 15,
                                            (int64_t)prng_below(&random, 30)};
            m.batches = batches;
            m.batch_count = (uint32_t)prng_below(&random, 4);
            r.now += prng_below(&random, 800) * MS;
            receive(&r, m);
            for (uint32_t i = 0; i < r.count; i++) {
                sequence =
                    r.effects[i].kind == RAFT_SAVE_VOTE ? r.effects[i].vote.sequence : sequence;
            }
            raft_flushed(r.raft, r.now, raft_status(r.raft).end.offset);
            if (sequence && prng_below(&random, 2)) {
                raft_voted(r.raft, r.now, sequence);
                sequence = 0;
            }
            raft_tick(r.raft, r.now);
            keep_effects(&r);
            for (uint32_t i = 0; i < r.count; i++) {
                sequence =
                    r.effects[i].kind == RAFT_SAVE_VOTE ? r.effects[i].vote.sequence : sequence;
            }
        }
        replica_close(&r);
    }
}

Test(raft, a_leader_tells_what_it_knows_of_the_replicas)
{
    struct raft_replica known[RAFT_REPLICAS_MAX];
    struct replica r = replica_open(3, NULL);
    cr_assert_eq(raft_replicas(r.raft, r.now, known), 0, "it does not lead");
    replica_close(&r);
    r = leader_open();
    cr_assert_eq(raft_replicas(r.raft, r.now, known), 3);
    cr_assert(raft_id_equal(known[0].id, id_of(0)) && known[0].voter && known[0].end == 1);
    cr_assert(known[0].fetched_ns == r.now && known[0].caught_up_ns == r.now);
    for (int i = 1; i < 3; i++) { /* it has met them, but they have not fetched */
        cr_assert(known[i].voter && known[i].end == -1);
        cr_assert(known[i].fetched_ns == 0 && known[i].caught_up_ns == 0);
    }
    settle(&r);
    uint64_t settled = r.now;
    r.now += 10 * MS;
    receive(&r, fetch_from(2, 1, (struct raft_end){-1, 0})); /* lacks the first record */
    receive(&r, fetch_from(7, 1, (struct raft_end){1, 1}));  /* an observer */
    cr_assert_eq(raft_replicas(r.raft, r.now + MS, known), 4);
    cr_assert(known[0].fetched_ns == r.now + MS && known[0].caught_up_ns == r.now + MS);
    cr_assert(known[1].id.node == 1 && known[1].end == 1);
    cr_assert(known[1].fetched_ns == settled && known[1].caught_up_ns == settled);
    cr_assert(known[2].id.node == 2 && known[2].voter && known[2].end == 0);
    cr_assert(known[2].fetched_ns == r.now && known[2].caught_up_ns == 0);
    cr_assert(raft_id_equal(known[3].id, id_of(7)) && !known[3].voter && known[3].end == 1);
    cr_assert(known[3].fetched_ns == r.now && known[3].caught_up_ns == r.now);
    raft_resign(r.raft, r.now);
    keep_effects(&r);
    cr_assert_eq(raft_replicas(r.raft, r.now, known), 0, "it leads no more");
    replica_close(&r);
}
