/* SPDX-License-Identifier: Apache-2.0 */

/* backend: what a backend of the seam implements. Private to common/io and tests/sim.
 *
 * Every backend begins its own struct with a struct io; io.c only dispatches, asserts what the
 * contract says of every call (idle operation, limits) and keeps the list of turn-end callbacks. */
#pragma once

#include "io/io.h"

struct io_ops {
    const char *name;
    uint64_t (*clock)(struct io *io);
    int64_t (*wall_ms)(struct io *io);
    void (*random)(struct io *io, void *out, size_t size);
    struct uuid (*boot_id)(struct io *io);

    int (*file_open)(struct io *io, struct io_file **out, const char *path, unsigned flags);
    void (*file_close)(struct io *io, struct io_file *file);
    bool (*file_direct)(const struct io_file *file);
    int64_t (*file_size)(struct io *io, struct io_file *file);
    int (*file_lock)(struct io *io, struct io_file *file);
    void (*file_hold)(struct io *io, struct io_file *file); /* NULL: nothing to do */
    void *(*file_map)(struct io *io, struct io_file *file, size_t size);
    void (*read)(struct io *io, struct io_op *op, struct io_file *file, void *buffer, size_t size,
                 uint64_t position);
    void (*write)(struct io *io, struct io_op *op, struct io_file *file, const struct iovec *iovecs,
                  unsigned count, uint64_t position, unsigned flags);
    void (*sync)(struct io *io, struct io_op *op, struct io_file *file);
    void (*sync_all)(struct io *io, struct io_op *op, struct io_file *file);
    void (*allocate)(struct io *io, struct io_op *op, struct io_file *file, uint64_t position,
                     uint64_t size);
    void (*truncate)(struct io *io, struct io_op *op, struct io_file *file, uint64_t size);
    void (*unlink)(struct io *io, struct io_op *op, const char *path);
    int (*rename)(struct io *io, const char *from, const char *to);
    int (*mkdir)(struct io *io, const char *path);
    int (*list)(struct io *io, const char *path,
                void (*each)(void *context, const char *name, bool directory), void *context);
    int (*disk)(struct io *io, const char *path, struct io_disk *out);

    int (*listen)(struct io *io, struct io_listener **out, const char *host, uint16_t port,
                  uint16_t *port_out);
    void (*accept)(struct io *io, struct io_op *op, struct io_listener *l, struct io_socket **out);
    void (*listener_close)(struct io *io, struct io_listener *l);
    void (*connect)(struct io *io, struct io_op *op, struct io_socket **out, const char *host,
                    uint16_t port);
    void (*recv)(struct io *io, struct io_op *op, struct io_socket *s, void *buffer, size_t size);
    void (*send)(struct io *io, struct io_op *op, struct io_socket *s, const struct iovec *iovecs,
                 unsigned count);
    void (*socket_close)(struct io *io, struct io_socket *s);
    void (*socket_peer)(struct io *io, struct io_socket *s, char out[static IO_ADDRESS_MAX]);

    void (*timer)(struct io *io, struct io_op *op, uint64_t deadline_ns);
    void (*cancel)(struct io *io, struct io_op *op);
    void (*post)(struct io *io, unsigned to, struct io_message *m);
    void (*work)(struct io *io, struct io_op *op, void (*function)(void *argument), void *argument,
                 bool behind);
    void (*fatal)(struct io *io, const char *line); /* does not return */
    void (*stop)(struct io *io);
    void (*run_once)(struct io *io, uint64_t timeout_ns);
};

struct io {
    const struct io_ops *ops;
    const struct logger *logger;
    struct memory memory;
    struct list turn_ends; /* of struct io_turn, for the current turn */
    uint64_t now_ns;       /* the turn's clock, set by the backend at the start of each turn */
    int64_t wall_ms;
    unsigned shard, shard_count;
};

/* For backends: common start of a struct io, the callbacks at the end of a turn, one completion. */
void io_init(struct io *io, const struct io_ops *ops, const struct logger *logger, unsigned shard,
             unsigned shard_count, size_t memory_bytes);
void io_run_turn_ends(struct io *io);
void io_complete(struct io_op *op, int64_t result); /* marks idle, then calls done() */
