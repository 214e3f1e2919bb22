/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/quorum_wire.h"

#include "meta/voters.h"

const struct uuid quorum_topic_id = {{[15] = 1}};
const char quorum_topic[] = "__cluster_metadata";

enum { WAIT_MS = 500 };

struct quorum_api quorum_api_of(enum raft_kind request)
{
    switch (request) {
    case RAFT_VOTE:
        return (struct quorum_api){WIRE_VOTE, 2, 2};
    case RAFT_BEGIN:
        return (struct quorum_api){WIRE_BEGIN_QUORUM_EPOCH, 1, 1};
    case RAFT_END:
        return (struct quorum_api){WIRE_END_QUORUM_EPOCH, 1, 1};
    case RAFT_FETCH:
        return (struct quorum_api){WIRE_FETCH, 17, 18};
    case RAFT_VOTE_ANSWER:
    case RAFT_FETCH_ANSWER:
        break;
    }
    assert(false);
    return (struct quorum_api){0};
}

/* --- requests that go out --------------------------------------------------------------------- */

static int encode_vote(const struct raft_message *m, const char *cluster_id, int version,
                       struct wire_writer *out)
{
    struct vote_request_partitions p;
    struct vote_request_topics t = {
        .topic_name = wire_string_of(quorum_topic), .partitions = &p, .partitions_count = 1};
    struct vote_request r;
    vote_request_init(&r);
    vote_request_partitions_init(&p);
    p.replica_epoch = m->epoch;
    p.replica_id = m->from.node;
    p.replica_directory_id = m->from.directory;
    p.voter_directory_id = m->to.directory;
    p.last_offset_epoch = m->end.epoch;
    p.last_offset = m->end.offset;
    p.pre_vote = m->pre;
    r.cluster_id = wire_string_of(cluster_id);
    r.voter_id = m->to.node;
    r.topics = &t;
    r.topics_count = 1;
    return vote_request_encode(&r, out, version);
}

static int encode_begin(const struct raft_message *m, const char *cluster_id,
                        const struct image_endpoint *own, int version, struct wire_writer *out)
{
    struct begin_quorum_epoch_request_leader_endpoints e;
    struct begin_quorum_epoch_request_partitions p;
    struct begin_quorum_epoch_request_topics t = {
        .topic_name = wire_string_of(quorum_topic), .partitions = &p, .partitions_count = 1};
    struct begin_quorum_epoch_request r;
    begin_quorum_epoch_request_init(&r);
    begin_quorum_epoch_request_partitions_init(&p);
    p.voter_directory_id = m->to.directory;
    p.leader_id = m->from.node;
    p.leader_epoch = m->epoch;
    r.cluster_id = wire_string_of(cluster_id);
    r.voter_id = m->to.node;
    r.topics = &t;
    r.topics_count = 1;
    if (own) {
        begin_quorum_epoch_request_leader_endpoints_init(&e);
        e.name = wire_string_of(own->name);
        e.host = wire_string_of(own->host);
        e.port = own->port;
        r.leader_endpoints = &e;
        r.leader_endpoints_count = 1;
    }
    return begin_quorum_epoch_request_encode(&r, out, version);
}

/* Who is asked to stand at once is the first candidate named. */
static int encode_end(const struct raft_message *m, const char *cluster_id, int version,
                      struct wire_writer *out)
{
    struct end_quorum_epoch_request_preferred_candidates c = {m->to.node, m->to.directory};
    struct end_quorum_epoch_request_partitions p;
    struct end_quorum_epoch_request_topics t = {
        .topic_name = wire_string_of(quorum_topic), .partitions = &p, .partitions_count = 1};
    struct end_quorum_epoch_request r;
    end_quorum_epoch_request_init(&r);
    end_quorum_epoch_request_partitions_init(&p);
    p.leader_id = m->from.node;
    p.leader_epoch = m->epoch;
    p.preferred_candidates = &c;
    p.preferred_candidates_count = m->preferred ? 1 : 0;
    r.cluster_id = wire_string_of(cluster_id);
    r.topics = &t;
    r.topics_count = 1;
    return end_quorum_epoch_request_encode(&r, out, version);
}

static int encode_fetch(const struct raft_message *m, const char *cluster_id,
                        struct uuid incarnation, int version, struct wire_writer *out)
{
    struct fetch_request_partitions p;
    struct fetch_request_topics t = {
        .topic_id = quorum_topic_id, .partitions = &p, .partitions_count = 1};
    struct fetch_request r;
    fetch_request_init(&r);
    fetch_request_partitions_init(&p);
    p.current_leader_epoch = m->epoch;
    p.fetch_offset = m->end.offset;
    p.last_fetched_epoch = m->end.epoch;
    p.partition_max_bytes = QUORUM_FETCH_BYTES;
    p.replica_directory_id = m->from.directory;
    p.high_watermark = m->high_watermark;
    p.quorum_reads = (int64_t)m->reads;
    r.cluster_id = wire_string_of(cluster_id);
    r.replica_state.replica_id = m->from.node;
    r.incarnation_id = incarnation;
    r.max_wait_ms = WAIT_MS;
    r.max_bytes = QUORUM_FETCH_BYTES;
    r.topics = &t;
    r.topics_count = 1;
    return fetch_request_encode(&r, out, version);
}

int quorum_request_encode(const struct raft_message *m, const char *cluster_id,
                          const struct image_endpoint *own, struct uuid incarnation, int version,
                          struct wire_writer *out)
{
    switch (m->kind) {
    case RAFT_VOTE:
        return encode_vote(m, cluster_id, version, out);
    case RAFT_BEGIN:
        return encode_begin(m, cluster_id, own, version, out);
    case RAFT_END:
        return encode_end(m, cluster_id, version, out);
    case RAFT_FETCH:
        return encode_fetch(m, cluster_id, incarnation, version, out);
    case RAFT_VOTE_ANSWER:
    case RAFT_FETCH_ANSWER:
        break;
    }
    assert(false);
    return ERR_INVALID_ARGUMENT;
}

/* --- requests that come ----------------------------------------------------------------------- */

static bool same_cluster(struct wire_string given, const char *cluster_id)
{
    return wire_string_equal(given, wire_string_of(cluster_id));
}

static struct raft_message message_from(enum raft_kind kind, struct raft_id from, int32_t epoch)
{
    return (struct raft_message){
        .kind = kind,
        .from = from,
        .epoch = epoch,
        .leader = RAFT_NOBODY,
        .high_watermark = -1,
        .diverging.epoch = -1,
        .snapshot.epoch = -1,
    };
}

static bool is_quorum_topic(struct wire_string name)
{
    return wire_string_equal(name, wire_string_of(quorum_topic));
}

/* The last epoch has no successor: whoever entered it could never stand again. */
static bool epoch_good(int32_t epoch)
{
    return epoch >= 0 && epoch < INT32_MAX;
}

/* Where the log of a replica in `epoch` ends. An empty one has no last epoch; Kafka's says 0. */
static bool end_take(struct raft_end *out, int32_t epoch, int32_t last, int64_t offset)
{
    if (offset < 0 || last > epoch || last < (offset > 0 ? 0 : -1)) {
        return false;
    }
    *out = (struct raft_end){offset > 0 ? last : -1, offset};
    return true;
}

int vote_request_take(const struct vote_request *in, const char *cluster_id, struct raft_id self,
                      struct raft_message *out)
{
    if (!same_cluster(in->cluster_id, cluster_id)) {
        return ERR_INCONSISTENT_CLUSTER_ID;
    }
    if (in->topics_count != 1 || in->topics[0].partitions_count != 1 ||
        !is_quorum_topic(in->topics[0].topic_name)) {
        return ERR_INVALID_REQUEST;
    }
    const struct vote_request_partitions *p = &in->topics[0].partitions[0];
    struct raft_end end;
    if (p->partition_index != 0 || p->replica_id < 0 || p->replica_id == self.node ||
        !epoch_good(p->replica_epoch) ||
        !end_take(&end, p->replica_epoch, p->last_offset_epoch, p->last_offset)) {
        return ERR_INVALID_REQUEST;
    }
    if (!raft_id_equal((struct raft_id){in->voter_id, p->voter_directory_id}, self)) {
        return ERR_INVALID_VOTER_KEY;
    }
    *out = message_from(RAFT_VOTE, (struct raft_id){p->replica_id, p->replica_directory_id},
                        p->replica_epoch);
    out->to = self;
    out->pre = p->pre_vote;
    out->end = end;
    return 0;
}

int begin_quorum_epoch_request_take(const struct begin_quorum_epoch_request *in,
                                    const char *cluster_id, struct raft_id self,
                                    struct raft_message *out)
{
    if (!same_cluster(in->cluster_id, cluster_id)) {
        return ERR_INCONSISTENT_CLUSTER_ID;
    }
    if (in->topics_count != 1 || in->topics[0].partitions_count != 1 ||
        !is_quorum_topic(in->topics[0].topic_name)) {
        return ERR_INVALID_REQUEST;
    }
    const struct begin_quorum_epoch_request_partitions *p = &in->topics[0].partitions[0];
    if (p->partition_index != 0 || p->leader_id < 0 || p->leader_id == self.node ||
        !epoch_good(p->leader_epoch)) {
        return ERR_INVALID_REQUEST;
    }
    if (!raft_id_equal((struct raft_id){in->voter_id, p->voter_directory_id}, self)) {
        return ERR_INVALID_VOTER_KEY;
    }
    *out = message_from(RAFT_BEGIN, (struct raft_id){.node = p->leader_id}, p->leader_epoch);
    out->to = self;
    out->leader = p->leader_id;
    return 0;
}

int end_quorum_epoch_request_take(const struct end_quorum_epoch_request *in, const char *cluster_id,
                                  struct raft_id self, struct raft_message *out)
{
    if (!same_cluster(in->cluster_id, cluster_id)) {
        return ERR_INCONSISTENT_CLUSTER_ID;
    }
    if (in->topics_count != 1 || in->topics[0].partitions_count != 1 ||
        !is_quorum_topic(in->topics[0].topic_name)) {
        return ERR_INVALID_REQUEST;
    }
    const struct end_quorum_epoch_request_partitions *p = &in->topics[0].partitions[0];
    if (p->partition_index != 0 || p->leader_id < 0 || p->leader_id == self.node ||
        !epoch_good(p->leader_epoch)) {
        return ERR_INVALID_REQUEST;
    }
    *out = message_from(RAFT_END, (struct raft_id){.node = p->leader_id}, p->leader_epoch);
    out->to = self;
    out->leader = p->leader_id;
    out->preferred =
        p->preferred_candidates_count > 0 &&
        raft_id_equal((struct raft_id){p->preferred_candidates[0].candidate_id,
                                       p->preferred_candidates[0].candidate_directory_id},
                      self);
    return 0;
}

bool fetch_of_quorum(const struct fetch_request *in)
{
    return in->topics_count == 1 && uuid_equal(in->topics[0].topic_id, quorum_topic_id) &&
           in->topics[0].partitions_count == 1;
}

int fetch_request_take(const struct fetch_request *in, const char *cluster_id, struct raft_id self,
                       struct raft_message *out)
{
    assert(fetch_of_quorum(in));
    const struct fetch_request_partitions *p = &in->topics[0].partitions[0];
    int32_t node = in->replica_state.replica_id;
    struct raft_end end;
    if (!same_cluster(in->cluster_id, cluster_id)) {
        return ERR_INCONSISTENT_CLUSTER_ID;
    }
    if (p->partition != 0 || node < 0 || node == self.node ||
        !epoch_good(p->current_leader_epoch) || p->quorum_reads < -1 ||
        !end_take(&end, p->current_leader_epoch, p->last_fetched_epoch, p->fetch_offset)) {
        return ERR_INVALID_REQUEST;
    }
    *out = message_from(RAFT_FETCH, (struct raft_id){node, p->replica_directory_id},
                        p->current_leader_epoch);
    out->to = (struct raft_id){.node = self.node};
    out->end = end;
    out->reads = p->quorum_reads < 0 ? 0 : (uint64_t)p->quorum_reads;
    out->high_watermark = p->high_watermark < 0 ? -1 : p->high_watermark;
    return 0;
}

/* --- answers that go out ---------------------------------------------------------------------- */

void vote_response_fill(struct vote_answer *out, const struct raft_message *m, int error)
{
    vote_response_init(&out->response);
    if (error) {
        out->response.error_code = error_to_wire(error);
        return;
    }
    out->topic = (struct vote_response_topics){.topic_name = wire_string_of(quorum_topic),
                                               .partitions = &out->partition,
                                               .partitions_count = 1};
    vote_response_partitions_init(&out->partition);
    out->partition.leader_id = m->leader;
    out->partition.leader_epoch = m->epoch;
    out->partition.vote_granted = m->granted;
    out->response.topics = &out->topic;
    out->response.topics_count = 1;
}

void begin_quorum_epoch_response_fill(struct begin_quorum_epoch_answer *out, int32_t epoch,
                                      int32_t leader, int error)
{
    begin_quorum_epoch_response_init(&out->response);
    if (error) {
        out->response.error_code = error_to_wire(error);
        return;
    }
    out->topic =
        (struct begin_quorum_epoch_response_topics){.topic_name = wire_string_of(quorum_topic),
                                                    .partitions = &out->partition,
                                                    .partitions_count = 1};
    begin_quorum_epoch_response_partitions_init(&out->partition);
    out->partition.leader_id = leader;
    out->partition.leader_epoch = epoch;
    out->response.topics = &out->topic;
    out->response.topics_count = 1;
}

void end_quorum_epoch_response_fill(struct end_quorum_epoch_answer *out, int32_t epoch,
                                    int32_t leader, int error)
{
    end_quorum_epoch_response_init(&out->response);
    if (error) {
        out->response.error_code = error_to_wire(error);
        return;
    }
    out->topic =
        (struct end_quorum_epoch_response_topics){.topic_name = wire_string_of(quorum_topic),
                                                  .partitions = &out->partition,
                                                  .partitions_count = 1};
    end_quorum_epoch_response_partitions_init(&out->partition);
    out->partition.leader_id = leader;
    out->partition.leader_epoch = epoch;
    out->response.topics = &out->topic;
    out->response.topics_count = 1;
}

void fetch_response_fill(struct fetch_answer *out, const struct raft_message *m, int error,
                         struct wire_records records)
{
    fetch_response_init(&out->response);
    if (error) {
        out->response.error_code = error_to_wire(error);
        return;
    }
    struct fetch_response_partitions *p = &out->partition;
    fetch_response_partitions_init(p);
    out->topic = (struct fetch_response_responses){
        .topic_id = quorum_topic_id, .partitions = p, .partitions_count = 1};
    p->error_code = error_to_wire(m->error);
    p->high_watermark = m->high_watermark;
    p->current_leader.leader_id = m->leader;
    p->current_leader.leader_epoch = m->epoch;
    p->diverging_epoch.epoch = m->diverging.epoch;
    p->diverging_epoch.end_offset = m->diverging.epoch < 0 ? -1 : m->diverging.offset;
    p->snapshot_id.epoch = m->snapshot.epoch;
    p->snapshot_id.end_offset = m->snapshot.epoch < 0 ? -1 : m->snapshot.offset;
    p->quorum_reads = (int64_t)m->reads;
    p->aborted_transactions_count = -1;
    p->records = records;
    out->response.responses = &out->topic;
    out->response.responses_count = 1;
}

/* --- answers that come ------------------------------------------------------------------------ */

static int32_t node_or_nobody(int32_t node)
{
    return node < 0 ? RAFT_NOBODY : node;
}

/* Refusals that are answers all the same: they say which epoch the other one is in, and who leads it. */
static bool tells_epoch(int16_t code)
{
    int error = error_from_wire(code);
    return error == ERR_FENCED_LEADER_EPOCH || error == ERR_UNKNOWN_LEADER_EPOCH ||
           error == ERR_NOT_LEADER_OR_FOLLOWER;
}

static int decode_vote(const struct raft_message *request, int version, struct reader *in,
                       struct arena *arena, struct raft_message *out)
{
    struct vote_response r;
    int error = vote_response_decode(&r, in, version, arena);
    if (error || r.error_code) {
        return error ? error : error_from_wire(r.error_code);
    }
    if (r.topics_count != 1 || r.topics[0].partitions_count != 1 ||
        !is_quorum_topic(r.topics[0].topic_name)) {
        return ERR_MALFORMED;
    }
    const struct vote_response_partitions *p = &r.topics[0].partitions[0];
    if (p->error_code && !tells_epoch(p->error_code)) {
        return error_from_wire(p->error_code);
    }
    if (p->partition_index != 0 || !epoch_good(p->leader_epoch) ||
        (p->error_code && p->vote_granted)) {
        return ERR_MALFORMED;
    }
    *out = message_from(RAFT_VOTE_ANSWER, request->to, p->leader_epoch);
    out->leader = node_or_nobody(p->leader_id);
    out->granted = p->vote_granted;
    out->pre = request->pre;
    return 0;
}

/* Both numbers are given, or none. */
static bool end_given(struct raft_end *out, int32_t epoch, int64_t offset)
{
    if (epoch >= 0 && offset >= 0) {
        *out = (struct raft_end){epoch, offset};
    }
    return (epoch >= 0) == (offset >= 0);
}

/* A log parts from another one before its end, never at it. */
static bool parts_before(struct raft_end diverging, struct raft_end asked)
{
    return diverging.epoch < 0 || diverging.epoch < asked.epoch ||
           (diverging.epoch == asked.epoch && diverging.offset < asked.offset);
}

static int take_fetched(const struct fetch_response_partitions *p, struct raft_message *out,
                        struct bytes *records)
{
    if (!end_given(&out->diverging, p->diverging_epoch.epoch, p->diverging_epoch.end_offset) ||
        !end_given(&out->snapshot, p->snapshot_id.epoch, p->snapshot_id.end_offset) ||
        (out->snapshot.epoch >= 0 && out->snapshot.offset == 0) ||
        !parts_before(out->diverging, out->end)) {
        return ERR_MALFORMED;
    }
    out->reads = p->quorum_reads < 0 ? 0 : (uint64_t)p->quorum_reads;
    out->high_watermark = p->high_watermark < 0 ? -1 : p->high_watermark;
    if (p->records.slice_count == 1 && out->diverging.epoch < 0 && out->snapshot.epoch < 0) {
        *records = bytes_of(p->records.slices[0].data, p->records.slices[0].size);
    }
    return 0;
}

static int decode_fetch(const struct raft_message *request, int version, struct reader *in,
                        struct arena *arena, struct raft_message *out, struct bytes *records)
{
    struct fetch_response r;
    int error = fetch_response_decode(&r, in, version, arena);
    if (error || r.error_code) {
        return error ? error : error_from_wire(r.error_code);
    }
    if (r.responses_count != 1 || r.responses[0].partitions_count != 1 ||
        !uuid_equal(r.responses[0].topic_id, quorum_topic_id)) {
        return ERR_MALFORMED;
    }
    const struct fetch_response_partitions *p = &r.responses[0].partitions[0];
    if (!epoch_good(p->current_leader.leader_epoch) || p->partition_index != 0) {
        return p->error_code ? error_from_wire(p->error_code) : ERR_MALFORMED;
    }
    *out = message_from(RAFT_FETCH_ANSWER, request->to, p->current_leader.leader_epoch);
    out->leader = node_or_nobody(p->current_leader.leader_id);
    out->error = error_from_wire(p->error_code);
    if (out->error) {
        return 0; /* and says no more than who leads */
    }
    out->end = request->end;
    return take_fetched(p, out, records);
}

int quorum_answer_decode(const struct raft_message *request, int version, struct bytes body,
                         struct memory *memory, struct raft_message *out, struct bytes *records)
{
    struct reader in = reader_of(body.data, body.size);
    struct raft_message m;
    struct bytes fetched = {0};
    struct arena arena;
    int error = ERR_NOT_FOUND;
    arena_init(&arena, memory, 1 << 20);
    if (request->kind == RAFT_VOTE) {
        error = decode_vote(request, version, &in, &arena, &m);
    } else if (request->kind == RAFT_FETCH) {
        error = decode_fetch(request, version, &in, &arena, &m, &fetched);
    }
    arena_deinit(&arena);
    if (!error && reader_left(&in) > 0) {
        error = ERR_MALFORMED;
    }
    if (error) {
        return error;
    }
    m.to = request->from;
    m.ticket = request->ticket;
    *out = m;
    *records = fetched;
    return 0;
}

/* --- fetched batches -------------------------------------------------------------------------- */

int quorum_batches_cut(struct quorum_batches *out, struct bytes records, struct memory *memory)
{
    size_t at = 0;
    int puts = 0;
    out->count = out->set_count = 0;
    while (at < records.size && out->count < QUORUM_BATCHES_MAX) {
        const uint8_t *data = (const uint8_t *)records.data + at;
        size_t left = records.size - at;
        struct batch_header h;
        struct voters voters;
        uint32_t size = left < BATCH_LENGTH_FROM ? 0 : batch_size_peek(data);
        if (size == 0 || size > left || batch_check(&h, data, size, BATCH_FROM_LOG) != 0 ||
            h.base_offset < 0 || h.base_offset > INT64_MAX - 1 - h.last_offset_delta) {
            break;
        }
        bool control = (h.attributes & BATCH_CONTROL) != 0;
        puts = control ? voters_of_batch(&voters, data, size, memory) : 0;
        if (puts < 0 || (puts && out->set_count == RAFT_VOTER_SETS_MAX)) {
            break;
        }
        struct raft_batch *b = &out->list[out->count];
        *b = (struct raft_batch){
            .base = h.base_offset, .end = batch_last_offset(&h) + 1, .epoch = h.leader_epoch};
        if (puts) {
            out->sets[out->set_count] = voters_ids(&voters);
            b->voters = &out->sets[out->set_count++];
        }
        out->sizes[out->count++] = size;
        at += size;
    }
    if (records.size > 0 && out->count == 0) {
        return puts == ERR_NO_MEMORY ? ERR_NO_MEMORY : ERR_MALFORMED;
    }
    return (int)out->count;
}
