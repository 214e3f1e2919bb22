/* SPDX-License-Identifier: Apache-2.0 */

/* Fetch: the request, its rounds and its answer. See fetch.h.
 *
 * Whole batches only, never beyond the high watermark; the first batch that there is goes out even
 * when it alone is larger than what was asked for (KIP-74). An answer waits until it has min_bytes,
 * for at most max_wait; an error of a partition is answered at once. */
#include "api/fetch.h"

#include "api/leaders.h"
#include "meta/quorum_wire.h"

static const uint64_t ms_ns = 1000000, retry_ns = 10 * 1000000;

static void fetch_round(struct fetch *f, enum fetch_state state, bool reads_first);

/* --- the answer ------------------------------------------------------------------------------- */

/* What an incremental answer leaves out: a partition of which there is nothing new. */
static bool part_told(const struct fetch *f, struct fetch_part *part, uint32_t size)
{
    struct session_partition *s = part->session;
    if (!s) {
        return true;
    }
    bool news = size > 0 || part->error || part->diverges || part->nearest >= 0 ||
                s->high_watermark != part->high_watermark || s->log_start != part->log_start;
    s->high_watermark = part->error ? -1 : part->high_watermark;
    s->log_start = part->error ? -1 : part->log_start;
    if (size > 0) { /* who was served goes to the end of the line */
        list_remove(&s->link);
        list_append(&f->session->order, &s->link);
    }
    return news || !f->incremental;
}

static int part_fill(struct fetch *f, struct fetch_part *part, uint32_t size,
                     struct fetch_response_partitions *out)
{
    fetch_response_partitions_init(out);
    out->partition_index = part->asked->partition;
    out->error_code = error_to_wire(part->error);
    out->high_watermark = part->error ? -1 : part->high_watermark;
    out->last_stable_offset = out->high_watermark;
    out->log_start_offset = part->error && f->follower < 0 ? -1 : part->log_start;
    out->gaps = part->gaps;
    out->held_offset = f->follower >= 0 ? part->held : -1;
    out->preferred_read_replica = part->error ? -1 : part->nearest;
    out->aborted_transactions_count = f->q.isolation_level == 1 ? 0 : -1;
    out->diverging_epoch.epoch = part->diverges ? part->diverging_epoch : -1;
    out->diverging_epoch.end_offset = part->diverges ? part->diverging_end : -1;
    if (f->follower < 0 && !part->refused && api_version(f->request) >= 12 &&
        leader_is_news(part->error)) {
        const struct leader_told told =
            leader_now(f->request->api->image, part->part.topic_id, part->part.partition);
        out->current_leader = (struct fetch_response_current_leader){told.id, told.epoch};
    }
    out->records = (struct wire_records){0};
    if (size > 0) {
        out->records.slices = fetch_part_slices(f, part);
        if (!out->records.slices) {
            return ERR_NO_MEMORY;
        }
        out->records.slice_count = part->slice_count;
        out->records.size = size;
    }
    return 0;
}

/* Where the leaders that are named can be reached. */
static void name_leaders(struct fetch *f, struct fetch_response *out)
{
    struct leaders_told told = {0};
    for (int32_t i = 0; i < out->responses_count && api_version(f->request) >= 16; i++) {
        for (int32_t j = 0; j < out->responses[i].partitions_count; j++) {
            leaders_add(&told, out->responses[i].partitions[j].current_leader.leader_id);
        }
    }
    out->node_endpoints =
        told.count ? api_alloc(f->request, told.count, sizeof *out->node_endpoints) : NULL;
    for (uint32_t i = 0; out->node_endpoints && i < told.count; i++) {
        struct leader_endpoint e;
        if (leader_endpoint(f->request, told.ids[i], &e)) {
            out->node_endpoints[out->node_endpoints_count++] =
                (struct fetch_response_node_endpoints){told.ids[i], e.host, e.port, e.rack};
        }
    }
}

static int fetch_fill(struct fetch *f, struct fetch_response *out)
{
    struct fetch_response_partitions *partitions =
        api_alloc(f->request, f->part_count, sizeof *partitions);
    uint32_t groups = f->part_count ? f->parts[f->part_count - 1].group + 1 : 0;
    out->responses = api_alloc(f->request, groups, sizeof *out->responses);
    if (!partitions || !out->responses) {
        return ERR_NO_MEMORY;
    }
    uint32_t total = 0, group = UINT32_MAX;
    struct fetch_response_responses *topic = NULL;
    for (uint32_t i = 0; i < f->part_count; i++) {
        struct fetch_part *part = &f->parts[i];
        /* Each shard read within the whole budget: the sum may be more. */
        bool fits = total == 0 || total + part->size <= f->budget;
        uint32_t size = part->error || !fits ? 0 : part->size;
        if (!part_told(f, part, size)) {
            continue;
        }
        if (part->group != group) {
            group = part->group;
            topic = &out->responses[out->responses_count++];
            fetch_response_responses_init(topic);
            topic->topic = part->name;
            topic->topic_id = part->id;
            topic->partitions = partitions;
        }
        int error = part_fill(f, part, size, partitions);
        if (error) {
            return error;
        }
        topic->partitions_count++;
        partitions++;
        total += size;
    }
    name_leaders(f, out);
    f->request->api->status.fetched_bytes += total;
    return 0;
}

/* What was taken for an answer that is not sent. */
static void fetch_unfill(struct fetch_response *out)
{
    for (int32_t i = 0; i < out->responses_count; i++) {
        for (int32_t j = 0; j < out->responses[i].partitions_count; j++) {
            struct wire_records *records = &out->responses[i].partitions[j].records;
            for (uint32_t k = 0; k < records->slice_count; k++) {
                struct slice s = records->slices[k];
                slice_release(&s);
            }
        }
    }
}

static void fetch_over(struct fetch *f)
{
    struct api *api = f->request->api;
    f->state = FETCH_OVER;
    deadline_cancel(&api->deadlines, &f->deadline);
    list_remove(&f->link);
    for (unsigned i = 0; i < f->spread.shard_count; i++) {
        fetch_share_release(f, fetch_share_of(spread_share(&f->spread, i)));
    }
    if (f->session) {
        fetch_session_end(api->sessions, f->session);
        f->session = NULL;
    }
}

static void fetch_answer(struct fetch *f)
{
    struct api_request *r = f->request;
    struct fetch_response response;
    fetch_response_init(&response);
    if (f->session && !f->session->dead && !list_empty(&f->session->order)) {
        response.session_id = f->session->id;
    }
    int error = fetch_fill(f, &response);
    if (!error) {
        api_respond_begin(r);
        error = fetch_response_encode(&response, &r->net.response, api_version(r));
    }
    if (error) {
        fetch_unfill(&response);
    }
    fetch_over(f);
    if (error) {
        api_close(r, error_text(error));
    } else {
        api_respond_end(r, 0);
    }
}

/* An error at the top: the session is not what the client thinks. */
static void fetch_reject(struct api_request *r, int error)
{
    struct fetch_response response;
    fetch_response_init(&response);
    response.error_code = error_to_wire(error);
    api_respond(r, &response);
}

/* --- rounds ----------------------------------------------------------------------------------- */

/* Waiting fetches leave half of the memory, and of the places for requests, to those that come. */
static bool fetch_may_wait(const struct fetch *f)
{
    const struct memory *m = &f->request->api->memory;
    bool large = f->request->arena.used_bytes > API_FETCH_PARKED_BYTES;
    uint64_t most = large ? m->budget_bytes / 2 : m->budget_bytes / 4 * 3;
    return !net_busy(f->request->api->net) && m->used_bytes <= most;
}

static void fetch_watch(struct fetch *f, bool reads_first)
{
    struct api *api = f->request->api;
    if (!heap_contains(&f->deadline.node)) {
        deadline_set(&api->deadlines, &f->deadline, f->expires_ns);
    }
    fetch_round(f, FETCH_WATCHING, reads_first);
}

static void fetch_decide(struct fetch *f)
{
    struct api *api = f->request->api;
    uint64_t total = 0;
    bool error = false, retry = false;
    for (uint32_t i = 0; i < f->part_count; i++) {
        struct fetch_part *part = &f->parts[i];
        total += part->size;
        error = error || part->error || part->diverges || part->answers;
        retry = retry || part->retry;
    }
    f->hurry = f->hurry || io_now(api->io) >= f->expires_ns || !fetch_may_wait(f);
    int64_t wanted = f->q.min_bytes < (int64_t)f->budget ? f->q.min_bytes : (int64_t)f->budget;
    if (f->hurry || error || f->part_count == 0 || (int64_t)total >= wanted) {
        fetch_answer(f);
        return;
    }
    if (retry) {
        uint64_t soon = io_now(api->io) + retry_ns;
        f->state = FETCH_RETRYING;
        deadline_cancel(&api->deadlines, &f->deadline);
        deadline_set(&api->deadlines, &f->deadline, soon < f->expires_ns ? soon : f->expires_ns);
        return;
    }
    fetch_watch(f, false);
}

static void fetch_done(struct spread *s)
{
    struct fetch *f = container_of(s, struct fetch, spread);
    if (f->gone) {
        fetch_over(f);
        api_drop(f->request);
    } else {
        fetch_decide(f);
    }
}

static void fetch_cancel_shares(struct fetch *f)
{
    spread_hold(&f->spread);
    for (unsigned i = 0; i < f->spread.shard_count; i++) {
        fetch_share_cancel(f, fetch_share_of(spread_share(&f->spread, i)));
    }
    spread_unhold(&f->spread);
}

/* One share has news: the others need not wait for theirs. */
static void fetch_returned(struct share *s)
{
    struct fetch *f = container_of(s->spread, struct fetch, spread);
    if (f->state == FETCH_WATCHING) {
        f->state = FETCH_READING;
        fetch_cancel_shares(f);
    }
}

static void fetch_round(struct fetch *f, enum fetch_state state, bool reads_first)
{
    struct api *api = f->request->api;
    assert(state == FETCH_READING || state == FETCH_WATCHING);
    uint32_t most = f->q.max_bytes > 0 ? (uint32_t)f->q.max_bytes : 0;
    most = most < api->fetch_bytes_max ? most : api->fetch_bytes_max;
    f->budget = net_crowded(api->net) ? 1 : most;
    f->state = state;
    for (unsigned i = 0; i < f->spread.shard_count; i++) {
        struct fetch_share *fs = fetch_share_of(spread_share(&f->spread, i));
        fs->budget = f->budget;
        fs->watch = state == FETCH_WATCHING;
        fs->reads_first = reads_first;
        fs->cancel_again = false;
    }
    spread_go(&f->spread);
}

/* Ends the waiting, whatever it waits for. A round that reads comes to its end by itself. */
static void fetch_hurry(struct fetch *f)
{
    f->hurry = true;
    if (f->state == FETCH_RETRYING) {
        if (f->gone) {
            fetch_over(f);
            api_drop(f->request);
        } else {
            fetch_round(f, FETCH_READING, false);
        }
    } else if (f->state == FETCH_WATCHING) {
        fetch_cancel_shares(f);
    }
}

static void fetch_due(struct deadline *d)
{
    struct fetch *f = container_of(d, struct fetch, deadline);
    struct api *api = f->request->api;
    if (io_now(api->io) >= f->expires_ns) {
        fetch_hurry(f);
    } else if (f->state == FETCH_RETRYING) {
        fetch_round(f, FETCH_READING, false);
    }
}

static void fetch_abandoned(struct api_request *r)
{
    struct fetch *f = r->work;
    f->gone = true;
    fetch_hurry(f);
}

void fetch_stop_all(struct api *api)
{
    struct list waiting;
    list_init(&waiting);
    list_splice(&waiting, &api->fetches);
    struct list *node;
    while ((node = list_pop(&waiting))) {
        list_append(&api->fetches, node);
        fetch_hurry(container_of(node, struct fetch, link));
    }
}

/* --- the request ------------------------------------------------------------------------------ */

static void part_init(struct fetch *f, const struct fetch_request_partitions *asked,
                      struct wire_string name, struct uuid id, bool new_group)
{
    struct api_request *r = f->request;
    struct fetch_part *part = &f->parts[f->part_count];
    bool by_id = api_version(r) >= 13;
    const struct topic_view *view =
        by_id ? topics_by_id(&r->api->topics, id) : topics_by_name(&r->api->topics, name);
    *part = (struct fetch_part){.asked = asked,
                                .name = name,
                                .id = id,
                                .moved = true,
                                .high_watermark = -1,
                                .log_start = -1,
                                .nearest = -1};
    list_init(&part->waiter.link);
    part->group = f->part_count == 0 ? 0 : f->parts[f->part_count - 1].group + new_group;
    f->part_count++;
    if (!view || asked->partition < 0 || asked->partition >= view->topic->partition_count) {
        part->refused = true;
        part->error = by_id && !view ? ERR_UNKNOWN_TOPIC_ID : ERR_UNKNOWN_TOPIC_OR_PARTITION;
        return;
    }
    spread_add(&f->spread, &part->part, view->topic, asked->partition);
}

static void parts_of_request(struct fetch *f)
{
    for (int32_t i = 0; i < f->q.topics_count; i++) {
        const struct fetch_request_topics *topic = &f->q.topics[i];
        for (int32_t j = 0; j < topic->partitions_count; j++) {
            part_init(f, &topic->partitions[j], topic->topic, topic->topic_id, j == 0);
            if (f->session) {
                f->parts[f->part_count - 1].session =
                    fetch_session_find(f->session, topic, topic->partitions[j].partition);
            }
        }
    }
}

static void parts_of_session(struct fetch *f)
{
    const struct session_topic *last = NULL;
    list_each (node, &f->session->order) {
        struct session_partition *p = container_of(node, struct session_partition, link);
        part_init(f, &p->asked, p->topic->name, p->topic->id, p->topic != last);
        f->parts[f->part_count - 1].session = p;
        last = p->topic;
    }
}

/* How many partitions this fetch is about. */
static size_t count_parts(const struct fetch *f)
{
    if (f->incremental) {
        return map_count(&f->session->partitions);
    }
    size_t count = 0;
    for (int32_t i = 0; i < f->q.topics_count; i++) {
        count += (size_t)f->q.topics[i].partitions_count;
    }
    return count;
}

static int fetch_prepare(struct fetch *f)
{
    size_t count = count_parts(f);
    if (count > API_PARTITIONS_MAX) {
        return ERR_TOO_LARGE;
    }
    f->parts = api_alloc(f->request, count, sizeof *f->parts);
    if (!f->parts || spread_init(&f->spread, f->request, sizeof(struct fetch_share)) != 0) {
        return ERR_NO_MEMORY;
    }
    f->spread.start = fetch_share_start;
    f->spread.returned = fetch_returned;
    f->spread.done = fetch_done;
    if (f->incremental) {
        parts_of_session(f);
    } else {
        parts_of_request(f);
    }
    assert(f->part_count == count);
    return 0;
}

/* Most fetches wait. One that may do so lets its shares begin with it where they are when they have found nothing: on
 * another shard that saves a way back and out again. Of several others those would have to be called back when one has
 * found something. */
static void fetch_begin(struct fetch *f)
{
    struct api *api = f->request->api;
    bool waits = io_now(api->io) < f->expires_ns && f->q.min_bytes > 0 && f->q.max_bytes > 0 &&
                 f->part_count > 0 && fetch_may_wait(f);
    unsigned others = 0;
    for (unsigned i = 0; i < f->spread.shard_count; i++) {
        others += i != io_shard(api->io) && spread_share(&f->spread, i)->first;
    }
    for (uint32_t i = 0; i < f->part_count && waits; i++) {
        waits = !f->parts[i].error;
    }
    if (waits && others <= 1) {
        fetch_watch(f, true);
    } else {
        fetch_round(f, FETCH_READING, false);
    }
}

void handle_fetch(struct api_request *r)
{
    struct api *api = r->api;
    r->arena.limit_bytes = API_ARENA_MAX; /* a small request may continue a large session */
    struct fetch *f = api_alloc(r, 1, sizeof *f);
    int error =
        f ? fetch_request_decode(&f->q, &r->body, api_version(r), &r->arena) : ERR_NO_MEMORY;
    if (error) {
        api_close(r, error == ERR_NO_MEMORY ? error_text(error) : "malformed request");
        return;
    }
    if (fetch_of_quorum(&f->q)) {
        quorum_fetch(r, &f->q);
        return;
    }
    if (!api->image) {
        api_close_early(r);
        return;
    }
    f->follower = api_version(r) >= 15 ? f->q.replica_state.replica_id : f->q.replica_id;
    f->follower_epoch = f->q.replica_state.replica_epoch;
    if (f->follower >= 0) {
        net_overtake(&r->net);
    }
    f->request = r;
    f->deadline.due = fetch_due;
    list_init(&f->link);
    error = fetch_session_begin(api->sessions, &f->q, api_version(r), &f->session, &f->incremental);
    if (error) {
        fetch_reject(r, error);
        return;
    }
    error = fetch_prepare(f);
    if (error) {
        if (f->session) {
            fetch_session_end(api->sessions, f->session);
        }
        api_close(r, error_text(error));
        return;
    }
    r->work = f;
    r->abandoned = fetch_abandoned;
    list_append(&api->fetches, &f->link);
    uint64_t wait_ms = f->q.max_wait_ms > 0 && !api->stop ? (uint64_t)f->q.max_wait_ms : 0;
    f->expires_ns = io_now(api->io) + wait_ms * ms_ns;
    fetch_begin(f);
}
