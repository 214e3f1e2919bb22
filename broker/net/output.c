/* SPDX-License-Identifier: Apache-2.0 */

/* What goes out: at the end of a turn all answers that are ready, in the order of their requests
 * (N1), leave by one send. Slices of the log are released when their answer has left. When sockets hold
 * too much of the log's memory, the answers of a connection that takes nothing are copied to own
 * memory; if even that is too much, the connection is closed. */
#include "net/connection.h"

#include <errno.h>

static const uint64_t ms_ns = 1000000, second_ns = UINT64_C(1000000000);

static struct net_request *output_first(struct net_connection *c)
{
    struct list *node = list_first(&c->requests);
    return node ? container_of(node, struct net_request, link) : NULL;
}

/* How long the first answer may take: a stall, and the time that its size allows. */
static void output_set_deadline(struct net_connection *c)
{
    struct net_request *r = output_first(c);
    if (!r || r->state != REQUEST_READY) {
        c->output_deadline_ns = 0;
        list_remove(&c->sending);
        return;
    }
    const struct net_options *o = &c->net->options;
    uint64_t now = io_now(c->net->io);
    c->progress_ns = now;
    c->output_deadline_ns = now + o->stall_ms * ms_ns +
                            (uint64_t)wire_writer_total(&r->response) * second_ns / o->rate_min;
    list_remove(&c->sending);
    list_append(&c->net->sending, &c->sending);
}

/* To the end of those at the front that are ready: of the first, a part may have left. */
static void output_overtake(struct net_connection *c, struct net_request *r)
{
    struct list *at = c->requests.next;
    while (at != &r->link && container_of(at, struct net_request, link)->state == REQUEST_READY) {
        at = at->next;
    }
    if (at != &r->link) {
        list_remove(&r->link);
        list_append(at, &r->link);
    }
}

void output_ready(struct net_connection *c, struct net_request *r)
{
    struct net *net = c->net;
    assert(r->state == REQUEST_WORKING);
    if (r->overtakes) {
        output_overtake(c, r);
    }
    r->state = REQUEST_READY;
    c->response_bytes += wire_writer_total(&r->response);
    c->lent_bytes += r->response.spliced_bytes;
    net->lent_bytes += r->response.spliced_bytes;
    if (net->lent_bytes > net->options.lent_bytes_max / 4 * 3) {
        net->crowded = true;
        io_turn_end(net->io, &net->turn);
    }
    if (net_tight(net)) {
        io_turn_end(net->io, &net->turn);
    }
    if (c->output_deadline_ns == 0 && output_first(c) == r) {
        output_set_deadline(c);
    }
    io_turn_end(net->io, &c->turn);
}

void output_forget(struct net_connection *c, struct net_request *r)
{
    struct net *net = c->net;
    assert(c->request_count > 0);
    c->request_count--;
    if (r->state != REQUEST_READY) {
        return;
    }
    assert(c->response_bytes >= wire_writer_total(&r->response));
    assert(net->lent_bytes >= r->response.spliced_bytes);
    c->response_bytes -= wire_writer_total(&r->response);
    c->lent_bytes -= r->response.spliced_bytes;
    net->lent_bytes -= r->response.spliced_bytes;
    if (net->crowded && net->lent_bytes < net->options.lent_bytes_max / 2) {
        io_turn_end(net->io, &net->turn);
    }
}

void output_send(struct net_connection *c)
{
    struct net *net = c->net;
    if (!io_op_idle(&c->send)) {
        return;
    }
    struct net_request *first = output_first(c);
    if (first && first->state == REQUEST_CLOSE) {
        connection_close(c);
        return;
    }
    if (!first || first->state != REQUEST_READY) {
        c->output_deadline_ns = 0;
        list_remove(&c->sending);
        return;
    }
    bool one = first->link.next == &c->requests && first->response.splice_count == 0;
    if (!one && !c->iovecs) {
        c->iovecs = pool_take(&net->iovecs_pool);
    }
    struct iovec *out = c->iovecs ? c->iovecs->entries : c->few;
    int capacity = c->iovecs ? NET_IOVECS : CONNECTION_IOVECS, used = 0;
    list_each (node, &c->requests) {
        struct net_request *r = container_of(node, struct net_request, link);
        if (r->state != REQUEST_READY || used == capacity) {
            break;
        }
        used +=
            wire_writer_iovecs(&r->response, r == first ? c->sent : 0, out + used, capacity - used);
    }
    assert(used > 0);
    if (c->output_deadline_ns == 0) {
        output_set_deadline(c);
    }
    io_send(net->io, &c->send, c->socket, out, (unsigned)used);
}

/* Takes `size` sent bytes from the front; whole answers are over. */
static void output_advance(struct net_connection *c, size_t size)
{
    while (size > 0) {
        struct net_request *r = output_first(c);
        assert(r && r->state == REQUEST_READY);
        size_t left = wire_writer_total(&r->response) - c->sent;
        if (size < left) {
            c->sent += size;
            return;
        }
        size -= left;
        c->sent = 0;
        list_remove(&r->link);
        output_forget(c, r);
        r->connection = NULL;
        request_over(r);
        output_set_deadline(c);
    }
}

/* Copies what is left of the answers that wait; false: too much, or no memory. Half of the memory is
 * left to those who take their answers, and to those who hold little. */
static bool output_copy(struct net_connection *c)
{
    struct net *net = c->net;
    if (c->response_bytes > net->options.response_bytes_max * NET_HARD_FACTOR ||
        (c->lent_bytes > NET_LENT_LITTLE &&
         net->memory->used_bytes + c->lent_bytes > net->memory->budget_bytes / 2)) {
        return false;
    }
    list_each (node, &c->requests) {
        struct net_request *r = container_of(node, struct net_request, link);
        if (r->state != REQUEST_READY || r->response.splice_count == 0) {
            continue;
        }
        bool first = node == c->requests.next;
        size_t offset = first ? c->sent : 0, total = wire_writer_total(&r->response);
        struct wire_writer copy;
        wire_writer_init(&copy, net->memory, total - offset);
        while (offset < total && !copy.error) {
            struct iovec piece;
            int count = wire_writer_iovecs(&r->response, offset, &piece, 1);
            assert(count == 1);
            wire_put(&copy, piece.iov_base, piece.iov_len);
            offset += piece.iov_len;
        }
        if (copy.error) {
            wire_writer_deinit(&copy);
            return false;
        }
        uint64_t lent = r->response.spliced_bytes;
        c->response_bytes -= total - copy.size;
        c->lent_bytes -= lent;
        net->lent_bytes -= lent;
        wire_writer_deinit(&r->response);
        r->response = copy;
        c->sent = first ? 0 : c->sent;
        net->status.copied_answers++;
    }
    assert(c->lent_bytes == 0);
    return true;
}

void output_unlend(struct net_connection *c)
{
    if (!io_op_idle(&c->send)) {
        c->unlend = true;
        io_cancel(c->net->io, &c->send);
        return;
    }
    c->unlend = false;
    if (!output_copy(c)) {
        connection_give_up(c, "does not take its answers, and the memory for them is used up");
    }
}

void output_done(struct io_op *op, int64_t result)
{
    struct net_connection *c = container_of(op, struct net_connection, send);
    struct net *net = c->net;
    assert(c->magic == CONNECTION_MAGIC);
    io_turn_end(net->io, &c->turn);
    if (c->iovecs) {
        pool_give(&net->iovecs_pool, c->iovecs);
        c->iovecs = NULL;
    }
    if (c->closing) {
        return;
    }
    if (result == -ECANCELED && c->unlend) {
        result = 0;
    } else if (result <= 0) {
        connection_close(c);
        return;
    }
    if (result > 0) {
        net->status.sent_bytes += (uint64_t)result;
        c->active_ns = c->progress_ns = io_now(net->io);
        output_advance(c, (size_t)result);
    }
    if (c->unlend) {
        output_unlend(c);
        io_turn_end(net->io, &net->turn);
    }
}
