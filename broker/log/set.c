/* SPDX-License-Identifier: Apache-2.0 */

/* A shard's logs: opening from what recovery found, the work at the end of a turn, closing. */
#include "base/crc32c.h"
#include "base/errors.h"
#include "log/log_private.h"

#include <inttypes.h>
#include <stdio.h>

#define TICK_NS 1000000000ull

static void pump_turn_end(struct io_turn *t);
static void tick(struct io_op *op, int64_t result);

void log_options_defaults(struct log_options *o)
{
#define DEFAULT(field, value) o->field = o->field ? o->field : (value)
    DEFAULT(journal_file_bytes, 8u << 20);
    DEFAULT(journal_bytes_max, 128u << 20);
    DEFAULT(memory_journal_bytes, 64u << 20);
    DEFAULT(group_bytes_max, 2u << 20);
    DEFAULT(groups_in_flight, 2);
    DEFAULT(chunk_bytes_max, 1u << 20);
    DEFAULT(tail_bytes_max, 96u << 20);
    DEFAULT(read_bytes_max, 32u << 20);
    DEFAULT(read_ahead_bytes, 512u << 10);
    DEFAULT(trash_step_bytes, 2u << 20);
    DEFAULT(write_behind_bytes, 1u << 20);
    DEFAULT(disk_reserve_bytes, 64u << 20);
    DEFAULT(files_max, 512);
    DEFAULT(checkpoint_bytes, o->journal_bytes_max / 4);
    DEFAULT(producer_expiration_ms, 86400000);
    DEFAULT(producers_max, 100000);
    DEFAULT(cleaner_map_bytes, 128u << 20);
    DEFAULT(cleaner_piece_bytes, 128u << 10);
    DEFAULT(cleaner_backoff_ms, 15000);
#undef DEFAULT
    if (o->journal_bytes_max < 2 * o->journal_file_bytes) {
        o->journal_bytes_max = 2 * o->journal_file_bytes;
    }
    assert(o->journal_file_bytes % IO_BLOCK_SIZE == 0);
    assert(o->groups_in_flight <= JOURNAL_FLIGHT_MAX);
}

unsigned log_home(struct bytes topic, int32_t partition, unsigned shards)
{
    assert(shards > 0 && topic.size > 0);
    if (shards == 1) {
        return 0;
    }
    uint8_t number[4];
    put_be32(number, (uint32_t)partition);
    return crc32c(crc32c(0, topic.data, topic.size), number, sizeof number) % shards;
}

static void log_key(uint8_t key[static 20], struct uuid topic_id, int32_t partition)
{
    memcpy(key, topic_id.bytes, sizeof topic_id.bytes);
    put_be32(key + 16, (uint32_t)partition);
}

struct log *log_find(const struct log_set *set, struct uuid topic_id, int32_t partition)
{
    uint8_t key[20];
    log_key(key, topic_id, partition);
    return map_get(&set->by_id, bytes_of(key, sizeof key));
}

struct log *log_new(struct log_set *set, struct uuid topic_id, int32_t partition, const char *topic,
                    size_t topic_size)
{
    assert(topic_size > 0 && topic_size <= LOG_TOPIC_NAME_MAX);
    struct log *log = memory_alloc(set->memory, sizeof *log);
    if (!log) {
        return NULL;
    }
    log->magic = LOG_MAGIC;
    log->set = set;
    log->topic_id = topic_id;
    log->partition = partition;
    memcpy(log->topic, topic, topic_size);
    log->config = (struct log_config){.segment_bytes = 1u << 30,
                                      .segment_ms = 604800000,
                                      .retention_ms = -1,
                                      .retention_bytes = -1,
                                      .index_interval_bytes = 4096};
    log->max_timestamp = -1;
    log->tombstones_from = INT64_MAX;
    list_init(&log->segments);
    list_init(&log->waiting);
    list_init(&log->runnable);
    list_init(&log->removal);
    list_init(&log->names);
    list_init(&log->moved);
    list_init(&log->link);
    log_key(log->key, topic_id, partition);
    if (map_add(&set->by_id, bytes_of(log->key, sizeof log->key), log)) {
        memory_free(set->memory, log);
        return NULL;
    }
    list_append(&set->logs, &log->link);
    return log;
}

void log_free(struct log *log)
{
    struct log_set *set = log->set;
    assert(list_empty(&log->waiting) && log->space.stage == SPACE_IDLE);
    while (!list_empty(&log->segments)) {
        segment_free(container_of(log->segments.next, struct segment, link));
    }
    if (log_find(set, log->topic_id, log->partition) == log) {
        map_remove(&set->by_id, bytes_of(log->key, sizeof log->key));
    }
    list_remove(&log->link);
    list_remove(&log->runnable);
    list_remove(&log->removal);
    list_remove(&log->names);
    list_remove(&log->moved);
    epochs_free(&log->epochs, set->memory);
    producers_free(log->producers);
    log->magic = 0;
    memory_free(set->memory, log);
}

static void cold_progress(void *context)
{
    log_set_progress(context);
}

struct log_set *log_set_new(struct io *io, const struct log_options *options, unsigned shards)
{
    struct memory *m = io_memory(io);
    struct log_set *set = memory_alloc(m, sizeof *set);
    if (!set) {
        return NULL;
    }
    set->io = io;
    set->memory = m;
    set->options = *options;
    log_options_defaults(&set->options);
    set->shard = io_shard(io);
    set->shards = shards;
    uint64_t seed;
    io_random(io, &seed, sizeof seed);
    map_init(&set->by_id, m, seed, 1u << 20);
    producer_table_init(&set->producers, m, seed, set->options.producers_max);
    struct list *lists[] = {
        &set->logs,     &set->runnable,           &set->moved,      &set->finished, &set->controls,
        &set->releases, &set->removals,           &set->dirty,      &set->chunks,   &set->files,
        &set->trash,    &set->checkpoint.pending, &set->index_jobs, &set->indexes,  &set->names};
    for (unsigned i = 0; i < array_size(lists); i++) {
        list_init(lists[i]);
    }
    set->pump_turn.turn_end = pump_turn_end;
    set->tick.done = tick;
    set->checkpoint.captures = set->checkpoint.captures_durable = 1;
    set->scrub_round = 1;
    char path[IO_PATH_MAX];
    snprintf(path, sizeof path, "%s/topics", options->root);
    struct io_disk disk;
    struct cold_options cold = {.block_bytes = set->options.read_ahead_bytes,
                                .bytes_max = set->options.read_bytes_max,
                                .batch_bytes_max = (uint32_t)set->options.journal_file_bytes,
                                .progress = cold_progress,
                                .context = set};
    set->cold = cold_reader_new(io, &cold);
    if (!set->cold || io_file_open(io, &set->topics_directory, path, IO_OPEN_DIRECTORY) < 0 ||
        io_disk(io, path, &disk) < 0) {
        cold_reader_free(set->cold);
        io_file_close(io, set->topics_directory);
        memory_free(m, set);
        return NULL;
    }
    set->disk_free = disk.free_bytes;
    return set;
}

/* Everything but what is in flight: nothing may be. */
void log_set_free(struct log_set *set)
{
    while (!list_empty(&set->logs)) {
        log_free(container_of(set->logs.next, struct log, link));
    }
    assert(set->tail_bytes == 0 || set->closing || set->recovering);
    tail_free_lists(set);
    cold_reader_free(set->cold);
    io_file_close(set->io, set->topics_directory);
    io_file_close(set->io, set->checkpoint.files[0]);
    io_file_close(set->io, set->checkpoint.files[1]);
    memory_free(set->memory, set->checkpoint.data);
    producer_table_deinit(&set->producers);
    map_deinit(&set->by_id);
    if (set->pump_turn.link.next) { /* else it was never scheduled */
        list_remove(&set->pump_turn.link);
    }
    memory_free(set->memory, set);
}

static bool load_older(struct log *log, const struct checkpoint_log *l)
{
    struct reader r = reader_of(l->older.data, l->older.size);
    for (uint32_t i = 0; i < l->segments; i++) {
        struct checkpoint_segment c = checkpoint_segment_decode(&r);
        struct segment *s = segment_new(log, c.base_offset);
        if (!s) {
            return false;
        }
        s->generation = c.generation;
        s->gaps = c.gaps;
        segment_become(s, SEGMENT_SEALED);
        s->size = s->submitted = s->written = c.size;
        s->allocated = c.size;
        s->max_timestamp = c.max_timestamp;
        s->index_whole = false;
        s->index_from = c.size;
        s->index_from_time = c.max_timestamp;
        s->scrub_round = 0;
        log->size_bytes += c.size;
        if (c.max_timestamp > log->max_timestamp) {
            log->max_timestamp = c.max_timestamp;
        }
    }
    return true;
}

static bool load_newest(struct log *log, const struct checkpoint_log *l)
{
    struct segment *s = segment_new(log, l->segment_base);
    if (!s) {
        return false;
    }
    uint32_t whole = l->segment_size / IO_BLOCK_SIZE * IO_BLOCK_SIZE;
    s->gaps = l->gaps;
    log->ends_in_gap = l->gaps;
    s->size = s->written = s->submitted = whole;
    s->allocated = whole; /* with no whole block there may be no file: the checkpoint has it all */
    s->index_whole = l->segment_size == 0;
    s->index_stale = true;
    s->index_from = l->segment_size;
    s->index_from_time = l->max_timestamp;
    s->max_timestamp = l->max_timestamp;
    log->size_bytes += l->segment_size;
    if (l->max_timestamp > log->max_timestamp) {
        log->max_timestamp = l->max_timestamp;
    }
    if (l->unfinished.size) {
        if (!tail_reserve(s, IO_BLOCK_SIZE)) {
            return false;
        }
        struct iovec piece = {(void *)l->unfinished.data, l->unfinished.size};
        tail_put(s, &piece, 1);
        s->unchecked_to = s->size;
    }
    return true;
}

struct log *log_set_load(struct log_set *set, const struct checkpoint_log *l)
{
    struct log *log =
        log_new(set, l->topic_id, l->partition, (const char *)l->name.data, l->name.size);
    if (!log) {
        return NULL;
    }
    log->config.durability = l->durability ? LOG_MEMORY : LOG_FSYNC;
    log->start_offset = l->start_offset;
    log->end_offset = l->end_offset;
    log->durable_offset = l->end_offset;
    log->high_watermark = l->high_watermark < l->end_offset ? l->high_watermark : l->end_offset;
    log->clean_offset = l->clean_offset;
    struct reader epochs = reader_of(l->epochs.data, l->epochs.size);
    struct reader producers = reader_of(l->producers.data, l->producers.size);
    if (epochs_decode(&log->epochs, set->memory, &epochs) ||
        producers_decode(&log->producers, &set->producers, &producers,
                         log_producers_expired_ms(set))) {
        log_free(log);
        return NULL;
    }
    log->directory_known = l->has_segment || l->segments > 0;
    if (!load_older(log, l) || (l->has_segment && !load_newest(log, l))) {
        log_free(log);
        return NULL;
    }
    return log;
}

static int open_checkpoint_files(struct log_set *set)
{
    for (unsigned copy = 0; copy < 2; copy++) {
        char path[IO_PATH_MAX];
        checkpoint_path(path, set->options.root, set->shard, copy);
        int error = io_file_open(set->io, &set->checkpoint.files[copy], path,
                                 IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_DIRECT);
        if (error < 0) {
            return error_from_errno(error);
        }
        int64_t size = io_file_size(set->io, set->checkpoint.files[copy]);
        uint64_t there = size < 0 ? 0 : (uint64_t)size / IO_BLOCK_SIZE * IO_BLOCK_SIZE;
        if (copy == 0 || there < set->checkpoint.allocated) {
            set->checkpoint.allocated = there;
        }
    }
    return 0;
}

struct log_set *log_set_open(struct io *io, const struct log_recovery *recovery,
                             const struct log_options *options)
{
    struct log_set *set = log_set_new(io, options, recovery->shards);
    if (!set) {
        log_error(io_logger(io), "log", "cannot open %s: no memory or files", options->root);
        return NULL;
    }
    set->storage_id = recovery->storage_id;
    set->life = recovery->life;
    struct reader r =
        reader_of(recovery->data + CHECKPOINT_HEADER_SIZE, recovery->size - CHECKPOINT_HEADER_SIZE);
    bool failed = false;
    for (uint32_t i = 0; i < recovery->logs && !failed; i++) {
        struct checkpoint_log l;
        failed = checkpoint_log_decode(&l, &r) != 0;
        if (!failed && log_home(l.name, l.partition, set->shards) == set->shard) {
            failed = log_set_load(set, &l) == NULL;
        }
    }
    if (failed || open_checkpoint_files(set) ||
        journal_open(&set->journal, set, io, &set->options, set->storage_id, set->life,
                     recovery->next_sequence)) {
        log_error(io_logger(io), "log", "cannot open the logs of %s: no memory or files",
                  options->root);
        log_set_free(set);
        return NULL;
    }
    producer_table_sort(&set->producers);
    mapped_init(&set->mapped, set, recovery->next_memory_sequence);
    set->checkpoint.older = log_mutant(set, LOG_MUTANT_NEWER_FIRST) ? 1 : 0;
    if (set->shard == 0) {
        trash_begin(set);
    }
    io_timer(io, &set->tick, io_now(io) + TICK_NS);
    log_set_want_checkpoint(set); /* which says what journal files there are */
    return set;
}

struct log *log_open(struct log_set *set, struct uuid topic_id, int32_t partition,
                     const char *topic, const struct log_config *config)
{
    struct log *log = log_find(set, topic_id, partition);
    if (log && !list_empty(&log->removal)) {
        return NULL; /* the one that was here before is still on its way out */
    }
    if (!log) {
        log = log_new(set, topic_id, partition, topic, strlen(topic));
        if (!log) {
            return NULL;
        }
        log->tidy = true;
        log->config.durability = config->durability;
    }
    assert(!log->opened);
    log->opened = true;
    log_configure(log, config);
    return log;
}

static void unopened_removed(struct log_control *c, int error)
{
    struct log_set *set = c->priv.set;
    if (error && error != ERR_CLOSED) {
        log_warn(io_logger(set->io), "log", "a log that is no longer wanted stays: %s",
                 error_text(error));
    }
    memory_free(set->memory, c);
}

uint32_t log_set_remove_unopened(struct log_set *set)
{
    uint32_t count = 0;
    list_each (node, &set->logs) {
        struct log *log = container_of(node, struct log, link);
        struct log_control *c =
            log->opened || log->removing ? NULL : memory_alloc(set->memory, sizeof *c);
        if (!c) {
            continue;
        }
        log_info(io_logger(set->io), "log", "%s-%d is removed: it is not this node's any more",
                 log->topic, (int)log->partition);
        *c = (struct log_control){.kind = LOG_REMOVE, .done = unopened_removed};
        log->opened = true;
        c->priv.set = set;
        log_control(log, c);
        count++;
    }
    return count;
}

void log_configure(struct log *log, const struct log_config *config)
{
    assert(log->magic == LOG_MAGIC);
    enum log_durability fixed = log->config.durability;
    log->config = *config;
    log->config.durability = fixed;
    log->uncleanable = false; /* whoever has changed something gets another try */
    if (log->config.segment_bytes < IO_BLOCK_SIZE) {
        log->config.segment_bytes = IO_BLOCK_SIZE;
    }
    if (log->config.index_interval_bytes == 0) {
        log->config.index_interval_bytes = 4096;
    }
}

bool log_compacts(const struct log *log)
{
    assert(log->magic == LOG_MAGIC);
    return log->config.compact;
}

struct log_status log_status(const struct log *log)
{
    assert(log->magic == LOG_MAGIC);
    return (struct log_status){
        .start_offset = log->start_offset,
        .end_offset = log->end_offset,
        .durable_offset = log->durable_offset,
        .high_watermark = log->high_watermark,
        .size_bytes = log->size_bytes,
        .leader_epoch = epochs_latest(&log->epochs),
        .max_timestamp = log->max_timestamp,
        .damaged = log_damaged(log),
        .verified = log->verified && !log_damaged(log),
    };
}

void log_keep_tombstones(struct log *log, int64_t from_offset)
{
    assert(log->magic == LOG_MAGIC);
    log->tombstones_from = from_offset;
}

void log_raise_watermark(struct log *log, int64_t offset)
{
    assert(log->magic == LOG_MAGIC && offset <= log->durable_offset);
    log->high_watermark = offset > log->high_watermark ? offset : log->high_watermark;
}

void log_watch(struct log *log, struct log_watch *w)
{
    assert(log->magic == LOG_MAGIC);
    log->watch = w;
}

void log_moved(struct log *log)
{
    if (log->watch && list_empty(&log->moved)) {
        list_append(&log->set->moved, &log->moved);
        io_turn_end(log->set->io, &log->set->pump_turn);
    }
}

struct log_set_status log_set_status(const struct log_set *set)
{
    return (struct log_set_status){
        .journal_bytes = set->journal.file_count * set->options.journal_file_bytes,
        .journal_bytes_live = journal_live_bytes(&set->journal),
        .tail_bytes = set->tail_bytes,
        .commits = set->journal.commits,
        .committed_bytes = set->journal.committed_bytes,
        .checkpoints = set->checkpoint.count,
        .write_behind_bytes = set->write_behind_bytes,
        .cleaned_bytes_before = set->cleaned_bytes_before,
        .cleaned_bytes_after = set->cleaned_bytes_after,
        .appends_waiting = set->waiting_appends,
        .logs = (uint32_t)map_count(&set->by_id),
        .files_open = set->files_open,
        .disk_full = set->disk_full,
    };
}

/* --- the end of a turn ------------------------------------------------------------------------ */

void log_finish_later(struct log_set *set, struct log_waiter *w)
{
    list_init(&w->link);
    list_append(&set->finished, &w->link);
    io_turn_end(set->io, &set->pump_turn);
}

void log_set_progress(struct log_set *set)
{
    io_turn_end(set->io, &set->pump_turn);
}

void log_set_settled(struct log_set *set)
{
    log_release_marked(set);
    checkpoint_step(set);
    log_set_progress(set);
}

static void run_finished(struct log_set *set)
{
    struct list finished;
    list_init(&finished);
    list_splice(&finished, &set->finished);
    struct list *node;
    while ((node = list_pop(&finished))) {
        struct log_waiter *w = container_of(node, struct log_waiter, link);
        w->settled(w);
    }
}

static void pump_turn_end(struct io_turn *t)
{
    struct log_set *set = container_of(t, struct log_set, pump_turn);
    if (set->recovering) {
        set->progress(set);
        return;
    }
    log_control_pump(set);
    log_pump(set);
    run_finished(set);
    log_release_marked(set);
    checkpoint_step(set);
    cleaner_look(set);
    struct list *node;
    while ((node = list_pop(&set->moved))) {
        struct log *log = container_of(node, struct log, moved);
        if (log->watch && !log->removing) {
            log->watch->moved(log->watch, log);
        }
    }
    if (set->closing) {
        log_set_close_step(set);
    }
}

/* Looked up each time: other shards and programs take space as well. */
bool log_disk_take(struct log_set *set, uint64_t bytes, uint64_t reserve)
{
    struct io_disk disk;
    if (io_disk(set->io, set->options.root, &disk) == 0) {
        set->disk_free = disk.free_bytes > set->disk_taken ? disk.free_bytes - set->disk_taken : 0;
    }
    if (set->disk_free < reserve || set->disk_free - reserve < bytes) {
        return false;
    }
    set->disk_taken += bytes;
    return true;
}

void log_disk_taken(struct log_set *set, uint64_t bytes)
{
    assert(set->disk_taken >= bytes);
    set->disk_taken -= bytes;
}

void log_disk_full(struct log_set *set, uint64_t bytes)
{
    set->disk_full = true;
    set->disk_wanted = bytes > set->disk_wanted ? bytes : set->disk_wanted;
    if (!set->disk_told) {
        log_warn(io_logger(set->io), "log",
                 "the disk of %s is full: free_bytes=%" PRIu64 " disk.reserve.bytes=%" PRIu64
                 " wanted_bytes=%" PRIu64
                 ": what finds no room is not appended until there is some",
                 set->options.root, set->disk_free, set->options.disk_reserve_bytes, bytes);
    }
    set->disk_told = true;
}

/* What is smaller than what found no room is tried again each time; it is said when that would find some, too. */
static void disk_look(struct log_set *set)
{
    struct io_disk disk;
    if (io_disk(set->io, set->options.root, &disk) != 0) {
        return;
    }
    set->disk_free = disk.free_bytes;
    set->disk_full = false;
    if (disk.free_bytes < set->options.disk_reserve_bytes) {
        log_disk_full(set, 0);
    } else if (set->disk_told &&
               disk.free_bytes - set->options.disk_reserve_bytes >= set->disk_wanted) {
        log_info(io_logger(set->io), "log", "the disk of %s has room again: appends go on",
                 set->options.root);
        set->disk_told = false;
        set->disk_wanted = 0;
    }
}

static void tick(struct io_op *op, int64_t result)
{
    struct log_set *set = container_of(op, struct log_set, tick);
    if (set->closing) {
        log_set_progress(set);
        return;
    }
    disk_look(set);
    set->mapped.failed = false;
    cleaner_look(set);
    scrub_look(set);
    checkpoint_try_again(set);
    if (set->waiting_appends || !list_empty(&set->controls)) {
        log_set_progress(set);
    }
    io_timer(set->io, &set->tick, io_now(set->io) + TICK_NS);
}

/* --- closing ---------------------------------------------------------------------------------- */

void log_set_close(struct log_set *set, struct log_set_close *c)
{
    assert(!set->closing && c->done);
    set->closing = true;
    set->close = c;
    set->journal.closing = true;
    list_each (node, &set->logs) {
        container_of(node, struct log, link)->watch = NULL;
    }
    clean_pass_hurry(set);
    scrub_close(set);
    trash_abandon(set);
    io_cancel(set->io, &set->tick);
    apart_cancel(&set->journal);
    set->close_checkpoint = true;
    log_set_progress(set);
}

void log_set_close_step(struct log_set *set)
{
    if (!list_empty(&set->finished) || !journal_idle(&set->journal) ||
        !list_empty(&set->controls)) {
        return;
    }
    list_each (node, &set->logs) {
        struct log *log = container_of(node, struct log, link);
        if (!list_empty(&log->waiting) && log->space.stage == SPACE_IDLE) {
            log_fail_waiting(log, ERR_CLOSED);
        }
    }
    bool truncating = false;
    list_each (node, &set->logs) {
        truncating = truncating || container_of(node, struct log, link)->controls > 0;
    }
    if (set->waiting_appends || truncating || !list_empty(&set->finished)) {
        return;
    }
    if (set->close_checkpoint && set->checkpoint.stage == CHECKPOINT_IDLE) {
        set->close_checkpoint = false;
        set->checkpoint.wanted = true;
        checkpoint_step(set);
        return;
    }
    if (set->close_checkpoint || !checkpoint_idle(set) || set->in_flight ||
        set->journal.grow.stage != GROW_NOT || !io_op_idle(&set->tick) ||
        !io_op_idle(&set->journal.apart.op) || set->readers || cold_status(set->cold).in_flight ||
        (!list_empty(&set->releases) && !set->checkpoint.deferred)) {
        return;
    }
    log_releases_abandon(set);
    struct log_set_close *c = set->close;
    journal_close(&set->journal);
    mapped_close(&set->mapped);
    log_set_free(set);
    c->done(c);
}
