/* SPDX-License-Identifier: Apache-2.0 */

/* What replica.c (nodes, images, the end), fetcher.c (followers' fetches), alter.c (in-sync sets), compare.c (what is
 * the same) and repair.c (damage) share. */
#pragma once

#include "replica/replica.h"

#include "base/errors.h"
#include "net/peer.h"
#include "wire/wire.h"

enum {
    FETCHER_MAGIC = 0x66657463,
    FETCH_PARTS_MAX = 1000, /* partitions of one request */
    /* Of one answer, and of one partition: larger ones do not copy faster, and producers wait behind them. */
    FETCH_BYTES_MAX = 2 << 20,
    FETCH_PART_BYTES_MAX = 256 << 10,
    FETCH_HOT_MAX = 16, /* requests in flight to one node */
    FETCH_QUIET_MAX = 8,
    FETCH_REPORT_MAX = 8,
    FETCH_HOT_WAIT_MS = 100,
    FETCH_QUIET_WAIT_MS = 500,
    ALTER_PARTS_MAX = 1000, /* in-sync sets of one operation */
};

enum fetch_kind { FETCH_HOT, FETCH_QUIET, FETCH_REPORT, FETCH_KINDS };

/* A node that leads what is followed here. */
struct fetcher {
    uint32_t magic;
    struct replica *replica;
    int32_t node;
    struct list link;  /* in replica->fetchers */
    struct peer *peer; /* NULL: its address is not known */
    struct peer_close close;
    bool closing;
    struct list asking; /* of struct partition: partition_queue() */
    uint32_t in_flight[FETCH_KINDS];
};

struct replica {
    struct io *io;
    struct replica_options options;
    const struct image *image;
    struct list fetchers;
    struct io_turn turn; /* something asks */

    /* alter.c */
    struct list proposing; /* of struct partition: partition_proposing() */
    struct meta_op op;
    bool altering;
    struct meta_alteration *alterations;
    struct isr_member *members;
    uint64_t *tickets;

    /* pace.c */
    struct {
        int64_t rate;       /* bytes a second of replicas that are added */
        int64_t left;       /* that may be asked for now; below 0: owed */
        uint64_t filled_ns; /* as of then */
        struct io_op alarm;
    } pace;

    /* compare.c */
    struct comparing {
        struct comparison *running; /* of one partition */
        struct peer *peer;          /* to `node`; NULL: none */
        int32_t node;
        bool closing;
        struct peer_close close;
        struct io_op alarm;
        uint64_t alarm_ns;
        uint64_t next_ns;    /* the round, not before; 0: nothing yet */
        uint64_t awaited_ns; /* what somebody waits for, not before */
        uint64_t round_ns;   /* when the round began */
        uint64_t rate;       /* bytes a second */
        uint32_t topic, topics_left;
        int32_t partition;
        uint64_t bytes; /* of this round so far */
        struct replica_status status;
    } comparing;

    /* repair.c */
    struct list ailing; /* of struct partition: partition_ailing() */
    struct list mends;
    struct io_op repair_alarm;
    uint32_t repair_attempts; /* that have failed: another replica is asked next */
    struct meta_op report_op;
    struct meta_replica_report *reports; /* of the operation that is away */
    uint64_t report_next_ns, mend_next_ns;

    bool stopping;
    struct replica_stop *stop; /* until it is done */
};

/* replica.c */
void replica_idle(struct replica *r); /* something has ended */
/* Where the node is reached, as the image says; host NULL: it does not. */
struct peer_address replica_address(const struct replica *r, int32_t node);

/* A connection of its own to a node, at an address of replica_address(), for one request at a time. */
int replica_peer(struct replica *r, int32_t node, const struct peer_address *address,
                 uint32_t answer_bytes_max, struct peer **out) MUST_CHECK;

/* fetcher.c */
void fetchers_ask(void *context, struct partition *p); /* partition_needs.ask */
void fetchers_go(struct replica *r);
void fetchers_apply(struct replica *r);
void fetchers_close(struct replica *r);

/* alter.c */
void alter_ask(void *context, struct partition *p); /* partition_needs.alter */
void alter_go(struct replica *r);

/* pace.c */
void pace_apply(struct replica *r);
/* Whether replicas that are added may ask now; if not, fetchers_go() follows when they may. */
bool pace_allows(struct replica *r);
void pace_took(struct replica *r, uint64_t bytes);
void pace_close(struct replica *r);

/* compare.c */
void compare_go(struct replica *r);
void compare_close(struct replica *r);
bool compare_is_idle(const struct replica *r);

/* repair.c */
void repair_ask(void *context, struct partition *p); /* partition_needs.ail */
void repair_go(struct replica *r);
void repair_close(struct replica *r);
bool repair_is_idle(const struct replica *r);
