/* SPDX-License-Identifier: Apache-2.0 */

/* Every event first makes a draft: what it asks for, and who is in no case eligible any more. Then
 * conclude() does the rest, always in this order:
 *
 *     who may not be in the ISR leaves it
 *       -> a reassignment that can be completed is
 *       -> a leader is elected if there is none that may stay
 *       -> ELR and last known follow from who was complete before and who is in the ISR now
 *       -> epochs
 *
 * It repairs whatever it meets, so the checks behind it hold for any sound partition of an image,
 * also one that another controller has left in the middle. */
#include "meta/isr_set.h"

struct draft {
    const struct isr_rules *r;
    const struct isr_state *before;
    struct isr_state *s;
    struct isr_set gone; /* replicas that hold less than they did */
    bool elect_unclean;  /* this once, whatever the configuration says */
    bool new_incarnation;
    bool accepted; /* of a leader: the next partition epoch begins, whatever comes out */
};

static bool mutated(const struct isr_rules *r, enum isr_mutant mutant)
{
#ifdef LEAT_SIM
    return r->mutant == mutant;
#else
    (void)r;
    (void)mutant;
    return false;
#endif
}

bool isr_has(const struct isr_set *s, int32_t id)
{
    for (int32_t i = 0; i < s->count; i++) {
        if (s->ids[i] == id) {
            return true;
        }
    }
    return false;
}

/* --- brokers ---------------------------------------------------------------------------------- */

const struct isr_broker *isr_find_broker(const struct isr_rules *r, int32_t id)
{
    uint32_t low = 0, high = r->broker_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (r->brokers[middle].id < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < r->broker_count && r->brokers[low].id == id ? &r->brokers[low] : NULL;
}

static bool is_active(const struct isr_rules *r, int32_t id)
{
    const struct isr_broker *b = isr_find_broker(r, id);
    return b && !b->fenced && !b->shutting_down;
}

int32_t isr_minimum(const struct isr_rules *r, const struct isr_state *s)
{
    int32_t settled = s->replicas.count - s->adding.count;
    int32_t least = r->min_isr < settled ? r->min_isr : settled;
    return least < 1 ? 1 : least;
}

/* --- the steps of conclude() ------------------------------------------------------------------ */

/* Who is fenced or has lost data leaves the ISR. Who shuts down, or is drained, has everything and stays. */
static void leave_isr(struct draft *d)
{
    struct isr_set *isr = &d->s->isr, kept = {.count = 0};
    for (int32_t i = 0; i < isr->count; i++) {
        int32_t id = isr->ids[i];
        bool fenced = !is_alive(d->r, id) && !mutated(d->r, ISR_MUTANT_FENCED_STAYS);
        if (fenced || isr_has(&d->gone, id) || isr_has(&d->s->damaged, id)) {
            continue;
        }
        set_add(&kept, id);
    }
    *isr = kept;
}

/* P28: those that go, go when all that come are in sync, and with them enough. */
static void complete_reassignment(struct draft *d)
{
    struct isr_state *s = d->s;
    if (s->adding.count + s->removing.count == 0 || s->recovering) {
        return;
    }
    struct isr_set isr = s->isr;
    set_subtract(&isr, &s->removing);
    int32_t rest = s->replicas.count - s->removing.count;
    int32_t least = d->r->min_isr < rest ? d->r->min_isr : rest;
    bool enough = isr.count >= (least < 1 ? 1 : least) && set_within(&s->adding, &isr);
    if (mutated(d->r, ISR_MUTANT_EARLY_SHRINK)) {
        enough = isr.count > 0;
    }
    if (!enough) {
        return;
    }
    int32_t kept = 0;
    for (int32_t i = 0; i < s->replicas.count; i++) {
        if (!isr_has(&s->removing, s->replicas.ids[i])) {
            s->directories[kept] = s->directories[i];
            s->replicas.ids[kept++] = s->replicas.ids[i];
        }
    }
    s->replicas.count = kept;
    s->isr = isr;
    set_subtract(&s->damaged, &s->removing);
    s->adding.count = s->removing.count = 0;
}

/* What the operator is left with when all that are there are damaged: what of the first can be read. */
static int32_t first_damaged(struct isr_state *s, const struct isr_rules *r)
{
    for (int32_t i = 0; i < s->replicas.count; i++) {
        int32_t id = s->replicas.ids[i];
        if (isr_has(&s->damaged, id) && is_active(r, id)) {
            set_remove(&s->damaged, id);
            return id;
        }
    }
    return -1;
}

/* The first replica in the order of preference that is in `set` and passes. -1: none. */
static int32_t first_of(const struct draft *d, const struct isr_set *set,
                        bool (*passes)(const struct isr_rules *r, int32_t id))
{
    for (int32_t i = 0; i < d->s->replicas.count; i++) {
        int32_t id = d->s->replicas.ids[i];
        bool sound = (!isr_has(&d->s->damaged, id) || mutated(d->r, ISR_MUTANT_DAMAGED_LEADS));
        if (isr_has(set, id) && sound &&
            (passes(d->r, id) || mutated(d->r, ISR_MUTANT_FENCED_LEADS))) {
            return id;
        }
    }
    return -1;
}

/* The leader stays, unless it shuts down and an active one is in sync. Another is elected (P26) from the ISR; from the
 * ELR when that is empty; uncleanly only when it is allowed. */
static void elect(struct draft *d)
{
    struct isr_state *s = d->s;
    struct isr_set eligible = d->before->elr;
    bool stays = s->leader >= 0 && isr_has(&s->isr, s->leader);
    if (stays && is_active(d->r, s->leader)) {
        return;
    }
    int32_t active = first_of(d, &s->isr, is_active);
    if (stays && (active < 0 || s->recovering)) {
        return;
    }
    s->leader = active;
    if (s->leader < 0) {
        s->leader = first_of(d, &s->isr, is_alive);
    }
    if (s->leader >= 0) {
        return;
    }
    assert(s->isr.count == 0 || d->r->mutant);
    for (int32_t i = 0; i < d->before->isr.count; i++) {
        set_add(&eligible, d->before->isr.ids[i]);
    }
    set_subtract(&eligible, &d->gone);
    s->leader = first_of(d, &eligible, is_active);
    if (s->leader < 0 &&
        (d->r->unclean || d->elect_unclean || mutated(d->r, ISR_MUTANT_LAST_LEADER))) {
        s->leader = first_of(d, &s->last_known, is_active);
        if (s->leader < 0) {
            s->leader = first_of(d, &s->replicas, is_active);
        }
        if (s->leader < 0 && d->elect_unclean) {
            s->leader = first_damaged(s, d->r);
        }
        s->unclean = s->leader >= 0;
    }
    if (s->leader >= 0) {
        set_only(&s->isr, s->leader);
        s->recovering = s->recovering || s->unclean;
    }
}

/* P21, P22. Who was in ISR or ELR is complete; if the ISR is below its minimum nothing more is
 * acknowledged without it, so it stays complete. */
static void follow_elr(struct draft *d)
{
    struct isr_state *s = d->s;
    struct isr_set complete = d->before->elr, last = d->before->last_known;
    for (int32_t i = 0; i < d->before->isr.count; i++) {
        set_add(&complete, d->before->isr.ids[i]);
    }
    s->elr.count = s->last_known.count = 0;
    if (s->isr.count >= isr_minimum(d->r, s)) {
        if (mutated(d->r, ISR_MUTANT_OLD_ELR)) {
            s->elr = d->before->elr;
            set_subtract(&s->elr, &s->isr);
        }
        return;
    }
    for (int32_t i = 0; i < s->replicas.count; i++) {
        int32_t id = s->replicas.ids[i];
        bool was = isr_has(&complete, id);
        bool is = was && !s->unclean && !isr_has(&d->gone, id) && !isr_has(&s->damaged, id) &&
                  !mutated(d->r, ISR_MUTANT_NO_ELR);
        if (isr_has(&s->isr, id)) {
            continue;
        }
        bool emptied = d->new_incarnation && isr_has(&d->gone, id);
        if (is) {
            set_add(&s->elr, id);
        } else if ((was || isr_has(&last, id)) && !emptied) {
            set_add(&s->last_known, id);
        }
    }
}

static int conclude(struct draft *d)
{
    struct isr_state *s = d->s;
    const struct isr_state *before = d->before;
    s->unclean = false;
    leave_isr(d);
    complete_reassignment(d);
    elect(d);
    follow_elr(d);
    if (!differ(before, s) && !d->new_incarnation && !d->accepted) {
        *s = *before;
        return 0;
    }
    if (before->partition_epoch == INT32_MAX || before->leader_epoch == INT32_MAX) {
        *s = *before;
        return ERR_UNKNOWN_SERVER_ERROR;
    }
    bool other =
        (other_replicas(before, s) || d->new_incarnation) && !mutated(d->r, ISR_MUTANT_SAME_EPOCH);
    bool next = s->leader != before->leader || other || s->unclean;
    s->leader_epoch = before->leader_epoch + (next ? 1 : 0);
    s->partition_epoch = before->partition_epoch + 1;
    if (s->unclean) {
        s->unclean_epoch = s->leader_epoch;
    }
    isr_check(d->r, before, s, d->gone.count > 0 || s->unclean);
    return 0;
}

/* --- events ----------------------------------------------------------------------------------- */

void isr_read(struct isr_state *s, const struct image_partition *p)
{
    const struct image_more *m = p->more;
    s->leader = p->leader;
    s->leader_epoch = p->leader_epoch;
    s->partition_epoch = p->partition_epoch;
    s->unclean_epoch = p->unclean_epoch;
    s->recovering = p->recovering;
    s->placed = p->directories != NULL;
    s->unclean = s->chosen = false;
    set_copy(&s->replicas, p->replicas, p->replica_count);
    set_copy(&s->isr, p->isr, p->isr_count);
    set_copy(&s->elr, m->elr.ids, m->elr.count);
    set_copy(&s->last_known, m->last_known_elr.ids, m->last_known_elr.count);
    set_copy(&s->adding, m->adding.ids, m->adding.count);
    set_copy(&s->removing, m->removing.ids, m->removing.count);
    set_copy(&s->damaged, m->damaged.ids, m->damaged.count);
    size_t size = (size_t)p->replica_count * sizeof s->directories[0];
    memset(s->directories, 0, size);
    if (p->directories) {
        memcpy(s->directories, p->directories, size);
    }
}

void isr_new(const struct isr_rules *r, struct isr_state *s, const int32_t *replicas, int32_t count)
{
    *s = (struct isr_state){.leader = -1, .unclean_epoch = -1};
    set_copy(&s->replicas, replicas, count);
    for (int32_t i = 0; i < count; i++) {
        if (is_active(r, replicas[i])) {
            set_add(&s->isr, replicas[i]);
        }
    }
    assert(s->isr.count > 0);
    s->leader = s->isr.ids[0];
}

int isr_settle(const struct isr_rules *r, struct isr_state *s)
{
    const struct isr_state before = *s;
    struct draft d = {.r = r, .before = &before, .s = s};
    return conclude(&d);
}

static int check_members(const struct isr_rules *r, const struct isr_state *s,
                         const struct isr_request *q)
{
    bool leader = false;
    for (int32_t i = 0; i < q->member_count; i++) {
        int32_t id = q->members[i].id;
        for (int32_t k = 0; k < i; k++) {
            if (q->members[k].id == id) {
                return ERR_INVALID_REQUEST;
            }
        }
        if (!isr_has(&s->replicas, id)) {
            return ERR_INVALID_REQUEST;
        }
        leader = leader || id == s->leader;
    }
    bool alone = q->member_count == 1 || mutated(r, ISR_MUTANT_RECOVERING_GROWS);
    if (!leader || (q->recovering && (!alone || !s->recovering))) {
        return ERR_INVALID_REQUEST;
    }
    for (int32_t i = 0; i < q->member_count; i++) {
        const struct isr_broker *b = isr_find_broker(r, q->members[i].id);
        bool joins = !isr_has(&s->isr, q->members[i].id);
        bool current = b && (b->epoch == q->members[i].broker_epoch ||
                             mutated(r, ISR_MUTANT_ANY_BROKER_EPOCH));
        if (!current || b->fenced || (joins && isr_has(&s->damaged, b->id))) {
            return ERR_INELIGIBLE_REPLICA;
        }
    }
    return 0;
}

int isr_alter(const struct isr_rules *r, struct isr_state *s, const struct isr_request *q)
{
    const struct isr_state before = *s;
    bool any = mutated(r, ISR_MUTANT_ANY_CHANGE);
    if (q->leader_epoch > s->leader_epoch || (q->partition_epoch > s->partition_epoch && !any)) {
        return ERR_NOT_CONTROLLER;
    }
    if (q->leader_epoch < s->leader_epoch) {
        return ERR_FENCED_LEADER_EPOCH;
    }
    if (q->sender != s->leader || q->member_count > ISR_REPLICAS_MAX) {
        return ERR_INVALID_REQUEST;
    }
    if (q->partition_epoch < s->partition_epoch && !any) {
        return ERR_INVALID_UPDATE_VERSION;
    }
    int error = check_members(r, s, q);
    if (error) {
        return error;
    }
    s->isr.count = 0;
    for (int32_t i = 0; i < q->member_count; i++) {
        set_add(&s->isr, q->members[i].id);
    }
    s->recovering = q->recovering;
    struct draft d = {.r = r, .before = &before, .s = s, .accepted = true};
    return conclude(&d);
}

int isr_elect_preferred(const struct isr_rules *r, struct isr_state *s)
{
    const struct isr_state before = *s;
    int32_t preferred = s->replicas.ids[0];
    if (s->leader == preferred) {
        return ERR_ELECTION_NOT_NEEDED;
    }
    struct draft d = {.r = r, .before = &before, .s = s};
    bool in_sync = isr_has(&s->isr, preferred) ||
                   (mutated(r, ISR_MUTANT_ELR_FIRST) && isr_has(&s->elr, preferred));
    if (in_sync && is_active(r, preferred)) {
        set_add(&s->isr, preferred);
        s->leader = preferred;
    }
    int error = conclude(&d);
    if (!error && s->leader != preferred) {
        *s = before;
        error = ERR_PREFERRED_LEADER_NOT_AVAILABLE;
    }
    return error;
}

bool isr_end_counts(const struct isr_rules *r, const struct isr_state *s, const struct isr_end *e)
{
    const struct isr_broker *b = isr_find_broker(r, e->broker);
    return is_active(r, e->broker) && b->epoch == e->broker_epoch &&
           isr_has(&s->replicas, e->broker);
}

static bool end_is_longer(const struct isr_end *a, const struct isr_end *b)
{
    return !b || a->epoch > b->epoch || (a->epoch == b->epoch && a->offset > b->offset);
}

/* The longest of those that count, a sound one before a damaged one of the same length. NULL: none. */
static const struct isr_end *best_of(const struct isr_rules *r, const struct isr_state *s,
                                     const struct isr_end *ends, int32_t count)
{
    const struct isr_end *sound = NULL, *any = NULL;
    for (int32_t i = 0; i < count; i++) {
        const struct isr_end *e = &ends[i];
        if (!isr_end_counts(r, s, e)) {
            continue;
        }
        if (!isr_has(&s->damaged, e->broker)) {
            sound = end_is_longer(e, sound) ? e : sound;
        }
        any = end_is_longer(e, any) ? e : any;
    }
    return sound && !end_is_longer(any, sound) ? sound : any;
}

/* It is what an unclean election finds first. */
static void choose(struct isr_state *s, const struct isr_end *best)
{
    set_only(&s->last_known, best->broker);
    set_remove(&s->damaged, best->broker);
}

int isr_elect_unclean(const struct isr_rules *r, struct isr_state *s, const struct isr_end *ends,
                      int32_t count)
{
    const struct isr_state before = *s;
    if (s->leader >= 0) {
        return ERR_ELECTION_NOT_NEEDED;
    }
    const struct isr_end *best = s->elr.count == 0 ? best_of(r, s, ends, count) : NULL;
    if (best) {
        choose(s, best);
    }
    struct draft d = {.r = r, .before = &before, .s = s, .elect_unclean = true};
    int error = conclude(&d);
    if (!error && s->leader < 0) {
        *s = before;
        error = ERR_ELIGIBLE_LEADERS_NOT_AVAILABLE;
    }
    return error;
}

int isr_recover(const struct isr_rules *r, struct isr_state *s, const struct isr_end *ends,
                int32_t count, bool patient)
{
    const struct isr_state before = *s;
    const struct isr_end *best = best_of(r, s, ends, count);
    int32_t inspected = 0;
    if (s->leader >= 0) {
        return ERR_ELECTION_NOT_NEEDED;
    }
    for (int32_t i = 0; i < count; i++) {
        inspected += isr_end_counts(r, s, &ends[i]) && isr_has(&s->last_known, ends[i].broker);
    }
    bool all = inspected == s->last_known.count;
    bool over = patient && r->memory && (inspected > 0 || all);
    bool enough = inspected > 0 && (all || inspected >= isr_minimum(r, s));
    if (!best || (!enough && !over) || s->elr.count > 0) {
        return ERR_ELIGIBLE_LEADERS_NOT_AVAILABLE;
    }
    choose(s, best);
    struct draft d = {.r = r, .before = &before, .s = s, .elect_unclean = true};
    return conclude(&d);
}

static int32_t place_of(const struct isr_state *s, int32_t id)
{
    for (int32_t i = 0; i < s->replicas.count; i++) {
        if (s->replicas.ids[i] == id) {
            return i;
        }
    }
    return -1;
}

int isr_lost(const struct isr_rules *r, struct isr_state *s, int32_t broker, bool damaged)
{
    const struct isr_state before = *s;
    struct draft d = {.r = r, .before = &before, .s = s};
    if (place_of(s, broker) < 0) {
        return 0;
    }
    if (!mutated(r, ISR_MUTANT_LOST_STAYS)) {
        set_only(&d.gone, broker);
    }
    if (damaged) {
        set_add(&s->damaged, broker);
    }
    return conclude(&d);
}

int isr_repaired(const struct isr_rules *r, struct isr_state *s, int32_t broker)
{
    const struct isr_state before = *s;
    struct draft d = {.r = r, .before = &before, .s = s};
    set_remove(&s->damaged, broker);
    return conclude(&d);
}

int isr_moved(const struct isr_rules *r, struct isr_state *s, int32_t broker, struct uuid directory)
{
    const struct isr_state before = *s;
    struct draft d = {.r = r, .before = &before, .s = s};
    int32_t place = place_of(s, broker);
    assert(!uuid_is_zero(directory));
    if (place < 0 || (s->placed && uuid_equal(s->directories[place], directory))) {
        return 0;
    }
    if (!uuid_is_zero(s->directories[place])) {
        set_only(&d.gone, broker);
        set_remove(&s->damaged, broker);
        d.new_incarnation = true;
    }
    s->placed = true;
    s->directories[place] = directory;
    return conclude(&d);
}

/* --- reassignment ----------------------------------------------------------------------------- */

/* New replicas are on brokers that are known; one that is there may be on one that is not any more. */
static bool target_is_valid(const struct isr_rules *r, const struct isr_set *replicas,
                            const int32_t *target, int32_t count)
{
    if (count < 1 || count > ISR_REPLICAS_MAX) {
        return false;
    }
    for (int32_t i = 0; i < count; i++) {
        if (!isr_find_broker(r, target[i]) && !isr_has(replicas, target[i])) {
            return false;
        }
        for (int32_t k = 0; k < i; k++) {
            if (target[k] == target[i]) {
                return false;
            }
        }
    }
    return true;
}

/* Makes `replicas` the list; each keeps its directory, a new one has that of `directories`, which
 * stand in the order of the list's beginning. */
static void replace_replicas(struct isr_state *s, const struct isr_set *replicas,
                             const struct uuid *directories, int32_t count)
{
    struct uuid old[ISR_REPLICAS_MAX];
    struct isr_set before = s->replicas;
    memcpy(old, s->directories, sizeof old);
    s->replicas = *replicas;
    for (int32_t i = 0; i < replicas->count; i++) {
        s->directories[i] = (struct uuid){{0}};
        for (int32_t k = 0; k < before.count; k++) {
            if (before.ids[k] == replicas->ids[i]) {
                s->directories[i] = old[k];
            }
        }
        if (!isr_has(&before, replicas->ids[i]) && directories && i < count) {
            s->directories[i] = directories[i];
            s->placed = s->placed || !uuid_is_zero(directories[i]);
        }
    }
    for (int32_t i = 0; i < before.count; i++) {
        if (!isr_has(replicas, before.ids[i])) {
            set_remove(&s->isr, before.ids[i]);
            set_remove(&s->elr, before.ids[i]);
            set_remove(&s->last_known, before.ids[i]);
            set_remove(&s->damaged, before.ids[i]);
        }
    }
}

int isr_reassign(const struct isr_rules *r, struct isr_state *s, const int32_t *target,
                 int32_t count, const struct uuid *directories)
{
    const struct isr_state before = *s;
    struct isr_set settled = s->replicas, merged, wanted;
    if (!target_is_valid(r, &s->replicas, target, count)) {
        return ERR_INVALID_REPLICA_ASSIGNMENT;
    }
    set_copy(&wanted, target, count);
    set_subtract(&settled, &s->adding);
    s->adding = wanted;
    set_subtract(&s->adding, &settled);
    s->removing.count = 0;
    merged = wanted;
    for (int32_t i = 0; i < before.replicas.count; i++) {
        int32_t id = before.replicas.ids[i];
        bool counts = isr_has(&settled, id) || isr_has(&s->isr, id) || isr_has(&s->elr, id);
        if (isr_has(&wanted, id) || !counts) {
            continue;
        }
        if (merged.count == ISR_REPLICAS_MAX) {
            *s = before;
            return ERR_INVALID_REPLICA_ASSIGNMENT;
        }
        set_add(&s->removing, id);
        set_add(&merged, id);
    }
    replace_replicas(s, &merged, directories, count);
    for (int32_t i = 0; mutated(r, ISR_MUTANT_ADDED_AT_ONCE) && i < s->adding.count; i++) {
        set_add(&s->isr, s->adding.ids[i]);
    }
    struct draft d = {.r = r, .before = &before, .s = s};
    return conclude(&d);
}

int isr_cancel(const struct isr_rules *r, struct isr_state *s)
{
    const struct isr_state before = *s;
    struct isr_set settled = s->replicas;
    if (s->adding.count + s->removing.count == 0) {
        return ERR_NO_REASSIGNMENT_IN_PROGRESS;
    }
    set_subtract(&settled, &s->adding);
    if (settled.count == 0) {
        return ERR_INVALID_REPLICA_ASSIGNMENT;
    }
    replace_replicas(s, &settled, NULL, 0);
    s->adding.count = s->removing.count = 0;
    int32_t least = isr_minimum(r, s);
    if (complete_count(&before) < least) {
        least = complete_count(&before);
    }
    if (complete_count(s) < least) {
        *s = before;
        return ERR_INVALID_REPLICA_ASSIGNMENT;
    }
    struct draft d = {.r = r, .before = &before, .s = s};
    return conclude(&d);
}
