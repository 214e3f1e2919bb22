/* SPDX-License-Identifier: Apache-2.0 */

/* The contract, on both production backends, with each io_uring feature switched off, with one
 * shard and with two that take turns on one thread. */
#include "unit/io/world.h"

#include <criterion/criterion.h>

static void contract_holds_with(enum io_backend backend, unsigned shards,
                                unsigned disabled_features, unsigned queue_entries)
{
    for (size_t i = 0; i < contract_count(); i++) {
        struct world w;
        world_init(&w, backend, shards, disabled_features);
        w.options.queue_entries = queue_entries;
        cr_log_info("%s", contract_name(i));
        contract_run(i, &w.contract);
        world_deinit(&w);
    }
}

static void contract_holds(enum io_backend backend, unsigned shards, unsigned disabled_features)
{
    contract_holds_with(backend, shards, disabled_features, 0);
}

Test(io_contract, uring, .timeout = 120)
{
    contract_holds(IO_BACKEND_URING, 1, 0);
}

Test(io_contract, uring_two_shards, .timeout = 120)
{
    contract_holds(IO_BACKEND_URING, 2, 0);
}

Test(io_contract, uring_without_defer_taskrun, .timeout = 120)
{
    contract_holds(IO_BACKEND_URING, 1, IO_FEATURE_DEFER_TASKRUN);
}

Test(io_contract, uring_without_msg_ring, .timeout = 120)
{
    contract_holds(IO_BACKEND_URING, 2, IO_FEATURE_MSG_RING);
}

Test(io_contract, uring_without_dsync_write, .timeout = 120)
{
    contract_holds(IO_BACKEND_URING, 1, IO_FEATURE_DSYNC_WRITE);
}

Test(io_contract, uring_without_registered_ring, .timeout = 120)
{
    contract_holds(IO_BACKEND_URING, 1, IO_FEATURE_REGISTERED_RING);
}

/* Both queues of the ring overflow all the time. */
Test(io_contract, uring_with_a_tiny_queue, .timeout = 120)
{
    contract_holds_with(IO_BACKEND_URING, 1, 0, 2);
}

/* Operations find no room even after submitting, and wait for the next turn. */
Test(io_contract, uring_with_a_full_queue, .timeout = 120)
{
    world_refuse_submitting();
    contract_holds_with(IO_BACKEND_URING, 1, 0, 2);
}

Test(io_contract, epoll, .timeout = 120)
{
    contract_holds(IO_BACKEND_EPOLL, 1, 0);
}

Test(io_contract, epoll_two_shards, .timeout = 120)
{
    contract_holds(IO_BACKEND_EPOLL, 2, 0);
}

Test(io_contract, epoll_without_dsync_write, .timeout = 120)
{
    contract_holds(IO_BACKEND_EPOLL, 1, IO_FEATURE_DSYNC_WRITE);
}
