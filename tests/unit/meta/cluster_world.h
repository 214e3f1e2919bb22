/* SPDX-License-Identifier: Apache-2.0 */

/* A controller without a log, its sessions and a clock, for the tests of cluster.c: each w_ function
 * is one operation that is decided and committed at once. */
#pragma once

#include "support.h"

#include "meta/cluster.h"

enum { WORLD_TIMEOUT = 1000 };

struct world {
    struct bench b;
    struct cluster_sessions sessions;
    uint64_t now;
    struct cluster k; /* of the last decision */
    struct controller c;
};

/* `brokers` of them, 1 .., registered, let in, each in a directory of its own. */
void world_open(struct world *w, int brokers);
void world_close(struct world *w);

void w_begin(struct world *w);
int w_end(struct world *w, int error);

/* An operation of meta.h, decided once; its error. */
int w_decide(struct world *w, struct meta_op *op);
/* Decided again until there is no more of it; its error. */
int w_run(struct world *w, struct meta_op *op);

/* A registration of the `life`-th process of the broker, by its own directory. */
struct cluster_registration registration_of(const struct world *w, int32_t broker, uint64_t life);
int w_register(struct world *w, const struct cluster_registration *q, int64_t *epoch);
int w_heartbeat(struct world *w, int32_t broker, bool want_shut_down,
                struct cluster_heartbeat_answer *out);
int w_fence(struct world *w, int32_t broker);
int w_expire(struct world *w);
int w_unregister(struct world *w, int32_t broker);
int w_elect(struct world *w, const char *topic, int32_t partition, bool unclean);
int w_reassign(struct world *w, const char *topic, int32_t partition, const int32_t *to,
               int32_t count);
int w_alter(struct world *w, const char *topic, int32_t partition, const int32_t *members,
            int32_t count);

/* A topic whose partitions all are on these brokers; `min` in sync. */
void w_topic(struct world *w, const char *name, int32_t partitions, const int32_t *replicas,
             int32_t count, const char *min);
/* One partition that lives in memory. */
void w_memory_topic(struct world *w, const char *name, const int32_t *replicas, int32_t count,
                    const char *min);

const struct image_partition *w_partition(const struct world *w, const char *topic,
                                          int32_t partition);
/* "leader replicas/ISR/ELR/last known" and then +adding -removing !damaged, if there are any. */
const char *w_text(const struct world *w, const char *topic, int32_t partition,
                   char out[static 96]);

#define EXPECT(w, topic, partition, text)                                                          \
    do {                                                                                           \
        char said[96];                                                                             \
        cr_expect_str_eq(w_text(w, topic, partition, said), text, "%s", said);                     \
    } while (0)
