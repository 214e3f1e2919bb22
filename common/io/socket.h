/* SPDX-License-Identifier: Apache-2.0 */

/* socket: listeners, sockets, connecting, as far as both backends agree. Private to common/io. */
#pragma once

#include "io/op.h"

struct posix_io;

int posix_listen(struct io *io, struct io_listener **out, const char *host, uint16_t port,
                 uint16_t *port_out);
void posix_accept(struct io *io, struct io_op *op, struct io_listener *l, struct io_socket **out);
void posix_listener_close(struct io *io, struct io_listener *l);
void posix_recv(struct io *io, struct io_op *op, struct io_socket *s, void *buffer, size_t size);
void posix_send(struct io *io, struct io_op *op, struct io_socket *s, const struct iovec *iovecs,
                unsigned count);
void posix_socket_close(struct io *io, struct io_socket *s);
void posix_socket_peer(struct io *io, struct io_socket *s, char out[static IO_ADDRESS_MAX]);

static inline socklen_t address_size(const union address *a)
{
    return a->any.sa_family == AF_INET6 ? sizeof a->v6 : sizeof a->v4;
}

/* From a backend: an accepted descriptor, which is taken; the operation's result. */
int64_t posix_accepted(struct posix_io *p, struct posix_op *po, int fd);

/* What every connection has: no waiting for more to send, and probes after `idle_s` seconds without traffic, so that a
 * peer whose machine is gone is noticed by who only listens. 0, or -1 and errno. */
int socket_prepare(int fd, int idle_s) MUST_CHECK;

/* A socket for `fd`, which is taken in every case; NULL without memory. */
struct io_socket *socket_new(struct posix_io *p, int fd);
void socket_free(struct posix_io *p, struct io_socket *s);

/* Undoes what starting did, before done(). */
void socket_op_end(struct posix_io *p, struct io_op *op);

/* Frees what was closed in earlier turns: events that the backend has already fetched name it. */
void sockets_bury(struct posix_io *p);
void sockets_shutdown(struct posix_io *p);
void sockets_close_all(struct posix_io *p);

/* --- connect.c -------------------------------------------------------------------------------- */

/* Whether `host` is a number, and which. */
bool address_parse(const char *host, uint16_t port, union address *out);

/* Asks the system's resolver; blocks. `flags` are getaddrinfo()'s. */
int addresses_ask(struct addresses *out, const char *host, uint16_t port, int flags) MUST_CHECK;

void posix_connect(struct io *io, struct io_op *op, struct io_socket **out, const char *host,
                   uint16_t port);

/* From a backend, in the loop: the attempt to connect has ended with 0 or a negative errno. */
void posix_connected(struct posix_io *p, struct io_op *op, int64_t result);

void connect_cancel(struct posix_io *p, struct io_op *op);

/* NULL is accepted. */
void lookup_free(struct lookup *l);
void lookups_forget_all(struct posix_io *p);
