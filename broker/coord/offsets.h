/* SPDX-License-Identifier: Apache-2.0 */

/* offsets: what a group has committed. Private to broker/coord. */
#pragma once

#include "coord/group.h"

struct offset {
    struct list link; /* in group->offsets, by the first commit */
    int32_t partition, leader_epoch;
    int64_t offset;
    int64_t committed_ms, expires_ms; /* wall clock; -1: as retention says */
    uint8_t *metadata;                /* NULL: none */
    int32_t metadata_size;
    struct uuid topic_id; /* zero: not known, for its record does not say */
    bool going;           /* its deletion is on its way into the log */
    size_t topic_size;
    uint8_t key[]; /* partition, topic: of the index */
};

struct wire_string offset_topic(const struct offset *o);
struct offset *offset_find(struct group *g, struct wire_string topic, int32_t partition);
int offset_set(struct group *g, const struct coord_offset *in, int64_t committed_ms,
               int64_t expires_ms) MUST_CHECK;
/* Whether another topic had this name when it was committed. */
bool offset_is_of_former(const struct group *g, const struct offset *o);
void offset_remove(struct group *g, struct offset *o);
void offsets_clear(struct group *g);
