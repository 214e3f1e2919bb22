/* SPDX-License-Identifier: Apache-2.0 */

/* file: files and names, as far as both backends agree. Private to common/io. */
#pragma once

#include "io/op.h"

struct posix_io;

int posix_file_open(struct io *io, struct io_file **out, const char *path, unsigned flags);
void posix_file_close(struct io *io, struct io_file *file);
bool posix_file_direct(const struct io_file *file);
int64_t posix_file_size(struct io *io, struct io_file *file);
int posix_file_lock(struct io *io, struct io_file *file);
void *posix_file_map(struct io *io, struct io_file *file, size_t size);
void posix_read(struct io *io, struct io_op *op, struct io_file *file, void *buffer, size_t size,
                uint64_t position);
void posix_write(struct io *io, struct io_op *op, struct io_file *file, const struct iovec *iovecs,
                 unsigned count, uint64_t position, unsigned flags);
void posix_sync(struct io *io, struct io_op *op, struct io_file *file);
void posix_sync_all(struct io *io, struct io_op *op, struct io_file *file);
void posix_allocate(struct io *io, struct io_op *op, struct io_file *file, uint64_t position,
                    uint64_t size);
void posix_truncate(struct io *io, struct io_op *op, struct io_file *file, uint64_t size);
void posix_unlink(struct io *io, struct io_op *op, const char *path);
int posix_rename(struct io *io, const char *from, const char *to);
int posix_mkdir(struct io *io, const char *path);
int posix_list(struct io *io, const char *path,
               void (*each)(void *context, const char *name, bool directory), void *context);
int posix_disk(struct io *io, const char *path, struct io_disk *out);

/* What is left of a transfer: several whole iovecs, or `piece` of the buffer or of one iovec. */
struct transfer {
    const struct iovec *iovecs;
    unsigned count;
    struct iovec piece;
    uint64_t position;
};
void file_rest(struct posix_op *po, struct transfer *out);

/* Counts `bytes` > 0, or 0 at the end of the file; whether the transfer is over. */
bool file_advance(struct posix_op *po, int64_t bytes);

/* Hands a file operation to the files lane, and what the lane does with it. */
void file_submit(struct posix_io *p, struct io_op *op);
int64_t file_execute(struct posix_op *po);

/* Undoes what starting did, before done(). */
void file_op_end(struct posix_io *p, struct posix_op *po);
void files_close_all(struct posix_io *p);
