/* SPDX-License-Identifier: Apache-2.0 */

/* Damage, and its mending: a segment that fails its checks is written anew from another replica's batches.
 *
 *     a read, a walk, the cleaner meets damage -> segment_is_damaged() -> the log's watch
 *     log_mend_begin -> log_mend_put, ... -> all is there -> REPLACE (rewrite.h, replace.c)
 *
 * What is damaged stays where it is until the new segment is durable, and what of it can be read is served
 * meanwhile. Only what lies below the high watermark is written anew, for of that alone all replicas have the same; of
 * each batch the checksum, the place and the epoch are compared before it is put. A leader whose log was compacted
 * further may have less: an empty batch then says where the segment ends, for no segment but the newest ends in a gap.
 * Where nothing was compacted a hole is what is wrong with the leader's log, and is not taken over.
 *
 * The newest segment gets a successor first, and a checkpoint lists what is to be replaced, as for compaction: until
 * then log_mend_begin() says ERR_BUSY. */
#include "base/errors.h"
#include "log/rewrite.h"
#include "wire/batch.h"

struct mending {
    struct rewrite rewrite;
    struct log_mend *owner; /* NULL: dropped */
    bool busy;              /* until mending_put() */
    bool finishing;
    bool may_skip;       /* offsets may be left out */
    int64_t last_offset; /* of what was put, -1: nothing */
    uint8_t filler[BATCH_HEADER_SIZE];
};

/* --- damage ----------------------------------------------------------------------------------- */

/* What was compacted away elsewhere took older records with it: they come from there as well, or they would be back. */
static void older_are_damaged(struct segment *s)
{
    struct log *log = s->log;
    for (struct list *n = log->segments.next; n != &s->link && n != &log->segments; n = n->next) {
        struct segment *older = container_of(n, struct segment, link);
        older->damage_position = older->damaged ? older->damage_position : UINT32_MAX;
        older->damaged = true;
    }
}

void segment_is_damaged(struct segment *s, uint32_t position)
{
    if (s->removed) {
        return;
    }
    bool before = s->damaged;
    s->damage_position = before && s->damage_position < position ? s->damage_position : position;
    if (!before) {
        s->damaged = s->log->damaged = true;
        s->log->verified = false;
        if (s->log->config.compact) {
            older_are_damaged(s);
        }
        log_moved(s->log);
    }
}

void segment_damage_found(struct segment *s, uint32_t position, const char *what)
{
    char path[IO_PATH_MAX];
    if (s->said_position != position) {
        segment_path(s, path, ".log");
        log_error(io_logger(s->log->set->io), "log", "%s at position %u: %s; it is not served",
                  path, position, what);
    }
    s->said_position = position;
    segment_is_damaged(s, position);
}

static struct segment *first_damaged(const struct log *log)
{
    for (const struct list *n = log->segments.next; log->damaged && n != &log->segments;
         n = n->next) {
        struct segment *s = container_of(n, struct segment, link);
        if (s->damaged && segment_end_offset(s) > log->start_offset) {
            return s;
        }
    }
    return NULL;
}

bool log_damaged(const struct log *log)
{
    assert(log->magic == LOG_MAGIC);
    return first_damaged(log) != NULL;
}

void log_distrust(struct log *log, int64_t from_offset, int64_t to_offset)
{
    assert(log->magic == LOG_MAGIC && from_offset < to_offset);
    for (struct list *n = log->segments.next; n != &log->segments; n = n->next) {
        struct segment *s = container_of(n, struct segment, link);
        if (s->base_offset < to_offset && segment_end_offset(s) > from_offset) {
            segment_is_damaged(s, 0);
        }
    }
}

/* --- beginning -------------------------------------------------------------------------------- */

static bool given_up(struct rewrite *w)
{
    struct mending *x = container_of(w, struct mending, rewrite);
    const struct log_set *set = w->run.log->set;
    return !x->owner || set->closing || set->disk_full || !replacement_holds(&w->run);
}

static void mending_end(struct mending *x)
{
    struct log *log = x->rewrite.run.log;
    struct log_set *set = log->set;
    rewrite_drop(&x->rewrite);
    log->mending = NULL;
    set->in_flight--;
    memory_free(set->memory, x);
    log_set_progress(set);
}

/* An empty batch at the segment's last offset. */
static void fill(struct mending *x)
{
    const struct segment *s = x->rewrite.run.first;
    int64_t last = x->rewrite.run.end_offset - 1;
    int32_t epoch = epochs_at(&s->log->epochs, last);
    const struct batch_header empty = {.base_offset = last,
                                       .size = BATCH_HEADER_SIZE,
                                       .leader_epoch = epoch >= 0 ? epoch : 0,
                                       .base_timestamp = s->max_timestamp,
                                       .max_timestamp = s->max_timestamp,
                                       .producer_id = -1,
                                       .producer_epoch = -1,
                                       .base_sequence = -1};
    batch_header_write(&empty, x->filler);
    x->last_offset = last;
    rewrite_put(&x->rewrite, x->filler, sizeof x->filler);
}

static void finish(struct mending *x)
{
    if (x->last_offset + 1 < x->rewrite.run.end_offset) {
        x->rewrite.gaps = true;
        fill(x);
    } else {
        x->finishing = true;
        rewrite_finish(&x->rewrite);
    }
}

static void mending_put(struct rewrite *w, int error)
{
    struct mending *x = container_of(w, struct mending, rewrite);
    struct log_mend *m = x->owner;
    struct log *log = w->run.log;
    if (!error && m && !x->finishing && m->next_offset == m->end_offset) {
        finish(x);
        return;
    }
    x->busy = false;
    if (!error && x->finishing) {
        log->damaged = first_damaged(log) != NULL;
        log->uncleanable = false;
        log_moved(log);
    }
    if (error || x->finishing || !m) {
        mending_end(x);
        if (m) {
            m->priv.mending = NULL;
        }
    }
    if (m) {
        m->done(m, error);
    }
}

/* Whether it can be replaced now; what is lacking is begun. */
static bool may_replace(struct segment *s)
{
    struct log *log = s->log;
    if (s->state == SEGMENT_ACTIVE && !log->controls && !log->replacing) {
        (void)!log_roll(log);
    }
    if (s->state != SEGMENT_SEALED || s->link.next == &log->segments ||
        segment_end_offset(s) > log->high_watermark || s->generation >= GENERATION_MAX) {
        return false;
    }
    if (!segment_listed(s)) {
        log_set_want_checkpoint(log->set);
        return false;
    }
    return true;
}

int log_mend_begin(struct log *log, struct log_mend *m)
{
    struct log_set *set = log->set;
    assert(log->magic == LOG_MAGIC && m->done);
    struct segment *s = first_damaged(log);
    if (!s || log->removing || set->closing) {
        return s ? ERR_CLOSED : ERR_NOT_FOUND;
    }
    if (log->mending || log->cleaning || set->disk_full) {
        return ERR_BUSY;
    }
    int error = log_tidy(log);
    if (error || !log->tidy || !may_replace(s)) {
        return error ? error : ERR_BUSY; /* what is left over may have the new segment's name */
    }
    struct mending *x = memory_alloc(set->memory, sizeof *x);
    if (!x) {
        return ERR_NO_MEMORY;
    }
    x->owner = m;
    x->last_offset = -1;
    x->may_skip = log_has_gaps(log, s->base_offset, segment_end_offset(s));
    x->rewrite = (struct rewrite){.run = {.log = log,
                                          .first = s,
                                          .last = s,
                                          .end_offset = segment_end_offset(s),
                                          .clean_offset = log->clean_offset},
                                  .bytes_max = s->size,
                                  .gaps = s->gaps,
                                  .given_up = given_up,
                                  .put = mending_put};
    log->mending = x;
    set->in_flight++;
    error = rewrite_begin(&x->rewrite);
    if (error) {
        mending_end(x);
        return error;
    }
    m->next_offset = s->base_offset > log->start_offset ? s->base_offset : log->start_offset;
    m->end_offset = segment_end_offset(s);
    m->priv.mending = x;
    return 0;
}

/* --- batches ---------------------------------------------------------------------------------- */

struct choice {
    size_t from, to; /* of the bytes */
    int64_t next_offset, last_offset;
    bool skips; /* offsets are left out */
    const char *refusal;
};

/* Whether the batch belongs where the damage is. */
static const char *refuse(const struct mending *x, const struct batch_header *h, int64_t next)
{
    const struct log *log = x->rewrite.run.log;
    int32_t epoch = epochs_at(&log->epochs, h->base_offset);
    if (h->last_offset_delta < 0 || h->base_offset < next ||
        batch_last_offset(h) >= x->owner->end_offset) {
        return "a batch lies across the border of the damaged segment, or behind another";
    }
    if (epoch >= 0 && epoch != h->leader_epoch) {
        return "a batch is of another leader epoch";
    }
    return NULL;
}

/* Whether a batch, or the end, at that offset leaves some out. The first batch may begin in front of what is wanted,
 * in a log that starts within it. */
static bool leaves_out(const struct mending *x, const struct choice *c, int64_t offset)
{
    bool first = x->last_offset < 0 && c->to == 0;
    return offset > (first ? x->rewrite.run.first->base_offset : c->next_offset);
}

static const char *refuse_hole(const struct mending *x, struct choice *c, int64_t offset)
{
    bool starts_later = x->last_offset < 0 && c->to == 0 && offset <= x->owner->next_offset;
    bool skips = leaves_out(x, c, offset);
    c->skips = c->skips || skips;
    return skips && !x->may_skip && !starts_later ? "a batch is missing in front of it" : NULL;
}

/* The batches between m->next_offset and m->end_offset. */
static void choose(const struct mending *x, struct bytes batches, struct choice *out)
{
    const struct log_mend *m = x->owner;
    struct batch_header h;
    *out = (struct choice){.next_offset = m->next_offset, .last_offset = x->last_offset};
    for (size_t at = 0; at < batches.size; at += h.size) {
        const uint8_t *data = batches.data + at;
        if (batch_header_read(&h, data, batches.size - at) != 0) {
            break; /* the last one is cut where the answer ends */
        }
        if (h.base_offset >= m->end_offset) {
            out->refusal = refuse_hole(x, out, m->end_offset);
            out->next_offset = m->end_offset;
            break;
        }
        if (batch_last_offset(&h) < out->next_offset && out->to == 0) {
            continue; /* in front of what is wanted */
        }
        out->refusal = batch_check(&h, data, h.size, BATCH_FROM_LOG) != 0
                           ? "a batch fails its checks"
                           : refuse(x, &h, out->to ? out->next_offset : INT64_MIN);
        if (!out->refusal && out->to == 0 && h.base_offset < x->rewrite.run.first->base_offset) {
            out->refusal = "a batch begins in front of the damaged segment";
        }
        out->refusal = out->refusal ? out->refusal : refuse_hole(x, out, h.base_offset);
        if (out->refusal) {
            break;
        }
        out->from = out->to ? out->from : at;
        out->to = at + h.size;
        out->next_offset = batch_last_offset(&h) + 1;
        out->last_offset = batch_last_offset(&h);
    }
}

void log_mend_put(struct log_mend *m, struct bytes batches, bool gaps)
{
    struct mending *x = m->priv.mending;
    struct choice c;
    assert(x && x->owner == m && !x->busy);
    x->may_skip = x->may_skip || gaps;
    choose(x, batches, &c);
    x->busy = true;
    if (c.refusal) {
        struct segment *s = x->rewrite.run.first;
        char path[IO_PATH_MAX];
        segment_path(s, path, ".log");
        log_warn(io_logger(s->log->set->io), "log", "%s is not mended with what was sent: %s", path,
                 c.refusal);
        mending_put(&x->rewrite, ERR_CORRUPT_MESSAGE);
    } else if ((uint64_t)x->rewrite.size + (c.to - c.from) > INT32_MAX) {
        mending_put(&x->rewrite, ERR_TOO_LARGE);
    } else {
        m->next_offset = c.next_offset;
        x->last_offset = c.last_offset;
        x->rewrite.gaps = x->rewrite.gaps || c.skips;
        rewrite_put(&x->rewrite, batches.data + c.from, c.to - c.from);
    }
}

void log_mend_drop(struct log_mend *m)
{
    struct mending *x = m->priv.mending;
    if (x) {
        m->priv.mending = NULL;
        x->owner = NULL;
        x->rewrite.left = 0; /* what was put is not lent any more */
        if (!x->busy) {
            mending_end(x);
        }
    }
}
