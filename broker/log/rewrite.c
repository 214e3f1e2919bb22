/* SPDX-License-Identifier: Apache-2.0 */
#include "log/rewrite.h"

#include "base/errors.h"
#include "log/batch_fields.h"

enum {
    BLOCK_BYTES = 262144, /* written at once */
    SPACE_STEP = 4194304,
};

static struct log_set *set_of(const struct rewrite *w)
{
    return w->run.log->set;
}

/* The run's segments stay where they are, or in the list of what has replaced them. */
static void run_hold(struct rewrite *w, bool hold)
{
    struct segment *s = w->run.first;
    for (;; s = segment_after(s)) {
        assert(hold || s->readers > 0);
        s->readers += hold ? 1 : UINT32_MAX;
        if (s == w->run.last) {
            return;
        }
    }
}

int rewrite_begin(struct rewrite *w)
{
    struct replacement *run = &w->run;
    uint32_t generation = 0;
    assert(!run->fresh && w->put && w->given_up);
    for (const struct segment *s = run->first;; s = segment_after(s)) {
        generation = s->generation > generation ? s->generation : generation;
        if (s == run->last) {
            break;
        }
    }
    assert(generation < GENERATION_MAX);
    w->block =
        w->block ? w->block : memory_alloc_aligned(set_of(w)->memory, BLOCK_BYTES, IO_BLOCK_SIZE);
    struct segment *fresh = w->block ? segment_alloc(run->log, run->first->base_offset) : NULL;
    if (!fresh) {
        return ERR_NO_MEMORY;
    }
    fresh->generation = generation + 1;
    segment_become(fresh, SEGMENT_SEALED);
    fresh->readers++; /* keeps its file open */
    run->fresh = fresh;
    run_hold(w, true);
    w->block_filled = 0;
    w->size = 0;
    w->finishing = false;
    return segment_open(fresh);
}

void rewrite_drop(struct rewrite *w)
{
    struct log_set *set = set_of(w);
    struct segment *fresh = w->run.fresh;
    assert(io_op_idle(&w->op));
    io_file_close(set->io, w->directory);
    w->directory = NULL;
    memory_free(set->memory, w->block);
    w->block = NULL;
    if (!fresh) {
        return;
    }
    run_hold(w, false);
    char path[IO_PATH_MAX];
    segment_path(fresh, path, ".log");
    fresh->readers--;
    bool made = fresh->file != NULL;
    segment_free(fresh);
    w->run.fresh = NULL;
    int error = made ? trash_put(set, path, w->run.log->topic_id, w->run.log->partition) : 0;
    if (error) {
        log_warn(io_logger(set->io), "log", "cannot move %s away: %s", path, error_text(error));
    }
}

/* --- writing ---------------------------------------------------------------------------------- */

static _Noreturn void cannot_write(const struct rewrite *w, int64_t result)
{
    char path[IO_PATH_MAX];
    segment_path(w->run.fresh, path, ".log");
    io_fatal(set_of(w)->io, "%s cannot be written (%s): check the disk, then start again", path,
             error_text(error_from_errno(result)));
}

static bool failed(const struct rewrite *w, int64_t result)
{
    return result < 0 && !log_mutant(set_of(w), LOG_MUTANT_IGNORE_FAILED);
}

static void block_write(struct rewrite *w);
static void put_go(struct rewrite *w);

static void space_made(struct io_op *op, int64_t result)
{
    struct rewrite *w = container_of(op, struct rewrite, op);
    log_disk_taken(set_of(w), w->taken);
    if (result < 0) {
        w->put(w, error_from_errno(result));
        return;
    }
    w->run.fresh->allocated += w->taken;
    block_write(w);
}

/* It ends well in front of the reserve, so that appends never meet it for its sake. */
static void space_take(struct rewrite *w)
{
    struct log_set *set = set_of(w);
    struct segment *fresh = w->run.fresh;
    uint64_t most = (w->bytes_max + IO_BLOCK_SIZE - 1) / IO_BLOCK_SIZE * IO_BLOCK_SIZE;
    uint64_t left = most > fresh->allocated + BLOCK_BYTES ? most - fresh->allocated : BLOCK_BYTES;
    w->taken = left < SPACE_STEP ? left : SPACE_STEP;
    if (!log_disk_take(set, w->taken, 2 * set->options.disk_reserve_bytes)) {
        w->put(w, ERR_DISK_FULL);
        return;
    }
    w->op.done = space_made;
    io_allocate(set->io, &w->op, fresh->file, fresh->allocated, w->taken);
}

static void block_written(struct io_op *op, int64_t result)
{
    struct rewrite *w = container_of(op, struct rewrite, op);
    if (failed(w, result)) {
        cannot_write(w, result);
    }
    struct segment *fresh = w->run.fresh;
    w->moved_bytes += w->iovec.iov_len;
    fresh->written = fresh->submitted += (uint32_t)w->iovec.iov_len;
    w->block_filled = 0;
    if (w->finishing) {
        rewrite_finish(w);
    } else {
        put_go(w);
    }
}

/* Writes the block, which is filled up to a whole number of them. */
static void block_write(struct rewrite *w)
{
    struct segment *fresh = w->run.fresh;
    size_t size = (w->block_filled + IO_BLOCK_SIZE - 1) / IO_BLOCK_SIZE * IO_BLOCK_SIZE;
    if (w->given_up(w)) {
        w->put(w, ERR_CLOSED);
        return;
    }
    if (fresh->submitted + size > fresh->allocated) {
        space_take(w);
        return;
    }
    memset(w->block + w->block_filled, 0, size - w->block_filled);
    w->iovec = (struct iovec){w->block, size};
    w->op.done = block_written;
    io_write(set_of(w)->io, &w->op, fresh->file, &w->iovec, 1, fresh->submitted, 0);
}

/* Moves what is put to the block, and the block to the file whenever it is full. */
static void put_go(struct rewrite *w)
{
    struct segment *fresh = w->run.fresh;
    while (w->left > 0) {
        size_t room = BLOCK_BYTES - w->block_filled;
        size_t part = w->left < room ? w->left : room;
        if (part == 0) {
            block_write(w);
            return;
        }
        segment_sums_copy(fresh, w->block + w->block_filled, w->bytes, part);
        fresh->size += (uint32_t)part;
        w->block_filled += part;
        w->bytes += part;
        w->left -= part;
    }
    w->put(w, 0);
}

/* What is put is known to the new segment's index. */
static void index_put(struct rewrite *w)
{
    const struct log *log = w->run.log;
    struct segment *fresh = w->run.fresh;
    for (size_t at = 0; at < w->left;) {
        struct batch_fields f;
        batch_fields_read(&f, w->bytes + at);
        uint32_t size = (uint32_t)f.length + 12;
        if (index_add(&fresh->index, set_of(w)->memory, f.base_offset, fresh->size + (uint32_t)at,
                      size, f.max_timestamp, log->config.index_interval_bytes)) {
            log_debug(io_logger(set_of(w)->io), "log", "index of %s-%d stays sparse: no memory",
                      log->topic, (int)log->partition);
        }
        fresh->max_timestamp =
            f.max_timestamp > fresh->max_timestamp ? f.max_timestamp : fresh->max_timestamp;
        at += size;
    }
}

void rewrite_put(struct rewrite *w, const uint8_t *batches, size_t size)
{
    assert(w->left == 0 && w->run.fresh && !w->finishing);
    w->bytes = batches;
    w->left = size;
    w->size += (uint32_t)size;
    index_put(w);
    put_go(w);
}

/* --- the new segment takes its place ---------------------------------------------------------- */

static void replaced(struct log_control *c, int error)
{
    struct rewrite *w = container_of(c, struct rewrite, control);
    struct segment *fresh = w->run.fresh;
    if (error) {
        w->put(w, error);
        return;
    }
    run_hold(w, false);
    fresh->readers--;
    w->run.fresh = NULL;
    segment_index_finish(fresh);
    log_set_progress(set_of(w)); /* the run's files may go */
    w->put(w, 0);
}

static void replace(struct rewrite *w)
{
    w->control = (struct log_control){.kind = LOG_REPLACE, .done = replaced};
    w->control.priv.replacement = &w->run;
    log_control(w->run.log, &w->control);
}

static void name_synced(struct io_op *op, int64_t result)
{
    struct rewrite *w = container_of(op, struct rewrite, op);
    if (failed(w, result)) {
        cannot_write(w, result);
    }
    io_file_close(set_of(w)->io, w->directory);
    w->directory = NULL;
    replace(w);
}

static void file_synced(struct io_op *op, int64_t result)
{
    struct rewrite *w = container_of(op, struct rewrite, op);
    if (failed(w, result)) {
        cannot_write(w, result);
    }
    char path[IO_PATH_MAX];
    log_directory(w->run.log, path);
    int error = io_file_open(set_of(w)->io, &w->directory, path, IO_OPEN_DIRECTORY);
    if (error < 0) {
        w->put(w, error_from_errno(error));
        return;
    }
    w->op.done = name_synced;
    io_sync(set_of(w)->io, &w->op, w->directory);
}

static void file_cut(struct io_op *op, int64_t result)
{
    struct rewrite *w = container_of(op, struct rewrite, op);
    if (failed(w, result)) {
        cannot_write(w, result);
    }
    w->run.fresh->allocated = w->run.fresh->size;
    if (log_mutant(set_of(w), LOG_MUTANT_REPLACE_UNSYNCED)) {
        replace(w);
        return;
    }
    w->op.done = file_synced;
    io_sync(set_of(w)->io, &w->op, w->run.fresh->file);
}

void rewrite_finish(struct rewrite *w)
{
    struct segment *fresh = w->run.fresh;
    assert(fresh->size > 0 && w->left == 0);
    w->finishing = true;
    fresh->gaps = w->gaps;
    if (w->block_filled > 0) {
        block_write(w);
        return;
    }
    fresh->written = fresh->submitted = fresh->size;
    w->op.done = file_cut;
    io_truncate(set_of(w)->io, &w->op, fresh->file, fresh->size);
}
