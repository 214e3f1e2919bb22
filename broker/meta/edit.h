/* SPDX-License-Identifier: Apache-2.0 */

/* edit: how an image is made, and what of it the public header does not show. Private to meta.
 *
 * image_fork() gives a draft: an image that shares everything with its base and belongs to its
 * maker until image_seal(). Edits change the draft alone: what it shares is copied first. A failed
 * edit leaves the draft as it was.
 *
 *     image_empty, image_fork --> draft --image_seal--> sealed --last image_release--> dead
 *
 * A draft is released like any image. image_release() on any shard puts a dead image on the stack
 * of its home, whose shard frees it at the next fork. */
#pragma once

#include "base/errors.h"
#include "base/memory.h"
#include "meta/image.h"

enum {
    IMAGE_BROKERS_MAX = 1024,
    IMAGE_FEATURES_MAX = 8,
    IMAGE_FEATURE_NAME_MAX = 40, /* with its NUL */
    IMAGE_LEADER_SAME = -2,      /* of a change: as in PartitionChangeRecord */
};

struct image_home;

/* Where images live: one for each metadata log, on its shard. `memory` is lent until
 * image_home_free(), by when every image is released. */
struct image_home *image_home_new(struct memory *memory, const char *cluster_id) MUST_CHECK;
void image_home_free(struct image_home *home);

/* NULL: out of memory. */
struct image *image_empty(struct image_home *home) MUST_CHECK;
struct image *image_fork(const struct image *base) MUST_CHECK;
void image_seal(struct image *draft);

/* --- edits of a draft: 0, ERR_NO_MEMORY, or ERR_MALFORMED when they do not fit the image ------
 *
 * Of every partition holds, whatever the bytes that made it: nodes are named once; ISR, ELR,
 * LastKnownELR, adding, removing and damaged are among the replicas; ISR, ELR and LastKnownELR do
 * not meet, nor do adding and removing, nor damaged and ISR or ELR; a leader is in the ISR, and alone
 * in it while it recovers; the newest unclean epoch is none of the future. */

struct image_partition_spec {
    int32_t leader, leader_epoch, partition_epoch, unclean_epoch;
    bool recovering;
    const int32_t *replicas, *isr;
    int32_t replica_count, isr_count;
    const struct uuid *directories; /* one for each replica; NULL: none is known */
    struct image_more more;
};

enum image_recovery { IMAGE_RECOVERY_SAME, IMAGE_RECOVERED, IMAGE_RECOVERING };

/* What changes of a partition: a pointer that is NULL, IMAGE_LEADER_SAME and IMAGE_RECOVERY_SAME
 * mean that it stays. Naming a leader, even the same, begins its next epoch; any change begins the
 * next partition epoch. Where directories are known, other replicas come with theirs. */
struct image_partition_change {
    int32_t leader;
    bool unclean; /* the leader's next epoch begins uncleanly; a leader is named */
    enum image_recovery recovery;
    const int32_t *replicas, *isr;
    int32_t replica_count, isr_count;
    const struct uuid *directories;
    struct image_more more;
};

struct image_endpoint_spec {
    struct bytes name, host;
    uint16_t port;
};

struct image_broker_spec {
    int32_t id;
    int64_t epoch;
    struct uuid incarnation, directory;
    struct bytes rack;                           /* data NULL: none */
    const struct image_endpoint_spec *endpoints; /* 1 to IMAGE_ENDPOINTS_MAX */
    uint32_t endpoint_count;
    bool fenced, shutting_down;
};

int image_add_topic(struct image *draft, struct bytes name, struct uuid id) MUST_CHECK;
int image_remove_topic(struct image *draft, struct uuid id) MUST_CHECK;
/* Whether nobody has chosen how many replicas it has. A new topic: true of the broker's own, false of others. */
int image_set_factor_open(struct image *draft, struct uuid id, bool open) MUST_CHECK;
/* From now on the draft remembers what is removed from it: image_topic_removed() finds it, NULL: it does not. */
void image_remember_removed(struct image *draft);
const struct image_topic *image_topic_removed(const struct image *image, struct uuid id);
/* In the order of their removal; NULL: there are not so many. */
const struct image_topic *image_removed_at(const struct image *image, uint32_t index);
/* `partition` is the next number of the topic. */
int image_add_partition(struct image *draft, struct uuid id, int32_t partition,
                        const struct image_partition_spec *spec) MUST_CHECK;
int image_change_partition(struct image *draft, struct uuid id, int32_t partition,
                           const struct image_partition_change *change) MUST_CHECK;
/* value.data NULL deletes. */
int image_set_topic_config(struct image *draft, struct bytes name, struct bytes key,
                           struct bytes value) MUST_CHECK;
int image_set_broker_config(struct image *draft, int32_t node, struct bytes key,
                            struct bytes value) MUST_CHECK;
int image_put_broker(struct image *draft, const struct image_broker_spec *spec) MUST_CHECK;
int image_set_fenced(struct image *draft, int32_t id, int64_t epoch, bool fenced) MUST_CHECK;
/* Until the broker registers anew. */
int image_set_shutting_down(struct image *draft, int32_t id, int64_t epoch) MUST_CHECK;
int image_remove_broker(struct image *draft, int32_t id, int64_t epoch) MUST_CHECK;
int image_set_feature(struct image *draft, struct bytes name, int16_t level) MUST_CHECK;
int image_set_next_producer_id(struct image *draft, int64_t next) MUST_CHECK;
/* The value of the newest VotersRecord, as it stands in the log. */
int image_set_voters(struct image *draft, struct bytes value) MUST_CHECK;
void image_set_kraft_version(struct image *draft, int16_t version);
void image_set_controller(struct image *draft, int32_t node);
/* Of the newest record: its offset, leader epoch and timestamp. */
void image_set_position(struct image *draft, int64_t offset, int32_t epoch, int64_t timestamp);

/* --- reading ---------------------------------------------------------------------------------- */

struct image_feature {
    char name[IMAGE_FEATURE_NAME_MAX];
    int16_t level;
};

/* A topic whose name differs from `name` in '.' and '_' at most (the same name included). */
const struct image_topic *image_topic_colliding(const struct image *image, struct bytes name);
uint32_t image_feature_count(const struct image *image);
/* Where the image lives: for what a decision needs for a moment. */
struct memory *image_memory(const struct image *image);
const struct image_feature *image_feature_at(const struct image *image, uint32_t index);
int64_t image_next_producer_id(const struct image *image);
struct bytes image_voters(const struct image *image); /* size 0: none yet */
int16_t image_kraft_version(const struct image *image);
int32_t image_epoch(const struct image *image);
int64_t image_timestamp(const struct image *image);
uint64_t image_partition_total(const struct image *image);

/* The nodes that have configurations of their own, rising, -1 (all) first. */
uint32_t image_configured_count(const struct image *image);
int32_t image_configured_at(const struct image *image, uint32_t index,
                            const struct image_config **configs, uint32_t *count);

/* Asserts the shape of the trees and that counts agree. */
void image_check(const struct image *image);
