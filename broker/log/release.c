/* SPDX-License-Identifier: Apache-2.0 */

/* What follows when a durable mark covers the entry of a control (L7): its files are removed. Until then they stay, and
 * as long as anybody reads or writes them. */
#include "log/log_private.h"

#include "base/errors.h"

static bool segments_idle(struct list *segments)
{
    list_each (node, segments) {
        struct segment *s = container_of(node, struct segment, link);
        if (!io_op_idle(&s->write) || s->readers || !segment_reads_idle(s, false)) {
            return false;
        }
    }
    return true;
}

bool log_drop_below(struct log *log, int64_t offset)
{
    while (log->segments.next != log->segments.prev) {
        struct segment *s = container_of(log->segments.next, struct segment, link);
        if (segment_end_offset(s) > offset) {
            break;
        }
        if (s->state != SEGMENT_SEALED || !io_op_idle(&s->write) || s->readers ||
            !segment_reads_idle(s, false)) {
            return false;
        }
        log->size_bytes -= s->size;
        segment_remove_files(s);
    }
    return true;
}

static bool doomed_remove(struct list *doomed)
{
    if (!segments_idle(doomed)) {
        return false;
    }
    struct list *node;
    while ((node = list_first(doomed))) {
        segment_remove_files(container_of(node, struct segment, link));
    }
    return true;
}

/* True when the entry's files are in their new state. */
static bool release_run(struct release *r)
{
    struct log *log = r->log;
    if (r->kind == LOG_START) {
        return log->removing || log_drop_below(log, r->offset);
    }
    if (r->kind == LOG_TRUNCATE || r->kind == LOG_ANEW) {
        bool gone = doomed_remove(&r->doomed);
        if (gone) {
            log_unhold(log);
        }
        return gone;
    }
    if (r->kind == LOG_REPLACE) {
        return doomed_remove(&r->doomed);
    }
    if (!segments_idle(&log->segments) || log->space.stage != SPACE_IDLE || log->controls ||
        log->releases > 1 || log->searches || log->retaining || log->cleaning || log->mending) {
        return false;
    }
    struct log_set *set = log->set;
    if (log->directory_known) {
        char path[IO_PATH_MAX];
        log_directory(log, path);
        int error = trash_put(set, path, log->topic_id, log->partition);
        if (error) {
            log_warn(io_logger(set->io), "log", "cannot move %s away: %s", path, error_text(error));
        }
    }
    log_free(log);
    return true;
}

void log_releases_abandon(struct log_set *set)
{
    struct list *node;
    while ((node = list_pop(&set->releases))) {
        struct release *r = container_of(node, struct release, link);
        while ((node = list_first(&r->doomed))) {
            segment_free(container_of(node, struct segment, link));
        }
        memory_free(set->memory, r);
    }
}

bool log_release_frees(struct log_set *set)
{
    list_each (node, &set->releases) {
        struct release *r = container_of(node, struct release, link);
        if (r->kind == LOG_REPLACE && !list_empty(&r->doomed) && segments_idle(&r->doomed)) {
            return true;
        }
    }
    return false;
}

void log_release_marked(struct log_set *set)
{
    uint64_t mark =
        log_mutant(set, LOG_MUTANT_NO_MARK_RUN) || log_mutant(set, LOG_MUTANT_NO_SETTLED)
            ? set->journal.settled
            : set->journal.marked;
    list_each (node, &set->releases) {
        struct release *r = container_of(node, struct release, link);
        bool early = !list_empty(&r->doomed) &&
                     ((r->kind == LOG_REPLACE && log_mutant(set, LOG_MUTANT_REPLACE_EARLY)) ||
                      (r->kind == LOG_ANEW && log_mutant(set, LOG_MUTANT_ANEW_EARLY)));
        if (r->sequence > mark && !early) {
            journal_mark(&set->journal);
            return;
        }
        struct log *log = r->kind == LOG_REMOVE ? NULL : r->log; /* else it goes */
        if (release_run(r)) {
            list_remove(&r->link);
            memory_free(set->memory, r);
            if (log) {
                log->releases--;
            }
            log_set_progress(set);
        }
    }
}
