/* SPDX-License-Identifier: Apache-2.0 */

/* net: listeners, connections and frames of one shard.
 *
 * It knows sizes and order, and nothing of what the bytes mean. A frame that has come whole goes up
 * as a struct net_request; the upper room fills the request's writer and calls net_respond(), at
 * once or later, in any order: answers leave each connection in the order of its requests
 * (PROTOCOL 9, trap 8), but for those that may overtake. All answers that are finished in one turn of
 * the loop leave a connection by one send.
 *
 * Memory is reserved before it is filled: the bytes of a body are taken from the shard's request
 * pool before the body is read; without credit the connection is not read, which TCP tells the client
 * (RELIABILITY 6, O2). A request may take a quarter of the pool. Small frames and large ones wait apart, each
 * kind first come first served: else a dozen slow uploads keep votes, heartbeats and fetches out, and the node
 * out of its cluster.
 *
 * Invariants
 *   N1  Answers leave a connection in the order of its requests, but for those that may overtake
 *       (net_overtake()); a dropped request leaves none.
 *   N2  request() is called once for each frame; then exactly one of net_respond(), net_drop(),
 *       net_close() is called for it, whatever has become of the connection.
 *   N3  The sum of the bodies that are out never passes request_pool_bytes.
 *   N4  An idle connection holds less than 4 KiB.
 *   N5  When slices lent to sockets pass three quarters of lent_bytes_max, nothing more is read from
 *       those who have not taken theirs, and net_crowded() asks the upper room to lend the others
 *       little: who takes what he asks for does not wait for those who do not. A connection that
 *       takes nothing for a second has its answers copied to own memory, or is closed when they are
 *       too large for that or half of the memory is used. Above four times the limit this happens
 *       at once, oldest first, to those who hold more than an equal share of the limit. Who holds
 *       little (16 KiB) is spared: it is not what uses memory up.
 *   N6  A frame of at most 64 KiB (in a pool below 4 MiB: about a 64th of it) is small. Large ones never
 *       have more than seven eighths of the pool and of requests_total_max. While a large one waits, small
 *       ones get no more than half of the pool and seven eighths of the requests, so that its turn comes.
 *   N7  Who holds memory that others wait for makes progress worth it: after two seconds (sweeps) in which
 *       others waited, a tenth of the body for each further one, else its connection ends; so does one of
 *       which nothing comes for a second. No more slow ones end in one sweep than the largest frame needs.
 *       While nobody waits, only rate_min counts. A small body holds nothing that large ones wait for.
 *   N8  connections_max is for clients. Beside them brokers_max connections may be those of other brokers, and as
 *       many wait for their first request, which tells what they are (net_admit()): the oldest of these goes
 *       when one more comes, and of the brokers one that has been silent for a second.
 *
 * A struct net belongs to one shard. Shards listen on the same port side by side. */
#pragma once

#include "base/errors.h"
#include "io/io.h"
#include "wire/writer.h"

struct net;
struct net_connection;

/* One request, from its frame to its answer. The upper room's request struct begins with it. */
struct net_request {
    uint8_t *frame; /* without the size; lent until the request is answered and no hold is left */
    uint32_t size;
    uint32_t holds;                    /* net_hold() */
    struct wire_writer response;       /* empty: begin with wire_frame_begin() */
    struct net_connection *connection; /* NULL: the connection has gone, nobody waits */
    struct net *net;
    unsigned listener;   /* whose connection it came on, as net_listen() was called, from 0 */
    uint64_t arrived_ns; /* io_now() when the frame was whole */
    uint8_t state;       /* net's */
    bool overtakes;      /* net's */
    uint32_t reserved;   /* net's: bytes of the pool */
    struct list link;    /* net's: in the connection, by order of arrival */
};

/* Zero means the default beside it. */
struct net_options {
    uint32_t connections_max;    /* of this shard: 10000 */
    uint32_t brokers_max;        /* beside these, of other brokers: a 16th of it, 8 to 256 */
    uint32_t request_bytes_max;  /* of a frame: 100 MiB; never more than a quarter of the pool */
    uint64_t request_pool_bytes; /* 64 MiB; an eighth is only for small frames (N6) */
    uint32_t requests_max;       /* of one connection in progress: 64; further ones are not read */
    uint32_t requests_total_max; /* of the shard in progress: 16384 */
    uint64_t response_bytes_max; /* waiting in one connection: 4 MiB; beyond it nothing is read */
    uint64_t lent_bytes_max;     /* slices in all connections: 24 MiB */
    uint32_t rate_min;           /* bytes per second of a body or an answer in progress: 65536 */
    uint64_t idle_ms;            /* without a request: 600000 */
    uint64_t stall_ms;           /* an answer of which nothing is taken: 30000 */
    struct memory *memory;       /* for all but the bodies of requests: that of the shard */

    size_t
        request_size; /* of the upper room's request struct, which begins with struct net_request */
    /* A whole frame. The bytes of the struct behind net_request are as the last release() left them
     * (zeros at first). */
    void (*request)(void *context, struct net_request *r);
    /* The connection of a request in progress has gone: it may be finished early. NULL: not wanted.
     */
    void (*abandoned)(void *context, struct net_request *r);
    /* The request is over; its struct will be used again. */
    void (*release)(void *context, struct net_request *r);
    /* The struct itself goes: what hangs on it is freed. */
    void (*discard)(void *context, struct net_request *r);
    void *context;
};

/* NULL: out of memory. Listens only after net_listen(). */
struct net *net_new(struct io *io, const struct net_options *options) MUST_CHECK;

enum { NET_LISTENERS_MAX = 16 };

/* Begins to accept on one more address, NET_LISTENERS_MAX at most; port 0: any, *port_out is what it
 * got. `host` is lent for the call. 0 or a negative errno. */
int net_listen(struct net *net, const char *host, uint16_t port, uint16_t *port_out) MUST_CHECK;

/* Who asks: another broker or a client. Whether its connection may stay (N8); if not, net_close() follows. */
bool net_admit(struct net_request *r, bool broker) MUST_CHECK;

/* The answer stands whole (wire_frame_end() was called) in r->response. A latched error in the
 * writer closes the connection. */
void net_respond(struct net_request *r);

/* The answer may leave before those of earlier requests: whoever asked matches answers by their correlation ids.
 * Before net_respond(). */
void net_overtake(struct net_request *r);

/* No answer is owed (acks=0). */
void net_drop(struct net_request *r);

/* Closes the connection, after the answers of earlier requests have left. */
void net_close(struct net_request *r);

/* Keeps frame and request after the answer, for operations that still read them. */
void net_hold(struct net_request *r);
void net_unhold(struct net_request *r);

/* Between the two no further request of its connection goes up: what comes later must not overtake
 * what this one still has to do. Once each, between request() and the answer. */
void net_pause(struct net_request *r);
void net_resume(struct net_request *r);

/* Stops accepting and reading, lets requests in progress be answered and their answers leave for at
 * most `timeout_ms`, then closes every connection. done() when no request is left. */
struct net_stop {
    void (*done)(struct net_stop *s);
};
void net_stop(struct net *net, struct net_stop *s, uint64_t timeout_ms);

/* After net_stop() is done; NULL is accepted. */
void net_free(struct net *net);

/* Before a request is handled: when hardly any memory is left, closes connections that hold it with
 * answers that they do not take. */
void net_make_room(struct net *net);

/* Whether sockets hold so much of the log's memory that little more should be lent to them now: until
 * it has fallen below half of the limit. */
bool net_crowded(const struct net *net);

/* Whether half of the requests that may be in progress are: none should wait for long now. */
bool net_busy(const struct net *net);

/* "host:port" of a request's connection, or "-". */
void net_peer(const struct net_request *r, char out[static IO_ADDRESS_MAX]);

struct net_status {
    uint32_t connections;
    uint32_t requests;   /* in progress */
    uint64_t pool_bytes; /* reserved for bodies */
    uint64_t lent_bytes; /* slices in answers that have not left */
    uint64_t accepted, refused, received_bytes, sent_bytes, requests_total;
    uint64_t closed_oversize, closed_slow, closed_idle, copied_answers, pool_waits;
};
struct net_status net_status(const struct net *net);
