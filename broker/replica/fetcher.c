/* SPDX-License-Identifier: Apache-2.0 */

/* Followers' fetches to one node. A partition stands in `asking` from the moment it has something to ask until its
 * parts are in a request; what an answer brings goes to its partition, if it is still there and still asks that. */
#include "replica/replica_private.h"

#include <stdio.h>

static const uint64_t ms_ns = 1000000;

enum { ANSWER_GRACE_MS = 1400, REPORT_ANSWER_MS = 1900 };

struct fetch_ask {
    struct uuid topic_id;
    int32_t partition;
    struct following_request request;
};

/* One Fetch on its way. */
struct fetch_call {
    struct peer_request request;
    struct fetcher *fetcher;
    enum fetch_kind kind;
    uint32_t count;
    struct fetch_ask asks[];
};

static const struct wire_versions fetch_versions = {17, 18};

static void fetcher_reach(struct fetcher *f);

/* --- the request ------------------------------------------------------------------------------ */

static void encode_part(const struct fetch_ask *ask, enum fetch_kind kind,
                        struct fetch_request_partitions *out)
{
    fetch_request_partitions_init(out);
    out->partition = ask->partition;
    out->current_leader_epoch = ask->request.epoch;
    out->fetch_offset = ask->request.offset;
    out->last_fetched_epoch = ask->request.last_epoch;
    out->partition_max_bytes = kind == FETCH_REPORT ? 0 : FETCH_PART_BYTES_MAX;
    out->high_watermark = ask->request.high_watermark;
    out->durable_end_offset = ask->request.counted;
    out->log_start_offset = ask->request.log_start;
}

static int64_t own_epoch(const struct replica *r)
{
    const struct image_broker *own = image_broker_by_id(r->image, r->options.node_id);
    return own ? own->epoch : -1;
}

static int encode(struct peer_request *request, struct wire_writer *w, int version)
{
    struct fetch_call *c = container_of(request, struct fetch_call, request);
    struct replica *r = c->fetcher->replica;
    struct arena arena;
    arena_init(&arena, io_memory(r->io), SIZE_MAX);
    struct fetch_request q;
    fetch_request_init(&q);
    q.topics = arena_array(&arena, c->count, sizeof *q.topics);
    struct fetch_request_partitions *parts = arena_array(&arena, c->count, sizeof *parts);
    int error = q.topics && parts ? 0 : ERR_NO_MEMORY;
    for (uint32_t i = 0; !error && i < c->count; i++) {
        if (i == 0 || !uuid_equal(c->asks[i].topic_id, c->asks[i - 1].topic_id)) {
            struct fetch_request_topics *topic = &q.topics[q.topics_count++];
            fetch_request_topics_init(topic);
            topic->topic_id = c->asks[i].topic_id;
            topic->partitions = &parts[i];
        }
        encode_part(&c->asks[i], c->kind, &parts[i]);
        q.topics[q.topics_count - 1].partitions_count++;
    }
    if (!error) {
        q.cluster_id = wire_string_of(meta_cluster_id(r->options.meta));
        q.replica_state.replica_id = r->options.node_id;
        q.replica_state.replica_epoch = own_epoch(r);
        q.max_wait_ms = c->kind == FETCH_HOT     ? FETCH_HOT_WAIT_MS
                        : c->kind == FETCH_QUIET ? FETCH_QUIET_WAIT_MS
                                                 : 0;
        q.min_bytes = 1;
        q.max_bytes = FETCH_BYTES_MAX;
        error = fetch_request_encode(&q, w, version);
    }
    arena_deinit(&arena);
    return error;
}

/* --- the answer ------------------------------------------------------------------------------- */

static void tell(struct fetcher *f, const struct fetch_ask *ask, const struct partition_answer *a)
{
    struct partition *p =
        partition_find(f->replica->options.partitions, ask->topic_id, ask->partition);
    if (p && partition_is_added(p)) {
        pace_took(f->replica, a->records.size);
    }
    if (p) {
        partition_answered(p, a);
    }
}

static void tell_part(struct fetch_call *c, const struct fetch_ask *ask,
                      const struct fetch_response_partitions *in, struct buffer *buffer)
{
    struct partition_answer a = {
        .ticket = ask->request.ticket,
        .error = error_from_wire(in->error_code),
        .diverges = in->diverging_epoch.end_offset >= 0,
        .diverging = {in->diverging_epoch.epoch, in->diverging_epoch.end_offset},
        .high_watermark = in->high_watermark,
        .log_start = in->log_start_offset,
        .held = in->held_offset,
        .buffer = buffer,
    };
    if (in->records.slice_count == 1) { /* as every decoded answer has them: in one piece */
        a.records = bytes_of(in->records.slices[0].data, in->records.slices[0].size);
    }
    tell(c->fetcher, ask, &a);
}

/* The answer names partitions in any order, and perhaps some that nobody asked for: each ask is told once, and no more
 * is looked at than was asked. */
static void tell_all(struct fetch_call *c, const struct fetch_response *in, struct buffer *buffer)
{
    const struct fetch_response_partitions *found;
    uint32_t next = 0, told = 0;
    for (int32_t t = 0; t < in->responses_count && told < c->count; t++) {
        const struct fetch_response_responses *topic = &in->responses[t];
        for (int32_t i = 0; i < topic->partitions_count && told < c->count; i++, told++) {
            found = &topic->partitions[i];
            for (uint32_t k = 0; k < c->count; k++) {
                struct fetch_ask *ask = &c->asks[(next + k) % c->count];
                if (ask->partition == found->partition_index && ask->request.ticket &&
                    uuid_equal(ask->topic_id, topic->topic_id)) {
                    tell_part(c, ask, found, buffer);
                    ask->request.ticket = 0;
                    next = (next + k + 1) % c->count;
                    break;
                }
            }
        }
    }
}

static void tell_error(struct fetch_call *c, int error)
{
    for (uint32_t i = 0; i < c->count; i++) {
        if (c->asks[i].request.ticket) {
            tell(c->fetcher, &c->asks[i],
                 &(struct partition_answer){.ticket = c->asks[i].request.ticket, .error = error});
        }
    }
}

static void answered(struct peer_request *request, const struct peer_answer *answer)
{
    struct fetch_call *c = container_of(request, struct fetch_call, request);
    struct fetcher *f = c->fetcher;
    struct replica *r = f->replica;
    assert(f->magic == FETCHER_MAGIC && f->in_flight[c->kind] > 0);
    f->in_flight[c->kind]--;
    int error = answer->error;
    if (!error && !r->stopping) {
        struct arena arena;
        struct fetch_response in;
        struct reader body = reader_of(answer->body.data, answer->body.size);
        arena_init(&arena, io_memory(r->io), SIZE_MAX);
        error = fetch_response_decode(&in, &body, answer->version, &arena);
        error = error ? error : error_from_wire(in.error_code);
        if (!error) {
            tell_all(c, &in, answer->body.buffer);
        }
        arena_deinit(&arena);
    }
    if (!r->stopping) {
        tell_error(c, error ? error : ERR_UNKNOWN_TOPIC_OR_PARTITION); /* of what was not named */
        io_turn_end(r->io, &r->turn);
    }
    memory_free(io_memory(r->io), c);
}

/* --- asking ----------------------------------------------------------------------------------- */

static uint32_t most_in_flight(enum fetch_kind kind)
{
    return kind == FETCH_HOT     ? FETCH_HOT_MAX
           : kind == FETCH_QUIET ? FETCH_QUIET_MAX
                                 : FETCH_REPORT_MAX;
}

static void submit(struct fetcher *f, struct fetch_call *c)
{
    uint64_t wait_ms = c->kind == FETCH_REPORT ? REPORT_ANSWER_MS
                       : c->kind == FETCH_HOT  ? FETCH_HOT_WAIT_MS + ANSWER_GRACE_MS
                                               : FETCH_QUIET_WAIT_MS + ANSWER_GRACE_MS;
    c->request = (struct peer_request){.key = WIRE_FETCH,
                                       .version_min = fetch_versions.min,
                                       .version_max = fetch_versions.max,
                                       .fail_fast = true,
                                       .timeout_ns = wait_ms * ms_ns,
                                       .encode = encode,
                                       .done = answered};
    f->in_flight[c->kind]++;
    peer_submit(f->peer, &c->request);
}

static struct fetch_call *call_new(struct fetcher *f, enum fetch_kind kind, uint32_t room)
{
    struct memory *memory = io_memory(f->replica->io);
    struct fetch_call *c = memory_alloc(memory, sizeof *c + room * sizeof c->asks[0]);
    if (c) {
        c->fetcher = f;
        c->kind = kind;
    }
    return c;
}

enum placed {
    PLACED,
    PLACED_NOTHING,
    PLACED_BLOCKED, /* until something comes back */
    PLACED_NEXT,    /* the request is full, and another may go */
};

/* One request of a partition into one of the calls. */
static enum placed place(struct fetcher *f, struct partition *p, struct fetch_call **calls,
                         uint32_t room)
{
    enum following_want want = partition_wants(p);
    if (want == FOLLOWING_WANTS_NOTHING) {
        return PLACED_NOTHING;
    }
    if (partition_leader_to_ask(p) != f->node) {
        fetchers_ask(f->replica, p); /* it has another leader since */
        return PLACED_NOTHING;
    }
    if (want == FOLLOWING_WANTS_RECORDS && partition_is_added(p) && !pace_allows(f->replica)) {
        return PLACED_BLOCKED;
    }
    enum fetch_kind kind = want == FOLLOWING_WANTS_REPORT ? FETCH_REPORT
                           : partition_is_hot(p)          ? FETCH_HOT
                                                          : FETCH_QUIET;
    struct fetch_call **c = &calls[kind];
    if (f->in_flight[kind] >= most_in_flight(kind) || (*c && (*c)->count == room)) {
        return f->in_flight[kind] + 1 < most_in_flight(kind) ? PLACED_NEXT : PLACED_BLOCKED;
    }
    struct fetch_ask ask = {.topic_id = partition_topic_id(p), .partition = partition_index(p)};
    bool asks = partition_ask(p, &ask.request);
    assert(asks);
    *c = *c ? *c : call_new(f, kind, room);
    if (!*c || !f->peer) {
        const struct partition_answer none = {.ticket = ask.request.ticket,
                                              .error = *c ? ERR_UNREACHABLE : ERR_NO_MEMORY};
        partition_answered(p, &none);
        return PLACED_NOTHING;
    }
    (*c)->asks[(*c)->count++] = ask;
    return PLACED;
}

/* What asks goes into at most one request of each kind; what finds no place in flight waits until one is back. */
static void fetcher_go(struct fetcher *f)
{
    struct fetch_call *calls[FETCH_KINDS] = {0};
    struct list asking, *node;
    uint32_t room = 0;
    list_init(&asking);
    list_splice(&asking, &f->asking);
    for (node = asking.next; node != &asking && room < FETCH_PARTS_MAX; node = node->next) {
        room++;
    }
    while ((node = list_pop(&asking))) {
        enum placed placed = PLACED;
        while (placed == PLACED) {
            placed = place(f, partition_queued(node), calls, room);
        }
        if (placed != PLACED_NOTHING && list_empty(node)) {
            list_append(&f->asking, node);
        }
        if (placed == PLACED_NEXT) {
            io_turn_end(f->replica->io, &f->replica->turn);
        }
    }
    for (unsigned kind = 0; kind < FETCH_KINDS; kind++) {
        if (calls[kind] && calls[kind]->count) {
            submit(f, calls[kind]);
        } else {
            memory_free(io_memory(f->replica->io), calls[kind]);
        }
    }
}

void fetchers_go(struct replica *r)
{
    list_each (node, &r->fetchers) {
        struct fetcher *f = container_of(node, struct fetcher, link);
        if (!f->closing && !r->stopping) {
            if (!f->peer && r->image) {
                fetcher_reach(f);
            }
            fetcher_go(f);
        }
    }
}

/* --- nodes ------------------------------------------------------------------------------------ */

static void fetcher_closed(struct peer_close *c)
{
    struct fetcher *f = container_of(c, struct fetcher, close);
    struct replica *r = f->replica;
    list_remove(&f->link);
    f->magic = 0;
    memory_free(io_memory(r->io), f);
    replica_idle(r);
}

static void fetcher_close(struct fetcher *f)
{
    if (f->closing) {
        return;
    }
    struct list *node;
    while ((node = list_pop(&f->asking))) {
    }
    f->closing = true;
    f->close.done = fetcher_closed;
    if (f->peer) {
        peer_close(f->peer, &f->close);
    } else {
        fetcher_closed(&f->close);
    }
}

void fetchers_close(struct replica *r)
{
    struct list *next;
    for (struct list *node = r->fetchers.next; node != &r->fetchers; node = next) {
        next = node->next;
        fetcher_close(container_of(node, struct fetcher, link));
    }
}

static void fetcher_reach(struct fetcher *f)
{
    struct replica *r = f->replica;
    struct peer_address address = replica_address(r, f->node);
    char name[32];
    if (!address.host) {
        return;
    }
    if (f->peer) {
        peer_addresses(f->peer, &address, 1);
        return;
    }
    snprintf(name, sizeof name, "node %d", (int)f->node);
    const struct peer_options options = {
        .io = r->io,
        .name = name,
        .node_id = r->options.node_id,
        .addresses = &address,
        .address_count = 1,
        .requests_max = FETCH_HOT_MAX + FETCH_QUIET_MAX + FETCH_REPORT_MAX,
        .answer_bytes_max = r->options.answer_bytes_max,
        .connect_timeout_ns = 1000 * ms_ns,
    };
    if (peer_open(&f->peer, &options) != 0) {
        f->peer = NULL;
        log_warn(io_logger(r->io), "replica", "no memory for a connection to node=%d",
                 (int)f->node);
    }
}

void fetchers_apply(struct replica *r)
{
    list_each (node, &r->fetchers) {
        struct fetcher *f = container_of(node, struct fetcher, link);
        if (!f->closing) {
            fetcher_reach(f);
        }
    }
}

static struct fetcher *fetcher_of(struct replica *r, int32_t node)
{
    list_each (link, &r->fetchers) {
        struct fetcher *f = container_of(link, struct fetcher, link);
        if (f->node == node && !f->closing) {
            return f;
        }
    }
    struct fetcher *f = memory_alloc(io_memory(r->io), sizeof *f);
    if (!f) {
        return NULL;
    }
    f->magic = FETCHER_MAGIC;
    f->replica = r;
    f->node = node;
    list_init(&f->link);
    list_init(&f->asking);
    list_append(&r->fetchers, &f->link);
    return f;
}

void fetchers_ask(void *context, struct partition *p)
{
    struct replica *r = context;
    struct fetcher *f = r->stopping ? NULL : fetcher_of(r, partition_leader_to_ask(p));
    list_remove(partition_queue(p));
    if (f) { /* else it asks again when the alarm of what is in flight comes */
        list_append(&f->asking, partition_queue(p));
        io_turn_end(r->io, &r->turn);
    }
}
