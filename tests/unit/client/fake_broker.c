/* SPDX-License-Identifier: Apache-2.0 */

#include "fake_broker.h"

#include "base/prng.h"
#include "io/io.h"
#include "wire/batch.h"
#include "wire/wire.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    TOPICS = 64,
    PARTITIONS = 16,
    PRODUCERS = 256,
    REMEMBERED = 5,
    FRAME_MAX = 64 << 20,
    POLL_NS = 5000000,
};

struct stored {
    uint8_t *data;
    size_t size;
    int64_t base, last;
};

struct known {
    int64_t id;
    int16_t epoch;
    int32_t next;
    struct {
        int32_t first, last;
        int64_t base;
    } batches[REMEMBERED];
    unsigned count;
};

struct partition {
    struct stored *batches;
    size_t count, capacity;
    int64_t start, end;
    struct known producers[PRODUCERS];
    unsigned producer_count;
};

struct fake_topic {
    char name[64];
    struct uuid id;
    struct partition partitions[PARTITIONS];
};

struct peer {
    struct list link;
    struct fake_broker *broker;
    struct io_socket *socket;
    struct io_op recv, send, timer;
    uint8_t *in;
    size_t in_size, in_capacity, in_used;
    struct wire_writer out;
    size_t sent;
    bool closing, answering;
    int64_t waited_ns;
};

struct fake_broker {
    pthread_mutex_t lock;
    pthread_t thread;
    struct io_group *group;
    struct io *io;
    struct io_listener *listener;
    struct io_op accept;
    struct io_socket *accepted;
    struct list peers;
    struct io_message command;
    void (*act)(struct fake_broker *b);
    bool acted;
    pthread_cond_t done;
    uint16_t port;
    int partitions;
    int32_t leader_epoch;
    int64_t next_producer;
    struct prng prng;
    struct fake_faults faults;
    struct fake_counts counts;
    struct fake_topic topics[TOPICS];
    unsigned topic_count;
    bool lost_producers;
};

static void peer_go(struct peer *p);

static bool chance(struct fake_broker *b, unsigned per_mille)
{
    return per_mille && prng_chance(&b->prng, per_mille, 1000);
}

static struct fake_topic *topic_find(struct fake_broker *b, struct wire_string name,
                                     const struct uuid *id, bool make)
{
    for (unsigned i = 0; i < b->topic_count; i++) {
        struct fake_topic *t = &b->topics[i];
        if (id ? uuid_equal(t->id, *id) : wire_string_equal(name, wire_string_of(t->name))) {
            return t;
        }
    }
    if (!make || id || b->topic_count == TOPICS || name.size >= 64) {
        return NULL;
    }
    struct fake_topic *t = &b->topics[b->topic_count++];
    memcpy(t->name, name.data, (size_t)name.size);
    prng_fill(&b->prng, &t->id, sizeof t->id);
    return t;
}

static struct partition *partition_find(struct fake_broker *b, struct fake_topic *t, int32_t index)
{
    return t && index >= 0 && index < b->partitions ? &t->partitions[index] : NULL;
}

/* --- the requests
 * ------------------------------------------------------------------------------------ */

static int answer_api_versions(struct fake_broker *b, struct reader *r, int version,
                               struct wire_writer *w, struct arena *arena)
{
    struct api_versions_response out;
    api_versions_response_init(&out);
    out.api_keys = arena_array(arena, (size_t)wire_api_count, sizeof *out.api_keys);
    out.api_keys_count = wire_api_count;
    for (int i = 0; i < wire_api_count; i++) {
        out.api_keys[i].api_key = wire_apis[i].key;
        out.api_keys[i].min_version = wire_apis[i].versions.min;
        out.api_keys[i].max_version = wire_apis[i].versions.max;
    }
    return api_versions_response_encode(&out, w, version);
}

static void metadata_topic(struct fake_broker *b, struct fake_topic *t,
                           struct metadata_response_topics *out, struct arena *arena)
{
    metadata_response_topics_init(out);
    out->name = wire_string_of(t->name);
    out->topic_id = t->id;
    out->partitions = arena_array(arena, (size_t)b->partitions, sizeof *out->partitions);
    out->partitions_count = b->partitions;
    for (int32_t i = 0; i < b->partitions; i++) {
        struct metadata_response_partitions *p = &out->partitions[i];
        metadata_response_partitions_init(p);
        p->partition_index = i;
        p->leader_id = 1;
        p->leader_epoch = b->leader_epoch;
    }
}

static int answer_metadata(struct fake_broker *b, struct reader *r, int version,
                           struct wire_writer *w, struct arena *arena)
{
    struct metadata_request in;
    struct metadata_response out;
    struct metadata_response_brokers broker;
    int error = metadata_request_decode(&in, r, version, arena);
    if (error) {
        return error;
    }
    metadata_response_init(&out);
    metadata_response_brokers_init(&broker);
    broker.node_id = 1;
    broker.host = wire_string_of("127.0.0.1");
    broker.port = b->port;
    out.brokers = &broker;
    out.brokers_count = 1;
    out.cluster_id = wire_string_of("fake");
    out.controller_id = 1;
    int32_t count = in.topics_count < 0 ? (int32_t)b->topic_count : in.topics_count;
    out.topics = arena_array(arena, (size_t)count + 1, sizeof *out.topics);
    out.topics_count = count;
    for (int32_t i = 0; i < count; i++) {
        struct fake_topic *t = in.topics_count < 0 ? &b->topics[i]
                                                   : topic_find(b, in.topics[i].name, NULL,
                                                                in.allow_auto_topic_creation);
        if (t) {
            metadata_topic(b, t, &out.topics[i], arena);
        } else {
            metadata_response_topics_init(&out.topics[i]);
            out.topics[i].name = in.topics[i].name;
            out.topics[i].error_code = 3;
        }
    }
    return metadata_response_encode(&out, w, version);
}

static int answer_producer_id(struct fake_broker *b, struct reader *r, int version,
                              struct wire_writer *w, struct arena *arena)
{
    struct init_producer_id_response out;
    init_producer_id_response_init(&out);
    out.producer_id = b->next_producer++;
    out.producer_epoch = 0;
    return init_producer_id_response_encode(&out, w, version);
}

static struct known *producer_find(struct partition *p, int64_t id)
{
    for (unsigned i = 0; i < p->producer_count; i++) {
        if (p->producers[i].id == id) {
            return &p->producers[i];
        }
    }
    return NULL;
}

static void partition_store(struct partition *p, const void *data, const struct batch_header *h)
{
    if (p->count == p->capacity) {
        p->capacity = p->capacity ? p->capacity * 2 : 64;
        p->batches = realloc(p->batches, p->capacity * sizeof *p->batches);
    }
    struct stored *s = &p->batches[p->count++];
    s->data = malloc(h->size);
    s->size = h->size;
    memcpy(s->data, data, h->size);
    s->base = p->end;
    s->last = p->end + h->last_offset_delta;
    batch_set_base_offset(s->data, s->base);
    p->end = s->last + 1;
}

/* The wire code for a batch, and where it stands. */
static int16_t partition_append(struct fake_broker *b, struct partition *p, const void *data,
                                size_t size, int64_t *base)
{
    struct batch_header h;
    if (batch_check(&h, data, size, BATCH_FROM_PRODUCER)) {
        b->counts.bad_batches++;
        return 2;
    }
    if (b->faults.refuse_large && size > b->faults.refuse_large) {
        return 10;
    }
    if (h.producer_id >= 0) {
        struct known *k = producer_find(p, h.producer_id);
        if (b->lost_producers && !k && h.base_sequence != 0) {
            return 59;
        }
        if (!k && p->producer_count < PRODUCERS) {
            k = &p->producers[p->producer_count++];
            *k = (struct known){.id = h.producer_id, .next = h.base_sequence};
        }
        if (!k) {
            return -1;
        }
        for (unsigned i = 0; i < k->count; i++) {
            if (k->batches[i].first == h.base_sequence &&
                k->batches[i].last == h.base_sequence + h.last_offset_delta) {
                b->counts.duplicates++;
                *base = k->batches[i].base;
                return 0;
            }
        }
        if (h.base_sequence != k->next) {
            b->counts.out_of_order++;
            return 45;
        }
        if (k->count == REMEMBERED) {
            memmove(k->batches, k->batches + 1, (REMEMBERED - 1) * sizeof *k->batches);
            k->count--;
        }
        k->batches[k->count].first = h.base_sequence;
        k->batches[k->count].last = h.base_sequence + h.last_offset_delta;
        k->batches[k->count++].base = p->end;
        k->next = h.base_sequence + h.record_count;
    }
    *base = p->end;
    batch_set_leader_epoch((void *)(uintptr_t)data, b->leader_epoch);
    partition_store(p, data, &h);
    return 0;
}

static int answer_produce(struct fake_broker *b, struct reader *r, int version,
                          struct wire_writer *w, struct arena *arena, bool *silent)
{
    struct produce_request in;
    struct produce_response out;
    int error = produce_request_decode(&in, r, version, arena);
    if (error) {
        return error;
    }
    b->counts.produces++;
    *silent = in.acks == 0;
    if (b->faults.lose_producers) {
        b->faults.lose_producers = false;
        b->lost_producers = true;
        for (unsigned i = 0; i < b->topic_count; i++) {
            for (int j = 0; j < b->partitions; j++) {
                b->topics[i].partitions[j].producer_count = 0;
            }
        }
    }
    if (chance(b, b->faults.drop_before)) {
        b->counts.dropped++;
        return ERR_CLOSED;
    }
    bool refuse = chance(b, b->faults.retriable);
    produce_response_init(&out);
    out.responses = arena_array(arena, (size_t)in.topic_data_count + 1, sizeof *out.responses);
    out.responses_count = in.topic_data_count;
    for (int32_t i = 0; i < in.topic_data_count; i++) {
        struct produce_response_responses *to = &out.responses[i];
        struct fake_topic *t = topic_find(b, in.topic_data[i].name,
                                          version >= 13 ? &in.topic_data[i].topic_id : NULL, false);
        produce_response_responses_init(to);
        to->name = in.topic_data[i].name;
        to->topic_id = in.topic_data[i].topic_id;
        to->partition_responses_count = in.topic_data[i].partition_data_count;
        to->partition_responses = arena_array(arena, (size_t)to->partition_responses_count + 1,
                                              sizeof *to->partition_responses);
        for (int32_t j = 0; j < to->partition_responses_count; j++) {
            const struct produce_request_partition_data *from = &in.topic_data[i].partition_data[j];
            struct produce_response_partition_responses *answer = &to->partition_responses[j];
            struct partition *p = partition_find(b, t, from->index);
            produce_response_partition_responses_init(answer);
            answer->index = from->index;
            answer->base_offset = -1;
            answer->error_code =
                refuse ? 6
                : p    ? partition_append(b, p, from->records.slices[0].data,
                                          from->records.slices[0].size, &answer->base_offset)
                       : 3;
        }
    }
    if (chance(b, b->faults.drop_after)) {
        b->counts.dropped++;
        return ERR_CLOSED;
    }
    return produce_response_encode(&out, w, version);
}

static void fetch_partition(struct fake_broker *b, struct fake_topic *t,
                            const struct fetch_request_partitions *in,
                            struct fetch_response_partitions *out, struct arena *arena,
                            size_t *bytes)
{
    struct partition *p = partition_find(b, t, in->partition);
    fetch_response_partitions_init(out);
    out->partition_index = in->partition;
    out->aborted_transactions_count = -1;
    out->records.null = false;
    if (!p) {
        out->error_code = 3;
        return;
    }
    out->high_watermark = out->last_stable_offset = p->end;
    out->log_start_offset = p->start;
    if (in->current_leader_epoch >= 0 && in->current_leader_epoch < b->leader_epoch) {
        out->error_code = 74;
        return;
    }
    if (in->fetch_offset < p->start || in->fetch_offset > p->end) {
        out->error_code = 1;
        return;
    }
    struct slice *slices = arena_array(arena, p->count + 1, sizeof *slices);
    size_t size = 0;
    uint32_t count = 0;
    for (size_t i = 0; i < p->count; i++) {
        struct stored *s = &p->batches[i];
        if (s->last < in->fetch_offset) {
            continue;
        }
        if (size && size + s->size > (size_t)in->partition_max_bytes) {
            break;
        }
        uint8_t *data = s->data;
        if (b->faults.corrupt) {
            data = arena_alloc(arena, s->size);
            memcpy(data, s->data, s->size);
            data[s->size - 1] ^= 1;
        }
        slices[count++] = (struct slice){data, s->size, NULL};
        size += s->size;
    }
    out->records = (struct wire_records){slices, count, (uint32_t)size, false};
    *bytes += size;
}

static int answer_fetch(struct fake_broker *b, struct reader *r, int version, struct wire_writer *w,
                        struct arena *arena, struct peer *peer, bool *wait)
{
    struct fetch_request in;
    struct fetch_response out;
    size_t bytes = 0;
    bool urgent = false;
    int error = fetch_request_decode(&in, r, version, arena);
    if (error) {
        return error;
    }
    if (chance(b, b->faults.drop_fetch)) {
        b->counts.dropped++;
        return ERR_CLOSED;
    }
    fetch_response_init(&out);
    out.responses = arena_array(arena, (size_t)in.topics_count + 1, sizeof *out.responses);
    out.responses_count = in.topics_count;
    for (int32_t i = 0; i < in.topics_count; i++) {
        struct fetch_response_responses *to = &out.responses[i];
        struct fake_topic *t =
            topic_find(b, in.topics[i].topic, version >= 13 ? &in.topics[i].topic_id : NULL, false);
        fetch_response_responses_init(to);
        to->topic = in.topics[i].topic;
        to->topic_id = in.topics[i].topic_id;
        to->partitions_count = in.topics[i].partitions_count;
        to->partitions =
            arena_array(arena, (size_t)to->partitions_count + 1, sizeof *to->partitions);
        for (int32_t j = 0; j < to->partitions_count; j++) {
            fetch_partition(b, t, &in.topics[i].partitions[j], &to->partitions[j], arena, &bytes);
            urgent |= to->partitions[j].error_code != 0;
        }
    }
    if (!bytes && !urgent && peer->waited_ns < (int64_t)in.max_wait_ms * 1000000) {
        *wait = true;
        return 0;
    }
    b->counts.fetches++;
    return fetch_response_encode(&out, w, version);
}

static int64_t partition_at_time(const struct partition *p, int64_t time)
{
    for (size_t i = 0; i < p->count; i++) {
        struct batch_header h;
        if (!batch_header_read(&h, p->batches[i].data, p->batches[i].size) &&
            h.max_timestamp >= time && p->batches[i].base >= p->start) {
            return p->batches[i].base;
        }
    }
    return -1;
}

static int answer_list_offsets(struct fake_broker *b, struct reader *r, int version,
                               struct wire_writer *w, struct arena *arena)
{
    struct list_offsets_request in;
    struct list_offsets_response out;
    int error = list_offsets_request_decode(&in, r, version, arena);
    if (error) {
        return error;
    }
    list_offsets_response_init(&out);
    out.topics = arena_array(arena, (size_t)in.topics_count + 1, sizeof *out.topics);
    out.topics_count = in.topics_count;
    for (int32_t i = 0; i < in.topics_count; i++) {
        struct list_offsets_response_topics *to = &out.topics[i];
        struct fake_topic *t = topic_find(b, in.topics[i].name, NULL, false);
        to->name = in.topics[i].name;
        to->partitions_count = in.topics[i].partitions_count;
        to->partitions =
            arena_array(arena, (size_t)to->partitions_count + 1, sizeof *to->partitions);
        for (int32_t j = 0; j < to->partitions_count; j++) {
            const struct list_offsets_request_partitions *from = &in.topics[i].partitions[j];
            struct list_offsets_response_partitions *answer = &to->partitions[j];
            struct partition *p = partition_find(b, t, from->partition_index);
            list_offsets_response_partitions_init(answer);
            answer->partition_index = from->partition_index;
            answer->error_code = p ? 0 : 3;
            if (p) {
                answer->offset = from->timestamp == -1   ? p->end
                                 : from->timestamp == -2 ? p->start
                                                         : partition_at_time(p, from->timestamp);
            }
        }
    }
    return list_offsets_response_encode(&out, w, version);
}

static int answer_epochs(struct fake_broker *b, struct reader *r, int version,
                         struct wire_writer *w, struct arena *arena)
{
    struct offset_for_leader_epoch_request in;
    struct offset_for_leader_epoch_response out;
    int error = offset_for_leader_epoch_request_decode(&in, r, version, arena);
    if (error) {
        return error;
    }
    offset_for_leader_epoch_response_init(&out);
    out.topics = arena_array(arena, (size_t)in.topics_count + 1, sizeof *out.topics);
    out.topics_count = in.topics_count;
    for (int32_t i = 0; i < in.topics_count; i++) {
        struct offset_for_leader_epoch_response_topics *to = &out.topics[i];
        struct fake_topic *t = topic_find(b, in.topics[i].topic, NULL, false);
        to->topic = in.topics[i].topic;
        to->partitions_count = in.topics[i].partitions_count;
        to->partitions =
            arena_array(arena, (size_t)to->partitions_count + 1, sizeof *to->partitions);
        for (int32_t j = 0; j < to->partitions_count; j++) {
            struct partition *p = partition_find(b, t, in.topics[i].partitions[j].partition);
            offset_for_leader_epoch_response_partitions_init(&to->partitions[j]);
            to->partitions[j].partition = in.topics[i].partitions[j].partition;
            to->partitions[j].leader_epoch = in.topics[i].partitions[j].leader_epoch;
            to->partitions[j].end_offset = p ? p->end : -1;
            to->partitions[j].error_code = p ? 0 : 3;
        }
    }
    return offset_for_leader_epoch_response_encode(&out, w, version);
}

/* Noise, with or without a frame and a correlation id that fit. */
static void answer_noise(struct fake_broker *b, const struct wire_request_header *h,
                         const struct wire_api *api, struct wire_writer *w)
{
    uint8_t noise[512];
    size_t size = prng_below(&b->prng, sizeof noise);
    prng_fill(&b->prng, noise, size);
    if (prng_chance(&b->prng, 1, 8)) {
        wire_put(w, noise, size);
        return;
    }
    wire_frame_begin(w);
    if (wire_response_header_encode(api, h->version, h->correlation_id, w)) {
        return;
    }
    /* Small numbers make lengths and counts that are believed longer. */
    for (size_t i = 0; i < size; i++) {
        noise[i] = prng_chance(&b->prng, 1, 2) ? noise[i] & 3 : noise[i];
    }
    wire_put(w, noise, size);
    int error = wire_frame_end(w);
    (void)error;
}

/* Answers one request into p->out. An error ends the connection. */
static int peer_answer(struct peer *p, const uint8_t *data, size_t size, bool *wait)
{
    struct fake_broker *b = p->broker;
    struct reader r = reader_of(data, size);
    struct wire_request_header h;
    struct arena arena;
    bool silent = false;
    int error = wire_request_header_decode(&h, &r);
    const struct wire_api *api = error ? NULL : wire_api_find(h.key);
    if (!api || !wire_api_has(api, h.version)) {
        return ERR_UNSUPPORTED_VERSION;
    }
    if (b->faults.silent) {
        return 0;
    }
    if (b->faults.hostile && (h.key != WIRE_API_VERSIONS || prng_chance(&b->prng, 1, 4)) &&
        (h.key != WIRE_METADATA || prng_chance(&b->prng, 1, 3))) {
        answer_noise(b, &h, api, &p->out);
        return 0;
    }
    arena_init(&arena, io_memory(b->io), SIZE_MAX);
    wire_frame_begin(&p->out);
    error = wire_response_header_encode(api, h.version, h.correlation_id, &p->out);
    switch (error ? -1 : h.key) {
    case WIRE_API_VERSIONS:
        error = answer_api_versions(b, &r, h.version, &p->out, &arena);
        break;
    case WIRE_METADATA:
        error = answer_metadata(b, &r, h.version, &p->out, &arena);
        break;
    case WIRE_INIT_PRODUCER_ID:
        error = answer_producer_id(b, &r, h.version, &p->out, &arena);
        break;
    case WIRE_PRODUCE:
        error = answer_produce(b, &r, h.version, &p->out, &arena, &silent);
        break;
    case WIRE_FETCH:
        error = answer_fetch(b, &r, h.version, &p->out, &arena, p, wait);
        break;
    case WIRE_LIST_OFFSETS:
        error = answer_list_offsets(b, &r, h.version, &p->out, &arena);
        break;
    case WIRE_OFFSET_FOR_LEADER_EPOCH:
        error = answer_epochs(b, &r, h.version, &p->out, &arena);
        break;
    default:
        error = ERR_UNSUPPORTED_VERSION;
        break;
    }
    if (!error && (silent || *wait)) {
        wire_writer_reset(&p->out);
    } else if (!error) {
        error = wire_frame_end(&p->out);
    }
    if (!error && p->out.splice_count) {
        /* The slices point into the arena: copy them while it lives. */
        struct wire_writer flat;
        struct iovec iovecs[64];
        int count;
        wire_writer_init(&flat, io_memory(b->io), FRAME_MAX);
        while ((count = wire_writer_iovecs(&p->out, flat.size, iovecs, 64)) > 0) {
            for (int i = 0; i < count; i++) {
                wire_put(&flat, iovecs[i].iov_base, iovecs[i].iov_len);
            }
        }
        wire_writer_deinit(&p->out);
        p->out = flat;
    }
    arena_deinit(&arena);
    return error;
}

/* --- connections
 * -------------------------------------------------------------------------------------- */

static void peer_end(struct peer *p)
{
    if (!p->closing) {
        p->closing = true;
        io_socket_close(p->broker->io, p->socket);
    }
    io_cancel(p->broker->io, &p->timer);
    if (io_op_idle(&p->recv) && io_op_idle(&p->send) && io_op_idle(&p->timer)) {
        list_remove(&p->link);
        wire_writer_deinit(&p->out);
        free(p->in);
        free(p);
    }
}

static void peer_recv(struct peer *p)
{
    if (!io_op_idle(&p->recv)) {
        return;
    }
    if (p->in_capacity - p->in_size < 65536) {
        p->in_capacity = p->in_capacity ? p->in_capacity * 2 : 262144;
        p->in = realloc(p->in, p->in_capacity);
    }
    io_recv(p->broker->io, &p->recv, p->socket, p->in + p->in_size, p->in_capacity - p->in_size);
}

/* Answers what has arrived, one request at a time. */
static void peer_go(struct peer *p)
{
    struct fake_broker *b = p->broker;
    while (!p->closing && io_op_idle(&p->send) && io_op_idle(&p->timer)) {
        size_t have = p->in_size - p->in_used;
        size_t size = have >= 4 ? get_be32(p->in + p->in_used) : 0;
        if (have < 4 || have - 4 < size) {
            break;
        }
        bool wait = false;
        pthread_mutex_lock(&b->lock);
        int error = peer_answer(p, p->in + p->in_used + 4, size, &wait);
        pthread_mutex_unlock(&b->lock);
        if (error) {
            peer_end(p);
            return;
        }
        if (wait) {
            p->waited_ns += POLL_NS;
            io_timer(b->io, &p->timer, io_now(b->io) + POLL_NS);
            break;
        }
        p->waited_ns = 0;
        p->in_used += size + 4;
        if (wire_writer_total(&p->out)) {
            struct iovec iovecs[IO_IOVECS_MAX];
            int count = wire_writer_iovecs(&p->out, 0, iovecs, IO_IOVECS_MAX);
            p->sent = 0;
            io_send(b->io, &p->send, p->socket, iovecs, (unsigned)count);
        }
    }
    if (p->closing) {
        return;
    }
    if (p->in_used && io_op_idle(&p->recv)) {
        memmove(p->in, p->in + p->in_used, p->in_size - p->in_used);
        p->in_size -= p->in_used;
        p->in_used = 0;
    }
    peer_recv(p);
}

static void peer_received(struct io_op *op, int64_t result)
{
    struct peer *p = container_of(op, struct peer, recv);
    if (p->closing || result <= 0) {
        peer_end(p);
        return;
    }
    p->in_size += (size_t)result;
    peer_go(p);
}

static void peer_sent(struct io_op *op, int64_t result)
{
    struct peer *p = container_of(op, struct peer, send);
    if (p->closing || result < 0) {
        peer_end(p);
        return;
    }
    p->sent += (size_t)result;
    struct iovec iovecs[IO_IOVECS_MAX];
    int count = wire_writer_iovecs(&p->out, p->sent, iovecs, IO_IOVECS_MAX);
    if (count) {
        io_send(p->broker->io, &p->send, p->socket, iovecs, (unsigned)count);
        return;
    }
    wire_writer_reset(&p->out);
    peer_go(p);
}

static void peer_waited(struct io_op *op, int64_t result)
{
    struct peer *p = container_of(op, struct peer, timer);
    if (p->closing) {
        peer_end(p);
    } else {
        peer_go(p);
    }
}

static void broker_accepted(struct io_op *op, int64_t result)
{
    struct fake_broker *b = container_of(op, struct fake_broker, accept);
    if (result < 0) {
        return;
    }
    struct peer *p = calloc(1, sizeof *p);
    p->broker = b;
    p->socket = b->accepted;
    p->recv.done = peer_received;
    p->send.done = peer_sent;
    p->timer.done = peer_waited;
    wire_writer_init(&p->out, io_memory(b->io), FRAME_MAX);
    list_init(&p->link);
    list_append(&b->peers, &p->link);
    peer_recv(p);
    io_accept(b->io, &b->accept, b->listener, &b->accepted);
}

static void broker_started(struct io *io, void *argument)
{
    struct fake_broker *b = argument;
    io_accept(io, &b->accept, b->listener, &b->accepted);
}

static void *broker_thread(void *argument)
{
    struct fake_broker *b = argument;
    io_group_run(b->group, broker_started, b);
    return NULL;
}

struct fake_broker *fake_broker_start(uint16_t *port, int partitions, uint64_t seed)
{
    struct fake_broker *b = calloc(1, sizeof *b);
    struct io_options options = {
        .backend = IO_BACKEND_EPOLL, .shards = 1, .workers = 1, .memory_bytes = (size_t)1 << 30};
    char reason[IO_REASON_SIZE];
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->done, NULL);
    list_init(&b->peers);
    b->prng = prng_of(seed);
    b->partitions = partitions;
    b->next_producer = 1000;
    if (io_group_open_epoll(&b->group, &options, reason)) {
        fprintf(stderr, "%s\n", reason);
        abort();
    }
    b->io = io_group_shard(b->group, 0);
    b->accept.done = broker_accepted;
    if (io_listen(b->io, &b->listener, "127.0.0.1", 0, &b->port)) {
        abort();
    }
    *port = b->port;
    pthread_create(&b->thread, NULL, broker_thread, b);
    return b;
}

/* --- commands
 * ------------------------------------------------------------------------------------------ */

static void command_run(struct io_message *m, struct io *io)
{
    struct fake_broker *b = container_of(m, struct fake_broker, command);
    b->act(b);
    pthread_mutex_lock(&b->lock);
    b->acted = true;
    pthread_cond_signal(&b->done);
    pthread_mutex_unlock(&b->lock);
}

static void broker_do(struct fake_broker *b, void (*act)(struct fake_broker *b))
{
    b->act = act;
    b->acted = false;
    b->command.deliver = command_run;
    io_group_signal(b->group, &b->command);
    pthread_mutex_lock(&b->lock);
    while (!b->acted) {
        pthread_cond_wait(&b->done, &b->lock);
    }
    pthread_mutex_unlock(&b->lock);
}

static void act_stop(struct fake_broker *b)
{
    io_stop(b->io);
}

static void act_bounce(struct fake_broker *b)
{
    list_each (node, &b->peers) {
        peer_end(container_of(node, struct peer, link));
    }
}

void fake_broker_bounce(struct fake_broker *b)
{
    broker_do(b, act_bounce);
}

void fake_broker_stop(struct fake_broker *b)
{
    broker_do(b, act_stop);
    pthread_join(b->thread, NULL);
    list_each (node, &b->peers) {
        struct peer *p = container_of(node, struct peer, link);
        free(p->in);
        wire_writer_deinit(&p->out);
    }
    io_group_close(b->group);
    list_each (node, &b->peers) {
        free(container_of(node, struct peer, link));
    }
    for (unsigned i = 0; i < b->topic_count; i++) {
        for (int j = 0; j < PARTITIONS; j++) {
            for (size_t k = 0; k < b->topics[i].partitions[j].count; k++) {
                free(b->topics[i].partitions[j].batches[k].data);
            }
            free(b->topics[i].partitions[j].batches);
        }
    }
    free(b);
}

void fake_broker_faults(struct fake_broker *b, const struct fake_faults *faults)
{
    pthread_mutex_lock(&b->lock);
    b->faults = *faults;
    pthread_mutex_unlock(&b->lock);
}

struct fake_counts fake_broker_counts(struct fake_broker *b)
{
    pthread_mutex_lock(&b->lock);
    struct fake_counts counts = b->counts;
    pthread_mutex_unlock(&b->lock);
    return counts;
}

void fake_broker_new_epoch(struct fake_broker *b)
{
    pthread_mutex_lock(&b->lock);
    b->leader_epoch++;
    pthread_mutex_unlock(&b->lock);
}

static struct partition *locked_partition(struct fake_broker *b, const char *topic, int partition)
{
    return partition_find(b, topic_find(b, wire_string_of(topic), NULL, false), partition);
}

void fake_broker_trim(struct fake_broker *b, const char *topic, int partition, int64_t offset)
{
    pthread_mutex_lock(&b->lock);
    struct partition *p = locked_partition(b, topic, partition);
    p->start = offset;
    pthread_mutex_unlock(&b->lock);
}

int64_t fake_broker_end(struct fake_broker *b, const char *topic, int partition)
{
    pthread_mutex_lock(&b->lock);
    struct partition *p = locked_partition(b, topic, partition);
    int64_t end = p ? p->end : -1;
    pthread_mutex_unlock(&b->lock);
    return end;
}

int fake_broker_codec(struct fake_broker *b, const char *topic, int partition)
{
    struct batch_header h;
    pthread_mutex_lock(&b->lock);
    struct partition *p = locked_partition(b, topic, partition);
    int codec = -1;
    if (p && p->count && !batch_header_read(&h, p->batches[0].data, p->batches[0].size)) {
        codec = (int)batch_codec(&h);
    }
    pthread_mutex_unlock(&b->lock);
    return codec;
}
