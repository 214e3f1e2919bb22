/* SPDX-License-Identifier: Apache-2.0 */

/* Listener, limits, the life of requests, and the end.
 *
 * Once a second a sweep looks at every connection: a body or an answer that comes slower than the
 * smallest rate, or slower than what it holds is worth to those who wait for it, an idle one, one that
 * holds a block for nothing. What other rules need at once is done at the end of a turn: waiting
 * connections get credit that has come back, the oldest answers are copied when too much is lent. */
#include "net/connection.h"

#include <errno.h>
#include <stdio.h>

static const uint64_t ms_ns = 1000000, second_ns = UINT64_C(1000000000);
enum { LINES_PER_SECOND = 10, ACCEPT_RETRY_MS = 100, REQUESTS_RESERVE_PART = 8 };

static void accept_done(struct io_op *op, int64_t result);
static void retry_done(struct io_op *op, int64_t result);
static void sweep_done(struct io_op *op, int64_t result);
static void stop_timer_done(struct io_op *op, int64_t result);

static void options_complete(struct net_options *o)
{
#define DEFAULT(field, value) o->field = o->field ? o->field : (value)
    DEFAULT(connections_max, 10000);
    DEFAULT(brokers_max, places_default(o->connections_max));
    DEFAULT(request_pool_bytes, 64 << 20);
    DEFAULT(request_bytes_max, 100 << 20);
    DEFAULT(requests_max, 64);
    DEFAULT(requests_total_max, 16384);
    DEFAULT(response_bytes_max, 4 << 20);
    DEFAULT(lent_bytes_max, 24 << 20);
    DEFAULT(rate_min, 65536);
    DEFAULT(idle_ms, 600000);
    DEFAULT(stall_ms, 30000);
#undef DEFAULT
    if (o->request_bytes_max > o->request_pool_bytes / 4) {
        o->request_bytes_max = (uint32_t)(o->request_pool_bytes / 4);
    }
}

struct net *net_new(struct io *io, const struct net_options *options)
{
    assert(options->request && options->release && options->discard);
    assert(options->request_size >= sizeof(struct net_request));
    struct memory *memory = options->memory ? options->memory : io_memory(io);
    struct net *net = memory_alloc(memory, sizeof *net);
    if (!net) {
        return NULL;
    }
    net->io = io;
    net->memory = memory;
    net->options = *options;
    options_complete(&net->options);
    net->sweep.done = sweep_done;
    net->stop_timer.done = stop_timer_done;
    net->turn.turn_end = net_turn;
    net->lines_left = LINES_PER_SECOND;
    list_init(&net->connections);
    list_init(&net->unknown);
    list_init(&net->brokers);
    list_init(&net->waiting_small);
    list_init(&net->waiting_large);
    list_init(&net->sending);
    list_init(&net->free_requests);
    bodies_init(&net->bodies, io_memory(io), net->options.request_pool_bytes);
    pool_init(&net->connection_pool, memory, sizeof(struct net_connection), 16,
              places_of_all(&net->options) + CONNECTIONS_ENDING);
    pool_init(&net->block_pool, memory, CONNECTION_BLOCK, 4, 256);
    pool_init(&net->iovecs_pool, memory, sizeof(struct net_iovecs), 8, 4096);
    pool_init(&net->request_pool, memory, options->request_size, 16,
              net->options.requests_total_max);
    return net;
}

static bool listeners_idle(const struct net *net)
{
    bool idle = true;
    for (unsigned i = 0; i < net->listener_count; i++) {
        const struct net_listener *l = &net->listeners[i];
        idle = idle && !l->socket && io_op_idle(&l->accept) && io_op_idle(&l->retry);
    }
    return idle;
}

void net_free(struct net *net)
{
    if (!net) {
        return;
    }
    assert(net->connection_count == 0 && net->request_count == 0);
    assert(io_op_idle(&net->sweep) && listeners_idle(net));
    struct list *node;
    while ((node = list_pop(&net->free_requests))) {
        struct net_request *r = container_of(node, struct net_request, link);
        wire_writer_deinit(&r->response);
        net->options.discard(net->options.context, r);
        pool_give(&net->request_pool, r);
    }
    pool_deinit(&net->request_pool);
    pool_deinit(&net->iovecs_pool);
    pool_deinit(&net->block_pool);
    pool_deinit(&net->connection_pool);
    bodies_deinit(&net->bodies);
    memory_free(net->memory, net);
}

bool net_may_log(struct net *net)
{
    if (net->lines_left == 0) {
        return false;
    }
    net->lines_left--;
    return true;
}

/* --- accepting -------------------------------------------------------------------------------- */

static void sweep_start(struct net *net)
{
    if (io_op_idle(&net->sweep)) {
        io_timer(net->io, &net->sweep, io_now(net->io) + second_ns);
    }
}

int net_listen(struct net *net, const char *host, uint16_t port, uint16_t *port_out)
{
    assert(net->listener_count < NET_LISTENERS_MAX && !net->stopping);
    struct net_listener *l = &net->listeners[net->listener_count];
    int error = io_listen(net->io, &l->socket, host, port, port_out);
    if (error) {
        l->socket = NULL;
        return error;
    }
    l->net = net;
    l->accept.done = accept_done;
    l->retry.done = retry_done;
    net->listener_count++;
    io_accept(net->io, &l->accept, l->socket, &l->accepted);
    return 0;
}

static void accept_done(struct io_op *op, int64_t result)
{
    struct net_listener *l = container_of(op, struct net_listener, accept);
    struct net *net = l->net;
    if (net->stopping) {
        if (result == 0) {
            io_socket_close(net->io, l->accepted);
        }
        net_maybe_stopped(net);
        return;
    }
    if (result < 0) {
        if (net_may_log(net)) {
            log_warn(io_logger(net->io), "net", "cannot accept: error=\"%s\"",
                     error_text(error_from_errno(result)));
        }
        io_timer(net->io, &l->retry, io_now(net->io) + ACCEPT_RETRY_MS * ms_ns);
        return;
    }
    connection_open(net, (unsigned)(l - net->listeners), l->accepted);
    sweep_start(net);
    io_accept(net->io, &l->accept, l->socket, &l->accepted);
}

static void retry_done(struct io_op *op, int64_t result)
{
    struct net_listener *l = container_of(op, struct net_listener, retry);
    if (l->net->stopping) {
        net_maybe_stopped(l->net);
        return;
    }
    io_accept(l->net->io, &l->accept, l->socket, &l->accepted);
}

/* --- requests --------------------------------------------------------------------------------- */

/* N6 for the requests themselves: large ones always leave some to small ones, small ones to large ones that wait. */
static bool request_fits(const struct net *net, bool small, bool large_waits)
{
    uint32_t all = net->options.requests_total_max, most = all - all / REQUESTS_RESERVE_PART;
    assert(net->large_count <= net->request_count);
    if (net->request_count >= all) {
        return false;
    }
    return small ? !large_waits || net->request_count - net->large_count < most
                 : net->large_count < most;
}

struct net_request *request_new(struct net *net, uint32_t size)
{
    uint32_t reserved;
    bool small = bodies_small(&net->bodies, size), large_waits = !list_empty(&net->waiting_large);
    if (!request_fits(net, small, large_waits)) {
        return NULL;
    }
    uint8_t *frame = bodies_take(&net->bodies, size, large_waits, &reserved);
    if (!frame) {
        return NULL;
    }
    struct net_request *r;
    struct list *node = list_pop(&net->free_requests);
    if (node) {
        r = container_of(node, struct net_request, link);
        net->free_request_count--;
    } else {
        r = pool_take(&net->request_pool);
        if (!r) {
            bodies_give(&net->bodies, frame, reserved);
            return NULL;
        }
        wire_writer_init(&r->response, net->memory, NET_WRITER_LIMIT);
    }
    r->frame = frame;
    r->size = size;
    r->reserved = reserved;
    r->holds = 0;
    r->net = net;
    r->state = REQUEST_READING;
    r->overtakes = false;
    list_init(&r->link);
    net->request_count++;
    net->large_count += small ? 0 : 1;
    return r;
}

static void request_free(struct net_request *r)
{
    struct net *net = r->net;
    assert(r->holds == 0 && !r->connection);
    assert(net->request_count > 0);
    net->options.release(net->options.context, r);
    if (r->response.capacity > NET_WRITER_KEPT || r->response.limit != NET_WRITER_LIMIT ||
        r->response.splice_capacity > NET_WRITER_KEPT / sizeof(struct wire_splice)) {
        wire_writer_deinit(&r->response);
        wire_writer_init(&r->response, net->memory, NET_WRITER_LIMIT);
    } else {
        wire_writer_reset(&r->response);
    }
    bodies_give(&net->bodies, r->frame, r->reserved);
    r->frame = NULL;
    net->request_count--;
    net->large_count -= bodies_small(&net->bodies, r->reserved) ? 0 : 1;
    if (net->free_request_count < NET_REQUESTS_KEPT) {
        list_append(&net->free_requests, &r->link);
        net->free_request_count++;
    } else {
        wire_writer_deinit(&r->response);
        net->options.discard(net->options.context, r);
        pool_give(&net->request_pool, r);
    }
    if (!list_empty(&net->waiting_small) || !list_empty(&net->waiting_large)) {
        io_turn_end(net->io, &net->turn);
    }
    net_maybe_stopped(net);
}

void request_over(struct net_request *r)
{
    assert(!r->connection);
    r->state = REQUEST_OVER;
    if (r->holds == 0) {
        request_free(r);
    } else {
        wire_writer_reset(&r->response);
    }
}

/* Takes a request out of its connection, if that is still there. */
static void request_leave(struct net_request *r)
{
    struct net_connection *c = r->connection;
    if (c) {
        list_remove(&r->link);
        output_forget(c, r);
        r->connection = NULL;
        io_turn_end(r->net->io, &c->turn);
    }
}

void net_respond(struct net_request *r)
{
    assert(r->state == REQUEST_WORKING);
    if (r->response.error) {
        net_close(r);
        return;
    }
    assert(r->response.size >= WIRE_FRAME_SIZE_BYTES);
    if (!r->connection || r->connection->closing) {
        net_drop(r);
        return;
    }
    output_ready(r->connection, r);
}

void net_overtake(struct net_request *r)
{
    assert(r->state == REQUEST_WORKING);
    r->overtakes = true;
}

void net_drop(struct net_request *r)
{
    assert(r->state == REQUEST_WORKING);
    request_leave(r);
    request_over(r);
}

void net_close(struct net_request *r)
{
    assert(r->state == REQUEST_WORKING);
    struct net_connection *c = r->connection;
    if (!c || c->closing) {
        net_drop(r);
        return;
    }
    wire_writer_reset(&r->response);
    r->state = REQUEST_CLOSE;
    c->deaf = true;
    connection_unqueue(c);
    io_turn_end(r->net->io, &c->turn);
}

void net_hold(struct net_request *r)
{
    assert(r->holds < UINT32_MAX);
    r->holds++;
}

void net_unhold(struct net_request *r)
{
    assert(r->holds > 0);
    if (--r->holds == 0 && r->state == REQUEST_OVER) {
        request_free(r);
    }
}

void net_pause(struct net_request *r)
{
    assert(r->state == REQUEST_WORKING);
    if (r->connection) {
        assert(!r->connection->paused && r->connection->requests.prev == &r->link);
        r->connection->paused = true;
    }
}

void net_resume(struct net_request *r)
{
    struct net_connection *c = r->connection;
    if (c) {
        assert(c->paused);
        c->paused = false;
        io_turn_end(r->net->io, &c->turn);
    }
}

void net_peer(const struct net_request *r, char out[static IO_ADDRESS_MAX])
{
    if (r->connection && !r->connection->closing) {
        io_socket_peer(r->net->io, r->connection->socket, out);
    } else {
        snprintf(out, IO_ADDRESS_MAX, "-");
    }
}

bool net_crowded(const struct net *net)
{
    return net->crowded;
}

bool net_busy(const struct net *net)
{
    return net->request_count > net->options.requests_total_max / 2;
}

/* --- at the end of a turn, and once a second -------------------------------------------------- */

static const uint64_t CREDIT_STALL_NS = 1000000000;

/* Seconds, of those in which others wait: a frame may take so many, and so many before it is looked at. Clients wait
 * 30 for an answer; with a full pool three of the largest frames come at a time. */
enum { WANTED_FRAME_S = 10, WANTED_GRACE_S = 2 };
static_assert(WANTED_FRAME_S + WANTED_GRACE_S < UINT8_MAX, "wanted_s counts them");

enum { SHED_STALL_MS = 250, SHED_BYTES_MIN = 4096 };

bool net_tight(const struct net *net)
{
    return net->memory->used_bytes > net->memory->budget_bytes / 8 * 7;
}

/* Copies the oldest answers until what is lent is within the hard limit. Connections whose send has to
 * be cancelled first come back here. Who holds little, or no more than an equal share of the limit, is
 * passed over: the others alone bring it down, and among the oldest are answers that were only just
 * given, which nobody has tried to send yet. */
static void net_relieve(struct net *net)
{
    uint64_t lent = net->lent_bytes, limit = net->options.lent_bytes_max * NET_HARD_FACTOR;
    uint64_t holders = 0;
    if (lent <= limit) {
        return;
    }
    list_each (node, &net->sending) {
        holders += container_of(node, struct net_connection, sending)->lent_bytes > 0;
    }
    list_each (node, &net->sending) {
        struct net_connection *c = container_of(node, struct net_connection, sending);
        if (lent <= limit) {
            return;
        }
        if (c->lent_bytes > NET_LENT_LITTLE && c->lent_bytes > limit / holders) {
            lent -= c->lent_bytes;
            if (!c->unlend) {
                output_unlend(c);
            }
        }
    }
}

/* When answers that nobody takes use up the memory, those who take nothing go, the oldest first:
 * else whoever asks next would be refused. With hardly any left it is not waited whether they do. */
void net_make_room(struct net *net)
{
    uint64_t used = net->memory->used_bytes, budget = net->memory->budget_bytes;
    uint64_t stall_ns = used > budget / 16 * 15 ? 0 : SHED_STALL_MS * ms_ns;
    uint64_t now = io_now(net->io);
    if (!net_tight(net)) {
        return;
    }
    list_each (node, &net->sending) {
        struct net_connection *c = container_of(node, struct net_connection, sending);
        if (used <= budget / 4 * 3 || now < c->progress_ns + stall_ns) {
            return;
        }
        uint64_t own = c->response_bytes - c->lent_bytes;
        if (own > SHED_BYTES_MIN && !c->closing) {
            used -= own < used ? own : used;
            connection_give_up(c, "does not take its answers, and hardly any memory is left");
        }
    }
}

static void net_serve(struct list *waiting)
{
    struct list *node;
    while ((node = list_first(waiting))) {
        struct net_connection *c = container_of(node, struct net_connection, credit);
        connection_parse(c);
        if (list_first(waiting) == node) {
            break; /* there is no credit for it yet */
        }
    }
}

void net_turn(struct io_turn *t)
{
    struct net *net = container_of(t, struct net, turn);
    net_relieve(net);
    net_make_room(net);
    net_serve(&net->waiting_large);
    net_serve(
        &net->waiting_small); /* then: what they may take depends on whether a large one waits */
    if (net->crowded && net->lent_bytes < net->options.lent_bytes_max / 2) {
        net->crowded = false;
        list_each (sending, &net->sending) {
            struct net_connection *c = container_of(sending, struct net_connection, sending);
            io_turn_end(net->io, &c->turn); /* it may have been paused */
        }
    }
}

/* Whether others wait for memory that the body in progress holds. Those with large frames do not wait for small ones,
 * which leave them half of it. */
static bool body_wanted(const struct net_connection *c)
{
    const struct net *net = c->net;
    return c->body &&
           (!list_empty(&net->waiting_small) ||
            (!list_empty(&net->waiting_large) && !bodies_small(&net->bodies, c->body->reserved)));
}

/* N7. The rate that is asked for grows with what is held, and what came before anybody waited counts: who is nearly
 * done is let finish. Counted in sweeps, not by the clock: a loop that was held up does not blame its clients. */
static bool body_too_slow(struct net_connection *c)
{
    c->wanted_s += c->wanted_s < WANTED_GRACE_S + WANTED_FRAME_S ? 1 : 0;
    assert(c->wanted_s <= WANTED_GRACE_S + WANTED_FRAME_S);
    uint64_t asked_s = c->wanted_s > WANTED_GRACE_S ? c->wanted_s - WANTED_GRACE_S : 0;
    return c->body_received < c->body->size * asked_s / WANTED_FRAME_S;
}

/* Whether it was given up for a body that keeps others waiting. `freed`: what this sweep has taken from such. Slow ones
 * are spared when that is what the largest frame takes: who waits longest is served, and they may yet finish. */
static bool sweep_body(struct net_connection *c, uint64_t now, uint64_t *freed)
{
    if (!body_wanted(c)) {
        return false;
    }
    const char *why = NULL;
    uint64_t reserved = c->body->reserved;
    bool enough = *freed > 0 && *freed + reserved > c->net->options.request_bytes_max;
    if (now > c->active_ns + CREDIT_STALL_NS) {
        why = "a request has stopped in the middle while others wait for memory";
    } else if (body_too_slow(c) && !enough) {
        why = "a request comes too slowly for the memory that it holds while others wait: send "
              "smaller ones, or give limits.memory more";
    }
    if (why) {
        *freed += reserved;
        connection_give_up(c, why);
    }
    return why != NULL;
}

static void sweep_connection(struct net_connection *c, uint64_t now, uint64_t *freed)
{
    struct net *net = c->net;
    bool unread = !c->body && (!list_empty(&c->credit) || connection_paused(c));
    if (c->frame_deadline_ns && now > c->frame_deadline_ns && !unread) {
        connection_give_up(c, "a request comes too slowly");
        return;
    }
    if (c->output_deadline_ns && now > c->output_deadline_ns) {
        connection_give_up(c, "does not take its answers");
        return;
    }
    if (sweep_body(c, now, freed)) {
        return;
    }
    if (c->request_count == 0 && now > c->active_ns + net->options.idle_ms * ms_ns) {
        net->status.closed_idle++;
        connection_close(c);
        return;
    }
    /* A small slice keeps a large piece of the log's memory, which appends may be waiting for. */
    if (c->lent_bytes > 0 && now > c->progress_ns + second_ns && !c->unlend) {
        output_unlend(c);
        io_turn_end(net->io, &net->turn);
    }
    if (now > c->active_ns + second_ns) {
        connection_shrink(c);
    }
}

static void sweep_done(struct io_op *op, int64_t result)
{
    struct net *net = container_of(op, struct net, sweep);
    uint64_t now = io_now(net->io), freed = 0;
    list_each (node, &net->connections) {
        struct net_connection *c = container_of(node, struct net_connection, link);
        if (!c->closing) {
            sweep_connection(c, now, &freed);
        }
    }
    bodies_trim(&net->bodies);
    net->lines_left = LINES_PER_SECOND;
    bool needed = net->bodies.cached > 0 || net->connection_count > 0;
    if (!net->stopping && needed) {
        sweep_start(net);
    } else if (net->stopping) {
        net_maybe_stopped(net);
    }
}

/* --- the end ---------------------------------------------------------------------------------- */

/* What has not come whole is not waited for. */
static void connection_close_if_done(struct net_connection *c)
{
    if (c->request_count == (c->body ? 1 : 0)) {
        connection_close(c);
    }
}

void net_stop(struct net *net, struct net_stop *s, uint64_t timeout_ms)
{
    assert(!net->stopping && s->done);
    net->stopping = true;
    net->stop = s;
    for (unsigned i = 0; i < net->listener_count; i++) {
        struct net_listener *l = &net->listeners[i];
        io_listener_close(net->io, l->socket);
        l->socket = NULL;
        io_cancel(net->io, &l->retry);
    }
    io_cancel(net->io, &net->sweep);
    io_timer(net->io, &net->stop_timer, io_now(net->io) + timeout_ms * ms_ns);
    list_each (node, &net->connections) {
        struct net_connection *c = container_of(node, struct net_connection, link);
        c->deaf = true;
        list_remove(&c->credit);
        connection_close_if_done(c);
    }
    net_maybe_stopped(net);
}

/* The last answer of a connection has left: it goes. When nothing is left, the end is told, from a
 * turn's end and not from inside a call. */
static void stop_turn(struct io_turn *t)
{
    struct net *net = container_of(t, struct net, turn);
    list_each (node, &net->connections) {
        struct net_connection *c = container_of(node, struct net_connection, link);
        connection_close_if_done(c);
    }
    if (net->connection_count > 0 || net->request_count > 0 || !listeners_idle(net) ||
        !io_op_idle(&net->sweep)) {
        return;
    }
    if (!io_op_idle(&net->stop_timer)) {
        io_cancel(net->io, &net->stop_timer);
        return;
    }
    struct net_stop *s = net->stop;
    if (s) {
        net->stop = NULL;
        s->done(s);
    }
}

void net_maybe_stopped(struct net *net)
{
    if (net->stopping) {
        net->turn.turn_end = stop_turn;
        io_turn_end(net->io, &net->turn);
    }
}

static void stop_timer_done(struct io_op *op, int64_t result)
{
    struct net *net = container_of(op, struct net, stop_timer);
    list_each (node, &net->connections) {
        connection_close(container_of(node, struct net_connection, link));
    }
    net_maybe_stopped(net);
}

struct net_status net_status(const struct net *net)
{
    struct net_status s = net->status;
    s.connections = net->connection_count;
    s.requests = net->request_count;
    s.pool_bytes = net->bodies.reserved;
    s.lent_bytes = net->lent_bytes;
    return s;
}
