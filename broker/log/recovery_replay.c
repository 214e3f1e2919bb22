/* SPDX-License-Identifier: Apache-2.0 */

/* The second half of recovery: the logs of the checkpoints, then the chains of the journals.
 *
 *     set aside what the metadata does not know (L8) -> logs of the checkpoints -> a checkpoint
 * that says again what was read, with the mark of all that is replayed (L7) -> durable journals,
 * mapped journals
 *
 * Entries are applied by the same functions that serve: the tail, writing behind, rolling. Where
 * they lack room, replay waits for progress. */
#include "base/errors.h"
#include "log/recovery_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void mark_next(struct recovery *r);
static void replay_next(struct recovery *r);
static void mapped_next(struct recovery *r);

/* The topic of a directory. */
static const char *name_of(const struct recovery *r, struct uuid topic_id, int32_t partition)
{
    const struct log_options *o = &r->options;
    const char *name = o->known(o->known_context, topic_id, partition);
    return name || !o->doubtful ? name : o->doubtful(o->known_context, topic_id, partition);
}

/* --- directories and checkpointed logs -------------------------------------------------------- */

/* Nobody may take for rubbish what may be the only copy of records that somebody wants back. */
static void say_aside(struct recovery *r, const struct recovery_directory *d, const char *from,
                      const char *to)
{
    struct log_recovery_summary *summary = &r->request->summary;
    bool lost = summary->damage[0] != 0 || name_of(r, d->topic_id, d->partition);
    summary->set_aside++;
    summary->aside_lost += lost;
    if (lost) {
        log_warn(io_logger(r->io), "log",
                 "%s cannot be used, what could be read of it was moved to %s: keep it until the "
                 "records are there again",
                 from, to);
    } else if (d->wanted || uuid_is_zero(d->topic_id)) {
        log_info(io_logger(r->io), "log",
                 "%s cannot be read, and what it held is not needed any more: moved to %s", from,
                 to);
    } else {
        log_info(io_logger(r->io), "log",
                 "%s is of a topic that was deleted, or that the metadata do not know: moved to "
                 "%s; nothing in use is affected, it may be removed",
                 from, to);
    }
}

int recovery_set_aside(struct recovery *r, const struct recovery_directory *d)
{
    char from[IO_PATH_MAX], to[IO_PATH_MAX];
    snprintf(from, sizeof from, "%s/topics/%s", r->options.root, d->name);
    if (log_mutant(r->set, LOG_MUTANT_DELETE_UNKNOWN)) {
        return trash_put(r->set, from, d->topic_id, d->partition);
    }
    for (unsigned n = 0;; n++) {
        int size = snprintf(to, sizeof to, "%s/aside/%s.%u", r->options.root, d->name, n);
        if (size <= 0 || (size_t)size >= sizeof to) {
            return ERR_INVALID_ARGUMENT;
        }
        int error = io_rename(r->io, from, to);
        error = error < 0 ? error_from_errno(error) : 0;
        if (error == 0) {
            say_aside(r, d, from, to);
        }
        if (error != ERR_EXISTS && error != ERR_UNKNOWN_SERVER_ERROR) {
            return error;
        }
    }
}

/* The directory of a known partition, under its right name. */
static bool directory_is(const struct recovery *r, const struct recovery_directory *d)
{
    const char *topic = d->readable && uuid_equal(d->storage_id, r->storage_id)
                            ? name_of(r, d->topic_id, d->partition)
                            : NULL;
    char name[sizeof d->name];
    if (!topic) {
        return false;
    }
    snprintf(name, sizeof name, "%s-%" PRId32, topic, d->partition);
    return strcmp(name, d->name) == 0;
}

static struct recovery_directory *directory_of(const struct recovery *r, struct uuid topic_id,
                                               int32_t partition)
{
    uint8_t key[20];
    memcpy(key, topic_id.bytes, sizeof topic_id.bytes);
    put_be32(key + sizeof topic_id.bytes, (uint32_t)partition);
    struct recovery_directory *d = map_get(&r->directories_by_id, bytes_of(key, sizeof key));
    return d && d->readable ? d : NULL;
}

static bool has_directory(const struct recovery *r, struct uuid topic_id, int32_t partition)
{
    return directory_of(r, topic_id, partition) != NULL;
}

/* Whether a log of another topic has the directory that this name stands for. */
static bool has_successor(const struct recovery *r, const char *topic, struct uuid topic_id,
                          int32_t partition)
{
    char name[sizeof((struct recovery_directory *)0)->name];
    snprintf(name, sizeof name, "%s-%" PRId32, topic, partition);
    for (const struct list *n = r->directories.next; n != &r->directories; n = n->next) {
        const struct recovery_directory *d = container_of(n, struct recovery_directory, link);
        if (d->readable && strcmp(d->name, name) == 0 && !uuid_equal(d->topic_id, topic_id)) {
            return true;
        }
    }
    return false;
}

/* The topic of a log. Of one that is perhaps gone all is kept, also where its directory was not durable yet; if it
 * was removed, its REMOVE follows in the journal, unless a successor of its name shows that it has gone. */
static const char *known_name(const struct recovery *r, struct uuid topic_id, int32_t partition)
{
    const struct log_options *o = &r->options;
    const char *name = o->known(o->known_context, topic_id, partition);
    if (name || !o->doubtful) {
        return name;
    }
    name = o->doubtful(o->known_context, topic_id, partition);
    bool kept = name && (has_directory(r, topic_id, partition) ||
                         !has_successor(r, name, topic_id, partition));
    return kept ? name : NULL;
}

struct finding {
    const struct log *log;
    const struct segment *near; /* the latest that was found */
};

static void note_found(void *context, const char *name, bool directory)
{
    struct finding *f = context;
    int64_t base;
    uint32_t generation;
    const char *suffix;
    if (directory || !segment_name_parse(name, &base, &generation, &suffix) ||
        strcmp(suffix, ".log") != 0) {
        return;
    }
    struct segment *s = segment_named(f->log, f->near, base, generation);
    f->near = s ? s : f->near;
    if (s && s->state == SEGMENT_SEALED) {
        s->missing_from = UINT32_MAX;
    }
}

/* The newest segment should hold what the checkpoint counts of it, and the older ones should be
 * there. If not, they were deleted since by an entry that replay will come to (a truncation, a new
 * start), or it is damage. */
static int look_for_segments(struct recovery *r, struct log *log)
{
    struct segment *active = log_active(log);
    if (active) {
        segment_look(active);
    }
    if (list_empty(&log->segments) || log->segments.next == (active ? &active->link : NULL)) {
        return 0;
    }
    list_each (node, &log->segments) {
        struct segment *s = container_of(node, struct segment, link);
        s->missing_from = s == active ? s->missing_from : 0;
    }
    char path[IO_PATH_MAX];
    log_directory(log, path);
    struct finding found = {.log = log};
    int error = io_list(r->io, path, note_found, &found);
    return error < 0 ? error_from_errno(error) : 0;
}

/* Whether a newer checkpoint than `s`, a founding one, speaks for the log: that of its home. */
static bool home_speaks(const struct recovery *r, const struct recovery_source *s,
                        const struct checkpoint_log *l)
{
    unsigned home = log_home(l->name, l->partition, s->header.shards);
    for (unsigned i = 0; i < r->source_count; i++) {
        if (r->sources[i].used && r->sources[i].shard == home) {
            return &r->sources[i] != s;
        }
    }
    return log_find(r->set, l->topic_id, l->partition) != NULL;
}

static int load_log(struct recovery *r, const struct recovery_source *s,
                    const struct checkpoint_log *l)
{
    if ((s->header.flags & CHECKPOINT_FOUNDING) && home_speaks(r, s, l)) {
        return 0;
    }
    if (!known_name(r, l->topic_id, l->partition)) {
        return 0;
    }
    struct log *log = log_set_load(r->set, l);
    if (!log) {
        return ERR_NO_MEMORY;
    }
    log->directory_known = has_directory(r, l->topic_id, l->partition);
    log->missing = (l->has_segment || l->segments > 0) && !log->directory_known;
    return log->missing ? 0 : look_for_segments(r, log);
}

static int load_logs(struct recovery *r)
{
    for (unsigned i = 0; i < r->source_count; i++) {
        struct recovery_source *s = &r->sources[i];
        if (!s->used) {
            continue;
        }
        struct reader in = reader_of(s->checkpoint + CHECKPOINT_HEADER_SIZE,
                                     s->header.size - CHECKPOINT_HEADER_SIZE);
        for (uint32_t n = 0; n < s->header.logs; n++) {
            struct checkpoint_log l;
            int error = checkpoint_log_decode(&l, &in);
            if (error) {
                recovery_damage(r, "%s/journal-%u/checkpoint-%u: log %u of it is malformed",
                                r->options.root, s->shard, s->newest, n);
                if (!r->options.accept_loss) {
                    return ERR_DAMAGED;
                }
                break;
            }
            error = load_log(r, s, &l);
            if (error) {
                return error;
            }
        }
    }
    return 0;
}

static bool has_name_of(const struct recovery_directory *d, const struct log *log)
{
    char name[sizeof d->name];
    snprintf(name, sizeof name, "%s-%" PRId32, log->topic, log->partition);
    return strcmp(name, d->name) == 0;
}

/* A log of the checkpoint has no readable directory, and this one has its name. */
static bool directory_wanted(const struct recovery *r, const struct recovery_directory *d)
{
    for (const struct list *n = r->set->logs.next; n != &r->set->logs; n = n->next) {
        const struct log *log = container_of(n, struct log, link);
        if (log->missing && has_name_of(d, log)) {
            return true;
        }
    }
    return false;
}

static int know_directories(struct recovery *r)
{
    list_each (node, &r->directories) {
        struct recovery_directory *d = container_of(node, struct recovery_directory, link);
        d->readable = directory_is(r, d);
        memcpy(d->key, d->topic_id.bytes, sizeof d->topic_id.bytes);
        put_be32(d->key + sizeof d->topic_id.bytes, (uint32_t)d->partition);
        int error =
            d->readable ? map_add(&r->directories_by_id, bytes_of(d->key, sizeof d->key), d) : 0;
        if (error) {
            return error;
        }
    }
    return 0;
}

/* There is no checkpoint, but a directory of a partition that is known: the root is not fresh. True:
 * damage, and the recovery has ended with it. */
static bool checkpoints_gone(struct recovery *r)
{
    list_each (node, &r->directories) {
        struct recovery_directory *d = container_of(node, struct recovery_directory, link);
        const char *topic =
            d->readable && r->request->summary.fresh ? name_of(r, d->topic_id, d->partition) : NULL;
        char name[sizeof d->name];
        snprintf(name, sizeof name, "%s-%" PRId32, topic ? topic : "", d->partition);
        if (topic && strcmp(name, d->name) == 0) {
            char what[1024];
            snprintf(what, sizeof what,
                     "%s/journal-0/checkpoint-0 and -1: they are missing, but topics/%s is there",
                     r->options.root, d->name);
            return recovery_lost(r, what);
        }
    }
    return false;
}

void recovery_replay(struct recovery *r)
{
    if (checkpoints_gone(r)) {
        return;
    }
    r->set->storage_id = r->storage_id; /* for the partition files that replay writes */
    int error = know_directories(r);
    error = error ? error : load_logs(r);
    producer_table_sort(&r->set->producers);
    list_each (node, &r->directories) {
        struct recovery_directory *d = container_of(node, struct recovery_directory, link);
        d->wanted = !error && !d->readable && directory_wanted(r, d);
        if (!error && !d->readable && !d->wanted) {
            error = recovery_set_aside(r, d);
        }
    }
    if (error) {
        if (!r->ended) {
            recovery_end(r, error);
        }
        return;
    }
    r->at_source = 0;
    mark_next(r);
}

/* --- what is acted upon below is never a torn tail again -------------------------------------- */

static void marked(struct recovery *r)
{
    if (r->result < 0) {
        io_fatal(r->io, "%s: a checkpoint cannot be written: check the disk, then start again",
                 r->options.root);
    }
    struct recovery_source *s = &r->sources[r->at_source];
    s->newest = 1 - s->newest;
    r->at_source++;
    mark_next(r);
}

static void mark_next(struct recovery *r)
{
    while (r->at_source < r->source_count) {
        struct recovery_source *s = &r->sources[r->at_source];
        uint64_t mark = s->scan.next_sequence - 1;
        unsigned copy = 1 - s->newest;
        if (s->used && s->scan.chain_count && s->header.settled < mark &&
            s->checkpoint_files[copy] && !log_mutant(r->set, LOG_MUTANT_NO_MARK_BOOT)) {
            if (log_mutant(r->set, LOG_MUTANT_NEWER_FIRST)) {
                copy = s->newest;
            }
            s->header.settled = mark;
            checkpoint_header_encode(&s->header, s->checkpoint);
            uint64_t size = (s->header.size + IO_BLOCK_SIZE - 1) / IO_BLOCK_SIZE * IO_BLOCK_SIZE;
            r->iovec = (struct iovec){s->checkpoint, size};
            recovery_then(r, marked);
            io_write(r->io, &r->op, s->checkpoint_files[copy], &r->iovec, 1, 0, IO_WRITE_DURABLE);
            return;
        }
        r->at_source++;
    }
    r->at_source = 0;
    r->at_chain = 0;
    r->file_in_buffer = UINT32_MAX;
    replay_next(r);
}

/* --- entries ---------------------------------------------------------------------------------- */

/* A control of a `memory` log in the durable journal. After a kill the mapped journal says it in
 * its place; after a power cut what was appended since the checkpoint is gone, and it applies to
 * what is left. */
static bool memory_control_skipped(const struct recovery *r, const struct log *log,
                                   const struct entry *e)
{
    const struct checkpoint_header *h = &r->sources[r->at_source].header;
    if (uuid_equal(h->boot_id, io_boot_id(r->io)) && !e->alone) {
        return true;
    }
    return log ? e->kind == ENTRY_TRUNCATE && e->offset >= log->end_offset : e->kind != ENTRY_ANEW;
}

/* Nobody needs what the log was any more: a directory of its name that cannot be read is out of the way. */
static int give_up_wanted(struct recovery *r, const struct log *log)
{
    list_each (node, &r->directories) {
        struct recovery_directory *w = container_of(node, struct recovery_directory, link);
        int error = w->wanted && has_name_of(w, log) ? recovery_set_aside(r, w) : 0;
        if (error) {
            return error;
        }
        w->wanted = w->wanted && !has_name_of(w, log);
    }
    return 0;
}

static int replay_anew(struct recovery *r, struct log *log, const struct entry *e)
{
    int error = log->missing ? give_up_wanted(r, log) : 0;
    return error ? error : log_replay_anew(log, e);
}

/* What stands where it makes its directory was of a log before it, which has none then: that one's REMOVE may still be
 * to come, in the mapped journal. */
static int take_name(struct recovery *r, const struct log *log)
{
    char name[sizeof((struct recovery_directory *)0)->name];
    snprintf(name, sizeof name, "%s-%" PRId32, log->topic, log->partition);
    list_each (node, &r->directories) {
        struct recovery_directory *d = container_of(node, struct recovery_directory, link);
        if (!d->readable || strcmp(name, d->name) != 0) {
            continue;
        }
        struct log *before = log_find(r->set, d->topic_id, d->partition);
        if (before) {
            before->directory_known = false;
        }
        d->readable = false;
    }
    return give_up_wanted(r, log);
}

static int replay_append(struct recovery *r, struct log *log, const struct entry *e)
{
    int error = log->directory_known ? 0 : take_name(r, log);
    return error ? error : log_replay_append(log, e);
}

static int replay_remove(struct recovery *r, struct log *log)
{
    struct recovery_directory *d = directory_of(r, log->topic_id, log->partition);
    int error = log->directory_known ? 0 : give_up_wanted(r, log);
    if (error) {
        return error;
    }
    int verdict = log_replay_remove(log);
    if (verdict == 1 && d) {
        d->readable = false; /* it is in the trash */
    }
    return verdict;
}

/* 1: applied or skipped; 0: wait for progress; or an error. */
static int apply(struct recovery *r, const struct entry *e, enum log_durability durability)
{
    struct log *log = log_find(r->set, e->topic_id, e->partition);
    if (durability == LOG_FSYNC && e->memory && memory_control_skipped(r, log, e)) {
        return 1;
    }
    if (!log) {
        const char *topic = known_name(r, e->topic_id, e->partition);
        if (!topic || e->kind == ENTRY_REMOVE) {
            return 1; /* deleted since: what is left of it was set aside */
        }
        log = log_new(r->set, e->topic_id, e->partition, topic, strlen(topic));
        if (!log) {
            return ERR_NO_MEMORY;
        }
        log->config.durability = e->memory ? LOG_MEMORY : durability;
        log->directory_known = has_directory(r, e->topic_id, e->partition);
    }
    if (log->missing && e->kind != ENTRY_REMOVE && e->kind != ENTRY_ANEW) {
        return 1; /* its REMOVE or ANEW must follow, or it is damage after all */
    }
    switch (e->kind) {
    case ENTRY_APPEND:
        return replay_append(r, log, e);
    case ENTRY_TRUNCATE:
        return log_replay_truncate(log, e);
    case ENTRY_LOG_START:
        log_replay_start(log, e->offset);
        return 1;
    case ENTRY_EPOCH:
        return epochs_begin(&log->epochs, r->memory, e->leader_epoch, e->offset) ? ERR_NO_MEMORY
                                                                                 : 1;
    case ENTRY_REMOVE:
        return replay_remove(r, log);
    case ENTRY_REPLACE:
        return log_replay_replace(log, e);
    case ENTRY_ANEW:
        return replay_anew(r, log, e);
    }
    return ERR_DAMAGED;
}

/* An entry cannot be applied. True: the operator has accepted that, and it is left out. */
static bool entry_refused(struct recovery *r, const struct entry *e, int verdict)
{
    if (verdict != ERR_DAMAGED && verdict != ERR_MALFORMED) {
        recovery_end(r, verdict);
        return false;
    }
    char id[UUID_TEXT_SIZE];
    uuid_text(e->topic_id, id);
    recovery_damage(r,
                    "%s/journal-%u: an entry does not follow what stands before it (kind %d, topic "
                    "id %s, partition %" PRId32 ", offset %" PRId64 ")",
                    r->options.root, r->sources[r->at_source].shard, (int)e->kind, id, e->partition,
                    e->offset);
    return r->options.accept_loss;
}

/* An entry found no room. What lies in the tail is written, however little it is of each log: else
 * nothing might be in flight that makes room. */
static void wait_for_room(struct recovery *r)
{
    r->waiting = true;
    int verdict = r->set->in_flight ? 0 : recovery_write_all(r);
    if (verdict) {
        recovery_end(r, verdict < 0 ? verdict : ERR_NO_MEMORY);
    }
}

/* Applies the entries in r->entries. True when all are; false: waits or has ended. */
static bool apply_entries(struct recovery *r, enum log_durability durability)
{
    while (r->entries_left) {
        struct reader at = r->entries;
        struct entry e = {0};
        int verdict = entry_decode(&e, &at);
        bool malformed = verdict != 0;
        verdict = malformed ? verdict : apply(r, &e, durability);
        if (verdict == 0) {
            wait_for_room(r);
            return false;
        }
        if (verdict == ERR_DISK_FULL && recovery_make_room(r)) {
            r->waiting = true;
            return false;
        }
        if (verdict < 0 && !entry_refused(r, &e, verdict)) {
            return false;
        }
        if (malformed) {
            r->entries_left = 0; /* nobody knows where the next one begins */
            break;
        }
        r->entries = at;
        r->entries_left--;
        r->request->summary.replayed_entries++;
        r->request->summary.replayed_bytes += e.body_size;
    }
    return true;
}

static void entries_of_group(struct recovery *r, const struct scan *s, const struct scan_group *g,
                             const uint8_t *data)
{
    r->entries = reader_of(data + GROUP_HEADER_SIZE, g->size - GROUP_HEADER_SIZE);
    r->entries_left = g->count;
    struct entry skipped;
    for (uint64_t n = g->sequence; n < s->live && r->entries_left; n++) {
        r->entries_left = entry_decode(&skipped, &r->entries) ? 0 : r->entries_left - 1;
    }
}

static void journal_read(struct recovery *r)
{
    if (r->result < 0) {
        recovery_end(r, ERR_DISK_FAILED);
        return;
    }
    replay_next(r);
}

static void replay_next(struct recovery *r)
{
    while (r->at_source < r->source_count) {
        struct recovery_source *s = &r->sources[r->at_source];
        while (s->used && r->at_chain < s->scan.chain_count) {
            const struct scan_group *g = &s->scan.groups[s->scan.chain[r->at_chain]];
            if (r->file_in_buffer != g->file) {
                r->file_in_buffer = g->file;
                if (!recovery_buffer(r, s->file_sizes[g->file])) {
                    recovery_end(r, ERR_NO_MEMORY);
                    return;
                }
                recovery_then(r, journal_read);
                io_read(r->io, &r->op, s->files[g->file], r->buffer, s->file_sizes[g->file], 0);
                return;
            }
            entries_of_group(r, &s->scan, g, r->buffer + g->position);
            r->at_chain++;
            r->resume = replay_next;
            if (!apply_entries(r, LOG_FSYNC)) {
                return;
            }
        }
        r->at_source++;
        r->at_chain = 0;
        r->file_in_buffer = UINT32_MAX;
    }
    r->at_source = 0;
    r->at_chain = 0;
    mapped_next(r);
}

/* Directories that the checkpoint names, that are gone, and that no entry has removed. True when
 * the recovery has ended with that. */
static bool missing_logs(struct recovery *r)
{
    list_each (node, &r->set->logs) {
        struct log *log = container_of(node, struct log, link);
        if (!log->missing) {
            continue;
        }
        recovery_damage(r, "%s/topics/%s-%" PRId32 ": its directory or partition file is missing",
                        r->options.root, log->topic, log->partition);
        if (r->ended) {
            return true;
        }
        log_free(log);
    }
    return false;
}

static void mapped_next(struct recovery *r)
{
    while (r->at_source < r->source_count) {
        struct recovery_source *s = &r->sources[r->at_source];
        const uint8_t *ring = s->used ? s->ring : NULL;
        while (ring && r->at_chain < s->mapped_scan.chain_count) {
            const struct scan_group *g = &s->mapped_scan.groups[s->mapped_scan.chain[r->at_chain]];
            entries_of_group(r, &s->mapped_scan, g, ring + g->position);
            r->at_chain++;
            r->resume = mapped_next;
            if (!apply_entries(r, LOG_MEMORY)) {
                return;
            }
        }
        r->at_source++;
        r->at_chain = 0;
    }
    if (!missing_logs(r)) {
        recovery_replayed(r);
    }
}

/* Something made room: the entry that waited is tried again. */
void recovery_progress(struct recovery *r)
{
    if (!r->waiting) {
        return;
    }
    r->waiting = false;
    enum log_durability durability = r->resume == mapped_next ? LOG_MEMORY : LOG_FSYNC;
    if (apply_entries(r, durability)) {
        r->resume(r);
    }
}
