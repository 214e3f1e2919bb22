/* SPDX-License-Identifier: Apache-2.0 */

/* Every batch of every segment, as far as the checkpoint counts it: bounds, CRC, offsets without gaps
 * (but where the segment has some), leader epochs, then the index and the sums beside it.
 *
 * The newest segment's last block is not in its file yet: the checkpoint carries it. A batch may lie
 * across, so what the file's whole blocks hold of it is put in front of that block.
 *
 *     file      |block|block|block|        checkpoint   |unfinished|
 *     batches   |--a--|---b---|----c----|-----d------|---e---|
 *               walked by cold_scan             joined, then walked here                              */
#include "base/crc32c.h"
#include "log/cold.h"
#include "log/index.h"
#include "offline/offline_private.h"
#include "wire/batch.h"

#include <inttypes.h>
#include <stdio.h>

enum { CACHE_BYTES_MAX = 256 << 20 }; /* an index or a file of sums */

static const char advice_batch[] =
    "leatd mends it where other replicas have it; else restore the file from a copy; without one "
    "it serves all other records and answers reads of these with an error";
static const char advice_index[] = "remove the file: leatd makes it again";
static const char advice_made_again[] = "nothing: leatd makes it again";

struct walk {
    struct cold_scan scan;
    struct offline *o;
    struct root *root;
    const struct folded_log *log;
    char directory[OFFLINE_NAME_MAX], name[OFFLINE_NAME_MAX];
    const struct folded_segment *segment;
    bool over, damaged;
    int error;
    int64_t next_offset; /* behind the last batch seen; -1: its count is not to be trusted */
    uint32_t position;   /* there */

    struct index index;
    bool has_index, index_told;
    uint32_t index_at; /* the next entry */
    int64_t max_timestamp;
    uint32_t *sums, *sums_stored; /* NULL: there are none to compare */
};

static void file_name(const struct walk *w, char out[static OFFLINE_NAME_MAX], const char *suffix)
{
    char generation[16] = "";
    if (w->segment->generation) {
        snprintf(generation, sizeof generation, "-%u", (unsigned)w->segment->generation);
    }
    snprintf(out, OFFLINE_NAME_MAX, "%.240s/%020" PRId64 "%s%s", w->directory,
             w->segment->base_offset, generation, suffix);
}

/* --- which part of a segment counts -------------------------------------------------------------- */

/* All of it lies below the log's start: its file may have gone. */
static bool segment_released(const struct folded_log *log, uint32_t i)
{
    int64_t end = i + 1 < log->segment_count ? log->segments[i + 1].base_offset : log->end;
    return end <= log->start;
}

uint64_t root_bytes(const struct root *r)
{
    uint64_t bytes = 0;
    list_each (node, &r->logs) {
        const struct folded_log *log = container_of(node, struct folded_log, link);
        for (uint32_t i = 0; i < log->segment_count && !log->removed; i++) {
            bytes += segment_released(log, i) ? 0 : log->segments[i].counted;
        }
    }
    return bytes;
}

/* --- batches -------------------------------------------------------------------------------------- */

/* Of what recovery does not look at: the records of topics; damaged metadata is refused at the start. */
static const char *advice_of(const struct walk *w)
{
    return *w->root->prefix ? w->root->remedy : advice_batch;
}

static void tell_crc(struct walk *w, uint32_t position, int64_t offset, int64_t records)
{
    w->damaged = true;
    offline_tell(w->o, OFFLINE_DAMAGE, w->name, position, advice_of(w),
                 "the batch at offset %" PRId64 " (%" PRId64 " records) fails its checksum", offset,
                 records);
}

static int count_batch(struct walk *w, uint32_t size)
{
    w->o->counts.batches++;
    w->o->counts.bytes += size;
    return offline_advance(w->o, size);
}

static void tell_index(struct walk *w, const char *why)
{
    char name[OFFLINE_NAME_MAX];
    file_name(w, name, ".index");
    if (!w->index_told) {
        offline_tell(w->o, OFFLINE_DAMAGE, name, -1, advice_index,
                     "entry %u (offset %" PRId64 ", position %u) %s", (unsigned)w->index_at,
                     w->index.entries[w->index_at].offset,
                     (unsigned)w->index.entries[w->index_at].position, why);
    }
    w->index_told = true;
}

/* The entries up to this batch point to batches, and this one's is right. */
static void check_index(struct walk *w, const struct cold_batch *b)
{
    while (w->has_index && !w->index_told && w->index_at < w->index.count &&
           w->index.entries[w->index_at].position <= b->position) {
        const struct index_entry *e = &w->index.entries[w->index_at];
        if (e->position < b->position) {
            tell_index(w, "points to where no batch begins");
        } else if (e->offset != b->fields.base_offset) {
            tell_index(w, "names another offset than the batch there");
        } else if (e->max_timestamp != w->max_timestamp) {
            tell_index(w, "has another largest timestamp than the batches before it");
        }
        w->index_at++;
    }
    if (b->fields.max_timestamp > w->max_timestamp) {
        w->max_timestamp = b->fields.max_timestamp;
    }
}

static int walk_batch(struct cold_scan *scan, const struct cold_batch *b)
{
    struct walk *w = container_of(scan, struct walk, scan);
    int64_t records = (int64_t)b->fields.last_offset_delta + 1;
    if (b->crc_ok) {
        check_index(w, b);
    } else {
        tell_crc(w, b->position, b->fields.base_offset, records);
        w->has_index = false; /* what follows of it is not to be trusted either */
    }
    w->next_offset = b->crc_ok ? b->fields.base_offset + records : -1;
    w->position = b->position + b->size;
    return count_batch(w, b->size);
}

static void walk_done(struct cold_scan *scan, int error)
{
    struct walk *w = container_of(scan, struct walk, scan);
    w->error = error;
    w->over = true;
}

/* --- index and sums ------------------------------------------------------------------------------- */

/* What is beside a sealed segment and valid; what is not valid is told, what is missing is not. */
static int load_index(struct walk *w)
{
    char name[OFFLINE_NAME_MAX];
    struct bytes data;
    file_name(w, name, ".index");
    int error = offline_load(w->o, &data, name, CACHE_BYTES_MAX);
    if (error && error != ERR_TOO_LARGE) {
        return error == ERR_NOT_FOUND ? 0 : error;
    }
    struct reader r = reader_of(error ? NULL : data.data, error ? 0 : data.size);
    error = error ? ERR_MALFORMED
                  : index_decode(&w->index, w->o->memory, w->log->topic_id, w->log->partition,
                                 w->segment->base_offset, w->segment->counted, &r);
    memory_free(w->o->memory, (void *)r.data);
    w->has_index = error == 0;
    if (error == ERR_MALFORMED) {
        offline_tell(w->o, OFFLINE_NOTE, name, 0, advice_made_again,
                     "it is not a valid index of its segment");
        return 0;
    }
    return error ? offline_fail(w->o, error, "no memory for %s", name) : 0;
}

static int load_sums(struct walk *w)
{
    char name[OFFLINE_NAME_MAX];
    struct bytes data;
    file_name(w, name, ".sums");
    int error = offline_load(w->o, &data, name, CACHE_BYTES_MAX);
    if (error && error != ERR_TOO_LARGE) {
        return error == ERR_NOT_FOUND ? 0 : error;
    }
    size_t pieces = w->segment->counted / SUMS_PIECE + 1;
    struct memory *m = w->o->memory;
    struct reader r = reader_of(error ? NULL : data.data, error ? 0 : data.size);
    w->sums = memory_alloc(m, pieces * sizeof *w->sums);
    w->sums_stored = memory_alloc(m, pieces * sizeof *w->sums_stored);
    bool room = w->sums && w->sums_stored;
    bool valid = room && !error &&
                 sums_decode(w->sums_stored, w->segment->counted, w->log->topic_id,
                             w->log->partition, w->segment->base_offset, &r) == 0;
    memory_free(m, (void *)r.data);
    if (!valid) {
        memory_free(m, w->sums);
        w->sums = NULL;
    }
    if (room && !valid) {
        offline_tell(w->o, OFFLINE_NOTE, name, 0, advice_made_again,
                     "these are not valid sums of its segment");
    }
    return room ? 0 : offline_fail(w->o, ERR_NO_MEMORY, "no memory for %s", name);
}

/* Where every checksum holds, the sums show a change in what no checksum covers. */
static void check_sums(struct walk *w)
{
    for (uint32_t at = 0, piece = 0; w->sums && !w->damaged && at < w->segment->counted; piece++) {
        if (w->sums[piece] != w->sums_stored[piece]) {
            w->damaged = true;
            offline_tell(w->o, OFFLINE_DAMAGE, w->name, at, advice_of(w),
                         "the 64 KiB from here on are not those that were sealed: an offset or a "
                         "leader epoch has changed, or they belong elsewhere");
        }
        uint32_t left = w->segment->counted - at;
        at += left < SUMS_PIECE ? left : SUMS_PIECE;
    }
}

/* --- the unfinished block -------------------------------------------------------------------------- */

static int walk_joined(struct walk *w, const uint8_t *data, size_t size)
{
    size_t at = 0;
    while (at < size && !w->damaged) {
        struct batch_header h;
        uint32_t position = w->position;
        if (batch_header_read(&h, data + at, size - at) || batch_check_rules(&h, BATCH_FROM_LOG)) {
            w->damaged = true;
            offline_tell(w->o, OFFLINE_DAMAGE, w->name, position, advice_of(w),
                         "no batch begins here, or it reaches beyond the end of the log");
            break;
        }
        int64_t records = (int64_t)h.last_offset_delta + 1;
        if (w->next_offset >= 0 &&
            (w->segment->gaps ? h.base_offset < w->next_offset : h.base_offset != w->next_offset)) {
            w->damaged = true;
            offline_tell(w->o, OFFLINE_DAMAGE, w->name, position, advice_of(w),
                         "the batch has offset %" PRId64 " where %" PRId64 " follows",
                         h.base_offset, w->next_offset);
        } else if (batch_check_crc(&h, data + at)) {
            tell_crc(w, position, h.base_offset, records);
        }
        at += h.size;
        w->position += h.size;
        w->next_offset = w->damaged ? -1 : batch_last_offset(&h) + 1;
        int error = count_batch(w, h.size);
        if (error) {
            return error;
        }
    }
    return 0;
}

static int walk_unfinished(struct walk *w, struct io_file *file, uint32_t blocks)
{
    struct bytes last = w->log->unfinished;
    uint32_t from_file = blocks - w->position;
    uint8_t *data = memory_alloc_aligned(w->o->memory, from_file + last.size + 1, MEMORY_ALIGN);
    if (!data) {
        return offline_fail(w->o, ERR_NO_MEMORY, "no memory for the end of %s", w->name);
    }
    int64_t got = from_file ? offline_read(w->o, file, w->name, data, from_file, w->position) : 0;
    int error = got < 0 ? (int)got : 0;
    if (!error && (uint64_t)got < from_file) {
        error = offline_fail(w->o, ERR_BUSY, "%s became shorter while it was read", w->name);
    }
    if (!error) {
        memcpy(data + from_file, last.data, last.size);
        error = walk_joined(w, data, from_file + last.size);
    }
    memory_free(w->o->memory, data);
    return error;
}

/* --- one segment ----------------------------------------------------------------------------------- */

static int walk_blocks(struct walk *w, struct io_file *file, uint32_t limit, bool open)
{
    struct offline *o = w->o;
    if (limit == 0) {
        return 0;
    }
    uint64_t key = ++o->files;
    w->over = false;
    w->scan = (struct cold_scan){
        .source = {.file = file,
                   .key = key,
                   .from_known = true,
                   .from_offset = w->segment->base_offset,
                   .limit = limit,
                   .epochs = &w->log->epochs,
                   .open = open,
                   .gaps = w->segment->gaps},
        .batch = walk_batch,
        .done = walk_done,
        .sums = w->sums,
        .topic_id = w->log->topic_id,
        .partition = w->log->partition,
        .base_offset = w->segment->base_offset,
    };
    cold_scan(o->cold, &w->scan);
    offline_wait(o, &w->over);
    while (!cold_idle(o->cold, key)) {
        io_run_once(o->io, 1000000);
    }
    cold_forget(o->cold, key);
    if (w->error == ERR_DAMAGED) {
        w->damaged = true;
        offline_tell(o, OFFLINE_DAMAGE, w->name, w->scan.source.damage_position, advice_of(w), "%s",
                     w->scan.source.damage);
        return 0;
    }
    if (w->error && w->error != ERR_INTERRUPTED) {
        return offline_fail(o, w->error, "%s/%s cannot be read: %s", o->directory, w->name,
                            error_text(w->error));
    }
    return w->error;
}

/* How much of what counts the file holds; the rest is told. */
static uint32_t blocks_there(struct walk *w, struct io_file *file, uint32_t blocks)
{
    int64_t size = io_file_size(w->o->io, file);
    if (size >= 0 && size < blocks) {
        w->damaged = true;
        offline_tell(w->o, OFFLINE_DAMAGE, w->name, size,
                     w->segment->sealed ? advice_of(w) : w->root->remedy,
                     "the file ends here, but %u bytes of it count", (unsigned)w->segment->counted);
        return (uint32_t)size;
    }
    return blocks;
}

static int walk_file(struct walk *w, struct io_file *file)
{
    const struct folded_segment *s = w->segment;
    uint32_t blocks = s->sealed ? s->counted : s->counted / IO_BLOCK_SIZE * IO_BLOCK_SIZE;
    uint32_t there = blocks_there(w, file, blocks);
    if (there < blocks) {
        memory_free(w->o->memory, w->sums);
        w->sums = NULL;
    }
    int error = walk_blocks(w, file, there, !s->sealed || there < blocks);
    if (!error && !w->damaged && s->counted > blocks) {
        error = walk_unfinished(w, file, blocks);
    }
    if (error || w->damaged || s->cut || w->next_offset < 0) {
        return error;
    }
    check_sums(w);
    /* A log that was truncated into a gap ends in it. */
    bool in_gap = s->gaps && !s->sealed && w->next_offset < s->end_offset;
    if (w->next_offset != s->end_offset && !in_gap) {
        offline_tell(w->o, OFFLINE_DAMAGE, w->name, w->position, advice_of(w),
                     "it ends at offset %" PRId64 " instead of %" PRId64, w->next_offset,
                     s->end_offset);
    }
    return 0;
}

static int walk_segment(struct walk *w)
{
    struct io_file *file;
    file_name(w, w->name, ".log");
    w->next_offset = w->segment->base_offset;
    w->max_timestamp = -1;
    w->o->counts.segments++;
    int error = offline_file(w->o, &file, w->name);
    if (error == ERR_NOT_FOUND && (w->segment->counted >= IO_BLOCK_SIZE || w->segment->sealed)) {
        offline_tell(w->o, OFFLINE_DAMAGE, w->name, -1, advice_of(w),
                     "it is missing: %u bytes of records from offset %" PRId64 " on",
                     (unsigned)w->segment->counted, w->segment->base_offset);
        return 0;
    }
    if (error == ERR_NOT_FOUND) {
        return walk_unfinished(w, NULL, 0); /* nothing of it was written yet */
    }
    if (error) {
        return error;
    }
    if (w->segment->sealed) {
        error = load_index(w);
        error = error ? error : load_sums(w);
    }
    error = error ? error : walk_file(w, file);
    io_file_close(w->o->io, file);
    index_free(&w->index, w->o->memory);
    memory_free(w->o->memory, w->sums);
    memory_free(w->o->memory, w->sums_stored);
    return error;
}

/* --- one log ---------------------------------------------------------------------------------------- */

/* Whether a start has moved the log's directory to aside/, because the metadata does not know it. */
static int set_aside(struct offline *o, const struct folded_log *log, bool *aside)
{
    struct offline_names names;
    int error = offline_list(o, &names, "aside");
    if (error) {
        return error == ERR_NOT_FOUND ? 0 : error;
    }
    for (size_t i = 0; i < names.count && !*aside; i++) {
        char name[OFFLINE_NAME_MAX + 32];
        struct bytes data;
        struct uuid topic_id, storage_id;
        int32_t partition;
        snprintf(name, sizeof name, "aside/%s/partition", names.names[i].text);
        if (offline_load(o, &data, name, PARTITION_FILE_SIZE) == 0) {
            *aside = partition_file_decode(data.data, data.size, &topic_id, &storage_id,
                                           &partition) == 0 &&
                     uuid_equal(topic_id, log->topic_id) && partition == log->partition;
            memory_free(o->memory, (void *)data.data);
        }
    }
    offline_names_free(&names);
    return 0;
}

/* Whether the log's directory says that it is this log's; else that is told. */
static int know_directory(struct root *r, const struct folded_log *log, const char *directory,
                          bool *known)
{
    char name[OFFLINE_NAME_MAX];
    struct bytes data;
    struct uuid topic_id, storage_id;
    int32_t partition;
    bool aside = false;
    snprintf(name, sizeof name, "%.280s/partition", directory);
    int error = offline_load(r->o, &data, name, 2 * PARTITION_FILE_SIZE);
    if (error && error != ERR_NOT_FOUND && error != ERR_TOO_LARGE) {
        return error;
    }
    bool there = error != ERR_NOT_FOUND;
    if (!error) {
        *known =
            partition_file_decode(data.data, data.size, &topic_id, &storage_id, &partition) == 0 &&
            uuid_equal(topic_id, log->topic_id) && partition == log->partition &&
            uuid_equal(storage_id, r->storage_id);
        memory_free(r->o->memory, (void *)data.data);
    }
    error = *known ? 0 : set_aside(r->o, log, &aside);
    if (!*known && !aside && !error) {
        offline_tell(r->o, OFFLINE_DAMAGE, name, there ? 0 : -1, r->remedy,
                     there ? "it is not valid, or names another partition"
                           : "the partition's directory or this file is missing");
    }
    return error;
}

/* Whether files of the segment are there to be looked at. */
static bool segment_wanted(const struct folded_log *log, uint32_t i)
{
    return log->segments[i].counted > 0 && !segment_released(log, i);
}

static int walk_log(struct root *r, const struct folded_log *log)
{
    char directory[OFFLINE_NAME_MAX];
    bool known = false, wanted = false;
    for (uint32_t i = 0; i < log->segment_count; i++) {
        wanted = wanted || segment_wanted(log, i);
    }
    if (log->removed || !wanted) {
        return 0;
    }
    snprintf(directory, sizeof directory, "%stopics/%s-%" PRId32, r->prefix, log->topic,
             log->partition);
    int error = know_directory(r, log, directory, &known);
    for (uint32_t i = 0; known && !error && i < log->segment_count; i++) {
        struct walk w = {.o = r->o, .root = r, .log = log, .segment = &log->segments[i]};
        snprintf(w.directory, sizeof w.directory, "%s", directory);
        error = segment_wanted(log, i) ? walk_segment(&w) : 0;
    }
    return error;
}

int root_walk(struct root *r)
{
    int error = 0;
    list_each (node, &r->logs) {
        error = error ? error : walk_log(r, container_of(node, struct folded_log, link));
    }
    return error;
}
