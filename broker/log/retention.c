/* SPDX-License-Identifier: Apache-2.0 */

/* Retention: whole segments at the beginning of a log that are too old or too many.
 *
 * A new start of the log is an entry of the journal like any other (log_control); files go when a
 * durable mark covers it. Age is that of the newest record of a segment, so one record from the
 * future keeps its segment (message.timestamp.after.max.ms bounds that at the door). */
#include "base/errors.h"
#include "log/log_private.h"

static void retained(struct log_control *c, int error)
{
    struct log *log = container_of(c, struct log, retain);
    log->retaining = false;
    if (error && error != ERR_CLOSED) {
        log_warn(io_logger(log->set->io), "log", "%s-%d: retention put off: %s", log->topic,
                 (int)log->partition, error_text(error));
    }
}

static bool too_old(const struct log *log, const struct segment *s, int64_t now_ms)
{
    if (log->config.retention_ms < 0) {
        return false;
    }
    return s->max_timestamp >= 0 && s->max_timestamp < now_ms - log->config.retention_ms;
}

static bool too_many(const struct log *log, uint64_t bytes_behind)
{
    return log->config.retention_bytes >= 0 &&
           bytes_behind >= (uint64_t)log->config.retention_bytes;
}

void log_expire_producers(struct log *log)
{
    assert(log->magic == LOG_MAGIC);
    struct log_set *set = log->set;
    producers_expire(log->producers, log_producers_expired_ms(set));
    set->producers_told =
        set->producers_told && producer_table_count(&set->producers) >= set->producers.limit;
}

void log_retain(struct log *log, int64_t now_ms, unsigned limit)
{
    assert(log->magic == LOG_MAGIC);
    if (log->removing || log->retaining || log->controls || log->set->closing ||
        list_empty(&log->segments) ||
        (log->config.retention_ms < 0 && log->config.retention_bytes < 0) || log_tidy(log)) {
        return;
    }
    uint64_t bytes = log->size_bytes;
    int64_t start = log->start_offset;
    for (struct list *node = log->segments.next; node != &log->segments && limit; limit--) {
        struct segment *s = container_of(node, struct segment, link);
        node = node->next;
        bool old = too_old(log, s, now_ms);
        if ((!old && !too_many(log, bytes - s->size)) ||
            segment_end_offset(s) > log->high_watermark) {
            break;
        }
        if (s->state == SEGMENT_ACTIVE) {
            if (!old || !log_roll(log)) {
                break;
            }
        }
        bytes -= s->size;
        start = segment_end_offset(s);
    }
    if (start > log->start_offset) {
        log->retaining = true;
        log->retain.kind = LOG_START;
        log->retain.offset = start;
        log->retain.done = retained;
        log_control(log, &log->retain);
    }
}
