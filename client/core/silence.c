/* SPDX-License-Identifier: Apache-2.0 */

#include "core/silence.h"

#include <string.h>

enum { SILENCE_REMEMBERED_MAX = 10 };

/* What is known of a connection that something is expected on. */
struct expectation {
    uint64_t since_ns;    /* nothing has come since then */
    uint64_t patience_ns; /* which is nothing to wonder about for so long, */
    uint64_t wait_ns;     /* beside what the request may take */
};

static uint64_t silence_patience(const struct core *core)
{
    return (uint64_t)core->options.silence_ms * 1000000;
}

/* False when nothing is expected. */
static bool silence_expects(struct connection *c, struct expectation *out)
{
    uint64_t patience = silence_patience(c->core);
    if (c->state == CONNECTION_CONNECTING || c->state == CONNECTION_NEGOTIATING) {
        *out = (struct expectation){c->heard_ns, patience / 2, 0};
        return true;
    }
    const struct request *r = c->state == CONNECTION_READY ? connection_oldest(c) : NULL;
    if (!r && !(c->state == CONNECTION_READY && c->sending)) {
        return false;
    }
    /* A small request is taken by the machine at once, whoever sleeps behind it: what was sent later
     * than it is no sign of life. */
    uint64_t asked = !r || !r->sent ? c->moved_ns : r->submitted_ns;
    asked = r && r->submitted_ns > asked ? r->submitted_ns : asked;
    asked = asked > c->heard_ns ? asked : c->heard_ns;
    *out = (struct expectation){asked, patience, r ? (uint64_t)r->wait_ms * 1000000 : 0};
    return true;
}

/* When something is to be done about it: what may wait for long is looked after meanwhile. */
static uint64_t silence_next(const struct expectation *x, uint64_t now)
{
    uint64_t end = x->since_ns + x->patience_ns + x->wait_ns;
    uint64_t probe = (now > x->since_ns ? now : x->since_ns) + x->patience_ns;
    return x->wait_ns > x->patience_ns && probe < end ? probe : end;
}

void silence_watch(struct connection *c)
{
    struct expectation x;
    if (silence_expects(c, &x)) {
        uint64_t next = silence_next(&x, io_now(c->core->io));
        if (!alarm_is_set(&c->hush) || next < c->hush.node.key) {
            alarm_set(&c->core->alarms, &c->hush, next);
        }
    }
}

/* Whether nothing is noted any more. */
static bool silence_over(const struct core *core)
{
    for (unsigned i = 0; i < core->bootstrap_count; i++) {
        if (core->bootstrap_silent_ns[i]) {
            return false;
        }
    }
    for (const struct list *n = core->connections.next; n != &core->connections; n = n->next) {
        if (container_of(n, struct connection, link)->silent_ns) {
            return false;
        }
    }
    return true;
}

static bool silence_at(const char *host, uint16_t port, const char *other, uint16_t other_port)
{
    return port == other_port && strcmp(host, other) == 0;
}

/* Notes at an address of the caller's what is known of it. */
static void silence_note(struct core *core, const char *host, uint16_t port, uint64_t silent_ns)
{
    for (unsigned i = 0; i < core->bootstrap_count; i++) {
        if (silence_at(core->bootstrap[i].host, core->bootstrap[i].port, host, port)) {
            core->bootstrap_silent_ns[i] = silent_ns;
        }
    }
}

void silence_forget(struct core *core, const char *host, uint16_t port)
{
    silence_note(core, host, port, 0);
    list_each (node, &core->connections) {
        struct connection *c = container_of(node, struct connection, link);
        if (silence_at(c->host, c->port, host, port)) {
            c->silent_ns = 0;
        }
    }
    core->silences = !silence_over(core);
}

void silence_heard(struct connection *c)
{
    c->heard_ns = io_now(c->core->io);
    if (core_silent_since(c->core, c->host, c->port)) {
        silence_forget(c->core, c->host, c->port);
    }
}

uint64_t core_silent_since(const struct core *core, const char *host, uint16_t port)
{
    uint64_t latest = 0;
    if (!core->silences) {
        return 0; /* as nearly always, and at each receive */
    }
    for (unsigned i = 0; i < core->bootstrap_count; i++) {
        if (core->bootstrap_silent_ns[i] > latest &&
            silence_at(core->bootstrap[i].host, core->bootstrap[i].port, host, port)) {
            latest = core->bootstrap_silent_ns[i];
        }
    }
    for (const struct list *n = core->connections.next; n != &core->connections; n = n->next) {
        const struct connection *c = container_of(n, struct connection, link);
        if (c->silent_ns > latest && silence_at(c->host, c->port, host, port)) {
            latest = c->silent_ns;
        }
    }
    uint64_t remembered = silence_patience(core) * SILENCE_REMEMBERED_MAX;
    return latest && io_now(core->io) - latest < remembered ? latest : 0;
}

/* --- what follows from it --- */

void silence_deposed(struct core *core, int32_t broker_id)
{
    list_each (node, &core->connections) {
        struct connection *c = container_of(node, struct connection, link);
        if (c->broker_id == broker_id) {
            c->deposed_ns = io_now(core->io);
        }
    }
}

/* The oldest of its requests, but for its own greeting. */
static struct request *silence_oldest(struct connection *c)
{
    struct request *r = c->state == CONNECTION_READY ? connection_oldest(c) : NULL;
    struct list *first = r ? NULL : list_first(&c->waiting);
    return first ? container_of(first, struct request, link) : r;
}

/* S1: gives up a silent connection whose broker the cluster has replaced. */
static void silence_judge(struct connection *c)
{
    struct core *core = c->core;
    if (c->dropped || c->broker_id < 0 || c->state == CONNECTION_CLOSING || !connection_busy(c) ||
        !core_silent_since(core, c->host, c->port)) {
        return;
    }
    const struct request *r = silence_oldest(c);
    bool deposed = c->deposed_ns && r && r->submitted_ns <= c->deposed_ns;
    if (deposed || !metadata_broker(core, c->broker_id)) {
        connection_give_up(c);
    }
}

void silence_judge_all(struct core *core)
{
    /* An address of the caller's that turns out to be a broker's is judged as that. */
    list_each (node, &core->metadata.brokers) {
        const struct broker *b = container_of(node, struct broker, link);
        list_each (at, &core->connections) {
            struct connection *c = container_of(at, struct connection, link);
            if (c->broker_id == -1 && silence_at(c->host, c->port, b->host, b->port)) {
                c->broker_id = b->id;
            }
        }
    }
    list_each (node, &core->connections) {
        silence_judge(container_of(node, struct connection, link));
    }
}

/* Asks others who leads what this broker led, as far as anybody here uses it. */
static void silence_ask(struct connection *c)
{
    struct core *core = c->core;
    if (!core_another(core, c->host, c->port)) {
        return;
    }
    metadata_refresh(core, NULL);
    list_each (node, &core->metadata.topics) {
        struct topic *t = container_of(node, struct topic, link);
        bool led = false;
        for (int32_t i = 0; t->references && !t->error && i < t->partition_count && !led; i++) {
            led = c->broker_id >= 0 && t->partitions[i].leader == c->broker_id;
        }
        if (led) {
            metadata_refresh(core, t);
        }
    }
}

/* Tells the owners of its requests, who may ask somebody else instead. */
static void silence_tell(struct connection *c, struct list *requests)
{
    list_each (node, requests) {
        struct request *r = container_of(node, struct request, link);
        if (c->state == CONNECTION_CLOSING) {
            return;
        }
        if (r->silent) {
            r->silent(r);
        }
    }
}

/* --- what may wait for long --- */

struct probe {
    struct request request;
    struct core *core;
};

static void probe_done(struct request *r, struct answer *a)
{
    struct probe *p = container_of(r, struct probe, request);
    memory_free(p->core->memory, p);
}

/* Greets the broker on everybody's connection, unless something is expected there anyway. */
static void silence_probe(struct connection *c)
{
    static const struct request_kind kind = {WIRE_API_VERSIONS, 0, 3};
    struct core *core = c->core;
    struct connection *beside = core_beside(core, c);
    struct probe *p = beside && beside != c && !connection_busy(beside)
                          ? memory_alloc(core->memory, sizeof *p)
                          : NULL;
    if (p) {
        p->core = core;
        p->request = (struct request){.kind = &kind, .encode = greeting_encode, .done = probe_done};
        p->request.deadline_ns = core_after_ms(core, core->options.request_timeout_ms);
        connection_submit(beside, &p->request);
    }
}

void silence_rang(struct alarm *a)
{
    struct connection *c = container_of(a, struct connection, hush);
    struct core *core = c->core;
    struct expectation x;
    uint64_t now = io_now(core->io);
    if (!silence_expects(c, &x)) {
        return;
    }
    if (x.since_ns + x.patience_ns + x.wait_ns > now) {
        alarm_set(&core->alarms, &c->hush, silence_next(&x, now));
        if (x.wait_ns > x.patience_ns && x.since_ns + x.patience_ns <= now) {
            silence_probe(c);
        }
        return;
    }
    c->silent_ns = now;
    core->silences = true;
    silence_note(core, c->host, c->port, now);
    uint64_t again = (now - x.since_ns) / 8, least = silence_patience(core) / 2;
    alarm_set(&core->alarms, &c->hush, now + (again > least ? again : least));
    silence_ask(c);
    silence_tell(c, &c->in_flight);
    silence_tell(c, &c->waiting);
    silence_judge(c);
}
