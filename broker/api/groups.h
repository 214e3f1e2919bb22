/* SPDX-License-Identifier: Apache-2.0 */

/* groups: what a request asks of groups, each at its coordinator's home, and back. Private to
 * broker/api.
 *
 * A handler adds an ask for each group, fills in its call, and goes; answer() comes when all calls
 * are done, on the request's shard. What a call points to lies in memory of its home shard: it is
 * let go by itself after answer(). Where the topic of offsets does not exist, nothing is asked and
 * every call has failed. */
#pragma once

#include "api/request.h"
#include "coord/coord.h"

struct group_ask {
    struct part part;
    struct coord_call call;
    struct io_message message; /* the call's memory on its way home */
    bool asked;
};

struct groups {
    struct api_request *request;
    struct spread spread;
    struct group_ask *asks;
    uint32_t count, capacity;
    void (*answer)(struct groups *g);
    void *context; /* the handler's */
};

/* NULL: no memory, and the request is over. Room for `capacity` asks. */
struct groups *groups_new(struct api_request *r, size_t capacity,
                          void (*answer)(struct groups *g)) MUST_CHECK;

/* A call about `group`; the caller sets the fields of its kind before groups_go(). */
struct coord_call *groups_add(struct groups *g, enum coord_kind kind, struct wire_string group,
                              const void *request);

/* A COORD_LIST on each shard. */
void groups_add_all(struct groups *g);

void groups_go(struct groups *g);

/* For requests about one group. */
static inline struct coord_call *groups_only(struct groups *g)
{
    assert(g->count == 1);
    return &g->asks[0].call;
}

/* Room for what a request says of `count` partitions. NULL: too many or no memory, and the request is
 * over. */
struct coord_offset *groups_offsets(struct api_request *r, size_t count) MUST_CHECK;

/* Which topic is meant, by name or (uuid not zero) by id; NULL and *error: it does not exist.
 * Lent for as long as the request. */
const struct image_topic *groups_topic(struct api_request *r, struct wire_string name,
                                       struct uuid id, int *error);
