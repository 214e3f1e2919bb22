/* SPDX-License-Identifier: Apache-2.0 */

/* Dispatch: each call asserts what the contract says of it and hands over to the shard's backend.
 */
#include "io/io.h"

#include "io/backend.h"

#include <stdio.h>

void io_init(struct io *io, const struct io_ops *ops, const struct logger *logger, unsigned shard,
             unsigned shard_count, size_t memory_bytes)
{
    assert(shard < shard_count);
    *io = (struct io){.ops = ops, .logger = logger, .shard = shard, .shard_count = shard_count};
    memory_init(&io->memory, memory_bytes);
    list_init(&io->turn_ends);
}

void io_run_turn_ends(struct io *io)
{
    struct list *node;
    while ((node = list_pop(&io->turn_ends))) {
        struct io_turn *turn = container_of(node, struct io_turn, link);
        turn->turn_end(turn);
    }
}

void io_complete(struct io_op *op, int64_t result)
{
    assert(op->magic == IO_OP_IN_FLIGHT);
    op->magic = IO_OP_IDLE;
    op->done(op, result);
}

static void io_submit(struct io_op *op)
{
    assert(op->magic == IO_OP_IDLE);
    assert(op->done);
    op->magic = IO_OP_IN_FLIGHT;
}

uint64_t io_now(struct io *io)
{
    return io->now_ns;
}

int64_t io_wall_ms(struct io *io)
{
    return io->wall_ms;
}

uint64_t io_clock(struct io *io)
{
    return io->ops->clock(io);
}

void io_random(struct io *io, void *out, size_t size)
{
    io->ops->random(io, out, size);
}

struct uuid io_boot_id(struct io *io)
{
    return io->ops->boot_id(io);
}

struct memory *io_memory(struct io *io)
{
    return &io->memory;
}

const struct logger *io_logger(struct io *io)
{
    return io->logger;
}

const char *io_backend_name(struct io *io)
{
    return io->ops->name;
}

unsigned io_shard(const struct io *io)
{
    return io->shard;
}

unsigned io_shard_count(const struct io *io)
{
    return io->shard_count;
}

int io_file_open(struct io *io, struct io_file **out, const char *path, unsigned flags)
{
    assert(strlen(path) < IO_PATH_MAX);
    assert(flags & (IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_DIRECTORY));
    return io->ops->file_open(io, out, path, flags);
}

void io_file_close(struct io *io, struct io_file *file)
{
    if (file) {
        io->ops->file_close(io, file);
    }
}

/* Every backend begins its struct io_file with the table of its backend. */
bool io_file_direct(const struct io_file *file)
{
    const struct io_ops *const *ops = (const struct io_ops *const *)file;
    return (*ops)->file_direct(file);
}

int64_t io_file_size(struct io *io, struct io_file *file)
{
    return io->ops->file_size(io, file);
}

void io_file_hold(struct io *io, struct io_file *file)
{
    assert(file);
    if (io->ops->file_hold) { /* elsewhere operations end before the process does */
        io->ops->file_hold(io, file);
    }
}

int io_file_lock(struct io *io, struct io_file *file)
{
    return io->ops->file_lock(io, file);
}

void *io_file_map(struct io *io, struct io_file *file, size_t size)
{
    assert(size > 0);
    return io->ops->file_map(io, file, size);
}

void io_read(struct io *io, struct io_op *op, struct io_file *file, void *buffer, size_t size,
             uint64_t position)
{
    io_submit(op);
    io->ops->read(io, op, file, buffer, size, position);
}

void io_write(struct io *io, struct io_op *op, struct io_file *file, const struct iovec *iovecs,
              unsigned count, uint64_t position, unsigned flags)
{
    assert(count > 0 && count <= IO_IOVECS_MAX);
    io_submit(op);
    io->ops->write(io, op, file, iovecs, count, position, flags);
}

void io_sync(struct io *io, struct io_op *op, struct io_file *file)
{
    io_submit(op);
    io->ops->sync(io, op, file);
}

void io_sync_all(struct io *io, struct io_op *op, struct io_file *file)
{
    io_submit(op);
    io->ops->sync_all(io, op, file);
}

void io_allocate(struct io *io, struct io_op *op, struct io_file *file, uint64_t position,
                 uint64_t size)
{
    assert(size > 0);
    io_submit(op);
    io->ops->allocate(io, op, file, position, size);
}

void io_truncate(struct io *io, struct io_op *op, struct io_file *file, uint64_t size)
{
    io_submit(op);
    io->ops->truncate(io, op, file, size);
}

void io_unlink(struct io *io, struct io_op *op, const char *path)
{
    assert(strlen(path) < IO_PATH_MAX);
    io_submit(op);
    io->ops->unlink(io, op, path);
}

int io_rename(struct io *io, const char *from, const char *to)
{
    assert(strlen(from) < IO_PATH_MAX && strlen(to) < IO_PATH_MAX);
    return io->ops->rename(io, from, to);
}

int io_mkdir(struct io *io, const char *path)
{
    assert(strlen(path) < IO_PATH_MAX);
    return io->ops->mkdir(io, path);
}

int io_list(struct io *io, const char *path,
            void (*each)(void *context, const char *name, bool directory), void *context)
{
    return io->ops->list(io, path, each, context);
}

int io_disk(struct io *io, const char *path, struct io_disk *out)
{
    return io->ops->disk(io, path, out);
}

int io_listen(struct io *io, struct io_listener **out, const char *host, uint16_t port,
              uint16_t *port_out)
{
    return io->ops->listen(io, out, host, port, port_out);
}

void io_accept(struct io *io, struct io_op *op, struct io_listener *l, struct io_socket **out)
{
    io_submit(op);
    io->ops->accept(io, op, l, out);
}

void io_listener_close(struct io *io, struct io_listener *l)
{
    io->ops->listener_close(io, l);
}

void io_connect(struct io *io, struct io_op *op, struct io_socket **out, const char *host,
                uint16_t port)
{
    io_submit(op);
    io->ops->connect(io, op, out, host, port);
}

void io_recv(struct io *io, struct io_op *op, struct io_socket *s, void *buffer, size_t size)
{
    assert(size > 0);
    io_submit(op);
    io->ops->recv(io, op, s, buffer, size);
}

void io_send(struct io *io, struct io_op *op, struct io_socket *s, const struct iovec *iovecs,
             unsigned count)
{
    assert(count > 0 && count <= IO_IOVECS_MAX);
    io_submit(op);
    io->ops->send(io, op, s, iovecs, count);
}

void io_socket_close(struct io *io, struct io_socket *s)
{
    io->ops->socket_close(io, s);
}

void io_socket_peer(struct io *io, struct io_socket *s, char out[static IO_ADDRESS_MAX])
{
    io->ops->socket_peer(io, s, out);
}

void io_timer(struct io *io, struct io_op *op, uint64_t deadline_ns)
{
    io_submit(op);
    io->ops->timer(io, op, deadline_ns);
}

void io_cancel(struct io *io, struct io_op *op)
{
    if (op->magic == IO_OP_IN_FLIGHT) {
        io->ops->cancel(io, op);
    }
}

void io_post(struct io *io, unsigned to, struct io_message *m)
{
    assert(to < io->shard_count);
    assert(m->deliver);
    io->ops->post(io, to, m);
}

void io_work(struct io *io, struct io_op *op, void (*function)(void *argument), void *argument)
{
    io_submit(op);
    io->ops->work(io, op, function, argument, false);
}

void io_work_behind(struct io *io, struct io_op *op, void (*function)(void *argument),
                    void *argument)
{
    io_submit(op);
    io->ops->work(io, op, function, argument, true);
}

void io_turn_end(struct io *io, struct io_turn *t)
{
    assert(t->turn_end);
    if (!t->link.next || t->link.next == &t->link) {
        list_init(&t->link);
        list_append(&io->turn_ends, &t->link);
    }
}

void io_fatal(struct io *io, const char *format, ...)
{
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    io->ops->fatal(io, line);
    __builtin_unreachable();
}

void io_stop(struct io *io)
{
    io->ops->stop(io);
}

void io_run_once(struct io *io, uint64_t timeout_ns)
{
    io->ops->run_once(io, timeout_ns);
}
