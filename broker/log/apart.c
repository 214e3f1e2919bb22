/* SPDX-License-Identifier: Apache-2.0 */

/* See apart.h. */
#include "log/apart.h"

#include "base/errors.h"
#include "log/log_private.h"

static void apart_due(struct io_op *op, int64_t result);
static void apart_written(struct io_op *op, int64_t result);

int apart_open(struct journal *j)
{
    j->apart.told = j->settled;
    j->apart.block = memory_alloc_aligned(io_memory(j->io), JOURNAL_HEADER_SIZE, IO_BLOCK_SIZE);
    return j->apart.block ? 0 : ERR_NO_MEMORY;
}

void apart_close(struct journal *j)
{
    assert(io_op_idle(&j->apart.op));
    memory_free(io_memory(j->io), j->apart.block);
    j->apart.block = NULL;
}

void apart_settled(struct journal *j)
{
    struct apart *a = &j->apart;
    if (io_op_idle(&a->op) && a->told < j->settled && !j->closing) {
        a->op.done = apart_due;
        io_timer(j->io, &a->op, io_now(j->io) + APART_PACE_NS);
    }
}

void apart_cancel(struct journal *j)
{
    if (!j->apart.writing) {
        io_cancel(j->io, &j->apart.op);
    }
}

static void apart_due(struct io_op *op, int64_t result)
{
    struct journal *j = container_of(op, struct journal, apart.op);
    struct apart *a = &j->apart;
    if (result < 0 || j->closing) {
        log_set_progress(j->set);
        return;
    }
    const struct journal_file *f = &j->files[(j->file_current + 1) % j->file_count];
    struct journal_header h = {
        .life = j->life,
        .storage_id = j->storage_id,
        .shard = io_shard(j->io),
        .number = f->number,
        .settled = log_mutant(j->set, LOG_MUTANT_NO_SETTLED) ? 0 : j->settled,
    };
    journal_header_encode(&h, a->block);
    a->telling = j->settled;
    a->writing = true;
    op->done = apart_written;
    a->piece = (struct iovec){a->block, JOURNAL_HEADER_SIZE};
    io_write(j->io, op, f->file, &a->piece, 1, 0, IO_WRITE_DURABLE);
}

static void apart_written(struct io_op *op, int64_t result)
{
    struct journal *j = container_of(op, struct journal, apart.op);
    journal_check_write(j, result);
    j->apart.writing = false;
    j->apart.told = j->apart.telling;
    if (j->closing) {
        log_set_progress(j->set);
    } else {
        apart_settled(j);
    }
}
