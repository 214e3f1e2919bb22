/* SPDX-License-Identifier: Apache-2.0 */

#include "peer_world.h"

#include <stdlib.h>

#include <criterion/criterion.h>

static uint8_t lent_bytes[1 << 20];

/* --- the brokers ------------------------------------------------------------------------------ */

static struct io *fake_io(const struct fake *f)
{
    return sim_node_shard(f->node, 0);
}

static void fake_push(struct fake_connection *c)
{
    if (c->socket && io_op_idle(&c->send) && c->out_sent < c->out_size) {
        struct iovec iovec = {c->out + c->out_sent, c->out_size - c->out_sent};
        static struct iovec iovecs[FAKES][FAKE_CONNECTIONS_MAX];
        struct iovec *kept = &iovecs[c->fake - c->fake->w->fakes][c - c->fake->connections];
        *kept = iovec;
        io_send(fake_io(c->fake), &c->send, c->socket, kept, 1);
    }
}

static void fake_sent(struct io_op *op, int64_t result)
{
    struct fake_connection *c = container_of(op, struct fake_connection, send);
    if (result > 0) {
        c->out_sent += (size_t)result;
        fake_push(c);
    } else {
        fake_close(c);
    }
}

/* What is being sent stays where it is: the memory is never moved. */
void fake_raw(struct fake_connection *c, const void *bytes, size_t size)
{
    if (!c->socket) {
        return;
    }
    if (!c->out) {
        c->out = malloc(c->fake->w->out_max);
        cr_assert_not_null(c->out);
    }
    cr_assert_leq(c->out_size + size, c->fake->w->out_max);
    memcpy(c->out + c->out_size, bytes, size);
    c->out_size += size;
    fake_push(c);
}

static void fake_greet(struct fake_connection *c, const struct wire_request_header *h)
{
    struct fake *f = c->fake;
    struct api_versions_response_api_keys keys[200];
    struct api_versions_response body;
    int version = h->version;
    api_versions_response_init(&body);
    body.api_keys = keys;
    for (int i = 0; i < wire_api_count; i++) {
        struct wire_versions v = wire_apis[i].versions;
        if (wire_apis[i].key == WIRE_VOTE) {
            v.max = f->vote_max;
        } else if (wire_apis[i].key == WIRE_API_VERSIONS && f->greeting != GREET) {
            v.max = 2;
        }
        if (v.max >= v.min) {
            keys[body.api_keys_count++] =
                (struct api_versions_response_api_keys){wire_apis[i].key, v.min, v.max};
        }
    }
    if (f->greeting == GREET_LIAR || (f->greeting == GREET_OLD && version > 2)) {
        body.error_code = 35;
        version = 0;
    } else if (f->greeting == GREET_REFUSE) {
        body.error_code = 31;
        body.api_keys_count = 0;
    }
    struct memory memory;
    struct wire_writer out;
    memory_init(&memory, SIZE_MAX);
    wire_writer_init(&out, &memory, 1 << 20);
    wire_frame_begin(&out);
    cr_assert_eq(wire_response_header_encode(wire_api_find(WIRE_API_VERSIONS), version,
                                             h->correlation_id, &out),
                 0);
    cr_assert_eq(api_versions_response_encode(&body, &out, version), 0);
    cr_assert_eq(wire_frame_end(&out), 0);
    fake_raw(c, out.data, out.size);
    wire_writer_deinit(&out);
    memory_drop(&memory);
}

static void fake_hello(struct fake_connection *c, const struct wire_request_header *h)
{
    uint8_t bytes[64] = {0};
    switch (c->fake->greeting) {
    case GREET_SILENT:
        return;
    case GREET_CLOSE:
        fake_close(c);
        return;
    case GREET_HUGE:
        put_be32(bytes, 1 << 20);
        put_be32(bytes + 4, (uint32_t)h->correlation_id);
        fake_raw(c, bytes, sizeof bytes);
        return;
    case GREET_GARBAGE:
        put_be32(bytes, sizeof bytes - 4);
        put_be32(bytes + 4, (uint32_t)h->correlation_id);
        memset(bytes + 10, 0xee, sizeof bytes - 10);
        fake_raw(c, bytes, sizeof bytes);
        return;
    default:
        fake_greet(c, h);
    }
}

static void fake_frame(struct fake_connection *c, const uint8_t *frame, uint32_t size)
{
    struct peer_world *w = c->fake->w;
    struct wire_request_header h;
    struct reader r = reader_of(frame, size);
    cr_assert_eq(wire_request_header_decode(&h, &r), 0);
    cr_assert_eq(h.client_id.size, 5);
    h.client_id = wire_string_null();
    if (h.key == WIRE_API_VERSIONS) {
        fake_hello(c, &h);
        return;
    }
    uint32_t left = (uint32_t)reader_left(&r);
    cr_assert_geq(left, 4);
    const uint8_t *body = frame + size - left;
    uint32_t mark = get_be32(body);
    for (uint32_t i = 4; i < left; i++) {
        cr_assert_eq(body[i], (uint8_t)i, "byte %u of request %u", i, mark);
    }
    cr_assert_gt(mark, c->last_mark, "requests come in the order of their submission");
    c->last_mark = mark;
    cr_assert_lt(w->seen_count, ITEMS_MAX);
    w->seen[w->seen_count++] = (struct seen){c, h, mark, left, false};
    if (c->fake->answers) {
        fake_answer(w, w->seen_count - 1, left);
    }
}

static void fake_read(struct fake_connection *c)
{
    enum { IN_MAX = 2 << 20 };
    if (!c->in) {
        c->in = malloc(IN_MAX);
        cr_assert_not_null(c->in);
    }
    if (c->socket && !c->deaf && io_op_idle(&c->receive)) {
        io_recv(fake_io(c->fake), &c->receive, c->socket, c->in + c->in_size, IN_MAX - c->in_size);
    }
}

static void fake_received(struct io_op *op, int64_t result)
{
    struct fake_connection *c = container_of(op, struct fake_connection, receive);
    if (result <= 0) {
        fake_close(c);
        return;
    }
    c->in_size += (size_t)result;
    size_t at = 0;
    while (c->socket && c->in_size - at >= 4) {
        uint32_t size = get_be32(c->in + at);
        if (c->in_size - at - 4 < size) {
            break;
        }
        fake_frame(c, c->in + at + 4, size);
        at += 4 + (size_t)size;
    }
    memmove(c->in, c->in + at, c->in_size - at);
    c->in_size -= at;
    fake_read(c);
}

void fake_close(struct fake_connection *c)
{
    if (c->socket) {
        io_socket_close(fake_io(c->fake), c->socket);
        c->socket = NULL;
    }
}

static void fake_accepted(struct io_op *op, int64_t result)
{
    struct fake *f = container_of(op, struct fake, accept);
    if (result < 0) {
        return;
    }
    cr_assert_lt(f->connection_count, FAKE_CONNECTIONS_MAX);
    struct fake_connection *c = &f->connections[f->connection_count++];
    c->fake = f;
    c->socket = f->accepted;
    c->receive.done = fake_received;
    c->send.done = fake_sent;
    fake_read(c);
    io_accept(fake_io(f), &f->accept, f->listener, &f->accepted);
}

void fake_listen(struct fake *f, bool listen)
{
    if (!listen && f->listener) {
        io_listener_close(fake_io(f), f->listener);
        f->listener = NULL;
        peer_world_run(f->w, MS_NS);
    } else if (listen && !f->listener) {
        uint16_t port;
        cr_assert_eq(io_listen(fake_io(f), &f->listener, sim_node_name(f->node), FAKE_PORT, &port),
                     0);
        io_accept(fake_io(f), &f->accept, f->listener, &f->accepted);
    }
}

struct fake_connection *fake_last(struct fake *f)
{
    cr_assert_gt(f->connection_count, 0);
    return &f->connections[f->connection_count - 1];
}

unsigned fake_open_connections(const struct fake *f)
{
    unsigned open = 0;
    for (unsigned i = 0; i < f->connection_count; i++) {
        open += f->connections[i].socket != NULL;
    }
    return open;
}

void fake_answer(struct peer_world *w, unsigned n, uint32_t size)
{
    cr_assert_lt(n, w->seen_count);
    struct seen *s = &w->seen[n];
    const struct wire_api *api = wire_api_find(s->header.key);
    uint32_t head = 8 + (s->header.version >= api->flexible);
    uint8_t *frame = malloc(head + (size_t)size);
    cr_assert_not_null(frame);
    put_be32(frame, head - 4 + size);
    put_be32(frame + 4, (uint32_t)s->header.correlation_id);
    frame[head - 1] = head == 9 ? 0 : frame[head - 1];
    for (uint32_t i = 0; i < size; i++) {
        frame[head + i] = (uint8_t)(s->mark + i);
    }
    s->answered = true;
    fake_raw(s->connection, frame, head + (size_t)size);
    free(frame);
}

/* --- requests --------------------------------------------------------------------------------- */

static int item_encode(struct peer_request *r, struct wire_writer *out, int version)
{
    struct item *i = container_of(r, struct item, request);
    i->encoded++;
    wire_put_be32(out, i->mark);
    if (i->refuse) {
        return i->refuse;
    }
    if (i->spliced) {
        struct slice slice = {lent_bytes + 4, i->size - 4, buffer_take(&i->w->lent)};
        if (!wire_writer_splice(out, slice)) {
            buffer_release(&i->w->lent);
        }
    } else {
        wire_put(out, lent_bytes + 4, i->size - 4);
    }
    return 0;
}

static void item_start(struct item *i)
{
    i->mark = ++i->w->marks;
    cr_assert_lt(i->mark, MARKS_MAX);
    i->submitted++;
    peer_submit(i->w->peer, &i->request);
}

static void item_done(struct peer_request *r, const struct peer_answer *a)
{
    struct item *i = container_of(r, struct item, request);
    struct peer_world *w = i->w;
    i->done++;
    cr_assert_eq(i->done, i->submitted, "done() once for each submission");
    i->error = a->error;
    i->version = a->version;
    i->maybe_received = a->maybe_received;
    w->unsent[i->mark] = !a->maybe_received;
    i->done_ns = sim_now(w->sim);
    i->body_size = a->body.size;
    for (size_t k = 0; k < a->body.size; k++) {
        cr_assert_eq(a->body.data[k], (uint8_t)(i->mark + k), "byte %zu of answer %u", k, i->mark);
    }
    if (i->keep && !a->error) {
        i->kept = a->body;
        buffer_take(a->body.buffer);
    }
    bool connection =
        a->error == ERR_REFUSED || a->error == ERR_NETWORK_EXCEPTION || a->error == ERR_MALFORMED;
    if (i->again && connection) {
        item_start(i);
    }
}

struct item *item_new(struct peer_world *w)
{
    cr_assert_lt(w->item_count, ITEMS_MAX);
    struct item *i = &w->items[w->item_count++];
    *i = (struct item){.w = w, .size = 100};
    i->request = (struct peer_request){.key = WIRE_VOTE,
                                       .version_min = 0,
                                       .version_max = wire_api_find(WIRE_VOTE)->versions.max,
                                       .encode = item_encode,
                                       .done = item_done};
    return i;
}

static void do_submit(struct peer_world *w, unsigned n)
{
    item_start(&w->items[n]);
}

static void do_cancel(struct peer_world *w, unsigned n)
{
    unsigned before = w->items[n].done;
    peer_cancel(&w->items[n].request);
    cr_assert_eq(w->items[n].done, before, "done() never comes from inside a call");
}

static void do_submit_all(struct peer_world *w, unsigned range)
{
    for (unsigned i = range >> 16; i < (range & 0xffff); i++) {
        item_start(&w->items[i]);
    }
}

static void on_closed(struct peer_close *c)
{
    struct peer_world *w = container_of(c, struct peer_world, close);
    cr_assert(!w->closed);
    w->closed = true;
    w->peer = NULL;
}

static void do_close(struct peer_world *w, unsigned n)
{
    w->close.done = on_closed;
    peer_close(w->peer, &w->close);
    cr_assert(!w->closed);
}

static void do_addresses(struct peer_world *w, unsigned fakes)
{
    struct peer_address addresses[FAKES];
    unsigned count = 0;
    for (unsigned i = 0; i < FAKES; i++) {
        if (fakes & 1u << i) {
            addresses[count++] = (struct peer_address){sim_node_name(w->fakes[i].node), FAKE_PORT};
        }
    }
    peer_addresses(w->peer, addresses, count);
}

void item_submit(struct item *i)
{
    peer_world_do(i->w, do_submit, (unsigned)(i - i->w->items));
}

void items_submit(struct peer_world *w, unsigned first, unsigned count)
{
    peer_world_do(w, do_submit_all, first << 16 | (first + count));
}

void item_cancel(struct item *i)
{
    peer_world_do(i->w, do_cancel, (unsigned)(i - i->w->items));
}

void peer_world_close_peer(struct peer_world *w)
{
    peer_world_do(w, do_close, 0);
}

void peer_world_addresses(struct peer_world *w, unsigned fakes)
{
    peer_world_do(w, do_addresses, fakes);
}

/* --- the world -------------------------------------------------------------------------------- */

void peer_world_run(struct peer_world *w, uint64_t ns)
{
    sim_run(w->sim, sim_now(w->sim) + ns);
}

static void delivered(struct io_message *m, struct io *io)
{
    struct peer_world *w = container_of(m, struct peer_world, message);
    void (*what)(struct peer_world *, unsigned) = w->what;
    w->what = NULL;
    what(w, w->number);
}

void peer_world_do(struct peer_world *w, void (*what)(struct peer_world *w, unsigned number),
                   unsigned number)
{
    w->what = what;
    w->number = number;
    w->message.deliver = delivered;
    io_post(sim_node_shard(w->node, 0), 0, &w->message);
    while (w->what) {
        cr_assert(sim_step(w->sim));
    }
}

static void lent_free(struct buffer *b)
{
    cr_assert_fail("the test holds a reference");
}

static void fake_start(struct io *io, void *argument)
{
}

static void node_start(struct io *io, void *argument)
{
    struct peer_world *w = argument;
    w->options.io = io;
    cr_assert_eq(peer_open(&w->peer, &w->options), 0);
}

void peer_world_open(struct peer_world *w, const struct peer_options *options, uint64_t seed)
{
    peer_world_open_told(w, options, seed, NULL);
}

void peer_world_open_told(struct peer_world *w, const struct peer_options *options, uint64_t seed,
                          FILE *story)
{
    static const struct peer_address first = {"fake0", FAKE_PORT};
    *w = (struct peer_world){.options = options ? *options : (struct peer_options){0}};
    w->items = calloc(ITEMS_MAX, sizeof *w->items);
    w->seen = calloc(ITEMS_MAX, sizeof *w->seen);
    w->unsent = calloc(MARKS_MAX, sizeof *w->unsent);
    w->out_max = 1 << 20;
    cr_assert(w->items && w->seen && w->unsent);
    for (size_t i = 0; i < sizeof lent_bytes; i++) {
        lent_bytes[i] = (uint8_t)i;
    }
    buffer_init(&w->lent, lent_bytes, sizeof lent_bytes, lent_free);
    memory_init(&w->memory, SIZE_MAX);
    w->sim =
        sim_new(&(struct sim_options){.seed = seed, .story = getenv("STORY") ? stderr : story});
    cr_assert_not_null(w->sim);
    for (unsigned i = 0; i < FAKES; i++) {
        struct fake *f = &w->fakes[i];
        f->w = w;
        f->vote_max = wire_api_find(WIRE_VOTE)->versions.max;
        f->node = sim_node_new(w->sim, i ? "fake1" : "fake0");
        f->accept.done = fake_accepted;
        sim_node_start(f->node, 1, fake_start, f);
    }
    w->options.name = "node 2";
    w->options.memory = &w->memory;
    if (!w->options.addresses) {
        w->options.addresses = &first;
        w->options.address_count = 1;
    }
    w->node = sim_node_new(w->sim, "node");
    sim_node_start(w->node, 1, node_start, w);
    peer_world_run(w, MS_NS);
    cr_assert_not_null(w->peer);
    for (unsigned i = 0; i < FAKES; i++) {
        fake_listen(&w->fakes[i], true);
    }
}

void peer_world_close(struct peer_world *w)
{
    if (!w->closed) {
        peer_world_close_peer(w);
    }
    peer_world_run(w, SECOND_NS);
    cr_assert(w->closed, "peer_close() is done");
    for (unsigned i = 0; i < w->item_count; i++) {
        struct item *item = &w->items[i];
        cr_assert_eq(item->done, item->submitted, "request %u is done", i);
        slice_release(&item->kept);
    }
    for (unsigned n = 0; n < w->seen_count; n++) {
        cr_assert(!w->unsent[w->seen[n].mark], "request %u was received", w->seen[n].mark);
    }
    cr_assert_eq(w->lent.references, 1, "every slice was released");
    cr_assert_eq(w->memory.used_bytes, 0, "%zu bytes are left", w->memory.used_bytes);
    for (unsigned k = 0; k < FAKES; k++) {
        struct fake *f = &w->fakes[k];
        cr_assert_eq(fake_open_connections(f), 0, "every connection was closed");
        for (unsigned i = 0; i < f->connection_count; i++) {
            free(f->connections[i].in);
            free(f->connections[i].out);
        }
    }
    sim_free(w->sim);
    free(w->items);
    free(w->seen);
    free(w->unsent);
}
