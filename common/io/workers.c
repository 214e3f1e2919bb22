/* SPDX-License-Identifier: Apache-2.0 */

/* One lock and one condition for a lane: jobs here take microseconds at least, and mostly wait. */
#include "io/workers.h"

#include "io/posix.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

enum { WORKER_STACK_SIZE = 1 << 20 };

void workers_init(struct workers *w, const char *name, unsigned limit)
{
    assert(limit > 0 && limit <= WORKERS_MAX);
    *w = (struct workers){.name = name, .limit = limit};
    list_init(&w->jobs);
    int failed = pthread_mutex_init(&w->lock, NULL) || pthread_cond_init(&w->wake, NULL);
    assert(!failed);
}

static void *workers_main(void *argument)
{
    struct workers *w = argument;
    pthread_setname_np(pthread_self(), w->name);
    if (w->nice) {
        /* On Linux a thread has a nice value of its own; where it cannot be had, it is done without. */
        (void)!setpriority(PRIO_PROCESS, (id_t)gettid(), w->nice);
    }
    pthread_mutex_lock(&w->lock);
    for (;;) {
        while (list_empty(&w->jobs) && !w->stopping) {
            w->idle++;
            pthread_cond_wait(&w->wake, &w->lock);
            w->idle--;
        }
        if (w->stopping) {
            break;
        }
        struct job *j = container_of(list_pop(&w->jobs), struct job, link);
        w->queued--;
        pthread_mutex_unlock(&w->lock);
        j->run(j);
        posix_message(j->owner, &j->done);
        pthread_mutex_lock(&w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

int thread_start(pthread_t *out, size_t stack_size, void *(*run)(void *), void *argument)
{
    /* Signals go to the thread that opened the group. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    if (stack_size) {
        pthread_attr_setstacksize(&attributes, stack_size);
    }
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(out, &attributes, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return -error;
}

int workers_submit(struct workers *w, struct job *j)
{
    assert(j->owner && j->run && j->done.deliver);
    int result = 0;
    pthread_mutex_lock(&w->lock);
    assert(!w->stopping);
    if (w->queued + 1 > w->idle && w->threads < w->limit) {
        if (thread_start(&w->ids[w->threads], WORKER_STACK_SIZE, workers_main, w) == 0) {
            w->threads++;
        } else if (w->threads == 0) {
            result = -EAGAIN;
        }
    }
    if (result == 0) {
        list_init(&j->link);
        list_append(&w->jobs, &j->link);
        w->queued++;
        pthread_cond_signal(&w->wake);
    }
    pthread_mutex_unlock(&w->lock);
    return result;
}

bool workers_cancel(struct workers *w, struct job *j)
{
    pthread_mutex_lock(&w->lock);
    bool waiting = !list_empty(&j->link);
    if (waiting) {
        list_remove(&j->link);
        w->queued--;
    }
    pthread_mutex_unlock(&w->lock);
    return waiting;
}

void workers_deinit(struct workers *w)
{
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_broadcast(&w->wake);
    pthread_mutex_unlock(&w->lock);
    for (unsigned i = 0; i < w->threads; i++) {
        pthread_join(w->ids[i], NULL);
    }
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
}
