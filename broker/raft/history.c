/* SPDX-License-Identifier: Apache-2.0 */

/* Epochs and voters of the log, by offset. An epoch in which nothing was written leaves no trace. When the
 * front of the log goes, so do the epochs that lie in it; when there are more than fit, the oldest: who asks
 * with such an epoch is sent the snapshot. */
#include "raft/raft_private.h"

#include <string.h>

struct raft_end history_end(const struct raft_history *h)
{
    int32_t epoch = h->epoch_count ? h->epochs[h->epoch_count - 1].epoch : h->snapshot.epoch;
    return (struct raft_end){epoch, h->end};
}

const struct raft_voters *history_voters(const struct raft_history *h)
{
    assert(h->set_count > 0);
    return &h->sets[h->set_count - 1].voters;
}

int64_t history_voters_from(const struct raft_history *h)
{
    return h->sets[h->set_count - 1].from;
}

const struct raft_voters *history_voters_before(const struct raft_history *h)
{
    return h->set_count > 1 ? &h->sets[h->set_count - 2].voters : NULL;
}

static void epoch_begin(struct raft_history *h, int32_t epoch, int64_t start)
{
    if (h->epoch_count == RAFT_EPOCHS_MAX) {
        memmove(h->epochs, h->epochs + 1, (RAFT_EPOCHS_MAX - 1) * sizeof *h->epochs);
        h->epoch_count--;
        h->forgotten = true;
    }
    h->epochs[h->epoch_count++] = (struct raft_epoch){epoch, start};
}

/* A leader changes the voters when the change before is committed (R8): what is older than that will never
 * be in force again. */
static void voters_begin(struct raft_history *h, int64_t from, const struct raft_voters *voters)
{
    if (h->set_count == RAFT_VOTER_SETS_MAX) {
        memmove(h->sets, h->sets + 1, (RAFT_VOTER_SETS_MAX - 1) * sizeof *h->sets);
        h->set_count--;
    }
    h->sets[h->set_count++] = (struct raft_voter_set){from, *voters};
}

static bool voters_good(const struct raft_voters *v)
{
    for (uint32_t i = 0; i < v->count && v->count <= RAFT_VOTERS_MAX; i++) {
        for (uint32_t j = 0; j < i; j++) {
            if (v->ids[i].node == v->ids[j].node) {
                return false;
            }
        }
    }
    return v->count > 0 && v->count <= RAFT_VOTERS_MAX;
}

/* A leader that tells where voters are reached names those that are in force: nothing changes, and the sets that a
 * truncation may bring back stay remembered. */
static bool voters_same(const struct raft_voters *a, const struct raft_voters *b)
{
    bool same = a->count == b->count;
    for (uint32_t i = 0; same && i < a->count; i++) {
        same = raft_id_equal(a->ids[i], b->ids[i]);
    }
    return same;
}

uint32_t history_append(struct raft_history *h, const struct raft_batch *batches, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct raft_batch *b = &batches[i];
        int32_t last = history_end(h).epoch;
        if (b->base != h->end || b->end <= b->base || b->epoch < last || b->epoch < 0 ||
            (b->voters && !voters_good(b->voters))) {
            return i;
        }
        if (b->epoch > last) {
            epoch_begin(h, b->epoch, b->base);
        }
        if (b->voters && !voters_same(b->voters, history_voters(h))) {
            voters_begin(h, b->base, b->voters);
        }
        h->end = b->end;
    }
    return count;
}

void history_truncate(struct raft_history *h, int64_t offset)
{
    assert(offset >= h->snapshot.offset && offset <= h->end);
    while (h->epoch_count && h->epochs[h->epoch_count - 1].start >= offset) {
        h->epoch_count--;
    }
    assert(h->epoch_count ||
           !h->forgotten); /* what is committed is not truncated, and is so long */
    while (h->set_count > 1 && h->sets[h->set_count - 1].from >= offset) {
        h->set_count--;
    }
    h->end = offset;
}

bool history_epoch_end(const struct raft_history *h, int32_t epoch, struct raft_end *out)
{
    int64_t end = h->end;
    for (uint32_t i = h->epoch_count; i > 0; i--) {
        if (h->epochs[i - 1].epoch <= epoch) {
            *out = (struct raft_end){h->epochs[i - 1].epoch, end};
            return true;
        }
        end = h->epochs[i - 1].start;
    }
    *out = (struct raft_end){h->snapshot.epoch, end};
    return h->snapshot.epoch <= epoch && !h->forgotten;
}

void history_begin_at(struct raft_history *h, struct raft_end snapshot)
{
    assert(snapshot.offset > h->snapshot.offset && snapshot.offset <= h->end);
    uint32_t gone = 0;
    while (gone < h->epoch_count && h->epochs[gone].epoch <= snapshot.epoch) {
        gone++;
    }
    h->forgotten = h->forgotten && gone == 0;
    memmove(h->epochs, h->epochs + gone, (h->epoch_count - gone) * sizeof *h->epochs);
    h->epoch_count -= gone;
    h->snapshot = snapshot;
}

void history_reset(struct raft_history *h, struct raft_end snapshot,
                   const struct raft_voters *voters)
{
    assert(voters->count <= RAFT_VOTERS_MAX);
    h->snapshot = snapshot;
    h->epoch_count = 0;
    h->forgotten = false;
    h->set_count = 1;
    h->sets[0] = (struct raft_voter_set){snapshot.offset - 1, *voters};
    h->end = snapshot.offset;
}
