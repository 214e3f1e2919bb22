/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster_client.h"

#include "consumer/poller.h"
#include "producer/sender.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    CLIENT_HEAP = 64 << 20,
    CLIENT_VIEW = 200,    /* records of a poll */
    CLIENT_REPORTS = 200, /* fetched at once */
};

/* The library is joined into one object whose other names are local (CMakeLists.txt), as in libleat.a. */
#define CLIENT_API __attribute__((visibility("default")))

struct cluster_client {
    struct sim *sim;
    struct sim_node *machine;
    char name[16];
    struct client_options options;

    /* Of one life: */
    struct memory heap;
    struct gate gate;
    leat_options core_options;
    leat_producer_options producer_options;
    leat_consumer_options consumer_options;
    struct core core;
    struct accumulator accumulator;
    struct sender sender;
    struct fetcher fetcher;
    struct poller poller;
    struct group group;
    struct commit *commit; /* under way, or NULL */
    struct io *io;
    struct io_op tick;
    bool running;
};

/* The accumulator's clock has no context; all clients stand in one world, and it has one time. */
static struct sim *clock_of;

static uint64_t clock_now(void)
{
    return sim_now(clock_of);
}

static void arrived(struct fetcher *f)
{
}

static void group_changed(struct group *g)
{
}

static bool is_member(const struct cluster_client *c)
{
    return c->options.group != NULL;
}

/* --- what has come ----------------------------------------------------------------------------- */

static void tell_reports(struct cluster_client *c)
{
    leat_report reports[CLIENT_REPORTS];
    size_t count;
    while ((count = accumulator_reports(&c->accumulator, reports, CLIENT_REPORTS)) > 0) {
        for (size_t i = 0; i < count; i++) {
            const leat_report *r = &reports[i];
            const struct client_report told = {(uintptr_t)r->tag, r->code, r->message, r->offset};
            c->options.program.settled(c->options.program.context, &told);
        }
    }
}

/* A partition whose start was asked for knows it as soon as it is fetched. */
static void tell_starts(struct cluster_client *c)
{
    list_each (node, &c->fetcher.assigned) {
        struct consumer_partition *p = container_of(node, struct consumer_partition, link);
        if (p->want != 0 && p->state != PARTITION_RESOLVING && p->position >= 0) {
            p->want = 0;
            c->options.program.starts(c->options.program.context, p->topic, p->partition,
                                      p->position);
        }
    }
}

static void tell_record(const struct cluster_client *c, const leat_record *r)
{
    bool tombstone = !r->value.data && r->header_count == 1;
    leat_bytes value = tombstone ? r->headers[0].value : r->value;
    const struct client_record told = {r->topic,   r->partition, r->offset,
                                       value.data, value.len,    tombstone};
    c->options.program.reads(c->options.program.context, &told);
}

static void tell_records(struct cluster_client *c)
{
    leat_error e = {0};
    int count;
    poller_begin(&c->poller);
    while ((count = poller_next(&c->poller, &e)) > 0) {
        for (int i = 0; i < count; i++) {
            tell_record(c, &c->poller.records[i]);
        }
        poller_begin(&c->poller);
    }
    if (count < 0) {
        c->options.program.fails(c->options.program.context, count, e.message);
    }
}

/* --- of a member ------------------------------------------------------------------------------- */

static void tell_changes(struct cluster_client *c)
{
    struct list *node;
    while ((node = list_pop(&c->group.changes))) {
        struct group_change *change = container_of(node, struct group_change, link);
        c->group.change_count--;
        c->options.program.changes(c->options.program.context, change->topic, change->partition,
                                   change->kind == LEAT_ASSIGNED, c->group.previous_generation);
        memory_free(&c->heap, change);
    }
}

static void tell_commit(struct cluster_client *c, bool acknowledged)
{
    for (size_t i = 0; i < c->commit->count; i++) {
        const struct commit_part *part = &c->commit->parts[i];
        c->options.program.commits(c->options.program.context, part->topic, part->number,
                                   part->offset, acknowledged);
    }
}

/* The names of what is committed are its partitions', which may be lost before the end is told. */
static void hold_commit(struct cluster_client *c, int by)
{
    for (size_t i = 0; i < c->commit->count; i++) {
        c->commit->parts[i].partition->references += (unsigned)by;
    }
}

static void tell_commit_end(struct cluster_client *c)
{
    if (!c->commit || !c->commit->ended) {
        return;
    }
    if (c->commit->error.code == 0) {
        tell_commit(c, true);
    }
    hold_commit(c, -1);
    group_commit_free(&c->group, c->commit);
    c->commit = NULL;
}

/* As leat_poll() and leat_rebalance(): what has come, view by view. */
static void poll_member(struct cluster_client *c)
{
    enum { VIEWS_MAX = 50 };
    leat_error e = {0};
    int count = 1;
    for (int views = 0; count > 0 && views < VIEWS_MAX; views++) {
        group_poll_begin(&c->group);
        poller_begin(&c->poller);
        count = poller_next(&c->poller, &e);
        tell_changes(c);
        for (int i = 0; i < count; i++) {
            tell_record(c, &c->poller.records[i]);
        }
        group_poll_end(&c->group, io_now(c->io));
    }
    if (count < 0) {
        c->options.program.fails(c->options.program.context, count, e.message);
    }
    tell_commit_end(c);
}

static void poll_reader(struct cluster_client *c)
{
    tell_starts(c);
    tell_records(c);
}

static void ticked(struct io_op *op, int64_t result)
{
    struct cluster_client *c = container_of(op, struct cluster_client, tick);
    if (c->options.produces) {
        tell_reports(c);
    }
    if (c->options.consumes) {
        (is_member(c) ? poll_member : poll_reader)(c);
    }
    c->options.program.tick(c->options.program.context);
    if (c->options.produces && c->accumulator.wake) {
        c->accumulator.wake = false;
        sender_wake(&c->sender);
    }
    if (c->options.consumes) {
        c->poller.wake = false;
        fetcher_wake(&c->fetcher);
    }
    if (is_member(c)) {
        group_wake(&c->group);
    }
    io_timer(c->io, &c->tick, io_now(c->io) + c->options.tick_ns);
}

/* --- a life ------------------------------------------------------------------------------------ */

static void open_producer(struct cluster_client *c)
{
    leat_producer_options o = LEAT_PRODUCER_OPTIONS_INIT;
    o.acks = c->options.acks;
    o.idempotence = c->options.idempotent ? LEAT_IDEMPOTENCE_ON : LEAT_IDEMPOTENCE_OFF;
    o.linger_ms = c->options.linger_ms;
    o.compression = c->options.codec;
    o.batch_bytes = 64 << 10;
    o.buffer_bytes = 4 << 20;
    o.request_timeout_ms = 3000;
    o.delivery_timeout_ms = c->options.delivery_timeout_ms;
    c->producer_options = o;
    uint64_t seed;
    io_random(c->io, &seed, sizeof seed);
    accumulator_init(&c->accumulator, &c->gate, &c->heap, &c->producer_options, clock_now, seed);
    sender_open(&c->sender, &c->core, &c->accumulator, &c->gate, &c->producer_options);
}

static void join(struct cluster_client *c)
{
    struct subscription_wish *wish;
    leat_error e;
    c->commit = NULL;
    group_start(&c->group, &c->core, &c->gate, &c->heap, &c->fetcher, &c->consumer_options,
                c->options.group, group_changed);
    int error = wish_new(&c->group, c->options.topics, c->options.topic_count, &wish, &e);
    assert(!error);
    group_wish(&c->group, wish, false);
    group_wake(&c->group);
}

static void open_consumer(struct cluster_client *c)
{
    leat_consumer_options o = LEAT_CONSUMER_OPTIONS_INIT;
    o.reset = is_member(c) ? LEAT_RESET_EARLIEST : LEAT_RESET_NONE;
    o.auto_commit = false;
    o.session_timeout_ms = 2100; /* pauses are longer */
    o.heartbeat_interval_ms = 700;
    o.fetch_max_wait_ms = 500;
    o.buffer_bytes = 4 << 20;
    o.fetch_max_bytes = 2 << 20;
    o.partition_fetch_bytes = 256 << 10;
    o.poll_max_records = CLIENT_VIEW;
    if (c->options.is_static) {
        snprintf(o.group_instance_id, sizeof o.group_instance_id, "%s", c->name);
    }
    c->consumer_options = o;
    fetcher_open(&c->fetcher, &c->core, &c->gate, &c->heap, &c->consumer_options, arrived);
    leat_record *records = memory_alloc(&c->heap, CLIENT_VIEW * sizeof *records);
    assert(records);
    poller_open(&c->poller, &c->fetcher, is_member(c) ? &c->group : NULL, &c->gate,
                &c->consumer_options, records);
    if (is_member(c)) {
        join(c);
    }
}

static void start(struct io *io, void *argument)
{
    struct cluster_client *c = argument;
    struct address addresses[ADDRESSES_MAX];
    leat_options o = LEAT_OPTIONS_INIT;
    o.request_timeout_ms = 3000;
    o.allow_auto_create = false;
    o.metadata_max_age_ms = 10000;
    for (unsigned i = 0; i < c->options.nodes; i++) {
        snprintf(addresses[i].host, sizeof addresses[i].host, "n%u", i + 1);
        addresses[i].port = ADDRESS_PORT_DEFAULT;
    }
    c->core_options = o;
    c->io = io;
    c->gate = gate_none();
    int error = core_open(&c->core, io, &c->gate, &c->core_options, addresses, c->options.nodes);
    assert(!error);
    if (c->options.produces) {
        open_producer(c);
    }
    if (c->options.consumes) {
        open_consumer(c);
    }
    c->running = true;
    c->tick = (struct io_op){.done = ticked};
    io_timer(io, &c->tick, io_now(io) + 1);
}

CLIENT_API struct cluster_client *client_new(struct sim *sim, const struct client_options *options)
{
    struct cluster_client *c = calloc(1, sizeof *c);
    assert(c && options->nodes <= ADDRESSES_MAX);
    clock_of = c->sim = sim;
    c->options = *options;
    snprintf(c->name, sizeof c->name, "%s", options->name);
    c->machine = sim_node_new(sim, c->name);
    memory_init(&c->heap, CLIENT_HEAP);
    return c;
}

/* What a life leaves in memory that is not its machine's. */
static void forget(struct cluster_client *c)
{
    if (c->running && c->options.consumes) {
        memory_drop(&c->poller.scratch);
    }
    c->running = false;
    memory_drop(&c->heap);
    memory_init(&c->heap, CLIENT_HEAP);
}

CLIENT_API void client_free(struct cluster_client *c)
{
    forget(c);
    memory_drop(&c->heap);
    free(c);
}

CLIENT_API void client_start(struct cluster_client *c)
{
    assert(sim_node_state(c->machine) != SIM_RUNNING);
    forget(c);
    sim_node_start(c->machine, 1, start, c);
}

CLIENT_API void client_kill(struct cluster_client *c)
{
    sim_node_kill(c->machine);
    forget(c);
}

CLIENT_API struct sim_node *client_machine(const struct cluster_client *c)
{
    return c->machine;
}

/* --- what a program calls ---------------------------------------------------------------------- */

CLIENT_API int client_produce(struct cluster_client *c, const char *topic, int32_t partition,
                              uint64_t tag, struct bytes key, struct bytes value, bool tombstone)
{
    struct producer_batch *batch;
    leat_error e;
    leat_record r = LEAT_RECORD_INIT;
    assert(tag > 0);
    r.topic = topic;
    r.partition = partition;
    r.key = (leat_bytes){key.data, key.size};
    const leat_header instead = {"instead", {value.data, value.size}};
    r.value = tombstone ? (leat_bytes){NULL, 0} : instead.value;
    r.headers = &instead;
    r.header_count = tombstone;
    return accumulator_append(&c->accumulator, &r, io_wall_ms(c->io), (void *)(uintptr_t)tag,
                              &batch, &e);
}

CLIENT_API size_t client_unsettled(const struct cluster_client *c)
{
    return c->accumulator.unsettled_records;
}

CLIENT_API void client_assign(struct cluster_client *c, const char *topic, int32_t partition,
                              int64_t offset)
{
    static_assert((int)CLIENT_LATEST == (int)LEAT_LATEST, "the library's");
    static_assert((int)CLIENT_EARLIEST == (int)LEAT_EARLIEST, "the library's");
    struct consumer_partition *p = fetcher_find(&c->fetcher, topic, partition);
    if (p) {
        poller_release(&c->poller);
        poller_drop(&c->poller, p);
        partition_start(p, offset, 0);
        p->paused = false;
        c->fetcher.interrupt |= p->in_flight;
        return;
    }
    p = partition_new(&c->heap, topic, partition, offset, 0);
    assert(p);
    fetcher_add(&c->fetcher, &p, 1);
}

CLIENT_API void client_commit(struct cluster_client *c)
{
    enum { COMMIT_MS = 5000 };
    leat_error e;
    uint64_t deadline = io_now(c->io) + COMMIT_MS * UINT64_C(1000000);
    if (!c->commit && group_commit(&c->group, false, deadline, &c->commit, &e) == 0 && c->commit) {
        c->commit->waited = true;
        hold_commit(c, 1);
        tell_commit(c, false);
    }
}

CLIENT_API int32_t client_generation(const struct cluster_client *c)
{
    return c->group.previous_generation;
}

CLIENT_API bool client_joins_again(int code)
{
    return code == LEAT_ERR_UNKNOWN_MEMBER || code == LEAT_ERR_GENERATION;
}
