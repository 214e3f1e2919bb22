/* SPDX-License-Identifier: Apache-2.0 */

/* log_crash: broker/log under the explorer.
 *
 * The node recovers its logs, shows them to the oracle, then every shard acts at random: appends
 * (as leader and as follower, waited for or not), truncates, moves the start, removes, makes topics
 * anew, begins epochs, reads, checkpoints, stops. `enum log_mutant` leaves a rule out: the explorer
 * must notice. */
#pragma once

#include "explore.h"
#include "log_oracle.h"

enum log_action {
    LOG_ACT_APPEND,
    LOG_ACT_FOLLOW, /* several batches of a leader at once, with gaps, or what must be refused */
    LOG_ACT_TRUNCATE,
    LOG_ACT_START,
    LOG_ACT_REMOVE, /* and open again under the same id: a partition that moved away and back */
    LOG_ACT_RECREATE,
    LOG_ACT_ANEW, /* the log begins anew, above its end or below */
    LOG_ACT_EPOCH,
    LOG_ACT_READ,
    LOG_ACT_CHECKPOINT,
    LOG_ACT_RETAIN,
    LOG_ACT_RETRY,     /* an idempotent producer's batch once more */
    LOG_ACT_WATERMARK, /* the high watermark follows the durable end */
    LOG_ACT_COMPACT,   /* a pass over a compacted log */
    LOG_ACT_PAUSE,     /* long enough for idle work */
    LOG_ACT_CLOSE,
    LOG_ACTIONS,
};

struct log_crash_options {
    uint64_t seed;
    uint32_t mutants; /* enum log_mutant */
    bool memory_logs;
    bool damage;
    bool disk_full; /* every walk; else some */
    bool compact;   /* every walk compacts, and often; else some do */
    bool plain; /* one segment for each log, never removed: appends, truncations, starts, epochs */
    FILE *story;
};

struct log_crash_stats {
    struct sim_storage_stats storage;
    uint64_t actions[LOG_ACTIONS];
    uint64_t judged, clean, torn, replayed, damage_found, damage_silent, disk_full;
    uint64_t duplicates, set_aside, replaced;
};

/* One walk. 0, or -1 and `why`. */
int log_crash_walk(const struct log_crash_options *options, struct log_crash_stats *stats,
                   char why[static 600]);
