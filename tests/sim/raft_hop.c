/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/raft_hop.h"

const char raft_hop_cluster[] = "AAECAwQFBgcICQoLDA0ODw";

enum { BUDGET = 16 << 20 };

void raft_hop_init(struct raft_hop *h)
{
    memory_init(&h->memory, BUDGET);
    wire_writer_init(&h->writer, &h->memory, RAFT_HOP_BYTES);
}

void raft_hop_deinit(struct raft_hop *h)
{
    wire_writer_deinit(&h->writer);
    assert(h->memory.used_bytes == 0);
    memory_drop(&h->memory);
}

int raft_hop_version(enum raft_kind request)
{
    return quorum_api_of(request).max;
}

/* All that the writer holds, in one piece. */
static struct bytes flat(struct raft_hop *h)
{
    struct iovec part;
    size_t at = 0;
    while (wire_writer_iovecs(&h->writer, at, &part, 1) > 0) {
        assert(part.iov_len <= sizeof h->bytes - at);
        memcpy(h->bytes + at, part.iov_base, part.iov_len);
        at += part.iov_len;
    }
    return bytes_of(h->bytes, at);
}

struct bytes raft_hop_request(struct raft_hop *h, const struct raft_message *m, int version)
{
    wire_writer_reset(&h->writer);
    int error =
        quorum_request_encode(m, raft_hop_cluster, NULL, (struct uuid){0}, version, &h->writer);
    assert(!error);
    return flat(h);
}

static int take_fetch(struct reader *in, struct arena *arena, int version, struct raft_id self,
                      struct raft_message *out)
{
    struct fetch_request fetch;
    int error = fetch_request_decode(&fetch, in, version, arena);
    if (!error && !fetch_of_quorum(&fetch)) {
        error = ERR_UNKNOWN_TOPIC_ID;
    }
    return error ? error : fetch_request_take(&fetch, raft_hop_cluster, self, out);
}

static int take(enum raft_kind request, struct reader *in, struct arena *arena, int version,
                struct raft_id self, struct raft_message *out)
{
    struct vote_request vote;
    struct begin_quorum_epoch_request begin;
    struct end_quorum_epoch_request end;
    int error;
    switch (request) {
    case RAFT_VOTE:
        error = vote_request_decode(&vote, in, version, arena);
        return error ? error : vote_request_take(&vote, raft_hop_cluster, self, out);
    case RAFT_BEGIN:
        error = begin_quorum_epoch_request_decode(&begin, in, version, arena);
        return error ? error : begin_quorum_epoch_request_take(&begin, raft_hop_cluster, self, out);
    case RAFT_END:
        error = end_quorum_epoch_request_decode(&end, in, version, arena);
        return error ? error : end_quorum_epoch_request_take(&end, raft_hop_cluster, self, out);
    case RAFT_FETCH:
        return take_fetch(in, arena, version, self, out);
    case RAFT_VOTE_ANSWER:
    case RAFT_FETCH_ANSWER:
        break;
    }
    assert(false);
    return ERR_INVALID_ARGUMENT;
}

int raft_hop_take(struct raft_hop *h, enum raft_kind request, int version, struct bytes body,
                  struct raft_id self, struct raft_message *out)
{
    struct reader in = reader_of(body.data, body.size);
    struct arena arena;
    arena_init(&arena, &h->memory, 1 << 20);
    int error = take(request, &in, &arena, version, self, out);
    arena_deinit(&arena);
    if (!error && reader_left(&in) > 0) {
        error = ERR_MALFORMED;
    }
    if (!error) {
        out->ticket = 0;
    }
    return error;
}

struct bytes raft_hop_answer(struct raft_hop *h, enum raft_kind request,
                             const struct raft_message *m, int error, struct bytes records,
                             int version)
{
    struct slice slice = {records.data, records.size, NULL};
    struct wire_records given = {&slice, records.size > 0, (uint32_t)records.size, false};
    struct vote_answer vote;
    struct fetch_answer fetch;
    int failed;
    wire_writer_reset(&h->writer);
    if (request == RAFT_VOTE) {
        vote_response_fill(&vote, m, error);
        failed = vote_response_encode(&vote.response, &h->writer, version);
    } else {
        assert(request == RAFT_FETCH);
        fetch_response_fill(&fetch, m, error, given);
        failed = fetch_response_encode(&fetch.response, &h->writer, version);
    }
    assert(!failed);
    return flat(h);
}

static bool end_equal(struct raft_end a, struct raft_end b)
{
    return a.epoch == b.epoch && a.offset == b.offset;
}

bool raft_hop_same(const struct raft_message *sent, const struct raft_message *came)
{
    struct raft_message a = *sent;
    bool named = a.kind == RAFT_VOTE || a.kind == RAFT_VOTE_ANSWER || a.kind == RAFT_FETCH;
    if (!named) {
        a.from.directory = came->from.directory;
    }
    if (a.kind == RAFT_FETCH) {
        a.to.directory = came->to.directory;
    }
    if (a.kind == RAFT_FETCH || a.kind == RAFT_VOTE) {
        a.leader = came->leader;
    }
    return a.kind == came->kind && raft_id_equal(a.from, came->from) &&
           raft_id_equal(a.to, came->to) && a.epoch == came->epoch && a.leader == came->leader &&
           a.pre == came->pre && a.granted == came->granted && a.preferred == came->preferred &&
           a.error == came->error && end_equal(a.end, came->end) && a.reads == came->reads &&
           a.high_watermark == came->high_watermark && end_equal(a.diverging, came->diverging) &&
           end_equal(a.snapshot, came->snapshot);
}
