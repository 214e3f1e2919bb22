/* SPDX-License-Identifier: Apache-2.0 */

/* REPLACE: one new segment stands for a run of older ones.
 *
 *     <base>-<generation>.log written, cut, synced; its name synced
 *        -> entry gathered -> settled: the new segment is in the log's list, the run in the release's
 *        -> a durable mark covers it (L7): files of the run go to the trash
 *
 * No file is renamed: the new one has a name of its own from the beginning, the generation of the run's
 * newest file and one more. So at every moment each segment that a checkpoint lists or an entry names is
 * found under its own name, whichever of them a crash has left; what neither names is left over.
 *
 * Only segments that a durable checkpoint lists as sealed, all of them below the high watermark, are
 * replaced. So a truncation never reaches into them, and a `memory` log after a power cut, which begins
 * with its checkpoint, still has the run that the entry names. Who reads from a segment of the run goes
 * on with it: its files stay until nobody does. */
#include "log/log_private.h"

#include "base/errors.h"

static bool in_run(const struct replacement *p, const struct segment *s)
{
    return s->base_offset >= p->first->base_offset && s->base_offset <= p->last->base_offset;
}

bool replacement_holds(const struct replacement *p)
{
    const struct log *log = p->log;
    if (log->removing || p->first->removed || p->last->removed ||
        log->start_offset >= segment_end_offset(p->first) ||
        segment_end_offset(p->last) != p->end_offset) {
        return false;
    }
    const struct segment *s = p->first;
    while (s != p->last && s->state == SEGMENT_SEALED) {
        s = segment_after(s);
    }
    return s == p->last && s->state == SEGMENT_SEALED && s->link.next != &log->segments &&
           p->end_offset <= log->high_watermark;
}

struct entry replacement_entry(const struct replacement *p, uint8_t body[static REPLACE_BODY_SIZE])
{
    const struct segment *s = p->fresh;
    struct replace_body b = {s->generation, s->gaps, s->max_timestamp, p->clean_offset};
    replace_body_encode(&b, body);
    return (struct entry){.kind = ENTRY_REPLACE,
                          .offset = p->end_offset,
                          .segment_base = s->base_offset,
                          .position = s->size};
}

void replacement_tell(const struct replacement *p)
{
    const struct log *log = p->log;
    const struct log_options *o = &log->set->options;
    if (o->replaced) {
        struct log_replaced told = {.from_offset = p->fresh->base_offset,
                                    .to_offset = p->end_offset,
                                    .size_bytes = p->fresh->size,
                                    .key_offset = p->key_offset,
                                    .now_ms = p->now_ms};
        o->replaced(o->replaced_context, log->topic_id, log->partition, &told);
    }
}

void replacement_effect(struct replacement *p, struct list *doomed)
{
    struct log *log = p->log;
    struct segment *fresh = p->fresh;
    assert(fresh->state == SEGMENT_SEALED && list_empty(&fresh->link));
    assert(fresh->base_offset == p->first->base_offset);
    list_append(&p->first->link, &fresh->link); /* in front of it */
    list_each (node, &log->segments) {
        struct segment *s = container_of(node, struct segment, link);
        if (s == fresh || !in_run(p, s)) {
            continue;
        }
        assert(s->generation < fresh->generation);
        log->size_bytes -= s->size;
        list_remove(&s->link);
        list_remove(&s->dirty);
        list_remove(&s->pending);
        segment_become(s, SEGMENT_SEALED);
        s->removed = true;
        list_append(doomed, &s->link);
    }
    log->size_bytes += fresh->size;
    log_look_for_latest(log);
    log->clean_offset = p->clean_offset > log->clean_offset ? p->clean_offset : log->clean_offset;
}

/* --- replay ----------------------------------------------------------------------------------- */

/* The run that the entry names; false: it is not there. */
static bool replayed_run(struct log *log, const struct entry *e, struct replacement *out)
{
    out->first = out->last = NULL;
    list_each (node, &log->segments) {
        struct segment *s = container_of(node, struct segment, link);
        out->first = s->base_offset == e->segment_base ? s : out->first;
        if (out->first && segment_end_offset(s) == e->offset) {
            out->last = s;
            return true;
        }
    }
    return false;
}

static bool run_busy(const struct log *log, const struct replacement *p)
{
    for (const struct list *n = &p->first->link;; n = n->next) {
        if (!io_op_idle(&container_of(n, struct segment, link)->write)) {
            return true;
        }
        if (n == &p->last->link) {
            return log->space.stage != SPACE_IDLE;
        }
    }
}

/* The mark that covers the entry is durable, and so is the new file: the run's files go at once. */
int log_replay_replace(struct log *log, const struct entry *e)
{
    struct replace_body body;
    struct replacement p = {.log = log, .end_offset = e->offset};
    if (replace_body_decode(&body, e) || !replayed_run(log, e, &p) || e->position == 0 ||
        body.clean_offset > log->end_offset) {
        return ERR_DAMAGED;
    }
    if (run_busy(log, &p)) {
        return 0;
    }
    for (const struct list *n = &p.first->link; n != p.last->link.next; n = n->next) {
        if (container_of(n, struct segment, link)->generation >= body.generation) {
            return ERR_DAMAGED;
        }
    }
    struct segment *fresh = segment_alloc(log, e->segment_base);
    if (!fresh) {
        return ERR_NO_MEMORY;
    }
    p.fresh = fresh;
    p.clean_offset = body.clean_offset;
    fresh->generation = body.generation;
    fresh->gaps = body.gaps;
    fresh->max_timestamp = body.max_timestamp;
    segment_become(fresh, SEGMENT_SEALED);
    fresh->size = fresh->submitted = fresh->written = e->position;
    fresh->allocated = e->position;
    fresh->index_whole = false;
    fresh->index_from = e->position;
    fresh->index_from_time = body.max_timestamp;
    struct list doomed, *node;
    list_init(&doomed);
    replacement_effect(&p, &doomed);
    segment_look(fresh);
    while ((node = list_first(&doomed))) {
        segment_remove_files(container_of(node, struct segment, link));
    }
    /* It was that high when the entry was written: no truncation may reach into what is compacted. */
    if (log->high_watermark < e->offset) {
        log->high_watermark = e->offset;
    }
    return 1;
}
