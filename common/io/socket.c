/* SPDX-License-Identifier: Apache-2.0 */

/* Sockets, as far as both backends agree: handles, names, addresses, and what closing means.
 *
 * A socket dies in two steps. io_socket_close() asks the backend to end what is in flight; when the
 * last operation is done the descriptor is closed, and the object is freed in the next turn,
 * because the backend may already have fetched events that name it.
 *
 * Several shards listen on one address with SO_REUSEPORT. That alone would let another process of
 * the same user listen there too and take half of the connections, so the first listener of a group
 * tries the address without it. */
#include "io/posix.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <unistd.h>

enum { LISTEN_BACKLOG = 4096, ACCEPTED_IDLE_S = 60, KEEPALIVE_EVERY_S = 5, KEEPALIVE_PROBES = 3 };

/* An address on which shards of the group listen. */
struct listening {
    struct list link;
    union address address;
    unsigned listeners;
};

/* --- addresses -------------------------------------------------------------------------------- */

static uint16_t address_port(const union address *a)
{
    return ntohs(a->any.sa_family == AF_INET6 ? a->v6.sin6_port : a->v4.sin_port);
}

static bool address_equal(const union address *a, const union address *b)
{
    if (a->any.sa_family != b->any.sa_family || address_port(a) != address_port(b)) {
        return false;
    }
    return a->any.sa_family == AF_INET6
               ? memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof a->v6.sin6_addr) == 0
               : a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
}

/* --- listeners -------------------------------------------------------------------------------- */

int socket_prepare(int fd, int idle_s)
{
    const struct {
        int level, name, value;
    } options[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, idle_s},
        {IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_EVERY_S},
        {IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES},
    };
    int result = 0;
    for (size_t i = 0; i < array_size(options) && result == 0; i++) {
        result = setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int));
    }
    return result;
}

static int open_listening(const union address *address, int flags, bool shared)
{
    int one = 1;
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    if (fd < 0) {
        return -errno;
    }
    /* Accepted sockets inherit what is set here. */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        socket_prepare(fd, ACCEPTED_IDLE_S) < 0 ||
        (shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) < 0) ||
        bind(fd, &address->any, address_size(address)) < 0 || listen(fd, LISTEN_BACKLOG) < 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

static struct listening *listening_find(struct io_group *g, const union address *address)
{
    list_each (node, &g->listening) {
        struct listening *l = container_of(node, struct listening, link);
        if (address_equal(&l->address, address)) {
            return l;
        }
    }
    return NULL;
}

/* With the group's lock held. The descriptor; *address becomes what was really bound. */
static int listen_shared(struct io_group *g, union address *address, int flags)
{
    struct listening *known = listening_find(g, address);
    if (!known && address_port(address) != 0) {
        int probe = open_listening(address, 0, false);
        if (probe < 0) {
            return probe;
        }
        close(probe);
    }
    int fd = open_listening(address, flags, true);
    if (fd < 0) {
        return fd;
    }
    socklen_t size = sizeof *address;
    int error = getsockname(fd, &address->any, &size) < 0 ? -errno : 0;
    if (!known && error == 0) {
        known = memory_alloc(&g->memory, sizeof *known);
        if (known) {
            known->address = *address;
            list_init(&known->link);
            list_append(&g->listening, &known->link);
        } else {
            error = -ENOMEM;
        }
    }
    if (error) {
        close(fd);
        return error;
    }
    known->listeners++;
    return fd;
}

static void listening_release(struct io_group *g, const union address *address)
{
    pthread_mutex_lock(&g->lock);
    struct listening *known = listening_find(g, address);
    assert(known && known->listeners > 0);
    if (--known->listeners == 0) {
        list_remove(&known->link);
        memory_free(&g->memory, known);
    }
    pthread_mutex_unlock(&g->lock);
}

static int listen_on(struct io_group *g, union address *address)
{
    int flags = g->backend->socket_flags;
    if (g->shards > 1) {
        pthread_mutex_lock(&g->lock);
        int fd = listen_shared(g, address, flags);
        pthread_mutex_unlock(&g->lock);
        return fd;
    }
    int fd = open_listening(address, flags, false);
    socklen_t size = sizeof *address;
    if (fd >= 0 && getsockname(fd, &address->any, &size) < 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

static void listener_free(struct posix_io *p, struct io_listener *l)
{
    close(l->fd);
    if (p->group->shards > 1) {
        listening_release(p->group, &l->address);
    }
    list_remove(&l->link);
    list_append(&p->buried_listeners, &l->link);
}

int posix_listen(struct io *io, struct io_listener **out, const char *host, uint16_t port,
                 uint16_t *port_out)
{
    struct posix_io *p = posix_of(io);
    struct addresses addresses = {.count = 1};
    struct io_listener *l = memory_alloc(&io->memory, sizeof *l);
    if (!l) {
        return -ENOMEM;
    }
    int error = address_parse(host, port, &addresses.items[0])
                    ? 0
                    : addresses_ask(&addresses, host, port, AI_PASSIVE);
    l->fd = -1;
    for (unsigned i = 0; i < addresses.count && error == 0 && l->fd < 0; i++) {
        l->address = addresses.items[i];
        l->fd = listen_on(p->group, &l->address);
    }
    error = error ? error : l->fd < 0 ? l->fd : 0;
    if (error) {
        memory_free(&io->memory, l);
        return error;
    }
    list_init(&l->accepts);
    list_init(&l->link);
    list_append(&p->listeners, &l->link);
    error = p->backend->adopt_listener ? p->backend->adopt_listener(p, l) : 0;
    if (error) {
        listener_free(p, l);
        return error;
    }
    *port_out = address_port(&l->address);
    *out = l;
    return 0;
}

void posix_accept(struct io *io, struct io_op *op, struct io_listener *l, struct io_socket **out)
{
    assert(!l->closing);
    *posix_op(op) = (struct posix_op){.kind = OP_ACCEPT, .accept = {.listener = l, .out = out}};
    struct list *link = &posix_op(op)->accept.link;
    l->waiting++;
    list_init(link);
    list_append(&l->accepts, link);
    posix_of(io)->backend->start(posix_of(io), op);
}

void posix_listener_close(struct io *io, struct io_listener *l)
{
    struct posix_io *p = posix_of(io);
    assert(!l->closing);
    l->closing = true;
    list_each (node, &l->accepts) {
        posix_cancel(io, posix_op_owner(container_of(node, struct posix_op, accept.link)));
    }
    if (l->waiting == 0) {
        listener_free(p, l);
    }
}

/* --- sockets ---------------------------------------------------------------------------------- */

struct io_socket *socket_new(struct posix_io *p, int fd)
{
    struct io_socket *s = memory_alloc(&p->io.memory, sizeof *s);
    if (!s) {
        close(fd);
        return NULL;
    }
    s->fd = fd;
    list_init(&s->link);
    list_append(&p->sockets, &s->link);
    return s;
}

void socket_free(struct posix_io *p, struct io_socket *s)
{
    assert(!s->receiving && !s->sending);
    close(s->fd);
    s->fd = -1;
    list_remove(&s->link);
    list_append(&p->buried, &s->link);
}

int64_t posix_accepted(struct posix_io *p, struct posix_op *po, int fd)
{
    assert(po->kind == OP_ACCEPT);
    struct io_socket *s = socket_new(p, fd);
    if (!s) {
        return -ENOBUFS;
    }
    socklen_t size = sizeof s->peer;
    int error = getpeername(fd, &s->peer.any, &size) < 0 ? -errno : 0;
    if (error == -ENOTCONN) {
        error = 0; /* the peer has gone again: the first receive will say so */
    }
    if (error == 0 && p->backend->adopt) {
        error = p->backend->adopt(p, s);
    }
    if (error) {
        socket_free(p, s);
        return error;
    }
    *po->accept.out = s;
    return 0;
}

void posix_recv(struct io *io, struct io_op *op, struct io_socket *s, void *buffer, size_t size)
{
    assert(!s->closing);
    assert(!s->receiving);
    struct posix_op *po = posix_op(op);
    *po = (struct posix_op){.kind = OP_RECV};
    po->transfer.socket = s;
    po->transfer.buffer = buffer;
    po->transfer.size = size < TRANSFER_MAX ? size : TRANSFER_MAX;
    s->receiving = op;
    posix_of(io)->backend->start(posix_of(io), op);
}

void posix_send(struct io *io, struct io_op *op, struct io_socket *s, const struct iovec *iovecs,
                unsigned count)
{
    assert(!s->closing);
    assert(!s->sending);
    struct posix_op *po = posix_op(op);
    *po = (struct posix_op){.kind = OP_SEND};
    po->transfer.socket = s;
    po->transfer.message = (struct msghdr){.msg_iov = (struct iovec *)iovecs, .msg_iovlen = count};
    s->sending = op;
    posix_of(io)->backend->start(posix_of(io), op);
}

static void socket_release(struct posix_io *p, struct io_socket *s)
{
    if (s->closing && !s->receiving && !s->sending) {
        socket_free(p, s);
    }
}

void posix_socket_close(struct io *io, struct io_socket *s)
{
    struct posix_io *p = posix_of(io);
    assert(!s->closing);
    s->closing = true;
    if (s->receiving) {
        posix_cancel(io, s->receiving);
    }
    if (s->sending) {
        posix_cancel(io, s->sending);
    }
    socket_release(p, s);
}

void posix_socket_peer(struct io *io, struct io_socket *s, char out[static IO_ADDRESS_MAX])
{
    char host[INET6_ADDRSTRLEN];
    if (s->peer.any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &s->peer.v6.sin6_addr, host, sizeof host);
        snprintf(out, IO_ADDRESS_MAX, "[%s]:%u", host, address_port(&s->peer));
    } else if (s->peer.any.sa_family == AF_INET) {
        inet_ntop(AF_INET, &s->peer.v4.sin_addr, host, sizeof host);
        snprintf(out, IO_ADDRESS_MAX, "%s:%u", host, address_port(&s->peer));
    } else {
        snprintf(out, IO_ADDRESS_MAX, "unknown");
    }
}

void socket_op_end(struct posix_io *p, struct io_op *op)
{
    struct posix_op *po = posix_op(op);
    if (po->kind == OP_ACCEPT) {
        struct io_listener *l = po->accept.listener;
        assert(l->waiting > 0);
        list_remove(&po->accept.link);
        if (--l->waiting == 0 && l->closing) {
            listener_free(p, l);
        }
    } else if (po->kind == OP_CONNECT) {
        assert(!po->connect.socket);
        lookup_free(po->connect.lookup);
    } else {
        struct io_socket *s = po->transfer.socket;
        struct io_op **slot = po->kind == OP_RECV ? &s->receiving : &s->sending;
        assert(*slot == op);
        *slot = NULL;
        socket_release(p, s);
    }
}

void sockets_bury(struct posix_io *p)
{
    struct list *node;
    while ((node = list_pop(&p->buried))) {
        memory_free(&p->io.memory, container_of(node, struct io_socket, link));
    }
    while ((node = list_pop(&p->buried_listeners))) {
        memory_free(&p->io.memory, container_of(node, struct io_listener, link));
    }
}

void sockets_shutdown(struct posix_io *p)
{
    list_each (node, &p->sockets) {
        shutdown(container_of(node, struct io_socket, link)->fd, SHUT_RDWR);
    }
    list_each (listener, &p->listeners) {
        shutdown(container_of(listener, struct io_listener, link)->fd, SHUT_RDWR);
    }
}

void sockets_close_all(struct posix_io *p)
{
    list_each (node, &p->sockets) {
        struct io_socket *s = container_of(node, struct io_socket, link);
        s->receiving = s->sending = NULL;
        socket_free(p, s);
    }
    list_each (listener, &p->listeners) {
        listener_free(p, container_of(listener, struct io_listener, link));
    }
    sockets_bury(p);
}
