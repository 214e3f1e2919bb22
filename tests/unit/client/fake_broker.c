/* SPDX-License-Identifier: Apache-2.0 */

/* The fake broker's thread, its connections and what tests tell it to do. */
#include "fake_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void peer_go(struct peer *p);

/* --- connections --- */

static void peer_end(struct peer *p)
{
    if (!p->closing) {
        p->closing = true;
        coord_forget(p->broker, p);
        io_socket_close(p->broker->io, p->socket);
    }
    io_cancel(p->broker->io, &p->timer);
    if (io_op_idle(&p->recv) && io_op_idle(&p->send) && io_op_idle(&p->timer)) {
        list_remove(&p->link);
        wire_writer_deinit(&p->out);
        free(p->in);
        free(p);
    }
}

static void peer_recv(struct peer *p)
{
    if (!io_op_idle(&p->recv)) {
        return;
    }
    if (p->in_capacity - p->in_size < 65536) {
        p->in_capacity = p->in_capacity ? p->in_capacity * 2 : 262144;
        p->in = realloc(p->in, p->in_capacity);
    }
    io_recv(p->broker->io, &p->recv, p->socket, p->in + p->in_size, p->in_capacity - p->in_size);
}

/* A node that does nothing with what it was asked is missed after a while. */
static void peer_frozen(struct peer *p)
{
    struct fake_broker *b = p->broker;
    pthread_mutex_lock(&b->lock);
    if (b->fenced_after && p->in_size > p->in_used && --b->fenced_after == 0) {
        b->down = p->node;
        b->coordinator = b->coordinator == p->node ? 1 + p->node % b->nodes : b->coordinator;
    }
    pthread_mutex_unlock(&b->lock);
}

/* Answers what has arrived, one request at a time. */
static void peer_go(struct peer *p)
{
    struct fake_broker *b = p->broker;
    if (!p->closing && (b->frozen >> p->node & 1)) {
        if (io_op_idle(&p->timer)) {
            io_timer(b->io, &p->timer, io_now(b->io) + b->poll_ns);
        }
        peer_frozen(p);
        return;
    }
    while (!p->closing && io_op_idle(&p->send) && io_op_idle(&p->timer)) {
        size_t have = p->in_size - p->in_used;
        size_t size = have >= 4 ? get_be32(p->in + p->in_used) : 0;
        if (have < 4 || have - 4 < size) {
            break;
        }
        bool wait = false;
        pthread_mutex_lock(&b->lock);
        int error = fake_answer(p, p->in + p->in_used + 4, size, &wait);
        pthread_mutex_unlock(&b->lock);
        if (error) {
            peer_end(p);
            return;
        }
        if (wait) {
            p->waited_ns += b->poll_ns;
            io_timer(b->io, &p->timer, io_now(b->io) + b->poll_ns);
            break;
        }
        p->waited_ns = 0;
        p->in_used += size + 4;
        if (wire_writer_total(&p->out)) {
            struct iovec iovecs[IO_IOVECS_MAX];
            int count = wire_writer_iovecs(&p->out, 0, iovecs, IO_IOVECS_MAX);
            p->sent = 0;
            io_send(b->io, &p->send, p->socket, iovecs, (unsigned)count);
        }
    }
    if (p->closing) {
        return;
    }
    if (p->in_used && io_op_idle(&p->recv)) {
        memmove(p->in, p->in + p->in_used, p->in_size - p->in_used);
        p->in_size -= p->in_used;
        p->in_used = 0;
    }
    peer_recv(p);
}

static void peer_received(struct io_op *op, int64_t result)
{
    struct peer *p = container_of(op, struct peer, recv);
    if (p->closing || result <= 0) {
        peer_end(p);
        return;
    }
    p->in_size += (size_t)result;
    peer_go(p);
}

static void peer_sent(struct io_op *op, int64_t result)
{
    struct peer *p = container_of(op, struct peer, send);
    if (p->closing || result < 0) {
        peer_end(p);
        return;
    }
    p->sent += (size_t)result;
    struct iovec iovecs[IO_IOVECS_MAX];
    int count = wire_writer_iovecs(&p->out, p->sent, iovecs, IO_IOVECS_MAX);
    if (count) {
        io_send(p->broker->io, &p->send, p->socket, iovecs, (unsigned)count);
        return;
    }
    wire_writer_reset(&p->out);
    peer_go(p);
}

static void peer_waited(struct io_op *op, int64_t result)
{
    struct peer *p = container_of(op, struct peer, timer);
    if (p->closing) {
        peer_end(p);
    } else {
        peer_go(p);
    }
}

static void broker_accepted(struct io_op *op, int64_t result)
{
    struct fake_listener *l = container_of(op, struct fake_listener, accept);
    struct fake_broker *b = l->broker;
    if (result < 0) {
        return;
    }
    struct peer *p = calloc(1, sizeof *p);
    p->broker = b;
    p->node = l->id;
    p->socket = l->accepted;
    p->recv.done = peer_received;
    p->send.done = peer_sent;
    p->timer.done = peer_waited;
    wire_writer_init(&p->out, io_memory(b->io), FRAME_MAX);
    list_init(&p->link);
    list_append(&b->peers, &p->link);
    peer_recv(p);
    io_accept(b->io, &l->accept, l->listener, &l->accepted);
}

static void broker_accept(struct fake_broker *b)
{
    for (int i = 0; i < b->nodes; i++) {
        struct fake_listener *l = &b->listeners[i];
        io_accept(b->io, &l->accept, l->listener, &l->accepted);
    }
}

static void broker_started(struct io *io, void *argument)
{
    broker_accept(argument);
}

static void *broker_thread(void *argument)
{
    struct fake_broker *b = argument;
    io_group_run(b->group, broker_started, b);
    return NULL;
}

struct fake_broker *fake_broker_new(int partitions, uint64_t seed, const char *host, int nodes)
{
    struct fake_broker *b = calloc(1, sizeof *b);
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->done, NULL);
    list_init(&b->peers);
    b->prng = prng_of(seed);
    b->partitions = partitions;
    b->next_producer = 1000;
    b->host = host;
    b->nodes = nodes;
    b->coordinator = 1;
    b->initial_delay_ms = 20;
    b->poll_ns = 5000000;
    return b;
}

static void broker_bind(struct fake_broker *b, uint16_t port)
{
    for (int i = 0; i < b->nodes; i++) {
        struct fake_listener *l = &b->listeners[i];
        *l = (struct fake_listener){.broker = b, .id = i + 1};
        l->accept.done = broker_accepted;
        if (io_listen(b->io, &l->listener, b->host, (uint16_t)(port ? port + i : 0), &l->port)) {
            abort();
        }
    }
}

void fake_broker_listen(struct fake_broker *b, struct io *io)
{
    b->io = io;
    b->poll_ns = 50000000;
    b->coordinates = true;
    broker_bind(b, 9092);
    broker_accept(b);
}

struct fake_broker *fake_broker_start(uint16_t *port, int partitions, uint64_t seed)
{
    return fake_broker_start_nodes(port, partitions, seed, 1);
}

struct fake_broker *fake_broker_start_nodes(uint16_t *port, int partitions, uint64_t seed,
                                            int nodes)
{
    struct fake_broker *b = fake_broker_new(partitions, seed, "127.0.0.1", nodes);
    struct io_options options = {
        .backend = IO_BACKEND_EPOLL, .shards = 1, .workers = 1, .memory_bytes = (size_t)1 << 30};
    char reason[IO_REASON_SIZE];
    if (io_group_open_epoll(&b->group, &options, reason)) {
        fprintf(stderr, "%s\n", reason);
        abort();
    }
    b->io = io_group_shard(b->group, 0);
    broker_bind(b, 0);
    for (int i = 0; i < nodes; i++) {
        port[i] = b->listeners[i].port;
    }
    pthread_create(&b->thread, NULL, broker_thread, b);
    return b;
}

/* --- commands --- */

static void command_run(struct io_message *m, struct io *io)
{
    struct fake_broker *b = container_of(m, struct fake_broker, command);
    b->act(b);
    pthread_mutex_lock(&b->lock);
    b->acted = true;
    pthread_cond_signal(&b->done);
    pthread_mutex_unlock(&b->lock);
}

static void broker_do(struct fake_broker *b, void (*act)(struct fake_broker *b))
{
    b->act = act;
    b->acted = false;
    b->command.deliver = command_run;
    io_group_signal(b->group, &b->command);
    pthread_mutex_lock(&b->lock);
    while (!b->acted) {
        pthread_cond_wait(&b->done, &b->lock);
    }
    pthread_mutex_unlock(&b->lock);
}

static void act_stop(struct fake_broker *b)
{
    io_stop(b->io);
}

static void act_freeze(struct fake_broker *b)
{
    pthread_mutex_lock(&b->lock);
    b->frozen = b->freezing;
    b->fenced_after = b->fencing;
    pthread_mutex_unlock(&b->lock);
}

void fake_broker_freeze(struct fake_broker *b, unsigned nodes, unsigned fenced_after)
{
    b->freezing = nodes;
    b->fencing = fenced_after;
    broker_do(b, act_freeze);
}

static void act_bounce(struct fake_broker *b)
{
    list_each (node, &b->peers) {
        peer_end(container_of(node, struct peer, link));
    }
}

void fake_broker_bounce(struct fake_broker *b)
{
    broker_do(b, act_bounce);
}

void fake_broker_stop(struct fake_broker *b)
{
    broker_do(b, act_stop);
    pthread_join(b->thread, NULL);
    list_each (node, &b->peers) {
        struct peer *p = container_of(node, struct peer, link);
        free(p->in);
        wire_writer_deinit(&p->out);
    }
    io_group_close(b->group);
    list_each (node, &b->peers) {
        free(container_of(node, struct peer, link));
    }
    list_init(&b->peers);
    fake_broker_free(b);
}

void fake_broker_free(struct fake_broker *b)
{
    for (unsigned i = 0; i < b->topic_count; i++) {
        for (int j = 0; j < PARTITIONS; j++) {
            for (size_t k = 0; k < b->topics[i].partitions[j].count; k++) {
                free(b->topics[i].partitions[j].batches[k].data);
            }
            free(b->topics[i].partitions[j].batches);
        }
    }
    coord_free(b);
    free(b);
}

void fake_broker_faults(struct fake_broker *b, const struct fake_faults *faults)
{
    pthread_mutex_lock(&b->lock);
    b->faults = *faults;
    pthread_mutex_unlock(&b->lock);
}

struct fake_counts fake_broker_counts(struct fake_broker *b)
{
    pthread_mutex_lock(&b->lock);
    struct fake_counts counts = b->counts;
    pthread_mutex_unlock(&b->lock);
    return counts;
}

void fake_broker_new_epoch(struct fake_broker *b)
{
    pthread_mutex_lock(&b->lock);
    b->leader_epoch++;
    pthread_mutex_unlock(&b->lock);
}

static struct partition *locked_partition(struct fake_broker *b, const char *topic, int partition)
{
    return fake_partition_find(b, fake_topic_find(b, wire_string_of(topic), NULL, false),
                               partition);
}

void fake_broker_trim(struct fake_broker *b, const char *topic, int partition, int64_t offset)
{
    pthread_mutex_lock(&b->lock);
    struct partition *p = locked_partition(b, topic, partition);
    p->start = offset;
    pthread_mutex_unlock(&b->lock);
}

int64_t fake_broker_end(struct fake_broker *b, const char *topic, int partition)
{
    pthread_mutex_lock(&b->lock);
    struct partition *p = locked_partition(b, topic, partition);
    int64_t end = p ? p->end : -1;
    pthread_mutex_unlock(&b->lock);
    return end;
}

int fake_broker_codec(struct fake_broker *b, const char *topic, int partition)
{
    struct batch_header h;
    pthread_mutex_lock(&b->lock);
    struct partition *p = locked_partition(b, topic, partition);
    int codec = -1;
    if (p && p->count && !batch_header_read(&h, p->batches[0].data, p->batches[0].size)) {
        codec = (int)batch_codec(&h);
    }
    pthread_mutex_unlock(&b->lock);
    return codec;
}

void fake_broker_topic(struct fake_broker *b, const char *topic)
{
    pthread_mutex_lock(&b->lock);
    (void)fake_topic_find(b, wire_string_of(topic), NULL, true);
    pthread_mutex_unlock(&b->lock);
}

void fake_broker_grow(struct fake_broker *b, int partitions)
{
    pthread_mutex_lock(&b->lock);
    b->partitions = partitions;
    pthread_mutex_unlock(&b->lock);
}

void fake_broker_append(struct fake_broker *b, const char *topic, int partition,
                        int64_t timestamp_ms)
{
    fake_broker_append_value(b, topic, partition, timestamp_ms, "x");
}

void fake_broker_append_value(struct fake_broker *b, const char *topic, int partition,
                              int64_t timestamp_ms, const char *value)
{
    struct memory memory;
    struct batch_builder builder;
    struct batch_options options = batch_options_default();
    struct batch_header h;
    struct bytes out;
    const struct record_input record = {.timestamp = timestamp_ms,
                                        .key = {NULL, -1},
                                        .value = {(const uint8_t *)value, (int32_t)strlen(value)}};
    memory_init(&memory, 1 << 20);
    batch_builder_init(&builder, &memory, 4096);
    pthread_mutex_lock(&b->lock);
    struct partition *p = locked_partition(b, topic, partition);
    options.leader_epoch = b->leader_epoch;
    if (!p || batch_append(&builder, &record) || batch_finish(&builder, &options, &out) ||
        batch_header_read(&h, out.data, out.size)) {
        abort();
    }
    fake_partition_store(p, out.data, &h);
    pthread_mutex_unlock(&b->lock);
    batch_builder_deinit(&builder);
    memory_drop(&memory);
}

void fake_broker_coordinate(struct fake_broker *b)
{
    pthread_mutex_lock(&b->lock);
    b->coordinates = true;
    pthread_mutex_unlock(&b->lock);
}
