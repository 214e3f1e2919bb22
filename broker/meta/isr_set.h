/* SPDX-License-Identifier: Apache-2.0 */

/* isr_set: sets of brokers, and what else isr.c and isr_change.c ask. The order is kept: of replicas it is that of
 * preference. */
#pragma once

#include "meta/isr.h"

#include <string.h>

static inline void set_add(struct isr_set *s, int32_t id)
{
    if (!isr_has(s, id)) {
        assert(s->count < ISR_REPLICAS_MAX);
        s->ids[s->count++] = id;
    }
}

static inline void set_copy(struct isr_set *s, const int32_t *ids, int32_t count)
{
    assert(count >= 0 && count <= ISR_REPLICAS_MAX);
    s->count = count;
    if (count) {
        memcpy(s->ids, ids, (size_t)count * sizeof *ids);
    }
}

static inline void set_only(struct isr_set *s, int32_t id)
{
    s->count = 1;
    s->ids[0] = id;
}

static inline void set_remove(struct isr_set *s, int32_t id)
{
    int32_t kept = 0;
    for (int32_t i = 0; i < s->count; i++) {
        if (s->ids[i] != id) {
            s->ids[kept++] = s->ids[i];
        }
    }
    s->count = kept;
}

static inline void set_subtract(struct isr_set *s, const struct isr_set *other)
{
    for (int32_t i = 0; i < other->count; i++) {
        set_remove(s, other->ids[i]);
    }
}

static inline bool set_within(const struct isr_set *part, const struct isr_set *whole)
{
    for (int32_t i = 0; i < part->count; i++) {
        if (!isr_has(whole, part->ids[i])) {
            return false;
        }
    }
    return true;
}

static inline bool set_same_order(const struct isr_set *a, const struct isr_set *b)
{
    return a->count == b->count &&
           (a->count == 0 || memcmp(a->ids, b->ids, (size_t)a->count * sizeof a->ids[0]) == 0);
}

static inline bool set_apart(const struct isr_set *a, const struct isr_set *b)
{
    for (int32_t i = 0; i < a->count; i++) {
        if (isr_has(b, a->ids[i])) {
            return false;
        }
    }
    return true;
}

static inline bool is_alive(const struct isr_rules *r, int32_t id)
{
    const struct isr_broker *b = isr_find_broker(r, id);
    return b && !b->fenced;
}

static inline bool differ(const struct isr_state *a, const struct isr_state *b)
{
    return a->leader != b->leader || a->recovering != b->recovering || a->placed != b->placed ||
           !set_same_order(&a->replicas, &b->replicas) || !set_same_order(&a->isr, &b->isr) ||
           !set_same_order(&a->elr, &b->elr) || !set_same_order(&a->last_known, &b->last_known) ||
           !set_same_order(&a->adding, &b->adding) || !set_same_order(&a->removing, &b->removing) ||
           !set_same_order(&a->damaged, &b->damaged) ||
           (a->placed && memcmp(a->directories, b->directories,
                                (size_t)a->replicas.count * sizeof a->directories[0]) != 0);
}

static inline bool other_replicas(const struct isr_state *a, const struct isr_state *b)
{
    return !set_within(&a->replicas, &b->replicas) || !set_within(&b->replicas, &a->replicas);
}

/* How many replicas hold everything. */
static inline int32_t complete_count(const struct isr_state *s)
{
    return s->isr.count + s->elr.count;
}
