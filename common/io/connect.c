/* SPDX-License-Identifier: Apache-2.0 */

/* Names, addresses and connecting.
 *
 *     looking up --lookup_done--> trying --posix_connected(0)--> done
 *         |                        |  ^
 *         | connect_cancel         |  | posix_connected(error): the next address
 *         v                        `--'
 *     forgotten: the thread throws its answer away
 *
 * The system's resolver may block for many seconds and cannot be interrupted. So a lookup runs on a
 * detached thread, in memory of its own, and neither a cancellation nor io_group_close() waits for
 * it. Who comes second frees that memory:
 *
 *     PENDING --thread--> POSTING --thread, its last touch--> POSTED --shard frees
 *        `--shard--> FORGOTTEN --thread frees */
#include "io/posix.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

enum { LOOKUPS_MAX = 32, LOOKUP_STACK_SIZE = 512 << 10, CONNECTED_IDLE_S = 10 };

enum lookup_state { LOOKUP_PENDING, LOOKUP_POSTING, LOOKUP_POSTED, LOOKUP_FORGOTTEN };

/* Threads of the whole process; they may outlive the group that started them. */
static atomic_uint lookups_running;

/* --- lookups ---------------------------------------------------------------------------------- */

bool address_parse(const char *host, uint16_t port, union address *out)
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

static int lookup_errno(int code)
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

int addresses_ask(struct addresses *out, const char *host, uint16_t port, int flags)
{
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
    struct addrinfo *answer = NULL;
    int code = getaddrinfo(host, service, &hints, &answer);
    if (code != 0) {
        return lookup_errno(code);
    }
    out->count = 0;
    for (struct addrinfo *a = answer; a && out->count < ADDRESSES_MAX; a = a->ai_next) {
        if (a->ai_addrlen <= sizeof out->items[0]) {
            memcpy(&out->items[out->count++], a->ai_addr, a->ai_addrlen);
        }
    }
    freeaddrinfo(answer);
    return out->count > 0 ? 0 : -EHOSTUNREACH;
}

/* It owns the memory that it stands in. */
static struct lookup *lookup_new(struct posix_io *p, struct io_op *op, uint16_t port)
{
    struct memory memory;
    memory_init(&memory, SIZE_MAX);
    struct lookup *l = memory_alloc(&memory, sizeof *l);
    if (l) {
        l->memory = memory;
        l->owner = p;
        l->op = op;
        l->port = port;
        list_init(&l->link);
        list_append(&p->lookups, &l->link);
    }
    return l;
}

static void lookup_drop(struct lookup *l)
{
    struct memory memory = l->memory;
    memory_drop(&memory);
}

void lookup_free(struct lookup *l)
{
    if (l) {
        list_remove(&l->link);
        lookup_drop(l);
    }
}

static void *lookup_main(void *argument)
{
    struct lookup *l = argument;
    l->error = addresses_ask(&l->addresses, l->host, l->port, 0);
    int pending = LOOKUP_PENDING;
    if (atomic_compare_exchange_strong(&l->state, &pending, LOOKUP_POSTING)) {
        posix_message(l->owner, &l->done);
        atomic_store(&l->state, LOOKUP_POSTED);
    } else {
        assert(pending == LOOKUP_FORGOTTEN);
        lookup_drop(l);
    }
    atomic_fetch_sub(&lookups_running, 1);
    return NULL;
}

/* Gives the lookup up. False: its thread is posting or has posted, and does not touch it any more.
 */
static bool lookup_forget(struct lookup *l)
{
    int pending = LOOKUP_PENDING;
    list_remove(&l->link); /* before the thread may free it */
    if (atomic_compare_exchange_strong(&l->state, &pending, LOOKUP_FORGOTTEN)) {
        return true;
    }
    list_append(&l->owner->lookups, &l->link);
    while (atomic_load(&l->state) != LOOKUP_POSTED) {
        sched_yield();
    }
    return false;
}

void lookups_forget_all(struct posix_io *p)
{
    list_each (node, &p->lookups) {
        struct lookup *l = container_of(node, struct lookup, link);
        if (!l->asked || !lookup_forget(l)) {
            lookup_free(l);
        }
    }
}

/* --- connecting ------------------------------------------------------------------------------- */

static int connect_open(struct posix_io *p, struct io_op *op, const union address *address)
{
    int fd =
        socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | p->backend->socket_flags, 0);
    if (fd < 0) {
        return -errno;
    }
    if (socket_prepare(fd, CONNECTED_IDLE_S) < 0) {
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
    struct lookup *l = posix_op(op)->connect.lookup;
    while (l->tried < l->addresses.count) {
        l->error = connect_open(p, op, &l->addresses.items[l->tried++]);
        if (l->error == 0) {
            p->backend->start(p, op);
            return;
        }
    }
    posix_ready(p, op, l->error);
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
    po->connect.lookup->error = (int)result;
    connect_try(p, op);
}

static void lookup_done(struct io_message *m, struct io *io)
{
    struct lookup *l = container_of(m, struct lookup, done);
    while (atomic_load(&l->state) != LOOKUP_POSTED) {
        sched_yield();
    }
    if (l->op) {
        connect_try(posix_of(io), l->op);
    } else {
        lookup_free(l);
    }
}

static int lookup_start(struct lookup *l)
{
    if (atomic_fetch_add(&lookups_running, 1) >= LOOKUPS_MAX) {
        atomic_fetch_sub(&lookups_running, 1);
        return -EAGAIN;
    }
    pthread_t thread;
    l->done.deliver = lookup_done;
    l->asked = true;
    int error = thread_start(&thread, LOOKUP_STACK_SIZE, lookup_main, l);
    if (error) {
        l->asked = false;
        atomic_fetch_sub(&lookups_running, 1);
        return error;
    }
    pthread_detach(thread);
    return 0;
}

void posix_connect(struct io *io, struct io_op *op, struct io_socket **out, const char *host,
                   uint16_t port)
{
    struct posix_io *p = posix_of(io);
    struct posix_op *po = posix_op(op);
    struct lookup *l = lookup_new(p, op, port);
    *po = (struct posix_op){.kind = OP_CONNECT, .connect = {.out = out, .lookup = l}};
    if (!l || strlen(host) >= sizeof l->host) {
        posix_ready(p, op, l ? -EHOSTUNREACH : -ENOBUFS);
        return;
    }
    if (address_parse(host, port, &l->addresses.items[0])) {
        l->addresses.count = 1;
        connect_try(p, op);
        return;
    }
    memcpy(l->host, host, strlen(host) + 1);
    int error = lookup_start(l);
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
    if (!lookup_forget(po->connect.lookup)) {
        po->connect.lookup->op = NULL;
    }
    po->connect.lookup = NULL;
    posix_ready(p, op, -ECANCELED);
}
