/* SPDX-License-Identifier: Apache-2.0 */

/* A machine of the replica world: the driver of both cores, as broker/partition and broker/replica will be one,
 * over a disk that loses what is not durable. */
#include "replica_world.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t ms_ns = 1000000;

enum { BEAT_MS = 300, WAIT_MS = 500, ALTER_MS = 400, ANSWER_MS = 1200 };

uint64_t machine_clock(const struct world *w, const struct machine *m)
{
    return (uint64_t)((unsigned __int128)w->now_ns * (unsigned)(1000000 + m->skew) / 1000000);
}

static struct leading_log leading_log_of(const struct world *w, const struct machine *m)
{
    return (struct leading_log){m->log.start, m->log.end, disk_counted(w, m)};
}

/* Before a log that begins anew at a lower offset is durable its old start is none of its own. */
static int64_t kept_start(const struct machine *m)
{
    return m->durable.start < m->log.start ? m->durable.start : m->log.start;
}

static struct following_log following_log_of(const struct world *w, const struct machine *m)
{
    bool empty = m->log.start == m->log.end;
    int32_t last = empty ? -1 : m->log.records[m->log.end - 1].epoch;
    return (struct following_log){m->log.start, m->log.end, disk_counted(w, m), last,
                                  kept_start(m)};
}

/* --- the leader's effects --------------------------------------------------------------------- */

static void answer_send(struct world *w, struct machine *m, const struct world_wait *wait,
                        const struct leading_answer *answer)
{
    struct packet *p = world_packet(w, PACKET_FETCHED, m->index, wait->from);
    if (!p) {
        return;
    }
    p->life = wait->life;
    p->ticket = wait->ticket;
    p->fetched.answer = *answer;
    p->fetched.base = wait->fetch.offset;
    p->fetched.count = 0;
    bool records = !answer->error && !answer->diverges && wait->fetch.records;
    for (int64_t i = wait->fetch.offset;
         records && i < m->log.end && p->fetched.count < w->packet_records; i++) {
        p->fetched.records[p->fetched.count++] = m->log.records[i];
    }
    world_send(w, p);
}

static void waits_review(struct world *w, struct machine *m, bool all)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < m->wait_count; i++) {
        struct world_wait wait = m->waits[i];
        struct leading_answer answer;
        leading_review(m->leading, &wait.fetch, &answer);
        if (answer.waits && !all && w->now_ns < wait.until_ns) {
            m->waits[kept++] = wait;
        } else {
            answer_send(w, m, &wait, &answer);
        }
    }
    m->wait_count = kept;
}

static void acks_review(struct world *w, struct machine *m)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < m->append_waiting; i++) {
        struct world_append a = m->appends[i];
        int acked = leading_acked(m->leading, a.acks, a.offset + 1);
        if (acked == 0) {
            m->appends[kept++] = a;
        } else if (acked > 0) {
            oracle_acked(w, m, &a);
        } else {
            w->stats->short_acks += acked == ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND;
        }
    }
    m->append_waiting = kept;
}

static void proposal_send(struct world *w, struct machine *m)
{
    struct leading_proposal proposal;
    leading_proposal(m->leading, &proposal);
    oracle_proposed(w, m, &proposal);
    struct packet *p = world_packet(w, PACKET_ALTER, m->index, WORLD_CONTROLLER);
    if (p) {
        p->life = m->life;
        p->alter = proposal;
        world_send(w, p);
    }
}

static void leading_carry(struct world *w, struct machine *m, unsigned effects)
{
    if (effects & LEADING_EPOCH) {
        m->proved_epoch = m->image.epoch;
        oracle_leads(w, m);
    }
    if (effects & LEADING_WATERMARK) {
        int64_t from = m->high_watermark;
        m->high_watermark = leading_status(m->leading).high_watermark;
        oracle_watermark(w, m, from);
    }
    if (effects & (LEADING_WATERMARK | LEADING_SHORT | LEADING_ENDED)) {
        acks_review(w, m);
    }
    if (effects & LEADING_TRIMMED) {
        oracle_trimmed(w, m);
    }
    if (effects & LEADING_ALTER) {
        proposal_send(w, m);
    }
    if (effects & LEADING_WAKE) {
        waits_review(w, m, false);
    }
}

/* --- the follower's effects ------------------------------------------------------------------- */

static void follow_ask(struct world *w, struct machine *m)
{
    struct following_request r;
    while (following_next(&m->following, machine_clock(w, m), &r)) {
        if (r.counted > disk_counted(w, m)) {
            oracle_violation(w, m, "P6: it says that it has %" PRId64 ", its disk has %" PRId64,
                             r.counted, disk_counted(w, m));
        }
        struct packet *p = world_packet(w, PACKET_FETCH, m->index, (unsigned)r.leader - 1);
        if (p) {
            p->life = m->life;
            p->ticket = r.ticket;
            p->fetch = (struct leading_fetch){.node = (int32_t)m->index + 1,
                                              .broker_epoch = m->broker_epoch,
                                              .epoch = r.epoch,
                                              .offset = r.offset,
                                              .last_epoch = r.last_epoch,
                                              .counted = r.counted,
                                              .high_watermark = r.high_watermark,
                                              .log_start = r.log_start,
                                              .records = r.records};
            world_send(w, p);
        }
    }
}

static void follow_carry(struct world *w, struct machine *m, const struct following_effect *e);

static void follow_append(struct world *w, struct machine *m)
{
    m->append_ns = 0;
    for (uint32_t i = 0; i < m->append_count; i++) {
        struct world_record r = m->arrived.fetched.records[m->append_first + i];
        disk_do(w, m, (struct operation){OPERATION_APPEND, r, m->log.end});
        oracle_appended(w, m, &r);
    }
    struct following_log log = following_log_of(w, m);
    struct following_effect e;
    following_appended(&m->following, machine_clock(w, m), &log, &e);
    follow_carry(w, m, &e);
}

static void follow_cut(struct world *w, struct machine *m, const struct following_effect *e)
{
    bool anew = e->what & FOLLOWING_ANEW;
    m->cut_refused = !w->calm && prng_below(&w->disk, 6) == 0;
    if (m->cut_refused) {
        world_tell(w, (int)m->index, "has no room for a cut at %" PRId64, e->offset);
        m->cut_ns = w->now_ns + 1 + prng_below(&w->disk, 50 * ms_ns);
        return;
    }
    world_tell(w, (int)m->index, "%s at %" PRId64 ", its end is %" PRId64,
               anew ? "begins anew" : "truncates", e->offset, m->log.end);
    *(anew ? &w->stats->anew : &w->stats->truncations) += 1;
    oracle_cut(w, m, e->offset, anew);
    disk_do(w, m,
            (struct operation){.kind = anew ? OPERATION_ANEW : OPERATION_TRUNCATE,
                               .offset = e->offset});
    if (w->memory) {
        m->cut_ns = w->now_ns + prng_below(&w->disk, ms_ns);
    }
}

static void follow_carry(struct world *w, struct machine *m, const struct following_effect *e)
{
    if (e->what & FOLLOWING_DAMAGED) {
        oracle_violation(w, m, "P15: %s", e->why);
        return;
    }
    if (e->what & (FOLLOWING_TRUNCATE | FOLLOWING_ANEW)) {
        follow_cut(w, m, e);
    }
    m->proved_epoch = m->following.proved_epoch;
    if (e->what & FOLLOWING_WATERMARK) {
        int64_t from = m->high_watermark;
        m->high_watermark = m->following.high_watermark;
        oracle_watermark(w, m, from);
    }
    if (e->what & FOLLOWING_START) {
        disk_do(w, m, (struct operation){.kind = OPERATION_START, .offset = e->start});
    }
    if (e->what & FOLLOWING_APPEND) {
        m->append_first = e->first;
        m->append_count = e->count;
        bool later = prng_below(&w->disk, 4) == 0;
        m->append_ns = w->now_ns + (later ? prng_below(&w->disk, 20 * ms_ns) : 0);
    }
    if (e->what & FOLLOWING_ASK) {
        follow_ask(w, m);
    }
}

static void cut_done(struct world *w, struct machine *m)
{
    struct following_log log = following_log_of(w, m);
    struct following_effect e;
    m->cut_ns = 0;
    if (m->cut_refused) {
        m->cut_refused = false;
        following_uncut(&m->following, machine_clock(w, m), log.counted, &e);
    } else {
        following_cut(&m->following, machine_clock(w, m), &log, &e);
    }
    follow_carry(w, m, &e);
}

static bool cut_pending(const struct machine *m)
{
    for (uint32_t i = 0; i < m->operation_count; i++) {
        enum operation_kind kind = m->operations[i].kind;
        if (kind == OPERATION_TRUNCATE || kind == OPERATION_ANEW) {
            return true;
        }
    }
    return false;
}

static bool cutting(const struct machine *m)
{
    return m->role == ROLE_FOLLOWER && m->following.state == FOLLOWING_STATE_CUTTING;
}

/* --- roles ------------------------------------------------------------------------------------ */

static void lead(struct world *w, struct machine *m, const struct world_image *i)
{
    struct leading_replica replicas[WORLD_MACHINES_MAX];
    int32_t isr[WORLD_MACHINES_MAX];
    struct leading_image image = {.leader = (int32_t)i->leader + 1,
                                  .epoch = i->epoch,
                                  .partition_epoch = i->partition_epoch,
                                  .replicas = replicas,
                                  .isr = isr,
                                  .min_isr = i->min_isr,
                                  .recovering = i->recovering};
    for (unsigned k = 0; k < w->machine_count; k++) {
        if (i->replicas & bit(k)) {
            replicas[image.replica_count++] = (struct leading_replica){
                (int32_t)k + 1, i->broker_epochs[k], (i->alive & ~i->damaged & bit(k)) != 0};
        }
        if (i->isr & bit(k)) {
            isr[image.isr_count++] = (int32_t)k + 1;
        }
    }
    if (m->role == ROLE_LEADER) {
        leading_carry(w, m, leading_apply(m->leading, machine_clock(w, m), &image));
        return;
    }
    struct leading_options options = {.node = (int32_t)m->index + 1,
                                      .broker_epoch = m->broker_epoch,
                                      .lag_ns = w->lag_ns,
                                      .alter_ns = ALTER_MS * ms_ns,
                                      .epoch_end = disk_epoch_end,
                                      .log = m,
                                      .mutant = w->options.mutant};
    struct leading_log log = leading_log_of(w, m);
    m->role = ROLE_LEADER;
    m->proved_epoch = i->epoch;
    m->proposed = 0;
    unsigned effects = leading_init(m->leading, WORLD_MACHINES_MAX, &options, &image, &log,
                                    m->high_watermark, machine_clock(w, m));
    oracle_leads(w, m);
    leading_carry(w, m, effects);
}

static void lead_no_more(struct world *w, struct machine *m)
{
    if (m->role == ROLE_LEADER) {
        unsigned effects = leading_resign(m->leading);
        leading_carry(w, m, effects);
        assert(m->wait_count == 0 && m->append_waiting == 0);
        m->role = ROLE_NONE;
    }
}

static void follow(struct world *w, struct machine *m, const struct world_image *i)
{
    lead_no_more(w, m);
    if (m->role != ROLE_FOLLOWER) {
        struct following_options options = {.node = (int32_t)m->index + 1,
                                            .answer_ns = ANSWER_MS * ms_ns,
                                            .epoch_end = disk_epoch_end,
                                            .log = m,
                                            .mutant = w->options.mutant};
        struct following_log log = following_log_of(w, m);
        m->role = ROLE_FOLLOWER;
        following_init(&m->following, &options, &log, m->high_watermark, m->proved_epoch,
                       machine_clock(w, m));
    }
    struct following_image image = {.leader = i->leader < 0 ? -1 : i->leader + 1,
                                    .epoch = i->epoch,
                                    .unclean_epoch = i->unclean_epoch,
                                    .in_sync = ((i->isr | i->elr) & bit(m->index)) != 0};
    struct following_effect e;
    following_apply(&m->following, machine_clock(w, m), &image, &e);
    follow_carry(w, m, &e);
}

/* P28: its removal is committed, so its data goes. */
static void discard(struct world *w, struct machine *m)
{
    lead_no_more(w, m);
    m->role = ROLE_NONE;
    if (m->log.end > 0) {
        disk_do(w, m, (struct operation){.kind = OPERATION_ANEW, .offset = 0});
    }
    w->discarded |= bit(m->index);
    m->high_watermark = 0;
    m->proved_epoch = -1;
}

/* A role begins only when the log stands still. */
static void image_apply(struct world *w, struct machine *m, const struct world_image *i)
{
    if (i->version <= m->image.version || i->broker_epochs[m->index] != m->broker_epoch) {
        return;
    }
    if (m->append_ns || cutting(m)) {
        if (!m->has_next || i->version > m->next.version) {
            m->next = *i;
        }
        m->has_next = true;
        return;
    }
    if (i->epoch < m->image.epoch ||
        (i->epoch == m->image.epoch && i->partition_epoch < m->image.partition_epoch)) {
        oracle_violation(w, m, "P2: an epoch falls");
    }
    m->image = *i;
    m->has_next = false;
    if (m->failed) {
        lead_no_more(w, m);
        m->role = ROLE_NONE;
    } else if (!(i->replicas & bit(m->index))) {
        discard(w, m);
    } else if (i->leader == (int)m->index) {
        lead(w, m, i);
    } else {
        follow(w, m, i);
    }
}

static void next_apply(struct world *w, struct machine *m)
{
    if (m->has_next && !m->append_ns && !cutting(m)) {
        struct world_image next = m->next;
        m->has_next = false;
        image_apply(w, m, &next);
    }
}

/* --- life ------------------------------------------------------------------------------------- */

void machine_start(struct world *w, struct machine *m)
{
    disk_recover(m);
    m->up = true;
    m->life = ++w->lives;
    m->broker_epoch = -1;
    m->image = (struct world_image){.epoch = -1, .leader = -1, .partition_epoch = -1};
    m->role = ROLE_NONE;
    m->has_next = false;
    m->beat_ns = w->now_ns + 1;
    m->able_ns = w->now_ns;
    m->append_ns = m->cut_ns = 0;
    world_tell(w, (int)m->index, "starts with %" PRId64 " to %" PRId64 ", watermark %" PRId64,
               m->log.start, m->log.end, m->high_watermark);
}

void machine_stop(struct world *w, struct machine *m, bool power_cut)
{
    disk_crash(w, m, power_cut);
    m->up = false;
    if (m->failed) {
        disk_change(w, m);
        m->failed = false;
        m->lossy = true;
    }
    m->frozen_ns = 0;
    m->wait_count = m->append_waiting = 0;
    m->role = ROLE_NONE;
}

void machine_flushed(struct world *w, struct machine *m)
{
    if (m->role == ROLE_LEADER) {
        struct leading_log log = leading_log_of(w, m);
        leading_carry(w, m, leading_moved(m->leading, machine_clock(w, m), &log));
        acks_review(w, m); /* acks=1 */
    } else if (cutting(m)) {
        if (!w->memory && !m->cut_refused && !cut_pending(m)) {
            cut_done(w, m);
        }
    } else if (m->role == ROLE_FOLLOWER) {
        struct following_effect e;
        following_flushed(&m->following, machine_clock(w, m), disk_counted(w, m), &e);
        follow_carry(w, m, &e);
        following_kept(&m->following, machine_clock(w, m), kept_start(m), &e);
        follow_carry(w, m, &e);
    }
    next_apply(w, m);
}

static uint64_t alarm_ns(const struct world *w, const struct machine *m)
{
    uint64_t due = m->role == ROLE_LEADER     ? leading_deadline(m->leading)
                   : m->role == ROLE_FOLLOWER ? following_deadline(&m->following)
                                              : UINT64_MAX;
    uint64_t clock = machine_clock(w, m);
    if (due == UINT64_MAX) {
        return due;
    }
    return due <= clock ? w->now_ns : w->now_ns + (due - clock) * 106 / 100 + 1;
}

uint64_t machine_due(const struct world *w, const struct machine *m)
{
    if (!m->up) {
        return m->up_ns;
    }
    uint64_t due = alarm_ns(w, m);
    const uint64_t others[] = {m->flush_ns, m->append_ns, m->cut_ns, m->beat_ns};
    for (unsigned i = 0; i < array_size(others); i++) {
        due = others[i] && others[i] < due ? others[i] : due;
    }
    for (uint32_t i = 0; i < m->wait_count; i++) {
        due = m->waits[i].until_ns < due ? m->waits[i].until_ns : due;
    }
    return due > m->frozen_ns ? due : m->frozen_ns;
}

static void beat(struct world *w, struct machine *m)
{
    m->beat_ns = w->now_ns + BEAT_MS * ms_ns;
    bool known = m->broker_epoch >= 0;
    struct packet *p =
        world_packet(w, known ? PACKET_BEAT : PACKET_REGISTER, m->index, WORLD_CONTROLLER);
    if (!p) {
        return;
    }
    p->life = m->life;
    if (known) {
        p->broker_epoch = m->broker_epoch;
        p->failed = m->failed;
    } else {
        p->registration.disk = m->disk;
        p->registration.lossy = m->lossy;
    }
    world_send(w, p);
}

void machine_step(struct world *w, struct machine *m)
{
    if (!m->up) {
        machine_start(w, m);
    } else if (m->flush_ns && m->flush_ns <= w->now_ns) {
        disk_flush_end(w, m);
    } else if (m->append_ns && m->append_ns <= w->now_ns) {
        follow_append(w, m);
        next_apply(w, m);
    } else if (m->cut_ns && m->cut_ns <= w->now_ns) {
        cut_done(w, m);
        next_apply(w, m);
    } else if (m->beat_ns <= w->now_ns) {
        beat(w, m);
    } else if (m->role == ROLE_LEADER) {
        leading_carry(w, m, leading_tick(m->leading, machine_clock(w, m)));
        waits_review(w, m, false);
    } else if (m->role == ROLE_FOLLOWER) {
        follow_ask(w, m);
    }
}

/* --- messages --------------------------------------------------------------------------------- */

static void receive_fetch(struct world *w, struct machine *m, const struct packet *p)
{
    struct world_wait wait = {.fetch = p->fetch,
                              .from = p->from,
                              .ticket = p->ticket,
                              .life = p->life,
                              .until_ns = w->now_ns + WAIT_MS * ms_ns};
    struct leading_answer answer = {.error = ERR_NOT_LEADER_OR_FOLLOWER};
    if (m->role == ROLE_LEADER) {
        unsigned effects = leading_fetch(m->leading, machine_clock(w, m), &wait.fetch, &answer);
        leading_carry(w, m, effects);
    }
    if (answer.waits && m->wait_count < WORLD_WAITS_MAX) {
        m->waits[m->wait_count++] = wait;
    } else {
        answer_send(w, m, &wait, &answer);
    }
}

static void receive_fetched(struct world *w, struct machine *m, const struct packet *p)
{
    if (m->role != ROLE_FOLLOWER || p->life != m->life) {
        return;
    }
    struct following_batch batches[WORLD_PACKET_RECORDS];
    for (uint32_t i = 0; i < p->fetched.count; i++) {
        int64_t base = p->fetched.base + i;
        batches[i] = (struct following_batch){base, base + 1, p->fetched.records[i].epoch};
    }
    const struct leading_answer *a = &p->fetched.answer;
    struct following_answer answer = {.ticket = p->ticket,
                                      .error = a->error,
                                      .diverges = a->diverges,
                                      .diverging = a->diverging,
                                      .high_watermark = a->high_watermark,
                                      .log_start = a->log_start,
                                      .batches = batches,
                                      .batch_count = p->fetched.count};
    struct following_effect e;
    following_answer(&m->following, machine_clock(w, m), &answer, &e);
    if (e.what & FOLLOWING_APPEND) {
        m->arrived = *p;
    }
    follow_carry(w, m, &e);
}

static void receive_altered(struct world *w, struct machine *m, const struct packet *p)
{
    if (m->role != ROLE_LEADER || p->life != m->life) {
        return;
    }
    leading_carry(
        w, m,
        leading_altered(m->leading, machine_clock(w, m), p->altered.ticket, p->altered.error));
}

void machine_receive(struct world *w, struct machine *m, const struct packet *p)
{
    switch (p->kind) {
    case PACKET_FETCH:
        receive_fetch(w, m, p);
        break;
    case PACKET_FETCHED:
        receive_fetched(w, m, p);
        break;
    case PACKET_ALTERED:
        receive_altered(w, m, p);
        break;
    case PACKET_IMAGE:
        image_apply(w, m, &p->image);
        break;
    case PACKET_REGISTERED:
        if (p->life == m->life && m->broker_epoch < 0) {
            m->broker_epoch = p->broker_epoch;
            m->lossy = false;
        }
        break;
    default:
        break;
    }
}

/* --- what others want ------------------------------------------------------------------------- */

void machine_append(struct world *w, struct machine *m, int16_t acks)
{
    if (m->role != ROLE_LEADER || m->append_waiting == WORLD_APPENDS_MAX ||
        m->log.end == WORLD_RECORDS_MAX || m->operation_count + 8 > WORLD_OPERATIONS_MAX ||
        leading_admit(m->leading, acks) != 0) {
        return;
    }
    oracle_admitted(w, m, acks);
    w->stats->appends++;
    struct world_record r = {m->image.epoch, ++w->proposals};
    m->appends[m->append_waiting++] = (struct world_append){
        .id = r.id, .since_ns = w->now_ns, .offset = m->log.end, .acks = acks};
    disk_do(w, m, (struct operation){OPERATION_APPEND, r, m->log.end});
    oracle_appended(w, m, &r);
    struct leading_log log = leading_log_of(w, m);
    leading_carry(w, m, leading_moved(m->leading, machine_clock(w, m), &log));
}

void machine_read(struct world *w, struct machine *m)
{
    int64_t latest;
    if (m->role != ROLE_NONE && m->high_watermark > m->log.start) {
        uint64_t among = (uint64_t)(m->high_watermark - m->log.start);
        int64_t back = (int64_t)prng_below(&w->client, among < 8 ? among : 8);
        oracle_read(w, m, m->high_watermark - 1 - back);
    }
    if (m->role == ROLE_LEADER && leading_latest(m->leading, &latest) == 0) {
        oracle_latest(w, m, latest);
    }
}

void machine_fail(struct world *w, struct machine *m)
{
    struct following_effect ignored;
    w->stats->failures++;
    w->lossy |= bit(m->index);
    m->failed = m->lossy = true;
    world_tell(w, (int)m->index, "finds its log damaged");
    if (m->role == ROLE_LEADER) {
        leading_carry(w, m, leading_resign(m->leading));
        assert(m->append_waiting == 0);
        m->role = ROLE_NONE;
    } else {
        following_fail(&m->following, &ignored);
        m->role = ROLE_NONE;
        m->append_ns = m->cut_ns = 0;
    }
}

void machine_delete(struct world *w, struct machine *m)
{
    if (m->role != ROLE_LEADER || m->high_watermark <= m->log.start) {
        return;
    }
    int64_t start =
        (int64_t)prng_between(&w->client, (uint64_t)m->log.start, (uint64_t)m->high_watermark);
    disk_do(w, m, (struct operation){.kind = OPERATION_START, .offset = start});
    struct leading_log log = leading_log_of(w, m);
    leading_carry(w, m, leading_moved(m->leading, machine_clock(w, m), &log));
}
