/* SPDX-License-Identifier: Apache-2.0 */

/* Segments on disk: names, space, and writing behind.
 *
 * A segment is written in whole blocks, each once, in order, one write in flight (L2, L3). A sealed
 * one gets its last block padded with zeros and is then cut to its size. Files are touched only
 * while the log holds nothing back (L7). Space is allocated before an append is admitted (L9), in
 * steps that double. */
#include "log/log_private.h"

#include "base/errors.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { SPACE_RETRY_MS = 1000, WRITE_BEHIND_LEAST = 262144 };

static void write_done(struct io_op *op, int64_t result);

void log_directory(const struct log *log, char out[static IO_PATH_MAX])
{
    int size = snprintf(out, IO_PATH_MAX, "%s/topics/%s-%" PRId32, log->set->options.root,
                        log->topic, log->partition);
    assert(size > 0 && size < IO_PATH_MAX - 32);
}

void segment_path(const struct segment *s, char out[static IO_PATH_MAX], const char *suffix)
{
    log_directory(s->log, out);
    size_t at = strlen(out);
    char name[SEGMENT_NAME_MAX];
    segment_name(name, s->base_offset, s->generation, suffix);
    snprintf(out + at, IO_PATH_MAX - at, "/%s", name);
}

void segment_name(char out[static SEGMENT_NAME_MAX], int64_t base_offset, uint32_t generation,
                  const char *suffix)
{
    char middle[16] = "";
    if (generation) {
        snprintf(middle, sizeof middle, "-%" PRIu32, generation);
    }
    int size = snprintf(out, SEGMENT_NAME_MAX, "%020" PRId64 "%s%s", base_offset, middle, suffix);
    assert(size > 0 && size < SEGMENT_NAME_MAX);
}

bool segment_name_parse(const char *name, int64_t *base_offset, uint32_t *generation,
                        const char **suffix)
{
    char *end;
    if (name[0] < '0' || name[0] > '9') {
        return false;
    }
    *base_offset = strtoll(name, &end, 10);
    if (end != name + 20) {
        return false;
    }
    unsigned long long number = 0;
    if (*end == '-') {
        number = end[1] >= '1' && end[1] <= '9' ? strtoull(end + 1, &end, 10) : 0;
        if (number == 0 || number > UINT32_MAX) {
            return false;
        }
    }
    *generation = (uint32_t)number;
    *suffix = end;
    return true;
}

bool segment_listed(const struct segment *s)
{
    return s->state == SEGMENT_SEALED &&
           s->log->set->checkpoint.captures_durable > s->sealed_capture;
}

struct segment *log_active(const struct log *log)
{
    if (list_empty(&log->segments)) {
        return NULL;
    }
    struct segment *s = container_of(log->segments.prev, struct segment, link);
    return s->state == SEGMENT_ACTIVE ? s : NULL;
}

struct segment *segment_alloc(struct log *log, int64_t base_offset)
{
    struct segment *s = memory_alloc(log->set->memory, sizeof *s);
    if (!s) {
        return NULL;
    }
    s->log = log;
    s->base_offset = base_offset;
    s->key = ++log->set->segment_keys;
    s->index.max_timestamp = -1;
    s->max_timestamp = s->index_from_time = -1;
    s->first_timestamp = -1;
    s->index_whole = true;
    s->missing_from = s->said_position = UINT32_MAX;
    s->scrub_round = log->set->scrub_round; /* it has just been written */
    s->write.done = write_done;
    list_init(&s->chunks);
    list_init(&s->dirty);
    list_init(&s->lru);
    list_init(&s->pending);
    list_init(&s->index_waiters);
    list_init(&s->index_lru);
    list_init(&s->link);
    return s;
}

struct segment *segment_new(struct log *log, int64_t base_offset)
{
    struct segment *s = segment_alloc(log, base_offset);
    if (s) {
        list_append(&log->segments, &s->link);
    }
    return s;
}

bool segment_reads_idle(struct segment *s, bool before)
{
    struct cold_reader *cold = s->log->set->cold;
    if (s->key_before) {
        if (!cold_idle(cold, s->key_before)) {
            return false;
        }
        cold_forget(cold, s->key_before);
        s->key_before = 0;
    }
    return before || cold_idle(cold, s->key);
}

void segment_cut_reads(struct segment *s)
{
    assert(s->key_before == 0);
    s->cuts++;
    s->key_before = s->key;
    s->key = ++s->log->set->segment_keys;
    (void)segment_reads_idle(s, true);
}

static void segment_close(struct segment *s)
{
    if (s->file) {
        bool idle = segment_reads_idle(s, false);
        assert(idle);
        cold_forget(s->log->set->cold, s->key);
        io_file_close(s->log->set->io, s->file);
        s->file = NULL;
        s->log->set->files_open--;
        list_remove(&s->lru);
    }
}

static bool segment_closable(struct segment *s)
{
    return io_op_idle(&s->write) && s->readers == 0 && list_empty(&s->dirty) &&
           s->log->space.stage == SPACE_IDLE && segment_reads_idle(s, false);
}

void segment_free(struct segment *s)
{
    struct log_set *set = s->log->set;
    assert(io_op_idle(&s->write));
    segment_become(s, SEGMENT_SEALED);
    list_remove(&s->dirty);
    list_remove(&s->pending);
    tail_drop(s, true);
    segment_close(s);
    segment_index_free(s);
    list_remove(&s->link);
    memory_free(set->memory, s);
}

int segment_open(struct segment *s)
{
    struct log_set *set = s->log->set;
    if (s->file) {
        list_remove(&s->lru);
        list_append(&set->files, &s->lru);
        return 0;
    }
    list_each (node, &set->files) {
        if (set->files_open < set->options.files_max) {
            break;
        }
        struct segment *old = container_of(node, struct segment, lru);
        if (segment_closable(old)) {
            segment_close(old);
        }
    }
    char path[IO_PATH_MAX];
    segment_path(s, path, ".log");
    /* Only a segment of which nothing is on disk yet is made; a file that should be there and is
     * not must not be replaced by an empty one. */
    unsigned flags = IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_DIRECT;
    flags |= s->allocated == 0 ? IO_OPEN_CREATE : 0;
    if (s->allocated == 0) {
        log_names_dirty(s->log);
    }
    int error = io_file_open(set->io, &s->file, path, flags);
    if (error < 0) {
        s->file = NULL;
        log_warn(io_logger(set->io), "log", "cannot open %s: %s", path,
                 error_text(error_from_errno(error)));
        return error_from_errno(error);
    }
    set->files_open++;
    list_append(&set->files, &s->lru);
    return 0;
}

/* --- writing behind --------------------------------------------------------------------------- */

static uint32_t whole_blocks(uint32_t size)
{
    return size / IO_BLOCK_SIZE * IO_BLOCK_SIZE;
}

static void segment_dirty(struct segment *s)
{
    if (list_empty(&s->dirty)) {
        list_append(&s->log->set->dirty, &s->dirty);
    }
}

/* The last block of a sealed segment is filled up with zeros where it lies. */
static uint32_t pad_last_block(struct segment *s)
{
    uint32_t padded = whole_blocks(s->size + IO_BLOCK_SIZE - 1);
    if (padded > s->size) {
        struct chunk *c = container_of(s->chunks.prev, struct chunk, link);
        while (c->position > s->size) {
            c = container_of(c->link.prev, struct chunk, link);
        }
        assert(c->position + c->filled == s->size && padded <= c->position + c->buffer.size);
        memset(c->buffer.data + c->filled, 0, padded - s->size);
    }
    return padded;
}

/* Both name the size that they are of, and it may be the same again: they go before a checkpoint counts the
 * segment as sealed. False: no memory. */
static bool drop_stale_index(struct segment *s)
{
    static const char *const caches[] = {".index", ".sums"};
    for (unsigned i = 0; s->index_stale && i < array_size(caches); i++) {
        char path[IO_PATH_MAX];
        segment_path(s, path, caches[i]);
        int error = trash_put(s->log->set, path, s->log->topic_id, s->log->partition);
        if (error == ERR_NO_MEMORY) {
            return false;
        }
        if (error && error != ERR_NOT_FOUND) {
            log_warn(io_logger(s->log->set->io), "log", "cannot move %s away: %s", path,
                     error_text(error));
        }
        if (error == 0) {
            log_names_dirty(s->log);
        }
    }
    s->index_stale = false;
    return true;
}

static void segment_cut(struct segment *s)
{
    struct log_set *set = s->log->set;
    set->in_flight++;
    io_truncate(set->io, &s->write, s->file, s->size);
}

/* How much must have gathered before it is written: large writes are cheap, but all logs together
 * should not keep more than a quarter of the tail waiting. */
static uint64_t large_piece(const struct log_set *set)
{
    uint64_t logs = map_count(&set->by_id);
    uint64_t share = set->options.tail_bytes_max / 4 / (logs ? logs : 1);
    share = share > WRITE_BEHIND_LEAST ? share : WRITE_BEHIND_LEAST;
    return share < set->options.write_behind_bytes ? share : set->options.write_behind_bytes;
}

void segment_write_behind(struct segment *s, bool all)
{
    struct log_set *set = s->log->set;
    if (!io_op_idle(&s->write) || s->log->holds || s->state == SEGMENT_SEALED || s->removed) {
        return;
    }
    if (s->log->space.stage != SPACE_IDLE && s->state == SEGMENT_ACTIVE && !s->file) {
        return; /* its file is being made */
    }
    if (segment_missing(s)) {
        assert(set->recovering);
        segment_become(s, s->state == SEGMENT_SEALING ? SEGMENT_SEALED : s->state);
        s->submitted = s->written = whole_blocks(s->size);
        s->unwritten = true;
        return;
    }
    bool sealing = s->state == SEGMENT_SEALING;
    uint32_t to = sealing ? pad_last_block(s) : whole_blocks(s->size);
    if (to <= s->submitted && !sealing) {
        return;
    }
    if (!all && !sealing && to - s->submitted < large_piece(set)) {
        return;
    }
    if (segment_open(s)) {
        return; /* tried again with the next progress */
    }
    if (to <= s->submitted) {
        if (s->log->space.segment != s && /* else its file would grow again behind the cut */
            drop_stale_index(s)) {
            segment_cut(s);
        }
        return;
    }
    s->iovecs = memory_alloc(set->memory, LOG_SEGMENT_IOVECS * sizeof *s->iovecs);
    if (!s->iovecs) {
        return;
    }
    uint32_t reached;
    unsigned count = tail_iovecs(s, s->submitted, to, s->iovecs, LOG_SEGMENT_IOVECS, &reached);
    assert(count > 0 && reached > s->submitted);
    uint32_t from = s->submitted;
    s->submitted = reached;
    set->in_flight++;
    set->write_behind_bytes += reached - from;
    io_write(set->io, &s->write, s->file, s->iovecs, count, from, 0);
}

static void write_done(struct io_op *op, int64_t result)
{
    struct segment *s = container_of(op, struct segment, write);
    struct log_set *set = s->log->set;
    if (result < 0 && !log_mutant(set, LOG_MUTANT_IGNORE_FAILED)) {
        char path[IO_PATH_MAX];
        segment_path(s, path, ".log");
        io_fatal(set->io, "%s cannot be written (%s): check the disk, then start again", path,
                 error_text(error_from_errno(result)));
    }
    set->in_flight--;
    segment_dirty(s);
    if (s->iovecs) {
        memory_free(set->memory, s->iovecs);
        s->iovecs = NULL;
        s->written = s->submitted;
    } else {
        assert(s->state == SEGMENT_SEALING);
        segment_become(s, SEGMENT_SEALED);
        s->allocated = s->size;
        segment_index_finish(s);
    }
    segment_write_behind(s, false);
    log_set_progress(set);
    checkpoint_step(set); /* writes what it has captured, however little that is */
}

void segment_become(struct segment *s, enum segment_state state)
{
    assert(s->log->sealing > 0 || s->state != SEGMENT_SEALING);
    s->log->sealing -= s->state == SEGMENT_SEALING;
    s->log->sealing += state == SEGMENT_SEALING;
    s->state = state;
}

void segment_seal(struct segment *s)
{
    assert(s->state == SEGMENT_ACTIVE);
    s->sealed_capture = s->log->set->checkpoint.captures;
    segment_become(s, SEGMENT_SEALING);
    segment_write_behind(s, true);
}

bool log_roll(struct log *log)
{
    struct segment *s = log_active(log);
    if (!s || s->state != SEGMENT_ACTIVE || s->size == 0 || log->ends_in_gap ||
        !segment_new(log, log->end_offset)) {
        return false;
    }
    segment_seal(s);
    return true;
}

void log_unhold(struct log *log)
{
    assert(log->holds > 0);
    log->holds--;
    for (struct list *n = log->segments.next; log->sealing > 0 && n != &log->segments;
         n = n->next) {
        struct segment *s = container_of(n, struct segment, link);
        if (s->state == SEGMENT_SEALING) {
            segment_write_behind(s, true);
        }
    }
}

bool segment_settled_on_disk(const struct segment *s, uint32_t size)
{
    if (s->state == SEGMENT_ACTIVE) {
        return s->written >= whole_blocks(size);
    }
    return s->state == SEGMENT_SEALED;
}

/* --- space ------------------------------------------------------------------------------------ */

static void space_end(struct log *log, int error)
{
    struct segment *s = log->space.segment;
    log_disk_taken(log->set, log->space.taken);
    log->space.segment = NULL;
    log->space.stage = SPACE_IDLE;
    log->space.failed = error;
    if (error) {
        log->space.retry_ns = io_now(log->set->io) + SPACE_RETRY_MS * 1000000ull;
    }
    log->set->in_flight--;
    if (s->state == SEGMENT_SEALING) {
        segment_write_behind(s, true);
    }
    log_set_progress(log->set);
    checkpoint_step(log->set);
}

static uint64_t space_step(const struct segment *s, uint64_t end)
{
    uint64_t step = s->allocated ? s->allocated : LOG_ALLOCATE_FIRST;
    step = step > LOG_ALLOCATE_MAX ? LOG_ALLOCATE_MAX : step;
    uint64_t disk_share = s->log->set->disk_free / 64;
    step = step > disk_share ? disk_share : step;
    uint64_t target = s->allocated + step;
    uint64_t segment_bytes = s->log->config.segment_bytes;
    target = target > segment_bytes ? segment_bytes : target;
    target = target < end ? end : target;
    return (target + IO_BLOCK_SIZE - 1) / IO_BLOCK_SIZE * IO_BLOCK_SIZE;
}

static void space_allocate(struct log *log)
{
    struct segment *s = log->space.segment;
    int error = segment_open(s);
    if (error) {
        space_end(log, error);
        return;
    }
    log->space.stage = SPACE_ALLOCATE;
    io_allocate(log->set->io, &log->space.op, s->file, s->allocated,
                log->space.target - s->allocated);
}

static void space_done(struct io_op *op, int64_t result)
{
    struct log *log = container_of(op, struct log, space.op);
    if (log->space.stage == SPACE_PARTITION_FILE) {
        memory_free(log->set->memory, log->space.block);
        log->space.block = NULL;
        io_file_close(log->set->io, log->space.file);
        log->space.file = NULL;
        if (result < 0) {
            space_end(log, error_from_errno(result));
            return;
        }
        log->directory_known = true;
        space_allocate(log);
        return;
    }
    assert(log->space.stage == SPACE_ALLOCATE);
    struct segment *s = log->space.segment;
    if (result == 0) {
        s->allocated = log->space.target;
        segment_dirty(s);
    }
    space_end(log, result < 0 ? error_from_errno(result) : 0);
}

static int space_partition_file(struct log *log)
{
    struct log_set *set = log->set;
    char path[IO_PATH_MAX];
    log_directory(log, path);
    int error = io_mkdir(set->io, path);
    if (error == -EEXIST) { /* an attempt that a full disk has ended: nothing of the log is in it */
        error = trash_put(set, path, log->topic_id, log->partition);
        if (error) {
            return error;
        }
        error = io_mkdir(set->io, path);
    }
    if (error < 0) {
        log_warn(io_logger(set->io), "log", "cannot make %s: %s", path,
                 error_text(error_from_errno(error)));
        return error_from_errno(error);
    }
    set->topics_dirty = true;
    log_names_dirty(log);
    size_t at = strlen(path);
    snprintf(path + at, sizeof path - at, "/partition");
    log->space.block = memory_alloc_aligned(set->memory, IO_BLOCK_SIZE, IO_BLOCK_SIZE);
    if (!log->space.block) {
        return ERR_NO_MEMORY;
    }
    partition_file_encode(log->space.block, log->topic_id, set->storage_id, log->partition);
    error = io_file_open(set->io, &log->space.file, path,
                         IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_DIRECT);
    if (error < 0) {
        memory_free(set->memory, log->space.block);
        log->space.block = NULL;
        return error_from_errno(error);
    }
    log->space.stage = SPACE_PARTITION_FILE;
    log->space.iovec = (struct iovec){log->space.block, IO_BLOCK_SIZE};
    io_write(set->io, &log->space.op, log->space.file, &log->space.iovec, 1, 0, IO_WRITE_DURABLE);
    return 0;
}

/* The name is still taken by a log that is on its way out. */
static bool name_busy(const struct log *log)
{
    list_each (node, &log->set->removals) {
        const struct log *other = container_of(node, struct log, removal);
        if (other != log && other->partition == log->partition &&
            strcmp(other->topic, log->topic) == 0) {
            return true;
        }
    }
    return false;
}

/* Space that compaction has taken is on its way back: a new segment that is given up, files of replaced
 * ones, the trash. log_set_progress() follows. */
static bool comes_free(struct log_set *set)
{
    return !set->recovering && !set->closing &&
           (clean_pass_yield(set) || log_release_frees(set) || !list_empty(&set->trash));
}

static int space_start(struct log *log, struct segment *s, uint64_t end)
{
    struct log_set *set = log->set;
    uint64_t target = space_step(s, end);
    /* The reserve is also there for a start on a full disk. */
    uint64_t reserve = set->recovering ? 0 : set->options.disk_reserve_bytes;
    if (!log->directory_known && name_busy(log)) {
        return 0;
    }
    if (log->holds && s->allocated == 0) {
        return 0; /* a doomed segment may still have its name */
    }
    if (!log_disk_take(set, target - s->allocated, reserve)) {
        if (comes_free(set)) {
            return 0;
        }
        log_disk_full(set, target - s->allocated);
        return ERR_DISK_FULL;
    }
    log->space.segment = s;
    log->space.target = target;
    log->space.taken = target - s->allocated;
    log->space.op.done = space_done;
    set->in_flight++;
    int error = 0;
    if (log->directory_known) {
        log->space.stage = SPACE_ALLOCATE;
        space_allocate(log);
    } else {
        error = space_partition_file(log);
        if (error) {
            log->space.segment = NULL;
            set->in_flight--;
            log_disk_taken(set, target - s->allocated);
        }
    }
    return error;
}

int log_space(struct log *log, struct segment *s, uint64_t end)
{
    assert(s->state == SEGMENT_ACTIVE);
    s->allocated = segment_missing(s) && s->allocated < end ? end : s->allocated;
    if (end <= s->allocated) {
        /* The next step is made before it is needed. */
        if (log->space.stage == SPACE_IDLE && !log->space.failed && s->file &&
            s->allocated < log->config.segment_bytes && s->allocated - end < s->allocated / 4) {
            (void)!space_start(log, s, s->allocated + IO_BLOCK_SIZE);
        }
        return 1;
    }
    if (log->space.stage != SPACE_IDLE) {
        return 0;
    }
    if (s->allocated > 0 && log_mutant(log->set, LOG_MUTANT_NO_ADMISSION)) {
        return 1;
    }
    if (log->space.failed && io_now(log->set->io) < log->space.retry_ns) {
        return log->space.failed;
    }
    log->space.failed = 0;
    return space_start(log, s, end);
}

/* --- what the directory holds ----------------------------------------------------------------- */

static const char *const suffixes[] = {".log", ".index", ".sums"};

struct leftover {
    struct list link;
    char name[SEGMENT_NAME_MAX];
};

struct listing {
    const struct log *log;
    const struct segment *near; /* the latest that was found */
    struct list found;          /* of struct leftover */
    int error;
};

static bool is_named(const struct log *log, const struct list *n, int64_t base, uint32_t generation)
{
    const struct segment *s = container_of(n, struct segment, link);
    return n != &log->segments && s->base_offset == base && s->generation == generation;
}

/* From both sides of `near` on, until the two meet. */
struct segment *segment_named(const struct log *log, const struct segment *near, int64_t base,
                              uint32_t generation)
{
    const struct list *after = near ? &near->link : &log->segments, *before = after->prev;
    while (true) {
        if (is_named(log, after, base, generation)) {
            return container_of(after, struct segment, link);
        }
        if (after != before && is_named(log, before, base, generation)) {
            return container_of(before, struct segment, link);
        }
        if (after == before || after->next == before) {
            return NULL;
        }
        after = after->next;
        before = before->prev;
    }
}

static void listing_add(void *context, const char *name, bool directory)
{
    struct listing *l = context;
    const char *suffix;
    int64_t base;
    uint32_t generation;
    bool ours = !directory && strlen(name) < sizeof((struct leftover *)0)->name &&
                segment_name_parse(name, &base, &generation, &suffix);
    bool known = false;
    for (unsigned i = 0; ours && i < array_size(suffixes); i++) {
        known = known || strcmp(suffix, suffixes[i]) == 0;
    }
    const struct segment *s = known ? segment_named(l->log, l->near, base, generation) : NULL;
    l->near = s ? s : l->near;
    if (!known || s) {
        return;
    }
    struct leftover *left = memory_alloc(l->log->set->memory, sizeof *left);
    if (!left) {
        l->error = ERR_NO_MEMORY;
        return;
    }
    snprintf(left->name, sizeof left->name, "%s", name);
    list_init(&left->link);
    list_append(&l->found, &left->link);
}

/* The names are gone only when their directory is synced: a leftover may come back, and is one
 * then as well. Under a truncation that is not marked, files of segments that it has taken from the
 * log are still to be kept (L7): the next call looks. */
int log_tidy(struct log *log)
{
    if (log->tidy || log->holds || !log->directory_known) {
        return 0;
    }
    struct log_set *set = log->set;
    struct listing l = {.log = log};
    list_init(&l.found);
    char path[IO_PATH_MAX];
    log_directory(log, path);
    size_t at = strlen(path);
    int error = io_list(set->io, path, listing_add, &l);
    error = error < 0 ? error_from_errno(error) : l.error;
    struct list *node;
    while ((node = list_pop(&l.found))) {
        struct leftover *left = container_of(node, struct leftover, link);
        snprintf(path + at, sizeof path - at, "/%s", left->name);
        int failed = error ? 0 : trash_put(set, path, log->topic_id, log->partition);
        error = failed && failed != ERR_NOT_FOUND ? failed : error;
        memory_free(set->memory, left);
        log_names_dirty(log);
    }
    log->tidy = !error;
    return error;
}

void segment_look(struct segment *s)
{
    if (s->written == 0 || segment_missing(s)) {
        return;
    }
    int64_t size = segment_open(s) ? -1 : io_file_size(s->log->set->io, s->file);
    if (size < s->written) {
        s->missing_from = size < 0 ? 0 : (uint32_t)size / IO_BLOCK_SIZE * IO_BLOCK_SIZE;
    }
}

int64_t segment_end_offset(const struct segment *s)
{
    if (s->link.next == &s->log->segments) {
        return s->log->end_offset;
    }
    return segment_after(s)->base_offset;
}

/* Most reads are near one of the ends: of those who follow, and of those who begin. */
struct segment *segment_for_offset(const struct log *log, int64_t offset)
{
    if (list_empty(&log->segments)) {
        return NULL;
    }
    struct list *first = log->segments.next;
    int64_t start = container_of(first, struct segment, link)->base_offset;
    if (offset - start < log->end_offset - offset) {
        struct segment *found = NULL;
        for (struct list *node = first; node != &log->segments; node = node->next) {
            struct segment *s = container_of(node, struct segment, link);
            if (s->base_offset > offset) {
                break;
            }
            found = s;
        }
        return found;
    }
    for (struct list *node = log->segments.prev; node != &log->segments; node = node->prev) {
        struct segment *s = container_of(node, struct segment, link);
        if (s->base_offset <= offset) {
            return s;
        }
    }
    return NULL;
}
