/* SPDX-License-Identifier: Apache-2.0 */

/* Taking a snapshot while serving (M13).
 *
 *     writing the batches of a sealed image, one write at a time, to snapshot.tmp
 *         -> sync -> rename to its id -> sync of the directory
 *         -> the log begins at the snapshot's end (LOG_START, journaled)
 *         -> the snapshot before it is removed
 *
 * A crash anywhere leaves the newest durable snapshot and the log from its end on. A full disk ends
 * the attempt; the next is made when as much has been written again. */
#include "meta/meta_private.h"

#include <errno.h>
#include <stdio.h>

static void end(struct meta *m)
{
    struct meta_snapshot *s = &m->snapshot;
    snapshot_writer_deinit(&s->writer);
    io_file_close(m->io, s->file);
    s->file = NULL;
    s->active = false;
    if (m->state == META_CLOSING) {
        meta_close_next(m);
    } else {
        meta_load_next(m);
    }
}

static void give_up(struct meta *m, const char *why)
{
    log_warn(io_logger(m->io), "meta", "no snapshot of the metadata was made: %s", why);
    end(m);
}

/* Whether the attempt ends here. What is not a full disk ends the node (L11). */
static bool refused(struct meta *m, int64_t result, const char *what)
{
    if (result == -ENOSPC || result == -EDQUOT) {
        give_up(m, "the disk is full");
        return true;
    }
    if (result < 0) {
        io_fatal(m->io, "%s of %s failed: %s; check the disk", what, m->snapshot.temporary,
                 error_text(error_from_errno(result)));
    }
    return false;
}

static struct meta *of_op(struct io_op *op)
{
    struct meta *m = container_of(op, struct meta, snapshot.op);
    assert(m->magic == META_MAGIC && m->snapshot.active);
    return m;
}

static void old_removed(struct io_op *op, int64_t result)
{
    struct meta *m = of_op(op);
    if (result < 0 && result != -ENOENT) {
        log_warn(io_logger(m->io), "meta", "cannot remove path=%s: %s", m->snapshot.old,
                 error_text(error_from_errno(result)));
    }
    end(m);
}

static void log_started(struct log_control *c, int error)
{
    struct meta *m = container_of(c, struct meta, snapshot.control);
    struct meta_snapshot *s = &m->snapshot;
    if (error) {
        give_up(m, error_text(error));
        return;
    }
    quorum_snapshot_taken(m, (struct raft_end){s->id.epoch, s->id.end_offset});
    log_retain(m->log, io_wall_ms(m->io), 64);
    log_info(io_logger(m->io), "meta", "snapshot offset=%lld epoch=%d bytes=%llu",
             (long long)s->id.end_offset, (int)s->id.epoch, (unsigned long long)s->position);
    if (!s->old[0]) {
        end(m);
        return;
    }
    s->op.done = old_removed;
    io_unlink(m->io, &s->op, s->old);
}

static void named(struct file_sync *sync, int error)
{
    struct meta *m = container_of(sync, struct meta, snapshot.sync);
    struct meta_snapshot *s = &m->snapshot;
    if (error) {
        io_fatal(m->io, "the directory %s cannot be synced: %s; check the disk", m->snapshots,
                 error_text(error));
    }
    s->old[0] = 0;
    if (m->last_snapshot.end_offset > 0) {
        char name[SNAPSHOT_NAME_SIZE];
        snapshot_name(m->last_snapshot, name);
        error = file_path(s->old, m->snapshots, name);
        assert(!error); /* as long as s->path */
    }
    m->last_snapshot = s->id;
    s->control = (struct log_control){
        .kind = LOG_START,
        .offset = s->id.end_offset,
        .done = log_started,
    };
    log_control(m->log, &s->control);
}

static void synced(struct io_op *op, int64_t result)
{
    struct meta *m = of_op(op);
    struct meta_snapshot *s = &m->snapshot;
    if (refused(m, result, "sync")) {
        return;
    }
    io_file_close(m->io, s->file);
    s->file = NULL;
    int error = io_rename(m->io, s->temporary, s->path);
    if (error) {
        io_fatal(m->io, "renaming %s failed: %s; check the disk", s->temporary,
                 error_text(error_from_errno(error)));
    }
    s->sync.done = named;
    file_sync_directory(m->io, &s->sync, m->snapshots);
}

static void write_next(struct meta *m)
{
    struct meta_snapshot *s = &m->snapshot;
    struct bytes batch;
    int more = snapshot_writer_next(&s->writer, &batch);
    if (more < 0) {
        give_up(m, error_text(more));
    } else if (more == 0) {
        s->op.done = synced;
        io_sync(m->io, &s->op, s->file);
    } else {
        s->iovec = (struct iovec){(void *)batch.data, batch.size};
        io_write(m->io, &s->op, s->file, &s->iovec, 1, s->position, 0);
    }
}

static void written(struct io_op *op, int64_t result)
{
    struct meta *m = of_op(op);
    if (refused(m, result, "write")) {
        return;
    }
    m->snapshot.position += m->snapshot.iovec.iov_len;
    write_next(m);
}

static void emptied(struct io_op *op, int64_t result)
{
    struct meta *m = of_op(op);
    if (refused(m, result, "truncation")) {
        return;
    }
    op->done = written;
    write_next(m);
}

void meta_snapshot_maybe(struct meta *m)
{
    struct meta_snapshot *s = &m->snapshot;
    char name[SNAPSHOT_NAME_SIZE];
    /* The core remembers so many epochs behind a snapshot (RAFT_EPOCHS_MAX). */
    bool due = m->bytes_since_snapshot >= m->options.snapshot_bytes ||
               image_epoch(m->image) - m->snapshot_epoch > META_SNAPSHOT_EPOCHS;
    bool news =
        image_offset(m->image) + 1 > m->last_snapshot.end_offset; /* bytes may be taken back */
    if (!due || !news || s->active || m->load.active || m->state != META_ACTIVE) {
        return;
    }
    m->bytes_since_snapshot = 0;
    m->snapshot_epoch = image_epoch(m->image);
    s->id = (struct snapshot_id){image_offset(m->image) + 1, image_epoch(m->image)};
    snapshot_name(s->id, name);
    if (file_path(s->path, m->snapshots, name) ||
        file_path(s->temporary, m->snapshots, "snapshot.tmp")) {
        log_warn(io_logger(m->io), "meta", "the path of the snapshots is too long");
        return;
    }
    int error = io_file_open(m->io, &s->file, s->temporary, IO_OPEN_WRITE | IO_OPEN_CREATE);
    if (error) {
        s->file = NULL;
        log_warn(io_logger(m->io), "meta", "cannot write path=%s: %s", s->temporary,
                 error_text(error_from_errno(error)));
        return;
    }
    s->active = true;
    s->position = 0;
    snapshot_writer_init(&s->writer, m->memory, m->image, m->identity.cluster_id);
    s->op.done = emptied;
    io_truncate(m->io, &s->op, s->file, 0);
}
