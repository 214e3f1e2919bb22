/* SPDX-License-Identifier: Apache-2.0 */

/* CreatePartitions: a topic grows to a new total. */
#include "api/admin.h"

static void answer(struct admin *a)
{
    struct api_request *r = a->request;
    const struct create_partitions_request *q = a->response;
    struct create_partitions_response response;
    create_partitions_response_init(&response);
    response.results = api_alloc(r, a->count, sizeof *response.results);
    if (!response.results) {
        api_close(r, error_text(ERR_NO_MEMORY));
        return;
    }
    response.results_count = (int32_t)a->count;
    for (uint32_t i = 0; i < a->count; i++) {
        struct create_partitions_response_results *out = &response.results[i];
        create_partitions_response_results_init(out);
        out->name = q->topics[i].name;
        out->error_code = admin_error(&a->ops[i]);
        out->error_message = admin_message(&a->ops[i]);
    }
    api_respond(r, &response);
}

static bool named_twice(const struct create_partitions_request *q, int32_t index)
{
    for (int32_t i = 0; i < q->topics_count; i++) {
        if (i != index && wire_string_equal(q->topics[i].name, q->topics[index].name)) {
            return true;
        }
    }
    return false;
}

static int topic_prepare(struct api_request *r, struct admin_op *op,
                         const struct create_partitions_request_topics *in)
{
    op->op.topic = admin_string(r, in->name);
    if (!op->op.topic) {
        admin_refuse(op, ERR_UNKNOWN_TOPIC_OR_PARTITION, NULL);
        return 0;
    }
    op->op.partitions = in->count;
    if (in->assignments_count < 0) {
        return 0;
    }
    const int32_t **lists = api_alloc(r, (size_t)in->assignments_count, sizeof *lists);
    int32_t *counts = api_alloc(r, (size_t)in->assignments_count, sizeof *counts);
    if (!lists || !counts) {
        return ERR_NO_MEMORY;
    }
    for (int32_t i = 0; i < in->assignments_count; i++) {
        lists[i] = in->assignments[i].broker_ids;
        counts[i] = in->assignments[i].broker_ids_count;
    }
    op->op.assignments = lists;
    op->op.assignment_counts = counts;
    op->op.assignment_count = in->assignments_count;
    return 0;
}

enum { TOPICS_MAX = 1000 };

void handle_create_partitions(struct api_request *r)
{
    struct create_partitions_request *q = api_decode(r);
    if (!q) {
        return;
    }
    if (q->topics_count > TOPICS_MAX) {
        api_close(r, "too many topics in one request");
        return;
    }
    struct admin *a =
        admin_new(r, (size_t)q->topics_count, META_CREATE_PARTITIONS, q->validate_only, answer);
    if (!a) {
        return;
    }
    a->response = q;
    for (int32_t i = 0; i < q->topics_count; i++) {
        if (named_twice(q, i)) {
            admin_refuse(&a->ops[i], ERR_INVALID_REQUEST, "the topic is named twice");
        } else if (topic_prepare(r, &a->ops[i], &q->topics[i]) != 0) {
            api_close(r, error_text(ERR_NO_MEMORY));
            return;
        }
    }
    admin_go(a, q->timeout_ms);
}
