/* SPDX-License-Identifier: Apache-2.0 */

/* What the two halves of the fake broker share: its state, and the answer to one request. */
#pragma once

#include "fake_broker.h"
#include "coordinator.h"

#include "base/prng.h"
#include "io/io.h"
#include "wire/batch.h"
#include "wire/wire.h"

#include <pthread.h>

enum {
    TOPICS = 64,
    PARTITIONS = 16,
    PRODUCERS = 256,
    REMEMBERED = 5,
    GROUPS = 8,
    GROUP_MEMBERS = 4,
    GROUP_OFFSETS = 64,
    FRAME_MAX = 64 << 20,
    NODES = 3,
};

struct stored {
    uint8_t *data;
    size_t size;
    int64_t base, last;
};

struct known {
    int64_t id;
    int16_t epoch;
    int32_t next;
    struct {
        int32_t first, last;
        int64_t base;
    } batches[REMEMBERED];
    unsigned count;
};

struct partition {
    struct stored *batches;
    size_t count, capacity;
    int64_t start, end;
    struct known producers[PRODUCERS];
    unsigned producer_count;
};

struct fake_topic {
    char name[64];
    struct uuid id;
    struct partition partitions[PARTITIONS];
};

struct fake_group {
    char name[64], state[32];
    struct {
        char id[64], topic[64];
        int partitions;
    } members[GROUP_MEMBERS];
    int member_count;
    struct {
        char topic[64];
        int32_t partition;
        int64_t offset; /* -1: none */
    } offsets[GROUP_OFFSETS];
    int offset_count;
};

struct peer {
    struct list link;
    struct fake_broker *broker;
    int32_t node; /* the broker id that it connected to */
    struct io_socket *socket;
    struct io_op recv, send, timer;
    uint8_t *in;
    size_t in_size, in_capacity, in_used;
    struct wire_writer out;
    size_t sent;
    bool closing, answering;
    int64_t waited_ns;
};

/* One broker of the cluster; they share everything but their port. */
struct fake_listener {
    struct fake_broker *broker;
    struct io_listener *listener;
    struct io_op accept;
    struct io_socket *accepted;
    uint16_t port;
    int32_t id;
};

struct fake_broker {
    pthread_mutex_t lock;
    pthread_t thread;
    struct io_group *group;
    struct io *io;
    struct fake_listener listeners[NODES];
    int nodes;
    const char *host;
    int64_t poll_ns; /* how often what waits is looked at */
    struct list peers;
    struct io_message command;
    void (*act)(struct fake_broker *b);
    bool acted;
    pthread_cond_t done;
    int partitions;
    int32_t leader_epoch;
    int64_t next_producer;
    struct prng prng;
    struct fake_faults faults;
    struct fake_counts counts;
    struct fake_topic topics[TOPICS];
    unsigned topic_count;
    bool lost_producers;
    struct fake_group groups[GROUPS];
    unsigned group_count, group_moves;

    const char *racks[NODES]; /* of the nodes; the first NULL: no replicas are told either */
    int32_t down;             /* a node that is in no answer; the next one leads instead; 0: none */
    unsigned deposed;         /* bit of each node that is in the answers and leads nothing */
    unsigned freezing, fencing;
    unsigned frozen; /* bit of each node that takes bytes and does nothing with them */
    unsigned
        fenced_after; /* so many looks at what it was asked a frozen node is `down`; 0: never */
    unsigned finds_behind; /* so many times FindCoordinator names node 1, whoever it is */
    int32_t behind;        /* a node that tells what held before `down` and `deposed`; 0: none */
    int32_t behind_by;     /* so many partitions it has not heard of */
    uint64_t asked[NODES + 1][WIRE_METADATA + 1]; /* requests by node and by the lowest keys */
    int32_t nearest;   /* where clients that name a rack are sent to read, 0: nowhere */
    bool nearest_lags; /* it refuses every offset as out of range */
    uint64_t sent_away, fetched_near;
    bool coordinates; /* the coordinator answers, not fake_groups.c */
    struct coord_group coordinated[COORD_GROUPS];
    struct coord_group saved[COORD_GROUPS]; /* as of the last stable generation */
    struct coord_counts group_counts;
    /* Told of each commit that was taken, unless NULL; `m` NULL: of nobody who is a member. */
    void (*committed)(void *context, const struct coord_group *g, const struct coord_member *m,
                      const struct coord_committed *o);
    void *committed_context;
    int32_t coordinator;
    uint64_t loading_until_ns;
    int16_t join_refusal;  /* the wire code that answers every JoinGroup; 0: none */
    bool commits_unheeded; /* answers to OffsetCommit name no partition */
    int32_t initial_delay_ms, session_ms_min;
    bool generations_too_large; /* SyncGroup: what the leader brings does not fit into a record */
    uint64_t next_member;
    char pending[COORD_MEMBERS][96]; /* member ids that were given out */
    unsigned pending_next;
};

/* Finds or (by name, make) makes a topic. */
struct fake_topic *fake_topic_find(struct fake_broker *b, struct wire_string name,
                                   const struct uuid *id, bool make);

/* NULL for a topic that is NULL or a number out of range. */
struct partition *fake_partition_find(struct fake_broker *b, struct fake_topic *t, int32_t index);

/* fake_groups.c: the requests about groups; ERR_UNSUPPORTED_VERSION for others. */
int fake_groups_answer(struct fake_broker *b, int16_t key, struct reader *r, int version,
                       struct wire_writer *w, struct arena *arena);
bool fake_groups_key(int16_t key);
/* fake_moves.c: replicas that change, and elections. */
int fake_moves_answer(int16_t key, struct reader *r, int version, struct wire_writer *w,
                      struct arena *arena);
bool fake_moves_key(int16_t key);
/* Takes a batch over, whatever its base offset. */
void fake_partition_store(struct partition *p, const void *data, const struct batch_header *h);

/* Who leads a partition, as `node` (0: the controller) has it. */
int32_t fake_leader(const struct fake_broker *b, int32_t partition, int32_t node, int32_t *epoch);

/* Answers one request into p->out; *wait: it has to wait for records. An error ends the connection.
 */
int fake_answer(struct peer *p, const uint8_t *data, size_t size, bool *wait);
