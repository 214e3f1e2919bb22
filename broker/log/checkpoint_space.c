/* SPDX-License-Identifier: Apache-2.0 */

/* Room on disk for the checkpoint, before it is needed (L9).
 *
 * A checkpoint that meets a full disk would end the node, and without one the journal fills. So both
 * copies' files are made larger ahead of what is in the logs: an append is admitted only when the
 * checkpoint that will count it is sure to fit. What is known is a bound: exact when it is summed up
 * over all logs, then raised with each append until it meets the files' size, and summed up again.
 *
 *     append -> room? --no--> allocate copy 0 -> allocate copy 1 -> the append is tried again
 *                                  `--failed--> appends are refused (ERR_DISK_FULL) for a second
 *
 * What grows without appends (new logs, epochs) may still outgrow the files: then the checkpoint is
 * put off until there is room. */
#include "log/log_private.h"

#include "base/errors.h"

enum {
    SPACE_STEP = 65536,
    SPACE_RETRY_MS = 1000,
    SPACE_SLACK = 8192, /* rolls by time, padding */
    /* What one append may add: a producer, a batch of it, an epoch, a segment. */
    SPACE_APPEND = 9 + 30 + 12 + CHECKPOINT_SEGMENT_SIZE,
};

static void space_made(struct io_op *op, int64_t result);

/* The unfinished block may be anything up to a whole one. */
static uint64_t log_bound(const struct log *log)
{
    uint64_t segments = 0;
    for (const struct list *n = log->segments.next; n != &log->segments; n = n->next) {
        segments++;
    }
    return CHECKPOINT_LOG_SIZE + CHECKPOINT_NAME_MAX + epochs_size(&log->epochs) +
           producers_size(log->producers) + segments * CHECKPOINT_SEGMENT_SIZE + IO_BLOCK_SIZE;
}

static uint64_t set_bound(const struct log_set *set)
{
    uint64_t bound = CHECKPOINT_HEADER_SIZE + SPACE_SLACK;
    for (const struct list *n = set->logs.next; n != &set->logs; n = n->next) {
        bound += log_bound(container_of(n, struct log, link));
    }
    return bound;
}

static void space_start(struct log_set *set)
{
    struct checkpoint *k = &set->checkpoint;
    if (k->space.busy || io_now(set->io) < k->space.retry_ns) {
        return;
    }
    uint64_t bound = k->bound + k->bound / 2;
    k->space.target = (bound + SPACE_STEP - 1) / SPACE_STEP * SPACE_STEP;
    k->space.busy = true;
    k->space.copy = 0;
    k->space.op.done = space_made;
    set->in_flight++;
    io_allocate(set->io, &k->space.op, k->files[0], k->allocated, k->space.target - k->allocated);
}

static void space_made(struct io_op *op, int64_t result)
{
    struct log_set *set = container_of(op, struct log_set, checkpoint.space.op);
    struct checkpoint *k = &set->checkpoint;
    if (result == 0 && k->space.copy == 0) {
        k->space.copy = 1;
        io_allocate(set->io, op, k->files[1], k->allocated, k->space.target - k->allocated);
        return;
    }
    set->in_flight--;
    k->space.busy = false;
    if (result == 0) {
        k->allocated = k->space.target;
        k->wanted = k->wanted || k->deferred;
        k->deferred = false;
    } else {
        k->space.retry_ns = io_now(set->io) + SPACE_RETRY_MS * 1000000ull;
        log_warn(io_logger(set->io), "log",
                 "%s/journal-%u: no room for a larger checkpoint (%s): appends are refused until "
                 "there is",
                 set->options.root, set->shard, error_text(error_from_errno(result)));
    }
    log_set_progress(set);
}

int checkpoint_room(struct log_set *set)
{
    struct checkpoint *k = &set->checkpoint;
    if (k->bound + SPACE_APPEND > k->allocated) {
        k->bound = set_bound(set);
        if (k->bound + SPACE_APPEND > k->allocated) {
            space_start(set);
            return k->space.busy ? 0 : ERR_DISK_FULL;
        }
    }
    return 1;
}

void checkpoint_promise(struct log_set *set)
{
    set->checkpoint.bound += SPACE_APPEND;
}

void checkpoint_defer(struct log_set *set)
{
    struct checkpoint *k = &set->checkpoint;
    k->deferred = true;
    k->bound = set_bound(set);
    assert(k->bound > k->allocated);
    space_start(set);
    /* A set that closes does without it: the next start replays the journal. */
    log_set_progress(set);
}

/* Once a second. */
void checkpoint_try_again(struct log_set *set)
{
    struct checkpoint *k = &set->checkpoint;
    if (k->deferred && !k->space.busy) {
        k->deferred = false;
        log_set_want_checkpoint(set);
    }
}
