/* SPDX-License-Identifier: Apache-2.0 */

/* A leader's snapshot takes the place of the log (M13).
 *
 *     snapshot-load.tmp, whole and durable
 *         -> its id .loaded -> sync of the directory    from here on a start goes on with this
 *         -> the log begins anew at the snapshot's end  (LOG_ANEW, journaled)
 *         -> its id .checkpoint -> sync of the directory
 *         -> older snapshots are removed -> done
 *
 *   N1  A snapshot has the name of one that the log lies behind only when it does: a log that ends before such a
 *       one is damage, and a log of another history is never read behind it.
 *   N2  Nothing is appended before the last name is durable: a start that finds the first one takes nothing away
 *       when it begins the log anew once more. */
#include "meta/meta_private.h"

#include <errno.h>
#include <stdio.h>

static void path_of(struct meta *m, char out[static IO_PATH_MAX], struct snapshot_id id,
                    void (*name_of)(struct snapshot_id id, char out[static SNAPSHOT_NAME_SIZE]))
{
    char name[SNAPSHOT_NAME_SIZE];
    name_of(id, name);
    int error = file_path(out, m->snapshots, name);
    assert(!error); /* meta_load.c has measured the path */
}

static void rename_or_die(struct meta *m, const char *from, const char *to)
{
    int error = io_rename(m->io, from, to);
    if (error) {
        io_fatal(m->io, "renaming %s to %s failed: %s; check the disk", from, to,
                 error_text(error_from_errno(error)));
    }
}

static void sync_names(struct meta *m, void (*done)(struct file_sync *sync, int error))
{
    m->install.sync.done = done;
    file_sync_directory(m->io, &m->install.sync, m->snapshots);
}

static struct meta *synced(struct file_sync *sync, int error)
{
    struct meta *m = container_of(sync, struct meta, install.sync);
    assert(m->magic == META_MAGIC);
    if (error) {
        io_fatal(m->io, "the directory %s cannot be synced: %s; check the disk", m->snapshots,
                 error_text(error));
    }
    return m;
}

/* --- older snapshots -------------------------------------------------------------------------- */

static void each_older(void *context, const char *name, bool directory)
{
    struct meta *m = context;
    struct snapshot_id id;
    if (!directory && snapshot_name_parse(bytes_of_string(name), &id) &&
        id.end_offset < m->install.id.end_offset && id.end_offset > m->install.old.end_offset) {
        m->install.old = id;
    }
}

static void remove_next(struct meta *m);

static void removed(struct io_op *op, int64_t result)
{
    struct meta *m = container_of(op, struct meta, install.op);
    if (result < 0 && result != -ENOENT) {
        log_warn(io_logger(m->io), "meta", "cannot remove path=%s: %s", m->install.loaded,
                 error_text(error_from_errno(result)));
        m->install.done(m);
        return;
    }
    remove_next(m);
}

/* They are only in the way: whoever cannot list or remove them goes on. */
static void remove_next(struct meta *m)
{
    struct meta_install *s = &m->install;
    s->old = (struct snapshot_id){0};
    if (io_list(m->io, m->snapshots, each_older, m) < 0 || s->old.end_offset == 0) {
        s->done(m);
        return;
    }
    path_of(m, s->loaded, s->old, snapshot_name);
    s->op.done = removed;
    io_unlink(m->io, &s->op, s->loaded);
}

/* --- the log ---------------------------------------------------------------------------------- */

static void named(struct file_sync *sync, int error)
{
    struct meta *m = synced(sync, error);
    m->last_snapshot = m->install.id;
    m->snapshot_epoch = m->install.id.epoch;
    m->bytes_since_snapshot = 0;
    remove_next(m);
}

static void begun_anew(struct log_control *c, int error)
{
    struct meta *m = container_of(c, struct meta, install.control);
    if (error) {
        io_fatal(m->io, "the metadata log in %s cannot begin at offset %lld: %s", m->options.root,
                 (long long)c->offset, error_text(error));
    }
    rename_or_die(m, m->install.loaded, m->install.path);
    sync_names(m, named);
}

static void begin_anew(struct meta *m)
{
    struct meta_install *s = &m->install;
    s->control = (struct log_control){
        .kind = LOG_ANEW,
        .offset = s->id.end_offset,
        .leader_epoch = s->id.epoch,
        .done = begun_anew,
    };
    log_control(m->log, &s->control);
}

static void kept(struct file_sync *sync, int error)
{
    begin_anew(synced(sync, error));
}

/* --- the ways in ------------------------------------------------------------------------------ */

static void prepare(struct meta *m, struct snapshot_id id, void (*done)(struct meta *m))
{
    m->install.id = id;
    m->install.done = done;
    path_of(m, m->install.loaded, id, snapshot_loaded_name);
    path_of(m, m->install.path, id, snapshot_name);
}

void meta_install(struct meta *m, struct snapshot_id id, const char *temporary,
                  void (*done)(struct meta *m))
{
    prepare(m, id, done);
    rename_or_die(m, temporary, m->install.loaded);
    sync_names(m, kept);
}

void meta_install_again(struct meta *m, struct snapshot_id id, void (*done)(struct meta *m))
{
    prepare(m, id, done);
    sync_names(m, kept); /* the name that was found may have been on its way to the disk */
}
