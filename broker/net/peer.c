/* SPDX-License-Identifier: Apache-2.0 */

/* Requests from peer_submit() to done(), and the life of a peer. What handlers and calls find to do
 * is gathered to the end of the loop's turn, so that requests that were submitted together are sent
 * together.
 *
 *     IDLE --peer_submit--> WAITING --peer_send--> SENT --answer--> done()
 *                              |                    |
 *                              '----- gave up, failed: ENDED --peer_soon_due--> done()
 *
 * An ended request's done() comes from a timer that is due in the next turn: a caller who submits
 * again what just failed gets its next failure a turn later, and the loop goes on. */
#include "net/peer_private.h"

#include <stdio.h>

static const uint64_t second_ns = UINT64_C(1000000000);

enum {
    REQUESTS_DEFAULT = 32,
    ANSWER_BYTES_DEFAULT = 16 << 20,
    OUTPUT_BYTES_DEFAULT = 1 << 20,
    CONNECT_SECONDS_DEFAULT = 2,
    REQUEST_SECONDS_DEFAULT = 30,
};

void peer_schedule(struct peer *p)
{
    io_turn_end(p->io, &p->turn);
}

/* --- requests --------------------------------------------------------------------------------- */

void peer_request_end(struct peer_request *r, int error)
{
    struct peer *p = r->peer;
    assert(error < 0);
    assert(r->state == PEER_REQUEST_WAITING || r->state == PEER_REQUEST_SENT);
    deadline_cancel(&p->deadlines, &r->deadline);
    r->state = PEER_REQUEST_ENDED;
    r->error = error;
    list_remove(&r->link);
    list_append(&p->ended, &r->link);
    if (!heap_contains(&p->soon.node)) {
        deadline_set(&p->deadlines, &p->soon, io_now(p->io) + 1);
    }
}

static void peer_soon_due(struct deadline *d)
{
    struct peer *p = container_of(d, struct peer, soon);
    struct list ended, *node;
    assert(p->magic == PEER_MAGIC);
    list_init(&ended);
    list_splice(&ended, &p->ended);
    while ((node = list_pop(&ended))) {
        struct peer_request *r = container_of(node, struct peer_request, link);
        assert(r->peer == p && r->state == PEER_REQUEST_ENDED);
        struct peer_answer answer = {
            .error = r->error, .maybe_received = r->maybe_received, .version = r->version};
        r->peer = NULL;
        r->state = PEER_REQUEST_IDLE;
        r->done(r, &answer);
    }
    peer_schedule(p);
}

struct peer_request *peer_flight_take(struct peer *p, unsigned i)
{
    assert(i < p->flight_count);
    struct peer_request *r = p->flights[i].request;
    if (!r) {
        assert(p->given_up > 0);
        p->given_up--;
    }
    p->flight_count--;
    memmove(p->flights + i, p->flights + i + 1, (p->flight_count - i) * sizeof *p->flights);
    return r;
}

void peer_flight_give_up(struct peer *p, unsigned i)
{
    assert(i < p->flight_count);
    assert(p->flights[i].request);
    p->flights[i].request = NULL;
    p->given_up++;
    if (p->given_up >= p->options.requests_max) {
        peer_fail(p, ERR_NETWORK_EXCEPTION, "it answers none of %u requests", p->given_up);
    }
}

static unsigned peer_flight_of(const struct peer *p, const struct peer_request *r)
{
    unsigned i = 0;
    while (i < p->flight_count && p->flights[i].request != r) {
        i++;
    }
    assert(i < p->flight_count);
    return i;
}

static void peer_request_due(struct deadline *d)
{
    struct peer_request *r = container_of(d, struct peer_request, deadline);
    struct peer *p = r->peer;
    assert(p->magic == PEER_MAGIC);
    if (r->state == PEER_REQUEST_WAITING) {
        peer_request_end(r, p->failures ? p->error : ERR_TIMEOUT);
        return;
    }
    assert(r->state == PEER_REQUEST_SENT);
    unsigned i = peer_flight_of(p, r);
    bool silent = p->received_ns <= p->flights[i].sent_ns;
    peer_request_end(r, ERR_TIMEOUT);
    peer_flight_give_up(p, i);
    if (silent && p->state == PEER_READY) {
        peer_fail(p, ERR_NETWORK_EXCEPTION, "nothing came in time for %s, nor anything else",
                  wire_api_find(r->key)->name);
    }
}

void peer_submit(struct peer *p, struct peer_request *r)
{
    assert(p->magic == PEER_MAGIC);
    assert(!p->closing);
    assert(!r->peer && r->state == PEER_REQUEST_IDLE);
    assert(r->encode && r->done);
    const struct wire_api *api = wire_api_find(r->key);
    assert(api);
    assert(r->version_min <= r->version_max);
    assert(wire_api_has(api, r->version_min) && wire_api_has(api, r->version_max));
    r->peer = p;
    r->state = PEER_REQUEST_WAITING;
    r->version = -1;
    r->maybe_received = false;
    r->deadline = (struct deadline){.due = peer_request_due};
    list_init(&r->link);
    list_append(&p->waiting, &r->link);
    if (r->fail_fast && peer_pausing(p)) {
        peer_request_end(r, p->error);
        return;
    }
    uint64_t timeout_ns = r->timeout_ns ? r->timeout_ns : p->options.request_timeout_ns;
    deadline_set(&p->deadlines, &r->deadline, io_now(p->io) + timeout_ns);
    peer_schedule(p);
}

void peer_cancel(struct peer_request *r)
{
    struct peer *p = r->peer;
    if (!p || r->state == PEER_REQUEST_ENDED) {
        return;
    }
    assert(p->magic == PEER_MAGIC);
    bool sent = r->state == PEER_REQUEST_SENT;
    peer_request_end(r, ERR_INTERRUPTED);
    if (sent) {
        peer_flight_give_up(p, peer_flight_of(p, r));
    }
}

/* --- the connection --------------------------------------------------------------------------- */

void peer_disconnect(struct peer *p, int error)
{
    assert(p->state != PEER_DOWN && p->state != PEER_CLOSING);
    deadline_cancel(&p->deadlines, &p->limit);
    if (p->state == PEER_CONNECTING) {
        io_cancel(p->io, &p->connect);
    } else {
        io_socket_close(p->io, p->socket);
        p->socket = NULL;
    }
    p->state = PEER_CLOSING;
    list_remove(&p->hello.link);
    p->hello.state = PEER_REQUEST_IDLE;
    while (p->flight_count > 0) {
        struct peer_request *r = peer_flight_take(p, 0);
        if (r && r != &p->hello) {
            peer_request_end(r, error);
        }
    }
    assert(p->given_up == 0);
    peer_schedule(p);
}

static bool peer_quiet(const struct peer *p)
{
    return io_op_idle(&p->connect) && io_op_idle(&p->send) && io_op_idle(&p->receive);
}

static void peer_gone(struct deadlines *d)
{
    struct peer *p = container_of(d, struct peer, deadlines);
    struct peer_close *c = p->closing;
    struct memory *memory = p->memory;
    assert(p->magic == PEER_MAGIC);
    assert(p->flight_count == 0 && !p->frame && !p->socket);
    if (p->turn.link.next) {
        list_remove(&p->turn.link); /* it may have been asked for once more in this turn */
    }
    wire_writer_deinit(&p->out);
    memory_free(memory, p->flights);
    memory_free(memory, p->apis);
    p->magic = 0;
    memory_free(memory, p);
    c->done(c);
}

static void peer_down_turn(struct peer *p)
{
    if (!p->closing) {
        peer_connect_start(p);
        return;
    }
    assert(list_empty(&p->waiting));
    if (!p->stopping && list_empty(&p->ended) && !heap_contains(&p->soon.node)) {
        p->stopping = true;
        deadlines_stop(&p->deadlines, peer_gone);
    }
}

static void peer_turn(struct io_turn *t)
{
    struct peer *p = container_of(t, struct peer, turn);
    assert(p->magic == PEER_MAGIC);
    if (p->state == PEER_CLOSING && peer_quiet(p)) {
        peer_stream_reset(p);
        p->state = PEER_DOWN;
    }
    if (p->state == PEER_DOWN && p->lost && !p->closing) {
        p->lost = false;
        if (p->options.lost) {
            p->options.lost(p->options.lost_context);
        }
    }
    if (p->state == PEER_DOWN) {
        peer_down_turn(p); /* the peer may be gone */
    } else if (p->state == PEER_GREETING || p->state == PEER_READY) {
        peer_send(p);
        peer_receive(p);
    }
}

/* --- life ------------------------------------------------------------------------------------- */

static void peer_defaults(struct peer_options *o)
{
    o->requests_max = o->requests_max ? o->requests_max : REQUESTS_DEFAULT;
    o->answer_bytes_max = o->answer_bytes_max ? o->answer_bytes_max : ANSWER_BYTES_DEFAULT;
    o->output_bytes_max = o->output_bytes_max ? o->output_bytes_max : OUTPUT_BYTES_DEFAULT;
    if (!o->connect_timeout_ns) {
        o->connect_timeout_ns = CONNECT_SECONDS_DEFAULT * second_ns;
    }
    if (!o->request_timeout_ns) {
        o->request_timeout_ns = REQUEST_SECONDS_DEFAULT * second_ns;
    }
    assert(o->requests_max <= PEER_REQUESTS_MAX);
    assert(o->answer_bytes_max <= INT32_MAX);
}

int peer_open(struct peer **out, const struct peer_options *options)
{
    assert(options->io && options->name);
    struct memory *memory = options->memory ? options->memory : io_memory(options->io);
    struct peer_options o = *options;
    peer_defaults(&o);
    struct peer *p = memory_alloc(memory, sizeof *p);
    struct peer_flight *flights = memory_alloc(memory, o.requests_max * sizeof *flights);
    struct wire_versions *apis = memory_alloc(memory, (size_t)wire_api_count * sizeof *apis);
    if (!p || !flights || !apis) {
        memory_free(memory, apis);
        memory_free(memory, flights);
        memory_free(memory, p);
        return ERR_NO_MEMORY;
    }
    p->magic = PEER_MAGIC;
    p->io = o.io;
    p->memory = memory;
    p->options = o;
    p->flights = flights;
    p->apis = apis;
    snprintf(p->name, sizeof p->name, "%s", o.name);
    snprintf(p->client_id, sizeof p->client_id, "%s", o.client_id ? o.client_id : "leatd");
    peer_places_set(p, o.addresses, o.address_count);
    uint64_t seed;
    io_random(p->io, &seed, sizeof seed);
    p->prng = prng_of(seed);
    p->connect.done = peer_connect_done;
    p->send.done = peer_send_done;
    p->receive.done = peer_receive_done;
    p->turn.turn_end = peer_turn;
    p->limit.due = peer_limit_due;
    p->retry.due = peer_retry_due;
    p->soon.due = peer_soon_due;
    deadlines_init(&p->deadlines, p->io);
    list_init(&p->waiting);
    list_init(&p->greeting);
    list_init(&p->ended);
    list_init(&p->hello.link);
    wire_writer_init(&p->out, memory, (size_t)o.output_bytes_max + PEER_HEADER_BYTES);
    *out = p;
    return 0;
}

void peer_close(struct peer *p, struct peer_close *c)
{
    assert(p->magic == PEER_MAGIC);
    assert(!p->closing);
    assert(c->done);
    p->closing = c;
    while (!list_empty(&p->waiting)) {
        peer_request_end(container_of(p->waiting.next, struct peer_request, link), ERR_CLOSED);
    }
    deadline_cancel(&p->deadlines, &p->retry);
    if (p->state != PEER_DOWN && p->state != PEER_CLOSING) {
        peer_disconnect(p, ERR_CLOSED);
    }
    peer_schedule(p);
}

struct peer_status peer_status(const struct peer *p)
{
    assert(p->magic == PEER_MAGIC);
    struct peer_status s = p->status;
    s.ready = p->state == PEER_READY;
    s.failures = p->failures;
    s.error = p->failures ? p->error : 0;
    s.in_flight = p->state == PEER_READY ? p->flight_count : 0;
    list_each (node, &p->waiting) {
        s.waiting++;
    }
    return s;
}
