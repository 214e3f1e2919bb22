/* SPDX-License-Identifier: Apache-2.0 */

/* A run of the replica world: time, network, faults, clients. */
#include "replica_world.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t ms_ns = 1000000, second_ns = 1000000000;

enum { FAULT_SECONDS = 40, CALM_SECONDS = 60, STEPS_MOST = 500000, RECORDS_KEPT = 16 };

void world_tell(struct world *w, int machine, const char *format, ...)
{
    if (!w->options.story) {
        return;
    }
    fprintf(w->options.story, "%10.4f  ", (double)w->now_ns / 1e9);
    fprintf(w->options.story, machine < 0 ? "-  " : "%d  ", machine);
    va_list arguments;
    va_start(arguments, format);
    vfprintf(w->options.story, format, arguments);
    va_end(arguments);
    fputc('\n', w->options.story);
}

/* --- the network ------------------------------------------------------------------------------ */

struct packet *world_packet(struct world *w, enum packet_kind kind, unsigned from, unsigned to)
{
    if (w->cut[from][to] || prng_below(&w->net, 1000) < w->loss ||
        w->packet_count + 2 > WORLD_PACKETS_MAX) {
        w->stats->lost++;
        return NULL;
    }
    struct packet *p = &w->packets[w->packet_count];
    p->kind = kind;
    p->from = from;
    p->to = to;
    p->life = p->ticket = 0;
    p->failed = false;
    return p;
}

/* What changes the controller's state goes over one connection at a time, which doubles nothing. */
void world_send(struct world *w, struct packet *p)
{
    assert(p == &w->packets[w->packet_count]);
    bool plain = p->kind == PACKET_FETCH || p->kind == PACKET_FETCHED || p->kind == PACKET_IMAGE;
    p->due_ns = w->now_ns + ms_ns / 10 + prng_below(&w->net, w->delay_ns);
    if (p->kind == PACKET_IMAGE) { /* what the controller answers may overtake it */
        p->due_ns += w->image_late_ns[p->to];
    }
    if (p->kind == PACKET_ALTER && !w->calm && prng_below(&w->net, 6) == 0) {
        p->due_ns += prng_below(&w->net, 2 * second_ns); /* other copies overtake it */
        if (p->alter.isr_count > 1) {
            uint64_t whom = prng_below(&w->net, p->alter.isr_count);
            w->expires = (unsigned)p->alter.nodes[whom] - 1;
            w->expire_ns = w->now_ns + prng_below(&w->net, 600 * ms_ns);
        }
    }
    w->packet_count++;
    if (plain && prng_below(&w->net, 1000) < w->doubling) {
        struct packet *other = &w->packets[w->packet_count++];
        *other = *p;
        bool ages = prng_below(&w->net, 4) == 0; /* it comes when others lead */
        other->due_ns =
            w->now_ns + ms_ns / 10 + prng_below(&w->net, ages ? 8 * second_ns : 4 * w->delay_ns);
        w->stats->doubled++;
    }
}

static struct packet *packet_first(const struct world *w)
{
    struct packet *first = NULL;
    for (uint32_t i = 0; i < w->packet_count; i++) {
        struct packet *p = &w->packets[i];
        first = !first || p->due_ns < first->due_ns ? p : first;
    }
    return first;
}

static void packet_deliver(struct world *w, struct packet *p)
{
    if (p->to == WORLD_CONTROLLER) {
        struct packet taken = *p;
        *p = w->packets[--w->packet_count];
        controller_receive(w, &taken);
        return;
    }
    struct machine *m = &w->machines[p->to];
    if (m->up && w->now_ns < m->frozen_ns) { /* it lies there until it wakes */
        p->due_ns = m->frozen_ns;
        return;
    }
    struct packet taken = *p;
    *p = w->packets[--w->packet_count];
    if (m->up) {
        machine_receive(w, m, &taken);
    }
}

/* --- faults ----------------------------------------------------------------------------------- */

static void cut_off(struct world *w)
{
    unsigned kind = (unsigned)prng_below(&w->fault, 5);
    w->stats->partitions += kind > 0;
    memset(w->cut, 0, sizeof w->cut);
    uint64_t side = prng_below(&w->fault, 1u << (WORLD_MACHINES_MAX + 1));
    for (unsigned i = 0; i <= WORLD_MACHINES_MAX && kind > 0; i++) {
        for (unsigned k = 0; k <= WORLD_MACHINES_MAX; k++) {
            bool apart = (side >> i & 1) != (side >> k & 1);
            bool one_way = apart && (side >> i & 1);
            bool some = i != k && prng_below(&w->fault, 3) == 0;
            bool control = i == WORLD_CONTROLLER || k == WORLD_CONTROLLER;
            w->cut[i][k] = kind == 1   ? apart
                           : kind == 2 ? one_way
                           : kind == 3 ? some
                                       : some && !control;
        }
    }
    world_tell(w, -1, "links: %s",
               kind == 0   ? "whole"
               : kind == 1 ? "two sides"
               : kind == 4 ? "some between machines are cut"
                           : "some are cut");
}

static void weather(struct world *w)
{
    w->loss = prng_below(&w->fault, 3) ? (unsigned)prng_below(&w->fault, 50) : 0;
    w->doubling = prng_below(&w->fault, 3) ? (unsigned)prng_below(&w->fault, 100) : 0;
    w->delay_ns = 1 + ms_ns * prng_between(&w->fault, 1, prng_below(&w->fault, 4) ? 20 : 800);
    unsigned slow = (unsigned)prng_below(&w->fault, w->machine_count);
    for (unsigned i = 0; i < w->machine_count; i++) {
        w->flush_ns[i] = 10 * ms_ns;
    }
    if (prng_below(&w->fault, 3) == 0) {
        w->flush_ns[slow] = ms_ns * prng_between(&w->fault, 20, 2 * w->lag_ns / ms_ns);
        world_tell(w, (int)slow, "its disk takes up to %" PRIu64 " ms", w->flush_ns[slow] / ms_ns);
    }
    memset(w->image_late_ns, 0, sizeof w->image_late_ns);
    if (prng_below(&w->fault, 3) == 0) {
        unsigned late = (unsigned)prng_below(&w->fault, w->machine_count);
        w->image_late_ns[late] = ms_ns * prng_between(&w->fault, 20, 1000);
        world_tell(w, (int)late, "its images come %" PRIu64 " ms late",
                   w->image_late_ns[late] / ms_ns);
    }
}

/* Often the one that leads. */
static struct machine *victim(struct world *w)
{
    unsigned any = (unsigned)prng_below(&w->fault, w->machine_count);
    bool leader = prng_below(&w->fault, 2) && w->now.leader >= 0;
    return &w->machines[leader ? (unsigned)w->now.leader : any];
}

/* P14 holds while fewer have lost something, since all were in sync, than min.insync.replicas. */
static bool may_lose(const struct world *w, const struct machine *m)
{
    return bits(w->lossy | bit(m->index)) < w->weakest;
}

static void end_machine(struct world *w, struct machine *m, uint64_t for_ns)
{
    bool power_cut = prng_below(&w->fault, 2);
    if (w->memory && power_cut && !may_lose(w, m)) {
        power_cut = false;
    }
    *(power_cut ? &w->stats->cuts : &w->stats->kills) += 1;
    world_tell(w, (int)m->index, power_cut ? "loses its power" : "is killed");
    machine_stop(w, m, power_cut);
    m->up_ns = w->now_ns + for_ns;
    if (w->may_change_disks && prng_below(&w->fault, 3) == 0 && may_lose(w, m)) {
        world_tell(w, (int)m->index, "gets another disk");
        disk_change(w, m);
        w->stats->disks++;
        m->lossy = true;
    }
}

static void operate(struct world *w)
{
    struct machine *m = &w->machines[prng_below(&w->fault, w->machine_count)];
    uint32_t all = (1u << w->machine_count) - 1;
    uint32_t some = (uint32_t)prng_between(&w->fault, 1, all);
    switch (prng_below(&w->fault, 3)) {
    case 0:
        if (w->may_change_min && !w->lossy) {
            controller_set_min(w, (uint32_t)prng_between(&w->fault, 1, 3));
        }
        break;
    case 1:
        if (w->may_reassign && !w->lossy && prng_below(&w->fault, 2)) {
            controller_reassign(w, some);
        } else if (w->may_reassign && !w->lossy) { /* out, and in again */
            uint32_t before = w->now.replicas;
            controller_reassign(w, w->now.isr & ~bit(m->index));
            controller_reassign(w, before);
        }
        break;
    default:
        controller_prefer(w);
        break;
    }
}

static void strike(struct world *w)
{
    struct machine *m = victim(w);
    uint64_t some_ns = prng_between(&w->fault, 10 * ms_ns, 3 * w->session_ns);
    switch (prng_below(&w->fault, 9)) {
    case 0:
    case 1:
        if (m->up) {
            end_machine(w, m, some_ns);
        }
        break;
    case 2:
        if (m->up) {
            w->stats->freezes++;
            world_tell(w, (int)m->index, "freezes");
            m->frozen_ns = w->now_ns + some_ns;
        }
        break;
    case 3:
        cut_off(w);
        break;
    case 4:
        weather(w);
        break;
    case 5:
    case 6:
        operate(w);
        break;
    case 7:
        if (w->may_change_disks && m->up && !m->failed && m->role != ROLE_NONE && may_lose(w, m)) {
            machine_fail(w, m);
        }
        break;
    default: /* a quiet moment */
        memset(w->cut, 0, sizeof w->cut);
        break;
    }
    bool waits = w->now.leader < 0 && w->now_ns > w->leaderless_ns + 2 * w->session_ns;
    if (w->may_unclean && waits && prng_below(&w->fault, 2)) {
        controller_unclean(w, (unsigned)prng_below(&w->fault, w->machine_count));
    }
}

/* --- clients ---------------------------------------------------------------------------------- */

static void want(struct world *w)
{
    struct machine *m = &w->machines[prng_below(&w->client, w->machine_count)];
    uint64_t kind = prng_below(&w->client, 100);
    if (kind < 60 && w->now.leader >= 0 && prng_below(&w->client, 3)) {
        m = &w->machines[w->now.leader];
    }
    if (!m->up || w->now_ns < m->frozen_ns || w->why[0]) {
        return;
    }
    if (kind < 60 && m->log.end < WORLD_RECORDS_MAX - RECORDS_KEPT) {
        int16_t acks = prng_below(&w->client, 4) ? -1 : 1;
        for (uint64_t i = 1 + prng_below(&w->client, 3); i > 0 && !w->why[0]; i--) {
            machine_append(w, m, acks);
        }
    } else if (kind < 99 && kind >= 60) {
        machine_read(w, m);
    } else if (kind == 99) {
        machine_delete(w, m);
    }
}

/* --- a run ------------------------------------------------------------------------------------ */

static void *rows(size_t count, size_t size)
{
    void *out = calloc(count, size);
    assert(out);
    return out;
}

static void machine_open(struct world *w, unsigned i)
{
    struct machine *m = &w->machines[i];
    m->index = i;
    m->log.records = rows(WORLD_RECORDS_MAX, sizeof *m->log.records);
    m->durable.records = rows(WORLD_RECORDS_MAX, sizeof *m->durable.records);
    m->operations = rows(WORLD_OPERATIONS_MAX, sizeof *m->operations);
    m->leading = rows(1, leading_size(WORLD_MACHINES_MAX));
    m->skew = (int32_t)prng_below(&w->fault, 100000) - 50000;
    m->saved_proved = -1;
    m->disk = w->known_disks[i] = ++w->disks;
    machine_start(w, m);
}

static void world_open(struct world *w, const struct world_options *options,
                       struct world_stats *stats)
{
    struct prng all = prng_of(options->seed);
    *w = (struct world){.options = *options, .stats = stats, .unclean_epoch = -1};
    w->net = prng_split(&all, 1);
    w->disk = prng_split(&all, 2);
    w->client = prng_split(&all, 3);
    w->fault = prng_split(&all, 4);
    w->machine_count = (unsigned)prng_between(&w->fault, prng_below(&w->fault, 8) ? 2 : 1, 5);
    uint32_t replicas = (uint32_t)prng_between(&w->fault, 1, (1u << w->machine_count) - 1);
    if (prng_below(&w->fault, 4)) {
        replicas = (1u << (w->machine_count < 3 ? w->machine_count : 3)) - 1;
    }
    uint32_t least = (uint32_t)prng_between(&w->fault, 1, prng_below(&w->fault, 3) ? 2 : 3);
    w->memory = prng_below(&w->fault, 4) == 0;
    w->lag_ns = ms_ns * prng_between(&w->fault, 1500, 4000);
    w->session_ns = ms_ns * prng_between(&w->fault, 900, 3000);
    w->may_unclean = prng_below(&w->fault, 6) == 0;
    w->may_change_min = prng_below(&w->fault, 3) == 0;
    w->may_change_disks = prng_below(&w->fault, 2) == 0 && !w->may_change_min && !w->may_unclean;
    w->may_reassign = prng_below(&w->fault, 3) == 0;
    w->packet_records = (uint32_t)prng_between(&w->fault, 1, WORLD_PACKET_RECORDS);
    w->packets = rows(WORLD_PACKETS_MAX, sizeof *w->packets);
    w->committed = rows(WORLD_RECORDS_MAX, sizeof *w->committed);
    w->committed_in = rows(WORLD_RECORDS_MAX, sizeof *w->committed_in);
    w->acked = rows(WORLD_RECORDS_MAX, sizeof *w->acked);
    weather(w);
    controller_open(w, replicas, least);
    for (unsigned i = 0; i < w->machine_count; i++) {
        machine_open(w, i);
    }
}

static void world_close(struct world *w)
{
    w->stats->virtual_ns += w->now_ns;
    for (unsigned i = 0; i < w->machine_count; i++) {
        free(w->machines[i].log.records);
        free(w->machines[i].durable.records);
        free(w->machines[i].operations);
        free(w->machines[i].leading);
    }
    free(w->packets);
    free(w->committed);
    free(w->committed_in);
    free(w->acked);
}

/* The next event until `end_ns`; false: there is none. */
static bool world_next(struct world *w, uint64_t end_ns)
{
    struct packet *p = packet_first(w);
    struct machine *m = NULL;
    uint64_t first = p ? p->due_ns : UINT64_MAX;
    for (unsigned i = 0; i < w->machine_count; i++) {
        uint64_t due = machine_due(w, &w->machines[i]);
        if (due < first) {
            first = due;
            m = &w->machines[i];
        }
    }
    uint64_t due = controller_due(w);
    due = w->expire_ns && w->expire_ns < due ? w->expire_ns : due;
    bool controller = due < first;
    first = controller ? due : first;
    if (first > end_ns) {
        w->now_ns = end_ns;
        return false;
    }
    w->now_ns = first > w->now_ns ? first : w->now_ns;
    w->stats->steps++;
    if (++w->steps > STEPS_MOST) {
        oracle_violation(w, m, "P36: it never comes to rest");
    }
    if (controller && w->expire_ns && w->expire_ns <= w->now_ns) {
        w->expire_ns = 0;
        struct machine *named = &w->machines[w->expires];
        if (named->up && prng_below(&w->fault, 2)) {
            end_machine(w, named, prng_below(&w->fault, 300 * ms_ns));
        } else {
            controller_expire(w, w->expires);
        }
    } else if (controller) {
        controller_step(w);
    } else if (m) {
        machine_step(w, m);
    } else {
        packet_deliver(w, p);
    }
    return !w->why[0];
}

static void world_until(struct world *w, uint64_t end_ns)
{
    while (world_next(w, end_ns)) {
        oracle_step(w);
    }
}

static void heal(struct world *w)
{
    world_tell(w, -1, "all is healed");
    w->calm = true;
    memset(w->cut, 0, sizeof w->cut);
    w->loss = w->doubling = 0;
    memset(w->image_late_ns, 0, sizeof w->image_late_ns);
    w->delay_ns = 5 * ms_ns;
    for (unsigned i = 0; i < w->machine_count; i++) {
        if (w->machines[i].failed) {
            machine_stop(w, &w->machines[i], false);
        }
        w->flush_ns[i] = 10 * ms_ns;
        w->machines[i].frozen_ns = w->now_ns;
        w->machines[i].up_ns = w->now_ns;
        if (w->machines[i].flush_ns > w->now_ns + w->flush_ns[i]) {
            w->machines[i].flush_ns = w->now_ns + w->flush_ns[i];
        }
    }
}

/* One more append: acknowledged, and known as committed to every replica, before any wait is over. */
static void probe(struct world *w)
{
    struct machine *m = &w->machines[w->now.leader];
    uint32_t acked = w->acked_count;
    world_until(w, w->now_ns + 50 * ms_ns);
    machine_append(w, m, -1);
    world_until(w, w->now_ns + 200 * ms_ns);
    const char *missing = w->why[0] ? NULL : oracle_missing(w);
    if (!w->why[0] && (missing || w->acked_count == acked)) {
        oracle_violation(w, m, "P36: 200 ms after an append %s",
                         missing ? missing : "it is not acknowledged");
    }
}

/* In the calm all come back in sync; then a few appends are seen to go through at once. */
static void converge(struct world *w)
{
    uint64_t end = w->now_ns + CALM_SECONDS * second_ns;
    uint64_t fine_ns = w->now_ns; /* long enough: what was lost before is given up */
    while (w->now_ns < end && w->now_ns < fine_ns + 3 * second_ns && !w->why[0]) {
        world_until(w, w->now_ns + 500 * ms_ns);
        fine_ns = oracle_missing(w) ? w->now_ns : fine_ns;
        if (w->may_unclean && w->now.leader < 0 && w->now_ns > end - 50 * second_ns) {
            controller_unclean(w, (unsigned)__builtin_ctz(w->now.replicas));
        }
    }
    for (int i = 0; i < 3 && !w->why[0] && !oracle_missing(w); i++) {
        probe(w);
    }
    if (!w->why[0]) {
        oracle_end(w);
    }
}

int replica_world_run(const struct world_options *options, struct world_stats *stats,
                      char why[static 400])
{
    struct world *w = rows(1, sizeof *w);
    world_open(w, options, stats);
    uint64_t fault_ns = second_ns * prng_below(&w->fault, 5), want_ns = 0;
    uint64_t end = FAULT_SECONDS * second_ns;
    uint64_t strike_ns = prng_between(&w->fault, 200 * ms_ns, 4 * second_ns);
    uint64_t pace_ns = prng_between(&w->client, 20 * ms_ns, 200 * ms_ns);
    while (w->now_ns < end && !w->why[0]) {
        uint64_t next = fault_ns < want_ns ? fault_ns : want_ns;
        world_until(w, next < end ? next : end);
        if (!w->why[0] && w->now_ns >= fault_ns) {
            strike(w);
            fault_ns = w->now_ns + 1 + prng_below(&w->fault, 2 * strike_ns);
        }
        if (!w->why[0] && w->now_ns >= want_ns) {
            want(w);
            want_ns = w->now_ns + 1 + prng_below(&w->client, 2 * pace_ns);
        }
    }
    if (!w->why[0]) {
        heal(w);
        converge(w);
    }
    stats->runs++;
    snprintf(why, 400, "%s", w->why);
    int result = w->why[0] ? -1 : 0;
    world_close(w);
    free(w);
    return result;
}
