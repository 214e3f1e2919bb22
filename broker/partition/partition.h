/* SPDX-License-Identifier: Apache-2.0 */

/* partition: a replica in its role. Between the api room, which speaks the protocol, and the log,
 * which stores: leadership and epochs, the high watermark and who waits for it, and the partitions
 * of a shard by topic id.
 *
 * A partition lives on its home shard (log_home()). What the api room asks of a partition of
 * another shard travels as one message for each shard; the calls here are made at home. */
#pragma once

#include "base/map.h"
#include "log/log.h"
#include "meta/image.h"
#include "partition/following.h"
#include "partition/leading.h"

struct meta_replica_report;
struct partition;
struct partition_table; /* the partitions of one shard */

struct partition_options {
    int32_t node_id;
    struct log_set *logs;
    /* The configuration of a topic's logs, from its image and the broker's defaults. */
    void (*configure)(void *context, const struct image_topic *topic, struct log_config *out);
    void *context;
    uint64_t retention_check_ms; /* each partition is looked at so often; 0: 300000 */
    uint32_t partitions_max;     /* of this shard; 0: 200000 */
    uint64_t lag_ns;             /* replica.lag.time.max.ms; 0: 30 s */
    /* Whether nobody can lead in this broker's place (H17), called with `context`; NULL: always. */
    bool (*leased)(void *context);
    unsigned mutant; /* simulator builds: enum replication_mutant */
};

/* What replicas need of the room above. Called from the loop and from inside the calls of this header; they only
 * take note. */
struct partition_needs {
    void (*ask)(void *context, struct partition *p);   /* partition_ask() may have something */
    void (*alter)(void *context, struct partition *p); /* partition_proposal() has */
    void (*ail)(void *context, struct partition *p);   /* partition_ails() */
    void *context;
};

struct partition_table *partition_table_new(struct io *io,
                                            const struct partition_options *options) MUST_CHECK;

/* Before the first image. Without it replicas do not follow, and leaders keep whom they have in sync. */
void partition_table_need(struct partition_table *t, const struct partition_needs *needs);

/* done() comes, perhaps before this returns, when no append waits any more for what another leader makes of it: within
 * half a second, if no others come. */
struct partition_settle {
    void (*done)(struct partition_settle *s);
};
void partition_table_settle(struct partition_table *t, struct partition_settle *s);

/* The node stops: what has other replicas is led no more. Who waits for them is told so. */
void partition_table_let_go(struct partition_table *t);

/* When no request is left, nothing asks for its replicas, and before log_set_close(). NULL is accepted. */
void partition_table_free(struct partition_table *t);

/* Brings the table in line with a new image: partitions that appear, change their leader epoch or
 * their configuration, or are gone (their logs are removed). Cost: what has changed since the last
 * image. */
void partition_table_apply(struct partition_table *t, const struct image *image);

/* Asks for every topic's configuration again: after a change of the broker's own. */
void partition_table_reconfigure(struct partition_table *t);

uint32_t partition_count(const struct partition_table *t);

/* Whether this broker may speak for the partitions that it leads without asking those in sync (H17). */
bool partition_table_leased(const struct partition_table *t);

/* ERR_UNKNOWN_TOPIC_OR_PARTITION, ERR_NOT_LEADER_OR_FOLLOWER; current_epoch -1: not checked, else
 * ERR_FENCED_LEADER_EPOCH, ERR_UNKNOWN_LEADER_EPOCH. */
int partition_leader(struct partition_table *t, struct uuid topic_id, int32_t partition,
                     int32_t current_epoch, struct partition **out) MUST_CHECK;

/* As above, of a follower as well if its log is proved in this epoch: it may be read up to its own high watermark
 * (KIP-392). */
int partition_readable(struct partition_table *t, struct uuid topic_id, int32_t partition,
                       int32_t current_epoch, struct partition **out) MUST_CHECK;

bool partition_leads(const struct partition *p);
/* And nobody else can (H17): what this log does not have, nobody has. */
bool partition_leads_surely(const struct partition *p);

/* The partition if it is here, whoever leads it; NULL otherwise. */
struct partition *partition_find(struct partition_table *t, struct uuid topic_id,
                                 int32_t partition);

struct log *partition_log(struct partition *p);
struct uuid partition_topic_id(const struct partition *p);
const char *partition_topic_name(const struct partition *p); /* lent until the next image */
int32_t partition_index(const struct partition *p);
int32_t partition_epoch(const struct partition *p);
int64_t partition_high_watermark(const struct partition *p);
int64_t partition_log_start(const struct partition *p);

/* Of a leader: ERR_OFFSET_NOT_AVAILABLE until everything that was acknowledged before its time is known to be
 * (P29), and while others may lead in its place (H17). */
int partition_latest(const struct partition *p, int64_t *out) MUST_CHECK;

/* Of a leader: 1 when nothing below `offset` comes back on any replica that lives, 0 not yet, else
 * ERR_NOT_LEADER_OR_FOLLOWER. Waiters are woken when it may have changed. LOG_START says whether it is durable here. */
int partition_trimmed(const struct partition *p, int64_t offset) MUST_CHECK;

/* Appends as leader. 0: done() comes once, from the loop, in the order of the log for equal acks: when
 * the acks are met; with acks 0, which nobody waits for, when the batch is durable as well, so that
 * `append` is free again. The batch's bytes are lent until then. Or an error and no done():
 * ERR_NOT_ENOUGH_REPLICAS, ERR_NOT_LEADER_OR_FOLLOWER, ERR_KAFKA_STORAGE_ERROR. */
struct partition_append {
    struct log_append append; /* batch and waited are set by the caller */
    int16_t acks;
    /* Another leader may have it as well: it is waited for, half a second at most, what becomes of it there. */
    bool patient;
    void (*done)(struct partition_append *a, int error);
    struct {
        struct partition *partition;
        struct list link;
        uint32_t leadership;
        bool taken;
        uint64_t until_ns; /* once it is late */
    } priv;
};
int partition_append(struct partition *p, struct partition_append *a) MUST_CHECK;

/* --- replication ------------------------------------------------------------------------------ */

/* Of a leader: a follower's fetch, and what it gets when it has waited (leading.h). */
void partition_fetch(struct partition *p, struct leading_fetch *fetch,
                     struct leading_answer *answer);
void partition_review(const struct partition *p, const struct leading_fetch *fetch,
                      struct leading_answer *answer);

/* Of a leader: the in-sync set that it asks for; false: none now. */
bool partition_proposal(const struct partition *p, struct leading_proposal *out) MUST_CHECK;
void partition_altered(struct partition *p, uint64_t ticket, int error);

/* Of a follower that is not queued: whom it asks, -1: nobody; whether it would ask now, and what for;
 * and the request, false: none now. */
int32_t partition_leader_to_ask(const struct partition *p);
enum following_want partition_wants(struct partition *p);
/* Records came within the last second, or it has only begun to follow this leader. */
bool partition_is_hot(const struct partition *p);
bool partition_ask(struct partition *p, struct following_request *out) MUST_CHECK;
/* A reassignment brings this replica here. */
bool partition_is_added(const struct partition *p);

/* Links for the room above, to queue partitions that ask, that propose, and that ail; taken out when the partition
 * goes. */
struct list *partition_queue(struct partition *p);
struct partition *partition_queued(struct list *link);
struct list *partition_proposing(struct partition *p);
struct partition *partition_that_proposes(struct list *link);
struct list *partition_ailing(struct partition *p);
struct partition *partition_that_ails(struct list *link);

/* The answer, or what came in its way. */
struct partition_answer {
    uint64_t ticket;
    int error;
    bool diverges;
    struct replication_end diverging;
    int64_t high_watermark, log_start;
    int64_t held;          /* below it all replicas have what is committed; -1: it does not say */
    struct bytes records;  /* nothing of it is believed */
    struct buffer *buffer; /* holds them; a reference is taken while they are needed */
};
void partition_answered(struct partition *p, const struct partition_answer *a);

/* --- damage ----------------------------------------------------------------------------------- */

/* Whether the log of this replica fails its checks, or the controller takes it for damaged, or nobody leads and it was
 * eligible last; and there are others. */
bool partition_ails(const struct partition *p);

/* What the controller is to be told of it now (DAMAGED, REPAIRED, END); false: nothing. That it is repaired comes after
 * all of the log was verified, which this begins, and, where another leads, compared with what that one has. */
bool partition_report(struct partition *p, struct meta_replica_report *out);

/* The other replicas, of which one has what is damaged here: the attempt-th, the leader first. -1: there is none. */
int32_t partition_mends_from(const struct partition *p, uint32_t attempt);

/* Of a sound replica whose log is proved in this epoch and not compacted: the node whose log is to be the same, which
 * is the leader's; of a leader that of a follower in sync, if there are two. -1: it cannot be compared now. */
int32_t partition_compares_with(const struct partition *p);
/* Who is asked when the two differ: another live replica in sync, neither this one nor `node`; -1: nobody. */
int32_t partition_third(const struct partition *p, int32_t node);

/* It is compared first, because the controller takes it for damaged, and it is verified. */
bool partition_awaits_comparison(const struct partition *p);
/* What is committed here is what its leader has, or cannot be compared with him in this cluster. */
void partition_compared(struct partition *p);

/* There are other replicas, which may serve what this one cannot read. */
bool partition_is_replicated(const struct partition *p);

/* --- waiting ---------------------------------------------------------------------------------- */

/* Waits for news of a partition: woken() is called at the end of every turn in which the high
 * watermark or the log start has moved, or leadership has changed, until the waiter is removed. A
 * partition that goes wakes its waiters a last time and has removed them then. woken() may remove
 * its own waiter, and no other. */
struct partition_waiter {
    void (*woken)(struct partition_waiter *w);
    struct list link; /* in the partition's list; list_init() before first use */
};
void partition_wait(struct partition *p, struct partition_waiter *w);
/* The same for a follower's fetch: when partition_review() may say something else. */
void partition_wait_follower(struct partition *p, struct partition_waiter *w);
void partition_unwait(struct partition_waiter *w);
