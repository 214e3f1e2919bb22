/* SPDX-License-Identifier: Apache-2.0 */

/* Opening io_uring, and the choice between it and epoll.
 *
 * Flags are asked for from the best set to the plainest, for older kernels refuse what they do not
 * know with EINVAL. A ring starts disabled and is enabled by its shard's thread, because that is
 * the one thread that a SINGLE_ISSUER ring accepts. Containers often forbid io_uring altogether:
 * then one line says so, and epoll does the work. */
#include "io/uring.h"

#include <errno.h>
#include <stdio.h>

enum {
    ENTRIES_DEFAULT = 1024,
    COMPLETIONS_PER_ENTRY = 4,
    KERNEL_WORKERS_MIN = 4,
};

static const unsigned features_needed =
    IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_FAST_POLL | IORING_FEAT_EXT_ARG;

static int ring_setup(struct uring_io *u, const struct io_options *options)
{
    static const unsigned sets[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
            IORING_SETUP_SUBMIT_ALL,
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
            IORING_SETUP_SUBMIT_ALL,
        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL,
        0,
    };
    unsigned entries = options->queue_entries ? options->queue_entries : ENTRIES_DEFAULT;
    int error = -EINVAL;
    for (size_t i = options->disabled_features & IO_FEATURE_DEFER_TASKRUN ? 1 : 0;
         i < array_size(sets) && error == -EINVAL; i++) {
        struct io_uring_params params = {.flags = sets[i] | IORING_SETUP_R_DISABLED |
                                                  IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
                                         .cq_entries = entries * COMPLETIONS_PER_ENTRY};
        error = io_uring_queue_init_params(entries, &u->ring, &params);
        if (error == 0 && (params.features & features_needed) != features_needed) {
            io_uring_queue_exit(&u->ring);
            return -ENOSYS;
        }
    }
    return error;
}

int uring_open(struct posix_io *p, const struct io_options *options, char *reason)
{
    struct uring_io *u = uring_of(p);
    int error = ring_setup(u, options);
    if (error) {
        const char *name = strerrorname_np(-error);
        snprintf(reason, IO_REASON_SIZE,
                 "io_uring is refused by this system (%s)%s; see kernel.io_uring_disabled or the "
                 "container's seccomp profile",
                 name ? name : "unknown error",
                 options->backend == IO_BACKEND_AUTO ? ": using epoll" : "");
        return error;
    }
    u->disabled_features = options->disabled_features;
    u->workers = options->workers > KERNEL_WORKERS_MIN ? options->workers : KERNEL_WORKERS_MIN;
    u->message_ring = !(options->disabled_features & IO_FEATURE_MSG_RING) &&
                      u->ring.features & IORING_FEAT_CQE_SKIP;
    list_init(&u->waiting);
    list_init(&u->cancelling);
    return 0;
}

void uring_enable(struct uring_io *u)
{
    if (!u->enabled) {
        /* liburing 2.3 declares io_uring_enable_rings() and does not export it. */
        int error =
            io_uring_register((unsigned)u->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
        assert(error == 0);
        /* Bounded workers write and sync files; a kernel that cannot cap them has its own bound. */
        unsigned workers[2] = {u->workers, 0};
        (void)io_uring_register_iowq_max_workers(&u->ring, workers);
        u->enabled = true;
    }
    if (!u->registered && !(u->disabled_features & IO_FEATURE_REGISTERED_RING)) {
        u->registered = io_uring_register_ring_fd(&u->ring) == 1;
        u->disabled_features |= u->registered ? 0 : IO_FEATURE_REGISTERED_RING;
    }
}

int io_group_open(struct io_group **out, const struct io_options *options, char *reason)
{
    char unread[IO_REASON_SIZE];
    reason = reason ? reason : unread;
    reason[0] = 0;
    if (options->backend == IO_BACKEND_EPOLL) {
        return io_group_open_epoll(out, options, reason);
    }
    int error = group_open(out, &uring_backend, options, reason);
    if (error && options->backend == IO_BACKEND_AUTO) {
        char why[IO_REASON_SIZE];
        memcpy(why, reason, sizeof why);
        error = io_group_open_epoll(out, options, reason);
        if (error == 0) {
            memcpy(reason, why, sizeof why);
            log_warn(options->logger, "io", "%s", reason);
        }
    }
    return error;
}
