/* SPDX-License-Identifier: Apache-2.0 */

/* DeleteRecords: the log begins at an offset at or below the high watermark (-1: at it). Answered when that is durable
 * here and on every replica that lives: who leads next has it, too (RELIABILITY 3.1, P30). */
#include "api/request.h"

enum { OFFSET_HIGH_WATERMARK = -1 };

struct delete_part {
    struct part part;
    int64_t offset;
    struct delete_records_response_partitions *out;
    struct log_control control;
    struct partition_waiter waiter; /* for the other replicas, */
    struct deadline until;          /* so long */
    /* Results, written at home. */
    int error;
    int64_t low_watermark;
};

struct deletion {
    struct api_request *request;
    struct delete_records_response response;
    struct delete_part *parts;
    size_t part_count;
    struct spread spread;
    struct deadline deadline;
    uint64_t timeout_ns;
    bool answered;
};

/* --- at home ---------------------------------------------------------------------------------- */

static struct api *home_of(const struct delete_part *part)
{
    return part->part.share->home;
}

/* 1: all have it, 0: not yet. */
static int all_begin_there(const struct delete_part *part, struct partition **p)
{
    int error = partition_leader(home_of(part)->options.rooms.partitions, part->part.topic_id,
                                 part->part.partition, -1, p);
    return error ? error : partition_trimmed(*p, part->control.offset);
}

static void wait_over(struct delete_part *part, int error)
{
    partition_unwait(&part->waiter);
    deadline_cancel(&home_of(part)->deadlines, &part->until);
    part->error = error;
    part_done(&part->part);
}

static void wait_woken(struct partition_waiter *w)
{
    struct delete_part *part = container_of(w, struct delete_part, waiter);
    struct partition *p;
    int all = all_begin_there(part, &p);
    if (all != 0) {
        wait_over(part, all < 0 ? all : 0);
    }
}

static void wait_late(struct deadline *until)
{
    wait_over(container_of(until, struct delete_part, until), ERR_REQUEST_TIMED_OUT);
}

static void moved(struct log_control *c, int error)
{
    struct delete_part *part = container_of(c, struct delete_part, control);
    const struct deletion *d = container_of(part->part.share->spread, struct deletion, spread);
    struct partition *p;
    int all = error == ERR_CLOSED ? ERR_UNKNOWN_TOPIC_OR_PARTITION
              : error             ? error
                                  : all_begin_there(part, &p);
    if (all != 0) {
        part->error = all < 0 ? all : 0;
        part_done(&part->part);
        return;
    }
    struct api *home = home_of(part);
    part->waiter.woken = wait_woken;
    part->until.due = wait_late;
    list_init(&part->waiter.link);
    partition_wait(p, &part->waiter);
    deadline_set(&home->deadlines, &part->until, io_now(home->io) + d->timeout_ns);
}

/* false: moved() will come. */
static bool part_start(struct api *home, struct part *p)
{
    struct delete_part *part = container_of(p, struct delete_part, part);
    struct partition *partition;
    part->error =
        partition_leader(home->options.rooms.partitions, p->topic_id, p->partition, -1, &partition);
    if (!part->error && !partition_leads_surely(partition)) {
        part->error = ERR_NOT_LEADER_OR_FOLLOWER;
    }
    if (part->error) {
        return true;
    }
    int64_t start = partition_log_start(partition), end = partition_high_watermark(partition);
    int64_t offset = part->offset == OFFSET_HIGH_WATERMARK ? end : part->offset;
    if (offset < 0 || offset > end) {
        part->error = ERR_OFFSET_OUT_OF_RANGE;
        return true;
    }
    part->low_watermark = offset > start ? offset : start;
    part->control = (struct log_control){.kind = LOG_START, .offset = offset, .done = moved};
    log_control(partition_log(partition), &part->control);
    return false;
}

static void deletion_start(struct share *s)
{
    share_each(s, part_start);
}

/* --- the request ------------------------------------------------------------------------------ */

static void deletion_answer(struct deletion *d)
{
    d->answered = true;
    deadline_cancel(&d->request->api->deadlines, &d->deadline);
    for (size_t i = 0; i < d->part_count; i++) {
        struct delete_part *part = &d->parts[i];
        if (!part->part.share) {
            continue; /* refused before */
        }
        int error = part->part.share->away ? ERR_REQUEST_TIMED_OUT : part->error;
        part->out->error_code = error_to_wire(error);
        part->out->low_watermark = error ? -1 : part->low_watermark;
    }
    api_respond(d->request, &d->response);
}

static void deletion_late(struct deadline *late)
{
    deletion_answer(container_of(late, struct deletion, deadline));
}

static void deletion_done(struct spread *s)
{
    struct deletion *d = container_of(s, struct deletion, spread);
    struct api_request *r = d->request;
    if (!d->answered) {
        deletion_answer(d);
    }
    net_unhold(&r->net);
}

static int topic_fill(struct deletion *d, const struct delete_records_request_topics *in,
                      struct delete_records_response_topics *out)
{
    struct api_request *r = d->request;
    const struct topic_view *view = topics_by_name(&r->api->topics, in->name);
    delete_records_response_topics_init(out);
    out->name = in->name;
    out->partitions = api_alloc(r, (size_t)in->partitions_count, sizeof *out->partitions);
    if (!out->partitions) {
        return ERR_NO_MEMORY;
    }
    out->partitions_count = in->partitions_count;
    for (int32_t i = 0; i < in->partitions_count; i++) {
        struct delete_part *part = &d->parts[d->part_count++];
        int32_t index = in->partitions[i].partition_index;
        part->offset = in->partitions[i].offset;
        part->out = &out->partitions[i];
        delete_records_response_partitions_init(part->out);
        part->out->partition_index = index;
        part->out->low_watermark = -1;
        if (!view || index < 0 || index >= view->topic->partition_count) {
            part->out->error_code = error_to_wire(ERR_UNKNOWN_TOPIC_OR_PARTITION);
            continue;
        }
        if (view->topic->internal) {
            /* As Kafka: what the groups remember is not cut off by accident. */
            part->out->error_code = error_to_wire(ERR_INVALID_TOPIC);
            continue;
        }
        spread_add(&d->spread, &part->part, view->topic, index);
    }
    return 0;
}

static int deletion_prepare(struct deletion *d, const struct delete_records_request *q)
{
    struct api_request *r = d->request;
    size_t count = 0;
    for (int32_t i = 0; i < q->topics_count; i++) {
        count += (size_t)q->topics[i].partitions_count;
    }
    delete_records_response_init(&d->response);
    d->parts = api_alloc(r, count, sizeof *d->parts);
    d->response.topics = api_alloc(r, (size_t)q->topics_count, sizeof *d->response.topics);
    if (!d->parts || !d->response.topics || spread_init(&d->spread, r, sizeof(struct share)) != 0) {
        return ERR_NO_MEMORY;
    }
    d->spread.start = deletion_start;
    d->spread.done = deletion_done;
    d->response.topics_count = q->topics_count;
    int error = 0;
    for (int32_t i = 0; i < q->topics_count && !error; i++) {
        error = topic_fill(d, &q->topics[i], &d->response.topics[i]);
    }
    return error;
}

void handle_delete_records(struct api_request *r)
{
    struct delete_records_request *q = api_decode(r);
    if (!q) {
        return;
    }
    struct deletion *d = api_alloc(r, 1, sizeof *d);
    if (d) {
        d->request = r;
        d->deadline.due = deletion_late;
    }
    if (!d || deletion_prepare(d, q) != 0) {
        api_close(r, error_text(ERR_NO_MEMORY));
        return;
    }
    net_hold(&r->net);
    d->timeout_ns = (q->timeout_ms > 0 ? (uint64_t)q->timeout_ms : 60000) * 1000000;
    deadline_set(&r->api->deadlines, &d->deadline, io_now(r->api->io) + d->timeout_ns);
    spread_go(&d->spread);
}
