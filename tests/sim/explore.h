/* SPDX-License-Identifier: Apache-2.0 */

/* explore: crashes what stores things, over and over, and asks an oracle what came back.
 *
 * A walk is the life of one node's disk. The scenario's code recovers, says what it found, works;
 * at a random operation it is dropped where it stands. From that moment several crash images are
 * drawn, each by a kill or a power cut of its own, some crashed again while they recover, some
 * damaged; each is recovered and judged, then thrown away (a probe). One more crash image is where
 * the walk goes on.
 *
 *     life:  start -> recover -> judge -> work -> dropped at operation n -+-> probe, probe, ...
 *       ^                                                                 |
 *       +------------------------------- crash ---------------------------+
 *
 * The oracle lives in the test's memory and survives every crash. In a probe it only compares. */
#pragma once

#include "sim.h"

struct sim_storage;

struct sim_storage_scenario {
    /* Once, before the first life: the disk is empty. NULL: it stays so. */
    void (*prepare)(struct sim_storage *st, void *context);
    /* Before each start of the node: how many shards it has. */
    unsigned (*life)(struct sim_storage *st, void *context);
    /* The node's code, on each shard: recovers, then judges and calls sim_storage_recovered() once.
     */
    void (*start)(struct io *io, void *argument /* the struct sim_storage */);
    /* Damages the image of a power cut and remembers what that allows; false: nothing to damage.
     * NULL: never.
     */
    bool (*damage)(struct sim_storage *st, void *context, struct disk *d);
    void *context;
};

struct sim_storage_options {
    uint64_t seed;
    unsigned lives;          /* of one walk */
    unsigned images;         /* drawn from each crash, beside the one that goes on */
    uint64_t operations_max; /* of a life, before it is crashed */
    uint32_t recovery_crash; /* of 1000: a recovery is crashed as well */
    uint32_t power;          /* of 1000 crashes: power cuts; the others are kills */
    uint32_t damaged;        /* of 1000 images */
    bool fatal_allowed;      /* faults are on: io_fatal() is one more crash */
    uint64_t life_ns_max;    /* virtual time in which a life must end */
    size_t memory_bytes;     /* of a shard */
    uint64_t disk_bytes;
    FILE *story;
};

struct sim_storage_stats {
    uint64_t walks, lives, crashes, recovery_crashes, images, damaged, operations, stops, fatal;
    uint64_t events, virtual_ns;
};

/* One walk. What the scenario may read: */
struct sim_storage {
    struct sim *sim;
    struct sim_node *node;
    const struct sim_storage_scenario *scenario;
    const struct sim_storage_options *options;
    struct sim_storage_stats *stats;
    struct prng random;  /* the scenario's own stream */
    struct prng crash;   /* the explorer's */
    bool probing;        /* this life only recovers and is judged */
    bool powered;        /* since what was judged last, the power was cut or the page cache lost */
    bool damaged;        /* this image was damaged */
    bool stopped;        /* the life before this one ended by io_stop() */
    bool recovered;      /* sim_storage_recovered() was called in this life */
    char violation[600]; /* "" while all is well */
};

/* Walks until the end of its lives or a violation. `st` is filled in; 0, or -1 with st->violation.
 */
int sim_storage_walk(struct sim_storage *st, const struct sim_storage_scenario *scenario,
                     const struct sim_storage_options *options, struct sim_storage_stats *stats);

/* From the scenario: what was recovered has been judged. */
void sim_storage_recovered(struct sim_storage *st);

/* From the scenario or its oracle: the first one counts and ends the walk. */
void sim_storage_violation(struct sim_storage *st, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
