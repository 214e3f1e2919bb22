/* SPDX-License-Identifier: Apache-2.0 */

/* epoll: readiness for sockets, worker threads for files.
 *
 * Sockets are edge-triggered: each remembers whether an attempt may succeed. An operation tries at
 * once when it may, and its result waits for the next turn; otherwise the next edge tries. A
 * receive that filled only part of its buffer has emptied the socket, so that the common request
 * and answer costs one recv() and no EAGAIN; once the peer has hung up there may be no further
 * edge, and every receive tries. */
#include "io/posix.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    EVENTS_MAX = 256,
    HANGUP = EPOLLRDHUP | EPOLLHUP | EPOLLERR,
};

struct epoll_io {
    struct posix_io posix;
    int fd;
    bool coarse; /* the kernel lacks epoll_pwait2() */
    struct epoll_event events[EVENTS_MAX];
};

/* What an event names: a socket, a listener (tagged) or, when NULL, the eventfd. */
enum { LISTENER_TAG = 1 };

static struct epoll_io *epoll_of(struct posix_io *p)
{
    return (struct epoll_io *)p;
}

static int epoll_add(struct posix_io *p, int fd, uint32_t events, void *named)
{
    struct epoll_event event = {.events = events | EPOLLET, .data.ptr = named};
    return epoll_ctl(epoll_of(p)->fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static int epoll_adopt(struct posix_io *p, struct io_socket *s)
{
    s->writable = true;
    return epoll_add(p, s->fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP, s);
}

static int epoll_adopt_listener(struct posix_io *p, struct io_listener *l)
{
    return epoll_add(p, l->fd, EPOLLIN, (char *)l + LISTENER_TAG);
}

/* --- attempts: a result, or -EAGAIN and an edge will come ------------------------------------- */

static int64_t attempt_recv(struct posix_op *po)
{
    struct io_socket *s = po->transfer.socket;
    ssize_t got;
    do {
        got = recv(s->fd, po->transfer.buffer, po->transfer.size, 0);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        s->readable = errno != EAGAIN;
        return -errno;
    }
    if ((size_t)got < po->transfer.size && !s->hangup) {
        s->readable = false;
    }
    return got;
}

static int64_t attempt_send(struct posix_op *po)
{
    struct io_socket *s = po->transfer.socket;
    ssize_t sent;
    do {
        sent = sendmsg(s->fd, &po->transfer.message, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0) {
        s->writable = errno != EAGAIN;
        return -errno;
    }
    return sent;
}

static int64_t attempt_accept(struct posix_io *p, struct posix_op *po)
{
    struct io_listener *l = po->accept.listener;
    int fd;
    do {
        fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    } while (fd < 0 && (errno == EINTR || errno == ECONNABORTED || errno == EPROTO));
    if (fd < 0) {
        l->readable = errno != EAGAIN;
        return -errno;
    }
    return posix_accepted(p, po, fd);
}

static int64_t attempt_connect(struct posix_io *p, struct posix_op *po)
{
    struct io_socket *s = po->connect.socket;
    int result;
    do {
        result = connect(s->fd, &s->peer.any, address_size(&s->peer));
    } while (result < 0 && errno == EINTR);
    if (result < 0 && errno != EINPROGRESS) {
        return -errno;
    }
    /* Only now: before connect() a socket counts as hung up. */
    int error = epoll_adopt(p, s);
    if (error) {
        return error;
    }
    return result < 0 ? -EAGAIN : 0;
}

static void epoll_start(struct posix_io *p, struct io_op *op)
{
    struct posix_op *po = posix_op(op);
    int64_t result = -EAGAIN;
    switch ((enum op_kind)po->kind) {
    case OP_RECV:
        result = po->transfer.socket->readable ? attempt_recv(po) : -EAGAIN;
        break;
    case OP_SEND:
        result = po->transfer.socket->writable ? attempt_send(po) : -EAGAIN;
        break;
    case OP_ACCEPT:
        result = po->accept.listener->readable ? attempt_accept(p, po) : -EAGAIN;
        break;
    case OP_CONNECT:
        result = attempt_connect(p, po);
        break;
    default:
        file_submit(p, op);
        return;
    }
    if (result != -EAGAIN) {
        posix_ready(p, op, result);
    }
}

static void epoll_cancel(struct posix_io *p, struct io_op *op)
{
    struct posix_op *po = posix_op(op);
    if (po->kind != OP_READ || workers_cancel(&p->group->files, &po->job)) {
        posix_ready(p, op, -ECANCELED);
    }
}

/* --- events ----------------------------------------------------------------------------------- */

static void event_listener(struct posix_io *p, struct io_listener *l)
{
    l->readable = true;
    while (l->readable && !l->closing && !list_empty(&l->accepts)) {
        struct posix_op *po = container_of(list_first(&l->accepts), struct posix_op, accept.link);
        int64_t result = attempt_accept(p, po);
        if (result != -EAGAIN) {
            posix_finish(p, posix_op_owner(po), result);
        }
    }
}

static void event_connecting(struct posix_io *p, struct io_socket *s, uint32_t events)
{
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0) {
        error = errno;
    }
    if (error || events & EPOLLOUT) {
        posix_connected(p, s->sending, -error);
    }
}

static bool attempt_due(const struct io_op *op)
{
    return op && !posix_op((struct io_op *)op)->ready;
}

static void event_socket(struct posix_io *p, struct io_socket *s, uint32_t events)
{
    if (s->sending && posix_op(s->sending)->kind == OP_CONNECT) {
        if (attempt_due(s->sending)) {
            event_connecting(p, s, events);
        }
        return;
    }
    s->hangup |= (events & HANGUP) != 0;
    s->readable |= (events & (EPOLLIN | HANGUP)) != 0;
    s->writable |= (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0;
    if (s->readable && attempt_due(s->receiving)) {
        int64_t result = attempt_recv(posix_op(s->receiving));
        if (result != -EAGAIN) {
            posix_finish(p, s->receiving, result);
        }
    }
    /* The handler may have closed the socket; it is freed in the next turn. */
    if (s->writable && !s->closing && attempt_due(s->sending)) {
        int64_t result = attempt_send(posix_op(s->sending));
        if (result != -EAGAIN) {
            posix_finish(p, s->sending, result);
        }
    }
}

static int epoll_wait_ns(struct epoll_io *e, uint64_t wait_ns)
{
    struct timespec wait = {(time_t)(wait_ns / 1000000000), (long)(wait_ns % 1000000000)};
    if (!e->coarse) {
        int count =
            epoll_pwait2(e->fd, e->events, EVENTS_MAX, wait_ns == UINT64_MAX ? NULL : &wait, NULL);
        if (count >= 0 || errno != ENOSYS) {
            return count;
        }
        e->coarse = true;
    }
    int ms = wait_ns == UINT64_MAX            ? -1
             : wait_ns / 1000000 >= INT32_MAX ? INT32_MAX
                                              : (int)((wait_ns + 999999) / 1000000);
    return epoll_wait(e->fd, e->events, EVENTS_MAX, ms);
}

static void epoll_run_once(struct io *io, uint64_t timeout_ns)
{
    struct epoll_io *e = epoll_of(posix_of(io));
    struct posix_io *p = &e->posix;
    struct posix_io *outer = posix_enter(p);
    int count = epoll_wait_ns(e, posix_wait_ns(p, timeout_ns));
    assert(count >= 0 || errno == EINTR);
    posix_turn_begin(p);
    for (int i = 0; i < count; i++) {
        uintptr_t named = (uintptr_t)e->events[i].data.ptr;
        if (named & LISTENER_TAG) {
            event_listener(p, (struct io_listener *)(named - LISTENER_TAG));
        } else if (named) {
            event_socket(p, (struct io_socket *)named, e->events[i].events);
        }
    }
    posix_turn_end(p);
    posix_enter(outer);
}

/* --- life cycle ------------------------------------------------------------------------------- */

static int epoll_open(struct posix_io *p, const struct io_options *options, char *reason)
{
    struct epoll_io *e = epoll_of(p);
    e->fd = epoll_create1(EPOLL_CLOEXEC);
    int error = e->fd < 0 ? -errno : epoll_add(p, p->wake_fd, EPOLLIN, NULL);
    if (error && e->fd >= 0) {
        close(e->fd);
    }
    if (error) {
        snprintf(reason, IO_REASON_SIZE, "epoll is refused by this system (%s)",
                 strerrorname_np(-error));
    }
    return error;
}

static void epoll_leave(struct posix_io *p)
{
}

static void epoll_close(struct posix_io *p)
{
    close(epoll_of(p)->fd);
}

static void epoll_wake(struct posix_io *from, struct posix_io *to)
{
    posix_wake(to);
}

static const struct io_ops epoll_ops = {.name = "epoll", .run_once = epoll_run_once, POSIX_IO_OPS};

const struct posix_backend epoll_backend = {
    .ops = &epoll_ops,
    .size = sizeof(struct epoll_io),
    .open = epoll_open,
    .leave = epoll_leave,
    .close = epoll_close,
    .wake = epoll_wake,
    .start = epoll_start,
    .cancel = epoll_cancel,
    .adopt = epoll_adopt,
    .adopt_listener = epoll_adopt_listener,
    .socket_flags = SOCK_NONBLOCK,
};
