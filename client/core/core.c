/* SPDX-License-Identifier: Apache-2.0 */

#include "core/core.h"

#include "core/call.h"
#include "core/silence.h"

#include <string.h>

enum { CANDIDATES_MAX = 256 };

int core_open(struct core *core, struct io *io, struct gate *gate, const leat_options *options,
              const struct address *bootstrap, unsigned bootstrap_count)
{
    assert(bootstrap_count > 0 && bootstrap_count <= ADDRESSES_MAX);
    uint64_t seed;
    *core = (struct core){.io = io, .memory = io_memory(io), .gate = gate, .options = *options};
    memcpy(core->bootstrap, bootstrap, bootstrap_count * sizeof *bootstrap);
    core->bootstrap_count = bootstrap_count;
    io_random(io, &seed, sizeof seed);
    core->prng = prng_of(seed);
    core->any_next = (unsigned)prng_below(&core->prng, bootstrap_count);
    list_init(&core->connections);
    list_init(&core->members);
    alarms_init(&core->alarms, io);
    return metadata_init(core);
}

static void core_alarms_idle(void *context)
{
    struct core *core = context;
    metadata_deinit(core);
    core->closed(core);
}

/* Goes on with closing when nothing is in flight any more. */
static void core_closing(struct core *core)
{
    if (core->closing && list_empty(&core->connections) && !core->metadata.call &&
        !core->alarms.stopped) {
        alarms_stop(&core->alarms, core_alarms_idle, core);
    }
}

void core_close(struct core *core, void (*closed)(struct core *core))
{
    assert(!core->closing);
    assert(list_empty(&core->members));
    core->closing = true;
    core->closed = closed;
    list_each (node, &core->connections) {
        connection_drop(container_of(node, struct connection, link));
    }
    if (core->metadata.call) {
        call_cancel(core->metadata.call);
    }
    core_closing(core);
}

void core_settled(struct core *core)
{
    core_closing(core);
}

void core_join(struct core *core, struct core_member *m)
{
    assert(m->metadata_changed);
    list_init(&m->link);
    list_append(&core->members, &m->link);
}

void core_leave(struct core *core, struct core_member *m)
{
    list_remove(&m->link);
}

static struct connection *core_connect(struct core *core, const char *host, uint16_t port,
                                       int32_t broker_id, uint32_t lane)
{
    struct connection *c;
    if (core->closing || connection_open(&c, core, host, port, broker_id, lane)) {
        return NULL;
    }
    list_append(&core->connections, &c->link);
    return c;
}

struct connection *core_connection(struct core *core, int32_t broker_id, uint32_t lane)
{
    struct broker *b = metadata_broker(core, broker_id);
    if (!b) {
        metadata_refresh(core, NULL);
        return NULL;
    }
    list_each (node, &core->connections) {
        struct connection *c = container_of(node, struct connection, link);
        if (c->dropped || c->lane != lane) {
            continue;
        }
        bool address = c->port == b->port && strcmp(c->host, b->host) == 0;
        if (address && (c->broker_id == broker_id || c->broker_id == -1)) {
            c->broker_id = broker_id;
            return c;
        }
        if (c->broker_id == broker_id) {
            connection_drop(c);
        }
    }
    return core_connect(core, b->host, b->port, broker_id, lane);
}

/* Everybody's connection to an address, made if need be. */
static struct connection *core_address(struct core *core, const char *host, uint16_t port,
                                       int32_t broker_id)
{
    list_each (node, &core->connections) {
        struct connection *c = container_of(node, struct connection, link);
        if (!c->dropped && c->lane == 0 && c->port == port && strcmp(c->host, host) == 0) {
            return c;
        }
    }
    return core_connect(core, host, port, broker_id, 0);
}

struct connection *core_beside(struct core *core, const struct connection *c)
{
    return core_address(core, c->host, c->port, c->broker_id);
}

/* Somebody who may be asked: an address of the caller's, or a broker that is known. */
struct candidate {
    const char *host;
    uint16_t port;
    int32_t broker_id; /* -1: an address of the caller's */
};

static size_t core_candidates(const struct core *core)
{
    size_t count = core->bootstrap_count + map_count(&core->metadata.brokers_by_id);
    return count < CANDIDATES_MAX ? count : CANDIDATES_MAX;
}

/* The caller's addresses come first: they are asked before anything else is known. */
static struct candidate core_candidate(struct core *core, size_t index)
{
    if (index < core->bootstrap_count) {
        return (struct candidate){core->bootstrap[index].host, core->bootstrap[index].port, -1};
    }
    index -= core->bootstrap_count;
    list_each (node, &core->metadata.brokers) {
        if (index-- == 0) {
            const struct broker *b = container_of(node, struct broker, link);
            return (struct candidate){b->host, b->port, b->id};
        }
    }
    assert(false);
    return (struct candidate){0};
}

bool core_another(struct core *core, const char *host, uint16_t port)
{
    size_t count = core_candidates(core);
    for (size_t i = 0; i < count; i++) {
        struct candidate c = core_candidate(core, i);
        if (c.port != port || strcmp(c.host, host) != 0) {
            return true;
        }
    }
    return false;
}

struct connection *core_any(struct core *core)
{
    list_each (node, &core->connections) {
        struct connection *c = container_of(node, struct connection, link);
        if (!c->dropped && c->lane == 0 && c->state == CONNECTION_READY &&
            !core_silent_since(core, c->host, c->port)) {
            return c;
        }
    }
    /* In turn; who was found silent comes last, and of these who has had the most time since. */
    size_t count = core_candidates(core);
    struct candidate best = {0};
    uint64_t best_ns = UINT64_MAX;
    for (size_t i = 0; i < count && best_ns > 0; i++) {
        struct candidate c = core_candidate(core, (core->any_next + i) % count);
        uint64_t silent_ns = core_silent_since(core, c.host, c.port);
        if (silent_ns < best_ns) {
            best = c;
            best_ns = silent_ns;
        }
    }
    return best.broker_id < 0 ? core_address(core, best.host, best.port, -1)
                              : core_connection(core, best.broker_id, 0);
}

void core_any_other(struct core *core, unsigned tried)
{
    core->any_next += core->any_next == tried;
}

void core_lane_drop(struct core *core, uint32_t lane)
{
    assert(lane > 0);
    list_each (node, &core->connections) {
        struct connection *c = container_of(node, struct connection, link);
        if (c->lane == lane) {
            connection_drop(c);
        }
    }
}

void core_connections_sweep(struct core *core)
{
    list_each (node, &core->connections) {
        struct connection *c = container_of(node, struct connection, link);
        if (c->broker_id >= 0 && !metadata_broker(core, c->broker_id) && !connection_busy(c)) {
            connection_drop(c);
        }
    }
}

void core_connection_failed(struct core *core, struct connection *c, const leat_error *reason)
{
    if (core->closing || c->dropped) {
        return;
    }
    gate_enter(core->gate);
    core->problem = *reason;
    gate_leave(core->gate);
    metadata_refresh(core, NULL);
}

void core_connection_ready(struct core *core, struct connection *c)
{
    gate_enter(core->gate);
    error_clear(&core->problem);
    gate_leave(core->gate);
}

void core_connection_gone(struct core *core, struct connection *c)
{
    list_remove(&c->link);
    core_closing(core);
}

void core_frame_free(struct core *core, struct frame *f)
{
    memory_free(core->memory, f);
}

uint64_t core_backoff(struct core *core, unsigned failures, int32_t base_ms, int32_t max_ms)
{
    assert(base_ms > 0);
    uint64_t wait = (uint64_t)base_ms << (failures > 20 ? 20 : failures);
    uint64_t max = max_ms > base_ms ? (uint64_t)max_ms : (uint64_t)base_ms;
    wait = (wait > max ? max : wait) * 1000000;
    return wait - wait / 5 + prng_below(&core->prng, wait / 5 * 2 + 1);
}

bool core_error_is_stale(int error)
{
    switch (error) {
    case ERR_UNKNOWN_TOPIC_OR_PARTITION:
    case ERR_LEADER_NOT_AVAILABLE:
    case ERR_NOT_LEADER_OR_FOLLOWER:
    case ERR_REPLICA_NOT_AVAILABLE:
    case ERR_NETWORK_EXCEPTION:
    case ERR_NOT_CONTROLLER:
    case ERR_KAFKA_STORAGE_ERROR:
    case ERR_LISTENER_NOT_FOUND:
    case ERR_FENCED_LEADER_EPOCH:
    case ERR_UNKNOWN_LEADER_EPOCH:
    case ERR_PREFERRED_LEADER_NOT_AVAILABLE:
    case ERR_UNKNOWN_TOPIC_ID:
    case ERR_INCONSISTENT_TOPIC_ID:
    case ERR_UNREACHABLE:
        return true;
    default:
        return false;
    }
}
