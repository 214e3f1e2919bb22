/* SPDX-License-Identifier: Apache-2.0 */

/* The contract of listeners and sockets. */
#include "unit/io/contract.h"

#include <errno.h>
#include <stdlib.h>

#include <criterion/criterion.h>

static const char host[] = "127.0.0.1";

struct pair {
    struct io_listener *listener;
    uint16_t port;
    struct io_socket *client, *server;
};

static void pair_listen(struct io *io, struct pair *p)
{
    *p = (struct pair){0};
    cr_assert_eq(io_listen(io, &p->listener, host, 0, &p->port), 0);
    cr_assert(p->port > 0);
}

static struct pair pair_open(struct contract_world *w, struct io *io)
{
    struct pair p;
    struct contract_op accept = {0}, connect = {0};
    pair_listen(io, &p);
    SUBMIT(&accept, io_accept(io, op, p.listener, &p.server));
    SUBMIT(&connect, io_connect(io, op, &p.client, host, p.port));
    cr_assert_eq(contract_wait(w, &connect), 0);
    cr_assert_eq(contract_wait(w, &accept), 0);
    cr_assert(p.client && p.server);
    return p;
}

static void pair_close(struct io *io, struct pair *p)
{
    io_socket_close(io, p->client);
    io_socket_close(io, p->server);
    io_listener_close(io, p->listener);
}

static int64_t send_all(struct contract_world *w, struct io *io, struct io_socket *s,
                        const void *bytes, size_t size)
{
    struct contract_op c = {0};
    struct iovec one = {(void *)bytes, size};
    return RESULT(w, &c, io_send(io, op, s, &one, 1));
}

static void bytes_go_both_ways(struct contract_world *w, struct io *io)
{
    struct pair p = pair_open(w, io);
    char back[8] = {0}, forth[8] = {0};
    struct contract_op c = {0}, s = {0}, answer = {0};
    SUBMIT(&c, io_recv(io, op, p.client, back, sizeof back));
    SUBMIT(&s, io_recv(io, op, p.server, forth, sizeof forth));
    struct iovec parts[2] = {{"pi", 2}, {"ng", 2}};
    cr_assert_eq(RESULT(w, &answer, io_send(io, op, p.client, parts, 2)), 4);
    cr_assert_eq(contract_wait(w, &s), 4);
    cr_assert_str_eq(forth, "ping");
    cr_assert_eq(c.calls, 0, "the other direction is still waiting");
    cr_assert_eq(send_all(w, io, p.server, "pong!", 5), 5);
    cr_assert_eq(contract_wait(w, &c), 5);
    cr_assert_str_eq(back, "pong!");
    char peer[IO_ADDRESS_MAX];
    io_socket_peer(io, p.client, peer);
    cr_assert(strchr(peer, ':'), "a peer is host:port, not %s", peer);
    cr_assert_eq(atoi(strrchr(peer, ':') + 1), p.port);
    pair_close(io, &p);
}

static void a_small_buffer_takes_a_stream(struct contract_world *w, struct io *io)
{
    struct pair p = pair_open(w, io);
    uint8_t bytes[1000], back[1000];
    contract_fill(bytes, sizeof bytes, 1);
    cr_assert_eq(send_all(w, io, p.client, bytes, sizeof bytes), (int64_t)sizeof bytes);
    for (size_t have = 0; have < sizeof back;) {
        struct contract_op c = {0};
        int64_t got = RESULT(w, &c, io_recv(io, op, p.server, back + have, 7));
        cr_assert(got >= 1 && got <= 7 && have + (size_t)got <= sizeof back);
        have += (size_t)got;
    }
    cr_assert(contract_filled(back, sizeof back, 1));
    pair_close(io, &p);
}

/* --- a big message through a slow reader ------------------------------------------------------ */

enum { BIG = 8 << 20, SLOW_READ = 64 << 10 };

struct sender {
    struct contract_op op;
    struct io *io;
    struct io_socket *socket;
    const uint8_t *bytes;
    size_t sent;
    unsigned sends;
    struct iovec pieces[16];
};

/* Sends what is left as sixteen pieces. */
static void sender_go_on(struct sender *s)
{
    size_t left = BIG - s->sent, piece = left / 16 + 1;
    unsigned count = 0;
    for (size_t at = 0; at < left; at += piece) {
        s->pieces[count++] = (struct iovec){(void *)(s->bytes + s->sent + at),
                                            left - at < piece ? left - at : piece};
    }
    s->sends++;
    SUBMIT(&s->op, io_send(s->io, op, s->socket, s->pieces, count));
}

static void sender_done(struct contract_op *c)
{
    struct sender *s = c->context;
    cr_assert(c->result > 0, "a send failed: %ld", (long)c->result);
    s->sent += (size_t)c->result;
    cr_assert(s->sent <= BIG);
    if (s->sent < BIG) {
        sender_go_on(s);
    }
}

static void big_sends_wait_for_a_slow_reader(struct contract_world *w, struct io *io)
{
    struct pair p = pair_open(w, io);
    uint8_t *bytes = malloc(BIG), *back = malloc(SLOW_READ);
    contract_fill(bytes, BIG, 2);
    struct sender s = {.io = io, .socket = p.client, .bytes = bytes};
    s.op.then = sender_done;
    s.op.context = &s;
    sender_go_on(&s);
    for (size_t have = 0; have < BIG;) {
        struct contract_op c = {0};
        int64_t got = RESULT(w, &c, io_recv(io, op, p.server, back, SLOW_READ));
        cr_assert(got > 0);
        cr_assert(contract_filled(back, (size_t)got, 2 + have), "wrong bytes near %zu", have);
        have += (size_t)got;
    }
    cr_assert_eq(s.sent, BIG);
    cr_assert(s.sends > 1, "8 MiB were swallowed by one send: back-pressure is missing");
    pair_close(io, &p);
    free(bytes);
    free(back);
}

/* --- ends ------------------------------------------------------------------------------------- */

static void a_closing_peer_is_an_end(struct contract_world *w, struct io *io)
{
    struct pair p = pair_open(w, io);
    char back[8];
    struct contract_op c = {0};
    cr_assert_eq(send_all(w, io, p.client, "bye", 3), 3);
    io_socket_close(io, p.client);
    cr_assert_eq(RESULT(w, &c, io_recv(io, op, p.server, back, sizeof back)), 3);
    cr_assert_eq(RESULT(w, &c, io_recv(io, op, p.server, back, sizeof back)), 0);
    cr_assert_eq(RESULT(w, &c, io_recv(io, op, p.server, back, sizeof back)), 0);
    io_socket_close(io, p.server);
    io_listener_close(io, p.listener);
}

/* Also proves that no SIGPIPE is raised. */
static void sending_into_a_closed_peer_fails(struct contract_world *w, struct io *io)
{
    struct pair p = pair_open(w, io);
    io_socket_close(io, p.server);
    int64_t result = 1;
    for (unsigned i = 0; i < 1000 && result > 0; i++) {
        struct contract_op pause = {0};
        result = send_all(w, io, p.client, "anyone?", 7);
        contract_wait(w, ({
                          SUBMIT(&pause, io_timer(io, op, io_now(io) + 100000));
                          &pause;
                      }));
    }
    cr_assert(result == -EPIPE || result == -ECONNRESET, "it ended with %ld", (long)result);
    io_socket_close(io, p.client);
    io_listener_close(io, p.listener);
}

static void a_receive_may_be_cancelled(struct contract_world *w, struct io *io)
{
    struct pair p = pair_open(w, io);
    char back[8] = {0};
    struct contract_op c = {0};
    SUBMIT(&c, io_recv(io, op, p.server, back, sizeof back));
    w->turn(w);
    io_cancel(io, &c.op);
    cr_assert_eq(contract_wait(w, &c), -ECANCELED);
    SUBMIT(&c, io_recv(io, op, p.server, back, sizeof back));
    io_cancel(io, &c.op); /* in the turn of its submission */
    cr_assert_eq(contract_wait(w, &c), -ECANCELED);
    SUBMIT(&c, io_recv(io, op, p.server, back, sizeof back));
    cr_assert_eq(send_all(w, io, p.client, "abc", 3), 3);
    cr_assert_eq(contract_wait(w, &c), 3, "a cancelled socket goes on");
    cr_assert_str_eq(back, "abc");
    pair_close(io, &p);
}

static void closing_ends_what_is_in_flight(struct contract_world *w, struct io *io)
{
    struct pair p = pair_open(w, io);
    uint8_t *bytes = calloc(1, BIG);
    char back[8];
    struct contract_op receive = {0}, send = {0};
    struct iovec all = {bytes, BIG};
    do { /* until the socket is full */
        SUBMIT(&send, io_send(io, op, p.client, &all, 1));
        for (unsigned i = 0; i < 20 && send.calls == 0; i++) {
            w->turn(w);
        }
    } while (send.calls > 0);
    SUBMIT(&receive, io_recv(io, op, p.client, back, sizeof back));
    io_socket_close(io, p.client);
    cr_assert_eq(receive.calls + send.calls, 0, "done() was called from inside io_socket_close()");
    int64_t received = contract_wait(w, &receive), sent = contract_wait(w, &send);
    cr_assert_eq(received, -ECANCELED);
    cr_assert(sent == -ECANCELED || sent > 0);
    io_socket_close(io, p.server);
    io_listener_close(io, p.listener);
    free(bytes);
}

struct closer {
    struct contract_op receive, send;
    struct io *io;
    struct io_socket *socket;
};

static void close_inside(struct contract_op *c)
{
    struct closer *k = c->context;
    io_socket_close(k->io, k->socket);
}

static void done_may_close_its_socket(struct contract_world *w, struct io *io)
{
    struct pair p = pair_open(w, io);
    struct closer k = {.io = io, .socket = p.server};
    uint8_t *bytes = calloc(1, BIG);
    char back[8];
    struct iovec all = {bytes, BIG};
    k.receive.then = close_inside;
    k.receive.context = &k;
    SUBMIT(&k.receive, io_recv(io, op, p.server, back, sizeof back));
    SUBMIT(&k.send, io_send(io, op, p.server, &all, 1));
    cr_assert_eq(send_all(w, io, p.client, "x", 1), 1);
    cr_assert_eq(contract_wait(w, &k.receive), 1);
    int64_t sent = contract_wait(w, &k.send);
    cr_assert(sent == -ECANCELED || sent > 0);
    io_socket_close(io, p.client);
    io_listener_close(io, p.listener);
    free(bytes);
}

/* --- connecting ------------------------------------------------------------------------------- */

static void nobody_listens(struct contract_world *w, struct io *io)
{
    struct pair p;
    struct contract_op c = {0};
    pair_listen(io, &p);
    io_listener_close(io, p.listener);
    w->turn(w);
    cr_assert_eq(RESULT(w, &c, io_connect(io, op, &p.client, host, p.port)), -ECONNREFUSED);
    cr_assert_null(p.client);
}

static void names_are_resolved(struct contract_world *w, struct io *io)
{
    struct pair p;
    struct contract_op accept = {0}, connect = {0};
    pair_listen(io, &p);
    SUBMIT(&accept, io_accept(io, op, p.listener, &p.server));
    char name[] = "localhost";
    SUBMIT(&connect, io_connect(io, op, &p.client, name, p.port));
    memset(name, 'x', sizeof name - 1); /* it was copied */
    cr_assert_eq(contract_wait(w, &connect), 0);
    cr_assert_eq(contract_wait(w, &accept), 0);
    pair_close(io, &p);
}

static void a_connect_may_be_cancelled(struct contract_world *w, struct io *io)
{
    struct pair p;
    pair_listen(io, &p);
    static const char *const hosts[] = {"127.0.0.1", "localhost"};
    for (unsigned i = 0; i < 20; i++) {
        struct contract_op c = {0};
        struct io_socket *s = NULL;
        SUBMIT(&c, io_connect(io, op, &s, hosts[i % 2], p.port));
        if (i / 2 % 2) {
            w->turn(w);
        }
        io_cancel(io, &c.op);
        int64_t result = contract_wait(w, &c);
        cr_assert(result == 0 || result == -ECANCELED, "it ended with %ld", (long)result);
        cr_assert_eq(result == 0, s != NULL);
        if (s) {
            io_socket_close(io, s);
        }
    }
    io_listener_close(io, p.listener);
}

static void an_accept_may_be_cancelled(struct contract_world *w, struct io *io)
{
    struct pair p;
    struct contract_op accept = {0}, connect = {0};
    pair_listen(io, &p);
    SUBMIT(&accept, io_accept(io, op, p.listener, &p.server));
    w->turn(w);
    io_cancel(io, &accept.op);
    cr_assert_eq(contract_wait(w, &accept), -ECANCELED);
    cr_assert_null(p.server);
    SUBMIT(&accept, io_accept(io, op, p.listener, &p.server));
    SUBMIT(&connect, io_connect(io, op, &p.client, host, p.port));
    io_cancel(io, &accept.op); /* with a connection on its way */
    cr_assert_eq(contract_wait(w, &connect), 0, "the listener still listens");
    int64_t result = contract_wait(w, &accept);
    cr_assert(result == -ECANCELED || result == 0);
    cr_assert_eq(result == 0, p.server != NULL);
    if (result < 0) {
        cr_assert_eq(RESULT(w, &accept, io_accept(io, op, p.listener, &p.server)), 0);
    }
    pair_close(io, &p);
}

static void closing_a_listener_ends_its_accepts(struct contract_world *w, struct io *io)
{
    struct pair p;
    struct contract_op accepts[3] = {0};
    struct io_socket *sockets[3];
    pair_listen(io, &p);
    for (unsigned i = 0; i < 3; i++) {
        SUBMIT(&accepts[i], io_accept(io, op, p.listener, &sockets[i]));
    }
    w->turn(w);
    io_listener_close(io, p.listener);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(contract_wait(w, &accepts[i]), -ECANCELED);
    }
}

/* --- many ------------------------------------------------------------------------------------- */

enum { CONNECTIONS = 1000 };

struct echo {
    struct contract_op connect, accept, server, client;
    struct io *io;
    struct io_socket *from, *to;
    uint32_t sent, echoed, received;
    struct iovec out, back;
};

static void echo_back(struct contract_op *c)
{
    struct echo *e = c->context;
    cr_assert_eq(c->result, (int64_t)sizeof e->echoed);
    e->back = (struct iovec){&e->echoed, sizeof e->echoed};
    c->then = NULL;
    SUBMIT(c, io_send(e->io, op, e->to, &e->back, 1));
}

/* Accepted in any order: which one this is shows in what it receives. */
static void echo_accepted(struct contract_op *c)
{
    struct echo *e = c->context;
    cr_assert_eq(c->result, 0);
    e->server.then = echo_back;
    e->server.context = e;
    SUBMIT(&e->server, io_recv(e->io, op, e->to, &e->echoed, sizeof e->echoed));
}

static void echo_connected(struct contract_op *c)
{
    struct echo *e = c->context;
    cr_assert_eq(c->result, 0);
    e->out = (struct iovec){&e->sent, sizeof e->sent};
    SUBMIT(&e->client, io_send(e->io, op, e->from, &e->out, 1));
}

static void a_thousand_connections(struct contract_world *w, struct io *io)
{
    struct pair p;
    pair_listen(io, &p);
    struct echo *all = calloc(CONNECTIONS, sizeof *all);
    for (uint32_t i = 0; i < CONNECTIONS; i++) {
        struct echo *e = &all[i];
        e->io = io;
        e->sent = i;
        e->accept.then = echo_accepted;
        e->connect.then = echo_connected;
        e->accept.context = e->connect.context = e;
        SUBMIT(&e->accept, io_accept(io, op, p.listener, &e->to));
        SUBMIT(&e->connect, io_connect(io, op, &e->from, host, p.port));
    }
    uint64_t sum = 0;
    for (uint32_t i = 0; i < CONNECTIONS; i++) {
        struct echo *e = &all[i];
        contract_wait(w, &e->connect);
        cr_assert_eq(contract_wait(w, &e->client), (int64_t)sizeof e->sent);
        struct contract_op c = {0};
        cr_assert_eq(RESULT(w, &c, io_recv(io, op, e->from, &e->received, sizeof e->received)),
                     (int64_t)sizeof e->received);
        cr_assert_eq(e->received, e->sent, "connection %u got the answer of %u", i, e->received);
        sum += e->received;
    }
    cr_assert_eq(sum, (uint64_t)CONNECTIONS * (CONNECTIONS - 1) / 2);
    for (uint32_t i = 0; i < CONNECTIONS; i++) {
        cr_assert_eq(contract_wait(w, &all[i].server), (int64_t)sizeof all[i].echoed);
        io_socket_close(io, all[i].from);
        io_socket_close(io, all[i].to);
    }
    io_listener_close(io, p.listener);
    free(all);
}

const struct contract_test contract_sockets[] = {
    {"bytes_go_both_ways", bytes_go_both_ways},
    {"a_small_buffer_takes_a_stream", a_small_buffer_takes_a_stream},
    {"big_sends_wait_for_a_slow_reader", big_sends_wait_for_a_slow_reader},
    {"a_closing_peer_is_an_end", a_closing_peer_is_an_end},
    {"sending_into_a_closed_peer_fails", sending_into_a_closed_peer_fails},
    {"a_receive_may_be_cancelled", a_receive_may_be_cancelled},
    {"closing_ends_what_is_in_flight", closing_ends_what_is_in_flight},
    {"done_may_close_its_socket", done_may_close_its_socket},
    {"nobody_listens", nobody_listens},
    {"names_are_resolved", names_are_resolved},
    {"a_connect_may_be_cancelled", a_connect_may_be_cancelled},
    {"an_accept_may_be_cancelled", an_accept_may_be_cancelled},
    {"closing_a_listener_ends_its_accepts", closing_a_listener_ends_its_accepts},
    {"a_thousand_connections", a_thousand_connections},
};
const size_t contract_sockets_count = array_size(contract_sockets);
