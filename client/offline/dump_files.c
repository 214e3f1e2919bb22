/* SPDX-License-Identifier: Apache-2.0 */

/* Journals, checkpoints, indexes, sums, and the small files. */
#include "log/index.h"
#include "log/mapped.h"
#include "meta/identity.h"
#include "meta/voters_file.h"
#include "offline/dump_private.h"
#include "wire/batch.h"

#include <stdio.h>

enum { LINE_MAX_SIZE = 1024 };

static void show_wrong(struct dumping *d, const char *what, const char *why)
{
    dump_text(d, "wrong", why);
    dump_item(d, what);
}

/* --- journals --------------------------------------------------------------------------------------- */

static const char *kind_text(enum entry_kind kind)
{
    static const char *const names[] = {"?",         "append",  "truncate", "epoch",
                                        "log-start", "replace", "remove",   "anew"};
    return (size_t)kind < array_size(names) ? names[kind] : names[0];
}

static void show_entry(struct dumping *d, const struct entry *e, uint64_t sequence)
{
    struct batch_header h;
    dump_number(d, "sequence", (int64_t)sequence);
    dump_text(d, "kind", kind_text(e->kind));
    dump_id(d, "topic_id", e->topic_id);
    dump_number(d, "partition", e->partition);
    dump_number(d, "offset", e->offset);
    dump_number(d, "leader_epoch", e->leader_epoch);
    dump_number(d, "segment", e->segment_base);
    dump_number(d, "position", e->position);
    dump_number(d, "size", e->body_size);
    if (e->kind == ENTRY_APPEND) {
        dump_bool(d, "gap", e->gap);
    }
    struct replace_body replaced;
    if (e->kind == ENTRY_REPLACE && replace_body_decode(&replaced, e) == 0) {
        dump_number(d, "generation", replaced.generation);
        dump_bool(d, "gaps", replaced.gaps);
        dump_number(d, "clean", replaced.clean_offset);
    }
    if (e->kind == ENTRY_APPEND && batch_check(&h, e->body, e->body_size, BATCH_FROM_LOG) == 0) {
        dump_number(d, "records", h.record_count);
    } else if (e->kind == ENTRY_APPEND) {
        dump_text(d, "wrong", "its batch fails its checks");
    }
    dump_item(d, "entry");
}

static void show_group(struct dumping *d, const struct scan_group *g, uint64_t live,
                       const uint8_t *data)
{
    struct reader in = reader_of(data + GROUP_HEADER_SIZE, g->size - GROUP_HEADER_SIZE);
    dump_number(d, "position", (int64_t)g->position);
    dump_number(d, "size", g->size);
    dump_number(d, "sequence", (int64_t)g->sequence);
    dump_number(d, "entries", g->count);
    dump_number(d, "settled", (int64_t)g->settled);
    dump_bool(d, "live", g->sequence + g->count > live);
    dump_item(d, "group");
    for (uint32_t i = 0; i < g->count; i++) {
        struct entry e;
        if (entry_decode(&e, &in)) {
            show_wrong(d, "entry", "it is malformed");
            return;
        }
        show_entry(d, &e, g->sequence + i);
    }
}

/* The newest valid copy beside the journal says which life counts. */
static bool newest_checkpoint(struct dumping *d, struct checkpoint_header *out)
{
    bool found = false;
    const char *slash = strrchr(d->name, '/');
    for (unsigned copy = 0; copy < 2; copy++) {
        char name[OFFLINE_NAME_MAX];
        struct bytes data;
        struct checkpoint_header h;
        snprintf(name, sizeof name, "%.*scheckpoint-%u", slash ? (int)(slash - d->name) + 1 : 0,
                 d->name, copy);
        if (offline_load(&d->o, &data, name, DUMP_WHOLE_MAX)) {
            continue;
        }
        if (checkpoint_header_decode(&h, data.data, data.size) == 0 &&
            (!found || root_newer(&h, out))) {
            *out = h;
            found = true;
        }
        memory_free(d->o.memory, (void *)data.data);
    }
    return found;
}

int dump_journal(struct dumping *d, struct bytes data, bool mapped)
{
    struct checkpoint_header h = {0};
    struct scan scan;
    bool found = newest_checkpoint(d, &h);
    struct journal_header own = {0};
    bool whole =
        !mapped && data.size >= JOURNAL_HEADER_SIZE && journal_header_decode(&own, data.data);
    if (!found && whole) { /* no checkpoint is at hand */
        h.life = own.life;
        h.storage_id = own.storage_id;
    }
    dump_number(d, "life", (int64_t)h.life);
    dump_id(d, "storage_id", h.storage_id);
    dump_text(d, "life_from", found ? "checkpoint" : "the file itself");
    if (whole && own.life == h.life) {
        dump_number(d, "settled", (int64_t)own.settled);
    }
    dump_item(d, "journal");
    struct uuid boot = mapped ? h.boot_id : (struct uuid){{0}};
    scan_init(&scan, d->o.memory, group_seed(h.storage_id, h.life, boot),
              mapped ? MAPPED_ALIGN : IO_BLOCK_SIZE, 0);
    int error = scan_bytes(&scan, 0, data.data, 0, data.size);
    for (size_t i = 0; i < scan.count && !error; i++) {
        const struct scan_group *g = &scan.groups[i];
        show_group(d, g, mapped ? h.memory_live : h.live, data.data + g->position);
    }
    scan_deinit(&scan);
    return error ? offline_fail(&d->o, error, "no memory for the groups of %s", d->name)
                 : offline_advance(&d->o, data.size);
}

/* --- checkpoints ------------------------------------------------------------------------------------ */

static void show_log(struct dumping *d, const struct checkpoint_log *l)
{
    char topic[CHECKPOINT_NAME_MAX + 1];
    snprintf(topic, sizeof topic, "%.*s", (int)l->name.size, (const char *)l->name.data);
    dump_text(d, "topic", topic);
    dump_number(d, "partition", l->partition);
    dump_id(d, "topic_id", l->topic_id);
    dump_text(d, "durability", l->durability ? "memory" : "fsync");
    dump_number(d, "start", l->start_offset);
    dump_number(d, "end", l->end_offset);
    dump_number(d, "high_watermark", l->high_watermark);
    dump_number(d, "clean", l->clean_offset);
    dump_number(d, "older_segments", l->segments);
    if (l->has_segment) {
        dump_number(d, "segment", l->segment_base);
        dump_number(d, "segment_size", l->segment_size);
        dump_bool(d, "gaps", l->gaps);
        dump_number(d, "unfinished", (int64_t)l->unfinished.size);
    }
    dump_item(d, "log");
    struct reader older = reader_of(l->older.data, l->older.size);
    for (uint32_t i = 0; i < l->segments; i++) {
        struct checkpoint_segment s = checkpoint_segment_decode(&older);
        dump_number(d, "segment", s.base_offset);
        dump_number(d, "generation", s.generation);
        dump_bool(d, "gaps", s.gaps);
        dump_number(d, "size", s.size);
        dump_time(d, "max_timestamp", s.max_timestamp);
        dump_item(d, "older");
    }
}

void dump_checkpoint(struct dumping *d, struct bytes data)
{
    struct checkpoint_header h;
    if (checkpoint_header_decode(&h, data.data, data.size)) {
        show_wrong(d, "checkpoint", "its checksum or form is wrong");
        return;
    }
    dump_number(d, "life", (int64_t)h.life);
    dump_number(d, "live", (int64_t)h.live);
    dump_number(d, "memory_live", (int64_t)h.memory_live);
    dump_number(d, "settled", (int64_t)h.settled);
    dump_number(d, "shard", h.shard);
    dump_number(d, "shards", h.shards);
    dump_number(d, "logs", h.logs);
    dump_bool(d, "founding", h.flags & CHECKPOINT_FOUNDING);
    dump_bool(d, "clean", h.flags & CHECKPOINT_CLEAN);
    dump_bool(d, "mapped", h.flags & CHECKPOINT_MAPPED);
    dump_number(d, "journal_files", h.journal_files);
    dump_number(d, "journal_file_bytes", (int64_t)h.journal_file_bytes);
    dump_id(d, "storage_id", h.storage_id);
    dump_id(d, "boot_id", h.boot_id);
    dump_item(d, "checkpoint");
    struct reader in =
        reader_of(data.data + CHECKPOINT_HEADER_SIZE, h.size - CHECKPOINT_HEADER_SIZE);
    for (uint32_t n = 0; n < h.logs; n++) {
        struct checkpoint_log l;
        if (checkpoint_log_decode(&l, &in)) {
            show_wrong(d, "log", "it is malformed");
            return;
        }
        show_log(d, &l);
    }
}

/* --- index and sums --------------------------------------------------------------------------------- */

/* Whose an index or a file of sums says to be: both begin with the same fields (docs/formats/index.md).
 */
struct owner {
    struct uuid topic_id;
    int32_t partition;
    int64_t base_offset;
    uint32_t segment_size;
};

static bool owner_read(struct owner *out, struct bytes data)
{
    struct reader r = reader_of(data.data, data.size);
    const uint8_t *id = reader_take(&r, 8) ? reader_take(&r, sizeof out->topic_id.bytes) : NULL;
    if (id) {
        memcpy(out->topic_id.bytes, id, sizeof out->topic_id.bytes);
    }
    out->partition = (int32_t)reader_be32(&r);
    out->base_offset = (int64_t)reader_be64(&r);
    out->segment_size = reader_be32(&r);
    return !r.failed;
}

static void show_owner(struct dumping *d, const struct owner *o)
{
    dump_id(d, "topic_id", o->topic_id);
    dump_number(d, "partition", o->partition);
    dump_number(d, "base_offset", o->base_offset);
    dump_number(d, "segment_size", o->segment_size);
}

int dump_index(struct dumping *d, struct bytes data)
{
    struct owner o = {0};
    struct index x = {0};
    struct reader r = reader_of(data.data, data.size);
    int error = owner_read(&o, data) ? index_decode(&x, d->o.memory, o.topic_id, o.partition,
                                                    o.base_offset, o.segment_size, &r)
                                     : ERR_MALFORMED;
    if (error == ERR_NO_MEMORY) {
        return offline_fail(&d->o, error, "no memory for %s", d->name);
    }
    if (error) {
        show_wrong(d, "index", "its checksum or form is wrong");
        return 0;
    }
    show_owner(d, &o);
    dump_time(d, "max_timestamp", x.max_timestamp);
    dump_number(d, "entries", x.count);
    dump_item(d, "index");
    for (uint32_t i = 0; i < x.count; i++) {
        dump_number(d, "offset", x.entries[i].offset);
        dump_number(d, "position", x.entries[i].position);
        dump_time(d, "max_timestamp_before", x.entries[i].max_timestamp);
        dump_item(d, "index-entry");
    }
    index_free(&x, d->o.memory);
    return 0;
}

int dump_sums(struct dumping *d, struct bytes data)
{
    struct owner o = {0};
    bool known = owner_read(&o, data) && sums_file_size(o.segment_size) <= data.size;
    size_t pieces = known ? o.segment_size / SUMS_PIECE + 1 : 1;
    uint32_t *sums = memory_alloc(d->o.memory, pieces * sizeof *sums);
    struct reader r = reader_of(data.data, data.size);
    if (!sums) {
        return offline_fail(&d->o, ERR_NO_MEMORY, "no memory for %s", d->name);
    }
    if (!known ||
        sums_decode(sums, o.segment_size, o.topic_id, o.partition, o.base_offset, &r) != 0) {
        show_wrong(d, "sums", "its checksum or form is wrong");
        memory_free(d->o.memory, sums);
        return 0;
    }
    show_owner(d, &o);
    dump_item(d, "sums");
    for (uint64_t at = 0; at < o.segment_size; at += SUMS_PIECE) {
        char hex[16];
        snprintf(hex, sizeof hex, "%08x", (unsigned)sums[at / SUMS_PIECE]);
        dump_number(d, "position", (int64_t)at);
        dump_text(d, "crc32c", hex);
        dump_item(d, "sum");
    }
    memory_free(d->o.memory, sums);
    return 0;
}

/* --- small files ------------------------------------------------------------------------------------ */

void dump_partition(struct dumping *d, struct bytes data)
{
    struct uuid topic_id, storage_id;
    int32_t partition;
    if (partition_file_decode(data.data, data.size, &topic_id, &storage_id, &partition)) {
        show_wrong(d, "partition", "its checksum or form is wrong");
        return;
    }
    dump_id(d, "topic_id", topic_id);
    dump_number(d, "partition", partition);
    dump_id(d, "storage_id", storage_id);
    dump_item(d, "partition");
}

void dump_vote(struct dumping *d, struct bytes data)
{
    for (size_t at = 0; at < VOTE_FILE_SIZE; at += VOTE_SLOT_SIZE) {
        struct vote v;
        dump_number(d, "position", (int64_t)at);
        if (data.size < at + VOTE_SLOT_SIZE || vote_decode(&v, data.data + at)) {
            show_wrong(d, "vote", "its checksum or form is wrong");
            continue;
        }
        dump_number(d, "sequence", (int64_t)v.sequence);
        dump_number(d, "epoch", v.epoch);
        dump_number(d, "voted_for", v.voted_id);
        dump_id(d, "cluster_id", v.cluster_id);
        dump_id(d, "directory_id", v.directory_id);
        dump_bool(d, "founded", v.founded);
        dump_item(d, "vote");
    }
}

void dump_voters(struct dumping *d, struct bytes data)
{
    struct voters_file f;
    if (voters_file_decode(&f, data, d->o.memory)) {
        show_wrong(d, "voters", "its checksum or form is wrong");
        return;
    }
    dump_id(d, "cluster_id", f.cluster_id);
    dump_id(d, "directory_id", f.directory_id);
    dump_bool(d, "founded", f.founded);
    dump_item(d, "voters");
    for (uint32_t i = 0; i < f.voters.count; i++) {
        const struct voter *v = &f.voters.list[i];
        dump_number(d, "node", v->id.node);
        dump_id(d, "directory_id", v->id.directory);
        dump_text(d, "listener", v->name);
        dump_text(d, "host", v->host);
        dump_number(d, "port", v->port);
        dump_item(d, "voter");
    }
}

void dump_lines(struct dumping *d, struct bytes data)
{
    for (size_t at = 0; at < data.size;) {
        const uint8_t *end = memchr(data.data + at, '\n', data.size - at);
        size_t size = end ? (size_t)(end - data.data) - at : data.size - at;
        dump_bytes(d, "text", data.data + at,
                   (int64_t)(size < LINE_MAX_SIZE ? size : LINE_MAX_SIZE));
        dump_item(d, "line");
        at += size + 1;
    }
}
