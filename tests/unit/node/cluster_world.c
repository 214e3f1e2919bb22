/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster_world.h"

#include "wire/wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <criterion/criterion.h>

#define expect(w, condition, format, ...)                                                          \
    cr_assert(condition, "seed %" PRIu64 ", %u nodes, at %.3f s: " format, (w)->seed, (w)->count,  \
              (double)sim_now((w)->sim) / 1e9, ##__VA_ARGS__)

static const uint64_t stop_most_ns = 15000 * CLUSTER_MS; /* pauses and slow disks included */

/* --- a node ----------------------------------------------------------------------------------- */

static void refuse_line(void *context, const char *line)
{
    cr_assert_fail("%s", line);
}

static void configure(struct member *m)
{
    char id[12], listener[24];
    snprintf(id, sizeof id, "%d", (int)m->id);
    snprintf(listener, sizeof listener, "n%d:9092", (int)m->id);
    const struct config_setting settings[] = {
        {"--data", "data.dir", "/data"},         {"--set", "node.id", id},
        {"--set", "listeners", listener},        {"--set", "security.open", "true"},
        {"--set", "peers", m->world->peers},     {"--set", "journal.file.bytes", "1MiB"},
        {"--set", "journal.bytes.max", "16MiB"}, {"--set", "limits.memory", "128MiB"},
    };
    const struct config_input input = {.settings = settings, .setting_count = array_size(settings)};
    memory_init(&m->config_memory, 16 << 20);
    cr_assert_eq(config_load(&m->config, &m->config_memory, &input, refuse_line, NULL), 0);
}

static void ready(void *context, const char *line, uint16_t port)
{
    ((struct member *)context)->ready = true;
}

static void ended(void *context, int status, const char *line)
{
    struct member *m = context;
    m->ended = true;
    m->status = status;
    snprintf(m->why, sizeof m->why, "%s", line);
}

void member_start(struct member *m)
{
    assert(!member_runs(m));
    memory_drop(&m->memory);
    memory_init(&m->memory, 16 << 20);
    const struct node_options options = {
        .config = m->config, .shards = m->shards, .ready = ready, .ended = ended, .context = m};
    m->ready = m->ended = m->stopping = false;
    m->restart_ns = 0;
    m->image = NULL;
    m->offset = -1;
    m->lives++;
    m->node = node_new(&m->memory, &options);
    cr_assert_not_null(m->node);
    sim_node_start(m->machine, m->shards, node_start, m->node);
}

bool member_runs(const struct member *m)
{
    return sim_node_state(m->machine) == SIM_RUNNING;
}

static void stop_here(struct io_message *message, struct io *io)
{
    node_stop(container_of(message, struct member, stop)->node);
}

void member_stop(struct member *m)
{
    if (!member_runs(m) || m->ended || m->stopping) {
        return;
    }
    m->stopping = true;
    m->stop_ns = sim_now(m->world->sim);
    m->stop = (struct io_message){.deliver = stop_here};
    io_post(sim_node_shard(m->machine, 0), 0, &m->stop);
}

void member_lose_disk(struct member *m)
{
    disk_free(sim_node_swap_disk(m->machine, disk_new(UINT64_C(1) << 30)));
    m->topics_lost = m->world->topic_count;
}

/* --- what holds at every step ----------------------------------------------------------------- */

static void sum(uint64_t *hash, const void *bytes, size_t size)
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i < size; i++) {
        *hash = (*hash ^ p[i]) * UINT64_C(0x100000001b3);
    }
}

static void sum_number(uint64_t *hash, int64_t number)
{
    sum(hash, &number, sizeof number);
}

static void sum_topic(uint64_t *hash, const struct image_topic *t)
{
    sum(hash, t->name, strlen(t->name) + 1);
    sum(hash, t->id.bytes, sizeof t->id.bytes);
    sum_number(hash, t->partition_count);
    for (int32_t i = 0; i < t->partition_count; i++) {
        const struct image_partition *p = &t->partitions[i];
        sum_number(hash, p->leader);
        sum_number(hash, p->leader_epoch);
        sum_number(hash, p->partition_epoch);
        sum_number(hash, p->recovering + 2 * (int64_t)p->unclean_epoch);
        sum_number(hash, p->isr_count);
        sum(hash, p->replicas, (size_t)p->replica_count * sizeof *p->replicas);
        sum(hash, p->isr, (size_t)p->isr_count * sizeof *p->isr);
    }
}

static uint64_t image_sum(const struct image *image)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    sum(&hash, image_cluster_id(image), strlen(image_cluster_id(image)));
    sum_number(&hash, image_controller(image));
    for (uint32_t i = 0; i < image_broker_count(image); i++) {
        const struct image_broker *b = image_broker_at(image, i);
        sum_number(&hash, b->id);
        sum_number(&hash, b->epoch);
        sum_number(&hash, b->fenced + 2 * b->shutting_down);
        sum(&hash, b->incarnation.bytes, sizeof b->incarnation.bytes);
        sum(&hash, b->directory.bytes, sizeof b->directory.bytes);
        sum_number(&hash, b->endpoint_count);
    }
    for (uint32_t i = 0; i < image_topic_count(image); i++) {
        sum_topic(&hash, image_topic_at(image, i));
    }
    return hash ? hash : 1;
}

/* Its only replica was on a disk that was lost, */
static bool is_lost(const struct cluster_world *w, const struct told_topic *t, int32_t replica)
{
    return t - w->topics < w->members[replica - 1].topics_lost;
}

/* or may have been placed there before the broker came back with another. */
static bool may_be_lost(const struct cluster_world *w, const struct told_topic *t, int32_t replica)
{
    return t - w->topics < w->members[replica - 1].topics_doubtful;
}

static struct told_topic *told(struct cluster_world *w, const char *name)
{
    for (uint32_t i = 0; i < w->topic_count; i++) {
        if (strcmp(w->topics[i].name, name) == 0) {
            return &w->topics[i];
        }
    }
    return NULL;
}

/* B1: the newest image of all. */
static void check_epochs(struct cluster_world *w, const struct image *image)
{
    for (uint32_t i = 0; i < image_broker_count(image); i++) {
        const struct image_broker *b = image_broker_at(image, i);
        expect(w, b->id >= 1 && b->id <= (int32_t)w->count, "a broker %d", (int)b->id);
        int64_t *epoch = &w->broker_epochs[b->id - 1];
        expect(w, b->epoch >= *epoch, "B1: the epoch of broker %d goes back from %" PRId64, b->id,
               *epoch);
        *epoch = b->epoch;
        struct member *m = &w->members[b->id - 1];
        if (!uuid_is_zero(m->directory) && !uuid_equal(m->directory, b->directory)) {
            m->topics_doubtful = w->topic_count;
        }
        m->directory = b->directory;
    }
    for (uint32_t i = 0; i < image_topic_count(image); i++) {
        const struct image_topic *t = image_topic_at(image, i);
        struct told_topic *known = told(w, t->name);
        expect(w, known, "nobody has made the topic %s", t->name);
        if (!uuid_equal(known->id, t->id)) {
            expect(w, uuid_is_zero(known->id), "%s has another id", t->name);
            known->id = t->id;
        }
        for (int32_t p = 0; p < t->partition_count; p++) {
            expect(w, t->partitions[p].leader_epoch >= known->leader_epochs[p],
                   "B1: the leader epoch of %s-%d goes back", t->name, (int)p);
            known->leader_epochs[p] = t->partitions[p].leader_epoch;
        }
    }
}

static void check_image(struct member *m, const struct image *image)
{
    struct cluster_world *w = m->world;
    int64_t offset = image_offset(image);
    if (image == m->image && offset == m->offset) {
        return;
    }
    expect(w, offset >= m->offset, "M12: the image of node %d goes back", (int)m->id);
    expect(w, offset < CLUSTER_OFFSETS_MAX, "too many records");
    m->image = image;
    m->offset = offset;
    if (offset < 0) {
        return;
    }
    uint64_t is = image_sum(image), *seen = &w->images[offset];
    expect(w, *seen == 0 || *seen == is,
           "M6: the image of node %d at offset %" PRId64 " is another than was seen", (int)m->id,
           offset);
    *seen = is;
    if (offset > w->newest) {
        w->newest = offset;
        check_epochs(w, image);
    }
}

static void check_quorum(struct member *m)
{
    struct cluster_world *w = m->world;
    struct raft_status status = meta_quorum(m->node->meta).status;
    if (status.leader == RAFT_NOBODY) {
        return;
    }
    expect(w, status.epoch < CLUSTER_EPOCHS_MAX, "too many epochs");
    int32_t *leader = &w->leaders[status.epoch];
    expect(w, *leader == 0 || *leader == status.leader,
           "M1: node %d takes %d for the leader of epoch %d, it was %d", (int)m->id,
           (int)status.leader, (int)status.epoch, (int)*leader);
    *leader = status.leader;
}

static void check_member(struct member *m)
{
    struct cluster_world *w = m->world;
    enum sim_state state = sim_node_state(m->machine);
    expect(w, state != SIM_ASSERTED && state != SIM_FATAL, "B2: node %d is %s: %s", (int)m->id,
           sim_state_name(state), sim_node_last_line(m->machine));
    if (m->ended) {
        expect(w, m->stopping && m->status == NODE_EXIT_OK, "B2: node %d has ended with %d: %s",
               (int)m->id, m->status, m->why);
    } else if (state == SIM_RUNNING) {
        expect(w, !m->stopping || sim_now(w->sim) < m->stop_ns + stop_most_ns,
               "B3: node %d does not stop", (int)m->id);
        if (m->node->meta) {
            check_quorum(m);
        }
        if (m->node->image) {
            check_image(m, m->node->image);
        }
    }
}

/* --- the client ------------------------------------------------------------------------------- */

static struct io *client_io(struct cluster_world *w)
{
    return sim_node_shard(w->client, 0);
}

static void ask_over(struct ask *a)
{
    if (!a->over) {
        a->over = true;
        if (a->socket) {
            io_socket_close(client_io(a->world), a->socket);
            a->socket = NULL;
        }
    }
}

/* The answer, decoded into the arena of the world. */
static void *ask_answer(struct ask *a)
{
    struct reader in = reader_of(a->in + 4, a->in_size - 4);
    const struct wire_api *api = wire_api_find(a->key);
    struct arena *arena = &a->world->arena;
    int32_t correlation;
    cr_assert_eq(wire_response_header_decode(api, a->version, &correlation, &in), 0);
    void *out = arena_alloc(arena, api->response->body->size);
    cr_assert_not_null(out);
    cr_assert_eq(wire_decode(api->response, out, &in, a->version, arena), 0);
    return out;
}

static void ask_judge(struct ask *a)
{
    int16_t error = -1;
    a->answered = true;
    if (a->key == WIRE_CREATE_TOPICS) {
        const struct create_topics_response *r = ask_answer(a);
        cr_assert_eq(r->topics_count, 1);
        error = r->topics[0].error_code;
    } else if (a->key == WIRE_DELETE_TOPICS) {
        const struct delete_topics_response *r = ask_answer(a);
        cr_assert_eq(r->responses_count, 1);
        error = r->responses[0].error_code;
    }
    if (error == 0) {
        a->topic->state = a->key == WIRE_CREATE_TOPICS ? TOPIC_THERE : TOPIC_GONE;
        a->world->answered++;
    }
}

static void received(struct io_op *op, int64_t result)
{
    struct ask *a = container_of(op, struct ask, receive);
    if (result <= 0 || a->over) {
        ask_over(a);
        return;
    }
    a->in_size += (size_t)result;
    if (a->in_size >= 4 && a->in_size == 4 + (size_t)get_be32(a->in)) {
        ask_judge(a);
        ask_over(a);
        return;
    }
    cr_assert_lt(a->in_size, sizeof a->in);
    io_recv(client_io(a->world), op, a->socket, a->in + a->in_size, sizeof a->in - a->in_size);
}

static void sent(struct io_op *op, int64_t result)
{
    struct ask *a = container_of(op, struct ask, send);
    if (result < 0 || a->over) {
        ask_over(a);
    } else if ((size_t)result < a->iovec.iov_len) {
        a->iovec.iov_base = (char *)a->iovec.iov_base + result;
        a->iovec.iov_len -= (size_t)result;
        io_send(client_io(a->world), op, a->socket, &a->iovec, 1);
    }
}

static void connected(struct io_op *op, int64_t result)
{
    struct ask *a = container_of(op, struct ask, connect);
    if (result != 0 || a->over) {
        ask_over(a);
        return;
    }
    io_recv(client_io(a->world), &a->receive, a->socket, a->in, sizeof a->in);
    io_send(client_io(a->world), &a->send, a->socket, &a->iovec, 1);
}

static struct ask *ask_begin(struct cluster_world *w, struct member *m, int16_t key,
                             int16_t version, const void *request)
{
    struct ask *a = NULL;
    for (uint32_t i = 0; i < CLUSTER_ASKS_MAX && !a; i++) {
        a = w->asks[i].active ? NULL : &w->asks[i];
    }
    if (!a) {
        return NULL;
    }
    const struct wire_request_header header = {key, version, 1, wire_string_of("sim")};
    struct wire_writer out;
    struct iovec piece;
    size_t at = 0;
    wire_writer_init(&out, &w->memory, sizeof a->out);
    wire_frame_begin(&out);
    cr_assert_eq(wire_request_header_encode(&header, &out), 0);
    cr_assert_eq(wire_encode(wire_api_find(key)->request, request, &out, version), 0);
    cr_assert_eq(wire_frame_end(&out), 0);
    while (wire_writer_iovecs(&out, at, &piece, 1) == 1) {
        memcpy(a->out + at, piece.iov_base, piece.iov_len);
        at += piece.iov_len;
    }
    wire_writer_deinit(&out);
    a->world = w;
    a->member = m;
    a->key = key;
    a->version = version;
    a->topic = NULL;
    a->connect = (struct io_op){.done = connected};
    a->send = (struct io_op){.done = sent};
    a->receive = (struct io_op){.done = received};
    a->iovec = (struct iovec){a->out, at};
    a->in_size = 0;
    a->deadline_ns = sim_now(w->sim) + 3000 * CLUSTER_MS;
    a->active = true;
    a->over = a->answered = false;
    io_connect(client_io(w), &a->connect, &a->socket, sim_node_name(m->machine), 9092);
    return a;
}

static void asks_sweep(struct cluster_world *w)
{
    for (uint32_t i = 0; i < CLUSTER_ASKS_MAX; i++) {
        struct ask *a = &w->asks[i];
        if (!a->active) {
            continue;
        }
        if (!a->over && sim_now(w->sim) >= a->deadline_ns) {
            ask_over(a);
        }
        if (a->over && io_op_idle(&a->connect) && io_op_idle(&a->send) && io_op_idle(&a->receive)) {
            a->active = false;
        }
    }
}

struct told_topic *world_create(struct cluster_world *w, struct member *m)
{
    struct create_topics_request_topics topic;
    struct create_topics_request q;
    if (w->topic_count == CLUSTER_TOPICS_MAX) {
        return NULL;
    }
    struct told_topic *t = &w->topics[w->topic_count];
    snprintf(t->name, sizeof t->name, "t%u", w->topic_count);
    create_topics_request_init(&q);
    create_topics_request_topics_init(&topic);
    topic.name = wire_string_of(t->name);
    topic.num_partitions = CLUSTER_PARTITIONS;
    topic.replication_factor = 1;
    q.topics = &topic;
    q.topics_count = 1;
    q.timeout_ms = 2000;
    struct ask *a = ask_begin(w, m, WIRE_CREATE_TOPICS, 5, &q);
    if (!a) {
        return NULL;
    }
    a->topic = t;
    w->topic_count++;
    return t;
}

void world_delete(struct cluster_world *w, struct member *m, struct told_topic *t)
{
    struct wire_string name = wire_string_of(t->name);
    struct delete_topics_request q = {
        .topic_names = &name, .topic_names_count = 1, .timeout_ms = 2000};
    struct ask *a = ask_begin(w, m, WIRE_DELETE_TOPICS, 3, &q);
    if (a) {
        t->state = TOPIC_PARTING;
        a->topic = t;
    }
}

/* --- the world -------------------------------------------------------------------------------- */

static void client_start(struct io *io, void *argument)
{
}

void world_open(struct cluster_world *w, uint64_t seed, uint32_t count)
{
    assert(count > 0 && count <= CLUSTER_NODES_MAX);
    memset(w, 0, sizeof *w);
    w->seed = seed;
    w->count = count;
    w->newest = -1;
    w->sim = sim_new(&(struct sim_options){
        .seed = seed, .catch_asserts = true, .story = getenv("CLUSTER_STORY") ? stdout : NULL});
    w->random = sim_random(w->sim, 0x636c7573);
    memory_init(&w->memory, SIZE_MAX);
    arena_init(&w->arena, &w->memory, SIZE_MAX / 2);
    for (uint32_t i = 0; i < count; i++) {
        size_t used = strlen(w->peers);
        snprintf(w->peers + used, sizeof w->peers - used, "%sn%u:9092", i ? "," : "", i + 1);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct member *m = &w->members[i];
        char name[8];
        snprintf(name, sizeof name, "n%u", i + 1);
        m->world = w;
        m->id = (int32_t)i + 1;
        m->shards = 1 + (unsigned)prng_below(&w->random, 2);
        m->machine = sim_node_new(w->sim, name);
        memory_init(&m->memory, 16 << 20);
        configure(m);
    }
    w->client = sim_node_new(w->sim, "client");
    sim_node_start(w->client, 1, client_start, w);
}

void world_close(struct cluster_world *w)
{
    sim_free(w->sim);
    for (uint32_t i = 0; i < w->count; i++) {
        config_free(w->members[i].config);
        memory_drop(&w->members[i].config_memory);
        memory_drop(&w->members[i].memory);
    }
    arena_deinit(&w->arena);
    memory_drop(&w->memory);
}

void world_run(struct cluster_world *w, uint64_t ns)
{
    uint64_t until = sim_now(w->sim) + ns;
    while (sim_now(w->sim) < until) {
        if (!sim_step(w->sim)) {
            sim_run(w->sim, until);
        }
        asks_sweep(w);
        for (uint32_t i = 0; i < w->count; i++) {
            struct member *m = &w->members[i];
            check_member(m);
            if (m->restart_ns && m->restart_ns <= sim_now(w->sim) && !member_runs(m)) {
                member_start(m);
            }
        }
    }
}

/* --- faults ----------------------------------------------------------------------------------- */

void world_choose_faults(struct cluster_world *w)
{
    struct sim_faults *f = sim_faults(w->sim);
    struct prng *r = &w->random;
    f->crash.power_lost = prng_chance(r, 1, 2) ? 400 : 0;
    f->crash.kill_lost = prng_chance(r, 1, 2) ? 250 : 0;
    f->crash.kill_torn = prng_chance(r, 1, 4) ? 100 : 0;
    f->link.mean_ns = prng_chance(r, 1, 2) ? f->link.mean_ns : prng_below(r, 20 * CLUSTER_MS);
    f->link.tail = prng_chance(r, 1, 2) ? 0 : 20;
    f->link.tail_ns = 400 * CLUSTER_MS;
    f->sync.tail = prng_chance(r, 1, 2) ? 0 : 20;
    f->sync.tail_ns = 1500 * CLUSTER_MS;
    f->connection_reset = prng_chance(r, 1, 2) ? 0 : 2000;
    f->connect_refused = prng_chance(r, 1, 2) ? 0 : 50000;
    f->short_transfers = prng_chance(r, 1, 2) ? 0 : 200000;
    f->piece_max = prng_chance(r, 3, 4) ? 0 : 100;
}

static void faults_end(struct cluster_world *w)
{
    struct sim_faults *f = sim_faults(w->sim);
    struct disk_crash crash = f->crash;
    *f = sim_faults_none();
    f->crash = crash;
}

static uint64_t some_ms(struct cluster_world *w, uint64_t most)
{
    return (1 + prng_below(&w->random, most)) * CLUSTER_MS;
}

static void end_member(struct member *m, unsigned how)
{
    struct cluster_world *w = m->world;
    if (how == 0) {
        sim_node_kill(m->machine);
    } else if (how == 1) {
        sim_node_power_cut(m->machine);
    } else if (how == 2) {
        member_stop(m);
    } else {
        sim_crash_after(m->machine, 1 + prng_below(&w->random, 60),
                        how == 3 ? SIM_CRASH_KILL : SIM_CRASH_POWER);
    }
    m->restart_ns = sim_now(w->sim) + some_ms(w, prng_below(&w->random, 2) ? 100 : 4000);
}

static void all_lose_power(struct cluster_world *w)
{
    for (uint32_t i = 0; i < w->count; i++) {
        if (member_runs(&w->members[i]) && !w->members[i].ended) {
            end_member(&w->members[i], 1);
        }
    }
}

void member_cut(struct member *m, bool in, bool out)
{
    struct cluster_world *w = m->world;
    unsigned index = (unsigned)m->id - 1;
    for (unsigned i = 0; i < w->count; i++) {
        if (i != index && out) {
            sim_link_set(w->sim, index, i, SIM_LINK_CUT);
        }
        if (i != index && in) {
            sim_link_set(w->sim, i, index, SIM_LINK_CUT);
        }
    }
}

static void links_up(struct cluster_world *w)
{
    for (unsigned i = 0; i < w->count; i++) {
        for (unsigned j = 0; j < w->count; j++) {
            if (i != j) {
                sim_link_set(w->sim, i, j, SIM_LINK_UP);
                sim_link_clog(w->sim, i, j, 0);
            }
        }
    }
}

static void ask_something(struct cluster_world *w)
{
    struct member *m = world_leader(w);
    if (!m || prng_below(&w->random, 4) == 0) {
        m = &w->members[prng_below(&w->random, w->count)];
    }
    struct told_topic *t =
        w->topic_count > 0 ? &w->topics[prng_below(&w->random, w->topic_count)] : NULL;
    if (t && t->state == TOPIC_THERE && prng_below(&w->random, 4) == 0) {
        world_delete(w, m, t);
    } else if (w->topic_count < CLUSTER_TOPICS_MAX - 10) {
        world_create(w, m);
    }
}

void world_disturb(struct cluster_world *w)
{
    unsigned from = (unsigned)prng_below(&w->random, w->count);
    unsigned to = (unsigned)prng_below(&w->random, w->count);
    struct member *m = &w->members[from];
    unsigned choice = (unsigned)prng_below(&w->random, 30);
    if (choice < 4) {
        if (member_runs(m) && !m->ended) {
            end_member(m, (unsigned)prng_below(&w->random, 5));
        }
    } else if (choice < 6) {
        sim_node_pause(m->machine, sim_now(w->sim) + some_ms(w, 3000));
    } else if (choice < 8 && from != to) {
        sim_link_set(w->sim, from, to, prng_below(&w->random, 3) ? SIM_LINK_CUT : SIM_LINK_REFUSE);
    } else if (choice == 8) {
        member_cut(m, true, true);
    } else if (choice == 9) {
        bool in = prng_chance(&w->random, 1, 2);
        member_cut(m, in, !in);
    } else if (choice < 12 && from != to) {
        sim_link_clog(w->sim, from, to, some_ms(w, 300));
    } else if (choice == 12 && from != to) {
        sim_link_reset(w->sim, from, to);
    } else if (choice == 13 && sim_now(w->sim) / CLUSTER_MS % 8 == 0) {
        all_lose_power(w);
    } else if (choice < 16) {
        links_up(w);
    } else {
        ask_something(w);
    }
}

void world_heal(struct cluster_world *w)
{
    links_up(w);
    faults_end(w);
    for (uint32_t i = 0; i < w->count; i++) {
        struct member *m = &w->members[i];
        sim_crash_after(m->machine, 0, SIM_CRASH_KILL);
        if (!member_runs(m)) {
            member_start(m);
        } else if (m->stopping && !m->restart_ns) {
            m->restart_ns = sim_now(w->sim) + CLUSTER_MS;
        }
    }
}

/* --- when the faults are over ----------------------------------------------------------------- */

struct member *world_leader(struct cluster_world *w)
{
    int32_t leader = RAFT_NOBODY, epoch = -1;
    for (uint32_t i = 0; i < w->count; i++) {
        struct member *m = &w->members[i];
        if (!member_runs(m) || m->ended || !m->node->meta) {
            continue;
        }
        struct raft_status status = meta_quorum(m->node->meta).status;
        if (status.epoch > epoch) {
            epoch = status.epoch;
            leader = status.leader;
        }
    }
    return leader > 0 && leader <= (int32_t)w->count ? &w->members[leader - 1] : NULL;
}

static bool missing(char why[static 200], const char *what, int32_t id)
{
    snprintf(why, 200, "%s (%d)", what, (int)id);
    return false;
}

static bool image_is_whole(struct cluster_world *w, const struct image *image, char why[static 200])
{
    if (image_broker_count(image) != w->count) {
        return missing(why, "brokers registered", (int32_t)image_broker_count(image));
    }
    for (uint32_t i = 0; i < w->count; i++) {
        const struct image_broker *b = image_broker_at(image, i);
        if (b->fenced || b->shutting_down) {
            return missing(why, "a broker is fenced", b->id);
        }
    }
    for (uint32_t i = 0; i < image_topic_count(image); i++) {
        const struct image_topic *t = image_topic_at(image, i);
        for (int32_t p = 0; p < t->partition_count; p++) {
            int32_t replica = t->partitions[p].replicas[0];
            bool lost = is_lost(w, told(w, t->name), replica);
            expect(w, !lost || t->partitions[p].leader < 0, "%s-%d is led without its data",
                   t->name, (int)p);
            if (t->partitions[p].leader < 0 && !may_be_lost(w, told(w, t->name), replica)) {
                return missing(why, "a partition has no leader, its replica is", replica);
            }
        }
    }
    return true;
}

bool world_converged(struct cluster_world *w, char why[static 200])
{
    struct member *first = &w->members[0], *leader = world_leader(w);
    if (!leader) {
        return missing(why, "nobody leads", 0);
    }
    for (uint32_t i = 0; i < w->count; i++) {
        struct member *m = &w->members[i];
        if (!member_runs(m) || m->stopping || !m->ready || m->node->state != NODE_SERVING) {
            return missing(why, "a node does not serve", m->id);
        }
        if (meta_quorum(m->node->meta).status.leader != leader->id) {
            return missing(why, "a node does not know the leader", m->id);
        }
        if (image_offset(m->node->image) != image_offset(first->node->image)) {
            return missing(why, "a node is behind or ahead", m->id);
        }
        if (image_controller(m->node->image) != leader->id) {
            return missing(why, "the controller of an image is another", m->id);
        }
    }
    return image_is_whole(w, first->node->image, why);
}

/* The topics that every node tells of, to a client. */
static void check_told(struct cluster_world *w, struct member *m)
{
    struct metadata_request q;
    metadata_request_init(&q);
    q.topics_count = -1;
    struct ask *a = ask_begin(w, m, WIRE_METADATA, 4, &q);
    cr_assert_not_null(a);
    while (!a->over) {
        world_run(w, CLUSTER_MS);
    }
    expect(w, a->answered, "node %d does not answer", (int)m->id);
    const struct metadata_response *r = ask_answer(a);
    expect(w, r->brokers_count == (int32_t)w->count, "node %d tells of %d brokers", (int)m->id,
           (int)r->brokers_count);
    expect(w, r->controller_id == world_leader(w)->id, "node %d takes %d for the controller",
           (int)m->id, (int)r->controller_id);
    for (uint32_t i = 0; i < w->topic_count; i++) {
        struct told_topic *t = &w->topics[i];
        const struct metadata_response_topics *found = NULL;
        for (int32_t j = 0; j < r->topics_count && !found; j++) {
            struct bytes name = bytes_of(r->topics[j].name.data, (size_t)r->topics[j].name.size);
            found = bytes_equal(name, bytes_of_string(t->name)) ? &r->topics[j] : NULL;
        }
        expect(w, t->state != TOPIC_THERE || found, "C2: node %d has lost the topic %s", (int)m->id,
               t->name);
        expect(w, t->state != TOPIC_GONE || !found, "C2: node %d still has the topic %s",
               (int)m->id, t->name);
        for (int32_t p = 0; found && p < found->partitions_count; p++) {
            const struct metadata_response_partitions *in = &found->partitions[p];
            bool lost = may_be_lost(w, t, in->replica_nodes[0]) && in->leader_id < 0;
            expect(w, lost || (in->error_code == 0 && in->leader_id > 0),
                   "C1: %s-%d at node %d: error %d, leader %d", t->name, (int)p, (int)m->id,
                   (int)in->error_code, (int)in->leader_id);
        }
    }
}

static void await(struct cluster_world *w, uint64_t ns)
{
    char why[200] = "";
    uint64_t until = sim_now(w->sim) + ns;
    while (!world_converged(w, why)) {
        expect(w, sim_now(w->sim) < until, "C1: %s", why);
        world_run(w, 10 * CLUSTER_MS);
    }
}

void world_settle(struct cluster_world *w, uint64_t ns)
{
    await(w, ns);
    world_run(w, 4000 * CLUSTER_MS); /* what was asked before is answered or given up */
    await(w, ns);
    struct told_topic *last = world_create(w, world_leader(w));
    cr_assert_not_null(last);
    world_run(w, 500 * CLUSTER_MS);
    expect(w, last->state == TOPIC_THERE, "C3: the controller does not make a topic");
    await(w, 500 * CLUSTER_MS);
    for (uint32_t i = 0; i < w->count; i++) {
        check_told(w, &w->members[i]);
    }
}
