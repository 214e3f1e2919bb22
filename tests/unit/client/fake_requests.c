/* SPDX-License-Identifier: Apache-2.0 */

/* The fake broker's requests, its log in memory and its misbehaviour. */
#include "fake_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool chance(struct fake_broker *b, unsigned per_mille)
{
    return per_mille && prng_chance(&b->prng, per_mille, 1000);
}

struct fake_topic *fake_topic_find(struct fake_broker *b, struct wire_string name,
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

struct partition *fake_partition_find(struct fake_broker *b, struct fake_topic *t, int32_t index)
{
    return t && index >= 0 && index < b->partitions ? &t->partitions[index] : NULL;
}

/* --- the requests --- */

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

int32_t fake_leader(const struct fake_broker *b, int32_t partition, int32_t node, int32_t *epoch)
{
    int32_t leader = 1 + partition % b->nodes;
    bool told = !node || node != b->behind;
    *epoch = b->leader_epoch;
    for (int i = 1; told && i < b->nodes && (leader == b->down || (b->deposed >> leader & 1));
         i++) {
        leader = 1 + leader % b->nodes;
        ++*epoch;
    }
    return leader;
}

static void metadata_topic(struct fake_broker *b, struct fake_topic *t, int32_t node,
                           struct metadata_response_topics *out, struct arena *arena)
{
    metadata_response_topics_init(out);
    out->name = wire_string_of(t->name);
    out->topic_id = t->id;
    int32_t count = node == b->behind ? b->partitions - b->behind_by : b->partitions;
    out->partitions = arena_array(arena, (size_t)count, sizeof *out->partitions);
    out->partitions_count = count;
    for (int32_t i = 0; i < count; i++) {
        struct metadata_response_partitions *p = &out->partitions[i];
        metadata_response_partitions_init(p);
        p->partition_index = i;
        p->leader_id = fake_leader(b, i, node, &p->leader_epoch);
        if (b->racks[0]) {
            p->replica_nodes = arena_array(arena, 1, sizeof *p->replica_nodes);
            p->replica_nodes[0] = 1 + i % b->nodes;
            p->replica_nodes_count = 1;
        }
    }
}

static int answer_metadata(struct fake_broker *b, int32_t node, struct reader *r, int version,
                           struct wire_writer *w, struct arena *arena)
{
    struct metadata_request in;
    struct metadata_response out;
    struct metadata_response_brokers brokers[NODES];
    int error = metadata_request_decode(&in, r, version, arena);
    if (error) {
        return error;
    }
    metadata_response_init(&out);
    out.brokers = brokers;
    out.brokers_count = 0;
    for (int i = 0; i < b->nodes; i++) {
        struct metadata_response_brokers *to = &brokers[out.brokers_count];
        if (b->listeners[i].id != b->down || node == b->behind) {
            metadata_response_brokers_init(to);
            to->node_id = b->listeners[i].id;
            to->host = wire_string_of(b->host);
            to->port = b->listeners[i].port;
            to->rack = wire_string_of(b->racks[i]);
            out.brokers_count++;
        }
    }
    out.cluster_id = wire_string_of("fake");
    out.controller_id = 1;
    int32_t count = in.topics_count < 0 ? (int32_t)b->topic_count : in.topics_count;
    out.topics = arena_array(arena, (size_t)count + 1, sizeof *out.topics);
    out.topics_count = count;
    for (int32_t i = 0; i < count; i++) {
        struct fake_topic *t = in.topics_count < 0 ? &b->topics[i]
                                                   : fake_topic_find(b, in.topics[i].name, NULL,
                                                                     in.allow_auto_topic_creation);
        if (t) {
            metadata_topic(b, t, node, &out.topics[i], arena);
        } else {
            metadata_response_topics_init(&out.topics[i]);
            struct wire_string name = in.topics[i].name;
            out.topics[i].name = name;
            out.topics[i].error_code =
                name.size > 0 && memchr(name.data, '/', (size_t)name.size) ? 17 : 3;
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

void fake_partition_store(struct partition *p, const void *data, const struct batch_header *h)
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
    fake_partition_store(p, data, &h);
    return 0;
}

static int answer_produce(struct fake_broker *b, int32_t node, struct reader *r, int version,
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
        struct fake_topic *t = fake_topic_find(
            b, in.topic_data[i].name, version >= 13 ? &in.topic_data[i].topic_id : NULL, false);
        produce_response_responses_init(to);
        to->name = in.topic_data[i].name;
        to->topic_id = in.topic_data[i].topic_id;
        to->partition_responses_count = in.topic_data[i].partition_data_count;
        to->partition_responses = arena_array(arena, (size_t)to->partition_responses_count + 1,
                                              sizeof *to->partition_responses);
        for (int32_t j = 0; j < to->partition_responses_count; j++) {
            const struct produce_request_partition_data *from = &in.topic_data[i].partition_data[j];
            struct produce_response_partition_responses *answer = &to->partition_responses[j];
            struct partition *p = fake_partition_find(b, t, from->index);
            int32_t epoch;
            bool elsewhere = fake_leader(b, from->index, 0, &epoch) != node;
            produce_response_partition_responses_init(answer);
            answer->index = from->index;
            answer->base_offset = -1;
            answer->error_code =
                refuse || elsewhere ? 6
                : p                 ? partition_append(b, p, from->records.slices[0].data,
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

static void fetch_partition(struct fake_broker *b, int32_t node, struct fake_topic *t,
                            const struct fetch_request_partitions *in,
                            struct fetch_response_partitions *out, struct arena *arena,
                            size_t *bytes)
{
    struct partition *p = fake_partition_find(b, t, in->partition);
    int32_t epoch;
    int32_t leader = fake_leader(b, in->partition, 0, &epoch);
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
    if (leader != node && node != b->nearest) {
        out->error_code = 6;
        return;
    }
    if (in->current_leader_epoch >= 0 && in->current_leader_epoch < epoch) {
        out->error_code = 74;
        return;
    }
    if (in->fetch_offset < p->start || in->fetch_offset > p->end) {
        out->error_code = 1;
        return;
    }
    if (b->faults.damaged) {
        out->error_code = 2;
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

/* Sends who names a rack to the replica there. */
static bool fetch_redirect(struct fake_broker *b, const struct peer *peer,
                           const struct fetch_request *in, struct fetch_response_partitions *out)
{
    if (!b->nearest || in->rack_id.size <= 0) {
        return false;
    }
    if (peer->node == b->nearest && b->nearest_lags) {
        out->error_code = 1;
        out->records = (struct wire_records){.slices = out->records.slices};
        b->nearest = 0;
        return true;
    }
    if (peer->node == b->nearest) {
        b->fetched_near += out->records.size > 0;
        return false;
    }
    b->sent_away++;
    out->preferred_read_replica = b->nearest;
    out->records = (struct wire_records){.slices = out->records.slices};
    return true;
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
        struct fake_topic *t = fake_topic_find(
            b, in.topics[i].topic, version >= 13 ? &in.topics[i].topic_id : NULL, false);
        fetch_response_responses_init(to);
        to->topic = in.topics[i].topic;
        to->topic_id = in.topics[i].topic_id;
        to->partitions_count = in.topics[i].partitions_count;
        to->partitions =
            arena_array(arena, (size_t)to->partitions_count + 1, sizeof *to->partitions);
        for (int32_t j = 0; j < to->partitions_count; j++) {
            fetch_partition(b, peer->node, t, &in.topics[i].partitions[j], &to->partitions[j],
                            arena, &bytes);
            urgent |= fetch_redirect(b, peer, &in, &to->partitions[j]);
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
        struct fake_topic *t = fake_topic_find(b, in.topics[i].name, NULL, false);
        to->name = in.topics[i].name;
        to->partitions_count = in.topics[i].partitions_count;
        to->partitions =
            arena_array(arena, (size_t)to->partitions_count + 1, sizeof *to->partitions);
        for (int32_t j = 0; j < to->partitions_count; j++) {
            const struct list_offsets_request_partitions *from = &in.topics[i].partitions[j];
            struct list_offsets_response_partitions *answer = &to->partitions[j];
            struct partition *p = fake_partition_find(b, t, from->partition_index);
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
        struct fake_topic *t = fake_topic_find(b, in.topics[i].topic, NULL, false);
        to->topic = in.topics[i].topic;
        to->partitions_count = in.topics[i].partitions_count;
        to->partitions =
            arena_array(arena, (size_t)to->partitions_count + 1, sizeof *to->partitions);
        for (int32_t j = 0; j < to->partitions_count; j++) {
            struct partition *p = fake_partition_find(b, t, in.topics[i].partitions[j].partition);
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

static bool answer_is_noise(struct fake_broker *b, int16_t key)
{
    if (b->faults.hostile && (key != WIRE_API_VERSIONS || prng_chance(&b->prng, 1, 4)) &&
        (key != WIRE_METADATA || prng_chance(&b->prng, 1, 3))) {
        return true;
    }
    return b->faults.hostile_groups && fake_groups_key(key) && prng_chance(&b->prng, 1, 2);
}

/* Slices point into the arena of the answer: they are copied while it lives. */
static void answer_flatten(struct fake_broker *b, struct wire_writer *out)
{
    struct wire_writer flat;
    struct iovec iovecs[64];
    int count;
    if (!out->splice_count) {
        return;
    }
    wire_writer_init(&flat, io_memory(b->io), FRAME_MAX);
    while ((count = wire_writer_iovecs(out, flat.size, iovecs, 64)) > 0) {
        for (int i = 0; i < count; i++) {
            wire_put(&flat, iovecs[i].iov_base, iovecs[i].iov_len);
        }
    }
    wire_writer_deinit(out);
    *out = flat;
}

/* Members' requests; the connection may end before they are done, or without an answer. */
static int answer_member(struct peer *p, const struct wire_request_header *h, struct reader *r,
                         struct arena *arena, bool *wait)
{
    struct fake_broker *b = p->broker;
    if (p->waited_ns == 0 && chance(b, b->faults.drop_group)) {
        return ERR_CLOSED;
    }
    int error = coord_answer(b, p, h->key, r, h->version, &p->out, arena, wait);
    return !error && !*wait && chance(b, b->faults.drop_group) ? ERR_CLOSED : error;
}

static int answer_other(struct fake_broker *b, int16_t key, struct reader *r, int version,
                        struct wire_writer *w, struct arena *arena)
{
    return fake_moves_key(key) ? fake_moves_answer(key, r, version, w, arena)
                               : fake_groups_answer(b, key, r, version, w, arena);
}

/* Answers one request into p->out. An error ends the connection. */
int fake_answer(struct peer *p, const uint8_t *data, size_t size, bool *wait)
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
    if (h.key <= WIRE_METADATA && p->waited_ns == 0) {
        b->asked[p->node][h.key]++;
    }
    if (answer_is_noise(b, h.key)) {
        answer_noise(b, &h, api, &p->out);
        return 0;
    }
    arena_init(&arena, io_memory(b->io), SIZE_MAX);
    wire_frame_begin(&p->out);
    error = wire_response_header_encode(api, h.version, h.correlation_id, &p->out);
    bool member = b->coordinates && coord_handles(h.key);
    if (!error && member) {
        error = answer_member(p, &h, &r, &arena, wait);
    }
    switch (error || member ? -1 : h.key) {
    case WIRE_API_VERSIONS:
        error = answer_api_versions(b, &r, h.version, &p->out, &arena);
        break;
    case WIRE_METADATA:
        error = answer_metadata(b, p->node, &r, h.version, &p->out, &arena);
        break;
    case WIRE_INIT_PRODUCER_ID:
        error = answer_producer_id(b, &r, h.version, &p->out, &arena);
        break;
    case WIRE_PRODUCE:
        error = answer_produce(b, p->node, &r, h.version, &p->out, &arena, &silent);
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
    case -1:
        break;
    default:
        error = answer_other(b, h.key, &r, h.version, &p->out, &arena);
        break;
    }
    if (!error && (silent || *wait)) {
        wire_writer_reset(&p->out);
    } else if (!error) {
        error = wire_frame_end(&p->out);
    }
    if (!error) {
        answer_flatten(b, &p->out);
    }
    arena_deinit(&arena);
    return error;
}
