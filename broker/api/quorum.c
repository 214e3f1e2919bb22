/* SPDX-License-Identifier: Apache-2.0 */

/* Requests of other replicas of the metadata log: Vote, BeginQuorumEpoch, EndQuorumEpoch, Fetch of the log itself, and
 * FetchSnapshot (KIP-595, 630, 853, 996). Each travels to the core on shard 0 and back. */
#include "api/request.h"
#include "meta/quorum_wire.h"
#include "meta/snapshot_serve.h"

struct quorum_request {
    struct api_request *request;
    struct meta_serve serve;
};

static void ended(struct meta_serve *s)
{
    struct quorum_request *q = container_of(s, struct quorum_request, serve);
    net_unhold(&q->request->net);
}

/* The request's memory holds what is on its way until ended(). */
static void submit(struct api_request *r, struct quorum_request *q,
                   void (*done)(struct meta_serve *s))
{
    q->request = r;
    q->serve.done = done;
    q->serve.ended = ended;
    net_hold(&r->net);
    meta_serve(r->api->options.rooms.meta, r->api->io, &q->serve);
}

static struct quorum_request *quorum_request_new(struct api_request *r)
{
    struct quorum_request *q = api_alloc(r, 1, sizeof *q);
    if (!q) {
        api_close(r, error_text(ERR_NO_MEMORY));
    }
    return q;
}

/* --- Vote ------------------------------------------------------------------------------------- */

static void vote_respond(struct api_request *r, const struct raft_message *answer, int error)
{
    struct vote_answer a;
    vote_response_fill(&a, answer, error);
    api_respond(r, &a.response);
}

static void voted(struct meta_serve *s)
{
    struct quorum_request *q = container_of(s, struct quorum_request, serve);
    vote_respond(q->request, &s->answer, s->error);
    meta_serve_end(s);
}

void handle_vote(struct api_request *r)
{
    struct vote_request *in = api_decode(r);
    struct quorum_request *q = in ? quorum_request_new(r) : NULL;
    const struct meta *meta = r->api->options.rooms.meta;
    if (!q) {
        return;
    }
    int error = vote_request_take(in, meta_cluster_id(meta), meta_self(meta), &q->serve.message);
    if (error) {
        vote_respond(r, NULL, error);
    } else {
        submit(r, q, voted);
    }
}

/* --- BeginQuorumEpoch, EndQuorumEpoch --------------------------------------------------------- */

static void begin_respond(struct api_request *r, const struct raft_message *answer, int error)
{
    struct begin_quorum_epoch_answer a;
    begin_quorum_epoch_response_fill(&a, error ? -1 : answer->epoch, error ? -1 : answer->leader,
                                     error);
    api_respond(r, &a.response);
}

static void begun(struct meta_serve *s)
{
    struct quorum_request *q = container_of(s, struct quorum_request, serve);
    begin_respond(q->request, &s->answer, s->error);
    meta_serve_end(s);
}

void handle_begin_quorum_epoch(struct api_request *r)
{
    struct begin_quorum_epoch_request *in = api_decode(r);
    struct quorum_request *q = in ? quorum_request_new(r) : NULL;
    const struct meta *meta = r->api->options.rooms.meta;
    if (!q) {
        return;
    }
    int error = begin_quorum_epoch_request_take(in, meta_cluster_id(meta), meta_self(meta),
                                                &q->serve.message);
    if (in->leader_endpoints_count > 0) {
        q->serve.leader_host = wire_string_bytes(in->leader_endpoints[0].host);
        q->serve.leader_port = in->leader_endpoints[0].port;
    }
    if (error) {
        begin_respond(r, NULL, error);
    } else {
        submit(r, q, begun);
    }
}

static void end_respond(struct api_request *r, const struct raft_message *answer, int error)
{
    struct end_quorum_epoch_answer a;
    end_quorum_epoch_response_fill(&a, error ? -1 : answer->epoch, error ? -1 : answer->leader,
                                   error);
    api_respond(r, &a.response);
}

static void over(struct meta_serve *s)
{
    struct quorum_request *q = container_of(s, struct quorum_request, serve);
    end_respond(q->request, &s->answer, s->error);
    meta_serve_end(s);
}

void handle_end_quorum_epoch(struct api_request *r)
{
    struct end_quorum_epoch_request *in = api_decode(r);
    struct quorum_request *q = in ? quorum_request_new(r) : NULL;
    const struct meta *meta = r->api->options.rooms.meta;
    if (!q) {
        return;
    }
    int error = end_quorum_epoch_request_take(in, meta_cluster_id(meta), meta_self(meta),
                                              &q->serve.message);
    if (error) {
        end_respond(r, NULL, error);
    } else {
        submit(r, q, over);
    }
}

/* --- Fetch ------------------------------------------------------------------------------------ */

struct copy {
    struct buffer buffer;
    struct memory *memory;
    uint8_t bytes[];
};

static void copy_free(struct buffer *b)
{
    struct copy *c = container_of(b, struct copy, buffer);
    memory_free(c->memory, c);
}

static struct copy *copy_new(struct memory *memory, size_t size)
{
    struct copy *c = memory_alloc(memory, sizeof *c + size);
    if (c) {
        buffer_init(&c->buffer, c->bytes, size, copy_free);
        c->memory = memory;
    }
    return c;
}

/* Of what was read, on this shard: the slices belong to another one, and go home when the answer stands. Empty
 * when there is no memory: the other asks again. */
static struct slice copy_records(struct api_request *r, const struct log_read *read)
{
    struct copy *c = read->size > 0 ? copy_new(&r->api->memory, read->size) : NULL;
    if (!c) {
        return (struct slice){0};
    }
    for (uint32_t i = 0, at = 0; i < read->slice_count; i++) {
        memcpy(c->bytes + at, read->slices[i].data, read->slices[i].size);
        at += (uint32_t)read->slices[i].size;
    }
    return (struct slice){c->bytes, read->size, &c->buffer};
}

static void fetch_respond(struct api_request *r, const struct meta_serve *s, int error)
{
    struct fetch_answer a;
    struct slice slice = error ? (struct slice){0} : copy_records(r, &s->read);
    struct wire_records records = {0};
    if (slice.size > 0) {
        records =
            (struct wire_records){.slices = &slice, .slice_count = 1, .size = (uint32_t)slice.size};
    }
    fetch_response_fill(&a, error ? NULL : &s->answer, error, records);
    api_respond(r, &a.response);
}

static void fetched(struct meta_serve *s)
{
    struct quorum_request *q = container_of(s, struct quorum_request, serve);
    fetch_respond(q->request, s, s->error);
    meta_serve_end(s);
}

void quorum_fetch(struct api_request *r, const struct fetch_request *in)
{
    struct quorum_request *q = quorum_request_new(r);
    const struct meta *meta = r->api->options.rooms.meta;
    if (!q) {
        return;
    }
    q->serve.incarnation = in->incarnation_id;
    int error = fetch_request_take(in, meta_cluster_id(meta), meta_self(meta), &q->serve.message);
    if (error) {
        fetch_respond(r, NULL, error);
    } else {
        submit(r, q, fetched);
    }
}

/* --- FetchSnapshot ---------------------------------------------------------------------------- */

struct snapshot_piece {
    struct api_request *request;
    struct meta_piece piece;
    struct copy *copy; /* of this shard; shard 0 reads into it */
};

/* `piece` goes out with the answer, or is given back. */
static void snapshot_respond(struct api_request *r, const struct snapshot_answer *answer, int error,
                             struct copy *piece)
{
    struct fetch_snapshot_answer a;
    struct slice slice = {0};
    struct wire_records records = {0};
    if (!error && answer->piece.size > 0) {
        slice = (struct slice){answer->piece.data, answer->piece.size, &piece->buffer};
        records =
            (struct wire_records){.slices = &slice, .slice_count = 1, .size = (uint32_t)slice.size};
    } else if (piece) {
        buffer_release(&piece->buffer);
    }
    fetch_snapshot_response_fill(&a, answer, error, records);
    api_respond(r, &a.response);
}

static void piece_done(struct meta_piece *p)
{
    struct snapshot_piece *s = container_of(p, struct snapshot_piece, piece);
    struct api_request *r = s->request;
    snapshot_respond(r, &p->answer, p->error, s->copy);
    net_unhold(&r->net);
}

void handle_fetch_snapshot(struct api_request *r)
{
    struct fetch_snapshot_request *in = api_decode(r);
    struct snapshot_piece *s = in ? api_alloc(r, 1, sizeof *s) : NULL;
    const struct meta *meta = r->api->options.rooms.meta;
    if (!s) {
        if (in) {
            api_close(r, error_text(ERR_NO_MEMORY));
        }
        return;
    }
    int error = fetch_snapshot_request_take(in, meta_cluster_id(meta), meta_self(meta).node,
                                            &s->piece.request);
    uint32_t room = SNAPSHOT_FETCH_BYTES;
    if (!error && s->piece.request.bytes_max < SNAPSHOT_FETCH_BYTES) {
        room = (uint32_t)s->piece.request.bytes_max;
    }
    s->copy = error ? NULL : copy_new(&r->api->memory, room);
    if (!s->copy) {
        snapshot_respond(r, NULL, error ? error : ERR_NO_MEMORY, NULL);
        return;
    }
    s->request = r;
    s->piece.bytes = s->copy->bytes;
    s->piece.room = room;
    s->piece.done = piece_done;
    net_hold(&r->net);
    meta_piece(r->api->options.rooms.meta, r->api->io, &s->piece);
}
