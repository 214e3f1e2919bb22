/* SPDX-License-Identifier: Apache-2.0 */

/* Steps over all shards, images on their way to them, and the stop.
 *
 * An image that meta publishes is applied at once on shard 0 and posted to the others. Each shard
 * has one message for that: what is published while it is on its way takes the place of what it
 * carries, so a slow shard sees fewer images, never an older one. Since meta publishes before it
 * answers, and messages of one sender keep their order, a shard that hears of a change has seen its
 * image. */
#include "node_private.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

enum { STOP_AGAIN_NS = 500000000 };

struct io *node_io(struct node *n)
{
    return n->shards[0].io;
}

/* --- one step on every shard ------------------------------------------------------------------ */

static void step_returned(struct io_message *message, struct io *io)
{
    struct node_shard *s = container_of(message, struct node_shard, message);
    struct node *n = s->node;
    assert(n->magic == NODE_MAGIC);
    assert(n->pending > 0);
    n->step_failed = n->step_failed || s->failed;
    if (--n->pending == 0 && n->state != NODE_ENDED) {
        n->then(n);
    }
}

void node_step_done(struct node_shard *s)
{
    s->message.deliver = step_returned;
    io_post(s->io, 0, &s->message);
}

static void step_delivered(struct io_message *message, struct io *io)
{
    struct node_shard *s = container_of(message, struct node_shard, message);
    assert(s->io == io);
    s->step(s);
}

void node_on_shards(struct node *n, void (*step)(struct node_shard *s),
                    void (*then)(struct node *n))
{
    assert(n->pending == 0);
    n->pending = n->options.shards;
    n->step_failed = false;
    n->then = then;
    for (unsigned i = 0; i < n->options.shards; i++) {
        struct node_shard *s = &n->shards[i];
        s->failed = false;
        s->step = step;
        s->message.deliver = step_delivered;
        io_post(node_io(n), i, &s->message);
    }
}

/* --- images ----------------------------------------------------------------------------------- */

void node_apply_image(struct node_shard *s, const struct image *image)
{
    const struct image *old = s->image;
    bool broker_changed = old && image_brokers_configured_differently(old, image);
    s->image = image;
    partition_table_apply(s->partitions, image);
    if (broker_changed) {
        partition_table_reconfigure(s->partitions);
    }
    replica_apply(s->replica, image);
    coord_apply(s->coord, image);
    api_publish(s->api, image);
    if (old) {
        image_release(old);
    }
}

static void image_delivered(struct io_message *message, struct io *io)
{
    struct node_shard *s = container_of(message, struct node_shard, image_message);
    const struct image *image = atomic_exchange(&s->image_next, NULL);
    assert(s->io == io);
    assert(image);
    if (s->partitions) {
        node_apply_image(s, image);
    } else {
        image_release(image);
    }
}

static void publish_to(struct node *n, struct node_shard *s, const struct image *image)
{
    image_take(image);
    const struct image *overtaken = atomic_exchange(&s->image_next, image);
    if (overtaken) {
        image_release(overtaken); /* its message is still on its way and brings this one */
        return;
    }
    s->image_message.deliver = image_delivered;
    io_post(node_io(n), io_shard(s->io), &s->image_message);
}

void node_introduce(struct node *n)
{
    struct meta_quorum q = meta_quorum(n->meta);
    introducer_say_quorum(n->introducer, q.voters, q.status.leader, q.status.epoch);
}

void node_show_image(struct node *n)
{
    image_take(n->image);
    node_apply_image(&n->shards[0], n->image);
    for (unsigned i = 1; i < n->options.shards; i++) {
        publish_to(n, &n->shards[i], n->image);
    }
}

static void publish(void *context, const struct image *image)
{
    struct node *n = context;
    assert(n->magic == NODE_MAGIC);
    image_take(image);
    if (n->image) {
        image_release(n->image);
    }
    n->image = image;
    node_introduce(n);
    if (n->options.logger) {
        logger_set_level(n->options.logger,
                         (enum logger_level)api_broker_number(
                             n->config, image, n->meta_options.node_id, CONFIG_LOGGING_LEVEL));
    }
    bool starts = n->state == NODE_STARTING && n->joined;
    if (starts || n->state == NODE_SERVING || n->state == NODE_LEAVING) {
        node_show_image(n);
    }
}

/* --- the end ---------------------------------------------------------------------------------- */

static void stop_delivered(struct io_message *message, struct io *io)
{
    io_stop(io);
}

static void end(struct node *n, int status, const char *line)
{
    if (n->state == NODE_ENDED) {
        return;
    }
    n->state = NODE_ENDED;
    n->options.ended(n->options.context, status, line);
    for (unsigned i = 0; i < n->options.shards; i++) {
        n->shards[i].stop_message.deliver = stop_delivered;
        io_post(node_io(n), i, &n->shards[i].stop_message);
    }
}

void node_fail(struct node *n, int status, const char *format, ...)
{
    char line[NODE_LINE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    end(n, status, line);
}

static void marked_clean(struct node *n)
{
    end(n, NODE_EXIT_OK, "");
}

static void mark_clean(struct node *n)
{
    node_mark_clean(n, marked_clean);
}

static void meta_closed(struct meta_close *c)
{
    struct node *n = container_of(c, struct node, meta_close);
    n->meta = NULL;
    introducer_free(n->introducer);
    n->introducer = NULL;
    if (n->joined) {
        node_boot_forget(n, mark_clean);
    } else {
        mark_clean(n);
    }
}

static void shards_closed(struct node *n)
{
    if (n->image) {
        image_release(n->image);
        n->image = NULL;
    }
    n->meta_close.done = meta_closed;
    meta_close(n->meta, &n->meta_close);
}

static void logs_closed(struct log_set_close *c)
{
    struct node_shard *s = container_of(c, struct node_shard, log_close);
    s->logs = NULL;
    node_step_done(s);
}

static void close_shard(struct node_shard *s)
{
    api_free(s->api);
    s->api = NULL;
    coord_free(s->coord);
    s->coord = NULL;
    replica_free(s->replica);
    s->replica = NULL;
    partition_table_free(s->partitions);
    s->partitions = NULL;
    if (s->image) {
        image_release(s->image);
        s->image = NULL;
    }
    s->log_close.done = logs_closed;
    log_set_close(s->logs, &s->log_close);
}

static void coords_stopped(struct node *n)
{
    node_on_shards(n, close_shard, shards_closed);
}

static void coord_stopped(struct coord_stop *stop)
{
    node_step_done(container_of(stop, struct node_shard, coord_stop));
}

static void stop_coord(struct node_shard *s)
{
    s->coord_stop.done = coord_stopped;
    coord_stop(s->coord, &s->coord_stop);
}

static void replicas_stopped(struct node *n)
{
    node_on_shards(n, stop_coord, coords_stopped);
}

static void replica_stopped(struct replica_stop *stop)
{
    node_step_done(container_of(stop, struct node_shard, replica_stop));
}

static void stop_replica(struct node_shard *s)
{
    s->replica_stop.done = replica_stopped;
    replica_stop(s->replica, &s->replica_stop);
}

static void apis_stopped(struct node *n)
{
    node_on_shards(n, stop_replica, replicas_stopped);
}

static void api_stopped(struct api_stop *stop)
{
    node_step_done(container_of(stop, struct node_shard, api_stop));
}

static void stop_api(struct node_shard *s)
{
    partition_table_let_go(s->partitions); /* or appends would wait for followers */
    s->api_stop.done = api_stopped;
    api_stop(s->api, &s->api_stop);
}

static void leave(struct node *n)
{
    n->joining = false;
    node_doubt_end(n);
    n->state = NODE_STOPPING;
    meta_leave(n->meta);
    node_on_shards(n, stop_api, apis_stopped);
}

static void settled(struct node *n)
{
    if (n->state == NODE_LEAVING) { /* else a second stop has overtaken it */
        log_info(io_logger(node_io(n)), "node", "handed over ms=%" PRIu64,
                 (io_now(node_io(n)) - n->stop_asked_ns) / 1000000);
        leave(n);
    }
}

static void shard_settled(struct partition_settle *settle)
{
    node_step_done(container_of(settle, struct node_shard, settle));
}

/* What was acknowledged by nobody yet, and others have, is not sent a second time. */
static void settle_shard(struct node_shard *s)
{
    s->settle.done = shard_settled;
    partition_table_settle(s->partitions, &s->settle);
}

static void retired(struct meta_retire *r)
{
    struct node *n = container_of(r, struct node, retire);
    assert(n->magic == NODE_MAGIC);
    uint64_t ms = (io_now(node_io(n)) - n->stop_asked_ns) / 1000000;
    if (n->state != NODE_LEAVING) {
        return; /* a second stop has overtaken it */
    }
    if (r->error) {
        log_warn(io_logger(node_io(n)), "node", "stopping all the same: %s: ms=%" PRIu64, r->why,
                 ms);
        leave(n);
        return;
    }
    meta_leave(n->meta); /* or it would ask to be let in again */
    node_on_shards(n, settle_shard, settled);
}

void node_stop(struct node *n)
{
    assert(n->magic == NODE_MAGIC);
    uint64_t now = io_now(node_io(n));
    /* A terminal and the shell in front of us may both send the first one. */
    if (n->stops_asked > 0 && now - n->stop_asked_ns < STOP_AGAIN_NS) {
        return;
    }
    n->stop_asked_ns = now;
    n->stops_asked++;
    if (n->stops_asked > 1) {
        node_fail(n, NODE_EXIT_FAILURE,
                  "stopped at once: what was acknowledged is durable, the next "
                  "start recovers it");
        return;
    }
    if (n->finding) {
        founding_stop(&n->founding);
    } else if (n->give_up.run) {
        give_up_stop(&n->give_up);
    } else if (n->state == NODE_SERVING || n->joining) {
        log_info(io_logger(node_io(n)), "node", "stopping");
        n->retire.done = retired;
        if (n->state == NODE_SERVING && meta_retire(n->meta, &n->retire)) {
            n->state = NODE_LEAVING;
        } else {
            leave(n);
        }
    }
}

/* --- the beginning ---------------------------------------------------------------------------- */

struct node *node_new(struct memory *memory, const struct node_options *options)
{
    assert(options->shards > 0 && options->shards <= NODE_SHARDS_MAX);
    assert(options->ready && options->ended && options->config);
    struct node *n = memory_alloc(memory, sizeof *n);
    if (!n) {
        return NULL;
    }
    n->magic = NODE_MAGIC;
    n->memory = memory;
    n->options = *options;
    n->config = options->config;
    n->meta_options.publish = publish;
    n->meta_options.lost = node_lost;
    n->meta_options.displaced = node_displaced;
    n->meta_options.publish_context = n;
    for (unsigned i = 0; i < options->shards; i++) {
        n->shards[i].node = n;
        atomic_init(&n->shards[i].image_next, NULL);
    }
    return n;
}

static void shard_begun(struct io_message *message, struct io *io)
{
    struct node_shard *s = container_of(message, struct node_shard, message);
    struct node *n = s->node;
    assert(io == node_io(n));
    if (++n->shards_begun < n->options.shards) {
        return;
    }
    node_open_directory(n, node_start_rooms);
}

void node_start(struct io *io, void *argument)
{
    struct node *n = argument;
    assert(n->magic == NODE_MAGIC);
    assert(io_shard_count(io) == n->options.shards);
    struct node_shard *s = &n->shards[io_shard(io)];
    s->io = io;
    if (io_shard(io) == 0) {
        n->started_ns = n->options.started_ns ? n->options.started_ns : io_clock(io);
    }
    s->message.deliver = shard_begun;
    io_post(io, 0, &s->message);
}
