/* SPDX-License-Identifier: Apache-2.0 */

/* ANEW: a log that begins anew at an offset.
 *
 *     entry gathered -> settled: start, end and durable end are the offset, all segments are the release's
 *        -> a durable mark covers it (L7): their files go to the trash
 *
 * Nothing of the old log stands in the way of the new one: its epochs, its producers, its clean offset go with
 * it, whatever reads or compacts it ends. The first batch makes a segment that may have the name of an old
 * one, and waits until that has gone. A start that finds the entry in the journal removes the directory too
 * if nothing was appended since, and may be cut off behind that: then the log's directory is missing, and the
 * entry explains it. */
#include "log/log_private.h"

#include "base/errors.h"

static void take_segments(struct log *log, struct list *doomed)
{
    while (!list_empty(&log->segments)) {
        struct segment *s = container_of(log->segments.next, struct segment, link);
        list_remove(&s->link);
        list_remove(&s->dirty);
        list_remove(&s->pending);
        s->removed = true;
        s->cuts++;
        segment_become(s, SEGMENT_SEALED); /* nothing more is written to it */
        tail_drop(s, true);
        list_append(doomed, &s->link);
    }
}

int log_anew(struct log *log, int64_t offset, int32_t epoch, struct list *doomed)
{
    struct memory *m = log->set->memory;
    struct epochs epochs = {0};
    int64_t last =
        offset > 0 ? offset - 1 : 0; /* so that it is older than whatever begins at `offset` */
    if (epoch >= 0 && epochs_begin(&epochs, m, epoch, last)) {
        return ERR_NO_MEMORY;
    }
    epochs_free(&log->epochs, m);
    log->epochs = epochs;
    producers_free(log->producers);
    log->producers = NULL;
    take_segments(log, doomed);
    clean_pass_abandon(log);
    list_each (node, &log->set->releases) { /* a new start takes none of the new segments */
        struct release *r = container_of(node, struct release, link);
        r->offset = r->log == log && r->kind == LOG_START ? offset : r->offset;
    }
    log->start_offset = log->end_offset = offset;
    log->durable_offset = log->high_watermark = offset;
    log->size_bytes = 0;
    log->max_timestamp = -1;
    log->clean_offset = 0;
    log->uncleanable = log->ends_in_gap = false;
    return 0;
}

bool log_files_busy(const struct log *log)
{
    for (const struct list *n = log->segments.next; n != &log->segments; n = n->next) {
        if (!io_op_idle(&container_of(n, struct segment, link)->write)) {
            return true;
        }
    }
    return log->space.stage != SPACE_IDLE;
}

/* The mark that covers the entry is durable: files go at once. */
int log_replay_anew(struct log *log, const struct entry *e)
{
    if (e->body_size || e->leader_epoch < -1) {
        return ERR_DAMAGED;
    }
    if (log_files_busy(log)) {
        return 0;
    }
    struct list doomed, *node;
    list_init(&doomed);
    int error = log_anew(log, e->offset, e->leader_epoch, &doomed);
    if (error) {
        return error;
    }
    log->missing = false;
    while ((node = list_first(&doomed))) {
        struct segment *s = container_of(node, struct segment, link);
        if (log->directory_known) {
            segment_remove_files(s);
        } else {
            segment_free(s);
        }
    }
    return 1;
}
