/* SPDX-License-Identifier: Apache-2.0 */

/* Between cluster.c and cluster_partitions.c. */
#pragma once

#include "meta/cluster.h"
#include "meta/records.h"

static inline bool cluster_mutated(const struct cluster *k, enum cluster_mutant mutant)
{
#ifdef LEAT_SIM
    return k->c->mutant == mutant;
#else
    (void)k;
    (void)mutant;
    return false;
#endif
}

/* Puts the sentence into k->why and returns `error`. */
int cluster_refuse(struct cluster *k, int error, const char *format, ...)
    __attribute__((format(printf, 2 + 1, 4)));

int cluster_emit(struct cluster *k, const struct wire_message *message, int version,
                 const void *body);

/* That a broker is fenced. */
int cluster_emit_fenced(struct cluster *k, const struct image_broker *b);

/* What the decision says of a broker; NULL: unknown. May be changed before partitions follow. */
struct isr_broker *cluster_broker(struct cluster *k, int32_t id);

/* What becomes of a partition of a broker. */
typedef int (*cluster_decide_fn)(void *context, struct cluster *k, const struct image_topic *topic,
                                 int32_t partition, struct isr_state *s);

/* Decides for every partition that has `broker` among its replicas (-1: for every one) and that
 * `concerns` (NULL: all of them) until the batch is full; then k->more. */
int cluster_each(struct cluster *k, int32_t broker,
                 bool (*concerns)(const struct cluster *k, const struct image_topic *topic,
                                  const struct image_partition *p),
                 cluster_decide_fn decide, void *context) MUST_CHECK;

/* Emits what has changed from `before` to `after`. */
int cluster_put(struct cluster *k, struct uuid topic, int32_t partition,
                const struct isr_state *before, const struct isr_state *after) MUST_CHECK;

/* The directories of brokers, in the order of `ids`. False: none is known. */
bool cluster_directories(const struct cluster *k, const int32_t *ids, int32_t count,
                         struct uuid *out);

/* Sets the rules that hold for the partitions of `topic`. */
void cluster_rules_of(struct cluster *k, const struct image_topic *topic);

/* Concerns: a member of the ISR is fenced, as the decision sees it. */
bool cluster_loses(const struct cluster *k, const struct image_topic *topic,
                   const struct image_partition *p);

/* A cluster_decide_fn: brokers have changed. */
int cluster_settle(void *context, struct cluster *k, const struct image_topic *topic,
                   int32_t partition, struct isr_state *s);
