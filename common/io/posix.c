/* SPDX-License-Identifier: Apache-2.0 */

/* One shard without its backend: the turn, timers, messages, clock and entropy.
 *
 * Invariants
 *   1. An operation is in one place only: with the backend, with a worker, in the heap of timers,
 * or in `ready`. io_cancel() moves it to `ready` only out of a place that gives it back.
 *   2. done() is called by posix_finish() alone, and that by the loop alone.
 *   3. What a shard posts during its turn leaves at the turn's end, in order; what is posted while
 * no turn runs leaves at once, when nothing is gathered. So the order of one sender holds. */
#include "io/posix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "io/stderr_sink.h"

enum { EXIT_FATAL = 70 };

/* The shard whose turn the calling thread is running. */
static _Thread_local struct posix_io *current;

struct posix_io *posix_enter(struct posix_io *p)
{
    struct posix_io *before = current;
    current = p;
    return before;
}

int posix_init(struct posix_io *p, struct io_group *g, unsigned shard,
               const struct io_options *options)
{
    p->group = g;
    p->backend = g->backend;
    io_init(&p->io, g->backend->ops, options->logger, shard, g->shards,
            options->memory_bytes ? options->memory_bytes : SIZE_MAX);
    heap_init(&p->timers);
    list_init(&p->ready);
    list_init(&p->files);
    list_init(&p->sockets);
    list_init(&p->listeners);
    list_init(&p->lookups);
    list_init(&p->buried);
    list_init(&p->buried_listeners);
    p->outboxes = memory_alloc(&g->memory, g->shards * sizeof *p->outboxes);
    if (!p->outboxes) {
        return -ENOMEM;
    }
    p->wake_fd = eventfd(0, EFD_CLOEXEC);
    if (p->wake_fd < 0) {
        return -errno;
    }
    p->opened = true;
    p->io.now_ns = posix_clock(&p->io);
    p->io.wall_ms = posix_wall_ms(&p->io);
    return 0;
}

void posix_deinit(struct posix_io *p)
{
    if (p->opened) {
        lookups_forget_all(p);
        sockets_close_all(p);
        files_close_all(p);
        close(p->wake_fd);
        memory_drop(&p->io.memory);
    }
}

/* --- the turn --------------------------------------------------------------------------------- */

uint64_t posix_wait_ns(struct posix_io *p, uint64_t timeout_ns)
{
    if (timeout_ns == 0 || p->ready_count > 0 || !list_empty(&p->io.turn_ends) ||
        p->outboxes_used != 0) {
        return 0;
    }
    struct heap_node *first = heap_first(&p->timers);
    if (first) {
        uint64_t now = posix_clock(&p->io);
        if (first->key <= now) {
            return 0;
        }
        timeout_ns = first->key - now < timeout_ns ? first->key - now : timeout_ns;
    }
    return inbox_sleep(&p->inbox) ? timeout_ns : 0;
}

void posix_turn_begin(struct posix_io *p)
{
    assert(current == p);
    inbox_awake(&p->inbox);
    sockets_bury(p);
    uint64_t now = posix_clock(&p->io);
    assert(now >= p->io.now_ns);
    p->io.now_ns = now;
    p->io.wall_ms = posix_wall_ms(&p->io);
}

static void posix_deliver(struct posix_io *p)
{
    struct io_message *m = inbox_take(&p->inbox);
    while (m) {
        struct io_message *next = m->next;
        m->deliver(m, &p->io);
        m = next;
    }
}

static void posix_fire(struct posix_io *p)
{
    struct heap_node *node;
    while ((node = heap_pop(&p->timers, p->io.now_ns))) {
        posix_ready(p, posix_op_owner(container_of(node, struct posix_op, timer)), 0);
    }
}

/* Only what is there now: operations that become ready meanwhile are for the next turn. */
static void posix_run_ready(struct posix_io *p)
{
    for (size_t left = p->ready_count; left > 0; left--) {
        struct io_op *op = container_of(list_pop(&p->ready), struct io_op, priv.link);
        struct posix_op *po = posix_op(op);
        assert(po->ready);
        p->ready_count--;
        po->ready = false;
        if (po->kind == OP_CONNECT && po->connect.socket) {
            posix_connected(p, op, po->result);
        } else {
            posix_finish(p, op, po->result);
        }
    }
}

static void posix_flush(struct posix_io *p)
{
    while (p->outboxes_used) {
        unsigned to = (unsigned)__builtin_ctzll(p->outboxes_used);
        p->outboxes_used &= p->outboxes_used - 1;
        struct outbox box = p->outboxes[to];
        p->outboxes[to] = (struct outbox){0};
        struct posix_io *target = p->group->ios[to];
        if (inbox_push(&target->inbox, box.newest, box.oldest)) {
            p->backend->wake(p, target);
        }
    }
}

void posix_turn_end(struct posix_io *p)
{
    posix_deliver(p);
    posix_fire(p);
    posix_run_ready(p);
    io_run_turn_ends(&p->io);
    posix_flush(p);
}

void posix_ready(struct posix_io *p, struct io_op *op, int64_t result)
{
    struct posix_op *po = posix_op(op);
    assert(op->magic == IO_OP_IN_FLIGHT);
    assert(!po->ready);
    po->ready = true;
    po->result = result;
    if (po->kind == OP_ACCEPT) {
        list_remove(&po->accept.link); /* of those that wait for a connection */
    }
    list_init(&op->priv.link);
    list_append(&p->ready, &op->priv.link);
    p->ready_count++;
}

void posix_finish(struct posix_io *p, struct io_op *op, int64_t result)
{
    struct posix_op *po = posix_op(op);
    assert(!po->ready);
    assert(current == p);
    switch ((enum op_kind)po->kind) {
    case OP_READ:
    case OP_WRITE:
    case OP_SYNC:
    case OP_SYNC_ALL:
    case OP_ALLOCATE:
    case OP_TRUNCATE:
    case OP_UNLINK:
        file_op_end(p, po);
        break;
    case OP_ACCEPT:
    case OP_CONNECT:
    case OP_RECV:
    case OP_SEND:
        socket_op_end(p, op);
        break;
    case OP_TIMER:
    case OP_WORK:
        break;
    }
    io_complete(op, result);
}

/* --- workers ---------------------------------------------------------------------------------- */

static void posix_job_run(struct job *j)
{
    struct posix_op *po = container_of(j, struct posix_op, job);
    if (po->kind == OP_WORK) {
        po->work.function(po->work.argument);
    } else {
        po->result = file_execute(po);
    }
}

static void posix_job_done(struct io_message *m, struct io *io)
{
    struct posix_op *po = container_of(m, struct posix_op, job.done);
    posix_finish(posix_of(io), posix_op_owner(po), po->result);
}

void posix_submit(struct posix_io *p, struct workers *lane, struct io_op *op)
{
    struct posix_op *po = posix_op(op);
    po->job = (struct job){.owner = p, .run = posix_job_run, .done = {.deliver = posix_job_done}};
    int error = workers_submit(lane, &po->job);
    if (error) {
        posix_ready(p, op, error);
    }
}

static struct workers *work_lane(struct posix_io *p, const struct posix_op *po)
{
    return po->work.behind ? &p->group->behind : &p->group->work;
}

void posix_work(struct io *io, struct io_op *op, void (*function)(void *argument), void *argument,
                bool behind)
{
    struct posix_io *p = posix_of(io);
    struct posix_op *po = posix_op(op);
    *po = (struct posix_op){.kind = OP_WORK,
                            .work = {.function = function, .argument = argument, .behind = behind}};
    posix_submit(p, work_lane(p, po), op);
}

/* --- timers, cancel --------------------------------------------------------------------------- */

void posix_timer(struct io *io, struct io_op *op, uint64_t deadline_ns)
{
    struct posix_op *po = posix_op(op);
    *po = (struct posix_op){.kind = OP_TIMER};
    heap_add(&posix_of(io)->timers, &po->timer, deadline_ns);
}

void posix_cancel(struct io *io, struct io_op *op)
{
    struct posix_io *p = posix_of(io);
    struct posix_op *po = posix_op(op);
    bool again = po->cancelled;
    po->cancelled = true;
    if (po->ready || again) {
        return;
    }
    switch ((enum op_kind)po->kind) {
    case OP_TIMER:
        heap_remove(&p->timers, &po->timer);
        posix_ready(p, op, -ECANCELED);
        break;
    case OP_WORK:
        if (workers_cancel(work_lane(p, po), &po->job)) {
            posix_ready(p, op, -ECANCELED);
        }
        break;
    case OP_CONNECT:
        connect_cancel(p, op);
        break;
    case OP_READ:
    case OP_ACCEPT:
    case OP_RECV:
    case OP_SEND:
        p->backend->cancel(p, op);
        break;
    case OP_WRITE:
    case OP_SYNC:
    case OP_SYNC_ALL:
    case OP_ALLOCATE:
    case OP_TRUNCATE:
    case OP_UNLINK:
        break;
    }
}

/* --- messages --------------------------------------------------------------------------------- */

void posix_wake(struct posix_io *to)
{
    int before = errno;
    uint64_t one = 1;
    ssize_t written;
    do {
        written = write(to->wake_fd, &one, sizeof one);
    } while (written < 0 && errno == EINTR);
    errno = before;
}

void posix_message(struct posix_io *to, struct io_message *m)
{
    if (inbox_push(&to->inbox, m, m)) {
        posix_wake(to);
    }
}

void posix_post(struct io *io, unsigned to, struct io_message *m)
{
    struct posix_io *p = posix_of(io);
    if (current != p) {
        posix_message(p->group->ios[to], m);
        return;
    }
    struct outbox *box = &p->outboxes[to];
    m->next = box->newest;
    box->newest = m;
    if (!box->oldest) {
        box->oldest = m;
    }
    p->outboxes_used |= UINT64_C(1) << to;
}

/* --- the machine ------------------------------------------------------------------------------ */

uint64_t posix_clock(struct io *io)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int64_t posix_wall_ms(struct io *io)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void posix_random(struct io *io, void *out, size_t size)
{
    uint8_t *at = out;
    while (size > 0) {
        ssize_t got = getrandom(at, size, 0);
        if (got < 0) {
            assert(errno == EINTR);
            continue;
        }
        at += got;
        size -= (size_t)got;
    }
}

struct uuid posix_boot_id(struct io *io)
{
    return posix_of(io)->group->boot_id;
}

/* 36 characters: 32 hexadecimal digits and four dashes. */
static bool boot_id_parse(const char *text, struct uuid *out)
{
    unsigned digits = 0;
    *out = (struct uuid){{0}};
    for (; *text && *text != '\n'; text++) {
        if (*text == '-') {
            continue;
        }
        int digit = *text >= '0' && *text <= '9'   ? *text - '0'
                    : *text >= 'a' && *text <= 'f' ? *text - 'a' + 10
                                                   : -1;
        if (digit < 0 || digits == 32) {
            return false;
        }
        out->bytes[digits / 2] = (uint8_t)(out->bytes[digits / 2] << 4 | digit);
        digits++;
    }
    return digits == 32;
}

/* A machine that hides it gets a new identity at each start: the safe answer, for then nothing that
 * was only in memory is believed. */
struct uuid posix_read_boot_id(void)
{
    char text[64] = {0};
    struct uuid id;
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t got = -1;
    if (fd >= 0) {
        got = read(fd, text, sizeof text - 1);
        close(fd);
    }
    if (got <= 0 || !boot_id_parse(text, &id)) {
        posix_random(NULL, &id, sizeof id);
    }
    return id;
}

void posix_fatal(struct io *io, const char *line)
{
    char text[1200];
    int size = snprintf(text, sizeof text, "leatd: fatal: %s\n", line);
    assert(size > 0 && (size_t)size < sizeof text);
    stderr_last_words(text, (size_t)size);
    _exit(EXIT_FATAL);
}

void posix_stop(struct io *io)
{
    posix_of(io)->stopped = true;
}
