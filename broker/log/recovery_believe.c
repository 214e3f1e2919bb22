/* SPDX-License-Identifier: Apache-2.0 */

/* What recovery must not do (L4), for the simulator to show why: after replay it looks behind the end
 * of each newest segment, and takes every batch whose sum and offset fit for one that was lost. */
#include "log/recovery_private.h"

#ifdef LEAT_SIM

#include "base/crc32c.h"
#include "base/errors.h"
#include "log/batch_fields.h"

enum { BELIEVED_CRC_AT = 17, BELIEVED_CRC_FROM = 21 };

static void believe_next(struct recovery *r);

static void believe_batches(struct recovery *r, struct log *log, uint64_t size)
{
    struct segment *s = log_active(log);
    while (s->size + (uint64_t)LOG_BATCH_HEADER <= size) {
        const uint8_t *at = r->buffer + s->size;
        struct batch_fields f;
        batch_fields_read(&f, at);
        uint64_t whole = (uint64_t)(uint32_t)f.length + 12;
        if (f.length < LOG_BATCH_HEADER - 12 || whole > size - s->size ||
            f.leader_epoch < epochs_latest(&log->epochs) ||
            crc32c(0, at + BELIEVED_CRC_FROM, whole - BELIEVED_CRC_FROM) !=
                get_be32(at + BELIEVED_CRC_AT)) {
            return;
        }
        struct entry e = {.kind = ENTRY_APPEND,
                          .topic_id = log->topic_id,
                          .partition = log->partition,
                          .leader_epoch = f.leader_epoch,
                          .offset = f.base_offset,
                          .segment_base = s->base_offset,
                          .position = s->size,
                          .body_size = (uint32_t)whole,
                          .body = at};
        if (log_replay_append(log, &e) != 1) {
            return;
        }
    }
}

static void believe_read(struct recovery *r)
{
    if (r->result > 0) {
        believe_batches(r, container_of(r->at_log, struct log, link), (uint64_t)r->result);
    }
    believe_next(r);
}

static void believe_next(struct recovery *r)
{
    while (r->at_log->next != &r->set->logs) {
        r->at_log = r->at_log->next;
        struct log *log = container_of(r->at_log, struct log, link);
        struct segment *s = log_active(log);
        if (!s || s->allocated == 0 || segment_missing(s) || segment_open(s)) {
            continue;
        }
        int64_t size = io_file_size(r->io, s->file) / IO_BLOCK_SIZE * IO_BLOCK_SIZE;
        if (size > s->size && recovery_buffer(r, (uint64_t)size)) {
            recovery_then(r, believe_read);
            io_read(r->io, &r->op, s->file, r->buffer, (size_t)size, 0);
            return;
        }
    }
    recovery_found(r);
}

void recovery_believe_tails(struct recovery *r)
{
    r->at_log = &r->set->logs;
    believe_next(r);
}

#endif
