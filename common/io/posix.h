/* SPDX-License-Identifier: Apache-2.0 */

/* posix: what the two production backends share. Private to common/io.
 *
 * A struct posix_io is one shard: its timers, its inbox, its open handles and the list of
 * operations whose result is already known. A backend adds the way in which reads, writes and
 * sockets are waited for.
 *
 *     IDLE --io_read() ..--> with the kernel, a worker or the timers --posix_finish()--> done()
 *                 |                        |
 *                 `--posix_ready()--> ready --posix_finish()--> done()
 *
 * Ready is an operation whose result was known too early: inside its own submission, or outside the
 * loop. It is done in the turn's own phase for it, and while there are such, no turn waits.
 *
 * A turn: wait (backend) -> clock -> completions (backend) -> messages -> timers -> ready
 * operations -> turn-end callbacks -> gathered messages leave. */
#pragma once

#include "io/file.h"
#include "io/inbox.h"
#include "io/op.h"
#include "io/socket.h"

struct posix_io;

struct posix_backend {
    const struct io_ops *ops;
    size_t size; /* of its struct, which begins with struct posix_io */
    int (*open)(struct posix_io *p, const struct io_options *options, char *reason);
    /* Ends what is with the kernel, on the shard's thread; nothing is done() any more. */
    void (*leave)(struct posix_io *p);
    void (*close)(struct posix_io *p);
    void (*wake)(struct posix_io *from, struct posix_io *to);
    /* Takes over an operation on a file or socket that is filled in. It ends with posix_ready(), or
     * in the loop with posix_finish() or, for a connect, posix_connected(). */
    void (*start)(struct posix_io *p, struct io_op *op);
    /* Asks for the end of a read or of an operation on a socket; once for each. */
    void (*cancel)(struct posix_io *p, struct io_op *op);
    /* A new connection: 0 or a negative errno. */
    int (*adopt)(struct posix_io *p, struct io_socket *s);
    int (*adopt_listener)(struct posix_io *p, struct io_listener *l);
    int socket_flags; /* SOCK_NONBLOCK or 0 */
};

struct outbox {
    struct io_message *newest, *oldest;
};

struct posix_io {
    struct io io;
    struct io_group *group;
    const struct posix_backend *backend;
    struct heap timers;
    struct list ready;
    size_t ready_count;
    struct list files, sockets, listeners, lookups;
    struct list buried, buried_listeners; /* closed in this turn; freed in the next */
    struct outbox *outboxes;              /* one for each shard */
    uint64_t outboxes_used;               /* bit per shard */
    int wake_fd;
    bool opened, stopped;
    _Alignas(64) struct inbox inbox;
};

struct io_group {
    struct memory memory;
    const struct posix_backend *backend;
    unsigned shards;
    unsigned disabled_features;
    struct posix_io **ios;
    struct uuid boot_id;
    struct workers files, work, behind;
    pthread_mutex_t lock;  /* of what follows */
    struct list listening; /* of struct listening: addresses in use by the group */
};

/* --- group.c ---------------------------------------------------------------------------------- */

extern const struct posix_backend epoll_backend;

int group_open(struct io_group **out, const struct posix_backend *backend,
               const struct io_options *options, char *reason) MUST_CHECK;

/* Starts a thread that takes no signals: 0 or a negative errno. */
int thread_start(pthread_t *out, size_t stack_size, void *(*run)(void *), void *argument);

/* --- posix.c: one shard ----------------------------------------------------------------------- */

int posix_init(struct posix_io *p, struct io_group *g, unsigned shard,
               const struct io_options *options) MUST_CHECK;
void posix_deinit(struct posix_io *p);

static inline struct posix_io *posix_of(struct io *io)
{
    return (struct posix_io *)io;
}

/* Marks the calling thread as being inside a turn of `p`; gives back what it was before. */
struct posix_io *posix_enter(struct posix_io *p);

/* The nanoseconds for which the loop may wait, at most `timeout_ns`. Above 0 the shard is declared
 * asleep; the backend then waits and calls posix_turn_begin(). */
uint64_t posix_wait_ns(struct posix_io *p, uint64_t timeout_ns);
void posix_turn_begin(struct posix_io *p);
void posix_turn_end(struct posix_io *p);

/* Lets done() be called with `result` later, from the loop. */
void posix_ready(struct posix_io *p, struct io_op *op, int64_t result);

/* Cleans up after the operation and calls done(); from the loop only. */
void posix_finish(struct posix_io *p, struct io_op *op, int64_t result);

/* A message from any thread; async-signal-safe. */
void posix_message(struct posix_io *to, struct io_message *m);
void posix_wake(struct posix_io *to);

/* Hands an operation that holds a job to a lane of workers. */
void posix_submit(struct posix_io *p, struct workers *lane, struct io_op *op);

uint64_t posix_clock(struct io *io);
int64_t posix_wall_ms(struct io *io);
void posix_random(struct io *io, void *out, size_t size);
struct uuid posix_boot_id(struct io *io);
struct uuid posix_read_boot_id(void);
void posix_timer(struct io *io, struct io_op *op, uint64_t deadline_ns);
void posix_cancel(struct io *io, struct io_op *op);
void posix_post(struct io *io, unsigned to, struct io_message *m);
void posix_work(struct io *io, struct io_op *op, void (*function)(void *argument), void *argument,
                bool behind);
void posix_fatal(struct io *io, const char *line);
void posix_stop(struct io *io);

/* All but the name and the loop. */
#define POSIX_IO_OPS                                                                               \
    .clock = posix_clock, .wall_ms = posix_wall_ms, .random = posix_random,                        \
    .boot_id = posix_boot_id, .file_open = posix_file_open, .file_close = posix_file_close,        \
    .file_direct = posix_file_direct, .file_size = posix_file_size, .file_lock = posix_file_lock,  \
    .file_map = posix_file_map, .read = posix_read, .write = posix_write, .sync = posix_sync,      \
    .sync_all = posix_sync_all, .allocate = posix_allocate, .truncate = posix_truncate,            \
    .unlink = posix_unlink, .rename = posix_rename, .mkdir = posix_mkdir, .list = posix_list,      \
    .disk = posix_disk, .listen = posix_listen, .accept = posix_accept,                            \
    .listener_close = posix_listener_close, .connect = posix_connect, .recv = posix_recv,          \
    .send = posix_send, .socket_close = posix_socket_close, .socket_peer = posix_socket_peer,      \
    .timer = posix_timer, .cancel = posix_cancel, .post = posix_post, .work = posix_work,          \
    .fatal = posix_fatal, .stop = posix_stop
