/* SPDX-License-Identifier: Apache-2.0 */

/* The checkpoint: what frees the journal.
 *
 *     IDLE --capture--> CAPTURED --blocks written, entries settled--> SYNC --> FIRST --> SECOND -->
 * IDLE
 *
 * The state of all logs in memory is, at any moment, that after the last entry that was gathered.
 * So a capture takes it as it stands, with that sequence, and waits until the sequence is settled
 * and every whole block that it counts is written; then segments and names are synced, then both
 * copies are written, the older or invalid one first (L6). Only when both are durable may the
 * journal reuse what lies below. Whoever truncates meanwhile makes it capture again. */
#include "log/log_private.h"

#include "base/errors.h"

#include <stdio.h>

static void copy_written(struct io_op *op, int64_t result);
static void copy_write(struct log_set *set, unsigned copy);

void checkpoint_path(char out[static IO_PATH_MAX], const char *root, unsigned shard, unsigned copy)
{
    int size = snprintf(out, IO_PATH_MAX, "%s/journal-%u/checkpoint-%u", root, shard, copy);
    assert(size > 0 && size < IO_PATH_MAX);
}

static void describe(const struct log *log, struct checkpoint_log *l)
{
    *l = (struct checkpoint_log){
        .topic_id = log->topic_id,
        .partition = log->partition,
        .durability = log->config.durability == LOG_MEMORY,
        .start_offset = log->start_offset,
        .end_offset = log->end_offset,
        .high_watermark = log->high_watermark,
        .clean_offset = log->clean_offset,
        .max_timestamp = -1,
        .name = bytes_of_string(log->topic),
    };
    const struct segment *s = log_active(log);
    for (const struct list *n = log->segments.next; n != &log->segments; n = n->next) {
        l->segments += container_of(n, struct segment, link) != s;
    }
    if (s && log->directory_known) { /* else nothing of it is on disk, and nothing in it */
        l->has_segment = true;
        l->segment_base = s->base_offset;
        l->segment_size = s->size;
        l->gaps = s->gaps && !log_mutant(log->set, LOG_MUTANT_GAPS_QUIET);
        l->max_timestamp = s->max_timestamp;
    }
}

static size_t log_record_size(const struct log *log)
{
    struct checkpoint_log l;
    describe(log, &l);
    return CHECKPOINT_LOG_SIZE + l.name.size + epochs_size(&log->epochs) +
           producers_size(log->producers) + (size_t)l.segments * CHECKPOINT_SEGMENT_SIZE +
           l.segment_size % IO_BLOCK_SIZE;
}

/* What is sealed, or will be before the checkpoint is written. */
static void older_segments(const struct log *log, struct writer *w)
{
    const struct segment *active = log_active(log);
    for (const struct list *n = log->segments.next; n != &log->segments; n = n->next) {
        const struct segment *s = container_of(n, struct segment, link);
        if (s != active) {
            struct checkpoint_segment older = {
                .base_offset = s->base_offset,
                .size = s->size,
                .max_timestamp = s->max_timestamp,
                .generation = s->generation,
                .gaps = s->gaps && !log_mutant(log->set, LOG_MUTANT_GAPS_QUIET)};
            checkpoint_segment_encode(&older, w);
        }
    }
}

static void log_record(struct log *log, struct writer *w)
{
    struct checkpoint_log l;
    describe(log, &l);
    size_t start = w->size;
    size_t epochs_bytes = epochs_size(&log->epochs);
    size_t producers_bytes = producers_size(log->producers);
    uint32_t cut = l.segment_size % IO_BLOCK_SIZE;
    uint8_t block[IO_BLOCK_SIZE];
    if (cut) {
        bool there = tail_copy(log_active(log), l.segment_size - cut, block, cut);
        assert(there);
        if (log_mutant(log->set, LOG_MUTANT_NO_UNFINISHED)) {
            memset(block, 0, cut);
        }
    }
    /* Only the sizes of the variable parts count in the fixed part; the parts follow it. */
    l.epochs.size = epochs_bytes;
    l.producers.size = producers_bytes;
    l.unfinished.size = cut;
    checkpoint_log_encode_fixed(&l, w);
    writer_put(w, l.name.data, l.name.size);
    epochs_encode(&log->epochs, w);
    producers_encode(log->producers, w);
    older_segments(log, w);
    writer_put(w, block, cut);
    assert(w->failed || w->size - start == checkpoint_log_size(&l));
}

static size_t padded_size(size_t size)
{
    return (size + IO_BLOCK_SIZE - 1) / IO_BLOCK_SIZE * IO_BLOCK_SIZE;
}

int checkpoint_capture(struct log_set *set, uint8_t **data, size_t *size, size_t *capacity,
                       uint32_t *logs)
{
    size_t need = CHECKPOINT_HEADER_SIZE;
    uint32_t count = 0;
    list_each (node, &set->logs) {
        const struct log *log = container_of(node, struct log, link);
        if (!log->removing) {
            need += log_record_size(log);
            count++;
        }
    }
    size_t padded = padded_size(need);
    if (need > CHECKPOINT_BYTES_MAX) {
        return ERR_TOO_LARGE;
    }
    if (*capacity < padded || *capacity / 4 > padded) {
        uint8_t *fresh = memory_alloc_aligned(set->memory, padded, IO_BLOCK_SIZE);
        if (!fresh) {
            return ERR_NO_MEMORY;
        }
        memory_free(set->memory, *data);
        *data = fresh;
        *capacity = padded;
    }
    struct writer w = writer_of(*data + CHECKPOINT_HEADER_SIZE, need - CHECKPOINT_HEADER_SIZE);
    list_each (node, &set->logs) {
        struct log *log = container_of(node, struct log, link);
        if (!log->removing) {
            log_record(log, &w);
        }
    }
    assert(!w.failed && w.size + CHECKPOINT_HEADER_SIZE == need);
    memset(*data + need, 0, padded - need);
    *size = need;
    *logs = count;
    return 0;
}

bool checkpoint_idle(const struct log_set *set)
{
    const struct checkpoint *k = &set->checkpoint;
    return k->stage == CHECKPOINT_IDLE && !k->wanted && !k->space.busy;
}

/* Every segment of which captured blocks are not in the file yet is written, then waited for. */
static void collect_pending(struct log_set *set)
{
    struct checkpoint *k = &set->checkpoint;
    struct list *node;
    while ((node = list_pop(&k->pending))) {
    }
    list_each (at, &set->logs) {
        struct log *log = container_of(at, struct log, link);
        unsigned left = log->sealing + (log_active(log) != NULL);
        for (struct list *n = log->segments.prev; left > 0 && !log->removing; n = n->prev) {
            assert(n != &log->segments);
            struct segment *s = container_of(n, struct segment, link);
            left -= s->state != SEGMENT_SEALED; /* an older one may be sealed later */
            s->captured = s->size;
            if (!segment_settled_on_disk(s, s->captured)) {
                list_append(&k->pending, &s->pending);
            }
        }
    }
}

static void capture(struct log_set *set)
{
    struct checkpoint *k = &set->checkpoint;
    int error = checkpoint_capture(set, &k->data, &k->size, &k->capacity, &k->logs);
    if (error) {
        log_warn(io_logger(set->io), "log", "checkpoint put off for a second: %s",
                 error_text(error));
        k->stage = CHECKPOINT_IDLE;
        k->deferred = true;
        log_set_progress(set); /* a set that closes does without it */
        return;
    }
    if (padded_size(k->size) > k->allocated) {
        k->stage = CHECKPOINT_IDLE;
        checkpoint_defer(set);
        return;
    }
    k->sequence = set->journal.next_sequence;
    k->memory_sequence = set->mapped.next_sequence;
    k->memory_position = set->mapped.position;
    k->stage = CHECKPOINT_CAPTURED;
    k->captures++;
    collect_pending(set);
}

void checkpoint_recapture(struct log_set *set)
{
    struct checkpoint *k = &set->checkpoint;
    if (k->stage == CHECKPOINT_CAPTURED) {
        capture(set);
    }
}

static bool captured_written(struct log_set *set)
{
    struct checkpoint *k = &set->checkpoint;
    bool all = true;
    list_each (node, &k->pending) {
        struct segment *s = container_of(node, struct segment, pending);
        if (segment_settled_on_disk(s, s->captured)) {
            list_remove(&s->pending);
            continue;
        }
        all = false;
        if (io_op_idle(&s->write)) {
            segment_write_behind(s, true);
        }
    }
    return all && set->journal.settled + 1 >= k->sequence;
}

static void synced(struct log_set *set)
{
    set->checkpoint.stage = CHECKPOINT_FIRST;
    copy_write(set, set->checkpoint.older);
}

/* Nothing was told since the capture, and nothing will be. */
static bool is_last(const struct log_set *set)
{
    const struct checkpoint *k = &set->checkpoint;
    return set->closing && journal_idle(&set->journal) &&
           k->sequence == set->journal.next_sequence &&
           k->memory_sequence == set->mapped.next_sequence;
}

static void copy_write(struct log_set *set, unsigned copy)
{
    struct checkpoint *k = &set->checkpoint;
    k->mark = log_mutant(set, LOG_MUTANT_NO_SETTLED) ? 0 : set->journal.settled;
    struct checkpoint_header h = {
        .size = k->size,
        .life = set->life,
        .settled = k->mark,
        .live = k->sequence,
        .memory_live = k->memory_sequence,
        .storage_id = set->storage_id,
        .boot_id = io_boot_id(set->io),
        .shard = set->shard,
        .shards = set->shards,
        .logs = k->logs,
        .flags = (is_last(set) ? CHECKPOINT_CLEAN : 0) |
                 (mapped_in_use(&set->mapped) ? CHECKPOINT_MAPPED : 0),
        .journal_file_bytes = set->options.journal_file_bytes,
        .journal_files = set->journal.file_count,
    };
    checkpoint_header_encode(&h, k->data);
    k->iovec = (struct iovec){k->data, padded_size(k->size)};
    assert(k->iovec.iov_len <= k->allocated);
    k->op.done = copy_written;
    set->in_flight++;
    io_write(set->io, &k->op, k->files[copy], &k->iovec, 1, 0, IO_WRITE_DURABLE);
}

static void checkpoint_release(struct log_set *set)
{
    struct checkpoint *k = &set->checkpoint;
    journal_release(&set->journal, k->sequence, k->mark);
    mapped_release(&set->mapped, k->memory_position);
}

static void copy_written(struct io_op *op, int64_t result)
{
    struct log_set *set = container_of(op, struct log_set, checkpoint.op);
    struct checkpoint *k = &set->checkpoint;
    if (result < 0) {
        io_fatal(set->io,
                 "%s/journal-%u: a checkpoint cannot be written (%s): check the disk, then "
                 "start again",
                 set->options.root, set->shard, error_text(error_from_errno(result)));
    }
    set->in_flight--;
    if (k->stage == CHECKPOINT_FIRST) {
        if (log_mutant(set, LOG_MUTANT_FREE_EARLY)) {
            checkpoint_release(set);
        }
        k->stage = CHECKPOINT_SECOND;
        copy_write(set, 1 - k->older);
        return;
    }
    assert(k->stage == CHECKPOINT_SECOND);
    k->stage = CHECKPOINT_IDLE;
    k->captures_durable = k->captures;
    k->count++;
    checkpoint_release(set);
    if (k->capacity > (1u << 20)) {
        memory_free(set->memory, k->data);
        k->data = NULL;
        k->capacity = 0;
    }
    log_set_settled(set);
    log_set_progress(set);
}

void checkpoint_step(struct log_set *set)
{
    struct checkpoint *k = &set->checkpoint;
    if (set->recovering) {
        return;
    }
    if (k->stage == CHECKPOINT_IDLE && k->wanted) {
        k->wanted = false;
        capture(set);
    }
    if (k->stage == CHECKPOINT_CAPTURED && captured_written(set)) {
        k->stage = CHECKPOINT_SYNC;
        log_sync_begin(set, synced);
    }
}

void log_set_want_checkpoint(struct log_set *set)
{
    const struct checkpoint *k = &set->checkpoint;
    if (!set->recovering && k->stage == CHECKPOINT_IDLE && !k->wanted && !k->deferred) {
        set->checkpoint.wanted = true;
        io_turn_end(set->io, &set->pump_turn);
    }
}

void log_set_checkpoint(struct log_set *set)
{
    if (!set->recovering) {
        set->checkpoint.wanted = true;
        io_turn_end(set->io, &set->pump_turn);
    }
}

/* Continuous: each time the journal enters a file, if half of it or more is live. */
void log_set_journal_turned(struct log_set *set)
{
    const struct journal *j = &set->journal;
    uint64_t whole = j->file_count * j->options->journal_file_bytes;
    uint64_t live = journal_live_bytes(j);
    uint64_t limit = j->options->checkpoint_bytes;
    if (live * 2 >= whole || live >= limit) {
        log_set_want_checkpoint(set);
    }
}
