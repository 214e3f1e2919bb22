/* SPDX-License-Identifier: Apache-2.0 */

/* spread: the parts of a request that concern partitions, each done on its partition's home shard.
 *
 *     spread_init, spread_add ... --spread_go--> start(share) on every shard that has parts
 *                                     done(spread) <--share_done / part_done--'
 *
 * The parts of one shard are one share: it travels there as one message and comes back as one. The
 * share of the own shard is started by a direct call, so with one shard nothing is posted. While a
 * share is away, its parts belong to the other shard; the request's frame and arena stay in place,
 * because the request is not over before done(). A spread may go again after done(). */
#pragma once

#include "base/uuid.h"
#include "io/io.h"

struct api;
struct api_request;
struct image_topic;
struct share;
struct spread;

/* What a request asks of one partition; the handler's part begins with it. */
struct part {
    struct part *next; /* of the same share */
    struct share *share;
    struct uuid topic_id;
    int32_t partition;
};

/* What a request asks of one shard; the handler's share may begin with it. */
struct share {
    struct io_message message;
    struct spread *spread;
    struct api *home; /* the api of the parts' shard, set before start() */
    struct part *first, *last;
    uint32_t pending; /* parts in progress, and one for the start */
    unsigned shard;
    bool away;
};

struct spread {
    struct api_request *request;
    /* On the home shard: begins the work of every part; part_done() for each, also at once. */
    void (*start)(struct share *s);
    /* A share has come back, on the request's shard, before done(). NULL: not wanted. */
    void (*returned)(struct share *s);
    /* All shares have come back. Called from spread_go() when there was nothing to wait for. */
    void (*done)(struct spread *s);
    char *shares; /* shard_count of share_size bytes */
    size_t share_size;
    unsigned shard_count;
    uint32_t pending;
};

/* ERR_NO_MEMORY: the request's arena is at its limit. `share_size` is at least that of struct
 * share; what follows is zero. */
int spread_init(struct spread *s, struct api_request *r, size_t share_size) MUST_CHECK;

/* Sets topic_id and partition of `part`. */
void spread_add(struct spread *s, struct part *part, const struct image_topic *topic,
                int32_t partition);

void spread_go(struct spread *s);

/* Between the two, done() is not called; the second may call it. */
void spread_hold(struct spread *s);
void spread_unhold(struct spread *s);

void part_done(struct part *part);

/* A start() that begins each part: `begin` says true for one that is done at once, and leaves
 * part_done() to it; false when part_done() was or will be called for it. */
void share_each(struct share *s, bool (*begin)(struct api *home, struct part *part));

/* For shares that do not count their parts: instead of part_done(). */
void share_done(struct share *share);

static inline struct share *spread_share(const struct spread *s, unsigned shard)
{
    assert(shard < s->shard_count);
    return (struct share *)(s->shares + shard * s->share_size);
}
