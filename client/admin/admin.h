/* SPDX-License-Identifier: Apache-2.0 */

/* admin: one blocking call of the public API. The caller's thread fills an admin_op on its stack,
 * the I/O thread runs its call until it is answered or the client's timeout_ms are over, and the
 * caller reads what decode() has left. */
#pragma once

#include "leat/admin.h"

#include "core/call.h"
#include "core/client.h"

struct admin_op {
    struct shell_task task;
    struct core_member member;
    struct call call;
    leat_client *client;
    const struct call_kind *kind;
    const char *topic; /* of calls that go to the leader of a partition, or NULL */
    int32_t partition;
    int timeout_ms; /* 0: the client's */
    struct topic *meta;
    bool finished;
};

enum {
    ADMIN_ARENA_MAX = 256 << 20,
    ADMIN_HEAP_MAX = 1 << 30, /* of a result */
};

/* The op is zeroed but for client, kind, topic, partition and timeout: the call's result, with *e filled. */
int admin_run(struct admin_op *op, leat_error *e);

static inline struct admin_op *admin_of(struct call *c)
{
    return container_of(c, struct admin_op, call);
}

/* For kinds: the leader of op->partition of op->topic. */
int admin_route_leader(struct call *c, int32_t *broker);

/* For kinds: a broker. ERR_BROKER_NOT_AVAILABLE when it is not known, retriable until it has been
 * asked for. */
int admin_route_broker(struct call *c, int32_t id, int32_t *broker);

/* For kinds: the controller. */
int admin_route_controller(struct call *c, int32_t *broker);

/* For decode(): the error of one thing that was asked for, with the broker's own words if it has
 * any. 0 for 0. */
int admin_error(struct call *c, int16_t wire_code, struct wire_string message, const char *what);

/* A copy of these numbers on the heap of a result; `count` below 0: none. NULL: no memory. */
const int32_t *admin_ids(struct memory *heap, const int32_t *ids, int32_t count, size_t *out);

/* Pointers on the heap of a result, as many as come. */
struct admin_list {
    void **items;
    size_t count, capacity;
};

/* ERR_NO_MEMORY: none, or room for more than `most` would be needed. */
int admin_append(struct memory *heap, struct admin_list *l, size_t most, void *item) MUST_CHECK;

/* How many milliseconds the broker may take. */
static inline int32_t admin_timeout_ms(const struct call *c)
{
    return c->core->options.timeout_ms;
}
