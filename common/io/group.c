/* SPDX-License-Identifier: Apache-2.0 */

/* A group: the shards of one process, their threads and their workers.
 *
 * Shard 0 runs on the thread that calls io_group_run(), which also takes the signals; every other
 * shard has a thread of its own. A shard that has stopped lets its backend end what is with the
 * kernel, on that same thread, so that io_group_close() may free memory that operations named. */
#include "io/posix.h"

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>

enum {
    SHARDS_MAX = 64,
    WORKERS_DEFAULT = 2,
    NICE_BEHIND = 10, /* a tenth of what another thread gets, where both want all of it */
};

static_assert(SHARDS_MAX <= 64, "outboxes_used has one bit for each shard");

static int group_refuse(char *reason, int error, const char *text)
{
    snprintf(reason, IO_REASON_SIZE, "%s (%s)", text, strerrorname_np(-error));
    return error;
}

/* The group owns the memory that it stands in. */
static struct io_group *group_make(const struct posix_backend *backend,
                                   const struct io_options *options)
{
    struct memory memory;
    memory_init(&memory, SIZE_MAX);
    struct io_group *g = memory_alloc(&memory, sizeof *g);
    struct posix_io **ios = memory_alloc(&memory, options->shards * sizeof *ios);
    if (!g || !ios) {
        memory_drop(&memory);
        return NULL;
    }
    unsigned workers = options->workers ? options->workers : WORKERS_DEFAULT;
    g->memory = memory;
    g->backend = backend;
    g->shards = options->shards;
    g->disabled_features = options->disabled_features;
    g->ios = ios;
    g->boot_id = posix_read_boot_id();
    workers_init(&g->files, "io-files", workers);
    workers_init(&g->work, "io-work", workers);
    workers_init(&g->behind, "io-behind", workers);
    g->behind.nice = NICE_BEHIND;
    list_init(&g->listening);
    int failed = pthread_mutex_init(&g->lock, NULL);
    assert(!failed);
    return g;
}

static int group_open_shard(struct io_group *g, unsigned shard, const struct io_options *options,
                            char *reason)
{
    struct posix_io *p =
        memory_alloc_aligned(&g->memory, g->backend->size, _Alignof(struct posix_io));
    if (!p) {
        return group_refuse(reason, -ENOMEM, "no memory for a shard");
    }
    memset(p, 0, g->backend->size);
    g->ios[shard] = p;
    int error = posix_init(p, g, shard, options);
    if (error) {
        return group_refuse(reason, error, "cannot open the eventfd of a shard");
    }
    error = g->backend->open(p, options, reason);
    if (error) {
        posix_deinit(p);
        p->opened = false;
    }
    return error;
}

int group_open(struct io_group **out, const struct posix_backend *backend,
               const struct io_options *options, char *reason)
{
    if (options->shards == 0 || options->shards > SHARDS_MAX || options->workers > WORKERS_MAX) {
        return group_refuse(reason, -EINVAL, "shards must be 1 to 64 and workers at most 64");
    }
    struct io_group *g = group_make(backend, options);
    if (!g) {
        return group_refuse(reason, -ENOMEM, "no memory for the shards");
    }
    for (unsigned i = 0; i < g->shards; i++) {
        int error = group_open_shard(g, i, options, reason);
        if (error) {
            io_group_close(g);
            return error;
        }
    }
    *out = g;
    return 0;
}

int io_group_open_epoll(struct io_group **out, const struct io_options *options, char *reason)
{
    char unread[IO_REASON_SIZE];
    reason = reason ? reason : unread;
    reason[0] = 0;
    if (options->backend == IO_BACKEND_URING) {
        return group_refuse(reason, -EINVAL, "this program was built without io_uring");
    }
    return group_open(out, &epoll_backend, options, reason);
}

struct io *io_group_shard(struct io_group *g, unsigned shard)
{
    assert(shard < g->shards);
    return &g->ios[shard]->io;
}

/* --- running ---------------------------------------------------------------------------------- */

struct run {
    struct posix_io *shard;
    void (*start)(struct io *io, void *argument);
    void *argument;
    pthread_t thread;
};

static void *run_shard(void *argument)
{
    struct run *run = argument;
    struct posix_io *p = run->shard;
    p->stopped = false;
    struct posix_io *outer = posix_enter(p);
    posix_turn_begin(p);
    run->start(&p->io, run->argument);
    posix_turn_end(p);
    while (!p->stopped) {
        io_run_once(&p->io, UINT64_MAX);
    }
    p->backend->leave(p);
    posix_enter(outer);
    return NULL;
}

void io_group_run(struct io_group *g, void (*start)(struct io *io, void *argument), void *argument)
{
    struct run runs[SHARDS_MAX];
    for (unsigned i = 0; i < g->shards; i++) {
        runs[i] = (struct run){.shard = g->ios[i], .start = start, .argument = argument};
        if (i > 0) {
            int error = thread_start(&runs[i].thread, 0, run_shard, &runs[i]);
            if (error) {
                io_fatal(&g->ios[0]->io,
                         "the thread of shard %u cannot be started (%s): raise the "
                         "limit of processes or lower the number of shards",
                         i, strerrorname_np(-error));
            }
        }
    }
    run_shard(&runs[0]);
    for (unsigned i = 1; i < g->shards; i++) {
        pthread_join(runs[i].thread, NULL);
    }
}

void io_group_signal(struct io_group *g, struct io_message *m)
{
    assert(m->deliver);
    posix_message(g->ios[0], m);
}

void io_group_close(struct io_group *g)
{
    if (!g) {
        return;
    }
    for (unsigned i = 0; i < g->shards; i++) {
        if (g->ios[i] && g->ios[i]->opened) {
            struct posix_io *outer = posix_enter(g->ios[i]);
            g->backend->leave(g->ios[i]);
            posix_enter(outer);
        }
    }
    workers_deinit(&g->files);
    workers_deinit(&g->work);
    workers_deinit(&g->behind);
    for (unsigned i = 0; i < g->shards; i++) {
        if (g->ios[i] && g->ios[i]->opened) {
            g->backend->close(g->ios[i]);
            posix_deinit(g->ios[i]);
        }
    }
    assert(list_empty(&g->listening));
    pthread_mutex_destroy(&g->lock);
    struct memory memory = g->memory;
    memory_drop(&memory);
}

int io_raise_file_limit(uint64_t *limit)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0) {
        return -errno;
    }
    if (files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &files) < 0) {
            return -errno;
        }
    }
    *limit = files.rlim_cur;
    return 0;
}
