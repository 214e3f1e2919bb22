/* SPDX-License-Identifier: Apache-2.0 */

/* Connecting by name with a resolver that blocks, fails, or knows several addresses. This program's
 * own getaddrinfo() stands before the system's. */
#include "unit/io/world.h"

#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <semaphore.h>

#include <criterion/criterion.h>

static sem_t blocked;                   /* "blocked.test" waits for it */
static _Atomic unsigned blocked_inside; /* lookups that wait */

typedef int getaddrinfo_fn(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **out)
{
    getaddrinfo_fn *real = (getaddrinfo_fn *)dlsym(RTLD_NEXT, "getaddrinfo");
    if (strcmp(node, "blocked.test") == 0) {
        blocked_inside++;
        sem_wait(&blocked);
        blocked_inside--;
        return EAI_AGAIN;
    }
    if (strcmp(node, "unknown.test") == 0) {
        return EAI_NONAME;
    }
    if (strcmp(node, "two.test") == 0) {
        /* Nobody listens on the first. */
        int code = real("127.0.0.2", service, hints, out);
        return code ? code : real("127.0.0.1", service, hints, &(*out)->ai_next);
    }
    return real(node, service, hints, out);
}

struct names {
    struct world w;
    struct io *io;
};

static void names_open(struct names *n, enum io_backend backend)
{
    sem_init(&blocked, 0, 0);
    world_init(&n->w, backend, 1, 0);
    n->io = n->w.contract.open(&n->w.contract);
}

static void names_close(struct names *n)
{
    n->w.contract.close(&n->w.contract);
    world_deinit(&n->w);
}

/* Lets every blocked lookup go and waits until it has. */
static void names_release(unsigned lookups)
{
    for (unsigned i = 0; i < lookups; i++) {
        sem_post(&blocked);
    }
    while (blocked_inside > 0) {
    }
}

static void wait_inside(unsigned lookups)
{
    while (blocked_inside < lookups) {
    }
}

static void cancel_a_blocked_lookup(enum io_backend backend)
{
    struct names n;
    names_open(&n, backend);
    struct io *io = n.io;
    struct io_socket *s = NULL;
    struct contract_op c = {0}, timer = {0};
    SUBMIT(&c, io_connect(io, op, &s, "blocked.test", 9092));
    wait_inside(1);
    io_cancel(io, &c.op);
    cr_assert_eq(contract_wait(&n.w.contract, &c), -ECANCELED);
    SUBMIT(&c, io_connect(io, op, &s, "unknown.test", 9092));
    cr_assert_eq(contract_wait(&n.w.contract, &c), -EHOSTUNREACH, "one lookup holds up another");
    names_release(1);
    /* Its answer comes too late to be heard. */
    cr_assert_eq(RESULT(&n.w.contract, &timer, io_timer(io, op, io_now(io) + 2000000)), 0);
    cr_assert_null(s);
    names_close(&n);
}

Test(io_names, a_blocked_lookup_may_be_cancelled_uring, .timeout = 20)
{
    cancel_a_blocked_lookup(IO_BACKEND_URING);
}

Test(io_names, a_blocked_lookup_may_be_cancelled_epoll, .timeout = 20)
{
    cancel_a_blocked_lookup(IO_BACKEND_EPOLL);
}

Test(io_names, closing_does_not_wait_for_a_lookup, .timeout = 20)
{
    struct names n;
    names_open(&n, IO_BACKEND_EPOLL);
    struct io *io = n.io;
    struct io_socket *s = NULL;
    struct contract_op c = {0};
    SUBMIT(&c, io_connect(io, op, &s, "blocked.test", 9092));
    wait_inside(1);
    names_close(&n); /* would hang here */
    names_release(1);
}

Test(io_names, a_group_may_close_at_any_moment_of_a_lookup, .timeout = 60)
{
    for (unsigned round = 0; round < 300; round++) {
        struct names n;
        names_open(&n, IO_BACKEND_EPOLL);
        struct io *io = n.io;
        struct io_socket *s = NULL;
        struct contract_op c = {0};
        SUBMIT(&c, io_connect(io, op, &s, "unknown.test", 9092));
        for (volatile unsigned wait = round * 200; wait > 0; wait--) {
        }
        if (round % 3 == 0) {
            io_cancel(io, &c.op);
        }
        if (round % 5 == 0) {
            n.w.contract.turn(&n.w.contract);
        }
        names_close(&n);
    }
}

Test(io_names, too_many_lookups_are_refused, .timeout = 20)
{
    enum { LOOKUPS = 40, RUNNING = 32 };
    struct names n;
    names_open(&n, IO_BACKEND_EPOLL);
    struct io *io = n.io;
    struct io_socket *s = NULL;
    struct contract_op ops[LOOKUPS] = {0};
    for (unsigned i = 0; i < LOOKUPS; i++) {
        SUBMIT(&ops[i], io_connect(io, op, &s, "blocked.test", 9092));
    }
    wait_inside(RUNNING);
    for (unsigned i = RUNNING; i < LOOKUPS; i++) {
        cr_assert_eq(contract_wait(&n.w.contract, &ops[i]), -EAGAIN);
    }
    names_release(RUNNING);
    for (unsigned i = 0; i < RUNNING; i++) {
        cr_assert_eq(contract_wait(&n.w.contract, &ops[i]), -EHOSTUNREACH);
    }
    names_close(&n);
}

static void try_the_next_address(enum io_backend backend)
{
    struct names n;
    names_open(&n, backend);
    struct io *io = n.io;
    struct io_listener *l = NULL;
    struct io_socket *s = NULL;
    struct contract_op c = {0};
    uint16_t port = 0;
    cr_assert_eq(io_listen(io, &l, "127.0.0.1", 0, &port), 0);
    cr_assert_eq(RESULT(&n.w.contract, &c, io_connect(io, op, &s, "two.test", port)), 0);
    char peer[IO_ADDRESS_MAX];
    io_socket_peer(io, s, peer);
    cr_assert_eq(strncmp(peer, "127.0.0.1:", 10), 0, "connected to %s", peer);
    io_socket_close(io, s);
    io_listener_close(io, l);
    n.w.contract.turn(&n.w.contract);
    cr_assert_eq(RESULT(&n.w.contract, &c, io_connect(io, op, &s, "two.test", port)), -ECONNREFUSED,
                 "when none is left, the last one's answer counts");
    names_close(&n);
}

Test(io_names, the_next_address_is_tried_uring)
{
    try_the_next_address(IO_BACKEND_URING);
}

Test(io_names, the_next_address_is_tried_epoll)
{
    try_the_next_address(IO_BACKEND_EPOLL);
}
