/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/files.h"

#include <errno.h>
#include <stdio.h>

int file_path(char out[static IO_PATH_MAX], const char *directory, const char *name)
{
    int written = snprintf(out, IO_PATH_MAX, "%s/%s", directory, name);
    return written < 0 || written >= IO_PATH_MAX ? ERR_TOO_LARGE : 0;
}

int file_make_directory(struct io *io, const char *path)
{
    int error = io_mkdir(io, path);
    if (error == 0 || error == -EEXIST) {
        return 0;
    }
    log_error(io_logger(io), "files", "cannot make directory path=%s: %s", path,
              error_text(error_from_errno(error)));
    return error_from_errno(error);
}

/* The directory that `path` stands in. */
static void parent_of(const char *path, char out[static IO_PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    if (!slash) {
        snprintf(out, IO_PATH_MAX, ".");
    } else if (slash == path) {
        snprintf(out, IO_PATH_MAX, "/");
    } else {
        snprintf(out, IO_PATH_MAX, "%.*s", (int)(slash - path), path);
    }
}

/* Completions never come from inside the call that asked, so early ends go over a timer. */
static void finish_later(struct io *io, struct io_op *op, void (*done)(struct io_op *, int64_t))
{
    op->done = done;
    io_timer(io, op, io_now(io));
}

/* --- loading ---------------------------------------------------------------------------------- */

static void load_end(struct file_load *l, int error)
{
    struct io *io = l->priv.io;
    io_file_close(io, l->priv.file);
    if (error) {
        memory_free(io_memory(io), l->data);
        l->data = NULL;
        l->size = 0;
    }
    l->done(l, error);
}

static void load_failed(struct io_op *op, int64_t result)
{
    struct file_load *l = container_of(op, struct file_load, priv.op);
    load_end(l, l->priv.error);
}

static void file_load_fail(struct file_load *l, int error)
{
    l->priv.error = error;
    finish_later(l->priv.io, &l->priv.op, load_failed);
}

static void load_read(struct io_op *op, int64_t result)
{
    struct file_load *l = container_of(op, struct file_load, priv.op);
    if (result < 0) {
        load_end(l, ERR_DISK_FAILED);
        return;
    }
    l->size += (size_t)result;
    assert(l->size <= l->priv.capacity);
    if (result == 0 || l->size == l->priv.capacity) {
        load_end(l, 0);
        return;
    }
    io_read(l->priv.io, op, l->priv.file, l->data + l->size, l->priv.capacity - l->size, l->size);
}

void file_load(struct io *io, struct file_load *l, const char *path, size_t limit)
{
    l->data = NULL;
    l->size = 0;
    memset(&l->priv, 0, sizeof l->priv);
    l->priv.io = io;
    int error = io_file_open(io, &l->priv.file, path, IO_OPEN_READ);
    if (error) {
        l->priv.file = NULL;
        file_load_fail(l, error == -ENOENT ? ERR_NOT_FOUND : ERR_DISK_FAILED);
        return;
    }
    int64_t size = io_file_size(io, l->priv.file);
    if (size < 0 || (uint64_t)size > limit) {
        file_load_fail(l, size < 0 ? ERR_DISK_FAILED : ERR_TOO_LARGE);
        return;
    }
    l->data = memory_alloc(io_memory(io), (size_t)size + 1);
    if (!l->data) {
        file_load_fail(l, ERR_NO_MEMORY);
        return;
    }
    l->priv.capacity = (size_t)size;
    l->priv.op.done = load_read;
    if (size == 0) {
        finish_later(io, &l->priv.op, load_read);
        return;
    }
    io_read(io, &l->priv.op, l->priv.file, l->data, (size_t)size, 0);
}

/* --- storing ---------------------------------------------------------------------------------- */

static void store_end(struct file_store *s)
{
    struct io_file *file = s->priv.file;
    s->priv.file = NULL;
    io_file_close(s->priv.io, file);
    s->done(s, s->priv.error);
}

static void store_ended(struct io_op *op, int64_t result)
{
    store_end(container_of(op, struct file_store, priv.op));
}

static bool store_refused(struct file_store *s, int64_t result, const char *what)
{
    if (result == -ENOSPC || result == -EDQUOT) {
        s->priv.error = ERR_DISK_FULL;
        return true;
    }
    if (result < 0) {
        io_fatal(s->priv.io,
                 "%s of %s failed (%s): nothing can be said of the file; check the disk", what,
                 s->priv.temporary, strerror((int)-result));
    }
    return false;
}

static void store_named(struct io_op *op, int64_t result)
{
    struct file_store *s = container_of(op, struct file_store, priv.op);
    if (result < 0) {
        io_fatal(s->priv.io, "sync of the directory of %s failed (%s); check the disk",
                 s->priv.path, strerror((int)-result));
    }
    store_end(s);
}

static void store_synced(struct io_op *op, int64_t result)
{
    struct file_store *s = container_of(op, struct file_store, priv.op);
    struct io *io = s->priv.io;
    char parent[IO_PATH_MAX];
    if (store_refused(s, result, "sync")) {
        store_end(s);
        return;
    }
    io_file_close(io, s->priv.file);
    s->priv.file = NULL;
    parent_of(s->priv.path, parent);
    int error = io_rename(io, s->priv.temporary, s->priv.path);
    if (!error) {
        error = io_file_open(io, &s->priv.file, parent, IO_OPEN_READ | IO_OPEN_DIRECTORY);
    }
    if (error) {
        io_fatal(io, "renaming %s failed (%s); check the disk", s->priv.temporary,
                 strerror(-error));
    }
    op->done = store_named;
    io_sync(io, op, s->priv.file);
}

static void store_written(struct io_op *op, int64_t result)
{
    struct file_store *s = container_of(op, struct file_store, priv.op);
    if (store_refused(s, result, "write")) {
        store_end(s);
        return;
    }
    op->done = store_synced;
    io_sync(s->priv.io, op, s->priv.file);
}

static void store_truncated(struct io_op *op, int64_t result)
{
    struct file_store *s = container_of(op, struct file_store, priv.op);
    if (store_refused(s, result, "truncation")) {
        store_end(s);
        return;
    }
    op->done = store_written;
    io_write(s->priv.io, op, s->priv.file, &s->priv.iovec, 1, 0, 0);
}

void file_store(struct io *io, struct file_store *s, const char *path, const void *data,
                size_t size)
{
    memset(&s->priv, 0, sizeof s->priv);
    s->priv.io = io;
    s->priv.iovec = (struct iovec){(void *)data, size};
    int path_size = snprintf(s->priv.path, IO_PATH_MAX, "%s", path);
    int temporary_size = snprintf(s->priv.temporary, IO_PATH_MAX, "%s.tmp", path);
    int error = -ENAMETOOLONG;
    if (path_size < IO_PATH_MAX && temporary_size < IO_PATH_MAX) {
        error = io_file_open(io, &s->priv.file, s->priv.temporary, IO_OPEN_WRITE | IO_OPEN_CREATE);
    }
    if (error) {
        s->priv.file = NULL;
        s->priv.error = error == -ENOSPC ? ERR_DISK_FULL : ERR_DISK_FAILED;
        log_error(io_logger(io), "files", "cannot write path=%s: %s", s->priv.temporary,
                  strerror(-error));
        finish_later(io, &s->priv.op, store_ended);
        return;
    }
    /* What an earlier attempt left there may be longer. */
    s->priv.op.done = store_truncated;
    io_truncate(io, &s->priv.op, s->priv.file, 0);
}

/* --- directories and removal ------------------------------------------------------------------ */

static void directory_synced(struct io_op *op, int64_t result)
{
    struct file_sync *s = container_of(op, struct file_sync, priv.op);
    if (result < 0) {
        io_fatal(s->priv.io, "sync of a directory failed (%s); check the disk",
                 strerror((int)-result));
    }
    io_file_close(s->priv.io, s->priv.file);
    s->done(s, 0);
}

static void directory_failed(struct io_op *op, int64_t result)
{
    struct file_sync *s = container_of(op, struct file_sync, priv.op);
    s->done(s, ERR_DISK_FAILED);
}

void file_sync_directory(struct io *io, struct file_sync *s, const char *path)
{
    memset(&s->priv, 0, sizeof s->priv);
    s->priv.io = io;
    int error = io_file_open(io, &s->priv.file, path, IO_OPEN_READ | IO_OPEN_DIRECTORY);
    if (error) {
        log_warn(io_logger(io), "files", "cannot sync directory path=%s: %s", path,
                 strerror(-error));
        finish_later(io, &s->priv.op, directory_failed);
        return;
    }
    s->priv.op.done = directory_synced;
    io_sync(io, &s->priv.op, s->priv.file);
}

static void removal_synced(struct file_sync *sync, int error)
{
    struct file_remove *r = container_of(sync, struct file_remove, priv.sync);
    r->done(r, error);
}

static void removal_unlinked(struct io_op *op, int64_t result)
{
    struct file_remove *r = container_of(op, struct file_remove, priv.op);
    char parent[IO_PATH_MAX];
    if (result < 0 && result != -ENOENT) {
        log_error(io_logger(r->priv.io), "files", "cannot remove path=%s: %s", r->priv.path,
                  strerror((int)-result));
        r->done(r, ERR_DISK_FAILED);
        return;
    }
    parent_of(r->priv.path, parent);
    r->priv.sync.done = removal_synced;
    file_sync_directory(r->priv.io, &r->priv.sync, parent);
}

void file_remove(struct io *io, struct file_remove *r, const char *path)
{
    memset(&r->priv, 0, sizeof r->priv);
    r->priv.io = io;
    int written = snprintf(r->priv.path, IO_PATH_MAX, "%s", path);
    assert(written < IO_PATH_MAX);
    r->priv.op.done = removal_unlinked;
    io_unlink(io, &r->priv.op, path);
}
