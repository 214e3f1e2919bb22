/* SPDX-License-Identifier: Apache-2.0 */

/* Truncation, a new start, a log that begins anew, removal, retention, compaction: entries of the journal
 * whose effect on files waits.
 *
 *     log_control -> (TRUNCATE: find the batch, read the bytes kept of its block) -> entry gathered
 *        -> settled: done() -> a durable mark covers it (L7): files are cut, renamed, removed
 *
 * In memory the effect is there at once, so that what is appended next follows it in the journal. A
 * TRUNCATE carries the bytes that it keeps of the block that it cuts, whether that block is written
 * or not (L2); it waits for the writes that it overtakes (L3). A REPLACE has its effect when it is
 * settled, and other controls of the log wait until then: what a reader no longer sees is gone for good,
 * and appends do not touch what it replaces.
 *
 * So has an ANEW, for which appends wait as well: until nothing of the log may come back, its old end is the
 * durable one.
 *
 * A control of a `memory` log stands in both journals: a kill is replayed from the mapped one, where
 * it stands between the appends; after a power cut only checkpoint and durable journal are left.
 *
 *     entry gathered in the durable journal -> settled: takes effect, mapped entry, done()
 *
 * In this order, appends and other controls of the log waiting meanwhile: a recovery after a kill acts
 * on what the mapped journal says, and if the power is cut then, the next one must know of it. Before
 * the first append of a life there is no mapped journal, and on a full disk it cannot be made: then the
 * entry stands alone. */
#include "log/log_private.h"

#include "base/errors.h"
#include "log/batch_fields.h"

static void control_effect(struct log_control *c);

/* Entries settle in order: with a truncation everything is durable that stood before it, and what
 * was appended behind it is still to come. */
static void control_settled(struct log_waiter *w)
{
    struct log_control *c = container_of(w, struct log_control, priv.waiter);
    if (c->priv.due) {
        control_effect(c);
    }
    if (c->priv.cut) {
        struct log *log = c->priv.log;
        assert(log->cuts > 0 && log->durable_offset <= c->offset);
        log->cuts--;
        log->durable_offset = log->cuts ? log->durable_offset : c->offset;
    }
    c->done(c, c->priv.error);
}

static void control_fail(struct log_control *c, int error)
{
    c->priv.error = error;
    log_finish_later(c->priv.log->set, &c->priv.waiter);
}

static bool in_memory(const struct log *log)
{
    return log->config.durability == LOG_MEMORY;
}

/* Appends wait until it has taken effect, when it is settled. */
static bool holds_appends(const struct log_control *c)
{
    return in_memory(c->priv.log) || c->kind == LOG_ANEW;
}

/* Gathers the entry and notes what is to follow its mark. */
static void control_gather(struct log *log, struct log_control *c, struct entry *e,
                           const struct iovec *kept, unsigned kept_count, struct release *r)
{
    struct log_set *set = log->set;
    e->topic_id = log->topic_id;
    e->partition = log->partition;
    e->memory = in_memory(log);
    c->priv.due = e->memory || c->kind == LOG_REPLACE || c->kind == LOG_ANEW;
    c->priv.release = r;
    log->replacing += c->kind == LOG_REPLACE;
    log->controls += holds_appends(c);
    if (e->memory) {
        e->alone = !mapped_in_use(&set->mapped);
        c->priv.alone = e->alone;
        if (!e->alone) {
            mapped_promise(&set->mapped, kept_count ? (uint32_t)kept->iov_len : 0);
        }
    }
    if (c->kind == LOG_TRUNCATE && log_mutant(set, LOG_MUTANT_TRUNCATE_QUIET)) {
        r->sequence = 0;
        log_finish_later(set, &c->priv.waiter);
    } else {
        r->sequence = journal_append(&set->journal, e, kept, kept_count, &c->priv.waiter);
    }
    r->kind = c->kind;
    r->offset = c->offset;
    r->log = log;
    list_init(&r->link);
    list_append(&set->releases, &r->link);
    log->releases++;
    log->holds += c->kind == LOG_TRUNCATE || c->kind == LOG_REMOVE || c->kind == LOG_ANEW;
}

static struct release *release_new(struct log_set *set)
{
    struct release *r = memory_alloc(set->memory, sizeof *r);
    if (r) {
        list_init(&r->doomed);
    }
    return r;
}

static bool control_room(const struct log *log, uint32_t size)
{
    struct log_set *set = log->set;
    bool room = journal_room(&set->journal, size, true) &&
                (!in_memory(log) || !mapped_in_use(&set->mapped) ||
                 mapped_room_promised(&set->mapped, size));
    if (!room) {
        log_set_want_checkpoint(set);
    }
    return room;
}

/* Another control has done it already, and that may not be durable yet. */
static int control_needless(struct log *log, struct log_control *c)
{
    if (!journal_wait(&log->set->journal, &c->priv.waiter)) {
        log_finish_later(log->set, &c->priv.waiter);
    }
    return 1;
}

/* --- start and removal ------------------------------------------------------------------------ */

void log_look_for_latest(struct log *log)
{
    log->max_timestamp = -1;
    for (const struct list *n = log->segments.next; n != &log->segments; n = n->next) {
        const struct segment *s = container_of(n, struct segment, link);
        if (segment_end_offset(s) > log->start_offset && s->max_timestamp > log->max_timestamp) {
            log->max_timestamp = s->max_timestamp;
        }
    }
}

void log_replay_start(struct log *log, int64_t offset)
{
    if (offset > log->start_offset) {
        log->start_offset = offset < log->end_offset ? offset : log->end_offset;
        epochs_truncate_start(&log->epochs, log->start_offset);
        log_look_for_latest(log);
    }
}

static int control_start(struct log *log, struct log_control *c)
{
    if (c->offset > log->end_offset) {
        return ERR_OFFSET_OUT_OF_RANGE;
    }
    if (c->offset <= log->start_offset) {
        return control_needless(log, c);
    }
    struct release *r = control_room(log, 0) ? release_new(log->set) : NULL;
    if (!r) {
        return 0;
    }
    struct entry e = {.kind = ENTRY_LOG_START, .offset = c->offset};
    if (!in_memory(log)) {
        log_replay_start(log, c->offset);
        log_moved(log);
    }
    control_gather(log, c, &e, NULL, 0, r);
    return 1;
}

static struct entry anew_entry(const struct log_control *c)
{
    return (struct entry){.kind = ENTRY_ANEW, .offset = c->offset, .leader_epoch = c->leader_epoch};
}

static int control_anew(struct log *log, struct log_control *c)
{
    if (c->offset < 0 || (uint64_t)c->offset >= NUMBER_MAX || c->leader_epoch < -1) {
        return ERR_OFFSET_OUT_OF_RANGE;
    }
    if (log_files_busy(log)) {
        return 0; /* L3 */
    }
    struct release *r = control_room(log, 0) ? release_new(log->set) : NULL;
    if (!r) {
        return 0;
    }
    struct entry e = anew_entry(c);
    if (log_mutant(log->set, LOG_MUTANT_ANEW_QUIET)) {
        e = (struct entry){.kind = ENTRY_LOG_START}; /* says nothing */
    }
    control_gather(log, c, &e, NULL, 0, r);
    return 1;
}

static void anew_effect(struct log_control *c)
{
    struct log *log = c->priv.log;
    if (log_anew(log, c->offset, c->leader_epoch, &c->priv.release->doomed)) {
        io_fatal(log->set->io, "log: no memory to begin %s-%d anew: raise limits.memory",
                 log->topic, (int)log->partition);
    }
    checkpoint_recapture(log->set);
    log_moved(log);
}

static int control_remove(struct log *log, struct log_control *c)
{
    struct release *r = control_room(log, 0) ? release_new(log->set) : NULL;
    if (!r) {
        return 0;
    }
    struct entry e = {.kind = ENTRY_REMOVE, .offset = 0};
    log->removing = true;
    log_fail_waiting(log, ERR_CLOSED);
    map_remove(&log->set->by_id, bytes_of(log->key, sizeof log->key));
    control_gather(log, c, &e, NULL, 0, r);
    return 1;
}

/* --- compaction ------------------------------------------------------------------------------- */

static int control_replace(struct log *log, struct log_control *c)
{
    struct replacement *p = c->priv.replacement;
    if (log->set->closing || !replacement_holds(p)) {
        return ERR_CLOSED;
    }
    struct release *r = control_room(log, REPLACE_BODY_SIZE) ? release_new(log->set) : NULL;
    if (!r) {
        return 0;
    }
    uint8_t body[REPLACE_BODY_SIZE];
    struct entry e = replacement_entry(p, body);
    struct iovec piece = {body, sizeof body};
    replacement_tell(p);
    control_gather(log, c, &e, &piece, 1, r);
    return 1;
}

/* --- truncation ------------------------------------------------------------------------------- */

struct truncation {
    struct log_control *control;
    struct log *log;
    struct segment *segment;
    struct io_op op;
    uint8_t *blocks; /* two aligned blocks: a header may lie across */
    uint32_t position;
    int64_t expected; /* offset of the batch there, or less in a segment with gaps */
    bool fresh;       /* the blocks hold what was read for `position` */
    bool located;
};

static void truncation_step(struct truncation *t);

static void truncation_end(struct truncation *t, int error)
{
    struct log *log = t->log;
    t->segment->readers--;
    log->controls--;
    log_unhold(log);
    log->set->in_flight--;
    if (error == ERR_DAMAGED || error == ERR_DISK_FAILED) {
        char path[IO_PATH_MAX];
        segment_path(t->segment, path, ".log");
        log_error(io_logger(log->set->io), "log",
                  "%s at position %u: the place of a truncation cannot be found: error=\"%s\"",
                  path, t->position, error_text(error));
        segment_is_damaged(t->segment, t->position);
    }
    if (error) {
        control_fail(t->control, error);
    }
    memory_free(log->set->memory, t->blocks);
    memory_free(log->set->memory, t);
    log_set_progress(log->set);
}

static bool writes_in_flight(const struct log *log, const struct segment *from)
{
    for (const struct list *node = &from->link; node != &log->segments; node = node->next) {
        if (!io_op_idle(&container_of(node, struct segment, link)->write)) {
            return true;
        }
    }
    return log->space.stage != SPACE_IDLE;
}

/* Cuts the log in memory at `position` of `s`; later segments go to `doomed`. */
static void truncate_memory(struct log *log, struct segment *s, uint32_t position, int64_t offset,
                            struct list *doomed)
{
    while (log->segments.prev != &s->link) {
        struct segment *last = container_of(log->segments.prev, struct segment, link);
        log->size_bytes -= last->size;
        list_remove(&last->link);
        list_remove(&last->dirty);
        last->removed = true;
        last->cuts++;
        segment_become(last, SEGMENT_SEALED); /* nothing more is written to it */
        tail_drop(last, true);
        list_append(doomed, &last->link);
    }
    log->size_bytes -= s->size - position;
    if (s->state != SEGMENT_ACTIVE) {
        s->allocated = s->size;
        s->index_stale = true;
        segment_become(s, SEGMENT_ACTIVE);
    }
    /* The cut block comes from the entry. */
    if (segment_missing(s) && position / IO_BLOCK_SIZE * IO_BLOCK_SIZE <= s->missing_from) {
        s->allocated = s->missing_from;
        s->missing_from = UINT32_MAX;
    }
    s->damaged = s->damaged && s->damage_position < position;
    segment_cut_reads(s);
    tail_truncate(s, position);
    s->unchecked_to = s->unchecked_to < position ? s->unchecked_to : position;
    segment_index_cut(s, position);
    log->end_offset = offset;
    log->ends_in_gap = s->gaps;
    log->durable_offset = offset < log->durable_offset ? offset : log->durable_offset;
    log->high_watermark = offset < log->high_watermark ? offset : log->high_watermark;
    producers_truncate(log->producers, offset);
    epochs_truncate_end(&log->epochs, offset);
    log_look_for_latest(log);
}

/* The bytes of the cut block must be in a chunk again, so that the block can be completed. */
static bool restore_block(struct segment *s, uint32_t position, const uint8_t *kept)
{
    uint32_t cut = position % IO_BLOCK_SIZE;
    if (cut == 0 || !list_empty(&s->chunks)) {
        return true;
    }
    s->size = s->written = s->submitted = position - cut;
    if (!tail_reserve(s, IO_BLOCK_SIZE)) {
        return false;
    }
    struct iovec piece = {(void *)kept, cut};
    tail_put(s, &piece, 1);
    s->unchecked_to = position;
    return true;
}

static struct entry truncate_entry(const struct truncation *t)
{
    return (struct entry){.kind = ENTRY_TRUNCATE,
                          .offset = t->control->offset,
                          .segment_base = t->segment->base_offset,
                          .position = t->position};
}

/* The bytes that the entry keeps of the block that it cuts. */
static struct iovec truncate_kept(const struct truncation *t)
{
    uint32_t cut = t->position % IO_BLOCK_SIZE;
    return (struct iovec){t->blocks, log_mutant(t->log->set, LOG_MUTANT_NO_KEPT) ? 0 : cut};
}

static void truncate_effect(struct truncation *t, struct release *r)
{
    struct log *log = t->log;
    truncate_memory(log, t->segment, t->position, t->control->offset, &r->doomed);
    if (!restore_block(t->segment, t->position, t->blocks)) {
        io_fatal(log->set->io, "log: no memory to truncate %s-%d: raise limits.memory", log->topic,
                 (int)log->partition);
    }
    checkpoint_recapture(log->set);
    log_moved(log);
}

/* 1: the entry is gathered, and the truncation has ended or ends when it is settled; 0: no room. */
static int truncate_apply(struct truncation *t)
{
    struct log *log = t->log;
    struct log_control *c = t->control;
    struct iovec kept = truncate_kept(t);
    struct release *r =
        control_room(log, t->position % IO_BLOCK_SIZE) ? release_new(log->set) : NULL;
    if (!r) {
        return 0;
    }
    struct entry e = truncate_entry(t);
    if (in_memory(log)) {
        c->priv.truncation = t;
    } else {
        truncate_effect(t, r);
        log->cut_offset = log->cuts && log->cut_offset < c->offset ? log->cut_offset : c->offset;
        log->cuts++;
        c->priv.cut = true;
    }
    control_gather(log, c, &e, &kept, kept.iov_len > 0, r);
    return 1;
}

static void truncation_read(struct io_op *op, int64_t result)
{
    struct truncation *t = container_of(op, struct truncation, op);
    if (result < 0) {
        truncation_end(t, ERR_DISK_FAILED);
        return;
    }
    truncation_step(t);
}

/* Brings `size` bytes at `position` to the front of t->blocks: 1, or 0 when a read was started, or
 * an error. `fresh`: the blocks hold what was read for this position. */
static int truncation_bytes(struct truncation *t, uint32_t position, uint32_t size, bool fresh)
{
    struct segment *s = t->segment;
    if (tail_copy(s, position, t->blocks, size)) {
        return 1;
    }
    uint32_t from = position / IO_BLOCK_SIZE * IO_BLOCK_SIZE;
    if (fresh) {
        uint32_t on_disk = position + size <= tail_from(s) ? size : tail_from(s) - position;
        memmove(t->blocks, t->blocks + (position - from), on_disk);
        if (on_disk < size &&
            !tail_copy(s, position + on_disk, t->blocks + on_disk, size - on_disk)) {
            return ERR_DAMAGED;
        }
        return 1;
    }
    int error = segment_open(s);
    if (!error) {
        io_read(t->log->set->io, &t->op, s->file, t->blocks, 2 * IO_BLOCK_SIZE, from);
    }
    return error == ERR_NOT_FOUND ? ERR_DAMAGED : error;
}

/* Offset and size are outside of a batch's checksum: what rots there must not say where the log ends. */
static bool belongs(const struct truncation *t, const struct batch_fields *f)
{
    const struct segment *s = t->segment;
    bool follows = f->base_offset == t->expected || (s->gaps && f->base_offset > t->expected);
    int64_t wanted = t->control->offset, committed = t->log->high_watermark;
    bool holds = (int64_t)((uint64_t)f->base_offset + (uint32_t)f->last_offset_delta) >= wanted;
    if (holds && f->base_offset < committed && committed <= wanted) {
        return false; /* no batch reaches from below the high watermark to above it */
    }
    return follows && f->base_offset < t->log->end_offset && f->last_offset_delta >= 0 &&
           f->length >= LOG_BATCH_HEADER - 12 && (uint32_t)f->length <= s->size - t->position - 12;
}

static void truncation_step(struct truncation *t)
{
    struct segment *s = t->segment;
    /* All of it goes, also where nothing of it can be read; or the log ends in a gap with which it begins. */
    t->located = t->located || s->size == 0 || t->control->offset == s->base_offset;
    while (!t->located) {
        if (t->position >= s->size) {
            truncation_end(t, ERR_DAMAGED);
            return;
        }
        int have = truncation_bytes(t, t->position, LOG_BATCH_HEADER, t->fresh);
        t->fresh = have == 0;
        if (have <= 0) {
            if (have < 0) {
                truncation_end(t, have);
            }
            return;
        }
        struct batch_fields f;
        batch_fields_read(&f, t->blocks);
        if (!belongs(t, &f)) {
            truncation_end(t, ERR_DAMAGED);
            return;
        }
        if (f.base_offset + f.last_offset_delta >= t->control->offset) {
            t->control->offset =
                f.base_offset < t->control->offset ? f.base_offset : t->control->offset;
            t->located = true;
        } else {
            t->position += 12 + (uint32_t)f.length;
            t->expected = f.base_offset + f.last_offset_delta + 1;
            t->located = t->position == s->size;
        }
    }
    uint32_t cut = t->position % IO_BLOCK_SIZE;
    int have = cut ? truncation_bytes(t, t->position - cut, cut, t->fresh) : 1;
    t->fresh = have == 0;
    if (have == 0) {
        return;
    }
    if (have > 0 && truncate_apply(t) == 0) {
        have = ERR_BUSY;
    }
    if (have < 0 || !in_memory(t->log)) {
        truncation_end(t, have < 0 ? have : 0);
    }
}

/* The entry of a replacement, or of a control of a `memory` log, is durable: now it takes effect. */
static void control_effect(struct log_control *c)
{
    struct log *log = c->priv.log;
    struct log_set *set = log->set;
    struct truncation *t = c->priv.truncation;
    struct entry e = {.kind = ENTRY_REMOVE};
    struct iovec kept = {0};
    uint8_t body[REPLACE_BODY_SIZE];
    if (c->kind == LOG_TRUNCATE) {
        e = truncate_entry(t);
        kept = truncate_kept(t);
        truncate_effect(t, c->priv.release);
    } else if (c->kind == LOG_START) {
        e = (struct entry){.kind = ENTRY_LOG_START, .offset = c->offset};
        log_replay_start(log, c->offset);
        checkpoint_recapture(set);
        log_moved(log);
    } else if (c->kind == LOG_ANEW) {
        e = anew_entry(c);
        anew_effect(c);
    } else if (c->kind == LOG_REPLACE) {
        e = replacement_entry(c->priv.replacement, body);
        kept = (struct iovec){body, sizeof body};
        replacement_effect(c->priv.replacement, &c->priv.release->doomed);
    }
    e.topic_id = log->topic_id;
    e.partition = log->partition;
    e.memory = true;
    if (in_memory(log) && !c->priv.alone) {
        mapped_keep_promise(&set->mapped, (uint32_t)kept.iov_len);
        mapped_append(&set->mapped, &e, &kept, kept.iov_len > 0);
    }
    if (c->kind == LOG_REPLACE) {
        checkpoint_recapture(set); /* behind its entry, for it cannot be replayed twice */
        log->replacing--;
    }
    log->controls -= holds_appends(c);
    if (t) {
        truncation_end(t, 0);
    }
    log_set_progress(set);
}

static int control_truncate(struct log *log, struct log_control *c)
{
    struct log_set *set = log->set;
    if (c->offset >= log->end_offset) {
        return control_needless(log, c);
    }
    struct segment *s = segment_for_offset(log, c->offset);
    /* What is compacted was below the high watermark, and what it stands for is gone. */
    bool compacted = s && s->generation > 0 && c->offset < segment_end_offset(s);
    if (!s || compacted || c->offset < log->start_offset) {
        return ERR_OFFSET_OUT_OF_RANGE;
    }
    if (writes_in_flight(log, s) && !log_mutant(set, LOG_MUTANT_TRUNCATE_RACE)) {
        return 0;
    }
    if (!segment_reads_idle(s, true) || segment_index_writing(s) ||
        !control_room(log, IO_BLOCK_SIZE)) {
        return 0;
    }
    struct truncation *t = memory_alloc(set->memory, sizeof *t);
    uint8_t *blocks = memory_alloc_aligned(set->memory, 2 * IO_BLOCK_SIZE, IO_BLOCK_SIZE);
    if (!t || !blocks) {
        memory_free(set->memory, t);
        memory_free(set->memory, blocks);
        return ERR_NO_MEMORY;
    }
    *t = (struct truncation){.control = c, .log = log, .segment = s, .blocks = blocks};
    t->op.done = truncation_read;
    struct index_entry from = {.offset = -1};
    from = s->index_whole ? index_find(&s->index, c->offset) : from;
    t->position = from.offset < 0 ? 0 : from.position;
    t->expected = from.offset < 0 ? s->base_offset : from.offset;
    s->readers++;
    log->controls++; /* no append before it is done, */
    log->holds++;    /* and no write that it would overtake (L3) */
    set->in_flight++;
    truncation_step(t);
    return 1;
}

/* The segment that the entry cuts. Its file may have gone on since: missing or too short, it was
 * deleted or cut further by an entry that stands behind this one. */
static struct segment *replayed_segment(struct log *log, const struct entry *e)
{
    list_each (node, &log->segments) {
        struct segment *s = container_of(node, struct segment, link);
        if (s->base_offset == e->segment_base) {
            if (s->state == SEGMENT_SEALED) {
                segment_look(s);
            }
            bool fits = e->position <= s->size && e->offset >= s->base_offset;
            return fits && s->generation == 0 ? s : NULL;
        }
    }
    return NULL;
}

int log_replay_truncate(struct log *log, const struct entry *e)
{
    bool kept = e->body_size == e->position % IO_BLOCK_SIZE;
    if (e->offset > log->end_offset || e->offset < log->start_offset ||
        (!kept && !log_mutant(log->set, LOG_MUTANT_NO_KEPT))) {
        return ERR_DAMAGED;
    }
    struct segment *s = replayed_segment(log, e);
    if (!s) {
        return ERR_DAMAGED;
    }
    if (writes_in_flight(log, s)) {
        return 0;
    }
    struct list doomed;
    list_init(&doomed);
    truncate_memory(log, s, e->position, e->offset, &doomed);
    if (!restore_block(s, e->position, e->body)) {
        return ERR_NO_MEMORY;
    }
    struct list *node;
    while ((node = list_first(&doomed))) {
        segment_remove_files(container_of(node, struct segment, link));
    }
    return 1;
}

/* The mark that covers the entry is durable: its files go at once. */
int log_replay_remove(struct log *log)
{
    struct log_set *set = log->set;
    if (log_files_busy(log)) {
        return 0;
    }
    char path[IO_PATH_MAX];
    log_directory(log, path);
    int error = log->directory_known ? trash_put(set, path, log->topic_id, log->partition) : 0;
    if (error) {
        return error;
    }
    log_free(log);
    return 1;
}

/* --- the operation ---------------------------------------------------------------------------- */

static int control_try(struct log_control *c)
{
    struct log *log = c->priv.log;
    if (log->controls || log->replacing) {
        return 0;
    }
    if (log->removing) {
        return ERR_CLOSED;
    }
    switch (c->kind) {
    case LOG_TRUNCATE:
        return control_truncate(log, c);
    case LOG_START:
        return control_start(log, c);
    case LOG_REMOVE:
        return control_remove(log, c);
    case LOG_REPLACE:
        return control_replace(log, c);
    case LOG_ANEW:
        return control_anew(log, c);
    }
    return ERR_INVALID_ARGUMENT;
}

void log_control(struct log *log, struct log_control *c)
{
    assert(log->magic == LOG_MAGIC && c->done);
    c->priv.log = log;
    c->priv.error = 0;
    c->priv.cut = c->priv.due = false;
    c->priv.truncation = NULL;
    c->priv.waiter.settled = control_settled;
    list_init(&c->priv.waiter.link);
    if (c->kind == LOG_REMOVE && !log->removing && list_empty(&log->removal)) {
        /* From here on its name is taken, also while the entry waits for room. */
        list_append(&log->set->removals, &log->removal);
    }
    int verdict = list_empty(&log->set->controls) ? control_try(c) : 0;
    if (verdict < 0) {
        control_fail(c, verdict);
    } else if (verdict == 0) {
        list_append(&log->set->controls, &c->priv.waiter.link);
    }
}

/* Controls that waited for room or for writes in flight. */
void log_control_pump(struct log_set *set)
{
    struct list again;
    list_init(&again);
    struct list *node;
    while ((node = list_pop(&set->controls))) {
        struct log_control *c = container_of(node, struct log_control, priv.waiter.link);
        int verdict = control_try(c);
        if (verdict < 0) {
            control_fail(c, verdict);
        } else if (verdict == 0) {
            list_append(&again, node);
        }
    }
    list_splice(&set->controls, &again);
}
