/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/records.h"

#include <stdio.h>

enum {
    SCRATCH_LIMIT = 1 << 20,
    CONTROL_KEY_SIZE = 4,
};

/* --- one record ------------------------------------------------------------------------------- */

/* Kafka's numbers of a leader's recovery state. */
enum { STATE_SAME = -1, STATE_RECOVERED = 0, STATE_RECOVERING = 1 };

/* Our own of how many replicas a topic has (metadata_records.yaml). */
enum { CHOICE_AS_NAMED, CHOICE_OPEN, CHOICE_MADE };

/* A list of a record: a null one, count -1, is one without ids, which in a change means that it
 * stays. */
static struct image_nodes nodes_of(const int32_t *ids, int32_t count)
{
    static const int32_t none[1];
    return count < 0 ? (struct image_nodes){0} : (struct image_nodes){ids ? ids : none, count};
}

static int apply_topic(struct image *draft, const struct topic_record *r)
{
    if (r->factor_choice < CHOICE_AS_NAMED || r->factor_choice > CHOICE_MADE) {
        return ERR_UNSUPPORTED_VERSION;
    }
    int error = image_add_topic(draft, wire_string_bytes(r->name), r->topic_id);
    if (!error && r->factor_choice != CHOICE_AS_NAMED) {
        error = image_set_factor_open(draft, r->topic_id, r->factor_choice == CHOICE_OPEN);
    }
    return error;
}

static bool directories_fit(int32_t count, int32_t replicas)
{
    return count <= 0 || count == replicas;
}

static int apply_partition(struct image *draft, const struct partition_record *r)
{
    if (r->leader_recovery_state < STATE_RECOVERED || r->leader_recovery_state > STATE_RECOVERING) {
        return ERR_UNSUPPORTED_VERSION;
    }
    if (!directories_fit(r->directories_count, r->replicas_count)) {
        return ERR_MALFORMED;
    }
    const struct image_partition_spec spec = {
        .leader = r->leader,
        .leader_epoch = r->leader_epoch,
        .partition_epoch = r->partition_epoch,
        .unclean_epoch = r->unclean_epoch,
        .recovering = r->leader_recovery_state == STATE_RECOVERING,
        .replicas = r->replicas,
        .isr = r->isr,
        .replica_count = r->replicas_count,
        .isr_count = r->isr_count,
        .directories = r->directories_count > 0 ? r->directories : NULL,
        .more =
            {
                nodes_of(r->eligible_leader_replicas, r->eligible_leader_replicas_count),
                nodes_of(r->last_known_elr, r->last_known_elr_count),
                nodes_of(r->adding_replicas, r->adding_replicas_count),
                nodes_of(r->removing_replicas, r->removing_replicas_count),
                nodes_of(r->damaged_replicas, r->damaged_replicas_count),
            },
    };
    int error = image_add_partition(draft, r->topic_id, r->partition_id, &spec);
    return error || !r->factor_chosen ? error : image_set_factor_open(draft, r->topic_id, false);
}

static int apply_partition_change(struct image *draft, const struct partition_change_record *r)
{
    if (r->leader_recovery_state < STATE_SAME || r->leader_recovery_state > STATE_RECOVERING) {
        return ERR_UNSUPPORTED_VERSION;
    }
    struct image_nodes replicas = nodes_of(r->replicas, r->replicas_count);
    struct image_nodes isr = nodes_of(r->isr, r->isr_count);
    const struct image_topic *t = image_topic_by_id(draft, r->topic_id);
    if (!t || r->partition_id < 0 || r->partition_id >= t->partition_count ||
        !directories_fit(r->directories_count,
                         replicas.ids ? replicas.count
                                      : t->partitions[r->partition_id].replica_count)) {
        return ERR_MALFORMED;
    }
    const struct image_partition_change change = {
        .leader = r->leader,
        .unclean = r->unclean_election,
        .recovery = r->leader_recovery_state == STATE_SAME        ? IMAGE_RECOVERY_SAME
                    : r->leader_recovery_state == STATE_RECOVERED ? IMAGE_RECOVERED
                                                                  : IMAGE_RECOVERING,
        .replicas = replicas.ids,
        .isr = isr.ids,
        .replica_count = replicas.count,
        .isr_count = isr.count,
        .directories = r->directories_count > 0 ? r->directories : NULL,
        .more =
            {
                nodes_of(r->eligible_leader_replicas, r->eligible_leader_replicas_count),
                nodes_of(r->last_known_elr, r->last_known_elr_count),
                nodes_of(r->adding_replicas, r->adding_replicas_count),
                nodes_of(r->removing_replicas, r->removing_replicas_count),
                nodes_of(r->damaged_replicas, r->damaged_replicas_count),
            },
    };
    int error = image_change_partition(draft, r->topic_id, r->partition_id, &change);
    return error || !r->factor_chosen ? error : image_set_factor_open(draft, r->topic_id, false);
}

/* A node id in decimal without leading zeros; the empty name is the default for all nodes. */
static int parse_node(struct wire_string name, int32_t *out)
{
    int64_t node = 0;
    if (name.size == 0) {
        *out = -1;
        return 0;
    }
    if (name.size > 10 || (name.size > 1 && name.data[0] == '0')) {
        return ERR_MALFORMED;
    }
    for (int32_t i = 0; i < name.size; i++) {
        if (name.data[i] < '0' || name.data[i] > '9') {
            return ERR_MALFORMED;
        }
        node = node * 10 + (name.data[i] - '0');
    }
    if (node > INT32_MAX) {
        return ERR_MALFORMED;
    }
    *out = (int32_t)node;
    return 0;
}

static int apply_config(struct image *draft, const struct config_record *r)
{
    struct bytes key = wire_string_bytes(r->name);
    struct bytes value = {0}; /* data NULL: deleted */
    if (r->value.size >= 0) {
        value = bytes_of(r->value.size ? r->value.data : "", (size_t)r->value.size);
    }
    if (r->resource_type == RESOURCE_TOPIC) {
        return image_set_topic_config(draft, wire_string_bytes(r->resource_name), key, value);
    }
    if (r->resource_type != RESOURCE_BROKER) {
        return ERR_UNSUPPORTED_VERSION;
    }
    int32_t node;
    int error = parse_node(r->resource_name, &node);
    return error ? error : image_set_broker_config(draft, node, key, value);
}

static int apply_register(struct image *draft, const struct register_broker_record *r)
{
    struct image_endpoint_spec endpoints[IMAGE_ENDPOINTS_MAX];
    if (r->end_points_count < 1 || r->end_points_count > IMAGE_ENDPOINTS_MAX) {
        return ERR_MALFORMED;
    }
    if (r->log_dirs_count > 1 || r->cordoned_log_dirs_count > 0) {
        return ERR_UNSUPPORTED_VERSION;
    }
    for (int32_t i = 0; i < r->end_points_count; i++) {
        const struct register_broker_record_end_points *e = &r->end_points[i];
        endpoints[i] = (struct image_endpoint_spec){wire_string_bytes(e->name),
                                                    wire_string_bytes(e->host), e->port};
    }
    struct bytes rack = {0};
    if (r->rack.size >= 0) {
        rack = bytes_of(r->rack.size ? r->rack.data : "", (size_t)r->rack.size);
    }
    struct image_broker_spec spec = {
        .id = r->broker_id,
        .epoch = r->broker_epoch,
        .incarnation = r->incarnation_id,
        .directory = r->log_dirs_count > 0 ? r->log_dirs[0] : (struct uuid){{0}},
        .rack = rack,
        .endpoints = endpoints,
        .endpoint_count = (uint32_t)r->end_points_count,
        .fenced = r->fenced,
        .shutting_down = r->in_controlled_shutdown,
    };
    return image_put_broker(draft, &spec);
}

static int apply_registration_change(struct image *draft,
                                     const struct broker_registration_change_record *r)
{
    const struct image_broker *b = image_broker_by_id(draft, r->broker_id);
    if (r->fenced < -1 || r->fenced > 1 || r->in_controlled_shutdown < 0 ||
        r->in_controlled_shutdown > 1 || r->log_dirs_count > 0 || r->cordoned_log_dirs_count >= 0) {
        return ERR_UNSUPPORTED_VERSION;
    }
    int error = b && b->epoch == r->broker_epoch ? 0 : ERR_MALFORMED;
    if (!error && r->fenced != 0) {
        error = image_set_fenced(draft, r->broker_id, r->broker_epoch, r->fenced > 0);
    }
    if (!error && r->in_controlled_shutdown > 0) {
        error = image_set_shutting_down(draft, r->broker_id, r->broker_epoch);
    }
    return error;
}

/* The controller alone writes it: a snapshot, which holds no LeaderChange, says by it who that is. */
static int apply_producer_ids(struct image *draft, const struct producer_ids_record *r)
{
    image_set_controller(draft, r->broker_id);
    return image_set_next_producer_id(draft, r->next_producer_id);
}

static int apply_feature(struct image *draft, const struct feature_level_record *r)
{
    struct bytes name = wire_string_bytes(r->name);
    if (bytes_equal(name, bytes_of_string("metadata.version")) &&
        r->feature_level > METADATA_VERSION) {
        return ERR_UNSUPPORTED_VERSION;
    }
    return image_set_feature(draft, name, r->feature_level);
}

int record_apply(struct image *draft, int32_t key, const void *body)
{
    switch (key) {
    case WIRE_TOPIC_RECORD:
        return apply_topic(draft, body);
    case WIRE_PARTITION_RECORD:
        return apply_partition(draft, body);
    case WIRE_PARTITION_CHANGE_RECORD:
        return apply_partition_change(draft, body);
    case WIRE_CONFIG_RECORD:
        return apply_config(draft, body);
    case WIRE_REMOVE_TOPIC_RECORD:
        return image_remove_topic(draft, ((const struct remove_topic_record *)body)->topic_id);
    case WIRE_PRODUCER_IDS_RECORD:
        return apply_producer_ids(draft, body);
    case WIRE_FEATURE_LEVEL_RECORD:
        return apply_feature(draft, body);
    case WIRE_REGISTER_BROKER_RECORD:
        return apply_register(draft, body);
    case WIRE_UNFENCE_BROKER_RECORD: {
        const struct unfence_broker_record *r = body;
        return image_set_fenced(draft, r->id, r->epoch, false);
    }
    case WIRE_FENCE_BROKER_RECORD: {
        const struct fence_broker_record *r = body;
        return image_set_fenced(draft, r->id, r->epoch, true);
    }
    case WIRE_UNREGISTER_BROKER_RECORD: {
        const struct unregister_broker_record *r = body;
        return image_remove_broker(draft, r->broker_id, r->broker_epoch);
    }
    case WIRE_BROKER_REGISTRATION_CHANGE_RECORD:
        return apply_registration_change(draft, body);
    case WIRE_NO_OP_RECORD:
        return 0;
    default:
        return ERR_UNSUPPORTED_VERSION;
    }
}

int record_apply_bytes(struct image *draft, struct bytes value, struct arena *arena)
{
    struct reader r = reader_of(value.data, value.size);
    int32_t key;
    int version;
    int error = wire_record_frame_decode(&key, &version, &r);
    if (error) {
        return error;
    }
    const struct wire_message *message = wire_record_find(key);
    if (!message || !wire_has_version(message->versions, version)) {
        return ERR_UNSUPPORTED_VERSION;
    }
    void *body = arena_alloc(arena, message->body->size);
    if (!body) {
        return ERR_NO_MEMORY;
    }
    error = wire_decode(message, body, &r, version, arena);
    if (!error && reader_left(&r) > 0) {
        error = ERR_MALFORMED;
    }
    return error ? error : record_apply(draft, key, body);
}

/* --- control records -------------------------------------------------------------------------- */

int control_kind_read(const struct record *record, enum control_kind *kind)
{
    if (record->key.size != CONTROL_KEY_SIZE || record->value.size < 2 ||
        get_be16(record->key.data) != 0) {
        return ERR_MALFORMED;
    }
    *kind = (enum control_kind)get_be16(record->key.data + 2);
    return 0;
}

static int decode_control(const struct wire_message *message, struct bytes value, void *out,
                          struct arena *arena)
{
    /* The messages begin with their version, which is also the one that they are encoded in. */
    int version = get_be16(value.data);
    struct reader r = reader_of(value.data, value.size);
    if (!wire_has_version(message->versions, version)) {
        return ERR_UNSUPPORTED_VERSION;
    }
    int error = wire_decode(message, out, &r, version, arena);
    return !error && reader_left(&r) > 0 ? ERR_MALFORMED : error;
}

int control_apply(struct image *draft, const struct record *record, struct arena *arena)
{
    enum control_kind kind;
    int error = control_kind_read(record, &kind);
    if (error) {
        return error;
    }
    struct bytes value = bytes_of(record->value.data, (size_t)record->value.size);
    if (kind == CONTROL_LEADER_CHANGE) {
        struct leader_change_message m;
        error = decode_control(&leader_change_message_message, value, &m, arena);
        if (!error) {
            image_set_controller(draft, m.leader_id);
        }
        return error;
    }
    if (kind == CONTROL_KRAFT_VERSION) {
        struct kraft_version_record m;
        error = decode_control(&kraft_version_record_message, value, &m, arena);
        if (!error) {
            image_set_kraft_version(draft, m.kraft_version);
        }
        return error;
    }
    if (kind == CONTROL_VOTERS) {
        struct voters_record m;
        error = decode_control(&voters_record_message, value, &m, arena);
        return error ? error : image_set_voters(draft, value);
    }
    return ERR_UNSUPPORTED_VERSION;
}

/* --- a batch ---------------------------------------------------------------------------------- */

static int apply_records(struct image *draft, const struct batch_header *h, const uint8_t *data,
                         struct arena *arena, int64_t *at)
{
    struct record_reader reader;
    struct record record;
    bool control = (h->attributes & BATCH_CONTROL) != 0;
    int more;
    record_reader_init(&reader, h, bytes_of(data + BATCH_HEADER_SIZE, h->size - BATCH_HEADER_SIZE));
    while ((more = record_next(&reader, &record)) == 1) {
        *at = record.offset;
        int error = ERR_MALFORMED;
        if (control) {
            error = control_apply(draft, &record, arena);
        } else if (record.value.size >= 0) {
            error = record_apply_bytes(
                draft, bytes_of(record.value.data, (size_t)record.value.size), arena);
        }
        if (error) {
            return error;
        }
    }
    return more;
}

static const char *failure_text(int error)
{
    return error == ERR_UNSUPPORTED_VERSION
               ? "is of a kind or version that this leatd does not know; a newer one wrote it"
               : error_text(error);
}

int records_apply_batch(struct image *draft, const void *data, size_t size, struct memory *memory,
                        char why[static RECORDS_WHY_SIZE])
{
    struct batch_header h;
    int error = batch_check(&h, data, size, BATCH_FROM_LOG);
    if (error) {
        snprintf(why, RECORDS_WHY_SIZE, "a batch after offset %lld: %s",
                 (long long)image_offset(draft), error_text(error));
        return error;
    }
    int64_t at = h.base_offset;
    if (batch_codec(&h) != CODEC_NONE || h.base_offset < 0 ||
        h.base_offset <= image_offset(draft) || h.leader_epoch < image_epoch(draft) ||
        h.base_offset > INT64_MAX - h.last_offset_delta) {
        error = ERR_MALFORMED;
    } else {
        struct arena arena;
        arena_init(&arena, memory, RECORDS_ARENA_LIMIT);
        error = apply_records(draft, &h, data, &arena, &at);
        arena_deinit(&arena);
    }
    if (error) {
        snprintf(why, RECORDS_WHY_SIZE, "the record at offset %lld %s", (long long)at,
                 failure_text(error));
        return error;
    }
    image_set_position(draft, batch_last_offset(&h), h.leader_epoch, h.max_timestamp);
    return 0;
}

/* --- writing ---------------------------------------------------------------------------------- */

void proposal_init(struct proposal *p, struct memory *memory, size_t limit)
{
    *p = (struct proposal){.memory = memory};
    batch_builder_init(&p->batch, memory, limit);
    wire_writer_init(&p->scratch, memory, SCRATCH_LIMIT);
}

void proposal_drop(struct proposal *p)
{
    image_release(p->candidate);
    image_release(p->image);
    p->candidate = p->image = NULL;
    batch_builder_reset(&p->batch);
}

void proposal_deinit(struct proposal *p)
{
    proposal_drop(p);
    batch_builder_deinit(&p->batch);
    wire_writer_deinit(&p->scratch);
}

int proposal_begin(struct proposal *p, const struct image *base, int64_t base_offset,
                   int64_t timestamp)
{
    assert(!p->image);
    assert(base_offset > image_offset(base));
    p->image = image_fork(base);
    if (!p->image) {
        return ERR_NO_MEMORY;
    }
    batch_builder_reset(&p->batch);
    p->base_offset = base_offset;
    p->timestamp = timestamp;
    return 0;
}

int proposal_open(struct proposal *p)
{
    assert(p->image && !p->candidate);
    p->candidate = image_fork(p->image);
    if (!p->candidate) {
        return ERR_NO_MEMORY;
    }
    p->kept_records = p->batch.record_count;
    p->kept_size = p->batch.records.size;
    p->error = 0;
    return 0;
}

int64_t proposal_next_offset(const struct proposal *p)
{
    return p->base_offset + p->batch.record_count;
}

int partition_record_version(const struct partition_record *r)
{
    bool more = r->eligible_leader_replicas_count > 0 || r->last_known_elr_count > 0 ||
                r->damaged_replicas_count > 0 || r->unclean_epoch >= 0 || r->factor_chosen;
    return more ? 2 : r->directories_count > 0 ? 1 : 0;
}

int partition_change_record_version(const struct partition_change_record *r)
{
    bool more = r->eligible_leader_replicas_count >= 0 || r->last_known_elr_count >= 0 ||
                r->damaged_replicas_count >= 0 || r->unclean_election || r->factor_chosen;
    return more ? 2 : r->directories_count >= 0 ? 1 : 0;
}

int register_broker_record_version(const struct register_broker_record *r)
{
    return r->log_dirs_count > 0 ? 3 : 2;
}

void topic_record_of(struct topic_record *out, const struct image_topic *t)
{
    topic_record_init(out);
    out->name = wire_string_of(t->name);
    out->topic_id = t->id;
    out->factor_choice = t->factor_open == t->internal ? CHOICE_AS_NAMED
                         : t->factor_open              ? CHOICE_OPEN
                                                       : CHOICE_MADE;
}

void partition_record_of(struct partition_record *out, struct uuid topic, int32_t number,
                         const struct image_partition *p)
{
    partition_record_init(out);
    out->partition_id = number;
    out->topic_id = topic;
    out->replicas = (int32_t *)p->replicas;
    out->replicas_count = p->replica_count;
    out->isr = (int32_t *)p->isr;
    out->isr_count = p->isr_count;
    out->removing_replicas = (int32_t *)p->more->removing.ids;
    out->removing_replicas_count = p->more->removing.count;
    out->adding_replicas = (int32_t *)p->more->adding.ids;
    out->adding_replicas_count = p->more->adding.count;
    out->leader = p->leader;
    out->leader_recovery_state = p->recovering ? STATE_RECOVERING : STATE_RECOVERED;
    out->leader_epoch = p->leader_epoch;
    out->partition_epoch = p->partition_epoch;
    out->unclean_epoch = p->unclean_epoch;
    if (p->directories) {
        out->directories = (struct uuid *)p->directories;
        out->directories_count = p->replica_count;
    }
    if (p->more->elr.count > 0) {
        out->eligible_leader_replicas = (int32_t *)p->more->elr.ids;
        out->eligible_leader_replicas_count = p->more->elr.count;
    }
    if (p->more->last_known_elr.count > 0) {
        out->last_known_elr = (int32_t *)p->more->last_known_elr.ids;
        out->last_known_elr_count = p->more->last_known_elr.count;
    }
    if (p->more->damaged.count > 0) {
        out->damaged_replicas = (int32_t *)p->more->damaged.ids;
        out->damaged_replicas_count = p->more->damaged.count;
    }
}

int record_append(struct batch_builder *b, struct wire_writer *scratch,
                  const struct wire_message *message, int version, const void *body,
                  int64_t timestamp)
{
    wire_writer_reset(scratch);
    int error = wire_record_frame_encode(message, version, scratch);
    if (!error) {
        error = wire_encode(message, body, scratch, version);
    }
    if (error) {
        return error;
    }
    assert(scratch->splice_count == 0);
    const struct record_input record = {
        .timestamp = timestamp,
        .key = {NULL, -1},
        .value = {scratch->data, (int32_t)scratch->size},
    };
    return batch_append(b, &record);
}

int proposal_emit(struct proposal *p, const struct wire_message *message, int version,
                  const void *body)
{
    assert(p->candidate);
    assert(message->key >= 0);
    if (!p->error) {
        p->error = record_append(&p->batch, &p->scratch, message, version, body, p->timestamp);
    }
    if (!p->error) {
        p->error = record_apply(p->candidate, message->key, body);
    }
    return p->error;
}

void proposal_keep(struct proposal *p)
{
    assert(p->candidate);
    assert(p->error == 0);
    image_release(p->image);
    p->image = p->candidate;
    p->candidate = NULL;
}

void proposal_undo(struct proposal *p)
{
    assert(p->candidate);
    image_release(p->candidate);
    p->candidate = NULL;
    /* All records of a proposal have one timestamp: cutting the newest off restores the builder. */
    assert(p->kept_size <= p->batch.records.size);
    if (p->kept_records == 0) {
        batch_builder_reset(&p->batch);
    } else {
        wire_writer_rewind(&p->batch.records, (struct wire_mark){.size = p->kept_size});
        p->batch.record_count = p->kept_records;
    }
}

int proposal_finish(struct proposal *p, int32_t leader_epoch, struct bytes *out)
{
    assert(p->image && !p->candidate);
    assert(p->batch.record_count > 0);
    struct batch_options options = batch_options_default();
    options.base_offset = p->base_offset;
    options.leader_epoch = leader_epoch;
    int error = batch_finish(&p->batch, &options, out);
    if (!error) {
        image_set_position(p->image, proposal_next_offset(p) - 1, leader_epoch, p->timestamp);
    }
    return error;
}

struct image *proposal_take(struct proposal *p)
{
    struct image *image = p->image;
    assert(image && !p->candidate);
    p->image = NULL;
    return image;
}

int control_append_bytes(struct batch_builder *b, enum control_kind kind, struct bytes value,
                         int64_t timestamp)
{
    uint8_t key[CONTROL_KEY_SIZE];
    put_be16(key, 0);
    put_be16(key + 2, (uint16_t)kind);
    const struct record_input record = {
        .timestamp = timestamp,
        .key = {key, sizeof key},
        .value = {value.data, (int32_t)value.size},
    };
    return batch_append(b, &record);
}

int control_append(struct batch_builder *b, struct memory *memory, enum control_kind kind,
                   const struct wire_message *message, int version, const void *body,
                   int64_t timestamp)
{
    struct wire_writer value;
    wire_writer_init(&value, memory, SCRATCH_LIMIT);
    int error = wire_encode(message, body, &value, version);
    if (!error) {
        error = control_append_bytes(b, kind, bytes_of(value.data, value.size), timestamp);
    }
    wire_writer_deinit(&value);
    return error;
}
