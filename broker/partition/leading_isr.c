/* SPDX-License-Identifier: Apache-2.0 */

/* Who is in sync: ejection, admission, and the AlterPartition that is in flight for either.
 *
 * Ejection. replica.lag.time.max.ms as in Kafka: a follower is behind when it does not have what
 * the leader had so long ago. Measured is what counts, not what was sent: a follower whose disk
 * stands still holds back every acknowledgement as one does that is gone. Different from Kafka, a
 * follower that is behind but has made progress within half of that time stays, for it is about to
 * come; after LEADING_PATIENCE of them it goes nevertheless.
 *
 * Admission. Who was ejected joins when it has been close behind the leader for a probation, and
 * has all that is committed. The probation doubles with each further ejection and is forgotten after a
 * time without one: a follower at the edge changes the metadata a few times and then stays out.
 *
 * Proposals (P19, KIP-497). A request that was sent may be applied until the partition epoch has
 * moved, whatever is heard of it: who it names is waited for until then. It moves with an image, also when
 * it was applied: the set counts together with all that the controller had decided before it. An answer that says what
 * the controller has not applied says it of one copy. With a single copy sent that is the end of
 * the proposal; with more than one another set is proposed under the same partition epoch, and
 * whichever is applied first makes the others void. */
#include "partition/leading_private.h"

enum {
    PROBATION_PART = 8, /* of the lag time: the first one */
    PROBATION_MOST = 4, /* lag times: the longest one */
    FORGOTTEN = 16,     /* lag times without an ejection */
};

static const uint64_t never = UINT64_MAX;

void isr_commit(struct leading *l, uint32_t isr, int32_t partition_epoch)
{
    assert(isr & l->self);
    assert(partition_epoch >= l->partition_epoch);
    l->isr = l->maximal = isr;
    l->partition_epoch = partition_epoch;
    l->altering = false;
    l->alter_after_ns = 0;
}

/* --- lag -------------------------------------------------------------------------------------- */

static uint64_t since(const struct leading *l, uint64_t then_ns)
{
    return l->now_ns > then_ns ? l->now_ns - then_ns : 0;
}

/* A moment ago it had all that there was then. Under load the watermark, which does not wait for it, is ahead of what
 * it tells at nearly every fetch. */
static bool is_close(const struct leading *l, const struct leading_follower *f)
{
    return since(l, f->caught_up_ns) <= l->options.lag_ns / 4;
}

void isr_fetched(struct leading *l, struct leading_follower *f, int64_t counted)
{
    if (counted > f->counted) {
        f->counted = counted;
        f->progressed_ns = l->now_ns;
    }
    if (f->counted >= l->log.counted) {
        f->caught_up_ns = l->now_ns;
    } else if (f->counted >= f->target && f->fetched_ns > f->caught_up_ns) {
        f->caught_up_ns = f->fetched_ns;
    }
    f->target = l->log.counted;
    f->fetched_ns = l->now_ns;
    if (!is_close(l, f)) {
        f->steady_ns = 0;
    } else if (f->steady_ns == 0) {
        f->steady_ns = l->now_ns;
    }
}

static bool has_stalled(const struct leading *l, const struct leading_follower *f)
{
    uint64_t lag = l->options.lag_ns, behind = since(l, f->caught_up_ns);
    if (replication_mutated(l, REPLICATION_MUTANT_NEVER_EJECT)) {
        return false;
    }
    return behind > lag &&
           (since(l, f->progressed_ns) > lag / 2 || behind > LEADING_PATIENCE * lag);
}

static void eject(struct leading *l, struct leading_follower *f)
{
    uint64_t lag = l->options.lag_ns;
    bool again = f->ejected_ns && since(l, f->ejected_ns) < FORGOTTEN * lag;
    f->probation_ns = again ? 2 * f->probation_ns : lag / PROBATION_PART;
    if (f->probation_ns > PROBATION_MOST * lag) {
        f->probation_ns = PROBATION_MOST * lag;
    }
    f->ejected_ns = l->now_ns;
    f->steady_ns = 0;
}

/* P18. What has been told is of this epoch and of the broker's present life (P6). The watermark may be behind
 * what earlier epochs have committed until it reaches LESO, below which all of that lies: so who joins has
 * both. It need not have reached LESO itself: where too few are in sync for it to rise, that would wait for
 * each other. */
static bool may_join(const struct leading *l, const struct leading_follower *f)
{
    if (!f->told || !f->eligible || l->now_ns < f->barred_ns || has_stalled(l, f)) {
        return false; /* it would be ejected at once */
    }
    if (f->counted < l->epoch_start && !replication_mutated(l, REPLICATION_MUTANT_JOIN_UNREADY)) {
        return false;
    }
    if (f->counted < l->high_watermark && !replication_mutated(l, REPLICATION_MUTANT_JOIN_EARLY)) {
        return false;
    }
    return f->probation_ns == 0 || replication_mutated(l, REPLICATION_MUTANT_FLAP) ||
           (f->steady_ns && since(l, f->steady_ns) >= f->probation_ns && is_close(l, f));
}

/* --- proposals -------------------------------------------------------------------------------- */

static uint32_t wanted(const struct leading *l)
{
    uint32_t set = l->isr;
    for (uint32_t i = 0; i < l->count; i++) {
        const struct leading_follower *f = &l->followers[i];
        uint32_t bit = 1u << i;
        if (bit == l->self) {
            continue;
        }
        if ((l->isr & bit) && has_stalled(l, f)) {
            set &= ~bit;
        } else if (!(l->isr & bit) && may_join(l, f)) {
            set |= bit;
        }
    }
    return set;
}

static unsigned send_again(struct leading *l)
{
    if (l->now_ns < l->altered_ns + l->options.alter_ns) {
        return 0;
    }
    if (replication_mutated(l, REPLICATION_MUTANT_ROLL_BACK)) {
        l->altering = false;
        l->maximal = l->isr;
        return 0;
    }
    l->copies++;
    l->altered_ns = l->now_ns;
    return LEADING_ALTER;
}

unsigned isr_decide(struct leading *l)
{
    assert(l->serving);
    uint32_t set = wanted(l);
    if (l->altering &&
        (set == l->proposed || !replication_mutated(l, REPLICATION_MUTANT_TWO_IN_FLIGHT))) {
        return send_again(l);
    }
    /* Nothing changes, nothing older can come, and the controller waits for nothing. */
    bool still = set == l->isr && l->maximal == l->isr && !l->recovering;
    if (!l->altering && (still || l->now_ns < l->alter_after_ns)) {
        return 0;
    }
    for (uint32_t i = 0; i < l->count; i++) {
        l->followers[i].proposed_epoch = l->followers[i].broker_epoch;
        if ((l->isr & ~set) >> i & 1) {
            eject(l, &l->followers[i]);
        }
    }
    l->before = l->maximal;
    l->maximal |= set;
    if (replication_mutated(l, REPLICATION_MUTANT_TWO_IN_FLIGHT)) {
        l->maximal = l->isr | set;
    }
    l->proposed = set;
    l->copies = 1;
    l->altering = true;
    l->ticket++;
    l->altered_ns = l->now_ns;
    return LEADING_ALTER;
}

uint64_t isr_deadline(const struct leading *l)
{
    if (l->altering) {
        return l->altered_ns + l->options.alter_ns;
    }
    return l->alter_after_ns > l->now_ns ? l->alter_after_ns : never;
}

void leading_proposal(const struct leading *l, struct leading_proposal *out)
{
    assert(l->magic == LEADING_MAGIC && l->altering);
    *out = (struct leading_proposal){
        .ticket = l->ticket,
        .epoch = l->epoch,
        .partition_epoch = l->partition_epoch,
    };
    for (uint32_t i = 0; i < l->count; i++) {
        if (l->proposed >> i & 1) {
            const struct leading_follower *f = &l->followers[i];
            int64_t life = 1u << i == l->self ? l->options.broker_epoch : f->proposed_epoch;
            out->nodes[out->isr_count] = f->node;
            out->broker_epochs[out->isr_count++] = life;
        }
    }
}

/* --- answers ---------------------------------------------------------------------------------- */

/* The controller has compared the partition epoch and refused one of those who were named. */
static unsigned refused(struct leading *l)
{
    for (uint32_t i = 0; i < l->count; i++) {
        if ((l->proposed & ~l->isr) >> i & 1) {
            l->followers[i].barred_ns = l->now_ns + l->options.alter_ns;
        }
    }
    if (l->copies == 1 || replication_mutated(l, REPLICATION_MUTANT_BELIEVE_REJECTION)) {
        l->maximal = l->before;
    }
    return leading_settle(l);
}

unsigned leading_altered(struct leading *l, uint64_t now_ns, uint64_t ticket, int error)
{
    leading_enter(l, now_ns);
    if (!l->serving || !l->altering || ticket != l->ticket) {
        return 0;
    }
    unsigned effects = 0;
    switch (error) {
    case ERR_INELIGIBLE_REPLICA:
    case ERR_OPERATION_NOT_ATTEMPTED:
        l->altering = false;
        effects = refused(l);
        break;
    case 0: /* it came before an image that may have another min.insync.replicas */
    case ERR_FENCED_LEADER_EPOCH:
    case ERR_INVALID_UPDATE_VERSION:
    case ERR_INVALID_REQUEST:
    case ERR_NEW_LEADER_ELECTED:
    case ERR_STALE_BROKER_EPOCH:
    case ERR_UNKNOWN_TOPIC_ID:
    case ERR_UNKNOWN_TOPIC_OR_PARTITION:
        l->altering = false; /* an image is on its way */
        if (!error && replication_mutated(l, REPLICATION_MUTANT_ANSWER_FIRST)) {
            isr_commit(l, l->proposed, l->partition_epoch);
            effects = leading_settle(l);
        }
        break;
    default: /* it may not have arrived, or another controller may have it: the same again */
        return 0;
    }
    l->alter_after_ns = now_ns + l->options.alter_ns;
    return effects | isr_decide(l);
}
