/* SPDX-License-Identifier: Apache-2.0 */

#include "unit/io/world.h"

#include <stdio.h>
#include <stdlib.h>

#include <criterion/criterion.h>

enum { TURN_NS = 10000000, MEMORY_BYTES = 64 << 20 };

struct io_group *world_group(enum io_backend backend, unsigned shards, unsigned disabled_features)
{
    struct io_options options = {.backend = backend,
                                 .shards = shards,
                                 .memory_bytes = MEMORY_BYTES,
                                 .disabled_features = disabled_features};
    struct io_group *g = NULL;
    char reason[IO_REASON_SIZE];
    int error = io_group_open(&g, &options, reason);
    if (error && backend == IO_BACKEND_URING) {
        cr_skip_test("%s", reason);
    }
    cr_assert_eq(error, 0, "%s", reason);
    cr_assert_str_empty(reason);
    return g;
}

static struct io *world_open(struct contract_world *c)
{
    struct world *w = container_of(c, struct world, contract);
    w->group = world_group(w->options.backend, w->options.shards, w->options.disabled_features);
    return io_group_shard(w->group, 0);
}

static struct io *world_second(struct contract_world *c)
{
    struct world *w = container_of(c, struct world, contract);
    return w->options.shards > 1 ? io_group_shard(w->group, 1) : NULL;
}

static void world_turn(struct contract_world *c)
{
    struct world *w = container_of(c, struct world, contract);
    for (unsigned i = 0; i < w->options.shards; i++) {
        io_run_once(io_group_shard(w->group, i), w->options.shards > 1 ? 0 : TURN_NS);
    }
}

static void world_close(struct contract_world *c)
{
    struct world *w = container_of(c, struct world, contract);
    io_group_close(w->group);
    w->group = NULL;
}

void world_init(struct world *w, enum io_backend backend, unsigned shards,
                unsigned disabled_features)
{
    *w = (struct world){
        .contract = {world_open, world_turn, world_close, w->directory, world_second},
        .options = {.backend = backend, .shards = shards, .disabled_features = disabled_features}};
    snprintf(w->directory, sizeof w->directory, "/tmp/leat-io-XXXXXX");
    cr_assert(mkdtemp(w->directory));
    uint64_t limit = 0;
    cr_assert_eq(io_raise_file_limit(&limit), 0);
    cr_assert(limit >= 1024);
}

void world_deinit(struct world *w)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", w->directory);
    cr_assert_eq(system(command), 0);
}
