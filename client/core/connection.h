/* SPDX-License-Identifier: Apache-2.0 */

/* connection: one TCP connection to a broker, that comes back by itself.
 *
 *     IDLE --connection_submit--> WAITING --time--> CONNECTING --connected--> NEGOTIATING
 *       ^                            ^                  |                         |
 *       |                            |                  v fail                    v ApiVersions
 *       +---- no request waits ---- CLOSING <-------- fail, timeout, drop ----- READY
 *
 * Requests are embedded in their owners, sent in the order in which they were submitted, several in
 * flight, and answered in that order. Whatever goes wrong, done() is called exactly once for each,
 * in that order, from the loop and never from inside connection_submit().
 *
 * Invariants
 *   N1  Memory of a request is not touched after its done(); done() comes only when no operation of
 *       the seam holds a part of it.
 *   N2  An answer is at most as large as its request allows; nothing is allocated for a larger one.
 *   N3  After a failure the next attempt waits: reconnect_backoff, doubling, with jitter.
 *   N4  An answer with another correlation id than the oldest request's ends the connection.
 *
 * All on the I/O thread. */
#pragma once

#include "core/alarm.h"
#include "core/error.h"
#include "wire/wire.h"

struct core;
struct connection;

enum {
    CONNECTION_KAFKA_APIS = 128, /* keys 0 .. 127, */
    CONNECTION_OWN_KEYS = 10000, /* and leat's own from here on */
    CONNECTION_OWN_APIS = 16,
    CONNECTION_APIS = CONNECTION_KAFKA_APIS + CONNECTION_OWN_APIS,
    CONNECTION_INBOX_SIZE = 32768,
    CONNECTION_SENDS_MAX = 16, /* requests gathered into one send */
};

/* One received message, from its response header on. Kept as answer.frame says. */
struct frame {
    struct list link; /* the owner's */
    size_t size;
    uint8_t data[];
};

struct answer {
    int error;       /* 0, or why there is none; then `reason` is filled */
    bool maybe_sent; /* with an error: the broker may have got and done it */
    int version;
    struct reader body;
    struct frame *frame; /* NULL without one; set it to NULL to keep it, and core_frame_free() it */
    const leat_error *reason;
};

struct request_kind {
    int16_t key;                      /* enum wire_api_key */
    int16_t version_min, version_max; /* what the owner can fill and read */
};

struct request {
    const struct request_kind *kind;
    int (*encode)(struct request *r, struct wire_writer *w, int version);
    void (*done)(struct request *r, struct answer *a);
    uint64_t deadline_ns;
    int32_t wait_ms;     /* how long the broker is asked to keep the answer back, at most */
    uint32_t answer_max; /* bytes; 0: the client's response_max_bytes */
    bool unanswered;     /* done() comes when it is sent: Produce with acks 0 */
    /* The broker has been silent for a while: its owner may take `r`, and no other, back. May be
     * NULL; called again while the silence lasts. */
    void (*silent)(struct request *r);

    /* The connection's: */
    struct list link;
    struct connection *connection; /* NULL: not submitted */
    struct wire_writer writer;
    int32_t correlation_id;
    int16_t version;
    uint64_t submitted_ns;
    bool started; /* some of it may be on its way */
    bool sent;    /* all of it */
};

enum connection_state {
    CONNECTION_IDLE,
    CONNECTION_WAITING,
    CONNECTION_CONNECTING,
    CONNECTION_NEGOTIATING,
    CONNECTION_READY,
    CONNECTION_CLOSING, /* until no operation is in flight */
};

struct connection {
    struct core *core;
    struct list link; /* of core->connections */
    char *host;
    char address[288]; /* host and port as messages show them */
    uint16_t port;
    int32_t broker_id; /* -1: an address of the caller's, not known as a broker yet */
    uint32_t lane;
    enum connection_state state;
    bool dropped; /* frees itself when idle */

    struct io_socket *socket;
    struct io_op connect_op, send_op, recv_op;
    struct alarm retry, timeout;
    uint64_t timeout_ns; /* of connecting and negotiating */
    unsigned failures;   /* in a row */
    int32_t correlation_id;
    leat_error reason; /* of the latest failure */

    struct alarm hush;   /* core/silence.c's, as the rest of this paragraph */
    uint64_t heard_ns;   /* bytes came, or it began to connect */
    uint64_t moved_ns;   /* bytes were taken from us */
    uint64_t silent_ns;  /* when its silence was noticed last; 0: it spoke since */
    uint64_t deposed_ns; /* another broker was named to lead what this one led; 0: never */

    struct list waiting;     /* requests, not encoded */
    struct list in_flight;   /* encoded and perhaps sent, oldest first */
    struct request *sending; /* the first that is not sent whole, or NULL */
    size_t sent;             /* bytes of it */
    struct io_turn turn;

    struct request negotiation;
    struct {
        int16_t min, max; /* max < min: not offered */
    } apis[CONNECTION_APIS];

    struct frame *frame; /* being received */
    size_t filled;       /* bytes of it */
    size_t inbox_start, inbox_end;
    uint8_t inbox[CONNECTION_INBOX_SIZE];
};

/* ERR_NO_MEMORY. Nothing is connected before the first request. */
int connection_open(struct connection **out, struct core *core, const char *host, uint16_t port,
                    int32_t broker_id, uint32_t lane) MUST_CHECK;

/* Fails what is submitted, ends the connection and frees it in a later turn. */
void connection_drop(struct connection *c);

/* Fails what is submitted: who is asked has been replaced. */
void connection_give_up(struct connection *c);

/* Encodes ApiVersions, which every broker answers at once. */
int greeting_encode(struct request *r, struct wire_writer *w, int version);

/* The oldest request in flight that has an answer, or NULL. */
struct request *connection_oldest(struct connection *c);

/* Takes `r` until its done(). */
void connection_submit(struct connection *c, struct request *r);

/* Takes a request back that nobody waits for any more: true, and done() will not come; its answer
 * is swallowed. False when a part of it is being sent: then the connection ends, and done() comes
 * soon. */
bool connection_take_back(struct request *r) MUST_CHECK;

/* Whether the other side offers an API in a version that `kind` knows: the version, or -1. Before
 * the connection is READY nothing is known, and the answer is -1. */
int connection_version(const struct connection *c, const struct request_kind *kind);

/* Requests submitted and not done. */
static inline bool connection_busy(const struct connection *c)
{
    return !list_empty(&c->waiting) || !list_empty(&c->in_flight);
}
