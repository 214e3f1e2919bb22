/* SPDX-License-Identifier: Apache-2.0 */

/* What lies between two sockets: names, links, and the two directions of each connection.
 *
 * A segment arrives after the link's latency and its share of the bandwidth, never before the one
 * in front of it. While the link is cut it stays, is tried again like TCP would, and arrives when
 * the link is back; after GIVE_UP_NS its sender gives up with -ETIMEDOUT. A machine that was killed
 * answers with a reset, one that has lost power does not answer, and one that is back knows nothing
 * and resets. Who sends nothing learns of it by a probe, KEEPALIVE_NS later, as by the kernel's. */
#include "net_private.h"

#include <errno.h>
#include <stdio.h>

static const uint64_t RETRY_NS = 20 * 1000000ull;
static const uint64_t GIVE_UP_NS = 15 * 1000000000ull;
static const uint64_t KEEPALIVE_NS = 10 * 1000000000ull;

/* --- names and links ----------------------------------------------------------------- */

void sim_name(struct sim *sim, const char *host, struct sim_node *n)
{
    assert(strlen(host) < SIM_NAME_MAX);
    struct sim_alias *grown = realloc(sim->aliases, (sim->alias_count + 1) * sizeof *grown);
    if (!grown) {
        abort();
    }
    sim->aliases = grown;
    struct sim_alias *a = &sim->aliases[sim->alias_count++];
    snprintf(a->host, sizeof a->host, "%s", host);
    a->node = n->index;
}

struct sim_node *sim_resolve(struct sim *sim, const struct sim_node *asking, const char *host)
{
    if (strcmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0) {
        return sim->nodes[asking->index];
    }
    for (unsigned i = sim->alias_count; i > 0; i--) {
        if (strcmp(sim->aliases[i - 1].host, host) == 0) {
            return sim->nodes[sim->aliases[i - 1].node];
        }
    }
    return NULL;
}

void sim_link_set(struct sim *sim, unsigned from, unsigned to, enum sim_link link)
{
    assert(from < sim->node_count && to < sim->node_count);
    if (sim->links[from][to] == link) {
        return;
    }
    sim->links[from][to] = link;
    sim_story(sim, "link %s -> %s %s", sim->nodes[from]->name, sim->nodes[to]->name,
              link == SIM_LINK_UP    ? "up"
              : link == SIM_LINK_CUT ? "cut"
                                     : "refuses");
}

void sim_link_clog(struct sim *sim, unsigned from, unsigned to, uint64_t extra_ns)
{
    assert(from < sim->node_count && to < sim->node_count);
    if (sim->clogs[from][to] != extra_ns) {
        sim->clogs[from][to] = extra_ns;
        sim_story(sim, "link %s -> %s %s: %llu ms more", sim->nodes[from]->name,
                  sim->nodes[to]->name, extra_ns ? "is slow" : "is as fast as before",
                  (unsigned long long)(extra_ns / 1000000));
    }
}

uint64_t sim_link_delay(struct sim *sim, unsigned from, unsigned to)
{
    return sim_delay(&sim->streams[SIM_STREAM_NETWORK], &sim->faults.link) + sim->clogs[from][to];
}

void sim_link_reset(struct sim *sim, unsigned a, unsigned b)
{
    sim_story(sim, "connections between %s and %s are reset", sim->nodes[a]->name,
              sim->nodes[b]->name);
    list_each (node, &sim->connections) {
        struct sim_connection *c = container_of(node, struct sim_connection, link);
        unsigned from = c->sides[0].node, to = c->sides[1].node;
        if ((from == a && to == b) || (from == b && to == a)) {
            sim_socket_fail(&c->sides[0], -ECONNRESET);
            sim_socket_fail(&c->sides[1], -ECONNRESET);
        }
    }
}

/* --- connections --------------------------------------------------------------------- */

static void segments_free(struct list *segments)
{
    list_each (node, segments) {
        list_remove(node);
        free(container_of(node, struct sim_segment, link));
    }
}

/* Nothing more is to happen on either side: both are closed, nothing is on its way. */
static void connection_collect(struct sim_connection *c)
{
    for (unsigned i = 0; i < 2; i++) {
        if (!c->sides[i].closed || !list_empty(&c->sides[i].in.segments)) {
            return;
        }
    }
    sim_connection_free(c);
}

void sim_connection_free(struct sim_connection *c)
{
    for (unsigned i = 0; i < 2; i++) {
        sim_event_cancel(c->sim, &c->sides[i].in.event);
        sim_event_cancel(c->sim, &c->sides[i].keepalive);
        segments_free(&c->sides[i].in.segments);
        segments_free(&c->sides[i].inbox);
        list_remove(&c->sides[i].link);
    }
    list_remove(&c->link);
    free(c);
}

/* A side has failed: what waits there is told. */
void sim_socket_fail(struct io_socket *s, int error)
{
    if (s->closed || s->error) {
        return;
    }
    s->error = error;
    sim_trace(s->connection->sim, SIM_WHAT_NET, s->connection->number, s->side, (uint64_t)error);
    sim_socket_receive(s);
    sim_socket_send(s);
}

static bool machine_speaks(const struct sim_node *n)
{
    return n->state != SIM_POWER_CUT && n->state != SIM_DOWN;
}

static void segment_arrive(struct io_socket *s, struct sim_segment *g)
{
    struct sim_connection *c = s->connection;
    struct io_socket *peer = &c->sides[!s->side];
    if (g->kind == SIM_SEGMENT_RESET) {
        sim_socket_fail(s, -ECONNRESET);
    } else if (g->kind == SIM_SEGMENT_FIN) {
        s->fin = true;
        sim_socket_receive(s);
    } else if (s->closed || s->error) { /* bytes for nobody: the machine answers with a reset */
        if (!peer->closed && !peer->error) {
            sim_socket_put(peer, SIM_SEGMENT_RESET, NULL);
        }
    } else {
        list_append(&s->inbox, &g->link);
        sim_socket_receive(s);
        return;
    }
    free(g);
}

static void keepalive_fire(struct sim *sim, struct sim_event *e)
{
    struct io_socket *s = container_of(e, struct io_socket, keepalive);
    if (!s->closed && !s->error) {
        sim_socket_put(&s->connection->sides[!s->side], SIM_SEGMENT_DATA, NULL);
    }
}

static void direction_fire(struct sim *sim, struct sim_event *e)
{
    struct io_socket *s = container_of(e, struct io_socket, in.event);
    struct sim_connection *c = s->connection;
    struct io_socket *peer = &c->sides[!s->side];
    if (sim->links[peer->node][s->node] != SIM_LINK_UP ||
        (s->silent && !machine_speaks(sim->nodes[s->node]))) {
        if (s->in.stuck_since_ns == 0) {
            s->in.stuck_since_ns = sim->now_ns;
        }
        if (sim->now_ns - s->in.stuck_since_ns > GIVE_UP_NS) {
            segments_free(&s->in.segments);
            sim_socket_fail(peer, -ETIMEDOUT);
            connection_collect(c);
        } else {
            sim_event_at(sim, e, sim->now_ns + RETRY_NS);
        }
        return;
    }
    s->in.stuck_since_ns = 0;
    while (!list_empty(&s->in.segments)) {
        struct sim_segment *g = container_of(s->in.segments.next, struct sim_segment, link);
        if (g->arrives_ns > sim->now_ns) {
            if (!heap_contains(&e->node)) {
                sim_event_at(sim, e, g->arrives_ns);
            }
            break;
        }
        list_remove(&g->link);
        sim_trace(sim, SIM_WHAT_NET, c->number * 2 + s->side, g->kind, g->size);
        segment_arrive(s, g);
    }
    connection_collect(c);
}

struct sim_connection *sim_connection_new(struct sim *sim, unsigned from, uint16_t from_port,
                                          unsigned to, uint16_t to_port)
{
    struct sim_connection *c = sim_memory(sizeof *c);
    c->sim = sim;
    c->number = ++sim->connection_count;
    list_append(&sim->connections, &c->link);
    for (unsigned i = 0; i < 2; i++) {
        struct io_socket *s = &c->sides[i];
        list_init(&s->link);
        list_init(&s->inbox);
        list_init(&s->in.segments);
        s->in.event.fire = direction_fire;
        s->keepalive.fire = keepalive_fire;
        s->connection = c;
        s->side = i;
        s->node = i == 0 ? from : to;
        s->port = i == 0 ? from_port : to_port;
    }
    return c;
}

/* Puts `data` (taken over), or an end without bytes, on its way to `to`. */
void sim_socket_put(struct io_socket *to, enum sim_segment_kind kind, struct sim_segment *data)
{
    struct sim *sim = to->connection->sim;
    struct sim_segment *g = data ? data : sim_memory(sizeof *g);
    unsigned from = to->connection->sides[!to->side].node;
    g->kind = kind;
    uint64_t at = sim->now_ns + sim_link_delay(sim, from, to->node);
    at = at > to->in.last_ns ? at : to->in.last_ns;
    if (sim->faults.bytes_per_second > 0) {
        at += g->size * 1000000000ull / sim->faults.bytes_per_second;
    }
    g->arrives_ns = to->in.last_ns = at;
    to->unread += g->size;
    list_append(&to->in.segments, &g->link);
    if (!heap_contains(&to->in.event.node)) {
        sim_event_at(sim, &to->in.event, at);
    }
}

/* Its owner has gone: the peer is told what the kernel of a living machine tells it. A side that had given up, or whose
 * machine is gone, tells nothing. */
void sim_socket_hang_up(struct io_socket *s)
{
    struct sim_connection *c = s->connection;
    struct io_socket *peer = &c->sides[!s->side];
    bool lost = !list_empty(&s->inbox);
    assert(!s->closed);
    s->closed = true;
    s->shard = NULL;
    s->recv = s->send = NULL;
    list_remove(&s->link);
    segments_free(&s->inbox);
    if (!s->silent && !s->error && !peer->closed) {
        sim_socket_put(peer, lost ? SIM_SEGMENT_RESET : SIM_SEGMENT_FIN, NULL);
    }
    if ((s->silent || s->error) && !peer->closed && !peer->error) {
        sim_event_at(c->sim, &peer->keepalive, c->sim->now_ns + KEEPALIVE_NS);
    }
    connection_collect(c);
}

void sim_connections_free(struct sim *sim)
{
    list_each (node, &sim->connections) {
        sim_connection_free(container_of(node, struct sim_connection, link));
    }
}
