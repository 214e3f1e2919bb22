/* SPDX-License-Identifier: Apache-2.0 */

/* A root as recovery would load it (docs/formats/checkpoint.md, journal.md): the checkpoints' copies,
 * the life that counts, the chain of its journals' groups. Recovery's rules, told one by one instead
 * of ending with the first. */
#include "log/journal.h"
#include "log/mapped.h"
#include "offline/offline_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static_assert((int)OFFLINE_FILES_MAX == (int)JOURNAL_FILES_MAX,
              "every file of a journal is looked at");

enum { JOURNAL_BYTES_MAX = 1 << 30 };

bool root_newer(const struct checkpoint_header *a, const struct checkpoint_header *b)
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

/* --- checkpoints ------------------------------------------------------------------------------- */

static void checkpoint_name(const struct root *r, const struct root_source *s, unsigned copy,
                            char out[static OFFLINE_NAME_MAX])
{
    snprintf(out, OFFLINE_NAME_MAX, "%sjournal-%u/checkpoint-%u", r->prefix, s->shard, copy);
}

static int load_copy(struct root *r, struct root_source *s, unsigned copy)
{
    char name[OFFLINE_NAME_MAX];
    struct bytes data;
    struct checkpoint_header h;
    checkpoint_name(r, s, copy, name);
    int error = offline_load(r->o, &data, name, CHECKPOINT_BYTES_MAX);
    s->seen[copy] = error != ERR_NOT_FOUND;
    if (error) {
        return error == ERR_NOT_FOUND || error == ERR_TOO_LARGE ? 0 : error;
    }
    s->whole[copy] = checkpoint_header_decode(&h, data.data, data.size) == 0;
    if (!s->whole[copy] || (s->valid && !root_newer(&h, &s->header))) {
        memory_free(r->o->memory, (void *)data.data);
        return 0;
    }
    memory_free(r->o->memory, (void *)s->checkpoint.data);
    s->checkpoint = data;
    s->header = h;
    s->newest = copy;
    s->valid = true;
    return 0;
}

static void tell_copies(struct root *r, const struct root_source *s)
{
    char name[OFFLINE_NAME_MAX];
    for (unsigned copy = 0; copy < 2 && s->valid; copy++) {
        checkpoint_name(r, s, copy, name);
        if (!s->whole[copy]) {
            offline_tell(
                r->o, OFFLINE_NOTE, name, s->seen[copy] ? 0 : -1,
                "nothing: the other copy is whole, and the next start writes this one anew",
                s->seen[copy] ? "its checksum or form is wrong" : "it is missing");
        }
    }
    if (!s->valid && (s->seen[0] || s->seen[1])) {
        checkpoint_name(r, s, 0, name);
        offline_tell(r->o, OFFLINE_DAMAGE, name, 0, r->remedy, "neither copy is valid");
    }
}

static int find_sources(struct root *r)
{
    static const char prefix[] = "journal-";
    struct offline_names names;
    int error = offline_list(r->o, &names, r->prefix);
    if (error) {
        return error == ERR_NOT_FOUND ? 0 : error;
    }
    for (size_t i = 0; i < names.count && !error; i++) {
        const char *digits = names.names[i].text + sizeof prefix - 1;
        if (!names.names[i].directory ||
            strncmp(names.names[i].text, prefix, sizeof prefix - 1) != 0) {
            continue;
        }
        char *end, again[OFFLINE_NAME_MAX];
        unsigned long shard = strtoul(digits, &end, 10);
        snprintf(again, sizeof again, "%lu", shard);
        if (shard >= OFFLINE_SHARDS_MAX || strcmp(again, digits) != 0) {
            continue;
        }
        struct root_source *s = &r->sources[r->source_count++];
        s->shard = (unsigned)shard;
        for (unsigned copy = 0; copy < 2 && !error; copy++) {
            error = load_copy(r, s, copy);
        }
    }
    offline_names_free(&names);
    return error;
}

/* --- the life that counts ----------------------------------------------------------------------- */

static void choose_life(struct root *r)
{
    const struct root_source *best = NULL;
    for (unsigned i = 0; i < r->source_count; i++) {
        const struct root_source *s = &r->sources[i];
        tell_copies(r, s);
        if (s->valid && (!best || s->header.life > best->header.life)) {
            best = s;
        }
    }
    if (!best) {
        return;
    }
    r->found = true;
    r->life = best->header.life;
    r->storage_id = best->header.storage_id;
    unsigned count = 0;
    bool served = false;
    for (unsigned i = 0; i < r->source_count; i++) {
        struct root_source *s = &r->sources[i];
        s->used = s->valid && s->header.life == r->life && s->shard < best->header.shards;
        count += s->used;
        served = served || (s->used && !(s->header.flags & CHECKPOINT_FOUNDING));
    }
    if (count < best->header.shards && served) {
        char name[OFFLINE_NAME_MAX];
        snprintf(name, sizeof name, "%sjournal-%u", r->prefix, count);
        offline_tell(r->o, OFFLINE_DAMAGE, name, -1, r->remedy,
                     "of the %u checkpoints of life %" PRIu64 " only %u are there",
                     best->header.shards, r->life, count);
    }
}

/* --- journals ----------------------------------------------------------------------------------- */

static void journal_name(const struct root *r, const struct root_source *s, unsigned file,
                         char out[static OFFLINE_NAME_MAX])
{
    snprintf(out, OFFLINE_NAME_MAX, "%sjournal-%u/durable-%04u", r->prefix, s->shard, file);
}

static int scan_file(struct root *r, struct root_source *s, unsigned file)
{
    char name[OFFLINE_NAME_MAX];
    struct bytes data;
    journal_name(r, s, file, name);
    int error = offline_load(r->o, &data, name, JOURNAL_BYTES_MAX);
    if (error) {
        return error == ERR_TOO_LARGE ? offline_fail(r->o, error, "%s is too large", name) : error;
    }
    uint64_t size = data.size / IO_BLOCK_SIZE * IO_BLOCK_SIZE;
    s->file_sizes[file] = size;
    error = scan_bytes(&s->scan, file, data.data, 0, size);
    memory_free(r->o->memory, (void *)data.data);
    return error ? offline_fail(r->o, error, "no memory to look through %s", name)
                 : offline_advance(r->o, size);
}

static void tell_missing_files(struct root *r, const struct root_source *s)
{
    const struct checkpoint_header *h = &s->header;
    char name[OFFLINE_NAME_MAX];
    for (uint32_t i = 0; i < h->journal_files && i < OFFLINE_FILES_MAX; i++) {
        if (i >= s->file_count || s->file_sizes[i] < h->journal_file_bytes) {
            journal_name(r, s, i, name);
            offline_tell(r->o, OFFLINE_DAMAGE, name, -1, r->remedy,
                         "it is missing or shorter than its %" PRIu64 " bytes",
                         h->journal_file_bytes);
        }
    }
    if ((h->flags & CHECKPOINT_MAPPED) && uuid_equal(h->boot_id, io_boot_id(r->o->io)) &&
        s->mapped_size == 0) {
        snprintf(name, sizeof name, "%sjournal-%u/memory-0000", r->prefix, s->shard);
        offline_tell(r->o, OFFLINE_DAMAGE, name, -1, r->remedy, "it is missing");
    }
}

/* The ring of `memory` topics counts for as long as the machine runs. */
static int scan_ring(struct root *r, struct root_source *s)
{
    char name[OFFLINE_NAME_MAX];
    struct bytes data;
    snprintf(name, sizeof name, "%sjournal-%u/memory-0000", r->prefix, s->shard);
    int error = offline_load(r->o, &data, name, JOURNAL_BYTES_MAX);
    if (error) {
        return error == ERR_NOT_FOUND ? 0 : error;
    }
    s->mapped_size = data.size;
    error = scan_bytes(&s->mapped_scan, 0, data.data, 0, data.size);
    error = error ? error : scan_chain(&s->mapped_scan, s->header.memory_live, 0);
    memory_free(r->o->memory, (void *)data.data);
    if (!error && s->mapped_scan.torn_bytes) {
        offline_tell(r->o, OFFLINE_NOTE, name, (int64_t)s->mapped_scan.damage_position,
                     "nothing: memory topics are promised no more than that",
                     "%" PRIu64 " bytes stand behind a hole and are dropped by the next start",
                     s->mapped_scan.torn_bytes);
    }
    return error ? offline_fail(r->o, error, "no memory to look through %s", name) : 0;
}

static void tell_chain(struct root *r, const struct root_source *s)
{
    char name[OFFLINE_NAME_MAX];
    journal_name(r, s, s->scan.damage_file, name);
    if (s->scan.damaged) {
        offline_tell(r->o, OFFLINE_DAMAGE, name, (int64_t)s->scan.damage_position, r->remedy,
                     "durable entries from sequence %" PRIu64
                     " on are missing or fail their checksum",
                     s->scan.next_sequence);
    } else if (s->scan.torn_bytes) {
        offline_tell(r->o, OFFLINE_NOTE, name, (int64_t)s->scan.damage_position,
                     "nothing: no acknowledged record is among them",
                     "a torn tail: %" PRIu64
                     " bytes above every durable mark are dropped by the next start",
                     s->scan.torn_bytes);
    }
}

static int scan_source(struct root *r, struct root_source *s)
{
    struct memory *m = r->o->memory;
    scan_init(&s->scan, m, group_seed(r->storage_id, r->life, (struct uuid){{0}}), IO_BLOCK_SIZE,
              s->header.live);
    scan_init(&s->mapped_scan, m, group_seed(r->storage_id, r->life, io_boot_id(r->o->io)),
              MAPPED_ALIGN, s->header.memory_live);
    int error = 0;
    for (unsigned i = 0; i < OFFLINE_FILES_MAX && !error; i++) {
        error = scan_file(r, s, i);
        s->file_count += !error;
    }
    if (error && error != ERR_NOT_FOUND) {
        return error;
    }
    if (scan_chain(&s->scan, s->header.live, s->header.settled)) {
        return offline_fail(r->o, ERR_NO_MEMORY, "no memory to order the journal");
    }
    error = scan_ring(r, s);
    if (!error) {
        tell_missing_files(r, s);
        tell_chain(r, s);
    }
    return error;
}

/* --- from beginning to end ---------------------------------------------------------------------- */

/* Without a checkpoint nothing is known of what lies under topics/. */
static int tell_no_checkpoint(struct root *r)
{
    char path[OFFLINE_NAME_MAX], name[OFFLINE_NAME_MAX];
    struct offline_names names;
    for (unsigned i = 0; i < r->source_count; i++) {
        if (r->sources[i].seen[0] || r->sources[i].seen[1]) {
            return 0; /* told */
        }
    }
    snprintf(path, sizeof path, "%stopics", r->prefix);
    int error = offline_list(r->o, &names, path);
    if (error) {
        return error == ERR_NOT_FOUND ? 0 : error;
    }
    if (names.count) {
        snprintf(name, sizeof name, "%sjournal-0/checkpoint-0", r->prefix);
        offline_tell(r->o, OFFLINE_DAMAGE, name, -1, r->remedy,
                     "both copies of the checkpoint are missing, but topics/%.200s is there",
                     names.names[0].text);
    }
    offline_names_free(&names);
    return 0;
}

int root_load(struct root *r)
{
    list_init(&r->logs);
    map_init(&r->by_id, r->o->memory, 1, UINT32_MAX);
    int error = find_sources(r);
    if (error) {
        return error;
    }
    choose_life(r);
    if (!r->found) {
        return tell_no_checkpoint(r);
    }
    for (unsigned i = 0; i < r->source_count && !error; i++) {
        error = r->sources[i].used ? scan_source(r, &r->sources[i]) : 0;
    }
    return error;
}

void root_free(struct root *r)
{
    struct memory *m = r->o->memory;
    struct list *node;
    map_deinit(&r->by_id);
    while ((node = list_pop(&r->logs))) {
        struct folded_log *log = container_of(node, struct folded_log, link);
        epochs_free(&log->epochs, m);
        memory_free(m, log->segments);
        memory_free(m, log);
    }
    for (unsigned i = 0; i < r->source_count; i++) {
        struct root_source *s = &r->sources[i];
        memory_free(m, (void *)s->checkpoint.data);
        if (s->scan.memory) {
            scan_deinit(&s->scan);
            scan_deinit(&s->mapped_scan);
        }
    }
}
