/* SPDX-License-Identifier: Apache-2.0 */

/* A group of a pass: what is kept of a run of segments, in one new segment.
 *
 *     group_choose -> group_begin -> group_emit, ... -> group_finish: last block -> cut to size -> sync
 *         -> sync of its name -> LOG_REPLACE (replace.c) -> replaced -> the next group
 *
 * Until the REPLACE is gathered nobody but the pass knows the new file, and group_drop() takes it away
 * again. Space is taken in steps before it is written, and never near the disk's reserve. The index and
 * the sums are made on the way. */
#include "log/clean_private.h"

#include "base/errors.h"
#include "log/batch_fields.h"

#include <stdlib.h>

enum { SPACE_STEP = 4194304 };

static void emit(struct cleaning *p);

/* --- the run ---------------------------------------------------------------------------------- */

/* The run's segments stay where they are, or in the list of what has replaced them. */
static void group_hold(struct cleaning *p, bool hold)
{
    struct segment *s = p->group.first;
    for (;; s = segment_after(s)) {
        assert(hold || s->readers > 0);
        s->readers += hold ? 1 : UINT32_MAX;
        if (s == p->group.last) {
            return;
        }
    }
}

/* The new segment is of no use: its file goes. */
void group_drop(struct cleaning *p)
{
    struct segment *fresh = p->group.fresh;
    if (!fresh) {
        return;
    }
    group_hold(p, false);
    char path[IO_PATH_MAX];
    segment_path(fresh, path, ".log");
    fresh->readers--;
    bool made = fresh->file != NULL;
    segment_free(fresh);
    int error = made ? trash_put(set_of(p), path, p->log->topic_id, p->log->partition) : 0;
    if (error) {
        log_warn(io_logger(set_of(p)->io), "log", "cannot move %s away: %s", path,
                 error_text(error));
    }
    p->group.fresh = NULL;
}

/* Whether a group may end or go on with the segment. */
static bool takes_part(const struct cleaning *p, const struct segment *s)
{
    return s->state == SEGMENT_SEALED && segment_end_offset(s) <= p->limit_offset &&
           s->base_offset < p->map.end_offset && s->generation < GENERATION_MAX;
}

static bool fits(const struct cleaning *p, const struct segment *first, const struct segment *s,
                 uint64_t bytes)
{
    uint64_t most = p->log->config.segment_bytes;
    most = most < INT32_MAX ? most : INT32_MAX;
    return takes_part(p, s) && bytes + s->size <= most &&
           segment_end_offset(s) - first->base_offset <= INT32_MAX;
}

/* COPY: the next run. False: there is none. */
bool group_choose(struct cleaning *p)
{
    struct log *log = p->log;
    struct segment *first = segment_at(log, p->at);
    if (!first || !takes_part(p, first)) {
        return false;
    }
    uint64_t bytes = first->size;
    uint32_t generation = first->generation;
    struct segment *last = first;
    while (last->link.next != &log->segments && fits(p, first, segment_after(last), bytes)) {
        last = segment_after(last);
        bytes += last->size;
        generation = last->generation > generation ? last->generation : generation;
    }
    p->group = (struct replacement){.log = log,
                                    .first = first,
                                    .last = last,
                                    .end_offset = segment_end_offset(last),
                                    .key_offset = p->map.end_offset,
                                    .clean_offset = log->clean_offset,
                                    .now_ms = p->now_ms};
    if (last->link.next == &log->segments || !takes_part(p, segment_after(last))) {
        p->group.clean_offset = p->map.end_offset; /* the pass ends with it */
    }
    p->group_bytes = bytes;
    p->group.fresh = segment_alloc(log, first->base_offset);
    if (p->group.fresh) {
        p->group.fresh->generation = generation + 1;
    }
    return true;
}

static int compare_offsets(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* The producers' last batches as they are now: one that is the last no longer is kept as well. */
static int note_producers(struct cleaning *p)
{
    struct memory *m = set_of(p)->memory;
    uint32_t count = producers_count(p->log->producers);
    memory_free(m, p->kept_last);
    p->kept_last = memory_alloc(m, (count + 1) * sizeof *p->kept_last);
    if (!p->kept_last) {
        return ERR_NO_MEMORY;
    }
    count = producers_newest_below(p->log->producers, p->log->high_watermark, p->kept_last);
    qsort(p->kept_last, count, sizeof *p->kept_last, compare_offsets);
    p->work.kept_last = p->kept_last;
    p->work.kept_count = count;
    return 0;
}

/* Where epochs begin, as far as is known now: what compaction reads is older than all that may change. */
static int note_epochs(struct cleaning *p)
{
    struct memory *m = set_of(p)->memory;
    const struct epochs *e = &p->log->epochs;
    memory_free(m, p->epoch_starts);
    p->epoch_starts = memory_alloc(m, (e->count + 1) * sizeof *p->epoch_starts);
    if (!p->epoch_starts) {
        return ERR_NO_MEMORY;
    }
    for (uint32_t i = 1; i < e->count; i++) {
        p->epoch_starts[i - 1] = e->entries[i].start_offset;
    }
    p->work.epoch_starts = p->epoch_starts;
    p->work.epoch_count = e->count ? e->count - 1 : 0;
    return 0;
}

int group_begin(struct cleaning *p)
{
    struct segment *fresh = p->group.fresh;
    if (!fresh) {
        return ERR_NO_MEMORY;
    }
    segment_become(fresh, SEGMENT_SEALED);
    fresh->readers++; /* keeps its file open */
    group_hold(p, true);
    p->block_filled = 0;
    p->finishing = false;
    p->work.range_end = p->group.end_offset;
    int error = note_producers(p);
    error = error ? error : note_epochs(p);
    error = error ? error : segment_open(fresh);
    if (!error) {
        source_take(p, p->group.first);
    }
    return error;
}

/* --- writing ---------------------------------------------------------------------------------- */

static _Noreturn void cannot_write(const struct cleaning *p, int64_t result)
{
    char path[IO_PATH_MAX];
    segment_path(p->group.fresh, path, ".log");
    io_fatal(set_of(p)->io, "%s cannot be written (%s): check the disk, then start again", path,
             error_text(error_from_errno(result)));
}

static bool failed(const struct cleaning *p, int64_t result)
{
    return result < 0 && !log_mutant(set_of(p), LOG_MUTANT_IGNORE_FAILED);
}

static void block_write(struct cleaning *p);

static void space_made(struct io_op *op, int64_t result)
{
    struct cleaning *p = container_of(op, struct cleaning, op);
    log_disk_taken(set_of(p), p->taken);
    if (result < 0) {
        pass_end(p, error_from_errno(result));
        return;
    }
    p->group.fresh->allocated += p->taken;
    block_write(p);
}

/* Compaction ends well in front of the reserve, so that appends never meet it for its sake. */
static void space_take(struct cleaning *p)
{
    struct log_set *set = set_of(p);
    struct segment *fresh = p->group.fresh;
    uint64_t left = 0;
    for (const struct segment *s = p->group.first;; s = segment_after(s)) {
        left += (s->size + IO_BLOCK_SIZE - 1) / IO_BLOCK_SIZE * IO_BLOCK_SIZE;
        if (s == p->group.last) {
            break;
        }
    }
    left =
        left > fresh->allocated + CLEAN_BLOCK_BYTES ? left - fresh->allocated : CLEAN_BLOCK_BYTES;
    p->taken = left < SPACE_STEP ? left : SPACE_STEP;
    if (!log_disk_take(set, p->taken, 2 * set->options.disk_reserve_bytes)) {
        pass_end(p, ERR_DISK_FULL);
        return;
    }
    p->op.done = space_made;
    io_allocate(set->io, &p->op, fresh->file, fresh->allocated, p->taken);
}

static void block_written(struct io_op *op, int64_t result)
{
    struct cleaning *p = container_of(op, struct cleaning, op);
    if (failed(p, result)) {
        cannot_write(p, result);
    }
    struct segment *fresh = p->group.fresh;
    p->moved_bytes += p->iovec.iov_len;
    fresh->written = fresh->submitted += (uint32_t)p->iovec.iov_len;
    p->block_filled = 0;
    if (p->finishing) {
        group_finish(p);
    } else {
        emit(p);
    }
}

/* Writes the block, which is filled up to a whole number of them. */
static void block_write(struct cleaning *p)
{
    struct segment *fresh = p->group.fresh;
    size_t size = (p->block_filled + IO_BLOCK_SIZE - 1) / IO_BLOCK_SIZE * IO_BLOCK_SIZE;
    if (pass_given_up(p)) {
        pass_end(p, ERR_CLOSED);
        return;
    }
    if (fresh->submitted + size > fresh->allocated) {
        space_take(p);
        return;
    }
    memset(p->block + p->block_filled, 0, size - p->block_filled);
    p->iovec = (struct iovec){p->block, size};
    p->op.done = block_written;
    io_write(set_of(p)->io, &p->op, fresh->file, &p->iovec, 1, fresh->submitted, 0);
}

/* Moves the output to the block, and the block to the file whenever it is full. */
static void emit(struct cleaning *p)
{
    struct segment *fresh = p->group.fresh;
    while (p->out_done < p->work.out_size) {
        size_t room = CLEAN_BLOCK_BYTES - p->block_filled, left = p->work.out_size - p->out_done;
        size_t part = left < room ? left : room;
        if (part == 0) {
            block_write(p);
            return;
        }
        segment_sums_copy(fresh, p->block + p->block_filled, p->work.out + p->out_done, part);
        fresh->size += (uint32_t)part;
        p->block_filled += part;
        p->out_done += part;
    }
    worked_off(p);
}

/* What was copied is known to the new segment's index. */
static void index_output(struct cleaning *p)
{
    struct segment *fresh = p->group.fresh;
    for (size_t at = 0; at < p->work.out_size;) {
        struct batch_fields f;
        batch_fields_read(&f, p->work.out + at);
        uint32_t size = (uint32_t)f.length + 12;
        if (index_add(&fresh->index, set_of(p)->memory, f.base_offset, fresh->size + (uint32_t)at,
                      size, f.max_timestamp, p->log->config.index_interval_bytes)) {
            log_debug(io_logger(set_of(p)->io), "log", "index of %s-%d stays sparse: no memory",
                      p->log->topic, (int)p->log->partition);
        }
        fresh->max_timestamp =
            f.max_timestamp > fresh->max_timestamp ? f.max_timestamp : fresh->max_timestamp;
        at += size;
    }
}

void group_emit(struct cleaning *p)
{
    index_output(p);
    p->out_done = 0;
    emit(p);
}

/* --- the new segment takes its place ---------------------------------------------------------- */

static void replaced(struct log_control *c, int error)
{
    struct cleaning *p = container_of(c, struct cleaning, control);
    struct segment *fresh = p->group.fresh;
    if (error) {
        pass_end(p, error);
        return;
    }
    group_hold(p, false);
    fresh->readers--;
    p->group.fresh = NULL;
    p->groups++;
    p->after_bytes += fresh->size;
    p->before_bytes += p->group_bytes;
    set_of(p)->cleaned_bytes_before += p->group_bytes;
    set_of(p)->cleaned_bytes_after += fresh->size;
    p->at = p->group.end_offset;
    segment_index_finish(fresh);
    log_set_progress(set_of(p)); /* the run's files may go */
    pass_next(p);
}

static void replace(struct cleaning *p)
{
    p->control = (struct log_control){.kind = LOG_REPLACE, .done = replaced};
    p->control.priv.replacement = &p->group;
    log_control(p->log, &p->control);
}

static void name_synced(struct io_op *op, int64_t result)
{
    struct cleaning *p = container_of(op, struct cleaning, op);
    if (failed(p, result)) {
        cannot_write(p, result);
    }
    io_file_close(set_of(p)->io, p->directory);
    p->directory = NULL;
    replace(p);
}

static void file_synced(struct io_op *op, int64_t result)
{
    struct cleaning *p = container_of(op, struct cleaning, op);
    if (failed(p, result)) {
        cannot_write(p, result);
    }
    char path[IO_PATH_MAX];
    log_directory(p->log, path);
    int error = io_file_open(set_of(p)->io, &p->directory, path, IO_OPEN_DIRECTORY);
    if (error < 0) {
        pass_end(p, error_from_errno(error));
        return;
    }
    p->op.done = name_synced;
    io_sync(set_of(p)->io, &p->op, p->directory);
}

static void file_cut(struct io_op *op, int64_t result)
{
    struct cleaning *p = container_of(op, struct cleaning, op);
    if (failed(p, result)) {
        cannot_write(p, result);
    }
    p->group.fresh->allocated = p->group.fresh->size;
    if (log_mutant(set_of(p), LOG_MUTANT_REPLACE_UNSYNCED)) {
        replace(p);
        return;
    }
    p->op.done = file_synced;
    io_sync(set_of(p)->io, &p->op, p->group.fresh->file);
}

void group_finish(struct cleaning *p)
{
    struct segment *fresh = p->group.fresh;
    assert(fresh->size > 0); /* the last batch of a range is kept, empty or not */
    p->finishing = true;
    if (p->block_filled > 0) {
        block_write(p);
        return;
    }
    fresh->written = fresh->submitted = fresh->size;
    p->op.done = file_cut;
    io_truncate(set_of(p)->io, &p->op, fresh->file, fresh->size);
}
