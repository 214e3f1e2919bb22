/* SPDX-License-Identifier: Apache-2.0 */

/* micro_loop: what the seam adds to a loopback round trip, and what a message between shards costs.
 *
 *   echo   a client of plain blocking calls on one thread; on the other an echo server: "plain" is
 *          blocking calls too (the machine's own round trip), the others are the seam's backends.
 *          `depth` messages go out in one piece and come back before the next.
 *   post   two shards of one group hand `depth` messages to and fro. */
#include "io/io.h"

#include "base/histogram.h"
#include "report/clock.h"
#include "report/options.h"
#include "report/table.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER = 256 << 10, DEPTH_MAX = 64 };

enum server_kind { SERVER_PLAIN, SERVER_EPOLL, SERVER_URING, SERVER_KINDS };

static const char *const kinds[] = {"plain", "epoll", "io_uring"};

static _Noreturn void give_up(const char *what)
{
    fprintf(stderr, "micro_loop: %s\n", what);
    exit(1);
}

/* --- the echo server -------------------------------------------------------------------------- */

struct server {
    enum server_kind kind;
    pthread_t thread;
    pthread_barrier_t ready;
    uint16_t port;
    double cpu_seconds; /* of the thread, at its end */
    uint8_t *buffer;
    /* plain */
    int listener;
    /* through the seam */
    struct io_group *group;
    struct io *io;
    struct io_listener *io_listener;
    struct io_socket *socket;
    struct io_op accept, receive, send;
    struct iovec left;
};

static void server_receive(struct server *s)
{
    io_recv(s->io, &s->receive, s->socket, s->buffer, BUFFER);
}

static void server_accepted(struct io_op *op, int64_t result)
{
    struct server *s = container_of(op, struct server, accept);
    if (result < 0) {
        give_up("accept failed");
    }
    server_receive(s);
}

static void server_received(struct io_op *op, int64_t result)
{
    struct server *s = container_of(op, struct server, receive);
    if (result <= 0) {
        io_stop(s->io);
        return;
    }
    s->left = (struct iovec){s->buffer, (size_t)result};
    io_send(s->io, &s->send, s->socket, &s->left, 1);
}

static void server_sent(struct io_op *op, int64_t result)
{
    struct server *s = container_of(op, struct server, send);
    if (result < 0) {
        give_up("send failed");
    }
    s->left.iov_base = (uint8_t *)s->left.iov_base + result;
    s->left.iov_len -= (size_t)result;
    if (s->left.iov_len) {
        io_send(s->io, &s->send, s->socket, &s->left, 1);
    } else {
        server_receive(s);
    }
}

static void server_start(struct io *io, void *argument)
{
    struct server *s = argument;
    s->io = io;
    s->accept.done = server_accepted;
    s->receive.done = server_received;
    s->send.done = server_sent;
    if (io_listen(io, &s->io_listener, "127.0.0.1", 0, &s->port) != 0) {
        give_up("listen failed");
    }
    io_accept(io, &s->accept, s->io_listener, &s->socket);
    pthread_barrier_wait(&s->ready);
}

static void serve_plain(struct server *s)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int on = 1;
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->listener < 0 || bind(s->listener, (struct sockaddr *)&address, size) ||
        listen(s->listener, 1) || getsockname(s->listener, (struct sockaddr *)&address, &size)) {
        give_up("listen failed");
    }
    s->port = ntohs(address.sin_port);
    pthread_barrier_wait(&s->ready);
    int fd = accept(s->listener, NULL, NULL);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ssize_t got;
    while ((got = recv(fd, s->buffer, BUFFER, 0)) > 0) {
        for (ssize_t at = 0, sent; at < got; at += sent) {
            sent = send(fd, s->buffer + at, (size_t)(got - at), MSG_NOSIGNAL);
            if (sent < 0) {
                give_up("send failed");
            }
        }
    }
    close(fd);
    close(s->listener);
}

static void *server_run(void *argument)
{
    struct server *s = argument;
    struct rusage usage;
    if (s->kind == SERVER_PLAIN) {
        serve_plain(s);
    } else {
        const struct io_options options = {
            .backend = s->kind == SERVER_EPOLL ? IO_BACKEND_EPOLL : IO_BACKEND_URING, .shards = 1};
        char reason[IO_REASON_SIZE];
        if (io_group_open(&s->group, &options, reason) != 0) {
            give_up(reason);
        }
        io_group_run(s->group, server_start, s);
        io_group_close(s->group);
    }
    getrusage(RUSAGE_THREAD, &usage);
    s->cpu_seconds = (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
                     (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    return NULL;
}

/* --- the client ------------------------------------------------------------------------------- */

static int client_connect(uint16_t port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        give_up("connect failed");
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static void client_turn(int fd, uint8_t *buffer, size_t size)
{
    for (size_t at = 0; at < size;) {
        ssize_t sent = send(fd, buffer + at, size - at, MSG_NOSIGNAL);
        if (sent <= 0) {
            give_up("send failed");
        }
        at += (size_t)sent;
    }
    for (size_t at = 0; at < size;) {
        ssize_t got = recv(fd, buffer, size - at, 0);
        if (got <= 0) {
            give_up("receive failed");
        }
        at += (size_t)got;
    }
}

static void measure_echo(struct table *t, enum server_kind kind, size_t size, unsigned depth,
                         double seconds)
{
    struct server *s = calloc(1, sizeof *s);
    struct histogram *h = calloc(1, sizeof *h);
    uint8_t *buffer = calloc(2, BUFFER);
    if (!s || !h || !buffer) {
        give_up("out of memory");
    }
    s->kind = kind;
    s->buffer = buffer + BUFFER;
    pthread_barrier_init(&s->ready, NULL, 2);
    if (pthread_create(&s->thread, NULL, server_run, s) != 0) {
        give_up("no thread");
    }
    pthread_barrier_wait(&s->ready);
    int fd = client_connect(s->port);
    for (int i = 0; i < 100; i++) {
        client_turn(fd, buffer, size * depth);
    }
    uint64_t begun = clock_ns(), before = begun, now;
    do {
        client_turn(fd, buffer, size * depth);
        now = clock_ns();
        histogram_record(h, now - before);
        before = now;
    } while (now - begun < clock_seconds(seconds));
    double took = (double)(now - begun) / NS_PER_S, count = (double)h->count * depth;
    close(fd);
    pthread_join(s->thread, NULL);
    table_text(t, kinds[kind]);
    table_number(t, (double)size);
    table_number(t, depth);
    table_number(t, count / took / 1000);
    table_number(t, (double)histogram_percentile(h, 50) / NS_PER_US);
    table_number(t, (double)histogram_percentile(h, 99) / NS_PER_US);
    table_number(t, s->cpu_seconds * 1e6 / count);
    pthread_barrier_destroy(&s->ready);
    free(buffer);
    free(h);
    free(s);
}

/* --- messages between shards ------------------------------------------------------------------ */

struct posts;

struct post {
    struct io_message message;
    struct posts *posts;
    bool back;
};

struct posts {
    struct post posts[DEPTH_MAX];
    struct io_message stop;
    unsigned depth, away;
    uint64_t until_ns, begun_ns, turn_ns, rounds;
    struct histogram latency;
};

static void stop_delivered(struct io_message *m, struct io *io)
{
    io_stop(io);
}

static void posts_go(struct posts *p, struct io *io)
{
    p->away = p->depth;
    p->turn_ns = clock_ns();
    for (unsigned i = 0; i < p->depth; i++) {
        p->posts[i].back = false;
        io_post(io, 1, &p->posts[i].message);
    }
}

static void post_delivered(struct io_message *m, struct io *io)
{
    struct post *post = container_of(m, struct post, message);
    struct posts *p = post->posts;
    if (!post->back) {
        post->back = true;
        io_post(io, 0, m);
        return;
    }
    if (--p->away > 0) {
        return;
    }
    uint64_t now = clock_ns();
    histogram_record(&p->latency, now - p->turn_ns);
    if (now < p->until_ns) {
        posts_go(p, io);
        return;
    }
    p->stop.deliver = stop_delivered;
    io_post(io, 1, &p->stop);
    io_stop(io);
}

static void posts_start(struct io *io, void *argument)
{
    if (io_shard(io) == 0) {
        posts_go(argument, io);
    }
}

static void measure_posts(struct table *t, enum io_backend backend, unsigned depth, double seconds)
{
    const struct io_options options = {.backend = backend, .shards = 2};
    char reason[IO_REASON_SIZE];
    struct io_group *group;
    struct posts *p = calloc(1, sizeof *p);
    if (!p) {
        give_up("out of memory");
    }
    if (io_group_open(&group, &options, reason) != 0) {
        give_up(reason);
    }
    p->depth = depth;
    for (unsigned i = 0; i < depth; i++) {
        p->posts[i] = (struct post){.message = {.deliver = post_delivered}, .posts = p};
    }
    p->begun_ns = clock_ns();
    p->until_ns = p->begun_ns + clock_seconds(seconds);
    io_group_run(group, posts_start, p);
    double took = (double)(clock_ns() - p->begun_ns) / NS_PER_S;
    table_text(t, io_backend_name(io_group_shard(group, 0)));
    table_number(t, depth);
    table_number(t, (double)p->latency.count * depth / took / 1000);
    table_number(t, (double)histogram_percentile(&p->latency, 50) / NS_PER_US);
    table_number(t, (double)histogram_percentile(&p->latency, 99) / NS_PER_US);
    io_group_close(group);
    free(p);
}

static bool uring_works(void)
{
    const struct io_options options = {.backend = IO_BACKEND_URING, .shards = 1};
    char reason[IO_REASON_SIZE];
    struct io_group *group;
    if (io_group_open(&group, &options, reason) != 0) {
        fprintf(stderr, "micro_loop: %s\n", reason);
        return false;
    }
    io_group_close(group);
    return true;
}

int main(int argc, char **argv)
{
    static const struct table_column echo[] = {{"server", TABLE_TEXT}, {"bytes", 0},  {"depth", 0},
                                               {"k msg/s", 1},         {"p50 us", 1}, {"p99 us", 1},
                                               {"server us/msg", 2},   {NULL, 0}};
    static const struct table_column post[] = {{"backend", TABLE_TEXT}, {"depth", 0},
                                               {"k msg/s", 1},          {"p50 us", 1},
                                               {"p99 us", 1},           {NULL, 0}};
    static const struct {
        size_t size;
        unsigned depth;
    } loads[] = {{100, 1}, {1100, 1}, {4096, 1}, {65536, 1}, {100, 64}, {4096, 16}};
    static const unsigned depths[] = {1, DEPTH_MAX};
    bool json = false;
    double seconds = 0.3;
    const struct option_spec specs[] = {
        {"seconds", OPTION_SECONDS, &seconds, "of each measurement"},
        {"json", OPTION_FLAG, &json, "print JSON"},
        {NULL, OPTION_FLAG, NULL, NULL},
    };
    options_parse(specs, argc, argv, "micro_loop [options]");
    bool uring = uring_works();
    struct report report;
    report_init(&report, "micro_loop");
    report_condition(&report, "address", "127.0.0.1");
    struct table *t = report_table(&report, "echo", "loopback round trips", echo);
    for (size_t l = 0; l < sizeof loads / sizeof *loads; l++) {
        for (int kind = 0; kind < SERVER_KINDS; kind++) {
            if (kind != SERVER_URING || uring) {
                measure_echo(t, kind, loads[l].size, loads[l].depth, seconds);
            }
        }
    }
    t = report_table(&report, "post", "messages to another shard and back", post);
    for (size_t d = 0; d < sizeof depths / sizeof *depths; d++) {
        measure_posts(t, IO_BACKEND_EPOLL, depths[d], seconds);
        if (uring) {
            measure_posts(t, IO_BACKEND_URING, depths[d], seconds);
        }
    }
    report_print(&report, json);
    report_deinit(&report);
    return 0;
}
