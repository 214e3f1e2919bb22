/* SPDX-License-Identifier: Apache-2.0 */

/* A model of the controller: one atomic state, by the rules P20 to P28. The real one is broker/meta's; this one
 * is small and its own, so that both are not wrong in the same way. */
#include "replica_world.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

uint32_t controller_least(const struct world_image *image)
{
    uint32_t count = bits(image->replicas);
    return image->min_isr < count ? image->min_isr : count;
}

static void publish_to(struct world *w, unsigned machine)
{
    struct packet *p = world_packet(w, PACKET_IMAGE, WORLD_CONTROLLER, machine);
    if (p) {
        p->image = w->now;
        world_send(w, p);
    }
}

static void publish(struct world *w)
{
    struct world_image *i = &w->now;
    i->version = ++w->offset;
    oracle_published(w);
    assert((i->isr & i->elr) == 0 && ((i->isr | i->elr) & ~i->replicas) == 0); /* P21 */
    assert(bits(i->isr) < controller_least(i) || i->elr == 0);
    assert((i->isr & ~i->alive) == 0);
    world_tell(w, -1, "controller: leader %d epoch %d.%d replicas %x isr %x elr %x alive %x min %u",
               i->leader, i->epoch, i->partition_epoch, i->replicas, i->isr, i->elr, i->alive,
               i->min_isr);
    for (unsigned m = 0; m < w->machine_count; m++) {
        publish_to(w, m);
    }
}

/* --- elections -------------------------------------------------------------------------------- */

static int choose(const struct world *w, uint32_t among)
{
    among &= w->now.alive & ~w->now.damaged;
    if (w->now.preferred >= 0 && (among & bit((unsigned)w->now.preferred))) {
        return w->now.preferred;
    }
    return among ? __builtin_ctz(among) : -1;
}

static void settle_elr(struct world_image *i)
{
    i->elr &= ~i->isr & i->replicas;
    if (bits(i->isr) >= controller_least(i)) {
        i->elr = 0;
    }
}

/* P26: from the in-sync set; when that is empty, from those that were in it last. */
static void elect(struct world *w)
{
    struct world_image *i = &w->now;
    int leader = choose(w, i->isr);
    if (leader < 0 && i->isr == 0) {
        leader = choose(w, i->elr);
        if (leader >= 0) {
            i->isr = bit((unsigned)leader);
            settle_elr(i);
        }
    }
    if (leader < 0 && i->leader < 0) {
        return;
    }
    i->leader = leader;
    i->epoch++;
    i->partition_epoch++;
    w->leaderless_ns = leader < 0 ? w->now_ns : 0;
    w->stats->elections += leader >= 0;
}

/* P22: who is removed while too few stay may still be elected. `lost` holds nothing that was told of it. */
static void leave(struct world *w, uint32_t set, uint32_t lost)
{
    struct world_image *i = &w->now;
    uint32_t isr = i->isr, elr = i->elr;
    i->isr &= ~set;
    i->elr = (i->elr | (isr & set)) & ~lost;
    settle_elr(i);
    if (isr != i->isr || elr != i->elr) {
        i->partition_epoch++;
    }
    if (i->leader < 0 || ((set >> i->leader) & 1)) {
        elect(w);
    }
}

static void fence(struct world *w, unsigned machine, bool lost)
{
    w->now.alive &= ~bit(machine);
    leave(w, bit(machine), lost ? bit(machine) : 0);
    publish(w);
}

/* --- requests --------------------------------------------------------------------------------- */

static void reassigned(struct world *w)
{
    struct world_image *i = &w->now;
    uint32_t staying = i->isr & w->target;
    if (!w->target || (w->target & ~i->isr) ||
        bits(staying) < (i->min_isr < bits(w->target) ? i->min_isr : bits(w->target))) {
        return;
    }
    i->replicas = w->target;
    i->isr = staying;
    settle_elr(i);
    i->epoch++; /* H8: a replica has left */
    i->partition_epoch++;
    if (!((w->target >> i->leader) & 1)) {
        i->leader = -1;
        elect(w);
    }
    w->target = 0;
    w->stats->reassignments++;
}

static int alter_refused(const struct world *w, const struct packet *p, uint32_t *set)
{
    const struct world_image *i = &w->now;
    const struct leading_proposal *a = &p->alter;
    if ((int)p->from != i->leader || a->epoch != i->epoch) {
        return ERR_FENCED_LEADER_EPOCH;
    }
    if (a->partition_epoch != i->partition_epoch) {
        return ERR_INVALID_UPDATE_VERSION;
    }
    for (uint32_t k = 0; k < a->isr_count; k++) {
        unsigned m = (unsigned)a->nodes[k] - 1;
        if (m >= w->machine_count || !(i->replicas & i->alive & ~i->damaged & bit(m)) ||
            i->broker_epochs[m] != a->broker_epochs[k]) {
            return ERR_INELIGIBLE_REPLICA;
        }
        *set |= bit(m);
    }
    return *set & bit(p->from) ? 0 : ERR_INVALID_REQUEST;
}

static void alter(struct world *w, const struct packet *p)
{
    uint32_t set = 0;
    int error = alter_refused(w, p, &set);
    if (!error) {
        struct world_image *i = &w->now;
        uint32_t removed = i->isr & ~set;
        w->stats->shrinks += removed != 0;
        oracle_ejected(w, removed);
        w->stats->expansions += (set & ~i->isr) != 0;
        i->isr = set;
        i->elr |= removed;
        i->recovering = false;
        settle_elr(i);
        i->partition_epoch++;
        reassigned(w);
        publish(w);
    } else {
        w->stats->rejections++;
        world_tell(w, -1, "controller: refuses machine %u: %s", p->from, error_name(error));
    }
    struct packet *answer = world_packet(w, PACKET_ALTERED, WORLD_CONTROLLER, p->from);
    if (answer) {
        answer->life = p->life;
        answer->altered.ticket = p->alter.ticket;
        answer->altered.error = error;
        world_send(w, answer);
    }
}

/* P23, P24: the former life is fenced, and what was lost is out of every set, before the new one is known. */
static void enroll(struct world *w, const struct packet *p)
{
    unsigned m = p->from;
    if (p->life < w->known_lives[m]) {
        return;
    }
    if (p->life > w->known_lives[m]) {
        bool lost = p->registration.lossy || p->registration.disk != w->known_disks[m];
        w->now.damaged &= lost ? ~bit(m) : UINT32_MAX;
        w->known_lives[m] = p->life;
        w->known_disks[m] = p->registration.disk;
        w->ejections[m] = 0; /* the leader knows nothing of its new life */
        fence(w, m, lost);
        w->now.broker_epochs[m] = ++w->offset;
        world_tell(w, -1, "controller: machine %u is broker epoch %" PRId64 "%s", m,
                   w->now.broker_epochs[m], lost ? ", and has lost its log" : "");
        publish(w);
    }
    struct packet *answer = world_packet(w, PACKET_REGISTERED, WORLD_CONTROLLER, m);
    if (answer) {
        answer->life = p->life;
        answer->broker_epoch = w->now.broker_epochs[m];
        world_send(w, answer);
    }
}

static void beat(struct world *w, const struct packet *p)
{
    unsigned m = p->from;
    if (p->broker_epoch != w->now.broker_epochs[m]) {
        return;
    }
    w->beats_ns[m] = w->now_ns;
    if (p->failed && !(w->now.damaged & bit(m))) {
        w->now.damaged |= bit(m);
        leave(w, bit(m), bit(m));
        publish(w);
    }
    if (!(w->now.alive & bit(m))) {
        w->now.alive |= bit(m);
        if (w->now.leader < 0) {
            elect(w);
        }
        publish(w);
    } else {
        publish_to(w, m);
    }
}

void controller_receive(struct world *w, const struct packet *p)
{
    if (p->kind == PACKET_ALTER) {
        alter(w, p);
    } else if (p->kind == PACKET_REGISTER) {
        enroll(w, p);
    } else if (p->kind == PACKET_BEAT) {
        beat(w, p);
    }
}

/* --- time and operators ----------------------------------------------------------------------- */

uint64_t controller_due(const struct world *w)
{
    uint64_t due = UINT64_MAX;
    for (unsigned m = 0; m < w->machine_count; m++) {
        uint64_t end = w->beats_ns[m] + w->session_ns;
        if ((w->now.alive & bit(m)) && end < due) {
            due = end;
        }
    }
    return due;
}

void controller_step(struct world *w)
{
    for (unsigned m = 0; m < w->machine_count; m++) {
        if ((w->now.alive & bit(m)) && w->now_ns >= w->beats_ns[m] + w->session_ns) {
            fence(w, m, false);
        }
    }
}

void controller_open(struct world *w, uint32_t replicas, uint32_t min_isr)
{
    w->now = (struct world_image){
        .leader = -1,
        .unclean_epoch = -1,
        .replicas = replicas,
        .elr = replicas,
        .preferred = __builtin_ctz(replicas),
        .min_isr = min_isr,
    };
    memset(w->now.broker_epochs, -1, sizeof w->now.broker_epochs);
    settle_elr(&w->now);
}

void controller_expire(struct world *w, unsigned machine)
{
    if (w->now.alive & bit(machine)) {
        fence(w, machine, false);
    }
}

/* P27: the sets are right for the new value at once. */
void controller_set_min(struct world *w, uint32_t min_isr)
{
    uint32_t elr = w->now.elr;
    w->now.min_isr = min_isr;
    settle_elr(&w->now);
    w->now.partition_epoch += elr != w->now.elr; /* of the partition nothing else has changed */
    w->stats->min_changes++;
    publish(w);
}

void controller_reassign(struct world *w, uint32_t target)
{
    struct world_image *i = &w->now;
    if (w->target || i->leader < 0 || target == 0 || target == i->replicas) {
        return;
    }
    w->target = target;
    i->replicas |= target;
    i->partition_epoch++;
    i->preferred = __builtin_ctz(target);
    reassigned(w);
    publish(w);
}

void controller_prefer(struct world *w)
{
    struct world_image *i = &w->now;
    if (i->leader >= 0 && i->leader != i->preferred && (i->isr & bit((unsigned)i->preferred))) {
        elect(w);
        publish(w);
    }
}

void controller_unclean(struct world *w, unsigned machine)
{
    struct world_image *i = &w->now;
    if (i->leader >= 0 || !(i->alive & i->replicas & ~i->damaged & bit(machine))) {
        return;
    }
    i->isr = bit(machine);
    i->elr = 0;
    i->leader = (int)machine;
    i->epoch++;
    i->partition_epoch++;
    i->unclean_epoch = i->epoch;
    i->recovering = true;
    w->leaderless_ns = 0;
    w->stats->unclean++;
    oracle_unclean(w, machine);
    publish(w);
}
