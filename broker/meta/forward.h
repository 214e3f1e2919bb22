/* SPDX-License-Identifier: Apache-2.0 */

/* forward: operations that came to a node which does not lead go to the one that does, as requests of Kafka's
 * admin protocol, one each. Private to meta.
 *
 *     waiting --a leader is known--> on its way --answered--> seen here --> done
 *        ^------------- it does not lead any more ----'
 *
 * An operation that succeeded is done when the image of this node shows it, as if it had been decided here. What
 * may have happened twice is not sent twice: its answer is then REQUEST_TIMED_OUT, and the client looks.
 * What a broker tells of its replicas (ALTER_PARTITIONS, REPORT_REPLICAS) waits for no image and is never sent again
 * here: meta.h. */
#pragma once

#include "meta/meta.h"

struct forward;

struct forwards {
    struct list seen;       /* of struct forward: succeeded, waiting for the image */
    uint64_t not_before_ns; /* the last try failed a moment ago */
    uint32_t count;         /* on their way, or waiting for the image */
};

/* Sends what waits, as far as a leader is known; what has waited too long fails with NOT_CONTROLLER, and so
 * does at once what only a leader decides itself, and everything when this node is about to stop. */
void forward_waiting(struct meta *m);

/* There is a new image. */
void forward_look(struct meta *m);
