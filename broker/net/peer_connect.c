/* SPDX-License-Identifier: Apache-2.0 */

/* Addresses, connecting, the greeting, and what the log hears of it.
 *
 * A round tries every address once, without pauses between them. It failed as refused only if every
 * address refused: one that is silent may be where the broker is.
 *
 * The greeting is ApiVersions in the highest version that we know. A peer that does not know it
 * answers in the form of version 0, with UNSUPPORTED_VERSION and the versions that it does know; it
 * is asked again in one of these, which is always a lower one, so that this ends. */
#include "net/peer_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

enum {
    PAUSE_FIRST_MS = 50,
    PAUSE_MAX_MS = 1000,
    LINES_BURST = 10, /* of one peer in LINES_SECONDS */
    LINES_SECONDS = 10,
    LINES_AGAIN_SECONDS = 30, /* between lines about failures to connect, after the first round; */
    LINES_AGAIN_SECONDS_MAX = 480, /* doubled up to this */
    WHY_MAX = 160,
};

static const uint64_t second_ns = UINT64_C(1000000000);
static const uint64_t millisecond_ns = 1000000;

/* --- the log ---------------------------------------------------------------------------------- */

/* Whether one more line may be written; *untold is how many were not since the last. */
static bool peer_may_log(struct peer *p, unsigned *untold)
{
    uint64_t now = io_now(p->io);
    if (p->lines_from_ns == 0 || now - p->lines_from_ns >= LINES_SECONDS * second_ns) {
        p->lines_from_ns = now;
        p->lines_left = LINES_BURST;
    }
    if (p->lines_left == 0) {
        p->lines_untold++;
        return false;
    }
    p->lines_left--;
    *untold = p->lines_untold;
    p->lines_untold = 0;
    return true;
}

/* The same reason is told less and less often, another one after the shortest of these pauses. */
static void log_unconnected(struct peer *p, int error, const char *why, uint64_t pause_ns)
{
    const uint64_t shortest = LINES_AGAIN_SECONDS * second_ns;
    const uint64_t longest = LINES_AGAIN_SECONDS_MAX * second_ns;
    uint64_t now = io_now(p->io), pause = error == p->line_error ? p->line_pause_ns : shortest;
    unsigned untold;
    if (p->failures > 0 && now < p->line_ns + pause) {
        p->lines_untold++;
        return;
    }
    bool again = p->failures > 0 && error == p->line_error;
    p->line_pause_ns = !again ? shortest : 2 * pause < longest ? 2 * pause : longest;
    p->line_error = error;
    p->line_ns = now;
    if (peer_may_log(p, &untold)) {
        log_warn(io_logger(p->io), "peer",
                 "no connection to %s: %s: it is tried again as long as there are requests: "
                 "address=%s:%u failures=%u pause_ms=%" PRIu64 " node=%d untold=%u",
                 p->name, why, p->place.host, (unsigned)p->place.port, p->failures,
                 pause_ns / millisecond_ns, (int)p->options.node_id, untold);
    }
}

static void log_lost(struct peer *p, int error, const char *why)
{
    unsigned untold, requests = p->flight_count - p->given_up;
    if (peer_may_log(p, &untold)) {
        bool trouble = requests > 0 && !p->gone;
        logger_write(io_logger(p->io), trouble ? LOGGER_WARN : LOGGER_INFO, "peer",
                     "connection to %s ended: %s: %u requests end with %s, the next one connects "
                     "again: address=%s:%u node=%d untold=%u",
                     p->name, why, requests, error_name(error), p->place.host,
                     (unsigned)p->place.port, (int)p->options.node_id, untold);
    }
}

static void log_ready(struct peer *p)
{
    unsigned untold;
    if (peer_may_log(p, &untold)) {
        log_info(io_logger(p->io), "peer",
                 "connected to %s: address=%s:%u failures=%u node=%d untold=%u", p->name,
                 p->place.host, (unsigned)p->place.port, p->failures, (int)p->options.node_id,
                 untold);
    }
}

/* --- rounds ----------------------------------------------------------------------------------- */

bool peer_pausing(const struct peer *p)
{
    bool down = p->state == PEER_DOWN || p->state == PEER_CLOSING;
    return down && p->failures > 0 && p->tried == 0 && io_now(p->io) < p->retry_ns;
}

/* The pause after `failures` rounds: a quarter more or less, so that nodes that lost the same peer
 * do not come back together. */
static uint64_t peer_pause(struct peer *p, unsigned failures)
{
    uint64_t ms = PAUSE_FIRST_MS;
    for (unsigned i = 1; i < failures && ms < PAUSE_MAX_MS; i++) {
        ms *= 2;
    }
    ms = ms < PAUSE_MAX_MS ? ms : PAUSE_MAX_MS;
    uint64_t whole = ms * millisecond_ns;
    return whole - whole / 4 + prng_below(&p->prng, whole / 2 + 1);
}

static void peer_round_failed(struct peer *p, uint64_t pause_ns)
{
    p->failures++;
    p->error = p->round_error;
    p->tried = 0;
    p->round_error = 0;
    p->retry_ns = io_now(p->io) + pause_ns;
    list_each (node, &p->waiting) {
        struct peer_request *r = container_of(node, struct peer_request, link);
        if (r->fail_fast) {
            peer_request_end(r, p->error);
        }
    }
}

/* An address failed, before ApiVersions was answered. */
static void peer_place_failed(struct peer *p, int error, const char *why)
{
    assert(error < 0);
    assert(p->tried < p->place_count);
    if (!p->round_error || error != ERR_REFUSED) {
        p->round_error = error;
    }
    p->tried++;
    p->place_next = (p->place_next + 1) % p->place_count;
    bool over = p->tried == p->place_count;
    uint64_t pause_ns = over ? peer_pause(p, p->failures + 1) : 0;
    log_unconnected(p, error, why, pause_ns);
    if (over) {
        peer_round_failed(p, pause_ns);
    }
    peer_disconnect(p, error);
}

void peer_fail(struct peer *p, int error, const char *format, ...)
{
    char why[WHY_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    if (p->state != PEER_READY) {
        peer_place_failed(p, error, why);
        return;
    }
    log_lost(p, error, why);
    p->gone = false;
    p->lost = true;
    p->retry_ns = io_now(p->io) + peer_pause(p, 1); /* a peer that lets go at once is not pressed */
    peer_disconnect(p, error);
}

void peer_connect_start(struct peer *p)
{
    assert(p->state == PEER_DOWN);
    assert(io_op_idle(&p->connect) && !p->socket);
    if (list_empty(&p->waiting)) {
        p->tried = 0;
        p->round_error = 0;
        return;
    }
    uint64_t now = io_now(p->io);
    if (p->tried == 0 && now < p->retry_ns) {
        if (!heap_contains(&p->retry.node)) {
            deadline_set(&p->deadlines, &p->retry, p->retry_ns);
        }
        return;
    }
    deadline_cancel(&p->deadlines, &p->retry);
    p->place = p->places[p->place_next];
    p->state = PEER_CONNECTING;
    deadline_set(&p->deadlines, &p->limit, now + p->options.connect_timeout_ns);
    io_connect(p->io, &p->connect, &p->socket, p->place.host, p->place.port);
}

void peer_retry_due(struct deadline *d)
{
    struct peer *p = container_of(d, struct peer, retry);
    assert(p->magic == PEER_MAGIC);
    peer_schedule(p);
}

void peer_limit_due(struct deadline *d)
{
    struct peer *p = container_of(d, struct peer, limit);
    assert(p->magic == PEER_MAGIC);
    assert(p->state == PEER_CONNECTING || p->state == PEER_GREETING);
    peer_fail(p, ERR_TIMEOUT, "%s in %" PRIu64 " ms, is the address right?",
              p->state == PEER_CONNECTING ? "no answer" : "it takes connections, but sends nothing",
              p->options.connect_timeout_ns / millisecond_ns);
}

/* --- the greeting ----------------------------------------------------------------------------- */

static void peer_greet(struct peer *p, int16_t version);

static int hello_encode(struct peer_request *r, struct wire_writer *w, int version)
{
    struct api_versions_request body;
    api_versions_request_init(&body);
    body.client_software_name = wire_string_of("leatd");
    body.client_software_version = wire_string_of(LEAT_VERSION);
    return api_versions_request_encode(&body, w, version);
}

struct wire_versions *peer_api(const struct peer *p, int16_t key)
{
    const struct wire_api *api = wire_api_find(key);
    return api ? &p->apis[api - wire_apis] : NULL;
}

static void peer_learn(struct peer *p, const struct api_versions_response *body)
{
    for (int i = 0; i < wire_api_count; i++) {
        p->apis[i] = (struct wire_versions){0, -1};
    }
    for (int32_t i = 0; i < body->api_keys_count; i++) {
        const struct api_versions_response_api_keys *k = &body->api_keys[i];
        struct wire_versions *versions = peer_api(p, k->api_key);
        if (versions) {
            *versions = (struct wire_versions){k->min_version, k->max_version};
        }
    }
}

static void peer_ready(struct peer *p)
{
    log_ready(p);
    p->state = PEER_READY;
    deadline_cancel(&p->deadlines, &p->limit);
    p->failures = p->tried = 0;
    p->error = p->round_error = 0;
    p->line_ns = p->line_pause_ns = 0;
    p->line_error = 0;
    p->status.connections++;
    peer_schedule(p);
}

static void hello_read(struct peer *p, const struct peer_answer *answer, struct arena *arena)
{
    struct reader body = reader_of(answer->body.data, answer->body.size), peek = body;
    int refused = error_from_wire((int16_t)reader_be16(&peek));
    int version = refused == ERR_UNSUPPORTED_VERSION ? 0 : answer->version;
    struct api_versions_response response;
    int error = api_versions_response_decode(&response, &body, version, arena);
    if (error) {
        peer_fail(p, error, "what it answers to ApiVersions cannot be read (%s), is it a broker?",
                  error_text(error));
        return;
    }
    peer_learn(p, &response);
    if (refused == ERR_UNSUPPORTED_VERSION && answer->version > 0) {
        int16_t max = peer_api(p, WIRE_API_VERSIONS)->max;
        peer_greet(p, max < 0 || max >= answer->version ? 0 : max);
        return;
    }
    if (refused) {
        peer_fail(p, refused, "it refuses ApiVersions (%s)", error_text(refused));
        return;
    }
    peer_ready(p);
}

static void hello_done(struct peer_request *r, const struct peer_answer *answer)
{
    struct peer *p = container_of(r, struct peer, hello);
    struct arena arena;
    assert(p->state == PEER_GREETING && !answer->error);
    arena_init(&arena, p->memory, PEER_GREETING_ARENA_MAX);
    hello_read(p, answer, &arena);
    arena_deinit(&arena);
}

static void peer_greet(struct peer *p, int16_t version)
{
    assert(p->state == PEER_GREETING);
    assert(p->hello.state == PEER_REQUEST_IDLE);
    p->hello = (struct peer_request){
        .key = WIRE_API_VERSIONS,
        .version_min = version,
        .version_max = version,
        .answer_bytes_max = PEER_GREETING_BYTES_MAX,
        .encode = hello_encode,
        .done = hello_done,
        .peer = p,
        .state = PEER_REQUEST_WAITING,
    };
    *peer_api(p, WIRE_API_VERSIONS) = (struct wire_versions){version, version};
    list_init(&p->hello.link);
    list_append(&p->greeting, &p->hello.link);
    peer_schedule(p);
}

static int connect_error(int64_t number)
{
    switch (-number) {
    case ECONNREFUSED:
        return ERR_REFUSED;
    case ETIMEDOUT:
        return ERR_TIMEOUT;
    case EAGAIN:
    case EMFILE:
    case ENFILE:
        return ERR_BUSY;
    case ENOBUFS:
    case ENOMEM:
        return ERR_NO_MEMORY;
    default:
        return ERR_UNREACHABLE;
    }
}

static const char *connect_why(int error)
{
    switch (error) {
    case ERR_REFUSED:
        return "refused, does leatd run there?";
    case ERR_TIMEOUT:
        return "no answer, is the address right, and does a firewall let it pass?";
    case ERR_BUSY:
        return "too many open files or lookups of names here";
    case ERR_NO_MEMORY:
        return "no memory here";
    default:
        return "no such host, or no way to it, is the address right?";
    }
}

void peer_connect_done(struct io_op *op, int64_t result)
{
    struct peer *p = container_of(op, struct peer, connect);
    assert(p->magic == PEER_MAGIC);
    if (result < 0) {
        p->socket = NULL;
    }
    if (p->state == PEER_CLOSING) {
        if (p->socket) {
            io_socket_close(p->io, p->socket); /* too late */
            p->socket = NULL;
        }
        peer_schedule(p);
        return;
    }
    assert(p->state == PEER_CONNECTING);
    if (result < 0) {
        int error = connect_error(result);
        peer_fail(p, error, "%s", connect_why(error));
        return;
    }
    p->state = PEER_GREETING;
    peer_greet(p, wire_api_find(WIRE_API_VERSIONS)->versions.max);
}

/* --- addresses -------------------------------------------------------------------------------- */

static bool place_is(const struct peer_place *place, const struct peer_address *a)
{
    return place->port == a->port && strcmp(place->host, a->host) == 0;
}

void peer_places_set(struct peer *p, const struct peer_address *addresses, unsigned count)
{
    assert(count >= 1 && count <= PEER_ADDRESSES_MAX);
    for (unsigned i = 0; i < count; i++) {
        assert(addresses[i].port != 0);
        assert(strlen(addresses[i].host) < PEER_HOST_MAX);
        snprintf(p->places[i].host, PEER_HOST_MAX, "%s", addresses[i].host);
        p->places[i].port = addresses[i].port;
    }
    p->place_count = count;
    p->place_next = p->tried = 0;
    p->round_error = 0;
}

void peer_addresses(struct peer *p, const struct peer_address *addresses, unsigned count)
{
    assert(p->magic == PEER_MAGIC);
    assert(!p->closing);
    bool same = count == p->place_count;
    for (unsigned i = 0; same && i < count; i++) {
        same = place_is(&p->places[i], &addresses[i]);
    }
    if (same) {
        return;
    }
    peer_places_set(p, addresses, count);
    p->failures = 0; /* they were of the other addresses */
    p->error = 0;
    p->retry_ns = 0;
    deadline_cancel(&p->deadlines, &p->retry);
    peer_schedule(p);
    if (p->state == PEER_DOWN || p->state == PEER_CLOSING) {
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        if (place_is(&p->place, &addresses[i])) {
            p->place_next = i;
            return;
        }
    }
    log_info(io_logger(p->io), "peer",
             "%s is no longer at %s:%u: connecting to its new address: node=%d", p->name,
             p->place.host, (unsigned)p->place.port, (int)p->options.node_id);
    peer_disconnect(p, ERR_NETWORK_EXCEPTION);
}
