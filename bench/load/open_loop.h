/* SPDX-License-Identifier: Apache-2.0 */

/* open_loop: the parts of `leat-bench` on a client library; private to load.c, load_produce.c,
 * load_consume.c.
 *
 * Record k of producer i is meant for start + (k + i / producers) / rate, whatever happened to the
 * records before it; latency counts from there. So a stall is paid by every record that it held
 * up, not by one (coordinated omission). With rate 0 there is no schedule: records are sent as
 * fast as the library takes them, and latency counts from the call.
 *
 * A record's value begins with OFFSET SIZE MEANING
 *                                   0    8  when it was meant to be sent, clock_ns()
 *                                   8    8  number of the run: records of others are passed over */
#pragma once

#include "base/histogram.h"
#include "load/driver.h"
#include "load/series.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

enum { STAMP_SIZE = 16, PRODUCERS_MAX = 1000, CONSUMERS_MAX = 100, PARTITIONS_MAX = 100000 };

struct load_options {
    struct driver_settings settings;
    const char *driver, *workload;
    uint64_t producers, sample, pid;
    uint64_t consumers; /* each of which reads everything */
    uint64_t
        outstanding; /* records of each producer without an answer, at most; 0: as the buffer has it */
    uint64_t keys; /* so many of them; 0: records have none, and partitions take turns */
    double rate;   /* of all producers together, per second; 0: none */
    double duration, warmup;
    bool consume, json, series;
    uint64_t rate_count;
};

struct load;

struct load_producer {
    struct load *load;
    unsigned number;
    void *producer; /* the driver's */
    pthread_t sender, reporter;
    sem_t answered;        /* counts up to options.outstanding */
    _Atomic bool sent_all; /* and flushed */
    _Atomic uint64_t sent, acked, failed;
    uint64_t acked_in_window;      /* records whose acknowledgement came then */
    struct driver_failure failure; /* the first */
    struct histogram latency;      /* of records meant for the window */
};

struct load_consumer {
    struct load *load;
    unsigned number;
    void *consumer; /* the driver's */
    pthread_t thread;
    _Atomic uint64_t received;
    _Atomic uint64_t expected; /* UINT64_MAX until it is known */
    uint64_t received_in_window;
    struct histogram latency;
};

struct load {
    struct load_options options;
    const struct driver *driver;
    uint64_t run;                         /* number of this run */
    uint64_t start_ns, window_ns, end_ns; /* the schedule's start; the window's start and end */
    struct load_producer *producers;
    struct load_consumer *consumers; /* options.consumers of them */
    struct series acked, consumed;   /* the window by seconds; the latter with consumers alone */
};

/* Each opens its handles; the program ends when that fails. */
void load_producer_open(struct load_producer *p, struct load *load, unsigned number);
void load_consumer_open(struct load_consumer *c, struct load *load, unsigned number);

/* Start the threads, once load->start_ns is set. */
void load_producer_start(struct load_producer *p);
void load_consumer_start(struct load_consumer *c);

/* Wait for the threads and close everything. */
void load_producer_end(struct load_producer *p);
void load_consumer_end(struct load_consumer *c, uint64_t expected);

static inline bool load_in_window(const struct load *load, uint64_t ns)
{
    return ns >= load->window_ns && ns < load->end_ns;
}
