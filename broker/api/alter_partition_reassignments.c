/* SPDX-License-Identifier: Apache-2.0 */

/* AlterPartitionReassignments: other replicas for partitions, or an end of what is under way. */
#include "api/admin.h"

struct reassignments {
    struct alter_partition_reassignments_request *in;
    struct meta_reassignment *list;
    uint32_t count;
};

static void put_result(struct alter_partition_reassignments_response_partitions *out,
                       const struct admin *a, uint32_t index)
{
    const struct reassignments *e = a->response;
    const struct meta_reassignment *one = &e->list[index];
    const struct admin_op *op = &a->ops[index / META_REASSIGNMENTS_MAX];
    int error = op->error ? op->error : one->error;
    out->partition_index = one->partition;
    out->error_code = error_to_wire(error);
    out->error_message = !error        ? wire_string_null()
                         : op->error   ? admin_message(op)
                         : one->why[0] ? wire_string_of(one->why)
                                       : wire_string_of(error_text(error));
}

static void answer(struct admin *a)
{
    struct api_request *r = a->request;
    const struct reassignments *e = a->response;
    struct alter_partition_reassignments_response response;
    alter_partition_reassignments_response_init(&response);
    response.allow_replication_factor_change = e->in->allow_replication_factor_change;
    response.error_message = wire_string_null();
    if (a->count == 1 && a->ops[0].error) {
        response.error_code = admin_error(&a->ops[0]);
        response.error_message = admin_message(&a->ops[0]);
        api_respond(r, &response);
        return;
    }
    response.responses = api_alloc(r, (size_t)e->in->topics_count, sizeof *response.responses);
    struct alter_partition_reassignments_response_partitions *parts =
        api_alloc(r, e->count, sizeof *parts);
    if (!response.responses || !parts) {
        api_close(r, error_text(ERR_NO_MEMORY));
        return;
    }
    response.responses_count = e->in->topics_count;
    uint32_t index = 0;
    for (int32_t i = 0; i < e->in->topics_count; i++) {
        struct alter_partition_reassignments_response_responses *t = &response.responses[i];
        t->name = e->in->topics[i].name;
        t->partitions = parts + index;
        t->partitions_count = e->in->topics[i].partitions_count;
        for (int32_t k = 0; k < t->partitions_count; k++, index++) {
            put_result(&parts[index], a, index);
        }
    }
    api_respond(r, &response);
}

static int take(struct api_request *r, struct reassignments *e)
{
    static const int32_t nobody[1];
    const struct alter_partition_reassignments_request *in = e->in;
    size_t count = 0;
    for (int32_t i = 0; i < in->topics_count; i++) {
        count += (size_t)in->topics[i].partitions_count;
    }
    e->list = count <= API_PARTITIONS_MAX ? api_alloc(r, count, sizeof *e->list) : NULL;
    if (!e->list) {
        return ERR_NO_MEMORY;
    }
    for (int32_t i = 0; i < in->topics_count; i++) {
        const struct alter_partition_reassignments_request_topics *t = &in->topics[i];
        const char *name = admin_name(r, t->name);
        if (!name) {
            return ERR_NO_MEMORY;
        }
        for (int32_t k = 0; k < t->partitions_count; k++) {
            const struct alter_partition_reassignments_request_partitions *p = &t->partitions[k];
            e->list[e->count++] = (struct meta_reassignment){
                .topic = name,
                .partition = p->partition_index,
                .replicas = p->replicas_count < 0    ? NULL
                            : p->replicas_count == 0 ? nobody
                                                     : p->replicas,
                .replica_count = p->replicas_count,
            };
        }
    }
    return 0;
}

void handle_alter_partition_reassignments(struct api_request *r)
{
    struct alter_partition_reassignments_request *in = api_decode(r);
    struct reassignments *e = in ? api_alloc(r, 1, sizeof *e) : NULL;
    if (!in) {
        return;
    }
    if (e) {
        e->in = in;
    }
    if (!e || take(r, e) != 0) {
        api_close(r, error_text(ERR_NO_MEMORY));
        return;
    }
    size_t count = (e->count + META_REASSIGNMENTS_MAX - 1) / META_REASSIGNMENTS_MAX;
    struct admin *a = admin_new(r, count, META_REASSIGN_PARTITIONS, false, answer);
    if (!a) {
        return;
    }
    a->response = e;
    for (uint32_t i = 0; i < a->count; i++) {
        uint32_t first = i * META_REASSIGNMENTS_MAX, rest = e->count - first;
        a->ops[i].op.keep_factor = !in->allow_replication_factor_change;
        a->ops[i].op.reassignments = e->list + first;
        a->ops[i].op.reassignment_count =
            rest < META_REASSIGNMENTS_MAX ? rest : META_REASSIGNMENTS_MAX;
    }
    admin_go(a, in->timeout_ms);
}
