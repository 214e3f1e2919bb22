/* SPDX-License-Identifier: Apache-2.0 */

/* The network between nodes: an echo server and a client that sends numbered words, over links that
 * are cut, clogged and reset, and machines that are killed and lose power. */
#include "sim/sim.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <signal.h>

enum { PORT = 9092, WORDS = 20, WORD = 40 };

static const uint64_t SECOND = 1000000000;

/* --- a server that sends back what it receives ------------------------------------------- */

struct connection {
    struct server *server;
    struct io_socket *socket;
    struct io_op recv, send;
    struct iovec iov;
    uint8_t bytes[64];
};

struct server {
    struct io *io;
    struct io_listener *listener;
    struct io_socket *next;
    struct io_op accept;
    unsigned *accepted; /* the test's */
};

static void server_recv(struct connection *c)
{
    io_recv(c->server->io, &c->recv, c->socket, c->bytes, sizeof c->bytes);
}

static void connection_end(struct connection *c)
{
    struct io *io = c->server->io;
    io_socket_close(io, c->socket);
    memory_free(io_memory(io), c);
}

static void server_sent(struct io_op *op, int64_t result)
{
    struct connection *c = container_of(op, struct connection, send);
    if (result < 0) {
        connection_end(c);
        return;
    }
    c->iov.iov_base = (uint8_t *)c->iov.iov_base + result;
    c->iov.iov_len -= (size_t)result;
    if (c->iov.iov_len > 0) {
        io_send(c->server->io, &c->send, c->socket, &c->iov, 1);
    } else {
        server_recv(c);
    }
}

static void server_received(struct io_op *op, int64_t result)
{
    struct connection *c = container_of(op, struct connection, recv);
    if (result <= 0) {
        connection_end(c);
        return;
    }
    c->iov = (struct iovec){c->bytes, (size_t)result};
    io_send(c->server->io, &c->send, c->socket, &c->iov, 1);
}

static void server_accepted(struct io_op *op, int64_t result)
{
    struct server *s = container_of(op, struct server, accept);
    assert(result == 0);
    struct connection *c = memory_alloc(io_memory(s->io), sizeof *c);
    c->server = s;
    c->socket = s->next;
    c->recv.done = server_received;
    c->send.done = server_sent;
    s->accepted[io_shard(s->io)]++;
    server_recv(c);
    io_accept(s->io, &s->accept, s->listener, &s->next);
}

static void server_start(struct io *io, void *argument)
{
    struct server *s = memory_alloc(io_memory(io), sizeof *s);
    uint16_t port;
    s->io = io;
    s->accepted = argument;
    s->accept.done = server_accepted;
    int error = io_listen(io, &s->listener, "0.0.0.0", PORT, &port);
    assert(error == 0 && port == PORT);
    io_accept(io, &s->accept, s->listener, &s->next);
}

/* --- a client that talks until something fails ------------------------------------------- */

struct talk {
    bool mute;               /* nothing is said, only listened */
    int connect_result, end; /* the error that ended it; 1: all words came back */
    unsigned words;
    uint64_t connected_ns, ended_ns;
};

struct client {
    struct io *io;
    struct talk *talk;
    struct io_socket *socket;
    struct io_op connect, send, recv, pause;
    struct iovec iov;
    uint8_t out[WORD], back[WORD];
    unsigned have;
};

static void client_end(struct client *c, int why)
{
    c->talk->end = why;
    c->talk->ended_ns = io_now(c->io);
    if (c->socket) {
        io_socket_close(c->io, c->socket);
    }
    io_stop(c->io);
}

static void client_say(struct client *c)
{
    memset(c->out, 'a' + (int)c->talk->words % 26, WORD);
    c->iov = (struct iovec){c->out, WORD};
    c->have = 0;
    io_send(c->io, &c->send, c->socket, &c->iov, 1);
}

static void client_listen(struct client *c)
{
    io_recv(c->io, &c->recv, c->socket, c->back + c->have, WORD - c->have);
}

static void client_sent(struct io_op *op, int64_t result)
{
    struct client *c = container_of(op, struct client, send);
    if (result < 0) {
        client_end(c, (int)result);
        return;
    }
    c->iov.iov_base = (uint8_t *)c->iov.iov_base + result;
    c->iov.iov_len -= (size_t)result;
    if (c->iov.iov_len > 0) {
        io_send(c->io, &c->send, c->socket, &c->iov, 1);
    } else {
        client_listen(c);
    }
}

static void client_paused(struct io_op *op, int64_t result)
{
    client_say(container_of(op, struct client, pause));
}

static void client_received(struct io_op *op, int64_t result)
{
    struct client *c = container_of(op, struct client, recv);
    if (result <= 0) {
        client_end(c, result == 0 ? -ECONNABORTED : (int)result);
        return;
    }
    c->have += (unsigned)result;
    if (c->have < WORD) {
        client_listen(c);
        return;
    }
    cr_assert_eq(memcmp(c->out, c->back, WORD), 0, "word %u came back changed", c->talk->words);
    if (++c->talk->words == WORDS) {
        client_end(c, 1);
    } else {
        io_timer(c->io, &c->pause, io_now(c->io) + 10000000);
    }
}

static void client_connected(struct io_op *op, int64_t result)
{
    struct client *c = container_of(op, struct client, connect);
    c->talk->connect_result = (int)result;
    c->talk->connected_ns = io_now(c->io);
    if (result < 0) {
        client_end(c, (int)result);
    } else if (c->talk->mute) {
        client_listen(c);
    } else {
        client_say(c);
    }
}

static void client_start(struct io *io, void *argument)
{
    struct client *c = memory_alloc(io_memory(io), sizeof *c);
    c->io = io;
    c->talk = argument;
    c->connect.done = client_connected;
    c->send.done = client_sent;
    c->recv.done = client_received;
    c->pause.done = client_paused;
    io_connect(io, &c->connect, &c->socket, "broker", PORT);
}

/* --- the tests --------------------------------------------------------------------------- */

struct net {
    struct sim *sim;
    struct sim_node *broker, *client;
    unsigned accepted[4];
    struct talk talk;
};

static struct net net_begin(uint64_t seed)
{
    struct net n = {.sim = sim_new(&(struct sim_options){.seed = seed})};
    n.broker = sim_node_new(n.sim, "broker");
    n.client = sim_node_new(n.sim, "client");
    return n;
}

static void net_go(struct net *n, unsigned shards, uint64_t for_ns)
{
    sim_node_start(n->broker, shards, server_start, n->accepted);
    sim_run(n->sim, sim_now(n->sim) + SECOND / 100);
    sim_node_start(n->client, 1, client_start, &n->talk);
    sim_run(n->sim, sim_now(n->sim) + for_ns);
}

Test(net, words_come_back_whole_whatever_the_pieces)
{
    uint64_t hashes[2] = {0};
    for (int again = 0; again < 2; again++) {
        for (uint64_t seed = 1; seed <= 30; seed++) {
            struct net n = net_begin(seed);
            sim_faults(n.sim)->piece_max = (uint32_t)(seed % 3 * 3);
            sim_faults(n.sim)->short_transfers = 300000;
            net_go(&n, 1, 10 * SECOND);
            cr_assert_eq(n.talk.end, 1);
            cr_assert_eq(n.talk.words, WORDS);
            hashes[again] = prng_mix(hashes[again] ^ sim_hash(n.sim));
            sim_free(n.sim);
        }
    }
    cr_assert_eq(hashes[0], hashes[1], "the network depends on the seed alone");
}

Test(net, connecting_fails_as_it_should)
{
    struct net n = net_begin(1);
    sim_node_start(n.client, 1, client_start, &n.talk);
    sim_run(n.sim, SECOND);
    cr_assert_eq(n.talk.end, 0, "a machine that is off does not answer");
    sim_run(n.sim, 20 * SECOND);
    cr_assert_eq(n.talk.end, -ETIMEDOUT);
    sim_node_start(n.broker, 1, NULL, NULL);
    sim_node_start(n.client, 1, client_start, &n.talk);
    sim_run(n.sim, 21 * SECOND);
    cr_assert_eq(n.talk.end, -ECONNREFUSED, "nobody listens");
    sim_node_kill(n.broker);
    sim_faults(n.sim)->connect_refused = 1000000;
    net_go(&n, 1, SECOND);
    cr_assert_eq(n.talk.end, -ECONNREFUSED);
    sim_free(n.sim);
}

Test(net, a_cut_link_delays_and_then_delivers)
{
    struct net n = net_begin(2);
    net_go(&n, 1, SECOND / 20);
    unsigned before = n.talk.words;
    cr_assert(before > 0 && before < WORDS);
    sim_link_set(n.sim, 0, 1, SIM_LINK_CUT); /* answers only: an asymmetric partition */
    sim_run(n.sim, sim_now(n.sim) + 5 * SECOND);
    cr_assert(n.talk.words <= before + 1 && n.talk.end == 0);
    sim_link_set(n.sim, 0, 1, SIM_LINK_UP);
    sim_run(n.sim, sim_now(n.sim) + 5 * SECOND);
    cr_assert_eq(n.talk.end, 1);
    sim_free(n.sim);
}

Test(net, a_link_cut_for_long_ends_the_connection)
{
    struct net n = net_begin(3);
    net_go(&n, 1, SECOND / 20);
    sim_link_set(n.sim, 0, 1, SIM_LINK_CUT);
    sim_link_set(n.sim, 1, 0, SIM_LINK_CUT);
    sim_run(n.sim, sim_now(n.sim) + 60 * SECOND);
    cr_assert_eq(n.talk.end, -ETIMEDOUT);
    sim_free(n.sim);
}

Test(net, a_clog_slows)
{
    struct net n = net_begin(4), m = net_begin(4);
    net_go(&n, 1, 10 * SECOND);
    sim_link_clog(m.sim, 1, 0, SECOND / 10);
    net_go(&m, 1, 10 * SECOND);
    cr_assert(n.talk.end == 1 && m.talk.end == 1);
    cr_assert_gt(m.talk.ended_ns - m.talk.connected_ns,
                 n.talk.ended_ns - n.talk.connected_ns + SECOND);
    sim_free(n.sim);
    sim_free(m.sim);
}

Test(net, a_killed_process_is_noticed_at_once)
{
    struct net n = net_begin(5);
    net_go(&n, 1, SECOND / 20);
    sim_node_kill(n.broker);
    sim_run(n.sim, sim_now(n.sim) + SECOND / 10);
    cr_assert(n.talk.end == -ECONNRESET || n.talk.end == -ECONNABORTED || n.talk.end == -EPIPE,
              "%d", n.talk.end);
    sim_free(n.sim);
}

Test(net, a_power_cut_is_silent_until_the_machine_is_back)
{
    struct net n = net_begin(6);
    net_go(&n, 1, SECOND / 20);
    sim_node_power_cut(n.broker);
    sim_run(n.sim, sim_now(n.sim) + 3 * SECOND);
    cr_assert_eq(n.talk.end, 0, "half open: the client waits");
    sim_node_start(n.broker, 1, server_start, n.accepted);
    sim_run(n.sim, sim_now(n.sim) + SECOND);
    cr_assert_eq(n.talk.end, -ECONNRESET, "the new boot knows nothing of the connection");
    sim_free(n.sim);
}

/* The broker's answer does not get through, and it gives up; the client has said its word, and waits. */
Test(net, a_side_that_gave_up_leaves_the_other_to_its_probes)
{
    struct net n = net_begin(9);
    net_go(&n, 1, SECOND / 20);
    sim_link_set(n.sim, 0, 1, SIM_LINK_CUT);
    sim_run(n.sim, sim_now(n.sim) + 20 * SECOND);
    cr_assert_eq(n.talk.end, 0, "half open: the client waits");
    sim_link_set(n.sim, 0, 1, SIM_LINK_UP);
    sim_run(n.sim, sim_now(n.sim) + 12 * SECOND);
    cr_assert_eq(n.talk.end, -ECONNRESET);
    sim_free(n.sim);
}

/* The same for who only listens: the kernel's probes find it. */
Test(net, a_keepalive_finds_a_half_open_connection)
{
    for (int back = 0; back < 2; back++) {
        struct net n = net_begin(7);
        n.talk.mute = true;
        net_go(&n, 1, SECOND / 20);
        sim_node_power_cut(n.broker);
        if (back) {
            sim_node_start(n.broker, 1, server_start, n.accepted);
        }
        sim_run(n.sim, sim_now(n.sim) + 9 * SECOND);
        cr_assert_eq(n.talk.end, 0, "half open: the client waits");
        sim_run(n.sim, sim_now(n.sim) + (back ? 2 : 20) * SECOND);
        cr_assert_eq(n.talk.end, back ? -ECONNRESET : -ETIMEDOUT);
        sim_free(n.sim);
    }
}

Test(net, connections_can_be_reset_from_outside)
{
    struct net n = net_begin(7);
    net_go(&n, 1, SECOND / 20);
    sim_link_reset(n.sim, 0, 1);
    sim_run(n.sim, sim_now(n.sim) + SECOND / 10);
    cr_assert(n.talk.end == -ECONNRESET || n.talk.end == -EPIPE);
    struct net m = net_begin(8);
    sim_faults(m.sim)->connection_reset = 1000000;
    net_go(&m, 1, SECOND);
    cr_assert(m.talk.end == -ECONNRESET || m.talk.end == -EPIPE);
    sim_free(n.sim);
    sim_free(m.sim);
}

Test(net, shards_share_a_port)
{
    struct net n = net_begin(9);
    sim_node_start(n.broker, 3, server_start, n.accepted);
    struct talk talks[30] = {0};
    for (int i = 0; i < 30; i++) {
        char name[16];
        snprintf(name, sizeof name, "client-%d", i);
        sim_node_start(sim_node_new(n.sim, name), 1, client_start, &talks[i]);
    }
    sim_run(n.sim, 20 * SECOND);
    for (int i = 0; i < 30; i++) {
        cr_assert_eq(talks[i].end, 1);
    }
    for (int i = 0; i < 3; i++) {
        cr_assert_gt(n.accepted[i], 2);
    }
    sim_free(n.sim);
}

/* Both sides crash at every one of their operations: nothing of the world is left dangling. */
Test(net, either_side_may_crash_anywhere)
{
    for (uint64_t at = 1; at < 60; at++) {
        for (int who = 0; who < 4; who++) {
            struct net n = net_begin(at);
            struct sim_node *victim = who & 1 ? n.broker : n.client;
            sim_node_start(n.broker, 2, server_start, n.accepted);
            sim_node_start(n.client, 1, client_start, &n.talk);
            sim_crash_after(victim, at, who & 2 ? SIM_CRASH_KILL : SIM_CRASH_POWER);
            sim_run(n.sim, 30 * SECOND);
            /* (a client that only listens never learns of a power cut) */
            cr_assert(victim == n.client || !(who & 2) || n.talk.end != 0, "it waits for ever");
            sim_free(n.sim);
        }
    }
}
