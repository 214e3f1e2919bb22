/* SPDX-License-Identifier: Apache-2.0 */

/* The disk of a replica: a log, and the operations on it that are not durable yet, in their order. A crash leaves
 * the durable log and a prefix of them. */
#include "replica_world.h"

#include <assert.h>
#include <string.h>

static const uint64_t ms_ns = 1000000;

static void operation_apply(struct world_log *log, const struct operation *o)
{
    switch (o->kind) {
    case OPERATION_APPEND:
        assert(o->offset == log->end && log->end < WORLD_RECORDS_MAX);
        log->records[log->end++] = o->record;
        break;
    case OPERATION_TRUNCATE:
        log->end = o->offset;
        break;
    case OPERATION_ANEW:
        log->start = log->end = o->offset;
        break;
    case OPERATION_START:
        log->start = o->offset;
        break;
    }
}

/* What of the log as it is now has been durable ever since it was written. */
int64_t disk_certain(const struct world *w, const struct machine *m)
{
    (void)w;
    int64_t end = m->durable.end;
    for (uint32_t i = 0; i < m->operation_count; i++) {
        const struct operation *o = &m->operations[i];
        if ((o->kind == OPERATION_TRUNCATE || o->kind == OPERATION_ANEW) && o->offset < end) {
            end = o->offset;
        }
    }
    return end;
}

int64_t disk_counted(const struct world *w, const struct machine *m)
{
    int64_t end = w->memory ? m->log.end : disk_certain(w, m);
    return end > m->log.start ? end : m->log.start;
}

void disk_do(struct world *w, struct machine *m, struct operation o)
{
    assert(m->operation_count < WORLD_OPERATIONS_MAX);
    operation_apply(&m->log, &o);
    m->operations[m->operation_count++] = o;
    disk_flush_begin(w, m);
}

void disk_flush_begin(struct world *w, struct machine *m)
{
    if (m->flush_ns == 0 && m->operation_count > 0) {
        m->flushing = m->operation_count;
        m->flushing_watermark =
            m->high_watermark; /* of this state of the log, and so saved with it */
        m->flushing_proved = m->proved_epoch;
        m->flush_ns = w->now_ns + prng_between(&w->disk, ms_ns / 10, w->flush_ns[m->index]);
    }
}

static void take(struct machine *m, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        operation_apply(&m->durable, &m->operations[i]);
    }
    m->operation_count -= count;
    memmove(m->operations, m->operations + count, m->operation_count * sizeof *m->operations);
}

void disk_flush_end(struct world *w, struct machine *m)
{
    uint32_t count = m->flushing;
    m->flush_ns = 0;
    take(m, count);
    m->saved_watermark = m->flushing_watermark;
    m->saved_proved = m->flushing_proved;
    disk_flush_begin(w, m);
    machine_flushed(w, m);
}

void disk_crash(struct world *w, struct machine *m, bool power_cut)
{
    int64_t counted = w->memory ? m->log.end : disk_certain(w, m);
    bool all = !power_cut && (w->memory || prng_below(&w->disk, 2));
    uint32_t landed =
        all ? m->operation_count : (uint32_t)prng_between(&w->disk, 0, m->operation_count);
    take(m, landed);
    m->operation_count = 0;
    m->flush_ns = 0;
    assert(m->durable.end >= counted || (w->memory && power_cut));
    if (w->memory && power_cut) {
        m->lossy = true; /* nobody can tell: another boot without a clean mark */
        w->lossy |= bit(m->index);
    }
}

void disk_recover(struct machine *m)
{
    memcpy(m->log.records, m->durable.records, (size_t)m->durable.end * sizeof *m->log.records);
    m->log.start = m->durable.start;
    m->log.end = m->durable.end;
    m->high_watermark = m->saved_watermark < m->log.end ? m->saved_watermark : m->log.end;
    if (m->high_watermark < m->log.start) {
        m->high_watermark = m->log.start;
    }
    m->proved_epoch = m->saved_proved;
}

void disk_change(struct world *w, struct machine *m)
{
    assert(!m->up);
    m->disk = ++w->disks;
    m->durable.start = m->durable.end = 0;
    m->saved_watermark = 0;
    m->saved_proved = -1;
    w->lossy |= bit(m->index);
}

int64_t disk_epoch_end(const void *machine, int32_t epoch, int32_t *found)
{
    const struct machine *m = machine;
    for (int64_t i = m->log.end; i > m->log.start; i--) {
        if (m->log.records[i - 1].epoch <= epoch) {
            *found = m->log.records[i - 1].epoch;
            return i;
        }
    }
    *found = -1;
    return -1;
}
