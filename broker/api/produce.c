/* SPDX-License-Identifier: Apache-2.0 */

/* Produce: one batch for each partition, checked here once, appended at home, answered when the
 * acks are met.
 *
 *     decode -> produce_check: topic, batch (bounds, CRC, counts), rules of the topic
 *            -> spread: partition_append on the home shards -> produce_answer
 *
 * The batches stay in the request's frame until every append is through. An answer that its timeout
 * has overtaken goes out without them; the frame is held until they are done. acks=0 is answered by
 * nothing, and by the end of the connection when something failed.
 *
 * A compacted topic's batches have their keys looked at (produce_keys.c). Those that are compressed are
 * opened away from the loop before the request goes on; meanwhile no later request of its connection
 * is begun, for it might overtake this one.
 *
 * LogAppendTime is the one case in which a batch's checked bytes change (DESIGN 1.3). */
#include "api/leaders.h"
#include "api/produce_keys.h"
#include "api/request.h"

struct produce_part {
    struct part part;
    struct partition_append append;
    int16_t acks;
    struct produce_response_partition_responses *out;
    struct produce_part *unopened_next;
    struct batch_header header; /* of an unopened batch */
    int32_t record;             /* that is at fault; -1: none in particular */
    const char *why;            /* of an error, or NULL */
    /* Results, written at home. */
    int error;
    int64_t base_offset, log_start;
};

struct produce {
    struct api_request *request;
    struct produce_request q;
    struct produce_response response;
    struct spread spread;
    struct deadline deadline;
    bool answered;
    struct produce_part *unopened; /* compressed batches for compacted topics */
    struct io_op opening;
    struct list link; /* in api->openings */
};

/* --- checks ----------------------------------------------------------------------------------- */

static const char *check_times(const struct batch_header *h, const struct topic_config *config,
                               int64_t now_ms)
{
    int64_t newest = h->max_timestamp > h->base_timestamp ? h->max_timestamp : h->base_timestamp;
    int64_t oldest = h->max_timestamp > h->base_timestamp ? h->base_timestamp : h->max_timestamp;
    int64_t before = topic_config_number(config, TOPIC_MESSAGE_TIMESTAMP_BEFORE);
    int64_t after = topic_config_number(config, TOPIC_MESSAGE_TIMESTAMP_AFTER);
    if (newest >= 0 && newest > now_ms && newest - now_ms > after) {
        return "a timestamp is further in the future than message.timestamp.after.max.ms";
    }
    if (oldest >= 0 && oldest < now_ms && now_ms - oldest > before) {
        return "a timestamp is further in the past than message.timestamp.before.max.ms";
    }
    return NULL;
}

/* The batch against its own fields, then against the topic. *why is a sentence or NULL. */
static int check_batch(struct api_request *r, const struct topic_config *config,
                       const struct wire_records *records, struct batch_header *h, const char **why)
{
    if (records->null || records->size == 0) {
        *why = "there must be exactly one record batch for each partition";
        return ERR_INVALID_RECORD;
    }
    const struct slice *s = &records->slices[0];
    assert(records->slice_count == 1 && s->size == records->size);
    int error = batch_check(h, s->data, s->size, BATCH_FROM_PRODUCER);
    if (error) {
        return error;
    }
    if (h->attributes & BATCH_TRANSACTIONAL) {
        *why = "transactions are not served yet";
        return ERR_INVALID_TXN_STATE;
    }
    if (batch_codec(h) == CODEC_ZSTD && api_version(r) < 7) {
        return ERR_UNSUPPORTED_COMPRESSION_TYPE;
    }
    if (h->size > topic_config_number(config, TOPIC_MAX_MESSAGE_BYTES)) {
        return ERR_MESSAGE_TOO_LARGE;
    }
    if (h->size > topic_config_number(config, TOPIC_SEGMENT_BYTES)) {
        return ERR_RECORD_LIST_TOO_LARGE;
    }
    if (topic_config_number(config, TOPIC_MESSAGE_TIMESTAMP_TYPE) == TOPIC_TIMESTAMP_CREATE_TIME) {
        *why = check_times(h, config, io_wall_ms(r->api->io));
        return *why ? ERR_INVALID_TIMESTAMP : 0;
    }
    return 0;
}

static int check_partition(struct produce *p, const struct topic_view *view, int unknown,
                           const struct produce_request_partition_data *in,
                           struct produce_part *part)
{
    struct api_request *r = p->request;
    if (p->q.acks < -1 || p->q.acks > 1) {
        return ERR_INVALID_REQUIRED_ACKS;
    }
    if (!view || in->index < 0 || in->index >= view->topic->partition_count) {
        return view ? ERR_UNKNOWN_TOPIC_OR_PARTITION : unknown;
    }
    if (view->topic->internal) {
        part->why = "the broker alone writes to its own topics";
        return ERR_INVALID_TOPIC;
    }
    int error = check_batch(r, &view->config, &in->records, &part->header, &part->why);
    if (error) {
        return error;
    }
    const struct slice *s = &in->records.slices[0];
    if (topic_config_number(&view->config, TOPIC_CLEANUP_POLICY) != TOPIC_CLEANUP_DELETE) {
        if (batch_codec(&part->header) != CODEC_NONE) {
            part->unopened_next = p->unopened;
            p->unopened = part;
        } else if ((error = produce_check_keys(&part->header, s->data, s->size, &part->record,
                                               &part->why))) {
            return error;
        }
    }
    if (topic_config_number(&view->config, TOPIC_MESSAGE_TIMESTAMP_TYPE) ==
        TOPIC_TIMESTAMP_LOG_APPEND_TIME) {
        part->out->log_append_time_ms = io_wall_ms(r->api->io);
        batch_set_append_time((void *)(uintptr_t)s->data, s->size, part->out->log_append_time_ms);
    }
    part->acks = p->q.acks;
    part->append.append.batch = bytes_of(s->data, s->size);
    part->append.append.waited = p->q.acks != 0;
    r->api->status.produced_batches++;
    r->api->status.produced_bytes += s->size;
    return 0;
}

/* Which record of the batch is at fault (KIP-467). */
static void name_record(struct api_request *r, struct produce_part *part)
{
    struct produce_response_partition_responses *out = part->out;
    out->record_errors = api_alloc(r, 1, sizeof *out->record_errors);
    if (out->record_errors) {
        produce_response_record_errors_init(out->record_errors);
        out->record_errors->batch_index = part->record;
        out->record_errors->batch_index_error_message = wire_string_of(part->why);
        out->record_errors_count = 1;
    }
}

static void part_refuse(struct api_request *r, struct produce_part *part, int error)
{
    part->out->error_code = error_to_wire(error);
    part->out->base_offset = -1;
    if (api_version(r) >= 10 && part->part.share && leader_is_news(error)) {
        const struct leader_told told =
            leader_now(r->api->image, part->part.topic_id, part->part.partition);
        part->out->current_leader = (struct produce_response_current_leader){told.id, told.epoch};
    }
    if (api_version(r) >= 8) {
        part->out->error_message = wire_string_of(part->why ? part->why : error_text(error));
        if (part->record >= 0) {
            name_record(r, part);
        }
    }
}

/* --- the answer ------------------------------------------------------------------------------- */

static bool part_over(const struct produce_part *part)
{
    return !part->part.share || !part->part.share->away;
}

static void part_collect(struct produce *p, struct produce_part *part)
{
    if (!part->part.share) {
        return; /* refused before it was sent */
    }
    if (!part_over(part)) {
        part_refuse(p->request, part, ERR_REQUEST_TIMED_OUT);
    } else if (part->error) {
        part_refuse(p->request, part, part->error);
    } else {
        part->out->base_offset = part->base_offset;
        part->out->log_start_offset = part->log_start;
    }
}

/* Where the leaders that are named can be reached. */
static void name_leaders(struct produce *p, const struct produce_part *parts, int32_t count)
{
    struct api_request *r = p->request;
    struct leaders_told told = {0};
    for (int32_t i = 0; i < count; i++) {
        leaders_add(&told, parts[i].out ? parts[i].out->current_leader.leader_id : -1);
    }
    p->response.node_endpoints =
        told.count ? api_alloc(r, told.count, sizeof *p->response.node_endpoints) : NULL;
    for (uint32_t i = 0; p->response.node_endpoints && i < told.count; i++) {
        struct leader_endpoint e;
        if (leader_endpoint(r, told.ids[i], &e)) {
            p->response.node_endpoints[p->response.node_endpoints_count++] =
                (struct produce_response_node_endpoints){told.ids[i], e.host, e.port, e.rack};
        }
    }
}

static void produce_answer(struct produce *p, struct produce_part *parts)
{
    struct api_request *r = p->request;
    assert(!p->answered);
    p->answered = true;
    deadline_cancel(&r->api->deadlines, &p->deadline);
    bool failed = false;
    const struct produce_part *first = parts;
    for (int32_t i = 0; i < p->response.responses_count; i++) {
        struct produce_response_responses *topic = &p->response.responses[i];
        for (int32_t j = 0; j < topic->partition_responses_count; j++) {
            part_collect(p, parts++);
            failed = failed || topic->partition_responses[j].error_code != 0;
        }
    }
    if (p->q.acks == 0 && failed) {
        api_close(r, "a produce with acks=0 failed");
    } else if (p->q.acks == 0) {
        api_drop(r);
    } else {
        if (failed) {
            name_leaders(p, first, (int32_t)(parts - first));
        }
        api_respond_begin(r);
        api_respond_end(r, produce_response_encode(&p->response, &r->net.response, api_version(r)));
    }
}

static void produce_late(struct deadline *d)
{
    struct produce *p = container_of(d, struct produce, deadline);
    if (p->q.acks != 0) {
        produce_answer(p, p->request->work);
    }
}

static void produce_done(struct spread *s)
{
    struct produce *p = container_of(s, struct produce, spread);
    struct api_request *r = p->request;
    if (!p->answered) {
        produce_answer(p, r->work);
    }
    net_unhold(&r->net);
}

/* --- at home ---------------------------------------------------------------------------------- */

static void append_done(struct partition_append *a, int error)
{
    struct produce_part *part = container_of(a, struct produce_part, append);
    part->error = error;
    part->base_offset = a->append.base_offset;
    part_done(&part->part);
}

/* false: append_done() will come. */
static bool part_start(struct api *home, struct part *p)
{
    struct produce_part *part = container_of(p, struct produce_part, part);
    struct partition *partition;
    if (part->error) { /* it has been opened, and refused */
        return true;
    }
    part->error =
        partition_leader(home->options.rooms.partitions, p->topic_id, p->partition, -1, &partition);
    if (part->error) {
        return true;
    }
    part->log_start = partition_log_start(partition);
    if (home->options.null_mode) {
        part->base_offset = home->null_offset++;
        return true;
    }
    part->append.acks = part->acks;
    part->append.patient = true;
    part->append.done = append_done;
    part->error = partition_append(partition, &part->append);
    return part->error != 0;
}

static void produce_share_start(struct share *s)
{
    share_each(s, part_start);
}

static void produce_go(struct produce *p)
{
    struct api *api = p->request->api;
    uint64_t timeout_ms = p->q.timeout_ms > 0 ? (uint64_t)p->q.timeout_ms : 1;
    deadline_set(&api->deadlines, &p->deadline, io_now(api->io) + timeout_ms * 1000000);
    spread_go(&p->spread);
}

/* --- what must be opened ---------------------------------------------------------------------- */

/* For io_work(). */
static void open_batches(void *argument)
{
    struct produce *p = argument;
    for (struct produce_part *part = p->unopened; part; part = part->unopened_next) {
        struct bytes batch = part->append.append.batch;
        part->error =
            produce_check_keys(&part->header, batch.data, batch.size, &part->record, &part->why);
    }
}

static void openings_go(struct api *api);

static void opened(struct io_op *op, int64_t result)
{
    struct produce *p = container_of(op, struct produce, opening);
    struct api *api = p->request->api;
    for (struct produce_part *part = p->unopened; part && result < 0; part = part->unopened_next) {
        part->error = error_from_errno(result);
    }
    api->opening--;
    net_resume(&p->request->net);
    produce_go(p);
    openings_go(api);
}

static void openings_go(struct api *api)
{
    while (api->opening < API_OPENINGS_MAX && !list_empty(&api->openings)) {
        struct produce *p = container_of(list_pop(&api->openings), struct produce, link);
        api->opening++;
        p->opening.done = opened;
        io_work(api->io, &p->opening, open_batches, p);
    }
}

/* --- the request ------------------------------------------------------------------------------ */

static int32_t count_partitions(const struct produce_request *q)
{
    int64_t count = 0;
    for (int32_t i = 0; i < q->topic_data_count; i++) {
        count += q->topic_data[i].partition_data_count;
    }
    return count <= API_PARTITIONS_MAX ? (int32_t)count : -1;
}

static int check_topic(struct produce *p, const struct produce_request_topic_data *in,
                       struct produce_response_responses *out, struct produce_part *parts)
{
    struct api_request *r = p->request;
    bool by_id = api_version(r) >= 13;
    const struct topic_view *view = by_id ? topics_by_id(&r->api->topics, in->topic_id)
                                          : topics_by_name(&r->api->topics, in->name);
    produce_response_responses_init(out);
    out->name = in->name;
    out->topic_id = in->topic_id;
    out->partition_responses =
        api_alloc(r, (size_t)in->partition_data_count, sizeof *out->partition_responses);
    if (!out->partition_responses) {
        return ERR_NO_MEMORY;
    }
    out->partition_responses_count = in->partition_data_count;
    for (int32_t i = 0; i < in->partition_data_count; i++) {
        struct produce_part *part = &parts[i];
        part->record = -1;
        part->out = &out->partition_responses[i];
        produce_response_partition_responses_init(part->out);
        part->out->index = in->partition_data[i].index;
        int error =
            check_partition(p, view, by_id ? ERR_UNKNOWN_TOPIC_ID : ERR_UNKNOWN_TOPIC_OR_PARTITION,
                            &in->partition_data[i], part);
        if (error) {
            part_refuse(r, part, error);
        } else {
            spread_add(&p->spread, &part->part, view->topic, in->partition_data[i].index);
        }
    }
    return 0;
}

void handle_produce(struct api_request *r)
{
    struct produce *p = api_alloc(r, 1, sizeof *p);
    int error =
        p ? produce_request_decode(&p->q, &r->body, api_version(r), &r->arena) : ERR_NO_MEMORY;
    if (error) {
        api_close(r, error == ERR_NO_MEMORY ? error_text(error) : "malformed request");
        return;
    }
    int32_t count = count_partitions(&p->q);
    struct produce_part *parts = count >= 0 ? api_alloc(r, (size_t)count, sizeof *parts) : NULL;
    p->request = r;
    p->deadline.due = produce_late;
    r->work = parts;
    produce_response_init(&p->response);
    p->response.responses =
        api_alloc(r, (size_t)p->q.topic_data_count, sizeof *p->response.responses);
    if (!parts || !p->response.responses || spread_init(&p->spread, r, sizeof(struct share)) != 0) {
        api_close(r, count < 0 ? "too many partitions" : error_text(ERR_NO_MEMORY));
        return;
    }
    p->spread.start = produce_share_start;
    p->spread.done = produce_done;
    p->response.responses_count = p->q.topic_data_count;
    struct produce_part *next = parts;
    for (int32_t i = 0; i < p->q.topic_data_count; i++) {
        if (check_topic(p, &p->q.topic_data[i], &p->response.responses[i], next) != 0) {
            api_close(r, error_text(ERR_NO_MEMORY));
            return;
        }
        next += p->q.topic_data[i].partition_data_count;
    }
    net_hold(&r->net);
    if (p->unopened) {
        net_pause(&r->net);
        list_init(&p->link);
        list_append(&r->api->openings, &p->link);
        openings_go(r->api);
    } else {
        produce_go(p);
    }
}
