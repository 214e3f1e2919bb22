/* SPDX-License-Identifier: Apache-2.0 */

/* A follower's append: what was fetched is checked here, once, before any of it is taken.
 *
 *     log_append_follower -> every batch: bounds, checksum, counts, epoch, and that it follows the one
 *         before it -> log_append_batches -> one after the other, as a leader's: the first begins where
 *         the log ends -> the group of the last one settles -> done()
 *
 * A base offset and a leader epoch lie outside their batch's checksum, so that batches follow each other,
 * and that no epoch falls or is newer than the leader's, is all that tells a wrong one (P3). Where the log
 * ends is looked at when a batch is taken, for a truncation may stand before it.
 *
 * The log of a leader that is compacted has gaps, and so has its follower's (`gaps`): a batch may then begin
 * behind the end. The segment that it goes to says so from then on, in the entry and in every checkpoint, or
 * a read would take the gap for damage. A segment that begins with a gap is named by the end in front of it:
 * so segments still follow each other without a hole, replay still knows an entry that is missing by the
 * segment's base or the batch's position, and a truncation into the gap finds the segment that it cuts by its
 * offset alone. */
#include "base/errors.h"
#include "log/log_private.h"
#include "wire/batch.h"

/* Where the next batch of those that were fetched has to be. */
struct follow_place {
    size_t at;
    int64_t offset; /* -1: the first one, which the log's end decides */
    int32_t epoch;
};

static int refuse(struct log_follow *f, size_t at, int error, const char *why)
{
    f->refusal = why;
    f->refused_at = at;
    return error;
}

static int check_batch(struct log_follow *f, struct follow_place *p, uint64_t size_max)
{
    struct batch_header h;
    const uint8_t *data = f->batches.data + p->at;
    int error = batch_header_read(&h, data, f->batches.size - p->at);
    if (error) {
        return refuse(f, p->at, error, "no whole batch is there");
    }
    if (h.size > size_max) {
        return refuse(f, p->at, ERR_MESSAGE_TOO_LARGE, "it is larger than a batch may be here");
    }
    error = batch_check_rules(&h, BATCH_FROM_LOG);
    if (error) {
        return refuse(f, p->at, error, "its counts or its codec are impossible");
    }
    error = batch_check_crc(&h, data);
    if (error) {
        return refuse(f, p->at, error, "its checksum does not hold");
    }
    if (h.base_offset < 0 ||
        (uint64_t)h.base_offset + (uint32_t)h.last_offset_delta >= NUMBER_MAX ||
        h.leader_epoch < 0) {
        return refuse(f, p->at, ERR_CORRUPT_MESSAGE, "its offsets or its epoch are impossible");
    }
    if (p->offset >= 0 && (f->gaps ? h.base_offset < p->offset : h.base_offset != p->offset)) {
        return refuse(f, p->at, ERR_OFFSET_OUT_OF_RANGE, "it does not follow the batch before it");
    }
    if (h.leader_epoch > f->leader_epoch) {
        return refuse(f, p->at, ERR_UNKNOWN_LEADER_EPOCH, "its epoch is newer than its leader's");
    }
    if (h.leader_epoch < p->epoch) {
        return refuse(f, p->at, ERR_FENCED_LEADER_EPOCH,
                      "its epoch is older than that of the batch before it");
    }
    p->at += h.size;
    p->offset = batch_last_offset(&h) + 1;
    p->epoch = h.leader_epoch;
    return 0;
}

static void follow_done(struct log_append *a, int error)
{
    struct log_follow *f = container_of(a, struct log_follow, priv);
    f->end_offset = a->end_offset ? a->end_offset : -1;
    if ((error == ERR_OFFSET_OUT_OF_RANGE || error == ERR_FENCED_LEADER_EPOCH) && !f->refusal) {
        (void)refuse(f, (size_t)(a->batch.data - f->batches.data), error,
                     error == ERR_OFFSET_OUT_OF_RANGE ? "it does not begin where the log ends"
                                                      : "its epoch is older than the log's newest");
    }
    f->done(f, error);
}

static void follow_taken(struct log_append *a)
{
    struct log_follow *f = container_of(a, struct log_follow, priv);
    f->appended(f);
}

void log_append_follower(struct log *log, struct log_follow *f)
{
    assert(log->magic == LOG_MAGIC && f->done);
    struct follow_place p = {.offset = -1, .epoch = -1};
    f->end_offset = -1;
    f->refusal = NULL;
    f->refused_at = 0;
    f->priv = (struct log_append){.leader_epoch = f->leader_epoch,
                                  .waited = true,
                                  .appended = f->appended ? follow_taken : NULL,
                                  .done = follow_done};
    int error = f->batches.size ? 0 : refuse(f, 0, ERR_CORRUPT_MESSAGE, "there is no batch");
    while (!error && p.at < f->batches.size) {
        error = check_batch(f, &p, log_batch_limit(log));
    }
    if (error) {
        log_append_refused(log, &f->priv, error);
        return;
    }
    size_t first = batch_size_peek(f->batches.data);
    f->priv.batch = bytes_of(f->batches.data, first);
    f->priv.priv.gaps = f->gaps;
    f->priv.priv.rest = f->batches.size - first;
    log_append_batches(log, &f->priv);
}
