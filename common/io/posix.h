/* SPDX-License-Identifier: Apache-2.0 */

/* posix: what the two production backends share. Private to common/io.
 *
 * A struct posix_io is one shard: its timers, its inbox, its open handles and the list of
 * operations whose result is already known. A backend adds the way in which reads, writes and
 * sockets are waited for.
 *
 *     IDLE --io_read() ..--> with the kernel, a worker or the timers --posix_finish()--> IDLE,
 * done() \                         |
 *                  `--posix_ready()--> ready <'   result known too early or out of turn: done() is
 *                                                 called in the next turn, which does not wait
 *
 * A turn: wait (backend) -> clock -> completions (backend) -> messages -> timers -> ready
 * operations -> turn-end callbacks -> gathered messages leave. */
#pragma once

#include "base/heap.h"
#include "io/backend.h"
#include "io/inbox.h"
#include "io/workers.h"

#include <netinet/in.h>
#include <sys/socket.h>

enum op_kind {
    OP_READ,
    OP_WRITE,
    OP_SYNC,
    OP_SYNC_ALL,
    OP_ALLOCATE,
    OP_TRUNCATE,
    OP_UNLINK,
    OP_ACCEPT,
    OP_CONNECT,
    OP_RECV,
    OP_SEND,
    OP_TIMER,
    OP_WORK,
};

enum { ADDRESSES_MAX = 8, HOST_MAX = 256, TRANSFER_MAX = 1 << 30 };

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* A host and port on its way to addresses; outlives its operation when that is cancelled. */
struct resolve {
    struct job job;
    struct io_op *op; /* NULL: cancelled */
    uint16_t port;
    int error;            /* of the latest attempt */
    unsigned count, next; /* addresses known and tried */
    union address addresses[ADDRESSES_MAX];
    char host[HOST_MAX];
};

/* The private part of an operation. */
struct posix_op {
    uint8_t kind; /* enum op_kind */
    uint8_t step; /* the backend's */
    bool ready;
    bool cancelled;
    uint16_t count; /* of iovecs */
    uint16_t flags; /* enum io_write_flags */
    int64_t result;
    union {
        struct job job; /* of what workers do: files and io_work */
        struct {
            struct job job;
            struct io_file *file;
            union {
                void *buffer;
                const struct iovec *iovecs;
                char *path;
            };
            uint64_t position;
            uint64_t size;     /* of the whole transfer */
            uint64_t finished; /* bytes of it that are done */
            struct list range; /* of io_file.writes */
        } file;
        struct {
            struct io_socket *socket;
            struct msghdr message;
            void *buffer;
            size_t size;
        } transfer;
        struct {
            struct io_listener *listener;
            struct io_socket **out;
            struct list link; /* of io_listener.accepts */
        } accept;
        struct {
            struct io_socket *socket; /* of the current attempt, or NULL */
            struct io_socket **out;
            struct resolve *resolve;
        } connect;
        struct {
            struct job job;
            void (*function)(void *argument);
            void *argument;
        } work;
        struct heap_node timer;
    };
};

static_assert(sizeof(struct posix_op) <= sizeof((struct io_op *)0)->priv.words,
              "struct posix_op fits into the operation");

static inline struct posix_op *posix_op(struct io_op *op)
{
    return (struct posix_op *)op->priv.words;
}

static inline struct io_op *posix_op_owner(struct posix_op *po)
{
    return container_of((uint64_t *)po, struct io_op, priv.words);
}

struct io_file {
    const struct io_ops *ops; /* first: io_file_direct() */
    struct list link;         /* of posix_io.files */
    int fd;
    bool aligned; /* opened with IO_OPEN_DIRECT */
    bool direct;  /* and the file system took it */
    bool directory;
    bool writable;
    unsigned in_flight;
    struct list writes; /* ranges in flight */
    void *map;
    size_t map_size;
};

struct io_socket {
    struct list link; /* of posix_io.sockets, or of posix_io.buried */
    int fd;
    bool closing;
    bool readable, writable, hangup; /* epoll: an attempt may succeed */
    struct io_op *receiving;
    struct io_op *sending; /* or connecting */
    union address peer;
};

struct io_listener {
    struct list link; /* of posix_io.listeners, or of posix_io.buried_listeners */
    int fd;
    bool closing;
    bool readable;
    unsigned waiting; /* accepts not done yet */
    struct list accepts;
    union address address;
};

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
    struct list files, sockets, listeners;
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
    struct workers files, names, work;
    pthread_mutex_t lock;  /* of what follows */
    struct list listening; /* of struct listening: addresses in use by the group */
};

/* --- group.c
 * -------------------------------------------------------------------------------------- */

extern const struct posix_backend epoll_backend;

int group_open(struct io_group **out, const struct posix_backend *backend,
               const struct io_options *options, char *reason) MUST_CHECK;

/* Starts a thread that takes no signals: 0 or a negative errno. */
int thread_start(pthread_t *out, size_t stack_size, void *(*run)(void *), void *argument);

/* --- posix.c: one shard
 * ---------------------------------------------------------------------------- */

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

/* Lets done() be called with `result` in the next turn. */
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
void posix_work(struct io *io, struct io_op *op, void (*function)(void *argument), void *argument);
void posix_fatal(struct io *io, const char *line);
void posix_stop(struct io *io);

/* --- file.c
 * ------------------------------------------------------------------------------------------ */

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

/* --- socket.c
 * ---------------------------------------------------------------------------------------- */

int posix_listen(struct io *io, struct io_listener **out, const char *host, uint16_t port,
                 uint16_t *port_out);
void posix_accept(struct io *io, struct io_op *op, struct io_listener *l, struct io_socket **out);
void posix_listener_close(struct io *io, struct io_listener *l);
void posix_connect(struct io *io, struct io_op *op, struct io_socket **out, const char *host,
                   uint16_t port);
void posix_recv(struct io *io, struct io_op *op, struct io_socket *s, void *buffer, size_t size);
void posix_send(struct io *io, struct io_op *op, struct io_socket *s, const struct iovec *iovecs,
                unsigned count);
void posix_socket_close(struct io *io, struct io_socket *s);
void posix_socket_peer(struct io *io, struct io_socket *s, char out[static IO_ADDRESS_MAX]);

static inline socklen_t address_size(const union address *a)
{
    return a->any.sa_family == AF_INET6 ? sizeof a->v6 : sizeof a->v4;
}

/* From a backend: an accepted descriptor, which is taken; the operation's result. */
int64_t posix_accepted(struct posix_io *p, struct posix_op *po, int fd);

/* From a backend, in the loop: the attempt to connect has ended with 0 or a negative errno. */
void posix_connected(struct posix_io *p, struct io_op *op, int64_t result);

void connect_cancel(struct posix_io *p, struct io_op *op);

/* Undoes what starting did, before done(). */
void socket_op_end(struct posix_io *p, struct io_op *op);

/* Frees what was closed in earlier turns: events that the backend has already fetched name it. */
void sockets_bury(struct posix_io *p);
void sockets_shutdown(struct posix_io *p);
void sockets_close_all(struct posix_io *p);

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
