/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/forward.h"

#include "meta/forward_wire.h"
#include "meta/meta_private.h"
#include "meta/quorum_wire.h"

#include <stdio.h>

enum { FORWARDS_MAX = 1000, ARENA_MAX = 16 << 20, TIMEOUT_MS = 30000 };

static const uint64_t patience_ns = UINT64_C(10000000000); /* for a leader */
static const uint64_t again_ns = UINT64_C(100000000);      /* between two tries */
static const uint64_t seen_ns = UINT64_C(5000000000);      /* for the image */

struct forward {
    struct peer_request request;
    struct meta *meta;
    struct meta_op *op;
    struct list link; /* in forwards.seen */
    uint64_t answered_ns;
};

static struct meta_op *op_of(struct list *node)
{
    return container_of(node, struct meta_op, priv.link);
}

static bool can_be_sent(const struct meta_op *op)
{
    bool own = op->kind == META_REGISTER_BROKER || op->kind == META_HEARTBEAT ||
               op->kind == META_EXPIRE_BROKERS || op->kind == META_GIVE_UP_REPLICAS ||
               op->kind == META_BALANCE || op->kind == META_GROW ||
               op->kind == META_STATE_CONFIGS || op->kind == META_UPDATE_VOTER;
    return !own && !op->here;
}

/* Its owner sends it again by itself, and must know how often (a rejection of one copy says nothing of the other). */
static bool is_sent_once(const struct meta_op *op)
{
    return op->kind == META_ALTER_PARTITIONS || op->kind == META_REPORT_REPLICAS;
}

/* --- as requests ------------------------------------------------------------------------------ */

static int encode_create_topic(const struct meta_op *op, struct arena *arena, struct wire_writer *w,
                               int version)
{
    struct create_topics_request r;
    struct create_topics_request_topics t;
    create_topics_request_init(&r);
    create_topics_request_topics_init(&t);
    t.name = wire_string_of(op->topic);
    t.num_partitions = op->assignments ? -1 : op->partitions;
    t.replication_factor = op->assignments ? -1 : op->replication_factor;
    t.assignments_count = op->assignments ? op->assignment_count : 0;
    t.assignments = arena_array(arena, (size_t)t.assignments_count, sizeof *t.assignments);
    t.configs_count = (int32_t)op->change_count;
    t.configs = arena_array(arena, op->change_count, sizeof *t.configs);
    if (!t.assignments || !t.configs) {
        return ERR_NO_MEMORY;
    }
    for (int32_t i = 0; i < t.assignments_count; i++) {
        t.assignments[i] = (struct create_topics_request_assignments){
            i, (int32_t *)op->assignments[i], op->assignment_counts[i]};
    }
    for (uint32_t i = 0; i < op->change_count; i++) {
        t.configs[i].name = wire_string_of(op->changes[i].key);
        t.configs[i].value = wire_string_of(op->changes[i].value);
    }
    r.topics = &t;
    r.topics_count = 1;
    r.timeout_ms = TIMEOUT_MS;
    r.validate_only = op->validate_only;
    r.internal = op->internal;
    return create_topics_request_encode(&r, w, version);
}

static int encode_delete_topic(const struct meta_op *op, struct wire_writer *w, int version)
{
    struct delete_topics_request r;
    struct delete_topics_request_topics t;
    delete_topics_request_init(&r);
    delete_topics_request_topics_init(&t);
    t.name = wire_string_of(op->topic);
    t.topic_id = op->topic ? (struct uuid){0} : op->topic_id;
    r.topics = &t;
    r.topics_count = 1;
    r.timeout_ms = TIMEOUT_MS;
    return delete_topics_request_encode(&r, w, version);
}

static int encode_create_partitions(const struct meta_op *op, struct arena *arena,
                                    struct wire_writer *w, int version)
{
    struct create_partitions_request r;
    struct create_partitions_request_topics t;
    create_partitions_request_init(&r);
    create_partitions_request_topics_init(&t);
    t.name = wire_string_of(op->topic);
    t.count = op->partitions;
    t.assignments_count = op->assignments ? op->assignment_count : -1;
    if (op->assignments) {
        t.assignments = arena_array(arena, (size_t)op->assignment_count, sizeof *t.assignments);
        if (!t.assignments) {
            return ERR_NO_MEMORY;
        }
        for (int32_t i = 0; i < op->assignment_count; i++) {
            t.assignments[i] = (struct create_partitions_request_assignments){
                (int32_t *)op->assignments[i], op->assignment_counts[i]};
        }
    }
    r.topics = &t;
    r.topics_count = 1;
    r.timeout_ms = TIMEOUT_MS;
    r.validate_only = op->validate_only;
    return create_partitions_request_encode(&r, w, version);
}

enum { NODE_TEXT_MAX = 16 };

/* Whose configurations: a topic's, a broker's, or, as the empty name, all brokers'. */
static const char *resource_name(const struct meta_op *op, char node[static NODE_TEXT_MAX])
{
    if (op->topic) {
        return op->topic;
    }
    node[0] = 0;
    if (op->broker >= 0) {
        snprintf(node, NODE_TEXT_MAX, "%d", (int)op->broker);
    }
    return node;
}

static int encode_configs(const struct meta_op *op, struct arena *arena, struct wire_writer *w,
                          int version)
{
    char node[NODE_TEXT_MAX];
    struct incremental_alter_configs_request r;
    struct incremental_alter_configs_request_resources t;
    incremental_alter_configs_request_init(&r);
    incremental_alter_configs_request_resources_init(&t);
    t.resource_type = op->topic ? RESOURCE_TOPIC : RESOURCE_BROKER;
    t.resource_name = wire_string_of(resource_name(op, node));
    t.configs_count = (int32_t)op->change_count;
    t.configs = arena_array(arena, op->change_count, sizeof *t.configs);
    if (!t.configs) {
        return ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < op->change_count; i++) {
        t.configs[i].name = wire_string_of(op->changes[i].key);
        t.configs[i].config_operation = (int8_t)op->changes[i].op;
        t.configs[i].value = wire_string_of(op->changes[i].value);
    }
    r.resources = &t;
    r.resources_count = 1;
    r.validate_only = op->validate_only;
    return incremental_alter_configs_request_encode(&r, w, version);
}

/* The older form, in which what is not named is deleted. */
static int encode_all_configs(const struct meta_op *op, struct arena *arena, struct wire_writer *w,
                              int version)
{
    char node[NODE_TEXT_MAX];
    struct alter_configs_request r;
    struct alter_configs_request_resources t;
    alter_configs_request_init(&r);
    alter_configs_request_resources_init(&t);
    t.resource_type = op->topic ? RESOURCE_TOPIC : RESOURCE_BROKER;
    t.resource_name = wire_string_of(resource_name(op, node));
    t.configs_count = (int32_t)op->change_count;
    t.configs = arena_array(arena, op->change_count, sizeof *t.configs);
    if (!t.configs) {
        return ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < op->change_count; i++) {
        t.configs[i].name = wire_string_of(op->changes[i].key);
        t.configs[i].value = wire_string_of(op->changes[i].value);
    }
    r.resources = &t;
    r.resources_count = 1;
    r.validate_only = op->validate_only;
    return alter_configs_request_encode(&r, w, version);
}

static int encode_producer_ids(const struct meta *m, struct wire_writer *w, int version)
{
    const struct allocate_producer_ids_request r = {m->identity.node_id, m->broker_epoch};
    return allocate_producer_ids_request_encode(&r, w, version);
}

static int encode_read(struct wire_writer *w, int version)
{
    struct describe_quorum_request_partitions p = {.partition_index = 0};
    struct describe_quorum_request_topics t = {
        .topic_name = wire_string_of(quorum_topic), .partitions = &p, .partitions_count = 1};
    const struct describe_quorum_request r = {.topics = &t, .topics_count = 1};
    return describe_quorum_request_encode(&r, w, version);
}

static int encode(struct peer_request *p, struct wire_writer *w, int version)
{
    struct forward *f = container_of(p, struct forward, request);
    const struct meta_op *op = f->op;
    struct arena arena;
    int error = ERR_UNSUPPORTED;
    arena_init(&arena, f->meta->memory, ARENA_MAX);
    switch (op->kind) {
    case META_CREATE_TOPIC:
        error = encode_create_topic(op, &arena, w, version);
        break;
    case META_DELETE_TOPIC:
        error = encode_delete_topic(op, w, version);
        break;
    case META_CREATE_PARTITIONS:
        error = encode_create_partitions(op, &arena, w, version);
        break;
    case META_ALTER_CONFIGS:
        error = op->replace_all ? encode_all_configs(op, &arena, w, version)
                                : encode_configs(op, &arena, w, version);
        break;
    case META_PRODUCER_IDS:
        error = encode_producer_ids(f->meta, w, version);
        break;
    case META_READ:
        error = encode_read(w, version);
        break;
    case META_ADD_VOTER:
    case META_REMOVE_VOTER:
        error = voter_change_encode(f->meta, op, w, version);
        break;
    default:
        error = forward_encode_partitions(op, &arena, w, version);
        break;
    }
    arena_deinit(&arena);
    return error;
}

static struct forward_spoken spoken_of(const struct meta_op *op)
{
    switch (op->kind) {
    case META_CREATE_TOPIC:
        return (struct forward_spoken){WIRE_CREATE_TOPICS, 7};
    case META_DELETE_TOPIC:
        return (struct forward_spoken){WIRE_DELETE_TOPICS, 6};
    case META_CREATE_PARTITIONS:
        return (struct forward_spoken){WIRE_CREATE_PARTITIONS, 3};
    case META_ALTER_CONFIGS:
        return op->replace_all ? (struct forward_spoken){WIRE_ALTER_CONFIGS, 2}
                               : (struct forward_spoken){WIRE_INCREMENTAL_ALTER_CONFIGS, 1};
    case META_PRODUCER_IDS:
        return (struct forward_spoken){WIRE_ALLOCATE_PRODUCER_IDS, 0};
    case META_READ:
        return (struct forward_spoken){WIRE_DESCRIBE_QUORUM, 2};
    case META_ADD_VOTER:
        return (struct forward_spoken){WIRE_ADD_RAFT_VOTER, 1};
    case META_REMOVE_VOTER:
        return (struct forward_spoken){WIRE_REMOVE_RAFT_VOTER, 0};
    default:
        return forward_spoken_partitions(op);
    }
}

/* --- as answers ------------------------------------------------------------------------------- */

static int told(struct meta_op *op, int16_t code, struct wire_string why)
{
    int error = error_from_wire(code);
    if (error) {
        forward_why(op, why);
    }
    return error;
}

static int decode_create_topic(struct meta_op *op, struct reader *in, int version,
                               struct arena *arena)
{
    struct create_topics_response r;
    int error = create_topics_response_decode(&r, in, version, arena);
    if (error || r.topics_count != 1) {
        return ERR_MALFORMED;
    }
    op->topic_id = r.topics[0].topic_id;
    return told(op, r.topics[0].error_code, r.topics[0].error_message);
}

static int decode_delete_topic(struct meta_op *op, struct reader *in, int version,
                               struct arena *arena)
{
    struct delete_topics_response r;
    int error = delete_topics_response_decode(&r, in, version, arena);
    if (error || r.responses_count != 1) {
        return ERR_MALFORMED;
    }
    return told(op, r.responses[0].error_code, r.responses[0].error_message);
}

static int decode_create_partitions(struct meta_op *op, struct reader *in, int version,
                                    struct arena *arena)
{
    struct create_partitions_response r;
    int error = create_partitions_response_decode(&r, in, version, arena);
    if (error || r.results_count != 1) {
        return ERR_MALFORMED;
    }
    return told(op, r.results[0].error_code, r.results[0].error_message);
}

static int decode_configs(struct meta_op *op, struct reader *in, int version, struct arena *arena)
{
    if (op->replace_all) {
        struct alter_configs_response r;
        int error = alter_configs_response_decode(&r, in, version, arena);
        if (error || r.responses_count != 1) {
            return ERR_MALFORMED;
        }
        return told(op, r.responses[0].error_code, r.responses[0].error_message);
    }
    struct incremental_alter_configs_response r;
    int error = incremental_alter_configs_response_decode(&r, in, version, arena);
    if (error || r.responses_count != 1) {
        return ERR_MALFORMED;
    }
    return told(op, r.responses[0].error_code, r.responses[0].error_message);
}

static int decode_producer_ids(struct meta_op *op, struct reader *in, int version,
                               struct arena *arena)
{
    struct allocate_producer_ids_response r;
    int error = allocate_producer_ids_response_decode(&r, in, version, arena);
    if (error || (!r.error_code && (r.producer_id_start < 0 || r.producer_id_len < 1))) {
        return ERR_MALFORMED;
    }
    op->producer_id_first = r.producer_id_start;
    op->producer_id_count = r.error_code ? 0 : r.producer_id_len;
    return error_from_wire(r.error_code);
}

static int decode_read(struct meta_op *op, struct reader *in, int version, struct arena *arena)
{
    struct describe_quorum_response r;
    int error = describe_quorum_response_decode(&r, in, version, arena);
    if (error || (!r.error_code && (r.topics_count != 1 || r.topics[0].partitions_count != 1))) {
        return ERR_MALFORMED;
    }
    if (r.error_code || r.topics[0].partitions[0].error_code) {
        return ERR_NOT_CONTROLLER; /* it has been deposed, or is not ready */
    }
    op->priv.offset = r.topics[0].partitions[0].high_watermark;
    return 0;
}

static int decode(struct forward *f, const struct peer_answer *a)
{
    struct meta_op *op = f->op;
    struct reader in = reader_of(a->body.data, a->body.size);
    struct arena arena;
    int error = ERR_MALFORMED;
    arena_init(&arena, f->meta->memory, ARENA_MAX);
    if (op->kind == META_CREATE_TOPIC) {
        error = decode_create_topic(op, &in, a->version, &arena);
    } else if (op->kind == META_DELETE_TOPIC) {
        error = decode_delete_topic(op, &in, a->version, &arena);
    } else if (op->kind == META_CREATE_PARTITIONS) {
        error = decode_create_partitions(op, &in, a->version, &arena);
    } else if (op->kind == META_ALTER_CONFIGS) {
        error = decode_configs(op, &in, a->version, &arena);
    } else if (voter_change_is(op)) {
        error = voter_change_decode(op, &in, a->version, &arena);
    } else if (op->kind == META_PRODUCER_IDS) {
        error = decode_producer_ids(op, &in, a->version, &arena);
    } else if (op->kind == META_READ) {
        error = decode_read(op, &in, a->version, &arena);
    } else {
        error = forward_decode_partitions(op, &in, a->version, &arena);
    }
    arena_deinit(&arena);
    return error;
}

/* --- the end of one --------------------------------------------------------------------------- */

/* What it has changed stands in this node's image. Configurations are not compared: they are told at once. */
static bool shown(const struct meta *m, const struct meta_op *op)
{
    const struct image_topic *t = op->topic && op->kind != META_CREATE_TOPIC
                                      ? image_topic_by_name(m->image, bytes_of_string(op->topic))
                                      : image_topic_by_id(m->image, op->topic_id);
    switch (op->kind) {
    case META_CREATE_TOPIC:
        return op->validate_only || t;
    case META_DELETE_TOPIC:
        return !t;
    case META_CREATE_PARTITIONS:
        return op->validate_only || (t && t->partition_count >= op->partitions);
    case META_ALTER_CONFIGS:
    case META_PRODUCER_IDS:
        return true;
    case META_READ:
        return image_offset(m->image) + 1 >= op->priv.offset;
    default:
        return forward_shown_partitions(m->image, op);
    }
}

static void end(struct forward *f, int error)
{
    struct meta *m = f->meta;
    struct meta_op *op = f->op;
    m->forwards.count--;
    memory_free(m->memory, f);
    if (op->kind == META_READ) {
        reads_forwarded(m, error);
    }
    meta_answer(m, op, error);
    meta_log_idle(m);
}

void forward_look(struct meta *m)
{
    struct list here, *node; /* an answer may lead here again */
    list_init(&here);
    list_splice(&here, &m->forwards.seen);
    while ((node = list_pop(&here))) {
        struct forward *f = container_of(node, struct forward, link);
        bool late = io_now(m->io) >= f->answered_ns + seen_ns;
        bool there = shown(m, f->op), leaves = m->resigned || m->state == META_CLOSING;
        if (late || leaves || there) {
            bool reads =
                f->op->kind == META_READ; /* who leaves shows no images to its shards any more */
            end(f, reads && (leaves || !there) ? ERR_REQUEST_TIMED_OUT : 0);
        } else {
            list_append(&m->forwards.seen, node);
        }
    }
}

static void again(struct forward *f)
{
    struct meta *m = f->meta;
    if (f->op->kind == META_READ) {
        reads_back(m);
    }
    list_append(&m->waiting, &f->op->priv.link);
    m->forwards.count--;
    m->forwards.not_before_ns = io_now(m->io) + again_ns;
    memory_free(m->memory, f);
    meta_log_idle(m); /* sent again when membership looks */
}

static void answered(struct peer_request *p, const struct peer_answer *a)
{
    struct forward *f = container_of(p, struct forward, request);
    struct meta *m = f->meta;
    int error = a->error ? a->error : decode(f, a);
    bool twice = f->op->kind == META_PRODUCER_IDS || f->op->kind == META_ALTER_CONFIGS ||
                 f->op->kind == META_READ;
    bool unknown = a->error && a->maybe_received && !twice;
    if (is_sent_once(f->op)) {
        end(f, a->error ? ERR_REQUEST_TIMED_OUT : error);
        return;
    }
    bool early = voter_change_is(f->op) && error == ERR_REPLICA_NOT_AVAILABLE;
    bool elsewhere = a->error || error == ERR_NOT_CONTROLLER;
    if (m->state != META_CLOSING && !unknown && (elsewhere || early)) {
        f->op->why[0] = early ? f->op->why[0] : 0;
        again(f);
        return;
    }
    if (error) {
        end(f, unknown ? ERR_REQUEST_TIMED_OUT : error);
        return;
    }
    f->answered_ns = io_now(m->io);
    list_append(&m->forwards.seen, &f->link);
    forward_look(m);
}

/* --- sending ---------------------------------------------------------------------------------- */

static bool forward_send(struct meta *m, struct meta_op *op, int32_t leader)
{
    struct forward_spoken spoken = spoken_of(op);
    struct forward *f =
        m->forwards.count < FORWARDS_MAX ? memory_alloc(m->memory, sizeof *f) : NULL;
    if (!f) {
        return false;
    }
    *f = (struct forward){
        .request = {.key = spoken.key,
                    .version_min = spoken.version,
                    .version_max = spoken.version,
                    .fail_fast = true,
                    .encode = encode,
                    .done = answered},
        .meta = m,
        .op = op,
    };
    list_init(&f->link);
    if (!links_call(m, leader, &f->request)) {
        memory_free(m->memory, f);
        return false;
    }
    m->forwards.count++;
    m->reads.forwarded = m->reads.forwarded || op->kind == META_READ;
    return true;
}

void forward_waiting(struct meta *m)
{
    int32_t leader = raft_leadership(m->quorum.raft).leader;
    uint64_t now = io_now(m->io);
    bool elsewhere =
        leader != RAFT_NOBODY && leader != m->identity.node_id && now >= m->forwards.not_before_ns;
    struct list here, *node; /* an answer may lead here again */
    list_init(&here);
    list_splice(&here, &m->waiting);
    while ((node = list_pop(&here))) {
        struct meta_op *op = op_of(node);
        uint64_t until =
            voter_change_is(op) ? voter_change_until(op) : op->priv.arrived_ns + patience_ns;
        bool given_up = now >= until || m->resigned || !can_be_sent(op);
        if (elsewhere && op->kind == META_READ && !given_up && m->reads.forwarded) {
            reads_share(m, op);
            continue;
        }
        if (given_up || (elsewhere && !forward_send(m, op, leader))) {
            /* With a sentence: the leader has said why it is too early. */
            meta_answer(m, op, op->why[0] ? ERR_REQUEST_TIMED_OUT : ERR_NOT_CONTROLLER);
        } else if (!elsewhere) {
            list_append(&m->waiting, node);
        }
    }
    reads_sent(m);
}
