/* SPDX-License-Identifier: Apache-2.0 */

/* libleat: administration of a cluster. Conventions and threads are those of leat.h. Each call blocks, at most for the
 * client's timeout_ms, and is sent to whichever broker answers for it. */
#ifndef LEAT_ADMIN_H
#define LEAT_ADMIN_H

#include <leat/leat.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- topics, configurations, brokers, the quorum --- */

typedef struct leat_config {
    const char *name;
    const char *value; /* NULL: back to the default */
} leat_config;

typedef struct leat_topic_spec {
    size_t size;
    const char *name;
    int32_t partitions;  /* -1: the broker's default */
    int16_t replication; /* -1: the broker's default */
    const leat_config *configs;
    size_t config_count;
    bool validate_only;
} leat_topic_spec;

#define LEAT_TOPIC_SPEC_INIT                                                                       \
    {                                                                                              \
        sizeof(leat_topic_spec), NULL, -1, -1, NULL, 0, false                                      \
    }

LEAT_API int leat_topic_create(leat_client *c, const leat_topic_spec *spec, leat_error *e);
LEAT_API int leat_topic_delete(leat_client *c, const char *topic, leat_error *e);

/* Grows a topic to `total` partitions. */
LEAT_API int leat_topic_grow(leat_client *c, const char *topic, int32_t total, leat_error *e);

/* Deletes the records of a partition below `offset` (LEAT_LATEST: all). *low (may be NULL) gets the
 * first offset that is left. */
LEAT_API int leat_topic_trim(leat_client *c, const char *topic, int32_t partition, int64_t offset,
                             int64_t *low, leat_error *e);

/* Gives a partition other replicas: these brokers, of which the first is preferred as its leader. They copy it in the
 * background; leat_moves_get() lists it until they have. NULL and 0: what is under way is called off. The broker's
 * refusal says which broker or number is wrong, or that nothing is under way. LEAT_ERR_UNKNOWN_TOPIC. */
LEAT_API int leat_topic_reassign(leat_client *c, const char *topic, int32_t partition,
                                 const int32_t *replicas, size_t count, leat_error *e);

enum leat_election {
    LEAT_ELECTION_PREFERRED = 0, /* back to the first replica, which must be in sync */
    LEAT_ELECTION_UNCLEAN = 1    /* where nobody leads: any replica; what it lacks is lost */
};

/* Elects a leader. *elected (may be NULL): false when none was needed. LEAT_ERR_UNKNOWN_TOPIC, or the broker's
 * refusal: LEAT_ERR_PREFERRED_LEADER, LEAT_ERR_ELIGIBLE_LEADERS. */
LEAT_API int leat_topic_elect(leat_client *c, const char *topic, int32_t partition,
                              int32_t election, bool *elected, leat_error *e);

typedef struct leat_move {
    const char *topic;
    int32_t partition;
    const int32_t *replicas, *adding,
        *removing; /* all that hold it now; those that come; that go */
    size_t replica_count, adding_count, removing_count;
} leat_move;

typedef struct leat_moves {
    const leat_move *const *list; /* by topic and number */
    size_t count;
} leat_moves;

/* The partitions whose replicas are changing, of one topic or of all (`topic` NULL). *out is freed by the caller. */
LEAT_API int leat_moves_get(leat_client *c, const char *topic, leat_moves **out, leat_error *e);
LEAT_API void leat_moves_free(leat_moves *moves);

/* Replicas of a partition outside of its in-sync set (KIP-966). */
typedef struct leat_eligible {
    int32_t partition;
    const int32_t
        *eligible; /* may lead when nobody is in sync: they have all that was acknowledged */
    const int32_t *last_known; /* were eligible, and may have lost something since */
    size_t eligible_count, last_known_count;
} leat_eligible;

typedef struct leat_eligibles {
    const leat_eligible *const *list; /* by number */
    size_t count;
} leat_eligibles;

/* Of every partition of a topic. *out is freed by the caller. LEAT_ERR_UNKNOWN_TOPIC;
 * LEAT_ERR_UNSUPPORTED_VERSION: Kafka before 3.7. */
LEAT_API int leat_eligible_get(leat_client *c, const char *topic, leat_eligibles **out,
                               leat_error *e);
LEAT_API void leat_eligible_free(leat_eligibles *eligibles);

enum leat_config_source {
    LEAT_SOURCE_UNKNOWN = 0,
    LEAT_SOURCE_TOPIC = 1,
    LEAT_SOURCE_BROKER = 2,
    LEAT_SOURCE_BROKERS = 3,
    LEAT_SOURCE_FILE = 4,
    LEAT_SOURCE_DEFAULT = 5
};

typedef struct leat_config_entry {
    const char *name;
    const char *value; /* NULL when it is secret or unset */
    int32_t source;    /* enum leat_config_source */
    bool read_only, sensitive;
} leat_config_entry;

typedef struct leat_configs {
    const leat_config_entry *const *entries;
    size_t count;
} leat_configs;

enum leat_resource { LEAT_RESOURCE_TOPIC = 2, LEAT_RESOURCE_BROKER = 4 };

/* The configuration of a topic, or of a broker by its number. *out is freed by the caller with
 * leat_configs_free(). */
LEAT_API int leat_configs_get(leat_client *c, int32_t resource, const char *name,
                              leat_configs **out, leat_error *e);
LEAT_API void leat_configs_free(leat_configs *configs);

/* Sets (or with value NULL resets) these keys and leaves all others as they are. */
LEAT_API int leat_configs_set(leat_client *c, int32_t resource, const char *name,
                              const leat_config *changes, size_t count, leat_error *e);

typedef struct leat_meta_broker {
    int32_t id;
    int32_t port;
    const char *host;
    const char *rack; /* or NULL */
} leat_meta_broker;

typedef struct leat_meta_partition {
    int32_t id;
    int32_t leader; /* -1: none at the moment */
    int32_t leader_epoch;
    int code; /* 0 or what is wrong with it */
    const int32_t *replicas, *in_sync, *offline;
    size_t replica_count, in_sync_count, offline_count;
} leat_meta_partition;

typedef struct leat_meta_topic {
    const char *name;
    const char *id; /* 22 characters, or "" */
    int code;       /* 0, LEAT_ERR_UNKNOWN_TOPIC, ... */
    bool internal;
    const leat_meta_partition *const *partitions; /* by number */
    size_t partition_count;
} leat_meta_topic;

typedef struct leat_meta {
    const char *cluster_id; /* "" when unknown */
    int32_t controller;     /* broker id, or -1 */
    const char *origin;     /* "host:port" of the broker that answered */
    const leat_meta_broker *const *brokers;
    size_t broker_count;
    const leat_meta_topic *const *topics; /* by name */
    size_t topic_count;
} leat_meta;

/* What the cluster consists of, with one topic, or all (`topic` NULL), or none (""). A topic that
 * does not exist is in the list with its code. Nothing is created. *out is freed by the caller. */
LEAT_API int leat_metadata(leat_client *c, const char *topic, leat_meta **out, leat_error *e);
LEAT_API void leat_meta_free(leat_meta *meta);

typedef struct leat_broker {
    int32_t id;
    int32_t port;
    const char *host;
    const char *rack; /* or NULL */
    bool fenced; /* the controller does not hear of it: it leads nothing, no client goes there */
} leat_broker;

typedef struct leat_brokers {
    const leat_broker *const *list; /* by number */
    size_t count;
} leat_brokers;

/* The brokers that are registered, fenced ones among them as far as the cluster tells of these (Kafka before 4.0 does
 * not). *out is freed by the caller. */
LEAT_API int leat_brokers_get(leat_client *c, leat_brokers **out, leat_error *e);
LEAT_API void leat_brokers_free(leat_brokers *brokers);

typedef struct leat_quorum_replica {
    int32_t id;
    bool voter;         /* else an observer: it follows, and has no vote */
    int64_t end;        /* of its copy of the metadata log; -1: unknown */
    int64_t fetched_ms; /* when it asked the leader last, in milliseconds since 1970; -1: unknown */
    int64_t caught_up_ms; /* when it had all that the leader had; -1: unknown */
    /* Which directory of that node it is, and where others reach it; NULL and 0: the cluster does not say. */
    const char *directory;
    const char *listener, *host;
    int32_t port;
} leat_quorum_replica;

typedef struct leat_quorum {
    int32_t leader; /* broker id */
    int32_t epoch;
    int64_t high_watermark; /* below this the metadata are committed; -1: not known yet */
    const leat_quorum_replica *const *replicas; /* voters first, by number */
    size_t replica_count;
} leat_quorum;

/* The quorum that keeps the metadata, as its leader sees it: whichever broker is asked first names the leader, which is
 * asked then. LEAT_ERR_NO_LEADER when the time is up, with the voters that are heard. *out is freed by the caller. */
LEAT_API int leat_quorum_get(leat_client *c, leat_quorum **out, leat_error *e);
LEAT_API void leat_quorum_free(leat_quorum *quorum);

typedef struct leat_lead {
    int32_t broker;
    bool yields;   /* it is drained, or about to stop: it keeps what nobody else can lead */
    int32_t leads; /* partitions */
    int32_t alone; /* of these, partitions that nobody else in sync may lead */
} leat_lead;

typedef struct leat_leads {
    const leat_lead *const *list; /* by number of the broker */
    size_t count;
} leat_leads;

/* A directory that a broker stores in. */
typedef struct leat_disk {
    int32_t broker;
    int32_t code;        /* 0, or why nothing is known of it */
    const char *path;    /* on the broker's machine; "" when it has not answered */
    int64_t total_bytes; /* of its file system; -1: not known (Kafka before 3.3) */
    int64_t
        usable_bytes; /* that the broker may still fill; leatd leaves disk.reserve.bytes free; -1: not known */
} leat_disk;

typedef struct leat_disks {
    const leat_disk *const *list;
    size_t count;
} leat_disks;

/* Asks every broker that there is now; one that does not answer within the client's timeout_ms stands in the
 * list with its code. *out is freed by the caller. */
LEAT_API int leat_disks_get(leat_client *c, leat_disks **out, leat_error *e);
LEAT_API void leat_disks_free(leat_disks *disks);

/* What each broker leads, as the one that is asked knows it. Of leatd alone (LEAT_ERR_UNSUPPORTED_VERSION),
 * as the next two. *out is freed by the caller. */
LEAT_API int leat_leads_get(leat_client *c, leat_leads **out, leat_error *e);
LEAT_API void leat_leads_free(leat_leads *leads);

/* From now on the broker leads nothing that others can lead, until `drain` is false or it starts again;
 * leat_leads_get() tells how far that is. LEAT_ERR_BROKER_NOT_AVAILABLE; LEAT_ERR_INVALID_REQUEST: it is alone. */
LEAT_API int leat_broker_drain(leat_client *c, int32_t broker, bool drain, leat_error *e);

/* Of one that will not come back; its replicas stay placed on it (leat_topic_reassign()). LEAT_ERR_NOT_FOUND. */
LEAT_API int leat_broker_forget(leat_client *c, int32_t broker, leat_error *e);

/* The broker that leads the metadata quorum gives that up in favour of another voter, `heir`, or of any
 * (-1). 0: it has; leat_quorum_get() tells who follows. LEAT_ERR_INVALID_REQUEST: no such voter. */
LEAT_API int leat_quorum_transfer(leat_client *c, int32_t heir, leat_error *e);

/* Makes a voter of a node that follows the metadata: that is, of its newest directory. A node that votes with a
 * directory that was lost is removed first. LEAT_ERR_NOT_FOUND: nothing is heard of that node; LEAT_ERR_VOTES: it votes
 * already; LEAT_ERR_REQUEST_TIMED_OUT: not yet possible, and the message says why. */
LEAT_API int leat_voter_add(leat_client *c, int32_t node, leat_error *e);

/* Takes a node's vote. It goes on as a broker. LEAT_ERR_NOT_FOUND: it has none;
 * LEAT_ERR_REQUEST_TIMED_OUT: not possible while most of the others are missing. */
LEAT_API int leat_voter_remove(leat_client *c, int32_t node, leat_error *e);

/* The offset of a partition at `when`: LEAT_EARLIEST, LEAT_LATEST (the end: one above the last record) or a time in
 * milliseconds: of the first record at or after it, *offset -1 if there is none. */
LEAT_API int leat_offset_at(leat_client *c, const char *topic, int32_t partition, int64_t when,
                            int64_t *offset, leat_error *e);

/* One of many offsets that are looked up together. */
typedef struct leat_offset_query {
    const char *topic;
    int32_t partition;
    int32_t code;   /* out: 0, or why there is no offset: LEAT_ERR_UNKNOWN_TOPIC, ... */
    int64_t when;   /* as for leat_offset_at() */
    int64_t offset; /* out; -1 if there is none */
} leat_offset_query;

/* As leat_offset_at() for many partitions, each named once: one request for each of their leaders.
 * 0 when every query was answered, each by its code. */
LEAT_API int leat_offsets_at(leat_client *c, leat_offset_query *queries, size_t count,
                             leat_error *e);

/* --- consumer groups --- */

typedef struct leat_group_listing {
    const char *name;
    const char *state;         /* "Stable", "Empty", ...; "" when the broker does not say */
    const char *protocol_type; /* "consumer"; "" for a group that never had a member */
    int32_t coordinator;       /* broker id */
} leat_group_listing;

typedef struct leat_groups {
    const leat_group_listing *const *groups; /* by name */
    size_t count;
} leat_groups;

/* All groups of all brokers. *out is freed by the caller with leat_groups_free(). */
LEAT_API int leat_group_list(leat_client *c, leat_groups **out, leat_error *e);
LEAT_API void leat_groups_free(leat_groups *groups);

typedef struct leat_group_member {
    const char *id;
    const char *instance_id; /* of a static member, or NULL */
    const char *client_id;
    const char *host;
    size_t partition_count; /* assigned to it: leat_group_partition.member */
} leat_group_member;

/* What a group has committed for a partition, or reads of it without having committed yet. */
typedef struct leat_group_partition {
    const char *topic;
    int32_t partition;
    int32_t member;    /* index of the member that reads it, -1: none */
    int64_t committed; /* offset of the first record that is not read, -1: nothing committed */
    int32_t committed_epoch; /* leader epoch, -1: not known */
    int32_t code;            /* 0, or why start and end are not known */
    const char *metadata;    /* committed with the offset; "" */
    int64_t start, end;      /* of the log, -1: not known */
    int64_t lag;             /* records that are not read, -1: not known */
    int64_t lag_ms; /* now minus the time of the first of them; 0 without lag, -1: not known */
} leat_group_partition;

typedef struct leat_group {
    const char *name;
    const char *state; /* "Stable", "PreparingRebalance", "CompletingRebalance", "Empty" */
    const char *protocol_type;
    const char *protocol; /* the assignor's name; "" while there is none */
    int32_t coordinator;  /* broker id */
    const leat_group_member *const *members;
    size_t member_count;
    const leat_group_partition *const *partitions; /* by topic and number */
    size_t partition_count;
    int64_t lag;    /* the sum of those that are known */
    int64_t lag_ms; /* the largest of those that are known */
} leat_group;

/* A group's state, members, commits and lag. The times of unread records are read from their
 * partitions, for at most timeout_ms: what could not be read by then is -1. LEAT_ERR_GROUP_NOT_FOUND.
 * *out is freed by the caller with leat_group_free(). */
LEAT_API int leat_group_describe(leat_client *c, const char *group, leat_group **out,
                                 leat_error *e);
LEAT_API void leat_group_free(leat_group *group);

/* Deletes a group and all that it has committed. LEAT_ERR_GROUP_NOT_EMPTY while it has members,
 * LEAT_ERR_GROUP_NOT_FOUND. */
LEAT_API int leat_group_delete(leat_client *c, const char *group, leat_error *e);

typedef struct leat_group_position {
    const char *topic;
    int32_t partition;
    int32_t code;   /* out: 0, or why this one was not changed */
    int64_t offset; /* >= 0: of the first record to be read; not used for deleting */
} leat_group_position;

/* Sets what a group without members has committed for these partitions, each named once; the group is
 * made if it does not exist. Sorts the positions. 0: all are set. LEAT_ERR_GROUP_NOT_EMPTY; or the first
 * code that is not 0: then those with code 0 are set. */
LEAT_API int leat_group_offsets_set(leat_client *c, const char *group,
                                    leat_group_position *positions, size_t count, leat_error *e);

/* Forgets what a group has committed for these partitions, which no member reads. Results as above,
 * and LEAT_ERR_GROUP_NOT_FOUND. */
LEAT_API int leat_group_offsets_delete(leat_client *c, const char *group,
                                       leat_group_position *positions, size_t count, leat_error *e);

#ifdef __cplusplus
}
#endif
#endif
