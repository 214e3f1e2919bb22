/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/forward_wire.h"

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

int forward_encode_alterations(const struct meta_op *op, struct arena *arena, struct wire_writer *w,
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
    memcpy(a->isr_now, p->isr, (size_t)p->isr_count * sizeof a->isr_now[0]);
    return true;
}

int forward_decode_alterations(struct meta_op *op, struct reader *in, int version,
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
