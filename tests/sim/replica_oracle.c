/* SPDX-License-Identifier: Apache-2.0 */

/* The oracle of the replica world: it sees every machine at once, and compares. */
#include "replica_world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

static const uint64_t ms_ns = 1000000, second_ns = 1000000000;

enum { EJECTIONS_MOST = 6, EJECTIONS_LAGS = 10 };

void oracle_violation(struct world *w, const struct machine *m, const char *format, ...)
{
    if (w->why[0]) {
        return; /* the first one tells most */
    }
    int at = snprintf(w->why, sizeof w->why, "machine %d at %.3f s: ", m ? (int)m->index : -1,
                      (double)w->now_ns / 1e9);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(w->why + at, sizeof w->why - (size_t)at, format, arguments);
    va_end(arguments);
    world_tell(w, m ? (int)m->index : -1, "VIOLATION %s", w->why);
}

static bool same(const struct world_record *a, const struct world_record *b)
{
    return a->epoch == b->epoch && a->id == b->id;
}

/* The first committed offset that the log lacks or has another record at; committed_end: none. */
static int64_t lacks(const struct world *w, const struct world_log *log)
{
    for (int64_t i = log->start; i < w->committed_end; i++) {
        if (i >= log->end || !same(&log->records[i], &w->committed[i])) {
            return i;
        }
    }
    return w->committed_end;
}

/* --- leaders ---------------------------------------------------------------------------------- */

void oracle_leads(struct world *w, struct machine *m)
{
    struct leading_status s = leading_status(m->leading);
    int64_t missing = lacks(w, &m->log);
    world_tell(w, (int)m->index, "leads epoch %d from %" PRId64 ", watermark %" PRId64, s.epoch,
               s.epoch_start, s.high_watermark);
    bool older = missing < w->committed_end && w->committed_in[missing] < s.epoch;
    if (older && s.epoch >= w->unclean_epoch) {
        oracle_violation(w, m,
                         "P11: leads epoch %d without what is committed at %" PRId64 " of %" PRId64,
                         s.epoch, missing, w->committed_end);
    }
    if (m->high_watermark > w->committed_end && w->unclean_epoch < 0) {
        oracle_violation(w, m, "P12: leads with watermark %" PRId64 ", committed is %" PRId64,
                         m->high_watermark, w->committed_end);
    }
    /* Whoever is elected uncleanly brings back what it knew as committed. */
    for (; w->committed_end < m->high_watermark && s.epoch >= w->unclean_epoch;
         w->committed_end++) {
        w->committed[w->committed_end] = m->log.records[w->committed_end];
        w->committed_in[w->committed_end] = s.epoch;
    }
}

void oracle_appended(struct world *w, struct machine *m, const struct world_record *r)
{
    int64_t last = m->log.end - 2; /* the one before it */
    if (last >= m->log.start && m->log.records[last].epoch > r->epoch) {
        oracle_violation(w, m, "P3: epoch %d behind epoch %d", r->epoch,
                         m->log.records[last].epoch);
    }
    if (r->epoch > m->image.epoch) {
        oracle_violation(w, m, "P3: a record of epoch %d in epoch %d", r->epoch, m->image.epoch);
    }
    if (m->role == ROLE_LEADER && r->epoch == m->image.epoch && r->epoch < WORLD_EPOCHS_MAX) {
        uint64_t *life = &w->appender_life[r->epoch];
        if (*life && *life != m->life) {
            oracle_violation(w, m, "P1: two processes append in epoch %d", r->epoch);
        }
        *life = m->life;
    }
}

void oracle_admitted(struct world *w, struct machine *m, int16_t acks)
{
    struct leading_status s = leading_status(m->leading);
    if (acks == -1 && s.isr_count < controller_least(&m->image)) {
        oracle_violation(w, m, "P8: appended for all with %u in sync of %u", s.isr_count,
                         controller_least(&m->image));
    }
}

/* --- the high watermark ----------------------------------------------------------------------- */

static int64_t really_holds(const struct world *w, const struct machine *m)
{
    return m->up ? disk_counted(w, m) : m->durable.end;
}

/* P7, P9: with what the controller may elect, a leader that it knows has waited for it. */
static void watermark_held(struct world *w, struct machine *m, int64_t offset)
{
    for (unsigned i = 0; i < w->machine_count; i++) {
        struct machine *other = &w->machines[i];
        bool current = m->image.epoch == w->now.epoch && ((w->now.isr | w->now.elr) & bit(i));
        bool waited = leading_waits_for(m->leading, (int32_t)i + 1) &&
                      !(w->discarded & bit(i)); /* its removal was committed meanwhile */
        if ((current || waited || other == m) && !(w->lossy & bit(i)) &&
            really_holds(w, other) < offset) {
            oracle_violation(w, m, "P7: watermark %" PRId64 ", machine %u holds %" PRId64, offset,
                             i, really_holds(w, other));
        }
    }
}

void oracle_watermark(struct world *w, struct machine *m, int64_t from)
{
    bool leads = m->role == ROLE_LEADER;
    if (m->image.epoch < w->unclean_epoch || m->proved_epoch < w->unclean_epoch) {
        return; /* what it knows was given up */
    }
    if (m->high_watermark < from && leads) {
        oracle_violation(w, m, "P7: the watermark falls to %" PRId64, m->high_watermark);
    }
    if (m->high_watermark > disk_counted(w, m)) {
        oracle_violation(w, m, "P30: watermark %" PRId64 ", it holds %" PRId64, m->high_watermark,
                         disk_counted(w, m));
        return;
    }
    if (leads) {
        watermark_held(w, m, m->high_watermark);
    }
    for (int64_t i = from > m->log.start ? from : m->log.start; i < m->high_watermark; i++) {
        if (i >= w->committed_end && leads) {
            w->committed[i] = m->log.records[i];
            w->committed_in[i] = m->image.epoch;
            w->committed_end = i + 1;
        } else if (i >= w->committed_end) {
            oracle_violation(w, m, "P12: watermark %" PRId64 ", committed is %" PRId64,
                             m->high_watermark, w->committed_end);
            return;
        } else if (!same(&w->committed[i], &m->log.records[i])) {
            oracle_violation(
                w, m, "P12: %" PRId64 " is %d/%" PRIu64 " here, %d/%" PRIu64 " was committed", i,
                m->log.records[i].epoch, m->log.records[i].id, w->committed[i].epoch,
                w->committed[i].id);
            return;
        }
    }
}

void oracle_acked(struct world *w, struct machine *m, const struct world_append *a)
{
    w->stats->acked++;
    if (a->acks != -1 || m->image.epoch < w->unclean_epoch) {
        return;
    }
    int32_t epoch = m->log.records[a->offset].epoch;
    uint32_t holders = bits(w->lossy);
    for (unsigned i = 0; i < w->machine_count; i++) {
        const struct machine *o = &w->machines[i];
        const struct world_log *log = o->up ? &o->log : &o->durable;
        bool removed = (w->discarded & bit(i)) && leading_waits_for(m->leading, (int32_t)i + 1);
        holders += removed;
        holders += !removed && !(w->lossy & bit(i)) && really_holds(w, o) > a->offset &&
                   log->records[a->offset].id == a->id;
    }
    if (holders < controller_least(&m->image)) {
        oracle_violation(w, m, "C33: %" PRIu64 " is acknowledged and held by %u of %u", a->id,
                         holders, controller_least(&m->image));
    }
    if (a->offset >= w->committed_end || w->committed[a->offset].id != a->id) {
        oracle_violation(w, m, "P8: %" PRIu64 " is acknowledged above the watermark", a->id);
    }
    if (w->acked_count < WORLD_RECORDS_MAX) {
        w->acked[w->acked_count].id = a->id;
        w->acked[w->acked_count].epoch = epoch;
        w->acked[w->acked_count++].offset = a->offset;
    }
}

/* --- what is cut, read, told ------------------------------------------------------------------ */

void oracle_cut(struct world *w, struct machine *m, int64_t offset, bool anew)
{
    int64_t from = anew ? m->log.start : offset, kept = anew ? offset : 0;
    kept = kept > w->forgotten ? kept : w->forgotten;
    for (int64_t i = from > kept ? from : kept; i < m->log.end && i < w->committed_end; i++) {
        bool since = w->committed_in[i] > m->image.epoch; /* by an epoch that is not known here */
        if (same(&m->log.records[i], &w->committed[i]) && !since) {
            oracle_violation(w, m, "C20: cut at %" PRId64 ", committed is %" PRId64, offset,
                             w->committed_end);
            return;
        }
    }
}

void oracle_read(struct world *w, struct machine *m, int64_t offset)
{
    w->stats->reads++;
    if (m->image.epoch < w->unclean_epoch || m->proved_epoch < w->unclean_epoch) {
        return;
    }
    bool above = offset >= w->committed_end;
    if (above && w->unclean_epoch >= 0) {
        return; /* the new leader holds it as well, and does not know that it was committed */
    }
    if (above || !same(&m->log.records[offset], &w->committed[offset])) {
        oracle_violation(w, m, "P13: reads %" PRIu64 " at %" PRId64 ", which is not committed",
                         m->log.records[offset].id, offset);
    }
}

/* P30: what is told of as deleted comes back on no replica that lived. */
void oracle_trimmed(struct world *w, struct machine *m)
{
    int64_t start = leading_trimmed(m->leading);
    for (unsigned i = 0; i < w->machine_count; i++) {
        struct machine *other = &w->machines[i];
        uint32_t gone = m->image.damaged | w->discarded | w->lossy;
        bool lives = m->image.replicas & w->now.replicas & m->image.alive & ~gone & bit(i);
        if (lives && other != m && other->durable.start < start) {
            oracle_violation(w, m, "P30: deleted up to %" PRId64 ", machine %u keeps %" PRId64,
                             start, i, other->durable.start);
        }
    }
}

void oracle_latest(struct world *w, struct machine *m, int64_t offset)
{
    int32_t epoch = m->image.epoch;
    if (epoch < w->latest_epoch) {
        return; /* whoever has seen a newer epoch is refused by an older one (P31) */
    }
    if (offset < w->latest && w->latest_epoch >= w->unclean_epoch) {
        oracle_violation(w, m, "C22: the latest offset was %" PRId64 " and is %" PRId64, w->latest,
                         offset);
    }
    w->latest = offset;
    w->latest_epoch = epoch;
}

/* --- the in-sync set -------------------------------------------------------------------------- */

static bool able(const struct world *w, const struct machine *m, uint64_t for_ns)
{
    return m->up && w->now_ns >= m->frozen_ns && w->now_ns >= m->able_ns + for_ns;
}

void oracle_proposed(struct world *w, struct machine *m, const struct leading_proposal *p)
{
    uint32_t set = 0;
    for (uint32_t i = 0; i < p->isr_count; i++) {
        set |= bit((unsigned)p->nodes[i] - 1);
    }
    bool again = m->proposed == p->ticket;
    m->proposed = p->ticket;
    world_tell(w, (int)m->index, "proposes %x under %d.%d", set, p->epoch, p->partition_epoch);
    uint32_t out = again ? 0 : m->image.isr & ~set;
    for (unsigned i = 0; i < w->machine_count && m->image.partition_epoch == p->partition_epoch;
         i++) {
        struct machine *other = &w->machines[i];
        if (!(out >> i & 1)) {
            continue;
        }
        uint64_t patience = 2 * w->lag_ns + 2 * second_ns;
        if (able(w, other, patience) && w->now_ns >= w->links_ns + patience &&
            other->image.epoch == m->image.epoch && other->role == ROLE_FOLLOWER &&
            disk_counted(w, other) >= disk_counted(w, m) &&
            leading_counted(m->leading, (int32_t)i + 1) >= disk_counted(w, m)) {
            oracle_violation(w, m, "fair: ejects machine %u, which has everything", i);
        }
    }
}

void oracle_ejected(struct world *w, uint32_t set)
{
    uint64_t window = EJECTIONS_LAGS * w->lag_ns;
    if (w->ejections_epoch != w->now.epoch || w->now_ns > w->ejections_ns + window) {
        w->ejections_epoch = w->now.epoch;
        w->ejections_ns = w->now_ns;
        memset(w->ejections, 0, sizeof w->ejections);
    }
    for (unsigned i = 0; i < w->machine_count; i++) {
        if ((set >> i & 1) && ++w->ejections[i] > EJECTIONS_MOST) {
            oracle_violation(w, &w->machines[i], "flapping: ejected %u times in %d lag times",
                             w->ejections[i], EJECTIONS_LAGS);
        }
    }
}

void oracle_unclean(struct world *w, unsigned machine)
{
    struct machine *m = &w->machines[machine];
    const struct world_log *log = m->up ? &m->log : &m->durable;
    int64_t kept = lacks(w, log), held = really_holds(w, m);
    kept = held < kept ? held : kept;
    world_tell(w, (int)machine, "is elected uncleanly: %" PRId64 " of %" PRId64 " are lost",
               w->committed_end - kept, w->committed_end);
    w->committed_end = kept;
    w->forgotten = log->start > w->forgotten ? log->start : w->forgotten;
    w->unclean_epoch = w->now.unclean_epoch;
    uint32_t left = 0;
    for (uint32_t i = 0; i < w->acked_count; i++) {
        if (w->acked[i].offset < kept) {
            w->acked[left++] = w->acked[i];
        }
    }
    w->acked_count = left;
}

/* --- each step -------------------------------------------------------------------------------- */

static void candidates(struct world *w)
{
    for (unsigned i = 0; i < w->machine_count; i++) {
        struct machine *m = &w->machines[i];
        if (!((w->now.isr | w->now.elr) & bit(i)) || (w->lossy & bit(i))) {
            continue;
        }
        const struct world_log *log = m->up ? &m->log : &m->durable;
        int64_t last = w->committed_end - 1;
        bool has = last < log->start ||
                   (last < log->end && same(&log->records[last], &w->committed[last]));
        if (really_holds(w, m) <= last || !has) {
            oracle_violation(w, m,
                             "P10: it may be elected, holds %" PRId64 " of %" PRId64 " committed",
                             really_holds(w, m), w->committed_end);
        }
    }
}

static void superset(struct world *w, struct machine *m)
{
    struct leading_status s = leading_status(m->leading);
    if (!s.serving || s.epoch != w->now.epoch || (int)m->index != w->now.leader) {
        return;
    }
    uint32_t set = w->now.isr | (s.enough ? w->now.elr : 0);
    for (unsigned i = 0; i < w->machine_count; i++) {
        if ((set >> i & 1) && !leading_waits_for(m->leading, (int32_t)i + 1)) {
            oracle_violation(w, m, "P9: machine %u is in sync for the controller, not here", i);
        }
    }
}

/* An append waits for followers; who stands still is ejected after a while, if the controller is reached. */
static void stuck(struct world *w, struct machine *m)
{
    uint64_t bound = (LEADING_PATIENCE + 2) * w->lag_ns + 6 * second_ns;
    uint64_t since = m->append_waiting ? m->appends[0].since_ns : w->now_ns;
    since = since > m->able_ns ? since : m->able_ns;
    if (w->now_ns > since + bound) {
        oracle_violation(w, m, "P36: an append waits for %.1f s, the leader is well",
                         (double)(w->now_ns - m->appends[0].since_ns) / 1e9);
    }
}

void oracle_published(struct world *w)
{
    uint32_t least = controller_least(&w->now), target = bits(w->target);
    least = target && target < least ? target : least;
    w->weakest = least < w->weakest ? least : w->weakest;
}

void oracle_step(struct world *w)
{
    w->discarded &= ~(w->now.isr | w->now.elr);
    candidates(w);
    bool calm = w->loss == 0 && w->delay_ns < 100 * ms_ns;
    for (unsigned i = 0; i <= WORLD_MACHINES_MAX; i++) {
        for (unsigned k = 0; k <= WORLD_MACHINES_MAX; k++) {
            calm &= !w->cut[i][k];
        }
    }
    w->links_ns = calm ? w->links_ns : w->now_ns;
    for (unsigned i = 0; i < w->machine_count; i++) {
        struct machine *m = &w->machines[i];
        bool reached = m->up && w->now_ns >= m->frozen_ns && w->flush_ns[i] < 500 * ms_ns &&
                       w->delay_ns < 100 * ms_ns && !w->cut[i][WORLD_CONTROLLER] &&
                       !w->cut[WORLD_CONTROLLER][i];
        m->able_ns = reached ? m->able_ns : w->now_ns;
        if (m->up && m->role == ROLE_LEADER) {
            superset(w, m);
            stuck(w, m);
        }
    }
    if (w->now.isr == w->now.replicas) {
        w->weakest = UINT32_MAX;
        oracle_published(w);
        uint32_t fine = 0;
        for (unsigned i = 0; i < w->machine_count; i++) {
            fine |= w->machines[i].lossy ? 0 : bit(i);
        }
        w->lossy &= ~(fine & (w->now.isr | ~w->now.replicas));
    }
}

/* --- the end ---------------------------------------------------------------------------------- */

const char *oracle_missing(const struct world *w)
{
    const struct world_image *i = &w->now;
    if (i->leader < 0) {
        return "nobody leads";
    }
    if (i->recovering) {
        return "its leader has not said that it is done";
    }
    if (i->isr != i->replicas || w->target) {
        return "not all are in sync";
    }
    const struct machine *leader = &w->machines[i->leader];
    for (unsigned k = 0; k < w->machine_count; k++) {
        const struct machine *m = &w->machines[k];
        if (!(i->replicas & bit(k))) {
            continue;
        }
        if (!m->up || m->image.version < i->version || m->role == ROLE_NONE) {
            return "one does not know of it";
        }
        if (m->log.end != leader->log.end || m->high_watermark != leader->log.end) {
            return "one is behind";
        }
    }
    if (leading_trimmed(leader->leading) < leader->log.start) {
        return "one begins before its leader";
    }
    return leading_status(leader->leading).altering ? "an AlterPartition does not end" : NULL;
}

void oracle_end(struct world *w)
{
    const char *missing = oracle_missing(w);
    if (missing) {
        oracle_violation(w, NULL, "P36: all is well, and %s", missing);
        return;
    }
    for (unsigned k = 0; k < w->machine_count; k++) {
        struct machine *m = &w->machines[k];
        if ((w->now.replicas & bit(k)) && lacks(w, &m->log) < w->committed_end) {
            oracle_violation(w, m, "P14: %" PRId64 " of %" PRId64 " is gone", lacks(w, &m->log),
                             w->committed_end);
        }
    }
    for (uint32_t i = 0; i < w->acked_count; i++) {
        if (w->acked[i].offset >= w->committed_end ||
            w->committed[w->acked[i].offset].id != w->acked[i].id) {
            oracle_violation(w, NULL, "C3: %" PRIu64 " was acknowledged at %" PRId64,
                             w->acked[i].id, w->acked[i].offset);
        }
    }
}
