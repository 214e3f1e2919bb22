/* SPDX-License-Identifier: Apache-2.0 */

/* peer_world: one node with a struct peer, and two brokers that do what the test says: answer in any
 * order, with any bytes, or not at all. In virtual time. */
#pragma once

#include "net/peer.h"
#include "sim/sim.h"
#include "wire/wire.h"

#define SECOND_NS UINT64_C(1000000000)
#define MS_NS UINT64_C(1000000)

enum {
    ITEMS_MAX = 4096,
    MARKS_MAX = 65536,
    FAKES = 2,
    FAKE_CONNECTIONS_MAX = 2048,
    FAKE_PORT = 9000,
};

/* A request of the node; its body begins with its number in the order of submission. */
struct item {
    struct peer_request request;
    struct peer_world *w;
    uint32_t mark;
    uint32_t size; /* of its body, at least 4 */
    bool spliced;  /* all but the mark is a slice of w->lent */
    bool keep;     /* the answer's buffer is kept */
    bool again;    /* submitted again from done() when it was the connection that failed */
    int refuse;    /* what encode() returns */
    unsigned submitted, done, encoded;
    int error, version;
    bool maybe_received;
    uint64_t done_ns;
    size_t body_size;
    struct slice kept;
};

enum greeting {
    GREET,
    GREET_OLD,  /* knows ApiVersions up to version 2 */
    GREET_LIAR, /* the same, but refuses the lower version as well */
    GREET_SILENT,
    GREET_GARBAGE,
    GREET_REFUSE, /* CLUSTER_AUTHORIZATION_FAILED */
    GREET_CLOSE,
    GREET_HUGE, /* an answer of a megabyte */
};

struct fake_connection {
    struct fake *fake;
    struct io_socket *socket; /* NULL: over */
    struct io_op receive, send;
    uint8_t *in, *out;
    size_t in_size, out_size, out_sent;
    bool deaf; /* nothing is read */
    uint32_t last_mark;
};

struct fake {
    struct peer_world *w;
    struct sim_node *node;
    struct io_listener *listener;
    struct io_socket *accepted;
    struct io_op accept;
    enum greeting greeting;
    int16_t vote_max; /* the highest version of Vote that it offers; -1: none */
    bool answers;     /* at once, with the bytes of the request */
    struct fake_connection connections[FAKE_CONNECTIONS_MAX];
    unsigned connection_count;
};

/* A request as a broker saw it. */
struct seen {
    struct fake_connection *connection;
    struct wire_request_header header;
    uint32_t mark, size;
    bool answered;
};

struct peer_world {
    struct sim *sim;
    struct sim_node *node;
    struct fake fakes[FAKES];
    struct memory memory; /* of the peer */
    struct peer_options options;
    struct peer *peer;
    struct item *items;
    unsigned item_count;
    uint32_t marks;
    bool *unsent;   /* by mark: ended as surely not sent */
    size_t out_max; /* bytes that one broker may say in one connection */
    struct seen *seen;
    unsigned seen_count;
    struct buffer lent;
    struct peer_close close;
    bool closed;
    struct io_message message;
    void (*what)(struct peer_world *w, unsigned number);
    unsigned number;
};

/* The peer's addresses are "fake0" and, when `options` says nothing else, no other. */
void peer_world_open(struct peer_world *w, const struct peer_options *options, uint64_t seed);

/* The same with the log and all else in `story`. */
void peer_world_open_told(struct peer_world *w, const struct peer_options *options, uint64_t seed,
                          FILE *story);

/* Closes the peer and checks that every request is done, and that nothing is left of it. */
void peer_world_close(struct peer_world *w);

void peer_world_run(struct peer_world *w, uint64_t ns);

/* Calls `what` in a turn of the node. */
void peer_world_do(struct peer_world *w, void (*what)(struct peer_world *w, unsigned number),
                   unsigned number);

/* The same for each of the peer's calls. The new item's request may be changed before. */
struct item *item_new(struct peer_world *w);
void item_submit(struct item *i);
void item_cancel(struct item *i);
void items_submit(struct peer_world *w, unsigned first, unsigned count); /* in one turn */
void peer_world_close_peer(struct peer_world *w);
/* Only the fakes whose bit is set, the lowest first. */
void peer_world_addresses(struct peer_world *w, unsigned fakes);

/* Answers what a broker saw as number `n`, with a body of `size` bytes. */
void fake_answer(struct peer_world *w, unsigned n, uint32_t size);
void fake_raw(struct fake_connection *c, const void *bytes, size_t size);
void fake_close(struct fake_connection *c);
void fake_listen(struct fake *f, bool listen);
struct fake_connection *fake_last(struct fake *f);
unsigned fake_open_connections(const struct fake *f);
