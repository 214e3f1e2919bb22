/* SPDX-License-Identifier: Apache-2.0 */

/* io: the only door to the outside.
 *
 * Files, sockets, timers, the clock, randomness and messages between shards are reached through
 * this header and nowhere else, so that a whole cluster can run inside one process, in virtual
 * time, from one seed. Backends: io_uring, epoll with a few threads, and the simulated one of the
 * tests.
 *
 * Contract, upheld by every backend and checked by tests/unit/io/contract.c against all three:
 *   1. An operation is a struct io_op that its owner embeds and leaves in place until done().
 *   2. done() is called exactly once per submission, on the submitting shard, from the loop, never
 *      from inside the submitting call. Inside done() the operation may be submitted again.
 *   3. Memory named in an operation (buffers, iovecs, out pointers) is lent from submission until
 *      done(). Paths and host names are copied.
 *   4. io_cancel() asks; done() still comes, with -ECANCELED or with the result that overtook it.
 *   5. Results are bytes >= 0 (0 where there is nothing to count), or a negative errno. Short
 *      transfers happen: on sockets always, on files only at their end.
 *   6. A full queue is an answer (done with -EAGAIN or -ENOBUFS), not a wait.
 *   7. Overlapping writes to one file are never in flight together (asserted by every backend).
 *   8. The end of a node is an effect: io_fatal(). Production exits; the simulator drops the node.
 *   9. io_post() reaches another shard, io_work() runs a pure function elsewhere; published state
 *      travels as a message that holds a pointer. Directories, names and entropy are reached here.
 *  10. A crash is a kill (file contents and submitted writes survive) or a power cut (unsynced
 * blocks and directory entries are lost, torn, reordered).
 *
 * Calls that name things in a directory (open, rename, mkdir, list) answer at once: they are rare
 * and short. What can take long is an operation: read, write, sync, allocate, unlink, connect.
 *
 * Threads: a struct io belongs to one shard and is used on its thread alone. Only io_post() and
 * io_group_stop() may be called from elsewhere, as said there. */
#pragma once

#include "base/bytes.h"
#include "base/list.h"
#include "base/logger.h"
#include "base/memory.h"
#include "base/uuid.h"

#include <sys/uio.h>

struct io;
struct io_file;
struct io_listener;
struct io_socket;
struct io_group;

enum {
    IO_BLOCK_SIZE = 4096, /* position, size and memory of direct files are multiples of it */
    IO_IOVECS_MAX = 256,
    IO_PATH_MAX = 512, /* bytes of a path with its NUL */
    IO_ADDRESS_MAX = 80,
};

enum io_op_magic {
    IO_OP_IDLE = 0, /* so that zeroed memory is an idle operation */
    IO_OP_IN_FLIGHT = 0x696f6f70,
};

/* The backend's part of an operation; nobody else looks inside. */
struct io_op_private {
    struct list link;
    uint64_t words[18];
};

struct io_op {
    void (*done)(struct io_op *op, int64_t result);
    uint32_t magic; /* enum io_op_magic: catches reuse in flight */
    struct io_op_private priv;
};

static inline bool io_op_idle(const struct io_op *op)
{
    return op->magic == IO_OP_IDLE;
}

/* --- the clock, entropy, the machine ---------------------------------------------------------- */

/* Nanoseconds of a clock that never goes back; read once per loop turn. */
uint64_t io_now(struct io *io);

/* Milliseconds since 1970 (UTC); may jump. Read once per loop turn. */
int64_t io_wall_ms(struct io *io);

/* Nanoseconds, read now: for measuring inside a turn. */
uint64_t io_clock(struct io *io);

/* Bytes that nobody can guess; the simulator draws them from the seed. */
void io_random(struct io *io, void *out, size_t size);

/* The identity of this boot of the machine: what was only in memory is gone when it differs. */
struct uuid io_boot_id(struct io *io);

/* The heap of this shard. */
struct memory *io_memory(struct io *io);

const struct logger *io_logger(struct io *io);

/* "io_uring", "epoll" or "simulator". */
const char *io_backend_name(struct io *io);

/* --- files ------------------------------------------------------------------------------------ */

enum io_open_flags {
    IO_OPEN_READ = 1 << 0,
    IO_OPEN_WRITE = 1 << 1,
    IO_OPEN_CREATE = 1 << 2,    /* make it if it is missing */
    IO_OPEN_EXCLUSIVE = 1 << 3, /* with CREATE: fail with -EEXIST if it is there */
    IO_OPEN_DIRECT = 1 << 4, /* past the page cache; falls back to buffered, see io_file_direct() */
    IO_OPEN_DIRECTORY = 1 << 5, /* a directory, for io_sync() */
};

/* Opens `path`. 0 and *out, or a negative errno. */
int io_file_open(struct io *io, struct io_file **out, const char *path,
                 unsigned flags /* enum io_open_flags */) MUST_CHECK;

/* Gives the handle back. No operation on it may be in flight. NULL is accepted. */
void io_file_close(struct io *io, struct io_file *file);

/* Whether the file really bypasses the page cache (the file system may refuse). */
bool io_file_direct(const struct io_file *file);

/* Size in bytes, or a negative errno. */
int64_t io_file_size(struct io *io, struct io_file *file);

/* Takes the advisory lock of a file that lives as long as the handle: 0, or -EWOULDBLOCK when
 * another process holds it. */
int io_file_lock(struct io *io, struct io_file *file) MUST_CHECK;

/* Keeps the file open, and its lock held, until every operation of this shard has ended, also when the
 * process is killed: the kernel may still be writing for a ring whose process is gone, and whoever
 * takes the lock next must not read or write what it writes. Once for each shard. */
void io_file_hold(struct io *io, struct io_file *file);

/* A shared mapping of the first `size` bytes of a file that is at least that long. Stores survive
 * the process, not the machine. Unmapped by io_file_close(). NULL when it cannot be had. */
void *io_file_map(struct io *io, struct io_file *file, size_t size) MUST_CHECK;

/* Reads up to `size` bytes of `file` from byte `position`. `buffer` is lent; with IO_OPEN_DIRECT
 * files buffer, size and position are multiples of IO_BLOCK_SIZE. Result: bytes read, 0 at the end.
 */
void io_read(struct io *io, struct io_op *op, struct io_file *file, void *buffer, size_t size,
             uint64_t position);

enum io_write_flags {
    IO_WRITE_DURABLE = 1 << 0, /* RWF_DSYNC: done() means that these bytes are on stable storage */
};

/* Writes all of `iovecs` (at most IO_IOVECS_MAX) to `file` at byte `position`; for direct files
 * every piece is aligned. Result: the whole size, or a negative errno: a backend continues short
 * writes. After a failure nothing can be said of the range: the caller ends the node, io_fatal().
 */
void io_write(struct io *io, struct io_op *op, struct io_file *file, const struct iovec *iovecs,
              unsigned count, uint64_t position, unsigned flags /* enum io_write_flags */);

/* Makes everything written to `file` before this call durable (of a directory: its names). A
 * negative result means that nothing can be said of any of it, ever: the caller ends the node,
 * io_fatal() (RELIABILITY 4.1, L11). */
void io_sync(struct io *io, struct io_op *op, struct io_file *file);

/* Makes everything written to the file system that holds `file` durable (syncfs). */
void io_sync_all(struct io *io, struct io_op *op, struct io_file *file);

/* Reserves space for bytes [position, position + size) and grows the file to hold them; they read
 * as zeros. -ENOSPC when there is none. */
void io_allocate(struct io *io, struct io_op *op, struct io_file *file, uint64_t position,
                 uint64_t size);

/* Cuts or extends the file to `size` bytes. */
void io_truncate(struct io *io, struct io_op *op, struct io_file *file, uint64_t size);

/* Removes a file or an empty directory. */
void io_unlink(struct io *io, struct io_op *op, const char *path);

/* Each: 0 or a negative errno. A name is durable after io_sync() of its directory. */
int io_rename(struct io *io, const char *from, const char *to) MUST_CHECK;
int io_mkdir(struct io *io, const char *path) MUST_CHECK; /* one level; -EEXIST if it is there */

/* Calls `each` for every name in a directory but "." and "..", in no order that may be relied on.
 * 0 or a negative errno. `each` must not change the directory. */
int io_list(struct io *io, const char *path,
            void (*each)(void *context, const char *name, bool directory),
            void *context) MUST_CHECK;

struct io_disk {
    uint64_t free_bytes;
    uint64_t total_bytes;
};

/* The space of the file system that holds `path`. 0 or a negative errno. */
int io_disk(struct io *io, const char *path, struct io_disk *out) MUST_CHECK;

/* --- sockets (TCP, TCP_NODELAY) --------------------------------------------------------------- */

/* Listens on `host` (numeric or a name) and `port` (0: any). `*port_out` is what it got. */
int io_listen(struct io *io, struct io_listener **out, const char *host, uint16_t port,
              uint16_t *port_out) MUST_CHECK;

/* The next connection; *out is set before done() with result 0. */
void io_accept(struct io *io, struct io_op *op, struct io_listener *l, struct io_socket **out);

/* Stops listening; a waiting accept is done with -ECANCELED. The handle is gone afterwards. */
void io_listener_close(struct io *io, struct io_listener *l);

/* Resolves `host`, tries its addresses in turn; *out is set before done() with result 0. A name
 * that nobody knows is -EHOSTUNREACH; too many lookups at once are -EAGAIN. */
void io_connect(struct io *io, struct io_op *op, struct io_socket **out, const char *host,
                uint16_t port);

/* Receives 1 .. size bytes; result 0: the peer has closed. At most one receive in flight. */
void io_recv(struct io *io, struct io_op *op, struct io_socket *s, void *buffer, size_t size);

/* Sends from `iovecs` (at most IO_IOVECS_MAX); the result may be short. At most one send in flight.
 */
void io_send(struct io *io, struct io_op *op, struct io_socket *s, const struct iovec *iovecs,
             unsigned count);

/* Closes both ways at once. Operations in flight are done with -ECANCELED (or their overtaking
 * result) in a later turn; the handle may not be used again. */
void io_socket_close(struct io *io, struct io_socket *s);

/* "host:port" of the other end. */
void io_socket_peer(struct io *io, struct io_socket *s, char out[static IO_ADDRESS_MAX]);

/* --- timers, cancel --------------------------------------------------------------------------- */

/* done(0) in the first turn at or after `deadline_ns` (of io_now()). */
void io_timer(struct io *io, struct io_op *op, uint64_t deadline_ns);

/* Asks for the end of an operation in flight; harmless on an idle one. Writes, syncs and unlinks in
 * flight are let run to their end. */
void io_cancel(struct io *io, struct io_op *op);

/* --- shards ----------------------------------------------------------------------------------- */

/* A message to a shard, embedded in its owner and left in place until deliver() is called there. */
struct io_message {
    void (*deliver)(struct io_message *m, struct io *io); /* on the receiving shard's thread */
    struct io_message *next;                              /* the backend's */
};

unsigned io_shard(const struct io *io);
unsigned io_shard_count(const struct io *io);

/* Sends `m` to shard `to` of the same group (also to itself: delivered in a later turn). Messages
 * of one sender arrive in order. From a shard's own thread, or from io_work() functions. Never
 * fails. */
void io_post(struct io *io, unsigned to, struct io_message *m);

/* Runs `function(argument)` on another thread; done(0) afterwards. The function is pure: it touches
 * only what `argument` names, and no struct io. */
void io_work(struct io *io, struct io_op *op, void (*function)(void *argument), void *argument);

/* The same for work that nobody waits for: whoever else wants the processor comes first. */
void io_work_behind(struct io *io, struct io_op *op, void (*function)(void *argument),
                    void *argument);

/* Runs `turn_end` once at the end of the current loop turn (before the loop waits): to gather what
 * the turn's handlers produced. `t` is embedded in its owner; scheduling it twice is harmless. */
struct io_turn {
    struct list link; /* NULL pointers: not scheduled */
    void (*turn_end)(struct io_turn *t);
};
void io_turn_end(struct io *io, struct io_turn *t);

/* Ends the node now: `format` says what happened, where, and what to do. Production prints the line
 * and exits with status 70; the simulator drops the node. Does not return. */
_Noreturn void io_fatal(struct io *io, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Asks this shard's loop to end after the current turn. Operations in flight are abandoned: done()
 * is not called for them, and their memory must live until io_group_close(). */
void io_stop(struct io *io);

/* --- production: opening the door ------------------------------------------------------------- */

enum io_backend { IO_BACKEND_AUTO, IO_BACKEND_URING, IO_BACKEND_EPOLL };

struct io_options {
    enum io_backend backend;
    unsigned shards;             /* 1 .. 64 */
    unsigned queue_entries;      /* of a submission ring; 0: 1024 */
    unsigned workers;            /* threads for what may block (epoll: files); 0: 2 */
    size_t memory_bytes;         /* the budget of each shard's heap; 0: none */
    unsigned disabled_features;  /* enum io_features to leave unused, so that each proves itself */
    const struct logger *logger; /* lent until io_group_close(); NULL: silent */
};

enum io_features {
    IO_FEATURE_DEFER_TASKRUN = 1 << 0,
    IO_FEATURE_REGISTERED_RING = 1 << 1,
    IO_FEATURE_MSG_RING = 1 << 2,
    IO_FEATURE_DSYNC_WRITE = 1 << 3, /* off: write, then fdatasync */
};

/* Opens one io per shard. With IO_BACKEND_AUTO io_uring is probed, and one line says why when epoll
 * is taken instead. `reason` (NULL, or IO_REASON_SIZE bytes) gets that line, or why it failed. 0 or
 * a negative errno. */
enum { IO_REASON_SIZE = 200 };
int io_group_open(struct io_group **out, const struct io_options *options, char *reason) MUST_CHECK;

/* The epoll backend alone, for the client library, which does not link liburing. */
int io_group_open_epoll(struct io_group **out, const struct io_options *options,
                        char *reason) MUST_CHECK;

struct io *io_group_shard(struct io_group *g, unsigned shard);

/* Calls start(io, argument) on each shard's thread (shard 0 is the calling thread), runs the loops,
 * and returns when every shard has called io_stop(). */
void io_group_run(struct io_group *g, void (*start)(struct io *io, void *argument), void *argument);

/* From a signal handler or any thread: posts `m` to shard 0. `m` must be idle. */
void io_group_signal(struct io_group *g, struct io_message *m);

/* Closes what is still open and frees every shard's heap. */
void io_group_close(struct io_group *g);

/* Raises the process's limit of open files as far as it may go and tells it. 0 or a negative errno.
 */
int io_raise_file_limit(uint64_t *limit) MUST_CHECK;

/* One turn of a single shard that is not running in io_group_run(): handles what is ready, waits at
 * most `timeout_ns` (0: not at all). For libraries that own their thread, and tests. */
void io_run_once(struct io *io, uint64_t timeout_ns);
