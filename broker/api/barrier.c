/* SPDX-License-Identifier: Apache-2.0 */

/* origin -> 0 -> 1 -> 0 -> 2 -> 0 ... -> origin: what matters is that each shard hears of it from
 * shard 0, behind the image. */
#include "api/barrier.h"

#include "api/request.h"

static void barrier_home(struct io_message *m, struct io *io)
{
    struct barrier *b = container_of(m, struct barrier, message);
    b->passed(b);
}

static void barrier_return(struct io_message *m, struct io *io);

static void barrier_step(struct io_message *m, struct io *io)
{
    struct barrier *b = container_of(m, struct barrier, message);
    assert(io_shard(io) == 0);
    if (++b->next < io_shard_count(io)) {
        m->deliver = barrier_return;
        io_post(io, b->next, m);
    } else {
        m->deliver = barrier_home;
        io_post(io, io_shard(b->origin->io), m);
    }
}

static void barrier_return(struct io_message *m, struct io *io)
{
    m->deliver = barrier_step;
    io_post(io, 0, m);
}

void barrier_pass(struct barrier *b, struct api *origin)
{
    assert(b->passed);
    b->origin = origin;
    b->next = 0;
    if (io_shard_count(origin->io) == 1) {
        b->passed(b);
        return;
    }
    barrier_return(&b->message, origin->io);
}
