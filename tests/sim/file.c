/* SPDX-License-Identifier: Apache-2.0 */

/* Files of the seam on a simulated disk: latency, faults, crash points, and the rules of the
 * contract that callers must keep (alignment, lent memory, nothing in flight at close). */
#include "sim_private.h"

#include <errno.h>

static struct sim_file *file_of(struct io_file *file)
{
    assert(file);
    struct sim_file *f = (struct sim_file *)file;
    assert(f->ops == &sim_io_ops);
    return f;
}

static const struct sim_file *file_of_const(const struct io_file *file)
{
    const struct sim_file *f = (const struct sim_file *)file;
    assert(f->ops == &sim_io_ops);
    return f;
}

static void trace_name(struct sim_shard *s, const char *what, const char *path, int result)
{
    struct sim *sim = s->node->sim;
    sim_trace(sim, SIM_WHAT_NAME, s->node->index, sim_checksum(0, path, strlen(path)),
              (uint64_t)result);
    if (!sim->options.brief) {
        sim_story(sim, "%s/%u %s %s = %d", s->node->name, s->io.shard, what, path, result);
    }
}

/* --- names --------------------------------------------------------------------------- */

int sim_file_open(struct io *io, struct io_file **out, const char *path, unsigned flags)
{
    struct sim_shard *s = sim_shard(io);
    struct sim_node *n = s->node;
    if (flags & IO_OPEN_CREATE) {
        sim_point_call(s);
    }
    unsigned how = (flags & IO_OPEN_CREATE ? DISK_OPEN_CREATE : 0) |
                   (flags & IO_OPEN_EXCLUSIVE ? DISK_OPEN_EXCLUSIVE : 0) |
                   (flags & IO_OPEN_DIRECTORY ? DISK_OPEN_DIRECTORY : 0);
    struct disk_inode *inode;
    int error = disk_open(n->disk, &inode, path, how);
    trace_name(s, flags & IO_OPEN_CREATE ? "create" : "open", path, error);
    if (error < 0) {
        return error;
    }
    struct sim_file *f = sim_memory(sizeof *f);
    size_t size = strlen(path) + 1;
    *f = (struct sim_file){
        .ops = &sim_io_ops,
        .node = n,
        .inode = inode,
        .path = memcpy(sim_memory(size), path, size),
        .direct = (flags & IO_OPEN_DIRECT) && !n->sim->faults.direct_refused,
        .readable = flags & IO_OPEN_READ,
        .writable = flags & IO_OPEN_WRITE,
    };
    list_append(&n->files, &f->link);
    *out = (struct io_file *)f;
    return 0;
}

void sim_file_close(struct io *io, struct io_file *file)
{
    struct sim_file *f = file_of(file);
    assert(f->node == sim_shard(io)->node);
    assert(f->in_flight == 0);
    disk_unlock(f->inode, f);
    disk_close(f->node->disk, f->inode);
    list_remove(&f->link);
    free(f->path);
    free(f);
}

bool sim_file_direct(const struct io_file *file)
{
    return file_of_const(file)->direct;
}

int64_t sim_file_size(struct io *io, struct io_file *file)
{
    return (int64_t)disk_size(file_of(file)->inode);
}

int sim_file_lock(struct io *io, struct io_file *file)
{
    struct sim_file *f = file_of(file);
    return disk_lock(f->inode, f) ? 0 : -EWOULDBLOCK;
}

void *sim_file_map(struct io *io, struct io_file *file, size_t size)
{
    struct sim_file *f = file_of(file);
    assert(!f->mapped);
    void *map = disk_map(f->node->disk, f->inode, size);
    f->mapped = map != NULL;
    return map;
}

int sim_file_rename(struct io *io, const char *from, const char *to)
{
    struct sim_shard *s = sim_shard(io);
    sim_point_call(s);
    int error = disk_rename(s->node->disk, from, to);
    trace_name(s, "rename from", from, error);
    trace_name(s, "rename to", to, error);
    return error;
}

int sim_file_mkdir(struct io *io, const char *path)
{
    struct sim_shard *s = sim_shard(io);
    sim_point_call(s);
    int error = disk_mkdir(s->node->disk, path);
    trace_name(s, "mkdir", path, error);
    return error;
}

int sim_file_list(struct io *io, const char *path,
                  void (*each)(void *context, const char *name, bool directory), void *context)
{
    struct sim_shard *s = sim_shard(io);
    int error = disk_list(s->node->disk, path, each, context);
    trace_name(s, "list", path, error);
    return error;
}

int sim_file_disk(struct io *io, const char *path, struct io_disk *out)
{
    struct sim_node *n = sim_shard(io)->node;
    if (!disk_find(n->disk, path)) {
        return -ENOENT;
    }
    struct disk_space space = disk_space(n->disk);
    *out = (struct io_disk){space.free_bytes, space.total_bytes};
    return 0;
}

/* --- operations ---------------------------------------------------------------------- */

static const char *const kind_names[] = {
    [SIM_READ] = "read",         [SIM_WRITE] = "write",       [SIM_SYNC] = "sync",
    [SIM_SYNC_ALL] = "sync_all", [SIM_ALLOCATE] = "allocate", [SIM_TRUNCATE] = "truncate",
    [SIM_UNLINK] = "unlink",
};

static bool is_slow(const struct sim *sim, const struct sim_file *f)
{
    return sim->faults.slow_name && f && strstr(f->path, sim->faults.slow_name);
}

static void begin(struct sim_op *o, struct sim_file *f, const struct sim_latency *latency,
                  unsigned flags)
{
    struct sim_shard *s = o->shard;
    struct sim *sim = s->node->sim;
    o->file = f;
    if (f) {
        f->in_flight++;
    }
    sim_trace(sim, SIM_WHAT_SUBMIT, s->node->index * 64 + o->kind, o->position,
              o->size ^ o->checksum);
    if (sim->options.story && !sim->options.brief) {
        sim_story(sim, "%s/%u %s%s %s %llu+%llu", s->node->name, s->io.shard, kind_names[o->kind],
                  flags & IO_WRITE_DURABLE ? " durable" : "", f ? f->path : "",
                  (unsigned long long)o->position, (unsigned long long)o->size);
    }
    sim_op_after(o, is_slow(sim, f) ? &sim->faults.slow : latency, SIM_STREAM_DISK);
}

static void end(struct sim_op *o, int64_t result)
{
    if (o->file) {
        assert(o->file->in_flight > 0);
        o->file->in_flight--;
    }
    sim_op_ready(o, result);
}

void sim_file_cancel(struct sim_op *o)
{
    assert(o->kind == SIM_READ);
    end(o, -ECANCELED);
}

static void finish_read(struct sim_op *o)
{
    struct sim *sim = o->shard->node->sim;
    if (sim_fault(sim, SIM_STREAM_DISK, sim->faults.read_error)) {
        sim_story(sim, "%s fault: a read fails", o->shard->node->name);
        end(o, -EIO);
        return;
    }
    if (!o->looked) {
        o->result = disk_read(o->shard->node->disk, o->file->inode, o->buffer, o->size, o->position,
                              &sim->streams[SIM_STREAM_DISK]);
    }
    end(o, o->result);
}

/* What it sees is decided now or at its end. */
void sim_file_read(struct io *io, struct io_op *op, struct io_file *file, void *buffer, size_t size,
                   uint64_t position)
{
    struct sim_shard *s = sim_shard(io);
    struct sim *sim = s->node->sim;
    struct sim_file *f = file_of(file);
    assert(f->readable);
    assert(!f->direct || ((uintptr_t)buffer | size | position) % IO_BLOCK_SIZE == 0);
    struct sim_op *o = sim_op_new(s, SIM_READ, op, finish_read);
    o->buffer = buffer;
    o->size = size;
    o->position = position;
    if (prng_chance(&sim->streams[SIM_STREAM_DISK], 1, 2)) {
        o->looked = true;
        o->result = disk_read(s->node->disk, f->inode, buffer, size, position,
                              &sim->streams[SIM_STREAM_DISK]);
    }
    begin(o, f, &sim->faults.read, 0);
}

static uint64_t iovecs_checksum(const struct iovec *iovecs, unsigned count)
{
    uint64_t h = 1;
    for (unsigned i = 0; i < count; i++) {
        h = sim_checksum(h, iovecs[i].iov_base, iovecs[i].iov_len);
    }
    return h;
}

static void finish_write(struct sim_op *o)
{
    struct sim_node *n = o->shard->node;
    struct sim *sim = n->sim;
    if (sim_point(o->shard)) {
        return;
    }
    if (!sim_op_pieces_stand(o) ||
        iovecs_checksum(o->iovecs, o->count) != o->checksum) { /* contract 3 */
        sim_broken(n, "memory that was lent to a write has changed");
        return;
    }
    struct prng *random = &sim->streams[SIM_STREAM_DISK];
    if (sim_fault(sim, SIM_STREAM_DISK, sim->faults.write_error)) {
        sim_story(sim, "%s fault: a write fails", n->name);
        disk_fail(n->disk, o->disk_op, random);
        end(o, -EIO);
        return;
    }
    if (sim_fault(sim, SIM_STREAM_DISK, sim->faults.write_misdirected)) {
        sim_story(sim, "%s fault: a write is misdirected", n->name);
        disk_misdirect(n->disk, o->disk_op, random);
    } else if (sim_fault(sim, SIM_STREAM_DISK, sim->faults.write_lost)) {
        sim_story(sim, "%s fault: a write is lost", n->name);
        disk_lose(o->disk_op);
    }
    end(o, disk_end(n->disk, o->disk_op));
}

void sim_file_write(struct io *io, struct io_op *op, struct io_file *file,
                    const struct iovec *iovecs, unsigned count, uint64_t position, unsigned flags)
{
    struct sim_shard *s = sim_shard(io);
    struct sim_file *f = file_of(file);
    assert(f->writable);
    sim_point_call(s);
    struct sim_op *o = sim_op_new(s, SIM_WRITE, op, finish_write);
    sim_op_pieces(o, iovecs, count);
    o->position = position;
    for (unsigned i = 0; i < count; i++) {
        assert(!f->direct ||
               ((uintptr_t)iovecs[i].iov_base | iovecs[i].iov_len | position) % IO_BLOCK_SIZE == 0);
    }
    o->checksum = iovecs_checksum(iovecs, count);
    o->disk_op = disk_write_begin(s->node->disk, f->inode, iovecs, count, position,
                                  flags & IO_WRITE_DURABLE);
    begin(o, f, &s->node->sim->faults.write, flags);
}

static void finish_sync(struct sim_op *o)
{
    struct sim_node *n = o->shard->node;
    struct sim *sim = n->sim;
    if (sim_point(o->shard)) {
        return;
    }
    if (sim_fault(sim, SIM_STREAM_DISK, sim->faults.sync_error)) {
        sim_story(sim, "%s fault: a sync fails", n->name);
        disk_fail(n->disk, o->disk_op, &sim->streams[SIM_STREAM_DISK]);
        end(o, -EIO);
        return;
    }
    end(o, disk_end(n->disk, o->disk_op));
}

void sim_file_sync(struct io *io, struct io_op *op, struct io_file *file)
{
    struct sim_shard *s = sim_shard(io);
    struct sim_file *f = file_of(file);
    sim_point_call(s);
    struct sim_op *o = sim_op_new(s, SIM_SYNC, op, finish_sync);
    o->disk_op = disk_sync_begin(s->node->disk, f->inode);
    begin(o, f, &s->node->sim->faults.sync, 0);
}

void sim_file_sync_all(struct io *io, struct io_op *op, struct io_file *file)
{
    struct sim_shard *s = sim_shard(io);
    sim_point_call(s);
    struct sim_op *o = sim_op_new(s, SIM_SYNC_ALL, op, finish_sync);
    o->disk_op = disk_sync_begin(s->node->disk, NULL);
    begin(o, file_of(file), &s->node->sim->faults.sync, 0);
}

static void finish_name(struct sim_op *o)
{
    struct sim_node *n = o->shard->node;
    if (!sim_point(o->shard)) {
        end(o, disk_end(n->disk, o->disk_op));
    }
}

void sim_file_allocate(struct io *io, struct io_op *op, struct io_file *file, uint64_t position,
                       uint64_t size)
{
    struct sim_shard *s = sim_shard(io);
    struct sim_file *f = file_of(file);
    assert(f->writable);
    sim_point_call(s);
    struct sim_op *o = sim_op_new(s, SIM_ALLOCATE, op, finish_name);
    o->position = position;
    o->size = size;
    o->disk_op = disk_allocate_begin(s->node->disk, f->inode, position, size);
    begin(o, f, &s->node->sim->faults.name, 0);
}

void sim_file_truncate(struct io *io, struct io_op *op, struct io_file *file, uint64_t size)
{
    struct sim_shard *s = sim_shard(io);
    struct sim_file *f = file_of(file);
    assert(f->writable);
    sim_point_call(s);
    struct sim_op *o = sim_op_new(s, SIM_TRUNCATE, op, finish_name);
    o->size = size;
    o->disk_op = disk_truncate_begin(s->node->disk, f->inode, size);
    begin(o, f, &s->node->sim->faults.name, 0);
}

void sim_file_unlink(struct io *io, struct io_op *op, const char *path)
{
    struct sim_shard *s = sim_shard(io);
    sim_point_call(s);
    struct sim_op *o = sim_op_new(s, SIM_UNLINK, op, finish_name);
    o->disk_op = disk_unlink_begin(s->node->disk, path);
    trace_name(s, "unlink", path, 0);
    begin(o, NULL, &s->node->sim->faults.name, 0);
}
