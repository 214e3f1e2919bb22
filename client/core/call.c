/* SPDX-License-Identifier: Apache-2.0 */

#include "core/call.h"
#include "core/silence.h"

#include <stdio.h>

enum { MOVES_COUNTED_MAX = 10 };

static void call_attempt(struct call *c);

/* Calls done() in a later turn. */
static void call_end(struct call *c)
{
    c->ended = true;
    alarm_set(&c->core->alarms, &c->again, io_now(c->core->io));
}

/* Whether every address has been tried in vain and the client does not want to wait for one. What a leader is asked
 * another one answers soon, if there are brokers that tell who that is. */
static bool call_hopeless(const struct call *c)
{
    const struct core *core = c->core;
    bool moves = c->follows_leader && core->metadata.failures == 0;
    return core->options.fail_fast && c->error.code == ERR_UNREACHABLE && !moves &&
           c->attempts >= core->bootstrap_count + map_count(&core->metadata.brokers_by_id);
}

/* c->error says what went wrong: tries again if that can help and there is time. */
static void attempt_failed(struct call *c)
{
    struct core *core = c->core;
    assert(c->error.code < 0);
    uint64_t wait = core_backoff(core, c->attempts - 1, core->options.retry_backoff_ms,
                                 core->options.retry_backoff_max_ms);
    if (c->cancelled || core->closing) {
        error_set(&c->error, ERR_INTERRUPTED, "the client is being closed");
        call_end(c);
    } else if (!c->error.retriable || call_hopeless(c) ||
               io_now(core->io) + wait >= c->deadline_ns) {
        call_end(c);
    } else {
        alarm_set(&core->alarms, &c->again, io_now(core->io) + wait);
    }
}

static int call_encode(struct request *r, struct wire_writer *w, int version)
{
    struct call *c = container_of(r, struct call, request);
    return c->kind->encode(c, w, version);
}

static void call_answered(struct request *r, struct answer *a)
{
    struct call *c = container_of(r, struct call, request);
    error_clear(&c->error);
    if (a->error) {
        error_copy(&c->error, a->reason);
        core_any_other(c->core, c->tried);
        attempt_failed(c);
        return;
    }
    int error = c->kind->decode(c, &a->body, a->version);
    if (!error) {
        call_end(c);
        return;
    }
    if (!c->error.code) {
        error_set(&c->error, error, "cannot %s: %s", c->kind->name, error_text(error));
    }
    if (core_error_is_stale(error)) {
        metadata_refresh(c->core, NULL);
    }
    attempt_failed(c);
}

/* Asks somebody else, if anybody can answer, and if the silent one either has not got the request or
 * may have got it for nothing. Where all are slow each is waited for longer than the one before. */
static void call_silent(struct request *r)
{
    struct call *c = container_of(r, struct call, request);
    struct core *core = c->core;
    uint64_t patience = (uint64_t)core->options.silence_ms * 1000000
                        << (c->moves < MOVES_COUNTED_MAX ? c->moves : MOVES_COUNTED_MAX);
    bool early = c->moves > 0 && r->started && io_now(core->io) < r->submitted_ns + patience;
    bool may = !r->started || (r->sent && c->kind->repeatable);
    if (c->anywhere && may && !early && !c->cancelled &&
        core_another(core, r->connection->host, r->connection->port) && connection_take_back(r)) {
        c->moves++;
        alarm_set(&core->alarms, &c->again, io_now(core->io));
    }
}

static int call_route(struct call *c, struct connection **out)
{
    int32_t broker = CALL_ANY;
    int error = c->kind->route ? c->kind->route(c, &broker) : 0;
    if (error) {
        return error;
    }
    c->anywhere = broker == CALL_ANY || broker == CALL_CONTROLLER;
    if (broker == CALL_CONTROLLER) {
        const struct broker *b = metadata_broker(c->core, c->core->metadata.controller);
        broker = b && !core_silent_since(c->core, b->host, b->port) ? b->id : CALL_ANY;
    }
    *out = broker == CALL_ANY ? core_any(c->core) : core_connection(c->core, broker, c->lane);
    return *out ? 0 : ERR_LEADER_NOT_AVAILABLE;
}

static void call_attempt(struct call *c)
{
    struct connection *connection;
    c->attempts++;
    leat_error before = c->error;
    error_clear(&c->error);
    int error = c->cancelled || c->core->closing ? ERR_INTERRUPTED : call_route(c, &connection);
    if (error) {
        if (before.code && !c->error.code) {
            c->error = before;
        }
        if (!c->error.code) {
            error_set(&c->error, error, "cannot %s: %s", c->kind->name, error_text(error));
        }
        attempt_failed(c);
        return;
    }
    uint64_t deadline = core_after_ms(c->core, c->core->options.request_timeout_ms);
    c->request.deadline_ns = deadline < c->deadline_ns ? deadline : c->deadline_ns;
    c->tried = c->core->any_next;
    snprintf(c->origin, sizeof c->origin, "%s:%u", connection->host, connection->port);
    connection_submit(connection, &c->request);
}

static void call_again(struct alarm *a)
{
    struct call *c = container_of(a, struct call, again);
    if (c->ended) {
        c->done(c);
    } else {
        call_attempt(c);
    }
}

void call_start(struct call *c, struct core *core, const struct call_kind *kind,
                uint64_t deadline_ns, void (*done)(struct call *c))
{
    assert(!call_active(c));
    uint32_t lane = c->lane;
    *c = (struct call){
        .core = core, .kind = kind, .done = done, .deadline_ns = deadline_ns, .lane = lane};
    c->request.kind = &kind->request;
    c->request.encode = call_encode;
    c->request.silent = call_silent;
    c->request.done = call_answered;
    c->again.ring = call_again;
    call_attempt(c);
}

void call_cancel(struct call *c)
{
    if (!call_active(c) || c->ended) {
        return;
    }
    c->cancelled = true;
    if (alarm_is_set(&c->again) || connection_take_back(&c->request)) {
        error_set(&c->error, ERR_INTERRUPTED, "the client is being closed");
        call_end(c);
    }
}

void call_hasten(struct call *c)
{
    if (alarm_is_set(&c->again)) {
        alarm_set(&c->core->alarms, &c->again, io_now(c->core->io));
    }
}
