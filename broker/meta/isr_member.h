/* SPDX-License-Identifier: Apache-2.0 */

/* isr_member: who a leader proposes for its in-sync set: shared by what is asked (meta.h) and what is
 * decided (isr.h). */
#pragma once

#include <stdint.h>

enum { ISR_REPLICAS_MAX = 64 }; /* of a partition */

struct isr_member {
    int32_t id;
    int64_t
        broker_epoch; /* of the life that the leader has heard; -1: not told, and then it does not count */
};
