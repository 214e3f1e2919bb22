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
#include <netinet/tcp.h>
#include <stdio.h>
#include <unistd.h>

enum { LISTEN_BACKLOG = 4096 };

/* An address on which shards of the group listen. */
struct listening {
    struct list link;
    union address address;
    unsigned listeners;
};

/* --- addresses
 * ------------------------------------------------------------------------------------- */

static bool address_parse(const char *host, uint16_t port, union address *out)
{
    *out = (union address){0};
    if (inet_pton(AF_INET, host, &out->v4.sin_addr) == 1) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons(port);
        return true;
    }
    if (inet_pton(AF_INET6, host, &out->v6.sin6_addr) == 1) {
        out->v6.sin6_family = AF_INET6;
        out->v6.sin6_port = htons(port);
        return true;
    }
    return false;
}

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

static int resolve_errno(int code)
{
    switch (code) {
    case EAI_MEMORY:
        return -ENOMEM;
    case EAI_SYSTEM:
        return errno ? -errno : -EHOSTUNREACH;
    default:
        return -EHOSTUNREACH;
    }
}

/* Asks the system's resolver; blocks. 0 with count > 0, or a negative errno. */
static int resolve_ask(struct resolve *r, int flags)
{
    char service[8];
    snprintf(service, sizeof service, "%u", r->port);
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
    struct addrinfo *answer = NULL;
    int code = getaddrinfo(r->host, service, &hints, &answer);
    if (code != 0) {
        return resolve_errno(code);
    }
    for (struct addrinfo *a = answer; a && r->count < ADDRESSES_MAX; a = a->ai_next) {
        if (a->ai_addrlen <= sizeof r->addresses[0]) {
            memcpy(&r->addresses[r->count++], a->ai_addr, a->ai_addrlen);
        }
    }
    freeaddrinfo(answer);
    return r->count > 0 ? 0 : -EHOSTUNREACH;
}

/* --- listeners
 * ------------------------------------------------------------------------------------- */

static int open_listening(const union address *address, int flags, bool shared)
{
    int one = 1;
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    if (fd < 0) {
        return -errno;
    }
    /* Accepted sockets inherit TCP_NODELAY. */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0 ||
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
    struct resolve names = {.port = port};
    if (strlen(host) >= sizeof names.host) {
        return -EINVAL;
    }
    struct io_listener *l = memory_alloc(&io->memory, sizeof *l);
    if (!l) {
        return -ENOMEM;
    }
    int error = 0;
    if (address_parse(host, port, &names.addresses[0])) {
        names.count = 1;
    } else {
        strcpy(names.host, host);
        error = resolve_ask(&names, AI_PASSIVE);
    }
    l->fd = -1;
    for (unsigned i = 0; i < names.count && l->fd < 0; i++) {
        l->address = names.addresses[i];
        l->fd = listen_on(p->group, &l->address);
        error = l->fd < 0 ? l->fd : 0;
    }
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

/* --- sockets
 * --------------------------------------------------------------------------------------- */

/* Takes `fd` in every case. */
static struct io_socket *socket_new(struct posix_io *p, int fd)
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

static void socket_free(struct posix_io *p, struct io_socket *s)
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
        memory_free(&p->io.memory, po->connect.resolve);
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

/* --- connecting
 * ------------------------------------------------------------------------------------
 *
 *     resolving --resolve_done--> trying --posix_connected(0)--> done
 *         |                        |  ^
 *         | connect_cancel         |  | posix_connected(error): the next address
 *         v                        `--'
 *     orphaned: the resolver's answer is thrown away */

static int connect_open(struct posix_io *p, struct io_op *op, const union address *address)
{
    int one = 1;
    int fd =
        socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | p->backend->socket_flags, 0);
    if (fd < 0) {
        return -errno;
    }
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    struct io_socket *s = socket_new(p, fd);
    if (!s) {
        return -ENOBUFS;
    }
    s->peer = *address;
    s->sending = op;
    posix_op(op)->connect.socket = s;
    return 0;
}

static void connect_try(struct posix_io *p, struct io_op *op)
{
    struct resolve *r = posix_op(op)->connect.resolve;
    while (r->next < r->count) {
        r->error = connect_open(p, op, &r->addresses[r->next++]);
        if (r->error == 0) {
            p->backend->start(p, op);
            return;
        }
    }
    posix_ready(p, op, r->error);
}

void posix_connected(struct posix_io *p, struct io_op *op, int64_t result)
{
    struct posix_op *po = posix_op(op);
    struct io_socket *s = po->connect.socket;
    assert(s->sending == op);
    s->sending = NULL;
    po->connect.socket = NULL;
    if (result >= 0) {
        *po->connect.out = s;
        posix_finish(p, op, 0);
        return;
    }
    socket_free(p, s);
    if (po->cancelled) {
        posix_finish(p, op, -ECANCELED);
        return;
    }
    po->connect.resolve->error = (int)result;
    connect_try(p, op);
}

static void resolve_run(struct job *j)
{
    struct resolve *r = container_of(j, struct resolve, job);
    r->error = resolve_ask(r, 0);
}

static void resolve_done(struct io_message *m, struct io *io)
{
    struct resolve *r = container_of(m, struct resolve, job.done);
    if (!r->op) {
        memory_free(&io->memory, r);
        return;
    }
    connect_try(posix_of(io), r->op);
}

void posix_connect(struct io *io, struct io_op *op, struct io_socket **out, const char *host,
                   uint16_t port)
{
    struct posix_io *p = posix_of(io);
    struct posix_op *po = posix_op(op);
    *po = (struct posix_op){.kind = OP_CONNECT, .connect = {.out = out}};
    struct resolve *r = memory_alloc(&io->memory, sizeof *r);
    po->connect.resolve = r;
    if (!r || strlen(host) >= sizeof r->host) {
        posix_ready(p, op, r ? -EHOSTUNREACH : -ENOBUFS);
        return;
    }
    r->op = op;
    r->port = port;
    strcpy(r->host, host);
    if (address_parse(host, port, &r->addresses[0])) {
        r->count = 1;
        connect_try(p, op);
        return;
    }
    r->job = (struct job){.owner = p, .run = resolve_run, .done = {.deliver = resolve_done}};
    int error = workers_submit(&p->group->names, &r->job);
    if (error) {
        posix_ready(p, op, error);
    }
}

void connect_cancel(struct posix_io *p, struct io_op *op)
{
    struct posix_op *po = posix_op(op);
    if (po->connect.socket) {
        p->backend->cancel(p, op);
        return;
    }
    if (!workers_cancel(&p->group->names, &po->connect.resolve->job)) {
        po->connect.resolve->op = NULL;
        po->connect.resolve = NULL;
    }
    posix_ready(p, op, -ECANCELED);
}
