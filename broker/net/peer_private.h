/* SPDX-License-Identifier: Apache-2.0 */

/* peer_private: the parts of a peer. peer.c holds requests and the end; peer_connect.c addresses,
 * connecting, the greeting and the log; peer_stream.c what goes out and what comes in. */
#pragma once

#include "net/peer.h"

#include "base/list.h"
#include "base/prng.h"
#include "wire/wire.h"

enum {
    PEER_MAGIC = 0x70656572,
    PEER_NAME_MAX = 64,
    PEER_INBOX_BYTES = 4096,  /* a larger answer is received into its own memory */
    PEER_BATCH_BYTES = 65536, /* of requests: from so many on they are sent */
    PEER_HEADER_BYTES = 128,  /* size and header of a request, with the client id */
    PEER_IOVECS = 64,
    PEER_GREETING_BYTES_MAX = 65536,  /* an answer to ApiVersions */
    PEER_GREETING_ARENA_MAX = 262144, /* and what is decoded of it */
};

enum peer_state {
    PEER_DOWN, /* no operation is in flight but timers */
    PEER_CONNECTING,
    PEER_GREETING,
    PEER_READY,
    PEER_CLOSING, /* until the operations have come home */
};

enum peer_request_state {
    PEER_REQUEST_IDLE,
    PEER_REQUEST_WAITING, /* in p->waiting or p->greeting, not encoded */
    PEER_REQUEST_SENT,    /* in p->flights */
    PEER_REQUEST_ENDED,   /* in p->ended: done() comes in a later turn */
};

/* A request that was sent and is not answered. */
struct peer_flight {
    struct peer_request *request; /* NULL: given up */
    uint64_t sent_ns;
    int32_t correlation_id;
};

/* An answer, from its correlation id on. */
struct peer_frame {
    struct buffer buffer;
    struct memory *memory;
    uint32_t size, filled;
    uint8_t data[];
};

struct peer_place {
    char host[PEER_HOST_MAX];
    uint16_t port;
};

struct peer {
    uint32_t magic;
    enum peer_state state;
    struct io *io;
    struct memory *memory;
    struct peer_options options; /* its pointers are not used */
    char name[PEER_NAME_MAX], client_id[PEER_NAME_MAX];

    struct peer_place places[PEER_ADDRESSES_MAX];
    unsigned place_count;
    unsigned place_next;     /* the one that is tried next */
    unsigned tried;          /* places that failed in this round */
    struct peer_place place; /* connected to, or being connected to */
    int round_error;         /* of this round so far */
    int error;               /* of the last round that failed; 0: none since the last greeting */
    unsigned failures;       /* such rounds in a row */
    uint64_t retry_ns;       /* no round begins before it */
    struct prng prng;        /* for the pauses */

    struct io_socket *socket; /* while CONNECTING and, cancelled, CLOSING: the seam's to write */
    struct io_op connect, send, receive;
    struct io_turn turn;
    struct deadlines deadlines;
    struct deadline limit; /* of connecting and greeting */
    struct deadline retry;
    struct deadline soon; /* in the next turn: done() of what has ended */

    struct list waiting, greeting, ended;
    struct peer_request hello;
    struct peer_flight *flights; /* requests_max, the oldest first */
    unsigned flight_count;
    unsigned given_up;          /* of these */
    int32_t correlation_id;     /* of the last request */
    struct wire_versions *apis; /* of each of wire_apis, what the peer speaks; min > max: nothing */

    struct wire_writer out; /* a batch of requests, being sent */
    size_t out_sent;
    struct iovec iovecs[PEER_IOVECS];

    struct peer_frame *frame; /* being received; NULL: none */
    uint32_t skip;            /* bytes of an answer that nobody waits for */
    uint64_t received_ns;
    uint32_t inbox_start, inbox_end;
    uint8_t inbox[PEER_INBOX_BYTES];

    uint64_t line_ns;       /* the last line about a failure to connect, */
    int line_error;         /* what it told of, */
    uint64_t line_pause_ns; /* and how long nothing is told that is like it */
    bool gone;              /* the other side has ended it, as whoever stops does */
    uint64_t lines_from_ns;
    unsigned lines_left, lines_untold;
    struct peer_close *closing; /* peer_close() was called */
    bool stopping;              /* only the timer is waited for */
    bool lost;                  /* options.lost is to be told */
    struct peer_status status;
};

/* peer.c */
void peer_schedule(struct peer *p);
void peer_request_end(struct peer_request *r, int error);
/* Takes flight `i` out: its request or NULL. */
struct peer_request *peer_flight_take(struct peer *p, unsigned i);
void peer_flight_give_up(struct peer *p, unsigned i);
/* The connection, or the making of one, ends; requests that were sent end with `error`. */
void peer_disconnect(struct peer *p, int error);

/* peer_connect.c */
struct wire_versions *peer_api(const struct peer *p, int16_t key); /* NULL: not in our table */
void peer_connect_start(struct peer *p); /* in DOWN: connects, or waits for the end of the pause */
bool peer_pausing(const struct peer *p); /* the last round failed, and the next is not due */
void peer_connect_done(struct io_op *op, int64_t result);
void peer_limit_due(struct deadline *d);
void peer_retry_due(struct deadline *d);
void peer_places_set(struct peer *p, const struct peer_address *addresses, unsigned count);
/* Ends a connection because of what came, or did not come, in it. `why` is for the log. */
void peer_fail(struct peer *p, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* peer_stream.c */
void peer_send(struct peer *p);
void peer_receive(struct peer *p);
void peer_send_done(struct io_op *op, int64_t result);
void peer_receive_done(struct io_op *op, int64_t result);
void peer_stream_reset(struct peer *p); /* no operation is in flight */
