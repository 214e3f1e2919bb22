/* SPDX-License-Identifier: Apache-2.0 */

/* AlterPartition: the leaders of a broker propose in-sync sets to the controller. Elsewhere:
 * NOT_CONTROLLER. Version 2 names members without their broker epochs, and those are refused: they
 * may have come anew with less than they had.
 *
 * Differs from Kafka: a partition with an error is told with its state as well, -1 where that is not
 * known. */
#include "api/request.h"

struct proposals {
    struct api_request *request;
    struct alter_partition_request *in;
    struct meta_op op;
};

static void respond_error(struct api_request *r, int error)
{
    struct alter_partition_response response;
    alter_partition_response_init(&response);
    response.error_code = error_to_wire(error);
    api_respond(r, &response);
}

static void put_state(struct alter_partition_response_partitions *out, struct meta_alteration *a)
{
    alter_partition_response_partitions_init(out);
    out->partition_index = a->partition;
    out->error_code = error_to_wire(a->error);
    out->leader_id = a->leader_now;
    out->leader_epoch = a->epoch_now;
    out->isr = a->isr_now;
    out->isr_count = a->isr_now_count;
    out->leader_recovery_state = a->recovering_now;
    out->partition_epoch = a->partition_epoch_now;
}

static void respond(struct proposals *p)
{
    struct api_request *r = p->request;
    const struct alter_partition_request *in = p->in;
    struct meta_alteration *a = p->op.alterations;
    struct alter_partition_response response;
    alter_partition_response_init(&response);
    response.topics = api_alloc(r, (size_t)in->topics_count, sizeof *response.topics);
    struct alter_partition_response_partitions *parts =
        api_alloc(r, p->op.alteration_count, sizeof *parts);
    if (!response.topics || !parts) {
        api_close(r, error_text(ERR_NO_MEMORY));
        return;
    }
    response.topics_count = in->topics_count;
    for (int32_t i = 0; i < in->topics_count; i++) {
        struct alter_partition_response_topics *t = &response.topics[i];
        t->topic_id = in->topics[i].topic_id;
        t->partitions = parts;
        t->partitions_count = in->topics[i].partitions_count;
        for (int32_t k = 0; k < t->partitions_count; k++) {
            put_state(parts++, a++);
        }
    }
    api_respond(r, &response);
}

static void altered(struct meta_op *op)
{
    struct proposals *p = container_of(op, struct proposals, op);
    struct api_request *r = p->request;
    if (op->error) {
        respond_error(r, op->error);
    } else {
        respond(p);
    }
    net_unhold(&r->net);
}

/* NULL: no memory. */
static const struct isr_member *take_members(struct api_request *r,
                                             const struct alter_partition_request_partitions *in,
                                             int32_t *count)
{
    bool old = api_version(r) < 3;
    *count = old ? in->new_isr_count : in->new_isr_with_epochs_count;
    struct isr_member *members = api_alloc(r, (size_t)*count, sizeof *members);
    for (int32_t i = 0; members && i < *count; i++) {
        members[i] = old ? (struct isr_member){in->new_isr[i], -1}
                         : (struct isr_member){in->new_isr_with_epochs[i].broker_id,
                                               in->new_isr_with_epochs[i].broker_epoch};
    }
    return members;
}

static int take_one(struct api_request *r, struct uuid topic,
                    const struct alter_partition_request_partitions *in,
                    struct meta_alteration *out)
{
    enum { RECOVERED = 0, RECOVERING = 1 };
    if (in->leader_recovery_state != RECOVERED && in->leader_recovery_state != RECOVERING) {
        return ERR_INVALID_REQUEST;
    }
    out->topic_id = topic;
    out->partition = in->partition_index;
    out->leader_epoch = in->leader_epoch;
    out->partition_epoch = in->partition_epoch;
    out->recovering = in->leader_recovery_state == RECOVERING;
    out->members = take_members(r, in, &out->member_count);
    return out->members ? 0 : ERR_NO_MEMORY;
}

static int take_all(struct proposals *p)
{
    const struct alter_partition_request *in = p->in;
    struct meta_op *op = &p->op;
    size_t count = 0;
    for (int32_t i = 0; i < in->topics_count; i++) {
        count += (size_t)in->topics[i].partitions_count;
    }
    op->alterations =
        count <= API_PARTITIONS_MAX ? api_alloc(p->request, count, sizeof *op->alterations) : NULL;
    if (!op->alterations) {
        return ERR_NO_MEMORY;
    }
    for (int32_t i = 0; i < in->topics_count; i++) {
        const struct alter_partition_request_topics *t = &in->topics[i];
        for (int32_t k = 0; k < t->partitions_count; k++) {
            int error = take_one(p->request, t->topic_id, &t->partitions[k],
                                 &op->alterations[op->alteration_count++]);
            if (error) {
                return error;
            }
        }
    }
    return 0;
}

void handle_alter_partition(struct api_request *r)
{
    struct alter_partition_request *in = api_decode(r);
    struct proposals *p = in ? api_alloc(r, 1, sizeof *p) : NULL;
    if (!in) {
        return;
    }
    if (!p) {
        api_close(r, error_text(ERR_NO_MEMORY));
        return;
    }
    *p = (struct proposals){
        .request = r,
        .in = in,
        .op = {.kind = META_ALTER_PARTITIONS,
               .done = altered,
               .here = true,
               .broker = in->broker_id,
               .broker_epoch = in->broker_epoch},
    };
    int error = take_all(p);
    if (error == ERR_NO_MEMORY) {
        api_close(r, error_text(error));
    } else if (error) {
        respond_error(r, error);
    } else {
        net_hold(&r->net);
        meta_submit(r->api->options.rooms.meta, r->api->io, &p->op);
    }
}
