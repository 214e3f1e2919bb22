/* SPDX-License-Identifier: Apache-2.0 */

/* world: a server with a struct net, and clients with plain sockets, in virtual time. The server
 * answers each frame with its own bytes, at once or when the test says so. */
#pragma once

#include "net/net.h"
#include "sim/sim.h"

enum { WORLD_REQUESTS_MAX = 4096, WORLD_CALLERS_MAX = 64 };

#define MARK_BROKER UINT32_C(0x80000000) /* marks from here on are of another broker */
#define SECOND_NS UINT64_C(1000000000)

struct server_request {
    struct net_request net;
    struct server_request *self; /* kept over reuse: the room above owns these bytes */
    bool abandoned;
    unsigned number; /* in order of arrival, from 0 */
};

struct caller {
    struct world *w;
    struct io_socket *socket;
    struct io_op connect, receive, send;
    uint8_t *in; /* everything received so far */
    size_t in_size, in_capacity;
    size_t piece;      /* bytes of one receive */
    bool lazy, closed; /* lazy: receives only when told */
    uint8_t *out;
    size_t out_size, out_sent;
};

struct world {
    struct sim *sim;
    struct sim_node *server, *client;
    struct net_options options;
    struct net *net;
    uint16_t port;
    bool hold;           /* requests wait for world_answer() */
    bool pause;          /* each pauses its connection */
    size_t answer_size;  /* 0: as the request; else an answer of so many bytes in slices */
    const size_t *sizes; /* of world_answer_all() */
    struct server_request *requests[WORLD_REQUESTS_MAX]; /* in order of arrival; NULL: over */
    unsigned request_count, abandoned, released;
    bool stopped;
    struct io_message message; /* of world_do() */
    void (*what)(struct world *w, unsigned number);
    unsigned number;
    struct net_stop stop;
    struct buffer lent; /* what answers in slices point into */
    unsigned lent_frees;
    struct caller callers[WORLD_CALLERS_MAX];
    unsigned caller_count;
};

/* `options` may be NULL; what concerns the callbacks is filled in. */
void world_open(struct world *w, const struct net_options *options);

/* Drops everything; checks before that what was lent has come back. */
void world_close(struct world *w);

/* Runs for some virtual time. */
void world_run(struct world *w, uint64_t ns);

/* Calls `what` in a turn of the server, as its code is. */
void world_do(struct world *w, void (*what)(struct world *w, unsigned number), unsigned number);

/* Answers request `number`; its frame comes back, or answer_size bytes. */
void world_answer(struct world *w, unsigned number);
/* Answers all in one turn, the i-th with sizes[i] bytes. */
void world_answer_all(struct world *w, const size_t *sizes);
void world_drop(struct world *w, unsigned number);
void world_cut(struct world *w, unsigned number); /* net_close() */

struct caller *caller_open(struct world *w);
void caller_close(struct caller *p);
void caller_send(struct caller *p, const void *bytes, size_t size);

/* A frame of `size` bytes that begin with `mark`. */
void caller_send_frame(struct caller *p, uint32_t mark, uint32_t size);
void caller_receive(struct caller *p); /* one receive, for lazy callers */

/* The mark of the n-th whole frame received, or UINT32_MAX; all bytes of it are checked. */
uint32_t caller_frame(const struct caller *p, unsigned n);
unsigned caller_frames(const struct caller *p);
