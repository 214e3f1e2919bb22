/* SPDX-License-Identifier: Apache-2.0 */

/* What needs a slow or a full disk, or a long time: a node on the simulated backend, in virtual
 * time. */
#include "broker.h"

#include "config/config.h"
#include "node.h"
#include "sim/sim.h"

#include <stdio.h>

#define SECOND_NS UINT64_C(1000000000)

struct world {
    struct sim *sim;
    struct sim_node *machine, *client;
    struct memory memory;
    struct config *config;
    struct node_options options;
    struct node *node;
    bool ready, ended;
};

struct peer {
    struct world *w;
    struct io_socket *socket;
    struct io_op connect, receive, send;
    struct iovec iovec;
    uint8_t in[1 << 20];
    size_t in_size;
    bool connected, closed;
    bool deaf; /* reads nothing */
};

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

static void run(struct world *w, uint64_t ns)
{
    sim_run(w->sim, sim_now(w->sim) + ns);
    cr_assert(w->ended || sim_node_state(w->machine) == SIM_RUNNING, "%s: %s",
              sim_state_name(sim_node_state(w->machine)), sim_node_last_line(w->machine));
}

static void world_open_as(struct world *w, uint64_t disk_bytes, unsigned shards, uint64_t seed)
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
    run(w, 10 * SECOND_NS);
    cr_assert(w->ready);
}

static void world_open(struct world *w, uint64_t disk_bytes)
{
    world_open_as(w, disk_bytes, 1, 3);
}

static void world_close(struct world *w)
{
    sim_free(w->sim);
    memory_drop(&w->memory);
    arena_deinit(client_arena());
}

/* --- a client on another machine ------------------------------------------------------------------- */

static void received(struct io_op *op, int64_t result)
{
    struct peer *p = container_of(op, struct peer, receive);
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
    struct peer *p = container_of(op, struct peer, send);
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
    struct peer *p = container_of(op, struct peer, connect);
    p->closed = result != 0;
    p->connected = result == 0;
    if (p->deaf || p->closed) {
        return;
    }
    io_recv(sim_node_shard(p->w->client, 0), &p->receive, p->socket, p->in, sizeof p->in);
}

static struct peer *peer_open_as(struct world *w, bool deaf)
{
    struct peer *p = arena_alloc(client_arena(), sizeof *p);
    p->w = w;
    p->deaf = deaf;
    p->connect.done = connected;
    p->receive.done = received;
    p->send.done = sent;
    io_connect(sim_node_shard(w->client, 0), &p->connect, &p->socket, "machine", 9092);
    run(w, SECOND_NS / 10);
    cr_assert(p->connected);
    return p;
}

static struct peer *peer_open(struct world *w)
{
    return peer_open_as(w, false);
}

static void peer_send(struct peer *p, int16_t key, int16_t version, const void *request)
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

/* The answer that has come, decoded; NULL: none yet. */
static void *peer_answer(struct peer *p, int16_t key, int16_t version)
{
    if (p->in_size < 4 || p->in_size < 4 + (size_t)get_be32(p->in)) {
        return NULL;
    }
    size_t size = get_be32(p->in);
    uint8_t *kept = arena_alloc(client_arena(), size);
    memcpy(kept, p->in + 4, size);
    cr_assert_eq(p->in_size, 4 + size);
    /* The receive in flight goes on behind these bytes: a peer asks for few things. */
    struct reader r = reader_of(kept, size);
    const struct wire_api *api = wire_api_find(key);
    int32_t correlation;
    cr_assert_eq(wire_response_header_decode(api, version, &correlation, &r), 0);
    void *out = arena_alloc(client_arena(), api->response->body->size);
    cr_assert_eq(wire_decode(api->response, out, &r, version, client_arena()), 0);
    return out;
}

/* On a connection of its own. */
static void *ask(struct world *w, int16_t key, int16_t version, const void *request)
{
    struct peer *p = peer_open(w);
    peer_send(p, key, version, request);
    void *answer = NULL;
    for (int i = 0; i < 1000 && !answer && !p->closed; i++) {
        run(w, SECOND_NS / 10);
        answer = peer_answer(p, key, version);
    }
    cr_assert_not_null(answer, "no answer to key %d", key);
    io_socket_close(sim_node_shard(w->client, 0), p->socket);
    run(w, SECOND_NS / 10);
    return answer;
}

static struct metadata_response_topics *metadata(struct world *w, const char *name, bool create)
{
    struct metadata_request_topics t = {.name = wire_string_of(name)};
    struct metadata_request q;
    metadata_request_init(&q);
    q.topics = &t;
    q.topics_count = 1;
    q.allow_auto_topic_creation = create;
    return ((struct metadata_response *)ask(w, 3, 4, &q))->topics;
}

static struct produce_request *produce_request(const char *topic, struct bytes batch,
                                               int32_t timeout_ms)
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

static int16_t produced(struct world *w, const char *topic, struct bytes batch, int32_t timeout_ms)
{
    struct produce_response *a = ask(w, 0, 9, produce_request(topic, batch, timeout_ms));
    return a->responses[0].partition_responses[0].error_code;
}

/* --- tests --------------------------------------------------------------------------------------------- */

Test(simulated, a_node_serves_and_stops)
{
    struct world w;
    world_open(&w, 0);
    cr_assert_eq(metadata(&w, "t", true)->error_code, 0);
    cr_assert_eq(produced(&w, "t", batch_make(3, 0, 100, NULL), 1000), 0);
    node_stop(w.node);
    run(&w, 30 * SECOND_NS);
    cr_assert(w.ended);
    world_close(&w);
}

/* What is not durable when the client's timeout is over is answered with 7, and the frame stays in
 * place until the log is through with it. */
Test(simulated, a_produce_that_takes_too_long_is_told_so)
{
    struct world w;
    world_open(&w, 0);
    metadata(&w, "t", true);
    sim_faults(w.sim)->write.min_ns = 20 * SECOND_NS;
    uint64_t began = sim_now(w.sim);
    cr_assert_eq(produced(&w, "t", batch_make(1, 0, 100, NULL), 2000), 7);
    cr_assert_lt(sim_now(w.sim) - began, 4 * SECOND_NS);
    sim_faults(w.sim)->write.min_ns = 1000;
    run(&w, 60 * SECOND_NS);
    cr_assert_eq(produced(&w, "t", batch_make(1, 1, 100, NULL), 2000), 0);
    world_close(&w);
}

/* Trap 12: the wait for a creation is bounded. */
Test(simulated, a_creation_that_takes_too_long_is_told_so)
{
    struct world w;
    world_open(&w, 0);
    sim_faults(w.sim)->write.min_ns = 10 * SECOND_NS;
    uint64_t began = sim_now(w.sim);
    cr_assert_eq(metadata(&w, "t", true)->error_code, 5);
    cr_assert_leq(sim_now(w.sim) - began, 2 * SECOND_NS);
    sim_faults(w.sim)->write.min_ns = 1000;
    run(&w, 60 * SECOND_NS);
    cr_assert_eq(metadata(&w, "t", false)->error_code, 0, "it was created all the same");
    world_close(&w);
}

/* The disk fills up: retriable, and deletion still works, after which records are taken again. */
Test(simulated, a_full_disk_is_a_retriable_error, .timeout = 120)
{
    struct world w;
    world_open(&w, 96 << 20);
    metadata(&w, "t", true);
    metadata(&w, "u", true);
    int16_t error = 0;
    int taken = 0;
    for (; taken < 300 && error == 0; taken++) {
        error = produced(&w, "t", batch_make(1, 0, 500000, NULL), 30000);
    }
    cr_assert_eq(error, 56, "KAFKA_STORAGE_ERROR, after %d: %d", taken, error);
    cr_assert_gt(taken, 10);
    struct wire_string name = wire_string_of("t");
    struct delete_topics_request q = {
        .topic_names = &name, .topic_names_count = 1, .timeout_ms = 10000};
    struct delete_topics_response *a = ask(&w, 20, 3, &q);
    cr_assert_eq(a->responses[0].error_code, 0);
    run(&w, 300 * SECOND_NS);
    cr_assert_eq(produced(&w, "u", batch_make(1, 0, 500000, NULL), 30000), 0, "by itself");
    world_close(&w);
}

/* A long poll costs nothing while it waits, and ends when it said. */
Test(simulated, long_polls_end_in_time)
{
    struct world w;
    world_open(&w, 0);
    metadata(&w, "t", true);
    struct fetch_request_partitions p;
    struct fetch_request_topics t = {
        .topic = wire_string_of("t"), .partitions = &p, .partitions_count = 1};
    struct fetch_request q;
    fetch_request_init(&q);
    fetch_request_partitions_init(&p);
    p.partition_max_bytes = 1000;
    q.topics = &t;
    q.topics_count = 1;
    q.min_bytes = 1;
    q.max_wait_ms = 3600000;
    struct peer *peer = peer_open(&w);
    peer_send(peer, 1, 11, &q);
    run(&w, 3590 * SECOND_NS);
    cr_assert(!peer->closed, "a request in progress is not an idle connection");
    cr_assert_null(peer_answer(peer, 1, 11));
    run(&w, 20 * SECOND_NS);
    struct fetch_response *a = peer_answer(peer, 1, 11);
    cr_assert_not_null(a);
    cr_assert_eq(a->responses[0].partitions[0].error_code, 0);
    cr_assert_eq(a->responses[0].partitions[0].records.size, 0);
    world_close(&w);
}

static void topic_in(struct world *w, int32_t partitions)
{
    struct create_topics_request_topics topic;
    struct create_topics_request q;
    create_topics_request_init(&q);
    create_topics_request_topics_init(&topic);
    topic.name = wire_string_of("t");
    topic.num_partitions = partitions;
    topic.replication_factor = 1;
    q.topics = &topic;
    q.topics_count = 1;
    q.timeout_ms = 10000;
    struct create_topics_response *made = ask(w, 19, 5, &q);
    cr_assert_eq(made->topics[0].error_code, 0);
}

/* A group's commit of partition 0 of "t", -1: none. */
static int64_t committed_by(struct world *w, const char *group)
{
    int32_t index = 0;
    struct offset_fetch_request_topics t = {wire_string_of("t"), &index, 1};
    struct offset_fetch_request q;
    offset_fetch_request_init(&q);
    q.group_id = wire_string_of(group);
    q.topics = &t;
    q.topics_count = 1;
    struct offset_fetch_response *a = ask(w, 9, 5, &q);
    cr_assert_eq(a->error_code, 0);
    return a->topics[0].partitions[0].committed_offset;
}

static int16_t commit_of(struct world *w, const char *group, int32_t generation,
                         struct wire_string member, int64_t offset)
{
    struct offset_commit_request_partitions p;
    struct offset_commit_request_topics t = {
        .name = wire_string_of("t"), .partitions = &p, .partitions_count = 1};
    struct offset_commit_request q;
    offset_commit_request_partitions_init(&p);
    offset_commit_request_init(&q);
    p.committed_offset = offset;
    p.committed_metadata = wire_string_null();
    q.group_id = wire_string_of(group);
    q.generation_id_or_member_epoch = generation;
    q.member_id = member;
    q.group_instance_id = wire_string_null();
    q.topics = &t;
    q.topics_count = 1;
    struct offset_commit_response *a = ask(w, 8, 5, &q);
    return a->topics[0].partitions[0].error_code;
}

static void commit_as(struct world *w, const char *group, int32_t generation,
                      struct wire_string member)
{
    cr_assert_eq(commit_of(w, group, generation, member, 7), 0);
}

static size_t groups_listed(struct world *w)
{
    struct list_groups_request q = {0};
    return (size_t)((struct list_groups_response *)ask(w, 16, 2, &q))->groups_count;
}

/* Commits on a full disk are refused with what clients try again, nothing of them is seen, and they
 * go on by themselves. */
Test(simulated, a_commit_on_a_full_disk_is_tried_again, .timeout = 120)
{
    struct world w;
    world_open(&w, 96 << 20);
    topic_in(&w, 1);
    metadata(&w, "u", true);
    struct find_coordinator_request find;
    find_coordinator_request_init(&find);
    find.key = wire_string_of("g");
    cr_assert_eq(((struct find_coordinator_response *)ask(&w, 10, 1, &find))->error_code, 0);
    const struct wire_string nobody = wire_string_of("");
    for (int i = 0; i < 300 && produced(&w, "u", batch_make(1, 0, 500000, NULL), 30000) == 0;) {
        i++;
    }
    int64_t offset = 0;
    int16_t error = 0;
    for (int i = 0; i < 3000 && error == 0; i++) {
        error = commit_of(&w, "g", -1, nobody, ++offset);
    }
    cr_assert_eq(error, 15, "%d at %ld", error, (long)offset);
    cr_assert_eq(committed_by(&w, "g"), offset > 1 ? offset - 1 : -1);
    struct wire_string name = wire_string_of("u");
    struct delete_topics_request q = {
        .topic_names = &name, .topic_names_count = 1, .timeout_ms = 10000};
    cr_assert_eq(((struct delete_topics_response *)ask(&w, 20, 3, &q))->responses[0].error_code, 0);
    run(&w, 30 * SECOND_NS);
    cr_assert_eq(commit_of(&w, "g", -1, nobody, 4711), 0, "by itself");
    cr_assert_eq(committed_by(&w, "g"), 4711);
    world_close(&w);
}

/* A group of outsiders forgets a minute after the commit; one with a member, which subscribes to the
 * topic, remembers until a minute after he has gone (KIP-211). Then both are gone. */
Test(simulated, offsets_are_kept_while_somebody_reads)
{
    /* version 0, one topic "t", no user data */
    static const uint8_t subscription[] = {0, 0, 0, 0, 0, 1, 0, 1, 't', 0xff, 0xff, 0xff, 0xff};
    struct join_group_request_protocols protocol = {wire_string_of("range"),
                                                    {subscription, sizeof subscription}};
    struct world w;
    world_open(&w, 0);
    topic_in(&w, 1);
    struct find_coordinator_request find;
    find_coordinator_request_init(&find);
    find.key = wire_string_of("g");
    cr_assert_eq(((struct find_coordinator_response *)ask(&w, 10, 1, &find))->error_code, 0);
    struct join_group_request join;
    join_group_request_init(&join);
    join.group_id = wire_string_of("members");
    join.session_timeout_ms = join.rebalance_timeout_ms = 180000;
    join.group_instance_id = wire_string_null();
    join.protocol_type = wire_string_of("consumer");
    join.protocols = &protocol;
    join.protocols_count = 1;
    struct join_group_response *j = ask(&w, 11, 3, &join);
    cr_assert_eq(j->error_code, 0);
    struct sync_group_request sync;
    sync_group_request_init(&sync);
    sync.group_id = join.group_id;
    sync.generation_id = j->generation_id;
    sync.member_id = j->member_id;
    sync.group_instance_id = sync.protocol_type = sync.protocol_name = wire_string_null();
    cr_assert_eq(((struct sync_group_response *)ask(&w, 14, 3, &sync))->error_code, 0);
    commit_as(&w, "members", j->generation_id, j->member_id);
    commit_as(&w, "outsiders", -1, wire_string_of(""));
    run(&w, 50 * SECOND_NS);
    cr_assert_eq(committed_by(&w, "outsiders"), 7);
    run(&w, 15 * SECOND_NS);
    cr_assert_eq(committed_by(&w, "outsiders"), -1);
    cr_assert_eq(committed_by(&w, "members"), 7, "it has a member");
    run(&w, 30 * SECOND_NS);
    cr_assert_eq(groups_listed(&w), 1, "the other one is gone");
    run(&w, 140 * SECOND_NS); /* its session has ended, less than a minute ago */
    cr_assert_eq(committed_by(&w, "members"), 7);
    run(&w, 70 * SECOND_NS);
    cr_assert_eq(committed_by(&w, "members"), -1);
    run(&w, 3 * SECOND_NS);
    cr_assert_eq(groups_listed(&w), 0);
    world_close(&w);
}

/* Readers that take nothing hold as much of the log's memory as sockets may. Who asks meanwhile gets
 * what there is, and does not wait for room. */
Test(simulated, a_fetch_does_not_wait_for_those_who_do_not_read)
{
    enum { SLOW = 12 };
    struct world w;
    world_open(&w, 0);
    topic_in(&w, 1);
    struct produce_request *in = produce_request("t", batch_make(2, 0, 250000, NULL), 10000);
    struct produce_response *a = ask(&w, 0, 9, in);
    cr_assert_eq(a->responses[0].partition_responses[0].error_code, 0);
    struct fetch_request_partitions p;
    struct fetch_request_topics t = {
        .topic = wire_string_of("t"), .partitions = &p, .partitions_count = 1};
    struct fetch_request q;
    fetch_request_init(&q);
    fetch_request_partitions_init(&p);
    p.partition_max_bytes = q.max_bytes = 1 << 20;
    q.topics = &t;
    q.topics_count = 1;
    q.min_bytes = 1;
    q.max_wait_ms = 60000;
    struct peer *good = peer_open(&w), *slow[SLOW];
    for (int i = 0; i < SLOW; i++) {
        slow[i] = peer_open_as(&w, true);
    }
    for (int i = 0; i < SLOW; i++) {
        peer_send(slow[i], 1, 11, &q);
    }
    run(&w, SECOND_NS / 10);
    peer_send(good, 1, 11, &q);
    run(&w, SECOND_NS / 5);
    struct fetch_response *f = peer_answer(good, 1, 11);
    cr_assert_not_null(f);
    cr_assert_eq(f->responses[0].partitions[0].error_code, 0);
    cr_assert_eq(records_check(&f->responses[0].partitions[0].records, 0), 2);
    world_close(&w);
}

enum { STOP_SHARDS = 3, STOP_PARTITIONS = 8, STOP_PEERS = 6 };

/* Peers fetch every partition and read nothing of the answer; then the node stops, and has to close
 * their connections with what is lent to them. */
static void fetch_and_stop(struct world *w)
{
    struct fetch_request_partitions p[STOP_PARTITIONS];
    struct fetch_request_topics t = {
        .topic = wire_string_of("t"), .partitions = p, .partitions_count = STOP_PARTITIONS};
    struct fetch_request q;
    struct peer *peers[STOP_PEERS];
    fetch_request_init(&q);
    q.topics = &t;
    q.topics_count = 1;
    q.max_bytes = 1 << 20;
    q.min_bytes = 1;
    for (int i = 0; i < STOP_PARTITIONS; i++) {
        fetch_request_partitions_init(&p[i]);
        p[i].partition = i;
        p[i].partition_max_bytes = 1 << 20;
    }
    for (int i = 0; i < STOP_PEERS; i++) {
        peers[i] = peer_open_as(w, true);
    }
    for (int i = 0; i < STOP_PEERS; i++) {
        peer_send(peers[i], 1, 11, &q);
    }
    run(w, SECOND_NS);
    node_stop(w->node);
    run(w, 30 * SECOND_NS);
    cr_assert(w->ended);
}

/* What a shard has lent to another is on its way home while the shards stop, and arrives before the
 * logs close. */
Test(simulated, what_is_lent_is_home_before_the_logs_close, .timeout = 300)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct world w;
        world_open_as(&w, 0, STOP_SHARDS, seed);
        topic_in(&w, STOP_PARTITIONS);
        for (int i = 0; i < STOP_PARTITIONS; i++) {
            struct produce_request *in = produce_request("t", batch_make(2, 0, 60000, NULL), 10000);
            in->topic_data[0].partition_data[0].index = i;
            struct produce_response *a = ask(&w, 0, 9, in);
            cr_assert_eq(a->responses[0].partition_responses[0].error_code, 0);
        }
        fetch_and_stop(&w);
        world_close(&w);
    }
}

/* --- groups, and a machine that loses its power --------------------------------------------------- */

enum { CUT_SEEDS = 12, CUTS = 4, CUT_SHARDS = 2 };

/* What one member knows: the generation that it was told with an assignment, and its commits. */
struct committer {
    struct world *w;
    struct prng prng;
    struct wire_string member;
    int32_t generation;
    int64_t sent, acknowledged;
};

static bool is_up(const struct world *w)
{
    return sim_node_state(w->machine) == SIM_RUNNING;
}

/* NULL: the machine has gone before it answered. */
static void *ask_unless_cut(struct world *w, int16_t key, int16_t version, const void *request)
{
    struct peer *p = arena_alloc(client_arena(), sizeof *p);
    p->w = w;
    p->connect.done = connected;
    p->receive.done = received;
    p->send.done = sent;
    io_connect(sim_node_shard(w->client, 0), &p->connect, &p->socket, "machine", 9092);
    while (is_up(w) && !p->connected && !p->closed) {
        sim_step(w->sim);
    }
    if (is_up(w) && p->connected) {
        peer_send(p, key, version, request);
    }
    void *answer = NULL;
    while (is_up(w) && !p->closed && !(answer = peer_answer(p, key, version))) {
        sim_step(w->sim);
    }
    p->closed = true;
    if (p->connected) {
        io_socket_close(sim_node_shard(w->client, 0), p->socket);
    }
    return answer;
}

/* Another life on the same disk. */
static void world_again(struct world *w)
{
    w->ready = false;
    w->node = node_new(&w->memory, &w->options);
    cr_assert_not_null(w->node);
    sim_node_start(w->machine, CUT_SHARDS, node_start, w->node);
    run(w, 10 * SECOND_NS);
    cr_assert(w->ready);
}

static int16_t cut_heartbeat(struct committer *c)
{
    struct heartbeat_request q;
    heartbeat_request_init(&q);
    q.group_id = wire_string_of("g");
    q.generation_id = c->generation;
    q.member_id = c->member;
    const struct heartbeat_response *a = ask_unless_cut(c->w, 12, 2, &q);
    return a ? a->error_code : -1;
}

/* A member of a generation of its own. One that was there before and says nothing is left behind. */
static void cut_join(struct committer *c)
{
    struct join_group_request_protocols protocol = {wire_string_of("range"), {(uint8_t *)"x", 1}};
    struct sync_group_request_assignments all = {.assignment = {(uint8_t *)"all", 3}};
    struct join_group_request join;
    struct sync_group_request sync;
    join_group_request_init(&join);
    sync_group_request_init(&sync);
    join.group_id = sync.group_id = wire_string_of("g");
    join.session_timeout_ms = 1800000;
    join.rebalance_timeout_ms = 5000;
    join.protocol_type = wire_string_of("consumer");
    join.protocols = &protocol;
    join.protocols_count = 1;
    c->member = wire_string_null();
    const struct join_group_response *j = ask_unless_cut(c->w, 11, 3, &join);
    cr_assert(!j || j->error_code == 0, "%d", j ? j->error_code : 0);
    sync.generation_id = j ? j->generation_id : 0;
    sync.member_id = all.member_id = j ? j->member_id : wire_string_null();
    sync.assignments = &all;
    sync.assignments_count = 1;
    const struct sync_group_response *s = j ? ask_unless_cut(c->w, 14, 2, &sync) : NULL;
    if (s) {
        cr_assert_eq(s->error_code, 0, "%d", s->error_code);
        cr_assert_gt(j->generation_id, c->generation, "an assigned generation is given again");
        c->generation = j->generation_id;
        c->member = j->member_id;
    }
}

static void cut_leave(struct committer *c)
{
    struct leave_group_request q;
    leave_group_request_init(&q);
    q.group_id = wire_string_of("g");
    q.member_id = c->member;
    const struct leave_group_response *a = ask_unless_cut(c->w, 13, 2, &q);
    cr_assert_not_null(a);
    cr_assert_eq(a->error_code, 0);
}

static void cut_commit(struct committer *c)
{
    struct offset_commit_request_partitions p;
    struct offset_commit_request_topics t = {
        .name = wire_string_of("t"), .partitions = &p, .partitions_count = 1};
    struct offset_commit_request q;
    offset_commit_request_partitions_init(&p);
    offset_commit_request_init(&q);
    p.committed_offset = ++c->sent;
    p.committed_metadata = wire_string_null();
    q.group_id = wire_string_of("g");
    q.generation_id_or_member_epoch = c->generation;
    q.member_id = c->member;
    q.topics = &t;
    q.topics_count = 1;
    const struct offset_commit_response *a = ask_unless_cut(c->w, 8, 5, &q);
    if (a) {
        cr_assert_eq(a->topics[0].partitions[0].error_code, 0);
        c->acknowledged = c->sent;
    }
}

/* One life: it begins with all that was told, and ends in the middle of something. */
static void cut_life(struct committer *c)
{
    struct world *w = c->w;
    int64_t found = committed_by(w, "g");
    cr_assert(found < 0 ? c->acknowledged == 0 : found >= c->acknowledged && found <= c->sent,
              "%ld is committed, acknowledged were %ld, sent %ld", (long)found,
              (long)c->acknowledged, (long)c->sent);
    cr_assert(c->member.size <= 0 || cut_heartbeat(c) == 0, "a member does not go on");
    sim_crash_after(w->machine, prng_between(&c->prng, 1, 300),
                    prng_below(&c->prng, 3) ? SIM_CRASH_POWER : SIM_CRASH_KILL);
    while (is_up(w)) {
        if (c->member.size <= 0 || prng_below(&c->prng, 8) == 0) {
            cut_join(c);
        } else {
            cut_commit(c);
        }
    }
    world_again(w);
}

/* What a member was told, that it has a generation and that an offset is committed, is there when the
 * machine is again. */
Test(simulated, what_a_group_was_told_survives_a_power_cut, .timeout = 300)
{
    for (uint64_t seed = 1; seed <= CUT_SEEDS; seed++) {
        struct world w;
        world_open_as(&w, 0, CUT_SHARDS, seed);
        sim_faults(w.sim)->write.min_ns = SECOND_NS / 1000; /* slower than any answer */
        topic_in(&w, 1);
        struct find_coordinator_request find;
        find_coordinator_request_init(&find);
        find.key = wire_string_of("g");
        ask(&w, 10, 1, &find);
        struct committer c = {.w = &w, .prng = prng_of(seed), .member = wire_string_null()};
        for (int i = 0; i < CUTS; i++) {
            cut_life(&c);
        }
        cr_log_info("seed %lu: %ld commits, generation %d", (unsigned long)seed,
                    (long)c.acknowledged, c.generation);
        cr_assert_gt(c.acknowledged, 0);
        world_close(&w);
    }
}

/* The last member has been told that it has left: nobody waits for it when the machine is back. */
Test(simulated, who_has_left_is_gone_after_a_power_cut, .timeout = 120)
{
    for (uint64_t seed = 1; seed <= CUT_SEEDS; seed++) {
        struct world w;
        world_open_as(&w, 0, CUT_SHARDS, seed);
        sim_faults(w.sim)->write.min_ns = SECOND_NS / 1000; /* slower than any answer */
        struct find_coordinator_request find;
        find_coordinator_request_init(&find);
        find.key = wire_string_of("g");
        ask(&w, 10, 1, &find);
        struct committer c = {.w = &w, .prng = prng_of(seed), .member = wire_string_null()};
        cut_join(&c);
        cr_assert_eq(cut_heartbeat(&c), 0);
        cut_leave(&c);
        sim_node_power_cut(w.machine);
        world_again(&w);
        cr_assert_eq(cut_heartbeat(&c), 25, "UNKNOWN_MEMBER_ID, seed %lu", (unsigned long)seed);
        world_close(&w);
    }
}
