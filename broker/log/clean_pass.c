/* SPDX-License-Identifier: Apache-2.0 */

/* A pass of the cleaner over one log.
 *
 *     TELL   segments from the clean offset on: each key's last offset goes into the map, until the map
 *            is full or the limit is reached
 *     COPY   groups of segments from the beginning of the log up to the map's end: what is kept goes
 *            into one new segment of at most segment.bytes; then REPLACE (replace.c); the next group
 *
 * One piece is worked on at a time: read -> work away from the loop (clean_batch.c) -> written, at the
 * pace that is configured, while the next is read ahead. So foreground reads and writes wait for two pieces
 * at most; and where the processor is scarce, the work stands behind everybody else's.
 *
 *     pass_next -> piece_there -> worked -+-> (COPY) rewrite_put -> group_put -+-> pass_next
 *                                        `------------------------------------'
 *
 * Groups are replaced in the order of their offsets: when a crash comes between two, what an older group
 * has lost is still superseded by what stands in the younger.
 *
 * A pass gives up at any step and leaves the log as it is: when the log is removed or the set closed, when
 * a truncation or a new start has changed what it works on, when the disk is near its reserve (appends
 * come first), or without memory. Damage, and what cannot be read, it never touches: the log is then left
 * uncompacted, and its log line says where. A failed write or sync ends the node, as everywhere (L11). */
#include "log/clean_private.h"

#include "base/errors.h"

#include <inttypes.h>

enum {
    MAP_BYTES_MIN = 65536,
    PAUSE_MS_MAX = 1000,
};

static void work_begin(struct cleaning *p);

/* --- the end ---------------------------------------------------------------------------------- */

static void source_drop(struct cleaning *p)
{
    if (p->source) {
        p->source->readers--;
        p->source = NULL;
    }
}

static void pass_free(struct cleaning *p)
{
    struct memory *m = set_of(p)->memory;
    clean_map_deinit(&p->map, m);
    memory_free(m, p->in[0]);
    memory_free(m, p->in[1]);
    memory_free(m, p->out);
    memory_free(m, p->kept_last);
    memory_free(m, p->epoch_starts);
    memory_free(m, p);
}

static void pass_say(const struct cleaning *p, int error)
{
    struct log *log = p->log;
    const struct logger *l = io_logger(set_of(p)->io);
    uint64_t ms = (io_now(set_of(p)->io) - p->started_ns) / 1000000;
    if (error && error != ERR_CLOSED) {
        log_warn(l, "log", "%s-%d: compaction put off after %u of its groups: %s", log->topic,
                 (int)log->partition, p->groups, error_text(error));
    } else if (p->groups > 0) {
        log_info(l, "log",
                 "%s-%d: compacted up to offset %" PRId64 ": %" PRIu64 " bytes are %" PRIu64
                 " now, %" PRIu64 " keys, %" PRIu64 " ms%s",
                 log->topic, (int)log->partition, p->at, p->before_bytes, p->after_bytes,
                 p->map.count, ms, error ? ", then given up" : "");
    }
    if (p->work.without_key > 0) {
        log_warn(l, "log", "%s-%d: %" PRIu64 " records without key were compacted away", log->topic,
                 (int)log->partition, p->work.without_key);
    }
}

static void pass_ended(struct cleaning *p)
{
    pass_end(p, p->end_error);
}

void pass_end(struct cleaning *p, int error)
{
    struct log_set *set = set_of(p);
    if (!io_op_idle(&p->ahead.op)) {
        p->end_error = error;
        p->ahead.then = pass_ended;
        return;
    }
    error = p->yielding && error == ERR_CLOSED ? ERR_DISK_FULL : error;
    bool nothing_done = p->groups == 0;
    rewrite_drop(&p->group);
    source_drop(p);
    pass_say(p, error);
    p->log->cleaning = NULL;
    set->cleaning = NULL;
    set->in_flight--;
    pass_free(p);
    if (error || nothing_done) {
        set->cleaner_next_ns = io_now(set->io) + set->options.cleaner_backoff_ms * 1000000;
    }
    log_set_progress(set);
    cleaner_look(set);
}

/* What stands there must not be touched; the next configuration or start tries again. */
static void pass_refuse(struct cleaning *p, uint32_t position, int error, const char *what)
{
    char path[IO_PATH_MAX];
    segment_path(p->source, path, ".log");
    p->log->uncleanable = true;
    log_error(
        io_logger(set_of(p)->io), "log",
        "%s at position %u: %s; the partition is not compacted until it is configured anew or "
        "the broker starts again",
        path, position, what);
    if (error == ERR_DAMAGED) {
        segment_is_damaged(p->source, position);
    }
    pass_end(p, error);
}

bool pass_given_up(const struct cleaning *p)
{
    const struct log *log = p->log;
    if (log->removing || log->set->closing || !log->config.compact || p->yielding) {
        return true;
    }
    if (p->group.run.fresh) {
        return !replacement_holds(&p->group.run);
    }
    return p->source && (p->source->removed || p->source->state != SEGMENT_SEALED ||
                         segment_end_offset(p->source) <= log->start_offset);
}

/* --- reading ---------------------------------------------------------------------------------- */

void source_take(struct cleaning *p, struct segment *s)
{
    assert(!p->source && s->state == SEGMENT_SEALED && io_op_idle(&p->ahead.op));
    p->source = s;
    s->readers++;
    p->position = 0;
    p->ahead.segment = NULL;
    p->work.expected_offset = s->base_offset;
    p->work.gaps = s->gaps;
    p->work.end_offset = segment_end_offset(s);
}

static uint32_t source_part(const struct cleaning *p, uint32_t from, int64_t result)
{
    uint64_t end = from + (uint64_t)result;
    return end < p->source->size ? (uint32_t)end : p->source->size;
}

/* The next piece is read while this one is worked on. */
static void ahead_begin(struct cleaning *p)
{
    uint32_t from = p->in_from + (uint32_t)p->in_piece;
    p->ahead.segment = NULL;
    if (from >= p->source->size || p->in_end < from) {
        return;
    }
    p->ahead.segment = p->source;
    p->ahead.from = from;
    io_read(set_of(p)->io, &p->ahead.op, p->source->file, p->in[1 - p->in_now] + p->in_head,
            p->in_piece, from);
}

/* Bytes from p->position to p->in_end are in the buffer. */
static void piece_there(struct cleaning *p)
{
    if (p->in_end <= p->position) {
        pass_refuse(p, p->position, ERR_DAMAGED, "the file ends before its known end");
        return;
    }
    p->work.data = p->in[p->in_now] + p->in_head + p->position - p->in_from;
    p->work.size = p->in_end - p->position;
    ahead_begin(p);
    work_begin(p);
}

static void piece_read(struct io_op *op, int64_t result)
{
    struct cleaning *p = container_of(op, struct cleaning, op);
    if (result < 0) {
        pass_end(p, ERR_DISK_FAILED);
        return;
    }
    p->moved_bytes += (uint64_t)result;
    p->in_end = source_part(p, p->in_from, result);
    piece_there(p);
}

/* The piece that was read ahead follows what is left over of the one before. */
static void ahead_take(struct cleaning *p)
{
    if (p->ahead.result < 0) {
        pass_end(p, ERR_DISK_FAILED);
        return;
    }
    p->moved_bytes += (uint64_t)p->ahead.result;
    size_t left = p->in_end - p->position;
    assert(p->in_end == p->ahead.from && left <= p->in_head);
    const uint8_t *old = p->in[p->in_now] + p->in_head + p->position - p->in_from;
    p->in_now = 1 - p->in_now;
    memcpy(p->in[p->in_now] + p->in_head - left, old, left);
    p->in_from = p->ahead.from;
    p->in_end = source_part(p, p->ahead.from, p->ahead.result);
    p->ahead.segment = NULL;
    piece_there(p);
}

static void ahead_done(struct io_op *op, int64_t result)
{
    struct cleaning *p = container_of(op, struct cleaning, ahead.op);
    void (*then)(struct cleaning * p) = p->ahead.then;
    p->ahead.result = result;
    p->ahead.then = NULL;
    if (then) {
        then(p);
    }
}

/* True: it is in flight, and `then` will be called. */
static bool ahead_wait(struct cleaning *p, void (*then)(struct cleaning *p))
{
    if (io_op_idle(&p->ahead.op)) {
        return false;
    }
    assert(!p->ahead.then);
    p->ahead.then = then;
    return true;
}

static void piece_begin(struct cleaning *p)
{
    if (pass_given_up(p)) {
        pass_end(p, ERR_CLOSED);
        return;
    }
    int error = segment_open(p->source);
    if (error) {
        pass_end(p, error);
        return;
    }
    if (ahead_wait(p, piece_begin)) {
        return;
    }
    if (p->ahead.segment == p->source && p->ahead.from == p->in_end && p->position <= p->in_end &&
        p->in_end - p->position <= p->in_head) {
        ahead_take(p);
        return;
    }
    p->ahead.segment = NULL;
    p->in_from = p->position / IO_BLOCK_SIZE * IO_BLOCK_SIZE;
    p->op.done = piece_read;
    io_read(set_of(p)->io, &p->op, p->source->file, p->in[p->in_now] + p->in_head, p->in_piece,
            p->in_from);
}

static void paused(struct io_op *op, int64_t result)
{
    struct cleaning *p = container_of(op, struct cleaning, op);
    (void)result;
    p->pausing = false;
    pass_next(p);
}

/* True: what was moved is ahead of its pace, and the pass goes on later. */
static bool pace(struct cleaning *p)
{
    struct log_set *set = set_of(p);
    uint64_t rate = set->options.cleaner_bytes_per_second;
    if (rate == 0) {
        return false;
    }
    uint64_t now = io_now(set->io);
    uint64_t due = p->started_ns + (uint64_t)((double)p->moved_bytes / (double)rate * 1e9);
    if (due <= now) {
        return false;
    }
    uint64_t most = now + PAUSE_MS_MAX * 1000000ull;
    p->op.done = paused;
    p->pausing = true;
    io_timer(set->io, &p->op, due < most ? due : most);
    return true;
}

/* --- which segment comes next ----------------------------------------------------------------- */

struct segment *segment_at(const struct log *log, int64_t base_offset)
{
    for (const struct list *n = log->segments.next; n != &log->segments; n = n->next) {
        struct segment *s = container_of(n, struct segment, link);
        if (s->base_offset >= base_offset) {
            return s;
        }
    }
    return NULL;
}

/* TELL. False: the map is done. */
static bool tell_next(struct cleaning *p)
{
    struct segment *s = segment_for_offset(p->log, p->at);
    s = s ? s : segment_at(p->log, p->at);
    if (p->work.full || !s || segment_end_offset(s) > p->limit_offset ||
        s->state != SEGMENT_SEALED) {
        return false;
    }
    p->at = segment_end_offset(s);
    source_take(p, s);
    return true;
}

/* A segment has been read whole. False: the pass has ended. */
static bool source_end(struct cleaning *p)
{
    struct segment *s = p->source;
    if (p->work.expected_offset != p->work.end_offset) {
        pass_refuse(p, p->position, ERR_DAMAGED, "the last batch is not that of its last offset");
        return false;
    }
    source_drop(p);
    if (p->copying && s != p->group.run.last) {
        source_take(p, segment_after(s));
    }
    return true;
}

/* 1: p->source is what comes next; 0: the pass is done; 2: the group is to be finished; or an error. */
static int choose_source(struct cleaning *p)
{
    if (p->source) {
        return 1;
    }
    if (!p->copying && tell_next(p)) {
        return 1;
    }
    if (!p->copying) {
        struct list *first = list_first(&p->log->segments);
        p->copying = true;
        p->work.walk = CLEAN_COPY;
        p->at = first ? container_of(first, struct segment, link)->base_offset : 0;
    }
    if (p->group.run.fresh) {
        return 2;
    }
    if (!group_choose(p)) {
        return 0;
    }
    int error = group_begin(p);
    return error ? error : 1;
}

void pass_next(struct cleaning *p)
{
    if (pass_given_up(p)) {
        pass_end(p, ERR_CLOSED);
        return;
    }
    if (pace(p)) {
        return;
    }
    if (p->source && (p->position == p->source->size || (p->work.full && !p->copying))) {
        if (ahead_wait(p, pass_next)) { /* it reads from the source's file */
            return;
        }
        if (p->work.full && !p->copying) {
            source_drop(p);
        } else if (!source_end(p)) {
            return;
        }
    }
    int verdict = choose_source(p);
    if (verdict == 1) {
        piece_begin(p);
    } else if (verdict == 2) {
        rewrite_finish(&p->group);
    } else {
        pass_end(p, verdict);
    }
}

/* --- work ------------------------------------------------------------------------------------- */

/* A buffer of at least `size` bytes instead of the one that was too small for a batch. */
static bool grow(struct cleaning *p, uint8_t **buffer, size_t *capacity, size_t size)
{
    struct memory *m = set_of(p)->memory;
    size = (size + IO_BLOCK_SIZE - 1) / IO_BLOCK_SIZE * IO_BLOCK_SIZE;
    assert(size > *capacity);
    uint8_t *larger = memory_alloc_aligned(m, size, IO_BLOCK_SIZE);
    if (larger) {
        memory_free(m, *buffer);
        *buffer = larger;
        *capacity = size;
    }
    return larger != NULL;
}

/* Pieces that hold a batch of `size` bytes; what is in them is read again. */
static bool grow_pieces(struct cleaning *p, size_t size)
{
    struct memory *m = set_of(p)->memory;
    size = (size + IO_BLOCK_SIZE - 1) / IO_BLOCK_SIZE * IO_BLOCK_SIZE;
    assert(size > p->in_piece && io_op_idle(&p->ahead.op));
    p->ahead.segment = NULL;
    for (unsigned i = 0; i < array_size(p->in); i++) {
        uint8_t *larger = memory_alloc_aligned(m, p->in_head + size, IO_BLOCK_SIZE);
        if (!larger) {
            return false;
        }
        memory_free(m, p->in[i]);
        p->in[i] = larger;
    }
    p->in_piece = size;
    return true;
}

/* The rest of what was read is worked on, or more is read. */
void worked_off(struct cleaning *p)
{
    struct clean_work *w = &p->work;
    if (pass_given_up(p)) {
        pass_end(p, ERR_CLOSED);
        return;
    }
    if (w->out_needed > 0) {
        if (w->out_needed > w->out_capacity && !grow(p, &p->out, &w->out_capacity, w->out_needed)) {
            pass_end(p, ERR_NO_MEMORY);
            return;
        }
        w->out = p->out;
        w->data += w->consumed;
        w->size -= w->consumed;
        work_begin(p);
        return;
    }
    if (w->data_needed > 0 && p->position + (uint64_t)w->data_needed > p->source->size) {
        pass_refuse(p, p->position, ERR_DAMAGED, "the file ends within a batch");
        return;
    }
    size_t needed = w->data_needed + IO_BLOCK_SIZE; /* it may begin anywhere in a block */
    if (w->data_needed > 0 && needed > p->in_piece) {
        if (ahead_wait(p, worked_off)) {
            return;
        }
        if (!grow_pieces(p, needed)) {
            pass_end(p, ERR_NO_MEMORY);
            return;
        }
    }
    pass_next(p);
}

static void worked(struct io_op *op, int64_t result)
{
    struct cleaning *p = container_of(op, struct cleaning, op);
    struct clean_work *w = &p->work;
    p->position += (uint32_t)w->consumed;
    if (result < 0 || w->error == ERR_NO_MEMORY) {
        pass_end(p, result < 0 ? error_from_errno(result) : ERR_NO_MEMORY);
    } else if (w->error) {
        pass_refuse(p, p->position, w->error, w->what);
    } else if (p->copying) {
        rewrite_put(&p->group, p->out, p->work.out_size);
    } else {
        worked_off(p);
    }
}

static void work_begin(struct cleaning *p)
{
    p->op.done = worked;
    io_work_behind(set_of(p)->io, &p->op, clean_work_run, &p->work);
}

/* --- the beginning ---------------------------------------------------------------------------- */

static int make_map(struct cleaning *p)
{
    struct log_set *set = set_of(p);
    uint8_t secret[16];
    io_random(set->io, secret, sizeof secret);
    uint64_t keys = (uint64_t)(p->limit_offset - p->work.from_offset);
    int error = ERR_NO_MEMORY;
    for (uint64_t bytes = set->options.cleaner_map_bytes; error; bytes /= 2) {
        error = clean_map_init(&p->map, set->memory, bytes, keys, secret);
        if (bytes < MAP_BYTES_MIN) {
            break;
        }
    }
    p->map.end_offset = p->work.from_offset;
    return error;
}

void clean_pass_hurry(struct log_set *set)
{
    if (set->cleaning && set->cleaning->pausing) {
        io_cancel(set->io, &set->cleaning->op);
    }
}

bool clean_pass_yield(struct log_set *set)
{
    struct cleaning *p = set->cleaning;
    if (!p || !p->group.run.fresh || p->group.run.fresh->allocated == 0) {
        return false;
    }
    p->yielding = true;
    clean_pass_hurry(set);
    return true;
}

void clean_pass_abandon(struct log *log)
{
    if (log->cleaning) {
        log->cleaning->yielding = true;
        clean_pass_hurry(log->set);
    }
}

static void begun(struct io_op *op, int64_t result)
{
    (void)result;
    pass_next(container_of(op, struct cleaning, op));
}

int clean_pass_begin(struct log *log, int64_t limit_offset, int64_t now_ms)
{
    struct log_set *set = log->set;
    struct memory *m = set->memory;
    assert(!set->cleaning && !log->cleaning);
    int error = log_tidy(log);
    if (error || !log->tidy) {
        return error ? error : ERR_BUSY; /* what is left over may have the new segment's name */
    }
    struct cleaning *p = memory_alloc(m, sizeof *p);
    if (!p) {
        return ERR_NO_MEMORY;
    }
    size_t piece = set->options.cleaner_piece_bytes;
    piece = (piece + IO_BLOCK_SIZE - 1) / IO_BLOCK_SIZE * IO_BLOCK_SIZE;
    p->log = log;
    p->limit_offset = limit_offset;
    p->now_ms = now_ms;
    p->in_head = p->in_piece = piece;
    p->in[0] = memory_alloc_aligned(m, 2 * piece, IO_BLOCK_SIZE);
    p->in[1] = memory_alloc_aligned(m, 2 * piece, IO_BLOCK_SIZE);
    p->ahead.op.done = ahead_done;
    p->out = memory_alloc_aligned(m, piece, IO_BLOCK_SIZE);
    p->group = (struct rewrite){.run = {.log = log}, .given_up = group_given_up, .put = group_put};
    struct segment *first = segment_at(log, 0);
    int64_t from = first->base_offset > log->clean_offset ? first->base_offset : log->clean_offset;
    from = from < limit_offset ? from : limit_offset;
    p->at = from;
    p->work = (struct clean_work){
        .walk = CLEAN_TELL,
        .map = &p->map,
        .from_offset = from,
        .batch_bytes_max = (uint32_t)set->options.journal_file_bytes,
        .now_ms = now_ms,
        .delete_retention_ms = log->config.delete_retention_ms,
        .tombstones_from = log->tombstones_from,
        .out = p->out,
        .out_capacity = piece,
        .keep_no_empty = log_mutant(set, LOG_MUTANT_NO_EMPTY_BATCH),
        .keep_no_tombstone = log_mutant(set, LOG_MUTANT_TOMBSTONE_EARLY),
    };
    if (!p->in[0] || !p->in[1] || !p->out || make_map(p)) {
        pass_free(p);
        return ERR_NO_MEMORY;
    }
    log->cleaning = set->cleaning = p;
    set->in_flight++;
    p->started_ns = io_now(set->io);
    p->op.done = begun;
    io_timer(set->io, &p->op, p->started_ns);
    return 0;
}
