/* SPDX-License-Identifier: Apache-2.0 */

#include "world.h"

#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

/* --- the server ------------------------------------------------------------------------------- */

static uint8_t lent_bytes[1 << 20];

static void lent_free(struct buffer *b)
{
    struct world *w = container_of(b, struct world, lent);
    w->lent_frees++;
}

static void answer(struct world *w, struct server_request *r)
{
    struct wire_writer *out = &r->net.response;
    w->requests[r->number] = NULL;
    cr_assert_eq(wire_writer_total(out), 0, "the writer of a new request is empty");
    wire_frame_begin(out);
    if (w->answer_size == 0) {
        wire_put(out, r->net.frame, r->net.size);
    } else {
        wire_put(out, r->net.frame, 4);
        for (size_t left = w->answer_size - 4; left > 0;) {
            size_t size = left < sizeof lent_bytes ? left : sizeof lent_bytes;
            cr_assert(
                wire_writer_splice(out, (struct slice){lent_bytes, size, buffer_take(&w->lent)}));
            left -= size;
        }
    }
    cr_assert_eq(wire_frame_end(out), 0);
    net_respond(&r->net);
}

static void on_request(void *context, struct net_request *net)
{
    struct world *w = context;
    struct server_request *r = container_of(net, struct server_request, net);
    cr_assert(!r->self || r->self == r, "the upper room's bytes are as they were left");
    r->self = r;
    r->abandoned = false;
    r->number = w->request_count++;
    cr_assert_lt(r->number, WORLD_REQUESTS_MAX);
    w->requests[r->number] = r;
    if (!net_admit(net, get_be32(net->frame) >= MARK_BROKER)) {
        w->requests[r->number] = NULL;
        net_close(net);
        return;
    }
    if (w->pause) {
        net_pause(net);
    }
    if (!w->hold) {
        answer(w, r);
    }
}

static void on_abandoned(void *context, struct net_request *net)
{
    struct world *w = context;
    w->abandoned++;
    container_of(net, struct server_request, net)->abandoned = true;
}

static void on_release(void *context, struct net_request *net)
{
    struct world *w = context;
    w->released++;
}

static void on_discard(void *context, struct net_request *net)
{
}

static void on_stopped(struct net_stop *s)
{
    container_of(s, struct world, stop)->stopped = true;
}

static void server_start(struct io *io, void *argument)
{
    struct world *w = argument;
    w->net = net_new(io, &w->options);
    cr_assert_not_null(w->net);
    cr_assert_eq(net_listen(w->net, "server", 0, &w->port), 0);
    cr_assert_neq(w->port, 0);
}

static void client_start(struct io *io, void *argument)
{
}

void world_open(struct world *w, const struct net_options *options)
{
    *w = (struct world){.options = options ? *options : (struct net_options){0}};
    w->options.request_size = sizeof(struct server_request);
    w->options.request = on_request;
    w->options.abandoned = on_abandoned;
    w->options.release = on_release;
    w->options.discard = on_discard;
    w->options.context = w;
    w->stop.done = on_stopped;
    buffer_init(&w->lent, lent_bytes, sizeof lent_bytes, lent_free);
    w->sim = sim_new(&(struct sim_options){.seed = 7});
    cr_assert_not_null(w->sim);
    w->server = sim_node_new(w->sim, "server");
    w->client = sim_node_new(w->sim, "client");
    sim_node_start(w->server, 1, server_start, w);
    sim_node_start(w->client, 1, client_start, w);
    world_run(w, SECOND_NS / 100);
    cr_assert_not_null(w->net);
}

void world_close(struct world *w)
{
    for (unsigned i = 0; i < w->caller_count; i++) {
        caller_close(&w->callers[i]);
    }
    world_run(w, SECOND_NS);
    for (unsigned i = 0; i < w->request_count; i++) {
        if (w->requests[i]) {
            world_answer(w, i);
        }
    }
    if (!w->stopped) {
        net_stop(w->net, &w->stop, 1000);
        world_run(w, 3 * SECOND_NS);
    }
    cr_assert(w->stopped, "net_stop() is done");
    struct net_status s = net_status(w->net);
    cr_assert_eq(s.connections, 0);
    cr_assert_eq(s.requests, 0);
    cr_assert_eq(s.pool_bytes, 0);
    cr_assert_eq(s.lent_bytes, 0);
    cr_assert_eq(w->released, w->request_count, "every request was released once");
    cr_assert_eq(w->lent.references, 1, "every slice was released");
    net_free(w->net);
    for (unsigned i = 0; i < w->caller_count; i++) {
        free(w->callers[i].in);
        free(w->callers[i].out);
    }
    sim_free(w->sim);
}

void world_run(struct world *w, uint64_t ns)
{
    sim_run(w->sim, sim_now(w->sim) + ns);
}

static void delivered(struct io_message *m, struct io *io)
{
    struct world *w = container_of(m, struct world, message);
    void (*what)(struct world *, unsigned) = w->what;
    w->what = NULL;
    what(w, w->number);
}

void world_do(struct world *w, void (*what)(struct world *w, unsigned number), unsigned number)
{
    w->what = what;
    w->number = number;
    w->message.deliver = delivered;
    io_post(sim_node_shard(w->server, 0), 0, &w->message);
    world_run(w, SECOND_NS / 100);
    cr_assert_null(w->what);
}

static struct server_request *take(struct world *w, unsigned number)
{
    cr_assert_lt(number, w->request_count);
    struct server_request *r = w->requests[number];
    cr_assert_not_null(r, "request %u is in progress", number);
    w->requests[number] = NULL;
    return r;
}

static void do_answer(struct world *w, unsigned number)
{
    answer(w, take(w, number));
}

static void do_answer_all(struct world *w, unsigned count)
{
    size_t before = w->answer_size;
    for (unsigned i = 0; i < count; i++) {
        w->answer_size = w->sizes[i];
        answer(w, take(w, i));
    }
    w->answer_size = before;
}

static void do_drop(struct world *w, unsigned number)
{
    net_drop(&take(w, number)->net);
}

static void do_cut(struct world *w, unsigned number)
{
    net_close(&take(w, number)->net);
}

void world_answer(struct world *w, unsigned number)
{
    world_do(w, do_answer, number);
}

void world_answer_all(struct world *w, const size_t *sizes)
{
    w->sizes = sizes;
    world_do(w, do_answer_all, w->request_count);
}

void world_drop(struct world *w, unsigned number)
{
    world_do(w, do_drop, number);
}

void world_cut(struct world *w, unsigned number)
{
    world_do(w, do_cut, number);
}

/* --- clients ---------------------------------------------------------------------------------- */

static struct io *client_io(struct caller *p)
{
    return sim_node_shard(p->w->client, 0);
}

void caller_receive(struct caller *p)
{
    if (!p->socket || p->closed || !io_op_idle(&p->receive)) {
        return;
    }
    size_t piece = p->piece ? p->piece : 65536;
    if (p->in_capacity - p->in_size < piece) {
        p->in_capacity = (p->in_capacity + piece) * 2;
        p->in = realloc(p->in, p->in_capacity);
        cr_assert_not_null(p->in);
    }
    io_recv(client_io(p), &p->receive, p->socket, p->in + p->in_size, piece);
}

static void received(struct io_op *op, int64_t result)
{
    struct caller *p = container_of(op, struct caller, receive);
    if (result <= 0) {
        p->closed = true;
        return;
    }
    p->in_size += (size_t)result;
    if (!p->lazy) {
        caller_receive(p);
    }
}

static void caller_push(struct caller *p)
{
    if (p->socket && !p->closed && io_op_idle(&p->send) && p->out_sent < p->out_size) {
        static struct iovec iovec;
        iovec = (struct iovec){p->out + p->out_sent, p->out_size - p->out_sent};
        io_send(client_io(p), &p->send, p->socket, &iovec, 1);
    }
}

static void sent(struct io_op *op, int64_t result)
{
    struct caller *p = container_of(op, struct caller, send);
    if (result > 0) {
        p->out_sent += (size_t)result;
        caller_push(p);
    }
}

static void connected(struct io_op *op, int64_t result)
{
    struct caller *p = container_of(op, struct caller, connect);
    cr_assert_eq(result, 0, "connect");
    if (!p->lazy) {
        caller_receive(p);
    }
    caller_push(p);
}

struct caller *caller_open(struct world *w)
{
    cr_assert_lt(w->caller_count, WORLD_CALLERS_MAX);
    struct caller *p = &w->callers[w->caller_count++];
    p->w = w;
    p->connect.done = connected;
    p->receive.done = received;
    p->send.done = sent;
    io_connect(client_io(p), &p->connect, &p->socket, "server", w->port);
    world_run(w, SECOND_NS / 100);
    return p;
}

void caller_close(struct caller *p)
{
    if (p->socket) {
        io_socket_close(client_io(p), p->socket);
        p->socket = NULL;
        p->closed = true;
    }
}

/* Sent bytes stay where they are until they have left. */
void caller_send(struct caller *p, const void *bytes, size_t size)
{
    world_run(p->w, 0);
    while (!io_op_idle(&p->send) && !p->closed) {
        uint64_t before = sim_now(p->w->sim);
        world_run(p->w, SECOND_NS / 1000);
        cr_assert_gt(sim_now(p->w->sim), before);
        if (p->out_sent < p->out_size && p->w->hold) {
            break; /* the server does not read: add behind what waits */
        }
    }
    if (!io_op_idle(&p->send)) {
        cr_assert_fail("a send is stuck: send everything in one call");
    }
    p->out = realloc(p->out, p->out_size + size);
    cr_assert_not_null(p->out);
    memcpy(p->out + p->out_size, bytes, size);
    p->out_size += size;
    caller_push(p);
}

void caller_send_frame(struct caller *p, uint32_t mark, uint32_t size)
{
    uint8_t *frame = malloc(4 + (size_t)size);
    cr_assert_not_null(frame);
    put_be32(frame, size);
    put_be32(frame + 4, mark);
    for (uint32_t i = 4; i < size; i++) {
        frame[4 + i] = (uint8_t)(mark + i);
    }
    caller_send(p, frame, 4 + (size_t)size);
    free(frame);
}

static const uint8_t *frame_at(const struct caller *p, unsigned n, uint32_t *size)
{
    size_t at = 0;
    while (p->in_size - at >= 4) {
        *size = get_be32(p->in + at);
        if (p->in_size - at - 4 < *size) {
            return NULL;
        }
        if (n-- == 0) {
            return p->in + at + 4;
        }
        at += 4 + (size_t)*size;
    }
    return NULL;
}

uint32_t caller_frame(const struct caller *p, unsigned n)
{
    uint32_t size;
    const uint8_t *frame = frame_at(p, n, &size);
    if (!frame) {
        return UINT32_MAX;
    }
    uint32_t mark = get_be32(frame);
    for (uint32_t i = 4; i < size && p->w->answer_size == 0; i++) {
        cr_assert_eq(frame[i], (uint8_t)(mark + i), "byte %u of frame %u", i, n);
    }
    return mark;
}

unsigned caller_frames(const struct caller *p)
{
    uint32_t size;
    unsigned n = 0;
    while (frame_at(p, n, &size)) {
        n++;
    }
    return n;
}
