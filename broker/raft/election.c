/* SPDX-License-Identifier: Apache-2.0 */

/* Epochs and votes: who may lead.
 *
 * Before it stands for election a replica asks whether it would be voted for (PreVote): one that was cut off
 * and comes back does not depose a leader that all others hear. What somebody else says of a leader makes
 * it worth a try, no more: only who has heard him himself refuses others for his sake, else two that have
 * both lost him would keep each other waiting. */
#include "raft/raft_private.h"

enum {
    PATIENCE_PART = 4
}; /* of the time of an election, in which followers of one leader lose him */

bool raft_is_voter(const struct raft *r)
{
    return raft_voters_have(history_voters(&r->log), r->options.self);
}

/* Its removal is not committed, as far as it knows. It may be the only one with that record, and then nobody else can
 * be elected by those who need its vote (Raft, dissertation, 4.2.2). */
static bool is_leaving(const struct raft *r)
{
    const struct raft_voters *before = history_voters_before(&r->log);
    return before && raft_voters_have(before, r->options.self) &&
           history_voters_from(&r->log) >= r->high_watermark &&
           !raft_mutated(r, RAFT_MUTANT_LEAVER_WAITS);
}

static bool may_stand(const struct raft *r)
{
    return (raft_is_voter(r) || is_leaving(r)) && !r->options.may_not_vote;
}

/* --- roles ------------------------------------------------------------------------------------ */

static void vote_set(struct raft *r, int32_t epoch, struct raft_id voted)
{
    assert(epoch >= r->vote.epoch);
    r->vote = (struct raft_vote){r->vote.sequence + 1, epoch, voted};
    effect_add(r, RAFT_SAVE_VOTE)->vote = r->vote;
}

void become_unattached(struct raft *r)
{
    if (r->role == RAFT_LEADER) {
        leader_end(r);
    }
    bool alone = history_voters(&r->log)->count == 1 && raft_is_voter(r);
    r->role = RAFT_UNATTACHED;
    r->leader = RAFT_NOBODY;
    r->heard_ns = 0;
    r->fetching = false;
    r->fetch_ns = r->now_ns;
    r->deadline_ns = !may_stand(r) ? UINT64_MAX
                     : alone       ? r->now_ns
                                   : raft_soon(r, r->options.election_ns);
    effect_add(r, RAFT_FOLLOW)->leader = r->leader;
}

void epoch_enter(struct raft *r, int32_t epoch)
{
    assert(epoch > r->vote.epoch);
    if (r->role == RAFT_LEADER) {
        leader_end(r);
    }
    vote_set(r, epoch, (struct raft_id){.node = RAFT_NOBODY});
    become_unattached(r);
}

void become_follower(struct raft *r, int32_t leader)
{
    assert(r->role != RAFT_LEADER && leader >= 0 && leader != r->options.self.node);
    r->role = RAFT_FOLLOWER;
    r->leader = leader;
    r->told_reads = 0;
    r->heard_ns = 0;
    /* Those who have heard him at the same time must not stand at the same time: their votes would be split. */
    r->patience_ns =
        r->options.fetch_ns + prng_below(&r->random, r->options.election_ns / PATIENCE_PART);
    r->deadline_ns = r->now_ns + r->patience_ns;
    effect_add(r, RAFT_FOLLOW)->leader = leader;
    fetch_now(r);
}

static void ask_votes(struct raft *r, bool pre)
{
    r->ticket++;
    for (uint32_t i = 0; i < r->asked.count; i++) {
        if (raft_id_equal(r->asked.ids[i], r->options.self)) {
            continue;
        }
        struct raft_message m = message_to(r, RAFT_VOTE, r->asked.ids[i]);
        m.ticket = r->ticket;
        m.pre = pre;
        m.end = history_end(&r->log);
        message_send(r, &m);
    }
}

static uint32_t bits(uint32_t set)
{
    return (uint32_t)__builtin_popcount(set);
}

static void election_count(struct raft *r);

static void stand(struct raft *r, enum raft_role role)
{
    r->role = role;
    r->leader = RAFT_NOBODY;
    r->heard_ns = 0;
    r->fetching = false;
    r->asked = *history_voters(&r->log);
    r->granted = 0;
    r->deadline_ns = raft_soon(r, r->options.election_ns);
    ask_votes(r, role == RAFT_PROSPECTIVE);
}

/* Its own vote, and promise, among those of the asked. */
static void grant_own(struct raft *r)
{
    for (uint32_t i = 0; i < r->asked.count; i++) {
        if (raft_id_equal(r->asked.ids[i], r->options.self)) {
            r->granted |= 1u << i;
        }
    }
    election_count(r);
}

static void become_candidate(struct raft *r)
{
    if (r->vote.epoch == INT32_MAX) {
        raft_damage(r, "there is no further epoch");
        return;
    }
    vote_set(r, r->vote.epoch + 1, r->options.self);
    stand(r, RAFT_CANDIDATE);
}

static void become_prospective(struct raft *r)
{
    effect_add(r, RAFT_FOLLOW)->leader = RAFT_NOBODY;
    stand(r, RAFT_PROSPECTIVE);
    grant_own(r);
}

static void election_count(struct raft *r)
{
    if (bits(r->granted) <= r->asked.count / 2) {
        return;
    }
    if (r->role == RAFT_PROSPECTIVE) {
        become_candidate(r);
    } else if (r->role == RAFT_CANDIDATE) {
        leader_begin(r);
    }
}

void election_saved(struct raft *r)
{
    if (r->role == RAFT_CANDIDATE) {
        assert(raft_id_equal(r->vote.voted, r->options.self));
        grant_own(r);
    }
}

void election_tick(struct raft *r)
{
    if (r->now_ns < r->deadline_ns) {
        return;
    }
    if (!may_stand(r)) {
        become_unattached(r);
    } else if (r->loading || r->vote.sequence != r->vote_durable) {
        /* Its log is on its way out, or its disk is too slow for a further epoch to come to more than this one. */
        r->deadline_ns = raft_soon(r, r->options.election_ns);
    } else {
        become_prospective(r);
    }
}

/* --- votes ------------------------------------------------------------------------------------ */

static bool may_promise(const struct raft *r, const struct raft_message *m)
{
    bool heard = r->role == RAFT_LEADER || (r->role == RAFT_FOLLOWER && r->heard_ns > 0 &&
                                            r->now_ns < r->heard_ns + r->options.election_ns);
    return m->epoch >= r->vote.epoch && !heard;
}

static bool may_vote(const struct raft *r, const struct raft_message *m)
{
    bool given = r->vote.voted.node != RAFT_NOBODY && !raft_id_equal(r->vote.voted, m->from);
    return m->epoch == r->vote.epoch && r->leader == RAFT_NOBODY &&
           (!given || raft_mutated(r, RAFT_MUTANT_VOTE_TWICE));
}

void receive_vote(struct raft *r, const struct raft_message *m)
{
    if (!m->pre && m->epoch > r->vote.epoch) {
        epoch_enter(r, m->epoch);
    }
    bool behind =
        end_before(m->end, history_end(&r->log)) && !raft_mutated(r, RAFT_MUTANT_LOG_BEHIND);
    bool grant =
        !behind && !r->options.may_not_vote && (m->pre ? may_promise(r, m) : may_vote(r, m));
    if (grant && !m->pre) {
        if (!raft_id_equal(r->vote.voted, m->from)) {
            vote_set(r, m->epoch, m->from);
        }
        become_unattached(r); /* and leaves the candidate its time */
    }
    struct raft_message answer = answer_to(r, m);
    answer.granted = grant;
    message_send(r, &answer);
}

void hear_say(struct raft *r, const struct raft_message *m)
{
    assert(r->leader == RAFT_NOBODY);
    if (m->leader >= 0 && m->leader != r->options.self.node && m->epoch != r->ended) {
        become_follower(r, m->leader);
    }
}

/* Others hear a leader whom this replica does not: he is asked himself. If he leads this epoch, his answer
 * says so; if an older one, he learns that this replica cannot follow him. */
static void ask_leader(struct raft *r, const struct raft_message *m)
{
    if (r->role == RAFT_PROSPECTIVE && m->leader >= 0 && m->leader != r->options.self.node) {
        fetch_probe(r, m->leader);
    }
}

void receive_vote_answer(struct raft *r, const struct raft_message *m)
{
    if (!m->granted && m->epoch > r->vote.epoch) {
        epoch_enter(r, m->epoch);
        hear_say(r, m);
        return;
    }
    if (!m->granted && m->leader == m->from.node && m->epoch == r->vote.epoch) {
        hear_leader(r, m); /* it was only not heard of, after a start */
        return;
    }
    if (!m->granted) {
        ask_leader(r, m);
    }
    if (m->epoch != r->vote.epoch && !(m->pre && m->granted)) {
        return; /* a promise comes with the epoch of who gives it */
    }
    enum raft_role role = m->pre ? RAFT_PROSPECTIVE : RAFT_CANDIDATE;
    if (r->role != role || m->ticket != r->ticket) {
        return;
    }
    for (uint32_t i = 0; i < r->asked.count; i++) {
        if (m->granted && raft_id_equal(r->asked.ids[i], m->from)) {
            r->granted |= 1u << i;
        }
    }
    election_count(r);
}

void receive_end(struct raft *r, const struct raft_message *m)
{
    if (m->epoch > r->vote.epoch) {
        epoch_enter(r, m->epoch);
    }
    if (m->epoch < r->vote.epoch || r->role == RAFT_CANDIDATE || r->role == RAFT_LEADER ||
        (r->leader != RAFT_NOBODY && r->leader != m->from.node)) {
        return;
    }
    leader_gone(r);
    if (m->preferred && may_stand(r)) {
        r->deadline_ns = r->now_ns;
    }
}
