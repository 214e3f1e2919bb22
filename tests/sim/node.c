/* SPDX-License-Identifier: Apache-2.0 */

/* Machines: how node code is entered and left, how operations become results, how a node ends.
 *
 *     DOWN --sim_node_start--> RUNNING --every shard stopped--> STOPPED
 *                                 |----kill, power cut, io_fatal, assertion, freeze----> ...
 *     any end --sim_node_start--> RUNNING
 *
 * While node code runs, sim.current names its shard and sim.escape the place to leave to: a crash
 * in the middle of a seam call, io_fatal() and a failed assertion jump there, and the node is ended
 * from outside. So nothing of a node is on the stack when its memory goes. */
#include "sim_private.h"

#include <signal.h>
#include <stdio.h>

/* --- operations ---------------------------------------------------------------------- */

static void op_fire(struct sim *sim, struct sim_event *e)
{
    struct sim_op *o = container_of(e, struct sim_op, event);
    o->finish(o);
}

struct sim_op *sim_op_new(struct sim_shard *s, enum sim_op_kind kind, struct io_op *op,
                          void (*finish)(struct sim_op *o))
{
    struct list *spare = list_pop(&s->node->sim->spare_ops);
    struct sim_op *o = spare ? container_of(spare, struct sim_op, link) : sim_memory(sizeof *o);
    o->event.fire = op_fire;
    o->shard = s;
    o->kind = kind;
    o->op = op;
    o->finish = finish;
    list_init(&o->accept);
    list_append(&s->ops, &o->link);
    if (op) {
        op->priv.words[0] = (uintptr_t)o;
    }
    return o;
}

void sim_op_free(struct sim_op *o)
{
    sim_event_cancel(o->shard->node->sim, &o->event);
    sim_net_forget(o);
    struct sim *sim = o->shard->node->sim;
    list_remove(&o->link);
    if (o->iovecs != o->few) {
        free(o->iovecs);
    }
    memset(o, 0, offsetof(struct sim_op, few));
    list_init(&o->link);
    list_append(sim->spare_ops.next,
                &o->link); /* in front: the next one takes what is in the cache */
}

void sim_ops_free(struct sim *sim)
{
    struct list *node;
    while ((node = list_pop(&sim->spare_ops))) {
        free(container_of(node, struct sim_op, link));
    }
}

void sim_op_pieces(struct sim_op *o, const struct iovec *iovecs, unsigned count)
{
    o->iovecs = count <= array_size(o->few) ? o->few : sim_memory(count * sizeof *o->iovecs);
    o->count = count;
    o->lent = iovecs;
    for (unsigned i = 0; i < count; i++) {
        o->iovecs[i] = iovecs[i];
        o->size += iovecs[i].iov_len;
    }
}

bool sim_op_pieces_stand(const struct sim_op *o)
{
    return memcmp(o->lent, o->iovecs, o->count * sizeof *o->iovecs) == 0;
}

void sim_op_after(struct sim_op *o, const struct sim_latency *l, enum sim_stream stream)
{
    struct sim *sim = o->shard->node->sim;
    sim_event_at(sim, &o->event, sim->now_ns + sim_delay(&sim->streams[stream], l));
}

void sim_op_ready(struct sim_op *o, int64_t result)
{
    struct sim_shard *s = o->shard;
    sim_event_cancel(s->node->sim, &o->event);
    o->result = result;
    o->has_result = true;
    list_remove(&o->link);
    list_append(&s->ready, &o->link);
    sim_trace(s->node->sim, SIM_WHAT_FINISH, s->node->index * 64 + s->io.shard, o->kind,
              (uint64_t)result);
    sim_shard_wake(s);
}

void sim_shard_wake(struct sim_shard *s)
{
    struct sim *sim = s->node->sim;
    if (s->stopped || heap_contains(&s->turn.node)) {
        return;
    }
    uint64_t at = sim->now_ns + sim_delay(&sim->streams[SIM_STREAM_SCHEDULE], &sim->faults.turn);
    sim_event_at(sim, &s->turn, at > s->node->paused_until_ns ? at : s->node->paused_until_ns);
}

/* --- turns --------------------------------------------------------------------------- */

/* Only one world at a time can turn failed assertions into the end of a node: a signal handler has
 * no argument. */
static struct sim *assert_catcher;

static void assert_caught(int signal_number)
{
    struct sim *sim = assert_catcher;
    if (sim && sim->current) {
        snprintf(sim->current->node->last_line, SIM_LINE_MAX, "%s",
                 signal_number == SIGABRT ? "an assertion failed" : "a wild pointer");
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, signal_number);
        sigprocmask(SIG_UNBLOCK, &set, NULL);
        sim->ending = SIM_ASSERTED;
        siglongjmp(sim->escape, 1);
    }
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

void sim_catch_asserts(struct sim *sim, bool on)
{
    if (on) {
        assert(!assert_catcher);
        assert_catcher = sim;
    } else if (assert_catcher == sim) {
        assert_catcher = NULL;
    } else {
        return;
    }
    signal(SIGABRT, on ? assert_caught : SIG_DFL);
#ifndef __SANITIZE_ADDRESS__ /* which says more about it */
    disk_on_wild_pointer(on ? assert_caught : NULL);
#endif
}

_Noreturn void sim_leave(struct sim_shard *s, enum sim_state why)
{
    struct sim *sim = s->node->sim;
    assert(sim->current && sim->current->node == s->node);
    sim->ending = why;
    siglongjmp(sim->escape, 1);
}

void sim_broken(struct sim_node *n, const char *what)
{
    snprintf(n->last_line, sizeof n->last_line, "%s", what);
    if (!n->sim->options.catch_asserts) {
        fprintf(stderr, "%s: %s\n", n->name, what);
        abort();
    }
    sim_node_end(n, SIM_ASSERTED);
}

bool sim_enter(struct sim_shard *s, void (*function)(struct sim_shard *s))
{
    struct sim *sim = s->node->sim;
    struct sim_node *n = s->node;
    assert(!sim->current);
    assert(n->state == SIM_RUNNING);
    sim->current = s;
    sim->stepped = n;
    if (sigsetjmp(sim->escape, 0) == 0) {
        function(s);
        sim->current = NULL;
        return true;
    }
    sim->current = NULL;
    sim_node_end(n, sim->ending);
    return false;
}

static void complete(struct sim_shard *s, struct sim_op *o)
{
    struct io_op *op = o->op;
    struct io_message *message = o->message;
    int64_t result = o->result;
    enum sim_op_kind kind = o->kind;
    if (o->socket_out && result == 0) {
        *o->socket_out = o->socket;
    }
    sim_op_free(o);
    if (op) {
        op->priv.words[0] = 0;
        io_complete(op, result);
    } else if (kind == SIM_MESSAGE) {
        message->deliver(message, &s->io);
    } else {
        assert(kind == SIM_START);
        s->start(&s->io, s->start_argument);
    }
}

/* Handles what was ready when the turn began; what its handlers make ready waits for the next. */
static void turn_run(struct sim_shard *s)
{
    uint64_t count = 0;
    list_each (node, &s->ready) {
        count++;
    }
    for (; count > 0; count--) {
        complete(s, container_of(list_first(&s->ready), struct sim_op, link));
    }
    io_run_turn_ends(&s->io);
}

static void clock_read(struct sim_shard *s)
{
    const struct sim_node *n = s->node;
    s->io.now_ns = n->sim->now_ns;
    s->io.wall_ms = sim_wall_ms(n);
}

static void shard_stop(struct sim_shard *s)
{
    struct sim_node *n = s->node;
    s->stopped = true;
    sim_shard_clear(s);
    for (unsigned i = 0; i < n->shard_count; i++) {
        if (!n->shards[i].stopped) {
            return;
        }
    }
    sim_node_end(n, SIM_STOPPED);
}

static void turn_fire(struct sim *sim, struct sim_event *e)
{
    struct sim_shard *s = container_of(e, struct sim_shard, turn);
    if (sim->now_ns < s->node->paused_until_ns) {
        sim_event_at(sim, e, s->node->paused_until_ns);
        return;
    }
    sim_trace(sim, SIM_WHAT_TURN, s->node->index, s->io.shard, 0);
    s->turns++;
    clock_read(s);
    if (!sim_enter(s, turn_run)) {
        return;
    }
    if (s->stopping) {
        shard_stop(s);
    } else if (!list_empty(&s->ready)) {
        sim_shard_wake(s);
    }
}

bool sim_point(struct sim_shard *s)
{
    struct sim_node *n = s->node;
    n->operations++;
    if (n->operations != n->crash_at) {
        return false;
    }
    n->crash_at = 0;
    static const enum sim_state ends[] = {
        [SIM_CRASH_KILL] = SIM_KILLED,
        [SIM_CRASH_POWER] = SIM_POWER_CUT,
        [SIM_CRASH_FREEZE] = SIM_FROZEN,
    };
    if (n->sim->current) {
        sim_leave(s, ends[n->crash_kind]);
    }
    sim_node_end(n, ends[n->crash_kind]);
    return true;
}

void sim_point_call(struct sim_shard *s)
{
    bool crashed = sim_point(s);
    assert(!crashed); /* it would have left, had it been called by the node */
}

/* --- nodes --------------------------------------------------------------------------- */

static void node_sink(void *context, enum logger_level level, const char *module, const char *line)
{
    const struct sim_node *n = context;
    sim_story(n->sim, "%s %s %s: %s", n->name, logger_level_name(level), module, line);
}

struct sim_node *sim_node_new(struct sim *sim, const char *name)
{
    assert(sim->node_count < SIM_NODES_MAX);
    assert(strlen(name) < SIM_NAME_MAX);
    struct sim_node *n = sim_memory(sizeof *n);
    n->sim = sim;
    n->index = sim->node_count;
    memcpy(n->name, name, strlen(name) + 1);
    n->disk = disk_new(sim->options.disk_bytes);
    n->logger = (struct logger){LOGGER_DEBUG, node_sink, n};
    n->port_next = 32768;
    list_init(&n->files);
    n->boot = sim_boot_new(sim);
    sim->nodes[sim->node_count++] = n;
    sim_name(sim, name, n);
    return n;
}

void sim_node_start(struct sim_node *n, unsigned shards,
                    void (*start)(struct io *io, void *argument), void *argument)
{
    struct sim *sim = n->sim;
    assert(n->state != SIM_RUNNING);
    assert(shards >= 1 && shards <= SIM_SHARDS_MAX);
    n->state = SIM_RUNNING;
    n->shard_count = shards;
    n->shards = sim_memory(shards * sizeof *n->shards);
    n->operations = 0;
    n->paused_until_ns = 0;
    n->last_line[0] = 0;
    sim_trace(sim, SIM_WHAT_START, n->index, shards, 0);
    sim_story(sim, "%s starts, shards=%u", n->name, shards);
    for (unsigned i = 0; i < shards; i++) {
        struct sim_shard *s = &n->shards[i];
        io_init(&s->io, &sim_io_ops, sim->options.story ? &n->logger : NULL, i, shards,
                sim->options.memory_bytes);
        s->magic = SIM_SHARD_MAGIC;
        s->node = n;
        s->turn.fire = turn_fire;
        list_init(&s->ops);
        list_init(&s->ready);
        list_init(&s->listeners);
        list_init(&s->sockets);
        clock_read(s);
        if (start) {
            s->start = start;
            s->start_argument = argument;
            sim_op_ready(sim_op_new(s, SIM_START, NULL, NULL), 0);
        }
    }
}

/* Forgets everything of a shard that the world keeps. */
void sim_shard_clear(struct sim_shard *s)
{
    list_each (node, &s->ops) {
        sim_op_free(container_of(node, struct sim_op, link));
    }
    list_each (node, &s->ready) {
        sim_op_free(container_of(node, struct sim_op, link));
    }
    sim_event_cancel(s->node->sim, &s->turn);
}

static void disk_crash_as(struct sim_node *n, enum sim_state why)
{
    struct prng *random = &n->sim->streams[SIM_STREAM_CRASH];
    if (why == SIM_POWER_CUT) {
        disk_power_cut(n->disk, &n->sim->faults.crash, random);
        n->boot = sim_boot_new(n->sim);
    } else if (why == SIM_STOPPED) {
        disk_kill(n->disk, &(struct disk_crash){0}, random);
    } else if (why != SIM_FROZEN) {
        disk_kill(n->disk, &n->sim->faults.crash, random);
    }
}

void sim_node_end(struct sim_node *n, enum sim_state why)
{
    struct sim *sim = n->sim;
    assert(!sim->current);
    assert(n->state == SIM_RUNNING);
    sim_trace(sim, SIM_WHAT_END, n->index, why, n->operations);
    sim_story(sim, "%s ends: %s after %llu operations%s%s", n->name, sim_state_name(why),
              (unsigned long long)n->operations, n->last_line[0] ? ": " : "", n->last_line);
    n->state = why;
    n->crash_at = 0;
    sim->stepped = n;
    for (unsigned i = 0; i < n->shard_count; i++) {
        sim_shard_clear(&n->shards[i]);
        sim_net_drop(&n->shards[i], why == SIM_POWER_CUT);
    }
    list_each (node, &n->files) {
        struct sim_file *f = container_of(node, struct sim_file, link);
        list_remove(node);
        free(f->path);
        free(f);
    }
    disk_crash_as(n, why);
    for (unsigned i = 0; i < n->shard_count; i++) {
        memory_drop(&n->shards[i].io.memory);
    }
    free(n->shards);
    n->shards = NULL;
    n->shard_count = 0;
}

void sim_node_kill(struct sim_node *n)
{
    if (n->state == SIM_RUNNING) {
        sim_node_end(n, SIM_KILLED);
    }
}

void sim_node_power_cut(struct sim_node *n)
{
    if (n->state == SIM_RUNNING) {
        sim_node_end(n, SIM_POWER_CUT);
    } else {
        disk_crash_as(n, SIM_POWER_CUT);
        n->state = SIM_POWER_CUT;
    }
}

void sim_node_freeze(struct sim_node *n)
{
    if (n->state == SIM_RUNNING) {
        sim_node_end(n, SIM_FROZEN);
    }
}

void sim_crash_after(struct sim_node *n, uint64_t operations, enum sim_crash_kind kind)
{
    n->crash_at = operations ? n->operations + operations : 0;
    n->crash_kind = kind;
}

/* --- looking at nodes ---------------------------------------------------------------- */

uint64_t sim_node_operations(const struct sim_node *n)
{
    return n->operations;
}

void sim_node_pause(struct sim_node *n, uint64_t until_ns)
{
    n->paused_until_ns = until_ns;
}

enum sim_state sim_node_state(const struct sim_node *n)
{
    return n->state;
}

const char *sim_state_name(enum sim_state state)
{
    static const char *const names[] = {
        [SIM_DOWN] = "down",
        [SIM_RUNNING] = "running",
        [SIM_STOPPED] = "stopped",
        [SIM_KILLED] = "killed",
        [SIM_POWER_CUT] = "power cut",
        [SIM_FATAL] = "fatal",
        [SIM_ASSERTED] = "assertion failed",
        [SIM_FROZEN] = "frozen",
    };
    return names[state];
}

struct sim_node *sim_node(struct sim *sim, unsigned index)
{
    assert(index < sim->node_count);
    return sim->nodes[index];
}

unsigned sim_node_count(const struct sim *sim)
{
    return sim->node_count;
}

struct sim *sim_node_world(const struct sim_node *n)
{
    return n->sim;
}

const char *sim_node_name(const struct sim_node *n)
{
    return n->name;
}

struct io *sim_node_shard(struct sim_node *n, unsigned shard)
{
    assert(n->state == SIM_RUNNING);
    assert(shard < n->shard_count);
    return &n->shards[shard].io;
}

const char *sim_node_last_line(const struct sim_node *n)
{
    return n->last_line;
}

void sim_node_clock(struct sim_node *n, int64_t skew_ms, int32_t drift_ppm)
{
    n->skew_ms = skew_ms;
    n->drift_ppm = drift_ppm;
}

int64_t sim_wall_ms(const struct sim_node *n)
{
    enum { NOVEMBER_2023 = 1700000000 };
    int64_t ms = (int64_t)(n->sim->now_ns / 1000000);
    return NOVEMBER_2023 * INT64_C(1000) + ms + ms / 1000 * n->drift_ppm / 1000 + n->skew_ms;
}

struct uuid sim_node_boot(const struct sim_node *n)
{
    return n->boot;
}

void sim_node_set_boot(struct sim_node *n, struct uuid boot)
{
    assert(n->state != SIM_RUNNING);
    n->boot = boot;
}

struct uuid sim_boot_new(struct sim *sim)
{
    struct uuid boot;
    prng_fill(&sim->streams[SIM_STREAM_BOOT], &boot, sizeof boot);
    return boot;
}

struct disk *sim_node_disk(struct sim_node *n)
{
    return n->disk;
}

struct disk *sim_node_swap_disk(struct sim_node *n, struct disk *d)
{
    assert(n->state != SIM_RUNNING);
    struct disk *old = n->disk;
    n->disk = d;
    return old;
}

struct sim_node *sim_current(const struct sim *sim)
{
    return sim->current ? sim->current->node : NULL;
}
