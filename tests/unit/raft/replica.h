/* SPDX-License-Identifier: Apache-2.0 */

/* One core, and the replicas around it that a test speaks for. */
#pragma once

#include "raft/raft.h"

#include <stdlib.h>

#include <criterion/criterion.h>

#define MS UINT64_C(1000000)

struct replica {
    struct raft *raft;
    uint64_t now;
    struct raft_effect effects[RAFT_EFFECTS_MAX]; /* of the last event */
    uint32_t count;
};

static inline struct raft_id id_of(int32_t node)
{
    return (struct raft_id){node, {{(uint8_t)(node + 1)}}};
}

static inline struct raft_voters voters_of(uint32_t count)
{
    struct raft_voters v = {.count = count};
    for (uint32_t i = 0; i < count; i++) {
        v.ids[i] = id_of((int32_t)i);
    }
    return v;
}

static inline void keep_effects(struct replica *r)
{
    const struct raft_effect *effects = raft_effects(r->raft, &r->count);
    memcpy(r->effects, effects, r->count * sizeof *effects);
    raft_effects_done(r->raft);
}

/* Replica 0 of `count` voters. */
static inline struct replica replica_open(uint32_t count, const struct raft_start *like)
{
    struct replica r = {.raft = malloc(raft_size()), .now = 1000 * MS};
    struct raft_options options = {.self = id_of(0), .seed = 7};
    struct raft_start start = {.vote.voted.node = RAFT_NOBODY, .snapshot.epoch = -1};
    start = like ? *like : start;
    start.voters = start.voters.count ? start.voters : voters_of(count);
    cr_assert_not_null(r.raft);
    cr_assert_eq(raft_init(r.raft, &options, &start, r.now), 0);
    keep_effects(&r);
    return r;
}

static inline void replica_close(struct replica *r)
{
    free(r->raft);
}

static inline const struct raft_effect *effect(const struct replica *r, enum raft_effect_kind kind)
{
    for (uint32_t i = 0; i < r->count; i++) {
        if (r->effects[i].kind == kind) {
            return &r->effects[i];
        }
    }
    return NULL;
}

static inline const struct raft_message *message(const struct replica *r, enum raft_kind kind,
                                                 int32_t to)
{
    for (uint32_t i = 0; i < r->count; i++) {
        const struct raft_message *m = &r->effects[i].message;
        if (r->effects[i].kind == RAFT_SEND && m->kind == kind && m->to.node == to) {
            return m;
        }
    }
    return NULL;
}

static inline void tick_until(struct replica *r)
{
    uint64_t due = raft_deadline(r->raft);
    cr_assert_neq(due, UINT64_MAX);
    r->now = due > r->now ? due : r->now;
    raft_tick(r->raft, r->now);
    keep_effects(r);
}

static inline void receive(struct replica *r, struct raft_message m)
{
    m.to = id_of(0);
    raft_receive(r->raft, r->now, &m);
    keep_effects(r);
}

static inline void vote_durable(struct replica *r)
{
    const struct raft_effect *e = effect(r, RAFT_SAVE_VOTE);
    cr_assert_not_null(e);
    raft_voted(r->raft, r->now, e->vote.sequence);
    keep_effects(r);
}

static inline struct raft_message from(int32_t node, enum raft_kind kind, int32_t epoch,
                                       int32_t leader)
{
    return (struct raft_message){.kind = kind,
                                 .from = id_of(node),
                                 .epoch = epoch,
                                 .leader = leader,
                                 .end.epoch = -1,
                                 .diverging.epoch = -1,
                                 .snapshot.epoch = -1,
                                 .high_watermark = -1};
}

static inline struct raft_message fetch_from(int32_t node, int32_t epoch, struct raft_end end)
{
    struct raft_message m = from(node, RAFT_FETCH, epoch, 0);
    m.end = end;
    m.high_watermark = 0;
    return m;
}

/* Epoch 1 of three voters, its first record appended and durable here. */
static inline struct replica leader_open(void)
{
    struct replica r = replica_open(3, NULL);
    tick_until(&r);
    struct raft_message promise = from(1, RAFT_VOTE_ANSWER, 0, RAFT_NOBODY);
    promise.pre = promise.granted = true;
    promise.ticket = message(&r, RAFT_VOTE, 1)->ticket;
    receive(&r, promise);
    vote_durable(&r);
    struct raft_message vote = from(1, RAFT_VOTE_ANSWER, 1, RAFT_NOBODY);
    vote.granted = true;
    vote.ticket = message(&r, RAFT_VOTE, 1)->ticket;
    receive(&r, vote);
    cr_assert_not_null(effect(&r, RAFT_LEAD));
    raft_appended(r.raft, r.now, 1, NULL);
    raft_flushed(r.raft, r.now, 1);
    keep_effects(&r);
    return r;
}

/* What has been fetched up to there is committed: the own record and another voter's copy. */
static inline void settle(struct replica *r)
{
    receive(r, fetch_from(1, 1, (struct raft_end){1, 1}));
    cr_assert_eq(effect(r, RAFT_COMMITTED)->offset, 1);
}

/* Follows replica 1, and has appended ten records, up to `known` committed; none is durable. */
static inline void follow_unflushed(struct replica *r, int64_t known)
{
    struct raft_batch batch = {0, 10, 1, NULL};
    receive(r, from(1, RAFT_BEGIN, 1, 1));
    vote_durable(r);
    struct raft_message answer = from(1, RAFT_FETCH_ANSWER, 1, 1);
    answer.ticket = message(r, RAFT_FETCH, 1)->ticket;
    answer.end = (struct raft_end){-1, 0};
    answer.high_watermark = known;
    answer.batches = &batch;
    answer.batch_count = 1;
    receive(r, answer);
    cr_assert_eq(effect(r, RAFT_APPEND)->count, 1);
    cr_assert_null(message(r, RAFT_FETCH, 1), "it asks when what it has is durable");
    cr_assert_leq(raft_status(r->raft).high_watermark, 0, "nothing of it is durable");
}

/* A follower, up to `known` committed. */
static inline struct replica follower_open(int64_t known)
{
    struct replica r = replica_open(3, NULL);
    follow_unflushed(&r, known);
    raft_flushed(r.raft, r.now, 10);
    keep_effects(&r);
    cr_assert_eq(message(&r, RAFT_FETCH, 1)->end.offset, 10);
    return r;
}
