/* SPDX-License-Identifier: Apache-2.0 */

/* op: operations and handles, as both production backends keep them. Private to common/io. */
#pragma once

#include "base/heap.h"
#include "io/backend.h"
#include "io/workers.h"

#include <netinet/in.h>
#include <stdatomic.h>
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

struct addresses {
    unsigned count;
    union address items[ADDRESSES_MAX];
};

/* A host and port on its way to a connection. */
struct lookup {
    struct memory memory; /* that it stands in */
    struct list link;     /* of posix_io.lookups */
    struct posix_io *owner;
    struct io_op *op; /* NULL: cancelled */
    bool asked;       /* of a thread, see connect.c */
    atomic_int state; /* enum lookup_state */
    int error;        /* of the latest attempt */
    unsigned tried;   /* addresses */
    struct addresses addresses;
    struct io_message done;
    uint16_t port;
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
            struct lookup *lookup; /* NULL: cancelled while it was looked up */
        } connect;
        struct {
            struct job job;
            void (*function)(void *argument);
            void *argument;
            bool behind;
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
