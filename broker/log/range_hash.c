/* SPDX-License-Identifier: Apache-2.0 */

/* The hash of a stretch of a log, read as consumers read: what does not check is no part of it. */
#include "base/crc32c.h"
#include "base/errors.h"
#include "log/log_private.h"

enum { READ_BYTES = 1 << 20 };

static struct log_range_hash *hash_of(struct log_read *r)
{
    return container_of(r, struct log_range_hash, priv.read);
}

static void take(struct log_range_hash *h)
{
    struct log_read *r = &h->priv.read;
    for (uint32_t i = 0; i < r->slice_count; i++) {
        h->hash = crc32c(h->hash, r->slices[i].data, r->slices[i].size);
        slice_release(&r->slices[i]);
    }
    h->bytes += r->size;
    h->next_offset = r->next_offset;
}

/* 1: all is there; 0: a read is in flight; or an error. */
static int go_on(struct log_range_hash *h)
{
    while (h->next_offset < h->to_offset && h->bytes < h->bytes_max) {
        int64_t before = h->next_offset;
        h->priv.read = (struct log_read){.offset = before,
                                         .limit_offset = h->to_offset,
                                         .bytes_max = READ_BYTES,
                                         .first_whole = true,
                                         .done = h->priv.read.done};
        int now = log_read(h->log, &h->priv.read);
        if (now <= 0) {
            return now;
        }
        take(h);
        if (h->next_offset == before) {
            break; /* a batch reaches over the end */
        }
    }
    return 1;
}

static void read_done(struct log_read *r, int error)
{
    struct log_range_hash *h = hash_of(r);
    int64_t before = h->next_offset;
    int now = error;
    if (!error) {
        take(h);
        now = h->next_offset == before ? 1 : go_on(h);
    }
    if (now != 0) {
        h->done(h, now < 0 ? now : 0);
    }
}

/* What was compacted, here or by the leader it came from, is other on each replica. */
bool log_has_gaps(const struct log *log, int64_t from, int64_t to)
{
    assert(log->magic == LOG_MAGIC);
    bool compacted = log->config.compact || log->clean_offset > from;
    for (const struct list *n = log->segments.next; !compacted && n != &log->segments;
         n = n->next) {
        const struct segment *s = container_of(n, struct segment, link);
        compacted = s->gaps && s->base_offset < to && segment_end_offset(s) > from;
    }
    return compacted;
}

int log_range_hash(struct log *log, struct log_range_hash *h)
{
    assert(h->done && h->from_offset < h->to_offset && h->bytes_max > 0);
    h->log = log;
    h->hash = 0;
    h->bytes = 0;
    h->next_offset = h->from_offset;
    h->priv.read.done = read_done;
    return log_has_gaps(log, h->from_offset, h->to_offset) ? ERR_UNSUPPORTED : go_on(h);
}
