/* SPDX-License-Identifier: Apache-2.0 */

/* epochs: a short sorted array, searched by halving.
 *
 * Invariants
 *   E1  Both columns grow strictly from entry to entry; neither is negative.
 *   E2  There are at most EPOCHS_MAX entries. When the oldest goes, records before the new oldest
 *       have no known epoch: look-ups there answer -1, and whoever asks must compare otherwise.
 *
 * Encoding (the checkpoint that holds it has the checksum); tests/unit/log/epochs.c proves it.
 *
 *     OFFSET   SIZE  MEANING
 *          0      1  version 1
 *          1      4  number of entries, at most EPOCHS_MAX
 *          5   n*12  entries: epoch (4), start offset (8)
 */
#include "log/epochs.h"

#include "base/errors.h"

enum {
    EPOCHS_VERSION = 1,
    EPOCHS_HEADER_SIZE = 5,
    EPOCHS_ENTRY_SIZE = 12,
    EPOCHS_CAPACITY_MIN = 4,
};

/* How many entries are at or below the epoch. */
static uint32_t epochs_until_epoch(const struct epochs *e, int32_t epoch)
{
    uint32_t low = 0, high = e->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (e->entries[middle].epoch <= epoch) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* How many entries start at or below the offset. */
static uint32_t epochs_until_offset(const struct epochs *e, int64_t offset)
{
    uint32_t low = 0, high = e->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (e->entries[middle].start_offset <= offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void epochs_drop_oldest(struct epochs *e, uint32_t count)
{
    assert(count <= e->count);
    e->count -= count;
    memmove(e->entries, e->entries + count, e->count * sizeof *e->entries);
}

static int epochs_reserve(struct epochs *e, struct memory *m, uint32_t capacity)
{
    assert(capacity <= EPOCHS_MAX);
    if (capacity <= e->capacity) {
        return 0;
    }
    uint32_t wanted = e->capacity ? e->capacity * 2 : EPOCHS_CAPACITY_MIN;
    wanted = wanted < capacity ? capacity : wanted;
    wanted = wanted > EPOCHS_MAX ? EPOCHS_MAX : wanted;
    void *grown = memory_resize(m, e->entries, wanted * sizeof *e->entries);
    if (!grown) {
        return ERR_NO_MEMORY;
    }
    e->entries = grown;
    e->capacity = wanted;
    return 0;
}

int epochs_begin(struct epochs *e, struct memory *m, int32_t epoch, int64_t offset)
{
    assert(offset >= 0);
    if (epoch <= epochs_latest(e)) {
        return 0;
    }
    assert(epoch >= 0);
    uint32_t kept = offset > 0 ? epochs_until_offset(e, offset - 1) : 0;
    if (kept == EPOCHS_MAX) {
        epochs_drop_oldest(e, 1);
        kept--;
    }
    int error = epochs_reserve(e, m, kept + 1);
    if (error < 0) {
        return error;
    }
    e->count = kept;
    e->entries[e->count++] = (struct epoch_entry){epoch, offset};
    return 0;
}

int32_t epochs_latest(const struct epochs *e)
{
    return e->count ? e->entries[e->count - 1].epoch : -1;
}

int64_t epochs_end(const struct epochs *e, int32_t epoch, int64_t log_end, int32_t *found)
{
    uint32_t until = epochs_until_epoch(e, epoch);
    if (until == 0) {
        *found = -1;
        return -1;
    }
    *found = e->entries[until - 1].epoch;
    int64_t end = until < e->count ? e->entries[until].start_offset : log_end;
    assert(end >= e->entries[until - 1].start_offset);
    return end;
}

int32_t epochs_at(const struct epochs *e, int64_t offset)
{
    uint32_t until = epochs_until_offset(e, offset);
    return until ? e->entries[until - 1].epoch : -1;
}

void epochs_truncate_end(struct epochs *e, int64_t offset)
{
    if (offset <= 0) {
        e->count = 0;
        return;
    }
    e->count = epochs_until_offset(e, offset - 1);
}

void epochs_truncate_start(struct epochs *e, int64_t offset)
{
    uint32_t until = epochs_until_offset(e, offset);
    if (until == 0) {
        return;
    }
    epochs_drop_oldest(e, until - 1);
    e->entries[0].start_offset = offset;
    assert(e->count == 1 || e->entries[1].start_offset > offset);
}

size_t epochs_size(const struct epochs *e)
{
    return EPOCHS_HEADER_SIZE + (size_t)e->count * EPOCHS_ENTRY_SIZE;
}

void epochs_encode(const struct epochs *e, struct writer *w)
{
    assert(e->count <= EPOCHS_MAX);
    writer_u8(w, EPOCHS_VERSION);
    writer_be32(w, e->count);
    for (uint32_t i = 0; i < e->count; i++) {
        writer_be32(w, (uint32_t)e->entries[i].epoch);
        writer_be64(w, (uint64_t)e->entries[i].start_offset);
    }
}

int epochs_decode(struct epochs *out, struct memory *m, struct reader *r)
{
    uint8_t version = reader_u8(r);
    uint32_t count = reader_be32(r);
    if (r->failed || version != EPOCHS_VERSION || count > EPOCHS_MAX ||
        count > reader_left(r) / EPOCHS_ENTRY_SIZE) {
        return ERR_MALFORMED;
    }
    struct epochs e = {0};
    int error = epochs_reserve(&e, m, count);
    if (error < 0) {
        return error;
    }
    struct epoch_entry last = {-1, -1};
    for (uint32_t i = 0; i < count; i++) {
        struct epoch_entry next = {(int32_t)reader_be32(r), (int64_t)reader_be64(r)};
        if (next.epoch <= last.epoch || next.start_offset <= last.start_offset) {
            epochs_free(&e, m);
            return ERR_MALFORMED;
        }
        e.entries[e.count++] = last = next;
    }
    assert(!r->failed && e.count == count);
    *out = e;
    return 0;
}

void epochs_free(struct epochs *e, struct memory *m)
{
    memory_free(m, e->entries);
    *e = (struct epochs){0};
}
