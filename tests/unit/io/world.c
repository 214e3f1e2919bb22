/* SPDX-License-Identifier: Apache-2.0 */

#include "unit/io/world.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <criterion/criterion.h>

enum { TURN_NS = 10000000, TURN_OF_TWO_NS = 50000, MEMORY_BYTES = 64 << 20 };

struct io_group *world_group_of(const struct io_options *options)
{
    struct io_group *g = NULL;
    char reason[IO_REASON_SIZE];
    int error = io_group_open(&g, options, reason);
    if (error && options->backend == IO_BACKEND_URING) {
        cr_skip_test("%s", reason);
    }
    cr_assert_eq(error, 0, "%s", reason);
    cr_assert_str_empty(reason);
    return g;
}

static struct io_options world_options(enum io_backend backend, unsigned shards,
                                       unsigned disabled_features)
{
    return (struct io_options){.backend = backend,
                               .shards = shards,
                               .memory_bytes = MEMORY_BYTES,
                               .disabled_features = disabled_features};
}

struct io_group *world_group(enum io_backend backend, unsigned shards, unsigned disabled_features)
{
    struct io_options options = world_options(backend, shards, disabled_features);
    return world_group_of(&options);
}

static struct io *world_open(struct contract_world *c)
{
    struct world *w = container_of(c, struct world, contract);
    w->group = world_group_of(&w->options);
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
        io_run_once(io_group_shard(w->group, i), w->options.shards > 1 ? TURN_OF_TWO_NS : TURN_NS);
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
        .options = world_options(backend, shards, disabled_features)};
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

static void world_filter(struct sock_filter *filter, size_t size)
{
    struct sock_fprog program = {(unsigned short)size, filter};
    cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

void world_refuse_setup(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    world_filter(filter, array_size(filter));
}

/* The flags are the fourth argument; the machine is little-endian. */
void world_refuse_submitting(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_enter, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[3])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, IORING_ENTER_GETEVENTS, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EBUSY),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    world_filter(filter, array_size(filter));
}
