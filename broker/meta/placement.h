/* SPDX-License-Identifier: Apache-2.0 */

/* placement: which brokers hold new partitions. Pure: brokers with their load, what the topic has
 * already, numbers and a seed -> a list of replicas for each new partition, the first of which is
 * to lead. Equal inputs give equal lists.
 *
 *   R1  The replicas of a partition are different brokers; fenced ones only where there are not
 *       enough others, and never first.
 *   R2  Racks before counts: a partition is on as many racks as there are, and its replicas are
 *       spread over them as evenly as the racks have brokers.
 *   R3  Of a topic that begins here and has no racks, brokers lead and hold numbers of partitions
 *       that differ by at most one; with racks of equal size too, but for what R2 costs.
 *   R4  Between equals the one with less load is taken: partitions that it leads, or holds, and
 *       then bytes; then the seed decides. */
#pragma once

#include "base/errors.h"
#include "base/memory.h"

enum { PLACEMENT_BROKERS_MAX = 1024, PLACEMENT_WHY_SIZE = 200 };

struct placement_broker {
    int32_t id;
    const char *rack; /* NULL: none; those are a rack of their own together */
    bool fenced;
    uint32_t leads, holds; /* partitions, of all topics */
    uint64_t bytes;
    uint32_t topic_leads, topic_holds; /* of the topic that grows */
};

struct placement_request {
    const struct placement_broker *brokers;
    uint32_t broker_count;
    int32_t partitions, factor;
    uint64_t seed;
};

/* Fills `replicas` with `factor` ids for each partition: 0, ERR_NO_MEMORY, or
 * ERR_INVALID_REPLICATION_FACTOR with a sentence. */
int placement_choose(const struct placement_request *q, struct memory *memory, int32_t *replicas,
                     char why[static PLACEMENT_WHY_SIZE]) MUST_CHECK;
