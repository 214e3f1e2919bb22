/* SPDX-License-Identifier: Apache-2.0 */

/* Shards on threads of their own: messages under load, wakes, io_work(), signals, stopping in the
 * middle of everything, sharing a port, and the choice of a backend. */
#include "unit/io/world.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <criterion/criterion.h>

/* --- 1e5 messages each way between two threads ------------------------------------------------ */

enum { MESSAGES = 100000, SENT_PER_TURN = 64 };

struct note {
    struct io_message message;
    struct traffic *traffic;
    unsigned from, number;
};

struct traffic {
    struct side {
        struct note *notes;
        unsigned sent, received;
        struct io_op timer;
        struct traffic *traffic;
        struct io *io;
    } sides[2];
};

static void side_check(struct side *s)
{
    if (s->sent == MESSAGES && s->received == MESSAGES) {
        io_stop(s->io);
    }
}

static void note_deliver(struct io_message *m, struct io *io)
{
    struct note *n = container_of(m, struct note, message);
    struct side *s = &n->traffic->sides[io_shard(io)];
    cr_assert_neq(n->from, io_shard(io));
    cr_assert_eq(n->number, s->received, "shard %u got %u after %u", io_shard(io), n->number,
                 s->received);
    s->received++;
    side_check(s);
}

static void side_send(struct io_op *op, int64_t result)
{
    struct side *s = container_of(op, struct side, timer);
    unsigned me = io_shard(s->io);
    cr_assert_eq(result, 0);
    for (unsigned i = 0; i < SENT_PER_TURN && s->sent < MESSAGES; i++) {
        struct note *n = &s->notes[s->sent];
        *n = (struct note){{.deliver = note_deliver}, s->traffic, me, s->sent};
        s->sent++;
        io_post(s->io, 1 - me, &n->message);
    }
    if (s->sent < MESSAGES) {
        /* Pauses of all lengths, so that the other side is often about to fall asleep. */
        io_timer(s->io, op, io_now(s->io) + s->sent % 5 * 10000);
    }
    side_check(s);
}

static void side_start(struct io *io, void *argument)
{
    struct traffic *t = argument;
    struct side *s = &t->sides[io_shard(io)];
    s->io = io;
    s->timer.done = side_send;
    io_timer(io, &s->timer, 0);
}

static void exchange_messages(enum io_backend backend, unsigned disabled)
{
    struct io_group *g = world_group(backend, 2, disabled);
    struct traffic t = {0};
    for (unsigned i = 0; i < 2; i++) {
        t.sides[i].notes = calloc(MESSAGES, sizeof *t.sides[i].notes);
        t.sides[i].traffic = &t;
    }
    io_group_run(g, side_start, &t);
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(t.sides[i].received, MESSAGES);
        free(t.sides[i].notes);
    }
    io_group_close(g);
}

Test(io_group, threads_exchange_messages_uring, .timeout = 60)
{
    exchange_messages(IO_BACKEND_URING, 0);
}

Test(io_group, threads_exchange_messages_eventfd, .timeout = 60)
{
    exchange_messages(IO_BACKEND_URING, IO_FEATURE_MSG_RING);
}

Test(io_group, threads_exchange_messages_epoll, .timeout = 60)
{
    exchange_messages(IO_BACKEND_EPOLL, 0);
}

/* --- a ball between sleeping threads: every throw needs a wake -------------------------------- */

enum { THROWS = 5000 };

struct ball {
    struct io_message message;
    struct io_message stop;
    unsigned left;
};

static void ball_stop(struct io_message *m, struct io *io)
{
    io_stop(io);
}

static void ball_throw(struct io_message *m, struct io *io)
{
    struct ball *b = container_of(m, struct ball, message);
    unsigned next = (io_shard(io) + 1) % io_shard_count(io);
    if (b->left > 0) {
        b->left--;
        io_post(io, next, m);
    } else {
        b->stop.deliver = ball_stop;
        io_post(io, next, &b->stop);
        io_stop(io); /* what it has just posted still leaves */
    }
}

static void ball_start(struct io *io, void *argument)
{
    struct ball *b = argument;
    if (io_shard(io) == 0) {
        b->message.deliver = ball_throw;
        io_post(io, 1, &b->message);
    }
}

static void throw_ball(enum io_backend backend, unsigned disabled)
{
    struct io_group *g = world_group(backend, 2, disabled);
    struct ball b = {.left = THROWS};
    io_group_run(g, ball_start, &b);
    cr_assert_eq(b.left, 0);
    io_group_close(g);
}

Test(io_group, sleepers_are_woken_uring, .timeout = 60)
{
    throw_ball(IO_BACKEND_URING, 0);
}

Test(io_group, sleepers_are_woken_eventfd, .timeout = 60)
{
    throw_ball(IO_BACKEND_URING, IO_FEATURE_MSG_RING | IO_FEATURE_DEFER_TASKRUN);
}

Test(io_group, sleepers_are_woken_epoll, .timeout = 60)
{
    throw_ball(IO_BACKEND_EPOLL, 0);
}

/* --- posting from io_work(), and a signal ----------------------------------------------------- */

struct helper {
    struct io_op op;
    struct io_message from_work, from_signal;
    struct io_group *group;
    struct io *io;
    unsigned delivered;
    bool worked;
};

static struct helper *signalled; /* for the handler alone */

static void helper_check(struct helper *h)
{
    if (h->delivered == 2 && h->worked) {
        io_stop(h->io);
    }
}

static void helper_from_work(struct io_message *m, struct io *io)
{
    struct helper *h = container_of(m, struct helper, from_work);
    h->delivered++;
    helper_check(h);
}

static void helper_from_signal(struct io_message *m, struct io *io)
{
    struct helper *h = container_of(m, struct helper, from_signal);
    cr_assert_eq(io_shard(io), 0);
    h->delivered++;
    helper_check(h);
}

static void helper_handler(int number)
{
    io_group_signal(signalled->group, &signalled->from_signal);
}

static void helper_work(void *argument)
{
    struct helper *h = argument;
    io_post(h->io, 0, &h->from_work);
    kill(getpid(), SIGUSR1); /* workers block signals: shard 0 gets it while it sleeps */
}

static void helper_worked(struct io_op *op, int64_t result)
{
    struct helper *h = container_of(op, struct helper, op);
    cr_assert_eq(result, 0);
    h->worked = true;
    helper_check(h);
}

static void helper_start(struct io *io, void *argument)
{
    struct helper *h = argument;
    h->io = io;
    h->op.done = helper_worked;
    io_work(io, &h->op, helper_work, h);
}

static void work_and_signal(enum io_backend backend)
{
    struct helper h = {.from_work.deliver = helper_from_work,
                       .from_signal.deliver = helper_from_signal};
    h.group = world_group(backend, 1, 0);
    signalled = &h;
    signal(SIGUSR1, helper_handler);
    io_group_run(h.group, helper_start, &h);
    cr_assert(h.worked && h.delivered == 2);
    io_group_close(h.group);
}

Test(io_group, workers_and_signals_post_uring, .timeout = 20)
{
    work_and_signal(IO_BACKEND_URING);
}

Test(io_group, workers_and_signals_post_epoll, .timeout = 20)
{
    work_and_signal(IO_BACKEND_EPOLL);
}

/* --- stopping with everything in flight ------------------------------------------------------- */

enum { FLOOD = 16 << 20, READS = 32, READ_SIZE = 256 << 10, FILE_SIZE = READS * READ_SIZE };

/* Operations of every kind are abandoned; after io_group_close() their memory is nobody's. */
struct abandoned {
    struct io_op timer, accept, receive, send, write, work, connect, reads[READS];
    struct io_listener *listener;
    struct io_socket *client, *server, *other;
    struct io_file *file;
    struct iovec out, block;
    uint8_t *bytes, *pages;
    struct io *io;
    const char *path;
    struct io_turn turn;
    bool connected, accepted, over;
    bool working; /* closing waits for the function, which may hide what else it should wait for */
};

static struct abandoned *abandoning; /* for never() alone */

/* What is left of the turn that called io_stop() still runs. */
static void never(struct io_op *op, int64_t result)
{
    cr_assert(!abandoning->over, "an abandoned operation was done");
}

static void abandon_over(struct io_turn *t)
{
    container_of(t, struct abandoned, turn)->over = true;
}

static void abandon_pause(void *argument)
{
    usleep(20000);
}

static void abandon_all(struct abandoned *a)
{
    struct io *io = a->io;
    a->accept.done = a->receive.done = a->timer.done = a->write.done = never;
    a->send.done = a->work.done = never;
    io_accept(io, &a->accept, a->listener, &a->other);
    io_recv(io, &a->receive, a->client, a->pages, 100);
    io_timer(io, &a->timer, io_now(io) + UINT64_C(1000000000000));
    if (a->working) {
        io_work(io, &a->work, abandon_pause, a);
    }
    a->out = (struct iovec){a->bytes, FLOOD};
    io_send(io, &a->send, a->server, &a->out, 1);
    a->block = (struct iovec){a->bytes, IO_BLOCK_SIZE};
    io_write(io, &a->write, a->file, &a->block, 1, FILE_SIZE, IO_WRITE_DURABLE);
    for (unsigned i = 0; i < READS; i++) {
        a->reads[i].done = never;
        io_read(io, &a->reads[i], a->file, a->pages + i * READ_SIZE, READ_SIZE, i * READ_SIZE);
    }
    a->turn.turn_end = abandon_over;
    io_turn_end(io, &a->turn);
    io_stop(io);
}

static void abandon_accepted(struct io_op *op, int64_t result)
{
    struct abandoned *a = container_of(op, struct abandoned, accept);
    cr_assert_eq(result, 0);
    a->accepted = true;
    if (a->connected) {
        abandon_all(a);
    }
}

static void abandon_connected(struct io_op *op, int64_t result)
{
    struct abandoned *a = container_of(op, struct abandoned, connect);
    cr_assert_eq(result, 0);
    a->connected = true;
    if (a->accepted) {
        abandon_all(a);
    }
}

static void abandon_start(struct io *io, void *argument)
{
    struct abandoned *a = argument;
    uint16_t port;
    a->io = io;
    a->accept.done = abandon_accepted;
    a->connect.done = abandon_connected;
    cr_assert_eq(io_file_open(io, &a->file, a->path,
                              IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_DIRECT),
                 0);
    cr_assert_eq(io_listen(io, &a->listener, "127.0.0.1", 0, &port), 0);
    io_accept(io, &a->accept, a->listener, &a->server);
    io_connect(io, &a->connect, &a->client, "127.0.0.1", port);
}

/* A file of zeros, on the device. */
static void abandon_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0644);
    uint8_t *zeros = calloc(1, FILE_SIZE);
    cr_assert(fd >= 0 && write(fd, zeros, FILE_SIZE) == FILE_SIZE && fdatasync(fd) == 0);
    close(fd);
    free(zeros);
}

static void stop_in_the_middle(enum io_backend backend)
{
    for (unsigned i = 0; i < 10; i++) {
        struct world w;
        world_init(&w, backend, 1, 0);
        struct abandoned *a = calloc(1, sizeof *a);
        a->bytes = aligned_alloc(IO_BLOCK_SIZE, FLOOD);
        a->pages = aligned_alloc(IO_BLOCK_SIZE, FILE_SIZE);
        memset(a->bytes, 0, FLOOD);
        a->path = contract_path(&w.contract, "file");
        a->working = i % 2;
        abandon_file(a->path);
        abandoning = a;
        struct io_group *g = world_group(backend, 1, 0);
        io_group_run(g, abandon_start, a);
        cr_assert(a->over);
        io_group_close(g);
        /* The memory is ours again: what the device or a worker still brought would show here. */
        memset(a->pages, 0x5a, FILE_SIZE);
        usleep(2000);
        for (unsigned k = 0; k < FILE_SIZE; k++) {
            cr_assert_eq(a->pages[k], 0x5a, "byte %u was written after io_group_close()", k);
        }
        free(a->bytes);
        free(a->pages);
        free(a);
        world_deinit(&w);
    }
}

Test(io_group, stops_in_the_middle_of_everything_uring, .timeout = 60)
{
    stop_in_the_middle(IO_BACKEND_URING);
}

Test(io_group, stops_in_the_middle_of_everything_epoll, .timeout = 60)
{
    stop_in_the_middle(IO_BACKEND_EPOLL);
}

/* --- one port for all shards, and for nobody else --------------------------------------------- */

static void share_a_port(enum io_backend backend)
{
    struct io_group *g = world_group(backend, 2, 0), *other = world_group(backend, 2, 0);
    struct io *a = io_group_shard(g, 0), *b = io_group_shard(g, 1);
    struct io_listener *la, *lb, *lc;
    uint16_t port, again;
    cr_assert_eq(io_listen(a, &la, "127.0.0.1", 0, &port), 0);
    cr_assert_eq(io_listen(b, &lb, "127.0.0.1", port, &again), 0);
    cr_assert_eq(port, again);
    struct io *c = io_group_shard(other, 0);
    cr_assert_eq(io_listen(c, &lc, "127.0.0.1", port, &again), -EADDRINUSE);
    io_listener_close(a, la);
    cr_assert_eq(io_listen(c, &lc, "127.0.0.1", port, &again), -EADDRINUSE);
    io_listener_close(b, lb);
    cr_assert_eq(io_listen(c, &lc, "127.0.0.1", port, &again), 0);
    io_group_close(other); /* with a listener open */
    io_group_close(g);
}

Test(io_group, shares_a_port_within_the_group_uring)
{
    share_a_port(IO_BACKEND_URING);
}

Test(io_group, shares_a_port_within_the_group_epoll)
{
    share_a_port(IO_BACKEND_EPOLL);
}

/* --- the choice ------------------------------------------------------------------------------- */

static void count_line(void *context, enum logger_level level, const char *module, const char *line)
{
    unsigned *lines = context;
    cr_assert_eq(level, LOGGER_WARN);
    cr_assert(strstr(line, "using epoll"));
    ++*lines;
}

Test(io_group, falls_back_to_epoll_with_one_line)
{
    unsigned lines = 0;
    struct logger lg = {LOGGER_DEBUG, count_line, &lines};
    struct io_options options = {.backend = IO_BACKEND_AUTO, .shards = 2, .logger = &lg};
    struct io_group *g = NULL;
    char reason[IO_REASON_SIZE];
    world_refuse_setup();
    cr_assert_eq(io_group_open(&g, &options, reason), 0);
    cr_assert_str_eq(io_backend_name(io_group_shard(g, 0)), "epoll");
    cr_assert_eq(lines, 1);
    cr_assert_str_eq(reason, "io_uring is refused by this system (EPERM): using epoll; see "
                             "kernel.io_uring_disabled or the container's seccomp profile");
    io_group_close(g);
}

Test(io_group, refuses_when_only_io_uring_was_allowed)
{
    struct io_options options = {.backend = IO_BACKEND_URING, .shards = 1};
    struct io_group *g = NULL;
    char reason[IO_REASON_SIZE];
    world_refuse_setup();
    cr_assert_eq(io_group_open(&g, &options, reason), -EPERM);
    cr_assert_null(g);
    cr_assert(strstr(reason, "EPERM") && !strstr(reason, "using epoll"));
}

Test(io_group, refuses_impossible_options)
{
    struct io_options options = {.shards = 65};
    struct io_group *g = NULL;
    char reason[IO_REASON_SIZE];
    cr_assert_eq(io_group_open(&g, &options, reason), -EINVAL);
    options.shards = 0;
    cr_assert_eq(io_group_open_epoll(&g, &options, NULL), -EINVAL);
    io_group_close(NULL);
}
