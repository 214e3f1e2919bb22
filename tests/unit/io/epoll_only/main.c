/* SPDX-License-Identifier: Apache-2.0 */

/* Linked with leat_io alone: were one symbol of liburing needed for the epoll backend, this program
 * would not be there. It opens a group and lets one timer fire. */
#include "io/io.h"

static void fired(struct io_op *op, int64_t result)
{
    assert(result == 0);
}

int main(void)
{
    struct io_options options = {.shards = 1};
    struct io_group *g = NULL;
    if (io_group_open_epoll(&g, &options, NULL) < 0) {
        return 1;
    }
    struct io *io = io_group_shard(g, 0);
    struct io_op timer = {.done = fired};
    io_timer(io, &timer, io_now(io) + 1000000);
    while (!io_op_idle(&timer)) {
        io_run_once(io, UINT64_MAX);
    }
    io_group_close(g);
    return 0;
}
