/* SPDX-License-Identifier: Apache-2.0 */

/* cold_read: from an offset, whole batches as slices of blocks.
 *
 *     from -> skip batches below the offset -> the batch that contains it -> collect
 *
 * Each batch that is collected is checked first. A batch that lies in two blocks becomes two
 * slices; batches side by side in one block share one. What ends the collecting is: bytes_max,
 * limit_offset, the slices, the file's limit; a failure, which the next request meets at its first
 * batch; or, when a block's worth is there already, the need to wait.
 *
 * Whoever comes back for what stands behind the last batch finds it in memory: a request that began
 * in a block that was there (it had been read ahead, or somebody was here a moment ago), or took
 * half a block, and that went past the middle of its last block, reads the next two ahead. */
#include "log/cold_private.h"

static void read_add(struct cold_request *q, const struct cold_batch *b)
{
    uint32_t end = b->position + b->size;
    for (uint32_t at = b->position; at < end;) {
        struct buffer *buffer = NULL;
        struct bytes piece = source_piece(&q->source, at, end - at, &buffer);
        struct slice *last = q->slice_count ? &q->slices[q->slice_count - 1] : NULL;
        if (last && last->buffer == buffer && last->data + last->size == piece.data) {
            last->size += piece.size;
        } else {
            assert(q->slice_count < LOG_READ_SLICES_MAX);
            q->slices[q->slice_count++] =
                (struct slice){piece.data, piece.size, buffer_take(buffer)};
        }
        at += (uint32_t)piece.size;
    }
    q->size += b->size;
}

/* Enough is there to answer rather than wait for bytes [at, at + size). */
static bool read_rather_answers(struct cold_request *q, uint32_t at, uint32_t size)
{
    uint32_t block = q->source.priv.reader->options.block_bytes;
    uint32_t enough = q->bytes_max / 2 < block ? q->bytes_max / 2 : block;
    if (q->size == 0 || q->size < enough || source_resident(&q->source, at, size)) {
        return false;
    }
    if (size <= block) {
        source_ahead(&q->source, (uint64_t)at + size - 1);
    }
    return true;
}

static bool read_wants(const struct cold_request *q, const struct cold_batch *b)
{
    if (cold_last_offset(b) >= q->limit_offset || q->slice_count + 2 > LOG_READ_SLICES_MAX) {
        return false;
    }
    bool fits = b->size <= q->bytes_max && q->size <= q->bytes_max - b->size;
    return fits || (q->size == 0 && q->first_whole);
}

/* One batch further. 1: go on; 2: the end; 0: wait; or an error. */
static int read_batch(struct cold_request *q)
{
    struct cold_source *s = &q->source;
    uint32_t at = q->priv.at, left = s->limit - at;
    if (left == 0) {
        return q->size > 0 || s->open ? 2 : source_damaged(s, at, "no batch holds the offset");
    }
    if (read_rather_answers(q, at, left < LOG_BATCH_HEADER ? left : LOG_BATCH_HEADER)) {
        return 2;
    }
    struct cold_batch b;
    int rc = source_header(s, at, q->priv.expected, &b);
    if (rc != 1) {
        return rc;
    }
    bool wanted = cold_last_offset(&b) >= q->offset;
    if (wanted && q->size == 0 && b.fields.base_offset > q->offset && !s->gaps) {
        return source_damaged(s, at, "the batches begin behind the offset");
    }
    /* A damaged count must not pass for a batch that nobody may read yet. */
    bool doubted = q->size == 0 && cold_last_offset(&b) >= q->limit_offset;
    if (wanted) {
        if ((!read_wants(q, &b) && !doubted) || read_rather_answers(q, at, b.size)) {
            return 2;
        }
        rc = source_need(s, at, b.size, false);
        if (rc <= 0) {
            return rc;
        }
        if (!source_crc(s, &b)) {
            return source_damaged(s, at, "the checksum of the batch does not hold");
        }
        if (doubted) {
            return 2;
        }
        read_add(q, &b);
        q->next_offset = cold_last_offset(&b) + 1;
    }
    q->priv.expected = cold_last_offset(&b) + 1;
    q->priv.at = at + b.size;
    return 1;
}

/* Two blocks ahead, so that the disk has one to read while the other is being consumed. */
static void read_ahead(struct cold_request *q)
{
    struct cold_source *s = &q->source;
    uint32_t block = s->priv.reader->options.block_bytes;
    if (q->size == 0 || (!s->priv.hit && q->size < block / 2)) {
        return;
    }
    uint32_t last = q->priv.at - 1;
    if (last % block >= block / 2) {
        uint64_t next = source_next_block(s, last);
        source_ahead(s, next);
        source_ahead(s, next + block);
    }
}

/* 0: wait; else the request is over: 1 or an error. */
static int read_step(struct cold_request *q)
{
    int rc;
    do {
        rc = read_batch(q);
    } while (rc == 1);
    if (rc == 0) {
        return 0;
    }
    if (rc < 0 && q->size > 0) {
        q->source.damage = NULL; /* the next request meets it */
        rc = 1;
    }
    if (rc > 0) {
        read_ahead(q);
        q->next_position = q->priv.at;
        q->source.priv.reader->status.served_bytes += q->size;
    }
    assert(rc > 0 || q->slice_count == 0);
    source_close(&q->source);
    return rc > 0 ? 1 : rc;
}

static void read_wake(struct cold_source *s)
{
    struct cold_request *q = container_of(s, struct cold_request, source);
    int rc = read_step(q);
    if (rc != 0) {
        q->done(q, rc > 0 ? 0 : rc);
    }
}

int cold_read(struct cold_reader *r, struct cold_request *q)
{
    assert(q->offset >= 0 && q->offset < q->limit_offset);
    source_open(&q->source, r, read_wake);
    q->slice_count = q->size = 0;
    q->next_offset = q->offset;
    q->next_position = q->source.from;
    q->priv.at = q->source.from;
    q->priv.expected = source_expected(&q->source);
    return read_step(q);
}
