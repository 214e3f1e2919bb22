/* SPDX-License-Identifier: Apache-2.0 */

/* Appending: a batch is admitted when there is room for it everywhere, then nothing can refuse it.
 *
 *     log_append -> waiting (of its log, in order) -> admit: sequence, roll, space on disk, tail,
 * journal
 *                -> appended() -> group settles -> done()
 *
 * What lacks room waits, first come first served within its log; logs take turns. A log that waits
 * for its own file does not hold up the others. Admission either happens whole or changes nothing
 * (L9). */
#include "log/log_private.h"

#include "base/errors.h"
#include "log/batch_fields.h"

#define PRODUCERS_WALK_NS 1000000000ull

static void append_done_soon(struct log_append *a, int error);

/* What admission needs of a batch; the bytes were checked by the caller (bounds, CRC, counts). */
struct admission {
    struct batch_fields fields;
    int64_t base_offset;
    int32_t leader_epoch;
    uint32_t size;
    bool gap; /* offsets are left out in front of it */
};

static bool must_roll(const struct log *log, const struct segment *s, uint32_t size)
{
    if (s->size == 0 || log->ends_in_gap) {
        return false; /* the next one begins where the last batch of this one ends */
    }
    uint64_t limit = log->config.segment_bytes;
    limit = limit > INT32_MAX ? INT32_MAX : limit;
    if ((uint64_t)s->size + size > limit) {
        return true;
    }
    int64_t age = io_wall_ms(log->set->io) - s->last_append_ms;
    return s->last_append_ms > 0 && log->config.segment_ms > 0 && age > log->config.segment_ms;
}

/* The segment that the batch goes to: the active one, or the next. NULL: no memory, or the
 * directory cannot be read. */
static struct segment *segment_to_fill(struct log *log, uint32_t size)
{
    struct segment *s = log_active(log);
    if (s && must_roll(log, s, size)) {
        if (log_tidy(log)) {
            return NULL;
        }
        segment_seal(s);
        s = NULL;
    }
    if (!s) {
        s = segment_new(log, log->end_offset);
    }
    if (s && s->last_append_ms == 0) {
        s->last_append_ms = io_wall_ms(log->set->io);
    }
    return s;
}

/* P3: batches follow each other, and epochs do not fall. */
static int check_place(const struct log *log, const struct log_append *a, struct admission *x)
{
    if (x->leader_epoch < epochs_latest(&log->epochs)) {
        if (a->as_leader) {
            return ERR_OFFSET_OUT_OF_RANGE;
        }
        if (log->end_offset > 0 && x->leader_epoch < epochs_at(&log->epochs, log->end_offset - 1)) {
            return ERR_FENCED_LEADER_EPOCH;
        }
    }
    if (x->base_offset == log->end_offset) {
        return 0;
    }
    bool behind = x->base_offset > log->end_offset;
    x->gap = behind && a->priv.gaps;
    return x->gap || (behind && log_mutant(log->set, LOG_MUTANT_ANY_ORDER))
               ? 0
               : ERR_OFFSET_OUT_OF_RANGE;
}

static int check_sequence(struct log_append *a, const struct admission *x, bool *duplicate)
{
    if (!a->as_leader || x->fields.producer_id < 0 || x->fields.base_sequence < 0) {
        return 0;
    }
    struct producer_batch b = batch_fields_producer(&x->fields), original;
    int verdict = producers_check(a->priv.log->producers, &b, &original);
    if (verdict == 1) {
        *duplicate = true;
        a->duplicate = true;
        a->base_offset = original.base_offset;
        a->end_offset = original.last_offset + 1;
        return 0;
    }
    return verdict;
}

int64_t log_producers_expired_ms(const struct log_set *set)
{
    return io_wall_ms(set->io) - (int64_t)set->options.producer_expiration_ms;
}

static void tell_producers_full(struct log_set *set, bool room)
{
    if (!room && !set->producers_told) {
        log_warn(io_logger(set->io), "log",
                 "%u producer ids are remembered, all that this shard has room for, and none has "
                 "expired: where this node leads new ones are refused, elsewhere the oldest are "
                 "forgotten; lower producer.id.expiration.ms or raise limits.memory",
                 (unsigned)producer_table_count(&set->producers));
    }
    set->producers_told = !room;
}

/* What has expired anywhere in the shard gives room, looked for at most once a second: it is a walk over all
 * producers. True: there is some. */
static bool expire_for_room(struct log_set *set)
{
    uint64_t now = io_now(set->io);
    if (now < set->producers_next_ns) {
        return false;
    }
    set->producers_next_ns = now + PRODUCERS_WALK_NS;
    uint32_t before = producer_table_count(&set->producers);
    producer_table_expire(&set->producers, log_producers_expired_ms(set));
    bool room = producer_table_count(&set->producers) < before;
    tell_producers_full(set, room);
    return room;
}

/* What a leader or an earlier life has taken cannot be refused: the producer that was heard of longest ago is
 * forgotten, as if it had expired. Where not even that gives memory, an older life's state must still come up:
 * five batches are kept, which need no more than is there, or the producer stays unknown. */
static int remember_surely(struct log *log, const struct producer_batch *b, int64_t settled,
                           int error)
{
    struct log_set *set = log->set;
    if (error == ERR_BUSY && producer_table_forget_oldest(&set->producers)) {
        error = producers_update(&log->producers, &set->producers, b, settled);
    }
    if (error == ERR_NO_MEMORY && set->recovering) {
        error = producers_update(&log->producers, &set->producers, b, INT64_MAX);
    }
    if (error == ERR_NO_MEMORY && set->recovering) {
        (void)producer_table_forget_oldest(&set->producers);
        error = producers_update(&log->producers, &set->producers, b, INT64_MAX);
    }
    return set->recovering ? 0 : error;
}

static int remember_producer(struct log *log, const struct admission *x, bool as_leader)
{
    struct log_set *set = log->set;
    struct producer_batch b = batch_fields_producer(&x->fields);
    b.base_offset = x->base_offset;
    b.last_offset = x->base_offset + x->fields.last_offset_delta;
    b.heard_ms = set->recovering ? 0 : io_wall_ms(set->io);
    int64_t settled = log_mutant(set, LOG_MUTANT_FIVE_ONLY) ? INT64_MAX : log->high_watermark;
    int error = producers_update(&log->producers, &set->producers, &b, settled);
    bool full = error == ERR_BUSY || (error == ERR_NO_MEMORY && set->recovering);
    if (full && expire_for_room(set)) {
        error = producers_update(&log->producers, &set->producers, &b, settled);
    }
    if (error && !as_leader) {
        error = remember_surely(log, &b, settled, error);
    }
    return error == ERR_BUSY ? ERR_THROTTLING_QUOTA_EXCEEDED : error;
}

/* Everything that remembers the batch beside its bytes. May fail only before anything has changed.
 */
static int remember(struct log *log, struct segment *s, const struct admission *x, bool as_leader)
{
    struct log_set *set = log->set;
    int error = 0;
    if (x->leader_epoch < epochs_latest(&log->epochs)) {
        /* This replica was to lead in a newer epoch, and has written nothing. */
        epochs_truncate_end(&log->epochs, log->end_offset);
    }
    if (x->leader_epoch > epochs_latest(&log->epochs)) {
        error = epochs_begin(&log->epochs, set->memory, x->leader_epoch, x->base_offset);
    }
    if (!error && x->fields.producer_id >= 0) {
        error = remember_producer(log, x, as_leader);
    }
    if (error) {
        return error;
    }
    if (index_add(&s->index, set->memory, x->base_offset, s->size, x->size, x->fields.max_timestamp,
                  log->config.index_interval_bytes)) {
        log_debug(io_logger(set->io), "log", "index of %s-%d stays sparse: no memory", log->topic,
                  (int)log->partition);
    }
    return 0;
}

static void put_batch(struct log *log, struct segment *s, const struct admission *x,
                      struct iovec *pieces, unsigned count)
{
    uint32_t position = s->size;
    if (position == 0) {
        s->first_timestamp = x->fields.max_timestamp;
    }
    tail_put(s, pieces, count);
    assert(s->size == position + x->size);
    s->gaps = s->gaps || x->gap;
    log->ends_in_gap = false;
    log->end_offset = x->base_offset + x->fields.last_offset_delta + 1;
    log->size_bytes += x->size;
    if (x->fields.max_timestamp > s->max_timestamp) {
        s->max_timestamp = x->fields.max_timestamp;
    }
    if (x->fields.max_timestamp > log->max_timestamp) {
        log->max_timestamp = x->fields.max_timestamp;
    }
    segment_write_behind(s, false);
}

static bool journaled(const struct log *log, const struct log_append *a)
{
    return a->waited || !log_mutant(log->set, LOG_MUTANT_UNWAITED_SKIP);
}

static uint64_t journal_batch(struct log *log, const struct segment *s, uint32_t position,
                              const struct admission *x, const struct iovec *pieces, unsigned count,
                              struct log_append *a)
{
    struct log_set *set = log->set;
    struct entry e = {.kind = ENTRY_APPEND,
                      .topic_id = log->topic_id,
                      .partition = log->partition,
                      .gap = x->gap,
                      .leader_epoch = x->leader_epoch,
                      .offset = x->base_offset,
                      .segment_base = s->base_offset,
                      .position = position};
    if (log->config.durability == LOG_MEMORY) {
        mapped_append(&set->mapped, &e, pieces, count);
        return 0;
    }
    if (!journaled(log, a)) {
        return 0;
    }
    return journal_append(&set->journal, &e, pieces, count, a->priv.rest ? NULL : &a->priv.waiter);
}

static bool journal_has_room(struct log *log, uint32_t size)
{
    struct log_set *set = log->set;
    return log->config.durability == LOG_MEMORY ? mapped_room(&set->mapped, size)
                                                : journal_room(&set->journal, size, false);
}

/* 1: admitted or answered; 0: no room yet; or an error: refused. */
static int admit(struct log *log, struct log_append *a)
{
    struct log_set *set = log->set;
    struct admission x = {.size = (uint32_t)a->batch.size};
    batch_fields_read(&x.fields, a->batch.data);
    x.base_offset = a->as_leader ? log->end_offset : x.fields.base_offset;
    x.leader_epoch = a->as_leader ? a->leader_epoch : x.fields.leader_epoch;
    if (log->controls) {
        return 0; /* a truncation looks for its place */
    }
    bool duplicate = false;
    int error = check_place(log, a, &x);
    error = error ? error : check_sequence(a, &x, &duplicate);
    if (error || duplicate) {
        return error ? error : 1;
    }
    struct segment *s = segment_to_fill(log, x.size);
    if (!s) {
        return ERR_NO_MEMORY;
    }
    int space = log_space(log, s, (uint64_t)s->size + x.size);
    space = space <= 0 ? space : checkpoint_room(set);
    if (space <= 0) {
        return space;
    }
    if (log->config.durability == LOG_MEMORY && set->mapped.failed) {
        return ERR_DISK_FULL;
    }
    if (!journal_has_room(log, x.size) || !tail_reserve(s, x.size)) {
        log_set_want_checkpoint(set);
        return 0;
    }
    error = remember(log, s, &x, a->as_leader);
    if (error) {
        return error;
    }
    uint8_t stamped[BATCH_STAMP_SIZE];
    memcpy(stamped, a->batch.data, sizeof stamped);
    batch_fields_stamp(stamped, x.base_offset, x.leader_epoch);
    struct iovec pieces[2] = {
        {stamped, sizeof stamped},
        {(void *)(a->batch.data + sizeof stamped), a->batch.size - sizeof stamped}};
    a->base_offset = x.base_offset;
    a->end_offset = x.base_offset + x.fields.last_offset_delta + 1;
    bool waits = log->config.durability == LOG_FSYNC && journaled(log, a);
    /* Last, and followed by no effect on the outside: what a kill leaves in the mapped journal has been
     * handed to its caller. */
    uint32_t position = s->size;
    checkpoint_promise(set);
    put_batch(log, s, &x, pieces, 2);
    journal_batch(log, s, position, &x, pieces, 2, a);
    if (!waits && a->priv.rest == 0) {
        append_done_soon(a, 0);
    }
    return 1;
}

static void append_settled(struct log_waiter *w)
{
    struct log_append *a = container_of(w, struct log_append, priv.waiter);
    struct log *log = a->priv.log;
    int64_t end = a->end_offset;
    if (log->config.durability == LOG_MEMORY) { /* whatever is in it is durable; truncated since */
        end = end > log->end_offset ? log->end_offset : end;
    }
    end = log->cuts && end > log->cut_offset ? log->cut_offset : end;
    if (end > log->durable_offset) {
        log->durable_offset = end;
        log_moved(log);
    }
    a->done(a, a->priv.error);
}

static void append_done_soon(struct log_append *a, int error)
{
    a->priv.error = error;
    log_finish_later(a->priv.log->set, &a->priv.waiter);
}

/* It is answered when what it names is durable, behind all that is in the journal: a duplicate's original
 * (H18), or the batches of a follower that were taken before one that could not be. */
static void settled_wait(struct log *log, struct log_append *a, int error)
{
    a->priv.error = error;
    if (a->end_offset <= log->durable_offset || log->config.durability == LOG_MEMORY ||
        !journal_wait(&log->set->journal, &a->priv.waiter)) {
        append_done_soon(a, error);
    }
}

static void append_fail(struct log *log, struct log_append *a, int error)
{
    if (a->end_offset > log->end_offset) { /* truncated since */
        a->end_offset = log->end_offset;
    }
    settled_wait(log, a, error);
}

/* The next of a follower's batches, whose bounds are known to hold. */
static void append_next(struct log_append *a)
{
    const uint8_t *next = a->batch.data + a->batch.size;
    size_t size = (size_t)get_be32(next + BATCH_AT_LENGTH) + BATCH_AT_EPOCH;
    assert(size <= a->priv.rest);
    a->batch = bytes_of(next, size);
    a->priv.rest -= size;
}

/* Tries the first waiting append of `log`; true when it left the queue, or a part of it did. */
static bool append_step(struct log *log)
{
    struct list *node = list_pop(&log->waiting);
    struct log_append *a = container_of(node, struct log_append, priv.waiter.link);
    int verdict = admit(log, a);
    if (verdict == 0) {
        list_append(log->waiting.next, node); /* it stays the first */
        return false;
    }
    if (verdict > 0 && a->priv.rest) {
        append_next(a);
        list_append(log->waiting.next, node);
        return true;
    }
    log->set->waiting_appends--;
    if (verdict < 0) {
        append_fail(log, a, verdict);
        return true;
    }
    if (a->duplicate) {
        settled_wait(log, a, 0);
    }
    if (a->appended) {
        a->appended(a);
    }
    return true;
}

/* Runs what waits until nothing more finds room. */
void log_pump(struct log_set *set)
{
    struct list blocked;
    list_init(&blocked);
    struct list *node;
    while ((node = list_pop(&set->runnable))) {
        struct log *log = container_of(node, struct log, runnable);
        while (!list_empty(&log->waiting) && append_step(log)) {
        }
        if (!list_empty(&log->waiting)) {
            list_append(&blocked, &log->runnable);
        }
    }
    list_splice(&set->runnable, &blocked);
}

/* What is larger would wait for ever: it fits into no group, no ring, no tail. */
uint64_t log_batch_limit(const struct log *log)
{
    const struct log_options *o = &log->set->options;
    uint64_t limit = o->journal_file_bytes - JOURNAL_HEADER_SIZE - JOURNAL_CONTROL_RESERVE;
    uint64_t group = (uint64_t)JOURNAL_PIECES_MAX * JOURNAL_PIECE_SIZE - IO_BLOCK_SIZE;
    limit = limit < group ? limit : group;
    uint64_t ring = o->memory_journal_bytes / 2 - IO_BLOCK_SIZE; /* an end of it may be left out */
    limit = log->config.durability == LOG_MEMORY && ring < limit ? ring : limit;
    uint64_t tail = o->tail_bytes_max / 2;
    uint64_t slices = (uint64_t)(LOG_READ_SLICES_MAX - 1) * o->chunk_bytes_max;
    limit = tail < limit ? tail : limit;
    return slices < limit ? slices : limit;
}

void log_append_refused(struct log *log, struct log_append *a, int error)
{
    a->priv.log = log;
    a->priv.waiter.settled = append_settled;
    a->end_offset = 0;
    list_init(&a->priv.waiter.link);
    append_done_soon(a, error);
}

void log_append(struct log *log, struct log_append *a)
{
    a->priv.rest = 0;
    log_append_batches(log, a);
}

void log_append_batches(struct log *log, struct log_append *a)
{
    assert(log->magic == LOG_MAGIC && log->opened && !log->set->closing);
    assert(a->done && a->batch.size >= LOG_BATCH_HEADER && (a->priv.rest == 0 || !a->as_leader));
    a->priv.log = log;
    a->priv.waiter.settled = append_settled;
    a->priv.error = 0;
    a->end_offset = 0;
    a->duplicate = false;
    a->base_offset = -1;
    list_init(&a->priv.waiter.link);
    struct log_set *set = log->set;
    if (a->batch.size > log_batch_limit(log) || log->removing) {
        append_done_soon(a, log->removing ? ERR_CLOSED : ERR_MESSAGE_TOO_LARGE);
        return;
    }
    list_append(&log->waiting, &a->priv.waiter.link);
    set->waiting_appends++;
    while (list_empty(&log->runnable) && !list_empty(&log->waiting)) {
        if (!append_step(log)) {
            list_append(&set->runnable, &log->runnable);
        }
    }
}

void log_fail_waiting(struct log *log, int error)
{
    struct list *node;
    while ((node = list_pop(&log->waiting))) {
        log->set->waiting_appends--;
        append_fail(log, container_of(node, struct log_append, priv.waiter.link), error);
    }
    list_remove(&log->runnable);
}

int log_replay_append(struct log *log, const struct entry *e)
{
    if (e->body_size < LOG_BATCH_HEADER ||
        (e->gap ? e->offset <= log->end_offset : e->offset != log->end_offset)) {
        return ERR_DAMAGED;
    }
    struct admission x = {.size = e->body_size, .leader_epoch = e->leader_epoch, .gap = e->gap};
    batch_fields_read(&x.fields, e->body);
    x.base_offset = e->offset;
    if (x.fields.base_offset != e->offset || x.fields.last_offset_delta < 0 ||
        (uint64_t)e->offset + (uint64_t)x.fields.last_offset_delta >= NUMBER_MAX ||
        (uint32_t)x.fields.length + 12 != e->body_size) {
        return ERR_DAMAGED;
    }
    struct segment *s = log_active(log);
    if (s && s->base_offset != e->segment_base) {
        if (e->segment_base != log->end_offset) {
            return ERR_DAMAGED;
        }
        segment_seal(s);
        s = NULL;
    }
    if (!s) {
        if (e->segment_base != log->end_offset) {
            return ERR_DAMAGED;
        }
        s = segment_new(log, e->segment_base);
        if (!s) {
            return ERR_NO_MEMORY;
        }
    }
    if (s->size != e->position) {
        return ERR_DAMAGED;
    }
    int space = log_space(log, s, (uint64_t)s->size + x.size);
    if (space <= 0) {
        return space;
    }
    if (!tail_reserve(s, x.size)) {
        return 0;
    }
    int error = remember(log, s, &x, false);
    if (error) {
        return error;
    }
    struct iovec piece = {(void *)e->body, e->body_size};
    put_batch(log, s, &x, &piece, 1);
    log->durable_offset = log->end_offset;
    return 1;
}

void log_begin_epoch(struct log *log, int32_t epoch)
{
    if (epochs_begin(&log->epochs, log->set->memory, epoch, log->end_offset)) {
        log_warn(io_logger(log->set->io), "log", "%s-%d: no memory to note leader epoch %d",
                 log->topic, (int)log->partition, (int)epoch);
    }
}

int32_t log_last_epoch(const struct log *log)
{
    return log->end_offset > log->start_offset ? epochs_at(&log->epochs, log->end_offset - 1) : -1;
}

int64_t log_epoch_end(const struct log *log, int32_t epoch, int32_t *found)
{
    return epochs_end(&log->epochs, epoch, log->end_offset, found);
}

int64_t log_epoch_end_told(const struct log *log, int32_t epoch, int32_t *found)
{
    int64_t end = log_epoch_end(log, epoch, found);
    if (*found >= 0 || epoch < 0) {
        return end;
    }
    *found = epoch;
    return log->epochs.count ? log->epochs.entries[0].start_offset : log->end_offset;
}
