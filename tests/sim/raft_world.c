/* SPDX-License-Identifier: Apache-2.0 */

/* A run of the raft world: time, network, faults, client. */
#include "raft_world.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t ms_ns = 1000000, second_ns = 1000000000;

enum { FAULT_SECONDS = 60, CALM_SECONDS = 40 };

void world_tell(struct world *w, const struct machine *m, const char *format, ...)
{
    if (!w->options.story) {
        return;
    }
    fprintf(w->options.story, "%10.4f  %d  ", (double)w->now_ns / 1e9, m ? m->id.node : 0);
    va_list arguments;
    va_start(arguments, format);
    vfprintf(w->options.story, format, arguments);
    va_end(arguments);
    fputc('\n', w->options.story);
}

struct machine *world_machine(struct world *w, struct raft_id id)
{
    for (unsigned i = 0; i < w->machine_count; i++) {
        if (raft_id_equal(w->machines[i].id, id) ||
            (w->machines[i].id.node == id.node && uuid_is_zero(id.directory))) {
            return &w->machines[i];
        }
    }
    return NULL;
}

/* --- the network ------------------------------------------------------------------------------ */

static void packet_fill(const struct machine *from, struct packet *p, uint32_t most)
{
    const struct raft_message *m = &p->message;
    if (m->kind != RAFT_FETCH_ANSWER || m->error || m->diverging.epoch >= 0 ||
        m->snapshot.epoch >= 0) {
        return;
    }
    for (int64_t i = m->end.offset; i < from->end && p->entry_count < most; i++) {
        p->entries[p->entry_count++] = from->log[i];
    }
}

void world_send(struct world *w, struct machine *from, const struct raft_message *message)
{
    struct machine *to = world_machine(w, message->to);
    unsigned copies = 1 + (prng_below(&w->net, 1000) < w->doubling);
    if (!to || w->cut[from - w->machines][to - w->machines] ||
        prng_below(&w->net, 1000) < w->loss) {
        w->stats->lost++;
        return;
    }
    w->stats->doubled += copies - 1;
    for (unsigned i = 0; i < copies && w->packet_count < WORLD_PACKETS_MAX; i++) {
        struct packet *p = &w->packets[w->packet_count++];
        p->due_ns = w->now_ns + ms_ns / 10 + prng_below(&w->net, w->delay_ns);
        p->message = *message;
        p->entry_count = 0;
        packet_fill(from, p, w->packet_entries);
        if (w->wire) {
            wire_carry(w, from, to, p);
        }
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
    struct packet taken = *p;
    *p = w->packets[--w->packet_count];
    struct machine *m = world_machine(w, taken.message.to);
    if (!m || !m->raft) {
        return;
    }
    if (w->now_ns < m->frozen_ns) { /* it lies there until it wakes */
        taken.due_ns = m->frozen_ns;
        w->packets[w->packet_count++] = taken;
        return;
    }
    machine_receive(w, m, &taken);
}

/* --- faults ----------------------------------------------------------------------------------- */

static void cut_off(struct world *w)
{
    unsigned kind = (unsigned)prng_below(&w->fault, 4);
    w->stats->partitions += kind > 0;
    memset(w->cut, 0, sizeof w->cut);
    unsigned side = (unsigned)prng_below(&w->fault, 1u << w->machine_count);
    for (unsigned i = 0; i < w->machine_count && kind > 0; i++) {
        for (unsigned k = 0; k < w->machine_count; k++) {
            bool apart = (side >> i & 1) != (side >> k & 1);
            bool one_way = apart && (side >> i & 1);
            bool some = i != k && prng_below(&w->fault, 3) == 0;
            w->cut[i][k] = kind == 1 ? apart : kind == 2 ? one_way : some;
        }
    }
    world_tell(w, NULL, "links: %s",
               kind == 0   ? "whole"
               : kind == 1 ? "two sides"
                           : "some are cut");
}

static void weather(struct world *w)
{
    w->loss = prng_below(&w->fault, 3) ? (unsigned)prng_below(&w->fault, 50) : 0;
    w->doubling = prng_below(&w->fault, 3) ? (unsigned)prng_below(&w->fault, 100) : 0;
    w->delay_ns = 1 + ms_ns * prng_between(&w->fault, 1, prng_below(&w->fault, 4) ? 20 : 800);
}

/* Often one that leads. */
static struct machine *victim(struct world *w)
{
    unsigned from = (unsigned)prng_below(&w->fault, w->machine_count);
    bool any = prng_below(&w->fault, 2);
    for (unsigned i = 0; i < w->machine_count && !any; i++) {
        struct machine *m = &w->machines[(from + i) % w->machine_count];
        if (m->raft && m->leads_ns) {
            return m;
        }
    }
    return &w->machines[from];
}

static void strike(struct world *w)
{
    struct machine *m = victim(w);
    uint64_t some_ns = prng_between(&w->fault, 10 * ms_ns, 6 * second_ns);
    switch (prng_below(&w->fault, 6)) {
    case 0:
    case 1:
        if (m->raft) {
            bool power_cut = prng_below(&w->fault, 2);
            *(power_cut ? &w->stats->cuts : &w->stats->kills) += 1;
            world_tell(w, m, power_cut ? "loses its power" : "is killed");
            machine_stop(w, m, power_cut);
            m->up_ns = w->now_ns + some_ns;
        }
        break;
    case 2:
        if (m->raft) {
            w->stats->freezes++;
            world_tell(w, m, "freezes");
            m->frozen_ns = w->now_ns + some_ns;
        }
        break;
    case 3:
        cut_off(w);
        break;
    case 4:
        weather(w);
        break;
    default: /* a quiet moment */
        memset(w->cut, 0, sizeof w->cut);
        break;
    }
}

/* --- the client ------------------------------------------------------------------------------- */

static void change_voters(struct world *w, struct machine *m)
{
    struct raft_voters next;
    struct machine *whom = &w->machines[prng_below(&w->client, w->machine_count)];
    struct raft_voters now = *raft_status(m->raft).voters;
    bool add = !raft_voters_have(&now, whom->id);
    if (!add && now.count <= 1) {
        return;
    }
    if (raft_change(m->raft, machine_clock(w, m), add, whom->id, &next) == 0) {
        machine_propose(w, m, &next);
    }
}

static void want(struct world *w)
{
    struct machine *m = &w->machines[prng_below(&w->client, w->machine_count)];
    uint64_t kind = prng_below(&w->client, 100);
    if (!m->raft || w->now_ns < m->frozen_ns || w->why[0]) {
        return;
    }
    if (kind < 55) {
        machine_propose(w, m, NULL);
    } else if (kind < 85) {
        machine_read(w, m);
    } else if (kind < 90) {
        machine_snapshot(w, m);
    } else if (kind < 98) {
        change_voters(w, m);
    } else if (kind == 98 && m->leads_ns) {
        w->stats->resignations++;
        raft_resign(m->raft, machine_clock(w, m));
        machine_effects(w, m, NULL);
    } else if (kind == 99) {
        w->stats->losses++;
        raft_lost(m->raft, machine_clock(w, m), raft_status(m->raft).leader,
                  prng_chance(&w->client, 1, 2));
        machine_effects(w, m, NULL);
    }
}

/* --- a run ------------------------------------------------------------------------------------ */

static void *rows(size_t count, size_t size)
{
    void *out = calloc(count, size);
    assert(out);
    return out;
}

static void world_open(struct world *w, const struct world_options *options,
                       struct world_stats *stats)
{
    struct prng all = prng_of(options->seed);
    *w = (struct world){.options = *options, .stats = stats};
    w->net = prng_split(&all, 1);
    w->disk = prng_split(&all, 2);
    w->client = prng_split(&all, 3);
    w->fault = prng_split(&all, 4);
    w->wire = options->wire ? wire_new() : NULL;
    w->machine_count = (unsigned)prng_between(&w->fault, 1, prng_below(&w->fault, 3) ? 5 : 9);
    w->restless = w->machine_count >= 3 && prng_below(&w->fault, 3) == 0;
    unsigned voters = (unsigned)prng_between(&w->fault, w->restless ? 3 : 1, w->machine_count);
    voters = voters < RAFT_VOTERS_MAX ? voters : RAFT_VOTERS_MAX;
    w->packets = rows(WORLD_PACKETS_MAX + 8, sizeof *w->packets);
    w->committed = rows(WORLD_ENTRIES_MAX, sizeof *w->committed);
    w->committed_in = rows(WORLD_ENTRIES_MAX, sizeof *w->committed_in);
    w->hashes = rows(WORLD_ENTRIES_MAX + 1, sizeof *w->hashes);
    memset(w->leaders, -1, sizeof w->leaders);
    struct raft_voters founders = {.count = voters};
    for (unsigned i = 0; i < w->machine_count; i++) {
        struct machine *m = &w->machines[i];
        m->id = (struct raft_id){(int32_t)i + 1, {{(uint8_t)(i + 1)}}};
        if (i < voters) {
            founders.ids[i] = m->id;
        }
    }
    weather(w);
    w->flush_ns = ms_ns * (prng_below(&w->fault, 3) ? 20 : prng_between(&w->fault, 20, 1500));
    bool one_by_one =
        w->restless && prng_below(&w->fault, 4) > 0; /* an old entry without the new */
    w->packet_entries = one_by_one ? 1 : (uint32_t)prng_between(&w->fault, 1, WORLD_PACKET_ENTRIES);
    for (unsigned i = 0; i < w->machine_count; i++) {
        struct machine *m = &w->machines[i];
        m->log = rows(WORLD_ENTRIES_MAX, sizeof *m->log);
        m->vote.voted.node = m->told.voted.node = RAFT_NOBODY;
        m->snapshot = (struct raft_end){-1, 0};
        m->snapshot_voters = founders;
        m->skew = (int32_t)prng_below(&w->fault, 100000) - 50000;
        machine_start(w, m);
    }
}

static void world_close(struct world *w)
{
    w->stats->virtual_ns += w->now_ns;
    for (unsigned i = 0; i < w->machine_count; i++) {
        free(w->machines[i].raft);
        free(w->machines[i].log);
    }
    wire_free(w->wire);
    free(w->packets);
    free(w->committed);
    free(w->committed_in);
    free(w->hashes);
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
    if (first > end_ns) {
        w->now_ns = end_ns;
        return false;
    }
    w->now_ns = first > w->now_ns ? first : w->now_ns;
    w->stats->steps++;
    if (m) {
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
    world_tell(w, NULL, "all is healed");
    w->restless = false;
    memset(w->cut, 0, sizeof w->cut);
    w->loss = w->doubling = 0;
    w->delay_ns = 5 * ms_ns;
    w->flush_ns = 20 * ms_ns;
    for (unsigned i = 0; i < w->machine_count; i++) {
        w->machines[i].frozen_ns = w->now_ns;
        w->machines[i].doom_ns = 0;
        w->machines[i].up_ns = w->now_ns;
    }
}

/* In the calm something is proposed by whoever leads, until it is committed everywhere. */
static void converge(struct world *w)
{
    uint64_t end = w->now_ns + CALM_SECONDS * second_ns;
    while (w->now_ns < end && !w->why[0]) {
        world_until(w, w->now_ns + second_ns);
        if (end - w->now_ns > 5 * second_ns) {
            for (unsigned i = 0; i < w->machine_count && !w->why[0]; i++) {
                if (w->machines[i].raft && w->machines[i].leads_ns) {
                    machine_propose(w, &w->machines[i], NULL);
                }
            }
        }
    }
    if (!w->why[0]) {
        oracle_end(w);
    }
}

int raft_world_run(const struct world_options *options, struct world_stats *stats,
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
