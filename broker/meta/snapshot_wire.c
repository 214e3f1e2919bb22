/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/snapshot_wire.h"

int snapshot_request_encode(const struct snapshot_request *in, const char *cluster_id, int version,
                            struct wire_writer *out)
{
    struct fetch_snapshot_request_partitions p;
    struct fetch_snapshot_request_topics t = {
        .name = wire_string_of(quorum_topic), .partitions = &p, .partitions_count = 1};
    struct fetch_snapshot_request r;
    fetch_snapshot_request_init(&r);
    fetch_snapshot_request_partitions_init(&p);
    p.current_leader_epoch = in->epoch;
    p.snapshot_id.end_offset = in->id.offset;
    p.snapshot_id.epoch = in->id.epoch;
    p.position = in->position;
    p.replica_directory_id = in->from.directory;
    r.cluster_id = wire_string_of(cluster_id);
    r.replica_id = in->from.node;
    r.max_bytes = in->bytes_max;
    r.topics = &t;
    r.topics_count = 1;
    return fetch_snapshot_request_encode(&r, out, version);
}

int fetch_snapshot_request_take(const struct fetch_snapshot_request *in, const char *cluster_id,
                                int32_t self, struct snapshot_request *out)
{
    if (!wire_string_equal(in->cluster_id, wire_string_of(cluster_id))) {
        return ERR_INCONSISTENT_CLUSTER_ID;
    }
    if (in->topics_count != 1 || in->topics[0].partitions_count != 1) {
        return ERR_INVALID_REQUEST;
    }
    const struct fetch_snapshot_request_partitions *p = &in->topics[0].partitions[0];
    if (p->partition != 0 || !wire_string_equal(in->topics[0].name, wire_string_of(quorum_topic))) {
        return ERR_UNKNOWN_TOPIC_OR_PARTITION;
    }
    if (in->replica_id < 0 || in->replica_id == self || in->max_bytes <= 0 ||
        p->current_leader_epoch < 0 || p->current_leader_epoch == INT32_MAX ||
        p->snapshot_id.epoch < 0 || p->snapshot_id.end_offset <= 0 || p->position < 0) {
        return ERR_INVALID_REQUEST;
    }
    *out = (struct snapshot_request){
        .from = {in->replica_id, p->replica_directory_id},
        .epoch = p->current_leader_epoch,
        .id = {p->snapshot_id.epoch, p->snapshot_id.end_offset},
        .position = p->position,
        .bytes_max = in->max_bytes,
    };
    return 0;
}

void fetch_snapshot_response_fill(struct fetch_snapshot_answer *out,
                                  const struct snapshot_answer *in, int error,
                                  struct wire_records piece)
{
    fetch_snapshot_response_init(&out->response);
    if (error) {
        out->response.error_code = error_to_wire(error);
        return;
    }
    struct fetch_snapshot_response_partitions *p = &out->partition;
    fetch_snapshot_response_partitions_init(p);
    out->topic = (struct fetch_snapshot_response_topics){
        .name = wire_string_of(quorum_topic), .partitions = p, .partitions_count = 1};
    p->error_code = error_to_wire(in->error);
    p->snapshot_id.end_offset = in->id.offset;
    p->snapshot_id.epoch = in->id.epoch;
    p->current_leader.leader_id = in->leader;
    p->current_leader.leader_epoch = in->epoch;
    p->size = in->size;
    p->position = in->position;
    p->unaligned_records = piece;
    out->response.topics = &out->topic;
    out->response.topics_count = 1;
}

/* The piece lies where it was asked for, and within the whole. */
static bool piece_take(const struct snapshot_request *request,
                       const struct fetch_snapshot_response_partitions *p,
                       struct snapshot_answer *out)
{
    if (p->unaligned_records.slice_count == 1) {
        const struct slice *s = &p->unaligned_records.slices[0];
        out->piece = bytes_of(s->data, s->size);
    }
    return out->id.epoch == request->id.epoch && out->id.offset == request->id.offset &&
           out->position == request->position && out->size >= out->position &&
           out->piece.size <= (uint64_t)(out->size - out->position) &&
           out->piece.size <= (size_t)request->bytes_max;
}

static int answer_take(const struct snapshot_request *request,
                       const struct fetch_snapshot_response *in, struct snapshot_answer *out)
{
    if (in->error_code) {
        return error_from_wire(in->error_code);
    }
    if (in->topics_count != 1 || in->topics[0].partitions_count != 1 ||
        !wire_string_equal(in->topics[0].name, wire_string_of(quorum_topic))) {
        return ERR_MALFORMED;
    }
    const struct fetch_snapshot_response_partitions *p = &in->topics[0].partitions[0];
    struct snapshot_answer a = {
        .error = error_from_wire(p->error_code),
        .epoch = p->current_leader.leader_epoch,
        .leader = p->current_leader.leader_id < 0 ? RAFT_NOBODY : p->current_leader.leader_id,
        .id = {p->snapshot_id.epoch, p->snapshot_id.end_offset},
        .size = p->size,
        .position = p->position,
    };
    if (p->index != 0 || a.epoch < 0 || a.epoch == INT32_MAX) {
        return ERR_MALFORMED;
    }
    if (a.error) { /* and says no more than who leads */
        a.id = request->id;
        a.size = a.position = 0;
    } else if (!piece_take(request, p, &a)) {
        return ERR_MALFORMED;
    }
    *out = a;
    return 0;
}

int snapshot_answer_decode(const struct snapshot_request *request, int version, struct bytes body,
                           struct memory *memory, struct snapshot_answer *out)
{
    struct reader in = reader_of(body.data, body.size);
    struct fetch_snapshot_response r;
    struct snapshot_answer a;
    struct arena arena;
    assert(request->bytes_max > 0 && request->position >= 0);
    arena_init(&arena, memory, 1 << 20);
    int error = fetch_snapshot_response_decode(&r, &in, version, &arena);
    if (!error) {
        error = answer_take(request, &r, &a);
    }
    arena_deinit(&arena);
    if (!error && reader_left(&in) > 0) {
        error = ERR_MALFORMED;
    }
    if (!error) {
        *out = a;
    }
    return error;
}
