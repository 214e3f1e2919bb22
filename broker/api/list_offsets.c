/* SPDX-License-Identifier: Apache-2.0 */

/* ListOffsets: where a partition begins and ends, and the first record at or after a time.
 * Everything is below the high watermark (RELIABILITY 3.1, P30); without transactions it is the
 * last stable offset as well.
 *
 * A search for a time reads batches into memory of its own, so a shard runs a few at a time,
 * whatever one request or many ask for; the others wait in the order of their arrival. */
#include "api/request.h"

enum {
    TIME_LATEST = -1,
    TIME_EARLIEST = -2,
    TIME_MAX_TIMESTAMP = -3,
    TIME_EARLIEST_LOCAL = -4,
    TIME_LATEST_TIERED = -5,
    TIME_EARLIEST_PENDING = -6,
};

struct offsets_part {
    struct part part;
    const struct list_offsets_request_partitions *in;
    struct list_offsets_response_partitions *out;
    struct log_find_time find;
    struct list link; /* in api->searches */
    int64_t high_watermark;
};

struct offsets {
    struct api_request *request;
    struct list_offsets_request *q;
    struct list_offsets_response response;
    struct spread spread;
};

static bool time_served(int64_t timestamp, int version)
{
    switch (timestamp) {
    case TIME_LATEST:
    case TIME_EARLIEST:
        return true;
    case TIME_MAX_TIMESTAMP:
        return version >= 7;
    case TIME_EARLIEST_LOCAL:
        return version >= 8;
    case TIME_LATEST_TIERED:
        return version >= 9;
    case TIME_EARLIEST_PENDING:
        return version >= 11;
    }
    return timestamp >= 0;
}

static void searches_go(struct api *home);

static void found(struct log_find_time *f, int error)
{
    struct offsets_part *part = container_of(f, struct offsets_part, find);
    struct api *home = part->part.share->home;
    error = error == ERR_CLOSED ? ERR_UNKNOWN_TOPIC_OR_PARTITION : error;
    part->out->error_code = error_to_wire(error);
    if (!error && f->offset_found >= 0 && f->offset_found < part->high_watermark) {
        part->out->offset = f->offset_found;
        part->out->timestamp = f->timestamp_found;
        part->out->leader_epoch = f->epoch_found;
    }
    assert(home->searching > 0);
    home->searching--;
    part_done(&part->part);
    searches_go(home);
}

static int part_leader(struct api *home, struct offsets_part *part, struct partition **out)
{
    int error = partition_leader(home->options.rooms.partitions, part->part.topic_id,
                                 part->part.partition, part->in->current_leader_epoch, out);
    part->out->error_code = error_to_wire(error);
    return error;
}

/* Begins the search of a part whose turn has come; the partition may have gone meanwhile. */
static void part_search(struct api *home, struct offsets_part *part)
{
    struct partition *partition;
    if (part_leader(home, part, &partition) != 0) {
        part_done(&part->part);
        return;
    }
    part->high_watermark = partition_high_watermark(partition);
    part->find = (struct log_find_time){.timestamp = part->in->timestamp,
                                        .latest = part->in->timestamp == TIME_MAX_TIMESTAMP,
                                        .done = found};
    home->searching++;
    log_find_time(partition_log(partition), &part->find);
}

static void searches_go(struct api *home)
{
    while (home->searching < API_SEARCHES_MAX && !list_empty(&home->searches)) {
        part_search(home, container_of(list_pop(&home->searches), struct offsets_part, link));
    }
}

/* false: part_done() was or will be called. */
static bool part_start(struct api *home, struct part *p)
{
    struct offsets_part *part = container_of(p, struct offsets_part, part);
    struct partition *partition;
    if (part_leader(home, part, &partition) != 0) {
        return true;
    }
    struct log_status status = log_status(partition_log(partition));
    if (part->in->timestamp >= 0 || part->in->timestamp == TIME_MAX_TIMESTAMP) {
        list_init(&part->link);
        list_append(&home->searches, &part->link);
        searches_go(home);
        return false;
    }
    if (part->in->timestamp == TIME_LATEST) {
        int error = partition_latest(partition, &part->out->offset);
        if (error) {
            bool old = api_version(p->share->spread->request) < 5 &&
                       error == ERR_OFFSET_NOT_AVAILABLE; /* KIP-207 */
            part->out->error_code = error_to_wire(old ? ERR_LEADER_NOT_AVAILABLE : error);
            part->out->offset = -1;
            return true;
        }
        part->out->leader_epoch =
            status.leader_epoch >= 0 ? status.leader_epoch : partition_epoch(partition);
    } else if (part->in->timestamp == TIME_EARLIEST || part->in->timestamp == TIME_EARLIEST_LOCAL) {
        part->out->offset = status.start_offset;
    }
    return true;
}

static void offsets_start(struct share *s)
{
    share_each(s, part_start);
}

static void offsets_done(struct spread *s)
{
    struct offsets *o = container_of(s, struct offsets, spread);
    for (int32_t i = 0; i < o->response.topics_count && api_version(o->request) < 4; i++) {
        struct list_offsets_response_topics *topic = &o->response.topics[i];
        for (int32_t j = 0; j < topic->partitions_count; j++) {
            topic->partitions[j].leader_epoch = -1; /* there is no place for it */
        }
    }
    api_respond(o->request, &o->response);
}

static int topic_fill(struct offsets *o, const struct list_offsets_request_topics *in,
                      struct list_offsets_response_topics *out)
{
    struct api_request *r = o->request;
    const struct topic_view *view = topics_by_name(&r->api->topics, in->name);
    size_t count = (size_t)in->partitions_count;
    struct offsets_part *parts = api_alloc(r, count, sizeof *parts);
    list_offsets_response_topics_init(out);
    out->name = in->name;
    out->partitions = api_alloc(r, count, sizeof *out->partitions);
    if (!parts || !out->partitions) {
        return ERR_NO_MEMORY;
    }
    out->partitions_count = in->partitions_count;
    for (size_t i = 0; i < count; i++) {
        struct offsets_part *part = &parts[i];
        part->in = &in->partitions[i];
        part->out = &out->partitions[i];
        list_offsets_response_partitions_init(part->out);
        part->out->partition_index = part->in->partition_index;
        if (!view || part->in->partition_index < 0 ||
            part->in->partition_index >= view->topic->partition_count) {
            part->out->error_code = error_to_wire(ERR_UNKNOWN_TOPIC_OR_PARTITION);
        } else if (!time_served(part->in->timestamp, api_version(r))) {
            part->out->error_code = error_to_wire(ERR_UNSUPPORTED_VERSION);
        } else {
            spread_add(&o->spread, &part->part, view->topic, part->in->partition_index);
        }
    }
    return 0;
}

void handle_list_offsets(struct api_request *r)
{
    struct list_offsets_request *q = api_decode(r);
    if (!q) {
        return;
    }
    struct offsets *o = api_alloc(r, 1, sizeof *o);
    int error = o ? spread_init(&o->spread, r, sizeof(struct share)) : ERR_NO_MEMORY;
    if (!error) {
        o->request = r;
        o->q = q;
        o->spread.start = offsets_start;
        o->spread.done = offsets_done;
        list_offsets_response_init(&o->response);
        o->response.topics = api_alloc(r, (size_t)q->topics_count, sizeof *o->response.topics);
        error = o->response.topics ? 0 : ERR_NO_MEMORY;
    }
    for (int32_t i = 0; i < q->topics_count && !error; i++) {
        error = topic_fill(o, &q->topics[i], &o->response.topics[i]);
    }
    if (error) {
        api_close(r, error_text(error));
        return;
    }
    o->response.topics_count = q->topics_count;
    spread_go(&o->spread);
}
