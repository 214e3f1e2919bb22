/* SPDX-License-Identifier: Apache-2.0 */

/* Recovery: log_recover() from its call to its done().
 *
 *     recovery_load -> recovery_loaded -> recovery_replay -> recovery_replayed -> recovery_found
 *         -> recovery_founded -> done(0)          any step -> recovery_end(error) -> done(error)
 *
 * Until recovery_replay() nothing is changed but what is synced: a root that is found damaged is
 * left as it is, unless the operator has accepted the loss. The set that replays is dropped at the
 * end; the shards open theirs from the founding checkpoint that it left. */
#include "base/errors.h"
#include "log/recovery_private.h"

#include <stdarg.h>
#include <stdio.h>

static void recovery_op_done(struct io_op *op, int64_t result)
{
    struct recovery *r = container_of(op, struct recovery, op);
    r->result = result;
    r->then(r);
}

void recovery_then(struct recovery *r, void (*then)(struct recovery *r))
{
    assert(io_op_idle(&r->op));
    r->op.done = recovery_op_done;
    r->then = then;
}

bool recovery_buffer(struct recovery *r, uint64_t size)
{
    if (r->buffer_size >= size) {
        return true;
    }
    memory_free(r->memory, r->buffer);
    r->buffer = memory_alloc_aligned(r->memory, size, IO_BLOCK_SIZE);
    r->buffer_size = r->buffer ? size : 0;
    return r->buffer != NULL;
}

static void source_free(struct recovery *r, struct recovery_source *s)
{
    memory_free(r->memory, s->checkpoint);
    for (unsigned copy = 0; copy < 2; copy++) {
        io_file_close(r->io, s->checkpoint_files[copy]);
    }
    for (unsigned i = 0; i < s->file_count; i++) {
        io_file_close(r->io, s->files[i]);
    }
    io_file_close(r->io, s->mapped_file);
    if (s->scan.memory) {
        scan_deinit(&s->scan);
        scan_deinit(&s->mapped_scan);
    }
}

static void recovery_free(struct recovery *r)
{
    for (unsigned i = 0; i < r->source_count; i++) {
        source_free(r, &r->sources[i]);
    }
    struct list *node;
    while ((node = list_pop(&r->directories))) {
        memory_free(r->memory, container_of(node, struct recovery_directory, link));
    }
    map_deinit(&r->directories_by_id);
    io_file_close(r->io, r->file);
    io_file_close(r->io, r->directory);
    memory_free(r->memory, r->buffer);
    memory_free(r->memory, r->checkpoint);
    memory_free(r->memory, r->sources);
    memory_free(r->memory, r);
}

/* Frees when the set has nothing in flight: trash, writes behind of a recovery that failed. */
static void drop_set(struct recovery *r)
{
    struct log_set *set = r->set;
    if (set && set->in_flight) {
        return;
    }
    if (set) {
        log_set_free(set);
        r->set = NULL;
    }
    struct log_recover *request = r->request;
    int error = r->error;
    recovery_free(r);
    request->done(request, error);
}

void recovery_end(struct recovery *r, int error)
{
    assert(!r->ended);
    r->ended = true;
    r->error = error;
    if (r->set) {
        trash_abandon(r->set);
        log_set_progress(r->set);
    } else {
        drop_set(r);
    }
}

void recovery_damage(struct recovery *r, const char *format, ...)
{
    struct log_recovery_summary *summary = &r->request->summary;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(summary->damage, sizeof summary->damage, format, arguments);
    va_end(arguments);
    summary->remedy = "nothing was changed: restore the file from a copy, or start once with "
                      "--accept-loss to go on without what is missing";
    if (r->options.accept_loss) {
        log_warn(io_logger(r->io), "log", "loss accepted: %s", summary->damage);
    } else {
        recovery_end(r, ERR_DAMAGED);
    }
}

bool recovery_lost(struct recovery *r, const char *what)
{
    if (!r->options.checkpoint_needed) {
        recovery_damage(r, "%s", what);
        return r->ended;
    }
    struct log_recovery_summary *summary = &r->request->summary;
    snprintf(summary->damage, sizeof summary->damage, "%s", what);
    summary->remedy = "nothing was changed: restore the file from a copy of the directory";
    recovery_end(r, ERR_DAMAGED);
    return true;
}

static void set_progress(struct log_set *set)
{
    struct recovery *r = set->progress_context;
    if (r->ended) {
        drop_set(r);
    } else if (r->finishing) {
        recovery_finish_progress(r);
    } else {
        recovery_progress(r);
    }
}

void recovery_loaded(struct recovery *r)
{
    recovery_replay(r);
}

void recovery_replayed(struct recovery *r)
{
#ifdef LEAT_SIM
    if (log_mutant(r->set, LOG_MUTANT_BELIEVE_TAIL)) {
        recovery_believe_tails(r);
        return;
    }
#endif
    recovery_found(r);
}

void recovery_founded(struct recovery *r)
{
    struct log_recovery *result = memory_alloc(r->memory, sizeof *result);
    if (!result) {
        recovery_end(r, ERR_NO_MEMORY);
        return;
    }
    *result = (struct log_recovery){
        .storage_id = r->storage_id,
        .life = r->life + !log_mutant(r->set, LOG_MUTANT_NO_EMPTY),
        .next_sequence = r->next_sequence,
        .next_memory_sequence = r->next_memory_sequence,
        .shards = r->shards,
        .data = r->checkpoint,
        .size = r->checkpoint_size,
        .logs = r->checkpoint_logs,
    };
    r->checkpoint = NULL;
    r->request->summary.logs = result->logs;
    r->request->result = result;
    recovery_end(r, 0);
}

void log_recovery_free(struct io *io, struct log_recovery *recovery)
{
    if (recovery) {
        memory_free(io_memory(io), recovery->data);
        memory_free(io_memory(io), recovery);
    }
}

static int make_directories(struct io *io, const char *root)
{
    static const char *const names[] = {"topics", "trash", "aside"};
    for (unsigned i = 0; i < array_size(names); i++) {
        char path[IO_PATH_MAX];
        int size = snprintf(path, sizeof path, "%s/%s", root, names[i]);
        if (size <= 0 || (size_t)size >= sizeof path) {
            return ERR_INVALID_ARGUMENT;
        }
        int error = io_mkdir(io, path);
        if (error < 0 && error_from_errno(error) != ERR_EXISTS) {
            return error_from_errno(error);
        }
    }
    return 0;
}

static void begin(struct io_op *op, int64_t result)
{
    struct recovery *r = container_of(op, struct recovery, op);
    if (r->error) {
        recovery_end(r, r->error);
    } else {
        recovery_load(r);
    }
}

void log_recover(struct io *io, struct log_recover *request, const struct log_options *options,
                 unsigned shards)
{
    assert(request->done && options->known && shards > 0 && shards <= RECOVERY_SHARDS_MAX);
    struct memory *m = io_memory(io);
    memset(&request->summary, 0, sizeof request->summary);
    request->result = NULL;
    struct recovery *r = memory_alloc(m, sizeof *r);
    if (!r) {
        io_fatal(io, "no memory to recover %s: raise limits.memory", options->root);
    }
    r->io = io;
    r->request = request;
    r->options = *options;
    log_options_defaults(&r->options);
    r->options.producers_max *= shards; /* the logs of all of them are in one set */
    r->shards = shards;
    r->memory = m;
    list_init(&r->directories);
    map_init(&r->directories_by_id, m, 1, 1u << 20);
    r->sources = memory_alloc(m, RECOVERY_SHARDS_MAX * sizeof *r->sources);
    r->error = r->sources ? make_directories(io, options->root) : ERR_NO_MEMORY;
    if (!r->error) {
        r->set = log_set_new(io, &r->options, shards);
        r->error = r->set ? 0 : ERR_NO_MEMORY;
    }
    if (r->set) {
        r->set->recovering = true;
        r->set->progress = set_progress;
        r->set->progress_context = r;
    }
    r->op.done = begin;
    io_timer(io, &r->op, io_now(io)); /* done() never comes from inside this call */
}
