/* SPDX-License-Identifier: Apache-2.0 */

/* What net.c (sockets) and net_link.c (what lies between them) share. */
#pragma once

#include "sim_private.h"

enum {
    SIM_WINDOW = 256 * 1024, /* bytes of one direction that are sent and not yet received */
    SIM_BACKLOG = 128,
};

enum sim_segment_kind { SIM_SEGMENT_DATA, SIM_SEGMENT_FIN, SIM_SEGMENT_RESET };

/* Bytes, or an end, on the way to one side of a connection. */
struct sim_segment {
    struct list link; /* of sim_direction.segments, in the order of arrival */
    enum sim_segment_kind kind;
    uint64_t arrives_ns;
    size_t size, taken;
    uint8_t data[];
};

/* The way to one side: arrivals keep their order, and wait while the link is cut. */
struct sim_direction {
    struct sim_event event; /* the arrival of the first segment */
    struct list segments;
    uint64_t last_ns;        /* of the last arrival */
    uint64_t stuck_since_ns; /* the first attempt that met a cut link; 0: none */
};

/* One side of a connection. It belongs to the connection; a shard holds it from connect or accept
 * to close. */
struct io_socket {
    struct list link; /* of the shard's sockets, or of a listener's backlog */
    struct sim_connection *connection;
    unsigned side;
    struct sim_shard *shard; /* NULL: in a backlog, or closed */
    unsigned node;
    uint16_t port;
    bool closed;       /* nobody will read or write here again */
    bool silent;       /* its machine lost power: it knows nothing of this connection */
    bool fin;          /* the peer has sent its last byte */
    int error;         /* what every further operation gets: -ECONNRESET, -ETIMEDOUT */
    struct list inbox; /* of struct sim_segment: arrived, not received */
    size_t unread;     /* bytes on the way here and in the inbox */
    struct sim_op *recv, *send;
    struct sim_direction in;
    struct sim_event keepalive; /* its peer's machine has lost power */
};

struct sim_connection {
    struct list link;
    struct sim *sim;
    uint64_t number;
    struct io_socket sides[2]; /* 0 has connected, 1 was accepted */
};

struct io_listener {
    struct list link; /* of the shard's listeners */
    struct sim_shard *shard;
    uint16_t port;
    struct list backlog; /* of struct io_socket */
    unsigned backlog_count;
    struct list accepts; /* of struct sim_op: waiting, in order */
};

/* net_link.c */
struct sim_connection *sim_connection_new(struct sim *sim, unsigned from, uint16_t from_port,
                                          unsigned to, uint16_t to_port);
void sim_connection_free(struct sim_connection *c);
void sim_connections_free(struct sim *sim);
void sim_socket_put(struct io_socket *to, enum sim_segment_kind kind, struct sim_segment *data);
void sim_socket_fail(struct io_socket *s, int error);
void sim_socket_hang_up(struct io_socket *s);
uint64_t sim_link_delay(struct sim *sim, unsigned from, unsigned to);
struct sim_node *sim_resolve(struct sim *sim, const struct sim_node *asking, const char *host);

/* net.c: something has changed on this side. */
void sim_socket_receive(struct io_socket *s);
void sim_socket_send(struct io_socket *s);
