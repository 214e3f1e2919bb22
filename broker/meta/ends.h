/* SPDX-License-Identifier: Apache-2.0 */

/* ends: where the logs of a partition's replicas end, while nobody may lead it (H11).
 *
 * When all that might lead have told that they have lost something (`memory` topics after their machines' end), or are
 * damaged, each replica tells the controller where its log ends now. When all that are alive have told it, and those
 * that were eligible last are as many as min.insync.replicas asks for or all there are, or, of `memory` topics, when
 * 30 s have passed, isr_recover() chooses one, as an unclean election that is said in the log. Otherwise it is the
 * operator who elects, and then the longest of those that are there leads. Kept in memory: what another controller
 * needs is told anew. */
#pragma once

#include "meta/isr.h"

enum { ENDS_MAX = 4096, ENDS_REPLICAS_MAX = 8 };

struct ending {
    struct uuid topic_id;
    int32_t partition, leader_epoch; /* another epoch begins anew */
    uint64_t since_ns;               /* the first was told then */
    struct isr_end ends[ENDS_REPLICAS_MAX];
    int32_t count;
};

struct ends {
    struct ending *list; /* of ENDS_MAX, NULL: none was ever told */
    uint32_t count;
};

/* What is known of the partition in this leader epoch, with this end; the oldest makes room. NULL: no memory. Lent
 * until the next call. */
struct ending *ends_add(struct ends *e, struct memory *m, struct uuid topic_id, int32_t partition,
                        int32_t leader_epoch, struct isr_end end, uint64_t now_ns) MUST_CHECK;
/* NULL: nothing is known of it in this epoch. Lent until the next call. */
const struct ending *ends_find(const struct ends *e, struct uuid topic_id, int32_t partition,
                               int32_t leader_epoch);
/* Somebody leads. */
void ends_drop(struct ends *e, struct uuid topic_id, int32_t partition);
bool ends_waited(const struct ending *x, uint64_t now_ns); /* 30 s */
void ends_free(struct ends *e, struct memory *m);
