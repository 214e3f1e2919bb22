/* SPDX-License-Identifier: Apache-2.0 */

/* What each log is: the checkpoint's record of it, then the journal's entries in order, by the rules of
 * replay. No file of a segment is looked at here; what is learned is which parts of them still count.
 *
 * The batches of entries are checked where they stand, in the journal. A segment counts as far as the
 * checkpoint says, unless a later entry has cut it, moved the log's start past it, or removed all. */
#include "log/log.h"
#include "offline/offline_private.h"
#include "wire/batch.h"

#include <inttypes.h>
#include <stdio.h>

struct fold {
    struct root *r;
    struct root_source *s;
    const char *name;  /* of the journal file */
    uint64_t position; /* of the group in it */
    enum log_durability durability;
};

static void key_of(uint8_t key[static 20], struct uuid topic_id, int32_t partition)
{
    memcpy(key, topic_id.bytes, sizeof topic_id.bytes);
    put_be32(key + sizeof topic_id.bytes, (uint32_t)partition);
}

static struct folded_log *log_of(const struct root *r, struct uuid topic_id, int32_t partition)
{
    uint8_t key[20];
    key_of(key, topic_id, partition);
    return map_get(&r->by_id, bytes_of(key, sizeof key));
}

static struct folded_log *log_add(struct root *r, struct uuid topic_id, int32_t partition)
{
    struct folded_log *log = memory_alloc(r->o->memory, sizeof *log);
    if (!log) {
        return NULL;
    }
    *log = (struct folded_log){
        .topic_id = topic_id, .partition = partition, .base = -1, .rolled_at = -1};
    key_of(log->key, topic_id, partition);
    if (map_add(&r->by_id, bytes_of(log->key, sizeof log->key), log)) {
        memory_free(r->o->memory, log);
        return NULL;
    }
    list_init(&log->link);
    list_append(&r->logs, &log->link);
    return log;
}

/* --- checkpoints ------------------------------------------------------------------------------- */

/* A founding checkpoint names the logs of all shards; that of a log's home is the newest. */
static bool home_speaks(const struct root *r, const struct root_source *s,
                        const struct checkpoint_log *l)
{
    unsigned home = log_home(l->name, l->partition, s->header.shards);
    for (unsigned i = 0; i < r->source_count; i++) {
        if (r->sources[i].used && r->sources[i].shard == home) {
            return &r->sources[i] != s;
        }
    }
    return log_of(r, l->topic_id, l->partition) != NULL;
}

static int log_load(struct root *r, const struct checkpoint_log *l)
{
    struct memory *m = r->o->memory;
    struct folded_log *log = log_add(r, l->topic_id, l->partition);
    if (!log) {
        return ERR_NO_MEMORY;
    }
    memcpy(log->topic, l->name.data, l->name.size); /* at most CHECKPOINT_NAME_MAX: checked */
    log->start = l->start_offset;
    log->end = log->checkpoint_end = l->end_offset;
    log->has_active = l->has_segment;
    log->unfinished = l->unfinished;
    struct reader epochs = reader_of(l->epochs.data, l->epochs.size);
    int error = epochs_decode(&log->epochs, m, &epochs);
    log->segments = memory_alloc(m, (l->segments + 1) * sizeof *log->segments);
    if (error || !log->segments) {
        return error ? error : ERR_NO_MEMORY;
    }
    struct reader older = reader_of(l->older.data, l->older.size);
    for (uint32_t i = 0; i < l->segments; i++) {
        struct checkpoint_segment s = checkpoint_segment_decode(&older);
        log->segments[log->segment_count++] = (struct folded_segment){s.base_offset, s.size};
    }
    if (l->has_segment) {
        log->segments[log->segment_count++] =
            (struct folded_segment){l->segment_base, l->segment_size};
        log->base = l->segment_base;
        log->size = l->segment_size;
    }
    r->o->counts.logs++;
    return 0;
}

static int load_source(struct root *r, const struct root_source *s)
{
    struct reader in = reader_of(s->checkpoint.data + CHECKPOINT_HEADER_SIZE,
                                 s->header.size - CHECKPOINT_HEADER_SIZE);
    for (uint32_t n = 0; n < s->header.logs; n++) {
        struct checkpoint_log l;
        int error = checkpoint_log_decode(&l, &in);
        if (!error && (s->header.flags & CHECKPOINT_FOUNDING) && home_speaks(r, s, &l)) {
            continue;
        }
        error = error ? error : log_load(r, &l);
        if (error == ERR_NO_MEMORY) {
            return offline_fail(r->o, error, "no memory for the logs of the checkpoint");
        }
        if (error) {
            char name[OFFLINE_NAME_MAX];
            snprintf(name, sizeof name, "%sjournal-%u/checkpoint-%u", r->prefix, s->shard,
                     s->newest);
            offline_tell(r->o, OFFLINE_DAMAGE, name,
                         (int64_t)(CHECKPOINT_HEADER_SIZE + in.position), r->remedy,
                         "log %u of it is malformed", (unsigned)n);
            return 0;
        }
    }
    return 0;
}

/* --- entries ------------------------------------------------------------------------------------ */

static const char *kind_name(enum entry_kind kind)
{
    static const char *const names[] = {"?",         "append",  "truncate", "epoch",
                                        "log start", "replace", "remove"};
    return (size_t)kind < array_size(names) ? names[kind] : names[0];
}

static void refuse(const struct fold *f, const struct folded_log *log, const struct entry *e,
                   const char *why)
{
    char id[UUID_TEXT_SIZE];
    uuid_text(e->topic_id, id);
    offline_tell(
        f->r->o, OFFLINE_DAMAGE, f->name, (int64_t)f->position, f->r->remedy,
        "an entry of this group does not follow what stands before it: %s at offset %" PRId64
        " of %s-%" PRId32 ": %s",
        kind_name(e->kind), e->offset, log->topic[0] ? log->topic : id, e->partition, why);
}

static void apply_append(const struct fold *f, struct folded_log *log, const struct entry *e)
{
    struct batch_header h;
    if (batch_check(&h, e->body, e->body_size, BATCH_FROM_LOG)) {
        refuse(f, log, e, "its batch fails its checks");
        return;
    }
    if (e->offset != log->end || h.base_offset != e->offset) {
        refuse(f, log, e, "its offset is not the end of the log");
        return;
    }
    if (log->base != e->segment_base) {
        if (e->segment_base != log->end || e->position != 0) {
            refuse(f, log, e, "its segment does not begin there");
            return;
        }
        log->rolled_at = log->rolled_at < 0 ? log->end : log->rolled_at;
        log->base = e->segment_base;
        log->size = 0;
    }
    if (log->size != e->position) {
        refuse(f, log, e, "its position is not the end of the segment");
        return;
    }
    log->size += e->body_size;
    log->end = batch_last_offset(&h) + 1;
}

static void apply_truncate(const struct fold *f, struct folded_log *log, const struct entry *e)
{
    if (e->offset > log->end || e->offset < log->start ||
        e->body_size != e->position % IO_BLOCK_SIZE) {
        refuse(f, log, e, "it cuts where the log is not");
        return;
    }
    log->end = e->offset;
    log->base = e->segment_base;
    log->size = e->position;
    bool lower = !log->cut || e->segment_base < log->cut_base ||
                 (e->segment_base == log->cut_base && e->position < log->cut_position);
    if (lower) {
        log->cut = true;
        log->cut_base = e->segment_base;
        log->cut_position = e->position;
    }
}

/* A control of a `memory` log stands in both journals; after a kill the mapped one says it in its
 * place, after a power cut it applies to what is left. */
static bool control_skipped(const struct fold *f, const struct folded_log *log,
                            const struct entry *e)
{
    return f->durability == LOG_FSYNC && e->memory &&
           ((uuid_equal(f->s->header.boot_id, io_boot_id(f->r->o->io)) && !e->alone) ||
            (e->kind == ENTRY_TRUNCATE && e->offset >= log->end));
}

static int apply(const struct fold *f, const struct entry *e)
{
    struct folded_log *log = log_of(f->r, e->topic_id, e->partition);
    f->r->o->counts.entries++;
    if (!log && e->kind != ENTRY_APPEND) {
        return 0; /* of a log that holds nothing */
    }
    if (!log) {
        log = log_add(f->r, e->topic_id, e->partition);
        if (!log) {
            return offline_fail(f->r->o, ERR_NO_MEMORY, "no memory for the logs of the journal");
        }
        f->r->o->counts.logs++;
        log->start = log->end = e->offset;
    }
    if (log->removed || control_skipped(f, log, e)) {
        return 0;
    }
    switch (e->kind) {
    case ENTRY_APPEND:
        apply_append(f, log, e);
        break;
    case ENTRY_TRUNCATE:
        apply_truncate(f, log, e);
        break;
    case ENTRY_LOG_START:
        log->start = e->offset > log->start ? e->offset : log->start;
        break;
    case ENTRY_REMOVE:
        log->removed = true;
        break;
    case ENTRY_EPOCH:
        break;
    case ENTRY_REPLACE:
        refuse(f, log, e, "this version does not know it");
        break;
    }
    return 0;
}

static int apply_group(struct fold *f, const struct scan *scan, const struct scan_group *g,
                       const uint8_t *data)
{
    struct reader in = reader_of(data + GROUP_HEADER_SIZE, g->size - GROUP_HEADER_SIZE);
    f->position = g->position;
    f->r->o->counts.groups++;
    for (uint32_t n = 0; n < g->count; n++) {
        struct entry e;
        if (entry_decode(&e, &in)) {
            offline_tell(f->r->o, OFFLINE_DAMAGE, f->name, (int64_t)g->position, f->r->remedy,
                         "entry %u of this group is malformed", (unsigned)n);
            return 0;
        }
        int error = g->sequence + n < scan->live ? 0 : apply(f, &e);
        if (error) {
            return error;
        }
    }
    return 0;
}

/* Entries are applied in the order of the chain; the files' bytes are read once more for that. */
static int apply_chain(struct root *r, struct root_source *s, const struct scan *scan,
                       enum log_durability durability)
{
    char name[OFFLINE_NAME_MAX] = "";
    struct fold f = {.r = r, .s = s, .name = name, .durability = durability};
    struct bytes data = {0};
    uint32_t file = UINT32_MAX;
    int error = 0;
    for (size_t i = 0; i < scan->chain_count && !error; i++) {
        const struct scan_group *g = &scan->groups[scan->chain[i]];
        if (g->file != file) {
            memory_free(r->o->memory, (void *)data.data);
            data = (struct bytes){0};
            file = g->file;
            snprintf(name, sizeof name,
                     durability == LOG_FSYNC ? "%sjournal-%u/durable-%04u"
                                             : "%sjournal-%u/memory-%04u",
                     r->prefix, s->shard, file);
            error = offline_load(r->o, &data, name, SIZE_MAX);
        }
        if (!error && g->position + g->size > data.size) {
            error = offline_fail(r->o, ERR_BUSY, "%s became shorter while it was read", name);
        }
        error = error ? error : apply_group(&f, scan, g, data.data + g->position);
    }
    memory_free(r->o->memory, (void *)data.data);
    return error;
}

int root_fold(struct root *r)
{
    int error = 0;
    for (unsigned i = 0; i < r->source_count && !error; i++) {
        error = r->sources[i].used ? load_source(r, &r->sources[i]) : 0;
    }
    for (unsigned i = 0; i < r->source_count && !error; i++) {
        struct root_source *s = &r->sources[i];
        error = s->used ? apply_chain(r, s, &s->scan, LOG_FSYNC) : 0;
    }
    for (unsigned i = 0; i < r->source_count && !error; i++) {
        struct root_source *s = &r->sources[i];
        error = s->used ? apply_chain(r, s, &s->mapped_scan, LOG_MEMORY) : 0;
    }
    return error;
}
