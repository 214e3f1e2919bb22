/* SPDX-License-Identifier: Apache-2.0 */

/* image: what the metadata log says, as something to look things up in.
 *
 * An image is immutable once it is published. The controller's shard makes the next one from the
 * last and a batch of committed records, sharing every topic that did not change, and publishes it
 * to the shards as a message that holds a pointer; a shard lets go of the old one with
 * image_release(), which may be called from any shard (the count is atomic; memory is freed at
 * home). */
#pragma once

#include "base/bytes.h"
#include "base/uuid.h"

struct image;

enum { IMAGE_CONFIGS_MAX = 64, IMAGE_ENDPOINTS_MAX = 16 };

struct image_nodes {
    const int32_t *ids;
    int32_t count;
};

bool image_nodes_have(struct image_nodes nodes, int32_t id);

/* What most partitions have nothing of. */
struct image_more {
    struct image_nodes elr;            /* eligible leaders outside of the ISR (KIP-966) */
    struct image_nodes last_known_elr; /* were eligible, and may have lost what was acknowledged */
    struct image_nodes adding, removing; /* of a reassignment under way; both among the replicas */
    struct image_nodes damaged; /* whose data does not check: never elected, never in sync */
};

struct image_partition {
    int32_t leader;       /* node id, -1: none */
    int32_t leader_epoch; /* grows with every change of leader and with every start of the leader */
    int32_t partition_epoch;
    int32_t
        unclean_epoch; /* the newest leader epoch that began with an unclean election; -1: none */
    bool recovering;   /* the leader was elected uncleanly and has not said that it is done */
    const int32_t *replicas;
    const int32_t *isr;
    int32_t replica_count, isr_count;
    const struct uuid *directories; /* of the replicas, in their order; NULL: none is known */
    const struct image_more *more;  /* never NULL */
};

/* The in-sync replicas that acks=all asks for: min.insync.replicas, but no more than there are
 * replicas that are not just being added. Leader and controller must agree on it (P7, P22). */
int32_t image_partition_min_isr(const struct image_partition *p, int32_t configured);

struct image_topic;

/* NULL: there is no such partition, or no topic (NULL). */
const struct image_partition *image_topic_partition(const struct image_topic *topic, int32_t index);

/* Whether a replica is placed on that broker. */
bool image_partition_holds(const struct image_partition *p, int32_t broker);

/* min.insync.replicas of a topic: its own, else that of the whole cluster, else 1. What a node's
 * configuration says does not count here: leaders and controller must not differ in it (stated.h). */
int32_t image_topic_min_isr(const struct image *image, const struct image_topic *topic);

/* The same of a topic that has none of its own. */
int32_t image_cluster_min_isr(const struct image *image);

/* The replicas of a topic of which nobody has said how many: as `configured`
 * (default.replication.factor), or if that is not above 0, one on each broker that is active, but no
 * more than IMAGE_GROWN_FACTOR. */
enum { IMAGE_GROWN_FACTOR = 3 };
int16_t image_default_factor(const struct image *image, int16_t configured);

struct image_config { /* a key that was set; others have their default */
    const char *key, *value;
};

struct image_topic {
    struct uuid id;
    const char *name;
    const struct image_partition *partitions;
    int32_t partition_count;
    const struct image_config *configs; /* sorted by key */
    uint32_t config_count;
    bool internal;
    bool
        factor_open; /* nobody has chosen how many replicas: they grow with the cluster (growth.c) */
};

struct image_endpoint { /* what a broker advertises under a listener's name */
    const char *name, *host;
    uint16_t port;
};

struct image_broker {
    int32_t id;
    int64_t epoch;                          /* metadata offset of its registration */
    const char *rack;                       /* NULL: none */
    const struct image_endpoint *endpoints; /* at least one */
    uint32_t endpoint_count;
    struct uuid incarnation; /* of its process */
    struct uuid directory;   /* of its data; zero: not told */
    bool fenced;
    bool shutting_down; /* in controlled shutdown: hands its leaderships over */
};

/* NULL when there is none. Borrowed from the image. */
const struct image_topic *image_topic_by_name(const struct image *image, struct bytes name);
const struct image_topic *image_topic_by_id(const struct image *image, struct uuid id);

/* Topics sorted by name; index < image_topic_count(). */
uint32_t image_topic_count(const struct image *image);
const struct image_topic *image_topic_at(const struct image *image, uint32_t index);
/* Calls `each` in the order of names, until it returns false, for every topic of which `broker` may
 * hold a partition: for all that it does, and some others. broker -1: for every one that has
 * partitions. */
void image_each_topic(const struct image *image, int32_t broker,
                      bool (*each)(void *context, const struct image_topic *topic), void *context);
/* The index of the first topic whose name is >= `name`: for paging. */
uint32_t image_topic_from(const struct image *image, struct bytes name);

/* Calls `each` for every name whose topic differs between two images of one log, in the order of
 * names: `old` or `new` is NULL where there is none, both are given when the topic has changed or
 * another one (of another id) has its name. before NULL: empty. What it costs is what has changed,
 * not what there is. */
void image_diff(const struct image *before, const struct image *after,
                void (*each)(void *context, const struct image_topic *old,
                             const struct image_topic *new),
                void *context);

uint32_t image_broker_count(const struct image *image);
const struct image_broker *image_broker_at(const struct image *image, uint32_t index);
const struct image_broker *image_broker_by_id(const struct image *image, int32_t id); /* or NULL */

/* Broker configuration set at run time; NULL when `key` is not set. node -1: the cluster-wide
 * default. */
const char *image_broker_config(const struct image *image, int32_t node, const char *key);

/* Whether any run-time configuration of a broker differs. Cheap. */
bool image_brokers_configured_differently(const struct image *a, const struct image *b);

const char *image_topic_config(const struct image_topic *topic, const char *key);

const char *image_cluster_id(const struct image *image); /* 22 characters */
int32_t image_controller(const struct image *image);     /* node id, -1: none */
int64_t image_offset(const struct image *image);         /* of the last record applied */

void image_take(const struct image *image);
void image_release(const struct image *image);
