/* SPDX-License-Identifier: Apache-2.0 */

/* The first half of recovery: nothing is changed here but the durability of what is read.
 *
 *     names of journal directories -> sync checkpoints and journals (a kill leaves visible what is
 * not durable) -> read both checkpoint copies -> the life that counts -> scan its journals -> names
 *     under topics/ and whose they are */
#include "base/errors.h"
#include "log/recovery_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void sync_next(struct recovery *r);
static void read_next(struct recovery *r);
static void choose_life(struct recovery *r);
static void scan_next(struct recovery *r);
static void directory_next(struct recovery *r);

static void journal_name(void *context, const char *name, bool directory)
{
    struct recovery *r = context;
    static const char prefix[] = "journal-";
    if (!directory || strncmp(name, prefix, sizeof prefix - 1) != 0) {
        return;
    }
    char *end;
    unsigned long shard = strtoul(name + sizeof prefix - 1, &end, 10);
    if (*end || end == name + sizeof prefix - 1 || shard >= RECOVERY_SHARDS_MAX) {
        return;
    }
    for (unsigned i = 0; i < r->source_count; i++) {
        if (r->sources[i].shard == shard) {
            return; /* as journal-01 beside journal-1: the latter is meant */
        }
    }
    r->sources[r->source_count++].shard = (unsigned)shard;
}

static int compare_sources(const void *a, const void *b)
{
    const struct recovery_source *x = a, *y = b;
    return (x->shard > y->shard) - (x->shard < y->shard);
}

static int open_source(struct recovery *r, struct recovery_source *s)
{
    char path[IO_PATH_MAX], directory[IO_PATH_MAX];
    for (unsigned copy = 0; copy < 2; copy++) {
        checkpoint_path(path, r->options.root, s->shard, copy);
        int error = io_file_open(r->io, &s->checkpoint_files[copy], path,
                                 IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_DIRECT);
        s->checkpoint_seen[copy] = error == 0;
        if (error < 0 && error_from_errno(error) != ERR_NOT_FOUND) {
            return error_from_errno(error);
        }
    }
    journal_directory(directory, r->options.root, s->shard);
    for (unsigned i = 0; i < JOURNAL_FILES_MAX; i++) {
        journal_file_path(path, directory, i);
        if (io_file_open(r->io, &s->files[i], path, IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_DIRECT) <
            0) {
            break;
        }
        int64_t size = io_file_size(r->io, s->files[i]);
        s->file_sizes[i] = size < 0 ? 0 : (uint64_t)size / IO_BLOCK_SIZE * IO_BLOCK_SIZE;
        s->file_count++;
    }
    mapped_path(path, r->options.root, s->shard);
    if (io_file_open(r->io, &s->mapped_file, path, IO_OPEN_READ | IO_OPEN_WRITE) == 0) {
        int64_t size = io_file_size(r->io, s->mapped_file);
        s->mapped_size = size < 0 ? 0 : (uint64_t)size;
    }
    return 0;
}

void recovery_load(struct recovery *r)
{
    int listed = io_list(r->io, r->options.root, journal_name, r);
    int error = listed < 0 ? error_from_errno(listed) : 0;
    qsort(r->sources, r->source_count, sizeof *r->sources, compare_sources);
    for (unsigned i = 0; i < r->source_count && !error; i++) {
        error = open_source(r, &r->sources[i]);
    }
    if (error) {
        recovery_end(r, error);
        return;
    }
    r->at_source = r->at_file = 0;
    sync_next(r);
}

/* --- sync first ------------------------------------------------------------------------------- */

static struct io_file *file_to_sync(struct recovery_source *s, unsigned index)
{
    return index < 2 ? s->checkpoint_files[index] : s->files[index - 2];
}

static void synced(struct recovery *r)
{
    if (r->result < 0) {
        recovery_end(r, ERR_DISK_FAILED);
        return;
    }
    r->at_file++;
    sync_next(r);
}

static void sync_next(struct recovery *r)
{
    while (r->at_source < r->source_count) {
        struct recovery_source *s = &r->sources[r->at_source];
        while (r->at_file < s->file_count + 2) {
            struct io_file *file = file_to_sync(s, r->at_file);
            if (file && !log_mutant(r->set, LOG_MUTANT_NO_SYNC_FIRST)) {
                recovery_then(r, synced);
                io_sync(r->io, &r->op, file);
                return;
            }
            r->at_file++;
        }
        r->at_source++;
        r->at_file = 0;
    }
    r->at_source = r->at_copy = 0;
    read_next(r);
}

/* --- checkpoints ------------------------------------------------------------------------------ */

/* The newest is the larger by first live sequence, life, mark (L6). */
static bool newer(const struct checkpoint_header *a, const struct checkpoint_header *b)
{
    if (a->life != b->life) {
        return a->life > b->life;
    }
    if (a->live != b->live) {
        return a->live > b->live;
    }
    if (a->memory_live != b->memory_live) {
        return a->memory_live > b->memory_live;
    }
    return a->settled > b->settled;
}

/* Keeps what was read, in as many blocks as it has: its file may be much larger. */
static bool checkpoint_keep(struct recovery *r, struct recovery_source *s,
                            const struct checkpoint_header *h)
{
    uint64_t padded = (h->size + IO_BLOCK_SIZE - 1) / IO_BLOCK_SIZE * IO_BLOCK_SIZE;
    memory_free(r->memory, s->checkpoint);
    s->checkpoint = memory_alloc_aligned(r->memory, padded, IO_BLOCK_SIZE);
    if (!s->checkpoint) {
        return false;
    }
    memcpy(s->checkpoint, r->buffer, h->size);
    memset(s->checkpoint + h->size, 0, padded - h->size);
    s->valid = true;
    s->header = *h;
    s->newest = r->at_copy;
    return true;
}

static void checkpoint_read(struct recovery *r)
{
    struct recovery_source *s = &r->sources[r->at_source];
    struct checkpoint_header h;
    size_t size = r->result < 0 ? 0 : (size_t)r->result; /* what cannot be read is no valid copy */
    if (checkpoint_header_decode(&h, r->buffer, size) == 0) {
        s->checkpoint_valid[r->at_copy] = true;
        s->headers[r->at_copy] = h;
        if ((!s->valid || newer(&h, &s->header)) && !checkpoint_keep(r, s, &h)) {
            recovery_end(r, ERR_NO_MEMORY);
            return;
        }
    }
    r->at_copy++;
    read_next(r);
}

static void read_next(struct recovery *r)
{
    while (r->at_source < r->source_count) {
        struct recovery_source *s = &r->sources[r->at_source];
        while (r->at_copy < 2) {
            int64_t size = s->checkpoint_seen[r->at_copy]
                               ? io_file_size(r->io, s->checkpoint_files[r->at_copy])
                               : 0;
            size = size / IO_BLOCK_SIZE * IO_BLOCK_SIZE;
            if (size <= 0 || size > CHECKPOINT_BYTES_MAX) {
                r->at_copy++;
                continue;
            }
            if (!recovery_buffer(r, (uint64_t)size)) {
                recovery_end(r, ERR_NO_MEMORY);
                return;
            }
            recovery_then(r, checkpoint_read);
            io_read(r->io, &r->op, s->checkpoint_files[r->at_copy], r->buffer, (size_t)size, 0);
            return;
        }
        r->at_source++;
        r->at_copy = 0;
    }
    memory_free(r->memory, r->buffer); /* the checkpoints' files may be the largest */
    r->buffer = NULL;
    r->buffer_size = 0;
    choose_life(r);
}

/* --- the life that counts --------------------------------------------------------------------- */

static unsigned count_of_life(struct recovery *r, uint64_t life, unsigned shards)
{
    unsigned count = 0;
    for (unsigned i = 0; i < r->source_count; i++) {
        const struct recovery_source *s = &r->sources[i];
        count += s->valid && s->header.life == life && s->shard < shards;
    }
    return count;
}

static bool any_checkpoint_file(const struct recovery *r)
{
    for (unsigned i = 0; i < r->source_count; i++) {
        if (r->sources[i].checkpoint_seen[0] || r->sources[i].checkpoint_seen[1]) {
            return true;
        }
    }
    return false;
}

static void nothing_valid(struct recovery *r)
{
    if (any_checkpoint_file(r)) {
        char what[1024];
        snprintf(what, sizeof what, "%s/journal-%u/checkpoint-0 and -1: neither copy is valid",
                 r->options.root, r->sources[0].shard);
        if (recovery_lost(r, what)) {
            return;
        }
    }
    r->request->summary.fresh = !any_checkpoint_file(r);
    io_random(r->io, r->storage_id.bytes, sizeof r->storage_id.bytes);
    r->life = 0;
    r->next_sequence = r->next_memory_sequence = 1;
    r->at_directory = NULL;
    directory_next(r);
}

/* Of a life in which a shard has served, no shard may lack its checkpoint. False: damage. */
static bool shards_there(struct recovery *r, unsigned shards)
{
    bool served = false;
    for (unsigned i = 0; i < r->source_count; i++) {
        const struct recovery_source *s = &r->sources[i];
        served = served || (s->used && !(s->header.flags & CHECKPOINT_FOUNDING));
    }
    unsigned count = count_of_life(r, r->life, shards);
    if (count < shards && served) {
        recovery_damage(r, "%s: of the %u checkpoints of life %" PRIu64 " only %u are there",
                        r->options.root, shards, r->life, count);
        return false;
    }
    return true;
}

/* Files that the checkpoint counts and that are not there held what was acknowledged. False: damage. */
static bool journals_there(struct recovery *r, const struct recovery_source *s)
{
    const struct checkpoint_header *h = &s->header;
    char directory[IO_PATH_MAX], path[IO_PATH_MAX];
    journal_directory(directory, r->options.root, s->shard);
    for (uint32_t i = 0; i < h->journal_files; i++) {
        if (i >= s->file_count || s->file_sizes[i] < h->journal_file_bytes) {
            journal_file_path(path, directory, i);
            recovery_damage(r, "%s: it is missing or shorter than its %" PRIu64 " bytes", path,
                            h->journal_file_bytes);
            return false;
        }
    }
    if ((h->flags & CHECKPOINT_MAPPED) && uuid_equal(h->boot_id, io_boot_id(r->io)) &&
        s->mapped_size == 0) {
        recovery_damage(r, "%s/memory-0000: it is missing", directory);
        return false;
    }
    return true;
}

static void scans_init(struct recovery *r)
{
    uint64_t life = log_mutant(r->set, LOG_MUTANT_NO_LIFE) ? 0 : r->life;
    for (unsigned i = 0; i < r->source_count; i++) {
        struct recovery_source *s = &r->sources[i];
        if (s->used) {
            scan_init(&s->scan, r->memory, group_seed(r->storage_id, life, (struct uuid){{0}}),
                      IO_BLOCK_SIZE, s->header.live);
            s->scan.skip_holes = log_mutant(r->set, LOG_MUTANT_SOME_DAMAGED);
            scan_init(&s->mapped_scan, r->memory,
                      group_seed(r->storage_id, r->life, io_boot_id(r->io)), MAPPED_ALIGN,
                      s->header.memory_live);
        }
    }
}

/* One life per root: the highest wins. Its checkpoints either are one for each of its shards, or
 * those that are there are founding ones, which name the logs of all: then nobody has served in
 * this life. Founding writes those of shard 0 first, so these cannot be older than any other. */
static void choose_life(struct recovery *r)
{
    const struct recovery_source *best = NULL;
    for (unsigned i = 0; i < r->source_count; i++) {
        const struct recovery_source *s = &r->sources[i];
        if (s->valid && (!best || s->header.life > best->header.life)) {
            best = s;
        }
    }
    if (!best) {
        nothing_valid(r);
        return;
    }
    /* An older life must not pass for the newest because its checkpoints alone are whole. */
    for (unsigned i = 0; i < r->source_count; i++) {
        const struct recovery_source *s = &r->sources[i];
        if (!s->valid && (s->checkpoint_seen[0] || s->checkpoint_seen[1])) {
            recovery_damage(r, "%s/journal-%u/checkpoint-0 and -1: neither copy is valid",
                            r->options.root, s->shard);
            if (!r->options.accept_loss) {
                return;
            }
        }
    }
    r->life = best->header.life;
    r->storage_id = best->header.storage_id;
    unsigned shards = best->header.shards;
    for (unsigned i = 0; i < r->source_count; i++) {
        struct recovery_source *s = &r->sources[i];
        s->used = s->valid && s->header.life == r->life && s->shard < shards;
    }
    if (!shards_there(r, shards) && !r->options.accept_loss) {
        return;
    }
    for (unsigned i = 0; i < r->source_count; i++) {
        const struct recovery_source *s = &r->sources[i];
        if (s->used && !journals_there(r, s) && !r->options.accept_loss) {
            return;
        }
    }
    scans_init(r);
    r->at_source = r->at_file = 0;
    scan_next(r);
}

/* --- journals --------------------------------------------------------------------------------- */

static int scan_mapped(struct recovery *r, struct recovery_source *s)
{
    s->ring = s->mapped_size ? io_file_map(r->io, s->mapped_file, s->mapped_size) : NULL;
    if (!s->ring) {
        return 0;
    }
    int error = scan_bytes(&s->mapped_scan, 0, s->ring, 0, s->mapped_size);
    return error ? error : scan_chain(&s->mapped_scan, s->header.memory_live, 0);
}

static void scan_end(struct recovery *r)
{
    struct log_recovery_summary *summary = &r->request->summary;
    summary->clean = true;
    for (unsigned i = 0; i < r->source_count; i++) {
        struct recovery_source *s = &r->sources[i];
        if (!s->used) {
            continue;
        }
        uint64_t mark = s->header.settled > s->mark_apart ? s->header.settled : s->mark_apart;
        int error = scan_chain(&s->scan, s->header.live, mark);
        error = error ? error : scan_mapped(r, s);
        if (error) {
            recovery_end(r, error);
            return;
        }
        summary->torn_bytes += s->scan.torn_bytes;
        summary->clean = summary->clean && (s->header.flags & CHECKPOINT_CLEAN) &&
                         s->scan.chain_count == 0 && s->mapped_scan.chain_count == 0;
        uint64_t memory_next = s->mapped_scan.next_sequence > s->header.memory_live
                                   ? s->mapped_scan.next_sequence
                                   : s->header.memory_live;
        r->next_sequence =
            s->scan.next_sequence > r->next_sequence ? s->scan.next_sequence : r->next_sequence;
        r->next_memory_sequence =
            memory_next > r->next_memory_sequence ? memory_next : r->next_memory_sequence;
        if (s->scan.damaged) {
            recovery_damage(r,
                            "%s/journal-%u/durable-%04u at position %" PRIu64
                            ": durable entries from sequence %" PRIu64
                            " on are missing or fail their checksum",
                            r->options.root, s->shard, s->scan.damage_file, s->scan.damage_position,
                            s->scan.next_sequence);
            if (!r->options.accept_loss) {
                return;
            }
        }
    }
    r->at_directory = NULL;
    directory_next(r);
}

/* Nobody knows what a file held that cannot be read. False: it has ended with that; else it counts as empty. */
static bool read_nothing(struct recovery *r, struct recovery_source *s)
{
    char directory[IO_PATH_MAX], path[IO_PATH_MAX];
    journal_directory(directory, r->options.root, s->shard);
    journal_file_path(path, directory, r->at_file);
    recovery_damage(r, "%s: it cannot be read", path);
    s->unreadable[r->at_file] = true;
    r->result = (int64_t)s->file_sizes[r->at_file];
    memset(r->buffer, 0, (size_t)r->result);
    return r->options.accept_loss;
}

/* The mark in the file's first block, if it is of this life. */
static void note_mark(struct recovery *r, struct recovery_source *s, uint64_t size)
{
    struct journal_header h;
    if (size >= JOURNAL_HEADER_SIZE && journal_header_decode(&h, r->buffer) && h.life == r->life &&
        uuid_equal(h.storage_id, r->storage_id) && h.shard == s->shard &&
        h.settled > s->mark_apart) {
        s->mark_apart = h.settled;
    }
}

static void scanned(struct recovery *r)
{
    struct recovery_source *s = &r->sources[r->at_source];
    if (r->result < 0 && !read_nothing(r, s)) {
        return;
    }
    note_mark(r, s, (uint64_t)r->result);
    int error = scan_bytes(&s->scan, r->at_file, r->buffer, 0, (uint64_t)r->result);
    if (error) {
        recovery_end(r, error);
        return;
    }
    r->at_file++;
    scan_next(r);
}

static void scan_next(struct recovery *r)
{
    while (r->at_source < r->source_count) {
        struct recovery_source *s = &r->sources[r->at_source];
        while (s->used && r->at_file < s->file_count) {
            if (s->file_sizes[r->at_file] == 0) {
                r->at_file++;
                continue;
            }
            if (!recovery_buffer(r, s->file_sizes[r->at_file])) {
                recovery_end(r, ERR_NO_MEMORY);
                return;
            }
            recovery_then(r, scanned);
            io_read(r->io, &r->op, s->files[r->at_file], r->buffer, s->file_sizes[r->at_file], 0);
            return;
        }
        r->at_source++;
        r->at_file = 0;
    }
    scan_end(r);
}

/* --- names under topics/ ---------------------------------------------------------------------- */

static void directory_name(void *context, const char *name, bool directory)
{
    struct recovery *r = context;
    if (!directory || strlen(name) >= sizeof((struct recovery_directory *)0)->name) {
        return;
    }
    struct recovery_directory *d = memory_alloc(r->memory, sizeof *d);
    if (d) {
        snprintf(d->name, sizeof d->name, "%s", name);
        list_init(&d->link);
        list_append(&r->directories, &d->link);
    }
}

static void partition_file_read(struct recovery *r)
{
    struct recovery_directory *d = container_of(r->at_directory, struct recovery_directory, link);
    if (r->result > 0) {
        d->readable = partition_file_decode(r->buffer, (size_t)r->result, &d->topic_id,
                                            &d->storage_id, &d->partition) == 0;
    }
    io_file_close(r->io, r->file);
    r->file = NULL;
    directory_next(r);
}

static void directory_next(struct recovery *r)
{
    if (!r->at_directory) {
        char path[IO_PATH_MAX];
        snprintf(path, sizeof path, "%s/topics", r->options.root);
        int error = io_list(r->io, path, directory_name, r);
        if (error < 0 || !recovery_buffer(r, IO_BLOCK_SIZE)) {
            recovery_end(r, error < 0 ? error_from_errno(error) : ERR_NO_MEMORY);
            return;
        }
        r->at_directory = &r->directories;
    }
    while (r->at_directory->next != &r->directories) {
        r->at_directory = r->at_directory->next;
        struct recovery_directory *d =
            container_of(r->at_directory, struct recovery_directory, link);
        char path[IO_PATH_MAX];
        int size = snprintf(path, sizeof path, "%s/topics/%s/partition", r->options.root, d->name);
        if (size > 0 && (size_t)size < sizeof path &&
            io_file_open(r->io, &r->file, path, IO_OPEN_READ | IO_OPEN_DIRECT) == 0) {
            recovery_then(r, partition_file_read);
            io_read(r->io, &r->op, r->file, r->buffer, IO_BLOCK_SIZE, 0);
            return;
        }
    }
    recovery_loaded(r);
}
