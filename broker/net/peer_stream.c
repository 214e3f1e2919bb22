/* SPDX-License-Identifier: Apache-2.0 */

/* What goes out and what comes in.
 *
 * Requests are encoded when the last batch has left, as many as are there, into memory of the peer,
 * and sent at once: so a request has either not been touched, or it is sent and in the table of
 * flights, and what is lent to the socket is never its owner's.
 *
 *      OFFSET SIZE MEANING (of an answer)
 *           0    4 size of what follows
 *           4    4 correlation id
 *           8   .. tags of the header in flexible versions, then the body
 *
 * An answer's first bytes come into the inbox. When size and correlation id are known, it gets its
 * memory; what is in the inbox is copied there, at most one inbox, and the rest is received straight
 * into it. An answer that nobody waits for is dropped from the inbox piece by piece. */
#include "net/peer_private.h"

#include <inttypes.h>

enum {
    CORRELATION_BYTES = 4,
    FRAME_ALIGN = 64,
    WRITER_KEPT_BYTES = PEER_BATCH_BYTES, /* of memory that is worth keeping */
};

/* --- out -------------------------------------------------------------------------------------- */

/* The version in which `r` goes, or -1. */
static int peer_version(const struct peer *p, const struct peer_request *r)
{
    const struct wire_versions *spoken = peer_api(p, r->key);
    assert(spoken);
    int min = spoken->min, max = spoken->max;
    max = max < r->version_max ? max : r->version_max;
    min = min > r->version_min ? min : r->version_min;
    return max >= min ? max : -1;
}

/* Cuts off what was written since `mark`. */
static void peer_out_rewind(struct peer *p, struct wire_mark mark, bool release)
{
    for (uint32_t i = mark.splice_count; release && i < p->out.splice_count; i++) {
        slice_release(&p->out.splices[i].slice);
    }
    wire_writer_rewind(&p->out, mark);
    p->out.error = 0;
}

/* Writes the whole frame of `r`, or nothing of it. */
static int peer_encode(struct peer *p, struct peer_request *r, int version, int32_t correlation_id)
{
    const struct wire_request_header header = {
        .key = r->key,
        .version = (int16_t)version,
        .correlation_id = correlation_id,
        .client_id = wire_string_of(p->client_id),
    };
    struct wire_mark mark = wire_writer_mark(&p->out);
    size_t start = wire_writer_total(&p->out);
    wire_put_be32(&p->out, 0);
    int error = wire_request_header_encode(&header, &p->out);
    if (!error) {
        error = r->encode(r, &p->out, version);
    }
    error = error ? error : p->out.error;
    if (error) {
        peer_out_rewind(p, mark, false);
        return error;
    }
    size_t size = wire_writer_total(&p->out) - start - WIRE_FRAME_SIZE_BYTES;
    if (size > INT32_MAX) {
        peer_out_rewind(p, mark, true);
        return ERR_TOO_LARGE;
    }
    put_be32(p->out.data + mark.size, (uint32_t)size);
    return 0;
}

/* Adds a request to the batch. False when the batch is full: it goes with the next one. */
static bool peer_gather(struct peer *p, struct peer_request *r)
{
    int version = peer_version(p, r);
    if (version < 0) {
        peer_request_end(r, ERR_UNSUPPORTED_VERSION);
        return true;
    }
    int32_t id = p->correlation_id == INT32_MAX ? 0 : p->correlation_id + 1;
    int error = peer_encode(p, r, version, id);
    if (error == ERR_TOO_LARGE && p->out.size > 0) {
        return false; /* not for a batch of its own, perhaps */
    }
    if (error && r == &p->hello) {
        peer_fail(p, error, "ApiVersions cannot be written (%s)", error_text(error));
        return false;
    }
    if (error) {
        peer_request_end(r, error);
        return true;
    }
    list_remove(&r->link);
    p->correlation_id = id;
    r->state = PEER_REQUEST_SENT;
    r->version = (int16_t)version;
    r->maybe_received = true; /* peer_send() goes on to io_send() */
    assert(p->flight_count < p->options.requests_max);
    p->flights[p->flight_count++] = (struct peer_flight){r, io_now(p->io), id};
    return true;
}

static void peer_out_reset(struct peer *p)
{
    size_t limit = p->out.limit;
    if (p->out.capacity > WRITER_KEPT_BYTES) {
        wire_writer_deinit(&p->out);
        wire_writer_init(&p->out, p->memory, limit);
    }
    wire_writer_reset(&p->out);
    p->out_sent = 0;
}

void peer_send(struct peer *p)
{
    assert(p->state == PEER_GREETING || p->state == PEER_READY);
    if (!io_op_idle(&p->send)) {
        return;
    }
    if (p->out_sent == wire_writer_total(&p->out)) {
        struct list *queue = p->state == PEER_READY ? &p->waiting : &p->greeting;
        bool more = true;
        peer_out_reset(p);
        while (more && !list_empty(queue) && p->flight_count < p->options.requests_max &&
               wire_writer_total(&p->out) < PEER_BATCH_BYTES) {
            more = peer_gather(p, container_of(queue->next, struct peer_request, link));
        }
    }
    if (p->state == PEER_CLOSING || wire_writer_total(&p->out) == 0) {
        return;
    }
    int count = wire_writer_iovecs(&p->out, p->out_sent, p->iovecs, PEER_IOVECS);
    assert(count > 0);
    io_send(p->io, &p->send, p->socket, p->iovecs, (unsigned)count);
}

void peer_send_done(struct io_op *op, int64_t result)
{
    struct peer *p = container_of(op, struct peer, send);
    assert(p->magic == PEER_MAGIC);
    if (p->state == PEER_CLOSING) {
        peer_schedule(p);
        return;
    }
    if (result <= 0) {
        p->gone = p->state == PEER_READY;
        peer_fail(p, ERR_NETWORK_EXCEPTION, "lost while sending");
        return;
    }
    p->out_sent += (size_t)result;
    assert(p->out_sent <= wire_writer_total(&p->out));
    p->status.sent_bytes += (uint64_t)result;
    peer_schedule(p);
}

/* --- in --------------------------------------------------------------------------------------- */

static void frame_free(struct buffer *b)
{
    struct peer_frame *f = container_of(b, struct peer_frame, buffer);
    memory_free(f->memory, f);
}

static struct peer_frame *frame_new(struct peer *p, uint32_t size)
{
    struct peer_frame *f = memory_alloc_aligned(p->memory, sizeof *f + size, FRAME_ALIGN);
    if (f) {
        f->memory = p->memory;
        f->size = size;
        f->filled = 0;
        buffer_init(&f->buffer, f->data, size, frame_free);
    }
    return f;
}

static int peer_flight_by_id(const struct peer *p, int32_t id)
{
    for (unsigned i = 0; i < p->flight_count; i++) {
        if (p->flights[i].correlation_id == id) {
            return (int)i;
        }
    }
    return -1;
}

/* Size and correlation id of an answer are known. False when the connection ended. */
static bool peer_frame_begin(struct peer *p, uint32_t size, int32_t id)
{
    int i = peer_flight_by_id(p, id);
    if (i < 0) {
        peer_fail(p, ERR_MALFORMED, "an answer that nobody asked for, correlation id %d", (int)id);
        return false;
    }
    struct peer_request *r = p->flights[i].request;
    if (!r) {
        p->skip = size;
        peer_flight_take(p, (unsigned)i);
        return true;
    }
    if (r->answer_bytes_max && size > r->answer_bytes_max) {
        if (r != &p->hello) {
            peer_flight_take(p, (unsigned)i);
            peer_request_end(r, ERR_TOO_LARGE);
        }
        peer_fail(p, ERR_NETWORK_EXCEPTION, "an answer of %" PRIu32 " bytes to %s, above %" PRIu32,
                  size, wire_api_find(r->key)->name, r->answer_bytes_max);
        return false;
    }
    p->frame = frame_new(p, size);
    if (!p->frame && r == &p->hello) {
        peer_fail(p, ERR_NO_MEMORY, "no memory for its answer to ApiVersions");
        return false;
    }
    if (!p->frame) {
        p->skip = size;
        peer_flight_take(p, (unsigned)i);
        peer_request_end(r, ERR_NO_MEMORY);
    }
    return true;
}

/* Takes size and correlation id out of the inbox. False when they are not there yet, or the
 * connection ended. */
static bool peer_parse_head(struct peer *p)
{
    const uint8_t *at = p->inbox + p->inbox_start;
    uint32_t have = p->inbox_end - p->inbox_start;
    if (have < WIRE_FRAME_SIZE_BYTES) {
        return false;
    }
    uint32_t size = get_be32(at);
    if (size < CORRELATION_BYTES || size > p->options.answer_bytes_max) {
        peer_fail(p, ERR_MALFORMED, "an answer of %" PRId32 " bytes, not of 4 to %" PRIu32,
                  (int32_t)size, p->options.answer_bytes_max);
        return false;
    }
    if (have < WIRE_FRAME_SIZE_BYTES + CORRELATION_BYTES) {
        return false;
    }
    p->inbox_start += WIRE_FRAME_SIZE_BYTES;
    return peer_frame_begin(p, size, (int32_t)get_be32(at + WIRE_FRAME_SIZE_BYTES));
}

/* A whole answer is there. False when the connection ended. */
static bool peer_deliver(struct peer *p)
{
    struct peer_frame *f = p->frame;
    int i = peer_flight_by_id(p, (int32_t)get_be32(f->data));
    assert(i >= 0);
    p->frame = NULL;
    struct peer_request *r = peer_flight_take(p, (unsigned)i);
    struct reader reader = reader_of(f->data, f->size);
    int32_t id;
    if (!r) {
        buffer_release(&f->buffer); /* given up while it came */
        return true;
    }
    if (wire_response_header_decode(wire_api_find(r->key), r->version, &id, &reader)) {
        assert(r != &p->hello); /* whose header has no tags */
        buffer_release(&f->buffer);
        peer_request_end(r, ERR_MALFORMED);
        peer_fail(p, ERR_NETWORK_EXCEPTION, "an answer with a malformed header to %s",
                  wire_api_find(r->key)->name);
        return false;
    }
    deadline_cancel(&p->deadlines, &r->deadline);
    size_t left = reader_left(&reader);
    struct peer_answer answer = {
        .maybe_received = true,
        .version = r->version,
        .body = {f->data + (f->size - left), left, &f->buffer},
    };
    r->peer = NULL;
    r->state = PEER_REQUEST_IDLE;
    r->done(r, &answer);
    buffer_release(&f->buffer);
    return p->state != PEER_CLOSING;
}

/* Handles what is in the inbox, all of it but a part of a head. */
static void peer_parse(struct peer *p)
{
    for (;;) {
        uint32_t have = p->inbox_end - p->inbox_start;
        uint32_t skip = p->skip < have ? p->skip : have;
        p->skip -= skip;
        p->inbox_start += skip;
        have -= skip;
        if (p->skip > 0 || (!p->frame && !peer_parse_head(p))) {
            return;
        }
        if (!p->frame) {
            continue;
        }
        have = p->inbox_end - p->inbox_start;
        uint32_t missing = p->frame->size - p->frame->filled;
        uint32_t take = have < missing ? have : missing;
        memcpy(p->frame->data + p->frame->filled, p->inbox + p->inbox_start, take);
        p->frame->filled += take;
        p->inbox_start += take;
        if (p->frame->filled < p->frame->size || !peer_deliver(p)) {
            return;
        }
    }
}

void peer_receive(struct peer *p)
{
    assert(p->state == PEER_GREETING || p->state == PEER_READY || p->state == PEER_CLOSING);
    if (p->state == PEER_CLOSING || !io_op_idle(&p->receive)) {
        return;
    }
    if (p->frame) {
        assert(p->inbox_start == p->inbox_end);
        io_recv(p->io, &p->receive, p->socket, p->frame->data + p->frame->filled,
                p->frame->size - p->frame->filled);
        return;
    }
    memmove(p->inbox, p->inbox + p->inbox_start, p->inbox_end - p->inbox_start);
    p->inbox_end -= p->inbox_start;
    p->inbox_start = 0;
    assert(p->inbox_end < WIRE_FRAME_SIZE_BYTES + CORRELATION_BYTES);
    io_recv(p->io, &p->receive, p->socket, p->inbox + p->inbox_end,
            PEER_INBOX_BYTES - p->inbox_end);
}

void peer_receive_done(struct io_op *op, int64_t result)
{
    struct peer *p = container_of(op, struct peer, receive);
    assert(p->magic == PEER_MAGIC);
    if (p->state == PEER_CLOSING) {
        peer_schedule(p);
        return;
    }
    if (result <= 0) {
        p->gone = p->state == PEER_READY;
        peer_fail(p, ERR_NETWORK_EXCEPTION, "%s",
                  result == 0 ? "closed by the other side" : "lost");
        return;
    }
    p->received_ns = io_now(p->io);
    p->status.received_bytes += (uint64_t)result;
    if (p->frame) {
        p->frame->filled += (uint32_t)result;
        assert(p->frame->filled <= p->frame->size);
        if (p->frame->filled == p->frame->size) {
            peer_deliver(p);
        }
    } else {
        p->inbox_end += (uint32_t)result;
        assert(p->inbox_end <= PEER_INBOX_BYTES);
        peer_parse(p);
    }
    peer_schedule(p);
    if (p->state != PEER_CLOSING) {
        peer_receive(p);
    }
}

void peer_stream_reset(struct peer *p)
{
    assert(io_op_idle(&p->send) && io_op_idle(&p->receive));
    if (p->frame) {
        buffer_release(&p->frame->buffer);
        p->frame = NULL;
    }
    p->skip = 0;
    p->inbox_start = p->inbox_end = 0;
    peer_out_reset(p);
}
