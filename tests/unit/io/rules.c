/* SPDX-License-Identifier: Apache-2.0 */

/* What a caller must not do ends the process at the place where it is done, on every backend; and
 * what io_fatal() does. */
#include "io/socket.h"
#include "unit/io/world.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <criterion/criterion.h>
#include <criterion/redirect.h>

struct rule {
    struct world w;
    struct io *io;
    struct io_file *file;
    struct contract_op a, b;
    uint8_t *bytes;
};

static void rule_open(struct rule *r, enum io_backend backend)
{
    *r = (struct rule){0};
    world_init(&r->w, backend, 1, 0);
    r->io = r->w.contract.open(&r->w.contract);
    cr_assert_eq(io_file_open(r->io, &r->file, contract_path(&r->w.contract, "f"),
                              IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_DIRECT),
                 0);
    r->bytes = aligned_alloc(IO_BLOCK_SIZE, 4 * IO_BLOCK_SIZE);
    cr_redirect_stderr();
    /* The process dies in what follows: the directory must not outlive it. */
    world_deinit(&r->w);
}

static void overlap(enum io_backend backend)
{
    struct rule r;
    rule_open(&r, backend);
    struct iovec two = {r.bytes, 2 * IO_BLOCK_SIZE}, one = {r.bytes, IO_BLOCK_SIZE};
    struct io *io = r.io;
    SUBMIT(&r.a, io_write(io, op, r.file, &two, 1, 0, 0));
    SUBMIT(&r.b, io_write(io, op, r.file, &one, 1, IO_BLOCK_SIZE, 0));
}

Test(io_rules, overlapping_writes_uring, .signal = SIGABRT)
{
    overlap(IO_BACKEND_URING);
}

Test(io_rules, overlapping_writes_epoll, .signal = SIGABRT)
{
    overlap(IO_BACKEND_EPOLL);
}

/* The same writes one after the other, and side by side, are fine. */
static void adjacent(enum io_backend backend)
{
    struct rule r;
    rule_open(&r, backend);
    struct iovec two = {r.bytes, 2 * IO_BLOCK_SIZE}, one = {r.bytes, IO_BLOCK_SIZE};
    struct io *io = r.io;
    SUBMIT(&r.a, io_write(io, op, r.file, &two, 1, 0, 0));
    SUBMIT(&r.b, io_write(io, op, r.file, &one, 1, 2 * IO_BLOCK_SIZE, 0));
    cr_assert_eq(contract_wait(&r.w.contract, &r.a), 2 * IO_BLOCK_SIZE);
    cr_assert_eq(contract_wait(&r.w.contract, &r.b), IO_BLOCK_SIZE);
    cr_assert_eq(RESULT(&r.w.contract, &r.a, io_write(io, op, r.file, &two, 1, 0, 0)),
                 2 * IO_BLOCK_SIZE);
    r.w.contract.close(&r.w.contract);
    free(r.bytes);
}

Test(io_rules, adjacent_writes_uring)
{
    adjacent(IO_BACKEND_URING);
}

Test(io_rules, adjacent_writes_epoll)
{
    adjacent(IO_BACKEND_EPOLL);
}

Test(io_rules, an_unaligned_direct_buffer, .signal = SIGABRT)
{
    struct rule r;
    rule_open(&r, IO_BACKEND_EPOLL);
    struct io *io = r.io;
    SUBMIT(&r.a, io_read(io, op, r.file, r.bytes + 512, IO_BLOCK_SIZE, 0));
}

Test(io_rules, an_unaligned_direct_size, .signal = SIGABRT)
{
    struct rule r;
    rule_open(&r, IO_BACKEND_EPOLL);
    struct iovec odd = {r.bytes, 512};
    struct io *io = r.io;
    SUBMIT(&r.a, io_write(io, op, r.file, &odd, 1, 0, 0));
}

Test(io_rules, an_unaligned_direct_position, .signal = SIGABRT)
{
    struct rule r;
    rule_open(&r, IO_BACKEND_EPOLL);
    struct iovec one = {r.bytes, IO_BLOCK_SIZE};
    struct io *io = r.io;
    SUBMIT(&r.a, io_write(io, op, r.file, &one, 1, 512, 0));
}

Test(io_rules, an_operation_in_flight_is_submitted_again, .signal = SIGABRT)
{
    struct rule r;
    rule_open(&r, IO_BACKEND_EPOLL);
    struct io *io = r.io;
    SUBMIT(&r.a, io_timer(io, op, UINT64_MAX));
    io_timer(io, &r.a.op, UINT64_MAX);
}

Test(io_rules, a_file_is_closed_under_an_operation, .signal = SIGABRT)
{
    struct rule r;
    rule_open(&r, IO_BACKEND_EPOLL);
    struct io *io = r.io;
    SUBMIT(&r.a, io_sync(io, op, r.file));
    io_file_close(io, r.file);
}

static void receive_twice(enum io_backend backend)
{
    struct rule r;
    rule_open(&r, backend);
    struct io *io = r.io;
    struct io_listener *l;
    struct io_socket *s;
    uint16_t port;
    cr_assert_eq(io_listen(io, &l, "127.0.0.1", 0, &port), 0);
    cr_assert_eq(RESULT(&r.w.contract, &r.a, io_connect(io, op, &s, "127.0.0.1", port)), 0);
    SUBMIT(&r.a, io_recv(io, op, s, r.bytes, 10));
    SUBMIT(&r.b, io_recv(io, op, s, r.bytes, 10));
}

Test(io_rules, two_receives_of_one_socket_uring, .signal = SIGABRT)
{
    receive_twice(IO_BACKEND_URING);
}

Test(io_rules, two_receives_of_one_socket_epoll, .signal = SIGABRT)
{
    receive_twice(IO_BACKEND_EPOLL);
}

/* --- a heap that is used up ------------------------------------------------------------------- */

static void no_memory(enum io_backend backend)
{
    struct world w;
    world_init(&w, backend, 1, 0);
    w.options.memory_bytes = 1;
    struct io *io = w.contract.open(&w.contract);
    struct io_file *file = NULL;
    struct io_listener *l = NULL;
    struct io_socket *s = NULL;
    struct contract_op c = {0};
    uint16_t port;
    cr_assert_eq(io_file_open(io, &file, w.directory, IO_OPEN_DIRECTORY), -ENOMEM);
    cr_assert_eq(io_listen(io, &l, "127.0.0.1", 0, &port), -ENOMEM);
    cr_assert_eq(RESULT(&w.contract, &c, io_unlink(io, op, contract_path(&w.contract, "x"))),
                 -ENOBUFS);
    cr_assert_eq(RESULT(&w.contract, &c, io_connect(io, op, &s, "127.0.0.1", 9)), -ENOBUFS);
    cr_assert(!file && !l && !s);
    w.contract.close(&w.contract);
    world_deinit(&w);
}

Test(io_rules, a_full_heap_is_an_answer_uring)
{
    no_memory(IO_BACKEND_URING);
}

Test(io_rules, a_full_heap_is_an_answer_epoll)
{
    no_memory(IO_BACKEND_EPOLL);
}

/* --- the end of a node ------------------------------------------------------------------------ */

Test(io_rules, fatal_says_why_and_exits, .exit_code = 70)
{
    struct rule r;
    rule_open(&r, IO_BACKEND_EPOLL);
    io_fatal(r.io, "shard %u: write of %s failed", 3, "journal-0");
}

Test(io_rules, fatal_prints_one_line)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    struct rule r;
    rule_open(&r, IO_BACKEND_EPOLL);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        io_fatal(r.io, "shard %u: write of %s failed", 3, "journal-0");
    }
    close(ends[1]);
    char line[200] = {0};
    size_t have = 0;
    for (ssize_t got; (got = read(ends[0], line + have, sizeof line - 1 - have)) > 0;) {
        have += (size_t)got;
    }
    cr_assert_str_eq(line, "leatd: fatal: shard 3: write of journal-0 failed\n");
}

Test(io_rules, connections_are_probed)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), value = 0;
    socklen_t size = sizeof value;
    cr_assert_eq(socket_prepare(fd, 10), 0);
    cr_assert(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &value, &size) == 0 && value == 1);
    cr_assert(getsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &value, &size) == 0 && value == 10);
    cr_assert(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &size) == 0 && value == 1);
    close(fd);
}
