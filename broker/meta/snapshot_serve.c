/* SPDX-License-Identifier: Apache-2.0 */

/* A piece travels to shard 0, is read there from the file of the newest snapshot, and travels back. The file is
 * opened for each piece: one that is removed meanwhile can be read to the end of the piece, and the next one is
 * answered with SNAPSHOT_NOT_FOUND. */
#include "meta/snapshot_serve.h"

#include "meta/meta_private.h"

#include <errno.h>

static void delivered(struct io_message *post, struct io *io)
{
    struct meta_piece *p = container_of(post, struct meta_piece, priv.post);
    assert(io == p->priv.io);
    p->done(p);
}

static void reply(struct meta_piece *p)
{
    p->priv.post.deliver = delivered;
    io_post(p->priv.meta->io, io_shard(p->priv.io), &p->priv.post);
}

static void refuse(struct meta_piece *p, int error)
{
    p->answer.error = error;
    reply(p);
}

static void piece_read(struct io_op *op, int64_t result)
{
    struct meta_piece *p = container_of(op, struct meta_piece, priv.op);
    struct meta *m = p->priv.meta;
    io_file_close(m->io, p->priv.file);
    m->serve_reads--;
    if (result > 0) {
        p->answer.piece = bytes_of(p->bytes, (size_t)result);
        reply(p);
    } else {
        log_warn(io_logger(m->io), "meta",
                 "the snapshot at offset=%lld cannot be read for node=%d: %s",
                 (long long)p->request.id.offset, (int)p->request.from.node,
                 result < 0 ? error_text(error_from_errno(result)) : "the file is cut off");
        refuse(p, ERR_DISK_FAILED);
    }
    meta_log_idle(m);
}

static int wrong(const struct meta *m, const struct snapshot_request *r,
                 const struct raft_status *status)
{
    if (status->role != RAFT_LEADER) {
        return ERR_NOT_LEADER_OR_FOLLOWER;
    }
    if (r->epoch != status->epoch) {
        return r->epoch < status->epoch ? ERR_FENCED_LEADER_EPOCH : ERR_UNKNOWN_LEADER_EPOCH;
    }
    bool newest = r->id.offset == m->last_snapshot.end_offset &&
                  r->id.epoch == m->last_snapshot.epoch && r->id.offset > 0;
    return newest ? 0 : ERR_SNAPSHOT_NOT_FOUND;
}

static int open_newest(struct meta *m, struct meta_piece *p)
{
    char path[IO_PATH_MAX], name[SNAPSHOT_NAME_SIZE];
    snapshot_name(m->last_snapshot, name);
    int error = file_path(path, m->snapshots, name);
    assert(!error); /* meta_open() has read, or meta_snapshot.c written it */
    error = io_file_open(m->io, &p->priv.file, path, IO_OPEN_READ);
    if (error) {
        return error == -ENOENT ? ERR_SNAPSHOT_NOT_FOUND : ERR_DISK_FAILED;
    }
    int64_t size = io_file_size(m->io, p->priv.file);
    if (size < 0 || p->request.position >= size) {
        io_file_close(m->io, p->priv.file);
        return size < 0 ? ERR_DISK_FAILED : ERR_POSITION_OUT_OF_RANGE;
    }
    p->answer.size = size;
    p->answer.position = p->request.position;
    return 0;
}

static void arrived(struct io_message *post, struct io *io)
{
    struct meta_piece *p = container_of(post, struct meta_piece, priv.post);
    struct meta *m = p->priv.meta;
    assert(m->magic == META_MAGIC && io == m->io);
    if (!m->quorum.raft || m->resigned) {
        p->error = ERR_CLOSED;
        reply(p);
        return;
    }
    struct raft_status status = raft_status(m->quorum.raft);
    p->answer = (struct snapshot_answer){
        .epoch = status.epoch, .leader = status.leader, .id = p->request.id};
    int error = wrong(m, &p->request, &status);
    error = error ? error : open_newest(m, p);
    if (error) {
        refuse(p, error);
        return;
    }
    size_t size = p->room < (uint32_t)p->request.bytes_max ? p->room : (size_t)p->request.bytes_max;
    int64_t left = p->answer.size - p->answer.position;
    size = (int64_t)size < left ? size : (size_t)left;
    m->serve_reads++;
    p->priv.op.done = piece_read;
    io_read(m->io, &p->priv.op, p->priv.file, p->bytes, size, (uint64_t)p->answer.position);
    quorum_heard(m, p->request.from, p->request.epoch);
}

void meta_piece(struct meta *meta, struct io *io, struct meta_piece *p)
{
    assert(p->done && p->room > 0 && p->request.bytes_max > 0);
    memset(&p->priv, 0, sizeof p->priv);
    p->error = 0;
    p->answer = (struct snapshot_answer){0};
    p->priv.meta = meta;
    p->priv.io = io;
    p->priv.post.deliver = arrived;
    io_post(io, 0, &p->priv.post);
}
