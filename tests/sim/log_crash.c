/* SPDX-License-Identifier: Apache-2.0 */

/* A walk of broker/log: its options from the seed, recovery, the judge. */
#include "log_crash_private.h"

#include <stdio.h>
#include <stdlib.h>

/* Of a million. */
enum { FAULT_WRITES = 3000, FAULT_SYNCS = 6000 };

/* --- judging ----------------------------------------------------------------------------- */

static enum oracle_grace grace_of(const struct walk *w, const struct oracle_log *l)
{
    if (l->durability == LOG_MEMORY && w->st.powered) {
        return ORACLE_PIECES;
    }
    return w->st.damaged && w->damage.kind == DAMAGE_JOURNAL && !w->damage.marked ? ORACLE_TORN
                                                                                  : ORACLE_STRICT;
}

/* Other programs take the rest of the disk, the reserve as well. */
static void others_fill(struct walk *w)
{
    struct disk *d = sim_node_disk(w->st.node);
    struct disk_space s = disk_space(d);
    uint64_t left = prng_below(&w->st.random, 262144);
    if (left < s.free_bytes) {
        disk_set_capacity(d, s.total_bytes - s.free_bytes + left);
    }
}

static void judge_all(struct walk *w)
{
    char why[400];
    for (unsigned i = 0; i < WALK_SLOTS; i++) {
        struct oracle_log *l = &w->logs[i];
        if (w->unreadable[i]) {
            if (w->damage.kind != DAMAGE_SEGMENT) {
                sim_storage_violation(&w->st, "%s cannot be read after damage of %s", l->topic,
                                      w->damage.path);
            }
            continue;
        }
        if (!oracle_judge(l, &w->shown[i], grace_of(w, l), why, sizeof why)) {
            sim_storage_violation(&w->st, "%s%s%s", why, w->st.damaged ? "; damaged: " : "",
                                  w->st.damaged ? w->damage.path : "");
        }
    }
    w->stats->judged++;
    sim_story(w->st.sim, "judged%s", w->st.powered ? ", the power was cut" : "");
    w->stats->clean += w->summary.clean;
    w->stats->torn += w->summary.torn_bytes > 0;
    w->stats->replayed += w->summary.replayed_entries;
    w->stats->damage_silent += w->st.damaged;
    for (unsigned i = 0; i < WALK_SLOTS && !w->st.probing && !w->st.violation[0]; i++) {
        oracle_adopt(&w->logs[i], &w->shown[i]);
    }
    aside_judge(w);
    w->serving = true;
    if (w->disk_full && prng_chance(&w->st.random, 1, 3)) {
        others_fill(w);
    }
    if (w->faults) {
        sim_faults(w->st.sim)->write_error = FAULT_WRITES;
        sim_faults(w->st.sim)->sync_error = FAULT_SYNCS;
    }
    sim_storage_recovered(&w->st);
}

void walk_judge_shard(struct walk *w)
{
    if (++w->judged_shards == w->shards && !w->st.violation[0]) {
        judge_all(w);
    }
}

/* Recovery has said that something is damaged: right only if something is. */
static void judge_damaged(struct walk *w)
{
    const struct damage *g = &w->damage;
    if (!w->st.damaged) {
        sim_storage_violation(&w->st, "damage without damage: %s", w->summary.damage);
    } else if (g->kind == DAMAGE_CHECKPOINT && !g->only) {
        sim_storage_violation(&w->st, "one copy of a checkpoint is enough: %s", w->summary.damage);
    } else if (g->kind == DAMAGE_JOURNAL && !g->needed) {
        sim_storage_violation(&w->st, "nobody needs %s: %s", g->path, w->summary.damage);
    } else if (w->summary.damage[0] == 0) {
        sim_storage_violation(&w->st, "damage without a word");
    }
    w->stats->damage_found++;
    sim_storage_recovered(&w->st);
}

/* --- a life ------------------------------------------------------------------------------ */

static const char *known(void *context, struct uuid topic_id, int32_t partition)
{
    const struct walk *w = context;
    for (unsigned i = 0; i < WALK_SLOTS; i++) {
        if (uuid_equal(w->logs[i].topic_id, topic_id) && w->logs[i].partition == partition) {
            return w->logs[i].topic;
        }
    }
    return NULL;
}

struct log_config walk_config(const struct walk *w, unsigned slot)
{
    return (struct log_config){
        .segment_bytes = w->segment_bytes,
        .segment_ms = 604800000,
        .retention_ms = -1,
        .retention_bytes = -1,
        .index_interval_bytes = 4096,
        .durability = w->logs[slot].durability,
        .compact = w->logs[slot].compact && w->serving, /* not while it is read for the judge */
        .min_dirty_ratio = 0.2,
        .delete_retention_ms = w->logs[slot].delete_retention_ms,
    };
}

static void recovery_freed(struct io_message *m, struct io *io)
{
    struct driver *d = container_of(m, struct driver, free_recovery);
    log_recovery_free(io, d->w->recovery);
    d->w->recovery = NULL;
}

static void shard_open(struct io_message *m, struct io *io)
{
    struct driver *d = container_of(m, struct driver, open);
    struct walk *w = d->w;
    d->set = log_set_open(io, w->recovery, &w->log_options);
    if (!d->set) {
        sim_storage_violation(&w->st, "log_set_open failed");
        return;
    }
    if (++w->opened == w->shards) {
        d->free_recovery.deliver = recovery_freed;
        io_post(io, 0, &d->free_recovery);
    }
    driver_begin(d);
}

struct beginning {
    struct log_recover recover;
    struct walk *w;
    struct io *io;
    struct driver *drivers[SIM_SHARDS_MAX];
};

/* The drivers of the other shards are waiting for their message; they are made here, in the memory
 * of shard 0, and used on their own. */
static void recovered(struct log_recover *r, int error)
{
    struct beginning *b = container_of(r, struct beginning, recover);
    struct walk *w = b->w;
    w->summary = r->summary;
    if (error == ERR_DAMAGED) {
        judge_damaged(w);
        return;
    }
    if (error) {
        sim_storage_violation(&w->st, "recovery failed: %s", error_name(error));
        return;
    }
    if (w->st.stopped && !w->st.damaged && !w->disk_full && r->summary.replayed_entries > 0) {
        sim_storage_violation(&w->st, "a clean stop left %llu entries to replay",
                              (unsigned long long)r->summary.replayed_entries);
    }
    w->recovery = r->result;
    for (unsigned i = 0; i < w->shards; i++) {
        b->drivers[i]->open.deliver = shard_open;
        io_post(b->io, i, &b->drivers[i]->open);
    }
}

static void start(struct io *io, void *argument)
{
    struct sim_storage *st = argument;
    struct walk *w = st->scenario->context;
    if (io_shard(io) != 0) {
        return;
    }
    struct beginning *b = memory_alloc(io_memory(io), sizeof *b);
    b->w = w;
    b->io = io;
    for (unsigned i = 0; i < w->shards; i++) {
        b->drivers[i] = memory_alloc(io_memory(io), sizeof **b->drivers);
        b->drivers[i]->w = w;
        b->drivers[i]->io = sim_node_shard(st->node, i);
        w->drivers[i] = b->drivers[i];
    }
    b->recover.done = recovered;
    log_recover(io, &b->recover, &w->log_options, w->shards);
}

static unsigned life(struct sim_storage *st, void *context)
{
    struct walk *w = context;
    for (unsigned i = 0; i < WALK_SLOTS; i++) {
        oracle_state_deinit(&w->shown[i]);
        w->unreadable[i] = false;
    }
    w->opened = w->judged_shards = 0;
    w->recovery = NULL;
    w->serving = w->closing = false;
    w->steps_left = prng_between(&st->random, 20, 400);
    w->shards = prng_chance(&st->random, 2, 3) ? 1 : (unsigned)prng_between(&st->random, 1, 3);
    memset(&w->summary, 0, sizeof w->summary);
    aside_note(w);
    disk_set_capacity(sim_node_disk(st->node), w->disk_bytes);
    sim_faults(st->sim)->write_error = sim_faults(st->sim)->sync_error = 0;
    return w->shards;
}

/* --- a walk ------------------------------------------------------------------------------ */

static void replaced(void *context, struct uuid topic_id, int32_t partition,
                     const struct log_replaced *r)
{
    assert(partition == 0);
    driver_replaced(context, topic_id, r);
}

static uint32_t scaled(struct prng *random, uint32_t weight)
{
    static const uint32_t tenths[] = {1, 3, 10, 10, 30};
    return weight * tenths[prng_below(random, array_size(tenths))] / 10;
}

static void draw_options(struct walk *w, struct prng *random)
{
    static const uint32_t weights[LOG_ACTIONS] = {
        [LOG_ACT_APPEND] = 600, [LOG_ACT_TRUNCATE] = 60,   [LOG_ACT_START] = 20,
        [LOG_ACT_REMOVE] = 10,  [LOG_ACT_RECREATE] = 10,   [LOG_ACT_EPOCH] = 40,
        [LOG_ACT_READ] = 60,    [LOG_ACT_CHECKPOINT] = 30, [LOG_ACT_RETAIN] = 20,
        [LOG_ACT_RETRY] = 40,   [LOG_ACT_WATERMARK] = 20,  [LOG_ACT_PAUSE] = 20,
        [LOG_ACT_COMPACT] = 40, [LOG_ACT_CLOSE] = 3,       [LOG_ACT_FOLLOW] = 150,
        [LOG_ACT_ANEW] = 12,
    };
    for (unsigned i = 0; i < LOG_ACTIONS; i++) {
        w->weights[i] = scaled(random, weights[i]);
    }
    w->weights[LOG_ACT_APPEND] += 50;
    w->pace_ns = (uint64_t)10000 << prng_below(random, 6);
    w->segment_bytes = (uint64_t)16384 << prng_below(random, 4);
    if (w->options->plain) {
        w->segment_bytes = 1u << 30;
        w->weights[LOG_ACT_REMOVE] = w->weights[LOG_ACT_RECREATE] = w->weights[LOG_ACT_ANEW] = 0;
        w->weights[LOG_ACT_RETAIN] = 0;
    }
    w->large = (uint32_t)prng_below(random, 400);
    w->keys = (uint32_t)prng_between(random, 2, 12);
    if (w->options->compact) {
        w->weights[LOG_ACT_COMPACT] += 60;
        w->weights[LOG_ACT_CHECKPOINT] += 60;
        w->weights[LOG_ACT_APPEND] += 300;
        w->weights[LOG_ACT_TRUNCATE] /= 4;
        w->weights[LOG_ACT_REMOVE] /= 4;
        w->weights[LOG_ACT_ANEW] /= 4;
        w->weights[LOG_ACT_RECREATE] /= 4;
        w->segment_bytes = (uint64_t)4096 << prng_below(random, 3);
    }
    w->disk_full = w->options->disk_full || (!w->options->plain && prng_chance(random, 1, 6));
    w->faults = !w->options->plain && prng_chance(random, 1, 6);
    w->log_options = (struct log_options){
        .root = "/data",
        .journal_file_bytes = (uint64_t)131072 << prng_below(random, 2),
        .journal_bytes_max = (uint64_t)262144 << prng_below(random, 2),
        .memory_journal_bytes = 262144,
        .group_bytes_max = (uint32_t)65536 >> prng_below(random, 2),
        .groups_in_flight = (uint32_t)prng_between(random, 1, 3),
        .chunk_bytes_max = (uint32_t)8192 << prng_below(random, 4),
        .tail_bytes_max = (uint64_t)524288 << prng_below(random, 3),
        .read_bytes_max = 1048576,
        .read_ahead_bytes = 32768,
        .trash_step_bytes = (uint32_t)4096 << prng_below(random, 6),
        .write_behind_bytes = (uint32_t)4096 << prng_below(random, 4),
        .disk_reserve_bytes = 2097152, /* the journals of four shards, as with the defaults */
        .files_max = 32,
        .checkpoint_bytes = (uint64_t)32768 << prng_below(random, 3),
        .producer_expiration_ms = (uint64_t)1 << 60, /* timestamps are random */
        .producers_max = 100000,
        .cleaner_map_bytes = (uint64_t)200 << prng_below(random, 8),
        .cleaner_piece_bytes = (uint32_t)4096 << prng_below(random, 4),
        .cleaner_bytes_per_second = prng_chance(random, 1, 4) ? 20000000 : 0,
        .cleaner_backoff_ms = 1,
        .replaced = replaced,
        .replaced_context = w,
        .mutants = w->options->mutants,
        .known = known,
        .known_context = w,
    };
}

/* Little journal, much to write, slow checkpoints: its space is wanted while a checkpoint is being
 * written. */
static void draw_narrow(struct walk *w, struct prng *random)
{
    w->narrow = prng_chance(random, 1, 8);
    if (w->narrow) {
        w->weights[LOG_ACT_APPEND] = 3000;
        w->large = 700;
        w->log_options.journal_file_bytes = 131072;
        w->log_options.journal_bytes_max = 262144;
        w->log_options.checkpoint_bytes = 32768;
    }
}

static void make_logs(struct walk *w, struct prng *random)
{
    for (unsigned i = 0; i < WALK_SLOTS; i++) {
        struct uuid id = {{0}};
        put_be64(id.bytes, ++w->ids);
        put_be64(id.bytes + 8, prng_next(random));
        char topic[16];
        snprintf(topic, sizeof topic, "topic-%u", i);
        bool memory = w->options->memory_logs && i + 1 == WALK_SLOTS;
        oracle_log_init(&w->logs[i], id, 0, topic, memory ? LOG_MEMORY : LOG_FSYNC);
        w->logs[i].compact =
            w->options->compact || (!w->options->plain && prng_chance(random, 1, 3));
        w->logs[i].gaps = prng_chance(random, 1, 2);
        w->logs[i].delete_retention_ms = (int64_t[]){0, 2, 20}[prng_below(random, 3)];
    }
}

static struct sim_latency drawn(struct prng *random, uint64_t mean_ns)
{
    return (struct sim_latency){.min_ns = mean_ns / 4,
                                .mean_ns = mean_ns << prng_below(random, 4),
                                .tail_ns = 40 * mean_ns,
                                .tail = (uint32_t)prng_below(random, 200)};
}

/* The root itself exists and is durable; the disk of each walk has a pace of its own. */
static void prepare(struct sim_storage *st, void *context)
{
    struct sim_faults *f = sim_faults(st->sim);
    f->read = drawn(&st->random, 20000);
    f->write = drawn(&st->random, 30000);
    f->sync = drawn(&st->random, 60000);
    f->name = drawn(&st->random, 20000);
    const struct walk *w = context;
    if (w->narrow) {
        f->slow_name = "/checkpoint-";
        f->slow = drawn(&st->random, 2000000);
    } else if (prng_chance(&st->random, 1, 3)) { /* what other operations overtake */
        static const char *const names[] = {"/checkpoint-", "/durable-", ".log"};
        f->slow_name = names[prng_below(&st->random, array_size(names))];
        f->slow = drawn(&st->random, 1000000);
    }
    f->crash.power_lost = prng_chance(&st->random, 1, 2) ? 400 : 0;
    f->crash.kill_lost = prng_chance(&st->random, 1, 2) ? 250 : 0;
    f->crash.kill_torn = prng_chance(&st->random, 1, 4) ? 100 : 0;
    struct disk *d = sim_node_disk(st->node);
    int error = disk_mkdir(d, "/data");
    assert(!error);
    (void)disk_end(d, disk_sync_begin(d, NULL));
}

static bool damage(struct sim_storage *st, void *context, struct disk *d)
{
    return damage_apply(context, d);
}

int log_crash_walk(const struct log_crash_options *options, struct log_crash_stats *stats,
                   char why[static 600])
{
    struct walk *w = calloc(1, sizeof *w);
    struct prng random = prng_of(options->seed ^ 0x6c6f67);
    w->options = options;
    w->stats = stats;
    draw_options(w, &random);
    draw_narrow(w, &random);
    make_logs(w, &random);
    const struct sim_storage_scenario scenario = {
        .life = life,
        .start = start,
        .damage = options->damage ? damage : NULL,
        .prepare = prepare,
        .context = w,
    };
    const struct sim_storage_options storage = {
        .seed = options->seed,
        .lives = 8,
        .images = 8,
        .operations_max = 200 + prng_below(&random, 1200),
        .recovery_crash = 300,
        .power = 600,
        .damaged = 300,
        .life_ns_max = 3600 * 1000000000ull,
        .memory_bytes = 64u << 20,
        .fatal_allowed = w->faults,
        .disk_bytes = w->disk_bytes =
            w->disk_full ? prng_between(&random, 60, options->compact ? 150 : 110) << 16
                         : 64u << 20,
        .story = options->story,
    };
    int result = sim_storage_walk(&w->st, &scenario, &storage, &stats->storage);
    memcpy(why, w->st.violation, sizeof w->st.violation);
    for (unsigned i = 0; i < WALK_SLOTS; i++) {
        oracle_log_deinit(&w->logs[i]);
        oracle_state_deinit(&w->shown[i]);
    }
    free(w);
    return result;
}
