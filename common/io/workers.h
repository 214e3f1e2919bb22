/* SPDX-License-Identifier: Apache-2.0 */

/* workers: a few threads for calls that may block.
 *
 * A group has lanes, so that a slow one never holds up another: files, names (DNS), io_work and
 * io_work_behind. Threads start with the first job that finds no idle one, up to the lane's limit: who
 * never uses a lane never pays for it. A finished job is a message to the shard that asked. */
#pragma once

#include "base/list.h"
#include "io/io.h"

#include <pthread.h>

struct posix_io;

struct job {
    struct list link;
    struct posix_io *owner;
    void (*run)(struct job *j); /* on a worker's thread */
    struct io_message done;     /* delivered on the owner's thread afterwards */
};

enum { WORKERS_MAX = 64 };

struct workers {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct list jobs;
    unsigned queued; /* jobs in the list */
    unsigned idle;   /* threads that wait for one */
    unsigned threads;
    unsigned limit;
    bool stopping;
    const char *name; /* of its threads */
    int nice;         /* and how much less they get of the processor than others, 0: the same */
    pthread_t ids[WORKERS_MAX];
};

void workers_init(struct workers *w, const char *name, unsigned limit);

/* Lets running jobs end, drops waiting ones, joins the threads. */
void workers_deinit(struct workers *w);

/* 0, or -EAGAIN when not even one thread can be had. */
int workers_submit(struct workers *w, struct job *j) MUST_CHECK;

/* Takes back a job that no thread has begun: whether that succeeded. */
bool workers_cancel(struct workers *w, struct job *j);
