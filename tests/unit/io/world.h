/* SPDX-License-Identifier: Apache-2.0 */

/* world: production groups for tests. */
#pragma once

#include "unit/io/contract.h"

struct world {
    struct contract_world contract;
    struct io_options options; /* may be changed before open() */
    struct io_group *group;
    char directory[64];
};

/* Makes an empty directory; contract.open() opens the group of the options. */
void world_init(struct world *w, enum io_backend backend, unsigned shards,
                unsigned disabled_features);
void world_deinit(struct world *w);

/* Opens a group, or ends this test with a line when io_uring is refused. */
struct io_group *world_group(enum io_backend backend, unsigned shards, unsigned disabled_features);
struct io_group *world_group_of(const struct io_options *options);

/* From here on the kernel answers this process: io_uring_setup() with EPERM, as in a container; or
 * an io_uring_enter() that submits and does not reap with EBUSY, as when completions pile up. */
void world_refuse_setup(void);
void world_refuse_submitting(void);
