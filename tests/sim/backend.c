/* SPDX-License-Identifier: Apache-2.0 */

/* The table of the backend, and the parts of the seam that are neither files nor sockets. */
#include "sim_private.h"

#include <errno.h>
#include <stdio.h>

enum { CLOCK_STEP_NS = 40 }; /* between two looks at io_clock() in one turn */

static uint64_t backend_clock(struct io *io)
{
    struct sim_shard *s = sim_shard(io);
    uint64_t now = s->node->sim->now_ns;
    s->clock_ns = s->clock_ns + CLOCK_STEP_NS > now ? s->clock_ns + CLOCK_STEP_NS : now;
    return s->clock_ns;
}

static int64_t backend_wall_ms(struct io *io)
{
    return sim_wall_ms(sim_shard(io)->node);
}

static void backend_random(struct io *io, void *out, size_t size)
{
    prng_fill(&sim_shard(io)->node->sim->streams[SIM_STREAM_ENTROPY], out, size);
}

static struct uuid backend_boot_id(struct io *io)
{
    return sim_shard(io)->node->boot;
}

/* --- timers, work, messages ---------------------------------------------------------- */

static void finish_plain(struct sim_op *o)
{
    sim_op_ready(o, 0);
}

/* Ready exactly at its deadline; how late the turn is, the world decides. */
static void backend_timer(struct io *io, struct io_op *op, uint64_t deadline_ns)
{
    struct sim_shard *s = sim_shard(io);
    sim_event_at(s->node->sim, &sim_op_new(s, SIM_TIMER, op, finish_plain)->event, deadline_ns);
}

static void backend_cancel(struct io *io, struct io_op *op)
{
    struct sim_op *o = (struct sim_op *)(uintptr_t)op->priv.words[0];
    assert(o && o->op == op && o->shard == sim_shard(io));
    if (o->has_result) {
        return;
    }
    switch (o->kind) {
    case SIM_TIMER:
        sim_op_ready(o, -ECANCELED);
        break;
    case SIM_READ:
        sim_file_cancel(o);
        break;
    case SIM_ACCEPT:
    case SIM_CONNECT:
    case SIM_RECV:
    case SIM_SEND:
        sim_net_cancel(o);
        break;
    default: /* let run to its end */
        break;
    }
}

static void backend_post(struct io *io, unsigned to, struct io_message *m)
{
    struct sim_shard *s = sim_shard(io);
    struct sim *sim = s->node->sim;
    struct sim_shard *target = &s->node->shards[to];
    if (target->stopped) {
        return;
    }
    struct sim_op *o = sim_op_new(target, SIM_MESSAGE, NULL, finish_plain);
    o->message = m;
    uint64_t at = sim->now_ns + sim_delay(&sim->streams[SIM_STREAM_SCHEDULE], &sim->faults.post);
    at = at > s->post_last_ns[to] ? at : s->post_last_ns[to];
    s->post_last_ns[to] = at;
    sim_event_at(sim, &o->event, at);
}

static void work_run(struct sim_shard *s)
{
    struct sim_op *o = s->working;
    o->function(o->argument);
}

static void finish_work(struct sim_op *o)
{
    struct sim_shard *s = o->shard;
    s->working = o;
    if (sim_enter(s, work_run)) {
        sim_op_ready(o, 0);
    }
}

static void backend_work(struct io *io, struct io_op *op, void (*function)(void *argument),
                         void *argument, bool behind)
{
    (void)behind; /* virtual time knows no scarce processor */
    struct sim_op *o = sim_op_new(sim_shard(io), SIM_WORK, op, finish_work);
    o->function = function;
    o->argument = argument;
    sim_op_after(o, &o->shard->node->sim->faults.work, SIM_STREAM_SCHEDULE);
}

/* --- the end, and turns from outside ------------------------------------------------- */

static void backend_fatal(struct io *io, const char *line)
{
    struct sim_shard *s = sim_shard(io);
    snprintf(s->node->last_line, sizeof s->node->last_line, "%s", line);
    if (!s->node->sim->current) {
        fprintf(stderr, "%s: fatal, outside of a turn: %s\n", s->node->name, line);
        abort();
    }
    sim_leave(s, SIM_FATAL);
}

static void backend_stop(struct io *io)
{
    struct sim_shard *s = sim_shard(io);
    s->stopping = true;
    sim_shard_wake(s);
}

/* For tests that drive a shard themselves: events happen until this shard has had a turn. */
static void backend_run_once(struct io *io, uint64_t timeout_ns)
{
    struct sim_shard *s = sim_shard(io);
    struct sim_node *n = s->node;
    struct sim *sim = n->sim;
    unsigned shard = io->shard;
    uint64_t turns = s->turns;
    uint64_t until = timeout_ns > UINT64_MAX - sim->now_ns ? UINT64_MAX : sim->now_ns + timeout_ns;
    const struct heap_node *first;
    while (n->state == SIM_RUNNING && n->shards[shard].turns == turns &&
           (first = heap_first(&sim->events)) && first->key <= until) {
        (void)sim_step(sim);
    }
    if (n->state == SIM_RUNNING && n->shards[shard].turns == turns && until != UINT64_MAX) {
        sim_run(sim, until);
        n->shards[shard].io.now_ns = sim->now_ns;
    }
}

const struct io_ops sim_io_ops = {
    .name = "simulator",
    .clock = backend_clock,
    .wall_ms = backend_wall_ms,
    .random = backend_random,
    .boot_id = backend_boot_id,
    .file_open = sim_file_open,
    .file_close = sim_file_close,
    .file_direct = sim_file_direct,
    .file_size = sim_file_size,
    .file_lock = sim_file_lock,
    .file_map = sim_file_map,
    .read = sim_file_read,
    .write = sim_file_write,
    .sync = sim_file_sync,
    .sync_all = sim_file_sync_all,
    .allocate = sim_file_allocate,
    .truncate = sim_file_truncate,
    .unlink = sim_file_unlink,
    .rename = sim_file_rename,
    .mkdir = sim_file_mkdir,
    .list = sim_file_list,
    .disk = sim_file_disk,
    .listen = sim_net_listen,
    .accept = sim_net_accept,
    .listener_close = sim_net_listener_close,
    .connect = sim_net_connect,
    .recv = sim_net_recv,
    .send = sim_net_send,
    .socket_close = sim_net_socket_close,
    .socket_peer = sim_net_socket_peer,
    .timer = backend_timer,
    .cancel = backend_cancel,
    .post = backend_post,
    .work = backend_work,
    .fatal = backend_fatal,
    .stop = backend_stop,
    .run_once = backend_run_once,
};
