/* SPDX-License-Identifier: Apache-2.0 */

/* The leader: its epochs and images, followers' fetches, the high watermark, acknowledgements. */
#include "partition/leading_private.h"

#include <string.h>

enum { START_ANSWERS = 2 };

size_t leading_size(uint32_t replicas)
{
    assert(replicas > 0 && replicas <= LEADING_REPLICAS_MAX);
    return sizeof(struct leading) + replicas * sizeof(struct leading_follower);
}

uint32_t leading_capacity(const struct leading *l)
{
    return l->capacity;
}

void leading_move(struct leading *memory, uint32_t capacity, const struct leading *old)
{
    assert(old->magic == LEADING_MAGIC && capacity >= old->count);
    memcpy(memory, old, leading_size(old->count));
    memory->capacity = capacity;
}

struct leading_follower *leading_follower_of(struct leading *l, int32_t node)
{
    for (uint32_t i = 0; i < l->count; i++) {
        if (l->followers[i].node == node) {
            return &l->followers[i];
        }
    }
    return NULL;
}

static const struct leading_follower *follower_find(const struct leading *l, int32_t node)
{
    return leading_follower_of((struct leading *)(uintptr_t)l, node);
}

/* --- the high watermark ----------------------------------------------------------------------- */

bool leading_is_ready(const struct leading *l)
{
    return l->high_watermark >= l->epoch_start;
}

/* min.insync.replicas of a topic with fewer replicas asks for all of them. */
static bool enough(const struct leading *l)
{
    uint32_t least = l->min_isr < l->count ? l->min_isr : l->count;
    return bits(l->isr) >= least;
}

static int64_t own_counted(const struct leading *l)
{
    return replication_mutated(l, REPLICATION_MUTANT_LEADER_UNFLUSHED) ? l->log.end
                                                                       : l->log.counted;
}

/* What everybody has that may be in sync. */
static int64_t held_by_all(const struct leading *l)
{
    uint32_t set = replication_mutated(l, REPLICATION_MUTANT_COMMITTED_ISR) ? l->isr : l->maximal;
    int64_t end = own_counted(l);
    for (uint32_t i = 0; i < l->count; i++) {
        const struct leading_follower *f = &l->followers[i];
        if ((set & ~l->self) >> i & 1 && f->counted < end) {
            end = f->counted;
        }
    }
    return end;
}

static unsigned watermark_raise(struct leading *l)
{
    if (!enough(l) && !replication_mutated(l, REPLICATION_MUTANT_BELOW_MIN)) {
        return 0;
    }
    int64_t end = held_by_all(l);
    if (end <= l->high_watermark) {
        return 0;
    }
    l->high_watermark = end;
    return LEADING_WATERMARK | LEADING_WAKE;
}

unsigned leading_settle(struct leading *l)
{
    assert(l->serving);
    assert((l->isr & ~l->maximal) == 0);
    unsigned effects = watermark_raise(l);
    if (l->was_enough && !enough(l)) {
        effects |= LEADING_SHORT;
    }
    if (!l->was_ready && leading_is_ready(l)) {
        effects |= LEADING_READY;
    }
    l->was_enough = enough(l);
    l->was_ready = leading_is_ready(l);
    return effects;
}

/* --- time ------------------------------------------------------------------------------------- */

/* Time in which the leader itself did nothing is not held against its followers. */
void leading_enter(struct leading *l, uint64_t now_ns)
{
    assert(l->magic == LEADING_MAGIC && now_ns >= l->now_ns);
    l->now_ns = now_ns;
    uint64_t away = now_ns - l->ticked_ns;
    if (away <= l->options.lag_ns / 2 ||
        replication_mutated(l, REPLICATION_MUTANT_FORGIVE_NOTHING)) {
        return;
    }
    for (uint32_t i = 0; i < l->count; i++) {
        l->followers[i].caught_up_ns += away;
        l->followers[i].progressed_ns += away;
    }
    l->ticked_ns = now_ns;
}

/* --- images ----------------------------------------------------------------------------------- */

static void follower_begin(struct leading *l, struct leading_follower *f,
                           const struct leading_replica *r)
{
    *f = (struct leading_follower){
        .node = r->node,
        .eligible = r->eligible,
        .broker_epoch = r->broker_epoch,
        .counted = -1,
        .log_start = -1,
        .fetched_ns = l->now_ns,
        .caught_up_ns = l->now_ns,
        .progressed_ns = l->now_ns,
    };
}

/* What was told under another broker epoch was told by another life of that broker (KIP-903). */
static void follower_update(struct leading *l, struct leading_follower *f,
                            const struct leading_replica *r)
{
    assert(f->node == r->node);
    if (r->broker_epoch != f->broker_epoch &&
        !replication_mutated(l, REPLICATION_MUTANT_OLD_BROKER)) {
        int64_t proposed = f->proposed_epoch;
        follower_begin(l, f, r);
        f->proposed_epoch = proposed;
    }
    f->broker_epoch = r->broker_epoch;
    f->eligible = r->eligible;
}

static uint32_t isr_of(const struct leading *l, const int32_t *nodes, uint32_t count)
{
    uint32_t set = 0;
    for (uint32_t i = 0; i < l->count; i++) {
        for (uint32_t k = 0; k < count; k++) {
            set |= l->followers[i].node == nodes[k] ? 1u << i : 0;
        }
    }
    return set;
}

/* The image's replicas in their places; who was there already keeps what is known of him. */
static void replicas_place(struct leading *l, const struct leading_image *image)
{
    assert(image->replica_count <= l->capacity && image->replica_count > 0);
    struct leading_follower old[LEADING_REPLICAS_MAX];
    uint32_t old_count = l->count;
    memcpy(old, l->followers, old_count * sizeof *old);
    l->count = image->replica_count;
    l->self = 0;
    for (uint32_t i = 0; i < l->count; i++) {
        follower_begin(l, &l->followers[i], &image->replicas[i]);
        for (uint32_t k = 0; k < old_count; k++) {
            if (old[k].node == image->replicas[i].node) {
                l->followers[i] = old[k];
                follower_update(l, &l->followers[i], &image->replicas[i]);
            }
        }
        if (image->replicas[i].node == l->options.node) {
            l->self = 1u << i;
        }
    }
}

static bool same_places(const struct leading *l, const struct leading_image *image)
{
    bool same = l->count == image->replica_count;
    for (uint32_t i = 0; same && i < l->count; i++) {
        same = l->followers[i].node == image->replicas[i].node;
    }
    return same;
}

static void epoch_begin(struct leading *l, const struct leading_image *image)
{
    l->epoch = image->epoch;
    l->epoch_start = l->log.end;
    l->ticket = replication_tickets(l->epoch);
    if (!replication_mutated(l, REPLICATION_MUTANT_KEEP_COUNTED)) {
        l->count = 0;
    }
    replicas_place(l, image);
    isr_commit(l, isr_of(l, image->isr, image->isr_count) | l->self, image->partition_epoch);
    l->recovering = image->recovering;
}

unsigned leading_init(struct leading *memory, uint32_t capacity,
                      const struct leading_options *options, const struct leading_image *image,
                      const struct leading_log *log, int64_t high_watermark, uint64_t now_ns)
{
    assert(image->leader == options->node && options->epoch_end);
    assert(log->start <= log->counted && log->counted <= log->end);
    struct leading *l = memory;
    *l = (struct leading){
        .magic = LEADING_MAGIC,
        .capacity = capacity,
        .options = *options,
        .now_ns = now_ns,
        .ticked_ns = now_ns,
        .log = *log,
        .high_watermark = high_watermark > log->start ? high_watermark : log->start,
        .min_isr = image->min_isr,
        .was_enough = true,
        .serving = true,
    };
    assert(l->high_watermark <= log->counted);
    l->options.lag_ns = options->lag_ns ? options->lag_ns : UINT64_C(30000000000);
    l->options.alter_ns = options->alter_ns ? options->alter_ns : 1000000000;
    epoch_begin(l, image);
    return leading_settle(l) | isr_decide(l);
}

unsigned leading_apply(struct leading *l, uint64_t now_ns, const struct leading_image *image)
{
    leading_enter(l, now_ns);
    bool older = image->epoch < l->epoch ||
                 (image->epoch == l->epoch && image->partition_epoch < l->partition_epoch);
    if (!l->serving || image->epoch < l->epoch) {
        return 0;
    }
    if (image->leader != l->options.node) {
        return leading_resign(l);
    }
    l->min_isr = image->min_isr;
    unsigned effects = 0;
    if (image->epoch > l->epoch) {
        effects = LEADING_EPOCH | LEADING_WAKE;
        epoch_begin(l, image);
    } else if (!older) {
        if (image->partition_epoch != l->partition_epoch || !same_places(l, image)) {
            replicas_place(l, image);
            isr_commit(l, isr_of(l, image->isr, image->isr_count) | l->self,
                       image->partition_epoch);
            l->recovering = image->recovering;
        }
    }
    for (uint32_t i = 0; i < image->replica_count; i++) {
        struct leading_follower *f = leading_follower_of(l, image->replicas[i].node);
        if (f) {
            follower_update(l, f, &image->replicas[i]);
        }
    }
    return effects | LEADING_TRIMMED | leading_settle(l) | isr_decide(l);
}

/* --- events ----------------------------------------------------------------------------------- */

unsigned leading_tick(struct leading *l, uint64_t now_ns)
{
    leading_enter(l, now_ns);
    l->ticked_ns = now_ns;
    return l->serving ? isr_decide(l) : 0;
}

uint64_t leading_deadline(const struct leading *l)
{
    bool alone = l->count == 1 && !l->altering && !l->recovering && l->maximal == l->isr;
    if (!l->serving || alone) {
        return UINT64_MAX;
    }
    uint64_t round = l->ticked_ns + l->options.lag_ns / 4, other = isr_deadline(l);
    return round < other ? round : other;
}

unsigned leading_moved(struct leading *l, uint64_t now_ns, const struct leading_log *log)
{
    leading_enter(l, now_ns);
    assert(log->end >= l->log.end && log->counted >= l->log.counted); /* P17 */
    assert(log->start >= l->log.start && log->counted <= log->end);
    bool grown = log->end > l->log.end, trimmed = log->start > l->log.start;
    assert(log->start <= l->high_watermark); /* P30 */
    l->log = *log;
    if (!l->serving) {
        return 0;
    }
    for (uint32_t i = 0; i < l->count && trimmed; i++) {
        l->followers[i].start_answers = 0;
    }
    return (grown || trimmed ? LEADING_WAKE : 0) | (trimmed ? LEADING_TRIMMED : 0) |
           leading_settle(l) | isr_decide(l);
}

unsigned leading_resign(struct leading *l)
{
    assert(l->magic == LEADING_MAGIC);
    bool led = l->serving;
    l->serving = false;
    l->altering = false;
    return led ? LEADING_ENDED | LEADING_WAKE : 0;
}

/* --- fetches ---------------------------------------------------------------------------------- */

static int fetch_refused(const struct leading *l, const struct leading_fetch *fetch)
{
    const struct leading_follower *f = follower_find(l, fetch->node);
    if (!l->serving || !f || f->node == l->options.node) {
        return ERR_NOT_LEADER_OR_FOLLOWER;
    }
    if (fetch->epoch < 0 || fetch->offset < 0 || fetch->last_epoch < -1 || fetch->counted < -1) {
        return ERR_INVALID_REQUEST;
    }
    if (fetch->epoch < l->epoch && !replication_mutated(l, REPLICATION_MUTANT_OLD_EPOCH)) {
        return ERR_FENCED_LEADER_EPOCH;
    }
    if (fetch->epoch > l->epoch) {
        return ERR_UNKNOWN_LEADER_EPOCH;
    }
    if (fetch->broker_epoch < f->broker_epoch &&
        !replication_mutated(l, REPLICATION_MUTANT_OLD_BROKER)) {
        return ERR_STALE_BROKER_EPOCH;
    }
    return 0;
}

/* Whether the follower's log is the beginning of this one (KIP-595). A log that ends where this one starts, and of
 * whose epoch nothing is left here, cannot be compared: what it has may be anything. */
static int fetch_continues(const struct leading *l, const struct leading_fetch *fetch,
                           struct leading_answer *answer)
{
    if (fetch->offset < l->log.start || (fetch->last_epoch < 0 && fetch->offset > l->log.end)) {
        return ERR_OFFSET_OUT_OF_RANGE;
    }
    if (fetch->last_epoch < 0) {
        return 0;
    }
    struct replication_end *end = &answer->diverging;
    end->offset = l->options.epoch_end(l->options.log, fetch->last_epoch, &end->epoch);
    if (end->epoch < 0) {
        end->offset = l->log.start;
    }
    if (end->epoch < 0 && fetch->offset == l->log.start) {
        return ERR_OFFSET_OUT_OF_RANGE;
    }
    answer->diverges = (end->epoch < fetch->last_epoch || end->offset < fetch->offset) &&
                       !replication_mutated(l, REPLICATION_MUTANT_NO_DIVERGENCE);
    if (!answer->diverges && fetch->offset > l->log.end) {
        return ERR_OFFSET_OUT_OF_RANGE;
    }
    return 0;
}

static void fetch_judge(const struct leading *l, const struct leading_fetch *fetch,
                        struct leading_answer *answer)
{
    *answer = (struct leading_answer){.diverging.epoch = -1};
    answer->error = fetch_refused(l, fetch);
    if (!answer->error) {
        answer->high_watermark = l->high_watermark;
        answer->held = leading_held(l);
        answer->log_start = l->log.start;
        answer->error = fetch_continues(l, fetch, answer);
    }
}

void leading_review(const struct leading *l, const struct leading_fetch *fetch,
                    struct leading_answer *answer)
{
    assert(l->magic == LEADING_MAGIC);
    fetch_judge(l, fetch, answer);
    if (answer->error || answer->diverges || !fetch->records) {
        return;
    }
    const struct leading_follower *f = follower_find(l, fetch->node);
    bool newest = fetch->arrival == f->arrival;
    bool proves = fetch->counted < 0; /* nothing of it counts before it knows that it continues */
    bool news = proves || (fetch->high_watermark < l->high_watermark &&
                           !replication_mutated(l, REPLICATION_MUTANT_TELL_LATE));
    answer->waits =
        newest && fetch->offset >= l->log.end && !news && fetch->start_seen == l->log.start;
}

/* P6: in this epoch, from the life of the broker that the image knows, of a log that continues this one; and
 * no further than that log has been compared. */
static void fetch_count(struct leading *l, struct leading_follower *f,
                        const struct leading_fetch *fetch)
{
    if (fetch->broker_epoch != f->broker_epoch &&
        !replication_mutated(l, REPLICATION_MUTANT_OLD_BROKER)) {
        return;
    }
    int64_t counted = fetch->counted < fetch->offset ? fetch->counted : fetch->offset;
    if (replication_mutated(l, REPLICATION_MUTANT_COUNT_FETCHED)) {
        counted = fetch->offset;
    }
    f->told = true;
    /* Fetches overtake each other; and a log that begins anew does so at this one's start. */
    int64_t start = fetch->log_start < l->log.start ? fetch->log_start : l->log.start;
    f->log_start = start > f->log_start ? start : f->log_start;
    isr_fetched(l, f, counted);
}

/* A follower that knows as much as committed lets go of what lies below the start when two answers in a row have named
 * it: these come at once, and no more of them, for its disk may take its time. */
static int64_t start_to_hear(const struct leading *l, struct leading_follower *f,
                             const struct leading_fetch *fetch)
{
    bool hears = fetch->log_start < l->log.start && fetch->high_watermark >= l->log.start &&
                 f->start_answers < START_ANSWERS;
    f->start_answers += hears;
    return hears ? -1 : l->log.start;
}

unsigned leading_fetch(struct leading *l, uint64_t now_ns, struct leading_fetch *fetch,
                       struct leading_answer *answer)
{
    leading_enter(l, now_ns);
    fetch_judge(l, fetch, answer);
    if (answer->error || answer->diverges) {
        return 0;
    }
    struct leading_follower *f = leading_follower_of(l, fetch->node);
    assert(l->serving && f);
    unsigned effects = 0;
    int64_t began = f->log_start;
    fetch->start_seen = l->log.start;
    if (fetch->records) {
        fetch->arrival = f->arrival = ++l->arrivals;
        effects = f->waits ? LEADING_WAKE : 0;
        fetch->start_seen = start_to_hear(l, f, fetch);
    }
    fetch_count(l, f, fetch);
    effects |= f->log_start > began ? LEADING_TRIMMED : 0;
    effects |= leading_settle(l) | isr_decide(l);
    leading_review(l, fetch, answer);
    f->waits = fetch->records ? answer->waits : f->waits;
    return effects;
}

/* --- questions -------------------------------------------------------------------------------- */

int64_t leading_trimmed(const struct leading *l)
{
    assert(l->magic == LEADING_MAGIC);
    int64_t start = l->log.start;
    for (uint32_t i = 0; i < l->count; i++) {
        const struct leading_follower *f = &l->followers[i];
        if (f->node != l->options.node && f->eligible && f->log_start < start) {
            start = f->log_start;
        }
    }
    return start;
}

static int serves(const struct leading *l)
{
    assert(l->magic == LEADING_MAGIC);
    return l->serving ? 0 : ERR_NOT_LEADER_OR_FOLLOWER;
}

int64_t leading_held(const struct leading *l)
{
    int64_t end = l->count > 1 ? own_counted(l) : INT64_MAX;
    for (uint32_t i = 0; i < l->count && !replication_mutated(l, REPLICATION_MUTANT_HELD_BY_ISR);
         i++) {
        const struct leading_follower *f = &l->followers[i];
        if (f->node != l->options.node && (!f->told || f->counted < end)) {
            end = f->told && f->counted > 0 ? f->counted : 0;
        }
    }
    return end;
}

int leading_admit(const struct leading *l, int16_t acks)
{
    int error = serves(l);
    if (!error && acks == -1 && !enough(l) &&
        !replication_mutated(l, REPLICATION_MUTANT_ADMIT_SHORT)) {
        error = ERR_NOT_ENOUGH_REPLICAS;
    }
    return error;
}

int leading_acked(const struct leading *l, int16_t acks, int64_t end)
{
    int error = serves(l);
    if (error) {
        return error;
    }
    if (acks == 0) {
        return 1;
    }
    if (acks == 1 || replication_mutated(l, REPLICATION_MUTANT_ACK_COUNTED)) {
        return own_counted(l) >= end;
    }
    if (l->high_watermark >= end) {
        return 1;
    }
    return enough(l) ? 0 : ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND;
}

int leading_gap(const struct leading *l)
{
    return leading_is_ready(l) ? ERR_OUT_OF_ORDER_SEQUENCE : ERR_NOT_ENOUGH_REPLICAS;
}

int leading_latest(const struct leading *l, int64_t *out)
{
    int error = serves(l);
    if (!error && !leading_is_ready(l) &&
        !replication_mutated(l, REPLICATION_MUTANT_LATEST_UNREADY)) {
        error = ERR_OFFSET_NOT_AVAILABLE;
    }
    if (!error) {
        *out = l->high_watermark;
    }
    return error;
}

struct leading_status leading_status(const struct leading *l)
{
    assert(l->magic == LEADING_MAGIC);
    return (struct leading_status){
        .epoch = l->epoch,
        .partition_epoch = l->partition_epoch,
        .high_watermark = l->high_watermark,
        .epoch_start = l->epoch_start,
        .isr_count = bits(l->isr),
        .maximal_count = bits(l->maximal),
        .serving = l->serving,
        .ready = leading_is_ready(l),
        .enough = enough(l),
        .altering = l->altering,
    };
}

bool leading_waits_for(const struct leading *l, int32_t node)
{
    const struct leading_follower *f = follower_find(l, node);
    return f && (l->maximal >> (f - l->followers) & 1);
}

int64_t leading_counted(const struct leading *l, int32_t node)
{
    const struct leading_follower *f = follower_find(l, node);
    return f ? f->counted : -1;
}
