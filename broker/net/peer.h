/* SPDX-License-Identifier: Apache-2.0 */

/* peer: the connection of this broker to another one.
 *
 * A peer belongs to one shard. It connects when a request is submitted, asks for ApiVersions first
 * (KIP-511), so that brokers of different releases understand each other, and keeps the connection.
 * Several requests are in flight together; they leave in the order in which they were submitted,
 * and their answers may come in any order.
 *
 *     DOWN --request--> CONNECTING --> GREETING --ApiVersions answered--> READY
 *      ^                    |              |                                |
 *      '----- CLOSING <-----'--------------'-------- lost, given up --------'
 *
 * Connecting. The addresses are tried one behind the other, beginning with the one that answered
 * last, at first with the first of the list. When all have failed, a pause of 50 ms follows, which
 * doubles up to 1 s, a quarter more or less by chance; an answer to ApiVersions makes it 50 ms
 * again. Meanwhile requests wait, but those with fail_fast end.
 *
 * Invariants
 *   E1  done() of a submitted request is called exactly once, from the loop, never from inside a
 *       call of this header. Inside done() everything of this header may be called, and the request
 *       may be submitted again or freed.
 *   E2  A request's memory is its owner's and is lent from peer_submit() until done() alone: what
 *       is being sent are the peer's bytes, so a request that is given up ends at once.
 *   E3  maybe_received is false only if no byte of the request was given to a connection.
 *   E4  An answer is matched by its correlation id. What was given up keeps its id until its answer
 *       has come, which is thrown away without memory for it. An answer that nobody asked for, or
 *       that is above its limit, ends the connection and says so in the log.
 *   E5  Memory: requests_max slots, one batch of requests (output_bytes_max), one answer in progress
 *       (answer_bytes_max) and what the owners keep of theirs.
 *   E6  A request that was sent and ran out of time ends the connection if nothing at all has come
 *       since it was sent, for then nobody may be there; otherwise only the request ends. */
#pragma once

#include "base/errors.h"
#include "io/deadline.h"
#include "io/io.h"
#include "wire/writer.h"

struct peer;
struct peer_request;

enum {
    PEER_ADDRESSES_MAX = 8,
    PEER_HOST_MAX = 256, /* bytes of a host name with its NUL */
    PEER_REQUESTS_MAX = 256,
};

struct peer_address {
    const char *host; /* shorter than PEER_HOST_MAX; an IPv6 address stands without brackets */
    uint16_t port;    /* not 0 */
};

/* Zero means the default beside it. Everything pointed to is copied, but for `io` and `memory`. */
struct peer_options {
    struct io *io;
    struct memory *memory; /* NULL: io_memory(io). It outlives every answer that an owner keeps */
    const char *client_id; /* in the header of requests; NULL: "leatd" */
    const char *name;      /* of the peer in log lines, as "node 2"; required */
    int32_t node_id;       /* our own, for log lines */
    const struct peer_address *addresses; /* 1 to PEER_ADDRESSES_MAX, none twice */
    unsigned address_count;
    unsigned requests_max;       /* sent and not answered: 32; at most PEER_REQUESTS_MAX */
    uint32_t answer_bytes_max;   /* of a frame, without its size: 16 MiB */
    uint32_t output_bytes_max;   /* of one encoded request, without its slices: 1 MiB */
    uint64_t connect_timeout_ns; /* of one address, until ApiVersions is answered: 2 s */
    uint64_t request_timeout_ns; /* of requests that name none: 30 s */
    /* NULL, or called from the loop when a connection that was ready has ended by itself. Everything of
     * this header may be called in it; a request that is submitted connects again. */
    void (*lost)(void *context);
    void *lost_context;
};

/* What became of a request; lent for the call of done(). */
struct peer_answer {
    /* 0, or
     *   ERR_UNSUPPORTED_VERSION  the peer does not speak this API in a version of the range
     *   ERR_TIMEOUT              no answer in time; or, when not sent: no connection in time
     *   ERR_REFUSED              every address refuses connections: the machines run, no broker does
     *   ERR_UNREACHABLE          no way to an address, or no such name
     *   ERR_NETWORK_EXCEPTION    the connection ended before the answer came
     *   ERR_MALFORMED            the peer does not follow the protocol
     *   ERR_TOO_LARGE            the answer is above its limit, or the request above output_bytes_max
     *   ERR_NO_MEMORY            for the request, or for its answer
     *   ERR_INTERRUPTED          peer_cancel()
     *   ERR_CLOSED               peer_close()
     *   or what encode() returned, or with which the peer refused ApiVersions. A request that was
     *   not sent when its time ran out ends with the error of the last round of connecting, if that
     *   failed, so that a peer that refuses is told from one that is silent. */
    int error;
    bool maybe_received; /* false: surely no byte of the request has left (E3) */
    int version;         /* in which it was encoded; -1: it was not */
    /* Without error: the bytes behind the response header. They go with done(), unless the owner
     * takes a reference of body.buffer (buffer_take()) on this shard; buffer_release() frees them.
     * Their memory is that of the whole frame. */
    struct slice body;
};

/* A request, embedded in its owner and left in place from peer_submit() until done(). All zero is
 * idle; the owner sets the first part, which the peer only reads. */
struct peer_request {
    int16_t key; /* enum wire_api_key: known to wire_api_find() */
    /* What the owner can encode and read; the highest that the peer speaks as well is taken. Inside
     * the versions of the API's table. */
    int16_t version_min, version_max;
    bool fail_fast; /* while the peer cannot be reached: end with the error, do not wait */
    uint32_t answer_bytes_max; /* a lower limit for this answer; 0: the peer's */
    uint64_t timeout_ns; /* from peer_submit() until done(); 0: the peer's request_timeout_ns */
    /* Writes the body, behind the header, just before it is sent; once more when it found too little
     * room in a batch. What it writes is the peer's, slices with their references
     * (wire_writer_splice()). It calls nothing of this header. 0, or an error with which the request
     * ends; then the references of its slices are the caller's again. */
    int (*encode)(struct peer_request *r, struct wire_writer *w, int version);
    void (*done)(struct peer_request *r, const struct peer_answer *answer);

    /* The peer's: */
    struct peer *peer; /* NULL: idle */
    struct list link;
    struct deadline deadline;
    int error; /* with which it is about to end */
    int16_t version;
    uint8_t state;
    bool maybe_received;
};

/* ERR_NO_MEMORY. Nothing is connected before the first request. */
int peer_open(struct peer **out, const struct peer_options *options) MUST_CHECK;

/* Other addresses, for a broker that came back elsewhere. A connection, or the making of one, to an
 * address that is not among them ends; what waits is sent to the new ones at once. Copied. */
void peer_addresses(struct peer *p, const struct peer_address *addresses, unsigned count);

/* Takes `r` until its done(); not after peer_close(). */
void peer_submit(struct peer *p, struct peer_request *r);

/* Gives `r` up: done() comes soon with ERR_INTERRUPTED, or with what overtook it. Harmless on an
 * idle one. */
void peer_cancel(struct peer_request *r);

/* Ends every request with ERR_CLOSED and the connection; done() when all is over and the memory is
 * given back (but for answers that owners keep). Once. */
struct peer_close {
    void (*done)(struct peer_close *c);
};
void peer_close(struct peer *p, struct peer_close *c);

struct peer_status {
    bool ready;         /* connected, and ApiVersions is answered */
    unsigned failures;  /* rounds of connecting that failed since the last answer to ApiVersions */
    int error;          /* of the last of these; 0: none */
    unsigned waiting;   /* requests not yet sent */
    unsigned in_flight; /* sent and not answered, with those given up */
    uint64_t connections; /* that answered ApiVersions, so far */
    uint64_t sent_bytes, received_bytes;
};
struct peer_status peer_status(const struct peer *p);
