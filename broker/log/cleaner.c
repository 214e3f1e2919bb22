/* SPDX-License-Identifier: Apache-2.0 */

/* The cleaner of a shard: which log is compacted next, and how far.
 *
 * One pass at a time. The dirtiest log comes first: that with the largest share of bytes behind its clean
 * offset, once the share is above min.cleanable.dirty.ratio, or something there is older than
 * max.compaction.lag.ms. When nothing is, the cleaner looks again after its back-off. Where only a checkpoint
 * is missing, which a shard with little to do may not make for long, it asks for one. */
#include "log/log_private.h"

#include "base/errors.h"

enum { CHECKPOINT_MS = 1000 }; /* to look whether it is there */

/* The newest segment is never compacted, also when it is sealed: the next one says where it ends. */
static bool may_replace(const struct segment *s, bool listed)
{
    const struct log *log = s->log;
    listed = (listed && !log_mutant(log->set, LOG_MUTANT_REPLACE_UNLISTED))
                 ? segment_listed(s)
                 : s->state == SEGMENT_SEALED;
    return listed && s->link.next != &log->segments && segment_end_offset(s) <= log->high_watermark;
}

/* Up to where compaction may go: sealed, below the high watermark, old enough, and `listed` in a
 * durable checkpoint, or could go if it were. */
static int64_t limit_of(const struct log *log, int64_t now_ms, bool listed)
{
    int64_t limit = -1;
    for (const struct list *n = log->segments.next; n != &log->segments; n = n->next) {
        const struct segment *s = container_of(n, struct segment, link);
        bool young = log->config.min_compaction_lag_ms > 0 &&
                     s->max_timestamp > now_ms - log->config.min_compaction_lag_ms;
        if (!may_replace(s, listed) || (young && segment_end_offset(s) > log->clean_offset)) {
            break;
        }
        limit = segment_end_offset(s);
    }
    return limit;
}

struct dirt {
    uint64_t clean_bytes, dirty_bytes;
    int64_t oldest_ms; /* of what is dirty, -1: nothing is, or not known */
};

static uint64_t dirty_share(const struct log *log, const struct segment *s)
{
    int64_t end = segment_end_offset(s), base = s->base_offset;
    if (end <= log->clean_offset) {
        return 0;
    }
    int64_t from = base > log->clean_offset ? base : log->clean_offset;
    return (uint64_t)((double)s->size * (double)(end - from) / (double)(end - base));
}

static struct dirt look_at(const struct log *log, int64_t limit)
{
    struct dirt d = {.oldest_ms = -1};
    int64_t before_ms = -1; /* the largest timestamp of the segment in front */
    for (const struct list *n = log->segments.next; n != &log->segments; n = n->next) {
        const struct segment *s = container_of(n, struct segment, link);
        if (segment_end_offset(s) > limit) {
            break;
        }
        uint64_t dirty = dirty_share(log, s);
        if (dirty > 0 && d.dirty_bytes == 0) {
            d.oldest_ms = s->first_timestamp >= 0 ? s->first_timestamp
                          : before_ms >= 0        ? before_ms
                                                  : s->max_timestamp;
        }
        d.dirty_bytes += dirty;
        d.clean_bytes += s->size - dirty;
        before_ms = s->max_timestamp;
    }
    return d;
}

/* How much the log needs a pass; below 0: not at all. */
static double need_of(const struct log *log, int64_t limit, int64_t now_ms)
{
    struct dirt d = look_at(log, limit);
    double ratio =
        d.dirty_bytes > 0 ? (double)d.dirty_bytes / (double)(d.dirty_bytes + d.clean_bytes) : 0;
    if (log->clean_asked) {
        return 2 + ratio;
    }
    bool late = log->config.max_compaction_lag_ms > 0 && d.oldest_ms >= 0 &&
                d.oldest_ms < now_ms - log->config.max_compaction_lag_ms;
    if (d.dirty_bytes > 0 && late) {
        return 1 + ratio;
    }
    return d.dirty_bytes > 0 && ratio > log->config.min_dirty_ratio ? ratio : -1;
}

/* A pass is needed, and possible with the next checkpoint. */
static bool lacks_checkpoint(const struct log *log, int64_t now_ms)
{
    int64_t limit = limit_of(log, now_ms, false);
    return limit > limit_of(log, now_ms, true) && need_of(log, limit, now_ms) >= 0;
}

static bool may_clean(const struct log *log)
{
    return log->config.compact && log->opened && !log->removing && !log->uncleanable &&
           !log->mending && (log->clean_asked || !log->set->options.cleaner_off);
}

void cleaner_look(struct log_set *set)
{
    uint64_t now = io_now(set->io);
    if (set->cleaning || set->closing || set->recovering || now < set->cleaner_next_ns) {
        return;
    }
    int64_t now_ms = io_wall_ms(set->io), best_limit = -1;
    struct log *best = NULL;
    double best_need = -1;
    bool unlisted = false;
    list_each (node, &set->logs) {
        struct log *log = container_of(node, struct log, link);
        int64_t limit = may_clean(log) ? limit_of(log, now_ms, true) : -1;
        double need = limit >= 0 ? need_of(log, limit, now_ms) : -1;
        log->clean_asked = log->clean_asked && need >= 0;
        unlisted = unlisted || (need < 0 && may_clean(log) && lacks_checkpoint(log, now_ms));
        if (need > best_need) {
            best = log;
            best_need = need;
            best_limit = limit;
        }
    }
    if (best) {
        best->clean_asked = false;
    }
    if (!best || clean_pass_begin(best, best_limit, now_ms)) {
        uint64_t backoff_ms = set->options.cleaner_backoff_ms;
        if (unlisted) {
            log_set_want_checkpoint(set);
            backoff_ms = backoff_ms < CHECKPOINT_MS ? backoff_ms : CHECKPOINT_MS;
        }
        set->cleaner_next_ns = now + backoff_ms * 1000000;
    }
}

void log_clean(struct log *log)
{
    assert(log->magic == LOG_MAGIC);
    log->clean_asked = true;
    log->set->cleaner_next_ns = 0;
    cleaner_look(log->set);
}
