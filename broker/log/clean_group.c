/* SPDX-License-Identifier: Apache-2.0 */

/* A group of a pass: what is kept of a run of segments goes into one new segment (rewrite.h).
 *
 *     group_choose -> group_begin -> rewrite_put, ... -> rewrite_finish -> group_put -> the next group */
#include "log/clean_private.h"

#include "base/errors.h"

#include <stdlib.h>

/* --- the run ---------------------------------------------------------------------------------- */

/* Whether a group may end or go on with the segment. */
static bool takes_part(const struct cleaning *p, const struct segment *s)
{
    return s->state == SEGMENT_SEALED && segment_end_offset(s) <= p->limit_offset &&
           s->base_offset < p->map.end_offset && s->generation < GENERATION_MAX;
}

static bool fits(const struct cleaning *p, const struct segment *first, const struct segment *s,
                 uint64_t bytes)
{
    uint64_t most = p->log->config.segment_bytes;
    most = most < INT32_MAX ? most : INT32_MAX;
    return takes_part(p, s) && bytes + s->size <= most &&
           segment_end_offset(s) - first->base_offset <= INT32_MAX;
}

/* COPY: the next run. False: there is none. */
bool group_choose(struct cleaning *p)
{
    struct log *log = p->log;
    struct segment *first = segment_at(log, p->at);
    if (!first || !takes_part(p, first)) {
        return false;
    }
    uint64_t bytes = first->size;
    struct segment *last = first;
    while (last->link.next != &log->segments && fits(p, first, segment_after(last), bytes)) {
        last = segment_after(last);
        bytes += last->size;
    }
    p->group.run = (struct replacement){.log = log,
                                        .first = first,
                                        .last = last,
                                        .end_offset = segment_end_offset(last),
                                        .key_offset = p->map.end_offset,
                                        .clean_offset = log->clean_offset,
                                        .now_ms = p->now_ms};
    if (last->link.next == &log->segments || !takes_part(p, segment_after(last))) {
        p->group.run.clean_offset = p->map.end_offset; /* the pass ends with it */
    }
    p->group.bytes_max = bytes;
    return true;
}

static int compare_offsets(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* The producers' last batches as they are now: one that is the last no longer is kept as well. */
static int note_producers(struct cleaning *p)
{
    struct memory *m = set_of(p)->memory;
    uint32_t count = producers_count(p->log->producers);
    memory_free(m, p->kept_last);
    p->kept_last = memory_alloc(m, (count + 1) * sizeof *p->kept_last);
    if (!p->kept_last) {
        return ERR_NO_MEMORY;
    }
    count = producers_newest_below(p->log->producers, p->log->high_watermark, p->kept_last);
    qsort(p->kept_last, count, sizeof *p->kept_last, compare_offsets);
    p->work.kept_last = p->kept_last;
    p->work.kept_count = count;
    return 0;
}

/* Where epochs begin, as far as is known now: what compaction reads is older than all that may change. */
static int note_epochs(struct cleaning *p)
{
    struct memory *m = set_of(p)->memory;
    const struct epochs *e = &p->log->epochs;
    memory_free(m, p->epoch_starts);
    p->epoch_starts = memory_alloc(m, (e->count + 1) * sizeof *p->epoch_starts);
    if (!p->epoch_starts) {
        return ERR_NO_MEMORY;
    }
    for (uint32_t i = 1; i < e->count; i++) {
        p->epoch_starts[i - 1] = e->entries[i].start_offset;
    }
    p->work.epoch_starts = p->epoch_starts;
    p->work.epoch_count = e->count ? e->count - 1 : 0;
    return 0;
}

int group_begin(struct cleaning *p)
{
    p->work.range_end = p->group.run.end_offset;
    int error = note_producers(p);
    error = error ? error : note_epochs(p);
    p->group.gaps = true;
    error = error ? error : rewrite_begin(&p->group);
    if (!error) {
        source_take(p, p->group.run.first);
    }
    return error;
}

bool group_given_up(struct rewrite *w)
{
    return pass_given_up(container_of(w, struct cleaning, group));
}

/* What was copied is in the new segment; or this has taken its place. */
void group_put(struct rewrite *w, int error)
{
    struct cleaning *p = container_of(w, struct cleaning, group);
    p->moved_bytes += w->moved_bytes;
    w->moved_bytes = 0;
    if (error) {
        pass_end(p, error);
    } else if (w->run.fresh) {
        worked_off(p);
    } else {
        p->groups++;
        p->after_bytes += w->size;
        p->before_bytes += w->bytes_max;
        set_of(p)->cleaned_bytes_before += w->bytes_max;
        set_of(p)->cleaned_bytes_after += w->size;
        p->at = w->run.end_offset;
        pass_next(p);
    }
}
