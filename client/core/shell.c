/* SPDX-License-Identifier: Apache-2.0 */

#include "core/shell.h"

#include <errno.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum {
    SHELL_WORKERS = 1, /* looks up host names */
};

/* What the I/O side may hold; each consumer and answer has a tighter limit of its own. */
static const size_t shell_memory_bytes = (size_t)2 << 30;

struct shell {
    struct io_group *group;
    struct io *io;
    pthread_t thread;
    struct shell_gate gate; /* guards what follows, and the `finished` of calls */
    struct list tasks;
    struct io_message nudge;
    bool nudged;
};

static void shell_mutex_enter(struct gate *g)
{
    struct shell_gate *gate = container_of(g, struct shell_gate, gate);
    pthread_mutex_lock(&gate->mutex);
}

static void shell_mutex_leave(struct gate *g)
{
    struct shell_gate *gate = container_of(g, struct shell_gate, gate);
    pthread_mutex_unlock(&gate->mutex);
}

static void shell_mutex_announce(struct gate *g)
{
    struct shell_gate *gate = container_of(g, struct shell_gate, gate);
    if (gate->waiting) {
        pthread_cond_broadcast(&gate->changed);
    }
}

int shell_gate_open(struct shell_gate *g, bool with_event)
{
    *g = (struct shell_gate){.event_fd = -1};
    g->gate = (struct gate){shell_mutex_enter, shell_mutex_leave, shell_mutex_announce};
    if (with_event) {
        g->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (g->event_fd < 0) {
            return ERR_NO_MEMORY;
        }
    }
    pthread_mutexattr_t kind;
    pthread_mutexattr_init(&kind);
    pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_ADAPTIVE_NP);
    pthread_mutex_init(&g->mutex, &kind);
    pthread_mutexattr_destroy(&kind);
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&g->changed, &clock);
    pthread_condattr_destroy(&clock);
    return 0;
}

void shell_gate_close(struct shell_gate *g)
{
    if (!g->gate.enter) {
        return;
    }
    assert(g->waiting == 0);
    if (g->event_fd >= 0) {
        close(g->event_fd);
    }
    pthread_cond_destroy(&g->changed);
    pthread_mutex_destroy(&g->mutex);
    *g = (struct shell_gate){.event_fd = -1};
}

bool shell_gate_wait(struct shell_gate *g, uint64_t deadline_ns)
{
    int error;
    g->waiting++;
    if (deadline_ns == UINT64_MAX) {
        error = pthread_cond_wait(&g->changed, &g->mutex);
    } else {
        struct timespec until = {(time_t)(deadline_ns / 1000000000),
                                 (long)(deadline_ns % 1000000000)};
        error = pthread_cond_timedwait(&g->changed, &g->mutex, &until);
    }
    assert(g->waiting > 0);
    g->waiting--;
    return error != ETIMEDOUT;
}

void shell_gate_event(struct shell_gate *g, bool readable)
{
    uint64_t value = 1;
    if (g->event_fd >= 0) {
        ssize_t moved = readable ? write(g->event_fd, &value, sizeof value)
                                 : read(g->event_fd, &value, sizeof value);
        (void)moved; /* it is as wanted already */
    }
}

static void shell_run_tasks(struct io_message *m, struct io *io)
{
    struct shell *s = container_of(m, struct shell, nudge);
    struct list batch;
    list_init(&batch);
    gate_enter(&s->gate.gate);
    s->nudged = false;
    list_splice(&batch, &s->tasks);
    struct list *node;
    while ((node = list_pop(&batch))) {
        struct shell_task *task = container_of(node, struct shell_task, link);
        task->posted = false;
        gate_leave(&s->gate.gate);
        task->run(task);
        gate_enter(&s->gate.gate);
    }
    gate_leave(&s->gate.gate);
}

static void shell_started(struct io *io, void *argument)
{
    struct shell *s = argument;
    assert(s->io == io);
}

static void *shell_thread(void *argument)
{
    struct shell *s = argument;
    io_group_run(s->group, shell_started, s);
    return NULL;
}

/* Starts the thread with all signals blocked, whatever the caller's mask is. */
static int shell_start(struct shell *s)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int error = pthread_create(&s->thread, NULL, shell_thread, s);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (!error) {
        pthread_setname_np(s->thread, "leat-io");
    }
    return error;
}

int shell_open(struct shell **out, leat_error *e)
{
    struct io_options options = {.backend = IO_BACKEND_EPOLL,
                                 .shards = 1,
                                 .workers = SHELL_WORKERS,
                                 .memory_bytes = shell_memory_bytes};
    char reason[IO_REASON_SIZE] = "";
    struct io_group *group;
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int error = io_group_open_epoll(&group, &options, reason);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (error) {
        return error_set(e, ERR_NO_MEMORY, "cannot start the client's I/O: %s", reason);
    }
    struct shell *s = memory_alloc(io_memory(io_group_shard(group, 0)), sizeof *s);
    if (!s || shell_gate_open(&s->gate, false)) {
        io_group_close(group);
        return error_set(e, ERR_NO_MEMORY, "cannot start the client's I/O: no memory");
    }
    s->group = group;
    s->io = io_group_shard(group, 0);
    s->nudge.deliver = shell_run_tasks;
    list_init(&s->tasks);
    error = shell_start(s);
    if (error) {
        shell_gate_close(&s->gate);
        io_group_close(group);
        return error_set(e, ERR_NO_MEMORY, "cannot start the client's I/O thread (errno %d)",
                         error);
    }
    *out = s;
    return 0;
}

void shell_close(struct shell *s, struct shell_task *last)
{
    shell_post(s, last);
    pthread_join(s->thread, NULL);
    shell_gate_close(&s->gate);
    io_group_close(s->group);
}

void shell_stop(struct shell *s)
{
    io_stop(s->io);
}

struct io *shell_io(struct shell *s)
{
    return s->io;
}

void shell_post(struct shell *s, struct shell_task *task)
{
    assert(task->run);
    gate_enter(&s->gate.gate);
    if (!task->posted) {
        task->posted = true;
        list_init(&task->link);
        list_append(&s->tasks, &task->link);
        if (!s->nudged) {
            s->nudged = true;
            io_group_signal(s->group, &s->nudge);
        }
    }
    gate_leave(&s->gate.gate);
}

void shell_call(struct shell *s, struct shell_task *task, bool *finished)
{
    *finished = false;
    shell_post(s, task);
    gate_enter(&s->gate.gate);
    while (!*finished) {
        (void)shell_gate_wait(&s->gate, UINT64_MAX);
    }
    gate_leave(&s->gate.gate);
}

void shell_finish(struct shell *s, bool *finished)
{
    gate_enter(&s->gate.gate);
    *finished = true;
    gate_announce(&s->gate.gate);
    gate_leave(&s->gate.gate);
}

int64_t shell_wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

uint64_t shell_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t shell_deadline(int64_t timeout_ms)
{
    return timeout_ms < 0 ? UINT64_MAX : shell_now() + (uint64_t)timeout_ms * 1000000;
}
