/* SPDX-License-Identifier: Apache-2.0 */

/* The operator: one request of the protocol at a time on a connection of its own, to any node. */
#include "cluster_world.h"

#include "wire/wire.h"

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
void *ask_answer(struct ask *a)
{
    const struct cluster_world *w = a->world;
    struct reader in = reader_of(a->in + 4, a->in_size - 4);
    const struct wire_api *api = wire_api_find(a->key);
    struct arena *arena = &a->world->arena;
    int32_t correlation;
    int error = wire_response_header_decode(api, a->version, &correlation, &in);
    void *out = arena_alloc(arena, api->response->body->size);
    world_expect(w, !error && out, "node %d gives an answer without header", (int)a->member->id);
    error = wire_decode(api->response, out, &in, a->version, arena);
    world_expect(w, !error, "node %d gives an answer that cannot be read", (int)a->member->id);
    return out;
}

static int16_t answered_error(struct ask *a)
{
    if (a->key == WIRE_CREATE_TOPICS) {
        const struct create_topics_response *r = ask_answer(a);
        return r->topics_count == 1 ? r->topics[0].error_code : -1;
    }
    if (a->key == WIRE_DELETE_TOPICS) {
        const struct delete_topics_response *r = ask_answer(a);
        return r->responses_count == 1 ? r->responses[0].error_code : -1;
    }
    if (a->key == WIRE_INCREMENTAL_ALTER_CONFIGS) {
        const struct incremental_alter_configs_response *r = ask_answer(a);
        return r->responses_count == 1 ? r->responses[0].error_code : -1;
    }
    if (a->key == WIRE_ADD_RAFT_VOTER || a->key == WIRE_REMOVE_RAFT_VOTER) {
        return world_voter_error(a, NULL);
    }
    return -1;
}

static void ask_judge(struct ask *a)
{
    enum { UNKNOWN_TOPIC = 3, TOPIC_EXISTS = 36 };
    struct cluster_world *w = a->world;
    a->answered = true;
    if (world_looked(a)) {
        return;
    }
    if (a->key == WIRE_ALTER_PARTITION_REASSIGNMENTS) {
        w->reassigned += world_reassigned(a);
        return;
    }
    int16_t error = answered_error(a);
    bool creates = a->key == WIRE_CREATE_TOPICS, deletes = a->key == WIRE_DELETE_TOPICS;
    if (error != 0 && a->topic && a->topic->again &&
        ((creates && error == TOPIC_EXISTS) || (deletes && error == UNKNOWN_TOPIC))) {
        a->topic->state = creates ? TOPIC_THERE : TOPIC_GONE; /* as an older request has left it */
    }
    if (error != 0) {
        return;
    }
    if (a->key == WIRE_INCREMENTAL_ALTER_CONFIGS) {
        w->configured++;
        return;
    }
    if (!a->topic) {
        w->voter_changes++;
        sim_story(w->sim, "operator: the voters are changed");
        return;
    }
    a->topic->state = creates ? TOPIC_THERE : TOPIC_GONE;
    a->topic->deleted_ns = creates ? a->topic->deleted_ns : a->asked_ns;
    w->answered++;
    sim_story(w->sim, "operator: %s %s", a->topic->name, creates ? "is made" : "is deleted");
    if (creates) {
        world_look(w, a->topic);
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
    world_expect(a->world, a->in_size < sizeof a->in, "an answer is too large");
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

/* The frame of a request, in a->out; its size. */
static size_t ask_encode(struct cluster_world *w, struct ask *a, int16_t key, int16_t version,
                         const void *request)
{
    const struct wire_request_header header = {key, version, 1, wire_string_of("sim")};
    struct wire_writer out;
    struct iovec piece;
    size_t at = 0;
    wire_writer_init(&out, &w->memory, sizeof a->out);
    wire_frame_begin(&out);
    int error = wire_request_header_encode(&header, &out);
    error = error ? error : wire_encode(wire_api_find(key)->request, request, &out, version);
    error = error ? error : wire_frame_end(&out);
    world_expect(w, !error, "a request cannot be written");
    while (wire_writer_iovecs(&out, at, &piece, 1) == 1) {
        memcpy(a->out + at, piece.iov_base, piece.iov_len);
        at += piece.iov_len;
    }
    wire_writer_deinit(&out);
    return at;
}

struct ask *ask_begin(struct cluster_world *w, struct member *m, int16_t key, int16_t version,
                      const void *request)
{
    struct ask *a = NULL;
    for (uint32_t i = 0; i < CLUSTER_ASKS_MAX && !a; i++) {
        a = w->asks[i].active ? NULL : &w->asks[i];
    }
    if (!a) {
        return NULL;
    }
    size_t at = ask_encode(w, a, key, version, request);
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
    a->asked_ns = sim_now(w->sim);
    a->deadline_ns = a->asked_ns + 3000 * CLUSTER_MS;
    a->active = true;
    w->asks_open++;
    a->over = a->answered = false;
    io_connect(client_io(w), &a->connect, &a->socket, sim_node_name(m->machine), 9092);
    return a;
}

void asks_sweep(struct cluster_world *w)
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
            w->asks_open--;
        }
    }
}

static struct create_topics_request_configs setting_of(const char *name, const char *value)
{
    struct create_topics_request_configs c;
    create_topics_request_configs_init(&c);
    c.name = wire_string_of(name);
    c.value = wire_string_of(value);
    return c;
}

static bool create(struct cluster_world *w, struct member *m, struct told_topic *t)
{
    struct create_topics_request_topics topic;
    struct create_topics_request q;
    create_topics_request_init(&q);
    create_topics_request_topics_init(&topic);
    topic.name = wire_string_of(t->name);
    topic.num_partitions = CLUSTER_PARTITIONS;
    topic.replication_factor = t->grows ? -1 : w->options.replication_factor;
    char least[12];
    struct create_topics_request_configs configs[6];
    snprintf(least, sizeof least, "%d", world_min_isr(w));
    int32_t count = 0;
    if (w->options.replication_factor > 1) {
        configs[count++] = setting_of("min.insync.replicas", least);
    }
    if (w->options.memory) {
        configs[count++] = setting_of("durability", "memory");
    }
    if (t->compacted) {
        configs[count++] = setting_of("cleanup.policy", "compact");
        configs[count++] = setting_of("segment.ms", "1000");
        configs[count++] = setting_of("min.cleanable.dirty.ratio", "0.05");
        configs[count++] = setting_of("delete.retention.ms", "10000");
    }
    topic.configs = configs;
    topic.configs_count = count;
    q.topics = &topic;
    q.topics_count = 1;
    q.timeout_ms = 2000;
    struct ask *a = ask_begin(w, m, WIRE_CREATE_TOPICS, 5, &q);
    if (a) {
        a->topic = t;
        sim_story(w->sim, "operator: asks node %d for the topic %s", (int)m->id, t->name);
    }
    return a;
}

static struct told_topic *create_next(struct cluster_world *w, struct member *m, const char *name,
                                      bool grows, bool compacted)
{
    if (w->topic_count == CLUSTER_TOPICS_MAX) {
        return NULL;
    }
    struct told_topic *t = &w->topics[w->topic_count];
    snprintf(t->name, sizeof t->name, "%s", name);
    t->grows = grows;
    t->compacted = compacted;
    if (!create(w, m, t)) {
        return NULL;
    }
    w->topic_count++;
    return t;
}

struct told_topic *world_create(struct cluster_world *w, struct member *m)
{
    char name[16];
    snprintf(name, sizeof name, "t%u", w->topic_count);
    return create_next(w, m, name, w->options.replication_factor >= 3 && w->topic_count % 4 == 0,
                       false);
}

struct told_topic *world_create_named(struct cluster_world *w, struct member *m, const char *name,
                                      bool compacted)
{
    struct told_topic *t = create_next(w, m, name, false, compacted);
    if (t) {
        t->named = t->again = true;
    }
    return t;
}

bool world_create_again(struct cluster_world *w, struct member *m, struct told_topic *t)
{
    assert(t->again && (t->state == TOPIC_GONE || t->state == TOPIC_ASKED));
    bool asked = create(w, m, t);
    t->state = asked ? TOPIC_ASKED : t->state;
    return asked;
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

void world_configure(struct cluster_world *w, struct member *m, struct told_topic *t,
                     const char *key, const char *value)
{
    enum { RESOURCE_TOPIC = 2, OPERATION_SET = 0 };
    struct incremental_alter_configs_request_configs config;
    struct incremental_alter_configs_request_resources resource;
    struct incremental_alter_configs_request q;
    incremental_alter_configs_request_init(&q);
    incremental_alter_configs_request_resources_init(&resource);
    incremental_alter_configs_request_configs_init(&config);
    config.name = wire_string_of(key);
    config.config_operation = OPERATION_SET;
    config.value = wire_string_of(value);
    resource.resource_type = RESOURCE_TOPIC;
    resource.resource_name = wire_string_of(t->name);
    resource.configs = &config;
    resource.configs_count = 1;
    q.resources = &resource;
    q.resources_count = 1;
    struct ask *a = ask_begin(w, m, WIRE_INCREMENTAL_ALTER_CONFIGS, 0, &q);
    if (a) {
        a->topic = t;
        sim_story(w->sim, "operator: asks node %d for %s=%s of %s", (int)m->id, key, value,
                  t->name);
    }
}
