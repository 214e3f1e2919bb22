/* SPDX-License-Identifier: Apache-2.0 */

/* core: a client as a step machine on the I/O seam.
 *
 * It knows the brokers and their connections, the topics that somebody uses, and how to ask again.
 * It has no thread and waits for nothing: it runs wherever a struct io runs, in the shell's thread
 * or in the simulator. Producers and consumers stand above it as members, which hear of new
 * metadata.
 *
 *     member --core_connection(broker, lane)--> connection --> broker
 *            --topic_get(name)---> metadata, refreshed by age and on demand
 *            --call_start()------> one request, tried again until its deadline
 *
 * A lane is an own connection to each broker: a Fetch that waits for records must not hold up a
 * Produce behind it. Lane 0 is everybody's; each producer and consumer takes one more. */
#pragma once

#include "base/map.h"
#include "base/prng.h"
#include "core/address.h"
#include "core/connection.h"
#include "core/gate.h"

struct call;

enum {
    CORE_BROKERS_MAX = 10000,
    CORE_TOPICS_MAX = 1000000,
    CORE_PARTITIONS_MAX = 1000000, /* of a topic */
    CORE_REPLICAS_MAX = 10000000,  /* of a topic's partitions together */
    TOPIC_NAME_MAX = 249,
};

struct broker {
    struct list link;
    int32_t id;
    uint16_t port;
    bool seen;        /* in the answer that is being read */
    const char *rack; /* behind `host`; NULL: it says none */
    char host[];
};

struct topic_partition {
    int32_t leader; /* broker id, -1: none */
    int32_t leader_epoch;
    int32_t leader_before;                /* the latest that was known, -1: none */
    int32_t replica_first, replica_count; /* in the topic's `replicas` */
};

/* A topic that a member uses. */
struct topic {
    char name[TOPIC_NAME_MAX + 1];
    struct uuid id; /* zero when the broker does not say */
    int error;      /* of the latest answer; 0: partitions are valid */
    int32_t partition_count;
    struct topic_partition *partitions;
    int32_t *replicas;   /* broker ids */
    unsigned references; /* 0: remembered, not asked for */
    unsigned failures;   /* answers in a row that named no partitions */
    bool create;         /* may be created by being asked for */
    bool stale;          /* to be asked for */
    struct list link;
};

struct core_member {
    struct list link;
    void (*metadata_changed)(struct core_member *m);
};

struct metadata {
    struct map topics_by_name;
    struct list topics;
    struct list brokers;
    struct map brokers_by_id;
    int32_t controller; /* -1: not known */
    struct call *call;  /* in progress, or NULL */
    struct alarm again; /* by age, or after a pause */
    uint64_t asked_ns;
    uint64_t answers;  /* how many were taken, at least in part */
    uint64_t swept_ns; /* when all topics were last made stale for their age */
    bool wanted;       /* brokers alone too */
    unsigned failures; /* in a row */
};

struct core {
    struct io *io;
    struct memory *memory;
    struct gate *gate; /* guards `problem` */
    leat_options options;
    struct alarms alarms;
    struct prng prng;
    struct address bootstrap[ADDRESSES_MAX];
    unsigned bootstrap_count;
    unsigned any_next;                           /* which broker core_any() tries next */
    uint64_t bootstrap_silent_ns[ADDRESSES_MAX]; /* of each, as a connection's silent_ns */
    bool silences; /* some of these, or of connections, may not be 0 */
    uint32_t lanes;
    struct list connections;
    struct list members;
    struct metadata metadata;
    leat_error problem;                      /* code 0: none */
    const struct connection *problem_source; /* whose it is */
    bool closing;
    void (*closed)(struct core *core); /* after core_close() */
};

/* 0 or ERR_NO_MEMORY. `gate` is lent until closed(). */
int core_open(struct core *core, struct io *io, struct gate *gate, const leat_options *options,
              const struct address *bootstrap, unsigned bootstrap_count) MUST_CHECK;

/* Fails all requests and calls; closed() is called in a later turn. The members have left. */
void core_close(struct core *core, void (*closed)(struct core *core));

void core_join(struct core *core, struct core_member *m);
void core_leave(struct core *core, struct core_member *m);

static inline uint32_t core_lane(struct core *core)
{
    return ++core->lanes;
}

/* The connection to a broker in a lane, made if need be: NULL when the broker is not known
 * (metadata is then refreshed) or memory is out. */
struct connection *core_connection(struct core *core, int32_t broker_id, uint32_t lane);

/* Everybody's connection to where `c` leads. NULL: no memory. */
struct connection *core_beside(struct core *core, const struct connection *c);

/* A connection to any broker, preferably one that is up and not silent. NULL: no memory. */
struct connection *core_any(struct core *core);

/* Whether there is a broker to ask beside the one at this address. */
bool core_another(struct core *core, const char *host, uint16_t port);

/* What core_any() has given while `any_next` was `tried` is of no use: the next one prefers another. Calls that fail
 * together step over one broker and not over several, for the one behind it may be the only one that is there. */
void core_any_other(struct core *core, unsigned tried);

/* Drops all connections of a lane. */
void core_lane_drop(struct core *core, uint32_t lane);

/* Drops the connections that wait for nothing and lead to brokers that are no more: who rolls through
 * broker ids would else leave one behind for each. */
void core_connections_sweep(struct core *core);

/* For a connection: what it came to. */
void core_connection_failed(struct core *core, struct connection *c, const leat_error *reason);
void core_connection_ready(struct core *core, struct connection *c);
void core_connection_gone(struct core *core, struct connection *c);

/* For metadata: a call that closing waited for has ended. */
void core_settled(struct core *core);

void core_frame_free(struct core *core, struct frame *f);

/* Nanoseconds to wait before attempt `failures` + 1: base doubled per failure up to max, with
 * jitter of a fifth either way. */
uint64_t core_backoff(struct core *core, unsigned failures, int32_t base_ms, int32_t max_ms);

static inline uint64_t core_after_ms(struct core *core, int64_t ms)
{
    assert(ms >= 0);
    return io_now(core->io) + (uint64_t)ms * 1000000;
}

/* Whether an error says that the metadata are out of date. */
bool core_error_is_stale(int error);

/* --- metadata --- */

int metadata_init(struct core *core) MUST_CHECK;
void metadata_deinit(struct core *core);

/* Uses a topic: it is kept up to date until topic_put(), and known for a while longer. NULL: no
 * memory or not a name. */
struct topic *topic_get(struct core *core, const char *name, bool create);
void topic_put(struct core *core, struct topic *t);

/* What is known of `t` (NULL: of the brokers alone) is out of date: asks again soon. */
void metadata_refresh(struct core *core, struct topic *t);

struct broker *metadata_broker(struct core *core, int32_t id);
