/* SPDX-License-Identifier: Apache-2.0 */

#include "machine.h"

#include "config/config.h"

#include <stdio.h>

static void on_ready(void *context, const char *line, uint16_t port)
{
    ((struct world *)context)->ready = true;
}

static void on_ended(void *context, int status, const char *line)
{
    struct world *w = context;
    w->ended = true;
    cr_assert_eq(status, 0, "%s", line);
}

static void problem(void *context, const char *line)
{
    fprintf(stderr, "%s\n", line);
}

static void client_start(struct io *io, void *argument)
{
}

void world_run(struct world *w, uint64_t ns)
{
    sim_run(w->sim, sim_now(w->sim) + ns);
    cr_assert(w->ended || sim_node_state(w->machine) == SIM_RUNNING, "%s: %s",
              sim_state_name(sim_node_state(w->machine)), sim_node_last_line(w->machine));
}

void world_open_as(struct world *w, uint64_t disk_bytes, unsigned shards, uint64_t seed)
{
    static const struct config_setting settings[] = {
        {"--set", "data.dir", "data"},
        {"--set", "listeners", "machine:9092"},
        {"--set", "security.open", "true"},
        {"--set", "journal.file.bytes", "1MiB"},
        {"--set", "journal.bytes.max", "16MiB"},
        {"--set", "disk.reserve.bytes", "8MiB"},
        {"--set", "limits.memory", "128MiB"},
        {"--set", "offsets.retention.minutes", "1"},
        {"--set", "offsets.retention.check.interval.ms", "1s"},
        {"--set", "group.initial.rebalance.delay.ms", "0"},
    };
    *w = (struct world){0};
    w->sim = sim_new(&(struct sim_options){.seed = seed, .disk_bytes = disk_bytes});
    w->machine = sim_node_new(w->sim, "machine");
    w->client = sim_node_new(w->sim, "client");
    memory_init(&w->memory, SIZE_MAX);
    const struct config_input input = {.settings = settings, .setting_count = array_size(settings)};
    cr_assert_eq(config_load(&w->config, &w->memory, &input, problem, NULL), 0);
    w->options = (struct node_options){
        .config = w->config, .shards = shards, .ready = on_ready, .ended = on_ended, .context = w};
    w->node = node_new(&w->memory, &w->options);
    cr_assert_not_null(w->node);
    sim_node_start(w->machine, shards, node_start, w->node);
    sim_node_start(w->client, 1, client_start, w);
    world_run(w, 10 * SECOND_NS);
    cr_assert(w->ready);
}

void world_open(struct world *w, uint64_t disk_bytes)
{
    world_open_as(w, disk_bytes, 1, 3);
}

void world_close(struct world *w)
{
    sim_free(w->sim);
    memory_drop(&w->memory);
    arena_deinit(client_arena());
}

/* --- a client on another machine -------------------------------------------------------------- */

static void received(struct io_op *op, int64_t result)
{
    struct caller *p = container_of(op, struct caller, receive);
    if (result <= 0 || p->closed) {
        p->closed = true;
        return;
    }
    p->in_size += (size_t)result;
    cr_assert_lt(p->in_size, sizeof p->in);
    io_recv(sim_node_shard(p->w->client, 0), &p->receive, p->socket, p->in + p->in_size,
            sizeof p->in - p->in_size);
}

static void sent(struct io_op *op, int64_t result)
{
    struct caller *p = container_of(op, struct caller, send);
    if (result <= 0) {
        p->closed = true; /* the machine has gone */
        return;
    }
    if ((size_t)result < p->iovec.iov_len) {
        p->iovec.iov_base = (char *)p->iovec.iov_base + result;
        p->iovec.iov_len -= (size_t)result;
        io_send(sim_node_shard(p->w->client, 0), &p->send, p->socket, &p->iovec, 1);
    }
}

static void connected(struct io_op *op, int64_t result)
{
    struct caller *p = container_of(op, struct caller, connect);
    p->closed = result != 0;
    p->connected = result == 0;
    if (p->deaf || p->closed) {
        return;
    }
    io_recv(sim_node_shard(p->w->client, 0), &p->receive, p->socket, p->in, sizeof p->in);
}

struct caller *caller_open_as(struct world *w, bool deaf)
{
    struct caller *p = arena_alloc(client_arena(), sizeof *p);
    p->w = w;
    p->deaf = deaf;
    p->connect.done = connected;
    p->receive.done = received;
    p->send.done = sent;
    io_connect(sim_node_shard(w->client, 0), &p->connect, &p->socket, "machine", 9092);
    world_run(w, SECOND_NS / 10);
    cr_assert(p->connected);
    return p;
}

struct caller *caller_open(struct world *w)
{
    return caller_open_as(w, false);
}

void caller_send(struct caller *p, int16_t key, int16_t version, const void *request)
{
    const struct wire_request_header header = {key, version, 1, wire_string_of("sim")};
    struct wire_writer w;
    wire_writer_init(&w, client_memory(), 16 << 20);
    wire_frame_begin(&w);
    cr_assert_eq(wire_request_header_encode(&header, &w), 0);
    cr_assert_eq(wire_encode(wire_api_find(key)->request, request, &w, version), 0);
    cr_assert_eq(wire_frame_end(&w), 0);
    size_t total = wire_writer_total(&w), at = 0;
    uint8_t *flat = arena_alloc(client_arena(), total);
    struct iovec piece;
    while (wire_writer_iovecs(&w, at, &piece, 1) == 1) {
        memcpy(flat + at, piece.iov_base, piece.iov_len);
        at += piece.iov_len;
    }
    wire_writer_deinit(&w);
    p->iovec = (struct iovec){flat, total};
    io_send(sim_node_shard(p->w->client, 0), &p->send, p->socket, &p->iovec, 1);
}

void *caller_answer(struct caller *p, int16_t key, int16_t version)
{
    if (p->in_size < 4 || p->in_size < 4 + (size_t)get_be32(p->in)) {
        return NULL;
    }
    size_t size = get_be32(p->in);
    uint8_t *kept = arena_alloc(client_arena(), size);
    memcpy(kept, p->in + 4, size);
    cr_assert_eq(p->in_size, 4 + size);
    /* The receive in flight goes on behind these bytes: a caller asks for few things. */
    struct reader r = reader_of(kept, size);
    const struct wire_api *api = wire_api_find(key);
    int32_t correlation;
    cr_assert_eq(wire_response_header_decode(api, version, &correlation, &r), 0);
    void *out = arena_alloc(client_arena(), api->response->body->size);
    cr_assert_eq(wire_decode(api->response, out, &r, version, client_arena()), 0);
    return out;
}

void *world_ask(struct world *w, int16_t key, int16_t version, const void *request)
{
    struct caller *p = caller_open(w);
    caller_send(p, key, version, request);
    void *answer = NULL;
    for (int i = 0; i < 1000 && !answer && !p->closed; i++) {
        world_run(w, SECOND_NS / 10);
        answer = caller_answer(p, key, version);
    }
    cr_assert_not_null(answer, "no answer to key %d", key);
    io_socket_close(sim_node_shard(w->client, 0), p->socket);
    world_run(w, SECOND_NS / 10);
    return answer;
}

struct metadata_response_topics *world_metadata(struct world *w, const char *name, bool create)
{
    struct metadata_request_topics t = {.name = wire_string_of(name)};
    struct metadata_request q;
    metadata_request_init(&q);
    q.topics = &t;
    q.topics_count = 1;
    q.allow_auto_topic_creation = create;
    return ((struct metadata_response *)world_ask(w, 3, 4, &q))->topics;
}

struct produce_request *produce_request(const char *topic, struct bytes batch, int32_t timeout_ms)
{
    struct slice *slice = arena_alloc(client_arena(), sizeof *slice);
    struct produce_request_partition_data *data = arena_alloc(client_arena(), sizeof *data);
    struct produce_request_topic_data *in = arena_alloc(client_arena(), sizeof *in);
    struct produce_request *q = arena_alloc(client_arena(), sizeof *q);
    *slice = (struct slice){batch.data, batch.size, NULL};
    data->records = (struct wire_records){slice, 1, (uint32_t)batch.size, false};
    *in = (struct produce_request_topic_data){
        .name = wire_string_of(topic), .partition_data = data, .partition_data_count = 1};
    *q = (struct produce_request){.transactional_id = wire_string_null(),
                                  .acks = -1,
                                  .timeout_ms = timeout_ms,
                                  .topic_data = in,
                                  .topic_data_count = 1};
    return q;
}

int16_t world_produce(struct world *w, const char *topic, struct bytes batch, int32_t timeout_ms)
{
    struct produce_response *a = world_ask(w, 0, 9, produce_request(topic, batch, timeout_ms));
    return a->responses[0].partition_responses[0].error_code;
}

void world_delete_topic(struct world *w, const char *topic)
{
    struct wire_string name = wire_string_of(topic);
    struct delete_topics_request q = {
        .topic_names = &name, .topic_names_count = 1, .timeout_ms = 10000};
    cr_assert_eq(
        ((struct delete_topics_response *)world_ask(w, 20, 3, &q))->responses[0].error_code, 0);
}

void world_create_topic(struct world *w, const char *name, int32_t partitions)
{
    struct create_topics_request_topics topic;
    struct create_topics_request q;
    create_topics_request_init(&q);
    create_topics_request_topics_init(&topic);
    topic.name = wire_string_of(name);
    topic.num_partitions = partitions;
    topic.replication_factor = 1;
    q.topics = &topic;
    q.topics_count = 1;
    q.timeout_ms = 10000;
    struct create_topics_response *made = world_ask(w, 19, 5, &q);
    cr_assert_eq(made->topics[0].error_code, 0);
}

bool world_is_up(const struct world *w)
{
    return sim_node_state(w->machine) == SIM_RUNNING;
}

void *world_ask_unless_cut(struct world *w, int16_t key, int16_t version, const void *request)
{
    struct caller *p = arena_alloc(client_arena(), sizeof *p);
    p->w = w;
    p->connect.done = connected;
    p->receive.done = received;
    p->send.done = sent;
    io_connect(sim_node_shard(w->client, 0), &p->connect, &p->socket, "machine", 9092);
    while (world_is_up(w) && !p->connected && !p->closed) {
        sim_step(w->sim);
    }
    if (world_is_up(w) && p->connected) {
        caller_send(p, key, version, request);
    }
    void *answer = NULL;
    while (world_is_up(w) && !p->closed && !(answer = caller_answer(p, key, version))) {
        sim_step(w->sim);
    }
    p->closed = true;
    if (p->connected) {
        io_socket_close(sim_node_shard(w->client, 0), p->socket);
    }
    return answer;
}

void world_again(struct world *w)
{
    w->ready = false;
    w->node = node_new(&w->memory, &w->options);
    cr_assert_not_null(w->node);
    sim_node_start(w->machine, w->options.shards, node_start, w->node);
    world_run(w, 10 * SECOND_NS);
    cr_assert(w->ready);
}
