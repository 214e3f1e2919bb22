/* SPDX-License-Identifier: Apache-2.0 */

/* request: what the files of this room share. Private to broker/api.
 *
 * A request lives in one struct api_request, from a pool of the net room, with an arena that is
 * emptied when it is over. Its handler decodes the body, does its work at once or over several
 * turns, and ends with exactly one of api_respond(), api_drop(), api_close(). */
#pragma once

#include "api/api.h"
#include "api/barrier.h"
#include "io/deadline.h"
#include "api/spread.h"
#include "api/topics.h"

#include "base/map.h"
#include "meta/meta.h"
#include "net/net.h"
#include "partition/partition.h"
#include "wire/wire.h"

enum {
    API_ARENA_FREE = 256 << 10, /* of a request's arena, whatever its size */
    API_ARENA_FACTOR = 32,      /* times the size of its frame */
    API_ARENA_MAX = 32 << 20,
    API_OTHER_BYTES_MAX = 4 << 20, /* of a request that carries no records */
    API_PARTITIONS_MAX = 100000,   /* of one request */
    API_CREATIONS_MAX = 256,       /* topics being created on demand */
    API_READS_MAX = 256,           /* questions to the quorum (fresh.h) */
    API_OPENINGS_MAX = 2, /* requests of a shard whose batches are being opened (produce_keys.h) */
    API_SEARCHES_MAX = 8, /* for a time, of a shard: each holds a batch or two */
    API_FETCH_PARKED_BYTES = 64 << 10, /* a waiting fetch may hold even while memory is short */
    API_STOP_MS = 5000,
};

struct fetch_sessions;
struct producer_ids;

struct api {
    struct io *io;
    struct memory memory; /* a share of the shard's, for what clients ask */
    struct api_options options;
    struct net *net;
    unsigned listeners; /* that api_listen() has begun to serve */
    const struct image *image;
    struct topics topics;
    struct deadlines deadlines;
    struct fetch_sessions *sessions;
    struct producer_ids *producer_ids;
    uint32_t fetch_bytes_max;   /* of one answer, as the image says and the memory allows */
    uint64_t fetch_bytes_asked; /* as the image says */
    struct list fetches;        /* of struct fetch: those that wait */
    uint32_t loans;             /* slices of this shard's log that are not home again */
    struct list searches;       /* of struct offsets_part: those that wait for their turn */
    uint32_t searching;         /* those that are looking for a time */
    struct list openings;       /* of struct produce: those whose batches wait to be opened */
    uint32_t opening;           /* those whose batches are */
    uint32_t hashing;           /* stretches of logs that are being hashed, */
    struct list to_hash;        /* and those that wait */
    uint32_t creations;         /* topics being created on demand */
    uint32_t reads;             /* questions to the quorum on their way */
    int64_t null_offset;        /* what null mode hands out */
    struct api_stop *stop;
    struct net_stop net_stop;
    struct io_message farewell; /* at the end of a stop */
    unsigned farewell_next;     /* the shard that it goes to */
    struct api_status status;
    unsigned lines_left; /* about clients, in this second */
    uint64_t lines_from_ns;
};

struct api_request {
    struct net_request net; /* first: see net_options.request_size */
    struct api *api;
    const struct wire_api *kind;
    struct wire_request_header header;
    struct reader body;
    struct arena arena;
    /* The connection has gone; NULL when the handler has nothing to cut short. */
    void (*abandoned)(struct api_request *r);
    void *work;                /* the handler's */
    const struct image *image; /* taken by api_request_image() until the request is over */
};

static inline int16_t api_version(const struct api_request *r)
{
    return r->header.version;
}

/* Memory for as long as the request; NULL at the limit. */
void *api_alloc(struct api_request *r, size_t count, size_t size) MUST_CHECK;

/* The decoded body, as the struct of kind->request; NULL: malformed, and the request is over. */
void *api_decode(struct api_request *r) MUST_CHECK;

/* Encodes `response`, the struct of kind->response, and ends the request. */
void api_respond(struct api_request *r, const void *response);
void api_drop(struct api_request *r);

/* Ends the connection, and says why in the log now and then. */
void api_close(struct api_request *r, const char *why);

/* The same where nobody is to blame: this node is starting, and who asks comes again. */
void api_close_early(struct api_request *r);

/* For handlers that encode themselves: header written, body next. */
void api_respond_begin(struct api_request *r);
void api_respond_end(struct api_request *r, int error);

/* The image that stays the same for this request, over turns. */
const struct image *api_request_image(struct api_request *r);

/* Whether another broker asks, for somebody who has asked it. */
bool api_from_broker(const struct api_request *r);

/* Whether another line about clients may be written in this second. */
bool api_may_log(struct api *api);

/* One file each. */
void handle_add_raft_voter(struct api_request *r);
void handle_allocate_producer_ids(struct api_request *r);
void handle_alter_configs(struct api_request *r);
void handle_alter_partition(struct api_request *r);
void handle_alter_partition_reassignments(struct api_request *r);
void handle_api_versions(struct api_request *r);
void handle_begin_quorum_epoch(struct api_request *r);
void handle_broker_heartbeat(struct api_request *r);
void handle_broker_registration(struct api_request *r);
void handle_create_partitions(struct api_request *r);
void handle_create_topics(struct api_request *r);
void handle_delete_groups(struct api_request *r);
void handle_delete_records(struct api_request *r);
void handle_delete_topics(struct api_request *r);
void handle_describe_cluster(struct api_request *r);
void handle_describe_configs(struct api_request *r);
void handle_describe_groups(struct api_request *r);
void handle_describe_log_dirs(struct api_request *r);
void handle_describe_quorum(struct api_request *r);
void handle_describe_topic_partitions(struct api_request *r);
void handle_elect_leaders(struct api_request *r);
void handle_end_quorum_epoch(struct api_request *r);
void handle_fetch_snapshot(struct api_request *r);
void handle_fetch(struct api_request *r);
void handle_find_coordinator(struct api_request *r);
void handle_heartbeat(struct api_request *r);
void handle_incremental_alter_configs(struct api_request *r);
void handle_init_producer_id(struct api_request *r);
void handle_introduce(struct api_request *r);
void handle_join_group(struct api_request *r);
void handle_leave_group(struct api_request *r);
void handle_list_groups(struct api_request *r);
void handle_list_offsets(struct api_request *r);
void handle_list_partition_reassignments(struct api_request *r);
void handle_metadata(struct api_request *r);
void handle_offset_commit(struct api_request *r);
void handle_offset_delete(struct api_request *r);
void handle_offset_fetch(struct api_request *r);
void handle_offset_for_leader_epoch(struct api_request *r);
void handle_produce(struct api_request *r);
void handle_remove_raft_voter(struct api_request *r);
void handle_range_hash(struct api_request *r);
void handle_give_up_replicas(struct api_request *r);
void handle_replica_report(struct api_request *r);
void handle_sync_group(struct api_request *r);
void handle_unregister_broker(struct api_request *r);
void handle_update_features(struct api_request *r);
void handle_update_raft_voter(struct api_request *r);
void handle_vote(struct api_request *r);
void handle_yield_leadership(struct api_request *r);

/* quorum.c: a Fetch of the metadata log. */
struct fetch_request;
void quorum_fetch(struct api_request *r, const struct fetch_request *in);

/* Whether requests of this key are served. */
bool api_handled(int16_t key);

/* Answers an ApiVersions request of a version that is not served: in the form of v0. */
void api_versions_refuse(struct api_request *r);

/* fetch.c: at a stop. */
void fetch_stop_all(struct api *api);

/* init_producer_id.c */
struct producer_ids *producer_ids_new(struct api *api) MUST_CHECK;
void producer_ids_free(struct producer_ids *ids);
