/* SPDX-License-Identifier: Apache-2.0 */

#include "core/core.h"

#include "core/call.h"
#include "core/silence.h"

#include <string.h>

enum { CANDIDATES_TRIED_MAX = 256 };

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
    const struct address *address; /* NULL: `broker` */
    const struct broker *broker;
};

static size_t core_candidates(const struct core *core)
{
    return core->bootstrap_count + map_count(&core->metadata.brokers_by_id);
}

/* The caller's addresses come first: they are asked before anything else is known. */
static struct candidate core_candidate(struct core *core, size_t index)
{
    if (index < core->bootstrap_count) {
        return (struct candidate){.address = &core->bootstrap[index]};
    }
    index -= core->bootstrap_count;
    list_each (node, &core->metadata.brokers) {
        if (index-- == 0) {
            return (struct candidate){.broker = container_of(node, struct broker, link)};
        }
    }
    assert(false);
    return (struct candidate){0};
}

static bool candidate_silent(struct core *core, struct candidate c)
{
    return c.address ? core_silent(core, c.address->host, c.address->port)
                     : core_silent(core, c.broker->host, c.broker->port);
}

/* The next candidate that is not silent, from any_next on; without one the next. */
static struct candidate core_next(struct core *core, bool *speaks)
{
    size_t count = core_candidates(core);
    for (size_t i = 0; i < count && i < CANDIDATES_TRIED_MAX; i++) {
        struct candidate c = core_candidate(core, (core->any_next + i) % count);
        if (!candidate_silent(core, c)) {
            *speaks = true;
            return c;
        }
    }
    *speaks = false;
    return core_candidate(core, core->any_next % count);
}

bool core_any_speaks(struct core *core)
{
    bool speaks;
    (void)core_next(core, &speaks);
    return speaks;
}

struct connection *core_any(struct core *core)
{
    bool speaks;
    list_each (node, &core->connections) {
        struct connection *c = container_of(node, struct connection, link);
        if (!c->dropped && c->lane == 0 && c->state == CONNECTION_READY &&
            !core_silent(core, c->host, c->port)) {
            return c;
        }
    }
    struct candidate next = core_next(core, &speaks);
    return next.address ? core_address(core, next.address->host, next.address->port, -1)
                        : core_connection(core, next.broker->id, 0);
}

void core_any_other(struct core *core)
{
    core->any_next++;
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
