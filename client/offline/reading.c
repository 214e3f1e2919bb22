/* SPDX-License-Identifier: Apache-2.0 */

/* Blocking reads: each submits one operation to the seam and turns its loop until that is done. */
#include "log/cold.h"
#include "offline/offline_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { TURN_NS = 100000000, WORKERS = 2 };

static const size_t MEMORY_BUDGET = (size_t)4 << 30;

int offline_open(struct offline *o, const char *directory, char *why)
{
    char reason[IO_REASON_SIZE];
    const struct io_options options = {
        .shards = 1, .workers = WORKERS, .memory_bytes = MEMORY_BUDGET};
    *o = (struct offline){.directory = directory, .why = why};
    if (io_group_open_epoll(&o->group, &options, reason) < 0) {
        o->group = NULL;
        return offline_fail(o, ERR_NO_MEMORY, "cannot begin to read: %s", reason);
    }
    o->io = io_group_shard(o->group, 0);
    o->memory = io_memory(o->io);
    o->cold = cold_reader_new(o->io, &(struct cold_options){0});
    if (!o->cold) {
        return offline_fail(o, ERR_NO_MEMORY, "out of memory");
    }
    return 0;
}

void offline_close(struct offline *o)
{
    cold_reader_free(o->cold);
    if (o->group) {
        io_group_close(o->group);
    }
    o->group = NULL;
}

int offline_fail(struct offline *o, int error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(o->why, OFFLINE_WHY_SIZE, format, arguments);
    va_end(arguments);
    return error;
}

void offline_tell(struct offline *o, enum offline_severity severity, const char *file,
                  int64_t position, const char *advice, const char *format, ...)
{
    char what[320];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    const struct offline_finding finding = {severity, file, position, what, advice};
    o->counts.notes += severity == OFFLINE_NOTE;
    o->counts.damages += severity == OFFLINE_DAMAGE;
    o->verify->found(o->watch->context, &finding);
}

int offline_advance(struct offline *o, uint64_t bytes)
{
    o->bytes += bytes;
    if (o->watch->progress) {
        o->watch->progress(o->watch->context, o->bytes, o->total);
    }
    return o->watch->stop && o->watch->stop(o->watch->context)
               ? offline_fail(o, ERR_INTERRUPTED, "interrupted")
               : 0;
}

int offline_path(const struct offline *o, char out[static IO_PATH_MAX], const char *name)
{
    const char *between = strcmp(o->directory, "/") == 0 ? "" : "/";
    int size = *name ? snprintf(out, IO_PATH_MAX, "%s%s%s", o->directory, between, name)
                     : snprintf(out, IO_PATH_MAX, "%s", o->directory);
    return size > 0 && size < IO_PATH_MAX ? 0 : ERR_INVALID_ARGUMENT;
}

static int path_or_fail(struct offline *o, char out[static IO_PATH_MAX], const char *name)
{
    int error = offline_path(o, out, name);
    return error ? offline_fail(o, error, "the path %s/%s is too long", o->directory, name) : 0;
}

int offline_file(struct offline *o, struct io_file **out, const char *name)
{
    char path[IO_PATH_MAX];
    int error = path_or_fail(o, path, name);
    if (error) {
        return error;
    }
    int opened = io_file_open(o->io, out, path, IO_OPEN_READ);
    error = opened < 0 ? error_from_errno(opened) : 0;
    if (error && error != ERR_NOT_FOUND) {
        return offline_fail(o, error, "%s cannot be opened: %s", path, strerror(-opened));
    }
    return error;
}

struct waiting {
    struct io_op op;
    int64_t result;
    bool over;
};

static void waiting_done(struct io_op *op, int64_t result)
{
    struct waiting *w = container_of(op, struct waiting, op);
    w->result = result;
    w->over = true;
}

void offline_wait(struct offline *o, const bool *over)
{
    while (!*over) {
        io_run_once(o->io, TURN_NS);
    }
}

void offline_pause(struct offline *o, unsigned ms)
{
    struct waiting w = {.op.done = waiting_done};
    io_timer(o->io, &w.op, io_now(o->io) + (uint64_t)ms * 1000000);
    offline_wait(o, &w.over);
}

int64_t offline_read(struct offline *o, struct io_file *file, const char *name, void *buffer,
                     size_t size, uint64_t position)
{
    size_t filled = 0;
    while (filled < size) {
        struct waiting w = {.op.done = waiting_done};
        io_read(o->io, &w.op, file, (uint8_t *)buffer + filled, size - filled, position + filled);
        offline_wait(o, &w.over);
        if (w.result < 0) {
            int error = error_from_errno(w.result);
            return offline_fail(o, error, "%s/%s cannot be read at position %llu: %s", o->directory,
                                name, (unsigned long long)(position + filled), error_text(error));
        }
        if (w.result == 0) {
            break;
        }
        filled += (size_t)w.result;
    }
    return (int64_t)filled;
}

int offline_load(struct offline *o, struct bytes *out, const char *name, size_t limit)
{
    struct io_file *file;
    int error = offline_file(o, &file, name);
    if (error) {
        return error;
    }
    int64_t size = io_file_size(o->io, file);
    uint8_t *data = NULL;
    if (size < 0) {
        error = offline_fail(o, error_from_errno(size), "%s/%s has no size", o->directory, name);
    } else if ((uint64_t)size > limit) {
        error = ERR_TOO_LARGE;
    } else {
        data = memory_alloc_aligned(o->memory, (size_t)size + 1, MEMORY_ALIGN);
        error = data ? 0 : offline_fail(o, ERR_NO_MEMORY, "no memory to read %s", name);
    }
    int64_t got = error ? error : offline_read(o, file, name, data, (size_t)size, 0);
    io_file_close(o->io, file);
    if (got < 0) {
        memory_free(o->memory, data);
        return (int)got;
    }
    *out = bytes_of(data, (size_t)got);
    return 0;
}

/* --- names ------------------------------------------------------------------------------------- */

static void name_found(void *context, const char *name, bool directory)
{
    struct offline_names *n = context;
    if (strlen(name) >= OFFLINE_NAME_MAX || n->failed) {
        return;
    }
    if (n->count == n->capacity) {
        size_t capacity = n->capacity ? n->capacity * 2 : 64;
        void *grown = memory_resize(n->memory, n->names, capacity * sizeof *n->names);
        if (!grown) {
            n->failed = true;
            return;
        }
        n->names = grown;
        n->capacity = capacity;
    }
    struct offline_name *one = &n->names[n->count++];
    snprintf(one->text, sizeof one->text, "%s", name);
    one->directory = directory;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct offline_name *)a)->text, ((const struct offline_name *)b)->text);
}

int offline_list(struct offline *o, struct offline_names *out, const char *name)
{
    char path[IO_PATH_MAX];
    *out = (struct offline_names){.memory = o->memory};
    int error = path_or_fail(o, path, name);
    if (error) {
        return error;
    }
    int listed = io_list(o->io, path, name_found, out);
    error = out->failed ? ERR_NO_MEMORY : listed < 0 ? error_from_errno(listed) : 0;
    if (error) {
        offline_names_free(out);
        return error == ERR_NOT_FOUND
                   ? error
                   : offline_fail(o, error, "%s cannot be listed: %s", path,
                                  listed < 0 ? strerror(-listed) : error_text(error));
    }
    if (out->count) {
        qsort(out->names, out->count, sizeof *out->names, compare_names);
    }
    return 0;
}

void offline_names_free(struct offline_names *n)
{
    memory_free(n->memory, n->names);
    n->names = NULL;
    n->count = n->capacity = 0;
}
