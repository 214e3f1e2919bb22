/* SPDX-License-Identifier: Apache-2.0 */

/* io_uring: one ring for each shard, and one io_uring_enter() for each turn of its loop.
 *
 * That one call submits what the turn before has produced and waits for what comes next. Handlers
 * only fill in submission entries. Entering is left out when there is nothing to submit, nothing to
 * wait for and no work that the kernel has deferred to us.
 *
 * A completion's user data is the operation, or a tag in the low bits:
 *
 *     TAG      MEANING                                                      counted in in_flight
 *     OP       a struct io_op                                                        yes
 *     WAKE     the read of our eventfd                                               yes
 *     CANCEL   the answer to a cancellation, which nobody reads                      yes
 *     RUNG     another shard's MSG_RING has woken us                                 no
 *     RING     our own MSG_RING has failed (success is silent); the shard is above   no
 *
 * An operation that finds no room even after submitting waits in `waiting`, a cancellation in
 * `cancelling`, and is tried again in the next turn: none is lost. Ordering among operations is the
 * owner's business, as the contract says. */
#include "io/uring.h"

#include <errno.h>
#include <fcntl.h>

enum tag { TAG_OP, TAG_WAKE, TAG_CANCEL, TAG_RUNG, TAG_RING, TAG_MASK = 7, TAG_BITS = 3 };

/* Steps of one operation. */
enum step {
    STEP_FIRST,
    STEP_WAITING,   /* in uring_io.waiting */
    STEP_SYNC,      /* a durable write: its bytes are written */
    STEP_DIRECTORY, /* an unlink: it turned out to be a directory */
};

enum { REAP_BATCH = 64, LEAVE_PATIENCE_NS = 200000000 };

static_assert(_Alignof(struct io_op) > TAG_MASK, "the low bits of an operation's address are free");

/* --- submitting ------------------------------------------------------------------------------- */

/* NULL: the queue is full and the kernel takes no more before completions are reaped. */
static struct io_uring_sqe *uring_sqe(struct uring_io *u)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
    if (!sqe) {
        uring_enable(u);
        io_uring_submit(&u->ring);
        sqe = io_uring_get_sqe(&u->ring);
    }
    return sqe;
}

static void prepare_transfer(struct uring_io *u, struct io_uring_sqe *sqe, struct posix_op *po)
{
    int fd = po->file.file->fd;
    if (po->step == STEP_SYNC) {
        io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
        return;
    }
    struct transfer rest;
    file_rest(po, &rest);
    if (po->kind == OP_READ) {
        io_uring_prep_read(sqe, fd, rest.piece.iov_base, (unsigned)rest.piece.iov_len,
                           rest.position);
        return;
    }
    if (rest.iovecs == &rest.piece) {
        io_uring_prep_write(sqe, fd, rest.piece.iov_base, (unsigned)rest.piece.iov_len,
                            rest.position);
    } else {
        io_uring_prep_writev(sqe, fd, rest.iovecs, rest.count, rest.position);
    }
    if (po->flags & IO_WRITE_DURABLE && !(u->disabled_features & IO_FEATURE_DSYNC_WRITE)) {
        sqe->rw_flags = RWF_DSYNC;
    }
}

static void uring_prepare(struct uring_io *u, struct io_uring_sqe *sqe, struct posix_op *po)
{
    switch ((enum op_kind)po->kind) {
    case OP_READ:
    case OP_WRITE:
        prepare_transfer(u, sqe, po);
        break;
    case OP_SYNC:
        io_uring_prep_fsync(sqe, po->file.file->fd,
                            po->file.file->directory ? 0 : IORING_FSYNC_DATASYNC);
        break;
    case OP_ALLOCATE:
        io_uring_prep_fallocate(sqe, po->file.file->fd, 0, (off_t)po->file.position,
                                (off_t)po->file.size);
        break;
    case OP_UNLINK:
        io_uring_prep_unlink(sqe, po->file.path, po->step == STEP_DIRECTORY ? AT_REMOVEDIR : 0);
        break;
    case OP_ACCEPT:
        io_uring_prep_accept(sqe, po->accept.listener->fd, NULL, NULL, SOCK_CLOEXEC);
        break;
    case OP_CONNECT: {
        struct io_socket *s = po->connect.socket;
        io_uring_prep_connect(sqe, s->fd, &s->peer.any, address_size(&s->peer));
        break;
    }
    case OP_RECV:
        io_uring_prep_recv(sqe, po->transfer.socket->fd, po->transfer.buffer, po->transfer.size, 0);
        break;
    case OP_SEND:
        io_uring_prep_sendmsg(sqe, po->transfer.socket->fd, &po->transfer.message, MSG_NOSIGNAL);
        break;
    case OP_SYNC_ALL:
    case OP_TRUNCATE:
    case OP_TIMER:
    case OP_WORK:
        assert(!"an operation of the ring");
    }
}

/* The operation's link is in `waiting`, in `cancelling` or in nothing. */
static void uring_issue(struct uring_io *u, struct io_op *op)
{
    struct posix_op *po = posix_op(op);
    struct io_uring_sqe *sqe = uring_sqe(u);
    list_init(&op->priv.link);
    if (!sqe) {
        po->result = po->step; /* to go on from */
        po->step = STEP_WAITING;
        list_append(&u->waiting, &op->priv.link);
        return;
    }
    uring_prepare(u, sqe, po);
    io_uring_sqe_set_data64(sqe, (uintptr_t)op | TAG_OP);
    u->in_flight++;
}

static void uring_issue_cancel(struct uring_io *u, struct io_op *op)
{
    struct io_uring_sqe *sqe = uring_sqe(u);
    if (!sqe) {
        list_append(&u->cancelling, &op->priv.link);
        return;
    }
    io_uring_prep_cancel64(sqe, (uintptr_t)op | TAG_OP, 0);
    io_uring_sqe_set_data64(sqe, TAG_CANCEL);
    u->in_flight++;
}

static void uring_issue_waiting(struct uring_io *u)
{
    while (!list_empty(&u->waiting) && io_uring_sq_space_left(&u->ring) > 0) {
        struct io_op *op = container_of(list_pop(&u->waiting), struct io_op, priv.link);
        posix_op(op)->step = (uint8_t)posix_op(op)->result;
        uring_issue(u, op);
    }
    while (!list_empty(&u->cancelling) && io_uring_sq_space_left(&u->ring) > 0) {
        uring_issue_cancel(u, container_of(list_pop(&u->cancelling), struct io_op, priv.link));
    }
}

static void uring_start(struct posix_io *p, struct io_op *op)
{
    struct posix_op *po = posix_op(op);
    if (po->kind == OP_SYNC_ALL || po->kind == OP_TRUNCATE) {
        file_submit(p, op);
    } else {
        uring_issue(uring_of(p), op);
    }
}

static void uring_cancel(struct posix_io *p, struct io_op *op)
{
    if (posix_op(op)->step == STEP_WAITING) {
        list_remove(&op->priv.link);
        posix_ready(p, op, -ECANCELED);
    } else {
        uring_issue_cancel(uring_of(p), op);
    }
}

static void uring_arm_wake(struct uring_io *u)
{
    struct io_uring_sqe *sqe = u->wake_armed ? NULL : uring_sqe(u);
    if (sqe) {
        io_uring_prep_read(sqe, u->posix.wake_fd, &u->wake_value, sizeof u->wake_value, 0);
        io_uring_sqe_set_data64(sqe, TAG_WAKE);
        u->in_flight++;
        u->wake_armed = true;
    }
}

static void uring_wake(struct posix_io *from, struct posix_io *to)
{
    struct uring_io *u = uring_of(from);
    /* In the last turn nobody would look at a refusal. */
    bool ring = u->message_ring && from != to && !from->stopped;
    struct io_uring_sqe *sqe = ring ? uring_sqe(u) : NULL;
    if (!sqe) {
        posix_wake(to);
        return;
    }
    io_uring_prep_msg_ring(sqe, uring_of(to)->ring.ring_fd, 0, TAG_RUNG, 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data64(sqe, (uint64_t)to->io.shard << TAG_BITS | TAG_RING);
}

/* --- completing ------------------------------------------------------------------------------- */

static void complete_transfer(struct uring_io *u, struct io_op *op, int64_t result)
{
    struct posix_op *po = posix_op(op);
    if (po->step == STEP_SYNC) {
        posix_finish(&u->posix, op, result < 0 ? result : (int64_t)po->file.finished);
        return;
    }
    if (result == 0 && po->kind == OP_WRITE) {
        result = -EIO;
    }
    if (result < 0) {
        posix_finish(&u->posix, op, result);
        return;
    }
    if (file_advance(po, result)) {
        if (!(po->kind == OP_WRITE && po->flags & IO_WRITE_DURABLE &&
              u->disabled_features & IO_FEATURE_DSYNC_WRITE)) {
            posix_finish(&u->posix, op, (int64_t)po->file.finished);
            return;
        }
        po->step = STEP_SYNC;
    }
    uring_issue(u, op);
}

static bool accept_again(int64_t result)
{
    return result == -ECONNABORTED || result == -EPROTO;
}

static void uring_complete(struct uring_io *u, struct io_op *op, int64_t result)
{
    struct posix_op *po = posix_op(op);
    assert(op->magic == IO_OP_IN_FLIGHT);
    assert(po->step != STEP_WAITING);
    list_remove(&op->priv.link);
    /* A failed sync is never repeated, not even after an interruption. */
    bool interrupted = result == -EINTR && po->kind != OP_SYNC && po->step != STEP_SYNC;
    if (interrupted && !po->cancelled && po->kind != OP_CONNECT) {
        uring_issue(u, op);
        return;
    }
    result = interrupted && po->cancelled ? -ECANCELED : result;
    switch ((enum op_kind)po->kind) {
    case OP_READ:
    case OP_WRITE:
        complete_transfer(u, op, result);
        break;
    case OP_UNLINK:
        if (result == -EISDIR && po->step == STEP_FIRST) {
            po->step = STEP_DIRECTORY;
            uring_issue(u, op);
            break;
        }
        posix_finish(&u->posix, op, result);
        break;
    case OP_ACCEPT:
        if (accept_again(result) && !po->cancelled) {
            uring_issue(u, op);
            break;
        }
        posix_finish(&u->posix, op,
                     result < 0 ? result : posix_accepted(&u->posix, po, (int)result));
        break;
    case OP_CONNECT:
        posix_connected(&u->posix, op, result);
        break;
    default:
        posix_finish(&u->posix, op, result);
    }
}

struct completion {
    uint64_t data;
    int32_t result;
};

/* Copies up to REAP_BATCH completions out, so that handlers may submit freely. */
static unsigned uring_take(struct uring_io *u, struct completion out[static REAP_BATCH])
{
    struct io_uring_cqe *cqes[REAP_BATCH];
    unsigned count = io_uring_peek_batch_cqe(&u->ring, cqes, REAP_BATCH);
    for (unsigned i = 0; i < count; i++) {
        out[i] = (struct completion){cqes[i]->user_data, cqes[i]->res};
        enum tag tag = cqes[i]->user_data & TAG_MASK;
        if (tag == TAG_OP || tag == TAG_WAKE || tag == TAG_CANCEL) {
            assert(u->in_flight > 0);
            u->in_flight--;
        }
        u->wake_armed &= tag != TAG_WAKE;
    }
    io_uring_cq_advance(&u->ring, count);
    return count;
}

static void uring_ring_failed(struct uring_io *u, unsigned shard, int error)
{
    assert(shard < u->posix.group->shards);
    if (u->message_ring) {
        log_info(u->posix.io.logger, "io", "MSG_RING does not work here (%d): using eventfd",
                 error);
        u->message_ring = false;
    }
    posix_wake(u->posix.group->ios[shard]);
}

/* Handles what was there when the turn began; what its handlers complete is for the next one. */
static void uring_reap(struct uring_io *u)
{
    unsigned left = io_uring_cq_ready(&u->ring);
    while (left > 0) {
        struct completion batch[REAP_BATCH];
        unsigned count = uring_take(u, batch);
        for (unsigned i = 0; i < count; i++) {
            uint64_t data = batch[i].data;
            switch ((enum tag)(data & TAG_MASK)) {
            case TAG_OP:
                uring_complete(u, (struct io_op *)(uintptr_t)data, batch[i].result);
                break;
            case TAG_RING:
                uring_ring_failed(u, (unsigned)(data >> TAG_BITS), batch[i].result);
                break;
            default:
                break;
            }
        }
        left = count > 0 && count < left ? left - count : 0;
    }
}

/* --- the loop --------------------------------------------------------------------------------- */

static void uring_enter_kernel(struct uring_io *u, uint64_t wait_ns)
{
    int result = 0;
    if (wait_ns > 0 && io_uring_cq_ready(&u->ring) == 0) {
        struct __kernel_timespec wait = {(int64_t)(wait_ns / 1000000000),
                                         (long long)(wait_ns % 1000000000)};
        struct io_uring_cqe *cqe;
        result = io_uring_submit_and_wait_timeout(&u->ring, &cqe, 1,
                                                  wait_ns == UINT64_MAX ? NULL : &wait, NULL);
    } else if (io_uring_sq_ready(&u->ring) > 0 ||
               *u->ring.sq.kflags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) {
        result = io_uring_submit_and_get_events(&u->ring);
    }
    /* What is refused for the moment stays in the queue and goes with the next turn. */
    assert(result >= 0 || result == -ETIME || result == -EINTR || result == -EAGAIN ||
           result == -EBUSY || result == -ENOMEM);
}

static void uring_run_once(struct io *io, uint64_t timeout_ns)
{
    struct posix_io *p = posix_of(io);
    struct uring_io *u = uring_of(p);
    struct posix_io *outer = posix_enter(p);
    uring_enable(u);
    uring_arm_wake(u);
    uring_issue_waiting(u);
    bool full = !list_empty(&u->waiting) || !list_empty(&u->cancelling) || !u->wake_armed;
    uring_enter_kernel(u, posix_wait_ns(p, full ? 0 : timeout_ns));
    posix_turn_begin(p);
    uring_reap(u);
    posix_turn_end(p);
    posix_enter(outer);
}

/* Sockets are shut down besides the cancellation, for kernels that cannot cancel everything at
 * once; writes and syncs run to their end. */
static void uring_leave(struct posix_io *p)
{
    struct uring_io *u = uring_of(p);
    if (!u->enabled) {
        return;
    }
    struct __kernel_timespec patience = {0, LEAVE_PATIENCE_NS};
    struct completion batch[REAP_BATCH];
    while (u->in_flight > 0) {
        struct io_uring_cqe *cqe;
        io_uring_submit(&u->ring);
        struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
        if (sqe) {
            io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
            io_uring_sqe_set_data64(sqe, TAG_CANCEL);
            u->in_flight++;
        }
        sockets_shutdown(p);
        posix_wake(p);
        io_uring_submit_and_wait_timeout(&u->ring, &cqe, 1, &patience, NULL);
        while (uring_take(u, batch) > 0) {
        }
    }
    if (u->registered) {
        io_uring_unregister_ring_fd(&u->ring);
        u->registered = false;
    }
}

static void uring_close(struct posix_io *p)
{
    (void)io_uring_unregister_files(&uring_of(p)->ring); /* at once: nothing is in flight */
    io_uring_queue_exit(&uring_of(p)->ring);
}

/* A registered file is let go when the ring is freed, which is after its last operation. */
static void uring_file_hold(struct io *io, struct io_file *file)
{
    struct uring_io *u = uring_of(container_of(io, struct posix_io, io));
    int error = io_uring_register_files(&u->ring, &file->fd, 1);
    if (error < 0) {
        log_warn(io_logger(io), "io", "the lock may end before the last operation: %s",
                 strerror(-error));
    }
}

static const struct io_ops uring_ops = {
    .file_hold = uring_file_hold, .name = "io_uring", .run_once = uring_run_once, POSIX_IO_OPS};

const struct posix_backend uring_backend = {
    .ops = &uring_ops,
    .size = sizeof(struct uring_io),
    .open = uring_open,
    .leave = uring_leave,
    .close = uring_close,
    .wake = uring_wake,
    .start = uring_start,
    .cancel = uring_cancel,
};
