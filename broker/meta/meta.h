/* SPDX-License-Identifier: Apache-2.0 */

/* meta: the metadata log of the cluster, the image that it makes, and the controller that writes
 * it.
 *
 * Every topic, placement, leader, configuration and block of producer ids is a record in the
 * metadata log (Kafka's metadata records; own ones from number 10000), a log like any other with a
 * journal and a root of its own: <data>/meta. A single node is a quorum of one: an empty directory
 * founds a cluster (KIP-853: LeaderChange, KRaftVersion and VotersRecord first), the vote file
 * holds epoch and vote in two copies, and each start begins a new epoch with a LeaderChange record.
 *
 * An operation is decided purely (image, request -> records or an error), appended, and done when
 * its records are durable and applied: then the new image has been published. Snapshots (KIP-630)
 * bound the log.
 *
 * meta lives on shard 0. Operations come from any shard by meta_submit(), which posts; done() is
 * called on the shard that submitted. */
#pragma once

#include "base/uuid.h"
#include "io/io.h"
#include "log/log.h"
#include "meta/image.h"
#include "meta/isr_member.h"
#include "raft/raft.h"

struct meta;
struct voters;

/* What is pointed to is lent until meta_close() is done. */
struct meta_options {
    const char *root; /* <data>/meta, exists, durably */
    int32_t node_id;
    const char *rack;                       /* NULL: none */
    const struct image_endpoint *endpoints; /* advertised, 1 to IMAGE_ENDPOINTS_MAX */
    uint32_t endpoint_count;
    const struct voters *founders; /* while the log names none: whom the cluster was founded with;
                                    * NULL: this node alone. Lent until meta_open() is done */
    int32_t num_partitions;        /* for topics that name no number */
    int16_t default_replication_factor; /* not above 0: image_default_factor() */
    int16_t replication_factor_max;     /* 0: as many as there are brokers */
    int32_t topics_max, partitions_max; /* of the node: 100000, 200000 */
    bool memory_by_default;             /* default.durability: for topics that do not choose */
    int32_t min_isr;                    /* min.insync.replicas; 0: not configured */
    bool unclean_elections;             /* unclean.leader.election.enable */
    int32_t session_ms, heartbeat_ms;   /* of brokers; 0: 1500 and 300 */
    int32_t balance_s;       /* between two looks for leaders that are not preferred; 0: never */
    const char *topics_root; /* NULL, or whose disk is looked at: without room nothing is led */
    uint64_t topics_reserve_bytes; /* that topics leave of it */
    uint64_t journal_file_bytes;   /* 1 MiB */
    uint64_t snapshot_bytes;       /* log bytes between snapshots: 16 MiB */
    uint32_t piece_bytes;          /* of a snapshot that is loaded: 1 MiB, and no more */
    bool accept_loss;              /* go on when damage is found: the operator has decided */
    unsigned raft_mutant, controller_mutant; /* simulator builds: a rule left out, 0: none */
    /* Called on shard 0 whenever a new image is to be seen: before the operations that made it are
     * done. The receiver takes its own reference. */
    void (*publish)(void *context, const struct image *image);
    /* NULL, or whether what this node had acknowledged of the topic may be lost here (P23): asked when it registers. */
    bool (*lost)(void *context, const struct image_topic *topic);
    /* NULL, or another process has this node's id, and lives: `why` says where. This one has to end. */
    void (*displaced)(void *context, const char *why);
    void *publish_context; /* of all three */
};

enum { META_WHY_SIZE = 400 }; /* a sentence for people */

/* Recovers or founds, takes part in the quorum, registers this node, begins a new leader epoch for every
 * partition that it leads. done(0): publish() was called. Errors are said in the log. */
struct meta_open {
    void (*done)(struct meta_open *o, int error);
    /* NULL, or called in between: what stands in the directory is known, but not what of it is committed; `meta`
     * and the ids are set, meta_knows() and meta_serve() may be used. meta_join() goes on. */
    void (*local)(struct meta_open *o);
    struct meta *meta; /* NULL after a failure */
    bool founded;      /* this start founded the cluster */
    struct uuid cluster_id;
    struct uuid directory_id;
    int64_t broker_epoch;      /* of this life of the broker */
    uint64_t replayed_bytes;   /* of the metadata log's journal */
    char why[META_WHY_SIZE];   /* on failure; with ERR_DAMAGED: file, position, what to do */
    struct io_message message; /* meta's */
};
void meta_open(struct io *io, struct meta_open *o, const struct meta_options *options);
void meta_join(struct meta *meta);

/* Between `local` and meta_join(), where other nodes vote as well: takes part in the quorum, as a voter that hands the
 * lead on, and this broker does not register. meta_knows() and meta_knew() go on to say what the log had then. */
void meta_vote(struct meta *meta);

/* Whether others vote in the quorum, so that this node must be reachable before it can join. */
bool meta_has_peers(const struct meta *meta);

/* Where the cluster reaches, or last reached, the node of this directory, if that is not where this process is; as
 * `peers` are written, at most META_PLACES of them. From `local` on. */
enum { META_PLACES = 2, META_PLACE_SIZE = 264 };
uint32_t meta_other_places(const struct meta *meta, char (*out)[META_PLACE_SIZE]);

/* Controlled shutdown (KIP-841 keeps its name): what this broker leads goes to others that are in sync, and then
 * it is fenced, so that all see that it is gone. What only it can lead does not hold it up. Serves meanwhile. */
struct meta_retire {
    void (*done)(struct meta_retire *r);
    int error;     /* out: 0; ERR_TIMEOUT: no controller did it in time, */
    char why[200]; /* out: and a sentence */
};
/* False: there is nobody whom it would matter to, and done() does not come. Once, on shard 0, before meta_leave(). */
bool meta_retire(struct meta *meta, struct meta_retire *r) MUST_CHECK;

/* The node is about to stop: gives up leading the quorum, and serves others no more. Before api_stop(). */
void meta_leave(struct meta *meta);

struct meta_close {
    void (*done)(struct meta_close *c);
};
/* Also while it joins: then done() of the meta_open does not come. */
void meta_close(struct meta *meta, struct meta_close *c);

enum meta_kind {
    META_CREATE_TOPIC,
    META_DELETE_TOPIC,
    META_CREATE_PARTITIONS,
    META_ALTER_CONFIGS, /* of a topic or a broker */
    META_PRODUCER_IDS,  /* a block of 1000, recorded before use (PROTOCOL 9, trap 11) */
    META_REGISTER_BROKER,
    META_HEARTBEAT,
    META_EXPIRE_BROKERS,   /* fences those that were silent for a session */
    META_ALTER_PARTITIONS, /* in-sync sets that a leader proposes (AlterPartition) */
    META_ELECT_LEADERS,
    META_REASSIGN_PARTITIONS,
    META_REPORT_REPLICAS,   /* what a broker has found out of its own replicas */
    META_UNREGISTER_BROKER, /* forgets it */
    META_GIVE_UP_REPLICAS,  /* a broker's, that others have: it has found damage when it started */
    META_UPDATE_FEATURE,
    META_BALANCE, /* leadership back to preferred replicas that are in sync */
    META_GROW,    /* topics of which nobody chose how many get replicas on brokers that have come */
    META_STATE_CONFIGS, /* what the controller's file says counts for all, where nothing does yet */
    META_ADD_VOTER,     /* of the metadata quorum (KIP-853) */
    META_REMOVE_VOTER,
    META_UPDATE_VOTER, /* by itself, to the leader: it is reached elsewhere */
    META_READ,         /* done when the image shows all that was committed when it came (reads.h) */
};

enum meta_config_op {
    META_CONFIG_SET,
    META_CONFIG_DELETE,
    META_CONFIG_APPEND,
    META_CONFIG_SUBTRACT
};

struct meta_config_change {
    const char *key;
    const char *value; /* NULL for DELETE */
    enum meta_config_op op;
};

struct meta_lost { /* a partition of which a broker cannot answer for its data */
    struct uuid topic_id;
    int32_t partition;
    bool damaged; /* else it ends before what was acknowledged */
};

/* What a broker says of itself (KIP-631). */
struct meta_registration {
    const char *cluster_id;
    struct uuid incarnation, directory; /* of its process, of its data */
    const char *rack;                   /* NULL: none */
    const struct image_endpoint *endpoints;
    uint32_t endpoint_count;
    int16_t metadata_version_min, metadata_version_max;
    bool here;                    /* of the process that decides: the one before it has gone */
    const struct meta_lost *lost; /* in any order; what was reported as damaged stays so without */
    uint32_t lost_count;
};

struct meta_heartbeat {
    int64_t offset; /* of the metadata that the broker has applied */
    bool wants_fence, wants_shut_down;
    bool is_caught_up, is_fenced, should_shut_down; /* out */
    int32_t lease_ms;                               /* out: lease.h */
};

/* What a leader proposes of one partition, and what became of it. */
struct meta_alteration {
    struct uuid topic_id;
    int32_t partition;
    int32_t leader_epoch, partition_epoch;
    bool recovering;
    const struct isr_member *members; /* node and broker epoch; lent */
    int32_t member_count;
    int error; /* out: as AlterPartition's; the state below is set also with an error where it is known */
    int32_t leader_now, epoch_now, partition_epoch_now; /* out; -1: not known */
    bool recovering_now;
    int32_t isr_now[ISR_REPLICAS_MAX];
    int32_t isr_now_count;
};

struct meta_election {
    const char *topic;
    int32_t partition;
    int error; /* out */
};

struct meta_reassignment {
    const char *topic;
    int32_t partition;
    const int32_t *replicas; /* NULL: what is under way is called off */
    int32_t replica_count;
    int error;     /* out */
    char why[120]; /* out: a sentence, with an error */
};

enum meta_report {                           /* a replica, and that of its broker */
                   META_REPLICA_DAMAGED = 1, /* its data does not check */
                   META_REPLICA_SHORT = 2,   /* it ends before what it had acknowledged */
                   META_REPLICA_REPAIRED = 3,
                   /* Where the log ends of one that was eligible last: nobody leads (H11). */
                   META_REPLICA_END = 4,
};

struct meta_replica_report {
    struct uuid topic_id;
    int32_t partition;
    enum meta_report report;
    int32_t epoch;  /* END: of the last batch, -1: none; */
    int64_t offset; /* behind it */
    int error;      /* out */
};

enum meta_feature_change { /* as UpdateFeatures' upgrade_type */
                           META_FEATURE_UPGRADE = 1,
                           META_FEATURE_SAFE_DOWNGRADE = 2,
                           META_FEATURE_UNSAFE_DOWNGRADE = 3,
};

/* Of one operation, so that it fits into one batch of records: more are a reason to refuse it. */
enum { META_ELECTIONS_MAX = 1000, META_REASSIGNMENTS_MAX = 200 };

/* A voter that comes, goes, or is reached elsewhere. */
struct meta_voter {
    struct raft_id id;
    const char *name, *host; /* ADD, UPDATE: of the listener where other voters reach it */
    uint16_t port;
    int32_t timeout_ms; /* how long it may wait until it is possible; above 0 */
    bool at_append;     /* ADD: done when it is in force, committed or not */
    int32_t epoch;      /* UPDATE: of the leader that it is for */
    int16_t kraft_version_min, kraft_version_max; /* UPDATE: what the voter reads */
};

/* One operation, embedded in its owner; what it points to is lent until done(). */
struct meta_op {
    void (*done)(struct meta_op *op); /* on the shard that submitted */
    enum meta_kind kind;
    bool validate_only;
    bool
        here; /* decided here or not at all: it was sent by a node that took this one for the leader */

    const char *topic;          /* CREATE_*, DELETE (NULL: by id), ALTER_CONFIGS of a topic */
    struct uuid topic_id;       /* DELETE by id; out for CREATE_TOPIC */
    int32_t partitions;         /* CREATE_TOPIC: -1 default; CREATE_PARTITIONS: the new total */
    int16_t replication_factor; /* -1: default, which may grow */
    bool internal;              /* CREATE_TOPIC: the broker makes one of its own */
    const int32_t *const *assignments; /* NULL, or per new partition the replicas */
    const int32_t *assignment_counts;
    int32_t assignment_count;
    const struct meta_config_change *changes; /* CREATE_TOPIC (SET only), ALTER_CONFIGS */
    uint32_t change_count;
    bool replace_all; /* ALTER_CONFIGS: the legacy form, what is not named is deleted */
    /* ALTER_CONFIGS of a broker (topic NULL): node id, -1: all. UNREGISTER_BROKER: whom. REGISTER_BROKER, HEARTBEAT,
     * ALTER_PARTITIONS, REPORT_REPLICAS: who sends it, and in which life, which REGISTER_BROKER tells.
     * GIVE_UP_REPLICAS: who asks, from which directory, and for how long. */
    int32_t broker;
    int64_t broker_epoch;
    struct uuid directory_id;
    uint64_t asked_ns;
    const struct meta_registration *registration; /* REGISTER_BROKER */
    bool
        displaced; /* out, REGISTER_BROKER: the process that has the id was heard since this one was refused */
    struct meta_heartbeat *heartbeat; /* HEARTBEAT */
    /* ALTER_PARTITIONS: `broker` and `broker_epoch` are the sender's. One batch of records for all of them.
     * Sent to the node that leads, it is done with that node's answer, before the own image shows it; when
     * the answer is lost, it ends with ERR_REQUEST_TIMED_OUT, and with ERR_NOT_CONTROLLER when that node led no
     * more: both may have happened nevertheless. */
    struct meta_alteration *alterations;
    uint32_t alteration_count;
    struct meta_election *elections;
    uint32_t election_count;
    bool unclean; /* ELECT_LEADERS: any live replica, where nobody leads */
    struct meta_reassignment *reassignments; /* those that are valid happen */
    uint32_t reassignment_count;
    bool keep_factor; /* REASSIGN_PARTITIONS: the number of replicas may not change */
    /* REPORT_REPLICAS: as ALTER_PARTITIONS, the sender and how it ends; META_ELECTIONS_MAX. */
    struct meta_replica_report *reports;
    uint32_t report_count;
    const char *feature; /* UPDATE_FEATURE */
    int16_t feature_level;
    enum meta_feature_change feature_change;
    bool own_only;                  /* GROW: the broker's own topics */
    bool later;                     /* GROW, out: something is left that is to wait */
    const struct meta_voter *voter; /* ADD_VOTER, REMOVE_VOTER, UPDATE_VOTER */
    /* meta's: */
    bool more;              /* it takes several batches, and this was not the last */
    uint32_t changed_count; /* partitions, at least: what was decided and undone counts again */
    uint32_t unclean_count; /* of the last batch: whose leader was elected uncleanly */

    int error;                 /* out: 0 or an error */
    char why[200];             /* out: a sentence for the client */
    int64_t producer_id_first; /* out, META_PRODUCER_IDS */
    int32_t producer_id_count;

    struct { /* meta's */
        struct io_message message;
        struct list link;
        unsigned shard;
        struct meta *meta;
        int64_t offset;
        uint64_t arrived_ns;
    } priv;
};
void meta_submit(struct meta *meta, struct io *io, struct meta_op *op);

/* A request of another replica of the metadata log (Vote, BeginQuorumEpoch, EndQuorumEpoch, Fetch), from any
 * shard; embedded in its owner until meta_serve_end() has called ended(). */
struct meta_serve {
    struct raft_message message; /* what has come (quorum_wire.h) */
    struct uuid incarnation;     /* FETCH: of the process that asks; zero: it does not say */
    struct bytes leader_host;    /* BEGIN: where its leader is reached, lent until ended(); */
    uint16_t leader_port;        /* 0: it does not say */
    void (*done)(struct meta_serve *s);  /* on the shard that submitted */
    void (*ended)(struct meta_serve *s); /* likewise */

    int error;                  /* out: ERR_CLOSED, ERR_BUSY, ERR_REQUEST_TIMED_OUT; 0: */
    struct raft_message answer; /* of BEGIN and END: epoch and leader alone */
    struct log_read read; /* a FETCH's records: slices and size; lent until meta_serve_end() */

    struct { /* meta's */
        struct io_message post;
        struct list link;
        struct meta *meta;
        struct io *io; /* of the shard that submitted */
        uint64_t ticket, arrived_ns;
    } priv;
};
void meta_serve(struct meta *meta, struct io *io, struct meta_serve *s);

/* After done(): gives back what the answer lent. */
void meta_serve_end(struct meta_serve *s);

/* This replica of the metadata log; any shard, from meta_open() on. */
struct raft_id meta_self(const struct meta *meta);
const char *meta_cluster_id(const struct meta *meta); /* 22 characters */

/* Whether this broker may take for granted that nobody leads in its place (H17). Any shard, `io` is its own. */
bool meta_leased(const struct meta *meta, struct io *io);

/* `peers` has led to this node there: if it is a voter, and with the directory that is known of it, it is reached there
 * from now on. Shard 0. */
void meta_found_at(struct meta *meta, int32_t node, struct bytes host, uint16_t port);

/* The quorum as this node sees it. Shard 0. */
struct meta_quorum {
    const struct voters *voters; /* lent until the next turn */
    struct raft_status status;
};
struct meta_quorum meta_quorum(const struct meta *meta);

/* Who leads it, as this node knows; RAFT_NOBODY also without a quorum. Shard 0. */
struct raft_leadership meta_leadership(const struct meta *meta);

/* For log_options.known: the topic's name if the log has this partition, committed or not, else NULL; lent
 * until the next image. Shard 0. */
const char *meta_knows(const struct meta *meta, struct uuid topic_id, int32_t partition);

/* For log_options.doubtful: likewise if records say that it is gone, which may be taken back. */
const char *meta_knew(const struct meta *meta, struct uuid topic_id, int32_t partition);
