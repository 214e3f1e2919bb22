/* SPDX-License-Identifier: Apache-2.0 */

/* One function for each kind of operation: check everything, then emit. What is checked and how it
 * is called follows Kafka's ReplicationControlManager and ConfigurationControlManager in what
 * clients see; configurations are in controller_configs.c. */
#include "meta/controller_private.h"

#include "meta/placement.h"
#include "meta/records.h"

#include <stdarg.h>
#include <stdio.h>

int controller_refuse(struct meta_op *op, int error, const char *format, ...)
{
    va_list arguments;
    assert(error < 0);
    va_start(arguments, format);
    vsnprintf(op->why, sizeof op->why, format, arguments);
    va_end(arguments);
    return error;
}

int controller_emit(const struct controller *c, const struct meta_op *op,
                    const struct wire_message *message, int version, const void *body)
{
    return op->validate_only ? 0 : c->emit(c->context, message, version, body);
}

/* --- placement -------------------------------------------------------------------------------- */

/* The replicas of new partitions: as the operation assigns them, or as placement.c chooses. */
struct placement {
    const struct meta_op *op;
    const struct image_topic *topic; /* that grows; NULL: a new one */
    struct uuid id;                  /* of the topic */
    int32_t first, count;            /* partition numbers */
    int32_t factor;
    bool open; /* the factor of a new topic: nobody has chosen it */
    struct memory *memory;
    int32_t *chosen; /* `factor` for each partition; NULL: as assigned */
};

static int check_assignment(struct meta_op *op, const struct image *image, int32_t index,
                            int32_t factor)
{
    const int32_t *replicas = op->assignments[index];
    int32_t count = op->assignment_counts[index];
    if (count < 1 || count > NODE_LIST_MAX) {
        return controller_refuse(op, ERR_INVALID_REPLICA_ASSIGNMENT,
                                 "The manual partition assignment names no replica or too many.");
    }
    if (count != factor) {
        return controller_refuse(
            op, ERR_INVALID_REPLICA_ASSIGNMENT,
            "The manual partition assignment has %d replicas for one partition "
            "and %d for another.",
            (int)count, (int)factor);
    }
    bool any_active = false;
    for (int32_t i = 0; i < count; i++) {
        const struct image_broker *b = image_broker_by_id(image, replicas[i]);
        if (!b) {
            return controller_refuse(op, ERR_INVALID_REPLICA_ASSIGNMENT,
                                     "The manual partition assignment includes broker %d, but no "
                                     "such broker is registered.",
                                     (int)replicas[i]);
        }
        any_active = any_active || (!b->fenced && !b->shutting_down);
        for (int32_t k = 0; k < i; k++) {
            if (replicas[k] == replicas[i]) {
                return controller_refuse(op, ERR_INVALID_REPLICA_ASSIGNMENT,
                                         "The manual partition assignment includes broker %d more "
                                         "than once.",
                                         (int)replicas[i]);
            }
        }
    }
    if (!any_active) {
        return controller_refuse(op, ERR_INVALID_REPLICA_ASSIGNMENT,
                                 "All brokers of the manual partition assignment are fenced.");
    }
    return 0;
}

static int check_assignments(struct meta_op *op, const struct image *image, int32_t factor)
{
    for (int32_t i = 0; i < op->assignment_count; i++) {
        int error = check_assignment(op, image, i, factor);
        if (error) {
            return error;
        }
    }
    return 0;
}

bool controller_keeps(const struct controller *c, int32_t factor)
{
    int32_t most = c->limits->replication_factor_max;
    return most <= 0 || factor <= most || image_broker_count(c->image) <= 1;
}

static int check_factor(const struct controller *c, struct meta_op *op, int32_t factor)
{
    if (!controller_keeps(c, factor)) {
        return controller_refuse(op, ERR_INVALID_REPLICATION_FACTOR,
                                 "Replication factor %d: a partition has at most %d replicas.",
                                 (int)factor, (int)c->limits->replication_factor_max);
    }
    if (factor < 1) {
        return controller_refuse(op, ERR_INVALID_REPLICATION_FACTOR,
                                 "Replication factor must be larger than 0, or -1 for the "
                                 "default.");
    }
    return 0;
}

static int check_room(struct meta_op *op, const struct controller *c, int64_t added)
{
    if (added > CONTROLLER_PARTITIONS_PER_OP) {
        return controller_refuse(op, ERR_POLICY_VIOLATION,
                                 "Excessively large number of partitions per request: %lld; at "
                                 "most %d are made at once.",
                                 (long long)added, (int)CONTROLLER_PARTITIONS_PER_OP);
    }
    if (image_partition_total(c->image) + (uint64_t)added > (uint64_t)c->limits->partitions_max) {
        return controller_refuse(op, ERR_POLICY_VIOLATION,
                                 "This node may hold %d partitions (limits.partitions) and has "
                                 "%llu; %lld more do not fit.",
                                 (int)c->limits->partitions_max,
                                 (unsigned long long)image_partition_total(c->image),
                                 (long long)added);
    }
    return 0;
}

/* What the brokers have to do already. */
struct load {
    struct placement_broker *brokers; /* by id */
    uint32_t count;
    const struct image_topic *topic; /* that grows */
};

static struct placement_broker *load_of(const struct load *l, int32_t id)
{
    uint32_t low = 0, high = l->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (l->brokers[middle].id < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < l->count && l->brokers[low].id == id ? &l->brokers[low] : NULL;
}

static bool add_load(void *context, const struct image_topic *t)
{
    struct load *l = context;
    for (int32_t i = 0; i < t->partition_count; i++) {
        const struct image_partition *p = &t->partitions[i];
        for (int32_t k = 0; k < p->replica_count; k++) {
            struct placement_broker *b = load_of(l, p->replicas[k]);
            if (b) {
                b->leads += k == 0;
                b->holds++;
                b->topic_leads += k == 0 && t == l->topic;
                b->topic_holds += t == l->topic;
            }
        }
    }
    return true;
}

/* Who is to lead is the first replica, whoever leads now. */
static void measure_load(const struct controller *c, struct load *l)
{
    l->count = image_broker_count(c->image);
    for (uint32_t i = 0; i < l->count; i++) {
        const struct image_broker *b = image_broker_at(c->image, i);
        l->brokers[i] = (struct placement_broker){
            .id = b->id, .rack = b->rack, .fenced = b->fenced || b->shutting_down};
    }
    if (l->count > 1) {
        image_each_topic(c->image, -1, add_load, l);
    }
}

/* Sets place->chosen unless the operation assigns; placement_end() frees it. */
static int choose_replicas(const struct controller *c, struct meta_op *op, struct placement *place)
{
    if (op->assignments) {
        return 0;
    }
    place->memory = image_memory(c->image);
    uint32_t brokers = image_broker_count(c->image);
    struct load l = {.topic = place->topic};
    l.brokers = memory_alloc(place->memory, (brokers + 1) * sizeof *l.brokers);
    place->chosen =
        memory_alloc(place->memory, (size_t)place->count * (size_t)place->factor * sizeof(int32_t));
    int error = l.brokers && place->chosen ? 0 : ERR_NO_MEMORY;
    if (!error) {
        measure_load(c, &l);
        const struct placement_request q = {
            .brokers = l.brokers,
            .broker_count = l.count,
            .partitions = place->count,
            .factor = place->factor,
            .seed =
                get_be64(place->id.bytes) ^ get_be64(place->id.bytes + 8) ^ (uint64_t)place->first,
        };
        static_assert((int)PLACEMENT_WHY_SIZE <= (int)sizeof op->why, "a sentence fits");
        error = placement_choose(&q, place->memory, place->chosen, op->why);
    }
    memory_free(place->memory, l.brokers);
    return error;
}

static void placement_end(struct placement *place)
{
    if (place->chosen) {
        memory_free(place->memory, place->chosen);
        place->chosen = NULL;
    }
}

/* In sync are those that are active; where directories are known they are recorded. */
static int emit_partition(const struct controller *c, const struct meta_op *op,
                          const struct placement *place, int32_t number, const int32_t *replicas,
                          int32_t count)
{
    int32_t isr[NODE_LIST_MAX];
    struct uuid directories[NODE_LIST_MAX];
    bool placed = false;
    struct partition_record r;
    partition_record_init(&r);
    r.partition_id = number;
    r.topic_id = place->id;
    r.replicas = (int32_t *)replicas;
    r.replicas_count = count;
    r.isr = isr;
    for (int32_t i = 0; i < count; i++) {
        const struct image_broker *b = image_broker_by_id(c->image, replicas[i]);
        assert(b);
        if (!b->fenced && !b->shutting_down) {
            isr[r.isr_count++] = replicas[i];
        }
        directories[i] = b->directory;
        placed = placed || !uuid_is_zero(b->directory);
    }
    assert(r.isr_count > 0);
    r.factor_chosen = op->assignments && place->topic && place->topic->factor_open;
    if (placed) {
        r.directories = directories;
        r.directories_count = count;
    }
    r.leader = isr[0];
    r.leader_epoch = 0;
    r.partition_epoch = 0;
    return controller_emit(c, op, &partition_record_message, partition_record_version(&r), &r);
}

static int emit_partitions(const struct controller *c, const struct meta_op *op,
                           const struct placement *place)
{
    int error = 0;
    for (int32_t i = 0; i < place->count && !error; i++) {
        const int32_t *replicas = op->assignments
                                      ? op->assignments[i]
                                      : place->chosen + (size_t)i * (size_t)place->factor;
        int32_t count = op->assignments ? op->assignment_counts[i] : place->factor;
        error = emit_partition(c, op, place, place->first + i, replicas, count);
    }
    return error;
}

/* --- topics ----------------------------------------------------------------------------------- */

static int check_new_name(const struct controller *c, struct meta_op *op)
{
    struct bytes name = bytes_of_string(op->topic);
    if (!topic_name_is_valid(name)) {
        return controller_refuse(op, ERR_INVALID_TOPIC,
                                 name.size > TOPIC_NAME_MAX
                                     ? "Topic name is longer than 249 characters."
                                     : "Topic name is illegal: it takes 1 to 249 of the characters "
                                       "a-z A-Z 0-9 . _ - and is not \".\" or \"..\".");
    }
    if (image_topic_by_name(c->image, name)) {
        return controller_refuse(op, ERR_TOPIC_ALREADY_EXISTS, "Topic '%.100s' already exists.",
                                 op->topic);
    }
    if (topic_name_is_internal(name) && !op->internal) {
        return controller_refuse(op, ERR_INVALID_TOPIC,
                                 "Topic '%s' is the broker's own and is made by it when needed.",
                                 op->topic);
    }
    const struct image_topic *other = image_topic_colliding(c->image, name);
    if (other) {
        return controller_refuse(op, ERR_INVALID_TOPIC,
                                 "Topic '%.60s' collides with existing topic '%.60s': '.' and '_' "
                                 "are one in metric names.",
                                 op->topic, other->name);
    }
    if (image_topic_count(c->image) >= (uint32_t)c->limits->topics_max) {
        return controller_refuse(op, ERR_POLICY_VIOLATION, "This cluster may hold %d topics.",
                                 (int)c->limits->topics_max);
    }
    return 0;
}

/* Number of partitions and replicas of a new topic. */
static int place_topic(const struct controller *c, struct meta_op *op, struct placement *place)
{
    *place = (struct placement){.op = op, .id = c->fresh_id, .open = op->internal};
    if (op->assignments) {
        if (op->replication_factor != -1 || op->partitions != -1) {
            return controller_refuse(op, ERR_INVALID_REQUEST,
                                     "A manual partition assignment was given, but the number of "
                                     "partitions or the replication factor was not -1.");
        }
        if (op->assignment_count < 1) {
            return controller_refuse(op, ERR_INVALID_REPLICA_ASSIGNMENT,
                                     "The manual partition assignment is empty.");
        }
        place->count = op->assignment_count;
        place->factor = op->assignment_counts[0];
        int error = check_assignments(op, c->image, place->factor);
        if (!error) {
            error = check_factor(c, op, place->factor);
        }
        return error ? error : check_room(op, c, place->count);
    }
    place->count = op->partitions == -1 ? controller_num_partitions(c) : op->partitions;
    place->factor = op->replication_factor == -1
                        ? image_default_factor(c->image, c->limits->default_replication_factor)
                        : op->replication_factor;
    place->open =
        place->open || (op->replication_factor == -1 && c->limits->default_replication_factor <= 0);
    if (place->count < 1) {
        return controller_refuse(op, ERR_INVALID_PARTITIONS,
                                 "Number of partitions was set to an invalid non-positive value.");
    }
    int error = check_factor(c, op, place->factor);
    if (!error) {
        error = check_room(op, c, place->count);
    }
    return error ? error : choose_replicas(c, op, place);
}

static int emit_topic(const struct controller *c, struct meta_op *op, const struct placement *place)
{
    struct topic_record r;
    const struct image_topic t = {
        .name = op->topic, .id = place->id, .internal = op->internal, .factor_open = place->open};
    topic_record_of(&r, &t);
    int error = controller_emit(c, op, &topic_record_message, 0, &r);
    if (!error) {
        error = controller_emit_new_configs(c, op);
    }
    if (!error) {
        error = emit_partitions(c, op, place);
    }
    if (!error && !op->validate_only) {
        op->topic_id = place->id;
    }
    return error;
}

static int create_topic(const struct controller *c, struct meta_op *op)
{
    struct placement place = {.chosen = NULL};
    assert(!uuid_is_zero(c->fresh_id));
    int error = check_new_name(c, op);
    if (!error) {
        error = controller_check_new_configs(op);
    }
    if (!error) {
        error = place_topic(c, op, &place);
    }
    if (!error) {
        error = emit_topic(c, op, &place);
    }
    placement_end(&place);
    return error;
}

static int delete_topic(const struct controller *c, struct meta_op *op)
{
    const struct image_topic *t = op->topic
                                      ? image_topic_by_name(c->image, bytes_of_string(op->topic))
                                      : image_topic_by_id(c->image, op->topic_id);
    if (!t && op->topic) {
        return controller_refuse(op, ERR_UNKNOWN_TOPIC_OR_PARTITION,
                                 "There is no topic named '%.100s'.", op->topic);
    }
    if (!t) {
        return controller_refuse(op, ERR_UNKNOWN_TOPIC_ID, "There is no topic with this id.");
    }
    struct remove_topic_record r = {.topic_id = t->id};
    int error = controller_emit(c, op, &remove_topic_record_message, 0, &r);
    if (!error) {
        op->topic_id = r.topic_id;
    }
    return error;
}

static int create_partitions(const struct controller *c, struct meta_op *op)
{
    const struct image_topic *t = image_topic_by_name(c->image, bytes_of_string(op->topic));
    if (!t) {
        return controller_refuse(op, ERR_UNKNOWN_TOPIC_OR_PARTITION,
                                 "There is no topic named '%.100s'.", op->topic);
    }
    if (t->internal) {
        return controller_refuse(op, ERR_INVALID_PARTITIONS,
                                 "Topic '%.60s' keeps its %d partition(s): which one a group "
                                 "belongs to depends on their number.",
                                 t->name, (int)t->partition_count);
    }
    if (op->partitions == t->partition_count) {
        return controller_refuse(op, ERR_INVALID_PARTITIONS, "Topic already has %d partition(s).",
                                 (int)t->partition_count);
    }
    if (op->partitions < t->partition_count) {
        return controller_refuse(
            op, ERR_INVALID_PARTITIONS,
            "The topic %.60s currently has %d partition(s); %d would not be an "
            "increase.",
            t->name, (int)t->partition_count, (int)op->partitions);
    }
    struct placement place = {
        .op = op,
        .topic = t,
        .id = t->id,
        .first = t->partition_count,
        .count = op->partitions - t->partition_count,
        .factor = t->partitions[0].replica_count - t->partitions[0].more->adding.count,
    };
    if (op->assignments && op->assignment_count != place.count) {
        return controller_refuse(op, ERR_INVALID_REPLICA_ASSIGNMENT,
                                 "The manual partition assignment names %d partition(s), but %d "
                                 "would be added.",
                                 (int)op->assignment_count, (int)place.count);
    }
    int error = op->assignments ? check_assignments(op, c->image, place.factor) : 0;
    if (!error) {
        error = check_factor(c, op, place.factor);
    }
    if (!error) {
        error = check_room(op, c, place.count);
    }
    if (!error) {
        error = choose_replicas(c, op, &place);
    }
    if (!error) {
        error = emit_partitions(c, op, &place);
    }
    placement_end(&place);
    return error;
}

static int producer_ids(const struct controller *c, struct meta_op *op)
{
    int64_t first = image_next_producer_id(c->image);
    if (first > INT64_MAX - CONTROLLER_PRODUCER_IDS) {
        return controller_refuse(op, ERR_UNKNOWN_SERVER_ERROR, "Producer ids are used up.");
    }
    const struct image_broker *self = image_broker_by_id(c->image, c->limits->node_id);
    struct producer_ids_record r = {
        .broker_id = c->limits->node_id,
        .broker_epoch = self ? self->epoch : -1,
        .next_producer_id = first + CONTROLLER_PRODUCER_IDS,
    };
    int error = controller_emit(c, op, &producer_ids_record_message, 0, &r);
    if (!error && !op->validate_only) {
        op->producer_id_first = first;
        op->producer_id_count = CONTROLLER_PRODUCER_IDS;
    }
    return error;
}

static int decide(const struct controller *c, struct meta_op *op)
{
    switch (op->kind) {
    case META_CREATE_TOPIC:
        return create_topic(c, op);
    case META_DELETE_TOPIC:
        return delete_topic(c, op);
    case META_CREATE_PARTITIONS:
        return create_partitions(c, op);
    case META_ALTER_CONFIGS:
        return controller_alter_configs(c, op);
    case META_PRODUCER_IDS:
        return producer_ids(c, op);
    case META_REGISTER_BROKER:
        return controller_register_broker(c, op);
    case META_HEARTBEAT:
        return controller_heartbeat(c, op);
    case META_EXPIRE_BROKERS:
        return controller_expire_brokers(c, op);
    case META_ALTER_PARTITIONS:
        return controller_alter_partitions(c, op);
    case META_ELECT_LEADERS:
        return controller_elect_leaders(c, op);
    case META_REASSIGN_PARTITIONS:
        return controller_reassign(c, op);
    case META_REPORT_REPLICAS:
        return controller_report_replicas(c, op);
    case META_UNREGISTER_BROKER:
        return controller_unregister_broker(c, op);
    case META_GIVE_UP_REPLICAS:
        return controller_give_up_replicas(c, op);
    case META_UPDATE_FEATURE:
        return controller_update_feature(c, op);
    case META_BALANCE:
        return controller_balance(c, op);
    case META_GROW:
        return controller_grow(c, op);
    case META_STATE_CONFIGS:
        return controller_state_configs(c, op);
    case META_ADD_VOTER:
    case META_REMOVE_VOTER:
    case META_UPDATE_VOTER:
    case META_READ:
        break; /* voter_changes.c, reads.c */
    }
    assert(false);
    return ERR_UNKNOWN_SERVER_ERROR;
}

int controller_decide(const struct controller *c, struct meta_op *op)
{
    op->why[0] = 0;
    op->more = false;
    op->unclean_count = 0;
    op->error = decide(c, op);
    assert(op->error <= 0);
    if (op->error && !op->why[0]) {
        snprintf(op->why, sizeof op->why, "%s", error_text(op->error));
    }
    return op->error;
}
