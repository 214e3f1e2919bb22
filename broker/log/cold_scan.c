/* SPDX-License-Identifier: Apache-2.0 */

/* cold_scan: every batch of a stretch of a file, at a pace.
 *
 *     WALKING --the block is not there--> READING --woken--> WALKING
 *     WALKING --a block's worth in this turn, or too early--> PAUSING --timer--> WALKING
 *
 * The next block is read while this one is looked at. What a walk alone has used leaves the cache
 * as it passes, so that a scrub of everything does not push out what consumers read. A batch whose
 * CRC fails is told and passed: its length is outside the CRC and was possible. What follows such a
 * batch may have any offset, because its own count is not to be trusted. */
#include "log/cold_private.h"

#include "base/crc32c.h"
#include "log/index.h"

/* A walk may be ahead of its pace by so much: small batches would else wake the shard for each. */
static const uint64_t SECOND_NS = 1000000000, AHEAD_NS = 50000000;

static void scan_finish(struct cold_scan *s, int result)
{
    source_close(&s->source);
    s->done(s, result);
}

/* When the next block may be looked at, by the pace. */
static uint64_t scan_due_ns(const struct cold_scan *s)
{
    if (s->bytes_per_second == 0) {
        return s->priv.started_ns;
    }
    uint64_t seconds = s->bytes / s->bytes_per_second;
    uint64_t rest = s->bytes % s->bytes_per_second;
    return s->priv.started_ns + seconds * SECOND_NS +
           (uint64_t)((double)rest / (double)s->bytes_per_second * (double)SECOND_NS);
}

/* Adds the held batch to the sums of the pieces that it lies in. */
static void scan_sum(struct cold_scan *s, const struct cold_batch *b)
{
    for (uint32_t at = b->position, end = at + b->size; at < end;) {
        uint32_t in_piece = at % SUMS_PIECE, left = SUMS_PIECE - in_piece;
        struct bytes bytes = source_piece(&s->source, at, end - at < left ? end - at : left, NULL);
        uint32_t *sum = &s->sums[at / SUMS_PIECE];
        *sum = in_piece == 0 ? sums_piece(s->topic_id, s->partition, s->base_offset, at, bytes.data,
                                          bytes.size)
                             : crc32c(*sum, bytes.data, bytes.size);
        at += (uint32_t)bytes.size;
    }
}

/* One batch further. 1: go on; 2: the end; 0: wait; or how the walk ends. */
static int scan_batch(struct cold_scan *s, int *result)
{
    struct cold_source *source = &s->source;
    uint32_t at = s->priv.at;
    struct cold_batch b;
    int rc = at < source->limit ? source_header(source, at, s->priv.expected, &b) : 2;
    if (rc != 1) {
        return rc;
    }
    rc = source_need(source, at, b.size, false);
    if (rc <= 0) {
        return rc;
    }
    source_ahead(source, source_next_block(source, at + b.size - 1));
    b.crc_ok = source_crc(source, &b);
    if (s->sums) {
        scan_sum(s, &b);
    }
    s->priv.at = at + b.size;
    s->priv.expected = b.crc_ok ? cold_last_offset(&b) + 1 : -1;
    s->batches++;
    s->bytes += b.size;
    s->priv.turn_bytes += b.size;
    *result = s->batch(s, &b);
    return *result ? 2 : 1;
}

static void scan_walk(struct cold_scan *s)
{
    struct cold_reader *r = s->source.priv.reader;
    if (s->priv.stopped) {
        scan_finish(s, ERR_INTERRUPTED);
        return;
    }
    int rc, result = 0;
    do {
        uint64_t due = scan_due_ns(s), now = io_now(r->io);
        if (s->priv.turn_bytes >= r->options.block_bytes || due > now + AHEAD_NS) {
            s->priv.turn_bytes = 0;
            io_timer(r->io, &s->priv.timer, due > now ? due : now);
            return;
        }
        rc = scan_batch(s, &result);
    } while (rc == 1);
    if (rc != 0) {
        scan_finish(s, rc < 0 ? rc : result);
    }
}

static void scan_wake(struct cold_source *source)
{
    scan_walk(container_of(source, struct cold_scan, source));
}

static void scan_timer(struct io_op *op, int64_t result)
{
    struct cold_scan *s = container_of(op, struct cold_scan, priv.timer);
    struct cold_reader *r = s->source.priv.reader;
    (void)result; /* a timer that could not be kept only makes the walk hasten */
    scan_walk(s);
    reader_progress(r);
}

void cold_scan_stop(struct cold_scan *s)
{
    s->priv.stopped = true;
    io_cancel(s->source.priv.reader->io, &s->priv.timer);
}

void cold_scan(struct cold_reader *r, struct cold_scan *s)
{
    assert(s->batch && s->done);
    assert(!s->sums || s->source.from % SUMS_PIECE == 0);
    memset(&s->priv, 0, sizeof s->priv);
    s->priv.timer.done = scan_timer;
    source_open(&s->source, r, scan_wake);
    s->source.priv.transient = true;
    s->priv.at = s->source.from;
    s->priv.expected = source_expected(&s->source);
    s->batches = s->bytes = 0;
    s->priv.started_ns = io_now(r->io);
    io_timer(r->io, &s->priv.timer, s->priv.started_ns);
}
