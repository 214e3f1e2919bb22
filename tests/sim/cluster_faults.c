/* SPDX-License-Identifier: Apache-2.0 */

/* What happens to nodes, disks and links, and how it ends. A run stays recoverable: disks are lost one at a
 * time and only where there are others, a failed sync ends a node and nothing else, a full disk gets room again. */
#include "cluster_world.h"

void world_choose_faults(struct cluster_world *w)
{
    struct sim_faults *f = sim_faults(w->sim);
    struct prng *r = &w->random;
    f->crash.power_lost = prng_chance(r, 1, 2) ? 400 : 0;
    f->crash.kill_lost = prng_chance(r, 1, 2) ? 250 : 0;
    f->crash.kill_torn = prng_chance(r, 1, 4) ? 100 : 0;
    f->link.mean_ns = prng_chance(r, 1, 2) ? f->link.mean_ns : prng_below(r, 20 * CLUSTER_MS);
    f->link.tail = prng_chance(r, 1, 2) ? 0 : 20;
    f->link.tail_ns = 400 * CLUSTER_MS;
    f->sync.tail = prng_chance(r, 1, 2) ? 0 : 20;
    f->sync.tail_ns = 1500 * CLUSTER_MS;
    f->connection_reset = prng_chance(r, 1, 2) ? 0 : 2000;
    f->connect_refused = prng_chance(r, 1, 2) ? 0 : 50000;
    f->short_transfers = prng_chance(r, 1, 2) ? 0 : 200000;
    uint64_t pieces = prng_below(r, 32); /* tiny ones make a run several times as long */
    f->piece_max = pieces % 4 < 3 ? 0 : pieces == 3 ? 100 : 1400;
}

static void faults_end(struct cluster_world *w)
{
    struct sim_faults *f = sim_faults(w->sim);
    struct disk_crash crash = f->crash;
    *f = sim_faults_none();
    f->crash = crash;
}

static uint64_t some_ms(struct cluster_world *w, uint64_t most)
{
    return (1 + prng_below(&w->random, most)) * CLUSTER_MS;
}

/* Nothing is missing, so what this one has stands on others: at most one machine is gone, or behind. */
static bool others_have_all(struct cluster_world *w)
{
    char why[200];
    return world_min_isr(w) >= 2 && world_converged(w, why);
}

static void end_member(struct member *m, unsigned how)
{
    static const enum cluster_fault kinds[] = {CLUSTER_KILL, CLUSTER_POWER_CUT, CLUSTER_STOP,
                                               CLUSTER_CRASH_IN_OPERATION,
                                               CLUSTER_CRASH_IN_OPERATION};
    struct cluster_world *w = m->world;
    bool kept = w->options.keeps_power && !(how == 1 && others_have_all(w));
    how = kept && how == 1 ? 0 : kept && how == 4 ? 3 : how;
    w->faults[kinds[how]]++;
    if (how == 0) {
        sim_node_kill(m->machine);
    } else if (how == 1) {
        sim_node_power_cut(m->machine);
    } else if (how == 2) {
        member_stop(m);
    } else {
        sim_crash_after(m->machine, 1 + prng_below(&w->random, 60),
                        how == 3 ? SIM_CRASH_KILL : SIM_CRASH_POWER);
    }
    m->restart_ns = sim_now(w->sim) + some_ms(w, prng_below(&w->random, 2) ? 100 : 4000);
}

void world_all_lose_power(struct cluster_world *w)
{
    w->faults[CLUSTER_ALL_LOSE_POWER] += !w->options.keeps_power;
    for (uint32_t i = 0; i < w->count; i++) {
        if (member_runs(&w->members[i]) && !w->members[i].ended) {
            end_member(&w->members[i], 1);
        }
    }
}

void member_cut(struct member *m, bool in, bool out)
{
    struct cluster_world *w = m->world;
    unsigned index = (unsigned)m->id - 1;
    for (unsigned i = 0; i < w->count; i++) {
        if (i != index && out) {
            sim_link_set(w->sim, index, i, SIM_LINK_CUT);
        }
        if (i != index && in) {
            sim_link_set(w->sim, i, index, SIM_LINK_CUT);
        }
    }
}

static void links_up(struct cluster_world *w)
{
    unsigned machines = sim_node_count(w->sim);
    for (unsigned i = 0; i < machines; i++) {
        for (unsigned j = 0; j < machines; j++) {
            if (i != j && (i < w->count || j < w->count)) {
                sim_link_set(w->sim, i, j, SIM_LINK_UP);
                sim_link_clog(w->sim, i, j, 0);
            }
        }
    }
}

static void ask_something(struct cluster_world *w)
{
    struct member *m = world_leader(w);
    if (!m || prng_below(&w->random, 4) == 0) {
        m = &w->members[prng_below(&w->random, w->count)];
    }
    struct told_topic *t =
        w->topic_count > 0 ? &w->topics[prng_below(&w->random, w->topic_count)] : NULL;
    if (t && t->state == TOPIC_THERE && prng_below(&w->random, 4) == 0) {
        if (!t->named) {
            world_delete(w, m, t);
        }
    } else if (w->topic_count < CLUSTER_TOPICS_MAX - 10) {
        world_create(w, m);
    }
}

void world_disturb(struct cluster_world *w)
{
    unsigned from = (unsigned)prng_below(&w->random, w->count);
    unsigned to = (unsigned)prng_below(&w->random, w->count);
    struct member *m = &w->members[from];
    static const enum cluster_fault kinds[] = {
        [4] = CLUSTER_PAUSE,    [5] = CLUSTER_PAUSE,   [6] = CLUSTER_CUT_LINK,
        [7] = CLUSTER_CUT_LINK, [8] = CLUSTER_ISOLATE, [9] = CLUSTER_ISOLATE_ONE_WAY,
        [10] = CLUSTER_CLOG,    [11] = CLUSTER_CLOG,   [12] = CLUSTER_RESET,
    };
    unsigned choice = (unsigned)prng_below(&w->random, 30);
    if (choice >= 4 && choice < 13) {
        w->faults[kinds[choice]]++;
    }
    if (choice < 4) {
        if (member_runs(m) && !m->ended) {
            end_member(m, (unsigned)prng_below(&w->random, 5));
        }
    } else if (choice < 6) {
        sim_node_pause(m->machine, sim_now(w->sim) + some_ms(w, 3000));
    } else if (choice < 8 && from != to) {
        sim_link_set(w->sim, from, to, prng_below(&w->random, 3) ? SIM_LINK_CUT : SIM_LINK_REFUSE);
    } else if (choice == 8) {
        member_cut(m, true, true);
    } else if (choice == 9) {
        bool in = prng_chance(&w->random, 1, 2);
        member_cut(m, in, !in);
    } else if (choice < 12 && from != to) {
        sim_link_clog(w->sim, from, to, some_ms(w, 300));
    } else if (choice == 12 && from != to) {
        sim_link_reset(w->sim, from, to);
    } else if (choice == 13 && sim_now(w->sim) / CLUSTER_MS % 8 == 0) {
        world_all_lose_power(w);
    } else if (choice < 16) {
        links_up(w);
    } else if (choice < 19 && w->voters_change) {
        world_change_voters(w);
    } else {
        ask_something(w);
    }
}

/* --- what whole clusters with data meet beside that --------------------------------------------- */

static void fill_disk(struct member *m)
{
    struct cluster_world *w = m->world;
    struct disk *d = sim_node_disk(m->machine);
    struct disk_space space = disk_space(d);
    /* Below what topics leave; something is left, for metadata grow on. */
    uint64_t left = (UINT64_C(2) << 20) + prng_below(&w->random, UINT64_C(80) << 20);
    m->disk_full_until_ns = sim_now(w->sim) + some_ms(w, 8000);
    if (space.free_bytes > left) {
        w->faults[CLUSTER_FULL_DISK]++;
        sim_story(w->sim, "fault: node %d has %u MiB of disk left", (int)m->id,
                  (unsigned)(left >> 20));
        disk_set_capacity(d, space.total_bytes - space.free_bytes + left);
    }
}

static void empty_disk(struct member *m)
{
    m->disk_full_until_ns = 0;
    disk_set_capacity(sim_node_disk(m->machine), CLUSTER_DISK_BYTES);
}

/* Only when nothing else is missing, so that what it held stands elsewhere; and once, for a disk takes its vote
 * with it. */
static void lose_a_disk(struct member *m)
{
    struct cluster_world *w = m->world;
    if (w->faults[CLUSTER_LOSE_DISK] > 0 || !member_runs(m) || m->ended || !others_have_all(w)) {
        return;
    }
    w->faults[CLUSTER_LOSE_DISK]++;
    sim_story(w->sim, "fault: node %d loses its disk", (int)m->id);
    sim_node_kill(m->machine);
    member_lose_disk(m);
    m->restart_ns = sim_now(w->sim) + some_ms(w, 4000);
}

static void fail_syncs(struct cluster_world *w)
{
    struct sim_faults *f = sim_faults(w->sim);
    w->faults[CLUSTER_FAILED_SYNC]++;
    sim_story(w->sim, "fault: reads, writes and syncs fail");
    f->sync_error = 1000;
    f->write_error = prng_chance(&w->random, 1, 2) ? 1000 : 0;
    w->failing_until_ns = sim_now(w->sim) + some_ms(w, 2000);
}

static void slow_disks(struct cluster_world *w)
{
    static const char *const names[] = {"/data/meta", "/data/journal", "/data/topics",
                                        "checkpoint"};
    struct sim_faults *f = sim_faults(w->sim);
    w->faults[CLUSTER_SLOW_DISK]++;
    f->slow_name = names[prng_below(&w->random, array_size(names))];
    f->slow = (struct sim_latency){1 * CLUSTER_MS, prng_below(&w->random, 150 * CLUSTER_MS)};
    w->slow_until_ns = sim_now(w->sim) + some_ms(w, 5000);
    sim_story(w->sim, "fault: %s is slow", f->slow_name);
}

/* A machine of a client and a node: what lies between them. */
static void between_clients(struct cluster_world *w)
{
    unsigned machines = sim_node_count(w->sim), node = (unsigned)prng_below(&w->random, w->count);
    unsigned client = w->count + (unsigned)prng_below(&w->random, machines - w->count);
    bool in = prng_chance(&w->random, 1, 2);
    unsigned from = in ? client : node, to = in ? node : client;
    switch (prng_below(&w->random, 3)) {
    case 0:
        w->faults[CLUSTER_CUT_LINK]++;
        sim_link_set(w->sim, from, to, prng_below(&w->random, 3) ? SIM_LINK_CUT : SIM_LINK_REFUSE);
        break;
    case 1:
        w->faults[CLUSTER_CLOG]++;
        sim_link_clog(w->sim, from, to, some_ms(w, 300));
        break;
    default:
        w->faults[CLUSTER_RESET]++;
        sim_link_reset(w->sim, from, to);
        break;
    }
}

void world_disturb_more(struct cluster_world *w)
{
    struct member *m = &w->members[prng_below(&w->random, w->count)];
    switch (prng_below(&w->random, 26)) {
    case 0:
        if (w->rolling == 0) {
            w->faults[CLUSTER_ROLL]++;
            w->rolling = 1;
        }
        break;
    case 1:
        if (m->disk_full_until_ns == 0) {
            fill_disk(m);
        }
        break;
    case 2:
        lose_a_disk(m);
        break;
    case 3:
        fail_syncs(w);
        break;
    case 4:
    case 5:
        slow_disks(w);
        break;
    case 6:
        w->faults[CLUSTER_CLOCK]++;
        sim_node_clock(m->machine, (int64_t)prng_below(&w->random, 4000) - 2000,
                       (int32_t)prng_below(&w->random, 400) - 200);
        break;
    case 7:
    case 8:
        world_rot(w);
        break;
    case 9:
    case 10:
    case 11:
        between_clients(w);
        break;
    default:
        world_disturb(w);
        break;
    }
}

/* One node after the other is stopped and started, the next when the last serves again. */
static void roll_on(struct cluster_world *w)
{
    if (w->rolling == 0) {
        return;
    }
    struct member *m = &w->members[w->rolling - 1];
    if (!w->roll_stopped) {
        if (member_runs(m) && m->ready && !m->stopping && !m->ended) {
            w->roll_stopped = true;
            sim_story(w->sim, "operator: restarts node %d", (int)m->id);
            member_stop(m);
            m->restart_ns = sim_now(w->sim) + CLUSTER_MS;
        }
    } else if (member_runs(m) && m->ready && !m->stopping) {
        w->roll_stopped = false;
        w->rolling = w->rolling < w->count ? w->rolling + 1 : 0;
    }
}

void world_faults_go_on(struct cluster_world *w)
{
    struct sim_faults *f = sim_faults(w->sim);
    uint64_t now = sim_now(w->sim);
    w->failing_last_ns = w->failing_until_ns ? now : w->failing_last_ns;
    if (w->failing_until_ns && now >= w->failing_until_ns) {
        f->sync_error = f->write_error = 0;
        w->failing_until_ns = 0;
    }
    if (w->slow_until_ns && now >= w->slow_until_ns) {
        f->slow_name = NULL;
        w->slow_until_ns = 0;
    }
    for (uint32_t i = 0; i < w->count; i++) {
        struct member *m = &w->members[i];
        if (m->disk_full_until_ns && now >= m->disk_full_until_ns) {
            empty_disk(m);
        }
    }
    roll_on(w);
}

void world_heal(struct cluster_world *w)
{
    links_up(w);
    faults_end(w);
    w->failing_until_ns = w->slow_until_ns = 0;
    w->rolling = 0;
    sim_story(w->sim, "the faults are over");
    for (uint32_t i = 0; i < w->count; i++) {
        struct member *m = &w->members[i];
        sim_crash_after(m->machine, 0, SIM_CRASH_KILL);
        sim_node_clock(m->machine, 0, 0);
        if (m->disk_full_until_ns) {
            empty_disk(m);
        }
        if (!member_runs(m)) {
            member_start(m);
        } else if (m->stopping && !m->restart_ns) {
            m->restart_ns = sim_now(w->sim) + CLUSTER_MS;
        }
    }
}
