/* SPDX-License-Identifier: Apache-2.0 */

/* Making segments and names durable, for a checkpoint.
 *
 * A few files are synced one by one, side by side: what other programs have written to the file
 * system is then left alone. Beyond SYNCS_MAX one call for the whole file system is cheaper than a
 * flush for each file. */
#include "base/errors.h"
#include "log/log_private.h"

void log_names_dirty(struct log *log)
{
    if (list_empty(&log->names)) {
        list_append(&log->set->names, &log->names);
    }
}

static void sync_left(struct log_set *set)
{
    set->in_flight--;
    set->sync.left--;
    if (set->sync.left == 0) {
        set->sync.done(set);
    }
}

static void synced(struct io_op *op, int64_t result)
{
    struct sync_op *sync = container_of(op, struct sync_op, op);
    struct log_set *set = sync->set;
    if (result < 0 && !log_mutant(set, LOG_MUTANT_IGNORE_FAILED)) {
        io_fatal(set->io,
                 "segments under %s/topics cannot be made durable (%s): nothing more is "
                 "acknowledged; check the disk, then start again",
                 set->options.root, error_text(error_from_errno(result)));
    }
    if (sync->segment) {
        sync->segment->readers--;
    }
    io_file_close(set->io, sync->directory);
    sync_left(set);
}

static struct sync_op *sync_new(struct log_set *set)
{
    struct sync_op *sync = &set->sync.ops[set->sync.count++];
    *sync = (struct sync_op){.op.done = synced, .set = set};
    set->sync.left++;
    set->in_flight++;
    return sync;
}

static unsigned count_dirty(const struct log_set *set)
{
    unsigned count = set->topics_dirty;
    for (const struct list *n = set->dirty.next; n != &set->dirty; n = n->next) {
        count++;
    }
    for (const struct list *n = set->names.next; n != &set->names; n = n->next) {
        count++;
    }
    return count;
}

static void sync_segments(struct log_set *set)
{
    struct list *node;
    while ((node = list_pop(&set->dirty))) {
        struct sync_op *sync = sync_new(set);
        sync->segment = container_of(node, struct segment, dirty);
        sync->segment->readers++; /* keeps its file open */
        int error = segment_open(sync->segment);
        if (error) {
            io_fatal(set->io, "a segment of %s-%d cannot be opened to make it durable: %s",
                     sync->segment->log->topic, (int)sync->segment->log->partition,
                     error_text(error));
        }
        io_sync(set->io, &sync->op, sync->segment->file);
    }
}

static void sync_names(struct log_set *set)
{
    struct list *node;
    while ((node = list_pop(&set->names))) {
        struct log *log = container_of(node, struct log, names);
        char path[IO_PATH_MAX];
        log_directory(log, path);
        struct sync_op *sync = sync_new(set);
        int error = io_file_open(set->io, &sync->directory, path, IO_OPEN_DIRECTORY);
        if (error < 0 && !log->directory_known) {
            set->sync.count--; /* it has been removed since */
            set->sync.left--;
            set->in_flight--;
            continue;
        }
        if (error < 0) {
            io_fatal(set->io, "%s cannot be opened to make its names durable: %s", path,
                     error_text(error_from_errno(error)));
        }
        io_sync(set->io, &sync->op, sync->directory);
    }
    if (set->topics_dirty) {
        struct sync_op *sync = sync_new(set);
        io_sync(set->io, &sync->op, set->topics_directory);
    }
}

void log_sync_begin(struct log_set *set, void (*done)(struct log_set *set))
{
    assert(set->sync.left == 0);
    unsigned count = count_dirty(set);
    set->sync.done = done;
    set->sync.count = 0;
    set->sync.left = 1; /* until everything has been started */
    set->in_flight++;
    if (count > SYNCS_MAX || set->sync.everything) {
        set->sync.everything = false;
        struct list *node;
        while ((node = list_pop(&set->dirty)) || (node = list_pop(&set->names))) {
        }
        io_sync_all(set->io, &sync_new(set)->op, set->topics_directory);
    } else {
        sync_segments(set);
        sync_names(set);
    }
    set->topics_dirty = false;
    sync_left(set);
}
