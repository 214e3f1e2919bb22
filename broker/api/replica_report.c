/* SPDX-License-Identifier: Apache-2.0 */

/* ReplicaReport (leat's own): what a broker has found out of its replicas, to the controller. Elsewhere:
 * NOT_CONTROLLER. */
#include "api/request.h"

struct reports {
    struct api_request *request;
    struct replica_report_request *in;
    struct meta_op op;
};

static void respond_error(struct api_request *r, int error, const char *why)
{
    struct replica_report_response response;
    replica_report_response_init(&response);
    response.error_code = error_to_wire(error);
    response.error_message = wire_string_of(why[0] ? why : error_text(error));
    api_respond(r, &response);
}

static void respond(struct reports *p)
{
    struct api_request *r = p->request;
    const struct replica_report_request *in = p->in;
    const struct meta_replica_report *from = p->op.reports;
    struct replica_report_response response;
    replica_report_response_init(&response);
    response.error_message = wire_string_null();
    response.topics = api_alloc(r, (size_t)in->topics_count, sizeof *response.topics);
    struct replica_report_response_partitions *parts =
        api_alloc(r, p->op.report_count, sizeof *parts);
    if (!response.topics || !parts) {
        api_close(r, error_text(ERR_NO_MEMORY));
        return;
    }
    response.topics_count = in->topics_count;
    for (int32_t i = 0; i < in->topics_count; i++) {
        struct replica_report_response_topics *t = &response.topics[i];
        t->topic_id = in->topics[i].topic_id;
        t->partitions = parts;
        t->partitions_count = in->topics[i].partitions_count;
        for (int32_t k = 0; k < t->partitions_count; k++, from++) {
            *parts++ = (struct replica_report_response_partitions){from->partition,
                                                                   error_to_wire(from->error)};
        }
    }
    api_respond(r, &response);
}

static void reported(struct meta_op *op)
{
    struct reports *p = container_of(op, struct reports, op);
    struct api_request *r = p->request;
    if (op->error) {
        respond_error(r, op->error, op->why);
    } else {
        respond(p);
    }
    net_unhold(&r->net);
}

static int take(struct reports *p)
{
    const struct replica_report_request *in = p->in;
    size_t count = 0;
    for (int32_t i = 0; i < in->topics_count; i++) {
        count += (size_t)in->topics[i].partitions_count;
    }
    p->op.reports = api_alloc(p->request, count, sizeof *p->op.reports);
    if (!p->op.reports) {
        return ERR_NO_MEMORY;
    }
    for (int32_t i = 0; i < in->topics_count; i++) {
        const struct replica_report_request_topics *t = &in->topics[i];
        for (int32_t k = 0; k < t->partitions_count; k++) {
            int8_t report = t->partitions[k].report;
            if (report < META_REPLICA_DAMAGED || report > META_REPLICA_END) {
                return ERR_INVALID_REQUEST;
            }
            p->op.reports[p->op.report_count++] =
                (struct meta_replica_report){.topic_id = t->topic_id,
                                             .partition = t->partitions[k].partition_index,
                                             .report = (enum meta_report)report,
                                             .epoch = t->partitions[k].last_epoch,
                                             .offset = t->partitions[k].end_offset};
        }
    }
    return 0;
}

void handle_replica_report(struct api_request *r)
{
    struct replica_report_request *in = api_decode(r);
    struct reports *p = in ? api_alloc(r, 1, sizeof *p) : NULL;
    if (!in) {
        return;
    }
    if (!p) {
        api_close(r, error_text(ERR_NO_MEMORY));
        return;
    }
    *p = (struct reports){
        .request = r,
        .in = in,
        .op = {.kind = META_REPORT_REPLICAS,
               .done = reported,
               .here = true,
               .broker = in->broker_id,
               .broker_epoch = in->broker_epoch},
    };
    int error = take(p);
    if (error == ERR_NO_MEMORY) {
        api_close(r, error_text(error));
    } else if (error) {
        respond_error(r, error, "a report is 1 (damaged), 2 (short), 3 (repaired) or 4 (end)");
    } else {
        net_hold(&r->net);
        meta_submit(r->api->options.rooms.meta, r->api->io, &p->op);
    }
}
