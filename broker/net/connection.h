/* SPDX-License-Identifier: Apache-2.0 */

/* connection: the private parts of net. net.c holds listener, limits and the end; body.c the memory
 * of frames; connection.c what comes in; output.c what goes out. */
#pragma once

#include "net/net.h"

#include "base/pool.h"

enum {
    CONNECTION_MAGIC = 0x636f6e6e,
    CONNECTION_SMALL = 2048,  /* receive buffer of a connection that does little */
    CONNECTION_BLOCK = 16384, /* of one that pipelines small requests */
    CONNECTION_IOVECS = 4,    /* enough for one answer; more are borrowed */
    NET_IOVECS = 128,         /* of a borrowed set */
    NET_HARD_FACTOR = 4,      /* times lent_bytes_max, response_bytes_max: what is not waited for */
    NET_LENT_LITTLE = 16384,  /* slices in a connection that cannot be what uses the memory up */
    CONNECTIONS_ENDING = 256, /* closed ones whose operations have not ended yet */
    NET_FRAME_MIN = 8,        /* key, version, correlation id */
    NET_WRITER_LIMIT = 32 << 20, /* raw bytes of one answer */
    NET_WRITER_KEPT = 4096,      /* of a writer's memory that is worth keeping */
    NET_REQUESTS_KEPT = 256,     /* warm request structs */
    NET_BODY_CLASSES = 57,       /* 512 bytes to 8 MiB, four steps for each doubling */
};

enum net_request_state {
    REQUEST_READING, /* its body is coming in */
    REQUEST_WORKING, /* with the upper room */
    REQUEST_READY,   /* its answer waits for its turn */
    REQUEST_CLOSE,   /* the connection ends when its turn has come */
    REQUEST_OVER,    /* answered; only holds keep it */
};

/* What a connection is counted as (N8). */
enum net_place { PLACE_CLIENT, PLACE_UNKNOWN, PLACE_BROKER, PLACES };

/* Frames by size class, kept for reuse. `reserved` counts what is out, `cached` what waits here. Small frames and large
 * ones leave each other a part of the limit (N6). */
struct body_free;
struct bodies {
    struct memory *memory;
    struct body_free *free[NET_BODY_CLASSES];
    uint64_t limit, reserved, cached;
    uint64_t idle;      /* the least that was cached since the last trim */
    uint64_t large;     /* of `reserved`: in frames above small_max */
    uint32_t small_max; /* a size class */
};

static inline bool bodies_small(const struct bodies *b, uint32_t size)
{
    return size <= b->small_max;
}

void bodies_init(struct bodies *b, struct memory *memory, uint64_t limit);
void bodies_deinit(struct bodies *b);
/* NULL: no credit now, or no memory. *reserved is what to give back. `large_waits`: a small frame leaves the part that
 * large ones are promised. */
uint8_t *bodies_take(struct bodies *b, uint32_t size, bool large_waits,
                     uint32_t *reserved) MUST_CHECK;
void bodies_give(struct bodies *b, uint8_t *body, uint32_t reserved);
void bodies_trim(struct bodies *b); /* once a second: frees what was not needed */

struct net_iovecs {
    struct iovec entries[NET_IOVECS];
};

struct net_connection {
    uint32_t magic;
    uint32_t request_count; /* in `requests` */
    struct net *net;
    struct io_socket *socket;
    struct io_op receive, send;
    struct io_turn turn;  /* send what is ready, read on, or go */
    struct list link;     /* in net->connections */
    struct list credit;   /* in net->waiting: for request memory */
    struct list sending;  /* in net->sending: by age of the oldest answer */
    struct list peers;    /* in net->unknown (nothing has been asked on it yet) or net->brokers */
    struct list requests; /* in the order of their answers, until these have left */
    uint8_t *buffer;      /* `small`, or a block */
    uint32_t start, end;  /* bytes of `buffer` not yet taken */
    struct net_request *body; /* the request whose body is coming in, the last of `requests` */
    uint32_t body_received;
    uint8_t listener; /* which one it came to */
    uint8_t place;    /* enum net_place */
    uint8_t wanted_s; /* sweeps that found others waiting for what `body` holds */
    bool closing;     /* the socket is closed; gone when both operations are idle */
    bool deaf;        /* nothing more is read */
    bool in_parse;
    bool paused;                 /* net_pause(): by the newest of `requests` */
    bool busy;                   /* pipelines: worth a block */
    bool shrink;                 /* the receive was cancelled to give the block back */
    bool unlend;                 /* the send was cancelled to copy what is lent */
    uint64_t frame_deadline_ns;  /* 0: no frame in part */
    uint64_t output_deadline_ns; /* 0: nothing to send */
    uint64_t active_ns;          /* last receive or answer */
    uint64_t progress_ns;        /* last byte sent */
    uint64_t response_bytes;     /* of answers that wait */
    uint64_t lent_bytes;         /* of these, slices */
    size_t sent;                 /* of the first answer */
    struct net_iovecs *iovecs;   /* borrowed for the send in flight */
    struct iovec few[CONNECTION_IOVECS];
    uint8_t small[CONNECTION_SMALL];
};
static_assert(sizeof(struct net_connection) < 4096, "N4: an idle connection holds less than 4 KiB");

struct net_listener {
    struct net *net;
    struct io_listener *socket;
    struct io_socket *accepted;
    struct io_op accept, retry;
};

struct net {
    struct io *io;
    struct memory *memory; /* options.memory */
    struct net_options options;
    struct net_listener listeners[NET_LISTENERS_MAX];
    unsigned listener_count;
    struct io_op sweep;
    struct list connections;
    /* Connections that wait for credit, first come first served, by the size of their next frame. */
    struct list waiting_small, waiting_large;
    struct list sending;           /* connections with answers, the oldest first */
    struct list unknown, brokers;  /* PLACE_UNKNOWN, PLACE_BROKER, the oldest first */
    uint32_t place_counts[PLACES]; /* of connections that are not closed */
    struct pool connection_pool, block_pool, iovecs_pool, request_pool;
    struct list free_requests;
    uint32_t free_request_count;
    uint32_t connection_count, request_count;
    uint32_t large_count; /* of request_count: with large frames */
    struct bodies bodies;
    uint64_t lent_bytes;
    bool crowded;
    struct io_turn turn; /* credit has come back, or too much is lent */
    struct io_op stop_timer;
    struct net_stop *stop;
    bool stopping;
    unsigned lines_left; /* that may be logged in this second */
    struct net_status status;
};

/* connection.c */
void connection_open(struct net *net, unsigned listener, struct io_socket *socket);
void connection_close(struct net_connection *c); /* also twice; goes in a turn end */
/* The same for a client that is too slow: told in the log. */
void connection_give_up(struct net_connection *c, const char *why);
void connection_parse(struct net_connection *c); /* takes frames, then reads on */
void connection_shrink(struct net_connection *c);
void connection_unqueue(struct net_connection *c); /* it waits for credit no more */
bool connection_paused(const struct net_connection *c);

/* places.c */
uint32_t places_default(uint32_t connections_max);
uint32_t places_of_all(const struct net_options *o);
void place_take(struct net_connection *c); /* may close another one */
void place_leave(struct net_connection *c);
void places_refused(struct net *net); /* counted and told */

/* net.c: little of the memory is left */
bool net_tight(const struct net *net);

/* output.c */
void output_ready(struct net_connection *c, struct net_request *r);
void output_send(struct net_connection *c);
void output_done(struct io_op *op, int64_t result);
void output_forget(struct net_connection *c, struct net_request *r); /* it no longer counts */
void output_unlend(struct net_connection *c);

/* net.c */
struct net_request *request_new(struct net *net, uint32_t size); /* NULL: no credit, wait */
void request_over(struct net_request *r); /* out of its connection: freed unless held */
void net_turn(struct io_turn *t);
void net_maybe_stopped(struct net *net);
bool net_may_log(struct net *net);
