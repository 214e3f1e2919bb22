/* SPDX-License-Identifier: Apache-2.0 */

/* api: what the broker says to clients. A dispatch table and one file for each API.
 *
 * Each shard has a struct api of its own, with a listener, connections and fetch sessions. It
 * answers from the newest image that was published to it. What concerns a partition runs on the
 * partition's home shard: one message for each shard that has a part in a request, one back. With
 * one shard everything is a direct call.
 *
 * Order at start, on every shard: api_start(); log_set_open(), partition_table_new(), coord_new(),
 * api_attach(); then on the image's way to each shard: partition_table_apply(), coord_apply(), api_publish(); when
 * all shards are that far, api_listen() for each listener on shard 0, and with the port that it got
 * on the others.
 *
 * Order at stop: api_stop() on all shards and wait for all; then coord_stop() on each and wait; then
 * api_free() and coord_free() on each; then partition_table_free(), log_set_close(), meta_close(). */
#pragma once

#include "base/errors.h"
#include "base/uuid.h"
#include "config/config.h"
#include "io/io.h"

struct api;
struct coord;
struct image;
struct image_topic;
struct introducer;
struct log_set;
struct meta;
struct partition_table;

/* What requests are about. Of this shard but for `meta`, which is the node's. */
struct api_rooms {
    struct meta *meta;
    struct partition_table *partitions;
    struct log_set *logs;
    struct coord *coord;
};

/* Zero means the default beside it. Everything pointed to is lent until api_free(). */
struct api_options {
    int32_t node_id;
    const char *data_dir;
    const struct config *config;
    struct introducer *introducer; /* the node's */
    struct api_rooms rooms;        /* as api_attach() gives them */

    /* One entry for each shard, all NULL at first; shared by all shards: each api_start() fills its
     * own, and the others are read once every shard has started. */
    struct api **peers;

    bool null_mode; /* Produce is checked and acknowledged, and nothing is stored: for measurements
                     */

    /* Of this shard. */
    uint64_t memory_bytes; /* for connections, requests and answers, beside the bodies of requests
                              and the log's slices: no limit of its own */
    uint32_t connections_max;    /* 10000 */
    uint32_t request_bytes_max;  /* socket.request.max.bytes: 100 MiB */
    uint64_t request_pool_bytes; /* 64 MiB */
    uint64_t lent_bytes_max;     /* slices in sockets: 24 MiB, a quarter of the log's tail */
    uint32_t requests_max;       /* of one connection in progress: 64 */
    uint64_t idle_ms;            /* connections.max.idle.ms: 600000 */
    uint32_t fetch_sessions_max; /* 0: none, every fetch is answered in full */
    uint32_t fetch_session_partitions_max; /* of all sessions: 100000 */
};

/* NULL: out of memory, said in the log. */
struct api *api_start(struct io *io, const struct api_options *options) MUST_CHECK;

/* The rooms are there, or meta alone, and then once more; before the first api_publish(). Lent until api_free(). */
void api_attach(struct api *api, const struct api_rooms *rooms);

/* Begins to accept on the configuration's next listener. Before the first api_publish() other brokers are
 * answered alone, about the metadata log, at `port` (0: any). *port_out is what it
 * got. Clients that come there are told the addresses that are advertised under its name. 0 or a
 * negative errno. */
int api_listen(struct api *api, uint16_t port, uint16_t *port_out) MUST_CHECK;

/* A new image, after partition_table_apply() of it. A reference is taken. */
void api_publish(struct api *api, const struct image *image);

/* Answers what is in progress (long polls at once) and closes all connections: at most a few
 * seconds, whatever clients do; appends in progress are waited for. Until all shards are done, this
 * one goes on serving what requests of the others ask of its partitions. */
struct api_stop {
    void (*done)(struct api_stop *s);
};
void api_stop(struct api *api, struct api_stop *s);

/* After every shard's api_stop() is done. NULL is accepted. */
void api_free(struct api *api);

/* What is in force for a topic: its own settings over the broker's dynamic ones (of the image) over
 * the configuration. Also for partition_options.configure. `topic` NULL: a topic that sets nothing.
 */
void api_topic_config(const struct config *config, const struct image *image, int32_t node_id,
                      const struct image_topic *topic, struct topic_config *out);

/* A number of the broker's configuration as it is in force: for this node, for all nodes (both of
 * the image), or the configuration's. `image` NULL: none of the first two. */
int64_t api_broker_number(const struct config *config, const struct image *image, int32_t node_id,
                          enum config_key key);

struct api_status {
    uint32_t connections;
    uint32_t requests; /* in progress */
    uint64_t requests_total;
    uint64_t produced_batches, produced_bytes, fetched_bytes;
    uint64_t received_bytes, sent_bytes;
    uint64_t refused_connections, malformed_requests;
};
struct api_status api_status(const struct api *api);
