/* SPDX-License-Identifier: Apache-2.0 */

/* A segment's index and sums beside it: written when it is sealed, read back when somebody looks
 * into an old segment, made anew by a walk over the segment when they are missing or invalid.
 *
 *     sealed, seen whole by this process ------------------> WRITE index, WRITE sums
 *     sealed after a recovery ------------> SCAN ----------> WRITE index, WRITE sums
 *     somebody reads: sealed -> LOAD -> (invalid) -> SCAN    active after a recovery -> SCAN up to
 * where this process's index begins
 *
 * One job at a time for each shard. Both files are caches: neither is synced, neither is believed
 * without its checksum. The indexes of sealed segments in memory have a budget; the longest unused
 * go. */
#include "base/crc32c.h"
#include "base/errors.h"
#include "log/log_private.h"

enum {
    INDEX_BYTES_MAX = 16 << 20, /* of all sealed segments of a shard */
    SCAN_BYTES_PER_SECOND = 256 << 20,
};

enum index_step { INDEX_LOAD, INDEX_SCAN, INDEX_WRITE, SUMS_WRITE };

struct index_job {
    struct list link; /* in set.index_jobs */
    struct segment *segment;
    enum index_step step;
    bool keep; /* the files are to be written */
    struct io_op op;
    struct io_file *file;
    uint8_t *buffer;
    size_t size;
    struct iovec iovec;
    struct cold_scan scan;
    struct index index; /* of the scan */
    uint32_t *sums;     /* the same */
    uint32_t cuts;      /* of the segment when it began */
    bool damaged;
    uint32_t damage_position; /* of the first batch whose checksum does not hold */
};

static void job_start(struct index_job *job);
static void job_done(struct io_op *op, int64_t result);

/* --- sums, while the segment is filled -------------------------------------------------------- */

/* Room for the sum of the piece that begins or goes on at sums_position. */
static uint32_t *sum_here(struct segment *s)
{
    uint32_t piece = s->sums_position / SUMS_PIECE;
    if (piece >= s->sums_capacity) {
        uint32_t capacity = s->sums_capacity ? s->sums_capacity * 2 : 16;
        uint32_t *grown = memory_resize(s->log->set->memory, s->sums, capacity * sizeof *grown);
        if (!grown) {
            return NULL;
        }
        s->sums = grown;
        s->sums_capacity = capacity;
    }
    return &s->sums[piece];
}

void segment_sums_copy(struct segment *s, uint8_t *to, const uint8_t *from, size_t size)
{
    s->sums_broken = s->sums_broken || !s->index_whole || s->sums_position != s->size;
    while (size && !s->sums_broken) {
        uint32_t *sum = sum_here(s);
        if (!sum) {
            s->sums_broken = true;
            break;
        }
        uint32_t in = s->sums_position % SUMS_PIECE;
        size_t part = SUMS_PIECE - in < size ? SUMS_PIECE - in : size;
        if (in == 0) {
            *sum =
                sums_begin(s->log->topic_id, s->log->partition, s->base_offset, s->sums_position);
        }
        *sum = crc32c_copy(*sum, to, from, part);
        s->sums_position += (uint32_t)part;
        to += part;
        from += part;
        size -= part;
    }
    if (size) {
        (void)crc32c_copy(0, to, from, size); /* for its way past the caches */
    }
}

static void segment_sums_free(struct segment *s)
{
    memory_free(s->log->set->memory, s->sums);
    s->sums = NULL;
    s->sums_capacity = 0;
}

/* --- jobs ------------------------------------------------------------------------------------- */

static void wake_waiters(struct segment *s)
{
    struct list waiters;
    list_init(&waiters);
    list_splice(&waiters, &s->index_waiters);
    struct list *node;
    while ((node = list_pop(&waiters))) {
        struct log_waiter *w = container_of(node, struct log_waiter, link);
        w->settled(w);
    }
}

/* Before the index of a sealed segment changes: it no longer counts. */
static void index_unlist(struct segment *s)
{
    if (!list_empty(&s->index_lru)) {
        list_remove(&s->index_lru);
        s->log->set->index_bytes -= s->index.capacity * sizeof *s->index.entries;
    }
}

void segment_index_cut(struct segment *s, uint32_t position)
{
    index_unlist(s);
    index_truncate(&s->index, position);
    s->index_from = s->index_from < position ? s->index_from : position;
    s->sums_broken = true;
}

void segment_index_free(struct segment *s)
{
    index_unlist(s);
    index_free(&s->index, s->log->set->memory);
    segment_sums_free(s);
}

static void indexes_trim(struct log_set *set)
{
    list_each (node, &set->indexes) {
        struct segment *s = container_of(node, struct segment, index_lru);
        if (set->index_bytes <= INDEX_BYTES_MAX) {
            break;
        }
        if (!s->index_job && list_empty(&s->index_waiters)) {
            index_unlist(s);
            index_free(&s->index, set->memory);
            s->index_whole = false;
            s->index_from = s->size;
            s->index_from_time = s->max_timestamp;
        }
    }
}

static void jobs_next(struct log_set *set)
{
    if (!set->index_running && !list_empty(&set->index_jobs)) {
        set->index_running = true;
        job_start(container_of(set->index_jobs.next, struct index_job, link));
    }
}

static void job_end(struct index_job *job)
{
    struct segment *s = job->segment;
    struct log_set *set = s->log->set;
    index_free(&job->index, set->memory);
    memory_free(set->memory, job->sums);
    memory_free(set->memory, job->buffer);
    io_file_close(set->io, job->file);
    s->index_job = false;
    s->readers--;
    set->in_flight--;
    list_remove(&job->link);
    memory_free(set->memory, job);
    if (s->state == SEGMENT_SEALED && list_empty(&s->index_lru) && s->index_whole) {
        list_append(&set->indexes, &s->index_lru);
        set->index_bytes += s->index.capacity * sizeof *s->index.entries;
    }
    set->index_running = false;
    wake_waiters(s);
    indexes_trim(set);
    jobs_next(set);
    log_set_progress(set);
}

/* The segment was truncated meanwhile: what was found is of no use; whoever needs it asks anew. */
static void job_void(struct index_job *job)
{
    job->segment->index_tried = false;
    job_end(job);
}

static bool job_buffer(struct index_job *job, size_t size)
{
    struct memory *m = job->segment->log->set->memory;
    size_t padded = (size + IO_BLOCK_SIZE - 1) / IO_BLOCK_SIZE * IO_BLOCK_SIZE;
    memory_free(m, job->buffer);
    job->buffer = memory_alloc_aligned(m, padded, IO_BLOCK_SIZE);
    if (job->buffer) {
        memset(job->buffer, 0, padded);
    }
    job->size = padded;
    return job->buffer != NULL;
}

static bool job_open(struct index_job *job, const char *suffix, unsigned flags)
{
    char path[IO_PATH_MAX];
    segment_path(job->segment, path, suffix);
    io_file_close(job->segment->log->set->io, job->file);
    job->file = NULL;
    return io_file_open(job->segment->log->set->io, &job->file, path, flags | IO_OPEN_DIRECT) == 0;
}

static void job_write(struct index_job *job, enum index_step step)
{
    struct segment *s = job->segment;
    struct log *log = s->log;
    bool sums = step == SUMS_WRITE;
    job->step = step;
    size_t size = sums ? sums_file_size(s->size) : index_file_size(&s->index);
    if (s->state != SEGMENT_SEALED || s->removed || (sums && (s->sums_broken || !s->sums)) ||
        !job_buffer(job, size) ||
        !job_open(job, sums ? ".sums" : ".index", IO_OPEN_WRITE | IO_OPEN_CREATE)) {
        job_end(job);
        return;
    }
    struct writer w = writer_of(job->buffer, job->size);
    if (sums) {
        sums_encode(s->sums, s->size, log->topic_id, log->partition, s->base_offset, &w);
        segment_sums_free(s);
    } else {
        index_encode(&s->index, log->topic_id, log->partition, s->base_offset, &w);
    }
    assert(!w.failed);
    job->iovec = (struct iovec){job->buffer, job->size};
    io_write(log->set->io, &job->op, job->file, &job->iovec, 1, 0, 0);
}

/* --- a walk over the segment ------------------------------------------------------------------ */

static int scan_batch(struct cold_scan *scan, const struct cold_batch *b)
{
    struct index_job *job = container_of(scan, struct index_job, scan);
    struct log *log = job->segment->log;
    if (!job->damaged && !b->crc_ok) {
        job->damaged = true;
        job->damage_position = b->position;
    }
    return index_add(&job->index, log->set->memory, b->fields.base_offset, b->position, b->size,
                     b->fields.max_timestamp, log->config.index_interval_bytes);
}

/* What this process has indexed behind the walk's end follows what the walk has found. */
static int join_indexes(struct index_job *job)
{
    const struct index *behind = &job->segment->index;
    struct index *x = &job->index;
    int64_t time = job->segment->index_from_time;
    x->max_timestamp = x->max_timestamp > time ? x->max_timestamp : time;
    if (x->indexed_position < job->segment->index_from) { /* by that it has seen it */
        x->indexed_position = job->segment->index_from;
    }
    uint32_t count = x->count + behind->count;
    if (count > x->capacity) {
        struct index_entry *grown =
            memory_resize(job->segment->log->set->memory, x->entries, count * sizeof *grown);
        if (!grown) {
            return ERR_NO_MEMORY;
        }
        x->entries = grown;
        x->capacity = count;
    }
    for (uint32_t i = 0; i < behind->count; i++) {
        struct index_entry e = behind->entries[i];
        if (e.position < job->scan.source.limit) {
            continue;
        }
        e.max_timestamp = e.max_timestamp > x->max_timestamp ? e.max_timestamp : x->max_timestamp;
        x->entries[x->count++] = e;
    }
    if (behind->indexed_position > x->indexed_position) {
        x->indexed_position = behind->indexed_position;
    }
    if (behind->max_timestamp > x->max_timestamp) {
        x->max_timestamp = behind->max_timestamp;
    }
    return 0;
}

static void scan_done(struct cold_scan *scan, int error)
{
    struct index_job *job = container_of(scan, struct index_job, scan);
    struct segment *s = job->segment;
    if (job->cuts != s->cuts) {
        job_void(job);
        return;
    }
    if (job->damaged) {
        segment_damage_found(s, job->damage_position, "the checksum of the batch does not hold");
    } else if (error == ERR_DAMAGED) {
        segment_damage_found(s, scan->source.damage_position, scan->source.damage);
    }
    error = error ? error : join_indexes(job);
    if (error) {
        log_warn(io_logger(s->log->set->io), "log", "%s-%d: segment %lld has no index: %s",
                 s->log->topic, (int)s->log->partition, (long long)s->base_offset,
                 error_text(error));
        job_end(job);
        return;
    }
    index_unlist(s);
    index_free(&s->index, s->log->set->memory);
    s->index = job->index;
    job->index = (struct index){0};
    s->index_whole = true;
    if (job->sums) {
        segment_sums_free(s);
        s->sums = job->sums;
        s->sums_broken = false;
        job->sums = NULL;
    }
    if (job->keep && s->state == SEGMENT_SEALED && !job->damaged) {
        job_write(job, INDEX_WRITE);
    } else {
        job_end(job);
    }
}

static void job_scan(struct index_job *job)
{
    struct segment *s = job->segment;
    struct log *log = s->log;
    job->step = INDEX_SCAN;
    uint32_t limit = s->index_from < s->written ? s->index_from : s->written;
    limit = s->state == SEGMENT_SEALED ? s->size : limit;
    if (segment_open(s) || limit == 0) {
        s->index_whole = s->index_whole || s->index_from == 0;
        job_end(job);
        return;
    }
    uint32_t pieces = s->size / SUMS_PIECE + 1;
    if (s->state == SEGMENT_SEALED && limit == s->size) {
        job->sums = memory_alloc(log->set->memory, pieces * sizeof *job->sums);
    }
    job->index = (struct index){.max_timestamp = -1};
    job->scan = (struct cold_scan){
        .source = {.file = s->file,
                   .key = s->key,
                   .from_known = true,
                   .from_offset = s->base_offset,
                   .limit = limit,
                   .epochs = &log->epochs,
                   .open = s->state != SEGMENT_SEALED || limit < s->size,
                   .gaps = s->gaps},
        .bytes_per_second = list_empty(&s->index_waiters) ? SCAN_BYTES_PER_SECOND : 0,
        .batch = scan_batch,
        .done = scan_done,
        .sums = job->sums,
        .topic_id = log->topic_id,
        .partition = log->partition,
        .base_offset = s->base_offset,
    };
    cold_scan(log->set->cold, &job->scan);
}

/* --- loading ---------------------------------------------------------------------------------- */

static void job_loaded(struct index_job *job, int64_t result)
{
    struct segment *s = job->segment;
    struct log *log = s->log;
    struct index x;
    if (job->cuts != s->cuts) {
        job_void(job);
        return;
    }
    struct reader r = reader_of(job->buffer, result > 0 ? (size_t)result : 0);
    if (result <= 0 || index_decode(&x, log->set->memory, log->topic_id, log->partition,
                                    s->base_offset, s->size, &r)) {
        job_scan(job);
        return;
    }
    index_unlist(s);
    index_free(&s->index, log->set->memory);
    s->index = x;
    s->index_whole = true;
    job_end(job);
}

static void job_start(struct index_job *job)
{
    struct segment *s = job->segment;
    struct log_set *set = s->log->set;
    job->cuts = s->cuts;
    if (s->removed || set->closing) {
        job_end(job);
        return;
    }
    if (s->index_whole && s->state == SEGMENT_SEALED && job->keep && !s->sums_broken) {
        job_write(job, INDEX_WRITE);
        return;
    }
    if (job->keep || s->state != SEGMENT_SEALED || !job_open(job, ".index", IO_OPEN_READ)) {
        job->keep = job->keep || s->state == SEGMENT_SEALED;
        job_scan(job);
        return;
    }
    int64_t size = io_file_size(set->io, job->file);
    job->keep = true;
    job->step = INDEX_LOAD;
    if (size <= 0 || size > INT32_MAX || !job_buffer(job, (size_t)size)) {
        job_scan(job);
        return;
    }
    io_read(set->io, &job->op, job->file, job->buffer, job->size, 0);
}

static void job_done(struct io_op *op, int64_t result)
{
    struct index_job *job = container_of(op, struct index_job, op);
    switch (job->step) {
    case INDEX_LOAD:
        job_loaded(job, result);
        return;
    case INDEX_WRITE:
        if (result >= 0) {
            job_write(job, SUMS_WRITE);
            return;
        }
        break; /* caches: a full disk does without them */
    case SUMS_WRITE:
    case INDEX_SCAN:
        break;
    }
    job_end(job);
}

static int job_new(struct segment *s, bool keep)
{
    struct log_set *set = s->log->set;
    struct index_job *job = memory_alloc(set->memory, sizeof *job);
    if (!job) {
        return ERR_NO_MEMORY;
    }
    job->segment = s;
    job->keep = keep;
    job->op.done = job_done;
    s->index_job = true;
    s->readers++;
    set->in_flight++;
    list_init(&job->link);
    list_append(&set->index_jobs, &job->link);
    jobs_next(set);
    return 0;
}

bool segment_index_writing(const struct segment *s)
{
    const struct log_set *set = s->log->set;
    if (!s->index_job || !set->index_running) {
        return false;
    }
    const struct index_job *job = container_of(set->index_jobs.next, struct index_job, link);
    return job->segment == s && (job->step == INDEX_WRITE || job->step == SUMS_WRITE);
}

void segment_index_finish(struct segment *s)
{
    if (!s->index_job && !s->removed && !s->log->set->closing && !s->log->set->recovering) {
        (void)!job_new(s, true);
    }
}

int segment_index_need(struct segment *s, struct log_waiter *w)
{
    if (s->index_whole || s->index_tried) {
        if (!list_empty(&s->index_lru)) {
            list_remove(&s->index_lru);
            list_append(&s->log->set->indexes, &s->index_lru);
        }
        return 1;
    }
    list_init(&w->link);
    list_append(&s->index_waiters, &w->link);
    if (s->index_job) {
        return 0;
    }
    s->index_tried = true; /* a second failure would be no different */
    int error = job_new(s, false);
    if (error) {
        list_remove(&w->link);
    }
    return error;
}
