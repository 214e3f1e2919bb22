/* SPDX-License-Identifier: Apache-2.0 */

/* Trash: what is deleted is renamed first, which is quick and takes its name out of the way, then
 * removed piece by piece in the background, one operation at a time. What a crash leaves in
 * <root>/trash is removed by the next start.
 *
 * A large file is cut back in steps before it goes: a file system that gives 128 MiB back at once may hold
 * up everybody's commits for 20 ms, steps of 2 MiB hardly do. Who waits for the room gets it
 * at once. */
#include "log/log_private.h"

#include "base/errors.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

enum {
    TRASH_TRIES = 100000, /* names that an earlier life has left, before it counts as broken */
    TRASH_PAUSE_MS = 10,
    TRASH_QUEUE = 8, /* files: with so many nothing pauses, to keep up with what comes */
};

struct trash {
    struct list link;
    struct log_set *set;
    struct io_op op;
    char path[IO_PATH_MAX];
    char child[IO_PATH_MAX];
    bool found;
    struct io_file *file; /* that is cut back; NULL: none */
    uint64_t size;        /* of it */
};

static void trash_next(struct trash *t);
static void trash_done(struct io_op *op, int64_t result);

static void trash_child(void *context, const char *name, bool directory)
{
    struct trash *t = context;
    if (!t->found && !directory) {
        int size = snprintf(t->child, sizeof t->child, "%s/%s", t->path, name);
        t->found = size > 0 && (size_t)size < sizeof t->child;
    }
}

static void trash_end(struct trash *t)
{
    struct log_set *set = t->set;
    list_remove(&t->link);
    memory_free(set->memory, t);
    set->in_flight--;
    if (set->closing) {
        log_set_close_step(set);
        return;
    }
    if (!list_empty(&set->trash)) {
        trash_next(container_of(set->trash.next, struct trash, link));
    }
    log_set_progress(set); /* a recovery waits for the last of them */
}

/* Removes what was chosen, also after a cut that has failed: nothing rests on the file any more (L11). */
static void trash_unlink(struct trash *t)
{
    if (t->file) {
        io_file_close(t->set->io, t->file);
        t->file = NULL;
    }
    if (t->set->closing) {
        trash_end(t);
        return;
    }
    t->op.done = trash_done;
    io_unlink(t->set->io, &t->op, t->found ? t->child : t->path);
}

static bool trash_hurries(const struct log_set *set)
{
    return set->closing || set->recovering || set->disk_full || set->waiting_appends > 0;
}

static bool trash_long(const struct log_set *set)
{
    unsigned count = 0;
    for (const struct list *n = set->trash.next; n != &set->trash && count < TRASH_QUEUE;
         n = n->next) {
        count++;
    }
    return count == TRASH_QUEUE;
}

static void trash_cut(struct trash *t);

static void trash_paused(struct io_op *op, int64_t result)
{
    (void)result;
    trash_cut(container_of(op, struct trash, op));
}

static void trash_synced(struct io_op *op, int64_t result)
{
    struct trash *t = container_of(op, struct trash, op);
    if (result < 0 || trash_hurries(t->set)) {
        trash_unlink(t);
        return;
    }
    uint64_t pause_ms = trash_long(t->set) ? 0 : TRASH_PAUSE_MS;
    t->op.done = trash_paused;
    io_timer(t->set->io, &t->op, io_now(t->set->io) + pause_ms * 1000000);
}

static void trash_was_cut(struct io_op *op, int64_t result)
{
    struct trash *t = container_of(op, struct trash, op);
    if (result < 0) {
        trash_unlink(t);
        return;
    }
    t->op.done = trash_synced; /* else the file system gives it all back with its next commit */
    io_sync(t->set->io, &t->op, t->file);
}

static void trash_cut(struct trash *t)
{
    uint64_t step = t->set->options.trash_step_bytes;
    if (t->size <= step || trash_hurries(t->set)) {
        trash_unlink(t);
        return;
    }
    t->size -= step;
    t->op.done = trash_was_cut;
    io_truncate(t->set->io, &t->op, t->file, t->size);
}

static void trash_done(struct io_op *op, int64_t result)
{
    struct trash *t = container_of(op, struct trash, op);
    if (result < 0 || !t->found || t->set->closing) {
        if (result < 0 && result != -ENOENT) {
            log_warn(io_logger(t->set->io), "log", "cannot remove %s: %s", t->path,
                     error_text(error_from_errno(result)));
        }
        trash_end(t);
        return;
    }
    trash_next(t);
}

/* Removes the first file of a directory, or the directory or file itself when it holds none. */
static void trash_next(struct trash *t)
{
    t->found = false;
    if (io_list(t->set->io, t->path, trash_child, t) < 0) {
        t->found = false; /* a file, not a directory */
    }
    const char *path = t->found ? t->child : t->path;
    int64_t size = 0;
    if (!trash_hurries(t->set) && io_file_open(t->set->io, &t->file, path, IO_OPEN_WRITE) == 0) {
        size = io_file_size(t->set->io, t->file);
    } else {
        t->file = NULL;
    }
    t->size = size > 0 ? (uint64_t)size : 0;
    trash_cut(t);
}

static struct trash *trash_new(struct log_set *set)
{
    struct trash *t = memory_alloc(set->memory, sizeof *t);
    if (t) {
        t->set = set;
        t->op.done = trash_done;
        list_init(&t->link);
    }
    return t;
}

static void trash_start(struct trash *t)
{
    if (t->set->closing) { /* it is left to the next start */
        memory_free(t->set->memory, t);
        return;
    }
    bool first = list_empty(&t->set->trash);
    list_append(&t->set->trash, &t->link);
    t->set->in_flight++;
    if (first) {
        trash_next(t);
    }
}

int trash_put(struct log_set *set, const char *path, struct uuid topic_id, int32_t partition)
{
    struct trash *t = trash_new(set);
    if (!t) {
        return ERR_NO_MEMORY;
    }
    char id[UUID_TEXT_SIZE];
    uuid_text(topic_id, id);
    int error, tries = 0;
    do {
        snprintf(t->path, sizeof t->path, "%s/trash/%s-%" PRId32 "-%u-%" PRIu64, set->options.root,
                 id, partition, set->shard, ++set->trash_counter);
        error = io_rename(set->io, path, t->path);
    } while ((error == -EEXIST || error == -ENOTEMPTY || error == -ENOTDIR || error == -EISDIR) &&
             ++tries < TRASH_TRIES);
    if (error < 0) {
        memory_free(set->memory, t);
        return error_from_errno(error);
    }
    set->topics_dirty = true;
    trash_start(t);
    return 0;
}

static void trash_left(void *context, const char *name, bool directory)
{
    struct log_set *set = context;
    struct trash *t = trash_new(set);
    if (!t) {
        return;
    }
    int size = snprintf(t->path, sizeof t->path, "%s/trash/%s", set->options.root, name);
    if (size <= 0 || (size_t)size >= sizeof t->path) {
        memory_free(set->memory, t);
        return;
    }
    list_append(&set->trash, &t->link);
    set->in_flight++;
}

void segment_remove_files(struct segment *s)
{
    static const char *const suffixes[] = {".log", ".index", ".sums"};
    for (unsigned i = 0; i < array_size(suffixes); i++) {
        char path[IO_PATH_MAX];
        segment_path(s, path, suffixes[i]);
        int error = trash_put(s->log->set, path, s->log->topic_id, s->log->partition);
        if (error && error != ERR_NOT_FOUND) {
            log_warn(io_logger(s->log->set->io), "log", "cannot move %s away: %s", path,
                     error_text(error));
        }
    }
    log_names_dirty(s->log);
    segment_free(s);
}

void trash_begin(struct log_set *set)
{
    char path[IO_PATH_MAX];
    snprintf(path, sizeof path, "%s/trash", set->options.root);
    bool first = list_empty(&set->trash);
    if (io_list(set->io, path, trash_left, set) == 0 && first && !list_empty(&set->trash)) {
        trash_next(container_of(set->trash.next, struct trash, link));
    }
}

void trash_abandon(struct log_set *set)
{
    list_each (node, &set->trash) {
        struct trash *t = container_of(node, struct trash, link);
        if (io_op_idle(&t->op)) {
            list_remove(&t->link);
            memory_free(set->memory, t);
            set->in_flight--;
        }
    }
}
