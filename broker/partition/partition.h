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
};

struct partition_table *partition_table_new(struct io *io,
                                            const struct partition_options *options) MUST_CHECK;

/* When no request is left, and before log_set_close(). NULL is accepted. */
void partition_table_free(struct partition_table *t);

/* Brings the table in line with a new image: partitions that appear, change their leader epoch or
 * their configuration, or are gone (their logs are removed). Cost: what has changed since the last
 * image. */
void partition_table_apply(struct partition_table *t, const struct image *image);

/* Asks for every topic's configuration again: after a change of the broker's own. */
void partition_table_reconfigure(struct partition_table *t);

uint32_t partition_count(const struct partition_table *t);

/* ERR_UNKNOWN_TOPIC_OR_PARTITION, ERR_NOT_LEADER_OR_FOLLOWER; current_epoch -1: not checked, else
 * ERR_FENCED_LEADER_EPOCH, ERR_UNKNOWN_LEADER_EPOCH. */
int partition_leader(struct partition_table *t, struct uuid topic_id, int32_t partition,
                     int32_t current_epoch, struct partition **out) MUST_CHECK;

/* The partition if it is here, whoever leads it; NULL otherwise. */
struct partition *partition_find(struct partition_table *t, struct uuid topic_id,
                                 int32_t partition);

struct log *partition_log(struct partition *p);
int32_t partition_epoch(const struct partition *p);
int64_t partition_high_watermark(const struct partition *p);
int64_t partition_log_start(const struct partition *p);

/* Appends as leader. done() comes once, from the loop, in the order of the log for equal acks: when
 * the acks are met; with acks 0, which nobody waits for, when the batch is durable as well, so that
 * `append` is free again. Until append.appended() the batch's bytes are lent. */
struct partition_append {
    struct log_append append; /* batch, waited and appended are set by the caller */
    int16_t acks;
    void (*done)(struct partition_append *a, int error);
    struct {
        struct partition *partition;
    } priv;
};
void partition_append(struct partition *p, struct partition_append *a);

/* Waits for news of a partition: woken() is called at the end of every turn in which the high
 * watermark or the log start has moved, or leadership has changed, until the waiter is removed. A
 * partition that goes wakes its waiters a last time and has removed them then. woken() may remove
 * its own waiter, and no other. */
struct partition_waiter {
    void (*woken)(struct partition_waiter *w);
    struct list link; /* in the partition's list; list_init() before first use */
};
void partition_wait(struct partition *p, struct partition_waiter *w);
void partition_unwait(struct partition_waiter *w);
