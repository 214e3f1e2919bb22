/* SPDX-License-Identifier: Apache-2.0 */

/* Everything that a handler finds to do is gathered to the end of the loop's turn: requests that
 * were submitted together are sent together, and a failed connection settles when all its
 * operations have come home, so that done() of a request never finds its bytes still lent to the
 * seam. */
#include "core/connection.h"

#include "core/core.h"
#include "core/silence.h"

#include <errno.h>
#include <stdio.h>

enum {
    FRAME_ALIGN = 64,
    NEGOTIATION_ANSWER_MAX = 1 << 20,
    NEGOTIATION_VERSION = 3,
};

static void connection_connect(struct connection *c);
static void connection_receive(struct connection *c);
static int connection_negotiate(struct connection *c, int version);

static bool connection_quiet(const struct connection *c)
{
    return io_op_idle(&c->connect_op) && io_op_idle(&c->send_op) && io_op_idle(&c->recv_op);
}

static void connection_turn(struct connection *c)
{
    io_turn_end(c->core->io, &c->turn);
}

/* Ends what there is; requests are failed with c->reason once the operations have come home. */
static void connection_close(struct connection *c)
{
    assert(c->state != CONNECTION_CLOSING);
    c->state = CONNECTION_CLOSING;
    alarm_clear(&c->core->alarms, &c->retry);
    alarm_clear(&c->core->alarms, &c->timeout);
    alarm_clear(&c->core->alarms, &c->hush);
    io_cancel(c->core->io, &c->connect_op);
    if (c->socket) {
        io_socket_close(c->core->io, c->socket);
        c->socket = NULL;
    }
    connection_turn(c);
}

static void connection_fail(struct connection *c)
{
    assert(c->reason.code < 0);
    if (c->state == CONNECTION_CLOSING) {
        return;
    }
    bool idle = c->state == CONNECTION_READY && !connection_busy(c);
    if (!idle) {
        c->failures++;
        core_connection_failed(c->core, c, &c->reason);
    }
    connection_close(c);
}

static const char *connection_advice(const struct connection *c, int64_t number)
{
    switch (-number) {
    case ECONNREFUSED:
        return "refused): is leatd running?";
    case ETIMEDOUT:
        return "no answer): check the address and the firewall";
    case ENETUNREACH:
    case EHOSTUNREACH:
        return "no such host or no route): check the address";
    case ENOENT:
    case EADDRNOTAVAIL:
        return "no such host): check the name";
    case ECONNRESET:
        return "reset by the broker): is it a Kafka listener, without TLS?";
    default:
        return c->broker_id >= 0 ? "failed): the broker advertises this address" : "failed)";
    }
}

/* --- sending --- */

static void request_done(struct request *r, int error, const leat_error *reason)
{
    struct answer a = {.error = error, .maybe_sent = r->started, .reason = reason};
    wire_writer_deinit(&r->writer);
    list_remove(&r->link);
    r->connection = NULL;
    r->done(r, &a);
}

static int connection_encode(struct connection *c, struct request *r, int version)
{
    const struct wire_request_header header = {
        .key = r->kind->key,
        .version = (int16_t)version,
        .correlation_id = ++c->correlation_id,
        .client_id = wire_string_of(c->core->options.client_id),
    };
    wire_writer_init(&r->writer, c->core->memory, INT32_MAX);
    wire_frame_begin(&r->writer);
    int error = wire_request_header_encode(&header, &r->writer);
    if (!error) {
        error = r->encode(r, &r->writer, version);
    }
    if (!error) {
        error = wire_frame_end(&r->writer);
    }
    if (error) {
        return error;
    }
    r->version = (int16_t)version;
    r->correlation_id = header.correlation_id;
    list_remove(&r->link);
    list_append(&c->in_flight, &r->link);
    if (!c->sending) {
        c->sending = r;
        assert(c->sent == 0);
    }
    return 0;
}

/* Where an API stands in the table; -1: it is none that a client asks. */
static int api_place(int16_t key)
{
    int own = key - CONNECTION_OWN_KEYS;
    if (key >= 0 && key < CONNECTION_KAFKA_APIS) {
        return key;
    }
    return own >= 0 && own < CONNECTION_OWN_APIS ? CONNECTION_KAFKA_APIS + own : -1;
}

int connection_version(const struct connection *c, const struct request_kind *kind)
{
    int place = api_place(kind->key);
    assert(place >= 0);
    if (c->state != CONNECTION_READY) {
        return -1;
    }
    int max = c->apis[place].max, min = c->apis[place].min;
    max = max < kind->version_max ? max : kind->version_max;
    min = min > kind->version_min ? min : kind->version_min;
    return max >= min ? max : -1;
}

static void connection_encode_waiting(struct connection *c)
{
    struct list *node;
    while (c->state == CONNECTION_READY && (node = list_first(&c->waiting))) {
        struct request *r = container_of(node, struct request, link);
        int version = connection_version(c, r->kind);
        leat_error reason;
        int error;
        if (version < 0) {
            const struct wire_api *api = wire_api_find(r->kind->key);
            error = error_set(&reason, ERR_UNSUPPORTED_VERSION,
                              "%s does not speak %s in a version from %d to %d: is it too old?",
                              c->address, api ? api->name : "this request", r->kind->version_min,
                              r->kind->version_max);
        } else {
            error = connection_encode(c, r, version);
            if (error) {
                error_set(&reason, error, "a request cannot be written: %s", error_text(error));
            }
        }
        if (error) {
            request_done(r, error, &reason);
        }
    }
}

static struct request *request_next(struct connection *c, struct request *r)
{
    return r->link.next == &c->in_flight ? NULL : container_of(r->link.next, struct request, link);
}

static void connection_send(struct connection *c)
{
    struct iovec iovecs[IO_IOVECS_MAX];
    int count = 0, requests = 0;
    size_t skip = c->sent;
    if (!c->sending || !io_op_idle(&c->send_op)) {
        return;
    }
    for (struct request *r = c->sending;
         r && count < IO_IOVECS_MAX && requests < CONNECTION_SENDS_MAX; requests++) {
        r->started = true;
        count += wire_writer_iovecs(&r->writer, skip, iovecs + count, IO_IOVECS_MAX - count);
        skip = 0;
        r = request_next(c, r);
    }
    assert(count > 0);
    io_send(c->core->io, &c->send_op, c->socket, iovecs, (unsigned)count);
    silence_watch(c);
}

static void connection_sent(struct io_op *op, int64_t result)
{
    struct connection *c = container_of(op, struct connection, send_op);
    if (c->state == CONNECTION_CLOSING) {
        connection_turn(c);
        return;
    }
    if (result < 0) {
        error_set(&c->reason, ERR_NETWORK_EXCEPTION, "the connection to %s was lost", c->address);
        connection_fail(c);
        return;
    }
    c->sent += (size_t)result;
    c->moved_ns = io_now(c->core->io);
    while (c->sending && c->sent >= wire_writer_total(&c->sending->writer)) {
        struct request *r = c->sending;
        c->sent -= wire_writer_total(&r->writer);
        c->sending = request_next(c, r);
        r->sent = true;
        wire_writer_deinit(&r->writer);
        if (r->unanswered) {
            request_done(r, 0, NULL);
        }
        if (c->state == CONNECTION_CLOSING) {
            return;
        }
    }
    connection_send(c);
    connection_receive(c);
}

/* --- receiving --- */

struct request *connection_oldest(struct connection *c)
{
    list_each (node, &c->in_flight) {
        struct request *r = container_of(node, struct request, link);
        if (!r->unanswered) {
            return r->started ? r : NULL;
        }
    }
    return NULL;
}

static void connection_malformed(struct connection *c, const char *what)
{
    error_set(&c->reason, ERR_MALFORMED, "%s sent %s: is it a broker?", c->address, what);
    connection_fail(c);
}

static bool connection_frame_start(struct connection *c, uint32_t size)
{
    struct request *r = connection_oldest(c);
    if (!r) {
        connection_malformed(c, "an answer that nobody asked for");
        return false;
    }
    uint32_t limit = r->answer_max ? r->answer_max : c->core->options.response_max_bytes;
    if (size < 4 || size > limit) {
        error_set(&c->reason, size > INT32_MAX || size < 4 ? ERR_MALFORMED : ERR_TOO_LARGE,
                  "%s announces an answer of %u bytes, above the limit of %u: is it a broker? "
                  "(receive.message.max.bytes)",
                  c->address, size, limit);
        connection_fail(c);
        return false;
    }
    c->frame = memory_alloc_aligned(c->core->memory, sizeof *c->frame + size, FRAME_ALIGN);
    if (!c->frame) {
        error_set(&c->reason, ERR_NO_MEMORY, "no memory for an answer of %u bytes", size);
        connection_fail(c);
        return false;
    }
    list_init(&c->frame->link);
    c->frame->size = size;
    c->filled = 0;
    return true;
}

/* A whole frame is there. False when it has to wait for the end of a send, or the connection ended.
 */
static bool connection_deliver(struct connection *c)
{
    struct request *r = connection_oldest(c);
    if (!r) {
        connection_malformed(c, "an answer that nobody asked for");
        return false;
    }
    if (!r->sent) {
        if (io_op_idle(&c->send_op)) {
            connection_malformed(c, "an answer before its question");
        }
        return false;
    }
    struct answer a = {.version = r->version, .frame = c->frame, .reason = &c->reason};
    a.body = reader_of(c->frame->data, c->frame->size);
    int32_t correlation_id;
    int error = wire_response_header_decode(wire_api_find(r->kind->key), r->version,
                                            &correlation_id, &a.body);
    if (error || correlation_id != r->correlation_id) {
        connection_malformed(c, "an answer to another question");
        return false;
    }
    c->frame = NULL;
    list_remove(&r->link);
    r->connection = NULL;
    r->done(r, &a);
    core_frame_free(c->core, a.frame);
    return c->state != CONNECTION_CLOSING;
}

/* Handles what is there. False when no further bytes are wanted now. */
static bool connection_parse(struct connection *c)
{
    for (;;) {
        size_t have = c->inbox_end - c->inbox_start;
        if (!c->frame) {
            if (have < WIRE_FRAME_SIZE_BYTES) {
                memmove(c->inbox, c->inbox + c->inbox_start, have);
                c->inbox_start = 0;
                c->inbox_end = have;
                return true;
            }
            if (!connection_frame_start(c, get_be32(c->inbox + c->inbox_start))) {
                return false;
            }
            c->inbox_start += WIRE_FRAME_SIZE_BYTES;
            have -= WIRE_FRAME_SIZE_BYTES;
        }
        size_t missing = c->frame->size - c->filled;
        size_t take = have < missing ? have : missing;
        memcpy(c->frame->data + c->filled, c->inbox + c->inbox_start, take);
        c->filled += take;
        c->inbox_start += take;
        if (c->filled < c->frame->size) {
            assert(c->inbox_start == c->inbox_end);
            return true;
        }
        if (!connection_deliver(c)) {
            return false;
        }
    }
}

static void connection_receive(struct connection *c)
{
    if (!io_op_idle(&c->recv_op) || !connection_parse(c)) {
        return;
    }
    assert(c->socket);
    if (c->frame) {
        io_recv(c->core->io, &c->recv_op, c->socket, c->frame->data + c->filled,
                c->frame->size - c->filled);
        return;
    }
    assert(c->inbox_end < sizeof c->inbox);
    io_recv(c->core->io, &c->recv_op, c->socket, c->inbox + c->inbox_end,
            sizeof c->inbox - c->inbox_end);
}

static void connection_received(struct io_op *op, int64_t result)
{
    struct connection *c = container_of(op, struct connection, recv_op);
    if (c->state == CONNECTION_CLOSING) {
        connection_turn(c);
        return;
    }
    if (result <= 0) {
        error_set(&c->reason, ERR_NETWORK_EXCEPTION,
                  result == 0 ? "%s closed the connection" : "the connection to %s was lost",
                  c->address);
        connection_fail(c);
        return;
    }
    silence_heard(c);
    if (c->frame) {
        c->filled += (size_t)result;
        assert(c->filled <= c->frame->size);
        if (c->filled < c->frame->size) {
            io_recv(c->core->io, &c->recv_op, c->socket, c->frame->data + c->filled,
                    c->frame->size - c->filled);
            return;
        }
    } else {
        c->inbox_end += (size_t)result;
    }
    connection_receive(c);
}

/* --- connecting --- */

static void connection_connected(struct io_op *op, int64_t result)
{
    struct connection *c = container_of(op, struct connection, connect_op);
    if (c->state == CONNECTION_CLOSING) {
        if (result >= 0) {
            io_socket_close(c->core->io, c->socket);
            c->socket = NULL;
        }
        connection_turn(c);
        return;
    }
    assert(c->state == CONNECTION_CONNECTING);
    if (result < 0) {
        c->socket = NULL;
        error_set(&c->reason, ERR_UNREACHABLE, "cannot reach %s (%s", c->address,
                  connection_advice(c, result));
        connection_fail(c);
        return;
    }
    c->state = CONNECTION_NEGOTIATING;
    if (connection_negotiate(c, NEGOTIATION_VERSION)) {
        error_set(&c->reason, ERR_NO_MEMORY, "no memory to greet %s", c->address);
        connection_fail(c);
    }
}

static void connection_connect(struct connection *c)
{
    assert(c->state == CONNECTION_IDLE);
    assert(connection_quiet(c));
    c->state = CONNECTION_CONNECTING;
    c->timeout_ns = core_after_ms(c->core, c->core->options.connect_timeout_ms);
    c->socket = NULL;
    c->heard_ns = io_now(c->core->io);
    alarm_set(&c->core->alarms, &c->timeout, c->timeout_ns);
    silence_watch(c);
    io_connect(c->core->io, &c->connect_op, &c->socket, c->host, c->port);
}

static void connection_retry(struct alarm *a)
{
    struct connection *c = container_of(a, struct connection, retry);
    assert(c->state == CONNECTION_WAITING);
    c->state = CONNECTION_IDLE;
    if (connection_busy(c)) {
        connection_connect(c);
    }
}

int greeting_encode(struct request *r, struct wire_writer *w, int version)
{
    struct api_versions_request body;
    api_versions_request_init(&body);
    body.client_software_name = wire_string_of("libleat");
    body.client_software_version = wire_string_of(LEAT_VERSION);
    return api_versions_request_encode(&body, w, version);
}

/* Reads what the broker offers into c->apis. */
static int negotiation_read(struct connection *c, struct answer *a, bool *again)
{
    struct api_versions_response body;
    struct arena arena;
    /* A broker that does not know our version answers in the oldest one. */
    bool refused =
        reader_left(&a->body) >= 2 && (int16_t)get_be16(a->body.data + a->body.position) ==
                                          error_to_wire(ERR_UNSUPPORTED_VERSION);
    arena_init(&arena, c->core->memory, NEGOTIATION_ANSWER_MAX);
    int error = api_versions_response_decode(&body, &a->body, refused ? 0 : a->version, &arena);
    for (int32_t i = 0; !error && i < body.api_keys_count; i++) {
        int place = api_place(body.api_keys[i].api_key);
        if (place >= 0) {
            c->apis[place].min = body.api_keys[i].min_version;
            c->apis[place].max = body.api_keys[i].max_version;
        }
    }
    if (!error && refused) {
        *again = true;
    } else if (!error) {
        error = error_from_wire(body.error_code);
    }
    arena_deinit(&arena);
    return error;
}

static void negotiation_done(struct request *r, struct answer *a)
{
    struct connection *c = container_of(r, struct connection, negotiation);
    if (a->error) {
        return; /* the connection is ending */
    }
    assert(c->state == CONNECTION_NEGOTIATING);
    bool again = false;
    int error = negotiation_read(c, a, &again);
    if (!error && again) {
        int max = c->apis[WIRE_API_VERSIONS].max;
        max = max < 0 ? 0 : max;
        if (max < r->version && !connection_negotiate(c, max)) {
            return;
        }
        error = ERR_UNSUPPORTED_VERSION;
    }
    if (error) {
        error_set(&c->reason, error, "%s does not answer as a broker should: %s", c->address,
                  error_text(error));
        connection_fail(c);
        return;
    }
    c->state = CONNECTION_READY;
    c->failures = 0;
    error_clear(&c->reason);
    core_connection_ready(c->core, c);
    connection_turn(c);
}

static int connection_negotiate(struct connection *c, int version)
{
    static const struct request_kind kind = {WIRE_API_VERSIONS, 0, NEGOTIATION_VERSION};
    for (int i = 0; i < CONNECTION_APIS; i++) {
        c->apis[i].min = 0;
        c->apis[i].max = -1;
    }
    c->negotiation = (struct request){.kind = &kind,
                                      .encode = greeting_encode,
                                      .done = negotiation_done,
                                      .connection = c,
                                      .deadline_ns = c->timeout_ns,
                                      .answer_max = NEGOTIATION_ANSWER_MAX};
    list_init(&c->negotiation.link);
    int error = connection_encode(c, &c->negotiation, version);
    if (error) {
        wire_writer_deinit(&c->negotiation.writer);
        c->negotiation.connection = NULL;
        return error;
    }
    connection_turn(c);
    return 0;
}

/* --- taking back --- */

/* Stands where a request was taken back, until its answer comes. */
struct placeholder {
    struct request request;
    struct core *core;
};

static void placeholder_done(struct request *r, struct answer *a)
{
    struct placeholder *p = container_of(r, struct placeholder, request);
    memory_free(p->core->memory, p);
}

bool connection_take_back(struct request *r)
{
    struct connection *c = r->connection;
    assert(c);
    if (c->state == CONNECTION_CLOSING) {
        return false;
    }
    struct placeholder *p = r->started ? memory_alloc(c->core->memory, sizeof *p) : NULL;
    if (r->started && (!r->sent || !p)) {
        memory_free(c->core->memory, p);
        error_set(&c->reason, ERR_CLOSED, "a request to %s was given up", c->address);
        connection_close(c);
        return false;
    }
    if (c->sending == r) {
        c->sending = request_next(c, r);
    }
    if (p) {
        p->core = c->core;
        p->request = (struct request){.kind = r->kind,
                                      .done = placeholder_done,
                                      .deadline_ns = r->deadline_ns,
                                      .answer_max = r->answer_max,
                                      .connection = c,
                                      .correlation_id = r->correlation_id,
                                      .version = r->version,
                                      .submitted_ns = r->submitted_ns,
                                      .started = true,
                                      .sent = true};
        list_init(&p->request.link);
        list_append(&r->link, &p->request.link); /* in front of r */
    }
    wire_writer_deinit(&r->writer);
    list_remove(&r->link);
    r->connection = NULL;
    return true;
}

/* --- the end of a turn, the end of a connection --- */

/* No operation is in flight: answers all requests with the reason, and is idle or gone. */
static void connection_settle(struct connection *c)
{
    struct core *core = c->core;
    leat_error reason = c->reason;
    struct list ended, *node;
    list_init(&ended);
    list_splice(&ended, &c->in_flight);
    list_splice(&ended, &c->waiting);
    core_frame_free(core, c->frame);
    c->frame = NULL;
    c->sending = NULL;
    c->sent = c->inbox_start = c->inbox_end = 0;
    c->state = CONNECTION_IDLE;
    if (c->failures && !c->dropped) {
        uint64_t wait = core_backoff(core, c->failures - 1, core->options.reconnect_backoff_ms,
                                     core->options.reconnect_backoff_max_ms);
        c->state = CONNECTION_WAITING;
        alarm_set(&core->alarms, &c->retry, io_now(core->io) + wait);
    }
    while ((node = list_first(&ended))) {
        request_done(container_of(node, struct request, link), reason.code, &reason);
    }
    /* When a done() has dropped it, it is closing again, and goes from the end that is scheduled. */
    if (c->dropped && c->state != CONNECTION_CLOSING) {
        assert(!connection_busy(c));
        core_connection_gone(core, c);
        memory_free(core->memory, c->host);
        memory_free(core->memory, c);
    }
}

static void connection_turn_end(struct io_turn *turn)
{
    struct connection *c = container_of(turn, struct connection, turn);
    switch (c->state) {
    case CONNECTION_CLOSING:
        if (connection_quiet(c)) {
            connection_settle(c);
        }
        break;
    case CONNECTION_READY:
        connection_encode_waiting(c);
        /* fall through */
    case CONNECTION_NEGOTIATING:
        if (c->state != CONNECTION_CLOSING) {
            connection_send(c);
            connection_receive(c);
        }
        break;
    default:
        break;
    }
}

/* Fails requests that waited too long; true when one that was sent did. */
static bool connection_expire(struct connection *c, uint64_t now, uint64_t *next)
{
    list_each (node, &c->in_flight) {
        struct request *r = container_of(node, struct request, link);
        if (r->deadline_ns <= now) {
            const struct wire_api *api = wire_api_find(r->kind->key);
            error_set(&c->reason, ERR_TIMEOUT, "%s did not answer %s in time: is it overloaded?",
                      c->address, api ? api->name : "a request");
            return true;
        }
        *next = r->deadline_ns < *next ? r->deadline_ns : *next;
    }
    list_each (node, &c->waiting) {
        struct request *r = container_of(node, struct request, link);
        if (r->deadline_ns <= now) {
            leat_error reason = c->reason;
            if (!reason.code) {
                error_set(
                    &reason, ERR_TIMEOUT,
                    c->state == CONNECTION_NEGOTIATING
                        ? "%s takes connections but does not answer: is it a broker, and does "
                          "it run?"
                        : "no connection to %s in time: is the address right?",
                    c->address);
            }
            request_done(r, reason.code, &reason);
        } else {
            *next = r->deadline_ns < *next ? r->deadline_ns : *next;
        }
    }
    return false;
}

static void connection_timeout(struct alarm *a)
{
    struct connection *c = container_of(a, struct connection, timeout);
    uint64_t now = io_now(c->core->io), next = UINT64_MAX;
    if (c->state == CONNECTION_CONNECTING || c->state == CONNECTION_NEGOTIATING) {
        if (c->timeout_ns <= now) {
            error_set(&c->reason, ERR_UNREACHABLE, "cannot reach %s (%s", c->address,
                      connection_advice(c, -ETIMEDOUT));
            connection_fail(c);
            return;
        }
        next = c->timeout_ns;
    }
    if (c->state != CONNECTION_CLOSING && connection_expire(c, now, &next)) {
        connection_fail(c);
    }
    if (c->state != CONNECTION_CLOSING && next != UINT64_MAX) {
        alarm_set(&c->core->alarms, &c->timeout, next);
    }
}

int connection_open(struct connection **out, struct core *core, const char *host, uint16_t port,
                    int32_t broker_id, uint32_t lane)
{
    struct connection *c = memory_alloc(core->memory, sizeof *c);
    char *name = c ? memory_string(core->memory, host, strlen(host)) : NULL;
    if (!name) {
        memory_free(core->memory, c);
        return ERR_NO_MEMORY;
    }
    c->core = core;
    c->host = name;
    c->port = port;
    bool v6 = strchr(host, ':') != NULL;
    snprintf(c->address, sizeof c->address, v6 ? "[%s]:%u" : "%s:%u", host, (unsigned)port);
    c->broker_id = broker_id;
    c->lane = lane;
    c->connect_op.done = connection_connected;
    c->send_op.done = connection_sent;
    c->recv_op.done = connection_received;
    c->retry.ring = connection_retry;
    c->timeout.ring = connection_timeout;
    c->hush.ring = silence_rang;
    c->turn.turn_end = connection_turn_end;
    list_init(&c->link);
    list_init(&c->waiting);
    list_init(&c->in_flight);
    *out = c;
    return 0;
}

void connection_drop(struct connection *c)
{
    if (c->dropped) {
        return;
    }
    c->dropped = true;
    if (c->state != CONNECTION_CLOSING) {
        error_set(&c->reason, ERR_CLOSED, "the connection to %s was closed", c->address);
        connection_close(c);
    }
}

void connection_give_up(struct connection *c)
{
    assert(c->broker_id >= 0);
    error_set(
        &c->reason, ERR_NETWORK_EXCEPTION,
        "%s does not answer any more, and the cluster goes on without it: is it frozen, or cut "
        "off from here?",
        c->address);
    connection_fail(c);
}

void connection_submit(struct connection *c, struct request *r)
{
    assert(!r->connection);
    assert(!c->dropped);
    r->connection = c;
    r->started = r->sent = false;
    r->submitted_ns = io_now(c->core->io);
    list_init(&r->link);
    list_append(&c->waiting, &r->link);
    if (c->state == CONNECTION_IDLE) {
        connection_connect(c);
    } else if (c->state == CONNECTION_READY) {
        connection_turn(c);
    }
    if (c->state != CONNECTION_CLOSING &&
        (!alarm_is_set(&c->timeout) || c->timeout.node.key > r->deadline_ns)) {
        alarm_set(&c->core->alarms, &c->timeout, r->deadline_ns);
    }
}
