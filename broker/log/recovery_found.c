/* SPDX-License-Identifier: Apache-2.0 */

/* The end of recovery: everything replayed is written and synced, then a checkpoint that names the
 * next life empties all journals in one write. It names the logs of all shards (the founding
 * checkpoint) and is written for each shard, the older or invalid copy first, a new one under a
 * temporary name: so a shard of which no copy is valid is always damage. Then journal files are
 * made where they lack or have another size, for no life needs what they hold any more. Only then
 * may anybody serve. */
#include "base/errors.h"
#include "log/recovery_private.h"

#include <inttypes.h>
#include <stdio.h>

static void written_behind(struct recovery *r);
static void shard_next(struct recovery *r);
static void file_next(struct recovery *r);
static void file_cut(struct recovery *r);
static void copy_next(struct recovery *r);
static void copy_done(struct recovery *r);
static void shard_synced(struct recovery *r);

/* The newest segment, if all of it lies below a new start that has deleted it, is followed by an
 * empty one. */
static bool replace_newest(struct log *log)
{
    struct segment *s = log_active(log);
    if (!s || !segment_missing(s) || log->start_offset < log->end_offset) {
        return true;
    }
    segment_become(s, SEGMENT_SEALED);
    return segment_new(log, log->end_offset) != NULL;
}

/* What is missing of the newest segment is the end of the log: damage, and if the operator goes on
 * without it, so does the whole log. Of an older one it is told here and to whoever reads it; all
 * else is served. False: the log or the recovery has ended with it. */
static bool segment_lacks(struct recovery *r, struct log *log, struct segment *s)
{
    char path[IO_PATH_MAX];
    segment_path(s, path, ".log");
    if (s->state == SEGMENT_SEALED && !s->unwritten) {
        log_error(io_logger(r->io), "log",
                  "%s: %u bytes are durable in it, but it is missing: offsets %" PRId64
                  " to %" PRId64
                  " are not served; restore the file, or delete the records up to there",
                  path, s->size, s->base_offset, segment_end_offset(s) - 1);
        s->missing_from = UINT32_MAX;
        return true;
    }
    recovery_damage(r, "%s: %u bytes are durable in it, but it is missing or shorter", path,
                    s->size);
    if (!r->ended) {
        log_free(log);
    }
    return false;
}

/* A segment that is still missing was deleted by a new start, if all of it lies below. */
static void look_for_missing(struct recovery *r)
{
    list_each (node, &r->set->logs) {
        struct log *log = container_of(node, struct log, link);
        if (!replace_newest(log)) {
            recovery_end(r, ERR_NO_MEMORY);
            return;
        }
        bool dropped = log_drop_below(log, log->start_offset);
        assert(dropped);
        list_each (n, &log->segments) {
            struct segment *s = container_of(n, struct segment, link);
            if (segment_missing(s) && !segment_lacks(r, log, s)) {
                break;
            }
        }
        if (r->ended) {
            return;
        }
    }
}

/* Directories of logs that turned out to hold nothing; after a loss, whatever they hold. */
static void drop_empty_directories(struct recovery *r)
{
    list_each (node, &r->set->logs) {
        struct log *log = container_of(node, struct log, link);
        if (list_empty(&log->segments)) {
            log->directory_known = false;
            list_remove(&log->names);
        }
    }
    list_each (node, &r->directories) {
        struct recovery_directory *d = container_of(node, struct recovery_directory, link);
        const struct log *log = d->readable ? log_find(r->set, d->topic_id, d->partition) : NULL;
        if (!d->wanted && (!d->readable || (log && log->directory_known))) {
            continue;
        }
        char path[IO_PATH_MAX];
        snprintf(path, sizeof path, "%s/topics/%s", r->options.root, d->name);
        bool lost = d->wanted || r->request->summary.damage[0] != 0;
        int error =
            lost ? recovery_set_aside(r, d) : trash_put(r->set, path, d->topic_id, d->partition);
        if (error) {
            log_warn(io_logger(r->io), "log", "cannot move %s away: %s", path, error_text(error));
        }
    }
}

void recovery_found(struct recovery *r)
{
    r->finishing = true;
    written_behind(r);
}

bool recovery_make_room(struct recovery *r)
{
    if (r->emptied) {
        return false;
    }
    r->emptied = true;
    trash_begin(r->set);
    return r->set->in_flight > 0;
}

/* The reserve is not there: more shards than before may need it for their journals. */
static bool disk_short(const struct recovery *r)
{
    struct io_disk disk;
    return io_disk(r->io, r->options.root, &disk) == 0 &&
           disk.free_bytes < r->options.disk_reserve_bytes;
}

int recovery_write_all(struct recovery *r)
{
    struct log_set *set = r->set;
    bool all = set->in_flight == 0;
    int error = 0;
    list_each (node, &set->logs) {
        struct log *log = container_of(node, struct log, link);
        all = all && log->space.stage == SPACE_IDLE;
        list_each (n, &log->segments) {
            struct segment *s = container_of(n, struct segment, link);
            if (!segment_settled_on_disk(s, s->size)) {
                segment_write_behind(s, true);
            }
            bool written = segment_settled_on_disk(s, s->size);
            error = !written && !error && io_op_idle(&s->write) ? segment_open(s) : error;
            all = all && written;
        }
    }
    if (!all && set->in_flight == 0) {
        return error ? error : ERR_NO_MEMORY;
    }
    return all;
}

/* False: the set's progress calls again, or the recovery has ended. */
static bool all_written(struct recovery *r)
{
    int verdict = recovery_write_all(r);
    if (verdict < 0) {
        recovery_end(r, verdict);
    }
    return verdict == 1;
}

/* What was replayed from, and what the tail keeps beside unfinished blocks: the checkpoint needs room. */
static void give_back(struct recovery *r)
{
    for (unsigned i = 0; i < r->source_count; i++) {
        struct recovery_source *s = &r->sources[i];
        memory_free(r->memory, s->checkpoint);
        s->checkpoint = NULL;
        if (s->scan.memory) {
            scan_deinit(&s->scan);
            scan_deinit(&s->mapped_scan);
        }
    }
    memory_free(r->memory, r->buffer);
    r->buffer = NULL;
    r->buffer_size = 0;
    list_each (node, &r->set->logs) {
        struct log *log = container_of(node, struct log, link);
        list_each (n, &log->segments) {
            tail_drop(container_of(n, struct segment, link), false);
        }
    }
    tail_free_lists(r->set);
}

static void names_synced(struct log_set *set)
{
    struct recovery *r = set->progress_context;
    give_back(r);
    if (checkpoint_capture(set, &r->checkpoint, &r->checkpoint_size, &r->checkpoint_capacity,
                           &r->checkpoint_logs)) {
        recovery_end(r, ERR_NO_MEMORY);
        return;
    }
    r->at_shard = 0;
    shard_next(r);
}

static void written_behind(struct recovery *r)
{
    if (!r->finishing || !all_written(r)) {
        return;
    }
    if (!r->looked) { /* what is dropped has no write in flight */
        r->looked = true;
        look_for_missing(r);
        if (r->ended) {
            return;
        }
        drop_empty_directories(r);
        if (!all_written(r)) {
            return;
        }
    }
    if (disk_short(r) && recovery_make_room(r)) {
        return;
    }
    r->finishing = false;
    const struct log_recovery_summary *summary = &r->request->summary;
    r->set->sync.everything = !summary->fresh && !summary->clean;
    log_sync_begin(r->set, names_synced);
}

void recovery_finish_progress(struct recovery *r)
{
    written_behind(r);
}

/* --- one shard after the other ---------------------------------------------------------------- */

static void shard_next(struct recovery *r)
{
    if (r->at_shard == r->shards && r->journals_made) {
        recovery_founded(r);
        return;
    }
    if (r->at_shard == r->shards) {
        r->journals_made = true;
        r->at_shard = 0;
    }
    char path[IO_PATH_MAX];
    journal_directory(path, r->options.root, r->at_shard);
    int error = io_mkdir(r->io, path);
    if (error < 0 && error_from_errno(error) != ERR_EXISTS) {
        recovery_end(r, error_from_errno(error));
        return;
    }
    error = io_file_open(r->io, &r->directory, path, IO_OPEN_DIRECTORY);
    if (error < 0) {
        recovery_end(r, error_from_errno(error));
        return;
    }
    r->at_file = r->at_copy = 0;
    r->at_position = 0;
    if (r->journals_made) {
        file_next(r);
    } else {
        copy_next(r);
    }
}

static struct recovery_source *source_of(struct recovery *r, unsigned shard)
{
    for (unsigned i = 0; i < r->source_count; i++) {
        if (r->sources[i].shard == shard) {
            return &r->sources[i];
        }
    }
    return NULL;
}

/* --- journal files: two at least, of the size that is configured, written once with zeros; what cannot be read too */

static void file_written(struct recovery *r)
{
    if (r->result < 0) {
        recovery_end(r, error_from_errno(r->result));
        return;
    }
    r->at_position += (uint64_t)r->result;
    file_next(r);
}

static void file_synced(struct recovery *r)
{
    if (r->result < 0) {
        recovery_end(r, ERR_DISK_FAILED);
        return;
    }
    io_file_close(r->io, r->file);
    r->file = NULL;
    r->at_file++;
    r->at_position = 0;
    file_next(r);
}

enum { FILES_LEAST = 2 };

static unsigned file_total(struct recovery *r)
{
    const struct recovery_source *s = source_of(r, r->at_shard);
    return s && s->file_count > FILES_LEAST ? s->file_count : FILES_LEAST;
}

static bool file_right(struct recovery *r, unsigned number)
{
    const struct recovery_source *s = source_of(r, r->at_shard);
    bool there = s && number < s->file_count && !s->unreadable[number];
    return there &&
           (number >= FILES_LEAST || s->file_sizes[number] == r->options.journal_file_bytes);
}

static void file_next(struct recovery *r)
{
    const unsigned total = file_total(r);
    while (!r->file && r->at_file < total && file_right(r, r->at_file)) {
        r->at_file++;
    }
    if (r->at_file == total) {
        recovery_then(r, shard_synced);
        io_sync(r->io, &r->op, r->directory);
        return;
    }
    if (!r->file) {
        char directory[IO_PATH_MAX], path[IO_PATH_MAX];
        journal_directory(directory, r->options.root, r->at_shard);
        journal_file_path(path, directory, r->at_file);
        int error = io_file_open(r->io, &r->file, path,
                                 IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_DIRECT);
        if (error < 0 || !recovery_buffer(r, JOURNAL_PIECE_SIZE)) {
            recovery_end(r, error < 0 ? error_from_errno(error) : ERR_NO_MEMORY);
            return;
        }
        memset(r->buffer, 0, JOURNAL_PIECE_SIZE);
        struct journal_header h = {
            .life = r->life + 1,
            .storage_id = r->storage_id,
            .shard = r->at_shard,
            .number = r->at_file,
        };
        journal_header_encode(&h, r->buffer);
    } else {
        memset(r->buffer, 0, JOURNAL_HEADER_SIZE);
    }
    uint64_t left = r->options.journal_file_bytes - r->at_position;
    if (left == 0) {
        recovery_then(r, file_cut);
        io_truncate(r->io, &r->op, r->file, r->options.journal_file_bytes);
        return;
    }
    r->iovec = (struct iovec){r->buffer, left < JOURNAL_PIECE_SIZE ? left : JOURNAL_PIECE_SIZE};
    recovery_then(r, file_written);
    io_write(r->io, &r->op, r->file, &r->iovec, 1, r->at_position, 0);
}

static void file_cut(struct recovery *r)
{
    if (r->result < 0) {
        recovery_end(r, ERR_DISK_FAILED);
        return;
    }
    recovery_then(r, file_synced);
    io_sync(r->io, &r->op, r->file);
}

/* --- checkpoint copies ------------------------------------------------------------------------ */

/* The copy written at step 0 and 1: the older or invalid one first. */
static unsigned copy_of_step(struct recovery *r, unsigned step)
{
    const struct recovery_source *s = source_of(r, r->at_shard);
    unsigned first = s && s->valid ? 1 - s->newest : 0;
    if (log_mutant(r->set, LOG_MUTANT_NEWER_FIRST)) {
        first = 1 - first;
    }
    return step == 0 ? first : 1 - first;
}

static void copy_renamed(struct recovery *r)
{
    if (r->result < 0) {
        recovery_end(r, ERR_DISK_FAILED);
        return;
    }
    r->at_copy++;
    copy_next(r);
}

static void copy_done(struct recovery *r)
{
    if (r->result < 0) {
        io_fatal(r->io, "%s: a checkpoint cannot be written (%s): check the disk, then start again",
                 r->options.root, error_text(error_from_errno(r->result)));
    }
    unsigned copy = copy_of_step(r, r->at_copy);
    io_file_close(r->io, r->file);
    r->file = NULL;
    if (!r->copy_is_new) {
        r->at_copy++;
        copy_next(r);
        return;
    }
    char path[IO_PATH_MAX], temporary[IO_PATH_MAX + 8];
    checkpoint_path(path, r->options.root, r->at_shard, copy);
    snprintf(temporary, sizeof temporary, "%s.new", path);
    int error = io_rename(r->io, temporary, path);
    if (error < 0) {
        recovery_end(r, error_from_errno(error));
        return;
    }
    recovery_then(r, copy_renamed);
    io_sync(r->io, &r->op, r->directory);
}

static void shard_synced(struct recovery *r)
{
    if (r->result < 0) {
        recovery_end(r, ERR_DISK_FAILED);
        return;
    }
    io_file_close(r->io, r->file);
    io_file_close(r->io, r->directory);
    r->file = r->directory = NULL;
    r->at_shard++;
    shard_next(r);
}

static void copy_next(struct recovery *r)
{
    int error;
    if (r->at_copy == 2) {
        error = io_file_open(r->io, &r->file, r->options.root, IO_OPEN_DIRECTORY);
        if (error < 0) {
            recovery_end(r, error_from_errno(error));
            return;
        }
        recovery_then(r, shard_synced);
        io_sync(r->io, &r->op, r->file);
        return;
    }
    struct recovery_source *s = source_of(r, r->at_shard);
    unsigned copy = copy_of_step(r, r->at_copy);
    r->copy_is_new = !s || !s->checkpoint_seen[copy];
    char path[IO_PATH_MAX], name[IO_PATH_MAX + 8];
    checkpoint_path(path, r->options.root, r->at_shard, copy);
    snprintf(name, sizeof name, "%s%s", path, r->copy_is_new ? ".new" : "");
    bool old_life = log_mutant(r->set, LOG_MUTANT_NO_EMPTY);
    struct checkpoint_header h = {
        .size = r->checkpoint_size,
        .life = r->life + !old_life,
        .settled = r->next_sequence - 1,
        .live = r->next_sequence,
        .memory_live = r->next_memory_sequence,
        .storage_id = r->storage_id,
        .boot_id = io_boot_id(r->io),
        .shard = r->at_shard,
        .shards = r->shards,
        .logs = r->checkpoint_logs,
        .flags = CHECKPOINT_FOUNDING,
    };
    checkpoint_header_encode(&h, r->checkpoint);
    error = io_file_open(r->io, &r->file, name,
                         IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_DIRECT);
    if (error < 0) {
        recovery_end(r, error_from_errno(error));
        return;
    }
    uint64_t size = (r->checkpoint_size + IO_BLOCK_SIZE - 1) / IO_BLOCK_SIZE * IO_BLOCK_SIZE;
    r->iovec = (struct iovec){r->checkpoint, size};
    recovery_then(r, copy_done);
    io_write(r->io, &r->op, r->file, &r->iovec, 1, 0, IO_WRITE_DURABLE);
}
