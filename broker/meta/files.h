/* SPDX-License-Identifier: Apache-2.0 */

/* files: small files that are read and replaced as a whole. Used by meta and by broker/node.c.
 *
 * A file is replaced by writing `path`.tmp, syncing it, renaming it and syncing the directory:
 * after a crash there is the old or the new content, never a mixture. What may be there half-made
 * is a .tmp, which nobody reads.
 *
 * A full disk is an answer; any other failed write or sync ends the node (RELIABILITY 4.1, L11). */
#pragma once

#include "base/errors.h"
#include "io/io.h"

/* <data>/format: the version of a data directory's layout. */
#define FILE_FORMAT_WORDS "leat data directory, format "
enum { FILE_FORMAT = 3 };

struct file_load {
    void (*done)(struct file_load *l, int error);
    uint8_t *data; /* out: `size` bytes of the shard's heap, the receiver frees them */
    size_t size;
    struct {
        struct io_op op;
        struct io *io;
        struct io_file *file;
        size_t capacity;
        int error;
    } priv;
};

/* done(0), ERR_NOT_FOUND, ERR_TOO_LARGE above `limit` bytes, ERR_NO_MEMORY, ERR_DISK_FAILED. */
void file_load(struct io *io, struct file_load *l, const char *path, size_t limit);

struct file_store {
    void (*done)(struct file_store *s, int error);
    struct {
        struct io_op op;
        struct io *io;
        struct io_file *file;
        struct iovec iovec;
        char path[IO_PATH_MAX], temporary[IO_PATH_MAX];
        int error;
    } priv;
};

/* `data` is lent until done(0) or done(ERR_DISK_FULL): then nothing has changed. */
void file_store(struct io *io, struct file_store *s, const char *path, const void *data,
                size_t size);

struct file_sync {
    void (*done)(struct file_sync *s, int error);
    struct {
        struct io_op op;
        struct io *io;
        struct io_file *file;
    } priv;
};

/* Makes the names in a directory durable. */
void file_sync_directory(struct io *io, struct file_sync *s, const char *path);

/* Removes `path` if it is there, and makes that durable. */
struct file_remove {
    void (*done)(struct file_remove *r, int error);
    struct {
        struct io_op op;
        struct io *io;
        struct file_sync sync;
        char path[IO_PATH_MAX];
    } priv;
};
void file_remove(struct io *io, struct file_remove *r, const char *path);

/* Makes `path` unless it is there: 0 or ERR_*, said in the log. */
int file_make_directory(struct io *io, const char *path) MUST_CHECK;

/* "a/b" into `out`: 0 or ERR_TOO_LARGE. */
int file_path(char out[static IO_PATH_MAX], const char *directory, const char *name) MUST_CHECK;
