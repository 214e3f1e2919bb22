/* SPDX-License-Identifier: Apache-2.0 */

/* The oracle of the raft world: it sees every machine at once, and compares. */
#include "raft_world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

static const uint64_t second_ns = 1000000000;

void oracle_violation(struct world *w, const struct machine *m, const char *format, ...)
{
    if (w->why[0]) {
        return; /* the first one tells most */
    }
    int at = snprintf(w->why, sizeof w->why, "machine %d at %.3f s: ", m ? m->id.node : 0,
                      (double)w->now_ns / 1e9);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(w->why + at, sizeof w->why - (size_t)at, format, arguments);
    va_end(arguments);
    world_tell(w, m, "VIOLATION %s", w->why);
}

static bool same_entry(const struct world_entry *a, const struct world_entry *b)
{
    return a->epoch == b->epoch && a->id == b->id && a->changes == b->changes;
}

void oracle_lead(struct world *w, struct machine *m)
{
    struct raft_status s = raft_status(m->raft);
    world_tell(w, m, "leads epoch %d from %" PRId64, s.epoch, s.end.offset);
    if (s.epoch < WORLD_EPOCHS_MAX) {
        int32_t *leader = &w->leaders[s.epoch];
        if (*leader >= 0 && *leader != m - w->machines) {
            oracle_violation(w, m, "leaders: epoch %d has machine %d as well", s.epoch,
                             w->machines[*leader].id.node);
        }
        *leader = (int32_t)(m - w->machines);
    }
    for (int64_t i = m->start; i < w->committed_end && w->committed_in[i] < s.epoch; i++) {
        if (i >= m->end || !same_entry(&m->log[i], &w->committed[i])) {
            oracle_violation(w, m, "complete: leads epoch %d without what is committed at %" PRId64,
                             s.epoch, i);
            return;
        }
    }
}

void oracle_committed(struct world *w, struct machine *m, int64_t offset)
{
    if (offset > m->durable) {
        oracle_violation(w, m, "durable: %" PRId64 " is called committed, durable is %" PRId64,
                         offset, m->durable);
        return;
    }
    for (int64_t i = m->applied > m->start ? m->applied : m->start; i < offset; i++) {
        if (i >= w->committed_end) {
            w->committed[i] = m->log[i];
            w->committed_in[i] = raft_status(m->raft).epoch;
            w->committed_end = i + 1;
            w->stats->commits++;
        } else if (!same_entry(&m->log[i], &w->committed[i])) {
            oracle_violation(w, m,
                             "committed: %" PRId64 " is %d/%" PRIu64 " here, %d/%" PRIu64
                             " was committed before",
                             i, m->log[i].epoch, m->log[i].id, w->committed[i].epoch,
                             w->committed[i].id);
            return;
        }
    }
}

void oracle_applied(struct world *w, struct machine *m)
{
    uint64_t *known = &w->hashes[m->applied];
    if (*known && *known != m->hash) {
        oracle_violation(w, m, "state: another one at %" PRId64, m->applied);
    }
    *known = m->hash;
}

void oracle_sent(struct world *w, struct machine *m, const struct raft_message *message)
{
    if (message->kind == RAFT_FETCH && message->end.offset > m->durable) {
        oracle_violation(w, m, "durable: it says that it has %" PRId64 ", its disk has %" PRId64,
                         message->end.offset, m->durable);
    }
    struct raft_vote *told = &m->told;
    bool vote = message->kind == RAFT_VOTE_ANSWER && message->granted && !message->pre;
    bool stands = message->kind == RAFT_VOTE && !message->pre;
    struct raft_id voted = vote ? message->to : m->id;
    if (message->epoch > told->epoch) {
        *told = (struct raft_vote){.epoch = message->epoch, .voted.node = RAFT_NOBODY};
    }
    if ((vote || stands) && message->epoch == told->epoch) {
        if (told->voted.node != RAFT_NOBODY && told->voted.node != voted.node) {
            oracle_violation(w, m, "epochs: votes for %d and %d in epoch %d", told->voted.node,
                             voted.node, told->epoch);
        }
        told->voted = voted;
    }
}

void oracle_started(struct world *w, struct machine *m)
{
    if (m->vote.epoch < m->told.epoch) {
        oracle_violation(w, m, "epochs: back in %d after it has spoken in %d", m->vote.epoch,
                         m->told.epoch);
    }
    if (m->vote.epoch == m->told.epoch && m->told.voted.node != RAFT_NOBODY &&
        m->vote.voted.node != m->told.voted.node) {
        oracle_violation(w, m, "epochs: its vote of epoch %d is forgotten", m->told.epoch);
    }
}

void oracle_readable(struct world *w, struct machine *m, uint64_t sequence, int64_t offset)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < m->read_count; i++) {
        if (m->reads[i].sequence > sequence) {
            m->reads[kept++] = m->reads[i];
            continue;
        }
        w->stats->reads++;
        if (m->reads[i].least > offset) {
            oracle_violation(w, m, "reads: one sees %" PRId64 ", %" PRId64 " was committed before",
                             offset, m->reads[i].least);
        }
    }
    m->read_count = kept;
}

void oracle_changed(struct world *w, struct machine *m, const struct raft_voters *from,
                    const struct raft_voters *to)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < to->count; i++) {
        kept += raft_voters_have(from, to->ids[i]);
    }
    w->stats->changes++;
    m->changed_ns = w->now_ns;
    world_tell(w, m, "changes the voters from %u to %u", from->count, to->count);
    if (kept + 1 != (from->count > to->count ? from->count : to->count)) {
        oracle_violation(w, m, "voters: more than one is changed");
    }
}

void oracle_step(struct world *w)
{
    for (unsigned i = 0; i < w->machine_count; i++) {
        struct machine *m = &w->machines[i];
        if (!m->raft || m->leads_ns == 0 || w->now_ns < m->frozen_ns) {
            continue;
        }
        struct raft_voters voters = machine_voters(m, m->end);
        uint32_t heard = 0;
        uint64_t patience =
            4 * second_ns; /* 1.5 fetch timeouts, clocks that go wrong, a late alarm */
        for (uint32_t k = 0; k < voters.count; k++) {
            struct machine *voter = world_machine(w, voters.ids[k]);
            uint64_t since = voter ? m->fetched_ns[voter - w->machines] : 0;
            since = since > m->leads_ns ? since : m->leads_ns;
            since = since > m->frozen_ns ? since : m->frozen_ns;
            since = since > m->changed_ns ? since : m->changed_ns;
            heard += voter == m || w->now_ns < since + patience;
        }
        if (heard <= voters.count / 2) {
            oracle_violation(w, m, "quorum: leads without a majority that fetches");
        }
    }
}

void oracle_end(struct world *w)
{
    const struct machine *leader = NULL;
    int64_t last = w->committed_end;
    for (unsigned i = 0; i < w->machine_count; i++) {
        leader = w->machines[i].raft && w->machines[i].leads_ns ? &w->machines[i] : leader;
    }
    if (!leader || last == 0 || w->committed[last - 1].id != w->proposals) {
        oracle_violation(w, leader, "liveness: all is well, and %s",
                         leader ? "what is proposed is not committed" : "nobody leads");
        return;
    }
    for (unsigned i = 0; i < w->machine_count; i++) {
        const struct machine *m = &w->machines[i];
        if (m->applied != last || m->hash != leader->hash) {
            struct raft_status s = raft_status(m->raft);
            oracle_violation(w, m,
                             "liveness: it has applied %" PRId64 " of %" PRId64
                             " (role %d, epoch %d, leader %d, end %" PRId64 ", durable %" PRId64
                             ")",
                             m->applied, last, s.role, s.epoch, s.leader, s.end.offset, s.durable);
        }
    }
}
