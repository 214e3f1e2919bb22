/* SPDX-License-Identifier: Apache-2.0 */

/* The brokers and the topics in use. One call at a time asks for the topics that are stale: first
 * those that may be created by asking, then the others, because the request has one flag for all.
 * What an answer says of a topic replaces what was known, but for a leader epoch that is older. */
#include "core/call.h"
#include "core/silence.h"

#include <string.h>

enum {
    METADATA_ANSWER_MAX = 64 << 20,
    METADATA_ARENA_MAX = 256 << 20,
    METADATA_TIMEOUT_MS = 15000,
    METADATA_PER_REQUEST = 10000, /* topics */
};

struct metadata_call {
    struct call call;
    struct core *core;
    bool create; /* asks for topics that may be created */
};

static void metadata_start(struct core *core);

static void metadata_schedule(struct core *core, uint64_t at_ns)
{
    struct metadata *m = &core->metadata;
    uint64_t now = io_now(core->io);
    at_ns = at_ns < now ? now : at_ns;
    if (!core->closing && !m->call && (!alarm_is_set(&m->again) || m->again.node.key > at_ns)) {
        alarm_set(&core->alarms, &m->again, at_ns);
    }
}

void metadata_refresh(struct core *core, struct topic *t)
{
    struct metadata *m = &core->metadata;
    unsigned failures = m->failures;
    if (t) {
        t->stale = true;
        failures = t->failures > failures ? t->failures : failures;
    } else {
        m->wanted = true;
    }
    uint64_t pause = core_backoff(core, failures, core->options.retry_backoff_ms,
                                  core->options.retry_backoff_max_ms);
    metadata_schedule(core, m->asked_ns ? m->asked_ns + pause : 0);
}

struct broker *metadata_broker(struct core *core, int32_t id)
{
    return id < 0 ? NULL : map_get_number(&core->metadata.brokers_by_id, (uint64_t)id);
}

struct topic *topic_get(struct core *core, const char *name, bool create)
{
    struct metadata *m = &core->metadata;
    size_t size = strlen(name);
    if (size == 0 || size > TOPIC_NAME_MAX) {
        return NULL;
    }
    struct topic *t = map_get(&m->topics_by_name, bytes_of(name, size));
    if (!t) {
        t = memory_alloc(core->memory, sizeof *t);
        if (!t) {
            return NULL;
        }
        memcpy(t->name, name, size);
        list_init(&t->link);
        if (map_add(&m->topics_by_name, bytes_of(t->name, size), t)) {
            memory_free(core->memory, t);
            return NULL;
        }
        list_append(&m->topics, &t->link);
        t->error = ERR_LEADER_NOT_AVAILABLE;
        t->stale = true;
    }
    t->stale = t->stale || t->error;
    t->create = create || (t->create && t->references > 0);
    t->references++;
    if (t->stale) {
        metadata_schedule(core, 0);
    }
    return t;
}

void topic_put(struct core *core, struct topic *t)
{
    assert(t->references > 0);
    t->references--;
}

static void topic_free(struct core *core, struct topic *t)
{
    memory_free(core->memory, t->partitions);
    memory_free(core->memory, t->replicas);
    memory_free(core->memory, t);
}

/* Forgets the topics that nobody has used since the last time. */
static void metadata_sweep(struct core *core)
{
    list_each (node, &core->metadata.topics) {
        struct topic *t = container_of(node, struct topic, link);
        if (t->references == 0) {
            (void)map_remove(&core->metadata.topics_by_name, bytes_of_string(t->name));
            list_remove(&t->link);
            topic_free(core, t);
        }
    }
}

/* --- the request --- */

static int metadata_encode(struct call *c, struct wire_writer *w, int version)
{
    struct metadata_call *mc = container_of(c, struct metadata_call, call);
    struct core *core = mc->core;
    struct metadata_request body;
    struct arena arena;
    metadata_request_init(&body);
    arena_init(&arena, core->memory, METADATA_ARENA_MAX);
    size_t room = map_count(&core->metadata.topics_by_name);
    room = room < METADATA_PER_REQUEST ? room : METADATA_PER_REQUEST;
    body.topics = arena_array(&arena, room + 1, sizeof *body.topics);
    body.topics_count = 0;
    body.allow_auto_topic_creation = mc->create;
    list_each (node, &core->metadata.topics) {
        struct topic *t = container_of(node, struct topic, link);
        if (body.topics && t->stale && t->references && t->create == mc->create &&
            (size_t)body.topics_count < room) {
            metadata_request_topics_init(&body.topics[body.topics_count]);
            body.topics[body.topics_count++].name = wire_string_of(t->name);
        }
    }
    int error = body.topics ? metadata_request_encode(&body, w, version) : ERR_NO_MEMORY;
    arena_deinit(&arena);
    return error;
}

/* --- the answer --- */

static bool broker_is(const struct broker *b, const struct metadata_response_brokers *in,
                      struct wire_string rack)
{
    return b->port == in->port && wire_string_equal(in->host, wire_string_of(b->host)) &&
           wire_string_equal(rack, wire_string_of(b->rack ? b->rack : ""));
}

static int metadata_take_broker(struct core *core, const struct metadata_response_brokers *in)
{
    struct metadata *m = &core->metadata;
    if (in->node_id < 0 || in->port < 1 || in->port > UINT16_MAX || in->host.size < 1 ||
        in->host.size >= ADDRESS_HOST_MAX || memchr(in->host.data, 0, (size_t)in->host.size)) {
        return ERR_MALFORMED;
    }
    bool racked = in->rack.size > 0 && !memchr(in->rack.data, 0, (size_t)in->rack.size);
    struct wire_string rack = racked ? in->rack : wire_string_of("");
    struct broker *b = metadata_broker(core, in->node_id);
    if (b && broker_is(b, in, rack)) {
        b->seen = true;
        return 0;
    }
    size_t size = (size_t)in->host.size;
    struct broker *made =
        memory_alloc(core->memory, sizeof *made + size + 1 + (size_t)rack.size + 1);
    if (!made) {
        return ERR_NO_MEMORY;
    }
    *made = (struct broker){.id = in->node_id, .port = (uint16_t)in->port, .seen = true};
    memcpy(made->host, in->host.data, size);
    if (racked) {
        memcpy(made->host + size + 1, rack.data, (size_t)rack.size);
        made->rack = made->host + size + 1;
    }
    list_init(&made->link);
    if (b) {
        (void)map_remove_number(&m->brokers_by_id, (uint64_t)b->id);
        list_remove(&b->link);
        memory_free(core->memory, b);
    }
    int error = map_add_number(&m->brokers_by_id, (uint64_t)made->id, made);
    if (error) {
        memory_free(core->memory, made);
        return error;
    }
    list_append(&m->brokers, &made->link);
    if (m->answers > 1) { /* the cluster has heard of it anew */
        silence_forget(core, made->host, made->port);
    }
    return 0;
}

static int metadata_take_brokers(struct core *core, const struct metadata_response *in)
{
    struct metadata *m = &core->metadata;
    list_each (node, &m->brokers) {
        container_of(node, struct broker, link)->seen = false;
    }
    for (int32_t i = 0; i < in->brokers_count; i++) {
        int error = metadata_take_broker(core, &in->brokers[i]);
        if (error) {
            return error;
        }
    }
    list_each (node, &m->brokers) {
        struct broker *b = container_of(node, struct broker, link);
        if (!b->seen) {
            (void)map_remove_number(&m->brokers_by_id, (uint64_t)b->id);
            list_remove(&b->link);
            memory_free(core->memory, b);
        }
    }
    m->controller = in->controller_id;
    return 0;
}

/* How many replicas the partitions of an answer have together. */
static int64_t metadata_replicas(const struct metadata_response_topics *in)
{
    int64_t count = 0;
    for (int32_t i = 0; i < in->partitions_count; i++) {
        count += in->partitions[i].replica_nodes_count;
    }
    return count;
}

/* KIP-320: what is known under a newer leader epoch stands against an answer, which comes from a
 * broker that has not heard of it. */
static void partition_keep(const struct topic_partition *known, struct topic_partition *told)
{
    if (told->leader_epoch >= 0 && known->leader_epoch > told->leader_epoch) {
        told->leader = known->leader;
        told->leader_epoch = known->leader_epoch;
    }
    if (told->leader < 0) {
        told->leader_before = known->leader_before;
    }
}

/* Tells who does not lead any more what he led. Without epochs only another leader says so. */
static void metadata_depose(struct core *core, const struct topic *t,
                            const struct topic_partition *fresh, int32_t count)
{
    for (int32_t i = 0; i < count && i < t->partition_count; i++) {
        const struct topic_partition *known = &t->partitions[i];
        bool newer = fresh[i].leader_epoch < 0 ? fresh[i].leader >= 0
                                               : fresh[i].leader_epoch > known->leader_epoch;
        if (newer && known->leader_before >= 0 && fresh[i].leader != known->leader_before) {
            silence_deposed(core, known->leader_before);
        }
    }
}

/* Fills `out` and `replicas` with the partitions of an answer, by number; ERR_MALFORMED unless each
 * is there once. */
static int metadata_take_partitions(const struct topic *t,
                                    const struct metadata_response_topics *in,
                                    struct topic_partition *out, int32_t *replicas)
{
    bool same = uuid_equal(t->id, in->topic_id);
    int32_t used = 0;
    for (int32_t i = 0; i < in->partitions_count; i++) {
        out[i].leader_epoch = INT32_MIN;
    }
    for (int32_t i = 0; i < in->partitions_count; i++) {
        const struct metadata_response_partitions *p = &in->partitions[i];
        if (p->partition_index < 0 || p->partition_index >= in->partitions_count ||
            out[p->partition_index].leader_epoch != INT32_MIN || p->leader_epoch < -1) {
            return ERR_MALFORMED;
        }
        struct topic_partition *to = &out[p->partition_index];
        int32_t leader = p->error_code ? -1 : p->leader_id;
        *to =
            (struct topic_partition){leader, p->leader_epoch, leader, used, p->replica_nodes_count};
        for (int32_t j = 0; j < p->replica_nodes_count; j++) {
            replicas[used++] = p->replica_nodes[j];
        }
        if (same && p->partition_index < t->partition_count) {
            partition_keep(&t->partitions[p->partition_index], to);
        }
    }
    return 0;
}

static int metadata_take_topic(struct core *core, struct topic *t,
                               const struct metadata_response_topics *in)
{
    t->error = error_from_wire(in->error_code);
    if (!t->error && in->partitions_count < 1) {
        t->error = ERR_LEADER_NOT_AVAILABLE;
    }
    if (t->error) {
        t->failures++;
        return 0; /* still stale */
    }
    if (in->partitions_count < t->partition_count && !uuid_is_zero(t->id) &&
        uuid_equal(t->id, in->topic_id)) {
        t->failures++; /* a topic never shrinks: told by a broker that has not heard of its growth */
        t->stale = true;
        return 0;
    }
    int64_t replicas = metadata_replicas(in);
    if (in->partitions_count > CORE_PARTITIONS_MAX || replicas > CORE_REPLICAS_MAX) {
        return ERR_TOO_LARGE;
    }
    struct topic fresh = {
        .partitions =
            memory_alloc(core->memory, (size_t)in->partitions_count * sizeof *fresh.partitions),
        .replicas = memory_alloc(core->memory, (size_t)replicas * sizeof *fresh.replicas)};
    int error = fresh.partitions && fresh.replicas
                    ? metadata_take_partitions(t, in, fresh.partitions, fresh.replicas)
                    : ERR_NO_MEMORY;
    if (error) {
        memory_free(core->memory, fresh.partitions);
        memory_free(core->memory, fresh.replicas);
        return error;
    }
    if (uuid_equal(t->id, in->topic_id)) {
        metadata_depose(core, t, fresh.partitions, in->partitions_count);
    }
    memory_free(core->memory, t->partitions);
    memory_free(core->memory, t->replicas);
    t->partitions = fresh.partitions;
    t->replicas = fresh.replicas;
    t->partition_count = in->partitions_count;
    t->id = in->topic_id;
    t->stale = false;
    t->failures = 0;
    for (int32_t i = 0; i < t->partition_count; i++) {
        t->stale = t->stale || t->partitions[i].leader < 0;
    }
    t->failures += t->stale;
    return 0;
}

static int metadata_take(struct core *core, const struct metadata_response *in)
{
    int error = error_from_wire(in->error_code);
    if (!error) {
        core->metadata.answers++;
        error = metadata_take_brokers(core, in);
    }
    for (int32_t i = 0; !error && i < in->topics_count; i++) {
        struct topic *t =
            map_get(&core->metadata.topics_by_name, wire_string_bytes(in->topics[i].name));
        error = t ? metadata_take_topic(core, t, &in->topics[i]) : 0;
    }
    return error;
}

static int metadata_decode(struct call *c, struct reader *body, int version)
{
    struct core *core = c->core;
    struct metadata_response in;
    struct arena arena;
    arena_init(&arena, core->memory, METADATA_ARENA_MAX);
    int error = metadata_response_decode(&in, body, version, &arena);
    if (!error) {
        error = metadata_take(core, &in);
    }
    arena_deinit(&arena);
    return error;
}

/* --- in turn --- */

static void metadata_done(struct call *c)
{
    struct metadata_call *mc = container_of(c, struct metadata_call, call);
    struct core *core = mc->core;
    struct metadata *m = &core->metadata;
    bool failed = c->error.code != 0;
    assert(m->call == c);
    m->call = NULL;
    memory_free(core->memory, mc);
    m->asked_ns = io_now(core->io);
    if (core->closing) {
        core_settled(core);
        return;
    }
    m->failures = failed ? m->failures + 1 : 0;
    m->wanted = failed;
    metadata_schedule(core, core_after_ms(core, core->options.metadata_max_age_ms));
    if (failed) {
        metadata_refresh(core, NULL);
    } else {
        silence_judge_all(core);
        core_connections_sweep(core);
    }
    list_each (node, &m->topics) {
        struct topic *t = container_of(node, struct topic, link);
        if (t->stale && t->references) {
            metadata_refresh(core, t);
        }
    }
    list_each (node, &core->members) {
        struct core_member *member = container_of(node, struct core_member, link);
        member->metadata_changed(member);
    }
}

static void metadata_start(struct core *core)
{
    static const struct call_kind kind = {
        .request = {WIRE_METADATA, 4, 13},
        .name = "learn about the cluster",
        .encode = metadata_encode,
        .decode = metadata_decode,
        .repeatable = true,
    };
    struct metadata *m = &core->metadata;
    struct metadata_call *mc = memory_alloc(core->memory, sizeof *mc);
    m->asked_ns = io_now(core->io);
    if (!mc) {
        metadata_refresh(core, NULL);
        return;
    }
    mc->core = core;
    list_each (node, &m->topics) {
        struct topic *t = container_of(node, struct topic, link);
        mc->create = mc->create || (t->stale && t->references && t->create);
    }
    m->call = &mc->call;
    call_start(&mc->call, core, &kind, core_after_ms(core, METADATA_TIMEOUT_MS), metadata_done);
    mc->call.request.answer_max = METADATA_ANSWER_MAX;
}

static void metadata_again(struct alarm *a)
{
    struct core *core = container_of(a, struct core, metadata.again);
    struct metadata *m = &core->metadata;
    if (m->call || core->closing) {
        return;
    }
    uint64_t age = (uint64_t)core->options.metadata_max_age_ms * 1000000;
    if (io_now(core->io) >= m->swept_ns + age) {
        m->swept_ns = io_now(core->io);
        metadata_sweep(core);
        list_each (node, &m->topics) {
            container_of(node, struct topic, link)->stale = true;
        }
    }
    metadata_start(core);
}

int metadata_init(struct core *core)
{
    struct metadata *m = &core->metadata;
    uint64_t seed = prng_next(&core->prng);
    map_init(&m->topics_by_name, core->memory, seed, CORE_TOPICS_MAX);
    map_init(&m->brokers_by_id, core->memory, seed, CORE_BROKERS_MAX);
    list_init(&m->topics);
    list_init(&m->brokers);
    m->controller = -1;
    m->again.ring = metadata_again;
    m->swept_ns = io_now(core->io);
    return 0;
}

void metadata_deinit(struct core *core)
{
    struct metadata *m = &core->metadata;
    struct list *node;
    assert(!m->call);
    while ((node = list_pop(&m->topics))) {
        topic_free(core, container_of(node, struct topic, link));
    }
    while ((node = list_pop(&m->brokers))) {
        memory_free(core->memory, container_of(node, struct broker, link));
    }
    map_deinit(&m->topics_by_name);
    map_deinit(&m->brokers_by_id);
}
