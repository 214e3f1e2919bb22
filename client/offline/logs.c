/* SPDX-License-Identifier: Apache-2.0 */

/* What each log is: the checkpoint's record of it, then the journal's entries in order, by the rules of
 * replay. No file of a segment is looked at here; what is learned is which parts of them still count.
 *
 * The batches of entries are checked where they stand, in the journal. A segment counts as far as the
 * checkpoint says, unless a later entry has cut it, replaced it (then all of the new one counts), moved
 * the log's start past it, or removed all. */
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
    *log = (struct folded_log){.topic_id = topic_id, .partition = partition};
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

/* The place of a new newest segment; NULL: no memory. */
static struct folded_segment *segment_push(struct root *r, struct folded_log *log)
{
    if (log->segment_count == log->segment_capacity) {
        uint32_t capacity = log->segment_capacity ? log->segment_capacity * 2 : 8;
        void *grown = memory_resize(r->o->memory, log->segments, capacity * sizeof *log->segments);
        if (!grown) {
            return NULL;
        }
        log->segments = grown;
        log->segment_capacity = capacity;
    }
    struct folded_segment *s = &log->segments[log->segment_count++];
    *s = (struct folded_segment){0};
    return s;
}

/* A segment of the checkpoint; each ends where the next one begins. */
static int segment_load(struct root *r, struct folded_log *log, const struct checkpoint_segment *in,
                        bool sealed)
{
    struct folded_segment *s = segment_push(r, log);
    if (!s) {
        return ERR_NO_MEMORY;
    }
    *s = (struct folded_segment){.base_offset = in->base_offset,
                                 .generation = in->generation,
                                 .gaps = in->gaps,
                                 .size = in->size,
                                 .counted = in->size,
                                 .end_offset = log->end,
                                 .sealed = sealed};
    if (log->segment_count > 1) {
        s[-1].end_offset = s->base_offset;
    }
    return 0;
}

static int log_load(struct root *r, const struct checkpoint_log *l)
{
    struct folded_log *log = log_add(r, l->topic_id, l->partition);
    if (!log) {
        return ERR_NO_MEMORY;
    }
    memcpy(log->topic, l->name.data, l->name.size); /* at most CHECKPOINT_NAME_MAX: checked */
    log->start = l->start_offset;
    log->end = l->end_offset;
    struct reader epochs = reader_of(l->epochs.data, l->epochs.size);
    int error = epochs_decode(&log->epochs, r->o->memory, &epochs);
    struct reader older = reader_of(l->older.data, l->older.size);
    for (uint32_t i = 0; !error && i < l->segments; i++) {
        struct checkpoint_segment s = checkpoint_segment_decode(&older);
        error = segment_load(r, log, &s, true);
    }
    if (!error && l->has_segment) {
        const struct checkpoint_segment newest = {
            .base_offset = l->segment_base, .size = l->segment_size, .gaps = l->gaps};
        log->unfinished = l->unfinished;
        error = segment_load(r, log, &newest, false);
    }
    r->o->counts.logs++;
    return error;
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
                                        "log start", "replace", "remove",   "anew"};
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

static struct folded_segment *newest(const struct folded_log *log)
{
    return log->segment_count ? &log->segments[log->segment_count - 1] : NULL;
}

static int apply_append(const struct fold *f, struct folded_log *log, const struct entry *e)
{
    struct batch_header h;
    struct folded_segment *s = newest(log);
    if (batch_check(&h, e->body, e->body_size, BATCH_FROM_LOG)) {
        refuse(f, log, e, "its batch fails its checks");
        return 0;
    }
    if ((e->gap ? e->offset <= log->end : e->offset != log->end) || h.base_offset != e->offset) {
        refuse(f, log, e, "its offset is not the end of the log");
        return 0;
    }
    if (!s || s->base_offset != e->segment_base) {
        if (e->segment_base != log->end || e->position != 0) {
            refuse(f, log, e, "its segment does not begin there");
            return 0;
        }
        s = segment_push(f->r, log);
        if (!s) {
            return offline_fail(f->r->o, ERR_NO_MEMORY, "no memory for the logs of the journal");
        }
        s->base_offset = s->end_offset = e->segment_base;
    }
    if (s->size != e->position) {
        refuse(f, log, e, "its position is not the end of the segment");
        return 0;
    }
    s->gaps = s->gaps || e->gap;
    s->size += e->body_size;
    log->end = batch_last_offset(&h) + 1;
    return 0;
}

static struct folded_segment *segment_of(const struct folded_log *log, int64_t base_offset)
{
    for (uint32_t i = 0; i < log->segment_count; i++) {
        if (log->segments[i].base_offset == base_offset) {
            return &log->segments[i];
        }
    }
    return NULL;
}

/* The blocks in front of a cut stay as they are; the one that is cut stands in the entry. */
static void apply_truncate(const struct fold *f, struct folded_log *log, const struct entry *e)
{
    struct folded_segment *s = segment_of(log, e->segment_base);
    if (!s || e->offset > log->end || e->offset < log->start || e->position > s->size ||
        e->body_size != e->position % IO_BLOCK_SIZE) {
        refuse(f, log, e, "it cuts where the log is not");
        return;
    }
    log->segment_count = (uint32_t)(s - log->segments) + 1;
    log->end = e->offset;
    s->size = e->position;
    s->sealed = false;
    if (e->position < s->counted) {
        s->counted = e->position / IO_BLOCK_SIZE * IO_BLOCK_SIZE;
        s->cut = true;
    }
}

static int64_t segment_end(const struct folded_log *log, const struct folded_segment *s)
{
    return s + 1 < log->segments + log->segment_count ? s[1].base_offset : log->end;
}

/* The file of the new segment was durable before its entry was written: all of it counts. */
static void apply_replace(const struct fold *f, struct folded_log *log, const struct entry *e)
{
    struct replace_body body;
    struct folded_segment *first = segment_of(log, e->segment_base), *last = first;
    const struct folded_segment *behind = log->segments + log->segment_count;
    while (last && last < behind && segment_end(log, last) < e->offset) {
        last++;
    }
    if (!last || last == behind || segment_end(log, last) != e->offset ||
        replace_body_decode(&body, e) || e->position == 0 || body.clean_offset > log->end) {
        refuse(f, log, e, "the segments that it replaces are not there");
        return;
    }
    for (const struct folded_segment *s = first; s <= last; s++) {
        if (s->generation >= body.generation) {
            refuse(f, log, e, "its generation is not above those that it replaces");
            return;
        }
    }
    *first = (struct folded_segment){.base_offset = e->segment_base,
                                     .generation = body.generation,
                                     .gaps = body.gaps,
                                     .size = e->position,
                                     .counted = e->position,
                                     .end_offset = e->offset,
                                     .sealed = true};
    memmove(first + 1, last + 1, (size_t)(behind - last - 1) * sizeof *first);
    log->segment_count -= (uint32_t)(last - first);
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
        log->start = log->end = e->segment_base; /* where its first segment begins */
    }
    if (log->removed || control_skipped(f, log, e)) {
        return 0;
    }
    switch (e->kind) {
    case ENTRY_APPEND:
        return apply_append(f, log, e);
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
        apply_replace(f, log, e);
        break;
    case ENTRY_ANEW:
        log->segment_count = 0;
        log->start = log->end = e->offset;
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
