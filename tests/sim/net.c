/* SPDX-License-Identifier: Apache-2.0 */

/* Sockets of the seam: listening, connecting, short sends and receives.
 *
 *     connect: SYN --link--> a listener's backlog --link--> done on the connecting side
 *              nobody listens: -ECONNREFUSED; nobody answers: tried again, then -ETIMEDOUT
 *
 * A send takes what the window has room for, at a time of its own, and waits when there is none; a
 * receive takes 1 .. size bytes of what has arrived. Several shards of a node may listen on one
 * port: each connection goes to one of them. */
#include "net_private.h"

#include <errno.h>
#include <stdio.h>

static const uint64_t SYN_RETRY_NS = 100 * 1000000ull;
static const uint64_t SYN_GIVE_UP_NS = 10 * 1000000000ull;

/* A connect on its way; outlives its operation, which may be cancelled. */
struct sim_connect {
    struct sim_event event;
    struct list link; /* of sim.connects */
    struct sim *sim;
    struct sim_op *op; /* NULL: nobody waits any more */
    unsigned from, to;
    uint16_t port;
    uint64_t began_ns;
    struct sim_connection *connection; /* made; the answer is on its way back */
    int error;                         /* or this is the answer */
};

static struct prng *chance(struct sim *sim)
{
    return &sim->streams[SIM_STREAM_NETWORK];
}

static uint16_t port_of(struct sim_node *n)
{
    uint16_t port = n->port_next++;
    if (n->port_next < 32768) {
        n->port_next = 32768;
    }
    return port;
}

/* --- listening ----------------------------------------------------------------------- */

int sim_net_listen(struct io *io, struct io_listener **out, const char *host, uint16_t port,
                   uint16_t *port_out)
{
    struct sim_shard *s = sim_shard(io);
    if (strcmp(host, "0.0.0.0") != 0 && strcmp(host, "::") != 0 && host[0] != 0 &&
        sim_resolve(s->node->sim, s->node, host) != s->node) {
        return -EADDRNOTAVAIL;
    }
    list_each (node, &s->listeners) {
        if (container_of(node, struct io_listener, link)->port == port) {
            return -EADDRINUSE;
        }
    }
    struct io_listener *l = sim_memory(sizeof *l);
    l->shard = s;
    l->port = port ? port : port_of(s->node);
    list_init(&l->backlog);
    list_init(&l->accepts);
    list_append(&s->listeners, &l->link);
    *port_out = l->port;
    *out = l;
    return 0;
}

static void socket_own(struct io_socket *s, struct sim_shard *shard)
{
    list_remove(&s->link);
    s->shard = shard;
    list_append(&shard->sockets, &s->link);
}

/* Waiting accepts are served first come, first served. */
static void accept_try(struct io_listener *l)
{
    struct list *first = list_first(&l->backlog), *waiting = list_first(&l->accepts);
    if (!first || !waiting) {
        return;
    }
    struct sim_op *o = container_of(waiting, struct sim_op, accept);
    struct io_socket *s = container_of(first, struct io_socket, link);
    list_remove(&o->accept);
    l->backlog_count--;
    socket_own(s, l->shard);
    o->socket = s;
    sim_op_ready(o, 0);
}

void sim_net_accept(struct io *io, struct io_op *op, struct io_listener *l, struct io_socket **out)
{
    struct sim_op *o = sim_op_new(sim_shard(io), SIM_ACCEPT, op, NULL);
    o->socket_out = out;
    list_append(&l->accepts, &o->accept);
    accept_try(l);
}

static void listener_free(struct io_listener *l)
{
    list_each (node, &l->backlog) {
        sim_socket_hang_up(container_of(node, struct io_socket, link));
    }
    assert(list_empty(&l->accepts));
    list_remove(&l->link);
    free(l);
}

void sim_net_listener_close(struct io *io, struct io_listener *l)
{
    struct list *waiting;
    while ((waiting = list_first(&l->accepts))) {
        sim_net_cancel(container_of(waiting, struct sim_op, accept));
    }
    listener_free(l);
}

/* --- connecting ---------------------------------------------------------------------- */

static struct io_listener *listener_find(struct sim_node *n, uint16_t port, struct prng *random)
{
    struct io_listener *found = NULL;
    uint64_t count = 0;
    for (unsigned i = 0; i < n->shard_count; i++) {
        list_each (node, &n->shards[i].listeners) {
            struct io_listener *l = container_of(node, struct io_listener, link);
            if (l->port == port && prng_below(random, ++count) == 0) {
                found = l;
            }
        }
    }
    return found;
}

static void connect_answer(struct sim *sim, struct sim_connect *c, int error)
{
    c->error = error;
    sim_event_at(sim, &c->event, sim->now_ns + sim_link_delay(sim, c->to, c->from));
}

static void connect_free(struct sim_connect *c)
{
    sim_event_cancel(c->sim, &c->event);
    list_remove(&c->link);
    free(c);
}

static void connect_done(struct sim_connect *c)
{
    struct sim_op *o = c->op;
    struct io_socket *s = c->connection ? &c->connection->sides[0] : NULL;
    int error = c->error ? c->error : s ? s->error : 0;
    if (o) {
        o->connect = NULL;
        if (!error) {
            socket_own(s, o->shard);
            o->socket = s;
        }
        sim_op_ready(o, error);
    }
    if (s && (!o || error)) {
        sim_socket_hang_up(s);
    }
    connect_free(c);
}

/* The SYN has arrived, or is to be tried again. */
static void connect_arrive(struct sim *sim, struct sim_connect *c)
{
    struct sim_node *to = sim->nodes[c->to];
    bool refuses = sim->links[c->from][c->to] == SIM_LINK_REFUSE;
    bool heard = sim->links[c->from][c->to] == SIM_LINK_UP &&
                 sim->links[c->to][c->from] == SIM_LINK_UP && to->state != SIM_POWER_CUT &&
                 to->state != SIM_DOWN;
    if (!heard && !refuses) {
        if (sim->now_ns - c->began_ns > SYN_GIVE_UP_NS) {
            c->error = -ETIMEDOUT;
            connect_done(c);
        } else {
            sim_event_at(sim, &c->event, sim->now_ns + SYN_RETRY_NS);
        }
        return;
    }
    struct io_listener *l = refuses ? NULL : listener_find(to, c->port, chance(sim));
    if (!l || l->backlog_count == SIM_BACKLOG ||
        sim_fault(sim, SIM_STREAM_NETWORK, sim->faults.connect_refused)) {
        connect_answer(sim, c, -ECONNREFUSED);
        return;
    }
    c->connection = sim_connection_new(sim, c->from, port_of(sim->nodes[c->from]), c->to, c->port);
    list_append(&l->backlog, &c->connection->sides[1].link);
    l->backlog_count++;
    sim_trace(sim, SIM_WHAT_NET, c->connection->number, c->from, c->to);
    if (!sim->options.brief) {
        sim_story(sim, "%s connects to %s:%u", sim->nodes[c->from]->name, to->name, c->port);
    }
    connect_answer(sim, c, 0);
    accept_try(l);
}

static void connect_fire(struct sim *sim, struct sim_event *e)
{
    struct sim_connect *c = container_of(e, struct sim_connect, event);
    if (c->connection || c->error) {
        connect_done(c);
    } else {
        connect_arrive(sim, c);
    }
}

void sim_net_connect(struct io *io, struct io_op *op, struct io_socket **out, const char *host,
                     uint16_t port)
{
    struct sim_shard *s = sim_shard(io);
    struct sim *sim = s->node->sim;
    sim_point_call(s);
    struct sim_op *o = sim_op_new(s, SIM_CONNECT, op, NULL);
    o->socket_out = out;
    struct sim_node *to = sim_resolve(sim, s->node, host);
    if (!to) {
        sim_op_ready(o, -EHOSTUNREACH);
        return;
    }
    struct sim_connect *c = sim_memory(sizeof *c);
    c->event.fire = connect_fire;
    c->sim = sim;
    list_append(&sim->connects, &c->link);
    c->op = o;
    c->from = s->node->index;
    c->to = to->index;
    c->port = port;
    c->began_ns = sim->now_ns;
    o->connect = c;
    sim_event_at(sim, &c->event, sim->now_ns + sim_link_delay(sim, c->from, c->to));
}

/* --- receiving and sending ----------------------------------------------------------- */

static size_t piece(struct sim *sim, size_t size)
{
    uint64_t most = size;
    if (sim->faults.piece_max > 0 && sim->faults.piece_max < size) {
        most = sim->faults.piece_max;
    }
    return sim_fault(sim, SIM_STREAM_NETWORK, sim->faults.short_transfers)
               ? (size_t)prng_between(chance(sim), 1, most)
               : (size_t)most;
}

static size_t inbox_take(struct io_socket *s, uint8_t *out, size_t size)
{
    size_t done = 0;
    while (done < size && !list_empty(&s->inbox)) {
        struct sim_segment *g = container_of(s->inbox.next, struct sim_segment, link);
        size_t left = g->size - g->taken;
        size_t n = left < size - done ? left : size - done;
        memcpy(out + done, g->data + g->taken, n);
        g->taken += n;
        done += n;
        if (g->taken == g->size) {
            list_remove(&g->link);
            free(g);
        }
    }
    assert(s->unread >= done);
    s->unread -= done;
    return done;
}

/* Answers a waiting receive if there is something to say. */
void sim_socket_receive(struct io_socket *s)
{
    struct sim_op *o = s->recv;
    if (!o || (!s->error && !s->fin && list_empty(&s->inbox))) {
        return;
    }
    int64_t result = s->error;
    if (!s->error && !list_empty(&s->inbox)) {
        result = (int64_t)inbox_take(s, o->buffer, piece(s->connection->sim, (size_t)o->size));
    }
    s->recv = NULL;
    o->socket = NULL;
    sim_op_ready(o, result);
    struct io_socket *peer = &s->connection->sides[!s->side];
    sim_socket_send(peer); /* the window has room */
}

void sim_net_recv(struct io *io, struct io_op *op, struct io_socket *s, void *buffer, size_t size)
{
    assert(!s->recv && !s->closed);
    assert(s->shard == sim_shard(io));
    struct sim_op *o = sim_op_new(s->shard, SIM_RECV, op, NULL);
    o->socket = s;
    o->buffer = buffer;
    o->size = size;
    s->recv = o;
    sim_socket_receive(s);
}

static struct sim_segment *gather(const struct sim_op *o, size_t size)
{
    struct sim_segment *g = malloc(sizeof *g + size);
    if (!g) {
        abort();
    }
    *g = (struct sim_segment){.size = size};
    size_t done = 0;
    for (unsigned i = 0; i < o->count && done < size; i++) {
        size_t n = o->iovecs[i].iov_len < size - done ? o->iovecs[i].iov_len : size - done;
        if (n > 0) {
            memcpy(g->data + done, o->iovecs[i].iov_base, n);
        }
        done += n;
    }
    assert(done == size);
    return g;
}

/* Answers a waiting send if the socket has failed or the window has room. */
void sim_socket_send(struct io_socket *s)
{
    struct sim_op *o = s->send;
    struct io_socket *peer = &s->connection->sides[!s->side];
    if (!o || heap_contains(&o->event.node) || (!s->error && peer->unread >= SIM_WINDOW)) {
        return;
    }
    struct sim *sim = s->connection->sim;
    int64_t result = s->error == -ECONNRESET ? -EPIPE : s->error;
    if (!s->error) {
        size_t room = SIM_WINDOW - peer->unread;
        size_t size = piece(sim, o->size < room ? (size_t)o->size : room);
        struct sim_segment *g = gather(o, size);
        sim_trace(sim, SIM_WHAT_NET, s->connection->number, s->side,
                  sim_checksum(0, g->data, g->size));
        sim_socket_put(peer, SIM_SEGMENT_DATA, g);
        result = (int64_t)size;
    }
    s->send = NULL;
    o->socket = NULL;
    sim_op_ready(o, result);
}

static void finish_send(struct sim_op *o)
{
    struct sim *sim = o->shard->node->sim;
    struct io_socket *s = o->socket;
    if (sim_fault(sim, SIM_STREAM_NETWORK, sim->faults.connection_reset)) {
        sim_story(sim, "fault: connection %llu is reset",
                  (unsigned long long)s->connection->number);
        sim_socket_fail(&s->connection->sides[!s->side], -ECONNRESET);
        sim_socket_fail(s, -ECONNRESET);
        return;
    }
    sim_socket_send(s);
}

/* The bytes are looked at a little later, as a kernel may. */
void sim_net_send(struct io *io, struct io_op *op, struct io_socket *s, const struct iovec *iovecs,
                  unsigned count)
{
    assert(!s->send && !s->closed);
    assert(s->shard == sim_shard(io));
    sim_point_call(s->shard);
    struct sim_op *o = sim_op_new(s->shard, SIM_SEND, op, finish_send);
    o->socket = s;
    sim_op_pieces(o, iovecs, count);
    assert(o->size > 0);
    s->send = o;
    sim_op_after(o, &s->shard->node->sim->faults.turn, SIM_STREAM_NETWORK);
}

/* --- ends ---------------------------------------------------------------------------- */

void sim_net_forget(struct sim_op *o)
{
    if (o->has_result) {
        return;
    }
    if (o->connect) {
        o->connect->op = NULL;
    }
    list_remove(&o->accept);
    if (o->socket && o->socket->recv == o) {
        o->socket->recv = NULL;
    }
    if (o->socket && o->socket->send == o) {
        o->socket->send = NULL;
    }
}

void sim_net_cancel(struct sim_op *o)
{
    sim_net_forget(o);
    o->connect = NULL;
    o->socket = NULL;
    sim_op_ready(o, -ECANCELED);
}

void sim_net_socket_close(struct io *io, struct io_socket *s)
{
    assert(s->shard == sim_shard(io));
    sim_point_call(s->shard);
    if (s->recv) {
        sim_net_cancel(s->recv);
    }
    if (s->send) {
        sim_net_cancel(s->send);
    }
    sim_socket_hang_up(s);
}

void sim_net_socket_peer(struct io *io, struct io_socket *s, char out[static IO_ADDRESS_MAX])
{
    const struct io_socket *peer = &s->connection->sides[!s->side];
    snprintf(out, IO_ADDRESS_MAX, "%s:%u", sim_shard(io)->node->sim->nodes[peer->node]->name,
             peer->port);
}

void sim_net_drop(struct sim_shard *s, bool power)
{
    list_each (node, &s->sockets) {
        struct io_socket *socket = container_of(node, struct io_socket, link);
        socket->silent = power;
        sim_socket_hang_up(socket);
    }
    list_each (node, &s->listeners) {
        struct io_listener *l = container_of(node, struct io_listener, link);
        list_each (waiting, &l->backlog) {
            container_of(waiting, struct io_socket, link)->silent = power;
        }
        listener_free(l);
    }
}

void sim_net_free(struct sim *sim)
{
    list_each (node, &sim->connects) {
        connect_free(container_of(node, struct sim_connect, link));
    }
    sim_connections_free(sim);
}
