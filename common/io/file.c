/* SPDX-License-Identifier: Apache-2.0 */

/* Files and names, as far as both backends agree: opening, what must be checked of a transfer, how
 * a short one goes on, and the blocking form of every operation for the workers. */
#include "io/posix.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* --- opening ---------------------------------------------------------------------------------- */

static int open_flags(unsigned flags)
{
    int result = O_CLOEXEC;
    if (flags & IO_OPEN_DIRECTORY) {
        return result | O_RDONLY | O_DIRECTORY;
    }
    if (flags & IO_OPEN_WRITE) {
        result |= flags & IO_OPEN_READ ? O_RDWR : O_WRONLY;
    } else {
        result |= O_RDONLY;
    }
    result |= flags & IO_OPEN_CREATE ? O_CREAT : 0;
    result |= flags & IO_OPEN_EXCLUSIVE ? O_EXCL : 0;
    return result;
}

/* O_DIRECT is asked for after opening: open() would leave the file that it created behind when the
 * file system refuses, and a second try with O_EXCL would then fail. */
static bool open_direct(int fd, int flags)
{
    return fcntl(fd, F_SETFL, flags | O_DIRECT) == 0;
}

int posix_file_open(struct io *io, struct io_file **out, const char *path, unsigned flags)
{
    struct posix_io *p = posix_of(io);
    struct io_file *file = memory_alloc(&io->memory, sizeof *file);
    if (!file) {
        return -ENOMEM;
    }
    int wanted = open_flags(flags);
    int fd;
    do {
        fd = open(path, wanted, 0644);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        int error = -errno;
        memory_free(&io->memory, file);
        return error;
    }
    *file = (struct io_file){.ops = io->ops,
                             .fd = fd,
                             .aligned = flags & IO_OPEN_DIRECT,
                             .direct = flags & IO_OPEN_DIRECT && open_direct(fd, wanted),
                             .directory = flags & IO_OPEN_DIRECTORY,
                             .writable = flags & IO_OPEN_WRITE};
    list_init(&file->writes);
    list_init(&file->link);
    list_append(&p->files, &file->link);
    *out = file;
    return 0;
}

static void file_free(struct posix_io *p, struct io_file *file)
{
    if (file->map) {
        munmap(file->map, file->map_size);
    }
    close(file->fd);
    list_remove(&file->link);
    memory_free(&p->io.memory, file);
}

void posix_file_close(struct io *io, struct io_file *file)
{
    assert(file->ops == io->ops);
    assert(file->in_flight == 0);
    file_free(posix_of(io), file);
}

void files_close_all(struct posix_io *p)
{
    list_each (node, &p->files) {
        file_free(p, container_of(node, struct io_file, link));
    }
}

bool posix_file_direct(const struct io_file *file)
{
    return file->direct;
}

int64_t posix_file_size(struct io *io, struct io_file *file)
{
    struct stat status;
    return fstat(file->fd, &status) == 0 ? status.st_size : -errno;
}

int posix_file_lock(struct io *io, struct io_file *file)
{
    int result;
    do {
        result = flock(file->fd, LOCK_EX | LOCK_NB);
    } while (result < 0 && errno == EINTR);
    return result == 0 ? 0 : -errno;
}

void *posix_file_map(struct io *io, struct io_file *file, size_t size)
{
    assert(!file->map);
    int64_t have = posix_file_size(io, file);
    if (have < 0 || (uint64_t)have < size) {
        return NULL;
    }
    int access = PROT_READ | (file->writable ? PROT_WRITE : 0);
    void *map = mmap(NULL, size, access, MAP_SHARED, file->fd, 0);
    if (map == MAP_FAILED) {
        return NULL;
    }
    file->map = map;
    file->map_size = size;
    return map;
}

/* --- operations ------------------------------------------------------------------------------- */

static struct posix_op *file_begin(struct io_op *op, enum op_kind kind, struct io_file *file)
{
    assert(file->fd >= 0);
    struct posix_op *po = posix_op(op);
    *po = (struct posix_op){.kind = (uint8_t)kind};
    po->file.file = file;
    file->in_flight++;
    return po;
}

static bool block_aligned(uint64_t value)
{
    return value % IO_BLOCK_SIZE == 0;
}

void posix_read(struct io *io, struct io_op *op, struct io_file *file, void *buffer, size_t size,
                uint64_t position)
{
    assert(size > 0);
    assert(position <= INT64_MAX - size);
    if (file->aligned) {
        assert(block_aligned((uintptr_t)buffer));
        assert(block_aligned(size));
        assert(block_aligned(position));
    }
    struct posix_op *po = file_begin(op, OP_READ, file);
    po->file.buffer = buffer;
    po->file.size = size;
    po->file.position = position;
    posix_of(io)->backend->start(posix_of(io), op);
}

/* Contract 7: the range is disjoint from those in flight. */
static void write_range_add(struct io_file *file, struct posix_op *po)
{
    list_each (node, &file->writes) {
        struct posix_op *other = container_of(node, struct posix_op, file.range);
        assert(po->file.position >= other->file.position + other->file.size ||
               other->file.position >= po->file.position + po->file.size);
    }
    list_append(&file->writes, &po->file.range);
}

void posix_write(struct io *io, struct io_op *op, struct io_file *file, const struct iovec *iovecs,
                 unsigned count, uint64_t position, unsigned flags)
{
    assert(file->writable);
    struct posix_op *po = file_begin(op, OP_WRITE, file);
    po->file.iovecs = iovecs;
    po->file.position = position;
    po->count = (uint16_t)count;
    po->flags = (uint16_t)flags;
    for (unsigned i = 0; i < count; i++) {
        if (file->aligned) {
            assert(block_aligned((uintptr_t)iovecs[i].iov_base));
            assert(block_aligned(iovecs[i].iov_len));
        }
        assert(iovecs[i].iov_len <= SIZE_MAX / 2 - po->file.size);
        po->file.size += iovecs[i].iov_len;
    }
    assert(!file->aligned || block_aligned(position));
    assert(po->file.size > 0);
    assert(position <= INT64_MAX - po->file.size);
    write_range_add(file, po);
    posix_of(io)->backend->start(posix_of(io), op);
}

void posix_sync(struct io *io, struct io_op *op, struct io_file *file)
{
    file_begin(op, OP_SYNC, file);
    posix_of(io)->backend->start(posix_of(io), op);
}

void posix_sync_all(struct io *io, struct io_op *op, struct io_file *file)
{
    file_begin(op, OP_SYNC_ALL, file);
    posix_of(io)->backend->start(posix_of(io), op);
}

void posix_allocate(struct io *io, struct io_op *op, struct io_file *file, uint64_t position,
                    uint64_t size)
{
    assert(position <= INT64_MAX - size);
    struct posix_op *po = file_begin(op, OP_ALLOCATE, file);
    po->file.position = position;
    po->file.size = size;
    posix_of(io)->backend->start(posix_of(io), op);
}

void posix_truncate(struct io *io, struct io_op *op, struct io_file *file, uint64_t size)
{
    assert(size <= INT64_MAX);
    struct posix_op *po = file_begin(op, OP_TRUNCATE, file);
    po->file.size = size;
    posix_of(io)->backend->start(posix_of(io), op);
}

void posix_unlink(struct io *io, struct io_op *op, const char *path)
{
    struct posix_op *po = posix_op(op);
    *po = (struct posix_op){.kind = OP_UNLINK};
    po->file.path = memory_string(&io->memory, path, strlen(path));
    if (!po->file.path) {
        posix_ready(posix_of(io), op, -ENOBUFS);
        return;
    }
    posix_of(io)->backend->start(posix_of(io), op);
}

void file_op_end(struct posix_io *p, struct posix_op *po)
{
    if (po->kind == OP_UNLINK) {
        memory_free(&p->io.memory, po->file.path);
        return;
    }
    if (po->kind == OP_WRITE) {
        list_remove(&po->file.range);
    }
    assert(po->file.file->in_flight > 0);
    po->file.file->in_flight--;
}

/* --- transfers -------------------------------------------------------------------------------- */

static void transfer_piece(struct transfer *out, void *base, size_t size)
{
    out->piece = (struct iovec){base, size < TRANSFER_MAX ? size : TRANSFER_MAX};
    out->iovecs = &out->piece;
    out->count = 1;
}

void file_rest(struct posix_op *po, struct transfer *out)
{
    assert(po->file.finished < po->file.size);
    out->position = po->file.position + po->file.finished;
    if (po->kind == OP_READ) {
        transfer_piece(out, (char *)po->file.buffer + po->file.finished,
                       po->file.size - po->file.finished);
        return;
    }
    uint64_t skip = po->file.finished;
    unsigned i = 0;
    while (skip >= po->file.iovecs[i].iov_len) {
        skip -= po->file.iovecs[i].iov_len;
        i++;
        assert(i < po->count);
    }
    if (skip > 0 || i + 1 == po->count) {
        transfer_piece(out, (char *)po->file.iovecs[i].iov_base + skip,
                       po->file.iovecs[i].iov_len - skip);
        return;
    }
    out->iovecs = po->file.iovecs + i;
    out->count = po->count - i;
}

/* A direct read that ends inside a block has met the end of the file; asking on would not be
 * aligned. */
bool file_advance(struct posix_op *po, int64_t bytes)
{
    assert(bytes >= 0);
    po->file.finished += (uint64_t)bytes;
    assert(po->file.finished <= po->file.size);
    if (po->file.finished == po->file.size) {
        return true;
    }
    return po->kind == OP_READ &&
           (bytes == 0 || (po->file.file->direct && !block_aligned(po->file.finished)));
}

/* --- on a worker ------------------------------------------------------------------------------ */

void file_submit(struct posix_io *p, struct io_op *op)
{
    posix_op(op)->step = !(p->group->disabled_features & IO_FEATURE_DSYNC_WRITE);
    posix_submit(p, &p->group->files, op);
}

static int64_t execute_transfer(struct posix_op *po)
{
    int fd = po->file.file->fd;
    bool durable = po->flags & IO_WRITE_DURABLE;
    int flags = durable && po->step ? RWF_DSYNC : 0;
    struct transfer rest;
    ssize_t moved;
    do {
        file_rest(po, &rest);
        do {
            moved = po->kind == OP_READ
                        ? preadv2(fd, rest.iovecs, (int)rest.count, (off_t)rest.position, 0)
                        : pwritev2(fd, rest.iovecs, (int)rest.count, (off_t)rest.position, flags);
        } while (moved < 0 && errno == EINTR);
        if (moved < 0) {
            return -errno;
        }
        if (moved == 0 && po->kind == OP_WRITE) {
            return -EIO;
        }
    } while (!file_advance(po, moved));
    if (durable && !flags && fdatasync(fd) < 0) {
        return -errno;
    }
    return (int64_t)po->file.finished;
}

static int execute_unlink(const char *path)
{
    int result = unlink(path);
    return result < 0 && errno == EISDIR ? rmdir(path) : result;
}

int64_t file_execute(struct posix_op *po)
{
    int result = 0;
    do {
        switch ((enum op_kind)po->kind) {
        case OP_READ:
        case OP_WRITE:
            return execute_transfer(po);
        case OP_SYNC:
            /* A failed sync is never repeated, not even after an interruption. */
            result =
                po->file.file->directory ? fsync(po->file.file->fd) : fdatasync(po->file.file->fd);
            return result < 0 ? -errno : 0;
        case OP_SYNC_ALL:
            return syncfs(po->file.file->fd) < 0 ? -errno : 0;
        case OP_ALLOCATE:
            result =
                fallocate(po->file.file->fd, 0, (off_t)po->file.position, (off_t)po->file.size);
            break;
        case OP_TRUNCATE:
            result = ftruncate(po->file.file->fd, (off_t)po->file.size);
            break;
        case OP_UNLINK:
            result = execute_unlink(po->file.path);
            break;
        default:
            assert(!"a file operation");
        }
    } while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : 0;
}

/* --- names ------------------------------------------------------------------------------------ */

int posix_rename(struct io *io, const char *from, const char *to)
{
    return rename(from, to) == 0 ? 0 : -errno;
}

int posix_mkdir(struct io *io, const char *path)
{
    return mkdir(path, 0755) == 0 ? 0 : -errno;
}

static bool entry_is_directory(DIR *directory, const struct dirent *entry)
{
    if (entry->d_type != DT_UNKNOWN) {
        return entry->d_type == DT_DIR;
    }
    struct stat status;
    return fstatat(dirfd(directory), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISDIR(status.st_mode);
}

int posix_list(struct io *io, const char *path,
               void (*each)(void *context, const char *name, bool directory), void *context)
{
    DIR *directory = opendir(path);
    if (!directory) {
        return -errno;
    }
    struct dirent *entry;
    while (errno = 0, (entry = readdir(directory))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            each(context, entry->d_name, entry_is_directory(directory, entry));
        }
    }
    int error = -errno;
    closedir(directory);
    return error;
}

int posix_disk(struct io *io, const char *path, struct io_disk *out)
{
    struct statvfs status;
    if (statvfs(path, &status) < 0) {
        return -errno;
    }
    *out = (struct io_disk){.free_bytes = (uint64_t)status.f_bavail * status.f_frsize,
                            .total_bytes = (uint64_t)status.f_blocks * status.f_frsize};
    return 0;
}
