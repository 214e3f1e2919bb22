/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/forward_wire.h"

#include "meta/edit.h"

#include <stdio.h>

void forward_why(struct meta_op *op, struct wire_string why)
{
    if (why.size > 0) {
        snprintf(op->why, sizeof op->why, "%.*s", (int)why.size, why.data);
    }
}

/* --- AlterPartition --------------------------------------------------------------------------- */

/* How many alterations from `first` on are of its topic. */
static uint32_t same_topic(const struct meta_op *op, uint32_t first)
{
    uint32_t end = first + 1;
    while (end < op->alteration_count &&
           uuid_equal(op->alterations[end].topic_id, op->alterations[first].topic_id)) {
        end++;
    }
    return end - first;
}

static int put_members(const struct meta_alteration *a, struct arena *arena,
                       struct alter_partition_request_partitions *p)
{
    p->new_isr_with_epochs_count = a->member_count;
    p->new_isr_with_epochs =
        arena_array(arena, (size_t)a->member_count, sizeof *p->new_isr_with_epochs);
    if (!p->new_isr_with_epochs) {
        return ERR_NO_MEMORY;
    }
    for (int32_t i = 0; i < a->member_count; i++) {
        p->new_isr_with_epochs[i] = (struct alter_partition_request_new_isr_with_epochs){
            a->members[i].id, a->members[i].broker_epoch};
    }
    return 0;
}

static int encode_alterations(const struct meta_op *op, struct arena *arena, struct wire_writer *w,
                              int version)
{
    struct alter_partition_request r;
    alter_partition_request_init(&r);
    r.broker_id = op->broker;
    r.broker_epoch = op->broker_epoch;
    r.topics = arena_array(arena, op->alteration_count, sizeof *r.topics);
    struct alter_partition_request_partitions *parts =
        arena_array(arena, op->alteration_count, sizeof *parts);
    if (!r.topics || !parts) {
        return ERR_NO_MEMORY;
    }
    for (uint32_t first = 0, count; first < op->alteration_count; first += count) {
        struct alter_partition_request_topics *t = &r.topics[r.topics_count++];
        count = same_topic(op, first);
        t->topic_id = op->alterations[first].topic_id;
        t->partitions = parts + first;
        t->partitions_count = (int32_t)count;
        for (uint32_t i = first; i < first + count; i++) {
            const struct meta_alteration *a = &op->alterations[i];
            alter_partition_request_partitions_init(&parts[i]);
            parts[i].partition_index = a->partition;
            parts[i].leader_epoch = a->leader_epoch;
            parts[i].partition_epoch = a->partition_epoch;
            parts[i].leader_recovery_state = a->recovering;
            int error = put_members(a, arena, &parts[i]);
            if (error) {
                return error;
            }
        }
    }
    return alter_partition_request_encode(&r, w, version);
}

static bool take_altered(struct meta_alteration *a, struct uuid topic,
                         const struct alter_partition_response_partitions *p)
{
    if (!uuid_equal(a->topic_id, topic) || a->partition != p->partition_index ||
        p->isr_count > ISR_REPLICAS_MAX) {
        return false;
    }
    a->error = error_from_wire(p->error_code);
    a->leader_now = p->leader_id;
    a->epoch_now = p->leader_epoch;
    a->partition_epoch_now = p->partition_epoch;
    a->recovering_now = p->leader_recovery_state != 0;
    a->isr_now_count = p->isr_count;
    for (int32_t i = 0; i < p->isr_count; i++) {
        a->isr_now[i] = p->isr[i];
    }
    return true;
}

static int decode_alterations(struct meta_op *op, struct reader *in, int version,
                              struct arena *arena)
{
    struct alter_partition_response r;
    uint32_t taken = 0;
    int error = alter_partition_response_decode(&r, in, version, arena);
    if (error || r.error_code) {
        return error ? error : error_from_wire(r.error_code);
    }
    for (int32_t i = 0; i < r.topics_count; i++) {
        const struct alter_partition_response_topics *t = &r.topics[i];
        for (int32_t k = 0; k < t->partitions_count; k++) {
            if (taken == op->alteration_count ||
                !take_altered(&op->alterations[taken++], t->topic_id, &t->partitions[k])) {
                return ERR_MALFORMED;
            }
        }
    }
    return taken == op->alteration_count ? 0 : ERR_MALFORMED;
}

/* --- ElectLeaders ----------------------------------------------------------------------------- */

static int encode_elections(const struct meta_op *op, struct arena *arena, struct wire_writer *w,
                            int version)
{
    struct elect_leaders_request r;
    elect_leaders_request_init(&r);
    r.election_type = op->unclean;
    r.topic_partitions = arena_array(arena, op->election_count, sizeof *r.topic_partitions);
    int32_t *numbers = arena_array(arena, op->election_count, sizeof *numbers);
    if (!r.topic_partitions || !numbers) {
        return ERR_NO_MEMORY;
    }
    struct elect_leaders_request_topic_partitions *t = NULL;
    for (uint32_t i = 0; i < op->election_count; i++) {
        const struct meta_election *e = &op->elections[i];
        if (i == 0 || strcmp(e->topic, op->elections[i - 1].topic) != 0) {
            t = &r.topic_partitions[r.topic_partitions_count++];
            t->topic = wire_string_of(e->topic);
            t->partitions = &numbers[i];
        }
        numbers[i] = e->partition;
        t->partitions_count++;
    }
    return elect_leaders_request_encode(&r, w, version);
}

static int decode_elections(struct meta_op *op, struct reader *in, int version, struct arena *arena)
{
    struct elect_leaders_response r;
    uint32_t taken = 0;
    int error = elect_leaders_response_decode(&r, in, version, arena);
    if (error || r.error_code) {
        return error ? error : error_from_wire(r.error_code);
    }
    for (int32_t i = 0; i < r.replica_election_results_count; i++) {
        const struct elect_leaders_response_replica_election_results *t =
            &r.replica_election_results[i];
        for (int32_t k = 0; k < t->partition_result_count; k++) {
            if (taken == op->election_count ||
                op->elections[taken].partition != t->partition_result[k].partition_id ||
                !wire_string_equal(t->topic, wire_string_of(op->elections[taken].topic))) {
                return ERR_MALFORMED;
            }
            op->elections[taken++].error = error_from_wire(t->partition_result[k].error_code);
        }
    }
    return taken == op->election_count ? 0 : ERR_MALFORMED;
}

/* --- AlterPartitionReassignments -------------------------------------------------------------- */

static int encode_reassignments(const struct meta_op *op, struct arena *arena,
                                struct wire_writer *w, int version)
{
    struct alter_partition_reassignments_request r;
    alter_partition_reassignments_request_init(&r);
    r.allow_replication_factor_change = !op->keep_factor;
    r.topics = arena_array(arena, op->reassignment_count, sizeof *r.topics);
    struct alter_partition_reassignments_request_partitions *parts =
        arena_array(arena, op->reassignment_count, sizeof *parts);
    if (!r.topics || !parts) {
        return ERR_NO_MEMORY;
    }
    struct alter_partition_reassignments_request_topics *t = NULL;
    for (uint32_t i = 0; i < op->reassignment_count; i++) {
        const struct meta_reassignment *a = &op->reassignments[i];
        if (i == 0 || strcmp(a->topic, op->reassignments[i - 1].topic) != 0) {
            t = &r.topics[r.topics_count++];
            t->name = wire_string_of(a->topic);
            t->partitions = &parts[i];
        }
        parts[i] = (struct alter_partition_reassignments_request_partitions){
            a->partition, (int32_t *)a->replicas, a->replicas ? a->replica_count : -1};
        t->partitions_count++;
    }
    return alter_partition_reassignments_request_encode(&r, w, version);
}

static bool take_reassigned(struct meta_reassignment *a, struct wire_string topic,
                            const struct alter_partition_reassignments_response_partitions *p)
{
    if (a->partition != p->partition_index || !wire_string_equal(topic, wire_string_of(a->topic))) {
        return false;
    }
    a->error = error_from_wire(p->error_code);
    a->why[0] = 0;
    if (a->error) {
        snprintf(a->why, sizeof a->why, "%.*s",
                 p->error_message.size > 0 ? p->error_message.size : 0,
                 p->error_message.size > 0 ? p->error_message.data : "");
    }
    return true;
}

static int decode_reassignments(struct meta_op *op, struct reader *in, int version,
                                struct arena *arena)
{
    struct alter_partition_reassignments_response r;
    uint32_t taken = 0;
    int error = alter_partition_reassignments_response_decode(&r, in, version, arena);
    if (error || r.error_code) {
        if (!error) {
            forward_why(op, r.error_message);
        }
        return error ? error : error_from_wire(r.error_code);
    }
    for (int32_t i = 0; i < r.responses_count; i++) {
        const struct alter_partition_reassignments_response_responses *t = &r.responses[i];
        for (int32_t k = 0; k < t->partitions_count; k++) {
            if (taken == op->reassignment_count ||
                !take_reassigned(&op->reassignments[taken++], t->name, &t->partitions[k])) {
                return ERR_MALFORMED;
            }
        }
    }
    return taken == op->reassignment_count ? 0 : ERR_MALFORMED;
}

/* --- ReplicaReport ---------------------------------------------------------------------------- */

static int encode_reports(const struct meta_op *op, struct arena *arena, struct wire_writer *w,
                          int version)
{
    struct replica_report_request r;
    replica_report_request_init(&r);
    r.broker_id = op->broker;
    r.broker_epoch = op->broker_epoch;
    r.topics = arena_array(arena, op->report_count, sizeof *r.topics);
    struct replica_report_request_partitions *parts =
        arena_array(arena, op->report_count, sizeof *parts);
    if (!r.topics || !parts) {
        return ERR_NO_MEMORY;
    }
    struct replica_report_request_topics *t = NULL;
    for (uint32_t i = 0; i < op->report_count; i++) {
        const struct meta_replica_report *a = &op->reports[i];
        if (i == 0 || !uuid_equal(a->topic_id, op->reports[i - 1].topic_id)) {
            t = &r.topics[r.topics_count++];
            t->topic_id = a->topic_id;
            t->partitions = &parts[i];
        }
        parts[i] = (struct replica_report_request_partitions){a->partition, (int8_t)a->report,
                                                              a->epoch, a->offset};
        t->partitions_count++;
    }
    return replica_report_request_encode(&r, w, version);
}

static int decode_reports(struct meta_op *op, struct reader *in, int version, struct arena *arena)
{
    struct replica_report_response r;
    uint32_t taken = 0;
    int error = replica_report_response_decode(&r, in, version, arena);
    if (error || r.error_code) {
        if (!error) {
            forward_why(op, r.error_message);
        }
        return error ? error : error_from_wire(r.error_code);
    }
    for (int32_t i = 0; i < r.topics_count; i++) {
        const struct replica_report_response_topics *t = &r.topics[i];
        for (int32_t k = 0; k < t->partitions_count; k++) {
            if (taken == op->report_count ||
                op->reports[taken].partition != t->partitions[k].partition_index ||
                !uuid_equal(op->reports[taken].topic_id, t->topic_id)) {
                return ERR_MALFORMED;
            }
            op->reports[taken++].error = error_from_wire(t->partitions[k].error_code);
        }
    }
    return taken == op->report_count ? 0 : ERR_MALFORMED;
}

/* --- brokers and features --------------------------------------------------------------------- */

static int encode_feature(const struct meta_op *op, struct wire_writer *w, int version)
{
    struct update_features_request r;
    struct update_features_request_feature_updates u;
    update_features_request_init(&r);
    update_features_request_feature_updates_init(&u);
    u.feature = wire_string_of(op->feature);
    u.max_version_level = op->feature_level;
    u.upgrade_type = (int8_t)op->feature_change;
    r.feature_updates = &u;
    r.feature_updates_count = 1;
    r.validate_only = op->validate_only;
    return update_features_request_encode(&r, w, version);
}

static int decode_feature(struct meta_op *op, struct reader *in, int version, struct arena *arena)
{
    struct update_features_response r;
    int error = update_features_response_decode(&r, in, version, arena);
    if (!error) {
        forward_why(op, r.error_message);
        error = error_from_wire(r.error_code);
    }
    return error;
}

static int encode_unregistration(const struct meta_op *op, struct wire_writer *w, int version)
{
    const struct unregister_broker_request r = {.broker_id = op->broker};
    return unregister_broker_request_encode(&r, w, version);
}

static int decode_unregistration(struct meta_op *op, struct reader *in, int version,
                                 struct arena *arena)
{
    struct unregister_broker_response r;
    int error = unregister_broker_response_decode(&r, in, version, arena);
    if (!error) {
        forward_why(op, r.error_message);
        error = error_from_wire(r.error_code);
    }
    return error;
}

/* --- by kind ---------------------------------------------------------------------------------- */

struct forward_spoken forward_spoken_partitions(const struct meta_op *op)
{
    switch (op->kind) {
    case META_ALTER_PARTITIONS:
        return (struct forward_spoken){WIRE_ALTER_PARTITION, 3};
    case META_ELECT_LEADERS:
        return (struct forward_spoken){WIRE_ELECT_LEADERS, 2};
    case META_REASSIGN_PARTITIONS:
        return (struct forward_spoken){WIRE_ALTER_PARTITION_REASSIGNMENTS, 1};
    case META_REPORT_REPLICAS:
        return (struct forward_spoken){WIRE_REPLICA_REPORT, 0};
    case META_UNREGISTER_BROKER:
        return (struct forward_spoken){WIRE_UNREGISTER_BROKER, 0};
    default:
        assert(op->kind == META_UPDATE_FEATURE);
        return (struct forward_spoken){WIRE_UPDATE_FEATURES, 2};
    }
}

int forward_encode_partitions(const struct meta_op *op, struct arena *arena, struct wire_writer *w,
                              int version)
{
    switch (op->kind) {
    case META_ALTER_PARTITIONS:
        return encode_alterations(op, arena, w, version);
    case META_ELECT_LEADERS:
        return encode_elections(op, arena, w, version);
    case META_REASSIGN_PARTITIONS:
        return encode_reassignments(op, arena, w, version);
    case META_REPORT_REPLICAS:
        return encode_reports(op, arena, w, version);
    case META_UNREGISTER_BROKER:
        return encode_unregistration(op, w, version);
    default:
        assert(op->kind == META_UPDATE_FEATURE);
        return encode_feature(op, w, version);
    }
}

int forward_decode_partitions(struct meta_op *op, struct reader *in, int version,
                              struct arena *arena)
{
    switch (op->kind) {
    case META_ALTER_PARTITIONS:
        return decode_alterations(op, in, version, arena);
    case META_ELECT_LEADERS:
        return decode_elections(op, in, version, arena);
    case META_REASSIGN_PARTITIONS:
        return decode_reassignments(op, in, version, arena);
    case META_REPORT_REPLICAS:
        return decode_reports(op, in, version, arena);
    case META_UNREGISTER_BROKER:
        return decode_unregistration(op, in, version, arena);
    default:
        assert(op->kind == META_UPDATE_FEATURE);
        return decode_feature(op, in, version, arena);
    }
}

/* --- in the image ----------------------------------------------------------------------------- */

static const struct image_partition *partition_of(const struct image *image, const char *topic,
                                                  int32_t partition)
{
    return image_topic_partition(image_topic_by_name(image, bytes_of_string(topic)), partition);
}

static bool election_shown(const struct image *image, const struct meta_op *op,
                           const struct meta_election *e)
{
    const struct image_partition *p = partition_of(image, e->topic, e->partition);
    return e->error || !p || (op->unclean ? p->leader >= 0 : p->leader == p->replicas[0]);
}

static bool reassignment_shown(const struct image *image, const struct meta_reassignment *a)
{
    const struct image_partition *p = partition_of(image, a->topic, a->partition);
    if (a->error || !p) {
        return true;
    }
    if (!a->replicas) {
        return p->more->adding.count + p->more->removing.count == 0;
    }
    /* Those that go stand behind those that were asked for. */
    return p->replica_count >= a->replica_count &&
           memcmp(p->replicas, a->replicas, (size_t)a->replica_count * sizeof *a->replicas) == 0;
}

bool forward_shown_partitions(const struct image *image, const struct meta_op *op)
{
    for (uint32_t i = 0; op->kind == META_ELECT_LEADERS && i < op->election_count; i++) {
        if (!election_shown(image, op, &op->elections[i])) {
            return false;
        }
    }
    for (uint32_t i = 0; op->kind == META_REASSIGN_PARTITIONS && i < op->reassignment_count; i++) {
        if (!reassignment_shown(image, &op->reassignments[i])) {
            return false;
        }
    }
    return op->kind != META_UNREGISTER_BROKER || !image_broker_by_id(image, op->broker);
}
