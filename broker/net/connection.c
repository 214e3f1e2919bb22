/* SPDX-License-Identifier: Apache-2.0 */

/* What comes in. A receive goes into the connection's small buffer until a frame's size is known;
 * then the request owns memory for the whole frame, what has come is copied there (at most one
 * receive buffer), and the rest is received straight into it. That receive asks for more than the
 * frame when the frame's memory has room behind it: the beginning of the next frame comes along and
 * is moved to the receive buffer, so that large requests in a row cost one receive each. A
 * connection that pipelines small requests borrows a block, and gives it back after a quiet second.
 *
 *     READING --size known, credit--> (request) --all bytes--> READING
 *        |            no credit: WAITING, in net->waiting_small or _large, until its turn comes
 *        |            too much in progress: PAUSED, until an answer has left
 *        '--error, end of stream, limit--> CLOSING --both operations idle--> gone
 *
 * Waiting and paused connections have no receive in flight: the kernel's buffer fills and the
 * client is held back. A body that has begun is received to its end whatever else is in progress: it holds memory. */
#include "net/connection.h"

#include <errno.h>
#include <inttypes.h>

enum { FRAME_GRACE_NS = 5 }; /* seconds that a frame may take beside what its size allows */

static const uint64_t second_ns = UINT64_C(1000000000);

static void connection_turn(struct io_turn *t);
static void receive_done(struct io_op *op, int64_t result);

void connection_open(struct net *net, unsigned listener, struct io_socket *socket)
{
    assert(!net->stopping);
    struct net_connection *c = pool_take(&net->connection_pool);
    if (!c) {
        places_refused(net);
        io_socket_close(net->io, socket);
        return;
    }
    c->magic = CONNECTION_MAGIC;
    c->net = net;
    c->listener = (uint8_t)listener;
    c->socket = socket;
    c->receive.done = receive_done;
    c->send.done = output_done;
    c->turn.turn_end = connection_turn;
    c->buffer = c->small;
    c->active_ns = io_now(net->io);
    list_init(&c->credit);
    list_init(&c->sending);
    list_init(&c->requests);
    list_init(&c->link);
    place_take(c);
    list_append(&net->connections, &c->link);
    net->connection_count++;
    net->status.accepted++;
    connection_parse(c);
}

bool connection_paused(const struct net_connection *c)
{
    const struct net *net = c->net;
    return c->paused || c->request_count >= net->options.requests_max ||
           c->response_bytes >= net->options.response_bytes_max ||
           (net->crowded && c->lent_bytes > 0); /* N5 */
}

static uint32_t buffer_capacity(const struct net_connection *c)
{
    return c->buffer == c->small ? CONNECTION_SMALL : CONNECTION_BLOCK;
}

static void connection_release_block(struct net_connection *c)
{
    assert(c->start == c->end);
    if (c->buffer != c->small) {
        pool_give(&c->net->block_pool, c->buffer);
        c->buffer = c->small;
    }
    c->start = c->end = 0;
}

/* Chooses where the next bytes go; a buffer with bytes in it stays. */
static uint32_t connection_buffer(struct net_connection *c)
{
    if (c->start == c->end && c->busy != (c->buffer != c->small)) {
        connection_release_block(c);
        uint8_t *block = c->busy ? pool_take(&c->net->block_pool) : NULL;
        c->buffer = block ? block : c->small;
    }
    if (c->start > 0) {
        memmove(c->buffer, c->buffer + c->start, c->end - c->start);
        c->end -= c->start;
        c->start = 0;
    }
    assert(c->end < buffer_capacity(c));
    return buffer_capacity(c) - c->end;
}

/* Takes the next frame out of the buffer, or says what is missing. */
enum take { TAKE_DONE, TAKE_MORE, TAKE_STOP };

static void connection_deliver(struct net_connection *c, struct net_request *r)
{
    struct net *net = c->net;
    r->state = REQUEST_WORKING;
    r->arrived_ns = io_now(net->io);
    c->frame_deadline_ns = 0;
    net->status.requests_total++;
    net->options.request(net->options.context, r);
}

static void connection_refuse(struct net_connection *c, const char *why, uint32_t size)
{
    struct net *net = c->net;
    net->status.closed_oversize++;
    if (net_may_log(net)) {
        char peer[IO_ADDRESS_MAX];
        io_socket_peer(net->io, c->socket, peer);
        log_warn(io_logger(net->io), "net", "connection closed: %s peer=%s size=%u limit=%u", why,
                 peer, size, net->options.request_bytes_max);
    }
    connection_close(c);
}

static enum take connection_take(struct net_connection *c)
{
    struct net *net = c->net;
    uint32_t have = c->end - c->start;
    if (have < WIRE_FRAME_SIZE_BYTES) {
        return TAKE_MORE;
    }
    if (connection_paused(c)) {
        connection_unqueue(c); /* it does not keep others waiting */
        return TAKE_STOP;
    }
    uint32_t size = get_be32(c->buffer + c->start);
    if (size < NET_FRAME_MIN || size > net->options.request_bytes_max) {
        connection_refuse(c, size < NET_FRAME_MIN ? "frame too short" : "frame too large", size);
        return TAKE_STOP;
    }
    bool small = bodies_small(&net->bodies, size);
    struct list *waiting = small ? &net->waiting_small : &net->waiting_large;
    bool turn = list_empty(waiting) || waiting->next == &c->credit;
    struct net_request *r = turn ? request_new(net, size) : NULL;
    if (!r) {
        if (turn && net->bodies.reserved == 0 && net->request_count == 0) {
            connection_refuse(c, "out of memory", size); /* nothing that could be waited for */
            return TAKE_STOP;
        }
        if (list_empty(&c->credit)) {
            list_append(waiting, &c->credit);
            net->status.pool_waits++;
        }
        return TAKE_STOP;
    }
    list_remove(&c->credit);
    r->connection = c;
    r->listener = c->listener;
    list_append(&c->requests, &r->link);
    c->request_count++;
    c->start += WIRE_FRAME_SIZE_BYTES;
    have -= WIRE_FRAME_SIZE_BYTES;
    uint32_t copied = have < size ? have : size;
    memcpy(r->frame, c->buffer + c->start, copied);
    c->start += copied;
    if (copied == size) {
        connection_deliver(c, r);
        return TAKE_DONE;
    }
    c->body = r;
    c->body_received = copied;
    c->wanted_s = 0;
    c->busy = false;
    c->frame_deadline_ns = io_now(net->io) + FRAME_GRACE_NS * second_ns +
                           (uint64_t)size * second_ns / net->options.rate_min;
    return TAKE_MORE;
}

/* The rest of the body, and of what follows no more than the buffer can hold. */
static void connection_receive_body(struct net_connection *c)
{
    const struct net_request *r = c->body;
    assert(c->start == c->end && r->size <= r->reserved);
    uint32_t behind = r->reserved - r->size;
    uint32_t more = behind < buffer_capacity(c) ? behind : buffer_capacity(c);
    io_recv(c->net->io, &c->receive, c->socket, r->frame + c->body_received,
            r->size - c->body_received + more);
}

static void body_received(struct net_connection *c, uint32_t size)
{
    struct net_request *r = c->body;
    c->body_received += size;
    if (c->body_received < r->size) {
        return;
    }
    uint32_t behind = c->body_received - r->size;
    assert(c->start == c->end && behind <= buffer_capacity(c));
    memcpy(c->buffer, r->frame + r->size, behind);
    c->start = 0;
    c->end = behind;
    c->body = NULL;
    c->in_parse = true;
    connection_deliver(c, r);
    c->in_parse = false;
}

void connection_parse(struct net_connection *c)
{
    assert(c->magic == CONNECTION_MAGIC);
    if (c->closing || c->in_parse || !io_op_idle(&c->receive) || c->deaf) {
        return;
    }
    struct net *net = c->net;
    c->in_parse = true;
    enum take take = c->body ? TAKE_MORE : TAKE_DONE;
    while (take == TAKE_DONE && !c->closing && !c->deaf) {
        take = connection_take(c);
    }
    c->in_parse = false;
    if (take != TAKE_MORE || c->closing || c->deaf) {
        return;
    }
    if (c->body) {
        connection_receive_body(c);
        return;
    }
    uint32_t room = connection_buffer(c);
    if (c->end > 0 && c->frame_deadline_ns == 0) {
        c->frame_deadline_ns = io_now(net->io) + FRAME_GRACE_NS * second_ns;
    }
    io_recv(net->io, &c->receive, c->socket, c->buffer + c->end, room);
}

static void receive_done(struct io_op *op, int64_t result)
{
    struct net_connection *c = container_of(op, struct net_connection, receive);
    struct net *net = c->net;
    assert(c->magic == CONNECTION_MAGIC);
    if (c->closing) {
        io_turn_end(net->io, &c->turn);
        return;
    }
    if (result == -ECANCELED && c->shrink) {
        c->shrink = c->busy = false;
        connection_parse(c);
        return;
    }
    c->shrink = false;
    if (result <= 0) {
        connection_close(c);
        return;
    }
    net->status.received_bytes += (uint64_t)result;
    c->active_ns = io_now(net->io);
    if (c->body) {
        body_received(c, (uint32_t)result);
    } else {
        c->end += (uint32_t)result;
        assert(c->end <= buffer_capacity(c));
        c->busy = c->busy || c->end == buffer_capacity(c);
    }
    connection_parse(c);
}

void connection_shrink(struct net_connection *c)
{
    if (c->buffer != c->small && !c->body && c->start == c->end && !io_op_idle(&c->receive)) {
        c->shrink = true;
        io_cancel(c->net->io, &c->receive);
    }
}

/* Who stood behind it may fit where it did not, and small ones may have what was kept for it. */
void connection_unqueue(struct net_connection *c)
{
    if (!list_empty(&c->credit)) {
        list_remove(&c->credit);
        io_turn_end(c->net->io, &c->net->turn);
    }
}

void connection_close(struct net_connection *c)
{
    assert(c->magic == CONNECTION_MAGIC);
    if (c->closing) {
        return;
    }
    c->closing = true;
    place_leave(c);
    connection_unqueue(c);
    list_remove(&c->sending);
    io_socket_close(c->net->io, c->socket);
    io_turn_end(c->net->io, &c->turn);
}

void connection_give_up(struct net_connection *c, const char *why)
{
    struct net *net = c->net;
    net->status.closed_slow++;
    if (net_may_log(net)) {
        char peer[IO_ADDRESS_MAX];
        io_socket_peer(net->io, c->socket, peer);
        log_warn(io_logger(net->io), "net",
                 "connection closed: %s peer=%s size=%u received=%u requests=%u answers=%" PRIu64
                 " lent=%" PRIu64,
                 why, peer, c->body ? c->body->size : 0, c->body ? c->body_received : 0,
                 c->request_count, c->response_bytes, c->lent_bytes);
    }
    connection_close(c);
}

/* Both operations are idle: lets go of everything. Requests in progress go on without it. */
static void connection_free(struct net_connection *c)
{
    struct net *net = c->net;
    struct list *node;
    while ((node = list_pop(&c->requests))) {
        struct net_request *r = container_of(node, struct net_request, link);
        bool working = r->state == REQUEST_WORKING;
        output_forget(c, r);
        r->connection = NULL;
        if (!working) {
            request_over(r);
        } else if (net->options.abandoned) {
            net->options.abandoned(net->options.context, r);
        }
    }
    assert(c->response_bytes == 0 && c->lent_bytes == 0);
    c->start = c->end = 0;
    connection_release_block(c);
    pool_give(&net->iovecs_pool, c->iovecs);
    list_remove(&c->link);
    if (c->turn.link.next) {
        list_remove(&c->turn.link); /* it may have been asked for once more in this turn */
    }
    c->magic = 0;
    pool_give(&net->connection_pool, c);
    net->connection_count--;
    net_maybe_stopped(net);
}

static void connection_turn(struct io_turn *t)
{
    struct net_connection *c = container_of(t, struct net_connection, turn);
    assert(c->magic == CONNECTION_MAGIC);
    if (!c->closing) {
        output_send(c);
    }
    if (!c->closing) {
        connection_parse(c);
    }
    if (c->closing && io_op_idle(&c->receive) && io_op_idle(&c->send)) {
        connection_free(c);
    }
}
