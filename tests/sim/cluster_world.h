/* SPDX-License-Identifier: Apache-2.0 */

/* cluster_world: several whole nodes in one simulated network, each with a disk and the others as peers, and an
 * operator on a machine of its own that makes, configures and deletes topics at any of them. What is held against
 * all of them at every step of the world:
 *
 *   M1   an epoch of the quorum has one leader, whoever is asked
 *   M6   images of one offset are equal, on every node and in every life
 *   M12  the image of a life never goes back
 *   B1   epochs of brokers and of leaders of partitions never go back
 *   B2   no node ends by itself
 *   B3   one that is asked to stop ends
 *
 * and when the faults are over:
 *
 *   C1   all nodes serve, with the same leader, at the same offset, every broker registered and unfenced, every
 *        partition led unless the disk of its replica was lost
 *   C2   every topic whose creation was answered is there, none whose deletion was answered is
 *   C3   a topic that the controller makes then is seen at every node */
#pragma once

#include "node_private.h"

#include "base/prng.h"
#include "sim/sim.h"

enum {
    CLUSTER_NODES_MAX = 7,
    CLUSTER_PEERS_MAX = 5, /* that found it, and vote; the others join */
    CLUSTER_TOPICS_MAX = 200,
    CLUSTER_PARTITIONS = 3, /* of each topic */
    CLUSTER_REPLICAS_MAX = 5,
    CLUSTER_EPOCHS_MAX = 20000,
    CLUSTER_OFFSETS_MAX = 100000,
    CLUSTER_ASKS_MAX = 8,
    CLUSTER_ANSWER_SIZE = 256 << 10,
};

#define CLUSTER_MS UINT64_C(1000000)
#define CLUSTER_DISK_BYTES (UINT64_C(4) << 30)

struct cluster_world;
struct wire_string;

struct member {
    struct cluster_world *world;
    struct sim_node *machine;
    int32_t id;
    unsigned shards;
    struct memory config_memory, memory;
    struct config *config;
    struct node *node; /* of this life */
    struct io_message stop;
    bool stopping;               /* it was asked to, */
    uint64_t stop_ns;            /* at that time */
    uint64_t disk_full_until_ns; /* 0: it has room */
    bool ready, ended;
    bool excused; /* it has ended because its disk failed */
    bool accepts; /* the operator goes on without what is damaged: others have it */
    int status;
    char why[NODE_LINE_SIZE];
    uint64_t compared[4];      /* stretches of logs, by shard */
    uint64_t restart_ns;       /* 0: it runs, or stays down */
    const struct image *image; /* the newest that was looked at, to see when there is another */
    int64_t offset;            /* of it; -1: none yet in this life */
    unsigned lives;
    struct uuid directory;   /* of its newest registration */
    int64_t topics_lost;     /* topics that had been asked for when its disk was lost, */
    int64_t topics_doubtful; /* and when it was registered with another */
};

enum topic_state {
    TOPIC_ASKED,   /* nobody knows */
    TOPIC_THERE,   /* its creation was answered */
    TOPIC_PARTING, /* nobody knows any more */
    TOPIC_GONE,    /* its deletion was answered */
};

struct told_topic {
    char name[24];
    enum topic_state state;
    bool named;          /* it is somebody's: world_disturb() leaves it alone */
    bool again;          /* it may be made again under its name */
    bool compacted;      /* as it is made */
    bool grows;          /* nobody says how many replicas it has */
    uint64_t deleted_ns; /* when the newest deletion that was answered was asked for */
    struct uuid id;      /* of the newest image */
    int32_t leader_epochs[CLUSTER_PARTITIONS];
    int32_t partition_epochs[CLUSTER_PARTITIONS]; /* that the story has told of, + 1 */
    uint32_t eligible[CLUSTER_PARTITIONS];        /* the last that could lead: 1 << id of each */
};

/* A request of the operator on a connection of its own. */
struct ask {
    struct cluster_world *world;
    struct member *member;
    int16_t key, version;
    struct told_topic *topic; /* that is made, deleted or configured */
    struct io_socket *socket;
    struct io_op connect, send, receive;
    struct iovec iovec;
    uint8_t out[4096], in[CLUSTER_ANSWER_SIZE];
    size_t in_size;
    uint64_t asked_ns, deadline_ns;
    bool active, over, answered;
};

enum cluster_fault {
    CLUSTER_KILL,
    CLUSTER_POWER_CUT,
    CLUSTER_STOP,
    CLUSTER_CRASH_IN_OPERATION,
    CLUSTER_ALL_LOSE_POWER,
    CLUSTER_PAUSE,
    CLUSTER_CUT_LINK,
    CLUSTER_ISOLATE,
    CLUSTER_ISOLATE_ONE_WAY,
    CLUSTER_CLOG,
    CLUSTER_RESET,
    CLUSTER_LOSE_DISK,
    CLUSTER_ROT, /* of segments */
    CLUSTER_ROT_BESIDE,
    CLUSTER_ROLL,
    CLUSTER_SLOW_DISK,
    CLUSTER_FULL_DISK,
    CLUSTER_FAILED_SYNC,
    CLUSTER_CLOCK,
    CLUSTER_FAULT_TOTAL,
};

struct cluster_options {
    uint64_t seed;
    uint32_t nodes;
    int16_t replication_factor; /* of topics that are made */
    bool memory;                /* topics have durability=memory */
    bool keeps_power; /* machines lose their power one at a time only, when others have all of it */
    bool swarm;       /* each seed has extremes of its own: snapshots, shards */
    /* Rules left out, in builds of the simulator. */
    unsigned log_mutant, raft_mutant, controller_mutant, replication_mutant, coord_mutant;
    FILE *story; /* NULL: untold */
    bool brief;  /* it leaves single operations of files out */
    /* Something does not hold: `line` says what. Does not return. */
    void (*violated)(void *context, const char *line);
    void *context;
};

struct cluster_world {
    struct cluster_options options;
    uint64_t seed;
    struct sim *sim;
    struct prng random;
    struct prng extremes;
    uint64_t snapshot_bytes; /* of the metadata log between two snapshots; 0: as it is */
    uint32_t piece_bytes;    /* of a snapshot on its way; 0: as it is */
    struct sim_node *client; /* the operator's */
    uint32_t count;
    char peers[64];
    struct member members[CLUSTER_NODES_MAX];
    struct told_topic topics[CLUSTER_TOPICS_MAX];
    uint32_t topic_count;
    struct ask asks[CLUSTER_ASKS_MAX];
    uint32_t asks_open;
    struct memory memory; /* of requests and answers */
    struct arena arena;

    int32_t leaders[CLUSTER_EPOCHS_MAX];  /* of each epoch; 0: not told */
    uint64_t images[CLUSTER_OFFSETS_MAX]; /* sums; 0: not seen */
    int64_t newest;                       /* offset of an image */
    int64_t broker_epochs[CLUSTER_NODES_MAX];
    uint64_t answered; /* creations and deletions */
    uint64_t configured;
    uint64_t reassigned;
    bool compacted_once; /* a topic is compacted no more, and its replicas may differ */
    uint64_t mended;     /* starts without something that was damaged, */
    uint64_t gave_up;    /* and of them those of which the controller said that others have it */
    uint64_t compared;   /* stretches of followers' logs with their leaders' */
    uint64_t looked;     /* at nodes for topics that had been made */
    bool voters_change;  /* among the disturbances, */
    uint64_t voters_from_ns;  /* from this time on; */
    uint64_t voters_asked_ns; /* the last was at that */
    uint64_t voter_changes;   /* that were answered with success */
    uint64_t faults[CLUSTER_FAULT_TOTAL];
    uint64_t failing_until_ns, slow_until_ns; /* disks are; 0: not */
    uint64_t failing_last_ns;
    uint32_t rolling;  /* which node is being restarted, one after the other; 0: none */
    bool roll_stopped; /* it has been asked to stop */
};

/* Nodes 1 .. nodes, none of them started. */
void world_open(struct cluster_world *w, const struct cluster_options *options);
void world_close(struct cluster_world *w);

/* Tells options.violated(), with the seed and the time in front. */
_Noreturn void world_violation(const struct cluster_world *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
#define world_expect(w, condition, ...) ((condition) ? (void)0 : world_violation((w), __VA_ARGS__))

void member_start(struct member *m);
void member_stop(struct member *m);
/* Nothing reaches it from other nodes, or them from it, or both. */
void member_cut(struct member *m, bool in, bool out);

/* Another, empty disk; the node is not running. */
void member_lose_disk(struct member *m);
/* Elsewhere than on port 9092, where clients ask; the node is not running. */
void member_listen(struct member *m, uint16_t port);
bool member_runs(const struct member *m);
/* Its replica; NULL: it has none, or does not serve. */
struct partition *world_partition(const struct member *m, const struct image_topic *t,
                                  int32_t index);

/* min.insync.replicas: what acks=all promises while fewer disks than that are lost (P14). */
int world_min_isr(const struct cluster_world *w);

struct told_topic *world_told(struct cluster_world *w, const char *name);

/* Lets time pass; starts who is due. */
void world_run(struct cluster_world *w, uint64_t ns);

/* --- cluster_faults.c ------------------------------------------------------------------------- */

/* How long things take, how often connections break and what a crash loses, until world_heal(). */
void world_choose_faults(struct cluster_world *w);

/* One fault, or a topic, or nothing. */
void world_disturb(struct cluster_world *w);

/* The same with what only matters to data: disks that are full, slow, lost or fail, clocks, rolling restarts, links
 * to clients. */
void world_rot(struct cluster_world *w);
void world_disturb_more(struct cluster_world *w);

void world_all_lose_power(struct cluster_world *w);

/* For world_run(): what takes its time goes on, and ends. */
void world_faults_go_on(struct cluster_world *w);

/* Nothing is cut, slow or paused any more, and all that do not run are started. */
void world_heal(struct cluster_world *w);

/* --- cluster_settle.c ------------------------------------------------------------------------- */

/* C1 within `ns`. */
void world_await(struct cluster_world *w, uint64_t ns);

/* C1 within `ns`, then C2 and C3. */
void world_settle(struct cluster_world *w, uint64_t ns);

/* C1 now; else what is missing. */
bool world_converged(struct cluster_world *w, char why[static 200]);

/* The node that leads, as all know; NULL: they do not. */
struct member *world_leader(struct cluster_world *w);

/* --- cluster_replicas.c ----------------------------------------------------------------------- */

/* CRC-32C of the batches of a replica below `end`, all of their bytes; of a compacted topic of the newest record of
 * each key, which is WORLD_KEY and a number, unless it is a tombstone. */
#define WORLD_KEY "key"
struct replica_sum {
    int64_t end;
    uint32_t sum;
};

/* `end` -1: its high watermark. It runs. */
struct replica_sum world_sum(struct cluster_world *w, struct member *m, const struct told_topic *t,
                             int32_t partition, int64_t end);

/* C29: all replicas of a partition hold the same bytes below leaders->end, -1: the high watermark. The cluster has
 * converged. *leaders: what its leader holds. */
void world_check_replicas(struct cluster_world *w, const struct told_topic *t, int32_t partition,
                          struct replica_sum *leaders);

/* --- cluster_moves.c -------------------------------------------------------------------------- */

/* Asks for other replicas of one of its partitions, or calls off what is under way. */
void world_reassign(struct cluster_world *w, struct member *m, const struct told_topic *t);
/* For cluster_ask.c: it was accepted. */
bool world_reassigned(struct ask *a);

/* --- cluster_look.c --------------------------------------------------------------------------- */

/* DescribeTopicPartitions of one topic, and DescribeConfigs of its segment.bytes; as ask_begin(). */
struct ask *ask_partitions(struct cluster_world *w, struct member *m, const char *name);
struct ask *ask_configs(struct cluster_world *w, struct member *m, const char *name);

/* Asks any node for a topic whose creation has been answered. */
void world_look(struct cluster_world *w, struct told_topic *t);
/* For cluster_ask.c: judges the answer. False: something else was asked. */
bool world_looked(struct ask *a);

/* --- cluster_tell.c --------------------------------------------------------------------------- */

/* A line of the story, if the partition is another than the last one told. */
void world_tell(struct cluster_world *w, const struct image_topic *t, int32_t partition,
                struct told_topic *known);

/* --- cluster_voters.c ------------------------------------------------------------------------- */

/* One voter comes or goes, asked for at a node by chance. */
void world_change_voters(struct cluster_world *w);
struct ask *world_voter_add(struct cluster_world *w, struct member *at, struct member *who,
                            struct raft_id id);
struct ask *world_voter_remove(struct cluster_world *w, struct member *at, struct raft_id id);
/* What was answered; `why` may be NULL. */
int16_t world_voter_error(struct ask *a, struct wire_string *why);
/* The error, and the sentence that came with it; -1: no answer within `ns`. */
int world_voter_answer(struct cluster_world *w, struct ask *a, uint64_t ns, char why[static 200]);
struct raft_voters member_voters(const struct member *m);
struct raft_id member_self(const struct member *m);

/* --- cluster_ask.c ---------------------------------------------------------------------------- */

/* Asks a node to make the next topic; NULL: too much is being asked, or there are too many. */
struct told_topic *world_create(struct cluster_world *w, struct member *m);

/* The same for a topic of this name, which may be made again when it is gone. */
struct told_topic *world_create_named(struct cluster_world *w, struct member *m, const char *name,
                                      bool compacted);
bool world_create_again(struct cluster_world *w, struct member *m, struct told_topic *t);
void world_delete(struct cluster_world *w, struct member *m, struct told_topic *t);

/* Asks a node to set one key of the topic's configuration. */
void world_configure(struct cluster_world *w, struct member *m, struct told_topic *t,
                     const char *key, const char *value);

/* For cluster_settle.c: asks, and what is answered, in the arena of the world. NULL: too much is being asked. */
struct ask *ask_begin(struct cluster_world *w, struct member *m, int16_t key, int16_t version,
                      const void *request);
void *ask_answer(struct ask *a);
void asks_sweep(struct cluster_world *w);
